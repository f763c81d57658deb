//! Deliveries of each forge over the socket of the built program, as the forge writes and proves them: to the event that they
//! tell of.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use soopervisor::server::event::{Event, Kind, Source};
use soopervisor::server::hook::LARGEST;
use soopervisor::server::ledger as rows;
use soopervisor::store::database::Database;

use super::git::Forge;
use super::hook::{SECRET, sign};
use super::process::{Running, ledger};
use super::until;

/// A name whose first reading is due at once, and the next one a day later: nothing but deliveries tells of what comes then.
const NAME: &str = "churn-170";
/// Where a ref is that is not there.
const NOTHING: &str = "0000000000000000000000000000000000000000";

/// A delivery as a forge sends it.
#[derive(Clone)]
struct Sent {
    to: &'static str,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Sent {
    fn with(to: &'static str, headers: &[(&str, &str)], body: Vec<u8>) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { to, headers: headers.collect(), body }
    }

    fn of_github(content_type: &str, event: &str, id: &str, body: Vec<u8>) -> Self {
        let proof = sign(&body);
        let headers = [
            ("Content-Type", content_type),
            ("User-Agent", "GitHub-Hookshot/044aadd"),
            ("X-GitHub-Event", event),
            ("X-GitHub-Delivery", id),
            ("X-GitHub-Hook-ID", "292430182"),
            ("X-GitHub-Hook-Installation-Target-Type", "repository"),
            ("X-Hub-Signature-256", proof.as_str()),
        ];
        Self::with("github", &headers, body)
    }

    /// By a hook that is set to send forms.
    fn form(event: &str, id: &str, payload: &Value) -> Self {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        let body = form.append_pair("payload", &payload.to_string()).finish().into_bytes();
        Self::of_github("application/x-www-form-urlencoded", event, id, body)
    }

    /// Gitea and Forgejo send headers of their own, and those of the ones that they come from.
    fn of_gitea(brands: &[&str], event: &str, id: &str, payload: &Value) -> Self {
        let body = payload.to_string().into_bytes();
        let proof = sign(&body);
        let mut sent = Self { to: "gitea", ..Self::of_github("application/json", event, id, body) };
        for brand in brands {
            let bare = proof.trim_start_matches("sha256=");
            for (name, value) in [("Event", event), ("Event-Type", event), ("Delivery", id), ("Signature", bare)] {
                sent.headers.push((format!("X-{brand}-{name}"), value.to_owned()));
            }
        }
        sent
    }

    fn of_gitlab(event: &str, id: &str, payload: &Value) -> Self {
        let headers = [
            ("Content-Type", "application/json"),
            ("User-Agent", "GitLab/17.5.1-ee"),
            ("Idempotency-Key", id),
            ("X-Gitlab-Event", event),
            ("X-Gitlab-Event-UUID", "13792a34-cac6-4fda-95a8-c58e00a3954e"),
            ("X-Gitlab-Instance", "https://gitlab.example"),
            ("X-Gitlab-Token", std::str::from_utf8(SECRET).unwrap()),
            ("X-Gitlab-Webhook-UUID", "02affd2d-2cba-4033-917d-ec22d5dc4b38"),
        ];
        Self::with("gitlab", &headers, payload.to_string().into_bytes())
    }

    /// Another body under the same signature; from who sends no signature, with another token.
    fn spoiled(&self) -> Self {
        let mut spoiled = self.clone();
        spoiled.body.push(b' ');
        for (_, value) in spoiled.headers.iter_mut().filter(|(name, _)| name == "X-Gitlab-Token") {
            value.push('x');
        }
        spoiled
    }
}

/// The built program, to which three forges deliver, and a repository that it has read once. It never polls.
struct Scene {
    _home: tempfile::TempDir,
    forge: Forge,
    server: Running,
    database: Database,
    client: reqwest::Client,
}

impl Scene {
    async fn open() -> Self {
        let (home, forge) = (tempfile::tempdir().unwrap(), Forge::start().await);
        let (secret, file) = (home.path().join("secret"), home.path().join("server.yaml"));
        std::fs::write(&secret, SECRET).unwrap();
        let secrets = format!("{{secrets: ['file:{}']}}", secret.display());
        let text = format!(
            "webhooks: {{github: {secrets}, gitea: {secrets}, gitlab: {secrets}}}\nrepos:\n  - {{url: '{}', name: {NAME}, branches: [main], tags: \
             ['v*'], poll: off, storage: 'local:/nowhere'}}\n",
            forge.url()
        );
        std::fs::write(&file, text).unwrap();
        let server = Running::of_file(home.path(), &file);
        let database = ledger(home.path()).await;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        // What is seen first is noted, and told of nobody.
        until("the first reading", || async { database.repo(NAME).await.is_ok_and(|repo| repo.read_at.is_some()) })
            .await;
        Self { _home: home, forge, server, database, client }
    }

