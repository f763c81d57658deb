//! Real repositories, opened and exported: every odd name, link, state and refusal.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod repo_kept;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cap_std::fs::Dir;
use soopervisor::id::RelPath;
use soopervisor::repo::{self, Checkout, EntryKind, Folder, ReadError, RepoError, Tree};

/// A repository in a folder that goes away with it.
struct Fixture {
    _dir: tempfile::TempDir,
    root: PathBuf,
}

fn git_in(folder: &Path, args: &[&str]) -> String {
    let output = git_command(folder).args(args).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn git_command(folder: &Path) -> Command {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(b"GIT_")) {
        command.env_remove(name);
    }
    command.arg("-C").arg(folder).args(["-c", "protocol.file.allow=always", "-c", "commit.gpgSign=false"]);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "A U Thor").env(format!("GIT_{who}_EMAIL"), "a@example.org");
    }
    command
}

impl Fixture {
    fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("my repo");
        std::fs::create_dir(&root).unwrap();
        git_in(&root, &["init", "--quiet", "--initial-branch=main"]);
        Self { _dir: dir, root }
    }

    fn with(files: &[(&str, &str)]) -> Self {
        let fixture = Self::empty();
        for (path, text) in files {
            fixture.write(path, text);
        }
        fixture.commit();
        fixture
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.root.parent().unwrap().join(name)
    }

    fn write(&self, path: impl AsRef<OsStr>, text: impl AsRef<[u8]>) {
        let path = self.root.join(path.as_ref());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn git(&self, args: &[&str]) -> String {
        git_in(&self.root, args)
    }

    fn commit(&self) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", "x"]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn open(&self) -> Result<Checkout, RepoError> {
        repo::open(&self.root, false)
    }

    fn object(&self, kind: &str, bytes: &[u8]) -> String {
        use std::io::Write;
        let mut command = git_command(&self.root);
        command
            .args(["hash-object", "-w", "--literally", "--stdin", "-t", kind])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().trim().to_owned()
    }
}

/// Every path below a folder: its mode, and its content or target.
type Contents = BTreeMap<OsString, (u32, Vec<u8>)>;

fn contents(folder: &Path) -> Contents {
    let mut found = BTreeMap::new();
    let mut ahead = vec![folder.to_owned()];
    while let Some(next) = ahead.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let content = if meta.is_symlink() {
                std::fs::read_link(&path).unwrap().into_os_string().into_vec()
            } else if meta.is_dir() {
                ahead.push(path.clone());
                Vec::new()
            } else {
                std::fs::read(&path).unwrap()
            };
            found.insert(path.strip_prefix(folder).unwrap().as_os_str().to_owned(), (meta.mode() & 0o17_7777, content));
        }
    }
    found
}

fn export(checkout: &Checkout) -> Result<(tempfile::TempDir, Contents), RepoError> {
    let dir = tempfile::tempdir().unwrap();
    let into = Dir::open_ambient_dir(dir.path(), cap_std::ambient_authority()).unwrap();
    checkout.export(&into, None)?;
    let found = contents(dir.path());
    Ok((dir, found))
}

fn path(text: &str) -> RelPath {
    text.parse().unwrap()
}

