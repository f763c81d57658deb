//! Large files to Nextcloud and ownCloud, which take them piece by piece into a folder beside everybody's files, and put them
//! together when they are told to. So a file that was on its way when we were killed is gone on with, which plain WebDAV has
//! no way to do.
//!
//! A piece counts as sent where it lies there with its length and its bytes, read again, have the sha256 that they had then. What
//! is put together is a part beside the key, as any other file here is before it gets its name. Pieces that nobody comes back to
//! the servers remove after a day.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::send::Whole;
use super::tree::straight;
use super::{WebDav, pause};
use crate::storage::backend::{Backend as _, Fault, Sessions, Source};
use crate::storage::key::{beside, is_beside};

/// What stands in the address of every place there, before the user's name.
const FILES: &str = "/remote.php/dav/files/";
/// Where pieces go, in its place.
const UPLOADS: &str = "/remote.php/dav/uploads/";
const MIB: u64 = 1024 * 1024;
/// A piece, unless there would be too many of them. Behind some servers lies an object store, which takes none under 5 MiB.
const PIECE: u64 = 16 * MIB;
/// Servers take ten thousand.
const MOST: u64 = 9_000;

/// How long a server may take to put a file together.
const ASSEMBLY: Duration = Duration::from_mins(10);

/// What is remembered of a file.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// Beside its key, where it is put together.
    part: String,
    /// Bytes of a piece.
    piece: u64,
    /// The sha256 of each piece that has arrived, by its number.
    sums: BTreeMap<u64, String>,
}

impl Kept {
    fn text(&self) -> Result<String, Fault> {
        serde_json::to_string(self).map_err(|error| Fault::Form(error.to_string()))
    }
}

/// A file on its way.
struct Sending<'a> {
    key: &'a str,
    /// Where its pieces go.
    folder: Url,
    /// Where it is put together.
    to: Url,
    size: u64,
    kept: Kept,
    /// Bytes of the pieces that lay there when it was begun, by their numbers.
    there: BTreeMap<u64, u64>,
    /// Bytes that were told of.
    counted: u64,
}

/// Bytes of each piece of a file, but for its last one.
fn piece(size: u64) -> u64 {
    PIECE.max(size.div_ceil(MOST).next_multiple_of(MIB))
}

/// Where pieces of a place's files go, if it is on such a server.
pub(super) fn uploads(root: &Url) -> Option<Url> {
    let (before, rest) = root.path().split_once(FILES)?;
    let user = rest.split('/').next().filter(|user| !user.is_empty())?;
    let mut uploads = root.clone();
    uploads.set_path(&format!("{before}{UPLOADS}{user}/"));
    Some(uploads)
}

/// The folder for the pieces of what becomes `part`, whose name is nobody else's.
fn folder(uploads: &Url, part: &str) -> Url {
    let name = part.rsplit('/').next().unwrap_or_default().trim_start_matches('.');
    let mut folder = uploads.clone();
    folder.set_path(&format!("{}{name}/", uploads.path()));
    folder
}

/// What is called `name` in a folder.
fn within(folder: &Url, name: &str) -> Url {
    let mut url = folder.clone();
    url.set_path(&format!("{}{name}", folder.path()));
    url
}

/// Whether somebody may come back to what was sent until then.
fn may_go_on(fault: &Fault) -> bool {
    fault.is_passing() || matches!(fault, Fault::Login(_))
}

