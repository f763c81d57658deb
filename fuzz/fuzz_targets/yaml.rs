//! The YAML door takes any bytes: it answers with a tree or with a diagnostic that can be drawn.

#![no_main]

use libfuzzer_sys::fuzz_target;
use soopervisor::diag::render::{Style, human};
use soopervisor::spec::yaml;

fuzz_target!(|bytes: &[u8]| {
    let found = match yaml::decode("fuzz.yaml", bytes) {
        Ok(source) => yaml::parse(&source).1,
        Err(refused) => vec![*refused],
    };
    let _ = human(&found, Style { color: false, unicode: true, width: 80 });
});
