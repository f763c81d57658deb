//! The contract of GitHub's runner, as far as a composite action meets it: expressions, inputs, files, workflow commands,
//! masks, and the signals of a cancelled job. What is not understood is a panic.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A job with one step that uses the action.
pub(crate) struct Job {
    pub(crate) dir: tempfile::TempDir,
    /// `with:`.
    pub(crate) inputs: BTreeMap<String, String>,
    /// `env:` of the step, and what the runner sets.
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) workspace: PathBuf,
    /// Where the action is.
    pub(crate) action: PathBuf,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) outputs: BTreeMap<String, String>,
    pub(crate) summary: String,
    pub(crate) log: Log,
}

/// The log as people see it, and what commands did.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Lines with masks applied, commands left out.
    pub(crate) shown: Vec<String>,
    /// (command, properties, text).
    pub(crate) annotations: Vec<(String, String, String)>,
    pub(crate) groups: Vec<String>,
    pub(crate) masks: Vec<String>,
    stopped: Option<String>,
}

impl Log {
    pub(crate) fn text(&self) -> String {
        self.shown.join("\n")
    }

    /// One line, as the runner reads it.
    fn line(&mut self, line: &str) {
        let command = line.trim_start().strip_prefix("::").and_then(|rest| rest.split_once("::"));
        if let Some(token) = &self.stopped {
            if command.is_some_and(|(name, text)| name == token && text.is_empty()) {
                self.stopped = None;
                return;
            }
        } else if let Some((head, text)) = command {
            let (name, properties) = head.split_once(' ').unwrap_or((head, ""));
            let text = unfolded(text);
            match name {
                "stop-commands" => self.stopped = Some(text),
                "add-mask" => {
                    assert!(self.groups.is_empty(), "a mask is told when the run has begun to speak");
                    self.masks.push(text);
                }
                "group" => self.groups.push(text),
                "endgroup" => {}
                "error" | "warning" | "notice" => {
                    let (text, properties) = (self.masked(&text), unescaped(properties));
                    self.annotations.push((name.to_owned(), properties, text));
                }
                other => panic!("the runner knows no command `{other}`: {line}"),
            }
            return;
        }
        let line = self.masked(line);
        self.shown.push(line);
    }

    fn masked(&self, line: &str) -> String {
        self.masks.iter().fold(line.to_owned(), |line, mask| line.replace(mask.as_str(), "***"))
    }
}

/// The text of a command.
fn unfolded(text: &str) -> String {
    text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
}

/// The properties of a command.
fn unescaped(properties: &str) -> String {
    unfolded(&properties.replace("%3A", ":").replace("%2C", ","))
}

