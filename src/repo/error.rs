//! Why a repository cannot be used, each with what to type next.

use std::path::PathBuf;

use crate::id::{CommitSha, RelPath};

/// Why a repository, or its snapshot, cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepoError {
    /// Nothing to open.
    #[error("`{path}` cannot be opened")]
    Path {
        /// As the user wrote it.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// A file where a folder was expected.
    #[error("`{path}` is not a folder")]
    NotAFolder {
        /// As the user wrote it.
        path: PathBuf,
    },
    /// No `git` program.
    #[error("the program `git` was not found")]
    GitMissing,
    /// A `git` that lacks what is needed.
    #[error("git {found} is too old: {needed} or newer is needed")]
    GitTooOld {
        /// The version that is installed.
        found: String,
        /// The oldest that works.
        needed: &'static str,
    },
    /// A folder outside any work tree.
    #[error("`{path}` is not in a Git repository")]
    NoRepository {
        /// The folder.
        path: PathBuf,
    },
    /// A repository without files, or the inside of `.git`.
    #[error("`{path}` is a bare repository or the inside of one: there are no files to look at")]
    Bare {
        /// The folder.
        path: PathBuf,
    },
    /// Git does not trust a repository of somebody else.
    #[error("the repository at `{path}` belongs to another user, so git does not read it")]
    ForeignOwner {
        /// The folder.
        path: PathBuf,
    },
    /// A repository in which nothing was committed yet.
    #[error("the repository at `{path}` has no commit yet")]
    NoCommit {
        /// Its root.
        path: PathBuf,
    },
    /// Changes that the commit does not hold.
    #[error("{} changed since the commit: {}", count(*total, "file"), names(files, *total))]
    Dirty {
        /// The first of them.
        files: Vec<RelPath>,
        /// How many there are.
        total: usize,
    },
    /// A path that must never be written.
    #[error("the commit holds the path `{path}`, which {why}")]
    Hostile {
        /// For people.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A submodule whose files are not here.
    #[error("the files of the submodule `{path}` at commit {} are not here", commit.short())]
    Submodule {
        /// Where it stands.
        path: RelPath,
        /// The commit that is recorded.
        commit: CommitSha,
    },
    /// Pointers of Git LFS without the content.
    #[error("the content of {} in Git LFS is not here: {}", count(*total, "file"), names(files, *total))]
    LfsMissing {
        /// The first of them.
        files: Vec<RelPath>,
        /// How many there are.
        total: usize,
    },
    /// An LFS object with another content than its name says.
    #[error("the Git LFS content of `{path}` is damaged: size or sha256 is not that of its pointer")]
    LfsDamaged {
        /// The file.
        path: RelPath,
    },
    /// Objects that a partial or damaged clone does not hold.
    #[error("the repository lacks objects of the commit: {detail}")]
    ObjectsMissing {
        /// Which.
        detail: String,
    },
    /// The folder for the snapshot has something in it.
    #[error("the folder for the snapshot is not empty")]
    NotEmpty,
    /// Git failed in a way that is not known here.
    #[error("git could not {doing}: {detail}")]
    Git {
        /// The work.
        doing: &'static str,
        /// Git's words.
        detail: String,
    },
    /// The disk, or a pipe, failed.
    #[error("could not {doing} `{path}`")]
    Io {
        /// The work.
        doing: &'static str,
        /// The file, for people.
        path: String,
        /// The system's words.
        source: std::io::Error,
    },
}

impl RepoError {
    /// Stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Path { .. } => "repo/path",
            Self::NotAFolder { .. } => "repo/not-a-folder",
            Self::GitMissing => "repo/git-missing",
            Self::GitTooOld { .. } => "repo/git-too-old",
            Self::NoRepository { .. } => "repo/no-repository",
            Self::Bare { .. } => "repo/bare",
            Self::ForeignOwner { .. } => "repo/foreign-owner",
            Self::NoCommit { .. } => "repo/no-commit",
            Self::Dirty { .. } => "repo/dirty",
            Self::Hostile { .. } => "repo/hostile-path",
            Self::Submodule { .. } => "repo/submodule",
            Self::LfsMissing { .. } => "repo/lfs-missing",
            Self::LfsDamaged { .. } => "repo/lfs-damaged",
            Self::ObjectsMissing { .. } => "repo/objects-missing",
            Self::NotEmpty => "repo/not-empty",
            Self::Git { .. } => "repo/git",
            Self::Io { .. } => "repo/io",
        }
    }

    /// What to do about it; the next command to type where there is one.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::Path { .. } => "check the path: `ls` should show pipeline.yaml in it".to_owned(),
            Self::NotAFolder { path } => match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                Some(folder) => format!("give the folder that holds it: `{}`", folder.display()),
                None => "give the folder that holds it: `.`".to_owned(),
            },
            Self::GitMissing => {
                "install it: `sudo apt-get install git`, or see https://git-scm.com/downloads".to_owned()
            }
            Self::GitTooOld { .. } => "install a newer one: see https://git-scm.com/downloads".to_owned(),
            Self::NoRepository { path } => {
                let go = if path.as_os_str() == "." {
                    String::new()
                } else {
                    format!("cd {} && ", shell(&path.to_string_lossy()))
                };
                format!(
                    "what runs is a commit, so make one: `{go}git init && git add -A && git commit -m 'first commit'`"
                )
            }
            Self::Bare { .. } => "clone it and give the clone: `git clone THAT_PATH my-copy`".to_owned(),
            Self::ForeignOwner { path } => format!(
                "if you trust it: `git config --global --add safe.directory {}`",
                shell(&path.to_string_lossy())
            ),
            Self::NoCommit { path } => {
                format!(
                    "commit first: `cd {} && git add -A && git commit -m 'first commit'`",
                    shell(&path.to_string_lossy())
                )
            }
            Self::Dirty { .. } => {
                "commit them (`git commit -a`), or run them as they are with `--allow-dirty`; that is \
                                   published apart from the commit"
                    .to_owned()
            }
            Self::Hostile { .. } => "remove the path from the commit; nothing was written".to_owned(),
            Self::Submodule { path, .. } => match path.as_str() {
                Some(text) => format!("fetch them: `git submodule update --init --recursive -- {}`", shell(text)),
                None => "fetch them: `git submodule update --init --recursive`".to_owned(),
            },
            Self::LfsMissing { .. } => "fetch it: `git lfs pull`".to_owned(),
            Self::LfsDamaged { .. } => "fetch it again: `git lfs fsck && git lfs pull`".to_owned(),
            Self::ObjectsMissing { .. } => {
                "fetch them: `git fetch --refetch`, or clone again without `--filter`".to_owned()
            }
            Self::NotEmpty => return None,
            Self::Git { .. } => "`git status` and `git fsck` in the repository may say more".to_owned(),
            Self::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::StorageFull => "make room on the disk, then run again".to_owned(),
                _ => return None,
            },
        })
    }
}

/// A word that can be pasted into a shell.
fn shell(text: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b"_-./@+,".contains(&b);
    if !text.is_empty() && text.bytes().all(bare) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn count(total: usize, noun: &str) -> String {
    if total == 1 { format!("1 {noun}") } else { format!("{total} {noun}s") }
}

/// `` `a`, `b` and 3 more ``.
pub(super) fn names(files: &[RelPath], total: usize) -> String {
    let shown: Vec<String> = files.iter().map(|file| format!("`{file}`")).collect();
    match total - files.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_files_and_counts_the_rest() {
        let files = vec!["a".parse().unwrap(), "b c".parse().unwrap()];
        let error = RepoError::Dirty { files, total: 5 };
        assert_eq!(error.to_string(), "5 files changed since the commit: `a`, `b c` and 3 more");
        let error = RepoError::Dirty { files: vec!["a".parse().unwrap()], total: 1 };
        assert_eq!(error.to_string(), "1 file changed since the commit: `a`");
    }
}
