//! The shapes in which one secret turns up in a log: as it is, by line, quoted, escaped, encoded.
//!
//! Pure. Patterns hold no newline where that can be had, so that a finished line is never held back.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

mod quote;

/// Shorter patterns would shred the log.
const SHORTEST: usize = 4;
/// Shorter lines of a longer secret are not hidden on their own: a JSON secret has lines like `{`.
const SHORTEST_LINE: usize = 8;
/// Shorter encodings are looked for in one line only: a line that ends in half of one would be held back too often.
const SHORTEST_BROKEN: usize = 8;
/// Longer values get the plain, JSON and base64 forms only: memory grows with every form.
const MANY_FORMS: usize = 64 * 1024;
/// Longer values are not looked for with every character as a number: those are the longest forms.
const MANY_NUMBERS: usize = 4 * 1024;

/// All patterns for one value.
pub(super) fn of(value: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut found = BTreeSet::new();
    for text in spellings(value) {
        lines(&text, &mut found);
        encoded(&text, &mut found);
    }
    found.retain(|pattern| pattern.len() >= SHORTEST);
    found
}

/// Those of them that are base64, which programs break into lines at any column; without padding and the last bits, for
/// which a finished line would have to wait.
pub(super) fn base64(value: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut found = BTreeSet::new();
    for text in spellings(value).iter().filter(|text| text.len() <= MANY_FORMS) {
        base64_inside(text, &mut found);
    }
    found.retain(|pattern| pattern.len() >= SHORTEST_BROKEN);
    found
}

/// The value itself, without what surrounds it, and what its log line is once control sequences are gone.
fn spellings(value: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut all = BTreeSet::from([value.to_vec()]);
    let trimmed = value.trim_ascii();
    all.insert(trimmed.to_vec());
    if let [open @ (b'"' | b'\''), inner @ .., close] = trimmed
        && open == close
    {
        all.insert(inner.to_vec());
    }
    all.extend(inside_json(trimmed));
    let words: Vec<&[u8]> = trimmed.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
    // What an unquoted variable comes to in a shell, and `' '.join(text.split())`.
    all.insert(words.join(&b' '));
    let plain: Vec<Vec<u8>> = all.iter().map(|text| crate::logs::plain::strip(text)).collect();
    all.extend(plain);
    all.retain(|text| text.len() >= SHORTEST);
    all
}

/// The telling members of a JSON secret: `private_key` of a service account is printed on its own.
fn inside_json(text: &[u8]) -> Vec<Vec<u8>> {
    const TELLING: [&str; 6] = ["key", "secret", "token", "password", "credential", "signature"];
    let Ok(serde_json::Value::Object(members)) = serde_json::from_slice(text) else { return Vec::new() };
    let telling = |name: &str| TELLING.iter().any(|word| name.to_ascii_lowercase().contains(word));
    let strings = members.iter().filter(|(name, _)| telling(name)).filter_map(|(_, value)| value.as_str());
    strings.filter(|text| text.len() >= SHORTEST_LINE).map(|text| text.as_bytes().to_vec()).collect()
}

/// A value of one line is one pattern; of a longer one each line is, and a short last line with the line before it.
fn lines(value: &[u8], found: &mut BTreeSet<Vec<u8>>) {
    let all: Vec<&[u8]> = value.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
    if let [only] = all[..] {
        found.insert(only.to_vec());
        return;
    }
    let full: Vec<&[u8]> = all.iter().copied().filter(|line| !line.is_empty()).collect();
    let mut hidden = false;
    for line in full.iter().map(|line| line.trim_ascii()) {
        let frame = line.starts_with(b"-----") && line.ends_with(b"-----");
        if line.len() >= SHORTEST_LINE && !frame {
            hidden = true;
            found.insert(line.to_vec());
            escaped(line, found);
        }
    }
    match full[..] {
        [.., before, last] if last.trim_ascii().len() < SHORTEST_LINE && before.trim_ascii().len() >= SHORTEST_LINE => {
            for newline in [&b"\n"[..], b"\r\n"] {
                found.insert([before, newline, last].concat());
            }
        }
        // Nothing but short lines: only together do they tell a secret from a log.
        _ if !hidden => {
            for newline in [&b"\n"[..], b"\r\n"] {
                found.insert(full.join(newline));
            }
        }
        _ => {}
    }
}

