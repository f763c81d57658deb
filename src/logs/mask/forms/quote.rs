//! How shells, Python, JSON, URLs and markup write one value.
//!
//! Pure. A form that equals the value is returned too; the caller keeps a set.

use std::fmt::Write as _;

/// Before these bytes, which it uses itself, bash writes no backslash.
const KEPT: [char; 2] = ['\x01', '\x7f'];

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
    let markup = markup(text);
    // A page inside a page, what was escaped before it came to a template, and both.
    for (writer, once) in markup.iter().enumerate() {
        let twice = self::markup(once)[writer].clone();
        forms.push(self::markup(&twice)[writer].clone());
        forms.push(twice);
        // A page that is looked for.
        forms.push(regular(once));
    }
    forms.extend(markup);
    forms.extend(wary_markup(text));
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

/// As shells write a word of it: in single quotes (Python's `shlex.quote`, bash, dash, zsh), in double quotes, with
/// backslashes (bash's `printf %q`, some others, fish, zsh), in `$'…'`, as zsh's `${(q-)x}` and `${(q+)x}`, and as `set -x`
/// of bash shows it in `[[ … =~ … ]]` and `[[ … == … ]]`.
fn shell(text: &str) -> Vec<String> {
    let quoted = [
        text.replace('\'', "'\"'\"'"),
        text.replace('\'', "'\\''"),
        bash_word(text, true),
        bash_word(text, false),
        dollar_text(text, "\\E"),
        dollar_text(text, "\\033").replace('!', "\\!"),
        dollar(text.as_bytes()),
        caret(text, false),
        caret(text, true),
    ];
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c) || !c.is_ascii();
    let mut forms = vec![
        grouped(text, "\"", "'"),
        grouped(text, "", "\\'"),
        escape(text, |c| "\"\\$`".contains(c)),
        escape(text, |c| !plain(c)),
        escape(text, |c| c == '%' || !"!^`".contains(c) && !plain(c)),
        escape(text, |c| !"!~".contains(c) && !plain(c)),
        escape(text, |c| "$()*+.?[\\^{|".contains(c)),
        regular(text),
        escape(text, |c| !KEPT.contains(&c)),
        spliced(text, false),
        spliced(text, true),
    ];
    // `set -x` quotes once more what was quoted before.
    forms.extend(quoted.iter().map(|once| once.replace('\'', "'\\''")));
    forms.extend(quoted);
    forms.extend(minimal(text));
    forms
}

/// What zsh puts in single quotes or behind a backslash, wherever it stands.
const SPECIAL: &str = "#$^*()|{}[]`<>?;&\n\t \\\"";

/// As zsh's `${(q-)x}` writes a word: what lies between two single quotes is put in quotes only where it has to be, and
/// a quote of the value stands behind a backslash. What stands around the value in a word decides about its first and
/// its last part, too, so that each comes with quotes and without. Those before the first and behind the last character
/// are left out.
fn minimal(text: &str) -> Vec<String> {
    if !text.contains('\'') {
        return Vec::new();
    }
    let parts: Vec<&str> = text.split('\'').collect();
    let last = parts.len() - 1;
    let written = |first_is_quoted: bool, last_is_quoted: bool| {
        let mut out = String::new();
        for (at, part) in parts.iter().enumerate() {
            let by_neighbour = (at == 0 && first_is_quoted) || (at == last && last_is_quoted);
            let is_quoted = part.contains(|c: char| SPECIAL.contains(c)) || (by_neighbour && !part.is_empty());
            if at > 0 {
                out.push_str(if is_quoted { "\\''" } else { "\\'" });
            }
            out.push_str(part);
            if is_quoted && at < last {
                out.push('\'');
            }
        }
        out
    };
    vec![written(false, false), written(false, true), written(true, false), written(true, true)]
}

/// As zsh's `${(q)x}` writes a word: with backslashes, and what cannot be printed in a `$'…'` of its own; letters beyond
/// ASCII, too, where only `ascii` can.
fn spliced(text: &str, ascii: bool) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_control() || (ascii && !c.is_ascii()) {
            for byte in c.encode_utf8(&mut [0; 4]).as_bytes().chunks(if ascii { 1 } else { 4 }) {
                // Writing into a string cannot fail.
                let _ = write!(out, "$'{}'", dollar(byte).replace("\\E", "\\033"));
            }
            continue;
        }
        if c == '\'' || SPECIAL.contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Inside `$'…'` as zsh's `${(q+)x}` writes it: control characters as `\C-A`, and `!` and `"` as they are; letters beyond
/// ASCII byte by byte where only `ascii` can be printed.
fn caret(text: &str, ascii: bool) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if !ascii && !c.is_ascii() && !c.is_control() {
            out.push(c);
        } else if ascii {
            for byte in c.encode_utf8(&mut [0; 4]).as_bytes() {
                nice(u32::from(*byte), &mut out);
            }
        } else {
            nice(u32::from(c), &mut out);
        }
    }
    out
}

/// A number below 256 as zsh shows it to people.
fn nice(number: u32, out: &mut String) {
    if number >= 0x80 {
        out.push_str("\\M-");
    }
    match number & 0x7f {
        0x09 => out.push_str("\\t"),
        0x0a => out.push_str("\\n"),
        0x27 => out.push_str("\\'"),
        0x5c => out.push_str("\\\\"),
        low @ (0..0x20 | 0x7f) => {
            out.push_str("\\C-");
            // The letter that is typed together with Ctrl.
            out.extend(char::from_u32(low ^ 0x40));
        }
        low => out.extend(char::from_u32(low)),
    }
}

