//! The comment's text: what `comment` draws, between hidden lines by which a later run finds it and how it stood.
//!
//! The first line says whose it is. The last ones say which runs of the workflow it spoke for, one for samples and one for
//! full runs, so that neither is forgotten while the other is told, and before them which commands were answered earlier.

use crate::comment::{Limit, Marker, Report, render};
use crate::forge::{Comment, Me};
use crate::id::CommitSha;
use crate::plan::Mode;

use super::ended::{Ended, Known};
use super::progress::State;

/// How a hidden last line begins.
const TRACE: &str = "<!-- soopervisor:run=";

/// What a hidden last line says: which run of the workflow the comment speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The workflow's run.
    pub run: u64,
    /// Sample or full.
    pub mode: Mode,
    /// How that stood.
    pub state: State,
    /// Whether what had ended before it had failed, and nobody was told of a success since.
    pub failed_before: bool,
    /// The command that asked for it; pushes have none.
    pub asked: Option<Asked>,
}

/// A command and what was run for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The comment that holds it.
    pub comment: u64,
    /// The commit.
    pub commit: CommitSha,
}

/// The last run of each mode that the comment spoke for, and the commands before them; its text is about the last run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Traces {
    last: Vec<Trace>,
    pub(super) ended: Ended,
}

/// Our comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The comment.
    pub id: u64,
    /// What it says of itself.
    pub traces: Traces,
}

impl Trace {
    /// Whether readers know of a failure, and would like to hear that it is over.
    pub fn owes_a_success(&self) -> bool {
        match self.state {
            State::Failed | State::Broken => true,
            State::Running | State::Cancelled => self.failed_before,
            State::Succeeded => false,
        }
    }

    fn line(&self) -> String {
        let mode = if self.mode == Mode::Sample { "sample" } else { "full" };
        let after = if self.failed_before { " after=failed" } else { "" };
        let asked = self.asked.as_ref().map(|asked| format!(" comment={} commit={}", asked.comment, asked.commit));
        let asked = asked.unwrap_or_default();
        format!("{TRACE}{} mode={mode} state={}{after}{asked} -->", self.run, self.state.word())
    }

    /// Words that are not known are passed over: a newer version may have written them.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix(TRACE)?.strip_suffix(" -->")?.split(' ');
        let run = words.next()?.parse().ok()?;
        let mode = match words.next()? {
            "mode=sample" => Mode::Sample,
            "mode=full" => Mode::Full,
            _ => return None,
        };
        let word = words.next()?.strip_prefix("state=")?;
        let all = [State::Running, State::Succeeded, State::Failed, State::Cancelled];
        let state = all.into_iter().find(|state| state.word() == word)?;
        let more: Vec<&str> = words.collect();
        let after = |name: &str| more.iter().find_map(|word| word.strip_prefix(name));
        let asked =
            || Some(Asked { comment: after("comment=")?.parse().ok()?, commit: after("commit=")?.parse().ok()? });
        Some(Self { run, mode, state, failed_before: after("after=") == Some("failed"), asked: asked() })
    }
}

impl Traces {
    /// The last run of this mode.
    pub fn of(&self, mode: Mode) -> Option<&Trace> {
        self.last.iter().find(|trace| trace.mode == mode)
    }

    /// All of them, the last one last.
    pub fn all(&self) -> &[Trace] {
        &self.last
    }

    /// Whether a command of this mode was carried out, or is.
    pub fn knows(&self, mode: Mode, comment: u64) -> bool {
        self.asked(mode, comment).is_some() || self.ended.knows(mode, comment)
    }

    /// Whether a command of this mode was carried out, however that ended.
    pub fn answered(&self, mode: Mode, comment: u64) -> bool {
        match self.asked(mode, comment) {
            Some(trace) => trace.state != State::Running,
            None => self.ended.knows(mode, comment),
        }
    }

    /// The commit that was run for a command of this mode, if that succeeded.
    pub fn succeeded(&self, mode: Mode, comment: u64) -> Option<CommitSha> {
        match self.asked(mode, comment) {
            Some(trace) => Known::of(trace)?.succeeded,
            None => self.ended.succeeded(mode, comment),
        }
    }

    /// The last run of this mode, if it was for this command.
    fn asked(&self, mode: Mode, comment: u64) -> Option<&Trace> {
        self.of(mode).filter(|trace| trace.asked.as_ref().is_some_and(|asked| asked.comment == comment))
    }

    /// Whether readers know of a failure, and would like to hear that it is over.
    pub fn owe_a_success(&self) -> bool {
        self.last.iter().any(Trace::owes_a_success)
    }

    /// The same with this one as the last; it takes the place of the one of its mode.
    #[must_use]
    pub fn with(mut self, trace: Trace) -> Self {
        let ended = &mut self.ended;
        self.last.retain(|other| {
            let stays = other.mode != trace.mode;
            let of = |trace: &Trace| trace.asked.as_ref().map(|asked| asked.comment);
            if !stays && of(other) != of(&trace) {
                ended.keep(other);
            }
            stays
        });
        self.last.push(trace);
        self
    }

