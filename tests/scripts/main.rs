//! The scripts, the Makefile and `.ci/run` on machines that consist of stand-ins; `cases.sh` plays each case.

use std::path::PathBuf;
use std::process::Command;

/// Cargo says it again when it runs tests: the built test then fits every work tree.
fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into()).into()
}

fn holds(case: &str) {
    let output = Command::new("bash").arg("tests/scripts/cases.sh").arg(case).current_dir(root()).output();
    let output = output.expect("bash is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

macro_rules! cases {
    ($($case:ident)*) => {
        const CASES: &[&str] = &[$(stringify!($case)),*];
        $(
            #[test]
            fn $case() {
                holds(stringify!($case));
            }
        )*
    };
}

cases! {
    without_rust_nothing_is_done_but_saying_how_to_get_it
    where_nothing_may_be_installed_instructions_are_all_there_is
    who_follows_the_instructions_gets_through
    root_rights_are_announced_before_they_are_used
    an_engine_that_is_there_is_used_as_it_is
    engines_are_found_without_the_docker_program
    each_target_ends_with_one_closing_line
    a_signal_has_a_closing_line_too
    a_test_that_fails_once_is_tried_again_and_named
    ci_ends_with_how_many_tests_passed
}

#[test]
fn every_case_is_a_test() {
    let script = std::fs::read_to_string(root().join("tests/scripts/cases.sh")).expect("the cases are there");
    let mut found: Vec<&str> =
        script.lines().filter_map(|line| line.strip_prefix("case_")?.strip_suffix("() {")).collect();
    found.sort_unstable();
    let mut known = CASES.to_vec();
    known.sort_unstable();
    assert_eq!(found, known);
}
