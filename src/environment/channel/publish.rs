//! Puts a finished channel in the place of the old one, in one step, and remembers what it was made from.
//!
//! A reader sees the old channel or the new one, never half of one; a crash leaves the old one untouched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::package::Built;
use super::{Error, platform};

/// File in the channel that tells what it was made from.
const MANIFEST: &str = "channel.json";

/// Layout of the manifest.
const SCHEMA: u32 = 1;

/// What a channel was made from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Manifest {
    schema: u32,
    /// Digest of everything that was asked for and of the interpreters that were there.
    pub key: String,
    /// Versions of CPython in it.
    pub pythons: Vec<String>,
    /// What was left out and why.
    pub notes: Vec<String>,
    /// The environment.yml files it was made for, as text: what a later build adds to.
    #[serde(default)]
    pub specs: Vec<String>,
    /// Packages that were asked for by name.
    #[serde(default)]
    pub asked: Vec<String>,
    /// Digest of what a package was made from → the package.
    pub packages: BTreeMap<String, Entry>,
}

/// One package of the channel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    subdir: String,
    file: String,
    record: Value,
}

impl Manifest {
    pub(super) fn new(key: String, pythons: Vec<String>, notes: Vec<String>, packages: Vec<(String, Built)>) -> Self {
        let (specs, asked) = (Vec::new(), Vec::new());
        let packages = packages
            .into_iter()
            .map(|(input, built)| (input, Entry { subdir: built.subdir, file: built.file, record: built.record }))
            .collect();
        Self { schema: SCHEMA, key, pythons, notes, specs, asked, packages }
    }

    /// The manifest of the channel in `folder`, if there is one that this version of the program wrote.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        let manifest: Self = serde_json::from_str(&fs::read_to_string(folder.join(MANIFEST)).ok()?).ok()?;
        (manifest.schema == SCHEMA).then_some(manifest)
    }

    /// Whether every file of it is still there, in full length.
    pub(super) fn is_intact(&self, folder: &Path) -> bool {
        self.packages.values().all(|entry| entry.is_intact(folder))
            && [platform::SUBDIR, "noarch"].iter().all(|subdir| folder.join(subdir).join("repodata.json").is_file())
    }

    /// Takes the package that was made from the same input over from `old` into `new`.
    pub(super) fn reuse(&self, input: &str, old: &Path, new: &Path) -> Result<Option<Built>, Error> {
        let Some(entry) = self.packages.get(input).filter(|entry| entry.is_intact(old)) else { return Ok(None) };
        let (from, to) = (entry.path(old), entry.path(new));
        fs::create_dir_all(new.join(&entry.subdir))?;
        if fs::hard_link(&from, &to).is_err() {
            fs::copy(&from, &to)?;
        }
        Ok(Some(Built { subdir: entry.subdir.clone(), file: entry.file.clone(), record: entry.record.clone() }))
    }

    /// File names of all packages, in order, without their ending.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.packages.values().map(|entry| entry.file.trim_end_matches(".conda").to_owned()).collect();
        names.sort();
        names
    }

    /// Sum of the sizes of all packages.
    pub(super) fn bytes(&self) -> u64 {
        self.packages.values().filter_map(|entry| entry.record["size"].as_u64()).sum()
    }

    /// Writes the package lists and the manifest into `folder`.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Error> {
        for subdir in [platform::SUBDIR, "noarch"] {
            let rows: BTreeMap<&str, &Value> = self
                .packages
                .values()
                .filter(|entry| entry.subdir == subdir)
                .map(|entry| (entry.file.as_str(), &entry.record))
                .collect();
            let list = json!({
                "info": {"subdir": subdir}, "packages": {}, "packages.conda": rows, "removed": [], "repodata_version": 1,
            });
            fs::create_dir_all(folder.join(subdir))?;
            fs::write(folder.join(subdir).join("repodata.json"), list.to_string())?;
        }
        let text = serde_json::to_string_pretty(self).map_err(std::io::Error::other)?;
        fs::write(folder.join(MANIFEST), text)?;
        Ok(())
    }
}

impl Entry {
    fn path(&self, folder: &Path) -> PathBuf {
        folder.join(&self.subdir).join(&self.file)
    }

    fn is_intact(&self, folder: &Path) -> bool {
        self.path(folder).metadata().is_ok_and(|meta| Some(meta.len()) == self.record["size"].as_u64())
    }
}

/// Takes the lock that builders of the channel at `to` hold; it is released when the file is dropped.
pub(super) fn lock(to: &Path) -> Result<fs::File, Error> {
    let parent = to.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent)?;
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let file =
        fs::OpenOptions::new().create(true).truncate(false).write(true).open(parent.join(format!(".{name}.lock")))?;
    file.file().lock()?;
    Ok(file)
}

/// Exchanges `new` with whatever is at `to`; afterwards `new` holds the old channel, if there was one.
pub(super) fn exchange(new: &Path, to: &Path) -> Result<(), Error> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};

    if !to.exists() {
        fs::rename(new, to)?;
        return Ok(());
    }
    if renameat_with(CWD, new, CWD, to, RenameFlags::EXCHANGE).is_ok() {
        return Ok(());
    }
    // Some file systems cannot exchange; there the channel is missing for the time between two renames.
    let aside = new.with_extension("old");
    fs::rename(to, &aside)?;
    fs::rename(new, to)?;
    Ok(())
}
