//! `/soopervisor …` in a comment, from the delivery to the run and back, on GitLab and Forgejo: who may, which commit, with how
//! much trust, and what its author is told. The rules are those of the Action, whose own table is in tests/gha.

use std::sync::Arc;

use serde_json::{Value, json};
use soopervisor::server::comments::Comments;
use soopervisor::server::event::Event;
use soopervisor::server::file::File;
use soopervisor::server::forges::Forges;
use soopervisor::server::handler::{Memory, Plan, Report, State, execute};
use soopervisor::server::ledger;
use soopervisor::store::database::{Database, Ended, QueueLimits, Run, RunFilter, RunState};
use soopervisor::web::Reach;

use super::fake_forges::{Dialect, sha};
use super::fake_github::Account;
use super::forging::{self, REPO};
use super::gitlab::{NAME, Scene};
use super::until;

const HANDLER: &str = "  - {name: commands, on: comment, do: {command: {storage: 'local:/x'}}}\n";
const LATER: &str = "2026-11-20T10:00:00Z";
const EARLIER: &str = "2026-11-09T09:00:00Z";
const BOTH: [Dialect; 2] = [Dialect::GitLab, Dialect::Forgejo];

async fn obey(scene: &Scene, file: &Arc<File>, event: &Event) -> (Report, Value) {
    let journal = Memory::default();
    let plan = Plan { handler: &file.handlers[0], event };
    let report = execute(&plan, &file.notify, &scene.doing(file), &journal).await.unwrap();
    let all = journal.all();
    let Some(soopervisor::server::handler::Recall::Finished(outcome)) = all.values().next() else { panic!("{all:?}") };
    (report, outcome.result.clone())
}

async fn all_runs(database: &Database) -> Vec<Run> {
    database.runs(&RunFilter::default()).await.unwrap()
}

async fn runs(scene: &Scene) -> Vec<Run> {
    all_runs(&scene.place.database).await
}

/// A worker takes what waits, and it ends so.
async fn work(database: &Database, state: RunState) -> Run {
    until("something is queued", || async { all_runs(database).await.iter().any(|run| run.state == RunState::Queued) })
        .await;
    let claim = database.claim("w", QueueLimits::default()).await.unwrap().unwrap();
    let ended = Ended { state, exit_code: 0, summary: "it said @all `x`".to_owned() };
    database.finish(claim.run.id, claim.epoch, &ended).await.unwrap();
    claim.run
}

/// What a comment came to while a worker was there, if something was queued for it.
async fn answered(scene: &Scene, file: &Arc<File>, event: &Event, state: RunState) -> (Report, Value, Run) {
    let (played, run) = tokio::join!(obey(scene, file, event), work(&scene.place.database, state));
    (played.0, played.1, run)
}

