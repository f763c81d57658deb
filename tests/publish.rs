//! Publishing to a folder when things go wrong: killed at every step, disk full, read-only, changed, contended.
//!
//! What must hold after each: the commit's folder is whole and verifies, or it is not there; and the next publish
//! cleans up and succeeds.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Barrier};

use fixture_run::{Run, folder, project};
use soopervisor::plan::OnConflict;
use soopervisor::storage::local::{Local, Point};
use soopervisor::storage::verify::verify;
use soopervisor::storage::{Progress, PublishOutcome, Published, Storage, StorageError};

mod fixture_run;

const POINTS: [Point; 10] = [
    Point::Opened,
    Point::Swept,
    Point::Staged,
    Point::Copied(1),
    Point::Copied(3),
    Point::Filled,
    Point::Described,
    Point::Synced,
    Point::Renamed,
    // Never reached: the child ends by itself.
    Point::Copied(1000),
];

fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime").block_on(work)
}

fn publish(local: &Local, run: &Run, id: &str, on_conflict: OnConflict) -> Result<Published, StorageError> {
    block(local.publish(run.publication(id, on_conflict), Arc::new(())))
}

fn local(run: &Run) -> Local {
    Local::new(run.store())
}

fn filled() -> Run {
    let run = Run::new();
    for name in ["a.csv", "deep/er/b.csv", "c.bin", "deep/d.txt"] {
        run.product(name, name.repeat(1000));
    }
    run
}

fn names(at: &Path) -> Vec<String> {
    let Ok(entries) = fs_err::read_dir(at) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn assert_sound(run: &Run) {
    let report = block(verify(&local(run), &project(), &folder(), &())).expect("a report");
    assert!(report.is_sound(), "{report:?}");
}

/// Runs this test program again as `child`, in the mode that [`child`] reads.
fn start(run: &Run, mode: &str, wrap: &[&str]) -> Output {
    let me = std::env::current_exe().expect("this program");
    let (program, before) =
        wrap.split_first().map_or((me.as_os_str(), None), |(first, rest)| (first.as_ref(), Some(rest)));
    let mut command = Command::new(program);
    if let Some(rest) = before {
        command.args(rest).arg(&me);
    }
    command.args(["--exact", "child", "--nocapture"]);
    command.env("PUBLISH_TEST_MODE", mode).env("PUBLISH_TEST_DIR", &run.dir).output().expect("a child")
}

/// The body of the children that [`start`] starts; by itself it has nothing to do.
#[test]
fn child() {
    let Ok(mode) = std::env::var("PUBLISH_TEST_MODE") else { return };
    let run = Run::at(Path::new(&std::env::var("PUBLISH_TEST_DIR").expect("started by another test")));
    let mut storage = local(&run);
    if let Some(at) = mode.strip_prefix("kill ") {
        let at: usize = at.parse().expect("a number");
        storage = storage.watched(move |point| {
            if point == POINTS[at] {
                let me = rustix::process::getpid();
                rustix::process::kill_process(me, rustix::process::Signal::KILL).expect("killed");
                // The signal comes to the process; this thread may be faster by a moment.
                std::thread::sleep(std::time::Duration::from_mins(1));
            }
        });
    } else if mode == "fill the disk" {
        let store = run.store();
        storage = storage.watched(move |point| {
            if point == Point::Staged {
                // Somebody else takes the space after it was looked at.
                let _ = std::fs::write(store.join("filler"), vec![1; 64 << 20]);
            }
        });
    }
    match publish(&storage, &run, "child-run", OnConflict::Fail) {
        Ok(published) => println!("outcome: {:?}", published.outcome),
        Err(error) => println!("error: {error:?} | {error} | {:?}", error.help()),
    }
    println!("left: {:?}", names(&run.store().join("demo")));
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default());
}

#[test]
fn killed_between_any_two_steps_leaves_no_half_commit_and_the_next_publish_heals() {
    for (at, point) in POINTS.iter().enumerate() {
        let run = filled();
        let ended = start(&run, &format!("kill {at}"), &[]);
        let last = at + 1 == POINTS.len();
        assert_eq!(ended.status.signal(), if last { None } else { Some(9) }, "{point:?}: {ended:?}");
        let published = run.store().join("demo").join(folder().to_string());
        assert_eq!(published.exists(), last || *point == Point::Renamed, "{point:?}");
        if published.exists() {
            assert_sound(&run);
        }
        let staged = names(&run.store().join("demo")).iter().any(|name| name.starts_with(".staging-"));
        assert_eq!(staged, (2..8).contains(&at), "{point:?}: died where the test means it to");
        let next = publish(&local(&run), &run, "next-run", OnConflict::Fail).expect("healed");
        let outcome = if published.exists() && (last || *point == Point::Renamed) {
            PublishOutcome::Identical
        } else {
            PublishOutcome::Created
        };
        assert_eq!(next.outcome, outcome, "{point:?}");
        assert_eq!(names(&run.store().join("demo")), [folder().to_string()], "{point:?}: leftovers");
        assert_sound(&run);
    }
}

