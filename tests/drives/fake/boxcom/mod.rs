//! Box: everything by id, names in a folder are unique without regard to case, uploads on a host of their own.

mod chunked;
mod folders;
mod items;
mod upload;

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::ask::{Answer, Ask, Refusal, Reply};
use super::tree::Node;
use super::{Account, Drive, Shared, grants, names};

const ROOT: &str = "0";
/// Whose account it is.
const ME: &str = "11446498";

fn error_with(status: u16, code: &str, context: &Value) -> Reply {
    let mut value = json!({
        "type": "error", "status": status, "code": code, "message": code.replace('_', " "),
        "help_url": "https://developer.box.com/guides/api-calls/permissions-and-errors/common-errors/",
        "request_id": "fake0request0id",
    });
    if !context.is_null() {
        value["context_info"] = context.clone();
    }
    Reply::json(status, &value)
}

pub fn error(status: u16, code: &str) -> Reply {
    error_with(status, code, &Value::Null)
}

fn refuse(status: u16, code: &str) -> Refusal {
    error(status, code).into()
}

fn missing() -> Refusal {
    refuse(404, "not_found")
}

pub async fn answer(shared: &Arc<Shared>, ask: &mut Ask) -> Answer {
    let path = ask.path.clone();
    let segments = ask.segments();
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (parts.as_slice(), ask.method.clone()) {
        (["oauth2", "token"], Method::POST) => return grants::token(shared, ask).await,
        (["oauth2", "revoke"], Method::POST) => return revoke(shared, ask).await,
        (["api", "oauth2", "authorize"], Method::GET) => return grants::authorize(shared, ask),
        // Links are a permission of their own.
        (["dl", id], Method::GET) => return items::content(shared, ask, id),
        _ => {}
    }
    let good = ask.bearer().is_some_and(|token| shared.account(Drive::Box).tokens.is_good(&token));
    if !good {
        let what = "Bearer realm=\"Service\", error=\"invalid_token\"";
        return Err(error(401, "unauthorized").with("www-authenticate", what).into());
    }
    let upload_host = path.starts_with("/api/");
    let rest = if upload_host { &parts[1..] } else { &parts[..] };
    let Some(("2.0", rest)) = rest.split_first().map(|(version, rest)| (*version, rest)) else { return Err(missing()) };
    if rest.first() == Some(&"files") {
        return files(shared, ask, &rest[1..], upload_host).await;
    }
    match (rest, ask.method.clone()) {
        (["users", "me"], Method::GET) => Ok(Reply::json(200, &me(&shared.account(Drive::Box)))),
        (["folders"], Method::POST) => folders::create(shared, ask).await,
        (["folders", id], Method::GET) => folders::get(shared, ask, id),
        (["folders", id], Method::PUT) => items::change(shared, ask, id, false).await,
        (["folders", id], Method::DELETE) => folders::delete(shared, ask, id),
        (["folders", id, "items"], Method::GET) => folders::items(shared, ask, id),
        (["folders", id, "copy"], Method::POST) => items::copy(shared, ask, id, false).await,
        (["folders", id, "trash"], Method::DELETE) => items::purge(shared, id, false),
        _ => Err(missing()),
    }
}

async fn revoke(shared: &Shared, ask: &mut Ask) -> Answer {
    let form = ask.form().await?;
    let token = grants::field(&form, "token").unwrap_or_default();
    shared.account(Drive::Box).tokens.revoke_one(token);
    Ok(Reply::empty(200))
}

