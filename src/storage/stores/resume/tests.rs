//! Uploads to services of a few lines that may fall silent, forget uploads and tell how many bytes they took.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::storage::backend::{Backend as _, Created, HashKind, Hasher, Keeper, Source};

const MIB: u64 = 1024 * 1024;
/// Five parts and the beginning of one.
const SIZE: u64 = 40 * MIB + 5;
const KEY: &str = "p/c/large file";
/// What no journal may hold.
const SECRET: &str = "c2VjcmV0LW9mLXRoZS1idWNrZXQ=";

/// What the services have.
#[derive(Default)]
struct Held {
    /// Parts by upload and number; blocks are of an upload without a name.
    uploads: BTreeMap<String, BTreeMap<String, Bytes>>,
    sessions: BTreeMap<String, Vec<u8>>,
    object: Option<Bytes>,
    begun: u32,
    /// Bytes of all that was asked.
    received: u64,
    /// What was asked for, in order.
    asked: Vec<&'static str>,
    /// Once it has taken so many bytes of parts, nobody hears of it any more.
    silent_after: Option<u64>,
    is_silent: bool,
    /// So many blocks more are stored with a bit that is another one, until a file is made of them.
    spoils: u32,
    /// What is told of each block in the place of its checksum.
    lies: Option<&'static str>,
    /// What is remembered here is looked at with each part of an upload, and when it is put together.
    watched: Option<Arc<Known>>,
    seen: Vec<Option<Half>>,
}

