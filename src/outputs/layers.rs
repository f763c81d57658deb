//! What a run left in the upper layer of an overlay, made into a folder that outputs can be collected from.
//!
//! The lower layer is the commit, and holds no output but what is declared as one. So nothing of it is copied, except:
//! declared products, products that new metadata speaks for, and what links lead to. Marks of what was deleted go.

use std::collections::HashSet;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use cap_std::fs::Dir;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};

use super::rooted;
use crate::id::RelPath;

/// As many links in a row as Linux follows.
const MOST_LINKS: usize = 40;

/// Set by the kernel on a folder that stands in the place of a deleted one (mount option `userxattr`).
const OPAQUE: &CStr = c"user.overlay.opaque";

/// Completes `upper` over `lower`, for the products (paths from the top) of a pipeline in `pipeline_dir`; returns what
/// `upper` hides.
///
/// # Errors
/// When a layer cannot be read, or the upper one not be written.
pub fn complete(upper: &Dir, lower: &Dir, pipeline_dir: &RelPath, products: &[RelPath]) -> io::Result<Hidden> {
    let top = rooted::open_folder(upper.as_fd(), &RelPath::root())?;
    let below = rooted::open_folder(lower.as_fd(), &RelPath::root())?;
    let mut layers = Layers { upper: top.as_fd(), lower: below.as_fd(), hidden: Hidden::default(), wanted: Vec::new() };
    layers.settle(top.as_fd(), &RelPath::root())?;
    layers.bring(pipeline_dir, Depth::Itself, 0)?;
    for product in products {
        layers.bring(product, Depth::Whole, 0)?;
        if let Some(metadata) = metadata_of(product) {
            layers.bring(&metadata, Depth::Itself, 0)?;
        }
    }
    while let Some((path, depth)) = layers.wanted.pop() {
        layers.bring(&path, depth, 0)?;
    }
    Ok(layers.hidden)
}

/// What of the lower layer the run no longer saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hidden(HashSet<RelPath>);

impl Hidden {
    /// Whether something stands in a path's place, or nothing any more.
    pub fn hides(&self, path: &RelPath) -> bool {
        std::iter::successors(Some(path.clone()), RelPath::parent).any(|path| self.0.contains(&path))
    }
}

/// `.{name}.metadata` beside a product.
fn metadata_of(product: &RelPath) -> Option<RelPath> {
    let name = RelPath::from_bytes(&[b".", product.file_name(), b".metadata"].concat()).ok()?;
    Some(product.parent()?.join(&name))
}

/// How much of a folder is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Itself,
    Whole,
}

struct Layers<'a> {
    upper: BorrowedFd<'a>,
    lower: BorrowedFd<'a>,
    /// Below these, nothing of the lower layer shows.
    hidden: Hidden,
    /// Found on the way, to be brought afterwards.
    wanted: Vec<(RelPath, Depth)>,
}

