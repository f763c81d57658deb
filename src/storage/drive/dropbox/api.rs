//! How Dropbox is asked: by path, with JSON in the body, or, where the body is a file, in a header.

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::{Client, RequestBuilder};
use serde::Deserialize;
use serde_json::{Value, json};

use super::judge::tags;
use crate::storage::backend::{Checksum, HashKind};
use crate::storage::drive::latest;
use crate::storage::drive::outgoing::Outgoing;
use crate::web::{Answer, Endpoint, Fault, Web};

/// The header that holds the argument of what has a file for a body.
pub(super) const ARG: &str = "dropbox-api-arg";

/// A file or folder as Dropbox tells it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Entry {
    #[serde(rename = ".tag", default)]
    pub(super) tag: String,
    #[serde(default)]
    pub(super) name: String,
    pub(super) path_lower: Option<String>,
    pub(super) path_display: Option<String>,
    pub(super) id: Option<String>,
    pub(super) size: Option<u64>,
    content_hash: Option<String>,
    server_modified: Option<String>,
}

impl Entry {
    pub(super) fn is_folder(&self) -> bool {
        self.tag == "folder"
    }

    /// By Dropbox's clock; of folders it tells none.
    pub(super) fn modified(&self) -> Option<Timestamp> {
        latest([self.server_modified.as_deref()])
    }

    pub(super) fn checksum(&self) -> Option<Checksum> {
        Checksum::from_hex(HashKind::Dropbox, self.content_hash.as_deref()?)
    }
}

/// Dropbox for one account.
#[derive(Debug, Clone)]
pub(super) struct Api {
    pub(super) web: Web,
    pub(super) base: Endpoint,
    pub(super) content: Endpoint,
}

/// JSON as a header takes it: ASCII, with everything else written `\uXXXX`.
pub(super) fn ascii(value: &Value) -> String {
    let mut text = String::new();
    for unit in value.to_string().encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte < 0x7f => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\u{unit:04x}")),
        }
    }
    text
}

/// Whether an answer is an error of the endpoint with this tag in it.
pub(super) fn is(answer: &Answer, tag: &str) -> bool {
    answer.status == 409 && tags(&answer.value()["error"]).iter().any(|at| at == tag)
}

impl Api {
    pub(super) fn request(&self, client: &Client, route: &str, argument: &Value) -> RequestBuilder {
        client.post(self.base.at(&format!("/2/{route}"))).json(argument)
    }

    /// A call whose argument is JSON.
    pub(super) async fn call(&self, route: &str, argument: &Value) -> Result<Answer, Fault> {
        self.web.send(|client| self.request(client, route, argument)).await
    }

    /// A call whose body is a file; an error with one of the tags is handed out.
    pub(super) async fn send(
        &self,
        route: &str,
        argument: &Value,
        bytes: &Bytes,
        told: &[&str],
        tries: impl Fn() + Send + Sync,
    ) -> Result<Answer, Fault> {
        let (url, header) = (self.content.at(&format!("/2/{route}")), ascii(argument));
        let make = |client: &Client| {
            tries();
            let request = client.post(&url).header(ARG, &header).header("content-type", "application/octet-stream");
            request.body(bytes.clone())
        };
        self.web.send_for(|answer| told.iter().any(|tag| is(answer, tag)), make).await
    }

    /// As [`Self::send`], with a body that may be looked at while it goes out.
    pub(super) async fn send_out(
        &self,
        route: &str,
        argument: &Value,
        out: &Outgoing,
        told: &[&str],
    ) -> Result<Answer, Fault> {
        let (url, header) = (self.content.at(&format!("/2/{route}")), ascii(argument));
        let make = |client: &Client| {
            let request = client.post(&url).header(ARG, &header).header("content-type", "application/octet-stream");
            // Of a stream nobody knows how long it is.
            request.header("content-length", out.len()).body(out.body())
        };
        self.web.send_for(|answer| told.iter().any(|tag| is(answer, tag)), make).await
    }

    /// What is at a path.
    pub(super) async fn look(&self, path: &str) -> Result<Option<Entry>, Fault> {
        match self.call("files/get_metadata", &json!({"path": path})).await {
            Ok(answer) => answer.json().map(Some),
            Err(Fault::NotFound) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Gone, or never there.
    pub(super) async fn delete(&self, path: &str) -> Result<(), Fault> {
        match self.call("files/delete_v2", &json!({"path": path})).await {
            Ok(_) | Err(Fault::NotFound) => Ok(()),
            Err(fault) => Err(fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_holds_ascii_only_and_reads_back_the_same() {
        let value = json!({"path": "/été ?*\u{7f} 𝄞 \"q\" \\ \u{1}.txt"});
        let text = ascii(&value);
        assert!(text.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{text}");
        assert!(text.contains("\\u00e9") && text.contains("\\u007f") && text.contains("\\ud834\\udd1e"), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
