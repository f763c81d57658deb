//! Small files that only one of several publishers may create, where names are not exclusive: the lowest (time, id) of
//! that name wins, and everybody else takes back what it made. A listing that has ours may lack an older one all the same:
//! of manifests that is found out above (`remote/rivals.rs`). Removes nothing that others made.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;

use super::GoogleDrive;
use super::file::lowest;
use super::upload::OCTETS;
use crate::storage::backend::{Fault, HashKind};
use crate::storage::drive::patience::Patience;
use crate::storage::drive::pieces::from_memory;

/// Whoever created within the same tick of the service's clock is visible after this, or comes later for everybody.
const TICK: Duration = Duration::from_millis(1100);

impl GoogleDrive {
    /// Creates a small file if nobody was there before: created, looked at, and taken back where another one is lower.
    pub(super) async fn put_first(&self, key: &str, bytes: &Bytes) -> Result<bool, Fault> {
        let path = self.path(key);
        if !self.all(&path, true).await?.is_empty() {
            return Ok(false);
        }
        let mut source = from_memory(bytes, HashKind::Md5)?;
        let id = self.upload(key, &mut source, &()).await?.id;
        tokio::time::sleep(TICK).await;
        let mut patience = Patience::new();
        let mut there = self.all(&path, true).await?;
        // A listing without ours may be without others' too.
        while !there.iter().any(|file| file.id == id) && patience.again().await {
            there = self.all(&path, true).await?;
        }
        if !there.iter().any(|file| file.id == id) {
            there.push(self.own(&id).await?);
        }
        there.retain(|file| !file.is_folder());
        let first = lowest(there).map_or_else(|| id.clone(), |first| first.id);
        // Only now does anybody here take it for what the name stands for.
        self.known().found(&path, &first);
        if first == id {
            return Ok(true);
        }
        // Should it stay, it is not the one that is read.
        if let Err(fault) = self.erase(&id).await {
            tracing::info!(%fault, key, "a second file of that name stays");
        }
        Ok(false)
    }

    /// Writes over what is there.
    pub(super) async fn put_over(&self, key: &str, bytes: &Bytes) -> Result<(), Fault> {
        if let Some(there) = self.find(&self.path(key)).await? {
            let url = self.address.over(&there.id);
            let patch = self.writes.send(|client| client.patch(&url).header(CONTENT_TYPE, OCTETS).body(bytes.clone()));
            return patch.await.map(drop);
        }
        let mut source = from_memory(bytes, HashKind::Md5)?;
        self.upload(key, &mut source, &()).await.map(drop)
    }
}
