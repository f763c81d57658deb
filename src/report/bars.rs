//! Which lines are states of a progress bar, and which of these are worth a line of their own.
//!
//! A bar is shown once in a while and when it is done; whatever is not surely a bar is shown always. The log keeps all.

use jiff::{SignedDuration, Timestamp};

use super::lines::End;

/// Reduces bars to a few lines.
#[derive(Debug)]
pub(super) struct Bars {
    every: SignedDuration,
    /// When a bar was first seen or last shown.
    since: Option<Timestamp>,
    held: Option<State>,
}

/// What a bar showed last.
#[derive(Debug)]
struct State {
    line: Vec<u8>,
    bar: Bar,
    /// A line end followed: a terminal would go on showing it.
    stays: bool,
}

/// What a line says of its bar.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bar {
    label: String,
    begun: bool,
    done: bool,
}

impl Bars {
    /// Shows a bar that goes on at most once in `every`.
    pub(super) fn new(every: SignedDuration) -> Self {
        Self { every, since: None, held: None }
    }

    /// Takes a line that ended, and gives what is to be shown.
    pub(super) fn push(&mut self, line: &[u8], end: End, now: Timestamp, show: &mut impl FnMut(&[u8])) {
        let bar = match Bar::read(line) {
            Some(bar) => bar,
            None if end == End::Overwritten => Bar::unknown(line),
            None => {
                self.flush(show);
                return show(line);
            }
        };
        if line.trim_ascii().is_empty() {
            return;
        }
        if let Some(held) = self.held.take_if(|held| held.bar.label != bar.label)
            && held.bar.done
        {
            show(&held.line);
            self.since = Some(now);
        }
        let since = *self.since.get_or_insert(now);
        if bar.begun && !bar.done && now.duration_since(since) >= self.every {
            self.held = None;
            self.since = Some(now);
            show(line);
        } else {
            self.held = Some(State { line: line.to_vec(), bar, stays: end == End::Newline });
        }
    }

    /// Shows what a terminal would go on showing before the next line.
    pub(super) fn flush(&mut self, show: &mut impl FnMut(&[u8])) {
        if let Some(held) = self.held.take()
            && held.stays
            && held.bar.begun
        {
            show(&held.line);
        }
    }

    /// What is held back now.
    pub(super) fn held(&self) -> Option<&[u8]> {
        self.held.as_ref().map(|held| &held.line[..])
    }
}

/// Whether a line is a state of a bar.
pub(super) fn is_bar(line: &[u8]) -> bool {
    Bar::read(line).is_some()
}

impl Bar {
    /// Reads what tqdm writes: `label:  25%|██▌  | 1/4 [00:08<00:24,  8.22s/it]`, `label: 12it [00:04, 3.00it/s]`.
    fn read(line: &[u8]) -> Option<Self> {
        // Nearly every line of a log leaves here.
        let line = line.trim_ascii_end();
        if line.last() != Some(&b']') {
            return None;
        }
        let text = std::str::from_utf8(line).ok()?;
        let (before, times) = text.strip_suffix(']')?.rsplit_once(" [")?;
        let (clock, rate) = times.split_once(['<', ','])?;
        if !is_clock(clock) || !rate.contains('/') {
            return None;
        }
        if let Some((head, counts)) = before.split_once("%|") {
            let digits = head.len() - head.trim_end_matches(|c: char| c.is_ascii_digit()).len();
            let (label, percent) = head.split_at(head.len() - digits);
            let percent: u8 = percent.parse().ok()?;
            counts.rsplit_once("| ")?;
            return Some(Self { label: label.trim().to_owned(), begun: percent > 0, done: percent >= 100 });
        }
        let (label, count) = before.rsplit_once(' ').unwrap_or(("", before));
        let digits = count.trim_end_matches(|c: char| c.is_alphabetic());
        let number = digits.bytes().next().is_some_and(|byte| byte.is_ascii_digit()) && digits.len() < count.len();
        number.then(|| Self { label: label.trim().to_owned(), begun: digits != "0", done: false })
    }

    /// Something else that is written over and over.
    fn unknown(line: &[u8]) -> Self {
        let label = line.iter().position(u8::is_ascii_digit).map_or(line, |digit| &line[..digit]);
        Self { label: String::from_utf8_lossy(label).trim().to_owned(), begun: true, done: false }
    }
}

/// `00:08`, `1:02:03`.
fn is_clock(text: &str) -> bool {
    text.contains(':') && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_told_from_lines_that_only_look_like_them() {
        for (line, label, begun, done) in [
            ("  0%|          | 0/4 [00:00<?, ?it/s]", "", false, false),
            (
                "Building task 'a b':  25%|██▌       | 1/4 [00:08<00:24,  8.22s/it] ",
                "Building task 'a b':",
                true,
                false,
            ),
            ("Executing: 100%|██████████| 7/7 [1:00:36<00:00,  5.16s/cell]", "Executing:", true, true),
            ("12it [00:04, 3.00it/s]", "", true, false),
            ("read: 4096B [00:04, 1.00kB/s]", "read:", true, false),
        ] {
            let bar = Bar::read(line.as_bytes());
            assert_eq!(bar, Some(Bar { label: label.to_owned(), begun, done }), "{line}");
        }
        for line in [
            "accuracy 25% | 1/4 [good]",
            "",
            "[00:01] step 1/2",
            "loss [1, 2/3]",
            "epoch 3 [00:01, fast]",
            "Executing:  14%|█▍  | 1/7 [00:03<00:20,  3.34s/cell]Traceback",
        ] {
            assert!(!is_bar(line.as_bytes()), "{line}");
        }
    }

    fn shown(lines: &[(i64, &str, End)]) -> Vec<String> {
        let mut bars = Bars::new(SignedDuration::from_secs(5));
        let mut seen = Vec::new();
        let mut show = |line: &[u8]| seen.push(String::from_utf8_lossy(line).into_owned());
        for (second, line, end) in lines {
            bars.push(line.as_bytes(), *end, Timestamp::from_second(*second).unwrap(), &mut show);
        }
        bars.flush(&mut show);
        seen
    }

    /// Papermill's bar below ploomber's: without cursor moves each of its states ends with a line end.
    #[test]
    fn nested_bars_are_thinned_and_each_shows_its_end() {
        let outer = |n: u32| format!("Building:  {n}%|#| {n}/100 [00:01<00:01, 1it/s]");
        let inner = |n: u32| format!("Executing:  {n}%|#| {n}/100 [00:01<00:01, 1it/s]");
        let (zero, half) = (outer(0), outer(50));
        let states: Vec<String> = [0, 10, 40, 80, 100].map(inner).into();
        let mut lines = vec![(0, &zero[..], End::Newline)];
        lines.extend((0..).step_by(2).zip(&states).map(|(second, state)| (second, &state[..], End::Newline)));
        lines.extend([(9, &half[..], End::Newline), (9, "a table", End::Newline)]);
        assert_eq!(shown(&lines), [&states[3], &states[4], &half, "a table"]);
    }

    #[test]
    fn what_is_no_bar_is_always_shown_and_what_was_overwritten_is_not() {
        let lines = [
            (0, "reading 1", End::Overwritten),
            (1, "reading 2", End::Overwritten),
            (1, "read all", End::Newline),
            (1, "", End::Newline),
            (1, "3it [00:04, 3.00it/s]", End::Newline),
            (1, "next", End::Newline),
        ];
        assert_eq!(shown(&lines), ["read all", "", "3it [00:04, 3.00it/s]", "next"]);
    }
}
