//! Box's calls, one function each, by id. What paths are, and what a conflict means, is its callers' to say.

use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::multipart::{Form, Part};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::judge::code;
use crate::storage::backend::{Checksum, HashKind};
use crate::storage::drive::fresh::Fresh;
use crate::storage::drive::latest;
use crate::storage::drive::patience::Patience;
use crate::web::{Answer, Endpoint, Fault, Web, number_if_any};

const FIELDS: &str = "id,type,name,size,sha1,created_at,modified_at";
/// The longest page that Box gives.
const PAGE: &str = "1000";

/// A file or folder as Box tells it; conflicts tell no size.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Item {
    #[serde(deserialize_with = "id")]
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default, deserialize_with = "number_if_any")]
    pub(super) size: Option<u64>,
    pub(super) sha1: Option<String>,
    pub(super) created_at: Option<String>,
    pub(super) modified_at: Option<String>,
}

/// Text everywhere, but for conflicts, of which Box's own examples write it as a number.
fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(id) => Ok(id),
        Value::Number(id) => Ok(id.to_string()),
        _ => Err(D::Error::custom("an id that is none")),
    }
}

impl Item {
    pub(super) fn is_folder(&self) -> bool {
        self.kind == "folder"
    }

    /// By Box's clock; what a file says of its own content is another time.
    pub(super) fn modified(&self) -> Option<Timestamp> {
        latest([self.created_at.as_deref(), self.modified_at.as_deref()])
    }

    pub(super) fn checksum(&self) -> Option<Checksum> {
        Checksum::from_hex(HashKind::Sha1, self.sha1.as_deref()?)
    }
}

/// A folder by who owns it. What is put there takes the owner's room, whoever puts it there.
#[derive(Debug, Deserialize)]
pub(super) struct Owned {
    owned_by: Option<User>,
    permissions: Option<Permissions>,
}

#[derive(Debug, Deserialize)]
struct User {
    id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Permissions {
    can_upload: Option<bool>,
}

impl Owned {
    /// Whether it is somebody else's than this account's; not where one of the two is not told.
    pub(super) fn is_of_others(&self, account: Option<&str>) -> bool {
        let owner = self.owned_by.as_ref().and_then(|user| user.id.as_deref());
        owner.zip(account).is_some_and(|(owner, account)| owner != account)
    }

    /// Whether it is said that nothing may be put there.
    pub(super) fn is_closed(&self) -> bool {
        self.permissions.as_ref().and_then(|may| may.can_upload) == Some(false)
    }
}

/// What making something came to.
#[derive(Debug)]
pub(super) enum Made {
    /// It is ours.
    New(Item),
    /// The name is in use. `unsure`: an earlier try of the same request may have made it.
    There { item: Item, unsure: bool },
}

/// A page of a listing.
#[derive(Debug, Deserialize)]
struct Page {
    entries: Vec<Item>,
    next_marker: Option<String>,
    /// Told of pages that are counted; those with markers have none.
    #[serde(default, deserialize_with = "number_if_any")]
    total_count: Option<u64>,
}

/// Where a listing goes on.
#[derive(Debug, PartialEq, Eq)]
enum At {
    First,
    Marker(String),
    /// For who does not go by markers: behind so many entries.
    Entry(u64),
}

/// Box for one account.
#[derive(Debug, Clone)]
pub(super) struct Api {
    /// At the pace of calls.
    pub(super) calls: Web,
    /// At the pace of uploads, which are counted apart.
    pub(super) uploads: Web,
    pub(super) base: Endpoint,
    pub(super) upload: Endpoint,
    /// Items by their ids.
    pub(super) fresh: Fresh,
}

/// What a name that is in use is in use for: one object for files, a list for folders.
pub(super) fn conflict(answer: &Answer) -> Option<Item> {
    if answer.status != 409 || code(answer) != "item_name_in_use" {
        return None;
    }
    let conflicts = &answer.value()["context_info"]["conflicts"];
    let one = if conflicts.is_array() { &conflicts[0] } else { conflicts };
    serde_json::from_value(one.clone()).ok()
}

fn is_conflict(answer: &Answer) -> bool {
    conflict(answer).is_some()
}

/// The item of an answer, which uploads wrap into a list.
pub(super) fn item(answer: &Answer) -> Result<Item, Fault> {
    let value = answer.value();
    let one = if value["entries"].is_array() { value["entries"][0].clone() } else { value };
    serde_json::from_value(one).map_err(|error| Fault::Form(error.to_string()))
}

/// Nothing is in a folder that is not there.
fn nothing_there(fault: Fault) -> Result<Option<Item>, Fault> {
    if fault == Fault::NotFound { Ok(None) } else { Err(fault) }
}

/// A try that was answered with 404 has made nothing.
fn was_refused(tries: &AtomicU32) {
    tries.fetch_sub(1, Ordering::Relaxed);
}

impl Api {
    async fn make(&self, url: &str, parent: &str, name: &str, mut late: Patience) -> Result<Made, Fault> {
        let tries = AtomicU32::new(0);
        let body = json!({"name": name, "parent": {"id": parent}});
        loop {
            let answer = self.calls.send_for(is_conflict, |client| {
                tries.fetch_add(1, Ordering::Relaxed);
                client.post(url).query(&[("fields", FIELDS)]).json(&body)
            });
            match answer.await {
                Err(Fault::NotFound) if late.again().await => was_refused(&tries),
                Err(Fault::Exists) => return self.there(parent, name, &tries).await,
                answer => return self.made(&answer?, &tries),
            }
        }
    }

