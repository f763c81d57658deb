//! Checks of this machine: git, folders, disk.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::exit::Exit;
use super::{Check, Level};
use crate::report::bytes;
use crate::secret::withhold;
use crate::store::{Home, StoreError};

/// Older versions lack what exporting a snapshot needs.
const OLDEST_GIT: (u32, u32) = (2, 25);

pub(super) fn git() -> Check {
    const NAME: &str = "git";
    let mend = "install git 2.25 or newer (sudo apt-get install git)";
    let mut command = Command::new("git");
    withhold(&mut command);
    let output = match command.arg("--version").output() {
        Ok(output) if output.status.success() => output,
        Ok(output) => return Check::fail(NAME, Exit::Usage, format!("git ended with {}", output.status), mend),
        Err(error) => return Check::fail(NAME, Exit::Usage, format!("git cannot be run: {error}"), mend),
    };
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let check = match git_version(&text) {
        Some(version) if version >= OLDEST_GIT => Check::ok(NAME, text),
        Some(_) => Check::fail(NAME, Exit::Usage, format!("{text} is too old"), mend),
        None => Check::warn(NAME, format!("`{text}` names no version"), mend),
    };
    let place = found("git").map_or_else(|| "git".to_owned(), |program| program.display().to_string());
    check.looking_at(format!("{place}; {}.{} or newer is needed", OLDEST_GIT.0, OLDEST_GIT.1))
}

/// Where a program is, as the system looks for it.
fn found(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|program| program.is_file())
}

fn git_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("git version ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

pub(super) fn state(home: &Home) -> Check {
    const NAME: &str = "folders";
    let chain = |error: StoreError| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("{error}{cause}")
    };
    let tried = home.ensure().map_err(chain).and_then(|()| {
        let try_in =
            |folder: &Path| tempfile::tempfile_in(folder).map_err(|error| format!("{}: {error}", folder.display()));
        try_in(home.cache()).and_then(|_| try_in(home.state())).map(drop)
    });
    match tried {
        Ok(()) => Check::ok(NAME, format!("{}, {}", home.cache().display(), home.state().display()))
            .looking_at("a file was made in each, and removed"),
        Err(why) => Check::fail(
            NAME,
            Exit::Internal,
            why,
            "export SOOPERVISOR_HOME=DIR, where DIR is a folder that you may write to",
        ),
    }
}

pub(super) fn disk(name: &'static str, folder: &Path, needed: u64) -> Check {
    let asked = format!("for {}; {} or more are advised", folder.display(), bytes(needed));
    room(name, folder, needed).looking_at(asked)
}

fn room(name: &'static str, folder: &Path, needed: u64) -> Check {
    let there = nearest(folder);
    let folder = if writable(&there) {
        there
    } else {
        // Its room is of no use, and `folders` says what to do.
        return Check::new(name, Level::Skipped, format!("{} cannot be written", there.display()));
    };
    let free = match rustix::fs::statvfs(&folder) {
        Ok(stat) => stat.f_bavail.saturating_mul(stat.f_frsize),
        Err(error) => return Check::new(name, Level::Skipped, format!("{}: {error}", folder.display())),
    };
    let found = format!("{} free at {}", bytes(free), folder.display());
    if free >= needed {
        Check::ok(name, found)
    } else {
        let mend = format!("make room: {} or more are advised; `SOOPERVISOR_HOME` moves it", bytes(needed));
        Check::warn(name, found, mend)
    }
}

/// Whether we may make something there.
fn writable(folder: &Path) -> bool {
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok()
}

/// The folder itself, or the closest one above that exists.
pub(super) fn nearest(folder: &Path) -> PathBuf {
    let there = folder.ancestors().find(|folder| folder.is_dir());
    there.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_versions_are_read_in_all_their_dresses() {
        assert_eq!(git_version("git version 2.39.5"), Some((2, 39)));
        assert_eq!(git_version("git version 2.39.5 (Apple Git-154)"), Some((2, 39)));
        assert_eq!(git_version("hub version 2"), None);
    }

    #[test]
    fn a_full_disk_is_a_warning_with_a_way_out() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(disk("disk", dir.path(), 1).level, Level::Ok);
        let full = disk("disk", &dir.path().join("not/there"), u64::MAX);
        assert_eq!(full.level, Level::Warn);
        assert!(full.mend.is_some());
    }
}
