//! Making room in a store that an engine of the tests filled: what goes, what stays, and what is promised.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use soopervisor::environment::{Keep, Prepared, Room};

use crate::engines::{Builder, Play};
use crate::store::{Fixture, entries};

async fn build(fixture: &Fixture, packages: &[&str]) -> Prepared {
    // Without limits: what they would remove is removed beside the test.
    let store = fixture.store().keeping(Keep { bytes: u64::MAX, unused: Duration::MAX });
    let inputs = fixture.inputs(packages, &["ploomber"]);
    fixture.ensure_in(&store, &inputs, &Builder::new(Play::Install)).await.unwrap()
}

/// As if nobody had used it for so many days.
fn age(fixture: &Fixture, prepared: &Prepared, days: u64) {
    let key = fixture.config.root.join("keys").join(format!("{}.json", prepared.key));
    let then = SystemTime::now() - Duration::from_hours(24 * days);
    fs::File::options().append(true).open(key).unwrap().set_modified(then).unwrap();
}

/// A wheel in uv's cache, with links from these prefixes.
fn wheel(fixture: &Fixture, id: &str, kib: usize, prefixes: &[&Prepared]) {
    let cache = fixture.config.root.join("bench/shared/uv");
    let folder = cache.join("archive-v0").join(id);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("big"), vec![1; kib << 10]).unwrap();
    for prefix in prefixes {
        fs::hard_link(folder.join("big"), prefix.host_prefix.join(id)).unwrap();
    }
    let index = cache.join("wheels-v7/pypi").join(id);
    fs::create_dir_all(&index).unwrap();
    std::os::unix::fs::symlink(format!("../../../archive-v0/{id}"), index.join("1-py3-none-any")).unwrap();
    fs::write(index.join("1-py3-none-any.http"), "").unwrap();
}

