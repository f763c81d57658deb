//! Takes control sequences out of a stream: what moves the cursor, sets titles, writes the clipboard or hides text.
//!
//! Colours are kept beside the text as marks; tabs, newlines and carriage returns stay. It runs before the masker, so
//! that a secret cut by a colour is still one. It never holds text back, only an unfinished sequence.

use std::borrow::Cow;

use crate::logs::mask::Mark;

/// Colours longer than this are noise or an attempt to smuggle text.
const COLOUR_MAX: usize = 24;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Text.
    Ground,
    /// After 0xC2, which begins the C1 controls as UTF-8.
    C2,
    /// After ESC.
    Escape,
    /// After ESC and an intermediate byte.
    Intermediate,
    /// In a control sequence.
    Csi,
    /// In a string: title, clipboard, image.
    Text,
    /// After ESC in a string.
    TextEscape,
}

/// The control sequences of one stream.
#[derive(Debug)]
pub struct Plain {
    state: State,
    colour: Vec<u8>,
}

impl Default for Plain {
    fn default() -> Self {
        Self::new()
    }
}

impl Plain {
    /// At the beginning of a stream.
    pub fn new() -> Self {
        Self { state: State::Ground, colour: Vec::new() }
    }

    /// Takes bytes, returns the text of them; colours go into `marks` where they are wanted.
    pub(in crate::logs) fn push<'a>(&mut self, bytes: &'a [u8], marks: &mut Vec<Mark>) -> Cow<'a, [u8]> {
        let clean = if self.state == State::Ground { leading_text(bytes) } else { 0 };
        if clean == bytes.len() {
            return Cow::Borrowed(bytes);
        }
        let mut out = bytes[..clean].to_vec();
        let mut at = clean;
        while at < bytes.len() {
            if self.state == State::Ground {
                let text = leading_text(&bytes[at..]);
                out.extend_from_slice(&bytes[at..at + text]);
                at += text;
            }
            if let Some(byte) = bytes.get(at) {
                self.step(*byte, &mut out, marks);
                at += 1;
            }
        }
        Cow::Owned(out)
    }

    /// The same, with colours where they stood, where they are wanted; for bytes that were masked before.
    pub fn keep<'a>(&mut self, bytes: &'a [u8], colours: bool) -> Cow<'a, [u8]> {
        let mut marks = Vec::new();
        let text = self.push(bytes, &mut marks);
        if !colours || marks.is_empty() {
            return text;
        }
        let mut kept = Vec::with_capacity(bytes.len());
        let mut from = 0;
        for mark in &marks {
            kept.extend_from_slice(&text[from..mark.at]);
            kept.extend_from_slice(&mark.bytes);
            from = mark.at;
        }
        kept.extend_from_slice(&text[from..]);
        Cow::Owned(kept)
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>, marks: &mut Vec<Mark>) {
        let next = match (self.state, byte) {
            (State::C2, 0x80..=0x9f) => match byte {
                0x9b => self.begin_csi(),
                0x90 | 0x98 | 0x9d | 0x9e | 0x9f => State::Text,
                _ => State::Ground,
            },
            (State::C2, _) => {
                out.push(0xc2);
                ground(byte, out)
            }
            // A line that never ends its sequence must not take the rest of the log with it.
            (State::Ground, _)
            | (State::Escape | State::Intermediate | State::Csi | State::Text | State::TextEscape, b'\n') => {
                ground(byte, out)
            }
            (State::Text, 0x1b) => State::TextEscape,
            (_, 0x1b) => State::Escape,
            (State::Escape | State::TextEscape, b'[') => self.begin_csi(),
            (State::Escape | State::TextEscape, b']' | b'P' | b'X' | b'^' | b'_') => State::Text,
            (State::Escape | State::TextEscape | State::Intermediate, 0x20..=0x2f) => State::Intermediate,
            (State::Text, 0x07) | (State::Escape | State::TextEscape | State::Intermediate, 0x30..=0x7e) => {
                State::Ground
            }
            (State::Text, _) => State::Text,
            (State::Csi, 0x20..=0x3f) => {
                self.colour.push(byte);
                State::Csi
            }
            (State::Csi, 0x40..=0x7e) => {
                if byte == b'm' && is_colour(&self.colour) {
                    let bytes = [b"\x1b[", &self.colour[..], b"m"].concat();
                    marks.push(Mark { at: out.len(), bytes });
                }
                State::Ground
            }
            (State::Escape | State::TextEscape | State::Intermediate | State::Csi, _) => ground(byte, out),
        };
        self.state = next;
        if self.colour.len() > COLOUR_MAX * 8 {
            self.state = State::Ground;
            self.colour.clear();
        }
    }

    fn begin_csi(&mut self) -> State {
        self.colour.clear();
        State::Csi
    }
}

