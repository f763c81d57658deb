//! Finds every occurrence of every pattern, and knows at each byte how much of the end may still become one.
//!
//! Aho-Corasick over a preorder trie (a node's first child is the next node, so a chain costs 16 bytes a state and
//! walks forward in memory; nodes that branch hold a resolved row), plus a skip that jumps over text in which nothing
//! can begin, and a second search for what line ends cut. It never decides what is shown: that is `stream`.

use std::ops::Range;

mod broken;
mod skip;

use broken::{Ahead, Broken};
use skip::Skip;

pub(super) use broken::Run;

/// No row, no child.
const NONE: u32 = u32::MAX;
const NO_LABEL: u16 = 256;
/// Bytes of text that one skip decision looks at.
const BLOCK: usize = 3;
/// From this depth on the walk is left only at the root: walking those bytes again would no longer be cheap.
const SHALLOW: u8 = 3;
/// In [`Node::ends`]: the byte that leads here is a line end, and what stood before it may go on behind it.
const LINE_END: u32 = 1 << 31;

/// Up to here each node gets a whole row (1 KiB), which makes the worst text several times faster.
const DENSE_MAX: usize = 8192;

/// What is looked for: more than [`BLOCK`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pattern {
    /// The bytes.
    pub(super) bytes: Vec<u8>,
    /// Which secret it stands for.
    pub(super) owner: u32,
    /// Whether it is one also where line ends cut it.
    pub(super) wraps: bool,
}

#[derive(Clone, Copy)]
struct Node {
    /// The longest proper suffix that is in the trie too.
    fail: u32,
    /// The resolved row of a node that branches.
    row: u32,
    /// Length of the longest pattern that ends here, 0 for none; and [`LINE_END`].
    ends: u32,
    /// The byte that leads to the next node.
    label: u16,
    /// How many bytes lead here, no more than [`SHALLOW`].
    shallow: u8,
}

/// A pattern that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    /// Where it ended, relative to the bytes walked.
    pub(super) end: usize,
    /// How many bytes of the text it takes, the line ends in it included.
    pub(super) len: usize,
    /// Whose it is.
    pub(super) owner: u32,
}

/// The compiled patterns; immutable.
pub(super) struct Automaton {
    nodes: Vec<Node>,
    rows: Vec<[u32; 256]>,
    depth: Vec<u32>,
    owner: Vec<u32>,
    /// Length of the shortest pattern that runs through the node.
    shortest: Vec<u32>,
    /// Every node has its row, at its own number.
    dense: bool,
    skip: Skip,
    broken: Broken,
    /// The longest beginning of a pattern that wraps among the last bytes, as a state of `broken`; 0 for none.
    wraps: Vec<u32>,
}

impl Automaton {
    /// Compiles; an empty list finds nothing and costs nothing.
    pub(super) fn new(mut patterns: Vec<Pattern>) -> Self {
        patterns.retain(|pattern| pattern.bytes.len() > BLOCK);
        patterns.sort();
        patterns.dedup_by(|a, b| {
            b.wraps |= a.bytes == b.bytes && a.wraps;
            a.bytes == b.bytes
        });
        let mut trie = Trie::new(&patterns);
        trie.link();
        let dense = trie.nodes.len() <= DENSE_MAX;
        if dense {
            trie.fill_rows();
        }
        let skip = Skip::new(&patterns);
        patterns.retain(|pattern| pattern.wraps);
        let broken = Broken::new(&patterns);
        let wraps = broken.states_of(&trie);
        if !patterns.is_empty() {
            trie.watch_line_ends(dense, &wraps);
        }
        let Trie { nodes, rows, depth, owner, shortest, .. } = trie;
        Self { nodes, rows, depth, owner, shortest, dense, skip, broken, wraps }
    }

