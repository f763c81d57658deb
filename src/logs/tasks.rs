//! Reads what Ploomber prints about its tasks: the progress bar, the final table, the failure headings.
//!
//! Display only: nothing is decided by it, and a pipeline that prints the same words of one of its own tasks fools
//! nobody but its own reader. Of what is no task of it, nothing is told.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::mask::MaskedBytes;

/// No line that matters is longer.
const LONGEST: usize = 4096;
/// No pipeline has more tasks. A grid's can have any number in their names, so that names alone are no bound.
const MOST: usize = 10_000;
/// What the progress bar of a task begins with.
const BAR: &[u8] = b"Building task '";
/// A word of the table's heading.
const HEADING: &[u8] = b"Ran?";
/// What stands before a failed task's name.
const FAILURE: &[u8] = b"TaskBuildError: ";

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskOutcome {
    /// It was executed.
    Ran,
    /// Its product was up to date.
    Skipped,
    /// It raised.
    Failed,
}

/// Something that happened to a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskEvent {
    /// It begins.
    Started {
        /// Ploomber's name.
        name: String,
    },
    /// It ended; told once a task.
    Ended {
        /// Ploomber's name.
        name: String,
        /// How.
        outcome: TaskOutcome,
        /// How long it took: Ploomber's figure where there is one, else as seen from outside.
        elapsed: Duration,
    },
}

/// One row of the table that Ploomber prints at its end.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskTime {
    /// Ploomber's name.
    pub name: String,
    /// Whether it was executed.
    pub ran: bool,
    /// Ploomber's figure.
    pub elapsed: Duration,
}

type IsOne = dyn Fn(&str) -> bool + Send + Sync;

/// Which names the tasks of a pipeline can have; any, where nobody knows.
#[derive(Clone, Default)]
pub struct Known(Option<Arc<IsOne>>);

impl Known {
    /// Those that `is_one` is true of.
    pub fn of(is_one: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(is_one)))
    }

    fn has(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|is_one| is_one(name))
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Known(some)" } else { "Known(any)" })
    }
}

/// The tasks of one build.
#[derive(Debug, Default)]
pub struct Tasks {
    known: Known,
    line: Vec<u8>,
    current: Option<(String, Instant)>,
    ended: HashSet<String>,
    /// Where the columns of the table begin, while it is being read.
    columns: Option<[usize; 3]>,
    heading: bool,
    table: Vec<TaskTime>,
}

impl Tasks {
    /// Tells of tasks with these names only.
    pub fn of(known: Known) -> Self {
        Self { known, ..Self::default() }
    }

    /// Whether something may be told of it.
    fn counts(&self, name: &str) -> bool {
        self.ended.len() < MOST && self.known.has(name)
    }

    /// Takes the next bytes, seen at `now`.
    pub fn push(&mut self, bytes: &MaskedBytes, now: Instant, mut event: impl FnMut(TaskEvent)) {
        let all = bytes.as_bytes();
        let ends = memchr::memchr2(b'\n', b'\r', all).zip(memchr::memrchr2(b'\n', b'\r', all));
        match ends {
            // Nearly all of a log says nothing about tasks. Only its first line, which may have begun in an earlier
            // piece, and its last one, which may end in a later one, are looked at then.
            Some((first, last)) if !may_tell(all) => {
                self.lines(&all[..=first], now, &mut event);
                let from = if self.in_table() { first } else { last };
                self.lines(&all[from + 1..], now, &mut event);
            }
            _ => self.lines(all, now, &mut event),
        }
    }

    fn lines(&mut self, mut rest: &[u8], now: Instant, event: &mut impl FnMut(TaskEvent)) {
        let failure = memchr::memmem::find(rest, FAILURE).is_some();
        while !rest.is_empty() {
            let end = memchr::memchr2(b'\n', b'\r', rest);
            let text = &rest[..end.unwrap_or(rest.len())];
            rest = &rest[end.map_or(rest.len(), |end| end + 1)..];
            if self.line.is_empty() && end.is_some() {
                if failure || self.in_table() || may_matter(text) {
                    self.whole(&text[..text.len().min(LONGEST)], now, event);
                }
                continue;
            }
            let room = LONGEST.saturating_sub(self.line.len());
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if end.is_some() {
                let mut line = std::mem::take(&mut self.line);
                self.whole(&line, now, event);
                line.clear();
                self.line = line;
            } else if let Some(name) = building(&self.line) {
                // A bar has no newline until it is done: its task is known as soon as its name is closed.
                self.start(name, now, event);
            }
        }
    }

