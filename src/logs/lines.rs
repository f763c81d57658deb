//! Lines for people who do not watch a terminal: frames rejoined, progress bars reduced to their last state.
//!
//! Works on masked bytes only, and never holds more than one line of bounded length.

use std::time::{Duration, Instant};

use super::mask::MaskedBytes;

/// A longer line is handed on in pieces.
const LONGEST: usize = 1024 * 1024;

/// The lines of one stream.
#[derive(Debug)]
pub struct Lines {
    /// The current line, `\r` and all.
    held: MaskedBytes,
    /// When a line that is not finished was last shown, and what it showed.
    shown: Option<(Instant, MaskedBytes)>,
    every: Duration,
}

impl Lines {
    /// A line that is not finished (a progress bar) is offered by [`Lines::live`] at most once in `every`.
    pub fn new(every: Duration) -> Self {
        Self { held: MaskedBytes::default(), shown: None, every }
    }

    /// Takes the next bytes; hands on each finished line without its newline.
    pub fn push(&mut self, bytes: &MaskedBytes, mut line: impl FnMut(MaskedBytes)) {
        let mut from = 0;
        for newline in memchr::memchr_iter(b'\n', bytes.as_bytes()) {
            self.held.append(&bytes.part(from..newline));
            from = newline + 1;
            let whole = std::mem::take(&mut self.held);
            line(last_state(&whole));
            self.shown = None;
        }
        self.held.append(&bytes.part(from..bytes.len()));
        self.shorten(&mut line);
    }

    /// What an unfinished line shows now, if that is news and the last news is old enough.
    pub fn live(&mut self, now: Instant) -> Option<MaskedBytes> {
        let state = last_state(&self.held);
        let due = match &self.shown {
            None => !state.is_empty(),
            Some((at, before)) => now.duration_since(*at) >= self.every && *before != state,
        };
        if due {
            self.shown = Some((now, state.clone()));
        }
        due.then_some(state)
    }

    /// The end of the stream: a line without a newline is one too.
    pub fn finish(self, mut line: impl FnMut(MaskedBytes)) {
        if !self.held.is_empty() {
            line(last_state(&self.held));
        }
    }

    /// Keeps memory flat: overwritten states of a progress bar go, and a line without end is cut.
    fn shorten(&mut self, line: &mut impl FnMut(MaskedBytes)) {
        if self.held.len() <= LONGEST {
            return;
        }
        let bytes = self.held.as_bytes();
        if let Some(at) = memchr::memrchr(b'\r', &bytes[..bytes.len() - 1]) {
            self.held.drop_front(at + 1);
        }
        while self.held.len() > LONGEST {
            // Not inside a character.
            let bytes = self.held.as_bytes();
            let cut = (LONGEST - 3..=LONGEST).rev().find(|at| bytes[*at] & 0xc0 != 0x80).unwrap_or(LONGEST);
            line(self.held.part(0..cut));
            self.held.drop_front(cut);
        }
    }
}

/// What a terminal would show of a line with carriage returns: its last part that is not blank.
fn last_state(line: &MaskedBytes) -> MaskedBytes {
    let bytes = line.as_bytes();
    let mut end = bytes.len();
    loop {
        let start = memchr::memrchr(b'\r', &bytes[..end]).map_or(0, |at| at + 1);
        if start == 0 || !bytes[start..end].trim_ascii().is_empty() {
            return line.part(start..end);
        }
        end = start - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::mask::Masker;

    fn bytes(text: &str) -> MaskedBytes {
        Masker::none().stream().push(text.as_bytes())
    }

    fn lines(chunks: &[&str]) -> Vec<String> {
        let mut out = Vec::new();
        let mut lines = Lines::new(Duration::ZERO);
        for chunk in chunks {
            lines.push(&bytes(chunk), |line| out.push(line.to_text()));
        }
        lines.finish(|line| out.push(line.to_text()));
        out
    }

    #[test]
    fn a_progress_bar_becomes_its_last_state() {
        assert_eq!(lines(&["\r 0%", "|\r 50%|", "\r100%|\nnext\r\nlast"]), ["100%|", "next", "last"]);
        assert_eq!(lines(&["99%\r        \r\n\n"]), ["99%", ""]);
    }

    #[test]
    fn lines_do_not_depend_on_the_cuts() {
        let whole = "a\r\nb\r\r\n\nc\rd\re";
        let expected = lines(&[whole]);
        for cut in 0..whole.len() {
            assert_eq!(lines(&[&whole[..cut], &whole[cut..]]), expected, "cut at {cut}");
        }
    }

    #[test]
    fn an_unfinished_line_is_offered_once_in_a_while_and_only_when_it_changed() {
        let start = Instant::now();
        let mut lines = Lines::new(Duration::from_secs(10));
        assert_eq!(lines.live(start), None);
        lines.push(&bytes("\r10%"), |_| ());
        assert_eq!(lines.live(start).unwrap().to_text(), "10%");
        lines.push(&bytes("\r20%"), |_| ());
        assert_eq!(lines.live(start + Duration::from_secs(9)), None);
        assert_eq!(lines.live(start + Duration::from_secs(10)).unwrap().to_text(), "20%");
        assert_eq!(lines.live(start + Duration::from_secs(30)), None);
    }

    #[test]
    fn a_line_without_end_comes_in_pieces_and_a_bar_without_end_stays_small() {
        let big = "é".repeat(LONGEST);
        let pieces = lines(&[&big]);
        assert_eq!(pieces.concat(), big);
        assert!(pieces.len() > 1);
        let mut lines = Lines::new(Duration::ZERO);
        for step in 0..3000 {
            lines.push(&bytes(&format!("\r{step:1000}")), |_| panic!("no line has ended"));
            assert!(lines.held.len() <= LONGEST + 1001);
        }
    }
}
