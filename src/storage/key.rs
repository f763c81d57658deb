//! Every path in a storage: `{project}/{folder}/{path}`, and the names that are ours.
//!
//! Pure. No other module puts such a path together.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::id::{IdError, ProjectName, RelPath, Revision, RunId};

mod mark;
mod name;

pub(super) use mark::{
    beside, hold, is_hold, is_mark, is_marks, is_sweep, is_taken, is_trial, is_unfinished, sweep, taken, trial,
};
#[cfg(any(feature = "webdav", feature = "sftp"))]
pub(super) use mark::{claim, is_beside};
pub(super) use name::{composed, foreign};
use name::{folded, is_short_name, short_name};
pub use name::{from_object, is_stored_name, stored_name, stored_names};

/// The file that makes a folder a published one.
pub const MANIFEST: &str = "manifest.json";

const STAGING: &str = ".staging-";
const RUN: &str = "-run-";

/// The second part: a revision, or a run of it that was published beside it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Folder {
    /// What was run.
    pub revision: Revision,
    /// The run, where `--on-conflict new-run` made this folder.
    pub run: Option<RunId>,
}

impl Folder {
    /// The folder of a revision.
    pub fn of(revision: &Revision) -> Self {
        Self { revision: revision.clone(), run: None }
    }

    /// The folder beside it for one run.
    #[must_use]
    pub fn beside(&self, run: &RunId) -> Self {
        Self { revision: self.revision.clone(), run: Some(run.clone()) }
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.revision)?;
        self.run.as_ref().map_or(Ok(()), |run| write!(f, "{RUN}{run}"))
    }
}

impl FromStr for Folder {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.split_once(RUN) {
            None => Ok(Self { revision: text.parse()?, run: None }),
            Some((revision, run)) => Ok(Self { revision: revision.parse()?, run: Some(run.parse()?) }),
        }
    }
}

impl Serialize for Folder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The folder, beside the published ones, in which a run is put together.
pub fn staging(run: &RunId) -> String {
    format!("{STAGING}{run}")
}

/// The name under which a folder that is being removed waits for the end of it; a staging folder of nobody.
pub fn removal(folder: &Folder) -> String {
    format!("{STAGING}removed-{folder}")
}

/// Whether a name in a project's folder is such a folder.
pub fn is_staging(name: &[u8]) -> bool {
    name.starts_with(STAGING.as_bytes())
}

/// What a link says: the way from its own folder to `target`.
pub fn link_text(link: &RelPath, target: &RelPath) -> Vec<u8> {
    let parts = |path: &RelPath| -> Vec<Vec<u8>> {
        path.as_bytes().split(|b| *b == b'/').filter(|part| !part.is_empty()).map(<[u8]>::to_vec).collect()
    };
    let from = parts(&link.parent().unwrap_or_default());
    let to = parts(target);
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let mut way = vec![b"..".to_vec(); from.len() - shared];
    way.extend_from_slice(&to[shared..]);
    if way.is_empty() { b".".to_vec() } else { way.join(&b'/') }
}

/// The key of a folder in an object service, with a closing `/`.
pub fn object_folder(project: &ProjectName, folder: &Folder) -> String {
    format!("{project}/{folder}/")
}

/// The key of one file in an object service.
pub fn object(project: &ProjectName, folder: &Folder, path: &RelPath) -> String {
    format!("{project}/{folder}/{}", stored_name(path))
}

/// What says which folder of a project is the newest. Readers need not believe it.
pub fn latest(project: &ProjectName) -> String {
    format!("{project}/latest.json")
}

/// One line of a project's index: names sort by time.
pub fn index(project: &ProjectName, folder: &Folder, ended: jiff::Timestamp) -> String {
    format!("{project}/index/{}-{folder}.json", ended.strftime("%Y%m%dT%H%M%SZ"))
}

/// The key of a folder's manifest in an object service.
pub fn object_manifest(project: &ProjectName, folder: &Folder) -> String {
    format!("{project}/{folder}/{MANIFEST}")
}

/// A name that nothing else has, for what is stored a second time because its own name holds something else.
pub fn other_name(name: &str, run: &RunId) -> String {
    let (above, last) = name.rsplit_once('/').map_or(("", name), |(above, last)| (above, last));
    let short = short_name(last, format!("{run}/{name}").as_bytes());
    if above.is_empty() { short } else { format!("{above}/{short}") }
}

