//! The last third of a run: outputs are found and hashed, then published whole or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::cancel::Cancel;
use super::card::{Listed, Published};
use super::ending::Ending;
use super::event::{Outcome, RunEvent, Step};
use super::figures;
use super::stop::Stop;
use super::telling::Telling;
use crate::diag::Diagnostic;
use crate::id::RelPath;
use crate::outputs::manifest::Entry;
use crate::outputs::{self, Baseline, Bounds, Collection, MissingReason, Roots, Wanted};
use crate::plan::RunPlan;
use crate::storage::{Done, Progress, Publication, PublishOutcome, Storage, patience, verify};

/// Published files that are listed at most.
const LISTED: usize = 1000;

/// Finds the outputs.
///
/// # Errors
/// When declared products are missing, or two places claim one path.
pub async fn collect(
    plan: &Arc<RunPlan>,
    roots: &Arc<Roots>,
    baseline: Arc<Baseline>,
    telling: &Telling,
) -> Result<Collection, Stop> {
    telling.begin(Step::Collect, format!("products of {}", plan.tasks_in_words()));
    let partial = plan.leaves_tasks_out();
    let (plan, roots) = (Arc::clone(plan), Arc::clone(roots));
    let looking = tokio::task::spawn_blocking(move || {
        let wanted = Wanted {
            pipeline_dir: &plan.pipeline_dir,
            tasks: &plan.tasks,
            rules: &plan.outputs,
            baseline: &baseline,
            bounds: Bounds::default(),
        };
        outputs::collect(&roots, &wanted)
    });
    let mut found = looking.await.map_err(|error| Stop::of(Ending::Internal, &error))??;
    // What is published keeps its name; a name that is only mentioned need not give a secret away.
    for refused in &mut found.refused {
        let shown = refused.path.as_str().map(|name| (telling.masked(name), name));
        let hidden = shown.filter(|(masked, name)| masked != name);
        if let Some(path) = hidden.and_then(|(masked, _)| RelPath::normalise(&masked).ok()) {
            refused.path = path;
        }
    }
    tell_oddities(&found, telling);
    match missing(&found) {
        Some(stop) if !partial => return Err(stop),
        _ => {}
    }
    let bytes: u64 = found.outputs.iter().map(|output| output.size).sum();
    telling.end(
        Step::Collect,
        Outcome::Done,
        format!("{}, {}", figures::count(found.outputs.len() as u64, "file"), figures::bytes(bytes)),
    );
    Ok(found)
}

/// Products that should be there and are not. Those that nobody could have kept (outside of everything that is
/// collected, or at a path that only the run knew) were warned of and do not fail a run that has others.
fn missing(found: &Collection) -> Option<Stop> {
    const SHOWN: usize = 20;
    let lost = |reason: MissingReason| matches!(reason, MissingReason::Absent | MissingReason::Refused);
    let gone: Vec<_> = found.missing.iter().filter(|product| lost(product.why)).collect();
    if gone.is_empty() {
        return nothing_kept(found);
    }
    let mut causes: Vec<String> =
        gone.iter().take(SHOWN).map(|gone| format!("`{}` of task `{}`", gone.product, gone.task)).collect();
    if gone.len() > SHOWN {
        causes.push(format!("and {} more", gone.len() - SHOWN));
    }
    let are = if gone.len() == 1 { "declared product is" } else { "declared products are" };
    let message = format!("the script succeeded, but {} {are} not there", gone.len());
    let help = "a product must still be there when the pipeline ends, inside the repository or below /output";
    Some(Stop { causes, ..Stop::new(Ending::OutputsMissing, message) }.help(help.to_owned()))
}

/// A run of which nothing at all is left did not do what it was for. One that makes tables in a database has no files
/// to lose.
fn nothing_kept(found: &Collection) -> Option<Stop> {
    if !found.outputs.is_empty() || found.missing.is_empty() {
        return None;
    }
    let message = "the script succeeded, and nothing that it made can be published";
    let help = "declare products at paths inside of the repository or below /output: everything else goes with the \
                container";
    let closing = Some("failed: nothing that it made can be published");
    Some(Stop { closing, ..Stop::new(Ending::OutputsMissing, message) }.help(help.to_owned()))
}

