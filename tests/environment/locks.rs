//! Locks that are kept: an environment comes back as it was, is solved anew on demand, and says what changed.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use soopervisor::environment::{Lock, Prepared, Wish};

use crate::channel::{self, Package};
use crate::engines::{Builder, Play, Untouchable};
use crate::store::{Fixture, entries};

impl Fixture {
    fn channel(&self) -> PathBuf {
        self.folder.path().join("channel")
    }

    /// The channel's packages, with these versions of pip.
    fn publish_pip(&self, versions: &[&str]) {
        let _ = fs::remove_dir_all(self.channel());
        let python = [("bin/python", "#!/bin/sh\n")];
        let pip = [("bin/pip", "#!/bin/sh\n")];
        let mut packages =
            vec![Package { name: "python", version: "3.11.7", depends: &["__glibc >=2.17"], files: &python }];
        packages.extend(versions.iter().map(|version| Package {
            name: "pip",
            version,
            depends: &["python"],
            files: &pip,
        }));
        channel::write(&self.channel(), &packages);
    }

    /// Nobody uses anything any more: prefixes and keys go, locks and packages stay.
    fn collect(&self) {
        assert!(!self.store().retire(Duration::ZERO).unwrap().is_empty());
        assert!(entries(&self.config.root.join("e")).is_empty());
    }

    fn forget_packages(&self) {
        for name in ["pkgs", "repodata"] {
            fs::remove_dir_all(self.config.root.join(name)).unwrap();
        }
    }
}

