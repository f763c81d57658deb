//! Which package is not there, where a module of tasks could not be imported and Ploomber does not say why.
//!
//! Reads the commit's files and the names of what lies in the environment; runs nothing. Any doubt is no answer: then
//! the card names the command that shows it.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::decide::Decided;
use super::prepare::Prepared;
use crate::id::RelPath;
use crate::repo::{Checkout, Tree};

/// Modules of the user's that are looked into.
const MOST: usize = 100;
/// Longer files are data.
const LONGEST: u64 = 1 << 20;

/// Modules that Python may have in itself. Those with an underscore in front are nobody's to import.
const BUILT_IN: [&str; 30] = [
    "array",
    "atexit",
    "audioop",
    "binascii",
    "builtins",
    "cmath",
    "errno",
    "faulthandler",
    "fcntl",
    "gc",
    "grp",
    "itertools",
    "marshal",
    "math",
    "mmap",
    "nis",
    "ossaudiodev",
    "parser",
    "posix",
    "pwd",
    "pyexpat",
    "readline",
    "resource",
    "select",
    "spwd",
    "sys",
    "syslog",
    "termios",
    "time",
    "unicodedata",
];

/// Where the modules of a run are from.
pub(super) struct Modules {
    checkout: Arc<Checkout>,
    folder: RelPath,
    prefix: PathBuf,
}

impl Modules {
    /// Of a run that is prepared; `None` where modules may come from elsewhere: packages of the project's own that are
    /// installed in the run, variables, an environment on another machine.
    pub(super) fn of(decided: &Decided, prepared: &Prepared) -> Option<Self> {
        let plan = &decided.plan;
        let elsewhere = !plan.local_installs.is_empty() || plan.env.keys().any(|name| name.starts_with("PYTHON"));
        (!elsewhere && prepared.environment.volume.is_none()).then(|| Self {
            checkout: Arc::clone(&decided.checkout),
            folder: plan.pipeline_dir.clone(),
            prefix: prepared.environment.host_prefix.clone(),
        })
    }

    /// What a module imports, itself or by others of the user's, and is nowhere; with the file that does it.
    pub(super) fn missing(&self, module: &str) -> Option<(String, String)> {
        missing(&self.checkout.tree(), &self.folder, &installed(&self.prefix)?, module)
    }
}

fn missing(tree: &dyn Tree, folder: &RelPath, installed: &BTreeSet<String>, module: &str) -> Option<(String, String)> {
    let mut left = VecDeque::from([module.to_owned()]);
    let mut seen = BTreeSet::new();
    while let Some(module) = left.pop_front().filter(|_| seen.len() < MOST) {
        let Some((file, text)) = source(tree, folder, &module) else { continue };
        if !seen.insert(file.clone()) {
            continue;
        }
        for name in imports(&text) {
            let top = name.split('.').next().unwrap_or(&name);
            if is_own(tree, folder, top) {
                left.push_back(name);
            } else if !is_there(installed, top) && !is_own(tree, &RelPath::root(), top) {
                return Some((name, file));
            }
        }
    }
    None
}

fn is_there(installed: &BTreeSet<String>, top: &str) -> bool {
    top.starts_with('_') || BUILT_IN.contains(&top) || installed.contains(top)
}

/// The user's file of a module: its path from the pipeline's folder, its text.
fn source(tree: &dyn Tree, folder: &RelPath, module: &str) -> Option<(String, String)> {
    let stem = module.replace('.', "/");
    [format!("{stem}.py"), format!("{stem}/__init__.py")].into_iter().find_map(|file| {
        let path = folder.join(&RelPath::normalise(&file).ok()?);
        let bytes = tree.read(&path, LONGEST).ok()??;
        Some((file, String::from_utf8_lossy(&bytes).into_owned()))
    })
}

/// Whether a name is the user's: here, or in a folder where some tell Python to look.
fn is_own(tree: &dyn Tree, folder: &RelPath, top: &str) -> bool {
    let there = |name: String| RelPath::normalise(&name).is_ok_and(|path| tree.entry(&folder.join(&path)).is_some());
    ["", "src/", "lib/"].iter().any(|below| there(format!("{below}{top}.py")) || there(format!("{below}{top}")))
}

