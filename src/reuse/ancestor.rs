//! The nearest earlier commit whose published folder was made as this run makes its own.

use std::collections::BTreeMap;

use futures::StreamExt;

use super::LAYOUT;
use crate::id::{CommitSha, Digest, ProjectName, Revision};
use crate::outputs::manifest::Manifest;
use crate::plan::PlannedTask;
use crate::storage::{Folder, Storage, StorageError};

/// Manifests that are asked for at once.
const LANES: usize = 8;
/// Published ancestors that are looked at before all tasks are executed.
const LOOKED_AT: usize = 5;

/// What holds for the run that is being prepared.
#[derive(Debug, Clone, PartialEq)]
pub struct Now {
    /// Digests of what else decides what a task comes to, by name.
    pub setting: BTreeMap<String, Digest>,
    /// The environment's key.
    pub environment: Digest,
    /// The image's id.
    pub image: String,
}

/// A published ancestor that fits.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its folder.
    pub folder: Folder,
    /// What lies there.
    pub manifest: Manifest,
}

/// The nearest of `ancestors` (which come nearest first) that is published and fits; `None` where none is published.
///
/// # Errors
/// Why the nearest published one does not fit, for the user.
pub async fn candidates(
    storage: &dyn Storage,
    project: &ProjectName,
    revision: &Revision,
    ancestors: &[CommitSha],
    now: &Now,
) -> Result<Option<Candidate>, String> {
    let folders = ancestors.iter().map(|commit| Folder::of(&Revision { commit: commit.clone(), ..revision.clone() }));
    let mut answers = futures::stream::iter(folders)
        .map(|folder| async move { (storage.manifest(project, &folder).await, folder) })
        .buffered(LANES);
    let (mut looked_at, mut first) = (0, None);
    while let Some((answer, folder)) = answers.next().await {
        let short = folder.revision.commit.short();
        let misfit = match answer {
            Ok(manifest) => match misfit(&manifest, now) {
                None => return Ok(Some(Candidate { folder, manifest })),
                Some(why) => format!("{short}, the nearest that is published, {why}"),
            },
            Err(StorageError::Missing { .. }) => continue,
            Err(error) => format!("{short} cannot be used: {error}"),
        };
        first.get_or_insert(misfit);
        looked_at += 1;
        if looked_at == LOOKED_AT {
            break;
        }
    }
    first.map_or(Ok(None), Err)
}

/// The lock of the nearest of `commits` (which come nearest first) that was published with this environment.yml, whatever
/// else is another there; `None` where none is found soon.
pub async fn packages(
    storage: &dyn Storage,
    project: &ProjectName,
    revision: &Revision,
    commits: &[CommitSha],
    environment: &Digest,
) -> Option<serde_json::Value> {
    let whole = Revision { dirty_tree: None, ..revision.clone() };
    let folders = commits.iter().map(|commit| Folder::of(&Revision { commit: commit.clone(), ..whole.clone() }));
    let published = futures::stream::iter(folders)
        .map(|folder| async move { storage.manifest(project, &folder).await.ok() })
        .buffered(LANES)
        .filter_map(std::future::ready)
        .take(LOOKED_AT);
    let same = published.filter_map(|manifest| {
        let note = manifest.about.environment.filter(|note| note.key == *environment);
        std::future::ready(note.map(|note| note.lock))
    });
    std::pin::pin!(same).next().await
}

/// Why nothing of a published run can be taken over, whatever the commits hold.
pub fn misfit(manifest: &Manifest, now: &Now) -> Option<String> {
    let Some(note) = manifest.about.reuse.as_ref().filter(|note| note.layout == LAYOUT) else {
        return Some("was published by another version of soopervisor".to_owned());
    };
    if manifest.about.dirty || manifest.about.revision.dirty_tree.is_some() || manifest.about.revision.partial {
        return Some("is not the whole of a commit".to_owned());
    }
    if manifest.about.environment.as_ref().map(|environment| environment.key) != Some(now.environment) {
        return Some("ran in another environment".to_owned());
    }
    if manifest.about.image.id != now.image {
        return Some("ran in another image".to_owned());
    }
    let names = note.setting.keys().chain(now.setting.keys());
    let differs = |name: &&String| note.setting.get(*name) != now.setting.get(*name);
    if let Some(name) = names.filter(differs).min() {
        return Some(format!("differs in its {name}"));
    }
    None
}

/// What lies in a folder and belongs to no task: nobody could make it again but a run of everything.
pub(super) fn stranger(manifest: &Manifest, tasks: &[PlannedTask]) -> Option<String> {
    let made = &manifest.about.tasks;
    let known = |name: &String| {
        tasks.iter().any(|task| task.name == *name)
            || made.iter().any(|task| task.declared.as_ref().unwrap_or(&task.name) == name)
    };
    let stranger = manifest.files.iter().find(|entry| !entry.task.as_ref().is_some_and(known))?;
    Some(format!("`{}` was published there, and no task declares it", stranger.path))
}

/// Why tasks of a published run may have handed each other more than products, where they may.
pub(super) fn entangled(manifest: &Manifest) -> Option<String> {
    if let Some(refused) = manifest.refused.first() {
        return Some(format!("`{}` was left there and could not be published", refused.path));
    }
    let stray = manifest.about.reuse.as_ref()?.strays.first()?;
    Some(format!("`{stray}` was left or changed there, and no task declares it"))
}
