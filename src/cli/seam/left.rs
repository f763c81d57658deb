//! What a run of this machine left in its storage: where people look at it, its pictures, and what is to be compared with
//! it of the commits before.

use std::cmp::Reverse;
use std::sync::Arc;

use super::stored::opened;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::comment::Preview;
use crate::compare::{Comparison, Limits, PictureKind, Stored};
use crate::gha::Previews;
use crate::id::{CommitSha, ProjectName, RunId};
use crate::outputs::manifest::{Entry, Manifest};
use crate::run::stop::Stop;
use crate::storage::{Folder, Storage};
use crate::store::Home;

/// As many pictures as a comment shows get an address.
const SHOWN: usize = 12;

/// What a run left.
pub(in crate::cli) struct Left {
    storage: Arc<dyn Storage>,
    project: ProjectName,
    folder: Folder,
    /// The project that it is compared with: its own, unless somebody says otherwise.
    former: ProjectName,
    /// All that is published of that.
    folders: Vec<Folder>,
}

/// The run that is compared with.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct Nearest {
    /// Where it is.
    pub folder: Folder,
    /// How many commits before the base it is.
    pub before: usize,
    /// Whether both are samples, or neither is.
    pub is_alike: bool,
}

impl Nearest {
    /// What is special about it, where it is not just the base's run: `short` is the base.
    pub(in crate::cli) fn words(&self, short: &str) -> Option<String> {
        let before = match self.before {
            0 => None,
            1 => Some(format!("the commit before the base `{short}`")),
            before => Some(format!("{before} commits before the base `{short}`")),
        };
        let kind = (!self.is_alike).then(|| {
            let (there, here) =
                if self.folder.revision.sample { ("a sample", "all data") } else { ("all data", "a sample") };
            format!("that was a run of {there}, and this one is of {here}")
        });
        let all: Vec<String> = before.into_iter().chain(kind).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

impl Left {
    /// Of a run in the history below `home`.
    pub(in crate::cli) async fn of(home: &Home, run: &RunId) -> Result<Self, Failure> {
        let record = crate::store::Runs::of(home).get(run.as_str())?.record?;
        // Logins and keys are read from files, and may be asked of a program.
        let written = record.storage.clone();
        let storage = tokio::task::spawn_blocking(move || opened(&written)).await;
        let storage = storage.map_err(|error| Failure::of(Exit::Internal, &error))??;
        let of = Folder::of(&record.revision);
        let folders = storage.folders(&record.project).await.map_err(Stop::from)?;
        let beside = of.beside(run);
        // With `--on-conflict new-run` it may be beside another one.
        let folder = if folders.contains(&beside) { beside } else { of };
        Ok(Self { storage, former: record.project.clone(), project: record.project, folder, folders })
    }

    /// The same, to be compared with runs of another project in the same storage.
    pub(in crate::cli) async fn against(self, former: ProjectName) -> Result<Self, Failure> {
        let folders = self.storage.folders(&former).await.map_err(Stop::from)?;
        Ok(Self { former, folders, ..self })
    }

    /// Where people look at it with a browser, if that is known.
    pub(in crate::cli) async fn address(&self, previews: &Previews) -> Result<Option<String>, Failure> {
        let name = format!("{}/{}", self.project, self.folder);
        match previews.folder(&name) {
            Some(address) => Ok(Some(address)),
            None => Ok(self.storage.web_address(&self.project, &self.folder).await.map_err(Stop::from)?),
        }
    }

    /// The first of `line` that the storage has a run of, of the same kind, else of the other; `line` begins with the base.
    pub(in crate::cli) fn nearest(&self, line: &[CommitSha]) -> Option<Nearest> {
        nearest(&self.folders, line, self.folder.revision.sample)
    }

    /// Its pictures, and why they have no address where they were to have one.
    pub(in crate::cli) async fn pictures(&self, previews: &Previews) -> (Vec<Preview>, Option<String>) {
        // A storage that cannot be read any more is told by what else asks it.
        let Ok(manifest) = self.storage.manifest(&self.project, &self.folder).await else {
            return (Vec::new(), None);
        };
        let mut pictures = Vec::new();
        for (place, entry) in pictures_of(&manifest).enumerate() {
            let after = if place < SHOWN {
                self.address_of(&self.project, &self.folder, entry, previews).await
            } else {
                Ok(None)
            };
            match after {
                Ok(after) => pictures.push(preview(entry, None, after)),
                Err(failure) => {
                    let named = pictures_of(&manifest).map(|entry| preview(entry, None, None)).collect();
                    return (named, Some(format!("the pictures have no address: {}", failure.what)));
                }
            }
        }
        (pictures, None)
    }

    /// Compares with another run, and shows pictures of both.
    pub(in crate::cli) async fn compare(
        &self,
        base: &Folder,
        previews: &Previews,
    ) -> Result<(Comparison, Vec<Preview>), Failure> {
        let manifest = async |project: &ProjectName, folder: &Folder| -> Result<Manifest, Failure> {
            Ok(self.storage.expected_manifest(project, folder).await.map_err(Stop::from)?)
        };
        let (old, new) = (manifest(&self.former, base).await?, manifest(&self.project, &self.folder).await?);
        let (former, project) = (&self.former, &self.project);
        let files = Stored { storage: &*self.storage, former, project, before: base, after: &self.folder };
        let comparison = Comparison::of(&old, &new, &files, Limits::default()).await.map_err(Stop::from)?;
        let mut pictures = Vec::new();
        for (place, entry) in pictures_of(&new).enumerate() {
            let earlier = old.files.iter().find(|old| old.path == entry.path).filter(|_| place < SHOWN);
            // Why there is no address was said.
            let before = match earlier {
                Some(earlier) => self.address_of(&self.former, base, earlier, previews).await.unwrap_or_default(),
                None => None,
            };
            let after = if place < SHOWN {
                self.address_of(&self.project, &self.folder, entry, previews).await
            } else {
                Ok(None)
            };
            pictures.push(preview(entry, before, after.unwrap_or_default()));
        }
        Ok((comparison, pictures))
    }

    /// Where everybody who reads the report sees a file, if somebody wants that.
    async fn address_of(
        &self,
        project: &ProjectName,
        folder: &Folder,
        entry: &Entry,
        previews: &Previews,
    ) -> Result<Option<String>, Failure> {
        let name = self.storage.name_of(project, folder, entry);
        if let Some(address) = previews.file(&name) {
            return Ok(Some(address));
        }
        let Some(lasts) = previews.lasts else { return Ok(None) };
        let signed = self.storage.signed_address(project, folder, entry, lasts).await;
        Ok(signed.map_err(Stop::from)?)
    }
}

fn pictures_of(manifest: &Manifest) -> impl Iterator<Item = &Entry> {
    manifest.files.iter().filter(|entry| PictureKind::of(&entry.path).is_some())
}

fn preview(entry: &Entry, before: Option<String>, after: Option<String>) -> Preview {
    Preview { name: entry.path.to_string(), size: entry.size, before, after }
}

fn nearest(folders: &[Folder], line: &[CommitSha], sample: bool) -> Option<Nearest> {
    let of = |wanted: bool| {
        line.iter().enumerate().find_map(|(before, commit)| {
            let of_it = folders.iter().filter(|folder| {
                let revision = &folder.revision;
                let whole = revision.dirty_tree.is_none() && !revision.partial;
                revision.commit == *commit && whole && revision.sample == wanted
            });
            // Of runs that were published beside each other the first one has the commit's own name.
            let folder = of_it.min_by_key(|folder| (folder.run.is_some(), Reverse(folder.run.clone())))?;
            Some(Nearest { folder: folder.clone(), before, is_alike: wanted == sample })
        })
    };
    of(sample).or_else(|| of(!sample))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha(digit: char) -> CommitSha {
        digit.to_string().repeat(40).parse().unwrap()
    }

    fn folders(names: &[(char, &str)]) -> Vec<Folder> {
        names.iter().map(|(digit, end)| format!("{}{end}", sha(*digit)).parse().unwrap()).collect()
    }

    #[test]
    fn the_nearest_run_of_the_same_kind_is_taken_and_another_kind_only_where_there_is_none() {
        let line = [sha('a'), sha('b'), sha('c')];
        for (there, sample, found) in [
            (&[('a', ""), ('b', "")][..], false, Some((('a', ""), 0, true))),
            (&[('a', "-sample"), ('c', "")], false, Some((('c', ""), 2, true))),
            (&[('b', "-sample"), ('d', "")], false, Some((('b', "-sample"), 1, false))),
            (&[('b', ""), ('c', "-sample")], true, Some((('c', "-sample"), 2, true))),
            (&[('d', "")], false, None),
            (&[('a', "-dirty-0123456789ab"), ('b', "-partial")], false, None),
            (&[('a', "-run-1"), ('a', "-run-2")], false, Some((('a', "-run-2"), 0, true))),
            (&[('a', "-run-1"), ('a', "")], false, Some((('a', ""), 0, true))),
        ] {
            let found = found.map(|(name, before, is_alike)| {
                let folder = folders(&[name]).remove(0);
                Nearest { folder, before, is_alike }
            });
            assert_eq!(nearest(&folders(there), &line, sample), found, "{there:?}");
        }
    }

    #[test]
    fn it_is_said_how_far_away_it_is_and_of_which_kind() {
        let words = |end: &str, before, is_alike| {
            let folder = folders(&[('a', end)]).remove(0);
            Nearest { folder, before, is_alike }.words("1234567")
        };
        assert_eq!(words("", 0, true), None);
        assert_eq!(words("", 3, true).unwrap(), "3 commits before the base `1234567`");
        let said = words("-sample", 1, false).unwrap();
        assert_eq!(
            said,
            "the commit before the base `1234567`; that was a run of a sample, and this one is of all data"
        );
    }
}
