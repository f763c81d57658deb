//! Links: kept, replaced by what they lead to, or refused.

use rustix::fs::{FileType, Mode};

use super::tree::{Tree, missing, refused, shape};
use crate::outputs::{MissingReason, OutputKind, RefusedReason};

#[test]
fn links_to_outputs_are_kept_and_point_straight_at_them() {
    let mut tree = Tree::new();
    tree.declare("t", "out");
    tree.file("work/out/run-1/x", "1");
    tree.link("work/out/latest", "run-1");
    tree.link("work/out/again", "latest");
    tree.link("work/out/through", "latest/../run-1/x");
    assert_eq!(
        shape(&tree.collect()),
        ["out/again -> out/run-1", "out/latest -> out/run-1", "out/run-1/x", "out/through -> out/run-1/x"]
    );
}

#[test]
fn links_to_folders_that_globs_publish_in_part_are_kept() {
    let mut tree = Tree::new();
    tree.rules.include = vec!["wandb/**".to_owned()];
    tree.rules.exclude = vec!["*.tmp".to_owned()];
    tree.file("work/wandb/run-1/log", "1");
    tree.file("work/wandb/run-1/x.tmp", "1");
    tree.link("work/wandb/latest", "run-1");
    tree.link("work/wandb/repository", "..");
    let found = tree.collect();
    assert_eq!(shape(&found), ["wandb/latest -> wandb/run-1", "wandb/run-1/log"]);
    assert_eq!(refused(&found), [("wandb/repository".to_owned(), RefusedReason::LinkUnpublished)]);
}

#[test]
fn links_that_lead_out_or_nowhere_are_refused() {
    let mut tree = Tree::new();
    tree.declare("t", "out");
    tree.file("elsewhere/secret", "of the host");
    tree.file("work/private", "not an output");
    tree.folder("work/out/dir");
    tree.link("work/out/absolute", "/etc/passwd");
    tree.link("work/out/climb", "../../elsewhere/secret");
    tree.link("work/out/climb-and-return", "../../work/out/dir");
    tree.link("work/out/dangling", "nothing");
    tree.link("work/out/loop-a", "loop-b");
    tree.link("work/out/loop-b", "loop-a");
    tree.link("work/out/private", "../private");
    tree.link("work/out/to-etc", "/etc");
    tree.link("work/out/via", "to-etc/passwd");
    let found = tree.collect();
    assert_eq!(shape(&found), ["out/dir/"]);
    let expected = [
        ("absolute", RefusedReason::LinkOutside),
        ("climb", RefusedReason::LinkOutside),
        ("climb-and-return", RefusedReason::LinkOutside),
        ("dangling", RefusedReason::LinkDangling),
        ("loop-a", RefusedReason::LinkDangling),
        ("loop-b", RefusedReason::LinkDangling),
        ("private", RefusedReason::LinkUnpublished),
        ("to-etc", RefusedReason::LinkOutside),
        ("via", RefusedReason::LinkOutside),
    ];
    let expected: Vec<_> = expected.into_iter().map(|(name, why)| (format!("out/{name}"), why)).collect();
    assert_eq!(refused(&found), expected);
}

#[test]
fn a_product_that_is_a_link_inside_the_snapshot_is_published_as_what_it_leads_to() {
    let mut tree = Tree::new();
    tree.declare("file", "out/data.csv");
    tree.declare("folder", "model");
    tree.declare("both", "copy.csv");
    tree.file("work/cache/d41d.csv", "content");
    tree.file("work/cache/v3/weights", "w");
    tree.link("work/out/data.csv", "../cache/d41d.csv");
    tree.link("work/model", "cache/v3");
    tree.link("work/copy.csv", "cache/d41d.csv");
    let found = tree.collect();
    // Two products that lead to one file: one is the file, the other a link to it.
    assert_eq!(shape(&found), ["copy.csv -> out/data.csv", "model/weights", "out/data.csv"]);
    assert_eq!(found.outputs[2].from.1.to_string(), "cache/d41d.csv");
    assert_eq!(found.outputs[2].task.as_deref(), Some("file"));
    assert!(found.missing.is_empty());
}

#[test]
fn a_product_below_a_linked_folder_is_found_under_its_declared_name() {
    let mut tree = Tree::new();
    tree.declare("t", "out/x.csv");
    tree.file("work/real/x.csv", "1");
    tree.file("work/real/.x.csv.metadata", "{}");
    tree.link("work/out", "real");
    assert_eq!(shape(&tree.collect()), ["out/.x.csv.metadata", "out/x.csv"]);
}

#[test]
fn a_product_that_leads_out_is_refused_and_missing() {
    let mut tree = Tree::new();
    tree.declare("leaf", "passwd");
    tree.declare("above", "etc/passwd");
    tree.declare("whole", "all");
    tree.file("elsewhere/passwd", "host");
    tree.link("work/passwd", "/etc/passwd");
    tree.link("work/etc", "../elsewhere");
    tree.link("work/all", ".");
    let found = tree.collect();
    assert!(found.outputs.is_empty(), "{:?}", shape(&found));
    let names: Vec<_> = missing(&found).into_iter().map(|(task, _, why)| (task, why)).collect();
    assert_eq!(
        names,
        [("leaf", MissingReason::Refused), ("above", MissingReason::Refused), ("whole", MissingReason::Refused)]
    );
    assert!(refused(&found).contains(&("all".to_owned(), RefusedReason::Whole)));
}

