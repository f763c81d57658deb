//! Every path of a commit, submodules included, checked before anything is written.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::git::Git;
use super::{EntryKind, RepoError, lfs};
use sha2::{Digest as _, Sha256};

use crate::id::{CommitSha, Digest, RelPath};

/// A file, link or submodule of the commit.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) path: RelPath,
    pub(super) kind: EntryKind,
    pub(super) oid: String,
    /// In bytes; of a link, the length of its target.
    pub(super) size: u64,
    /// Which of [`Listing::sources`] holds the object.
    pub(super) source: usize,
}

/// A repository that objects are read from: the user's, or one of its submodules.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) git: Git,
    pub(super) lfs_objects: PathBuf,
}

/// What a commit holds.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Sorted by path.
    pub(super) items: Vec<Item>,
    pub(super) sources: Vec<Source>,
    /// Submodules whose files are not here.
    pub(super) absent: Vec<(RelPath, CommitSha)>,
    index: HashMap<RelPath, usize>,
    children: HashMap<RelPath, Vec<RelPath>>,
}

/// What git lists of a tree, for [`Listing::load`].
pub(super) fn list(git: &Git, tree: &str) -> Result<Vec<u8>, RepoError> {
    let args = ["ls-tree", "-r", "-z", "-l", "--full-tree", tree];
    git.run(&args).map_err(|failure| failure.while_it("list the commit"))
}

impl Listing {
    /// Lists `tree` of the repository, and the submodules in it whose commits are here.
    pub(super) fn load(git: Git, lfs_objects: PathBuf, root: &Path, listed: &[u8]) -> Result<Self, RepoError> {
        let mut listing = Self::default();
        listing.add(Source { git, lfs_objects }, root, &RelPath::root(), listed)?;
        listing.items.sort_by(|a, b| a.path.cmp(&b.path));
        listing.connect()?;
        Ok(listing)
    }

    fn add(&mut self, from: Source, root: &Path, below: &RelPath, listed: &[u8]) -> Result<(), RepoError> {
        let git = from.git.clone();
        let source = self.sources.len();
        self.sources.push(from);
        for record in listed.split(|b| *b == 0).filter(|record| !record.is_empty()) {
            let mut item = parse(record, source)?;
            item.path = below.join(&item.path);
            if item.kind == EntryKind::Submodule {
                self.add_submodule(&git, root, &item)?;
            }
            self.items.push(item);
        }
        Ok(())
    }

    /// A submodule is part of the snapshot when it is checked out here and holds the recorded commit.
    fn add_submodule(&mut self, git: &Git, root: &Path, item: &Item) -> Result<(), RepoError> {
        let commit: CommitSha = item.oid.parse().map_err(|_| hostile(item.path.as_bytes(), "has no commit id"))?;
        let folder = root.join(item.path.as_path());
        let inner = git.at(&folder);
        // A `.git` of its own, and no link on the way: otherwise git would answer for the outer or a foreign repository.
        let here = folder.join(".git").exists() && folder.canonicalize().is_ok_and(|real| real == folder);
        let tree = format!("{}^{{tree}}", commit.as_str());
        let found = here && inner.run(&["rev-parse", "--verify", "--quiet", &tree]).is_ok();
        if !found {
            self.absent.push((item.path.clone(), commit));
            return Ok(());
        }
        let lfs_objects = lfs::objects(&inner, &super::checkout::common_dir(&inner)?)?;
        let listed = list(&inner, &tree)?;
        self.add(Source { git: inner, lfs_objects }, root, &item.path, &listed)
    }

    /// Builds the index of paths and folders; refuses paths that cannot all exist.
    fn connect(&mut self) -> Result<(), RepoError> {
        self.children.entry(RelPath::root()).or_default();
        for (i, item) in self.items.iter().enumerate() {
            if self.index.insert(item.path.clone(), i).is_some() {
                return Err(hostile(item.path.as_bytes(), "is there twice"));
            }
            if item.kind == EntryKind::Submodule {
                self.children.entry(item.path.clone()).or_default();
            }
            let mut path = item.path.clone();
            while let Some(folder) = path.parent() {
                let known = self.children.contains_key(&folder);
                self.children.entry(folder.clone()).or_default().push(path);
                if known {
                    break;
                }
                path = folder;
            }
        }
        for folder in self.children.keys() {
            let kind = self.index.get(folder).map(|i| self.items[*i].kind);
            if !matches!(kind, None | Some(EntryKind::Submodule)) {
                return Err(hostile(folder.as_bytes(), "is both a file and a folder"));
            }
        }
        for names in self.children.values_mut() {
            names.sort();
            names.dedup();
        }
        Ok(())
    }

    /// What stands at `path`. A submodule whose files are here is a folder.
    pub(super) fn entry(&self, path: &RelPath) -> Option<EntryKind> {
        match self.index.get(path).map(|i| self.items[*i].kind) {
            Some(EntryKind::Submodule) if !self.list(path).is_empty() => Some(EntryKind::Folder),
            None if self.children.contains_key(path) => Some(EntryKind::Folder),
            other => other,
        }
    }

