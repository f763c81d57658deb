//! What proves that a finished file in an unfinished folder was made by this machine, and that nobody changed it since.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::storage::backend::{Checksum, Meta};

/// What a service told of a file when that was done.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct Proof {
    /// The kind of its checksum, and that.
    checksum: String,
    /// The service's own name for it, where it has one.
    id: Option<String>,
}

impl Proof {
    pub(super) fn of(checksum: &Checksum, id: Option<&str>) -> Self {
        Self { checksum: told(checksum), id: id.map(str::to_owned) }
    }

    /// Whether a listing tells of that very file with those very bytes. Where it does not tell all of it, it does not.
    pub(super) fn is_of(&self, meta: &Meta) -> bool {
        let is_same = meta.checksum.as_ref().is_some_and(|checksum| told(checksum) == self.checksum);
        !meta.folder && is_same && meta.id == self.id
    }
}

fn told(checksum: &Checksum) -> String {
    format!("{:?} {}", checksum.kind, checksum.hex())
}

/// What lay in a folder when a publish began and is of a publish that broke off, each by what tells it from all others.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// Of what its name tells that.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::backend::HashKind;

    #[test]
    fn only_the_same_bytes_of_the_same_file_are_proven() {
        let checksum = |byte| Checksum { kind: HashKind::Sha1, bytes: vec![byte] };
        let meta = |byte: Option<u8>, id: Option<&str>| Meta {
            key: "a.csv".to_owned(),
            folder: false,
            size: 1,
            checksum: byte.map(checksum),
            id: id.map(str::to_owned),
            modified: None,
        };
        let proof = Proof::of(&checksum(7), Some("1"));
        assert!(proof.is_of(&meta(Some(7), Some("1"))));
        for other in [meta(Some(8), Some("1")), meta(Some(7), Some("2")), meta(Some(7), None), meta(None, Some("1"))] {
            assert!(!proof.is_of(&other), "{other:?}");
        }
        let of_another_kind = Checksum { kind: HashKind::Md5, ..checksum(7) };
        assert!(!proof.is_of(&Meta { checksum: Some(of_another_kind), ..meta(None, Some("1")) }));
        let before = Before { proven: HashMap::from([("a.csv".to_owned(), proof)]), ..Before::default() };
        assert!(before.has("a.csv", &meta(Some(7), Some("1"))) && !before.has("a.csv", &meta(Some(8), Some("1"))));
    }
}
