//! The store of built prefixes: find one by key, or build it once and publish it whole.
//!
//! Layout below the root: `pkgs/ repodata/ bin/` caches of the host, `bench/` where builders work, `e/<id>` prefixes,
//! `keys/<key>.json` what is published, `projects/<key>` for whom, `bytecode/` compiled files, `ca/` CA bundles, `locks/`
//! of builders and, as `<id>.use`, of users. A prefix exists for others only once its key file does; that file appears by
//! a rename after everything is on disk. Nothing published is ever changed; bytecode is added to it, file by file.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::kept::Fresh;
use super::lease::Lease;
use super::network::without_credentials;
use super::{Config, EnvironmentError, Inputs, Keep, Lock, Prepared, Room, space, trash};
use crate::engine::Engine;
use crate::id::{Digest, RunId};
use crate::spec::amount::decimal;

/// The store on this machine.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) root: PathBuf,
    pub(super) keep: Keep,
}

/// What [`Store::ensure`] needs.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// What to build.
    pub inputs: &'a Inputs,
    /// How this machine gets packages.
    pub config: &'a Config,
    /// Starts builders. Not touched when the environment is there.
    pub engine: &'a dyn Engine,
    /// An image that is present; needs bash, and git for `git+` lines.
    pub image: &'a str,
    /// Whose builders these are.
    pub run: &'a RunId,
    /// Which packages it gets.
    pub wish: Wish<'a>,
}

/// Which packages an environment gets.
#[derive(Debug, Clone, Copy, Default)]
pub enum Wish<'a> {
    /// Those of the environment that is there, else of the lock that was kept, else what is solved.
    #[default]
    AsKept,
    /// As [`Wish::AsKept`], but before anything is solved, those of a lock that an earlier commit ran with.
    Rather(&'a Lock),
    /// What is solved now; it takes the place of what was there, for later runs.
    Anew,
    /// Those of a lock, or none.
    Exactly(&'a Lock),
}

impl Request<'_> {
    fn key(&self) -> Digest {
        match self.wish {
            Wish::AsKept | Wish::Rather(_) | Wish::Anew => self.inputs.key(self.config),
            Wish::Exactly(lock) => lock.key(self.inputs, self.config),
        }
    }
}

/// A key file.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    schema: u32,
    key: String,
    id: String,
    guest_prefix: String,
    ploomber: String,
    notes: Vec<String>,
    inputs: Value,
    lock: Value,
    /// Whether its packages were solved for it, not taken from a lock.
    #[serde(default)]
    solved: bool,
    /// Of a far engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    volume: Option<String>,
    /// Bytes that it takes there, where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    volume_bytes: Option<u64>,
}

impl Entry {
    /// Takes credentials out of the notes: earlier versions wrote lines there as they stood in the file. Returns whether
    /// there were any.
    fn cleanse(&mut self) -> bool {
        let clean: Vec<String> = self.notes.iter().map(|note| without_credentials(note)).collect();
        let before = std::mem::replace(&mut self.notes, clean);
        before != self.notes
    }
}

impl Store {
    /// Opens the store, making its folders where they are missing.
    pub fn open(root: &Path) -> Result<Self, EnvironmentError> {
        for folder in ["pkgs", "repodata", "bin", "bench", "e", "keys", "locks"] {
            let folder = root.join(folder);
            std::fs::create_dir_all(&folder)
                .map_err(|error| EnvironmentError::io(&folder, "making the store's folders", error))?;
        }
        let root = root.canonicalize().map_err(|error| EnvironmentError::io(root, "opening the store", error))?;
        Ok(Self { root, keep: Keep::default() })
    }

    /// With limits of its own.
    #[must_use]
    pub fn keeping(self, keep: Keep) -> Self {
        Self { keep, ..self }
    }

