//! Private repositories that only a GitHub App may read: polled and checked out by the token of its installation, with the
//! real git, before GitHub in small.

use std::sync::Arc;

use soopervisor::forge::github::{App, Installation};
use soopervisor::secret::Secret;
use soopervisor::server::poll::fault::Fault;
use soopervisor::server::poll::reading::{Credential, Password};
use soopervisor::server::poll::{Address, PollError};
use soopervisor::server::work::checkout::checkout;
use soopervisor::store::database::{RunFilter, RunState};
use soopervisor::web::Reach;

use super::forging::{REPO, Scene, app_key};
use super::process::{Running, ask, ledger};
use super::until;

/// GitHub with an App and a private repository, and the App's key.
async fn scene() -> (Scene, String) {
    let scene = Scene::open().await;
    let (key, public) = app_key();
    scene.fake.state().apps.push(("robo-app".into(), "4711".into(), public));
    scene.fake.state().private.push(REPO.to_owned());
    (scene, key)
}

/// The repository as the App's installation reads it.
fn address(scene: &Scene, key: String) -> Address {
    let key = Secret::new("key", key.into_bytes());
    let app = App { id: "4711".into(), key, repo: REPO.parse().unwrap(), installation: None };
    let login = Installation::open(&scene.fake.api(), app, &Reach::default()).unwrap();
    let password = Password::Issued("hub".to_owned(), Arc::new(login));
    let who = Credential { user: "x-access-token".to_owned(), password };
    Address::Http(format!("{}/{REPO}.git", scene.fake.server()).parse().unwrap(), Some(who))
}

/// Nobody has a token of an installation any more.
fn revoke(scene: &Scene) {
    scene.fake.state().tokens.retain(|token, _| !token.starts_with("ghs_"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_repository_is_read_and_checked_out_by_the_token_of_an_installation() {
    let (scene, key) = scene().await;
    let poller = scene.place.poller();
    let nobody = scene.watch(scene.address()).await;
    let denied = poller.read(&nobody, None).await;
    assert!(matches!(denied, Err(PollError::Fault(Fault::Denied(401)))), "{denied:?}");

    let address = address(&scene, key);
    let watch = scene.watch(address.clone()).await;
    poller.read(&watch, None).await.unwrap();
    assert!(!scene.place.database.refs(watch.repo).await.unwrap().is_empty());
    let folder = scene.place.folder.path().join("worker");
    let main = scene.main.parse().unwrap();
    let tree = checkout(&folder, "one", &address, Some("refs/heads/main"), &main).await.unwrap();
    assert!(tree.path().join("soopervisor.yaml").is_file());
    let asked = || scene.fake.asked("access_tokens").len();
    assert_eq!(asked(), 1, "one token for all of it");

    // Taken back: the next reading gets another one, and git has that, too.
    revoke(&scene);
    poller.read(&watch, None).await.unwrap();
    assert_eq!(asked(), 2);
    let head = scene.head.parse().unwrap();
    checkout(&folder, "two", &address, Some("refs/heads/topic"), &head).await.unwrap();
    assert_eq!(asked(), 2);
    // About to end: not shown any more.
    scene.fake.state().token_lasts = 60;
    revoke(&scene);
    for tokens in [3, 4, 5] {
        poller.read(&watch, None).await.unwrap();
        assert_eq!(asked(), tokens);
    }
    // The App is gone: that is told as what it is, and no token with it.
    scene.fake.state().apps.clear();
    let fault = poller.read(&watch, None).await.unwrap_err().to_string();
    assert!(fault.contains("the App 4711") && !fault.contains("ghs_"), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_an_app_alone_polls_and_runs_private_repositories() {
    let (scene, key) = scene().await;
    let home = scene.place.folder.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let (file, pem) = (home.join("server.yaml"), home.join("app.pem"));
    std::fs::write(&pem, key).unwrap();
    let text = format!(
        "credentials: {{hub: {{app_id: 4711, private_key: 'file:{}', api: '{}'}}}}\nrepos:\n  - {{url: '{}/{REPO}.git', \
         credential: hub, poll: 1s, storage: 'local:/nowhere'}}\n",
        pem.display(),
        scene.fake.api(),
        scene.fake.server()
    );
    std::fs::write(&file, &text).unwrap();
    let server = Running::of_file(&home, &file);
    let database = ledger(&home).await;
    until("the first reading", || async { database.repo(REPO).await.is_ok_and(|repo| repo.read_at.is_some()) }).await;
    let (code, said) = ask(&home, &["trigger", REPO]);
    assert!(code == 0 && said.contains(&scene.main), "{said}");
    let runs = || async { database.runs(&RunFilter::default()).await.unwrap() };
    until("the run ended", || async { runs().await.iter().any(|run| run.state.has_ended()) }).await;
    let run = runs().await.remove(0);
    // It was checked out: what is missing is the pipeline.
    assert_eq!((run.state, run.exit_code, run.new.sha), (RunState::Failed, Some(3), scene.main.clone()));
    // The file is read again, and the login with its token stays.
    let asked = || scene.fake.asked("access_tokens").len();
    let before = asked();
    std::fs::write(&file, format!("{text}# read again\n")).unwrap();
    until("the file is read again", || async {
        server.said.lock().unwrap().iter().any(|line| line.contains("was read again"))
    })
    .await;
    let read = database.repo(REPO).await.unwrap().read_at;
    until("another reading", || async { database.repo(REPO).await.unwrap().read_at > read }).await;
    assert_eq!(asked(), before);
    let said = server.said.lock().unwrap().join("\n");
    assert!(!said.contains("ghs_"), "{said}");
}
