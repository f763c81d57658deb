//! Two of one name: what this process made and somebody else made before it is taken back; of two manifests one wins.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;

use super::GoogleDrive;
use super::file::{File, lowest};
use super::upload::OCTETS;
use crate::storage::backend::{Created, Fault, HashKind};
use crate::storage::drive::escape::split;
use crate::storage::drive::patience::Patience;
use crate::storage::drive::pieces::from_memory;

/// Whoever created within the same tick of the service's clock is visible after this, or comes later for everybody.
const TICK: Duration = Duration::from_millis(1100);

impl GoogleDrive {
    /// Creates a small file if nobody was there before: created, looked at, and taken back where another one is lower.
    pub(super) async fn put_first(&self, key: &str, bytes: &Bytes) -> Result<bool, Fault> {
        let path = self.path(key);
        let (folder, _) = split(&path);
        self.heal(folder).await?;
        if !self.all(&path, true).await?.is_empty() {
            return Ok(false);
        }
        let mut source = from_memory(bytes, HashKind::Md5)?;
        let Created::Ours(receipt) = self.upload(key, &mut source, &()).await? else { return Ok(false) };
        let id = receipt.id.unwrap_or_default();
        tokio::time::sleep(TICK).await;
        let mut patience = Patience::new();
        let mut there = self.all(&path, true).await?;
        // A listing without ours may be without others' too.
        while !there.iter().any(|file| file.id == id) && patience.again().await {
            there = self.all(&path, true).await?;
        }
        if !there.iter().any(|file| file.id == id) {
            there.extend(self.file(&id).await?);
        }
        there.retain(|file| !file.is_folder());
        let Some(first) = lowest(there).filter(|first| first.id != id) else { return Ok(true) };
        // Should it stay, it is not the one that is read.
        if let Err(fault) = self.erase(&id).await {
            tracing::info!(%fault, key, "a second file of that name stays");
        }
        self.known().forget(&path);
        self.known().found(&path, &first.id);
        Ok(false)
    }

    /// Takes back what this process made below a folder and somebody else had made before.
    pub(super) async fn heal(&self, folder: &str) -> Result<(), Fault> {
        let made = self.known().made_below(folder);
        if made.is_empty() {
            return Ok(());
        }
        let mut there: std::collections::HashMap<String, Vec<File>> = std::collections::HashMap::new();
        for (path, file) in self.walk(folder, true).await? {
            if made.contains_key(&path) && !file.is_folder() {
                there.entry(path).or_default().push(file);
            }
        }
        for (path, files) in there {
            let Some(ours) = made.get(&path) else { continue };
            let Some(first) = lowest(files).filter(|first| first.id != ours.id) else { continue };
            // Unless ours is not listed yet and is the first all the same.
            let Some(mine) = self.file(&ours.id).await? else { continue };
            if mine.order() < first.order() {
                continue;
            }
            let same = first.checksum() == ours.checksum;
            self.erase(&ours.id).await?;
            self.known().forget(&path);
            self.known().found(&path, &first.id);
            tracing::info!(path, same, "somebody else had created it first");
            if !same {
                return Err(Fault::Damaged(format!("`{path}`: somebody else created it at the same time; run again")));
            }
        }
        Ok(())
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
