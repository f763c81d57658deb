//! A report as the template wants it: every value ready as Markdown, cut to its shape.

use askama::Template;

use super::escape::{address, block, code, prose, text};
use super::files::{self, Rows};
use super::render::{Pictures, SHOWN, Shape};
use super::report::{Finding, Preview, Report, Status, StepRow, TaskRow};
use crate::compare::mode;
use crate::run::card::Card;
use crate::run::event::Outcome;
use crate::run::figures::{bytes, count, duration};

/// Links that are shown.
const LINKS: usize = 6;

/// What `templates/comment/report.md` draws.
#[derive(Template)]
#[template(path = "comment/report.md")]
pub(super) struct View {
    marker: String,
    headline: String,
    facts: Vec<String>,
    policy: Option<String>,
    running: bool,
    card: Option<CardView>,
    findings: Rows,
    metrics: Rows,
    metrics_same: usize,
    pictures: Vec<String>,
    pictures_more: usize,
    to_see: Option<String>,
    changes: Rows,
    changes_title: String,
    metadata: usize,
    identical: Rows,
    environment: Rows,
    environment_title: String,
    tasks: Rows,
    tasks_title: String,
    steps: Rows,
    footer: String,
}

/// A failure card.
struct CardView {
    head: String,
    rest: Option<String>,
    place: Option<String>,
    diagnosis: Option<String>,
    hint: Option<String>,
    lines: Option<String>,
    reproduce: Option<String>,
}

impl View {
    /// As much of the report as the shape wants.
    pub(super) fn of(report: &Report, shape: Shape) -> Self {
        let comparison = report.comparison.as_ref();
        let (pictures, pictures_more) = previews(&report.previews, shape);
        let metadata = comparison.map_or(0, |c| c.files.iter().filter(|file| file.metadata).count());
        let environment = comparison.map(|c| files::environment(c, shape)).unwrap_or_default();
        let different = environment.rows.len() + environment.more;
        let identical = comparison.filter(|_| shape.identical).map(|c| {
            Rows::of(&c.identical, shape.rows, |path| format!("- {}", code(&path.to_string(), shape.longest)))
        });
        Self {
            marker: report.marker.as_ref().map(super::report::Marker::line).unwrap_or_default(),
            headline: headline(report),
            facts: facts(report, shape),
            policy: report.policy.as_ref().map(|policy| prose(policy, shape.longest)),
            running: matches!(report.status, Status::Queued | Status::Running),
            card: report.card.as_ref().map(|card| card_view(card, shape)),
            findings: findings(report, shape),
            metrics: comparison.map(|c| files::metrics(c, shape)).unwrap_or_default(),
            metrics_same: comparison.map_or(0, |c| c.metrics().map(|(_, values)| values.same).sum()),
            pictures,
            pictures_more,
            to_see: to_see(report),
            changes: comparison.map(|c| files::changes(c, shape)).unwrap_or_default(),
            changes_title: comparison.map(|c| c.counts().to_string()).unwrap_or_default(),
            metadata,
            identical: identical.unwrap_or_default(),
            environment,
            environment_title: count(different as u64, "difference"),
            tasks: Rows::of(&report.tasks, shape.rows, |task| task_row(task, shape)).and(report.more_tasks),
            tasks_title: tasks_title(report),
            steps: Rows::of(&report.steps, usize::MAX, |step| step_row(step, shape)),
            footer: footer(report, shape),
        }
    }
}

impl Rows {
    fn and(mut self, more: usize) -> Self {
        self.more += more;
        self
    }
}

fn headline(report: &Report) -> String {
    let (sign, word) = match report.status {
        Status::Queued => ("⏳", "waits for its turn".to_owned()),
        Status::Running => ("🔄", "is running".to_owned()),
        Status::Succeeded => ("✅", format!("succeeded in {}", duration(report.elapsed()))),
        Status::Failed => ("❌", format!("failed after {}", duration(report.elapsed()))),
        Status::Cancelled => ("🚫", "was cancelled".to_owned()),
    };
    let (project, commit) = (code(report.project.as_str(), 100), code(report.commit.short(), 10));
    format!("{sign} {project}: {} run of {commit} {word}", mode(report.mode))
}

