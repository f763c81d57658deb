//! Random histories of a repository, read late, twice, out of order and by two at once, come to the same: every tip that
//! was read is told once, and what is known in the end is what is there.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

mod histories;

/// What the store does with changes, without a database: a change counts if the ref is still as it was known.
#[derive(Default)]
struct Ledger {
    refs: BTreeMap<String, KnownRef>,
    events: Vec<NewEvent>,
    keys: BTreeSet<String>,
}

impl Ledger {
    fn known(&self) -> Vec<KnownRef> {
        self.refs.values().cloned().collect()
    }

    fn apply(&mut self, changes: Vec<(RefChange, Option<NewEvent>)>) {
        // What follows a step that came too late comes too late, whatever its number.
        let mut late: Option<String> = None;
        for (change, event) in changes {
            let now = self.refs.get(&change.name);
            let is_known = now.map(|now| now.serial) == change.before.as_ref().map(|before| before.serial);
            if !is_known || late.as_ref() == Some(&change.name) {
                late = Some(change.name);
                continue;
            }
            let (serial, generation) = now.map_or((1, 1), |now| {
                (now.serial + 1, now.generation + i64::from(now.deleted && change.after.is_some()))
            });
            let sha = change.after.clone().unwrap_or_else(|| now.map(|now| now.sha.clone()).unwrap_or_default());
            let deleted = change.after.is_none();
            let known = KnownRef { name: change.name.clone(), sha, generation, serial, deleted };
            self.refs.insert(change.name, known);
            if let Some(event) = event.filter(|event| self.keys.insert(event.key.clone())) {
                self.events.push(event);
            }
        }
    }
}

fn repo(first: bool) -> Repo {
    Repo {
        id: 1,
        url: "https://git.example/acme/churn.git".to_owned(),
        name: "acme/churn".to_owned(),
        settings: serde_json::Value::Null,
        active: true,
        first_seen: (!first).then_some(1),
        read_at: None,
        changed_at: None,
        hook_at: None,
        head: None,
        failures: 0,
        fault: None,
        asked: None,
        moved: None,
    }
}

fn sha(number: u8) -> String {
    format!("{number:040x}")
}

fn prefixes() -> Vec<String> {
    vec!["refs/heads/".to_owned(), "refs/tags/".to_owned()]
}

fn seen(refs: &[(&str, u8)]) -> Refs {
    let heads = refs.iter().map(|(name, number)| ((*name).to_owned(), sha(*number))).collect();
    Refs { heads, head: Some("refs/heads/main".to_owned()) }
}

fn told(
    repo: &Repo,
    known: &[KnownRef],
    seen: &Refs,
    prefixes: &[String],
    first_seen: FirstSeen,
) -> Vec<(RefChange, Option<NewEvent>)> {
    let (between, forced, paths) = (Between::new(), Forced::new(), Paths::new());
    let told = Told { repo, prefixes, first_seen, hint: None, between: &between, forced: &forced, paths: &paths };
    told.changes(known, seen, Timestamp::UNIX_EPOCH)
}

fn read(ledger: &Ledger, refs: &Refs, first: bool) -> Vec<(RefChange, Option<NewEvent>)> {
    told(&repo(first), &ledger.known(), refs, &prefixes(), FirstSeen::Record)
}

fn kinds(ledger: &Ledger) -> Vec<&str> {
    ledger.events.iter().map(|event| event.kind.as_str()).collect()
}

#[test]
fn the_first_reading_records_and_tells_nothing() {
    let mut ledger = Ledger::default();
    let refs = seen(&[("refs/heads/main", 1), ("refs/heads/dev", 2)]);
    let all = read(&ledger, &refs, true);
    assert_eq!(all.len(), 2);
    ledger.apply(all);
    assert_eq!(kinds(&ledger), [""; 0]);
    let all = told(&repo(true), &[], &refs, &prefixes(), FirstSeen::TellDefaultBranch);
    let told: Vec<_> = all.iter().filter_map(|(change, event)| event.as_ref().map(|_| change.name.as_str())).collect();
    assert_eq!(told, ["refs/heads/main"]);
}

