//! A live view on stderr: the step and the tasks that go on stay at the bottom, everything else scrolls above.
//!
//! Progress bars of the pipeline stay alive: the line that is being written is part of the view until it ends.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use jiff::{SignedDuration, Timestamp};

use super::ending::{Paint, Tally, card_within, folded, mark, warning, word};
use super::lines::{escaped, one_line};
use super::output::OutputLines;
use super::plain::draw_findings;
use super::tty::Tty;
use super::{Out, Reporter, Style, Verbosity};
use crate::diag::Diagnostic;
use crate::run::event::RunEvent;
use crate::run::figures::duration;

/// How often times move on.
const TICK: Duration = Duration::from_millis(100);

/// Draws the live view.
pub struct Terminal {
    out: Out,
    view: MultiProgress,
    style: Style,
    output: OutputLines,
    // The unfinished line, the step, and the tasks that go on, from top to bottom.
    tail: Option<ProgressBar>,
    step: Option<ProgressBar>,
    tasks: Vec<(String, ProgressBar)>,
    findings: Vec<Diagnostic>,
    tally: Tally,
    ticks: bool,
}

impl Terminal {
    /// Draws on this process's stderr.
    pub fn stderr(style: Style) -> Self {
        let out = Out::new(Box::new(std::io::stderr()));
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(Tty::default()), 20);
        Self { ticks: true, ..Self::new(out, target, style) }
    }

    /// Writes what scrolls to `out` and draws the view on `target`, which must be the same terminal.
    fn new(out: Out, target: ProgressDrawTarget, style: Style) -> Self {
        // What is overwritten is seen in the view: nothing has to scroll for it.
        let output = OutputLines::new(style.color, SignedDuration::MAX);
        Self {
            out,
            view: MultiProgress::with_draw_target(target),
            style,
            output,
            tail: None,
            step: None,
            tasks: Vec::new(),
            findings: Vec::new(),
            tally: Tally::default(),
            ticks: false,
        }
    }

    fn bar(&self, bar: ProgressBar, style: ProgressStyle, message: String) -> ProgressBar {
        bar.set_style(style);
        bar.set_message(message);
        if self.ticks {
            bar.enable_steady_tick(TICK);
        } else {
            bar.tick();
        }
        bar
    }

    /// Writes above the view. One redraw however many lines.
    fn above(&mut self, text: &[u8]) {
        if !text.is_empty() {
            let out = &mut self.out;
            self.view.suspend(|| {
                out.write(text);
                out.flush();
            });
        }
    }

    fn line(&mut self, text: &str) {
        self.above(format!("{text}\n").as_bytes());
    }

    /// Writes words of ours, broken between them where the terminal is narrower; later lines begin with `indent`.
    fn words(&mut self, text: &str, indent: &str) {
        let lines = folded(text, indent, self.style.width.max(20));
        let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
        self.line(&lines.join("\n"));
    }

    /// Writes what `take` gives of the pipeline's output, and keeps the unfinished line in view.
    fn lines(&mut self, take: impl FnOnce(&mut OutputLines, &mut dyn FnMut(&[u8]))) {
        let mut text = Vec::new();
        take(&mut self.output, &mut |line| {
            text.extend_from_slice(line);
            text.push(b'\n');
        });
        self.above(&text);
        let tail = self.output.tail();
        if tail.is_empty() {
            if let Some(bar) = self.tail.take() {
                self.view.remove(&bar);
            }
        } else if let Some(bar) = &self.tail {
            bar.set_message(tail);
        } else {
            let bar = self.view.insert(0, ProgressBar::new_spinner());
            self.tail = Some(self.bar(bar, tail_style(), tail));
        }
    }

    fn output(&mut self, bytes: &[u8]) {
        self.lines(|output, show| output.push(bytes, Timestamp::UNIX_EPOCH, show));
    }

    /// An unfinished line scrolls up before something of ours, and findings are drawn together.
    fn settle(&mut self) {
        self.lines(|output, show| output.settle(Timestamp::UNIX_EPOCH, show));
        if !self.findings.is_empty() {
            let drawn = draw_findings(&std::mem::take(&mut self.findings), &self.style);
            self.above(drawn.as_bytes());
        }
    }

    fn clear(&mut self) {
        let bars = self.tail.take().into_iter().chain(self.step.take());
        for bar in bars.chain(self.tasks.drain(..).map(|(_, bar)| bar)) {
            bar.finish_and_clear();
            self.view.remove(&bar);
        }
    }

    fn say(&mut self, event: &RunEvent) {
        let quiet = self.style.verbosity == Verbosity::Quiet;
        let paint = Paint(self.style.color);
        match event {
            RunEvent::Failed(data) => {
                self.clear();
                for line in card_within(data, &self.style, self.style.width) {
                    self.line(&line);
                }
            }
            RunEvent::Ended { exit_code, summary } => {
                self.clear();
                let lines = self.tally.ending_within(*exit_code, summary, &self.style, self.style.width);
                let skip = if quiet { lines.len() - 1 } else { 0 };
                for line in lines.iter().skip(skip) {
                    self.line(line);
                }
            }
            _ if quiet => {}
            RunEvent::Started { run, title } => {
                self.words(&format!("{} {}", paint.bold(&one_line(title)), paint.dim(&format!("run {run}"))), "  ");
            }
            RunEvent::StepStarted { step, detail } => {
                self.clear();
                let message = format!("{:<10} {}", word(*step), escaped(detail));
                let bar = self.view.add(ProgressBar::new_spinner());
                self.step = Some(self.bar(bar, step_style(self.style.unicode), message));
            }
            RunEvent::StepProgress { step, text } => {
                let text = one_line(text);
                if let Some(bar) = &self.step {
                    bar.set_message(format!("{:<10} {text}", word(*step)));
                }
                if self.style.verbosity == Verbosity::Verbose {
                    self.words(&paint.dim(&format!("  {text}")), "    ");
                }
            }
            RunEvent::StepEnded { step, outcome, elapsed, detail } => {
                self.clear();
                let (mark, elapsed) = (mark(*outcome, &self.style), duration(*elapsed));
                let detail = paint.dim(&one_line(detail));
                self.words(format!("{mark} {:<10} {elapsed:>9}  {detail}", word(*step)).trim_end(), "  ");
            }
            RunEvent::TaskStarted { name } => {
                let bar = self.view.add(ProgressBar::new_spinner());
                let bar = self.bar(bar, task_style(), format!("task {}", one_line(name)));
                self.tasks.push((name.clone(), bar));
            }
            RunEvent::TaskEnded { name, outcome, elapsed, reason, .. } => {
                if let Some(place) = self.tasks.iter().position(|(task, _)| task == name) {
                    let (_, bar) = self.tasks.remove(place);
                    self.view.remove(&bar);
                }
                let mark = mark(*outcome, &self.style);
                let reason = if reason.is_empty() { String::new() } else { format!("  {}", one_line(reason)) };
                let more = paint.dim(&(duration(*elapsed) + &reason));
                // Tasks may be called as our steps are.
                self.words(&format!("  {mark} task {} {more}", one_line(name)), "    ");
            }
            RunEvent::Output { .. } | RunEvent::Warned { .. } | RunEvent::Diagnosed(_) | RunEvent::Published(_) => {}
        }
    }
}

