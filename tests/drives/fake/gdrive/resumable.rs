//! Drive's resumable uploads: chunks of 256 KiB multiples, 308 with what has arrived, `bytes */N` to ask.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::account::Session;
use super::super::ask::{Answer, Ask, Refusal, Reply, content_range};
use super::super::blob::Blob;
use super::super::{Drive, Shared};
use super::{files, missing, refuse, upload};

const STEP: u64 = 256 * 1024;

pub async fn begin(shared: &Shared, ask: &mut Ask, id: Option<&str>) -> Answer {
    let mut body = ask.json().await?;
    if body.is_null() {
        body = json!({});
    }
    let total = ask.header("x-upload-content-length").and_then(|text| text.parse::<u64>().ok());
    if total == Some(0) {
        return Err(refuse(400, "badRequest", "an empty file has no session"));
    }
    if body["mimeType"].is_null() {
        body["mimeType"] = json!(ask.header("x-upload-content-type"));
    }
    let mut account = shared.account(Drive::GDrive);
    let at = id.map_or_else(|| files::parent_of(&body), str::to_owned);
    files::space(&account, ask, &at, total.unwrap_or_default())?;
    if id.is_none() {
        // What would be refused at the end is refused at once.
        files::place(&mut account, &body)?;
    }
    let query: Vec<_> = ask.query.iter().filter(|(key, _)| key.ends_with("Parents")).cloned().collect();
    let mut session = Session::new(shared.room.spool(), json!({"body": body, "id": id, "query": query}));
    session.total = total;
    let name = format!("fake{:016}", account.number());
    account.sessions.insert(name.clone(), session);
    let url = ask.url("www.googleapis.com", &format!("{}?uploadType=resumable&upload_id={name}", ask.path));
    Ok(Reply::empty(200).with("location", url).with("x-guploader-uploadid", name))
}

fn session<'a>(account: &'a mut super::Account, ask: &Ask) -> Result<&'a mut Session, Refusal> {
    let id = ask.query("upload_id").unwrap_or_default();
    account.sessions.get_mut(id).ok_or_else(|| missing(id))
}

fn incomplete(size: u64) -> Reply {
    let reply = Reply::empty(308);
    if size == 0 { reply } else { reply.with("range", format!("bytes=0-{}", size - 1)) }
}

pub fn abort(shared: &Shared, ask: &Ask) -> Answer {
    let mut account = shared.account(Drive::GDrive);
    session(&mut account, ask)?;
    let id = ask.query("upload_id").unwrap_or_default().to_owned();
    account.sessions.remove(&id);
    Ok(Reply::empty(499))
}

pub async fn put(shared: &Shared, ask: &mut Ask) -> Answer {
    let range = ask.header("content-range").map(str::to_owned);
    let length = ask.length();
    let (spool, size, known, done, about) = {
        let mut account = shared.account(Drive::GDrive);
        let session = session(&mut account, ask)?;
        (Arc::clone(&session.spool), session.size, session.total, session.done, session.about.clone())
    };
    if done {
        return Ok(Reply::json(200, &about["result"]));
    }
    if range.as_deref().is_some_and(|range| range.starts_with("bytes */")) {
        if known.is_some_and(|total| total == size) {
            return complete(shared, ask, &spool, size).await;
        }
        return Ok(incomplete(size));
    }
    let (from, to, total) = match range.as_deref() {
        // Everything in one request.
        None => (0, length.unwrap_or(u64::MAX), length),
        Some(range) => content_range(range).ok_or_else(|| refuse(400, "badRequest", "Content-Range"))?,
    };
    let is_last = total == Some(to) || range.is_none();
    if from > size || known.is_some_and(|known| total.is_some_and(|total| total != known)) {
        return Err(refuse(400, "badRequest", "Content-Range does not fit"));
    }
    if !is_last && !(to - from).is_multiple_of(STEP) {
        return Err(refuse(400, "badRequest", "a chunk is a multiple of 256 KiB"));
    }
    take(shared, ask, &spool, from, to - from, is_last).await?;
    let arrived = session(&mut shared.account(Drive::GDrive), ask)?.size;
    if is_last && (range.is_none() || arrived == to) {
        complete(shared, ask, &spool, arrived).await
    } else {
        Ok(incomplete(arrived))
    }
}

/// Bytes of a connection that ends early stay, in whole steps.
async fn take(
    shared: &Shared,
    ask: &mut Ask,
    spool: &Arc<super::super::blob::Spool>,
    from: u64,
    want: u64,
    last: bool,
) -> Result<(), Refusal> {
    let mut at = from;
    loop {
        let next = ask.body.next().await;
        let (data, ended) = match next {
            Ok(Some(data)) => (data, None),
            Ok(None) => (bytes::Bytes::new(), Some(Ok(()))),
            Err(refusal) => (bytes::Bytes::new(), Some(Err(refusal))),
        };
        if at + data.len() as u64 > from.saturating_add(want) {
            return Err(refuse(400, "badRequest", "more bytes than Content-Range says"));
        }
        spool.write(at, &data);
        at += data.len() as u64;
        let Some(ended) = ended else { continue };
        let whole = at - from == want || (last && want == u64::MAX);
        let mut account = shared.account(Drive::GDrive);
        let session = session(&mut account, ask)?;
        let kept = if whole && ended.is_ok() { at } else { at - at % STEP };
        session.size = session.size.max(kept);
        return ended;
    }
}

async fn complete(shared: &Shared, ask: &mut Ask, spool: &Arc<super::super::blob::Spool>, size: u64) -> Answer {
    let blob = Blob::seal(Arc::clone(spool), size, Drive::GDrive).await;
    let mut account = shared.account(Drive::GDrive);
    let about = session(&mut account, ask)?.about.clone();
    let query: Vec<(String, String)> = serde_json::from_value(about["query"].clone()).unwrap_or_default();
    ask.query.extend(query);
    let reply = upload::store(&mut account, ask, about["id"].as_str(), &about["body"], &blob)?;
    let result: Value = match &reply.content {
        super::super::ask::Content::Bytes(bytes) => serde_json::from_slice(bytes).unwrap_or_default(),
        super::super::ask::Content::Part(..) => Value::Null,
    };
    let session = session(&mut account, ask)?;
    session.done = true;
    session.total = Some(size);
    session.about["result"] = result;
    Ok(reply)
}