fn own_answers(scene: &Scene) -> Vec<String> {
    let said = scene.fake.state().said_by("robo");
    said.iter().map(|body| body.split_once('\n').unwrap().1.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_maintainers_run_is_queued_reported_in_place_and_reacted_to() {
    for dialect in BOTH {
        let scene = Scene::open(dialect).await;
        let file = scene.file(HANDLER);
        let event = scene.says(&file, "ann", 7, "/soopervisor run", LATER).await;
        let id = event.comment.as_ref().unwrap().id;
        assert_eq!(event.commit().unwrap().as_str(), sha('b'), "{dialect:?}");
        scene.place.database.event_by_key(&event.key()).await.unwrap();
        let (report, result, run) = answered(&scene, &file, &event, RunState::Succeeded).await;
        assert_eq!(report.state, State::Succeeded, "{dialect:?}: {report:?}");
        assert_eq!((run.new.sha.as_str(), run.new.mode.as_str()), (sha('b').as_str(), "full"), "{dialect:?}");
        let request = &run.new.request;
        assert_eq!(
            (&request["settings"], &request["storage"]),
            (&json!("sample: true\n"), &json!("local:/x")),
            "the base's"
        );
        assert_eq!((&request["fork"], &result["command"]), (&Value::Null, &json!("run")), "{dialect:?}");
        assert_eq!(scene.fake.state().faces_of(id), ["eyes", "rocket"], "{dialect:?}");
        let said = own_answers(&scene);
        assert_eq!(said.len(), 1, "{dialect:?}: {said:?}");
        assert!(said[0].contains("[run 1](https://ci.example/runs/1)") && said[0].contains("succeeded"), "{said:?}");
        let states: Vec<Value> =
            scene.fake.state().statuses.iter().map(|(_, status)| status["state"].clone()).collect();
        assert_eq!(states, ["pending", "success"], "{dialect:?}");
        // The same comment, read again after a crash, is the same run.
        let (again, _) = obey(&scene, &file, &event).await;
        assert_eq!((again.state, runs(&scene).await.len()), (State::Succeeded, 1), "{dialect:?}");
        // What comes next is told in the same comment, and a failure in words that nobody is called by.
        let event = scene.says(&file, "ann", 7, "/soopervisor run sample", LATER).await;
        let (report, _, run) = answered(&scene, &file, &event, RunState::Failed).await;
        assert_eq!((report.state, run.new.mode.as_str()), (State::Failed, "sample"), "{dialect:?}");
        assert_eq!(scene.fake.state().faces_of(event.comment.unwrap().id), ["eyes", "confused"], "{dialect:?}");
        let said = own_answers(&scene);
        assert!(said.len() == 1 && said[0].contains("failed") && !said[0].contains("@all"), "{dialect:?}: {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_push_and_what_came_after_the_comment_is_refused() {
    for dialect in BOTH {
        let scene = Scene::open(dialect).await;
        let file = scene.file(HANDLER);
        let named = format!("/soopervisor run {}", sha('b'));
        let foreign = format!("/soopervisor run {}", sha('a'));
        let short = format!("/soopervisor run {}", &sha('b')[..10]);
        for (login, body, at, words) in [
            ("eve", "/soopervisor run", LATER, None),
            ("tim", &*named, LATER, None),
            ("ann", "/soopervisor run", EARLIER, Some("was pushed after the comment")),
            ("ann", &*foreign, LATER, Some("is no commit of this pull request")),
            ("ann", &*short, LATER, Some("by its full id")),
            ("ann", "/soopervisor deploy", LATER, Some("no command of mine")),
        ] {
            let before = own_answers(&scene).len();
            let event = scene.says(&file, login, 7, body, at).await;
            let (report, result) = obey(&scene, &file, &event).await;
            assert_eq!(report.state, State::Succeeded, "{dialect:?}: {login}: {body}: {report:?}");
            assert_eq!((&result["command"], runs(&scene).await.len()), (&Value::Null, 0), "{dialect:?}: {body}");
            let faces = scene.fake.state().faces_of(event.comment.as_ref().unwrap().id).join(" ");
            let thumb = if dialect == Dialect::GitLab { "thumbsdown" } else { "-1" };
            assert_eq!(faces, thumb, "{dialect:?}: {body}");
            let said = own_answers(&scene);
            match words {
                Some(words) => assert!(said.last().unwrap().contains(words), "{dialect:?}: {body}: {said:?}"),
                None => assert_eq!(said.len(), before, "{dialect:?}: a stranger is told nothing: {said:?}"),
            }
        }
        // Named in full, it does not matter when it came.
        let event = scene.says(&file, "ann", 7, &named, EARLIER).await;
        let (report, ..) = answered(&scene, &file, &event, RunState::Succeeded).await;
        assert_eq!(report.state, State::Succeeded, "{dialect:?}");
        // A plain sentence is nothing.
        let event = scene.says(&file, "ann", 7, "looks good", LATER).await;
        let (_, result) = obey(&scene, &file, &event).await;
        assert_eq!(result["command"], Value::Null);
        assert!(scene.fake.state().faces_of(event.comment.unwrap().id).is_empty(), "{dialect:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forks_commit_is_a_strangers_unless_a_maintainer_vouches_for_it_by_its_full_id() {
    for dialect in BOTH {
        let scene = Scene::open(dialect).await;
        let file = scene.file(HANDLER);
        let event = scene.says(&file, "ann", 8, "/soopervisor run", LATER).await;
        let (_, _, run) = answered(&scene, &file, &event, RunState::Succeeded).await;
        assert_eq!(run.new.sha, sha('c'), "{dialect:?}");
        assert_eq!(
            (&run.new.request["fork"], &run.new.request["project"]),
            (&json!(true), &json!("churn-forks")),
            "{dialect:?}"
        );
        let vouched = format!("/soopervisor run trust={}", sha('c'));
        let event = scene.says(&file, "ann", 8, &vouched, LATER).await;
        assert!(event.comment.as_ref().unwrap().vouched, "{dialect:?}");
        let (_, _, run) = answered(&scene, &file, &event, RunState::Succeeded).await;
        assert_eq!(run.new.request["fork"], Value::Null, "{dialect:?}");
        assert_eq!(run.new.request["settings"], "sample: true\n", "the base's, all the same");
        let event = scene.says(&file, "eve", 8, &vouched, LATER).await;
        assert!(!event.comment.as_ref().unwrap().vouched, "{dialect:?}: a stranger vouches for nothing");
        assert_eq!(event.commit(), None, "{dialect:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_place_was_taken_is_an_error_of_its_commit_and_no_success() {
    for dialect in BOTH {
        let scene = Scene::open(dialect).await;
        let file = scene.file(HANDLER);
        let event = scene.says(&file, "ann", 7, "/soopervisor run", LATER).await;
        let later = async {
            until("it is queued", || async { runs(&scene).await.len() == 1 }).await;
            let mut other = runs(&scene).await.remove(0).new;
            (other.key, other.supersede) = ("a push".to_owned(), true);
            scene.place.database.enqueue(&other).await.unwrap();
        };
        let ((report, result), ()) = tokio::join!(obey(&scene, &file, &event), later);
        assert_eq!(
            (report.state, &result["status"]),
            (State::Cancelled, &json!("superseded")),
            "{dialect:?}: {report:?}"
        );
        assert_eq!(report.error.as_deref(), Some("superseded by run 2"), "{dialect:?}");
        assert_eq!(scene.fake.state().faces_of(event.comment.unwrap().id), ["eyes", "confused"], "{dialect:?}");
        let last = scene.fake.state().statuses.last().unwrap().1.clone();
        let state = if dialect == Dialect::GitLab { "failed" } else { "error" };
        assert_eq!((&last["state"], &last["description"]), (&json!(state), &json!("superseded by run 2")), "{last}");
        assert!(own_answers(&scene)[0].contains("asked for: superseded by run 2."), "{:?}", own_answers(&scene));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_was_interrupted_is_about_its_own_run_whatever_runs_by_now() {
    let scene = Scene::open(Dialect::Forgejo).await;
    let file = scene.file(HANDLER);
    let event = scene.says(&file, "ann", 7, "/soopervisor run", LATER).await;
    answered(&scene, &file, &event, RunState::Succeeded).await;
    // The server dies before it notes how the command went, and meanwhile another one goes on.
    let mut other = runs(&scene).await.remove(0).new;
    other.key = "another command".to_owned();
    scene.place.database.enqueue(&other).await.unwrap();
    let (report, result) = obey(&scene, &file, &event).await;
    assert_eq!((report.state, &result["id"]), (State::Succeeded, &json!("1")), "{report:?} {result}");
    assert!(!own_answers(&scene).iter().any(|said| said.contains("Nothing was run")), "{:?}", own_answers(&scene));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_run_goes_on_at_a_time_and_cancel_and_help_are_answered() {
    for dialect in BOTH {
        let scene = Scene::open(dialect).await;
        let file = scene.file(HANDLER);
        let first = scene.says(&file, "ann", 7, "/soopervisor run", LATER).await;
        let playing = async { obey(&scene, &file, &first).await };
        let meanwhile = async {
            until("it is queued", || async { runs(&scene).await.len() == 1 }).await;
            let second = scene.says(&file, "ann", 7, "/soopervisor run", LATER).await;
            obey(&scene, &file, &second).await;
            assert_eq!(runs(&scene).await.len(), 1, "{dialect:?}");
            assert!(
                own_answers(&scene).iter().any(|said| said.contains("goes on; `/soopervisor cancel`")),
                "{dialect:?}"
            );
            let cancel = scene.says(&file, "ann", 7, "/soopervisor cancel", LATER).await;
            let (_, result) = obey(&scene, &file, &cancel).await;
            assert_eq!(result["command"], "cancel");
            cancel
        };
        let ((report, _), cancel) = Box::pin(async { tokio::join!(playing, meanwhile) }).await;
        let ends = (report.state, runs(&scene).await[0].state);
        assert_eq!(ends, (State::Cancelled, RunState::Cancelled), "{dialect:?}");
        let thumb = if dialect == Dialect::GitLab { "thumbsup" } else { "+1" };
        assert_eq!(scene.fake.state().faces_of(cancel.comment.unwrap().id), [thumb], "{dialect:?}");
        assert!(own_answers(&scene).iter().any(|said| said.starts_with("Asked to stop: [run 1](")), "{dialect:?}");
        let again = scene.says(&file, "ann", 7, "/soopervisor cancel", LATER).await;
        obey(&scene, &file, &again).await;
        assert!(own_answers(&scene).iter().any(|said| said == "There is nothing to cancel."), "{dialect:?}");
        let help = scene.says(&file, "ann", 7, "/soopervisor help", LATER).await;
        let (_, result) = obey(&scene, &file, &help).await;
        assert_eq!(result["command"], "help");
        assert!(own_answers(&scene).iter().any(|said| said.contains("trust=SHA")), "{dialect:?}");
        let row = ledger::row(&help, None).unwrap();
        assert!(row.key.starts_with(&format!("comment {NAME} ")), "{}", row.key);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_github_a_command_is_done_as_everywhere_and_a_stranger_gets_a_face_and_no_words() {
    let scene = forging::Scene::open().await;
    let (file, database) = (scene.file(HANDLER), &scene.place.database);
    let forges = Forges::of(Arc::clone(&file), Reach::default());
    let reader = Comments::of(database.clone(), Arc::clone(&file), forges, Arc::default());
    database.move_cursor(&format!("comments {REPO}"), &json!({"since": "2026-11-15T00:00:00Z"})).await.unwrap();
    let says = async |login: &str, body: &str, at: &str| {
        scene.fake.state().comment(REPO, 7, Account::User(login.into()), body, at.parse().unwrap());
        assert_eq!(reader.read(REPO).await.unwrap(), 1, "{login}: {body}");
        ledger::event(&database.events(None, 1).await.unwrap().remove(0), REPO).unwrap()
    };
    let play = async |event: &Event| {
        let plan = Plan { handler: &file.handlers[0], event };
        execute(&plan, &file.notify, &scene.doing(&file), &Memory::default()).await.unwrap()
    };
    let faces = |id: u64| {
        let state = scene.fake.state();
        let found = state.comments.iter().find(|comment| comment.id == id).unwrap();
        found.reactions.iter().map(|(_, face)| face.clone()).collect::<Vec<_>>()
    };
    let event = says("ann", "/soopervisor run", "2026-11-20T10:00:00Z").await;
    let (report, run) = tokio::join!(play(&event), work(database, RunState::Succeeded));
    assert_eq!((report.state, run.new.sha), (State::Succeeded, scene.head.clone()));
    assert_eq!(faces(event.comment.unwrap().id), ["eyes", "rocket"]);
    let event = says("eve", "/soopervisor run", "2026-11-20T11:00:00Z").await;
    assert_eq!(play(&event).await.state, State::Succeeded);
    assert_eq!(faces(event.comment.unwrap().id), ["-1"]);
    let ours = scene.fake.state().comments.iter().filter(|comment| comment.body.contains("<!-- soopervisor")).count();
    assert_eq!((ours, all_runs(database).await.len()), (1, 1), "one comment for the run, none for a stranger");
}

#[tokio::test(flavor = "multi_thread")]
async fn comments_count_from_the_time_that_the_forge_has_when_they_are_first_read() {
    for hours in [-1, 1] {
        let scene = forging::Scene::open().await;
        let (file, database) = (scene.file(HANDLER), &scene.place.database);
        scene.fake.state().ahead = jiff::SignedDuration::from_hours(hours);
        let now = || scene.fake.state().now();
        let says = |at| scene.fake.state().comment(REPO, 7, Account::User("ann".into()), "/soopervisor help", at);
        says(now() - jiff::SignedDuration::from_mins(5));
        let forges = Forges::of(Arc::clone(&file), Reach::default());
        let reader = Comments::of(database.clone(), Arc::clone(&file), forges, Arc::default());
        assert_eq!(reader.read(REPO).await.unwrap(), 0, "where it begins");
        assert_eq!(reader.read(REPO).await.unwrap(), 0, "what was there before is of nobody: {hours}");
        says(now());
        assert_eq!(reader.read(REPO).await.unwrap(), 1, "{hours}");
    }
}
