//! Looks for CPython installations that can be packaged.
//!
//! Never installs one, and never looks at virtual environments: they have no standard library of their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::command;

/// The minor versions of CPython that environments may ask for.
pub(super) const SUPPORTED: std::ops::RangeInclusive<u32> = 8..=13;

/// One CPython that runs on this machine.
#[derive(Debug, Clone)]
pub(super) struct Interpreter {
    /// Folder with `bin/` and `lib/`.
    pub root: PathBuf,
    /// `3.11`
    pub minor: String,
    /// `3.11.7`
    pub version: String,
    /// Whether `lib/` belongs to it alone, so that every library in it is to be packaged.
    pub private: bool,
    /// The wheel of pip that comes with it.
    pub pip: PathBuf,
}

impl Interpreter {
    /// Describes the CPython in `root`, or says why it is none.
    pub(super) fn at(root: &Path, minor: u32) -> Result<Self, String> {
        let name = format!("3.{minor}");
        let stdlib = root.join("lib").join(format!("python{name}"));
        let executable = root.join("bin").join(format!("python{name}"));
        if root.join("pyvenv.cfg").exists() || !stdlib.join("os.py").is_file() || !executable.is_file() {
            return Err("no standard library".into());
        }
        let pip = bundled_pip(&stdlib.join("ensurepip/_bundled")).ok_or("no pip wheel in its `ensurepip`")?;
        let script = "import sys; print('%d.%d.%d' % sys.version_info[:3] if sys.version_info[3] == 'final' else '')";
        let version =
            command::output(command::program(&executable).args(["-I", "-S", "-c", script]), "telling its version")
                .map_err(|error| error.to_string())?;
        let version = version.trim().to_owned();
        if !version.starts_with(&format!("{name}.")) {
            return Err("not a final release".into());
        }
        Ok(Self { root: root.to_path_buf(), minor: name, version, private: false, pip })
    }

    /// The program.
    pub(super) fn executable(&self) -> PathBuf {
        self.root.join("bin").join(format!("python{}", self.minor))
    }

    /// The standard library.
    pub(super) fn stdlib(&self) -> PathBuf {
        self.root.join("lib").join(format!("python{}", self.minor))
    }
}

/// The newest wheel of pip in `folder`.
pub(super) fn bundled_pip(folder: &Path) -> Option<PathBuf> {
    let mut wheels: Vec<PathBuf> = fs_err::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            name.starts_with("pip-") && path.extension().is_some_and(|extension| extension == "whl")
        })
        .collect();
    wheels.sort();
    wheels.pop()
}

/// The newest CPython of every supported minor version, and what was passed over.
pub(super) fn interpreters() -> (Vec<Interpreter>, Vec<String>) {
    let mut found: BTreeMap<u32, Interpreter> = BTreeMap::new();
    let mut notes = Vec::new();
    for root in roots() {
        for minor in SUPPORTED.filter(|minor| root.join("bin").join(format!("python3.{minor}")).is_file()) {
            match Interpreter::at(&root, minor) {
                Ok(new) if found.get(&minor).is_none_or(|old| patch(&new) > patch(old)) => {
                    found.insert(minor, new);
                }
                Ok(_) => {}
                Err(why) => notes.push(format!("CPython 3.{minor} in `{}` is passed over: {why}", root.display())),
            }
        }
    }
    (found.into_values().collect(), notes)
}

fn patch(interpreter: &Interpreter) -> u32 {
    interpreter.version.rsplit('.').next().and_then(|part| part.parse().ok()).unwrap_or(0)
}

/// Folders that may be the prefix of a CPython which was built to live in one folder.
fn roots() -> Vec<PathBuf> {
    let home = std::env::home_dir().unwrap_or_default();
    let pyenv = std::env::var_os("PYENV_ROOT").map_or_else(|| home.join(".pyenv"), PathBuf::from);
    let mut roots: Vec<PathBuf> = [pyenv.join("versions"), home.join(".local/share/uv/python")]
        .iter()
        .filter_map(|folder| fs_err::read_dir(folder).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir() && !path.is_symlink())
        .collect();
    roots.push(PathBuf::from("/usr/local"));
    roots.sort();
    roots
}