/// Requests that are no parts are of fewer bytes together.
const LITTLE: u64 = 4096;

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Held>>);

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
    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.0.lock().unwrap()
    }

    fn received(&self) -> u64 {
        self.held().received
    }

    fn asked(&self) -> Vec<&'static str> {
        self.held().asked.clone()
    }

    fn begun(&self) -> u32 {
        self.held().begun
    }

    /// Uploads and sessions that came to no end.
    fn open(&self) -> usize {
        let held = self.held();
        held.uploads.len() + held.sessions.len()
    }

    fn forget(&self) {
        let mut held = self.held();
        held.uploads.clear();
        held.sessions.clear();
    }

    /// As a process opens it; at another port it is another service.
    fn store(&self, kind: Kind, port: u16) -> ObjectStore {
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
    async fn until_silent(&self, kind: Kind, content: &Arc<Vec<u8>>, after: u64, known: &Arc<Known>) {
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
    async fn create(&self, kind: Kind, content: &[u8], known: &Known) -> Created {
        self.store(kind, 9).create(KEY, &mut source(content), known).await.unwrap()
    }

    fn has(&self, content: &[u8]) -> bool {
        self.held().object.as_deref() == Some(content)
    }
}

/// What one file is remembered by, from one process to the next.
#[derive(Default)]
struct Known(Arc<Mutex<Option<String>>>);

impl Known {
    fn text(&self) -> Option<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Sessions for Known {
    fn recall(&self, _: &str) -> Option<String> {
        self.text()
    }
    fn remember(&self, _: &str, session: &str) {
        *self.0.lock().unwrap() = Some(session.to_owned());
    }
    fn keeper(&self, _: &str) -> Option<Keeper> {
        let held = Arc::clone(&self.0);
        Some(Box::new(move |session| *held.lock().unwrap() = Some(session.to_owned())))
    }
    fn forget(&self, _: &str) {
        *self.0.lock().unwrap() = None;
    }
    fn sent(&self, _: u64) {}
    fn unsent(&self, _: u64) {}
}

/// No part is like another.
fn content() -> Arc<Vec<u8>> {
    let mut content = Vec::new();
    for n in 0..=SIZE / 8 {
        content.extend_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    }
    content.truncate(usize::try_from(SIZE).unwrap());
    Arc::new(content)
}

fn file(content: &[u8]) -> std::fs::File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    file
}

fn source(content: &[u8]) -> Source {
    Source::new(file(content), content.len() as u64, Some(HashKind::Md5), false, |_| Ok(()))
}

const KINDS: [Kind; 3] = [Kind::S3, Kind::Gcs, Kind::Azblob];

#[tokio::test(flavor = "multi_thread")]
async fn what_had_arrived_when_we_were_killed_is_not_sent_again() {
    let content = content();
    for kind in KINDS {
        let (fake, known) = (Fake::default(), Arc::new(Known::default()));
        fake.until_silent(kind, &content, 24 * MIB, &known).await;
        let text = known.text().unwrap();
        for told in [SECRET, "Signature", "authorization", "AKIDEXAMPLE"] {
            assert!(!text.contains(told), "{kind:?}: {text}");
        }
        let created = fake.create(kind, &content, &known).await;
        assert!(matches!(created, Created::Ours(_)), "{kind:?}: {created:?}");
        assert!(fake.has(&content), "{kind:?}");
        // A session takes chunks of which it has a part; a list of blocks and a request for a session are a few bytes.
        let (received, most) = (fake.received(), SIZE - 24 * MIB + LITTLE);
        assert!(received <= most, "{kind:?}: {received} bytes were sent where {most} were missing");
        assert_eq!((fake.begun(), known.text()), (u32::from(kind != Kind::Azblob), None), "{kind:?}");
        assert_eq!(fake.open(), 0, "{kind:?}: nothing is left of it");
    }
}

/// Where a service answers faster than the file is read, the file's reader waits for nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_answers_at_once_is_remembered_at_once() {
    let (content, fake, known) = (content(), Fake::default(), Arc::new(Known::default()));
    fake.held().watched = Some(Arc::clone(&known));
    assert!(matches!(fake.create(Kind::S3, &content, &known).await, Created::Ours(_)));
    let seen = std::mem::take(&mut fake.held().seen);
    assert_eq!(seen.len(), 7, "six parts, and their end");
    for there in &seen {
        assert_eq!(there.as_ref().map(|half| half.id.as_str()), Some("up load+/&=1"), "before the first part goes");
    }
    assert_eq!(seen[6].as_ref().map(Half::parts), Some(6), "before they are put together");
    assert_eq!(known.text(), None, "and nothing once it is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_did_not_arrive_as_it_was_sent_is_sent_once_more() {
    let content = content();
    for (spoils, blocks) in [(1, 7), (0, 6)] {
        let (fake, known) = (Fake::default(), Known::default());
        fake.held().spoils = spoils;
        let created = fake.create(Kind::Azblob, &content, &known).await;
        assert!(matches!(created, Created::Ours(_)), "{created:?}");
        assert!(fake.has(&content));
        let asked = fake.asked();
        assert_eq!(asked.iter().filter(|step| **step == "PutBlock").count(), blocks, "{asked:?}");
        assert!(!asked.contains(&"GetBlob") && !asked.contains(&"DeleteBlob"), "{asked:?}");
    }
    // As often as it is sent: all of it is read back, taken away and sent anew.
    let (fake, known) = (Fake::default(), Known::default());
    fake.held().spoils = u32::MAX;
    let created = fake.create(Kind::Azblob, &content, &known).await;
    assert!(matches!(created, Created::Ours(_)), "{created:?}");
    assert!(fake.has(&content), "the second time it arrived");
    let asked = fake.asked();
    assert!(asked.contains(&"GetBlob") && asked.contains(&"DeleteBlob"), "{asked:?}");
    assert_eq!(known.text(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_tells_other_checksums_of_blocks_than_azure_is_found_to_be_right() {
    let (content, fake, known) = (content(), Fake::default(), Known::default());
    fake.held().lies = Some("AAAAAAAAAAA=");
    let created = fake.create(Kind::Azblob, &content, &known).await;
    assert!(matches!(created, Created::Ours(_)), "{created:?}");
    assert!(fake.has(&content) && fake.asked().contains(&"GetBlob"));
    assert!(!fake.asked().contains(&"DeleteBlob"), "nothing was wrong");
}

#[test]
fn what_an_upload_is_called_is_read_from_the_answer() {
    let text = "<A><UploadId>up &lt;load&gt; &amp;amp; more</UploadId></A>";
    assert_eq!(called(text.as_bytes()).as_deref(), Some("up <load> &amp; more"));
    for none in ["", "<UploadId></UploadId>", "<UploadId>cut", "<Error><Code>AccessDenied</Code></Error>"] {
        assert_eq!(called(none.as_bytes()), None, "{none}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_it_comes_to_its_end_with_nothing_sent_twice_but_what_was_on_the_line() {
    let content = content();
    for kind in KINDS {
        let (fake, known) = (Fake::default(), Arc::new(Known::default()));
        for _ in 0..4 {
            fake.until_silent(kind, &content, 8 * MIB, &known).await;
        }
        assert!(matches!(fake.create(kind, &content, &known).await, Created::Ours(_)), "{kind:?}");
        assert!(fake.has(&content), "{kind:?}");
        let received = fake.received();
        assert!(received <= SIZE - 32 * MIB + LITTLE, "{kind:?}: {received}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_file_that_is_another_one_by_now_no_byte_is_taken_as_sent() {
    let content = content();
    for kind in KINDS {
        let (fake, known) = (Fake::default(), Arc::new(Known::default()));
        fake.until_silent(kind, &content, 24 * MIB, &known).await;
        // Of the same length: in the second part of what had arrived.
        let mut other = content.to_vec();
        other[9 << 20] ^= 1;
        let created = fake.create(kind, &other, &known).await;
        assert!(matches!(created, Created::Ours(_)), "{kind:?}: {created:?}");
        assert!(fake.has(&other), "{kind:?}");
        assert_eq!(known.text(), None, "{kind:?}");
        assert_eq!(fake.open(), 0, "{kind:?}: what was begun is given up, or was made use of");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_has_forgotten_is_sent_from_its_first_byte_and_once() {
    let content = content();
    for kind in KINDS {
        let (fake, known) = (Fake::default(), Arc::new(Known::default()));
        fake.until_silent(kind, &content, 24 * MIB, &known).await;
        fake.forget();
        let created = fake.create(kind, &content, &known).await;
        assert!(matches!(created, Created::Ours(_)), "{kind:?}: {created:?}");
        assert!(fake.has(&content), "{kind:?}");
        assert_eq!(known.text(), None, "{kind:?}");
        // What had not arrived may have been sent to where nobody knew it.
        let received = fake.received();
        assert!(received < 2 * SIZE - 24 * MIB + LITTLE, "{kind:?}: {received}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_to_its_end_unheard_is_found_there() {
    let (content, fake, known) = (content(), Fake::default(), Arc::new(Known::default()));
    fake.until_silent(Kind::S3, &content, 24 * MIB, &known).await;
    fake.forget();
    fake.held().object = Some(content.to_vec().into());
    match fake.create(Kind::S3, &content, &known).await {
        Created::Taken(Some(meta)) => assert_eq!(meta.size, SIZE),
        other => panic!("{other:?}"),
    }
    assert_eq!(fake.begun(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_while_it_is_gone_on_with_leaves_nothing() {
    let (content, fake, known) = (content(), Fake::default(), Arc::new(Known::default()));
    fake.until_silent(Kind::S3, &content, 24 * MIB, &known).await;
    let mut changed = Source::new(file(&content), SIZE, Some(HashKind::Md5), false, |_| Err(Fault::Changed));
    let fault = fake.store(Kind::S3, 9).create(KEY, &mut changed, &*known).await.unwrap_err();
    assert!(matches!(fault, Fault::Changed), "{fault:?}");
    assert_eq!((fake.open(), known.text()), (0, None));
    assert!(fake.held().object.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_at_one_service_is_not_looked_for_at_another() {
    let (content, fake, known) = (content(), Fake::default(), Arc::new(Known::default()));
    fake.until_silent(Kind::S3, &content, 24 * MIB, &known).await;
    let created = fake.store(Kind::S3, 10).create(KEY, &mut source(&content), &*known).await.unwrap();
    assert!(matches!(created, Created::Ours(_)), "{created:?}");
    assert_eq!(fake.begun(), 2);
    assert!(fake.received() >= SIZE);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_goes_on_with_is_given_up_and_nothing_else_is_asked() {
    let (content, fake, known) = (content(), Fake::default(), Arc::new(Known::default()));
    fake.until_silent(Kind::S3, &content, 24 * MIB, &known).await;
    let (text, here, elsewhere) = (known.text().unwrap(), fake.store(Kind::S3, 9), fake.store(Kind::S3, 10));
    assert_eq!(elsewhere.abandon(KEY, &text).await, Ok(true));
    assert_eq!((fake.asked(), fake.open()), (Vec::new(), 1));
    assert_eq!(here.abandon(KEY, &text).await, Ok(true));
    assert_eq!((fake.received(), fake.open()), (0, 0));
    assert_eq!(fake.asked(), ["AbortMultipartUpload"]);
    assert_eq!(here.abandon(KEY, &text).await, Ok(true), "that it is gone already is all the same");
    assert_eq!(here.abandon(KEY, "what no version of this program wrote").await, Ok(true));
    assert_eq!(fake.store(Kind::Azblob, 9).abandon(KEY, &text).await, Ok(false));
}
