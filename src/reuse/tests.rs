//! The decision against an oracle: random pipelines whose true dependencies are known, random edits, and what every
//! task would make in a full run of both commits.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{Case, Decision, Side, decide};
use crate::id::RelPath;
use crate::repo::{MemoryTree, Tree};
use crate::validate::{self, Project};

mod pipelines;

use pipelines::{Edit, Model, edit, model, plain};

fn project(tree: &MemoryTree) -> Project {
    let outcome = validate::check(tree, &RelPath::root(), &validate::Options::default());
    let errors: Vec<_> =
        outcome.diagnostics.iter().filter(|found| found.severity == crate::diag::Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    outcome.project.unwrap()
}

fn files(tree: &MemoryTree, folder: &RelPath, found: &mut BTreeMap<RelPath, Vec<u8>>) {
    for name in tree.list(folder) {
        let path = folder.join(&name);
        match tree.read(&path, u64::MAX) {
            Ok(Some(bytes)) => drop(found.insert(path, bytes.to_vec())),
            _ => files(tree, &path, found),
        }
    }
}

fn changed(before: &MemoryTree, after: &MemoryTree) -> Vec<RelPath> {
    let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
    files(before, &RelPath::root(), &mut old);
    files(after, &RelPath::root(), &mut new);
    let paths: BTreeSet<&RelPath> = old.keys().chain(new.keys()).collect();
    paths.into_iter().filter(|path| old.get(*path) != new.get(*path)).cloned().collect()
}

fn compare(before: &Model, after: &Model) -> Decision {
    trees(&before.tree(), &after.tree())
}

fn trees(before: &MemoryTree, after: &MemoryTree) -> Decision {
    let (old, new) = (project(before), project(after));
    decide(&Case {
        before: Side { tree: before, project: &old },
        after: Side { tree: after, project: &new },
        changed: &changed(before, after),
        unavailable: &BTreeMap::new(),
        entangled: None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    /// The promise of the whole room.
    #[test]
    fn what_is_taken_over_is_what_a_full_run_would_make(
        before in model(),
        edits in prop::collection::vec(edit(), 0..4),
    ) {
        let mut after = before.clone();
        for edit in &edits {
            after.apply(edit);
        }
        let decision = compare(&before, &after);
        for name in decision.reused() {
            let at: usize = name[1..].parse().unwrap();
            prop_assert_eq!(before.makes(at), after.makes(at), "{} was taken over: {:?}", name, decision);
        }
        if edits.is_empty() {
            prop_assert_eq!(decision.reused().count(), after.tasks.len(), "{:?}", decision);
        }
    }
}

fn reused_after(edit: &Edit) -> Vec<String> {
    let mut after = plain();
    after.apply(edit);
    compare(&plain(), &after).reused().map(str::to_owned).collect()
}

#[test]
fn only_what_changed_and_what_needs_it_is_executed() {
    let all = ["t0", "t1", "t2", "t3", "t4", "t5"];
    for (edit, expected) in [
        (Edit::Code(1), &["t0", "t3", "t4", "t5"][..]),
        (Edit::Code(0), &["t3"]),
        (Edit::Code(3), &["t0", "t1", "t2", "t4", "t5"]),
        (Edit::Code(5), &["t0", "t1", "t2", "t3", "t4"]),
        (Edit::Code(4), &["t0", "t1", "t2", "t3"]),
        (Edit::Param(2), &["t0", "t1", "t3", "t4", "t5"]),
        (Edit::Add, &all),
        (Edit::Remove(2), &["t0", "t1", "t3", "t4", "t5"]),
        (Edit::Upstream(2), &["t0", "t1", "t3", "t4", "t5"]),
        (Edit::Readme, &all),
        (Edit::License, &all),
        (Edit::Tests, &all),
        (Edit::Comment, &all),
        (Edit::Setting, &all),
        (Edit::Data, &[]),
        (Edit::MoreData, &[]),
        (Edit::Helper, &[]),
        (Edit::Constant, &[]),
        (Edit::Env, &[]),
    ] {
        assert_eq!(reused_after(&edit), expected, "{edit:?}");
    }
}

fn reason(decision: &Decision, task: &str) -> String {
    decision.tasks.iter().find(|(name, _)| name == task).and_then(|(_, reason)| reason.clone()).unwrap_or_default()
}

#[test]
fn reasons_say_what_changed_and_where() {
    let mut after = plain();
    after.apply(&Edit::Code(1));
    let decision = compare(&plain(), &after);
    assert_eq!(reason(&decision, "t1"), "`scripts/t1.py` changed");
    assert_eq!(reason(&decision, "t2"), "`t1`, which it needs, is executed");
    let mut after = plain();
    after.apply(&Edit::Code(4));
    assert_eq!(reason(&compare(&plain(), &after), "t4"), "`t4` in `tasks.py` changed");
    after.apply(&Edit::Helper);
    assert_eq!(reason(&compare(&plain(), &after), "t0"), "`help0.py` changed, which any task may use");
}

/// The plain pipeline with one more file, before and after the script of `t3` changed.
fn with(path: &str, text: &str) -> Decision {
    let mut after = plain();
    after.apply(&Edit::Code(3));
    trees(&plain().tree().with(path, text), &after.tree().with(path, text))
}

#[test]
fn whoever_may_see_a_script_or_its_product_is_executed_too() {
    assert_eq!(with("other.txt", "nothing").reused().count(), 5);
    for (path, text) in [
        ("shared.py", "from scripts import t3"),
        ("shared.py", "PATH = 'output/p3.ipynb'"),
        ("shared.py", "NAME = 'p3.ipynb'"),
        ("shared.py", "for x in Path('output').iterdir(): pass"),
        ("shared.py", "open('/tmp/x')"),
        ("run.sh", "python scripts/t3.py"),
        ("book.ipynb", "{\"source\": \"import os\\nfrom scripts import t3\"}"),
    ] {
        let decision = with(path, text);
        assert_eq!(decision.reused().count(), 0, "{path}: {text}: {decision:?}");
    }
}

#[test]
fn what_has_no_place_or_a_database_is_never_taken_over() {
    let tree = plain().tree().with("hooks.py", "def hook():\n    return None\n");
    let text = |tree: &MemoryTree| {
        String::from_utf8(tree.read(&"pipeline.yaml".parse().unwrap(), 1 << 20).unwrap().unwrap().to_vec()).unwrap()
    };
    let again = |from: &str, to: &str| {
        let pipeline = text(&tree).replacen(from, to, 1);
        assert_ne!(pipeline, text(&tree), "{from}");
        let tree = tree.clone().with("pipeline.yaml", pipeline);
        trees(&tree, &tree).reused().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        again("output/p3.ipynb", "output/{{now}}.ipynb"),
        [""; 0],
        "its folder is named by all others' products"
    );
    assert_eq!(again("output/p3.ipynb", "/data/p3.ipynb"), ["t0", "t1", "t2", "t4", "t5"]);
    assert_eq!(again("name: t3\n", "name: t3\n    on_finish: hooks.hook\n").len(), 6);
    assert_eq!(again("tasks:\n", "clients: {File: hooks.hook}\ntasks:\n"), [""; 0]);
}

#[test]
fn products_that_are_not_to_be_had_and_entangled_runs_are_no_source() {
    let tree = plain().tree();
    let project = project(&tree);
    let side = Side { tree: &tree, project: &project };
    let gone = BTreeMap::from([("t1".to_owned(), "it is damaged there".to_owned())]);
    let case = Case { before: side, after: side, changed: &[], unavailable: &gone, entangled: None };
    let decision = decide(&case);
    assert_eq!(decision.reused().collect::<Vec<_>>(), ["t0", "t3", "t4", "t5"]);
    assert_eq!(reason(&decision, "t1"), "it is damaged there");
    let entangled = decide(&Case { entangled: Some("`x` was left there"), ..case });
    assert_eq!(entangled.reused().count(), 0);
    // All of it or nothing: what tasks handed each other does not matter where none is executed.
    let none = BTreeMap::new();
    assert_eq!(decide(&Case { unavailable: &none, entangled: Some("x"), ..case }).reused().count(), 6);
}
