//! Dropbox's folders: create, list, go on listing.

use serde_json::{Value, json};

use super::super::ask::{Answer, Ask, Reply};
use super::super::{Account, Drive, Shared};
use super::{bad, look, lookup, parse, refuse, show};

pub fn create_one(account: &mut Account, path: &str) -> Result<Value, Value> {
    let refused = |tag: &str| match tag {
        "file" | "folder" => json!({".tag": "path", "path": {".tag": "conflict", "conflict": {".tag": tag}}}),
        _ => lookup("path", tag),
    };
    let mut names = parse(path).map_err(refused)?;
    let name = names.pop().ok_or_else(|| refused("malformed_path"))?;
    let parent = account.folders(&names).ok_or_else(|| refused("file"))?;
    if let Some(there) = account.tree.find(&parent, &name) {
        return Err(refused(if there.blob.is_some() { "file" } else { "folder" }));
    }
    let id = account.id();
    let node = account.tree.add(&id, &parent, &name, None);
    Ok(show(account, &node))
}

pub fn create(shared: &Shared, arg: &Value) -> Answer {
    let path = arg["path"].as_str().ok_or_else(|| bad("missing required field 'path'"))?;
    let mut account = shared.account(Drive::Dropbox);
    let shown = create_one(&mut account, path).map_err(|error| refuse(&error))?;
    Ok(Reply::json(200, &json!({"metadata": shown})))
}

pub fn list(shared: &Shared, ask: &Ask, arg: &Value) -> Answer {
    let path = arg["path"].as_str().ok_or_else(|| bad("missing required field 'path'"))?;
    if path == "/" {
        return Err(bad("path: Specify the root folder as an empty string rather than as \"/\"."));
    }
    let mut account = shared.account(Drive::Dropbox);
    let folder = look(&account, path).map_err(|tag| refuse(&lookup("path", tag)))?;
    if folder.blob.is_some() {
        return Err(refuse(&lookup("path", "not_folder")));
    }
    let recursive = arg["recursive"].as_bool().unwrap_or_default();
    let found = if recursive { account.tree.below(&folder.id) } else { account.tree.children(&folder.id) };
    let fresh = |born: u64| ask.stale.is_none_or(|clock| born <= clock);
    let mut shown: Vec<Value> =
        found.into_iter().filter(|node| fresh(node.born)).map(|node| show(&account, node)).collect();
    if recursive && folder.id != account.tree.root {
        // A recursive listing begins with the folder itself.
        shown.insert(0, show(&account, folder));
    }
    let limit = arg["limit"].as_u64().and_then(|limit| usize::try_from(limit).ok());
    Ok(page(&mut account, shown, limit))
}

pub fn go_on(shared: &Shared, arg: &Value) -> Answer {
    let mut account = shared.account(Drive::Dropbox);
    let rest = account.cursors.remove(arg["cursor"].as_str().unwrap_or_default());
    let rest = rest.ok_or_else(|| refuse(&json!({".tag": "reset"})))?;
    Ok(page(&mut account, rest, None))
}

fn page(account: &mut Account, mut shown: Vec<Value>, limit: Option<usize>) -> Reply {
    let size = limit.unwrap_or(account.page).min(account.page).max(1);
    let rest = shown.split_off(shown.len().min(size));
    let more = !rest.is_empty();
    let cursor = account.cursor(rest);
    Reply::json(200, &json!({"entries": shown, "cursor": cursor, "has_more": more}))
}
