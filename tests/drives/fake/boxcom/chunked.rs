//! Box's upload sessions: the server sets the size of parts, parts come in any order and never change, the commit is
//! answered with 202 first.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::account::{Part, Session};
use super::super::ask::{Answer, Ask, Refusal, Reply, content_range};
use super::super::blob::Blob;
use super::super::{Drive, Shared};
use super::{find, missing, refuse, upload};

const SMALLEST: u64 = 20_000_000;
const PART: u64 = 8 * 1024 * 1024;

fn show(session: &Session, ask: &Ask, id: &str) -> Value {
    let total = session.total.unwrap_or_default();
    let end = |rest: &str| ask.url("upload.box.com", &format!("/api/2.0/files/upload_sessions/{id}{rest}"));
    json!({
        "type": "upload_session", "id": id, "session_expires_at": "2099-01-01T00:00:00Z", "part_size": PART,
        "total_parts": total.div_ceil(PART), "num_parts_processed": session.parts.len(),
        "session_endpoints": {
            "upload_part": end(""), "status": end(""), "abort": end(""),
            "commit": end("/commit"), "list_parts": end("/parts"), "log_event": end("/log"),
        },
    })
}

pub async fn create(shared: &Shared, ask: &mut Ask, file: Option<&str>) -> Answer {
    let body = ask.json().await?;
    let size = body["file_size"].as_u64().ok_or_else(|| refuse(400, "bad_request"))?;
    if size < SMALLEST {
        return Err(refuse(400, "file_size_too_small"));
    }
    let mut account = shared.account(Drive::Box);
    let about = match file {
        Some(id) => {
            let node = find(&account, id, true)?;
            json!({"file": id, "name": node.name})
        }
        None => {
            let (parent, name) = (body["folder_id"].as_str(), body["file_name"].as_str());
            let (Some(parent), Some(name)) = (parent, name) else { return Err(refuse(400, "bad_request")) };
            upload::check_new(&account, ask, parent, name, size)?;
            json!({"parent": parent, "name": name})
        }
    };
    if account.too_fast() {
        return Err(super::error(429, "rate_limit_exceeded").with("retry-after", "1").into());
    }
    let mut session = Session::new(shared.room.spool(), about);
    session.total = Some(size);
    let id = format!("F971964745A5CD0C001BBE4E{:08}", account.number());
    let shown = show(&session, ask, &id);
    account.sessions.insert(id, session);
    Ok(Reply::json(201, &shown))
}

fn open<'a>(account: &'a mut super::Account, id: &str) -> Result<&'a mut Session, Refusal> {
    account.sessions.get_mut(id).filter(|session| !session.done).ok_or_else(missing)
}

pub fn status(shared: &Shared, ask: &Ask, id: &str) -> Answer {
    let mut account = shared.account(Drive::Box);
    let session = open(&mut account, id)?;
    Ok(Reply::json(200, &show(session, ask, id)))
}

pub fn abort(shared: &Shared, id: &str) -> Answer {
    let mut account = shared.account(Drive::Box);
    open(&mut account, id)?.done = true;
    account.sessions.remove(id);
    Ok(Reply::empty(204))
}

fn show_part(offset: u64, part: &Part) -> Value {
    json!({"part_id": part.id, "offset": offset, "size": part.size, "sha1": part.sha1})
}

pub fn parts(shared: &Shared, ask: &Ask, id: &str) -> Answer {
    let mut account = shared.account(Drive::Box);
    let page = account.page;
    let session = open(&mut account, id)?;
    let number = |name: &str| ask.query(name).and_then(|text| text.parse::<usize>().ok());
    let (offset, limit) = (number("offset").unwrap_or_default(), number("limit").unwrap_or(1000).min(page));
    let entries: Vec<Value> =
        session.parts.iter().skip(offset).take(limit).map(|(offset, part)| show_part(*offset, part)).collect();
    let value = json!({"total_count": session.parts.len(), "entries": entries, "offset": offset, "limit": limit});
    Ok(Reply::json(200, &value))
}

