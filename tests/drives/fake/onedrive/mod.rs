//! OneDrive through Microsoft Graph: by path or id, upload sessions strictly in order, copies that take their time.

mod address;
mod items;
mod session;
mod upload;

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::ask::{Answer, Ask, Refusal, Reply};
use super::tree::Node;
use super::{Account, Drive, Shared, grants, names};

pub const DRIVE_ID: &str = "f00dfeedf00dfeed";

pub fn error(status: u16, code: &str) -> Reply {
    let inner = json!({"date": "2026-01-01T00:00:00", "request-id": "fake", "client-request-id": "fake"});
    Reply::json(status, &json!({"error": {"code": code, "message": code, "innerError": inner}}))
}

fn refuse(status: u16, code: &str) -> Refusal {
    error(status, code).into()
}

fn missing() -> Refusal {
    refuse(404, "itemNotFound")
}

pub async fn answer(shared: &Arc<Shared>, ask: &mut Ask) -> Answer {
    let path = ask.path.clone();
    if path.ends_with("/oauth2/v2.0/token") {
        return grants::token(shared, ask).await;
    }
    if path.ends_with("/oauth2/v2.0/devicecode") {
        return grants::device(shared, ask).await;
    }
    if path.ends_with("/oauth2/v2.0/authorize") {
        return grants::authorize(shared, ask);
    }
    // URLs that are permissions of their own.
    if let Some(id) = path.strip_prefix("/up/") {
        return session::at(shared, ask, id).await;
    }
    if let Some(id) = path.strip_prefix("/dl/") {
        let account = shared.account(Drive::OneDrive);
        let blob = account.tree.get(&names::decode(id)).and_then(|node| node.blob.clone()).ok_or_else(missing)?;
        return Ok(Reply::file(&blob, ask.header("range")));
    }
    if let Some(id) = path.strip_prefix("/monitor/") {
        return items::monitor(shared, ask, id);
    }
    let good = ask.bearer().is_some_and(|token| shared.account(Drive::OneDrive).tokens.is_good(&token));
    if !good {
        return Err(error(401, "InvalidAuthenticationToken").with("www-authenticate", "Bearer realm=\"\"").into());
    }
    let Some(rest) = path.strip_prefix("/v1.0/") else { return Err(missing()) };
    graph(shared, ask, rest).await
}

async fn graph(shared: &Arc<Shared>, ask: &mut Ask, rest: &str) -> Answer {
    let own_drive = format!("drives/{DRIVE_ID}");
    match rest {
        "me" => {
            let value = json!({
                "id": "fake", "displayName": "Fake User", "userPrincipalName": "fake@example.com", "mail": "fake@example.com",
            });
            return Ok(Reply::json(200, &value));
        }
        "me/drives" => {
            let drive = drive(&shared.account(Drive::OneDrive), ask.quota_full);
            return Ok(Reply::json(200, &json!({"value": [drive]})));
        }
        _ => {}
    }
    let rest = rest.strip_prefix("me/drive").or_else(|| rest.strip_prefix(own_drive.as_str()));
    let rest = rest.or_else(|| ask_case(ask, &own_drive)).ok_or_else(missing)?.to_owned();
    if rest.is_empty() {
        return Ok(Reply::json(200, &drive(&shared.account(Drive::OneDrive), ask.quota_full)));
    }
    let place = address::parse(&shared.account(Drive::OneDrive), rest.trim_start_matches('/'))?;
    match (place.action.as_str(), ask.method.clone()) {
        ("", Method::GET) => items::get(shared, ask, &place),
        ("", Method::PATCH) => items::change(shared, ask, &place).await,
        ("", Method::DELETE) => items::delete(shared, &place),
        ("children", Method::GET) => items::children(shared, ask, &place),
        ("children", Method::POST) => items::create_folder(shared, ask, &place).await,
        ("copy", Method::POST) => items::copy(shared, ask, &place).await,
        ("content", Method::GET) => items::download(shared, ask, &place),
        ("content", Method::PUT) => upload::put(shared, ask, &place).await,
        ("createUploadSession", Method::POST) => session::create(shared, ask, &place).await,
        _ => Err(refuse(405, "notAllowed")),
    }
}

/// Ids of drives are compared without regard to case.
fn ask_case<'a>(ask: &'a Ask, own: &str) -> Option<&'a str> {
    let rest = ask.path.strip_prefix("/v1.0/")?;
    let (start, rest) = rest.split_at_checked(own.len())?;
    start.eq_ignore_ascii_case(own).then_some(rest)
}

fn drive(account: &Account, full: bool) -> Value {
    let used = account.tree.used();
    let remaining = if full { 0 } else { account.quota.saturating_sub(used) };
    json!({
        "id": DRIVE_ID, "driveType": "personal", "owner": {"user": {"id": "fake", "displayName": "Fake User"}},
        "quota": {
            "total": account.quota, "used": used, "remaining": remaining, "deleted": 0,
            "state": if remaining == 0 { "exceeded" } else { "normal" },
        },
    })
}

fn show(account: &Account, ask: &Ask, node: &Node) -> Value {
    let names = account.tree.names(&node.parent);
    let is_root = node.id == account.tree.root;
    let above = if names.is_empty() { "/drive/root:".to_owned() } else { format!("/drive/root:/{}", names.join("/")) };
    let size = match &node.blob {
        Some(blob) => blob.size,
        None => account.tree.below(&node.id).iter().filter_map(|node| Some(node.blob.as_ref()?.size)).sum(),
    };
    let user = json!({"user": {"id": "fake", "displayName": "Fake User"}});
    let mut value = json!({
        "id": node.id, "name": if is_root { "root" } else { &node.name }, "size": size,
        "eTag": format!("\"{{fake-{}}},{}\"", node.id, node.version), "cTag": format!("\"c:{{{}}},{}\"", node.id, node.version),
        "createdDateTime": node.made, "lastModifiedDateTime": node.modified, "createdBy": user, "lastModifiedBy": user,
        "webUrl": "https://example.invalid/item",
        "fileSystemInfo": {"createdDateTime": node.made, "lastModifiedDateTime": node.client_modified},
        "parentReference": {"driveId": DRIVE_ID, "driveType": "personal", "id": node.parent, "path": above},
    });
    if is_root {
        value["parentReference"] = json!({"driveId": DRIVE_ID, "driveType": "personal"});
        value["root"] = json!({});
    }
    match &node.blob {
        Some(blob) => {
            let hashes = json!({"quickXorHash": blob.digests.quickxor});
            value["file"] = json!({"mimeType": "application/octet-stream", "hashes": hashes});
            let url = ask.url("public.files.onedrive.com", &format!("/dl/{}", node.id));
            value["@microsoft.graph.downloadUrl"] = json!(url);
        }
        None => value["folder"] = json!({"childCount": account.tree.children(&node.id).len()}),
    }
    value
}
