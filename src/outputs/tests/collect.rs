//! What is found, under which name, and what is missing or refused.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use rustix::fs::FileType;

use super::tree::{Tree, missing, refused, shape};
use crate::outputs::collect::special;
use crate::outputs::{Bounds, MissingReason, OutputsError, RefusedReason};

#[test]
fn finds_declared_products_wherever_they_lie_with_their_metadata() {
    let mut tree = Tree::new();
    tree.pipeline_dir = "sub";
    tree.declare("get", "out/data.csv");
    tree.declare("fit", "model");
    tree.declare("share", "../shared/x.bin");
    for file in ["sub/out/data.csv", "sub/out/.data.csv.metadata", "sub/out/not-declared", "sub/model/a/b.pkl"] {
        tree.file(&format!("work/{file}"), file);
    }
    tree.file("work/shared/x.bin", "x");
    tree.file("work/shared/.x.bin.metadata", "{}");
    tree.file("work/sub/.model.metadata", "{}");
    let found = tree.collect();
    assert_eq!(
        shape(&found),
        [
            ".model.metadata",
            "_root/shared/.x.bin.metadata",
            "_root/shared/x.bin",
            "model/a/b.pkl",
            "out/.data.csv.metadata",
            "out/data.csv"
        ]
    );
    assert_eq!(found.outputs[5].task.as_deref(), Some("get"));
    assert_eq!(found.outputs[4].task.as_deref(), Some("get"));
    assert!(found.missing.is_empty() && found.refused.is_empty());
}

#[test]
fn says_which_products_are_missing_and_why() {
    let mut tree = Tree::new();
    tree.declare("a", "absent.csv");
    tree.declare("b", "/tmp/gone.csv");
    tree.declare("c", "{{dir}}/x.csv");
    tree.declare("d", "nowhere/deep/x.csv");
    tree.declare("e", "/output/there.csv");
    tree.declare("f", ".");
    tree.declare("g", "/workspace/here.csv");
    tree.file("output/there.csv", "1");
    tree.file("work/here.csv", "1");
    let found = tree.collect();
    assert_eq!(
        missing(&found),
        [
            ("a", "absent.csv", MissingReason::Absent),
            ("b", "/tmp/gone.csv", MissingReason::Outside),
            ("c", "{{dir}}/x.csv", MissingReason::Unknown),
            ("d", "nowhere/deep/x.csv", MissingReason::Absent),
            ("f", ".", MissingReason::Refused),
        ]
    );
    assert_eq!(shape(&found), ["here.csv", "output/there.csv"]);
    assert_eq!(found.outputs[1].task.as_deref(), Some("e"));
}

#[test]
fn the_task_that_names_a_file_most_closely_owns_it() {
    let mut tree = Tree::new();
    tree.declare("whole", "out");
    tree.declare("part", "out/part.csv");
    tree.file("work/out/part.csv", "1");
    tree.file("work/out/rest.csv", "1");
    let tasks: Vec<_> = tree.collect().outputs.into_iter().map(|output| output.task.unwrap()).collect();
    assert_eq!(tasks, ["part", "whole"]);
}

#[test]
fn globs_publish_what_the_run_made_and_excludes_win() {
    let mut tree = Tree::new();
    tree.rules.include = vec!["*.csv".to_owned(), "plots/".to_owned()];
    tree.rules.exclude = vec!["secret*".to_owned(), "output/tmp/**".to_owned()];
    tree.file("work/input.csv", "from the repository");
    tree.file("work/changed.csv", "before");
    tree.scan_baseline();
    tree.file("work/changed.csv", "after, longer");
    tree.file("work/deep/new.csv", "1");
    tree.file("work/secret.csv", "1");
    tree.file("work/plots/a.png", "1");
    tree.folder("work/plots/empty");
    tree.file("work/.git/made.csv", "1");
    tree.file("work/other.txt", "1");
    tree.file("output/tmp/x", "1");
    assert_eq!(shape(&tree.collect()), ["changed.csv", "deep/new.csv", "plots/a.png", "plots/empty/"]);
}

#[test]
fn an_excluded_product_is_neither_published_nor_missing() {
    let mut tree = Tree::new();
    tree.declare("raw", "out/raw.parquet");
    tree.rules.exclude = vec!["out/raw.parquet".to_owned()];
    tree.file("work/out/raw.parquet", "big");
    let found = tree.collect();
    assert!(found.outputs.is_empty() && found.missing.is_empty() && found.refused.is_empty());
}

