//! What the verbs ask of a storage: outputs fetched, checked, compared, removed.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{block_on, current_dir, host};
use crate::cli::args;
use crate::cli::console::Console;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::signals;
use crate::compare::{Comparison, Limits, Stored};
use crate::id::{ProjectName, RelPath};
use crate::outputs::manifest::Manifest;
use crate::outputs::pattern::Pattern;
use crate::run::cancel::Cancel;
use crate::run::stop::Stop;
use crate::store::Home;
use crate::{repo, storage};

/// Who looks on is told after so long that a storage has not said yet what there is.
const SILENCE: Duration = Duration::from_secs(5);

/// Which stored outputs are meant.
pub(in crate::cli) struct Wanted {
    /// The storage as written.
    pub storage: String,
    /// `None` takes the name of the repository in the current folder.
    pub project: Option<ProjectName>,
    /// The commit as typed.
    pub commit: String,
}

/// What a download did.
pub(in crate::cli) struct Fetched {
    /// What was fetched: the name of the folder in the storage.
    pub of: String,
    /// The folder here.
    pub to: PathBuf,
    /// Files that were fetched.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were there already, and right.
    pub kept: u64,
}

/// What verification found.
pub(in crate::cli) struct Verified {
    /// What was looked at: the name of the folder in the storage.
    pub of: String,
    /// Files that are as the manifest says.
    pub sound: u64,
    /// Their bytes.
    pub bytes: u64,
    /// One line for each file that is not as the manifest says.
    pub problems: Vec<String>,
    /// Whether all that was published is there as it was, so that the problems are files of others.
    pub whole: bool,
}

/// Fetches and verifies stored outputs.
pub(in crate::cli) fn download(
    wanted: &Wanted,
    globs: &[String],
    to: Option<&Path>,
    force: bool,
) -> Result<Fetched, Failure> {
    patterns(globs)?;
    let (storage, project) = wanted.open()?;
    patiently(&*storage, async {
        let folder = resolve(&*storage, &project, &wanted.commit).await?;
        let to = to.map_or_else(|| PathBuf::from(folder.to_string()), Path::to_path_buf);
        let request = storage::download::Request { project: &project, folder: &folder, globs, to: &to, force };
        let report = storage::download::download(&*storage, &request, &()).await;
        let report = report.map_err(|error| not_written(error, &to))?;
        Ok(Fetched { of: folder.to_string(), files: report.written, bytes: report.bytes, kept: report.skipped, to })
    })
}

/// Why a download did not come to its end. What its errors say of the folder here is mended with an option of its own; the
/// storage may be a folder of this machine too.
fn not_written(error: storage::StorageError, to: &Path) -> Failure {
    use storage::StorageError::{DiskFull, Forbidden, Io, NotAFolder, ReadOnly, TooManyFiles};
    let here = match &error {
        NotAFolder(path)
        | ReadOnly(path)
        | Forbidden { path, .. }
        | DiskFull { path, .. }
        | TooManyFiles { path, .. } => path.starts_with(to),
        Io { action, path, .. } => *action != "fetch" && path.starts_with(to),
        _ => false,
    };
    let failure = Failure::from(Stop::from(error));
    if here { failure.help("name another folder to write to: `--to DIR`") } else { failure }
}

/// Compares stored outputs with their manifest.
pub(in crate::cli) fn verify(wanted: &Wanted) -> Result<Verified, Failure> {
    let (storage, project) = wanted.open()?;
    patiently(&*storage, async {
        let folder = resolve(&*storage, &project, &wanted.commit).await?;
        let report = storage::verify::verify(&*storage, &project, &folder, &()).await.map_err(Stop::from)?;
        let named = |what: &str, paths: &[RelPath]| paths.iter().map(|path| format!("{what}: {path}")).collect();
        let missing: Vec<String> = named("missing", &report.missing);
        let whole = [&report.missing, &report.changed, &report.modes].iter().all(|paths| paths.is_empty());
        let problems = [
            missing,
            named("changed", &report.changed),
            named("other permissions", &report.modes),
            named("not in the manifest", &report.extra),
        ];
        let (of, problems) = (folder.to_string(), problems.concat());
        Ok(Verified { of, sound: report.ok, bytes: report.bytes, problems, whole })
    })
}

