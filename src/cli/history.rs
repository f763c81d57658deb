//! `soopervisor runs` and `soopervisor show`: what this machine remembers.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::columns::in_one_line;
use super::console::Console;
use super::exit::Exit;
use super::failure::Failure;
use super::{args, columns};
use crate::report::{self, Style, bytes, duration};
use crate::run::card::Card;
use crate::run::ending::Ending;
use crate::run::figures::count;
use crate::store::{Entry, Finding, Folder, Home, Part, Record, Runs, Status};

pub(super) fn runs(args: &args::Runs) -> Result<Exit, Failure> {
    let mut entries = Runs::of(&Home::from_env()?).list()?;
    let all = entries.len();
    entries.truncate(args.limit);
    if args.json {
        let runs: Vec<Value> = entries.iter().map(as_json).collect();
        Console::answer(&format!("{}\n", json!({"schema": 1, "runs": runs})));
    } else if entries.is_empty() {
        Console::note("no runs on this machine yet; soopervisor PATH --storage local:DIR starts one\n");
    } else {
        Console::answer(&table(&entries));
        // Beside the answer: programs count its lines.
        if all > entries.len() {
            let older = count((all - entries.len()) as u64, "older run");
            Console::note(&format!("{older}: soopervisor runs -n {all}\n"));
        }
    }
    Ok(Exit::Ok)
}

pub(super) fn show(args: &args::Show, console: Console) -> Result<Exit, Failure> {
    let entry = Runs::of(&Home::from_env()?).get(&args.run)?;
    let status = entry.status();
    if args.json {
        let document = as_json(&entry);
        entry.record?;
        Console::answer(&format!("{document:#}\n"));
    } else {
        let mut record = entry.record?;
        record.log_bytes = log_bytes(&record, &entry.folder);
        Console::answer(&describe(&record, status, &console.stdout()));
    }
    Ok(Exit::Ok)
}

/// The record, with the status as it is seen from here.
fn as_json(entry: &Entry) -> Value {
    match &entry.record {
        Ok(record) => {
            let mut value = json!(record);
            value["status"] = json!(entry.status());
            value["folder"] = json!(entry.folder.path().to_string_lossy());
            value["log_bytes"] = json!(log_bytes(record, &entry.folder));
            value
        }
        Err(error) => json!({"id": entry.id, "status": "unreadable", "error": error.to_string()}),
    }
}

/// Bytes of the log: of a run without an end, as it is now.
fn log_bytes(record: &Record, folder: &Folder) -> u64 {
    match record.ended_at {
        Some(_) => record.log_bytes,
        None => fs_err::metadata(folder.log()).map_or(record.log_bytes, |meta| meta.len()),
    }
}

fn table(entries: &[Entry]) -> String {
    let mut rows = vec![["RUN", "STATUS", "PROJECT", "COMMIT", "MODE", "TOOK"].map(str::to_owned)];
    for entry in entries {
        rows.push(match &entry.record {
            Ok(record) => [
                entry.id.to_string(),
                status_word(entry.status().unwrap_or(record.status), record.exit_code).to_owned(),
                record.project.to_string(),
                commit(record),
                mode(record),
                took(record).unwrap_or_default(),
            ],
            Err(_) => [&*entry.id.to_string(), "unreadable", "", "", "", ""].map(str::to_owned),
        });
    }
    // A run's name begins with its day and its commit, and most are full.
    columns::table(&rows, Console::columns(), &[3, 4, 5, 2])
}

/// How a run stands, for people: of one that failed what ended it, where that was no program's own failure. In JSON it
/// stays `failed`, with the exit code beside it.
fn status_word(status: Status, exit_code: Option<u8>) -> &'static str {
    let told = [
        (Ending::TimedOut, "timed out"),
        (Ending::OutOfMemory, "out of memory"),
        (Ending::DiskFull, "disk full"),
        (Ending::Killed, "killed"),
    ];
    let ended = told.into_iter().find(|(ending, _)| Some(ending.exit_code()) == exit_code);
    ended.filter(|_| status == Status::Failed).map_or(status.word(), |(_, word)| word)
}

