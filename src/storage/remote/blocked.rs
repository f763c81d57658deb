//! Why a publish failed where a file of somebody's stands in the place of a folder of ours: services say so each in words of
//! their own, or not at all.

use super::Remote;
use crate::storage::backend::{Fault, upwards};
use crate::storage::{Folder, Publication, StorageError, key};

/// The error, or what lies behind it.
pub(super) async fn explained(remote: &Remote, publication: &Publication, error: StorageError) -> StorageError {
    // Where names never fold there are no folders, or a file of the same name is beside them and not in the way.
    if !may_be_it(&error) || !remote.service.may_fold_case() {
        return error;
    }
    let whole = key::object_folder(&publication.about.project, &Folder::of(&publication.about.revision));
    for path in upwards(whole.trim_end_matches('/')) {
        if let Ok(Some(there)) = remote.service.stat(path).await
            && !there.folder
        {
            return StorageError::Blocked { path: place_of(&remote.service.place(), path) };
        }
    }
    error
}

/// Not where the service, the login or the account's room failed: nothing more is asked then.
fn may_be_it(error: &StorageError) -> bool {
    let StorageError::Service { fault, .. } = error else { return false };
    matches!(
        fault,
        Fault::Refused { .. }
            | Fault::Exists
            | Fault::NotFound
            | Fault::Damaged(_)
            | Fault::Form(_)
            | Fault::Setting(_)
    )
}

/// As it is written: the top of an account is `box:`.
fn place_of(place: &str, path: &str) -> String {
    let between = if place.ends_with([':', '/']) { "" } else { "/" };
    format!("{place}{between}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_as_people_write_it() {
        assert_eq!(place_of("box:output", "d-two"), "box:output/d-two");
        assert_eq!(place_of("box:", "d-two"), "box:d-two");
    }

    #[test]
    fn who_has_no_login_or_no_answer_is_asked_nothing_more() {
        let failed = |fault| {
            let (key, place) = ("demo/".to_owned(), "box:".to_owned());
            may_be_it(&StorageError::Service { action: "make the folder", key, place, fault })
        };
        assert!(failed(Fault::Exists) && failed(Fault::refused(409, "conflict")));
        let words = || "x".to_owned();
        for fault in [Fault::Login(words()), Fault::Broken(words()), Fault::Forbidden(words()), Fault::Full] {
            assert!(!failed(fault));
        }
        assert!(!may_be_it(&StorageError::Cancelled));
    }
}
