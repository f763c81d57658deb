//! Copies a CPython out of its prefix into the layout of a conda package that works at any path.
//!
//! Taken: the interpreter, its standard library without tests and windows, and every shared library that its modules
//! need and glibc does not provide. The installation that is copied from is only read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;
use fs_err::os::unix::fs::symlink;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::find::Interpreter;
use super::{Error, command, elf, package, platform};

/// Folders of the standard library that no pipeline needs: tests, editors and windows.
const SKIPPED_FOLDERS: &[&str] = &[
    "__pycache__",
    "idlelib",
    "idle_test",
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "tkinter",
    "turtledemo",
];

/// Modules that test the interpreter, or pull in half a desktop.
const SKIPPED_MODULES: &[&str] =
    &["_ctypes_test", "_test", "_tkinter", "_xxtestfuzz", "nis.", "ossaudiodev", "turtle.py", "xxlimited", "xxsubtype"];

/// What belongs to glibc and must come from the machine that runs it.
const GLIBC: &[&str] = &[
    "ld-linux",
    "libBrokenLocale",
    "libanl",
    "libc.so",
    "libdl.so",
    "libm.so",
    "libmvec",
    "libnss",
    "libpthread",
    "libresolv",
    "librt.so",
    "libthread_db",
    "libutil.so",
    "linux-vdso",
];

/// Length of the text that stands for the prefix; conda cannot install below longer paths.
const PLACEHOLDER_LENGTH: usize = 255;

/// Writes the package's files and its `info/` below `to`.
pub(super) fn stage(interpreter: &Interpreter, to: &Path) -> Result<(), Error> {
    let name = format!("python{}", interpreter.minor);
    fs::create_dir_all(to.join("bin"))?;
    fs::copy(interpreter.executable(), to.join("bin").join(&name))?;
    for link in ["python", "python3"] {
        symlink(&name, to.join("bin").join(link))?;
    }
    let files = sources(interpreter)?;
    for (relative, from) in &files {
        let target = to.join(relative);
        fs::create_dir_all(target.parent().unwrap_or(to))?;
        if from.is_symlink() {
            symlink(fs::read_link(from)?, target)?;
        } else {
            fs::copy(from, target)?;
        }
    }
    for (library, from) in foreign_libraries(interpreter, &files)? {
        let target = to.join("lib").join(library);
        if !target.exists() {
            fs::copy(from, target)?;
        }
    }
    strip(to)?;
    let placeholders = relocate(interpreter, to)?;
    package::write_info(to, &index(interpreter), &placeholders)
}

/// A digest of everything that [`stage`] would read, from names, sizes and times.
pub(super) fn fingerprint(interpreter: &Interpreter) -> Result<String, Error> {
    let mut hash = Sha256::new();
    hash.update(format!("{}\n{}\n", interpreter.version, interpreter.root.display()));
    let mut files = sources(interpreter)?;
    files.insert(PathBuf::from("bin"), interpreter.executable());
    for (relative, from) in &files {
        let meta = fs::symlink_metadata(from)?;
        let time = meta.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
        hash.update(format!("{}\0{}\0{time}\n", relative.display(), meta.len()));
    }
    Ok(hex::encode(hash.finalize()))
}

fn index(interpreter: &Interpreter) -> Value {
    json!({
        "build": "0_cpython",
        "build_number": 0,
        "depends": ["__glibc >=2.17"],
        "license": "Python-2.0",
        "name": "python",
        "python_site_packages_path": format!("lib/python{}/site-packages", interpreter.minor),
        "subdir": platform::SUBDIR,
        "timestamp": package::TIMESTAMP,
        "version": interpreter.version,
    })
}

/// Path in the package → file to copy, for the standard library and the interpreter's own libraries.
fn sources(interpreter: &Interpreter) -> Result<BTreeMap<PathBuf, PathBuf>, Error> {
    let mut files = BTreeMap::new();
    let stdlib = PathBuf::from("lib").join(format!("python{}", interpreter.minor));
    walk(&interpreter.stdlib(), &stdlib, &mut files)?;
    let own = format!("libpython{}", interpreter.minor);
    for entry in fs::read_dir(interpreter.root.join("lib"))? {
        let path = entry?.path();
        let name = file_name(&path);
        let wanted = interpreter.private || name == "libpython3.so" || name.starts_with(&own);
        if wanted && name.contains(".so") && !path.is_dir() {
            files.insert(PathBuf::from("lib").join(name), path);
        }
    }
    Ok(files)
}

fn walk(folder: &Path, relative: &Path, files: &mut BTreeMap<PathBuf, PathBuf>) -> Result<(), Error> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = file_name(&path);
        let skipped = if path.is_dir() {
            SKIPPED_FOLDERS.contains(&name.as_str()) || name.starts_with("config-")
        } else {
            SKIPPED_MODULES.iter().any(|module| name.starts_with(module))
                || path.extension().is_some_and(|extension| extension == "a" || extension == "exe")
                || name == "EXTERNALLY-MANAGED"
        };
        if skipped {
            continue;
        }
        if path.is_dir() && !path.is_symlink() {
            walk(&path, &relative.join(name), files)?;
        } else {
            files.insert(relative.join(name), path);
        }
    }
    Ok(())
}

