//! The texts of two commits, read once, and what they say about each other's files.
//!
//! Text that is too long to be a program or a setting is data; data is compared, not read.

use std::collections::{BTreeMap, BTreeSet};

use super::words::{imports, imports_module, loads_by_name, names_file, names_folder};
use crate::id::RelPath;
use crate::repo::{EntryKind, Tree};
use crate::validate::has_word;

/// Longer files of other kinds are data.
const LONGEST_TEXT: u64 = 1 << 20;
/// Longer programs are not looked through, and then nothing is certain.
const LONGEST_PROGRAM: u64 = 32 << 20;
/// More files, or more bytes of text, are not looked through.
const MOST_FILES: usize = 20_000;
const MOST_BYTES: u64 = 256 << 20;

const PROGRAMS: [&str; 16] =
    ["py", "pyi", "pyx", "ipynb", "r", "rmd", "qmd", "jl", "sh", "bash", "zsh", "sql", "pl", "rb", "js", "lua"];
const SHELLS: [&str; 3] = ["sh", "bash", "zsh"];
const WORDS_FOR_PEOPLE: [&str; 4] = ["md", "rst", "adoc", "markdown"];
const NAMES_FOR_PEOPLE: [&str; 9] =
    ["license", "licence", "copying", "notice", "authors", "contributors", "changelog", "codeowners", "citation"];
const SETTINGS_FOR_OTHERS: [&str; 8] = [
    ".gitignore",
    ".editorconfig",
    ".pre-commit-config.yaml",
    ".mailmap",
    ".gitlab-ci.yml",
    ".travis.yml",
    ".dockerignore",
    ".flake8",
];
const FOLDERS_FOR_OTHERS: [&str; 7] = [".github", ".gitlab", ".vscode", ".idea", "docs", "tests", "test"];
/// Settings that name those folders all the time, for tools that no run starts.
const TOOLS: [&str; 10] = [
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "tox.ini",
    "pytest.ini",
    "noxfile.py",
    "Makefile",
    "MANIFEST.in",
    ".coveragerc",
    "mkdocs.yml",
];

/// One file that was read.
#[derive(Debug)]
pub(super) struct Text {
    /// Its path.
    pub(super) path: RelPath,
    /// As it is, and as it was where that is something else.
    pub(super) versions: Vec<String>,
    /// A program, and not a setting or a table.
    pub(super) program: bool,
    /// A script of a shell.
    pub(super) shell: bool,
    /// Its import statements, in all versions.
    imports: String,
}

impl Text {
    /// Whether any version fits.
    pub(super) fn any(&self, test: impl Fn(&str) -> bool) -> bool {
        self.versions.iter().any(|text| test(text))
    }
}

/// The texts of two commits.
#[derive(Debug)]
pub(super) struct Corpus {
    pub(super) texts: Vec<Text>,
    /// Sources of tasks: never taken for something that only people read.
    sources: BTreeSet<RelPath>,
    /// A program that loads others by name, where there is one.
    dynamic: Option<RelPath>,
}

impl Corpus {
    /// Reads both trees. Of `specs`, which are compared by what they say, only the given texts count.
    ///
    /// # Errors
    /// Why nothing can be proved with them, for the user.
    pub(super) fn read(
        before: &dyn Tree,
        after: &dyn Tree,
        changed: &BTreeSet<RelPath>,
        specs: &BTreeMap<RelPath, Vec<String>>,
        sources: BTreeSet<RelPath>,
    ) -> Result<Self, String> {
        let mut paths = BTreeSet::new();
        walk(after, &RelPath::root(), &mut paths)?;
        let mut bytes = 0;
        let mut texts = Vec::new();
        for path in paths.iter().chain(changed.iter().filter(|path| !paths.contains(*path))) {
            let mut versions = Vec::new();
            let old = changed.contains(path).then_some(before);
            versions.extend(specs.get(path).into_iter().flatten().cloned());
            for tree in [Some(after), old].into_iter().flatten().filter(|_| !specs.contains_key(path)) {
                if let Some(text) = text(tree, path)? {
                    bytes += text.len() as u64;
                    versions.push(text);
                }
            }
            if bytes > MOST_BYTES {
                return Err(format!("the repository has more than {MOST_BYTES} bytes of text"));
            }
            if !versions.is_empty() {
                let imports = versions.iter().map(|text| imports(text)).collect();
                let program = versions.iter().any(|text| is_program(path, text));
                texts.push(Text { path: path.clone(), versions, program, shell: is_shell(path), imports });
            }
        }
        let mut corpus = Self { texts, sources, dynamic: None };
        let loads = |text: &&Text| text.program && text.any(|version| loads_by_name(version, text.shell));
        let loaders: Vec<RelPath> = corpus.texts.iter().filter(loads).map(|text| text.path.clone()).collect();
        corpus.dynamic = loaders.into_iter().find(|path| !corpus.is_inert(path));
        Ok(corpus)
    }

