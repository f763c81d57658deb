//! One key being created: in parts that go out side by side, or beside the key where keys are files. What goes in parts to a
//! service of the network is gone on with by the next process, should this one be killed ([`super::resume`]).

use bytes::Bytes;
use opendal::{Metadata, Writer};

use super::resume::Resume;
use super::tags::{self, Sent};
use super::{Fault, Kind, ObjectStore, ROOM, fault, parts};
use crate::storage::backend::{Backend as _, Checksum, Created, HashKind, Hasher, Receipt, Sessions, Source};
use crate::storage::key::beside;

const MIB: u64 = 1024 * 1024;
/// A part, unless there would be too many of them.
const CHUNK: u64 = 8 * MIB;
/// Parts of one file on their way at once.
const LANES: u64 = 4;
/// Every service takes so many parts.
const MOST_PARTS: u64 = 9_000;
/// From here on it is asked whether the key is free before the bytes are sent.
const WORTH_ASKING: u64 = 64 * MIB;

/// In what pieces a file is sent.
#[derive(Debug, PartialEq, Eq)]
struct Pieces {
    chunk: u64,
    lanes: u64,
    /// Of [`ROOM`].
    weight: u32,
}

impl Pieces {
    fn of(size: u64) -> Self {
        let chunk = CHUNK.max(size.div_ceil(MOST_PARTS).next_multiple_of(MIB));
        let lanes = size.div_ceil(chunk).clamp(1, LANES).min((u64::from(ROOM) / 2 * CHUNK / chunk).max(1));
        let held = if size <= chunk { 1 } else { (lanes + 1) * chunk.div_ceil(CHUNK) };
        Self { chunk, lanes, weight: u32::try_from(held).unwrap_or(ROOM).min(ROOM) }
    }
}

/// What writing came to.
enum Written {
    Whole(Whole),
    Taken,
    /// The service does not know the upload that was begun.
    Gone,
}

/// A key that is there.
struct Whole {
    metadata: Metadata,
    /// What an entity tag of its parts has to be, where there were several.
    tag: Option<String>,
    /// Whether the service said of a part that it is not what was sent.
    doubtful: bool,
}

/// The checksums of parts, put together as S3 does for an entity tag.
#[derive(Default)]
struct Parts {
    each: Vec<u8>,
    count: usize,
}

impl Parts {
    fn add(&mut self, bytes: &[u8]) {
        self.each.extend(Hasher::of(HashKind::Md5, bytes).bytes);
        self.count += 1;
    }

    fn tag(&self) -> Option<String> {
        let whole = Hasher::of(HashKind::Md5, &self.each).hex();
        (self.count > 1).then(|| format!("{whole}-{}", self.count))
    }
}

/// Creates `key`, and once more if what lies there then is not what was sent.
pub(super) async fn create(
    store: &ObjectStore,
    key: &str,
    source: &mut Source,
    sessions: &dyn Sessions,
) -> Result<Created, Fault> {
    match attempt(store, key, source, sessions).await {
        Err(Fault::Damaged(words)) => {
            tracing::warn!(key, words, "did not arrive as it was sent; once more");
            source.rewind()?;
            attempt(store, key, source, sessions).await
        }
        created => created,
    }
}

async fn attempt(
    store: &ObjectStore,
    key: &str,
    source: &mut Source,
    sessions: &dyn Sessions,
) -> Result<Created, Fault> {
    if source.size() >= WORTH_ASKING
        && let Some(meta) = store.stat(key).await?
    {
        return Ok(Created::Taken(Some(meta)));
    }
    let pieces = Pieces::of(source.size());
    let _room = store.room.acquire_many(pieces.weight).await.map_err(|error| Fault::Broken(error.to_string()))?;
    let target = if store.folder.is_some() { beside(key) } else { key.to_owned() };
    let mut sent = 0;
    let mut written = write(store, &target, source, &pieces, sessions, &mut sent).await;
    if matches!(written, Ok(Written::Gone)) {
        sessions.unsent(std::mem::take(&mut sent));
        // It may have come to its end, of which nobody heard.
        if let Some(meta) = store.stat(key).await? {
            return Ok(Created::Taken(Some(meta)));
        }
        tracing::info!(key, "what had arrived of it is not there any more; from its first byte");
        source.rewind()?;
        written = write(store, &target, source, &pieces, sessions, &mut sent).await;
    }
    if !matches!(written, Ok(Written::Whole(..))) {
        sessions.unsent(sent);
    }
    if let (Some(root), true) = (&store.folder, written.is_err()) {
        parts::remove(root, &target).await;
    }
    let Whole { metadata, tag, doubtful } = match written? {
        Written::Whole(whole) => whole,
        Written::Taken => return taken(store, key).await,
        Written::Gone => return Err(Fault::Broken("the service has lost two uploads of one file".to_owned())),
    };
    if let Some(root) = &store.folder
        && !parts::link(root, &target, key).await?
    {
        sessions.unsent(sent);
        return taken(store, key).await;
    }
    let arrived = Arrived { size: source.size(), checksum: source.checksum(), tag, doubtful };
    match verify(store, key, &metadata, &arrived).await {
        Ok(checksum) => Ok(Created::Ours(Receipt { checksum, id: None, tag: store.tag(&metadata) })),
        Err(fault) => {
            if matches!(fault, Fault::Damaged(_)) {
                sessions.unsent(sent);
            }
            Err(fault)
        }
    }
}