#[test]
fn each_situation_is_told_as_what_it_is() {
    let mut ledger = Ledger::default();
    let steps: [&[(&str, u8)]; 6] = [
        &[("refs/heads/main", 1)],
        &[("refs/heads/main", 2), ("refs/heads/feat", 5), ("refs/tags/v1", 2)],
        // The tag moves, the branch is gone.
        &[("refs/heads/main", 2), ("refs/tags/v1", 1)],
        // It is there again with the commit of before, and main goes back.
        &[("refs/heads/main", 1), ("refs/heads/feat", 5), ("refs/tags/v1", 1)],
        &[("refs/heads/main", 2), ("refs/heads/feat", 5)],
        &[("refs/heads/main", 2), ("refs/heads/feat", 5)],
    ];
    for (number, refs) in steps.into_iter().enumerate() {
        let all = read(&ledger, &seen(refs), number == 0);
        ledger.apply(all);
    }
    let expected = [
        "branch_created", // feat
        "push",
        "tag_created",
        "branch_deleted",
        "tag_moved",
        "branch_created",
        "push", // back
        "tag_deleted",
        "push", // and forth: the same move as before, told again
    ];
    let mut sorted = kinds(&ledger);
    let mut wanted = expected.to_vec();
    sorted.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(sorted, wanted);
    assert_eq!(ledger.refs["refs/heads/feat"].generation, 2);
    assert!(ledger.refs["refs/tags/v1"].deleted);
}

#[test]
fn what_was_not_asked_for_is_not_gone_and_other_refs_are_not_told() {
    let mut ledger = Ledger::default();
    ledger.apply(read(&ledger, &seen(&[("refs/heads/main", 1), ("refs/tags/v1", 1)]), true));
    let only = ["refs/heads/main".to_owned()];
    let all = told(&repo(false), &ledger.known(), &seen(&[]), &only, FirstSeen::Record);
    assert_eq!(all.iter().map(|(change, _)| change.name.as_str()).collect::<Vec<_>>(), ["refs/heads/main"]);
    assert!(is_suspicious(&ledger.known(), &seen(&[])));
    assert!(!is_suspicious(&[], &seen(&[])));
    let notes = ["refs/".to_owned()];
    let refs = seen(&[("refs/heads/main", 1), ("refs/tags/v1", 1), ("refs/pull/7/head", 9)]);
    let all = told(&repo(false), &ledger.known(), &refs, &notes, FirstSeen::Record);
    assert_eq!(
        all.iter().map(|(change, event)| (change.name.as_str(), event.is_some())).collect::<Vec<_>>(),
        [("refs/pull/7/head", false)]
    );
}

/// One thing that happens: the repository changes, a reading begins, or one that began is written.
#[derive(Debug, Clone)]
enum Happening {
    Set(usize, u8),
    Delete(usize),
    Begin,
    Write(usize),
    WriteTwice(usize),
}

const NAMES: [&str; 4] = ["refs/heads/main", "refs/heads/a", "refs/heads/b", "refs/tags/t"];

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => (0..NAMES.len(), 0_u8..6).prop_map(|(name, sha)| Happening::Set(name, sha)),
        1 => (0..NAMES.len()).prop_map(Happening::Delete),
        3 => Just(Happening::Begin),
        3 => (0_usize..4).prop_map(Happening::Write),
        1 => (0_usize..4).prop_map(Happening::WriteTwice),
    ]
}

