//! GitLab and Gitea: every call against a server in small, also while it misbehaves, and a client of others as the judge of
//! the one whose description is not here.

use std::collections::BTreeMap;

use serde_json::json;
use soopervisor::forge::gitea::Gitea;
use soopervisor::forge::gitlab::GitLab;
use soopervisor::forge::{CheckRun, CheckState, CommitStatus, Forge, Kind, Permission, Reaction, RepoId, StatusState};
use soopervisor::id::CommitSha;
use soopervisor::secret::Secret;
use soopervisor::web::{Fault, Reach};

use crate::at;
use crate::fake_forges::judges::told_by;
use crate::fake_forges::{Dialect, FLAT, FakeForge, GROUPED, TRIGGER, sha};

fn client(fake: &FakeForge, token: &str) -> (Box<dyn Forge>, RepoId) {
    let secret = Secret::new("token", token.into());
    match fake.dialect {
        Dialect::GitLab => {
            let client = GitLab::open(&fake.api(), secret, &Reach::default()).unwrap();
            (Box::new(client), Kind::GitLab.repo(GROUPED).unwrap())
        }
        Dialect::Forgejo => {
            let client = Gitea::open(&fake.api(), secret, &Reach::default()).unwrap();
            (Box::new(client), Kind::Gitea.repo(FLAT).unwrap())
        }
    }
}

fn commit(letter: char) -> CommitSha {
    sha(letter).parse().unwrap()
}

const BOTH: [Dialect; 2] = [Dialect::GitLab, Dialect::Forgejo];

#[tokio::test]
async fn repositories_pull_requests_and_commits_are_told_alike() {
    for dialect in BOTH {
        let fake = FakeForge::start(dialect).await;
        let (forge, repo) = client(&fake, "token-of-robo");
        assert_eq!(forge.repository(&repo).await.unwrap().default_branch, "main", "{dialect:?}");
        let own = forge.pull(&repo, 7).await.unwrap();
        assert_eq!((own.head.commit.clone(), own.base.commit.clone()), (commit('b'), commit('a')), "{dialect:?}");
        assert_eq!((own.open, own.is_fork(), own.base.branch.as_str()), (true, false, "main"), "{dialect:?}");
        let foreign = forge.pull(&repo, 8).await.unwrap();
        assert!(foreign.is_fork(), "{dialect:?}");
        assert_eq!(foreign.head.repo.unwrap().to_string(), "eve/churn", "{dialect:?}");
        assert_eq!(forge.pull(&repo, 99).await, Err(Fault::NotFound), "{dialect:?}");
        assert_eq!(forge.commit(&repo, "topic").await, Ok(commit('b')), "{dialect:?}");
        assert_eq!(forge.commit(&repo, "gone/ü").await, Err(Fault::NotFound), "{dialect:?}");
        let compared = forge.compare(&repo, "main", &sha('c')).await.unwrap();
        assert_eq!((compared.ahead, compared.behind), (2, 0), "{dialect:?}");
        let back = forge.compare(&repo, &sha('c'), "main").await.unwrap();
        assert_eq!((back.ahead, back.behind), (0, 2), "{dialect:?}");
        let settings = forge.contents(&repo, "soopervisor.yaml", "main").await.unwrap();
        assert_eq!(settings.as_deref(), Some(&b"sample: true\n"[..]), "{dialect:?}");
        assert_eq!(forge.contents(&repo, "no such", "main").await, Ok(None), "{dialect:?}");
    }
}

#[tokio::test]
async fn what_offers_a_commit_is_listed_with_its_branch() {
    for dialect in BOTH {
        let fake = FakeForge::start(dialect).await;
        // Each list has more than one page.
        fake.state().most_entries = 1;
        let (forge, repo) = client(&fake, "token-of-robo");
        let listed = forge.pulls_of(&repo, &commit('b')).await.unwrap();
        let told: Vec<_> =
            listed.iter().map(|pull| (pull.number, pull.open, pull.fork, pull.branch.as_str())).collect();
        // The second is made on the first.
        assert_eq!(told, [(7, true, false, "topic"), (8, true, true, "patch")], "{dialect:?}");
        assert_eq!((&listed[0].head, &listed[1].head), (&Some(commit('b')), &Some(commit('c'))), "{dialect:?}");
        fake.state().merges.get_mut(&7).unwrap().open = false;
        let open = forge.pulls_of(&repo, &commit('c')).await.unwrap();
        let open: Vec<_> = open.iter().filter(|pull| pull.open).map(|pull| pull.number).collect();
        assert_eq!(open, [8], "{dialect:?}");
    }
}

