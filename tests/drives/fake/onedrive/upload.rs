//! Graph's upload in one request, and the storing that sessions share with it.

use std::sync::Arc;

use serde_json::Value;

use super::super::ask::{Answer, Ask, Refusal, Reply};
use super::super::blob::Blob;
use super::super::{Account, Drive, Shared};
use super::address::{Place, target};
use super::items::{behaviour, renamed};
use super::{missing, refuse, show};

const LARGEST: u64 = 250 * 1024 * 1024;

pub fn space(account: &Account, ask: &Ask, size: u64) -> Result<(), Refusal> {
    if size > account.max_file {
        return Err(refuse(413, "fileTooLarge"));
    }
    if ask.quota_full || !account.fits(size) {
        return Err(refuse(507, "quotaLimitReached"));
    }
    Ok(())
}

/// 409 where `fail` was said and the name is taken, or a folder has it.
pub fn check_conflict(account: &Account, parent: &str, name: &str, behaviour: &str) -> Result<(), Refusal> {
    match account.tree.find(parent, name) {
        Some(there) if there.blob.is_none() || behaviour == "fail" => Err(refuse(409, "nameAlreadyExists")),
        _ => Ok(()),
    }
}

/// 201 for a new item, 200 for one that was replaced.
pub fn store(account: &mut Account, ask: &Ask, target: (&str, &str), behaviour: &str, blob: &Arc<Blob>) -> Answer {
    let (parent, name) = target;
    space(account, ask, blob.size)?;
    check_conflict(account, parent, name, behaviour)?;
    let there = account.tree.find(parent, name).is_some();
    let name = if there && behaviour == "rename" { renamed(account, parent, name) } else { name.to_owned() };
    let id = account.store(parent, &name, blob);
    let node = account.tree.get(&id).ok_or_else(missing)?;
    let status = if there && behaviour != "rename" { 200 } else { 201 };
    Ok(Reply::json(status, &show(account, ask, node)))
}

pub async fn put(shared: &Shared, ask: &mut Ask, place: &Place) -> Answer {
    if ask.length().is_some_and(|length| length > LARGEST) {
        return Err(refuse(413, "fileTooLarge"));
    }
    let (parent, name) = target(&mut shared.account(Drive::OneDrive), place)?;
    let blob = ask.blob(shared).await?;
    let mut account = shared.account(Drive::OneDrive);
    let behaviour = behaviour(ask, &Value::Null, "replace");
    store(&mut account, ask, (&parent, &name), &behaviour, &blob)
}
