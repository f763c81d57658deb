//! The program on a terminal: colours where somebody sees them, lines that fit, keys that work afterwards.

use std::process::{Command, Output};

use crate::pty::{Pty, Seen, is_coloured, without_colours};
use crate::{Place, code, repository, stderr, stdout};

/// A verb each that ends well and one that does not, of each that draws in another way: clap, findings, checks, cards.
const VERBS: [(&[&str], i32); 5] = [
    (&["--help"], 0),
    (&["run", "penguins", "--memory", "lots"], 2),
    (&["no/such/folder"], 2),
    (&["validate", "penguins"], 3),
    (&["doctor", "--offline"], 5),
];

/// A repository with two faults, and no engine.
fn place() -> Place {
    let place = Place::new();
    let folder = repository(&place);
    let faults = "tasks:\n  - source: nowhere.py\n    product: out.csv\n    nonsense: 1\n  - source: 3\n";
    fs_err::write(folder.join("pipeline.yaml"), faults).unwrap();
    place
}

fn without_engine(mut command: Command) -> Command {
    command.env("DOCKER_HOST", "unix:///nowhere/docker.sock");
    command
}

fn seen(place: &Place, words: &[&str], columns: u16, more: &[(&str, &str)]) -> Seen {
    let mut command = without_engine(place.on_terminal(words));
    command.envs(more.iter().copied());
    Pty::start(&mut command, columns, 24).end()
}

fn piped(place: &Place, words: &[&str], more: &[(&str, &str)]) -> Output {
    let mut command = without_engine(place.command(words));
    command.envs(more.iter().copied()).output().unwrap()
}

#[test]
fn colours_are_for_terminals_and_for_whoever_asks_for_them() {
    let place = place();
    for (words, exit) in VERBS {
        let always = [words, &["--color", "always"]].concat();
        let never = [&["--color=never"][..], words].concat();
        let bright = seen(&place, words, 100, &[]);
        bright.leaves_a_clean_terminal_and_exits(exit);
        assert!(bright.is_coloured(), "{words:?}: {}", bright.raw);
        for (words, more) in [
            (words, &[("NO_COLOR", "1")][..]),
            (words, &[("TERM", "dumb")]),
            (&never, &[]),
            (&never, &[("CLICOLOR_FORCE", "1")]),
        ] {
            let plain = seen(&place, words, 100, more);
            plain.leaves_a_clean_terminal_and_exits(exit);
            assert!(!plain.raw.contains('\x1b'), "{words:?} {more:?}: {}", plain.raw);
            // The same words, whatever they look like; how much room there is on the disk is another thing each time.
            if exit != 5 {
                assert_eq!(plain.screen.text(), bright.screen.text(), "{words:?} {more:?}");
            }
        }
        let output = piped(&place, words, &[("TERM", "xterm-256color")]);
        assert_eq!(code(&output), exit, "{words:?}: {}", stderr(&output));
        assert!(!stdout(&output).contains('\x1b') && !stderr(&output).contains('\x1b'), "{words:?}");
        for more in [&[("NO_COLOR", "1")][..], &[("TERM", "dumb")], &[]] {
            let output = piped(&place, &always, more);
            let said = stdout(&output) + &stderr(&output);
            assert!(is_coloured(&said) && !without_colours(&said).contains('\x1b'), "{always:?} {more:?}: {said}");
        }
    }
}

#[test]
fn help_findings_and_errors_keep_within_the_terminal_but_for_what_is_to_be_typed() {
    let place = place();
    for (words, ..) in [(&["--help"][..], 0), (&["run", "--help"], 0), (&["auth", "login", "--help"], 0), VERBS[3]] {
        for columns in [80, 40] {
            let seen = seen(&place, words, columns, &[]);
            let typed = |line: &str| line.starts_with("Usage: ") || line.trim_start().starts_with("--");
            let wide: Vec<&String> = seen.screen.wrapped.iter().filter(|line| !typed(line)).collect();
            assert!(wide.is_empty(), "{words:?} on {columns} columns: {wide:#?}");
            assert!(columns < 80 || seen.screen.wrapped.is_empty(), "{words:?}: {:#?}", seen.screen.wrapped);
        }
    }
}

