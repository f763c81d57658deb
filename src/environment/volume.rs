//! Environments for an engine that does not see this machine's files: each in a volume of its own.
//!
//! The conda part is linked here and sent as a tar stream; uv installs the rest in the builder, from a cache volume that
//! no run ever sees. What has to be known of the result (names, locks, activation) comes back; the prefix itself does not.

use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::bench::{Bench, GUEST_ROOT};
use super::builder::Builder;
use super::{EnvironmentError, Room, Store, activate};
use crate::archive::Load;
use crate::engine::volume::{Hold, VolumeSpec};
use crate::engine::{Carried, Engine, EngineError, GuestPath, Mount, VolumeMount, Volumes};

/// What an environment's volume is kept as, before its id. The store's mark is part of it: two users of one machine may
/// share an engine, and none of them knows what the other needs.
fn environment(mark: &str) -> String {
    format!("environment:{mark}:")
}

/// What the volume of uv's cache is kept as.
fn cache(mark: &str) -> String {
    format!("uv-cache:{mark}")
}

/// The volumes in which one environment is built.
#[derive(Debug)]
pub(super) struct Far {
    /// Becomes the environment.
    pub(super) prefix: String,
    /// Requirement files in, lock and description out; goes with the build.
    scratch: String,
    /// uv's cache, where it is shared; a private one is in the builder's own layer.
    cache: Option<String>,
}

/// The engine's volumes; an engine that sees nothing of ours and has none cannot be used.
pub(super) fn of(engine: &dyn Engine) -> Result<&dyn Volumes, EnvironmentError> {
    engine.volumes().ok_or_else(|| EngineError::NoSharedFiles { address: "this address".to_owned() }.into())
}

/// The volume of an environment.
fn name(id: &str) -> String {
    format!("soopervisor-env-{id}")
}

fn open(folder: &Path) -> Result<Dir, EnvironmentError> {
    Dir::open_ambient_dir(folder, ambient_authority())
        .map_err(|error| EnvironmentError::io(folder, "opening a folder to send", error))
}

impl Far {
    /// Makes the volumes.
    pub(super) async fn make(
        builder: &Builder<'_>,
        store: &Store,
        id: &str,
        shared: bool,
    ) -> Result<Self, EnvironmentError> {
        let volumes = of(builder.engine)?;
        let mark = store.mark()?;
        let shared = shared.then(|| format!("soopervisor-uv-{mark}"));
        let far = Self { prefix: name(id), scratch: format!("soopervisor-build-{id}"), cache: shared };
        let kept = [(&far.prefix, Some(environment(&mark) + id)), (&far.scratch, None)];
        let shared = far.cache.iter().map(|shared| (shared, Some(cache(&mark))));
        for (name, kept) in kept.into_iter().chain(shared) {
            let spec = VolumeSpec { name: name.clone(), run: builder.run.clone(), kept, overlay: None };
            if let Err(error) = volumes.create(&spec).await {
                far.leave(builder, false).await;
                return Err(error.into());
            }
        }
        Ok(far)
    }

    async fn hold(&self, builder: &Builder<'_>) -> Result<Box<dyn Hold>, EnvironmentError> {
        let all: Vec<String> = [&self.prefix, &self.scratch].into_iter().chain(&self.cache).cloned().collect();
        Ok(of(builder.engine)?.hold(builder.run, builder.image, &all).await?)
    }

    /// Sends the linked conda part.
    pub(super) async fn send_prefix(&self, builder: &Builder<'_>, bench: &Bench) -> Result<(), EnvironmentError> {
        self.send(builder, &self.prefix, Some(&bench.prefix)).await
    }

    /// Sends the requirement files, and gives the cache to the builder's user.
    pub(super) async fn send_requests(&self, builder: &Builder<'_>, bench: &Bench) -> Result<(), EnvironmentError> {
        self.send(builder, &self.scratch, Some(&bench.scratch)).await?;
        match &self.cache {
            Some(cache) => self.send(builder, cache, None).await,
            None => Ok(()),
        }
    }

    /// Puts the constraints, which are written last, beside the packages.
    pub(super) async fn send_constraints(&self, builder: &Builder<'_>, bench: &Bench) -> Result<(), EnvironmentError> {
        let folder = tempfile::tempdir_in(&bench.scratch);
        let folder = folder.map_err(|error| EnvironmentError::io(&bench.scratch, "making a folder to send", error))?;
        let to = folder.path().join(activate::CONSTRAINTS);
        std::fs::create_dir_all(to.parent().unwrap_or(folder.path()))
            .and_then(|()| std::fs::copy(bench.prefix.join(activate::CONSTRAINTS), &to))
            .and_then(|_| open_to_all(folder.path()))
            .map_err(|error| EnvironmentError::io(&to, "copying the constraints", error))?;
        self.send(builder, &self.prefix, Some(folder.path())).await
    }

