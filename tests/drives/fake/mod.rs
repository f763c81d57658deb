//! Box, Dropbox, OneDrive and Google Drive, as one server on one loopback port.
//!
//! It keeps files, tokens and upload sessions, enforces the rules of the vendors that bite, and misbehaves on request
//! (`Fault`). The vendors' own clients are its judges (`tests/drives/judges`). It reaches nothing outside this machine.
//!
//! Drives are found below a path (`{url}/box`, `/dropbox`, `/onedrive`, `/gdrive`; the vendor's own paths follow) or by
//! the vendor's `Host`. What children of a test need is below `/_fake` (`control`).

#![allow(
    clippy::enum_variant_names,
    clippy::single_match_else,
    dead_code,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    unreachable_pub
)]

mod account;
mod ask;
mod blob;
mod boxcom;
mod control;
mod dropbox;
mod fault;
mod gdrive;
mod grants;
mod multipart;
mod names;
mod onedrive;
mod serve;
mod tokens;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

pub use account::Account;
pub use fault::{Fault, When};
pub use tokens::Pair;

use fault::Script;

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Drive {
    Box,
    Dropbox,
    OneDrive,
    GDrive,
}

impl Drive {
    pub const ALL: [Self; 4] = [Self::Box, Self::Dropbox, Self::OneDrive, Self::GDrive];

    /// Its path on the server, and its name in `/_fake`.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Box => "box",
            Self::Dropbox => "dropbox",
            Self::OneDrive => "onedrive",
            Self::GDrive => "gdrive",
        }
    }

    pub fn named(prefix: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|drive| drive.prefix() == prefix)
    }

    /// Names that differ in case only are one name.
    pub fn folds_case(self) -> bool {
        self != Self::GDrive
    }
}

/// A file as a test sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    pub size: u64,
    pub sha256: String,
    pub id: String,
}

/// What all connections share.
pub struct Shared {
    pub accounts: [Mutex<Account>; 4],
    pub room: blob::Room,
    pub script: Mutex<Script>,
    /// Requests by drive, method and path with ids left out.
    pub counts: Mutex<BTreeMap<String, u64>>,
    /// Each request: drive, method, path and query.
    pub seen: Mutex<Vec<String>>,
    /// Bytes of all requests' bodies.
    pub received: [Arc<AtomicU64>; 4],
}

impl Shared {
    pub fn account(&self, drive: Drive) -> MutexGuard<'_, Account> {
        self.accounts[drive as usize].lock().unwrap()
    }
}