/// How the folder of a project is spelt among the names that lie beside it: as the project is, or else in a way that some
/// storages take for the same.
pub(super) fn spelling<'a>(names: &'a [String], project: &ProjectName) -> Option<&'a str> {
    let ours = folded(project.as_str());
    let same = names.iter().find(|name| *name == project.as_str());
    same.or_else(|| names.iter().find(|name| folded(name) == ours)).map(String::as_str)
}

/// Whether two projects have one folder where names that differ only in case are one.
pub(super) fn are_twins(one: &ProjectName, other: &ProjectName) -> bool {
    one != other && folded(one.as_str()) == folded(other.as_str())
}

/// Whether a name in a folder shows that we gave it, for a while or in the place of another one: nobody else's file has
/// such a name.
pub(super) fn is_of_our_making(name: &str) -> bool {
    is_mark(name) || is_unfinished(name) || name.rsplit('/').next().is_some_and(is_short_name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> RelPath {
        text.parse().unwrap()
    }

    #[test]
    fn folder_names_are_read_back() {
        let sha = "0123456789abcdef0123456789abcdef01234567";
        for text in [sha.to_owned(), format!("{sha}-dirty-0123456789ab"), format!("{sha}-run-20261121-x")] {
            assert_eq!(text.parse::<Folder>().unwrap().to_string(), text);
        }
        for bad in ["", "latest", ".staging-x", &sha[..39], &format!("{sha}-run-")] {
            assert!(bad.parse::<Folder>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_link_says_the_way_from_its_own_folder() {
        assert_eq!(link_text(&path("a/b/link"), &path("a/c/file")), b"../c/file");
        assert_eq!(link_text(&path("link"), &path("file")), b"file");
        assert_eq!(link_text(&path("a/link"), &path("a")), b".");
        assert_eq!(link_text(&path("a/b/link"), &RelPath::root()), b"../..");
    }

    #[test]
    fn blanks_and_dots_at_the_ends_do_not_get_lost() {
        let project = "p".parse().unwrap();
        let folder: Folder = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
        let keys: Vec<_> =
            ["a", " a", "a ", "a.", "%20a"].iter().map(|name| object(&project, &folder, &path(name))).collect();
        let trimmed: std::collections::BTreeSet<_> = keys.iter().map(|key| key.trim_matches([' ', '.'])).collect();
        assert_eq!(trimmed.len(), keys.len(), "{keys:?}");
    }

    #[test]
    fn a_name_of_our_making_is_no_users() {
        let (project, folder) = ("p".parse().unwrap(), "0123456789abcdef0123456789abcdef01234567".parse().unwrap());
        let mark = hold(&project, &folder);
        let run = "r".parse().unwrap();
        for ours in [
            other_name("d/a.csv", &run),
            other_name("noending", &run),
            mark.rsplit('/').next().unwrap().to_owned(),
            beside("d/x"),
        ] {
            assert!(is_of_our_making(&ours), "{ours}");
        }
        assert_ne!(trial(), trial(), "what is removed by its name");
        let given = trial();
        assert!(is_trial(&given));
        let (inside, longer) = (format!("p/{given}"), format!("{given}.txt"));
        for theirs in ["soopervisor-doctor-", "soopervisor-doctor-notes", inside.as_str(), longer.as_str()] {
            assert!(!is_trial(theirs), "{theirs}");
        }
        for theirs in ["a.csv", "a#0123456789abcdef.csv", "a%230123.csv", "a%230123456789abcdefx", "%23"] {
            assert!(!is_of_our_making(theirs), "{theirs}");
        }
    }

    #[test]
    fn the_folder_of_a_project_is_told_from_one_that_differs_in_case() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let project: ProjectName = "R1".parse().unwrap();
        assert_eq!(spelling(&names(&["r2", "r1"]), &project), Some("r1"));
        assert_eq!(spelling(&names(&["r1", "R1"]), &project), Some("R1"), "it has a folder of its own");
        assert_eq!(spelling(&names(&["r", "r11"]), &project), None);
        let other = |name: &str| are_twins(&project, &name.parse().unwrap());
        assert!(other("r1") && !other("R1") && !other("r11"));
    }

    proptest! {
        #[test]
        fn every_path_has_its_own_key_and_comes_back(parts in prop::collection::vec(prop::collection::vec(1_u8.., 1..6), 1..4)) {
            let joined = parts.join(&b'/');
            prop_assume!(RelPath::from_bytes(&joined).is_ok());
            let path = RelPath::from_bytes(&joined).unwrap();
            let folder: Folder = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
            let key = object(&"p".parse().unwrap(), &folder, &path);
            let rest = key.strip_prefix("p/0123456789abcdef0123456789abcdef01234567/").unwrap();
            prop_assert_eq!(from_object(rest), Some(path));
        }
    }
}
