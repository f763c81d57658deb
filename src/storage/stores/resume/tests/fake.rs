//! Services of a few lines that may fall silent, forget uploads and tell how many bytes they took.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderName, LOCATION, RANGE};
use http::{Request, StatusCode};
use opendal::{Buffer, HttpTransport, HttpTransporter, Operator};

use super::super::{Answer, SUM, answer, asked, created, from, step};
use super::{KEY, Known, LITTLE, SECRET, SIZE, source};
use crate::storage::backend::{Backend as _, Created, HashKind, Hasher};
use crate::storage::stores::crc64::crc64;
use crate::storage::stores::half::Half;
use crate::storage::stores::{Kind, ObjectStore};

/// What the services have.
#[derive(Default)]
pub(super) struct Held {
    /// Parts by upload and number; blocks are of an upload without a name.
    uploads: BTreeMap<String, BTreeMap<String, Bytes>>,
    sessions: BTreeMap<String, Vec<u8>>,
    pub(super) object: Option<Bytes>,
    begun: u32,
    /// Bytes of all that was asked.
    received: u64,
    /// What was asked for, in order.
    asked: Vec<&'static str>,
    /// Once it has taken so many bytes of parts, nobody hears of it any more.
    silent_after: Option<u64>,
    is_silent: bool,
    /// The next upload is begun, and nobody hears so.
    pub(super) unheard: bool,
    /// So many blocks more are stored with a bit that is another one, until a file is made of them.
    pub(super) spoils: u32,
    /// What is told of each block in the place of its checksum.
    pub(super) lies: Option<&'static str>,
    /// What is remembered here is looked at with each part of an upload, and when it is put together.
    pub(super) watched: Option<Arc<Known>>,
    pub(super) seen: Vec<Option<Half>>,
}

#[derive(Clone, Default)]
pub(super) struct Fake(Arc<Mutex<Held>>);

impl HttpTransport for Fake {
    async fn fetch(&self, request: Request<Buffer>) -> Answer {
        let told = self.held().take(&request);
        match told {
            Some(told) => told,
            None => std::future::pending().await,
        }
    }
}

fn said(status: u16, body: &str) -> Answer {
    answer(StatusCode::from_u16(status).unwrap(), None, Buffer::from(body.to_owned()))
}

fn with(status: u16, name: HeaderName, value: &str) -> Answer {
    answer(StatusCode::from_u16(status).unwrap(), Some((name, value)), Buffer::new())
}

fn tag(bytes: &[u8]) -> String {
    Hasher::of(HashKind::Md5, bytes).hex()
}

impl Held {
    /// What it says, unless it is silent.
    fn take(&mut self, request: &Request<Buffer>) -> Option<Answer> {
        let (step, body) = (step(request), request.body().to_bytes());
        self.asked.push(step);
        if let (Some(known), "UploadPart" | "CompleteMultipartUpload") = (&self.watched, step) {
            self.seen.push(known.text().and_then(|text| Half::parse(&text)));
        }
        if step == "CreateMultipartUpload" && std::mem::take(&mut self.unheard) {
            self.is_silent = true;
            drop(self.tell(step, request, body));
            return None;
        }
        let is_over = self.silent_after.is_some_and(|most| self.received + body.len() as u64 > most + LITTLE);
        if is_over {
            self.is_silent = true;
            self.take_some(request, &body);
            return None;
        }
        self.received += body.len() as u64;
        Some(self.tell(step, request, body))
    }