pub struct Fake {
    shared: Arc<Shared>,
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    /// Serves on the current runtime until it is dropped.
    pub async fn start() -> Self {
        let shared = Arc::new(Shared {
            accounts: Drive::ALL.map(|drive| Mutex::new(Account::new(drive))),
            room: blob::Room::new(),
            script: Mutex::default(),
            counts: Mutex::default(),
            seen: Mutex::default(),
            received: Default::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(serve::serve(listener, Arc::clone(&shared)));
        Self { shared, address, task }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where the vendor's paths begin.
    pub fn base(&self, drive: Drive) -> String {
        format!("{}/{}", self.url(), drive.prefix())
    }

    pub fn account(&self, drive: Drive) -> MutexGuard<'_, Account> {
        self.shared.account(drive)
    }

    /// Files that are not in a trash, by path without a leading slash. A second file of the same name (Google Drive) is
    /// `name#2`.
    pub fn files(&self, drive: Drive) -> BTreeMap<String, Held> {
        control::files(&self.shared, drive)
    }

    /// Names of files, without a look at their bytes.
    pub fn names(&self, drive: Drive) -> Vec<String> {
        control::names(&self.shared, drive)
    }

    /// Bytes that all requests brought.
    pub fn received(&self, drive: Drive) -> u64 {
        self.shared.received[drive as usize].load(std::sync::atomic::Ordering::Relaxed)
    }

    pub fn folders(&self, drive: Drive) -> BTreeSet<String> {
        control::folders(&self.shared, drive)
    }

    /// The bytes of a file.
    pub fn read(&self, drive: Drive, path: &str) -> Option<Vec<u8>> {
        control::read(&self.shared, drive, path)
    }

    /// Puts a file there, as somebody else would have; folders are made.
    pub async fn put(&self, drive: Drive, path: &str, bytes: &[u8]) {
        control::put(&self.shared, drive, path, bytes).await;
    }

    /// As if all of it had been put there so many days earlier.
    pub fn age(&self, drive: Drive, days: i64) {
        self.account(drive).tree.age(jiff::SignedDuration::from_hours(24 * days));
    }

    /// Everything was last written so many minutes earlier.
    pub fn pass(&self, drive: Drive, minutes: i64) {
        self.account(drive).tree.age(jiff::SignedDuration::from_mins(minutes));
    }

    pub fn fault(&self, drive: Drive, when: When, fault: Fault) {
        control::fault(&self.shared, drive, when, fault);
    }

    /// Google Drive: listings show the next `times` files of that name so long after they are made, and all else at once.
    pub fn show_late(&self, name: &str, times: usize, by: Duration) {
        self.account(Drive::GDrive).tree.show_late(name, times, by);
    }

    /// Faults that have not been used up.
    pub fn faults_left(&self) -> usize {
        self.shared.script.lock().unwrap().left()
    }

    /// Nothing goes wrong any longer.
    pub fn calm(&self) {
        self.shared.script.lock().unwrap().clear();
    }

    /// Requests whose method and path hold these texts.
    pub fn count(&self, drive: Drive, method: &str, path: &str) -> usize {
        let start = format!("{} {method}", drive.prefix());
        self.requests().iter().filter(|line| line.starts_with(&start) && line.contains(path)).count()
    }

    /// `drive METHOD /path?query`, in the order in which they came.
    pub fn requests(&self) -> Vec<String> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Requests by route, ids left out.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.shared.counts.lock().unwrap().clone()
    }

    pub fn forget_requests(&self) {
        self.shared.seen.lock().unwrap().clear();
        self.shared.counts.lock().unwrap().clear();
    }

    /// The size of the whole account.
    pub fn set_quota(&self, drive: Drive, bytes: u64) {
        self.account(drive).quota = bytes;
    }

    /// The size of the largest file.
    pub fn set_max_file(&self, drive: Drive, bytes: u64) {
        self.account(drive).max_file = bytes;
    }

    /// The longest page of a listing.
    pub fn set_page(&self, drive: Drive, entries: usize) {
        self.account(drive).page = entries;
    }

    /// An access token and a refresh token, as a finished login gives them.
    pub fn tokens(&self, drive: Drive) -> Pair {
        self.account(drive).tokens.mint()
    }

    pub fn token(&self, drive: Drive) -> String {
        self.tokens(drive).access
    }

    /// Access tokens end, refresh tokens stay.
    pub fn expire_tokens(&self, drive: Drive) {
        self.account(drive).tokens.expire();
    }

    pub fn revoke_tokens(&self, drive: Drive) {
        self.account(drive).tokens.revoke();
    }

    /// The user agrees to the device codes that are waiting.
    pub fn approve_devices(&self, drive: Drive) {
        self.account(drive).tokens.approve(true);
    }

    pub fn deny_devices(&self, drive: Drive) {
        self.account(drive).tokens.approve(false);
    }

    /// The user says no on the pages that browsers open from now on.
    pub fn refuse_consent(&self, drive: Drive) {
        self.account(drive).tokens.refusing = true;
    }

    /// Uploads that were begun and neither finished nor given up.
    pub fn open_sessions(&self, drive: Drive) -> usize {
        self.account(drive).sessions.values().filter(|session| !session.done).count()
    }

    /// Bytes that have arrived of the largest upload that is under way, and need not be sent again.
    pub fn half_sent(&self, drive: Drive) -> u64 {
        let parts = |session: &account::Session| session.parts.values().map(|part| part.size).sum::<u64>();
        let account = self.account(drive);
        let open = account.sessions.values().filter(|session| !session.done);
        open.map(|session| session.size.max(parts(session))).max().unwrap_or_default()
    }

    /// A folder, and all that will be below it, is somebody else's; `closed`: and may only be read. Its id.
    pub fn give_away(&self, drive: Drive, path: &str, closed: bool) -> String {
        let names: Vec<String> = path.split('/').map(str::to_owned).collect();
        let mut account = self.account(drive);
        let id = account.folders(&names).unwrap();
        account.others = Some(id.clone());
        account.others_closed = closed;
        id
    }

    /// Uploads of so many bytes that arrived whole and are no files yet (Dropbox).
    pub fn waiting(&self, drive: Drive, bytes: u64) -> usize {
        let waits = |session: &&account::Session| session.closed && !session.done && session.size == bytes;
        self.account(drive).sessions.values().filter(waits).count()
    }

    /// Box: whether a file may be uploaded is told by the files that are there, and folders are not looked at.
    pub fn preflight_sees_files_only(&self) {
        self.account(Drive::Box).preflight_sees_files_only = true;
    }

    /// Addresses that are handed out are those of the vendor's hosts.
    pub fn hand_out_vendors_addresses(&self, drive: Drive) {
        self.account(drive).vendors_addresses = true;
    }

    /// Box: more than this many uploads within a second are answered with 429.
    pub fn limit_uploads(&self, drive: Drive, per_second: usize) {
        self.account(drive).uploads_per_second = Some(per_second);
    }
}
