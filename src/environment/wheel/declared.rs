//! Whether a project's build runs no code of its own, so that its wheel is a function of its files and of setuptools.
//!
//! A `setup.py` that is more than a declaration may read the clock, the network, variables and secrets; a backend of another kind is fetched anew for each
//! build, in whatever version there is that day; a dynamic version may be imported. Where any of that is possible, or the
//! files are not understood, the answer is no: this is a list of what is known to be harmless, and nothing else.

use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::setup_py::only_declares;

/// Larger ones are not looked at.
const MOST: u64 = 256 * 1024;

/// Words by which a declaration reaches out of its own files, runs code, or asks the clock.
const REACHING: [&str; 14] = [
    "..",
    "\\",
    "attr",
    "backend-path",
    "cmdclass",
    "ext-modules",
    "ext_modules",
    "setuptools_scm",
    "setuptools-scm",
    "versioneer",
    "tag_date",
    "tag-date",
    "tag_build",
    "tag-build",
];

/// Says why the build of a folder cannot be kept, if it cannot.
pub(super) fn check(folder: &Path) -> Result<(), &'static str> {
    let folder = Dir::open_ambient_dir(folder, ambient_authority()).map_err(|_| "its folder cannot be read")?;
    let read = |name: &str| match folder.symlink_metadata(name) {
        Err(_) => Ok(None),
        Ok(meta) if !meta.is_file() || meta.len() > MOST => Err("one of its build files is strange"),
        Ok(_) => folder.read_to_string(name).map(Some).map_err(|_| "one of its build files cannot be read"),
    };
    let (project, setup) = (read("pyproject.toml")?, read("setup.py")?);
    if setup.as_ref().is_some_and(|setup| !only_declares(setup)) {
        return Err("its setup.py runs code");
    }
    let config = read("setup.cfg")?;
    if [&project, &setup, &config].into_iter().flatten().any(|text| REACHING.iter().any(|word| text.contains(word))) {
        return Err("its build reaches out of its own files");
    }
    match (&project, setup) {
        (None, None) => Err("it has neither pyproject.toml nor setup.py"),
        (None, Some(_)) => Ok(()),
        (Some(project), _) if built_by_setuptools(project) => Ok(()),
        (Some(_), _) => Err("it is not built by setuptools alone"),
    }
}

/// Whether `[build-system]` names setuptools, and wheel at most besides.
fn built_by_setuptools(project: &str) -> bool {
    let mut sections =
        project.match_indices("[build-system]").filter(|(at, _)| *at == 0 || project[..*at].ends_with('\n'));
    let (Some((at, header)), None) = (sections.next(), sections.next()) else { return false };
    let rest = &project[at + header.len()..];
    let section = rest.find("\n[").map_or(rest, |end| &rest[..end]);
    let lines: Vec<&str> =
        section.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let text = lines.join(" ");
    let backend = r#"build-backend = "setuptools.build_meta""#;
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ").replacen(backend, "", 1);
    let Some(list) = text.trim().strip_prefix("requires = [").and_then(|list| list.strip_suffix(']')) else {
        return false;
    };
    let mut names = list.split(',').map(str::trim).filter(|word| !word.is_empty());
    names.all(|word| {
        let inside = word.strip_prefix('"').and_then(|word| word.strip_suffix('"')).unwrap_or_default();
        let end = inside.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(inside.len());
        let limits = inside[end..].chars().all(|c| c.is_ascii_alphanumeric() || " <>=!~.".contains(c));
        matches!(&inside[..end], "setuptools" | "wheel") && limits
    }) && section.contains(backend)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "[build-system]\nrequires = [\"setuptools>=61\", \"wheel\"]\nbuild-backend = \"setuptools.build_meta\"\n\n\
                         [project]\nname = \"a\"\nversion = \"1\"\n";

    fn verdict(files: &[(&str, &str)]) -> Result<(), &'static str> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        check(folder.path())
    }

    #[test]
    fn only_what_is_declared_to_setuptools_is_kept() {
        assert_eq!(verdict(&[("pyproject.toml", PLAIN)]), Ok(()));
        let many = PLAIN.replace("[\"setuptools>=61\", \"wheel\"]", "[\n  \"setuptools\",\n]");
        assert_eq!(verdict(&[("pyproject.toml", &many)]), Ok(()));
        let alone =
            "from setuptools import setup, find_packages\nsetup(name='a', version='1', packages=find_packages())\n";
        assert_eq!(verdict(&[("setup.py", alone)]), Ok(()));
        assert_eq!(verdict(&[("setup.py", alone), ("setup.cfg", "[metadata]\nlicense = MIT\n")]), Ok(()));
        assert!(verdict(&[("setup.py", alone), ("setup.cfg", "[metadata]\nversion = attr: a.v\n")]).is_err());
        assert!(verdict(&[("setup.cfg", "[metadata]\nname = a\n")]).is_err());
        let kept = "# for old tools\nfrom setuptools import setup\n\nif __name__ == '__main__':\n    setup()\n";
        assert_eq!(verdict(&[("pyproject.toml", PLAIN), ("setup.py", kept)]), Ok(()));
    }

    #[test]
    fn whatever_may_run_code_or_read_more_than_its_files_is_not() {
        let with = |from: &str, to: &str| PLAIN.replace(from, to);
        for (name, text) in [
            (
                "a backend of its own",
                with("setuptools.build_meta\"", "setuptools.build_meta\"\nbackend-path = [\".\"]"),
            ),
            ("another backend", with("setuptools.build_meta", "hatchling.build")),
            ("more to build with", with("\"wheel\"", "\"cython\"")),
            ("tools from elsewhere", with("\"wheel\"", "\"wheel @ https://h/w.whl\"")),
            ("a version that is imported", format!("{PLAIN}[tool.setuptools.dynamic]\nversion = {{attr = \"a.v\"}}\n")),
            ("a version of git's", with("\"wheel\"", "\"setuptools_scm\"")),
            ("files outside", format!("{PLAIN}readme = \"../README.md\"\n")),
            ("no section", "[project]\nname = \"a\"\n".to_owned()),
            ("a second section", format!("{PLAIN}\n[build-system]\n")),
            ("an escape", format!("{PLAIN}\"backend\\u002dpath\" = 1\n")),
        ] {
            assert!(verdict(&[("pyproject.toml", &text)]).is_err(), "{name}");
        }
        for setup in [
            "import os\nfrom setuptools import setup\nsetup(version=os.environ['V'])\n",
            "from setuptools import setup; setup(name='a')\n",
            "from setuptools import setup\nsetup(name='a', packages=['a'], package_dir={'a': '../a'})\n",
        ] {
            assert!(verdict(&[("pyproject.toml", PLAIN), ("setup.py", setup)]).is_err(), "{setup}");
        }
        assert!(verdict(&[("pyproject.toml", PLAIN), ("setup.cfg", "[egg_info]\ntag_date = 1\n")]).is_err());
        assert!(verdict(&[("setup.cfg", "[metadata]\nname = a\n")]).is_err());
        assert!(check(Path::new("/nowhere/at/all")).is_err());
    }
}