#[test]
fn links_below_output_do_not_reach_the_snapshot_or_the_host() {
    let tree = Tree::new();
    tree.file("output/a", "1");
    tree.link("output/ok", "a");
    tree.link("output/host", "../elsewhere");
    tree.link("output/guest", "/output/a");
    let found = tree.collect();
    assert_eq!(shape(&found), ["output/a", "output/guest -> output/a", "output/ok -> output/a"]);
    assert_eq!(found.refused.len(), 1);
}

#[test]
fn absolute_links_are_followed_as_the_pipeline_saw_them_and_no_further() {
    let mut tree = Tree::new();
    tree.declare("t", "out");
    tree.declare("model", "best.bin");
    tree.file("work/out/run-1/x", "1");
    tree.file("work/private", "not an output");
    tree.file("elsewhere/secret", "of the host");
    tree.file("output/deep/a", "1");
    tree.link("work/best.bin", "/output/deep/a");
    tree.link("work/out/latest", "/workspace/out/run-1");
    tree.link("output/from-here", "/workspace/out/run-1/x");
    tree.link("output/deep/up", "/output/deep");
    tree.link("output/climb", "/output/../elsewhere/secret");
    tree.link("output/near", "/outputs/a");
    tree.link("output/private", "/workspace/private");
    let found = tree.collect();
    let shape = shape(&found);
    for kept in ["out/latest -> out/run-1", "output/from-here -> out/run-1/x"] {
        assert!(shape.iter().any(|line| line == kept), "{kept}: {shape:?}");
    }
    assert!(shape.iter().any(|line| line.starts_with("best.bin")), "{shape:?}");
    for (name, why) in [("climb", RefusedReason::LinkOutside), ("near", RefusedReason::LinkOutside)] {
        assert!(refused(&found).iter().any(|(path, reason)| path.ends_with(name) && *reason == why), "{name}");
    }
    assert!(
        refused(&found)
            .iter()
            .any(|(path, reason)| { path.ends_with("private") && *reason == RefusedReason::LinkUnpublished })
    );
}

/// Folders where the target lies, and whether the link has metadata beside it.
const EVERY_WAY: [(&str, bool); 4] = [("", false), ("", true), ("out/", false), ("out/", true)];

/// A tree in which the task `t` declares `product`, a link to `target`; what Ploomber leaves beside it is new.
fn declared_link(product: &str, target: &str, metadata: bool) -> (Tree, Vec<String>) {
    let mut tree = Tree::new();
    tree.declare("t", product);
    tree.link(&format!("work/{product}"), target);
    let beside = product
        .rsplit_once('/')
        .map_or_else(|| format!(".{product}.metadata"), |(at, name)| format!("{at}/.{name}.metadata"));
    if metadata {
        tree.file(&format!("work/{beside}"), "{}");
    }
    (tree, if metadata { vec![beside] } else { Vec::new() })
}

#[test]
fn a_declared_link_is_published_as_what_it_leads_to_with_its_metadata_and_without() {
    for (at, metadata) in EVERY_WAY {
        let up = if at.is_empty() { "" } else { "../" };
        let product = format!("{at}latest.csv");
        let (tree, mut expected) = declared_link(&product, &format!("{up}data/v1.csv"), metadata);
        tree.file("work/data/v1.csv", "x");
        let found = tree.collect();
        expected.push(product);
        assert_eq!(shape(&found), expected, "{metadata}");
        let file = found.outputs.last().unwrap();
        assert_eq!((file.from.1.to_string().as_str(), file.task.as_deref()), ("data/v1.csv", Some("t")));
        assert!(found.missing.is_empty() && found.refused.is_empty());
    }
}

#[test]
fn a_declared_link_stays_one_where_what_it_leads_to_is_declared_too() {
    for (at, metadata) in EVERY_WAY {
        let up = if at.is_empty() { "" } else { "../" };
        let product = format!("{at}latest.csv");
        let (mut tree, mut expected) = declared_link(&product, &format!("{up}data/v1.csv"), metadata);
        tree.declare("other", "data/v1.csv");
        tree.file("work/data/v1.csv", "x");
        tree.file("work/data/.v1.csv.metadata", "{}");
        expected.extend([
            "data/.v1.csv.metadata".to_owned(),
            "data/v1.csv".to_owned(),
            format!("{product} -> data/v1.csv"),
        ]);
        expected.sort();
        assert_eq!(shape(&tree.collect()), expected);
    }
}

