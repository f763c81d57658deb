//! Forgejo's paths and words. Each request and answer is held to its own description.

use std::path::Path;
use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::state::{Note, Started};
use super::{Ask, Person, Reply, State, page, thinned};
use crate::fake_github::Schema;

static DESCRIBED: LazyLock<Value> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/forgejo/api.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
});
const REPO: &str = "/repos/{owner}/{repo}";

fn missing() -> Reply {
    Reply::json(404, json!({"message": "The target couldn't be found.", "url": "https://forgejo.example/api/swagger"}))
}

pub fn answer(state: &mut State, ask: &Ask) -> Reply {
    let parts: Vec<&str> = ask.path.trim_start_matches('/').split('/').collect();
    let (path, reply) = match parts[..] {
        ["user"] => ("/user".to_owned(), Reply::json(200, person(&ask.person))),
        ["orgs", _, "labels"] => ("/orgs/{org}/labels".to_owned(), page(ask, "limit", state, Vec::new())),
        ["repos", owner, name, ref rest @ ..] => {
            let repo = format!("{owner}/{name}");
            let known = repo == state.name
                || state.merges.values().any(|merge| merge.source.as_ref().is_some_and(|fork| fork.1 == repo));
            if !known {
                return missing();
            }
            let (path, reply) = inside(state, ask, &repo, rest);
            (format!("{REPO}{path}"), reply)
        }
        _ => return missing(),
    };
    judge(state, ask, &path, &reply);
    reply
}

/// Whether the request and the answer are as Forgejo describes them.
fn judge(state: &mut State, ask: &Ask, path: &str, reply: &Reply) {
    let method = ask.method.to_lowercase();
    let operation = &DESCRIBED["paths"][path][&method];
    if !operation.is_object() {
        state.complaints.push(format!("{method} {path} is not described"));
        return;
    }
    let schema = Schema { components: &DESCRIBED["components"] };
    let mut wrong = Vec::new();
    for (name, _) in &ask.query {
        // Of Gitea's, which Forgejo does not look at.
        let known = operation["query"].as_array().unwrap().iter().any(|known| known == name.as_str());
        if !known && name != "return_run_details" {
            wrong.push(format!("`{name}` is not asked with"));
        }
    }
    if !operation["request"].is_null() && !ask.body.as_object().is_none_or(serde_json::Map::is_empty) {
        wrong.extend(schema.judge(&operation["request"], &ask.body, "asked"));
    }
    let answers = &operation["responses"][reply.status.to_string()];
    if operation["responses"].get(reply.status.to_string()).is_none() {
        wrong.push(format!("{} is not answered", reply.status));
    } else if reply.text.is_none() && !answers.is_null() && !reply.body.is_null() {
        wrong.extend(schema.judge(answers, &reply.body, "answered"));
    }
    state.complaints.extend(wrong.into_iter().map(|wrong| format!("{method} {path}: {wrong}")));
}