#[test]
fn exports_exactly_the_commit() {
    let fixture = Fixture::empty();
    let odd = OsStr::from_bytes(b"dir \xff/new\nline\t'\"\\\xc3");
    fixture.write(odd, b"\0\x01\n");
    fixture.write("run.sh", "#!/bin/sh\n");
    std::fs::set_permissions(fixture.path("run.sh"), std::fs::Permissions::from_mode(0o700)).unwrap();
    fixture.write("big.bin", vec![7; 3 << 20]);
    fixture.write("empty", "");
    // What `git archive` and a checkout would change, drop or run.
    fixture.write(".gitattributes", "hidden export-ignore\nid export-subst\ncrlf text eol=crlf\nsmudged filter=evil\n");
    fixture.write("hidden", "here");
    fixture.write("id", "$Format:%H$");
    fixture.write("crlf", "a\nb\n");
    fixture.write("smudged", "plain");
    symlink("../../../etc/passwd", fixture.path("out")).unwrap();
    symlink("/etc/passwd", fixture.path("absolute")).unwrap();
    symlink(OsStr::from_bytes(b"dir \xff"), fixture.path("in")).unwrap();
    fixture.commit();
    fixture.git(&["config", "filter.evil.smudge", "touch ran; cat"]);

    let checkout = fixture.open().unwrap();
    let (_dir, found) = export(&checkout).unwrap();
    let file = |text: &[u8]| (0o10_0644, text.to_vec());
    let link = |target: &[u8]| (0o12_0777, target.to_vec());
    let expected = BTreeMap::from([
        (odd.to_owned(), file(b"\0\x01\n")),
        (OsStr::from_bytes(b"dir \xff").to_owned(), (0o4_0755, vec![])),
        ("run.sh".into(), (0o10_0755, b"#!/bin/sh\n".to_vec())),
        ("big.bin".into(), file(&vec![7; 3 << 20])),
        ("empty".into(), file(b"")),
        (".gitattributes".into(), file(&std::fs::read(fixture.path(".gitattributes")).unwrap())),
        ("hidden".into(), file(b"here")),
        ("id".into(), file(b"$Format:%H$")),
        ("crlf".into(), file(b"a\nb\n")),
        ("smudged".into(), file(b"plain")),
        ("out".into(), link(b"../../../etc/passwd")),
        ("absolute".into(), link(b"/etc/passwd")),
        ("in".into(), link(b"dir \xff")),
    ]);
    assert_eq!(found, expected);
    assert!(!fixture.path("ran").exists());
}

#[test]
fn a_redirecting_environment_changes_nothing() {
    // The same test again, in a process in which git would look elsewhere.
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "exports_exactly_the_commit"])
        .envs([
            ("GIT_DIR", "/nonexistent"),
            ("GIT_INDEX_FILE", "/nonexistent"),
            ("GIT_WORK_TREE", "/"),
            ("LC_ALL", "de_DE.UTF-8"),
        ])
        .envs([("GIT_OBJECT_DIRECTORY", "/nonexistent"), ("GIT_LITERAL_PATHSPECS", "1"), ("GIT_TRACE", "1")])
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn says_what_is_checked_out() {
    let fixture = Fixture::with(&[("examples/pen guins/pipeline.yaml", "tasks: []\n")]);
    fixture.git(&["remote", "add", "origin", "https://me:hunter2@example.org/team/zoo.git"]);
    let commit = fixture.git(&["rev-parse", "HEAD"]);
    let checkout = repo::open(&fixture.path("examples/pen guins"), false).unwrap();
    assert_eq!(checkout.root, fixture.root);
    assert_eq!(checkout.pipeline_dir, path("examples/pen guins"));
    assert_eq!(checkout.revision.to_string(), commit);
    assert_eq!(checkout.branch.as_deref(), Some("main"));
    assert_eq!(checkout.origin.as_deref(), Some("https://example.org/team/zoo.git"));
    assert_eq!(checkout.project.as_str(), "zoo-examples-pen-guins");
    assert!(checkout.notes.is_empty());
}

