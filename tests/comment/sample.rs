//! Reports to draw: three that are typical, and one that is full of what somebody else writes.

use std::time::Duration;

use soopervisor::comment::{Finding, Link, Marker, Preview, Report, Status, StepRow, TaskRow};
use soopervisor::compare::{
    CellChange, ColumnChange, Comparison, Content, Environment, FileChange, Leaf, Move, Number, Origin, SCHEMA, Side,
    TableChange, ValueChange, Values, What,
};
use soopervisor::diag::Diagnostic;
use soopervisor::environment::Change;
use soopervisor::id::RelPath;
use soopervisor::outputs::OutputKind;
use soopervisor::plan::Mode;
use soopervisor::run::card::{Card, Published};
use soopervisor::run::event::{Outcome, RunEvent, Step};

const NOW: &str = "4f1c2d9a4f1c2d9a4f1c2d9a4f1c2d9a4f1c2d9a";
const BASE: &str = "81aa02c3de81aa02c3de81aa02c3de81aa02c3de";
const RUN: &str = "20261121-093000-4f1c2d9a-x7k2";

fn report() -> Report {
    let mut report = Report::new("penguins".parse().expect("a project"), NOW.parse().expect("a commit"), Mode::Full);
    report.marker = Some(Marker { repo: 4711, pr: 12, key: "penguins".to_owned() });
    report
}

fn ended(step: Step, outcome: Outcome, millis: u64, detail: &str) -> RunEvent {
    RunEvent::StepEnded { step, outcome, elapsed: Duration::from_millis(millis), detail: detail.to_owned() }
}

fn task(name: &str, outcome: Outcome, millis: u64, reason: &str) -> [RunEvent; 2] {
    let from = (outcome == Outcome::Reused).then(|| BASE.parse().expect("a commit"));
    let elapsed = Duration::from_millis(millis);
    [
        RunEvent::TaskStarted { name: name.to_owned() },
        RunEvent::TaskEnded { name: name.to_owned(), outcome, elapsed, reason: reason.to_owned(), from },
    ]
}

fn begin() -> Vec<RunEvent> {
    let started = |step, detail: &str| RunEvent::StepStarted { step, detail: detail.to_owned() };
    let mut events = vec![
        RunEvent::Started { run: RUN.parse().expect("a run"), title: "penguins 4f1c2d9a4f full".to_owned() },
        started(Step::Checkout, "4f1c2d9a4f"),
        ended(Step::Checkout, Outcome::Done, 42, "31 files"),
        started(Step::Prepare, "conda environment, 12 packages"),
        ended(Step::Prepare, Outcome::Reused, 8, "environment reused"),
        RunEvent::Diagnosed(Diagnostic::warning("env/unused", "`sample` in env.yaml is used by no task")),
        started(Step::Execute, "3 tasks"),
    ];
    events.extend(task("load", Outcome::Reused, 0, "nothing that matters to it changed"));
    events.extend(task("clean", Outcome::Done, 2310, "`scripts/clean.py` changed"));
    events.push(RunEvent::TaskStarted { name: "fit".to_owned() });
    events.push(RunEvent::StepProgress { step: Step::Execute, text: "fit: cell 4 of 9".to_owned() });
    events
}

fn told(events: &[RunEvent]) -> Report {
    let mut report = report();
    for event in events {
        report.take(event);
    }
    report
}

/// A run in the middle of its tasks.
pub(crate) fn running() -> Report {
    told(&begin())
}

/// A run that was published and is compared with its base.
pub(crate) fn succeeded() -> Report {
    let mut events = begin();
    events.extend(task("fit", Outcome::Done, 61_000, "`clean` was executed").into_iter().skip(1));
    events.push(ended(Step::Execute, Outcome::Done, 65_000, "3 tasks"));
    events.push(RunEvent::Published(Published {
        location: "box:artifacts/penguins/4f1c2d9a4f".to_owned(),
        files: 14,
        bytes: 3_149_000,
        note: None,
        listing: Vec::new(),
    }));
    events.push(RunEvent::Ended { exit_code: 0, summary: "penguins 4f1c2d9a4f succeeded".to_owned() });
    let mut report = told(&events);
    report.links =
        vec![Link { text: "Outputs".to_owned(), address: "https://storage.example/outputs?x=1&y=2".to_owned() }];
    let address = |side: &str| Some(format!("https://storage.example/{side}/roc (1).png"));
    report.previews = vec![
        Preview { name: "plots/roc (1).png".to_owned(), size: 22_000, before: address("a"), after: address("b") },
        Preview { name: "plots/new.svg".to_owned(), size: 3_000, before: None, after: None },
    ];
    report.comparison = Some(comparison());
    report
}

