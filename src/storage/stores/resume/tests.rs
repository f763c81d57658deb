//! Uploads that are killed, forgotten, spoilt and gone on with, at the services of [`fake`].

use std::io::Write as _;
use std::sync::Mutex;

use super::*;
use crate::storage::backend::{Backend as _, Created, HashKind, Keeper, Source};

mod fake;

use fake::Fake;

const MIB: u64 = 1024 * 1024;
/// Five parts and the beginning of one.
const SIZE: u64 = 40 * MIB + 5;
const KEY: &str = "p/c/large file";
/// What no journal may hold.
const SECRET: &str = "c2VjcmV0LW9mLXRoZS1idWNrZXQ=";
/// Requests that are no parts are of fewer bytes together.
const LITTLE: u64 = 4096;

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

/// Nobody looks for it in the bucket, where another one to the same key may be somebody's who publishes now.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_which_we_were_killed_before_we_heard_its_name_has_no_part_that_would_cost_anything() {
    let (content, fake, known) = (content(), Fake::default(), Arc::new(Known::default()));
    fake.held().unheard = true;
    fake.until_silent(Kind::S3, &content, SIZE, &known).await;
    assert_eq!((fake.begun(), fake.open(), fake.parts(), known.text()), (1, 1, 0, None));
    assert!(matches!(fake.create(Kind::S3, &content, &known).await, Created::Ours(_)));
    assert!(fake.has(&content));
    assert_eq!((fake.begun(), fake.open(), fake.parts(), known.text()), (2, 1, 0, None));
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
