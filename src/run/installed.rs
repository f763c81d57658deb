//! Whether products of an earlier commit, laid into the snapshot, would get into what a run installs from it.
//!
//! Wheels are built before anything is laid. What is installed inside the run is built with the products in its folder:
//! setuptools may take a folder of products for a package, and a package may take a product for data of its own.

use crate::id::RelPath;
use crate::plan::RunPlan;
use crate::repo::{EntryKind, Tree};

/// Larger build files are not read.
const MOST: u64 = 256 * 1024;

/// Why none of `files` may be laid, where a line that no wheel fulfils would install more with them than without.
/// `fulfilled` holds the numbers of the other lines.
pub(super) fn spoilt<'a>(
    plan: &RunPlan,
    tree: &dyn Tree,
    fulfilled: &[usize],
    mut files: impl Iterator<Item = &'a RelPath>,
) -> Option<String> {
    let lines = plan.local_installs.iter().enumerate().filter(|(number, _)| !fulfilled.contains(number));
    let installs: Vec<Install<'_>> =
        lines.filter_map(|(_, line)| Install::of(line, &plan.pipeline_dir, tree)).collect();
    if installs.is_empty() {
        return None;
    }
    files.find_map(|file| installs.iter().find_map(|install| install.takes(file, tree)))
}

/// A line that installs a folder of the snapshot.
struct Install<'a> {
    line: &'a str,
    folder: RelPath,
    /// Whether the sources themselves are used: then nothing is copied out of them.
    editable: bool,
    /// Whether setuptools looks for packages by itself.
    discovers: bool,
}

impl<'a> Install<'a> {
    /// `None` for what is no folder of the snapshot.
    fn of(line: &'a str, pipeline_dir: &RelPath, tree: &dyn Tree) -> Option<Self> {
        let line = line.trim();
        let plain = ["--editable", "-e"].iter().find_map(|option| line.strip_prefix(option));
        let editable = plain.is_some();
        let target = plain.unwrap_or(line).trim_start_matches(['=', ' ']);
        let target = target.split_once(" @ ").map_or(target, |(_, target)| target.trim());
        let path = target.trim_start_matches("file:").split(['[', ';']).next()?.trim();
        let from = [pipeline_dir.as_str()?, path];
        let text = from.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        let folder = RelPath::normalise(&text).ok()?;
        let is_folder = folder.is_root() || tree.entry(&folder) == Some(EntryKind::Folder);
        is_folder.then(|| Self { line, discovers: discovers(tree, &folder), folder, editable })
    }

    /// Why this file would become a part of what is installed, if it would.
    fn takes(&self, file: &RelPath, tree: &dyn Tree) -> Option<String> {
        let inside = file.strip_prefix(&self.folder)?;
        let above: Vec<RelPath> =
            std::iter::successors(inside.parent(), RelPath::parent).filter(|folder| !folder.is_root()).collect();
        let (line, top) = (self.line, above.last()?);
        let hidden = top.as_bytes().starts_with(b".") || top.as_bytes().starts_with(b"_");
        if self.discovers && !hidden && tree.entry(&self.folder.join(top)).is_none() {
            return Some(format!(
                "`{line}` installs a folder that does not name its packages, and setuptools would take `{top}/`, where \
                 products lie, for one of them: name them in pyproject.toml, `[tool.setuptools] packages = […]`"
            ));
        }
        let init = |folder: &RelPath| tree.entry(&self.folder.join(folder).join(&named("__init__.py"))).is_some();
        let in_package = !self.editable && above.iter().any(init);
        in_package.then(|| format!("`{file}` lies in a package that `{line}` installs inside the run"))
    }
}

fn named(name: &str) -> RelPath {
    RelPath::normalise(name).unwrap_or_default()
}