    /// The text of one file.
    pub(super) fn get(&self, path: &RelPath) -> Option<&Text> {
        self.texts.iter().find(|text| text.path == *path)
    }

    /// The first file, besides those that mean nothing to a run, that speaks of `path` or loads it.
    pub(super) fn mention(&self, path: &RelPath) -> Option<&RelPath> {
        let speaks = |text: &&Text| text.path != *path && self.speaks(text, path);
        self.texts.iter().filter(speaks).map(|text| &text.path).find(|found| !self.is_inert(found))
    }

    /// The first such program that names a file: for files that settings and documents name all the time.
    pub(super) fn program_mention(&self, name: &str) -> Option<&RelPath> {
        let speaks = |text: &&Text| text.program && text.any(|version| names_file(version, name));
        self.texts.iter().filter(speaks).map(|text| &text.path).find(|found| !self.is_inert(found))
    }

    fn speaks(&self, text: &Text, path: &RelPath) -> bool {
        let name = String::from_utf8_lossy(path.file_name()).into_owned();
        let stem = name.split('.').next().unwrap_or_default();
        let folder = path.parent().unwrap_or_default();
        let folder = String::from_utf8_lossy(folder.file_name()).into_owned();
        // `__init__.py` is imported by its folder's name.
        let stem = if stem == "__init__" { folder.as_str() } else { stem };
        let pattern = format!("*.{}", ending(path));
        let by_pattern = WORDS_FOR_PEOPLE.contains(&&pattern[2..]);
        let tool = TOOLS.iter().any(|tool| text.path.file_name() == tool.as_bytes());
        text.any(|version| names_file(version, &name) || (by_pattern && version.contains(&pattern)))
            || (is_importable(&name) && imports_module(&text.imports, stem, &folder))
            || (self.dynamic.is_some() && is_importable(&name) && text.any(|version| has_word(version, stem)))
            || (!tool && folders_above(path).iter().any(|folder| text.any(|version| names_folder(version, folder))))
            || of_others(path).filter(|_| !tool).is_some_and(|folder| has_word(&text.imports, folder))
    }

    /// Whether a file means something to people, editors, services and tests only: by its name, and because no file
    /// that means something to a run speaks of it, or of what speaks of it.
    pub(super) fn is_inert(&self, path: &RelPath) -> bool {
        let may_be = |path: &RelPath| !self.sources.contains(path) && may_be_inert(path);
        if !may_be(path) {
            return false;
        }
        let (mut seen, mut waiting) = (BTreeSet::from([path]), vec![path]);
        while let Some(path) = waiting.pop() {
            for text in self.texts.iter().filter(|text| text.path != *path && self.speaks(text, path)) {
                if !may_be(&text.path) {
                    return false;
                }
                if seen.insert(&text.path) {
                    waiting.push(&text.path);
                }
            }
        }
        true
    }
}

/// Whether the name is that of a document, a test, or a setting of something else.
fn may_be_inert(path: &RelPath) -> bool {
    let Some(whole) = path.as_str() else { return false };
    let name = whole.rsplit('/').next().unwrap_or_default().to_lowercase();
    let stem = name.split('.').next().unwrap_or_default();
    let ending = ending(path);
    WORDS_FOR_PEOPLE.contains(&ending.as_str())
        || (NAMES_FOR_PEOPLE.contains(&stem) && matches!(ending.as_str(), "" | "txt" | "cff"))
        || SETTINGS_FOR_OTHERS.contains(&name.as_str())
        || of_others(path).is_some()
        || (ending == "py" && (stem.starts_with("test_") || stem.ends_with("_test") || stem == "conftest"))
}

