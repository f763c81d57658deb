//! A folder of an SSH server as a service.
//!
//! A file is written beside its key and linked to it, which fails where something stands. Not every server links, and some
//! only say so (rclone answers well and does nothing), so it is tried first. Where it does not, it is asked whether a key is
//! free, and the file is renamed; small objects are [claimed](super::backend::claim), and of the folder of a commit it is
//! told whether somebody made it before. The protocol tells nothing of stored bytes but their number.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use openssh_sftp_client::Error;
use openssh_sftp_client::file::TokioCompatFile;
use openssh_sftp_client::metadata::MetaData;
use tokio::io::AsyncSeekExt as _;
use tokio::sync::Mutex;

use super::backend::claim::Claims as _;
use super::backend::{
    Backend, Created, Fault, Meta, Receipt, Removed, Sessions, Source, Space, Stream, Traits, file_in_the_way, upwards,
};
use super::key::{beside, is_beside, is_unfinished};

mod part;
mod session;
mod tree;
mod write;

use part::FLIGHT;
pub use session::Host;
use session::{Session, fault};
use write::again;

const LANES: usize = 8;
const TRIES: u32 = 3;
/// From here on it is asked whether the key is free before the bytes are sent.
const WORTH_ASKING: u64 = 8 * 1024 * 1024;

/// A folder of an SSH server.
pub struct Sftp {
    host: Host,
    root: String,
    place: String,
    session: Mutex<Option<Arc<Session>>>,
}

impl std::fmt::Debug for Sftp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sftp").field("host", &self.host).field("root", &self.root).finish_non_exhaustive()
    }
}

impl Sftp {
    /// The folder `root` of `host`: below the user's own where it does not begin with `/`. Connects when it is asked.
    pub fn new(host: Host, root: String, place: String) -> Self {
        Self { host, root, place, session: Mutex::new(None) }
    }

    fn path(&self, key: &str) -> String {
        let root = self.root.trim_end_matches('/');
        match (root, key.trim_matches('/')) {
            ("", "") if self.root.starts_with('/') => "/".to_owned(),
            ("", "") => ".".to_owned(),
            ("", key) if self.root.starts_with('/') => format!("/{key}"),
            ("", key) => key.to_owned(),
            (root, "") => root.to_owned(),
            (root, key) => format!("{root}/{key}"),
        }
    }

    async fn session(&self) -> Result<Arc<Session>, Fault> {
        let mut session = self.session.lock().await;
        if let Some(session) = &*session {
            return Ok(Arc::clone(session));
        }
        let opened = Arc::new(Session::open(&self.host).await?);
        *session = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// What `ask` asks, once more with another connection where this one broke.
    async fn ask<T, F: Future<Output = Result<T, Error>> + Send>(
        &self,
        ask: impl Fn(Arc<Session>) -> F + Send + Sync,
    ) -> Result<T, Error> {
        let mut tries = 1;
        loop {
            let session = match self.session().await {
                Ok(session) => session,
                Err(fault) if tries < TRIES && fault.is_passing() => {
                    tries += 1;
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                    continue;
                }
                Err(fault) => return Err(Error::IOError(std::io::Error::other(fault))),
            };
            match ask(Arc::clone(&session)).await {
                Err(error) if is_broken(&error) => {
                    self.forget(&session).await;
                    if tries == TRIES {
                        return Err(error);
                    }
                    tries += 1;
                }
                answer => return answer,
            }
        }
    }

    /// The part of a large file that an earlier try of this machine left, where the file begins as it does: then it is
    /// read as far. Else a new name, which is remembered, and what was left goes.
    async fn part_of(&self, key: &str, source: &mut Source, sessions: &dyn Sessions) -> Result<String, Fault> {
        if source.size() < WORTH_ASKING {
            return Ok(beside(key));
        }
        if let Some(left) = sessions.recall(key).filter(|left| is_beside(key, left)) {
            if self.goes_on(&left, source).await? {
                tracing::debug!(from = source.at(), "an earlier try is gone on with");
                return Ok(left);
            }
            source.rewind()?;
            self.drop_left(key, sessions).await;
        }
        let part = beside(key);
        sessions.remember(key, &part);
        Ok(part)
    }

    /// Removes what an earlier try of this machine left of a large file.
    async fn drop_left(&self, key: &str, sessions: &dyn Sessions) {
        if let Some(left) = sessions.recall(key).filter(|left| is_beside(key, left)) {
            let removed = self.unlink(&self.path(&left)).await;
            tracing::debug!(removed = removed.is_ok(), "an earlier try broke off");
            if removed.is_ok() {
                sessions.forget(key);
            }
        }
    }

    async fn forget(&self, broken: &Arc<Session>) {
        let mut session = self.session.lock().await;
        if session.as_ref().is_some_and(|session| Arc::ptr_eq(session, broken)) {
            *session = None;
        }
    }
}

fn is_broken(error: &Error) -> bool {
    !matches!(error, Error::SftpError(..) | Error::UnsupportedExtension(_))
        && !matches!(error, Error::IOError(io) if io.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Fault>))
}