/// What a program imports whenever it is loaded: statements that begin a line, outside of texts. Relative ones are left
/// out, and so are those that something decides about.
fn imports(text: &str) -> Vec<String> {
    let (mut found, mut quoted) = (Vec::new(), false);
    for line in text.lines() {
        let marks = line.matches("\"\"\"").count() + line.matches("'''").count();
        let inside = quoted;
        quoted ^= marks % 2 == 1;
        if inside || marks > 0 {
            continue;
        }
        let line = line.split('#').next().unwrap_or_default().trim_end();
        if let Some(names) = line.strip_prefix("import ") {
            found.extend(names.split(',').map(|name| name.split(" as ").next().unwrap_or(name).trim().to_owned()));
        } else if let Some((name, rest)) = line.strip_prefix("from ").and_then(|rest| rest.split_once(" import ")) {
            let name = name.trim();
            found.push(name.to_owned());
            // Each may be a module of that package.
            let parts = rest.split(',').map(|part| part.split(" as ").next().unwrap_or(part).trim());
            found.extend(parts.map(|part| format!("{name}.{part}")));
        }
    }
    let plain = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
    found.retain(|name| name.split('.').all(plain));
    found
}

/// The names of all that an environment's Python can import; `None` where files in it lead elsewhere.
fn installed(prefix: &Path) -> Option<BTreeSet<String>> {
    let lib = prefix.join("lib");
    let library = entries(&lib)
        .into_iter()
        .filter(|name| name.starts_with("python3."))
        .map(|name| lib.join(name))
        .find(|folder| folder.join("os.py").is_file())?;
    let mut found = BTreeSet::new();
    for folder in [library.clone(), library.join("lib-dynload"), library.join("site-packages")] {
        for name in entries(&folder) {
            let path = folder.join(&name);
            let ending = path.extension().and_then(std::ffi::OsStr::to_str).unwrap_or_default();
            if ending == "pth" && std::fs::read_to_string(&path).ok()?.lines().any(leads_elsewhere) {
                return None;
            }
            let module = matches!(ending, "py" | "so") || path.is_dir();
            found.extend(module.then(|| name.split('.').next().unwrap_or(&name).to_owned()));
        }
    }
    Some(found)
}

fn leads_elsewhere(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#') && !line.contains("_distutils_hack")
}

fn entries(folder: &Path) -> Vec<String> {
    let read = std::fs::read_dir(folder).into_iter().flatten().flatten();
    read.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::MemoryTree;

    fn prefix() -> tempfile::TempDir {
        let prefix = tempfile::tempdir().unwrap();
        let library = prefix.path().join("lib/python3.11");
        for folder in ["json", "lib-dynload", "site-packages/pandas"] {
            std::fs::create_dir_all(library.join(folder)).unwrap();
        }
        for file in ["os.py", "lib-dynload/_ssl.cpython-311-x86_64-linux-gnu.so", "site-packages/six.py"] {
            std::fs::write(library.join(file), "").unwrap();
        }
        let hook = "import os; var = 'X'; __import__('_distutils_hack').add_shim()";
        std::fs::write(library.join("site-packages/distutils-precedence.pth"), hook).unwrap();
        prefix
    }

    fn found(files: &[(&str, &str)], module: &str) -> Option<(String, String)> {
        let tree = files.iter().fold(MemoryTree::new(), |tree, (path, text)| tree.with(path, text));
        missing(&tree, &RelPath::normalise("p").unwrap(), &installed(prefix().path()).unwrap(), module)
    }

    #[test]
    fn the_package_that_is_not_there_is_named_with_the_file_that_imports_it() {
        let tasks = "\"\"\"\nimport words\n\"\"\"\nimport time, json, os, six\nimport pandas as pd\ntry:\n    import fast\n\
                     except ImportError:\n    fast = None\nfrom helpers import more # and y\nimport src_of_mine\n";
        let more = "from . import other\nfrom json import (\n    loads)\nfrom sklearn.svm import SVC\n";
        let there = [("p/tasks.py", tasks), ("src_of_mine.py", ""), ("p/helpers/__init__.py", "")];
        assert_eq!(found(&there, "tasks"), None);
        let all = [&there[..], &[("p/helpers/more.py", more)]].concat();
        assert_eq!(found(&all, "tasks"), Some(("sklearn.svm".to_owned(), "helpers/more.py".to_owned())));
        assert_eq!(found(&all, "nowhere"), None);
    }

    #[test]
    fn an_environment_that_leads_elsewhere_is_no_ground_for_an_answer() {
        let prefix = prefix();
        assert!(installed(prefix.path()).unwrap().contains("pandas"));
        let editable = prefix.path().join("lib/python3.11/site-packages/__editable__.mine.pth");
        std::fs::write(editable, "/elsewhere/src\n").unwrap();
        assert_eq!(installed(prefix.path()), None);
        assert_eq!(installed(Path::new("/nowhere")), None);
    }
}
