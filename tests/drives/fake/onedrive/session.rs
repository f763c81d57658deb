//! Graph's upload sessions: fragments of 320 KiB multiples, strictly in order, at a URL that needs no token.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::super::account::Session;
use super::super::ask::{Answer, Ask, Refusal, Reply, content_range};
use super::super::blob::Blob;
use super::super::{Drive, Shared};
use super::address::{Place, target};
use super::items::behaviour;
use super::{missing, refuse, upload};

const STEP: u64 = 320 * 1024;
const LARGEST_FRAGMENT: u64 = 60 * 1024 * 1024;

pub async fn create(shared: &Shared, ask: &mut Ask, place: &Place) -> Answer {
    let body = ask.json().await?;
    let item = &body["item"];
    let mut account = shared.account(Drive::OneDrive);
    let (parent, name) = target(&mut account, place)?;
    let behaviour = behaviour(ask, item, "replace");
    upload::check_conflict(&account, &parent, &name, &behaviour)?;
    if let Some(size) = item["fileSize"].as_u64() {
        upload::space(&account, ask, size)?;
    }
    let time = item["fileSystemInfo"]["lastModifiedDateTime"].as_str();
    let about = json!({"parent": parent, "name": name, "behaviour": behaviour, "time": time});
    let id = format!("fake-session-{:08}", account.number());
    account.sessions.insert(id.clone(), Session::new(shared.room.spool(), about));
    let url = ask.url("api.onedrive.com", &format!("/up/{id}"));
    let mut value = state(0);
    value["uploadUrl"] = json!(url);
    Ok(Reply::json(200, &value))
}

fn state(size: u64) -> Value {
    json!({"expirationDateTime": "2099-01-01T00:00:00Z", "nextExpectedRanges": [format!("{size}-")]})
}

fn open<'a>(account: &'a mut super::Account, id: &str) -> Result<&'a mut Session, Refusal> {
    account.sessions.get_mut(id).filter(|session| !session.done).ok_or_else(missing)
}

pub async fn at(shared: &Shared, ask: &mut Ask, id: &str) -> Answer {
    if ask.header("authorization").is_some() && !shared.account(Drive::OneDrive).lenient {
        return Err(refuse(401, "unauthenticated"));
    }
    match ask.method {
        Method::GET => {
            let mut account = shared.account(Drive::OneDrive);
            Ok(Reply::json(200, &state(open(&mut account, id)?.size)))
        }
        Method::DELETE => {
            let mut account = shared.account(Drive::OneDrive);
            open(&mut account, id)?;
            account.sessions.remove(id);
            Ok(Reply::empty(204))
        }
        Method::PUT => fragment(shared, ask, id).await,
        _ => Err(refuse(405, "notAllowed")),
    }
}

/// The range is whole, in order, and of the right size.
fn check(session: &Session, from: u64, to: u64, total: u64) -> Result<(), Refusal> {
    if session.total.is_some_and(|known| known != total) || to > total {
        return Err(refuse(400, "invalidRequest"));
    }
    if from != session.size {
        return Err(refuse(416, "invalidRange"));
    }
    if to != total && !(to - from).is_multiple_of(STEP) {
        return Err(refuse(400, "invalidRequest"));
    }
    if to - from > LARGEST_FRAGMENT {
        return Err(refuse(413, "fragmentTooLarge"));
    }
    Ok(())
}

async fn fragment(shared: &Shared, ask: &mut Ask, id: &str) -> Answer {
    let range = ask.header("content-range").and_then(content_range);
    // Without one byte there is no range: empty files have no session.
    let Some((from, to, Some(total))) = range else { return Err(refuse(400, "invalidRequest")) };
    let spool = {
        let mut account = shared.account(Drive::OneDrive);
        upload::space(&account, ask, total)?;
        let session = open(&mut account, id)?;
        check(session, from, to, total)?;
        Arc::clone(&session.spool)
    };
    let size = ask.body.pour(&spool, from).await?;
    let about = {
        let mut account = shared.account(Drive::OneDrive);
        let session = open(&mut account, id)?;
        check(session, from, to, total)?;
        if size != to - from {
            return Err(refuse(400, "invalidRequest"));
        }
        session.size = to;
        session.total = Some(total);
        if to < total {
            return Ok(Reply::json(202, &state(to)));
        }
        session.about.clone()
    };
    let blob = Blob::seal(spool, total, Drive::OneDrive).await;
    let text = |name: &str| about[name].as_str().unwrap_or_default();
    let mut account = shared.account(Drive::OneDrive);
    let reply = upload::store(&mut account, ask, (text("parent"), text("name")), text("behaviour"), &blob)?;
    open(&mut account, id)?.done = true;
    let stored = account.tree.find(text("parent"), text("name")).map(|node| node.id.clone()).unwrap_or_default();
    if let (Some(time), Some(node)) = (about["time"].as_str(), account.tree.get_mut(&stored)) {
        time.clone_into(&mut node.client_modified);
    }
    Ok(reply)
}
