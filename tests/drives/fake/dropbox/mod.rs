//! Dropbox: everything by path, arguments of content calls in an ASCII header, batches one at a time.

mod batch;
mod files;
mod folders;
mod session;
mod upload;

use std::sync::Arc;

use serde_json::{Value, json};

use super::ask::{Answer, Ask, Refusal, Reply};
use super::tree::Node;
use super::{Account, Drive, Shared, grants, names};

/// One request carries at most this.
pub const LARGEST_REQUEST: u64 = 150 * 1024 * 1024;

/// `{".tag": …}` as an error of the endpoint.
pub fn tagged(status: u16, error: &Value) -> Reply {
    Reply::json(status, &json!({"error_summary": format!("{}/..", summary(error)), "error": error}))
}

fn summary(error: &Value) -> String {
    let Some(tag) = error[".tag"].as_str() else { return String::new() };
    let inner = error.get(tag).or_else(|| error.get("reason")).map(summary).unwrap_or_default();
    if inner.is_empty() { tag.to_owned() } else { format!("{tag}/{inner}") }
}

fn refuse(error: &Value) -> Refusal {
    tagged(409, error).into()
}

fn bad(what: &str) -> Refusal {
    Reply::text(400, format!("Error in call to API function: {what}")).into()
}

pub async fn answer(shared: &Arc<Shared>, ask: &mut Ask) -> Answer {
    let path = ask.path.clone();
    match path.as_str() {
        "/oauth2/token" => return grants::token(shared, ask).await,
        "/oauth2/authorize" => return grants::authorize(shared, ask),
        _ => {}
    }
    let token = ask.bearer().unwrap_or_default();
    if !shared.account(Drive::Dropbox).tokens.is_good(&token) {
        let tag = if token.starts_with("dropbox-access") { "expired_access_token" } else { "invalid_access_token" };
        return Err(tagged(401, &json!({".tag": tag})).into());
    }
    if ask.method != http::Method::POST {
        return Err(bad("only POST is allowed"));
    }
    let Some(route) = path.strip_prefix("/2/") else { return Err(Reply::text(404, "no such path").into()) };
    match route {
        "files/upload" => upload::upload(shared, ask).await,
        "files/download" => files::download(shared, ask).await,
        "files/upload_session/start" => session::start(shared, ask).await,
        "files/upload_session/append_v2" => session::append(shared, ask).await,
        "files/upload_session/finish" => session::finish(shared, ask).await,
        _ => call(shared, ask, route, &token).await,
    }
}

/// Calls whose argument is the body.
async fn call(shared: &Arc<Shared>, ask: &mut Ask, route: &str, token: &str) -> Answer {
    let kind = ask.header("content-type").unwrap_or_default().to_owned();
    let arg = ask.json().await?;
    if !kind.starts_with("application/json") && !arg.is_null() {
        return Err(bad("the body is JSON, Content-Type is not"));
    }
    match route {
        "files/finish_batch" | "files/upload_session/finish_batch" | "files/upload_session/finish_batch_v2" => {
            batch::finish(shared, ask, &arg, route.ends_with("_v2")).await
        }
        "files/upload_session/start_batch" => session::start_batch(shared, &arg),
        "files/upload_session/finish_batch/check"
        | "files/copy_batch/check_v2"
        | "files/move_batch/check_v2"
        | "files/delete_batch/check"
        | "files/create_folder_batch/check" => batch::check(shared, &arg),
        "files/copy_batch_v2" => batch::copy(shared, ask, &arg),
        "files/delete_batch" => batch::delete(shared, &arg),
        "files/create_folder_batch" => batch::create(shared, &arg),
        "files/get_metadata" => files::metadata(shared, &arg),
        "files/list_folder" => folders::list(shared, ask, &arg),
        "files/list_folder/continue" => folders::go_on(shared, &arg),
        "files/create_folder_v2" => folders::create(shared, &arg),
        "files/delete_v2" => files::delete(shared, &arg),
        "files/copy_v2" => files::relocate(shared, ask, &arg, true),
        "files/move_v2" => files::relocate(shared, ask, &arg, false),
        "auth/token/revoke" => {
            shared.account(Drive::Dropbox).tokens.revoke_one(token);
            Ok(Reply::json(200, &Value::Null))
        }
        "check/user" => Ok(Reply::json(200, &json!({"result": arg["query"]}))),
        "users/get_current_account" => Ok(Reply::json(200, &me())),
        "users/get_space_usage" => {
            let account = shared.account(Drive::Dropbox);
            let allocation = json!({".tag": "individual", "allocated": account.quota});
            Ok(Reply::json(200, &json!({"used": account.tree.used(), "allocation": allocation})))
        }
        _ => Err(Reply::text(404, format!("unknown API function {route}")).into()),
    }
}