#[test]
fn opens_links_worktrees_shallow_clones_and_detached_heads() {
    let fixture = Fixture::with(&[("a/pipeline.yaml", "one\n")]);
    fixture.write("a/pipeline.yaml", "two\n");
    let commit = fixture.commit();

    let link = fixture.beside("link");
    symlink(fixture.path("a"), &link).unwrap();
    assert_eq!(repo::open(&link, false).unwrap().pipeline_dir, path("a"));

    let worktree = fixture.beside("work tree");
    fixture.git(&["worktree", "add", "--quiet", "--detach", worktree.to_str().unwrap(), "HEAD~1"]);
    let checkout = repo::open(&worktree, false).unwrap();
    assert_eq!((checkout.branch.as_deref(), &checkout.root), (None, &worktree));
    assert_eq!(checkout.tree().read(&path("a/pipeline.yaml"), 100).unwrap().unwrap()[..], *b"one\n");
    std::fs::write(worktree.join("a/pipeline.yaml"), "three\n").unwrap();
    let dirty = repo::open(&worktree, true).unwrap();
    assert_eq!(dirty.tree().read(&path("a/pipeline.yaml"), 100).unwrap().unwrap()[..], *b"three\n");

    let url = format!("file://{}", fixture.root.display());
    git_in(fixture.root.parent().unwrap(), &["clone", "--quiet", "--depth=1", &url, "shallow"]);
    let checkout = repo::open(&fixture.beside("shallow"), false).unwrap();
    assert_eq!(checkout.revision.to_string(), commit);
    assert_eq!(export(&checkout).unwrap().1[OsStr::new("a/pipeline.yaml")].1, b"two\n");
}

#[test]
fn a_sha256_repository_works_as_well() {
    let dir = tempfile::tempdir().unwrap();
    git_in(dir.path(), &["init", "--quiet", "--object-format=sha256"]);
    std::fs::write(dir.path().join("f"), "x").unwrap();
    git_in(dir.path(), &["add", "f"]);
    git_in(dir.path(), &["commit", "--quiet", "-m", "x"]);
    let checkout = repo::open(dir.path(), false).unwrap();
    assert_eq!(checkout.revision.commit.as_str().len(), 64);
    assert_eq!(export(&checkout).unwrap().1.len(), 1);
}

#[test]
fn refuses_what_is_no_work_tree_with_a_commit() {
    let dir = tempfile::tempdir().unwrap();
    let code = |path: &Path| {
        let error = repo::open(path, false).unwrap_err();
        assert!(error.help().is_some(), "{error:?}");
        error.code()
    };
    assert_eq!(code(&dir.path().join("nothing")), "repo/path");
    std::fs::write(dir.path().join("file"), "").unwrap();
    assert_eq!(code(&dir.path().join("file")), "repo/not-a-folder");
    assert_eq!(code(dir.path()), "repo/no-repository");
    git_in(dir.path(), &["init", "--quiet", "--bare", "bare"]);
    assert_eq!(code(&dir.path().join("bare")), "repo/bare");
    let fixture = Fixture::empty();
    assert_eq!(code(&fixture.path(".git")), "repo/bare");
    fixture.write("a", "x");
    assert_eq!(code(&fixture.root), "repo/no-commit");
}

#[test]
fn changed_files_of_the_pipeline_are_refused_and_others_noted() {
    let fixture =
        Fixture::with(&[("p/pipeline.yaml", "a\n"), ("p/gone", ""), ("q/other", "b\n"), (".gitignore", "*.log\n")]);
    fixture.write("p/artifacts/x", "output of the last run");
    fixture.write("p/a.log", "ignored");
    fixture.write("q/other", "changed");
    let pipeline = fixture.path("p");
    let checkout = repo::open(&pipeline, false).unwrap();
    let notes: Vec<&str> = checkout.notes.iter().map(|note| note.message.as_str()).collect();
    assert_eq!(
        notes,
        [
            "changed, but outside the pipeline's folder: `q/other`",
            "not in the commit, so not part of the run: `p/artifacts`"
        ]
    );
    assert_eq!(export(&checkout).unwrap().1[OsStr::new("q/other")].1, b"b\n");

    fixture.write("p/pipeline.yaml", "changed\n");
    std::fs::remove_file(fixture.path("p/gone")).unwrap();
    fixture.write("p/staged", "new");
    fixture.git(&["add", "p/staged"]);
    let error = repo::open(&pipeline, false).unwrap_err();
    assert_eq!(error.to_string(), "3 files changed since the commit: `p/gone`, `p/pipeline.yaml`, `p/staged`");
    assert!(error.help().unwrap().contains("--allow-dirty") && error.help().unwrap().contains("commit"));
}

