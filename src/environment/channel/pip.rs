//! Lets pip decide which wheels a set of packages needs, and fetch them from wherever this machine's pip is set to.
//!
//! Only wheels: nothing is ever built, and no code of a package runs.

use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::Deserialize;

use super::find::Interpreter;
use super::names::Wanted;
use super::{Error, command};

const METADATA: &str = include_str!("metadata.py");

/// A fetched wheel, as its own metadata describes it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Wheel {
    /// File name.
    pub file: String,
    /// Where it is.
    #[serde(skip)]
    pub path: PathBuf,
    /// Normalised name.
    pub name: String,
    /// Version.
    pub version: String,
    /// License expression.
    pub license: Option<String>,
    /// Whether it has no compiled code.
    pub pure: bool,
    /// Requirements that apply to the interpreter it was fetched for: name and range.
    pub requires: Vec<(String, String)>,
}

/// Fetches `wanted` and what it needs into `to`, as one set of versions that go together.
pub(super) fn download(interpreter: &Interpreter, wanted: &[Wanted], to: &Path) -> Result<(), Error> {
    run(interpreter, wanted, to, &[])
}

/// Splits `wanted` into what can be fetched for this interpreter and why the rest cannot.
pub(super) fn available(interpreter: &Interpreter, wanted: &[Wanted], scratch: &Path) -> (Vec<Wanted>, Vec<String>) {
    let mut notes = Vec::new();
    let found =
        wanted.iter().filter(|one| match run(interpreter, std::slice::from_ref(one), scratch, &["--no-deps"]) {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(%error, package = one.conda, "no wheel");
                notes.push(format!(
                    "`{}` is left out: the index has no wheel for `{}` and Python {}",
                    one.conda, one.requirement, interpreter.minor
                ));
                false
            }
        });
    (found.cloned().collect(), notes)
}

fn run(interpreter: &Interpreter, wanted: &[Wanted], to: &Path, options: &[&str]) -> Result<(), Error> {
    fs::create_dir_all(to)?;
    let names: Vec<&str> = wanted.iter().map(|one| one.requirement.as_str()).collect();
    command::output(
        command::program(interpreter.executable())
            .env("LD_LIBRARY_PATH", interpreter.root.join("lib"))
            .env("PIP_NO_INPUT", "1")
            .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
            .arg(interpreter.pip.join("pip"))
            .args(["download", "--quiet", "--only-binary", ":all:", "--progress-bar", "off", "--dest"])
            .arg(to)
            .args(options)
            .args(&names),
        &format!("fetching {} for Python {}", names.join(", "), interpreter.minor),
    )?;
    Ok(())
}

/// Reads the metadata of `wheels` with the interpreter that they are for.
pub(super) fn describe(interpreter: &Interpreter, wheels: &[PathBuf]) -> Result<Vec<Wheel>, Error> {
    if wheels.is_empty() {
        return Ok(Vec::new());
    }
    let text = command::output(
        command::program(interpreter.executable())
            .env("LD_LIBRARY_PATH", interpreter.root.join("lib"))
            .arg("-c")
            .arg(METADATA)
            .arg(&interpreter.pip)
            .args(wheels),
        "reading what the wheels say about themselves",
    )?;
    let mut described: Vec<Wheel> = serde_json::from_str(&text).map_err(std::io::Error::other)?;
    for (wheel, path) in described.iter_mut().zip(wheels) {
        wheel.path.clone_from(path);
    }
    Ok(described)
}
