//! Full disks: small file systems in memory, mounted in a name space of their own, so that nothing stays mounted.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;

use soopervisor::environment::{EnvironmentError, Store};

use crate::channel::{self, Package};
use crate::engines::{Builder, Play, Untouchable};
use crate::store::{Fixture, entries};

/// Runs one of the ignored tests below where it may mount: as root in a name space, as others in one with a root of
/// its own.
fn in_a_name_space(test: &str) {
    let mut command = Command::new("unshare");
    command.arg("--mount");
    if rustix::process::geteuid().as_raw() != 0 {
        command.args(["--user", "--map-root-user"]);
    }
    let test = format!("space::{test}");
    command.arg("--").arg(std::env::current_exe().unwrap()).args(["--ignored", "--exact", &test, "--nocapture"]);
    let output = command.output().expect("this test needs `unshare` of util-linux");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn mount(at: &Path, options: &str) {
    let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(at).status().unwrap();
    assert!(status.success(), "mounting a small file system");
}

/// A store on a disk of so many KiB, and a package with a file of so many KiB, which packs well or not at all.
fn fixture(disk: usize, file: usize, packs: bool) -> Fixture {
    let mut fixture = Fixture::new();
    let mut state = 1_u64;
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b' ' + u8::try_from((state >> 40) % 95).unwrap())
    };
    let text: String = (0..file << 10).map(|_| if packs { 'x' } else { letter() }).collect();
    let package = |name, version, files| Package { name, version, depends: &[], files };
    channel::write(
        &fixture.folder.path().join("channel"),
        &[
            package("python", "3.11.7", &[("bin/python", "#!/bin/sh\n")]),
            package("pip", "24.0", &[("bin/pip", "#!/bin/sh\n")]),
            package("large", "1", &[("share/large", &text)]),
        ],
    );
    let root = fixture.config.root.clone();
    fs::create_dir_all(&root).unwrap();
    mount(&root, &format!("size={disk}k"));
    // Root of a name space can give files to nobody.
    fixture.config.container_user = (0, 0);
    fixture
}

/// The error names the disk, what it has, and what was needed; and of the build nothing is left.
#[track_caller]
fn is_told_and_leaves_nothing(fixture: &Fixture, error: &EnvironmentError, need: &str) {
    let text = error.to_string();
    assert!(matches!(error, EnvironmentError::NoSpace { .. }) && !error.is_user_fault(), "{text}");
    let root = fixture.config.root.canonicalize().unwrap();
    assert!(text.contains(&format!("free on {}", root.display())) && text.contains(need), "{text}");
    assert!(fixture.leftovers().is_empty() && entries(&root.join("keys")).is_empty());
    let half = entries(&root.join("pkgs")).into_iter().filter(|path| path.is_dir() && !path.join("info").is_dir());
    assert_eq!(half.count(), 0, "{:?}", entries(&root.join("pkgs")));
}

#[test]
fn a_disk_that_fills_up_while_packages_are_unpacked_is_told_and_nothing_half_built_stays() {
    in_a_name_space("fills_while_unpacking");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "mounts: started by the test above"]
async fn fills_while_unpacking() {
    let fixture = fixture(2048, 8192, true);
    let inputs = fixture.inputs(&["python", "large"], &["ploomber"]);
    let error = fixture.ensure(&inputs, &Untouchable).await.unwrap_err();
    is_told_and_leaves_nothing(&fixture, &error, "this build needs more than the ");
    let root = fixture.config.root.clone();
    mount(&root, "remount,size=65536k");
    let built = fixture.ensure(&inputs, &Builder::new(Play::Install)).await.unwrap();
    let large = fs::metadata(built.host_prefix.join("share/large")).unwrap();
    assert_eq!(large.len(), 8192 << 10, "with more room it is all there");
}

#[test]
fn packages_that_surely_do_not_fit_are_not_even_fetched() {
    in_a_name_space("does_not_begin");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "mounts: started by the test above"]
async fn does_not_begin() {
    let fixture = fixture(2048, 8192, false);
    let inputs = fixture.inputs(&["python", "large"], &["ploomber"]);
    let error = fixture.ensure(&inputs, &Untouchable).await.unwrap_err();
    is_told_and_leaves_nothing(&fixture, &error, "the packages alone take at least ");
    assert!(entries(&fixture.config.root.join("pkgs")).is_empty());
}

#[test]
fn a_disk_that_fills_up_in_the_builder_or_at_the_end_is_told_likewise() {
    in_a_name_space("fills_later");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "mounts: started by the test above"]
async fn fills_later() {
    let fixture = fixture(4096, 1, true);
    let inputs = fixture.inputs(&["python"], &["ploomber"]);
    let engine = Builder::new(Play::Fill);
    let error = fixture.ensure(&inputs, &engine).await.unwrap_err();
    is_told_and_leaves_nothing(&fixture, &error, "this build needs more than the ");
    // The builder is content, and then there is no room for the last files.
    let engine = Builder::new(Play::InstallAndFill);
    let error = fixture.ensure(&inputs, &engine).await.unwrap_err();
    is_told_and_leaves_nothing(&fixture, &error, "this build needs more than the ");
    assert_eq!(engine.started.load(Ordering::SeqCst), 1);
    let store = Store::open(&fixture.config.root).unwrap();
    assert!(store.list().unwrap().total_bytes < 1 << 20, "what filled it went with the build");
    fixture.ensure(&inputs, &Builder::new(Play::Install)).await.unwrap();
}
