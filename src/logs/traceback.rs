//! The user's own place in what a failed step printed: file, line, function, and what was raised there.
//!
//! A failed build ends with Ploomber's report: a heading for each task, a traceback through Ploomber, papermill and
//! Jupyter, and a trailer. Here the user's own part of it is taken out, for the failure card: of masked lines only, and
//! never more than a card can show. What is not understood is left to the last lines.

mod blocks;

use blocks::{Block, digits, is_temporary};

use super::diagnose::SHELL_EXIT;

/// How many of the last lines are looked at.
const LOOKED_AT: usize = 1000;
/// How many lines are shown.
const SHOWN: usize = 20;
/// How many lines may stand behind a traceback that is still what the output ended with.
const BEHIND: usize = 20;
/// No place is longer, in characters.
const LONGEST: usize = 300;
/// How many other tasks that failed are named.
const OTHERS: usize = 5;

/// Where something failed, as far as the lines say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The task that failed, where Ploomber's report names one; the first of more.
    pub task: Option<String>,
    /// The user's own place and what was raised: `tasks.py:6 in clean: KeyError: 'age'`.
    pub place: Option<String>,
    /// The user's own calls with their source, oldest first; of a shell script what it printed.
    pub lines: Vec<String>,
    /// All that the report says of the task; a shell script has its own name in it. Empty where there is no report.
    pub said: Vec<String>,
}

/// Reads the last lines of a failed run, oldest first; `None` where they hold neither Ploomber's report nor, at their
/// end, a traceback through code of the user's.
pub fn trace(lines: &[String]) -> Option<Trace> {
    let from = lines.len().saturating_sub(LOOKED_AT);
    let lines: Vec<&str> = lines[from..].iter().map(|line| line.trim_end()).collect();
    match sections(&lines).split_first() {
        Some((first, others)) => Some(of_task(first, others)),
        None => of_program(&lines),
    }
}

/// What the report says of one task.
struct Section<'a> {
    /// Ploomber's class: `PythonCallable`.
    class: &'a str,
    task: &'a str,
    /// Where the task's source is, as the repository has it: `tasks.py:3`, `sql/monthly.sql`.
    location: Option<&'a str>,
    /// The same without a line.
    file: Option<&'a str>,
    body: &'a [&'a str],
}