fn commit(record: &Record) -> String {
    let dirty = if record.revision.dirty_tree.is_some() { "+dirty" } else { "" };
    format!("{}{dirty}", record.revision.commit.short())
}

fn mode(record: &Record) -> String {
    json!(record.mode).as_str().unwrap_or_default().to_owned()
}

fn took(record: &Record) -> Option<String> {
    let time = record.ended_at?.duration_since(record.started_at);
    Some(duration(Duration::try_from(time).unwrap_or_default()))
}

fn describe(record: &Record, status: Option<Status>, style: &Style) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name:<12} {value}");
    };
    let status = status.unwrap_or(record.status);
    let code = record.exit_code.map(|code| format!(" (exit code {code})")).unwrap_or_default();
    line("run", record.id.as_str());
    line("status", &format!("{}{code}", status_word(status, record.exit_code)));
    if let Some(summary) = &record.summary {
        line("", summary);
    }
    line("project", record.project.as_str());
    line("commit", &record.revision.to_string());
    line("mode", &mode(record));
    line("folder", &in_one_line(&record.path));
    if let Some(origin) = &record.origin {
        line("origin", &in_one_line(origin));
    }
    line("storage", &in_one_line(&record.storage));
    line("started", &record.started_at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
    if let Some(took) = took(record) {
        line("took", &took);
    }
    parts("step", &record.steps, &mut line);
    parts("task", &record.tasks, &mut line);
    findings(record, &mut line);
    if let Some(key) = &record.environment {
        line("environment", &key.to_string());
    }
    if let Some(image) = &record.image {
        line("image", image);
    }
    line("log", &bytes(record.log_bytes));
    for (name, times) in &record.masked {
        line("hidden", &format!("{name}, {}", count(*times, "time")));
    }
    if let Some(published) = &record.published {
        line("published", &in_one_line(&published.location));
        line("", &format!("{}, {}", count(published.files, "file"), bytes(published.bytes)));
    }
    if status == Status::Interrupted {
        line("help", "its process died; nothing was published halfway, run it again");
    }
    // A card of a later version that this one cannot read is left to `--json`.
    if let Some(card) = record.card.clone().and_then(|card| serde_json::from_value::<Card>(card).ok()) {
        text.push('\n');
        text += &report::draw_card(&card, style);
    }
    text
}

fn findings(record: &Record, line: &mut impl FnMut(&str, &str)) {
    for Finding { severity, message, file, line: row, column, help, .. } in &record.findings {
        let point = row.zip(*column).map(|(row, column)| format!(":{row}:{column}")).unwrap_or_default();
        let place = file.as_ref().map(|file| format!("{}{point}: ", in_one_line(file))).unwrap_or_default();
        line(severity, &format!("{place}{message}"));
        if let Some(help) = help {
            line("", &format!("help: {help}"));
        }
    }
    if record.more_findings > 0 {
        line("", &format!("and {} more", record.more_findings));
    }
}

