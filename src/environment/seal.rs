//! Whether a store that was carried away and brought back is whole.
//!
//! What a workflow's cache brings may be cut short, or be mixed of two, and a key file may be there without all of its
//! prefix. Nothing in a store tells that of itself, so whoever sends one away seals it, and whoever gets one looks at the
//! seal before anything in it is used. A seal tells accidents, not forgers: it holds no secret. Meant for machines where
//! nobody else uses the store; one that stays where it is needs no seal.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::network::BUNDLES;
use super::{EnvironmentError, bytecode, trash};

/// Below the root.
const SEAL: &str = "seal.json";
/// Locks are taken anew wherever the store is.
const LOCKS: &str = "locks";
/// Between two looks at a compiler.
const PAUSE: Duration = Duration::from_millis(200);

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Nothing.
    Nothing,
    /// All that was sent, so many files.
    Whole(u64),
    /// Something else; it was removed.
    Removed,
}

/// What a store held when it was sealed.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct Seal {
    schema: u32,
    /// What programs in it are for.
    machine: String,
    files: u64,
    /// Of everything that environments are built from, and they themselves.
    content: String,
    /// Of bytecode; none where it was still being compiled.
    bytecode: Option<String>,
}

impl Seal {
    /// Whether nothing but bytecode differs.
    fn is_of(&self, here: &Self) -> bool {
        (self.schema, &self.machine, &self.content) == (here.schema, &here.machine, &here.content)
    }
}

/// Looks at a store that was brought. What is not whole is removed: environments are built anew, bytecode compiled anew.
///
/// # Errors
/// When it can be neither read nor removed.
pub fn arrive(root: &Path) -> Result<Arrival, EnvironmentError> {
    let failed = |error| EnvironmentError::io(root, "looking at environments that were brought", error);
    if !root.join("keys").is_dir() && !root.join(SEAL).exists() && !root.join("e").is_dir() {
        return Ok(Arrival::Nothing);
    }
    let sealed: Option<Seal> = std::fs::read(root.join(SEAL)).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let here = listing(root).map_err(failed)?;
    let Some(sealed) = sealed.filter(|sealed| sealed.is_of(&here)) else {
        trash::remove(root).map_err(failed)?;
        return Ok(Arrival::Removed);
    };
    if sealed.bytecode != here.bytecode {
        forget_bytecode(root).map_err(failed)?;
    }
    Ok(Arrival::Whole(sealed.files))
}

/// Seals a store that is about to be sent away. Compilers at work are waited for, but no longer than `patience`.
///
/// # Errors
/// When it cannot be read, or the seal not be written: the store counts as broken then, wherever it arrives.
pub fn seal(root: &Path, patience: Duration) -> Result<(), EnvironmentError> {
    if !root.join("keys").is_dir() {
        return Ok(());
    }
    let begun = Instant::now();
    while !bytecode::in_use(root).is_empty() && begun.elapsed() < patience {
        std::thread::sleep(PAUSE);
    }
    // What they finished is taken in; who packs a folder while somebody writes to it gets no archive at all.
    bytecode::clear(root, |_| false);
    let aside = bytecode::set_aside(root);
    let working = aside.is_err() || !bytecode::in_use(root).is_empty();
    let failed = |error| EnvironmentError::io(root, "sealing environments", error);
    let mut seal = listing(root).map_err(failed)?;
    seal.bytecode = seal.bytecode.filter(|_| !working);
    let write = || -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(root)?;
        serde_json::to_writer(&mut file, &seal)?;
        file.persist(root.join(SEAL)).map(drop).map_err(|error| error.error)
    };
    write().map_err(failed)
}

/// Takes the seal away, so that what is made of the store from now on is whole nowhere else.
///
/// # Errors
/// When it cannot be removed.
pub fn unseal(root: &Path) -> Result<(), EnvironmentError> {
    let removed = trash::remove(&root.join(SEAL));
    removed.map_err(|error| EnvironmentError::io(root, "looking at environments that were brought", error))
}

