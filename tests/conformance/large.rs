//! Files beyond what 32 bits can count, on every storage that is no drive, with servers that keep them on the disk: up to
//! 11 GiB of it for S3, whose server puts parts together in a second file, and 5 GiB elsewhere. Each test in a process of
//! its own, whose memory is the program's alone. Google Cloud Storage is not among them: ours holds objects in memory.

#![expect(clippy::print_stdout, reason = "the figures are what these are run for")]

use std::os::unix::fs::FileExt as _;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use soopervisor::plan::OnConflict;
use soopervisor::storage::Storage;
use soopervisor::storage::local::Local;
use soopervisor::storage::verify::verify;
use tokio::io::AsyncReadExt as _;

use crate::bench::path;
use crate::fixture_run::{Run, folder, project};
use crate::served::Served;

const SIZE: u64 = (5 << 30) + 3;
/// Bytes that are not zero, beyond what 32 bits can count.
const END: &[u8] = b"the end";
/// What this process may hold, however large files are.
const MOST: u64 = 256 << 20;

/// Whether this process is there for that test only; else one is started for it, and has to end well.
fn is_alone(name: &str) -> bool {
    const ALONE: &str = "SOOPERVISOR_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let program = std::env::current_exe().expect("this program");
    let name = format!("large::{name}");
    let arguments = [name.as_str(), "--exact", "--ignored", "--nocapture"];
    let alone = tokio::task::block_in_place(|| Command::new(program).args(arguments).env(ALONE, "1").output());
    let alone = alone.expect("it starts");
    let told = String::from_utf8_lossy(&alone.stdout).into_owned() + &String::from_utf8_lossy(&alone.stderr);
    assert!(alone.status.success() && told.contains("1 passed"), "{told}");
    println!("{told}");
    false
}

/// Bytes that this process had at most, as Linux counts them.
fn peak() -> u64 {
    let status = fs_err::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a line");
    line.split_whitespace().nth(1).and_then(|kibibytes| kibibytes.parse::<u64>().ok()).expect("a number") * 1024
}

async fn arrives_whole(run: &Run, storage: Arc<dyn Storage>) {
    let begun = Instant::now();
    let file = fs_err::File::create(run.path("work/large.bin")).expect("a file");
    file.set_len(SIZE).expect("a length");
    file.file().write_all_at(END, SIZE - END.len() as u64).expect("written");
    let published = storage.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect("published");
    let sent = begun.elapsed();
    let entry = published.manifest.entry(&path("large.bin")).expect("an entry");
    assert_eq!(entry.size, SIZE);
    let mut end = Vec::new();
    let mut reader = storage.open(&project(), &folder(), entry, SIZE - 100).await.expect("opened");
    reader.read_to_end(&mut end).await.expect("read");
    assert!(end.len() == 100 && end.ends_with(END) && end[..93].iter().all(|byte| *byte == 0), "{end:?}");
    let report = verify(&*storage, &project(), &folder(), &()).await.expect("a report");
    assert!(report.is_sound() && report.ok == 1, "{report:?}");
    let most = peak();
    println!("{}: sent in {sent:?}, all of it in {:?}, {} MiB", storage.place(), begun.elapsed(), most >> 20);
    assert!(most < MOST, "{}: {most} bytes", storage.place());
}

async fn arrives_whole_on(served: Served) {
    let run = Run::new();
    let storage = served.storage(&run.path("state"));
    arrives_whole(&run, storage).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it sends and reads five gibibytes; by hand after changes to how files are sent"]
async fn a_sparse_file_of_five_gibibytes_arrives_whole_in_a_folder() {
    if is_alone("a_sparse_file_of_five_gibibytes_arrives_whole_in_a_folder") {
        let run = Run::new();
        let storage = Arc::new(Local::new(run.store()));
        arrives_whole(&run, storage).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it sends and reads five gibibytes; by hand after changes to how files are sent"]
async fn a_sparse_file_of_five_gibibytes_arrives_whole_on_s3() {
    if is_alone("a_sparse_file_of_five_gibibytes_arrives_whole_on_s3") {
        arrives_whole_on(Served::s3_on_the_disk()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it sends and reads five gibibytes; by hand after changes to how files are sent"]
async fn a_sparse_file_of_five_gibibytes_arrives_whole_on_azure() {
    if is_alone("a_sparse_file_of_five_gibibytes_arrives_whole_on_azure") {
        arrives_whole_on(Served::azure_on_the_disk()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it sends and reads five gibibytes; by hand after changes to how files are sent"]
async fn a_sparse_file_of_five_gibibytes_arrives_whole_on_webdav() {
    if is_alone("a_sparse_file_of_five_gibibytes_arrives_whole_on_webdav") {
        arrives_whole_on(Served::webdav()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it sends and reads five gibibytes; by hand after changes to how files are sent"]
async fn a_sparse_file_of_five_gibibytes_arrives_whole_on_sftp() {
    if is_alone("a_sparse_file_of_five_gibibytes_arrives_whole_on_sftp") {
        arrives_whole_on(Served::sftp()).await;
    }
}
