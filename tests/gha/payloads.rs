//! Events as GitHub sends them: its own samples, and those that are not among them, made from them and held to its
//! description of webhooks.

use serde_json::{Value, json};
use soopervisor::gha::Event;

use crate::fake_github::{fixture, judge_webhook};

/// One of GitHub's samples.
pub(crate) fn sample(name: &str) -> Value {
    fixture(&format!("events/{name}.json"))
}

fn read(name: &str, payload: &Value) -> Event {
    Event::read(name, payload.to_string().as_bytes(), "event.json").unwrap()
}

/// What is described today and missing in samples of some years ago, below a repository.
fn renew(repository: &mut Value) {
    for (name, value) in [
        ("has_discussions", json!(false)),
        ("is_template", json!(false)),
        ("topics", json!([])),
        ("visibility", json!("public")),
        ("web_commit_signoff_required", json!(false)),
        ("allow_forking", json!(true)),
        ("disabled", json!(false)),
        ("custom_properties", json!({})),
    ] {
        if repository.get(name).is_none() {
            repository[name] = value;
        }
    }
}

/// A comment on a pull request: none of GitHub's samples is one.
pub(crate) fn comment_on_pull(repo: &str, number: u64, author: &str, body: &str, created: &str) -> Value {
    let mut payload = sample("issue_comment-created");
    let url = format!("https://api.github.com/repos/{repo}/pulls/{number}");
    let html = format!("https://github.com/{repo}/pull/{number}");
    payload["issue"]["number"] = json!(number);
    payload["issue"]["state"] = json!("open");
    payload["issue"]["pull_request"] = json!({
        "url": url, "html_url": html, "diff_url": format!("{html}.diff"), "patch_url": format!("{html}.patch"), "merged_at": null,
    });
    payload["comment"]["body"] = json!(body);
    payload["comment"]["created_at"] = json!(created);
    payload["comment"]["updated_at"] = json!(created);
    for user in ["/comment/user/login", "/sender/login"] {
        *payload.pointer_mut(user).unwrap() = json!(author);
    }
    named(&mut payload["repository"], repo);
    payload
}

/// An ordinary push to a branch: none of GitHub's samples is one.
pub(crate) fn push_to_branch(repo: &str, branch: &str, before: &str, after: &str) -> Value {
    let mut payload = sample("push-branch-created");
    payload["ref"] = json!(format!("refs/heads/{branch}"));
    for (name, value) in [
        ("created", json!(false)),
        ("deleted", json!(false)),
        ("forced", json!(false)),
        ("before", json!(before)),
        ("after", json!(after)),
    ] {
        payload[name] = value;
    }
    named(&mut payload["repository"], repo);
    payload
}

/// A branch that somebody deleted.
pub(crate) fn branch_deleted(repo: &str, branch: &str, before: &str) -> Value {
    let mut payload = push_to_branch(repo, branch, before, &"0".repeat(40));
    payload["deleted"] = json!(true);
    payload["head_commit"] = Value::Null;
    payload["commits"] = json!([]);
    payload
}

/// A pull request that was opened, or got new commits.
pub(crate) fn pull(repo: &str, head_repo: &str, number: u64, action: &str, head: &str, base: &str) -> Value {
    let mut payload = sample(if action == "synchronize" { "pull_request-synchronize" } else { "pull_request-opened" });
    payload["action"] = json!(action);
    payload["number"] = json!(number);
    payload["pull_request"]["number"] = json!(number);
    payload["pull_request"]["head"]["sha"] = json!(head);
    payload["pull_request"]["base"]["ref"] = json!("main");
    payload["pull_request"]["base"]["sha"] = json!(base);
    named(&mut payload["pull_request"]["base"]["repo"], repo);
    named(&mut payload["pull_request"]["head"]["repo"], head_repo);
    named(&mut payload["repository"], repo);
    payload
}

fn named(repository: &mut Value, repo: &str) {
    let (owner, name) = repo.split_once('/').unwrap();
    repository["full_name"] = json!(repo);
    repository["name"] = json!(name);
    repository["owner"]["login"] = json!(owner);
}