    /// The environment for a key, when it is built. Offline; a few file look-ups.
    pub fn find(&self, key: &Digest, config: &Config) -> Option<Prepared> {
        let file = self.key_file(key, config);
        let text = std::fs::read(&file).ok()?;
        let mut entry: Entry = serde_json::from_slice(&text).ok()?;
        let lease = Lease::take(&self.lease_file(&entry.id))?;
        // Only what is still published once the lease is held is safe to use.
        if std::fs::read(&file).ok()? != text {
            return None;
        }
        if entry.cleanse() {
            self.rewrite(key, (&file, &text), &entry);
        }
        let prepared = Prepared {
            key: *key,
            host_prefix: self.prefix(&entry.id),
            volume: entry.volume,
            guest_prefix: entry.guest_prefix,
            activation: self.activation(&entry.id),
            lock: entry.lock,
            reused: true,
            ploomber: entry.ploomber,
            notes: entry.notes,
            changes: Vec::new(),
            _lease: lease,
        };
        let whole = prepared.host_prefix.join("conda-meta").is_dir() && prepared.activation.is_file();
        // The key file's time is the last use.
        whole.then(|| {
            let _ = File::options().append(true).open(&file).and_then(|f| f.set_modified(SystemTime::now()));
            prepared
        })
    }

    /// Writes a key file again that held credentials. Not while anybody builds the key: what that publishes stays.
    fn rewrite(&self, key: &Digest, (file, text): (&Path, &[u8]), entry: &Entry) {
        let lock = File::options().create(true).truncate(false).write(true).open(self.lock_file(&short(key)));
        let held = lock.ok().filter(|lock| lock.try_lock().is_ok());
        if held.is_some()
            && std::fs::read(file).is_ok_and(|now| now == text)
            && let Err(error) = write_key(file, entry)
        {
            tracing::warn!(file = %file.display(), %error, "credentials were not removed from a key file");
        }
    }

    /// Whether this machine has the environment, or knows its packages. A guess: two looks at whether a file is there.
    pub fn knows(&self, inputs: &Inputs, config: &Config) -> bool {
        let key = inputs.key(config);
        self.key_file(&key, config).is_file() || self.kept_file(&key).is_file()
    }

    /// The id of what stands for a key, where that was solved for it.
    pub(super) fn solved(&self, key: &Digest, config: &Config) -> Option<String> {
        let entry: Entry = serde_json::from_slice(&std::fs::read(self.key_file(key, config)).ok()?).ok()?;
        entry.solved.then_some(entry.id)
    }

    /// The environment: found, or built by this process, or by another one that this one waits for.
    pub async fn ensure(
        &self,
        request: &Request<'_>,
        progress: &mut (dyn FnMut(String) + Send),
        cancel: &CancellationToken,
    ) -> Result<Prepared, EnvironmentError> {
        let key = request.key();
        if let Some(prepared) = self.ready(request, &key).await? {
            return Ok(prepared);
        }
        let before = self.before(request, &key);
        let _lock = self.lock(&key, request.run, progress, cancel).await?;
        if let Some(prepared) = self.ready_by_now(request, &key, before).await? {
            return Ok(prepared);
        }
        progress(format!("building the environment {}", short(&key)));
        self.make_room(progress).await;
        if request.config.far.is_some() {
            self.make_room_there(request.engine, progress).await;
        }
        if let Err(error) = self.clear_dead(&short(&key)) {
            // A key file that cannot be read: what it names is left alone, and no build waits for that.
            tracing::warn!(error = %super::error::chain(&error), "what earlier builds of this key left was not removed");
        }
        let caches = self.hold_caches(cancel).await?;
        let began = space::free(&self.root);
        let id = format!("{}-{}", short(&key), random_suffix());
        let done = match Box::pin(self.fresh(request, (&key, &id), progress, cancel)).await {
            Ok(fresh) => {
                // Before the key: what dies in between is built again as it was.
                self.keep(&key, &fresh.built.lock);
                self.publish(&key, &id, request, fresh).await
            }
            Err(error) => Err(error),
        };
        drop(caches);
        if done.is_err() {
            self.clear_unpacking();
        }
        self.keep_to_limits();
        done.map_err(|error| match began {
            Some(free) => error.needing(|| format!("this build needs more than the {} it began with", decimal(free))),
            None => error,
        })
    }

    /// While something is built, nobody takes out of the caches what no environment uses yet.
    async fn hold_caches(&self, cancel: &CancellationToken) -> Result<Lease, EnvironmentError> {
        loop {
            if let Some(lease) = Lease::take(&self.caches_file()) {
                return Ok(lease);
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
                () = cancel.cancelled() => return Err(EnvironmentError::Cancelled),
            }
        }
    }

