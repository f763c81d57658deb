//! Object stores that opendal reaches (S3, Google Cloud Storage, Azure Blob Storage, a folder, memory) as a service.
//!
//! Keys are created exclusively, in parts that go out side by side, and appear whole or not at all: an object store shows
//! a key when its upload is closed; in a folder the bytes are written beside it and linked to the key, which fails where
//! something stands. What commits are, and which keys there are, is not known here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use opendal::layers::{RetryLayer, TimeoutLayer};
use opendal::{EntryMode, ErrorKind, HttpTransporter, Metadata, OperationContext, Operator};
use tokio::sync::Semaphore;

use super::backend::{
    Backend, Checksum, Created, Fault, HashKind, Meta, Receipt, Removed, Sessions, Source, Space, Stream, Traits,
    entity_tag,
};
use crate::web::{Waiting, Waits};

mod abandon;
mod crc64;
mod fault;
mod half;
mod parts;
mod resume;
mod tags;
mod transport;
mod upload;

use super::key::{beside, is_marks, is_unfinished};
use fault::fault;
use tags::Tags;
use transport::Patient;

/// Parts of all uploads that may be in memory at once: 256 MiB with parts of 8 MiB.
const ROOM: u32 = 32;

/// How a store differs from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Amazon S3 and what speaks like it: an entity tag is a checksum there, or it is not.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azblob,
    /// This process' memory.
    Memory,
    /// A folder.
    Folder,
}

/// One store, opened for one place in it.
#[derive(Debug, Clone)]
pub struct ObjectStore {
    operator: Operator,
    /// What its requests go through.
    transport: HttpTransporter,
    waits: Waits,
    kind: Kind,
    place: String,
    /// Where keys are files: bytes are written beside them, and linked.
    folder: Option<PathBuf>,
    room: Arc<Semaphore>,
    /// Its page for people, with `{}` where a folder goes.
    page: Option<String>,
    /// Whether entity tags are checksums here (S3).
    tags: Arc<Tags>,
}

impl ObjectStore {
    /// A store over `operator`, whose requests go through `client`; `place` is how people know it, without credentials.
    pub fn new(operator: Operator, kind: Kind, client: reqwest::Client, place: String) -> Self {
        let waits = Waits::default();
        let transport = HttpTransporter::new(Patient::new(client, waits.clone()));
        Self { waits, ..Self::over(operator, kind, transport, place) }
    }

    /// The same over any transport.
    fn over(operator: Operator, kind: Kind, transport: HttpTransporter, place: String) -> Self {
        let context = OperationContext::new().with_http_transport(transport.clone());
        // Up to 32 parts share a line that may be slow; one that is dead the system notices.
        let limits = TimeoutLayer::new().with_timeout(Duration::from_mins(2)).with_io_timeout(Duration::from_mins(15));
        let operator = operator
            .with_context(context)
            .layer(limits)
            .layer(RetryLayer::new().with_jitter().with_max_times(6).with_max_delay(Duration::from_secs(30)));
        Self {
            operator,
            transport,
            waits: Waits::default(),
            kind,
            place,
            folder: None,
            page: None,
            room: Arc::new(Semaphore::new(ROOM as usize)),
            tags: Arc::default(),
        }
    }

    /// With the address of a page on which people look at a folder, which stands there as `{}`.
    #[must_use]
    pub fn seen_at(self, page: Option<String>) -> Self {
        Self { page, ..self }
    }

    /// A store in this process' memory.
    ///
    /// # Errors
    /// Never, as far as is known.
    pub fn memory() -> Result<Self, Fault> {
        let operator = Operator::new(opendal::services::Memory::default()).map_err(|error| fault(&error))?;
        Ok(Self::new(operator, Kind::Memory, reqwest::Client::new(), "memory:".to_owned()))
    }

