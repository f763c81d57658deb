//! What can go wrong while a channel is built, each with the next thing to try.

use std::path::PathBuf;

/// A channel could not be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written; the message names it.
    #[error("the channel could not be written: {0}")]
    Io(std::io::Error),
    /// The machine is of a kind for which nothing can be packaged.
    #[error("channels can be built on 64-bit Linux with glibc only, this is {found}")]
    Platform {
        /// What was found instead.
        found: String,
    },
    /// A wanted Python is not on this machine.
    #[error(
        "no CPython {wanted} to package (found: {found}); install it with `pyenv install {wanted}`, or leave `--python` out"
    )]
    NoPython {
        /// The version that was asked for, or `3.8 to 3.13`.
        wanted: String,
        /// The versions that are there, or `none`.
        found: String,
    },
    /// A program is missing or could not be started.
    #[error("`{program}` could not be started: {why}; install it, `make setup` does so on Debian and Ubuntu")]
    Start {
        /// The program.
        program: String,
        /// Why.
        why: std::io::Error,
    },
    /// A program failed.
    #[error("`{program}` failed while {doing}: {detail}")]
    Failed {
        /// The program.
        program: String,
        /// What it was to do.
        doing: String,
        /// The last lines that it wrote.
        detail: String,
    },
    /// A shared library that a module needs is not on this machine.
    #[error("`{library}` is needed by CPython in `{root}` but is not installed here; reinstall that CPython")]
    Library {
        /// The library.
        library: String,
        /// The prefix of the CPython.
        root: PathBuf,
    },
    /// A binary cannot be made to find the libraries beside it.
    #[error("`{path}` cannot be made relocatable: {why}")]
    Binary {
        /// The binary.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A wheel could not be turned into a conda package.
    #[error("`{wheel}` could not be made a conda package: {why}")]
    Wheel {
        /// File name of the wheel.
        wheel: String,
        /// What is wrong with it.
        why: String,
    },
    /// A package was asked for in a form that is not understood.
    #[error("`{spec}` is not a package request: {why}; write `NAME` or `NAME>=1.0`")]
    Spec {
        /// The request.
        spec: String,
        /// What is wrong with it.
        why: String,
    },
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}
