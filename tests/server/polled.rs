//! What no webhook tells of: comments of repositories whose webhooks do not reach the server, and artifacts; told once, by
//! whoever sees them first.

use std::sync::Arc;

use serde_json::json;
use soopervisor::server::artifacts::Artifacts;
use soopervisor::server::comments::Comments;
use soopervisor::server::event::Source;
use soopervisor::server::file::File;
use soopervisor::server::forges::Forges;
use soopervisor::web::Reach;

use super::fake_forges::Dialect;
use super::fake_github::{Account, Artifact, Fault};
use super::forging::{self, REPO};
use super::gitlab::{NAME, Scene};

const HANDLER: &str = "  - {name: commands, on: comment, do: {command: {storage: 'local:/x'}}}\n";
const PUSHES: &str = "  - {name: pushes, on: push, do: {log: {text: x}}}\n";
/// Before anything here was written.
const BEGIN: &str = "2026-11-15T00:00:00Z";

fn comments(place: &super::Place, file: &Arc<File>) -> Comments {
    let forges = Forges::of(Arc::clone(file), Reach::default());
    Comments::of(place.database.clone(), Arc::clone(file), forges, Arc::default())
}

async fn begin(place: &super::Place, repo: &str, at: &str) {
    place.database.move_cursor(&format!("comments {repo}"), &json!({"since": at})).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn comments_are_read_where_a_handler_waits_for_them_and_told_as_a_webhook_would() {
    for dialect in [Dialect::GitLab, Dialect::Forgejo] {
        let scene = Scene::open(dialect).await;
        let file = scene.file(HANDLER);
        let reader = comments(&scene.place, &file);
        assert_eq!(reader.repos().count(), 1);
        assert_eq!(comments(&scene.place, &scene.file(PUSHES)).repos().count(), 0, "nobody waits for them there");
        scene.fake.state().write("ann", 7, "/soopervisor run", "2026-11-14T10:00:00Z");
        assert_eq!(reader.read(NAME).await.unwrap(), 0, "{dialect:?}: what was there before is not looked at");
        assert!(scene.fake.asked("/comments").is_empty() && scene.fake.asked("/events").is_empty());
        begin(&scene.place, NAME, BEGIN).await;
        scene.fake.state().write("ann", 7, "/soopervisor run", "2026-11-20T10:00:00Z");
        let edited = scene.fake.state().write("ann", 7, "/soopervisor cancel", "2026-11-20T11:00:00Z");
        for note in scene.fake.state().notes.iter_mut().filter(|note| note.id == edited) {
            note.updated = "2026-11-20T12:00:00Z".parse().unwrap();
        }
        assert_eq!(reader.read(NAME).await.unwrap(), 1, "{dialect:?}: the new one, and not the edited one");
        let event = scene.newest().await;
        assert_eq!((event.source, event.actor.as_deref()), (Source::Poll, Some("ann")), "{dialect:?}");
        let said = event.comment.as_ref().unwrap();
        assert_eq!((said.permission.as_deref(), said.command.as_deref()), (Some("write"), Some("run")), "{dialect:?}");
        assert!(
            event.commit().is_some()
                && event.pull.as_ref().is_some_and(|pull| pull.base_branch.as_deref() == Some("main"))
        );
        assert_eq!(reader.read(NAME).await.unwrap(), 0, "{dialect:?}: once");
        // What a webhook told of already is no second event, and the other way round.
        let by_hook = scene.says(&file, "ann", 7, "/soopervisor help", "2026-11-21T10:00:00Z").await;
        assert_eq!(by_hook.source, Source::Webhook);
        assert_eq!(reader.read(NAME).await.unwrap(), 0, "{dialect:?}");
        assert_eq!(scene.place.database.events(None, 50).await.unwrap().len(), 2, "{dialect:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forge_that_fails_is_read_from_the_same_place_another_time() {
    let scene = Scene::open(Dialect::Forgejo).await;
    let file = scene.file(HANDLER);
    let reader = comments(&scene.place, &file);
    begin(&scene.place, NAME, BEGIN).await;
    scene.fake.state().write("ann", 7, "/soopervisor run", "2026-11-20T10:00:00Z");
    scene.fake.state().troubles.push(("/collaborators/".to_owned(), 422));
    scene.fake.state().troubles.push(("/issues/comments".to_owned(), 403));
    assert!(reader.read(NAME).await.is_err());
    assert!(scene.place.database.events(None, 5).await.unwrap().is_empty());
    scene.fake.state().troubles.clear();
    assert_eq!(reader.read(NAME).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn github_is_asked_with_its_tag_and_says_nothing_twice() {
    let scene = forging::Scene::open().await;
    let file = scene.file(HANDLER);
    let reader = comments(&scene.place, &file);
    begin(&scene.place, REPO, BEGIN).await;
    let at = "2026-11-20T10:00:00Z".parse().unwrap();
    scene.fake.state().comment(REPO, 7, Account::User("ann".into()), "/soopervisor run", at);
    assert_eq!(reader.read(REPO).await.unwrap(), 1);
    let cursor = || async { scene.place.database.cursor(&format!("comments {REPO}")).await.unwrap().unwrap() };
    assert_eq!((&cursor().await["since"], &cursor().await["tag"]), (&json!("2026-11-20T10:00:00Z"), &json!(null)));
    // Now the list is asked for from there, and has a tag; after that nothing is sent.
    assert_eq!(reader.read(REPO).await.unwrap(), 0);
    let tag = cursor().await["tag"].clone();
    assert!(tag.is_string(), "{tag}");
    assert_eq!(reader.read(REPO).await.unwrap(), 0);
    assert_eq!(cursor().await["tag"], tag);
    assert_eq!(scene.fake.asked("/issues/comments?").len(), 3 + 1, "the last of the four asks who wrote what");
    let later = "2026-11-20T11:00:00Z".parse().unwrap();
    scene.fake.state().comment(REPO, 7, Account::User("ann".into()), "/soopervisor help", later);
    assert_eq!(reader.read(REPO).await.unwrap(), 1, "a tag hides nothing that is new");
}

const WAITS: &str = "  - {name: passes on, on: artifact, when: event.artifact.size > 0, do: {log: {text: x}}}\n";

fn artifact(scene: &forging::Scene, id: u64, at: &str) -> Artifact {
    let (repo, name, branch, sha) = (REPO.into(), format!("wheel-{id}"), "main".into(), scene.main.clone());
    Artifact { id, repo, name, created: at.parse().unwrap(), run: 41, branch, sha, fork: false, expired: false }
}

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_are_asked_for_where_a_handler_waits_for_them_and_told_once() {
    let scene = forging::Scene::open().await;
    let file = scene.file(WAITS);
    let reader = |file: &Arc<File>| {
        let forges = Forges::of(Arc::clone(file), Reach::default());
        Artifacts::of(scene.place.database.clone(), Arc::clone(file), forges, Arc::default())
    };
    assert_eq!(reader(&scene.file(PUSHES)).repos().count(), 0, "nobody waits for them there");
    let artifacts = reader(&file);
    assert_eq!(artifacts.repos().count(), 1);
    scene.fake.state().artifacts.push(artifact(&scene, 1, "2026-11-14T10:00:00Z"));
    assert_eq!(artifacts.read(REPO).await.unwrap(), 0, "what was there before is not looked at");
    assert!(scene.fake.asked("/actions/artifacts").is_empty());
    let cursor = json!({"begin": BEGIN, "since": BEGIN});
    scene.place.database.move_cursor(&format!("artifacts {REPO}"), &cursor).await.unwrap();

    // Over two pages, with a fork's and one that is gone among them.
    scene.fake.state().page = 2;
    scene.fake.state().going.push(41);
    for (id, hour) in [(2, 10), (3, 11), (4, 12), (5, 13)] {
        let mut made = artifact(&scene, id, &format!("2026-11-20T{hour}:00:00Z"));
        (made.fork, made.expired) = (id == 3, id == 4);
        scene.fake.state().artifacts.push(made);
    }
    scene.fake.trouble("/actions/runs/41", 1, Fault::Status(422));
    assert!(artifacts.read(REPO).await.is_err(), "another time, from the same place");
    assert_eq!(artifacts.read(REPO).await.unwrap(), 2);
    let events = scene.place.database.events(None, 50).await.unwrap();
    let events: Vec<_> = events.iter().map(|row| soopervisor::server::ledger::event(row, REPO).unwrap()).collect();
    let told: Vec<u64> = events.iter().filter_map(|event| Some(event.artifact.as_ref()?.id)).collect();
    assert_eq!((told.len(), told.contains(&2), told.contains(&5)), (2, true, true), "{told:?}");
    let first = &events[0];
    assert_eq!((first.branch(), first.commit().unwrap().as_str()), (Some("main"), scene.main.as_str()));
    assert_eq!((first.artifact.as_ref().unwrap().attempt, first.source), (1, Source::Poll));

    // Nothing is sent twice, and one that is listed late is not lost behind a newer one.
    let asked = scene.fake.asked("/actions/artifacts").len();
    assert_eq!(artifacts.read(REPO).await.unwrap(), 0);
    assert_eq!(scene.fake.asked("/actions/artifacts").len(), asked + 1, "its tag is enough");
    scene.fake.state().artifacts.push(artifact(&scene, 6, "2026-11-20T09:00:00Z"));
    assert_eq!(artifacts.read(REPO).await.unwrap(), 1);
    scene.fake.state().artifacts.push(artifact(&scene, 7, "2026-11-15T09:00:00Z"));
    assert_eq!(artifacts.read(REPO).await.unwrap(), 0, "what is far older was seen, or was not to be");
}
