//! Scripts of handlers: in a container of their own, hardened as every container is, with a workspace that is deleted.
//!
//! Values reach a script as variables and arguments, never as part of its text; what it prints is masked before anything
//! is made of it. Code of strangers gets no secret and no network.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::{OnceCell, Semaphore, watch};

use super::doing::{Doing, fault};
use super::runs::no_commit;
use super::submodules::Author;
use super::workspace::{Source, Tree, Workspace, sweep};
use crate::engine::{
    Carried, Engine, ExecSpec, GuestPath, HostPath, Image, Mount, OutputSink, Purpose, SessionSpec, Stream,
};
use crate::logs::Masker;
use crate::logs::mask::MaskStream;
use crate::run::Host;
use crate::run::cancel::{self, CancelReason, Canceller};
use crate::run::execute::{Executed, Watch as Limits, execute};
use crate::run::host::{FALLBACK_IMAGE, RUNNER_IMAGE};
use crate::script::{guest, quote};
use crate::secret::{Secret, SecretSet, SecretSpec};
use crate::server::action::arguments::Shell;
use crate::server::action::{Answer, Call, EffectFault, digest, scripts};
use crate::server::poll::Watch;

/// How long a script may take when nothing else is said.
const TIMEOUT: Duration = Duration::from_hours(1);
/// Processes and threads of one.
const PIDS: u32 = 4096;
/// How much of the end of its output is kept.
const KEPT: usize = 64 * 1024;
/// And how many lines of that.
const LINES: usize = 200;

/// What scripts need besides the handler: a machine with an engine, and where repositories are.
#[derive(Clone)]
pub struct Yard {
    host: Host,
    watches: watch::Receiver<Vec<Arc<Watch>>>,
    folder: PathBuf,
    /// Whether the engine sees our files; asked once.
    shared: Arc<OnceCell<bool>>,
    /// How many scripts may run at a time.
    places: Arc<Semaphore>,
}

impl Yard {
    /// One in this machine's cache, for so many scripts at a time. What those of a killed server left there is deleted:
    /// one server at a time uses it.
    pub fn open(host: Host, watches: watch::Receiver<Vec<Arc<Watch>>>, at_once: usize) -> Self {
        let folder = host.home.cache().join("scripts");
        sweep(&folder);
        let places = Arc::new(Semaphore::new(at_once.max(1)));
        Self { host, watches, folder, shared: Arc::default(), places }
    }

    fn address(&self, repo: &str) -> Option<Arc<Watch>> {
        self.watches.borrow().iter().find(|watch| watch.name == repo).cloned()
    }
}

/// Kills what it is about when it is dropped before its time: who waited for it is gone.
struct Fuse(Canceller);

impl Drop for Fuse {
    fn drop(&mut self) {
        self.0.request(CancelReason::Signal);
        self.0.request(CancelReason::Signal);
    }
}

/// One script, all decided.
struct Job {
    yard: Yard,
    engine: Arc<dyn Engine>,
    image: Image,
    workspace: Workspace,
    user: (u32, u32),
    script: String,
    secrets: Vec<Secret>,
    masker: Masker,
    network: bool,
    wanted: Shell,
    name: String,
}

