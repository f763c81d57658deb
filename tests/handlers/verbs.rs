//! `soopervisor handlers` as it is called: what is said, in which form, and with which exit code.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn run(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_soopervisor"));
    command
        .args(words)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("NO_COLOR", "1")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn every_recorded_event_is_rehearsed_against_the_example() {
    let events = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/server/events");
    let mut names: Vec<String> =
        std::fs::read_dir(events).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names.len(), 6);
    for name in names {
        let event = format!("examples/server/events/{name}");
        let output = run(&["handlers", "test", "examples/server/server.yaml", "--event", &event]);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        insta::assert_snapshot!(format!("rehearsal-{}", name.trim_end_matches(".json")), text(&output));
    }
}

#[test]
fn one_handler_as_json_says_why_it_does_not_match() {
    let output = run(&[
        "handlers",
        "test",
        "examples/server/server.yaml",
        "--event",
        "examples/server/events/push.json",
        "--handler",
        "full on main",
        "--format",
        "json",
    ]);
    let document: Value = serde_json::from_str(&text(&output)).unwrap();
    let handler = &document["handlers"][0];
    assert_eq!((&handler["matches"], handler["steps"].as_array().map(Vec::len)), (&false.into(), Some(0)));
    assert_eq!(handler["reasons"][0]["expression"], "event.branch == event.default_branch");
    assert_eq!(handler["reasons"][0]["values"][0], serde_json::json!(["event.branch", "feat/new-model"]));
}

#[test]
fn what_is_wrong_ends_with_three_and_what_is_missing_with_two() {
    let check = run(&["handlers", "check", "tests/handlers/wrong.yaml"]);
    assert_eq!(check.status.code(), Some(3));
    assert!(text(&check).contains("did you mean `workers`?"));
    let json = run(&["handlers", "check", "tests/handlers/wrong.yaml", "--format", "json"]);
    let document: Value = serde_json::from_str(&text(&json)).unwrap();
    assert!(document["errors"].as_u64().unwrap() > 20);
    assert_eq!(text(&run(&["handlers", "check", "examples/server/server.yaml"])), "everything is fine\n");
    for (words, said) in [
        (&["handlers", "check", "no/such.yaml"][..], "cannot read"),
        (&["handlers", "test", "examples/server/server.yaml", "--event", "Cargo.toml"], "not a recorded event"),
        (
            &[
                "handlers",
                "test",
                "examples/server/server.yaml",
                "--event",
                "examples/server/events/push.json",
                "--handler",
                "nigtly",
            ],
            "did you mean `nightly`?",
        ),
    ] {
        let output = run(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(said), "{words:?}");
    }
}

#[test]
fn the_schema_is_one_json_document_and_the_one_beside_the_example() {
    let printed = text(&run(&["handlers", "schema"]));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/server");
    let kept = std::fs::read_to_string(folder.join("server.schema.json")).unwrap();
    assert!(printed == kept, "soopervisor handlers schema >examples/server/server.schema.json");
    let example = std::fs::read_to_string(folder.join("server.yaml")).unwrap();
    assert!(example.starts_with("# yaml-language-server: $schema=server.schema.json\n"), "an editor finds it");
    let document: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(document["$id"], "urn:soopervisor:server");
    assert_eq!(document["$schema"], "https://json-schema.org/draft/2020-12/schema");
}
