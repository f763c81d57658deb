//! Lines with time stamps, for files, pipes and continuous integration without commands of its own.
//!
//! A progress bar that overwrites itself is shown now and then, not at each of its hundreds of states.

use jiff::Timestamp;

use super::ending::{Tally, card, outcome_word, warning, word};
use super::lines::{escaped, one_line};
use super::output::{BAR_EVERY, OutputLines};
use super::pace::Pace;
use super::{Clock, Out, Reporter, Style, Verbosity};
use crate::diag::{Diagnostic, render};
use crate::run::event::RunEvent;
use crate::run::figures::duration;

/// Draws plain lines.
pub struct Plain {
    out: Out,
    style: Style,
    clock: Clock,
    output: OutputLines,
    findings: Vec<Diagnostic>,
    tally: Tally,
    pace: Pace,
    /// Room for the lines of one piece, kept from piece to piece.
    text: Vec<u8>,
}

impl Plain {
    /// Writes to `out`.
    pub fn new(out: Out, style: Style, clock: Clock) -> Self {
        let output = OutputLines::new(style.color, BAR_EVERY);
        let (tally, pace) = (Tally::default(), Pace::default());
        Self { out, style, clock, output, findings: Vec::new(), tally, pace, text: Vec::new() }
    }

    fn line(&mut self, text: &str) {
        let stamp = stamp((self.clock)());
        self.out.line(&format!("{stamp} {text}"));
    }

    /// Writes what `take` gives of the pipeline's output.
    fn lines(&mut self, take: impl FnOnce(&mut OutputLines, Timestamp, &mut dyn FnMut(&[u8]))) {
        let now = (self.clock)();
        let head = format!("{}   | ", stamp(now));
        let mut text = std::mem::take(&mut self.text);
        take(&mut self.output, now, &mut |line| {
            text.extend_from_slice(head.as_bytes());
            text.extend_from_slice(line);
            text.push(b'\n');
        });
        self.out.write(&text);
        text.clear();
        self.text = text;
    }

    fn output(&mut self, bytes: &[u8]) {
        self.lines(|output, now, show| output.push(bytes, now, show));
    }

    /// Shows findings, which are drawn together.
    fn findings(&mut self) {
        if !self.findings.is_empty() {
            let drawn = draw_findings(&std::mem::take(&mut self.findings), &self.style);
            self.out.write(drawn.as_bytes());
        }
    }

    /// Shows what waits for something else to come.
    fn settle(&mut self) {
        self.lines(|output, now, show| output.settle(now, show));
        self.findings();
    }

    fn say(&mut self, event: &RunEvent) {
        if matches!(event, RunEvent::StepStarted { .. }) {
            self.pace.begin((self.clock)());
        }
        let quiet = self.style.verbosity == Verbosity::Quiet;
        match event {
            RunEvent::Failed(data) => {
                for line in card(data, &self.style) {
                    self.line(&line);
                }
            }
            RunEvent::Ended { exit_code, summary } => {
                let lines = self.tally.ending(*exit_code, summary, &self.style);
                let skip = if quiet { lines.len() - 1 } else { 0 };
                for line in lines.iter().skip(skip) {
                    self.line(line);
                }
            }
            RunEvent::Warned { text, .. } => self.line(&warning(text, &self.style)),
            _ if quiet => {}
            RunEvent::StepProgress { step, text } => {
                if self.style.verbosity == Verbosity::Verbose || self.pace.allows((self.clock)()) {
                    self.line(&format!("    {}: {}", word(*step), one_line(text)));
                }
            }
            other => {
                if let Some(text) = describe(other) {
                    self.line(&text);
                }
            }
        }
    }
}

impl Reporter for Plain {
    fn event(&mut self, event: &RunEvent) {
        self.tally.take(event);
        match event {
            RunEvent::Output { bytes, .. } if self.style.verbosity > Verbosity::Quiet => self.output(bytes.as_bytes()),
            RunEvent::Output { .. } => {}
            RunEvent::Diagnosed(finding) => self.findings.push(finding.clone()),
            // Tasks come and go while the pipeline's own bar goes on.
            RunEvent::TaskStarted { .. }
            | RunEvent::TaskEnded { .. }
            | RunEvent::StepProgress { .. }
            | RunEvent::Warned { .. } => {
                self.lines(|output, now, show| output.pause(now, show));
                self.findings();
                self.say(event);
            }
            other => {
                self.settle();
                self.say(other);
            }
        }
        self.out.flush();
    }

    fn finish(&mut self) {
        self.settle();
        self.out.flush();
    }
}