proptest! {
    #[test]
    fn histories_with_missed_late_doubled_and_reordered_readings_are_told_once(
        happenings in proptest::collection::vec(happening(), 0..60)
    ) {
        let mut world: BTreeMap<String, String> = BTreeMap::new();
        let mut ledger = Ledger::default();
        let mut open: Vec<Vec<(RefChange, Option<NewEvent>)>> = Vec::new();
        let look = |world: &BTreeMap<String, String>, ledger: &Ledger| {
            read(ledger, &Refs { heads: world.clone(), head: None }, false)
        };
        for happening in happenings {
            match happening {
                Happening::Set(name, number) => { world.insert(NAMES[name].to_owned(), sha(number)); }
                Happening::Delete(name) => { world.remove(NAMES[name]); }
                Happening::Begin => open.push(look(&world, &ledger)),
                Happening::Write(place) if place < open.len() => { let all = open.remove(place); ledger.apply(all); }
                Happening::WriteTwice(place) if place < open.len() => {
                    let all = open.remove(place);
                    ledger.apply(all.clone());
                    ledger.apply(all);
                }
                _ => {}
            }
        }
        // What is still open comes too late or not; two more readings see what is there.
        open.into_iter().rev().for_each(|all| ledger.apply(all));
        for _ in 0..2 {
            let all = look(&world, &ledger);
            ledger.apply(all);
        }
        prop_assert!(look(&world, &ledger).is_empty());
        let there: BTreeMap<_, _> = ledger.refs.values().filter(|known| !known.deleted)
            .map(|known| (known.name.clone(), known.sha.clone())).collect();
        prop_assert_eq!(&there, &world);
        // Of each ref the events are a chain without a gap: each begins where the one before ended.
        for name in NAMES {
            let mut at: Option<String> = None;
            for event in ledger.events.iter().filter(|event| event.reference.as_deref() == Some(name)) {
                prop_assert_eq!(&event.old_sha, &at);
                prop_assert_ne!(&event.new_sha, &at, "a change that is none was told");
                at.clone_from(&event.new_sha);
            }
            prop_assert_eq!(at.as_ref(), world.get(name));
        }
    }
}

#[test]
fn deliveries_tell_of_pushes_that_a_later_one_has_covered() {
    let mut ledger = Ledger::default();
    ledger.apply(read(&ledger, &seen(&[("refs/heads/main", 1)]), true));
    let commit = |number: u8| sha(number).parse::<CommitSha>().unwrap();
    let hint = |before: String, after: u8| Hint {
        reference: "refs/heads/main".to_owned(),
        after: Some(commit(after)),
        behind: None,
        forced: false,
        actor: None,
        message: None,
        paths: None,
        delivery: "d".to_owned(),
        payload: serde_json::json!({"before": before}),
    };
    let told = |hint: &Hint, tip: u8| {
        let refs = seen(&[("refs/heads/main", tip)]);
        pushes(hint, &ledger.known(), &refs.heads, &BTreeSet::new()).remove("refs/heads/main").unwrap_or_default()
    };
    assert_eq!(told(&hint(sha(1), 2), 3), [sha(2)]);
    assert_eq!(told(&hint(sha(2), 3), 4), [sha(2), sha(3)], "one that came before the delivery of the first");
    assert_eq!(told(&hint(sha(2), 3), 3), [sha(2)]);
    for (before, after, tip) in [(sha(1), 2, 2), (sha(1), 2, 1), ("0".repeat(40), 2, 2), ("x".to_owned(), 2, 2)] {
        assert_eq!(told(&hint(before.clone(), after), tip), [""; 0], "{before} {after} {tip}");
    }
    // What was told before comes late, unless it goes on from where the branch is.
    for (before, told, expected) in
        [(1, vec![2], vec![sha(2)]), (4, vec![4, 2], vec![]), (4, vec![4], vec![sha(2)]), (4, vec![2], vec![sha(4)])]
    {
        let (refs, told) = (seen(&[("refs/heads/main", 3)]), told.into_iter().map(sha).collect::<BTreeSet<_>>());
        let found = pushes(&hint(sha(before), 2), &ledger.known(), &refs.heads, &told);
        assert_eq!(found.into_values().next().unwrap_or_default(), expected, "{before} {told:?}");
    }
    let between = Between::from([("refs/heads/main".to_owned(), vec![sha(2), sha(3)])]);
    let refs = seen(&[("refs/heads/main", 4), ("refs/heads/new", 9)]);
    let all = Told {
        repo: &repo(false),
        prefixes: &prefixes(),
        first_seen: FirstSeen::Record,
        hint: None,
        between: &between,
        forced: &Forced::new(),
        paths: &Paths::new(),
    };
    let all = all.changes(&ledger.known(), &refs, Timestamp::UNIX_EPOCH);
    ledger.apply(all);
    assert_eq!(kinds(&ledger), ["push", "push", "push", "branch_created"]);
    assert_eq!(ledger.known()[0].sha, sha(4));
}

/// A repository whose last reading asked for these.
fn asked(prefixes: &[&str]) -> Repo {
    Repo { asked: Some(prefixes.iter().map(|prefix| (*prefix).to_owned()).collect()), ..repo(false) }
}

