//! A fake, a client of it, files to send, and what a client remembers.

use std::collections::HashMap;
use std::io::{Seek as _, Write as _};
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt as _;
use soopervisor::auth::{Endpoints, Provider};
use soopervisor::secret::Secret;
use soopervisor::storage::backend::{Backend, Created, HashKind, Hasher, Meta, Sessions, Source};
use soopervisor::storage::drive::{BoxDrive, Dropbox, Setup};
use soopervisor::web::{Bearer, Fault, Reach, client};

use super::fake::{Drive, Fake};

pub(crate) const BOTH: [Drive; 2] = [Drive::Box, Drive::Dropbox];

/// Below this everything lies.
pub(crate) const ROOT: &str = "Apps/Our Things";

pub(crate) struct Bench {
    pub(crate) fake: Arc<Fake>,
    pub(crate) drive: Drive,
    pub(crate) service: Arc<dyn Backend>,
}

/// Asks the fake for another token when one has ended.
struct Login {
    fake: Arc<Fake>,
    drive: Drive,
    token: Mutex<String>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login")
    }
}

#[async_trait]
impl Bearer for Login {
    async fn token(&self) -> Result<Secret, Fault> {
        Ok(Secret::new("token", self.token.lock().unwrap().clone().into_bytes()))
    }

    async fn renew(&self, _: &Secret) -> Result<Secret, Fault> {
        let fresh = self.fake.token(self.drive);
        *self.token.lock().unwrap() = fresh;
        self.token().await
    }
}

impl Bench {
    pub(crate) async fn new(drive: Drive) -> Self {
        let fake = Arc::new(Fake::start().await);
        let service = open(&fake, drive, &fake.base(drive));
        Self { fake, drive, service }
    }

    /// Another client of the same account, as another process would be one; it knows nothing.
    pub(crate) fn other(&self) -> Arc<dyn Backend> {
        open(&self.fake, self.drive, &self.fake.base(self.drive))
    }

    /// Creates and, where that is needed, makes visible.
    pub(crate) async fn send(&self, key: &str, bytes: &[u8]) -> Result<Created, Fault> {
        send(&*self.service, key, bytes, &()).await
    }

    /// What the fake holds under a key.
    pub(crate) fn held(&self, key: &str) -> Option<Vec<u8>> {
        self.fake.read(self.drive, &format!("{ROOT}/{key}"))
    }

    pub(crate) async fn read(&self, key: &str, offset: u64) -> Result<Vec<u8>, Fault> {
        let stream = self.service.read(key, offset).await?;
        let chunks: Vec<Bytes> = stream.try_collect().await?;
        Ok(chunks.concat())
    }

    pub(crate) async fn keys(&self, folder: &str) -> Vec<String> {
        let mut keys: Vec<String> =
            self.service.list(folder, true).await.unwrap().into_iter().filter(|m| !m.folder).map(|m| m.key).collect();
        keys.sort();
        keys
    }

    pub(crate) fn kind(&self) -> HashKind {
        self.service.traits().hash.unwrap()
    }
}

pub(crate) fn open(fake: &Arc<Fake>, drive: Drive, base: &str) -> Arc<dyn Backend> {
    // Accounts share a pace, tests do not.
    static ACCOUNTS: AtomicU32 = AtomicU32::new(0);
    let provider = if drive == Drive::Box { Provider::Box } else { Provider::Dropbox };
    let endpoints = Endpoints::of(provider, "x", |name| (name == "SOOPERVISOR_X_BASE_URL").then(|| base.to_owned()));
    let login = Login { fake: Arc::clone(fake), drive, token: Mutex::new(fake.token(drive)) };
    let setup = Setup {
        client: client(&Reach::default()).unwrap(),
        bearer: Arc::new(login),
        account: format!("{}-{}", fake.address(), ACCOUNTS.fetch_add(1, Ordering::Relaxed)),
        endpoints: endpoints.unwrap(),
        root: ROOT.to_owned(),
        place: format!("{provider}:{ROOT}"),
        shared: None,
    };
    match drive {
        Drive::Box => Arc::new(BoxDrive::open(setup)),
        _ => Arc::new(Dropbox::open(setup)),
    }
}

pub(crate) fn source(bytes: &[u8], kind: HashKind) -> Source {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    Source::new(file, bytes.len() as u64, Some(kind), false, |_| Ok(()))
}

pub(crate) async fn send(
    service: &dyn Backend,
    key: &str,
    bytes: &[u8],
    sessions: &dyn Sessions,
) -> Result<Created, Fault> {
    let mut source = source(bytes, service.traits().hash.unwrap());
    match service.create(key, &mut source, sessions).await? {
        Created::Pending(pending) => service.settle(vec![pending]).await.remove(0),
        created => Ok(created),
    }
}

/// Reproducible bytes that differ from block to block.
pub(crate) fn bytes(count: usize, seed: u8) -> Vec<u8> {
    let block: Vec<u8> = (0..64 * 1024_u32).map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()[2] ^ seed).collect();
    let mut all = Vec::with_capacity(count + block.len());
    while all.len() < count {
        let number = all.len().to_le_bytes();
        all.extend_from_slice(&number);
        all.extend_from_slice(&block);
    }
    all.truncate(count);
    all
}

#[track_caller]
pub(crate) fn ours(created: Result<Created, Fault>, bytes: &[u8], kind: HashKind) {
    match created {
        Ok(Created::Ours(receipt)) => assert_eq!(receipt.checksum, Some(Hasher::of(kind, bytes))),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub(crate) fn taken(created: Result<Created, Fault>) -> Meta {
    match created {
        Ok(Created::Taken(Some(meta))) => meta,
        other => panic!("{other:?}"),
    }
}

/// What is remembered of files that are half sent.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) known: Mutex<HashMap<String, String>>,
    pub(crate) progress: AtomicI64,
}

impl Sessions for Memory {
    fn recall(&self, key: &str) -> Option<String> {
        self.known.lock().unwrap().get(key).cloned()
    }

    fn remember(&self, key: &str, session: &str) {
        self.known.lock().unwrap().insert(key.to_owned(), session.to_owned());
    }

    fn forget(&self, key: &str) {
        self.known.lock().unwrap().remove(key);
    }

    fn sent(&self, bytes: u64) {
        self.progress.fetch_add(i64::try_from(bytes).unwrap(), Ordering::SeqCst);
    }

    fn unsent(&self, bytes: u64) {
        self.progress.fetch_sub(i64::try_from(bytes).unwrap(), Ordering::SeqCst);
    }
}