/// Names, lengths, times and links of everything, as tar keeps them.
fn listing(root: &Path) -> io::Result<Seal> {
    let (mut content, mut compiled, mut files) = (Sha256::new(), Sha256::new(), 0);
    let mut open = vec![PathBuf::new()];
    while let Some(folder) = open.pop() {
        let mut entries = std::fs::read_dir(root.join(&folder))?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let path = folder.join(entry.file_name());
            if [SEAL, LOCKS, BUNDLES].iter().any(|own| path == Path::new(own)) {
                continue;
            }
            let meta = std::fs::symlink_metadata(root.join(&path))?;
            if meta.is_dir() {
                open.push(path);
                continue;
            }
            let to = if meta.is_symlink() { std::fs::read_link(root.join(&path))? } else { PathBuf::new() };
            let digest = if is_bytecode(&path) { &mut compiled } else { &mut content };
            for part in [path.as_os_str().as_bytes(), to.as_os_str().as_bytes()] {
                digest.update(part);
                digest.update([0]);
            }
            // Parts of a second are lost in some archives; a link's own length and time say nothing.
            let (length, time) = if meta.is_symlink() { (0, 0) } else { (meta.len(), meta.mtime()) };
            digest.update(length.to_le_bytes());
            digest.update(time.to_le_bytes());
            files += 1;
        }
    }
    let text = |digest: Sha256| hex::encode(digest.finalize());
    let machine = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
    Ok(Seal { schema: 1, machine, files, content: text(content), bytecode: Some(text(compiled)) })
}

/// What is compiled in the background: the shelf, what is in prefixes, and how far that is.
fn is_bytecode(path: &Path) -> bool {
    let state = path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"soopervisor-bytecode"));
    path.starts_with("bytecode") || path.starts_with("e") && (state || path.iter().any(|part| part == "__pycache__"))
}

