//! What is typed: where a path may stand and what is Ploomber's, what is wrong usage, how a signal ends a run.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Place, code, repository, stderr, stdout};

fn git(folder: &Path, words: &[&str]) {
    let named = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"];
    let done = Command::new("git").arg("-C").arg(folder).args(named).args(words).output().unwrap();
    assert!(done.status.success(), "{}", stderr(&done));
}

#[test]
fn what_follows_two_dashes_goes_to_ploomber_with_a_path_and_without_one() {
    let place = Place::new();
    let folder = repository(&place);
    let at = |words: &[&str]| place.command(words).current_dir(&folder).output().unwrap();
    for output in [
        place.run(&["script", "penguins", "--", "--force", "--log", "info"]),
        at(&["script", "--", "--force", "--log", "info"]),
        at(&["script", ".", "--", "--force", "--log", "info"]),
        place.run(&["run", "penguins", "--storage", "local:a", "--dry-run", "--", "--force", "--log", "info"]),
        place.run(&["penguins", "--storage", "local:a", "--dry-run", "--", "--force", "--log", "info"]),
        at(&[".", "--storage", "local:a", "--dry-run", "--", "--force", "--log", "info"]),
    ] {
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert!(stdout(&output).contains(" --force --log info"), "{}", stdout(&output));
    }
    for output in [place.run(&["script", "penguins"]), at(&["script"]), at(&["validate"])] {
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert!(!stdout(&output).contains("--force"), "{}", stdout(&output));
    }
    let refused = place.run(&["validate", "penguins", "--", "--force"]);
    assert_eq!(code(&refused), 2, "{}", stderr(&refused));
}

#[test]
fn a_folder_that_is_not_there_is_wrong_usage_whatever_was_to_be_done_with_it() {
    let place = Place::new();
    repository(&place);
    for words in [
        &["nowhere", "--storage", "local:a"][..],
        &["run", "nowhere", "--storage", "local:a"],
        &["run", "nowhere", "--storage", "local:a", "--dry-run"],
        &["validate", "nowhere"],
        &["script", "nowhere"],
    ] {
        let refused = place.run(words);
        assert_eq!(code(&refused), 2, "{words:?}: {}", stderr(&refused));
        assert!(stderr(&refused).contains("there is no folder `nowhere`"), "{}", stderr(&refused));
    }
    let file = place.run(&["validate", "penguins/pipeline.yaml"]);
    assert_eq!(code(&file), 2);
    assert!(stderr(&file).contains("is a file, not a folder"), "{}", stderr(&file));
}

#[test]
fn a_pattern_that_is_none_or_stands_in_the_place_of_a_commit_is_wrong_usage() {
    let place = Place::new();
    for words in [
        &["download", "../*"][..],
        &["download", "latest", "../*"],
        &["download", "latest", "a[b"],
        &["verify", "*.csv"],
        &["diff", "main", "*.csv"],
        &["diff", "main", "latest", "../x"],
    ] {
        let refused = place.run(&[words, &["--project", "demo", "--storage", "local:./nowhere"]].concat());
        assert_eq!(code(&refused), 2, "{words:?}: {}", stderr(&refused));
    }
}

#[test]
fn a_dry_run_refuses_files_whose_content_in_git_lfs_is_not_here_as_a_run_does() {
    let place = Place::new();
    let folder = repository(&place);
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 12\n", "0a".repeat(32));
    fs_err::write(folder.join("data.bin"), pointer).unwrap();
    fs_err::write(folder.join(".gitattributes"), "*.bin filter=lfs diff=lfs merge=lfs -text\n").unwrap();
    git(&folder, &["add", "."]);
    git(&folder, &["commit", "-q", "-m", "data"]);
    let refused = place.run(&["penguins", "--storage", "local:a", "--dry-run"]);
    assert_eq!(code(&refused), 3, "{}{}", stdout(&refused), stderr(&refused));
    let said = stderr(&refused);
    assert!(said.contains("`data.bin`") && said.contains("`git lfs pull`"), "{said}");
    assert!(!stdout(&refused).contains("publish"), "{}", stdout(&refused));
}

#[test]
fn a_dry_run_without_a_storage_shows_the_plan_and_says_that_one_is_missing() {
    let place = Place::new();
    let folder = repository(&place);
    let planned = place.run(&["penguins", "--dry-run"]);
    assert_eq!(code(&planned), 3, "{}{}", stdout(&planned), stderr(&planned));
    let (plan, said) = (stdout(&planned), stderr(&planned));
    assert!(plan.contains("pipeline  ") && plan.contains(" in a storage that is still to be given, "), "{plan}");
    assert_eq!(said.matches("no storage is given").count(), 1, "{said}");
    let json = place.run(&["penguins", "--dry-run", "--format", "json"]);
    assert!(code(&json) == 3 && stdout(&json).contains("plan/no-storage"), "{}", stdout(&json));
    assert!(stdout(&json).contains("\"storage\":\"\""), "{}", stdout(&json));
    // With another error beside it there is none to show.
    let wrong = place.run(&["penguins", "--dry-run", "--image", "Not::an image"]);
    assert!(code(&wrong) == 3 && stdout(&wrong).is_empty(), "{}", stdout(&wrong));
    assert!(stderr(&wrong).contains("plan/no-storage") && stderr(&wrong).contains("plan/image"), "{}", stderr(&wrong));
    // A run goes nowhere.
    assert_eq!(code(&place.run(&["penguins"])), 3);
    assert!(!folder.join("artifacts").exists() && !place.path().join("artifacts").exists());
}

#[test]
fn a_hangup_ends_a_run_as_other_signals_do() {
    for signal in ["HUP", "TERM"] {
        let place = Place::new();
        repository(&place);
        // A git that takes its time: the run is asked to end in the middle of what it does first.
        let (programs, asked) = (place.path().join("programs"), place.path().join("asked"));
        fs_err::create_dir(&programs).unwrap();
        let slow = format!("#!/bin/bash\ntouch '{}'\nsleep 1\nPATH=${{PATH#*:}} exec git \"$@\"\n", asked.display());
        fs_err::write(programs.join("git"), slow).unwrap();
        fs_err::set_permissions(programs.join("git"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        let mut command = place.command(&["run", "penguins", "--storage", "local:a"]);
        let child = command.env("PATH", path).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let since = Instant::now();
        while !asked.exists() {
            assert!(since.elapsed() < Duration::from_mins(1), "git is not asked");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap().success());
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(130), "{signal}: {}{}", stdout(&ended), stderr(&ended));
    }
}