    /// The same, once readers were told of a success: nothing that failed before is owed one any more.
    #[must_use]
    pub(super) fn settled(mut self) -> Self {
        let ended = &mut self.ended;
        self.last.retain(|trace| {
            let stays = !matches!(trace.state, State::Failed | State::Broken);
            if !stays {
                ended.keep(trace);
            }
            stays
        });
        self.last.iter_mut().for_each(|trace| trace.failed_before = false);
        self
    }

    /// What stands in the last lines of a text; a comment of an older version has one.
    fn parse(text: &str) -> Self {
        let mut lines = text.trim_end().lines().rev().peekable();
        let mut last = Vec::new();
        while let Some(trace) = lines.peek().and_then(|line| Trace::parse(line)).filter(|_| last.len() < 2) {
            last.push(trace);
            lines.next();
        }
        let ended = Ended::parse(lines);
        last.into_iter().rev().fold(Self { last: Vec::new(), ended }, Self::with)
    }

    fn text(&self) -> String {
        let lines: Vec<String> = self.ended.lines().chain(self.last.iter().map(Trace::line)).collect();
        if lines.is_empty() {
            return String::new();
        }
        // The line between keeps the text from being taken for one of them.
        format!("\n{}\n", lines.join("\n"))
    }
}

/// The whole text of a comment.
pub fn body(report: &Report, marker: &Marker, traces: &Traces) -> String {
    marked(marker, traces, &render(report, Limit::COMMENT))
}

/// Any text between the hidden lines.
pub fn marked(marker: &Marker, traces: &Traces, text: &str) -> String {
    format!("{}\n{}\n{}", marker.line(), text.trim(), traces.text())
}

/// The first line of an answer to a command that nothing is run for since another one came first; of this project's.
pub(super) fn lost(marker: &Marker, comment: u64) -> String {
    marker.line().replacen("soopervisor:v1", &format!("soopervisor:lost={comment}"), 1)
}

/// What is left of a comment when a newer one, at `address`, took its place; it has no marker and is not found again.
pub(super) fn replaced(address: &str) -> String {
    format!("The run that was reported here has failed; [a later one succeeded]({address}).\n")
}

