//! Dropbox's upload in one request, and the commit that sessions share with it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::ask::{Answer, Ask, Reply};
use super::super::blob::Blob;
use super::super::{Account, Drive, Shared};
use super::{check_body, header_arg, parse, refuse, rev, show};

/// The `mode` of a commit: its tag, and the revision that `update` names.
fn mode(commit: &Value) -> (String, Option<String>) {
    let mode = &commit["mode"];
    let tag = mode.as_str().or_else(|| mode[".tag"].as_str()).unwrap_or("add");
    (tag.to_owned(), mode["update"].as_str().map(str::to_owned))
}

/// `name (1).ext`, the first that is free.
fn renamed(account: &Account, parent: &str, name: &str) -> String {
    let (stem, ending) = name.rsplit_once('.').map_or((name, String::new()), |(stem, end)| (stem, format!(".{end}")));
    let free = (1..).map(|number| format!("{stem} ({number}){ending}"));
    free.into_iter().find(|name| account.tree.find(parent, name).is_none()).unwrap_or_default()
}

/// Puts a file there as the commit says; its metadata, or a write error (`conflict`, `insufficient_space`, …).
pub fn commit(account: &mut Account, commit: &Value, blob: &Arc<Blob>, full: bool) -> Result<Value, Value> {
    let conflict = |kind: &str| json!({".tag": "conflict", "conflict": {".tag": kind}});
    let mut names = parse(commit["path"].as_str().unwrap_or_default()).map_err(|tag| json!({".tag": tag}))?;
    let mut name = names.pop().ok_or_else(|| json!({".tag": "malformed_path"}))?;
    if full || !account.fits(blob.size) || blob.size > account.max_file {
        return Err(json!({".tag": "insufficient_space"}));
    }
    let parent = account.folders(&names).ok_or_else(|| conflict("file_ancestor"))?;
    let (mode, revision) = mode(commit);
    let strict = commit["strict_conflict"].as_bool().unwrap_or_default();
    let autorename = commit["autorename"].as_bool().unwrap_or_default();
    if let Some(there) = account.tree.find(&parent, &name) {
        let same = there.blob.as_ref().is_some_and(|old| old.digests.dropbox == blob.digests.dropbox);
        let current = revision.as_deref() == Some(rev(there).as_str());
        let is_folder = there.blob.is_none();
        let goes = !is_folder && (mode == "overwrite" || (mode == "update" && current));
        if !goes && same && !strict {
            return Ok(show(account, there));
        }
        if !goes && autorename {
            name = renamed(account, &parent, &name);
        } else if !goes {
            return Err(conflict(if is_folder { "folder" } else { "file" }));
        }
    }
    let id = account.store(&parent, &name, blob);
    if let (Some(time), Some(node)) = (commit["client_modified"].as_str(), account.tree.get_mut(&id)) {
        time.clone_into(&mut node.client_modified);
    }
    account.tree.get(&id).map(|node| show(account, node)).ok_or_else(|| json!({".tag": "other"}))
}

pub async fn upload(shared: &Shared, ask: &mut Ask) -> Answer {
    check_body(ask)?;
    let arg = header_arg(ask)?;
    let blob = ask.blob(shared).await?;
    if arg["content_hash"].as_str().is_some_and(|hash| hash != blob.digests.dropbox) {
        return Err(refuse(&json!({".tag": "content_hash_mismatch"})));
    }
    let mut account = shared.account(Drive::Dropbox);
    let stored = commit(&mut account, &arg, &blob, ask.quota_full);
    let failed = |reason: Value| refuse(&json!({".tag": "path", "reason": reason, "upload_session_id": ""}));
    Ok(Reply::json(200, &stored.map_err(failed)?))
}