fn me() -> Value {
    json!({
        "account_id": "dbid:fakeAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "name": {
            "given_name": "Fake", "surname": "User", "familiar_name": "Fake",
            "display_name": "Fake User", "abbreviated_name": "FU",
        },
        "email": "fake@example.com", "email_verified": true, "disabled": false, "locale": "en", "country": "CH",
        "referral_link": "https://example.invalid/r", "is_paired": false, "account_type": {".tag": "basic"},
        "root_info": {".tag": "user", "root_namespace_id": "1", "home_namespace_id": "1"},
    })
}

/// A path as its names; `""` is the root.
fn parse(path: &str) -> Result<Vec<String>, &'static str> {
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let rest =
        path.strip_prefix('/').filter(|rest| !rest.is_empty() && !rest.ends_with('/')).ok_or("malformed_path")?;
    let parts: Vec<String> = rest.split('/').map(str::to_owned).collect();
    parts.iter().try_for_each(|name| names::dropbox(name))?;
    Ok(parts)
}

/// What a path or id names; the tag of the error otherwise.
fn look<'a>(account: &'a Account, path: &str) -> Result<&'a Node, &'static str> {
    if path.starts_with("id:") {
        return account.tree.get(path).ok_or("not_found");
    }
    account.tree.walk(&account.tree.root, &parse(path)?).ok_or("not_found")
}

/// A lookup's error below this tag.
fn lookup(outer: &str, tag: &str) -> Value {
    let mut error = json!({".tag": outer});
    error[outer] = json!({".tag": tag});
    error
}

fn rev(node: &Node) -> String {
    format!("0{:014x}", node.version)
}

fn show(account: &Account, node: &Node) -> Value {
    let path = format!("/{}", account.tree.path(&node.id));
    let common = json!({
        "name": node.name, "path_lower": names::fold(&path), "path_display": path, "id": node.id,
    });
    let mut value = json!({".tag": if node.blob.is_some() { "file" } else { "folder" }});
    let mut add = |more: Value| {
        for (key, entry) in more.as_object().into_iter().flatten() {
            value[key] = entry.clone();
        }
    };
    add(common);
    if let Some(blob) = &node.blob {
        add(json!({
            "client_modified": node.client_modified, "server_modified": node.modified, "rev": rev(node),
            "size": blob.size, "is_downloadable": true, "content_hash": blob.digests.dropbox,
        }));
    }
    value
}

/// The argument of a content call: the header, in ASCII only, or the query's `arg`.
fn header_arg(ask: &Ask) -> Result<Value, Refusal> {
    let raw = ask.headers.get("dropbox-api-arg").map(|value| value.as_bytes().to_vec());
    if raw.as_ref().is_some_and(|raw| raw.iter().any(|byte| !(0x20..0x7f).contains(byte))) {
        return Err(bad("HTTP header \"Dropbox-API-Arg\": could not decode input as JSON: not ASCII"));
    }
    let text = match raw {
        Some(raw) => String::from_utf8_lossy(&raw).into_owned(),
        None => {
            ask.query("arg").map(str::to_owned).ok_or_else(|| bad("Must provide HTTP header \"Dropbox-API-Arg\""))?
        }
    };
    serde_json::from_str(&text).map_err(|_| bad("HTTP header \"Dropbox-API-Arg\": could not decode input as JSON"))
}

/// A content call's body: bytes of the right kind, not too many.
fn check_body(ask: &Ask) -> Result<(), Refusal> {
    let kind = ask.header("content-type").unwrap_or_default();
    if !kind.starts_with("application/octet-stream") && kind != "text/plain; charset=dropbox-cors-hack" {
        return Err(bad(&format!("Bad HTTP \"Content-Type\" header: {kind:?}")));
    }
    if ask.length().is_some_and(|length| length > LARGEST_REQUEST) {
        return Err(refuse(&json!({".tag": "payload_too_large"})));
    }
    Ok(())
}

/// JSON with everything else than ASCII escaped, as headers need it.
fn ascii(value: &Value) -> String {
    let mut out = String::new();
    for unit in value.to_string().encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte < 0x7f => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\u{unit:04x}")),
        }
    }
    out
}
