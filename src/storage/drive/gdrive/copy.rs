//! Copies on the service's own side.

use serde_json::json;

use super::GoogleDrive;
use crate::storage::backend::{Created, Fault, Made, Receipt};
use crate::storage::drive::escape::split;

impl GoogleDrive {
    pub(super) async fn copied(&self, from: Made<'_>, to: &str) -> Result<Option<Created>, Fault> {
        let Some(original) = self.exactly(from).await?.filter(|file| !file.is_folder()) else {
            return Ok(None);
        };
        let path = self.path(to);
        if let Some(there) = self.present(&path).await? {
            return Ok(Some(Created::Taken(Some(there.meta(to)))));
        }
        let (folder, name) = split(&path);
        let (parent, id) = (self.make(folder).await?, self.id().await?);
        let url = self.address.file(&original.id, "/copy");
        let body = json!({"id": id, "name": name, "parents": [parent]});
        let copy = match self.writes.send(|client| client.post(&url).json(&body)).await {
            Ok(answer) => answer.json()?,
            // The id is ours alone: it was made, and the answer was lost.
            Err(Fault::Exists) => self.own(&id).await?,
            Err(fault @ (Fault::Login(_) | Fault::Full)) => return Err(fault),
            Err(fault) => {
                tracing::debug!(%fault, "not copied");
                return Ok(None);
            }
        };
        if copy.size() != original.size() || copy.checksum() != original.checksum() {
            self.erase(&copy.id).await?;
            return Ok(None);
        }
        self.known().found(&path, &copy.id);
        Ok(Some(Created::Ours(Receipt { checksum: copy.checksum(), id: Some(copy.id), ..Receipt::default() })))
    }
}
