//! action.yml, the workflows and README say the same.

use std::path::Path;

use serde_json::Value;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn action() -> Value {
    serde_yaml::from_str(&read("action.yml")).unwrap()
}

const WORKFLOWS: [&str; 3] = ["soopervisor.yml", "soopervisor-comment.yml", "soopervisor-forks.yml"];

#[test]
fn every_input_reaches_a_step_as_a_variable_and_none_reaches_a_script_as_text() {
    let action = action();
    let steps = action["runs"]["steps"].as_array().unwrap();
    for step in steps {
        assert!(!step["run"].as_str().unwrap().contains("${{"), "{step}");
        assert_eq!(step["shell"], "bash");
    }
    for name in action["inputs"].as_object().unwrap().keys() {
        let wanted = format!("${{{{ inputs.{name} }}}}");
        let variable = format!("INPUT_{}", name.to_uppercase().replace('-', "_"));
        let given = steps.iter().any(|step| step["env"][&variable] == wanted.as_str());
        assert!(given, "{name} is not handed over as {variable}");
    }
    let last = steps.last().unwrap()["run"].as_str().unwrap();
    assert!(last.starts_with("exec "), "a signal for the shell reaches nobody else: {last}");
}

#[test]
fn outputs_are_the_ones_that_the_program_writes() {
    let action = action();
    let names: Vec<&str> = action["outputs"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["run-id", "commit", "mode", "artifact-url", "manifest-path", "status"]);
}

#[test]
fn workflows_pin_what_they_use_give_little_away_and_never_put_a_strangers_text_into_a_script() {
    for name in WORKFLOWS {
        let text = read(&format!("examples/workflows/{name}"));
        let workflow: Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(workflow["permissions"], serde_json::json!({}), "{name}");
        for (_, job) in workflow["jobs"].as_object().unwrap() {
            assert!(job["if"].is_string() && job["permissions"].is_object(), "{name}");
            for step in job["steps"].as_array().unwrap() {
                assert!(step.get("run").is_none(), "{name}: {step}");
                let (action, commit) = step["uses"].as_str().unwrap().split_once('@').unwrap();
                assert!(
                    commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()),
                    "{name}: {action}@{commit}"
                );
                if action == "actions/checkout" {
                    assert_eq!(step["with"]["persist-credentials"], false, "{name}");
                }
                if action.starts_with("OWNER/") {
                    let known = self::action();
                    for input in step["with"].as_object().unwrap().keys() {
                        assert!(known["inputs"].get(input).is_some(), "{name}: no input `{input}`");
                    }
                }
            }
        }
    }
}

#[test]
fn our_own_workflow_pins_what_it_uses_too() {
    let workflow: Value = serde_yaml::from_str(&read(".github/workflows/ci.yml")).unwrap();
    let steps = workflow["jobs"]["ci"]["steps"].as_array().unwrap();
    let uses: Vec<&str> = steps.iter().filter_map(|step| step["uses"].as_str()).collect();
    assert!(uses.len() >= 2, "{uses:?}");
    for used in uses {
        let commit = used.split_once('@').unwrap().1;
        assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{used}");
    }
}

#[test]
fn a_commit_of_the_main_branch_is_not_ended_by_the_next_and_one_of_a_pull_request_is() {
    let workflow: Value = serde_yaml::from_str(&read("examples/workflows/soopervisor.yml")).unwrap();
    let concurrency = &workflow["jobs"]["sample"]["concurrency"];
    // Of two that wait in one group GitHub ends the older, whatever `cancel-in-progress` says.
    let group = concurrency["group"].as_str().unwrap();
    assert!(group.contains("github.event_name == 'pull_request' && github.ref || github.sha"), "{group}");
    assert_eq!(concurrency["cancel-in-progress"], "${{ github.event_name == 'pull_request' }}");
    assert!(workflow["on"].as_object().unwrap().contains_key("workflow_dispatch"), "the base can be run in full");
}

#[test]
fn what_runs_code_of_pull_requests_with_secrets_saves_no_cache_and_forks_have_neither() {
    let comment = read("examples/workflows/soopervisor-comment.yml");
    assert!(
        comment.contains("actions/cache/restore@")
            && !comment.contains("actions/cache@")
            && !comment.contains("cache/save")
    );
    assert!(comment.contains("types: [created]") && !comment.contains("edited"));
    let forks = read("examples/workflows/soopervisor-forks.yml");
    assert!(!forks.contains("secrets.") && !forks.contains("actions/cache") && !forks.contains("pull_request_target:"));
}

#[test]
fn the_readme_names_every_command_and_every_input() {
    let readme = read("README.md");
    let section = readme.split("## In GitHub Actions").nth(1).unwrap().split("\n## ").next().unwrap();
    for command in
        ["/soopervisor run", "/soopervisor run sample", "/soopervisor cancel", "/soopervisor help", "init . --github"]
    {
        assert!(section.contains(command), "{command}");
    }
    for name in action()["inputs"].as_object().unwrap().keys().chain(action()["outputs"].as_object().unwrap().keys()) {
        assert!(section.contains(&format!("`{name}`")), "{name}");
    }
}
