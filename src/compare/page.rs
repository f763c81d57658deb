//! A comparison as one page that needs nothing else: no script, no file beside it, no request.
//!
//! Pictures are data; an SVG is one too, so that nothing in it is executed or fetched. The page's own policy forbids
//! everything but those and its one style. Every text is escaped, by askama for HTML and by [`shown`] for the eye.

use std::fmt;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::{
    Comparison, Content, FileChange, Leaf, Move, Origin, Picture, Pictures, TableChange, TaskSide, ValueChange, Values,
    What, Word, mode, named, phrases, shown,
};
use crate::run::figures::{bytes, count, duration};

const STYLE: &str = include_str!("../../templates/diff/style.css");
/// Characters of one text.
const LONGEST: usize = 200;
/// Files with their contents, packages, tasks, and names of identical files; the others are counted.
const MOST_ROWS: usize = 1000;
/// Values of one document.
const MOST_VALUES: usize = 200;
/// Values and cells of all files together: a page is there to be opened.
const MOST_IN_ALL: usize = 20_000;

#[derive(Template)]
#[template(path = "diff/page.html")]
struct Page {
    style: &'static str,
    digest: String,
    project: String,
    sides: [Head; 2],
    counts: String,
    metrics: Vec<Metrics>,
    metrics_more: usize,
    pictures: Vec<PictureView>,
    files: Vec<FileView>,
    files_more: usize,
    identical: Vec<String>,
    identical_more: usize,
    environment: Vec<[String; 3]>,
    tasks: Vec<[String; 4]>,
}

/// One of the commits.
struct Head {
    word: &'static str,
    commit: String,
    folder: String,
    facts: String,
}

/// A document of metrics.
struct Metrics {
    path: String,
    rows: Vec<Row>,
    more: usize,
    same: usize,
}

/// Something that went from one value to another.
struct Row {
    name: String,
    place: String,
    before: String,
    after: String,
    moved: String,
    /// `up`, `down` or nothing.
    way: &'static str,
}

struct PictureView {
    path: String,
    what: &'static str,
    facts: Vec<String>,
    frames: [Frame; 2],
    /// Both are here, so that they can be laid over each other.
    both: bool,
    /// A number for the two controls that belong together.
    number: usize,
}

/// A side of a picture.
struct Frame {
    word: &'static str,
    /// The picture itself, as an address.
    address: String,
    /// In its place: why it is not here.
    why: String,
}

struct FileView {
    what: &'static str,
    path: String,
    sizes: String,
    phrases: Vec<String>,
    rows: Vec<Row>,
    more: usize,
    more_what: &'static str,
}

impl Comparison {
    /// The page.
    ///
    /// # Errors
    /// When a template fails, which none does that writes to a string.
    pub fn page(&self) -> Result<String, fmt::Error> {
        let heads = [head("before", &self.before), head("after", &self.after)];
        let identical = self.identical.iter().take(MOST_ROWS).map(named).collect::<Vec<_>>();
        let files: Vec<&FileChange> = self.files.iter().filter(|file| !is_drawn(file)).collect();
        let metrics: Vec<_> = self.metrics().filter(|(_, values)| !values.changes.is_empty()).collect();
        let mut left = MOST_IN_ALL;
        let page = Page {
            style: STYLE,
            digest: STANDARD.encode(Sha256::digest(STYLE)),
            project: self.project.to_string(),
            sides: heads,
            counts: self.counts().to_string(),
            metrics_more: metrics.len().saturating_sub(MOST_ROWS),
            metrics: metrics.into_iter().take(MOST_ROWS).map(|metrics| metric(metrics, &mut left)).collect(),
            pictures: self.files.iter().filter(|file| is_drawn(file)).enumerate().filter_map(picture).collect(),
            files: files.iter().take(MOST_ROWS).map(|file| file_view(file, &mut left)).collect(),
            files_more: files.len().saturating_sub(MOST_ROWS),
            identical_more: self.identical.len() - identical.len(),
            identical,
            environment: environment(self),
            tasks: tasks(self),
        };
        page.render().map_err(|_| fmt::Error)
    }
}

fn is_drawn(file: &FileChange) -> bool {
    matches!(&file.content, Content::Picture(_))
}

fn head(word: &'static str, origin: &Origin) -> Head {
    let branch = origin.branch.as_ref().map(|branch| format!("{}, ", shown(branch, LONGEST))).unwrap_or_default();
    let when = origin.ended.strftime("%Y-%m-%d %H:%M UTC");
    let size = format!("{}, {}", count(origin.files as u64, "file"), bytes(origin.bytes));
    let facts = format!("{branch}{} run, {when}, {size}", mode(origin.mode));
    Head { word, commit: origin.commit.short().to_owned(), folder: origin.folder.clone(), facts }
}

fn metric((path, values): (&crate::id::RelPath, &Values), left: &mut usize) -> Metrics {
    let rows = changed(values, left);
    let more = values.changes.len() - rows.len() + values.more;
    Metrics { path: named(path), rows, more, same: values.same }
}

/// The first changes of a document, of as many as the page has room for.
fn changed(values: &Values, left: &mut usize) -> Vec<Row> {
    let rows: Vec<Row> = values.changes.iter().take(MOST_VALUES.min(*left)).map(value).collect();
    *left -= rows.len();
    rows
}

fn way(moved: Option<Move>) -> &'static str {
    match moved.filter(|moved| !moved.is_rounding()).and_then(|moved| moved.delta) {
        Some(delta) if delta > 0.0 => "up",
        Some(delta) if delta < 0.0 => "down",
        _ => "",
    }
}

