//! Where people look at a folder in OneDrive.

use super::OneDrive;
use crate::storage::backend::Fault;

impl OneDrive {
    /// The page of a folder, for those who may see it, as the service tells it.
    pub(super) async fn page(&self, folder: &str) -> Result<Option<String>, Fault> {
        let url = format!("{}?$select=webUrl", self.address.of(folder, ""));
        let told = match self.web.send(|client| client.get(&url)).await {
            Ok(answer) => answer.value(),
            Err(Fault::NotFound) => return Ok(None),
            Err(fault) => return Err(fault),
        };
        Ok(told["webUrl"].as_str().filter(|url| url.starts_with("https://")).map(str::to_owned))
    }
}
