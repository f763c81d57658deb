//! Where people look at a folder in Box.

use super::BoxDrive;
use crate::web::Fault;

impl BoxDrive {
    /// The page of a folder, for those who may see it.
    pub(super) async fn page(&self, folder: &str) -> Result<Option<String>, Fault> {
        let id = self.folders.find(&self.api, folder).await?;
        Ok(id.map(|id| format!("https://app.box.com/folder/{id}")))
    }
}
