//! Workflow commands for GitHub Actions: a group for each step, findings as annotations.
//!
//! Pipeline output cannot give commands: while it is written, commands are stopped by a token that it cannot know.

use jiff::Timestamp;

use super::ending::{Tally, card, word};
use super::lines::{escaped, one_line};
use super::output::{BAR_EVERY, OutputLines};
use super::pace::Pace;
use super::plain::{describe, draw_findings};
use super::{Clock, Out, Reporter, Style, Verbosity};
use crate::diag::{Severity, render};
use crate::run::event::RunEvent;

/// Findings that are annotations: GitHub shows ten errors of a step, and the last is how the step failed.
const MOST: usize = 9;

/// Draws for the log of a workflow.
pub struct GitHub {
    out: Out,
    style: Style,
    clock: Clock,
    token: String,
    errors: usize,
    turn: u64,
    stopped: bool,
    grouped: bool,
    output: OutputLines,
    tally: Tally,
    pace: Pace,
}

impl GitHub {
    /// Writes to `out`; `token` is what nobody inside the container knows.
    pub fn new(out: Out, style: Style, clock: Clock, token: &str) -> Self {
        let output = OutputLines::new(style.color, BAR_EVERY);
        let token = token.to_owned();
        let (tally, pace) = (Tally::default(), Pace::default());
        let (turn, errors) = (0, 0);
        Self { out, style, clock, token, errors, turn, stopped: false, grouped: false, output, tally, pace }
    }

    /// Writes what `take` gives of the pipeline's output.
    fn lines(&mut self, take: impl FnOnce(&mut OutputLines, Timestamp, &mut dyn FnMut(&[u8]))) {
        let mut text = Vec::new();
        take(&mut self.output, (self.clock)(), &mut |line| {
            text.extend_from_slice(line);
            text.push(b'\n');
        });
        self.raw(&text);
    }

    fn output(&mut self, bytes: &[u8]) {
        self.lines(|output, now, show| output.push(bytes, now, show));
    }

    /// Writes what must not be obeyed.
    fn raw(&mut self, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        if !self.stopped {
            self.turn += 1;
            self.stopped = true;
            self.out.line(&format!("::stop-commands::{}-{}", self.token, self.turn));
        }
        self.out.write(text);
    }

    /// Shows what waits for something else to come.
    fn end_output_line(&mut self) {
        self.lines(|output, now, show| output.settle(now, show));
    }

    /// Commands are obeyed again after this.
    fn settle(&mut self) {
        self.end_output_line();
        if self.stopped {
            self.stopped = false;
            self.out.end_line();
            self.out.line(&format!("::{}-{}::", self.token, self.turn));
        }
    }

    fn command(&mut self, command: &str) {
        self.settle();
        self.out.line(command);
    }

    fn open_group(&mut self, title: &str) {
        self.close_group();
        self.command(&format!("::group::{}", data(&one_line(title))));
        self.grouped = true;
    }

    fn close_group(&mut self) {
        if std::mem::take(&mut self.grouped) {
            self.command("::endgroup::");
        }
    }

    fn say(&mut self, event: &RunEvent) {
        match event {
            // Tasks come and go while the pipeline's own bar goes on.
            RunEvent::TaskStarted { .. } | RunEvent::TaskEnded { .. } | RunEvent::StepProgress { .. } => {
                self.lines(|output, now, show| output.pause(now, show));
            }
            _ => self.end_output_line(),
        }
        if matches!(event, RunEvent::StepStarted { .. }) {
            self.pace.begin((self.clock)());
        }
        let quiet = self.style.verbosity == Verbosity::Quiet;
        match event {
            RunEvent::Diagnosed(finding) => {
                self.settle();
                let findings = std::slice::from_ref(finding);
                let drawn = draw_findings(findings, &self.style);
                self.raw(drawn.as_bytes());
                self.settle();
                self.errors += usize::from(finding.severity == Severity::Error);
                if finding.severity != Severity::Error || self.errors <= MOST {
                    self.out.write(render::github(findings).trim_end().as_bytes());
                    self.out.end_line();
                }
            }
            RunEvent::Failed(failure) => {
                self.close_group();
                let title = format!("step {} failed", word(failure.step));
                let reason = failure.diagnosis.as_ref().unwrap_or(&failure.reason);
                self.command(&format!("::error title={}::{}", property(&title), data(&one_line(reason))));
                let lines = card(failure, &self.style).join("\n") + "\n";
                self.raw(lines.as_bytes());
            }
            RunEvent::Ended { exit_code, summary } => {
                self.close_group();
                let lines = self.tally.ending(*exit_code, summary, &self.style);
                self.raw((lines.join("\n") + "\n").as_bytes());
            }
            _ if quiet => {}
            RunEvent::StepStarted { step, detail } if detail.is_empty() => self.open_group(word(*step)),
            RunEvent::StepStarted { step, detail } => {
                self.open_group(&format!("{}: {}", word(*step), escaped(detail)));
            }
            RunEvent::StepEnded { .. } => {
                // Outside the group, so that it is seen while the group is folded.
                self.close_group();
                if let Some(text) = describe(event) {
                    self.raw(format!("{}\n", text.trim_start_matches("<== ")).as_bytes());
                }
            }
            RunEvent::StepProgress { text, .. } => {
                if self.style.verbosity == Verbosity::Verbose || self.pace.allows((self.clock)()) {
                    self.raw(format!("{}\n", one_line(text)).as_bytes());
                }
            }
            other => {
                if let Some(text) = describe(other) {
                    self.raw(format!("{text}\n").as_bytes());
                }
            }
        }
    }
}

