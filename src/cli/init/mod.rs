//! `soopervisor init`: writes the files that a folder lacks to be run, from what is in it.
//!
//! Asks nothing, overwrites nothing, and never looks outside the folder; with `--github`, workflows go to the top of the
//! repository around it.

use std::io::Write;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::args;
use super::console::Console;
use super::exit::Exit;
use super::failure::Failure;
use crate::script::quote;

mod found;
mod text;
mod workflows;

use found::Found;

pub(super) fn execute(args: &args::Init) -> Result<Exit, Failure> {
    let folder = &args.path;
    make(folder)?;
    let found = Found::in_folder(folder).map_err(|error| Failure::of(Exit::Internal, &error))?;
    let mut report = String::new();
    for (name, state) in write_missing(folder, &found)? {
        report += &format!("{state:<8} {name}\n");
    }
    if args.github {
        for (name, state) in workflows::write_missing(folder)? {
            report += &format!("{state:<8} {name}\n");
        }
        report += workflows::NOTE;
    }
    for note in &found.notes {
        report += &format!("note     {note}\n");
    }
    report += &next_steps(folder);
    Console::answer(&report);
    Ok(Exit::Ok)
}

/// A new pipeline may have a new folder; a whole path of them is rather a slip.
fn make(folder: &Path) -> Result<(), Failure> {
    match fs_err::create_dir(folder) {
        Err(_) if folder.is_dir() => Ok(()),
        Err(error) => Err(no_folder(folder, &error)),
        Ok(()) => Ok(()),
    }
}

/// Why there is none, and what to type in its place.
fn no_folder(folder: &Path, error: &std::io::Error) -> Failure {
    let word = |path: &Path| quote::word(path.as_os_str().as_bytes()).unwrap_or_default();
    if let Some(file) = folder.ancestors().find(|at| at.exists() && !at.is_dir()) {
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        return Failure::new(Exit::Usage, format!("`{}` is a file, not a folder", file.display()))
            .why("PATH is the folder that gets what a pipeline lacks: the repository, or one in it")
            .help(format!("soopervisor init {}", word(parent)));
    }
    if error.kind() == std::io::ErrorKind::NotFound {
        let failure = Failure::new(Exit::Usage, format!("there is no folder for `{}`", folder.display()));
        return failure.help(format!("mkdir -p {}", word(folder)));
    }
    Failure::of(Exit::Usage, error)
}

/// The commands that lead from here to the first run.
fn next_steps(folder: &Path) -> String {
    let here = folder == Path::new(".");
    // A path holds no NUL.
    let shown = quote::word(folder.as_os_str().as_bytes()).unwrap_or_default();
    let git = if here { "git".to_owned() } else { format!("git -C {shown}") };
    let real = fs_err::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
    let inside = real.ancestors().any(|folder| folder.join(".git").exists());
    let init = if inside { String::new() } else { format!("{git} init && ") };
    format!(
        "next     look them over, then: {init}{git} add . && {git} commit -m \"set up soopervisor\"\n\
         {:8} soopervisor {shown} --storage local:artifacts\n",
        ""
    )
}

fn write_missing(folder: &Path, found: &Found) -> Result<Vec<(String, &'static str)>, Failure> {
    let mut files = Vec::new();
    if found.needs_starter() {
        files.push((text::STARTER_PATH, None, text::STARTER.to_owned()));
    }
    files.push(("environment.yml", found.environment.clone(), text::environment(found)));
    files.push(("pipeline.yaml", found.pipeline.clone(), text::pipeline(found)));
    files.push(("soopervisor.yaml", found.settings.clone(), text::settings(found)));
    let mut states = Vec::new();
    for (name, present, content) in files {
        let state = match present {
            Some(present) => {
                states.push((present, "kept"));
                continue;
            }
            None if write_new(&folder.join(name), &content)? => "wrote",
            None => "kept",
        };
        states.push((name.to_owned(), state));
    }
    Ok(states)
}

