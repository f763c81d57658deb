//! Finds the outputs: walks the declared products, the globs and `/output`, and says what is missing or refused.
//!
//! Reads names and `stat`s only; file contents are read where two sources claim one path (`clash`), nowhere else.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Access, AtFlags, FileType, Stat};

use super::pattern::Pattern;
use super::{
    Collection, MissingProduct, MissingReason, Moved, Output, OutputKind, OutputsError, Refused, RefusedReason, Root,
    Roots, Wanted, clash, link, rooted, witness,
};
use crate::id::RelPath;
use crate::plan::PlannedProduct;

/// Finds everything that came out of a run.
///
/// # Errors
/// When a pattern is none, two different files claim one path, there are too many files, or a root cannot be read.
/// What is wrong with a single file is not an error: it is refused and listed.
pub fn collect(roots: &Roots, wanted: &Wanted<'_>) -> Result<Collection, OutputsError> {
    let parse = |patterns: &[String]| patterns.iter().map(|p| Pattern::parse(p)).collect::<Result<Vec<_>, _>>();
    let include = parse(&wanted.rules.include)?;
    let mut gather = Gather::new(roots, wanted, parse(&wanted.rules.exclude)?);
    declared(&mut gather)?;
    witness::settle(&mut gather)?;
    if !include.is_empty() {
        let at = wanted.pipeline_dir;
        let folder = rooted::open_folder(roots.fd(Root::Work), at).map_err(|source| OutputsError::Read {
            what: "the snapshot's",
            path: at.clone(),
            source,
        })?;
        let top = Place { root: Root::Work, real: at.clone(), wanted: gather.shown(Root::Work, at) };
        gather.walk(folder.as_fd(), &top, 0, &Scope { task: None, globs: Some(&include) })?;
    }
    let top = Place { root: Root::Output, real: RelPath::root(), wanted: gather.shown(Root::Output, &RelPath::root()) };
    let folder = rooted::open_folder(roots.fd(Root::Output), &RelPath::root())
        .map_err(|source| OutputsError::Read { what: "/output", path: RelPath::root(), source })?;
    gather.walk(folder.as_fd(), &top, 0, &Scope { task: None, globs: None })?;
    link::settle(&mut gather)?;
    clash::settle(&mut gather)?;
    Ok(gather.into_collection())
}

/// Where something lies, and where it would be published.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) root: Root,
    pub(super) real: RelPath,
    pub(super) wanted: RelPath,
}

/// A link that was met and not yet decided on.
#[derive(Debug)]
pub(super) struct FoundLink {
    pub(super) place: Place,
    pub(super) stat: Stat,
    pub(super) task: Option<String>,
    /// Declared as a product itself.
    pub(super) declared: bool,
}

/// Why a folder is walked.
pub(super) struct Scope<'a> {
    pub(super) task: Option<&'a str>,
    /// Only what these match and the run made; `None` takes everything.
    pub(super) globs: Option<&'a [Pattern]>,
}

/// Keys of what was added to `Gather::found` and `Gather::folders`.
#[derive(Default)]
pub(super) struct News {
    pub(super) outputs: Vec<RelPath>,
    pub(super) folders: Vec<(Root, RelPath)>,
}

/// What has been found so far.
pub(super) struct Gather<'a> {
    pub(super) roots: &'a Roots,
    pub(super) wanted: &'a Wanted<'a>,
    exclude: Vec<Pattern>,
    pub(super) found: BTreeMap<RelPath, Output>,
    /// Outputs whose path was taken already by another source.
    pub(super) rivals: Vec<Output>,
    pub(super) links: Vec<FoundLink>,
    /// Where every link was met, and which of `links` it is.
    met: HashMap<Place, usize>,
    /// Folders that are published whole.
    pub(super) folders: HashMap<(Root, RelPath), RelPath>,
    /// What `found` and `folders` have that `link::settle` has not read yet.
    pub(super) news: News,
    refused: BTreeMap<(Root, RelPath), RefusedReason>,
    moved: BTreeMap<RelPath, RelPath>,
    /// Products that are not there, in the order declared.
    pub(super) missing: BTreeMap<usize, MissingProduct>,
    /// Products that were found, for the case that they are refused later.
    products: Vec<(usize, MissingProduct, (Root, RelPath))>,
    entries: u64,
}

