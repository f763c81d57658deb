//! Our verdict on every case of `fixtures/specs` is the one real Ploomber gave, but for the listed exceptions.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be read has to stop the test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use soopervisor::diag::{Diagnostic, Severity, has_errors, render};
use soopervisor::id::RelPath;
use soopervisor::repo::{MemoryTree, Tree};
use soopervisor::validate::{self, Options};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn read_json(name: &str) -> Value {
    let text = fs_err::read_to_string(fixtures().join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn add(files: &mut BTreeMap<String, Vec<u8>>, root: &Path, folder: &Path) {
    for entry in fs_err::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            add(files, root, &path);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            files.insert(name.to_owned(), fs_err::read(&path).unwrap());
        }
    }
}

/// The files of a case by their paths.
fn files(name: &str) -> BTreeMap<String, Vec<u8>> {
    let root = fixtures().join("specs").join(name);
    let mut files = BTreeMap::new();
    add(&mut files, &root, &root);
    files
}

fn case(name: &str) -> MemoryTree {
    let mut tree = MemoryTree::new();
    for (path, bytes) in files(name) {
        tree.insert(RelPath::normalise(&path).unwrap(), Arc::<[u8]>::from(bytes));
    }
    tree
}

/// What `scripts/verdicts.py` writes beside a verdict: every file in order, its path, its length and its bytes.
fn digest(files: &BTreeMap<String, Vec<u8>>) -> String {
    let mut hash = Sha256::new();
    for (path, bytes) in files {
        hash.update(format!("{path}\0{}\0", bytes.len()));
        hash.update(bytes);
    }
    hex::encode(hash.finalize())
}

fn names() -> Vec<String> {
    let entries = fs_err::read_dir(fixtures().join("specs")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn check(tree: &dyn Tree) -> Vec<Diagnostic> {
    validate::check(tree, &RelPath::root(), &Options::default()).diagnostics
}

/// `error` or `ok`.
fn verdict(diagnostics: &[Diagnostic]) -> &'static str {
    if has_errors(diagnostics) { "error" } else { "ok" }
}

#[test]
fn agrees_with_ploomber_on_every_case_but_the_listed_ones() {
    let verdicts = read_json("verdicts.json");
    let exceptions = read_json("exceptions.json");
    let mut wrong = Vec::new();
    for name in names() {
        let diagnostics = check(&case(&name));
        let theirs = verdicts["cases"][&name]["verdict"].as_str().unwrap_or_else(|| panic!("no verdict for {name}"));
        let ours = verdict(&diagnostics);
        let excepted = exceptions.get(&name);
        if let Some(exception) = excepted {
            assert_eq!(exception["ours"], ours, "{name}");
            assert!(exception["why"].as_str().is_some_and(|why| why.len() > 20), "{name} needs a reason");
            assert_ne!(ours, theirs, "{name} is no exception any more");
        } else if ours != theirs {
            let said: Vec<String> =
                diagnostics.iter().map(|d| format!("{:?} {}: {}", d.severity, d.code, d.message)).collect();
            wrong.push(format!(
                "{name}: Ploomber {theirs} ({}), we {ours}: {said:#?}",
                verdicts["cases"][&name]["error"]
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), names().len(), wrong.join("\n"));
}

#[test]
fn every_verdict_is_about_the_files_as_they_are() {
    let verdicts = read_json("verdicts.json");
    let stale = |name: &String| verdicts["cases"][name]["sha256"] != digest(&files(name));
    let stale: Vec<String> = names().into_iter().filter(stale).collect();
    assert!(
        stale.is_empty(),
        "edited since Ploomber judged them; ask it again:\n  scripts/verdicts.py {}",
        stale.join(" ")
    );
}

#[test]
fn an_edit_of_any_file_of_a_case_is_seen() {
    let files = files("bad-class-typo");
    let mut longer = files.clone();
    longer.get_mut("pipeline.yaml").unwrap().push(b'\n');
    let mut moved = files.clone();
    let text = moved.remove("a.py").unwrap();
    moved.insert("b.py".to_owned(), text);
    let mut more = files.clone();
    more.insert("c.py".to_owned(), Vec::new());
    for other in [longer, moved, more] {
        assert_ne!(digest(&other), digest(&files), "{:?}", other.keys());
    }
}

#[test]
fn where_we_differ_from_ploomber_we_say_more() {
    for (name, exception) in read_json("exceptions.json").as_object().unwrap() {
        assert_eq!(exception["ours"], "error", "{name}: Ploomber refuses it, and so have we to");
    }
}

#[test]
fn has_at_least_150_cases_and_a_verdict_for_no_other() {
    let verdicts = read_json("verdicts.json");
    let judged: Vec<String> = verdicts["cases"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(judged, names());
    assert!(judged.len() >= 150, "{}", judged.len());
    for name in read_json("exceptions.json").as_object().unwrap().keys() {
        assert!(judged.contains(name), "the exception {name} is no case");
    }
}

#[test]
fn says_only_codes_that_are_listed_as_rules() {
    let known: Vec<&str> = validate::rules().iter().map(|rule| rule.code).collect();
    for name in names() {
        for diagnostic in check(&case(&name)) {
            assert!(known.contains(&diagnostic.code), "{name} says {}", diagnostic.code);
        }
    }
}

#[test]
fn every_error_has_a_place_and_says_what_to_do() {
    for name in names() {
        for found in check(&case(&name)) {
            assert!(found.place.is_some(), "{name}: {} has no place", found.message);
            let last = found.message.chars().last().unwrap();
            assert!(last != '.', "{name}: `{}` ends in a full stop", found.message);
            let helped = found.help.is_some() || found.code == "yaml/syntax" || found.code.starts_with("yaml/");
            assert!(
                helped || found.severity != Severity::Error,
                "{name}: {} ({}) gives no help",
                found.message,
                found.code
            );
        }
    }
}

#[test]
fn the_report_of_every_bad_case_stays_as_it_is() {
    let style = render::Style { color: false, unicode: true, width: 100 };
    let mut reports = BTreeMap::new();
    for name in names() {
        let diagnostics = check(&case(&name));
        if !diagnostics.is_empty() {
            reports.insert(name, render::human(&diagnostics, style));
        }
    }
    let all: Vec<String> = reports.iter().map(|(name, report)| format!("=== {name}\n{report}")).collect();
    insta::assert_snapshot!("corpus", all.join("\n"));
}
