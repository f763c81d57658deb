//! One JSON object a line, for programs.
//!
//! Every object has `schema` (1), `time` (RFC 3339, UTC) and `event`, one of:
//!
//! | event | more keys |
//! |---|---|
//! | `started` | `run`, `title` |
//! | `step-started` | `step`, `detail` |
//! | `step-progress` | `step`, `text` |
//! | `step-warning` | `step`, `text` |
//! | `step-ended` | `step`, `outcome`, `elapsed_ms`, `detail` |
//! | `task-started` | `task` |
//! | `task-ended` | `task`, `outcome`, `elapsed_ms`, `reason` (why it was executed or not, null where nothing is known), `from` (the commit it was taken over from, or null) |
//! | `output` | `stream` (`stdout`, `stderr`), `text`, `lossy` (true where bytes were no UTF-8 and became U+FFFD) |
//! | `diagnostic` | `diagnostic`: code, severity, message, file, line, column, … |
//! | `published` | `location`, `files`, `bytes`, `note` |
//! | `failed` | `card`: step, task, exit, reason, last_lines, diagnosis, hint, reproduce, log_path; `place` (`tasks.py:6 in clean: KeyError: 'age'`) where the output tells the user's own line, and `trace`, the user's calls on the way there; `log_cut` where the log on disk is not whole; `kept` (the run's folder) and `again` (a command) where something was made and not published |
//! | `ended` | `exit_code`, `summary` |
//!
//! `text` of `output` holds the bytes as they came, line ends included: joined, it is the output. Keys may be added;
//! none is taken away or given another meaning under the same `schema`.

use serde_json::{Value, json};

use super::ending::{outcome_word, word};
use super::{Clock, Out, Reporter};
use crate::diag::render;
use crate::engine::Stream;
use crate::run::event::RunEvent;

/// Writes objects.
pub struct Json {
    out: Out,
    clock: Clock,
    // The beginning of a character that was cut, for stdout and stderr.
    held: [Vec<u8>; 2],
}

impl Json {
    /// Writes to `out`.
    pub fn new(out: Out, clock: Clock) -> Self {
        Self { out, clock, held: [Vec::new(), Vec::new()] }
    }

    fn object(&mut self, event: &str, mut more: Value) {
        let mut object = json!({"schema": 1, "time": (self.clock)().to_string(), "event": event});
        if let (Some(object), Some(more)) = (object.as_object_mut(), more.as_object_mut()) {
            object.append(more);
        }
        self.out.line(&object.to_string());
    }

    fn output(&mut self, stream: Stream, bytes: &[u8]) {
        let held = &mut self.held[usize::from(stream == Stream::Stderr)];
        held.extend_from_slice(bytes);
        let keep = unfinished(held);
        let tail = held.split_off(held.len() - keep);
        let whole = std::mem::replace(held, tail);
        self.text(stream, &whole);
    }

    fn text(&mut self, stream: Stream, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let name = if stream == Stream::Stdout { "stdout" } else { "stderr" };
        let text = String::from_utf8_lossy(bytes);
        let lossy = matches!(text, std::borrow::Cow::Owned(_));
        self.object("output", json!({"stream": name, "text": text, "lossy": lossy}));
    }

    /// What was cut and never completed.
    fn settle(&mut self) {
        for (place, stream) in [Stream::Stdout, Stream::Stderr].into_iter().enumerate() {
            let rest = std::mem::take(&mut self.held[place]);
            self.text(stream, &rest);
        }
    }
}

impl Reporter for Json {
    fn event(&mut self, event: &RunEvent) {
        if let RunEvent::Output { stream, bytes } = event {
            self.output(*stream, bytes.as_bytes());
        } else {
            if matches!(event, RunEvent::Ended { .. }) {
                self.settle();
            }
            let (name, more) = describe(event);
            self.object(name, more);
        }
        self.out.flush();
    }

    fn finish(&mut self) {
        self.settle();
        self.out.flush();
    }
}

fn describe(event: &RunEvent) -> (&'static str, Value) {
    let millis = |time: &std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    match event {
        RunEvent::Started { run, title } => ("started", json!({"run": run, "title": title})),
        RunEvent::StepStarted { step, detail } => ("step-started", json!({"step": word(*step), "detail": detail})),
        RunEvent::StepProgress { step, text } => ("step-progress", json!({"step": word(*step), "text": text})),
        RunEvent::Warned { step, text } => ("step-warning", json!({"step": word(*step), "text": text})),
        RunEvent::StepEnded { step, outcome, elapsed, detail } => {
            let (step, outcome) = (word(*step), outcome_word(*outcome));
            let elapsed_ms = millis(elapsed);
            ("step-ended", json!({"step": step, "outcome": outcome, "elapsed_ms": elapsed_ms, "detail": detail}))
        }
        RunEvent::TaskStarted { name } => ("task-started", json!({"task": name})),
        RunEvent::TaskEnded { name, outcome, elapsed, reason, from } => {
            let (outcome, elapsed_ms) = (outcome_word(*outcome), millis(elapsed));
            let (task, reason) = (name, Some(reason).filter(|reason| !reason.is_empty()));
            let more =
                json!({"task": task, "outcome": outcome, "elapsed_ms": elapsed_ms, "reason": reason, "from": from});
            ("task-ended", more)
        }
        RunEvent::Output { .. } => ("output", json!({})),
        RunEvent::Diagnosed(finding) => {
            let document = render::json(std::slice::from_ref(finding));
            ("diagnostic", json!({"diagnostic": document["diagnostics"][0]}))
        }
        RunEvent::Published(published) => ("published", json!(published)),
        RunEvent::Failed(card) => ("failed", json!({"card": card})),
        RunEvent::Ended { exit_code, summary } => ("ended", json!({"exit_code": exit_code, "summary": summary})),
    }
}

/// How many bytes at the end may be the beginning of a character.
fn unfinished(bytes: &[u8]) -> usize {
    let last = bytes.utf8_chunks().last();
    let Some(invalid) = last.map(|chunk| chunk.invalid()).filter(|invalid| !invalid.is_empty()) else { return 0 };
    match std::str::from_utf8(invalid) {
        // No error length: the bytes are right as far as they go.
        Err(error) if error.error_len().is_none() => invalid.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{Shared, at};
    use super::*;

    fn outputs(parts: &[&[u8]]) -> Vec<(String, bool)> {
        let sink = Shared::default();
        let mut json = Json::new(Out::new(Box::new(sink.clone())), Box::new(|| at("2026-11-21T09:30:00Z")));
        for part in parts {
            json.output(Stream::Stdout, part);
        }
        json.finish();
        let objects = sink.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>();
        objects.iter().map(|o| (o["text"].as_str().unwrap().to_owned(), o["lossy"].as_bool().unwrap())).collect()
    }

    #[test]
    fn characters_cut_in_two_are_joined_again() {
        let text = "a€b🦀\n".as_bytes();
        for cut in 0..=text.len() {
            let parts = outputs(&[&text[..cut], &text[cut..]]);
            assert_eq!(parts.iter().map(|(text, _)| text.as_str()).collect::<String>(), "a€b🦀\n", "cut at {cut}");
            assert!(parts.iter().all(|(_, lossy)| !lossy));
        }
    }

    #[test]
    fn broken_bytes_are_replaced_and_said_and_nothing_waits_for_ever() {
        assert_eq!(outputs(&[b"a\xffb"]), [("a\u{fffd}b".to_owned(), true)]);
        assert_eq!(outputs(&[b"a\xe2\x82"]), [("a".to_owned(), false), ("\u{fffd}".to_owned(), true)]);
    }
}
