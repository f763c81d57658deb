//! What is known of an upload that may not come to its end: what the service calls it, and which parts have arrived.
//!
//! It is remembered while parts arrive, so that a run that was killed is gone on with. A part counts as sent only where its
//! bytes, read again, have the sha256 that they had then. Kept are neither signatures nor headers nor keys; that whoever has
//! the name of an upload to Google Cloud Storage may go on with it is so on the drives, too, and the journal is the user's
//! own.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use opendal::Buffer;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::storage::backend::Keeper;

/// An upload, as it is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Half {
    /// Where it was begun, without what follows `?`: at which service, in which bucket, of which key.
    pub(super) address: String,
    /// What the service calls it; Azure calls it nothing.
    pub(super) id: String,
    /// By number (S3), first byte (Google) or the name of the block (Azure).
    parts: BTreeMap<String, Part>,
}

impl Half {
    /// What was remembered, if it can be read.
    pub(super) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Parts that have arrived.
    #[cfg(test)]
    pub(super) fn parts(&self) -> usize {
        self.parts.len()
    }
}

/// One part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    size: u64,
    sha256: String,
    /// What S3 answered, and wants to hear again in the end.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    tag: String,
}

impl Part {
    /// Of these bytes.
    pub(super) fn of(bytes: &Buffer) -> Self {
        let mut sha256 = Sha256::new();
        for piece in bytes.clone() {
            sha256.update(&piece);
        }
        Self { size: bytes.len() as u64, sha256: hex::encode(sha256.finalize()), tag: String::new() }
    }

    /// As the service calls it.
    pub(super) fn tagged(self, tag: &str) -> Self {
        Self { tag: tag.to_owned(), ..self }
    }

    /// Whether both are of the same bytes.
    fn is_like(&self, other: &Self) -> bool {
        self.size == other.size && self.sha256 == other.sha256
    }
}

/// What is to be done with the bytes of a session in which bytes have to come in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// They have arrived.
    There,
    /// They have not, or not all of them.
    Send,
    /// Others have arrived in their place.
    Other,
}

#[derive(Debug, Default)]
struct State {
    half: Half,
    /// Whether the service was asked for it, or would have been.
    begun: bool,
    /// Whether the service does not know it any more.
    gone: bool,
    /// Whether something was taken as sent that an earlier process had sent.
    reused: bool,
    /// So many bytes the session has, as it was told.
    arrived: u64,
    /// Names of blocks as they are called here, and as the service knows them.
    blocks: BTreeMap<String, String>,
    /// Parts that are not remembered yet.
    fresh: usize,
    /// Something that is to be remembered at once.
    urgent: bool,
    /// Whether the service says of something that it is not what was sent, however often it is sent.
    doubtful: bool,
}

/// An upload on its way, shared by who sends its requests and who reads its file.
pub(super) struct Upload {
    /// Bytes of the whole file.
    pub(super) size: u64,
    state: Mutex<State>,
    /// Who remembers it, until it is over. Who writes holds this, so that what is older never comes last.
    keeper: Mutex<Option<Keeper>>,
}

impl Upload {
    /// An upload of so many bytes, of which this was remembered.
    pub(super) fn new(size: u64, recalled: Option<Half>) -> Self {
        let state = State { half: recalled.unwrap_or_default(), ..State::default() };
        Self { size, state: Mutex::new(state), keeper: Mutex::new(None) }
    }

    /// The same, remembered by `keeper` as soon as there is something new.
    pub(super) fn kept_by(self, keeper: Option<Keeper>) -> Self {
        Self { keeper: Mutex::new(keeper), ..self }
    }