    fn tell(&mut self, step: &str, request: &Request<Buffer>, body: Bytes) -> Answer {
        match step {
            "CreateMultipartUpload" => {
                self.begun += 1;
                let id = format!("up load+/&={}", self.begun);
                self.uploads.insert(id.clone(), BTreeMap::new());
                created(&id)
            }
            "UploadPart" => {
                let number = asked(request.uri(), "partNumber").unwrap();
                let Some(parts) = self.uploads.get_mut(&asked(request.uri(), "uploadId").unwrap()) else {
                    return said(404, "<Error><Code>NoSuchUpload</Code></Error>");
                };
                let tag = format!("\"{}\"", tag(&body));
                parts.insert(number, body);
                with(200, ETAG, &tag)
            }
            "CompleteMultipartUpload" => self.complete(&asked(request.uri(), "uploadId").unwrap(), &body),
            "AbortMultipartUpload" => match self.uploads.remove(&asked(request.uri(), "uploadId").unwrap()) {
                Some(_) => said(204, ""),
                None => said(404, "<Error><Code>NoSuchUpload</Code></Error>"),
            },
            "InitiateResumableUpload" => {
                self.begun += 1;
                let session = format!("http://127.0.0.1:9/session/{}", self.begun);
                self.sessions.insert(session.clone(), Vec::new());
                with(200, LOCATION, &session)
            }
            "CancelResumableUpload" => {
                self.sessions.remove(&request.uri().to_string());
                said(499, "")
            }
            "PutBlock" => self.block(request, &body),
            "DeleteBlob" => {
                self.object = None;
                said(202, "")
            }
            "GetBlob" => self.piece(request),
            "PutBlockList" => {
                self.spoils = 0;
                self.list(&body)
            }
            "HeadObject" | "GetBlobProperties" | "GetObject" => match &self.object {
                Some(object) => with(200, CONTENT_LENGTH, &object.len().to_string()),
                None => said(404, ""),
            },
            _ if request.uri().path().starts_with("/session/") => self.append(request, &body),
            other => panic!("{other}: {request:?}"),
        }
    }

    fn block(&mut self, request: &Request<Buffer>, body: &[u8]) -> Answer {
        let name = asked(request.uri(), "blockid").unwrap();
        let mut body = body.to_vec();
        if self.spoils > 0 {
            self.spoils -= 1;
            body[0] ^= 1;
        }
        let sum = self.lies.map_or_else(|| crc64(&Buffer::from(body.clone())), str::to_owned);
        self.uploads.entry(String::new()).or_default().insert(name, body.into());
        with(201, HeaderName::from_static(SUM), &sum)
    }

    fn piece(&self, request: &Request<Buffer>) -> Answer {
        let (from, end) = wanted(request).unwrap();
        let there = self.object.as_ref().unwrap();
        let end = end.min(there.len());
        let range = format!("bytes {from}-{}/{}", end - 1, there.len());
        let told = Some((CONTENT_RANGE, range.as_str()));
        answer(StatusCode::PARTIAL_CONTENT, told, Buffer::from(there.slice(from..end)))
    }

    /// Of the bytes of a session some may have been taken when the line goes dead.
    fn take_some(&mut self, request: &Request<Buffer>, body: &[u8]) {
        if let Some(there) = self.sessions.get_mut(&request.uri().to_string()) {
            let offset = range_of(request).map_or(0, |(offset, _)| offset);
            if offset == there.len() as u64 {
                there.extend_from_slice(&body[..body.len() / 2]);
            }
        }
    }

    fn complete(&mut self, id: &str, list: &[u8]) -> Answer {
        let Some(parts) = self.uploads.get(id) else {
            return said(404, "<Error><Code>NoSuchUpload</Code></Error>");
        };
        let list = std::str::from_utf8(list).unwrap();
        let mut whole: Vec<(u32, &Bytes)> = Vec::new();
        for (number, part) in parts {
            if !list.contains(&tag(part)) {
                return said(400, "<Error><Code>InvalidPart</Code></Error>");
            }
            whole.push((number.parse().unwrap(), part));
        }
        whole.sort_by_key(|(number, _)| *number);
        let sums: Vec<u8> = whole.iter().flat_map(|(_, part)| Hasher::of(HashKind::Md5, part).bytes).collect();
        let tag = format!("{}-{}", tag(&sums), whole.len());
        let object: Vec<&[u8]> = whole.iter().map(|(_, part)| &part[..]).collect();
        self.object = Some(object.concat().into());
        self.uploads.remove(id);
        said(200, &format!("<CompleteMultipartUploadResult><ETag>{tag}</ETag></CompleteMultipartUploadResult>"))
    }

    fn append(&mut self, request: &Request<Buffer>, body: &[u8]) -> Answer {
        let session = request.uri().to_string();
        let Some(there) = self.sessions.get_mut(&session) else { return said(404, "") };
        if let Some((offset, _)) = range_of(request) {
            let known = there.len() - usize::try_from(offset).unwrap();
            there.extend_from_slice(&body[known.min(body.len())..]);
        }
        if there.len() as u64 == SIZE {
            let whole = self.sessions.remove(&session).unwrap();
            let md5 = Hasher::of(HashKind::Md5, &whole).base64();
            self.object = Some(whole.into());
            return said(200, &format!("{{\"size\": \"{SIZE}\", \"md5Hash\": \"{md5}\", \"etag\": \"x\"}}"));
        }
        match there.len() {
            0 => said(308, ""),
            count => with(308, RANGE, &format!("bytes=0-{}", count - 1)),
        }
    }