#[test]
fn githubs_own_samples_are_understood() {
    assert!(
        matches!(read("issue_comment", &sample("issue_comment-created")), Event::Comment(c) if !c.on_pull && c.action == "created")
    );
    assert!(
        matches!(read("issue_comment", &sample("issue_comment-edited")), Event::Comment(c) if c.action == "edited")
    );
    assert!(
        matches!(read("issue_comment", &sample("issue_comment-deleted")), Event::Comment(c) if c.action == "deleted")
    );
    for action in ["opened", "synchronize", "closed", "labeled"] {
        let event = read("pull_request", &sample(&format!("pull_request-{action}")));
        assert!(matches!(&event, Event::Pull(pull) if pull.action == action && pull.head_repo.is_some()), "{event:?}");
    }
    assert!(matches!(read("push", &sample("push-branch-created")), Event::Push(push) if push.after.is_some()));
    assert!(matches!(read("push", &sample("push-tag-deleted")), Event::Push(push) if push.after.is_none()));
    assert!(
        matches!(read("push", &sample("push-tag-created")), Event::Push(push) if push.reference.starts_with("refs/tags/"))
    );
    assert!(matches!(read("workflow_dispatch", &sample("workflow_dispatch")), Event::Asked));
    assert_eq!(read("watch", &json!({})), Event::Other("watch".to_owned()));
}

#[test]
fn what_we_wrote_ourselves_is_as_github_describes_it() {
    let digits = |digit: &str| digit.repeat(40);
    let comment = comment_on_pull("octo-org/churn", 7, "ann", "/soopervisor run", "2026-11-02T12:00:00Z");
    let push = push_to_branch("octo-org/churn", "main", &digits("a"), &digits("b"));
    let opened = pull("octo-org/churn", "eve/churn", 7, "opened", &digits("c"), &digits("b"));
    let synchronize = pull("octo-org/churn", "octo-org/churn", 7, "synchronize", &digits("c"), &digits("b"));
    let forks = pull("octo-org/churn", "eve/churn", 7, "synchronize", &digits("d"), &digits("b"));
    let mut forced = push.clone();
    forced["forced"] = json!(true);
    let gone = branch_deleted("octo-org/churn", "topic", &digits("b"));
    for (name, mut payload) in [
        ("issue-comment-created", comment.clone()),
        ("push", push.clone()),
        ("pull-request-opened", opened.clone()),
        ("pull-request-synchronize", synchronize.clone()),
        ("push", forced.clone()),
        ("push", gone.clone()),
        ("pull-request-synchronize", forks.clone()),
    ] {
        renew(&mut payload["repository"]);
        for repository in ["/pull_request/head/repo", "/pull_request/base/repo"] {
            if let Some(repository) = payload.pointer_mut(repository) {
                renew(repository);
            }
        }
        let wrong = judge_webhook(name, &payload);
        assert!(wrong.is_empty(), "{name}: {}", wrong.join("\n"));
    }
    let Event::Comment(read_comment) = read("issue_comment", &comment) else { panic!("no comment") };
    assert!(read_comment.on_pull && read_comment.open && !read_comment.bot);
    assert_eq!((read_comment.author.as_str(), read_comment.body.as_str()), ("ann", "/soopervisor run"));
    let Event::Push(push) = read("push", &push) else { panic!("no push") };
    assert_eq!(push.after.unwrap().as_str(), digits("b"));
    let Event::Push(forced) = read("push", &forced) else { panic!("no push") };
    assert_eq!(forced.after.unwrap().as_str(), digits("b"), "a branch that was set back has a tip as well");
    let Event::Push(gone) = read("push", &gone) else { panic!("no push") };
    assert_eq!((gone.reference.as_str(), gone.after), ("refs/heads/topic", None));
    let Event::Pull(pull) = read("pull_request", &opened) else { panic!("no pull request") };
    assert_eq!((pull.number, pull.head_repo.unwrap().to_string()), (7, "eve/churn".to_owned()));
    let Event::Pull(pull) = read("pull_request", &forks) else { panic!("no pull request") };
    assert_eq!((pull.head.as_str(), pull.head_repo.unwrap().to_string()), (&*digits("d"), "eve/churn".to_owned()));
}

#[test]
fn a_payload_that_lacks_what_is_decided_on_is_refused_with_its_place() {
    let mut payload = sample("issue_comment-created");
    payload["comment"].as_object_mut().unwrap().remove("created_at");
    let error = Event::read("issue_comment", payload.to_string().as_bytes(), "/tmp/event.json").unwrap_err();
    assert!(error.to_string().contains("/tmp/event.json") && error.to_string().contains("created_at"), "{error}");
    // A fork that is gone, and an account that is gone.
    let mut payload = sample("pull_request-opened");
    payload["pull_request"]["head"]["repo"] = Value::Null;
    assert!(matches!(read("pull_request", &payload), Event::Pull(pull) if pull.head_repo.is_none()));
    let mut payload = sample("issue_comment-created");
    payload["comment"]["user"] = Value::Null;
    assert!(matches!(read("issue_comment", &payload), Event::Comment(comment) if comment.bot));
}
