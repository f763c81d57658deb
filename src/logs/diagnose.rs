//! What probably went wrong, read from the last lines of a failed run.
//!
//! A guess for the failure card, from masked lines only; it never changes how a run ends.

mod hint;

use super::tasks::failed_task;
use hint::hint;

/// What kind of failure it looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// A process used more memory than it may.
    OutOfMemory,
    /// The disk is full.
    DiskFull,
    /// No further process or thread could be started.
    TooManyProcesses,
    /// Programs of the environment do not start in this image: its C library is another one.
    ForeignLibc,
    /// A Python module is not in the environment.
    MissingModule,
    /// Something has to be compiled, and there is no compiler.
    MissingCompiler,
    /// A program is not in the environment.
    MissingProgram,
    /// The network, or a name in it, cannot be reached.
    Network,
    /// A task did not make what it declares.
    MissingProduct,
    /// A file is not there.
    MissingFile,
    /// A file may not be read or written.
    Permission,
    /// The process of a notebook died.
    KernelDied,
    /// A module of tasks could not be imported, and Ploomber keeps the cause to itself.
    Unimported,
    /// Any other exception.
    Exception,
}

/// A probable cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// What it looks like.
    pub kind: Kind,
    /// The task, where Ploomber names one.
    pub task: Option<String>,
    /// The line that says it.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// The module that could not be imported, where nothing in the lines says why.
    pub unimported: Option<String>,
}

impl Diagnosis {
    /// This failure, once it is known which module is not there and which file of the user's imports it.
    #[must_use]
    pub fn lacking(self, module: &str, file: &str) -> Self {
        let message = format!("No module named '{module}', imported by {file}");
        Self { kind: Kind::MissingModule, hint: hint(Kind::MissingModule, &message), message, ..self }
    }

    /// Whether the hint only points to where it was raised: who is told the place needs none.
    pub fn is_bare(&self) -> bool {
        self.hint == hint::ABOVE
    }
}

/// Reads the last lines of a failed run, oldest first; `None` where nothing in them says why.
pub fn diagnose<'a>(lines: impl IntoIterator<Item = &'a str>) -> Option<Diagnosis> {
    let lines: Vec<&str> = lines.into_iter().collect();
    let task = lines.iter().find_map(|line| failed_task(line)).map(str::to_owned);
    let unimported = unimported(&lines);
    // Python calls a lock that is taken by the same name.
    let forks = lines.iter().any(|line| line.contains("fork"));
    let of_line = |line: &str| match kind(line)? {
        Kind::TooManyProcesses if line.starts_with(BUSY) && !forks => Some(Kind::Exception),
        Kind::Exception if unimported.is_some() && line.contains(NO_CLASS) => Some(Kind::Unimported),
        other => Some(other),
    };
    let causes = lines.iter().filter_map(|line| Some((of_line(line)?, *line)));
    // The first line of the most telling kind: later ones are the same failure on its way up.
    let (kind, line) = causes.min_by_key(|(kind, _)| *kind)?;
    if let Some((module, name)) = unimported.filter(|_| kind == Kind::Unimported) {
        let message = format!("`{module}` cannot be imported, or has no `{name}`: Ploomber does not say which");
        let hint = format!("`python -c 'import {module}'` in the run's environment shows why");
        return Some(Diagnosis { kind, task, message, hint, unimported: Some(module.to_owned()) });
    }
    let line = line.trim();
    // Ploomber's own class in front of a message tells a user nothing.
    let message = line.split_once("TaskBuildError: ").map_or(line, |(_, rest)| rest);
    let named = message.strip_prefix("Error building task ").and_then(|rest| rest.split_once(": "));
    let message = unframed_shell(named.map_or(message, |(_, rest)| rest));
    let message = shell_exit(message, &lines)
        .or_else(|| unframed(message))
        .unwrap_or_else(|| downloader(message).unwrap_or(message).to_owned());
    Some(Diagnosis { kind, task, hint: hint(kind, &message), message, unimported: None })
}