    /// Whether there is nothing to find.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.len() == 1
    }

    /// From where on the bytes before `end`, where the stream stands, are the beginning of a pattern.
    pub(super) fn live(&self, state: u32, run: &Run, end: u64) -> u64 {
        (end - u64::from(self.depth[state as usize])).min(run.live(end))
    }

    /// Which of the bytes before `end`, where the stream stands, are so much of a pattern that they must not be shown
    /// before the next byte decides; empty where none are. A line end behind them is no part of it.
    ///
    /// The beginning of a pattern counts from `least(its length)` bytes on.
    pub(super) fn guarded(&self, mut state: u32, run: &Run, end: u64, least: fn(usize) -> usize) -> Range<u64> {
        let broken = self.broken.guarded(run, end, least);
        while state != 0 {
            let (depth, shortest) = (self.depth[state as usize], self.shortest[state as usize]);
            if depth as usize >= least(shortest as usize) {
                return broken.start.min(end - u64::from(depth))..end;
            }
            state = self.nodes[state as usize].fail;
        }
        broken
    }

    /// The equal state that is still the beginning of something: a finished pattern that begins no other waits for nothing.
    fn undecided(&self, mut state: u32) -> u32 {
        while state != 0 && self.nodes[state as usize].row == NONE && self.nodes[state as usize].label == NO_LABEL {
            state = self.nodes[state as usize].fail;
        }
        state
    }

    #[inline]
    fn step(&self, mut state: u32, byte: u8) -> u32 {
        loop {
            let node = &self.nodes[state as usize];
            if node.row != NONE {
                return self.rows[node.row as usize][byte as usize];
            }
            if node.label == u16::from(byte) {
                return state + 1;
            }
            state = node.fail;
        }
    }

    /// Walks `text`, which begins at byte `base` of its stream, from `state`, tells each position at which a pattern
    /// ends, and returns the state at the end. What goes on behind line ends is carried by `run`.
    ///
    /// Of several patterns that end at one position only the longest is told: it covers the others.
    pub(super) fn walk(&self, state: u32, run: &mut Run, base: u64, text: &[u8], found: impl FnMut(Hit)) -> u32 {
        let ahead = Ahead::new(&self.broken, run, base, text);
        if self.dense {
            self.walk_as::<true>(state, text, ahead, found)
        } else {
            self.walk_as::<false>(state, text, ahead, found)
        }
    }

    #[inline]
    fn walk_as<const DENSE: bool>(
        &self,
        mut state: u32,
        text: &[u8],
        mut ahead: Ahead<'_>,
        mut found: impl FnMut(Hit),
    ) -> u32 {
        let window = self.skip.window;
        let mut at = 0;
        // The start of the candidate being walked; none while it lies before this text.
        let mut entered: Option<usize> = None;
        loop {
            let shallow = self.nodes[state as usize].shallow;
            if shallow < SHALLOW && at >= usize::from(shallow) {
                let start = at - usize::from(shallow);
                if entered != Some(start) && start + window <= text.len() {
                    // Patterns are longer than what is walked again here, so none is told twice.
                    at = self.skip.next(text, start);
                    entered = Some(at);
                    state = 0;
                }
            }
            let Some(byte) = text.get(at) else { break };
            let before = state;
            state = if DENSE { self.rows[state as usize][*byte as usize] } else { self.step(state, *byte) };
            at += 1;
            let ends = self.nodes[state as usize].ends;
            if ends != 0 {
                if ends & LINE_END != 0 {
                    ahead.line_end(self.wraps[before as usize], at - 1);
                    state = if ends == LINE_END && self.is_line_end(state) { 0 } else { state };
                }
                let len = (ends & !LINE_END) as usize;
                if len != 0 {
                    ahead.tell_until(at, &mut found);
                    found(Hit { end: at, len, owner: self.owner[state as usize] });
                }
            }
        }
        ahead.tell_until(at, &mut found);
        self.undecided(state)
    }

    /// The last node stands for any line end that begins no pattern and ends none.
    fn is_line_end(&self, state: u32) -> bool {
        state as usize + 1 == self.nodes.len()
    }
}

/// How much of a pattern may be seen: less than a quarter of it, and never 4 bytes.
pub(super) fn quarter(len: usize) -> usize {
    (len / 4).clamp(1, 4)
}

/// How much of a pattern the end of a text has to be that nothing cut off, most likely: more than half of it, and 8 bytes
/// of a long one. With less, words that a secret begins with would be hidden in our own sentences.
pub(super) fn most(len: usize) -> usize {
    (len / 2 + 1).clamp(4, 8)
}

