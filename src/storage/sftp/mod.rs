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
use openssh_sftp_client::error::SftpErrorKind;
use openssh_sftp_client::file::{File, TokioCompatFile};
use openssh_sftp_client::{Error, metadata::MetaData};
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::sync::Mutex;

use super::backend::claim::{Claims, exclusively};
use super::backend::{Backend, Created, Fault, Meta, Receipt, Removed, Sessions, Source, Space, Stream, Traits};
use super::key::{beside, is_unfinished};

mod session;

pub use session::Host;
use session::{Session, fault};

const LANES: usize = 8;
const CHUNK: u64 = 1024 * 1024;
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

    async fn forget(&self, broken: &Arc<Session>) {
        let mut session = self.session.lock().await;
        if session.as_ref().is_some_and(|session| Arc::ptr_eq(session, broken)) {
            *session = None;
        }
    }

    async fn look(&self, path: &str) -> Result<Option<MetaData>, Fault> {
        let asked = self.ask(|session| {
            let path = path.to_owned();
            async move { session.client.fs().metadata(path).await }
        });
        match asked.await {
            Ok(metadata) => Ok(Some(metadata)),
            Err(error) => match told(error) {
                Fault::NotFound => Ok(None),
                fault => Err(fault),
            },
        }
    }

    /// A folder and those above it.
    async fn make(&self, folder: &str) -> Result<(), Fault> {
        let whole = self.path(folder);
        let ends = whole.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0).chain([whole.len()]);
        for end in ends {
            let path = &whole[..end];
            let made = self.ask(|session| {
                let path = path.to_owned();
                async move { session.client.fs().create_dir(path).await }
            });
            // What is there answers with a failure of no particular kind; whether it is a folder shows soon enough.
            if let Err(error) = made.await
                && !self.look(path).await?.is_some_and(|there| is_folder(&there))
            {
                return Err(told(error));
            }
        }
        Ok(())
    }

    /// A new file, in a folder that is made if need be.
    async fn new_file(&self, path: &str, folder: &str) -> Result<(Arc<Session>, File), Fault> {
        let open = || {
            self.ask(|session| {
                let path = path.to_owned();
                async move {
                    let file = session.client.options().write(true).create_new(true).open(path).await?;
                    Ok((session, file))
                }
            })
        };
        match open().await {
            Err(Error::SftpError(SftpErrorKind::NoSuchFile, _)) => {
                self.make(folder).await?;
                open().await.map_err(told)
            }
            opened => opened.map_err(told),
        }
    }

    /// Gives a finished file its name; `false` when the name is taken. The other name goes away in either case.
    async fn land(&self, part: &str, path: &str) -> Result<bool, Fault> {
        let session = self.session().await?;
        let links = self.links(&session, part).await?;
        let landed = if links {
            let linked = session.client.fs().hard_link(part, path).await;
            let removed = self.unlink(part).await;
            tracing::trace!(removed = removed.is_ok(), "linked");
            linked
        } else if self.look(path).await?.is_some() {
            self.unlink(part).await?;
            return Ok(false);
        } else {
            session.client.fs().rename(part, path).await
        };
        match landed {
            Ok(()) => Ok(true),
            Err(error) if is_broken(&error) => {
                self.forget(&session).await;
                Err(told(error))
            }
            Err(error) if self.look(path).await?.is_none() => Err(told(error)),
            Err(_) => Ok(false),
        }
    }

    /// Whether the server gives second names to files like this one.
    async fn links(&self, session: &Session, part: &str) -> Result<bool, Fault> {
        let tried = session.links.get_or_try_init(|| async {
            if !session.client.support_hardlink() {
                return Ok(false);
            }
            let second = format!("{part}-second");
            let linked = session.client.fs().hard_link(part, &second).await;
            if let Err(error) = linked {
                return if is_broken(&error) { Err(told(error)) } else { Ok(false) };
            }
            let there = self.look(&second).await?.is_some();
            if there {
                self.unlink(&second).await?;
            }
            Ok(there)
        });
        tried.await.copied()
    }

    /// [`Self::links`] where there is no file yet.
    async fn links_in(&self, folder: &str) -> Result<bool, Fault> {
        let part = self.path(&beside(&format!("{folder}/x")));
        let (session, file) = self.new_file(&part, folder).await?;
        file.close().await.map_err(told)?;
        let links = self.links(&session, &part).await;
        self.unlink(&part).await?;
        links
    }

    async fn unlink(&self, path: &str) -> Result<(), Fault> {
        let removed = self.ask(|session| {
            let path = path.to_owned();
            async move { session.client.fs().remove_file(path).await }
        });
        match removed.await.map_err(told) {
            Err(Fault::NotFound) | Ok(()) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// Writes a part beside `key` and gives it its name.
    async fn write(&self, key: &str, bytes: Bytes, over: bool) -> Result<bool, Fault> {
        let (folder, part) = (folder_of(key), self.path(&beside(key)));
        let (_session, file) = self.new_file(&part, folder).await?;
        let mut file = Box::pin(TokioCompatFile::new(file));
        let written = async {
            file.write_all(&bytes).await?;
            file.shutdown().await
        };
        if let Err(error) = written.await {
            self.unlink(&part).await?;
            return Err(Fault::Broken(error.to_string()));
        }
        if !over {
            let path = self.path(key);
            let session = self.session().await?;
            if self.links(&session, &part).await? {
                return self.land(&part, &path).await;
            }
            let ours = exclusively(self, key, || self.land(&part, &path)).await;
            if !matches!(ours, Ok(true)) {
                self.unlink(&part).await?;
            }
            return ours;
        }
        let to = self.path(key);
        let session = self.session().await?;
        if !session.client.support_posix_rename() {
            self.unlink(&to).await?;
        }
        session.client.fs().rename(&part, &to).await.map_err(told)?;
        Ok(true)
    }

    /// The entries of one folder by their names; nothing where there is none.
    async fn entries(&self, folder: &str) -> Result<Vec<(String, MetaData)>, Fault> {
        let path = self.path(folder);
        let listed = self.ask(|session| {
            let path = path.clone();
            async move {
                let folder = session.client.fs().open_dir(path).await?;
                folder.read_dir().try_collect::<Vec<_>>().await
            }
        });
        let entries = match listed.await.map_err(told) {
            Err(Fault::NotFound) => return Ok(Vec::new()),
            entries => entries?,
        };
        let named = entries.into_iter().filter_map(|entry| {
            let name = entry.filename().to_str()?.to_owned();
            (!matches!(&*name, "." | "..")).then(|| (name, entry.metadata()))
        });
        Ok(named.collect())
    }

    /// Everything below a folder by whole keys, folders before what is in them.
    async fn walk(&self, folder: &str, deep: bool) -> Result<Vec<(String, MetaData)>, Fault> {
        let mut found = Vec::new();
        let mut waiting = vec![folder.trim_matches('/').to_owned()];
        while let Some(folder) = waiting.pop() {
            for (name, metadata) in self.entries(&folder).await? {
                let key = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                if deep && is_folder(&metadata) {
                    waiting.push(key.clone());
                }
                found.push((key, metadata));
            }
        }
        Ok(found)
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
    Meta { key: key.to_owned(), folder, size, checksum: None, id: None, modified }
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
        let session = self.session().await?;
        if !session.client.support_statvfs() {
            return Ok(Space::default());
        }
        for path in [self.path(""), ".".to_owned()] {
            if let Ok(told) = session.client.fs().statvfs(path).await {
                let free = told.bavail.saturating_mul(told.frsize);
                return Ok(Space { free: Some(free), ..Space::default() });
            }
        }
        Ok(Space::default())
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

    async fn create(&self, key: &str, source: &mut Source, sessions: &dyn Sessions) -> Result<Created, Fault> {
        if source.size() >= WORTH_ASKING
            && let Some(meta) = self.stat(key).await?
        {
            return Ok(Created::Taken(Some(meta)));
        }
        let (folder, part) = (folder_of(key), self.path(&beside(key)));
        let mut tries = 1;
        loop {
            let mut sent = 0;
            match self.send(&part, folder, source, sessions, &mut sent).await {
                Ok(()) => break,
                Err(fault) => {
                    sessions.unsent(sent);
                    let removed = self.unlink(&part).await;
                    if tries == TRIES || !fault.is_passing() || removed.is_err() {
                        return Err(fault);
                    }
                    tries += 1;
                    source.rewind()?;
                }
            }
        }
        if self.land(&part, &self.path(key)).await? {
            return Ok(Created::Ours(Receipt::default()));
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

    async fn copy(&self, _: &str, _: &str) -> Result<Option<Created>, Fault> {
        Ok(None)
    }

    async fn remove(&self, key: &str) -> Result<(), Fault> {
        self.unlink(&self.path(key)).await
    }

    async fn remove_folder(&self, folder: &str) -> Result<Removed, Fault> {
        if folder.trim_matches('/').is_empty() {
            return Err(Fault::Setting("the place itself is never removed".to_owned()));
        }
        let found = self.walk(folder, true).await?;
        let (folders, files): (Vec<_>, Vec<_>) = found.iter().partition(|(_, metadata)| is_folder(metadata));
        let paths: Vec<String> = files.iter().map(|(key, _)| self.path(key)).collect();
        let removals = futures::stream::iter(paths).map(|path| async move { self.unlink(&path).await });
        removals.buffer_unordered(LANES).try_collect::<()>().await?;
        let mut folders: Vec<String> = folders.iter().map(|(key, _)| self.path(key)).collect();
        folders.sort_by_key(|path| std::cmp::Reverse(path.matches('/').count()));
        folders.push(self.path(folder));
        for path in folders {
            let removed = self.ask(|session| {
                let path = path.clone();
                async move { session.client.fs().remove_dir(path).await }
            });
            match removed.await.map_err(told) {
                Ok(()) | Err(Fault::NotFound) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(Removed { freed: true })
    }
}

impl Sftp {
    /// The whole file, written to a part.
    async fn send(
        &self,
        part: &str,
        folder: &str,
        source: &mut Source,
        sessions: &dyn Sessions,
        sent: &mut u64,
    ) -> Result<(), Fault> {
        let (session, file) = self.new_file(part, folder).await?;
        let mut file = Box::pin(TokioCompatFile::new(file));
        let broken = |error: std::io::Error| Fault::Broken(error.to_string());
        if source.size() == 0 {
            source.drain().await?;
        }
        let mut done = Ok(());
        while let Some(bytes) = source.next(CHUNK).await? {
            done = file.write_all(&bytes).await;
            if done.is_err() {
                break;
            }
            sessions.sent(bytes.len() as u64);
            *sent += bytes.len() as u64;
        }
        if done.is_ok() {
            done = file.shutdown().await;
        }
        if let Err(error) = done {
            self.forget(&session).await;
            return Err(broken(error));
        }
        let there = self.look(part).await?.and_then(|metadata| metadata.len());
        if there != Some(source.size()) {
            let words = format!("{} bytes were sent, {} are stored", source.size(), there.unwrap_or_default());
            return Err(Fault::Damaged(words));
        }
        Ok(())
    }
}

#[async_trait]
impl Claims for Sftp {
    async fn make_new(&self, folder: &str) -> Result<bool, Fault> {
        let session = self.session().await?;
        let path = self.path(folder);
        // Not asked again where the answer was lost: it would say that it is there.
        let made = session.client.fs().create_dir(&path).await;
        match made {
            Ok(()) => Ok(true),
            Err(error) => {
                if is_broken(&error) {
                    self.forget(&session).await;
                }
                self.look(&path).await?.map(|_| false).ok_or_else(|| told(error))
            }
        }
    }

    async fn drop_claim(&self, folder: &str) -> Result<(), Fault> {
        let path = self.path(folder);
        let removed = self.ask(|session| {
            let path = path.clone();
            async move { session.client.fs().remove_dir(path).await }
        });
        match removed.await.map_err(told) {
            Ok(()) | Err(Fault::NotFound) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    async fn is_taken(&self, key: &str) -> Result<bool, Fault> {
        Ok(self.stat(key).await?.is_some())
    }
}
