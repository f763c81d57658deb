//! What there is to ask and to do, by GitHub's rules.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Shared;
use super::serve::{Ask, Reply};
use super::state::{Account, Artifact, Comment, Face, Pull, WorkflowRun};

const REPO: &str = "/repos/{owner}/{repo}";

/// One request on its way: who, where, and what GitHub calls the place.
struct Deed<'a> {
    shared: &'a Shared,
    ask: &'a Ask,
    repo: String,
}

pub async fn answer(shared: &Shared, ask: &Ask) -> Reply {
    let parts: Vec<String> = ask.path.trim_matches('/').split('/').map(decoded).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let method = ask.method.to_ascii_lowercase();
    let repo = if parts.first() == Some(&"repos") && parts.len() >= 3 {
        format!("{}/{}", parts[1], parts[2])
    } else {
        String::new()
    };
    let deed = Deed { shared, ask, repo };
    if let Some(reply) = deed.account(&method, &parts) {
        deed.judge_refusal(&method, &parts, &reply);
        return reply;
    }
    if deed.repo.is_empty() || !shared.bare(&deed.repo).is_dir() || !deed.sees() {
        return Reply::refusal(404, "Not Found");
    }
    let rest = &parts[3..];
    let reply = match (method.as_str(), rest) {
        ("get", []) => deed.repository(),
        ("get", ["pulls", number]) => deed.pull(number).await,
        ("get", ["commits", sha, "check-runs"]) => deed.checks(sha),
        ("get", ["commits", sha, "pulls"]) => deed.pulls_of(sha).await,
        ("get", ["commits", revision @ ..]) => deed.commit(&revision.join("/")).await,
        ("get", ["compare", ends @ ..]) => deed.compare(&ends.join("/")).await,
        ("get", ["contents", path @ ..]) => deed.contents(&path.join("/")).await,
        ("get", ["actions", "artifacts"]) => deed.artifacts(),
        ("get", ["actions", "runs"]) => deed.workflow_runs(),
        ("get", ["actions", "runs", run]) => deed.workflow_run(run.parse().unwrap_or(0)),
        ("get", ["activity"]) => deed.activity(),
        ("get", ["collaborators", user, "permission"]) => deed.permission(user),
        ("get", ["issues", "comments"]) => deed.comments(None),
        ("get", ["issues", number, "comments"]) => deed.comments(number.parse().ok()),
        ("post", ["issues", number, "comments"]) => deed.add_comment(number.parse().unwrap_or(0)),
        ("patch", ["issues", "comments", id]) => deed.edit_comment(id.parse().unwrap_or(0)),
        ("get", ["issues", "comments", id, "reactions"]) => deed.reactions(id.parse().unwrap_or(0)),
        ("post", ["issues", "comments", id, "reactions"]) => deed.react(id.parse().unwrap_or(0)),
        ("post", ["issues", number, "labels"]) => deed.labels(number.parse().unwrap_or(0)),
        ("delete", ["issues", number, "labels", name]) => deed.unlabel(number.parse().unwrap_or(0), name),
        ("post", ["statuses", sha]) => deed.status(sha).await,
        ("post", ["check-runs"]) => deed.check(None),
        ("patch", ["check-runs", id]) => deed.check(id.parse().ok()),
        ("post", ["dispatches"]) => deed.dispatch(&format!("{REPO}/dispatches"), 204),
        ("post", ["actions", "workflows", _, "dispatches"]) => {
            deed.dispatch(&format!("{REPO}/actions/workflows/{{workflow_id}}/dispatches"), 200)
        }
        ("post", ["actions", "runs", run, "cancel"]) => deed.cancel(run.parse().unwrap_or(0)),
        _ => Reply::refusal(404, "Not Found"),
    };
    deed.judge_refusal(&method, &parts, &reply);
    reply
}

