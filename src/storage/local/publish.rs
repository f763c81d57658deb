//! The steps of publishing, in the order that makes a crash between any two of them harmless.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use super::copy::{self, Failure, Job};
use super::same::Earlier;
use super::stage::{self, Stage};
use super::{Local, Point, read, system};
use crate::outputs::manifest::Manifest;
use crate::outputs::rooted;
use crate::plan::OnConflict;
use crate::storage::{Differences, Folder, Progress, Publication, PublishOutcome, Published, StorageError, key};

/// How often a project's folder that somebody took away is made anew.
const TRIES: u32 = 3;

pub(super) fn publish(
    local: &Local,
    publication: &Publication,
    progress: &dyn Progress,
) -> Result<Published, StorageError> {
    let mut tries = 0;
    loop {
        let (project, is_new) = open_project(local, publication)?;
        let error = match publish_into(local, publication, progress, project.as_fd()) {
            Ok(published) => return Ok(published),
            Err(error) => error,
        };
        tries += 1;
        // Another publisher that came to nothing took the empty folder away between two of our steps.
        if tries < TRIES && system::is_removed(project.as_fd()) {
            continue;
        }
        if is_new {
            // Only an empty one goes: what others put there meanwhile keeps it.
            let _ = std::fs::remove_dir(local.project_path(&publication.about.project));
        }
        return Err(error);
    }
}

fn publish_into(
    local: &Local,
    publication: &Publication,
    progress: &dyn Progress,
    project: BorrowedFd<'_>,
) -> Result<Published, StorageError> {
    local.at(Point::Opened);
    let step = Step { local, publication, progress, project };
    stage::sweep(step.project, &step.path());
    local.at(Point::Swept);
    let mut folder = Folder::of(&publication.about.revision);
    // What is there already is compared before anything is copied. At most two rounds: the commit's folder, and the
    // one beside it.
    while let Some(there) = step.existing(&folder)? {
        if publication.on_conflict == OnConflict::Keep {
            return Ok(step.published(folder, PublishOutcome::Kept, there?));
        }
        let next = match there {
            Ok(there) => step.compare(&folder, there, &step.describe(None)?)?,
            Err(foreign) => step.beside(&folder).ok_or(foreign)?.into(),
        };
        match next {
            Next::Done(published) => return Ok(*published),
            Next::Try(other) => folder = other,
        }
    }
    step.create(folder)
}

/// The project's folder, and whether it had to be made.
fn open_project(local: &Local, publication: &Publication) -> Result<(OwnedFd, bool), StorageError> {
    let at = local.project_path(&publication.about.project);
    let explain = |error| system::explain("make the folder", &at, error);
    let is_new = !at.exists();
    fs_err::create_dir_all(&at).map_err(|error| root_cause(&local.root, &at, error))?;
    if is_new && local.durable {
        system::sync_names(system::open(&local.root).map_err(explain)?.as_fd()).map_err(explain)?;
    }
    Ok((system::open(&at).map_err(explain)?, is_new))
}

/// Names the folder that is the obstacle, not the one that could not be made because of it.
fn root_cause(root: &Path, at: &Path, error: io::Error) -> StorageError {
    let parts = || at.ancestors().take_while(|above| *above != Path::new(""));
    let obstacle = match error.kind() {
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            parts().find(|above| above.exists() && !above.is_dir())
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => parts().find(|above| above.exists()),
        _ => None,
    };
    system::explain("make a folder in", obstacle.unwrap_or(root), error)
}

/// What to do after a look at what is there.
enum Next {
    Done(Box<Published>),
    Try(Folder),
}

impl From<Folder> for Next {
    fn from(folder: Folder) -> Self {
        Self::Try(folder)
    }
}

struct Step<'a> {
    local: &'a Local,
    publication: &'a Publication,
    progress: &'a dyn Progress,
    project: BorrowedFd<'a>,
}

