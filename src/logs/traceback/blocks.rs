//! Tracebacks as Python and IPython print them: calls, the source of each, and what was raised.

use crate::logs::diagnose::exception;

/// Where the repository is in a run's container.
pub(super) const WORK: &str = "/workspace/";
/// Where the project itself is installed in a run, with HOME as Python and as IPython write it.
const INSTALLED: [&str; 2] = ["/home/runner/.soopervisor/user/", "~/.soopervisor/user/"];
/// What the temporary files of Python begin with, and how many characters follow.
pub(super) const TEMPORARY: &str = "/tmp/tmp";
pub(super) const TEMPORARY_REST: usize = 8;

/// How many lines of what was raised are kept.
const ERROR_LINES: usize = 8;
/// How many lines of source a call is shown with.
const SOURCE_LINES: usize = 6;

/// One call.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    /// The file, as the repository has it where it is the user's.
    file: &'a str,
    /// The number of a notebook's cell: the line is one of that cell.
    cell: Option<&'a str>,
    line: Option<&'a str>,
    function: Option<&'a str>,
    /// Whether it is a call of the user's code.
    pub(super) own: bool,
    /// Whose code it is otherwise.
    pub(super) package: &'a str,
    /// The lines that are shown of it.
    pub(super) source: Vec<&'a str>,
}

/// One traceback.
#[derive(Debug, Default)]
pub(super) struct Block<'a> {
    /// Calls, the outermost first.
    pub(super) frames: Vec<Frame<'a>>,
    /// What was raised: its class, its message, and what more it says; no blank lines.
    pub(super) error: Vec<&'a str>,
    /// Where its lines end.
    pub(super) end: usize,
}

impl<'a> Frame<'a> {
    /// A call in a file; `script` is what a temporary file was made of.
    fn of_file(path: &'a str, line: Option<&'a str>, function: Option<&'a str>, script: Option<&'a str>) -> Self {
        let (own, line) = match (own(path), script) {
            (Some(own), _) => (Some(own), line),
            // Its lines are not the user's: Ploomber glued cells together.
            (None, Some(script)) if is_temporary(path) => (Some(script), None),
            _ => (None, line),
        };
        Self {
            file: own.unwrap_or(path),
            cell: None,
            line,
            function,
            own: own.is_some(),
            package: package(path),
            source: Vec::new(),
        }
    }

    /// A call in a cell of a notebook.
    fn of_cell(file: &'a str, cell: &'a str, line: Option<&'a str>, function: Option<&'a str>) -> Self {
        Self { file, cell: Some(cell), line, function, own: true, package: "", source: Vec::new() }
    }

    /// `tasks.py:6 in clean`, `nb.py, cell [4], line 2`.
    pub(super) fn at(&self) -> String {
        let mut at = self.file.to_owned();
        if let Some(cell) = self.cell.filter(|cell| !cell.is_empty()) {
            at.extend([", cell [", cell, "]"]);
        }
        if let Some(line) = self.line {
            at.extend([if self.cell.is_some() { ", line " } else { ":" }, line]);
        }
        if let Some(function) = self.function {
            at.extend([" in ", function]);
        }
        at
    }
}

/// A file of the user's, as the repository has it.
fn own(path: &str) -> Option<&str> {
    if INSTALLED.iter().any(|folder| path.starts_with(folder)) {
        return path.split_once("/site-packages/").map(|(_, file)| file);
    }
    path.strip_prefix(WORK).filter(|path| !path.contains("site-packages/"))
}

/// The package that a file belongs to.
fn package(path: &str) -> &str {
    let inside = match path.rsplit_once("/site-packages/") {
        Some((_, inside)) => inside,
        None if path.starts_with(['/', '~', '<']) => return "Python",
        // Compiled modules name their sources as they were built.
        None => path,
    };
    let name = inside.split('/').next().unwrap_or(inside);
    name.strip_suffix(".py").unwrap_or(name)
}

/// Whether a path is what Python calls a temporary file, or a script of that name.
pub(super) fn is_temporary(path: &str) -> bool {
    let name = path.strip_prefix(TEMPORARY).map(|name| name.strip_suffix(".py").unwrap_or(name));
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.is_some_and(|name| name.len() == TEMPORARY_REST && name.bytes().all(letter))
}

/// The number that a text begins with.
pub(super) fn digits(text: &str) -> Option<&str> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    (1..=9).contains(&end).then(|| &text[..end])
}

/// A function's name, without what it was given; none for a module or a cell itself.
fn function(text: &str) -> Option<&str> {
    let name = text.split('(').next().unwrap_or(text).trim();
    (!name.is_empty() && !name.starts_with('<')).then_some(name)
}

/// Python's tracebacks. `blank_ends`: an empty line ends what one says; else only what Python or Ploomber puts there.
pub(super) fn python<'a>(lines: &[&'a str], script: Option<&'a str>, blank_ends: bool) -> Vec<Block<'a>> {
    let mut blocks = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        if !begins(lines[at]) {
            at += 1;
            continue;
        }
        at += 1;
        let mut block = Block::default();
        while let Some(line) = lines.get(at).filter(|line| line.starts_with("  ")) {
            if let Some(frame) = call(line, script) {
                block.frames.push(frame);
            } else if let Some(source) = line.strip_prefix("    ")
                && let Some(frame) = block.frames.last_mut()
                && frame.source.len() < SOURCE_LINES
            {
                frame.source.push(source);
            }
            at += 1;
        }
        // The first line is what was raised, whatever it is.
        let is_end = |line: &&str| ends(line) || (blank_ends && line.is_empty());
        let rest = lines.get(at + 1..).unwrap_or_default();
        block.end = (at + 1 + rest.iter().position(is_end).unwrap_or(rest.len())).min(lines.len());
        let said = lines[at.min(block.end)..block.end].iter().filter(|line| !line.trim().is_empty());
        block.error = said.take(ERROR_LINES).copied().collect();
        at = block.end;
        blocks.push(block);
    }
    blocks
}

