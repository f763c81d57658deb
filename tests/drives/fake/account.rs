//! One user's drive: tree, tokens, upload sessions, limits. It does not know HTTP.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Drive;
use super::blob::{Blob, Spool};
use super::tokens::Tokens;
use super::tree::Tree;

const TEBIBYTE: u64 = 1 << 40;

pub struct Part {
    pub id: String,
    pub size: u64,
    pub sha1: String,
}

/// An upload that is under way.
pub struct Session {
    pub spool: Arc<Spool>,
    /// Bytes that have arrived without a gap (all but Box).
    pub size: u64,
    pub total: Option<u64>,
    pub closed: bool,
    pub done: bool,
    /// Dropbox: pieces in any order.
    pub concurrent: bool,
    /// By offset: Box's parts, Dropbox's concurrent pieces.
    pub parts: BTreeMap<u64, Part>,
    /// What the vendor was told when it began.
    pub about: Value,
    /// How often the commit was asked for.
    pub commits: u32,
}

impl Session {
    pub fn new(spool: Spool, about: Value) -> Self {
        Self {
            spool: Arc::new(spool),
            size: 0,
            total: None,
            closed: false,
            done: false,
            concurrent: false,
            parts: BTreeMap::new(),
            about,
            commits: 0,
        }
    }
}

pub struct Account {
    pub drive: Drive,
    pub tree: Tree,
    pub tokens: Tokens,
    pub sessions: HashMap<String, Session>,
    /// What an asynchronous job will answer, and how many more questions it takes.
    pub jobs: HashMap<String, (u32, Value)>,
    /// The rest of a listing.
    pub cursors: HashMap<String, Vec<Value>>,
    /// Ids handed out and not used yet (Google Drive).
    pub reserved: HashSet<String>,
    pub quota: u64,
    pub max_file: u64,
    pub page: usize,
    /// A batch of writes is under way (Dropbox).
    pub busy: bool,
    pub uploads_per_second: Option<usize>,
    /// This folder and all below it is somebody else's and takes room of theirs: in a shared drive (Google Drive), of
    /// another account (Box).
    pub others: Option<String>,
    /// What is somebody else's may be read and not added to.
    pub others_closed: bool,
    /// A token at an upload URL is let pass (OneDrive).
    pub lenient: bool,
    /// A name that a folder has counts as free when it is asked whether a file may be uploaded (Box).
    pub preflight_sees_files_only: bool,
    /// What is younger is answered with 404 where it is asked for by its id: not all servers know it yet (Box).
    pub late: Duration,
    /// Addresses that are handed out are those of the vendor's hosts, however the request came.
    pub vendors_addresses: bool,
    uploads: VecDeque<Instant>,
    /// Uploads that were too many.
    pub refused_uploads: usize,
    serial: u64,
}

impl Account {
    pub fn new(drive: Drive) -> Self {
        let root = match drive {
            Drive::Box => "0",
            Drive::Dropbox => "id:root",
            Drive::OneDrive => "F00D!101",
            Drive::GDrive => "0AFakeRootFolder00k9PVA",
        };
        let mut tree = Tree::new(root, drive.folds_case());
        if drive == Drive::OneDrive {
            tree.add("F00D!103", "F00D!101", "Apps", None);
            tree.add("F00D!104", "F00D!103", "soopervisor", None);
        }
        Self {
            drive,
            tree,
            tokens: Tokens::new(drive),
            sessions: HashMap::new(),
            jobs: HashMap::new(),
            cursors: HashMap::new(),
            reserved: HashSet::new(),
            quota: TEBIBYTE,
            max_file: TEBIBYTE / 4,
            page: 1000,
            busy: false,
            uploads_per_second: None,
            others: None,
            others_closed: false,
            lenient: false,
            preflight_sees_files_only: false,
            late: Duration::ZERO,
            vendors_addresses: false,
            uploads: VecDeque::new(),
            refused_uploads: 0,
            serial: 1000,
        }
    }

    pub fn number(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// A new id, of the vendor's looks.
    pub fn id(&mut self) -> String {
        let number = self.number();
        match self.drive {
            Drive::Box => format!("{}", 900_000_000_000 + number),
            Drive::Dropbox => format!("id:fakeAAAAAAAAAA{number:08}"),
            Drive::OneDrive => format!("F00D!{number}"),
            Drive::GDrive => format!("1FakeFakeFakeFakeFakeFake{number:08}"),
        }
    }

    /// Whether that many more bytes fit.
    pub fn fits(&self, bytes: u64) -> bool {
        self.tree.used().saturating_add(bytes) <= self.quota
    }

    /// Whether it is somebody else's.
    pub fn is_of_others(&self, id: &str) -> bool {
        self.others.as_deref().is_some_and(|top| self.tree.is_within(id, top))
    }

    /// Whether that many more bytes fit into a folder, or in place of a file.
    pub fn fits_at(&self, id: &str, bytes: u64) -> bool {
        self.is_of_others(id) || self.fits(bytes)
    }

    /// Makes or replaces; folders above must be there.
    pub fn store(&mut self, parent: &str, name: &str, blob: &Arc<Blob>) -> String {
        let there = self.tree.find(parent, name).filter(|node| node.blob.is_some()).map(|node| node.id.clone());
        if let Some(id) = there {
            self.tree.replace(&id, Arc::clone(blob));
            return id;
        }
        let id = self.id();
        self.tree.add(&id, parent, name, Some(Arc::clone(blob)));
        id
    }

    /// The folder at this path, made where it is missing; none if a file is in the way.
    pub fn folders(&mut self, names: &[String]) -> Option<String> {
        let mut at = self.tree.root.clone();
        for name in names {
            let there = self.tree.find(&at, name).map(|node| (node.id.clone(), node.blob.is_none()));
            at = match there {
                Some((_, false)) => return None,
                Some((id, true)) => id,
                None => {
                    let id = self.id();
                    self.tree.add(&id, &at, name, None);
                    id
                }
            };
        }
        Some(at)
    }

    /// A copy, with new ids; the id of its top.
    pub fn copy(&mut self, from: &str, parent: &str, name: &str) -> String {
        let id = self.id();
        let blob = self.tree.get(from).and_then(|node| node.blob.clone());
        self.tree.add(&id, parent, name, blob);
        let children: Vec<_> =
            self.tree.children(from).iter().map(|node| (node.id.clone(), node.name.clone())).collect();
        for (child, name) in children {
            self.copy(&child, &id, &name);
        }
        id
    }

    /// Whether one more upload is too many for this second.
    pub fn too_fast(&mut self) -> bool {
        let Some(limit) = self.uploads_per_second else { return false };
        let now = Instant::now();
        while self.uploads.front().is_some_and(|at| now.duration_since(*at) >= Duration::from_secs(1)) {
            self.uploads.pop_front();
        }
        if self.uploads.len() >= limit {
            self.refused_uploads += 1;
            return true;
        }
        self.uploads.push_back(now);
        false
    }

    /// Keeps the rest of a listing and names it.
    pub fn cursor(&mut self, rest: Vec<Value>) -> String {
        let name = format!("cursor-{}", self.number());
        self.cursors.insert(name.clone(), rest);
        name
    }
}
