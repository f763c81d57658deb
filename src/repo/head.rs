//! Which commit `HEAD` seems to name, read from git's files without asking git: a guess that saves a round of questions.
//!
//! Never an answer: whoever uses it asks git too, and drops the guess where git says another commit.

use std::fs;
use std::path::{Path, PathBuf};

use crate::id::CommitSha;

/// A file of refs that is larger is not worth a guess.
const LARGEST: u64 = 4 << 20;

/// The commit, as far as plain files tell it: not in a repository whose refs are kept in another way.
pub(super) fn seems(folder: &Path) -> Option<CommitSha> {
    let git_dir = folder.ancestors().map(|folder| folder.join(".git")).find_map(|at| follow(&at))?;
    let head = text(&git_dir.join("HEAD"))?;
    let Some(name) = head.strip_prefix("ref: ") else { return head.parse().ok() };
    let shared = match text(&git_dir.join("commondir")) {
        Some(place) => git_dir.join(place),
        None => git_dir,
    };
    // A name that climbs out of the folder is no ref's.
    if !name.starts_with("refs/") || name.split('/').any(|part| part == "..") {
        return None;
    }
    text(&shared.join(name)).or_else(|| packed(&shared, name))?.parse().ok()
}

/// `.git`, or the folder that a file of this name leads to.
fn follow(at: &Path) -> Option<PathBuf> {
    if at.is_dir() {
        return Some(at.to_owned());
    }
    let place = text(at)?;
    Some(at.parent()?.join(place.strip_prefix("gitdir: ")?))
}

fn packed(shared: &Path, name: &str) -> Option<String> {
    let all = text(&shared.join("packed-refs"))?;
    let found = all.lines().find_map(|line| line.split_once(' ').filter(|(_, of)| *of == name));
    found.map(|(commit, _)| commit.to_owned())
}

/// A small file's text without the last newline.
fn text(path: &Path) -> Option<String> {
    if fs::metadata(path).ok()?.len() > LARGEST {
        return None;
    }
    Some(fs::read_to_string(path).ok()?.trim_end_matches('\n').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "1111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222";

    fn with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        folder
    }

    fn seen(files: &[(&str, &str)]) -> Option<String> {
        seems(&with(files).path().join("a/b")).map(|commit| commit.as_str().to_owned())
    }

    #[test]
    fn a_branch_is_found_loose_before_packed_and_from_any_folder_below() {
        let packed = format!("# pack-refs with: peeled fully-peeled sorted\n{TWO} refs/heads/main\n^{ONE}\n");
        let head = (".git/HEAD", "ref: refs/heads/main\n");
        assert_eq!(seen(&[head, (".git/packed-refs", &packed)]).as_deref(), Some(TWO));
        let loose = format!("{ONE}\n");
        assert_eq!(
            seen(&[head, (".git/packed-refs", &packed), (".git/refs/heads/main", &loose)]).as_deref(),
            Some(ONE)
        );
        assert_eq!(seen(&[(".git/HEAD", &loose)]).as_deref(), Some(ONE), "a detached head");
    }

    #[test]
    fn a_linked_work_tree_reads_the_refs_that_all_share() {
        let files = [
            (".git", "gitdir: main/.git/worktrees/w\n"),
            ("main/.git/worktrees/w/HEAD", "ref: refs/heads/w\n"),
            ("main/.git/worktrees/w/commondir", "../..\n"),
            ("main/.git/refs/heads/w", ONE),
        ];
        assert_eq!(seen(&files).as_deref(), Some(ONE));
    }

    #[test]
    fn what_it_cannot_read_is_no_guess() {
        let climbing = format!("{ONE}\n");
        let files: [&[(&str, &str)]; 5] = [
            &[],
            &[(".git/HEAD", "ref: refs/heads/none\n")],
            &[(".git/HEAD", "ref: refs/heads/.invalid\n"), (".git/reftable/tables.list", "")],
            &[(".git/HEAD", "ref: refs/../../secret\n"), ("secret", &climbing)],
            &[(".git/HEAD", "nonsense\n")],
        ];
        for files in files {
            assert_eq!(seen(files), None, "{files:?}");
        }
    }
}
