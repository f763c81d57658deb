//! Whatever a forge delivers: an event, a hint, or nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use soopervisor::server::hook::envelope::{Forge, Shape, json_text};
use soopervisor::server::hook::meaning::{addresses, command, meaning};

fuzz_target!(|bytes: &[u8]| {
    let _ = json_text(Shape::Form, bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = command(text);
    }
    let Ok(payload) = serde_json::from_slice(bytes) else { return };
    let _ = addresses(&payload);
    let events = ["push", "pull_request", "issue_comment", "check_run", "status", "Merge Request Hook", "Note Hook"];
    for forge in [Forge::GitHub, Forge::Gitea, Forge::GitLab] {
        for event in events {
            let _ = meaning(forge, event, "d", &payload, "a/b", Default::default());
        }
    }
});