impl<'a> Gather<'a> {
    fn new(roots: &'a Roots, wanted: &'a Wanted<'a>, exclude: Vec<Pattern>) -> Self {
        Self {
            roots,
            wanted,
            exclude,
            found: BTreeMap::new(),
            rivals: Vec::new(),
            links: Vec::new(),
            met: HashMap::new(),
            folders: HashMap::new(),
            news: News::default(),
            refused: BTreeMap::new(),
            moved: BTreeMap::new(),
            missing: BTreeMap::new(),
            products: Vec::new(),
            entries: 0,
        }
    }

    /// Where `path` is published, before reserved names are stepped around.
    fn shown(&self, root: Root, path: &RelPath) -> RelPath {
        let below = |folder: &[u8]| RelPath::from_bytes(folder).unwrap_or_default().join(path);
        match root {
            Root::Output => below(b"output"),
            Root::Work => path.strip_prefix(self.wanted.pipeline_dir).unwrap_or_else(|| below(b"_root")),
        }
    }

    /// Whether publishing `path` would publish the repository itself.
    pub(super) fn is_whole(&self, root: Root, path: &RelPath) -> bool {
        root == Root::Work && self.wanted.pipeline_dir.strip_prefix(path).is_some()
    }

    pub(super) fn refuse(&mut self, root: Root, path: &RelPath, reason: RefusedReason) {
        self.refused.insert((root, path.clone()), reason);
    }

    fn excluded(&self, path: &RelPath) -> bool {
        self.exclude.iter().any(|pattern| pattern.matches(path))
    }

    /// Counts one more thing that was looked at.
    pub(super) fn count(&mut self) -> Result<(), OutputsError> {
        self.entries += 1;
        if self.entries > self.wanted.bounds.entries {
            return Err(OutputsError::TooMany { limit: self.wanted.bounds.entries });
        }
        Ok(())
    }

    /// Takes one output; the first source of a path wins, `clash` looks at the others.
    pub(super) fn add(
        &mut self,
        place: &Place,
        stat: &Stat,
        kind: OutputKind,
        target: Option<RelPath>,
        task: Option<&str>,
    ) {
        let path = around_reserved(&place.wanted);
        if path != place.wanted {
            self.moved.insert(place.wanted.clone(), path.clone());
        }
        let file = kind == OutputKind::File;
        let output = Output {
            path: path.clone(),
            from: (place.root, place.real.clone()),
            kind,
            size: if file { rooted::size(stat) } else { 0 },
            allocated: if file { rooted::allocated(stat) } else { 0 },
            mode: stat.st_mode & 0o777,
            mtime_ns: rooted::mtime_ns(stat),
            link_target: target,
            task: task.map(str::to_owned),
        };
        match self.found.get_mut(&path) {
            None => {
                self.news.outputs.push(path.clone());
                self.found.insert(path, output);
            }
            Some(same) if same.from == output.from => same.task = same.task.take().or(output.task),
            Some(_) => self.rivals.push(output),
        }
    }

    /// Takes whatever stands at `name` in `folder`.
    pub(super) fn take(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &[u8],
        place: Place,
        depth: usize,
        scope: &Scope<'_>,
        declared: bool,
    ) -> Result<(), OutputsError> {
        self.count()?;
        if self.excluded(&place.wanted) {
            return Ok(());
        }
        let stat = match rooted::look(folder, name) {
            Ok(stat) => stat,
            Err(error) => {
                self.refuse(place.root, &place.real, reason_for(&error));
                return Ok(());
            }
        };
        let kind = rooted::kind(&stat);
        if kind != FileType::Directory && !self.in_scope(&place, &stat, scope) {
            return Ok(());
        }
        match kind {
            FileType::Directory => return self.take_folder(folder, name, &place, depth, scope, &stat),
            FileType::RegularFile => match rustix::fs::accessat(folder, name, Access::READ_OK, AtFlags::empty()) {
                Ok(()) => self.add(&place, &stat, OutputKind::File, None, scope.task),
                Err(error) => self.refuse(place.root, &place.real, reason_for(&error.into())),
            },
            FileType::Symlink => self.note_link(place, stat, scope.task, declared),
            other => self.refuse(place.root, &place.real, special(other)),
        }
        Ok(())
    }

    /// Notes one link. It may be met several times, as a product, through its metadata and in a folder that is published
    /// whole, and is decided on once: what the first decision made of it would be a rival of the second.
    fn note_link(&mut self, place: Place, stat: Stat, task: Option<&str>, declared: bool) {
        let task = task.map(str::to_owned);
        match self.met.get(&place) {
            None => {
                self.met.insert(place.clone(), self.links.len());
                self.links.push(FoundLink { place, stat, task, declared });
            }
            // Products are all met before the first link is decided on, so that the place in `links` still holds.
            Some(&at) if declared => {
                if let Some(known) = self.links.get_mut(at) {
                    known.declared = true;
                    known.task = known.task.take().or(task);
                }
            }
            Some(_) => {}
        }
    }