    /// Whether the next line is one of the table, whatever it says.
    fn in_table(&self) -> bool {
        self.heading || self.columns.is_some()
    }

    fn whole(&mut self, line: &[u8], now: Instant, event: &mut impl FnMut(TaskEvent)) {
        if let Some(name) = building(line) {
            self.start(name, now, event);
        }
        self.line(&String::from_utf8_lossy(line), now, event);
    }

    /// The table that ended the build; empty where there was none.
    pub fn table(&self) -> &[TaskTime] {
        &self.table
    }

    fn start(&mut self, name: String, now: Instant, event: &mut impl FnMut(TaskEvent)) {
        let is_current = self.current.as_ref().is_some_and(|(current, _)| *current == name);
        if is_current || !self.counts(&name) || self.ended.contains(&name) {
            return;
        }
        if let Some((before, since)) = self.current.take() {
            self.end(before, TaskOutcome::Ran, now.duration_since(since), event);
        }
        event(TaskEvent::Started { name: name.clone() });
        self.current = Some((name, now));
    }

    fn end(&mut self, name: String, outcome: TaskOutcome, elapsed: Duration, event: &mut impl FnMut(TaskEvent)) {
        if !self.counts(&name) || self.ended.contains(&name) {
            return;
        }
        if self.current.as_ref().is_some_and(|(current, _)| *current == name) {
            self.current = None;
        }
        self.ended.insert(name.clone());
        event(TaskEvent::Ended { name, outcome, elapsed });
    }

