//! Base64 that was broken into lines: inside of such a pattern a line end is as if it were not there.
//!
//! A search of its own over these patterns only. It begins at a line end that the walk met behind the beginning of one,
//! and ends as soon as nothing that reaches across a line end can become a pattern any more; other text never comes
//! here. Between two bytes of a pattern one line end may stand: a blank line, or an indented one, ends it.

use std::collections::VecDeque;
use std::ops::Range;

use super::{Hit, NO_LABEL, NONE, Pattern, Trie};

/// Fewer bytes of a pattern before its first line end stay visible: with them, each line that ends in the right letter
/// would have to wait for the line after it.
const HEAD: u64 = 3;

/// What was read last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Gap {
    /// A byte of a pattern.
    #[default]
    None,
    /// A carriage return, which a newline has to follow.
    Return,
    /// A newline.
    Line,
}

/// How far the search of one stream is; at rest most of the time.
#[derive(Debug, Default)]
pub(in crate::logs::mask) struct Run {
    /// The longest beginning of a pattern that reaches across a line end; 0 at rest.
    state: u32,
    gap: Gap,
    /// Where in the stream that beginning begins.
    start: u64,
    /// The bytes of line ends in it.
    skipped: VecDeque<u64>,
}

impl Run {
    /// From where on the bytes before `end` may become a pattern.
    pub(super) fn live(&self, end: u64) -> u64 {
        if self.state == 0 { end } else { self.hidden_from(self.start, 0) }
    }

    /// From where on an occurrence is hidden that begins at `start`; `first` is its first line end in `skipped`.
    fn hidden_from(&self, start: u64, mut first: usize) -> u64 {
        match self.skipped.get(first) {
            Some(end) if *end - start < HEAD => {
                let mut from = *end;
                while self.skipped.get(first) == Some(&from) {
                    from += 1;
                    first += 1;
                }
                from
            }
            _ => start,
        }
    }

    /// From where on the last `len` bytes before `end` are hidden, line ends not counted.
    fn hidden_before(&self, end: u64, len: u32) -> u64 {
        let mut start = end - u64::from(len);
        let mut first = self.skipped.len();
        while first > 0 && self.skipped[first - 1] >= start {
            first -= 1;
            start -= 1;
        }
        self.hidden_from(start, first)
    }

    /// `end` without the line end that was read last.
    fn without_gap(&self, end: u64) -> u64 {
        let mut until = end;
        if self.gap != Gap::None {
            for at in self.skipped.iter().rev().take_while(|at| **at + 1 == end || **at + 2 == end) {
                until = *at;
            }
        }
        until
    }

    /// Leaves out the first `count` bytes, and the line ends before what is left.
    fn drop_front(&mut self, mut count: u32) {
        if count == 0 {
            return;
        }
        loop {
            if self.skipped.front() == Some(&self.start) {
                self.skipped.pop_front();
            } else if count > 0 {
                count -= 1;
            } else {
                return;
            }
            self.start += 1;
        }
    }
}

/// The compiled patterns that may be broken; immutable.
pub(super) struct Broken {
    trie: Trie,
}

impl Broken {
    /// Compiles sorted patterns.
    pub(super) fn new(patterns: &[Pattern]) -> Self {
        let mut trie = Trie::new(patterns);
        trie.link();
        Self { trie }
    }

    /// For each node of the walk's trie the state to begin with at a line end behind it.
    pub(super) fn states_of(&self, walked: &Trie) -> Vec<u32> {
        let mut same = vec![NONE; walked.nodes.len()];
        same[0] = 0;
        // Parents come before their children.
        for (node, (parent, byte)) in walked.from.iter().enumerate().skip(1) {
            let above = same[*parent as usize];
            if above != NONE {
                let state = self.trie.step(above, *byte);
                if self.trie.depth[state as usize] == walked.depth[node] {
                    same[node] = state;
                }
            }
        }
        let mut states = vec![0; walked.nodes.len()];
        for node in walked.shallow_first() {
            let node = node as usize;
            let own = same[node];
            let known = own != NONE && !self.is_leaf(own);
            states[node] = if known { own } else { states[walked.nodes[node].fail as usize] };
        }
        states
    }

