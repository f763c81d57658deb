//! What the program says of itself: help of every verb against goldens, completions before their shells, manual pages
//! before mandoc.

use std::process::{Command, Output};

use crate::{Place, code, stderr, stdout};

const VERBS: [&str; 25] = [
    "run",
    "validate",
    "script",
    "init",
    "doctor",
    "runs",
    "show",
    "logs",
    "download",
    "verify",
    "diff",
    "prune",
    "auth",
    "env",
    "handlers",
    "channel",
    "image",
    "serve",
    "worker",
    "trigger",
    "token",
    "admin",
    "action",
    "completions",
    "man",
];

#[test]
fn help_of_the_program_and_of_every_verb_is_as_written_down() {
    let place = Place::new();
    let help = place.run(&["--help"]);
    assert_eq!((code(&help), stderr(&help).as_str()), (0, ""));
    insta::assert_snapshot!("help", stdout(&help));
    for verb in VERBS {
        let help = place.run(&[verb, "--help"]);
        assert_eq!((code(&help), stderr(&help).as_str()), (0, ""), "{verb}");
        insta::assert_snapshot!(format!("help-{verb}"), stdout(&help));
    }
}

#[test]
fn every_verb_in_the_help_is_covered_here() {
    let text = stdout(&Place::new().run(&["--help"]));
    let listed = text.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let listed: Vec<&str> = listed.filter_map(|line| line.split_whitespace().next()).collect();
    let known = VERBS.into_iter().chain(["help"]).collect::<Vec<_>>();
    assert_eq!(listed, known);
}

#[test]
fn help_does_not_show_what_the_environment_holds() {
    let place = Place::new();
    let mut command = place.command(&["run", "--help"]);
    let output = command.env("SOOPERVISOR_STORAGE", "https://ann:hunter2@host/").output().unwrap();
    assert!(!stdout(&output).contains("hunter2"));
}

#[test]
fn every_thing_to_do_with_environments_explains_itself() {
    let place = Place::new();
    for verb in ["list", "prune", "why"] {
        let help = place.run(&["env", verb, "--help"]);
        assert_eq!((code(&help), stderr(&help).as_str()), (0, ""), "{verb}");
        insta::assert_snapshot!(format!("envhelp-{verb}"), stdout(&help));
    }
}

#[test]
fn every_thing_to_do_with_logins_explains_itself() {
    let place = Place::new();
    for verb in ["login", "status", "logout", "export"] {
        let help = place.run(&["auth", verb, "--help"]);
        assert_eq!((code(&help), stderr(&help).as_str()), (0, ""), "{verb}");
        insta::assert_snapshot!(format!("authhelp-{verb}"), stdout(&help));
    }
}

#[test]
fn completions_are_read_by_bash_zsh_and_fish() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = place.run(&["completions", shell]);
        assert_eq!(code(&output), 0, "{shell}");
        assert!(stdout(&output).contains("on-conflict"), "{shell}");
    }
    for (shell, words) in [("bash", &["--norc", "-n"][..]), ("zsh", &["-f", "-n"]), ("fish", &["--no-execute"])] {
        let file = place.path().join(shell);
        let read = |text: &str| {
            fs_err::write(&file, text).unwrap();
            judged(Command::new(shell).args(words).arg(&file).env("HOME", place.path()))
        };
        let parsed = read(&stdout(&place.run(&["completions", shell])));
        assert!(parsed.status.success() && stderr(&parsed).is_empty(), "{shell}: {}", stderr(&parsed));
        assert!(!read("if (\n").status.success(), "{shell} would say what is wrong");
    }
}

/// What a program that `scripts/judges.sh` installs says of something.
fn judged(command: &mut Command) -> Output {
    let program = command.get_program().to_owned();
    command.output().unwrap_or_else(|error| {
        panic!("{}: {error}; `make test` installs it (scripts/judges.sh)", program.display());
    })
}

#[test]
fn manual_pages_are_written_one_a_verb() {
    let place = Place::new();
    assert!(stdout(&place.run(&["man"])).contains(".TH soopervisor 1"));
    assert_eq!(code(&place.run(&["man", "--to", "pages"])), 0);
    for verb in VERBS {
        assert!(place.path().join(format!("pages/soopervisor-{verb}.1")).exists(), "{verb}");
    }
    let pages = fs_err::read_dir(place.path().join("pages")).unwrap().map(|page| page.unwrap().path());
    let read = judged(Command::new("mandoc").args(["-T", "lint", "-W", "error"]).args(pages));
    assert!(read.status.success(), "{}{}", stdout(&read), stderr(&read));
}