    /// Why what stands there is not published, where it was refused.
    pub(super) fn refused(&self, root: Root, path: &RelPath) -> Option<RefusedReason> {
        self.refused.get(&(root, path.clone())).copied()
    }

    fn in_scope(&self, place: &Place, stat: &Stat, scope: &Scope<'_>) -> bool {
        scope.globs.is_none_or(|globs| {
            globs.iter().any(|glob| glob.matches(&place.wanted)) && !self.wanted.baseline.holds(&place.real, stat)
        })
    }

    fn take_folder(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &[u8],
        place: &Place,
        depth: usize,
        scope: &Scope<'_>,
        stat: &Stat,
    ) -> Result<(), OutputsError> {
        if depth >= self.wanted.bounds.depth || place.real.as_bytes().len() > 4096 {
            self.refuse(place.root, &place.real, RefusedReason::TooDeep);
            return Ok(());
        }
        let inside = match rooted::open_subfolder(folder, name) {
            Ok(inside) => inside,
            Err(error) => {
                self.refuse(place.root, &place.real, reason_for(&error));
                return Ok(());
            }
        };
        if self.walk(inside.as_fd(), place, depth + 1, scope)? == 0 && self.in_scope(place, stat, scope) {
            self.add(place, stat, OutputKind::Folder, None, scope.task);
        }
        Ok(())
    }

    /// Takes everything in an open folder; returns how many names it has.
    pub(super) fn walk(
        &mut self,
        folder: BorrowedFd<'_>,
        at: &Place,
        depth: usize,
        scope: &Scope<'_>,
    ) -> Result<usize, OutputsError> {
        let names = match rooted::names(folder) {
            Ok(names) => names,
            Err(error) => {
                self.refuse(at.root, &at.real, reason_for(&error));
                return Ok(1);
            }
        };
        if scope.globs.is_none() {
            let whole = (at.root, at.real.clone());
            if !self.folders.contains_key(&whole) {
                self.news.folders.push(whole.clone());
                self.folders.insert(whole, around_reserved(&at.wanted));
            }
        }
        for name in &names {
            if scope.globs.is_some() && name == b".git" {
                continue;
            }
            let Ok(part) = RelPath::from_bytes(name) else { continue };
            let place = Place { root: at.root, real: at.real.join(&part), wanted: at.wanted.join(&part) };
            self.take(folder, name, place, depth, scope, false)?;
        }
        Ok(names.len())
    }

    fn into_collection(mut self) -> Collection {
        for (index, product, place) in self.products {
            if self.refused.contains_key(&place) {
                self.missing.insert(index, product);
            }
        }
        let refused = self.refused.into_iter().map(|((root, path), reason)| Refused { root, path, reason });
        Collection {
            outputs: self.found.into_values().collect(),
            missing: self.missing.into_values().collect(),
            refused: refused.collect(),
            moved: self.moved.into_iter().map(|(wanted, stored)| Moved { wanted, stored }).collect(),
        }
    }
}

/// `_/` + the path where its first part is a name of ours.
pub(super) fn around_reserved(path: &RelPath) -> RelPath {
    let first = path.as_bytes().split(|b| *b == b'/').next().unwrap_or_default();
    if super::manifest::is_reserved(first) {
        RelPath::from_bytes(b"_").unwrap_or_default().join(path)
    } else {
        path.clone()
    }
}

pub(super) fn special(kind: FileType) -> RefusedReason {
    match kind {
        FileType::Fifo => RefusedReason::Fifo,
        FileType::Socket => RefusedReason::Socket,
        _ => RefusedReason::Device,
    }
}

pub(super) fn reason_for(error: &io::Error) -> RefusedReason {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => RefusedReason::Vanished,
        _ => RefusedReason::Unreadable,
    }
}

/// One declared product, and where it is looked for.
struct Declared<'a> {
    index: usize,
    task: &'a str,
    product: &'a PlannedProduct,
    place: Result<(Root, RelPath), MissingReason>,
}