    /// A store in a folder, which is made if need be.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn folder(root: PathBuf) -> Result<Self, Fault> {
        let place = format!("folder {}", root.display());
        let text = root.to_str().ok_or_else(|| Fault::Setting(format!("{place}: its name is not UTF-8")))?;
        let operator = Operator::new(opendal::services::Fs::default().root(text)).map_err(|error| fault(&error))?;
        let store = Self::new(operator, Kind::Folder, reqwest::Client::new(), place);
        Ok(Self { folder: Some(root), ..store })
    }

    /// What the service says of stored bytes, where that can be nothing but their checksum.
    fn checksum(&self, metadata: &Metadata) -> Option<Checksum> {
        match self.kind {
            Kind::Gcs | Kind::Azblob => Checksum::from_base64(HashKind::Md5, metadata.content_md5()?).filter(is_md5),
            _ => None,
        }
    }

    /// What tells stored bytes from any others of that key, of a service in the network.
    fn tag(&self, metadata: &Metadata) -> Option<String> {
        let is_cloud = matches!(self.kind, Kind::S3 | Kind::Gcs | Kind::Azblob);
        metadata.etag().filter(|_| is_cloud).and_then(entity_tag)
    }

    fn meta(&self, key: &str, metadata: &Metadata) -> Meta {
        Meta {
            key: key.trim_end_matches('/').to_owned(),
            folder: metadata.mode() == EntryMode::DIR,
            size: metadata.content_length(),
            checksum: self.checksum(metadata),
            id: None,
            tag: self.tag(metadata),
            modified: metadata.last_modified().map(opendal::raw::Timestamp::into_inner),
        }
    }

    /// Everything below a folder as the service tells it, our own unfinished files included.
    async fn entries(&self, folder: &str, deep: bool) -> Result<Vec<opendal::Entry>, Fault> {
        let prefix = prefix(folder);
        let listing = async {
            let lister = self.operator.lister_with(&prefix).recursive(deep).await?;
            lister.try_collect::<Vec<_>>().await
        };
        match listing.await {
            Ok(entries) => {
                let below = |path: &str| path.len() > prefix.len() && path.starts_with(&prefix);
                Ok(entries.into_iter().filter(|entry| below(entry.path())).collect())
            }
            Err(error) => match fault(&error) {
                Fault::NotFound => Ok(Vec::new()),
                fault => Err(fault),
            },
        }
    }
}

fn is_md5(checksum: &Checksum) -> bool {
    checksum.bytes.len() == 16
}

/// What every key below a folder begins with.
fn prefix(folder: &str) -> String {
    if folder.is_empty() { String::new() } else { format!("{}/", folder.trim_end_matches('/')) }
}

#[async_trait]
impl Backend for ObjectStore {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn waiting(&self) -> Option<Waiting> {
        self.waits.longest()
    }

    fn asked(&self) -> Option<u64> {
        Some(self.waits.sent())
    }

    fn undenied(&self) -> Option<u64> {
        Some(self.waits.undenied())
    }

    fn traits(&self) -> Traits {
        let cloud = matches!(self.kind, Kind::S3 | Kind::Gcs | Kind::Azblob);
        // 1024 bytes for a key, of which the place takes its part; letters of three bytes are the longest that are usual.
        let root = self.operator.info().root().len();
        Traits {
            hash: cloud.then_some(HashKind::Md5),
            create_only: self.operator.info().capability().write_with_if_not_exists,
            duplicates: false,
            lanes: if cloud { 16 } else { 8 },
            longest_key: 1024_usize.saturating_sub(root).max(300) / 3,
        }
    }

    async fn space(&self) -> Result<Space, Fault> {
        // Nothing tells how much room there is; that the place can be reached is worth knowing before anything is sent.
        let probe = self.operator.lister_with("").limit(1).await;
        let first = async { probe?.try_next().await };
        match first.await {
            Ok(_) => Ok(Space::default()),
            Err(error) if error.kind() == ErrorKind::NotFound && self.folder.is_some() => Ok(Space::default()),
            Err(error) => Err(fault(&error)),
        }
    }

    async fn make_folders(&self, _: &[String]) -> Result<(), Fault> {
        Ok(())
    }

    async fn folder(&self, folder: &str) -> Result<Option<Meta>, Fault> {
        let Some(root) = &self.folder else { return Ok(None) };
        match tokio::fs::metadata(root.join(folder)).await {
            Ok(metadata) if metadata.is_dir() => {
                let modified = metadata.modified().ok().and_then(|at| at.try_into().ok());
                Ok(Some(Meta {
                    key: folder.to_owned(),
                    folder: true,
                    size: 0,
                    checksum: None,
                    id: None,
                    tag: None,
                    modified,
                }))
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Fault::Broken(error.to_string())),
        }
    }

    async fn create(&self, key: &str, source: &mut Source, sessions: &dyn Sessions) -> Result<Created, Fault> {
        upload::create(self, key, source, sessions).await
    }

    fn halves_stay(&self) -> bool {
        self.kind == Kind::S3
    }

