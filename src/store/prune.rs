//! What history costs: old runs go, the newest stay, live ones are never touched.
//!
//! The clock is the caller's.

use jiff::{SignedDuration, Timestamp};

use super::live::{Folder, try_lock};
use super::record::Status;
use super::{Entry, Runs, StoreError, file};

/// How much is kept of whose runs: those that people began on this machine, or those that a server had run. Neither pushes
/// out the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Whether they are for a server's runs; other runs are not looked at.
    pub hosted: bool,
    /// How long a run is kept after its end, and one that did not succeed twice as long; none for ever.
    pub age: Option<SignedDuration>,
    /// Runs in which a script was started.
    pub runs: usize,
    /// Runs that stopped before: what a morning of typing errors leaves pushes out no result.
    pub unstarted: usize,
    /// Bytes of their logs together.
    pub log_bytes: u64,
    /// How long the work folder of a run that did not succeed is kept.
    pub work_for: SignedDuration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hosted: false,
            age: None,
            runs: 50,
            unstarted: 20,
            log_bytes: 10 << 30,
            work_for: SignedDuration::from_hours(7 * 24),
        }
    }
}

impl Limits {
    /// Those of a server, which keeps history by age and size and never by number.
    pub fn of_server(age: SignedDuration, log_bytes: u64) -> Self {
        Self { hosted: true, age: Some(age), runs: usize::MAX, unstarted: usize::MAX, log_bytes, ..Self::default() }
    }

    /// Whether they are for this run. What cannot be read is nobody's, and goes with people's own.
    fn are_for(&self, entry: &Entry) -> bool {
        entry.record.as_ref().is_ok_and(|record| record.hosted) == self.hosted
    }

    /// How long a run is still kept for its age; what failed is asked for longer than what went well.
    fn left(&self, entry: &Entry, now: Timestamp) -> Option<SignedDuration> {
        let (age, record) = (self.age?, entry.record.as_ref().ok()?);
        let ended = record.ended_at.unwrap_or(record.started_at);
        let kept = if record.status == Status::Succeeded { age } else { age.saturating_mul(2) };
        Some(kept.saturating_sub(now.duration_since(ended)))
    }
}

/// What went.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Whole runs.
    pub runs: usize,
    /// Work folders of runs whose record stays.
    pub works: usize,
    /// What could not be removed; the next prune tries again.
    pub failures: Vec<StoreError>,
}

/// A folder without a record belongs to a run that is being made, unless it is older than this.
const NEWBORN: SignedDuration = SignedDuration::from_hours(1);

impl Runs {
    /// Removes what `limits` do not keep.
    ///
    /// # Errors
    /// When the runs cannot be listed; what cannot be removed is in [`Pruned::failures`].
    pub fn prune(&self, limits: Limits, now: Timestamp) -> Result<Pruned, StoreError> {
        let mut pruned = Pruned::default();
        let (mut log_bytes, mut started, mut unstarted) = (0_u64, 0, 0);
        let mut entries: Vec<Entry> = self.list()?.into_iter().filter(|entry| limits.are_for(entry)).collect();
        let newest = entries.first().map(|entry| entry.id.clone());
        // Where there is too much, those go first whose time is over first.
        entries.sort_by_cached_key(|entry| std::cmp::Reverse(limits.left(entry, now)));
        for entry in entries {
            let (count, limit) =
                if never_started(&entry) { (&mut unstarted, limits.unstarted) } else { (&mut started, limits.runs) };
            *count += 1;
            let too_many = *count > limit;
            let log = fs_err::metadata(entry.folder.log()).map_or(0, |meta| meta.len());
            log_bytes = log_bytes.saturating_add(log);
            // The newest run stays however long its log is: it is what the user asks about next.
            let too_much = log_bytes > limits.log_bytes && newest.as_ref() != Some(&entry.id);
            let too_old = limits.left(&entry, now).is_some_and(|left| left.is_negative());
            let over = too_many || too_much || too_old;
            if over {
                pruned.note(remove_run(&entry.folder), |pruned| &mut pruned.runs);
            } else if work_is_old(&entry, limits, now) {
                pruned.note(remove_work(&entry.folder), |pruned| &mut pruned.works);
            }
        }
        self.remove_remains(now, &mut pruned)?;
        Ok(pruned)
    }

