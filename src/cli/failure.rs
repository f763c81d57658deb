//! What went wrong, at the edge: what, why, and the next command to type.

use std::error::Error;

use serde_json::json;

use super::exit::Exit;
use crate::engine::EngineError;
use crate::run::stop::Stop;
use crate::store::StoreError;

/// An error on its way to the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// How the program ends.
    pub exit: Exit,
    /// What could not be done.
    pub what: String,
    /// Why, from the outside in.
    pub why: Vec<String>,
    /// What to type next.
    pub help: Option<String>,
}

impl Failure {
    /// An error without a cause.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), why: Vec::new(), help: None }
    }

    /// An error with the causes that it knows.
    pub fn of(exit: Exit, error: &(dyn Error + 'static)) -> Self {
        let causes = std::iter::successors(error.source(), |cause: &&(dyn Error + 'static)| (*cause).source());
        Self { why: causes.map(ToString::to_string).collect(), ..Self::new(exit, error.to_string()) }
    }

    /// Adds a cause.
    #[must_use]
    pub fn why(mut self, text: impl Into<String>) -> Self {
        self.why.push(text.into());
        self
    }

    /// Adds what to type next.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// For people.
    pub fn human(&self, color: bool) -> String {
        let paint = |code: &str, text: &str| if color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() };
        let mut text = format!("{} {}\n", paint("1;31", "error:"), self.what);
        for why in &self.why {
            text += &format!("  {}\n", why.replace('\n', "\n  "));
        }
        if let Some(help) = &self.help {
            text += &format!("{} {help}\n", paint("1", "help:"));
        }
        text
    }

    /// For programs: one line.
    pub fn json(&self) -> String {
        let code = self.exit.code();
        json!({"schema": 1, "event": "error", "exit_code": code, "what": self.what, "why": self.why, "help": self.help})
            .to_string()
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let failure = Self::of(Exit::from(&error), &error);
        match error {
            StoreError::Unknown(_) | StoreError::Ambiguous { .. } => failure.help("soopervisor runs"),
            StoreError::Empty => failure.help("soopervisor PATH --storage local:DIR"),
            StoreError::NoHome => failure.help("export SOOPERVISOR_HOME=/path/to/a/folder"),
            StoreError::Io { .. } => failure.help("soopervisor doctor"),
            _ => failure,
        }
    }
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        let exit = Exit::from_code(stop.ending.exit_code());
        Self { exit, what: stop.message, why: stop.causes, help: stop.help }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::of(Exit::from(&error), &error).help("soopervisor doctor")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_why_and_what_to_type() {
        let source = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let error = StoreError::Io { action: "write", path: "/state/run.json".into(), source };
        let failure = Failure::from(error);
        let text = "error: cannot write `/state/run.json`\n  permission denied\nhelp: soopervisor doctor\n";
        assert_eq!(failure.human(false), text);
        assert!(failure.human(true).starts_with("\u{1b}[1;31merror:"));
        let line: serde_json::Value = serde_json::from_str(&failure.json()).unwrap();
        assert_eq!((&line["exit_code"], &line["why"][0]), (&1.into(), &"permission denied".into()));
    }

    #[test]
    fn engine_errors_end_with_five() {
        let failure = Failure::from(EngineError::Unavailable { tried: "unix:///var/run/docker.sock".to_owned() });
        assert_eq!(failure.exit, Exit::EngineUnavailable);
    }
}
