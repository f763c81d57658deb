//! Drive's files by id: create, generate ids, get and download, change and move, copy, delete for good.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::ask::{Answer, Ask, Refusal, Reply};
use super::super::blob::Blob;
use super::super::{Account, Drive, Shared};
use super::{FOLDER, find, missing, real_id, refuse, show};

pub fn generate(shared: &Shared, ask: &Ask) -> Answer {
    let count = ask.query("count").map_or(Some(10), |text| text.parse::<usize>().ok());
    let count = count.filter(|count| (1..=1000).contains(count)).ok_or_else(|| refuse(400, "invalid", "count"))?;
    let mut account = shared.account(Drive::GDrive);
    let ids: Vec<String> = (0..count).map(|_| account.id()).collect();
    account.reserved.extend(ids.iter().cloned());
    Ok(Reply::json(200, &json!({"kind": "drive#generatedIds", "space": "drive", "ids": ids})))
}

/// What a new file is told about itself.
pub fn notes(account: &mut Account, id: &str, body: &Value) {
    let Some(node) = account.tree.get_mut(id) else { return };
    for key in ["mimeType", "description", "appProperties", "properties"] {
        if !body[key].is_null() {
            node.notes.insert(key.into(), body[key].clone());
        }
    }
    if let Some(time) = body["modifiedTime"].as_str() {
        time.clone_into(&mut node.client_modified);
    }
    if let Some(time) = body["createdTime"].as_str() {
        time.clone_into(&mut node.made);
    }
}

/// Where a new file may go: parent, name and id.
pub fn place(account: &mut Account, body: &Value) -> Result<(String, String, String), Refusal> {
    let parents = body["parents"].as_array().map(Vec::as_slice).unwrap_or_default();
    if parents.len() > 1 {
        return Err(refuse(400, "invalid", "A file has one parent."));
    }
    let parent = parents.first().and_then(Value::as_str).unwrap_or("root");
    let parent = real_id(account, parent).to_owned();
    if account.tree.get(&parent).is_none_or(|node| node.blob.is_some()) {
        return Err(missing(&parent));
    }
    let name = body["name"].as_str().unwrap_or("Untitled").to_owned();
    let id = match body["id"].as_str() {
        None => account.id(),
        Some(id) if account.tree.get(id).is_some() => {
            return Err(refuse(409, "fileIdInUse", "A file already exists with the provided ID."));
        }
        Some(id) if account.reserved.contains(id) => id.to_owned(),
        Some(_) => return Err(refuse(400, "invalid", "The provided file ID is not usable.")),
    };
    Ok((parent, name, id))
}

/// Whether so many bytes may come to `id`: the folder of a new file, or the file that they replace.
pub fn space(account: &Account, ask: &Ask, id: &str, size: u64) -> Result<(), Refusal> {
    if account.others_closed && account.is_of_others(id) {
        return Err(refuse(403, "insufficientFilePermissions", "The user does not have sufficient permissions."));
    }
    if size > account.max_file {
        return Err(refuse(403, "uploadTooLarge", "The file is too large."));
    }
    if ask.quota_full || !account.fits_at(id, size) {
        return Err(refuse(403, "storageQuotaExceeded", "The user's Drive storage quota has been exceeded."));
    }
    Ok(())
}

/// The folder that a new file is to be in.
pub fn parent_of(body: &Value) -> String {
    body["parents"][0].as_str().unwrap_or("root").to_owned()
}

/// A new file or folder; with `Fault::Twice`, two.
pub fn add(account: &mut Account, ask: &Ask, body: &Value, blob: Option<&Arc<Blob>>) -> Answer {
    space(account, ask, &parent_of(body), blob.map_or(0, |blob| blob.size))?;
    let (parent, name, id) = place(account, body)?;
    account.tree.add(&id, &parent, &name, blob.cloned());
    notes(account, &id, body);
    if ask.twice && body["id"].is_null() {
        let again = account.id();
        account.tree.add(&again, &parent, &name, blob.cloned());
        notes(account, &again, body);
    }
    let node = find(account, &id)?;
    Ok(Reply::json(200, &show(account, node)))
}

