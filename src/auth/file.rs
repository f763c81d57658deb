//! `tokens.json`: one entry a remote, readable by its owner only, replaced as a whole, changed by one process at a time;
//! or the same text, kept by a helper program that the user named.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::keyring::Helper;
use super::{App, Grant, Provider};
use crate::secret::Secret;
use crate::web::Fault;

/// How long another process may take to renew before it is thought to hang.
const PATIENCE: Duration = Duration::from_mins(3);
/// Bytes; a larger file is none of ours.
const LARGEST: u64 = 4 * 1024 * 1024;

/// What is kept of one login.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// The vendor's name.
    pub provider: String,
    /// The app that the tokens belong to; no other can renew them.
    pub client_id: String,
    /// What proves the app.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "hidden_option")]
    pub client_secret: Option<Secret>,
    /// What requests carry; empty when only a refresh token was handed in.
    #[serde(with = "hidden")]
    pub access: Secret,
    /// When that ends, in seconds since 1970.
    #[serde(default)]
    pub expires_at: Option<i64>,
    /// What gives the next pair.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "hidden_option")]
    pub refresh: Option<Secret>,
    /// When that ends if it is not used.
    #[serde(default)]
    pub refresh_expires_at: Option<i64>,
    /// What the person agreed to.
    #[serde(default)]
    pub scope: Option<String>,
    /// Who that is, for people.
    #[serde(default)]
    pub account: Option<String>,
    /// Who that is, for the vendor.
    #[serde(default)]
    pub account_id: Option<String>,
}

impl Entry {
    /// What a vendor granted to an app.
    pub fn new(provider: Provider, app: &App, grant: Grant) -> Self {
        let now = now();
        Self {
            provider: provider.name().to_owned(),
            client_id: app.id.clone(),
            client_secret: app.secret.clone(),
            expires_at: grant.expires_in.map(|seconds| now.saturating_add(seconds)),
            refresh_expires_at: grant
                .refresh_expires_in
                .or(provider.refresh_life())
                .filter(|_| grant.refresh.is_some())
                .map(|seconds| now.saturating_add(seconds)),
            access: grant.access,
            refresh: grant.refresh,
            scope: grant.scope,
            account: None,
            account_id: grant.account_id,
        }
    }

    /// After a renewal: the new pair; what a vendor does not repeat stays.
    #[must_use]
    pub fn renewed(&self, provider: Provider, grant: Grant) -> Self {
        let rotated = grant.refresh.is_some();
        let fresh = Self::new(provider, &self.app(), grant);
        Self {
            refresh: fresh.refresh.or_else(|| self.refresh.clone()),
            refresh_expires_at: if rotated { fresh.refresh_expires_at } else { self.refresh_expires_at },
            scope: fresh.scope.or_else(|| self.scope.clone()),
            account: self.account.clone(),
            account_id: fresh.account_id.or_else(|| self.account_id.clone()),
            ..fresh
        }
    }

    /// The app that it belongs to.
    pub fn app(&self) -> App {
        App { id: self.client_id.clone(), secret: self.client_secret.clone() }
    }

    /// Whether the access token should be good for a while yet.
    pub fn is_good(&self) -> bool {
        !self.access.expose().is_empty() && self.expires_at.is_none_or(|at| at > now() + 60)
    }

    /// Everything in it that must not be seen.
    pub fn secrets(&self) -> Vec<Secret> {
        let all = [Some(&self.access), self.refresh.as_ref(), self.client_secret.as_ref()];
        all.into_iter().flatten().filter(|secret| !secret.expose().is_empty()).cloned().collect()
    }
}

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

mod hidden {
    use serde::{Deserialize, Deserializer, Serializer, ser::Error};

    use crate::secret::Secret;

    pub(super) fn serialize<S: Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(std::str::from_utf8(secret.expose()).map_err(|_| S::Error::custom("a token is no text"))?)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        Ok(Secret::new("token", String::deserialize(from)?.into_bytes()))
    }
}

