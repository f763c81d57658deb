//! What the container itself says to us on stderr, taken out of the script's own output.
//!
//! It begins with a word that only `boot.sh` is given; without the word, what looks like it stays text.
//! A process that reads its own user's shell could say it too, and gains nothing by it: to be done with code 0 it need only
//! exit so.

use std::borrow::Cow;

use super::container::random;

/// Begins and ends what is said.
const EDGE: u8 = 0x1e;

/// What the container can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// A process of it was killed for memory.
    KilledForMemory,
    /// A process or thread of it was refused, because there were as many as there may be.
    ProcessesRefused,
    /// The script's output goes into the pipes that it was shown.
    Piped,
    /// The script has ended with code 0, and nothing but `boot.sh` is left of it.
    Done,
}

/// How it says it.
const WORDS: [(Said, &str); 4] =
    [(Said::KilledForMemory, "oom"), (Said::ProcessesRefused, "pids"), (Said::Piped, "piped"), (Said::Done, "done")];

/// One container's word, and the end of its stderr that may be the beginning of it.
pub(super) struct Word {
    text: String,
    /// Everything that can be said, as it comes.
    sayings: [(Said, Vec<u8>); 4],
    held: Vec<u8>,
}

impl Word {
    /// One that nothing else has.
    pub(super) fn new() -> Self {
        Self::of(format!("{:016x}{:016x}", random(), random()))
    }

    fn of(word: String) -> Self {
        let sayings = WORDS.map(|(said, name)| (said, format!("\x1e{word} {name}\x1e\n").into_bytes()));
        Self { text: word, sayings, held: Vec::new() }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The script's own part of the next bytes, and what was said between them.
    pub(super) fn take<'a>(&mut self, bytes: &'a [u8]) -> (Cow<'a, [u8]>, Vec<Said>) {
        if self.held.is_empty() && memchr::memchr(EDGE, bytes).is_none() {
            return (Cow::Borrowed(bytes), Vec::new());
        }
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        let mut text = Vec::with_capacity(all.len());
        let (mut rest, mut told) = (&all[..], Vec::new());
        while let Some(at) = memchr::memchr(EDGE, rest) {
            text.extend_from_slice(&rest[..at]);
            rest = &rest[at..];
            if let Some((said, saying)) = self.sayings.iter().find(|(_, saying)| rest.starts_with(saying)) {
                told.push(*said);
                rest = &rest[saying.len()..];
            } else if self.sayings.iter().any(|(_, saying)| saying.starts_with(rest)) {
                break;
            } else {
                text.push(EDGE);
                rest = &rest[1..];
            }
        }
        if rest.first() == Some(&EDGE) {
            self.held = rest.to_vec();
        } else {
            text.extend_from_slice(rest);
        }
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
        let (oom, pids, done) = ("\x1eabc oom\x1e\n", "\x1eabc pids\x1e\n", "\x1eabc done\x1e\n");
        let whole = format!("one\x1e{oom}two\x1eabc oom\x1e.\n\x1exyz oom\x1e\n{pids}{oom}{done}three\x1eabc d");
        let text = "one\x1etwo\x1eabc oom\x1e.\n\x1exyz oom\x1e\nthree\x1eabc d";
        for cut in 0..whole.len() {
            let mut word = Word::of("abc".to_owned());
            let (mut seen, mut told) = (Vec::new(), Vec::new());
            for part in [&whole.as_bytes()[..cut], &whole.as_bytes()[cut..]] {
                let (text, said) = word.take(part);
                seen.extend_from_slice(&text);
                told.extend(said);
            }
            seen.extend_from_slice(&word.rest());
            assert_eq!(String::from_utf8(seen).unwrap(), text, "cut at {cut}");
            let expected = [Said::KilledForMemory, Said::ProcessesRefused, Said::KilledForMemory, Said::Done];
            assert_eq!(told, expected, "cut at {cut}");
        }
    }

    #[test]
    fn output_without_the_edge_is_not_copied() {
        let mut word = Word::new();
        assert!(matches!(word.take(b"plain text"), (Cow::Borrowed(_), said) if said.is_empty()));
        assert!(word.rest().is_empty());
    }
}