#[tokio::test]
async fn who_may_push_is_asked_of_the_forge_and_a_stranger_may_nothing() {
    for dialect in BOTH {
        let fake = FakeForge::start(dialect).await;
        let (forge, repo) = client(&fake, "token-of-robo");
        for (login, permission) in [
            ("robo", Permission::Admin),
            ("ann", Permission::Write),
            ("ANN", Permission::Write),
            ("tim", Permission::Read),
            ("eve", Permission::None),
            ("nobody", Permission::None),
        ] {
            assert_eq!(forge.permission(&repo, login).await, Ok(permission), "{dialect:?}: {login}");
        }
        let (stranger, _) = client(&fake, "token-of-nobody");
        assert!(matches!(stranger.me().await, Err(Fault::Login(_))), "{dialect:?}");
    }
    // Gitea tells only administrators what others may.
    let fake = FakeForge::start(Dialect::Forgejo).await;
    let (forge, repo) = client(&fake, "token-of-ann");
    assert!(matches!(forge.permission(&repo, "tim").await, Err(Fault::Forbidden(_))));
}

#[tokio::test]
async fn since_when_a_head_is_there_is_told_by_the_forges_clock_and_by_nobody_who_writes_comments() {
    for dialect in BOTH {
        let fake = FakeForge::start(dialect).await;
        let (forge, repo) = client(&fake, "token-of-robo");
        let pull = forge.pull(&repo, 7).await.unwrap();
        assert_eq!(forge.heads(&repo, &pull).await, Ok(vec![(commit('b'), at("2026-11-10T10:00:00Z"))]), "{dialect:?}");
        let forged = json!({"is_force_push": false, "commit_ids": [sha('c')]}).to_string();
        fake.state().write("eve", 7, &forged, "2026-11-01T10:00:00Z");
        fake.state().most_entries = 1;
        let later = (sha('c'), at("2026-11-12T10:00:00Z"));
        if let Some(merge) = fake.state().merges.get_mut(&7) {
            merge.head.clone_from(&later.0);
            merge.heads.push(later);
        }
        let pull = forge.pull(&repo, 7).await.unwrap();
        let heads = forge.heads(&repo, &pull).await.unwrap();
        let of = |letter| heads.iter().filter(|head| head.0 == commit(letter)).map(|head| head.1).collect::<Vec<_>>();
        assert_eq!(of('c'), [at("2026-11-12T10:00:00Z")], "{dialect:?}");
        assert_eq!(of('b'), [at("2026-11-10T10:00:00Z")], "{dialect:?}");
    }
}

#[tokio::test]
async fn a_push_behind_pages_that_gitea_counts_short_or_leaves_empty_is_found() {
    let fake = FakeForge::start(Dialect::Forgejo).await;
    let (forge, repo) = client(&fake, "token-of-robo");
    for day in 0..60 {
        fake.state().write("ann", 7, &format!("remark {day}"), "2026-11-11T10:00:00Z");
    }
    // A review with many lines: a page in the middle holds nothing else.
    fake.state().code_comments = 90;
    let later = (sha('c'), at("2026-11-12T10:00:00Z"));
    if let Some(merge) = fake.state().merges.get_mut(&7) {
        merge.head.clone_from(&later.0);
        merge.heads.push(later);
    }
    let pull = forge.pull(&repo, 7).await.unwrap();
    let heads = forge.heads(&repo, &pull).await.unwrap();
    assert!(heads.contains(&(commit('c'), at("2026-11-12T10:00:00Z"))), "{heads:?}");
    let pages = fake.asked("/timeline").len();
    assert_eq!(pages, 7, "four with entries or in between, and three that are empty");
}

