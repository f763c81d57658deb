//! The masker: a stream transducer that is independent of how its input is cut.
//!
//! [`Masker`] is compiled once a run and shared; each stream has its own [`MaskStream`]. Besides the values that it is
//! given, it hides credentials in addresses, whosever they are (`address`). What it does not catch: a secret that is
//! compressed, reversed, broken into lines other than by base64, or encoded in a way that `forms` does not list.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::secret::SecretSet;

mod address;
mod automaton;
mod canary;
mod forms;
mod stream;

pub use canary::{CanaryFailed, canary};
pub(in crate::logs) use stream::Mark;
pub use stream::MaskStream;

use automaton::{Automaton, Pattern, Run};

/// What stands for a secret, whatever its length.
pub const MASK: &[u8] = b"***";

/// Bytes in which every registered secret is already hidden. Only this module makes them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MaskedBytes(Vec<u8>);

impl MaskedBytes {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, given away.
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// For people: broken UTF-8 replaced.
    pub fn to_text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    /// A part; masked like the whole.
    #[must_use]
    pub fn part(&self, range: std::ops::Range<usize>) -> Self {
        Self(self.0.get(range).unwrap_or_default().to_vec())
    }

    /// Adds what follows.
    pub fn append(&mut self, next: &Self) {
        self.0.extend_from_slice(&next.0);
    }

    /// Takes the front off.
    pub(in crate::logs) fn drop_front(&mut self, count: usize) {
        self.0.drain(..count.min(self.0.len()));
    }

    /// Puts colours back between masked bytes. The marks must have come through the same stream.
    pub(in crate::logs) fn with_marks(&self, marks: &[Mark]) -> Self {
        let mut whole = Vec::with_capacity(self.0.len() + marks.iter().map(|mark| mark.bytes.len()).sum::<usize>());
        let mut from = 0;
        for mark in marks {
            whole.extend_from_slice(&self.0[from..mark.at]);
            whole.extend_from_slice(&mark.bytes);
            from = mark.at;
        }
        whole.extend_from_slice(&self.0[from..]);
        Self(whole)
    }

    /// Reads back what this process wrote masked into the run's log.
    pub(in crate::logs) fn read_back(log: &File, start: u64, len: usize) -> io::Result<Self> {
        let mut bytes = vec![0; len];
        log.read_exact_at(&mut bytes, start)?;
        Ok(Self(bytes))
    }
}

struct Shared {
    automaton: Automaton,
    /// Names, by owner; the canary's is the last where there is one.
    names: Vec<String>,
    hits: Vec<AtomicU64>,
    canary: Option<Vec<u8>>,
}

/// Everything that must not be seen, compiled. Cheap to clone.
#[derive(Clone)]
pub struct Masker {
    shared: Arc<Shared>,
    /// Whether credentials in addresses are hidden that nobody named.
    addresses: bool,
}

impl Masker {
    /// Compiles the secrets of one run, their encoded forms, and the canary.
    pub fn new(secrets: &SecretSet) -> Self {
        let canary = canary::needle();
        let mut names: Vec<String> = Vec::new();
        let mut patterns = Vec::new();
        for secret in secrets.env.iter().chain(&secrets.mask_only) {
            let owner = owner_of(&mut names, secret.name());
            patterns.extend(patterns_of(secret.expose(), owner));
        }
        let owner = u32::try_from(names.len()).unwrap_or(u32::MAX);
        names.push("canary".to_owned());
        patterns.extend(patterns_of(&canary, owner));
        Self::compile(patterns, names, Some(canary))
    }

    /// Hides nothing: for output that cannot hold a secret because there is none.
    pub fn none() -> Self {
        Self::compile(Vec::new(), Vec::new(), None)
    }

    fn compile(patterns: Vec<Pattern>, names: Vec<String>, canary: Option<Vec<u8>>) -> Self {
        let hits = names.iter().map(|_| AtomicU64::new(0)).collect();
        let shared = Arc::new(Shared { automaton: Automaton::new(patterns), names, hits, canary });
        Self { shared, addresses: true }
    }

    /// The same for what is used further and not only shown: a signed address in it has to stay one. Hides the values that it
    /// was given, and no others.
    #[must_use]
    pub fn named_only(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), addresses: false }
    }

    /// A new stream.
    pub fn stream(&self) -> MaskStream {
        MaskStream::new(self)
    }

    /// Masks a whole text: an error message, a JSON string, the rendered script. What a stream has masked needs no more.
    ///
    /// A beginning of a secret at the very end is hidden where it is most of it, or long: messages quote what was cut off.
    pub fn text(&self, text: &str) -> String {
        let mut stream = self.stream();
        let mut masked = stream.push(text.as_bytes());
        masked.append(&stream.finish_whole());
        match String::from_utf8(masked.0) {
            Ok(text) => text,
            // A secret that is not UTF-8 can end inside a character.
            Err(broken) => String::from_utf8_lossy(broken.as_bytes()).into_owned(),
        }
    }

    /// Whether there is no secret to hide.
    pub fn is_idle(&self) -> bool {
        self.shared.names.len() == usize::from(self.shared.canary.is_some())
    }

    /// The names of secrets that stand in what is read. A match of few bytes may be chance, and is none here; nothing is
    /// counted as hidden.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn names_in(&self, mut from: impl Read) -> io::Result<Vec<String>> {
        const CHUNK: usize = 64 << 10;
        const CHANCE: usize = 8;
        let (mut chunk, mut owners) = (vec![0; CHUNK], BTreeSet::new());
        let (mut state, mut run, mut base) = (0, Run::default(), 0);
        loop {
            let read = match from.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            state = self.shared.automaton.walk(state, &mut run, base, &chunk[..read], |hit| {
                if hit.len >= CHANCE {
                    owners.insert(hit.owner as usize);
                }
            });
            base += read as u64;
        }
        let shown = self.shared.names.len() - usize::from(self.shared.canary.is_some());
        Ok(owners.into_iter().filter(|owner| *owner < shown).map(|owner| self.shared.names[owner].clone()).collect())
    }

    /// How often each secret was hidden, by name. A secret inside a longer one counts for the longer one.
    pub fn hits(&self) -> Vec<(String, u64)> {
        let shown = self.shared.names.len() - usize::from(self.shared.canary.is_some());
        let counts = self.shared.hits.iter().map(|count| count.load(Ordering::Relaxed));
        self.shared.names.iter().cloned().zip(counts).take(shown).collect()
    }
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Masker").field(&self.shared.names).finish()
    }
}

fn patterns_of(value: &[u8], owner: u32) -> impl Iterator<Item = Pattern> {
    let base64 = forms::base64(value);
    forms::of(value).into_iter().map(move |bytes| Pattern { wraps: base64.contains(&bytes), bytes, owner })
}

/// Secrets of one name share their count.
fn owner_of(names: &mut Vec<String>, name: &str) -> u32 {
    let at = names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    });
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