    async fn abandon(&self, key: &str, session: &str) -> Result<bool, Fault> {
        abandon::abandon(self, key, session).await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<bool, Fault> {
        upload::put(self, key, bytes).await
    }

    async fn replace(&self, key: &str, bytes: Bytes) -> Result<(), Fault> {
        let Some(root) = &self.folder else {
            return self.operator.write(key, bytes).await.map(drop).map_err(|error| fault(&error));
        };
        let part = beside(key);
        self.operator.write(&part, bytes).await.map_err(|error| fault(&error))?;
        parts::rename(root, &part, key).await
    }

    async fn read(&self, key: &str, offset: u64) -> Result<Stream, Fault> {
        // A range that begins at the end is an error to many services.
        let size = self.stat(key).await?.filter(|meta| !meta.folder).ok_or(Fault::NotFound)?.size;
        if offset >= size {
            return Ok(futures::stream::empty().boxed());
        }
        let reader = self.operator.reader(key).await.map_err(|error| fault(&error))?;
        let stream = reader.into_bytes_stream(offset..size).await.map_err(|error| fault(&error))?;
        Ok(stream.map_err(|error| Fault::Broken(error.to_string())).boxed())
    }

    async fn stat(&self, key: &str) -> Result<Option<Meta>, Fault> {
        match self.operator.stat(key).await {
            Ok(metadata) => Ok(Some(self.meta(key, &metadata))),
            Err(error) => match fault(&error) {
                Fault::NotFound => Ok(None),
                fault => Err(fault),
            },
        }
    }

    async fn list(&self, folder: &str, deep: bool) -> Result<Vec<Meta>, Fault> {
        let mut found = Vec::new();
        for entry in self.entries(folder, deep).await? {
            if is_unfinished(entry.path()) {
                continue;
            }
            let mut meta = self.meta(entry.path(), entry.metadata());
            // Listings of folders tell names only.
            if self.folder.is_some() {
                let looked_at = if meta.folder { self.folder(&meta.key).await? } else { self.stat(&meta.key).await? };
                match looked_at {
                    Some(looked_at) => meta = looked_at,
                    None => continue,
                }
            }
            found.push(meta);
        }
        Ok(found)
    }

    async fn copy(&self, from: &str, to: &str) -> Result<Option<Created>, Fault> {
        let capability = self.operator.info().capability();
        if !capability.copy || !capability.copy_with_if_not_exists {
            return Ok(None);
        }
        // What speaks like S3 may not know conditions on copies: who asks first overwrites nothing that stands there.
        if let Some(meta) = self.stat(to).await? {
            return Ok(Some(Created::Taken(Some(meta))));
        }
        match self.operator.copy_with(from, to).if_not_exists(true).await {
            Ok(_) => Ok(Some(Created::Ours(Receipt::default()))),
            Err(error) => match fault(&error) {
                Fault::Exists => Ok(Some(Created::Taken(self.stat(to).await?))),
                fault => Err(fault),
            },
        }
    }

    async fn signed_address(&self, key: &str, lasts: Duration) -> Result<Option<String>, Fault> {
        if !self.operator.info().capability().presign_read {
            return Ok(None);
        }
        let signed = self.operator.presign_read(key, lasts).await.map_err(|error| fault(&error))?;
        Ok(Some(signed.uri().to_string()))
    }

    async fn web_address(&self, folder: &str) -> Result<Option<String>, Fault> {
        Ok(self.page.as_ref().map(|page| page.replace("{}", folder)))
    }

    async fn remove(&self, key: &str) -> Result<(), Fault> {
        match self.operator.delete(key).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(fault(&error)),
            _ => Ok(()),
        }
    }

    async fn remove_folder(&self, folder: &str) -> Result<Removed, Fault> {
        if folder.trim_matches('/').is_empty() {
            return Err(Fault::Setting("the place itself is never removed".to_owned()));
        }
        let mut paths: Vec<String> =
            self.entries(folder, true).await?.iter().map(|entry| entry.path().to_owned()).collect();
        if self.folder.is_some() {
            paths.push(prefix(folder));
        }
        // What lies deeper comes first, and a mark after everything beside it.
        let depth = |path: &str| path.trim_end_matches('/').matches('/').count();
        paths.sort_by_key(|path| (std::cmp::Reverse(depth(path)), is_marks(path)));
        self.operator.delete_iter(paths).await.map_err(|error| fault(&error))?;
        Ok(Removed { freed: true })
    }
}

#[cfg(all(test, feature = "s3"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_is_lent_ends_by_itself_is_made_without_a_network_and_tells_no_key() {
        let builder = opendal::services::S3::default()
            .bucket("runs")
            .root("/team")
            .region("eu-west-1")
            .endpoint("http://127.0.0.1:9")
            .access_key_id("AKIDEXAMPLE")
            .secret_access_key("secret-of-the-bucket");
        let (operator, client) = (Operator::new(builder).unwrap(), reqwest::Client::new());
        let store = ObjectStore::new(operator, Kind::S3, client, "s3://runs/team".to_owned());
        assert_eq!(store.web_address("churn/abc").await, Ok(None));
        let store = store.seen_at(Some("https://console.example/runs?prefix=team/{}/".to_owned()));
        let page = store.web_address("churn/abc").await.unwrap();
        assert_eq!(page.as_deref(), Some("https://console.example/runs?prefix=team/churn/abc/"));
        let day = Duration::from_hours(24);
        let lent = store.signed_address("churn/abc/plots/roc curve.png", day).await.unwrap().unwrap();
        assert!(lent.starts_with("http://127.0.0.1:9/runs/team/churn/abc/plots/roc%20curve.png?"), "{lent}");
        assert!(lent.contains("X-Amz-Expires=86400") && lent.contains("X-Amz-Signature="), "{lent}");
        assert!(!lent.contains("secret-of"), "{lent}");
        let memory = ObjectStore::memory().unwrap();
        assert_eq!(memory.signed_address("churn/abc/a.png", day).await, Ok(None));
    }
}
