//! Google Drive: files by id, names that may be taken twice, queries, resumable uploads.

mod files;
mod query;
mod resumable;
mod upload;

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::ask::{Answer, Ask, Refusal, Reply};
use super::tree::Node;
use super::{Account, Drive, Shared, grants};

const REALM: &str = "Bearer realm=\"https://accounts.google.com/\", error=\"invalid_token\"";
pub const FOLDER: &str = "application/vnd.google-apps.folder";

pub fn error(status: u16, reason: &str, message: &str) -> Reply {
    let one = json!({"domain": "global", "reason": reason, "message": message});
    Reply::json(status, &json!({"error": {"code": status, "message": message, "errors": [one]}}))
}

fn refuse(status: u16, reason: &str, message: &str) -> Refusal {
    error(status, reason, message).into()
}

fn missing(id: &str) -> Refusal {
    refuse(404, "notFound", &format!("File not found: {id}."))
}

pub async fn answer(shared: &Arc<Shared>, ask: &mut Ask) -> Answer {
    let segments = ask.segments();
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (parts.as_slice(), ask.method.clone()) {
        (["token"] | ["oauth2", "v4", "token"], Method::POST) => return grants::token(shared, ask).await,
        (["device", "code"], Method::POST) => return grants::device(shared, ask).await,
        (["o", "oauth2", "v2", "auth"], Method::GET) => return grants::authorize(shared, ask),
        (["revoke"], Method::POST) => return revoke(shared, ask).await,
        // A session's URL is a permission of its own; a token that is sent along has to be good.
        (["upload", "drive", "v3", "files", ..], Method::PUT) => {
            refuse_stale(shared, ask).await?;
            return resumable::put(shared, ask).await;
        }
        // rclone sends chunks with POST, and Google takes them.
        (["upload", "drive", "v3", "files", ..], Method::POST) if ask.query("upload_id").is_some() => {
            refuse_stale(shared, ask).await?;
            return resumable::put(shared, ask).await;
        }
        (["upload", "drive", "v3", "files", ..], Method::DELETE) => return resumable::abort(shared, ask),
        _ => {}
    }
    let good = ask.bearer().is_some_and(|token| shared.account(Drive::GDrive).tokens.is_good(&token));
    if !good {
        return Err(invalid());
    }
    match (parts.as_slice(), ask.method.clone()) {
        (["upload", "drive", "v3", "files"], Method::POST) => upload::begin(shared, ask, None).await,
        (["upload", "drive", "v3", "files", id], Method::PATCH) => upload::begin(shared, ask, Some(id)).await,
        (["drive", "v3", "about"], Method::GET) => about(shared, ask),
        (["drive", "v3", "files"], Method::GET) => query::list(shared, ask),
        (["drive", "v3", "files"], Method::POST) => files::create(shared, ask).await,
        (["drive", "v3", "files", "generateIds"], Method::GET) => files::generate(shared, ask),
        (["drive", "v3", "files", id], Method::GET) => files::get(shared, ask, id),
        (["drive", "v3", "files", id], Method::PATCH) => files::change(shared, ask, id).await,
        (["drive", "v3", "files", id], Method::DELETE) => files::delete(shared, id),
        (["drive", "v3", "files", id, "copy"], Method::POST) => files::copy(shared, ask, id).await,
        _ => Err(refuse(404, "notFound", "Not Found")),
    }
}

fn invalid() -> Refusal {
    error(401, "authError", "Invalid Credentials").with("www-authenticate", REALM).into()
}

/// What is sent with a token that has ended is read and not taken.
async fn refuse_stale(shared: &Shared, ask: &mut Ask) -> Result<(), Refusal> {
    let Some(token) = ask.bearer() else { return Ok(()) };
    if shared.account(Drive::GDrive).tokens.is_good(&token) {
        return Ok(());
    }
    while ask.body.next().await?.is_some() {}
    Err(invalid())
}

async fn revoke(shared: &Shared, ask: &mut Ask) -> Answer {
    let form = ask.form().await?;
    let token = ask.query("token").or_else(|| grants::field(&form, "token")).unwrap_or_default().to_owned();
    shared.account(Drive::GDrive).tokens.revoke_one(&token);
    Ok(Reply::json(200, &json!({})))
}

fn about(shared: &Shared, ask: &Ask) -> Answer {
    if ask.query("fields").is_none() {
        return Err(refuse(400, "required", "The 'fields' parameter is required for this method."));
    }
    let account = shared.account(Drive::GDrive);
    let used = account.tree.used().to_string();
    let user = json!({
        "kind": "drive#user", "displayName": "Fake User", "emailAddress": "fake@example.com", "me": true, "permissionId": "1",
    });
    let quota =
        json!({"limit": account.quota.to_string(), "usage": used, "usageInDrive": used, "usageInDriveTrash": "0"});
    let value = json!({
        "kind": "drive#about", "user": user, "storageQuota": quota, "maxUploadSize": account.max_file.to_string(),
        "importFormats": {}, "exportFormats": {},
    });
    Ok(Reply::json(200, &value))
}

/// `root` is a name of the root folder.
fn real_id<'a>(account: &'a Account, id: &'a str) -> &'a str {
    if id == "root" { &account.tree.root } else { id }
}

fn find<'a>(account: &'a Account, id: &str) -> Result<&'a Node, Refusal> {
    account.tree.get(real_id(account, id)).ok_or_else(|| missing(id))
}

fn kind(node: &Node) -> &str {
    let told = node.notes.get("mimeType").and_then(Value::as_str);
    if node.blob.is_none() { FOLDER } else { told.unwrap_or("application/octet-stream") }
}

fn show(account: &Account, node: &Node) -> Value {
    let is_root = node.id == account.tree.root;
    let mut value = json!({
        "kind": "drive#file", "id": node.id, "name": if is_root { "My Drive" } else { &node.name },
        "mimeType": kind(node), "trashed": !account.tree.is_live(&node.id), "explicitlyTrashed": node.trashed,
        "createdTime": node.made, "modifiedTime": node.client_modified, "version": node.version.to_string(),
        "ownedByMe": true, "shared": false, "spaces": ["drive"], "webViewLink": "https://example.invalid/file",
        "capabilities": {"canEdit": true, "canDownload": true, "canCopy": true, "canDelete": true, "canTrash": true},
    });
    if !is_root {
        value["parents"] = json!([node.parent]);
    }
    if let Some(top) = account.others.as_ref().filter(|_| account.is_of_others(&node.id)) {
        value["driveId"] = json!(format!("drive-of-{top}"));
        value["ownedByMe"] = json!(false);
        value["capabilities"]["canAddChildren"] = json!(!account.others_closed);
    }
    for key in ["description", "appProperties", "properties"] {
        if let Some(told) = node.notes.get(key) {
            value[key] = told.clone();
        }
    }
    if let Some(blob) = &node.blob {
        let digests = &blob.digests;
        value["size"] = json!(blob.size.to_string());
        value["quotaBytesUsed"] = json!(blob.size.to_string());
        value["md5Checksum"] = json!(digests.md5);
        value["sha1Checksum"] = json!(digests.sha1);
        value["sha256Checksum"] = json!(digests.sha256);
        value["originalFilename"] = json!(node.name);
        value["headRevisionId"] = json!(format!("0Fake{:020}", node.version));
    }
    value
}
