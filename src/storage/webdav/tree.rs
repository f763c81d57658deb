//! What lies where on a WebDAV server: asking, walking, making and removing.

use reqwest::header::CONTENT_TYPE;
use url::Url;

use super::answer::{self, Found};
use super::{WebDav, meta};
use crate::storage::backend::{Fault, Meta};
use crate::storage::key::is_unfinished;

const ASKED: &str = r#"<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop><resourcetype/><getcontentlength/><getlastmodified/><quota-available-bytes/></prop></propfind>"#;

impl WebDav {
    /// What the server knows of a key, and with `below` of what lies in it; `None` where nothing is there.
    pub(super) async fn find(&self, key: &str, below: bool) -> Result<Option<Vec<Found>>, Fault> {
        let url = self.url(key, below || key.is_empty());
        let asked = self.web.send(|client| {
            let request = self.request(client, "PROPFIND", &url).header("Depth", if below { "1" } else { "0" });
            request.header(CONTENT_TYPE, "application/xml").body(ASKED)
        });
        match asked.await {
            Ok(answer) => answer::read(&answer.body).map(Some),
            Err(Fault::NotFound) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Everything below a folder, one question a folder: few servers answer for whole trees.
    pub(super) async fn walk(&self, folder: &str, deep: bool) -> Result<Vec<Meta>, Fault> {
        let mut all = Vec::new();
        let mut waiting = vec![folder.trim_matches('/').to_owned()];
        while let Some(folder) = waiting.pop() {
            for found in self.find(&folder, true).await?.unwrap_or_default() {
                let key = self.key(&found.href)?;
                let name = key.strip_prefix(&folder).unwrap_or_default().trim_start_matches('/');
                // The folder itself is part of the answer; whatever else is not in it is of nobody.
                if name.is_empty() || name.contains('/') || is_unfinished(name) {
                    continue;
                }
                if deep && found.folder {
                    waiting.push(key.clone());
                }
                all.push(meta(key, &found));
            }
        }
        Ok(all)
    }

    /// The key that a server's answer stands for.
    fn key(&self, href: &str) -> Result<String, Fault> {
        let wrong = || Fault::Form("an address leads elsewhere".to_owned());
        let url = self.root.join(href).map_err(|_| wrong())?;
        let (root, path) = (decoded(self.root.path())?, decoded(url.path())?);
        let path = path.trim_end_matches('/');
        let root = root.trim_end_matches('/');
        let key = path.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        Ok(key.ok_or_else(wrong)?.trim_start_matches('/').to_owned())
    }

    /// A folder, those above it, and the place itself.
    pub(super) async fn make(&self, folder: &str) -> Result<(), Fault> {
        if self.find("", false).await?.is_none() {
            // Parts above the place may be the server's own, where nobody makes anything; the last one decides.
            let names: Vec<&str> = self.root.path().split('/').filter(|name| !name.is_empty()).collect();
            for many in 1..=names.len() {
                let mut url = self.root.clone();
                url.set_path(&format!("/{}/", names[..many].join("/")));
                let made = self.mkcol(&url).await;
                if many == names.len() {
                    made?;
                }
            }
        }
        let ends = folder.match_indices('/').map(|(at, _)| at).chain([folder.len()]);
        for end in ends.filter(|end| *end > 0) {
            self.make_one(&folder[..end]).await?;
        }
        Ok(())
    }

    pub(super) async fn make_one(&self, folder: &str) -> Result<(), Fault> {
        self.mkcol(&self.url(folder, true)).await
    }

    async fn mkcol(&self, url: &Url) -> Result<(), Fault> {
        match self.web.send(|client| self.request(client, "MKCOL", url)).await {
            // There already.
            Ok(_) | Err(Fault::Refused { status: 405, .. }) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    pub(super) async fn delete(&self, url: &Url) -> Result<(), Fault> {
        match self.web.send(|client| self.request(client, "DELETE", url)).await {
            Ok(_) | Err(Fault::NotFound) => Ok(()),
            Err(fault) => Err(fault),
        }
    }
}

/// A path without its escapes.
fn decoded(path: &str) -> Result<String, Fault> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = (*first == b'%').then(|| tail.get(..2)).flatten();
        let mut byte = [0];
        if let Some(Ok(())) = escaped.map(|digits| hex::decode_to_slice(digits, &mut byte)) {
            bytes.push(byte[0]);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).map_err(|_| Fault::Form("a name is no text".to_owned()))
}
