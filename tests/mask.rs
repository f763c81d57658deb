//! The masker against a brute-force oracle, the adversarial cases that other runners leak, its latency and its memory.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use soopervisor::logs::mask::{CanaryFailed, MaskedBytes, Masker, canary};
use soopervisor::secret::{Secret, SecretSet};

#[path = "mask/addresses.rs"]
mod addresses;
#[path = "mask/oracle.rs"]
mod oracle;
#[path = "mask/shells.rs"]
mod shells;

use oracle::oracle;

fn set(values: &[&[u8]]) -> SecretSet {
    let env = values.iter().enumerate().map(|(n, value)| Secret::new(format!("S{n}"), value.to_vec())).collect();
    SecretSet { env, mask_only: Vec::new() }
}

fn masker(values: &[&str]) -> Masker {
    Masker::new(&set(&values.iter().map(|value| value.as_bytes()).collect::<Vec<_>>()))
}

fn cut(masker: &Masker, chunks: &[&[u8]]) -> String {
    let mut stream = masker.stream();
    let mut out = MaskedBytes::default();
    for chunk in chunks {
        out.append(&stream.push(chunk));
    }
    out.append(&stream.finish());
    out.to_text()
}

/// Masks `text` whole, a byte at a time, and cut in two at every place; all must agree.
fn masked(masker: &Masker, text: &str) -> String {
    let whole = cut(masker, &[text.as_bytes()]);
    let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
    assert_eq!(cut(masker, &bytes), whole, "a byte at a time");
    for at in 0..text.len() {
        assert_eq!(cut(masker, &[&text.as_bytes()[..at], &text.as_bytes()[at..]]), whole, "cut at {at}");
    }
    whole
}

/// A small generator with a fixed seed: the same cases in every run.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or_default() % below
    }

    fn text(&mut self, alphabet: &[u8], len: usize) -> Vec<u8> {
        (0..len).map(|_| alphabet[self.next(alphabet.len())]).collect()
    }
}

#[test]
fn agrees_with_the_oracle_on_two_hundred_thousand_random_cases() {
    let mut random = Random(0x5eed_0001);
    for _ in 0..1_000 {
        let alphabet: &[u8] = [&b"ab"[..], b"abc", b"aab."][random.next(3)];
        let patterns: Vec<Vec<u8>> = (0..=random.next(4))
            .map(|_| {
                let spread = if random.next(8) == 0 { 30 } else { 6 };
                let len = 4 + random.next(spread);
                random.text(alphabet, len)
            })
            .collect();
        let values: Vec<&[u8]> = patterns.iter().map(Vec::as_slice).collect();
        let masker = Masker::new(&set(&values));
        for _ in 0..200 {
            let len = random.next(60);
            let mut text = random.text(alphabet, len);
            if random.next(2) == 0 {
                let at = random.next(text.len() + 1);
                text.splice(at..at, patterns[0].iter().copied());
            }
            let mut stream = masker.stream();
            let mut out = MaskedBytes::default();
            let mut rest = &text[..];
            while !rest.is_empty() {
                let (chunk, after) = rest.split_at(1 + random.next(rest.len()));
                out.append(&stream.push(chunk));
                rest = after;
            }
            out.append(&stream.finish());
            let expected = oracle(&patterns, &text);
            assert_eq!(
                String::from_utf8_lossy(out.as_bytes()),
                String::from_utf8_lossy(&expected),
                "{:?} in {:?}",
                patterns.iter().map(|p| String::from_utf8_lossy(p)).collect::<Vec<_>>(),
                String::from_utf8_lossy(&text)
            );
        }
    }
}

#[test]
fn agrees_with_the_oracle_on_long_texts_where_the_skip_works() {
    let mut random = Random(0x5eed_0002);
    for _ in 0..400 {
        let patterns: Vec<Vec<u8>> = (0..=random.next(6))
            .map(|_| {
                let len = 6 + random.next(40);
                random.text(b"abcdefghijklmnopqrstuvwxyz0123456789", len)
            })
            .collect();
        let values: Vec<&[u8]> = patterns.iter().map(Vec::as_slice).collect();
        let mut text = Vec::new();
        for _ in 0..40 {
            let pattern = &patterns[random.next(patterns.len())];
            let kept = random.next(pattern.len() + 1);
            text.extend_from_slice(if random.next(2) == 0 { pattern } else { &pattern[..kept] });
            let len = random.next(50);
            text.extend(random.text(b"abcdefghijklmnopqrstuvwxyz ", len));
        }
        let masker = Masker::new(&set(&values));
        let step = 1 + random.next(300);
        let chunks: Vec<&[u8]> = text.chunks(step).collect();
        assert_eq!(cut(&masker, &chunks).as_bytes(), oracle(&patterns, &text));
    }
}

