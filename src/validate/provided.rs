//! Which modules Python finds in a run besides the repository's own, as far as environment.yml tells.
//!
//! That nothing provides a module is said only where each package is one whose modules are known, with all that it
//! brings along. Any doubt is none: a package of another name may have the module.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use super::{listing, requirement};
use crate::repo::{EntryKind, Tree};
use crate::spec::pip::{Split, name_of, normalise};
use crate::spec::{Dependency, Environment, Settings, suggest};

const PYTHON: &str = include_str!("provided/python.txt");
const PACKAGES: &str = include_str!("provided/packages.txt");
const MODULES: &str = include_str!("provided/modules.txt");

fn words(text: &'static str) -> impl Iterator<Item = &'static str> + Clone {
    text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace)
}

/// The module that was meant by a name that none has.
pub(super) fn near(module: &str) -> Option<&'static str> {
    let near = suggest::closest(module, words(PYTHON).chain(words(MODULES)))?;
    (strsim::osa_distance(module, near) <= 2).then_some(near)
}

/// What environment.yml says about modules.
#[derive(Debug, Default)]
pub(super) struct Provided {
    /// Packages by name, in their normal form.
    named: BTreeSet<String>,
    /// Whether the modules of all that is installed are known.
    is_closed: bool,
    /// What the repository has that may be a module in some folder; `None` where that cannot be told.
    own: OnceCell<Option<BTreeSet<String>>>,
}

impl Provided {
    /// Of an environment.yml without errors; `is_package` where the project itself is installed.
    pub(super) fn of(environment: &Environment, pip: &Split, settings: &Settings, is_package: bool) -> Self {
        let conda = environment.dependencies.iter().filter_map(|dependency| match dependency {
            Dependency::Conda(line) => Some(Some(normalise(requirement::package(line.as_str())))),
            Dependency::Pip(_) => None,
        });
        // An extra brings packages along, and what is at an address may be anything.
        let plain = |line: &&String| !line.contains(['[', '$']) && !line.contains("://");
        let pip_names = pip.lines.remote.iter().map(|line| name_of(line).filter(|_| plain(&line)));
        let all: Vec<Option<String>> = conda.chain(pip_names).collect();
        let is_known = |name: &str| words(PACKAGES).any(|known| known == name);
        // Variables of Python's name more folders, and so may what the project installs of itself.
        let mut variables = environment.variables.keys().chain(settings.env.keys());
        let elsewhere = is_package || !pip.lines.local.is_empty() || variables.any(|name| name.starts_with("PYTHON"));
        let all_known = all.iter().all(|name| name.as_deref().is_some_and(is_known));
        let is_closed = !elsewhere && pip.refused.is_empty() && all_known;
        Self { named: all.into_iter().flatten().collect(), is_closed, own: OnceCell::new() }
    }

    /// Whether all that is installed is known.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Whether Python has the module itself, or a package of its very name is installed.
    pub(super) fn offers(&self, module: &str) -> bool {
        words(PYTHON).any(|known| known == module) || self.named.contains(&normalise(module))
    }

    /// Whether it is certain that an import of the module fails.
    pub(super) fn lacks(&self, tree: &dyn Tree, module: &str) -> bool {
        if !self.has_no(module) {
            return false;
        }
        let own = self.own.get_or_init(|| own(tree));
        own.as_ref().is_some_and(|own| !own.contains(module))
    }

    /// Whether it is certain that neither Python nor a package has the module.
    pub(super) fn has_no(&self, module: &str) -> bool {
        let is_known = || words(PYTHON).chain(words(MODULES)).any(|known| known == module);
        self.is_closed && !module.starts_with('_') && !is_known()
    }
}

