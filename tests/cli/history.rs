//! What is told of runs and environments that there are, or are not, and logs that are followed.

use std::process::Stdio;

use crate::{Place, code, stderr, stdout};

#[test]
fn an_empty_home_has_no_runs_and_says_what_to_do() {
    let place = Place::new();
    let runs = place.run(&["runs"]);
    assert_eq!((code(&runs), stdout(&runs).as_str()), (0, ""));
    assert!(stderr(&runs).contains("no runs"));
    let json: serde_json::Value = serde_json::from_str(&stdout(&place.run(&["runs", "--json"]))).unwrap();
    assert_eq!(json, serde_json::json!({"schema": 1, "runs": []}));
    for words in [&["show"][..], &["logs"], &["show", "2026"], &["logs", "latest", "-f"]] {
        let output = place.run(words);
        assert_eq!(code(&output), 2, "{words:?}");
        assert!(stderr(&output).contains("help: "), "{words:?}");
    }
    assert!(!place.path().join("home").exists(), "looking must not make folders");
}

#[test]
fn an_empty_home_has_no_environments_and_nothing_to_prune() {
    let place = Place::new();
    let list = place.run(&["env", "list"]);
    assert_eq!((code(&list), stdout(&list).as_str()), (0, ""));
    assert!(stderr(&list).contains("no environments"));
    let json: serde_json::Value = serde_json::from_str(&stdout(&place.run(&["env", "list", "--json"]))).unwrap();
    let expected = serde_json::json!({
        "schema": 1, "environments": [], "total_bytes": 0, "volume_bytes": 0, "unused_cache_bytes": 0
    });
    assert_eq!(json, expected);
    let prune = place.run(&["env", "prune", "--all"]);
    assert!(code(&prune) == 0 && stdout(&prune).contains("nothing to remove"), "{}", stderr(&prune));
    let quiet = place.run(&["env", "prune", "--all", "-q"]);
    assert_eq!((code(&quiet), stdout(&quiet).as_str(), stderr(&quiet).as_str()), (0, "", ""));
    for words in [&["env"][..], &["env", "why"], &["env", "why", "cafe0123"], &["env", "why", "no folder"]] {
        assert_eq!(code(&place.run(words)), 2, "{words:?}");
    }
    for words in [["--older-than", "soon"], ["--keep-size", "0"], ["--all", "--older-than=1d"]] {
        assert_eq!(code(&place.run(&[&["env", "prune"][..], &words].concat())), 2, "{words:?}");
    }
    let bare = [
        (&["env", "prune", "--older-than", "5"][..], "`5d`"),
        (&["env", "prune", "--keep-size", "20"], "`20GB`"),
        (&["prune", "--keep-for", "30"], "`30d`"),
        (&["prune", "--keep-size", "20"], "`20GB`"),
    ];
    for (words, unit) in bare {
        let refused = place.run(words);
        assert!(code(&refused) == 2 && stderr(&refused).contains(unit), "{words:?}: {}", stderr(&refused));
    }
    assert!(!place.path().join("home").exists(), "looking must not make folders");
}

/// A run's folder, as a process that died left it.
fn dead_run(place: &Place, id: &str, status: &str) {
    let folder = place.path().join("home/state/runs").join(id);
    fs_err::create_dir_all(&folder).unwrap();
    let record = serde_json::json!({
        "schema": 1, "id": id, "project": "penguins", "revision": "4f1c2d9a4f1c2d9a4f1c2d9a4f1c2d9a4f1c2d9a",
        "path": "/home/ann/penguins", "mode": "full", "storage": "local:artifacts", "status": status,
        "started_at": "2026-11-21T09:30:00Z", "version": "0.1.0", "process": {"pid": 1, "boot": "x", "started": 1},
    });
    fs_err::write(folder.join("run.json"), record.to_string()).unwrap();
    fs_err::write(folder.join("log"), "one\ntwo\n").unwrap();
    fs_err::write(folder.join("lock"), "").unwrap();
}

#[test]
fn runs_are_listed_shown_and_their_logs_printed() {
    let place = Place::new();
    dead_run(&place, "20261121-093000-4f1c2d9a-aaaa", "succeeded");
    dead_run(&place, "20261121-093001-4f1c2d9a-bbbb", "running");
    insta::assert_snapshot!("runs", stdout(&place.run(&["runs"])));
    let newest = place.run(&["runs", "-n", "1"]);
    assert_eq!((stdout(&newest).lines().count(), &*stderr(&newest)), (2, "1 older run: soopervisor runs -n 2\n"));
    let show = stdout(&place.run(&["show"]));
    assert!(show.contains("20261121-093001") && show.contains("interrupted"), "{show}");
    let json: serde_json::Value =
        serde_json::from_str(&stdout(&place.run(&["show", "20261121-093000", "--json"]))).unwrap();
    assert_eq!(json["status"], "succeeded");
    assert_eq!(stdout(&place.run(&["logs", "20261121-093000"])), "one\ntwo\n");
    // A dead run is not waited for.
    assert_eq!(stdout(&place.run(&["logs", "-f"])), "one\ntwo\n");
    let both = place.run(&["show", "2026"]);
    assert_eq!(code(&both), 2);
    assert!(stderr(&both).contains("fits 2 runs"), "{}", stderr(&both));
}

#[test]
fn a_live_log_is_followed_until_its_run_ends() {
    use std::io::{Read, Write};
    let place = Place::new();
    dead_run(&place, "20261121-093000-4f1c2d9a-aaaa", "running");
    let folder = place.path().join("home/state/runs/20261121-093000-4f1c2d9a-aaaa");
    let lock = std::fs::File::open(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let mut follower = place.command(&["logs", "-f"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = follower.stdout.take().unwrap();
    let mut seen = [0; 8];
    out.read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"one\ntwo\n");
    assert!(follower.try_wait().unwrap().is_none(), "it must wait for more");
    let mut log = fs_err::OpenOptions::new().append(true).open(folder.join("log")).unwrap();
    log.write_all(b"three\n").unwrap();
    drop(lock);
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "three\n");
    assert!(follower.wait().unwrap().success());
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let place = Place::new();
    dead_run(&place, "20261121-093000-4f1c2d9a-aaaa", "succeeded");
    let log = place.path().join("home/state/runs/20261121-093000-4f1c2d9a-aaaa/log");
    fs_err::write(log, "x\n".repeat(1 << 20)).unwrap();
    for words in [&["logs"][..], &["man"], &["completions", "bash"]] {
        let mut child = place.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((code(&output), stderr(&output).as_str()), (0, ""), "{words:?}");
    }
}