#[test]
fn cases_that_other_maskers_leak() {
    for (secrets, text, expected) in [
        (&["aaaab"][..], "..aaaaaaaab..", "..aaaa***.."),
        (&["abcdefg", "defghij"], "abcdefghij", "***"),
        (&["112secret"], "1112secret", "1***"),
        (&["xabcdz", "bcde"], "xabcdey", "xa***y"),
        (&["xabcdz", "abcd"], "xabcdy", "x***y"),
        (&["hunter2", "hunter2long"], "hunter2 hunter2long hunter2lon.", "*** *** ***lon."),
        (&["aabaab"], "aabaabaab", "***"),
        (&["secret", "secretary"], "secretar", "***"),
    ] {
        assert_eq!(masked(&masker(secrets), text), expected, "{secrets:?}");
    }
}

#[test]
fn a_secret_split_by_a_pause_is_hidden_but_for_a_few_letters() {
    let masker = masker(&["correct-horse-battery"]);
    let mut stream = masker.stream();
    let mut out = stream.push(b"pw=cor");
    assert_eq!(out.as_bytes(), b"pw=");
    out.append(&stream.idle());
    assert_eq!(out.as_bytes(), b"pw=cor", "three letters tell nothing");
    out.append(&stream.push(b"rect-ho"));
    out.append(&stream.idle());
    assert_eq!(out.as_bytes(), b"pw=cor", "more would");
    out.append(&stream.push(b"rse-battery ok\n"));
    assert_eq!(out.as_bytes(), b"pw=cor*** ok\n");
}

#[test]
fn a_beginning_cut_off_by_the_end_is_hidden() {
    let masker = masker(&["correct-horse-battery"]);
    assert_eq!(cut(&masker, &[b"pw=correct-hor"]), "pw=***");
    assert_eq!(cut(&masker, &[b"pw=cor"]), "pw=cor");
    assert_eq!(masker.text("failed: correct-hor"), "failed: ***");
}

#[test]
fn every_encoding_of_a_secret_is_hidden() {
    let value = "p@ss w'ord/\"x\"\\ü&<9>";
    let masker = masker(&[value]);
    let json = serde_json::to_string(value).unwrap();
    for text in [
        value.to_owned(),
        json.clone(),
        serde_json::to_string(&json).unwrap(),
        "p@ss w'ord/\\\"x\\\"\\\\\\u00fc&<9>".to_owned(),
        "p%40ss%20w%27ord%2F%22x%22%5C%C3%BC%26%3C9%3E".to_owned(),
        "p%40ss+w%27ord%2f%22x%22%5c%c3%bc%26%3c9%3e".to_owned(),
        "p@ss w'\"'\"'ord/\"x\"\\ü&<9>".to_owned(),
        "p@ss\\ w\\'ord/\\\"x\\\"\\\\ü\\&\\<9\\>".to_owned(),
        "p@ss w\\'ord/\"x\"\\\\ü&<9>".to_owned(),
        "b'p@ss w\\'ord/\"x\"\\\\\\xc3\\xbc&<9>'".to_owned(),
        "p@ss w&#39;ord/&quot;x&quot;\\ü&amp;&lt;9&gt;".to_owned(),
        "p@ss w&#x27;ord/&quot;x&quot;\\ü&amp;&lt;9&gt;".to_owned(),
        value.replace('\'', "''"),
        value.replace('"', "\"\""),
        hex::encode(value),
        hex::encode_upper(value),
        STANDARD.encode(value),
        URL_SAFE_NO_PAD.encode(value),
        STANDARD.encode(format!("{value}\n")),
        value.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat(),
        value.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat(),
        value.bytes().map(|byte| format!("\\x{byte:02x}")).collect::<Vec<_>>().concat(),
        value.bytes().map(|byte| format!("\\{byte:03o}")).collect::<Vec<_>>().concat(),
        value.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>().concat(),
        value.chars().map(|c| format!("&#{};", u32::from(c))).collect::<Vec<_>>().concat(),
        value.chars().map(|c| format!("&#x{:X};", u32::from(c))).collect::<Vec<_>>().concat(),
    ] {
        let out = masked(&masker, &format!("<{text}>"));
        assert!(out.len() <= "<b'***'>".len() + 4 && out.contains("***"), "{text} became {out}");
    }
}

