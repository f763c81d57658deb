//! What lies in a published folder, told apart: what its manifest names, and what somebody else put there.

use std::collections::{BTreeMap, BTreeSet};

use super::Listed;
use crate::id::RelPath;
use crate::outputs::manifest::Manifest;

/// What a listing of a folder holds.
#[derive(Debug, Default)]
pub(super) struct Apart {
    /// What the manifest names, by its path there.
    pub(super) own: BTreeMap<RelPath, Listed>,
    /// Everything else, a second file of a name of ours, too.
    pub(super) others: Vec<Listed>,
}

impl Apart {
    /// Of `listed`, in which what a path stands for comes first.
    pub(super) fn by(manifest: &Manifest, listed: Vec<Listed>) -> Self {
        let ids: BTreeSet<&str> = manifest.files.iter().filter_map(|entry| entry.id.as_deref()).collect();
        // Who copied the folder has everything under other ids: then names decide.
        let ids_decide = listed.iter().any(|one| one.id.as_deref().is_some_and(|id| ids.contains(id)));
        let mut apart = Self::default();
        for one in listed {
            let is_own = manifest.entry(&one.path).is_some_and(|entry| match &entry.id {
                Some(id) if ids_decide => one.id.as_ref() == Some(id),
                _ => !apart.own.contains_key(&one.path),
            });
            if is_own {
                apart.own.insert(one.path.clone(), one);
            } else {
                apart.others.push(one);
            }
        }
        apart
    }

    /// Takes what lies at a path of the manifest; where that is gone, whatever has its name.
    pub(super) fn take(&mut self, path: &RelPath) -> Option<Listed> {
        self.own.remove(path).or_else(|| {
            let at = self.others.iter().position(|one| one.path == *path)?;
            Some(self.others.remove(at))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{listed, manifest};
    use super::*;

    /// Paths and ids of what is not the manifest's.
    fn others(files: &[(&str, Option<&str>)], there: &[(&str, Option<&str>)]) -> Vec<String> {
        let there = there.iter().map(|(path, id)| listed(path, *id)).collect();
        let apart = Apart::by(&manifest("demo", files), there);
        let name = |one: &Listed| format!("{} {}", one.path, one.id.as_deref().unwrap_or("-"));
        apart.others.iter().map(name).collect()
    }

    #[test]
    fn a_second_file_of_a_name_of_ours_is_of_somebody_else() {
        let files = [("a", Some("1")), ("b", Some("2"))];
        let both = [("a", Some("1")), ("b", Some("2"))];
        assert_eq!(others(&files, &both), [""; 0]);
        // The older one stands for the name, and the manifest says which is ours.
        assert_eq!(others(&files, &[("a", Some("0")), ("a", Some("1")), ("b", Some("2"))]), ["a 0"]);
        assert_eq!(others(&files, &[("a", Some("1")), ("a", Some("3")), ("notes", Some("4"))]), ["a 3", "notes 4"]);
        // Ours is gone, and somebody gave its name to a file.
        assert_eq!(others(&files, &[("a", Some("5")), ("b", Some("2"))]), ["a 5"]);
    }

    #[test]
    fn in_a_folder_that_was_copied_names_decide() {
        let files = [("a", Some("1")), ("b", Some("2"))];
        let copied = [("a", Some("7")), ("b", Some("8")), ("b", Some("9")), ("c", Some("10"))];
        assert_eq!(others(&files, &copied), ["b 9", "c 10"]);
    }

    #[test]
    fn where_a_name_says_which_file_is_meant_no_id_counts() {
        let files = [("a", None)];
        assert_eq!(others(&files, &[("a", Some("of the service")), ("x", None)]), ["x -"]);
        assert_eq!(others(&files, &[("a", None), ("a", None)]), ["a -"], "composed in two ways");
    }

    #[test]
    fn what_has_the_name_of_a_file_that_is_gone_is_looked_at_once() {
        let manifest = manifest("demo", &[("a", Some("1")), ("b", Some("2"))]);
        let mut apart = Apart::by(&manifest, vec![listed("a", Some("5")), listed("b", Some("2"))]);
        assert_eq!(apart.take(&"a".parse().unwrap()).unwrap().id.as_deref(), Some("5"));
        assert_eq!(apart.take(&"b".parse().unwrap()).unwrap().id.as_deref(), Some("2"));
        assert!(apart.others.is_empty() && apart.take(&"b".parse().unwrap()).is_none());
    }
}