/// The automaton while it is being made.
struct Trie {
    nodes: Vec<Node>,
    rows: Vec<[u32; 256]>,
    depth: Vec<u32>,
    owner: Vec<u32>,
    shortest: Vec<u32>,
    /// Parent and the byte that leads here.
    from: Vec<(u32, u8)>,
}

impl Trie {
    /// Inserts sorted patterns, which numbers the nodes in preorder.
    fn new(patterns: &[Pattern]) -> Self {
        let mut trie = Self {
            nodes: Vec::new(),
            rows: Vec::new(),
            depth: Vec::new(),
            owner: Vec::new(),
            shortest: Vec::new(),
            from: Vec::new(),
        };
        trie.add(0, 0, 0);
        trie.branch(0);
        // The nodes of the pattern inserted last, the root first.
        let mut path = vec![0_u32];
        let mut before: &[u8] = &[];
        for pattern in patterns {
            let shared = pattern.bytes.iter().zip(before).take_while(|(a, b)| a == b).count();
            path.truncate(shared + 1);
            for byte in &pattern.bytes[shared..] {
                let parent = path[path.len() - 1];
                path.push(trie.child(parent, *byte));
            }
            let end = path[path.len() - 1] as usize;
            trie.nodes[end].ends = u32::try_from(pattern.bytes.len()).unwrap_or(u32::MAX);
            trie.owner[end] = pattern.owner;
            for node in &path {
                let shortest = &mut trie.shortest[*node as usize];
                *shortest = (*shortest).min(u32::try_from(pattern.bytes.len()).unwrap_or(u32::MAX));
            }
            before = &pattern.bytes;
        }
        trie
    }

    fn add(&mut self, parent: u32, byte: u8, depth: u32) -> u32 {
        let id = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let shallow = u8::try_from(depth).unwrap_or(SHALLOW).min(SHALLOW);
        self.nodes.push(Node { fail: 0, row: NONE, ends: 0, label: NO_LABEL, shallow });
        self.depth.push(depth);
        self.owner.push(0);
        self.shortest.push(u32::MAX);
        self.from.push((parent, byte));
        id
    }

    fn branch(&mut self, node: u32) {
        self.nodes[node as usize].row = u32::try_from(self.rows.len()).unwrap_or(NONE);
        self.rows.push([NONE; 256]);
    }

    /// A new child: sorted insertion never asks for one that exists.
    fn child(&mut self, parent: u32, byte: u8) -> u32 {
        let id = self.add(parent, byte, self.depth[parent as usize] + 1);
        let node = self.nodes[parent as usize];
        if node.row == NONE && node.label == NO_LABEL {
            self.nodes[parent as usize].label = u16::from(byte);
            return id;
        }
        if node.row == NONE {
            self.branch(parent);
            self.row_mut(parent)[usize::from(node.label)] = parent + 1;
        }
        self.row_mut(parent)[usize::from(byte)] = id;
        id
    }

    fn row_mut(&mut self, node: u32) -> &mut [u32; 256] {
        &mut self.rows[self.nodes[node as usize].row as usize]
    }

    /// Sets the suffix links and completes the rows, shallow nodes first.
    fn link(&mut self) {
        for node in self.shallow_first() {
            let (parent, byte) = self.from[node as usize];
            let fail = match self.depth[node as usize] {
                0 | 1 => 0,
                _ => self.step(self.nodes[parent as usize].fail, byte),
            };
            self.nodes[node as usize].fail = fail;
            if self.nodes[node as usize].ends == 0 {
                self.nodes[node as usize].ends = self.nodes[fail as usize].ends;
                self.owner[node as usize] = self.owner[fail as usize];
            }
            if self.nodes[node as usize].row != NONE {
                self.complete(node, fail);
            }
        }
    }

    /// Gives every node a row, at its own number. `Node::row` stays: from here on it only tells a branch from a leaf.
    fn fill_rows(&mut self) {
        let branching = std::mem::replace(&mut self.rows, vec![[0; 256]; self.nodes.len()]);
        for node in self.shallow_first() {
            let Node { fail, row, label, .. } = self.nodes[node as usize];
            if row != NONE {
                self.rows[node as usize] = branching[row as usize];
                continue;
            }
            self.rows[node as usize] = self.rows[fail as usize];
            if label != NO_LABEL {
                self.rows[node as usize][usize::from(label)] = node + 1;
            }
        }
    }