#[test]
fn modes_times_links_and_odd_names_come_out_as_they_went_in() {
    let run = Run::new();
    let tool = run.product("bin/tool", "#!/bin/sh\n");
    fs_err::set_permissions(&tool, std::fs::Permissions::from_mode(0o4750)).expect("a mode");
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_500_000_000, 5_000);
    std::fs::File::options().write(true).open(&tool).expect("a file").set_modified(time).expect("a time");
    run.product(b"odd/new\nline", "1");
    run.product(b"odd/\xff", "2");
    run.product("zero", "");
    fs_err::create_dir(run.path("work/empty")).expect("a folder");
    std::os::unix::fs::symlink("../bin/tool", run.path("work/odd/link")).expect("a link");
    let published = publish(&local(&run), &run, "r", OnConflict::Fail).expect("published");
    let at = Path::new(&published.place);
    let stat = fs_err::metadata(at.join("bin/tool")).expect("a file");
    assert_eq!((stat.mode() & 0o7777, stat.mtime(), stat.mtime_nsec()), (0o750, 1_500_000_000, 5_000));
    assert_eq!(fs_err::read_link(at.join("odd/link")).expect("a link"), Path::new("../bin/tool"));
    assert_eq!(fs_err::read(at.join("odd/new\nline")).expect("a file"), b"1");
    assert!(fs_err::metadata(at.join("empty")).expect("a folder").is_dir());
    assert_sound(&run);
}

