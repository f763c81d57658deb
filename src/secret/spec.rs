//! What a user writes to give a secret: `NAME`, `NAME=env:OTHER`, `NAME=file:PATH`.
//!
//! A value is never part of it, and what looks like one is never repeated in an error.

use std::path::PathBuf;
use std::str::FromStr;

use super::source::{EnvVar, SecretFile, Source};
use super::{Secret, SecretError};

/// Variables that decide how the shell, the loader, Python or this program work.
const RESERVED: [&str; 24] = [
    "PATH",
    "HOME",
    "USER",
    "SHELL",
    "PWD",
    "OLDPWD",
    "IFS",
    "ENV",
    "BASH_ENV",
    "BASHOPTS",
    "SHELLOPTS",
    "PS4",
    "TMPDIR",
    "TERM",
    "LANG",
    "LC_ALL",
    "UID",
    "EUID",
    "PPID",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONUSERBASE",
    "CONDA_PREFIX",
    "PROMPT_COMMAND",
];
const RESERVED_PREFIXES: [&str; 4] = ["SOOPERVISOR_", "LD_", "BASH_FUNC_", "BASH_"];

/// One secret as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSpec {
    /// The variable that the pipeline sees.
    pub name: String,
    /// Where its value is.
    pub origin: Origin,
}

/// Where a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A variable of this process.
    Env(String),
    /// A file of this machine.
    File(PathBuf),
}

impl FromStr for SecretSpec {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let (name, origin) = text.split_once('=').map_or((text, None), |(name, origin)| (name, Some(origin)));
        check_name(name)?;
        let unknown = || SecretError::Source { name: name.to_owned() };
        let origin = match origin {
            None => Origin::Env(name.to_owned()),
            Some(origin) => match origin.split_once(':') {
                Some(("env", variable)) if is_variable(variable) => Origin::Env(variable.to_owned()),
                Some(("file", path)) if !path.is_empty() => Origin::File(PathBuf::from(path)),
                _ => return Err(unknown()),
            },
        };
        Ok(Self { name: name.to_owned(), origin })
    }
}

impl SecretSpec {
    /// Where the value comes from.
    pub fn source(&self) -> Box<dyn Source> {
        match &self.origin {
            Origin::Env(variable) => Box::new(EnvVar(variable.clone())),
            Origin::File(path) => Box::new(SecretFile(path.clone())),
        }
    }

    /// Reads the value.
    ///
    /// # Errors
    /// When it is missing, unreadable, empty, too short to be hidden, or not possible in a variable.
    pub fn resolve(&self) -> Result<Secret, SecretError> {
        resolve(&self.name, &*self.source())
    }
}

/// Reads the secret `name` from any source.
///
/// # Errors
/// As [`SecretSpec::resolve`].
pub fn resolve(name: &str, source: &dyn Source) -> Result<Secret, SecretError> {
    let value = source.read(name)?;
    let name = name.to_owned();
    match value.trim_ascii().len() {
        0 => Err(SecretError::Empty { name, origin: source.describe() }),
        _ if value.contains(&0) => Err(SecretError::Nul { name }),
        1..super::SHORTEST => Err(SecretError::TooShort { name }),
        _ => Ok(Secret::new(name, value)),
    }
}

fn check_name(name: &str) -> Result<(), SecretError> {
    if !is_variable(name) {
        // What stands before `=` may be a pasted value: show only what cannot be much of one.
        let name = if name.len() <= 64 && name.is_ascii() { name.to_owned() } else { "…".to_owned() };
        return Err(SecretError::Name { name });
    }
    if RESERVED.contains(&name) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return Err(SecretError::Reserved { name: name.to_owned() });
    }
    Ok(())
}

fn is_variable(name: &str) -> bool {
    name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