/// Compares two stored folders; pictures are fetched for a page only.
pub(in crate::cli) fn compare(args: &args::Diff) -> Result<Comparison, Failure> {
    check_commit(&args.before)?;
    check_commit(&args.after)?;
    let globs = patterns(&args.globs)?;
    let storage = opened_to_read(&args.storage.required()?)?;
    let project = project_here(args.project.as_ref())?;
    let limits = if args.html.is_some() { Limits::default().with_pictures() } else { Limits::default() };
    patiently(&*storage, async {
        let before = resolve(&*storage, &project, &args.before).await?;
        let after = resolve(&*storage, &project, &args.after).await?;
        let manifest = async |folder: &storage::Folder| -> Result<Manifest, Failure> {
            let mut manifest = storage.expected_manifest(&project, folder).await.map_err(Stop::from)?;
            manifest.narrow(&globs);
            Ok(manifest)
        };
        let (old, new) = (manifest(&before).await?, manifest(&after).await?);
        if !globs.is_empty() && old.files.is_empty() && new.files.is_empty() {
            return Err(Stop::from(storage::StorageError::nothing_matches(&args.globs)).into());
        }
        let files = Stored { storage: &*storage, former: &project, project: &project, before: &before, after: &after };
        Ok(Comparison::of(&old, &new, &files, limits).await.map_err(Stop::from)?)
    })
}

/// Does what a storage is asked for, and says on stderr what that waits for. Ctrl-C and TERM end the process, whatever it
/// waits for: reading leaves nothing half done, and a prune that broke off is gone on with by the next one.
fn patiently<T>(storage: &dyn storage::Storage, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    block_on(storage::patience::told(storage, &Notes::default(), work))
}

/// Notes on stderr, once a minute at the most: none of them goes away again.
#[derive(Default)]
struct Notes(Mutex<Option<Instant>>);

impl Notes {
    const APART: Duration = Duration::from_mins(1);

    fn are_due(&self, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| now.duration_since(last) >= Self::APART);
        if due {
            *last = Some(now);
        }
        due
    }
}

impl storage::Progress for Notes {
    fn held(&self, sentence: &str) {
        if self.are_due(Instant::now()) {
            Console::note(&format!("{sentence}\n"));
        }
    }
}

impl Wanted {
    /// The storage, and the project: as asked for, or the one of the repository here.
    fn open(&self) -> Result<(Arc<dyn storage::Storage>, ProjectName), Failure> {
        check_commit(&self.commit)?;
        Ok((opened_to_read(&self.storage)?, project_here(self.project.as_ref())?))
    }
}

/// Patterns as typed; what is wrong with one is known without a storage.
fn patterns(written: &[String]) -> Result<Vec<Pattern>, Failure> {
    let parsed = written.iter().map(|glob| Pattern::parse(glob)).collect::<Result<Vec<_>, _>>();
    parsed.map_err(|error| Failure::of(Exit::Usage, &error))
}

/// Git gives no commit, branch or tag such a name: it is a pattern that stands in the place of one.
fn check_commit(written: &str) -> Result<(), Failure> {
    if !written.contains(['*', '?', '[']) && !written.contains("..") {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, format!("`{written}` is no commit, branch or tag"))
        .why("patterns of files stand behind the commit")
        .help("soopervisor download latest '*.csv'"))
}

/// A storage in which something is looked for. A folder that is not there holds nothing, and was most often typed in
/// another one.
fn opened_to_read(written: &str) -> Result<Arc<dyn storage::Storage>, Failure> {
    if let storage::Location::Local(folder) = location(written)?
        && !folder.exists()
    {
        let what = format!("there is no folder {}", folder.display());
        let help = "`soopervisor runs` lists the runs of this machine, `soopervisor show RUN` says where one published";
        return Err(Failure::new(Exit::StorageFailed, what).help(help));
    }
    opened(written)
}

/// The storage as written on the command line.
pub(super) fn opened(written: &str) -> Result<Arc<dyn storage::Storage>, Failure> {
    let host = host(&Home::from_env()?)?;
    Ok(location(written)?.open(&host.access()?).map_err(Stop::from)?)
}

/// Which storage is meant.
pub(in crate::cli) fn location(written: &str) -> Result<storage::Location, Failure> {
    let host = host(&Home::from_env()?)?;
    Ok(storage::Location::parse(written, &host.current_dir, &host.remotes()).map_err(Stop::from)?)
}

