//! Telling what happens: every event of a run goes through here, masked and in order; step times are kept for the
//! record.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::card::Card;
use super::event::{Outcome, RunEvent, Step};
use super::findings::Findings;
use super::stop::Stop;
use crate::diag::{Diagnostic, SourceText, Span};
use crate::logs::mask::Masker;
use crate::store::Finding;

/// Where events go. Shared by the parts of a run; calls are short and never block on a terminal for long.
pub type Listener = Box<dyn FnMut(&RunEvent) + Send>;

/// Output that was told and not yet written. It stays small: who makes output waits while there is much of it.
#[derive(Debug, Default)]
pub struct Backlog {
    waiting: AtomicUsize,
    taken: AtomicUsize,
}

impl Backlog {
    /// Bytes of memory that may wait.
    const ROOM: usize = 4 << 20;

    /// More waits.
    pub fn put(&self, bytes: usize) {
        self.waiting.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Some of it was written, or another event was.
    pub fn take(&self, bytes: usize) {
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// How often something was taken: stands still where the reader does.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whether more may be told.
    pub fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < Self::ROOM
    }
}

/// How long a step took and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StepTime {
    /// Which.
    pub step: Step,
    /// How.
    pub outcome: Outcome,
    /// How long, in milliseconds.
    pub elapsed_ms: u64,
    /// A few words.
    pub detail: String,
}

/// The teller of one run; clones tell to the same listener.
#[derive(Clone)]
pub struct Telling {
    inner: Arc<Mutex<Inner>>,
    backlog: Arc<Backlog>,
}

struct Inner {
    listener: Listener,
    masker: Masker,
    open: Vec<(Step, Instant)>,
    times: Vec<StepTime>,
    /// When the step before ended: what lies between two steps is the later one's, so that together they are the run.
    until: Option<Instant>,
    found: Findings,
}

impl Inner {
    fn tell(&mut self, event: &RunEvent) {
        let masked = masked(event, &self.masker);
        let event = masked.as_ref().unwrap_or(event);
        if let RunEvent::Diagnosed(finding) = event {
            self.found.add(finding);
        }
        (self.listener)(event);
    }
}