fn decoded(part: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = part.as_bytes();
    while let Some((&first, more)) = rest.split_first() {
        let escaped = (first == b'%').then(|| more.get(..2)).flatten().and_then(|two| hex::decode(two).ok());
        bytes.push(escaped.as_ref().map_or(first, |one| one[0]));
        rest = if escaped.is_some() { &more[2..] } else { more };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Changes the members that are named.
fn patch(value: &mut Value, with: Value) {
    let Value::Object(members) = with else { panic!("members, not {with}") };
    for (name, new) in members {
        value[name] = new;
    }
}

impl Deed<'_> {
    /// An answer that GitHub would give, or a complaint.
    fn says(&self, path: &str, method: &str, status: u16, body: &Value) -> Reply {
        if let Err(wrong) = self.shared.described.judge_answer(path, method, status, body) {
            self.shared.complain(format!("our answer: {wrong}"));
        }
        if body.is_null() { Reply::empty(status) } else { Reply::json(status, body) }
    }

    /// A refusal has the shape that is described for it, or that of any error.
    fn judge_refusal(&self, method: &str, parts: &[&str], reply: &Reply) {
        if !(400..500).contains(&reply.status) {
            return;
        }
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        if let Err(wrong) = self.shared.described.judge_refusal(parts, method, reply.status, &body) {
            self.shared.complain(format!("our refusal: {wrong}"));
        }
    }

    fn example(&self, path: &str, method: &str, status: u16) -> Value {
        self.shared.described.example(path, method, status)
    }

    /// The body that was sent; what GitHub would not understand is a complaint.
    fn given(&self, path: &str, method: &str) -> Value {
        let body = self.ask.json();
        if let Err(wrong) = self.shared.described.judge_request(path, method, &body) {
            self.shared.complain(format!("asked: {wrong}"));
        }
        body
    }

    fn user(&self, account: &Account) -> Value {
        let mut user = self.example("/user", "get", 200);
        let (login, kind) = match account {
            Account::User(login) => (login.clone(), "User"),
            Account::App(slug) => (format!("{slug}[bot]"), "Bot"),
        };
        let id = login.bytes().fold(7_u64, |sum, byte| (sum * 31 + u64::from(byte)) % 1_000_003);
        let kept =
            ["node_id", "avatar_url", "gravatar_id", "url", "html_url", "followers_url", "following_url", "gists_url"];
        let more = [
            "starred_url",
            "subscriptions_url",
            "organizations_url",
            "repos_url",
            "events_url",
            "received_events_url",
            "site_admin",
        ];
        user.as_object_mut().unwrap().retain(|name, _| kept.contains(&name.as_str()) || more.contains(&name.as_str()));
        patch(&mut user, json!({"login": login, "id": id, "type": kind}));
        user
    }

    fn sees(&self) -> bool {
        let state = self.shared.state();
        !state.private.contains(&self.repo) || self.ask.account.is_some()
    }

    /// What needs no repository, or an App's statement.
    fn account(&self, method: &str, parts: &[&str]) -> Option<Reply> {
        match (method, parts) {
            ("get", ["user"]) => Some(match &self.ask.account {
                Some(Account::User(login)) => {
                    let mut user = self.example("/user", "get", 200);
                    patch(&mut user, self.user(&Account::User(login.clone())));
                    self.says("/user", "get", 200, &user)
                }
                Some(Account::App(_)) => Reply::refusal(403, "Resource not accessible by integration"),
                None => Reply::refusal(401, "Requires authentication"),
            }),
            // No description of GitHub's covers it; what `gh` asks at every login.
            ("post", ["graphql"] | ["api", "graphql"]) => Some(self.viewer()),
            ("get", ["app"]) => Some(match self.app() {
                Err(refusal) => refusal,
                Ok(slug) => {
                    let mut app = self.example("/app", "get", 200);
                    patch(&mut app, json!({"slug": slug}));
                    self.says("/app", "get", 200, &app)
                }
            }),
            ("get", ["repos", _, _, "installation"]) => Some(match self.app() {
                Err(refusal) => refusal,
                Ok(_) if !self.shared.bare(&self.repo).is_dir() => Reply::refusal(404, "Not Found"),
                Ok(_) => {
                    let path = format!("{REPO}/installation");
                    self.says(&path, "get", 200, &self.example(&path, "get", 200))
                }
            }),
            ("post", ["app", "installations", _, "access_tokens"]) => Some(match self.app() {
                Err(refusal) => refusal,
                Ok(slug) => self.installation_token(&slug),
            }),
            _ => None,
        }
    }

    /// Whose the token is, and nothing else of GraphQL.
    fn viewer(&self) -> Reply {
        let Some(account) = &self.ask.account else { return Reply::refusal(401, "Requires authentication") };
        assert_eq!(self.ask.json()["query"], "query { viewer { login databaseId } }");
        let user = self.user(account);
        Reply::json(200, &json!({"data": {"viewer": {"login": user["login"], "databaseId": user["id"]}}}))
    }

    /// The App whose statement was shown, by GitHub's rules for them.
    fn app(&self) -> Result<String, Reply> {
        let refuse = |words: &str| Reply::refusal(401, words);
        let statement = self.ask.statement.as_ref().ok_or_else(|| refuse("A JSON web token could not be decoded"))?;
        let (text, signature) = statement.rsplit_once('.').unwrap();
        let part = |at: usize| -> Value {
            let bytes = URL_SAFE_NO_PAD.decode(text.split('.').nth(at).unwrap()).unwrap_or_default();
            serde_json::from_slice(&bytes).unwrap_or_default()
        };
        let (head, claims) = (part(0), part(1));
        let state = self.shared.state();
        let issuer = claims["iss"].as_str().unwrap_or_default();
        let known = state.apps.iter().find(|(_, id, _)| id == issuer);
        let Some((slug, _, key)) = known else { return Err(refuse("Integration not found")) };
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
        let good = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).verify(text.as_bytes(), &signature).is_ok();
        let now = state.now().as_second();
        let (from, until) = (claims["iat"].as_i64().unwrap_or(i64::MAX), claims["exp"].as_i64().unwrap_or(0));
        if head["alg"] != "RS256" || !good || from > now || until <= now || until - now > 600 {
            return Err(refuse("'Expiration time' or 'Issued at' is out of bounds, or the signature is wrong"));
        }
        Ok(slug.clone())
    }

    fn installation_token(&self, slug: &str) -> Reply {
        let path = "/app/installations/{installation_id}/access_tokens";
        self.given(path, "post");
        let mut made = self.example(path, "post", 201);
        let mut state = self.shared.state();
        let token = format!("ghs_{}{slug}", state.id());
        state.tokens.insert(token.clone(), Account::App(slug.to_owned()));
        let ends = Timestamp::from_second(state.now().as_second() + state.token_lasts).unwrap();
        drop(state);
        made["token"] = json!(token);
        made["expires_at"] = json!(ends.to_string());
        made.as_object_mut().unwrap().remove("repositories");
        self.says(path, "post", 201, &made)
    }

    fn repository(&self) -> Reply {
        let mut repo = self.example(REPO, "get", 200);
        let private = self.shared.state().private.contains(&self.repo);
        let name = self.repo.split_once('/').unwrap().1;
        patch(&mut repo, json!({"full_name": self.repo, "name": name, "default_branch": "main", "private": private}));
        for without in ["source", "parent", "template_repository"] {
            repo.as_object_mut().unwrap().remove(without);
        }
        repo["language"] = Value::Null;
        self.says(REPO, "get", 200, &repo)
    }

    async fn pull(&self, number: &str) -> Reply {
        let path = format!("{REPO}/pulls/{{pull_number}}");
        let found = self.shared.state().pulls.get(&(self.repo.clone(), number.parse().unwrap_or(0))).cloned();
        let Some(pull) = found else { return Reply::refusal(404, "Not Found") };
        let mut body = self.example(&path, "get", 200);
        let gone_head = self.shape_pull(&mut body, &pull).await;
        let reply = self.says(&path, "get", 200, &body);
        if !gone_head {
            return reply;
        }
        // Not described, and what GitHub answers all the same.
        body["head"]["repo"] = Value::Null;
        Reply::json(200, &body)
    }

    /// Whether what is offered is gone.
    async fn shape_pull(&self, body: &mut Value, pull: &Pull) -> bool {
        let number = pull.number;
        patch(body, json!({"number": number, "state": if pull.open { "open" } else { "closed" }}));
        // GitHub's own example is not what GitHub describes.
        body["requested_teams"] = json!([]);
        let mut gone_head = false;
        for (end, repo, branch) in
            [("head", &pull.head_repo, &pull.head_branch), ("base", &self.repo, &pull.base_branch)]
        {
            let gone = !self.shared.bare(repo).is_dir();
            let at = if gone { &self.repo } else { repo };
            let wanted = if gone { format!("refs/pull/{number}/head") } else { format!("refs/heads/{branch}") };
            body[end]["ref"] = json!(branch);
            body[end]["sha"] = json!(self.shared.sha(at, &wanted).await);
            gone_head |= gone;
            if !gone {
                body[end]["repo"]["full_name"] = json!(repo);
            }
        }
        gone_head
    }

    /// Those that offer a commit, or one that is made on it; of what is in the base already, whatever was merged with it.
    async fn pulls_of(&self, sha: &str) -> Reply {
        let path = format!("{REPO}/commits/{{commit_sha}}/pulls");
        if self.shared.sha(&self.repo, sha).await.is_none() {
            return Reply::refusal(422, &format!("No commit found for SHA: {sha}"));
        }
        let pulls = self.shared.state().pulls.clone();
        let mut found = Vec::new();
        for pull in pulls.iter().filter(|((repo, _), _)| *repo == self.repo).map(|(_, pull)| pull) {
            let (head, base) = (format!("refs/pull/{}/head", pull.number), format!("refs/heads/{}", pull.base_branch));
            let is_in = async |tip: &str| {
                self.shared.git(&self.repo, &["merge-base", "--is-ancestor", sha, tip]).await.is_some()
            };
            if is_in(&head).await && !is_in(&base).await {
                let mut body = self.example(&path, "get", 200);
                self.shape_pull(&mut body, pull).await;
                found.push(body);
            }
        }
        self.list(&path, &found, |page| page)
    }

    async fn commit(&self, revision: &str) -> Reply {
        let path = format!("{REPO}/commits/{{ref}}");
        let Some(sha) = self.shared.sha(&self.repo, revision).await else {
            return Reply::refusal(422, &format!("No commit found for SHA: {revision}"));
        };
        let mut body = self.example(&path, "get", 200);
        body["sha"] = json!(sha);
        body["files"] = json!([]);
        self.says(&path, "get", 200, &body)
    }

    async fn compare(&self, ends: &str) -> Reply {
        let path = format!("{REPO}/compare/{{basehead}}");
        let (base, head) = ends.split_once("...").unwrap_or((ends, ""));
        let (Some(base), Some(head)) =
            (self.shared.sha(&self.repo, base).await, self.shared.sha(&self.repo, head).await)
        else {
            return Reply::refusal(404, "Not Found");
        };
        let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap_or_default()).unwrap().trim().to_owned();
        let merge_base = text(self.shared.git(&self.repo, &["merge-base", &base, &head]).await);
        let counts = text(
            self.shared.git(&self.repo, &["rev-list", "--left-right", "--count", &format!("{base}...{head}")]).await,
        );
        let counts: Vec<u64> = counts.split_whitespace().map(|count| count.parse().unwrap()).collect();
        let mut body = self.example(&path, "get", 200);
        body["merge_base_commit"]["sha"] = json!(merge_base);
        patch(&mut body, json!({"behind_by": counts[0], "ahead_by": counts[1]}));
        self.says(&path, "get", 200, &body)
    }

    async fn contents(&self, file: &str) -> Reply {
        let wanted = self.ask.query("ref").unwrap_or_else(|| "main".to_owned());
        let Some(sha) = self.shared.sha(&self.repo, &wanted).await else {
            return Reply::refusal(404, &format!("No commit found for the ref {wanted}"));
        };
        match self.shared.git(&self.repo, &["cat-file", "blob", &format!("{sha}:{file}")]).await {
            Some(bytes) if self.ask.header("accept").contains("raw") => {
                Reply { body: bytes.into(), ..Reply::empty(200) }
                    .with("content-type", "application/vnd.github.raw+json; charset=utf-8")
            }
            Some(_) => Reply::refusal(415, "only raw contents are served here"),
            None => Reply::refusal(404, "Not Found"),
        }
    }

    fn activity(&self) -> Reply {
        let path = format!("{REPO}/activity");
        if self.shared.state().silent.contains(&self.repo) {
            return Reply::refusal(404, "Not Found");
        }
        let wanted = self.ask.query("ref");
        let mut found: Vec<_> = self.shared.state().activity.clone();
        found.retain(|activity| {
            activity.repo == self.repo && wanted.as_ref().is_none_or(|wanted| *wanted == activity.reference)
        });
        found.sort_by_key(|activity| std::cmp::Reverse(activity.at));
        let example = self.example(&path, "get", 200);
        let entries = found.iter().map(|activity| {
            json!({
                "id": example["id"], "node_id": example["node_id"], "before": activity.before, "after": activity.after,
                "ref": activity.reference, "timestamp": activity.at.to_string(), "activity_type": activity.kind,
                "actor": self.user(&Account::User("ann".to_owned())),
            })
        });
        self.list(&path, &entries.collect::<Vec<_>>(), |page| page)
    }

    fn permission(&self, user: &str) -> Reply {
        let path = format!("{REPO}/collaborators/{{username}}/permission");
        let state = self.shared.state();
        let given = state.permissions.get(&(self.repo.clone(), user.to_owned())).cloned();
        let (known, private) = (state.users.iter().any(|known| known == user), state.private.contains(&self.repo));
        drop(state);
        let role = match given {
            Some(role) => role,
            None if known && !private => "read".to_owned(),
            None if known => "none".to_owned(),
            None => return Reply::refusal(404, &format!("{user} is not a user")),
        };
        let permission = match role.as_str() {
            "maintain" => "write",
            "triage" => "read",
            role => role,
        };
        let mut who = self.user(&Account::User(user.to_owned()));
        who["role_name"] = json!(role);
        let body = json!({"permission": permission, "role_name": role, "user": who});
        self.says(&path, "get", 200, &body)
    }

    fn shape_comment(&self, comment: &Comment) -> Value {
        let (id, number) = (comment.id, comment.number);
        let mut body = self.example(&format!("{REPO}/issues/{{issue_number}}/comments"), "post", 201);
        patch(
            &mut body,
            json!({
                "id": id, "body": comment.body, "user": self.user(&comment.author),
                "created_at": comment.created.to_string(), "updated_at": comment.updated.to_string(),
                "issue_url": format!("{}/repos/{}/issues/{number}", self.ask.base, comment.repo),
                "html_url": format!("{}/{}/pull/{number}#issuecomment-{id}", self.ask.base, comment.repo),
            }),
        );
        body
    }

    fn comments(&self, number: Option<u64>) -> Reply {
        let mut found: Vec<Comment> = self.shared.state().comments.clone();
        let since: Option<Timestamp> = self.ask.query("since").and_then(|text| text.parse().ok());
        found.retain(|comment| comment.repo == self.repo && number.is_none_or(|number| number == comment.number));
        found.retain(|comment| since.is_none_or(|since| comment.updated >= since));
        found.sort_by_key(|comment| (if number.is_some() { comment.created } else { comment.updated }, comment.id));
        let shaped: Vec<Value> = found.iter().map(|comment| self.shape_comment(comment)).collect();
        let path = if number.is_some() { "/issues/{issue_number}/comments" } else { "/issues/comments" };
        self.list(&format!("{REPO}{path}"), &shaped, |page| page)
    }

    fn add_comment(&self, number: u64) -> Reply {
        let path = format!("{REPO}/issues/{{issue_number}}/comments");
        let body = self.given(&path, "post");
        let Some(account) = self.ask.account.clone() else { return Reply::refusal(401, "Requires authentication") };
        let text = body["body"].as_str().unwrap_or_default();
        if text.chars().count() > 65_536 {
            return too_long();
        }
        let mut state = self.shared.state();
        let now = state.now();
        let id = state.comment(&self.repo, number, account, text, now);
        let comment = state.comments.iter().find(|comment| comment.id == id).cloned().unwrap();
        drop(state);
        self.says(&path, "post", 201, &self.shape_comment(&comment))
    }

    fn edit_comment(&self, id: u64) -> Reply {
        let path = format!("{REPO}/issues/comments/{{comment_id}}");
        let body = self.given(&path, "patch");
        let text = body["body"].as_str().unwrap_or_default().to_owned();
        if text.chars().count() > 65_536 {
            return too_long();
        }
        let mut state = self.shared.state();
        let now = state.now();
        let Some(comment) = state.comments.iter_mut().find(|comment| comment.id == id && comment.repo == self.repo)
        else {
            return Reply::refusal(404, "Not Found");
        };
        comment.body.clone_from(&text);
        comment.history.push(text);
        comment.updated = now;
        let comment = comment.clone();
        drop(state);
        self.says(&path, "patch", 200, &self.shape_comment(&comment))
    }

    fn react(&self, id: u64) -> Reply {
        let path = format!("{REPO}/issues/comments/{{comment_id}}/reactions");
        let body = self.given(&path, "post");
        let content = body["content"].as_str().unwrap_or_default().to_owned();
        let account = self.ask.account.clone().unwrap_or_else(|| Account::User("nobody".to_owned()));
        let mut state = self.shared.state();
        let (number, at) = (state.id(), state.now());
        let Some(comment) = state.comments.iter_mut().find(|comment| comment.id == id) else {
            return Reply::refusal(404, "Not Found");
        };
        let there = comment.reactions.contains(&(account.clone(), content.clone()));
        if !there {
            comment.reactions.push((account.clone(), content.clone()));
            let (author, content) = (account.clone(), content.clone());
            state.faces.push(Face { id: number, comment: id, author, content, at });
        }
        let of = |face: &&Face| face.comment == id && face.author == account && face.content == content;
        let face = state.faces.iter().find(of).cloned().unwrap();
        drop(state);
        self.says(&path, "post", if there { 200 } else { 201 }, &self.shape_face(&face))
    }

    fn shape_face(&self, face: &Face) -> Value {
        let mut shape = self.example(&format!("{REPO}/issues/comments/{{comment_id}}/reactions"), "post", 201);
        let (user, at) = (self.user(&face.author), face.at.to_string());
        patch(&mut shape, json!({"id": face.id, "content": face.content, "user": user, "created_at": at}));
        shape
    }

    fn reactions(&self, id: u64) -> Reply {
        let path = format!("{REPO}/issues/comments/{{comment_id}}/reactions");
        let faces = self.shared.state().faces.clone();
        let shaped = faces.iter().filter(|face| face.comment == id).map(|face| self.shape_face(face));
        self.list(&path, &shaped.collect::<Vec<_>>(), |page| page)
    }

    fn labels(&self, number: u64) -> Reply {
        let path = format!("{REPO}/issues/{{issue_number}}/labels");
        let body = self.given(&path, "post");
        let new = body["labels"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        let mut state = self.shared.state();
        let labels = state.labels.entry((self.repo.clone(), number)).or_default();
        labels.extend(new);
        labels.sort();
        labels.dedup();
        let labels = labels.clone();
        drop(state);
        let shape = self.example(&path, "post", 200);
        let all = labels.iter().map(|name| {
            let mut label = shape.clone();
            label["name"] = json!(name);
            label
        });
        self.says(&path, "post", 200, &all.collect())
    }

    fn unlabel(&self, number: u64, name: &str) -> Reply {
        let path = format!("{REPO}/issues/{{issue_number}}/labels/{{name}}");
        let mut state = self.shared.state();
        let labels = state.labels.entry((self.repo.clone(), number)).or_default();
        let before = labels.len();
        labels.retain(|label| label != name);
        let (found, labels) = (labels.len() < before, labels.clone());
        drop(state);
        if !found {
            return Reply::refusal(404, "Label does not exist");
        }
        let shape = self.example(&path, "delete", 200);
        let all = labels.iter().map(|name| {
            let mut label = shape.clone();
            label["name"] = json!(name);
            label
        });
        self.says(&path, "delete", 200, &all.collect())
    }

    async fn status(&self, sha: &str) -> Reply {
        let path = format!("{REPO}/statuses/{{sha}}");
        let body = self.given(&path, "post");
        if self.shared.sha(&self.repo, sha).await.as_deref() != Some(sha) {
            return Reply::refusal(422, &format!("No commit found for SHA: {sha}"));
        }
        let mut shape = self.example(&path, "post", 201);
        patch(&mut shape, body.clone());
        self.shared.state().statuses.push((self.repo.clone(), sha.to_owned(), body));
        self.says(&path, "post", 201, &shape)
    }

    fn check(&self, id: Option<u64>) -> Reply {
        let (path, method, status) = match id {
            None => (format!("{REPO}/check-runs"), "post", 201),
            Some(_) => (format!("{REPO}/check-runs/{{check_run_id}}"), "patch", 200),
        };
        let body = self.given(&path, method);
        let Some(Account::App(app)) = &self.ask.account else {
            return Reply::refusal(403, "You must authenticate via a GitHub App.");
        };
        if body["output"]["summary"].as_str().is_some_and(|text| text.chars().count() > 65_535) {
            return too_long();
        }
        let mut state = self.shared.state();
        let id = id.unwrap_or_else(|| state.id());
        if method == "patch" && !state.checks.contains_key(&id) {
            return Reply::refusal(404, "Not Found");
        }
        let mut kept = body.clone();
        kept["app"] = json!(app);
        state.checks.entry(id).or_default().push(kept);
        drop(state);
        let mut shape = self.example(&path, method, status);
        patch(
            &mut shape,
            json!({"id": id, "name": body["name"], "status": body["status"], "conclusion": body["conclusion"]}),
        );
        self.says(&path, method, status, &shape)
    }

    fn dispatch(&self, path: &str, status: u16) -> Reply {
        let body = self.given(path, "post");
        let details = body["return_run_details"] == true;
        let mut state = self.shared.state();
        let id = state.id();
        let file = self.ask.path.split('/').rev().nth(1).unwrap_or_default().to_owned();
        let (event, title, file) = match body["event_type"].as_str() {
            Some(word) => ("repository_dispatch", word.to_owned(), "on-dispatch.yml".to_owned()),
            None => ("workflow_dispatch", "Build".to_owned(), file),
        };
        let (repo, path_of) = (self.repo.clone(), format!(".github/workflows/{file}"));
        state.workflow_runs.push(WorkflowRun { id, repo, event, path: path_of, title, conclusion: None, pull: None });
        state.dispatches.push((self.ask.path.clone(), body));
        drop(state);
        let status = if details { status } else { 204 };
        let mut shape = if status == 200 { self.example(path, "post", 200) } else { Value::Null };
        if status == 200 {
            shape["workflow_run_id"] = json!(id);
        }
        self.says(path, "post", status, &shape)
    }

    /// A pull request, as runs of workflows name it.
    fn numbered(&self, number: u64) -> Value {
        let repo = json!({"id": 1_296_269, "url": format!("{}/repos/{}", self.ask.base, self.repo), "name": "churn"});
        let end = |branch: &str| json!({"ref": branch, "sha": "0".repeat(40), "repo": repo});
        let url = format!("{}/repos/{}/pulls/{number}", self.ask.base, self.repo);
        json!({"id": number, "number": number, "url": url, "head": end("topic"), "base": end("main")})
    }

    fn shape_run(&self, run: &WorkflowRun) -> Value {
        let mut shape = self.example(&format!("{REPO}/actions/runs"), "get", 200)["workflow_runs"][0].clone();
        let status = if run.conclusion.is_some() { "completed" } else { "in_progress" };
        patch(
            &mut shape,
            json!({
                "id": run.id, "event": run.event, "path": run.path, "display_title": run.title, "status": status,
                "workflow_id": run.path.rsplit('/').next().and_then(|file| file.parse::<u64>().ok()).unwrap_or(161_335),
                "pull_requests": run.pull.iter().map(|number| self.numbered(*number)).collect::<Vec<_>>(),
                "conclusion": run.conclusion, "html_url": format!("{}/{}/actions/runs/{}", self.ask.base, self.repo, run.id),
            }),
        );
        shape
    }

    fn workflow_runs(&self) -> Reply {
        let wanted = self.ask.query("event");
        let mut found: Vec<WorkflowRun> = self.shared.state().workflow_runs.clone();
        found.retain(|run| run.repo == self.repo && wanted.as_deref().is_none_or(|wanted| wanted == run.event));
        found.reverse();
        let shaped: Vec<Value> = found.iter().map(|run| self.shape_run(run)).collect();
        let total = shaped.len();
        let path = format!("{REPO}/actions/runs");
        self.list(&path, &shaped, |page| json!({"total_count": total, "workflow_runs": page}))
    }

    /// Newest first, as GitHub lists them.
    fn artifacts(&self) -> Reply {
        let path = format!("{REPO}/actions/artifacts");
        let mut found: Vec<Artifact> = self.shared.state().artifacts.clone();
        found.retain(|artifact| artifact.repo == self.repo);
        found.sort_by_key(|artifact| std::cmp::Reverse((artifact.created, artifact.id)));
        let shaped = found.iter().map(|artifact| {
            let mut shape = self.example(&path, "get", 200)["artifacts"][0].clone();
            let created = artifact.created.to_string();
            let head = if artifact.fork { 7 } else { 1_296_269 };
            patch(
                &mut shape,
                json!({
                    "id": artifact.id, "name": artifact.name, "created_at": created, "updated_at": created,
                    "expired": artifact.expired, "workflow_run": {
                        "id": artifact.run, "repository_id": 1_296_269, "head_repository_id": head,
                        "head_branch": artifact.branch, "head_sha": artifact.sha,
                    },
                }),
            );
            shape
        });
        let shaped: Vec<Value> = shaped.collect();
        let total = shaped.len();
        self.list(&path, &shaped, |page| json!({"total_count": total, "artifacts": page}))
    }

    fn workflow_run(&self, id: u64) -> Reply {
        let state = self.shared.state();
        let found = state.workflow_runs.iter().find(|run| run.id == id && run.repo == self.repo).cloned();
        let told = (state.over.contains(&id) || state.going.contains(&id)).then(|| WorkflowRun {
            conclusion: state.over.contains(&id).then_some("failure"),
            ..WorkflowRun::going(id, &self.repo, "soopervisor-comment.yml")
        });
        let found = found.or(told);
        drop(state);
        match found {
            Some(run) => self.says(&format!("{REPO}/actions/runs/{{run_id}}"), "get", 200, &self.shape_run(&run)),
            None => Reply::refusal(404, "Not Found"),
        }
    }

    /// Check runs of a commit; who made one is told by the first thing it was told.
    fn checks(&self, sha: &str) -> Reply {
        let path = format!("{REPO}/commits/{{ref}}/check-runs");
        let wanted = self.ask.query("check_name");
        let checks = self.shared.state().checks.clone();
        let of = |told: &Vec<Value>| {
            told[0]["head_sha"] == sha && wanted.as_deref().is_none_or(|wanted| told[0]["name"] == wanted)
        };
        let example = self.example(&path, "get", 200)["check_runs"][0].clone();
        let shaped = checks.iter().filter(|(_, told)| of(told)).map(|(id, told)| {
            let (mut shape, last) = (example.clone(), &told[told.len() - 1]);
            patch(&mut shape, json!({"id": id, "name": told[0]["name"], "head_sha": sha, "status": last["status"]}));
            shape["conclusion"] = last["conclusion"].clone();
            shape["app"]["slug"] = told[0]["app"].clone();
            shape
        });
        let shaped: Vec<Value> = shaped.collect();
        let total = shaped.len();
        self.list(&path, &shaped, |page| json!({"total_count": total, "check_runs": page}))
    }

    fn cancel(&self, run: u64) -> Reply {
        let path = format!("{REPO}/actions/runs/{{run_id}}/cancel");
        let mut state = self.shared.state();
        if state.over.contains(&run) {
            return Reply::refusal(409, "Cannot cancel a workflow run that is completed.");
        }
        state.cancelled.push(run);
        drop(state);
        self.says(&path, "post", 202, &json!({}))
    }

    /// One page of a list, with the addresses of the others: absolute, as GitHub writes them.
    fn list(&self, path: &str, all: &[Value], wrap: impl Fn(Value) -> Value) -> Reply {
        let wanted = |name: &str, usual| self.ask.query(name).and_then(|text| text.parse().ok()).unwrap_or(usual);
        let size = wanted("per_page", 30).min(self.shared.state().page);
        let page = wanted("page", 1).max(1);
        let entries: Vec<Value> = all.iter().skip((page - 1) * size).take(size).cloned().collect();
        let reply = self.says(path, "get", 200, &wrap(Value::Array(entries)));
        if all.len() <= page * size {
            return reply;
        }
        let others = self.ask.query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("page="));
        let query = others.map(str::to_owned).chain([format!("page={}", page + 1)]).collect::<Vec<_>>().join("&");
        reply.with("link", &format!("<{}{}?{query}>; rel=\"next\"", self.ask.base, self.ask.path))
    }
}

fn too_long() -> Reply {
    let body = json!({
        "message": "Validation Failed", "documentation_url": "https://docs.github.com/rest", "errors": [{"resource": "IssueComment", "code": "unprocessable", "field": "data", "message": "Body is too long (maximum is 65536 characters)"}],
    });
    Reply::json(422, &body)
}
