//! What a user means by COMMIT: a full or short sha, a folder's name, `latest`, or a branch.

use jiff::Timestamp;

use super::{Folder, Storage, StorageError, Unfinished};
use crate::id::ProjectName;

/// Published folders that are named to whoever asked for one that there is not.
const KNOWN: usize = 3;

/// The published folder that `wanted` names. A folder's whole name wins over a sha, a sha over `latest` and branches;
/// `latest` means the run that ended last, a branch the last one of everything, before samples, parts and dirty trees.
///
/// # Errors
/// When nothing or several folders fit, or the storage cannot be read.
pub async fn resolve(storage: &dyn Storage, project: &ProjectName, wanted: &str) -> Result<Folder, StorageError> {
    let folders = storage.folders(project).await?;
    if folders.is_empty() {
        return Err(nothing(storage, project, wanted).await?);
    }
    if let Some(folder) = folders.iter().find(|folder| folder.to_string() == wanted) {
        return Ok(folder.clone());
    }
    match by_sha(&folders, wanted)? {
        Some(folder) => Ok(folder),
        None => match by_manifest(storage, project, folders, wanted).await {
            Err(none @ StorageError::NoCommit { .. }) => {
                Err(incomplete(storage, project, wanted).await.unwrap_or(none))
            }
            found => found,
        },
    }
}

/// What is said of a project of which no folder is published: whether one was begun and not finished, or there is none.
async fn nothing(storage: &dyn Storage, project: &ProjectName, wanted: &str) -> Result<StorageError, StorageError> {
    let mut begun = begun(storage, project).await;
    let named = begun.iter().find(|left| is_named(&left.folder, wanted));
    let newest = begun.iter().max_by_key(|left| left.touched).filter(|_| wanted == "latest");
    if let Some(left) = named.or(newest) {
        return Ok(unfinished(storage, project, left.clone()));
    }
    if begun.is_empty() {
        return Ok(no_project(project, storage, storage.projects().await?));
    }
    begun.sort_by_key(|left| std::cmp::Reverse(left.touched));
    let begun = begun.into_iter().take(KNOWN).map(|left| left.folder).collect();
    let (project, wanted) = (project.clone(), wanted.to_owned());
    Ok(StorageError::NoneFinished { project, wanted, begun, place: storage.place() })
}

/// That a publish of what was asked for was begun and not finished, if it was.
async fn incomplete(storage: &dyn Storage, project: &ProjectName, wanted: &str) -> Option<StorageError> {
    if !is_sha(wanted) && wanted.parse::<Folder>().is_err() {
        return None;
    }
    let left = begun(storage, project).await.into_iter().find(|left| is_named(&left.folder, wanted))?;
    Some(unfinished(storage, project, left))
}

/// What publishes of a project began that broke off, or are under way. Who cannot say so had nothing to say either.
async fn begun(storage: &dyn Storage, project: &ProjectName) -> Vec<Unfinished> {
    let mut left = storage.unfinished(project).await.unwrap_or_default();
    // What a prune takes away is nobody's to go on with.
    left.retain(|left| left.files > 0 && !left.begun);
    left
}

fn unfinished(storage: &dyn Storage, project: &ProjectName, left: Unfinished) -> StorageError {
    let (project, folder, place) = (project.clone(), Box::new(left.folder), storage.place());
    StorageError::Incomplete { project, folder, files: left.files, bytes: left.bytes, place }
}

/// Whether it is the folder's name, or the beginning of its commit's.
fn is_named(folder: &Folder, wanted: &str) -> bool {
    let starts = || folder.revision.commit.as_str().starts_with(&wanted.to_ascii_lowercase());
    folder.to_string() == wanted || is_sha(wanted) && starts()
}

/// Whether it can be the beginning of a commit's name.
fn is_sha(wanted: &str) -> bool {
    wanted.len() >= 4 && wanted.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether there is a project of this name.
///
/// # Errors
/// When there is none; those that are there are named.
pub async fn known(storage: &dyn Storage, project: &ProjectName) -> Result<(), StorageError> {
    let known = storage.projects().await?;
    if known.contains(project) { Ok(()) } else { Err(no_project(project, storage, known)) }
}

fn no_project(project: &ProjectName, storage: &dyn Storage, mut known: Vec<ProjectName>) -> StorageError {
    known.truncate(10);
    StorageError::NoProject { project: project.clone(), place: storage.place(), known }
}

fn by_sha(folders: &[Folder], wanted: &str) -> Result<Option<Folder>, StorageError> {
    if !is_sha(wanted) {
        return Ok(None);
    }
    let wanted_lower = wanted.to_ascii_lowercase();
    let fits: Vec<&Folder> =
        folders.iter().filter(|folder| folder.revision.commit.as_str().starts_with(&wanted_lower)).collect();
    // The commit itself wins over its dirty trees, its samples, its parts and the runs beside it.
    let whole = |folder: &&Folder| folder.run.is_none() && folder.revision.is_whole();
    let clean: Vec<&Folder> = fits.iter().copied().filter(whole).collect();
    match (&clean[..], &fits[..]) {
        ([one], all) if all.iter().all(|other| other.revision.commit == one.revision.commit) => {
            Ok(Some((*one).clone()))
        }
        (_, [one]) => Ok(Some((*one).clone())),
        (_, []) => Ok(None),
        (_, several) => Err(StorageError::Ambiguous {
            wanted: wanted.to_owned(),
            candidates: several.iter().map(|folder| (*folder).clone()).collect(),
        }),
    }
}

async fn by_manifest(
    storage: &dyn Storage,
    project: &ProjectName,
    folders: Vec<Folder>,
    wanted: &str,
) -> Result<Folder, StorageError> {
    let (mut newest, mut failed): (Option<((bool, Timestamp), Folder)>, _) = (None, None);
    let mut unreadable: Vec<(Folder, StorageError)> = Vec::new();
    let mut there: Vec<(Timestamp, Folder)> = Vec::new();
    for folder in folders {
        // One damaged folder must not hide the others. What could not be asked for may be the one where no other fits.
        let about = match storage.expected_manifest(project, &folder).await {
            Ok(manifest) => manifest.about,
            Err(error) => {
                tracing::info!(%folder, %error, "passed over");
                match error {
                    StorageError::Manifest { .. } | StorageError::Missing { .. } => unreadable.push((folder, error)),
                    error => {
                        failed.get_or_insert(error);
                    }
                }
                continue;
            }
        };
        there.push((about.ended, folder.clone()));
        let fits = wanted == "latest" || about.branch.as_deref() == Some(wanted);
        // Of a branch, all that a commit makes comes before its samples, its parts and what was never committed.
        let rank = (wanted == "latest" || folder.revision.is_whole(), about.ended);
        if fits && newest.as_ref().is_none_or(|(before, _)| *before <= rank) {
            newest = Some((rank, folder));
        }
    }
    if let Some((_, folder)) = newest {
        return Ok(folder);
    }
    if let Some(failed) = failed {
        return Err(failed);
    }
    // Every folder is one of these then.
    if wanted == "latest" && !unreadable.is_empty() {
        return Err(unreadable.swap_remove(0).1);
    }
    there.sort_by_key(|(ended, _)| std::cmp::Reverse(*ended));
    let known = there.into_iter().take(KNOWN).map(|(_, folder)| folder).collect();
    let unreadable = unreadable.into_iter().take(KNOWN).map(|(folder, _)| folder).collect();
    Err(StorageError::NoCommit { project: project.clone(), wanted: wanted.to_owned(), known, unreadable })
}