/// The encodings of the whole value; none of them holds a newline.
fn encoded(value: &[u8], found: &mut BTreeSet<Vec<u8>>) {
    base64_inside(value, found);
    base64_whole(value, found);
    let ended = [value, b"\n"].concat();
    base64_whole(&ended, found);
    if value.len() > MANY_FORMS {
        found.extend(std::str::from_utf8(value).ok().map(|text| quote::json(text).into_bytes()));
        return;
    }
    escaped(value, found);
    for bytes in [value, &ended] {
        wrapped(bytes, found);
    }
    found.insert(hex::encode(value).into_bytes());
    found.insert(hex::encode_upper(value).into_bytes());
    for separator in [" ", ":", "-", "\\x", "%"] {
        for digits in [hex::encode(value), hex::encode_upper(value)] {
            found.insert(spaced(&digits, separator));
        }
    }
    if value.len() <= MANY_NUMBERS {
        found.insert(quote::octal(value));
        let text = std::str::from_utf8(value).ok();
        found.extend(text.into_iter().flat_map(quote::every).map(String::into_bytes));
    }
    let once = quote::percent(value);
    // A link inside a link.
    found.extend(once.iter().filter(|form| form.contains(&b'%')).flat_map(|form| quote::percent(form)));
    found.extend(once);
}

/// `53 33`, `53:33`, `\x53\x33`, `%53%33`: as dumps, literals and encoders that keep no byte write them.
fn spaced(digits: &str, separator: &str) -> Vec<u8> {
    let pairs: Vec<&str> = (0..digits.len() / 2).map(|at| &digits[at * 2..at * 2 + 2]).collect();
    pairs.join(separator).into_bytes()
}

/// Quoted and escaped forms, without those that would still hold a newline.
fn escaped(text: &[u8], found: &mut BTreeSet<Vec<u8>>) {
    found.extend(quote::bytes_literal(text));
    found.insert(quote::dollar(text).into_bytes());
    if !text.contains(&b'\n') {
        found.insert(quote::every_byte_escaped(text));
    }
    if let Ok(text) = std::str::from_utf8(text) {
        found.extend(quote::all(text).into_iter().filter(|form| !form.contains('\n')).map(String::into_bytes));
    }
}

/// The value anywhere inside a longer base64 text: three ways to fall on its groups, without the characters that
/// neighbouring bytes take part in.
fn base64_inside(value: &[u8], found: &mut BTreeSet<Vec<u8>>) {
    for offset in 0..3 {
        let text = [&[0; 3][..offset], value].concat();
        let from = (offset * 8).div_ceil(6);
        let to = text.len() * 8 / 6;
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            found.insert(engine.encode(&text).as_bytes()[from..to].to_vec());
        }
    }
}

/// The value encoded on its own, to the last character.
fn base64_whole(value: &[u8], found: &mut BTreeSet<Vec<u8>>) {
    const ENGINES: [GeneralPurpose; 4] = [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD];
    found.extend(ENGINES.iter().map(|engine| engine.encode(value).into_bytes()));
}