#[test]
fn a_secret_whose_white_space_a_shell_made_one_blank_is_hidden() {
    for (value, said) in [("abc1\ndef2\nghi3", "abc1 def2 ghi3"), ("pass  \t word", "pass word")] {
        let out = masked(&masker(&[value]), &format!("<{said}>"));
        assert_eq!(out, "<***>", "{value:?}");
    }
}

#[test]
fn base64_of_a_secret_inside_other_text_shows_no_more_than_shared_characters() {
    let value = "correct-horse-battery";
    let masker = masker(&[value]);
    for before in ["", "u:", "us:", "user:"] {
        for after in ["", "\n", ".", "::"] {
            let text = STANDARD.encode(format!("{before}{value}{after}"));
            let out = masked(&masker, &text);
            let (left, right) = out.split_once("***").unwrap_or_else(|| panic!("{text} became {out}"));
            assert!(left.len() <= (before.len() * 8).div_ceil(6) && right.len() <= 8, "{text} became {out}");
        }
    }
}

#[test]
fn wrapped_base64_is_hidden_line_by_line() {
    let value = (0..40).map(|n| format!("word{n:02}-")).collect::<Vec<_>>().concat();
    let masker = masker(&[&value]);
    for width in [76, 64] {
        let lines: Vec<String> = STANDARD
            .encode(format!("{value}\n"))
            .as_bytes()
            .chunks(width)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        let out = cut(&masker, &[lines.join("\n").as_bytes(), b"\n"]);
        assert!(out.chars().all(|c| c == '*' || c == '\n'), "{out}");
    }
}

#[test]
fn a_multi_line_secret_is_hidden_whatever_stands_between_its_lines() {
    let pem = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\nQ8==\n-----END KEY-----\n";
    let masker = masker(&[pem]);
    let keep = "-----BEGIN KEY-----\n***\n***\n";
    assert!(masked(&masker, pem).starts_with(keep));
    assert_eq!(
        masked(&masker, "  | MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\r\n12:00 BKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj done\n"),
        "  | ***\r\n12:00 *** done\n"
    );
    assert_eq!(masked(&masker, &serde_json::to_string(pem).unwrap()), "\"***\"");
}

#[test]
fn a_short_last_line_is_hidden_with_the_line_before_it() {
    let masker = masker(&["a-long-first-line\nxyz"]);
    assert_eq!(masked(&masker, "a-long-first-line\nxyz\n"), "***\n");
    assert_eq!(masked(&masker, "a-long-first-line\nother xyz\n"), "***\nother xyz\n");
}

#[test]
fn braces_of_a_json_secret_do_not_shred_the_log() {
    let masker = masker(&["{\n  \"client_secret\": \"zebra-crossing-17\",\n  \"n\": 1\n}\n"]);
    assert_eq!(masked(&masker, "fn f() {\n  1\n}\n"), "fn f() {\n  1\n}\n");
    assert_eq!(masked(&masker, "got zebra-crossing-17.\n"), "got ***.\n");
}

#[test]
fn a_secret_across_frame_cuts_of_16_kib_and_in_a_line_of_1_mib_is_hidden() {
    let masker = masker(&["correct-horse-battery"]);
    let mut line = vec![b'c'; 1 << 20];
    for at in [16_384 - 10, 32_768 - 1, 65_536, 500_000] {
        line[at..at + 21].copy_from_slice(b"correct-horse-battery");
    }
    line.push(b'\n');
    let chunks: Vec<&[u8]> = line.chunks(16_384).collect();
    let out = cut(&masker, &chunks);
    assert_eq!(out.matches("***").count(), 4);
    assert_eq!(out.len(), line.len() - 4 * (21 - 3));
    assert!(!out.contains("orre"));
}

#[test]
fn the_body_of_a_killed_eval_is_hidden_inside_shell_quotes() {
    let masker = masker(&["it's-a-secret!"]);
    let text = "bash: line 3:    17 Killed    eval 'curl -H \"Auth: it'\\''s-a-secret!\" https://x/'\n";
    assert_eq!(masked(&masker, text), text.replace("it'\\''s-a-secret!", "***"));
}

