//! Which files are looked into, and what is found there.

use super::picture::{Picture, PictureKind, Pictures, shows_the_same};
use super::source::{Files, Limits, Read, When};
use super::table::{self, Table};
use super::values::{self, Document};
use super::{Content, FileChange, What, entry};
use crate::id::RelPath;
use crate::outputs::manifest::{Entry, Manifest};
use crate::storage::StorageError;

/// How a file is looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// As JSON; its name may speak of metrics.
    Values { named: bool },
    /// As a table.
    Table { tabs: bool },
    /// As a picture.
    Picture(PictureKind),
}

/// One change that is looked into.
pub(super) struct Want<'m> {
    at: usize,
    way: Way,
    before: Option<&'m Entry>,
    after: Option<&'m Entry>,
    /// Why it is not read after all.
    left: Option<String>,
}

/// What was read for it.
pub(super) struct Fetched {
    at: usize,
    way: Way,
    before: Option<Read>,
    after: Option<Read>,
    left: Option<String>,
}

fn way(path: &RelPath) -> Option<Way> {
    let name = path.file_name().to_ascii_lowercase();
    let ending = super::ending(path);
    let named = name.starts_with(b"metric") || ending == "metrics" || name.ends_with(b".metrics.json");
    match ending.as_str() {
        "json" | "metrics" => Some(Way::Values { named }),
        "csv" | "tsv" => Some(Way::Table { tabs: ending == "tsv" }),
        _ => PictureKind::of(path).map(Way::Picture),
    }
}

/// What is read, within the limits; the order of files decides who comes too late.
pub(super) fn wanted<'m>(
    changes: &[FileChange],
    before: &'m Manifest,
    after: &'m Manifest,
    limits: Limits,
) -> Vec<Want<'m>> {
    let (mut total, mut pictures) = (limits.total, limits.pictures);
    let mut wanted = Vec::new();
    for (at, change) in changes.iter().enumerate().filter(|(_, change)| !change.metadata) {
        let Some(way) = way(&change.path) else { continue };
        let old = entry(before, &change.path, change.before.as_ref());
        let new = entry(after, &change.path, change.after.as_ref());
        // A document that is new is read for its numbers; of other new and gone files there is nothing to compare.
        let alone = match (&change.what, way) {
            (What::Renamed { .. }, _) => continue,
            (What::Added, Way::Values { .. }) | (What::Added | What::Removed, Way::Picture(_)) => true,
            _ => false,
        };
        if (!alone && (old.is_none() || new.is_none())) || (old.is_none() && new.is_none()) {
            continue;
        }
        let size = [old, new].into_iter().flatten().fold(0_u64, |sum, entry| sum.saturating_add(entry.size));
        let largest = [old, new].into_iter().flatten().map(|entry| entry.size).max().unwrap_or_default();
        let left = too_large(way, largest, limits).or_else(|| {
            let room = if matches!(way, Way::Picture(_)) { &mut pictures } else { &mut total };
            match room.checked_sub(size) {
                Some(rest) => {
                    *room = rest;
                    None
                }
                None => Some("too large together with the others".to_owned()),
            }
        });
        // Pictures that nobody wants to see are no gap in the comparison.
        if limits.picture > 0 || !matches!(way, Way::Picture(_)) {
            wanted.push(Want { at, way, before: old, after: new, left });
        }
    }
    wanted
}

fn too_large(way: Way, size: u64, limits: Limits) -> Option<String> {
    let most = match way {
        Way::Values { .. } => limits.document,
        Way::Table { .. } => limits.table,
        Way::Picture(_) => limits.picture,
    };
    (size > most).then(|| format!("too large: {size} bytes, at most {most} are read"))
}

impl Want<'_> {
    /// Reads it.
    pub(super) async fn fetch(self, files: &dyn Files) -> Result<Fetched, StorageError> {
        let read = |when, entry: Option<&'_ Entry>| {
            let entry = entry.filter(|_| self.left.is_none()).cloned();
            async move {
                match entry {
                    Some(entry) => files.read(when, &entry).await.map(Some),
                    None => Ok(None),
                }
            }
        };
        let (before, after) = futures::try_join!(read(When::Before, self.before), read(When::After, self.after))?;
        let sides = [(self.before, before), (self.after, after)];
        let [before, after] = sides.map(|(entry, read)| entry.and(read));
        Ok(Fetched { at: self.at, way: self.way, before, after, left: self.left })
    }
}

impl Fetched {
    /// What changed, by the place of the change.
    pub(super) fn compare(self) -> (usize, Content) {
        let at = self.at;
        (at, self.content())
    }

    fn content(self) -> Content {
        let not = |why: String, damaged| Content::NotCompared { why, damaged };
        if let Way::Picture(kind) = self.way
            && let Some(why) = self.left
        {
            let side = Some(Picture::left(why));
            return Content::Picture(Pictures { kind, before: side.clone(), after: side, same: false });
        }
        if let Some(why) = self.left {
            return not(why, false);
        }
        let (mut sides, mut damage) = ([None, None], None);
        for (side, read) in sides.iter_mut().zip([self.before, self.after]) {
            match read {
                Some(Read::Bytes(bytes)) => *side = Some(bytes),
                Some(Read::Damaged(why)) => damage = Some(why),
                None => {}
            }
        }
        if let Some(why) = damage {
            return not(why.to_owned(), true);
        }
        let [before, after] = sides;
        let compared = match self.way {
            Way::Values { named } => values_of(before.as_deref(), after.as_deref(), named),
            Way::Table { tabs } => table_of(before.as_deref(), after.as_deref(), tabs),
            Way::Picture(kind) => Ok(pictures_of(kind, before, after)),
        };
        compared.unwrap_or_else(|why| not(why, false))
    }
}

/// A new document that is none of metrics has nothing to compare with.
fn values_of(before: Option<&[u8]>, after: Option<&[u8]>, named: bool) -> Result<Content, String> {
    let read = |side: Option<&[u8]>| side.map_or_else(|| Ok(Document::default()), Document::parse);
    let (old, new) = match (read(before), read(after)) {
        (Ok(old), Ok(new)) => (old, new),
        (_, Err(_)) if before.is_none() => return Ok(Content::None),
        (Err(why), _) => return Err(format!("before: {why}")),
        (_, Err(why)) => return Err(why),
    };
    let values = values::compare(&old, &new, named);
    Ok(if before.is_none() && !values.metrics { Content::None } else { Content::Values(values) })
}

fn table_of(before: Option<&[u8]>, after: Option<&[u8]>, tabs: bool) -> Result<Content, String> {
    let read = |side: Option<&[u8]>| Table::parse(side.unwrap_or_default(), tabs);
    let old = read(before).map_err(|why| format!("before: {why}"))?;
    Ok(Content::Table(table::compare(&old, &read(after)?)))
}

fn pictures_of(kind: PictureKind, before: Option<Vec<u8>>, after: Option<Vec<u8>>) -> Content {
    let same = before.as_ref().zip(after.as_ref()).is_some_and(|(old, new)| shows_the_same(kind, old, new));
    let side = |bytes: Option<Vec<u8>>| bytes.map(|bytes| Picture::fetched(kind, bytes));
    Content::Picture(Pictures { kind, before: side(before), after: side(after), same })
}
