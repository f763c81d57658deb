//! What the container itself says to us on stderr, taken out of the script's own output.
//!
//! It begins with a word that only `boot.sh` is given; without the word, what looks like it stays text.

use std::borrow::Cow;

use memchr::memmem;

use super::container::random;

/// Begins and ends what is said.
const EDGE: u8 = 0x1e;

/// One container's word, and the end of its stderr that may be the beginning of it.
pub(super) struct Word {
    text: String,
    /// All of what is said when a process was killed for memory.
    said: Vec<u8>,
    held: Vec<u8>,
}

impl Word {
    /// One that nothing else has.
    pub(super) fn new() -> Self {
        Self::of(format!("{:016x}{:016x}", random(), random()))
    }

    fn of(word: String) -> Self {
        let said = format!("\x1e{word} oom\x1e\n").into_bytes();
        Self { text: word, said, held: Vec::new() }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The script's own part of the next bytes, and whether a memory kill was told between them.
    pub(super) fn take<'a>(&mut self, bytes: &'a [u8]) -> (Cow<'a, [u8]>, bool) {
        if self.held.is_empty() && memchr::memchr(EDGE, bytes).is_none() {
            return (Cow::Borrowed(bytes), false);
        }
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        let mut text = Vec::with_capacity(all.len());
        let (mut from, mut told) = (0, false);
        while let Some(at) = memmem::find(&all[from..], &self.said) {
            text.extend_from_slice(&all[from..from + at]);
            from += at + self.said.len();
            told = true;
        }
        let rest = &all[from..];
        let longest = rest.len().min(self.said.len() - 1);
        let begun = (0..=longest).rev().find(|length| self.said.starts_with(&rest[rest.len() - length..])).unwrap_or(0);
        text.extend_from_slice(&rest[..rest.len() - begun]);
        self.held = rest[rest.len() - begun..].to_vec();
        (Cow::Owned(text), told)
    }

    /// What was held back, at the end.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_taken_out_wherever_the_stream_is_cut_and_all_else_stays() {
        let said = "\x1eabc oom\x1e\n";
        let whole = format!("one\x1e{said}two\x1eabc oom\x1e.\n\x1exyz oom\x1e\n{said}{said}three\x1eabc");
        let text = "one\x1etwo\x1eabc oom\x1e.\n\x1exyz oom\x1e\nthree\x1eabc";
        for cut in 0..whole.len() {
            let mut word = Word::of("abc".to_owned());
            let mut seen = Vec::new();
            let mut told = false;
            for part in [&whole.as_bytes()[..cut], &whole.as_bytes()[cut..]] {
                let (text, said) = word.take(part);
                seen.extend_from_slice(&text);
                told |= said;
            }
            seen.extend_from_slice(&word.rest());
            assert_eq!((String::from_utf8(seen).unwrap().as_str(), told), (text, true), "cut at {cut}");
        }
    }

    #[test]
    fn output_without_the_edge_is_not_copied() {
        let mut word = Word::new();
        assert!(matches!(word.take(b"plain text"), (Cow::Borrowed(_), false)));
        assert!(word.rest().is_empty());
    }
}
