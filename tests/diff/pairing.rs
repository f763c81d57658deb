//! Which entries belong together, and what is read of them: manifests in memory, and files that are counted.

use std::sync::Mutex;

use async_trait::async_trait;
use soopervisor::compare::{Comparison, Content, FileChange, Files, Limits, Read, What, When};
use soopervisor::id::{Digest, RelPath};
use soopervisor::outputs::OutputKind;
use soopervisor::outputs::manifest::{Entry, Manifest};
use soopervisor::storage::StorageError;

use super::block;
use crate::fixture_run::about;

/// A file whose digest stands for its content.
fn file(path: &str, size: u64, content: u8) -> Entry {
    Entry {
        path: path.parse().unwrap(),
        kind: OutputKind::File,
        size,
        sha256: Some(Digest([content; 32])),
        meaning: None,
        mode: 0o644,
        mtime_ns: 0,
        link_target: None,
        task: None,
        stored: None,
        id: None,
    }
}

fn link(path: &str, target: &str) -> Entry {
    let target = Some(target.parse().unwrap());
    Entry { kind: OutputKind::Link, size: 0, sha256: None, link_target: target, ..file(path, 0, 0) }
}

fn compared(before: Vec<Entry>, after: Vec<Entry>) -> Comparison {
    Comparison::of_manifests(&Manifest::new(about("a"), before), &Manifest::new(about("b"), after))
}

fn told(file: &FileChange) -> String {
    let note = file.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
    match &file.what {
        What::Added => format!("+ {}{note}", file.path),
        What::Removed => format!("- {}{note}", file.path),
        What::Changed => format!("~ {}{note}", file.path),
        What::Renamed { from } => format!("{from} > {}{note}", file.path),
    }
}

fn all(before: Vec<Entry>, after: Vec<Entry>) -> Vec<String> {
    compared(before, after).files.iter().map(told).collect()
}

#[test]
fn a_file_that_moved_is_one_change_and_copies_are_new() {
    let before = vec![file("a/x.png", 9, 1), file("b.bin", 9, 2), file("c.bin", 9, 2), file("empty", 0, 3)];
    let after = vec![
        file("a/y.png", 9, 1),
        file("a/z.png", 9, 1),
        file("d/c.bin", 9, 2),
        file("e.bin", 9, 2),
        file("void", 0, 3),
    ];
    let expected = ["a/x.png > a/y.png", "+ a/z.png", "c.bin > d/c.bin", "b.bin > e.bin", "- empty", "+ void"];
    assert_eq!(all(before, after), expected);
}

#[test]
fn what_means_the_same_is_identical_and_other_differences_have_words() {
    let meant = |content: u8| Entry { meaning: Some(Digest([7; 32])), ..file("nb.ipynb", 9, content) };
    let program = Entry { mode: 0o755, ..file("run.sh", 9, 1) };
    let before = vec![link("l", "nb.ipynb"), meant(1), file("run.sh", 9, 1), file("was", 9, 4)];
    let after = vec![link("l", "run.sh"), meant(2), program, link("was", "run.sh")];
    let comparison = compared(before.clone(), after.clone());
    assert_eq!(comparison.identical, ["nb.ipynb".parse::<RelPath>().unwrap()]);
    let expected =
        ["~ l: led to nb.ipynb, leads to run.sh", "~ run.sh: can be executed now", "~ was: was a file, is a link"];
    assert_eq!(all(before, after), expected);
    assert_eq!(comparison.counts().to_string(), "3 changed, 1 identical");
    assert_eq!(compared(Vec::new(), Vec::new()).counts().to_string(), "none");
}

/// Gives one text for every file, and remembers which were asked for.
#[derive(Default)]
struct Counted(Mutex<Vec<String>>);

#[async_trait]
impl Files for Counted {
    async fn read(&self, when: When, entry: &Entry) -> Result<Read, StorageError> {
        self.0.lock().unwrap().push(entry.path.to_string());
        let value = if when == When::Before { 1 } else { 2 };
        Ok(Read::Bytes(format!("{{\"v\": {value}}}").into_bytes()))
    }
}

#[test]
fn no_more_is_read_than_the_limits_allow_and_the_rest_is_said() {
    let files = |content: u8| -> Vec<Entry> { (0..5).map(|at| file(&format!("{at}.json"), 100, content)).collect() };
    let (before, after) = (Manifest::new(about("a"), files(1)), Manifest::new(about("b"), files(2)));
    let asked = Counted::default();
    let limits = Limits { total: 500, ..Limits::default() };
    let comparison = block(Comparison::of(&before, &after, &asked, limits)).unwrap();
    assert_eq!(*asked.0.lock().unwrap(), ["0.json", "0.json", "1.json", "1.json"]);
    let left =
        |file: &FileChange| matches!(&file.content, Content::NotCompared { why, .. } if why.contains("together"));
    assert_eq!(comparison.files.iter().filter(|file| left(file)).count(), 3);
    assert_eq!(comparison.metrics().count(), 2);
}
