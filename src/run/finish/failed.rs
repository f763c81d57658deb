//! The failure card: where in the user's own code it failed, what it looks like, what to do and to type next.

use std::path::Path;

use super::{Facts, Kept, Trouble};
use crate::logs::diagnose::Diagnosis;
use crate::logs::{Trace, diagnose, trace};
use crate::plan::OnConflict;
use crate::run::card::Card;
use crate::run::ending::Ending;
use crate::run::event::{Outcome, Step};
use crate::run::request::RunRequest;
use crate::run::stop::Stop;
use crate::run::unimported::Modules;
use crate::run::{again, reproduce};

/// How many lines a card has of the end of the output.
const CARD_LINES: usize = 20;
/// How many of the last lines may tell a cause: older ones were mostly survived.
const RECENT: usize = 200;

/// What the end of the output looks like.
pub(super) fn recent(lines: &[String]) -> Option<Diagnosis> {
    diagnose(lines[lines.len().saturating_sub(RECENT)..].iter().map(String::as_str))
}

pub(super) fn card(stop: &Stop, step: Option<Step>, kept: &Kept, facts: &Facts<'_>) -> Card {
    let step = step.unwrap_or(Step::Report);
    let trouble = kept.ran.as_ref().filter(|_| step == Step::Execute);
    let reproduce = facts.live.folder().path().join(reproduce::FILE);
    // An asked-for end needs no guess about its cause.
    let asked = matches!(stop.ending, Ending::Cancelled | Ending::TimedOut);
    let told = trouble.filter(|_| !asked);
    let repeated = trouble.filter(|_| is_repeatable(stop) && reproduce.is_file());
    let trace = told.and_then(|trouble| trace(&trouble.last_lines));
    let looks = told.and_then(|trouble| looks(trouble, trace.as_ref(), kept.modules.as_ref(), &reproduce));
    let hint = looks.as_ref().filter(|looks| !looks.is_bare() || !is_placed(trace.as_ref())).map(|looks| &looks.hint);
    let folder = facts.live.folder();
    // What it made until then is not where it belongs.
    let made = kept.has_run() && matches!(step, Step::Execute | Step::Collect | Step::Publish);
    Card {
        step,
        task: trouble.and_then(|trouble| task(trouble, trace.as_ref(), looks.as_ref(), kept)),
        // Of a script that was stopped, the code says only that it was.
        exit: told.map(|trouble| trouble.code),
        reason: stop.line(),
        place: trace.as_ref().and_then(|trace| trace.place.clone()),
        trace: trace.map(|trace| trace.lines).unwrap_or_default(),
        last_lines: trouble.map(|trouble| last_lines(trouble).to_vec()).unwrap_or_default(),
        diagnosis: looks.as_ref().map(|looks| looks.message.clone()),
        hint: stop.help.clone().or_else(|| hint.cloned()),
        reproduce: repeated.map(|_| reproduce::command(&reproduce)),
        log_path: Some(folder.log()).filter(|path| path.is_file()),
        log_cut: kept.ran.as_ref().and_then(|trouble| trouble.log_cut.clone()),
        kept: made.then(|| folder.path().to_owned()),
        again: again(stop, kept, facts).filter(|_| made && step == Step::Publish),
    }
}

/// Whether somebody may want to see the same again: a run that took too long is looked into like any other, and who
/// stopped one knows why.
fn is_repeatable(stop: &Stop) -> bool {
    stop.ending != Ending::Cancelled
}

fn is_placed(trace: Option<&Trace>) -> bool {
    trace.is_some_and(|trace| trace.place.is_some())
}

/// The task that failed; where none did, the one that was at work.
fn task(trouble: &Trouble, trace: Option<&Trace>, looks: Option<&Diagnosis>, kept: &Kept) -> Option<String> {
    let failed = || kept.tasks.iter().find(|task| task.outcome == Outcome::Failed).map(|task| task.name.clone());
    let told = trace.and_then(|trace| trace.task.clone()).or_else(|| looks.and_then(|looks| looks.task.clone()));
    told.or_else(failed).or_else(|| trouble.running.clone())
}

fn last_lines(trouble: &Trouble) -> &[String] {
    &trouble.last_lines[trouble.last_lines.len().saturating_sub(CARD_LINES)..]
}