/// One line for what begins or ends; `None` for what is no line of its own.
pub(super) fn describe(event: &RunEvent) -> Option<String> {
    let with = |text: &str, separator: &str| match one_line(text) {
        text if text.is_empty() => String::new(),
        text => format!("{separator}{text}"),
    };
    Some(match event {
        RunEvent::Started { run, title } => format!("run {run}{}", with(title, ": ")),
        // It may be a path, of which nothing may be missing.
        RunEvent::StepStarted { step, detail } => format!("==> {}{}", word(*step), with(&escaped(detail), ": ")),
        RunEvent::StepEnded { step, outcome, elapsed, detail } => {
            let (step, outcome, elapsed) = (word(*step), outcome_word(*outcome), duration(*elapsed));
            format!("<== {step} {outcome} in {elapsed}{}", with(detail, ": "))
        }
        RunEvent::TaskStarted { name } => format!("  > task {}", one_line(name)),
        RunEvent::TaskEnded { name, outcome, elapsed, reason, .. } => {
            let (outcome, elapsed) = (outcome_word(*outcome), duration(*elapsed));
            format!("  < task {} {outcome} in {elapsed}{}", one_line(name), with(reason, ": "))
        }
        _ => return None,
    })
}

/// Findings for people, ready to be written.
pub(super) fn draw_findings(findings: &[Diagnostic], style: &Style) -> String {
    let style = render::Style { color: style.color, unicode: style.unicode, width: style.width };
    let mut text = render::human(findings, style);
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn stamp(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::sync::{Arc, Mutex};

    use jiff::SignedDuration;

    use super::super::samples::{Shared, at};
    use super::*;

    #[test]
    fn a_bar_is_shown_every_five_seconds_and_its_last_state_always() {
        let sink = Shared::default();
        let time = Arc::new(AtomicI64::new(0));
        let clock = Arc::clone(&time);
        let now = move || at("2026-11-21T09:30:00Z") + SignedDuration::from_secs(clock.load(Ordering::Relaxed));
        let mut plain = Plain::new(Out::new(Box::new(sink.clone())), Style::default(), Box::new(now));
        for percent in 0..30 {
            time.store(percent, Ordering::Relaxed);
            plain.output(format!("\r{percent} %").as_bytes());
        }
        plain.output(b"\nnext");
        plain.finish();
        let text = sink.text();
        let shown: Vec<&str> = text.lines().map(|line| line.split(" | ").last().unwrap()).collect();
        assert_eq!(shown, ["5 %", "10 %", "15 %", "20 %", "25 %", "29 %", "next"]);
    }

    #[test]
    fn a_step_that_takes_long_says_what_it_does_and_a_quick_one_does_not() {
        let sink = Shared::default();
        let time = Arc::new(AtomicI64::new(0));
        let clock = Arc::clone(&time);
        let now = move || at("2026-11-21T09:30:00Z") + SignedDuration::from_secs(clock.load(Ordering::Relaxed));
        let mut plain = Plain::new(Out::new(Box::new(sink.clone())), Style::default(), Box::new(now));
        let step = crate::run::event::Step::Prepare;
        plain.event(&RunEvent::StepStarted { step, detail: String::new() });
        plain.event(&RunEvent::StepProgress { step, text: "looking".to_owned() });
        time.store(3, Ordering::Relaxed);
        plain.event(&RunEvent::StepProgress { step, text: "solving".to_owned() });
        assert!(sink.text().contains("prepare: solving") && !sink.text().contains("looking"), "{}", sink.text());
    }

    #[test]
    fn a_folder_with_a_newline_in_its_name_is_one_line_and_whole() {
        let step = crate::run::event::Step::Checkout;
        let told = describe(&RunEvent::StepStarted { step, detail: "my\nrepo".to_owned() });
        assert_eq!(told.as_deref(), Some("==> checkout: my\\nrepo"));
    }

    #[test]
    fn a_closed_pipe_does_not_stop_the_run() {
        struct Closed(Arc<Mutex<usize>>);
        impl std::io::Write for Closed {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                *self.0.lock().unwrap() += 1;
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let writes = Arc::new(Mutex::new(0));
        let out = Out::new(Box::new(Closed(Arc::clone(&writes))));
        let mut plain = Plain::new(out, Style::default(), Box::new(|| at("2026-11-21T09:30:00Z")));
        for event in super::super::samples::success() {
            plain.event(&event);
        }
        plain.finish();
        assert_eq!(*writes.lock().unwrap(), 1);
    }
}
