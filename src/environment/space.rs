//! How much room a disk has, for errors that name it and for builds that would fail for want of it.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rattler_conda_types::RepoDataRecord;

use super::EnvironmentError;
use crate::spec::amount::decimal;

/// A full disk: which one, and what would have been needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Full {
    /// Where the file system is mounted, its free and all bytes; unknown where it cannot be asked.
    disk: Option<(PathBuf, u64, u64)>,
    /// In words.
    need: Option<String>,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.disk {
            Some((mount, free, total)) => {
                write!(f, "{} of {} are free on {}", decimal(*free), decimal(*total), mount.display())?;
            }
            None => write!(f, "its file system does not say how much it has")?,
        }
        match &self.need {
            Some(need) => write!(f, ", and {need}"),
            None => Ok(()),
        }
    }
}

impl Full {
    /// As it is now.
    pub(super) fn at(path: &Path) -> Self {
        Self { disk: disk(path).map(|(free, total)| (mount(path), free, total)), need: None }
    }

    /// With what is known of the need, unless more is known already.
    pub(super) fn needing(mut self, words: impl FnOnce() -> String) -> Self {
        self.need.get_or_insert_with(words);
        self
    }
}

/// Free bytes for us, and all bytes, of the file system that a path is on.
fn disk(path: &Path) -> Option<(u64, u64)> {
    let there = path.ancestors().find(|path| path.exists())?;
    let answer = rustix::fs::statvfs(there).ok()?;
    Some((answer.f_bavail.saturating_mul(answer.f_frsize), answer.f_blocks.saturating_mul(answer.f_frsize)))
}

/// Free bytes for us.
pub(super) fn free(path: &Path) -> Option<u64> {
    disk(path).map(|(free, _)| free)
}

/// The topmost folder on the same file system.
fn mount(path: &Path) -> PathBuf {
    let device = |path: &Path| std::fs::metadata(path).ok().map(|meta| meta.dev());
    let mut there = path.ancestors().skip_while(|path| !path.exists());
    let Some(first) = there.next() else { return path.to_owned() };
    let same = there.take_while(|above| device(above) == device(first));
    same.last().unwrap_or(first).to_owned()
}

/// Stops a build whose packages surely do not fit, before the first byte of them is fetched.
pub(super) fn check(store: &Path, records: &[RepoDataRecord]) -> Result<(), EnvironmentError> {
    let missing = records.iter().filter(|record| {
        let package = &record.package_record;
        let name = format!("{}-{}-{}", package.name.as_normalized(), package.version, package.build);
        !store.join("pkgs").join(name).is_dir()
    });
    // Packed; unpacked they take more.
    let least: u64 = missing.filter_map(|record| record.package_record.size).sum();
    match free(store) {
        Some(free) if free < least => {
            let full = EnvironmentError::no_space(store, "fetching conda packages");
            Err(full.needing(|| format!("the packages alone take at least {}", decimal(least))))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named_with_what_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let full = Full::at(&folder.path().join("not/there/yet"));
        let (mount, free, total) = full.disk.clone().unwrap();
        assert!(folder.path().starts_with(&mount) && free <= total && total > 0, "{full:?}");
        let text = full.needing(|| "it needs 5 GB".to_owned()).needing(|| "never said".to_owned()).to_string();
        assert!(text.contains(" free on /") && text.ends_with(", and it needs 5 GB"), "{text}");
    }
}
