//! Which published folders may go, and their going: a plan first, which can be shown, then one folder after the other.
//!
//! Only a folder whose name is a revision and whose manifest says that it belongs to that project and revision is ever
//! touched, and one of such a name without a manifest that nobody wrote to for a week: what a publish left that broke
//! off; or that a prune began to take away, of which it left a mark. Without a manifest every file in it has to be proven
//! ours in another way. The newest whole commit always stays, and so does a folder into which somebody put files of their
//! own, unless that is wanted.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;

use super::others::Apart;
use super::{Folder, Progress, Storage, StorageError, Swept, Unfinished};
use crate::id::{CommitSha, ProjectName};
use crate::outputs::OutputKind;
use crate::outputs::manifest::Manifest;

/// Manifests read at once.
const LANES: usize = 8;
/// Why a folder stays in which somebody has files.
pub const OF_OTHERS: &str = "files of others";

/// Why a folder stays of which nobody can tell how old it is.
pub(super) const TIMELESS: &str = "this storage does not tell when it was written";

/// What has no manifest and was written to during this time may be of somebody who is publishing.
const YOUNG: Duration = Duration::from_hours(7 * 24);

/// What stays. A folder goes when a limit says so and nothing keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// So many of the newest stay.
    pub keep_last: Option<usize>,
    /// What is younger stays.
    pub keep_for: Option<Duration>,
    /// The newest folders stay that together have at most so many bytes.
    pub keep_bytes: Option<u64>,
    /// The newest run of each of these branches stays.
    pub branches: BTreeSet<String>,
    /// These commits stay: tags, heads, whatever somebody names.
    pub commits: BTreeSet<CommitSha>,
    /// Also what holds files that its manifest does not name may go.
    pub with_foreign: bool,
}

/// What would be done.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Newest first, with the reason why each stays: `newest`, `branch`, `named`, or the option that keeps it.
    pub stay: Vec<(Candidate, &'static str)>,
    /// Oldest first.
    pub go: Vec<Candidate>,
    /// Folders whose manifest cannot be believed; left alone.
    pub doubtful: Vec<(Folder, String)>,
    /// What broken-off publishes left long ago; goes too.
    pub unfinished: Vec<Unfinished>,
    /// What has no manifest and stays, and why.
    pub under_way: Vec<(Unfinished, &'static str)>,
    /// Folders that the limits let go and that hold so many files which their manifests do not name.
    pub foreign: Vec<(Folder, usize)>,
    /// Whether such folders go, too, as [`Policy::with_foreign`] asks.
    pub with_foreign: bool,
}

impl Plan {
    /// Whether nothing goes.
    pub fn is_empty(&self) -> bool {
        self.go.is_empty() && self.unfinished.is_empty()
    }

    /// Whether nothing of the project was seen at all.
    pub fn is_about_nothing(&self) -> bool {
        self.is_empty() && self.stay.is_empty() && self.doubtful.is_empty() && self.under_way.is_empty()
    }
}

/// One published folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The folder.
    pub folder: Folder,
    /// When its run ended.
    pub ended: Timestamp,
    /// The branch that was checked out.
    pub branch: Option<String>,
    /// Bytes of its files.
    pub bytes: u64,
    /// Its files.
    pub files: usize,
}

impl Candidate {
    fn of(folder: Folder, manifest: &Manifest) -> Self {
        Self {
            folder,
            ended: manifest.about.ended,
            branch: manifest.about.branch.clone(),
            bytes: manifest.total_bytes,
            files: manifest.files.len(),
        }
    }

    /// As one that its prune could not take away whole.
    fn as_unfinished(&self) -> Unfinished {
        let Self { folder, bytes, files, .. } = self.clone();
        Unfinished { folder, files, unproven: 0, bytes, touched: None, begun: true, busy: None }
    }
}

