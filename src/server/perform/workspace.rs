//! Where a script works: the files of one commit, in a folder that nothing else uses and that is deleted afterwards.
//!
//! The copy that commits are checked out from is shared by all of a repository's scripts, so nothing of it is shown to a
//! container: the workspace gets objects of its own. No program that a repository names is started here.

use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};

use super::submodules::{self, Author};
use crate::archive;
use crate::id::CommitSha;
use crate::server::action::EffectFault;
use crate::server::git::{self, Way};
use crate::server::poll::Address;
use crate::server::room;
use crate::server::work::checkout::checkout;

/// What is checked out.
#[derive(Debug, Clone)]
pub(super) enum Tree {
    /// Nothing.
    Nothing,
    /// One commit.
    Commit(CommitSha),
    /// One commit merged into another.
    Merge {
        /// The tip of the base.
        base: CommitSha,
        /// What is merged into it.
        head: CommitSha,
    },
}

/// Where it comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    /// The repository.
    pub(super) address: &'a Address,
    /// The ref that holds the commit, for hosts that give none by its id.
    pub(super) reference: Option<&'a str>,
    /// Whether submodules are fetched too.
    pub(super) submodules: bool,
    /// Who wrote what is checked out.
    pub(super) author: Author,
}

/// Two folders, for `/workspace` and for HOME.
#[derive(Debug)]
pub(super) struct Workspace {
    tree: PathBuf,
    home: PathBuf,
}

impl Workspace {
    /// Makes one of this name below `folder`, in the place of one that an interrupted server left; `owner` gets the files.
    ///
    /// # Errors
    /// When the commit cannot be had, or merging it has conflicts.
    pub(super) async fn make(
        folder: &Path,
        name: &str,
        source: Option<Source<'_>>,
        tree: Tree,
        owner: Option<(u32, u32)>,
    ) -> Result<Self, EffectFault> {
        let this = Self { tree: folder.join("work").join(name), home: folder.join("homes").join(name) };
        this.remove().await?;
        let filled = this.fill(folder, name, source, tree).await.and_then(|()| this.give(owner));
        match filled {
            Ok(()) => Ok(this),
            Err(fault) => {
                // Why it could not be made says more than that it is still there.
                let _ = this.remove().await;
                Err(fault)
            }
        }
    }

    /// What `/workspace` shows.
    pub(super) fn tree(&self) -> &Path {
        &self.tree
    }

    /// What HOME shows.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// Deletes both, also what the script closed to everybody.
    ///
    /// # Errors
    /// When something in them cannot be removed.
    pub(super) async fn remove(&self) -> Result<(), EffectFault> {
        let folders = [self.tree.clone(), self.home.clone()];
        let removing = tokio::task::spawn_blocking(move || {
            // That one stays is no reason to leave the other.
            folders.map(|folder| archive::remove(&folder).map_err(|error| at(&folder, &error)))
        });
        let removed = removing.await.map_err(|error| EffectFault::new(error.to_string()))?;
        removed.into_iter().collect()
    }

    async fn fill(&self, folder: &Path, name: &str, source: Option<Source<'_>>, tree: Tree) -> Result<(), EffectFault> {
        let made = std::fs::create_dir_all(&self.home);
        made.map_err(|error| at(&self.home, &error))?;
        let (Some(source), false) = (source, matches!(tree, Tree::Nothing)) else {
            return std::fs::create_dir_all(&self.tree).map_err(|error| at(&self.tree, &error));
        };
        let out = async |sha: &CommitSha, reference: Option<&str>| {
            let made = checkout(folder, name, source.address, reference, sha).await;
            made.map(|_| ()).map_err(|error| EffectFault::new(error.to_string()))
        };
        match &tree {
            Tree::Nothing => {}
            Tree::Commit(sha) => out(sha, source.reference).await?,
            Tree::Merge { base, head } => {
                // The first brings the head here, the second is where it is merged.
                out(head, source.reference).await?;
                out(base, None).await?;
                let words = ["merge", "--quiet", "--no-ff", "--no-edit", "--no-verify", head.as_str()];
                let conflict = |words: String| format!("{} cannot be merged into its base: {words}", head.short());
                git(&self.tree, &words).await.map_err(|words| EffectFault::new(conflict(words)))?;
            }
        }
        if source.submodules {
            submodules::fetch(&self.tree, source.address, source.author).await?;
        }
        // With all that is reachable in objects of its own, it needs no copy of ours.
        git(&self.tree, &["repack", "-a", "-d", "-q"]).await.map_err(EffectFault::new)?;
        let alternates = self.tree.join(".git/objects/info/alternates");
        std::fs::remove_file(&alternates).map_err(|error| at(&alternates, &error))
    }

    fn give(&self, owner: Option<(u32, u32)>) -> Result<(), EffectFault> {
        let Some(owner) = owner else { return Ok(()) };
        [&self.tree, &self.home]
            .into_iter()
            .try_for_each(|folder| give(folder, owner).map_err(|error| at(folder, &error)))
    }
}

/// Gives a folder and all in it to somebody; links themselves, never what they point to.
fn give(path: &Path, owner: (u32, u32)) -> std::io::Result<()> {
    lchown(path, Some(owner.0), Some(owner.1))?;
    if std::fs::symlink_metadata(path)?.is_dir() {
        for entry in std::fs::read_dir(path)? {
            give(&entry?.path(), owner)?;
        }
    }
    Ok(())
}

fn at(path: &Path, error: &std::io::Error) -> EffectFault {
    EffectFault::new(format!("cannot use the folder `{}`: {error}", path.display()))
}

/// Git on files of ours: without a network, a hook, anybody's settings.
async fn git(folder: &Path, words: &[&str]) -> Result<(), String> {
    let mut git = git::git(folder, Way::Here);
    git.args(words);
    let output = git.output().await.map_err(|error| format!("git cannot be started: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let line = said.lines().find(|line| line.contains("CONFLICT") || line.starts_with("fatal")).or(said.lines().last());
    Err(line.unwrap_or("git said nothing").chars().filter(|c| !c.is_control()).take(300).collect())
}

/// Deletes what scripts of a server that was killed left.
pub(super) fn sweep(folder: &Path) {
    for below in ["work", "homes"] {
        let path = folder.join(below);
        if let Err(error) = archive::remove(&path) {
            tracing::warn!(path = %path.display(), error = room::words(&error), "what a script left was not removed");
        }
    }
}
