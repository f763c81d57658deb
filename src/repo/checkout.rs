//! Opening a work tree: what is checked out there, and whether it may be run as it is.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::changes::{self, Changes};
use super::error::names;
use super::git::{Failure, Git};
use super::listing::{self, Listing};
use super::{CommitTree, Contents, Folder, RepoError, Snapshot, Snapshots, head, lfs, name};
use crate::diag::Diagnostic;
use crate::id::{CommitSha, Digest, ProjectName, RelPath, Revision};

/// As many files as a message names.
const SHOWN: usize = 10;

/// A commit that is ready to be looked at and exported.
#[derive(Debug)]
pub struct Checkout {
    /// The root of the work tree, links resolved.
    pub root: PathBuf,
    /// The folder that was asked for, from the root.
    pub pipeline_dir: RelPath,
    /// What is run.
    pub revision: Revision,
    /// The branch; `None` when `HEAD` is detached.
    pub branch: Option<String>,
    /// The address of `origin`, without credentials.
    pub origin: Option<String>,
    /// The project's name unless the user says another.
    pub project: ProjectName,
    /// What a user should know; nothing here stops a run.
    pub notes: Vec<Diagnostic>,
    pub(super) listing: Arc<Listing>,
    /// In the root of the work tree, for the commits before this one.
    pub(super) git: Git,
    /// The `.git` that all its worktrees share.
    pub(super) git_dir: PathBuf,
    pub(super) lfs_objects: PathBuf,
    /// Objects of uncommitted files; gone with the checkout.
    _scratch: Option<tempfile::TempDir>,
}

/// Opens the work tree that `path` lies in. Nothing is written to it or to its `.git`.
///
/// # Errors
/// When there is no commit that could be run as it is: each reason is a variant of [`RepoError`].
pub fn open(path: &Path, allow_dirty: bool) -> Result<Checkout, RepoError> {
    open_without(path, allow_dirty, &[])
}

/// [`open`], as if the untracked files in some folders were not there: the storage of earlier runs, above all.
///
/// # Errors
/// As [`open`].
pub fn open_without(path: &Path, allow_dirty: bool, leave_out: &[PathBuf]) -> Result<Checkout, RepoError> {
    let folder = real_folder(path)?;
    open_with(&Git::new(OsStr::new("git"), &folder), path, allow_dirty, leave_out)
}

/// The files as they are on disk now, from the root of the work tree, and where in it `path` is. Outside a repository
/// the root is `path` itself, and why it is none comes along: looking needs no commit.
///
/// # Errors
/// When `path` is no folder, or cannot be read.
pub fn look(path: &Path) -> Result<(Folder, RelPath, Option<RepoError>), RepoError> {
    let folder = real_folder(path)?;
    match locate(&Git::new(OsStr::new("git"), &folder), path) {
        Ok(Place { root, inside, .. }) => Ok((Folder::open(&root)?, inside, None)),
        Err(none) => Ok((Folder::open(&folder)?, RelPath::root(), Some(none))),
    }
}

impl Checkout {
    /// The commit's files, to be looked at.
    pub fn tree(&self) -> CommitTree {
        CommitTree::new(Arc::clone(&self.listing))
    }

    /// What stands below a folder of the snapshot, as one digest; `None` where nothing does, or where there is more than
    /// files: what a link leads to is not told by the link.
    pub fn digest(&self, folder: &RelPath) -> Option<Digest> {
        self.listing.digest(folder).filter(|(_, plain)| *plain).map(|(digest, _)| digest)
    }

    /// Writes the commit's files into an empty folder, for `owner` (uid, gid) where that is another than this process.
    ///
    /// # Errors
    /// When the folder is not empty, content is not here, or the disk fails. What was written then is for the caller
    /// to remove.
    pub fn export(&self, into: &cap_std::fs::Dir, owner: Option<(u32, u32)>) -> Result<Contents, RepoError> {
        super::export::export(&self.listing, into, owner)
    }

    /// Looks, without writing anything, whether [`Checkout::export`] would find the content of files in Git LFS.
    ///
    /// # Errors
    /// When some of it is not here.
    pub fn check_lfs(&self) -> Result<(), RepoError> {
        super::export::check_lfs(&self.listing)
    }

    /// Whether the commit is so large that its files are kept for later runs, where they can be.
    pub fn is_worth_keeping(&self) -> bool {
        super::snapshots::is_worth_keeping(&self.listing)
    }

    /// The commit's files as they are kept for later runs; `None` where they are not: a small commit is exported as
    /// fast, and one that is too large would push out all others.
    ///
    /// # Errors
    /// As [`Checkout::export`]; that a snapshot cannot be kept is no error.
    pub fn kept(&self, snapshots: &Snapshots, owner: Option<(u32, u32)>) -> Result<Option<Snapshot>, RepoError> {
        snapshots.of(&self.listing, owner)
    }

