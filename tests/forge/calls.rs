//! What there is to ask and to do; every answer and every body is held to GitHub's own description by the fake.

use std::collections::BTreeMap;

use serde_json::json;
use soopervisor::forge::{
    CheckConclusion, CheckRun, CheckState, CommitStatus, Forge, Permission, Reaction, StatusState,
};
use soopervisor::web::Fault;

use crate::fake_github::{Account, Fault as Trouble};
use crate::{REPO, Scene, at, repo};

#[tokio::test]
async fn a_pull_request_is_read_with_both_ends_as_they_are_now() {
    let scene = Scene::open().await;
    for forge in [scene.as_user("token-of-ann"), scene.as_workflow()] {
        let pull = forge.pull(&repo(), 7).await.unwrap();
        assert!(pull.open && !pull.is_fork());
        assert_eq!((pull.head.branch.as_str(), pull.head.commit.as_str()), ("feature/ü", scene.second.as_str()));
        assert_eq!((pull.base.branch.as_str(), pull.base.commit.as_str()), ("main", scene.first.as_str()));
        assert_eq!(forge.pull(&repo(), 8).await, Err(Fault::NotFound));
        assert_eq!(forge.repository(&repo()).await.unwrap().default_branch, "main");
    }
}

#[tokio::test]
async fn what_offers_a_commit_is_listed_with_its_branch_until_it_is_in_the_base() {
    let scene = Scene::open().await;
    scene.fake.push(scene.work.path(), REPO, "on-top", at("2026-11-02T11:00:00Z"));
    let (head_repo, base_branch) = (REPO.into(), "main".into());
    let pull =
        crate::fake_github::Pull { number: 9, head_repo, head_branch: "on-top".into(), base_branch, open: false };
    scene.fake.open_pull(REPO, pull);
    scene.fake.state().page = 1;
    for forge in [scene.as_user("token-of-ann"), scene.as_workflow()] {
        let listed = forge.pulls_of(&repo(), &scene.second.parse().unwrap()).await.unwrap();
        let told: Vec<_> =
            listed.iter().map(|pull| (pull.number, pull.open, pull.fork, pull.branch.as_str())).collect();
        assert_eq!(told, [(7, true, false, "feature/ü"), (9, false, false, "on-top")]);
        assert_eq!(listed[0].head.as_ref().unwrap().as_str(), scene.second);
        assert!(forge.pulls_of(&repo(), &scene.first.parse().unwrap()).await.unwrap().is_empty());
        assert_eq!(forge.pulls_of(&repo(), &"f".repeat(40).parse().unwrap()).await, Err(Fault::NotFound));
    }
}

#[tokio::test]
async fn a_fork_that_is_gone_is_a_fork() {
    let scene = Scene::open().await;
    scene.fake.repository("eve/churn");
    scene.fake.push(scene.work.path(), "eve/churn", "patch", at("2026-11-02T11:00:00Z"));
    let pull = crate::fake_github::Pull {
        number: 9,
        head_repo: "eve/churn".into(),
        head_branch: "patch".into(),
        base_branch: "main".into(),
        open: true,
    };
    scene.fake.open_pull(REPO, pull);
    let forge = scene.as_workflow();
    assert!(forge.pull(&repo(), 9).await.unwrap().is_fork());
    std::fs::remove_dir_all(scene.fake.bare("eve/churn")).unwrap();
    let pull = forge.pull(&repo(), 9).await.unwrap();
    assert!(pull.is_fork() && pull.head.repo.is_none());
    assert_eq!(pull.head.commit.as_str(), scene.second);
}

#[tokio::test]
async fn pushes_are_told_by_the_forges_clock_and_branches_with_odd_names_are_found() {
    let scene = Scene::open().await;
    let forge = scene.as_workflow();
    let pushes = forge.pushes(&repo(), "refs/heads/feature/ü").await.unwrap();
    assert_eq!(pushes.len(), 1);
    assert_eq!((pushes[0].at, pushes[0].before.clone()), (at("2026-11-02T10:00:00Z"), None));
    assert_eq!(pushes[0].after.as_ref().unwrap().as_str(), scene.second);
    scene.fake.state().silent.push(REPO.to_owned());
    assert_eq!(forge.pushes(&repo(), "refs/heads/main").await, Err(Fault::NotFound));
}

