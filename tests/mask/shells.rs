//! What real shells make of a secret: whatever the value, and however it is quoted or traced, it is hidden.

use std::process::Command;

use super::{Random, cut, masker};

/// One line for each way to write the first argument; none of them has a capital or a digit of its own.
const BASH: &str = r#"
for value in "$@"; do
  printf '%q\n' "$value"
  printf '%s\n' "${value@Q}"
  copy=$value
  declare -p copy
  set | grep -a '^copy='
  quoted=$(printf %q "$value")
  { set -x; : "$value"; : "$quoted"; : "${value@Q}"; [[ x == "$value" ]]; [[ x =~ "$value" ]]; [[ -n $value ]]; } 2>&1
  { set +x; } 2>/dev/null
done
"#;

/// The same for what every shell has.
const SH: &str = r#"
for value in "$@"; do
  copy=$value
  set | grep -a '^copy='
  { set -x; : "$value"; [ x = "$value" ]; { set +x; } 2>/dev/null; } 2>&1
done
"#;

/// The same for what zsh has ways of its own to quote, alone and with something else in the word.
const ZSH: &str = r#"
for value in "$@"; do
  print -r -- "${(q)value}"
  print -r -- "${(qq)value}"
  print -r -- "${(q-)value}"
  print -r -- "${(q+)value}"
  before="x y$value" behind="${value}x y"
  print -r -- "${(q-)before}"
  print -r -- "${(q-)behind}"
  print -r -- "${(q+)before}"
  print -r -- "${(q+)behind}"
done
"#;

/// Letters that no shell prints by itself, among all that shells treat in a way of their own.
fn value(random: &mut Random, beyond: &[&str]) -> String {
    const SPECIAL: &[u8] = b" !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~''##~~\t\x1b\x01\x7f";
    let mut value = String::new();
    for _ in 0..8 + random.next(12) {
        match random.next(10) {
            0..4 => value.push(char::from(b"ABC789"[random.next(6)])),
            4 => value.push_str(beyond[random.next(beyond.len())]),
            5 => value.push_str(":~"),
            _ => value.push(char::from(SPECIAL[random.next(SPECIAL.len())])),
        }
    }
    value
}

/// Has each value printed in every way, and masks each line.
fn hides(shell: &str, script: &str, locale: &str, values: &[String]) {
    let output = Command::new(shell).args(["-c", script, shell]).args(values).env("LC_ALL", locale).output();
    let output = output.unwrap_or_else(|error| panic!("{shell} cannot be started: {error}"));
    let lines: Vec<&[u8]> = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let ways = lines.len() / values.len();
    assert!(ways >= 3 && lines.len() == ways * values.len(), "{}", String::from_utf8_lossy(&output.stderr));
    for (value, lines) in values.iter().zip(lines.chunks(ways)) {
        let masker = masker(&[value.as_str()]);
        for line in lines {
            let out = cut(&masker, &[*line]);
            let shown = out.contains(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || !c.is_ascii());
            assert!(
                out.contains("***") && !shown,
                "{shell} {locale}: {value:?} in {:?}",
                String::from_utf8_lossy(line)
            );
        }
    }
}

#[test]
fn whatever_bash_quotes_declares_or_traces_is_hidden_in_either_locale() {
    let mut random = Random(0x5eed_0004);
    for locale in ["C", "C.UTF-8"] {
        let mut values: Vec<String> = (0..150).map(|_| value(&mut random, &["A", "É", "☃"])).collect();
        values.extend(["P@SS\"W/RD+É‹<&…", "IT'S-A,B", "#A,B'C", "~A,B'C", "''A''B'"].map(str::to_owned));
        hides("bash", BASH, locale, &values);
    }
}

#[test]
fn whatever_a_plain_shell_prints_or_traces_is_hidden() {
    let mut random = Random(0x5eed_0005);
    let values: Vec<String> = (0..150).map(|_| value(&mut random, &["A"])).collect();
    hides("sh", SH, "C", &values);
}

#[test]
fn whatever_zsh_quotes_is_hidden_in_either_locale() {
    let mut random = Random(0x5eed_0006);
    for locale in ["C", "C.UTF-8"] {
        let mut values: Vec<String> = (0..150).map(|_| value(&mut random, &["A", "É", "☃"])).collect();
        values.extend(["AB'CD EF", "DON'T $X", "A''B C9", "'X Y9'", "=AB'CD", "'''AB"].map(str::to_owned));
        hides("zsh", ZSH, locale, &values);
    }
}