/// The files of one step.
struct Files {
    output: PathBuf,
    summary: PathBuf,
    /// Those that change what later steps and the job's end see, by variable.
    others: [(&'static str, PathBuf); 3],
}

impl Job {
    pub(crate) fn new(workspace: &Path, repo: &str, sha: &str, server: &str, api: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("runner ").tempdir().unwrap();
        let temp = dir.path().join("_temp");
        std::fs::create_dir(&temp).unwrap();
        let state = dir.path().join("state");
        let set = [
            ("CI", "true"),
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_REPOSITORY", repo),
            ("GITHUB_REPOSITORY_ID", &crate::scene::REPO_ID.to_string()),
            // In steps of an action the runner leaves it empty, whatever it says in expressions.
            ("GITHUB_ACTION_REPOSITORY", ""),
            ("GITHUB_SHA", sha),
            ("GITHUB_SERVER_URL", server),
            ("GITHUB_API_URL", api),
            ("GITHUB_RUN_ID", "4242"),
            ("GITHUB_WORKSPACE", workspace.to_str().unwrap()),
            ("RUNNER_TEMP", temp.to_str().unwrap()),
            ("RUNNER_OS", "Linux"),
            ("RUNNER_ARCH", if cfg!(target_arch = "aarch64") { "ARM64" } else { "X64" }),
            ("XDG_STATE_HOME", state.to_str().unwrap()),
            ("SOOPERVISOR_LOG", "off"),
        ];
        let env = set.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let inputs = BTreeMap::from([("binary-path".to_owned(), env!("CARGO_BIN_EXE_soopervisor").to_owned())]);
        Self { dir, inputs, env, workspace: workspace.to_owned(), action: env!("CARGO_MANIFEST_DIR").into() }
    }

    pub(crate) fn input(mut self, name: &str, value: &str) -> Self {
        self.inputs.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn event(self, name: &str, payload: &Value) -> Self {
        let path = self.dir.path().join("event.json");
        std::fs::write(&path, payload.to_string()).unwrap();
        self.env("GITHUB_EVENT_NAME", name).env("GITHUB_EVENT_PATH", path.to_str().unwrap())
    }

    /// Runs every step of the action to its end, on a thread that may block.
    pub(crate) async fn run(self) -> Done {
        self.run_until(|_| false).await
    }

    /// As [`Self::run`]; the job is cancelled as soon as `cancel` likes what a step has printed.
    pub(crate) async fn run_until(self, cancel: impl Fn(&str) -> bool + Send + 'static) -> Done {
        tokio::task::spawn_blocking(move || self.steps(&cancel)).await.unwrap()
    }

    fn steps(&self, cancel: &dyn Fn(&str) -> bool) -> Done {
        let text = std::fs::read_to_string(self.action.join("action.yml")).unwrap();
        let action: Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(action["runs"]["using"], "composite");
        self.inputs.keys().for_each(|name| assert!(action["inputs"].get(name).is_some(), "no input `{name}`"));
        let mut context: BTreeMap<String, String> = BTreeMap::new();
        let mut log = Log::default();
        let mut summary = String::new();
        let steps = action["runs"]["steps"].as_array().unwrap();
        let mut code = 0;
        for (place, step) in steps.iter().enumerate() {
            let files = self.files(place);
            code = self.step(step, &action, &context, &files, &mut log, cancel);
            let id = step["id"].as_str().unwrap();
            for (name, value) in read_outputs(&files.output) {
                context.insert(format!("steps.{id}.outputs.{name}"), value);
            }
            let shown = std::fs::read_to_string(&files.summary).unwrap();
            assert!(shown.len() < 1 << 20, "the runner drops a summary of {} bytes", shown.len());
            summary += &shown;
            for (name, path) in &files.others {
                assert_eq!(std::fs::read_to_string(path).unwrap(), "", "what is in {name} reaches steps of others");
            }
            if code != 0 {
                break;
            }
        }
        let outputs = action["outputs"].as_object().unwrap().iter();
        let outputs = outputs
            .map(|(name, output)| (name.clone(), self.evaluate(output["value"].as_str().unwrap(), &action, &context)));
        Done { code, outputs: outputs.collect(), summary, log }
    }

    fn files(&self, place: usize) -> Files {
        let make = |name: &str| {
            let path = self.dir.path().join(format!("{name}-{place}"));
            std::fs::write(&path, "").unwrap();
            path
        };
        let others = [("GITHUB_ENV", make("env")), ("GITHUB_PATH", make("path")), ("GITHUB_STATE", make("state-file"))];
        Files { output: make("output"), summary: make("summary"), others }
    }

    /// `${{ inputs.x }}`, `${{ steps.x.outputs.y }}`, `${{ github.token }}`, `${{ github.action_repository }}` and nothing else.
    fn evaluate(&self, text: &str, action: &Value, context: &BTreeMap<String, String>) -> String {
        let mut rest = text;
        let mut result = String::new();
        while let Some((before, after)) = rest.split_once("${{") {
            let (expression, more) = after.split_once("}}").unwrap();
            result += before;
            let expression = expression.trim();
            result += &match expression.split_once('.') {
                Some(("inputs", name)) => match self.inputs.get(name) {
                    Some(given) => given.clone(),
                    None => match action["inputs"][name].get("default") {
                        Some(default) => self.evaluate(default.as_str().unwrap(), action, context),
                        None => String::new(),
                    },
                },
                Some(("github", "token")) => self.env.get("TOKEN_OF_THE_JOB").cloned().unwrap_or_default(),
                Some(("github", "action_repository")) => {
                    self.env.get("REPOSITORY_OF_THE_ACTION").cloned().unwrap_or_default()
                }
                Some(("steps", _)) => context.get(expression).cloned().unwrap_or_default(),
                _ => panic!("the expression `{expression}` is not understood"),
            };
            rest = more;
        }
        result + rest
    }

    fn step(
        &self,
        step: &Value,
        action: &Value,
        context: &BTreeMap<String, String>,
        files: &Files,
        log: &mut Log,
        cancel: &dyn Fn(&str) -> bool,
    ) -> i32 {
        assert_eq!(step["shell"], "bash");
        let script = self.dir.path().join("script.sh");
        std::fs::write(&script, self.evaluate(step["run"].as_str().unwrap(), action, context)).unwrap();
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc", "-e", "-o", "pipefail"]).arg(&script);
        command.current_dir(&self.workspace).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if ["GITHUB_", "RUNNER_", "SOOPERVISOR_", "INPUT_"].iter().any(|prefix| name.starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        command.envs(&self.env).env_remove("TOKEN_OF_THE_JOB").env_remove("REPOSITORY_OF_THE_ACTION");
        for (name, value) in step["env"].as_object().into_iter().flatten() {
            command.env(name, self.evaluate(value.as_str().unwrap(), action, context));
        }
        command.env("GITHUB_ACTION_PATH", &self.action);
        command.envs(files.others.iter().map(|(name, path)| (name, path)));
        command.env("GITHUB_OUTPUT", &files.output).env("GITHUB_STEP_SUMMARY", &files.summary);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        watch(child, log, cancel)
    }
}

/// A child that does not outlive a test that fails.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        // It is over already where all went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads what a step prints to its end, and cancels it as the runner does: SIGINT, 7.5 s, SIGTERM, 2.5 s, and then the
/// whole tree is killed, which no test of ours may see.
fn watch(child: Child, log: &mut Log, cancel: &dyn Fn(&str) -> bool) -> i32 {
    let mut child = Reaped(child);
    let child = &mut child.0;
    let (sender, lines) = std::sync::mpsc::channel();
    for stream in
        [Box::new(child.stdout.take().unwrap()) as Box<dyn Read + Send>, Box::new(child.stderr.take().unwrap())]
    {
        let sender = sender.clone();
        std::thread::spawn(move || {
            for line in std::io::BufRead::split(std::io::BufReader::new(stream), b'\n') {
                let _ = sender.send(String::from_utf8_lossy(&line.unwrap()).into_owned());
            }
        });
    }
    drop(sender);
    let mut asked: Option<Instant> = None;
    let mut termed = false;
    let begun = Instant::now();
    loop {
        match lines.recv_timeout(Duration::from_millis(50)) {
            Ok(line) => {
                log.line(&line);
                if asked.is_none() && cancel(&line) {
                    signal(child, "INT");
                    asked = Some(Instant::now());
                }
            }
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
        }
        if asked.is_some_and(|asked| asked.elapsed() > Duration::from_millis(7500)) && !termed {
            signal(child, "TERM");
            termed = true;
        }
        assert!(
            asked.is_none_or(|asked| asked.elapsed() < Duration::from_secs(10)),
            "the runner had to kill it:\n{}",
            log.text()
        );
        assert!(begun.elapsed() < Duration::from_mins(4), "no end:\n{}", log.text());
    }
    let status = child.wait().unwrap();
    std::os::unix::process::ExitStatusExt::signal(&status).map_or_else(|| status.code().unwrap(), |signal| 128 + signal)
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// `name=value` and `name<<end … end`.
fn read_outputs(path: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let mut outputs = BTreeMap::new();
    while let Some(line) = lines.next() {
        if let Some((name, end)) = line.split_once("<<") {
            let value: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
            outputs.insert(name.to_owned(), value.join("\n"));
        } else if let Some((name, value)) = line.split_once('=') {
            outputs.insert(name.to_owned(), value.to_owned());
        } else {
            assert!(line.is_empty(), "the runner does not understand the output `{line}`");
        }
    }
    outputs
}

#[test]
fn the_harness_masks_stops_and_annotates_as_the_runner_does() {
    let mut log = Log::default();
    for line in [
        "::add-mask::hunter2",
        "the word is hunter2",
        "::stop-commands::t0",
        "::error::evil",
        "::add-mask::nothing",
        "::t0::",
        "::error file=a%2Cb%3A%25.yaml,line=3::bad hunter2%0Amore%3A",
        "::group::x",
    ] {
        log.line(line);
    }
    assert_eq!(log.shown, ["the word is ***", "::error::evil", "::add-mask::nothing"]);
    let (place, text) = ("file=a,b:%.yaml,line=3".to_owned(), "bad ***\nmore%3A".to_owned());
    assert_eq!(log.annotations, [("error".to_owned(), place, text)]);
    assert_eq!((log.groups.len(), log.masks.len()), (1, 1));
}
