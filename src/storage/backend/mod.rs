//! What a service in the network has to do so that commits can be published to it.
//!
//! A service holds bytes under keys: `/`-separated names that [`super::key`] has made fit for every service, relative
//! to the place that the user named. It creates and never overwrites; what a commit is, and when it is published, is
//! [`super::remote`]'s to decide.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use jiff::Timestamp;

pub use crate::web::{Fault, Waiting};
pub use hash::{Checksum, HashKind, Hasher};
pub use source::Source;

#[cfg(any(feature = "webdav", feature = "sftp"))]
pub(super) mod claim;
mod hash;
mod source;

/// One service, opened for one place in one account.
#[async_trait]
pub trait Backend: fmt::Debug + Send + Sync {
    /// Where it is, for people: `box:`, `s3://bucket/prefix`. Holds no credentials.
    fn place(&self) -> String;

    /// What it waits for at present instead of asking its service; `None` where it does not, or cannot tell.
    fn waiting(&self) -> Option<Waiting> {
        None
    }

    /// How many requests have gone out to it so far, heard or not; `None` where that is not counted. Where it is what it was,
    /// nothing that was to be done meanwhile was done.
    fn asked(&self) -> Option<u64> {
        None
    }

    /// How many requests that may have written something it did not refuse so far, carried out or not; `None` where that is
    /// not counted. Where it is what it was, nothing was written meanwhile, whatever else failed.
    fn undenied(&self) -> Option<u64> {
        None
    }

    /// What it can do, and how much at once.
    fn traits(&self) -> Traits;

    /// How much room there is for what is put there, whoever owns it; asked before anything is sent.
    ///
    /// # Errors
    /// When the service cannot be reached or nobody is logged in.
    async fn space(&self) -> Result<Space, Fault>;

    /// Looks whether the place can hold anything, besides what [`Self::space`] finds out: what it begins in is there and
    /// may be added to, and no file stands where a folder of it has to be. Folders that are missing will be made.
    ///
    /// # Errors
    /// When it cannot be, in words that say what to do.
    async fn look_at_place(&self) -> Result<(), Fault> {
        Ok(())
    }

    /// Makes sure that the folders are there, parents first; called once before many [`Self::create`]. Services without
    /// folders do nothing.
    ///
    /// # Errors
    /// When one cannot be made.
    async fn make_folders(&self, folders: &[String]) -> Result<(), Fault>;

    /// Makes the folder that a publisher writes to; whether nobody made it before, another publisher who may still be at
    /// work. `None`, and nothing made, where that is all the same, since of two who [`Self::create`] one key exactly one
    /// succeeds.
    ///
    /// # Errors
    /// When it cannot be made.
    async fn own_folder(&self, _folder: &str) -> Result<Option<bool>, Fault> {
        Ok(None)
    }

    /// What is known of a folder itself, where folders stay that hold no files; `None` where it is not there, and where
    /// such folders are not, or are nothing that anybody minds.
    ///
    /// # Errors
    /// When the service cannot tell.
    async fn folder(&self, _folder: &str) -> Result<Option<Meta>, Fault> {
        Ok(None)
    }

    /// Creates `key` from a file, which is read once and hashed on the way. Never overwrites. Safe to call again after
    /// any failure, of this process too: what was sent of a large file is kept track of in `progress`.
    ///
    /// # Errors
    /// When it could not be created; nothing half-written can be seen under the key.
    async fn create(&self, key: &str, source: &mut Source, sessions: &dyn Sessions) -> Result<Created, Fault>;

    /// Whether what has arrived of half-sent files stays, and costs room, until it is given up.
    fn halves_stay(&self) -> bool {
        false
    }

    /// Gives up a half-sent file of which `session` was remembered, and with which nobody goes on; `false`, and nothing done,
    /// where that ends by itself. What is gone already is no failure.
    ///
    /// # Errors
    /// When it could not be given up.
    async fn abandon(&self, _key: &str, _session: &str) -> Result<bool, Fault> {
        Ok(false)
    }

