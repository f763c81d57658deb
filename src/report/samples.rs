//! Runs that the reporters' tests tell: one that succeeds, one that fails.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;

use crate::run::card::{Card, Published};
use crate::run::event::{Outcome, RunEvent, Step};

/// A place to write that can be looked at.
#[derive(Clone, Default)]
pub(super) struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn started(step: Step, detail: &str) -> RunEvent {
    RunEvent::StepStarted { step, detail: detail.to_owned() }
}

fn ended(step: Step, outcome: Outcome, millis: u64, detail: &str) -> RunEvent {
    RunEvent::StepEnded { step, outcome, elapsed: Duration::from_millis(millis), detail: detail.to_owned() }
}

fn begin() -> Vec<RunEvent> {
    vec![
        RunEvent::Started {
            run: "20261121-093000-4f1c2d9a-x7k2".parse().unwrap(),
            title: "penguins 4f1c2d9a4f full".to_owned(),
        },
        started(Step::Checkout, "4f1c2d9a4f"),
        ended(Step::Checkout, Outcome::Done, 42, "31 files"),
        started(Step::Prepare, "conda environment, 12 packages"),
        RunEvent::StepProgress { step: Step::Prepare, text: "solving\nfor a while".to_owned() },
        ended(Step::Prepare, Outcome::Reused, 8, "environment 91bd02"),
        started(Step::Execute, ""),
        RunEvent::TaskStarted { name: "load".to_owned() },
        RunEvent::TaskEnded {
            name: "load".to_owned(),
            outcome: Outcome::Done,
            elapsed: Duration::from_millis(2_310),
            reason: "`scripts/load.py` changed".to_owned(),
            from: None,
        },
    ]
}

pub(super) fn success() -> Vec<RunEvent> {
    let mut events = begin();
    events.extend([
        ended(Step::Execute, Outcome::Done, 65_000, ""),
        started(Step::Publish, "local:artifacts"),
        RunEvent::Published(Published {
            location: "artifacts/penguins/4f1c2d9a".to_owned(),
            files: 14,
            bytes: 3_149_000,
            note: None,
            listing: Vec::new(),
        }),
        ended(Step::Publish, Outcome::Done, 120, "14 files, 3.1 MB"),
        RunEvent::Ended { exit_code: 0, summary: "done".to_owned() },
    ]);
    events
}

pub(super) fn failure() -> Vec<RunEvent> {
    let mut events = begin();
    let card = Card {
        step: Step::Execute,
        task: Some("fit".to_owned()),
        exit: Some(1),
        reason: "the script ended with code 1".to_owned(),
        place: None,
        trace: Vec::new(),
        last_lines: vec![
            "10 %\r50 %\rTraceback (most recent call last):".to_owned(),
            "ModuleNotFoundError: No module named 'sklearn'\u{1b}]0;evil\u{7}".to_owned(),
        ],
        diagnosis: Some("a Python module is missing: `sklearn`".to_owned()),
        hint: Some("add `scikit-learn` to environment.yml".to_owned()),
        reproduce: Some("soopervisor run . --storage local:artifacts".to_owned()),
        log_path: Some("/state/runs/20261121-093000-4f1c2d9a-x7k2/log".into()),
        log_cut: None,
        kept: None,
        again: None,
    };
    let fit = |outcome| RunEvent::TaskEnded {
        name: "fit".to_owned(),
        outcome,
        elapsed: Duration::from_millis(700),
        reason: String::new(),
        from: None,
    };
    events.extend([
        RunEvent::TaskStarted { name: "fit".to_owned() },
        fit(Outcome::Failed),
        ended(Step::Execute, Outcome::Failed, 3_200, "exit code 1"),
        RunEvent::Failed(Box::new(card)),
        RunEvent::Ended { exit_code: 4, summary: "the script failed".to_owned() },
    ]);
    events
}
