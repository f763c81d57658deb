//! An item as Graph describes it.

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::storage::backend::{Checksum, HashKind, Meta};
use crate::storage::drive::latest;

/// What is asked for.
pub(super) const FIELDS: &str = "$select=id,name,size,file,folder,package,parentReference,\
    createdDateTime,lastModifiedDateTime";

/// A file or a folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Item {
    pub(super) id: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) size: u64,
    file: Option<File>,
    folder: Option<IgnoredAny>,
    package: Option<IgnoredAny>,
    parent_reference: Option<Reference>,
    created_date_time: Option<String>,
    last_modified_date_time: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct File {
    hashes: Option<Hashes>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hashes {
    quick_xor_hash: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    drive_id: Option<String>,
}

/// One page of a listing.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) value: Vec<Item>,
    #[serde(rename = "@odata.nextLink")]
    pub(super) next: Option<String>,
}

impl Item {
    /// Whether it is a folder, or something that is shown as one.
    pub(super) fn is_folder(&self) -> bool {
        self.folder.is_some() || self.package.is_some()
    }

    /// Whether it is a file and nothing else: what is shown here and lies in another drive is neither that nor a folder.
    pub(super) fn is_file(&self) -> bool {
        self.file.is_some() && !self.is_folder()
    }

    /// As the service computed it; a while after an upload it may not have done so yet.
    pub(super) fn checksum(&self) -> Option<Checksum> {
        let text = self.file.as_ref()?.hashes.as_ref()?.quick_xor_hash.as_deref()?;
        Checksum::from_base64(HashKind::QuickXor, text)
    }

    /// By the service's clock; a copy may keep the one of the two times.
    fn modified(&self) -> Option<Timestamp> {
        latest([self.created_date_time.as_deref(), self.last_modified_date_time.as_deref()])
    }

    /// The drive that it is in.
    pub(super) fn drive(&self) -> Option<&str> {
        self.parent_reference.as_ref()?.drive_id.as_deref()
    }

    /// Whether it surely holds these bytes.
    pub(super) fn holds(&self, size: u64, checksum: Option<&Checksum>) -> bool {
        !self.is_folder() && self.size == size && checksum.is_some() && self.checksum().as_ref() == checksum
    }

    /// Whether what lies in it is listed for itself; a notebook, which is shown as a folder, is one document of somebody's.
    pub(super) fn opens(&self) -> bool {
        self.folder.is_some() && self.package.is_none()
    }

    /// What is told of it.
    pub(super) fn meta(&self, key: &str) -> Meta {
        let folder = self.is_folder();
        let size = if folder { 0 } else { self.size };
        Meta {
            key: key.to_owned(),
            folder,
            size,
            checksum: self.checksum(),
            id: Some(self.id.clone()),
            tag: None,
            modified: self.modified(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notebook_is_a_document_and_no_folder_to_look_into() {
        let opens = |facets: &str| {
            let item: Item = serde_json::from_str(&format!(r#"{{"id": "1", "name": "x", {facets}}}"#)).unwrap();
            (item.is_folder(), item.opens())
        };
        assert_eq!(opens(r#""folder": {"childCount": 2}"#), (true, true));
        assert_eq!(opens(r#""package": {"type": "oneNote"}"#), (true, false));
        assert_eq!(opens(r#""folder": {}, "package": {"type": "oneNote"}"#), (true, false));
        assert_eq!(opens(r#""file": {}"#), (false, false));
    }
}
