//! A project that is begun, checked, rehearsed, and refused where its files are hostile.

use std::process::{Command, Stdio};

use crate::{Place, code, repository, stderr, stdout};

#[test]
fn init_makes_a_project_and_a_second_time_changes_nothing() {
    let place = Place::new();
    let project = place.path().join("penguins");
    insta::assert_snapshot!("init", stdout(&place.run(&["init", "penguins"])));
    let before = fs_err::read(project.join("pipeline.yaml")).unwrap();
    let again = stdout(&place.run(&["init", "penguins"]));
    assert!(!again.contains("wrote") && again.contains("kept     pipeline.yaml"), "{again}");
    assert_eq!(fs_err::read(project.join("pipeline.yaml")).unwrap(), before);
    assert_eq!(code(&place.run(&["init", "no/where"])), 2);
    assert!(!place.path().join("no").exists());
}

#[test]
fn what_init_writes_is_valid_and_its_script_is_bash_without_a_storage() {
    let place = Place::new();
    repository(&place);
    let valid = place.run(&["validate", "penguins"]);
    assert_eq!((code(&valid), stdout(&valid).as_str()), (0, "everything is fine\n"), "{}", stderr(&valid));
    let script = place.run(&["script", "penguins"]);
    assert_eq!(code(&script), 0, "{}", stderr(&script));
    fs_err::write(place.path().join("script.sh"), &script.stdout).unwrap();
    let parsed = Command::new("bash").arg("-n").arg(place.path().join("script.sh")).output().unwrap();
    assert!(parsed.status.success() && stdout(&script).contains("ploomber build"), "{}", stderr(&parsed));
}