#[tokio::test]
async fn comments_are_listed_over_all_pages_changed_reacted_to_and_ours_are_known() {
    for dialect in BOTH {
        let fake = FakeForge::start(dialect).await;
        let (forge, repo) = client(&fake, "token-of-robo");
        for day in 1..=5 {
            fake.state().write("ann", 7, &format!("on day {day}"), &format!("2026-11-0{day}T10:00:00Z"));
        }
        fake.state().most_entries = 2;
        let ours = forge.add_comment(&repo, 7, "hello").await.unwrap();
        assert!(ours.is_on_pull() && ours.number == 7, "{dialect:?}: {ours:?}");
        let all = forge.comments(&repo, 7).await.unwrap();
        let bodies: Vec<&str> = all.iter().map(|comment| comment.body.as_str()).collect();
        let wanted = ["on day 1", "on day 2", "on day 3", "on day 4", "on day 5", "hello"];
        assert_eq!(bodies, wanted, "{dialect:?}");
        let me = forge.me().await.unwrap();
        assert_eq!(all.iter().filter(|comment| me.wrote(&comment.author)).count(), 1, "{dialect:?}");
        assert_eq!(forge.edit_comment(&repo, 7, ours.id, "changed").await.unwrap().body, "changed", "{dialect:?}");
        assert_eq!(forge.edit_comment(&repo, 7, 1, "x").await, Err(Fault::NotFound), "{dialect:?}");
        let since = forge.comments_since(&repo, at("2026-11-04T00:00:00Z")).await.unwrap();
        let bodies: Vec<&str> = since.iter().map(|comment| comment.body.as_str()).collect();
        assert_eq!(bodies, ["on day 4", "on day 5", "changed"], "{dialect:?}");
        for face in [Reaction::Eyes, Reaction::Eyes, Reaction::Rocket, Reaction::Confused, Reaction::PlusOne] {
            forge.react(&repo, 7, ours.id, face).await.unwrap();
        }
        assert_eq!(fake.state().faces_of(ours.id).len(), 4, "{dialect:?}: twice is once");
        assert_eq!(forge.react(&repo, 7, 1, Reaction::Eyes).await, Err(Fault::NotFound), "{dialect:?}");
        // Nobody knows whether it is there, so it is not sent again.
        fake.state().troubles.push((if dialect == Dialect::GitLab { "POST" } else { "POST /repos" }.to_owned(), 0));
        assert!(forge.add_comment(&repo, 7, "lost").await.unwrap_err().is_passing(), "{dialect:?}");
        assert_eq!(fake.state().said_by("robo"), ["changed", "lost"], "{dialect:?}");
    }
}

#[tokio::test]
async fn statuses_and_labels_are_set_and_set_again() {
    for dialect in BOTH {
        let fake = FakeForge::start(dialect).await;
        let (forge, repo) = client(&fake, "token-of-robo");
        let status = |state, words: &str| CommitStatus {
            state,
            context: "soopervisor/full".to_owned(),
            description: words.to_owned(),
            target_url: Some("https://ci.example/runs/7".to_owned()),
        };
        let states = [StatusState::Pending, StatusState::Pending, StatusState::Failure, StatusState::Success];
        for state in states {
            forge.set_status(&repo, &commit('b'), &status(state, &"x".repeat(300))).await.unwrap();
        }
        let statuses = fake.state().statuses.clone();
        let words: Vec<&str> = statuses.iter().filter_map(|(_, status)| status["state"].as_str()).collect();
        match dialect {
            Dialect::GitLab => assert_eq!(words, ["pending", "failed", "success"]),
            Dialect::Forgejo => assert_eq!(words, ["pending", "pending", "failure", "success"]),
        }
        assert_eq!(statuses[0].1["description"].as_str().unwrap().chars().count(), 255, "{dialect:?}");
        let unknown = forge.set_status(&repo, &commit('f'), &status(StatusState::Success, "x")).await;
        assert_eq!(unknown, Err(Fault::NotFound), "{dialect:?}");
        let labels = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        forge.add_labels(&repo, 7, &labels(&["bug", "tested"])).await.unwrap();
        forge.add_labels(&repo, 7, &labels(&["tested"])).await.unwrap();
        forge.remove_labels(&repo, 7, &labels(&["bug", "never there"])).await.unwrap();
        assert_eq!(fake.state().labels[&7], ["tested"], "{dialect:?}");
    }
}