/// Somebody has the key; if they have lost it meanwhile, it is still not ours.
async fn taken(store: &ObjectStore, key: &str) -> Result<Created, Fault> {
    Ok(Created::Taken(store.stat(key).await?))
}

async fn write(
    store: &ObjectStore,
    key: &str,
    source: &mut Source,
    pieces: &Pieces,
    sessions: &dyn Sessions,
    sent: &mut u64,
) -> Result<Written, Fault> {
    let chunk = usize::try_from(pieces.chunk).map_err(|error| Fault::Form(error.to_string()))?;
    let lanes = usize::try_from(pieces.lanes).unwrap_or(1);
    if !store.operator.info().capability().write_can_multi || source.size() == 0 {
        return write_whole(store, key, source, sessions, sent).await;
    }
    let in_network = matches!(store.kind, Kind::S3 | Kind::Gcs | Kind::Azblob);
    let resume = (in_network && source.size() > pieces.chunk).then(|| Resume::new(key, source.size(), sessions));
    let operator = resume.as_ref().map_or_else(|| store.operator.clone(), |resume| resume.operator(store));
    let opened = operator.writer_with(key).if_not_exists(true).chunk(chunk).concurrent(lanes).await;
    let mut writer = match opened.map_err(|error| fault(&error)) {
        Ok(writer) => writer,
        Err(Fault::Exists) => return Ok(Written::Taken),
        Err(fault) => return Err(fault),
    };
    let mut parts = (store.kind == Kind::S3).then(Parts::default);
    let why = match fill(&mut writer, source, pieces.chunk, parts.as_mut(), sessions, sent).await {
        Ok(metadata) => {
            let doubtful = resume.is_some_and(|resume| resume.done());
            return Ok(Written::Whole(Whole { metadata, tag: parts.and_then(|parts| parts.tag()), doubtful }));
        }
        Err(why) => why,
    };
    // Parts that were sent cost room until they are given up.
    let given_up = writer.abort().await.map_err(|error| fault(&error));
    tracing::debug!(fault = %why, gave_up = given_up.is_ok(), "an upload broke off");
    if resume.is_some_and(|resume| resume.broke_off(store.kind, &why, &given_up)) {
        return Ok(Written::Gone);
    }
    match why {
        Fault::Exists => Ok(Written::Taken),
        why => Err(why),
    }
}

async fn fill(
    writer: &mut Writer,
    source: &mut Source,
    chunk: u64,
    mut parts: Option<&mut Parts>,
    sessions: &dyn Sessions,
    sent: &mut u64,
) -> Result<Metadata, Fault> {
    while let Some(bytes) = source.next(chunk).await? {
        let length = bytes.len() as u64;
        if let Some(parts) = &mut parts {
            parts.add(&bytes);
        }
        writer.write(bytes).await.map_err(|error| fault(&error))?;
        *sent += length;
        sessions.sent(length);
    }
    writer.close().await.map_err(|error| fault(&error))
}

/// For services that take a key in one piece only, and for files without bytes.
async fn write_whole(
    store: &ObjectStore,
    key: &str,
    source: &mut Source,
    sessions: &dyn Sessions,
    sent: &mut u64,
) -> Result<Written, Fault> {
    let mut whole: Vec<Bytes> = Vec::new();
    source.drain_into(&mut whole).await?;
    let whole: opendal::Buffer = whole.into();
    let length = whole.len() as u64;
    match store.operator.write_with(key, whole).if_not_exists(true).await.map_err(|error| fault(&error)) {
        Ok(metadata) => {
            *sent += length;
            sessions.sent(length);
            Ok(Written::Whole(Whole { metadata, tag: None, doubtful: false }))
        }
        Err(Fault::Exists) => Ok(Written::Taken),
        Err(fault) => Err(fault),
    }
}

/// What a key has to hold.
struct Arrived {
    size: u64,
    checksum: Option<Checksum>,
    /// What an entity tag of its parts has to be, where there were several.
    tag: Option<String>,
    /// Whether the service said of a part that it is not what was sent.
    doubtful: bool,
}

/// Removes what is not what was sent: we made it, so that we may take it away.
async fn verify(
    store: &ObjectStore,
    key: &str,
    written: &Metadata,
    arrived: &Arrived,
) -> Result<Option<Checksum>, Fault> {
    let verified = look(store, key, written, arrived).await;
    if let Err(fault @ Fault::Damaged(_)) = &verified {
        let removed = store.remove(key).await;
        tracing::warn!(%fault, removed = removed.is_ok(), "what was stored is not what was sent");
    }
    verified
}