/// Whether a folder is built by setuptools, and none of its build files says which packages it has. With a folder `src`
/// only that one is looked into.
fn discovers(tree: &dyn Tree, folder: &RelPath) -> bool {
    let read = |name: &str| {
        let bytes = tree.read(&folder.join(&named(name)), MOST).ok()??;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let project = read("pyproject.toml");
    let other = |text: &String| text.contains("build-backend") && !text.contains("setuptools");
    if project.as_ref().is_some_and(other) || tree.entry(&folder.join(&named("src"))) == Some(EntryKind::Folder) {
        return false;
    }
    let texts: Vec<String> = [project, read("setup.py"), read("setup.cfg")].into_iter().flatten().collect();
    !texts.is_empty() && !texts.iter().any(|text| names_packages(text))
}

/// `packages = …`, `py-modules = …` or a table of that name, outside of comments.
fn names_packages(text: &str) -> bool {
    let says = |line: &str, word: &str| {
        let mut rests = line.match_indices(word).map(|(at, _)| line[at + word.len()..].trim_start());
        rests.any(|rest| rest.starts_with(['=', ']']) || rest.starts_with(".find"))
    };
    let mut lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines.any(|line| ["packages", "py-modules", "py_modules"].iter().any(|word| says(line, word)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::MemoryTree;

    const BUILD: &str = "[build-system]\nrequires = [\"setuptools\"]\nbuild-backend = \"setuptools.build_meta\"\n";

    fn takes(line: &str, tree: &MemoryTree, file: &str) -> Option<String> {
        let install = Install::of(line, &RelPath::root(), tree)?;
        install.takes(&RelPath::normalise(file).unwrap(), tree)
    }

    fn flat(project: &str) -> MemoryTree {
        MemoryTree::new().with("pyproject.toml", project).with("shop/__init__.py", "").with("notes/a.md", "")
    }

    #[test]
    fn a_new_folder_beside_an_only_package_is_taken_for_a_second_one() {
        let tree = flat(BUILD);
        for line in [".", "-e .", "--editable=.", ".[all]", "shop @ file:.", "-e ./"] {
            let why = takes(line, &tree, "output/one.csv").unwrap();
            assert!(why.contains("`output/`") && why.contains(line), "{why}");
        }
        for file in ["one.csv", "notes/one.csv", ".hidden/one.csv"] {
            assert_eq!(takes(".", &tree, file), None, "{file}");
        }
        assert_eq!(takes("./shop.whl", &tree, "output/one.csv"), None);
        assert_eq!(takes("-e ../elsewhere", &tree, "output/one.csv"), None);
    }

    #[test]
    fn where_packages_are_named_or_others_build_nothing_is_looked_for() {
        for more in [
            "[tool.setuptools]\npackages = [\"shop\"]\n",
            "[tool.setuptools.packages.find]\ninclude = [\"shop*\"]\n",
            "[tool.setuptools]\npy-modules = [\"shop\"]\n",
        ] {
            assert_eq!(takes(".", &flat(&format!("{BUILD}{more}")), "output/one.csv"), None, "{more}");
        }
        assert!(takes(".", &flat(&format!("{BUILD}# packages = []\n")), "output/one.csv").is_some());
        let hatch = flat("[build-system]\nbuild-backend = \"hatchling.build\"\n");
        assert_eq!(takes(".", &hatch, "output/one.csv"), None);
        assert_eq!(takes(".", &flat(BUILD).with("src/x.py", ""), "output/one.csv"), None);
        let setup = MemoryTree::new().with("setup.py", "setup(name='a', packages=['a'])");
        assert_eq!(takes(".", &setup, "output/one.csv"), None);
    }

    #[test]
    fn a_product_inside_a_package_is_a_part_of_it_unless_the_sources_themselves_are_used() {
        let tree = flat(&format!("{BUILD}[tool.setuptools]\npackages = [\"shop\"]\n"));
        assert!(takes(".[all]", &tree, "shop/data/one.csv").unwrap().contains("`shop/data/one.csv` lies in a package"));
        assert_eq!(takes("-e .", &tree, "shop/data/one.csv"), None);
        assert_eq!(takes(".", &tree, "notes/one.csv"), None);
    }
}
