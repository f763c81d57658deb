//! One stream through the automaton: what is surely no secret leaves at once, the rest waits for the byte that decides.
//!
//! The output does not depend on how the input is cut: a byte is covered when some occurrence of some pattern holds
//! it, and each unbroken run of covered bytes becomes one `***`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::address::Addresses;
use super::automaton::{Run, most, quarter};
use super::{MASK, MaskedBytes, Masker, Shared};

/// Something that stands between two bytes and belongs to neither: a colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::logs) struct Mark {
    /// How many bytes of the same piece come before it.
    pub(in crate::logs) at: usize,
    /// What stands there.
    pub(in crate::logs) bytes: Vec<u8>,
}

/// The masking of one stream.
pub struct MaskStream {
    shared: Arc<Shared>,
    state: u32,
    /// What goes on behind line ends.
    run: Run,
    /// Values that nobody named, in addresses; none where these are shown.
    addresses: Option<Addresses>,
    /// Bytes read so far.
    read: u64,
    /// Bytes `shown..read`, which may still become part of a secret.
    held: Vec<u8>,
    /// Bytes that have left, as they are or masked.
    shown: u64,
    /// Whether the last byte that left was covered.
    masking: bool,
    /// Covered ranges that have not wholly left: sorted, apart from each other.
    covered: Vec<(u64, u64)>,
    /// Marks that have not left, by the byte they stand before.
    marks: Vec<(u64, Vec<u8>)>,
    /// Where each owner's last counted occurrence ended.
    counted: Vec<u64>,
}

impl MaskStream {
    pub(super) fn new(masker: &Masker) -> Self {
        Self {
            shared: Arc::clone(&masker.shared),
            state: 0,
            run: Run::default(),
            addresses: masker.addresses.then(Addresses::default),
            read: 0,
            held: Vec::new(),
            shown: 0,
            masking: false,
            covered: Vec::new(),
            marks: Vec::new(),
            counted: vec![0; masker.shared.names.len()],
        }
    }

    /// Takes the next bytes and returns what may be seen of the stream so far.
    pub fn push(&mut self, bytes: &[u8]) -> MaskedBytes {
        self.push_marked(bytes, &[]).0
    }

    /// [`MaskStream::push`], with marks that travel along; those inside a secret vanish with it.
    pub(in crate::logs) fn push_marked(&mut self, bytes: &[u8], marks: &[Mark]) -> (MaskedBytes, Vec<Mark>) {
        if self.shared.automaton.is_empty() {
            self.read += bytes.len() as u64;
            self.shown = self.read;
            return (MaskedBytes(bytes.to_vec()), marks.to_vec());
        }
        self.marks.extend(marks.iter().map(|mark| (self.read + mark.at as u64, mark.bytes.clone())));
        self.find(bytes);
        if let Some(addresses) = &mut self.addresses {
            addresses.push(bytes);
        }
        self.cover_addresses();
        self.read += bytes.len() as u64;
        let settled = self.shared.automaton.live(self.state, &self.run, self.read);
        self.release(settled.min(self.address()), bytes)
    }

    /// Shows what waits although it might begin a secret, as long as it is too little to tell anything of it.
    ///
    /// To be called when nothing has come for 100 ms: a prompt or a progress bar must not hang on its last letter.
    /// The search goes on where it was, so that the rest of the secret is still hidden when it comes.
    pub fn idle(&mut self) -> MaskedBytes {
        self.idle_marked().0
    }

    pub(in crate::logs) fn idle_marked(&mut self) -> (MaskedBytes, Vec<Mark>) {
        let guarded = self.shared.automaton.guarded(self.state, &self.run, self.read, quarter);
        // A user and a password are not shown by halves: they wait for the end of their address.
        self.release(guarded.start.min(self.address()), &[])
    }

    /// The end of the stream: what is left, with a cut-off beginning of a secret hidden too.
    pub fn finish(self) -> MaskedBytes {
        self.finish_marked().0
    }

    pub(in crate::logs) fn finish_marked(mut self) -> (MaskedBytes, Vec<Mark>) {
        let guarded = self.shared.automaton.guarded(self.state, &self.run, self.read, quarter);
        self.cover(guarded.start, guarded.end);
        self.finish_address();
        self.release(self.read, &[])
    }

    /// The end of a text that nothing cut off, most likely: a beginning of a secret is hidden where it is [`most`] of it,
    /// and more than one letter again and again, as rules under headings have, and keys in their first line.
    pub(super) fn finish_whole(mut self) -> MaskedBytes {
        let guarded = self.shared.automaton.guarded(self.state, &self.run, self.read, most);
        let bytes = self.held.get(self.offset(guarded.start, &[])..).unwrap_or_default();
        if bytes.iter().any(|byte| *byte != bytes[0]) {
            self.cover(guarded.start, guarded.end);
        }
        self.finish_address();
        self.release(self.read, &[]).0
    }

