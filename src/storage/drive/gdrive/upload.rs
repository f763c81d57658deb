//! One file's way there: under an id of our own, compared, and sent once more if it is not what it should be.

use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::GoogleDrive;
use super::file::{AS_MADE, File};
use crate::storage::backend::{Fault, Receipt, Sessions, Source};
use crate::storage::drive::escape::split;

/// Up to here a file goes in one request; 5 MB are allowed, and what is said of the file may count.
const SMALL: u64 = 4 * 1024 * 1024;
pub(super) const OCTETS: &str = "application/octet-stream";

impl GoogleDrive {
    /// Makes a file of that key, whatever else has it.
    pub(super) async fn upload(&self, key: &str, source: &mut Source, sessions: &dyn Sessions) -> Result<File, Fault> {
        let path = self.path(key);
        let (folder, name) = split(&path);
        let mut last = Fault::NotFound;
        for _ in 0..2 {
            if source.at() > 0 {
                source.rewind()?;
            }
            let parent = self.make(folder).await?;
            let about = json!({"name": name, "parents": [parent], "mimeType": OCTETS});
            let sent = match source.size() {
                size if size <= SMALL => self.whole(key, about, source, sessions).await,
                _ => self.through_session(key, about, source, sessions).await,
            };
            let file = match sent {
                Ok(file) => file,
                Err(Fault::NotFound) => {
                    // The folder that we knew is gone.
                    self.known().forget(folder);
                    continue;
                }
                Err(fault) => return Err(fault),
            };
            match self.checked(source, file).await? {
                Ok(file) => return Ok(file),
                Err((id, fault)) => {
                    self.erase(&id).await?;
                    sessions.unsent(source.size());
                    last = fault;
                }
            }
        }
        Err(last)
    }

    /// Whether the file is what was sent; else its id and what is wrong.
    pub(super) async fn checked(
        &self,
        source: &Source,
        mut file: File,
    ) -> Result<Result<File, (String, Fault)>, Fault> {
        if file.checksum().is_none() {
            file = self.file(&file.id).await?.unwrap_or(file);
        }
        let right = if file.size() == source.size() {
            source.compare(file.checksum().as_ref())
        } else {
            Err(Fault::Damaged(format!("sent {} bytes, stored {}", source.size(), file.size())))
        };
        Ok(match right {
            Ok(()) => Ok(file),
            Err(fault) => Err((file.id, fault)),
        })
    }

    async fn whole(
        &self,
        key: &str,
        mut about: Value,
        source: &mut Source,
        sessions: &dyn Sessions,
    ) -> Result<File, Fault> {
        let bytes = if let Some(bytes) = source.next(SMALL).await? {
            bytes
        } else {
            source.drain().await?;
            Bytes::new()
        };
        let id = self.id().await?;
        about["id"] = json!(id);
        let (kind, body) = related(&id, &about, &bytes);
        let url = self.address.contents("multipart");
        // Nobody else has that id: should we be killed before the answer is read, it tells whose the file is.
        let told = Receipt { id: Some(id.clone()), tag: Some(AS_MADE.to_owned()), ..Receipt::default() };
        sessions.may_be(key, &told);
        let post = self.writes.send(|client| client.post(&url).header(CONTENT_TYPE, &kind).body(body.clone()));
        let file = match post.await {
            // An answer that does not tell of the file is as good as one that was lost.
            Ok(answer) => match answer.json() {
                Ok(file) => file,
                Err(_) => self.own(&id).await?,
            },
            Err(Fault::Exists) => self.own(&id).await?,
            Err(fault) => return Err(fault),
        };
        sessions.sent(source.size());
        Ok(file)
    }

    /// The file that has an id of ours: it arrived, and the answer was lost.
    pub(super) async fn own(&self, id: &str) -> Result<File, Fault> {
        let file = self.file(id).await?;
        file.ok_or_else(|| Fault::Broken("what was created is there and cannot be seen".to_owned()))
    }
}

/// A body of two parts, and its kind: what the file is, and its bytes.
fn related(id: &str, about: &Value, bytes: &[u8]) -> (String, Bytes) {
    // Nobody could have put an id that is new into a file.
    let mark = format!("soopervisor-{id}");
    let mut body = format!(
        "--{mark}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{about}\r\n\
         --{mark}\r\nContent-Type: {OCTETS}\r\n\r\n"
    )
    .into_bytes();
    body.reserve_exact(bytes.len() + mark.len() + 8);
    body.extend_from_slice(bytes);
    body.extend_from_slice(format!("\r\n--{mark}--\r\n").as_bytes());
    (format!("multipart/related; boundary={mark}"), body.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_parts_are_what_the_file_is_and_its_bytes() {
        let (kind, body) = related("1x", &json!({"name": "ü"}), b"\r\n--a\0");
        assert_eq!(kind, "multipart/related; boundary=soopervisor-1x");
        let text = "--soopervisor-1x\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{\"name\":\"ü\"}\r\n\
                    --soopervisor-1x\r\nContent-Type: application/octet-stream\r\n\r\n\r\n--a\0\r\n--soopervisor-1x--\r\n";
        assert_eq!(body, text);
    }
}