    /// Writes a kept snapshot's files, or without one the commit's, into an empty folder, as [`Checkout::export`] does.
    ///
    /// # Errors
    /// As [`Checkout::export`]. A snapshot that is damaged is forgotten and told: the next run exports anew.
    pub fn lay_out(
        &self,
        kept: Option<Snapshot>,
        snapshots: &Snapshots,
        into: &cap_std::fs::Dir,
        owner: Option<(u32, u32)>,
    ) -> Result<Contents, RepoError> {
        let Some(snapshot) = kept else { return self.export(into, owner) };
        match snapshot.copy(&self.listing, into, owner) {
            Ok(()) => Ok(snapshot.contents().clone()),
            Err(error) => {
                if matches!(&error, RepoError::Io { source, .. } if source.kind() == std::io::ErrorKind::InvalidData) {
                    snapshots.forget(snapshot);
                }
                Err(error)
            }
        }
    }
}

fn open_with(git: &Git, path: &Path, allow_dirty: bool, leave_out: &[PathBuf]) -> Result<Checkout, RepoError> {
    let (Place { root, inside: pipeline_dir, git_dir, .. }, commit, told) = ask(git, path, allow_dirty)?;
    let git = git.at(&root);
    let Told { origin, lfs_storage, mut changes, mut listed } = told;
    let origin = origin.and_then(|bytes| name::public_origin(&String::from_utf8_lossy(&bytes)));

    let left_out: Vec<RelPath> = leave_out.iter().filter_map(|folder| inside(&root, folder)).collect();
    changes.untracked.retain(|path| !left_out.iter().any(|folder| path.strip_prefix(folder).is_some()));
    let (mut reading, mut scratch) = (git.clone(), None);
    let mut dirty_tree = None;
    if allow_dirty && !(changes.tracked.is_empty() && changes.untracked.is_empty()) {
        let folder = tempfile::tempdir().map_err(|source| io("create", "a temporary folder", source))?;
        let (id, both) = changes::write_tree(&git, &changes, &root, &git_dir, folder.path())?;
        let committed = git.ask(&["rev-parse", &tree_of(&commit)], "read the commit")?;
        dirty_tree = Some(id.clone()).filter(|id| committed.as_deref() != Some(id.as_bytes()));
        listed = listing::list(&both, &id)?;
        (reading, scratch) = (both, Some(folder));
    }
    let git_dir = shared(git_dir)?;
    let lfs_objects = lfs::below(&git_dir, lfs_storage);
    let listing = Listing::load(reading, lfs_objects.clone(), &root, &listed)?;
    if !allow_dirty {
        refuse_changes(&changes, &pipeline_dir)?;
    }
    refuse_absent(&listing, &pipeline_dir)?;

    Ok(Checkout {
        project: name::project(origin.as_deref(), &root, &pipeline_dir),
        notes: notes(&changes, &listing, &pipeline_dir, allow_dirty),
        branch: changes.branch.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        revision: Revision { commit, dirty_tree, sample: false, partial: false },
        root,
        pipeline_dir,
        origin,
        listing: Arc::new(listing),
        git,
        git_dir,
        lfs_objects,
        _scratch: scratch,
    })
}

fn real_folder(path: &Path) -> Result<PathBuf, RepoError> {
    let real = path.canonicalize().map_err(|source| RepoError::Path { path: path.to_owned(), source })?;
    if real.is_dir() { Ok(real) } else { Err(RepoError::NotAFolder { path: path.to_owned() }) }
}

/// Where a folder lies in the work tree; `None` when it is not there yet, lies elsewhere, or is all of it.
fn inside(root: &Path, folder: &Path) -> Option<RelPath> {
    let real = folder.canonicalize().ok()?;
    let path = RelPath::from_bytes(real.strip_prefix(root).ok()?.as_os_str().as_bytes()).ok()?;
    Some(path).filter(|path| !path.is_root())
}

/// Where git was asked.
struct Place {
    /// The root of the work tree.
    root: PathBuf,
    /// The folder below it.
    inside: RelPath,
    /// The work tree's own `.git`.
    git_dir: PathBuf,
    /// What is checked out; `None` before the first commit.
    commit: Option<CommitSha>,
}