/// Short facts below the headline.
fn facts(report: &Report, shape: Shape) -> Vec<String> {
    let mut facts = Vec::new();
    if let Some(comparison) = &report.comparison {
        let before = &comparison.before;
        let branch = before.branch.as_ref().map(|branch| format!(" ({})", code(branch, shape.longest)));
        let same = if comparison.is_same() { "the same outputs as" } else { "compared with" };
        let special = report.compared.as_ref().map(|words| format!(", {}", prose(words, shape.longest)));
        facts.push(format!(
            "{same} {}{}{}",
            code(before.commit.short(), 10),
            branch.unwrap_or_default(),
            special.unwrap_or_default()
        ));
    } else if let Some(why) = &report.no_base {
        facts.push(format!("not compared: {}", prose(why, shape.longest)));
    }
    if let Some(published) = &report.published {
        facts.push(format!("{}, {}", count(published.files, "file"), bytes(published.bytes)));
        if let Some(note) = &published.note {
            facts.push(prose(note, shape.longest));
        }
    }
    let link = |link: &super::Link| {
        let shown = text(&link.text, shape.longest);
        address(&link.address).map_or_else(
            || format!("{shown}: {}", code(&link.address, shape.longest)),
            |address| format!("[{shown}]({address})"),
        )
    };
    facts.extend(report.links.iter().take(LINKS).map(link));
    facts
}

fn card_view(card: &Card, shape: Shape) -> CardView {
    let task = card.task.as_ref().map(|task| format!(", task {}", code(task, shape.longest))).unwrap_or_default();
    let reason = card.reason.trim();
    let (first, rest) = reason.split_once('\n').unwrap_or((reason, ""));
    let rest: Vec<String> =
        rest.lines().filter(|line| !line.trim().is_empty()).take(shape.lines).map(str::to_owned).collect();
    let told = card.telling_lines();
    let last = &told[told.len().saturating_sub(shape.lines)..];
    let lines = (!last.is_empty()).then(|| block(last, "text", shape.longest));
    // A command that is cut is worse than none.
    let command = card.reproduce.as_ref().filter(|command| command.chars().count() <= shape.longest.max(200));
    CardView {
        head: format!("Failed in step {}{task}: {}", card.step.word(), prose(first, shape.longest)),
        rest: (!rest.is_empty()).then(|| block(&rest, "text", shape.longest)),
        place: card.place.as_ref().map(|text| code(text, shape.longest)),
        diagnosis: card.looks_like().map(|text| prose(text, shape.longest)),
        hint: card.hint.as_ref().map(|text| prose(text, shape.longest)),
        lines,
        reproduce: command.map(|command| block(std::slice::from_ref(command), "sh", usize::MAX)),
    }
}

fn findings(report: &Report, shape: Shape) -> Rows {
    let row = |finding: &Finding| {
        let sign = if finding.error { "❌" } else { "⚠️" };
        let place = finding.place.as_ref().map(|place| format!("{}: ", code(place, shape.longest)));
        let help = finding.help.as_ref().map(|help| format!(" ({})", prose(help, shape.longest)));
        let message = prose(&finding.message, shape.longest);
        format!("- {sign} {}{message}{}", place.unwrap_or_default(), help.unwrap_or_default())
    };
    Rows::of(&report.findings, shape.rows, row).and(report.more_findings)
}

/// Blocks that show pictures or name them, and how many are not shown.
fn previews(all: &[Preview], shape: Shape) -> (Vec<String>, usize) {
    match shape.pictures {
        Pictures::Counted => (Vec::new(), all.len()),
        Pictures::Named => {
            let rows = Rows::of(all, shape.rows, |preview| preview_name(preview, shape));
            (rows.rows, rows.more)
        }
        Pictures::Shown => {
            let (seen, others) = all.split_at(all.len().min(shape.shown));
            let mut rows: Vec<String> = seen.iter().map(|preview| preview_shown(preview, shape)).collect();
            let named = Rows::of(others, SHOWN - shape.shown, |preview| preview_name(preview, shape));
            rows.extend(named.rows);
            (rows, named.more)
        }
    }
}

