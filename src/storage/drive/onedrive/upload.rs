//! One file's way there: sent, looked at where the answer was lost, and compared.

use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;

use super::OneDrive;
use super::item::Item;
use crate::storage::backend::{Checksum, Created, Fault, Receipt, Sessions, Source};
use crate::storage::drive::escape::split;
use crate::storage::drive::patience::Patience;

/// Up to here a file goes in one request; empty ones must.
const SMALL: u64 = 4 * 1024 * 1024;
pub(super) const OCTETS: &str = "application/octet-stream";

/// What sending came to.
pub(super) enum Sent {
    /// We made it.
    Made(Item),
    /// Somebody else's stands there.
    Taken(Option<Item>),
}

impl OneDrive {
    /// Creates `key`, and once more if what lies there then is not what was sent.
    pub(super) async fn upload(
        &self,
        key: &str,
        source: &mut Source,
        sessions: &dyn Sessions,
    ) -> Result<Created, Fault> {
        let mut damage = Fault::Damaged(String::new());
        for _ in 0..2 {
            if source.at() > 0 {
                source.rewind()?;
            }
            let sent = match source.size() {
                size if size <= SMALL => self.whole(key, source, sessions).await?,
                _ => self.through_session(key, source, sessions).await?,
            };
            let item = match sent {
                Sent::Made(item) => item,
                Sent::Taken(item) => return Ok(Created::Taken(item.map(|item| item.meta(key)))),
            };
            match self.checked(key, source, item).await? {
                Ok(receipt) => {
                    self.fresh.saw(&self.address.path(key));
                    return Ok(Created::Ours(receipt));
                }
                Err((id, fault)) => {
                    self.erase(&id).await?;
                    sessions.unsent(source.size());
                    damage = fault;
                }
            }
        }
        Err(damage)
    }

    /// Whether the item is what was sent; else its id and what is wrong.
    async fn checked(
        &self,
        key: &str,
        source: &Source,
        mut item: Item,
    ) -> Result<Result<Receipt, (String, Fault)>, Fault> {
        if item.checksum().is_none() || item.size != source.size() {
            // It is computed a moment after the upload. What tells none later either is compared by its size.
            let later = self.item(key).await?;
            item = later.filter(|later| later.id == item.id).unwrap_or(item);
        }
        let checksum = item.checksum();
        let right = if item.size == source.size() {
            source.compare(checksum.as_ref())
        } else {
            Err(Fault::Damaged(format!("sent {} bytes, stored {}", source.size(), item.size)))
        };
        Ok(match right {
            Ok(()) => Ok(Receipt { checksum, id: Some(item.id), ..Receipt::default() }),
            Err(fault) => Err((item.id, fault)),
        })
    }

    async fn whole(&self, key: &str, source: &mut Source, sessions: &dyn Sessions) -> Result<Sent, Fault> {
        let bytes = if let Some(bytes) = source.next(SMALL).await? {
            bytes
        } else {
            source.drain().await?;
            Bytes::new()
        };
        let sent = self.in_one_request(key, &bytes, source.checksum().as_ref()).await?;
        if matches!(sent, Sent::Made(_)) {
            sessions.sent(source.size());
        }
        Ok(sent)
    }

    async fn in_one_request(&self, key: &str, bytes: &Bytes, checksum: Option<&Checksum>) -> Result<Sent, Fault> {
        let url = format!("{}?@microsoft.graph.conflictBehavior=fail", self.address.of(key, "content"));
        let size = bytes.len() as u64;
        let (mut patience, mut late) = (Patience::new(), self.late_parent(key));
        let mut unsure = false;
        loop {
            let put = self.web.send_once(|client| client.put(&url).header(CONTENT_TYPE, OCTETS).body(bytes.clone()));
            let fault = match put.await {
                Ok(answer) => match answer.json() {
                    Ok(item) => return Ok(Sent::Made(item)),
                    // As good as an answer that was lost.
                    Err(fault) => Fault::Broken(fault.to_string()),
                },
                Err(fault @ (Fault::Exists | Fault::Broken(_))) => fault,
                Err(Fault::NotFound) if late.again().await => continue,
                Err(fault) => return Err(fault),
            };
            unsure |= fault != Fault::Exists;
            match self.item(key).await? {
                // Our own, of which the answer did not arrive.
                Some(item) if unsure && item.holds(size, checksum) => return Ok(Sent::Made(item)),
                Some(item) => return Ok(Sent::Taken(Some(item))),
                // A conflict over a folder that others make at the same time passes too.
                None if patience.again().await => {}
                None => return Err(fault),
            }
        }
    }

    /// How long the folder of a key may be unknown: a while where it is new.
    pub(super) fn late_parent(&self, key: &str) -> Patience {
        self.fresh.patience(split(&self.address.path(key)).0)
    }

    /// Writes over what is there.
    pub(super) async fn put_over(&self, key: &str, bytes: &Bytes) -> Result<(), Fault> {
        let url = format!("{}?@microsoft.graph.conflictBehavior=replace", self.address.of(key, "content"));
        let mut late = self.late_parent(key);
        loop {
            let put = self.web.send(|client| client.put(&url).header(CONTENT_TYPE, OCTETS).body(bytes.clone()));
            match put.await {
                Err(Fault::NotFound) if late.again().await => {}
                put => return put.map(drop),
            }
        }
    }
}