/// What a byte outside of any sequence does.
fn ground(byte: u8, out: &mut Vec<u8>) -> State {
    match byte {
        0x1b => State::Escape,
        0xc2 => State::C2,
        byte if is_text(byte) => {
            out.push(byte);
            State::Ground
        }
        _ => State::Ground,
    }
}

/// Whether a byte is shown as it is. 0x1E stays: a forged step marker is only text, and can be seen to be there.
const fn is_text(byte: u8) -> bool {
    !matches!(byte, 0..=8 | 11 | 12 | 14..=29 | 31 | 127 | 0xc2)
}

/// [`is_text`] the other way round, as arithmetic: compilers make a table of the ranges, and no vector code of a table.
const fn needs_a_look(byte: u8) -> u8 {
    let control = (byte < 0x20) as u8;
    let shown = (byte == b'\t') as u8 | (byte == b'\n') as u8 | (byte == b'\r') as u8 | (byte == 0x1e) as u8;
    (control & (shown ^ 1)) | (byte == 0x7f) as u8 | (byte == 0xc2) as u8
}

/// How many bytes at the front need no look: whole blocks first.
fn leading_text(bytes: &[u8]) -> usize {
    let mut at = 0;
    for block in bytes.chunks_exact(64) {
        if block.iter().fold(0, |any, byte| any | needs_a_look(*byte)) != 0 {
            break;
        }
        at += 64;
    }
    at + bytes[at..].iter().take_while(|byte| is_text(**byte)).count()
}

/// Only numbers a colour can have: a parameter could carry more than a colour.
fn is_colour(parameters: &[u8]) -> bool {
    parameters.len() <= COLOUR_MAX
        && parameters
            .split(|b| matches!(b, b';' | b':'))
            .all(|number| number.len() <= 3 && number.iter().all(u8::is_ascii_digit))
}

/// A whole text without control sequences.
pub(in crate::logs) fn strip(bytes: &[u8]) -> Vec<u8> {
    Plain::new().push(bytes, &mut Vec::new()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_asking_for_text_agree_on_every_byte() {
        for byte in 0..=u8::MAX {
            assert_eq!(needs_a_look(byte) == 0, is_text(byte), "{byte:#x}");
        }
    }

    #[test]
    fn titles_clipboard_images_and_cursor_moves_vanish() {
        for (dirty, clean) in [
            (&b"a\x1b]0;title\x07b"[..], &b"ab"[..]),
            (b"a\x1b]52;c;aHVudGVyMg==\x1b\\b", b"ab"),
            (b"a\x1b[2J\x1b[1;1H\x1b[?25lb", b"ab"),
            (b"a\x1bPq#0\x1b\\b\x1b(Bc\x1b=d", b"abcd"),
            (b"a\x07\x08\x00\x0eb\tc\r\n", b"ab\tc\r\n"),
            (b"a\xc2\x9b31mb \xc2\xa9 \xc3\x9b", b"ab \xc2\xa9 \xc3\x9b"),
            (b"\x1b]8;;https://x/\x1b\\link\x1b]8;;\x1b\\", b"link"),
            (b"\x1b]0;never ended\nnext", b"\nnext"),
            (b"\x1e 00 start x\x1e\n", b"\x1e 00 start x\x1e\n"),
        ] {
            assert_eq!(strip(dirty), clean, "{:?}", String::from_utf8_lossy(dirty));
        }
    }

    #[test]
    fn colours_are_kept_beside_the_text() {
        let mut marks = Vec::new();
        let text = Plain::new().push(b"a\x1b[31mb\x1b[0m\x1b[99999999m", &mut marks).into_owned();
        assert_eq!(text, b"ab");
        assert_eq!(marks, [Mark { at: 1, bytes: b"\x1b[31m".to_vec() }, Mark { at: 2, bytes: b"\x1b[0m".to_vec() }]);
    }

    #[test]
    fn the_text_does_not_depend_on_the_cuts() {
        let whole =
            b"x\x1b[1;31mred\x1b[0m \xc2\x9b2Jy\xc2\xb5\x1b]0;t\x1b\\z\x1b[ 1q long enough for one block of text\x1b[";
        let expected = strip(whole);
        for cut in 0..whole.len() {
            let mut plain = Plain::new();
            let mut out = plain.push(&whole[..cut], &mut Vec::new()).into_owned();
            out.extend_from_slice(&plain.push(&whole[cut..], &mut Vec::new()));
            assert_eq!(out, expected, "cut at {cut}");
        }
    }
}