/// Whether what lies there is what was sent: by its checksum, by its entity tag, or else by its length.
async fn look(
    store: &ObjectStore,
    key: &str,
    written: &Metadata,
    arrived: &Arrived,
) -> Result<Option<Checksum>, Fault> {
    if let (Kind::S3, Some(checksum)) = (store.kind, &arrived.checksum) {
        let sent = Sent { size: arrived.size, checksum, tag: arrived.tag.as_deref() };
        return tags::check(store, key, written, &sent).await;
    }
    if let (true, Some(checksum)) = (arrived.doubtful, &arrived.checksum) {
        let sent = Sent { size: arrived.size, checksum, tag: None };
        return tags::by_reading(store, key, &sent, true, "of a part another checksum was told").await;
    }
    let mut there = store.checksum(written);
    if there.is_none() {
        there = store.checksum(&stat(store, key, arrived.size).await?);
    }
    match (&arrived.checksum, &there) {
        (Some(ours), Some(theirs)) if ours != theirs => {
            Err(Fault::Damaged(format!("sent {}, stored {}", ours.hex(), theirs.hex())))
        }
        _ => Ok(there),
    }
}

/// What is told of a key, if it is as long as what was sent.
pub(super) async fn stat(store: &ObjectStore, key: &str, size: u64) -> Result<Metadata, Fault> {
    let there = store.operator.stat(key).await.map_err(|error| fault(&error))?;
    if there.content_length() == size {
        return Ok(there);
    }
    Err(Fault::Damaged(format!("{size} bytes were sent, {} are stored", there.content_length())))
}

/// Creates `key` in one piece, and once more if what lies there then is not what was sent.
pub(super) async fn put(store: &ObjectStore, key: &str, bytes: Bytes) -> Result<bool, Fault> {
    if store.folder.is_some() {
        return put_beside(store, key, bytes).await;
    }
    match put_once(store, key, bytes.clone()).await {
        Err(Fault::Damaged(words)) => {
            tracing::warn!(key, words, "did not arrive as it was sent; once more");
            put_once(store, key, bytes).await
        }
        put => put,
    }
}

async fn put_once(store: &ObjectStore, key: &str, bytes: Bytes) -> Result<bool, Fault> {
    let checksum = store.traits().hash.map(|kind| Hasher::of(kind, &bytes));
    let arrived = Arrived { size: bytes.len() as u64, checksum, tag: None, doubtful: false };
    let written = match store.operator.write_with(key, bytes).if_not_exists(true).await.map_err(|error| fault(&error)) {
        Ok(written) => written,
        Err(Fault::Exists) => return Ok(false),
        Err(fault) => return Err(fault),
    };
    let tells = if store.kind == Kind::S3 { written.etag().is_some() } else { store.checksum(&written).is_some() };
    if !tells {
        return Ok(true);
    }
    // What was made may be gone again by now: marks are. So nothing but other bytes is a failure.
    match verify(store, key, &written, &arrived).await {
        Err(fault @ Fault::Damaged(_)) => Err(fault),
        _ => Ok(true),
    }
}

async fn put_beside(store: &ObjectStore, key: &str, bytes: Bytes) -> Result<bool, Fault> {
    let Some(root) = &store.folder else { return Ok(false) };
    let part = beside(key);
    if let Err(error) = store.operator.write(&part, bytes).await {
        parts::remove(root, &part).await;
        return Err(fault(&error));
    }
    parts::link(root, &part, key).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_of_parts_is_what_s3_tells() {
        let mut parts = Parts::default();
        parts.add(b"one");
        assert_eq!(parts.tag(), None);
        parts.add(b"two");
        // As `printf one | md5sum`, `printf two | md5sum`, and md5 over the bytes of both.
        let both = hex::decode("f97c5d29941bfb1b2fdab0874906ab82b8a9f715dbb64fd5c56e7783c6820a61").unwrap();
        assert_eq!(parts.tag().unwrap(), format!("{}-2", Hasher::of(HashKind::Md5, &both).hex()));
    }

    #[test]
    fn sixteen_large_files_fit_into_256_mebibytes() {
        for size in [0, 1, CHUNK, CHUNK + 1, 100 * MIB, 80 * 1024 * MIB, 5_000_000 * MIB] {
            let pieces = Pieces::of(size);
            let held = if size <= pieces.chunk { size } else { (pieces.lanes + 1) * pieces.chunk };
            assert!(held <= u64::from(pieces.weight) * CHUNK || pieces.weight == ROOM, "{size}: {pieces:?}");
            assert!(size.div_ceil(pieces.chunk) <= MOST_PARTS, "{size}: {pieces:?}");
        }
        assert_eq!(Pieces::of(100 * MIB), Pieces { chunk: CHUNK, lanes: 4, weight: 5 });
        assert_eq!(Pieces::of(3).weight, 1);
    }
}