/// The folder on the way to a path that belongs to others than the pipeline.
fn of_others(path: &RelPath) -> Option<&'static str> {
    let parts: Vec<&[u8]> = path.as_bytes().split(|b| *b == b'/').collect();
    let folders = &parts[..parts.len().saturating_sub(1)];
    FOLDERS_FOR_OTHERS.into_iter().find(|known| folders.contains(&known.as_bytes()))
}

/// Folders by which a path may be reached that only people seem to read: a loader takes all that is in one. Programs are
/// reached by their names.
fn folders_above(path: &RelPath) -> Vec<String> {
    if let Some(folder) = of_others(path) {
        return vec![folder.to_owned()];
    }
    if !may_be_inert(path) {
        return Vec::new();
    }
    let above = path.parent().unwrap_or_default();
    let parts = above.as_bytes().split(|b| *b == b'/').filter(|part| !part.is_empty());
    parts.map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

fn is_importable(name: &str) -> bool {
    ["py", "pyi", "pyx", "ipynb", "r", "jl"].iter().any(|known| name.to_lowercase().ends_with(&format!(".{known}")))
}

fn ending(path: &RelPath) -> String {
    let name = String::from_utf8_lossy(path.file_name()).to_lowercase();
    name.rsplit_once('.').map(|(_, ending)| ending.to_owned()).unwrap_or_default()
}

fn is_program(path: &RelPath, text: &str) -> bool {
    PROGRAMS.contains(&ending(path).as_str()) || text.starts_with("#!")
}

fn is_shell(path: &RelPath) -> bool {
    SHELLS.contains(&ending(path).as_str())
}

/// Every regular file. A link could be another name of any file, so that names would prove nothing.
fn walk(tree: &dyn Tree, folder: &RelPath, found: &mut BTreeSet<RelPath>) -> Result<(), String> {
    for name in tree.list(folder) {
        let path = folder.join(&name);
        match tree.entry(&path) {
            Some(EntryKind::File { .. }) => drop(found.insert(path)),
            Some(EntryKind::Folder) => walk(tree, &path, found)?,
            Some(EntryKind::Link) => return Err(format!("`{path}` is a link, which may be another name of any file")),
            Some(EntryKind::Submodule) | None => {}
        }
        if found.len() > MOST_FILES {
            return Err(format!("the repository has more than {MOST_FILES} files"));
        }
    }
    Ok(())
}

/// A file's text, notebooks with the ends of their lines; `None` for data.
fn text(tree: &dyn Tree, path: &RelPath) -> Result<Option<String>, String> {
    let Some(EntryKind::File { size, .. }) = tree.entry(path) else { return Ok(None) };
    let program = PROGRAMS.contains(&ending(path).as_str());
    if size > LONGEST_PROGRAM && program {
        return Err(format!("`{path}` is too long to be looked through"));
    }
    if size > LONGEST_TEXT && !program {
        return Ok(None);
    }
    let bytes = match tree.read(path, LONGEST_PROGRAM) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(None),
        Err(error) => return Err(format!("`{path}` cannot be read: {error}")),
    };
    if bytes.contains(&0) {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Some(if ending(path) == "ipynb" { text.replace("\\n", "\n").replace("\\\"", "\"") } else { text }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::MemoryTree;

    fn path(text: &str) -> RelPath {
        text.parse().unwrap()
    }

    fn corpus(files: &[(&str, &str)], sources: &[&str]) -> Corpus {
        let tree = files.iter().fold(MemoryTree::new(), |tree, (name, text)| tree.with(name, text));
        let sources = sources.iter().map(|name| path(name)).collect();
        Corpus::read(&tree, &tree, &BTreeSet::new(), &BTreeMap::new(), sources).unwrap()
    }

    #[test]
    fn documents_and_tests_mean_nothing_until_something_that_runs_speaks_of_them() {
        let quiet = [
            ("README.md", "see docs/a.md and fit.py"),
            ("docs/a.md", "see README.md"),
            ("tests/test_fit.py", "import fit"),
            ("fit.py", "print(1)"),
            ("LICENSE", "free"),
        ];
        let found = corpus(&quiet, &["fit.py"]);
        for inert in ["README.md", "docs/a.md", "tests/test_fit.py", "LICENSE"] {
            assert!(found.is_inert(&path(inert)), "{inert}");
        }
        assert!(!found.is_inert(&path("fit.py")));
        assert_eq!(found.mention(&path("fit.py")), None);
        for (name, text) in [
            ("setup.py", "open('README.md')"),
            ("pyproject.toml", "readme = 'README.md'"),
            ("load.py", "Path('.').glob('*.md')"),
            ("run.sh", "cat README.md"),
        ] {
            let found = corpus(&[&quiet[..], &[(name, text)]].concat(), &["fit.py"]);
            assert!(!found.is_inert(&path("README.md")), "{name}");
        }
    }

    #[test]
    fn texts_that_are_data_are_not_taken_for_documents() {
        let loads = [("fit.py", "DirectoryLoader('data/texts')"), ("data/texts/1.md", "a"), ("data/authors.csv", "b")];
        let found = corpus(&loads, &["fit.py"]);
        assert!(!found.is_inert(&path("data/texts/1.md")) && !found.is_inert(&path("data/authors.csv")));
        let quiet = [("fit.py", "print(1)"), ("notes/1.md", "a"), ("AUTHORS", "b")];
        let found = corpus(&quiet, &["fit.py"]);
        assert!(found.is_inert(&path("notes/1.md")) && found.is_inert(&path("AUTHORS")));
    }

    #[test]
    fn what_only_tests_use_is_of_the_tests_and_what_a_script_uses_is_not() {
        let tests = [("tests/deep.py", "X = 1"), ("tests/help.py", "from deep import X"), ("fit.py", "print(1)")];
        assert!(corpus(&tests, &["fit.py"]).is_inert(&path("tests/deep.py")));
        let mut used = tests;
        used[2].1 = "from tests.help import X";
        let found = corpus(&used, &["fit.py"]);
        assert!(!found.is_inert(&path("tests/help.py")) && !found.is_inert(&path("tests/deep.py")));
    }

    #[test]
    fn modules_are_mentioned_by_imports_in_notebooks_and_where_programs_load_by_name() {
        let plain = corpus(&[("a.py", "model.fit(x)"), ("fit.py", "x")], &[]);
        assert_eq!(plain.mention(&path("fit.py")), None);
        let notebook = corpus(&[("a.ipynb", "{\"source\": \"import os\\nimport fit\"}"), ("fit.py", "x")], &[]);
        assert_eq!(notebook.mention(&path("fit.py")), Some(&path("a.ipynb")));
        let dynamic =
            [("a.py", "import runpy; runpy.run_path(name + '.py')"), ("names.yaml", "[fit]"), ("fit.py", "x")];
        assert_eq!(corpus(&dynamic, &[]).mention(&path("fit.py")), Some(&path("names.yaml")));
        let package = corpus(&[("a.py", "import pkg"), ("pkg/__init__.py", "x")], &[]);
        assert_eq!(package.mention(&path("pkg/__init__.py")), Some(&path("a.py")));
    }

    #[test]
    fn a_link_makes_names_worthless() {
        struct Linked;
        impl Tree for Linked {
            fn entry(&self, _: &RelPath) -> Option<EntryKind> {
                Some(EntryKind::Link)
            }
            fn read(&self, _: &RelPath, _: u64) -> Result<Option<std::sync::Arc<[u8]>>, crate::repo::ReadError> {
                Ok(None)
            }
            fn list(&self, folder: &RelPath) -> Vec<RelPath> {
                if folder.is_root() { vec!["x".parse().unwrap()] } else { Vec::new() }
            }
        }
        let error = Corpus::read(&Linked, &Linked, &BTreeSet::new(), &BTreeMap::new(), BTreeSet::new()).unwrap_err();
        assert!(error.contains("link"), "{error}");
    }
}
