//! Files into Box: small ones in one request, large ones in parts ([`super::session`]). Every result is compared with
//! what was sent.

use bytes::Bytes;
use serde_json::json;

use super::BoxDrive;
use super::api::{Item, Made};
use crate::storage::backend::{Checksum, Created, HashKind, Hasher, Meta, Receipt, Sessions, Source};
use crate::storage::drive::patience::Patience;
use crate::web::Fault;

/// From here on in parts. Box takes parts from 20 MB on and advises them from 50 MB on.
pub(super) const LARGE: u64 = 20 * 1024 * 1024;

/// Where a file is to be.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) key: &'a str,
    pub(super) parent: String,
    pub(super) name: &'a str,
    /// Box told of the parent a moment ago, after an earlier try was answered with 404.
    pub(super) is_told: bool,
}

impl Target<'_> {
    /// How long the parent may be unknown. A first 404 is none to wait after: most often somebody removed the folder.
    pub(super) fn late(&self) -> Patience {
        if self.is_told { Patience::late() } else { Patience::of(0) }
    }
}

impl BoxDrive {
    /// See [`crate::storage::backend::Backend::create`].
    pub(super) async fn upload(
        &self,
        key: &str,
        source: &mut Source,
        sessions: &dyn Sessions,
    ) -> Result<Created, Fault> {
        let (folder, name) = super::split(key);
        let (mut looked_again, mut sent_again) = (false, false);
        loop {
            let parent = self.folders.make(&self.api, folder).await?;
            let target = Target { key, parent, name, is_told: looked_again };
            let created = match source.size() {
                size if size < LARGE => self.whole(&target, source, sessions).await,
                _ => self.in_parts(&target, source, sessions).await,
            };
            match created {
                // The folder that we knew is gone, or the session is over.
                Err(Fault::NotFound) if !looked_again => {
                    self.folders.forget();
                    looked_again = true;
                }
                Err(Fault::Damaged(words)) if !sent_again => {
                    tracing::warn!(key, words, "did not arrive as it was sent; once more");
                    sent_again = true;
                }
                created => return created,
            }
            source.rewind()?;
        }
    }

    async fn whole(&self, target: &Target<'_>, source: &mut Source, sessions: &dyn Sessions) -> Result<Created, Fault> {
        let size = source.size();
        let _room = self.memory.room(size).await?;
        let bytes = source.next(size).await?.unwrap_or_default();
        source.drain().await?;
        let sha1 = source.checksum().unwrap_or_else(|| Hasher::of(HashKind::Sha1, &bytes));
        let created = self.send(target, &bytes, &sha1).await?;
        if matches!(created, Created::Ours(_)) {
            sessions.sent(size);
        }
        Ok(created)
    }

    /// Sends bytes that are in memory, and looks at what became of them.
    pub(super) async fn send(&self, target: &Target<'_>, bytes: &Bytes, sha1: &Checksum) -> Result<Created, Fault> {
        let attributes = json!({"name": target.name, "parent": {"id": target.parent}});
        let made = self.api.send(&attributes, None, bytes, sha1, target.late()).await?;
        self.judged(target, made, sha1, bytes.len() as u64).await
    }

    /// What an upload came to: ours when it holds what was sent, also where an earlier try of it was not answered.
    pub(super) async fn judged(
        &self,
        target: &Target<'_>,
        made: Made,
        sha1: &Checksum,
        size: u64,
    ) -> Result<Created, Fault> {
        let ours =
            |item: Item| Created::Ours(Receipt { checksum: item.checksum(), id: Some(item.id), ..Receipt::default() });
        match made {
            Made::New(item) => match item.checksum() {
                Some(there) if there != *sha1 => {
                    self.api.remove("files", &item.id).await?;
                    Err(Fault::Damaged(format!("sent {}, stored {}", sha1.hex(), there.hex())))
                }
                _ => Ok(ours(item)),
            },
            Made::There { item, unsure: true } if item.checksum().as_ref() == Some(sha1) => Ok(ours(item)),
            Made::There { item, .. } if item.checksum().as_ref() == Some(sha1) => {
                Ok(Created::Taken(Some(meta(target.key, Item { size: Some(size), ..item }))))
            }
            Made::There { item, .. } => self.taken(target.key, item).await,
        }
    }

    /// A conflict, with the size that Box leaves out.
    pub(super) async fn taken(&self, key: &str, item: Item) -> Result<Created, Fault> {
        if item.is_folder() {
            return Ok(Created::Taken(Some(meta(key, item))));
        }
        match self.api.file(&item.id).await {
            Ok(item) => Ok(Created::Taken(Some(meta(key, item)))),
            Err(Fault::NotFound) => Ok(Created::Taken(None)),
            Err(fault) => Err(fault),
        }
    }
}

/// An item under its key.
pub(super) fn meta(key: &str, item: Item) -> Meta {
    let folder = item.is_folder();
    let size = if folder { 0 } else { item.size.unwrap_or_default() };
    let (checksum, modified) = (item.checksum(), item.modified());
    Meta { key: key.to_owned(), folder, size, checksum, id: Some(item.id), tag: None, modified }
}
