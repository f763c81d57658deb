//! What the work tree holds beyond its commit, and the tree that git would commit: found without writing to either.

use std::path::{Path, PathBuf};

use super::RepoError;
use super::git::Git;
use crate::id::RelPath;

/// Differences between the work tree and `HEAD`, sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// The branch that is checked out; `None` when `HEAD` is detached.
    pub(super) branch: Option<Vec<u8>>,
    /// Tracked files with other content, mode or place, staged or not; submodules at another commit.
    pub(super) tracked: Vec<RelPath>,
    /// Files and folders (collapsed) that git does not know and does not ignore.
    pub(super) untracked: Vec<RelPath>,
    /// Submodules in which files changed; no commit of this repository could hold that.
    pub(super) in_submodules: Vec<RelPath>,
}

/// Asks git; its index is not refreshed on disk (`GIT_OPTIONAL_LOCKS=0`).
///
/// `each` names every untracked file, where otherwise a folder of nothing else stands for all in it.
pub(super) fn find(git: &Git, each: bool) -> Result<Changes, RepoError> {
    let untracked = if each { "--untracked-files=all" } else { "--untracked-files=normal" };
    let args = ["status", "--porcelain=v2", "-z", "--branch", "--no-ahead-behind", untracked, "--no-renames"];
    let output = git.run(&[&args[..], &["--ignore-submodules=untracked"]].concat());
    let output = output.map_err(|failure| failure.while_it("compare the files with the commit"))?;
    parse(&output)
}

fn parse(output: &[u8]) -> Result<Changes, RepoError> {
    let mut changes = Changes::default();
    for record in output.split(|b| *b == 0).filter(|record| !record.is_empty()) {
        let strange =
            || RepoError::Git { doing: "compare the files", detail: String::from_utf8_lossy(record).into_owned() };
        // How many words stand before the path.
        let words = match record[0] {
            b'1' => 8,
            b'u' => 10,
            b'?' => 1,
            b'#' => {
                let branch = record.strip_prefix(b"# branch.head ").filter(|name| *name != b"(detached)");
                changes.branch = branch.map(<[u8]>::to_vec).or(changes.branch);
                continue;
            }
            b'!' => continue,
            _ => return Err(strange()),
        };
        let mut fields = record.splitn(words + 1, |b| *b == b' ');
        let submodule = if words == 1 { None } else { fields.nth(2) };
        let path = fields.last().ok_or_else(strange)?;
        let path = RelPath::from_bytes(path.strip_suffix(b"/").unwrap_or(path)).map_err(|_| strange())?;
        match (record[0], submodule) {
            (b'?', _) => changes.untracked.push(path),
            // `S` + commit changed + tracked changes + untracked files; `.M` says that nothing is staged.
            (b'1', Some([b'S', b'.', ..])) if record[2..].starts_with(b".M") => changes.in_submodules.push(path),
            _ => changes.tracked.push(path),
        }
    }
    changes.tracked.sort();
    changes.untracked.sort();
    changes.in_submodules.sort();
    Ok(changes)
}

/// Writes the work tree's files as a tree into a scratch object store; gives the tree id and a git that reads both stores.
pub(super) fn write_tree(
    git: &Git,
    changes: &Changes,
    root: &Path,
    git_dir: &Path,
    scratch: &Path,
) -> Result<(String, Git), RepoError> {
    let io = |doing, path: &Path| {
        let path = path.display().to_string();
        move |source| RepoError::Io { doing, path, source }
    };
    let objects = scratch.join("objects");
    std::fs::create_dir(&objects).map_err(io("create", &objects))?;
    let (index, copy) = (git_dir.join("index"), scratch.join("index"));
    match std::fs::copy(&index, &copy) {
        Ok(_) => keep_mtime(&index, &copy).map_err(io("write", &copy))?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(io("read", &index)(e)),
    }
    let own = git.at(root).with("GIT_OBJECT_DIRECTORY", &objects);
    let reading = own.clone().with("GIT_ALTERNATE_OBJECT_DIRECTORIES", quoted(&objects_dir(git)?));
    let writing = reading.clone().with("GIT_INDEX_FILE", &copy);
    // LFS files go in as they are: its filter would write into the user's `.git/lfs`.
    let plain = ["clean=", "smudge=", "process=", "required=false"].map(|setting| format!("filter.lfs.{setting}"));
    let mut args: Vec<&str> = plain.iter().flat_map(|setting| ["-c", setting]).collect();
    args.extend(["-c", "core.compression=0", "add", "--all", "--pathspec-from-file=-", "--pathspec-file-nul"]);
    // By name, and trees without a look at the user's store: for an object that is there already, git would renew the
    // time of its file. What remains of that is a changed file with the content of an older one.
    let paths = changes.tracked.iter().chain(&changes.untracked).map(RelPath::as_bytes);
    let writing = writing.with("GIT_LITERAL_PATHSPECS", "1");
    let added = writing.feed(&args, &paths.collect::<Vec<_>>().join(&0));
    added.map_err(|failure| failure.while_it("read the changed files"))?;
    let tree = own.with("GIT_INDEX_FILE", &copy).run(&["write-tree", "--missing-ok"]);
    let tree = tree.map_err(|failure| failure.while_it("write the tree of the changed files"))?;
    Ok((String::from_utf8_lossy(&tree).trim().to_owned(), reading))
}

/// Git trusts file times only when they are older than the index: a copy that looks newer would hide changes.
fn keep_mtime(from: &Path, to: &Path) -> std::io::Result<()> {
    let time = std::fs::metadata(from)?.modified()?;
    std::fs::File::options().write(true).open(to)?.set_modified(time)
}

/// The store of objects, also in a linked worktree.
fn objects_dir(git: &Git) -> Result<PathBuf, RepoError> {
    Ok(super::checkout::common_dir(git)?.join("objects"))
}

/// The variable is a list split at `:`; a quoted entry may hold anything.
fn quoted(path: &Path) -> std::ffi::OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut out = vec![b'"'];
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            b'\n' => out.extend(b"\\n"),
            other => out.push(*other),
        }
    }
    out.push(b'"');
    std::ffi::OsString::from_vec(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_tracked_untracked_and_submodule_changes_apart() {
        let zero = "0".repeat(40);
        let output = format!(
            "# branch.oid {zero}\0# branch.head a/b c\0# branch.upstream o/b\0\
             1 .M N... 100644 100644 100644 {zero} {zero} a b\n.py\0? artifacts/\0u UU N... 1 2 3 4 {zero} {zero} {zero} both\0\
             1 .M S.M. 160000 160000 160000 {zero} {zero} lib\x001 .M SC.. 160000 160000 160000 {zero} {zero} moved\0"
        );
        let changes = parse(output.as_bytes()).unwrap();
        let path = |text: &str| text.parse::<RelPath>().unwrap();
        assert_eq!(changes.tracked, [path("a b\n.py"), path("both"), path("moved")]);
        assert_eq!(changes.branch.as_deref(), Some(&b"a/b c"[..]));
        assert_eq!(parse(b"# branch.head (detached)\0").unwrap(), Changes::default());
        assert_eq!(changes.untracked, [path("artifacts")]);
        assert_eq!(changes.in_submodules, [path("lib")]);
        assert!(parse(b"x y\0").is_err());
    }
}
