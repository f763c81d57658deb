//! The last lines of a run, for the failure card.
//!
//! While output goes by, only its end is kept, as bytes; lines are made of it once, when the run is over.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::lines::Lines;
use super::mask::MaskedBytes;
use crate::engine::Stream;

/// How many bytes are kept at least: far more than the lines of a card.
const KEPT: usize = 512 * 1024;
/// Neighbouring pieces of one stream are joined up to this size.
const BLOCK: usize = 32 * 1024;
/// Pieces of two streams that take turns are not joined; this many are more than the lines of a card.
const BLOCKS: usize = 4096;

/// The end of what a run printed.
#[derive(Debug)]
pub(super) struct LastLines {
    blocks: VecDeque<(Stream, Arc<MaskedBytes>)>,
    held: usize,
    most: usize,
}

impl LastLines {
    /// Longer lines are cut: a card is to be read.
    const WIDEST: usize = 2000;

    /// Keeps the last `most`.
    pub(super) fn new(most: usize) -> Self {
        Self { blocks: VecDeque::new(), held: 0, most }
    }

    /// Takes what follows on a stream. Large pieces are shared, small ones joined in blocks of our own.
    pub(super) fn push(&mut self, stream: Stream, bytes: &Arc<MaskedBytes>) {
        self.held += bytes.len();
        let fits = |block: &MaskedBytes| block.len() + bytes.len() <= BLOCK;
        let last = self.blocks.back_mut().filter(|(last, block)| *last == stream && fits(block));
        match last.and_then(|(_, block)| Arc::get_mut(block)) {
            Some(block) => block.append(bytes),
            None if bytes.len() * 2 >= BLOCK => self.blocks.push_back((stream, Arc::clone(bytes))),
            None => self.blocks.push_back((stream, Arc::new(MaskedBytes::clone(bytes)))),
        }
        while let Some((_, front)) = self.blocks.front()
            && (self.held - front.len() >= KEPT || self.blocks.len() > BLOCKS)
        {
            self.held -= front.len();
            self.blocks.pop_front();
        }
    }

    /// The lines, oldest first; what overwrote itself in its last state.
    pub(super) fn finish(self) -> Vec<String> {
        let mut last = VecDeque::with_capacity(self.most);
        let mut keep = |line: MaskedBytes| {
            if last.len() == self.most {
                last.pop_front();
            }
            last.push_back(line);
        };
        let [mut stdout, mut stderr] = [(); 2].map(|()| Lines::new(Duration::ZERO));
        for (stream, block) in &self.blocks {
            match stream {
                Stream::Stdout => stdout.push(block, &mut keep),
                Stream::Stderr => stderr.push(block, &mut keep),
            }
        }
        stdout.finish(&mut keep);
        stderr.finish(&mut keep);
        let text = |line: &MaskedBytes| line.part(0..line.len().min(Self::WIDEST)).to_text();
        last.iter().map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::mask::Masker;

    fn bytes(text: &str) -> Arc<MaskedBytes> {
        Arc::new(Masker::none().stream().push(text.as_bytes()))
    }

    #[test]
    fn only_the_last_lines_are_kept_and_cut_to_a_readable_width() {
        let mut last = LastLines::new(2);
        for line in ["one\n", "two\n", &"é".repeat(3000)] {
            last.push(Stream::Stdout, &bytes(line));
        }
        let lines = last.finish();
        assert_eq!(lines[0], "two");
        assert_eq!(lines[1].chars().count(), 1000);
    }

    #[test]
    fn streams_that_take_turns_do_not_mix_within_a_line() {
        let mut last = LastLines::new(10);
        for (stream, text) in
            [(Stream::Stdout, "out "), (Stream::Stderr, "err "), (Stream::Stdout, "one\n"), (Stream::Stderr, "two")]
        {
            last.push(stream, &bytes(text));
        }
        assert_eq!(last.finish(), ["out one", "err two"]);
    }

    #[test]
    fn what_is_kept_does_not_grow_and_the_end_is_whole() {
        let mut last = LastLines::new(200);
        for number in 0..100_000 {
            let stream = if number % 2 == 0 { Stream::Stdout } else { Stream::Stderr };
            last.push(stream, &bytes(&format!("line {number}\n")));
            assert!(last.blocks.len() <= BLOCKS);
        }
        for number in 100_000..200_000 {
            last.push(Stream::Stdout, &bytes(&format!("line {number}\n")));
            assert!(last.held < KEPT + 2 * BLOCK);
        }
        let lines = last.finish();
        let expected: Vec<String> = (199_800..200_000).map(|number| format!("line {number}")).collect();
        assert_eq!(lines, expected);
    }
}