/// What was found and will not be published, or not under its own name.
fn tell_oddities(found: &Collection, telling: &Telling) {
    for refused in &found.refused {
        let message = format!("`{}` is not published: {}", refused.path, refused.reason);
        telling.tell(&RunEvent::Diagnosed(Diagnostic::warning("outputs/refused", message)));
    }
    for product in &found.missing {
        let why = match product.why {
            MissingReason::Outside => "it lies outside of the repository and /output, and went with the container",
            MissingReason::Unknown => "its path is known to the run only, and nothing that fits it was made",
            MissingReason::Absent | MissingReason::Refused => continue,
        };
        let message = format!("product `{}` of task `{}` is not collected: {why}", product.product, product.task);
        telling.tell(&RunEvent::Diagnosed(Diagnostic::warning("outputs/not-collected", message)));
    }
    for moved in &found.moved {
        let message = format!("`{}` is published as `{}`, because its own name is taken", moved.wanted, moved.stored);
        telling.tell(&RunEvent::Diagnosed(Diagnostic::note("outputs/moved", message)));
    }
}

/// What is said of files in the published folder that somebody else, or a run that broke off elsewhere, put there.
fn left_alone(others: &[String]) -> Option<String> {
    let first = others.first()?;
    let more = match others.len() as u64 - 1 {
        0 => String::new(),
        more => format!(" and {} more", figures::count(more, "file")),
    };
    Some(format!(
        "`{first}`{more} in the published folder: left alone, since the manifest does not name that and nothing proves \
         that soopervisor put it there; `soopervisor verify` lists all such files"
    ))
}

/// Publishes what was found.
///
/// # Errors
/// When the storage refuses; then nothing of it can be seen.
pub async fn publish(
    storage: &Arc<dyn Storage>,
    publication: Publication,
    telling: &Telling,
    cancel: &Cancel,
) -> Result<Published, Stop> {
    let follow = Arc::new(Follow::new(telling, cancel, Step::Publish));
    let project = publication.about.project.clone();
    // It looks itself whether it is to stop, so that it leaves nothing behind.
    let publishing = storage.publish(publication, Arc::clone(&follow) as Arc<dyn Progress>);
    let published = patience::told(&**storage, &*follow, publishing).await?;
    if published.outcome == PublishOutcome::Identical {
        // That the manifest says so is not yet that it is there.
        let files = &published.manifest.files;
        let standing = Box::pin(verify::stands(&**storage, &project, &published.folder, files, &*follow));
        patience::followed(&**storage, &*follow, standing).await?;
    }
    if let Some(message) = left_alone(&published.others) {
        telling.tell(&RunEvent::Diagnosed(Diagnostic::note("outputs/others", message)));
    }
    let (outcome, words, note) = match published.outcome {
        PublishOutcome::Created => (Outcome::Done, "new folder", None),
        PublishOutcome::Identical => {
            (Outcome::Reused, "identical content was there", Some("identical content was there already"))
        }
        PublishOutcome::Kept => (Outcome::Reused, "kept what was there", Some("other content was there and was kept")),
    };
    let files = &published.manifest.files;
    let told = Published {
        location: published.place,
        files: files.len() as u64,
        bytes: files.iter().map(|file| file.size).sum(),
        note: note.map(str::to_owned),
        listing: files.iter().take(LISTED).map(|file| listed(file, telling)).collect(),
    };
    telling.end(Step::Publish, outcome, words);
    telling.tell(&RunEvent::Published(told.clone()));
    Ok(told)
}

/// A name that is only mentioned need not give a secret away.
fn listed(file: &Entry, telling: &Telling) -> Listed {
    Listed { path: telling.masked(&file.path.to_string()), size: file.size }
}

