//! The folder that a place begins in, where it is named by its id: whether it is there, may be added to, and whose room
//! it takes.

use serde::Deserialize;

use super::query::FOLDER;
use super::{GoogleDrive, ROOT};
use crate::storage::backend::Fault;

/// Where people find an id.
const HOW: &str = "open the folder in a browser and take what follows `/folders/` in its address";

/// What is known of it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Top {
    #[serde(default)]
    mime_type: String,
    #[serde(default)]
    trashed: bool,
    drive_id: Option<String>,
    capabilities: Option<Capabilities>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Capabilities {
    can_add_children: Option<bool>,
}

impl Top {
    /// Whether it is in a shared drive: what is put there is the drive's, and takes nothing of any user's room.
    pub(super) fn is_in_shared_drive(&self) -> bool {
        self.drive_id.is_some()
    }
}

impl GoogleDrive {
    /// The folder as it is now; nothing for My Drive, which is always there.
    pub(super) async fn asked_top(&self) -> Result<Option<Top>, Fault> {
        if self.top == ROOT {
            return Ok(None);
        }
        let url = self.address.top(&self.top);
        match self.reads.send(|client| client.get(&url)).await {
            Ok(answer) => match answer.json::<Top>()? {
                top if top.trashed => Err(self.no_top()),
                top => Ok(Some(top)),
            },
            Err(Fault::NotFound) => Err(self.no_top()),
            Err(fault) => Err(fault),
        }
    }

    /// See [`crate::storage::backend::Backend::look_at_place`].
    pub(super) async fn look_at_top(&self) -> Result<(), Fault> {
        let Some(top) = self.asked_top().await? else { return Ok(()) };
        if top.mime_type != FOLDER {
            return Err(Fault::Setting(format!("what has the id `{}` is no folder: {HOW}", self.top)));
        }
        match top.capabilities.and_then(|may| may.can_add_children) {
            Some(false) => Err(Fault::Forbidden(format!("the folder `{}` may be read and not added to", self.top))),
            _ => Ok(()),
        }
    }

    /// Why nothing can be done below a folder that is not there.
    pub(super) fn no_top(&self) -> Fault {
        Fault::Setting(format!(
            "there is no folder with the id `{}`, or this login does not see it (with the scope `drive.file` an app \
             sees what it made): {HOW}",
            self.top
        ))
    }
}