/// `/files/…`; what uploads is on the upload host only.
async fn files(shared: &Arc<Shared>, ask: &mut Ask, rest: &[&str], upload_host: bool) -> Answer {
    match (rest, ask.method.clone()) {
        (["content"], Method::OPTIONS) => upload::preflight(shared, ask, None).await,
        ([id, "content"], Method::OPTIONS) => upload::preflight(shared, ask, Some(id)).await,
        (["content"], Method::POST) if upload_host => upload::create(shared, ask).await,
        ([id, "content"], Method::POST) if upload_host => upload::version(shared, ask, id).await,
        (["upload_sessions"], Method::POST) if upload_host => chunked::create(shared, ask, None).await,
        ([id, "upload_sessions"], Method::POST) if upload_host => chunked::create(shared, ask, Some(id)).await,
        (["upload_sessions", id], Method::GET) if upload_host => chunked::status(shared, ask, id),
        (["upload_sessions", id], Method::PUT) if upload_host => chunked::part(shared, ask, id).await,
        (["upload_sessions", id], Method::DELETE) if upload_host => chunked::abort(shared, id),
        (["upload_sessions", id, "parts"], Method::GET) if upload_host => chunked::parts(shared, ask, id),
        (["upload_sessions", id, "commit"], Method::POST) if upload_host => chunked::commit(shared, ask, id).await,
        _ if upload_host => Err(missing()),
        ([id], Method::GET) => items::get(shared, id),
        ([id], Method::PUT) => items::change(shared, ask, id, true).await,
        ([id], Method::DELETE) => items::delete(shared, ask, id),
        ([id, "content"], Method::GET) => items::download(shared, ask, id),
        ([id, "copy"], Method::POST) => items::copy(shared, ask, id, true).await,
        ([id, "trash"], Method::DELETE) => items::purge(shared, id, true),
        _ => Err(missing()),
    }
}

fn me(account: &Account) -> Value {
    json!({
        "type": "user", "id": ME, "name": "Fake User", "login": "fake@example.com", "status": "active",
        "space_amount": account.quota, "space_used": account.tree.used(), "max_upload_size": account.max_file,
        "language": "en", "timezone": "Europe/Zurich",
    })
}

fn mini(node: &Node) -> Value {
    let mut value = json!({
        "type": if node.blob.is_some() { "file" } else { "folder" }, "id": node.id,
        "sequence_id": "0", "etag": format!("{}", node.version),
        "name": if node.id == ROOT { "All Files" } else { &node.name },
    });
    if let Some(blob) = &node.blob {
        value["sha1"] = json!(blob.digests.sha1);
        let version = format!("7{:011}", node.version);
        value["file_version"] = json!({"type": "file_version", "id": version, "sha1": blob.digests.sha1});
    }
    value
}

fn show(account: &Account, node: &Node) -> Value {
    let mut value = mini(node);
    let parent = account.tree.get(&node.parent).map(mini);
    let above: Vec<Value> = std::iter::successors(account.tree.get(&node.parent), |at| account.tree.get(&at.parent))
        .map(mini)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect();
    let size: u64 = match &node.blob {
        Some(blob) => blob.size,
        None => account.tree.below(&node.id).iter().filter_map(|node| Some(node.blob.as_ref()?.size)).sum(),
    };
    let more = json!({
        "description": "", "size": size, "created_at": node.made, "modified_at": node.modified,
        "content_created_at": node.made, "content_modified_at": node.client_modified,
        "parent": parent, "item_status": if node.trashed { "trashed" } else { "active" },
        "path_collection": {"total_count": above.len(), "entries": above},
    });
    for (key, entry) in more.as_object().into_iter().flatten() {
        value[key] = entry.clone();
    }
    value
}

/// A live item of this kind, that all servers know.
fn find<'a>(account: &'a Account, id: &str, file: bool) -> Result<&'a Node, Refusal> {
    let node = account.tree.get(id).filter(|node| node.blob.is_some() == file);
    let node = node.filter(|node| id == ROOT || node.since.elapsed() >= account.late);
    node.filter(|node| account.tree.is_live(&node.id)).ok_or_else(missing)
}

/// 409 where the name is taken: one object for a file, an array for a folder.
fn taken(account: &Account, parent: &str, name: &str, for_file: bool, but: Option<&str>) -> Result<(), Refusal> {
    let there = account.tree.find(parent, name).filter(|node| Some(node.id.as_str()) != but);
    let Some(there) = there else { return Ok(()) };
    let conflicts = if for_file { mini(there) } else { json!([mini(there)]) };
    Err(error_with(409, "item_name_in_use", &json!({"conflicts": conflicts})).into())
}

fn check_name(name: &str) -> Result<(), Refusal> {
    names::boxcom(name).map_err(|code| refuse(400, code))
}
