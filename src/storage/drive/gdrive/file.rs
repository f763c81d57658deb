//! A file or folder as Google describes it, and which of several of one name counts.

use serde::Deserialize;

use super::query::FOLDER;
use crate::storage::backend::{Checksum, HashKind, Meta};
use crate::storage::drive::latest;
use crate::web::number_if_any;

/// A file or folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct File {
    pub(super) id: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    mime_type: String,
    /// A number, written as text.
    #[serde(default, deserialize_with = "number_if_any")]
    size: Option<u64>,
    md5_checksum: Option<String>,
    #[serde(default)]
    pub(super) created_time: String,
    pub(super) modified_time: Option<String>,
    #[serde(default)]
    pub(super) trashed: bool,
    #[serde(default)]
    pub(super) parents: Vec<String>,
}

/// One page of a search.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    #[serde(default)]
    pub(super) files: Vec<File>,
    pub(super) next_page_token: Option<String>,
    #[serde(default)]
    pub(super) incomplete_search: bool,
}

/// The tag of a file that nobody wrote to since it was made; together with its id it tells that its bytes are whose that is.
pub(super) const AS_MADE: &str = "as it was made";

impl File {
    pub(super) fn is_folder(&self) -> bool {
        self.mime_type == FOLDER
    }

    pub(super) fn size(&self) -> u64 {
        self.size.unwrap_or(0)
    }

    pub(super) fn checksum(&self) -> Option<Checksum> {
        Checksum::from_hex(HashKind::Md5, self.md5_checksum.as_deref()?)
    }

    /// Whether nobody wrote to it since it was made: then both times are one.
    fn is_as_made(&self) -> bool {
        self.modified_time.as_deref() == Some(&*self.created_time)
    }

    /// Of several of one name the lowest is the one: everybody who looks comes to the same.
    pub(super) fn order(&self) -> (&str, &str) {
        (&self.created_time, &self.id)
    }

    pub(super) fn meta(&self, key: &str) -> Meta {
        let folder = self.is_folder();
        // A copy keeps the one of the two times.
        let modified = latest([Some(&*self.created_time), self.modified_time.as_deref()]);
        let (size, checksum) = (self.size(), self.checksum());
        let tag = (!folder && self.is_as_made()).then(|| AS_MADE.to_owned());
        Meta { key: key.to_owned(), folder, size, checksum, id: Some(self.id.clone()), tag, modified }
    }
}

/// All of a name, what it stands for first: files before folders, and of each the lowest.
pub(super) fn ranked(mut files: Vec<File>) -> Vec<File> {
    files.sort_by(|one, other| (one.is_folder(), one.order()).cmp(&(other.is_folder(), other.order())));
    files
}

/// The file that a name stands for; a folder where there is no file.
pub(super) fn lowest(files: Vec<File>) -> Option<File> {
    ranked(files).into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_nobody_wrote_to_since_it_was_made_is_known_by_its_times() {
        let tag = |modified: Option<&str>, kind: &str| {
            let file = File {
                id: "1".to_owned(),
                name: String::new(),
                mime_type: kind.to_owned(),
                size: None,
                md5_checksum: None,
                created_time: "2026-01-01T00:00:00.000Z".to_owned(),
                modified_time: modified.map(str::to_owned),
                trashed: false,
                parents: Vec::new(),
            };
            file.meta("a.csv").tag
        };
        assert_eq!(tag(Some("2026-01-01T00:00:00.000Z"), "text/csv").as_deref(), Some(AS_MADE));
        assert_eq!(tag(Some("2026-01-01T00:00:00.001Z"), "text/csv"), None);
        assert_eq!((tag(None, "text/csv"), tag(Some("2026-01-01T00:00:00.000Z"), FOLDER)), (None, None));
    }

    #[test]
    fn the_oldest_file_is_the_one_and_the_lowest_id_of_one_moment() {
        let file = |id: &str, made: &str, kind: &str| File {
            id: id.to_owned(),
            name: String::new(),
            mime_type: kind.to_owned(),
            size: None,
            md5_checksum: None,
            created_time: made.to_owned(),
            modified_time: None,
            trashed: false,
            parents: Vec::new(),
        };
        let files = vec![file("c", "2026-01-02", ""), file("z", "2026-01-01", ""), file("b", "2026-01-01", "")];
        let folder = file("a", "2025-01-01", FOLDER);
        assert_eq!(lowest([files, vec![folder.clone()]].concat()).unwrap().id, "b");
        assert_eq!(lowest(vec![folder]).unwrap().id, "a");
        assert!(lowest(Vec::new()).is_none());
    }
}
