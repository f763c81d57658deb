//! A service that asks for a pause, lacks a permission, or fails: what is said, how often it is asked, and how soon the
//! program ends for who wants it to. And what programs that ours starts are given.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Place;
use crate::fake::{Drive, Fake, Fault, When};
use crate::pruned::publish_as;
use crate::support::{Said, User, eventually, signal};

const PIPELINE: &str = "tasks:\n  - source: one.make\n    product: output/one.txt\n";
const TASK: &str = "from pathlib import Path\n\ndef make(product):\n    Path(product).write_text('one')\n";

/// A commit that is published on Dropbox, and its user.
struct Scene {
    fake: Fake,
    user: User,
    place: Place,
    commit: String,
}

impl Scene {
    async fn new() -> Self {
        let (fake, user) = (Fake::start().await, User::with(&[("pipeline.yaml", PIPELINE), ("one.py", TASK)]));
        let place = Place::on(&fake, Drive::Dropbox);
        let commit = user.git(&["rev-parse", "HEAD"]);
        publish_as(&place, &commit, 1).await;
        fake.forget_requests();
        Self { fake, user, place, commit }
    }

    fn faulty(&self, path: &str, fault: Fault) {
        self.fake.fault(Drive::Dropbox, When::path(path).times(1000), fault);
    }

    fn say(&self, words: &[&str]) -> Said {
        self.place.say(&self.user, &[words, &["--project", "demo"]].concat())
    }

    fn asked(&self) -> usize {
        self.fake.count(Drive::Dropbox, "", "/2/")
    }

    /// Starts it; what it says goes to a file.
    fn start(&self, words: &[&str]) -> (Child, PathBuf) {
        let said = self.user.repo().with_file_name("said");
        let file = std::fs::File::create(&said).unwrap();
        let mut command = self.place.program(&self.user, &[words, &["--project", "demo"]].concat());
        (command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap(), said)
    }