fn pip(prepared: &Prepared) -> String {
    let rows = prepared.lock["conda"].as_array().unwrap();
    rows.iter().find(|row| row["name"] == "pip").unwrap()["version"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collected_environment_is_built_again_from_its_lock_without_a_solve_or_a_channel() {
    let fixture = Fixture::new();
    fixture.publish_pip(&["24.0"]);
    let inputs = fixture.inputs(&["python"], &["ploomber"]);
    let built = fixture.ensure(&inputs, &Builder::new(Play::Install)).await.unwrap();
    let (key, lock, prefix) = (built.key, built.lock.clone(), built.host_prefix.clone());
    drop(built);
    fixture.collect();
    fs::remove_dir_all(fixture.channel()).unwrap();
    fs::remove_dir_all(fixture.config.root.join("repodata")).unwrap();
    let engine = Builder::new(Play::Install);
    let (again, told) = fixture.wish(&inputs, &engine, Wish::AsKept).await;
    let again = again.unwrap();
    assert!(!again.reused && again.host_prefix != prefix && again.host_prefix.join("bin/pip").is_file());
    assert_eq!((again.key, &again.lock, &again.changes[..]), (key, &lock, &[][..]));
    assert!(told.contains("nothing is solved") && !told.contains("asking the channels"), "{told}");
    let script = engine.scripts.lock().unwrap()[0].clone();
    assert!(script.contains("--offline") && !script.contains("pip compile"), "{script}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_file_that_was_lost_is_replaced_from_the_lock() {
    let fixture = Fixture::new();
    fixture.publish_pip(&["24.0"]);
    let inputs = fixture.inputs(&["python"], &["ploomber"]);
    let built = fixture.ensure(&inputs, &Builder::new(Play::Install)).await.unwrap();
    fs::remove_dir_all(fixture.config.root.join("keys")).unwrap();
    // A newer one is there by now; the environment stays what it was.
    fixture.publish_pip(&["24.0", "25.1"]);
    let again = fixture.ensure(&inputs, &Builder::new(Play::Install)).await.unwrap();
    assert_eq!((pip(&again).as_str(), &again.lock), ("24.0", &built.lock));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_nobody_can_fulfil_is_solved_anew_and_every_change_is_told() {
    let fixture = Fixture::new();
    fixture.publish_pip(&["24.0"]);
    let inputs = fixture.inputs(&["python"], &["ploomber"]);
    drop(fixture.ensure(&inputs, &Builder::new(Play::Install)).await.unwrap());
    fixture.collect();
    fixture.publish_pip(&["25.1"]);
    fixture.forget_packages();
    let (again, told) = fixture.wish(&inputs, &Builder::new(Play::Install), Wish::AsKept).await;
    let again = again.unwrap();
    assert_eq!(again.changes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["pip 24.0 → 25.1"]);
    assert!(told.contains("solved anew") && told.contains("pip-24.0"), "{told}");
    drop(again);
    fixture.collect();
    let (third, _) = fixture.wish(&inputs, &Builder::new(Play::Install), Wish::AsKept).await;
    assert!(third.unwrap().changes.is_empty(), "the new lock is the one that is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_lock_is_passed_over() {
    let fixture = Fixture::new();
    let inputs = fixture.inputs(&["python"], &["ploomber"]);
    drop(fixture.ensure(&inputs, &Builder::new(Play::Install)).await.unwrap());
    fixture.collect();
    for file in entries(&fixture.config.root.join("solved")) {
        fs::write(file, "{\"schema\": 1, \"conda\": [").unwrap();
    }
    let (again, told) = fixture.wish(&inputs, &Builder::new(Play::Install), Wish::AsKept).await;
    assert!(again.is_ok() && told.contains("asking the channels"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_solves_anew_for_later_runs_and_leaves_the_old_prefix_to_those_that_use_it() {
    let fixture = Fixture::new();
    fixture.publish_pip(&["24.0"]);
    let inputs = fixture.inputs(&["python"], &["ploomber"]);
    let old = fixture.ensure(&inputs, &Builder::new(Play::Install)).await.unwrap();
    fixture.publish_pip(&["24.0", "25.1"]);
    assert!(fixture.ensure(&inputs, &Untouchable).await.unwrap().reused, "nothing is solved unasked");
    let (fresh, _) = fixture.wish(&inputs, &Builder::new(Play::Install), Wish::Anew).await;
    let fresh = fresh.unwrap();
    assert!(!fresh.reused && fresh.key == old.key && fresh.host_prefix != old.host_prefix);
    assert_eq!(fresh.changes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["pip 24.0 → 25.1"]);
    assert!(old.host_prefix.join("bin/python").is_file(), "a run may be using it");
    let later = fixture.ensure(&inputs, &Untouchable).await.unwrap();
    assert_eq!((later.host_prefix, pip(&fresh).as_str()), (fresh.host_prefix.clone(), "25.1"));
    let (same, _) = fixture.wish(&inputs, &Builder::new(Play::Install), Wish::Anew).await;
    assert!(same.unwrap().changes.is_empty(), "solved anew to the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_packages_of_a_lock_are_built_or_none() {
    let fixture = Fixture::new();
    fixture.publish_pip(&["24.0"]);
    let inputs = fixture.inputs(&["python"], &["ploomber"]);
    let old = fixture.ensure(&inputs, &Builder::new(Play::Install)).await.unwrap();
    let lock = Lock::parse(&old.lock).unwrap();
    fixture.publish_pip(&["24.0", "25.1"]);
    let (new, _) = fixture.wish(&inputs, &Builder::new(Play::Install), Wish::Anew).await;
    let new = new.unwrap();
    fixture.forget_packages();
    // Repodata is not needed: a package that a channel hides can still be fetched.
    fs::remove_file(fixture.channel().join("linux-64/repodata.json")).unwrap();
    let (frozen, told) = fixture.wish(&inputs, &Builder::new(Play::Install), Wish::Exactly(&lock)).await;
    let frozen = frozen.unwrap();
    assert_eq!((pip(&frozen).as_str(), &frozen.lock), ("24.0", &old.lock), "{told}");
    assert!(frozen.key != new.key && !frozen.reused && frozen.changes.is_empty());
    let (again, _) = fixture.wish(&inputs, &Untouchable, Wish::Exactly(&lock)).await;
    assert!(again.unwrap().reused);
    let usual = fixture.ensure(&inputs, &Untouchable).await.unwrap();
    assert_eq!(pip(&usual), "25.1", "other runs keep what they had");
    let current = Lock::parse(&new.lock).unwrap();
    let (current, _) = fixture.wish(&inputs, &Untouchable, Wish::Exactly(&current)).await;
    assert_eq!(current.unwrap().host_prefix, new.host_prefix, "the environment that is there has these packages");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_whose_packages_are_gone_or_are_others_builds_nothing() {
    let fixture = Fixture::new();
    fixture.publish_pip(&["24.0"]);
    let inputs = fixture.inputs(&["python"], &["ploomber"]);
    let old = fixture.ensure(&inputs, &Builder::new(Play::Install)).await.unwrap();
    let gone = Lock::parse(&old.lock).unwrap();
    let mut document = old.lock.clone();
    document["conda"][0]["sha256"] = serde_json::json!("0".repeat(64));
    let forged = Lock::parse(&document).unwrap();
    fixture.forget_packages();
    let (result, _) = fixture.wish(&inputs, &Untouchable, Wish::Exactly(&forged)).await;
    let error = result.unwrap_err();
    assert!(error.to_string().contains("pip-24.0") && !error.is_user_fault(), "{error}");
    let (result, _) = fixture.wish(&inputs, &Untouchable, Wish::Exactly(&gone)).await;
    assert!(result.unwrap().reused, "the environment that is there has these packages");
    drop(old);
    fixture.collect();
    fixture.publish_pip(&["25.1"]);
    let (result, _) = fixture.wish(&inputs, &Untouchable, Wish::Exactly(&gone)).await;
    let error = result.unwrap_err().to_string();
    assert!(error.contains("the lock cannot be fulfilled") && error.contains("pip-24.0"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_refreshes_at_once_solve_and_build_once() {
    let fixture = Fixture::new();
    fixture.publish_pip(&["24.0"]);
    let inputs = fixture.inputs(&["python"], &["ploomber"]);
    let old = fixture.ensure(&inputs, &Builder::new(Play::Install)).await.unwrap();
    fixture.publish_pip(&["24.0", "25.1"]);
    let engine = Builder::new(Play::Install);
    let wish = || fixture.wish(&inputs, &engine, Wish::Anew);
    let ((a, _), (b, _)) = tokio::join!(wish(), wish());
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!(a.host_prefix, b.host_prefix);
    assert!(a.host_prefix != old.host_prefix && a.reused != b.reused);
    assert_eq!(engine.started.load(Ordering::SeqCst), 1);
    for one in [&a, &b] {
        assert_eq!(one.changes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["pip 24.0 → 25.1"], "both say it");
    }
    let (later, _) = fixture.wish(&inputs, &Builder::new(Play::Install), Wish::Anew).await;
    assert!(!later.unwrap().reused, "what was solved before the wish does not fulfil it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_knows_nothing_takes_the_lock_of_an_earlier_commit_before_it_solves() {
    let fixture = Fixture::new();
    fixture.publish_pip(&["24.0"]);
    let inputs = fixture.inputs(&["python"], &["ploomber"]);
    let old = fixture.ensure(&inputs, &Builder::new(Play::Install)).await.unwrap().lock;
    let lock = Lock::parse(&old).unwrap();
    let fresh = || {
        fs::remove_dir_all(&fixture.config.root).unwrap();
        assert!(!fixture.store().knows(&inputs, &fixture.config));
    };
    fixture.publish_pip(&["24.0", "25.1"]);
    fresh();
    let (built, told) = fixture.wish(&inputs, &Builder::new(Play::Install), Wish::Rather(&lock)).await;
    let built = built.unwrap();
    assert_eq!((built.lock, built.changes.len(), built.key), (old.clone(), 0, inputs.key(&fixture.config)), "{told}");
    assert!(told.contains("nothing is solved") && fixture.store().knows(&inputs, &fixture.config), "{told}");
    let (again, _) = fixture.wish(&inputs, &Untouchable, Wish::Rather(&lock)).await;
    assert!(again.unwrap().reused);

    // Where its packages are gone, what is solved instead is told.
    fresh();
    fixture.publish_pip(&["25.1"]);
    let (built, told) = fixture.wish(&inputs, &Builder::new(Play::Install), Wish::Rather(&lock)).await;
    let changes = built.unwrap().changes;
    assert_eq!(changes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["pip 24.0 → 25.1"], "{told}");
    assert!(told.contains("solved anew"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_out_of_a_storage_that_does_not_fit_environment_yml_is_not_taken() {
    let fixture = Fixture::new();
    fixture.publish_pip(&["24.0"]);
    let other = fixture.inputs(&["python"], &["ploomber"]);
    let lock = Lock::parse(&fixture.ensure(&other, &Builder::new(Play::Install)).await.unwrap().lock).unwrap();
    for inputs in
        [fixture.inputs(&["python", "pip>=24.1"], &["ploomber"]), fixture.inputs(&["python"], &["ploomber", "six"])]
    {
        fixture.publish_pip(&["24.0", "25.1"]);
        let (built, told) = fixture.wish(&inputs, &Builder::new(Play::Install), Wish::Rather(&lock)).await;
        assert!(told.contains("the lock cannot be fulfilled") && told.contains("asking the channels"), "{told}");
        assert_eq!(pip(&built.unwrap()), "25.1");
    }
}
