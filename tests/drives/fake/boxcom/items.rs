//! What files and folders of Box have in common: get, rename and move, copy, delete, purge; and the download.

use super::super::ask::{Answer, Ask, Reply};
use super::super::{Drive, Shared};
use super::{check_name, find, missing, refuse, show, taken};

pub fn get(shared: &Shared, id: &str) -> Answer {
    let account = shared.account(Drive::Box);
    let node = find(&account, id, true)?;
    Ok(Reply::json(200, &show(&account, node)))
}

/// `If-Match` names the version that is changed.
pub fn check_etag(ask: &Ask, version: u64) -> Result<(), super::Refusal> {
    match ask.header("if-match") {
        Some(etag) if etag != version.to_string() => Err(refuse(412, "precondition_failed")),
        _ => Ok(()),
    }
}

pub async fn change(shared: &Shared, ask: &mut Ask, id: &str, file: bool) -> Answer {
    let body = ask.json().await?;
    let mut account = shared.account(Drive::Box);
    let node = find(&account, id, file)?;
    check_etag(ask, node.version)?;
    let name = body["name"].as_str().unwrap_or(&node.name).to_owned();
    let parent = body["parent"]["id"].as_str().unwrap_or(&node.parent).to_owned();
    check_name(&name)?;
    find(&account, &parent, false)?;
    taken(&account, &parent, &name, file, Some(id))?;
    if account.tree.is_within(&parent, id) {
        return Err(refuse(400, "cyclical_folder_structure"));
    }
    account.tree.relocate(id, &parent, &name);
    if let (Some(time), Some(node)) = (body["content_modified_at"].as_str(), account.tree.get_mut(id)) {
        time.clone_into(&mut node.client_modified);
    }
    let node = find(&account, id, file)?;
    Ok(Reply::json(200, &show(&account, node)))
}

pub async fn copy(shared: &Shared, ask: &mut Ask, id: &str, file: bool) -> Answer {
    let body = ask.json().await?;
    let mut account = shared.account(Drive::Box);
    let node = find(&account, id, file)?.clone();
    let name = body["name"].as_str().unwrap_or(&node.name).to_owned();
    let parent = body["parent"]["id"].as_str().ok_or_else(|| refuse(400, "bad_request"))?.to_owned();
    check_name(&name)?;
    find(&account, &parent, false)?;
    taken(&account, &parent, &name, file, None)?;
    if account.tree.is_within(&parent, id) {
        return Err(refuse(400, "cyclical_folder_structure"));
    }
    let below = account.tree.below(id);
    let size: u64 = below.iter().chain([&&node]).filter_map(|node| Some(node.blob.as_ref()?.size)).sum();
    if ask.quota_full || !account.fits(size) {
        return Err(refuse(403, "storage_limit_exceeded"));
    }
    let copied = account.copy(id, &parent, &name);
    let node = account.tree.get(&copied).ok_or_else(missing)?;
    Ok(Reply::json(201, &show(&account, node)))
}

pub fn delete(shared: &Shared, ask: &Ask, id: &str) -> Answer {
    let mut account = shared.account(Drive::Box);
    let node = find(&account, id, true)?;
    check_etag(ask, node.version)?;
    account.tree.trash(id);
    Ok(Reply::empty(204))
}

/// Out of the trash, for good.
pub fn purge(shared: &Shared, id: &str, file: bool) -> Answer {
    let mut account = shared.account(Drive::Box);
    let trashed = account.tree.get(id).is_some_and(|node| node.blob.is_some() == file && node.trashed);
    if !trashed {
        return Err(missing());
    }
    account.tree.remove(id);
    Ok(Reply::empty(204))
}

pub fn download(shared: &Shared, ask: &Ask, id: &str) -> Answer {
    let account = shared.account(Drive::Box);
    find(&account, id, true)?;
    Ok(Reply::empty(302).with("location", ask.url("dl.boxcloud.com", &format!("/dl/{id}"))))
}

pub fn content(shared: &Shared, ask: &Ask, id: &str) -> Answer {
    let account = shared.account(Drive::Box);
    let node = find(&account, id, true)?;
    let blob = node.blob.as_ref().ok_or_else(missing)?;
    Ok(Reply::file(blob, ask.header("range")))
}