    /// Starts it, waits until it says that, and asks it to end, which it does soon; gives back what it said, and how it
    /// ended.
    fn stopped(&self, words: &[&str], says: &str) -> Said {
        let (mut child, said) = self.start(words);
        let text = || std::fs::read_to_string(&said).unwrap();
        eventually(30, &format!("{words:?} says `{says}`"), || {
            assert_eq!(child.try_wait().unwrap(), None, "{}", text());
            text().contains(says)
        });
        let begun = Instant::now();
        signal(&child, "TERM");
        let mut output = child.wait_with_output().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(8), "{words:?} ended {:?} after TERM", begun.elapsed());
        output.stdout = text().into_bytes();
        output.into()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_a_service_asks_for_is_told_by_every_verb_and_ends_with_the_program() {
    let scene = Scene::new().await;
    scene.faulty("/2/", Fault::TooMany(Some(600)));
    let commit = scene.commit.clone();
    let pause = "dropbox asks for fewer requests: waiting ";
    tokio::task::block_in_place(|| {
        scene.stopped(&["verify", &commit], pause).says("waiting 10 min");
        assert_eq!(scene.asked(), 1, "by the first request it is known");
        scene.stopped(&["download", &commit, "--to", "got"], pause);
        scene.stopped(&["prune", "--keep-last", "1", "--dry-run"], pause);
        scene.stopped(&["run", "my repo"], pause).exits(130).says("stopped");
    });
    // Nobody waits for minutes for a check.
    scene.place.say(&scene.user, &["doctor"]).exits(7).says(pause).says("when that is over");
    assert_eq!(scene.asked(), 1, "nobody asks before the time has come");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_takes_its_time_to_answer_is_waited_for_in_the_open() {
    let scene = Scene::new().await;
    let says = "waiting for the answer of dropbox\n";
    let soon = scene.say(&["verify", &scene.commit]).exits(0);
    assert!(!soon.text.contains(says), "{}", soon.text);
    scene.fake.fault(Drive::Dropbox, When::path("/2/"), Fault::Slow(Duration::from_secs(8)));
    scene.say(&["verify", &scene.commit]).exits(0).says(says).says("as the manifest says");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_of_hours_ends_every_verb_at_once_with_the_time() {
    let scene = Scene::new().await;
    scene.faulty("/2/", Fault::TooMany(Some(7200)));
    let begun = Instant::now();
    for words in [&["verify", "latest"][..], &["prune", "--keep-last", "1", "--dry-run"], &["run", "my repo"]] {
        scene.say(words).exits(7).says("asks for fewer requests for 2 h").says("try again in 2 h");
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(scene.asked(), 1, "who was told to wait for hours asks no more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_silent_while_a_run_begins_holds_up_nobody_who_wants_it_to_end() {
    let scene = Scene::new().await;
    scene.faulty("/2/users/", Fault::Slow(Duration::from_mins(1)));
    tokio::task::block_in_place(|| {
        let (child, _) = scene.start(&["run", "my repo"]);
        eventually(30, "it asks how much room there is", || scene.asked() > 0);
        let begun = Instant::now();
        signal(&child, "TERM");
        let ended = child.wait_with_output().unwrap();
        assert_eq!((ended.status.code(), begun.elapsed() < Duration::from_secs(8)), (Some(130), true));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_that_is_stopped_takes_away_what_it_wrote() {
    let scene = Scene::new().await;
    let before = scene.fake.names(Drive::Dropbox);
    scene.faulty("files/upload", Fault::Slow(Duration::from_secs(1)));
    tokio::task::block_in_place(|| {
        let mut command = scene.place.program(&scene.user, &["doctor"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let written = || scene.fake.count(Drive::Dropbox, "POST", "files/upload") > 0;
        eventually(60, "it writes its file", written);
        signal(&child, "TERM");
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    });
    assert!(scene.fake.count(Drive::Dropbox, "POST", "files/delete") > 0, "it was written, and removed");
    assert_eq!(scene.fake.names(Drive::Dropbox), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_that_the_app_lacks_is_told_as_one() {
    let scene = Scene::new().await;
    scene.faulty("/2/users/", Fault::Code(401, "missing_scope"));
    scene.say(&["run", "my repo"]).exits(7).says("the app lacks").says("app console").hides("no longer taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_from_a_service_that_fails_is_told_to_try_again() {
    let scene = Scene::new().await;
    scene.faulty("/2/", Fault::Unavailable(None));
    let said = scene.say(&["verify", "latest"]).exits(7).says("help: try again").says("doctor --storage dropbox");
    said.hides("run the commit again");
}

#[tokio::test(flavor = "multi_thread")]
async fn git_is_given_no_secret_of_a_storage() {
    let scene = Scene::new().await;
    let folder = scene.user.repo().with_file_name("before git");
    std::fs::create_dir(&folder).unwrap();
    let seen = folder.join("seen");
    let path = std::env::var("PATH").unwrap();
    let real = std::env::split_paths(&path).map(|folder| folder.join("git")).find(|git| git.is_file()).unwrap();
    let script = format!("#!/bin/sh\nenv >>'{}'\nexec '{}' \"$@\"\n", seen.display(), real.display());
    let wrapper = folder.join("git");
    std::fs::write(&wrapper, script).unwrap();
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command: Command = scene.place.program(&scene.user, &["verify", "HEAD", "--project", "demo"]);
    command.env("PATH", format!("{}:{path}", folder.display())).env("SOOPERVISOR_WEBDAV_PASSWORD", "canary-of-webdav");
    let settings = folder.join("settings");
    std::fs::create_dir_all(settings.join("soopervisor")).unwrap();
    let text = "remotes: {team-box: {type: box, client-secret: env:BOX_SECRET}}\n";
    std::fs::write(settings.join("soopervisor/config.yaml"), text).unwrap();
    command.env("XDG_CONFIG_HOME", settings).env("BOX_SECRET", "canary-of-box");
    command.env("AZURE_STORAGE_KEY", "canary-of-azure").env("AWS_SECRET_ACCESS_KEY", "kept-for-codecommit");
    command.current_dir(scene.user.repo()).stdin(Stdio::null());
    Said::from(tokio::task::block_in_place(|| command.output().unwrap())).exits(0);
    let seen = std::fs::read_to_string(seen).unwrap();
    let (_, token) = &scene.place.set[1];
    assert!(seen.contains("GIT_TERMINAL_PROMPT=0"), "git was started: {seen}");
    assert!(!seen.contains(token.as_str()) && !seen.contains("canary-of-"), "{seen}");
    assert!(seen.contains("kept-for-codecommit"), "a filter or a helper of the user's may need it: {seen}");
}
