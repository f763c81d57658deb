//! The distribution's rclone, unmodified, as a client of the fake: an independent reader and writer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Front;
use crate::fake::{Drive, Fake};

/// The id of the fake's drive, which rclone wants to be told.
const ONEDRIVE: &str = "f00dfeedf00dfeed";

const PATIENCE: Duration = Duration::from_mins(2);

pub struct Rclone {
    folder: tempfile::TempDir,
    proxy: String,
    authority: PathBuf,
}

impl Rclone {
    /// Signs in to all four; remotes have the names of the prefixes.
    pub fn new(fake: &Fake, front: &Front) -> Self {
        let folder = tempfile::Builder::new().prefix("rclone-").tempdir().unwrap();
        let mut config = String::new();
        for drive in Drive::ALL {
            let pair = fake.tokens(drive);
            let token = serde_json::json!({
                "access_token": pair.access, "refresh_token": pair.refresh, "token_type": "bearer",
                "expiry": "2099-01-01T00:00:00Z",
            });
            let (kind, more) = match drive {
                // Of a personal drive this rclone compares SHA-1, which is not what we check uploads by.
                Drive::OneDrive => ("onedrive", format!("drive_id = {ONEDRIVE}\ndrive_type = business\n")),
                Drive::GDrive => ("drive", "scope = drive\n".to_owned()),
                Drive::Box => ("box", String::new()),
                Drive::Dropbox => ("dropbox", String::new()),
            };
            config += &format!("[{}]\ntype = {kind}\ntoken = {token}\n{more}\n", drive.prefix());
        }
        // rclone 1.60 sends its token to upload URLs as well. Microsoft says that this may be refused, not that it is.
        fake.account(Drive::OneDrive).lenient = true;
        std::fs::write(folder.path().join("rclone.conf"), config).unwrap();
        Self { folder, proxy: front.proxy(), authority: front.authority() }
    }

    /// What it printed; panics with that if it failed.
    pub async fn run(&self, words: &[&str]) -> String {
        let (success, text) = self.attempt(words).await;
        assert!(success, "rclone {words:?}:\n{text}");
        text
    }

    pub async fn attempt(&self, words: &[&str]) -> (bool, String) {
        let mut command = tokio::process::Command::new("rclone");
        command.arg("--config").arg(self.folder.path().join("rclone.conf"));
        command.arg("--ca-cert").arg(&self.authority).args(["--retries", "1", "--low-level-retries", "3", "-v"]);
        command.args(words).env("HTTPS_PROXY", &self.proxy).env("https_proxy", &self.proxy);
        command.env_remove("NO_PROXY").env_remove("no_proxy").kill_on_drop(true);
        let output =
            tokio::time::timeout(PATIENCE, command.output()).await.unwrap_or_else(|_| panic!("rclone {words:?} hangs"));
        let output = output.expect("rclone is needed: `make test` installs it");
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), text)
    }

    /// Each file here is there with the same bytes, by the vendor's hash, and nothing else is there.
    pub async fn check(&self, local: &Path, drive: Drive, path: &str) {
        let there = format!("{}:{path}", drive.prefix());
        let text = self.run(&["check", &local.to_string_lossy(), &there]).await;
        assert!(text.contains("0 differences found"), "{text}");
        assert!(!text.contains("hashes could not be checked"), "{text}");
    }
}
