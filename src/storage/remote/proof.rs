//! What proves that a finished file in an unfinished folder was made by us, and that nobody changed it since.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::tidy::Named;
use super::{Remote, journal, pointer};
use crate::id::ProjectName;
use crate::outputs::manifest::Manifest;
use crate::storage::backend::{Checksum, Meta, Receipt};
use crate::storage::prune::is_litter;
use crate::storage::{Folder, key};

/// What a service told of a file when that was done.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct Proof {
    /// The kind of its checksum, and that, where it is known.
    checksum: Option<String>,
    /// The service's own name for it, where it has one.
    id: Option<String>,
    /// Its tag ([`Meta::tag`]), where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
}

impl Proof {
    /// Nothing where the service told neither of its bytes.
    pub(super) fn of(receipt: &Receipt) -> Option<Self> {
        let Receipt { checksum, id, tag } = receipt;
        let checksum = checksum.as_ref().map(told);
        (checksum.is_some() || tag.is_some()).then(|| Self { checksum, id: id.clone(), tag: tag.clone() })
    }

    /// Whether a listing tells of that very file with those very bytes, by their checksum or else by their tag. Where it does
    /// not tell all of it, it does not.
    pub(super) fn is_of(&self, meta: &Meta) -> bool {
        let is_same = match (&self.checksum, &meta.checksum) {
            (Some(ours), Some(theirs)) => *ours == told(theirs),
            _ => self.tag.is_some() && self.tag == meta.tag,
        };
        !meta.folder && is_same && meta.id == self.id
    }
}

fn told(checksum: &Checksum) -> String {
    format!("{:?} {}", checksum.kind, checksum.hex())
}

/// What lay in a folder when a publish began and is of a publish that broke off, each by what tells it from all others.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// Of what has a name that no user's file has.
    pub(super) named: HashSet<String>,
    /// Of what was remembered.
    pub(super) proven: HashMap<String, Proof>,
}

impl Before {
    /// Whether what lies there now is one of these; what was proven is to be so still.
    pub(super) fn has(&self, identity: &str, meta: &Meta) -> bool {
        self.named.contains(identity) || self.proven.get(identity).is_some_and(|proof| proof.is_of(meta))
    }
}

/// What proves of files in a folder without a manifest that they are ours.
#[derive(Debug)]
pub(super) struct Ours {
    /// Whether a name may be of several files, so that ids count.
    duplicates: bool,
    /// What the manifests named that prunes took away from there, and when each did.
    taken: Vec<(Named, Timestamp)>,
    /// What this machine had sent whole, by its key relative to the folder.
    sent: BTreeMap<String, Proof>,
}

impl Ours {
    /// Asks what is known of a folder that holds `contents`.
    pub(super) async fn of(remote: &Remote, project: &ProjectName, folder: &Folder, contents: &[Meta]) -> Self {
        let prefix = key::object_folder(project, folder);
        let sent = journal::sent_whole(remote.journals.as_deref(), &remote.service.place(), &prefix).into_iter();
        let sent = sent.filter_map(|(key, proof)| Some((key.strip_prefix(&prefix)?.to_owned(), proof))).collect();
        let mut taken = Vec::new();
        for mark in contents.iter().filter(|meta| key::is_taken(&meta.key)) {
            // What cannot be read, or is of an earlier version that said nothing there, proves nothing.
            let bytes = pointer::read_small(&*remote.service, &format!("{prefix}{}", mark.key)).await;
            let manifest = bytes.ok().and_then(|bytes| Manifest::parse(&bytes).ok());
            let manifest = manifest.and_then(|manifest| manifest.of(project, &folder.revision).ok());
            if let (Some(manifest), Some(when)) = (manifest, mark.modified) {
                taken.push((Named::by(&manifest), when));
            }
        }
        Self { duplicates: remote.service.traits().duplicates, taken, sent }
    }

