//! A Wu-Manber skip: jumps over text in which no pattern can begin, by looking at three bytes of each window.
//!
//! Never passes the beginning of an occurrence, one that is broken into lines included; what it stops at may be none.

use super::{BLOCK, Pattern};

/// Longer windows would skip further, but leave longer tails at the end of each chunk to walk byte by byte.
const WINDOW_MAX: usize = 24;

/// How far one may jump, by the last three bytes of a window.
pub(super) struct Skip {
    /// How many bytes the shortest pattern has, and no more than [`WINDOW_MAX`].
    pub(super) window: usize,
    shifts: Vec<u8>,
    bits: u32,
}

impl Skip {
    pub(super) fn new(patterns: &[Pattern]) -> Self {
        let shortest = patterns.iter().map(|p| p.bytes.len()).min().unwrap_or(WINDOW_MAX);
        let window = shortest.clamp(BLOCK, WINDOW_MAX);
        // Sparse enough that a chance collision is rare, small enough to stay in the cache.
        let blocks = patterns.len() * (window - BLOCK + 1);
        let bits = (blocks * 16).next_power_of_two().ilog2().clamp(13, 20);
        let furthest = u8::try_from(window - BLOCK + 1).unwrap_or(u8::MAX);
        let mut skip = Self { window, shifts: vec![furthest; 1 << bits], bits };
        for pattern in patterns {
            for (at, block) in pattern.bytes[..window].windows(BLOCK).enumerate() {
                skip.allow([block[0], block[1], block[2]], at);
                if pattern.wraps {
                    skip.allow_broken([block[0], block[1], block[2]], at);
                }
            }
        }
        skip
    }

    /// A pattern may have this block so many bytes behind its beginning, and no further.
    fn allow(&mut self, block: [u8; BLOCK], at: usize) {
        let slot = self.slot(u32::from_le_bytes([block[0], block[1], block[2], 0]));
        let shift = u8::try_from((self.window - BLOCK).saturating_sub(at)).unwrap_or(u8::MAX);
        self.shifts[slot] = self.shifts[slot].min(shift);
    }

    /// The same for a pattern that line ends may cut anywhere: every block of three bytes that begins at its byte `at`
    /// or at the line end behind that, as far back as two bytes of line end before each byte can push it.
    fn allow_broken(&mut self, [a, b, c]: [u8; BLOCK], at: usize) {
        let furthest = at * 3;
        self.allow([a, b, c], furthest);
        self.allow([a, b'\r', b'\n'], furthest);
        self.allow([a, b'\n', b], furthest);
        self.allow([b'\r', b'\n', b], furthest + 1);
        self.allow([b'\n', b, c], furthest + 2);
        for end in [b'\r', b'\n'] {
            self.allow([a, b, end], furthest);
            self.allow([b'\n', b, end], furthest + 2);
        }
    }

    /// The slot of the first three of four bytes.
    #[inline]
    fn slot(&self, block: u32) -> usize {
        ((block << 8).wrapping_mul(0x9E37_79B1) >> (32 - self.bits)) as usize
    }

    /// The first place at or after `from` where a pattern may begin, or from which the window no longer fits.
    #[inline]
    pub(super) fn next(&self, text: &[u8], from: usize) -> usize {
        let lead = self.window - BLOCK;
        let mut end = from + lead;
        // One load of four bytes is cheaper than three of one; the last window of a text is left to the walk.
        while let Some(block) = text.get(end..).and_then(|rest| rest.first_chunk::<4>()) {
            let shift = self.shifts[self.slot(u32::from_le_bytes(*block))];
            if shift == 0 {
                break;
            }
            end += usize::from(shift);
        }
        end - lead
    }
}
