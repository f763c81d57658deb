//! What lies where on a WebDAV server: asking, walking, making and removing.

use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use url::Url;

use super::answer::{self, Found};
use super::{WebDav, meta};
use crate::storage::backend::{Fault, Meta, file_in_the_way};
use crate::storage::key::is_unfinished;
use crate::web::Answer;

const ASKED: &str = r#"<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop><resourcetype/><getcontentlength/><getlastmodified/><getetag/><quota-available-bytes/></prop></propfind>"#;

impl WebDav {
    /// What the server knows of a key, and with `below` of what lies in it; `None` where nothing is there.
    pub(super) async fn find(&self, key: &str, below: bool) -> Result<Option<Vec<Found>>, Fault> {
        self.ask(&self.url(key, below || key.is_empty()), below).await
    }

    /// As [`Self::find`], by its address.
    pub(super) async fn ask(&self, url: &Url, below: bool) -> Result<Option<Vec<Found>>, Fault> {
        let mut asked = self.propfind(url, below).await;
        if let Some(folder) = asked.as_ref().ok().and_then(|answer| folder_of(answer, url)) {
            asked = self.propfind(&folder, below).await;
        }
        match asked.and_then(straight) {
            Ok(answer) => answer::read(&answer.body).map(Some),
            Err(Fault::NotFound) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    async fn propfind(&self, url: &Url, below: bool) -> Result<Answer, Fault> {
        let make = |client: &Client| {
            let request = self.request(client, "PROPFIND", url).header("Depth", if below { "1" } else { "0" });
            request.header(CONTENT_TYPE, "application/xml").body(ASKED)
        };
        self.web.send(make).await
    }

    /// See [`crate::storage::backend::Backend::look_at_place`]. A folder that is not there yet will be made.
    pub(super) async fn look_at_root(&self) -> Result<(), Fault> {
        let there = match self.find("", false).await? {
            // Some servers know a file by its own name only.
            None => self.ask(&self.url("", false), false).await.ok().flatten(),
            there => there,
        };
        let is_file = there.and_then(|found| found.into_iter().next()).is_some_and(|found| !found.folder);
        if is_file { Err(file_in_the_way(self.root.path().trim_matches('/'))) } else { Ok(()) }
    }

    /// Everything below a folder, one question a folder: few servers answer for whole trees.
    pub(super) async fn walk(&self, folder: &str, deep: bool) -> Result<Vec<Meta>, Fault> {
        let mut all = Vec::new();
        let mut waiting = vec![folder.trim_matches('/').to_owned()];
        while let Some(folder) = waiting.pop() {
            for found in self.find(&folder, true).await?.unwrap_or_default() {
                let spelt = self.key(&found.href)?;
                let name = below(&spelt, &folder);
                // The folder itself is part of the answer; whatever else is not in it is of nobody.
                if name.is_empty() || name.contains('/') || is_unfinished(name) {
                    continue;
                }
                let key = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
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
        match self.web.send(|client| self.request(client, "MKCOL", url)).await.and_then(straight) {
            // There already.
            Ok(_) | Err(Fault::Refused { status: 405, .. }) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    pub(super) async fn delete(&self, url: &Url) -> Result<(), Fault> {
        match self.web.send(|client| self.request(client, "DELETE", url)).await.and_then(straight) {
            Ok(_) | Err(Fault::NotFound) => Ok(()),
            Err(fault) => Err(fault),
        }
    }
}

/// An answer that does not lead elsewhere: nothing was done then.
pub(super) fn straight(answer: Answer) -> Result<Answer, Fault> {
    if (300..400).contains(&answer.status) {
        return Err(Fault::Setting("the server leads to another address: name that one".to_owned()));
    }
    Ok(answer)
}

/// Where an answer leads, when that is the same address with a `/` at its end: Apache leads there from folders.
fn folder_of(answer: &Answer, url: &Url) -> Option<Url> {
    let mut folder = url.clone();
    folder.set_path(&format!("{}/", url.path()));
    let to = url.join(answer.header("location")?).ok()?;
    ((300..400).contains(&answer.status) && to == folder).then_some(folder)
}

/// What of a key comes below a folder. A server that takes names of any case for one may spell that folder as whoever made it.
fn below<'a>(key: &'a str, folder: &str) -> &'a str {
    let rest = key.split_at_checked(folder.len()).and_then(|(start, rest)| {
        let is_it = start == folder || start.to_lowercase() == folder.to_lowercase();
        is_it.then_some(rest).filter(|rest| folder.is_empty() || rest.starts_with('/'))
    });
    rest.unwrap_or_default().trim_start_matches('/')
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

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderValue};

    use super::*;

    fn answer(status: u16, to: &'static str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert("location", HeaderValue::from_static(to));
        Answer { status, headers, body: bytes::Bytes::new() }
    }

    #[test]
    fn an_answer_that_leads_elsewhere_is_no_success_but_where_a_folder_has_its_slash() {
        let url: Url = "https://h/dav/a%20b".parse().unwrap();
        let folder: Url = "https://h/dav/a%20b/".parse().unwrap();
        for to in ["/dav/a%20b/", "https://h/dav/a%20b/"] {
            assert_eq!(folder_of(&answer(301, to), &url), Some(folder.clone()));
        }
        assert_eq!(folder_of(&answer(201, "/dav/a%20b/"), &url), None);
        for to in ["https://evil/dav/a%20b/", "http://h/dav/a%20b/", "/dav/other/", "/dav/a%20b"] {
            assert_eq!(folder_of(&answer(301, to), &url), None, "{to}");
        }
        assert!(matches!(straight(answer(302, "/")), Err(Fault::Setting(_))));
        assert!(straight(answer(207, "/")).is_ok());
    }

    #[test]
    fn what_lies_in_a_folder_is_known_however_the_server_spells_that() {
        for (key, folder, name) in [
            ("demo/a.csv", "demo", "a.csv"),
            ("Demo/\u{c9}t\u{e9}/a.csv", "demo/\u{e9}t\u{e9}", "a.csv"),
            ("a.csv", "", "a.csv"),
            ("demo", "demo", ""),
            ("demo2", "demo", ""),
            ("other/a.csv", "demo", ""),
            ("d\u{e9}", "dx", ""),
        ] {
            assert_eq!(below(key, folder), name, "{key} in {folder}");
        }
    }

    #[test]
    fn names_are_read_without_their_escapes() {
        assert_eq!(decoded("/a%20b/%C3%A9+%2").unwrap(), "/a b/é+%2");
        assert!(decoded("/%ff").is_err());
    }
}
