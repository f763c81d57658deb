//! The `pip:` list of an environment.yml, and the requirements files that it names, split by where a line belongs.
//!
//! Pure: files are read through a closure. Nothing here asks an index or checks that a version exists, and `${VAR}`
//! in a line stays as written (a token must not become part of a key).

use std::collections::BTreeSet;

use super::suggest;

#[cfg(test)]
mod tests;

/// The lines, split.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PipLines {
    /// Requirements that come from an index, a URL or a version control system, without `-e`.
    pub remote: Vec<String>,
    /// Options for the resolver, one a line, long form first: `--index-url https://…`.
    pub options: Vec<String>,
    /// Requirement lines of files that were named with `-c`: they limit versions and install nothing.
    pub constraints: Vec<String>,
    /// Installs from the repository itself (`.`, `-e .`, `./lib[extra]`, `file:…`), relative to environment.yml's folder.
    pub local: Vec<String>,
    /// What was changed on the way: an editable checkout that became a plain install, ….
    pub notes: Vec<String>,
}

/// Why a line cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PipError {
    /// A file named by `-r` or `-c` could not be read.
    #[error("`{file}`, named by `{line}`, cannot be read: {reason}")]
    Unreadable {
        /// The file, relative to the repository's root.
        file: String,
        /// The line that names it.
        line: String,
        /// Why.
        reason: String,
    },
    /// Files that name each other in a circle.
    #[error("`{file}` names itself, directly or through other files")]
    Circle {
        /// The file.
        file: String,
    },
    /// A file name that leaves the repository.
    #[error("`{line}` names a file outside of the repository")]
    Outside {
        /// The line.
        line: String,
    },
    /// An option that has no meaning in a shared environment.
    #[error("`{line}` is not supported in a `pip:` list: {reason}")]
    Unsupported {
        /// The line.
        line: String,
        /// Why, and what to write instead.
        reason: &'static str,
    },
    /// An option without its value.
    #[error("`{line}` lacks its value")]
    NoValue {
        /// The line.
        line: String,
    },
}

impl PipError {
    /// What to do about it, as far as that is known without the repository's files.
    pub fn help(&self) -> String {
        match self {
            Self::Unreadable { file, .. } => format!("create `{file}`, or correct the path"),
            Self::Circle { file } => format!("remove the line that names `{file}` once more"),
            Self::Outside { .. } => "the container has only what is in the repository; move the file there".to_owned(),
            Self::Unsupported { line, .. } => {
                let written = option(line).map_or("", |(name, _)| name);
                let unknown = written.starts_with("--") && !OPTIONS.contains(&long_form(written));
                match suggest::closest(written, OPTIONS).filter(|_| unknown) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "remove the line, or do without the option".to_owned(),
                }
            }
            Self::NoValue { line } => format!("write the value behind `{line}`, or remove the line"),
        }
    }
}

/// A line that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which of the lines that were given it is, or came by.
    pub at: usize,
    /// Why.
    pub error: PipError,
}

/// What became of the lines that were given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Split {
    /// Those that can be used.
    pub lines: PipLines,
    /// Those that cannot.
    pub refused: Vec<Refused>,
    /// Requirements, constraints and options with a value, each with which of the lines that were given it is, or came by.
    pub from: Vec<(usize, String)>,
}

/// Splits the lines of the environment.yml in `folder`. Paths are relative to the repository's root, `/` between parts,
/// `""` the root itself; `read` gets one and returns the text. What cannot be used hides nothing of the rest.
pub fn split<S: AsRef<str>>(lines: &[S], folder: &str, read: &mut dyn FnMut(&str) -> Result<String, String>) -> Split {
    let mut splitter = Splitter { out: Split::default(), at: 0, read, open: Vec::new(), done: BTreeSet::new() };
    for (at, line) in lines.iter().enumerate() {
        splitter.at = at;
        splitter.line(line.as_ref(), folder, false);
    }
    splitter.out
}

