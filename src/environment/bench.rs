//! Where an environment is built: a folder that becomes `/opt/sv` in the builder, out of reach of finished prefixes.
//!
//! The uv cache and the prefix lie below one mount, since hard links do not cross mounts. The shared bench keeps its
//! cache between builds; a private one is made for packages that run code of their own and is thrown away.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::volume::Far;
use super::{EnvironmentError, trash};

/// The store's root inside containers: what prefixes are built for.
pub(super) const GUEST_ROOT: &str = "/opt/sv";

/// One place to build one prefix.
pub(super) struct Bench {
    /// Mounted at [`GUEST_ROOT`] while building.
    pub(super) root: PathBuf,
    /// The prefix while it is built; of one that is built elsewhere, its description in the end.
    pub(super) prefix: PathBuf,
    /// Where the conda packages are linked.
    linked: PathBuf,
    /// Requirement files, home and temporary files of the builder.
    pub(super) scratch: PathBuf,
    pub(super) guest_prefix: String,
    pub(super) guest_scratch: String,
    /// Whether the cache is the one that all environments share.
    pub(super) shared: bool,
    /// Where it is really built, for an engine that does not see the folders.
    pub(super) far: Option<Far>,
}

impl Bench {
    /// A fresh prefix called `id` below the store's `bench/`.
    pub(super) fn new(store: &Path, id: &str, shared: bool) -> Result<Self, EnvironmentError> {
        let root = store.join("bench").join(if shared { "shared" } else { id });
        let bench = Self {
            prefix: root.join("e").join(id),
            linked: root.join("e").join(id),
            scratch: root.join("build").join(id),
            guest_prefix: format!("{GUEST_ROOT}/e/{id}"),
            guest_scratch: format!("{GUEST_ROOT}/build/{id}"),
            root,
            shared,
            far: None,
        };
        for folder in [&bench.prefix, &bench.scratch, &bench.root.join("uv")] {
            std::fs::create_dir_all(folder)
                .map_err(|error| EnvironmentError::io(folder, "making a folder to build in", error))?;
        }
        Ok(bench)
    }

    /// Lets the builder's user write, and every user read, whatever our umask is. Only folders change hands: files are
    /// hard links into the package cache, which must stay out of its reach.
    pub(super) fn hand_over(&self, user: (u32, u32)) -> Result<(), EnvironmentError> {
        let failed = |path: &Path, error| EnvironmentError::io(path, "giving a folder to the builder's user", error);
        open_up(&self.prefix).map_err(|error| failed(&self.prefix, error))?;
        let Some(user) = new_owner(rustix::process::geteuid().as_raw(), user) else { return Ok(()) };
        for folder in [self.root.clone(), self.root.join("e"), self.root.join("build"), self.root.join("uv")] {
            give(&folder, user).map_err(|error| failed(&folder, error))?;
        }
        for tree in [&self.prefix, &self.scratch] {
            give_folders(tree, user).map_err(|error| failed(tree, error))?;
        }
        for name in ["request.in", "options.in", "limits.in", "lock.txt"] {
            let file = self.scratch.join(name);
            if file.exists() {
                give(&file, user).map_err(|error| failed(&file, error))?;
            }
        }
        Ok(())
    }

    /// Removes what was built here; the shared cache stays.
    pub(super) fn discard(&self) {
        for tree in [&self.linked, &self.prefix, &self.scratch].into_iter().chain((!self.shared).then_some(&self.root))
        {
            if let Err(error) = trash::discard(tree) {
                tracing::debug!(%error, "a folder of a builder is left for the sweep");
            }
        }
    }
}

/// Lets a container's user write to a folder that was just made.
pub(super) fn open_to(folder: &Path, user: (u32, u32)) -> std::io::Result<()> {
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
    match new_owner(rustix::process::geteuid().as_raw(), user) {
        Some(user) => give(folder, user),
        None => Ok(()),
    }
}

/// Whom the builder's folders must be given to. Only root can give files away, and only root needs to: everybody else
/// builds as himself, which a rootless engine calls root.
fn new_owner(me: u32, user: (u32, u32)) -> Option<(u32, u32)> {
    (me == 0 && user.0 != 0).then_some(user)
}

/// Makes a tree readable for everybody: folders `0755`, files with at least `0444`, programs with `0555`.
fn open_up(folder: &Path) -> std::io::Result<()> {
    let at_least = |path: &Path, meta: &std::fs::Metadata, bits: u32| {
        let mode = meta.mode() & 0o7777;
        if mode & bits == bits {
            return Ok(());
        }
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode | bits))
    };
    at_least(folder, &std::fs::symlink_metadata(folder)?, 0o755)?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            open_up(&entry.path())?;
        } else if kind.is_file() {
            let meta = entry.metadata()?;
            at_least(&entry.path(), &meta, if meta.mode() & 0o100 == 0 { 0o444 } else { 0o555 })?;
        }
    }
    Ok(())
}

fn give(path: &Path, (uid, gid): (u32, u32)) -> std::io::Result<()> {
    let meta = std::fs::symlink_metadata(path)?;
    if (meta.uid(), meta.gid()) == (uid, gid) { Ok(()) } else { chown(path, Some(uid), Some(gid)) }
}

fn give_folders(folder: &Path, user: (u32, u32)) -> std::io::Result<()> {
    give(folder, user)?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            give_folders(&entry.path(), user)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_gives_folders_away_and_never_to_the_root_of_a_rootless_engine() {
        assert_eq!(new_owner(0, (10_001, 10_001)), Some((10_001, 10_001)));
        assert_eq!(new_owner(0, (0, 0)), None);
        assert_eq!(new_owner(1000, (0, 0)), None);
        assert_eq!(new_owner(1000, (1000, 1000)), None);
    }

    #[test]
    fn a_tree_made_with_a_strict_umask_is_opened_for_reading_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        for (name, mode) in [("program", 0o700), ("text", 0o600), ("shared", 0o644)] {
            std::fs::write(bin.join(name), name).unwrap();
            set(&bin.join(name), mode);
        }
        std::os::unix::fs::symlink("/nowhere", bin.join("link")).unwrap();
        set(&bin, 0o700);
        open_up(folder.path()).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(folder.path()), mode(&bin)), (0o755, 0o755));
        assert_eq!(["program", "text", "shared"].map(|name| mode(&bin.join(name))), [0o755, 0o644, 0o644]);
    }
}