/// Decides what goes. Changes nothing.
///
/// # Errors
/// When the storage cannot be read.
pub async fn plan(
    storage: &dyn Storage,
    project: &ProjectName,
    policy: &Policy,
    now: Timestamp,
) -> Result<Plan, StorageError> {
    let folders = storage.folders(project).await?;
    let read = folders.into_iter().map(|folder| async move {
        let manifest = storage.manifest(project, &folder).await;
        (folder, manifest)
    });
    let read: Vec<_> = futures::stream::iter(read).buffered(LANES).collect().await;
    let mut plan = Plan { with_foreign: policy.with_foreign, ..Plan::default() };
    let mut candidates = Vec::new();
    for (folder, manifest) in read {
        match manifest {
            Ok(manifest) => candidates.push(Candidate::of(folder, &manifest)),
            Err(StorageError::Manifest { source, .. }) => plan.doubtful.push((folder, source.to_string())),
            // Somebody removed it meanwhile.
            Err(StorageError::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    // Names decide between equal times, so that the same storage gives the same plan.
    candidates.sort_by_key(|one| (std::cmp::Reverse(one.ended), one.folder.to_string()));
    decide(candidates, policy, now, &mut plan);
    spare(storage, project, &mut plan).await?;
    for one in storage.unfinished(project).await? {
        match why_it_stays(&one, policy.with_foreign, now) {
            Some(why) => plan.under_way.push((one, why)),
            None => plan.unfinished.push(one),
        }
    }
    Ok(plan)
}

/// Why a folder without a manifest is left alone; `None` where it goes.
fn why_it_stays(one: &Unfinished, with_foreign: bool, now: Timestamp) -> Option<&'static str> {
    // Removing would only say the same: what is shown first is what is done then.
    if one.busy.is_some() {
        return one.busy;
    }
    let age = one.touched.map(|touched| Duration::try_from(now.duration_since(touched)).unwrap_or_default());
    let young = match age {
        // An earlier prune took its manifest away; nobody wrote to it since.
        _ if one.begun => None,
        Some(age) if age >= YOUNG => None,
        Some(_) => Some("written to during the last 7 days"),
        // An earlier prune did not come to its end.
        None if one.files == 0 => None,
        None => Some(TIMELESS),
    };
    young.or_else(|| unproven(one.unproven, one.files).filter(|_| !with_foreign))
}

/// What is said of a folder without a manifest in which so many files of all are not proven ours.
pub(super) fn unproven(files: usize, all: usize) -> Option<&'static str> {
    match files {
        0 => None,
        files if files < all => Some("nothing proves that all of them are ours; `--with-foreign` removes it"),
        _ => Some("nothing proves that they are ours; `--with-foreign` removes it"),
    }
}

fn decide(newest_first: Vec<Candidate>, policy: &Policy, now: Timestamp, plan: &mut Plan) {
    let newest_whole = newest_first.iter().position(|one| one.folder.revision.is_whole());
    let mut branches = policy.branches.clone();
    let mut bytes = 0_u64;
    for (at, one) in newest_first.into_iter().enumerate() {
        bytes = bytes.saturating_add(one.bytes);
        let age = now.duration_since(one.ended);
        let young = |keep: Duration| age.is_negative() || age.unsigned_abs() < keep;
        let limits = [
            ("keep-last", policy.keep_last.map(|keep| at < keep)),
            ("keep-for", policy.keep_for.map(young)),
            ("keep-size", policy.keep_bytes.map(|keep| bytes <= keep)),
        ];
        let within = limits.iter().find(|(_, keeps)| *keeps == Some(true)).map(|(name, _)| *name);
        let limited = limits.iter().any(|(_, keeps)| keeps.is_some());
        // The newest of all is that of its branch, too.
        let of_branch = one.branch.as_ref().is_some_and(|branch| branches.remove(branch));
        let reason = if Some(at) == newest_whole {
            Some("newest")
        } else if of_branch {
            Some("branch")
        } else if policy.commits.contains(&one.folder.revision.commit) {
            Some("named")
        } else {
            // Without a limit, nothing goes.
            within.or((!limited).then_some("no limit"))
        };
        match reason {
            Some(reason) => plan.stay.push((one, reason)),
            None => plan.go.push(one),
        }
    }
    plan.go.reverse();
}

/// A folder goes with everything in it, so that one with files of others stays unless that is wanted.
async fn spare(storage: &dyn Storage, project: &ProjectName, plan: &mut Plan) -> Result<(), StorageError> {
    let go = std::mem::take(&mut plan.go);
    let folders: Vec<Folder> = go.iter().map(|one| one.folder.clone()).collect();
    let counted = folders.into_iter().map(|folder| async move { foreign(storage, project, &folder).await });
    let counted: Vec<usize> = futures::stream::iter(counted).buffered(LANES).try_collect().await?;
    for (one, files) in go.into_iter().zip(counted) {
        if files > 0 {
            plan.foreign.push((one.folder.clone(), files));
        }
        if files == 0 || plan.with_foreign {
            plan.go.push(one);
        } else {
            plan.stay.push((one, OF_OTHERS));
        }
    }
    plan.stay.sort_by_key(|(one, _)| (std::cmp::Reverse(one.ended), one.folder.to_string()));
    Ok(())
}

/// How many files of a folder its manifest does not name; none where somebody removed it meanwhile, or put another manifest
/// there: that shows again when it is to go.
async fn foreign(storage: &dyn Storage, project: &ProjectName, folder: &Folder) -> Result<usize, StorageError> {
    let counted = async {
        let manifest = storage.manifest(project, folder).await?;
        foreign_to(storage, project, folder, &manifest).await
    };
    match counted.await {
        Err(StorageError::Missing { .. } | StorageError::Manifest { .. }) => Ok(0),
        counted => counted,
    }
}

/// How many files of a folder this manifest of it does not name, by their ids where a name may be of several.
async fn foreign_to(
    storage: &dyn Storage,
    project: &ProjectName,
    folder: &Folder,
    manifest: &Manifest,
) -> Result<usize, StorageError> {
    let others = Apart::by(manifest, storage.list(project, folder).await?).others.into_iter();
    Ok(others.filter(|one| one.kind != Some(OutputKind::Folder) && !is_litter(one.path.as_bytes())).count())
}

/// What programs that show folders leave in them, and what we left ourselves: nobody misses it.
pub(super) fn is_litter(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    name.starts_with(b".soopervisor-") || matches!(name, b".DS_Store" | b"Thumbs.db" | b"desktop.ini")
}

/// What was done.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Folders that are gone.
    pub removed: Vec<Candidate>,
    /// Whether their room is free at once.
    pub freed: bool,
    /// Unfinished folders that are gone.
    pub swept: Vec<Unfinished>,
    /// Unfinished folders that somebody turned out to have to do with, and how that shows.
    pub left: Vec<(Unfinished, String)>,
    /// Folders that were to go, and that so many files keep, which somebody put there since the plan was made.
    pub spared: Vec<(Candidate, usize)>,
}