#[tokio::test]
async fn permissions_fold_roles_and_strangers_have_none_that_counts() {
    let scene = Scene::open().await;
    let forge = scene.as_workflow();
    for (user, permission) in [
        ("ann", Permission::Admin),
        ("mia", Permission::Write),
        ("max", Permission::Write),
        ("tim", Permission::Read),
        ("eve", Permission::Read),
        ("nobody", Permission::None),
        ("../../x", Permission::None),
    ] {
        assert_eq!(forge.permission(&repo(), user).await.unwrap(), permission, "{user}");
    }
}

#[tokio::test]
async fn comments_are_listed_over_all_pages_added_changed_and_reacted_to() {
    let scene = Scene::open().await;
    let forge = scene.as_workflow();
    {
        let mut state = scene.fake.state();
        state.page = 2;
        for number in 0..5 {
            let text = format!("comment {number}");
            state.comment(REPO, 7, Account::User("eve".into()), &text, at("2026-11-03T10:00:00Z"));
        }
    }
    let ours = forge.add_comment(&repo(), 7, "ours").await.unwrap();
    let all = forge.comments(&repo(), 7).await.unwrap();
    assert_eq!(all.len(), 6);
    assert_eq!(scene.fake.asked("/issues/7/comments?").len(), 3);
    let me = forge.me().await.unwrap();
    let found: Vec<_> = all.iter().filter(|comment| me.wrote(&comment.author)).collect();
    assert_eq!((found.len(), found[0].id, found[0].number), (1, ours.id, 7));
    assert_eq!(forge.edit_comment(&repo(), 7, ours.id, "changed").await.unwrap().body, "changed");
    assert_eq!(forge.edit_comment(&repo(), 7, 1, "x").await, Err(Fault::NotFound));
    for _ in 0..2 {
        forge.react(&repo(), 7, ours.id, Reaction::Eyes).await.unwrap();
    }
    assert_eq!(scene.fake.state().comments.last().unwrap().reactions.len(), 1);
    let put = forge.put_reaction(&repo(), 7, ours.id, Reaction::Eyes).await.unwrap();
    assert!(me.wrote(&put.author) && put.reaction == Some(Reaction::Eyes), "{put:?}");
    let later = forge.put_reaction(&repo(), 7, ours.id, Reaction::Rocket).await.unwrap();
    assert!(later.id > put.id, "{put:?}, {later:?}");
    assert_eq!(forge.reactions(&repo(), 7, ours.id).await.unwrap(), [put, later]);
    let since = forge.comments_since(&repo(), at("2026-11-03T10:00:01Z")).await.unwrap();
    assert_eq!(since.iter().map(|comment| comment.id).collect::<Vec<_>>(), [ours.id]);
}

#[tokio::test]
async fn a_comment_that_is_too_long_is_refused_with_githubs_words() {
    let scene = Scene::open().await;
    let fault = scene.as_workflow().add_comment(&repo(), 7, &"x".repeat(65_537)).await.unwrap_err();
    assert!(matches!(&fault, Fault::Refused { status: 422, words } if words.contains("too long")), "{fault:?}");
}

#[tokio::test]
async fn statuses_and_checks_arrive_and_checks_are_for_apps() {
    let scene = Scene::open().await;
    let commit = scene.second.parse().unwrap();
    let status = CommitStatus {
        state: StatusState::Pending,
        context: "soopervisor/sample".into(),
        description: "ü".repeat(200),
        target_url: Some("https://example.org/run".into()),
    };
    let check = |state| CheckRun {
        name: "soopervisor".into(),
        state,
        title: "t".into(),
        summary: "s".repeat(70_000),
        details_url: None,
    };
    let forge = scene.as_user("token-of-mia");
    forge.set_status(&repo(), &commit, &status).await.unwrap();
    let told = scene.fake.state().statuses[0].clone();
    assert_eq!(
        (told.1.as_str(), told.2["description"].as_str().unwrap().chars().count()),
        (scene.second.as_str(), 140)
    );
    assert!(matches!(forge.create_check(&repo(), &commit, &check(CheckState::Queued)).await, Err(Fault::Forbidden(_))));
    let forge = scene.as_workflow();
    let id = forge.create_check(&repo(), &commit, &check(CheckState::InProgress)).await.unwrap();
    forge.update_check(&repo(), id, &check(CheckState::Completed(CheckConclusion::Cancelled))).await.unwrap();
    let told = scene.fake.state().checks[&id].clone();
    let found = forge.checks(&repo(), &commit, "soopervisor").await.unwrap();
    assert_eq!((found[0].id, found[0].app.as_str(), found.len()), (id, "github-actions", 1));
    assert_eq!(forge.checks(&repo(), &commit, "other & one").await, Ok(Vec::new()));
    assert_eq!((told.len(), &told[1]["conclusion"]), (2, &json!("cancelled")));
}

