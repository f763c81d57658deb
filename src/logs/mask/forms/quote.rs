//! How shells, Python, JSON, URLs and markup write one value.
//!
//! Pure. A form that equals the value is returned too; the caller keeps a set.

use std::fmt::Write as _;

/// The forms of a text.
pub(super) fn all(text: &str) -> Vec<String> {
    let json = json(text);
    let ascii = ascii_json(&json);
    let mut forms = vec![json.replace('/', "\\/"), self::json(&json), self::json(&ascii), ascii];
    forms.extend(safe_json(&json));
    forms.push(json);
    forms.extend(shell(text));
    forms.extend(doubled(text));
    let python = python(text);
    forms.extend(python.iter().flat_map(|once| self::python(once)));
    forms.extend(python.iter().map(|once| ascii_python(once)));
    forms.extend(python);
    forms.extend(markup(text));
    forms.push(numbered(text));
    forms
}

/// Inside a JSON string.
pub(super) fn json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// As Python's `json` writes it: letters beyond ASCII as `\u` pairs.
fn ascii_json(json: &str) -> String {
    let mut out = String::new();
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing into a string cannot fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

/// As encoders write it that think of HTML: Go's, Jinja's and Django's with all three letters, PHP's with the quote too.
fn safe_json(json: &str) -> [String; 3] {
    let safe = |json: &str| json.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e");
    let once = safe(json);
    [safe(&ascii_json(json)), once.replace('\'', "\\u0027"), once]
}

/// `ascii()` of what `repr` wrote, and `backslashreplace`.
fn ascii_python(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let number = u32::from(c);
        // Writing into a string cannot fail.
        let _ = match number {
            0..0x80 => write!(out, "{c}"),
            0x80..0x100 => write!(out, "\\x{number:02x}"),
            0x100..0x1_0000 => write!(out, "\\u{number:04x}"),
            _ => write!(out, "\\U{number:08x}"),
        };
    }
    out
}

/// `xmlcharrefreplace`: letters beyond ASCII as numbers.
fn numbered(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            let _ = write!(out, "&#{};", u32::from(c));
        }
    }
    out
}

/// Single quotes closed and opened again, double quotes, `printf %q`, and `$'…'`.
fn shell(text: &str) -> [String; 5] {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c) || !c.is_ascii();
    [
        text.replace('\'', "'\"'\"'"),
        text.replace('\'', "'\\''"),
        escape(text, |c| "\"\\$`".contains(c)),
        escape(text, |c| !plain(c)),
        escape(text, |c| "'\\".contains(c)).replace('\n', "\\n").replace('\t', "\\t").replace('\r', "\\r"),
    ]
}

/// A quote inside its own kind, as SQL, YAML, CSV and PowerShell write it.
fn doubled(text: &str) -> [String; 2] {
    [text.replace('\'', "''"), text.replace('"', "\"\"")]
}

fn escape(text: &str, special: impl Fn(char) -> bool) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if special(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// `repr` of a text, in either quotes.
fn python(text: &str) -> [String; 2] {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    [out.replace('\'', "\\'"), out]
}

/// `repr` of bytes.
pub(super) fn bytes_literal(bytes: &[u8]) -> [Vec<u8>; 2] {
    let mut out = String::new();
    for byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x20..=0x7e => out.push(char::from(*byte)),
            byte => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    [out.replace('\'', "\\'").into_bytes(), out.into_bytes()]
}

/// HTML and XML, with the entities that Python, Go, JavaScript and XML writers choose.
fn markup(text: &str) -> [String; 5] {
    let base = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    [
        base.replace('"', "&quot;").replace('\'', "&#39;"),
        base.replace('"', "&quot;").replace('\'', "&#x27;"),
        base.replace('"', "&quot;").replace('\'', "&apos;"),
        base.replace('"', "&#34;").replace('\'', "&#39;"),
        base,
    ]
}

/// URLs: strict, as paths, as `encodeURIComponent`, as forms; digits in either case.
pub(super) fn percent(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for kept in ["-._~", "-._~/", "-._~!'()*", "-._*", "-._~;/?:@&=+$,!'()*#"] {
        for upper in [true, false] {
            let strict = percent_with(bytes, kept, upper);
            forms.push(strict.replace("%20", "+").into_bytes());
            forms.push(strict.into_bytes());
        }
    }
    forms
}

fn percent_with(bytes: &[u8], kept: &str, upper: bool) -> String {
    let mut out = String::new();
    for byte in bytes {
        let c = char::from(*byte);
        if c.is_ascii_alphanumeric() || kept.contains(c) {
            out.push(c);
        } else if upper {
            let _ = write!(out, "%{byte:02X}");
        } else {
            let _ = write!(out, "%{byte:02x}");
        }
    }
    out
}
