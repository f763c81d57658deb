//! GitHub's own examples, all of them: each is kept, understood or passed over, and none is lost or takes the server down.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::Value;
use soopervisor::server::event::{Event, Kind};
use soopervisor::server::hook::envelope::Forge;
use soopervisor::server::hook::meaning::{Meaning, addresses, meaning};

/// Where `scripts/judges.sh` put them.
pub(crate) fn examples() -> Vec<(String, Value)> {
    let cache = || {
        let set = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        set.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"))
    };
    let told = std::env::var_os("SOOPERVISOR_PAYLOADS").map(PathBuf::from);
    let folder = told.unwrap_or_else(|| cache().join("soopervisor/payloads"));
    let file = folder.join("node_modules/@octokit/webhooks-examples/api.github.com/index.json");
    let text = std::fs::read(&file)
        .unwrap_or_else(|_| panic!("{} is missing: `make test` installs it (scripts/judges.sh)", file.display()));
    let all: Vec<Value> = serde_json::from_slice(&text).unwrap();
    let of = |event: &Value| {
        let name = event["name"].as_str().unwrap().to_owned();
        event["examples"].as_array().unwrap().iter().map(move |one| (name.clone(), one.clone())).collect::<Vec<_>>()
    };
    all.iter().flat_map(of).collect()
}

#[test]
fn every_example_of_github_is_understood_or_passed_over() {
    let examples = examples();
    assert_eq!(examples.len(), 329);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (name, payload) in &examples {
        let word = match meaning(Forge::GitHub, name, "d", payload, "a/b", Timestamp::UNIX_EPOCH) {
            Meaning::Moved(hint) => {
                assert!(hint.reference.starts_with("refs/"), "{name}");
                "moved".to_owned()
            }
            Meaning::Happened(event) => {
                assert_eq!(event.payload, *payload, "the payload is kept whole");
                // What is stored is what comes back.
                let text = serde_json::to_string(&event).unwrap();
                assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), *event);
                match event.kind {
                    Kind::PullRequest => assert!(event.pull.as_ref().unwrap().head.is_some()),
                    Kind::CommitStatus => assert!(event.after.is_some()),
                    _ => {}
                }
                event.kind.name().to_owned()
            }
            Meaning::Nothing => "nothing".to_owned(),
        };
        *counts.entry(format!("{name}: {word}")).or_default() += 1;
        if !matches!(word.as_str(), "nothing") {
            assert!(!addresses(Forge::GitHub, payload).is_empty(), "{name} says which repository it is of");
        }
    }
    let of = |prefix: &str, word: &str| counts.get(&format!("{prefix}: {word}")).copied().unwrap_or_default();
    let total = |prefix: &str| examples.iter().filter(|(name, _)| name == prefix).count();
    assert_eq!((of("push", "moved"), of("push", "nothing")), (total("push"), 0));
    assert_eq!(of("pull_request", "pull_request"), total("pull_request"));
    assert_eq!(of("status", "commit_status"), total("status"));
    assert_eq!(of("ping", "nothing"), total("ping"));
    // None of the examples is a comment on a pull request.
    assert_eq!(of("issue_comment", "comment"), 0);
}

#[test]
fn payloads_that_lost_any_of_their_parts_are_still_no_trouble() {
    fn without(value: &Value, skip: &mut usize) -> Value {
        let mut kept = |item: &Value| {
            *skip = skip.wrapping_sub(1);
            if *skip == 0 { Value::Null } else { without(item, skip) }
        };
        match value {
            Value::Object(map) => Value::Object(map.iter().map(|(name, item)| (name.clone(), kept(item))).collect()),
            Value::Array(list) => Value::Array(list.iter().map(&mut kept).collect()),
            other => other.clone(),
        }
    }
    let wanted = ["push", "pull_request", "issue_comment", "status", "check_run", "check_suite"];
    for (name, payload) in examples().iter().filter(|(name, _)| wanted.contains(&name.as_str())).step_by(7) {
        for part in 1..120 {
            let torn = without(payload, &mut { part });
            let _ = meaning(Forge::GitHub, name, "d", &torn, "a/b", Timestamp::UNIX_EPOCH);
            let _ = addresses(Forge::GitHub, &torn);
        }
    }
}