/// Names and whether they are told.
fn names(told: &[(RefChange, Option<NewEvent>)]) -> Vec<(&str, bool)> {
    told.iter().map(|(change, event)| (change.name.as_str(), event.is_some())).collect()
}

#[test]
fn what_nobody_asked_for_before_is_recorded_and_what_comes_then_is_told() {
    let mut ledger = Ledger::default();
    ledger.apply(read(&ledger, &seen(&[("refs/heads/main", 1)]), true));
    let wide: Vec<String> = ["refs/heads/main", "refs/heads/feat/", "refs/tags/v"].map(str::to_owned).into();
    let there = [("refs/heads/main", 2), ("refs/heads/feat/a", 5), ("refs/tags/v1", 1), ("refs/tags/x", 1)];
    let all = told(&asked(&["refs/heads/main"]), &ledger.known(), &seen(&there), &wide, FirstSeen::Record);
    assert_eq!(
        names(&all),
        [("refs/heads/feat/a", false), ("refs/heads/main", true), ("refs/tags/v1", false)],
        "a push to what was asked for is a push all the same"
    );
    ledger.apply(all);
    let repo = asked(&["refs/heads/main", "refs/heads/feat/", "refs/tags/v"]);
    let mut later = there.to_vec();
    later.extend([("refs/heads/feat/b", 6), ("refs/tags/v2", 2)]);
    let all = told(&repo, &ledger.known(), &seen(&later), &wide, FirstSeen::Record);
    assert_eq!(names(&all), [("refs/heads/feat/b", true), ("refs/tags/v2", true)]);
    ledger.apply(all);
    // Nobody looked for a while: what went on meanwhile is known afterwards, and not told, gone ones included.
    let all = told(
        &asked(&["refs/heads/main"]),
        &ledger.known(),
        &seen(&[("refs/heads/main", 2), ("refs/heads/feat/a", 9), ("refs/tags/v1", 1), ("refs/tags/v2", 2)]),
        &wide,
        FirstSeen::Record,
    );
    assert_eq!(names(&all), [("refs/heads/feat/b", false), ("refs/heads/feat/a", false)]);
    let repo_of_before = self::repo(false);
    // Of a database from before, nobody knows what was asked for: it is as if it had been all.
    let all = told(&repo_of_before, &[], &seen(&[("refs/tags/v1", 1)]), &wide, FirstSeen::Record);
    assert_eq!(names(&all), [("refs/tags/v1", true)]);
}

#[test]
fn what_a_webhook_just_told_of_is_told_whoever_asked_before() {
    let (repo, wide) = (asked(&["refs/heads/"]), prefixes());
    let hint = Hint {
        reference: "refs/tags/v2".to_owned(),
        after: Some(sha(2).parse().unwrap()),
        payload: serde_json::json!({}),
        ..Hint::default()
    };
    let (between, forced) = (Between::new(), Forced::new());
    let told = Told {
        repo: &repo,
        prefixes: &wide,
        first_seen: FirstSeen::Record,
        hint: Some(&hint),
        between: &between,
        forced: &forced,
        paths: &Paths::new(),
    };
    let all = told.changes(&[], &seen(&[("refs/tags/v1", 1), ("refs/tags/v2", 2)]), Timestamp::UNIX_EPOCH);
    assert_eq!(names(&all), [("refs/tags/v1", false), ("refs/tags/v2", true)]);
}

#[test]
fn what_a_webhook_says_of_an_annotated_tag_goes_with_the_commit_that_it_stands_for() {
    let mut ledger = Ledger::default();
    let hint = |before: u8, after: u8, behind: u8| Hint {
        reference: "refs/tags/v1".to_owned(),
        after: sha(after).parse().ok(),
        behind: sha(behind).parse().ok(),
        actor: Some("ada".to_owned()),
        payload: serde_json::json!({"before": sha(before)}),
        ..Hint::default()
    };
    let look = |ledger: &Ledger, hint: &Hint, commit: u8| {
        let (known, refs) = (ledger.known(), seen(&[("refs/tags/v1", commit)]));
        let told = Told {
            repo: &repo(false),
            prefixes: &prefixes(),
            first_seen: FirstSeen::Record,
            hint: Some(hint),
            between: &pushes(hint, &known, &refs.heads, &BTreeSet::new()),
            forced: &Forced::new(),
            paths: &Paths::new(),
        };
        told.changes(&known, &refs, Timestamp::UNIX_EPOCH)
    };
    // The tag itself is 8, then 9; it stands for 1, then for 2.
    ledger.apply(look(&ledger, &hint(0, 8, 1), 1));
    ledger.apply(look(&ledger, &hint(8, 9, 2), 2));
    let told: Vec<_> = ledger.events.iter().map(|event| (event.new_sha.clone(), event.source.clone())).collect();
    assert_eq!(told, [1, 2].map(|commit| (Some(sha(commit)), Source::Webhook.name().to_owned())));
    assert!(ledger.events.iter().all(|event| event.payload["actor"] == "ada"), "{:?}", ledger.events);
    // One that says of another commit is not believed.
    assert!(look(&ledger, &hint(9, 7, 4), 3)[0].1.as_ref().is_some_and(|event| event.payload["actor"].is_null()));
}