/// Writes a file that is not there; whatever stands in its place, a dangling link too, stays.
fn write_new(path: &Path, content: &str) -> Result<bool, Failure> {
    let write = || {
        if let Some(parent) = path.parent() {
            fs_err::create_dir_all(parent)?;
        }
        let mut file = fs_err::OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(content.as_bytes())
    };
    match write() {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(Failure::of(Exit::Internal, &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = dir.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, content).unwrap();
        }
        dir
    }

    /// Temporary folders have random names.
    fn named(dir: &tempfile::TempDir) -> Found {
        Found { name: "My Penguins!".to_owned(), ..Found::in_folder(dir.path()).unwrap() }
    }

    fn written(dir: &tempfile::TempDir, name: &str) -> String {
        fs_err::read_to_string(dir.path().join(name)).unwrap()
    }

    #[test]
    fn a_new_pipeline_may_have_a_new_folder_but_no_whole_path_of_them() {
        let dir = tempfile::tempdir().unwrap();
        assert!(make(&dir.path().join("new")).is_ok() && dir.path().join("new").is_dir());
        assert!(make(&dir.path().join("new")).is_ok(), "and it may be there");
        assert!(make(&dir.path().join("a/b")).is_err() && !dir.path().join("a").exists());
        fs_err::write(dir.path().join("file"), "").unwrap();
        for path in ["file", "file/below"] {
            let refused = make(&dir.path().join(path)).unwrap_err();
            assert_eq!(refused.exit, Exit::Usage);
            assert!(refused.what.ends_with("/file` is a file, not a folder"), "{refused:?}");
            let shown = quote::word(dir.path().as_os_str().as_bytes()).unwrap();
            assert_eq!(refused.help, Some(format!("soopervisor init {shown}")));
        }
    }

    #[test]
    fn an_empty_folder_gets_a_pipeline_that_has_a_task() {
        let dir = folder(&[]);
        let found = named(&dir);
        let states = write_missing(dir.path(), &found).unwrap();
        assert!(states.iter().all(|(_, state)| *state == "wrote"), "{states:?}");
        insta::assert_snapshot!("init_empty_environment", written(&dir, "environment.yml"));
        insta::assert_snapshot!("init_empty_pipeline", written(&dir, "pipeline.yaml"));
        assert!(written(&dir, "scripts/first.py").contains("tags=[\"parameters\"]"));
        let again = write_missing(dir.path(), &Found::in_folder(dir.path()).unwrap()).unwrap();
        assert!(again.iter().all(|(_, state)| *state == "kept"), "{again:?}");
    }

    #[test]
    fn tasks_python_and_packages_are_found() {
        let cell = "# + tags=[\"parameters\"]\nupstream = None\nproduct = None\n# -\n";
        let dir = folder(&[
            ("load.py", &format!("{cell}import pandas as pd\nfrom sklearn import svm\nimport os\n")),
            ("notebooks/plot it.ipynb", "{}"),
            ("notebooks/load.py", "import numpy"),
            ("sql/select.sql", "select 1"),
            ("setup.py", "import setuptools"),
            ("tests/test_x.py", "import pytest"),
            ("lib/__init__.py", ""),
            ("lib/tool.py", "import torch"),
            (".python-version", "3.12.4\n"),
        ]);
        write_missing(dir.path(), &named(&dir)).unwrap();
        insta::assert_snapshot!("init_found_environment", written(&dir, "environment.yml"));
        insta::assert_snapshot!("init_found_pipeline", written(&dir, "pipeline.yaml"));
    }

    #[test]
    fn beside_a_pipeline_a_module_is_no_script_and_settings_have_the_folders_own_name() {
        let dir = folder(&[("pipeline.yaml", "tasks: []"), ("clients.py", "import sqlalchemy")]);
        assert_eq!(Found::in_folder(dir.path()).unwrap().notes, [""; 0]);
        write_missing(dir.path(), &named(&dir)).unwrap();
        let settings = written(&dir, "soopervisor.yaml");
        assert!(settings.contains("\n# project: My-Penguins") && !settings.contains("penguins\n\n"), "{settings}");
        assert!(written(&dir, "environment.yml").contains("- sqlalchemy"));
        let scripts = folder(&[("clients.py", "import sqlalchemy")]);
        assert!(Found::in_folder(scripts.path()).unwrap().notes[0].contains("clients.py has no cell"));
    }

    #[test]
    fn what_is_there_is_kept_also_under_its_other_name_or_as_a_dangling_link() {
        let dir = folder(&[("environment.yaml", "mine"), ("pipeline.yaml", "mine"), ("requirements.txt", "pandas\n")]);
        fs_err::os::unix::fs::symlink("nowhere", dir.path().join("soopervisor.yaml")).unwrap();
        let states = write_missing(dir.path(), &Found::in_folder(dir.path()).unwrap()).unwrap();
        assert!(states.iter().all(|(_, state)| *state == "kept"), "{states:?}");
        assert_eq!(written(&dir, "pipeline.yaml"), "mine");
        assert!(!dir.path().join("environment.yml").exists() && !dir.path().join("nowhere").exists());
    }

    #[test]
    fn requirements_are_taken_as_they_are() {
        let dir =
            folder(&[("requirements.txt", "pandas\n"), ("pyproject.toml", "requires-python = \">=3.9,<3.12\"\n")]);
        let text = text::environment(&Found::in_folder(dir.path()).unwrap());
        assert!(text.contains("- -r requirements.txt") && text.contains("\"python >=3.9,<3.12\""), "{text}");
    }
}