impl WebDav {
    /// Sends a large file in pieces; what it is then. `None`, and nothing sent, where the server takes no pieces, or
    /// the file is one.
    pub(super) async fn in_pieces(
        &self,
        key: &str,
        source: &mut Source,
        sessions: &dyn Sessions,
    ) -> Result<Option<Whole>, Fault> {
        let Some(uploads) = self.uploads.as_ref().filter(|_| source.size() > PIECE) else { return Ok(None) };
        let Some(mut sending) = self.begun(uploads, key, source.size(), sessions).await? else { return Ok(None) };
        let sent = match self.send_pieces(&mut sending, source, sessions).await {
            Ok(()) => self.put_together(&sending).await,
            Err(fault) => Err(fault),
        };
        let Sending { folder, kept: Kept { part, .. }, counted, .. } = sending;
        let fault = match sent {
            Ok(tag) => return Ok(Some(Whole { part, tag })),
            Err(fault) => fault,
        };
        sessions.unsent(counted);
        if !may_go_on(&fault) {
            let gone = [self.delete(&folder).await, self.remove(&part).await];
            tracing::debug!(gone = gone.iter().all(Result::is_ok), "an upload in pieces broke off");
            sessions.forget(key);
        }
        Err(fault)
    }

    /// What an earlier process began, or a folder for pieces; `None` where the server makes none.
    async fn begun<'a>(
        &self,
        uploads: &Url,
        key: &'a str,
        size: u64,
        sessions: &dyn Sessions,
    ) -> Result<Option<Sending<'a>>, Fault> {
        let of = |kept: Kept, there| {
            let (folder, to) = (folder(uploads, &kept.part), self.url(&kept.part, false));
            Sending { key, folder, to, size, kept, there, counted: 0 }
        };
        if let Some((kept, there)) = self.recalled(uploads, key, size, sessions).await? {
            return Ok(Some(of(kept, there)));
        }
        let part = beside(key);
        self.remember(key, &part, size, sessions).await;
        let sending = of(Kept { part, piece: piece(size), sums: BTreeMap::new() }, BTreeMap::new());
        sessions.remember(key, &sending.kept.text()?);
        let made = self
            .web
            .send(|client| self.request(client, "MKCOL", &sending.folder).header("Destination", sending.to.as_str()));
        let Err(fault) = made.await.and_then(straight) else { return Ok(Some(sending)) };
        if may_go_on(&fault) {
            return Err(fault);
        }
        // The name is nobody else's: it was made by a try whose answer was lost.
        if matches!(fault, Fault::Refused { status: 405, .. }) && self.ask(&sending.folder, false).await?.is_some() {
            return Ok(Some(sending));
        }
        tracing::debug!(%fault, "the server takes no pieces");
        Ok(None)
    }

    /// What was remembered of a file, with the pieces of it that are there.
    async fn recalled(
        &self,
        uploads: &Url,
        key: &str,
        size: u64,
        sessions: &dyn Sessions,
    ) -> Result<Option<(Kept, BTreeMap<u64, u64>)>, Fault> {
        let kept: Option<Kept> = sessions.recall(key).and_then(|text| serde_json::from_str(&text).ok());
        let Some(kept) = kept.filter(|kept| is_beside(key, &kept.part)) else { return Ok(None) };
        let folder = folder(uploads, &kept.part);
        let found = if kept.piece == piece(size) { self.ask(&folder, true).await? } else { None };
        let Some(found) = found else {
            // Nobody knows whether what was put together by then, if it was, is right.
            let gone = [self.delete(&folder).await, self.remove(&kept.part).await];
            tracing::debug!(gone = gone.iter().all(Result::is_ok), "an upload in pieces is not gone on with");
            return Ok(None);
        };
        let pieces = found.iter().filter(|found| !found.folder).filter_map(|found| {
            let name = found.href.rsplit('/').next()?;
            Some((name.parse().ok()?, found.size))
        });
        let there = pieces.collect();
        Ok(Some((kept, there)))
    }

    /// Reads the whole file, and sends the pieces that are not there.
    async fn send_pieces(
        &self,
        sending: &mut Sending<'_>,
        source: &mut Source,
        sessions: &dyn Sessions,
    ) -> Result<(), Fault> {
        let mut number = 0;
        while let Some(bytes) = source.next(sending.kept.piece).await? {
            number += 1;
            let (length, sum) = (bytes.len() as u64, hex::encode(Sha256::digest(&bytes)));
            let is_there = sending.there.get(&number) == Some(&length);
            if !is_there || sending.kept.sums.get(&number) != Some(&sum) {
                // Should we be killed in between, nobody takes these bytes for those that lay there before.
                if sending.kept.sums.remove(&number).is_some() {
                    sessions.remember(sending.key, &sending.kept.text()?);
                }
                self.send_piece(sending, number, &bytes).await?;
                sending.kept.sums.insert(number, sum);
                sessions.remember(sending.key, &sending.kept.text()?);
            }
            sending.counted += length;
            sessions.sent(length);
        }
        Ok(())
    }

    /// Which may be repeated: it lies where the one before lay.
    async fn send_piece(&self, sending: &Sending<'_>, number: u64, bytes: &Bytes) -> Result<(), Fault> {
        let url = within(&sending.folder, &format!("{number:05}"));
        let sent = self.web.send(|client| {
            let request = self.request(client, "PUT", &url).header("Destination", sending.to.as_str());
            request.header("OC-Total-Length", sending.size).body(bytes.clone())
        });
        sent.await.and_then(straight).map(drop)
    }

    /// Has the server make one file of all pieces, and looks at how long it is; its entity tag.
    async fn put_together(&self, sending: &Sending<'_>) -> Result<Option<String>, Fault> {
        let whole = within(&sending.folder, ".file");
        let part = &sending.kept.part;
        let (since, mut tries) = (Instant::now(), 1);
        loop {
            let moved = self.web.send_once(|client| {
                let request = self.request(client, "MOVE", &whole).header("Destination", sending.to.as_str());
                request.header("Overwrite", "F").header("OC-Total-Length", sending.size)
            });
            let moved = moved.await.and_then(straight);
            // A server may need longer for it than anybody waits for an answer.
            let there = self.stat(part).await?;
            match moved {
                _ if there.as_ref().is_some_and(|there| there.size == sending.size) => {
                    return Ok(there.and_then(|there| there.tag));
                }
                Ok(_) => {
                    let there = there.map_or(0, |there| there.size);
                    return Err(Fault::Damaged(format!("{} bytes were sent, {there} are stored", sending.size)));
                }
                // What a missing folder is answered with.
                Err(Fault::NotFound | Fault::Exists) if tries == 1 && there.is_none() => {
                    self.make(part.rsplit_once('/').map_or("", |(folder, _)| folder)).await?;
                }
                Err(fault) if fault.is_passing() && since.elapsed() < ASSEMBLY => {
                    tokio::time::sleep(pause(tries)).await;
                }
                Err(fault) => return Err(fault),
            }
            tries += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_go_beside_the_files_of_their_user_and_only_on_servers_that_take_them() {
        let of = |root: &str| uploads(&root.parse().unwrap()).map(String::from);
        let there = "https://h/cloud/remote.php/dav/uploads/j%20d/";
        for root in ["https://h/cloud/remote.php/dav/files/j%20d/", "https://h/cloud/remote.php/dav/files/j%20d/a/b/"] {
            assert_eq!(of(root).as_deref(), Some(there));
        }
        for root in ["https://h/dav/", "https://h/remote.php/webdav/a/", "https://h/remote.php/dav/files/"] {
            assert_eq!(of(root), None, "{root}");
        }
        let folder = folder(&there.parse().unwrap(), "p/c/.soopervisor-part-1");
        assert_eq!(within(&folder, ".file").as_str(), format!("{there}soopervisor-part-1/.file"));
    }

    #[test]
    fn no_file_has_more_pieces_than_a_server_takes() {
        for size in [PIECE + 1, 100 * 1024 * MIB, 5_000_000 * MIB] {
            assert!(size.div_ceil(piece(size)) <= MOST && piece(size) >= PIECE, "{size}");
        }
    }
}
