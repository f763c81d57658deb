//! Text in quotes, decoded as PyYAML does it.

use super::{Walk, is_space};

impl Walk<'_> {
    /// The text up to the closing quote, its lines folded as PyYAML folds them.
    pub(super) fn quoted_text(&mut self, double: bool) -> Option<String> {
        let mut value = String::new();
        loop {
            match self.peek()? {
                '"' if double => break,
                '\'' if !double && self.second() != Some('\'') => break,
                '\'' if !double => {
                    value.push('\'');
                    self.at += 2;
                }
                '\\' if double => self.escape(&mut value)?,
                c if is_space(Some(c)) => {
                    let (text, from) = (self.text, self.at);
                    self.skip_blanks();
                    let blanks = &text[from..self.at];
                    match self.skip_break() {
                        None => value.push_str(blanks),
                        Some(first) => {
                            let more = self.more_breaks()?;
                            match folded(first) {
                                '\n' if more.is_empty() => value.push(' '),
                                '\n' => {}
                                odd => value.push(odd),
                            }
                            value.push_str(&more);
                        }
                    }
                }
                c => {
                    value.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
        self.at += 1;
        Some(value)
    }

    /// Blank lines inside of quotes, each of which is a break of the text, and the indentation of the next line.
    fn more_breaks(&mut self) -> Option<String> {
        let mut breaks = String::new();
        loop {
            if self.is_marker() {
                return None;
            }
            self.skip_blanks();
            match self.skip_break() {
                Some(c) => breaks.push(folded(c)),
                None => return Some(breaks),
            }
        }
    }

    fn escape(&mut self, value: &mut String) -> Option<()> {
        self.at += 1;
        if self.skip_break().is_some() {
            value.push_str(&self.more_breaks()?);
            return Some(());
        }
        let c = self.peek()?;
        self.at += c.len_utf8();
        let digits = match c {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        if digits == 0 {
            value.push(escaped(c)?);
            return Some(());
        }
        let code =
            self.text.get(self.at..self.at + digits).filter(|code| code.bytes().all(|b| b.is_ascii_hexdigit()))?;
        let code = u32::from_str_radix(code, 16).ok().filter(|code| *code <= u32::from(char::MAX))?;
        // Python's text can hold half a pair of surrogates, ours cannot.
        value.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        self.at += digits;
        Some(())
    }
}

/// What a line break is in a text: U+2028 and U+2029 stay, any other is `\n`.
fn folded(c: char) -> char {
    if matches!(c, '\u{2028}' | '\u{2029}') { c } else { '\n' }
}

fn escaped(c: char) -> Option<char> {
    Some(match c {
        '0' => '\0',
        'a' => '\x07',
        'b' => '\x08',
        't' | '\t' => '\t',
        'n' => '\n',
        'v' => '\x0B',
        'f' => '\x0C',
        'r' => '\r',
        'e' => '\x1B',
        ' ' | '"' | '/' | '\\' => c,
        'N' => '\u{85}',
        '_' => '\u{A0}',
        'L' => '\u{2028}',
        'P' => '\u{2029}',
        _ => return None,
    })
}