/// The project name of a requirement line, normalised as PEP 503 says; for a bare URL what its `#egg=` or last part tells.
pub fn name_of(line: &str) -> Option<String> {
    let line = line.trim();
    let head: String = line.chars().take_while(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).collect();
    let rest = line[head.len()..].trim_start();
    let plain = rest.is_empty() || rest.starts_with(['=', '<', '>', '!', '~', '[', ';', '@', '(', ',', ' ', '#']);
    if !head.is_empty() && plain && !line[head.len()..].starts_with(':') && !rest.starts_with("://") {
        return Some(normalise(&head));
    }
    let url = line.split([' ', ';']).next().unwrap_or_default();
    let (address, fragment) = url.split_once('#').unwrap_or((url, ""));
    if let Some(egg) = fragment.split('&').find_map(|part| part.strip_prefix("egg=")) {
        return Some(normalise(egg.split('[').next().unwrap_or(egg)));
    }
    let last = address.trim_end_matches('/').rsplit('/').next()?;
    let last = last.split('@').next().unwrap_or(last);
    let stem = match last.strip_suffix(".whl") {
        Some(wheel) => wheel.split('-').next().unwrap_or(wheel),
        None => last.strip_suffix(".git").unwrap_or(last),
    };
    (!stem.is_empty()).then(|| normalise(stem))
}

/// PEP 503: lower case, runs of `-`, `_` and `.` become one `-`.
pub fn normalise(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if "-_.".contains(c) {
            if !out.ends_with('-') {
                out.push('-');
            }
        } else {
            out.extend(c.to_lowercase());
        }
    }
    out.trim_matches('-').to_owned()
}

struct Splitter<'a> {
    out: Split,
    /// Which of the lines that were given is being followed.
    at: usize,
    read: &'a mut dyn FnMut(&str) -> Result<String, String>,
    open: Vec<String>,
    done: BTreeSet<(String, bool)>,
}

impl Splitter<'_> {
    fn refuse(&mut self, error: PipError) {
        self.out.refused.push(Refused { at: self.at, error });
    }

    fn came(&mut self, line: &str) {
        self.out.from.push((self.at, line.to_owned()));
    }

    /// One logical line; `folder` is that of the file it stands in (`""` or `x/y`).
    fn line(&mut self, raw: &str, folder: &str, constraint: bool) {
        let line = without_comment(raw);
        if line.is_empty() {
            return;
        }
        if let Some((option, value)) = option(line) {
            return self.option(line, option, value, folder, constraint);
        }
        self.came(line);
        if constraint {
            self.out.lines.constraints.push(line.to_owned());
        } else if is_local(line) {
            self.out.lines.local.push(line.to_owned());
        } else {
            self.out.lines.remote.push(line.to_owned());
        }
    }

    fn option(&mut self, line: &str, name: &str, value: &str, folder: &str, constraint: bool) {
        let long = long_form(name);
        let unsupported = |reason| PipError::Unsupported { line: line.to_owned(), reason };
        let takes_value =
            !matches!(long, "--pre" | "--no-index" | "--prefer-binary" | "--require-hashes" | "--upgrade");
        if !OPTIONS.contains(&long) {
            return self.refuse(unsupported("this option is not known here; remove it"));
        }
        if takes_value && value.is_empty() {
            return self.refuse(PipError::NoValue { line: line.to_owned() });
        }
        match long {
            "--requirement" => self.file(line, value, folder, constraint),
            "--constraint" => self.file(line, value, folder, true),
            "--editable" => self.editable(line, value),
            "--find-links" if !value.contains("://") || value.starts_with("file:") => self.refuse(unsupported(
                "a folder is not seen by the builder; install the file itself (`./wheels/x.whl`) or serve the folder over https",
            )),
            "--index-url" | "--extra-index-url" | "--find-links" | "--trusted-host" | "--no-binary"
            | "--only-binary" => {
                let line = format!("{long} {value}");
                self.came(&line);
                self.out.lines.options.push(line);
            }
            "--pre" | "--no-index" => self.out.lines.options.push(long.to_owned()),
            // The others say how, not what: the environment is new, and every file is checked against the lock's hashes.
            _ => {}
        }
    }

    /// An editable checkout of something remote would be a source folder inside the shared prefix: it is installed plainly.
    fn editable(&mut self, line: &str, value: &str) {
        let value = unquote(value);
        if is_local(value) {
            let line = format!("-e {value}");
            self.came(&line);
            self.out.lines.local.push(line);
        } else {
            let note = format!("`{line}` is installed without `-e`: the environment is read-only during a run");
            self.out.lines.notes.push(note);
            self.came(value);
            self.out.lines.remote.push(value.to_owned());
        }
    }

    fn file(&mut self, line: &str, value: &str, folder: &str, constraint: bool) {
        let value = unquote(value);
        if value.contains("://") {
            return self.refuse(PipError::Unsupported {
                line: line.to_owned(),
                reason: "a requirements file must be part of the repository, so that a commit always means the same",
            });
        }
        let Some(file) = join(folder, value) else {
            return self.refuse(PipError::Outside { line: line.to_owned() });
        };
        if self.open.contains(&file) {
            return self.refuse(PipError::Circle { file });
        }
        if !self.done.insert((file.clone(), constraint)) {
            return;
        }
        let text = match (self.read)(&file) {
            Ok(text) => text,
            Err(reason) => return self.refuse(PipError::Unreadable { file, line: line.to_owned(), reason }),
        };
        let inner = file.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        self.open.push(file);
        for line in logical_lines(&text) {
            self.line(&line, &inner, constraint);
        }
        self.open.pop();
    }
}