impl Telling {
    /// Tells everything to `listener`.
    pub fn new(listener: Listener) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Inner {
                listener,
                masker: Masker::none(),
                open: Vec::new(),
                times: Vec::new(),
                until: None,
                found: Findings::default(),
            })),
            backlog: Arc::default(),
        }
    }

    /// With a listener that only queues what it is told.
    #[must_use]
    pub fn behind(self, backlog: Arc<Backlog>) -> Self {
        Self { backlog, ..self }
    }

    /// What waits to be written.
    pub fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        // A listener that panicked has nothing to say any more; the run itself goes on.
        act(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on every text that is told is masked; output brings its own mask.
    pub fn mask_with(&self, masker: &Masker) {
        self.with(|inner| inner.masker = masker.clone());
    }

    /// A text without secrets.
    pub fn masked(&self, text: &str) -> String {
        self.with(|inner| inner.masker.text(text))
    }

    /// A stop without secrets.
    pub(super) fn masked_stop(&self, stop: &Stop) -> Stop {
        self.with(|inner| {
            let text = |text: &String| inner.masker.text(text);
            Stop {
                message: text(&stop.message),
                causes: stop.causes.iter().map(text).collect(),
                help: stop.help.as_ref().map(text),
                diagnostics: stop.diagnostics.iter().map(|found| masked_finding(found, &inner.masker)).collect(),
                ..stop.clone()
            }
        })
    }

    /// What was found in the user's files so far, for the record, and how much more than that.
    pub(super) fn findings(&self) -> (Vec<Finding>, u64) {
        self.with(|inner| inner.found.kept())
    }

    /// Tells one event.
    pub fn tell(&self, event: &RunEvent) {
        self.with(|inner| inner.tell(event));
    }

    /// A step that is over already.
    pub fn done(&self, step: Step, since: Instant, about: impl Into<String>, detail: impl Into<String>) {
        self.with(|inner| inner.open.push((step, since)));
        self.tell(&RunEvent::StepStarted { step, detail: about.into() });
        self.end(step, Outcome::Done, detail);
    }

    /// A step begins.
    pub fn begin(&self, step: Step, detail: impl Into<String>) {
        self.with(|inner| {
            let since = inner.until.filter(|_| inner.open.is_empty()).unwrap_or_else(Instant::now);
            inner.open.push((step, since));
            inner.tell(&RunEvent::StepStarted { step, detail: detail.into() });
        });
    }

    /// A line about a step that goes on.
    pub fn progress(&self, step: Step, text: impl Into<String>) {
        self.tell(&RunEvent::StepProgress { step, text: text.into() });
    }

    /// A line about a step that goes on which nobody should miss.
    pub fn warn(&self, step: Step, text: impl Into<String>) {
        self.tell(&RunEvent::Warned { step, text: text.into() });
    }

    /// A step ends.
    pub fn end(&self, step: Step, outcome: Outcome, detail: impl Into<String>) {
        self.with(|inner| {
            let now = Instant::now();
            let elapsed = match inner.open.iter().position(|(open, _)| *open == step) {
                Some(at) => now.duration_since(inner.open.remove(at).1),
                None => Duration::ZERO,
            };
            inner.until = Some(now);
            let detail = inner.masker.text(&detail.into());
            inner.times.push(StepTime { step, outcome, elapsed_ms: millis(elapsed), detail: detail.clone() });
            inner.tell(&RunEvent::StepEnded { step, outcome, elapsed, detail });
        });
    }

    /// Ends every step that is still open: the run stopped inside them.
    pub fn end_open(&self, outcome: Outcome) {
        let open: Vec<Step> = self.with(|inner| inner.open.iter().rev().map(|(step, _)| *step).collect());
        for step in open {
            self.end(step, outcome, "");
        }
    }

    /// The step that is open, the innermost first.
    pub fn current(&self) -> Option<Step> {
        self.with(|inner| inner.open.last().map(|(step, _)| *step))
    }

    /// Steps that ended so far.
    pub fn times(&self) -> Vec<StepTime> {
        self.with(|inner| inner.times.clone())
    }

    /// Steps that ended so far, and those that are about to end well, as long as they took until now.
    pub fn times_so_far(&self) -> Vec<StepTime> {
        let so_far = |(step, since): &(Step, Instant)| {
            let elapsed_ms = millis(since.elapsed());
            StepTime { step: *step, outcome: Outcome::Done, elapsed_ms, detail: String::new() }
        };
        self.with(|inner| inner.times.iter().cloned().chain(inner.open.iter().map(so_far)).collect())
    }
}