/// Asks a storage how it is, and tries whether it takes a file, which is taken away also when the time is over, or somebody
/// wants to stop, or told, where nobody knows of it. From here on signals end nothing by themselves.
pub(in crate::cli) fn storage_health(written: &str, patience: Duration) -> Result<storage::Health, Failure> {
    let storage = opened(written)?;
    let asked = Asked { cancel: signals::hear(None)?, is_late: AtomicBool::new(false), heard: Mutex::default() };
    let silent = || {
        if let Some(sentence) = asked.last() {
            return Failure::new(Exit::StorageFailed, sentence).help("try again when that is over");
        }
        let what = format!("{} does not answer within {} s", storage.place(), patience.as_secs());
        Failure::new(Exit::StorageFailed, what).help("look at the network, the proxy and the address")
    };
    let asking = async {
        let health = storage::patience::followed(&*storage, &asked, storage.check()).await?;
        storage::patience::told(&*storage, &asked, storage.try_writing(&asked)).await?;
        Ok::<_, storage::StorageError>(health)
    };
    let (answered, in_time) = block_on(async {
        let mut asking = pin!(asking);
        Ok(tokio::select! {
            done = &mut asking => (done, true),
            () = tokio::time::sleep(patience) => {
                asked.is_late.store(true, Ordering::Relaxed);
                // What it wrote is taken away on its way out.
                (asking.await, false)
            }
        })
    })?;
    let is_stopped = asked.cancel.requested().is_some();
    match answered {
        Ok(health) if !is_stopped => Ok(health),
        Err(error) if in_time && !is_stopped => Err(Stop::from(error).into()),
        Err(left @ storage::StorageError::TrialLeft { .. }) => {
            Err(if is_stopped { Stop::from(left).into() } else { with_what_is_left(silent(), &left) })
        }
        _ if is_stopped => Err(Failure::new(Exit::Cancelled, "stopped")),
        _ => Err(silent()),
    }
}

/// That a file may be left, where it is not why it failed.
fn with_what_is_left(failure: Failure, left: &storage::StorageError) -> Failure {
    left.help().into_iter().fold(failure.why(left.to_string()), Failure::why)
}

/// Who asks a storage how it is: keeps what that waited for last, and stops when told to, or when it takes too long.
struct Asked {
    cancel: Cancel,
    is_late: AtomicBool,
    heard: Mutex<Option<String>>,
}

impl Asked {
    fn last(&self) -> Option<String> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl storage::Progress for Asked {
    fn held(&self, sentence: &str) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(sentence.to_owned());
    }

    fn cancelled(&self) -> bool {
        self.is_late.load(Ordering::Relaxed) || self.cancel.requested().is_some()
    }
}

fn project_here(asked: Option<&ProjectName>) -> Result<ProjectName, Failure> {
    if let Some(project) = asked {
        return Ok(project.clone());
    }
    let repository = repo::open(&current_dir()?, true).map_err(|error| {
        let failure = Failure::of(Exit::Usage, &error);
        failure.help("name the project: --project NAME, or change to its repository")
    })?;
    Ok(repository.project)
}

/// What the user means by a commit: what the storage knows by that name, or else what git here does.
async fn resolve(
    storage: &dyn storage::Storage,
    project: &ProjectName,
    wanted: &str,
) -> Result<storage::Folder, Failure> {
    let mut looking = Box::pin(looked_up(storage, project, wanted));
    if let Ok(found) = tokio::time::timeout(SILENCE, &mut looking).await {
        return found;
    }
    // A pause that it asks for is told where that is waited for.
    if storage.waiting().is_none() {
        Console::note(&format!("waiting for the answer of {}\n", storage.place().trim_end_matches(':')));
    }
    looking.await
}

async fn looked_up(
    storage: &dyn storage::Storage,
    project: &ProjectName,
    wanted: &str,
) -> Result<storage::Folder, Failure> {
    use storage::StorageError::{NoCommit, NoneFinished};

    let by_git = || {
        let here = current_dir().ok().and_then(|here| repo::open(&here, true).ok());
        here.and_then(|here| here.commit_of(wanted).ok().flatten())
    };
    // No manifest can say what this is, so that none is read for it.
    if is_of_git(wanted)
        && let Some(commit) = by_git()
    {
        return Ok(storage::resolve::resolve(storage, project, commit.as_str()).await.map_err(Stop::from)?);
    }
    let unknown = match storage::resolve::resolve(storage, project, wanted).await {
        Err(unknown @ (NoCommit { .. } | NoneFinished { .. })) => unknown,
        found => return Ok(found.map_err(Stop::from)?),
    };
    let Some(commit) = by_git() else { return Err(Stop::from(unknown).into()) };
    Ok(storage::resolve::resolve(storage, project, commit.as_str()).await.map_err(Stop::from)?)
}

/// Whether only git knows what that is: where the work tree here stands, or so many commits before. Of a branch the
/// storage knows what was published of it last, and a tag may be called as a branch is.
fn is_of_git(wanted: &str) -> bool {
    wanted.strip_prefix("HEAD").is_some_and(|rest| rest.is_empty() || rest.starts_with('~'))
}

/// A project's folders in a storage, and what of them stays.
pub(in crate::cli) struct Pruning {
    storage: Arc<dyn storage::Storage>,
    project: ProjectName,
    policy: storage::prune::Policy,
}