    async fn send(&self, builder: &Builder<'_>, to: &str, from: Option<&Path>) -> Result<(), EnvironmentError> {
        let from = from.map(open).transpose()?;
        let mut hold = self.hold(builder).await?;
        let put = hold.put(vec![Load { from, below: to.to_owned(), owner: builder.user }]).await;
        hold.close().await?;
        Ok(put?)
    }

    /// Takes back what the builder wrote about the result.
    pub(super) async fn fetch(&self, builder: &Builder<'_>, bench: &Bench) -> Result<(), EnvironmentError> {
        let into = open(&bench.scratch)?;
        let mut hold = self.hold(builder).await?;
        let fetched = hold.fetch(&self.scratch, into, &["home", "tmp"]).await;
        hold.close().await?;
        fetched?;
        Ok(())
    }

    /// What the builder is shown; `files` are copied into it.
    pub(super) fn carried(&self, bench: &Bench, files: Vec<Mount>) -> Carried {
        let show = |volume: &String, guest: &str| VolumeMount {
            volume: volume.clone(),
            guest: GuestPath(guest.to_owned()),
            writable: true,
        };
        let mut volumes = vec![show(&self.prefix, &bench.guest_prefix), show(&self.scratch, &bench.guest_scratch)];
        volumes.extend(self.cache.iter().map(|cache| show(cache, &format!("{GUEST_ROOT}/uv"))));
        Carried { volumes, files }
    }

    /// What the prefix alone is shown to: scripts of conda packages.
    pub(super) fn carried_prefix(&self, bench: &Bench, files: Vec<Mount>) -> Carried {
        let mut carried = self.carried(bench, files);
        carried.volumes.truncate(1);
        carried
    }

    /// uv's cache and how it links: hard links do not cross volumes.
    pub(super) fn uv_cache(&self) -> (String, &'static str) {
        let folder = if self.cache.is_some() { format!("{GUEST_ROOT}/uv") } else { "/tmp/uv".to_owned() };
        (folder, "copy")
    }

    /// The description that came back: shaped like the prefix, with the names of what is in it.
    pub(super) fn described(bench: &Bench) -> PathBuf {
        bench.scratch.join(SEEN)
    }

    /// Bytes that the prefix takes, as its builder counted them. The file does not go on as a part of the description.
    pub(super) fn take_size(bench: &Bench) -> Option<u64> {
        let file = bench.scratch.join(SEEN).join(SIZE);
        let text = std::fs::read_to_string(&file).ok()?;
        let _ = std::fs::remove_file(file);
        text.trim().parse::<u64>().ok()?.checked_mul(1024)
    }

    /// Removes what is of no more use; all but the cache, unless the environment was built.
    pub(super) async fn leave(&self, builder: &Builder<'_>, built: bool) {
        let Ok(volumes) = of(builder.engine) else { return };
        let gone = [Some(&self.scratch), (!built).then_some(&self.prefix)];
        for name in gone.into_iter().flatten() {
            if let Err(error) = volumes.remove(name).await {
                tracing::warn!(volume = %name, %error, "a volume of a build could not be removed; the next build tries again");
            }
        }
    }
}

/// Below the store's root: its name among others that use the same engine.
const MARK: &str = "mark";
/// Below the scratch folder: the description.
const SEEN: &str = "seen";
/// In the description: KiB that the prefix takes.
const SIZE: &str = "size";

/// Compiles what is in the prefix: errands link bytecode from a shelf of ours, which a volume shares no files with, and
/// nobody can write it beside a read-only prefix later. `-I -S`: no code of an installed package starts here. Files for
/// other Pythons do not compile, and that is no failure. The packages' own tests, a quarter of all there is to compile,
/// are left out: hardly any pipeline imports them.
pub(super) fn compile(prefix: &str) -> String {
    format!(
        "echo 'pip: compiling Python files'\nfor lib in {prefix}/lib/python3.*; do\n  \
         {prefix}/bin/python -I -S -m compileall -q -j 0 -x '/(tests?|idle_test)/' \"$lib\" >/dev/null 2>&1 || true\ndone\n"
    )
}

