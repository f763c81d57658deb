//! Payloads of three forges, as their documentation shows them, cut to what matters.

use serde_json::json;

use super::*;

const SHA: &str = "6113728f27ae82c7b1a177c8d03f9e96e0adf246";
const ZEROS: &str = "0000000000000000000000000000000000000000";

fn read(forge: Forge, event: &str, payload: &Value) -> Meaning {
    meaning(forge, event, "d-1", payload, "acme/churn", Timestamp::UNIX_EPOCH)
}

fn happened(forge: Forge, event: &str, payload: &Value) -> Event {
    match read(forge, event, payload) {
        Meaning::Happened(event) => *event,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_push_is_a_hint_with_all_that_it_says() {
    let payload = json!({
        "ref": "refs/heads/main", "before": ZEROS, "after": SHA, "forced": false, "sender": {"login": "ada"},
        "head_commit": {"message": "Fix it\n\nAt last"},
        "commits": [{"added": ["b.py"], "modified": ["a.py"], "removed": []}, {"added": [], "modified": ["a.py"], "removed": []}],
    });
    let Meaning::Moved(hint) = read(Forge::GitHub, "push", &payload) else { panic!() };
    assert_eq!((hint.reference.as_str(), hint.after.as_ref().map(CommitSha::as_str)), ("refs/heads/main", Some(SHA)));
    assert_eq!((hint.actor.as_deref(), hint.message.as_deref()), (Some("ada"), Some("Fix it")));
    assert_eq!(hint.paths, Some(vec!["a.py".to_owned(), "b.py".to_owned()]));
    let deleted = json!({"ref": "refs/heads/x", "after": ZEROS, "commits": []});
    let Meaning::Moved(hint) = read(Forge::Gitea, "push", &deleted) else { panic!() };
    assert_eq!((hint.after, hint.paths), (None, None));
    let gitlab = json!({
        "object_kind": "push", "ref": "refs/heads/main", "after": SHA, "user_username": "grace", "total_commits_count": 40,
        "commits": [{"message": "One\n", "added": [], "modified": ["a"], "removed": []}],
    });
    let Meaning::Moved(hint) = read(Forge::GitLab, "Push Hook", &gitlab) else { panic!() };
    assert_eq!((hint.actor.as_deref(), hint.paths), (Some("grace"), None), "twenty of forty commits say nothing");
}

#[test]
fn a_list_of_paths_that_may_not_be_whole_says_nothing() {
    let commit = |path: &str| json!({"added": [], "modified": [path], "removed": []});
    let payload = |count: usize| {
        let commits: Vec<Value> = (0..count).map(|number| commit(&number.to_string())).collect();
        json!({"ref": "refs/heads/main", "after": SHA, "forced": false, "commits": commits})
    };
    let listed = |payload: &Value| match read(Forge::GitHub, "push", payload) {
        Meaning::Moved(hint) => hint.paths.as_ref().map(Vec::len),
        other => panic!("{other:?}"),
    };
    for (count, expected) in
        [(0, None), (1, Some(1)), (19, Some(19)), (20, None), (21, Some(21)), (2_047, Some(2_047)), (2_048, None)]
    {
        assert_eq!(listed(&payload(count)), expected, "{count} commits");
    }
    let with = |name: &str, value: Value| {
        let mut payload = payload(20);
        payload[name] = value;
        payload
    };
    assert_eq!(listed(&with("total_commits", json!(20))), Some(20), "they are all");
    assert_eq!(listed(&with("total_commits", json!(21))), None);
    let mut large = payload(3);
    large["commits"][1]["modified"] = json!([]);
    assert_eq!(listed(&large), None, "a commit whose paths were left out");
    for forced in [json!(true), Value::Null] {
        let mut payload = payload(3);
        payload["forced"] = forced;
        assert_eq!(listed(&payload), None, "what it threw away is in no list");
    }
}

#[test]
fn the_message_of_a_push_is_that_of_the_commit_that_the_ref_points_to() {
    let first = json!({"id": "a".repeat(40), "message": "First"});
    let tip = json!({"id": SHA, "message": "Tip\n\nwith more"});
    let message = |event: &str, payload: Value| match read(Forge::GitLab, event, &payload) {
        Meaning::Moved(hint) => hint.message,
        other => panic!("{other:?}"),
    };
    let push = |commits: &[&Value]| json!({"ref": "refs/heads/main", "after": SHA, "commits": commits});
    assert_eq!(message("Push Hook", push(&[&first, &tip])).as_deref(), Some("Tip"), "GitLab lists the oldest first");
    assert_eq!(message("Push Hook", push(&[&first])), None, "it is not in the list");
    let tag = json!({"ref": "refs/tags/v1", "after": "b".repeat(40), "checkout_sha": SHA, "commits": [first, tip]});
    assert_eq!(message("Tag Push Hook", tag).as_deref(), Some("Tip"));
}

#[test]
fn of_an_annotated_tag_the_commit_behind_it_is_known() {
    let object = "b".repeat(40);
    let of_github = json!({"ref": "refs/tags/v1", "after": object, "head_commit": {"id": SHA, "message": "Tip"}});
    let of_gitlab = json!({"ref": "refs/tags/v1", "after": object, "checkout_sha": SHA});
    let branch = json!({"ref": "refs/heads/main", "after": SHA, "head_commit": {"id": SHA, "message": "Tip"}});
    for (forge, event, payload, behind) in [
        (Forge::GitHub, "push", of_github, Some(SHA)),
        (Forge::GitLab, "Tag Push Hook", of_gitlab, Some(SHA)),
        (Forge::GitHub, "push", branch, None),
    ] {
        let Meaning::Moved(hint) = read(forge, event, &payload) else { panic!("{payload}") };
        assert_eq!(hint.behind.as_ref().map(CommitSha::as_str), behind, "{payload}");
    }
}

#[test]
fn a_pull_request_says_whose_code_it_is() {
    let pull = |head: Value| {
        let repository = json!({"full_name": "acme/churn"});
        json!({"action": "synchronized", "number": 7, "sender": {"login": "ada"}, "repository": repository, "pull_request": {
            "number": 7, "title": "More", "user": {"login": "eve"}, "draft": true, "labels": [{"name": "full"}],
            "updated_at": "2026-11-01T00:00:00Z", "head": head,
            "base": {"ref": "main", "repo": {"full_name": "acme/churn"}}}})
    };
    let own = pull(json!({"sha": SHA, "ref": "feat", "repo": {"full_name": "acme/churn"}}));
    let event = happened(Forge::Gitea, "pull_request", &own);
    let found = event.pull.unwrap();
    assert_eq!(
        (found.action.as_str(), found.fork, found.draft, found.labels),
        ("synchronize", false, true, vec!["full".to_owned()])
    );
    for head in [json!({"sha": SHA, "repo": {"full_name": "eve/churn"}}), json!({"sha": SHA, "repo": null})] {
        assert!(happened(Forge::GitHub, "pull_request", &pull(head)).pull.unwrap().fork);
    }
    let gitlab = json!({"user": {"username": "ada"}, "labels": [{"title": "x"}], "object_attributes": {
        "iid": 3, "action": "update", "oldrev": ZEROS, "title": "T", "source_branch": "f", "target_branch": "main",
        "source_project_id": 1, "target_project_id": 1, "last_commit": {"id": SHA}, "state": "opened"}});
    let found = happened(Forge::GitLab, "Merge Request Hook", &gitlab).pull.unwrap();
    assert_eq!((found.action.as_str(), found.number, found.fork), ("synchronize", 3, false));
    assert_eq!(found.head.unwrap().as_str(), SHA);
}

#[test]
fn only_new_comments_of_people_on_open_pull_requests_count() {
    let comment = |change: fn(&mut Value)| {
        let mut payload = json!({"action": "created", "issue": {"number": 7, "state": "open", "pull_request": {"url": "u"}},
            "comment": {"id": 9, "body": "/soopervisor run full", "user": {"login": "ada", "type": "User"}}});
        change(&mut payload);
        read(Forge::GitHub, "issue_comment", &payload)
    };
    let Meaning::Happened(event) = comment(|_| {}) else { panic!() };
    let said = event.comment.unwrap();
    assert_eq!(
        (said.command.as_deref(), said.arguments, said.permission),
        (Some("run"), vec!["full".to_owned()], None)
    );
    for change in [
        (|p: &mut Value| p["action"] = json!("edited")) as fn(&mut Value),
        |p| p["action"] = json!("deleted"),
        |p| p["issue"]["state"] = json!("closed"),
        |p| p["issue"]["pull_request"] = Value::Null,
        |p| p["comment"]["user"]["type"] = json!("Bot"),
    ] {
        assert_eq!(comment(change), Meaning::Nothing);
    }
    let note = json!({"user": {"username": "ada"}, "merge_request": {"iid": 3, "state": "opened", "last_commit": {"id": SHA}},
        "object_attributes": {"id": 5, "note": "hello", "noteable_type": "MergeRequest"}});
    assert_eq!(happened(Forge::GitLab, "Note Hook", &note).comment.unwrap().command, None);
}

#[test]
fn words_of_a_command_are_those_of_the_action_and_a_note_says_when_it_was_written() {
    let words = |body: &str| {
        let said = said(1, body.to_owned(), None, None);
        said.command.map(|command| (command, said.arguments))
    };
    let deploy = Some(("deploy".to_owned(), vec!["now".to_owned()]));
    assert_eq!(words("> quoted\n/soopervisor deploy now\r\nthanks"), deploy);
    assert_eq!(words("/soopervisor"), Some(("help".to_owned(), Vec::new())));
    for body in
        ["> /soopervisor run", "```\n/soopervisor run\n```", "    /soopervisor run", "please\n/soopervisor run", ""]
    {
        assert_eq!(words(body), None, "{body:?}");
    }
    let note = |created: &str, login: &str| {
        json!({"user": {"username": login}, "merge_request": {"iid": 3, "state": "opened", "last_commit": {"id": SHA}},
            "object_attributes": {"id": 5, "note": "/soopervisor run", "created_at": created, "system": false}})
    };
    for created in ["2026-11-28 12:00:00 UTC", "2026-11-28T12:00:00Z"] {
        let event = happened(Forge::GitLab, "Note Hook", &note(created, "ada"));
        assert_eq!(event.comment.unwrap().created, "2026-11-28T12:00:00Z".parse().ok(), "{created}");
        assert_eq!(event.reference.as_deref(), Some("refs/merge-requests/3/head"));
        assert_eq!(event.pull.unwrap().head, None, "which commit it is about is for the rules to say");
    }
    let by_token = note("2026-11-28T12:00:00Z", "project_17_bot_4ffca");
    assert_eq!(read(Forge::GitLab, "Note Hook", &by_token), Meaning::Nothing);
}

#[test]
fn the_button_asks_for_a_run_and_a_status_is_told() {
    let again = json!({"action": "rerequested", "sender": {"login": "ada"},
        "check_run": {"head_sha": SHA, "check_suite": {"head_branch": "main"}}});
    let event = happened(Forge::GitHub, "check_run", &again);
    assert_eq!((event.kind, event.reference.as_deref()), (Kind::Manual, Some("refs/heads/main")));
    assert_eq!(
        read(Forge::GitHub, "check_run", &json!({"action": "created", "check_run": {"head_sha": SHA}})),
        Meaning::Nothing
    );
    let status = json!({"id": 4, "sha": SHA, "state": "success", "context": "ci/x"});
    assert_eq!(happened(Forge::GitHub, "status", &status).status.unwrap().context, "ci/x");
}

#[test]
fn a_repository_has_the_addresses_that_its_forge_gives_and_none_that_its_owner_writes() {
    let payload = json!({"repository": {
        "clone_url": "a", "ssh_url": "b", "private": true, "homepage": "https://github.com/acme/churn", "website": "c",
    }});
    assert_eq!(addresses(Forge::GitHub, &payload), ["a", "b"]);
    assert_eq!(addresses(Forge::Gitea, &payload), ["a", "b"]);
    let payload = json!({"repository": {"git_ssh_url": "e", "description": "d"}, "project": {"git_http_url": "c"}});
    assert_eq!(addresses(Forge::GitLab, &payload), ["c", "e"]);
    assert_eq!(addresses(Forge::GitHub, &json!(["nothing"])), [""; 0]);
}

#[test]
fn what_another_repository_asks_to_be_merged_into_itself_is_a_strangers() {
    let pull = |named: &str| {
        let repo = json!({"full_name": "acme/churn"});
        let payload = json!({"action": "opened", "repository": {"full_name": named},
            "pull_request": {"number": 7, "head": {"sha": SHA, "repo": repo}, "base": {"repo": repo}}});
        happened(Forge::GitHub, "pull_request", &payload).pull.unwrap().fork
    };
    assert!(!pull("acme/churn"));
    assert!(pull("eve/churn"));
}
