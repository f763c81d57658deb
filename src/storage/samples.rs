//! A manifest, and what a listing tells, for tests.

use jiff::Timestamp;

use super::Listed;
use crate::id::Digest;
use crate::outputs::OutputKind;
use crate::outputs::manifest::{About, Entry, ImageNote, Manifest};

/// The commit of every manifest here.
pub(super) const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

/// A manifest of these files, each with the service's id for it.
pub(super) fn manifest(project: &str, files: &[(&str, Option<&str>)]) -> Manifest {
    let about = About {
        soopervisor: "0.1.0".to_owned(),
        project: project.parse().unwrap(),
        revision: SHA.parse().unwrap(),
        commit: SHA.parse().unwrap(),
        dirty: false,
        repo: None,
        branch: None,
        run: "20261121-x".parse().unwrap(),
        mode: crate::plan::Mode::Full,
        started: Timestamp::UNIX_EPOCH,
        ended: Timestamp::UNIX_EPOCH,
        steps: Vec::new(),
        environment: None,
        image: ImageNote { reference: "img".to_owned(), id: "sha256:1".to_owned(), digest: None },
        ploomber: "0.23.3".to_owned(),
        script_sha256: Digest([7; 32]),
        tasks: Vec::new(),
        reuse: None,
    };
    let entry = |(path, id): &(&str, Option<&str>)| Entry {
        path: path.parse().unwrap(),
        kind: OutputKind::File,
        size: 3,
        sha256: Some(Digest([1; 32])),
        meaning: None,
        mode: 0o644,
        mtime_ns: 0,
        link_target: None,
        task: None,
        stored: None,
        id: id.map(str::to_owned),
    };
    Manifest::new(about, files.iter().map(entry).collect())
}

/// A file of a listing.
pub(super) fn listed(path: &str, id: Option<&str>) -> Listed {
    let (path, id) = (path.parse().unwrap(), id.map(str::to_owned));
    Listed { path, name: None, kind: Some(OutputKind::File), link: None, mode: None, id }
}
