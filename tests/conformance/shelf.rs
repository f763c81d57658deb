//! A service in memory that keeps every promise of `Service`, and can be told to break off: what the publish protocol is
//! tried on, step by step.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use soopervisor::storage::backend::{
    Backend, Created, Fault, HashKind, Hasher, Meta, Pending, Receipt, Removed, Sessions, Source, Space, Stream,
    Traits, Waiting,
};
use soopervisor::web::Reason;

/// What it holds, and what it was told to do.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    pub(crate) objects: Mutex<BTreeMap<String, Bytes>>,
    pub(crate) sent: Mutex<BTreeMap<String, Bytes>>,
    /// Tells checksums, as drives do.
    pub(crate) hash: Option<HashKind>,
    /// Tells tags instead, as S3's listings do.
    pub(crate) tags: bool,
    /// Makes files visible only when they are settled, as Dropbox does.
    pub(crate) batches: bool,
    /// Copies on its own side.
    pub(crate) copies: bool,
    /// Bytes that are free.
    pub(crate) free: Option<u64>,
    /// Requests until everything fails; below zero never.
    pub(crate) breaks_after: AtomicI64,
    /// Carries a creation out, and says that it broke.
    pub(crate) lies_once: AtomicBool,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) requests: AtomicU64,
    /// When each object was written; what is not in it tells no time.
    pub(crate) times: Mutex<BTreeMap<String, jiff::Timestamp>>,
    /// Tells no times.
    pub(crate) timeless: AtomicBool,
    /// Bytes of large files that arrived before it broke, by session.
    pub(crate) halves: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Files that were sent whole.
    pub(crate) whole: AtomicU64,
    /// Files that have to be sent whole before a batch becomes visible.
    pub(crate) holds_until: AtomicU64,
    /// Asks for a pause when a manifest is to be written, before anything of that has gone out.
    pub(crate) holds_manifest: AtomicBool,
    /// Hangs when the doctor's small file is to be written, before anything of that has gone out.
    pub(crate) holds_trial: AtomicBool,
    /// Hangs, in either case, once it has gone out.
    pub(crate) heard_before: AtomicBool,
    /// The login ends while a manifest is written, and that is a failure of writing it.
    pub(crate) ends_login: AtomicBool,
    /// It ends when the manifest was taken already, before that is confirmed.
    pub(crate) ends_late: AtomicBool,
    /// How many small objects were taken.
    pub(crate) taken: AtomicU64,
    /// Asks for a pause when a folder is to be removed, in which somebody puts this there. Once.
    pub(crate) meanwhile: Mutex<Option<(String, Bytes)>>,
    /// It is waited for.
    pub(crate) paused: AtomicBool,
    /// So many readings of a key say that it is not there, while looking at it shows it.
    pub(crate) withheld: Mutex<BTreeMap<String, u64>>,
    /// How the keys end of which another first byte arrives, another one each time, and how often; what is stored stays.
    pub(crate) garbles: Mutex<Option<(String, u8)>>,
    /// How many files each batch had.
    pub(crate) settled: Mutex<Vec<usize>>,
}

const PART: u64 = 1024 * 1024;

impl Shelf {
    pub(crate) fn new() -> Self {
        Self { breaks_after: AtomicI64::new(-1), ..Self::default() }
    }

    /// The first byte that arrives in place of the one that is stored.
    fn garbled(&self, key: &str) -> Option<u8> {
        match &mut *self.garbles.lock().expect("garbles") {
            Some((end, left)) if *left > 0 && key.ends_with(end.as_str()) => {
                *left -= 1;
                Some(*left)
            }
            _ => None,
        }
    }