impl Doing {
    /// Runs the scripts that are for the repository and the branch.
    pub(super) async fn run_scripts(&self, call: &Call<'_>, wanted: Shell) -> Answer {
        let none = || EffectFault::new("this server runs no scripts: it has no engine");
        let yard = self.yard.clone().ok_or_else(none)?;
        let texts = match &wanted.script {
            Some(script) => std::slice::from_ref(script),
            None => scripts::pick(&wanted.scripts, &call.event.repo, call.event.branch())?,
        };
        let script = script(texts, &wanted.args)?;
        let tree = self.tree(call, &wanted).await?;
        let strangers = !matches!(tree, Tree::Nothing) && self.strangers(call.event).await?;
        if strangers && !wanted.secrets.is_empty() {
            let words = "the code is a stranger's, and gets no secrets: write a `when` that leaves forks out, or `workspace: none`";
            return Err(EffectFault::new(words));
        }
        let secrets: Vec<Secret> = wanted.secrets.iter().map(|name| self.variable(name)).collect::<Result<_, _>>()?;
        let _busy = self.busy();
        let places = Arc::clone(&yard.places);
        let _place = places.acquire().await.map_err(|error| EffectFault::new(error.to_string()))?;
        let engine = (yard.host.connect)().await.map_err(|error| EffectFault::new(error.to_string()))?;
        let info = engine.info().await.map_err(|error| EffectFault::new(error.to_string()))?;
        if let Err(error) = engine.sweep().await {
            tracing::debug!(%error, "what dead processes left on the engine stays there");
        }
        let image = image(engine.as_ref(), wanted.image.as_deref()).await?;
        let user = yard.host.container_user(info.rootless);
        let owner = (yard.host.user.0 == 0 && user.0 != 0).then_some(user);
        let watch = yard.address(&call.event.repo);
        let reference = call.event.reference.as_deref();
        let usual = self.file.repo(&call.event.repo).is_some_and(|repo| repo.submodules);
        let submodules = wanted.submodules.unwrap_or(usual);
        let author = if strangers { Author::Stranger } else { Author::Trusted };
        let source = watch.as_ref().map(|watch| Source { address: &watch.address, reference, submodules, author });
        if source.is_none() && !matches!(tree, Tree::Nothing) {
            return Err(EffectFault::new(format!("`{}` is no longer watched", call.event.repo)));
        }
        let name = digest(&call.key.to_string());
        let workspace = {
            // One fetch at a time into the copy that is kept of a repository.
            let _turn = self.turns.of(&format!("checkout {}", call.event.repo)).await;
            Workspace::make(&yard.folder, &name, source, tree, owner).await?
        };
        let network = wanted.network.as_deref() != Some("none") && !strangers;
        let masker = Masker::new(&SecretSet { env: secrets.clone(), mask_only: Vec::new() });
        let job = Job { yard, engine, image, workspace, user, script, secrets, masker, network, wanted, name };
        let (canceller, cancel) = cancel::pair();
        let fuse = Fuse(canceller);
        // On a task of its own: whoever waits here may be gone before the container is.
        let answer = tokio::spawn(async move { job.run(&cancel).await }).await;
        drop(fuse);
        answer.map_err(|error| EffectFault::new(format!("the script was not seen to its end: {error}")))?
    }

    /// A secret that a script gets as a variable.
    fn variable(&self, name: &str) -> Result<Secret, EffectFault> {
        // The name alone, so that it sets no variable by which the shell itself is steered.
        let fits = name.parse::<SecretSpec>();
        fits.map_err(|error| EffectFault::new(error.to_string()))?;
        self.secrets.named(name)
    }

    /// What is checked out.
    async fn tree(&self, call: &Call<'_>, wanted: &Shell) -> Result<Tree, EffectFault> {
        let nothing = || {
            EffectFault::new(format!("{}; `workspace: none` is for scripts without a commit", no_commit(call.event)))
        };
        match wanted.workspace.as_deref() {
            Some("none") => Ok(Tree::Nothing),
            Some("merge") => {
                let head = call.event.commit().cloned().ok_or_else(nothing)?;
                let base = call.event.pull.as_ref().and_then(|pull| pull.base_branch.as_deref());
                let base = base.ok_or_else(|| EffectFault::new("the event is about no pull request to merge"))?;
                let repo = self.database.repo(&call.event.repo).await.map_err(fault)?;
                let refs = self.database.refs(repo.id).await.map_err(fault)?;
                let name = format!("refs/heads/{base}");
                let tip = refs.iter().find(|known| !known.deleted && known.name == name);
                let unknown = || EffectFault::new(format!("the branch `{base}` is not watched: add it to `branches`"));
                let base = tip.and_then(|tip| tip.sha.parse().ok()).ok_or_else(unknown)?;
                Ok(Tree::Merge { base, head })
            }
            _ => Ok(Tree::Commit(call.event.commit().cloned().ok_or_else(nothing)?)),
        }
    }
}

