//! Bytes to lines, with carriage returns seen for what they are: the same line, written again.

use memchr::{memchr, memchr2};

/// Longer lines are cut, so that output without line ends does not fill the memory.
const LONGEST: usize = 64 * 1024;

/// How a line came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// A line end followed.
    Newline,
    /// A carriage return, and then other text over it.
    Overwritten,
}

/// The line that is being written.
#[derive(Debug, Default)]
pub(super) struct Lines {
    current: Vec<u8>,
    returned: bool,
    /// The line was taken out before its end came.
    taken: bool,
}

impl Lines {
    /// Takes bytes and gives every line that ended.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut ended: impl FnMut(&[u8], End)) {
        while let Some(&first) = bytes.first() {
            if first != b'\r' && std::mem::take(&mut self.taken) && first == b'\n' {
                self.returned = false;
                bytes = &bytes[1..];
                continue;
            }
            if self.returned && first != b'\r' {
                let end = if first == b'\n' { End::Newline } else { End::Overwritten };
                ended(&self.current, end);
                self.current.clear();
                self.returned = false;
                if first == b'\n' {
                    bytes = &bytes[1..];
                    continue;
                }
            }
            let stop = memchr2(b'\n', b'\r', bytes);
            let text = &bytes[..stop.unwrap_or(bytes.len())];
            if let Some(stop) = stop
                && bytes[stop] == b'\n'
                && self.current.is_empty()
                && stop <= LONGEST
            {
                // A line that lies within one piece, as nearly all do, need not be copied.
                ended(text, End::Newline);
                bytes = &bytes[stop + 1..];
                continue;
            }
            self.extend(text, &mut ended);
            let Some(stop) = stop else { return };
            if bytes[stop] == b'\n' {
                ended(&self.current, End::Newline);
                self.current.clear();
            } else {
                self.returned = true;
            }
            bytes = &bytes[stop + 1..];
        }
    }

    fn extend(&mut self, mut text: &[u8], ended: &mut impl FnMut(&[u8], End)) {
        while self.current.len() + text.len() > LONGEST {
            let (head, tail) = text.split_at(LONGEST - self.current.len());
            self.current.extend_from_slice(head);
            ended(&self.current, End::Newline);
            self.current.clear();
            text = tail;
        }
        self.current.extend_from_slice(text);
    }

    /// What stands on the line now.
    pub(super) fn current(&self) -> &[u8] {
        &self.current
    }

    /// Takes an unfinished line out, if there is one.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        self.returned = false;
        let line = (!self.current.is_empty()).then(|| std::mem::take(&mut self.current));
        self.taken |= line.is_some();
        line
    }
}

/// The first line of a text that should have one only; control bytes shown, not obeyed.
pub(super) fn one_line(text: &str) -> String {
    let end = memchr(b'\n', text.trim_start().as_bytes()).unwrap_or(text.trim_start().len());
    text.trim_start()[..end].trim_end().chars().flat_map(visible).collect()
}

/// All of a text in one line: for paths, of which nothing may be missing.
pub(super) fn escaped(text: &str) -> String {
    text.chars().flat_map(visible).collect()
}

/// A character as it may reach a terminal.
fn visible(c: char) -> Vec<char> {
    if c.is_control() && c != '\t' { c.escape_default().collect() } else { vec![c] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_newline_stays_whole_in_one_line() {
        assert_eq!(escaped("/a\nb/\x1bc"), "/a\\nb/\\u{1b}c");
        assert_eq!(one_line("first\nsecond"), "first");
    }

    fn split(parts: &[&str]) -> (Vec<(String, End)>, String) {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for part in parts {
            lines.push(part.as_bytes(), |line, end| seen.push((String::from_utf8_lossy(line).into_owned(), end)));
        }
        (seen, String::from_utf8_lossy(lines.current()).into_owned())
    }

    #[test]
    fn a_progress_bar_is_one_line_written_again_however_it_is_cut() {
        let expected = vec![
            ("10 %".to_owned(), End::Overwritten),
            ("20 %".to_owned(), End::Overwritten),
            ("done".to_owned(), End::Newline),
        ];
        for parts in [&["10 %\r20 %\rdone\r\nx"][..], &["10", " %", "\r", "20 %\r", "\rdone\r", "\n", "x"]] {
            assert_eq!(split(parts), (expected.clone(), "x".to_owned()), "{parts:?}");
        }
    }

    #[test]
    fn windows_line_ends_and_empty_lines_stay_single() {
        let (seen, rest) = split(&["a\r\n\r\n\nb\n"]);
        assert_eq!(seen.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>(), ["a", "", "", "b"]);
        assert!(seen.iter().all(|(_, end)| *end == End::Newline));
        assert_eq!(rest, "");
    }

    #[test]
    fn endless_lines_are_cut_and_nothing_is_lost() {
        let (mut total, mut longest) = (0, 0);
        let mut lines = Lines::default();
        for _ in 0..10 {
            lines.push(&vec![b'x'; LONGEST / 3 + 7], |line, _| {
                total += line.len();
                longest = longest.max(line.len());
            });
        }
        assert_eq!(total + lines.current().len(), 10 * (LONGEST / 3 + 7));
        assert_eq!(longest, LONGEST);
    }

    #[test]
    fn the_end_of_a_line_that_was_taken_out_is_no_line() {
        for rest in ["\nb\n", "\r\nb\n", "\rb\n"] {
            let mut lines = Lines::default();
            lines.push(b"a", |_, _| unreachable!());
            assert_eq!(lines.take().as_deref(), Some(&b"a"[..]));
            let mut seen = Vec::new();
            lines.push(rest.as_bytes(), |line, _| seen.push(line.to_vec()));
            assert_eq!(seen.iter().filter(|line| !line.is_empty()).collect::<Vec<_>>(), [b"b"], "{rest:?}");
            assert_eq!(seen.len(), if rest == "\rb\n" { 2 } else { 1 }, "{rest:?}");
        }
    }

    #[test]
    fn text_of_ours_stays_on_its_line() {
        assert_eq!(one_line("\n a\u{1b}[2Jb\ttab \nsecond"), "a\\u{1b}[2Jb\ttab");
    }
}
