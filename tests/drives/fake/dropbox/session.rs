//! Dropbox's upload sessions: in order, or concurrent in multiples of 4 MiB.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::account::{Part, Session};
use super::super::ask::{Answer, Ask, Reply};
use super::super::blob::{Blob, Spool};
use super::super::{Account, Drive, Shared};
use super::{bad, check_body, header_arg, refuse, upload};

const BLOCK: u64 = 4 * 1024 * 1024;

fn is_concurrent(arg: &Value) -> bool {
    let kind = &arg["session_type"];
    kind == "concurrent" || kind[".tag"] == "concurrent"
}

fn open(shared: &Shared, concurrent: bool) -> (String, Session) {
    let mut session = Session::new(shared.room.spool(), Value::Null);
    session.concurrent = concurrent;
    let number = shared.account(Drive::Dropbox).number();
    (format!("pid_upload_session:fake{number:08}"), session)
}

pub async fn start(shared: &Shared, ask: &mut Ask) -> Answer {
    check_body(ask)?;
    let arg = header_arg(ask)?;
    let concurrent = is_concurrent(&arg);
    let close = arg["close"].as_bool().unwrap_or_default();
    let (id, mut session) = open(shared, concurrent);
    session.size = ask.body.pour(&session.spool, 0).await?;
    if concurrent && session.size > 0 {
        return Err(refuse(&json!({".tag": "concurrent_session_data_not_allowed"})));
    }
    if concurrent && close {
        return Err(refuse(&json!({".tag": "concurrent_session_close_not_allowed"})));
    }
    session.closed = close;
    shared.account(Drive::Dropbox).sessions.insert(id.clone(), session);
    Ok(Reply::json(200, &json!({"session_id": id})))
}

pub fn start_batch(shared: &Shared, arg: &Value) -> Answer {
    let many = arg["num_sessions"].as_u64().filter(|many| (1..=1000).contains(many));
    let many = many.ok_or_else(|| bad("num_sessions: 1 to 1000"))?;
    let mut ids = Vec::new();
    for _ in 0..many {
        let (id, session) = open(shared, is_concurrent(arg));
        shared.account(Drive::Dropbox).sessions.insert(id.clone(), session);
        ids.push(id);
    }
    Ok(Reply::json(200, &json!({"session_ids": ids})))
}

fn wrong_offset(correct: u64) -> Value {
    json!({".tag": "incorrect_offset", "correct_offset": correct})
}

/// Whether bytes may be added there; the file to add them to.
fn may_append(account: &Account, cursor: &Value) -> Result<Arc<Spool>, Value> {
    let session = account.sessions.get(cursor["session_id"].as_str().unwrap_or_default());
    let session = session.filter(|session| !session.done).ok_or_else(|| json!({".tag": "not_found"}))?;
    let offset = cursor["offset"].as_u64().unwrap_or_default();
    if session.closed && !session.concurrent {
        return Err(json!({".tag": "closed"}));
    }
    if session.concurrent && !offset.is_multiple_of(BLOCK) {
        return Err(json!({".tag": "concurrent_session_invalid_offset"}));
    }
    if !session.concurrent && offset != session.size {
        return Err(wrong_offset(session.size));
    }
    Ok(Arc::clone(&session.spool))
}

pub async fn append(shared: &Shared, ask: &mut Ask) -> Answer {
    check_body(ask)?;
    let arg = header_arg(ask)?;
    let cursor = &arg["cursor"];
    let close = arg["close"].as_bool().unwrap_or_default();
    let spool = may_append(&shared.account(Drive::Dropbox), cursor).map_err(|error| refuse(&error))?;
    let offset = cursor["offset"].as_u64().unwrap_or_default();
    let size = ask.body.pour(&spool, offset).await?;
    let mut account = shared.account(Drive::Dropbox);
    // Somebody else may have been faster.
    may_append(&account, cursor).map_err(|error| refuse(&error))?;
    let id = cursor["session_id"].as_str().unwrap_or_default();
    let Some(session) = account.sessions.get_mut(id) else { return Err(refuse(&json!({".tag": "not_found"}))) };
    if session.concurrent {
        if !size.is_multiple_of(BLOCK) && !close {
            return Err(refuse(&json!({".tag": "concurrent_session_invalid_data_size"})));
        }
        session.parts.insert(offset, Part { id: String::new(), size, sha1: String::new() });
        session.size = session.parts.iter().fold(0, |end, (at, part)| if *at == end { end + part.size } else { end });
    } else {
        session.size += size;
    }
    session.closed |= close;
    Ok(Reply::json(200, &Value::Null))
}

/// Whether a session can become a file: its file and size, or the error of a lookup.
pub fn ready(account: &Account, cursor: &Value) -> Result<(Arc<Spool>, u64), Value> {
    let session = account.sessions.get(cursor["session_id"].as_str().unwrap_or_default());
    let session = session.filter(|session| !session.done).ok_or_else(|| json!({".tag": "not_found"}))?;
    if cursor["offset"].as_u64() != Some(session.size) {
        return Err(wrong_offset(session.size));
    }
    if session.concurrent && !session.closed {
        return Err(json!({".tag": "concurrent_session_not_closed"}));
    }
    if session.parts.iter().map(|(at, part)| at + part.size).max().unwrap_or(session.size) != session.size {
        return Err(json!({".tag": "concurrent_session_missing_data"}));
    }
    Ok((Arc::clone(&session.spool), session.size))
}

pub async fn finish(shared: &Shared, ask: &mut Ask) -> Answer {
    check_body(ask)?;
    let arg = header_arg(ask)?;
    let failed = |error: Value| refuse(&json!({".tag": "lookup_failed", "lookup_failed": error}));
    let cursor = &arg["cursor"];
    let (spool, mut size) = ready(&shared.account(Drive::Dropbox), cursor).map_err(failed)?;
    size += ask.body.pour(&spool, size).await?;
    let blob = Blob::seal(spool, size, Drive::Dropbox).await;
    let mut account = shared.account(Drive::Dropbox);
    let stored = upload::commit(&mut account, &arg["commit"], &blob, ask.quota_full);
    let shown = stored.map_err(|error| refuse(&json!({".tag": "path", "path": error})))?;
    if let Some(session) = account.sessions.get_mut(cursor["session_id"].as_str().unwrap_or_default()) {
        session.done = true;
    }
    Ok(Reply::json(200, &shown))
}