/// A word as bash's `printf %q` writes it: with a backslash before a comma too, before `#` only where the word `begins`
/// with it, before `~` only there and behind `:` and `=`.
fn bash_word(text: &str, begins: bool) -> String {
    let mut out = String::new();
    let mut before = if begins { None } else { Some('x') };
    for c in text.chars() {
        let special = match c {
            '#' => before.is_none(),
            '~' => matches!(before, None | Some(':' | '=')),
            c => c.is_ascii() && !c.is_ascii_alphanumeric() && !"_-./:=@%+".contains(c),
        };
        if special {
            out.push('\\');
        }
        out.push(c);
        before = Some(c);
    }
    out
}

/// Inside `$'…'` where letters beyond ASCII may be printed; shells differ in how they write ESC.
fn dollar_text(text: &str, escape: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\x1b' => out.push_str(escape),
            c if c.is_ascii() || c.is_control() => out.push_str(&dollar(c.encode_utf8(&mut [0; 4]).as_bytes())),
            c => out.push(c),
        }
    }
    out
}

/// Inside `$'…'` where they may not, as in the C locale, which most images have; and of what is no text.
pub(super) fn dollar(bytes: &[u8]) -> String {
    let mut out = String::new();
    for byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\'' => out.push_str("\\'"),
            0x07 => out.push_str("\\a"),
            0x08 => out.push_str("\\b"),
            b'\t' => out.push_str("\\t"),
            b'\n' => out.push_str("\\n"),
            0x0b => out.push_str("\\v"),
            0x0c => out.push_str("\\f"),
            b'\r' => out.push_str("\\r"),
            0x1b => out.push_str("\\E"),
            0x20..=0x7e => out.push(char::from(*byte)),
            byte => {
                // Writing into a string cannot fail.
                let _ = write!(out, "\\{byte:03o}");
            }
        }
    }
    out
}

/// Single quotes as dash (in double quotes) and zsh (behind backslashes) write them: those that follow each other together;
/// without what stands before the first and behind the last character.
fn grouped(text: &str, around: &str, quote: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in text.chars() {
        if c == '\'' {
            if !inside {
                out.push_str(if out.is_empty() { "" } else { "'" });
                out.push_str(around);
            }
            out.push_str(quote);
            inside = true;
            continue;
        }
        if inside {
            out.push_str(around);
            out.push('\'');
        }
        inside = false;
        out.push(c);
    }
    out
}

/// Every byte behind a backslash: `set -x` in `[[ … == … ]]` in the C locale.
pub(super) fn every_byte_escaped(bytes: &[u8]) -> Vec<u8> {
    let kept = |byte: u8| KEPT.contains(&char::from(byte));
    let pairs = bytes.iter().flat_map(|byte| (!kept(*byte)).then_some(b'\\').into_iter().chain([*byte]));
    pairs.collect()
}

/// Every character as a number, as encoders write it that keep none: `\u0041`, `&#65;`, `&#x41;`.
pub(super) fn every(text: &str) -> [String; 5] {
    let mut forms = [const { String::new() }; 5];
    let [lower, upper, decimal, hex, hex_upper] = &mut forms;
    for c in text.chars() {
        let number = u32::from(c);
        // Writing into a string cannot fail.
        let _ = write!(decimal, "&#{number};");
        let _ = write!(hex, "&#x{number:x};");
        let _ = write!(hex_upper, "&#x{number:X};");
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(lower, "\\u{unit:04x}");
            let _ = write!(upper, "\\u{unit:04X}");
        }
    }
    forms
}

/// Every byte as an octal escape: `\101`.
pub(super) fn octal(bytes: &[u8]) -> Vec<u8> {
    let mut out = String::new();
    for byte in bytes {
        let _ = write!(out, "\\{byte:03o}");
    }
    out.into_bytes()
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

/// As Python's `re.escape` writes it, in which a line break stays one.
fn regular(text: &str) -> String {
    escape(text, |c| "()[]{}?*+-|^$\\.&~# \t\n\r\x0b\x0c".contains(c))
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
fn markup(text: &str) -> [String; 9] {
    let only = text.replace('&', "&amp;");
    let base = only.replace('<', "&lt;").replace('>', "&gt;");
    [
        // Writers of XML leave `>` as it is, and careless ones all but the `&`.
        only.replace('<', "&lt;"),
        only,
        base.replace('"', "&quot;").replace('\'', "&#39;"),
        base.replace('"', "&quot;").replace('\'', "&#x27;"),
        base.replace('"', "&quot;").replace('\'', "&apos;"),
        base.replace('"', "&#34;").replace('\'', "&#39;"),
        base.replace('"', "&#x22;").replace('\'', "&#x27;"),
        base.replace('"', "&quot;"),
        base,
    ]
}

/// The same by writers that choose more: of attributes, in which blanks are numbers (Python's two differ in the tab), of
/// templates (Go's, Mustache's), and those that know no names of entities.
fn wary_markup(text: &str) -> [String; 8] {
    let base = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let blanks = |text: &str, tab: &str| text.replace('\n', "&#10;").replace('\r', "&#13;").replace('\t', tab);
    let in_double = base.replace('"', "&quot;");
    [
        blanks(&base, "&#9;"),
        blanks(&in_double, "&#9;"),
        blanks(&in_double, "&#09;"),
        base.replace('"', "&#34;").replace('\'', "&#39;").replace('+', "&#43;"),
        in_double.replace('\'', "&#39;").replace('/', "&#x2F;").replace('`', "&#x60;").replace('=', "&#x3D;"),
        coded(text, |number| format!("&#{number};")),
        coded(text, |number| format!("&#x{number:x};")),
        coded(text, |number| format!("&#x{number:X};")),
    ]
}

/// Every character that means something in markup as a number.
fn coded(text: &str, write: impl Fn(u32) -> String) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if "&<>\"'".contains(c) {
            out.push_str(&write(u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
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
