//! Real repositories: names that are hard to write, branches that are new, commits that were thrown away, too much at once.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::Command;

use super::*;

/// A repository with one commit on `main`, and a folder for copies of it.
struct Place {
    root: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { root: tempfile::tempdir().unwrap() };
        std::fs::create_dir(place.work()).unwrap();
        place.git(&["init", "-q", "-b", "main", "."]);
        place.commit(&[b"README.md"]);
        place
    }

    fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    fn git(&self, words: &[&str]) -> String {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=t", "-c", "user.email=t@t"]).args(words).current_dir(self.work());
        let output = git.output().unwrap();
        assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Adds something to each of these, and commits it.
    fn commit(&self, names: &[&[u8]]) -> CommitSha {
        for name in names {
            let path = self.work().join(OsStr::from_bytes(name));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let before = std::fs::read(&path).unwrap_or_default();
            std::fs::write(&path, [before, b"line\n".to_vec()].concat()).unwrap();
        }
        self.git(&["add", "."]);
        self.git(&["commit", "-q", "-m", "more"]);
        self.tip()
    }

    fn tip(&self) -> CommitSha {
        self.git(&["rev-parse", "HEAD"]).parse().unwrap()
    }

    async fn changed(&self, reference: &str, since: Since, to: &CommitSha) -> Result<Vec<String>, CheckoutError> {
        let address = Address::Git(self.work().display().to_string(), None);
        let copies = self.root.path().join("poller");
        let mut all = changed(&copies, &address, reference, to, &[(since, to.clone())]).await?;
        all.remove(0)
    }
}

#[tokio::test]
async fn names_are_told_as_they_are_and_what_was_renamed_under_both() {
    let place = Place::new();
    let first = place.tip();
    let names: [&[u8]; 4] = [b"src/a b.py", b"src/line\nfeed.py", "src/ümlaut.py".as_bytes(), b"src/\xff.py"];
    let second = place.commit(&names);
    let found = place.changed("refs/heads/main", Since::Commit(first.clone()), &second).await.unwrap();
    assert_eq!(found, ["src/a b.py", "src/line\nfeed.py", "src/ümlaut.py", "src/\u{fffd}.py"]);
    place.git(&["mv", "src/a b.py", "src/c.py"]);
    place.git(&["commit", "-q", "-m", "renamed"]);
    let third = place.tip();
    let found = place.changed("refs/heads/main", Since::Commit(second), &third).await.unwrap();
    assert_eq!(found, ["src/a b.py", "src/c.py"]);
    place.git(&["revert", "--no-edit", "HEAD"]);
    let back = place.tip();
    let whole = place.changed("refs/heads/main", Since::Commit(first), &back).await.unwrap();
    assert_eq!(whole.len(), 4, "what was undone on the way is no change: {whole:?}");
}

#[tokio::test]
async fn a_new_branch_is_compared_with_where_it_began() {
    let place = Place::new();
    place.git(&["checkout", "-q", "-b", "feat/x"]);
    let feat = place.commit(&[b"docs/x.md"]);
    place.git(&["checkout", "-q", "main"]);
    let main = place.commit(&[b"src/a.py"]);
    let since = |tip: &CommitSha| Since::Left("refs/heads/main".to_owned(), tip.clone());
    assert_eq!(place.changed("refs/heads/feat/x", since(&main), &feat).await.unwrap(), ["docs/x.md"]);
    assert_eq!(place.changed("refs/heads/other", since(&main), &main).await.unwrap(), [""; 0]);
    place.git(&["checkout", "-q", "--orphan", "alone"]);
    let alone = place.commit(&[b"src/a.py"]);
    assert!(place.changed("refs/heads/alone", since(&main), &alone).await.is_err(), "they have nothing in common");
}

#[tokio::test]
async fn what_was_thrown_away_counts_and_what_nobody_has_any_more_is_not_known() {
    let place = Place::new();
    let first = place.tip();
    let gone = place.commit(&[b"src/gone.py"]);
    place.git(&["reset", "-q", "--hard", first.as_str()]);
    let new = place.commit(&[b"docs/new.md"]);
    let found = place.changed("refs/heads/main", Since::Commit(gone), &new).await.unwrap();
    assert_eq!(found, ["docs/new.md", "src/gone.py"]);
    let nowhere: CommitSha = "d".repeat(40).parse().unwrap();
    let fault = place.changed("refs/heads/main", Since::Commit(nowhere), &new).await.unwrap_err();
    assert!(matches!(fault, CheckoutError::Missing(_)), "{fault}");
}

#[tokio::test]
async fn more_than_is_listed_is_not_known() {
    let place = Place::new();
    let first = place.tip();
    let names: Vec<Vec<u8>> = (0..=MOST_PATHS).map(|number| format!("many/{number}").into_bytes()).collect();
    let all: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
    let second = place.commit(&all[1..]);
    let found = place.changed("refs/heads/main", Since::Commit(first.clone()), &second).await.unwrap();
    assert_eq!(found.len(), MOST_PATHS);
    let third = place.commit(&all[..1]);
    let fault = place.changed("refs/heads/main", Since::Commit(first.clone()), &third).await.unwrap_err();
    assert!(matches!(fault, CheckoutError::Many(MOST_PATHS)), "{fault}");
    // Fewer, with names that take more than they may.
    let long = "n".repeat(200);
    let names: Vec<Vec<u8>> = (0..1_800).map(|number| format!("{long}/{long}/{long}/{number}").into_bytes()).collect();
    let all: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
    let fourth = place.commit(&all);
    let fault = place.changed("refs/heads/main", Since::Commit(third), &fourth).await.unwrap_err();
    assert!(matches!(fault, CheckoutError::Many(MOST_PATHS)), "{fault}");
}

#[tokio::test]
async fn one_byte_more_than_is_read_is_seen_and_no_more() {
    assert_eq!(beginning(Some(&b"abcdef"[..]), 3).await.unwrap(), b"abcd");
    assert_eq!(beginning(Some(&b"abc"[..]), 3).await.unwrap(), b"abc");
    assert_eq!(beginning(None::<&[u8]>, 3).await.unwrap(), b"");
}

#[tokio::test]
async fn a_later_fetch_brings_only_what_is_new() {
    let place = Place::new();
    let first = place.tip();
    // So many folders, no two alike, that git keeps what it was sent as a pack.
    let names: Vec<Vec<u8>> = (0..150).map(|number| format!("{number}/{number}").into_bytes()).collect();
    let all: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
    let second = place.commit(&all);
    place.changed("refs/heads/main", Since::Commit(first), &second).await.unwrap();
    let third = place.commit(&[b"README.md"]);
    let found = place.changed("refs/heads/main", Since::Commit(second), &third).await.unwrap();
    assert_eq!(found, ["README.md"]);
    let copies = std::fs::read_dir(place.root.path().join("poller/copies")).unwrap();
    let copy = copies.map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap();
    let counted = Command::new("git").args(["count-objects", "-v"]).current_dir(copy).output().unwrap();
    let counted = String::from_utf8(counted.stdout).unwrap();
    assert!(counted.contains("packs: 1\n"), "{counted}");
}
