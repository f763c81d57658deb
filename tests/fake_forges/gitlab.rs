//! GitLab's paths and words.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::state::{Note, Started};
use super::{Ask, Person, Reply, State, page};

const PROJECT: u64 = 17;
/// The project's trigger token.
pub const TRIGGER: &str = "glptt-of-churn";

fn missing(what: &str) -> Reply {
    Reply::json(404, json!({"message": format!("404 {what} Not Found")}))
}

pub fn answer(state: &mut State, ask: &Ask) -> Reply {
    let whole = ask.path.trim_start_matches('/').to_owned();
    let parts: Vec<String> = whole.split('/').map(plain).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match parts[..] {
        ["user"] => Reply::json(200, person(&ask.person)),
        ["users"] => {
            let wanted = ask.query("username").unwrap_or_default();
            let found = state.people.iter().filter(|person| person.login.eq_ignore_ascii_case(wanted)).map(person);
            Reply::json(200, Value::Array(found.collect()))
        }
        ["projects", id] => project(state, id),
        ["projects", id, ref rest @ ..] if is_ours(state, id) => inside(state, ask, rest),
        _ => missing("Project"),
    }
}

/// A part of a path without its escapes.
fn plain(part: &str) -> String {
    let text = part.replace('+', "%2B");
    let pair = format!("x={text}");
    url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

fn is_ours(state: &State, id: &str) -> bool {
    id == state.name || id == PROJECT.to_string()
}

fn project(state: &State, id: &str) -> Reply {
    let of = |id: u64, path: &str| {
        json!({"id": id, "path_with_namespace": path, "default_branch": "main", "visibility": "private",
            "name": "churn", "web_url": format!("https://gitlab.example/{path}")})
    };
    if is_ours(state, id) {
        return Reply::json(200, of(PROJECT, state.name));
    }
    let forks = state.merges.values().filter_map(|merge| merge.source.clone());
    let fork = forks.into_iter().find(|(number, _)| number.to_string() == id);
    fork.map_or_else(|| missing("Project"), |(number, path)| Reply::json(200, of(number, &path)))
}

fn inside(state: &mut State, ask: &Ask, rest: &[&str]) -> Reply {
    match (ask.method.as_str(), rest) {
        ("GET", ["members", "all", id]) => member(state, id),
        ("GET", ["repository", "branches", "main"]) => {
            Reply::json(200, json!({"name": "main", "commit": {"id": state.main}}))
        }
        ("GET", ["repository", "branches", _]) => missing("Branch"),
        ("GET", ["repository", "commits", revision]) => {
            let found = state.resolve(revision).map(|id| json!({"id": id, "short_id": id[..8], "title": "t"}));
            found.map_or_else(|| missing("Commit"), |commit| Reply::json(200, commit))
        }
        ("GET", ["repository", "commits", commit, "merge_requests"]) => {
            if !state.line.iter().any(|known| known == commit) {
                return missing("Commit");
            }
            let has = |head: &str| state.between(&state.main, head).iter().any(|known| known == commit);
            let numbers = state.merges.iter().filter(|(_, merge)| has(&merge.head)).map(|(number, _)| *number);
            let found = numbers.map(|number| {
                let mut listed = described(state, number);
                // Lists have less of each.
                listed.as_object_mut().unwrap().remove("diff_refs");
                listed
            });
            page(ask, "per_page", state, found.collect())
        }
        ("GET", ["repository", "files", path, "raw"]) => {
            let found = state.file(ask.query("ref").unwrap_or("main"), path);
            found.map_or_else(|| missing("File"), |text| Reply::text(&text))
        }
        ("GET", ["repository", "compare"]) => {
            let (Some(from), Some(to)) = (ask.query("from"), ask.query("to")) else { return missing("Ref") };
            let commits = state.between(from, to);
            let commits: Vec<Value> = commits.iter().rev().map(|id| json!({"id": id, "title": "t"})).collect();
            Reply::json(
                200,
                json!({"commits": commits, "diffs": [], "compare_timeout": false, "compare_same_ref": false}),
            )
        }
        ("GET", ["events"]) => events(state, ask),
        ("POST", ["statuses", commit]) => status(state, ask, commit),
        (_, ["merge_requests", number, rest @ ..]) => {
            let number: u64 = number.parse().unwrap_or(0);
            if state.merges.contains_key(&number) {
                merge_request(state, ask, number, rest)
            } else {
                missing("Merge Request")
            }
        }
        (_, ["pipeline" | "pipelines" | "trigger", ..]) => pipelines(state, ask, rest),
        _ => missing("Page"),
    }
}

fn person(person: &Person) -> Value {
    json!({"id": person.id, "username": person.login, "name": person.login, "state": "active"})
}

fn member(state: &State, id: &str) -> Reply {
    let found = state.people.iter().find(|person| person.id.to_string() == id);
    match found.and_then(|found| Some((found, found.level?))) {
        Some((found, level)) => {
            let mut value = person(found);
            value["access_level"] = json!(level);
            Reply::json(200, value)
        }
        None => missing("Not found"),
    }
}

fn note(state: &State, note: &Note) -> Value {
    json!({"id": note.id, "type": null, "body": note.body, "author": person(state.person(note.author)),
        "created_at": note.created.to_string(), "updated_at": note.updated.to_string(), "system": note.system,
        "noteable_id": 5000 + note.number, "noteable_type": "MergeRequest", "noteable_iid": note.number,
        "project_id": PROJECT, "resolvable": false, "confidential": false, "internal": false})
}

fn merge_request(state: &mut State, ask: &Ask, number: u64, rest: &[&str]) -> Reply {
    match (ask.method.as_str(), rest) {
        ("GET", []) => Reply::json(200, described(state, number)),
        ("PUT", []) => {
            let words = |name: &str| -> Vec<String> {
                let text = match &ask.body[name] {
                    Value::Array(names) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
                    other => other.as_str().unwrap_or_default().to_owned(),
                };
                text.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect()
            };
            let labels = state.labels.entry(number).or_default();
            labels.extend(words("add_labels"));
            labels.sort();
            labels.dedup();
            labels.retain(|label| !words("remove_labels").contains(label));
            Reply::json(200, described(state, number))
        }
        ("GET", ["versions"]) => {
            let heads = state.merges[&number].heads.clone();
            let versions = heads.iter().rev().enumerate().map(|(id, (head, at))| {
                json!({"id": id + 1, "head_commit_sha": head, "base_commit_sha": state.line[0], "start_commit_sha": state.main,
                    "created_at": at.to_string(), "merge_request_id": 5000 + number, "state": "collected"})
            });
            page(ask, "per_page", state, versions.collect())
        }
        ("GET", ["notes"]) => {
            let found =
                state.notes.iter().filter(|note| note.number == number).map(|found| note(state, found)).collect();
            page(ask, "per_page", state, found)
        }
        ("POST", ["notes"]) => {
            let body = ask.body["body"].as_str().unwrap_or_default().to_owned();
            if body.lines().any(|line| line.starts_with("/merge") || line.starts_with("/label")) {
                state.complaints.push(format!("a note that commands GitLab: {body}"));
            }
            let (id, created) = (state.number(), Timestamp::now());
            let new = Note { id, number, author: ask.person.id, body, created, updated: created, system: false };
            state.notes.push(new.clone());
            Reply::json(201, note(state, &new))
        }
        ("PUT", ["notes", id]) => {
            let Some(place) = state.notes.iter().position(|note| note.id.to_string() == *id && note.number == number)
            else {
                return missing("Note");
            };
            if state.notes[place].author != ask.person.id {
                return Reply::json(403, json!({"message": "403 Forbidden"}));
            }
            ask.body["body"].as_str().unwrap_or_default().clone_into(&mut state.notes[place].body);
            state.notes[place].updated = Timestamp::now();
            Reply::json(200, note(state, &state.notes[place]))
        }
        ("POST", ["notes", id, "award_emoji"]) => award(state, ask, id),
        _ => missing("Page"),
    }
}

fn award(state: &mut State, ask: &Ask, id: &str) -> Reply {
    let Some(found) = state.notes.iter().find(|note| note.id.to_string() == *id).map(|note| note.id) else {
        return missing("Note");
    };
    let face = ask.body["name"].as_str().unwrap_or_default().to_owned();
    let one = (found, ask.person.login.clone(), face.clone());
    if state.faces.contains(&one) {
        return missing("Award Emoji Name has already been taken");
    }
    state.faces.push(one);
    Reply::json(
        201,
        json!({"id": 1, "name": face, "user": person(&ask.person), "awardable_id": found, "awardable_type": "Note"}),
    )
}

fn described(state: &State, number: u64) -> Value {
    let merge = &state.merges[&number];
    let source = merge.source.as_ref().map_or(PROJECT, |(id, _)| *id);
    json!({"id": 5000 + number, "iid": number, "project_id": PROJECT, "title": "t", "state": if merge.open { "opened" } else { "closed" },
        "sha": merge.head, "source_branch": merge.branch, "target_branch": "main", "source_project_id": source,
        "target_project_id": PROJECT, "labels": state.labels.get(&number).cloned().unwrap_or_default(),
        "diff_refs": {"base_sha": state.line[0], "head_sha": merge.head, "start_sha": state.main}})
}

fn status(state: &mut State, ask: &Ask, commit: &str) -> Reply {
    if !state.line.iter().any(|known| known == commit) {
        return missing("Commit");
    }
    let word = |name: &str| ask.body[name].as_str().unwrap_or_default().to_owned();
    let (status, name) = (word("state"), word("name"));
    if !["pending", "running", "success", "failed", "canceled", "skipped"].contains(&status.as_str()) {
        return Reply::json(400, json!({"error": "state does not have a valid value"}));
    }
    let last = state.statuses.iter().rev().find(|(of, status)| of == commit && status["name"] == name.as_str());
    if last
        .is_some_and(|(_, last)| last["state"] == status.as_str() && matches!(status.as_str(), "pending" | "running"))
    {
        let words = format!(
            "Cannot transition status via :enqueue from :{status} (Reason(s): Status cannot transition via \"enqueue\")"
        );
        return Reply::json(400, json!({"message": words}));
    }
    state.statuses.push((commit.to_owned(), ask.body.clone()));
    let id = state.number();
    Reply::json(
        201,
        json!({"id": id, "sha": commit, "name": name, "status": status, "target_url": ask.body["target_url"],
        "description": ask.body["description"], "ref": "topic", "author": person(&ask.person)}),
    )
}

/// Notes of a project after a day, that one not among them.
fn events(state: &State, ask: &Ask) -> Reply {
    let after: jiff::civil::Date = ask.query("after").unwrap_or("1970-01-01").parse().unwrap();
    let day = |at: Timestamp| at.to_zoned(jiff::tz::TimeZone::UTC).date();
    let found = state.notes.iter().filter(|note| day(note.created) > after).map(|found| {
        json!({"id": found.id + 90_000, "project_id": PROJECT, "action_name": "commented on", "target_type": "Note",
            "created_at": found.created.to_string(), "author": person(state.person(found.author)), "note": note(state, found)})
    });
    let found: Vec<Value> = found.collect();
    page(ask, "per_page", state, found)
}

/// Who has a trigger's token names variables and their values, who has an account lists them.
fn source(started: &Started) -> &'static str {
    if started.what.is_object() { "trigger" } else { "api" }
}

