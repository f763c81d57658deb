//! Names that are ours while something is written, swept or tried out, and nobody's afterwards.

use super::{Folder, object_folder};
use crate::id::ProjectName;

/// What names begin with that are ours while something is written, and nobody's afterwards.
const PART: &str = ".soopervisor-part-";
const HOLD: &str = ".soopervisor-hold%2d";
const SWEEP: &str = ".soopervisor-sweep%2d";
/// What follows it where the folder was published until then.
const TAKEN: &str = "taken-";
const TRIAL: &str = "soopervisor-doctor-";

/// What nobody else comes to.
fn chance() -> String {
    use std::hash::{BuildHasher as _, Hasher as _};
    // Seeded anew each time, by the system's randomness.
    let random = || std::hash::RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}

/// A name in the folder of `key` that nobody has, for a file that is not finished.
pub(in crate::storage) fn beside(key: &str) -> String {
    let name = format!("{PART}{}", chance());
    match key.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{name}"),
        None => name,
    }
}

/// A name that nobody has, beside the projects, for a small file that is written to see whether that can be done: what is
/// removed afterwards is nobody else's.
pub(in crate::storage) fn trial() -> String {
    format!("{TRIAL}{}", chance())
}

/// Whether a key is one that [`trial`] gave.
pub(in crate::storage) fn is_trial(key: &str) -> bool {
    let chance = key.strip_prefix(TRIAL);
    chance.is_some_and(|chance| chance.len() == 32 && chance.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

/// Whether `part` is a name that [`beside`] gave for `key`.
#[cfg(any(feature = "webdav", feature = "sftp"))]
pub(in crate::storage) fn is_beside(key: &str, part: &str) -> bool {
    let folder = |key: &str| key.rsplit_once('/').map(|(folder, _)| folder.to_owned());
    is_unfinished(part) && super::is_stored_name(part) && folder(key) == folder(part)
}

/// The folder beside `key` that whoever wants to give it makes first; the `number`th, for those that came to nothing.
#[cfg(any(feature = "webdav", feature = "sftp"))]
pub(in crate::storage) fn claim(key: &str, number: u32) -> String {
    use sha2::{Digest as _, Sha256};
    let (above, name) = key.rsplit_once('/').map_or(("", key), |(above, name)| (above, name));
    let claim = format!("{PART}claim-{number}-{}", hex::encode(&Sha256::digest(name)[..8]));
    if above.is_empty() { claim } else { format!("{above}/{claim}") }
}

/// The file, in an unfinished folder, by which a publisher says that it goes on with what lies there. Outputs never have
/// such a name: theirs escape `%`.
pub(in crate::storage) fn hold(project: &ProjectName, folder: &Folder) -> String {
    format!("{}{HOLD}{}", object_folder(project, folder), chance())
}

/// The file, in an unfinished folder, by which `prune` says that it takes away what lies there.
pub(in crate::storage) fn sweep(project: &ProjectName, folder: &Folder) -> String {
    format!("{}{SWEEP}{}", object_folder(project, folder), chance())
}

/// The [`sweep`] by which `prune` says that it takes away what was published there: everything that is no younger than
/// this is of nobody.
pub(in crate::storage) fn taken(project: &ProjectName, folder: &Folder) -> String {
    format!("{}{SWEEP}{TAKEN}{}", object_folder(project, folder), chance())
}

/// Whether a name in a folder is that of a [`taken`].
pub(in crate::storage) fn is_taken(name: &str) -> bool {
    name.strip_prefix(SWEEP).is_some_and(|rest| rest.starts_with(TAKEN))
}

/// Whether a name in a folder is that of a [`hold`].
pub(in crate::storage) fn is_hold(name: &str) -> bool {
    name.starts_with(HOLD)
}

/// Whether a name in a folder is that of a [`sweep`].
pub(in crate::storage) fn is_sweep(name: &str) -> bool {
    name.starts_with(SWEEP)
}

/// Whether a name in a folder is that of a [`hold`] or a [`sweep`].
pub(in crate::storage) fn is_mark(name: &str) -> bool {
    is_hold(name) || is_sweep(name)
}

/// Whether a whole key is that of a mark: where files are removed one by one, marks go last.
pub(in crate::storage) fn is_marks(key: &str) -> bool {
    key.rsplit('/').next().is_some_and(is_mark)
}

/// Whether a key is of a file that is not finished.
pub(in crate::storage) fn is_unfinished(key: &str) -> bool {
    key.trim_end_matches('/').rsplit('/').next().is_some_and(|name| name.starts_with(PART))
}

#[cfg(test)]
mod tests {
    use super::super::{is_stored_name, other_name, stored_names};
    use super::*;
    use crate::id::RelPath;

    fn path(text: &str) -> RelPath {
        text.parse().unwrap()
    }

    #[test]
    fn no_output_is_stored_under_the_name_of_a_mark() {
        let (project, folder) = ("p".parse().unwrap(), "0123456789abcdef0123456789abcdef01234567".parse().unwrap());
        for mark in [hold(&project, &folder), sweep(&project, &folder), taken(&project, &folder)] {
            let name = mark.rsplit('/').next().unwrap();
            assert!(is_marks(&mark) && is_mark(name) && is_stored_name(name) && !is_unfinished(&mark), "{mark}");
            // Neither what the mark's name says nor what it stands for.
            let stem = name.split('%').next().unwrap().to_owned();
            for output in [name.to_owned(), name.replace("%2d", "-"), stem.clone()] {
                let stored = stored_names([&path(&output), &path(&stem.to_uppercase())], 1000);
                let other = other_name(&stored[0], &"r".parse().unwrap());
                assert!(stored.iter().chain([&other]).all(|name| !is_mark(name)), "{output}: {stored:?} {other}");
            }
        }
        assert!(is_sweep(&format!("{SWEEP}0")) && !is_sweep(&format!("{HOLD}0")));
        let name = |mark: String| mark.rsplit('/').next().unwrap().to_owned();
        let (taken, sweep) = (name(taken(&project, &folder)), name(sweep(&project, &folder)));
        assert!(is_sweep(&taken) && is_taken(&taken) && !is_taken(&sweep));
        assert!(is_hold(&name(hold(&project, &folder))) && !is_hold(&sweep) && !is_hold(&taken));
    }

    #[test]
    #[cfg(any(feature = "webdav", feature = "sftp"))]
    fn what_was_remembered_of_a_file_is_a_part_beside_it_or_nothing() {
        let part = beside("p/c/a");
        assert!(is_beside("p/c/a", &part) && is_beside("x", &beside("x")));
        for other in ["p/c/a", "p/.soopervisor-part-1", "p/c/../.soopervisor-part-1", "p/c/.soopervisor-part-1/x", ""] {
            assert!(!is_beside("p/c/a", other), "{other}");
        }
    }
}
