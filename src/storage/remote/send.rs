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
use crate::storage::backend::{Checksum, Created, Fault, Made, Meta, Pending, Receipt, Sessions as _, Source};
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
    /// Whether nobody else creates files under their plain names there.
    pub(super) own: bool,
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
            self.tally.whole();
            self.tally.file();
            return Ok(Sent { entry, made: false, name: name.to_owned(), pending: None });
        }
        let part = self.journal.of(output.size, self.tally);
        let other = key::other_name(name, &self.publication.about.run);
        // Two who create one key at once cannot be told from each other here: what is there is compared, what is not has
        // a name that nobody else uses.
        let name = if self.own || self.there.contains_key(name) { name } else { &other };
        let sent = match self.copied(output, name).await {
            Some(sent) => sent,
            None => self.create(output, name, &part).await?,
        };
        self.tally.whole();
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
        if self.holder(name, output, Known { sha256, checksum: Some(checksum.clone()) }, meta).await?.is_some() {
            return Ok(None);
        }
        let part = self.journal.of(output.size, self.tally);
        let name = key::other_name(name, &self.publication.about.run);
        self.create(output, &name, &part).await.map(Some)
    }

    /// An output that appeared, and not as it was sent: from its first byte, under the same name.
    pub(super) async fn once_more(&self, output: &Output, name: &str) -> Result<Sent, StorageError> {
        let part = self.journal.of(output.size, self.tally);
        part.unsent(output.size);
        let sent = self.create(output, name, &part).await?;
        if sent.pending.is_none() {
            self.tally.file();
        }
        Ok(sent)
    }

    /// What was sent of an output is not to be gone on with.
    pub(super) fn forget(&self, output: &Output, name: &str) {
        self.journal.of(output.size, self.tally).forget(&self.key(name));
    }

    async fn create(&self, output: &Output, name: &str, part: &super::journal::Part<'_>) -> Result<Sent, StorageError> {
        let mut source = self.source(output).await?;
        if let Some(sent) = self.copied_by_content(output, &mut source, name).await? {
            return Ok(sent);
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
                Created::Ours(receipt) => {
                    self.finished(&name, &receipt, source.checksum().as_ref());
                    return Ok(self.sent(output, &source, name, true, receipt.id));
                }
                Created::Pending(pending) => {
                    return Ok(Sent { pending: Some(pending), ..self.sent(output, &source, name, true, None) });
                }
                Created::Taken(meta) => {
                    self.drain(output, &mut source).await?;
                    let known = Known { sha256: source.sha256(), checksum: source.checksum() };
                    if let Some(there) = self.holder(&name, output, known, meta).await? {
                        return Ok(self.sent(output, &source, name, false, there.id));
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

    /// What holds the bytes that are known under that key.
    async fn holder(
        &self,
        name: &str,
        output: &Output,
        known: Known,
        meta: Option<Meta>,
    ) -> Result<Option<Meta>, StorageError> {
        let meta = match meta {
            Some(meta) if meta.checksum.is_some() || meta.size != output.size => Some(meta),
            _ => self.remote.service.stat(&self.key(name)).await.map_err(|fault| self.wrong(output, name, fault))?,
        };
        let Some(meta) = meta.filter(|meta| meta.size == output.size && !meta.folder) else { return Ok(None) };
        let alike = match (&meta.checksum, known.checksum) {
            (Some(theirs), Some(ours)) if theirs.kind == ours.kind => *theirs == ours,
            _ => self.read_back(name, meta.id.as_deref(), output).await? == known.sha256,
        };
        Ok(alike.then_some(meta))
    }

    async fn read_back(&self, name: &str, id: Option<&str>, output: &Output) -> Result<Digest, StorageError> {
        use futures::TryStreamExt as _;
        let stream = self.remote.service.read_made(Made { key: &self.key(name), id }, 0).await;
        let stream = stream.map_err(|fault| self.wrong(output, name, fault))?;
        let reader = tokio_util::io::StreamReader::new(stream.map_err(std::io::Error::other));
        let read = digest(reader).await;
        let (found, _) = read.map_err(|error| self.wrong(output, name, Fault::Broken(error.to_string())))?;
        Ok(found)
    }

    /// An output that a task was taken over with, copied by the service from the commit that it came from.
    async fn copied(&self, output: &Output, name: &str) -> Option<Sent> {
        let SameFile { path, sha256, meaning } = self.publication.known(output)?;
        let earlier = &self.publication.same.as_ref()?.folder;
        let project = &self.publication.about.project;
        let (from, id) = match &self.earlier {
            Some((folder, manifest)) if folder == earlier => {
                let entry = manifest.entry(path)?;
                (super::object(project, folder, entry), entry.id.as_deref())
            }
            _ => (key::object(project, earlier, path), None),
        };
        if output.size < WORTH_COPYING {
            return None;
        }
        let receipt = self.copy(Made { key: &from, id }, name, output.size, None).await?;
        Some(self.ended(Entry::new(output, Some(*sha256), *meaning), name.to_owned(), true, receipt.id))
    }

    /// A large output of which the newest other commit has the same bytes.
    async fn copied_by_content(
        &self,
        output: &Output,
        source: &mut Source,
        name: &str,
    ) -> Result<Option<Sent>, StorageError> {
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
            let from = Made { key: &from, id: entry.id.as_deref() };
            if let Some(receipt) = self.copy(from, name, output.size, source.checksum().as_ref()).await {
                return Ok(Some(self.sent(output, source, name.to_owned(), true, receipt.id)));
            }
        }
        source.rewind().map_err(|fault| self.wrong(output, name, fault))?;
        Ok(None)
    }

    /// What the service tells of a copy of `from` under a key that was free, if it is what it should be. Whatever stands
    /// in the way of that, the output is there to be sent.
    async fn copy(&self, from: Made<'_>, name: &str, size: u64, checksum: Option<&Checksum>) -> Option<Receipt> {
        if self.there.contains_key(name) {
            return None;
        }
        let key = self.key(name);
        let receipt = match self.remote.service.copy_made(from, &key).await {
            Ok(Some(Created::Ours(receipt))) => receipt,
            Ok(_) => return None,
            Err(fault) => {
                tracing::debug!(%fault, "not copied");
                return None;
            }
        };
        let made = Made { key: &key, id: receipt.id.as_deref() };
        let copied = self.remote.service.stat_made(made).await.ok().flatten();
        let right = copied.as_ref().is_some_and(|meta| {
            let known = meta.checksum.as_ref().zip(checksum).is_none_or(|(theirs, ours)| theirs == ours);
            meta.size == size && known
        });
        if !right {
            // We made it, and it is not what it should be.
            let _ = self.remote.service.remove_made(made).await;
        }
        if right {
            let (told, tag) = copied.map(|meta| (meta.checksum, meta.tag)).unwrap_or_default();
            self.finished(name, &Receipt { tag, ..receipt.clone() }, told.as_ref());
        }
        right.then_some(receipt)
    }

    /// Remembers what proves whose a file is that is whole, should this publish break off: of its bytes the service's own
    /// checksum, or else the one that it was compared with, and what it calls them.
    fn finished(&self, name: &str, receipt: &Receipt, checksum: Option<&Checksum>) {
        let checksum = receipt.checksum.as_ref().or(checksum).cloned();
        self.journal.finish(&self.key(name), &Receipt { checksum, ..receipt.clone() });
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

    /// An output that was pending is visible now, as a file of ours.
    pub(super) fn visible(&self, output: &Output, name: &str, receipt: &Receipt, checksum: &Checksum) {
        self.finished(name, receipt, Some(checksum));
        self.counted(output);
    }

    /// An output that was pending is visible now.
    pub(super) fn counted(&self, output: &Output) {
        self.tally.file();
        tracing::trace!(path = %output.path, "visible");
    }

    fn sent(&self, output: &Output, source: &Source, name: String, made: bool, id: Option<String>) -> Sent {
        self.ended(source::entry(output, source.sha256(), source.kept()), name, made, id)
    }

    /// Where a name says which object is meant, the manifest needs no id.
    fn ended(&self, entry: Entry, name: String, made: bool, id: Option<String>) -> Sent {
        let id = id.filter(|_| self.remote.service.traits().duplicates);
        Sent { entry: Entry { id, ..named(entry, &name) }, made, name, pending: None }
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
