//! A repository of one commit for a snapshot: what `{{git}}` and `{{git_hash}}` ask git about, and nothing else.
//!
//! It has the commit with its files, the branch's name, and the tags that point at the commit. No remote, no setting of
//! the user's, no credential and no hook is in it; it is written by plumbing that runs nothing of the repository.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::Path;

use super::git::{Failure, Git};
use super::{Checkout, RepoError};

const DOING: &str = "make a repository of the commit";

impl Checkout {
    /// Writes `.git` into `work`, for `owner` where that is another than this process. `files` holds the commit's files
    /// as they were exported: they count as unchanged whatever git's filters make of them, unless the tree was dirty.
    ///
    /// # Errors
    /// When objects of the commit are not here, or the disk fails.
    pub fn add_git(&self, work: &Path, files: &Path, owner: Option<(u32, u32)>) -> Result<(), RepoError> {
        let target = work.join(".git");
        let io = |doing, path: &Path| {
            let path = path.display().to_string();
            move |source| RepoError::Io { doing, path, source }
        };
        for folder in ["objects/pack", "refs/heads", "refs/tags"] {
            let folder = target.join(folder);
            std::fs::create_dir_all(&folder).map_err(io("create", &folder))?;
        }
        let tags = self.tags_here()?;
        self.pack(&target, &tags)?;
        for (name, text) in self.texts(&tags)? {
            let file = target.join(name);
            std::fs::write(&file, text).map_err(io("write", &file))?;
        }
        self.index(&target, files)?;
        hand_over(&target, owner).map_err(io("give away", &target))
    }

    fn git(&self) -> &Git {
        &self.listing.sources[0].git
    }

    /// Tags of the commit: the object that the tag's name stands for, and the name.
    fn tags_here(&self) -> Result<Vec<(String, String)>, RepoError> {
        let commit = self.revision.commit.as_str();
        let points = format!("--points-at={commit}");
        let args = ["for-each-ref", &points, "--format=%(objectname) %(*objectname) %(refname)", "refs/tags"];
        let answer = self.git().ask(&args, "list the tags")?.unwrap_or_default();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let tags = answer.lines().filter_map(|line| {
            let mut words = line.splitn(3, ' ');
            let (object, leads_to, name) = (words.next()?, words.next()?, words.next()?);
            // A tag of a tag of the commit would need both.
            (object == commit || leads_to == commit).then(|| (object.to_owned(), name.to_owned()))
        });
        Ok(tags.collect())
    }

    /// The commit, its trees and files, and its tags, in one pack.
    fn pack(&self, target: &Path, tags: &[(String, String)]) -> Result<(), RepoError> {
        let commit = self.revision.commit.as_str();
        let git = self.git();
        let tree = git.ask(&["rev-parse", &format!("{commit}^{{tree}}")], "read the commit")?.unwrap_or_default();
        let listed = git.run(&["ls-tree", "-r", "-t", "-z", "--full-tree", commit]).map_err(|f| f.while_it(DOING))?;
        let mut wanted = format!("{commit}\n{}\n", String::from_utf8_lossy(&tree));
        for record in listed.split(|byte| *byte == 0).filter(|record| !record.is_empty()) {
            let head =
                String::from_utf8_lossy(record.split(|byte| *byte == b'\t').next().unwrap_or_default()).into_owned();
            let mut words = head.split(' ').skip(1);
            // Of a submodule only the name of its commit is known.
            if let (Some("blob" | "tree"), Some(oid)) = (words.next(), words.next()) {
                wanted += oid;
                wanted.push('\n');
            }
        }
        for (object, _) in tags.iter().filter(|(object, _)| object != commit) {
            wanted += object;
            wanted.push('\n');
        }
        let name = target.join("objects/pack/pack");
        let args: [&OsStr; 3] = ["pack-objects".as_ref(), "-q".as_ref(), name.as_ref()];
        git.feed(&args, wanted.as_bytes()).map(drop).map_err(|failure| failure.while_it(DOING))
    }

    /// The files that make a folder a repository.
    fn texts(&self, tags: &[(String, String)]) -> Result<Vec<(&'static str, String)>, RepoError> {
        let commit = self.revision.commit.as_str();
        // As long as the user's own git shortens it; a repository of one commit would take fewer digits.
        let short = self.git().ask(&["rev-parse", "--short", commit], "read the commit")?.unwrap_or_default();
        let config = format!(
            "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = false\n\
             \tabbrev = {}\n\tcheckStat = minimal\n\ttrustctime = false\n[gc]\n\tauto = 0\n",
            short.len().clamp(4, 40)
        );
        let mut refs = String::new();
        let head = match &self.branch {
            Some(branch) => {
                refs += &format!("{commit} refs/heads/{branch}\n");
                format!("ref: refs/heads/{branch}\n")
            }
            None => format!("{commit}\n"),
        };
        for (object, name) in tags {
            refs += &format!("{object} {name}\n");
        }
        Ok(vec![("HEAD", head), ("packed-refs", refs), ("shallow", format!("{commit}\n")), ("config", config)])
    }

    /// The index, so that git sees at a glance what the pipeline changes.
    fn index(&self, target: &Path, files: &Path) -> Result<(), RepoError> {
        // No setting of this machine counts: a filter of the user's would be a program that the repository names.
        let git = Git::new(OsStr::new("git"), files)
            .with("GIT_DIR", target)
            .with("GIT_WORK_TREE", files)
            .with("GIT_CONFIG_GLOBAL", "/dev/null")
            .with("GIT_CONFIG_SYSTEM", "/dev/null")
            .with("GIT_CONFIG_NOSYSTEM", "1")
            .with("GIT_ATTR_NOSYSTEM", "1")
            .with("GIT_CONFIG_COUNT", "0");
        let done = |failure: Failure| failure.while_it(DOING);
        git.run(&["read-tree", self.revision.commit.as_str()]).map_err(done)?;
        match git.run(&["update-index", "-q", "--refresh"]) {
            // It says by its code that something differs.
            Ok(_) | Err(Failure::Exit { code: Some(1), .. }) => {}
            Err(failure) => return Err(done(failure)),
        }
        if self.revision.dirty_tree.is_none() {
            let changed = git.run(&["diff-files", "-z", "--name-only"]).map_err(done)?;
            if !changed.is_empty() {
                git.feed(&["update-index", "-z", "--assume-unchanged", "--stdin"], &changed).map_err(done)?;
            }
        }
        Ok(())
    }
}

/// Readable for everybody, writable for the owner.
fn hand_over(path: &Path, owner: Option<(u32, u32)>) -> std::io::Result<()> {
    let meta = path.symlink_metadata()?;
    std::fs::set_permissions(path, Permissions::from_mode(if meta.is_dir() { 0o755 } else { 0o644 }))?;
    if let Some((uid, gid)) = owner {
        lchown(path, Some(uid), Some(gid))?;
    }
    if meta.is_dir() {
        for entry in std::fs::read_dir(path)? {
            hand_over(&entry?.path(), owner)?;
        }
    }
    Ok(())
}
