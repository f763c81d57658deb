//! What a run left in an upper layer: staged as the kernel leaves it, marks included.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use rustix::fs::{FileType, Mode, XattrFlags};

use crate::id::RelPath;
use crate::outputs::layers::complete;

struct Overlay {
    dir: tempfile::TempDir,
}

impl Overlay {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for layer in ["upper", "lower"] {
            fs_err::create_dir(dir.path().join(layer)).unwrap();
        }
        Self { dir }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn file(&self, path: &str, text: &str) {
        fs_err::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs_err::write(self.at(path), text).unwrap();
    }

    fn link(&self, path: &str, target: &str) {
        fs_err::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        symlink(target, self.at(path)).unwrap();
    }

    /// As the kernel marks what was deleted.
    fn gone(&self, path: &str) {
        let path = self.at("upper").join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::CharacterDevice, Mode::empty(), 0).unwrap();
    }

    /// As the kernel marks a folder that was deleted and made anew.
    fn replaced(&self, path: &str) {
        let path = self.at("upper").join(path);
        fs_err::create_dir_all(&path).unwrap();
        rustix::fs::setxattr(&path, c"user.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
    }

    /// Everything in the upper layer afterwards.
    fn complete(&self, pipeline_dir: &str, products: &[&str]) -> Vec<String> {
        let open = |layer| Dir::open_ambient_dir(self.at(layer), ambient_authority()).unwrap();
        let products: Vec<RelPath> = products.iter().map(|path| path.parse().unwrap()).collect();
        complete(&open("upper"), &open("lower"), &pipeline_dir.parse().unwrap(), &products).unwrap();
        let mut found = Vec::new();
        list(&self.at("upper"), Path::new(""), &mut found);
        found.sort();
        found
    }
}

fn list(top: &Path, at: &Path, found: &mut Vec<String>) {
    for entry in fs_err::read_dir(top.join(at)).unwrap() {
        let entry = entry.unwrap();
        let path = at.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        found.push(format!("{}{}", path.display(), if kind.is_dir() { "/" } else { "" }));
        if kind.is_dir() {
            list(top, &path, found);
        }
    }
}

#[test]
fn only_what_is_declared_is_brought_up() {
    let overlay = Overlay::new();
    overlay.file("lower/flow/data/in.csv", "in");
    overlay.file("lower/flow/out/old.csv", "old");
    overlay.file("lower/flow/out/.old.csv.metadata", "{}");
    overlay.file("lower/flow/models/deep/a.bin", "a");
    overlay.file("upper/flow/out/new.csv", "new");
    let found = overlay.complete("flow", &["flow/out/old.csv", "flow/models", "flow/none/at/all"]);
    let expected = [
        "flow/",
        "flow/models/",
        "flow/models/deep/",
        "flow/models/deep/a.bin",
        "flow/out/",
        "flow/out/.old.csv.metadata",
        "flow/out/new.csv",
        "flow/out/old.csv",
    ];
    assert_eq!(found, expected);
    let time = |path| fs_err::metadata(overlay.at(path)).unwrap().modified().unwrap();
    assert_eq!(time("upper/flow/out/old.csv"), time("lower/flow/out/old.csv"), "it counts as left alone");
    fs_err::write(overlay.at("upper/flow/out/old.csv"), "changed").unwrap();
    assert_eq!(fs_err::read_to_string(overlay.at("lower/flow/out/old.csv")).unwrap(), "old", "a copy, no link");
}

#[test]
fn the_pipelines_folder_is_there_although_the_run_wrote_nothing() {
    let overlay = Overlay::new();
    overlay.file("lower/a/flow/x", "x");
    assert_eq!(overlay.complete("a/flow", &[]), ["a/", "a/flow/"]);
}

#[test]
fn what_was_deleted_stays_deleted_and_its_marks_go() {
    let overlay = Overlay::new();
    overlay.file("lower/out/a", "a");
    overlay.file("lower/out/b", "b");
    overlay.file("lower/whole/a", "a");
    overlay.file("lower/again/old", "old");
    overlay.file("lower/file/inside", "x");
    overlay.gone("out/a");
    overlay.gone("whole");
    overlay.replaced("again");
    overlay.file("upper/again/new", "new");
    overlay.file("upper/file", "a file where a folder was");
    let products = ["out", "out/a", "whole/a", "again", "file/inside", "again/old"];
    assert_eq!(overlay.complete("", &products), ["again/", "again/new", "file", "out/", "out/b"]);
}

#[test]
fn an_empty_folder_is_one_only_where_the_run_saw_it_empty() {
    let overlay = Overlay::new();
    overlay.file("lower/full/x", "x");
    overlay.file("lower/emptied/x", "x");
    overlay.gone("emptied/x");
    for folder in ["upper/full", "upper/new"] {
        fs_err::create_dir(overlay.at(folder)).unwrap();
    }
    assert_eq!(overlay.complete("", &[]), ["emptied/", "new/"]);
}

#[test]
fn new_metadata_brings_its_product_and_links_bring_what_they_lead_to() {
    let overlay = Overlay::new();
    overlay.file("lower/out/kept.bin", "kept");
    overlay.file("upper/out/.kept.bin.metadata", "{}");
    overlay.file("lower/data/v1/table", "t");
    overlay.link("lower/data/latest", "v1");
    overlay.link("upper/result", "data/latest/table");
    overlay.link("upper/away", "../../etc/passwd");
    overlay.link("upper/round", "round");
    let found = overlay.complete("", &["data/latest/other", "round/x"]);
    let expected = [
        "away",
        "data/",
        "data/latest",
        "data/v1/",
        "data/v1/table",
        "out/",
        "out/.kept.bin.metadata",
        "out/kept.bin",
        "result",
        "round",
    ];
    assert_eq!(found, expected);
}
