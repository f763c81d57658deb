//! The two streams of the program: answers on stdout, errors on stderr, and how they may look.

use std::ffi::OsString;
use std::io::{self, IsTerminal};

use clap::ColorChoice;

use super::args::{Color, Global};
use super::lines;
use crate::report::{Out, Style, Verbosity};

/// How to speak to whoever called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Console {
    color: Color,
    verbosity: Verbosity,
}

impl Console {
    /// As asked for.
    pub(super) fn new(global: &Global) -> Self {
        let verbosity = match (global.quiet, global.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, _) => Verbosity::Verbose,
        };
        Self { color: global.color, verbosity }
    }

    /// Whether little is to be said.
    pub(super) fn is_quiet(self) -> bool {
        self.verbosity == Verbosity::Quiet
    }

    /// Whether all is to be said.
    pub(super) fn is_verbose(self) -> bool {
        self.verbosity == Verbosity::Verbose
    }

    /// How much is to be said.
    pub(super) fn verbosity(self) -> Verbosity {
        self.verbosity
    }

    /// Answers; a closed pipe is no error.
    pub(super) fn answer(text: &str) {
        let mut out = Out::new(Box::new(io::stdout()));
        out.write(text.as_bytes());
        out.flush();
    }

    /// Says something that is no answer: as objects, where all that is said is.
    pub(super) fn note(text: &str) {
        if lines::are_objects() {
            Self::as_it_is(&lines::objects(text));
        } else {
            Self::as_it_is(text);
        }
    }

    /// The same for what is written already as it is to be read.
    pub(super) fn as_it_is(text: &str) {
        let mut out = Out::new(Box::new(io::stderr()));
        out.write(text.as_bytes());
        out.flush();
    }

    /// How wide the terminal is that answers go to; `None` where they go elsewhere.
    pub(super) fn columns() -> Option<usize> {
        width(io::stdout())
    }

    /// How answers may look.
    pub(super) fn stdout(self) -> Style {
        self.style(io::stdout().is_terminal(), width(io::stdout()))
    }

    /// How errors may look.
    pub(super) fn stderr(self) -> Style {
        self.style(io::stderr().is_terminal(), width(io::stderr()))
    }

    /// How plain lines look. They are for files and other programs wherever they are written, so that they have no colour
    /// but for who asks for it.
    pub(super) fn plain(self) -> Style {
        Style { color: self.color == Color::Always, ..self.stdout() }
    }

    fn style(self, terminal: bool, width: Option<usize>) -> Style {
        let color = match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !set("NO_COLOR") && variable("TERM") != "dumb",
        };
        Style { color, unicode: unicode(variable), width: width.unwrap_or(100), verbosity: self.verbosity }
    }
}

/// What `--color` asks for among words that are still to be parsed: help and refusals of them are drawn by clap.
pub(super) fn choice(words: &[OsString]) -> ColorChoice {
    let mut words = words.iter().skip(1).take_while(|word| *word != "--");
    let mut choice = ColorChoice::Auto;
    while let Some(word) = words.next() {
        let asked = match word.to_str() {
            Some("--color") => words.next().and_then(|word| word.to_str()),
            Some(word) => word.strip_prefix("--color="),
            None => None,
        };
        choice = match asked {
            Some("always") => ColorChoice::Always,
            Some("never") => ColorChoice::Never,
            _ => choice,
        };
    }
    choice
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// The first locale variable that is set decides; without any, today's terminals read UTF-8.
fn unicode(variable: impl Fn(&str) -> String) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().map(variable).find(|value| !value.is_empty());
    locale.is_none_or(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

fn width(stream: impl std::os::fd::AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_asked_for_by_a_word_before_those_of_the_pipeline() {
        let asked = |words: &[&str]| choice(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(asked(&["soopervisor", "run", ".", "--color", "never"]), ColorChoice::Never);
        assert_eq!(asked(&["soopervisor", "--color=always", "--help"]), ColorChoice::Always);
        assert_eq!(asked(&["soopervisor", "--color", "auto", "--help"]), ColorChoice::Auto);
        assert_eq!(asked(&["soopervisor", "run", ".", "--", "--color", "never"]), ColorChoice::Auto);
        assert_eq!(asked(&["soopervisor", "--color"]), ColorChoice::Auto);
    }

    #[test]
    fn the_first_locale_variable_decides_about_unicode() {
        let with = |vars: &'static [(&str, &str)]| {
            unicode(|name| vars.iter().find(|(key, _)| *key == name).map_or_else(String::new, |(_, v)| (*v).to_owned()))
        };
        assert!(with(&[]));
        assert!(with(&[("LANG", "de_DE.UTF-8")]));
        assert!(!with(&[("LANG", "C")]));
        assert!(!with(&[("LC_ALL", "POSIX"), ("LANG", "en_US.utf8")]));
        assert!(with(&[("LC_ALL", ""), ("LC_CTYPE", "C.UTF-8"), ("LANG", "C")]));
    }
}
