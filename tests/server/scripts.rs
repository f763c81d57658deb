//! Scripts of handlers in real containers: what they see, what is kept of them, and that nothing is left.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use soopervisor::run::Host;
use soopervisor::server::event::Event;
use soopervisor::server::handler::{Memory, Plan, Recall, Report, State, execute};
use soopervisor::server::perform::Yard;
use soopervisor::server::poll::Address;
use soopervisor::spec::Config;
use soopervisor::store::Home;
use tokio::sync::watch;

use super::fake_github::git;
use super::forging::{BUILDS, REPO, Scene};

/// Plays the first handler, with an engine; what the step `shell` came to.
async fn play(scene: &Scene, home: &Path, more: &str, handlers: &str, event: &Event) -> (Report, Value) {
    let bare = Address::Git(scene.fake.bare(REPO).display().to_string(), None);
    play_from(scene, home, bare, (more, handlers), event).await
}

/// The same, from a repository at this address.
async fn play_from(
    scene: &Scene,
    home: &Path,
    address: Address,
    (more, handlers): (&str, &str),
    event: &Event,
) -> (Report, Value) {
    let text = format!("{more}\n{}", scene.text(handlers));
    let (file, found) = soopervisor::server::file::parse("server.yaml", text.as_bytes());
    let file = Arc::new(file.unwrap_or_else(|| panic!("{found:?}")));
    let (_, watches) = watch::channel(vec![scene.watch(address).await]);
    let host = Host::this(Home::at(home), Config::default(), home.to_owned());
    let doing = scene.doing(&file).with_scripts(Yard::open(host, watches, 2));
    let (plan, journal) = (Plan { handler: &file.handlers[0], event }, Memory::default());
    let report = execute(&plan, &file.notify, &doing, &journal).await.unwrap();
    let all = journal.all();
    let (_, Recall::Finished(outcome)) = all.iter().next().unwrap() else { panic!("{all:?}") };
    (report, outcome.result.clone())
}