impl Declared<'_> {
    fn depth(&self) -> usize {
        self.place.as_ref().map_or(0, |(_, path)| path.as_bytes().split(|b| *b == b'/').count())
    }

    fn missing(&self, why: MissingReason) -> MissingProduct {
        MissingProduct { task: self.task.to_owned(), product: self.product.declared.clone(), why }
    }
}

/// Takes every declared product, the deepest first, so that the task that names a file most closely owns it.
fn declared(gather: &mut Gather<'_>) -> Result<(), OutputsError> {
    let (tasks, roots) = (gather.wanted.tasks, gather.roots);
    let all = tasks.iter().flat_map(|task| task.products.iter().map(|product| (task.name.as_str(), product)));
    let mut all: Vec<Declared<'_>> = all
        .enumerate()
        .map(|(index, (task, product))| Declared { index, task, product, place: locate(product, roots) })
        .collect();
    all.sort_by_key(|product| std::cmp::Reverse(product.depth()));
    for product in all {
        let taken = match &product.place {
            Ok((root, path)) => take_product(gather, *root, path, Some(product.task))?,
            Err(why) => Err(*why),
        };
        match taken {
            Ok(place) => gather.products.push((product.index, product.missing(MissingReason::Refused), place)),
            Err(why) => drop(gather.missing.insert(product.index, product.missing(why))),
        }
    }
    Ok(())
}

/// Where a product lies: in the snapshot, or in one of the two folders as the pipeline saw them.
fn locate(product: &PlannedProduct, roots: &Roots) -> Result<(Root, RelPath), MissingReason> {
    if let Some(path) = &product.path {
        return Ok((Root::Work, path.clone()));
    }
    for (root, seen) in [(Root::Output, roots.guest_output), (Root::Work, roots.guest_work)] {
        if let Some(rest) = product.declared.strip_prefix(seen)
            && rest.starts_with('/')
            && let Ok(path) = RelPath::normalise(rest.trim_start_matches('/'))
        {
            return Ok((root, path));
        }
    }
    Err(if witness::has_gap(&product.declared) { MissingReason::Unknown } else { MissingReason::Outside })
}

/// Takes one product and the metadata beside it; says where it really lies, or why it is missing.
pub(super) fn take_product(
    gather: &mut Gather<'_>,
    root: Root,
    path: &RelPath,
    task: Option<&str>,
) -> Result<Result<(Root, RelPath), MissingReason>, OutputsError> {
    if gather.is_whole(root, path) {
        gather.refuse(root, path, RefusedReason::Whole);
        return Ok(Err(MissingReason::Refused));
    }
    if root == Root::Work && path.as_bytes().split(|byte| *byte == b'/').next() == Some(b".git") {
        // Not the commit's and not the pipeline's: soopervisor put it there.
        return Ok(Err(MissingReason::Absent));
    }
    let Some(above) = path.parent() else {
        // `/output` itself, declared as a product: it is walked in any case.
        return Ok(Ok((root, path.clone())));
    };
    let real_above = match link::real(gather.roots.dir(root), &above) {
        Ok(real) => real,
        Err(RefusedReason::LinkDangling | RefusedReason::Vanished) => return Ok(Err(MissingReason::Absent)),
        Err(reason) => {
            gather.refuse(root, path, reason);
            return Ok(Err(MissingReason::Refused));
        }
    };
    let folder = rooted::open_folder(gather.roots.fd(root), &real_above);
    let (Ok(folder), Ok(leaf)) = (folder, RelPath::from_bytes(path.file_name())) else {
        return Ok(Err(MissingReason::Absent));
    };
    let place = Place { root, real: real_above.join(&leaf), wanted: gather.shown(root, path) };
    let source = (root, place.real.clone());
    if rooted::look(folder.as_fd(), leaf.as_bytes()).is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
        return Ok(Err(MissingReason::Absent));
    }
    let scope = Scope { task, globs: None };
    let beside = place.wanted.parent().unwrap_or_default();
    gather.take(folder.as_fd(), leaf.as_bytes(), place, 0, &scope, true)?;
    let metadata = [b".", leaf.as_bytes(), b".metadata"].concat();
    if let Ok(leaf) = RelPath::from_bytes(&metadata)
        && rooted::look(folder.as_fd(), &metadata).is_ok_and(|stat| rooted::kind(&stat) == FileType::RegularFile)
    {
        let place = Place { root, real: real_above.join(&leaf), wanted: beside.join(&leaf) };
        gather.take(folder.as_fd(), &metadata, place, 0, &scope, false)?;
    }
    Ok(Ok(source))
}
