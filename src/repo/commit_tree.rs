//! A commit looked at without a checkout: the listing is in memory, contents are read when asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::blobs::Blobs;
use super::listing::{Item, Listing};
use super::{EntryKind, ReadError, Tree, links};
use crate::id::RelPath;

/// Contents above this many bytes together are read again rather than kept.
const MOST_KEPT: usize = 32 << 20;

/// The files of one commit.
#[derive(Debug)]
pub struct CommitTree {
    listing: Arc<Listing>,
    reader: Mutex<Reader>,
}

#[derive(Debug, Default)]
struct Reader {
    /// One `cat-file` per repository (submodules have their own).
    running: HashMap<usize, Blobs>,
    kept: HashMap<String, Arc<[u8]>>,
    kept_bytes: usize,
}

impl CommitTree {
    pub(super) fn new(listing: Arc<Listing>) -> Self {
        Self { listing, reader: Mutex::default() }
    }

    /// Every path of the commit.
    pub(super) fn listing(&self) -> &Listing {
        &self.listing
    }

    fn content(&self, item: &Item) -> Result<Arc<[u8]>, ReadError> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = reader.kept.get(&item.oid) {
            return Ok(Arc::clone(bytes));
        }
        let io = |e: super::RepoError| ReadError::Io(e.to_string());
        let mut blobs = match reader.running.remove(&item.source) {
            Some(blobs) => blobs,
            None => Blobs::start(&self.listing.sources[item.source].git, false).map_err(io)?,
        };
        let size = blobs.ask(&item.oid).map_err(io)?;
        let bytes: Arc<[u8]> = blobs.content_bytes(size).map_err(io)?.into();
        blobs.end().map_err(io)?;
        // Only put back when the answer was read to its end: after a failure the next one starts afresh.
        reader.running.insert(item.source, blobs);
        if reader.kept_bytes + bytes.len() <= MOST_KEPT {
            reader.kept_bytes += bytes.len();
            reader.kept.insert(item.oid.clone(), Arc::clone(&bytes));
        }
        Ok(bytes)
    }
}

impl Tree for CommitTree {
    fn entry(&self, path: &RelPath) -> Option<EntryKind> {
        self.listing.entry(path)
    }

    fn read(&self, path: &RelPath, limit: u64) -> Result<Option<Arc<[u8]>>, ReadError> {
        let target = |link: &RelPath| Some(self.content(self.listing.item(link)?).ok()?.to_vec());
        let real = links::resolve(path, |p| self.listing.entry(p), target);
        let Some(item) = real.and_then(|real| self.listing.item(&real)) else { return Ok(None) };
        match item.kind {
            EntryKind::File { size, .. } if size > limit => Err(ReadError::TooLong { size, limit }),
            EntryKind::File { .. } => self.content(item).map(Some),
            _ => Ok(None),
        }
    }

    fn list(&self, folder: &RelPath) -> Vec<RelPath> {
        self.listing.list(folder).iter().filter_map(|path| path.strip_prefix(folder)).collect()
    }
}
