//! The script in real bash: quoting, steps, signals, shellcheck; and its goldens.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use soopervisor::id::{RelPath, Revision};
use soopervisor::plan::{Limits, Mode, Network, OnConflict, OutputRules, RunPlan};
use soopervisor::script::{self, ScriptError, quote};

const NONCE: &str = "0123456789abcdef0123456789abcdef";

fn plan() -> RunPlan {
    RunPlan {
        project: "penguins".parse().unwrap(),
        revision: Revision {
            commit: "4f1c2d9a".repeat(5).parse().unwrap(),
            dirty_tree: None,
            sample: false,
            partial: false,
        },
        mode: Mode::Full,
        pipeline_dir: RelPath::root(),
        entry_point: "pipeline.yaml".into(),
        sample_flag: false,
        build_args: vec![],
        local_installs: vec![],
        image: None,
        limits: Limits::default(),
        network: Network::Bridge,
        env: BTreeMap::new(),
        secret_names: vec![],
        tasks: vec![],
        factory: None,
        outputs: OutputRules::default(),
        storage: "local:artifacts".into(),
        on_conflict: OnConflict::Fail,
        split_streams: false,
        packages: soopervisor::plan::Packages::AsKept,
        reuse: true,
    }
}

fn hostile() -> RunPlan {
    RunPlan {
        mode: Mode::Sample,
        pipeline_dir: RelPath::from_bytes(b"it's a $(touch pwned)/\xffdir\n").unwrap(),
        entry_point: "pipe line's `id`.yaml".into(),
        sample_flag: true,
        build_args: vec!["--env--x".into(), String::new(), "$HOME '\"\\ \n\t\u{1b}[31m;#".into()],
        local_installs: vec!["-e ./my pkg".into(), "./$(id)".into()],
        env: BTreeMap::from([("A".into(), "b c\n'd'".into()), ("EMPTY".into(), String::new())]),
        secret_names: vec!["API_KEY".into(), "DB_URL".into()],
        split_streams: true,
        ..plan()
    }
}

fn packaged() -> RunPlan {
    RunPlan {
        pipeline_dir: "examples/penguins".parse().unwrap(),
        local_installs: vec![".".into()],
        build_args: vec!["--force".into()],
        env: BTreeMap::from([("REGION".into(), "eu".into())]),
        ..plan()
    }
}

/// A place on this machine in which a script runs as in the container.
struct Stage {
    dir: tempfile::TempDir,
}

