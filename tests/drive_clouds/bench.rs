//! A fake drive, clients of it, files to send, and what is remembered of them.

use std::collections::HashMap;
use std::io::{Seek as _, Write as _};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::TryStreamExt as _;
use soopervisor::auth::{Endpoints, Provider};
use soopervisor::secret::Secret;
use soopervisor::storage::backend::{Backend, Created, Fault, Receipt, Sessions, Source, Stream};
use soopervisor::storage::drive::{GoogleDrive, OneDrive, Setup};
use soopervisor::web::{Bearer, Reach, client};

use crate::fake::{Drive, Fake};

pub(crate) const BOTH: [Drive; 2] = [Drive::OneDrive, Drive::GDrive];
pub(crate) const MIB: usize = 1024 * 1024;

/// A token of the fake, renewed when it ends.
pub(crate) struct Login {
    url: String,
    drive: &'static str,
    token: Mutex<String>,
    pub renewed: AtomicUsize,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

#[async_trait]
impl Bearer for Login {
    async fn token(&self) -> Result<Secret, Fault> {
        Ok(Secret::new("token", self.token.lock().unwrap().clone().into_bytes()))
    }

    async fn renew(&self, _: &Secret) -> Result<Secret, Fault> {
        self.renewed.fetch_add(1, Ordering::SeqCst);
        let body = format!(r#"{{"drive": "{}"}}"#, self.drive);
        let answer = reqwest::Client::new().post(format!("{}/_fake/tokens", self.url)).body(body).send().await;
        let pair: serde_json::Value = serde_json::from_slice(&answer.unwrap().bytes().await.unwrap()).unwrap();
        let token = ["access", "access_token"].iter().find_map(|key| pair[key].as_str()).unwrap().to_owned();
        self.token.lock().unwrap().clone_from(&token);
        Ok(Secret::new("token", token.into_bytes()))
    }
}

pub(crate) struct Opened {
    pub service: Arc<dyn Backend>,
    pub login: Arc<Login>,
}

impl std::ops::Deref for Opened {
    type Target = dyn Backend;

    fn deref(&self) -> &Self::Target {
        &*self.service
    }
}

/// A client as a new process has it.
pub(crate) fn open(fake: &Fake, drive: Drive, root: &str) -> Opened {
    let provider = if drive == Drive::OneDrive { Provider::OneDrive } else { Provider::GoogleDrive };
    let base = fake.base(drive);
    let token = Mutex::new(fake.token(drive));
    let login = Arc::new(Login { url: fake.url(), drive: drive.prefix(), token, renewed: AtomicUsize::new(0) });
    let setup = Setup {
        client: client(&Reach::default()).unwrap(),
        bearer: Arc::clone(&login) as Arc<dyn Bearer>,
        account: fake.url(),
        endpoints: Endpoints::of(provider, "x", |_| Some(base.clone())).unwrap(),
        root: root.to_owned(),
        place: format!("{}:{root}", drive.prefix()),
        shared: None,
    };
    let service: Arc<dyn Backend> = match drive {
        Drive::OneDrive => Arc::new(OneDrive::open(setup)),
        _ => Arc::new(GoogleDrive::open(setup)),
    };
    Opened { service, login }
}

/// What sessions are remembered, over the death of a client.
#[derive(Default)]
pub(crate) struct Memory {
    pub kept: Mutex<HashMap<String, String>>,
    pub sent: AtomicI64,
}

impl Sessions for Memory {
    fn recall(&self, key: &str) -> Option<String> {
        self.kept.lock().unwrap().get(key).cloned()
    }
    fn remember(&self, key: &str, session: &str) {
        self.kept.lock().unwrap().insert(key.to_owned(), session.to_owned());
    }
    fn forget(&self, key: &str) {
        self.kept.lock().unwrap().remove(key);
    }
    fn sent(&self, bytes: u64) {
        self.sent.fetch_add(i64::try_from(bytes).unwrap(), Ordering::SeqCst);
    }
    fn unsent(&self, bytes: u64) {
        self.sent.fetch_sub(i64::try_from(bytes).unwrap(), Ordering::SeqCst);
    }
}

/// Bytes that look like nothing.
pub(crate) fn noise(size: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut bytes = Vec::with_capacity(size + 4);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

pub(crate) fn source(service: &dyn Backend, bytes: &[u8]) -> Source {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    Source::new(file, bytes.len() as u64, service.traits().hash, false, |_| Ok(()))
}

pub(crate) async fn create(service: &dyn Backend, key: &str, bytes: &[u8]) -> Result<Created, Fault> {
    create_with(service, key, bytes, &()).await
}

pub(crate) async fn create_with(
    service: &dyn Backend,
    key: &str,
    bytes: &[u8],
    sessions: &dyn Sessions,
) -> Result<Created, Fault> {
    let mut source = source(service, bytes);
    let created = service.create(key, &mut source, sessions).await?;
    if let Created::Ours(receipt) = &created {
        assert_eq!(source.at(), source.size(), "{key}: read to its end");
        assert_eq!(receipt.checksum, source.checksum(), "{key}");
    }
    Ok(created)
}

/// Creates what must be free.
pub(crate) async fn made(service: &dyn Backend, key: &str, bytes: &[u8]) -> Receipt {
    match create(service, key, bytes).await.unwrap() {
        Created::Ours(receipt) => receipt,
        other => panic!("{key}: {other:?}"),
    }
}

pub(crate) async fn read(service: &dyn Backend, key: &str, offset: u64) -> Result<Vec<u8>, Fault> {
    let pieces: Vec<bytes::Bytes> = service.read(key, offset).await?.try_collect().await?;
    Ok(pieces.concat())
}

pub(crate) async fn concat(stream: Stream) -> Vec<u8> {
    let pieces: Vec<bytes::Bytes> = stream.try_collect().await.unwrap();
    pieces.concat()
}

pub(crate) async fn keys(service: &dyn Backend, folder: &str, deep: bool) -> Vec<String> {
    let listed = service.list(folder, deep).await.unwrap();
    let mut keys: Vec<String> =
        listed.into_iter().map(|meta| if meta.folder { meta.key + "/" } else { meta.key }).collect();
    keys.sort();
    keys
}

/// What begins, continues or is all of an upload.
pub(crate) fn uploads(fake: &Fake, drive: Drive) -> usize {
    let path = if drive == Drive::OneDrive { "/up/" } else { "upload_id=" };
    fake.count(drive, "PUT", path)
}

/// The requests that carry bytes of a session.
pub(crate) fn fragment(drive: Drive) -> &'static str {
    if drive == Drive::OneDrive { "/up/" } else { "upload_id=" }
}

/// The request that creates a small file.
pub(crate) fn whole(drive: Drive) -> (&'static str, &'static str) {
    if drive == Drive::OneDrive { ("PUT", "/content") } else { ("POST", "uploadType=multipart") }
}