#[test]
fn a_declared_link_to_a_folder_is_published_as_the_folder() {
    for metadata in [false, true] {
        let (tree, mut expected) = declared_link("model", "runs/3", metadata);
        tree.file("work/runs/3/a/weights", "w");
        tree.link("work/runs/3/best", "a/weights");
        expected.extend(["model/a/weights", "model/best -> model/a/weights"].map(str::to_owned));
        assert_eq!(shape(&tree.collect()), expected);
        let (tree, mut expected) = declared_link("model", "runs/4", metadata);
        tree.folder("work/runs/4");
        expected.push("model/".to_owned());
        assert_eq!(shape(&tree.collect()), expected);
    }
}

#[test]
fn a_chain_of_declared_links_is_one_file_and_links_to_it() {
    for metadata in [false, true] {
        let (mut tree, mut expected) = declared_link("a.csv", "b.csv", metadata);
        tree.declare("u", "b.csv");
        tree.link("work/b.csv", "hidden/c.csv");
        tree.link("work/hidden/c.csv", "d.csv");
        tree.file("work/hidden/d.csv", "x");
        if metadata {
            tree.file("work/.b.csv.metadata", "{}");
            expected.push(".b.csv.metadata".to_owned());
        }
        expected.extend(["a.csv", "b.csv -> a.csv"].map(str::to_owned));
        assert_eq!(shape(&tree.collect()), expected);
    }
}

#[test]
fn a_declared_link_that_leads_out_or_nowhere_or_to_a_pipe_is_missing_with_its_metadata_and_without() {
    for metadata in [false, true] {
        for (target, why) in [
            ("../elsewhere/x", RefusedReason::LinkOutside),
            ("/etc/hostname", RefusedReason::LinkOutside),
            ("nothing", RefusedReason::LinkDangling),
            ("l.csv", RefusedReason::LinkDangling),
            ("pipe", RefusedReason::Fifo),
        ] {
            let (tree, expected) = declared_link("l.csv", target, metadata);
            tree.file("elsewhere/x", "of the host");
            rustix::fs::mknodat(rustix::fs::CWD, tree.at("work/pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
            let found = tree.collect();
            assert_eq!(shape(&found), expected, "{target}");
            assert_eq!(missing(&found), [("t", "l.csv", MissingReason::Refused)], "{target}");
            assert!(refused(&found).contains(&("l.csv".to_owned(), why)), "{target}: {:?}", refused(&found));
        }
    }
}

#[test]
fn two_declared_links_to_one_file_are_the_file_and_a_link_to_it() {
    for metadata in [false, true] {
        let (mut tree, mut expected) = declared_link("a.csv", "data/v1.csv", metadata);
        tree.declare("u", "b.csv");
        tree.declare("again", "a.csv");
        tree.link("work/b.csv", "data/v1.csv");
        tree.file("work/data/v1.csv", "x");
        if metadata {
            tree.file("work/.b.csv.metadata", "{}");
            expected.push(".b.csv.metadata".to_owned());
        }
        expected.extend(["a.csv", "b.csv -> a.csv"].map(str::to_owned));
        assert_eq!(shape(&tree.collect()), expected);
    }
}

#[test]
fn a_declared_link_is_decided_on_once_however_often_it_is_met() {
    // By itself, by its metadata, by a glob, and in a folder that is a product or that another product leads to.
    let mut tree = Tree::new();
    for product in ["out", "out/l.csv", "model", "model/inner"] {
        tree.declare(product, product);
    }
    tree.rules.include = vec!["**/*.csv".to_owned(), "**/inner".to_owned()];
    tree.file("work/data/v1.csv", "x");
    tree.file("work/data/v2.csv", "y");
    tree.scan_baseline();
    tree.link("work/out/l.csv", "../data/v1.csv");
    tree.file("work/out/.l.csv.metadata", "{}");
    tree.link("work/v3/inner", "../data/v2.csv");
    tree.file("work/v3/.inner.metadata", "{}");
    tree.link("work/model", "v3");
    let found = tree.collect();
    let expected = ["model/.inner.metadata", "model/inner", "out/.l.csv.metadata", "out/l.csv"];
    assert!(expected.iter().all(|path| shape(&found).iter().any(|line| line == path)), "{:?}", shape(&found));
    assert_eq!(found.outputs.iter().filter(|output| output.kind == OutputKind::File).count(), 4, "{:?}", shape(&found));
    assert!(found.missing.is_empty(), "{found:?}");
}

#[test]
fn a_linked_product_below_a_linked_folder_keeps_its_declared_name_alone() {
    let mut tree = Tree::new();
    tree.declare("t", "out/x.csv");
    tree.file("work/data/x.csv", "1");
    tree.link("work/real/x.csv", "../data/x.csv");
    tree.file("work/real/.x.csv.metadata", "{}");
    tree.link("work/out", "real");
    assert_eq!(shape(&tree.collect()), ["out/.x.csv.metadata", "out/x.csv"]);
}

#[test]
fn a_link_at_the_name_of_what_it_leads_to_is_published_as_that() {
    let mut tree = Tree::new();
    tree.declare("file", "output/x");
    tree.file("output/x", "1");
    tree.link("work/output/x", "/output/x");
    let found = tree.collect();
    assert_eq!(shape(&found), ["output/x"]);
    assert!(found.missing.is_empty() && found.refused.is_empty());
}