impl Step<'_> {
    fn path(&self) -> std::path::PathBuf {
        self.local.project_path(&self.publication.about.project)
    }

    /// What stands at a folder's name: nothing, a manifest, or something else.
    fn existing(&self, folder: &Folder) -> Result<Option<Result<Manifest, StorageError>>, StorageError> {
        let name = folder.to_string();
        let place = self.path().join(&name);
        match rooted::look(self.project, name.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(system::explain("look at", &place, error)),
            Ok(_) => {}
        }
        let manifest = read::manifest(&place, &self.publication.about.project, folder).map_err(|error| {
            let mut reason = error.to_string();
            if let Some(source) = std::error::Error::source(&error) {
                reason = format!("{reason}: {source}");
            }
            StorageError::Foreign { place: place.display().to_string(), reason }
        });
        Ok(Some(manifest))
    }

    /// The folder beside `folder`, if that is what the user wants and it is not that one already.
    fn beside(&self, folder: &Folder) -> Option<Folder> {
        let wanted = self.publication.on_conflict == OnConflict::NewRun && folder.run.is_none();
        wanted.then(|| folder.beside(&self.publication.about.run))
    }

    /// Decides between what is there and what we have.
    fn compare(&self, folder: &Folder, there: Manifest, ours: &Manifest) -> Result<Next, StorageError> {
        let differences = Differences::between(&there, ours);
        let outcome = if differences.is_empty() {
            PublishOutcome::Identical
        } else if self.publication.on_conflict == OnConflict::Keep {
            PublishOutcome::Kept
        } else if let Some(beside) = self.beside(folder) {
            return Ok(beside.into());
        } else {
            return Err(StorageError::Conflict { folder: folder.clone(), differences });
        };
        Ok(Next::Done(Box::new(self.published(folder.clone(), outcome, there))))
    }

    fn published(&self, folder: Folder, outcome: PublishOutcome, manifest: Manifest) -> Published {
        let place = self.path().join(folder.to_string()).display().to_string();
        Published { folder, place, outcome, manifest, others: Vec::new() }
    }

    /// Reads every output, copies it where there is a stage, and describes all of them.
    fn describe(&self, stage: Option<&Stage<'_>>) -> Result<Manifest, StorageError> {
        let collection = &self.publication.collection;
        let copied = |files| {
            if stage.is_some() {
                self.local.at(Point::Copied(files));
            }
        };
        let job = Job {
            roots: &self.publication.roots,
            outputs: &collection.outputs,
            target: stage.map(Stage::fd),
            earlier: self.publication.same.as_ref().and_then(|same| Earlier::open(self.project, same)),
            progress: self.progress,
            copied: &copied,
        };
        let entries = job.run().map_err(|failure| match failure {
            Failure::Ours(error) => error,
            Failure::Target(path, error) if error.kind() == io::ErrorKind::FileTooLarge => {
                StorageError::FileTooLarge { path }
            }
            Failure::Target(path, error) => self.write_error(path.as_path(), error),
        })?;
        let manifest = Manifest::new(self.publication.about.clone(), entries);
        Ok(manifest.noting(collection.missing.clone(), collection.refused.clone(), collection.moved.clone()))
    }

    fn write_error(&self, path: &Path, error: io::Error) -> StorageError {
        if system::is_full(&error) {
            let free = system::space(self.project).map_or(0, |(bytes, _)| bytes);
            return StorageError::DiskFull { path: self.path(), needed: self.needed().0, free };
        }
        system::explain("write", &self.path().join(path), error)
    }

    /// Bytes and inodes that the folder will take: whole blocks, without holes, and room for the manifest.
    fn needed(&self) -> (u64, u64) {
        let outputs = &self.publication.collection.outputs;
        let bytes = outputs.iter().map(|output| output.size.min(output.allocated).next_multiple_of(4096)).sum::<u64>();
        (bytes + outputs.len() as u64 * 512, outputs.len() as u64 + 2)
    }

    /// Says beforehand that there is too little space, instead of after an hour of copying.
    fn preflight(&self) -> Result<(), StorageError> {
        let Ok((free, free_files)) = system::space(self.project) else { return Ok(()) };
        let (needed, files) = self.needed();
        if needed > free {
            return Err(StorageError::DiskFull { path: self.path(), needed, free });
        }
        match free_files {
            Some(free) if files > free => Err(StorageError::TooManyFiles { path: self.path(), needed: files, free }),
            _ => Ok(()),
        }
    }

    /// Puts the folder together and gives it its name.
    fn create(&self, folder: Folder) -> Result<Published, StorageError> {
        self.preflight()?;
        let stage = Stage::create(self.project, &self.path(), &self.publication.about.run)?;
        self.local.at(Point::Staged);
        match self.fill(&stage).and_then(|manifest| self.name(&stage, folder, manifest)) {
            Ok((published, true)) => Ok(published),
            Ok((published, false)) => {
                stage.remove();
                Ok(published)
            }
            Err(error) => {
                stage.remove();
                Err(error)
            }
        }
    }

    fn fill(&self, stage: &Stage<'_>) -> Result<Manifest, StorageError> {
        let manifest = self.describe(Some(stage))?;
        self.local.at(Point::Filled);
        let wrong = |error| self.write_error(Path::new(key::MANIFEST), error);
        let bytes = manifest.to_bytes().map_err(|error| wrong(error.into()))?;
        copy::write_own(stage.fd(), key::MANIFEST, &bytes).map_err(wrong)?;
        self.local.at(Point::Described);
        if self.local.durable {
            system::sync_all(stage.fd()).map_err(wrong)?;
        }
        self.local.at(Point::Synced);
        if self.progress.cancelled() {
            return Err(StorageError::Cancelled);
        }
        Ok(manifest)
    }

    /// Renames the stage; `true` when it became the published folder.
    fn name(&self, stage: &Stage<'_>, mut folder: Folder, ours: Manifest) -> Result<(Published, bool), StorageError> {
        loop {
            match stage.rename(&folder.to_string()) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(self.write_error(Path::new(&folder.to_string()), error)),
            }
            // Somebody else published this commit meanwhile.
            let next = match self.existing(&folder)? {
                None => continue,
                Some(Ok(there)) => self.compare(&folder, there, &ours)?,
                Some(Err(foreign)) => self.beside(&folder).ok_or(foreign)?.into(),
            };
            match next {
                Next::Done(published) => return Ok((*published, false)),
                Next::Try(other) => folder = other,
            }
        }
        self.local.at(Point::Renamed);
        if self.local.durable {
            // The folder is there; that its name is not yet on disk is no reason to call the run failed.
            if let Err(error) = system::sync_names(self.project) {
                tracing::warn!(%error, "the published folder's name could not be synced");
            }
        }
        Ok((self.published(folder, PublishOutcome::Created, ours), true))
    }
}