#[test]
fn a_move_that_threw_commits_away_is_told_as_one() {
    let mut ledger = Ledger::default();
    ledger.apply(read(&ledger, &seen(&[("refs/heads/a", 1), ("refs/heads/b", 1)]), true));
    let forced = Forced::from([(sha(1), sha(2))]);
    let told = Told {
        repo: &repo(false),
        prefixes: &prefixes(),
        first_seen: FirstSeen::Record,
        hint: None,
        between: &Between::new(),
        forced: &forced,
        paths: &Paths::new(),
    };
    let refs = seen(&[("refs/heads/a", 2), ("refs/heads/b", 3), ("refs/heads/c", 2)]);
    let all = told.changes(&ledger.known(), &refs, Timestamp::UNIX_EPOCH);
    let said = |(_, event): &(RefChange, Option<NewEvent>)| event.as_ref().unwrap().payload["forced"] == true;
    assert_eq!(all.iter().map(said).collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn what_changed_is_what_a_whole_list_says_or_else_what_the_commits_say() {
    let mut ledger = Ledger::default();
    ledger.apply(read(&ledger, &seen(&[("refs/heads/main", 1), ("refs/heads/other", 1)]), true));
    let refs = seen(&[("refs/heads/main", 3), ("refs/heads/other", 3)]);
    let main = || "refs/heads/main".to_owned();
    let hint = |before: u8, paths: Option<&str>| Hint {
        reference: main(),
        after: sha(3).parse().ok(),
        paths: paths.map(|path| vec![path.to_owned()]),
        payload: serde_json::json!({"before": sha(before)}),
        ..Hint::default()
    };
    // What was asked of the commits, and what a webhook says of `main`: is it asked, what is told, and is there a doubt.
    let look = |paths: &Paths, hint: &Hint| {
        let told = Told {
            repo: &repo(false),
            prefixes: &prefixes(),
            first_seen: FirstSeen::Record,
            hint: Some(hint),
            between: &Between::new(),
            forced: &Forced::new(),
            paths,
        };
        let asked: Vec<String> = told.unlisted(&ledger.known(), &refs).into_iter().map(|change| change.name).collect();
        let all = told.changes(&ledger.known(), &refs, Timestamp::UNIX_EPOCH);
        let event = all.into_iter().find(|(change, _)| change.name == main()).unwrap().1.unwrap();
        (asked.contains(&main()), event.payload.get("paths").cloned(), event.doubt)
    };
    let step = (main(), Some(sha(1)), sha(3));
    let of_commits = Paths::from([(step.clone(), Ok(vec!["commits".to_owned()]))]);
    let list = |path: &str| Some(serde_json::json!([path]));
    assert_eq!(look(&of_commits, &hint(1, Some("hook"))), (false, list("hook"), None));
    assert_eq!(look(&of_commits, &hint(2, Some("hook"))), (true, list("commits"), None), "it began elsewhere");
    assert_eq!(look(&of_commits, &hint(1, None)), (true, list("commits"), None), "its list is not whole");
    assert_eq!(look(&Paths::new(), &hint(1, None)), (true, None, None), "nobody asked");
    let why = Paths::from([(step, Err("the host is away".to_owned()))]);
    let doubt = "which paths changed is not known: the host is away".to_owned();
    assert_eq!(look(&why, &hint(1, None)), (true, None, Some(doubt)));
}
