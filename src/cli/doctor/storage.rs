//! The check of the storage: a folder is looked at; a service is asked who is logged in and how much room there is, and
//! something small is written there and removed again.

use std::path::Path;
use std::time::Duration;

use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::seam;
use super::machine::nearest;
use super::{Check, Level};
use crate::report::bytes;
use crate::storage::{Health, Location};

pub(super) const NAME: &str = "storage";
/// Services that do not answer are asked again for minutes; nobody waits that long for a check.
const PATIENCE: Duration = Duration::from_secs(30);

/// Hardly room for one run's outputs.
const LITTLE: u64 = 100_000_000;

/// What is said of a storage as it is written; `offline` asks no service.
///
/// # Errors
/// Where somebody stopped it: then nothing is said of the storage.
pub(super) fn check(written: Option<&str>, offline: bool) -> Result<Check, Failure> {
    let Some(written) = written else {
        return Ok(Check::new(NAME, Level::Skipped, "none is given (--storage or SOOPERVISOR_STORAGE)"));
    };
    Ok(match seam::location(written) {
        Ok(Location::Local(folder)) => {
            local(&folder).looking_at(format!("a file was to be made in {}", nearest(&folder).display()))
        }
        Ok(_) if offline => Check::new(NAME, Level::Skipped, "offline"),
        Ok(_) => match seam::storage_health(written, PATIENCE) {
            Ok(health) => well(&health).looking_at("a small file was written there, and removed"),
            Err(failure) if failure.exit == Exit::Cancelled => return Err(failure),
            Err(failure) => failed(failure),
        },
        Err(failure) => failed(failure),
    })
}

fn local(folder: &Path) -> Check {
    let nearest = nearest(folder);
    match tempfile::tempfile_in(&nearest) {
        Ok(_) => writable(folder, rustix::fs::statvfs(&nearest).ok().map(|disk| disk.f_bavail * disk.f_frsize)),
        Err(error) => {
            let mend = format!(
                "name a folder that you may write to: `--storage local:DIR`; `ls -ld {}` says whose this one is",
                nearest.display()
            );
            Check::fail(NAME, Exit::StorageFailed, format!("{}: {error}", nearest.display()), mend)
        }
    }
}

/// An empty file can be made on a full disk, too.
fn writable(folder: &Path, free: Option<u64>) -> Check {
    let mend = "free some space there, or name a folder on another disk: `--storage local:DIR`";
    match free {
        Some(0) => Check::fail(NAME, Exit::StorageFailed, format!("{} is on a full disk", folder.display()), mend),
        Some(free) => {
            let found = format!("{} can be written, {} free", folder.display(), bytes(free));
            if free < LITTLE { Check::warn(NAME, found, mend) } else { Check::ok(NAME, found) }
        }
        None => Check::ok(NAME, format!("{} can be written", folder.display())),
    }
}

fn well(health: &Health) -> Check {
    let free = health.free.map(|free| format!(", {} free", bytes(free))).unwrap_or_default();
    let found = format!("{} can be written{free}", health.place);
    match health.notes.first() {
        None => Check::ok(NAME, found),
        Some(_) => Check::warn(NAME, found, health.notes.join("; ")),
    }
}

fn failed(failure: Failure) -> Check {
    let found = std::iter::once(failure.what).chain(failure.why).collect::<Vec<_>>().join(": ");
    let mend = failure.help.unwrap_or_else(|| "soopervisor auth status".to_owned());
    Check::fail(NAME, failure.exit, found, mend)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storage_is_writable_not_writable_or_not_checked() {
        let dir = tempfile::tempdir().unwrap();
        let deep = format!("local:{}/not/there/yet", dir.path().display());
        let level = |written: Option<&str>, offline| check(written, offline).unwrap().level;
        assert_eq!(level(Some(&deep), true), Level::Ok);
        assert_eq!(level(Some("local:/proc/nowhere"), true), Level::Fail);
        assert_eq!(level(Some("s3://bucket"), true), Level::Skipped);
        assert_eq!(level(None, false), Level::Skipped);
        let unknown = check(Some("bocks://x"), true).unwrap();
        assert!(unknown.level == Level::Fail && unknown.mend.is_some(), "{unknown:?}");
    }

    #[test]
    fn a_folder_on_a_full_disk_is_no_storage() {
        let of = |free| writable(Path::new("/srv/results"), free);
        assert_eq!(of(Some(0)).level, Level::Fail);
        let little = of(Some(5_000_000));
        assert!(little.level == Level::Warn && little.found.contains("5.0 MB free"), "{little:?}");
        assert_eq!((of(Some(2_000_000_000)).level, of(None).level), (Level::Ok, Level::Ok));
    }

    #[test]
    fn what_a_service_has_to_say_is_said() {
        let health = Health { place: "box:".to_owned(), free: Some(2_000_000), notes: Vec::new() };
        assert_eq!(well(&health).found, "box: can be written, 2.0 MB free");
        let soon = well(&Health { notes: vec!["the login ends in 3 days".to_owned()], ..health });
        assert_eq!((soon.level, soon.mend.as_deref()), (Level::Warn, Some("the login ends in 3 days")));
    }
}
