//! Git LFS: telling a pointer from a file, and finding the content in the user's own clone. Never fetches.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use sha2::Digest as _;

use super::RepoError;
use super::git::Git;
use crate::id::{Digest, RelPath};

/// The format's own limit.
pub(super) const LONGEST_POINTER: u64 = 1023;

/// What a pointer says about its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pointer {
    pub(super) digest: Digest,
    pub(super) size: u64,
}

impl Pointer {
    /// Reads a pointer; `None` for any other file.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut lines = text.lines();
        if !lines.next()?.starts_with("version https://git-lfs.github.com/spec/") {
            return None;
        }
        let (mut digest, mut size) = (None, None);
        for line in lines {
            match line.split_once(' ')? {
                ("oid", oid) => digest = oid.strip_prefix("sha256:")?.parse().ok(),
                ("size", bytes) => size = bytes.parse().ok(),
                _ => {}
            }
        }
        Some(Self { digest: digest?, size: size? })
    }
}

/// The folder in which git-lfs keeps its objects.
pub(super) fn objects(git: &Git, common_dir: &Path) -> Result<PathBuf, RepoError> {
    Ok(below(common_dir, git.ask(&["config", "--get", "lfs.storage"], "read its settings")?))
}

/// [`objects`], where the setting `lfs.storage` is known.
pub(super) fn below(common_dir: &Path, setting: Option<Vec<u8>>) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let storage = setting.filter(|bytes| !bytes.is_empty()).unwrap_or_else(|| b"lfs".to_vec());
    common_dir.join(std::ffi::OsStr::from_bytes(&storage)).join("objects")
}

/// Where the content of a pointer is kept.
fn object(objects: &Path, pointer: &Pointer) -> PathBuf {
    let name = pointer.digest.to_string();
    objects.join(&name[..2]).join(&name[2..4]).join(&name)
}

/// Whether the content of a pointer is here; whether it is whole is seen while it is copied.
pub(super) fn is_here(objects: &Path, pointer: &Pointer) -> bool {
    object(objects, pointer).is_file()
}

/// Copies the content of a pointer, and checks it on the way; `false` when it is not here.
pub(super) fn copy(objects: &Path, pointer: &Pointer, path: &RelPath, to: &mut impl Write) -> Result<bool, RepoError> {
    let object = object(objects, pointer);
    let mut file = match std::fs::File::open(&object) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(RepoError::Io { doing: "read", path: object.display().to_string(), source }),
    };
    let mut hash = sha2::Sha256::new();
    let mut size = 0;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let io = |source| RepoError::Io { doing: "copy", path: path.to_string(), source };
        let n = file.read(&mut buffer).map_err(io)?;
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
        size += n as u64;
        to.write_all(&buffer[..n]).map_err(io)?;
    }
    if size != pointer.size || Digest(hash.finalize().into()) != pointer.digest {
        return Err(RepoError::LfsDamaged { path: path.clone() });
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_pointers_and_nothing_else() {
        let oid = "ab".repeat(32);
        let text = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 12345\n");
        let pointer = Pointer::parse(text.as_bytes()).unwrap();
        assert_eq!((pointer.digest.to_string(), pointer.size), (oid, 12345));
        for other in
            ["", "version 1\n", "version https://git-lfs.github.com/spec/v1\nsize 3\n", &text.replace("ab", "zz")]
        {
            assert_eq!(Pointer::parse(other.as_bytes()), None, "{other:?}");
        }
    }
}
