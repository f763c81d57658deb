//! `kill -9` of a process that publishes a large file to an object store: the next one goes on, what had arrived is not sent
//! again, and what nobody goes on with is given up.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use soopervisor::plan::OnConflict;
use soopervisor::storage::verify::verify;
use soopervisor::storage::{Access, Location, Remotes, Storage, StorageError};
use soopervisor::web::Reach;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::fixture_run::{Run, folder, project};
use crate::served::Served;

const MIB: u64 = 1024 * 1024;
const PART: u64 = 8 * MIB;
/// Parts that are on their way at once.
const ROUND: u64 = 4 * PART;
/// What is said about files, and about parts.
const WORDS: u64 = MIB;
const PLACE: &str = "SOOPERVISOR_TEST_PLACE";
const RUN: &str = "SOOPERVISOR_TEST_RUN";

/// Run by the other tests here, with the variables that they set.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by the other tests of this file"]
async fn publishes_as_a_process_that_may_be_killed() {
    let set = |name: &str| std::env::var(name).ok();
    let Some(place) = set(PLACE) else { return };
    let run = Run::at(&PathBuf::from(set(RUN).expect("a folder")));
    let storage = opened(&place, Remotes::new(Vec::new(), Arc::new(set)), &run);
    storage.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect("published");
}

/// A place, as the program opens it.
fn opened(place: &str, remotes: Remotes, run: &Run) -> Arc<dyn Storage> {
    let location = Location::parse(place, Path::new("/"), &remotes).expect("a location");
    let access = Access { reach: Reach::default(), remotes, state: run.path("state") };
    location.open(&access).expect("a storage")
}

/// All lines to a server together: how many bytes came over them, and how many may.
struct Lines {
    port: u16,
    sent: AtomicU64,
    most: AtomicU64,
}

impl Lines {
    async fn to(server: u16) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let lines = Arc::new(Self { port, sent: AtomicU64::new(0), most: AtomicU64::new(u64::MAX) });
        let shared = Arc::clone(&lines);
        tokio::spawn(async move {
            while let Ok((ours, _)) = listener.accept().await {
                let lines = Arc::clone(&shared);
                tokio::spawn(async move { lines.carry(ours, server).await });
            }
        });
        lines
    }

    async fn carry(&self, ours: TcpStream, server: u16) {
        let (mut from, mut back) = ours.into_split();
        let there = TcpStream::connect(("127.0.0.1", server)).await.expect("the server");
        let (mut answers, mut to) = there.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut answers, &mut back).await });
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            if self.sent() >= self.most.load(Ordering::Relaxed) {
                // It is as if the line was dead.
                std::future::pending::<()>().await;
            }
            self.sent.fetch_add(count as u64, Ordering::Relaxed);
            if to.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// From so many bytes on every line is dead; those that are by then stay so.
    fn end_at(&self, most: u64) {
        self.most.store(most, Ordering::Relaxed);
    }
}

/// A place, the lines to it, and what is published there.
struct Scene {
    served: Served,
    lines: Arc<Lines>,
    /// What is set to get there over the lines.
    set: BTreeMap<&'static str, String>,
    run: Run,
}

impl Scene {
    /// With one file of so many bytes.
    async fn with(served: Served, size: u64) -> Self {
        const HERE: &str = "http://127.0.0.1:";
        let mut set = served.variables().clone();
        let endpoint = set.values_mut().find(|value| value.starts_with(HERE)).expect("an endpoint");
        let (port, rest) = endpoint[HERE.len()..].split_once('/').unwrap_or((&endpoint[HERE.len()..], ""));
        let lines = Lines::to(port.parse().expect("a port")).await;
        format!("{HERE}{}/{rest}", lines.port).trim_end_matches('/').clone_into(endpoint);
        let scene = Self { served, lines, set, run: Run::new() };
        scene.make(size);
        scene
    }

    /// Bytes of which no part is like another.
    fn make(&self, size: u64) {
        let mut bytes = Vec::new();
        for n in 0..size / 8 {
            bytes.extend_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        }
        self.run.product("large.bin", bytes);
    }

    fn publisher(&self) -> Child {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        let test = "killed::publishes_as_a_process_that_may_be_killed";
        command.args(["--ignored", "--exact", test, "--nocapture"]);
        command.envs(&self.set).env(PLACE, self.served.text()).env(RUN, &self.run.dir);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
    }

