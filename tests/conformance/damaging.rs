//! Bytes that change on the way: what a service says of what it stored finds them, on every drive and every object store.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use soopervisor::plan::OnConflict;
use soopervisor::storage::resolve::resolve;
use soopervisor::storage::verify::verify;
use soopervisor::storage::{Access, Location, PublishOutcome, Published, Remotes, Storage, StorageError};
use soopervisor::web::{Fault, Reach};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::bench::Bench;
use crate::drives::OnDrive;
use crate::fake::{Drive, Fault as Script, When};
use crate::fixture_run::{Run, folder, project};
use crate::served::Served;

/// Behind this a byte is changed. Its first byte stands in it once.
type Mark = &'static [u8];

/// Stands in files.
const IN_FILES: Mark = b"\x01the next byte is changed:";
/// Stands before the tag of what was stored, in a server's answers.
const BEFORE_TAGS: Mark = b"ETag: \"";

/// Where a file goes: one of the drives, or S3.
const PLACES: [Option<Drive>; 5] =
    [Some(Drive::Box), Some(Drive::Dropbox), Some(Drive::OneDrive), Some(Drive::GDrive), None];

/// A mark, how often the byte behind it is changed, and how often it was met.
#[derive(Clone)]
struct Damage {
    mark: Mark,
    times: usize,
    met: Arc<AtomicUsize>,
}

impl Damage {
    fn of(mark: Mark, times: usize) -> Self {
        Self { mark, times, met: Arc::default() }
    }

    fn met(&self) -> usize {
        self.met.load(Ordering::SeqCst)
    }

    /// Carries bytes until one side ends.
    async fn carry(self, mut from: impl tokio::io::AsyncRead + Unpin, mut to: impl tokio::io::AsyncWrite + Unpin) {
        let (mut seen, mut buffer) = (0, vec![0; 64 * 1024]);
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            for byte in &mut buffer[..count] {
                if seen == self.mark.len() {
                    seen = 0;
                    if self.met.fetch_add(1, Ordering::SeqCst) < self.times {
                        *byte = if *byte == b'0' { b'1' } else { b'0' };
                    }
                } else if *byte == self.mark[seen] {
                    seen += 1;
                } else {
                    seen = usize::from(*byte == self.mark[0]);
                }
            }
            if to.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    }
}

/// The port of a way to that port: damage there, and damage back.
async fn way(server: u16, there: Damage, back: Damage) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((ours, _)) = listener.accept().await {
            let (from, to_us) = ours.into_split();
            let Ok(theirs) = TcpStream::connect(("127.0.0.1", server)).await else { return };
            let (answers, to) = theirs.into_split();
            tokio::spawn(there.clone().carry(from, to));
            tokio::spawn(back.clone().carry(answers, to_us));
        }
    });
    port
}

/// A run whose outputs go over such a way.
struct Scene {
    run: Run,
    storage: Arc<dyn Storage>,
    drive: Option<OnDrive>,
    there: Damage,
}

impl Scene {
    async fn new(place: Option<Drive>, there: Damage, back: Damage) -> Self {
        let run = Run::new();
        let state = run.path("state");
        let Some(drive) = place else { return Self::on(Served::s3().await, there, back).await };
        let on = OnDrive::open(drive).await;
        let port = way(on.fake.address().port(), there.clone(), back).await;
        let name = format!("SOOPERVISOR_{}", drive.prefix().to_uppercase());
        let set: BTreeMap<String, String> = [
            (format!("{name}_BASE_URL"), format!("http://127.0.0.1:{port}/{}", drive.prefix())),
            (format!("{name}_ACCESS_TOKEN"), on.fake.tokens(drive).access),
        ]
        .into();
        let remotes = Remotes::new(Vec::new(), Arc::new(move |name: &str| set.get(name).cloned()));
        let location = Location::parse(drive.prefix(), Path::new("/"), &remotes).expect("a location");
        let access = Access { reach: Reach::default(), remotes, state };
        Self { storage: location.open(&access).expect("a storage"), run, drive: Some(on), there }
    }

    async fn on(served: Served, there: Damage, back: Damage) -> Self {
        let (run, port) = (Run::new(), way(served.port(), there.clone(), back).await);
        Self { storage: served.over(port).storage(&run.path("state")), run, drive: None, there }
    }

    /// An output of so many bytes, with the mark in its middle.
    fn marked(&self, name: &str, size: usize) {
        let mut bytes: Vec<u8> = (0..=250_u8).cycle().take(size).collect();
        bytes[size / 2..][..IN_FILES.len()].copy_from_slice(IN_FILES);
        self.run.product(name, bytes);
    }

    async fn publish(&self) -> Result<Published, StorageError> {
        self.storage.publish(self.run.publication("r", OnConflict::Fail), Arc::new(())).await
    }