/// Nothing of a script is left in the folders of a home.
fn is_clean(home: &Path) -> bool {
    ["work", "homes"].iter().all(|below| {
        let folder = home.join("cache/scripts").join(below);
        std::fs::read_dir(folder).is_ok_and(|entries| entries.count() == 0)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_has_the_commit_its_values_and_secrets_and_leaves_nothing() {
    let (scene, home) = (Scene::open().await, tempfile::tempdir().unwrap());
    let secret = scene.place.folder.path().join("deploy");
    std::fs::write(&secret, "hunter2-hunter2\n").unwrap();
    let more = format!("secrets: {{DEPLOY: 'file:{}'}}", secret.display());
    let handlers = r#"
  - name: build
    on: pull_request
    do:
      - shell:
          scripts:
            octo-org/other: {"*": [exit 9]}
            churn: {"*": ["git log -1 --format=%H; cat soopervisor.yaml; touch made", "test -e made; id -u; echo \"$DEPLOY $VALUE $1\"; exit 3"]}
          env: {VALUE: "{{ event.pull.action }}; $(id)"}
          args: ["a  b"]
          secrets: [DEPLOY]
          network: none
"#;
    let (report, result) = play(&scene, home.path(), &more, handlers, &scene.offered()).await;
    assert_eq!((report.state, &result["code"]), (State::Failed, &json!(3)), "{report:?} {result}");
    assert_eq!(report.error.as_deref(), Some("the script ended with 3"));
    let lines: Vec<&str> = result["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert_eq!(lines[..2], [scene.head.as_str(), "sample: true"], "{lines:?}");
    assert_ne!(lines[2], "0", "not root");
    assert_eq!(lines[3], "*** opened; $(id) a  b", "a value is a value, and a secret is hidden");
    assert!(is_clean(home.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_script_does_to_its_workspace_reaches_no_later_one() {
    let (scene, home) = (Scene::open().await, tempfile::tempdir().unwrap());
    // Everything of git's that it can reach is spoiled, the objects too.
    let spoil = "  - {name: a, on: pull_request, do: {shell: {script: \"chmod -R u+w .git; find .git -type f -exec sh -c 'echo x >\\\"$1\\\"' _ {} ';'; rm -rf .git; echo gone\"}}}\n";
    let (report, result) = play(&scene, home.path(), "", spoil, &scene.offered()).await;
    assert_eq!((report.state, &result["output"]), (State::Succeeded, &json!("gone")), "{report:?}");
    let look = "  - {name: b, on: pull_request, do: {shell: {script: 'git status --short; git fsck --full 2>&1; git log --oneline | wc -l'}}}\n";
    let (report, result) = play(&scene, home.path(), "", look, &scene.offered()).await;
    assert_eq!(
        (report.state, result["lines"].as_array().unwrap().last()),
        (State::Succeeded, Some(&json!("2"))),
        "{result}"
    );
    assert!(is_clean(home.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_is_merged_into_its_base_and_a_conflict_is_told() {
    let (scene, home) = (Scene::open().await, tempfile::tempdir().unwrap());
    let watched = scene.watch(scene.address()).await;
    let base = |text: &str| {
        git(scene.work.path(), &["checkout", "-q", "-B", "base", &scene.main]);
        std::fs::write(scene.work.path().join("file"), text).unwrap();
        git(scene.work.path(), &["add", "."]);
        git(scene.work.path(), &["commit", "-q", "-m", text]);
        scene.fake.push(scene.work.path(), REPO, "main", "2026-11-03T10:00:00Z".parse().unwrap())
    };
    base("of the base\n");
    scene.place.poller().read(&watched, None).await.unwrap();
    let mut event = scene.offered();
    event.pull.as_mut().unwrap().base_branch = Some("main".into());
    let merge = "  - {name: m, on: pull_request, do: {shell: {script: 'cat file; git log --merges --oneline | wc -l', workspace: merge}}}\n";
    let (report, result) = play(&scene, home.path(), "", merge, &event).await;
    assert_eq!((report.state, &result["output"]), (State::Succeeded, &json!("of the base\n1")), "{report:?}");
    git(scene.work.path(), &["checkout", "-q", "-B", "other", &scene.head]);
    std::fs::write(scene.work.path().join("file"), "of the head").unwrap();
    git(scene.work.path(), &["add", "."]);
    git(scene.work.path(), &["commit", "-q", "-m", "other"]);
    let head = scene.fake.push(scene.work.path(), REPO, "topic", "2026-11-04T10:00:00Z".parse().unwrap());
    event.pull.as_mut().unwrap().head = Some(head.parse().unwrap());
    let (report, _) = play(&scene, home.path(), "", merge, &event).await;
    let error = report.error.unwrap();
    assert!(error.contains("cannot be merged into its base") && error.contains("file"), "{error}");
    assert!(is_clean(home.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_code_gets_no_secret_and_no_network_and_time_is_bounded() {
    let (scene, home) = (Scene::open().await, tempfile::tempdir().unwrap());
    let secret = scene.place.folder.path().join("deploy");
    std::fs::write(&secret, "hunter2-hunter2\n").unwrap();
    let more = format!("secrets: {{DEPLOY: 'file:{}'}}", secret.display());
    let mut event = scene.offered();
    event.pull.as_mut().unwrap().fork = true;
    let asks = "  - {name: a, on: pull_request, do: {shell: {script: env, secrets: [DEPLOY]}}}\n";
    let (report, _) = play(&scene, home.path(), &more, asks, &event).await;
    assert!(report.error.as_ref().unwrap().contains("gets no secrets"), "{report:?}");
    // Its own text, in a workspace that holds nothing of the stranger's, may have them.
    let none = asks.replace("script: env", "script: 'test -n \"$DEPLOY\"; ls', workspace: none");
    let (report, result) = play(&scene, home.path(), &more, &none, &event).await;
    assert_eq!((report.state, &result["output"]), (State::Succeeded, &json!("")), "{report:?}");
    let net = "  - {name: n, on: pull_request, do: {shell: {script: 'ls /sys/class/net'}}}\n";
    let (_, result) = play(&scene, home.path(), "", net, &event).await;
    assert_eq!(result["output"], "lo", "no network for a stranger's code");
    let slow = "  - {name: s, on: pull_request, do: {shell: {script: 'echo begun; sleep 600', timeout: 2s}}}\n";
    let (report, result) = play(&scene, home.path(), "", slow, &scene.offered()).await;
    assert_eq!(report.error.as_deref(), Some("the script took too long and was stopped"));
    assert_eq!(result["output"], "begun");
    assert!(is_clean(home.path()));
}

/// Pushes a branch whose `lib` is a submodule at this address; its commit.
fn with_submodule(scene: &Scene, url: &str, branch: &str) -> String {
    let work = scene.work.path();
    std::fs::write(work.join(".gitmodules"), format!("[submodule \"lib\"]\n\tpath = lib\n\turl = {url}\n")).unwrap();
    git(work, &["update-index", "--add", "--cacheinfo", &format!("160000,{},lib", scene.main)]);
    git(work, &["add", ".gitmodules"]);
    git(work, &["commit", "-q", "-m", branch]);
    scene.fake.push(work, REPO, branch, "2026-11-03T10:00:00Z".parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submodule_beside_the_repository_is_fetched_and_one_elsewhere_is_refused() {
    let (scene, home) = (Scene::open().await, tempfile::tempdir().unwrap());
    let modules = |url: &str, branch: &str| with_submodule(&scene, url, branch);
    let handler = "  - {name: s, on: pull_request, do: {shell: {script: 'cat lib/soopervisor.yaml; git -C lib rev-parse HEAD', submodules: true}}}\n";
    let mut event = scene.offered();
    event.pull.as_mut().unwrap().head = Some(modules("../builds.git", "beside").parse().unwrap());
    let (report, result) = play(&scene, home.path(), "", handler, &event).await;
    assert_eq!(report.state, State::Succeeded, "{report:?}");
    assert_eq!(result["output"], format!("sample: true\n{}", scene.main));
    let inside = scene.place.folder.path().display().to_string();
    event.pull.as_mut().unwrap().head = Some(modules(&inside, "elsewhere").parse().unwrap());
    let (report, _) = play(&scene, home.path(), "", handler, &event).await;
    assert!(report.error.as_ref().unwrap().contains("not on the repository's own host"), "{report:?}");
    // What a fork names in a folder beside the repository is nobody's to show.
    event.pull.as_mut().unwrap().head = Some(modules("../builds.git", "fork").parse().unwrap());
    event.pull.as_mut().unwrap().fork = true;
    let (report, _) = play(&scene, home.path(), "", handler, &event).await;
    assert!(report.error.as_ref().unwrap().contains("submodules of a stranger's code"), "{report:?}");
    assert!(is_clean(home.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_password_opens_no_private_repository_that_a_stranger_names_as_a_submodule() {
    let (scene, home) = (Scene::open().await, tempfile::tempdir().unwrap());
    let handler =
        "  - {name: s, on: pull_request, do: {shell: {script: 'cat lib/soopervisor.yaml', submodules: true}}}\n";
    let address = scene.with_password();
    let play = async |head: &str, fork: bool| {
        let mut event = scene.offered();
        let pull = event.pull.as_mut().unwrap();
        (pull.head, pull.fork) = (Some(head.parse().unwrap()), fork);
        play_from(&scene, home.path(), address.clone(), ("", handler), &event).await
    };
    let open = with_submodule(&scene, "../builds.git", "open");
    scene.fake.state().private.push(BUILDS.to_owned());
    for (fork, state) in [(false, State::Succeeded), (true, State::Failed)] {
        let (report, result) = play(&open, fork).await;
        assert_eq!(report.state, state, "{report:?}");
        assert_eq!(result["output"] == "sample: true", !fork, "{result}");
        assert!(!fork || report.error.unwrap().contains("submodules cannot be fetched"));
    }
    scene.fake.state().private.clear();
    let (report, result) = play(&open, true).await;
    assert_eq!((report.state, &result["output"]), (State::Succeeded, &json!("sample: true")), "what all may read");
    assert!(is_clean(home.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_script_closes_to_everybody_is_deleted_too() {
    let (scene, home) = (Scene::open().await, tempfile::tempdir().unwrap());
    let close = "  - {name: c, on: pull_request, do: {shell: {script: 'mkdir -p $HOME/mod/x made/x; touch $HOME/mod/x/f made/x/f; chmod 500 $HOME/mod/x; chmod 000 made/x made'}}}\n";
    let (report, _) = play(&scene, home.path(), "", close, &scene.offered()).await;
    assert_eq!(report.state, State::Succeeded, "{report:?}");
    assert!(is_clean(home.path()));
}
