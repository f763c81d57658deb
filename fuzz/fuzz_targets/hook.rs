//! Whatever a forge delivers: an event, a hint, or nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use soopervisor::gha::Command;
use soopervisor::server::hook::envelope::{Forge, Shape, json_text};
use soopervisor::server::hook::meaning::{Meaning, addresses, meaning};

fuzz_target!(|bytes: &[u8]| {
    let _ = json_text(Shape::Form, bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        // What is understood is among the words.
        assert!(Command::of(text).is_none() || Command::words(text).is_some());
    }
    let Ok(payload) = serde_json::from_slice(bytes) else { return };
    let of_forges = [
        (Forge::GitHub, ["push", "pull_request", "issue_comment", "check_run", "check_suite", "status"]),
        (Forge::Gitea, ["push", "pull_request", "issue_comment", "status", "ping", ""]),
        (Forge::GitLab, ["Push Hook", "Tag Push Hook", "Merge Request Hook", "Note Hook", "push", ""]),
    ];
    for (forge, events) in of_forges {
        let _ = addresses(forge, &payload);
        for event in events {
            if let Meaning::Happened(event) = meaning(forge, event, "d", &payload, "a/b", Default::default()) {
                // Every event has a key, and can be looked at.
                assert!(event.key().contains(" a/b "));
                let _ = event.view();
            }
        }
    }
});