impl Job {
    async fn run(self, cancel: &cancel::Cancel) -> Answer {
        let began = Instant::now();
        let mut seen = Seen::new(&self.masker);
        let ran = self.execute(cancel, &mut seen).await;
        if let Err(fault) = self.workspace.remove().await {
            tracing::warn!(error = fault.message, "a script's workspace was not removed");
        }
        let text = self.masker.text(&seen.finish());
        let lines: Vec<&str> = text.lines().rev().take(LINES).collect::<Vec<_>>().into_iter().rev().collect();
        let executed = ran?;
        let code = executed.exit.code;
        let result =
            json!({"code": code, "output": lines.join("\n"), "lines": lines, "seconds": began.elapsed().as_secs()});
        let why = match executed.stopped {
            Some(CancelReason::Timeout) => "the script took too long and was stopped".to_owned(),
            Some(_) => "the script was stopped".to_owned(),
            None if executed.exit.oom_killed && code != 0 => "the script used more memory than it may".to_owned(),
            None if code != 0 => format!("the script ended with {code}"),
            None => return Ok(result),
        };
        Err(EffectFault::with(why, result))
    }

    async fn execute(&self, cancel: &cancel::Cancel, seen: &mut Seen) -> Result<Executed, EffectFault> {
        let said = |error: crate::engine::EngineError| EffectFault::new(error.to_string());
        let asking = || self.engine.shares_files(&self.yard.folder, &self.image.id);
        if !*self.yard.shared.get_or_try_init(asking).await.map_err(said)? {
            return Err(EffectFault::new("the engine does not see this machine's files: scripts need one that does"));
        }
        let nonce = nonce().map_err(|error| EffectFault::new(error.to_string()))?;
        let exec = ExecSpec { script: self.script.clone(), secrets: self.secrets.clone(), nonce };
        let limits = Limits { timeout: Some(self.wanted.timeout.unwrap_or(TIMEOUT)), ..Limits::default() };
        let (executed, clearing) =
            execute(self.engine.as_ref(), self.session()?, exec, limits, cancel, seen).await.map_err(said)?;
        clearing.gone().await.map_err(said)?;
        Ok(executed)
    }

