//! A conda channel in a folder, of packages that hold a few text files.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// As long as those of real packages, so that replacing it shows.
pub(crate) const PLACEHOLDER: &str = "/placehold_placehold_placehold_placehold_placehold_placehold_placehold_placehold";

/// One package: text files, with executables below `bin/`.
pub(crate) struct Package<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    pub(crate) depends: &'a [&'a str],
    pub(crate) files: &'a [(&'a str, &'a str)],
}

/// Writes the packages as `<folder>/linux-64/*.conda`, with an empty `noarch`.
pub(crate) fn write(folder: &Path, packages: &[Package<'_>]) {
    let subdir = folder.join("linux-64");
    fs::create_dir_all(&subdir).unwrap();
    fs::create_dir_all(folder.join("noarch")).unwrap();
    let mut rows = serde_json::Map::new();
    for package in packages {
        let (file, row) = write_package(&subdir, package);
        rows.insert(file, row);
    }
    index(&subdir, "linux-64", &rows);
    index(&folder.join("noarch"), "noarch", &serde_json::Map::new());
}

fn index(folder: &Path, subdir: &str, rows: &serde_json::Map<String, Value>) {
    let doc = json!({"info": {"subdir": subdir}, "packages": {}, "packages.conda": rows, "repodata_version": 1});
    fs::write(folder.join("repodata.json"), doc.to_string()).unwrap();
}

fn write_package(subdir: &Path, package: &Package<'_>) -> (String, Value) {
    let staging = tempfile::tempdir().unwrap();
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut listed = Vec::new();
    for (name, text) in package.files {
        put(staging.path(), name, text, &mut paths);
        let mut entry = json!({
            "_path": name, "path_type": "hardlink",
            "sha256": hex::encode(Sha256::digest(text)), "size_in_bytes": text.len(),
        });
        if text.contains(PLACEHOLDER) {
            entry["prefix_placeholder"] = json!(PLACEHOLDER);
            entry["file_mode"] = json!("text");
        }
        listed.push(entry);
    }
    let mut row = json!({
        "name": package.name, "version": package.version, "build": "0", "build_number": 0,
        "depends": package.depends, "subdir": "linux-64",
    });
    if package.name == "python" {
        row["python_site_packages_path"] = json!("lib/python3.11/site-packages");
    }
    put(staging.path(), "info/index.json", &row.to_string(), &mut paths);
    put(staging.path(), "info/paths.json", &json!({"paths": listed, "paths_version": 1}).to_string(), &mut paths);
    let stem = format!("{}-{}-0", package.name, package.version);
    let mut bytes = std::io::Cursor::new(Vec::new());
    rattler_package_streaming::write::write_conda_package(
        &mut bytes,
        staging.path(),
        &paths,
        rattler_conda_types::compression_level::CompressionLevel::Lowest,
        None,
        &stem,
        None,
        None,
    )
    .unwrap();
    let bytes = bytes.into_inner();
    row["sha256"] = json!(hex::encode(Sha256::digest(&bytes)));
    row["size"] = json!(bytes.len());
    let file = format!("{stem}.conda");
    fs::write(subdir.join(&file), bytes).unwrap();
    (file, row)
}

fn put(folder: &Path, name: &str, text: &str, paths: &mut Vec<PathBuf>) {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    if name.starts_with("bin/") {
        file.set_permissions(fs::Permissions::from_mode(0o755)).unwrap();
    }
    paths.push(path);
}