#[test]
fn the_same_file_from_both_roots_is_one_and_different_ones_are_an_error_that_names_both() {
    let mut tree = Tree::new();
    tree.declare("t", "output/a.csv");
    tree.file("work/output/a.csv", "same");
    tree.file("output/a.csv", "same");
    assert_eq!(shape(&tree.collect()), ["output/a.csv"]);
    tree.file("output/a.csv", "else");
    let error = tree.try_collect().unwrap_err().to_string();
    assert!(error.contains("`output/a.csv` and `/output/a.csv`"), "{error}");
}

#[test]
fn a_file_where_the_other_root_has_a_folder_is_a_clash() {
    let mut tree = Tree::new();
    tree.declare("t", "output");
    tree.file("work/output", "a file");
    tree.file("output/a.csv", "1");
    assert!(matches!(tree.try_collect(), Err(OutputsError::Clash { total: 1, .. })));
}

#[test]
fn an_empty_folder_gives_way_to_what_the_other_root_has_there() {
    let mut tree = Tree::new();
    tree.declare("t", "output");
    tree.folder("work/output/sub");
    tree.file("output/sub/x", "1");
    assert_eq!(shape(&tree.collect()), ["output/sub/x"]);
}

#[test]
fn names_of_ours_are_stepped_around_and_told() {
    let mut tree = Tree::new();
    tree.declare("dbt", "manifest.json");
    tree.declare("x", ".soopervisor/cache");
    tree.declare("y", "deep/manifest.json");
    for file in ["manifest.json", ".soopervisor/cache", "deep/manifest.json"] {
        tree.file(&format!("work/{file}"), "1");
    }
    let found = tree.collect();
    assert_eq!(shape(&found), ["_/.soopervisor/cache", "_/manifest.json", "deep/manifest.json"]);
    assert_eq!(found.moved.len(), 2);
    assert_eq!(found.moved[1].wanted.to_string(), "manifest.json");
}

#[test]
fn setuid_bits_are_dropped_and_other_bits_and_times_kept() {
    let mut tree = Tree::new();
    tree.declare("t", "tool");
    let at = tree.file("work/tool", "#!");
    fs_err::set_permissions(&at, std::fs::Permissions::from_mode(0o6755)).unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_600_000_000, 123_456_789);
    std::fs::File::options().write(true).open(&at).unwrap().set_modified(time).unwrap();
    let output = &tree.collect().outputs[0];
    assert_eq!((output.mode, output.mtime_ns), (0o755, 1_600_000_000_123_456_789));
}

#[test]
fn hard_links_are_separate_files_and_holes_are_seen() {
    let mut tree = Tree::new();
    tree.declare("t", "out");
    let a = tree.file("work/out/a", "same");
    fs_err::hard_link(&a, tree.at("work/out/b")).unwrap();
    let sparse = std::fs::File::create(tree.at("work/out/sparse")).unwrap();
    sparse.set_len(1 << 30).unwrap();
    let found = tree.collect();
    assert_eq!(shape(&found), ["out/a", "out/b", "out/sparse"]);
    assert!(found.outputs[2].size == 1 << 30 && found.outputs[2].allocated < 1 << 20);
}

#[test]
fn names_may_hold_newlines_and_broken_utf8_and_differ_in_case_alone() {
    let mut tree = Tree::new();
    tree.declare("t", "out");
    tree.folder("work/out");
    for name in [&b"a\nb"[..], b"\xff\xfe", b" lead", b"Case", b"case", b"-rf", b"*"] {
        fs_err::write(tree.at("work/out").join(OsStr::from_bytes(name)), b"").unwrap();
    }
    let found = tree.collect();
    assert_eq!(found.outputs.len(), 7);
    assert!(found.outputs.iter().any(|output| output.path.as_bytes() == b"out/\xff\xfe"));
}

#[test]
fn fifos_sockets_and_devices_are_refused_without_being_opened() {
    let mut tree = Tree::new();
    tree.declare("t", "out");
    tree.declare("pipe", "pipe");
    tree.file("work/out/fine", "1");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    for name in ["work/out/pipe", "work/pipe"] {
        rustix::fs::mknodat(rustix::fs::CWD, tree.at(name), FileType::Fifo, mode, 0).unwrap();
    }
    let _socket = std::os::unix::net::UnixListener::bind(tree.at("work/out/sock")).unwrap();
    let found = tree.collect();
    assert_eq!(shape(&found), ["out/fine"]);
    assert_eq!(
        refused(&found),
        [
            ("out/pipe".to_owned(), RefusedReason::Fifo),
            ("out/sock".to_owned(), RefusedReason::Socket),
            ("pipe".to_owned(), RefusedReason::Fifo),
        ]
    );
    assert_eq!(missing(&found), [("pipe", "pipe", MissingReason::Refused)]);
    // Making a device takes root, so the decision is tested by itself.
    assert_eq!(special(FileType::CharacterDevice), RefusedReason::Device);
    assert_eq!(special(FileType::BlockDevice), RefusedReason::Device);
}

