//! `soopervisor diff`: what changed from one commit's outputs to another's, for a terminal, for programs, and as a page.
//!
//! The person who asks reads their own storage, so that values and cells are shown; all of it is the pipeline's, so that
//! nothing of it reaches the terminal but as visible characters.

use std::fmt::Write as _;

use super::args;
use super::console::Console;
use super::exit::Exit;
use super::failure::Failure;
use super::seam;
use crate::compare::{
    CellChange, Comparison, Content, FileChange, Leaf, Origin, TableChange, TaskChange, TaskSide, ValueChange, Values,
    What, Word, mode, named, phrases, shown,
};
use crate::report::{Style, Verbosity, bytes, duration};

/// Cells and values that are shown of a file without `-v`.
const FEW: usize = 5;
/// Characters of one value or name.
const LONGEST: usize = 100;
/// Widest column of names; longer ones push what follows.
const WIDEST: usize = 48;

pub(super) fn execute(args: &args::Diff, console: Console) -> Result<Exit, Failure> {
    let comparison = seam::compare(args)?;
    match args.format {
        args::DiffFormat::Text => Console::answer(&Text::new(console.stdout()).draw(&comparison)),
        args::DiffFormat::Json => {
            let document = serde_json::to_string(&comparison).map_err(|error| Failure::of(Exit::Internal, &error))?;
            Console::answer(&(document + "\n"));
        }
    }
    if let Some(file) = &args.html {
        let page = comparison.page().map_err(|error| Failure::of(Exit::Internal, &error))?;
        fs_err::write(file, page).map_err(|error| Failure::of(Exit::Usage, &error))?;
        Console::note(&format!("page: {}\n", file.display()));
    }
    let damaged = comparison.damaged().map(|file| named(&file.path));
    let failure = damaged.fold(Failure::new(Exit::StorageFailed, "files in the storage are damaged"), Failure::why);
    if !failure.why.is_empty() {
        return Err(failure.help("soopervisor verify COMMIT says everything that is damaged"));
    }
    Ok(if args.exit_code && !comparison.is_same() { Exit::Differs } else { Exit::Ok })
}

/// Lines for people.
struct Text {
    style: Style,
    out: String,
}

impl Text {
    fn new(style: Style) -> Self {
        Self { style, out: String::new() }
    }

    fn draw(mut self, comparison: &Comparison) -> String {
        if self.style.verbosity > Verbosity::Quiet {
            self.origins(comparison);
            self.metrics(comparison);
        }
        self.files(comparison);
        if self.style.verbosity > Verbosity::Quiet {
            self.environment(comparison);
            self.tasks(comparison);
        }
        if self.style.unicode { self.out } else { plain(&self.out) }
    }