fn inside(state: &mut State, ask: &Ask, repo: &str, rest: &[&str]) -> (&'static str, Reply) {
    let method = ask.method.as_str();
    match (method, rest) {
        ("GET", []) => ("", Reply::json(200, repository(repo))),
        ("GET", ["collaborators", login, "permission"]) => {
            ("/collaborators/{collaborator}/permission", permission(state, ask, login))
        }
        ("GET", ["git", "commits", revision]) => {
            let revision = revision.replace("%2F", "/");
            let found = state.resolve(&revision).map(|commit| described(state, &commit));
            ("/git/commits/{sha}", found.map_or_else(missing, |commit| Reply::json(200, commit)))
        }
        ("GET", ["raw", path @ ..]) => {
            let found = state.file(ask.query("ref").unwrap_or("main"), &path.join("/"));
            ("/raw/{filepath}", found.map_or_else(missing, |text| Reply::text(&text)))
        }
        ("GET", ["compare", ends]) => ("/compare/{basehead}", compare(state, ends)),
        ("GET", ["pulls"]) => {
            let wanted = |open: bool| ask.query("state").unwrap_or("open") == if open { "open" } else { "closed" };
            let numbers = state.merges.iter().filter(|(_, merge)| wanted(merge.open)).map(|(number, _)| *number);
            let found = numbers.map(|number| pull(state, number).body).collect();
            ("/pulls", page(ask, "limit", state, found))
        }
        ("GET", ["pulls", number]) => ("/pulls/{index}", pull(state, number.parse().unwrap_or(0))),
        ("GET", ["activities", "feeds"]) => ("/activities/feeds", feed(state, repo)),
        ("POST", ["statuses", commit]) => ("/statuses/{sha}", status(state, ask, commit)),
        ("GET", ["labels"]) => {
            let all = state.known_labels.iter().map(|(id, name)| label(*id, name)).collect();
            ("/labels", page(ask, "limit", state, all))
        }
        ("POST", ["labels"]) => {
            let (id, name) = (state.number(), ask.body["name"].as_str().unwrap_or_default().to_owned());
            state.known_labels.push((id, name.clone()));
            ("/labels", Reply::json(201, label(id, &name)))
        }
        (_, ["issues", rest @ ..]) => issues(state, ask, rest),
        (_, ["actions", rest @ ..]) => actions(state, ask, rest),
        _ => ("/nowhere", missing()),
    }
}

fn person(person: &Person) -> Value {
    json!({"id": person.id, "login": person.login, "full_name": "", "email": "", "is_admin": false})
}

fn repository(name: &str) -> Value {
    json!({"id": 17, "full_name": name, "name": name.rsplit('/').next(), "default_branch": "main", "private": true, "fork": name != super::FLAT})
}

/// Only administrators are told of others.
fn permission(state: &State, ask: &Ask, login: &str) -> Reply {
    let own = ask.person.login.eq_ignore_ascii_case(login);
    if !own && ask.person.level.is_none_or(|level| level < 40) {
        return Reply::json(403, json!({"message": "Only admins can query all permissions", "url": ""}));
    }
    let Some(found) = state.named(login) else { return missing() };
    let word = match found.level {
        Some(50..) => "owner",
        Some(40..) => "admin",
        Some(30..) => "write",
        Some(_) => "read",
        None => "none",
    };
    Reply::json(200, json!({"permission": word, "role_name": word, "user": person(found)}))
}

fn described(state: &State, commit: &str) -> Value {
    let parents: Vec<Value> = state.parent(commit).iter().map(|sha| json!({"sha": sha, "url": ""})).collect();
    json!({"sha": commit, "parents": parents, "html_url": "", "url": ""})
}

fn compare(state: &State, ends: &str) -> Reply {
    let ends = ends.replace("%2F", "/");
    let Some((from, to)) = ends.split_once("...") else { return missing() };
    if state.resolve(from).is_none() || state.resolve(to).is_none() {
        return missing();
    }
    let commits: Vec<Value> = state.between(from, to).iter().map(|commit| described(state, commit)).collect();
    Reply::json(200, json!({"total_commits": commits.len(), "commits": commits, "files": []}))
}

fn pull(state: &State, number: u64) -> Reply {
    let Some(merge) = state.merges.get(&number) else { return missing() };
    let source = merge.source.as_ref().map_or(state.name, |(_, name)| name.as_str());
    let end = |repo: &str, branch: &str, commit: &str| json!({"label": branch, "ref": branch, "sha": commit, "repo_id": 17, "repo": repository(repo)});
    Reply::json(
        200,
        json!({"id": 5000 + number, "number": number, "state": if merge.open { "open" } else { "closed" }, "title": "t",
        "head": end(source, &merge.branch, &merge.head), "base": end(state.name, "main", &state.main)}),
    )
}