/// `Digest: sha=…`, in hexadecimal digits.
fn digest(ask: &Ask) -> Result<String, Refusal> {
    let text = ask.header("digest").and_then(|text| text.strip_prefix("sha="));
    let bytes = text.and_then(|text| STANDARD.decode(text).ok()).filter(|bytes| bytes.len() == 20);
    bytes.map(hex::encode).ok_or_else(|| refuse(400, "bad_digest"))
}

pub async fn part(shared: &Shared, ask: &mut Ask, id: &str) -> Answer {
    let wanted = digest(ask)?;
    let range = ask.header("content-range").and_then(content_range);
    let (from, to, total) = range.ok_or_else(|| refuse(400, "bad_request"))?;
    let free = |session: &Session| -> Result<(), Refusal> {
        let whole = session.total.unwrap_or_default();
        let end = (from + PART).min(whole);
        if total != Some(whole) || !from.is_multiple_of(PART) || to != end {
            return Err(refuse(416, "range_not_satisfiable"));
        }
        if session.parts.contains_key(&from) { Err(refuse(409, "conflict")) } else { Ok(()) }
    };
    {
        let mut account = shared.account(Drive::Box);
        free(open(&mut account, id)?)?;
    }
    // A file of its own: two may send the same part at once, and the second must not touch what the first wrote.
    let own = shared.room.spool();
    let size = ask.body.pour(&own, 0).await?;
    if size != to - from || hex::encode(own.sha1(0, size)) != wanted {
        return Err(refuse(412, "precondition_failed"));
    }
    let mut account = shared.account(Drive::Box);
    let number = account.number();
    let session = open(&mut account, id)?;
    free(session)?;
    session.spool.take(&own, from, size);
    let part = Part { id: format!("{number:08X}"), size, sha1: wanted };
    let shown = show_part(from, &part);
    session.parts.insert(from, part);
    Ok(Reply::json(200, &json!({"part": shown})))
}

/// All parts are named, in order, and cover the file.
fn check_parts(session: &Session, named: &[Value]) -> Result<(), Refusal> {
    let wrong = || refuse(400, "parts_mismatch");
    let whole: u64 = session.parts.values().map(|part| part.size).sum();
    if Some(whole) != session.total || named.len() != session.parts.len() {
        return Err(wrong());
    }
    for ((offset, part), named) in session.parts.iter().zip(named) {
        let same = named["part_id"] == part.id.as_str() && named["offset"] == *offset && named["size"] == part.size;
        if !same {
            return Err(wrong());
        }
    }
    Ok(())
}

pub async fn commit(shared: &Shared, ask: &mut Ask, id: &str) -> Answer {
    let wanted = digest(ask)?;
    let body = ask.json().await?;
    let (spool, size) = {
        let mut account = shared.account(Drive::Box);
        let session = open(&mut account, id)?;
        check_parts(session, body["parts"].as_array().map(Vec::as_slice).unwrap_or_default())?;
        session.commits += 1;
        if session.commits == 1 {
            return Ok(Reply::empty(202).with("retry-after", "1"));
        }
        (Arc::clone(&session.spool), session.total.unwrap_or_default())
    };
    let blob = Blob::seal(spool, size, Drive::Box).await;
    if blob.digests.sha1 != wanted {
        return Err(refuse(400, "bad_digest"));
    }
    let mut account = shared.account(Drive::Box);
    let about = open(&mut account, id)?.about.clone();
    let name = about["name"].as_str().unwrap_or_default();
    let stored = match (about["file"].as_str(), about["parent"].as_str()) {
        (Some(file), _) => {
            find(&account, file, true)?;
            account.tree.replace(file, blob);
            file.to_owned()
        }
        (None, parent) => {
            let parent = parent.unwrap_or_default();
            upload::check_new(&account, ask, parent, name, size)?;
            account.store(parent, name, &blob)
        }
    };
    open(&mut account, id)?.done = true;
    upload::stored(&mut account, &stored, &body["attributes"])
}