fn forget_bytecode(root: &Path) -> io::Result<()> {
    trash::remove(&root.join("bytecode"))?;
    let mut open = vec![root.join("e")];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            if is_bytecode(path.strip_prefix(root).unwrap_or(&path)) {
                trash::remove(&path)?;
            } else if entry.file_type()?.is_dir() {
                open.push(path);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store with one prefix, sealed.
    fn sealed() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("env");
        for folder in ["keys", "locks", "e/one/lib/__pycache__", "e/one/conda-meta", "pkgs/one", "bytecode/x"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        for (name, text) in FILES {
            std::fs::write(root.join(name), text).unwrap();
        }
        std::os::unix::fs::symlink("a.py", root.join("e/one/lib/link.py")).unwrap();
        std::fs::hard_link(root.join("e/one/lib/a.py"), root.join("pkgs/one/a.py")).unwrap();
        seal(&root, Duration::ZERO).unwrap();
        dir
    }

    const FILES: [(&str, &str); 6] = [
        ("keys/1.json", "{}"),
        ("locks/1", ""),
        ("e/one/lib/a.py", "print(1)"),
        ("e/one/lib/__pycache__/a.pyc", "compiled"),
        ("e/one/conda-meta/soopervisor-bytecode", "{}"),
        ("bytecode/x/a.pyc", "compiled"),
    ];

    /// As `actions/cache` packs and unpacks.
    fn carried(dir: &tempfile::TempDir) -> tempfile::TempDir {
        let to = tempfile::tempdir().unwrap();
        let archive = to.path().join("cache.tar");
        let tar = |args: &[&str], at: &Path| {
            let done =
                std::process::Command::new("tar").arg(args[0]).arg(&archive).args(&args[1..]).current_dir(at).status();
            assert!(done.unwrap().success());
        };
        tar(&["-cf", "--posix", "env"], dir.path());
        tar(&["-xf"], to.path());
        to
    }

    fn arrived(dir: &tempfile::TempDir) -> Arrival {
        arrive(&dir.path().join("env")).unwrap()
    }

    #[test]
    fn what_was_sealed_is_whole_wherever_it_is_unpacked_and_nothing_is_nothing() {
        let dir = sealed();
        let there = carried(&dir);
        assert_eq!(arrived(&there), Arrival::Whole(7));
        // A lock that somebody holds there changes nothing.
        std::fs::write(there.path().join("env/locks/2.use"), "x").unwrap();
        assert_eq!(arrived(&there), Arrival::Whole(7));
        assert_eq!(arrive(Path::new("/nowhere/env")).unwrap(), Arrival::Nothing);
    }

    #[test]
    fn what_is_cut_short_mixed_or_unsealed_is_removed() {
        type Damage = fn(&Path) -> io::Result<()>;
        fn reseal(root: &Path, from: &str, to: &str) -> io::Result<()> {
            let text = std::fs::read_to_string(root.join(SEAL))?;
            assert!(text.contains(from), "{text}");
            std::fs::write(root.join(SEAL), text.replace(from, to))
        }
        let damages: [(&str, Damage); 10] = [
            ("it is of another architecture", |root| reseal(root, std::env::consts::ARCH, "riscv64gc")),
            ("it is of another version", |root| reseal(root, "\"schema\":1", "\"schema\":2")),
            ("a file is missing", |root| std::fs::remove_file(root.join("e/one/lib/a.py"))),
            ("a package's file is missing", |root| std::fs::remove_file(root.join("pkgs/one/a.py"))),
            ("a file is cut short", |root| std::fs::write(root.join("e/one/lib/a.py"), "print(")),
            ("a file is another's of the same length", |root| {
                let path = root.join("e/one/lib/a.py");
                std::fs::write(&path, "print(2)")?;
                std::fs::File::options().append(true).open(path)?.set_modified(std::time::SystemTime::UNIX_EPOCH)
            }),
            ("a link leads elsewhere", |root| {
                std::fs::remove_file(root.join("e/one/lib/link.py"))?;
                std::os::unix::fs::symlink("b.py", root.join("e/one/lib/link.py"))
            }),
            ("something is there besides", |root| std::fs::write(root.join("keys/2.json"), "{}")),
            ("the seal is missing", |root| std::fs::remove_file(root.join(SEAL))),
            ("the seal is cut short", |root| std::fs::write(root.join(SEAL), "{\"schema\":1,")),
        ];
        for (what, damage) in damages {
            let dir = sealed();
            let root = dir.path().join("env");
            damage(&root).unwrap();
            assert_eq!(arrived(&dir), Arrival::Removed, "{what}");
            assert!(!root.exists(), "{what}");
            assert_eq!(arrived(&dir), Arrival::Nothing, "{what}");
        }
    }

    #[test]
    fn bytecode_that_is_not_whole_is_removed_and_the_rest_stays() {
        for name in ["e/one/lib/__pycache__/a.pyc", "bytecode/x/a.pyc", "e/one/conda-meta/soopervisor-bytecode"] {
            let dir = sealed();
            let root = dir.path().join("env");
            std::fs::write(root.join(name), "comp").unwrap();
            assert_eq!(arrived(&dir), Arrival::Whole(7), "{name}");
            for gone in ["e/one/lib/__pycache__", "bytecode", "e/one/conda-meta/soopervisor-bytecode"] {
                assert!(!root.join(gone).exists(), "{gone}");
            }
            assert_eq!(std::fs::read_to_string(root.join("pkgs/one/a.py")).unwrap(), "print(1)");
        }
    }
    #[test]
    fn what_is_not_sealed_again_is_whole_nowhere_else() {
        let dir = sealed();
        let root = dir.path().join("env");
        assert_eq!(arrived(&dir), Arrival::Whole(7));
        unseal(&root).unwrap();
        unseal(&root).unwrap();
        assert_eq!(arrived(&carried(&dir)), Arrival::Removed);
        assert!(root.join("keys/1.json").exists(), "it stays where it is");
    }

    #[test]
    fn what_a_compiler_still_writes_to_is_moved_out_and_the_rest_is_sealed() {
        let dir = sealed();
        let root = dir.path().join("env");
        let files = root.join("bytecode/jobs/one.12345678/files");
        std::fs::create_dir_all(&files).unwrap();
        let lock = std::fs::File::create(files.join("lock")).unwrap();
        lock.lock().unwrap();
        seal(&root, Duration::ZERO).unwrap();
        assert!(!files.exists(), "nothing below it changes while it is packed");
        std::fs::write(dir.path().join("env-unfinished/one.12345678/files/part.pyc"), "it goes on").unwrap();
        let there = carried(&dir);
        assert_eq!(arrived(&there), Arrival::Whole(7));
        assert!(there.path().join("env/bytecode/x/a.pyc").exists(), "what was finished comes along");
    }
}