    async fn publishes_soundly(&self, files: u64) {
        let published = self.publish().await.expect("published");
        assert_eq!(published.outcome, PublishOutcome::Created);
        let report = verify(&*self.storage, &project(), &folder(), &()).await.expect("a report");
        assert!(report.is_sound() && report.ok == files, "{report:?}");
    }
}

/// In one request, and in parts.
#[tokio::test(flavor = "multi_thread")]
async fn a_byte_that_changes_on_the_way_is_found_and_its_file_sent_once_more() {
    for place in PLACES {
        for size in [1_000_000, 52_000_000] {
            let scene = Scene::new(place, Damage::of(IN_FILES, 1), Damage::of(BEFORE_TAGS, 0)).await;
            scene.marked("data.bin", size);
            scene.publishes_soundly(1).await;
            assert_eq!(scene.there.met(), 2, "{place:?}, {size} bytes: sent once more");
        }
    }
}

/// What tells a checksum of whole files. Azurite tells none of one that went in blocks, nor of the blocks, as Azure does.
#[tokio::test(flavor = "multi_thread")]
async fn a_byte_that_changes_on_the_way_to_google_cloud_storage_or_azure_is_found_too() {
    for (served, size) in
        [(Served::gcs().await, 1_000_000), (Served::gcs().await, 52_000_000), (Served::azure(), 1_000_000)]
    {
        let place = served.text().to_owned();
        let scene = Scene::on(served, Damage::of(IN_FILES, 1), Damage::of(BEFORE_TAGS, 0)).await;
        scene.marked("data.bin", size);
        scene.publishes_soundly(1).await;
        assert_eq!(scene.there.met(), 2, "{place}, {size} bytes: sent once more");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_changed_on_the_way_twice_is_an_error_and_nothing_is_published() {
    for place in PLACES {
        let scene = Scene::new(place, Damage::of(IN_FILES, 2), Damage::of(BEFORE_TAGS, 0)).await;
        scene.marked("data.bin", 1_000_000);
        match scene.publish().await {
            Err(StorageError::Service { fault: Fault::Damaged(_), .. }) => {}
            other => panic!("{place:?}: {other:?}"),
        }
        assert_eq!(scene.there.met(), 2, "{place:?}");
        assert!(scene.storage.folders(&project()).await.expect("folders").is_empty(), "{place:?}");
        if let Some(on) = &scene.drive {
            let names = on.fake.names(on.drive);
            assert!(!names.iter().any(|name| name.contains("data.bin")), "{place:?}: {names:?}");
        }
        // The line is well again.
        scene.publishes_soundly(1).await;
        assert_eq!(scene.there.met(), 3, "{place:?}");
    }
}

/// As with keys of the user's: what looks like a checksum is none.
#[tokio::test(flavor = "multi_thread")]
async fn where_tags_are_no_checksums_sound_files_are_sent_once_and_the_first_damaged_one_is_found() {
    let tags = Damage::of(BEFORE_TAGS, usize::MAX);
    let scene = Scene::new(None, Damage::of(IN_FILES, 0), tags.clone()).await;
    for name in ["a.bin", "b.bin", "c.bin"] {
        scene.marked(name, 100_000);
    }
    scene.publishes_soundly(3).await;
    assert_eq!(scene.there.met(), 3, "each was sent once");
    assert!(tags.met() > 3, "tags were changed");
    let scene = Scene::new(None, Damage::of(IN_FILES, 1), Damage::of(BEFORE_TAGS, usize::MAX)).await;
    scene.marked("a.bin", 100_000);
    scene.publishes_soundly(1).await;
    assert_eq!(scene.there.met(), 2, "nothing was known of tags, and the file was read back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_arrives_cut_as_if_that_were_all_is_read_again() {
    let routes = ["/dl/", "files/download", "/dl/", "alt=media"];
    for (drive, route) in Drive::ALL.into_iter().zip(routes) {
        let bench = Bench::on(drive).await;
        bench.run.product("a.csv", "1");
        bench.publish("r", OnConflict::Fail).await.expect("published");
        let fake = &bench.drive.as_ref().expect("a drive").fake;
        fake.fault(drive, When::path(route), Script::ShortAnswer(100));
        let found = resolve(&*bench.storage, &project(), "main").await;
        assert_eq!(found.expect("it is published"), folder(), "{drive:?}");
        assert_eq!(fake.faults_left(), 0, "{drive:?}: it happened");
        // One that is cut for good is no reason to remove anything.
        fake.fault(drive, When::path(route).times(100), Script::ShortAnswer(100));
        let error = resolve(&*bench.storage, &project(), "main").await.expect_err("cut");
        let help = error.help().unwrap_or_default();
        assert!(error.to_string().contains("is not what is stored: 100 bytes, and not "), "{drive:?}: {error}");
        assert!(help.contains("try again") && !help.contains("remove"), "{drive:?}: {help}");
    }
}
