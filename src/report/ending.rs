//! The last words of a run: the failure card, or where the outputs are and what each step took.
//!
//! Lines of text; terminal, plain lines and GitHub share them.

use std::time::Duration;

use unicode_width::UnicodeWidthStr as _;

use super::Style;
use super::lines::{escaped, one_line};
use crate::run::card::{Card, Published};
use crate::run::event::{Outcome, RunEvent, Step};
use crate::run::figures::{bytes, count, duration};

/// What must be remembered until the end.
#[derive(Debug, Default)]
pub(super) struct Tally {
    steps: Vec<(Step, Outcome, Duration)>,
    published: Option<Published>,
}

impl Tally {
    /// Remembers what the ending needs.
    pub(super) fn take(&mut self, event: &RunEvent) {
        match event {
            RunEvent::StepEnded { step, outcome, elapsed, .. } => self.steps.push((*step, *outcome, *elapsed)),
            RunEvent::Published(published) => self.published = Some(published.clone()),
            _ => {}
        }
    }

    /// The lines after a run that ended.
    pub(super) fn ending(&self, exit_code: u8, summary: &str, style: &Style) -> Vec<String> {
        self.ending_within(exit_code, summary, style, usize::MAX)
    }

    /// The lines in so many columns: what may be copied stays whole, and so does the last one.
    pub(super) fn ending_within(&self, exit_code: u8, summary: &str, style: &Style, columns: usize) -> Vec<String> {
        let paint = Paint(style.color);
        let mut lines = Vec::new();
        if let Some(published) = self.published.as_ref().filter(|_| exit_code == 0) {
            lines.push(format!("published  {}", paint.bold(&escaped(&published.location))));
            let size = bytes(published.bytes);
            lines.push(format!("           {}, {size}", count(published.files, "file")));
            if let Some(note) = &published.note {
                lines.push(format!("           {}", one_line(note)));
            }
        }
        if !self.steps.is_empty() {
            // A step and its time stay on one line.
            let kept = |text: String| text.replace(' ', "\u{a0}");
            let steps =
                self.steps.iter().map(|(step, _, elapsed)| kept(format!("{} {}", word(*step), duration(*elapsed))));
            let total = kept(duration(self.steps.iter().map(|(_, _, elapsed)| *elapsed).sum()));
            let steps = steps.collect::<Vec<_>>().join(if style.unicode { "\u{a0}· " } else { ", " });
            let took = folded(&format!("took       {total} ({steps})"), "           ", columns.max(20));
            lines.extend(took.into_iter().map(|line| line.replace('\u{a0}', " ")));
        }
        let summary = one_line(summary);
        lines.push(if exit_code == 0 { paint.green(&summary) } else { paint.red(&summary) });
        lines
    }
}

/// The card as lines, for `show` as well.
pub fn card(card: &Card, style: &Style) -> Vec<String> {
    card_within(card, style, usize::MAX)
}

/// The card as lines of so many columns: words stay whole, and so does what is to be copied.
pub(super) fn card_within(card: &Card, style: &Style, columns: usize) -> Vec<String> {
    let (paint, columns) = (Paint(style.color), columns.max(20));
    let task = card.task.as_ref().map(|task| format!(", task `{}`", one_line(task))).unwrap_or_default();
    let told = |code: &i64| !card.reason.contains(&code.to_string());
    let exit = card.exit.filter(told).map(|code| format!(" (exit code {code})")).unwrap_or_default();
    let head = format!("failed in step {}{task}: {}{exit}", word(card.step), one_line(&card.reason));
    let mut lines: Vec<String> = folded(&head, "  ", columns).iter().map(|line| paint.red(line)).collect();
    // A solver's or an installer's words are many lines, and the later ones say what to do.
    let rest = card.reason.trim_start().lines().skip(1).map(str::trim_end).filter(|line| !line.is_empty());
    lines.extend(rest.flat_map(|line| folded(&format!("  {}", shown(line, style)), "    ", columns)));
    let explained = |name: &str, text: Option<&str>| {
        let Some(text) = text else { return Vec::new() };
        let mut text = folded(&format!("{name:<10} {}", one_line(text)), "           ", columns);
        text[0].replace_range(..10, &paint.bold(&format!("{name:<10}")));
        text
    };
    lines.extend(explained("at", card.place.as_deref()));
    let bar = if style.unicode { "│" } else { "|" };
    lines.extend(card.telling_lines().iter().map(|line| format!("  {bar} {}", shown(line, style))));
    lines.extend(explained("looks like", card.looks_like()));
    lines.extend(explained("help", card.hint.as_deref()));
    let mut named = |name: &str, text: Option<String>| {
        if let Some(text) = text {
            lines.push(format!("{} {text}", paint.bold(&format!("{name:<10}"))));
        }
    };
    named("reproduce", card.reproduce.as_deref().map(one_line));
    let kept = |folder: &std::path::PathBuf| {
        format!("what was made is in work/ and output/ of {} for a week", escaped(&folder.to_string_lossy()))
    };
    named("kept", card.kept.as_ref().map(kept));
    named("again", card.again.as_deref().map(one_line));
    named("log", card.log_path.as_ref().map(|path| one_line(&path.to_string_lossy())));
    named("", card.log_cut.as_ref().map(|cut| format!("not whole: {}", one_line(cut))));
    lines
}