pub async fn create(shared: &Shared, ask: &mut Ask) -> Answer {
    let body = ask.json().await?;
    if body["mimeType"] == FOLDER {
        return add(&mut shared.account(Drive::GDrive), ask, &body, None);
    }
    let empty = Blob::seal(Arc::new(shared.room.spool()), 0, Drive::GDrive).await;
    add(&mut shared.account(Drive::GDrive), ask, &body, Some(&empty))
}

pub fn get(shared: &Shared, ask: &Ask, id: &str) -> Answer {
    let account = shared.account(Drive::GDrive);
    let node = find(&account, id)?;
    if ask.query("alt") != Some("media") {
        return Ok(Reply::json(200, &show(&account, node)));
    }
    let blob = node.blob.as_ref();
    let blob =
        blob.ok_or_else(|| refuse(403, "fileNotDownloadable", "Only files with binary content can be downloaded."))?;
    Ok(Reply::file(blob, ask.header("range")))
}

/// Moves are said in the query only; what the body says about parents is an error, as is a move without leaving.
pub fn relocate(account: &mut Account, ask: &Ask, id: &str, body: &Value) -> Result<(), Refusal> {
    if !body["parents"].is_null() {
        let message = "The parents field is not directly writable in update requests. Use the addParents and removeParents \
                       parameters instead.";
        return Err(refuse(403, "fieldNotWritable", message));
    }
    let node = find(account, id)?.clone();
    let name = body["name"].as_str().unwrap_or(&node.name).to_owned();
    let parent = match ask.query("addParents") {
        None => node.parent.clone(),
        Some(to) => {
            let to = real_id(account, to).to_owned();
            if account.tree.get(&to).is_none_or(|node| node.blob.is_some()) {
                return Err(missing(&to));
            }
            let left = ask.query("removeParents").map(|from| real_id(account, from).to_owned());
            if to != node.parent && left.as_deref() != Some(node.parent.as_str()) {
                return Err(refuse(403, "cannotAddParent", "Increasing the number of parents is not allowed"));
            }
            to
        }
    };
    if parent != node.parent || name != node.name {
        account.tree.relocate(&node.id, &parent, &name);
    }
    Ok(())
}

pub async fn change(shared: &Shared, ask: &mut Ask, id: &str) -> Answer {
    let body = ask.json().await?;
    let mut account = shared.account(Drive::GDrive);
    relocate(&mut account, ask, id, &body)?;
    notes(&mut account, id, &body);
    match body["trashed"].as_bool() {
        Some(true) => account.tree.trash(id),
        Some(false) => account.tree.get_mut(id).into_iter().for_each(|node| node.trashed = false),
        None => {}
    }
    let node = find(&account, id)?;
    Ok(Reply::json(200, &show(&account, node)))
}

pub async fn copy(shared: &Shared, ask: &mut Ask, id: &str) -> Answer {
    let mut body = ask.json().await?;
    let mut account = shared.account(Drive::GDrive);
    let node = find(&account, id)?.clone();
    let blob =
        node.blob.as_ref().ok_or_else(|| refuse(403, "cannotCopyFile", "This file cannot be copied by the user."))?;
    if body.is_null() {
        body = json!({});
    }
    if body["name"].is_null() {
        body["name"] = json!(format!("Copy of {}", node.name));
    }
    if body["parents"].is_null() {
        body["parents"] = json!([node.parent]);
    }
    add(&mut account, ask, &body, Some(blob))
}

/// Not into the trash: for good, with all that is below.
pub fn delete(shared: &Shared, id: &str) -> Answer {
    let mut account = shared.account(Drive::GDrive);
    let id = find(&account, id)?.id.clone();
    if id == account.tree.root {
        return Err(refuse(403, "insufficientFilePermissions", "The root folder stays."));
    }
    account.tree.remove(&id);
    Ok(Reply::empty(204))
}