impl Layers<'_> {
    /// Removes marks, and remembers what they hide.
    fn settle(&mut self, folder: BorrowedFd<'_>, at: &RelPath) -> io::Result<()> {
        for name in rooted::names(folder)? {
            let (stat, path) = (rooted::look(folder, &name)?, rooted::child(at, &name)?);
            match rooted::kind(&stat) {
                FileType::CharacterDevice if stat.st_rdev == 0 => {
                    rustix::fs::unlinkat(folder, &name[..], AtFlags::empty())?;
                    self.hidden.0.insert(path);
                }
                FileType::Directory => {
                    let inside = rooted::open_subfolder(folder, &name)?;
                    if is_opaque(inside.as_fd()) {
                        self.hidden.0.insert(path.clone());
                    }
                    self.settle(inside.as_fd(), &path)?;
                    let empty = rooted::names(inside.as_fd())?.is_empty();
                    // Empty here, and not empty below: to the run it was not empty.
                    if empty && self.shows_something(&path)? {
                        rustix::fs::unlinkat(folder, &name[..], AtFlags::REMOVEDIR)?;
                    }
                }
                FileType::Symlink => {
                    self.hidden.0.insert(path.clone());
                    self.want_target(folder, &path)?;
                }
                FileType::RegularFile => {
                    let product = name.strip_prefix(b".").and_then(|name| name.strip_suffix(b".metadata"));
                    if let Some(product) = product.filter(|product| !product.is_empty()) {
                        self.wanted.push((rooted::child(at, product)?, Depth::Whole));
                    }
                    // A file in the place of a folder hides what was in that.
                    self.hidden.0.insert(path);
                }
                _ => drop(self.hidden.0.insert(path)),
            }
        }
        Ok(())
    }

    /// Where a link leads, inside of the top.
    fn want_target(&mut self, folder: BorrowedFd<'_>, path: &RelPath) -> io::Result<()> {
        let target = rustix::fs::readlinkat(folder, path.file_name(), Vec::new())?;
        if let Some(to) = joined(&path.parent().unwrap_or_default(), target.to_bytes()) {
            self.wanted.push((to, Depth::Itself));
        }
        Ok(())
    }

    fn is_hidden(&self, path: &RelPath) -> bool {
        self.hidden.hides(path)
    }

    fn shows_something(&self, folder: &RelPath) -> io::Result<bool> {
        if self.is_hidden(folder) {
            return Ok(false);
        }
        let Ok(lower) = rooted::open_folder(self.lower, folder) else { return Ok(false) };
        for name in rooted::names(lower.as_fd())? {
            if !self.hidden.0.contains(&rooted::child(folder, &name)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes a path of the merged view be there in the upper layer, with what leads to it.
    fn bring(&mut self, path: &RelPath, depth: Depth, links: usize) -> io::Result<()> {
        let mut here = RelPath::root();
        let parts: Vec<&[u8]> = path.as_bytes().split(|byte| *byte == b'/').collect();
        for (i, part) in parts.iter().enumerate().filter(|_| !path.is_root()) {
            let next = rooted::child(&here, part)?;
            let last = i + 1 == parts.len();
            match self.one(&next)? {
                Some(FileType::Symlink) => {
                    let folder = rooted::open_folder(self.upper, &here)?;
                    let target = rustix::fs::readlinkat(&folder, *part, Vec::new())?;
                    let Some(to) = joined(&here, target.to_bytes()).filter(|_| links < MOST_LINKS) else {
                        return Ok(());
                    };
                    let rest = parts[i + 1..].iter().try_fold(to, |path, part| rooted::child(&path, part))?;
                    return self.bring(&rest, depth, links + 1);
                }
                Some(FileType::Directory) if last && depth == Depth::Whole => return self.whole(&next),
                Some(FileType::Directory) => here = next,
                // Nothing, or a file: that is there now, and nothing is below it.
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// Everything in a folder of the merged view.
    fn whole(&mut self, folder: &RelPath) -> io::Result<()> {
        let names = if self.is_hidden(folder) {
            Vec::new()
        } else {
            rooted::open_folder(self.lower, folder).and_then(|lower| rooted::names(lower.as_fd())).unwrap_or_default()
        };
        for name in names {
            let path = rooted::child(folder, &name)?;
            match self.one(&path)? {
                Some(FileType::Directory) => self.whole(&path)?,
                Some(FileType::Symlink) => {
                    let above = rooted::open_folder(self.upper, folder)?;
                    self.want_target(above.as_fd(), &path)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// One path, whose folder is there already: as the upper layer has it, else copied from the lower one.
    fn one(&self, path: &RelPath) -> io::Result<Option<FileType>> {
        let above = path.parent().unwrap_or_default();
        let to = rooted::open_folder(self.upper, &above)?;
        let name = path.file_name();
        match rooted::look(to.as_fd(), name) {
            Ok(stat) => return Ok(Some(rooted::kind(&stat))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        if self.is_hidden(path) {
            return Ok(None);
        }
        let from = match rooted::open_folder(self.lower, &above) {
            Ok(from) => from,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        match rooted::look(from.as_fd(), name) {
            Ok(stat) => {
                copy_one(from.as_fd(), to.as_fd(), name, &stat)?;
                Ok(Some(rooted::kind(&stat)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn is_opaque(folder: BorrowedFd<'_>) -> bool {
    let mut value = [0; 8];
    rustix::fs::fgetxattr(folder, OPAQUE, &mut value[..]).is_ok_and(|length| value[..length].starts_with(b"y"))
}

/// A link's target from the top; `None` where it leads out.
fn joined(folder: &RelPath, target: &[u8]) -> Option<RelPath> {
    let mut parts: Vec<&[u8]> = folder.as_bytes().split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
    if target.starts_with(b"/") {
        return None;
    }
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    RelPath::from_bytes(&parts.join(&b'/')).ok()
}

fn copy_one(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &[u8], stat: &rustix::fs::Stat) -> io::Result<()> {
    let mode = Mode::from_raw_mode(stat.st_mode & 0o777);
    match rooted::kind(stat) {
        FileType::Directory => {
            rustix::fs::mkdirat(to, name, Mode::from_raw_mode(0o755))?;
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(from, name, Vec::new())?;
            rustix::fs::symlinkat(&target, to, name)?;
            rustix::fs::utimensat(to, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        FileType::RegularFile => {
            let (mut file, _) = rooted::open_file(from, name)?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut copy = std::fs::File::from(rustix::fs::openat(to, name, flags, Mode::from_raw_mode(0o600))?);
            io::copy(&mut file, &mut copy)?;
            rustix::fs::fchmod(&copy, mode)?;
            rustix::fs::futimens(&copy, &times(stat))?;
        }
        _ => {}
    }
    Ok(())
}

fn times(stat: &rustix::fs::Stat) -> Timestamps {
    let ns = rooted::mtime_ns(stat);
    let time = Timespec {
        tv_sec: i64::try_from(ns.div_euclid(1_000_000_000)).unwrap_or_default(),
        tv_nsec: i64::try_from(ns.rem_euclid(1_000_000_000)).unwrap_or_default(),
    };
    Timestamps { last_access: time, last_modification: time }
}