fn locate(git: &Git, path: &Path) -> Result<Place, RepoError> {
    const COMMIT: &str = "HEAD^{commit}";
    const QUESTIONS: [&str; 4] = ["--is-inside-work-tree", "--show-toplevel", "--show-prefix", "--absolute-git-dir"];
    let path = || path.to_owned();
    let ask = |questions: &[&str]| {
        git.run(&[&["rev-parse"], questions].concat()).map_err(|failure| match failure {
            Failure::Exit { stderr, .. } if stderr.contains("dubious ownership") => {
                RepoError::ForeignOwner { path: path() }
            }
            Failure::Exit { stderr, .. } if stderr.contains("not a git repository") => {
                RepoError::NoRepository { path: path() }
            }
            Failure::Exit { stderr, .. } if stderr.contains("must be run in a work tree") => {
                RepoError::Bare { path: path() }
            }
            other => other.while_it("find the repository"),
        })
    };
    // One call for all, the commit with it; where there is none yet, or a path holds a newline, one for each.
    let together = ask(&[&QUESTIONS[..], &[COMMIT]].concat()).unwrap_or_default();
    let mut answers: Vec<Vec<u8>> = together.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    if answers.len() != QUESTIONS.len() + 2 {
        answers = QUESTIONS.iter().map(|question| ask(&[question]).map(without_newline)).collect::<Result<_, _>>()?;
        answers.extend(git.ask(&["rev-parse", "--verify", "--quiet", COMMIT], "read the commit")?);
    }
    let [within, root, prefix, git_dir, rest @ ..] = answers.as_slice() else {
        return Err(RepoError::Git { doing: "find the repository", detail: "it gave too few answers".to_owned() });
    };
    if within != b"true" {
        return Err(RepoError::Bare { path: path() });
    }
    let prefix = prefix.strip_suffix(b"/").unwrap_or(prefix);
    let inside = RelPath::from_bytes(prefix).map_err(|_| RepoError::NoRepository { path: path() })?;
    let folder = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
    let commit = rest.first().and_then(|answer| std::str::from_utf8(answer).ok()?.parse().ok());
    Ok(Place { root: folder(root), inside, git_dir: folder(git_dir), commit })
}

fn without_newline(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    bytes
}

/// What git tells about a work tree.
struct Told {
    origin: Option<Vec<u8>>,
    lfs_storage: Option<Vec<u8>>,
    changes: Changes,
    /// The commit's files.
    listed: Vec<u8>,
}

fn tree_of(commit: &CommitSha) -> String {
    format!("{commit}^{{tree}}")
}

/// Asks git everything at once, side by side: its answers take milliseconds each, and a run starts with them. The files
/// are those of the commit that `HEAD` seems to name, by its id; where that was not it, they are listed again.
///
/// A git that is too old comes first, as it may explain the others; then a place that is no repository.
fn ask(git: &Git, path: &Path, each: bool) -> Result<(Place, CommitSha, Told), RepoError> {
    let guessed = head::seems(git.folder());
    std::thread::scope(|scope| {
        let version = scope.spawn(|| git.check_version());
        let changes = scope.spawn(|| changes::find(git, each));
        let settings = scope.spawn(|| settings(git));
        let listed = guessed.as_ref().map(|commit| scope.spawn(|| listing::list(git, &tree_of(commit))));
        let place = locate(git, path);
        joined(version)?;
        let place = place?;
        let commit = place.commit.clone().ok_or_else(|| RepoError::NoCommit { path: place.root.clone() })?;
        let listed = listed.map(joined).filter(|_| guessed.as_ref() == Some(&commit));
        let listed = listed.unwrap_or_else(|| listing::list(git, &tree_of(&commit)))?;
        let (changes, [origin, lfs_storage]) = (joined(changes)?, joined(settings)?);
        Ok((place, commit, Told { origin, lfs_storage, changes, listed }))
    })
}

/// The address of `origin`, and where git-lfs keeps its objects.
fn settings(git: &Git) -> Result<[Option<Vec<u8>>; 2], RepoError> {
    const ASKED: &str = r"^(remote\.origin\.url|lfs\.storage)$";
    let all = git.ask(&["config", "-z", "--get-regexp", ASKED], "read its settings")?.unwrap_or_default();
    let value = |name: &[u8]| {
        // Of several values the last one counts.
        let mut found = all.split(|byte| *byte == 0).filter_map(|entry| entry.strip_prefix(name)?.strip_prefix(b"\n"));
        found.next_back().map(<[u8]>::to_vec)
    };
    Ok([value(b"remote.origin.url"), value(b"lfs.storage")])
}

/// A helper thread's answer; its panic is ours.
pub(super) fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The `.git` that all worktrees of a repository share.
pub(super) fn common_dir(git: &Git) -> Result<PathBuf, RepoError> {
    let own = git.ask(&["rev-parse", "--absolute-git-dir"], "find the repository")?.unwrap_or_default();
    shared(PathBuf::from(OsStr::from_bytes(&own)))
}

