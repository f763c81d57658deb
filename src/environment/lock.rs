//! What is in a prefix, exactly: conda records, Python distributions, and the lock document that is kept with a run.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use rattler_conda_types::RepoDataRecord;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::network::{shown, without_credentials};
use crate::spec::pip::{name_of, normalise};

/// One `*.dist-info`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Distribution {
    /// Normalised.
    pub(super) name: String,
    pub(super) version: String,
    /// Who wrote it: `uv`, `conda`, `pip`.
    pub(super) installer: String,
    /// The commit it was built from, where it came from a version control system.
    pub(super) commit: Option<String>,
    /// Digest of what was unpacked, where its record says that.
    pub(super) content: Option<String>,
}

/// Python distributions of a prefix, sorted; read from the file system, nothing is imported.
pub(super) fn distributions(prefix: &Path) -> io::Result<Vec<Distribution>> {
    let mut found = Vec::new();
    for folder in site_packages(prefix)? {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some((name, version)) =
                name.to_str().and_then(|n| n.strip_suffix(".dist-info")).and_then(|n| n.rsplit_once('-'))
            else {
                continue;
            };
            let installer = std::fs::read_to_string(entry.path().join("INSTALLER")).unwrap_or_default();
            found.push(Distribution {
                name: normalise(name),
                version: version.to_owned(),
                installer: installer.trim().to_owned(),
                commit: commit(&entry.path()),
                content: content(&entry.path()),
            });
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// From PEP 610's record of where a distribution came from.
fn commit(info: &Path) -> Option<String> {
    let text = std::fs::read(info.join("direct_url.json")).ok()?;
    let origin: Value = serde_json::from_slice(&text).ok()?;
    origin["vcs_info"]["commit_id"].as_str().map(str::to_owned)
}

/// Of the lines of RECORD that the wheel itself brought: what an installer adds differs from one prefix to the next. Two
/// wheels with the same files are the same to whoever imports them.
fn content(info: &Path) -> Option<String> {
    let record = std::fs::read_to_string(info.join("RECORD")).ok()?;
    let own = |line: &&str| {
        let path = line.trim_start_matches('"').split([',', '"']).next().unwrap_or_default();
        let added = ["INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json", "RECORD"];
        let by_installer = path.split_once(".dist-info/").is_some_and(|(_, name)| added.contains(&name));
        let elsewhere = path.starts_with("../") || path.starts_with('/');
        let elsewhere = elsewhere || Path::new(path).extension().is_some_and(|end| end == "pyc");
        !by_installer && !elsewhere && !path.is_empty()
    };
    let mut lines: Vec<&str> = record.lines().filter(own).collect();
    lines.sort_unstable();
    (!lines.is_empty()).then(|| format!("sha256:{}", hex::encode(Sha256::digest(lines.join("\n")))))
}

fn site_packages(prefix: &Path) -> io::Result<Vec<PathBuf>> {
    let lib = match std::fs::read_dir(prefix.join("lib")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut folders = Vec::new();
    for entry in lib {
        let entry = entry?;
        let python = entry.file_name().to_str().is_some_and(|name| name.starts_with("python"));
        let folder = entry.path().join("site-packages");
        // `lib/python3.1` is a link to `lib/python3.1x` in some packages.
        if python && entry.file_type()?.is_dir() && folder.is_dir() {
            folders.push(folder);
        }
    }
    Ok(folders)
}

/// The lock document; `built` holds what was built from source.
pub(super) fn document(
    records: &[RepoDataRecord],
    dists: &[Distribution],
    pip_lock: &str,
    built: &BTreeSet<String>,
) -> Value {
    let mut conda: Vec<&RepoDataRecord> = records.iter().collect();
    conda.sort_by(|a, b| a.package_record.name.cmp(&b.package_record.name));
    let python = conda.iter().find(|record| record.package_record.name.as_normalized() == "python");
    let conda_rows: Vec<Value> = conda.iter().map(|record| conda_row(record)).collect();
    let mut lines = pip_lines(pip_lock);
    let pip_rows: Vec<Value> = dists
        .iter()
        .filter(|dist| dist.installer == "uv")
        .map(|dist| {
            let (source, hashes) = lines.remove(&dist.name).unwrap_or_default();
            let mut row = json!({ "name": dist.name, "version": dist.version, "hashes": hashes });
            if built.contains(&dist.name) {
                row["source"] = Value::Bool(true);
            }
            if let (Some(source), Some(row)) = (source, row.as_object_mut()) {
                row.insert("url".to_owned(), Value::String(source));
            }
            for (name, value) in [("commit", &dist.commit), ("content", &dist.content)] {
                if let (Some(value), Some(row)) = (value, row.as_object_mut()) {
                    row.insert(name.to_owned(), Value::String(value.clone()));
                }
            }
            row
        })
        .collect();
    json!({
        "schema": 1,
        "python": python.map(|record| record.package_record.version.to_string()),
        "conda": conda_rows,
        "pip": pip_rows,
    })
}

fn conda_row(record: &RepoDataRecord) -> Value {
    let package = &record.package_record;
    json!({
        "name": package.name.as_normalized(),
        "version": package.version.to_string(),
        "build": package.build,
        "url": shown(&record.url),
        "sha256": package.sha256.map(hex::encode),
    })
}

/// uv's lock: name → (URL of a direct reference, hashes).
fn pip_lines(text: &str) -> BTreeMap<String, (Option<String>, Vec<String>)> {
    let mut found = BTreeMap::new();
    for entry in text.replace("\\\n", " ").lines().map(str::trim).filter(|line| !line.starts_with(['#', '-'])) {
        let Some(name) = name_of(entry) else { continue };
        let url = entry.split_once(" @ ").and_then(|(_, rest)| rest.split_whitespace().next());
        let hashes = entry.split_whitespace().filter_map(|word| word.strip_prefix("--hash=")).map(str::to_owned);
        found.insert(name, (url.map(without_credentials), hashes.collect()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_wheel_brought_has_one_digest_wherever_it_is_installed() {
        let digest = |text: &str| {
            let info = tempfile::tempdir().unwrap();
            std::fs::write(info.path().join("RECORD"), text).unwrap();
            content(info.path())
        };
        let wheel = "a/__init__.py,sha256=x,1\na-1.dist-info/METADATA,sha256=y,2\n";
        let base = digest(&format!("{wheel}a-1.dist-info/RECORD,,\n"));
        let installed = "../../../bin/a,sha256=other,3\na-1.dist-info/INSTALLER,sha256=z,2\na-1.dist-info/RECORD,,\n\
                         a/__pycache__/__init__.cpython-311.pyc,,\na-1.dist-info/REQUESTED,sha256=,0\n";
        assert_eq!(digest(&format!("{installed}{wheel}")), base);
        assert!(base.is_some() && digest("a/__init__.py,sha256=w,1\n") != base);
        assert_eq!(digest(""), None);
    }

    #[test]
    fn reads_hashes_and_direct_references_of_a_lock() {
        let text = "click==8.1.7 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n\
                    ploomber @ git+https://user:pw@github.com/p/p@0123 ; python_version < '4'\n# end\n";
        let lines = pip_lines(text);
        assert_eq!(lines["click"], (None, vec!["sha256:aa".to_owned(), "sha256:bb".to_owned()]));
        assert_eq!(lines["ploomber"].0.as_deref(), Some("git+https://github.com/p/p@0123"));
    }

    #[test]
    fn lists_distributions_without_importing_anything() {
        let prefix = tempfile::tempdir().unwrap();
        let site = prefix.path().join("lib/python3.11/site-packages");
        for (name, installer) in [("Ploomber-0.23.3.dist-info", "uv\n"), ("scikit_learn-1.4.dist-info", "conda")] {
            std::fs::create_dir_all(site.join(name)).unwrap();
            std::fs::write(site.join(name).join("INSTALLER"), installer).unwrap();
        }
        let origin = r#"{"url": "https://h/p.git", "vcs_info": {"vcs": "git", "requested_revision": "v1", "commit_id": "0123abcd"}}"#;
        std::fs::write(site.join("Ploomber-0.23.3.dist-info/direct_url.json"), origin).unwrap();
        std::fs::create_dir_all(site.join("ploomber")).unwrap();
        let found = distributions(prefix.path()).unwrap();
        let names: Vec<(&str, &str, &str)> =
            found.iter().map(|d| (d.name.as_str(), d.version.as_str(), d.installer.as_str())).collect();
        assert_eq!(names, [("ploomber", "0.23.3", "uv"), ("scikit-learn", "1.4", "conda")]);
        let built = BTreeSet::from(["ploomber".to_owned()]);
        let lock = document(&[], &found, "ploomber @ git+https://h/p.git@0123abcd\n", &built);
        assert_eq!(lock["pip"][0]["source"], true);
        assert_eq!(lock["pip"][0]["commit"], "0123abcd", "what was built, not what was asked for: {lock}");
        assert_eq!(lock["pip"][0]["url"], "git+https://h/p.git@0123abcd");
    }
}