/// What was told: a fault of ours that came along inside, or the server's.
fn told(error: Error) -> Fault {
    match error {
        Error::IOError(io) => match io.downcast::<Fault>() {
            Ok(fault) => fault,
            Err(io) => Fault::Broken(io.to_string()),
        },
        error => fault(&error),
    }
}

fn is_folder(metadata: &MetaData) -> bool {
    metadata.file_type().is_some_and(|kind| kind.is_dir())
}

/// The folder of a key; empty for the place itself.
fn folder_of(key: &str) -> &str {
    key.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn meta(key: &str, metadata: &MetaData) -> Meta {
    let folder = is_folder(metadata);
    let size = if folder { 0 } else { metadata.len().unwrap_or_default() };
    let modified = metadata.modified().and_then(|at| jiff::Timestamp::try_from(at.as_system_time()).ok());
    // Nothing else is told of a file's bytes.
    let tag = modified.filter(|_| !folder).map(|at| format!("{size} {}", at.as_second()));
    Meta { key: key.to_owned(), folder, size, checksum: None, id: None, tag, modified }
}

#[async_trait]
impl Backend for Sftp {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn traits(&self) -> Traits {
        // Whether the server links is known once it was tried; where it does not, whoever asks must look.
        let links = |session: &Arc<Session>| session.links.get() == Some(&true);
        let linking = self.session.try_lock().is_ok_and(|session| session.as_ref().is_some_and(links));
        Traits { hash: None, create_only: linking, duplicates: false, lanes: LANES, longest_key: 250 }
    }

    async fn space(&self) -> Result<Space, Fault> {
        let session = again(|| self.session()).await?;
        if !session.client.support_statvfs() {
            return Ok(Space::default());
        }
        // Of a folder that is not there yet the one that it will be made in tells it: others may be on another disk.
        let place = self.path("");
        let last = if place.starts_with('/') { "/" } else { "." };
        for path in upwards(&place).chain([last]) {
            if let Ok(told) = session.client.fs().statvfs(path).await {
                let free = told.bavail.saturating_mul(told.frsize);
                return Ok(Space { free: Some(free), ..Space::default() });
            }
        }
        Ok(Space::default())
    }

    async fn look_at_place(&self) -> Result<(), Fault> {
        for path in upwards(&self.path("")) {
            match self.look(path).await? {
                Some(there) if is_folder(&there) => return Ok(()),
                Some(_) => return Err(file_in_the_way(path)),
                None => {}
            }
        }
        Ok(())
    }

    async fn make_folders(&self, folders: &[String]) -> Result<(), Fault> {
        let mut made = BTreeSet::new();
        // The longest ones make those above them.
        for folder in folders.iter().rev() {
            let below = format!("{folder}/");
            if !made.iter().any(|made: &&String| made.starts_with(&below)) {
                self.make(folder).await?;
            }
            made.insert(folder);
        }
        Ok(())
    }

    async fn own_folder(&self, folder: &str) -> Result<Option<bool>, Fault> {
        self.make(folder_of(folder)).await?;
        if self.make_new(folder).await? {
            return Ok(Some(true));
        }
        Ok(if self.links_in(folder).await? { None } else { Some(false) })
    }

    async fn folder(&self, folder: &str) -> Result<Option<Meta>, Fault> {
        let there = self.look(&self.path(folder)).await?;
        Ok(there.filter(is_folder).map(|metadata| meta(folder, &metadata)))
    }

    async fn create(&self, key: &str, source: &mut Source, sessions: &dyn Sessions) -> Result<Created, Fault> {
        if source.size() >= WORTH_ASKING
            && let Some(meta) = self.stat(key).await?
        {
            self.drop_left(key, sessions).await;
            return Ok(Created::Taken(Some(meta)));
        }
        let name = self.part_of(key, source, sessions).await?;
        let (folder, part) = (folder_of(key), self.path(&name));
        let mut tries = 1;
        let tag = loop {
            let (from, mut sent) = (source.at(), 0);
            let fault = match self.send(&part, folder, source, sessions, &mut sent).await {
                Ok(tag) => break tag,
                Err(fault) => fault,
            };
            sessions.unsent(sent);
            source.rewind()?;
            // What is remembered stays: the next try goes on with it, here or in another process. A server that takes
            // nothing behind what is there gets all of it anew.
            let taken = from == 0 || sent > from + 4 * FLIGHT as u64;
            let goes_on = fault.is_passing() && taken && sessions.recall(key).as_ref() == Some(&name);
            let anew = from > 0
                && matches!(fault, Fault::Refused { .. } | Fault::Forbidden(_) | Fault::NotFound | Fault::Damaged(_));
            let last = tries == TRIES || !(fault.is_passing() || anew);
            if !goes_on {
                self.unlink(&part).await.or(Err(fault.clone()))?;
                if last {
                    sessions.forget(key);
                }
            }
            if last {
                return Err(fault);
            }
            tries += 1;
            if goes_on && !self.goes_on(&name, source).await.unwrap_or(false) {
                source.rewind()?;
            }
        };
        let landed = self.land(&part, &self.path(key)).await?;
        sessions.forget(key);
        if landed {
            return Ok(Created::Ours(Receipt { tag, ..Receipt::default() }));
        }
        sessions.unsent(source.size());
        Ok(Created::Taken(self.stat(key).await?))
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<bool, Fault> {
        self.write(key, bytes, false).await
    }

    async fn replace(&self, key: &str, bytes: Bytes) -> Result<(), Fault> {
        self.write(key, bytes, true).await.map(drop)
    }

    async fn read(&self, key: &str, offset: u64) -> Result<Stream, Fault> {
        let path = self.path(key);
        let opened = self.ask(|session| {
            let path = path.clone();
            async move {
                let file = session.client.open(path).await?;
                Ok((session, file))
            }
        });
        let (session, mut file) = opened.await.map_err(told)?;
        file.seek(std::io::SeekFrom::Start(offset)).await.map_err(|error| Fault::Broken(error.to_string()))?;
        let reader = tokio_util::io::ReaderStream::with_capacity(Box::pin(TokioCompatFile::new(file)), 256 * 1024);
        Ok(reader
            .map_err(move |error| {
                // The connection lives as long as somebody reads from it.
                let _living = &session;
                Fault::Broken(error.to_string())
            })
            .boxed())
    }

    async fn stat(&self, key: &str) -> Result<Option<Meta>, Fault> {
        Ok(self.look(&self.path(key)).await?.map(|metadata| meta(key, &metadata)))
    }

    async fn list(&self, folder: &str, deep: bool) -> Result<Vec<Meta>, Fault> {
        let found = self.walk(folder, deep).await?;
        Ok(found.iter().filter(|(key, _)| !is_unfinished(key)).map(|(key, metadata)| meta(key, metadata)).collect())
    }

    /// Servers on file systems of Windows and macOS do; most do not.
    fn may_fold_case(&self) -> bool {
        true
    }

    async fn copy(&self, from: &str, to: &str) -> Result<Option<Created>, Fault> {
        // Copying may take the server a while.
        if let Some(meta) = self.stat(to).await? {
            return Ok(Some(Created::Taken(Some(meta))));
        }
        Ok(match self.copied(from, to).await? {
            None => None,
            Some(true) => Some(Created::Ours(Receipt::default())),
            Some(false) => Some(Created::Taken(self.stat(to).await?)),
        })
    }

    async fn remove(&self, key: &str) -> Result<(), Fault> {
        self.unlink(&self.path(key)).await
    }

    async fn remove_folder(&self, folder: &str) -> Result<Removed, Fault> {
        if folder.trim_matches('/').is_empty() {
            return Err(Fault::Setting("the place itself is never removed".to_owned()));
        }
        self.remove_tree(folder).await?;
        Ok(Removed { freed: true })
    }
}
