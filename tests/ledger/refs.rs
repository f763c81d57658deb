//! What the database promises of refs besides their changes: what was told of one, and that nothing is begun for a branch
//! that is gone.

use soopervisor::store::database::RefChange;

use super::promises::{push, sha};
use super::{NewRun, Place, RunState, new_run, repo};

pub(crate) async fn a_run_of_a_branch_that_is_gone_is_cancelled_when_it_is_put_in_line(place: &Place) {
    let database = &place.database;
    let id = repo(database).await;
    let point = async |name: &str, after: Option<&str>| {
        let before = database.refs(id).await.unwrap().into_iter().find(|known| known.name == name);
        let change = RefChange { name: name.to_owned(), before, after: after.map(str::to_owned) };
        assert_eq!(database.apply(id, None, None, &[(change, None)]).await.unwrap().late, 0);
    };
    let asked = async |key: &str, name: &str| {
        let new = NewRun { reference: Some(name.to_owned()), ..new_run(id, key) };
        let run = database.enqueue(&new).await.unwrap().id;
        let run = database.run(run).await.unwrap();
        (run.state, run.summary)
    };
    let (main, tag, commit) = ("refs/heads/main", "refs/tags/v1", "a".repeat(40));
    let waits = (RunState::Queued, None::<String>);
    let cancelled = (RunState::Cancelled, Some("its branch is gone".to_owned()));
    assert_eq!(asked("unread", main).await, waits);
    point(main, Some(&commit)).await;
    point(tag, Some(&commit)).await;
    assert_eq!(asked("there", main).await, waits);
    point(main, None).await;
    point(tag, None).await;
    assert_eq!(asked("late", main).await, cancelled);
    assert_eq!(asked("tag", tag).await, waits, "what has a name for good is not given up with it");
    // Told twice, it is the same one; and nobody claims it.
    assert_eq!(asked("late", main).await, cancelled);
    point(main, Some(&commit)).await;
    assert_eq!(asked("back", main).await, waits);
    // What waits when its branch goes says the same.
    assert_eq!(database.cancel_lane(&new_run(id, "any").lane).await.unwrap(), 4);
    let first = database.run(1).await.unwrap();
    assert_eq!((first.state, first.summary), cancelled);
}

pub(crate) async fn what_was_told_of_a_ref_is_known_by_its_events(place: &Place) {
    let database = &place.database;
    let id = repo(database).await;
    database.tell(&push(id, "one")).await.unwrap();
    let told = async |name: &str, commits: [char; 2]| {
        let commits = commits.map(|digit| Some(sha(digit)));
        database.told_of(id, name, commits).await.unwrap().into_iter().collect::<Vec<_>>()
    };
    assert_eq!(told("refs/heads/main", ['a', 'c']).await, [sha('a')], "where it was before is known, too");
    assert_eq!(told("refs/heads/main", ['b', 'a']).await, [sha('a'), sha('b')]);
    assert_eq!(told("refs/heads/dev", ['a', 'b']).await, [""; 0]);
    assert!(database.told_of(id, "refs/heads/main", [None, None]).await.unwrap().is_empty());
}