    /// Kills a publisher when so many bytes more have been sent, and nothing more is.
    async fn kill_after(&self, bytes: u64) {
        let most = self.lines.sent() + bytes;
        self.lines.end_at(most);
        let mut child = self.publisher();
        let ended = async {
            while self.lines.sent() < most {
                assert!(child.try_wait().expect("a child").is_none(), "it ended before it was killed");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            // What has arrived is told.
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        tokio::time::timeout(Duration::from_mins(2), ended).await.expect("so many bytes");
        child.kill().expect("killed");
        child.wait().expect("dead");
        self.lines.end_at(u64::MAX);
    }

    fn publish(&self) {
        let output = tokio::task::block_in_place(|| self.publisher().wait_with_output()).expect("it ends");
        let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && told.contains("1 passed"), "{told}");
    }

    /// The same, in this process.
    fn storage(&self) -> Arc<dyn Storage> {
        let set = self.set.clone();
        let lookup = move |name: &str| set.get(name).cloned();
        opened(self.served.text(), Remotes::new(Vec::new(), Arc::new(lookup)), &self.run)
    }

    /// Uploads in a bucket of S3 that have come to no end.
    async fn uploads(&self) -> usize {
        let bucket = self.served.text().split('/').nth(2).expect("a bucket");
        let address = format!("{}/{bucket}?uploads", self.set["SOOPERVISOR_S3_ENDPOINT"]);
        let told = reqwest::get(address).await.expect("an answer").text().await.expect("text");
        told.matches("<UploadId>").count()
    }

    async fn assert_is_there(&self) {
        let storage = self.served.storage(&self.run.path("state"));
        let report = verify(&*storage, &project(), &folder(), &()).await.expect("a report");
        assert!(report.is_sound() && report.ok == 1, "{report:?}");
        let journals = fs_err::read_dir(self.run.path("state/uploads")).expect("a folder");
        assert_eq!(journals.count(), 0, "nothing is left to go on with");
    }
}

/// Killed each time that so many bytes more have gone; what has gone in all.
async fn is_gone_on_with(served: Served, size: u64, kills: &[u64]) {
    let scene = Scene::with(served, size).await;
    for bytes in kills {
        scene.kill_after(*bytes).await;
    }
    let before = scene.lines.sent();
    scene.publish();
    let (last, all) = (scene.lines.sent() - before, scene.lines.sent());
    let lost = ROUND * kills.len() as u64;
    assert!(all <= size + lost + WORDS, "{all} bytes were sent for {size}");
    let arrived = kills.iter().sum::<u64>().saturating_sub(lost + WORDS);
    assert!(arrived >= PART, "{arrived}");
    assert!(last <= size - arrived + WORDS, "{last} bytes were sent in the end, {arrived} of {size} were there");
    scene.assert_is_there().await;
}

const SIZE: u64 = 72 * MIB;

#[tokio::test(flavor = "multi_thread")]
async fn what_had_arrived_at_s3_when_the_process_was_killed_is_not_sent_again() {
    let served = Served::s3().await;
    is_gone_on_with(served, SIZE, &[48 * MIB]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_had_arrived_at_azure_when_the_process_was_killed_is_not_sent_again() {
    is_gone_on_with(Served::azure(), SIZE, &[48 * MIB]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_had_arrived_at_google_cloud_storage_when_the_process_was_killed_is_not_sent_again() {
    is_gone_on_with(Served::gcs().await, SIZE, &[48 * MIB]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes; by hand after changes to how files are sent"]
async fn killed_at_nine_places_a_large_file_comes_to_s3_and_to_azure() {
    // Of a round that was lost, the next one has to be sent first.
    let kills = [48 * MIB; 9];
    is_gone_on_with(Served::s3().await, 400 * MIB, &kills).await;
    is_gone_on_with(Served::azure(), 400 * MIB, &kills).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_to_s3_with_which_nobody_goes_on_is_given_up() {
    let scene = Scene::with(Served::s3().await, SIZE).await;
    scene.kill_after(48 * MIB).await;
    assert_eq!(scene.uploads().await, 1);
    // The run after that makes another file of that name.
    scene.make(SIZE + 8);
    scene.publish();
    assert_eq!(scene.uploads().await, 0);
    scene.assert_is_there().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_to_s3_that_fails_leaves_none_of_its_uploads() {
    let scene = Scene::with(Served::s3().await, SIZE).await;
    scene.run.product("other.bin", vec![7; 80 << 20]);
    let publication = scene.run.publication("r", OnConflict::Fail);
    let storage = scene.storage();
    // Both are on their way, and whichever comes to its end first is another file by then. In a thread of its own: who
    // publishes may not pause.
    let lines = Arc::clone(&scene.lines);
    let files = ["work/large.bin", "work/other.bin"].map(|name| scene.run.path(name));
    let touching = std::thread::spawn(move || {
        while lines.sent() < 9 * MIB {
            std::thread::sleep(Duration::from_millis(5));
        }
        for path in files {
            let file = std::fs::File::options().append(true).open(path).expect("a file");
            file.set_modified(std::time::UNIX_EPOCH).expect("touched");
        }
    });
    let published = storage.publish(publication, Arc::new(())).await;
    touching.join().expect("touched");
    assert!(matches!(published, Err(StorageError::Changed { .. })), "{published:?}");
    assert_eq!(scene.uploads().await, 0);
}