/// What it looks like: by what is said of the task that is shown, else by the last lines. A cause that Ploomber keeps to
/// itself is looked for; where it is not found, the command that shows it is named.
fn looks(trouble: &Trouble, trace: Option<&Trace>, modules: Option<&Modules>, reproduce: &Path) -> Option<Diagnosis> {
    let said = trace.and_then(|trace| diagnose(trace.said.iter().map(String::as_str)));
    let looks = said.or_else(|| recent(&trouble.last_lines))?;
    let Some(module) = looks.unimported.clone() else { return Some(looks) };
    if let Some((missing, file)) = modules.and_then(|modules| modules.missing(&module)) {
        return Some(looks.lacking(&missing, &file));
    }
    let hint = format!("`{} python -c 'import {module}'` shows why", reproduce::command(reproduce));
    Some(Diagnosis { hint, ..looks })
}

/// The command that may publish what this run could not, wherever it is typed.
fn again(stop: &Stop, kept: &Kept, facts: &Facts<'_>) -> Option<String> {
    let request = facts.request;
    let on_conflict = if stop.taken { Some(OnConflict::NewRun) } else { request.on_conflict };
    let path = facts.host.current_dir.join(&request.path).components().collect();
    let storage = request.storage.as_ref().map(|_| kept.record.storage.clone());
    again::command(&RunRequest { path, storage, on_conflict, ..request.clone() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::logs::Masker;
    use crate::plan::Mode;
    use crate::run::pipeline::TaskSeen;
    use crate::store::Record;

    fn trouble(text: &str, running: Option<&str>) -> Trouble {
        let last_lines = text.lines().map(str::to_owned).collect();
        Trouble { code: 1, last_lines, running: running.map(str::to_owned), log_cut: None }
    }

    fn printed(name: &str) -> Trouble {
        let path = format!("{}/tests/fixtures/ploomber-output/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        trouble(&fs_err::read_to_string(path).unwrap(), None)
    }

    #[test]
    fn what_a_failure_looks_like_is_read_of_the_task_that_is_shown() {
        let trouble = printed("several");
        let trace = trace(&trouble.last_lines);
        let looks = looks(&trouble, trace.as_ref(), None, Path::new("x")).unwrap();
        assert_eq!((looks.message.as_str(), looks.is_bare()), ("KeyError: 'age'", true));
        assert!(is_placed(trace.as_ref()));
        assert_eq!(trace.unwrap().lines[0], "tasks.py:11 in load");
    }

    #[test]
    fn where_no_task_failed_the_one_that_was_at_work_is_named() {
        let revision = "4f1c2d9a4f1c2d9a4f1c2d9a4f1c2d9a4f1c2d9a".parse().unwrap();
        let (id, project) = ("20261121-093000-4f1c2d9a-x7k2".parse().unwrap(), "penguins".parse().unwrap());
        let record = Record::begin(id, project, revision, Mode::Full, Timestamp::UNIX_EPOCH);
        let masker = Masker::none();
        let mut kept = Kept { record, masker, tasks: Vec::new(), branch: None, ran: None, modules: None };
        let stopped = trouble("", Some("fit"));
        assert_eq!(task(&stopped, None, None, &kept).as_deref(), Some("fit"));
        let elapsed = Duration::from_secs(1);
        let (name, reason) = ("load".to_owned(), String::new());
        kept.tasks.push(TaskSeen { name, outcome: Outcome::Failed, elapsed, reason });
        assert_eq!(task(&stopped, None, None, &kept).as_deref(), Some("load"));
    }

    #[test]
    fn what_took_too_long_is_repeated_like_a_failure_and_what_was_stopped_is_not() {
        for (ending, repeated) in [(Ending::TimedOut, true), (Ending::ScriptFailed, true), (Ending::Cancelled, false)] {
            assert_eq!(is_repeatable(&Stop::new(ending, "it ended")), repeated, "{ending:?}");
        }
    }

    #[test]
    fn where_no_place_is_found_the_last_lines_are_shown() {
        let text = (0..50).map(|number| format!("line {number}\n")).collect::<Vec<_>>().concat();
        let trouble = trouble(&text, Some("fit"));
        assert!(trace(&trouble.last_lines).is_none());
        let shown = last_lines(&trouble);
        assert_eq!((shown.len(), shown[0].as_str(), shown[19].as_str()), (CARD_LINES, "line 30", "line 49"));
    }

    #[test]
    fn causes_far_above_the_end_were_survived() {
        let text = format!("MemoryError\n{}", "working\n".repeat(RECENT));
        assert_eq!(recent(&trouble(&text, None).last_lines), None);
        let text = format!("{text}ValueError: no\n");
        assert_eq!(recent(&trouble(&text, None).last_lines).unwrap().message, "ValueError: no");
    }
}
