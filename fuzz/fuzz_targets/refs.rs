//! Whatever a Git server answers: refs with sound names and ids, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use soopervisor::server::poll::answer::{info_refs, listed, ls_refs};

fuzz_target!(|bytes: &[u8]| {
    for refs in [ls_refs(bytes).ok(), listed(bytes).ok()].into_iter().flatten() {
        for (name, id) in refs.heads {
            assert!(name.starts_with("refs/") && !name.contains("..") && matches!(id.len(), 40 | 64));
        }
    }
    let _ = info_refs(bytes);
});
