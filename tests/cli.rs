//! The program as a black box: arguments in, streams and exit code out, with nothing of this machine's environment.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "cli/arguments.rs"]
mod arguments;
#[path = "fixture_run/mod.rs"]
mod fixture_run;
#[path = "cli/pruning.rs"]
mod pruning;
#[path = "pty/mod.rs"]
mod pty;
#[path = "cli/terminal.rs"]
mod terminal;

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A home of its own for each test.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn command(&self, words: &[&str]) -> Command {
        self.begun(Command::new(env!("CARGO_BIN_EXE_soopervisor")), words)
    }

    /// What is to be started on a terminal.
    fn on_terminal(&self, words: &[&str]) -> Command {
        let mut command = self.begun(pty::foreground(env!("CARGO_BIN_EXE_soopervisor")), words);
        command.env("TERM", "xterm-256color").env("LC_ALL", "C.UTF-8");
        command
    }

    fn begun(&self, mut command: Command, words: &[&str]) -> Command {
        command.args(words).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("SOOPERVISOR_HOME", self.path().join("home")).current_dir(self.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A repository with one commit that is a pipeline.
fn repository(place: &Place) -> std::path::PathBuf {
    let folder = place.path().join("penguins");
    fs_err::create_dir_all(&folder).unwrap();
    assert_eq!(code(&place.run(&["init", "penguins"])), 0);
    for words in [
        &["init", "-q"][..],
        &["add", "."],
        &["-c", "user.name=Ann", "-c", "user.email=ann@example.org", "commit", "-q", "-m", "first"],
    ] {
        let done = Command::new("git").arg("-C").arg(&folder).args(words).env("HOME", place.path()).output().unwrap();
        assert!(done.status.success(), "{}", stderr(&done));
    }
    folder
}

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
fn errors_are_one_json_line_where_json_is_asked_for() {
    let output = Place::new().run(&["no/such/folder", "--format", "json"]);
    let error: serde_json::Value = serde_json::from_str(stdout(&output).trim_end()).unwrap();
    assert_eq!((&error["event"], &error["exit_code"]), (&"error".into(), &2.into()));
    assert_eq!(stderr(&output), "");
}

#[test]
fn an_empty_home_has_no_runs_and_says_what_to_do() {
    let place = Place::new();
    let runs = place.run(&["runs"]);
    assert_eq!((code(&runs), stdout(&runs).as_str()), (0, ""));
    assert!(stderr(&runs).contains("no runs"));
    let json: serde_json::Value = serde_json::from_str(&stdout(&place.run(&["runs", "--json"]))).unwrap();
    assert_eq!(json, serde_json::json!({"schema": 1, "runs": []}));
    for words in [&["show"][..], &["logs"], &["show", "2026"], &["logs", "latest", "-f"]] {
        let output = place.run(words);
        assert_eq!(code(&output), 2, "{words:?}");
        assert!(stderr(&output).contains("help: "), "{words:?}");
    }
    assert!(!place.path().join("home").exists(), "looking must not make folders");
}

#[test]
fn an_empty_home_has_no_environments_and_nothing_to_prune() {
    let place = Place::new();
    let list = place.run(&["env", "list"]);
    assert_eq!((code(&list), stdout(&list).as_str()), (0, ""));
    assert!(stderr(&list).contains("no environments"));
    let json: serde_json::Value = serde_json::from_str(&stdout(&place.run(&["env", "list", "--json"]))).unwrap();
    let expected = serde_json::json!({
        "schema": 1, "environments": [], "total_bytes": 0, "volume_bytes": 0, "unused_cache_bytes": 0
    });
    assert_eq!(json, expected);
    let prune = place.run(&["env", "prune", "--all"]);
    assert!(code(&prune) == 0 && stdout(&prune).contains("nothing to remove"), "{}", stderr(&prune));
    let quiet = place.run(&["env", "prune", "--all", "-q"]);
    assert_eq!((code(&quiet), stdout(&quiet).as_str(), stderr(&quiet).as_str()), (0, "", ""));
    for words in [&["env"][..], &["env", "why"], &["env", "why", "cafe0123"], &["env", "why", "no folder"]] {
        assert_eq!(code(&place.run(words)), 2, "{words:?}");
    }
    for words in [["--older-than", "soon"], ["--keep-size", "0"], ["--all", "--older-than=1d"]] {
        assert_eq!(code(&place.run(&[&["env", "prune"][..], &words].concat())), 2, "{words:?}");
    }
    let bare = [
        (&["env", "prune", "--older-than", "5"][..], "`5d`"),
        (&["env", "prune", "--keep-size", "20"], "`20GB`"),
        (&["prune", "--keep-for", "30"], "`30d`"),
        (&["prune", "--keep-size", "20"], "`20GB`"),
    ];
    for (words, unit) in bare {
        let refused = place.run(words);
        assert!(code(&refused) == 2 && stderr(&refused).contains(unit), "{words:?}: {}", stderr(&refused));
    }
    assert!(!place.path().join("home").exists(), "looking must not make folders");
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
fn without_any_home_the_way_out_is_said() {
    let place = Place::new();
    let output = place.command(&["runs"]).env_remove("SOOPERVISOR_HOME").output().unwrap();
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("help: export SOOPERVISOR_HOME="), "{}", stderr(&output));
}

/// A run's folder, as a process that died left it.
fn dead_run(place: &Place, id: &str, status: &str) {
    let folder = place.path().join("home/state/runs").join(id);
    fs_err::create_dir_all(&folder).unwrap();
    let record = serde_json::json!({
        "schema": 1, "id": id, "project": "penguins", "revision": "4f1c2d9a4f1c2d9a4f1c2d9a4f1c2d9a4f1c2d9a",
        "path": "/home/ann/penguins", "mode": "full", "storage": "local:artifacts", "status": status,
        "started_at": "2026-11-21T09:30:00Z", "version": "0.1.0", "process": {"pid": 1, "boot": "x", "started": 1},
    });
    fs_err::write(folder.join("run.json"), record.to_string()).unwrap();
    fs_err::write(folder.join("log"), "one\ntwo\n").unwrap();
    fs_err::write(folder.join("lock"), "").unwrap();
}

#[test]
fn runs_are_listed_shown_and_their_logs_printed() {
    let place = Place::new();
    dead_run(&place, "20261121-093000-4f1c2d9a-aaaa", "succeeded");
    dead_run(&place, "20261121-093001-4f1c2d9a-bbbb", "running");
    insta::assert_snapshot!("runs", stdout(&place.run(&["runs"])));
    let newest = place.run(&["runs", "-n", "1"]);
    assert_eq!((stdout(&newest).lines().count(), &*stderr(&newest)), (2, "1 older run: soopervisor runs -n 2\n"));
    let show = stdout(&place.run(&["show"]));
    assert!(show.contains("20261121-093001") && show.contains("interrupted"), "{show}");
    let json: serde_json::Value =
        serde_json::from_str(&stdout(&place.run(&["show", "20261121-093000", "--json"]))).unwrap();
    assert_eq!(json["status"], "succeeded");
    assert_eq!(stdout(&place.run(&["logs", "20261121-093000"])), "one\ntwo\n");
    // A dead run is not waited for.
    assert_eq!(stdout(&place.run(&["logs", "-f"])), "one\ntwo\n");
    let both = place.run(&["show", "2026"]);
    assert_eq!(code(&both), 2);
    assert!(stderr(&both).contains("fits 2 runs"), "{}", stderr(&both));
}

#[test]
fn a_live_log_is_followed_until_its_run_ends() {
    use std::io::{Read, Write};
    let place = Place::new();
    dead_run(&place, "20261121-093000-4f1c2d9a-aaaa", "running");
    let folder = place.path().join("home/state/runs/20261121-093000-4f1c2d9a-aaaa");
    let lock = std::fs::File::open(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let mut follower = place.command(&["logs", "-f"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = follower.stdout.take().unwrap();
    let mut seen = [0; 8];
    out.read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"one\ntwo\n");
    assert!(follower.try_wait().unwrap().is_none(), "it must wait for more");
    let mut log = fs_err::OpenOptions::new().append(true).open(folder.join("log")).unwrap();
    log.write_all(b"three\n").unwrap();
    drop(lock);
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "three\n");
    assert!(follower.wait().unwrap().success());
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let place = Place::new();
    dead_run(&place, "20261121-093000-4f1c2d9a-aaaa", "succeeded");
    let log = place.path().join("home/state/runs/20261121-093000-4f1c2d9a-aaaa/log");
    fs_err::write(log, "x\n".repeat(1 << 20)).unwrap();
    for words in [&["logs"][..], &["man"], &["completions", "bash"]] {
        let mut child = place.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((code(&output), stderr(&output).as_str()), (0, ""), "{words:?}");
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

#[test]
fn init_makes_a_project_and_a_second_time_changes_nothing() {
    let place = Place::new();
    let project = place.path().join("penguins");
    insta::assert_snapshot!("init", stdout(&place.run(&["init", "penguins"])));
    let before = fs_err::read(project.join("pipeline.yaml")).unwrap();
    let again = stdout(&place.run(&["init", "penguins"]));
    assert!(!again.contains("wrote") && again.contains("kept     pipeline.yaml"), "{again}");
    assert_eq!(fs_err::read(project.join("pipeline.yaml")).unwrap(), before);
    assert_eq!(code(&place.run(&["init", "no/where"])), 2);
    assert!(!place.path().join("no").exists());
}

#[test]
fn doctor_says_each_check_in_words_and_in_json() {
    let place = Place::new();
    let words = ["doctor", "--offline", "--storage", "local:artifacts"];
    let output = place.command(&words).env("DOCKER_HOST", "unix:///nowhere/docker.sock").output().unwrap();
    let text = stdout(&output);
    for check in ["git", "container engine", "folders", "disk for runs", "settings", "storage", "clock"] {
        assert!(text.contains(check), "{check} in {text}");
    }
    assert!(text.contains("skipped clock") && text.contains("fail    container engine"), "{text}");
    assert_ne!(code(&output), 0, "an engine that is not there must not look fine");
    let json: serde_json::Value =
        serde_json::from_str(&stdout(&place.run(&["doctor", "--offline", "--json"]))).unwrap();
    assert!(json["checks"].as_array().unwrap().len() >= 9);
    let more = stdout(
        &place.command(&[&words[..], &["-v"]].concat()).env("DOCKER_HOST", "unix:///nowhere/x").output().unwrap(),
    );
    for looked_at in ["; 2.25 or newer is needed", "DOCKER_HOST is set", "looked for at "] {
        assert!(more.contains(looked_at) && !text.contains(looked_at), "{looked_at} in {more}");
    }
    let broken = place.run(&["doctor", "--offline", "--storage", "local:/proc/nowhere"]);
    assert!(stdout(&broken).contains("fail    storage"), "{}", stdout(&broken));
}

#[test]
fn doctor_blames_nothing_else_for_settings_that_it_cannot_read() {
    let place = Place::new();
    fs_err::create_dir_all(place.path().join("home")).unwrap();
    fs_err::write(place.path().join("home/config.yaml"), "storage: [1\n").unwrap();
    let text = stdout(&place.run(&["doctor", "--offline", "--storage", "local:artifacts"]));
    for check in ["fail    settings", "skipped container engine", "skipped storage"] {
        assert!(text.contains(check), "{check} in {text}");
    }
    assert!(text.contains("config.yaml") && !text.contains("install Docker"), "{text}");
    let nowhere =
        place.command(&["doctor", "--offline"]).env_remove("SOOPERVISOR_HOME").env("HOME", "/dev/null").output();
    let text = stdout(&nowhere.unwrap());
    assert!(text.contains("ok      settings") && text.contains("fail    folders"), "{text}");
    assert!(text.contains("export SOOPERVISOR_HOME=DIR"), "{text}");
}

#[test]
fn what_init_writes_is_valid_and_its_script_is_bash_without_a_storage() {
    let place = Place::new();
    repository(&place);
    let valid = place.run(&["validate", "penguins"]);
    assert_eq!((code(&valid), stdout(&valid).as_str()), (0, "everything is fine\n"), "{}", stderr(&valid));
    let script = place.run(&["script", "penguins"]);
    assert_eq!(code(&script), 0, "{}", stderr(&script));
    fs_err::write(place.path().join("script.sh"), &script.stdout).unwrap();
    let parsed = Command::new("bash").arg("-n").arg(place.path().join("script.sh")).output().unwrap();
    assert!(parsed.status.success() && stdout(&script).contains("ploomber build"), "{}", stderr(&parsed));
}

#[test]
fn a_dry_run_tells_the_plan_and_leaves_no_trace() {
    let place = Place::new();
    repository(&place);
    let plan = place.run(&["penguins", "--storage", "local:artifacts", "--dry-run"]);
    assert_eq!(code(&plan), 0, "{}", stderr(&plan));
    let text = stdout(&plan);
    let steps = ["project", "commit", "mode", "pipeline", "image", "build", "collect", "publish"];
    let at = steps.map(|step| text.find(&format!("\n{step} ")).or(text.starts_with(step).then_some(0)));
    assert!(at.iter().all(Option::is_some) && at.is_sorted(), "{text}");
    let json = place.run(&["penguins", "--storage", "local:artifacts", "--dry-run", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&stdout(&json)).unwrap();
    assert_eq!((&json["schema"], &json["plan"]["storage"]), (&1.into(), &"local:artifacts".into()));
    assert!(!place.path().join("artifacts").exists() && !place.path().join("home/state").exists());
}

#[test]
fn a_dry_run_says_of_secrets_what_a_run_would_and_quotes_what_it_shows() {
    let place = Place::new();
    repository(&place);
    let words = ["penguins", "--storage", "local:artifacts", "--dry-run"];
    let unset = place.run(&[&words[..], &["--secret", "NOT_SET_ANYWHERE"]].concat());
    let said = format!("{}{}", stdout(&unset), stderr(&unset));
    assert!(code(&unset) == 3 && said.contains("the environment variable `NOT_SET_ANYWHERE` is not set"), "{said}");
    assert!(!said.contains("publish "), "{said}");
    let quoted = place.run(&[&words[..], &["--", "--env--name", "it's mine"]].concat());
    assert!(stdout(&quoted).contains(r"--env--name 'it'\''s mine'"), "{}{}", stdout(&quoted), stderr(&quoted));
}

#[test]
fn a_number_of_runs_is_not_zero() {
    let refused = Place::new().run(&["runs", "-n", "0"]);
    assert_eq!(code(&refused), 2);
    assert!(stderr(&refused).contains("write a number above 0"), "{}", stderr(&refused));
}

#[test]
fn pruning_a_project_that_is_not_there_says_so() {
    let place = Place::new();
    fs_err::create_dir(place.path().join("artifacts")).unwrap();
    let refused = place.run(&["prune", "--project", "nope", "--keep-last", "3", "--storage", "local:artifacts"]);
    assert_eq!(code(&refused), 7, "{}", stdout(&refused));
    assert!(stderr(&refused).contains("there is no project `nope`"), "{}", stderr(&refused));
}

#[test]
fn a_storage_whose_folder_is_not_there_is_told_from_a_project_that_is_not() {
    let place = Place::new();
    for words in [
        &["verify", "latest"][..],
        &["download", "latest"],
        &["diff", "latest", "latest"],
        &["prune", "--keep-last", "3", "--dry-run"],
    ] {
        let refused = place.run(&[words, &["--project", "demo", "--storage", "local:./nowhere"]].concat());
        let said = stderr(&refused);
        assert_eq!(code(&refused), 7, "{said}");
        let folder = fs_err::canonicalize(place.path()).unwrap().join("nowhere");
        assert!(said.contains(&format!("there is no folder {}", folder.display())), "{said}");
        assert!(said.contains("soopervisor show RUN"), "{said}");
        assert!(!folder.exists(), "nothing is made by looking");
    }
}

#[test]
fn a_project_is_checked_and_its_script_printed_where_one_stands() {
    let place = Place::new();
    let folder = repository(&place);
    let here = |words: &[&str]| place.command(words).current_dir(&folder).output().unwrap();
    assert!(stdout(&here(&["validate"])).contains("everything is fine"));
    // What was looked at goes beside the answer.
    let more = here(&["validate", "-v"]);
    assert_eq!(stdout(&more), "everything is fine\n");
    for told in ["read ", "environment.yml", "pipeline     pipeline.yaml: ", " rules in "] {
        assert!(stderr(&more).contains(told), "{told} in {}", stderr(&more));
    }
    assert_eq!(stderr(&here(&["validate", "-v", "--format", "json"])), "");
    assert!(stdout(&here(&["script"])).starts_with("#!/usr/bin/env bash"));
    assert_eq!(stdout(&here(&[".", "--storage", "local:a", "--dry-run", "-q"])), "");
}

#[test]
fn files_outside_of_a_repository_are_checked_and_what_a_run_lacks_is_told() {
    let place = Place::new();
    let folder = repository(&place);
    fs_err::remove_dir_all(folder.join(".git")).unwrap();
    let output = place.command(&["validate"]).current_dir(&folder).output().unwrap();
    assert_eq!((code(&output), stdout(&output).as_str()), (0, "everything is fine\n"), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("is not in a Git repository") && said.contains("`git init && git add -A"), "{said}");
    let json = place.command(&["validate", "--format", "json"]).current_dir(&folder).output().unwrap();
    assert_eq!(stderr(&json), "");
}

#[test]
fn an_invalid_project_ends_with_three() {
    let place = Place::new();
    let folder = repository(&place);
    fs_err::write(folder.join("pipeline.yaml"), "tasks: [{source: missing.py, product: x.ipynb}]\n").unwrap();
    for words in [&["validate", "penguins"][..], &["penguins", "--storage", "local:a", "--allow-dirty", "--dry-run"]] {
        let output = place.run(words);
        assert_eq!(code(&output), 3, "{words:?}: {}{}", stdout(&output), stderr(&output));
        assert!(!stdout(&output).contains("everything is fine"));
    }
}

#[test]
fn a_product_beside_the_folder_that_is_checked_lies_in_the_repository_and_one_above_it_does_not() {
    let place = Place::new();
    let pipe = repository(&place).join("pipe");
    fs_err::create_dir(&pipe).unwrap();
    fs_err::write(pipe.join("environment.yml"), "channels: [x]\ndependencies: [python, ploomber]\n").unwrap();
    fs_err::write(pipe.join("a.py"), "# + tags=[\"parameters\"]\nupstream = None\n\n# +\nx = 1\n").unwrap();
    for (product, outside) in [("../shared/a.ipynb", false), ("../../a.ipynb", true)] {
        let text = format!("tasks: [{{source: a.py, product: {product}}}]\n");
        fs_err::write(pipe.join("pipeline.yaml"), text).unwrap();
        let checked = place.run(&["validate", "penguins/pipe"]);
        let told = stdout(&checked).contains("lies outside of the repository");
        assert_eq!((code(&checked), told), (0, outside), "{product}: {}", stdout(&checked));
    }
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
fn a_storage_without_the_project_ends_with_seven() {
    let place = Place::new();
    for verb in ["verify", "download"] {
        let output = place.run(&[verb, "abcd", "--storage", "local:nothing", "--project", "penguins"]);
        assert_eq!(code(&output), 7, "{verb}: {}", stderr(&output));
    }
}

#[test]
fn settings_that_cannot_be_read_are_named_with_their_line() {
    let place = Place::new();
    fs_err::create_dir_all(place.path().join("home")).unwrap();
    fs_err::write(place.path().join("home/config.yaml"), "image: debian\nimaeg: x\n").unwrap();
    let output = place.run(&["doctor", "--offline"]);
    assert_ne!(code(&output), 0);
    let said = stdout(&output);
    assert!(said.lines().any(|line| line.starts_with("fail") && line.contains("config.yaml")), "{said}");
    let rest =
        said.lines().filter(|line| line.starts_with("skipped") && line.contains("the settings are not understood"));
    assert!(rest.count() >= 2, "what cannot be looked at is not called broken: {said}");
}

#[test]
fn colour_follows_what_was_asked() {
    let place = Place::new();
    let plain = stderr(&place.run(&["nowhere"]));
    let always = stderr(&place.run(&["nowhere", "--color", "always"]));
    assert!(!plain.contains('\u{1b}') && always.contains('\u{1b}'));
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

#[test]
fn hostile_files_end_in_a_finding_within_bounded_memory() {
    let place = Place::new();
    let folder = repository(&place);
    let many = |count: usize, line: fn(usize) -> String| (0..count).map(line).collect::<String>();
    let bomb = many(9, |at| format!("l{}: &l{} [{}]\n", at + 1, at + 1, vec![format!("*l{at}"); 9].join(",")));
    for (what, text) in [
        ("a bomb of aliases", format!("l0: &l0 [x]\n{bomb}tasks: *l9\n")),
        ("anchors", many(500_000, |at| format!("- &a{at} [x]\n"))),
        ("tasks", many(250_000, |at| format!("- {{source: {at:06}.py, product: o/{at:06}}}\n"))),
        ("keys", many(700_000, |at| format!("k{at}: {at}\n"))),
        ("one text", format!("tasks: \"{}\"\n", "x".repeat(9_000_000))),
        ("quotes", "'".repeat(9_000_000)),
        ("depth", "[".repeat(10_000)),
    ] {
        fs_err::write(folder.join("pipeline.yaml"), text).unwrap();
        // Half a GiB of addresses, stacks of threads and the program itself among them.
        let mut command = Command::new("bash");
        command.args(["-c", "ulimit -v 524288 && exec \"$0\" validate penguins", env!("CARGO_BIN_EXE_soopervisor")]);
        let output = command.current_dir(place.path()).stdin(Stdio::null()).output().unwrap();
        let said = stdout(&output) + &stderr(&output);
        assert_eq!(code(&output), 3, "{what}: {said}");
        assert!(said.contains("pipeline.yaml") && said.len() < 10_000, "{what}: {said}");
    }
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