#[tokio::test]
async fn files_commits_and_comparisons_are_read_at_a_reference() {
    let scene = Scene::open().await;
    let forge = scene.as_workflow();
    let read = async |path: &str, at: &str| forge.contents(&repo(), path, at).await.unwrap();
    assert_eq!(read("soopervisor.yaml", "main").await.unwrap(), b"sample: true\n");
    assert_eq!(read("no such.yaml", &scene.second).await, None);
    assert_eq!(forge.commit(&repo(), "feature/ü").await.unwrap().as_str(), scene.second);
    assert_eq!(forge.commit(&repo(), &scene.first[..12]).await.unwrap().as_str(), scene.first);
    assert_eq!(forge.commit(&repo(), "0123456").await, Err(Fault::NotFound));
    let compared = forge.compare(&repo(), "main", "feature/ü").await.unwrap();
    assert_eq!((compared.ahead, compared.behind), (1, 0));
}

#[tokio::test]
async fn workflows_are_started_and_labels_set() {
    let scene = Scene::open().await;
    let forge = scene.as_workflow();
    let inputs = BTreeMap::from([("soopervisor_id".to_owned(), "42".to_owned())]);
    assert!(forge.dispatch_workflow(&repo(), "build.yml", "main", &inputs).await.unwrap().is_some());
    forge.dispatch_event(&repo(), "trigger-action", None, &json!({"sha": scene.first})).await.unwrap();
    assert_eq!(scene.fake.state().dispatches.len(), 2);
    scene.fake.state().workflow_runs[0].conclusion = Some("failure");
    let of = async |event: &str| forge.workflow_runs(&repo(), event).await.unwrap();
    let (workflow, dispatch) = (of("workflow_dispatch").await, of("repository_dispatch").await);
    assert_eq!((workflow.len(), dispatch.len()), (1, 1));
    assert_eq!((workflow[0].path.as_str(), workflow[0].ended), (".github/workflows/build.yml", Some(false)));
    assert_eq!((dispatch[0].title.as_str(), dispatch[0].ended), ("trigger-action", None));
    assert_eq!(forge.workflow_run(&repo(), dispatch[0].id).await.as_ref(), Ok(&dispatch[0]));
    assert_eq!(forge.workflow_run(&repo(), 5).await, Err(Fault::NotFound));
    forge.add_labels(&repo(), 7, &["ready".to_owned()]).await.unwrap();
    assert_eq!(scene.fake.state().labels[&(REPO.to_owned(), 7)], ["ready"]);
    forge.remove_labels(&repo(), 7, &["ready".to_owned(), "never there".to_owned()]).await.unwrap();
    assert!(scene.fake.state().labels[&(REPO.to_owned(), 7)].is_empty());
    scene.fake.state().over.push(12);
    for run in [11, 12] {
        forge.cancel_run(&repo(), run).await.unwrap();
    }
    assert_eq!(scene.fake.state().cancelled, [11]);
}

#[tokio::test]
async fn what_would_be_a_second_thing_is_not_repeated_and_everything_else_is() {
    let scene = Scene::open().await;
    let forge = scene.as_workflow();
    scene.fake.trouble("POST /api/v3/repos/octo-org/churn/issues/7/comments", 1, Trouble::Cut);
    assert!(forge.add_comment(&repo(), 7, "x").await.unwrap_err().is_passing());
    assert_eq!(scene.fake.asked("POST /api/v3/repos/octo-org/churn/issues/7/comments").len(), 1);
    scene.fake.trouble("GET /api/v3/repos/octo-org/churn/pulls/7", 2, Trouble::Status(502));
    assert!(forge.pull(&repo(), 7).await.is_ok());
}

#[tokio::test]
async fn too_many_changes_are_held_back_for_as_long_as_github_says() {
    let scene = Scene::open().await;
    scene.fake.trouble("/statuses/", 1, Trouble::Secondary(1));
    let status =
        CommitStatus { state: StatusState::Success, context: "c".into(), description: String::new(), target_url: None };
    let begun = std::time::Instant::now();
    scene.as_workflow().set_status(&repo(), &scene.second.parse().unwrap(), &status).await.unwrap();
    assert!(begun.elapsed() >= std::time::Duration::from_secs(1));
    assert_eq!(scene.fake.state().statuses.len(), 1);
}