fn begins(line: &str) -> bool {
    // A shell task's output has Ploomber's words before its first line.
    let framed = line.strip_prefix("stderr: ").or_else(|| line.strip_prefix("Returned stdout: "));
    framed.unwrap_or(line) == "Traceback (most recent call last):"
}

/// Whether a line is what stands behind an exception.
fn ends(line: &str) -> bool {
    begins(line)
        || line == "\"\"\""
        || line.starts_with("The above exception was the direct cause")
        || line.starts_with("During handling of the above exception")
        || line.starts_with("ploomber.exceptions.")
}

/// `  File "/workspace/tasks.py", line 6, in clean`.
fn call<'a>(line: &'a str, script: Option<&'a str>) -> Option<Frame<'a>> {
    let (path, rest) = line.strip_prefix("  File \"")?.split_once("\", line ")?;
    let name = rest.split_once(", in ").and_then(|(_, name)| function(name));
    Some(Frame::of_file(path, digits(rest), name, script))
}

/// The tracebacks of IPython behind papermill's `Exception encountered at "In [3]":`; `file` is the notebook's source.
pub(super) fn notebook<'a>(lines: &[&'a str], file: &'a str) -> Vec<Block<'a>> {
    let Some(begin) = lines.iter().position(|line| line.starts_with("Exception encountered at \"In [")) else {
        return Vec::new();
    };
    let mut blocks = Vec::new();
    let mut block = Block::default();
    let mut class = None;
    let said = lines[begin + 1..].iter().copied();
    for line in said.take_while(|line| !line.starts_with("ploomber.exceptions.")) {
        if let Some(raised) = raising(line) {
            blocks.push(std::mem::take(&mut block));
            class = Some(raised);
        } else if ends(line) {
            blocks.push(std::mem::take(&mut block));
        } else if !block.error.is_empty() {
            if block.error.len() < ERROR_LINES && !line.trim().is_empty() {
                block.error.push(line);
            }
        } else if let Some(frame) = cell(line, file) {
            block.frames.push(frame);
        } else if is_raised(line, class) {
            block.error.push(line);
        } else if let Some(frame) = block.frames.last_mut() {
            source(frame, line, class.is_none());
        }
    }
    blocks.push(block);
    blocks.retain(|block| !block.error.is_empty());
    blocks
}

/// The class in `KeyError          Traceback (most recent call last)`.
fn raising(line: &str) -> Option<&str> {
    let class = line.strip_suffix("Traceback (most recent call last)")?.trim_end();
    (!class.is_empty() && !class.contains(' ')).then_some(class)
}

fn is_raised(line: &str, class: Option<&str>) -> bool {
    match class {
        Some(class) => line.strip_prefix(class).is_some_and(|rest| rest.is_empty() || rest.starts_with(':')),
        // What cannot be parsed has no heading.
        None => exception(line).is_some(),
    }
}

/// A line below a call: `----> 3 df["age"]`, or, of what cannot be parsed, the line itself and what points into it.
fn source<'a>(frame: &mut Frame<'a>, line: &'a str, unparsed: bool) {
    let pointed = line.starts_with('-').then(|| line.trim_start_matches('-').strip_prefix("> ")).flatten();
    if let Some((row, text)) = pointed.and_then(|rest| rest.split_once(' ')) {
        frame.line = frame.line.or_else(|| digits(row));
        frame.source.push(text.trim_start());
    } else if unparsed && let Some(text) = line.strip_prefix("    ") {
        frame.source.push(text);
    }
    frame.source.truncate(SOURCE_LINES);
}

/// A call as IPython heads it: `Cell In[4], line 2, in clean(df)`, before 8.7 `Input In [4], in clean(df)`, before 8
/// `<ipython-input-4-…> in clean(df)`; in files `File /workspace/a.py:3, in clean(df)`, `/workspace/a.py in clean(df)`.
fn cell<'a>(line: &'a str, file: &'a str) -> Option<Frame<'a>> {
    let line = line.trim_start();
    let named = |text: &'a str, before: &str| text.split_once(before).and_then(|(_, name)| function(name));
    if let Some(rest) = line.strip_prefix("Cell In[").or_else(|| line.strip_prefix("Input In [")) {
        let (number, rest) = rest.split_once(']')?;
        let row = rest.strip_prefix(", line ").and_then(digits);
        return Some(Frame::of_cell(file, digits(number)?, row, named(rest, ", in ")));
    }
    if let Some(rest) = line.strip_prefix("<ipython-input-") {
        return Some(Frame::of_cell(file, digits(rest)?, None, named(rest, "> in ")));
    }
    if line.starts_with("/tmp/ipykernel_") {
        return Some(Frame::of_cell(file, "", None, named(line, " in ")));
    }
    if let Some(rest) = line.strip_prefix("File ") {
        let (path, row) = rest.split(", in ").next()?.rsplit_once(':')?;
        return Some(Frame::of_file(path, Some(digits(row)?), named(rest, ", in "), None));
    }
    let (path, name) = line.split_once(" in ")?;
    let is_path = path.starts_with(['/', '~']) && !path.contains(' ');
    is_path.then(|| Frame::of_file(path, None, function(name), None))
}