    fn request(&self) -> Result<(), Fault> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        match self.breaks_after.load(Ordering::SeqCst) {
            0 => Err(Fault::Broken("the line is dead".to_owned())),
            left => {
                if left > 0 {
                    self.breaks_after.fetch_sub(1, Ordering::SeqCst);
                }
                Ok(())
            }
        }
    }

    fn meta(&self, key: &str, bytes: &Bytes) -> Meta {
        let checksum = self.hash.map(|kind| Hasher::of(kind, bytes));
        let tag = self.tags.then(|| Hasher::of(HashKind::Md5, bytes).hex());
        let since = self.times.lock().expect("times").get(key).copied();
        let modified = since.filter(|_| !self.timeless.load(Ordering::SeqCst));
        Meta { key: key.to_owned(), folder: false, size: bytes.len() as u64, checksum, id: None, tag, modified }
    }

    fn insert(&self, key: &str, bytes: Bytes) -> Created {
        let mut objects = self.objects.lock().expect("objects");
        if let Some(there) = objects.get(key) {
            return Created::Taken(Some(self.meta(key, there)));
        }
        let Meta { checksum, tag, .. } = self.meta(key, &bytes);
        objects.insert(key.to_owned(), bytes);
        self.times.lock().expect("times").insert(key.to_owned(), jiff::Timestamp::now());
        Created::Ours(Receipt { checksum, id: None, tag })
    }
}

#[async_trait]
impl Backend for Shelf {
    fn place(&self) -> String {
        "shelf:".to_owned()
    }

    fn waiting(&self) -> Option<Waiting> {
        let until = tokio::time::Instant::now() + std::time::Duration::from_mins(1);
        self.paused.load(Ordering::SeqCst).then_some(Waiting { reason: Reason::Throttled, until })
    }

    fn asked(&self) -> Option<u64> {
        Some(self.requests.load(Ordering::SeqCst))
    }

    fn undenied(&self) -> Option<u64> {
        Some(self.taken.load(Ordering::SeqCst))
    }

    fn traits(&self) -> Traits {
        Traits { hash: self.hash, create_only: true, duplicates: false, lanes: 3, longest_key: 400 }
    }

    async fn space(&self) -> Result<Space, Fault> {
        self.request()?;
        Ok(Space { free: self.free, largest: None, notes: Vec::new() })
    }

    async fn make_folders(&self, _: &[String]) -> Result<(), Fault> {
        self.request()
    }

    async fn create(&self, key: &str, source: &mut Source, sessions: &dyn Sessions) -> Result<Created, Fault> {
        let number = self.requests.load(Ordering::SeqCst);
        let session = sessions.recall(key).unwrap_or_else(|| format!("session {number} of {key}"));
        let have = self.halves.lock().expect("halves").get(&session).map_or(0, Vec::len);
        source.skip_to(have as u64).await?;
        sessions.sent(have as u64);
        sessions.remember(key, &session);
        while let Some(chunk) = source.next(PART).await? {
            self.request()?;
            self.bytes_in.fetch_add(chunk.len() as u64, Ordering::SeqCst);
            sessions.sent(chunk.len() as u64);
            self.halves.lock().expect("halves").entry(session.clone()).or_default().extend_from_slice(&chunk);
        }
        self.request()?;
        let bytes: Bytes = self.halves.lock().expect("halves").remove(&session).unwrap_or_default().into();
        sessions.forget(key);
        self.whole.fetch_add(1, Ordering::SeqCst);
        if self.batches {
            self.sent.lock().expect("sent").insert(session.clone(), bytes.clone());
            let checksum = Hasher::of(self.hash.unwrap_or(HashKind::Dropbox), &bytes);
            return Ok(Created::Pending(Pending { key: key.to_owned(), session, size: bytes.len() as u64, checksum }));
        }
        let created = self.insert(key, bytes);
        if self.lies_once.swap(false, Ordering::SeqCst) {
            return Err(Fault::Broken("the answer was lost".to_owned()));
        }
        Ok(created)
    }

