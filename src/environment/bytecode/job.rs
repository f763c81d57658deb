//! One errand that compiles: its folder, the container that works in it, and how to tell whether one still does.
//!
//! The container is shown the prefix, which it may only read, and this folder; it has no network. What it finishes is
//! taken in by whatever soopervisor comes by: the one that sent it, or a later one.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::origin::{Group, Python, entries};
use super::shelf::Shelf;
use super::{Chore, jobs};
use crate::engine::{Carried, Errand, GuestPath, HostPath, Mount, Purpose, SessionSpec};
use crate::environment::bench;

/// Where the folder is inside.
const GUEST: &str = "/opt/compile";
const PROGRAM: &str = include_str!("compile.py");
/// Longer than the largest environments need on a busy machine.
const LASTS: Duration = Duration::from_mins(20);
/// From being asked for to its first instruction, on a machine that is very busy.
const STARTING: Duration = Duration::from_mins(2);
/// Compiling takes 100 MB; hostile sources may want more.
const MEMORY: u64 = 1 << 30;

/// What is noted about a job, out of its container's reach.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    tag: String,
    groups: Vec<String>,
}

/// A job's folder.
pub(super) struct Job {
    folder: PathBuf,
}

impl Job {
    /// Jobs for a prefix, or for all of them.
    pub(super) fn all(store: &Path, id: Option<&str>) -> io::Result<Vec<Self>> {
        let jobs = entries(&jobs(store))?.into_iter().map(|entry| Self { folder: entry.path() });
        Ok(jobs.filter(|job| id.is_none_or(|id| job.id() == id)).collect())
    }

    /// The prefix that it is for.
    pub(super) fn id(&self) -> String {
        let name = self.folder.file_name().unwrap_or_default().to_string_lossy();
        name.rsplit_once('.').map_or_else(|| name.to_string(), |(id, _)| id.to_owned())
    }

    /// Writes down what is to be done.
    pub(super) fn prepare(
        store: &Path,
        id: &str,
        guest_prefix: &str,
        python: &Python,
        groups: &[Group],
        user: (u32, u32),
    ) -> io::Result<Self> {
        std::fs::create_dir_all(jobs(store))?;
        let folder = tempfile::Builder::new().prefix(&format!("{id}.")).rand_bytes(8).tempdir_in(jobs(store))?;
        let job = Self { folder: folder.path().to_owned() };
        let files = job.files();
        for part in [files.clone(), files.join("part"), files.join("done")] {
            std::fs::create_dir(&part)?;
            bench::open_to(&part, user)?;
        }
        let root = |place: &str| format!("{guest_prefix}/{place}");
        let groups_in = groups.iter().map(|g| json!({"name": g.name, "root": root(&g.place), "files": g.files}));
        let list = json!({"tag": python.tag, "seconds": LASTS.as_secs(), "groups": groups_in.collect::<Vec<_>>()});
        super::super::store::write_readable(&files.join("list.json"), &list.to_string())?;
        super::super::store::write_readable(&files.join("compile.py"), PROGRAM)?;
        let names = groups.iter().map(|group| group.name.clone()).collect();
        let note = serde_json::to_vec(&Note { tag: python.tag.clone(), groups: names })?;
        std::fs::write(job.note(), note)?;
        // From here on it is there for others; what died before is swept by its age.
        let _ = folder.keep();
        Ok(job)
    }

    /// The container.
    pub(super) fn errand(&self, chore: &Chore) -> Errand {
        let prepared = &chore.prepared;
        let mount = |host: &Path, guest: &str, writable| Mount {
            host: HostPath(host.to_owned()),
            guest: GuestPath(guest.to_owned()),
            writable,
        };
        let python = format!("{}/bin/python", prepared.guest_prefix);
        let command = [&python, "-I", "-S", "-B", &format!("{GUEST}/compile.py"), GUEST];
        Errand {
            spec: SessionSpec {
                run: chore.run.clone(),
                purpose: Purpose::Errand,
                image: chore.image.clone(),
                user: chore.user,
                mounts: vec![
                    mount(&prepared.host_prefix, &prepared.guest_prefix, false),
                    mount(&self.files(), GUEST, true),
                ],
                carried: Carried::default(),
                pipes: None,
                env: BTreeMap::new(),
                workdir: "/".to_owned(),
                memory_bytes: Some(MEMORY),
                cpus: None,
                pids: 64,
                disk_bytes: None,
                network: false,
                labels: BTreeMap::from([("soopervisor.environment".to_owned(), self.id())]),
            },
            command: command.map(str::to_owned).to_vec(),
            lasts: LASTS,
        }
    }

    /// Whether somebody works on it, or is about to.
    pub(super) fn is_alive(&self) -> bool {
        if self.files().join("end").exists() {
            return false;
        }
        // The program holds this lock for as long as it or a child of it lives; killing it by any means gives it back.
        match File::options().write(true).open(self.files().join("lock")).map(|file| file.try_lock()) {
            Ok(Err(TryLockError::WouldBlock)) => true,
            Ok(_) => false,
            Err(_) => age(&self.note()).is_none_or(|age| age < STARTING),
        }
    }

    /// Moves its folder into another one of the same disk; whoever works in it does not notice.
    pub(super) fn move_to(&self, aside: &Path) -> io::Result<()> {
        std::fs::rename(&self.folder, aside.join(self.folder.file_name().unwrap_or_default()))
    }

    /// Takes in what is finished.
    pub(super) fn take_in(&self, store: &Path) -> io::Result<()> {
        let Ok(text) = std::fs::read(self.note()) else { return Ok(()) };
        let Ok(note) = serde_json::from_slice::<Note>(&text) else { return Ok(()) };
        let shelf = Shelf::of(store, &note.tag);
        // Names that we gave, and no others.
        for name in note.groups {
            let finished = self.files().join("done").join(&name);
            if finished.is_dir() && !shelf.take_in(&name, &finished)? {
                tracing::warn!(%name, "what was compiled holds links and is left out");
            }
        }
        Ok(())
    }

    /// Removes its folder.
    pub(super) fn remove(&self) {
        if let Err(error) = super::super::trash::remove(&self.folder) {
            tracing::debug!(%error, "the folder of a compile job stays for the next sweep");
        }
    }

    fn files(&self) -> PathBuf {
        self.folder.join("files")
    }

    fn note(&self) -> PathBuf {
        self.folder.join("note.json")
    }
}

fn age(path: &Path) -> Option<Duration> {
    let changed = std::fs::metadata(path).and_then(|meta| meta.modified()).ok()?;
    SystemTime::now().duration_since(changed).ok()
}