/// The card as one text with line ends.
pub fn draw_card(data: &Card, style: &Style) -> String {
    card(data, style).iter().fold(String::new(), |text, line| text + line + "\n")
}

/// A line, broken between words where it is wider than that; later lines begin with `indent`. A word that is wider, as a
/// path or a hash may be, stays whole.
pub(super) fn folded(line: &str, indent: &str, columns: usize) -> Vec<String> {
    if width(line) <= columns {
        return vec![line.to_owned()];
    }
    let mut lines = Vec::new();
    // What a line begins with is no gap between words.
    let start = line.len() - line.trim_start().len();
    let (mut current, mut empty) = (line[..start].to_owned(), true);
    for word in line[start..].split(' ') {
        if !empty && width(&current) + 1 + width(word) > columns {
            lines.push(std::mem::replace(&mut current, indent.to_owned()));
            empty = true;
        }
        if !empty {
            current.push(' ');
        }
        current.push_str(word);
        empty = false;
    }
    lines.push(current);
    lines
}

/// Columns of a text in which no colours but our own are, which take none.
pub(super) fn width(text: &str) -> usize {
    let mut pieces = text.split("\x1b[");
    let first = pieces.next().unwrap_or_default().width();
    first + pieces.map(|piece| piece.split_once('m').map_or(0, |(_, rest)| rest.width())).sum::<usize>()
}

/// A line of output, as it would stand on a terminal: only what was last written over it.
fn shown(line: &str, style: &Style) -> String {
    let mut kept = Vec::new();
    super::Cleaner::new(style.color).push(line.as_bytes(), &mut kept);
    let text = String::from_utf8_lossy(&kept).into_owned();
    let last = text.trim_end().rsplit('\r').next().unwrap_or_default().to_owned();
    if style.color && last.contains('\u{1b}') { last + "\u{1b}[0m" } else { last }
}

/// A line that is shown however little is to be said.
pub(super) fn warning(text: &str, style: &Style) -> String {
    format!("{} {}", Paint(style.color).bold(&format!("{:<10}", "warning")), one_line(text))
}

/// A step's name.
pub(super) fn word(step: Step) -> &'static str {
    step.word()
}

/// An outcome's name.
pub(super) fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Reused => "reused",
        Outcome::Failed => "failed",
        Outcome::Cancelled => "cancelled",
    }
}

/// A mark before an ended step or task.
pub(super) fn mark(outcome: Outcome, style: &Style) -> String {
    let paint = Paint(style.color);
    match (outcome, style.unicode) {
        (Outcome::Done | Outcome::Reused, true) => paint.green("✓"),
        (Outcome::Done | Outcome::Reused, false) => paint.green("ok"),
        (Outcome::Failed, true) => paint.red("✗"),
        (Outcome::Failed, false) => paint.red("failed"),
        (Outcome::Cancelled, true) => paint.red("■"),
        (Outcome::Cancelled, false) => paint.red("cancelled"),
    }
}