/// Tells how far a step's work on the storage is, once a second, and what it waits for; hands on the wish to stop.
pub(super) struct Follow {
    telling: Telling,
    cancel: Cancel,
    step: Step,
    begun: std::time::Instant,
    pauses: Pauses,
    last: std::sync::Mutex<Option<std::time::Instant>>,
}

impl Follow {
    pub(super) fn new(telling: &Telling, cancel: &Cancel, step: Step) -> Self {
        let (telling, cancel) = (telling.clone(), cancel.clone());
        let (begun, pauses, last) = (std::time::Instant::now(), Pauses::default(), std::sync::Mutex::default());
        Self { telling, cancel, step, begun, pauses, last }
    }
}

/// How long the storage let nothing through, so that what it takes a second is said of the time in which it took anything.
#[derive(Default)]
struct Pauses {
    /// Bytes that are done.
    bytes: AtomicU64,
    /// As many as there were when it was looked last.
    seen: AtomicU64,
    millis: AtomicU64,
}

impl Pauses {
    fn moved(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// It asked for a pause, and so much time went. What was on its way by then may go on: that is none.
    fn waited(&self, time: std::time::Duration) {
        let bytes = self.bytes.load(Ordering::Relaxed);
        if self.seen.swap(bytes, Ordering::Relaxed) == bytes {
            self.millis.fetch_add(u64::try_from(time.as_millis()).unwrap_or_default(), Ordering::Relaxed);
        }
    }

    /// So much of the time without them.
    fn without(&self, elapsed: std::time::Duration) -> std::time::Duration {
        elapsed.saturating_sub(std::time::Duration::from_millis(self.millis.load(Ordering::Relaxed)))
    }
}

/// From here on the time that is left may be told.
const SOON: std::time::Duration = std::time::Duration::from_secs(5);
/// From here on also where less than a hundredth is done.
const LONG: std::time::Duration = std::time::Duration::from_mins(1);

/// `, 3.1 MB/s, 2 m 10 s left`: from the average so far, without pauses; nothing while that says little.
fn pace(done: Done, elapsed: std::time::Duration) -> String {
    let seconds = elapsed.as_secs();
    let rate = done.bytes.checked_div(seconds).unwrap_or_default();
    if seconds < 2 || rate == 0 {
        return String::new();
    }
    let left = left(done, elapsed).map(|left| format!(", {} left", figures::duration(left)));
    format!(", {}/s{}", figures::bytes(rate), left.unwrap_or_default())
}

/// How long it takes yet, as things have gone so far: a service may take so many bytes or so many files a second, and
/// what takes longer counts. Nothing while too little has gone to tell, and once all bytes are sent: where many files become
/// visible at once, the files that are missing then tell nothing.
fn left(done: Done, elapsed: std::time::Duration) -> Option<std::time::Duration> {
    if done.bytes >= done.bytes_total {
        return None;
    }
    let estimate = |done: u64, all: u64| {
        let missing = u128::from(all.saturating_sub(done));
        if missing == 0 {
            return Some(0);
        }
        let is_enough = elapsed >= LONG || u128::from(done) * 100 >= u128::from(all);
        (done > 0 && is_enough).then(|| elapsed.as_millis() * missing / u128::from(done))
    };
    let bytes = estimate(done.bytes, done.bytes_total)?;
    let files = estimate(done.files, done.files_total).unwrap_or(0);
    let seconds = u64::try_from(bytes.max(files) / 1000).ok()?;
    (elapsed >= SOON && seconds > 0).then(|| std::time::Duration::from_secs(seconds))
}

impl Progress for Follow {
    fn at(&self, done: Done) {
        self.pauses.moved(done.bytes);
        let Ok(mut last) = self.last.try_lock() else { return };
        let now = std::time::Instant::now();
        let due = last.get_or_insert(now);
        if now.duration_since(*due).as_secs() < 1 {
            return;
        }
        *due = now;
        let words = format!(
            "{} of {}, {} of {}{}",
            done.files,
            figures::count(done.files_total, "file"),
            figures::bytes(done.bytes),
            figures::bytes(done.bytes_total),
            pace(done, self.pauses.without(now.duration_since(self.begun)))
        );
        self.telling.progress(self.step, words);
    }

