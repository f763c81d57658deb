//! Runs on a terminal: what is drawn while they go on, and what is left when they are over. Beside it, what each of the
//! other forms promises to those who read it.

use std::process::Command;

use crate::cancelling;
use crate::pty::{self, Pty, Screen, is_coloured};
use crate::publishing::{self, PIPELINE, TASKS};
use crate::support::{User, eventually};

const SPINNER: &str = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏";

/// A pipeline whose first task takes a while after a line of which the end is still to come.
fn user() -> User {
    let tasks = TASKS.replace(
        "    print('writing the first')",
        "    import time\n    print('\\n' + 'x' * 100, end='', flush=True)\n    time.sleep(4)\n    print(flush=True)",
    );
    assert_ne!(tasks, TASKS);
    User::with(&[("pipeline.yaml", PIPELINE), ("tasks.py", &tasks)])
}

/// A run that is to be started on a terminal, in colours.
fn on_terminal(user: &User, more: &[&str]) -> Command {
    let args = [&["run", "my repo", "--storage", "local:artifacts"][..], more].concat();
    let mut command = user.begun(pty::foreground(env!("CARGO_BIN_EXE_soopervisor")), &args);
    command.env_remove("NO_COLOR").env("TERM", "xterm-256color").env("LC_ALL", "C.UTF-8");
    command
}

fn spins(line: &str) -> bool {
    line.chars().any(|letter| SPINNER.contains(letter))
}

#[test]
fn a_terminal_shows_what_goes_on_and_keeps_only_what_happened() {
    let user = user();
    let sha = user.git(&["rev-parse", "HEAD"]);
    let terminal = Pty::start(&mut on_terminal(&user, &[]), 80, 24);
    eventually(180, "the step and its task are at the bottom", || {
        let lines = Screen::after(&terminal.raw(), 80, 24).lines();
        let step = lines.iter().rposition(|line| spins(line) && line.contains("execute"));
        step.is_some_and(|at| at + 2 == lines.len() && lines[at + 1].trim_end().ends_with("task first"))
    });
    let seen = terminal.end();
    seen.leaves_a_clean_terminal_and_exits(0);
    let lines = seen.screen.lines();
    assert!(seen.is_coloured());
    assert_eq!(seen.screen.unknown, [""; 0], "nothing else is asked of a terminal");
    assert!(!lines.iter().any(|line| spins(line)), "the view is gone: {lines:#?}");
    for once in ["✓ checkout", "✓ execute", "✓ publish", "  ✓ task first", "  ✓ task second", "published  "] {
        assert_eq!(lines.iter().filter(|line| line.starts_with(once)).count(), 1, "`{once}` once in {lines:#?}");
    }
    assert!(seen.screen.last().contains(&sha[..8]), "{lines:#?}");
    assert_eq!(user.containers(), [""; 0]);
}

#[test]
fn a_narrow_terminal_without_colours_is_kept_within() {
    let user = user();
    let mut command = on_terminal(&user, &[]);
    let terminal = Pty::start(command.env("NO_COLOR", "1"), 40, 12);
    let mut drawn = Screen::after("", 40, 12);
    let unfinished = |line: &String| line.starts_with("xxxx");
    eventually(180, "the unfinished line is in view", || {
        drawn = Screen::after(&terminal.raw(), 40, 12);
        drawn.lines().iter().any(unfinished)
    });
    assert!(!drawn.wrapped.iter().any(|line| unfinished(line) || spins(line)), "{:#?}", drawn.wrapped);
    let seen = terminal.end();
    seen.leaves_a_clean_terminal_and_exits(0);
    assert!(!seen.is_coloured(), "{}", seen.raw);
    let lines = seen.screen.lines();
    assert!(!lines.iter().any(|line| spins(line)), "{lines:#?}");
    // The whole line scrolls up, once: 100 letters.
    assert_eq!(lines.iter().map(|line| line.matches('x').count()).filter(|count| *count > 5).sum::<usize>(), 100);
    assert!(lines.iter().any(|line| line.starts_with("took       ")), "{lines:#?}");
    assert!(!seen.screen.wrapped.iter().any(|line| line.starts_with("took ")), "{:#?}", seen.screen.wrapped);
}

#[test]
fn a_typed_ctrl_c_asks_the_run_to_stop_and_the_terminal_is_as_it_was() {
    let user = cancelling::user();
    let mut terminal = Pty::start(&mut on_terminal(&user, &[]), 80, 24);
    cancelling::wait_until_it_runs(&user);
    assert_eq!(user.containers().len(), 1);
    terminal.press(b"\x03");
    let seen = terminal.end();
    seen.leaves_a_clean_terminal_and_exits(130);
    assert!(seen.raw.contains("^C") && seen.raw.contains("a second Ctrl-C"), "{}", seen.raw);
    let lines = seen.screen.lines();
    assert!(!lines.iter().any(|line| line.contains("^C") || spins(line)), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("■ execute")), "{lines:#?}");
    assert!(seen.screen.last().contains("cancelled"), "{lines:#?}");
    assert_eq!(user.containers(), [""; 0]);
    assert_eq!(user.published_folders(), Vec::<std::path::PathBuf>::new());
}

/// Steps that say what they do: in plain lines these are further in than anything else.
fn progress(text: &str) -> usize {
    let further_in =
        |line: &&str| line.get(20..).is_some_and(|rest| rest.starts_with("     ") && !rest.starts_with("      "));
    text.lines().filter(further_in).count()
}

#[test]
fn quiet_is_one_line_verbose_is_more_plain_has_no_escapes_and_json_is_json() {
    let user = publishing::user();
    let sha = user.git(&["rev-parse", "HEAD"]);
    let said = |more: &[&str]| {
        let output = user.run_command(more).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{more:?}: {err}");
        String::from_utf8(output.stdout).unwrap()
    };
    let quiet = said(&["-q", "--project", "quiet"]);
    assert!(quiet.lines().count() == 1 && quiet.contains(&sha[..8]), "{quiet}");
    let (usual, verbose) = (said(&["--project", "usual"]), said(&["-v", "--project", "verbose"]));
    for word in ["==> execute", "writing the first", "published  "] {
        assert!(usual.contains(word) && verbose.contains(word), "{word}: {usual}\n{verbose}");
    }
    assert!(progress(&verbose) > progress(&usual), "{usual}\n{verbose}");
    let mut command = on_terminal(&user, &["--format", "plain", "--project", "plain"]);
    let plain = Pty::start(&mut command, 80, 24).end();
    plain.leaves_a_clean_terminal_and_exits(0);
    assert!(!plain.raw.contains('\x1b') && plain.raw.contains("==> execute"), "{}", plain.raw);
    let mut command = on_terminal(&user, &["--format", "json", "--project", "json"]);
    let json = Pty::start(&mut command, 80, 24).end();
    assert_eq!(json.code, 0, "{}", json.raw);
    let events: Vec<serde_json::Value> = json.raw.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().all(|event| event["event"].is_string()), "{}", json.raw);
    assert_eq!(events.last().unwrap()["event"], "ended", "{}", json.raw);
    let asked = said(&["--color", "always", "--project", "asked"]);
    assert!(is_coloured(&asked), "plain lines have colours for who asks for them: {asked}");
}