    /// Makes what [`Self::create`] left [`Created::Pending`] appear, in as few requests as the service allows; answers
    /// in the same order.
    async fn settle(&self, pending: Vec<Pending>) -> Vec<Result<Created, Fault>> {
        pending.into_iter().map(|_| Err(Fault::Form("nothing can be pending here".to_owned()))).collect()
    }

    /// Creates a small object in one piece; `false` when the key is taken. When the service cannot tell
    /// ([`Traits::create_only`] is false), the last writer wins.
    ///
    /// # Errors
    /// When it could not be written.
    async fn put(&self, key: &str, bytes: Bytes) -> Result<bool, Fault>;

    /// Writes a small object over what is there: pointers only, never published files.
    ///
    /// # Errors
    /// When it could not be written.
    async fn replace(&self, key: &str, bytes: Bytes) -> Result<(), Fault>;

    /// The bytes of `key` from `offset` on.
    ///
    /// # Errors
    /// [`Fault::NotFound`] when there is no such key.
    async fn read(&self, key: &str, offset: u64) -> Result<Stream, Fault>;

    /// What is known of one key; `None` when it is not there.
    ///
    /// # Errors
    /// When the service cannot tell.
    async fn stat(&self, key: &str) -> Result<Option<Meta>, Fault>;

    /// What lies below `folder` (no closing `/`; empty for the place itself): its own entries, or with `deep` everything
    /// below it. Whole keys, in any order; nothing where there is no such folder. With [`Traits::duplicates`] a key may
    /// come several times, the object that it stands for first.
    ///
    /// # Errors
    /// When the service cannot tell all of it.
    async fn list(&self, folder: &str, deep: bool) -> Result<Vec<Meta>, Fault>;

    /// Copies on the service's own side to a free key; `None` where it cannot do that.
    ///
    /// # Errors
    /// When the copy failed; uploading is always another way.
    async fn copy(&self, from: &str, to: &str) -> Result<Option<Created>, Fault>;

    /// Removes what we made under a key. What is gone already is no failure.
    ///
    /// # Errors
    /// When it could not be removed.
    async fn remove(&self, key: &str) -> Result<(), Fault>;

    /// An address at which whoever has it reads `key` for so long; `None` where the service gives none.
    ///
    /// # Errors
    /// When it gives some, and none was to be had.
    async fn signed_address(&self, _key: &str, _lasts: std::time::Duration) -> Result<Option<String>, Fault> {
        Ok(None)
    }

    /// Where those who may see it look at a folder with a browser; `None` where that is not known.
    ///
    /// # Errors
    /// When the service cannot tell.
    async fn web_address(&self, _folder: &str) -> Result<Option<String>, Fault> {
        Ok(None)
    }

    /// Whether names that differ only in case may be one here; `false` where they never are.
    fn may_fold_case(&self) -> bool {
        false
    }

    /// Whether a copy may be told to be as old as what it was copied from.
    fn copies_look_old(&self) -> bool {
        false
    }

    /// Somebody else removed a folder: whatever was kept in mind of it counts no longer.
    async fn forget_folder(&self, _folder: &str) {}

    /// [`Self::read`] of the very object that was made or listed, where another one may have the same key
    /// ([`Traits::duplicates`]); elsewhere the key says it.
    ///
    /// # Errors
    /// As [`Self::read`].
    async fn read_made(&self, made: Made<'_>, offset: u64) -> Result<Stream, Fault> {
        self.read(made.key, offset).await
    }

    /// [`Self::stat`] in the same way.
    ///
    /// # Errors
    /// As [`Self::stat`].
    async fn stat_made(&self, made: Made<'_>) -> Result<Option<Meta>, Fault> {
        self.stat(made.key).await
    }

    /// [`Self::copy`] in the same way.
    ///
    /// # Errors
    /// As [`Self::copy`].
    async fn copy_made(&self, from: Made<'_>, to: &str) -> Result<Option<Created>, Fault> {
        self.copy(from.key, to).await
    }

    /// [`Self::remove`] in the same way: others of that key stay.
    ///
    /// # Errors
    /// As [`Self::remove`].
    async fn remove_made(&self, made: Made<'_>) -> Result<(), Fault> {
        self.remove(made.key).await
    }