mod hidden_option {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::hidden;
    use crate::secret::Secret;

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(secret: &Option<Secret>, to: S) -> Result<S::Ok, S::Error> {
        match secret {
            Some(secret) => hidden::serialize(secret, to),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        Ok(text.map(|text| Secret::new("token", text.into_bytes())))
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Written {
    schema: u32,
    remotes: BTreeMap<String, Entry>,
}

/// Where logins are kept.
#[derive(Debug, Clone)]
pub struct TokenFile {
    folder: PathBuf,
    /// What keeps the text in place of the file.
    helper: Option<Helper>,
}

impl TokenFile {
    /// The file in `folder`; nothing is made or read yet.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), helper: None }
    }

    /// With a program that keeps what would be in the file, if one is named; the lock stays in the folder.
    #[must_use]
    pub fn kept_by(self, program: Option<String>) -> Self {
        Self { helper: program.filter(|program| !program.is_empty()).map(Helper::new), ..self }
    }

    /// Its path, or that of the program that keeps it.
    pub fn path(&self) -> PathBuf {
        let helper = self.helper.as_ref().map(|helper| helper.program().to_owned());
        helper.unwrap_or_else(|| self.folder.join("tokens.json"))
    }

    /// All that is kept, by remote; nothing where there is no file.
    ///
    /// # Errors
    /// When others can read it, or it is not understood.
    pub fn read(&self) -> Result<BTreeMap<String, Entry>, Fault> {
        let path = self.path();
        let bytes = match &self.helper {
            Some(helper) => helper.get()?,
            None => read_private(&path)?.unwrap_or_default(),
        };
        if bytes.trim_ascii().is_empty() {
            return Ok(BTreeMap::new());
        }
        // serde's words may repeat a value.
        let damaged = || {
            Fault::Setting(format!(
                "`{}` is not understood; remove it and log in again: soopervisor auth login",
                path.display()
            ))
        };
        let written: Written = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
        if written.schema != 1 {
            return Err(Fault::Setting(format!("`{}` was written by a newer soopervisor", path.display())));
        }
        Ok(written.remotes)
    }

    /// Keeps every other process from changing it, until the guard is dropped or this process dies.
    ///
    /// # Errors
    /// When there can be no lock, or another process does not let go.
    pub async fn lock(&self) -> Result<Guard<'_>, Fault> {
        self.make_folder()?;
        let path = self.folder.join("tokens.lock");
        let mut options = File::options();
        let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(|error| wrong(&path, "cannot be opened", &error))?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Guard { tokens: self, _lock: file }),
                Err(TryLockError::Error(error)) => return Err(wrong(&path, "cannot be locked", &error)),
                Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Fault::Local(format!("another process does not let go of `{}`", path.display())));
                }
            }
        }
    }

    fn make_folder(&self) -> Result<(), Fault> {
        let folder = &self.folder;
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| wrong(folder, "cannot be made", &error))?;
        let mode = std::fs::metadata(folder).map_err(|error| wrong(folder, "cannot be read", &error))?.mode();
        if mode & 0o022 != 0 {
            return Err(Fault::Setting(format!(
                "others may write to `{0}`, where logins are kept: chmod go-w {0}",
                folder.display()
            )));
        }
        Ok(())
    }
}

/// The right to change the file.
#[derive(Debug)]
pub struct Guard<'a> {
    tokens: &'a TokenFile,
    _lock: File,
}

impl Guard<'_> {
    /// As it is now; nobody changes it meanwhile.
    ///
    /// # Errors
    /// As [`TokenFile::read`].
    pub fn read(&self) -> Result<BTreeMap<String, Entry>, Fault> {
        self.tokens.read()
    }

    /// Keeps an entry, on disk before this returns.
    ///
    /// # Errors
    /// When it cannot be written; the file is as it was then.
    pub fn keep(&self, remote: &str, entry: &Entry) -> Result<(), Fault> {
        let mut remotes = self.read()?;
        remotes.insert(remote.to_owned(), entry.clone());
        self.write(remotes)
    }

    /// Removes an entry.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn remove(&self, remote: &str) -> Result<Option<Entry>, Fault> {
        let mut remotes = self.read()?;
        let removed = remotes.remove(remote);
        if removed.is_some() {
            self.write(remotes)?;
        }
        Ok(removed)
    }

    fn write(&self, remotes: BTreeMap<String, Entry>) -> Result<(), Fault> {
        let folder = &self.tokens.folder;
        let path = self.tokens.path();
        self.sweep();
        let none = remotes.is_empty();
        let written = Written { schema: 1, remotes };
        if let Some(helper) = &self.tokens.helper {
            // On one line: some keyrings take only the first.
            let text = serde_json::to_vec(&written).map(Zeroizing::new);
            let text = text.map_err(|error| Fault::Form(error.to_string()))?;
            return if none { helper.erase() } else { helper.store(&text) };
        }
        let text = serde_json::to_vec_pretty(&written).map(Zeroizing::new);
        let text = text.map_err(|error| Fault::Form(error.to_string()))?;
        let write = || {
            // Made with mode 0600.
            let mut file = tempfile::Builder::new().prefix(".tokens-").tempfile_in(folder)?;
            file.write_all(&text)?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|error: std::io::Error| wrong(&path, "cannot be written", &error))
    }

    /// What a process that died while it wrote left; we hold the lock, so nobody is writing.
    fn sweep(&self) {
        let Ok(entries) = std::fs::read_dir(&self.tokens.folder) else { return };
        for entry in entries.flatten().filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b".tokens-")) {
            if let Err(error) = fs_err::remove_file(entry.path()) {
                tracing::debug!(%error, "a half-written file of tokens stays");
            }
        }
    }
}

/// The bytes of a file that only its owner can read; `None` where there is none.
fn read_private(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, Fault> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(path, "cannot be read", &error)),
    };
    check_private(path, &file)?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(LARGEST).read_to_end(&mut bytes).map_err(|error| wrong(path, "cannot be read", &error))?;
    Ok(Some(bytes))
}

fn check_private(path: &Path, file: &File) -> Result<(), Fault> {
    let found = file.metadata().map_err(|error| wrong(path, "cannot be read", &error))?;
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(Fault::Setting(format!("`{}` belongs to another user and is not used", path.display())));
    }
    if found.mode() & 0o077 != 0 {
        return Err(Fault::Setting(format!(
            "others can read `{0}`, which holds logins: it is not used. chmod 600 {0}; if somebody may have read it, log \
             in again",
            path.display()
        )));
    }
    Ok(())
}

fn wrong(path: &Path, what: &str, error: &std::io::Error) -> Fault {
    Fault::Local(format!("`{}` {what}: {error}", path.display()))
}