impl Pruning {
    /// Opens the storage and asks git for what is to stay.
    pub(in crate::cli) fn open(args: &args::Prune) -> Result<Self, Failure> {
        let storage = opened_to_read(&args.storage.required()?)?;
        let project = project_here(args.project.as_ref())?;
        let commits = if args.keep_heads || args.keep_tags {
            let here = repo::open(&current_dir()?, true).map_err(Stop::from)?;
            here.named(args.keep_heads, args.keep_tags).map_err(Stop::from)?
        } else {
            std::collections::BTreeSet::new()
        };
        let policy = storage::prune::Policy {
            keep_last: args.keep_last,
            keep_for: args.age(),
            keep_bytes: args.keep_size,
            branches: args.keep_branch.iter().cloned().collect(),
            commits,
            with_foreign: args.with_foreign,
        };
        Ok(Self { storage, project, policy })
    }

    /// What would go.
    pub(in crate::cli) fn plan(&self) -> Result<storage::prune::Plan, Failure> {
        let now = jiff::Timestamp::now();
        patiently(&*self.storage, async {
            let plan = storage::prune::plan(&*self.storage, &self.project, &self.policy, now).await;
            let plan = plan.map_err(Stop::from)?;
            if plan.is_about_nothing() {
                let project = storage::resolve::known(&*self.storage, &self.project).await;
                project.map_err(Stop::from)?;
            }
            Ok(plan)
        })
    }

    /// Removes it.
    pub(in crate::cli) fn remove(&self, plan: &storage::prune::Plan) -> Result<storage::prune::Report, Failure> {
        patiently(&*self.storage, async {
            let removed = storage::prune::remove(&*self.storage, &self.project, plan, &()).await;
            Ok(removed.map_err(Stop::from)?)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;
    use crate::storage::StorageError;

    #[test]
    fn what_stands_in_the_way_of_a_download_is_mended_with_its_own_option() {
        let path = PathBuf::from("/results");
        for error in [
            StorageError::NotAFolder(path.clone()),
            StorageError::ReadOnly(path.clone()),
            StorageError::Forbidden { action: "write", path: path.clone() },
            StorageError::DiskFull { path: path.clone(), needed: 2, free: 1 },
            StorageError::Io { action: "write", path, source: ErrorKind::IsADirectory.into() },
        ] {
            let help = not_written(error, Path::new("/results")).help.unwrap();
            assert!(help.contains("--to DIR") && !help.contains("--storage"), "{help}");
        }
        let storage = StorageError::Forbidden { action: "read", path: "/storage/x".into() };
        assert!(!not_written(storage, Path::new("/results")).help.unwrap_or_default().contains("--to"));
        let other = not_written(StorageError::WouldOverwrite { first: Vec::new(), total: 1 }, Path::new("/results"));
        assert!(other.help.unwrap().contains("--force"));
    }

    #[test]
    fn a_file_that_may_be_left_is_told_with_what_takes_it_away() {
        let left = StorageError::TrialLeft { key: "soopervisor-doctor-1".to_owned(), place: "box:".to_owned() };
        let late = with_what_is_left(Failure::new(Exit::StorageFailed, "box: does not answer within 30 s"), &left);
        assert_eq!(late.why[0], "stopped while `soopervisor-doctor-1` was on its way, which may be left in box");
        assert!(late.why[1].starts_with("`soopervisor doctor --storage box:` takes it away"), "{late:?}");
        let stopped = Failure::from(Stop::from(left));
        assert_eq!((stopped.exit, stopped.help.as_ref()), (Exit::Cancelled, Some(&late.why[1])));
    }

    #[test]
    fn a_wait_is_noted_at_once_and_then_once_a_minute() {
        let (notes, now) = (Notes::default(), Instant::now());
        let due = [0, 10, 59, 60, 70, 119, 120].map(|seconds| notes.are_due(now + Duration::from_secs(seconds)));
        assert_eq!(due, [true, false, false, true, false, false, true]);
    }

    #[test]
    fn only_where_the_work_tree_stands_is_gits_alone_to_say() {
        for wanted in ["HEAD", "HEAD~", "HEAD~3"] {
            assert!(is_of_git(wanted), "{wanted}");
        }
        for wanted in ["HEADLINE", "head", "main", "v1", "latest", "4f1c2d9a"] {
            assert!(!is_of_git(wanted), "{wanted}");
        }
    }

    #[test]
    fn a_pattern_in_the_place_of_a_commit_is_wrong_usage() {
        for written in ["../*", "*.csv", "v1..v2", "out?put", "[ab]"] {
            assert_eq!(check_commit(written).unwrap_err().exit, Exit::Usage, "{written}");
        }
        for written in ["latest", "4f1c2d9a", "main", "feature/x", "v1.2.0", "4f1c-dirty-0a1b"] {
            assert_eq!(check_commit(written), Ok(()), "{written}");
        }
        assert_eq!(patterns(&["../*".to_owned()]).unwrap_err().exit, Exit::Usage);
    }
}