    fn made(&self, answer: &Answer, tries: &AtomicU32) -> Result<Made, Fault> {
        match conflict(answer) {
            Some(item) => Ok(Made::There { item: self.told(item), unsure: tries.load(Ordering::Relaxed) > 1 }),
            None => Ok(Made::New(self.told(item(answer)?))),
        }
    }

    /// Notes that Box told of an item just now.
    fn told(&self, item: Item) -> Item {
        self.fresh.saw(&item.id);
        item
    }

    /// What has a name that was refused without a word about what has it.
    async fn there(&self, parent: &str, name: &str, tries: &AtomicU32) -> Result<Made, Fault> {
        let mut late = self.fresh.patience(parent);
        let found = self.find_listed(parent, name, &mut late).await.or_else(nothing_there)?;
        let item = found.ok_or(Fault::Exists)?;
        Ok(Made::There { item, unsure: tries.load(Ordering::Relaxed) > 1 })
    }

    /// `late`: how long a parent may be unknown that Box told of.
    pub(super) async fn make_folder(&self, parent: &str, name: &str, late: Patience) -> Result<Made, Fault> {
        self.make(&self.base.at("/2.0/folders"), parent, name, late).await
    }

    pub(super) async fn copy(&self, file: &str, parent: &str, name: &str) -> Result<Made, Fault> {
        let late = self.fresh.patience(parent);
        self.make(&self.base.at(&format!("/2.0/files/{file}/copy")), parent, name, late).await
    }

    /// The whole of a small file, or with `version_of` over that file. `late`: how long a parent, or that file, may be
    /// unknown that Box told of.
    pub(super) async fn send(
        &self,
        attributes: &Value,
        version_of: Option<&str>,
        bytes: &Bytes,
        sha1: &Checksum,
        mut late: Patience,
    ) -> Result<Made, Fault> {
        let url = match version_of {
            Some(id) => self.upload.at(&format!("/api/2.0/files/{id}/content")),
            None => self.upload.at("/api/2.0/files/content"),
        };
        let tries = AtomicU32::new(0);
        let answer = loop {
            let answer = self.uploads.send_for(is_conflict, |client| {
                tries.fetch_add(1, Ordering::Relaxed);
                // Box looks at the attributes first and refuses a form that has the file before them.
                let form = Form::new()
                    .text("attributes", attributes.to_string())
                    .part("file", Part::stream(bytes.clone()).file_name("file"));
                // The header's name is history: Box wants SHA-1.
                client.post(&url).query(&[("fields", FIELDS)]).header("content-md5", sha1.hex()).multipart(form)
            });
            match answer.await {
                Err(Fault::NotFound) if late.again().await => was_refused(&tries),
                answer => break answer,
            }
        };
        match (answer, attributes["parent"]["id"].as_str(), attributes["name"].as_str()) {
            (Err(Fault::Exists), Some(parent), Some(name)) => self.there(parent, name, &tries).await,
            (answer, ..) => self.made(&answer?, &tries),
        }
    }