/// A line of a shell script without what Ploomber writes in front of the first one.
fn unframed_shell(line: &str) -> &str {
    line.strip_prefix("stderr: ").or_else(|| line.strip_prefix("Returned stdout: ")).unwrap_or(line)
}

/// How a shell script ended, for which Ploomber raises an error of its own.
fn shell_exit(message: &str, lines: &[&str]) -> Option<String> {
    message.strip_suffix("RuntimeError: Error executing code.")?;
    let code = lines.iter().rev().find_map(|line| line.trim().strip_prefix("exit status "))?;
    code.parse::<u8>().ok().map(|code| format!("{SHELL_EXIT}{code}"))
}

/// How a shell script is said to have ended, before its code.
pub(super) const SHELL_EXIT: &str = "the task's shell script ended with code ";

/// How Ploomber begins when it cannot tell what a task's source is.
const NO_CLASS: &str = "Failed to determine task class for source '";

/// The module and the name of a function that could not be imported. Where the function's name is also a file's ending
/// that is known anywhere (`tasks.a`, `tasks.c`), Ploomber calls it an invalid extension and swallows what Python said.
fn unimported<'a>(lines: &[&'a str]) -> Option<(&'a str, &'a str)> {
    lines.iter().find(|line| line.trim() == "If you meant to import a function, please rename it.")?;
    let line = lines.iter().find(|line| line.contains(NO_CLASS) && line.contains("(invalid extension "))?;
    let (source, _) = line.split_once(NO_CLASS)?.1.split_once('\'')?;
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
    source.rsplit_once('.').filter(|(module, name)| !module.is_empty() && module.chars().chain(name.chars()).all(plain))
}

/// What Ploomber could not import, without its words about looking for a task's class: `No module named 'x', imported
/// by tasks.py`.
fn unframed(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("trying to import dotted path '")?;
    let (dotted, rest) = rest.split_once("': ")?;
    let (cause, module) = match rest.rsplit_once(" (loaded '") {
        Some((cause, loaded)) => (cause, loaded.split_once("' from '").map(|(_, path)| path)),
        None => (rest, None),
    };
    let cause = cause.trim_end_matches('.');
    let by = match module.and_then(|path| path.split('\'').next()) {
        Some(file) => file.strip_prefix("/workspace/").unwrap_or(file),
        // The path itself leads nowhere: nothing imports it but pipeline.yaml.
        None if cause.contains(&format!("'{}'", dotted.split('.').next().unwrap_or(dotted))) => "pipeline.yaml",
        None => dotted,
    };
    Some(format!("{cause}, imported by {by}"))
}

/// How Python says that there is no room for another process.
const BUSY: &str = "BlockingIOError: ";

/// What Python, bash and dash say where no further process or thread can be started.
fn is_about_processes(line: &str) -> bool {
    let unavailable = line.trim_end().ends_with("Resource temporarily unavailable");
    (unavailable && (line.starts_with(BUSY) || line.contains("fork: ")))
        || line.trim_end().ends_with(": Cannot fork")
        || line.starts_with("RuntimeError: can't start new thread")
}

/// Whether a program wants a newer glibc than there is, or one at all: without the loader that it names, the kernel says
/// that the program itself is not there.
fn is_foreign_libc(line: &str) -> bool {
    let absent = ["cannot execute: required file not found", "bad interpreter: No such file or directory"];
    let too_old = line.contains("version `GLIBC_") && line.contains("not found");
    // Below the folder that environments are shown in; elsewhere it may be any program that the image lacks.
    too_old || (line.contains("/opt/sv/e/") && absent.iter().any(|words| line.contains(words)))
}

