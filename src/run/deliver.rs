//! The last third of a run: outputs are found and hashed, then published whole or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::cancel::Cancel;
use super::card::{Listed, Published};
use super::ending::Ending;
use super::event::{Outcome, RunEvent, Step};
use super::figures;
use super::rate::Rate;
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
    last: std::sync::Mutex<Last>,
}

/// When it was told last, and how fast it went of late.
#[derive(Default)]
struct Last {
    told: Option<std::time::Instant>,
    rate: Rate,
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

impl Progress for Follow {
    fn at(&self, done: Done) {
        self.pauses.moved(done.bytes);
        let Ok(mut last) = self.last.try_lock() else { return };
        let now = std::time::Instant::now();
        let told = last.told.get_or_insert(now);
        if now.duration_since(*told).as_secs() < 1 {
            return;
        }
        *told = now;
        let words = format!(
            "{} of {}, {} of {}{}",
            done.files,
            figures::count(done.files_total, "file"),
            figures::bytes(done.bytes),
            figures::bytes(done.bytes_total),
            last.rate.words(done, self.pauses.without(now.duration_since(self.begun)))
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
    fn pauses_that_a_storage_asks_for_slow_nothing_down() {
        let (pauses, tick) = (Pauses::default(), Duration::from_secs(30));
        pauses.moved(31_000_000);
        pauses.waited(tick);
        assert_eq!(pauses.without(Duration::from_secs(100)), Duration::from_secs(100), "what was on its way went on");
        pauses.waited(tick);
        pauses.waited(tick * 2);
        let done = Done { bytes: 31_000_000, bytes_total: 434_000_000, ..Done::default() };
        let words = Rate::default().words(done, pauses.without(Duration::from_secs(100)));
        assert_eq!(words, ", 3.1 MB/s, 2 m 10 s left");
        assert_eq!(pauses.without(tick), Duration::ZERO);
    }
}
