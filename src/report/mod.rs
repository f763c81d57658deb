//! Draws what a run tells: for a terminal, as plain lines, as JSON, for GitHub Actions.
//!
//! Reporters listen; they decide nothing and never see unmasked bytes. When nobody reads any more (a closed pipe),
//! they fall silent and the run goes on.

use std::io::{self, IsTerminal, Write};

use crate::run::event::RunEvent;

mod bars;
mod clean;
mod ending;
mod github;
mod json;
mod lines;
mod out;
mod output;
mod pace;
mod plain;
mod terminal;
mod tty;

pub use crate::run::figures::{bytes, duration};
pub use clean::Cleaner;
pub use ending::{card, draw_card};
pub use github::GitHub;
pub use json::Json;
pub use out::Out;
pub use plain::Plain;
pub use terminal::Terminal;

/// Listens to one run.
pub trait Reporter: Send {
    /// Takes the next event; must return soon.
    fn event(&mut self, event: &RunEvent);

    /// Shows what is still held back and leaves the terminal as it was found. Nothing may follow.
    fn finish(&mut self);
}

/// How to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A live view.
    Terminal,
    /// Lines with time stamps.
    Plain,
    /// One object a line.
    Json,
    /// Workflow commands.
    GitHub,
}

/// How much to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Verbosity {
    /// Findings, the failure card and the last line.
    Quiet,
    /// Steps, tasks and output.
    #[default]
    Normal,
    /// What each step does, too.
    Verbose,
}

/// How a reporter behaves.
#[derive(Debug, Clone)]
pub struct Style {
    /// Use colour.
    pub color: bool,
    /// Draw with Unicode marks.
    pub unicode: bool,
    /// Columns, for what is wrapped.
    pub width: usize,
    /// How much to say.
    pub verbosity: Verbosity,
}

impl Default for Style {
    fn default() -> Self {
        Self { color: false, unicode: true, width: 100, verbosity: Verbosity::Normal }
    }
}

/// The time of day, so that tests can hold it still.
pub type Clock = Box<dyn Fn() -> jiff::Timestamp + Send>;

impl Format {
    /// What fits where the program runs: GitHub Actions, a terminal on both streams, or anything else.
    pub fn detect(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).is_some_and(|value| !value.is_empty() && value != "false");
        let dumb = variable("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
        if variable("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
            Self::GitHub
        } else if io::stderr().is_terminal() && io::stdout().is_terminal() && !set("CI") && !dumb {
            Self::Terminal
        } else {
            Self::Plain
        }
    }
}

/// Makes the reporter. `token` is 32 random hexadecimal digits that pipeline output cannot know.
pub fn open(format: Format, style: Style, token: &str) -> Box<dyn Reporter> {
    let stdout: Box<dyn Write + Send> = Box::new(io::stdout());
    let clock: Clock = Box::new(jiff::Timestamp::now);
    match format {
        Format::Terminal => Box::new(Terminal::stderr(style)),
        Format::Plain => Box::new(Plain::new(Out::new(stdout), style, clock)),
        Format::Json => Box::new(Json::new(Out::new(stdout), clock)),
        Format::GitHub => Box::new(GitHub::new(Out::new(stdout), style, clock, token)),
    }
}

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
