//! Box's upload in one request, with its preflight: the attributes come before the file, the SHA-1 is checked.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::ask::{Answer, Ask, Refusal, Reply};
use super::super::blob::Blob;
use super::super::multipart;
use super::super::{Account, Drive, Shared};
use super::{check_name, find, items, missing, refuse, show, taken};

/// Whether so many bytes may come to `id`: the folder of a new file, or the file that they replace.
fn space(account: &Account, ask: &Ask, id: &str, size: u64) -> Result<(), Refusal> {
    if account.others_closed && account.is_of_others(id) {
        return Err(refuse(403, "access_denied_insufficient_permissions"));
    }
    if size > account.max_file {
        return Err(refuse(413, "file_size_limit_exceeded"));
    }
    if ask.quota_full || !account.fits_at(id, size) {
        return Err(refuse(403, "storage_limit_exceeded"));
    }
    Ok(())
}

pub fn check_new(account: &Account, ask: &Ask, parent: &str, name: &str, size: u64) -> Result<(), Refusal> {
    check_name(name)?;
    find(account, parent, false)?;
    space(account, ask, parent, size)?;
    taken(account, parent, name, true, None)
}

pub async fn preflight(shared: &Shared, ask: &mut Ask, id: Option<&str>) -> Answer {
    let body = ask.json().await?;
    let account = shared.account(Drive::Box);
    let size = body["size"].as_u64().unwrap_or_default();
    let path = match id {
        None => {
            let parent = body["parent"]["id"].as_str().unwrap_or_default();
            let name = body["name"].as_str().unwrap_or_default();
            let is_folder = account.tree.find(parent, name).is_some_and(|node| node.blob.is_none());
            if !(is_folder && account.preflight_sees_files_only) {
                check_new(&account, ask, parent, name, size)?;
            }
            "/api/2.0/files/content".to_owned()
        }
        Some(id) => {
            find(&account, id, true)?;
            space(&account, ask, id, size)?;
            format!("/api/2.0/files/{id}/content")
        }
    };
    let url = ask.url("upload.box.com", &path);
    Ok(Reply::json(200, &json!({"upload_url": url, "upload_token": null})))
}

/// The attributes and the file.
async fn form(shared: &Shared, ask: &mut Ask) -> Result<(Value, Arc<Blob>), Refusal> {
    if shared.account(Drive::Box).too_fast() {
        return Err(super::error(429, "rate_limit_exceeded").with("retry-after", "1").into());
    }
    let kind = ask.header("content-type").unwrap_or_default();
    if !kind.starts_with("multipart/form-data") {
        return Err(refuse(415, "unsupported_media_type"));
    }
    let is_file = |headers: &str, _: usize| headers.contains("filename=") || headers.contains("name=\"file\"");
    let parts = multipart::read(ask, shared, is_file).await?;
    let attributes = parts.small.iter().find(|(headers, _)| headers.contains("name=\"attributes\""));
    let Some((_, text)) = attributes else { return Err(refuse(400, "metadata_after_file_contents")) };
    if parts.followed {
        return Err(refuse(400, "bad_request"));
    }
    let value = serde_json::from_str(text).map_err(|_| refuse(400, "bad_request"))?;
    let blob = parts.last.1;
    if ask.header("content-md5").is_some_and(|sha1| !sha1.eq_ignore_ascii_case(&blob.digests.sha1)) {
        return Err(refuse(400, "bad_digest"));
    }
    Ok((value, blob))
}

pub fn stored(account: &mut Account, id: &str, attributes: &Value) -> Answer {
    if let (Some(time), Some(node)) = (attributes["content_modified_at"].as_str(), account.tree.get_mut(id)) {
        time.clone_into(&mut node.client_modified);
    }
    let node = account.tree.get(id).ok_or_else(missing)?;
    Ok(Reply::json(201, &json!({"total_count": 1, "entries": [show(account, node)]})))
}

pub async fn create(shared: &Shared, ask: &mut Ask) -> Answer {
    let (attributes, blob) = form(shared, ask).await?;
    let (Some(name), Some(parent)) = (attributes["name"].as_str(), attributes["parent"]["id"].as_str()) else {
        return Err(refuse(400, "bad_request"));
    };
    let mut account = shared.account(Drive::Box);
    check_new(&account, ask, parent, name, blob.size)?;
    let id = account.store(parent, name, &blob);
    stored(&mut account, &id, &attributes)
}

pub async fn version(shared: &Shared, ask: &mut Ask, id: &str) -> Answer {
    {
        let account = shared.account(Drive::Box);
        items::check_etag(ask, find(&account, id, true)?.version)?;
    }
    let (attributes, blob) = form(shared, ask).await?;
    let mut account = shared.account(Drive::Box);
    find(&account, id, true)?;
    space(&account, ask, id, blob.size)?;
    account.tree.replace(id, blob);
    stored(&mut account, id, &attributes)
}