    /// After a build: makes room up to the limits, on a thread that holds up nobody and may die with us.
    fn keep_to_limits(&self) {
        let store = self.clone();
        std::thread::spawn(move || {
            let pruning = Room { spare_caches: true, ..Room::limits(store.keep) };
            match store.prune(pruning, &[]) {
                Ok(pruned) => tracing::debug!(?pruned, "kept to the limits"),
                Err(error) => {
                    tracing::debug!(error = %super::error::chain(&error), "the limits of the store were not looked at");
                }
            }
        });
    }

    /// [`Store::find`], and where the environment is a volume, that is asked for: somebody may have removed it.
    pub(super) async fn find_whole(
        &self,
        key: &Digest,
        request: &Request<'_>,
    ) -> Result<Option<Prepared>, EnvironmentError> {
        let Some(prepared) = self.find(key, request.config) else { return Ok(None) };
        match &prepared.volume {
            Some(volume) if !super::volume::of(request.engine)?.exists(volume).await? => {
                let file = self.key_file(key, request.config);
                std::fs::remove_file(&file)
                    .map_err(|error| EnvironmentError::io(&file, "forgetting an environment", error))?;
                Ok(None)
            }
            _ => Ok(Some(prepared)),
        }
    }

    /// Serialises builders of one key. It only saves work: correctness comes from fresh folders. The file says who has it.
    async fn lock(
        &self,
        key: &Digest,
        run: &RunId,
        progress: &mut (dyn FnMut(String) + Send),
        cancel: &CancellationToken,
    ) -> Result<File, EnvironmentError> {
        let path = self.lock_file(&short(key));
        let failed = |error| EnvironmentError::io(&path, "locking an environment", error);
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        let (since, mut told) = (Instant::now(), false);
        loop {
            match file.try_lock() {
                Ok(()) => {
                    sign(&file, run);
                    return Ok(file);
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) => {}
            }
            if !told && since.elapsed() >= WORTH_A_WORD {
                let who = holder(&path).map(|who| format!(" ({who})")).unwrap_or_default();
                progress(format!("waiting for another run that builds this environment{who}"));
                told = true;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
                () = cancel.cancelled() => return Err(EnvironmentError::Cancelled),
            }
        }
    }

    /// Moves the prefix to its place, writes everything down, and only then names it in a key file.
    async fn publish(
        &self,
        key: &Digest,
        id: &str,
        request: &Request<'_>,
        Fresh { built, changes, solved }: Fresh,
    ) -> Result<Prepared, EnvironmentError> {
        let prepared = Prepared {
            key: *key,
            host_prefix: self.prefix(id),
            volume: built.bench.far.as_ref().map(|far| far.prefix.clone()),
            guest_prefix: built.bench.guest_prefix.clone(),
            activation: self.activation(id),
            lock: built.lock,
            reused: false,
            ploomber: built.ploomber,
            notes: request.inputs.notes().to_vec(),
            changes,
            // The id is new: nobody else can have a hold on it.
            _lease: Lease::take(&self.lease_file(id)).unwrap_or_default(),
        };
        let entry = Entry {
            schema: 1,
            key: key.to_string(),
            id: id.to_owned(),
            guest_prefix: prepared.guest_prefix.clone(),
            ploomber: prepared.ploomber.clone(),
            notes: prepared.notes.clone(),
            inputs: request.inputs.material(request.config),
            lock: prepared.lock.clone(),
            solved,
            volume: prepared.volume.clone(),
            volume_bytes: built.volume_bytes,
        };
        let (file, root) = (self.key_file(key, request.config), self.root.clone());
        let (target, activation) = (prepared.host_prefix.clone(), prepared.activation.clone());
        let bench = built.bench;
        let text = built.activation;
        let done = tokio::task::spawn_blocking(move || {
            let moved = std::fs::rename(&bench.prefix, &target)
                .and_then(|()| write_readable(&activation, &text))
                // One call for the whole file system: tens of thousands of files need no fsync each.
                .and_then(|()| Ok(rustix::fs::syncfs(File::open(&root)?)?))
                .and_then(|()| write_key(&file, &entry));
            bench.discard();
            if moved.is_err() {
                let _ = trash::discard(&target);
                let _ = std::fs::remove_file(&activation);
            }
            moved.map_err(|error| EnvironmentError::io(&root, "publishing an environment", error))
        });
        done.await.map_err(|_| EnvironmentError::Cancelled)??;
        Ok(prepared)
    }