/// Names of folders and of files that Python can import, wherever they lie: a program may add any folder to its path.
fn own(tree: &dyn Tree) -> Option<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for (path, kind) in listing::all(tree)? {
        let name = String::from_utf8_lossy(path.file_name()).into_owned();
        let is_module = [".py", ".so", ".pyc", ".pyx"].iter().any(|ending| name.ends_with(ending));
        match kind {
            // What is in another repository is not looked at.
            EntryKind::Submodule => return None,
            EntryKind::File { .. } if !is_module => {}
            _ => names.extend(name.split('.').next().map(str::to_owned)),
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::MemoryTree;
    use crate::spec::{environment, pip};

    fn provided(text: &str, settings: &Settings, is_package: bool) -> Provided {
        let (environment, found) = environment::parse("environment.yml", text.as_bytes());
        assert_eq!(found, [], "{text}");
        let environment = environment.unwrap();
        let lines: Vec<String> = environment
            .dependencies
            .iter()
            .filter_map(|dependency| match dependency {
                Dependency::Pip(lines) => Some(lines.iter().map(|line| line.value.clone())),
                Dependency::Conda(_) => None,
            })
            .flatten()
            .collect();
        let split = pip::split(&lines, "", &mut |_| Err("none".to_owned()));
        Provided::of(&environment, &split, settings, is_package)
    }

    fn lacks(dependencies: &str) -> bool {
        let text = format!("channels: [a]\ndependencies: [{dependencies}]\n");
        provided(&text, &Settings::default(), false).lacks(&MemoryTree::new(), "nowhere_at_all")
    }

    #[test]
    fn a_module_is_lacking_only_where_the_modules_of_every_package_are_known() {
        for dependencies in ["python", "python=3.11, pip, {pip: [ploomber]}", "'c::pandas>=1', {pip: [scikit_learn]}"] {
            assert!(lacks(dependencies), "{dependencies}");
        }
        for dependencies in [
            "python, our-own-thing",
            "python, {pip: [our-own-thing]}",
            "python, {pip: ['ploomber[all]']}",
            "python, {pip: ['ploomber @ git+https://h/x']}",
            "python, {pip: ['-r gone.txt']}",
            "python, {pip: [-e .]}",
            "python, {pip: ['${WHAT}']}",
        ] {
            assert!(!lacks(dependencies), "{dependencies}");
        }
    }

    #[test]
    fn folders_that_only_the_run_knows_are_a_doubt() {
        let text = "channels: [a]\ndependencies: [python]\n";
        let tree = MemoryTree::new();
        let settings = Settings { env: [("PYTHONPATH".to_owned(), "x".to_owned())].into(), ..Settings::default() };
        assert!(!provided(text, &settings, false).lacks(&tree, "nowhere_at_all"));
        assert!(!provided(text, &Settings::default(), true).lacks(&tree, "nowhere_at_all"));
        let variables = format!("{text}variables: {{PYTHONPATH: x}}\n");
        assert!(!provided(&variables, &Settings::default(), false).lacks(&tree, "nowhere_at_all"));
    }

    #[test]
    fn what_the_repository_or_python_or_a_package_has_is_not_lacking() {
        let plain = || provided("channels: [a]\ndependencies: [python]\n", &Settings::default(), false);
        let tree = MemoryTree::new()
            .with("deep/down/helpers.py", "")
            .with("deep/pkg/x.txt", "")
            .with("deep/fast.cpython-311.so", "")
            .with("notes.md", "");
        for module in ["helpers", "pkg", "fast", "deep", "json", "jinja2", "_private"] {
            assert!(!plain().lacks(&tree, module), "{module}");
        }
        for module in ["notes", "x", "jsn"] {
            assert!(plain().lacks(&tree, module), "{module}");
        }
        let named = provided("channels: [a]\ndependencies: [python, our-own]\n", &Settings::default(), false);
        assert!(named.offers("our_own") && named.offers("functools") && !named.offers("other"));
        assert_eq!((near("sqlalchmy"), near("nowhere_at_all")), (Some("sqlalchemy"), None));
    }
}
