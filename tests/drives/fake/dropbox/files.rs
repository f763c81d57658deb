//! Dropbox's calls for one path: metadata, download, delete, copy, move.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::ask::{Answer, Ask, Refusal, Reply};
use super::super::{Account, Drive, Shared};
use super::{ascii, bad, header_arg, look, lookup, parse, refuse, show};

/// More than this is not deleted in one call.
const MOST_DELETED: usize = 10_000;

pub fn metadata(shared: &Shared, arg: &Value) -> Answer {
    let path = arg["path"].as_str().ok_or_else(|| bad("missing required field 'path'"))?;
    if path.is_empty() || path == "/" {
        return Err(bad("path: The root folder is unsupported."));
    }
    let account = shared.account(Drive::Dropbox);
    let node = look(&account, path).map_err(|tag| refuse(&lookup("path", tag)))?;
    Ok(Reply::json(200, &show(&account, node)))
}

pub async fn download(shared: &Shared, ask: &mut Ask) -> Answer {
    let arg = header_arg(ask)?;
    ask.body.all().await?;
    let path = arg["path"].as_str().unwrap_or_default();
    let account = shared.account(Drive::Dropbox);
    let node = look(&account, path).map_err(|tag| refuse(&lookup("path", tag)))?;
    let Some(blob) = &node.blob else { return Err(refuse(&lookup("path", "not_file"))) };
    let reply = Reply::file(&Arc::clone(blob), ask.header("range"));
    Ok(reply.with("dropbox-api-result", ascii(&show(&account, node))))
}

pub fn delete_one(account: &mut Account, path: &str) -> Result<Value, Value> {
    let node = look(account, path).map_err(|tag| lookup("path_lookup", tag))?;
    let (id, shown) = (node.id.clone(), show(account, node));
    if account.tree.below(&id).len() > MOST_DELETED {
        return Err(json!({".tag": "too_many_files"}));
    }
    if id == account.tree.root {
        return Err(lookup("path_lookup", "malformed_path"));
    }
    account.tree.remove(&id);
    Ok(shown)
}

pub fn delete(shared: &Shared, arg: &Value) -> Answer {
    let path = arg["path"].as_str().ok_or_else(|| bad("missing required field 'path'"))?;
    let mut account = shared.account(Drive::Dropbox);
    let shown = delete_one(&mut account, path).map_err(|error| refuse(&error))?;
    Ok(Reply::json(200, &json!({"metadata": shown})))
}

fn target(error: &str) -> Value {
    match error {
        "file" | "folder" => {
            json!({".tag": "to", "to": {".tag": "conflict", "conflict": {".tag": error}}})
        }
        _ => json!({".tag": "to", "to": {".tag": error}}),
    }
}

/// Copies or moves one path; the metadata of what is there now, or the error.
pub fn relocate_one(account: &mut Account, arg: &Value, copy: bool, full: bool) -> Result<Value, Value> {
    let text = |name: &str| arg[name].as_str().unwrap_or_default().to_owned();
    let node = look(account, &text("from_path")).map_err(|tag| lookup("from_lookup", tag))?.clone();
    let mut names = parse(&text("to_path")).map_err(target)?;
    let name = names.pop().ok_or_else(|| target("malformed_path"))?;
    let root = account.tree.root.clone();
    let there = account.tree.walk(&root, &names).and_then(|folder| account.tree.find(&folder.id, &name));
    // The same file under another case is no conflict when it is moved.
    if let Some(there) = there.filter(|there| copy || there.id != node.id) {
        return Err(target(if there.blob.is_some() { "file" } else { "folder" }));
    }
    let size: u64 =
        account.tree.below(&node.id).iter().chain([&&node]).filter_map(|node| Some(node.blob.as_ref()?.size)).sum();
    if copy && (full || !account.fits(size)) {
        return Err(target("insufficient_space"));
    }
    let parent = account.folders(&names).ok_or_else(|| target("file"))?;
    if account.tree.is_within(&parent, &node.id) {
        return Err(json!({".tag": "cant_move_folder_into_itself"}));
    }
    let id = if copy {
        account.copy(&node.id, &parent, &name)
    } else {
        account.tree.relocate(&node.id, &parent, &name);
        node.id
    };
    account.tree.get(&id).map(|node| show(account, node)).ok_or_else(|| target("other"))
}

pub fn relocate(shared: &Shared, ask: &Ask, arg: &Value, copy: bool) -> Answer {
    let mut account = shared.account(Drive::Dropbox);
    let moved = relocate_one(&mut account, arg, copy, ask.quota_full);
    let shown = moved.map_err(|error| Refusal::from(super::tagged(409, &error)))?;
    Ok(Reply::json(200, &json!({"metadata": shown})))
}
