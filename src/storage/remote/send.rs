//! One output on its way: taken from what lies there, copied by the service, or sent.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use super::Remote;
use super::journal::Journal;
use super::tally::Tally;
use crate::id::Digest;
use crate::outputs::manifest::{Entry, Manifest};
use crate::outputs::{Output, OutputKind, meaning};
use crate::storage::backend::{Checksum, Created, Fault, Meta, Pending, Receipt, Source};
use crate::storage::source::{self, Sources};
use crate::storage::verify::digest;
use crate::storage::{Folder, Publication, SameFile, StorageError, key};

/// Below this, sending is as fast as asking the service to copy.
const WORTH_COPYING: u64 = 1024 * 1024;
/// From here on a file is hashed before it is sent where an earlier commit has one of the same length.
const WORTH_HASHING: u64 = 8 * 1024 * 1024;

/// What sending needs to know, the same for all outputs of a folder.
pub(super) struct Sender<'a> {
    pub(super) remote: &'a Remote,
    pub(super) publication: &'a Publication,
    pub(super) folder: &'a Folder,
    /// What lies in the folder already, by its key relative to it.
    pub(super) there: HashMap<String, Meta>,
    /// The project's newest other commit.
    pub(super) earlier: Option<(Folder, Manifest)>,
    pub(super) journal: &'a Journal,
    pub(super) tally: &'a Tally,
}

/// What is known of a file that was read.
struct Known {
    sha256: Digest,
    checksum: Option<Checksum>,
}

/// How one output ended.
pub(super) struct Sent {
    pub(super) entry: Entry,
    /// Whether this publish made the key, so that it may remove it again.
    pub(super) made: bool,
    /// Under which name, relative to the folder.
    pub(super) name: String,
    /// What [`crate::storage::backend::Backend::settle`] has to make visible.
    pub(super) pending: Option<Pending>,
}