    /// See `Automaton::guarded`.
    pub(super) fn guarded(&self, run: &Run, end: u64, least: fn(usize) -> usize) -> Range<u64> {
        let mut state = run.state;
        while state != 0 {
            let (depth, shortest) = (self.trie.depth[state as usize], self.trie.shortest[state as usize]);
            if depth as usize >= least(shortest as usize) {
                return run.hidden_before(end, depth)..run.without_gap(end);
            }
            state = self.trie.nodes[state as usize].fail;
        }
        end..end
    }

    /// Reads `text` from `at` on until nothing runs any more, and returns up to where.
    fn read(&self, run: &mut Run, base: u64, text: &[u8], mut at: usize, found: &mut VecDeque<Hit>) -> usize {
        while run.state != 0 {
            let Some(byte) = text.get(at) else { break };
            let here = base + at as u64;
            match (run.gap, *byte) {
                (Gap::Return, b'\n') => {
                    run.skipped.push_back(here);
                    run.gap = Gap::Line;
                }
                (Gap::Return, _) | (Gap::Line, b'\n' | b'\r') => {
                    *run = Run::default();
                    return at;
                }
                (Gap::None, b'\n' | b'\r') => {
                    run.skipped.push_back(here);
                    run.gap = if *byte == b'\n' { Gap::Line } else { Gap::Return };
                }
                (_, byte) => {
                    run.gap = Gap::None;
                    found.extend(self.take(run, byte, at + 1, here + 1));
                    self.leave_leaf(run);
                    if run.skipped.is_empty() {
                        run.state = 0;
                    }
                }
            }
            at += 1;
        }
        if run.state == 0 {
            *run = Run::default();
        }
        at
    }

    /// Takes one byte of a pattern.
    fn take(&self, run: &mut Run, byte: u8, at: usize, end: u64) -> Option<Hit> {
        let before = self.trie.depth[run.state as usize];
        run.state = self.trie.step(run.state, byte);
        let depth = self.trie.depth[run.state as usize];
        run.drop_front(before + 1 - depth);
        let node = &self.trie.nodes[run.state as usize];
        let from = match node.ends {
            0 => return None,
            ends if ends == depth => run.live(end),
            ends => run.hidden_before(end, ends),
        };
        let len = usize::try_from(end - from).unwrap_or(usize::MAX);
        Some(Hit { end: at, len, owner: self.trie.owner[run.state as usize] })
    }

    /// A finished pattern that begins no longer one waits for nothing: a shorter beginning takes its place.
    fn leave_leaf(&self, run: &mut Run) {
        let before = self.trie.depth[run.state as usize];
        while run.state != 0 && self.is_leaf(run.state) {
            run.state = self.trie.nodes[run.state as usize].fail;
        }
        run.drop_front(before - self.trie.depth[run.state as usize]);
    }

    fn is_leaf(&self, node: u32) -> bool {
        let node = &self.trie.nodes[node as usize];
        node.row == NONE && node.label == NO_LABEL
    }
}

/// The search in one piece of text, ahead of the walk.
pub(super) struct Ahead<'a> {
    broken: &'a Broken,
    run: &'a mut Run,
    base: u64,
    text: &'a [u8],
    /// Up to where it has read.
    until: usize,
    /// What it has found, to be told when the walk comes there.
    found: VecDeque<Hit>,
}

impl<'a> Ahead<'a> {
    /// Goes on with what the text before left open.
    pub(super) fn new(broken: &'a Broken, run: &'a mut Run, base: u64, text: &'a [u8]) -> Self {
        let mut found = VecDeque::new();
        let until = broken.read(run, base, text, 0, &mut found);
        Self { broken, run, base, text, until, found }
    }

    /// The walk met a line end at `at`, behind the beginning that `state` stands for.
    #[cold]
    pub(super) fn line_end(&mut self, state: u32, at: usize) {
        if state == 0 || at < self.until {
            return;
        }
        let start = self.base + at as u64 - u64::from(self.broken.trie.depth[state as usize]);
        *self.run = Run { state, start, ..Run::default() };
        self.until = self.broken.read(self.run, self.base, self.text, at, &mut self.found);
    }

    /// Tells what ended up to `at`.
    pub(super) fn tell_until(&mut self, at: usize, found: &mut impl FnMut(Hit)) {
        while let Some(hit) = self.found.pop_front_if(|hit| hit.end <= at) {
            found(hit);
        }
    }
}