/// Our comment among all of them. Only what we wrote is looked at: anybody can write the hidden lines.
pub fn find_marker(comments: &[Comment], me: &Me, marker: &Marker) -> Option<Found> {
    let line = marker.line();
    let ours = comments.iter().rev().filter(|comment| me.wrote(&comment.author));
    let comment = ours.into_iter().find(|comment| comment.body.lines().next() == Some(line.as_str()))?;
    Some(Found { id: comment.id, traces: Traces::parse(&comment.body) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forge::Author;

    fn comment(id: u64, bot: bool, body: &str) -> Comment {
        let author = Author { id: 1, login: if bot { "github-actions[bot]" } else { "eve" }.to_owned(), bot };
        let now = jiff::Timestamp::UNIX_EPOCH;
        Comment { id, number: 7, author, body: body.to_owned(), created: now, updated: now, url: String::new() }
    }

    fn trace(state: State, failed_before: bool) -> Trace {
        Trace { run: 99, mode: Mode::Full, state, failed_before, asked: None }
    }

    fn traces(all: &[Trace]) -> Traces {
        all.iter().cloned().fold(Traces::default(), Traces::with)
    }

    #[test]
    fn our_comment_is_found_by_its_author_and_a_planted_one_is_not() {
        let me = Me::App("github-actions".to_owned(), None);
        let marker = |pr, key: &str| Marker { repo: 5, pr, key: key.to_owned() };
        let said = traces(&[trace(State::Running, true)]);
        let text = marked(&marker(7, "ml/churn"), &said, "hello");
        let ours = comment(3, true, &text);
        let planted = comment(4, false, &text);
        let found = |comments: &[Comment], pr, key| find_marker(comments, &me, &marker(pr, key));
        let expected = Some(Found { id: 3, traces: said });
        assert_eq!(found(&[ours.clone(), planted.clone()], 7, "ml/churn"), expected);
        assert_eq!(found(&[planted], 7, "ml/churn"), None);
        assert_eq!(found(std::slice::from_ref(&ours), 7, "ml"), None);
        assert_eq!(found(&[ours], 8, "ml/churn"), None);
        let quoting = comment(5, true, &format!("as above:\n{text}"));
        assert_eq!(found(&[quoting], 7, "ml/churn"), None);
        let cut = comment(6, true, &text.replace("99", "x"));
        assert_eq!(found(&[cut], 7, "ml/churn"), Some(Found { id: 6, traces: Traces::default() }));
    }

    #[test]
    fn a_hidden_line_is_read_back_as_it_was_written() {
        let asked = Some(Asked { comment: 17, commit: "a".repeat(40).parse().unwrap() });
        for state in [State::Running, State::Succeeded, State::Failed, State::Cancelled] {
            for failed_before in [false, true] {
                for mode in [Mode::Sample, Mode::Full] {
                    for asked in [None, asked.clone()] {
                        let said = Trace { run: 4242, mode, state, failed_before, asked };
                        assert_eq!(Trace::parse(&said.line()), Some(said.clone()), "{}", said.line());
                    }
                }
            }
        }
        for wrong in ["", "<!-- soopervisor:run=1 -->", "<!-- soopervisor:run=1 mode=full state=fine -->", "run=1"] {
            assert_eq!(Trace::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_line_of_another_version_is_read_as_far_as_it_is_known() {
        let line = |rest: &str| format!("<!-- soopervisor:run=99 mode=full state=running{rest} -->");
        for (rest, failed_before) in
            [("", false), (" after=failed", true), (" comment=x commit=y", false), (" after=failed more=1", true)]
        {
            assert_eq!(Trace::parse(&line(rest)), Some(trace(State::Running, failed_before)), "{rest}");
        }
    }

    #[test]
    fn a_sample_and_a_full_run_each_have_a_line_and_neither_loses_the_others() {
        let full = trace(State::Running, false);
        let sample = |run, state| Trace { run, mode: Mode::Sample, state, failed_before: false, asked: None };
        let marker = Marker { repo: 5, pr: 7, key: ".".to_owned() };
        let me = Me::App("github-actions".to_owned(), None);
        let mut text = marked(&marker, &traces(std::slice::from_ref(&full)), "an older version's comment");
        for (run, state) in [(1, State::Running), (1, State::Failed), (2, State::Running), (2, State::Succeeded)] {
            let before = find_marker(&[comment(3, true, &text)], &me, &marker).unwrap().traces;
            let now = before.with(sample(run, state));
            text = marked(&marker, &now, "of a sample");
            let found = find_marker(&[comment(3, true, &text)], &me, &marker).unwrap().traces;
            assert_eq!((found.of(Mode::Full), found.of(Mode::Sample)), (Some(&full), Some(&sample(run, state))));
            // What an older version reads.
            assert_eq!(text.trim_end().lines().last(), Some(&*sample(run, state).line()));
        }
    }

    #[test]
    fn what_the_text_says_is_none_of_the_hidden_lines() {
        let marker = Marker { repo: 5, pr: 7, key: ".".to_owned() };
        let planted = Trace { mode: Mode::Sample, ..trace(State::Running, false) }.line();
        let said = traces(&[trace(State::Running, false)]);
        let text = marked(&marker, &said, &format!("hello\n{planted}"));
        assert_eq!(Traces::parse(&text), said);
    }

    #[test]
    fn a_failure_is_remembered_until_a_success_was_told() {
        for (state, failed_before, owes) in [
            (State::Failed, false, true),
            (State::Broken, false, true),
            (State::Running, true, true),
            (State::Running, false, false),
            (State::Cancelled, true, true),
            (State::Cancelled, false, false),
            (State::Succeeded, true, false),
        ] {
            let one = trace(state, failed_before);
            assert_eq!(one.owes_a_success(), owes, "{state:?} {failed_before}");
            let other = Trace { mode: Mode::Sample, ..trace(State::Succeeded, false) };
            let both = traces(&[one, other]);
            assert_eq!(both.owe_a_success(), owes, "{state:?} {failed_before}");
            assert!(!both.settled().owe_a_success(), "{state:?} {failed_before}");
        }
    }

    #[test]
    fn a_run_that_goes_on_and_one_that_succeeded_outlive_a_success_that_is_told() {
        let running = trace(State::Running, true);
        let sample = Trace { mode: Mode::Sample, ..trace(State::Succeeded, false) };
        let told = traces(&[running.clone(), sample.clone()]).settled();
        assert_eq!(told.all(), [Trace { failed_before: false, ..running }, sample]);
    }

    #[test]
    fn a_comment_with_its_hidden_lines_fits_github_whatever_its_folder_is_called() {
        let marker = Marker { repo: u64::MAX, pr: u64::MAX, key: "-/ü".repeat(1000) };
        let asked = Some(Asked { comment: u64::MAX, commit: "a".repeat(64).parse().unwrap() });
        let long = |mode| Trace { run: u64::MAX, mode, asked: asked.clone(), ..trace(State::Succeeded, true) };
        let many = (0..100).flat_map(|less| {
            let asked = Some(Asked { comment: u64::MAX - less, commit: "a".repeat(64).parse().unwrap() });
            [Mode::Sample, Mode::Full].map(|mode| Trace { asked: asked.clone(), ..long(mode) })
        });
        let last = traces(&many.collect::<Vec<_>>());
        let text = marked(&marker, &last, &"x".repeat(60_000));
        assert!(text.len() <= 65_536, "{}", text.len());
    }
}
