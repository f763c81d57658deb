//! What a run left behind besides its outputs: files by which its tasks may have handed each other something that
//! nobody declared, and products that were changed after their task had ended.
//!
//! Read from names and `stat`s; nothing is judged here.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::FileType;

use super::{Collection, OutputKind, Root, Roots, Wanted, rooted};
use crate::id::RelPath;

/// As many strays as are named.
const NAMED: usize = 10;

/// Folders, and endings of folders, in which interpreters and installers keep what can always be made again.
const CACHES: [&str; 4] = ["__pycache__", ".ipynb_checkpoints", ".pytest_cache", ".git"];

/// What programs leave in HOME without being asked.
const HOME: [&str; 12] = [
    ".soopervisor",
    ".cache/pip",
    ".cache/uv",
    ".cache/matplotlib",
    ".cache/fontconfig",
    ".cache/black",
    ".config/matplotlib",
    ".ipython",
    ".jupyter",
    ".local/share/jupyter",
    ".local/state",
    ".ploomber",
];

/// What a run left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traces {
    /// Files that are new, changed or gone and no output, as people know them; the first ten.
    pub strays: Vec<String>,
    /// Tasks with a product that is younger than its metadata, or has none.
    pub unsettled: Vec<String>,
}

/// Looks at the snapshot and at HOME after a run. `sources` may have changed: Ploomber adds what a script lacks.
/// `installs` says whether the project was installed, which leaves its traces beside it; `elsewhere` which of the
/// snapshot's files are not gone although they are not in its folder.
///
/// # Errors
/// When a folder cannot be read.
pub fn traces(
    roots: &Roots,
    wanted: &Wanted<'_>,
    found: &Collection,
    home: &cap_std::fs::Dir,
    sources: &BTreeSet<RelPath>,
    installs: bool,
    elsewhere: &dyn Fn(&RelPath) -> bool,
) -> io::Result<Traces> {
    let outputs = found.outputs.iter().filter(|output| output.from.0 == Root::Work);
    let mut look = Look {
        wanted,
        outputs: outputs.map(|output| &output.from.1).collect(),
        sources,
        installs,
        seen: HashSet::new(),
        strays: Vec::new(),
    };
    let top = rooted::open_folder(roots.fd(Root::Work), &RelPath::root())?;
    look.walk(top.as_fd(), &RelPath::root(), 0)?;
    let gone = wanted
        .baseline
        .paths()
        .filter(|path| !look.seen.contains(*path) && !is_cache(path, installs) && !elsewhere(path));
    let mut strays: Vec<String> = gone.map(|path| format!("{path} (gone)")).collect();
    strays.append(&mut look.strays);
    let top = rooted::open_folder(home.as_fd(), &RelPath::root())?;
    in_home(top.as_fd(), &RelPath::root(), 0, &mut strays)?;
    strays.sort();
    strays.truncate(NAMED);
    Ok(Traces { strays, unsettled: unsettled(wanted, found) })
}

struct Look<'a> {
    wanted: &'a Wanted<'a>,
    outputs: HashSet<&'a RelPath>,
    sources: &'a BTreeSet<RelPath>,
    installs: bool,
    seen: HashSet<RelPath>,
    strays: Vec<String>,
}

impl Look<'_> {
    fn walk(&mut self, folder: BorrowedFd<'_>, at: &RelPath, depth: usize) -> io::Result<()> {
        for name in rooted::names(folder)? {
            let (stat, path) = (rooted::look(folder, &name)?, rooted::child(at, &name)?);
            let folder_like = rooted::kind(&stat) == FileType::Directory;
            if is_cache(&path, self.installs) {
                continue;
            }
            if folder_like && depth < self.wanted.bounds.depth {
                match rooted::open_subfolder(folder, &name) {
                    Ok(inside) => self.walk(inside.as_fd(), &path, depth + 1)?,
                    Err(_) => self.strays.push(path.to_string()),
                }
                continue;
            }
            let as_before = self.wanted.baseline.holds(&path, &stat);
            let changed_source = self.sources.contains(&path) && self.wanted.baseline.knows(&path);
            if !as_before && !changed_source && !self.outputs.contains(&path) {
                self.strays.push(path.to_string());
            }
            self.seen.insert(path);
        }
        Ok(())
    }
}

fn is_cache(path: &RelPath, installs: bool) -> bool {
    path.as_bytes().split(|b| *b == b'/').any(|part| {
        CACHES.iter().any(|known| part == known.as_bytes())
            || (installs && (part == b"build" || part.ends_with(b".egg-info")))
    })
}

fn in_home(folder: BorrowedFd<'_>, at: &RelPath, depth: usize, strays: &mut Vec<String>) -> io::Result<()> {
    for name in rooted::names(folder)? {
        let path = rooted::child(at, &name)?;
        let known = |known: &&str| path.as_bytes() == known.as_bytes();
        let above = |known: &&str| known.as_bytes().starts_with(&[path.as_bytes(), b"/"].concat());
        if HOME.iter().any(known) {
            continue;
        }
        let inside = HOME.iter().any(above) || depth < 2;
        match rooted::open_subfolder(folder, &name) {
            // Folders that programs make beforehand hold nothing yet.
            Ok(open) if inside => in_home(open.as_fd(), &path, depth + 1, strays)?,
            _ => strays.push(format!("~/{path}")),
        }
    }
    Ok(())
}

/// Tasks whose product was written to after Ploomber had noted that it was done, or was never noted.
fn unsettled(wanted: &Wanted<'_>, found: &Collection) -> Vec<String> {
    let unsettled = wanted.tasks.iter().filter(|task| {
        task.products.iter().filter_map(|product| product.path.as_ref()).any(|path| {
            let Ok(name) = RelPath::from_bytes(&[b".", path.file_name(), b".metadata"].concat()) else { return true };
            let metadata = path.parent().unwrap_or_default().join(&name);
            let of = |at: &RelPath| {
                let below = found.outputs.iter().filter(|output| output.from.0 == Root::Work);
                let below = below.filter(|output| output.from.1.strip_prefix(at).is_some());
                below.filter(|output| output.kind == OutputKind::File).map(|output| output.mtime_ns).max()
            };
            match of(&metadata) {
                Some(noted) => of(path).is_some_and(|written| written > noted),
                None => true,
            }
        })
    });
    unsettled.map(|task| task.name.clone()).collect()
}