impl Reporter for Terminal {
    fn event(&mut self, event: &RunEvent) {
        self.tally.take(event);
        match event {
            RunEvent::Output { bytes, .. } if self.style.verbosity > Verbosity::Quiet => self.output(bytes.as_bytes()),
            RunEvent::Output { .. } => {}
            RunEvent::Diagnosed(finding) => self.findings.push(finding.clone()),
            // A step's progress and a task do not end the line that the pipeline is writing.
            RunEvent::StepProgress { .. } | RunEvent::TaskStarted { .. } => self.say(event),
            RunEvent::Warned { text, .. } => self.words(&warning(text, &self.style), "           "),
            RunEvent::TaskEnded { .. } => {
                self.lines(|output, show| output.pause(Timestamp::UNIX_EPOCH, show));
                self.say(event);
            }
            other => {
                self.settle();
                self.say(other);
            }
        }
    }

    fn finish(&mut self) {
        self.settle();
        self.clear();
        self.out.flush();
    }
}

/// A style; the templates are ours, so a broken one shows as the default view.
fn template(text: &str) -> ProgressStyle {
    let elapsed = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let seconds = state.elapsed().as_secs();
        // Tenths would flicker.
        let text = if seconds < 10 { format!("{seconds} s") } else { duration(Duration::from_secs(seconds)) };
        // A failed write has nowhere to be told.
        let _ = out.write_str(&text);
    };
    let style = ProgressStyle::with_template(text).unwrap_or_else(|_| ProgressStyle::default_spinner());
    style.with_key("time", elapsed)
}

fn step_style(unicode: bool) -> ProgressStyle {
    let ticks = if unicode { "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ " } else { "-\\|/ " };
    template("{spinner} {time:>6} {wide_msg}").tick_chars(ticks)
}

fn task_style() -> ProgressStyle {
    template("  {time:>6} {wide_msg}")
}

fn tail_style() -> ProgressStyle {
    template("{wide_msg}")
}

#[cfg(test)]
mod tests;