fn value(change: &ValueChange) -> Row {
    let side = |leaf: &Option<Leaf>| leaf.as_ref().map_or_else(String::new, |leaf| shown(&leaf.to_string(), LONGEST));
    Row {
        name: shown(&change.name, LONGEST),
        place: String::new(),
        before: side(&change.before),
        after: side(&change.after),
        moved: change.moved.map(|moved| moved.to_string()).unwrap_or_default(),
        way: way(change.moved),
    }
}

fn word_of(what: &What) -> &'static str {
    match what {
        What::Added => "added",
        What::Removed => "removed",
        What::Changed => "changed",
        What::Renamed { .. } => "renamed",
    }
}

fn said(file: &FileChange) -> Vec<String> {
    let word = |word: &Word| match word {
        Word::Said(text) => text.clone(),
        Word::Named(text) | Word::Told(text) => shown(text, LONGEST),
    };
    phrases(file).iter().map(|phrase| phrase.iter().map(word).collect()).collect()
}

fn picture((number, file): (usize, &FileChange)) -> Option<PictureView> {
    let Content::Picture(pictures) = &file.content else { return None };
    let frames =
        [frame("before", pictures, pictures.before.as_ref()), frame("after", pictures, pictures.after.as_ref())];
    Some(PictureView {
        path: named(&file.path),
        what: word_of(&file.what),
        facts: std::iter::once(sizes(file)).chain(said(file)).collect(),
        both: frames.iter().all(|frame| !frame.address.is_empty()),
        frames,
        number,
    })
}

fn frame(word: &'static str, pictures: &Pictures, side: Option<&Picture>) -> Frame {
    let bytes = side.and_then(|side| side.bytes.as_ref());
    let media_type = pictures.kind.media_type();
    let address = bytes.map(|bytes| format!("data:{media_type};base64,{}", STANDARD.encode(bytes)));
    let why = match side {
        None => "was not there".to_owned(),
        Some(side) => format!("not shown: {}", side.omitted.as_deref().unwrap_or("not fetched")),
    };
    Frame { word, address: address.unwrap_or_default(), why }
}

fn sizes(file: &FileChange) -> String {
    match (&file.before, &file.after) {
        (Some(old), Some(new)) if old.size != new.size => format!("{} → {}", bytes(old.size), bytes(new.size)),
        (_, Some(side)) | (Some(side), None) => bytes(side.size),
        (None, None) => String::new(),
    }
}

fn file_view(file: &FileChange, left: &mut usize) -> FileView {
    let (rows, more, more_what) = match &file.content {
        Content::Values(values) if !values.metrics => {
            let rows = changed(values, left);
            let more = values.changes.len() - rows.len() + values.more;
            (rows, more, "value")
        }
        Content::Table(table) => {
            let rows = cells(table, left);
            let more = table.cells_changed.saturating_sub(rows.len());
            (rows, more, "cell")
        }
        _ => (Vec::new(), 0, ""),
    };
    FileView {
        what: word_of(&file.what),
        path: named(&file.path),
        sizes: sizes(file),
        phrases: said(file),
        rows,
        more,
        more_what,
    }
}

fn cells(table: &TableChange, left: &mut usize) -> Vec<Row> {
    let key = table.key.as_deref().unwrap_or("row");
    let row = |cell: &super::CellChange| Row {
        name: shown(&cell.column, LONGEST),
        place: format!("{} {}", shown(key, LONGEST), shown(&cell.row, LONGEST)),
        before: shown(&cell.before, LONGEST),
        after: shown(&cell.after, LONGEST),
        moved: cell.moved.map(|moved| moved.to_string()).unwrap_or_default(),
        way: way(cell.moved),
    };
    let rows: Vec<Row> = table.cells.iter().take(*left).map(row).collect();
    *left -= rows.len();
    rows
}

fn environment(comparison: &Comparison) -> Vec<[String; 3]> {
    let side = |side: &Option<String>| side.as_ref().map_or_else(|| "–".to_owned(), |side| shown(side, LONGEST));
    let all = comparison.environment.rest.iter().chain(&comparison.environment.packages).take(MOST_ROWS);
    all.map(|change| [shown(&change.name, LONGEST), side(&change.before), side(&change.after)]).collect()
}

fn tasks(comparison: &Comparison) -> Vec<[String; 4]> {
    let side = |side: &Option<TaskSide>| {
        let Some(side) = side else { return "–".to_owned() };
        let time = side.elapsed_ms.filter(|_| side.outcome == "executed").map(std::time::Duration::from_millis);
        let time = time.map(|time| format!(" in {}", duration(time))).unwrap_or_default();
        format!("{}{time}", shown(&side.outcome, 20))
    };
    let why = |side: &Option<TaskSide>| side.as_ref().map(|side| shown(&side.reason, LONGEST)).unwrap_or_default();
    let tasks = comparison.tasks.iter().take(MOST_ROWS);
    tasks.map(|task| [shown(&task.name, LONGEST), side(&task.before), side(&task.after), why(&task.after)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::RelPath;

    fn document(values: usize) -> Values {
        let change = |number: usize| ValueChange { name: format!("v{number}"), before: None, after: None, moved: None };
        Values { metrics: true, same: 3, changes: (0..values).map(change).collect(), more: 7 }
    }

    #[test]
    fn what_a_page_has_no_room_for_is_counted() {
        let path = RelPath::from_bytes(b"metrics.json").unwrap();
        let mut left = 250;
        let told = |left: &mut usize| {
            let metrics = metric((&path, &document(300)), left);
            (metrics.rows.len(), metrics.more, metrics.same)
        };
        assert_eq!(told(&mut left), (200, 107, 3));
        assert_eq!(told(&mut left), (50, 257, 3));
        assert_eq!(told(&mut left), (0, 307, 3));
    }
}