/// Writes the description: which distributions are there and where they came from, how to activate it, and how large
/// it is.
pub(super) fn describe(prefix: &str, scratch: &str) -> String {
    format!(
        r#"seen={scratch}/{SEEN}
mkdir -p "$seen/conda-meta"
for lib in {prefix}/lib/python3.*; do
  [ -d "$lib" ] && [ ! -L "$lib" ] || continue
  for info in "$lib"/site-packages/*.dist-info; do
    [ -d "$info" ] || continue
    at="$seen/${{info#{prefix}/}}"
    mkdir -p "$at"
    for file in INSTALLER RECORD direct_url.json; do [ ! -f "$info/$file" ] || cp "$info/$file" "$at/$file"; done
  done
done
du -sk {prefix} 2>/dev/null | cut -f1 >"$seen/{SIZE}" || true
[ ! -f {prefix}/conda-meta/state ] || cp {prefix}/conda-meta/state "$seen/conda-meta/state"
[ ! -d {prefix}/etc/conda ] || {{ mkdir -p "$seen/etc" && cp -R {prefix}/etc/conda "$seen/etc/conda"; }}
"#
    )
}

fn open_to_all(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    for folder in [folder, &folder.join("conda-meta")] {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

impl Store {
    /// Names this store among others that use the same engine: eight digits, drawn once.
    fn mark(&self) -> Result<String, EnvironmentError> {
        let file = self.root.join(MARK);
        let failed = |error| EnvironmentError::io(&file, "naming the store", error);
        loop {
            match std::fs::read_to_string(&file) {
                Ok(mark) if mark.len() == 8 && mark.bytes().all(|byte| byte.is_ascii_hexdigit()) => return Ok(mark),
                Ok(_) => std::fs::remove_file(&file).map_err(failed)?,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
            let mut new = tempfile::NamedTempFile::new_in(&self.root).map_err(failed)?;
            std::io::Write::write_all(&mut new, super::store::random_suffix().as_bytes()).map_err(failed)?;
            match new.persist_noclobber(&file) {
                Err(error) if error.error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(failed(error.error));
                }
                // Ours, or that of a process that was faster: it is read.
                _ => {}
            }
        }
    }

    /// Before a build: makes room in an engine's volumes. A build never fails for it.
    pub(super) async fn make_room_there(&self, engine: &dyn Engine, progress: &mut (dyn FnMut(String) + Send)) {
        let store = self.clone();
        let limits = Room { spare_caches: true, ..Room::limits(store.keep) };
        let pruned = tokio::task::spawn_blocking(move || store.prune(limits, &[])).await;
        if let Ok(Err(error)) = pruned {
            tracing::warn!(error = %super::error::chain(&error), "the limits of the store were not looked at");
        }
        match self.sweep_volumes(engine).await {
            Ok(0) => {}
            Ok(removed) => progress(format!("removed {removed} volumes of environments that nobody needs")),
            Err(error) => tracing::warn!(error = %super::error::chain(&error), "volumes were not looked at"),
        }
    }

    /// Whether this store ever had an environment in an engine's volume.
    pub fn has_volumes(&self) -> bool {
        self.root.join(MARK).is_file()
    }

    /// Removes volumes of environments that no key file names any more, or that a build left which died; and, with the
    /// last environment, uv's cache. Returns how many environments went.
    ///
    /// # Errors
    /// When the engine has no volumes or does not answer, or a key file cannot be read.
    pub async fn sweep_volumes(&self, engine: &dyn Engine) -> Result<usize, EnvironmentError> {
        let volumes = of(engine)?;
        let (known, mark) = (self.known_ids()?, self.mark()?);
        let (mut environments, mut removed) = (0, 0);
        let kept = volumes.kept().await?;
        for volume in &kept {
            let Some(id) = volume.kept.strip_prefix(&environment(&mark)) else { continue };
            if known.contains(id) || !volume.abandoned {
                environments += 1;
            } else if let Err(error) = volumes.remove(&volume.name).await {
                // A run of before still uses it.
                tracing::debug!(volume = %volume.name, %error, "an environment's volume stays for now");
                environments += 1;
            } else {
                removed += 1;
            }
        }
        if environments == 0 {
            for volume in kept.iter().filter(|volume| volume.kept == cache(&mark) && volume.abandoned) {
                // Whoever builds just now makes it anew.
                let _ = volumes.remove(&volume.name).await;
            }
        }
        Ok(removed)
    }
}