#[test]
fn a_tree_without_end_is_bounded() {
    let mut tree = Tree::new();
    tree.declare("t", "out");
    tree.bounds = Bounds { entries: 50, depth: 5 };
    tree.file("work/out/1/2/3/4/5/6/x", "1");
    tree.file("work/out/y", "1");
    let found = tree.collect();
    assert_eq!(shape(&found), ["out/y"]);
    assert_eq!(refused(&found), [("out/1/2/3/4/5".to_owned(), RefusedReason::TooDeep)]);
    for at in 0..50 {
        tree.file(&format!("work/out/n{at}"), "1");
    }
    assert!(matches!(tree.try_collect(), Err(OutputsError::TooMany { limit: 50 })));
}

#[test]
fn empty_files_and_folders_are_kept() {
    let mut tree = Tree::new();
    tree.declare("t", "out");
    tree.file("work/out/zero", "");
    tree.folder("work/out/empty/er");
    assert_eq!(shape(&tree.collect()), ["out/empty/er/", "out/zero"]);
}

#[test]
fn a_bad_pattern_is_named() {
    let mut tree = Tree::new();
    tree.rules.include = vec!["[open".to_owned()];
    assert!(tree.try_collect().unwrap_err().to_string().contains("`[open`"));
}

#[test]
fn new_metadata_beside_a_file_proves_that_a_task_made_it() {
    let mut tree = Tree::new();
    tree.pipeline_dir = "sub";
    tree.declare("stamp", "out/{{now}}/data.csv");
    tree.declare("grid", "out/fit-[[number]].ipynb");
    tree.declare("never", "out/{{git}}.txt");
    for file in ["sub/old.csv", "sub/.old.csv.metadata", "sub/again.csv", "sub/.again.csv.metadata", "sub/input.csv"] {
        tree.file(&format!("work/{file}"), "committed");
    }
    tree.scan_baseline();
    tree.file("work/sub/.again.csv.metadata", "written anew, longer");
    for file in ["out/2026/data.csv", "out/fit-0.ipynb", "out/fit-1.ipynb", "models/new/a", "models/new/b", "stray"] {
        tree.file(&format!("work/sub/{file}"), "1");
    }
    for file in ["out/2026/.data.csv", "out/.fit-0.ipynb", "out/.fit-1.ipynb", "models/.new", ".gone", ".git/.x"] {
        tree.file(&format!("work/sub/{file}.metadata"), "{}");
    }
    tree.file("work/sub/.git/x", "1");
    tree.file("work/elsewhere", "1");
    tree.file("work/.elsewhere.metadata", "{}");
    let found = tree.collect();
    assert_eq!(
        shape(&found),
        [
            ".again.csv.metadata",
            "again.csv",
            "models/.new.metadata",
            "models/new/a",
            "models/new/b",
            "out/.fit-0.ipynb.metadata",
            "out/.fit-1.ipynb.metadata",
            "out/2026/.data.csv.metadata",
            "out/2026/data.csv",
            "out/fit-0.ipynb",
            "out/fit-1.ipynb",
        ]
    );
    let task = |path: &str| found.outputs.iter().find(|o| o.path.to_string() == path).unwrap().task.as_deref();
    assert_eq!(
        [task("out/2026/data.csv"), task("out/fit-1.ipynb"), task("again.csv")],
        [Some("stamp"), Some("grid"), None]
    );
    assert_eq!(missing(&found), [("never", "out/{{git}}.txt", MissingReason::Unknown)]);
}

#[test]
fn metadata_is_no_way_around_excludes_links_and_bounds() {
    let mut tree = Tree::new();
    tree.rules.exclude = vec!["secret*".to_owned(), "*.metadata".to_owned()];
    tree.file("elsewhere/private", "not of this repository");
    for name in ["secret.csv", "leak", "up"] {
        tree.file(&format!("work/.{name}.metadata"), "{}");
    }
    tree.file("work/secret.csv", "1");
    tree.link("work/leak", "../elsewhere/private");
    tree.link("work/up", "..");
    tree.link("work/linked", "../elsewhere");
    tree.file("elsewhere/.private.metadata", "{}");
    // What Ploomber never writes: the name is the folder above.
    tree.file("work/sub/....metadata", "{}");
    let found = tree.collect();
    assert!(found.outputs.is_empty(), "{:?}", shape(&found));
    assert_eq!(
        refused(&found),
        [("leak".to_owned(), RefusedReason::LinkOutside), ("up".to_owned(), RefusedReason::LinkOutside)]
    );
    tree.bounds.entries = 5;
    assert!(matches!(tree.try_collect(), Err(OutputsError::TooMany { limit: 5 })));
}