#[test]
fn a_byte_is_released_as_soon_as_it_cannot_belong_to_a_secret() {
    let secrets = ["correct-horse", "rse-battery"];
    let masker = masker(&secrets);
    let text = b"Password: correct-hoop 50%\rcorrect-horse-bat! \x1b c correct-horse-battery done";
    let mut stream = masker.stream();
    let mut shown = 0;
    for (at, byte) in text.iter().enumerate() {
        stream.push(&[*byte]);
        let read = &text[..=at];
        let live = (1..=read.len())
            .rev()
            .find(|len| secrets.iter().any(|s| s.len() > *len && s.as_bytes().starts_with(&read[read.len() - len..])));
        // What is held is exactly the longest beginning of a secret, never more.
        let mut probe = masker.stream();
        let out = probe.push(read);
        let held = live.unwrap_or(0);
        let reachable = oracle_len_before(&secrets, read, read.len() - held);
        assert_eq!(out.len(), reachable, "after {:?}", String::from_utf8_lossy(read));
        shown = out.len();
    }
    assert!(shown > 0);
}

/// How long the masked form of the first `until` bytes is, with the rest of `text` known.
fn oracle_len_before(secrets: &[&str], text: &[u8], until: usize) -> usize {
    let mut covered = vec![false; text.len()];
    for secret in secrets {
        for at in 0..text.len() {
            if text[at..].starts_with(secret.as_bytes()) {
                covered[at..at + secret.len()].fill(true);
            }
        }
    }
    let cost = |at: usize| match (covered[at], at > 0 && covered[at - 1]) {
        (true, false) => 3,
        (true, true) => 0,
        (false, _) => 1,
    };
    (0..until).map(cost).sum()
}

#[test]
fn a_finished_line_is_never_held_back() {
    let masker = masker(&[
        "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n-----END KEY-----\n",
    ]);
    let mut stream = masker.stream();
    assert_eq!(stream.push(b"MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n").as_bytes(), b"***\n");
    assert_eq!(stream.push(b"step 3 of 4\r").as_bytes(), b"step 3 of 4\r");
}

#[test]
fn what_is_kept_does_not_grow_with_the_stream() {
    let secret = "a".repeat(40) + "b";
    let masker = masker(&[&secret]);
    let mut stream = masker.stream();
    let chunk = vec![b'a'; 16 * 1024];
    let mut out = 0;
    for _ in 0..64 {
        out += stream.push(&chunk).len();
    }
    // All but the longest beginning has left.
    assert_eq!(out, 64 * chunk.len() - 40);
}

#[test]
fn secrets_that_are_no_text_are_hidden() {
    let value: &[u8] = &[0xff, 0x00, 0x80, 0x41, 0xfe, 0x1b, 0x10, 0x42];
    let masker = Masker::new(&set(&[value]));
    for form in [value.to_vec(), hex::encode(value).into_bytes(), STANDARD.encode(value).into_bytes()] {
        let text = [b"<", &form[..], b">"].concat();
        assert_eq!(cut(&masker, &[&text]), "<***>");
    }
}

#[test]
fn hits_are_counted_by_name_and_never_twice_for_overlaps() {
    let masker = masker(&["abcabc", "zebra-zebra"]);
    cut(&masker, &[b"abcabcabc zebra-", b"zebra emVicmEtemVicmE="]);
    let hits: BTreeMap<String, u64> = masker.hits().into_iter().collect();
    assert_eq!(hits, BTreeMap::from([("S0".to_owned(), 1), ("S1".to_owned(), 2)]));
    assert!(!format!("{masker:?}").contains("zebra-"));
}

#[test]
fn the_canary_passes_with_any_set_and_fails_without_a_masker() {
    assert_eq!(canary(&Masker::new(&SecretSet::default())), Ok(()));
    assert_eq!(canary(&masker(&["canary \"", "hunter22", "0123456789"])), Ok(()));
    assert_eq!(canary(&Masker::none()), Err(CanaryFailed::Absent));
}

#[test]
fn no_secret_means_nothing_changes() {
    let text = "anything *** at all: canary\r\n";
    assert_eq!(masked(&Masker::none(), text), text);
    assert_eq!(masked(&Masker::new(&SecretSet::default()), text), text);
}
