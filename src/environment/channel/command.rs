//! Runs the programs that a channel is built with; their output is only shown when they fail.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use super::Error;
use crate::secret::withhold;

/// A program with no input and in an environment without our secrets that does not redirect Python's imports.
pub(super) fn program(path: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(path);
    withhold(&mut command);
    command.stdin(Stdio::null()).env("LC_ALL", "C.UTF-8").env("PYTHONDONTWRITEBYTECODE", "1");
    for name in ["PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "LD_LIBRARY_PATH", "LD_PRELOAD"] {
        command.env_remove(name);
    }
    command
}

/// Runs it and returns what it wrote; `doing` completes “failed while”.
pub(super) fn output(command: &mut Command, doing: &str) -> Result<String, Error> {
    let name = command.get_program().to_string_lossy().into_owned();
    let result = command.output().map_err(|why| Error::Start { program: name.clone(), why })?;
    if result.status.success() {
        return Ok(String::from_utf8_lossy(&result.stdout).into_owned());
    }
    let said = if result.stderr.is_empty() { &result.stdout } else { &result.stderr };
    Err(Error::Failed { program: name, doing: doing.to_owned(), detail: tail(&String::from_utf8_lossy(said), 4) })
}

/// The last `count` lines with something in them.
fn tail(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        return "it said nothing".into();
    }
    lines[lines.len().saturating_sub(count)..].join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_carries_the_last_lines_the_program_wrote() {
        let error =
            output(program("sh").args(["-c", "for i in 1 2 3 4 5 6; do echo $i >&2; done; exit 3"]), "counting");
        let text = error.unwrap_err().to_string();
        assert_eq!(text, "`sh` failed while counting: 3; 4; 5; 6");
    }

    #[test]
    fn a_missing_program_is_told_apart_from_a_failing_one() {
        assert!(matches!(output(&mut program("no-such-program-here"), "x"), Err(Error::Start { .. })));
    }
}