    /// Folders that a crash left: half-removed runs, and runs that died before their first record.
    fn remove_remains(&self, now: Timestamp, pruned: &mut Pruned) -> Result<(), StoreError> {
        let Ok(entries) = fs_err::read_dir(self.root()) else { return Ok(()) };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(TRASH) {
                file::remove_tree(&entry.path())?;
                continue;
            }
            let folder = Folder(entry.path());
            let modified = entry.metadata().and_then(|meta| meta.modified()).ok();
            let modified = modified.and_then(|time| Timestamp::try_from(time).ok());
            let old = modified.is_some_and(|time| now.duration_since(time) > NEWBORN);
            if old && name.parse::<crate::id::RunId>().is_ok() && !folder.record().exists() {
                pruned.note(remove_run(&folder), |pruned| &mut pruned.runs);
            }
        }
        Ok(())
    }
}

const TRASH: &str = ".trash-";

impl Pruned {
    fn note(&mut self, done: Result<bool, StoreError>, count: impl FnOnce(&mut Self) -> &mut usize) {
        match done {
            Ok(true) => *count(self) += 1,
            Ok(false) => {}
            Err(error) => self.failures.push(error),
        }
    }
}

/// Whether a run ended before its script began; one that goes on, or cannot be read, may have started.
fn never_started(entry: &Entry) -> bool {
    let Ok(record) = &entry.record else { return false };
    record.status != Status::Running && !record.steps.iter().any(|step| step.name == "execute")
}

fn work_is_old(entry: &Entry, limits: Limits, now: Timestamp) -> bool {
    let Ok(record) = &entry.record else { return false };
    let ended = record.ended_at.unwrap_or(record.started_at);
    let idle = entry.status() != Some(Status::Running);
    let there = entry.folder.work().exists() || entry.folder.output().exists();
    idle && there && now.duration_since(ended) > limits.work_for
}

/// Renames first, so that a crash in the middle never leaves a run that looks whole.
fn remove_run(folder: &Folder) -> Result<bool, StoreError> {
    let Some(_lock) = try_lock(folder)? else { return Ok(false) };
    let Some(name) = folder.path().file_name() else { return Ok(false) };
    let trash = folder.path().with_file_name(format!("{TRASH}{}", name.to_string_lossy()));
    fs_err::rename(folder.path(), &trash).map_err(StoreError::io("remove", folder.path()))?;
    file::remove_tree(&trash)?;
    Ok(true)
}