fn kind(line: &str) -> Option<Kind> {
    let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
    if is_foreign_libc(line) {
        return Some(Kind::ForeignLibc);
    }
    if COMPILER.iter().any(|words| line.contains(words)) {
        return Some(Kind::MissingCompiler);
    }
    if line.contains("the task ran successfully but the product") {
        return Some(Kind::MissingProduct);
    }
    if line.trim_start().starts_with("No such kernel named ") {
        return Some(Kind::MissingProgram);
    }
    // Ploomber's words for an optional dependency: `pyppeteer is required to use webpdf, install it with:`.
    if line.contains(" required to use ") && line.contains("nstall it with") {
        return Some(Kind::MissingModule);
    }
    if line.starts_with("Error: Failed to initialize '") && line.contains("does not exist") {
        return Some(Kind::MissingFile);
    }
    if downloader(line).is_some() {
        return Some(Kind::Network);
    }
    // As every program of a shell script says it: `dd: error writing 'big': No space left on device`.
    if line.trim_end().ends_with(": No space left on device") {
        return Some(Kind::DiskFull);
    }
    if is_about_processes(line) {
        return Some(Kind::TooManyProcesses);
    }
    if line.starts_with("bash: ") || line.contains(": line ") {
        return shell_kind(line);
    }
    let named = exception(line).or_else(|| line.strip_prefix("Error: ").map(|_| "Error"))?;
    let short = named.rsplit('.').next().unwrap_or(named);
    Some(match short {
        "MemoryError" | "ArrayMemoryError" | "OutOfMemoryError" => Kind::OutOfMemory,
        "DeadKernelError" => Kind::KernelDied,
        _ if has(&["No module named "]) => Kind::MissingModule,
        _ if has(&["No space left on device", "database or disk is full", "Disk quota exceeded"]) => Kind::DiskFull,
        _ if short == "gaierror" || has(&NETWORK) => Kind::Network,
        "FileNotFoundError" => Kind::MissingFile,
        "PermissionError" => Kind::Permission,
        "TaskBuildError" | "DAGBuildError" | "DAGBuildEarlyStop" => return None,
        _ => Kind::Exception,
    })
}

/// What setuptools, meson, CMake and maturin say where there is no compiler.
const COMPILER: [&str; 9] = [
    "No such file or directory: 'gcc'",
    "No such file or directory: 'cc'",
    "No such file or directory: 'g++'",
    "error: command 'gcc' failed: No such file",
    "error: command 'cc' failed: No such file",
    "unable to execute 'gcc'",
    "ERROR: Unknown compiler(s):",
    "No CMAKE_C_COMPILER could be found",
    "can't find Rust compiler",
];

const NETWORK: [&str; 8] = [
    "Name or service not known",
    "Temporary failure in name resolution",
    "Network is unreachable",
    "No route to host",
    "Connection refused",
    "Connection timed out",
    "Failed to establish a new connection",
    "Could not resolve host",
];

/// What curl and wget say where they reach nobody; curl says it behind its progress, in the same line.
fn downloader(line: &str) -> Option<&str> {
    ["curl: (5)", "curl: (6)", "curl: (7)", "curl: (28)", "wget: unable to resolve"]
        .iter()
        .find_map(|words| line.find(words).map(|at| &line[at..]))
}

/// What bash says about a program that it could not start, or that was killed.
fn shell_kind(line: &str) -> Option<Kind> {
    if line.ends_with("command not found") {
        Some(Kind::MissingProgram)
    } else if line.ends_with(": No such file or directory") {
        Some(Kind::MissingFile)
    } else if line.ends_with(": Permission denied") {
        Some(Kind::Permission)
    } else if line.split_whitespace().any(|word| word == "Killed") {
        Some(Kind::OutOfMemory)
    } else {
        None
    }
}

/// The class of an exception that a traceback ends with: `pkg.SomeError: words` at the start of a line.
pub(super) fn exception(line: &str) -> Option<&str> {
    let class = line.split_once(": ").map_or(line, |(class, _)| class).trim_end_matches(':');
    let dotted = !class.is_empty() && class.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'));
    let last = class.rsplit('.').next().unwrap_or(class);
    let named = ["Error", "Exception", "Interrupt", "gaierror", "herror", "Timeout"];
    (dotted && named.iter().any(|end| last.ends_with(end)) && last != "Error").then_some(class)
}

#[cfg(test)]
mod tests;