#[tokio::test]
async fn a_pipeline_is_a_dispatched_event_and_a_workflow_is_started_by_its_file() {
    let fake = FakeForge::start(Dialect::GitLab).await;
    let (forge, repo) = client(&fake, "token-of-robo");
    let payload = json!({"commit": sha('a'), "n": 3});
    let run = forge.dispatch_event(&repo, "build-it", None, &payload).await.unwrap().unwrap();
    let started = fake.state().started[0].clone();
    assert_eq!((started.id, started.reference.as_str()), (run, "main"));
    let variables = json!([{"key": "SOOPERVISOR_EVENT", "value": "build-it"}, {"key": "commit", "value": sha('a')}, {"key": "n", "value": "3"}]);
    assert_eq!(started.what, variables);
    assert!(forge.dispatch_event(&repo, "build-it", Some("gone"), &payload).await.is_err());
    assert!(forge.dispatch_workflow(&repo, "build.yml", "main", &BTreeMap::new()).await.is_err());
    assert_eq!(forge.workflow_run(&repo, run).await.unwrap().ended, None);
    fake.state().started[0].status = "success".to_owned();
    assert_eq!(forge.workflow_runs(&repo, "repository_dispatch").await.unwrap()[0].ended, Some(true));

    // By a trigger token, whoever we are.
    let secret = |text: &str| Secret::new("token", text.into());
    let open = |trigger| {
        let client = GitLab::open(&fake.api(), secret("token-of-robo"), &Reach::default()).unwrap();
        client.triggering(Some(secret(trigger)))
    };
    let triggered = open(TRIGGER);
    let run = triggered.dispatch_event(&repo, "build-it", Some("main"), &payload).await.unwrap().unwrap();
    let started = fake.state().started.last().cloned().unwrap();
    assert_eq!(started.what, json!({"SOOPERVISOR_EVENT": "build-it", "commit": sha('a'), "n": "3"}));
    let runs = triggered.workflow_runs(&repo, "repository_dispatch").await.unwrap();
    assert_eq!(runs.iter().map(|run| run.id).collect::<Vec<_>>(), [run], "those that an account started are others");
    let revoked = open("glptt-of-before").dispatch_event(&repo, "build-it", Some("main"), &payload).await;
    assert_eq!(revoked, Err(Fault::NotFound));

    let fake = FakeForge::start(Dialect::Forgejo).await;
    let (forge, repo) = client(&fake, "token-of-robo");
    let inputs = BTreeMap::from([("commit".to_owned(), sha('a'))]);
    let run = forge.dispatch_workflow(&repo, "build.yml", "main", &inputs).await.unwrap().unwrap();
    assert!(forge.dispatch_event(&repo, "build-it", None, &payload).await.is_err());
    let runs = forge.workflow_runs(&repo, "workflow_dispatch").await.unwrap();
    assert_eq!((runs[0].id, runs[0].path.as_str(), runs[0].ended), (run, "build.yml", None));
    forge.cancel_run(&repo, run).await.unwrap();
    assert_eq!(forge.workflow_run(&repo, run).await.unwrap().ended, Some(false));
}

#[tokio::test]
async fn what_only_github_has_is_said_and_nothing_is_asked() {
    for dialect in BOTH {
        let fake = FakeForge::start(dialect).await;
        let (forge, repo) = client(&fake, "token-of-robo");
        let check = CheckRun {
            name: "x".to_owned(),
            state: CheckState::Queued,
            title: "t".to_owned(),
            summary: "s".to_owned(),
            details_url: None,
        };
        let refused = forge.create_check(&repo, &commit('a'), &check).await.unwrap_err();
        assert!(refused.to_string().contains("no check runs"), "{dialect:?}: {refused}");
        assert!(fake.asked("").is_empty(), "{dialect:?}");
    }
}

