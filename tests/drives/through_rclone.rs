//! rclone as Debian ships it copies a nasty tree to each drive and finds no difference.

use std::io::Write;
use std::path::Path;

use crate::fake::{Drive, Fake};
use crate::front::Front;
use crate::front::rclone::Rclone;

/// No repetition that a mistake in the order of parts could hide behind.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

fn nasty(folder: &Path) {
    std::fs::create_dir_all(folder.join("void")).unwrap();
    std::fs::create_dir_all(folder.join("deep/er")).unwrap();
    std::fs::write(folder.join("empty"), b"").unwrap();
    std::fs::write(folder.join("été ?*.txt"), "accents").unwrap();
    std::fs::write(folder.join("deep/er/trailing "), "space").unwrap();
    std::fs::write(folder.join("deep/it's \"quoted\" \\ back"), "quotes").unwrap();
    std::fs::write(folder.join("deep/er/~$CON.txt"), "reserved").unwrap();
    std::fs::File::create(folder.join("large")).unwrap().write_all(&noise(60_000_000)).unwrap();
}

async fn goes_there_and_back(drive: Drive) {
    let fake = Fake::start().await;
    let front = Front::start(fake.address()).await;
    let rclone = Rclone::new(&fake, &front);
    let here = tempfile::tempdir().unwrap();
    nasty(here.path());
    let there = format!("{}:tree", drive.prefix());
    rclone.run(&["copy", "--create-empty-src-dirs", &here.path().to_string_lossy(), &there]).await;
    rclone.check(here.path(), drive, "tree").await;
    let files = fake.files(drive);
    assert_eq!(files.len(), 6, "{files:?}");
    assert_eq!(
        fake.read(drive, "tree/été ?*.txt").or_else(|| fake.read(drive, "tree/été ？＊.txt")).unwrap(),
        b"accents"
    );
    assert!(fake.folders(drive).contains("tree/void"));
    assert_eq!(fake.open_sessions(drive), 0);
    // Back, with the bytes read.
    let back = tempfile::tempdir().unwrap();
    rclone.run(&["copy", &there, &back.path().to_string_lossy()]).await;
    for name in ["empty", "large", "été ?*.txt", "deep/er/trailing ", "deep/er/~$CON.txt"] {
        assert!(
            std::fs::read(here.path().join(name)).unwrap() == std::fs::read(back.path().join(name)).unwrap(),
            "{name}"
        );
    }
    rclone.run(&["purge", &there]).await;
    assert!(fake.files(drive).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rclone_copies_a_nasty_tree_to_box_and_finds_no_difference() {
    goes_there_and_back(Drive::Box).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rclone_copies_a_nasty_tree_to_dropbox_and_finds_no_difference() {
    goes_there_and_back(Drive::Dropbox).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rclone_copies_a_nasty_tree_to_onedrive_and_finds_no_difference() {
    goes_there_and_back(Drive::OneDrive).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rclone_copies_a_nasty_tree_to_google_drive_and_finds_no_difference() {
    goes_there_and_back(Drive::GDrive).await;
}
