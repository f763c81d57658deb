//! Files that were sent to Dropbox and wait to become visible are in nobody's listing: that they were sent is
//! remembered.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use soopervisor::plan::OnConflict;
use soopervisor::storage::verify::verify;
use soopervisor::storage::{Done, Progress, PublishOutcome, Storage};

use crate::bench::Bench;
use crate::fake::{Drive, Fake, Fault, When};
use crate::fixture_run::{folder, project};

const DRIVE: Drive = Drive::Dropbox;
const BEGUN: &str = "upload_session/start";

/// A run of so many files of that size, each with bytes of its own.
async fn bench(files: u64, size: u64) -> Bench {
    let bench = Bench::on(DRIVE).await;
    for at in 0..files {
        let bytes: Vec<u8> = (0..size).map(|n| (n * (at + 3) % 251).to_le_bytes()[0]).collect();
        bench.run.product(format!("f{at:03}.bin"), bytes);
    }
    bench
}

fn fake(bench: &Bench) -> &Fake {
    &bench.drive.as_ref().expect("a drive").fake
}

/// What a process knows that begins now.
fn anew(bench: &Bench) -> Arc<dyn Storage> {
    bench.drive.as_ref().expect("a drive").storage(&bench.run.path("state"))
}

/// A publish that ends when all files were sent and the first batch is not answered.
async fn dies_before_anything_can_be_seen(bench: &Bench, files: u64) {
    let fake = fake(bench);
    fake.fault(DRIVE, When::path("finish_batch_v2").times(100), Fault::Slow(Duration::from_mins(10)));
    let (storage, publication) = (anew(bench), bench.run.publication("r", OnConflict::Fail));
    let dying = tokio::spawn(async move { storage.publish(publication, Arc::new(())).await.map(drop) });
    let sent = async {
        let all = |fake: &Fake| fake.count(DRIVE, "POST", BEGUN) as u64 >= files;
        while !all(fake) || fake.count(DRIVE, "POST", "finish_batch_v2") == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // The last answers are on their way.
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    tokio::time::timeout(Duration::from_mins(3), sent).await.expect("everything was sent");
    dying.abort();
    assert!(dying.await.is_err());
    assert!(!fake.names(DRIVE).iter().any(|name| name.contains(".bin")), "nothing of it can be seen");
    fake.calm();
    fake.forget_requests();
}

async fn is_published_anew(bench: &Bench, files: u64) {
    let again = anew(bench);
    let published = again.publish(bench.run.publication("r", OnConflict::Fail), Arc::new(())).await;
    assert_eq!(published.expect("published").outcome, PublishOutcome::Created);
    let report = verify(&*again, &project(), &folder(), &()).await.expect("a report");
    assert!(report.is_sound() && report.ok == files, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_to_dropbox_and_was_not_visible_yet_is_not_sent_again() {
    const FILES: u64 = 40;
    const SIZE: u64 = 2_000_000;
    let bench = bench(FILES, SIZE).await;
    dies_before_anything_can_be_seen(&bench, FILES).await;
    // One of them is another by now, of the same length.
    let other = vec![7; usize::try_from(SIZE).expect("small")];
    bench.run.product("f007.bin", &other);
    let before = fake(&bench).received(DRIVE);
    is_published_anew(&bench, FILES).await;
    let received = fake(&bench).received(DRIVE) - before;
    assert!(received < SIZE + 1_000_000, "{received} bytes for one file");
    assert_eq!(bench.bytes(&folder(), "f007.bin").await, other);
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_that_were_not_visible_yet_are_not_sent_again_either() {
    const FILES: u64 = 60;
    let bench = bench(FILES, 1000).await;
    dies_before_anything_can_be_seen(&bench, FILES).await;
    is_published_anew(&bench, FILES).await;
    assert_eq!(fake(&bench).count(DRIVE, "POST", BEGUN), 0, "all of them had arrived");
    assert_eq!(fake(&bench).count(DRIVE, "POST", "append_v2"), 0, "nor is it asked whether they had");
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_whose_sessions_dropbox_knows_no_longer_are_sent_again() {
    const FILES: u64 = 30;
    let bench = bench(FILES, 1000).await;
    dies_before_anything_can_be_seen(&bench, FILES).await;
    fake(&bench).account(DRIVE).sessions.clear();
    is_published_anew(&bench, FILES).await;
    assert_eq!(fake(&bench).count(DRIVE, "POST", BEGUN) as u64, FILES);
}

/// What a writer was given.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("kept").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn of_all_files_whose_sessions_are_lost_one_line_warns() {
    const FILES: u64 = 30;
    let bench = bench(FILES, 1000).await;
    dies_before_anything_can_be_seen(&bench, FILES).await;
    fake(&bench).account(DRIVE).sessions.clear();
    let kept = Kept::default();
    let writer = kept.clone();
    let lines = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_ansi(false);
    let listening = tracing::subscriber::set_default(lines.with_writer(move || writer.clone()).finish());
    is_published_anew(&bench, FILES).await;
    drop(listening);
    let told = String::from_utf8(kept.0.lock().expect("kept").clone()).expect("text");
    let told: Vec<&str> = told.lines().filter(|line| line.contains("once more")).collect();
    assert!(matches!(&told[..], [one] if one.contains(&format!("files={FILES}"))), "{told:?}");
}

/// The most files that were sent and could not be seen yet.
#[derive(Debug, Default)]
struct Unseen(AtomicU64);

impl Progress for Unseen {
    fn at(&self, done: Done) {
        self.0.fetch_max(done.files_sent.saturating_sub(done.files), Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_wait_to_become_visible_are_told_as_sent() {
    const FILES: u64 = 30;
    let (bench, unseen) = (bench(FILES, 1000).await, Arc::new(Unseen::default()));
    let publication = bench.run.publication("r", OnConflict::Fail);
    let published = bench.storage.publish(publication, Arc::clone(&unseen) as Arc<dyn Progress>).await;
    assert_eq!(published.expect("published").outcome, PublishOutcome::Created);
    assert!(unseen.0.load(Ordering::Relaxed) >= FILES - 1, "{unseen:?}");
}