/// The value encoded on its own by a tool that breaks lines: MIME at 76 columns, PEM at 64. The automaton sees through
/// line ends alone; these patterns are for lines that something else stands between: a time, an indent, `\n` in quotes.
fn wrapped(value: &[u8], found: &mut BTreeSet<Vec<u8>>) {
    let text = STANDARD.encode(value);
    for width in [76, 64] {
        if text.len() > width {
            let broken: Vec<&[u8]> = text.as_bytes().chunks(width).collect();
            lines(&broken.join(&b'\n'), found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(value: &[u8], form: &str) -> bool {
        of(value).contains(form.as_bytes())
    }

    #[test]
    fn each_encoding_of_a_value_is_a_pattern() {
        let value = b"it's <a> b\"c/d\\e";
        for form in [
            "it's <a> b\"c/d\\e",
            r#"it's <a> b\"c/d\\e"#,
            "it%27s%20%3Ca%3E%20b%22c%2Fd%5Ce",
            "it%27s+%3ca%3e+b%22c%2fd%5ce",
            "it'\"'\"'s <a> b\"c/d\\e",
            r#"it'\''s <a> b"c/d\e"#,
            r#"it\'s\ \<a\>\ b\"c/d\\e"#,
            r#"it\'s <a> b"c/d\\e"#,
            "it&#39;s &lt;a&gt; b&quot;c/d\\e",
            "aXQncyA8YT4gYiJjL2RcZQ==",
        ] {
            assert!(has(value, form), "{form}");
        }
        assert!(has(value, &hex::encode(value)) && has(value, &hex::encode_upper(value)));
    }

    #[test]
    fn encoders_that_think_of_html_dumps_and_encodings_of_encodings_are_patterns() {
        for (value, form) in [
            ("pass&word\"quote1", "pass\\u0026word\\\"quote1"),
            ("sv=1&sig=<x>abc", "sv=1\\u0026sig=\\u003cx\\u003eabc"),
            ("pässwörd-geheim1", "p\\xe4ssw\\xf6rd-geheim1"),
            ("pässwörd-geheim1", "p&#228;ssw&#246;rd-geheim1"),
            ("it's-a\\secret1", "it\\\\\\'s-a\\\\\\\\secret1"),
            ("a+b/c=dsecret", "a%252Bb%252Fc%253Ddsecret"),
            ("a&b<c>\"d'secret", "a&amp;amp;b&amp;lt;c&amp;gt;&amp;quot;d&amp;#x27;secret"),
            ("a&b<c>\"d'secret", "a&amp;amp;b&amp;lt;c&amp;gt;\"d'secret"),
            ("a&b<c>\"d'secret", "a&amp;b<c>\"d'secret"),
            ("a&b<c>\"d'secret", "a&amp;b&lt;c>\"d'secret"),
            ("a&b<c>\"d'secret", "a&amp;b&lt;c&gt;&quot;d'secret"),
            ("a&b<c>\"d'secret", "a&amp;b&lt;c&gt;&#x22;d&#x27;secret"),
            ("a&b<c>\"d'secret", "a&#38;b&#60;c&#62;&#34;d&#39;secret"),
            ("a&b<c>\"d'secret", "a&#x26;b&#x3c;c&#x3e;&#x22;d&#x27;secret"),
            ("a&b<c>\"d'secret", "a&#x26;b&#x3C;c&#x3E;&#x22;d&#x27;secret"),
            ("a&b<c>\"d'secret", "a&amp;amp;amp;b&amp;amp;lt;c&amp;amp;gt;&amp;amp;quot;d&amp;amp;#x27;secret"),
            ("a&b<c>\"d'secret", r"a\&amp;b\&lt;c\&gt;\&quot;d\&\#x27;secret"),
            ("a\t\"b<secret", "a&#9;\"b&lt;secret"),
            ("a\t\"b'<secret", "a&#9;&quot;b'&lt;secret"),
            ("a\t\"b'<secret", "a&#09;&quot;b'&lt;secret"),
            ("a\nb<secret", "a&#10;b&lt;secret"),
            ("a+b/c='<secret", "a&#43;b/c=&#39;&lt;secret"),
            ("a+b/c='<secret", "a+b&#x2F;c&#x3D;&#39;&lt;secret"),
            ("a&b<c>\"d'e.f-g h#", r#"a\&b<c>"d'e\.f\-g\ h\#"#),
            ("p.q~r{s}secret", r"p\.q\~r\{s\}secret"),
            ("S3cret", "53 33 63 72 65 74"),
            ("S3cret", "53:33:63:72:65:74"),
            ("S3cret", "53\\x33\\x63\\x72\\x65\\x74"),
            ("S3cret", "53%33%63%72%65%74"),
            ("p@ss", "\\u0070\\u0040\\u0073\\u0073"),
            ("jjjé", "\\u006A\\u006A\\u006A\\u00E9"),
            ("p@ss", "\\160\\100\\163\\163"),
            ("jjjé", "&#106;&#106;&#106;&#233;"),
            ("jjjé", "&#x6a;&#x6a;&#x6a;&#xe9;"),
            ("jjjé", "&#x6A;&#x6A;&#x6A;&#xE9;"),
        ] {
            assert!(has(value.as_bytes(), form), "{form}");
        }
    }

    #[test]
    fn words_of_shells_are_patterns_and_so_is_what_tracing_makes_of_them() {
        for (value, form) in [
            ("#a,b~c:~d#", r"\#a\,b~c:\~d#"),
            ("#a,b~c:~d#", r"#a\,b~c:\~d#"),
            ("it's a", r"it\'\''s\ a"),
            ("it's a", r"it'\''\'\'''\''s a"),
            ("it''s a", "it'\"''\"'s a"),
            ("it''s a'", r"it'\'\''s a'\'"),
            ("a%b^c~d!e", r"a\%b^c\~d!e"),
            ("a%b^c~d!e", r"a%b\^c~d!e"),
            ("tab\there\u{1b}é", r"tab\there\Eé"),
            ("tab\there\u{1b}é", r"tab\there\033é"),
            ("tab\there\u{1b}é", r"tab\there\E\303\251"),
            ("a.b(c)", r"a\.b\(c\)"),
            ("a.b(c)", r"\a\.\b\(\c\)"),
        ] {
            assert!(has(value.as_bytes(), form), "{form}");
        }
        assert!(of(b"\xff\xfe\x01secret").contains(&br"\377\376\001secret"[..]));
    }

    /// What zsh 5.9 prints of `${(q-)x}`, `${(q+)x}` and `${(q)x}`, without what stands before the first and behind the last
    /// character.
    #[test]
    fn words_that_zsh_quotes_as_little_as_it_can_are_patterns() {
        for (value, form) in [
            ("ab'cd ef", r"ab\''cd ef"),
            ("don't $x", r"don\''t $x"),
            ("a''b c", r"a\'\''b c"),
            ("a b'c", r"a b'\'c"),
            ("ab'cd ef'gh", r"ab\''cd ef'\'gh"),
            ("'x y'", r"\''x y'\'"),
            ("it's", r"it\'s"),
            ("=ab'cd", r"=ab'\'cd"),
            ("ab'cd ef", r"ab'\''cd ef"),
            ("'xyz'", r"\''xyz'\'"),
            ("a''b c'", r"a'\'\''b c'\'"),
            ("q'\u{1b}\u{7f}a!\"b", r#"q\'\C-[\C-?a!"b"#),
            ("é\u{1}\tx\\", r"é\C-A\tx\\"),
            ("é\u{1}\tx\\", r"\M-C\M-)\C-A\tx\\"),
            ("a\u{85}bcd", r"a\M-\C-Ebcd"),
            ("a\tb'\u{1b}", r"a$'\t'b\'$'\033'"),
            ("é\tabc", r"$'\303'$'\251'$'\t'abc"),
        ] {
            assert!(has(value.as_bytes(), form), "{form}");
        }
    }

    #[test]
    fn a_long_value_is_not_looked_for_as_numbers() {
        let value = "k".repeat(MANY_NUMBERS + 1);
        assert!(!of(value.as_bytes()).iter().any(|form| form.starts_with(b"&#")));
    }

    #[test]
    fn base64_with_a_newline_after_the_value_is_hidden_to_its_end() {
        assert!(has(b"correct horse", &STANDARD.encode("correct horse\n")));
    }

    #[test]
    fn braces_of_a_json_secret_are_no_patterns_but_its_key_is() {
        let value = b"{\n  \"private_key\": \"line one of it\\nline two of it\\n\",\n  \"type\": \"x\"\n}\n";
        let all = of(value);
        assert!(!all.iter().any(|pattern| pattern.trim_ascii().len() < SHORTEST));
        assert!(all.contains(&b"line two of it"[..]));
        assert!(all.iter().all(|pattern| !pattern.contains(&b'\n') || pattern.ends_with(b"}")));
    }

    #[test]
    fn frame_lines_of_a_pem_stay_readable() {
        let value = b"-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w\nab=\n-----END KEY-----\n";
        assert!(!has(value, "-----BEGIN KEY-----"));
        assert!(has(value, "MIIEvQIBADANBg") && has(value, "kqhkiG9w"));
    }

    #[test]
    fn a_value_of_short_lines_is_hidden_as_a_whole() {
        assert!(has(b"abc\ndef\nghi", "abc\ndef\nghi"));
    }
}