#[test]
fn a_changed_mode_counts_and_a_touched_file_does_not() {
    let fixture = Fixture::with(&[("run.sh", "x"), ("touched", "y")]);
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(100);
    std::fs::File::options().write(true).open(fixture.path("touched")).unwrap().set_modified(later).unwrap();
    fixture.open().unwrap();
    std::fs::set_permissions(fixture.path("run.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(fixture.open(), Err(RepoError::Dirty { total: 1, .. })));
}

#[test]
fn many_changed_files_are_counted() {
    let files: Vec<String> = (0..13).map(|i| format!("f{i:02}")).collect();
    let fixture = Fixture::with(&files.iter().map(|name| (name.as_str(), "a")).collect::<Vec<_>>());
    for name in &files {
        fixture.write(name, "b");
    }
    let text = fixture.open().unwrap_err().to_string();
    assert!(text.starts_with("13 files") && text.ends_with("`f09` and 3 more"), "{text}");
}

/// Everything that could show a write: mode, inode, times, content.
type Print = (u32, u64, [i64; 4], Vec<u8>);

fn fingerprint(folder: &Path) -> BTreeMap<PathBuf, Print> {
    let mut found = BTreeMap::new();
    let mut ahead = vec![folder.to_owned()];
    while let Some(next) = ahead.pop() {
        let meta = next.symlink_metadata().unwrap();
        if meta.is_dir() {
            ahead.extend(std::fs::read_dir(&next).unwrap().map(|entry| entry.unwrap().path()));
        }
        let content = if meta.is_file() { std::fs::read(&next).unwrap() } else { Vec::new() };
        let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()];
        found.insert(next, (meta.mode(), meta.ino(), times, content));
    }
    found
}

#[test]
fn a_dirty_tree_is_run_as_it_is_and_nothing_of_the_users_is_written() {
    let fixture = Fixture::with(&[
        ("kept", "a\n"),
        ("changed", "b\n"),
        ("gone", "c\n"),
        (".gitignore", "*.log\n"),
        ("sub/x", "y"),
    ]);
    let clean_tree = fixture.git(&["rev-parse", "HEAD^{tree}"]);
    fixture.write("changed", "B\n");
    std::fs::remove_file(fixture.path("gone")).unwrap();
    fixture.write("new é\n", "fresh");
    fixture.write("a.log", "ignored");
    // A file whose time changed but not its content is what makes git want to refresh its index.
    fixture.write("kept", "a\n");
    let before = fingerprint(&fixture.root);

    let checkout = repo::open(&fixture.path("sub"), true).unwrap();
    let (_dir, found) = export(&checkout).unwrap();
    assert_eq!(checkout.tree().read(&path("changed"), 10).unwrap().unwrap()[..], *b"B\n");
    drop(checkout.tree());
    let after = fingerprint(&fixture.root);
    let written: Vec<&PathBuf> =
        after.iter().filter(|(path, print)| before.get(*path) != Some(*print)).map(|(path, _)| path).collect();
    assert!(written.is_empty() && after.len() == before.len(), "written to: {written:?}");

    let names: Vec<&OsStr> = found.keys().map(OsString::as_os_str).collect();
    assert_eq!(names, [".gitignore", "changed", "kept", "new é\n", "sub", "sub/x"].map(OsStr::new));
    assert_eq!(found[OsStr::new("changed")].1, b"B\n");
    let tree = checkout.revision.dirty_tree.clone().unwrap();
    assert_ne!(tree, clean_tree);
    // The tree's id is the one that a commit of the same files would have.
    fixture.commit();
    assert_eq!(fixture.git(&["rev-parse", "HEAD^{tree}"]), tree);
    assert_eq!(repo::open(&fixture.root, true).unwrap().revision.dirty_tree, None);
}

#[test]
fn the_storage_of_earlier_runs_is_neither_noted_nor_part_of_a_dirty_run() {
    let fixture = Fixture::with(&[("a", "a")]);
    fixture.write("store/x/artifacts/y", "published");
    let store = [fixture.path("store/x/artifacts")];
    assert_eq!(repo::open_without(&fixture.root, true, &store).unwrap().revision.dirty_tree, None);
    fixture.write("store/x/more", "untracked");
    fixture.write("a", "changed");
    let checkout = repo::open_without(&fixture.root, true, &store).unwrap();
    let names: Vec<OsString> = export(&checkout).unwrap().1.into_keys().collect();
    assert_eq!(names, ["a", "store", "store/x", "store/x/more"].map(OsString::from));

    let fixture = Fixture::with(&[("a", "a")]);
    fixture.write("artifacts/y", "published");
    assert_eq!(fixture.open().unwrap().notes.len(), 1);
    assert!(repo::open_without(&fixture.root, false, &[fixture.path("artifacts")]).unwrap().notes.is_empty());
}

#[test]
fn looking_needs_no_commit_and_no_repository() {
    let fixture = Fixture::empty();
    fixture.write("p/pipeline.yaml", "x");
    let (folder, inside, none) = repo::look(&fixture.path("p")).unwrap();
    assert_eq!((inside, none.is_none()), (path("p"), true));
    assert_eq!(folder.read(&path("p/pipeline.yaml"), 10).unwrap().unwrap()[..], *b"x");
    std::fs::remove_dir_all(fixture.path(".git")).unwrap();
    let (folder, inside, none) = repo::look(&fixture.path("p")).unwrap();
    assert!(inside.is_root() && none.is_some_and(|none| none.code() == "repo/no-repository"));
    assert!(folder.read(&path("pipeline.yaml"), 10).unwrap().is_some());
    assert_eq!(repo::look(&fixture.path("none")).unwrap_err().code(), "repo/path");
}

#[test]
fn opening_a_clean_tree_writes_nothing() {
    let fixture = Fixture::with(&[("a", "a\n"), ("b/c", "b\n")]);
    fixture.write("a", "a\n");
    let before = fingerprint(&fixture.root);
    export(&fixture.open().unwrap()).unwrap();
    assert!(fingerprint(&fixture.root) == before);
}

#[test]
fn a_change_within_the_indexs_own_second_is_seen() {
    let fixture = Fixture::with(&[("a", "one")]);
    // Same size and, with the index's time, as racy as it gets.
    let index = std::fs::metadata(fixture.path(".git/index")).unwrap().modified().unwrap();
    fixture.write("a", "two");
    std::fs::File::options().write(true).open(fixture.path("a")).unwrap().set_modified(index).unwrap();
    let checkout = repo::open(&fixture.root, true).unwrap();
    assert_eq!(checkout.tree().read(&path("a"), 10).unwrap().unwrap()[..], *b"two");
}

#[test]
fn programs_named_in_the_repository_are_not_started() {
    let fixture = Fixture::with(&[("a", "a")]);
    let ran = fixture.beside("ran");
    let script = fixture.beside("evil.sh");
    std::fs::write(&script, format!("#!/bin/sh\ntouch '{}'\n", ran.display())).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    for key in ["core.fsmonitor", "core.sshCommand", "core.askPass", "core.pager", "gpg.program"] {
        fixture.git(&["config", key, script.to_str().unwrap()]);
    }
    std::fs::create_dir_all(fixture.path(".git/hooks")).unwrap();
    std::fs::copy(&script, fixture.path(".git/hooks/post-index-change")).unwrap();
    fixture.write("a", "b");
    export(&repo::open(&fixture.root, true).unwrap()).unwrap();
    assert!(!ran.exists());
}

#[test]
fn a_commit_with_hostile_paths_is_refused_before_anything_is_written() {
    let fixture = Fixture::with(&[("a", "a")]);
    let blob = fixture.object("blob", b"evil");
    let entry = |mode: &str, name: &str, oid: &str| {
        [format!("{mode} {name}\0").into_bytes(), hex::decode(oid).unwrap()].concat()
    };
    let inner = fixture.object("tree", &entry("100644", "config", &blob));
    let twice = [entry("120000", "l", &blob), entry("40000", "l", &inner)].concat();
    for tree in [entry("40000", "..", &inner), entry("40000", ".GIT", &inner), entry("100644", "..", &blob), twice] {
        let tree = fixture.object("tree", &tree);
        let commit = fixture.git(&["commit-tree", &tree, "-m", "x"]);
        std::fs::write(fixture.path(".git/HEAD"), format!("{commit}\n")).unwrap();
        // Changes are looked at first and would be refused as such: the index must agree.
        let result = git_command(&fixture.root).args(["read-tree", "HEAD"]).output().unwrap();
        let error = repo::open(&fixture.root, false).unwrap_err();
        match error {
            RepoError::Hostile { .. } => {}
            // Git would not even make an index of it, so everything counts as changed.
            RepoError::Dirty { .. } | RepoError::Git { .. } => assert!(!result.status.success(), "{error:?}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn submodules_that_are_here_are_part_of_the_snapshot() {
    let inner = Fixture::with(&[("lib.py", "x = 1\n"), ("deep/y", "")]);
    let outer = Fixture::with(&[("p/pipeline.yaml", ""), ("q/z", "")]);
    outer.git(&["submodule", "--quiet", "add", inner.root.to_str().unwrap(), "p/my lib"]);
    outer.commit();
    let checkout = repo::open(&outer.path("p"), false).unwrap();
    let (_dir, found) = export(&checkout).unwrap();
    assert_eq!(found[OsStr::new("p/my lib/lib.py")].1, b"x = 1\n");
    assert!(!found.contains_key(OsStr::new("p/my lib/.git")));
    let tree = checkout.tree();
    assert_eq!(tree.entry(&path("p/my lib")), Some(EntryKind::Folder));
    assert_eq!(tree.read(&path("p/my lib/lib.py"), 10).unwrap().unwrap()[..], *b"x = 1\n");

    outer.write("p/my lib/__pycache__/x", "nobody's business");
    assert!(repo::open(&outer.path("p"), false).unwrap().notes.is_empty());
    outer.write("p/my lib/lib.py", "x = 2\n");
    assert!(matches!(repo::open(&outer.path("p"), false), Err(RepoError::Dirty { .. })));
    let checkout = repo::open(&outer.path("q"), false).unwrap();
    assert_eq!(checkout.notes[0].code, "repo/changed-in-submodule");

    let clone = outer.beside("clone");
    git_in(outer.root.parent().unwrap(), &["clone", "--quiet", outer.root.to_str().unwrap(), clone.to_str().unwrap()]);
    let error = repo::open(&clone.join("p"), false).unwrap_err();
    assert!(matches!(&error, RepoError::Submodule { path, .. } if path.as_str() == Some("p/my lib")), "{error:?}");
    assert!(error.help().unwrap().ends_with("`git submodule update --init --recursive -- 'p/my lib'`"));
    let checkout = repo::open(&clone.join("q"), false).unwrap();
    assert_eq!(checkout.notes[0].code, "repo/submodule-absent");
    assert_eq!(export(&checkout).unwrap().1[OsStr::new("p/my lib")].0, 0o4_0755);
}

#[test]
fn lfs_content_comes_from_the_clone_or_is_asked_for() {
    use sha2::Digest;
    let content = b"the real thing".as_slice();
    let oid = hex::encode(sha2::Sha256::digest(content));
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {}\n", content.len());
    let fixture = Fixture::with(&[("data.bin", &pointer)]);
    // Without the attribute it is a file that happens to look like a pointer.
    assert_eq!(export(&fixture.open().unwrap()).unwrap().1[OsStr::new("data.bin")].1, pointer.as_bytes());

    fixture.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
    fixture.commit();
    let error = export(&fixture.open().unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "the content of 1 file in Git LFS is not here: `data.bin`");
    assert_eq!(fixture.open().unwrap().check_lfs().unwrap_err().to_string(), error.to_string());
    assert_eq!(error.help().unwrap(), "fetch it: `git lfs pull`");

    let object = format!(".git/lfs/objects/{}/{}/{oid}", &oid[..2], &oid[2..4]);
    fixture.write(&object, content);
    fixture.open().unwrap().check_lfs().unwrap();
    assert_eq!(export(&fixture.open().unwrap()).unwrap().1[OsStr::new("data.bin")].1, content);

    fixture.write(&object, "the fake thing");
    assert!(matches!(export(&fixture.open().unwrap()), Err(RepoError::LfsDamaged { .. })));
}

#[test]
fn missing_objects_are_told_from_other_trouble() {
    let fixture = Fixture::with(&[("a", "content that goes missing")]);
    let oid = fixture.git(&["rev-parse", "HEAD:a"]);
    std::fs::remove_file(fixture.path(&format!(".git/objects/{}/{}", &oid[..2], &oid[2..]))).unwrap();
    let error = fixture.open().map(|checkout| export(&checkout).map(drop)).and_then(|result| result).unwrap_err();
    assert_eq!(error.code(), "repo/objects-missing", "{error:?}");
}

#[test]
fn export_wants_an_empty_folder_and_hands_it_to_the_owner() {
    let fixture = Fixture::with(&[("a/b", "x")]);
    symlink("b", fixture.path("a/l")).unwrap();
    fixture.commit();
    let checkout = fixture.open().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let into = Dir::open_ambient_dir(dir.path(), cap_std::ambient_authority()).unwrap();
    let me = dir.path().metadata().unwrap();
    // Only root may give files away; for anyone else the owner stays who it is.
    let owner = if me.uid() == 0 { (10001, 10002) } else { (me.uid(), me.gid()) };
    checkout.export(&into, Some(owner)).unwrap();
    for name in [".", "a", "a/b", "a/l"] {
        let meta = dir.path().join(name).symlink_metadata().unwrap();
        assert_eq!((meta.uid(), meta.gid()), owner, "{name}");
    }
    assert!(matches!(checkout.export(&into, None), Err(RepoError::NotEmpty)));
}

/// What every tree must answer, whatever it is made of.
fn looks_right(tree: &dyn Tree) {
    let read = |name: &str| tree.read(&path(name), 100).unwrap().map(|bytes| bytes.to_vec());
    assert_eq!(tree.entry(&RelPath::root()), Some(EntryKind::Folder));
    assert_eq!(tree.entry(&path("dir")), Some(EntryKind::Folder));
    assert_eq!(tree.entry(&path("dir/run.sh")), Some(EntryKind::File { size: 3, executable: true }));
    assert_eq!(tree.entry(&path("link")), Some(EntryKind::Link));
    assert_eq!(tree.entry(&path("none")), None);
    assert_eq!(tree.entry(&path("dir/run.sh/x")), None);
    assert_eq!(tree.entry(&path(".git")), None);
    assert_eq!(read("dir/run.sh").unwrap(), b"abc");
    assert_eq!(read("link").unwrap(), b"abc");
    assert_eq!(read("folder link/run.sh").unwrap(), b"abc");
    assert_eq!(read("dir/up").unwrap(), b"abc");
    for nothing in
        ["none", "dir", "dangling", "loop", "out", "absolute", "out folder/passwd", ".git/config", "dir/run.sh/x"]
    {
        assert_eq!(read(nothing), None, "{nothing}");
    }
    assert_eq!(tree.read(&path("dir/run.sh"), 2), Err(ReadError::TooLong { size: 3, limit: 2 }));
    assert_eq!(tree.list(&path("dir")), [path("run.sh"), path("up")]);
    assert_eq!(tree.list(&path("dir/run.sh")), []);
    assert_eq!(tree.list(&path("none")), []);
    let names = ["absolute", "dangling", "dir", "folder link", "link", "loop", "out", "out folder"];
    assert_eq!(tree.list(&RelPath::root()), names.map(path));
}

#[test]
fn trees_follow_links_inside_and_never_out() {
    let fixture = Fixture::empty();
    fixture.write("dir/run.sh", "abc");
    std::fs::set_permissions(fixture.path("dir/run.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let outside = fixture.beside("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("passwd"), "secret").unwrap();
    let links = [
        ("link", "dir/run.sh"),
        ("folder link", "./dir"),
        ("dir/up", "../dir/../link"),
        ("dangling", "nowhere"),
        ("loop", "loop"),
        ("out", "../outside/passwd"),
        ("out folder", "../outside"),
    ];
    for (name, target) in links {
        symlink(target, fixture.path(name)).unwrap();
    }
    symlink(outside.join("passwd"), fixture.path("absolute")).unwrap();
    fixture.commit();
    looks_right(&fixture.open().unwrap().tree());
    looks_right(&Folder::open(&fixture.root).unwrap());
}

#[test]
fn a_pipe_in_a_folder_is_no_file_and_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Command::new("mkfifo").arg(dir.path().join("pipe")).status().unwrap().success());
    let folder = Folder::open(dir.path()).unwrap();
    assert_eq!(folder.entry(&path("pipe")), None);
    assert_eq!(folder.read(&path("pipe"), 10).unwrap(), None);
}

#[test]
fn ancestors_come_nearest_first_and_say_what_changed_since() {
    let fixture = Fixture::with(&[("a.py", "1"), ("b.py", "1"), ("run.sh", "1")]);
    let first = git_in(&fixture.root, &["rev-parse", "HEAD"]);
    git_in(&fixture.root, &["checkout", "--quiet", "-b", "side"]);
    fixture.write("side.py", "1");
    fixture.commit();
    git_in(&fixture.root, &["checkout", "--quiet", "main"]);
    fixture.write("a.py", "2");
    std::fs::remove_file(fixture.path("b.py")).unwrap();
    std::fs::set_permissions(fixture.path("run.sh"), PermissionsExt::from_mode(0o755)).unwrap();
    fixture.commit();
    git_in(&fixture.root, &["merge", "--quiet", "--no-edit", "side"]);
    let checkout = repo::open(&fixture.root, false).unwrap();
    let found = checkout.ancestors(10).unwrap();
    assert_eq!((found.commits.len(), found.shallow), (3, false));
    assert_eq!(found.commits[2].as_str(), first, "{found:?}");
    let before = checkout.earlier(&found.commits[2]).unwrap();
    assert_eq!(checkout.tree().changed_since(&before), ["a.py", "b.py", "run.sh", "side.py"].map(path));
    assert_eq!(&*before.read(&path("a.py"), 10).unwrap().unwrap(), b"1");
    assert_eq!(before.changed_since(&before), [] as [RelPath; 0]);
    assert_eq!(checkout.ancestors(1).unwrap().commits.len(), 1);
}

#[test]
fn a_shallow_clone_knows_few_ancestors_and_says_so() {
    let fixture = Fixture::with(&[("a", "1")]);
    fixture.write("a", "2");
    fixture.commit();
    let clone = tempfile::tempdir().unwrap();
    let from = format!("file://{}", fixture.root.display());
    git_in(clone.path(), &["clone", "--quiet", "--depth", "1", &from, "here"]);
    let checkout = repo::open(&clone.path().join("here"), false).unwrap();
    let found = checkout.ancestors(10).unwrap();
    assert!(found.commits.is_empty() && found.shallow, "{found:?}");
    assert!(checkout.earlier(&"0".repeat(40).parse().unwrap()).is_err());
}