    pub(super) async fn file(&self, id: &str) -> Result<Item, Fault> {
        let url = self.base.at(&format!("/2.0/files/{id}"));
        let mut late = self.fresh.patience(id);
        loop {
            match self.calls.send(|client| client.get(&url).query(&[("fields", FIELDS)])).await {
                Err(Fault::NotFound) if late.again().await => {}
                answer => return item(&answer?),
            }
        }
    }

    /// Whose a folder is, and what this account may do there.
    pub(super) async fn owner(&self, folder: &str) -> Result<Owned, Fault> {
        let url = self.base.at(&format!("/2.0/folders/{folder}"));
        let mut late = self.fresh.patience(folder);
        loop {
            match self.calls.send(|client| client.get(&url).query(&[("fields", "owned_by,permissions")])).await {
                Err(Fault::NotFound) if late.again().await => {}
                answer => return answer?.json(),
            }
        }
    }

    /// What has this name in a folder. Asking whether it could be uploaded takes one request, however large the folder
    /// is. That is said of files only: where it says that the name is free, or nothing, the folder is listed.
    pub(super) async fn find(&self, parent: &str, name: &str) -> Result<Option<Item>, Fault> {
        let mut late = self.fresh.patience(parent);
        self.find_in(parent, name, &mut late).await.or_else(nothing_there)
    }

    /// As [`Self::find`], and [`Fault::NotFound`] where the folder itself is not known.
    pub(super) async fn find_in(&self, parent: &str, name: &str, late: &mut Patience) -> Result<Option<Item>, Fault> {
        match self.could_upload(parent, name, late).await {
            Ok(answer) => match conflict(&answer) {
                Some(item) => Ok(Some(self.told(item))),
                None => self.find_listed(parent, name, late).await,
            },
            Err(fault @ (Fault::Login(_) | Fault::Throttled(_) | Fault::Broken(_))) => Err(fault),
            Err(_) => self.find_listed(parent, name, late).await,
        }
    }

    async fn could_upload(&self, parent: &str, name: &str, late: &mut Patience) -> Result<Answer, Fault> {
        let url = self.base.at("/2.0/files/content");
        let body = json!({"name": name, "parent": {"id": parent}});
        loop {
            let asked =
                self.calls.send_for(is_conflict, |client| client.request(reqwest::Method::OPTIONS, &url).json(&body));
            match asked.await {
                Err(Fault::NotFound) if late.again().await => {}
                answer => return answer,
            }
        }
    }

    async fn find_listed(&self, parent: &str, name: &str, late: &mut Patience) -> Result<Option<Item>, Fault> {
        let (mut at, mut seen) = (At::First, 0);
        loop {
            let page = self.page(parent, &at, late).await?;
            let next = page.next(&at, &mut seen);
            if let Some(found) = page.entries.into_iter().find(|item| fold(&item.name) == fold(name)) {
                return Ok(Some(self.told(found)));
            }
            match next {
                Some(next) => at = next,
                None => return Ok(None),
            }
        }
    }

    async fn page(&self, folder: &str, at: &At, late: &mut Patience) -> Result<Page, Fault> {
        let url = self.base.at(&format!("/2.0/folders/{folder}/items"));
        let mut query = vec![("limit", PAGE.to_owned()), ("fields", FIELDS.to_owned())];
        match at {
            At::Entry(seen) => query.push(("offset", seen.to_string())),
            At::First => query.push(("usemarker", "true".to_owned())),
            At::Marker(marker) => query.extend([("usemarker", "true".to_owned()), ("marker", marker.clone())]),
        }
        loop {
            match self.calls.send(|client| client.get(&url).query(&query)).await {
                Err(Fault::NotFound) if late.again().await => {}
                answer => return answer?.json(),
            }
        }
    }

