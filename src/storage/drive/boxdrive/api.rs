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
use crate::storage::drive::latest;
use crate::web::{Answer, Endpoint, Fault, Web};

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
pub(super) struct Page {
    pub(super) entries: Vec<Item>,
    next_marker: Option<String>,
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

fn made(answer: &Answer, tries: &AtomicU32) -> Result<Made, Fault> {
    match conflict(answer) {
        Some(item) => Ok(Made::There { item, unsure: tries.load(Ordering::Relaxed) > 1 }),
        None => item(answer).map(Made::New),
    }
}

impl Api {
    async fn make(&self, url: &str, body: &Value) -> Result<Made, Fault> {
        let tries = AtomicU32::new(0);
        let answer = self.calls.send_for(is_conflict, |client| {
            tries.fetch_add(1, Ordering::Relaxed);
            client.post(url).query(&[("fields", FIELDS)]).json(body)
        });
        made(&answer.await?, &tries)
    }

    pub(super) async fn make_folder(&self, parent: &str, name: &str) -> Result<Made, Fault> {
        self.make(&self.base.at("/2.0/folders"), &json!({"name": name, "parent": {"id": parent}})).await
    }

    pub(super) async fn copy(&self, file: &str, parent: &str, name: &str) -> Result<Made, Fault> {
        let url = self.base.at(&format!("/2.0/files/{file}/copy"));
        self.make(&url, &json!({"name": name, "parent": {"id": parent}})).await
    }

    /// The whole of a small file, or with `version_of` over that file.
    pub(super) async fn send(
        &self,
        attributes: &Value,
        version_of: Option<&str>,
        bytes: &Bytes,
        sha1: &Checksum,
    ) -> Result<Made, Fault> {
        let url = match version_of {
            Some(id) => self.upload.at(&format!("/api/2.0/files/{id}/content")),
            None => self.upload.at("/api/2.0/files/content"),
        };
        let tries = AtomicU32::new(0);
        let answer = self.uploads.send_for(is_conflict, |client| {
            tries.fetch_add(1, Ordering::Relaxed);
            // Box looks at the attributes first and refuses a form that has the file before them.
            let form = Form::new()
                .text("attributes", attributes.to_string())
                .part("file", Part::stream(bytes.clone()).file_name("file"));
            // The header's name is history: Box wants SHA-1.
            client.post(&url).query(&[("fields", FIELDS)]).header("content-md5", sha1.hex()).multipart(form)
        });
        made(&answer.await?, &tries)
    }

    pub(super) async fn file(&self, id: &str) -> Result<Item, Fault> {
        let url = self.base.at(&format!("/2.0/files/{id}"));
        let answer = self.calls.send(|client| client.get(&url).query(&[("fields", FIELDS)])).await?;
        item(&answer)
    }

    /// What has this name in a folder. Asking whether it could be uploaded takes one request, however large the folder
    /// is; where we may not upload, the folder is listed.
    pub(super) async fn find(&self, parent: &str, name: &str) -> Result<Option<Item>, Fault> {
        let url = self.base.at("/2.0/files/content");
        let body = json!({"name": name, "parent": {"id": parent}});
        let asked =
            self.calls.send_for(is_conflict, |client| client.request(reqwest::Method::OPTIONS, &url).json(&body));
        match asked.await {
            Ok(answer) => Ok(conflict(&answer)),
            Err(Fault::NotFound) => Ok(None),
            Err(Fault::Full | Fault::Forbidden(_) | Fault::TooLarge(_) | Fault::Refused { .. }) => {
                self.find_listed(parent, name).await
            }
            Err(fault) => Err(fault),
        }
    }

    async fn find_listed(&self, parent: &str, name: &str) -> Result<Option<Item>, Fault> {
        let mut marker = None;
        loop {
            let mut page = match self.page(parent, marker.as_deref()).await {
                Err(Fault::NotFound) => return Ok(None),
                page => page?,
            };
            marker = page.next();
            if let Some(found) = page.entries.into_iter().find(|item| fold(&item.name) == fold(name)) {
                return Ok(Some(found));
            }
            if marker.is_none() {
                return Ok(None);
            }
        }
    }

    async fn page(&self, folder: &str, marker: Option<&str>) -> Result<Page, Fault> {
        let url = self.base.at(&format!("/2.0/folders/{folder}/items"));
        let mut query = vec![("usemarker", "true"), ("limit", PAGE), ("fields", FIELDS)];
        query.extend(marker.map(|marker| ("marker", marker)));
        self.calls.send(|client| client.get(&url).query(&query)).await?.json()
    }

    /// All that is in a folder.
    pub(super) async fn items(&self, folder: &str) -> Result<Vec<Item>, Fault> {
        let (mut all, mut marker) = (Vec::new(), None);
        loop {
            let mut page = self.page(folder, marker.as_deref()).await?;
            let next = page.next();
            all.append(&mut page.entries);
            if next.is_none() || next == marker {
                return Ok(all);
            }
            marker = next;
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
    fn next(&mut self) -> Option<String> {
        self.next_marker.take().filter(|marker| !marker.is_empty())
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
