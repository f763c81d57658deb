//! `kill -9` of a process that publishes a large file to an object store: the next one goes on, what had arrived is not sent
//! again, and what nobody goes on with is given up.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use soopervisor::plan::OnConflict;
use soopervisor::storage::verify::verify;
use soopervisor::storage::{Access, Location, Remotes};
use soopervisor::web::Reach;

use crate::fixture_run::{Run, folder, project};
use crate::served::Served;
use crate::way::Way;

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
    let remotes = Remotes::new(Vec::new(), Arc::new(set));
    let location = Location::parse(&place, Path::new("/"), &remotes).expect("a location");
    let run = Run::at(&PathBuf::from(set(RUN).expect("a folder")));
    let storage =
        location.open(&Access { reach: Reach::default(), remotes, state: run.path("state") }).expect("a storage");
    storage.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect("published");
}

/// A place, the way to it, and what is published there.
struct Scene {
    served: Served,
    way: Way,
    run: Run,
}

impl Scene {
    /// With one file of so many bytes.
    async fn with(served: Served, size: u64) -> Self {
        let way = Way::to(served.port(), u64::MAX).await;
        let scene = Self { served: served.over(way.port), way, run: Run::new() };
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
        command.envs(self.served.variables()).env(PLACE, self.served.text()).env(RUN, &self.run.dir);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
    }

    /// Kills a publisher when so many bytes more have gone over the way, and nothing more does.
    async fn kill_after(&self, bytes: u64) {
        let most = self.way.all() + bytes;
        self.way.ends_after(most);
        let mut child = self.publisher();
        let ended = async {
            while self.way.all() < most {
                assert!(child.try_wait().expect("a child").is_none(), "it ended before it was killed");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            // What has arrived is told.
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        tokio::time::timeout(Duration::from_mins(2), ended).await.expect("so many bytes");
        child.kill().expect("killed");
        child.wait().expect("dead");
        self.way.goes_on();
    }

    fn publish(&self) {
        let output = tokio::task::block_in_place(|| self.publisher().wait_with_output()).expect("it ends");
        let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && told.contains("1 passed"), "{told}");
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
    let before = scene.way.all();
    scene.publish();
    let (last, all) = (scene.way.all() - before, scene.way.all());
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
    let begun = async || {
        let address = format!("{}?uploads", scene.served.bucket());
        let told = reqwest::get(address).await.expect("an answer").text().await.expect("text");
        told.matches("<UploadId>").count()
    };
    scene.kill_after(48 * MIB).await;
    assert_eq!(begun().await, 1);
    // The run after that makes another file of that name.
    scene.make(SIZE + 8);
    scene.publish();
    assert_eq!(begun().await, 0);
    scene.assert_is_there().await;
}
