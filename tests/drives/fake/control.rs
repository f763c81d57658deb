//! What tests ask of a fake besides the vendors' API, as functions and, for children of a test, below `/_fake`:
//! `POST fault {"drive", "method", "path", "nth", "times", "fault", "value"}`, `POST quota|max-file|page {"drive", "value"}`,
//! `POST expire|revoke|approve|deny|refuse|tokens {"drive"}`, `GET files/{drive}`, `GET requests`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::ask::Reply;
use super::blob::Blob;
use super::fault::{Fault, When};
use super::{Drive, Held, Shared};

fn held(shared: &Shared, drive: Drive) -> BTreeMap<String, (Arc<Blob>, String)> {
    let account = shared.account(drive);
    let mut found: BTreeMap<String, (Arc<Blob>, String)> = BTreeMap::new();
    let mut nodes = account.tree.below(&account.tree.root);
    nodes.sort_by_key(|node| node.born);
    for node in nodes {
        let Some(blob) = &node.blob else { continue };
        let path = account.tree.path(&node.id);
        let more = (2..).map(|number| format!("{path}#{number}"));
        let free = std::iter::once(path.clone()).chain(more).find(|path| !found.contains_key(path));
        found.insert(free.unwrap_or(path), (Arc::clone(blob), node.id.clone()));
    }
    found
}

pub fn files(shared: &Shared, drive: Drive) -> BTreeMap<String, Held> {
    let entry = |(blob, id): (Arc<Blob>, String)| Held { size: blob.size, sha256: blob.sha256(), id };
    held(shared, drive).into_iter().map(|(path, found)| (path, entry(found))).collect()
}

pub fn names(shared: &Shared, drive: Drive) -> Vec<String> {
    held(shared, drive).into_keys().collect()
}

pub fn folders(shared: &Shared, drive: Drive) -> BTreeSet<String> {
    let account = shared.account(drive);
    let below = account.tree.below(&account.tree.root);
    below.into_iter().filter(|node| node.blob.is_none()).map(|node| account.tree.path(&node.id)).collect()
}

pub fn read(shared: &Shared, drive: Drive, path: &str) -> Option<Vec<u8>> {
    held(shared, drive).get(path).map(|(blob, _)| blob.whole())
}

pub async fn put(shared: &Shared, drive: Drive, path: &str, bytes: &[u8]) {
    let spool = shared.room.spool();
    spool.write(0, bytes);
    let blob = Blob::seal(Arc::new(spool), bytes.len() as u64, drive).await;
    let mut names: Vec<String> = path.split('/').map(str::to_owned).collect();
    let name = names.pop().unwrap_or_default();
    let mut account = shared.account(drive);
    let parent = account.folders(&names).expect("no file is in the way");
    account.store(&parent, &name, &blob);
}

pub fn fault(shared: &Shared, drive: Drive, when: When, fault: Fault) {
    let clock = shared.account(drive).tree.clock();
    shared.script.lock().unwrap().add(drive, when, fault, clock);
}

pub async fn answer(shared: &Arc<Shared>, path: &str, body: &[u8]) -> Reply {
    if path == "requests" {
        return Reply::json(200, &json!(*shared.seen.lock().unwrap()));
    }
    if path == "counts" {
        return Reply::json(200, &json!(*shared.counts.lock().unwrap()));
    }
    if let Some(drive) = path.strip_prefix("files/").and_then(Drive::named) {
        let shared = Arc::clone(shared);
        let found = tokio::task::spawn_blocking(move || files(&shared, drive)).await.unwrap();
        let each = |(path, held): (String, Held)| (path, json!({"size": held.size, "sha256": held.sha256}));
        return Reply::json(200, &Value::Object(found.into_iter().map(each).collect()));
    }
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let Some(drive) = asked["drive"].as_str().and_then(Drive::named) else {
        return Reply::text(400, "which drive?");
    };
    if path == "fault" {
        let Some(parsed) = Fault::parse(&asked) else { return Reply::text(400, "which fault?") };
        fault(shared, drive, when(&asked), parsed);
        return Reply::json(200, &json!({}));
    }
    change(shared, drive, path, &asked)
}

fn when(asked: &Value) -> When {
    let number = |name: &str| asked[name].as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or(1);
    When {
        method: asked["method"].as_str().map(str::to_owned),
        path: asked["path"].as_str().unwrap_or_default().to_owned(),
        nth: number("nth"),
        times: number("times"),
    }
}

fn change(shared: &Shared, drive: Drive, path: &str, asked: &Value) -> Reply {
    let mut account = shared.account(drive);
    let value = asked["value"].as_u64();
    match (path, value) {
        ("quota", Some(value)) => account.quota = value,
        ("max-file", Some(value)) => account.max_file = value,
        ("page", Some(value)) => account.page = usize::try_from(value).unwrap_or(1),
        ("expire", _) => account.tokens.expire(),
        ("revoke", _) => account.tokens.revoke(),
        ("approve", _) => account.tokens.approve(true),
        ("deny", _) => account.tokens.approve(false),
        ("refuse", _) => account.tokens.refusing = true,
        ("tokens", _) => {
            let pair = account.tokens.mint();
            return Reply::json(200, &json!({"access": pair.access, "refresh": pair.refresh}));
        }
        _ => return Reply::text(404, "no such control"),
    }
    Reply::json(200, &json!({}))
}