/// The sections of the last report; none where there is no report that is whole.
fn sections<'a>(lines: &'a [&'a str]) -> Vec<Section<'a>> {
    let is_summary = |line: &&str| title(line, '=').is_some_and(|title| title.starts_with("Summary ("));
    let Some(end) = lines.iter().rposition(is_summary) else { return Vec::new() };
    let is_begin = |line: &&str| matches!(title(line, '='), Some("DAG build failed" | "DAG render failed"));
    let begin = lines[..end].iter().rposition(is_begin).map_or(0, |at| at + 1);
    let report = &lines[begin..end];
    let heads: Vec<usize> = (0..report.len()).filter(|at| heading(report[*at]).is_some()).collect();
    let ends = heads.iter().skip(1).copied().chain([report.len()]);
    heads.iter().zip(ends).filter_map(|(head, end)| section(&report[*head..end])).collect()
}

fn section<'a>(lines: &'a [&'a str]) -> Option<Section<'a>> {
    let (class, task) = heading(lines.first()?)?;
    let below = lines.get(1).and_then(|line| title(line, '-')).filter(|title| title.starts_with('/'));
    let location = below.map(|path| path.strip_prefix(blocks::WORK).unwrap_or(path));
    let file = location.map(|location| match location.rsplit_once(':') {
        Some((file, line)) if digits(line) == Some(line) => file,
        _ => location,
    });
    let body = &lines[1 + usize::from(below.is_some())..];
    Some(Section { class, task, location, file, body })
}

/// The title of a line such as `==== title ====`.
fn title(line: &str, fill: char) -> Option<&str> {
    let inner = line.strip_prefix(fill)?.trim_start_matches(fill).strip_prefix(' ')?;
    inner.strip_suffix(fill)?.trim_end_matches(fill).strip_suffix(' ')
}

/// The class and the name of `---- PythonCallable: load -> File('out/data.csv') ----`.
fn heading(line: &str) -> Option<(&str, &str)> {
    let (class, rest) = title(line, '-')?.split_once(": ")?;
    let (task, _) = rest.split_once(" -> ")?;
    let is_class = class.starts_with(char::is_uppercase) && class.chars().all(char::is_alphanumeric);
    is_class.then_some((class, task))
}

fn of_task(section: &Section<'_>, others: &[Section<'_>]) -> Trace {
    let said: Vec<String> = section.body.iter().map(|line| section.named(line)).collect();
    let mut tracebacks = blocks::notebook(section.body, section.file.unwrap_or(section.task));
    if tracebacks.is_empty() {
        // Ploomber runs a script as a temporary file, too.
        let script = section.file.filter(|_| section.class == "ScriptRunner");
        tracebacks = blocks::python(section.body, script, false);
    }
    let found = own(&tracebacks).or_else(|| section.shell(&said)).or_else(|| section.untraced(&tracebacks));
    let (place, mut lines) = match found {
        Some((place, lines)) => (Some(clipped(&place)), lines),
        None => (None, last(said.iter().filter(|line| !line.trim().is_empty()).cloned().collect())),
    };
    lines.extend(section.notebook());
    lines.extend(also_failed(others));
    Trace { task: Some(section.task.to_owned()), place, lines, said }
}

/// A program that failed by itself: nothing of it follows its traceback but a few words.
fn of_program(lines: &[&str]) -> Option<Trace> {
    let tracebacks = blocks::python(lines, None, true);
    let ended = tracebacks.last()?.end;
    let (place, excerpt) = own(&tracebacks).filter(|_| lines.len() - ended <= BEHIND)?;
    Some(Trace { task: None, place: Some(clipped(&place)), lines: excerpt, said: Vec::new() })
}

/// The innermost call of the user's: of the last of all tracebacks that has one, which is what was raised in the end.
fn own(blocks: &[Block<'_>]) -> Option<(String, Vec<String>)> {
    let block = blocks.iter().rev().find(|block| block.frames.iter().any(|frame| frame.own))?;
    let frame = block.frames.iter().rev().find(|frame| frame.own)?;
    let raised = block.error.first().copied().unwrap_or("an exception");
    let place = format!("{}: {raised}", frame.at());
    let lines = excerpt(block, place.chars().count() <= LONGEST);
    Some((place, lines))
}

/// The user's own calls of a traceback, and what it says at its end; nothing of what the place says, where that is whole.
fn excerpt(block: &Block<'_>, is_whole: bool) -> Vec<String> {
    let only = block.frames.iter().filter(|frame| frame.own).count() == 1;
    let mut lines = Vec::new();
    let mut foreign = None;
    let mut inside = false;
    for frame in &block.frames {
        if frame.own {
            inside = true;
            lines.extend(foreign.take().map(left_out));
            lines.extend((!only).then(|| frame.at()));
            lines.extend(frame.source.iter().map(|line| format!("    {line}")));
        } else if inside {
            let (package, calls) = foreign.unwrap_or((frame.package, 0));
            foreign = Some((package, calls + 1));
        }
    }
    lines.extend(foreign.map(left_out));
    let room = SHOWN.saturating_sub(block.error.len());
    if lines.len() > room {
        lines.drain(..=lines.len() - room);
        lines.insert(0, "(earlier calls are left out)".to_owned());
    }
    lines.extend(block.error.iter().skip(usize::from(is_whole)).map(|line| (*line).to_owned()));
    lines
}

fn left_out((package, calls): (&str, usize)) -> String {
    let calls = if calls == 1 { "1 call".to_owned() } else { format!("{calls} calls") };
    format!("({calls} inside {package} left out)")
}

/// Other tasks that failed in the same build.
fn also_failed(others: &[Section<'_>]) -> Option<String> {
    let names: Vec<&str> = others.iter().take(OTHERS).map(|section| section.task).collect();
    let more = others.len().saturating_sub(OTHERS);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!names.is_empty()).then(|| format!("also failed: {}{more}", names.join(", ")))
}

impl Section<'_> {
    /// A line in which a shell script has its own name, and not that of the temporary file which Ploomber made of it.
    fn named(&self, line: &str) -> String {
        let Some(file) = self.file.filter(|_| self.class == "ShellScript") else { return line.to_owned() };
        let (mut named, mut rest) = (String::new(), line);
        while let Some(at) = rest.find(blocks::TEMPORARY) {
            let end = at + blocks::TEMPORARY.len();
            let after = match rest.get(at..end + blocks::TEMPORARY_REST) {
                Some(path) if is_temporary(path) => &rest[at + path.len()..],
                _ => "",
            };
            // As bash and other shells say it; a script's own temporary files are called so as well.
            let said = after.strip_prefix(": ");
            if said.is_some_and(|said| said.starts_with("line ") || digits(said).is_some()) {
                named.push_str(&rest[..at]);
                named.push_str(file);
                rest = after;
            } else {
                named.push_str(&rest[..end]);
                rest = &rest[end..];
            }
        }
        named + rest
    }

    /// The line that a shell script ended in, where the shell names one, and what the script printed.
    fn shell(&self, said: &[String]) -> Option<(String, Vec<String>)> {
        let file = self.file.filter(|_| self.class == "ShellScript")?;
        let raised = said.iter().position(|line| line.ends_with("RuntimeError: Error executing code."))?;
        let said = &said[raised + 1..];
        let end = said.iter().rposition(|line| line.starts_with(EXIT_STATUS))?;
        let code = said[end].trim_start_matches(EXIT_STATUS);
        let printed = said[..end].iter().map(|line| unframed(line)).filter(|line| !line.trim().is_empty());
        let printed: Vec<String> = printed.map(str::to_owned).collect();
        // What a shell says last is what the script ended with; a word of it before others' may be only a warning.
        let by_shell = |line: &String| {
            let rest = line.strip_prefix(file)?.strip_prefix(": line ")?;
            let row = digits(rest)?;
            Some(format!("{file}:{row}{}", &rest[row.len()..]))
        };
        let place = printed.last().and_then(by_shell).unwrap_or_else(|| format!("{file}: {SHELL_EXIT}{code}"));
        Some((place, last(printed)))
    }

    /// Where no call is the user's: the task's own file, and what was raised first. SQL fails so, and a dead kernel.
    fn untraced(&self, blocks: &[Block<'_>]) -> Option<(String, Vec<String>)> {
        let location = self.location?;
        let is_ploombers =
            |block: &&Block<'_>| block.error.first().is_none_or(|raised| raised.starts_with("ploomber.exceptions."));
        let block = blocks.iter().find(|block| !is_ploombers(block)).or_else(|| blocks.first())?;
        let raised = *block.error.first()?;
        // Ploomber's class and the task's name in front tell a user nothing that the card does not say.
        let ploombers = raised.split_once("TaskBuildError: Error building task ");
        let raised = ploombers.and_then(|(_, rest)| rest.split_once(": ")).map_or(raised, |(_, rest)| rest);
        let lines = block.error.iter().skip(1).map(|line| (*line).to_owned()).collect();
        Some((format!("{location}: {raised}"), lines))
    }

    /// The notebook up to where it failed, which is kept with the run's other files.
    fn notebook(&self) -> Option<String> {
        let line = self.body.iter().find_map(|line| line.split_once("Partially executed notebook available at "));
        let (_, path) = line?;
        Some(format!("the notebook as far as it got: {}", path.strip_prefix(blocks::WORK).unwrap_or(path)))
    }
}

/// How Ploomber closes what a shell script printed.
const EXIT_STATUS: &str = "exit status ";

/// A line of a shell script without what Ploomber puts in front of the first ones.
fn unframed(line: &str) -> &str {
    match line.strip_prefix("Returned stdout:").or_else(|| line.strip_prefix("stderr:")) {
        Some(rest) => rest.strip_prefix(' ').unwrap_or(rest),
        None => line,
    }
}

/// The last of these lines, as many as are shown.
fn last(mut lines: Vec<String>) -> Vec<String> {
    lines.drain(..lines.len().saturating_sub(SHOWN));
    lines
}

fn clipped(place: &str) -> String {
    match place.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &place[..end]),
        None => place.to_owned(),
    }
}

#[cfg(test)]
mod tests;
