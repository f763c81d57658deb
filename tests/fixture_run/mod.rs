//! A finished run in a temporary folder: its snapshot, its `/output` and a folder to publish to.

#![allow(clippy::allow_attributes, dead_code, reason = "each test program uses a part of it")]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use soopervisor::id::{Digest, ProjectName, RelPath};
use soopervisor::outputs::manifest::{About, ImageNote};
use soopervisor::outputs::{Baseline, Bounds, Roots, Wanted, collect};
use soopervisor::plan::{Mode, OnConflict, OutputRules};
use soopervisor::storage::{Folder, Publication};

/// The commit of every run here.
pub(crate) const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

pub(crate) struct Run {
    pub(crate) dir: PathBuf,
    _kept: Option<tempfile::TempDir>,
}

impl Run {
    /// An empty run.
    pub(crate) fn new() -> Self {
        let kept = tempfile::tempdir().expect("a temporary folder");
        let run = Self::at(kept.path());
        Self { _kept: Some(kept), ..run }
    }

    /// A run in a folder that somebody else removes.
    pub(crate) fn at(dir: &Path) -> Self {
        for name in ["work", "output", "store"] {
            fs_err::create_dir_all(dir.join(name)).expect("a folder");
        }
        Self { dir: dir.to_owned(), _kept: None }
    }

    pub(crate) fn path(&self, path: impl AsRef<OsStr>) -> PathBuf {
        self.dir.join(Path::new(path.as_ref()))
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// Writes an output of the pipeline; any bytes may be in its name.
    pub(crate) fn product(&self, name: impl AsRef<[u8]>, bytes: impl AsRef<[u8]>) -> PathBuf {
        let at = self.path("work").join(OsStr::from_bytes(name.as_ref()));
        fs_err::create_dir_all(at.parent().expect("a parent")).expect("a folder");
        fs_err::write(&at, bytes).expect("a file");
        at
    }

    pub(crate) fn roots(&self) -> Roots {
        let open = |name| Dir::open_ambient_dir(self.path(name), ambient_authority()).expect("a folder");
        Roots { work: open("work"), output: open("output"), guest_work: "/workspace", guest_output: "/output" }
    }

    /// Everything in it, ready to be published.
    pub(crate) fn publication(&self, run: &str, on_conflict: OnConflict) -> Publication {
        let roots = self.roots();
        let wanted = Wanted {
            pipeline_dir: &RelPath::root(),
            tasks: &[],
            rules: &OutputRules { include: vec!["**".to_owned()], exclude: Vec::new() },
            baseline: &Baseline::default(),
            bounds: Bounds::default(),
        };
        let collection = collect(&roots, &wanted).expect("outputs");
        Publication { about: about(run), roots: Arc::new(roots), collection, on_conflict, same: None }
    }
}

pub(crate) fn project() -> ProjectName {
    "demo".parse().expect("a project")
}

pub(crate) fn folder() -> Folder {
    SHA.parse().expect("a folder")
}

pub(crate) fn about(run: &str) -> About {
    About {
        soopervisor: "0.1.0".to_owned(),
        project: project(),
        revision: SHA.parse().expect("a revision"),
        commit: SHA.parse().expect("a commit"),
        dirty: false,
        repo: Some("https://example.org/demo.git".to_owned()),
        branch: Some("main".to_owned()),
        run: run.parse().expect("a run id"),
        mode: Mode::Full,
        started: jiff::Timestamp::UNIX_EPOCH,
        ended: jiff::Timestamp::UNIX_EPOCH,
        steps: Vec::new(),
        environment: None,
        image: ImageNote { reference: "img".to_owned(), id: "sha256:1".to_owned(), digest: None },
        ploomber: "0.23.3".to_owned(),
        script_sha256: Digest([7; 32]),
        tasks: Vec::new(),
        reuse: None,
    }
}