    fn session(&self) -> Result<SessionSpec, EffectFault> {
        let mount = |host: &std::path::Path, guest: &str| Mount {
            host: HostPath(host.to_owned()),
            guest: GuestPath(guest.to_owned()),
            writable: true,
        };
        let mut env: BTreeMap<String, String> = self.wanted.env.clone();
        if let Some(name) = env.keys().find(|name| !quote::is_variable_name(name)) {
            return Err(EffectFault::new(format!("`{}` is no name of a variable", name.escape_debug())));
        }
        let fixed = [
            ("HOME", guest::HOME),
            ("USER", "runner"),
            ("LOGNAME", "runner"),
            ("LANG", "C.UTF-8"),
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", "safe.directory"),
            ("GIT_CONFIG_VALUE_0", guest::WORK),
        ];
        env.extend(fixed.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let run = format!("script-{}", self.name);
        Ok(SessionSpec {
            run: run.parse().map_err(|error: crate::id::IdError| EffectFault::new(error.to_string()))?,
            purpose: Purpose::Run,
            image: self.image.id.clone(),
            user: self.user,
            mounts: vec![mount(self.workspace.tree(), guest::WORK), mount(self.workspace.home(), guest::HOME)],
            carried: Carried::default(),
            pipes: None,
            env,
            workdir: guest::WORK.to_owned(),
            memory_bytes: self.wanted.memory,
            cpus: None,
            pids: PIDS,
            disk_bytes: None,
            network: self.network,
            labels: BTreeMap::new(),
        })
    }
}

/// The image that was asked for, or the runner image, or what stands in for it.
async fn image(engine: &dyn Engine, asked: Option<&str>) -> Result<Image, EffectFault> {
    let said = |error: crate::engine::EngineError| EffectFault::new(error.to_string());
    let mut progress = |line: String| tracing::debug!(line, "an image for a script");
    if asked.is_none()
        && let Some(image) = engine.find_image(RUNNER_IMAGE).await.map_err(said)?
    {
        return Ok(image);
    }
    engine.ensure_image(asked.unwrap_or(FALLBACK_IMAGE), &mut progress).await.map_err(said)
}

/// All texts as one: each in a shell of its own, with the same arguments; the first that fails ends it.
fn script(texts: &[String], arguments: &[String]) -> Result<String, EffectFault> {
    let word = |text: &String| {
        quote::word(text.as_bytes()).ok_or_else(|| EffectFault::new("a script or an argument holds a NUL"))
    };
    let arguments = arguments.iter().map(word).collect::<Result<Vec<_>, _>>()?.join(" ");
    let mut script = String::new();
    for text in texts {
        script.push_str(&format!("bash -eo pipefail -c {} script {arguments} || exit $?\n", word(text)?));
    }
    Ok(script)
}

/// 32 hexadecimal digits.
fn nonce() -> std::io::Result<String> {
    use std::io::Read;
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(hex::encode(bytes))
}

/// The end of what was printed, masked.
struct Seen {
    streams: [Option<MaskStream>; 2],
    kept: VecDeque<u8>,
}

impl Seen {
    fn new(masker: &Masker) -> Self {
        Self { streams: [Some(masker.stream()), Some(masker.stream())], kept: VecDeque::new() }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.kept.extend(bytes);
        let over = self.kept.len().saturating_sub(KEPT);
        self.kept.drain(..over);
    }

    /// As text without what steers a terminal.
    fn finish(mut self) -> String {
        for place in 0..2 {
            if let Some(stream) = self.streams[place].take() {
                let rest = stream.finish();
                self.keep(rest.as_bytes());
            }
        }
        let bytes: Vec<u8> = self.kept.into();
        String::from_utf8_lossy(&bytes).chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).collect()
    }
}

#[async_trait]
impl OutputSink for Seen {
    async fn output(&mut self, stream: Stream, bytes: &[u8]) {
        let place = usize::from(stream == Stream::Stderr);
        let shown = self.streams[place].as_mut().map(|stream| stream.push(bytes)).unwrap_or_default();
        self.keep(shown.as_bytes());
    }

    async fn gap(&mut self) {
        self.keep(b"\n[some output was lost]\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_a_shell_of_its_own_and_an_argument_is_one_word() {
        let texts = ["exit 0".to_owned(), "echo \"$1\" 'x'".to_owned()];
        let script = script(&texts, &["$(touch /tmp/pwned); a b".to_owned()]).unwrap();
        let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "$(touch /tmp/pwned); a b x\n");
        let failing = super::script(&["false; echo no".to_owned(), "echo no".to_owned()], &[]).unwrap();
        let output = std::process::Command::new("bash").args(["-c", &failing]).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    }

    #[tokio::test]
    async fn a_secret_in_two_pieces_on_either_stream_is_not_seen() {
        let secret = Secret::new("T", b"hunter2-hunter2".to_vec());
        let masker = Masker::new(&SecretSet { env: vec![secret], mask_only: Vec::new() });
        let mut seen = Seen::new(&masker);
        seen.output(Stream::Stdout, b"a hunter2-").await;
        seen.output(Stream::Stderr, b"b\x1b[31m hunter2-hunter2\n").await;
        seen.output(Stream::Stdout, b"hunter2 end\n").await;
        let text = seen.finish();
        assert!(!text.contains("hunter2") && text.contains("*** end") && !text.contains('\u{1b}'), "{text}");
    }
}