/// Removes what the plan says, oldest first, each only if its manifest still says what it did, and nobody put files of
/// their own there since: a person may have thought about the plan for long.
///
/// # Errors
/// The first that could not be removed, and what was done until then is done.
pub async fn remove(
    storage: &dyn Storage,
    project: &ProjectName,
    plan: &Plan,
    progress: &dyn Progress,
) -> Result<Report, StorageError> {
    let mut report = Report { freed: true, ..Report::default() };
    for candidate in &plan.go {
        if progress.cancelled() {
            return Err(StorageError::Cancelled);
        }
        let manifest = match storage.manifest(project, &candidate.folder).await {
            Ok(manifest) => manifest,
            Err(StorageError::Missing { .. }) => continue,
            Err(error) => return Err(error),
        };
        if Candidate::of(candidate.folder.clone(), &manifest) != *candidate {
            continue;
        }
        if !plan.with_foreign {
            let files = match foreign_to(storage, project, &candidate.folder, &manifest).await {
                // Not to be seen any more in the same moment.
                Err(StorageError::Missing { .. }) => continue,
                files => files?,
            };
            if files > 0 {
                report.spared.push((candidate.clone(), files));
                continue;
            }
        }
        match storage.unpublish(project, &candidate.folder).await? {
            Swept::Gone { freed } => {
                report.freed &= freed;
                report.removed.push(candidate.clone());
            }
            Swept::Left(why) => report.left.push((candidate.as_unfinished(), why)),
        }
    }
    for one in &plan.unfinished {
        match storage.sweep(project, &one.folder, plan.with_foreign, progress).await? {
            Swept::Gone { freed } => {
                report.freed &= freed;
                report.swept.push(one.clone());
            }
            Swept::Left(why) => report.left.push((one.clone(), why)),
        }
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(digit: char, day: i64, branch: &str, bytes: u64) -> Candidate {
        let sha: String = std::iter::repeat_n(digit, 40).collect();
        let ended = Timestamp::from_second(day * 86_400).unwrap();
        Candidate { folder: sha.parse().unwrap(), ended, branch: Some(branch.to_owned()), bytes, files: 1 }
    }

    fn gone(policy: &Policy) -> String {
        let candidates = vec![
            candidate('5', 50, "feat", 10),
            candidate('4', 40, "main", 10),
            candidate('3', 30, "main", 10),
            candidate('2', 20, "old", 10),
            candidate('1', 10, "main", 10),
        ];
        let mut plan = Plan::default();
        decide(candidates, policy, Timestamp::from_second(51 * 86_400).unwrap(), &mut plan);
        assert_eq!(plan.stay.len() + plan.go.len(), 5);
        plan.go.iter().map(|one| one.folder.to_string().remove(0)).collect()
    }

    #[test]
    fn limits_name_what_stays_and_the_oldest_goes_first() {
        assert_eq!(gone(&Policy::default()), "", "without a limit nothing goes");
        assert_eq!(gone(&Policy { keep_last: Some(2), ..Policy::default() }), "123");
        assert_eq!(gone(&Policy { keep_last: Some(0), ..Policy::default() }), "1234", "the newest always stays");
        let days = Duration::from_hours(24 * 12);
        assert_eq!(gone(&Policy { keep_for: Some(days), ..Policy::default() }), "123");
        assert_eq!(gone(&Policy { keep_bytes: Some(30), ..Policy::default() }), "12");
        assert_eq!(gone(&Policy { keep_bytes: Some(30), keep_last: Some(4), ..Policy::default() }), "1");
    }

    #[test]
    fn each_that_stays_has_the_reason_that_keeps_it() {
        let candidates =
            || (1..=5).rev().map(|day| candidate(char::from_digit(day, 10).unwrap(), i64::from(day) * 10, "main", 10));
        let reasons = |policy: &Policy| -> Vec<&str> {
            let mut plan = Plan::default();
            decide(candidates().collect(), policy, Timestamp::from_second(51 * 86_400).unwrap(), &mut plan);
            plan.stay.iter().map(|(_, reason)| *reason).collect()
        };
        let last = Policy { keep_last: Some(2), ..Policy::default() };
        assert_eq!(reasons(&last), ["newest", "keep-last"]);
        let days = Some(Duration::from_hours(24 * 22));
        assert_eq!(reasons(&Policy { keep_for: days, ..last.clone() }), ["newest", "keep-last", "keep-for"]);
        let named = [candidate('1', 0, "", 0).folder.revision.commit].into();
        let all = Policy { keep_for: days, keep_bytes: Some(40), commits: named, ..last };
        assert_eq!(reasons(&all), ["newest", "keep-last", "keep-for", "keep-size", "named"]);
        assert_eq!(reasons(&Policy::default())[4], "no limit");
    }

    #[test]
    fn branches_and_named_commits_stay_whatever_the_limits_say() {
        let branches = ["main".to_owned(), "old".to_owned()].into();
        assert_eq!(gone(&Policy { keep_last: Some(0), branches, ..Policy::default() }), "13");
        let commits = [candidate('1', 0, "", 0).folder.revision.commit].into();
        assert_eq!(gone(&Policy { keep_last: Some(1), commits, ..Policy::default() }), "234");
    }

    #[tokio::test]
    async fn a_folder_of_this_machine_without_a_manifest_is_neither_listed_nor_removed() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("demo").join("a".repeat(40));
        fs_err::create_dir_all(&folder).unwrap();
        fs_err::write(folder.join("x"), "of nobody knows whom").unwrap();
        let storage = super::super::local::Local::new(root.path().to_owned());
        let (project, policy) = ("demo".parse().unwrap(), Policy { keep_last: Some(0), ..Policy::default() });
        let later = Timestamp::from_second(4_000_000_000).unwrap();
        let plan = plan(&storage, &project, &policy, later).await.unwrap();
        assert!(plan.is_about_nothing(), "{plan:?}");
        remove(&storage, &project, &plan, &()).await.unwrap();
        assert!(folder.join("x").is_file());
    }

    #[test]
    fn a_folder_without_a_manifest_goes_only_if_every_file_in_it_is_proven_ours() {
        let now = Timestamp::from_second(100 * 86_400).unwrap();
        let one = |unproven: usize, begun: bool, day: i64| Unfinished {
            folder: candidate('1', 0, "", 0).folder,
            files: 3,
            unproven,
            bytes: 3,
            touched: Some(Timestamp::from_second(day * 86_400).unwrap()),
            begun,
            busy: None,
        };
        let why = |unproven, begun, day| why_it_stays(&one(unproven, begun, day), false, now).unwrap_or_default();
        assert_eq!((why(0, false, 90), why(0, true, 99)), ("", ""));
        assert!(why(0, false, 99).contains("last 7 days"));
        assert!(why(3, false, 90).contains("that they are ours") && why(3, true, 99).contains("that they are ours"));
        assert!(why(1, false, 90).contains("that all of them are ours"));
        assert_eq!(why_it_stays(&one(3, false, 90), true, now), None, "who wants that has it");
        let busy = Unfinished { busy: Some("another prune is at it"), ..one(0, true, 90) };
        assert_eq!(why_it_stays(&busy, true, now), busy.busy, "however it is wanted");
    }

    #[test]
    fn what_nobody_misses_is_told_from_what_somebody_put_there() {
        for litter in [".DS_Store", "plots/Thumbs.db", "desktop.ini", "a/.soopervisor-part-1"] {
            assert!(is_litter(litter.as_bytes()), "{litter}");
        }
        for own in ["users-own.txt", "DS_Store", "desktop.ini/notes", ".hidden"] {
            assert!(!is_litter(own.as_bytes()), "{own}");
        }
    }

    #[test]
    fn a_clock_that_is_behind_removes_nothing_of_the_future() {
        let mut plan = Plan::default();
        let candidates = vec![candidate('2', 20, "a", 1), candidate('1', 10, "a", 1)];
        let policy = Policy { keep_for: Some(Duration::from_hours(24)), ..Policy::default() };
        decide(candidates, &policy, Timestamp::from_second(0).unwrap(), &mut plan);
        assert!(plan.go.is_empty());
    }
}