impl Sender<'_> {
    /// Makes sure that the output lies in the folder, under `name` or, where that holds something else, another name.
    pub(super) async fn send(&self, output: &Output, name: &str) -> Result<Sent, StorageError> {
        if output.kind != OutputKind::File {
            let entry = Entry::new(output, None, None);
            self.tally.file();
            return Ok(Sent { entry, made: false, name: name.to_owned(), pending: None });
        }
        let part = self.journal.of(output.size, self.tally);
        let sent = match self.copied(output, name).await {
            Some(entry) => Sent { entry, made: true, name: name.to_owned(), pending: None },
            None => self.create(output, name, &part).await?,
        };
        if sent.pending.is_none() {
            part.settle(output.size);
            self.tally.file();
        }
        Ok(sent)
    }

    /// An output that was sent whole, and whose key turned out to be taken when it was to appear: by the same bytes, or
    /// it is sent again under another name.
    pub(super) async fn make_way(
        &self,
        output: &Output,
        name: &str,
        sent: &Sent,
        checksum: &Checksum,
        meta: Option<Meta>,
    ) -> Result<Option<Sent>, StorageError> {
        let sha256 = sent.entry.sha256.unwrap_or(Digest([0; 32]));
        if self.holds(name, output, Known { sha256, checksum: Some(checksum.clone()) }, meta).await? {
            return Ok(None);
        }
        let part = self.journal.of(output.size, self.tally);
        let name = key::other_name(name, &self.publication.about.run);
        self.create(output, &name, &part).await.map(Some)
    }

    async fn create(&self, output: &Output, name: &str, part: &super::journal::Part<'_>) -> Result<Sent, StorageError> {
        let mut source = self.source(output).await?;
        if let Some(entry) = self.copied_by_content(output, &mut source, name).await? {
            return Ok(Sent { entry, made: true, name: name.to_owned(), pending: None });
        }
        let mut name = name.to_owned();
        // Its own name, another one, and one more should two publishers of one run meet there.
        for _ in 0..3 {
            let listed = self.there.get(&name).cloned();
            let created = match listed {
                Some(meta) => Created::Taken(Some(meta)),
                None => self.attempt(output, &name, &mut source, part).await?,
            };
            match created {
                Created::Ours(_) => return Ok(sent(output, &source, name, true, None)),
                Created::Pending(pending) => return Ok(sent(output, &source, name, true, Some(pending))),
                Created::Taken(meta) => {
                    self.drain(output, &mut source).await?;
                    let known = Known { sha256: source.sha256(), checksum: source.checksum() };
                    if self.holds(&name, output, known, meta).await? {
                        return Ok(sent(output, &source, name, false, None));
                    }
                    name = key::other_name(&name, &self.publication.about.run);
                    source.rewind().map_err(|fault| self.wrong(output, &name, fault))?;
                }
            }
        }
        Err(StorageError::Unfinished { place: self.place(), path: output.path.clone() })
    }

    async fn attempt(
        &self,
        output: &Output,
        name: &str,
        source: &mut Source,
        part: &super::journal::Part<'_>,
    ) -> Result<Created, StorageError> {
        let key = self.key(name);
        let created = self.remote.service.create(&key, source, part).await;
        let created = created.map_err(|fault| self.wrong(output, name, fault))?;
        if !matches!(created, Created::Taken(_)) {
            // A service need not read what it was told is there; what it took, it read to the end.
            self.drain(output, source).await?;
        }
        if let Created::Ours(Receipt { checksum, .. }) = &created {
            source.compare(checksum.as_ref()).map_err(|fault| self.wrong(output, name, fault))?;
        }
        Ok(created)
    }

    async fn drain(&self, output: &Output, source: &mut Source) -> Result<(), StorageError> {
        source.drain().await.map_err(|fault| self.wrong(output, "", fault))
    }

    /// Whether the key holds the bytes that are known.
    async fn holds(&self, name: &str, output: &Output, known: Known, meta: Option<Meta>) -> Result<bool, StorageError> {
        let meta = match meta {
            Some(meta) if meta.checksum.is_some() || meta.size != output.size => Some(meta),
            _ => self.remote.service.stat(&self.key(name)).await.map_err(|fault| self.wrong(output, name, fault))?,
        };
        let Some(meta) = meta else { return Ok(false) };
        if meta.size != output.size || meta.folder {
            return Ok(false);
        }
        match (meta.checksum, known.checksum) {
            (Some(theirs), Some(ours)) if theirs.kind == ours.kind => Ok(theirs == ours),
            _ => Ok(self.read_back(name, output).await? == known.sha256),
        }
    }

    async fn read_back(&self, name: &str, output: &Output) -> Result<Digest, StorageError> {
        use futures::TryStreamExt as _;
        let stream = self.remote.service.read(&self.key(name), 0).await;
        let stream = stream.map_err(|fault| self.wrong(output, name, fault))?;
        let reader = tokio_util::io::StreamReader::new(stream.map_err(std::io::Error::other));
        let read = digest(reader).await;
        let (found, _) = read.map_err(|error| self.wrong(output, name, Fault::Broken(error.to_string())))?;
        Ok(found)
    }

    /// An output that a task was taken over with, copied by the service from the commit that it came from.
    async fn copied(&self, output: &Output, name: &str) -> Option<Entry> {
        let same = self.publication.known(output)?;
        let earlier = &self.publication.same.as_ref()?.folder;
        let from = match &self.earlier {
            Some((folder, manifest)) if folder == earlier => {
                super::object(&self.publication.about.project, folder, manifest.entry(&same.path)?)
            }
            _ => key::object(&self.publication.about.project, earlier, &same.path),
        };
        let SameFile { sha256, meaning, .. } = same;
        if output.size < WORTH_COPYING || !self.copy(&from, name, output.size, None).await {
            return None;
        }
        Some(named(Entry::new(output, Some(*sha256), *meaning), name))
    }

    /// A large output of which the newest other commit has the same bytes.
    async fn copied_by_content(
        &self,
        output: &Output,
        source: &mut Source,
        name: &str,
    ) -> Result<Option<Entry>, StorageError> {
        let Some((folder, manifest)) = &self.earlier else { return Ok(None) };
        let alike = |entry: &&Entry| entry.kind == OutputKind::File && entry.size == output.size;
        if output.size < WORTH_HASHING || self.there.contains_key(name) || !manifest.files.iter().any(|e| alike(&e)) {
            return Ok(None);
        }
        self.drain(output, source).await?;
        let sha256 = source.sha256();
        let found = manifest.files.iter().filter(alike).find(|entry| entry.sha256 == Some(sha256));
        if let Some(entry) = found {
            let from = super::object(&self.publication.about.project, folder, entry);
            if self.copy(&from, name, output.size, source.checksum().as_ref()).await {
                return Ok(Some(sent(output, source, name.to_owned(), true, None).entry));
            }
        }
        source.rewind().map_err(|fault| self.wrong(output, name, fault))?;
        Ok(None)
    }

    /// Whether the service has copied `from` to a key that was free, and it is what it should be. Whatever stands in the
    /// way of that, the output is there to be sent.
    async fn copy(&self, from: &str, name: &str, size: u64, checksum: Option<&Checksum>) -> bool {
        if self.there.contains_key(name) {
            return false;
        }
        let key = self.key(name);
        let copied = match self.remote.service.copy(from, &key).await {
            Ok(Some(Created::Ours(_))) => self.remote.service.stat(&key).await.ok().flatten(),
            Ok(_) => return false,
            Err(fault) => {
                tracing::debug!(%fault, "not copied");
                return false;
            }
        };
        let right = copied.is_some_and(|meta| {
            let known = meta.checksum.as_ref().zip(checksum).is_none_or(|(theirs, ours)| theirs == ours);
            meta.size == size && known
        });
        if !right {
            // We made it, and it is not what it should be.
            let _ = self.remote.service.remove(&key).await;
        }
        right
    }

    /// The output's file, unchanged since it was collected.
    async fn source(&self, output: &Output) -> Result<Source, StorageError> {
        let (roots, opened) = (Arc::clone(&self.publication.roots), output.clone());
        let lost = |error| StorageError::Source { path: output.path.clone(), source: std::io::Error::other(error) };
        let file = tokio::task::spawn_blocking(move || Sources::new(&roots).open(&opened)).await.map_err(lost)??;
        let kind = self.remote.service.traits().hash;
        let keep = meaning::applies(&output.path, output.size);
        let collected = output.clone();
        let recheck = move |file: &File| source::recheck(&collected, file).map_err(|_| Fault::Changed);
        Ok(Source::new(file, output.size, kind, keep, recheck))
    }

    /// An output that was pending is visible now.
    pub(super) fn counted(&self, output: &Output) {
        self.tally.file();
        tracing::trace!(path = %output.path, "visible");
    }

    pub(super) fn key(&self, name: &str) -> String {
        format!("{}{name}", key::object_folder(&self.publication.about.project, self.folder))
    }

    fn place(&self) -> String {
        format!("{}/{}/{}", self.remote.service.place(), self.publication.about.project, self.folder)
    }

    pub(super) fn wrong(&self, output: &Output, name: &str, fault: Fault) -> StorageError {
        match fault {
            Fault::Changed => StorageError::Changed { path: output.path.clone() },
            Fault::Local(words) => {
                StorageError::Source { path: output.path.clone(), source: std::io::Error::other(words) }
            }
            fault => self.remote.fault("send", &self.key(name), fault),
        }
    }
}

/// Notes the name where it is not the path.
fn named(entry: Entry, name: &str) -> Entry {
    let stored = (entry.path.as_str() != Some(name)).then(|| name.to_owned());
    Entry { stored, ..entry }
}

fn sent(output: &Output, source: &Source, name: String, made: bool, pending: Option<Pending>) -> Sent {
    let entry = source::entry(output, source.sha256(), source.kept());
    Sent { entry: named(entry, &name), made, name, pending }
}
