//! Where soopervisor keeps things on this machine: cache, state and configuration.
//!
//! Computes paths from variables and makes the folders, for the owner only. Never writes files into them.

use std::ffi::OsString;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::StoreError;

/// The three places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    cache: PathBuf,
    state: PathBuf,
    config: PathBuf,
}

impl Home {
    /// Takes the places from this process's environment.
    ///
    /// # Errors
    /// When no variable says where home is, or one that does is relative.
    pub fn from_env() -> Result<Self, StoreError> {
        Self::from_vars(|name| std::env::var_os(name))
    }

    /// Takes the places from `variable`: `SOOPERVISOR_HOME`, else the XDG base directories.
    ///
    /// # Errors
    /// When no variable says where home is, or `SOOPERVISOR_HOME` is relative. Relative XDG variables are ignored,
    /// as their specification asks.
    pub fn from_vars(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, StoreError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(home) = set("SOOPERVISOR_HOME") {
            if home.is_relative() {
                let value = home.display().to_string();
                return Err(StoreError::RelativeHome { variable: "SOOPERVISOR_HOME", value });
            }
            return Ok(Self::at(&home));
        }
        let base = |name: &str, below_home: &str| {
            set(name)
                .filter(|path| path.is_absolute())
                .or_else(|| set("HOME").filter(|path| path.is_absolute()).map(|home| home.join(below_home)))
                .map(|base| base.join("soopervisor"))
                .ok_or(StoreError::NoHome)
        };
        Ok(Self {
            cache: base("XDG_CACHE_HOME", ".cache")?,
            state: base("XDG_STATE_HOME", ".local/state")?,
            config: base("XDG_CONFIG_HOME", ".config")?.join("config.yaml"),
        })
    }

    /// All three below one folder.
    pub fn at(home: &Path) -> Self {
        Self { cache: home.join("cache"), state: home.join("state"), config: home.join("config.yaml") }
    }

    /// Things that can be made again: environments, packages, channels.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// Things that cannot: the history.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The user's settings for this machine; need not exist.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The server's file, where none is named: beside the user's settings; need not exist.
    pub fn server_file(&self) -> PathBuf {
        self.config.with_file_name("server.yaml")
    }

    /// The environment store; containers see it at `/opt/sv`.
    pub fn environments(&self) -> PathBuf {
        self.cache.join("env")
    }

    /// Large snapshots, kept for later runs.
    pub fn snapshots(&self) -> PathBuf {
        self.cache.join("snapshots")
    }

    /// One folder a run.
    pub fn runs(&self) -> PathBuf {
        self.state.join("runs")
    }

    /// Makes cache and state, readable by the owner only; folders that exist keep their mode.
    ///
    /// # Errors
    /// When a folder cannot be made.
    pub fn ensure(&self) -> Result<(), StoreError> {
        [self.cache.clone(), self.runs()].iter().try_for_each(|folder| make_private(folder))
    }
}

/// Makes a folder and its parents with mode 0700.
pub(super) fn make_private(folder: &Path) -> Result<(), StoreError> {
    // fs-err has no mode setting in its builder.
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(StoreError::io("make the folder", folder))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn from(vars: &[(&str, &str)]) -> Result<Home, StoreError> {
        Home::from_vars(|name| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value)))
    }

    #[test]
    fn soopervisor_home_wins_over_xdg_and_home() {
        let home = from(&[("SOOPERVISOR_HOME", "/s"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")]).unwrap();
        assert_eq!(home, Home::at(Path::new("/s")));
        assert_eq!(home.runs(), Path::new("/s/state/runs"));
        assert_eq!(home.config(), Path::new("/s/config.yaml"));
        assert_eq!(home.environments(), Path::new("/s/cache/env"));
    }

    #[test]
    fn xdg_variables_are_taken_one_by_one_and_relative_or_empty_ones_ignored() {
        let home =
            from(&[("XDG_CACHE_HOME", "/x"), ("XDG_STATE_HOME", "rel"), ("XDG_CONFIG_HOME", ""), ("HOME", "/h")]);
        let home = home.unwrap();
        assert_eq!(home.cache(), Path::new("/x/soopervisor"));
        assert_eq!(home.state(), Path::new("/h/.local/state/soopervisor"));
        assert_eq!(home.config(), Path::new("/h/.config/soopervisor/config.yaml"));
    }

    #[test]
    fn refuses_no_home_and_a_relative_one() {
        assert!(matches!(from(&[]), Err(StoreError::NoHome)));
        assert!(matches!(from(&[("HOME", "")]), Err(StoreError::NoHome)));
        assert!(matches!(from(&[("SOOPERVISOR_HOME", "x")]), Err(StoreError::RelativeHome { .. })));
    }

    #[test]
    fn folders_are_for_the_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(&dir.path().join("deep/home"));
        home.ensure().unwrap();
        home.ensure().unwrap();
        for folder in [home.cache(), home.state(), &home.runs()] {
            assert_eq!(fs_err::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700, "{}", folder.display());
        }
    }
}