    fn find(&mut self, bytes: &[u8]) {
        let shared = Arc::clone(&self.shared);
        let base = self.read;
        let mut run = std::mem::take(&mut self.run);
        self.state = shared.automaton.walk(self.state, &mut run, base, bytes, |hit| {
            let end = base + hit.end as u64;
            let start = end - hit.len as u64;
            let counted = &mut self.counted[hit.owner as usize];
            if start >= *counted {
                *counted = end;
                shared.hits[hit.owner as usize].fetch_add(1, Ordering::Relaxed);
            }
            self.cover(start, end);
        });
        self.run = run;
    }

    /// From where on what was read may have to be hidden as part of an address.
    fn address(&self) -> u64 {
        self.addresses.as_ref().map_or(self.read, Addresses::live)
    }

    fn finish_address(&mut self) {
        if let Some(addresses) = &mut self.addresses {
            addresses.finish();
        }
        self.cover_addresses();
    }

    /// Covers what addresses hide, which may lie before what is covered already.
    fn cover_addresses(&mut self) {
        let hidden = self.addresses.as_mut().map(Addresses::take).unwrap_or_default();
        if hidden.is_empty() {
            return;
        }
        let mut all = std::mem::take(&mut self.covered);
        all.extend(hidden);
        all.sort_unstable();
        for (start, end) in all {
            self.cover(start, end);
        }
    }

    /// Ranges come in the order in which they end, or in which they begin.
    fn cover(&mut self, mut start: u64, mut end: u64) {
        // What an idle stream has shown cannot be taken back.
        start = start.max(self.shown);
        while let Some((before, stop)) = self.covered.last() {
            if *stop < start {
                break;
            }
            start = start.min(*before);
            end = end.max(*stop);
            self.covered.pop();
        }
        if start < end {
            self.covered.push((start, end));
        }
    }

    /// Lets everything before `until` go; `tail` are the bytes read last, which are not in `held` yet.
    fn release(&mut self, until: u64, tail: &[u8]) -> (MaskedBytes, Vec<Mark>) {
        let until = until.max(self.shown);
        let room = usize::try_from(until - self.shown).unwrap_or_default();
        let mut out = Out { bytes: Vec::with_capacity(room), marks: Vec::new() };
        let mut marks = std::mem::take(&mut self.marks).into_iter().peekable();
        let mut spent = 0;
        while self.shown < until {
            let next = self.covered.get(spent).copied().filter(|(start, _)| *start < until);
            let clear_to = next.map_or(until, |(start, _)| start);
            if self.shown < clear_to {
                while let Some((at, bytes)) = marks.next_if(|(at, _)| *at < clear_to) {
                    self.copy(at, tail, &mut out);
                    out.marks.push(Mark { at: out.bytes.len(), bytes });
                }
                self.copy(clear_to, tail, &mut out);
            }
            let Some((start, end)) = next else { break };
            if !self.masking {
                out.bytes.extend_from_slice(MASK);
                self.masking = true;
            }
            // Colours inside a secret would cut it into readable pieces.
            while marks.next_if(|(at, _)| *at > start && *at < end.min(until)).is_some() {}
            self.shown = self.shown.max(end.min(until));
            if end > until {
                self.covered[spent].0 = until;
            } else {
                spent += 1;
            }
        }
        self.covered.drain(..spent);
        while let Some((_, bytes)) = marks.next_if(|(at, _)| *at <= until && until == self.read) {
            out.marks.push(Mark { at: out.bytes.len(), bytes });
        }
        self.marks = marks.collect();
        self.keep(tail);
        (MaskedBytes(out.bytes), out.marks)
    }

    /// Copies the bytes up to `to` as they are.
    fn copy(&mut self, to: u64, tail: &[u8], out: &mut Out) {
        if to <= self.shown {
            return;
        }
        self.masking = false;
        let (from, to_at) = (self.offset(self.shown, tail), self.offset(to, tail));
        let kept = self.held.len();
        if from < kept {
            out.bytes.extend_from_slice(&self.held[from..to_at.min(kept)]);
        }
        if to_at > kept {
            out.bytes.extend_from_slice(&tail[from.max(kept) - kept..to_at - kept]);
        }
        self.shown = to;
    }

    /// Where in `held` followed by `tail` a byte of the stream is.
    fn offset(&self, at: u64, tail: &[u8]) -> usize {
        let first = self.read - (self.held.len() + tail.len()) as u64;
        usize::try_from(at - first).unwrap_or(usize::MAX)
    }

    /// Keeps only what has not left.
    fn keep(&mut self, tail: &[u8]) {
        let gone = self.offset(self.shown, tail);
        let kept = self.held.len();
        if gone >= kept {
            self.held.clear();
            self.held.extend_from_slice(&tail[gone - kept..]);
        } else {
            self.held.drain(..gone);
            self.held.extend_from_slice(tail);
        }
    }
}

/// What leaves.
struct Out {
    bytes: Vec<u8>,
    marks: Vec<Mark>,
}
