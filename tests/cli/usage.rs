//! What cannot be meant: wrong usage, secrets where none belong, variables, verbs of earlier versions, a home that is none.

use crate::{Place, code, repository, stderr, stdout};

#[test]
fn a_refused_value_that_nobody_typed_is_traced_to_its_variable() {
    let place = Place::new();
    for (name, value) in [("SOOPERVISOR_MEMORY", "lots"), ("SOOPERVISOR_NETWORK", "wifi"), ("SOOPERVISOR_PIDS", "-1")] {
        let from_variable = place.command(&["run", "."]).env(name, value).output().unwrap();
        let text = stderr(&from_variable);
        assert_eq!(code(&from_variable), 2, "{text}");
        assert!(text.contains(&format!("comes from the variable {name}")), "{text}");
    }
    let typed = place.command(&["run", ".", "--memory", "lots"]).env("SOOPERVISOR_MEMORY", "4g").output().unwrap();
    assert!(!stderr(&typed).contains("SOOPERVISOR_MEMORY"), "{}", stderr(&typed));
}

#[test]
fn wrong_usage_ends_with_two_and_says_so_on_stderr() {
    let place = Place::new();
    let cases: [&[&str]; 14] = [
        &[],
        &["--storage", "local:x"],
        &["run"],
        &["no/such/folder"],
        &["valdate", "x"],
        &["run", ".", "--no-such-option"],
        &["run", ".", "--timeout", "soon"],
        &["run", ".", "--memory", "0"],
        &["run", ".", "--pids", "0"],
        &["run", ".", "--project", "../evil"],
        &["run", ".", "--sample", "--full"],
        &["verify", "abcd"],
        &["diff", "abcd"],
        &["completions", "tcsh2"],
    ];
    for words in cases {
        let output = place.run(words);
        assert_eq!(code(&output), 2, "{words:?}: {}", stderr(&output));
        assert!(!stderr(&output).is_empty(), "{words:?}");
        assert_eq!(stdout(&output), "", "{words:?}");
    }
}

#[test]
fn a_secret_typed_as_a_value_is_refused_and_never_repeated() {
    let place = Place::new();
    for words in [["run", ".", "--secret", "TOKEN=hunter2"], ["script", ".", "--secret", "hunter2!"]] {
        let output = place.run(&words);
        assert_eq!(code(&output), 2);
        assert!(stderr(&output).contains("--secret"), "{}", stderr(&output));
        assert!(!stderr(&output).contains("hunter2") && !stdout(&output).contains("hunter2"));
    }
}

#[test]
fn a_database_with_a_password_is_taken_from_the_variable_and_not_from_the_command_line() {
    let place = Place::new();
    let whole = "postgres://soop:hunter2@127.0.0.1:1/soop";
    for address in [whole, "postgres://soop@127.0.0.1:1/soop?password=hunter2"] {
        for words in [
            &["worker"][..],
            &["trigger", "acme/churn"],
            &["token", "list"],
            &["serve", "--repo", "https://a.example/b"],
        ] {
            let output = place.run(&[words, &["--database", address]].concat());
            assert_eq!(code(&output), 2, "{words:?}: {}", stderr(&output));
            assert!(stderr(&output).contains("SOOPERVISOR_DATABASE") && !stderr(&output).contains("hunter2"));
        }
    }
    let output = place.command(&["token", "list"]).env("SOOPERVISOR_DATABASE", whole).output().unwrap();
    assert_eq!(code(&output), 1, "nobody answers there: {}", stderr(&output));
    assert!(!stderr(&output).contains("hunter2"));
}

#[test]
fn a_mistyped_verb_and_a_file_get_their_own_answers() {
    let place = Place::new();
    let typo = stderr(&place.run(&["docter"]));
    assert_eq!(
        typo,
        "error: there is no folder `docter`\nhelp: did you mean the verb `doctor`? soopervisor doctor --help\n"
    );
    fs_err::write(place.path().join("pipeline.yaml"), "").unwrap();
    let file = stderr(&place.run(&["pipeline.yaml"]));
    assert!(file.starts_with("error: `pipeline.yaml` is a file") && file.ends_with("help: soopervisor .\n"), "{file}");
}