    /// Status and words of the answer.
    async fn send(&self, sent: &Sent) -> (u16, String) {
        let request = self.client.post(format!("{}/hooks/{}", self.server.base, sent.to)).body(sent.body.clone());
        let request = sent.headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// What a forge says of a repository.
    fn repository(&self, forge: &str) -> Value {
        let url = self.forge.url();
        match forge {
            "gitlab" => json!({
                "id": 15, "name": "churn", "description": "", "web_url": "https://gitlab.example/acme/churn", "avatar_url": null,
                "git_ssh_url": "git@gitlab.example:acme/churn.git", "git_http_url": url, "namespace": "acme",
                "visibility_level": 0, "path_with_namespace": "acme/churn", "default_branch": "main",
            }),
            _ => json!({
                "id": 35, "name": "churn", "full_name": "acme/churn", "owner": {"login": "acme"}, "private": false, "fork": false,
                "html_url": "https://forge.example/acme/churn", "clone_url": url, "ssh_url": "git@forge.example:acme/churn.git",
                "default_branch": "main",
            }),
        }
    }

    /// A push of one commit by `ada`.
    fn push(&self, forge: &str, before: &str, after: &str) -> Value {
        let commit = json!({
            "id": after, "message": "two\n\nlines\n", "timestamp": "2026-11-28T12:00:00+01:00", "url": "https://forge.example/c",
            "author": {"name": "Ada", "email": "ada@acme.example"}, "added": [], "modified": ["file"], "removed": [],
        });
        let who = json!({"id": 1, "login": "ada", "username": "ada", "email": "ada@acme.example"});
        let (repository, commits) = (self.repository(forge), [&commit]);
        let name = "refs/heads/main";
        match forge {
            "github" => json!({
                "ref": name, "before": before, "after": after, "created": false, "deleted": false, "forced": false,
                "base_ref": null, "compare": "https://forge.example/compare", "commits": commits, "head_commit": commit,
                "repository": repository, "pusher": {"name": "ada", "email": "ada@acme.example"}, "sender": who,
            }),
            "gitlab" => json!({
                "object_kind": "push", "event_name": "push", "ref": name, "ref_protected": true, "before": before, "after": after,
                "checkout_sha": after, "message": null, "user_id": 4, "user_name": "Ada", "user_username": "ada",
                "project_id": 15, "project": repository, "commits": commits, "total_commits_count": 1, "push_options": {},
            }),
            _ => json!({
                "ref": name, "before": before, "after": after, "compare_url": "https://forge.example/compare",
                "commits": commits, "total_commits": 1, "head_commit": commit, "repository": repository, "pusher": who, "sender": who,
            }),
        }
    }

    /// The newest event, once there are so many.
    async fn told(&self, count: usize) -> Event {
        let all = || async { self.database.events(None, 50).await.unwrap() };
        until("it is told", || async { all().await.len() >= count }).await;
        let mut all = all().await;
        assert_eq!(all.len(), count, "{:?}", all.iter().map(|event| &event.new.key).collect::<Vec<_>>());
        rows::event(&all.remove(0), NAME).unwrap()
    }
}

fn tip(event: &Event) -> Option<&str> {
    event.after.as_ref().map(soopervisor::id::CommitSha::as_str)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_taken_from_each_forge_by_the_proof_that_it_sends_and_told_with_all_that_it_says() {
    let scene = Scene::open().await;
    let mut before = scene.forge.git(&["rev-parse", "HEAD"]);
    for (place, forge) in ["github", "gitea", "forgejo", "gitlab"].into_iter().enumerate() {
        let after = scene.forge.commit("main", forge);
        let payload = scene.push(forge, &before, &after);
        let sent = match forge {
            "github" => Sent::form("push", "a", &payload),
            "gitea" => Sent::of_gitea(&["Gogs", "Gitea"], "push", "b", &payload),
            "forgejo" => Sent::of_gitea(&["Gogs", "Gitea", "Forgejo"], "push", "c", &payload),
            _ => Sent::of_gitlab("Push Hook", "d", &payload),
        };
        assert_eq!(scene.send(&sent.spoiled()).await, (401, "not-genuine\n".to_owned()), "{forge}");
        assert_eq!(scene.send(&sent).await, (202, "kept\n".to_owned()), "{forge}");
        let event = scene.told(place + 1).await;
        assert_eq!((event.kind, event.source, tip(&event)), (Kind::Push, Source::Webhook, Some(&*after)), "{forge}");
        assert_eq!(event.before.as_ref().map(ToString::to_string), Some(before), "{forge}");
        let said = (event.actor.as_deref(), event.message.as_deref(), event.default_branch.as_deref());
        assert_eq!(said, (Some("ada"), Some("two"), Some("main")), "{forge}");
        // Whose list may lack what a forced push threw away is not believed; nobody asks here for what really changed.
        let paths = (forge == "github").then(|| vec!["file".to_owned()]);
        assert_eq!((&event.paths, &event.payload), (&paths, &payload), "{forge}");
        assert_eq!(scene.send(&sent).await, (200, "known\n".to_owned()), "{forge}");
        before = after;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn merge_requests_and_tags_of_a_gitlab_are_told_over_the_socket() {
    let scene = Scene::open().await;
    let head = scene.forge.git(&["rev-parse", "HEAD"]);
    let merge = |action: &str, state: &str, from: u64| {
        json!({
            "object_kind": "merge_request", "event_type": "merge_request",
            "user": {"id": 1, "name": "Ada", "username": "ada", "email": "[REDACTED]"}, "project": scene.repository("gitlab"),
            "object_attributes": {
                "id": 99, "iid": 3, "target_branch": "main", "source_branch": "feat/x", "source_project_id": from,
                "target_project_id": 15, "title": "More", "state": state, "action": action, "draft": false,
                "created_at": "2026-11-28 11:00:00 UTC", "updated_at": "2026-11-28 12:00:00 UTC",
                "last_commit": {"id": head, "message": "feat: more\n", "author": {"name": "Ada", "email": "[REDACTED]"}},
                "source": {"path_with_namespace": "ada/churn"}, "target": {"path_with_namespace": "acme/churn"},
            },
            "labels": [{"id": 206, "title": "API", "color": "#ffffff", "project_id": 15, "type": "ProjectLabel"}], "changes": {},
        })
    };
    let mut pushed = merge("update", "opened", 15);
    pushed["object_attributes"]["oldrev"] = json!("e".repeat(40));
    for (place, (payload, action, fork, merged)) in [
        (merge("open", "opened", 15), "opened", false, false),
        (pushed, "synchronize", false, false),
        (merge("update", "opened", 16), "edited", true, false),
        (merge("merge", "merged", 15), "closed", false, true),
    ]
    .into_iter()
    .enumerate()
    {
        let sent = Sent::of_gitlab("Merge Request Hook", &format!("m{place}"), &payload);
        assert_eq!(scene.send(&sent.spoiled()).await.0, 401);
        assert_eq!(scene.send(&sent).await.0, 202);
        let event = scene.told(place + 1).await;
        assert_eq!((event.kind, event.reference.as_deref()), (Kind::PullRequest, Some("refs/merge-requests/3/head")));
        let pull = event.pull.unwrap();
        assert_eq!((pull.number, pull.action.as_str(), pull.fork, pull.merged), (3, action, fork, merged));
        assert_eq!((pull.head.unwrap().as_str(), pull.labels), (head.as_str(), vec!["API".to_owned()]));
    }

    let tag = |before: &str, after: &str, checkout: Option<&str>| {
        json!({
            "object_kind": "tag_push", "event_name": "tag_push", "ref": "refs/tags/v1", "ref_protected": true, "before": before,
            "after": after, "checkout_sha": checkout, "message": "", "user_id": 4, "user_name": "Ada", "user_username": "ada",
            "project_id": 15, "project": scene.repository("gitlab"), "commits": [], "total_commits_count": 0,
        })
    };
    scene.forge.git(&["tag", "v1"]);
    scene.forge.git(&["push", "-q", "origin", "v1"]);
    let made = Sent::of_gitlab("Tag Push Hook", "made", &tag(NOTHING, &head, Some(&head)));
    assert_eq!(scene.send(&made).await.0, 202);
    let event = scene.told(5).await;
    assert_eq!((event.kind, event.source, tip(&event)), (Kind::TagCreated, Source::Webhook, Some(&*head)));
    assert_eq!((event.reference.as_deref(), event.actor.as_deref()), (Some("refs/tags/v1"), Some("ada")));
    scene.forge.git(&["push", "-q", "origin", ":v1"]);
    let gone = Sent::of_gitlab("Tag Push Hook", "gone", &tag(&head, NOTHING, None));
    assert_eq!(scene.send(&gone).await.0, 202);
    let event = scene.told(6).await;
    assert_eq!((event.kind, event.actor.as_deref(), tip(&event)), (Kind::TagDeleted, Some("ada"), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_as_large_as_github_sends_any_is_answered_in_time_and_told() {
    let scene = Scene::open().await;
    let before = scene.forge.git(&["rev-parse", "HEAD"]);
    let after = scene.forge.commit("main", "many");
    let mut payload = scene.push("github", &before, &after);
    let commit = payload["head_commit"].clone();
    let of = |number: u32| {
        let mut commit = commit.clone();
        commit["id"] = json!(format!("{number:040x}"));
        commit["message"] = json!("word ".repeat(2_300));
        commit
    };
    payload["commits"] = (1..=2_000).map(of).chain([commit.clone()]).collect();
    let sent = Sent::of_github("application/json", "push", "large", payload.to_string().into_bytes());
    assert!((20 << 20..25 << 20).contains(&sent.body.len()) && sent.body.len() < LARGEST, "{}", sent.body.len());
    assert_eq!(scene.send(&sent.spoiled()).await.0, 401);
    let begun = Instant::now();
    assert_eq!(scene.send(&sent).await, (202, "kept\n".to_owned()));
    assert!(begun.elapsed() < Duration::from_secs(10), "GitHub waits no longer: {:?}", begun.elapsed());
    let event = scene.told(1).await;
    assert_eq!((event.source, tip(&event), event.actor.as_deref()), (Source::Webhook, Some(&*after), Some("ada")));
    assert!(event.payload == payload, "all of it is kept");
}
