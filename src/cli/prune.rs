//! `soopervisor prune`: old commits' outputs go from the storage, after a plan that can be looked at first.

use std::fmt::Write as _;
use std::io::{BufRead as _, IsTerminal as _};

use serde_json::json;

use super::args;
use super::console::Console;
use super::exit::Exit;
use super::failure::Failure;
use super::seam::Pruning;
use crate::report::bytes;
use crate::run::figures;
use crate::storage::Unfinished;
use crate::storage::prune::{Candidate, OF_OTHERS, Plan, Report};

pub(super) fn execute(args: &args::Prune, console: Console) -> Result<Exit, Failure> {
    if args.keep_last.is_none() && args.age().is_none() && args.keep_size.is_none() {
        let failure = Failure::new(Exit::Usage, "nothing says what may go");
        return Err(failure.help("say what stays: `--keep-last NUMBER`, `--keep-for TIME` or `--keep-size SIZE`"));
    }
    let pruning = Pruning::open(args)?;
    let plan = pruning.plan()?;
    let wanted = plan.is_empty() || args.dry_run || args.yes || asked(&plan, args.json)?;
    let report = if plan.is_empty() || args.dry_run || !wanted { None } else { Some(pruning.remove(&plan)?) };
    if args.json {
        Console::answer(&format!("{}\n", document(&plan, report.as_ref())));
    } else if console.is_quiet() {
        Console::note(&report.as_ref().map(left).unwrap_or_default());
    } else {
        Console::answer(&tell(&plan, report.as_ref(), args.dry_run));
    }
    for (folder, why) in &plan.doubtful {
        let line = format!("left alone: `{folder}`, because its manifest is not to be believed: {why}\n");
        Console::note(&line);
    }
    Ok(Exit::Ok)
}

/// What was to go and is still there: all that is told where little is to be said.
fn left(report: &Report) -> String {
    let mut text = String::new();
    for (one, why) in &report.left {
        text += &format!("left alone: `{}`, which is incomplete: {why}\n", one.folder);
    }
    for (one, files) in &report.spared {
        text += &format!("left alone: {}", since(one, *files));
    }
    text
}

/// What keeps a folder that the plan let go.
fn since(one: &Candidate, files: usize) -> String {
    let files = figures::count(files as u64, "file");
    format!(
        "{} holds {files} that its manifest does not name, put there since the plan was made: look at them, then prune \
         again, `--with-foreign` to remove all of it\n",
        one.folder
    )
}

/// Shows the plan and asks on a terminal; elsewhere nothing is removed without `--yes`.
fn asked(plan: &Plan, json: bool) -> Result<bool, Failure> {
    if json || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        let failure =
            Failure::new(Exit::Usage, format!("{} would be removed", folders(plan.go.len() + plan.unfinished.len())));
        return Err(failure.help("look at them with `--dry-run`, and remove them with `--yes`"));
    }
    Console::note(&tell(plan, None, true));
    Ok(said_yes())
}

