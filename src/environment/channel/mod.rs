//! A local conda channel from what a machine without one has: its CPython, and the wheels that its pip can fetch.
//!
//! For closed networks, the demo and the tests. Never used where a real channel answers (see [`answers`]), never needs
//! root rights, and installs nothing on the machine: the channel is a folder.

mod command;
mod cpython;
mod debian;
mod elf;
mod error;
mod find;
mod names;
mod package;
mod pip;
mod platform;
mod probe;
mod publish;
mod recipe;

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

pub use self::error::Error;
pub use self::probe::{CONDA_FORGE, answers};
use self::publish::Manifest;

/// Raised when the same inputs would give other packages, so that old channels are rebuilt.
const VERSION: u32 = 1;

/// What every channel has for the Pythons of [`DEFAULT_PYTHONS`], beside pip, setuptools and wheel.
const DEFAULT_PACKAGES: &[&str] = &["numpy", "pandas"];

/// The Pythons that packages are fetched for when none is named; where neither is there, the newest one.
const DEFAULT_PYTHONS: &[&str] = &["3.10", "3.11"];

/// Where CPython is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Source {
    /// Installations on this machine, else the distribution's packages.
    #[default]
    Any,
    /// Installations on this machine.
    Installed,
    /// The distribution's packages.
    Distribution,
}

/// What to build.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where the channel goes; exchanged as a whole. What earlier builds were asked for stays part of it.
    pub to: PathBuf,
    /// Minor versions of CPython (`3.11`); empty: every one that is there.
    pub pythons: Vec<String>,
    /// Packages to add, as conda names them: `scikit-learn`, `pandas=2.1`.
    pub packages: Vec<String>,
    /// `environment.yml` files whose conda dependencies are added, each file as a set that goes together.
    pub specs: Vec<PathBuf>,
    /// Where CPython is taken from.
    pub source: Source,
    /// Build even if nothing changed, so that newer versions on the package index are seen.
    pub refresh: bool,
}

/// What was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Where the channel is.
    pub channel: PathBuf,
    /// Whether an earlier build was kept as it is.
    pub reused: bool,
    /// Versions of CPython in it: `3.11.7`.
    pub pythons: Vec<String>,
    /// Every package: `pandas-2.1.4-py311_0`.
    pub packages: Vec<String>,
    /// Size of all packages.
    pub bytes: u64,
    /// What was asked for and left out, and why.
    pub notes: Vec<String>,
}

/// Builds the channel, or finds that the one in its place was built from the same inputs.
///
/// Blocks for as long as downloads take: call it from a thread that may.
pub fn build(options: &Options) -> Result<Summary, Error> {
    platform::check()?;
    let to = std::path::absolute(&options.to)?;
    let _lock = publish::lock(&to)?;
    let scratch = tempfile::Builder::new().prefix(".channel-").tempdir_in(to.parent().unwrap_or(Path::new("/")))?;
    let previous = Manifest::read(&to);
    let earlier = previous.as_ref().map_or((&[][..], &[][..]), |old| (&old.specs[..], &old.asked[..]));
    let (specs, asked) = (together(earlier.0, texts(&options.specs)?), together(earlier.1, options.packages.clone()));
    let recipe = recipe::Recipe::new(options, &specs, &asked)?;
    let key = key(&recipe)?;
    if let Some(manifest) = previous.as_ref().filter(|old| !options.refresh && old.key == key && old.is_intact(&to)) {
        return Ok(summary(manifest, to, true));
    }
    let new = scratch.path().join("channel");
    let (built, pythons, notes) = recipe.cook(scratch.path(), &new, |input| match &previous {
        Some(old) => old.reuse(input, &to, &new),
        None => Ok(None),
    })?;
    let mut manifest = Manifest::new(key, pythons, notes, built);
    (manifest.specs, manifest.asked) = (specs, asked);
    manifest.write(&new)?;
    publish::exchange(&new, &to)?;
    Ok(summary(&manifest, to, false))
}

/// Whether the folder is a channel that was built here.
pub(super) fn is_ours(folder: &Path) -> bool {
    Manifest::read(folder).is_some()
}

fn texts(files: &[PathBuf]) -> Result<Vec<String>, Error> {
    Ok(files.iter().map(fs_err::read_to_string).collect::<Result<_, _>>()?)
}

/// What was asked for before and what is asked for now, each once.
fn together(earlier: &[String], now: Vec<String>) -> Vec<String> {
    let mut all = earlier.to_vec();
    for one in now {
        if !all.contains(&one) {
            all.push(one);
        }
    }
    all
}

fn summary(manifest: &Manifest, channel: PathBuf, reused: bool) -> Summary {
    Summary {
        channel,
        reused,
        pythons: manifest.pythons.clone(),
        packages: manifest.names(),
        bytes: manifest.bytes(),
        notes: manifest.notes.clone(),
    }
}

/// A digest of everything that decides what the channel contains, but for what the package index has today.
fn key(recipe: &recipe::Recipe) -> Result<String, Error> {
    let mut hash = Sha256::new();
    hash.update(format!("{VERSION}\n{}\n", recipe.describe()?));
    for name in ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_CONFIG_FILE"] {
        hash.update(format!("{name}={}\n", std::env::var(name).unwrap_or_default()));
    }
    Ok(hex::encode(hash.finalize()))
}