#[test]
fn a_dry_run_tells_the_plan_and_leaves_no_trace() {
    let place = Place::new();
    repository(&place);
    let plan = place.run(&["penguins", "--storage", "local:artifacts", "--dry-run"]);
    assert_eq!(code(&plan), 0, "{}", stderr(&plan));
    let text = stdout(&plan);
    let steps = ["project", "commit", "mode", "pipeline", "image", "build", "collect", "publish"];
    let at = steps.map(|step| text.find(&format!("\n{step} ")).or(text.starts_with(step).then_some(0)));
    assert!(at.iter().all(Option::is_some) && at.is_sorted(), "{text}");
    let json = place.run(&["penguins", "--storage", "local:artifacts", "--dry-run", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&stdout(&json)).unwrap();
    assert_eq!((&json["schema"], &json["plan"]["storage"]), (&1.into(), &"local:artifacts".into()));
    assert!(!place.path().join("artifacts").exists() && !place.path().join("home/state").exists());
}

#[test]
fn a_dry_run_says_of_secrets_what_a_run_would_and_quotes_what_it_shows() {
    let place = Place::new();
    repository(&place);
    let words = ["penguins", "--storage", "local:artifacts", "--dry-run"];
    let unset = place.run(&[&words[..], &["--secret", "NOT_SET_ANYWHERE"]].concat());
    let said = format!("{}{}", stdout(&unset), stderr(&unset));
    assert!(code(&unset) == 3 && said.contains("the environment variable `NOT_SET_ANYWHERE` is not set"), "{said}");
    assert!(!said.contains("publish "), "{said}");
    let quoted = place.run(&[&words[..], &["--", "--env--name", "it's mine"]].concat());
    assert!(stdout(&quoted).contains(r"--env--name 'it'\''s mine'"), "{}{}", stdout(&quoted), stderr(&quoted));
}

#[test]
fn a_project_is_checked_and_its_script_printed_where_one_stands() {
    let place = Place::new();
    let folder = repository(&place);
    let here = |words: &[&str]| place.command(words).current_dir(&folder).output().unwrap();
    assert!(stdout(&here(&["validate"])).contains("everything is fine"));
    // What was looked at goes beside the answer.
    let more = here(&["validate", "-v"]);
    assert_eq!(stdout(&more), "everything is fine\n");
    for told in ["read ", "environment.yml", "pipeline     pipeline.yaml: ", " rules in "] {
        assert!(stderr(&more).contains(told), "{told} in {}", stderr(&more));
    }
    assert_eq!(stderr(&here(&["validate", "-v", "--format", "json"])), "");
    assert!(stdout(&here(&["script"])).starts_with("#!/usr/bin/env bash"));
    assert_eq!(stdout(&here(&[".", "--storage", "local:a", "--dry-run", "-q"])), "");
}

#[test]
fn files_outside_of_a_repository_are_checked_and_what_a_run_lacks_is_told() {
    let place = Place::new();
    let folder = repository(&place);
    fs_err::remove_dir_all(folder.join(".git")).unwrap();
    let output = place.command(&["validate"]).current_dir(&folder).output().unwrap();
    assert_eq!((code(&output), stdout(&output).as_str()), (0, "everything is fine\n"), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("is not in a Git repository") && said.contains("`git init && git add -A"), "{said}");
    let json = place.command(&["validate", "--format", "json"]).current_dir(&folder).output().unwrap();
    assert_eq!(stderr(&json), "");
}

#[test]
fn an_invalid_project_ends_with_three() {
    let place = Place::new();
    let folder = repository(&place);
    fs_err::write(folder.join("pipeline.yaml"), "tasks: [{source: missing.py, product: x.ipynb}]\n").unwrap();
    for words in [&["validate", "penguins"][..], &["penguins", "--storage", "local:a", "--allow-dirty", "--dry-run"]] {
        let output = place.run(words);
        assert_eq!(code(&output), 3, "{words:?}: {}{}", stdout(&output), stderr(&output));
        assert!(!stdout(&output).contains("everything is fine"));
    }
}

#[test]
fn a_product_beside_the_folder_that_is_checked_lies_in_the_repository_and_one_above_it_does_not() {
    let place = Place::new();
    let pipe = repository(&place).join("pipe");
    fs_err::create_dir(&pipe).unwrap();
    fs_err::write(pipe.join("environment.yml"), "channels: [x]\ndependencies: [python, ploomber]\n").unwrap();
    fs_err::write(pipe.join("a.py"), "# + tags=[\"parameters\"]\nupstream = None\n\n# +\nx = 1\n").unwrap();
    for (product, outside) in [("../shared/a.ipynb", false), ("../../a.ipynb", true)] {
        let text = format!("tasks: [{{source: a.py, product: {product}}}]\n");
        fs_err::write(pipe.join("pipeline.yaml"), text).unwrap();
        let checked = place.run(&["validate", "penguins/pipe"]);
        let told = stdout(&checked).contains("lies outside of the repository");
        assert_eq!((code(&checked), told), (0, outside), "{product}: {}", stdout(&checked));
    }
}

#[test]
fn hostile_files_end_in_a_finding_within_bounded_memory() {
    let place = Place::new();
    let folder = repository(&place);
    let many = |count: usize, line: fn(usize) -> String| (0..count).map(line).collect::<String>();
    let bomb = many(9, |at| format!("l{}: &l{} [{}]\n", at + 1, at + 1, vec![format!("*l{at}"); 9].join(",")));
    for (what, text) in [
        ("a bomb of aliases", format!("l0: &l0 [x]\n{bomb}tasks: *l9\n")),
        ("anchors", many(500_000, |at| format!("- &a{at} [x]\n"))),
        ("tasks", many(250_000, |at| format!("- {{source: {at:06}.py, product: o/{at:06}}}\n"))),
        ("keys", many(700_000, |at| format!("k{at}: {at}\n"))),
        ("one text", format!("tasks: \"{}\"\n", "x".repeat(9_000_000))),
        ("quotes", "'".repeat(9_000_000)),
        ("depth", "[".repeat(10_000)),
    ] {
        fs_err::write(folder.join("pipeline.yaml"), text).unwrap();
        // Half a GiB of addresses, stacks of threads and the program itself among them.
        let mut command = Command::new("bash");
        command.args(["-c", "ulimit -v 524288 && exec \"$0\" validate penguins", env!("CARGO_BIN_EXE_soopervisor")]);
        let output = command.current_dir(place.path()).stdin(Stdio::null()).output().unwrap();
        let said = stdout(&output) + &stderr(&output);
        assert_eq!(code(&output), 3, "{what}: {said}");
        assert!(said.contains("pipeline.yaml") && said.len() < 10_000, "{what}: {said}");
    }
}