    /// All that is in a folder, which may be unknown for so long.
    pub(super) async fn items(&self, folder: &str, mut late: Patience) -> Result<Vec<Item>, Fault> {
        let (mut all, mut at, mut seen) = (Vec::new(), At::First, 0);
        loop {
            let mut page = self.page(folder, &at, &mut late).await?;
            let next = page.next(&at, &mut seen);
            all.append(&mut page.entries);
            match next {
                Some(next) => at = next,
                None => return Ok(all),
            }
        }
    }

    /// Into the bin, and out of it where that is allowed: then the room is free. What is gone already is no failure.
    pub(super) async fn remove(&self, kind: &str, id: &str) -> Result<bool, Fault> {
        let url = self.base.at(&format!("/2.0/{kind}/{id}"));
        let recursive: &[(&str, &str)] = if kind == "folders" { &[("recursive", "true")] } else { &[] };
        match self.calls.send(|client| client.delete(&url).query(recursive)).await {
            Ok(_) | Err(Fault::NotFound) => {}
            Err(fault) => return Err(fault),
        }
        let purged = self.calls.send(|client| client.delete(format!("{url}/trash"))).await;
        Ok(matches!(purged, Ok(_) | Err(Fault::NotFound)))
    }
}

impl Page {
    /// Where it goes on behind this page, which was asked for at `at`, when so many entries were seen before.
    fn next(&self, at: &At, seen: &mut u64) -> Option<At> {
        *seen += self.entries.len() as u64;
        let marker = self.next_marker.clone().filter(|marker| !marker.is_empty()).map(At::Marker);
        let more = !self.entries.is_empty() && self.total_count.is_some_and(|total| total > *seen);
        marker.or_else(|| more.then_some(At::Entry(*seen))).filter(|next| next != at)
    }
}

/// Box takes names that differ in case or composition only for one.
fn fold(name: &str) -> String {
    use unicode_normalization::UnicodeNormalization as _;
    name.nfc().flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(conflicts: &Value) -> Answer {
        let body = json!({"type": "error", "status": 409, "code": "item_name_in_use", "context_info": {"conflicts": conflicts}});
        Answer { status: 409, headers: reqwest::header::HeaderMap::new(), body: body.to_string().into() }
    }

    #[test]
    fn a_listing_goes_on_by_marker_or_by_number_and_comes_to_an_end() {
        let page = |more: &Value| -> Page {
            let mut page = json!({"entries": [{"type": "file", "id": "1"}, {"type": "file", "id": "2"}]});
            page.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value(page).unwrap()
        };
        let next = |more: &Value, at: &At, mut seen: u64| page(more).next(at, &mut seen);
        let marked = json!({"next_marker": "m", "total_count": 9});
        assert_eq!(next(&marked, &At::First, 0), Some(At::Marker("m".to_owned())));
        assert_eq!(next(&marked, &At::Marker("m".to_owned()), 2), None, "in a circle");
        for last in [json!({}), json!({"next_marker": null}), json!({"next_marker": "", "total_count": 4})] {
            assert_eq!(next(&last, &At::Marker("m".to_owned()), 2), None, "{last}");
        }
        let counted = json!({"total_count": 5, "offset": 0, "limit": 2});
        assert_eq!(next(&counted, &At::First, 0), Some(At::Entry(2)));
        assert_eq!(next(&counted, &At::Entry(2), 2), Some(At::Entry(4)));
        assert_eq!(next(&counted, &At::Entry(4), 4), None);
    }

    #[test]
    fn what_has_the_name_is_read_from_every_form_of_a_conflict() {
        let sha1 = "85136C79CBF9FE36BB9D05D0639C70C265C18D37";
        let file = json!({"type": "file", "id": "12345", "name": "a", "sha1": sha1});
        let number = json!({"type": "file", "id": 12345, "etag": 1, "name": "a", "sha1": sha1});
        for conflicts in [&file, &json!([file]), &number, &json!([number])] {
            let item = conflict(&refusal(conflicts)).unwrap();
            assert_eq!((&*item.id, item.is_folder()), ("12345", false));
            assert_eq!(item.checksum().unwrap().hex(), sha1.to_lowercase());
        }
        assert!(conflict(&refusal(&json!([{"type": "folder", "id": "1"}]))).unwrap().is_folder());
        assert!(conflict(&refusal(&json!([]))).is_none() && conflict(&refusal(&json!([{"id": null}]))).is_none());
    }
}