    /// How many of these files nothing proves to be ours. What programs that show folders leave there does not count.
    pub(super) fn lacks(&self, contents: &[Meta]) -> usize {
        contents.iter().filter(|meta| !is_litter(meta.key.as_bytes()) && !self.has(meta)).count()
    }

    fn has(&self, meta: &Meta) -> bool {
        let id = meta.id.as_deref().filter(|_| self.duplicates);
        // Whoever wrote to it after that is not the one who had published it.
        let was_there = |when: &Timestamp| meta.modified.is_some_and(|written| written <= *when);
        key::is_of_our_making(&meta.key)
            || self.sent.get(&meta.key).is_some_and(|proof| proof.is_of(meta))
            || self.taken.iter().any(|(named, when)| was_there(when) && named.has(&meta.key, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::backend::HashKind;

    #[test]
    fn only_the_same_bytes_of_the_same_file_are_proven() {
        let checksum = |byte| Checksum { kind: HashKind::Sha1, bytes: vec![byte] };
        let receipt =
            |byte: Option<u8>| Receipt { checksum: byte.map(checksum), id: Some("1".to_owned()), ..Receipt::default() };
        let meta = |byte: Option<u8>, id: Option<&str>| Meta {
            key: "a.csv".to_owned(),
            folder: false,
            size: 1,
            checksum: byte.map(checksum),
            id: id.map(str::to_owned),
            tag: None,
            modified: None,
        };
        assert_eq!(Proof::of(&receipt(None)), None);
        let proof = Proof::of(&receipt(Some(7))).unwrap();
        assert!(proof.is_of(&meta(Some(7), Some("1"))));
        for other in [meta(Some(8), Some("1")), meta(Some(7), Some("2")), meta(Some(7), None), meta(None, Some("1"))] {
            assert!(!proof.is_of(&other), "{other:?}");
        }
        let of_another_kind = Checksum { kind: HashKind::Md5, ..checksum(7) };
        assert!(!proof.is_of(&Meta { checksum: Some(of_another_kind), ..meta(None, Some("1")) }));
        let before = Before { proven: HashMap::from([("a.csv".to_owned(), proof)]), ..Before::default() };
        assert!(before.has("a.csv", &meta(Some(7), Some("1"))) && !before.has("a.csv", &meta(Some(8), Some("1"))));
    }

    #[test]
    fn where_a_listing_tells_no_checksum_the_tag_proves_it() {
        let checksum = Checksum { kind: HashKind::Md5, bytes: vec![7] };
        let tagged = |tag: Option<&str>| Meta {
            key: "a.csv".to_owned(),
            folder: false,
            size: 1,
            checksum: None,
            id: None,
            tag: tag.map(str::to_owned),
            modified: None,
        };
        let receipt = Receipt { checksum: Some(checksum.clone()), id: None, tag: Some("3f".to_owned()) };
        for proof in [&receipt, &Receipt { checksum: None, ..receipt.clone() }].map(|told| Proof::of(told).unwrap()) {
            assert!(proof.is_of(&tagged(Some("3f"))));
            assert!(!proof.is_of(&tagged(Some("40"))) && !proof.is_of(&tagged(None)));
            assert!(!proof.is_of(&Meta { id: Some("1".to_owned()), ..tagged(Some("3f")) }));
            let written = serde_json::to_string(&proof).unwrap();
            assert_eq!(serde_json::from_str::<Proof>(&written).unwrap(), proof);
        }
        // A checksum that is told is believed before a tag.
        let other = Checksum { bytes: vec![8], ..checksum };
        let proof = Proof::of(&receipt).unwrap();
        assert!(!proof.is_of(&Meta { checksum: Some(other), ..tagged(Some("3f")) }));
        // As it was written before there were tags.
        let before = serde_json::from_str::<Proof>(r#"{"checksum": "Md5 07", "id": null}"#).unwrap();
        assert!(!before.is_of(&tagged(Some("3f"))) && !before.is_of(&tagged(None)));
    }
}
