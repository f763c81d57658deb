//! What S3's entity tags say of what was sent: where they are checksums, whether it arrived; elsewhere nothing.
//!
//! A service does not say which it is. With keys of the user's (SSE-KMS, SSE-C), and on some that only speak like S3, a tag
//! looks like a checksum and is none. So a tag that is what was sent proves it, and one that is another checksum is a
//! reason to read the bytes back: those decide, so that no sound upload fails. If they are right, tags are no checksums
//! here, and nothing is read back any more.

use std::sync::OnceLock;

use futures::TryStreamExt as _;
use opendal::Metadata;
use tokio::sync::Mutex;

use super::upload::stat;
use super::{Fault, ObjectStore};
use crate::storage::backend::{Backend as _, Checksum, Hasher};

/// What is known of a service's tags: whether they are checksums.
#[derive(Debug, Default)]
pub(super) struct Tags {
    /// Of what was sent in one piece.
    whole: OnceLock<bool>,
    /// Of what was sent in parts.
    parts: OnceLock<bool>,
    /// One file at a time is read back.
    turn: Mutex<()>,
}

impl Tags {
    fn of(&self, parts: bool) -> &OnceLock<bool> {
        if parts { &self.parts } else { &self.whole }
    }

    /// Which of the two counts is what was learnt first.
    fn learn(&self, parts: bool, checksums: bool) {
        let _ = self.of(parts).set(checksums);
    }

    /// Whether they tell nothing; what is no checksum of one piece is none of many.
    fn tell_nothing(&self, parts: bool) -> bool {
        self.whole.get() == Some(&false) || self.of(parts).get() == Some(&false)
    }
}

/// What was sent.
pub(super) struct Sent<'a> {
    pub(super) size: u64,
    pub(super) checksum: &'a Checksum,
    /// What the tag has to be where it went in several parts.
    pub(super) tag: Option<&'a str>,
}

/// What a tag says.
#[derive(Debug, PartialEq, Eq)]
enum Says {
    /// It is there as it was sent.
    Same,
    /// Something else is there, if tags are checksums.
    Other(String),
    Nothing,
}

impl Says {
    fn of(metadata: &Metadata, sent: &Sent<'_>) -> Self {
        let whole = sent.checksum.hex();
        let Some(tag) = metadata.etag().map(|tag| tag.trim_matches('"')) else { return Self::Nothing };
        let expected = sent.tag.unwrap_or(&whole);
        // Some tell the checksum of the whole, however it was sent.
        if tag.eq_ignore_ascii_case(expected) || tag.eq_ignore_ascii_case(&whole) {
            return Self::Same;
        }
        match form(tag) {
            Some(parts) if form(expected) == Some(parts) => Self::Other(tag.to_owned()),
            _ => Self::Nothing,
        }
    }
}

/// How many parts a tag says there were, where it looks like a checksum; nothing stands there for one piece.
fn form(tag: &str) -> Option<&str> {
    let (sum, parts) = tag.split_once('-').unwrap_or((tag, ""));
    (sum.len() == 32 && sum.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(parts)
}

/// Whether what lies at `key` is what was sent: its checksum if that is proved, nothing if its length is right and no more
/// can be told.
pub(super) async fn check(
    store: &ObjectStore,
    key: &str,
    written: &Metadata,
    sent: &Sent<'_>,
) -> Result<Option<Checksum>, Fault> {
    let (tags, parts) = (&store.tags, sent.tag.is_some());
    let mut says = Says::of(written, sent);
    if says == Says::Nothing {
        says = Says::of(&stat(store, key, sent.size).await?, sent);
    }
    let tag = match says {
        Says::Same => {
            tags.learn(parts, true);
            return Ok(Some(sent.checksum.clone()));
        }
        Says::Other(tag) => tag,
        Says::Nothing => return Ok(None),
    };
    by_reading(store, key, sent, parts, &format!("tagged {tag}")).await
}

/// As [`check`], where the service says something else: what can be read decides who is right, and what is said is heard no
/// more once it was wrong.
pub(super) async fn by_reading(
    store: &ObjectStore,
    key: &str,
    sent: &Sent<'_>,
    parts: bool,
    told: &str,
) -> Result<Option<Checksum>, Fault> {
    let tags = &store.tags;
    let _turn = tags.turn.lock().await;
    if !tags.tell_nothing(parts) {
        match read_back(store, key, sent.checksum).await {
            Ok(there) if there == *sent.checksum => {
                tags.learn(parts, false);
                return Ok(Some(there));
            }
            Ok(there) => {
                let words = format!("sent {}, stored {}, {told}", sent.checksum.hex(), there.hex());
                return Err(Fault::Damaged(words));
            }
            // Who may write need not be allowed to read.
            Err(fault @ (Fault::Forbidden(_) | Fault::Refused { .. })) => {
                tracing::info!(key, %fault, "what was stored cannot be compared with what was sent");
                tags.learn(parts, false);
            }
            Err(fault) => return Err(fault),
        }
    }
    stat(store, key, sent.size).await.map(|_| None)
}

/// The checksum of what lies there.
async fn read_back(store: &ObjectStore, key: &str, like: &Checksum) -> Result<Checksum, Fault> {
    let mut hasher = Hasher::new(like.kind);
    let mut stream = store.read(key, 0).await?;
    while let Some(bytes) = stream.try_next().await? {
        hasher.update(&bytes);
    }
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::backend::HashKind;

    const OTHER: &str = "0123456789abcdef0123456789abcdef";

    fn says(etag: &str, parts: Option<&str>) -> Says {
        let checksum = Hasher::of(HashKind::Md5, b"abc");
        let mut builder = opendal::MetadataBuilder::file(3);
        builder.etag(etag);
        Says::of(&builder.build(), &Sent { size: 3, checksum: &checksum, tag: parts })
    }

    #[test]
    fn a_tag_proves_what_was_sent_or_asks_for_a_look_or_says_nothing() {
        let ours = Hasher::of(HashKind::Md5, b"abc").hex();
        let other = |tag: &str| Says::Other(tag.to_owned());
        assert_eq!(says(&format!("\"{ours}\""), None), Says::Same);
        assert_eq!(says(&ours.to_uppercase(), None), Says::Same);
        assert_eq!(says(&format!("\"{OTHER}\""), None), other(OTHER));
        let (longer, no_number) = (format!("{OTHER}0"), OTHER.replace('0', "x"));
        for nothing in ["\"0123\"", "\"\"", "W/\"x\"", &format!("{OTHER}-2"), &longer, &no_number] {
            assert_eq!(says(nothing, None), Says::Nothing, "{nothing}");
        }
        let (two, three) = (format!("{ours}-2"), format!("{OTHER}-3"));
        assert_eq!(says(&two, Some(&two)), Says::Same);
        assert_eq!(says(&ours, Some(&two)), Says::Same, "of the whole, however it was sent");
        assert_eq!(says(&format!("{OTHER}-2"), Some(&two)), other(&format!("{OTHER}-2")));
        assert_eq!(says(&three, Some(&two)), Says::Nothing);
    }

    #[test]
    fn what_is_learnt_first_of_tags_counts_and_of_one_piece_for_many() {
        let tags = Tags::default();
        assert!(!tags.tell_nothing(false) && !tags.tell_nothing(true));
        tags.learn(true, false);
        assert!(!tags.tell_nothing(false) && tags.tell_nothing(true));
        let tags = Tags::default();
        tags.learn(false, true);
        tags.learn(false, false);
        assert!(!tags.tell_nothing(false));
        let tags = Tags::default();
        tags.learn(false, false);
        assert!(tags.tell_nothing(true));
    }
}