    /// Removes empty folders at and below `folder` that this process made and that nothing of `stands` lies in, where two
    /// publishers may have made the same folder ([`Traits::duplicates`]). What was made by others stays.
    ///
    /// # Errors
    /// When it cannot be told what they hold; then they stay.
    async fn remove_seconds(&self, _folder: &str, _stands: &[Made<'_>]) -> Result<(), Fault> {
        Ok(())
    }

    /// Removes a folder and everything below it, by the service's own means for whole folders where it has them; where
    /// files are removed one by one, marks go last.
    ///
    /// # Errors
    /// When something is left.
    async fn remove_folder(&self, folder: &str) -> Result<Removed, Fault>;
}

/// An entity tag as [`Meta::tag`] has it; one that is said to be weak is the same: Apache says so within the first second.
pub(super) fn entity_tag(tag: &str) -> Option<String> {
    let tag = tag.trim();
    let tag = tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"');
    (!tag.is_empty()).then(|| tag.to_owned())
}

/// Why a place cannot be: `path` is a file, and a folder of that name would be needed.
pub(super) fn file_in_the_way(path: &str) -> Fault {
    Fault::Setting(format!("`{path}` is a file where a folder has to be: name another folder, or move the file away"))
}

/// A path and all folders above it, the longest first.
pub(super) fn upwards(path: &str) -> impl Iterator<Item = &str> {
    let all = std::iter::successors(Some(path), |path| path.rsplit_once('/').map(|(above, _)| above));
    all.filter(|path| !path.is_empty())
}

/// Bytes as they come.
pub type Stream = BoxStream<'static, Result<Bytes, Fault>>;

/// What a service can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traits {
    /// What it tells of a stored file's bytes.
    pub hash: Option<HashKind>,
    /// Whether of two who [`Backend::put`] one key exactly one succeeds.
    pub create_only: bool,
    /// Whether one name can be taken twice, so that two who create it may both succeed (Google Drive).
    pub duplicates: bool,
    /// Files that are sent at once.
    pub lanes: usize,
    /// Longest key, in characters; longer ones get a short name.
    pub longest_key: usize,
}

/// Room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes that are free; `None` when the service does not tell or has no limit.
    pub free: Option<u64>,
    /// Bytes that one file may have.
    pub largest: Option<u64>,
    /// What a user should know: a token that ends soon.
    pub notes: Vec<String>,
}

/// One stored object or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Its whole key.
    pub key: String,
    /// Whether it is a folder.
    pub folder: bool,
    /// Bytes.
    pub size: u64,
    /// Of its bytes, where the service tells it.
    pub checksum: Option<Checksum>,
    /// The service's own name for it, where it has one.
    pub id: Option<String>,
    /// What the service tells its bytes from others of that key by, which is another one once somebody wrote to it: an entity
    /// tag without its quotes, on SSH servers length and time. Nothing where checksums say as much.
    pub tag: Option<String>,
    /// When it was last written, by the service's clock, where it tells that.
    pub modified: Option<Timestamp>,
}

impl Meta {
    /// Whether so many bytes with this checksum are what the service has; `None` where it does not tell enough to say.
    pub fn bears_out(&self, size: u64, checksum: Option<&Checksum>) -> Option<bool> {
        match (&self.checksum, checksum) {
            _ if self.size != size => Some(false),
            (Some(told), Some(found)) if told.kind == found.kind => Some(told == found),
            _ => None,
        }
    }

    /// That other bytes arrived than the service has: so many. Nothing that is stored is damaged by that, and the next
    /// reading may be better.
    pub fn misread(&self, size: u64) -> Fault {
        let why = if self.size == size {
            "its checksum is another one".to_owned()
        } else {
            format!("{size} bytes, and not {}", self.size)
        };
        misread(&why)
    }
}

/// That what arrived cannot be what is stored, whatever that is.
pub(super) fn misread(why: &str) -> Fault {
    Fault::Broken(format!("what arrived is not what is stored: {why}"))
}

/// One object among all that may have its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made<'a> {
    /// Its whole key.
    pub key: &'a str,
    /// The service's own name for it, as a receipt, a listing or a manifest has it. It may be forged, and gone.
    pub id: Option<&'a str>,
}

