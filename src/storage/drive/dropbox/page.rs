//! Where people look at a folder in Dropbox.

use super::Dropbox;
use crate::storage::drive::escape::{escape, parts};

impl Dropbox {
    /// The page of a folder, for those who may see it. Right for an application that
    /// sees the whole account: one that sees its own folder only is not told what that is called.
    pub(super) fn page(&self, folder: &str) -> String {
        let names: Vec<String> = parts(&self.path(folder)).map(escape).collect();
        format!("https://www.dropbox.com/home/{}", names.join("/"))
    }
}
