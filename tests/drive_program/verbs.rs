//! Every verb that reads or removes, however the storage is spelled and however the commit is named. No container is
//! started here.

use crate::fake::{Drive, Fake};
use crate::pruned::publish_as;
use crate::support::{Said, User};
use crate::{Place, fixture_run};

/// A repository of four commits, all of them published: one that an annotated tag names, one that a plain tag names, one
/// that another branch ends in, and the newest.
struct Scene {
    fake: Fake,
    drive: Drive,
    user: User,
    commits: Vec<String>,
}

impl Scene {
    async fn new(drive: Drive) -> Self {
        let (fake, user) = (Fake::start().await, User::with(&[]));
        let mut commits = vec![user.git(&["rev-parse", "HEAD"])];
        commits.extend(["second", "third", "fourth"].map(|message| user.commit(message)));
        user.git(&["tag", "-a", "v1", "-m", "annotated", &commits[0]]);
        user.git(&["tag", "v2", &commits[1]]);
        user.git(&["branch", "feature", &commits[2]]);
        let place = Place::on(&fake, drive);
        for (at, commit) in (0..).zip(&commits) {
            publish_as(&place, commit, at).await;
        }
        Self { fake, drive, user, commits }
    }

    /// Runs the program in the repository.
    fn say(&self, spelled: &Spelled, words: &[&str]) -> Said {
        let mut command = self.user.program(words);
        command.args(&spelled.words).args(["--project", "demo"]).envs(spelled.set.iter().cloned());
        command.current_dir(self.user.repo());
        tokio::task::block_in_place(|| command.output().unwrap()).into()
    }

    /// Which of the commits a prune would take.
    fn would_go(&self, spelled: &Spelled, keep: &[&str]) -> Vec<usize> {
        let said = self.say(spelled, &[&["prune", "--dry-run"][..], keep].concat()).exits(0);
        let gone: Vec<&str> = said.text.lines().filter(|line| line.starts_with("would remove")).collect();
        (0..self.commits.len()).filter(|at| gone.iter().any(|line| line.contains(&self.commits[*at]))).collect()
    }
}

/// The storage as somebody writes it, and the variables that lead there.
struct Spelled {
    words: Vec<String>,
    set: Vec<(String, String)>,
}

/// `--storage box`, `--box`, and a remote by a name of one's own.
fn spellings(fake: &Fake, drive: Drive) -> [Spelled; 3] {
    let (prefix, long) = (drive.prefix(), Place::on(fake, drive));
    let named = vec![
        ("SOOPERVISOR_TEAM_BOX_TYPE".to_owned(), prefix.to_owned()),
        ("SOOPERVISOR_TEAM_BOX_BASE_URL".to_owned(), fake.base(drive)),
        ("SOOPERVISOR_TEAM_BOX_ACCESS_TOKEN".to_owned(), fake.tokens(drive).access),
    ];
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    [
        Spelled { words: words(&["--storage", prefix]), set: long.set.clone() },
        Spelled { words: words(&[&*format!("--{prefix}")]), set: long.set },
        Spelled { words: words(&["--storage", "team-box"]), set: named },
    ]
}

async fn every_verb_finds_it(drive: Drive) {
    let scene = Scene::new(drive).await;
    for (at, spelled) in spellings(&scene.fake, drive).iter().enumerate() {
        // One drive is enough for the spellings: each verb is a process of its own.
        if drive != Drive::Box && at != 1 {
            continue;
        }
        let short = &scene.commits[0][..9];
        for (wanted, is) in [("v1", 0), ("v2", 1), ("feature", 2), (short, 0), ("latest", 3), ("main", 3)] {
            scene.say(spelled, &["verify", wanted]).exits(0).says("as the manifest says").says(&scene.commits[is]);
        }
        let to = format!("../got-{at}");
        scene.say(spelled, &["download", "v1", "a.csv", "--to", &to]).exits(0);
        let got = scene.user.repo().join(&to).join("a.csv");
        assert_eq!(std::fs::read_to_string(got).unwrap(), format!("a.csv of {}", scene.commits[0]), "{drive:?}");
        assert_eq!(scene.would_go(spelled, &["--keep-last", "1"]), [0, 1, 2], "{drive:?}");
        assert_eq!(scene.would_go(spelled, &["--keep-last", "1", "--keep-tags"]), [2], "{drive:?}");
        assert_eq!(scene.would_go(spelled, &["--keep-last", "1", "--keep-heads"]), [0, 1], "{drive:?}");
        assert_eq!(scene.would_go(spelled, &["--keep-last", "1", "--keep-heads", "--keep-tags"]), [0; 0], "{drive:?}");
        let unknown = scene.say(spelled, &["verify", "v9"]).exits(7);
        assert!(unknown.text.contains("`v9`"), "{}", unknown.text);
    }
    let [long, ..] = &spellings(&scene.fake, drive);
    scene.say(long, &["prune", "--yes", "--keep-last", "1", "--keep-tags"]).exits(0).says("removed");
    // What is in a trash does not count.
    let names: Vec<String> = scene.fake.files(scene.drive).into_keys().collect();
    let left = |at: usize| names.iter().any(|name| name.contains(&scene.commits[at]));
    assert_eq!([0, 1, 2, 3].map(left), [true, true, false, true], "{drive:?}: {names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn box_is_found_by_every_verb_however_it_is_spelled() {
    every_verb_finds_it(Drive::Box).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropbox_is_found_by_every_verb_however_it_is_spelled() {
    every_verb_finds_it(Drive::Dropbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn onedrive_is_found_by_every_verb_however_it_is_spelled() {
    every_verb_finds_it(Drive::OneDrive).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn google_drive_is_found_by_every_verb_however_it_is_spelled() {
    every_verb_finds_it(Drive::GDrive).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_which_a_publish_broke_off_is_told_with_what_to_type() {
    let scene = Scene::new(Drive::Box).await;
    let half = fixture_run::SHA;
    scene.fake.put(Drive::Box, &format!("demo/{half}/a.csv"), b"half").await;
    let [long, ..] = &spellings(&scene.fake, Drive::Box);
    for words in [&["verify", &half[..8]][..], &["download", half, "--to", "../half"]] {
        let said = scene.say(long, words).exits(7);
        assert!(
            said.text.contains("incomplete") && said.text.contains(&format!("git checkout {half}")),
            "{}",
            said.text
        );
    }
    assert!(!scene.user.repo().join("../half/a.csv").exists(), "nothing of it is taken for a result");
}
