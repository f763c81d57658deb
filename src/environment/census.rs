//! What the store takes on the disk, each byte counted once, and what would be free if parts of it were gone.
//!
//! Prefixes, caches and bytecode share files by hard links: adding up folders would count most bytes several times, and
//! promise room that removing them does not give. So files are counted by inode, with the number of links that each
//! part holds; a file's bytes are free once its last link is gone.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::bytecode;

/// What a part of the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A prefix, with its activation.
    Environment,
    /// An unpacked conda package.
    Package,
    /// A wheel that uv unpacked.
    Wheel,
    /// Compiled files of one package.
    Bytecode,
    /// What channels were last seen to hold.
    Index,
    /// All the rest, kept: programs, indexes of wheels, what is being built.
    Rest,
}

impl Kind {
    /// Whether it only saves work: it may go when no environment uses it.
    pub(super) fn is_cache(self) -> bool {
        matches!(self, Self::Package | Self::Wheel | Self::Bytecode | Self::Index)
    }
}

/// A part of the store that goes or stays as a whole.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) kind: Kind,
    /// Folder name: a prefix's id, a package's name.
    pub(super) name: String,
    /// What has to be removed.
    pub(super) paths: Vec<PathBuf>,
    /// Bytes of its folders, which nobody shares.
    folders: u64,
    /// Files, and how many links to each are in here.
    files: HashMap<usize, u64>,
    gone: bool,
}

/// One file, however many names it has.
#[derive(Debug)]
struct Inode {
    bytes: u64,
    /// Links that are left, also from outside of the store.
    links: u64,
    /// Links from parts that are no cache.
    used: u64,
}

/// The whole store, counted.
#[derive(Debug, Default)]
pub(super) struct Census {
    pub(super) parts: Vec<Part>,
    inodes: Vec<Inode>,
    known: HashMap<(u64, u64), usize>,
    total: u64,
}

impl Census {
    /// Counts. What vanishes meanwhile is passed over.
    pub(super) fn take(store: &Path) -> io::Result<Self> {
        let mut census = Self::default();
        for entry in children(&store.join("e"))? {
            let name = file_name(&entry);
            let id = name.trim_end_matches(".activate.sh");
            match census.parts.iter().position(|part| part.kind == Kind::Environment && part.name == id) {
                Some(at) => census.extend(at, entry)?,
                None => census.add(Kind::Environment, id.to_owned(), entry)?,
            }
        }
        let compiled = children(&bytecode::folder(store))?.into_iter().filter(|tag| file_name(tag) != "jobs");
        let compiled = compiled.map(|tag| children(&tag)).collect::<io::Result<Vec<_>>>()?.concat();
        let wheels = children(&bytecode::wheels(store))?;
        let packages = children(&store.join("pkgs"))?.into_iter().filter(|path| path.is_dir()).collect();
        for (kind, folders) in [(Kind::Package, packages), (Kind::Wheel, wheels), (Kind::Bytecode, compiled)] {
            for folder in folders {
                let beside = folder.with_file_name(format!("{}.lock", file_name(&folder)));
                census.add(kind, file_name(&folder), folder)?;
                if kind == Kind::Package && beside.is_file() {
                    census.extend(census.parts.len() - 1, beside)?;
                }
            }
        }
        if store.join("repodata").is_dir() {
            census.add(Kind::Index, "repodata".to_owned(), store.join("repodata"))?;
        }
        census.add_rest(store)?;
        Ok(census)
    }

    /// Whatever is in no part yet.
    fn add_rest(&mut self, store: &Path) -> io::Result<()> {
        let taken: Vec<PathBuf> = self.parts.iter().flat_map(|part| part.paths.clone()).collect();
        let taken: std::collections::HashSet<PathBuf> = taken.into_iter().collect();
        self.parts.push(Part::new(Kind::Rest, "the rest".to_owned()));
        let at = self.parts.len() - 1;
        self.count(at, store, &taken)
    }

    fn add(&mut self, kind: Kind, name: String, path: PathBuf) -> io::Result<()> {
        self.parts.push(Part::new(kind, name));
        self.extend(self.parts.len() - 1, path)
    }

    fn extend(&mut self, at: usize, path: PathBuf) -> io::Result<()> {
        self.count(at, &path, &std::collections::HashSet::new())?;
        self.parts[at].paths.push(path);
        Ok(())
    }