/// The push before a pull request was opened is only here.
fn feed(state: &State, repo: &str) -> Reply {
    let of =
        state.merges.values().filter(|merge| merge.source.as_ref().map_or(state.name, |fork| fork.1.as_str()) == repo);
    let pushes = of.filter_map(|merge| Some((merge, merge.heads.first()?))).map(|(merge, (head, at))| {
        let content = json!({"Commits": [{"Sha1": head, "Message": "t"}], "HeadCommit": {"Sha1": head}, "Len": 1});
        json!({"id": 1, "op_type": "commit_repo", "ref_name": format!("refs/heads/{}", merge.branch), "is_private": false,
            "content": content.to_string(), "created": at.to_string()})
    });
    Reply::json(200, Value::Array(pushes.collect()))
}

fn status(state: &mut State, ask: &Ask, commit: &str) -> Reply {
    if !state.line.iter().any(|known| known == commit) {
        return missing();
    }
    state.statuses.push((commit.to_owned(), ask.body.clone()));
    let id = state.number();
    Reply::json(
        201,
        json!({"id": id, "status": ask.body["state"], "context": ask.body["context"], "description": ask.body["description"],
        "target_url": ask.body["target_url"], "url": ""}),
    )
}

fn label(id: u64, name: &str) -> Value {
    json!({"id": id, "name": name, "color": "ededed", "description": "", "exclusive": false, "is_archived": false, "url": ""})
}

fn comment(state: &State, ask: &Ask, note: &Note) -> Value {
    let page = format!("{}/{}/pulls/{}", ask.server, state.name, note.number);
    json!({"id": note.id, "body": note.body, "user": person(state.person(note.author)), "created_at": note.created.to_string(),
        "updated_at": note.updated.to_string(), "html_url": format!("{page}#issuecomment-{}", note.id), "issue_url": "",
        "pull_request_url": page, "assets": []})
}

fn issues(state: &mut State, ask: &Ask, rest: &[&str]) -> (&'static str, Reply) {
    match (ask.method.as_str(), rest) {
        ("GET", ["comments"]) => {
            let since: Timestamp = ask.query("since").unwrap_or("1970-01-01T00:00:00Z").parse().unwrap();
            let found = state.notes.iter().filter(|note| note.updated >= since).map(|note| comment(state, ask, note));
            let found: Vec<Value> = found.collect();
            ("/issues/comments", page(ask, "limit", state, found))
        }
        ("PATCH", ["comments", id]) => {
            let path = "/issues/comments/{id}";
            let Some(place) = state.notes.iter().position(|note| note.id.to_string() == *id) else {
                return (path, missing());
            };
            ask.body["body"].as_str().unwrap_or_default().clone_into(&mut state.notes[place].body);
            state.notes[place].updated = Timestamp::now();
            (path, Reply::json(200, comment(state, ask, &state.notes[place])))
        }
        ("POST", ["comments", id, "reactions"]) => {
            let path = "/issues/comments/{id}/reactions";
            let Some(id) = state.notes.iter().find(|note| note.id.to_string() == *id).map(|note| note.id) else {
                return (path, missing());
            };
            let face = ask.body["content"].as_str().unwrap_or_default().to_owned();
            let one = (id, ask.person.login.clone(), face.clone());
            let known = state.faces.contains(&one);
            if !known {
                state.faces.push(one);
            }
            let told =
                json!({"content": face, "user": person(&ask.person), "created_at": Timestamp::now().to_string()});
            (path, Reply::json(if known { 200 } else { 201 }, told))
        }
        (method, [number, rest @ ..]) => of_one(state, ask, method, number.parse().unwrap_or(0), rest),
        _ => ("/nowhere", missing()),
    }
}