    /// Nothing that arrives from here on is remembered.
    pub(super) fn over(&self) {
        *self.keeper.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Has remembered what is new. This is done where an answer arrives: who reads the file may be busy with it for as
    /// long as parts are answered faster than they are read.
    fn tell(&self) {
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keeper) = &*keeper
            && let Some(text) = self.to_remember(false)
        {
            keeper(&text);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the service calls the upload to that address, if it was begun. What is remembered of any other counts no longer.
    pub(super) fn open(&self, address: &str) -> Option<String> {
        let mut state = self.state();
        state.begun = true;
        if state.half.address != address {
            state.half = Half { address: address.to_owned(), ..Half::default() };
        }
        Some(state.half.id.clone()).filter(|id| !id.is_empty())
    }

    /// It is over; what comes is of another one, to the same address.
    pub(super) fn begin_anew(&self) {
        let mut state = self.state();
        let address = std::mem::take(&mut state.half.address);
        state.half = Half { address, ..Half::default() };
        state.arrived = 0;
    }

    /// The service calls it so; that is remembered when this returns, whoever was told of it first.
    pub(super) fn called(&self, id: &str) {
        let mut state = self.state();
        if state.half.id != id {
            id.clone_into(&mut state.half.id);
            state.half.parts.clear();
            state.urgent = true;
        }
        drop(state);
        self.tell();
    }

    /// The tag of a part of that number that has arrived with the same bytes; others in its place are to be sent over.
    pub(super) fn tag_of(&self, number: &str, part: &Part) -> Option<String> {
        let mut state = self.state();
        let there = state.half.parts.get(number)?;
        if there.is_like(part) {
            let tag = there.tag.clone();
            state.reused = true;
            return Some(tag);
        }
        state.half.parts.remove(number);
        None
    }

    /// A part has arrived.
    pub(super) fn keep(&self, number: String, part: Part) {
        let mut state = self.state();
        state.half.parts.insert(number, part);
        state.fresh += 1;
        drop(state);
        self.tell();
    }

    /// Whether a block of the same bytes has arrived; from here on it stands for the one of that name, and for no other.
    pub(super) fn claim(&self, name: &str, part: &Part) -> bool {
        let mut state = self.state();
        if state.blocks.contains_key(name) {
            return true;
        }
        let found = state.half.parts.iter().find_map(|(known, there)| {
            let is_free = there.is_like(part) && state.blocks.values().all(|taken| taken != known);
            is_free.then(|| known.clone())
        });
        let Some(known) = found else { return false };
        state.blocks.insert(name.to_owned(), known);
        state.reused = true;
        true
    }

    /// A block has arrived under its own name.
    pub(super) fn keep_block(&self, name: String, part: Part) {
        self.state().blocks.insert(name.clone(), name.clone());
        self.keep(name, part);
    }

    /// A list of blocks with the names by which the service knows them.
    pub(super) fn renamed(&self, list: &str) -> String {
        const BEFORE: &str = "<Latest>";
        const AFTER: &str = "</Latest>";
        let state = self.state();
        let mut pieces = list.split(BEFORE);
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            text.push_str(BEFORE);
            let (name, rest) = piece.split_at(piece.find(AFTER).unwrap_or_default());
            text.push_str(state.blocks.get(name).map_or(name, String::as_str));
            text.push_str(rest);
        }
        text
    }

    /// So many bytes of the session have arrived.
    pub(super) fn has(&self, arrived: u64) {
        self.state().arrived = arrived;
    }

    /// What is to be done with bytes from `offset` on; they are remembered before they go, since a service may have taken some
    /// of them when we are killed.
    pub(super) fn chunk(&self, offset: u64, part: Part, is_last: bool) -> Chunk {
        let mut state = self.state();
        let (name, end) = (offset.to_string(), offset + part.size);
        let is_known = state.half.parts.get(&name).is_some_and(|there| there.is_like(&part));
        if state.arrived > offset {
            if !is_known {
                return Chunk::Other;
            }
            state.reused = true;
            // The last ones are answered with what became of all.
            if end <= state.arrived && !is_last {
                return Chunk::There;
            }
        }
        if !is_known {
            state.half.parts.insert(name, part);
            state.urgent = true;
        }
        drop(state);
        self.tell();
        Chunk::Send
    }

    /// The service does not know it any more.
    pub(super) fn lost(&self) {
        self.state().gone = true;
    }

    /// The service takes what arrived earlier for nothing, if anything was taken for that.
    pub(super) fn refused(&self) {
        let mut state = self.state();
        if state.reused {
            state.gone = true;
        }
    }

    /// What the service says of what it has is not what was sent.
    pub(super) fn doubt(&self) {
        self.state().doubtful = true;
    }

    /// Whether there is any such doubt.
    pub(super) fn is_doubtful(&self) -> bool {
        self.state().doubtful
    }

    /// Whether the service does not know it any more.
    pub(super) fn is_gone(&self) -> bool {
        self.state().gone
    }

    /// Whether the service was asked for it, or would have been.
    pub(super) fn is_begun(&self) -> bool {
        self.state().begun
    }

    /// What is to be remembered now; with `all`, however little is new. Of many parts not each is worth writing all of them.
    pub(super) fn to_remember(&self, all: bool) -> Option<String> {
        let mut state = self.state();
        let enough = if all { 1 } else { (state.half.parts.len() / 64).max(1) };
        if !state.urgent && state.fresh < enough {
            return None;
        }
        state.urgent = false;
        state.fresh = 0;
        serde_json::to_string(&state.half).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(bytes: &'static str) -> Part {
        Part::of(&Buffer::from(bytes))
    }

    /// What another process finds.
    fn recalled(upload: &Upload) -> Upload {
        Upload::new(upload.size, Half::parse(&upload.to_remember(true).unwrap()))
    }

    #[test]
    fn a_part_counts_as_sent_when_its_bytes_are_the_same_at_the_same_address() {
        let upload = Upload::new(6, None);
        assert_eq!(upload.open("http://host/bucket/key"), None);
        upload.called("id");
        upload.keep("1".to_owned(), part("one").tagged("tag"));
        upload.keep("2".to_owned(), part("two").tagged("other"));
        let again = recalled(&upload);
        assert_eq!(again.open("http://host/bucket/key").as_deref(), Some("id"));
        assert_eq!(again.tag_of("1", &part("one")).as_deref(), Some("tag"));
        assert_eq!(again.tag_of("3", &part("one")), None, "another number");
        assert_eq!(again.tag_of("2", &part("twO")), None, "other bytes");
        assert_eq!(again.tag_of("2", &part("two")), None, "which will be in its place by now");
        let elsewhere = recalled(&upload_of(&upload));
        assert_eq!(elsewhere.open("http://other/bucket/key"), None);
        assert_eq!(elsewhere.tag_of("1", &part("one")), None);
    }

    /// The same, with all of it new.
    fn upload_of(upload: &Upload) -> Upload {
        let copy = Upload::new(upload.size, Some(upload.state().half.clone()));
        copy.state().urgent = true;
        copy
    }

    #[test]
    fn a_block_stands_for_one_block_and_the_list_names_it_as_the_service_knows_it() {
        let upload = Upload::new(9, None);
        upload.open("a");
        for name in ["b1", "b2", "b3"] {
            assert!(!upload.claim(name, &part("same")), "what was sent under its own name is no other's");
            upload.keep_block(name.to_owned(), part(if name == "b3" { "last" } else { "same" }));
        }
        let again = recalled(&upload);
        again.open("a");
        assert!(again.claim("n1", &part("same")) && again.claim("n2", &part("same")));
        assert!(again.claim("n2", &part("same")), "asked once more");
        assert!(!again.claim("n3", &part("same")), "there were two of them");
        again.keep_block("n3".to_owned(), part("same"));
        assert!(again.claim("n4", &part("last")));
        let list = "<BlockList><Latest>n1</Latest><Latest>n3</Latest><Latest>n4</Latest></BlockList>";
        let told = "<BlockList><Latest>b1</Latest><Latest>n3</Latest><Latest>b3</Latest></BlockList>";
        assert_eq!(again.renamed(list), told);
        assert_eq!(again.renamed("<BlockList></BlockList>"), "<BlockList></BlockList>");
    }

    #[test]
    fn what_a_session_has_is_believed_where_its_bytes_are_known() {
        let upload = Upload::new(12, None);
        upload.open("a");
        upload.called("session");
        assert_eq!(upload.chunk(0, part("abcd"), false), Chunk::Send);
        assert_eq!(upload.chunk(0, part("abcd"), false), Chunk::Send, "once more, not answered");
        assert_eq!(upload.chunk(4, part("efgh"), false), Chunk::Send);
        let again = recalled(&upload);
        again.open("a");
        // Killed while the second one was on its way.
        again.has(6);
        assert_eq!(again.chunk(0, part("abcd"), false), Chunk::There);
        assert_eq!(again.chunk(4, part("efgx"), false), Chunk::Other);
        assert_eq!(again.chunk(4, part("efgh"), false), Chunk::Send);
        assert_eq!(again.chunk(8, part("ijkl"), true), Chunk::Send);
        again.has(12);
        assert_eq!(again.chunk(8, part("ijkl"), true), Chunk::Send, "only the last one tells of the whole");
    }

    #[test]
    fn of_many_parts_not_each_is_written() {
        let upload = Upload::new(0, None);
        upload.open("a");
        upload.called("id");
        assert!(upload.to_remember(false).is_some(), "its name at once");
        let mut written = 0;
        for number in 0..1000_u32 {
            upload.keep(number.to_string(), part("x"));
            written += u32::from(upload.to_remember(false).is_some());
        }
        assert!((128..400).contains(&written), "{written}");
        upload.keep("last".to_owned(), part("x"));
        assert!(upload.to_remember(false).is_none() && upload.to_remember(true).is_some());
        assert!(upload.to_remember(true).is_none());
    }

    #[test]
    fn what_is_new_is_remembered_where_it_is_heard_and_nothing_is_once_it_is_over() {
        let told = std::sync::Arc::new(Mutex::new(Vec::new()));
        let heard = std::sync::Arc::clone(&told);
        let keeper: Keeper = Box::new(move |text| heard.lock().unwrap().push(text.to_owned()));
        let upload = Upload::new(0, None).kept_by(Some(keeper));
        let count = || told.lock().unwrap().len();
        upload.open("a");
        assert_eq!(count(), 0);
        upload.called("id");
        upload.called("id");
        assert_eq!(count(), 1, "its name at once, and once");
        upload.keep("1".to_owned(), part("one"));
        assert_eq!(count(), 2);
        upload.chunk(8, part("two"), false);
        assert_eq!(count(), 3);
        let last = Half::parse(told.lock().unwrap().last().unwrap()).unwrap();
        assert_eq!((last.id.as_str(), last.parts()), ("id", 2));
        upload.over();
        upload.keep("2".to_owned(), part("three"));
        assert_eq!(count(), 3);
        assert!(upload.to_remember(true).is_some(), "who asks still hears of it");
    }
}