    fn waits(&self, what: &str) {
        self.telling.progress(self.step, format!("waits {what}"));
    }

    fn held(&self, sentence: &str) {
        self.telling.progress(self.step, sentence);
    }

    fn waited(&self, time: std::time::Duration) {
        self.pauses.waited(time);
    }

    fn cancelled(&self) -> bool {
        self.cancel.requested().is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_left_alone_is_named_and_counted() {
        let told = |names: &[&str]| left_alone(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(told(&[]), None);
        assert!(told(&["out/a.txt"]).is_some_and(|told| told.starts_with("`out/a.txt` in the published folder: left")));
        let three = told(&["out/a.txt", "b", "c"]);
        assert!(three.is_some_and(|told| told.starts_with("`out/a.txt` and 2 files more in the published folder")));
    }

    #[test]
    fn where_so_many_files_a_second_are_taken_the_files_tell_what_is_left() {
        let told = |files, bytes| {
            let done = Done { files, files_total: 100, bytes, bytes_total: 60_000 };
            left(done, Duration::from_secs(15))
        };
        assert_eq!(told(20, 50_000), Some(Duration::from_mins(1)));
        assert_eq!(told(60, 60_000), None, "all is sent, and becomes visible in a moment");
        assert_eq!(told(60, 20_000), Some(Duration::from_secs(30)), "the bytes take longer");
        assert_eq!(told(0, 20_000), Some(Duration::from_secs(30)), "no file says anything yet");
        assert_eq!((told(100, 60_000), told(0, 0)), (None, None));
    }

    #[test]
    fn pauses_that_a_storage_asks_for_slow_nothing_down() {
        let (pauses, tick) = (Pauses::default(), Duration::from_secs(30));
        pauses.moved(31_000_000);
        pauses.waited(tick);
        assert_eq!(pauses.without(Duration::from_secs(100)), Duration::from_secs(100), "what was on its way went on");
        pauses.waited(tick);
        pauses.waited(tick * 2);
        let done = Done { bytes: 31_000_000, bytes_total: 434_000_000, ..Done::default() };
        assert_eq!(pace(done, pauses.without(Duration::from_secs(100))), ", 3.1 MB/s, 2 m 10 s left");
        assert_eq!(pauses.without(tick), Duration::ZERO);
    }

    #[test]
    fn rate_and_time_that_is_left_are_the_averages_so_far() {
        let told = |bytes, bytes_total, millis| {
            pace(Done { bytes, bytes_total, ..Done::default() }, Duration::from_millis(millis))
        };
        assert_eq!(told(31_000_000, 434_000_000, 10_000), ", 3.1 MB/s, 2 m 10 s left");
        assert_eq!(told(434_000_000, 434_000_000, 10_999), ", 43.4 MB/s", "the end is no time");
        // What little says nothing is not told, and nothing is divided by.
        assert_eq!(told(31_000_000, 434_000_000, 1_999), "");
        assert_eq!(told(0, 434_000_000, 10_000), "");
        assert_eq!(told(3, 434_000_000, 10_000), "", "hardly anything is not soon done");
        assert_eq!(told(500, 100, 10_000), ", 50 B/s", "more than all was counted");
        assert_eq!(told(31_000_000, 434_000_000, 4_000), ", 7.7 MB/s", "too soon");
        assert_eq!(told(1_000_000, 434_000_000, 10_000), ", 100.0 kB/s", "too little");
        assert_eq!(told(4_340_000, 434_000_000, 60_000), ", 72.3 kB/s, 1 h 39 m left");
        assert_eq!(told(u64::MAX / 2, u64::MAX, 60_000).matches(" left").count(), 1);
    }
}
