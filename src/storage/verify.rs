//! Reads a published folder again and says what is not as its manifest claims.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::others::Apart;
use super::{Done, Folder, Listed, Progress, Storage, StorageError, key};
use crate::id::{Digest, ProjectName, RelPath};
use crate::outputs::OutputKind;
use crate::outputs::manifest::Entry;

/// Files read at once.
const LANES: usize = 4;
/// Connections to a service that break one after the other without a byte, until that is a failure.
const BREAKS: u32 = 3;
/// Before the next one, a little longer each time.
pub(super) const PAUSE: Duration = Duration::from_millis(200);

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Report {
    /// Entries that are as the manifest says.
    pub ok: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// In the manifest and not there.
    pub missing: Vec<RelPath>,
    /// There with other content.
    pub changed: Vec<RelPath>,
    /// There with their content and other permissions.
    pub modes: Vec<RelPath>,
    /// There and not in the manifest, a second file of a name that is in it, too: as it is called there.
    pub extra: Vec<RelPath>,
}

impl Report {
    /// Whether everything is as the manifest says; what lies there besides does no harm to it, and is still not sound.
    pub fn is_sound(&self) -> bool {
        [&self.missing, &self.changed, &self.modes, &self.extra].iter().all(|paths| paths.is_empty())
    }
}

/// Whether what a manifest names is still there, for whoever is about to rely on it: on this machine by its bytes, at a
/// service by its names, since reading all of it again would take as long as sending it.
///
/// # Errors
/// When files are missing or damaged, or the storage fails.
pub async fn stands(
    storage: &dyn Storage,
    project: &ProjectName,
    folder: &Folder,
    entries: &[Entry],
    progress: &dyn Progress,
) -> Result<(), StorageError> {
    let mut first = if storage.keeps_links() {
        let report = verify(storage, project, folder, progress).await?;
        [report.missing, report.changed].concat()
    } else {
        let listed: BTreeSet<RelPath> =
            storage.list(project, folder).await?.into_iter().map(|listed| listed.path).collect();
        let files = entries.iter().filter(|entry| entry.kind == OutputKind::File && !listed.contains(&entry.path));
        files.map(|entry| entry.path.clone()).collect()
    };
    if first.is_empty() {
        return Ok(());
    }
    let total = first.len();
    first.truncate(10);
    Err(StorageError::Damaged { folder: folder.clone(), first, total })
}

enum Verdict {
    Fine(u64),
    Missing,
    Changed,
    Mode(u64),
}

/// Reads every file of a folder and compares.
///
/// # Errors
/// When the manifest cannot be read or believed, or the storage fails; damage is not an error but the report.
pub async fn verify(
    storage: &dyn Storage,
    project: &ProjectName,
    folder: &Folder,
    progress: &dyn Progress,
) -> Result<Report, StorageError> {
    let manifest = storage.expected_manifest(project, folder).await?;
    let mut apart = Apart::by(&manifest, storage.list(project, folder).await?);
    let entries = &manifest.files;
    let listed: Vec<Option<Listed>> = entries.iter().map(|entry| apart.take(&entry.path)).collect();
    let mut extra: Vec<RelPath> = apart.others.into_iter().map(Listed::into_name).collect();
    extra.sort();
    let mut report = Report { extra, ..Report::default() };
    let mut verdicts = futures::stream::iter((0..entries.len()).zip(listed))
        .map(|(at, listed)| async move { (at, examine(storage, project, folder, &entries[at], listed).await) })
        .buffered(LANES);
    let mut done =
        Done { files_total: manifest.files.len() as u64, bytes_total: manifest.total_bytes, ..Done::default() };
    while let Some((at, verdict)) = verdicts.next().await {
        let entry = &entries[at];
        match verdict? {
            Verdict::Fine(bytes) => {
                report.ok += 1;
                report.bytes += bytes;
            }
            Verdict::Missing => report.missing.push(entry.path.clone()),
            Verdict::Changed => report.changed.push(entry.path.clone()),
            Verdict::Mode(bytes) => {
                report.modes.push(entry.path.clone());
                report.bytes += bytes;
            }
        }
        done.files += 1;
        done.bytes += entry.size;
        progress.at(done);
        if progress.cancelled() {
            return Err(StorageError::Cancelled);
        }
    }
    Ok(report)
}

async fn examine(
    storage: &dyn Storage,
    project: &ProjectName,
    folder: &Folder,
    entry: &Entry,
    listed: Option<Listed>,
) -> Result<Verdict, StorageError> {
    if entry.kind != OutputKind::File && !storage.keeps_links() {
        return Ok(Verdict::Fine(0));
    }
    let Some(listed) = listed else { return Ok(Verdict::Missing) };
    let target = entry.link_target.as_ref().map(|target| key::link_text(&entry.path, target));
    if listed.kind != Some(entry.kind) || listed.link != target {
        return Ok(Verdict::Changed);
    }
    let Some(expected) = entry.sha256 else { return Ok(Verdict::Fine(0)) };
    let read = match read_whole(storage, project, folder, entry).await {
        // What a service sent may have changed on its way.
        Ok((found, bytes)) if !storage.keeps_links() && (found != expected || bytes != entry.size) => {
            read_whole(storage, project, folder, entry).await
        }
        read => read,
    };
    let (found, bytes) = match read {
        Ok(read) => read,
        Err(StorageError::Missing { .. }) => return Ok(Verdict::Missing),
        Err(StorageError::Replaced { .. }) => return Ok(Verdict::Changed),
        Err(error) => return Err(error),
    };
    Ok(match listed.mode {
        _ if found != expected || bytes != entry.size => Verdict::Changed,
        Some(mode) if mode != entry.mode => Verdict::Mode(bytes),
        _ => Verdict::Fine(bytes),
    })
}

/// Connections that may break one after the other without a byte: none to a folder of this machine.
pub(super) fn breaks(storage: &dyn Storage) -> u32 {
    if storage.keeps_links() { 0 } else { BREAKS }
}

/// The digest and length of a stored file, gone on with where a connection broke or ended early.
async fn read_whole(
    storage: &dyn Storage,
    project: &ProjectName,
    folder: &Folder,
    entry: &Entry,
) -> Result<(Digest, u64), StorageError> {
    let most = breaks(storage);
    let (mut hash, mut bytes, mut broken) = (Sha256::new(), 0, 0);
    loop {
        let (reader, before) = (storage.open(project, folder, entry, bytes).await?, bytes);
        let read = take(reader, &mut hash, &mut bytes).await;
        broken = if bytes > before { 1 } else { broken + 1 };
        match read {
            Ok(()) if bytes >= entry.size || broken > most => return Ok((Digest(hash.finalize().into()), bytes)),
            Err(source) if broken > most => {
                return Err(StorageError::Io { action: "read", path: entry.path.as_path().to_owned(), source });
            }
            read => tracing::debug!(?read, at = bytes, path = %entry.path, "reading goes on"),
        }
        tokio::time::sleep(PAUSE * broken).await;
    }
}

/// The digest and length of everything that comes.
pub(super) async fn digest(reader: impl AsyncRead) -> std::io::Result<(Digest, u64)> {
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    take(reader, &mut hash, &mut bytes).await?;
    Ok((Digest(hash.finalize().into()), bytes))
}

async fn take(reader: impl AsyncRead, hash: &mut Sha256, bytes: &mut u64) -> std::io::Result<()> {
    let mut reader = pin!(reader);
    let mut buffer = vec![0; 1024 * 1024];
    loop {
        let read = reader.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        hash.update(&buffer[..read]);
        *bytes += read as u64;
    }
}
