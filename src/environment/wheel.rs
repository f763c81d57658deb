//! Wheels of the repository's own packages: built once for the same files, Python and environment, and kept.
//!
//! Only where a build is a function of these alone ([`declared`] says when); everything else is installed inside the run,
//! as it is written. A wheel is built in a container without network, secrets or variables, and no run can write to it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::builder::{Builder, Job};
use super::mishap::mishap;
use super::pip::{mount, quoted};
use super::store::{Request, Store};
use super::{EnvironmentError, Prepared};
use crate::engine::Carried;
use crate::id::Digest;

mod declared;
mod setup_py;

/// Raised whenever the same files would be built differently.
const LAYOUT: u32 = 3;
/// Below the store's root.
const FOLDER: &str = "wheels";
/// A wheel that nobody used for so long is removed when another one is kept.
const UNUSED: Duration = Duration::from_hours(30 * 24);
/// The builder's own way to say that the environment could change what is built.
const NOT_ALONE: i64 = 44;
const SOURCE: &str = "/source";
const OUT: &str = "/out";

/// A package of the repository that a run installs.
#[derive(Debug, Clone)]
pub struct Project {
    /// Its folder in the snapshot, before anything ran in it.
    pub source: PathBuf,
    /// What stands in that folder.
    pub digest: Digest,
}

/// A wheel that is ready to be mounted: a folder with this one file in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wheel {
    /// The folder on the host.
    pub folder: PathBuf,
}

/// What stands beside a kept wheel.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Note {
    /// There is one.
    Wheel { file: String, sha256: String },
    /// These files give none that could be kept.
    None(String),
}

impl Store {
    /// The wheel of a project: found and verified, or built; `None` where it has to be installed inside the run.
    ///
    /// # Errors
    /// When the engine, the disk or the user stop a build.
    pub async fn wheel(
        &self,
        request: &Request<'_>,
        prepared: &Prepared,
        project: &Project,
        progress: &mut (dyn FnMut(String) + Send),
        cancel: &CancellationToken,
    ) -> Result<Option<Wheel>, EnvironmentError> {
        if let Err(why) = declared::check(&project.source) {
            tracing::debug!(why, "installed inside the run");
            return Ok(None);
        }
        let place = self.wheel_folder(&key(prepared, project));
        match known(&place) {
            Some(Note::Wheel { .. }) => return Ok(Some(Wheel { folder: place.join("wheel") })),
            Some(Note::None(_)) => return Ok(None),
            None => {}
        }
        progress("building a wheel of the project, to be installed by this and later runs".to_owned());
        let work = tempfile::Builder::new().prefix("wheel-").tempdir_in(self.root.join("bench"));
        let work = work.map_err(|error| EnvironmentError::io(&self.root, "making a folder for a wheel", error))?;
        let out = work.path().join("out");
        let finished = build(request, prepared, project, &out, progress, cancel).await?;
        let note = match finished {
            Ok(file) => Self::take(&out.join(&file), work.path(), file),
            Err(why) => Ok(Note::None(why)),
        };
        let kept = note.and_then(|note| {
            std::fs::write(work.path().join("note.json"), serde_json::to_vec(&note)?)?;
            std::fs::remove_dir_all(&out)?;
            self.settle(work.path(), &place)?;
            Ok(note)
        });
        match kept.map_err(|error| EnvironmentError::io(&place, "keeping a wheel", error))? {
            Note::Wheel { .. } => Ok(Some(Wheel { folder: place.join("wheel") })),
            Note::None(why) => {
                progress(format!("it is installed inside the run instead: {why}"));
                Ok(None)
            }
        }
    }

    /// Copies the builder's file into one of ours, which nobody inside has ever held.
    fn take(from: &Path, work: &Path, file: String) -> std::io::Result<Note> {
        use std::os::unix::fs::PermissionsExt;
        let folder = work.join("wheel");
        std::fs::create_dir(&folder)?;
        // The builder could have left a link: it is not followed.
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let mut bytes = Vec::new();
        std::fs::File::from(rustix::fs::open(from, flags, rustix::fs::Mode::empty())?).read_to_end(&mut bytes)?;
        let to = folder.join(&file);
        let mut copy = std::fs::File::create_new(&to)?;
        copy.write_all(&bytes)?;
        copy.set_permissions(std::fs::Permissions::from_mode(0o644))?;
        copy.sync_all()?;
        for folder in [&folder, work] {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
        }
        Ok(Note::Wheel { file, sha256: hex::encode(Sha256::digest(&bytes)) })
    }