/// The options that mean something here, in their long form.
const OPTIONS: [&str; 14] = [
    "--requirement",
    "--constraint",
    "--editable",
    "--index-url",
    "--extra-index-url",
    "--find-links",
    "--trusted-host",
    "--no-binary",
    "--only-binary",
    "--pre",
    "--no-index",
    "--prefer-binary",
    "--require-hashes",
    "--upgrade",
];

/// Whether a requirement points into the repository (or at any other path of this machine).
fn is_local(line: &str) -> bool {
    let target = match line.split_once(" @ ") {
        Some((_, target)) => target.trim(),
        None => line,
    };
    let word = target.split([' ', ';']).next().unwrap_or_default();
    let path = word.split('[').next().unwrap_or(word);
    let archive = [".whl", ".tar.gz", ".zip", ".tar.bz2", ".tgz"].iter().any(|end| path.ends_with(end));
    path == "."
        || path == ".."
        || path.starts_with("./")
        || path.starts_with("../")
        || path.starts_with('/')
        || path.starts_with("file:")
        || (!path.contains("://") && (path.contains('/') || archive))
}

/// `-r x`, `-rx`, `--index-url=x`, `--pre`: name and value.
fn option(line: &str) -> Option<(&str, &str)> {
    let body = line.strip_prefix('-')?;
    if !body.starts_with('-') {
        let end = body.char_indices().nth(1).map_or(body.len(), |(at, _)| at);
        return Some((&line[..=end], body[end..].trim_start_matches([' ', '\t', '=']).trim()));
    }
    let end = line.find([' ', '\t', '=']).unwrap_or(line.len());
    Some((&line[..end], line[end..].trim_start_matches([' ', '\t', '=']).trim()))
}

fn long_form(name: &str) -> &str {
    match name {
        "-r" => "--requirement",
        "-c" => "--constraint",
        "-e" => "--editable",
        "-i" | "--pypi-url" => "--index-url",
        "-f" => "--find-links",
        "-U" => "--upgrade",
        other => other,
    }
}

/// pip's own rule: `#` starts a comment at the line's start or after white space.
fn without_comment(line: &str) -> &str {
    let line = line.trim();
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        if c == '#' && before.is_whitespace() {
            return line[..at].trim_end();
        }
        before = c;
    }
    line
}

/// Joins lines that end in a backslash; drops a byte order mark.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = String::new();
    for line in text.trim_start_matches('\u{feff}').lines() {
        if let Some(part) = line.strip_suffix('\\').filter(|_| !line.trim_start().starts_with('#')) {
            open.push_str(part);
        } else {
            open.push_str(line);
            lines.push(std::mem::take(&mut open));
        }
    }
    if !open.is_empty() {
        lines.push(open);
    }
    lines
}

fn unquote(value: &str) -> &str {
    let value = value.trim();
    ['"', '\'']
        .iter()
        .find_map(|quote| value.strip_prefix(*quote).and_then(|rest| rest.strip_suffix(*quote)))
        .unwrap_or(value)
}

/// `folder/file` with `.` and `..` resolved; `None` when it leaves the top.
fn join(folder: &str, file: &str) -> Option<String> {
    if file.starts_with('/') || file.contains('\0') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(file.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}