/// Name → file of every shared library outside the prefix that is neither glibc's nor the package's own.
fn foreign_libraries(
    interpreter: &Interpreter,
    files: &BTreeMap<PathBuf, PathBuf>,
) -> Result<BTreeMap<String, PathBuf>, Error> {
    let binaries = files.values().filter(|path| file_name(path).contains(".so") && !path.is_symlink());
    let text = command::output(
        command::program("ldd")
            .env("LD_LIBRARY_PATH", interpreter.root.join("lib"))
            .arg(interpreter.executable())
            .args(binaries),
        "listing the libraries that CPython needs",
    )?;
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let Some((name, rest)) = line.trim().split_once(" => ") else { continue };
        if GLIBC.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        if rest.starts_with("not found") {
            return Err(Error::Library { library: name.to_owned(), root: interpreter.root.clone() });
        }
        let path = PathBuf::from(rest.split(" (0x").next().unwrap_or(rest));
        if !path.starts_with(&interpreter.root) || !interpreter.private && !name.starts_with("libpython") {
            found.insert(name.to_owned(), path);
        }
    }
    Ok(found)
}

/// Takes debugging information out of the interpreter, which is most of it, where the tool for that is installed.
fn strip(to: &Path) -> Result<(), Error> {
    let mut files = Vec::new();
    for folder in ["bin", "lib"] {
        for entry in fs::read_dir(to.join(folder))? {
            let path = entry?.path();
            let writable = path.symlink_metadata().is_ok_and(|meta| meta.is_file() && !meta.permissions().readonly());
            if writable && elf::is_elf(&fs::read(&path)?) {
                files.push(path);
            }
        }
    }
    match command::output(command::program("strip").arg("--strip-debug").args(files), "stripping the interpreter") {
        Ok(_) | Err(Error::Start { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes the copy independent of the place it was taken from; returns the files that name their prefix, and how.
fn relocate(interpreter: &Interpreter, to: &Path) -> Result<BTreeMap<PathBuf, String>, Error> {
    let stdlib = to.join("lib").join(format!("python{}", interpreter.minor));
    search_paths(&to.join("bin"), "$ORIGIN/../lib", true)?;
    search_paths(&to.join("lib"), "$ORIGIN", false)?;
    search_paths(&stdlib.join("lib-dynload"), "$ORIGIN/../..", false)?;

    // The one file of the standard library that names the prefix. Other mentions, of `/usr/local` in particular, are prose.
    let mut placeholders = BTreeMap::new();
    let (prefix, placeholder) = (interpreter.root.to_string_lossy().into_owned(), placeholder());
    for entry in fs::read_dir(&stdlib)? {
        let path = entry?.path();
        if interpreter.private || !file_name(&path).starts_with("_sysconfigdata") {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        if text.contains(&prefix) {
            fs::write(&path, text.replace(&prefix, &placeholder))?;
            placeholders.insert(path.strip_prefix(to).unwrap_or(&path).to_path_buf(), placeholder.clone());
        }
    }
    Ok(placeholders)
}

/// Points every binary directly in `folder` at `path`; with `required`, at least one must have taken it.
fn search_paths(folder: &Path, path: &str, required: bool) -> Result<(), Error> {
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        if file.is_dir() || file.is_symlink() {
            continue;
        }
        let mut bytes = fs::read(&file)?;
        match elf::set_search_path(&mut bytes, path) {
            elf::Outcome::Replaced => replace(&file, &bytes)?,
            elf::Outcome::TooShort => {
                return Err(Error::Binary { path: file, why: "its library search path has no room for the new one" });
            }
            elf::Outcome::NoPath if required => {
                return Err(Error::Binary { path: file, why: "it was linked without a library search path" });
            }
            elf::Outcome::NoPath | elf::Outcome::NotElf => {}
        }
    }
    Ok(())
}

/// Libraries are often installed read-only, and their copies are too.
fn replace(file: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mode = fs::metadata(file)?.permissions();
    fs::remove_file(file)?;
    fs::write(file, bytes)?;
    fs::set_permissions(file, mode)?;
    Ok(())
}

/// The text that conda replaces by the real prefix.
fn placeholder() -> String {
    let mut text = String::from("/opt/soopervisor");
    while text.len() < PLACEHOLDER_LENGTH {
        text.push_str("_placehold");
    }
    text.truncate(PLACEHOLDER_LENGTH);
    text
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_placeholder_is_as_long_as_conda_allows() {
        assert_eq!(placeholder().len(), 255);
        assert!(placeholder().starts_with("/opt/"));
    }

    #[test]
    fn leaves_out_tests_windows_and_installed_packages() {
        let root = tempfile::tempdir().unwrap();
        for file in [
            "os.py",
            "test/a.py",
            "unittest/test/b.py",
            "site-packages/c.py",
            "lib-dynload/_tkinter.x.so",
            "json/x.py",
            "l.a",
        ] {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let mut files = BTreeMap::new();
        walk(root.path(), Path::new("lib"), &mut files).unwrap();
        let names: Vec<_> = files.keys().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(names, ["lib/json/x.py", "lib/os.py"]);
    }
}