    fn verbose(&self) -> bool {
        self.style.verbosity == Verbosity::Verbose
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.style.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    fn title(&mut self, title: &str, rest: &str) {
        let title = self.paint("1", title);
        let apart = if self.out.is_empty() { "" } else { "\n" };
        self.line(&format!("{apart}{title}{rest}"));
    }

    fn origins(&mut self, comparison: &Comparison) {
        let sides = [("before", &comparison.before), ("after", &comparison.after)];
        let row = |(word, origin): (&str, &Origin)| {
            let branch = shown(origin.branch.as_deref().unwrap_or("-"), LONGEST);
            let when = origin.ended.strftime("%Y-%m-%d %H:%M").to_string();
            let size = format!("{}, {}", crate::run::figures::count(origin.files as u64, "file"), bytes(origin.bytes));
            [word.to_owned(), short(&origin.folder), branch, mode(origin.mode).to_owned(), when, size]
        };
        for line in aligned(&sides.map(row)) {
            self.line(&line);
        }
    }

    /// Numbers of documents of metrics, first of all: they are what most people look for.
    fn metrics(&mut self, comparison: &Comparison) {
        let all: Vec<_> = comparison.metrics().filter(|(_, values)| !values.changes.is_empty()).collect();
        if all.is_empty() {
            return;
        }
        self.title("metrics", "");
        for (path, values) in all {
            self.line(&format!("  {}", named(path)));
            self.values(values, usize::MAX);
        }
    }

    fn values(&mut self, values: &Values, most: usize) {
        let most = if self.verbose() { usize::MAX } else { most };
        let side =
            |leaf: &Option<Leaf>| leaf.as_ref().map_or_else(|| "-".to_owned(), |l| shown(&l.to_string(), LONGEST));
        let row = |change: &ValueChange| {
            let moved = change.moved.map(|moved| moved.to_string()).unwrap_or_default();
            let both = format!("{} → {}", side(&change.before), side(&change.after));
            [format!("    {}", shown(&change.name, LONGEST)), both, moved]
        };
        let rows: Vec<_> = values.changes.iter().take(most).map(row).collect();
        for line in aligned(&rows) {
            self.line(&line);
        }
        self.more(values.changes.len().saturating_sub(most) + values.more, "value");
        if values.same > 0 {
            let same = self.paint("2", &format!("    {} unchanged", values.same));
            self.line(&same);
        }
    }

    fn more(&mut self, count: usize, what: &str) {
        if count > 0 {
            let count = crate::run::figures::count(count as u64, what);
            let hint = if self.verbose() { "" } else { ", with -v" };
            let line = self.paint("2", &format!("    and {count} more{hint}"));
            self.line(&line);
        }
    }

    fn files(&mut self, comparison: &Comparison) {
        let counts = comparison.counts();
        self.title("outputs", &format!("  {counts}"));
        let (notes, files): (Vec<_>, Vec<_>) = comparison.files.iter().partition(|file| file.metadata);
        let files: Vec<&FileChange> = if self.verbose() { comparison.files.iter().collect() } else { files };
        let rows: Vec<_> =
            files.iter().map(|file| [sign(&file.what).to_owned(), named(&file.path), sizes(file)]).collect();
        for (file, line) in files.iter().zip(aligned(&rows)) {
            self.file(file, &line);
        }
        if !notes.is_empty() && !self.verbose() {
            let count = crate::run::figures::count(notes.len() as u64, "note");
            let line = self.paint("2", &format!("  and {count} of Ploomber's about them, with -v"));
            self.line(&line);
        }
        if self.verbose() {
            for path in &comparison.identical {
                let line = self.paint("2", &format!("  = {}", named(path)));
                self.line(&line);
            }
        }
    }

    fn file(&mut self, file: &FileChange, line: &str) {
        let code = match file.what {
            What::Added => "32",
            What::Removed => "31",
            What::Changed => "33",
            What::Renamed { .. } => "36",
        };
        let line = self.paint(code, line.trim_end());
        self.line(&format!("  {line}"));
        if self.style.verbosity == Verbosity::Quiet {
            return;
        }
        for phrase in phrases(file) {
            let text: String = phrase.iter().map(word).collect();
            self.line(&format!("      {text}"));
        }
        match &file.content {
            Content::Values(values) if !values.metrics => self.values(values, FEW),
            Content::Table(table) => self.table(table),
            _ => {}
        }
    }

    fn table(&mut self, table: &TableChange) {
        let most = if self.verbose() { usize::MAX } else { FEW };
        let key = table.key.as_deref().unwrap_or("row");
        for (keys, count, sign) in
            [(&table.added_keys, table.rows_added, "+"), (&table.removed_keys, table.rows_removed, "-")]
        {
            if !keys.is_empty() {
                let some: Vec<String> = keys.iter().take(most).map(|key| shown(key, LONGEST)).collect();
                let rest = if count > some.len() { ", …" } else { "" };
                self.line(&format!("    {sign} {} {}{rest}", shown(key, LONGEST), some.join(", ")));
            }
        }
        let row = |cell: &CellChange| {
            let moved = cell.moved.map(|moved| moved.to_string()).unwrap_or_default();
            let both = format!("{} → {}", shown(&cell.before, LONGEST), shown(&cell.after, LONGEST));
            let at = format!("    {} {}", shown(key, LONGEST), shown(&cell.row, LONGEST));
            [at, shown(&cell.column, LONGEST), both, moved]
        };
        let rows: Vec<_> = table.cells.iter().take(most).map(row).collect();
        for line in aligned(&rows) {
            self.line(&line);
        }
        self.more(table.cells_changed.saturating_sub(rows.len()), "cell");
    }

    fn environment(&mut self, comparison: &Comparison) {
        let environment = &comparison.environment;
        if environment.is_same() {
            return;
        }
        self.title("environment", "");
        let side = |side: &Option<String>| side.as_ref().map_or_else(|| "-".to_owned(), |side| shown(side, LONGEST));
        let all = environment.rest.iter().chain(&environment.packages);
        let rows: Vec<_> = all
            .map(|change| {
                [
                    format!("  {}", shown(&change.name, LONGEST)),
                    format!("{} → {}", side(&change.before), side(&change.after)),
                ]
            })
            .collect();
        for line in aligned(&rows) {
            self.line(&line);
        }
    }

    fn tasks(&mut self, comparison: &Comparison) {
        let tasks: Vec<&TaskChange> = comparison.tasks.iter().filter(|task| self.verbose() || is_worth(task)).collect();
        if tasks.is_empty() {
            return;
        }
        self.title("tasks", "");
        let rows: Vec<_> = tasks.iter().map(|task| task_row(task)).collect();
        for line in aligned(&rows) {
            self.line(&line);
        }
    }
}

/// A task that came, went, took much longer or shorter, or was executed on one side only.
fn is_worth(task: &TaskChange) -> bool {
    let (Some(before), Some(after)) = (&task.before, &task.after) else { return true };
    let slow = |a: u64, b: u64| a.abs_diff(b) >= 1000 && a.abs_diff(b) * 5 >= a.max(b);
    let times = before.elapsed_ms.zip(after.elapsed_ms);
    before.outcome != after.outcome || (after.outcome == "executed" && times.is_some_and(|(a, b)| slow(a, b)))
}

fn task_row(task: &TaskChange) -> [String; 3] {
    let time = |side: &TaskSide| {
        let time = side.elapsed_ms.filter(|_| side.outcome == "executed").map(std::time::Duration::from_millis);
        time.map(|time| format!(" in {}", duration(time))).unwrap_or_default()
    };
    let side = |side: &Option<TaskSide>| {
        side.as_ref().map_or_else(|| "-".to_owned(), |side| format!("{}{}", shown(&side.outcome, 20), time(side)))
    };
    let why = task.after.as_ref().map(|after| shown(&after.reason, LONGEST)).unwrap_or_default();
    [format!("  {}", shown(&task.name, LONGEST)), format!("{} → {}", side(&task.before), side(&task.after)), why]
}

fn sign(what: &What) -> &'static str {
    match what {
        What::Added => "+",
        What::Removed => "-",
        What::Changed => "~",
        What::Renamed { .. } => ">",
    }
}

fn sizes(file: &FileChange) -> String {
    match (&file.before, &file.after) {
        (Some(old), Some(new)) if old.size != new.size => format!("{} → {}", bytes(old.size), bytes(new.size)),
        (_, Some(side)) | (Some(side), None) => bytes(side.size),
        (None, None) => String::new(),
    }
}

fn word(word: &Word) -> String {
    match word {
        Word::Said(text) => text.clone(),
        Word::Named(text) | Word::Told(text) => shown(text, LONGEST),
    }
}

/// A folder's name with a commit of ten digits.
fn short(folder: &str) -> String {
    let digits = folder.bytes().take_while(u8::is_ascii_hexdigit).count();
    format!("{}{}", &folder[..digits.min(10)], &folder[digits..])
}

/// Cells below each other, two blanks between them.
fn aligned<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count().min(WIDEST)).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths).filter(|(_, width)| **width > 0) {
            // Writing to a string does not fail.
            let _ = write!(line, "{cell:<width$}  ");
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Without the characters that an old terminal has not.
fn plain(text: &str) -> String {
    text.replace('→', "->").replace('×', "x").replace('…', "...")
}