/// A run whose script failed.
pub(crate) fn failed() -> Report {
    let mut events = begin();
    events.extend(task("fit", Outcome::Failed, 700, "").into_iter().skip(1));
    events.push(ended(Step::Execute, Outcome::Failed, 3_200, "exit code 1"));
    events.push(RunEvent::Failed(Box::new(Card {
        step: Step::Execute,
        task: Some("fit".to_owned()),
        exit: Some(1),
        reason: "the script ended with code 1".to_owned(),
        place: None,
        trace: Vec::new(),
        last_lines: vec![
            "10 %\r50 %\rTraceback (most recent call last):".to_owned(),
            "ModuleNotFoundError: No module named 'sklearn'\u{1b}]0;evil\u{7}".to_owned(),
            "```</details> @ann #1".to_owned(),
        ],
        diagnosis: Some("a Python module is missing: `sklearn`".to_owned()),
        hint: Some("add `scikit-learn` to environment.yml".to_owned()),
        reproduce: Some("soopervisor run . --storage local:artifacts".to_owned()),
        log_path: Some("/state/runs/log".into()),
        log_cut: None,
        kept: None,
        again: None,
    })));
    events.push(RunEvent::Ended { exit_code: 4, summary: "the script failed".to_owned() });
    let mut report = told(&events);
    report.no_base = Some("a failed run publishes nothing".to_owned());
    report
}

fn origin(commit: &str, branch: &str) -> Origin {
    Origin {
        folder: commit.to_owned(),
        commit: commit.parse().expect("a commit"),
        branch: Some(branch.to_owned()),
        run: RUN.parse().expect("a run"),
        mode: Mode::Full,
        ended: jiff::Timestamp::UNIX_EPOCH,
        files: 14,
        bytes: 3_149_000,
    }
}

fn file(path: &str, what: What, content: Content) -> FileChange {
    let side = |size| Some(Side { kind: OutputKind::File, size, sha256: None });
    FileChange {
        before: if what == What::Added { None } else { side(80_100) },
        after: if what == What::Removed { None } else { side(80_300) },
        path: path.parse().expect("a path"),
        what,
        task: None,
        metadata: path.ends_with(".metadata"),
        note: None,
        content,
    }
}

fn number(name: &str, before: f64, after: f64) -> ValueChange {
    let (old, new) = (Number::Real(before), Number::Real(after));
    let moved = Some(Move::between(old, new));
    ValueChange { name: name.to_owned(), before: Some(Leaf::Number(old)), after: Some(Leaf::Number(new)), moved }
}

fn table() -> TableChange {
    TableChange {
        key: Some("id".to_owned()),
        rows_before: 120,
        rows_after: 124,
        rows_added: 4,
        rows_changed: 3,
        cells_changed: 3,
        columns: vec![ColumnChange {
            name: "mass".to_owned(),
            changed: 3,
            mean_before: Some(4201.75),
            mean_after: Some(4205.5),
            largest: Some(12.0),
        }],
        ..TableChange::default()
    }
}