/// What creating came to.
#[derive(Debug, Clone)]
pub enum Created {
    /// The key is ours, and the service's checksum, where it has one, is that of what was sent.
    Ours(Receipt),
    /// Everything is sent and checked; [`Backend::settle`] makes it appear.
    Pending(Pending),
    /// Something stands there.
    Taken(Option<Meta>),
}

/// What a service says of what it stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// As the service computed it.
    pub checksum: Option<Checksum>,
    /// The service's own name for it.
    pub id: Option<String>,
    /// As a listing will have it ([`Meta::tag`]), where that is known.
    pub tag: Option<String>,
}

/// Sent, and not visible yet.
#[derive(Debug, Clone)]
pub struct Pending {
    /// Where it will appear.
    pub key: String,
    /// The service's session.
    pub session: String,
    /// Bytes.
    pub size: u64,
    /// Of what was sent.
    pub checksum: Checksum,
}

/// What was removed, and what a user should know of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Whether the room is free at once; where things go to a bin first it is not.
    pub freed: bool,
}

/// Remembers what it is told of one key, as [`Sessions::remember`] does.
pub type Keeper = Box<dyn Fn(&str) + Send + Sync>;

/// What is remembered, across a crash of this process too, of files that are half sent. A session's name may be a
/// credential: it is kept in a file of the user's own and told to nobody.
pub trait Sessions: Send + Sync {
    /// What was remembered of a key, if the file is still the same.
    fn recall(&self, key: &str) -> Option<String>;

    /// Remembers; the newest counts.
    fn remember(&self, key: &str, session: &str);

    /// Who remembers a key from wherever the answers of its requests arrive, which may be another task; none where that
    /// is not wanted. Its user drops it before the key is forgotten.
    fn keeper(&self, _: &str) -> Option<Keeper> {
        None
    }

    /// From now on a file may be there that this machine made, whether or not anybody hears of it: what the service will tell
    /// of it then, and of no other.
    fn may_be(&self, _key: &str, _told: &Receipt) {}

    /// Over, well or not.
    fn forget(&self, key: &str);

    /// So many bytes more have arrived.
    fn sent(&self, bytes: u64);

    /// So many bytes that were counted have to be sent once more.
    fn unsent(&self, bytes: u64);
}

/// Nothing is remembered.
impl Sessions for () {
    fn recall(&self, _: &str) -> Option<String> {
        None
    }
    fn remember(&self, _: &str, _: &str) {}
    fn forget(&self, _: &str) {}
    fn sent(&self, _: u64) {}
    fn unsent(&self, _: u64) {}
}

/// A service that is used from several places.
pub type Shared = Arc<dyn Backend>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_borne_out_by_their_checksum_alone_and_refuted_by_their_length_too() {
        let of = |bytes: &[u8]| Hasher::of(HashKind::Sha1, bytes);
        let meta = |checksum| Meta {
            key: "a".to_owned(),
            folder: false,
            size: 3,
            checksum,
            id: None,
            tag: None,
            modified: None,
        };
        let (told, silent) = (meta(Some(of(b"abc"))), meta(None));
        assert_eq!(told.bears_out(3, Some(&of(b"abc"))), Some(true));
        assert_eq!(told.bears_out(3, Some(&of(b"abd"))), Some(false));
        assert_eq!(told.bears_out(2, Some(&of(b"ab"))), Some(false));
        assert_eq!((silent.bears_out(3, Some(&of(b"abc"))), silent.bears_out(2, None)), (None, Some(false)));
        assert_eq!(told.bears_out(3, Some(&Hasher::of(HashKind::Md5, b"abc"))), None, "they cannot be compared");
        assert!(told.misread(2).is_passing() && told.misread(2).to_string().ends_with("2 bytes, and not 3"));
        assert!(told.misread(3).to_string().ends_with("its checksum is another one"));
    }

    #[test]
    fn what_lies_above_a_path_is_told_from_below() {
        assert_eq!(upwards("/a/b").collect::<Vec<_>>(), ["/a/b", "/a"]);
        assert_eq!(upwards("a/b/c").collect::<Vec<_>>(), ["a/b/c", "a/b", "a"]);
        assert_eq!(upwards("").count(), 0);
    }
}