fn pipelines(state: &mut State, ask: &Ask, rest: &[&str]) -> Reply {
    let told = |started: &Started| {
        let source = source(started);
        json!({"id": started.id, "iid": 1, "project_id": PROJECT, "status": started.status, "source": source,
            "ref": started.reference, "sha": "a".repeat(40), "web_url": "https://gitlab.example/p", "name": null})
    };
    match (ask.method.as_str(), rest) {
        ("POST", ["pipeline"]) => {
            let reference = ask.body["ref"].as_str().unwrap_or_default().to_owned();
            if state.resolve(&reference).is_none() {
                return Reply::json(400, json!({"message": {"base": ["Reference not found"]}}));
            }
            let (id, what, status) = (state.number(), ask.body["variables"].clone(), "created".to_owned());
            state.started.push(Started { id, reference, what, status });
            Reply::json(201, told(state.started.last().unwrap()))
        }
        ("POST", ["trigger", "pipeline"]) => {
            if !ask.person.login.is_empty() {
                state.complaints.push(format!("{} shows a token of its own besides a trigger's", ask.person.login));
            }
            if ask.body["token"] != TRIGGER {
                return missing("Trigger");
            }
            let reference = ask.body["ref"].as_str().unwrap_or_default().to_owned();
            let (id, what, status) = (state.number(), ask.body["variables"].clone(), "created".to_owned());
            state.started.push(Started { id, reference, what, status });
            Reply::json(201, told(state.started.last().unwrap()))
        }
        ("GET", ["pipelines"]) => {
            let wanted = |started: &&Started| ask.query("source").is_none_or(|wanted| wanted == source(started));
            let found = state.started.iter().rev().filter(wanted).map(told).collect();
            page(ask, "per_page", state, found)
        }
        ("GET", ["pipelines", id]) => {
            let found = state.started.iter().find(|started| started.id.to_string() == *id).map(told);
            found.map_or_else(|| missing("Pipeline"), |found| Reply::json(200, found))
        }
        ("POST", ["pipelines", id, "cancel"]) => {
            let Some(found) = state.started.iter_mut().find(|started| started.id.to_string() == *id) else {
                return missing("Pipeline");
            };
            "canceled".clone_into(&mut found.status);
            Reply::json(200, told(found))
        }
        _ => missing("Page"),
    }
}
