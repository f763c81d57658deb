//! Files that a service shows and does not give: what a manifest names is looked at before it is called missing. Never asks a
//! second time for what need not be there.

use super::Remote;
use crate::storage::StorageError;
use crate::storage::backend::{Fault, Made, Stream};
use crate::storage::verify::PAUSE;

/// How often such a file is read again.
const AGAIN: u32 = 2;

impl Remote {
    /// The bytes of what a manifest names, from `offset` on; `None` where it is not there, and looking says so too.
    ///
    /// # Errors
    /// When it cannot be read, or is there and is not given.
    pub(super) async fn read_named(&self, made: Made<'_>, offset: u64) -> Result<Option<Stream>, StorageError> {
        let mut tries = 0;
        loop {
            let fault = match self.service.read_made(made, offset).await {
                Ok(stream) => return Ok(Some(stream)),
                Err(fault) => fault,
            };
            if fault != Fault::NotFound {
                return Err(self.fault("read", made.key, fault));
            }
            if !self.is_withheld(made, tries).await? {
                return Ok(None);
            }
            tries += 1;
        }
    }

    /// Whether a file that was read in vain for the `tries + 1`th time is there all the same, and is to be read again.
    ///
    /// # Errors
    /// When it was read often enough, and when the service cannot tell.
    pub(super) async fn is_withheld(&self, made: Made<'_>, tries: u32) -> Result<bool, StorageError> {
        let looked = self.service.stat_made(made).await.map_err(|fault| self.fault("look at", made.key, fault))?;
        if looked.is_none_or(|meta| meta.folder) {
            return Ok(false);
        }
        if tries >= AGAIN {
            let words = "the service says that it is there, and does not give it";
            return Err(self.fault("read", made.key, Fault::Broken(words.to_owned())));
        }
        tracing::debug!(key = made.key, tries, "it is there, and is read again");
        tokio::time::sleep(PAUSE * (tries + 1)).await;
        Ok(true)
    }
}