    fn list(&mut self, list: &[u8]) -> Answer {
        let blocks = self.uploads.remove("").unwrap_or_default();
        let list = std::str::from_utf8(list).unwrap().to_owned();
        let names = list.split("<Latest>").skip(1).map(|rest| rest.split("</Latest>").next().unwrap());
        let mut object = Vec::new();
        for name in names {
            let Some(block) = blocks.get(name) else {
                return said(400, "<Error><Code>InvalidBlockList</Code></Error>");
            };
            object.extend_from_slice(block);
        }
        self.object = Some(object.into());
        said(201, "")
    }
}

fn range_of(request: &Request<Buffer>) -> Option<(u64, bool)> {
    from(request.headers().get(CONTENT_RANGE)?.to_str().ok()?)
}

/// From where to where a file is asked for.
fn wanted(request: &Request<Buffer>) -> Option<(usize, usize)> {
    let range = request.headers().get(RANGE)?.to_str().ok()?;
    let (from, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    Some((from.parse().ok()?, last.parse().map_or(usize::MAX, |last: usize| last + 1)))
}

impl Fake {
    pub(super) fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.0.lock().unwrap()
    }

    pub(super) fn received(&self) -> u64 {
        self.held().received
    }

    pub(super) fn asked(&self) -> Vec<&'static str> {
        self.held().asked.clone()
    }

    pub(super) fn begun(&self) -> u32 {
        self.held().begun
    }

    /// Uploads and sessions that came to no end.
    pub(super) fn open(&self) -> usize {
        let held = self.held();
        held.uploads.len() + held.sessions.len()
    }

    /// Parts of uploads that came to no end.
    pub(super) fn parts(&self) -> usize {
        self.held().uploads.values().map(BTreeMap::len).sum()
    }

    pub(super) fn forget(&self) {
        let mut held = self.held();
        held.uploads.clear();
        held.sessions.clear();
    }

    /// As a process opens it; at another port it is another service.
    pub(super) fn store(&self, kind: Kind, port: u16) -> ObjectStore {
        let endpoint = format!("http://127.0.0.1:{port}");
        let operator = match kind {
            Kind::S3 => {
                let s3 = opendal::services::S3::default().bucket("runs").root("/team").region("eu-west-1");
                Operator::new(s3.endpoint(&endpoint).access_key_id("AKIDEXAMPLE").secret_access_key(SECRET))
            }
            Kind::Gcs => {
                let gcs = opendal::services::Gcs::default().bucket("runs").root("/team").endpoint(&endpoint);
                Operator::new(gcs.token(SECRET.to_owned()).disable_vm_metadata().disable_config_load())
            }
            _ => {
                let azure = opendal::services::Azblob::default().container("runs").root("/team").endpoint(&endpoint);
                Operator::new(azure.account_name("account").account_key(SECRET))
            }
        };
        ObjectStore::over(operator.unwrap(), kind, HttpTransporter::new(self.clone()), "runs/team".to_owned())
    }

    /// Sends until nothing more is heard, and dies then; what is remembered.
    pub(super) async fn until_silent(&self, kind: Kind, content: &Arc<Vec<u8>>, after: u64, known: &Arc<Known>) {
        self.held().silent_after = Some(after);
        let (store, content, known) = (self.store(kind, 9), Arc::clone(content), Arc::clone(known));
        let dying = tokio::spawn(async move {
            let mut source = source(&content);
            store.create(KEY, &mut source, &*known).await.map(drop)
        });
        let silent = async {
            while !self.held().is_silent {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            // What has arrived is told.
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        tokio::time::timeout(Duration::from_mins(1), silent).await.unwrap();
        dying.abort();
        assert!(dying.await.is_err(), "it was under way");
        let mut held = self.held();
        (held.silent_after, held.is_silent, held.received) = (None, false, 0);
        held.asked.clear();
    }

    /// Creates it in another process.
    pub(super) async fn create(&self, kind: Kind, content: &[u8], known: &Known) -> Created {
        self.store(kind, 9).create(KEY, &mut source(content), known).await.unwrap()
    }

    pub(super) fn has(&self, content: &[u8]) -> bool {
        self.held().object.as_deref() == Some(content)
    }
}