fn comparison() -> Comparison {
    let metrics = Values {
        metrics: true,
        same: 2,
        changes: vec![
            number("accuracy", 0.912, 0.934),
            number("test.loss", 0.31, 0.28),
            ValueChange {
                name: "auc".to_owned(),
                before: None,
                after: Some(Leaf::Number(Number::Real(0.97))),
                moved: None,
            },
            ValueChange {
                name: "model".to_owned(),
                before: Some(Leaf::Text("private words".to_owned())),
                after: Some(Leaf::Text("other private words".to_owned())),
                moved: None,
            },
        ],
        more: 0,
    };
    let change = |name: &str, before: &str, after: &str| Change {
        name: name.to_owned(),
        before: Some(before.to_owned()),
        after: Some(after.to_owned()),
    };
    let large = "too large: 40000000 bytes, at most 16777216 are read".to_owned();
    Comparison {
        schema: SCHEMA,
        project: "penguins".parse().expect("a project"),
        before: origin(BASE, "main"),
        after: origin(NOW, "more-data"),
        files: vec![
            file("output/.fit.metadata", What::Changed, Content::None),
            file("output/all.csv", What::Changed, Content::NotCompared { why: large, damaged: false }),
            file("output/clean.csv", What::Changed, Content::Table(table())),
            file("output/metrics.json", What::Changed, Content::Values(metrics)),
            file("output/model.bin", What::Added, Content::None),
            file("output/old|name.txt", What::Removed, Content::None),
            file("plots/b.png", What::Renamed { from: "plots/a.png".parse().expect("a path") }, Content::None),
        ],
        identical: ["output/raw.csv", "report.html"].map(|path| path.parse().expect("a path")).to_vec(),
        environment: Environment {
            known: true,
            packages: vec![change("numpy", "1.26.4", "2.0.1")],
            rest: vec![change("image", "runner:1", "runner:2")],
        },
        tasks: Vec::new(),
    }
}

/// A report in which `next` gives every text that somebody else writes, with so many rows of everything.
pub(crate) fn filled(next: &mut dyn FnMut() -> String, rows: usize, marker: Marker) -> Report {
    let mut report = report();
    report.marker = Some(marker);
    report.status = Status::Failed;
    report.run = Some(RUN.parse().expect("a run"));
    report.policy = Some(next());
    report.summary = next();
    report.links = vec![Link { text: next(), address: "https://storage.example/outputs".to_owned() }];
    report.published =
        Some(Published { location: next(), files: 1, bytes: 2, note: Some(next()), listing: Vec::new() });
    report.card = Some(Card {
        step: Step::Execute,
        task: Some(next()),
        exit: Some(1),
        reason: next(),
        place: None,
        trace: Vec::new(),
        last_lines: (0..rows).map(|_| next()).collect(),
        diagnosis: Some(next()),
        hint: Some(next()),
        reproduce: Some("soopervisor run .".to_owned()),
        log_path: None,
        log_cut: None,
        kept: None,
        again: None,
    });
    for _ in 0..rows {
        let outcome = Some(Outcome::Done);
        report.tasks.push(TaskRow { name: next(), outcome, elapsed: None, reason: next(), from: None });
        report.findings.push(Finding { error: true, message: next(), place: Some(next()), help: Some(next()) });
        let address = Some("https://storage.example/p.png".to_owned());
        report.previews.push(Preview { name: next(), size: 1, before: None, after: address });
    }
    report.steps = vec![StepRow { step: Step::Execute, outcome: Some(Outcome::Failed), elapsed: None, detail: next() }];
    report.comparison = Some(strange(next, rows));
    report
}

fn strange(next: &mut dyn FnMut() -> String, rows: usize) -> Comparison {
    let mut comparison = comparison();
    comparison.before.branch = Some(next());
    let path = |text: String| {
        let text = text.replace(['/', '\0'], "%");
        RelPath::from_bytes(format!("d/x{text}").as_bytes()).expect("a path")
    };
    for _ in 0..rows {
        comparison.identical.push(path(next()));
        comparison.environment.packages.push(Change { name: next(), before: Some(next()), after: Some(next()) });
        let cell = CellChange { row: next(), column: next(), before: next(), after: next(), moved: None };
        let column =
            ColumnChange { name: next(), changed: 1, mean_before: Some(1.0), mean_after: Some(2.0), largest: None };
        let table = TableChange {
            columns_added: vec![next(), next()],
            columns_removed: vec![next()],
            cells_changed: 1,
            cells: vec![cell],
            columns: vec![column],
            notes: vec![next()],
            ..TableChange::default()
        };
        let values = Values { metrics: true, same: 1, changes: vec![number(&next(), 1.0, 2.0)], more: 0 };
        let why = Content::NotCompared { why: next(), damaged: false };
        for content in [Content::Table(table), Content::Values(values), why] {
            let mut change = file("x", What::Renamed { from: path(next()) }, content);
            (change.path, change.note) = (path(next()), Some(next()));
            comparison.files.push(change);
        }
    }
    comparison
}
