//! A snapshot and an `/output` in a temporary folder, and what is collected from them.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use crate::id::RelPath;
use crate::outputs::{
    Baseline, Bounds, Collection, MissingReason, OutputKind, OutputsError, RefusedReason, Roots, Wanted, collect,
};
use crate::plan::{OutputRules, PlannedProduct, PlannedTask};

pub(super) struct Tree {
    dir: tempfile::TempDir,
    pub(super) pipeline_dir: &'static str,
    pub(super) tasks: Vec<PlannedTask>,
    pub(super) rules: OutputRules,
    pub(super) baseline: Baseline,
    pub(super) bounds: Bounds,
}

impl Tree {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for root in ["work", "output", "elsewhere"] {
            fs_err::create_dir(dir.path().join(root)).unwrap();
        }
        Self {
            dir,
            pipeline_dir: "",
            tasks: Vec::new(),
            rules: OutputRules::default(),
            baseline: Baseline::default(),
            bounds: Bounds::default(),
        }
    }

    /// A path on this machine: `work/…` or `output/…`.
    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub(super) fn file(&self, path: &str, text: &str) -> PathBuf {
        let at = self.at(path);
        fs_err::create_dir_all(at.parent().unwrap()).unwrap();
        fs_err::write(&at, text).unwrap();
        at
    }

    pub(super) fn folder(&self, path: &str) {
        fs_err::create_dir_all(self.at(path)).unwrap();
    }

    pub(super) fn link(&self, path: &str, target: &str) {
        let at = self.at(path);
        fs_err::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(target, at).unwrap();
    }

    /// Declares a product, written from the pipeline's folder.
    pub(super) fn declare(&mut self, task: &str, declared: &str) {
        let path = RelPath::normalise(&format!("{}/{declared}", self.pipeline_dir)).ok();
        let path = path.or_else(|| RelPath::normalise(declared).ok());
        let path = path.filter(|_| !declared.starts_with('/') && !declared.contains("{{") && !declared.contains("[["));
        self.tasks.push(PlannedTask {
            name: task.to_owned(),
            source: format!("{task}.py"),
            products: vec![PlannedProduct { key: None, declared: declared.to_owned(), path }],
            upstream: Vec::new(),
        });
    }

    pub(super) fn try_collect(&self) -> Result<Collection, OutputsError> {
        let open = |name| Dir::open_ambient_dir(self.at(name), ambient_authority()).unwrap();
        let roots =
            Roots { work: open("work"), output: open("output"), guest_work: "/workspace", guest_output: "/output" };
        let pipeline_dir = RelPath::normalise(self.pipeline_dir).unwrap();
        collect(
            &roots,
            &Wanted {
                pipeline_dir: &pipeline_dir,
                tasks: &self.tasks,
                rules: &self.rules,
                baseline: &self.baseline,
                bounds: self.bounds,
            },
        )
    }

    pub(super) fn collect(&self) -> Collection {
        self.try_collect().unwrap()
    }

    pub(super) fn scan_baseline(&mut self) {
        let work = Dir::open_ambient_dir(self.at("work"), ambient_authority()).unwrap();
        self.baseline = Baseline::scan(&work).unwrap();
    }
}

/// One word a path: `path`, `path/` for folders, `path -> target` for links.
pub(super) fn shape(collection: &Collection) -> Vec<String> {
    let show = |output: &crate::outputs::Output| match (output.kind, &output.link_target) {
        (OutputKind::File, _) => output.path.to_string(),
        (OutputKind::Folder, _) => format!("{}/", output.path),
        (OutputKind::Link, target) => format!("{} -> {}", output.path, target.clone().unwrap_or_default()),
    };
    collection.outputs.iter().map(show).collect()
}

pub(super) fn refused(collection: &Collection) -> Vec<(String, RefusedReason)> {
    collection.refused.iter().map(|refused| (refused.path.to_string(), refused.reason)).collect()
}

pub(super) fn missing(collection: &Collection) -> Vec<(&str, &str, MissingReason)> {
    collection.missing.iter().map(|m| (m.task.as_str(), m.product.as_str(), m.why)).collect()
}
