//! Where people look at a folder in Google Drive.

use super::GoogleDrive;
use crate::storage::backend::Fault;

impl GoogleDrive {
    /// The page of a folder, for those who may see it.
    pub(super) async fn page(&self, folder: &str) -> Result<Option<String>, Fault> {
        let found = self.find(&self.path(folder)).await?.filter(super::file::File::is_folder);
        Ok(found.map(|folder| format!("https://drive.google.com/drive/folders/{}", folder.id)))
    }
}