    pub(super) fn prefix(&self, id: &str) -> PathBuf {
        self.root.join("e").join(id)
    }

    pub(super) fn activation(&self, id: &str) -> PathBuf {
        self.root.join("e").join(format!("{id}.activate.sh"))
    }

    pub(super) fn lock_file(&self, short_key: &str) -> PathBuf {
        self.root.join("locks").join(short_key)
    }

    pub(super) fn lease_file(&self, id: &str) -> PathBuf {
        self.root.join("locks").join(format!("{id}.use"))
    }

    /// Held shared by builds, and by nobody while caches are cleared.
    pub(super) fn caches_file(&self) -> PathBuf {
        self.lock_file("caches")
    }

    pub(super) fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// What is kept in an engine's volumes is known for that engine only.
    fn key_file(&self, key: &Digest, config: &Config) -> PathBuf {
        let far = config.far.as_ref().map(|far| format!("@{}", &hex::encode(Sha256::digest(far))[..16]));
        self.keys().join(format!("{key}{}.json", far.unwrap_or_default()))
    }
}

/// A shorter wait for another builder is not told.
const WORTH_A_WORD: Duration = Duration::from_secs(1);

/// Notes in a lock file who holds it, for those who wait. Nothing depends on it.
fn sign(mut lock: &File, run: &RunId) {
    use std::io::Write;
    let words = format!("run {run}, process {}", std::process::id());
    if let Err(error) = lock.set_len(0).and_then(|()| lock.write_all(words.as_bytes())) {
        tracing::debug!(%error, "nobody will know who builds this environment");
    }
}

/// Who holds a lock, where the file says it in words of ours.
fn holder(lock: &Path) -> Option<String> {
    let words = std::fs::read_to_string(lock).ok()?;
    let ours = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | ',' | '-');
    (words.starts_with("run ") && words.len() < 100 && words.chars().all(ours)).then_some(words)
}

/// For the container's user, whatever our umask is.
pub(super) fn write_readable(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
}

fn write_key(file: &Path, entry: &Entry) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer_pretty(&mut temporary, entry)?;
    temporary.as_file().sync_all()?;
    temporary.persist(file).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// The part of a key that stands in folder names: prefixes must stay far below 127 characters (shebang lines).
pub(super) fn short(key: &Digest) -> String {
    key.to_string()[..16].to_owned()
}

/// Eight hexadecimal digits that no other build has: the standard library's per-process random keys, hashed anew.
pub(super) fn random_suffix() -> String {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    format!("{:08x}", hasher.finish() & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_for_another_builder_is_told_once_and_for_whom() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let key = Digest([7; 32]);
        let (first, second): (RunId, RunId) =
            ("20261121-093000-4f1c2d9a-aaaa".parse().unwrap(), "20261121-093001-4f1c2d9a-bbbb".parse().unwrap());
        let cancel = CancellationToken::new();
        let mut early = Vec::new();
        let held = store.lock(&key, &first, &mut |line| early.push(line), &cancel).await.unwrap();
        let (waiting, stop) = (store.clone(), cancel.clone());
        let told = tokio::spawn(async move {
            let mut told = Vec::new();
            let locked = waiting.lock(&key, &second, &mut |line| told.push(line), &stop).await;
            locked.map(|_| told)
        });
        tokio::time::sleep(WORTH_A_WORD * 2).await;
        drop(held);
        let process = std::process::id();
        let words = "waiting for another run that builds this environment";
        assert_eq!(told.await.unwrap().unwrap(), [format!("{words} (run {first}, process {process})")]);
        let again = store.lock(&key, &first, &mut |line| early.push(line), &cancel).await;
        assert!(again.is_ok() && early.is_empty(), "{early:?}");
    }

    #[test]
    fn a_lock_file_of_anybody_else_is_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        for words in ["", "run \u{1b}[2J", "something else"] {
            std::fs::write(&path, words).unwrap();
            assert_eq!(holder(&path), None, "{words}");
        }
    }
}
