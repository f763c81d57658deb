//! Repositories over SSH, from OpenSSH's own server, as the built program reads and checks them out: with a deploy key, with a
//! wrong one, and from a host that nobody knows.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use soopervisor::store::database::{Database, Repo, RunFilter, RunState};

use super::git::Forge;
use super::process::{Running, ask, ledger, program};
use super::servers::{self, Server, free_port};
use super::until;

/// A repository behind an SSH server that lets `user` in and not `stranger`, and a machine that watches it.
struct Scene {
    forge: Forge,
    place: tempfile::TempDir,
    port: u16,
    _daemon: Server,
}

impl Scene {
    async fn open() -> Self {
        let (forge, place, port) = (Forge::start().await, tempfile::tempdir().unwrap(), free_port());
        let daemon = servers::sshd(place.path(), port);
        let scene = Self { forge, place, port, _daemon: daemon };
        // What this machine's ssh knows of hosts is the test's; it notes what it is asked.
        let paths = std::env::var_os("PATH").unwrap();
        let ssh = std::env::split_paths(&paths).map(|folder| folder.join("ssh")).find(|path| path.is_file());
        let script = format!(
            "#!/bin/sh\necho \"$*\" >>'{}'\nexec {} -F '{}' \"$@\"\n",
            scene.path("asked").display(),
            ssh.expect("no ssh: `scripts/test.sh` installs it (scripts/servers.sh)").display(),
            scene.path("config").display()
        );
        std::fs::create_dir_all(scene.path("bin")).unwrap();
        std::fs::write(scene.path("bin/ssh"), script).unwrap();
        std::fs::set_permissions(scene.path("bin/ssh"), PermissionsExt::from_mode(0o755)).unwrap();
        let hosts = scene.path("known_hosts");
        let config = format!("UserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\n", hosts.display());
        std::fs::write(scene.path("config"), config).unwrap();
        scene
    }

    fn path(&self, below: &str) -> PathBuf {
        self.place.path().join(below)
    }

    fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// Writes the server's file, with one of the keys.
    fn write(&self, key: &str) {
        let text = format!(
            "credentials: {{deploy: {{ssh_key: 'file:{}'}}}}\nrepos:\n  - {{url: 'ssh://127.0.0.1:{}{}', name: acme/churn, credential: \
             deploy, poll: 1s, storage: 'local:/nowhere'}}\nhandlers:\n  - {{name: build, on: push, do: {{run: {{mode: sample}}}}}}\n",
            self.path(key).display(),
            self.port,
            self.forge.bare().display()
        );
        std::fs::write(self.path("server.yaml"), text).unwrap();
    }

    /// A server that goes by this key.
    async fn start(&self, key: &str) -> (Running, Database) {
        self.write(key);
        let mut command = program(&self.home());
        let paths = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        command.env("PATH", paths).args(["serve", "--config"]).arg(self.path("server.yaml"));
        (Running::spawn(command), ledger(&self.home()).await)
    }

    /// How often ssh was started.
    fn asked(&self) -> Vec<String> {
        std::fs::read_to_string(self.path("asked")).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

async fn repo(database: &Database) -> Repo {
    database.repo("acme/churn").await.unwrap()
}

/// Waits until the repository was refused, and whether it is left alone then; why it was.
async fn refused(scene: &Scene, database: &Database) -> String {
    until("it is refused", || async { repo(database).await.failures > 0 }).await;
    // It is to be read each second.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let repo = repo(database).await;
    assert_eq!((repo.failures, repo.read_at, scene.asked().len()), (1, None, 1), "{repo:?}");
    repo.fault.unwrap()
}

async fn shown(server: &Running, path: &str) -> String {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.get(format!("{}{path}", server.base)).send().await.unwrap().text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_is_polled_and_checked_out_with_a_deploy_key() {
    let scene = Scene::open().await;
    let (_server, database) = scene.start("user").await;
    until("the first reading", || async { repo(&database).await.read_at.is_some() }).await;
    assert_eq!(repo(&database).await.head.as_deref(), Some("refs/heads/main"));
    let sha = scene.forge.commit("main", "pushed");
    let run = || async { database.runs(&RunFilter::default()).await.unwrap().pop() };
    until("its run ended", || async { run().await.is_some_and(|run| run.state.has_ended()) }).await;
    let run = run().await.unwrap();
    // It was checked out: what is missing is a pipeline.
    let found = (run.new.sha.as_str(), run.state, run.exit_code, run.failures);
    assert_eq!(found, (sha.as_str(), RunState::Failed, Some(3), 0), "{run:?}");
    assert!(run.local_run.is_some() && repo(&database).await.fault.is_none(), "{run:?}");
    let key = format!("-o IdentitiesOnly=yes -i {}", scene.path("user").display());
    let asked = scene.asked();
    assert!(asked.iter().all(|words| words.contains(&key) && words.contains("BatchMode=yes")), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_does_not_fit_is_told_and_tried_again_when_it_is_another() {
    let scene = Scene::open().await;
    let (server, database) = scene.start("stranger").await;
    let fault = refused(&scene, &database).await;
    assert_eq!(fault, "no access: the repository is not there, or the credential does not fit");
    assert!(shown(&server, "/").await.contains("no access: "), "the page says it");
    assert!(shown(&server, "/metrics").await.contains("result=\"denied\"} 1\n"), "and metrics count it");
    assert!(server.said.lock().unwrap().iter().any(|line| line.contains("not read") && line.contains("no access: ")));
    scene.write("user");
    until("it is read", || async { repo(&database).await.read_at.is_some() }).await;
    assert_eq!(repo(&database).await.fault, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_known_is_not_spoken_to_and_it_is_said_how_it_becomes_known() {
    let scene = Scene::open().await;
    let (known, right) = (scene.path("known_hosts"), scene.path("right"));
    std::fs::rename(&known, &right).unwrap();
    let (server, database) = scene.start("user").await;
    let fault = refused(&scene, &database).await;
    assert!(fault.contains("SSH key is not known") && fault.contains("ssh-keyscan -p PORT HOST"), "{fault}");
    assert!(!known.exists(), "nobody is trusted at first sight");
    assert!(shown(&server, "/").await.contains("ssh-keyscan"), "the page says it");

    // It shows another key than it did.
    let other = std::fs::read_to_string(scene.path("stranger.pub")).unwrap();
    std::fs::write(&known, format!("[127.0.0.1]:{} {other}", scene.port)).unwrap();
    let trigger = || ask(&scene.home(), &["trigger", "acme/churn"]);
    let (code, said) = trigger();
    assert_ne!(code, 0, "{said}");
    let fault = repo(&database).await.fault.unwrap();
    assert!(fault.contains("another SSH key") && fault.contains("ssh-keygen -R HOST"), "{fault}");

    // Somebody looks, adds it, and asks.
    std::fs::copy(&right, &known).unwrap();
    let (code, said) = trigger();
    assert!(code == 0 && said.contains(&scene.forge.git(&["rev-parse", "HEAD"])), "{said}");
    assert_eq!(repo(&database).await.fault, None);
}