#[test]
fn a_full_disk_is_told_with_numbers_and_leaves_nothing() {
    let run = Run::new();
    for at in 0..4 {
        run.product(format!("big-{at}"), vec![at; 2 << 20]);
    }
    // A small file system in a mount namespace of its own needs nobody to unmount it.
    let script = "mount -t tmpfs -o size=16m none \"$PUBLISH_TEST_DIR/store\" && exec \"$@\"";
    let root = rustix::process::geteuid().is_root();
    let unshare: &[&str] = if root { &["unshare", "-m"] } else { &["unshare", "-rm"] };
    let wrap = [unshare, &["sh", "-c", script, "sh"]].concat();
    let mut ended = start(&run, "fill the disk", &wrap);
    let mut expected = "error: DiskFull";
    if !root && !ended.status.success() {
        // No namespaces for this user: the limit on a file's size takes the same way out.
        ended = start(&run, "plain", &["bash", "-c", "trap '' XFSZ; ulimit -f 1024; exec \"$@\"", "bash"]);
        expected = "error: FileTooLarge";
    }
    let text = String::from_utf8_lossy(&ended.stdout);
    assert!(text.contains(expected) && text.contains("left: []"), "{text} {}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn a_file_over_the_size_limit_is_named_and_leaves_nothing() {
    let run = Run::new();
    run.product("big", vec![1; 4 << 20]);
    let ended = start(&run, "plain", &["bash", "-c", "trap '' XFSZ; ulimit -f 1024; exec \"$@\"", "bash"]);
    let text = String::from_utf8_lossy(&ended.stdout);
    assert!(text.contains("`big` is larger than") && text.contains("left: []"), "{text}");
}

#[test]
fn too_little_space_is_said_before_anything_is_copied() {
    let run = filled();
    let mut publication = run.publication("r", OnConflict::Fail);
    (publication.collection.outputs[0].size, publication.collection.outputs[0].allocated) = (1 << 60, 1 << 60);
    let storage = local(&run).watched(|point| assert_ne!(point, Point::Staged));
    let error = block(storage.publish(publication, Arc::new(()))).expect_err("too large");
    assert!(matches!(error, StorageError::DiskFull { needed, .. } if needed >= 1 << 60), "{error}");
    assert!(error.help().expect("a next step").contains("df -h"));
    assert!(!run.store().join("demo").exists(), "an empty folder tells nobody anything");
}

#[test]
fn a_project_folder_that_another_publisher_took_away_is_made_again() {
    let run = filled();
    let (demo, taken) = (run.store().join("demo"), std::sync::atomic::AtomicBool::new(false));
    let storage = local(&run).watched(move |point| {
        if point == Point::Opened && !taken.swap(true, std::sync::atomic::Ordering::Relaxed) {
            fs_err::remove_dir(&demo).expect("it is empty");
        }
    });
    publish(&storage, &run, "r", OnConflict::Fail).expect("published");
    assert_sound(&run);
}

#[test]
fn permissions_that_changed_are_told() {
    let run = filled();
    publish(&local(&run), &run, "r", OnConflict::Fail).expect("published");
    let file = run.store().join("demo").join(folder().to_string()).join("c.bin");
    fs_err::set_permissions(&file, std::fs::Permissions::from_mode(0o777)).expect("a mode");
    let report = block(verify(&local(&run), &project(), &folder(), &())).expect("a report");
    assert_eq!(report.modes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["c.bin"]);
    assert!(!report.is_sound() && report.changed.is_empty());
}

#[test]
fn a_target_that_cannot_be_written_is_named() {
    let run = filled();
    if rustix::process::geteuid().is_root() {
        let script = "mount -t tmpfs -o ro none \"$PUBLISH_TEST_DIR/store\" && exec \"$@\"";
        let ended = start(&run, "plain", &["unshare", "-m", "sh", "-c", script, "sh"]);
        let text = String::from_utf8_lossy(&ended.stdout);
        assert!(text.contains("error: ReadOnly") && text.contains("store"), "{text}");
    } else {
        fs_err::set_permissions(run.store(), std::fs::Permissions::from_mode(0o555)).expect("a mode");
        let error = publish(&local(&run), &run, "r", OnConflict::Fail).expect_err("not allowed");
        assert!(matches!(error, StorageError::Forbidden { .. }), "{error}");
    }
}

#[test]
fn a_file_where_the_folder_should_be_is_named() {
    let run = filled();
    fs_err::write(run.store().join("demo"), "a file").expect("a file");
    let error = publish(&local(&run), &run, "r", OnConflict::Fail).expect_err("in the way");
    assert!(matches!(&error, StorageError::NotAFolder(path) if path.ends_with("store/demo")), "{error:?}");
    let below = Local::new(run.store().join("demo/below"));
    let error = publish(&below, &run, "r", OnConflict::Fail).expect_err("in the way");
    assert!(matches!(&error, StorageError::NotAFolder(path) if path.ends_with("store/demo")), "{error:?}");
}

#[test]
fn something_of_others_at_the_name_is_never_touched() {
    for content in ["mine.txt", "manifest.json"] {
        let run = filled();
        let at = run.store().join("demo").join(folder().to_string());
        fs_err::create_dir_all(&at).expect("a folder");
        fs_err::write(at.join(content), "{}").expect("a file");
        let error = publish(&local(&run), &run, "r", OnConflict::Fail).expect_err("in the way");
        assert!(matches!(error, StorageError::Foreign { .. }), "{error:?}");
        assert_eq!(names(&at), [content]);
        let beside = publish(&local(&run), &run, "r", OnConflict::NewRun).expect("beside");
        assert_eq!(beside.folder.to_string(), format!("{}-run-r", folder()));
    }
}

#[test]
fn outputs_that_change_or_vanish_stop_the_publish() {
    let run = filled();
    let publication = run.publication("r", OnConflict::Fail);
    run.product("a.csv", "shorter");
    let error = block(local(&run).publish(publication, Arc::new(()))).expect_err("changed");
    assert!(matches!(error, StorageError::Changed { .. }), "{error:?}");
    let publication = run.publication("r", OnConflict::Fail);
    fs_err::remove_file(run.path("work/c.bin")).expect("removed");
    let error = block(local(&run).publish(publication, Arc::new(()))).expect_err("gone");
    assert!(matches!(error, StorageError::Source { .. }), "{error:?}");
    // A link that was put in a file's place is not followed.
    let publication = run.publication("r", OnConflict::Fail);
    fs_err::remove_file(run.path("work/a.csv")).expect("removed");
    std::os::unix::fs::symlink("/etc/passwd", run.path("work/a.csv")).expect("a link");
    let error = block(local(&run).publish(publication, Arc::new(()))).expect_err("a link");
    assert!(matches!(error, StorageError::Source { .. }), "{error:?}");
    assert!(names(&run.store().join("demo")).is_empty());
}

struct Stop;

impl Progress for Stop {
    fn cancelled(&self) -> bool {
        true
    }
}

#[test]
fn stopping_leaves_nothing() {
    let run = filled();
    let publication = run.publication("r", OnConflict::Fail);
    let error = block(local(&run).publish(publication, Arc::new(Stop))).expect_err("stopped");
    assert!(matches!(error, StorageError::Cancelled), "{error:?}");
    assert!(names(&run.store().join("demo")).is_empty());
}

/// Two publishers that both have everything ready before either of them takes the name.
fn race(other: &Run, one: &Run, on_conflict: OnConflict) -> Vec<Result<Published, StorageError>> {
    let barrier = Arc::new(Barrier::new(2));
    std::thread::scope(|scope| {
        let threads: Vec<_> = [(one, "run-one"), (other, "run-other")]
            .into_iter()
            .map(|(run, id)| {
                let barrier = Arc::clone(&barrier);
                let storage = local(one).watched(move |point| {
                    if point == Point::Synced {
                        barrier.wait();
                    }
                });
                scope.spawn(move || publish(&storage, run, id, on_conflict))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}

#[test]
fn of_two_at_once_exactly_one_wins_and_the_other_compares() {
    let outcomes = |results: &[Result<Published, StorageError>]| {
        let mut all: Vec<String> = results
            .iter()
            .map(|result| match result {
                Ok(published) => format!("{:?}", published.outcome),
                Err(StorageError::Conflict { differences, .. }) => format!("Conflict {differences}"),
                Err(error) => panic!("{error}"),
            })
            .collect();
        all.sort();
        all
    };
    let same = filled();
    assert_eq!(outcomes(&race(&filled(), &same, OnConflict::Fail)), ["Created", "Identical"]);
    assert_sound(&same);
    let different = filled();
    different.product("a.csv", "other");
    for (on_conflict, expected) in [
        (OnConflict::Fail, ["Conflict `a.csv` differs", "Created"]),
        (OnConflict::Keep, ["Created", "Kept"]),
        (OnConflict::NewRun, ["Created", "Created"]),
    ] {
        let one = filled();
        assert_eq!(outcomes(&race(&different, &one, on_conflict)), expected);
        let left = names(&one.store().join("demo"));
        assert_eq!(left.len(), if on_conflict == OnConflict::NewRun { 2 } else { 1 }, "{left:?}");
        assert_sound(&one);
    }
}

#[test]
fn a_living_publisher_is_not_swept_and_the_same_run_twice_is_told() {
    let run = filled();
    let (inner, store) = (filled(), run.store());
    let storage = local(&run).watched(move |point| {
        if point == Point::Filled {
            let other = Local::new(store.clone());
            let busy = publish(&other, &inner, "outer", OnConflict::Fail).expect_err("the same run");
            assert!(matches!(busy, StorageError::Busy(_)), "{busy:?}");
            let created = publish(&other, &inner, "inner", OnConflict::Fail).expect("another run");
            assert_eq!(created.outcome, PublishOutcome::Created);
        }
    });
    let publication = run.publication("outer", OnConflict::Fail);
    let (storage, progress) = (storage, Arc::new(()));
    let outcome = block(storage.publish(publication, progress)).expect("not swept").outcome;
    assert_eq!(outcome, PublishOutcome::Identical);
    assert_sound(&run);
}

#[test]
fn a_large_sparse_file_is_streamed_in_little_memory_and_stays_sparse() {
    let run = Run::new();
    let file = std::fs::File::create(run.path("work/sparse")).expect("a file");
    file.set_len(1 << 30).expect("a length");
    std::os::unix::fs::FileExt::write_all_at(&file, b"in the middle", 1 << 29).expect("written");
    let ended = start(&run, "plain", &[]);
    let text = String::from_utf8_lossy(&ended.stdout);
    assert!(text.contains("outcome: Created"), "{text}");
    let kib = text.split("VmHWM:").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a peak");
    assert!(kib.parse::<u64>().expect("a number") < 100 * 1024, "{kib} KiB at most");
    let at = run.store().join("demo").join(folder().to_string()).join("sparse");
    let stat = fs_err::metadata(&at).expect("a file");
    assert_eq!(stat.len(), 1 << 30);
    assert!(stat.blocks() * 512 < 1 << 20, "{} blocks", stat.blocks());
    let manifest = block(local(&run).manifest(&project(), &folder())).expect("a manifest");
    let sum = Command::new("sha256sum").arg(&at).output().expect("sha256sum");
    let sha = manifest.files[0].sha256.expect("a digest").to_string();
    assert!(String::from_utf8_lossy(&sum.stdout).starts_with(&sha), "{sha}");
}

#[test]
fn publishes_to_another_file_system() {
    let here = filled();
    let shm = Path::new("/dev/shm");
    let there = tempfile::tempdir_in(shm).expect("a folder in memory");
    let device = |path: &Path| fs_err::metadata(path).expect("a folder").dev();
    assert_ne!(device(shm), device(&here.dir), "the temporary folder is in memory too");
    let storage = Local::new(there.path().join("new/store"));
    let published = publish(&storage, &here, "r", OnConflict::Fail).expect("published");
    assert_eq!(published.outcome, PublishOutcome::Created);
    let report = block(verify(&storage, &project(), &folder(), &())).expect("a report");
    assert!(report.is_sound());
}
