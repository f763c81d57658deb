//! Where the Python files of a prefix come from: folders of the caches whose files it shares, inode by inode.
//!
//! Never trusts a name: a file is a cache's file only when both are one inode. Two prefixes that share a file share its
//! time of change as well, so bytecode compiled from one is valid in the other.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Packages' own tests are a quarter of all there is to compile, and hardly any pipeline imports them.
const LEFT_OUT: [&str; 4] = ["__pycache__", "test", "tests", "idle_test"];

/// The Python of a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Python {
    /// As it names its bytecode: `cpython-311`.
    pub(super) tag: String,
    /// Below the prefix: `lib/python3.11`.
    pub(super) lib: String,
}

impl Python {
    /// From the package's record; `None` for an environment without CPython.
    pub(super) fn of(prefix: &Path) -> Option<Self> {
        let names = std::fs::read_dir(prefix.join("conda-meta")).ok()?.flatten().map(|entry| entry.file_name());
        let stem = names
            .filter_map(|name| name.to_str()?.strip_suffix(".json").map(str::to_owned))
            .find(|stem| is_python(stem))?;
        let version = stem.strip_prefix("python-")?;
        let mut numbers = version.split(['.', '-']);
        let (major, minor) = (numbers.next()?, numbers.next()?);
        let lib = format!("lib/python{major}.{minor}");
        prefix.join(&lib).is_dir().then(|| Self { tag: format!("cpython-{major}{minor}"), lib })
    }
}

/// `python-3.11.7-0_cpython`, but neither `python-dateutil-2.9-0` nor PyPy.
fn is_python(stem: &str) -> bool {
    let version = stem.strip_prefix("python-").filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    version.is_some() && !stem.contains("pypy")
}

/// Files of a prefix with one origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// Names the origin, for ever: the same name never stands for other files.
    pub(super) name: String,
    /// Folder below the prefix that `files` are relative to.
    pub(super) place: String,
    /// Sources without bytecode.
    pub(super) files: Vec<String>,
}

impl Group {
    /// Whether no other prefix will ever share these files.
    pub(super) fn is_own(&self) -> bool {
        self.name.starts_with(OWN)
    }
}

/// Begins the names of what only one prefix has.
const OWN: &str = "e-";

/// A folder of a cache, and where its files are in the prefix.
struct Origin {
    name: String,
    cache: PathBuf,
    place: String,
}

/// All Python files of `prefix` that have no bytecode yet, by origin; files of no cache belong to the prefix itself,
/// which is called `id`.
pub(super) fn groups(store: &Path, prefix: &Path, id: &str, python: &Python) -> io::Result<Vec<Group>> {
    let site = format!("{}/site-packages", python.lib);
    let mut origins = conda_origins(&store.join("pkgs"), prefix, python, &site)?;
    origins.extend(wheel_origins(&super::wheels(store), prefix, &site)?);
    let mut found = Vec::new();
    let mut covered = HashSet::new();
    for Origin { name, cache, place } in origins {
        let mut files = Vec::new();
        for file in sources(&cache)? {
            let inside = format!("{place}/{file}");
            if is_one(&cache.join(&file), &prefix.join(&inside)) && covered.insert(inside) {
                files.push(file);
            }
        }
        found.push(Group { name, place, files });
    }
    let own = sources(&prefix.join(&python.lib))?;
    let own = own.into_iter().filter(|file| !covered.contains(&format!("{}/{file}", python.lib))).collect();
    found.push(Group { name: format!("{OWN}{id}"), place: python.lib.clone(), files: own });
    for group in &mut found {
        let folder = prefix.join(&group.place);
        group.files.retain(|file| !folder.join(compiled(file, &python.tag)).exists());
    }
    found.retain(|group| !group.files.is_empty());
    Ok(found)
}

/// Where Python looks for the bytecode of a source.
pub(super) fn compiled(source: &str, tag: &str) -> String {
    let (folder, file) = source.rsplit_once('/').map_or(("", source), |(folder, file)| (folder, file));
    let stem = file.strip_suffix(".py").unwrap_or(file);
    let slash = if folder.is_empty() { "" } else { "/" };
    format!("{folder}{slash}__pycache__/{stem}.{tag}.pyc")
}