    fn line(&mut self, line: &str, now: Instant, event: &mut impl FnMut(TaskEvent)) {
        if let Some(name) = failed_task(line) {
            let since = self.current.as_ref().filter(|(current, _)| current == name).map_or(now, |(_, since)| *since);
            self.end(name.to_owned(), TaskOutcome::Failed, now.duration_since(since), event);
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        if words == ["name", "Ran?", "Elapsed", "(s)", "Percentage"] {
            self.heading = true;
            self.table.clear();
        } else if std::mem::take(&mut self.heading) {
            self.columns = columns(line);
        } else if let Some(columns) = self.columns {
            self.row(line, columns, event);
        }
    }

    fn row(&mut self, line: &str, [ran, elapsed, percentage]: [usize; 3], event: &mut impl FnMut(TaskEvent)) {
        let chars: Vec<char> = line.chars().collect();
        let cell = |from: usize, to: usize| {
            chars.get(from..to.min(chars.len())).unwrap_or_default().iter().collect::<String>().trim().to_owned()
        };
        let name = cell(0, ran);
        let seconds = cell(elapsed, percentage).parse::<f64>().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
        match (cell(ran, elapsed).as_str(), seconds) {
            (state @ ("True" | "False"), Some(elapsed)) if !name.is_empty() => {
                if self.table.len() >= MOST || !self.known.has(&name) {
                    return;
                }
                let outcome = if state == "True" { TaskOutcome::Ran } else { TaskOutcome::Skipped };
                self.table.push(TaskTime { name: name.clone(), ran: state == "True", elapsed });
                self.end(name, outcome, elapsed, event);
            }
            _ => self.columns = None,
        }
    }
}

/// Whether some line of a piece can be about a task, or begin the table.
fn may_tell(piece: &[u8]) -> bool {
    [BAR, FAILURE, HEADING].iter().any(|words| memchr::memmem::find(piece, words).is_some())
}

/// Whether a line can be about a task, but for its failure; most are not, and nothing has to be made of those.
fn may_matter(line: &[u8]) -> bool {
    line.starts_with(BAR) || line.trim_ascii_start().starts_with(b"name")
}

/// `Building task 'load':  33%|…`
fn building(line: &[u8]) -> Option<String> {
    let rest = line.strip_prefix(BAR)?;
    let end = memchr::memmem::find(rest, b"':")?;
    std::str::from_utf8(&rest[..end]).ok().map(str::to_owned)
}

/// The task that a line of Ploomber's failure report names.
pub(super) fn failed_task(line: &str) -> Option<&str> {
    let rest = line.split_once("TaskBuildError: ")?.1;
    let rest = ["Error building task ", "Error when executing task ", "Exception when running on_finish for task "]
        .iter()
        .find_map(|start| rest.strip_prefix(start))?;
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    rest[1..].split_once(quote).map(|(name, _)| name)
}

/// Where the second to fourth column begin: under dashes.
fn columns(dashes: &str) -> Option<[usize; 3]> {
    if dashes.is_empty() || !dashes.chars().all(|c| matches!(c, '-' | ' ')) {
        return None;
    }
    let starts = dashes.char_indices().filter(|(at, c)| *c == '-' && *at > 0 && dashes.as_bytes()[at - 1] == b' ');
    let starts: Vec<usize> = starts.map(|(at, _)| at).collect();
    starts.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::mask::Masker;

    fn events(text: &str, chunk: usize) -> (Vec<String>, Tasks) {
        events_of(Known::default(), text, chunk)
    }

    fn events_of(known: Known, text: &str, chunk: usize) -> (Vec<String>, Tasks) {
        let mut tasks = Tasks::of(known);
        let mut out = Vec::new();
        for bytes in text.as_bytes().chunks(chunk) {
            let bytes = Masker::none().stream().push(bytes);
            tasks.push(&bytes, Instant::now(), |event| {
                out.push(match event {
                    TaskEvent::Started { name } => format!("start {name}"),
                    TaskEvent::Ended { name, outcome, .. } => format!("{outcome:?} {name}"),
                });
            });
        }
        (out, tasks)
    }

    fn fixture(name: &str) -> String {
        fs_err::read_to_string(format!("{}/tests/fixtures/ploomber-output/{name}.txt", env!("CARGO_MANIFEST_DIR")))
            .unwrap()
    }

    #[test]
    fn a_build_tells_its_tasks_in_order_wherever_the_output_is_cut() {
        let text = fixture("success");
        let (expected, tasks) = events(&text, usize::MAX);
        assert_eq!(expected, ["start load", "Ran load", "start nb", "Ran nb", "start fit", "Ran fit"]);
        assert_eq!(tasks.table().len(), 3);
        assert_eq!(tasks.table()[1].elapsed, Duration::from_secs_f64(0.842_863));
        for chunk in [1, 2, 3, 7, 50] {
            assert_eq!(events(&text, chunk).0, expected);
        }
    }

    #[test]
    fn a_log_around_a_build_changes_nothing_wherever_it_is_cut() {
        let noise = "epoch 1/100 loss=0.5\nname of a file\r10%\rdone\n".repeat(20);
        let text = format!("{noise}{}{noise}", fixture("success"));
        for chunk in [3, 64, 257, 1000, usize::MAX] {
            let (seen, tasks) = events(&text, chunk);
            assert_eq!(seen, ["start load", "Ran load", "start nb", "Ran nb", "start fit", "Ran fit"], "{chunk}");
            assert_eq!(tasks.table().len(), 3);
        }
    }

    #[test]
    fn tasks_that_were_up_to_date_are_skipped() {
        assert_eq!(events(&fixture("up-to-date"), 20).0, ["Skipped load", "Skipped nb", "Skipped fit"]);
    }

    #[test]
    fn the_parallel_executor_tells_its_tasks_at_the_end() {
        assert_eq!(events(&fixture("parallel"), 20).0, ["Ran load", "Ran nb", "Ran fit"]);
    }

    #[test]
    fn a_task_that_raised_has_failed() {
        assert_eq!(events(&fixture("exception"), 20).0, ["start load", "Failed load"]);
        assert_eq!(events(&fixture("notebook"), 20).0, ["start load", "Ran load", "start nb", "Failed nb"]);
        assert_eq!(events(&fixture("missing-product"), 20).0, ["start load", "Failed load"]);
    }

    #[test]
    fn what_is_printed_of_a_task_that_the_pipeline_does_not_have_is_text() {
        let known = || Known::of(|name| ["load", "nb", "fit"].contains(&name));
        let forged = "Building task 'forged':   0%|\rDAGBuildError: TaskBuildError: Error building task \"forged\"\n";
        let bar = "Building task 'nb'";
        let text = format!("{forged}{}", fixture("success").replace(bar, &format!("{forged}{bar}")));
        for chunk in [1, 50, usize::MAX] {
            let (seen, tasks) = events_of(known(), &text, chunk);
            assert_eq!(seen, ["start load", "Ran load", "start nb", "Ran nb", "start fit", "Ran fit"], "{chunk}");
            assert_eq!(tasks.table().len(), 3);
        }
        assert!(events(&text, usize::MAX).0.contains(&"start forged".to_owned()), "where nobody knows, all are told");
    }

    #[test]
    fn a_pipeline_that_prints_task_after_task_makes_no_event_of_each() {
        let bars = (0..MOST + 500).map(|number| format!("Building task 'fit-{number}':   0%|\n"));
        let (seen, tasks) = events(&bars.collect::<Vec<_>>().concat(), usize::MAX);
        assert!(seen.len() <= 2 * MOST + 1 && tasks.ended.len() <= MOST, "{} events", seen.len());
    }
}
