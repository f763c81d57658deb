//! The workflows of GitHub Actions, as `examples/workflows` has them.

use std::path::{Path, PathBuf};

use super::super::exit::Exit;
use super::super::failure::Failure;
use super::write_new;

/// Name, and text for a project at the top of its repository.
const WORKFLOWS: [(&str, &str); 3] = [
    ("soopervisor.yml", include_str!("../../../examples/workflows/soopervisor.yml")),
    ("soopervisor-comment.yml", include_str!("../../../examples/workflows/soopervisor-comment.yml")),
    ("soopervisor-forks.yml", include_str!("../../../examples/workflows/soopervisor-forks.yml")),
];

/// What only the user knows.
pub(super) const NOTE: &str = "note     .github/workflows: name your storage and its secrets where they say `box`, and the action's \
     commit where they say OWNER\n";

/// Writes those that are not there; gives back their names from the top of the repository.
pub(super) fn write_missing(folder: &Path) -> Result<Vec<(String, &'static str)>, Failure> {
    let (top, below) = place(folder)?;
    let mut states = Vec::new();
    for (name, text) in WORKFLOWS {
        let name = format!(".github/workflows/{name}");
        let wrote = write_new(&top.join(&name), &for_folder(text, &below))?;
        states.push((name, if wrote { "wrote" } else { "kept" }));
    }
    Ok(states)
}

/// The top of the repository around a folder, and the way from there; a folder without one is its own.
fn place(folder: &Path) -> Result<(PathBuf, PathBuf), Failure> {
    let real = fs_err::canonicalize(folder).map_err(|error| Failure::of(Exit::Internal, &error))?;
    let top = real.ancestors().find(|folder| folder.join(".git").exists()).unwrap_or(&real).to_owned();
    let below = real.strip_prefix(&top).unwrap_or(Path::new("")).to_owned();
    Ok((top, below))
}

/// The action is told where pipeline.yaml is, when that is not the top.
fn for_folder(text: &str, below: &Path) -> String {
    if below.as_os_str().is_empty() {
        return text.to_owned();
    }
    let path = serde_json::Value::from(below.to_string_lossy()).to_string();
    let mut lines = Vec::new();
    for line in text.lines() {
        lines.push(line.to_owned());
        if let Some(indent) = line.strip_suffix(line.trim_start()).filter(|_| line.trim_start().starts_with("storage:"))
        {
            lines.push(format!("{indent}path: {path}"));
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workflows_go_to_the_top_of_the_repository_and_say_where_the_project_is() {
        let dir = tempfile::tempdir().unwrap();
        let project = dir.path().join("ml/my \"churn\"");
        fs_err::create_dir_all(&project).unwrap();
        fs_err::create_dir(dir.path().join(".git")).unwrap();
        let states = write_missing(&project).unwrap();
        assert!(states.iter().all(|(_, state)| *state == "wrote"), "{states:?}");
        for (name, _) in WORKFLOWS {
            let text = fs_err::read_to_string(dir.path().join(".github/workflows").join(name)).unwrap();
            assert!(text.contains("\n          path: \"ml/my \\\"churn\\\"\"\n"), "{text}");
        }
        fs_err::write(dir.path().join(".github/workflows/soopervisor.yml"), "mine").unwrap();
        assert!(write_missing(dir.path()).unwrap().iter().all(|(_, state)| *state == "kept"));
        assert_eq!(fs_err::read_to_string(dir.path().join(".github/workflows/soopervisor.yml")).unwrap(), "mine");
    }

    #[test]
    fn a_project_at_the_top_gets_the_examples_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        write_missing(dir.path()).unwrap();
        for (name, text) in WORKFLOWS {
            assert_eq!(fs_err::read_to_string(dir.path().join(".github/workflows").join(name)).unwrap(), text);
        }
    }
}