/// Packages of conda: `noarch` ones keep `site-packages` apart, the others are laid out like the prefix.
fn conda_origins(pkgs: &Path, prefix: &Path, python: &Python, site: &str) -> io::Result<Vec<Origin>> {
    #[derive(Deserialize)]
    struct Record {
        sha256: Option<String>,
    }
    let mut found = Vec::new();
    for entry in entries(&prefix.join("conda-meta"))? {
        let name = entry.file_name();
        let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".json")) else { continue };
        let package = pkgs.join(stem);
        let layouts = [(package.join("site-packages"), site), (package.join(&python.lib), python.lib.as_str())];
        let Some((cache, place)) = layouts.into_iter().find(|(cache, _)| cache.is_dir()) else { continue };
        // Two channels may have packages of one name: what is in it decides.
        let record = std::fs::read(entry.path()).ok().and_then(|text| serde_json::from_slice::<Record>(&text).ok());
        let Some(digest) = record.and_then(|record| record.sha256).filter(|digest| digest.len() == 64) else {
            continue;
        };
        let name = format!("conda-{stem}-{}", &digest[..16]);
        found.push(Origin { name, cache, place: place.to_owned() });
    }
    // What every process imports comes first: somebody may be waiting for it.
    found.sort_by_key(|origin| !is_python(origin.name.trim_start_matches("conda-")));
    Ok(found)
}

/// Wheels that uv unpacked into its cache and linked from there: recognised by the inode of their `METADATA`.
fn wheel_origins(wheels: &Path, prefix: &Path, site: &str) -> io::Result<Vec<Origin>> {
    let mut unpacked = HashMap::new();
    for wheel in entries(wheels)? {
        for info in infos(&wheel.path())? {
            if let Ok(meta) = std::fs::symlink_metadata(info.join("METADATA")) {
                unpacked.insert((meta.dev(), meta.ino()), wheel.path());
            }
        }
    }
    let mut found = BTreeMap::new();
    for info in infos(&prefix.join(site))? {
        let Ok(meta) = std::fs::symlink_metadata(info.join("METADATA")) else { continue };
        let Some(cache) = unpacked.get(&(meta.dev(), meta.ino())) else { continue };
        let Some(id) = cache.file_name().and_then(|name| name.to_str()) else { continue };
        let origin = |name, cache| Origin { name, cache, place: site.to_owned() };
        found.insert(format!("wheel-{id}"), origin(format!("wheel-{id}"), cache.clone()));
        let data = info.with_extension("data");
        for part in ["purelib", "platlib"] {
            let cache = cache.join(data.file_name().unwrap_or_default()).join(part);
            if cache.is_dir() {
                found.insert(format!("wheel-{id}-{part}"), origin(format!("wheel-{id}-{part}"), cache));
            }
        }
    }
    Ok(found.into_values().collect())
}

/// Folders called `*.dist-info`.
fn infos(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let paths = entries(folder)?.into_iter().map(|entry| entry.path());
    Ok(paths.filter(|path| path.extension().is_some_and(|end| end == "dist-info")).collect())
}

/// Python files below a folder, relative to it. Links are not followed, names that are no text are passed over.
fn sources(root: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut waiting = vec![String::new()];
    while let Some(folder) = waiting.pop() {
        for entry in entries(&root.join(&folder))? {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let kind = entry.file_type()?;
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let end = Path::new(&name).extension().and_then(|end| end.to_str());
            if kind.is_dir() && !LEFT_OUT.contains(&name.as_str()) && end != Some("data") {
                waiting.push(path);
            } else if kind.is_file() && end == Some("py") {
                found.push(path);
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// What is in a folder; a folder that is not there is empty.
pub(super) fn entries(folder: &Path) -> io::Result<Vec<std::fs::DirEntry>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.collect(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn is_one(a: &Path, b: &Path) -> bool {
    let identity = |path: &Path| std::fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    identity(a).is_some_and(|a| identity(b) == Some(a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytecode_stands_where_python_looks_for_it() {
        assert_eq!(compiled("a/b.py", "cpython-311"), "a/__pycache__/b.cpython-311.pyc");
        assert_eq!(compiled("six.py", "cpython-38"), "__pycache__/six.cpython-38.pyc");
    }

    #[test]
    fn python_itself_is_told_from_packages_about_python() {
        let folder = tempfile::tempdir().unwrap();
        let meta = folder.path().join("conda-meta");
        std::fs::create_dir_all(&meta).unwrap();
        std::fs::create_dir_all(folder.path().join("lib/python3.12")).unwrap();
        for name in ["python-dateutil-2.9-0.json", "python_abi-3.12-5_cp312.json", "history"] {
            std::fs::write(meta.join(name), "{}").unwrap();
        }
        assert_eq!(Python::of(folder.path()), None);
        std::fs::write(meta.join("python-3.12.1-0_cpython.json"), "{}").unwrap();
        let expected = Python { tag: "cpython-312".into(), lib: "lib/python3.12".into() };
        assert_eq!(Python::of(folder.path()), Some(expected));
        assert!(!is_python("python-3.9.18-1_73_pypy"));
    }
}
