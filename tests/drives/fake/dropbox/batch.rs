//! Dropbox's batches: finishing sessions, copies, deletes, folders. One batch of writes at a time.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::ask::{Answer, Ask, Refusal, Reply};
use super::super::blob::Blob;
use super::super::{Account, Drive, Shared};
use super::{bad, files, folders, refuse, session, upload};

const MOST: usize = 1000;
/// A batch holds the account for this long at least, so that two that overlap meet.
const HOLD: Duration = Duration::from_millis(20);

struct Busy(Arc<Shared>);

impl Busy {
    fn take(shared: &Arc<Shared>) -> Result<Self, Refusal> {
        let mut account = shared.account(Drive::Dropbox);
        if account.busy {
            let error = json!({"reason": {".tag": "too_many_write_operations"}, "retry_after": 1});
            let body = json!({"error": error, "error_summary": "too_many_write_operations/.."});
            return Err(Reply::json(429, &body).with("retry-after", "1").into());
        }
        account.busy = true;
        Ok(Self(Arc::clone(shared)))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.account(Drive::Dropbox).busy = false;
    }
}

fn entries(arg: &Value) -> Result<Vec<Value>, Refusal> {
    let entries = arg["entries"].as_array().cloned().unwrap_or_default();
    if entries.len() > MOST {
        return Err(bad("entries: list must have at most 1000 items"));
    }
    Ok(entries)
}

pub async fn finish(shared: &Arc<Shared>, ask: &Ask, arg: &Value, direct: bool) -> Answer {
    let entries = entries(arg)?;
    let _busy = Busy::take(shared)?;
    tokio::time::sleep(HOLD).await;
    let mut results = Vec::new();
    for entry in entries {
        let result = finish_one(shared, &entry, ask.quota_full).await;
        results.push(result.unwrap_or_else(|failure| json!({".tag": "failure", "failure": failure})));
    }
    if direct {
        return Ok(Reply::json(200, &json!({"entries": results})));
    }
    Ok(job(&mut shared.account(Drive::Dropbox), json!({".tag": "complete", "entries": results})))
}

async fn finish_one(shared: &Arc<Shared>, entry: &Value, full: bool) -> Result<Value, Value> {
    let cursor = &entry["cursor"];
    let failed = |error: Value| json!({".tag": "lookup_failed", "lookup_failed": error});
    let closed = |account: &Account| {
        let session = account.sessions.get(cursor["session_id"].as_str().unwrap_or_default());
        session.is_none_or(|session| session.closed)
    };
    let (spool, size) = {
        let account = shared.account(Drive::Dropbox);
        let found = session::ready(&account, cursor).map_err(failed)?;
        if !closed(&account) {
            return Err(failed(json!({".tag": "not_closed"})));
        }
        found
    };
    let blob = Blob::seal(spool, size, Drive::Dropbox).await;
    let mut account = shared.account(Drive::Dropbox);
    let stored = upload::commit(&mut account, &entry["commit"], &blob, full);
    let mut shown = stored.map_err(|error| json!({".tag": "path", "path": error}))?;
    if let Some(session) = account.sessions.get_mut(cursor["session_id"].as_str().unwrap_or_default()) {
        session.done = true;
    }
    shown[".tag"] = json!("success");
    Ok(shown)
}

/// The answer is had by asking twice.
fn job(account: &mut Account, result: Value) -> Reply {
    let id = format!("job{}", account.number());
    account.jobs.insert(id.clone(), (1, result));
    Reply::json(200, &json!({".tag": "async_job_id", "async_job_id": id}))
}

pub fn check(shared: &Shared, arg: &Value) -> Answer {
    let mut account = shared.account(Drive::Dropbox);
    let job = account.jobs.get_mut(arg["async_job_id"].as_str().unwrap_or_default());
    let Some((left, result)) = job else { return Err(refuse(&json!({".tag": "invalid_async_job_id"}))) };
    if *left > 0 {
        *left -= 1;
        return Ok(Reply::json(200, &json!({".tag": "in_progress"})));
    }
    Ok(Reply::json(200, result))
}

pub fn copy(shared: &Arc<Shared>, ask: &Ask, arg: &Value) -> Answer {
    let entries = entries(arg)?;
    let _busy = Busy::take(shared)?;
    let mut account = shared.account(Drive::Dropbox);
    let mut results = Vec::new();
    for entry in entries {
        results.push(match files::relocate_one(&mut account, &entry, true, ask.quota_full) {
            Ok(shown) => json!({".tag": "success", "success": shown}),
            Err(error) => {
                json!({".tag": "failure", "failure": {".tag": "relocation_error", "relocation_error": error}})
            }
        });
    }
    let reply = job(&mut account, json!({".tag": "complete", "entries": results}));
    drop(account);
    Ok(reply)
}

pub fn delete(shared: &Arc<Shared>, arg: &Value) -> Answer {
    let entries = entries(arg)?;
    let _busy = Busy::take(shared)?;
    let mut account = shared.account(Drive::Dropbox);
    let mut results = Vec::new();
    for entry in entries {
        let path = entry["path"].as_str().unwrap_or_default();
        results.push(match files::delete_one(&mut account, path) {
            Ok(shown) => json!({".tag": "success", "metadata": shown}),
            Err(error) => json!({".tag": "failure", "failure": error}),
        });
    }
    let reply = job(&mut account, json!({".tag": "complete", "entries": results}));
    drop(account);
    Ok(reply)
}

pub fn create(shared: &Arc<Shared>, arg: &Value) -> Answer {
    let paths = arg["paths"].as_array().cloned().unwrap_or_default();
    if paths.len() > 10 * MOST {
        return Err(bad("paths: list must have at most 10000 items"));
    }
    let _busy = Busy::take(shared)?;
    let mut account = shared.account(Drive::Dropbox);
    let mut results = Vec::new();
    for path in paths {
        results.push(match folders::create_one(&mut account, path.as_str().unwrap_or_default()) {
            Ok(shown) => json!({".tag": "success", "metadata": shown}),
            Err(error) => json!({".tag": "failure", "failure": error}),
        });
    }
    drop(account);
    Ok(Reply::json(200, &json!({".tag": "complete", "entries": results})))
}