fn millis(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// The event with every text masked; `None` where it holds none, or only output, which was masked before.
fn masked(event: &RunEvent, masker: &Masker) -> Option<RunEvent> {
    let text = |text: &String| masker.text(text);
    Some(match event {
        RunEvent::Output { .. } => return None,
        RunEvent::Diagnosed(finding) => RunEvent::Diagnosed(masked_finding(finding, masker)),
        RunEvent::Failed(card) => RunEvent::Failed(Box::new(masked_card(card, masker))),
        RunEvent::Started { run, title } => RunEvent::Started { run: run.clone(), title: text(title) },
        RunEvent::StepStarted { step, detail } => RunEvent::StepStarted { step: *step, detail: text(detail) },
        RunEvent::StepProgress { step, text: line } => RunEvent::StepProgress { step: *step, text: text(line) },
        RunEvent::Warned { step, text: line } => RunEvent::Warned { step: *step, text: text(line) },
        RunEvent::StepEnded { step, outcome, elapsed, detail } => {
            RunEvent::StepEnded { step: *step, outcome: *outcome, elapsed: *elapsed, detail: text(detail) }
        }
        RunEvent::TaskStarted { name } => RunEvent::TaskStarted { name: text(name) },
        RunEvent::TaskEnded { name, outcome, elapsed, reason, from } => RunEvent::TaskEnded {
            name: text(name),
            outcome: *outcome,
            elapsed: *elapsed,
            reason: text(reason),
            from: from.clone(),
        },
        RunEvent::Published(published) => {
            let mut published = published.clone();
            published.location = text(&published.location);
            RunEvent::Published(published)
        }
        RunEvent::Ended { exit_code, summary } => RunEvent::Ended { exit_code: *exit_code, summary: text(summary) },
    })
}

fn masked_finding(finding: &Diagnostic, masker: &Masker) -> Diagnostic {
    let place = finding.place.as_ref().map(|(source, span)| {
        let text = masker.text(&source.text);
        // Spans of a text that was masked would point elsewhere: then only the file is told.
        if text == source.text {
            (Arc::clone(source), *span)
        } else {
            (Arc::new(SourceText { name: masker.text(&source.name), text: String::new() }), Span::default())
        }
    });
    Diagnostic {
        message: masker.text(&finding.message),
        label: finding.label.as_deref().map(|text| masker.text(text)),
        help: finding.help.as_deref().map(|text| masker.text(text)),
        place,
        ..finding.clone()
    }
}

/// A card without secrets.
///
/// Its last lines, and the place and the calls among them, come out of the masked stream: masked again one by one, their
/// ends would look like what a cut left of a secret.
pub(super) fn masked_card(card: &Card, masker: &Masker) -> Card {
    let text = |text: &Option<String>| text.as_deref().map(|text| masker.text(text));
    Card {
        task: text(&card.task),
        reason: masker.text(&card.reason),
        diagnosis: text(&card.diagnosis),
        hint: text(&card.hint),
        reproduce: text(&card.reproduce),
        again: text(&card.again),
        ..card.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_two_steps_is_the_later_ones() {
        let told = Arc::new(Mutex::new(Duration::ZERO));
        let heard = Arc::clone(&told);
        let telling = Telling::new(Box::new(move |event: &RunEvent| {
            if let RunEvent::StepEnded { elapsed, .. } = event {
                *heard.lock().unwrap() += *elapsed;
            }
        }));
        let pause = || std::thread::sleep(Duration::from_millis(20));
        let since = Instant::now();
        pause();
        telling.done(Step::Checkout, since, "", "");
        for step in [Step::Validate, Step::Prepare, Step::Report] {
            pause();
            telling.begin(step, "");
            pause();
            telling.end(step, Outcome::Done, "");
        }
        let whole = since.elapsed();
        let steps = *told.lock().unwrap();
        assert!(steps <= whole && steps >= Duration::from_millis(7 * 20), "{steps:?} of {whole:?}");
        telling.begin(Step::Publish, "");
        let last = telling.times_so_far().pop().unwrap();
        assert_eq!((last.step, last.outcome), (Step::Publish, Outcome::Done));
    }

    #[test]
    fn lines_of_a_card_are_those_of_the_log_and_its_other_texts_are_masked() {
        let key = b"{\"private_key\": \"-----BEGIN KEY-----\\nMIIEvQIBADANBgkqhkiG\\n\"}".to_vec();
        let secret = crate::secret::Secret::new("key".to_owned(), key);
        let set = crate::secret::SecretSet { env: vec![secret], mask_only: Vec::new() };
        let lines = ["---------- fit ----------", "-----BEG", "the key is ***"].map(str::to_owned).to_vec();
        let card = Card {
            step: Step::Execute,
            task: Some("-----".to_owned()),
            exit: Some(1),
            reason: "said MIIEvQIBADANBgkqhkiG".to_owned(),
            place: None,
            trace: Vec::new(),
            last_lines: lines.clone(),
            diagnosis: None,
            hint: None,
            reproduce: None,
            log_path: None,
            log_cut: None,
            kept: None,
            again: None,
        };
        let masked = masked_card(&card, &Masker::new(&set));
        assert_eq!(masked.last_lines, lines);
        assert_eq!((masked.task.as_deref(), masked.reason.as_str()), (Some("-----"), "said ***"));
    }
}