/// [`common_dir`] of a work tree whose own `.git` is known.
fn shared(own: PathBuf) -> Result<PathBuf, RepoError> {
    // Not `--git-common-dir`: before git 2.31 its answer is relative to a folder that depends on the call.
    match std::fs::read(own.join("commondir")) {
        Ok(text) => Ok(own.join(OsStr::from_bytes(text.trim_ascii_end()))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(own),
        Err(source) => Err(io("read", &own.join("commondir").display().to_string(), source)),
    }
}

fn first(paths: &[RelPath]) -> Vec<RelPath> {
    paths.iter().take(SHOWN).cloned().collect()
}

/// Untracked files do not count: the outputs of the last run may lie there, and the commit is what runs.
fn refuse_changes(changes: &Changes, pipeline_dir: &RelPath) -> Result<(), RepoError> {
    let all = changes.tracked.iter().chain(&changes.in_submodules);
    let inside: Vec<RelPath> = all.filter(|path| path.strip_prefix(pipeline_dir).is_some()).cloned().collect();
    if inside.is_empty() { Ok(()) } else { Err(RepoError::Dirty { files: first(&inside), total: inside.len() }) }
}

fn refuse_absent(listing: &Listing, pipeline_dir: &RelPath) -> Result<(), RepoError> {
    let inside = listing.absent.iter().find(|(path, _)| related(path, pipeline_dir));
    inside.map_or(Ok(()), |(path, commit)| Err(RepoError::Submodule { path: path.clone(), commit: commit.clone() }))
}

/// Whether one lies in the other.
fn related(path: &RelPath, folder: &RelPath) -> bool {
    path.strip_prefix(folder).is_some() || folder.strip_prefix(path).is_some()
}

fn notes(changes: &Changes, listing: &Listing, pipeline_dir: &RelPath, allow_dirty: bool) -> Vec<Diagnostic> {
    let mut notes = Vec::new();
    let mut note = |code, paths: &[RelPath], text: &str, help: &str| {
        if !paths.is_empty() {
            let message = format!("{text}: {}", names(&first(paths), paths.len()));
            notes.push(Diagnostic::note(code, message).help(help));
        }
    };
    if !allow_dirty {
        let outside = |path: &&RelPath| path.strip_prefix(pipeline_dir).is_none();
        let elsewhere: Vec<RelPath> = changes.tracked.iter().filter(outside).cloned().collect();
        note(
            "repo/changed-elsewhere",
            &elsewhere,
            "changed, but outside the pipeline's folder",
            "the commit's version is used",
        );
        let help = "the commit is what runs; `git add` and commit what belongs to it";
        note("repo/untracked", &changes.untracked, "not in the commit, so not part of the run", help);
    }
    let help = "commit them in the submodule first";
    note("repo/changed-in-submodule", &changes.in_submodules, "changes inside a submodule are not used", help);
    let absent: Vec<RelPath> = listing.absent.iter().map(|(path, _)| path.clone()).collect();
    let help = "needed? `git submodule update --init --recursive`";
    note("repo/submodule-absent", &absent, "submodules that are not checked out stay empty", help);
    notes
}

fn io(doing: &'static str, path: &str, source: std::io::Error) -> RepoError {
    RepoError::Io { doing, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_missing_git_and_an_old_one_are_said() {
        let dir = tempfile::tempdir().unwrap();
        let missing = Git::new(OsStr::new("/nonexistent/git"), dir.path());
        assert!(matches!(open_with(&missing, dir.path(), false, &[]), Err(RepoError::GitMissing)));

        let old = dir.path().join("git");
        std::fs::write(&old, "#!/bin/sh\necho git version 1.8.3.1\n").unwrap();
        std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o755)).unwrap();
        let error = open_with(&Git::new(old.as_os_str(), dir.path()), dir.path(), false, &[]).unwrap_err();
        assert_eq!(error.to_string(), "git 1.8.3.1 is too old: 2.25 or newer is needed");
    }

    #[test]
    fn a_repository_of_somebody_else_is_refused_with_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let git = Git::new(OsStr::new("git"), dir.path());
        git.run(&["init", "--quiet"]).map_err(|_| ()).unwrap();
        // Git's own switch for its tests; a real foreign owner needs root.
        let foreign = git.with("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1").with("HOME", "/nonexistent");
        let error = open_with(&foreign, dir.path(), false, &[]).unwrap_err();
        assert!(matches!(error, RepoError::ForeignOwner { .. }), "{error:?}");
        assert!(error.help().unwrap().contains("git config --global --add safe.directory"));
    }
}