#[test]
fn little_is_said_where_little_is_wanted() {
    let place = place();
    let doctor = seen(&place, &["doctor", "--offline", "-q"], 100, &[("NO_COLOR", "1")]);
    let lines = doctor.screen.lines();
    assert!(lines[0].starts_with("fail    container engine"), "{lines:#?}");
    assert!(lines.last().unwrap().starts_with("not ready: 1 failed"), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.starts_with("ok ") || line.starts_with("skipped")), "{lines:#?}");
    // What is wrong is no matter of taste.
    let (quiet, usual) = (["-q", "validate", "penguins"], ["validate", "penguins"]);
    assert_eq!(seen(&place, &quiet, 80, &[]).raw, seen(&place, &usual, 80, &[]).raw);
    let both = piped(&place, &["-q", "-v", "validate", "penguins"], &[]);
    assert!(code(&both) == 2 && stderr(&both).contains("cannot be used with"), "{}", stderr(&both));
}

#[test]
fn a_plan_is_told_on_a_terminal_as_it_is_elsewhere() {
    let place = Place::new();
    repository(&place);
    let words = ["run", "penguins", "--storage", "local:artifacts", "--dry-run"];
    let usual = seen(&place, &words, 200, &[]);
    usual.leaves_a_clean_terminal_and_exits(0);
    assert_eq!(usual.screen.text(), stdout(&piped(&place, &words, &[])).trim_end());
    let quiet = seen(&place, &[&words[..], &["-q"]].concat(), 200, &[]);
    quiet.leaves_a_clean_terminal_and_exits(0);
    assert_eq!(quiet.raw, "", "there is no finding, and the exit code says the rest");
}

#[test]
fn a_run_is_drawn_while_it_goes_on_and_leaves_its_card_and_its_closing_line() {
    let spins = |line: &String| line.chars().any(|letter| "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏".contains(letter));
    let place = Place::new();
    repository(&place);
    let words = ["run", "penguins", "--storage", "local:artifacts"];
    // 120 columns take each line as it is.
    for (columns, more) in [(40, &[("NO_COLOR", "1")][..]), (40, &[]), (80, &[]), (120, &[])] {
        let seen = seen(&place, &words, columns, more);
        seen.leaves_a_clean_terminal_and_exits(5);
        let (lines, wrapped) = (seen.screen.lines(), &seen.screen.wrapped);
        assert_eq!(seen.screen.unknown, [""; 0], "nothing else is asked of a terminal");
        assert!(spins(&seen.raw) && seen.raw.contains("\x1b[2K"), "a view was drawn: {}", seen.raw);
        assert!(!lines.iter().any(spins) && !wrapped.iter().any(spins), "and is gone: {lines:#?}");
        assert_eq!(seen.is_coloured(), more.is_empty());
        for once in
            ["penguins ", "✓ checkout ", "✓ validate ", "✗ prepare ", "failed in step prepare: ", "help  ", "took  "]
        {
            assert_eq!(
                lines.iter().filter(|line| line.starts_with(once)).count(),
                1 + usize::from(once == "penguins ")
            );
        }
        for folded in ["failed ", "help ", "took "] {
            assert!(!wrapped.iter().any(|line| line.starts_with(folded)), "{columns}: {wrapped:#?}");
        }
        assert!(columns < 120 || wrapped.is_empty() && seen.screen.last().starts_with("penguins "), "{lines:#?}");
    }
    let usual = seen(&place, &words, 120, &[]).screen.text();
    let of = |option: &[&str]| seen(&place, &[&words[..], option].concat(), 120, &[]);
    let quiet = of(&["-q"]);
    quiet.leaves_a_clean_terminal_and_exits(5);
    assert!(quiet.raw.contains("failed in step prepare") && !quiet.raw.contains("checkout"), "{}", quiet.raw);
    let first = "will be made by the first run";
    assert!(of(&["-v"]).screen.lines().concat().contains(first) && !usual.contains(first), "{usual}");
    let plain = of(&["--format", "plain"]);
    plain.leaves_a_clean_terminal_and_exits(5);
    assert!(!plain.raw.contains('\x1b') && plain.raw.contains("Z ==> prepare: "), "{}", plain.raw);
    let json = of(&["--format", "json"]);
    let events: Vec<serde_json::Value> = json.raw.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["exit_code"]), (&"ended".into(), &5.into()), "{}", json.raw);
}