fn blocks(path: &Path) -> u64 {
    let output = Command::new("du").args(["-s", "--block-size=1"]).arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_promised_is_what_becomes_free() {
    let fixture = Fixture::new();
    let old = build(&fixture, &["python"]).await;
    let new = build(&fixture, &["python", "activates"]).await;
    wheel(&fixture, "both", 900, &[&old, &new]);
    wheel(&fixture, "oldonly", 700, &[&old]);
    wheel(&fixture, "nobody", 500, &[]);
    age(&fixture, &old, 40);
    let (old_prefix, new_prefix) = (old.host_prefix.clone(), new.host_prefix.clone());
    drop((old, new));
    let store = fixture.store();
    let listing = store.list().unwrap();
    let du = blocks(&fixture.config.root);
    assert!(listing.total_bytes.abs_diff(du) <= 128 << 10, "{} is not {du}", listing.total_bytes);
    assert_eq!(listing.environments.len(), 2);
    assert!(listing.environments[1].bytes > 1600 << 10 && listing.environments[1].own_bytes < 200 << 10);

    let wish = Room { older_than: Some(Duration::from_hours(24 * 30)), ..Room::default() };
    let promised = store.prune(Room { dry_run: true, ..wish }, &[]).unwrap();
    assert!(old_prefix.exists(), "nothing was touched");
    let done = store.prune(wish, &[]).unwrap();
    assert_eq!((promised.freed(), promised.left, promised.caches), (done.freed(), done.left, done.caches));
    assert_eq!(done.environments.len(), 1);
    let free = du - blocks(&fixture.config.root);
    assert!(free.abs_diff(done.freed()) <= 64 << 10, "{free} became free, {} was promised", done.freed());
    assert!(done.freed() > 1200 << 10, "a wheel of its own, and one of nobody's: {}", done.freed());
    assert!(!old_prefix.exists() && new_prefix.join("both").exists());
    let cache = fixture.config.root.join("bench/shared/uv");
    let wheels: Vec<_> = entries(&cache.join("archive-v0"));
    assert!(wheels.len() == 1 && wheels[0].ends_with("both"), "{wheels:?}");
    assert!(entries(&cache.join("wheels-v7/pypi/nobody")).is_empty(), "uv does not look for it");
    assert_eq!(entries(&cache.join("wheels-v7/pypi/both")).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_is_kept_by_the_least_recently_used_and_what_is_in_use_stays() {
    let fixture = Fixture::new();
    let oldest = build(&fixture, &["python"]).await;
    let older = build(&fixture, &["activates"]).await;
    let newest = build(&fixture, &["python", "activates"]).await;
    for (prepared, days, id) in [(&oldest, 9, "one"), (&older, 6, "two"), (&newest, 3, "three")] {
        wheel(&fixture, id, 2048, &[prepared]);
        age(&fixture, prepared, days);
    }
    let (held, kept) = (oldest, newest.host_prefix.clone());
    drop((older, newest));
    let store = fixture.store();
    let total = store.list().unwrap().total_bytes;
    let done = store.prune(Room { keep_bytes: Some(total - (1 << 20)), ..Room::default() }, &[]).unwrap();
    assert_eq!(done.in_use, [held.key.to_string()], "the oldest is in use");
    assert_eq!(done.environments.len(), 1, "one is enough");
    assert!(done.freed() > 2 << 20 && done.left <= total - (1 << 20));
    assert!(held.host_prefix.exists() && kept.exists());

    let shown = [kept.clone()];
    let all = Room { all: true, ..Room::default() };
    let done = store.prune(all, &shown).unwrap();
    assert_eq!((done.environments.len(), done.in_use.len()), (0, 2), "a live container is shown the other one");
    drop(held);
    let done = store.prune(all, &[]).unwrap();
    assert_eq!((done.environments.len(), done.in_use.len()), (2, 0));
    assert!(entries(&fixture.config.root.join("pkgs")).iter().all(|path| !path.is_dir()));
    assert!(fixture.leftovers().is_empty());
    // And it can all be had again.
    build(&fixture, &["python"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_channels_said_goes_for_want_of_room_before_any_environment_does() {
    let fixture = Fixture::new();
    let one = build(&fixture, &["python"]).await;
    let prefix = one.host_prefix.clone();
    drop(one);
    let index = fixture.config.root.join("repodata");
    fs::create_dir_all(&index).unwrap();
    fs::write(index.join("large.json"), vec![1; 4 << 20]).unwrap();
    let store = fixture.store();
    store.prune(Room::default(), &[]).unwrap();
    assert!(index.join("large.json").exists(), "there is room");
    let total = store.list().unwrap().total_bytes;
    let done = store.prune(Room { keep_bytes: Some(total - (1 << 20)), ..Room::default() }, &[]).unwrap();
    assert!(!index.exists() && prefix.exists() && done.environments.is_empty(), "{done:?}");
    assert!(done.cache_bytes >= 4 << 20, "{done:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn caches_stay_while_something_is_built_and_builds_wait_for_no_prune() {
    let fixture = Fixture::new();
    let first = build(&fixture, &["python"]).await;
    drop(first);
    let hanging = Builder::new(Play::Hang);
    let inputs = fixture.inputs(&["activates"], &["ploomber"]);
    let building = fixture.ensure(&inputs, &hanging);
    let pruning = async {
        while hanging.started.load(std::sync::atomic::Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let store = fixture.store();
        tokio::task::spawn_blocking(move || store.prune(Room { all: true, ..Room::default() }, &[])).await.unwrap()
    };
    tokio::select! {
        _ = building => panic!("it hangs"),
        done = pruning => {
            let done = done.unwrap();
            assert!(done.building && done.caches == 0 && done.environments.len() == 1, "{done:?}");
        }
    }
    assert!(!fixture.leftovers().is_empty(), "what is being built is left alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_build_the_limits_are_kept_without_anybody_waiting() {
    let fixture = Fixture::new();
    let old = build(&fixture, &["python"]).await;
    age(&fixture, &old, 1);
    let prefix = old.host_prefix.clone();
    drop(old);
    let inputs = fixture.inputs(&["activates"], &["ploomber"]);
    let keep = Keep { bytes: 1, ..Keep::default() };
    let engine = Builder::new(Play::Install);
    let new = fixture.ensure_in(&fixture.store().keeping(keep), &inputs, &engine).await.unwrap();
    let since = std::time::Instant::now();
    while prefix.exists() {
        assert!(since.elapsed() < Duration::from_secs(20), "the older one goes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(new.host_prefix.exists(), "it is in use");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_was_cut_short_is_finished_by_the_next_one() {
    let fixture = Fixture::new();
    drop(build(&fixture, &["python"]).await);
    let root = &fixture.config.root;
    // Made beside the store and moved into it whole: a build's own clearing-up, which nobody waits for, may take
    // them before we do.
    let beside = tempfile::tempdir_in(root.parent().unwrap()).unwrap();
    for place in ["e/.trash-0123456789abcdef-00000000", "pkgs/.trash-python", "bench/.trash-x"] {
        let half = beside.path().join("half");
        fs::create_dir_all(half.join("inner")).unwrap();
        fs::create_dir_all(root.join(place).parent().unwrap()).unwrap();
        fs::rename(half, root.join(place)).unwrap();
    }
    fixture.store().sweep().unwrap();
    for place in ["e", "pkgs", "bench"] {
        let left = entries(&root.join(place));
        assert!(left.iter().all(|path| !path.to_string_lossy().contains(".trash-")), "{left:?}");
    }
}

/// Started by the next test, as a user who is not root.
#[test]
#[ignore = "the second process of the test below, started by it"]
fn clears_a_tree_of_closed_folders() {
    use std::os::unix::fs::PermissionsExt;
    assert_ne!(rustix::process::geteuid().as_raw(), 0, "root may do anything: this would prove nothing");
    let folder = tempfile::tempdir().unwrap();
    let store = soopervisor::environment::Store::open(folder.path()).unwrap();
    let left = folder.path().join("e/0123456789abcdef-00000000");
    fs::create_dir_all(left.join("a/b")).unwrap();
    fs::write(left.join("a/b/file"), "").unwrap();
    for closed in ["a/b", "a", ""] {
        fs::set_permissions(left.join(closed), fs::Permissions::from_mode(0o500)).unwrap();
    }
    let then = SystemTime::now() - Duration::from_hours(48);
    fs::File::open(&left).unwrap().set_modified(then).unwrap();
    assert_eq!(store.sweep().unwrap().len(), 1);
    assert!(!left.exists());
}

#[test]
fn clearing_up_never_needs_root() {
    let test = ["--ignored", "--exact", "pruning::clears_a_tree_of_closed_folders"];
    let program = std::env::current_exe().unwrap();
    // A user of its own name space: without root's rights, and the owner of what it makes.
    let output = Command::new("unshare").args(["--user", "--map-user=12345", "--"]).arg(program).args(test).output();
    let output = output.expect("this test needs `unshare` of util-linux");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
