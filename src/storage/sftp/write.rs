//! Files written beside their keys, which are then given to them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use openssh_sftp_client::Error;
use openssh_sftp_client::error::SftpErrorKind;
use openssh_sftp_client::file::File;

use super::part::{FLIGHT, Part};
use super::session::Session;
use super::{Sftp, TRIES, folder_of, is_broken, meta, told};
use crate::storage::backend::claim::exclusively;
use crate::storage::backend::{Backend as _, Fault, Sessions, Source};
use crate::storage::key::beside;

/// A disk that has less is full.
const NO_ROOM: u64 = 1024 * 1024;
/// Before another connection is tried.
const PAUSE: Duration = Duration::from_millis(300);

/// What `ask` comes to: a few times where the connection breaks, each with another one.
pub(super) async fn again<T, F: Future<Output = Result<T, Fault>> + Send>(
    ask: impl Fn() -> F + Send + Sync,
) -> Result<T, Fault> {
    let mut tries = 1;
    loop {
        match ask().await {
            Err(fault) if fault.is_passing() && tries < TRIES => {
                tracing::debug!(%fault, tries, "once more");
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            asked => return asked,
        }
    }
}

impl Sftp {
    /// A new file, in a folder that is made if need be; or with `anew` false the one that is there.
    async fn file(&self, path: &str, folder: &str, anew: bool) -> Result<(Arc<Session>, File), Fault> {
        let open = || {
            self.ask(|session| {
                let path = path.to_owned();
                async move {
                    // Nobody else comes to this name, so that it may be asked for again where the answer was lost.
                    let mut options = session.client.options();
                    let file = options.write(true).create(anew).truncate(anew).open(path).await?;
                    Ok((session, file))
                }
            })
        };
        match open().await {
            Err(Error::SftpError(SftpErrorKind::NoSuchFile, _)) if anew => {
                self.make(folder).await?;
                open().await.map_err(told)
            }
            opened => opened.map_err(told),
        }
    }

    /// Gives a finished file its name; `false` when the name is taken, which it is too where an answer was lost that said
    /// that it is ours: who asks compares what lies there. The other name goes away in either case.
    pub(super) async fn land(&self, part: &str, path: &str) -> Result<bool, Fault> {
        again(|| self.land_once(part, path)).await
    }

    async fn land_once(&self, part: &str, path: &str) -> Result<bool, Fault> {
        let session = self.session().await?;
        let links = self.links(&session, part).await?;
        let landed = if links {
            session.client.fs().hard_link(part, path).await
        } else if self.look(path).await?.is_some() {
            self.unlink(part).await?;
            return Ok(false);
        } else {
            session.client.fs().rename(part, path).await
        };
        if let Err(error) = &landed
            && is_broken(error)
        {
            self.forget(&session).await;
        } else if links {
            let removed = self.unlink(part).await;
            tracing::trace!(removed = removed.is_ok(), "linked");
        }
        match landed {
            Ok(()) => Ok(true),
            Err(error) if is_broken(&error) || self.look(path).await?.is_none() => Err(told(error)),
            Err(_) => Ok(false),
        }
    }

    /// Whether the server gives second names to files like this one.
    async fn links(&self, session: &Arc<Session>, part: &str) -> Result<bool, Fault> {
        let tried = session.links.get_or_try_init(|| async {
            if !session.client.support_hardlink() {
                return Ok(false);
            }
            let second = format!("{part}-second");
            let linked = session.client.fs().hard_link(part, &second).await;
            if let Err(error) = linked
                && is_broken(&error)
            {
                self.forget(session).await;
                return Err(told(error));
            }
            // Some only say so; and one that is said to be there is of a try whose answer was lost.
            let there = self.look(&second).await?.is_some();
            if there {
                self.unlink(&second).await?;
            }
            Ok(there)
        });
        tried.await.copied()
    }

    /// [`Self::links`] where there is no file yet.
    pub(super) async fn links_in(&self, folder: &str) -> Result<bool, Fault> {
        let part = self.path(&beside(&format!("{folder}/x")));
        let links = again(|| async {
            let (session, file) = self.file(&part, folder, true).await?;
            if let Err(error) = file.close().await {
                return Err(self.not_written(&session, error).await);
            }
            self.links(&session, &part).await
        });
        let links = links.await;
        self.unlink(&part).await?;
        links
    }

    pub(super) async fn unlink(&self, path: &str) -> Result<(), Fault> {
        let removed = self.ask(|session| {
            let path = path.to_owned();
            async move { session.client.fs().remove_file(path).await }
        });
        match removed.await.map_err(told) {
            Err(Fault::NotFound) | Ok(()) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// Has the server copy a file beside `to` and gives the copy that name; `None` where it does not copy (OpenSSH does
    /// from 9.0 on), and `false` where the name is taken.
    pub(super) async fn copied(&self, from: &str, to: &str) -> Result<Option<bool>, Fault> {
        if !self.session().await?.client.support_copy() {
            return Ok(None);
        }
        let (from, part) = (self.path(from), self.path(&beside(to)));
        let copied = self.ask(|session| {
            let (from, part) = (from.clone(), part.clone());
            async move {
                let mut source = session.client.open(from).await?;
                let mut options = session.client.options();
                let mut target = options.write(true).create(true).truncate(true).open(part).await?;
                let copied = source.copy_all_to(&mut target).await;
                // What is open gets no name.
                let closed = target.close().await;
                copied.and(closed)
            }
        });
        let landed = match copied.await {
            Ok(()) => self.land(&part, &self.path(to)).await,
            Err(error) => Err(told(error)),
        };
        if !matches!(landed, Ok(true)) {
            let removed = self.unlink(&part).await;
            tracing::debug!(removed = removed.is_ok(), "a copy is not needed");
        }
        landed.map(Some)
    }

    /// Writes a part beside `key` and gives it its name; once more where the connection broke. Then `false` may mean
    /// that the first try was carried out: who asks looks at what lies there.
    pub(super) async fn write(&self, key: &str, bytes: Bytes, over: bool) -> Result<bool, Fault> {
        again(|| self.write_once(key, bytes.clone(), over)).await
    }

    async fn write_once(&self, key: &str, bytes: Bytes, over: bool) -> Result<bool, Fault> {
        let part = self.path(&beside(key));
        let written = self.write_to(&part, key, bytes, over).await;
        if !matches!(written, Ok(true)) {
            let removed = self.unlink(&part).await;
            tracing::debug!(removed = removed.is_ok(), "an unfinished file is not needed");
        }
        written
    }

    async fn write_to(&self, part: &str, key: &str, bytes: Bytes, over: bool) -> Result<bool, Fault> {
        self.fill(part, folder_of(key), bytes).await?;
        let (session, path) = (self.session().await?, self.path(key));
        if !over {
            if self.links(&session, part).await? {
                return self.land(part, &path).await;
            }
            return exclusively(self, key, || self.land(part, &path)).await;
        }
        if !session.client.support_posix_rename() {
            self.unlink(&path).await?;
        }
        match session.client.fs().rename(part, &path).await {
            Ok(()) => Ok(true),
            Err(error) => {
                if is_broken(&error) {
                    self.forget(&session).await;
                }
                Err(told(error))
            }
        }
    }

    /// A small object, written to a part.
    async fn fill(&self, path: &str, folder: &str, bytes: Bytes) -> Result<(), Fault> {
        let (session, file) = self.file(path, folder, true).await?;
        let mut part = Part::new(file);
        let written = part.write(bytes).await;
        let closed = part.close().await;
        match written.and(closed) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.not_written(&session, error).await),
        }
    }

    /// Of what an earlier try left of a large file, whether its beginning is that of `source`, which is read as far. The
    /// server tells no checksums, so it is read back. Its end is sent again in any case: writes that were on their way may
    /// have left gaps, or arrive now.
    pub(super) async fn goes_on(&self, left: &str, source: &mut Source) -> Result<bool, Fault> {
        let there = self.look(&self.path(left)).await?.and_then(|metadata| metadata.len()).unwrap_or_default();
        let sure = there.saturating_sub(FLIGHT as u64);
        if sure == 0 || there > source.size() {
            return Ok(false);
        }
        let mut stream = self.read(left, 0).await?;
        while source.at() < sure {
            let Some(theirs) = stream.next().await.transpose()? else { return Ok(false) };
            let most = (theirs.len() as u64).min(sure - source.at());
            let ours = source.next(most).await?.unwrap_or_default();
            if !theirs.starts_with(&ours) || ours.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What of the file was not read yet, written to a part that holds what was; the part's [`crate::storage::backend::Meta::tag`], which it keeps when
    /// it gets another name.
    pub(super) async fn send(
        &self,
        path: &str,
        folder: &str,
        source: &mut Source,
        sessions: &dyn Sessions,
        sent: &mut u64,
    ) -> Result<Option<String>, Fault> {
        let from = source.at();
        let (session, file) = self.file(path, folder, from == 0).await?;
        let mut part = match Part::going_on(file, from).await {
            Ok(part) => part,
            Err(error) => return Err(self.not_written(&session, error).await),
        };
        sessions.sent(from);
        *sent += from;
        let copied = self.copy_into(&mut part, &session, source, sessions, sent).await;
        // Also one that is not whole: what is removed must not be open.
        let closed = part.close().await;
        copied?;
        if let Err(error) = closed {
            return Err(self.not_written(&session, error).await);
        }
        let there = self.look(path).await?.map(|metadata| meta(path, &metadata));
        match there {
            Some(there) if there.size == source.size() => Ok(there.tag),
            there => {
                let there = there.map_or(0, |there| there.size);
                Err(Fault::Damaged(format!("{} bytes were sent, {there} are stored", source.size())))
            }
        }
    }

    async fn copy_into(
        &self,
        part: &mut Part,
        session: &Arc<Session>,
        source: &mut Source,
        sessions: &dyn Sessions,
        sent: &mut u64,
    ) -> Result<(), Fault> {
        if source.size() == 0 {
            source.drain().await?;
        }
        while let Some(bytes) = source.next(part.chunk()).await? {
            let length = bytes.len() as u64;
            if let Err(error) = part.write(bytes).await {
                return Err(self.not_written(session, error).await);
            }
            sessions.sent(length);
            *sent += length;
        }
        Ok(())
    }

    /// Whether the server says that there is hardly any room.
    async fn is_full(&self) -> bool {
        self.space().await.is_ok_and(|space| space.free.is_some_and(|free| free < NO_ROOM))
    }

    /// Why bytes were not taken. The protocol has hardly a word for it: what it has none for may pass.
    async fn not_written(&self, session: &Arc<Session>, error: Error) -> Fault {
        if is_broken(&error) {
            self.forget(session).await;
        }
        match told(error) {
            Fault::Refused { .. } if self.is_full().await => Fault::Full,
            Fault::Refused { words, .. } => Fault::Broken(format!("the server did not take it: {words}")),
            fault => fault,
        }
    }
}