/// Asks; silence is no.
pub(super) fn said_yes() -> bool {
    Console::note("remove them? [y/N] ");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

fn folders(count: usize) -> String {
    if count == 1 { "1 folder".to_owned() } else { format!("{count} folders") }
}

fn tell(plan: &Plan, report: Option<&Report>, dry_run: bool) -> String {
    let mut text = String::new();
    let width = width(plan, report);
    // Writing to a string does not fail.
    let mut line = |word: &str, one: &Candidate| {
        let branch = one.branch.as_deref().unwrap_or("-");
        let when = one.ended.strftime("%Y-%m-%d");
        let _ = writeln!(text, "{word:<width$}  {}  {when}  {:>9}  {branch}", one.folder, bytes(one.bytes));
    };
    let gone: &[Candidate] = report.map_or(&plan.go, |report| &report.removed);
    let (word, sum) = match (report, dry_run) {
        (Some(_), _) => ("removed", "removed"),
        (None, true) => ("would remove", "would be removed"),
        (None, false) if plan.is_empty() => ("kept", "to remove"),
        (None, false) => ("kept", "kept: nobody said yes"),
    };
    for one in gone {
        line(word, one);
    }
    for (one, reason) in &plan.stay {
        line(&format!("stays ({reason})"), one);
    }
    let spared = report.map(|report| report.spared.as_slice()).unwrap_or_default();
    for (one, _) in spared {
        line(&format!("stays ({OF_OTHERS})"), one);
    }
    let total: u64 = gone.iter().map(|one| one.bytes).sum();
    let all = folders(gone.len() + plan.stay.len() + spared.len());
    let _ = writeln!(text, "{} of {all}, {} {sum}", gone.len(), bytes(total));
    incomplete(&mut text, plan, report, word, sum);
    foreign(&mut text, plan);
    for (one, files) in spared {
        text += &since(one, *files);
    }
    let some = |report: &Report| !report.removed.is_empty() || !report.swept.is_empty();
    if report.is_some_and(|report| !report.freed && some(report)) {
        text += "the drive keeps them in its bin: the room is free when that is emptied\n";
    }
    text
}

/// How wide the first column is.
fn width(plan: &Plan, report: Option<&Report>) -> usize {
    let spared = report.into_iter().flat_map(|report| report.spared.iter().map(|_| OF_OTHERS));
    let stays = plan.stay.iter().map(|(_, reason)| *reason).chain(spared).map(|reason| "stays ()".len() + reason.len());
    stays.chain(["would remove".len()]).max().unwrap_or_default()
}

/// What broken-off publishes left, apart from what was published.
fn incomplete(text: &mut String, plan: &Plan, report: Option<&Report>, word: &str, sum: &str) {
    let gone: &[Unfinished] = report.map_or(&plan.unfinished, |report| &report.swept);
    let width = width(plan, report);
    let mut line = |word: &str, one: &Unfinished, why: &str| {
        let touched = one.touched.map_or_else(|| "-".to_owned(), |at| at.strftime("%Y-%m-%d").to_string());
        let files = figures::count(one.files as u64, "file");
        let _ = writeln!(
            text,
            "{word:<width$}  {}  {touched:<10}  {:>9}  incomplete, {files}{why}",
            one.folder,
            bytes(one.bytes)
        );
    };
    for one in gone {
        line(word, one, "");
    }
    for (one, why) in &plan.under_way {
        line("stays", one, &format!(": {why}"));
    }
    for (one, why) in report.map(|report| &report.left).into_iter().flatten() {
        line("stays", one, &format!(": {why}"));
    }
    if !gone.is_empty() {
        let total: u64 = gone.iter().map(|one| one.bytes).sum();
        let _ = writeln!(text, "{} incomplete, {} {sum}", folders(gone.len()), bytes(total));
    }
}

/// Files that go with a folder, or keep it: somebody put them there.
fn foreign(text: &mut String, plan: &Plan) {
    for (folder, files) in &plan.foreign {
        let files = figures::count(*files as u64, "file");
        let goes = plan.go.iter().any(|one| one.folder == *folder);
        let what = if goes { "all of it goes" } else { "it stays without `--with-foreign`" };
        let _ = writeln!(text, "{folder} holds {files} that its manifest does not name: {what}");
    }
}

fn document(plan: &Plan, report: Option<&Report>) -> serde_json::Value {
    let one = |one: &Candidate| {
        json!({
            "folder": one.folder, "ended": one.ended.to_string(), "branch": one.branch,
            "bytes": one.bytes, "files": one.files,
        })
    };
    let part = |one: &Unfinished| {
        json!({
            "folder": one.folder, "touched": one.touched.map(|at| at.to_string()),
            "bytes": one.bytes, "files": one.files,
        })
    };
    let left = plan.under_way.iter().map(|(one, why)| (one, (*why).to_owned()));
    let left =
        left.chain(report.into_iter().flat_map(|report| report.left.iter().map(|(one, why)| (one, why.clone()))));
    let spared = || report.into_iter().flat_map(|report| &report.spared);
    let stay = plan.stay.iter().map(|(kept, why)| (kept, *why)).chain(spared().map(|(kept, _)| (kept, OF_OTHERS)));
    let stay: Vec<_> = stay.map(|(kept, why)| json!({"reason": why, "folder": kept.folder})).collect();
    let foreign = plan.foreign.iter().map(|(folder, files)| (folder, *files));
    let foreign = foreign.chain(spared().map(|(kept, files)| (&kept.folder, *files)));
    let foreign = foreign.map(|(folder, files)| json!({"folder": folder, "files": files}));
    json!({
        "foreign": foreign.collect::<Vec<_>>(),
        "would_remove": plan.go.iter().map(one).collect::<Vec<_>>(),
        "stay": stay,
        "removed": report.map(|report| report.removed.iter().map(one).collect::<Vec<_>>()),
        "incomplete": {
            "would_remove": plan.unfinished.iter().map(part).collect::<Vec<_>>(),
            "stay": left.map(|(one, why)| json!({"folder": one.folder, "why": why})).collect::<Vec<_>>(),
            "removed": report.map(|report| report.swept.iter().map(part).collect::<Vec<_>>()),
        },
        "freed": report.map(|report| report.freed),
        "doubtful": plan.doubtful.iter().map(|(folder, why)| json!({"folder": folder, "why": why})).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(digit: char, branch: Option<&str>, bytes: u64) -> Candidate {
        let sha: String = std::iter::repeat_n(digit, 40).collect();
        let ended = "2026-11-28T10:00:00Z".parse().unwrap();
        Candidate { folder: sha.parse().unwrap(), ended, branch: branch.map(str::to_owned), bytes, files: 3 }
    }

    fn unfinished(digit: char, touched: Option<&str>) -> Unfinished {
        let folder = std::iter::repeat_n(digit, 40).collect::<String>().parse().unwrap();
        let touched = touched.map(|at| at.parse().unwrap());
        Unfinished { folder, files: 2, unproven: 0, bytes: 1_500, touched, begun: false, busy: None }
    }

    #[test]
    fn says_what_goes_what_stays_and_why() {
        let plan = Plan {
            stay: vec![(candidate('9', Some("main"), 2_000_000), "newest"), (candidate('8', None, 1), "keep-last")],
            go: vec![candidate('1', Some("feat/x"), 12_300_000), candidate('2', None, 500)],
            doubtful: Vec::new(),
            unfinished: vec![unfinished('3', Some("2026-11-01T10:00:00Z"))],
            under_way: vec![(unfinished('4', None), "this storage does not tell when it was written")],
            foreign: Vec::new(),
            with_foreign: false,
        };
        insta::assert_snapshot!("prune_plan", tell(&plan, None, true));
        let report = Report {
            removed: plan.go.clone(),
            swept: Vec::new(),
            left: vec![(plan.unfinished[0].clone(), "somebody is writing to it".to_owned())],
            freed: false,
            spared: Vec::new(),
        };
        let text = tell(&plan, Some(&report), false);
        assert!(text.contains("removed") && text.contains("bin"), "{text}");
        assert!(text.contains("stays              3333") && text.contains("somebody is writing"), "{text}");
        let quiet = left(&report);
        assert!(quiet.starts_with("left alone: `3333") && quiet.ends_with(": somebody is writing to it\n"), "{quiet}");
        assert_eq!(left(&Report { left: Vec::new(), ..report.clone() }), "");
        let told = document(&plan, Some(&report));
        assert_eq!(told["incomplete"]["stay"][1]["why"], "somebody is writing to it");
        assert_eq!(document(&plan, None)["would_remove"][0]["bytes"], 12_300_000);
    }

    #[test]
    fn a_folder_that_somebody_put_files_into_at_the_last_moment_is_told_as_one_that_stays() {
        let (goes, stays) = (candidate('1', None, 500), candidate('2', None, 700));
        let plan = Plan { go: vec![goes.clone(), stays.clone()], ..Plan::default() };
        let report = Report { removed: vec![goes], spared: vec![(stays, 1)], freed: true, ..Report::default() };
        let text = tell(&plan, Some(&report), false);
        assert!(text.contains(&format!("{:<23}  1111", "removed")), "{text}");
        assert!(text.contains("stays (files of others)  2222") && text.contains("1 of 2 folders"), "{text}");
        assert!(text.contains("2222 holds 1 file that its manifest does not name, put there since"), "{text}");
        assert!(left(&report).starts_with("left alone: 2222"), "{}", left(&report));
        let told = document(&plan, Some(&report));
        assert_eq!((&told["stay"][0]["reason"], &told["foreign"][0]["files"]), (&json!("files of others"), &json!(1)));
        assert_eq!(told["removed"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn files_of_others_are_told_with_what_becomes_of_their_folder() {
        let (goes, stays) = (candidate('1', None, 500), candidate('2', None, 500));
        let foreign = vec![(goes.folder.clone(), 1), (stays.folder.clone(), 3)];
        let plan = Plan { go: vec![goes], stay: vec![(stays, "files of others")], foreign, ..Plan::default() };
        let text = tell(&plan, None, true);
        assert!(text.contains("1111 holds 1 file that its manifest does not name: all of it goes\n"), "{text}");
        assert!(text.contains("2222 holds 3 files") && text.contains("stays without `--with-foreign`\n"), "{text}");
        assert_eq!(document(&plan, None)["foreign"][1]["files"], 3);
    }
}
