//! What stays of a project's folders, by each of the options that say so.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use soopervisor::plan::OnConflict;
use soopervisor::storage::Storage as _;
use soopervisor::storage::local::Local;

use crate::fixture_run::Run;
use crate::pty::Pty;
use crate::{Place, code, stderr, stdout};

/// How many days ago each commit's run ended, on which branch, and how many bytes it left; the oldest first.
const COMMITS: [(i64, &str, usize); 4] =
    [(40, "main", 1_000), (20, "feature", 10_000), (5, "feature", 100_000), (0, "main", 100)];

fn sha(at: usize) -> String {
    format!("{}", at + 1).repeat(40)
}

/// A place with all of them published to a folder.
struct Scene {
    place: Place,
    folder: PathBuf,
}

impl Scene {
    async fn new() -> Self {
        let place = Place::new();
        let folder = place.path().join("results");
        std::fs::create_dir(&folder).unwrap();
        for (at, (days, branch, size)) in COMMITS.into_iter().enumerate() {
            let run = Run::new();
            run.product("a.bin", vec![7; size]);
            let mut publication = run.publication(&format!("run-{at}"), OnConflict::Fail);
            publication.about.revision = sha(at).parse().unwrap();
            publication.about.commit = sha(at).parse().unwrap();
            publication.about.branch = Some(branch.to_owned());
            publication.about.ended = Timestamp::now() - SignedDuration::from_hours(24 * days);
            Local::new(folder.clone()).durable(false).publish(publication, Arc::new(())).await.unwrap();
        }
        Self { place, folder }
    }

    fn prune(&self, words: &[&str]) -> std::process::Output {
        let storage = format!("local:{}", self.folder.display());
        self.place.run(&[&["prune", "--project", "demo", "--storage", &storage][..], words].concat())
    }

    /// Which of the commits would go.
    fn would_go(&self, keep: &[&str]) -> Vec<usize> {
        let said = self.prune(&[&["--dry-run"][..], keep].concat());
        assert_eq!(code(&said), 0, "{keep:?}: {}", stderr(&said));
        let text = stdout(&said);
        let gone: Vec<&str> = text.lines().filter(|line| line.starts_with("would remove")).collect();
        (0..COMMITS.len()).filter(|at| gone.iter().any(|line| line.contains(&sha(*at)))).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_young_small_or_of_a_branch_stays_as_the_options_say() {
    let scene = Scene::new().await;
    for (keep, gone) in [
        (&["--keep-for", "30d"][..], &[0_usize][..]),
        (&["--keep-days", "30"], &[0]),
        (&["--keep-days", "10"], &[0, 1]),
        (&["--keep-for", "1h"], &[0, 1, 2]),
        (&["--keep-size", "105KB"], &[0, 1]),
        (&["--keep-size", "1GB"], &[]),
        (&["--keep-size", "1KB"], &[0, 1, 2]),
        (&["--keep-last", "1", "--keep-branch", "feature"], &[0, 1]),
        (&["--keep-last", "1", "--keep-branch", "feature", "--keep-branch", "main"], &[0, 1]),
        (&["--keep-last", "1", "--keep-branch", "other"], &[0, 1, 2]),
        // What one of them keeps stays.
        (&["--keep-size", "1KB", "--keep-days", "30"], &[0]),
    ] {
        assert_eq!(scene.would_go(keep), gone, "{keep:?}");
    }
    for (wrong, told) in [
        (&["--keep-days", "30d"][..], "`30`"),
        (&["--keep-days", "0"], "`30`"),
        (&["--keep-days", "999999999999"], "`30`"),
        (&["--keep-days", "3", "--keep-for", "3d"], "--keep-for"),
        (&["--keep-branch", "feature"], "--keep-last"),
    ] {
        let refused = scene.prune(&[&["--dry-run"][..], wrong].concat());
        assert!(code(&refused) == 2 && stderr(&refused).contains(told), "{wrong:?}: {}", stderr(&refused));
    }
    // With `-q` nothing is said of what went well.
    for words in [&["--dry-run", "--keep-days", "10", "-q"][..], &["--yes", "--keep-days", "10", "-q"]] {
        let removed = scene.prune(words);
        assert_eq!((code(&removed), stdout(&removed).as_str(), stderr(&removed).as_str()), (0, "", ""), "{words:?}");
    }
    let left: Vec<bool> = (0..COMMITS.len()).map(|at| scene.folder.join("demo").join(sha(at)).exists()).collect();
    assert_eq!(left, [false, false, true, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_with_files_of_others_stays_unless_that_is_wanted() {
    let scene = Scene::new().await;
    let own = scene.folder.join("demo").join(sha(1)).join("users-own.txt");
    std::fs::write(&own, "mine").unwrap();
    std::fs::write(scene.folder.join("demo").join(sha(0)).join(".DS_Store"), "of a program").unwrap();
    assert_eq!(scene.would_go(&["--keep-last", "1"]), [0, 2]);
    let said = stdout(&scene.prune(&["--yes", "--keep-last", "1", "--json"]));
    let told: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(told["foreign"], serde_json::json!([{"folder": sha(1), "files": 1}]));
    assert!(own.is_file());
    let said = scene.prune(&["--yes", "--keep-last", "1"]);
    assert!(stdout(&said).contains("holds 1 file that its manifest does not name"), "{}", stdout(&said));
    assert_eq!(scene.would_go(&["--keep-last", "1", "--with-foreign"]), [1]);
    assert_eq!(code(&scene.prune(&["--yes", "--keep-last", "1", "--with-foreign"])), 0);
    assert!(!own.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_it_is_asked_for_and_nothing_but_yes_removes() {
    let scene = Scene::new().await;
    let keep = ["--keep-last", "1", "--keep-branch", "other"];
    let storage = format!("local:{}", scene.folder.display());
    let words = [&["prune", "--project", "demo", "--storage", &storage][..], &keep].concat();
    for (answer, removes) in [("\r", false), ("n\r", false), ("yes\r", true)] {
        assert_eq!(scene.would_go(&keep), [0, 1, 2]);
        let mut terminal = Pty::start(&mut scene.place.on_terminal(&words), 200, 24);
        terminal.wait_for("remove them? [y/N] ");
        terminal.press(answer.as_bytes());
        let seen = terminal.end();
        seen.leaves_a_clean_terminal_and_exits(0);
        let last = seen.screen.last();
        assert_eq!(last.ends_with("kept: nobody said yes"), !removes, "{answer:?}: {last}");
    }
    assert_eq!(scene.would_go(&keep), [] as [usize; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_into_a_folder_while_it_is_asked_for_keeps_it() {
    let scene = Scene::new().await;
    let storage = format!("local:{}", scene.folder.display());
    let words = ["prune", "--project", "demo", "--storage", &storage, "--keep-last", "1"];
    assert_eq!(scene.would_go(&["--keep-last", "1"]), [0, 1, 2]);
    let mut terminal = Pty::start(&mut scene.place.on_terminal(&words), 200, 24);
    terminal.wait_for("remove them? [y/N] ");
    let own = scene.folder.join("demo").join(sha(1)).join("my notes.txt");
    std::fs::write(&own, "mine").unwrap();
    terminal.press(b"yes\r");
    terminal.end().leaves_a_clean_terminal_and_exits(0);
    assert!(own.is_file());
    assert_eq!(scene.would_go(&["--keep-last", "1", "--with-foreign"]), [1], "the others are gone");
}
