//! The manifest: one form, read back whole, and never believed blindly.

use proptest::prelude::*;

use crate::id::{Digest, RelPath};
use crate::outputs::OutputKind;
use crate::outputs::manifest::{About, Entry, ImageNote, Manifest, ManifestError};
use crate::outputs::pattern::Pattern;

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

fn about() -> About {
    About {
        soopervisor: "0.1.0".to_owned(),
        project: "demo".parse().unwrap(),
        revision: SHA.parse().unwrap(),
        commit: SHA.parse().unwrap(),
        dirty: false,
        repo: Some("https://example.org/demo.git".to_owned()),
        branch: Some("main".to_owned()),
        run: "20261121-x".parse().unwrap(),
        mode: crate::plan::Mode::Full,
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

fn file(path: &[u8], digest: u8) -> Entry {
    Entry {
        path: RelPath::from_bytes(path).unwrap(),
        kind: OutputKind::File,
        size: 3,
        sha256: Some(Digest([digest; 32])),
        meaning: None,
        mode: 0o644,
        mtime_ns: 1_600_000_000_123_456_789,
        link_target: None,
        stored: None,
        id: None,
        task: Some("get".to_owned()),
    }
}

fn tampered(change: impl Fn(&mut serde_json::Value)) -> Result<Manifest, ManifestError> {
    let manifest = Manifest::new(about(), vec![file(b"a", 1), file(b"b/c", 2)]);
    let mut value: serde_json::Value = serde_json::from_slice(&manifest.to_bytes().unwrap()).unwrap();
    change(&mut value);
    Manifest::parse(&serde_json::to_vec(&value).unwrap())
}

#[test]
fn what_patterns_leave_is_counted_without_the_rest() {
    let whole = Manifest::new(about(), vec![file(b"a.csv", 1), file(b"b/c.csv", 2), file(b"d.json", 3)]);
    let narrowed = |globs: &[&str]| {
        let globs: Vec<Pattern> = globs.iter().map(|glob| Pattern::parse(glob).unwrap()).collect();
        let mut manifest = whole.clone();
        manifest.narrow(&globs);
        (manifest.files.len(), manifest.total_bytes)
    };
    assert_eq!(
        (narrowed(&[]), narrowed(&["**/*.csv"]), narrowed(&["d.*", "a.*"]), narrowed(&["nothing"])),
        ((3, 9), (2, 6), (2, 6), (0, 0))
    );
}

#[test]
fn has_one_line_a_file_and_is_read_back() {
    for files in [vec![], vec![file(b"z", 1), file(b"a\n\xff", 2)]] {
        let manifest = Manifest::new(about(), files.clone());
        let bytes = manifest.to_bytes().unwrap();
        assert_eq!(Manifest::parse(&bytes).unwrap(), manifest);
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.lines().filter(|line| line.contains("\"sha256\"")).count(), files.len());
    }
}

#[test]
fn content_ignores_times_and_runs_but_no_byte_name_or_executable_bit() {
    let base = Manifest::new(about(), vec![file(b"a", 1), file(b"b", 2)]);
    let mut other = about();
    other.run = "another-run".parse().unwrap();
    let mut later = file(b"a", 1);
    (later.mtime_ns, later.mode, later.task) = (5, 0o600, None);
    assert_eq!(Manifest::new(other, vec![file(b"b", 2), later]).content, base.content);
    let mut executable = file(b"a", 1);
    executable.mode = 0o755;
    for files in [
        vec![file(b"a", 1)],
        vec![file(b"a", 2), file(b"b", 2)],
        vec![file(b"a", 1), file(b"c", 2)],
        vec![executable, file(b"b", 2)],
    ] {
        assert_ne!(Manifest::new(about(), files).content, base.content);
    }
}

#[test]
fn a_file_that_means_the_same_is_the_same_content() {
    let with = |sha: u8, meaning: u8| {
        let mut entry = file(b".x.metadata", sha);
        entry.meaning = Some(Digest([meaning; 32]));
        Manifest::new(about(), vec![entry]).content
    };
    assert_eq!(with(1, 9), with(2, 9));
    assert_ne!(with(1, 9), with(1, 8));
}

#[test]
fn names_that_differ_in_case_alone_are_noted() {
    let manifest = Manifest::new(about(), vec![file(b"Read.me", 1), file(b"read.me", 2), file(b"x", 3)]);
    assert_eq!(manifest.case_clashes.len(), 1);
    assert_eq!(manifest.case_clashes[0].len(), 2);
}

#[test]
fn hostile_manifests_are_refused() {
    assert!(tampered(|_| ()).is_ok());
    for path in ["../x", "/etc/passwd", "a/../b", "", "manifest.json", ".soopervisor/x", "a\u{0}b"] {
        assert!(tampered(|m| m["files"][0]["path"] = path.into()).is_err(), "{path:?}");
    }
    assert!(tampered(|m| m["files"][1]["path"] = "a".into()).is_err(), "twice");
    assert!(tampered(|m| m["files"][1]["path"] = "a/below".into()).is_err(), "below a file");
    assert!(tampered(|m| m["files"][0]["sha256"] = hex::encode([9; 32]).into()).is_err(), "another digest");
    assert!(tampered(|m| m["files"][0]["size"] = u64::MAX.into()).is_err(), "sizes overflow");
    assert!(tampered(|m| m["files"][0]["kind"] = "link".into()).is_err(), "a link without target");
    assert!(tampered(|m| m["files"][0]["mode"] = "4755".into()).is_err(), "setuid");
    assert!(tampered(|m| m["project"] = "../x".into()).is_err(), "project");
    let other = tampered(|m| m["commit"] = "0".repeat(40).into());
    assert!(matches!(&other, Err(ManifestError::Unsound(why)) if why.contains("its commit is `0000")), "{other:?}");
    assert!(matches!(tampered(|m| m["schema"] = 2.into()), Err(ManifestError::Newer { found: 2 })));
    assert!(Manifest::parse(b"").is_err());
}

proptest! {
    #[test]
    fn any_entries_are_read_back(
        names in prop::collection::btree_set(prop::collection::vec(1_u8.., 1..8), 0..8),
        size in 0_u64..1 << 60, mtime_ns: i64, mode in 0_u32..=0o777,
    ) {
        let files: Vec<Entry> = names
            .iter()
            .filter(|name| !name.contains(&b'/') && RelPath::from_bytes(name).is_ok())
            .map(|name| Entry { size, mode, mtime_ns, ..file(name, 1) })
            .collect();
        let manifest = Manifest::new(about(), files);
        prop_assert_eq!(&Manifest::parse(&manifest.to_bytes().unwrap()).unwrap(), &manifest);
    }
}
