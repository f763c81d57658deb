//! Files written beside their keys, which are then given to them.

use std::sync::Arc;

use bytes::Bytes;
use openssh_sftp_client::Error;
use openssh_sftp_client::error::SftpErrorKind;
use openssh_sftp_client::file::{File, TokioCompatFile};
use tokio::io::AsyncWriteExt as _;

use super::session::Session;
use super::{CHUNK, Sftp, folder_of, is_broken, told};
use crate::storage::backend::claim::exclusively;
use crate::storage::backend::{Fault, Sessions, Source};
use crate::storage::key::beside;

impl Sftp {
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
    pub(super) async fn land(&self, part: &str, path: &str) -> Result<bool, Fault> {
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
    pub(super) async fn links_in(&self, folder: &str) -> Result<bool, Fault> {
        let part = self.path(&beside(&format!("{folder}/x")));
        let (session, file) = self.new_file(&part, folder).await?;
        file.close().await.map_err(told)?;
        let links = self.links(&session, &part).await;
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

    /// Writes a part beside `key` and gives it its name.
    pub(super) async fn write(&self, key: &str, bytes: Bytes, over: bool) -> Result<bool, Fault> {
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

    /// The whole file, written to a part.
    pub(super) async fn send(
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
