//! Drive's uploads in one request (`media`, `multipart`), and where resumable ones begin.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::ask::{Answer, Ask, Refusal, Reply};
use super::super::blob::Blob;
use super::super::multipart;
use super::super::{Account, Drive, Shared};
use super::{files, find, refuse, resumable, show};

pub async fn begin(shared: &Shared, ask: &mut Ask, id: Option<&str>) -> Answer {
    if let Some(id) = id {
        find(&shared.account(Drive::GDrive), id)?;
    }
    match ask.query("uploadType") {
        Some("resumable") => resumable::begin(shared, ask, id).await,
        Some("media") => {
            let blob = ask.blob(shared).await?;
            let kind = ask.header("content-type").map(str::to_owned);
            let body = json!({"mimeType": kind});
            store(&mut shared.account(Drive::GDrive), ask, id, &body, &blob)
        }
        Some("multipart") => {
            let (body, blob) = related(shared, ask).await?;
            store(&mut shared.account(Drive::GDrive), ask, id, &body, &blob)
        }
        _ => Err(refuse(400, "badRequest", "uploadType")),
    }
}

/// Metadata, then the file.
async fn related(shared: &Shared, ask: &mut Ask) -> Result<(Value, Arc<Blob>), Refusal> {
    let kind = ask.header("content-type").unwrap_or_default();
    if !kind.starts_with("multipart/related") {
        return Err(refuse(400, "badContent", "Unsupported content with type: not multipart/related"));
    }
    let parts = multipart::read(ask, shared, |_, number| number == 1).await?;
    if parts.followed {
        return Err(refuse(400, "badContent", "more than two parts"));
    }
    let Some((headers, text)) = parts.small.first() else { return Err(refuse(400, "badContent", "no metadata")) };
    if !headers.contains("application/json") {
        return Err(refuse(400, "badContent", "the first part is JSON"));
    }
    let mut body: Value = serde_json::from_str(text).map_err(|_| refuse(400, "parseError", "Parse Error"))?;
    let told = parts.last.0.lines().find_map(|line| line.strip_prefix("content-type:")).map(str::trim);
    if let (true, Some(told)) = (body["mimeType"].is_null(), told) {
        body["mimeType"] = json!(told);
    }
    Ok((body, parts.last.1))
}

/// A new file, or new bytes for one.
pub fn store(account: &mut Account, ask: &Ask, id: Option<&str>, body: &Value, blob: &Arc<Blob>) -> Answer {
    let Some(id) = id else { return files::add(account, ask, body, Some(blob)) };
    files::space(account, ask, id, blob.size)?;
    files::relocate(account, ask, id, body)?;
    account.tree.replace(id, Arc::clone(blob));
    files::notes(account, id, body);
    let node = find(account, id)?;
    Ok(Reply::json(200, &show(account, node)))
}