impl Reporter for GitHub {
    fn event(&mut self, event: &RunEvent) {
        self.tally.take(event);
        match event {
            RunEvent::Output { bytes, .. } if self.style.verbosity > Verbosity::Quiet => self.output(bytes.as_bytes()),
            RunEvent::Output { .. } => {}
            RunEvent::Warned { step, text } => {
                let title = property(&format!("step {}", word(*step)));
                self.command(&format!("::warning title={title}::{}", data(&one_line(text))));
            }
            other => self.say(other),
        }
        self.out.flush();
    }

    fn finish(&mut self) {
        self.close_group();
        self.settle();
        self.out.flush();
    }
}

/// The text of a command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a command's property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::samples::{Shared, at};
    use super::*;
    use crate::diag::{Diagnostic, SourceText, Span};

    #[test]
    fn output_cannot_give_commands_however_it_is_cut() {
        let sink = Shared::default();
        let out = Out::new(Box::new(sink.clone()));
        let mut github = GitHub::new(out, Style::default(), Box::new(|| at("2026-11-21T09:30:00Z")), "t0k3n");
        for part in ["::err", "or::evil\n::endgroup::\n::set-output name=x::y\r", "::add-mask::z\nno end"] {
            github.output(part.as_bytes());
        }
        github.event(&RunEvent::TaskStarted { name: "::error::x".to_owned() });
        github.finish();
        let text = sink.text();
        let mut stopped = false;
        for line in text.lines() {
            match line {
                "::stop-commands::t0k3n-1" => stopped = true,
                "::t0k3n-1::" => stopped = false,
                other => assert!(stopped || !other.starts_with("::"), "{other} is obeyed in\n{text}"),
            }
        }
        assert!(!stopped, "commands stay stopped in\n{text}");
        assert!(text.contains("no end\n"));
    }

    #[test]
    fn findings_leave_room_for_how_the_step_failed() {
        let sink = Shared::default();
        let out = Out::new(Box::new(sink.clone()));
        let clock: Clock = Box::new(|| at("2026-11-21T09:30:00Z"));
        let mut github = GitHub::new(out, Style::default(), clock, "t");
        let source = Arc::new(SourceText { name: "pipeline.yaml".to_owned(), text: "a: 1\n".to_owned() });
        let wrong = Diagnostic::error("a/rule", "wrong").at(&source, Span { start: 0, len: 1 });
        for _ in 0..30 {
            github.event(&RunEvent::Diagnosed(wrong.clone()));
        }
        assert_eq!(sink.text().lines().filter(|line| line.starts_with("::error ")).count(), 9);
    }

    #[test]
    fn every_stop_has_its_own_token() {
        let sink = Shared::default();
        let out = Out::new(Box::new(sink.clone()));
        let mut github = GitHub::new(out, Style::default(), Box::new(|| at("2026-11-21T09:30:00Z")), "t");
        github.output(b"a\n");
        github.open_group("x%\n::error::y");
        github.output(b"b\n");
        github.finish();
        let expected =
            "::stop-commands::t-1\na\n::t-1::\n::group::x%25\n::stop-commands::t-2\nb\n::t-2::\n::endgroup::\n";
        assert_eq!(sink.text(), expected);
    }
}