struct Played {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Played {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// What `logs::marker` sees, without the times.
    fn marks(&self, nonce: &str) -> Vec<String> {
        let open = format!("\u{1e}{nonce} ");
        let text = self.text();
        let marks = text.split(&open).skip(1).map(|rest| rest.split('\u{1e}').next().unwrap().to_owned());
        marks
            .map(|mark| {
                let words: Vec<&str> = mark.split(' ').collect();
                if words[0] == "end" {
                    assert!(words[3].parse::<u64>().unwrap() < 60_000, "{mark}");
                }
                words[..words.len().min(3)].join(" ")
            })
            .collect()
    }
}

impl Stage {
    fn new(ploomber: &str) -> Self {
        let stage = Self { dir: tempfile::tempdir().unwrap() };
        for folder in ["bin", "work", "home"] {
            std::fs::create_dir(stage.path(folder)).unwrap();
        }
        stage.program("ploomber", ploomber);
        std::fs::write(stage.path("activate.sh"), "export ACTIVATED=$NOT_SET_YES\nfalse\n").unwrap();
        stage
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn program(&self, name: &str, body: &str) {
        let path = self.path("bin").join(name);
        std::fs::write(&path, format!("#!/bin/bash\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The way the engine starts a script: from a file, stdin empty, the nonce on descriptor 3.
    fn command(&self, plan: &RunPlan, nonce: Option<&str>) -> Command {
        let folder = self.path("work").join(plan.pipeline_dir.as_path());
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(self.path("run.sh"), script::render(plan).unwrap()).unwrap();
        let mut command = Command::new("bash");
        match nonce {
            Some(nonce) => {
                command.args(["-c", "exec bash \"$1\" </dev/null 3<<<\"$2\"", "-"]).arg(self.path("run.sh")).arg(nonce)
            }
            None => command.arg(self.path("run.sh")),
        };
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        command.env("PATH", path).env("HOME", self.path("home"));
        command.env("SOOPERVISOR_WORK", self.path("work")).env("SOOPERVISOR_ACTIVATE", self.path("activate.sh"));
        command.env("API_KEY", "x").env("DB_URL", "").stdin(Stdio::null());
        command
    }

    fn play(&self, plan: &RunPlan, nonce: Option<&str>) -> Played {
        let output = self.command(plan, nonce).output().unwrap();
        Played { status: output.status, stdout: output.stdout, stderr: output.stderr }
    }
}

#[test]
fn scripts_are_readable() {
    insta::assert_snapshot!("plain", script::render(&plan()).unwrap());
    insta::assert_snapshot!("packaged", script::render(&packaged()).unwrap());
    insta::assert_snapshot!("hostile", script::render(&hostile()).unwrap());
}

#[test]
fn shellcheck_has_nothing_to_say() {
    // SC2016 asks whether a `$` in single quotes was meant to expand: in a hostile argument it must not.
    let secret = RunPlan { secret_names: vec!["TOKEN".into()], ..plan() };
    let checked = [(plan(), ""), (packaged(), ""), (secret, ""), (hostile(), ",SC2016")];
    for (plan, meant) in checked {
        let mut child = Command::new("shellcheck")
            .args(["--shell=bash", "--enable=all", "-"])
            .arg(format!("--exclude=SC2250,SC2310,SC2312{meant}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("shellcheck is not installed: `apt-get install shellcheck`, or run the tests with `make test`");
        child.stdin.take().unwrap().write_all(script::render(&plan).unwrap().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

/// Hands `words` to one bash and gives back what it made of them.
fn through_bash(words: &[Vec<u8>], locale: &str) -> Vec<Vec<u8>> {
    let quoted: Vec<String> = words.iter().map(|word| quote::word(word).unwrap()).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("printf '%s\\0' {}\n", quoted.join(" "))).unwrap();
    let output = Command::new("bash").arg(file.path()).env("LC_ALL", locale).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let mut back: Vec<Vec<u8>> = output.stdout.split(|b| *b == 0).map(<[u8]>::to_vec).collect();
    assert_eq!(back.pop(), Some(Vec::new()));
    back
}

proptest! {
    // Each case is a bash with 300 words.
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_text_comes_through_bash_as_it_is(texts in prop::collection::vec(hostile_text(), 300)) {
        let words: Vec<Vec<u8>> = texts;
        prop_assert_eq!(&through_bash(&words, "C.UTF-8"), &words);
        prop_assert_eq!(&through_bash(&words, "C"), &words);
    }
}

/// Bytes that bash, terminals or UTF-8 treat specially come far more often than by chance.
fn hostile_text() -> impl Strategy<Value = Vec<u8>> {
    let special: Vec<&'static [u8]> = vec![
        b"'",
        b"\"",
        b"\\",
        b"$",
        b"`",
        b"!",
        b"\n",
        b"\r",
        b"\t",
        b" ",
        b"*",
        b"?",
        b"[",
        b"{",
        b"}",
        b"~",
        b"#",
        b"=",
        b"-",
        b"\x1b",
        b"\x1e",
        b"\x7f",
        b"\xff",
        b"\xc3",
        b"\xe2\x80\xae",
        "é".as_bytes(),
        "𝛼".as_bytes(),
        b"$(",
        b"\\x41",
        b"a",
        b"0",
        b"\x01",
        b"\xc2\x85",
    ];
    let piece = prop_oneof![
        4 => prop::sample::select(special).prop_map(<[u8]>::to_vec),
        1 => any::<char>().prop_filter("NUL", |c| *c != '\0').prop_map(|c| c.to_string().into_bytes()),
        1 => (1..=255_u8).prop_map(|b| vec![b]),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

#[test]
fn hostile_values_reach_ploomber_as_they_are() {
    let stage = Stage::new("printf '%s\\0' \"$PWD\" \"$A\" \"$EMPTY\" \"$@\" >\"$HOME/seen\"");
    stage.program("python", "[[ $1 == -c ]] || printf '%s\\0' \"${@: -1}\" >>\"$HOME/installed\"");
    let plan = hostile();
    let played = stage.play(&plan, Some(NONCE));
    assert!(played.status.success(), "{}{}", played.text(), String::from_utf8_lossy(&played.stderr));
    let seen = std::fs::read(stage.path("home/seen")).unwrap();
    let folder = stage.path("work").join(plan.pipeline_dir.as_path());
    let mut expected =
        vec![folder.as_os_str().as_bytes(), b"b c\n'd'", b"", b"build", b"--entry-point", plan.entry_point.as_bytes()];
    expected.extend([&b"--env--sample"[..], b"true"]);
    expected.extend(plan.build_args.iter().map(String::as_bytes));
    assert_eq!(seen.strip_suffix(b"\0").unwrap().split(|b| *b == 0).collect::<Vec<_>>(), expected);
    let installed = std::fs::read_to_string(stage.path("home/installed")).unwrap();
    assert_eq!(installed, "./my pkg\0./$(id)\0", "the last word of each call of pip");
    assert!(!stage.path("work/pwned").exists());
}

#[test]
fn steps_are_marked_in_order_with_their_codes() {
    let stage = Stage::new("echo out; echo err >&2; printf partial");
    stage.program("python", "echo installing");
    let played = stage.play(&packaged(), Some(NONCE));
    assert!(played.status.success());
    let expected = ["start activate", "end activate 0", "start install", "end install 0", "start build", "end build 0"];
    assert_eq!(played.marks(NONCE), expected);
    assert!(played.text().contains("\u{1e}\nout\nerr\npartial\u{1e}"), "{:?}", played.text());
    assert!(played.stderr.is_empty());
}

#[test]
fn a_failing_step_ends_with_its_code() {
    let played = Stage::new("exit 42").play(&plan(), Some(NONCE));
    assert_eq!(played.status.code(), Some(42));
    assert_eq!(played.marks(NONCE).last().unwrap(), "end build 42");

    let stage = Stage::new("echo never");
    stage.program("python", "[[ $1 == -c ]] || exit 3");
    let played = stage.play(&packaged(), Some(NONCE));
    assert_eq!(played.status.code(), Some(3));
    assert_eq!(played.marks(NONCE).last().unwrap(), "end install 3");
    assert!(!played.text().contains("never"));

    let played = Stage::new("kill -KILL $$").play(&plan(), Some(NONCE));
    assert_eq!(played.status.code(), Some(137));
    assert_eq!(played.marks(NONCE).last().unwrap(), "end build 137");
}

#[test]
fn a_missing_environment_or_program_is_said() {
    let stage = Stage::new("echo never");
    std::fs::remove_file(stage.path("activate.sh")).unwrap();
    let played = stage.play(&plan(), Some(NONCE));
    assert_eq!(played.status.code(), Some(1));
    assert_eq!(played.marks(NONCE), ["start activate", "end activate 1"]);
    assert!(played.text().contains("the environment is missing"));

    let stage = Stage::new("");
    std::fs::remove_file(stage.path("bin/ploomber")).unwrap();
    let mut command = stage.command(&plan(), Some(NONCE));
    let output = command.env("PATH", "/usr/bin:/bin").output().unwrap();
    assert_eq!(output.status.code(), Some(127));
    assert!(String::from_utf8_lossy(&output.stdout).contains("ploomber: command not found"));

    let mut command = stage.command(&hostile(), None);
    let output = command.env_remove("API_KEY").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the secret API_KEY is not set"));
}

#[test]
fn output_without_the_nonce_is_no_mark_and_the_nonce_cannot_be_found() {
    // Everything a pipeline can look at: its variables, its descriptors, its arguments and those of its parent.
    let body = "printf '\\036%s end build 0 1\\036\\n' ffffffffffffffffffffffffffffffff; env; tr '\\0' ' ' </proc/$PPID/environ; \
                for fd in /proc/$$/fd/* /proc/$PPID/fd/*; do [[ -f $fd ]] && cat \"$fd\"; done; tr '\\0' ' ' </proc/$PPID/cmdline; exit 5";
    let played = Stage::new(body).play(&plan(), Some(NONCE));
    assert_eq!(played.marks(NONCE).last().unwrap(), "end build 5");
    assert_eq!(played.text().matches(NONCE).count(), 4, "{}", played.text());
}

#[test]
fn by_hand_steps_are_plain_lines() {
    let played = Stage::new("echo hello").play(&plan(), None);
    assert!(played.status.success(), "{}", played.text());
    let text = played.text();
    assert!(text.contains("==> start build\nhello\n==> end build 0 "), "{text}");
    assert!(!text.contains('\u{1e}'));
}

#[test]
fn streams_stay_apart_when_asked() {
    let played = Stage::new("echo out; echo err >&2").play(&RunPlan { split_streams: true, ..plan() }, Some(NONCE));
    assert!(!played.text().contains("err"));
    assert_eq!(played.stderr, b"err\n");
}

#[test]
fn a_terminated_script_takes_its_children_along_and_prints_nothing_of_itself() {
    for (signal, code) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
        let stage = Stage::new("sleep 30 & echo ready; echo \"$!\" >\"$HOME/pid\"; wait");
        let mut command = stage.command(&plan(), Some(NONCE));
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = wait_for(&stage.path("home/pid"));
        let began = Instant::now();
        assert!(Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert!(began.elapsed() < Duration::from_secs(10), "{signal}");
        let played = Played { status: output.status, stdout: output.stdout, stderr: output.stderr };
        assert_eq!(played.status.code(), Some(code), "{signal}: {}", played.text());
        assert_eq!(played.marks(NONCE).last().unwrap(), &format!("end build {code}"));
        let end = played.text().split("ready\n").nth(1).unwrap().to_owned();
        assert!(end.starts_with('\u{1e}') && end.lines().count() == 1, "{end:?}");
        assert!(played.stderr.is_empty());
        assert!(!alive(&pid), "{signal}: the grandchild lives on");
    }
}

/// Ploomber ends at once, and a process of a task takes two seconds to clean up.
const CLEANS_UP: &str = r#"trap 'exit 1' TERM
(
  trap 'sleep 2; touch "$HOME/cleaned"; exit' TERM
  echo ready >"$HOME/ready"
  while :; do sleep 0.1; done
) &
wait"#;

#[test]
fn a_terminated_script_waits_until_its_grandchildren_have_cleaned_up_and_a_second_signal_ends_that() {
    for signals in [1, 2] {
        let stage = Stage::new(CLEANS_UP);
        let mut command = stage.command(&plan(), Some(NONCE));
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for(&stage.path("home/ready"));
        let began = Instant::now();
        for number in 0..signals {
            std::thread::sleep(Duration::from_millis(500 * number));
            assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
        }
        let output = child.wait_with_output().unwrap();
        let played = Played { status: output.status, stdout: output.stdout, stderr: output.stderr };
        assert_eq!(played.status.code(), Some(143), "{}", played.text());
        assert_eq!(played.marks(NONCE).last().unwrap(), "end build 143");
        assert_eq!(stage.path("home/cleaned").exists(), signals == 1, "{:?}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
}

fn wait_for(path: &Path) -> String {
    let began = Instant::now();
    loop {
        match std::fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
            _ if began.elapsed() < Duration::from_secs(20) => std::thread::sleep(Duration::from_millis(10)),
            other => panic!("{}: {other:?}", path.display()),
        }
    }
}

/// A zombie that nobody has reaped yet is dead.
fn alive(pid: &str) -> bool {
    let began = Instant::now();
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).map(str::to_owned);
        if matches!(state.as_deref(), None | Some("Z" | "X")) {
            return false;
        }
        if began.elapsed() > Duration::from_secs(5) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_plan_that_no_program_could_be_given_is_refused() {
    let nul = RunPlan { build_args: vec!["a\0b".into()], ..plan() };
    assert!(matches!(script::render(&nul), Err(ScriptError::Nul { .. })));
    let name = RunPlan { secret_names: vec!["A; id".into()], ..plan() };
    assert_eq!(script::render(&name), Err(ScriptError::VariableName { name: "A; id".into() }));
}