fn parts(kind: &str, parts: &[Part], line: &mut impl FnMut(&str, &str)) {
    for part in parts {
        let took = duration(Duration::from_millis(part.elapsed_ms));
        let (name, detail) = (in_one_line(&part.name), in_one_line(&part.detail));
        line(kind, format!("{name:<10} {:<9} {took:>9}  {detail}", part.outcome).trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Mode;
    use crate::store::Publication;

    fn record() -> Record {
        let revision = "4f1c2d9a4f1c2d9a4f1c2d9a4f1c2d9a4f1c2d9a-dirty-0123456789ab".parse().unwrap();
        let id = "20261121-093000-4f1c2d9a-x7k2".parse().unwrap();
        let started = "2026-11-21T09:30:00Z".parse().unwrap();
        let mut record = Record::begin(id, "penguins".parse().unwrap(), revision, Mode::Sample, started);
        record.path = "/home/ann/penguins".to_owned();
        record.storage = "local:artifacts".to_owned();
        record.ended_at = Some("2026-11-21T09:31:05Z".parse().unwrap());
        let part = |name: &str, outcome: &str| Part {
            name: name.into(),
            outcome: outcome.into(),
            elapsed_ms: 1_234,
            detail: "a few words".into(),
        };
        record.steps = vec![part("checkout", "done"), part("execute", "failed")];
        record.tasks = vec![part("load", "done")];
        record.masked.insert("TOKEN".to_owned(), 3);
        record
    }

    #[test]
    fn what_ended_a_run_is_said_in_a_word_or_two() {
        for (status, code, word) in [
            (Status::Failed, Some(8), "timed out"),
            (Status::Failed, Some(9), "out of memory"),
            (Status::Failed, Some(10), "disk full"),
            (Status::Failed, Some(11), "killed"),
            (Status::Failed, Some(4), "failed"),
            (Status::Failed, None, "failed"),
            (Status::Cancelled, Some(130), "cancelled"),
            (Status::Succeeded, Some(0), "succeeded"),
            (Status::Interrupted, None, "interrupted"),
        ] {
            assert_eq!(status_word(status, code), word);
        }
        let shown = describe(&Record { exit_code: Some(8), ..record() }, Some(Status::Failed), &Style::default());
        assert!(shown.contains("status       timed out (exit code 8)\n"), "{shown}");
    }

    #[test]
    fn a_success_is_shown_with_its_place() {
        let mut record = record();
        record.exit_code = Some(0);
        record.published = Some(Publication { location: "artifacts/penguins/4f1c".into(), files: 2, bytes: 3_000 });
        insta::assert_snapshot!("show_success", describe(&record, Some(Status::Succeeded), &Style::default()));
    }

    #[test]
    fn a_failure_is_shown_with_its_card_and_a_foreign_card_is_passed_over() {
        let mut record = record();
        record.exit_code = Some(4);
        record.card = Some(json!({
            "step": "execute", "task": "fit", "exit": 1, "reason": "it failed", "last_lines": ["boom"],
            "diagnosis": null, "hint": null, "reproduce": "soopervisor .", "log_path": null,
        }));
        insta::assert_snapshot!("show_failure", describe(&record, Some(Status::Failed), &Style::default()));
        record.card = Some(json!({"step": "a step of the future"}));
        assert!(!describe(&record, Some(Status::Failed), &Style::default()).contains("future"));
    }

    #[test]
    fn why_a_project_cannot_run_is_shown_with_its_place_and_what_to_do() {
        let mut record = record();
        record.findings = vec![Finding {
            severity: "error".to_owned(),
            code: "pipeline/key".to_owned(),
            message: "there is no key `prodct`".to_owned(),
            file: Some("pipeline.yaml".to_owned()),
            line: Some(2),
            column: Some(3),
            help: Some("did you mean `product`?".to_owned()),
        }];
        record.more_findings = 4;
        let shown = describe(&record, Some(Status::Failed), &Style::default());
        let lines = "error        pipeline.yaml:2:3: there is no key `prodct`\n             help: did you mean `product`?\n             and 4 more\n";
        assert!(shown.contains(lines), "{shown}");
    }

    #[test]
    fn a_folder_with_a_newline_in_its_name_is_shown_in_one_line() {
        let mut record = record();
        record.path = "/home/ann/my\nrepo".to_owned();
        record.tasks[0].name = "lo\nad".to_owned();
        let shown = describe(&record, Some(Status::Succeeded), &Style::default());
        assert!(shown.contains("folder       /home/ann/my\\nrepo\n"), "{shown}");
        assert!(shown.contains("task         lo\\nad "), "{shown}");
    }

    #[test]
    fn the_log_of_a_run_that_goes_on_is_as_large_as_it_is_now() {
        let home = tempfile::tempdir().unwrap();
        let commit = "4f1c2d9a4f1c2d9a4f1c2d9a4f1c2d9a4f1c2d9a".parse().unwrap();
        let live = Runs::of(&Home::at(home.path())).create("2026-11-21T09:30:00Z".parse().unwrap(), &commit).unwrap();
        fs_err::write(live.folder().log(), "so far\n").unwrap();
        let mut record = record();
        assert_eq!(log_bytes(&record, live.folder()), 0, "of one that is over the record tells");
        record.ended_at = None;
        assert_eq!(log_bytes(&record, live.folder()), 7);
    }
}