    /// Counts a tree into a part, without the trees in `without`.
    fn count(&mut self, at: usize, path: &Path, without: &std::collections::HashSet<PathBuf>) -> io::Result<()> {
        let mut waiting = vec![path.to_owned()];
        while let Some(path) = waiting.pop() {
            if without.contains(&path) {
                continue;
            }
            let meta = match std::fs::symlink_metadata(&path) {
                Ok(meta) => meta,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            // Blocks of 512 bytes, whatever the file system's own are: what is really taken.
            let bytes = meta.blocks() * 512;
            if meta.is_dir() {
                self.parts[at].folders += bytes;
                self.total += bytes;
                waiting.extend(children(&path)?);
                continue;
            }
            let next = self.inodes.len();
            let inode = *self.known.entry((meta.dev(), meta.ino())).or_insert(next);
            if inode == next {
                self.inodes.push(Inode { bytes, links: meta.nlink(), used: 0 });
                self.total += bytes;
            }
            self.inodes[inode].used += u64::from(!self.parts[at].kind.is_cache());
            *self.parts[at].files.entry(inode).or_default() += 1;
        }
        Ok(())
    }

    /// Bytes of everything that is left.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Bytes of a part, those that it shares included.
    pub(super) fn size(&self, part: &Part) -> u64 {
        part.folders + part.files.keys().map(|inode| self.inodes[*inode].bytes).sum::<u64>()
    }

    /// Bytes that would be free if this part alone were gone.
    pub(super) fn own(&self, part: &Part) -> u64 {
        let last = part.files.iter().filter(|(inode, links)| self.inodes[**inode].links == **links);
        part.folders + last.map(|(inode, _)| self.inodes[*inode].bytes).sum::<u64>()
    }

    /// Whether it is a cache's part that nothing but caches has links into.
    pub(super) fn is_unused(&self, at: usize) -> bool {
        let part = &self.parts[at];
        part.kind.is_cache() && !part.gone && part.files.keys().all(|inode| self.inodes[*inode].used == 0)
    }

    /// Takes a part out; returns the bytes that are free with it.
    pub(super) fn remove(&mut self, at: usize) -> u64 {
        let part = &mut self.parts[at];
        if std::mem::replace(&mut part.gone, true) {
            return 0;
        }
        let mut freed = part.folders;
        for (inode, links) in &part.files {
            let inode = &mut self.inodes[*inode];
            inode.links = inode.links.saturating_sub(*links);
            if !part.kind.is_cache() {
                inode.used = inode.used.saturating_sub(*links);
            }
            if inode.links == 0 {
                freed += inode.bytes;
            }
        }
        self.total = self.total.saturating_sub(freed);
        freed
    }
}

impl Part {
    fn new(kind: Kind, name: String) -> Self {
        Self { kind, name, paths: Vec::new(), folders: 0, files: HashMap::new(), gone: false }
    }
}

/// What is in a folder; one that is not there is empty.
fn children(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    entries.map(|entry| Ok(entry?.path())).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two prefixes share a wheel's file, one has a file of its own, a second wheel is used by nobody.
    fn store() -> tempfile::TempDir {
        let store = tempfile::tempdir().unwrap();
        let root = store.path();
        for folder in ["e/a-1", "e/b-2", "pkgs", "bench/shared/uv/archive-v0/w1", "bench/shared/uv/archive-v0/w2"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        let write = |path: &str, kib: usize| std::fs::write(root.join(path), vec![1; kib << 10]).unwrap();
        write("bench/shared/uv/archive-v0/w1/shared.py", 400);
        write("bench/shared/uv/archive-v0/w2/lonely.py", 200);
        write("e/a-1/own", 100);
        write("e/a-1.activate.sh", 4);
        for id in ["a-1", "b-2"] {
            let wheel = root.join("bench/shared/uv/archive-v0/w1/shared.py");
            std::fs::hard_link(wheel, root.join("e").join(id).join("shared.py")).unwrap();
        }
        store
    }

    fn at(census: &Census, name: &str) -> usize {
        census.parts.iter().position(|part| part.name == name).unwrap()
    }

    #[test]
    fn a_byte_is_counted_once_however_many_names_it_has() {
        let store = store();
        let census = Census::take(store.path()).unwrap();
        let kib = |bytes: u64| bytes >> 10;
        // Folders take a little, differently on each file system.
        assert!((704..1000).contains(&kib(census.total())), "{}", kib(census.total()));
        let a = &census.parts[at(&census, "a-1")];
        assert!((504..560).contains(&kib(census.size(a))) && (104..160).contains(&kib(census.own(a))));
        assert_eq!(a.paths.len(), 2, "the activation belongs to it");
    }

    #[test]
    fn bytes_are_free_with_their_last_name_and_not_before() {
        let store = store();
        let mut census = Census::take(store.path()).unwrap();
        assert!(census.is_unused(at(&census, "w2")) && !census.is_unused(at(&census, "w1")));
        let before = census.total();
        let first = census.remove(at(&census, "a-1"));
        assert!((104 << 10..160 << 10).contains(&first), "{first}");
        assert!(!census.is_unused(at(&census, "w1")), "the other one still uses it");
        let second = census.remove(at(&census, "b-2"));
        assert!(second < 60 << 10, "the cache still has it: {second}");
        assert!(census.is_unused(at(&census, "w1")));
        let third = census.remove(at(&census, "w1"));
        assert!((400 << 10..460 << 10).contains(&third), "{third}");
        assert_eq!(census.total(), before - first - second - third);
        assert_eq!(census.remove(at(&census, "w1")), 0, "only once");
    }

    #[test]
    fn what_has_a_name_outside_of_the_store_is_not_promised() {
        let store = store();
        let outside = tempfile::tempdir_in(store.path().parent().unwrap()).unwrap();
        std::fs::hard_link(store.path().join("e/a-1/own"), outside.path().join("own")).unwrap();
        let mut census = Census::take(store.path()).unwrap();
        let freed = census.remove(at(&census, "a-1"));
        assert!(freed < 100 << 10, "{freed}");
    }
}