    async fn settle(&self, pending: Vec<Pending>) -> Vec<Result<Created, Fault>> {
        self.settled.lock().expect("settled").push(pending.len());
        while self.whole.load(Ordering::SeqCst) < self.holds_until.load(Ordering::SeqCst) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let one = |pending: Pending| {
            self.request()?;
            let bytes = self.sent.lock().expect("sent").remove(&pending.session);
            Ok(self.insert(&pending.key, bytes.ok_or(Fault::NotFound)?))
        };
        pending.into_iter().map(one).collect()
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<bool, Fault> {
        let is_held = (key.ends_with("/manifest.json") && self.holds_manifest.load(Ordering::SeqCst))
            || (key.starts_with("soopervisor-doctor-") && self.holds_trial.load(Ordering::SeqCst));
        if is_held {
            if self.heard_before.load(Ordering::SeqCst) {
                self.request()?;
            }
            self.paused.store(true, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
        self.request()?;
        let ends = key.ends_with("/manifest.json") && self.ends_login.load(Ordering::SeqCst);
        if ends && !self.ends_late.load(Ordering::SeqCst) {
            return Err(Fault::Login("the login has ended".to_owned()));
        }
        let made = matches!(self.insert(key, bytes), Created::Ours(_));
        self.taken.fetch_add(1, Ordering::SeqCst);
        if ends {
            return Err(Fault::Login("the login has ended".to_owned()));
        }
        if self.lies_once.swap(false, Ordering::SeqCst) {
            return Err(Fault::Broken("the answer was lost".to_owned()));
        }
        Ok(made)
    }

    async fn replace(&self, key: &str, bytes: Bytes) -> Result<(), Fault> {
        self.request()?;
        self.objects.lock().expect("objects").insert(key.to_owned(), bytes);
        Ok(())
    }

    async fn read(&self, key: &str, offset: u64) -> Result<Stream, Fault> {
        self.request()?;
        if let Some(left) = self.withheld.lock().expect("withheld").get_mut(key)
            && *left > 0
        {
            *left -= 1;
            return Err(Fault::NotFound);
        }
        let bytes = self.objects.lock().expect("objects").get(key).cloned().ok_or(Fault::NotFound)?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let mut bytes = bytes[from..].to_vec();
        if let (Some(first), Some(other)) = (bytes.first_mut(), self.garbled(key)) {
            *first = other;
        }
        let chunks: Vec<_> = bytes.chunks(64 * 1024).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        Ok(futures::stream::iter(chunks).boxed())
    }

    async fn stat(&self, key: &str) -> Result<Option<Meta>, Fault> {
        self.request()?;
        Ok(self.objects.lock().expect("objects").get(key).map(|bytes| self.meta(key, bytes)))
    }

    async fn list(&self, folder: &str, deep: bool) -> Result<Vec<Meta>, Fault> {
        // Who asks waits until the pause is over.
        self.paused.store(false, Ordering::SeqCst);
        self.request()?;
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let objects = self.objects.lock().expect("objects");
        let mut found = BTreeMap::new();
        for (key, bytes) in objects.iter().filter(|(key, _)| key.starts_with(&prefix)) {
            let rest = &key[prefix.len()..];
            match rest.split_once('/') {
                Some((first, _)) if !deep => {
                    let key = format!("{prefix}{first}");
                    let meta = Meta {
                        key: key.clone(),
                        folder: true,
                        size: 0,
                        checksum: None,
                        id: None,
                        tag: None,
                        modified: None,
                    };
                    found.insert(key, meta);
                }
                _ => drop(found.insert(key.clone(), self.meta(key, bytes))),
            }
        }
        Ok(found.into_values().collect())
    }

    async fn copy(&self, from: &str, to: &str) -> Result<Option<Created>, Fault> {
        self.request()?;
        if !self.copies {
            return Ok(None);
        }
        let bytes = self.objects.lock().expect("objects").get(from).cloned().ok_or(Fault::NotFound)?;
        Ok(Some(self.insert(to, bytes)))
    }

    async fn remove(&self, key: &str) -> Result<(), Fault> {
        self.request()?;
        self.objects.lock().expect("objects").remove(key);
        Ok(())
    }

    async fn remove_folder(&self, folder: &str) -> Result<Removed, Fault> {
        let meanwhile = self.meanwhile.lock().expect("meanwhile").take();
        if let Some((key, bytes)) = meanwhile {
            self.objects.lock().expect("objects").insert(key, bytes);
            self.paused.store(true, Ordering::SeqCst);
            // Whoever waits on sends the removal again, whatever was put there.
            while self.paused.load(Ordering::SeqCst) {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
        self.request()?;
        let prefix = format!("{folder}/");
        self.objects.lock().expect("objects").retain(|key, _| !key.starts_with(&prefix));
        Ok(Removed { freed: true })
    }
}

/// One that tells checksums and makes files visible in batches, as drives do.
pub(crate) fn drive() -> Arc<Shelf> {
    Arc::new(Shelf { hash: Some(HashKind::Dropbox), batches: true, copies: true, ..Shelf::new() })
}

/// One that tells nothing, as file servers do.
pub(crate) fn plain() -> Arc<Shelf> {
    Arc::new(Shelf::new())
}