/// Colour, or none.
#[derive(Clone, Copy)]
pub(super) struct Paint(pub(super) bool);

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    pub(super) fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(super) fn red(self, text: &str) -> String {
        self.with("1;31", text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_folded_between_words_and_what_is_copied_is_not() {
        let data = Card {
            step: Step::Prepare,
            task: None,
            exit: None,
            reason: "no set of packages\n  because 385dcd3d11d69362612866cc7850376c23d242e8 is nowhere".to_owned(),
            place: None,
            trace: Vec::new(),
            last_lines: Vec::new(),
            diagnosis: None,
            hint: Some("look at the channel".to_owned()),
            reproduce: Some("bash /a/very/long/path and more".to_owned()),
            log_path: None,
            log_cut: None,
            kept: None,
            again: None,
        };
        let lines = card_within(&data, &Style::default(), 24);
        let expected = [
            "failed in step prepare:",
            "  no set of packages",
            "    because",
            "    385dcd3d11d69362612866cc7850376c23d242e8",
            "    is nowhere",
            "help       look at the",
            "           channel",
            "reproduce  bash /a/very/long/path and more",
        ];
        assert_eq!(lines, expected);
        assert_eq!(card(&data, &Style::default()).len(), 4);
        let painted = card_within(&data, &Style { color: true, ..Style::default() }, 24);
        assert!(painted[5].starts_with("\u{1b}[1mhelp      \u{1b}[0m look"), "{painted:?}");
    }

    #[test]
    fn what_the_steps_took_is_folded_between_steps_and_the_last_line_stays_whole() {
        let mut tally = Tally::default();
        for event in &super::super::samples::success() {
            tally.take(event);
        }
        let lines = tally.ending_within(0, "a closing line that is longer than forty columns", &Style::default(), 40);
        let expected = [
            "took       1 m 05 s (checkout 42 ms ·",
            "           prepare 8 ms ·",
            "           execute 1 m 05 s ·",
            "           publish 0.1 s)",
            "a closing line that is longer than forty columns",
        ];
        assert_eq!(lines[lines.len() - 5..], expected);
        let wide = tally.ending(0, "done", &Style { unicode: false, ..Style::default() });
        let took = "took       1 m 05 s (checkout 42 ms, prepare 8 ms, execute 1 m 05 s, publish 0.1 s)";
        assert_eq!(wide[wide.len() - 2], took);
    }

    #[test]
    fn the_users_own_line_comes_first_and_is_said_once() {
        let data = Card {
            step: Step::Execute,
            task: Some("clean".to_owned()),
            exit: Some(1),
            reason: "the script ended with code 1".to_owned(),
            place: Some("tasks.py:6 in clean: KeyError: 'age'".to_owned()),
            trace: ["tasks.py:6 in clean", "    df[\"age\"]", "KeyError: 'age'"].map(str::to_owned).to_vec(),
            last_lines: vec!["Need help? https://ploomber.io/community".to_owned()],
            diagnosis: Some("KeyError: 'age'".to_owned()),
            hint: None,
            reproduce: None,
            log_path: Some("/state/runs/x/log".into()),
            log_cut: Some("3.1 MB of its middle were left out, because its limit is 1 GiB".to_owned()),
            kept: None,
            again: None,
        };
        let expected = [
            "failed in step execute, task `clean`: the script ended with code 1",
            "at         tasks.py:6 in clean: KeyError: 'age'",
            "  │ tasks.py:6 in clean",
            "  │     df[\"age\"]",
            "  │ KeyError: 'age'",
            "log        /state/runs/x/log",
            "           not whole: 3.1 MB of its middle were left out, because its limit is 1 GiB",
        ];
        assert_eq!(card(&data, &Style::default()), expected);
        let other = Card { diagnosis: Some("MemoryError".to_owned()), ..data };
        assert!(card(&other, &Style::default()).contains(&"looks like MemoryError".to_owned()));
    }

    #[test]
    fn what_was_made_and_not_published_is_named_with_its_folder_and_the_command_that_tries_again() {
        let data = Card {
            step: Step::Publish,
            task: None,
            exit: None,
            reason: "the disk is full".to_owned(),
            place: None,
            trace: Vec::new(),
            last_lines: Vec::new(),
            diagnosis: None,
            hint: None,
            reproduce: None,
            log_path: None,
            log_cut: None,
            kept: Some("/state/runs/x".into()),
            again: Some("soopervisor run . --storage box".to_owned()),
        };
        let lines = card(&data, &Style::default());
        let said =
            ["what was made is in work/ and output/ of /state/runs/x for a week", "soopervisor run . --storage box"];
        assert_eq!(lines[1..], [format!("kept       {}", said[0]), format!("again      {}", said[1])]);
    }
}