/// Where a storage has no address that a browser opens: what shows the pictures.
fn to_see(report: &Report) -> Option<String> {
    report.previews.iter().find(|preview| preview.after.as_ref().and_then(|side| address(side)).is_none())?;
    let command = if let Some(comparison) = &report.comparison {
        let (before, after) = (&comparison.before.folder, &comparison.after.folder);
        format!("soopervisor diff {before} {after} --storage … --html page.html")
    } else {
        let place = report.published.as_ref().map_or("", |published| published.location.as_str());
        let folder = place.rsplit('/').next().filter(|name| name.starts_with(report.commit.as_str()));
        format!("soopervisor download {} --storage …", folder.unwrap_or(report.commit.as_str()))
    };
    // A command that is cut is worse than none.
    (command.chars().count() <= 300).then(|| format!("To see them: {}", code(&command, 300)))
}

fn preview_name(preview: &Preview, shape: Shape) -> String {
    format!("- {}, {}", code(&preview.name, shape.longest), bytes(preview.size))
}

fn preview_shown(preview: &Preview, shape: Shape) -> String {
    let name = code(&preview.name, shape.longest);
    let alternative = text(&preview.name, 100);
    let picture = |side: &Option<String>| side.as_ref().and_then(|side| address(side));
    let seen = |address: &str, when: &str| format!("[![{alternative}, {when}]({address})]({address})");
    match (picture(&preview.before), picture(&preview.after)) {
        (Some(before), Some(after)) => format!(
            "{name}\n\n| before | after |\n|---|---|\n| {} | {} |\n",
            seen(&before, "before"),
            seen(&after, "after")
        ),
        (None, Some(after)) => format!("{name}\n\n{}\n", seen(&after, "after")),
        _ => preview_name(preview, shape),
    }
}

fn task_row(task: &TaskRow, shape: Shape) -> String {
    let from = task.from.as_ref().map(|commit| format!(" from {}", code(commit.short(), 10))).unwrap_or_default();
    let how = match task.outcome {
        None => "🔄 running".to_owned(),
        Some(Outcome::Done) => "executed".to_owned(),
        Some(Outcome::Reused) => format!("reused{from}"),
        Some(Outcome::Failed) => "❌ failed".to_owned(),
        Some(Outcome::Cancelled) => "cancelled".to_owned(),
    };
    let time = task.elapsed.map(duration).unwrap_or_default();
    format!("| {} | {how} | {time} | {} |", code(&task.name, shape.longest), prose(&task.reason, shape.longest))
}

fn tasks_title(report: &Report) -> String {
    let of = |outcome| report.tasks.iter().filter(|task| task.outcome == Some(outcome)).count();
    let parts = [
        (of(Outcome::Done), "executed"),
        (of(Outcome::Reused), "reused"),
        (of(Outcome::Failed), "failed"),
        (of(Outcome::Cancelled), "cancelled"),
        (report.tasks.iter().filter(|task| task.outcome.is_none()).count(), "running"),
    ];
    let parts = parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
    parts.collect::<Vec<_>>().join(", ")
}

fn step_row(step: &StepRow, shape: Shape) -> String {
    let sign = match step.outcome {
        None => "🔄",
        Some(Outcome::Done | Outcome::Reused) => "✅",
        Some(Outcome::Failed) => "❌",
        Some(Outcome::Cancelled) => "🚫",
    };
    let time = step.elapsed.map(duration).unwrap_or_default();
    let reused = if step.outcome == Some(Outcome::Reused) { "reused" } else { "" };
    let detail = prose(step.detail.lines().next().unwrap_or_default(), shape.longest.min(120));
    let detail = if detail.contains("reused") || reused.is_empty() { detail } else { format!("{reused}; {detail}") };
    format!("| {sign} | {} | {time} | {detail} |", step.step.word())
}

fn footer(report: &Report, shape: Shape) -> String {
    let run = report.run.as_ref().map(|run| format!("run {}", code(run.as_str(), 64)));
    let place = report.published.as_ref().map(|published| code(&published.location, shape.longest));
    [run, place].into_iter().flatten().collect::<Vec<_>>().join(" · ")
}