#[test]
fn who_types_a_verb_of_earlier_soopervisors_is_told_what_there_is_now() {
    let place = Place::new();
    for words in [&["build"][..], &["export", "train"], &["add", "train", "--backend", "airflow"]] {
        let output = place.run(words);
        let said = stderr(&output);
        assert_eq!(code(&output), 2, "{said}");
        let verb = format!("`{}` is a verb of earlier Soopervisors", words[0]);
        assert!(said.contains(&verb) && said.contains("soopervisor PATH --storage WHERE"), "{said}");
    }
}

#[test]
fn errors_are_one_json_line_where_json_is_asked_for() {
    let output = Place::new().run(&["no/such/folder", "--format", "json"]);
    let error: serde_json::Value = serde_json::from_str(stdout(&output).trim_end()).unwrap();
    assert_eq!((&error["event"], &error["exit_code"]), (&"error".into(), &2.into()));
    assert_eq!(stderr(&output), "");
}

#[test]
fn a_number_of_runs_is_not_zero() {
    let refused = Place::new().run(&["runs", "-n", "0"]);
    assert_eq!(code(&refused), 2);
    assert!(stderr(&refused).contains("write a number above 0"), "{}", stderr(&refused));
}

#[test]
fn a_misspelt_variable_is_told_and_an_empty_one_is_none() {
    let place = Place::new();
    repository(&place);
    let words = ["penguins", "--storage", "local:a", "--dry-run"];
    let plain = place.run(&words);
    let empty = ["NETWORK", "MEMORY", "CPUS", "DISK", "TIMEOUT", "ON_CONFLICT", "FORMAT", "PROJECT", "IMAGE"];
    let mut command = place.command(&words);
    command.envs(empty.map(|name| (format!("SOOPERVISOR_{name}"), "")));
    let output = command.env("SOOPERVISOR_MEMRY", "4g").output().unwrap();
    assert_eq!((code(&plain), code(&output)), (0, 0), "{}{}", stderr(&plain), stderr(&output));
    let line = "warning: the variable SOOPERVISOR_MEMRY sets nothing; did you mean SOOPERVISOR_MEMORY?";
    assert!(stderr(&output).contains(line) && !stderr(&plain).contains("sets nothing"), "{}", stderr(&output));
}

#[test]
fn colour_follows_what_was_asked() {
    let place = Place::new();
    let plain = stderr(&place.run(&["nowhere"]));
    let always = stderr(&place.run(&["nowhere", "--color", "always"]));
    assert!(!plain.contains('\u{1b}') && always.contains('\u{1b}'));
}

#[test]
fn without_any_home_the_way_out_is_said() {
    let place = Place::new();
    let output = place.command(&["runs"]).env_remove("SOOPERVISOR_HOME").output().unwrap();
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("help: export SOOPERVISOR_HOME="), "{}", stderr(&output));
}

#[test]
fn a_fault_of_this_machine_is_exit_code_1_with_the_way_out() {
    let place = Place::new();
    let folder = repository(&place);
    fs_err::write(place.path().join("occupied"), "a file, not a folder").unwrap();
    let folder = folder.to_str().unwrap();
    for words in [&["runs"][..], &["show"], &["env", "list"], &["run", folder, "--storage", "local:artifacts"]] {
        let home = place.path().join("occupied");
        let output = place.command(words).env("SOOPERVISOR_HOME", home).output().unwrap();
        let said = stderr(&output);
        assert_eq!(code(&output), 1, "{words:?}: {said}");
        assert!(said.contains("occupied") && said.contains("Not a directory") && said.contains("help: "), "{said}");
    }
}
