//! Snapshots that are kept for later runs, and the repository of one commit that some snapshots get.

use std::sync::Barrier;
use std::time::{Duration, SystemTime};

use soopervisor::repo::{Limits, Snapshots};

use super::*;

/// More files than are exported as fast as they are copied.
fn large() -> Fixture {
    let fixture = Fixture::empty();
    for n in 0..520 {
        fixture.write(format!("d{}/e{}/f{n}", n % 3, n % 7), format!("{n}\n"));
    }
    fixture.write("run.sh", "#!/bin/sh\n");
    std::fs::set_permissions(fixture.path("run.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    symlink("d0/nowhere", fixture.path("link")).unwrap();
    fixture.commit();
    fixture
}

fn open_dir(path: &Path) -> Dir {
    std::fs::create_dir_all(path).unwrap();
    Dir::open_ambient_dir(path, cap_std::ambient_authority()).unwrap()
}

/// Names in the folder of snapshots, locks left out.
fn names(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| name.strip_suffix(".lock").is_none()).collect()
}

#[track_caller]
fn eventually(what: &str, check: impl Fn() -> bool) {
    let since = std::time::Instant::now();
    while !check() {
        assert!(since.elapsed() < Duration::from_mins(1), "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_large_commit_is_exported_once_and_each_copy_is_a_runs_own() {
    let fixture = large();
    let snapshots = Snapshots::at(fixture.beside("snapshots"));
    let checkout = fixture.open().unwrap();
    let first = checkout.kept(&snapshots, None).unwrap().unwrap();
    let files = first.files();
    let (one, two) = (fixture.beside("one"), fixture.beside("two"));
    let written = checkout.export(&open_dir(&one), None).unwrap();
    let copied = checkout.lay_out(Some(first), &snapshots, &open_dir(&two), None).unwrap();
    assert_eq!(contents(&one), contents(&two));
    assert_eq!((copied.exported, copied.entries), (written.exported, written.entries));
    assert_eq!((copied.exported.files, copied.exported.links), (521, 1));
    for name in ["run.sh", "link", "d1/e1/f1"] {
        let (kept, own) = (files.join(name).symlink_metadata().unwrap(), two.join(name).symlink_metadata().unwrap());
        assert_ne!(kept.ino(), own.ino(), "never a hard link");
        let time = i128::from(own.mtime()) * 1_000_000_000 + i128::from(own.mtime_nsec());
        assert_eq!(time, copied.mtime_ns, "{name}");
    }
    std::fs::write(two.join("d1/e1/f1"), "changed by a pipeline").unwrap();
    let again = fixture.open().unwrap().kept(&snapshots, None).unwrap().unwrap();
    assert_eq!(again.files(), files);
    assert_eq!(std::fs::read_to_string(files.join("d1/e1/f1")).unwrap(), "1\n");
    assert_eq!(names(&fixture.beside("snapshots")).len(), 1);
}

#[test]
fn another_commit_or_owner_is_another_snapshot_and_a_small_commit_is_none() {
    let fixture = large();
    let snapshots = Snapshots::at(fixture.beside("snapshots"));
    let of = |owner| fixture.open().unwrap().kept(&snapshots, owner).unwrap().unwrap().files();
    let me = std::fs::metadata(&fixture.root).map(|meta| (meta.uid(), meta.gid())).unwrap();
    let (first, owned) = (of(None), of(Some(me)));
    std::fs::set_permissions(fixture.path("d0/e0/f0"), std::fs::Permissions::from_mode(0o755)).unwrap();
    fixture.commit();
    let second = of(None);
    assert!(first != owned && first != second && owned != second);
    let small = Fixture::with(&[("a", "a")]);
    assert!(small.open().unwrap().kept(&snapshots, None).unwrap().is_none());
    let tiny = snapshots.with(Limits { bytes: 100, ..Limits::default() });
    assert!(fixture.open().unwrap().kept(&tiny, None).unwrap().is_none(), "it would push out everything else");
}

#[test]
fn two_at_once_end_with_one_snapshot_and_both_can_use_it() {
    let fixture = large();
    let snapshots = Snapshots::at(fixture.beside("snapshots"));
    let barrier = Barrier::new(4);
    let checkouts: Vec<Checkout> = (0..4).map(|_| fixture.open().unwrap()).collect();
    let targets: Vec<PathBuf> = std::thread::scope(|scope| {
        let running = checkouts.iter().enumerate().map(|(n, checkout)| {
            let (snapshots, barrier, to) = (&snapshots, &barrier, fixture.beside(&format!("run-{n}")));
            scope.spawn(move || {
                barrier.wait();
                let kept = checkout.kept(snapshots, None).unwrap();
                checkout.lay_out(kept, snapshots, &open_dir(&to), None).unwrap();
                to
            })
        });
        running.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(targets.iter().all(|target| contents(target) == contents(&targets[0])));
    assert_eq!(names(&fixture.beside("snapshots")).len(), 1);
}

#[test]
fn what_died_while_it_was_written_or_is_too_old_goes_and_what_is_used_stays() {
    let fixture = large();
    let root = fixture.beside("snapshots");
    let snapshots = Snapshots::at(root.clone());
    let used = fixture.open().unwrap().kept(&snapshots, None).unwrap().unwrap();
    fixture.write("second", "2");
    fixture.commit();
    let second = fixture.open().unwrap().kept(&snapshots, None).unwrap().unwrap().files();
    std::fs::create_dir_all(root.join(".new-dead/files")).unwrap();
    std::fs::create_dir_all(root.join(".new-alive/files")).unwrap();
    let long_ago = SystemTime::now() - Duration::from_hours(11 * 24);
    let age = |path: &Path| std::fs::File::open(path).unwrap().set_modified(long_ago).unwrap();
    age(&root.join(".new-dead"));
    age(&used.files().with_file_name("listing"));
    age(&second.with_file_name("listing"));
    fixture.write("third", "3");
    fixture.commit();
    let third = fixture.open().unwrap().kept(&snapshots, None).unwrap().unwrap().files();
    eventually("the unused one and the dead one go", || !second.exists() && !root.join(".new-dead").exists());
    assert!(used.files().exists() && third.exists() && root.join(".new-alive").exists());
    fixture.write("fourth", "4");
    fixture.commit();
    drop(used);
    let small = snapshots.with(Limits { bytes: 5000, ..Limits::default() });
    let fourth = fixture.open().unwrap().kept(&small, None).unwrap().unwrap().files();
    fixture.write("fifth", "5");
    fixture.commit();
    let fifth = fixture.open().unwrap().kept(&small, None).unwrap().unwrap().files();
    eventually("the oldest go where all together are too much", || !third.exists());
    assert!(fourth.exists() && fifth.exists());
}

#[test]
fn a_snapshot_that_was_damaged_is_told_and_made_anew() {
    let fixture = large();
    let snapshots = Snapshots::at(fixture.beside("snapshots"));
    let checkout = fixture.open().unwrap();
    let kept = checkout.kept(&snapshots, None).unwrap().unwrap();
    std::fs::write(kept.files().join("d1/e1/f1"), "longer than it was").unwrap();
    let error = checkout.lay_out(Some(kept), &snapshots, &open_dir(&fixture.beside("one")), None).unwrap_err();
    assert!(error.to_string().contains("d1/e1/f1"), "{error}");
    let two = fixture.beside("two");
    let kept = checkout.kept(&snapshots, None).unwrap();
    checkout.lay_out(kept, &snapshots, &open_dir(&two), None).unwrap();
    assert_eq!(std::fs::read_to_string(two.join("d1/e1/f1")).unwrap(), "1\n");
    let kept = checkout.kept(&snapshots, None).unwrap().unwrap();
    std::fs::write(kept.files().with_file_name("listing"), "no listing").unwrap();
    drop(kept);
    let anew = checkout.kept(&snapshots, None).unwrap().unwrap();
    assert_eq!(std::fs::read_to_string(anew.files().join("d1/e1/f1")).unwrap(), "1\n");
}

/// What git answers in a snapshot with a repository of one commit; nothing of this machine's settings counts.
fn asked(work: &Path, args: &[&str]) -> String {
    let output = git_command(work).args(args).output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned()
}

#[test]
fn git_answers_in_a_snapshot_as_in_the_users_clone_and_knows_nothing_else() {
    let fixture = Fixture::with(&[("a.txt", "a\n"), ("d/b.txt", "b\n")]);
    fixture.write("secret.txt", "of the past\n");
    fixture.commit();
    std::fs::remove_file(fixture.path("secret.txt")).unwrap();
    let commit = fixture.commit();
    let past = fixture.git(&["rev-parse", "HEAD~1:secret.txt"]);
    fixture.git(&["checkout", "--quiet", "-b", "feature/one"]);
    fixture.git(&["remote", "add", "origin", "https://user:hunter2@example.org/x.git"]);
    fixture.git(&["config", "http.extraheader", "Authorization: hunter2"]);
    std::fs::write(fixture.path(".git/hooks/post-checkout"), "#!/bin/sh\nexit 1\n").unwrap();
    let work = fixture.beside("work");
    let checkout = fixture.open().unwrap();
    checkout.export(&open_dir(&work), None).unwrap();
    checkout.add_git(&work, &work, None).unwrap();
    let describe = ["describe", "--tags", "--always", "--dirty=-dirty"];
    assert_eq!(asked(&work, &describe), fixture.git(&describe));
    assert_eq!(asked(&work, &["symbolic-ref", "--short", "HEAD"]), "feature/one");
    assert_eq!(asked(&work, &["status", "--porcelain"]), "");
    assert_eq!(asked(&work, &["log", "--format=%H"]), commit);
    assert_eq!(asked(&work, &["show", "HEAD:d/b.txt"]), "b");
    assert!(asked(&work, &["cat-file", "-t", &past]).contains("fatal"), "no file of the past");
    assert_eq!(asked(&work, &["remote"]), "");
    assert!(!work.join(".git/hooks").exists());
    let all: Vec<u8> = contents(&work).into_values().flat_map(|(_, content)| content).collect();
    assert!(!all.windows(7).any(|part| part == b"hunter2"));
    std::fs::write(work.join("a.txt"), "changed\n").unwrap();
    assert!(asked(&work, &describe).ends_with("-dirty"));
}

#[test]
fn tags_of_the_commit_are_known_a_detached_head_is_none_and_a_dirty_tree_is_dirty() {
    let fixture = Fixture::with(&[("a.txt", "a\n")]);
    fixture.git(&["tag", "old"]);
    fixture.write("a.txt", "b\n");
    fixture.commit();
    fixture.git(&["tag", "-a", "v1.0", "-m", "annotated"]);
    fixture.git(&["tag", "plain"]);
    fixture.git(&["checkout", "--quiet", "--detach"]);
    let work = fixture.beside("work");
    let checkout = fixture.open().unwrap();
    checkout.export(&open_dir(&work), None).unwrap();
    checkout.add_git(&work, &work, None).unwrap();
    assert_eq!(asked(&work, &["describe", "--tags", "--always", "--dirty=-dirty"]), "v1.0");
    assert_eq!(asked(&work, &["tag"]), "plain\nv1.0");
    assert!(asked(&work, &["symbolic-ref", "--short", "HEAD"]).contains("not a symbolic ref"));
    fixture.write("a.txt", "uncommitted\n");
    let dirty = repo::open(&fixture.root, true).unwrap();
    let work = fixture.beside("dirty");
    dirty.export(&open_dir(&work), None).unwrap();
    dirty.add_git(&work, &work, None).unwrap();
    assert_eq!(asked(&work, &["describe", "--tags", "--always", "--dirty=-dirty"]), "v1.0-dirty");
}

#[test]
fn what_gits_filters_would_make_of_a_file_does_not_count_as_a_change() {
    let fixture = Fixture::with(&[("dos.txt", "one\r\ntwo\r\n")]);
    fixture.write(".gitattributes", "*.txt text eol=lf\n*.x filter=evil\n");
    fixture.write("f.x", "x\n");
    fixture.commit();
    let work = fixture.beside("work");
    let checkout = fixture.open().unwrap();
    fixture.git(&["config", "filter.evil.clean", "touch ran; cat"]);
    checkout.export(&open_dir(&work), None).unwrap();
    checkout.add_git(&work, &work, None).unwrap();
    assert!(!asked(&work, &["describe", "--always", "--dirty=-dirty"]).contains("dirty"));
    assert!(!work.join("ran").exists() && !fixture.path("ran").exists(), "no filter is run");
}