    /// The item at `path`.
    pub(super) fn item(&self, path: &RelPath) -> Option<&Item> {
        self.index.get(path).map(|i| &self.items[*i])
    }

    /// Digest of every path, kind and content below a folder, and whether there are only files. What git calls a
    /// tree's id, for a folder that may lie in changes that nobody committed, with submodules looked into.
    pub(super) fn digest(&self, folder: &RelPath) -> Option<(Digest, bool)> {
        let mut hash = Sha256::new();
        let (mut any, mut plain) = (false, true);
        for item in &self.items {
            let Some(inside) = item.path.strip_prefix(folder) else { continue };
            any = true;
            let kind = match item.kind {
                EntryKind::File { executable: false, .. } => b'f',
                EntryKind::File { executable: true, .. } => b'x',
                EntryKind::Link => b'l',
                EntryKind::Submodule => b's',
                EntryKind::Folder => b'd',
            };
            plain &= matches!(item.kind, EntryKind::File { .. });
            for part in [inside.as_bytes(), &[kind], item.oid.as_bytes()] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
        }
        any.then(|| (Digest(hash.finalize().into()), plain))
    }

    /// Paths directly below a folder.
    pub(super) fn list(&self, folder: &RelPath) -> &[RelPath] {
        self.children.get(folder).map_or(&[], Vec::as_slice)
    }

    /// Every folder, parents first.
    pub(super) fn folders(&self) -> Vec<&RelPath> {
        let mut folders: Vec<&RelPath> = self.children.keys().filter(|folder| !folder.is_root()).collect();
        folders.sort();
        folders
    }
}

/// `<mode> <type> <oid> <size>\t<path>`.
fn parse(record: &[u8], source: usize) -> Result<Item, RepoError> {
    let strange = || RepoError::Git { doing: "list the commit", detail: String::from_utf8_lossy(record).into_owned() };
    let tab = record.iter().position(|b| *b == b'\t').ok_or_else(strange)?;
    let (head, path) = (&record[..tab], &record[tab + 1..]);
    let head = std::str::from_utf8(head).map_err(|_| strange())?;
    let words: Vec<&str> = head.split_ascii_whitespace().collect();
    let [mode, _, oid, size] = words[..] else { return Err(strange()) };
    let size = match size {
        "-" => 0,
        digits => digits.parse().map_err(|_| RepoError::ObjectsMissing { detail: oid.to_owned() })?,
    };
    let kind = match mode {
        "100644" | "100664" => EntryKind::File { size, executable: false },
        "100755" => EntryKind::File { size, executable: true },
        "120000" => EntryKind::Link,
        "160000" => EntryKind::Submodule,
        _ => return Err(hostile(path, "is neither a file, a link nor a submodule")),
    };
    Ok(Item { path: checked(path)?, kind, oid: oid.to_owned(), size, source })
}

/// Git itself refuses such names when it checks out; whoever made this commit did not use it.
fn checked(path: &[u8]) -> Result<RelPath, RepoError> {
    if path.split(|b| *b == b'/').any(|part| part.eq_ignore_ascii_case(b".git")) {
        return Err(hostile(path, "would be taken for the inside of a repository"));
    }
    match RelPath::from_bytes(path) {
        Ok(relative) if !relative.is_root() => Ok(relative),
        _ => Err(hostile(path, "leaves the folder or is no path at all")),
    }
}

fn hostile(path: &[u8], why: &'static str) -> RepoError {
    RepoError::Hostile { path: path.escape_ascii().to_string(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(mode: &str, path: &str) -> Vec<u8> {
        format!("{mode} blob {}       7\t{path}", "a".repeat(40)).into_bytes()
    }

    #[test]
    fn reads_records_with_any_name() {
        let item = parse(&[&record("100755", "a b\nc")[..], b"\xff\t"].concat(), 0).unwrap();
        assert_eq!(item.path.as_bytes(), b"a b\nc\xff\t");
        assert_eq!(item.kind, EntryKind::File { size: 7, executable: true });
    }

    #[test]
    fn refuses_paths_that_must_not_be_written() {
        for path in ["../x", "a/../x", "/etc/passwd", "a//b", ".git/config", "sub/.GIT/hooks/x", ".", ""] {
            assert!(matches!(parse(&record("100644", path), 0), Err(RepoError::Hostile { .. })), "{path}");
        }
        assert!(matches!(parse(&record("140000", "x"), 0), Err(RepoError::Hostile { .. })));
        assert!(parse(&record("100644", ".gitignore"), 0).is_ok());
    }

    #[test]
    fn refuses_a_link_that_is_also_a_folder() {
        let items = ["l", "l/passwd"].map(|path| parse(&record("120000", path), 0).unwrap());
        let mut listing = Listing { items: items.into(), ..Listing::default() };
        assert!(matches!(listing.connect(), Err(RepoError::Hostile { .. })));
        let items = ["l", "l"].map(|path| parse(&record("100644", path), 0).unwrap());
        let mut listing = Listing { items: items.into(), ..Listing::default() };
        assert!(matches!(listing.connect(), Err(RepoError::Hostile { .. })));
    }
}