    /// Gives the folder its name; one that is there already is as good.
    fn settle(&self, work: &Path, place: &Path) -> std::io::Result<()> {
        let folder = self.root.join(FOLDER);
        std::fs::create_dir_all(&folder)?;
        for entry in std::fs::read_dir(&folder)?.flatten() {
            let idle = entry.metadata().and_then(|meta| meta.modified()).ok();
            if idle.and_then(|at| SystemTime::now().duration_since(at).ok()).is_some_and(|idle| idle > UNUSED) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        match std::fs::rename(work, place) {
            Err(_) if known(place).is_some() => Ok(()),
            Err(_) if place.exists() => {
                std::fs::remove_dir_all(place)?;
                std::fs::rename(work, place)
            }
            done => done,
        }
    }

    fn wheel_folder(&self, key: &Digest) -> PathBuf {
        self.root.join(FOLDER).join(key.to_string())
    }
}

/// Digest of everything that decides what is built.
fn key(prepared: &Prepared, project: &Project) -> Digest {
    let material = json!({
        "layout": LAYOUT, "files": project.digest.to_string(), "python": prepared.lock["python"],
        // Its build tools, exactly.
        "environment": prepared.key.to_string(), "lock": prepared.lock,
    });
    Digest(Sha256::digest(material.to_string()).into())
}

/// What is kept at a place, where it is whole and unchanged; touches it.
fn known(place: &Path) -> Option<Note> {
    let note: Note = serde_json::from_slice(&std::fs::read(place.join("note.json")).ok()?).ok()?;
    if let Note::Wheel { file, sha256 } = &note {
        let folder = place.join("wheel");
        let bytes = std::fs::read(folder.join(file)).ok()?;
        let alone = std::fs::read_dir(&folder).ok()?.count() == 1;
        if !alone || hex::encode(Sha256::digest(&bytes)) != *sha256 {
            tracing::warn!(place = %place.display(), "a kept wheel is not what was built: it is built again");
            let _ = std::fs::remove_dir_all(place);
            return None;
        }
    }
    let _ = std::fs::File::open(place).and_then(|folder| folder.set_modified(SystemTime::now()));
    Some(note)
}

/// The name of the wheel in `out`, or why there is none.
async fn build(
    request: &Request<'_>,
    prepared: &Prepared,
    project: &Project,
    out: &Path,
    progress: &mut (dyn FnMut(String) + Send),
    cancel: &CancellationToken,
) -> Result<Result<String, String>, EnvironmentError> {
    let Request { config, engine, image, run, .. } = *request;
    make_out(out, config.container_user)
        .map_err(|error| EnvironmentError::io(out, "making a folder for a wheel", error))?;
    let builder = Builder { engine, image, run, user: config.container_user, cancel, mask: Vec::new() };
    let mounts = vec![
        mount(&prepared.host_prefix, &prepared.guest_prefix, false),
        mount(&project.source, SOURCE, false),
        mount(out, OUT, true),
    ];
    let script = script(&format!("{}/bin/python", prepared.guest_prefix));
    let (carried, env) = (Carried::default(), BTreeMap::new());
    let job = Job { mounts, carried, env, secrets: Vec::new(), script, network: false };
    let finished = builder.run(job, &mut |line| tracing::debug!(line, "building a wheel")).await?;
    if let Some(mishap) = mishap(&finished, Some(&config.root), "building a wheel of the project") {
        return Err(mishap);
    }
    let last = || finished.tail.lines().last().unwrap_or("it cannot be built apart").to_owned();
    Ok(match finished.exit.code {
        0 => only_wheel(out),
        NOT_ALONE => Err("a package of the environment takes part in builds".to_owned()),
        _ => {
            progress("the wheel could not be built apart from the run".to_owned());
            Err(last())
        }
    })
}

fn make_out(out: &Path, user: (u32, u32)) -> std::io::Result<()> {
    std::fs::create_dir(out)?;
    if rustix::process::geteuid().is_root() && user.0 != 0 {
        std::os::unix::fs::chown(out, Some(user.0), Some(user.1))?;
    }
    // The container's user has to come this far.
    if let Some(parent) = out.parent() {
        std::fs::set_permissions(parent, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    }
    Ok(())
}

/// Builds a copy, since a build writes beside its sources, with the environment's own tools and no index.
fn script(python: &str) -> String {
    // Entry points of these groups are how other packages change what setuptools builds. Those of
    // `distutils.setup_keywords` answer to keywords of a setup.py that are their own, and there is none of those here.
    let alone = "import importlib.metadata as m, sys\n\
                 own = {'setuptools', 'wheel', 'pip'}\n\
                 groups = ('setuptools.', 'distutils.commands', 'egg_info.')\n\
                 for d in m.distributions():\n    \
                 if (d.metadata['Name'] or '').lower() not in own and any(e.group.startswith(groups) for e in d.entry_points):\n        \
                 sys.exit(1)";
    let python = quoted(python);
    format!(
        "set -eu\numask 022\nexport HOME=/tmp/home TMPDIR=/tmp SOURCE_DATE_EPOCH=315532800 PYTHONHASHSEED=0 LANG=C.UTF-8\n\
         mkdir -p /tmp/home /tmp/project\ncp -r {SOURCE}/. /tmp/project\ncd /tmp/home\n\
         {python} -I -c {} || exit {NOT_ALONE}\n\
         {python} -m pip wheel --no-deps --no-build-isolation --check-build-dependencies --no-index --no-cache-dir \
         --disable-pip-version-check --quiet --wheel-dir {OUT} /tmp/project\n",
        quoted(alone)
    )
}

/// One that holds Python only: anything else also depends on the compiler of an image.
fn only_wheel(out: &Path) -> Result<String, String> {
    let entries: Vec<_> = std::fs::read_dir(out).map_err(|error| error.to_string())?.flatten().collect();
    let [entry] = &entries[..] else { return Err(format!("{} files were built instead of one wheel", entries.len())) };
    let name = entry.file_name().to_string_lossy().into_owned();
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+!".contains(c));
    if plain && name.ends_with("-none-any.whl") && entry.file_type().is_ok_and(|kind| kind.is_file()) {
        Ok(name)
    } else {
        Err("it holds more than Python".to_owned())
    }
}