fn of_one(state: &mut State, ask: &Ask, method: &str, number: u64, rest: &[&str]) -> (&'static str, Reply) {
    match (method, rest) {
        ("GET", ["comments"]) => {
            let found = state.notes.iter().filter(|note| note.number == number).map(|note| comment(state, ask, note));
            ("/issues/{index}/comments", Reply::json(200, Value::Array(found.collect())))
        }
        ("POST", ["comments"]) => {
            let (id, created, body) =
                (state.number(), Timestamp::now(), ask.body["body"].as_str().unwrap_or_default().to_owned());
            let new = Note { id, number, author: ask.person.id, body, created, updated: created, system: false };
            state.notes.push(new.clone());
            ("/issues/{index}/comments", Reply::json(201, comment(state, ask, &new)))
        }
        ("GET", ["timeline"]) => {
            let heads = state.merges.get(&number).map(|merge| merge.heads.clone()).unwrap_or_default();
            let mut entries: Vec<Option<Value>> = state.notes.iter().filter(|note| note.number == number).map(|note| {
                Some(json!({"id": note.id, "type": "comment", "body": note.body, "created_at": note.created.to_string()}))
            }).collect();
            entries.resize(entries.len() + state.code_comments, None);
            // What was there when it was opened is no entry.
            entries.extend(heads.iter().skip(1).map(|(head, at)| {
                let body = json!({"is_force_push": false, "commit_ids": [head]}).to_string();
                Some(json!({"id": 1, "type": "pull_push", "body": body, "created_at": at.to_string()}))
            }));
            ("/issues/{index}/timeline", thinned(ask, state, entries))
        }
        ("GET", ["labels"]) => ("/issues/{index}/labels", Reply::json(200, labels(state, number))),
        ("POST", ["labels"]) => {
            let wanted: Vec<u64> =
                ask.body["labels"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
            let names = state.known_labels.iter().filter(|(id, _)| wanted.contains(id)).map(|(_, name)| name.clone());
            let names: Vec<String> = names.collect();
            let known = state.labels.entry(number).or_default();
            known.extend(names);
            known.sort();
            known.dedup();
            ("/issues/{index}/labels", Reply::json(200, labels(state, number)))
        }
        ("DELETE", ["labels", id]) => {
            let name =
                state.known_labels.iter().find(|(known, _)| known.to_string() == *id).map(|(_, name)| name.clone());
            state.labels.entry(number).or_default().retain(|label| Some(label) != name.as_ref());
            ("/issues/{index}/labels/{identifier}", Reply::empty(204))
        }
        _ => ("/nowhere", missing()),
    }
}

fn labels(state: &State, number: u64) -> Value {
    let names = state.labels.get(&number).cloned().unwrap_or_default();
    let of =
        |name: &String| state.known_labels.iter().find(|(_, known)| known == name).map(|(id, name)| label(*id, name));
    Value::Array(names.iter().filter_map(of).collect())
}

fn actions(state: &mut State, ask: &Ask, rest: &[&str]) -> (&'static str, Reply) {
    let told = |started: &Started| {
        json!({"id": started.id, "title": "t", "workflow_id": started.what["workflow"], "status": started.status,
            "event": "workflow_dispatch", "trigger_event": "workflow_dispatch", "html_url": "https://forgejo.example/r"})
    };
    match (ask.method.as_str(), rest) {
        ("POST", ["workflows", workflow, "dispatches"]) => {
            let reference = ask.body["ref"].as_str().unwrap_or_default().to_owned();
            let what = json!({"workflow": workflow, "inputs": ask.body["inputs"]});
            let id = state.number();
            state.started.push(Started { id, reference, what, status: "running".to_owned() });
            let reply = if ask.body["return_run_info"] == true {
                Reply::json(201, json!({"id": id, "run_number": 1, "jobs": ["build"]}))
            } else {
                Reply::empty(204)
            };
            ("/actions/workflows/{workflowfilename}/dispatches", reply)
        }
        ("GET", ["runs"]) => {
            let runs: Vec<Value> = state.started.iter().rev().map(told).collect();
            ("/actions/runs", Reply::json(200, json!({"total_count": runs.len(), "workflow_runs": runs})))
        }
        ("GET", ["runs", id]) => {
            let found = state.started.iter().find(|started| started.id.to_string() == *id).map(told);
            ("/actions/runs/{run_id}", found.map_or_else(missing, |found| Reply::json(200, found)))
        }
        ("POST", ["runs", id, "cancel"]) => {
            if let Some(found) = state.started.iter_mut().find(|started| started.id.to_string() == *id) {
                "cancelled".clone_into(&mut found.status);
            }
            ("/actions/runs/{run_id}/cancel", Reply::empty(204))
        }
        _ => ("/nowhere", missing()),
    }
}
