//! Comments of repositories whose webhooks do not reach the server: told once, by whoever sees them first.

use std::sync::Arc;

use serde_json::json;
use soopervisor::server::comments::Comments;
use soopervisor::server::event::Source;
use soopervisor::server::file::File;
use soopervisor::server::forges::Forges;
use soopervisor::web::Reach;

use super::fake_forges::Dialect;
use super::fake_github::Account;
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
