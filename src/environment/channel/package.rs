//! Turns a folder with an `info/` into a `.conda` file and the row that the channel's list has for it.
//!
//! Same folder, same bytes: times are fixed, order is fixed, and so is the number of compressing threads.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};

use fs_err as fs;
use rattler_conda_types::compression_level::CompressionLevel;
use rattler_conda_types::package::BuildString;
use rattler_conda_types::{NoArchType, PackageName, PackageRecord, VersionWithSource};
use rattler_package_streaming::{fs::extract_wheel, write::write_conda_package};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::pip::Wheel;
use super::{Error, names, platform};

/// When every package was made, in milliseconds: a constant, so that the same inputs give the same channel.
pub(super) const TIMESTAMP: u64 = 1_672_531_200_000;

/// Fast, and good enough for a channel that never leaves the machine.
const COMPRESSION: CompressionLevel = CompressionLevel::Numeric(1);

/// One file of the channel.
#[derive(Debug, Clone)]
pub(super) struct Built {
    /// `linux-64` or `noarch`.
    pub subdir: String,
    /// Its name in that folder.
    pub file: String,
    /// Its row in `repodata.json`.
    pub record: Value,
}

/// Packs the folder `staged` into `channel`, in the sub-folder that its `info/index.json` names.
pub(super) fn write(staged: &Path, channel: &Path) -> Result<Built, Error> {
    let mut record: Value = read_json(&staged.join("info/index.json"))?;
    let part = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
    let stem = format!("{}-{}-{}", part("name"), part("version"), part("build"));
    let (subdir, file) = (part("subdir"), format!("{stem}.conda"));
    let target = channel.join(&subdir).join(&file);
    fs::create_dir_all(channel.join(&subdir))?;

    let paths: Vec<PathBuf> = files(staged)?.into_iter().map(|relative| staged.join(relative)).collect();
    let mut archive = fs::OpenOptions::new().read(true).write(true).create_new(true).open(&target)?;
    write_conda_package(&mut archive, staged, &paths, COMPRESSION, Some(1), &stem, None, None)?;
    archive.rewind()?;
    let (sha256, size) = hash(archive)?;
    record["sha256"] = json!(sha256);
    record["size"] = json!(size);
    Ok(Built { subdir, file, record })
}

/// Writes `info/index.json` and `info/paths.json` for the files below `staged`; `placeholders` names those with a prefix in them.
pub(super) fn write_info(staged: &Path, index: &Value, placeholders: &BTreeMap<PathBuf, String>) -> Result<(), Error> {
    let mut rows = Vec::new();
    for relative in files(staged)? {
        let path = staged.join(&relative);
        let mut row = if path.is_symlink() {
            json!({"_path": relative, "path_type": "softlink"})
        } else {
            let (sha256, size) = hash(fs::File::open(&path)?)?;
            json!({"_path": relative, "path_type": "hardlink", "sha256": sha256, "size_in_bytes": size})
        };
        if let Some(placeholder) = placeholders.get(&relative) {
            row["prefix_placeholder"] = json!(placeholder);
            row["file_mode"] = json!("text");
        }
        rows.push(row);
    }
    fs::create_dir_all(staged.join("info"))?;
    fs::write(staged.join("info/index.json"), index.to_string())?;
    fs::write(staged.join("info/paths.json"), json!({"paths": rows, "paths_version": 1}).to_string())?;
    Ok(())
}

/// Unpacks a wheel as a conda package for one minor version of Python.
///
/// A package per version, and not one for all: what a wheel requires may depend on the version, and conda has no word for that.
pub(super) fn stage_wheel(wheel: &Wheel, minor: &str, to: &Path) -> Result<(), Error> {
    let fail = |why: String| Error::Wheel { wheel: wheel.file.clone(), why };
    let name: PackageName = wheel.name.parse().map_err(|error| fail(format!("{error}")))?;
    let version: VersionWithSource = wheel.version.parse().map_err(|error| fail(format!("{error}")))?;
    let mut record = PackageRecord::new(name, version, build(minor));
    record.noarch = NoArchType::python();
    record.subdir = String::from(if wheel.pure { "noarch" } else { platform::SUBDIR });
    record.license.clone_from(&wheel.license);
    record.depends = dependencies(wheel, minor);
    extract_wheel(&wheel.path, to, &record).map_err(|error| fail(error.to_string()))?;
    Ok(())
}

/// An empty package that brings in another one: conda's name for what the Python index calls differently.
pub(super) fn stage_alias(alias: &str, wheel: &Wheel, minor: &str, to: &Path) -> Result<(), Error> {
    let depends = [format!("python {minor}.*"), format!("{} =={}", wheel.name, wheel.version)];
    let index = json!({
        "build": build(minor).as_str(), "build_number": 0, "depends": depends, "name": alias, "noarch": "generic",
        "subdir": "noarch", "version": wheel.version,
    });
    fs::create_dir_all(to)?;
    write_info(to, &index, &BTreeMap::new())
}

/// What [`stage_wheel`] puts into `depends`.
pub(super) fn dependencies(wheel: &Wheel, minor: &str) -> Vec<String> {
    let python = format!("python {minor}.*");
    let libc = (!wheel.pure).then(|| "__glibc >=2.17".to_owned());
    let others = wheel.requires.iter().map(|(name, range)| names::dependency(name, range));
    std::iter::once(python).chain(libc).chain(others).collect()
}

fn build(minor: &str) -> BuildString {
    BuildString::new_unchecked(format!("py{}_0", minor.replace('.', "")))
}

/// Every file and link below `root`, relative to it and in order.
fn files(root: &Path) -> Result<Vec<PathBuf>, Error> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<PathBuf>) -> Result<(), Error> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() && !path.is_symlink() {
                walk(&path, root, found)?;
            } else {
                found.push(path.strip_prefix(root).unwrap_or(&path).to_path_buf());
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    walk(root, root, &mut found)?;
    found.sort();
    Ok(found)
}

/// Sha256 in hex, and length.
pub(super) fn hash(mut file: fs::File) -> Result<(String, u64), Error> {
    let (mut hash, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 256 * 1024]);
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Ok((hex::encode(hash.finalize()), size));
        }
        hash.update(&buffer[..length]);
        size += length as u64;
    }
}

/// Reads a JSON file; one that is not JSON is told with its name.
pub(super) fn read_json(path: &Path) -> Result<Value, Error> {
    let text = fs::read_to_string(path)?;
    Ok(serde_json::from_str(&text).map_err(|error| std::io::Error::other(format!("`{}`: {error}", path.display())))?)
}