    /// Makes line ends behind a beginning that may go on be told, and no other: none of it costs other bytes anything.
    fn watch_line_ends(&mut self, dense: bool, wraps: &[u32]) {
        for (node, (_, byte)) in self.from.iter().enumerate().skip(1) {
            if matches!(byte, b'\n' | b'\r') {
                self.nodes[node].ends |= LINE_END;
            }
        }
        let line_end = self.add(0, b'\n', 0);
        self.nodes[line_end as usize].ends = LINE_END;
        for (node, row) in self.rows.iter_mut().enumerate() {
            for byte in [b'\n', b'\r'] {
                // Nodes without a row come to the root's by their suffix links: there every line end is told.
                if row[usize::from(byte)] == 0 && (!dense || wraps[node] != 0) {
                    row[usize::from(byte)] = line_end;
                }
            }
        }
    }

    fn shallow_first(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..).take(self.nodes.len()).collect();
        order.sort_by_key(|node| self.depth[*node as usize]);
        order
    }

    /// Fills the gaps of a branching node's row with where its suffix link would lead.
    fn complete(&mut self, node: u32, fail: u32) {
        for byte in 0..=255_u8 {
            if self.row_mut(node)[usize::from(byte)] == NONE {
                let next = if node == 0 { 0 } else { self.step(fail, byte) };
                self.row_mut(node)[usize::from(byte)] = next;
            }
        }
    }

    fn step(&self, mut state: u32, byte: u8) -> u32 {
        loop {
            let node = &self.nodes[state as usize];
            if node.row != NONE {
                return self.rows[node.row as usize][usize::from(byte)];
            }
            if node.label == u16::from(byte) {
                return state + 1;
            }
            state = node.fail;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(patterns: &[&str], text: &str) -> Vec<(usize, usize)> {
        let pattern = |p: &&str| Pattern { bytes: p.as_bytes().to_vec(), owner: 0, wraps: false };
        let patterns = patterns.iter().map(pattern).collect();
        let mut hits = Vec::new();
        let found = |hit: Hit| hits.push((hit.end - hit.len, hit.end));
        Automaton::new(patterns).walk(0, &mut Run::default(), 0, text.as_bytes(), found);
        hits
    }

    #[test]
    fn finds_a_pattern_inside_another_ones_prefix() {
        assert_eq!(hits(&["xabcdz", "bcde"], "xabcde"), [(2, 6)]);
    }

    #[test]
    fn tells_the_longest_that_ends_at_a_place() {
        assert_eq!(hits(&["secret", "112secret"], "1112secret"), [(1, 10)]);
    }

    #[test]
    fn branches_and_chains_agree_after_a_failed_branch() {
        assert_eq!(hits(&["abab", "abac", "baca"], "ababaca"), [(0, 4), (2, 6), (3, 7)]);
    }

    #[test]
    fn an_empty_automaton_walks_over_everything() {
        assert_eq!(hits(&[], "anything at all, longer than one window of text"), []);
    }

    #[test]
    fn a_short_beginning_may_be_seen_and_a_long_one_not() {
        let bytes = b"abcdefghijklmnop".to_vec();
        let automaton = Automaton::new(vec![Pattern { bytes, owner: 0, wraps: false }]);
        let run = Run::default();
        let state = |text: &str| automaton.walk(0, &mut Run::default(), 0, text.as_bytes(), |_| ());
        assert_eq!(automaton.guarded(state("...abc"), &run, 6, quarter), 6..6);
        assert_eq!(automaton.guarded(state("...abcd"), &run, 7, quarter), 3..7);
        assert_eq!(automaton.guarded(state("...abcdefg"), &run, 10, most), 10..10);
        assert_eq!(automaton.guarded(state("...abcdefgh"), &run, 11, most), 3..11);
        assert_eq!(automaton.live(state("...abc"), &run, 6), 3);
    }
}