fn remove_work(folder: &Folder) -> Result<bool, StoreError> {
    let Some(_lock) = try_lock(folder)? else { return Ok(false) };
    file::remove_tree(&folder.work())?;
    file::remove_tree(&folder.layers())?;
    file::remove_tree(&folder.home())?;
    file::remove_tree(&folder.pipes())?;
    file::remove_tree(&folder.output())?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::*;
    use crate::store::{Home, LiveRun, Part};

    struct Place {
        _dir: tempfile::TempDir,
        runs: Runs,
    }

    fn place() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let runs = Runs::of(&Home::at(dir.path()));
        Place { _dir: dir, runs }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn run(runs: &Runs, time: &str, status: Status, log: usize) -> LiveRun {
        let commit = "4f1c2d9a4f1c2d9a4f1c2d9a4f1c2d9a4f1c2d9a".parse().unwrap();
        let live = runs.create(at(time), &commit).unwrap();
        let mut record = record(live.id().as_str());
        record.started_at = at(time);
        record.status = status;
        record.steps =
            vec![Part { name: "execute".into(), outcome: "done".into(), elapsed_ms: 1, detail: String::new() }];
        live.save(&record).unwrap();
        fs_err::write(live.folder().log(), vec![b'x'; log]).unwrap();
        fs_err::create_dir_all(live.folder().work().join("deep")).unwrap();
        fs_err::create_dir_all(live.folder().home()).unwrap();
        live
    }

    /// A run that a server had run.
    fn hosted(runs: &Runs, time: &str, status: Status, log: usize) {
        let live = run(runs, time, status, log);
        let mut record = record(live.id().as_str());
        (record.started_at, record.status, record.hosted) = (at(time), status, true);
        live.save(&record).unwrap();
    }

    fn ids(runs: &Runs) -> Vec<String> {
        runs.list().unwrap().iter().map(|entry| entry.id.as_str()[..8].to_owned()).collect()
    }

    #[test]
    fn keeps_the_newest_runs_and_live_ones_however_old() {
        let place = place();
        let _oldest = run(&place.runs, "2026-11-01T00:00:00Z", Status::Running, 1);
        for day in ["02", "03", "04"] {
            drop(run(&place.runs, &format!("2026-11-{day}T00:00:00Z"), Status::Succeeded, 1));
        }
        let limits = Limits { runs: 2, ..Limits::default() };
        let pruned = place.runs.prune(limits, at("2026-11-04T00:00:00Z")).unwrap();
        assert_eq!((pruned.runs, pruned.failures.len()), (1, 0));
        assert_eq!(ids(&place.runs), ["20261104", "20261103", "20261101"]);
        assert_eq!(fs_err::read_dir(place.runs.root()).unwrap().count(), 3);
    }

    #[test]
    fn runs_that_never_started_push_out_none_that_did() {
        let place = place();
        drop(run(&place.runs, "2026-11-01T00:00:00Z", Status::Succeeded, 1));
        for day in ["02", "03", "04", "05"] {
            let typo = run(&place.runs, &format!("2026-11-{day}T00:00:00Z"), Status::Failed, 0);
            let mut record = record(typo.id().as_str());
            record.status = Status::Failed;
            record.steps = Vec::new();
            typo.save(&record).unwrap();
        }
        let limits = Limits { runs: 2, unstarted: 3, ..Limits::default() };
        assert_eq!(place.runs.prune(limits, at("2026-11-06T00:00:00Z")).unwrap().runs, 1);
        assert_eq!(ids(&place.runs), ["20261105", "20261104", "20261103", "20261101"]);
    }

    #[test]
    fn a_server_keeps_by_age_what_went_well_and_twice_as_long_what_failed() {
        let place = place();
        let days =
            [("01", Status::Succeeded), ("02", Status::Failed), ("03", Status::Cancelled), ("28", Status::Succeeded)];
        for (day, status) in days {
            hosted(&place.runs, &format!("2026-06-{day}T00:00:00Z"), status, 1);
        }
        let limits = Limits::of_server(SignedDuration::from_hours(90 * 24), 1 << 30);
        let prune = |now| place.runs.prune(limits, at(now)).unwrap().runs;
        assert_eq!((prune("2026-08-29T23:00:00Z"), prune("2026-08-30T01:00:00Z")), (0, 1), "ninety days");
        assert_eq!(ids(&place.runs), ["20260628", "20260603", "20260602"]);
        assert_eq!(prune("2026-11-29T12:00:00Z"), 2, "and twice ninety, for what failed");
        assert_eq!(ids(&place.runs), ["20260603"]);
    }

    #[test]
    fn where_a_servers_logs_are_too_long_those_go_first_whose_time_is_over_first() {
        let place = place();
        hosted(&place.runs, "2026-11-01T00:00:00Z", Status::Failed, 40);
        hosted(&place.runs, "2026-11-02T00:00:00Z", Status::Succeeded, 40);
        hosted(&place.runs, "2026-11-03T00:00:00Z", Status::Succeeded, 40);
        let limits = Limits::of_server(SignedDuration::from_hours(90 * 24), 100);
        place.runs.prune(limits, at("2026-11-04T00:00:00Z")).unwrap();
        assert_eq!(ids(&place.runs), ["20261103", "20261101"]);
        place.runs.prune(Limits { log_bytes: 1, ..limits }, at("2026-11-04T00:00:00Z")).unwrap();
        assert_eq!(ids(&place.runs), ["20261103"], "the newest stays");
    }

    #[test]
    fn a_servers_runs_and_peoples_own_push_out_none_of_each_other() {
        let place = place();
        for day in 1..=28 {
            let failed = format!("2026-06-{day:02}T00:00:00Z");
            hosted(&place.runs, &failed, Status::Failed, 1);
            hosted(&place.runs, &failed.replace("T00", "T01"), Status::Succeeded, 1);
            hosted(&place.runs, &failed.replace("T00", "T02"), Status::Succeeded, 1);
        }
        drop(run(&place.runs, "2026-06-01T00:00:00Z", Status::Succeeded, 1));
        let now = at("2026-07-01T00:00:00Z");
        assert_eq!(place.runs.prune(Limits::default(), now).unwrap().runs, 0);
        assert_eq!(ids(&place.runs).len(), 85);
        place.runs.prune(Limits::of_server(SignedDuration::from_hours(1), 1 << 30), now).unwrap();
        assert_eq!(ids(&place.runs), ["20260601"], "the one that nobody's server ran");
    }

    #[test]
    fn long_logs_push_older_runs_out_but_never_the_newest() {
        let place = place();
        for (day, log) in [("01", 10), ("02", 60), ("03", 200)] {
            drop(run(&place.runs, &format!("2026-11-{day}T00:00:00Z"), Status::Succeeded, log));
        }
        let limits = Limits { log_bytes: 100, ..Limits::default() };
        place.runs.prune(limits, at("2026-11-04T00:00:00Z")).unwrap();
        assert_eq!(ids(&place.runs), ["20261103"]);
    }

    #[test]
    fn the_work_folder_of_a_dead_or_failed_run_goes_after_a_week_and_its_record_stays() {
        let place = place();
        let failed = run(&place.runs, "2026-11-01T00:00:00Z", Status::Failed, 1).folder().clone();
        let dead = run(&place.runs, "2026-11-01T00:00:01Z", Status::Running, 1).folder().clone();
        let live = run(&place.runs, "2026-11-01T00:00:02Z", Status::Running, 1);
        assert_eq!(place.runs.prune(Limits::default(), at("2026-11-07T23:00:00Z")).unwrap().works, 0);
        assert_eq!(place.runs.prune(Limits::default(), at("2026-11-08T01:00:00Z")).unwrap().works, 2);
        assert!(!failed.work().exists() && !dead.work().exists() && live.folder().work().exists());
        assert!(!failed.home().exists() && !dead.home().exists() && live.folder().home().exists());
        assert_eq!(ids(&place.runs).len(), 3);
    }

    #[test]
    fn remains_of_crashes_go_and_runs_being_made_stay() {
        let place = place();
        drop(run(&place.runs, "2026-11-01T00:00:00Z", Status::Succeeded, 1));
        let half = place.runs.root().join(".trash-20261101-000000-4f1c2d9a-aaaa");
        let newborn = place.runs.root().join("20261121-000000-4f1c2d9a-bbbb");
        fs_err::create_dir_all(half.join("work")).unwrap();
        fs_err::create_dir_all(&newborn).unwrap();
        let now = Timestamp::now();
        place.runs.prune(Limits::default(), now).unwrap();
        assert!(!half.exists() && newborn.exists());
        place.runs.prune(Limits::default(), now + SignedDuration::from_hours(2)).unwrap();
        assert!(!newborn.exists());
    }
}