#[tokio::test]
async fn a_note_that_begins_like_a_command_gives_none() {
    let fake = FakeForge::start(Dialect::GitLab).await;
    let (forge, repo) = client(&fake, "token-of-robo");
    forge.add_comment(&repo, 7, "/merge\nfine\n/label ~bug").await.unwrap();
    assert!(fake.state().said_by("robo")[0].contains("/merge"));
}

#[tokio::test]
async fn a_server_that_fails_for_a_moment_is_asked_again() {
    for dialect in BOTH {
        let fake = FakeForge::start(dialect).await;
        let (forge, repo) = client(&fake, "token-of-robo");
        let own = if dialect == Dialect::GitLab { "GET /projects" } else { "GET /repos" };
        fake.state().troubles.push((own.to_owned(), 502));
        assert!(forge.repository(&repo).await.is_ok(), "{dialect:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_others_sees_the_same_gitlab_and_leaves_the_same_behind() {
    let fake = FakeForge::start(Dialect::GitLab).await;
    let server = fake.server();
    let theirs = tokio::task::spawn_blocking(move || told_by("python_gitlab.py", &server)).await.unwrap();
    let left = |fake: &FakeForge| {
        let state = fake.state();
        let statuses: Vec<_> =
            state.statuses.iter().map(|(of, status)| (of.clone(), status["state"].clone())).collect();
        format!("{statuses:?} {:?} {:?} {:?}", state.labels, state.said_by("robo"), state.faces.len())
    };
    let ours = FakeForge::start(Dialect::GitLab).await;
    ours.state().most_entries = 2;
    let (forge, repo) = client(&ours, "token-of-robo");
    let pull = forge.pull(&repo, 7).await.unwrap();
    assert_eq!(theirs["merge"], json!([7, "opened", pull.head.commit, pull.head.branch, pull.base.branch]));
    assert_eq!(theirs["base"], json!(pull.base.commit));
    assert_eq!(theirs["fork"], json!(forge.pull(&repo, 8).await.unwrap().head.repo.unwrap().to_string()));
    let heads = forge.heads(&repo, &pull).await.unwrap();
    assert_eq!(theirs["heads"], json!([[heads[0].0, heads[0].1.to_string()]]));
    assert_eq!(theirs["levels"], json!({"ann": 30, "tim": 20, "eve": 404}));
    assert_eq!(theirs["file"], "sample: true\n");
    let compared = forge.compare(&repo, "main", "topic").await.unwrap();
    assert_eq!(theirs["compared"], json!(compared.ahead));
    let first = forge.add_comment(&repo, 7, "first").await.unwrap();
    for body in ["second", "third"] {
        forge.add_comment(&repo, 7, body).await.unwrap();
    }
    forge.edit_comment(&repo, 7, first.id, "changed").await.unwrap();
    for _ in 0..2 {
        forge.react(&repo, 7, first.id, Reaction::Eyes).await.unwrap();
    }
    assert_eq!(theirs["twice"], 404, "what our client takes for `it is there already`");
    let notes: Vec<_> =
        forge.comments(&repo, 7).await.unwrap().into_iter().map(|c| json!([c.body, c.author.login, 7])).collect();
    assert_eq!(theirs["notes"], json!(notes));
    for state in [StatusState::Pending, StatusState::Success] {
        let (context, description) = ("ci".to_owned(), "it runs".to_owned());
        let status = CommitStatus { state, context, description, target_url: None };
        forge.set_status(&repo, &pull.head.commit, &status).await.unwrap();
    }
    forge.add_labels(&repo, 7, &["bug".to_owned(), "tested".to_owned()]).await.unwrap();
    forge.remove_labels(&repo, 7, &["bug".to_owned()]).await.unwrap();
    assert_eq!(theirs["labels"], json!(["tested"]));
    assert_eq!((&theirs["pipelines"], &theirs["cancelled"]), (&json!(["created"]), &json!("canceled")));
    assert_eq!(left(&ours), left(&fake));
}
