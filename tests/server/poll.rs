//! Readings of real repositories, and what becomes of them.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use soopervisor::secret::Secret;
use soopervisor::server::file::{self, Commits, File};
use soopervisor::server::poll::fault::Fault;
use soopervisor::server::poll::reading::{Credential, Reader, Reading};
use soopervisor::server::poll::{Address, PollError, Watch, spawned};
use soopervisor::web::{Reach, client};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::git::{Forge, Manner};
use super::{Place, until};

fn reader() -> Reader {
    Reader::new(client(&Reach::default()).unwrap())
}

/// Nothing was read before it.
async fn first(reader: &Reader, url: &Url, who: Option<&Credential>) -> Result<Reading, Fault> {
    reader.read(None, url, who, &heads()).await.map(|reading| reading.expect("it is new"))
}

fn heads() -> Vec<String> {
    vec!["refs/heads/".to_owned(), "refs/tags/".to_owned()]
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_brings_heads_tags_and_the_default_branch_and_nothing_else() {
    let forge = Forge::start().await;
    let tip = forge.git(&["rev-parse", "HEAD"]);
    forge.git(&["tag", "-a", "v1", "-m", "one"]);
    forge.git(&["push", "-q", "origin", "v1", "HEAD:refs/pull/7/head"]);
    let reading = first(&reader(), &forge.url(), None).await.unwrap();
    assert_eq!(reading.refs.head.as_deref(), Some("refs/heads/main"));
    let refs: Vec<_> = reading.refs.heads.into_iter().collect();
    // The tag is an object of its own; what counts is the commit behind it.
    assert_eq!(refs, [("refs/heads/main".to_owned(), tip.clone()), ("refs/tags/v1".to_owned(), tip)]);
    assert_eq!(forge.seen(), [("POST /acme/churn.git/git-upload-pack".to_owned(), None)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_read_before_is_not_read_again_and_any_other_is() {
    let forge = Forge::start().await;
    let reader = reader();
    let again = async |last, prefixes: &[String]| reader.read(last, &forge.url(), None, prefixes).await.unwrap();
    let trace = again(None, &heads()).await.unwrap().trace;
    assert!(trace.is_some());
    assert_eq!(again(trace, &heads()).await, None);
    // The same answer to another question is another one.
    assert!(again(trace, &[heads(), heads()].concat()).await.is_some());
    forge.git(&["push", "-q", "origin", "HEAD:refs/heads/new"]);
    let reading = again(trace, &heads()).await.unwrap();
    assert!(reading.refs.heads.contains_key("refs/heads/new") && reading.trace != trace, "{reading:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_and_dumb_servers_are_read_by_a_second_way_that_is_remembered() {
    let forge = Forge::start().await;
    let tip = forge.git(&["rev-parse", "HEAD"]);
    forge.git(&["tag", "-a", "v1", "-m", "one"]);
    forge.git(&["push", "-q", "origin", "v1"]);
    let git = std::process::Command::new("git").arg("update-server-info").current_dir(forge.bare()).status().unwrap();
    assert!(git.success());
    for manner in [Manner { old: true, ..Manner::default() }, Manner { dumb: true, ..Manner::default() }] {
        forge.behave(manner.clone());
        let reader = reader();
        for _ in 0..2 {
            let reading = first(&reader, &forge.url(), None).await.unwrap();
            assert_eq!(reading.refs.heads.len(), 2, "{manner:?}");
            assert_eq!(reading.refs.heads["refs/tags/v1"], tip);
        }
        let ways: Vec<_> = forge.seen().iter().map(|(line, _)| line.split(' ').next().unwrap().to_owned()).collect();
        assert_eq!(ways, ["POST", "GET", "GET"], "{manner:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_repository_is_read_with_its_credential_which_stays_on_its_host() {
    let forge = Forge::start().await;
    let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode("x-access-token:s3cret"));
    forge.behave(Manner { password: Some(basic.clone()), ..Manner::default() });
    let who = Credential { user: "x-access-token".into(), password: Secret::new("token", b"s3cret".to_vec()).into() };
    assert!(!first(&reader(), &forge.url(), Some(&who)).await.unwrap().refs.heads.is_empty());
    let denied = first(&reader(), &forge.url(), None).await.unwrap_err();
    assert_eq!(denied, Fault::Denied(401));
    // It moves to another host, which must not learn the token.
    let other = Forge::start().await;
    forge.seen();
    let target = other.url().origin().ascii_serialization();
    forge.behave(Manner { moved: Some(target.clone()), ..Manner::default() });
    let reading = first(&reader(), &forge.url(), Some(&who)).await.unwrap();
    assert_eq!(reading.moved, Some(format!("{target}/acme/churn.git")));
    assert!(forge.seen().iter().all(|(_, shown)| *shown == Some(basic.clone())));
    let shown = other.seen();
    assert!(!shown.is_empty() && shown.iter().all(|(_, shown)| shown.is_none()), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_told_apart_and_hold_no_address() {
    let forge = Forge::start().await;
    let read = async |manner: Manner| {
        forge.behave(manner);
        first(&reader(), &forge.url(), None).await.unwrap_err()
    };
    let refuses = |status, after| Manner { refuses: Some((status, after)), ..Manner::default() };
    assert_eq!(read(refuses(404, None)).await, Fault::Denied(404));
    assert_eq!(read(refuses(403, None)).await, Fault::Denied(403));
    assert_eq!(read(refuses(429, Some(7))).await, Fault::Throttled(Some(Duration::from_secs(7))));
    assert_eq!(read(refuses(403, Some(60))).await, Fault::Throttled(Some(Duration::from_mins(1))));
    assert_eq!(read(refuses(500, None)).await, Fault::Server("HTTP 500".into()));
    assert!(matches!(read(Manner { cut: Some(60), ..Manner::default() }).await, Fault::Server(_)));
    let own = forge.url().origin().ascii_serialization();
    assert!(matches!(read(Manner { moved: Some(own), ..Manner::default() }).await, Fault::Server(_)), "a circle");
    let nobody: Url = "http://127.0.0.1:9/acme/churn.git".parse().unwrap();
    let fault = first(&reader(), &nobody, None).await.unwrap_err();
    assert!(matches!(fault, Fault::Network(_)));
    assert!(!fault.to_string().contains("churn"), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn git_itself_reads_folders_and_says_what_is_not_there() {
    let forge = Forge::start().await;
    let bare = forge.bare().display().to_string();
    let refs = spawned::read(&Address::Git(bare.clone(), None), &heads()).await.unwrap();
    assert_eq!((refs.head.as_deref(), refs.heads.len()), (Some("refs/heads/main"), 1));
    let missing = spawned::read(&Address::Git("/nowhere/at/all.git".into(), None), &heads()).await.unwrap_err();
    assert_eq!(missing, Fault::Denied(0));
    assert!(missing.to_string().starts_with("no access: "), "{missing}");
    assert!(Fault::Denied(403).to_string().starts_with("no access (HTTP 403): "));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_in_a_repository_is_told_once_each() {
    let (place, forge) = (Place::new().await, Forge::start().await);
    let (poller, watch) = (place.poller(), place.watch(Address::Http(forge.url(), None)).await);
    assert_eq!(poller.read(&watch, None).await.unwrap().events.len(), 0, "the first reading records");
    assert_eq!(poller.read(&watch, None).await.unwrap().events.len(), 0);
    let second = forge.commit("main", "second");
    forge.commit("feat/x", "third");
    forge.git(&["tag", "v1"]);
    forge.git(&["push", "-q", "origin", "v1"]);
    assert_eq!(poller.read(&watch, None).await.unwrap().events.len(), 3);
    assert_eq!(poller.read(&watch, None).await.unwrap().events.len(), 0);
    forge.git(&["push", "-q", "origin", ":feat/x"]);
    // Thrown away and made anew: a forced push.
    forge.git(&["checkout", "-q", "-B", "main", "main~1"]);
    let forced = forge.commit("main", "other");
    assert_eq!(poller.read(&watch, None).await.unwrap().events.len(), 2);
    forge.commit("feat/x", "back again");
    assert_eq!(poller.read(&watch, None).await.unwrap().events.len(), 1);
    let mut kinds = place.kinds().await;
    kinds.sort_unstable();
    assert_eq!(kinds, ["branch_created", "branch_created", "branch_deleted", "push", "push", "tag_created"]);
    let events = place.database.events(None, 20).await.unwrap();
    let pushes: Vec<_> = events.iter().filter(|event| event.new.kind == "push").collect();
    assert_eq!((pushes[0].new.old_sha.as_ref(), pushes[0].new.new_sha.as_ref()), (Some(&second), Some(&forced)));
    assert_eq!(pushes[0].new.payload["repo"], "acme/churn");
    let known = place.database.repo("acme/churn").await.unwrap();
    assert_eq!((known.head.as_deref(), known.failures), (Some("refs/heads/main"), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forgets_everything_is_not_believed_at_once_and_a_failed_reading_changes_nothing() {
    let (place, forge) = (Place::new().await, Forge::start().await);
    let (poller, watch) = (place.poller(), place.watch(Address::Http(forge.url(), None)).await);
    poller.read(&watch, None).await.unwrap();
    let known = place.database.refs(watch.repo).await.unwrap();
    forge.behave(Manner { forgetful: true, ..Manner::default() });
    assert!(matches!(poller.read(&watch, None).await, Err(PollError::Fault(Fault::Server(_)))));
    forge.behave(Manner { cut: Some(70), ..Manner::default() });
    assert!(poller.read(&watch, None).await.is_err());
    assert_eq!(place.database.refs(watch.repo).await.unwrap(), known);
    assert_eq!(place.database.repo("acme/churn").await.unwrap().failures, 2);
    forge.behave(Manner::default());
    assert_eq!(poller.read(&watch, None).await.unwrap().events.len(), 0);
    forge.behave(Manner { forgetful: true, ..Manner::default() });
    assert!(poller.read(&watch, None).await.is_err());
    // Twice in a row: it is so.
    assert_eq!(poller.read(&watch, None).await.unwrap().events.len(), 1);
    assert_eq!(place.kinds().await, ["branch_deleted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pollers_that_read_the_same_at_once_tell_it_once() {
    let (place, forge) = (Place::new().await, Forge::start().await);
    let watch = place.watch(Address::Http(forge.url(), None)).await;
    place.poller().read(&watch, None).await.unwrap();
    for round in 0..3 {
        forge.commit("main", &format!("round {round}"));
        let pollers: Vec<_> = (0..6)
            .map(|_| {
                let (poller, watch) = (place.poller(), watch.clone());
                tokio::spawn(async move { poller.read(&watch, None).await.unwrap().events.len() })
            })
            .collect();
        let mut told = 0;
        for poller in pollers {
            told += poller.await.unwrap();
        }
        assert_eq!(told, 1, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loop_reads_in_its_turn_is_woken_and_ends_when_it_is_told() {
    let (place, forge) = (Place::new().await, Forge::start().await);
    let (poller, watch) = (place.poller(), place.watch(Address::Http(forge.url(), None)).await);
    let (_watching, watches) = tokio::sync::watch::channel(vec![watch.clone()]);
    let stop = CancellationToken::new();
    let turning = tokio::spawn({
        let (poller, stop) = (poller.clone(), stop.clone());
        async move { poller.run(watches, stop).await }
    });
    until("the first reading", || async { place.database.repo("acme/churn").await.unwrap().read_at.is_some() }).await;
    forge.commit("main", "second");
    until("the push is told", || async { place.kinds().await == ["push"] }).await;
    stop.cancel();
    turning.await.unwrap();
    // An hour between readings: it is read at once when it is woken.
    let slow = std::sync::Arc::new(soopervisor::server::poll::Watch {
        every: Some(Duration::from_hours(1)),
        ..(*watch).clone()
    });
    let (_watching, watches) = tokio::sync::watch::channel(vec![slow]);
    let (poller, stop) = (place.poller(), CancellationToken::new());
    let turning = tokio::spawn({
        let (poller, stop) = (poller.clone(), stop.clone());
        async move { poller.run(watches, stop).await }
    });
    forge.commit("main", "third");
    poller.wake(watch.repo);
    until("it is woken", || async { place.kinds().await.len() == 2 }).await;
    stop.cancel();
    turning.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_each_commit_is_told_a_push_is_many_events_and_a_force_push_is_one() {
    let (place, forge) = (Place::new().await, Forge::start().await);
    let watch = place.watch(Address::Http(forge.url(), None)).await;
    let watch = Watch { commits: Commits::EachCommit, ..(*watch).clone() };
    let poller = place.poller().copying(place.folder.path().join("poller"));
    poller.read(&watch, None).await.unwrap();
    let commit = |text: &str| {
        forge.git(&["commit", "-q", "--allow-empty", "-m", text]);
        forge.git(&["rev-parse", "HEAD"])
    };
    let moves = || async {
        let mut events = place.database.events(None, 200).await.unwrap();
        events.reverse();
        events.into_iter().map(|event| (event.new.old_sha.unwrap(), event.new.new_sha.unwrap())).collect::<Vec<_>>()
    };
    let first = forge.git(&["rev-parse", "HEAD"]);
    let second = commit("second");
    // What a merge brings is told as the merge.
    forge.git(&["checkout", "-q", "-b", "side"]);
    commit("beside");
    forge.git(&["checkout", "-q", "main"]);
    forge.git(&["merge", "-q", "--no-ff", "-m", "merge", "side"]);
    let merge = forge.git(&["rev-parse", "HEAD"]);
    let fourth = commit("fourth");
    forge.git(&["push", "-q", "origin", "main"]);
    poller.read(&watch, None).await.unwrap();
    poller.read(&watch, None).await.unwrap();
    let mut expected = vec![(first.clone(), second.clone()), (second.clone(), merge.clone()), (merge, fourth.clone())];
    assert_eq!(moves().await, expected);

    forge.git(&["reset", "-q", "--hard", &first]);
    let other = commit("other");
    forge.git(&["push", "-q", "-f", "origin", "main"]);
    poller.read(&watch, None).await.unwrap();
    expected.push((fourth, other.clone()));
    assert_eq!(moves().await, expected);

    let many: Vec<String> = (0..25).map(|number| commit(&format!("number {number}"))).collect();
    forge.git(&["push", "-q", "origin", "main"]);
    poller.read(&watch, None).await.unwrap();
    let told = moves().await.split_off(expected.len());
    assert_eq!(told.len(), 20, "the newest twenty");
    assert_eq!(told[0], (other, many[5].clone()));
    assert!(told[1..].iter().zip(&many[5..]).all(|(step, from)| step.0 == *from));
    assert_eq!(told[19].1, many[24]);
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_cannot_be_fetched_are_told_by_a_later_reading() {
    let (place, forge) = (Place::new().await, Forge::start().await);
    let watch = place.watch(Address::Http(forge.url(), None)).await;
    let watch = Watch { commits: Commits::EachCommit, ..(*watch).clone() };
    let blocked = place.folder.path().join("blocked");
    std::fs::write(&blocked, "a file in the place of a folder").unwrap();
    let poller = place.poller().copying(blocked.clone());
    poller.read(&watch, None).await.unwrap();
    forge.commit("main", "second");
    forge.commit("main", "third");
    assert!(matches!(poller.read(&watch, None).await, Err(PollError::Fault(Fault::Server(_)))));
    assert_eq!(place.kinds().await, [""; 0]);
    std::fs::remove_file(&blocked).unwrap();
    poller.read(&watch, None).await.unwrap();
    assert_eq!(place.kinds().await, ["push", "push"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_already_when_it_is_first_asked_for_is_no_news() {
    let (place, forge) = (Place::new().await, Forge::start().await);
    forge.git(&["tag", "v1"]);
    forge.git(&["push", "-q", "origin", "v1", "HEAD:refs/heads/feat/old"]);
    let watch = place.watch(Address::Http(forge.url(), None)).await;
    let asks = |prefixes: &[&str]| {
        let prefixes = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
        Watch { prefixes, ..(*watch).clone() }
    };
    let (narrow, wide) = (asks(&["refs/heads/main"]), asks(&["refs/heads/main", "refs/heads/feat/", "refs/tags/v"]));
    let poller = place.poller();
    poller.read(&narrow, None).await.unwrap();
    poller.read(&wide, None).await.unwrap();
    poller.read(&wide, None).await.unwrap();
    assert_eq!(place.kinds().await, [""; 0], "what was there is known, and nothing was told");
    assert_eq!(place.database.refs(watch.repo).await.unwrap().len(), 3);
    // Another process knows what was asked for.
    forge.git(&["tag", "v2"]);
    forge.git(&["push", "-q", "origin", "v2", "HEAD:refs/heads/feat/new"]);
    place.poller().read(&wide, None).await.unwrap();
    assert_eq!(place.kinds().await, ["branch_created", "tag_created"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_a_push_threw_commits_away_is_found_out_where_a_handler_asks() {
    let (place, forge) = (Place::new().await, Forge::start().await);
    let watch = place.watch(Address::Http(forge.url(), None)).await;
    let copies = place.folder.path().join("poller");
    let poller = place.poller().copying(copies.clone());
    let file = |more: &str| -> Arc<File> {
        let text = format!("repos: []\nhandlers:\n  - {{name: x, on: push, {more}}}\n");
        let (file, found) = file::parse("server.yaml", text.as_bytes());
        Arc::new(file.unwrap_or_else(|| panic!("{found:?}")))
    };
    poller.read(&watch, None).await.unwrap();
    poller.go_by(Some(&file("when: 'event.branch == \"main\"', do: {log: {text: x}}")));
    forge.commit("main", "second");
    poller.read(&watch, None).await.unwrap();
    assert!(!copies.exists(), "nothing is fetched where nobody asks");
    let mut expected = vec![false];
    for asks in ["when: not event.forced, do: {log: {text: x}}", "do: {log: {text: '{{ event.forced }}'}}"] {
        poller.go_by(Some(&file(asks)));
        forge.commit("main", &format!("on top, {asks}"));
        poller.read(&watch, None).await.unwrap();
        forge.git(&["reset", "-q", "--hard", "HEAD~1"]);
        forge.commit("main", &format!("in its place, {asks}"));
        poller.read(&watch, None).await.unwrap();
        expected.extend([false, true]);
    }
    // Back to what it was.
    forge.git(&["reset", "-q", "--hard", "HEAD~1"]);
    forge.git(&["push", "-q", "-f", "origin", "main"]);
    poller.read(&watch, None).await.unwrap();
    expected.push(true);
    let mut events = place.database.events(None, 50).await.unwrap();
    events.reverse();
    let forced: Vec<_> = events.iter().map(|event| event.new.payload["forced"] == true).collect();
    assert_eq!(forced, expected);
}
