//! The commands that were carried out before the last one of their mode: in hidden lines of our comment, so that one that is
//! delivered once more is known again. The last ones of each mode only; what came before those counts as carried out too.

use crate::id::CommitSha;
use crate::plan::Mode;

use super::body::Trace;
use super::progress::State;

/// How such a line begins.
const LINE: &str = "<!-- soopervisor:ended mode=";
/// Commands of a mode that are kept: more than one person may ask for in an hour.
const MOST: usize = 16;

/// A command that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    comment: u64,
    /// The commit, where it succeeded.
    pub(super) succeeded: Option<CommitSha>,
}

impl Known {
    /// The command that a run was for.
    pub(super) fn of(trace: &Trace) -> Option<Self> {
        let asked = trace.asked.as_ref()?;
        let succeeded = (trace.state == State::Succeeded).then(|| asked.commit.clone());
        Some(Self { comment: asked.comment, succeeded })
    }

    fn word(&self) -> String {
        match &self.succeeded {
            Some(commit) => format!("{}={commit}", self.comment),
            None => self.comment.to_string(),
        }
    }

    fn parse(word: &str) -> Option<Self> {
        match word.split_once('=') {
            Some((comment, commit)) => Some(Self { comment: comment.parse().ok()?, succeeded: commit.parse().ok() }),
            None => Some(Self { comment: word.parse().ok()?, succeeded: None }),
        }
    }
}

/// Commands of both modes, the latest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Ended {
    full: Vec<Known>,
    sample: Vec<Known>,
}

impl Ended {
    fn of(&self, mode: Mode) -> &[Known] {
        if mode == Mode::Sample { &self.sample } else { &self.full }
    }

    fn of_mut(&mut self, mode: Mode) -> &mut Vec<Known> {
        if mode == Mode::Sample { &mut self.sample } else { &mut self.full }
    }

    /// Whether a command is one of them, or older than all that are kept.
    pub(super) fn knows(&self, mode: Mode, comment: u64) -> bool {
        let all = self.of(mode);
        let older = all.len() == MOST && all.last().is_some_and(|oldest| comment < oldest.comment);
        older || all.iter().any(|known| known.comment == comment)
    }

    /// The commit that was run for it, if that succeeded and is remembered.
    pub(super) fn succeeded(&self, mode: Mode, comment: u64) -> Option<CommitSha> {
        self.of(mode).iter().find(|known| known.comment == comment)?.succeeded.clone()
    }

    /// Remembers what a run was for.
    pub(super) fn keep(&mut self, trace: &Trace) {
        let Some(known) = Known::of(trace) else { return };
        let all = self.of_mut(trace.mode);
        all.retain(|other| other.comment != known.comment);
        all.push(known);
        all.sort_by_key(|known| std::cmp::Reverse(known.comment));
        all.truncate(MOST);
    }

    /// As they stand in our comment.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        let line = |name: &str, all: &[Known]| {
            let words: Vec<String> = all.iter().map(Known::word).collect();
            (!all.is_empty()).then(|| format!("{LINE}{name} {} -->", words.join(" ")))
        };
        [line("full", &self.full), line("sample", &self.sample)].into_iter().flatten()
    }

    /// What the lines say, until one that is none.
    pub(super) fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        let mut ended = Self::default();
        let words = lines.map_while(|line| line.strip_prefix(LINE)?.strip_suffix(" -->")?.split_once(' '));
        for (name, words) in words.take(2) {
            let mode = if name == "sample" { Mode::Sample } else { Mode::Full };
            let all = ended.of_mut(mode);
            all.extend(words.split(' ').filter_map(Known::parse).take(MOST));
            all.sort_by_key(|known| std::cmp::Reverse(known.comment));
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::super::body::{Asked, Traces, find_marker, marked};
    use super::*;
    use crate::comment::Marker;
    use crate::forge::{Author, Comment, Me};

    fn sha(digit: char) -> CommitSha {
        digit.to_string().repeat(40).parse().unwrap()
    }

    fn trace(mode: Mode, state: State, comment: u64) -> Trace {
        let asked = Some(Asked { comment, commit: sha('a') });
        Trace { run: comment + 1000, mode, state, failed_before: false, asked }
    }

    /// Written, and read again, as a later run finds it.
    fn told(traces: &Traces) -> Traces {
        let marker = Marker { repo: 5, pr: 7, key: ".".to_owned() };
        let author = Author { id: 1, login: "github-actions[bot]".to_owned(), bot: true };
        let now = jiff::Timestamp::UNIX_EPOCH;
        let body = marked(&marker, traces, "hello");
        let comment = Comment { id: 3, number: 7, author, body, created: now, updated: now, url: String::new() };
        find_marker(&[comment], &Me::App("github-actions".to_owned(), None), &marker).unwrap().traces
    }

    #[test]
    fn a_command_is_known_again_however_many_came_after_it() {
        let (full, sample) = (Mode::Full, Mode::Sample);
        let mut traces = Traces::default();
        for comment in 100..150 {
            let state = if comment % 2 == 0 { State::Succeeded } else { State::Failed };
            traces = told(&traces.with(trace(full, State::Running, comment))).with(trace(full, state, comment));
            traces = told(&traces);
            for earlier in 100..=comment {
                assert!(traces.answered(full, earlier), "{earlier} after {comment}: {traces:?}");
                assert!(!traces.answered(sample, earlier) && !traces.knows(sample, earlier));
                let kept = usize::try_from(comment - earlier).unwrap() <= MOST;
                let succeeded = (earlier % 2 == 0 && kept).then(|| sha('a'));
                assert_eq!(traces.succeeded(full, earlier), succeeded, "{earlier} after {comment}");
            }
            assert!(!traces.answered(full, comment + 1) && traces.succeeded(full, comment + 1).is_none());
        }
        assert_eq!(traces.ended.of(full).len(), MOST, "what is kept has a bound");
    }

    #[test]
    fn one_that_waited_for_its_runner_is_no_answered_one_since_a_later_one_was() {
        let mut traces = Traces::default();
        for comment in [20, 22, 24, 26] {
            traces = told(&traces.with(trace(Mode::Full, State::Succeeded, comment)));
        }
        assert!(!traces.answered(Mode::Full, 21) && traces.answered(Mode::Full, 20));
    }

    #[test]
    fn what_goes_on_is_known_and_not_answered_and_what_is_repeated_counts_as_its_last_run() {
        let running = Traces::default().with(trace(Mode::Full, State::Running, 7));
        assert!(running.knows(Mode::Full, 7) && !running.answered(Mode::Full, 7));
        let repeated = Traces::default()
            .with(trace(Mode::Full, State::Succeeded, 7))
            .with(trace(Mode::Full, State::Succeeded, 8))
            .with(trace(Mode::Full, State::Failed, 7));
        let repeated = told(&repeated);
        assert!(repeated.answered(Mode::Full, 7) && repeated.succeeded(Mode::Full, 7).is_none());
        assert_eq!(repeated.succeeded(Mode::Full, 8), Some(sha('a')));
    }

    #[test]
    fn a_failure_that_readers_heard_is_over_is_an_answered_command_all_the_same() {
        let failed = Traces::default().with(trace(Mode::Full, State::Failed, 7));
        let settled = told(&failed.settled().with(trace(Mode::Sample, State::Succeeded, 8)));
        assert!(settled.answered(Mode::Full, 7) && settled.of(Mode::Full).is_none());
    }

    #[test]
    fn lines_that_are_none_are_passed_over() {
        for (line, known) in [
            ("<!-- soopervisor:ended mode=full 7 x=y 9=z -->", &[7, 9][..]),
            ("<!-- soopervisor:ended mode=full  -->", &[]),
            ("<!-- soopervisor:ended mode=full 7", &[]),
            ("", &[]),
        ] {
            let ended = Ended::parse([line].into_iter());
            for comment in [7, 9] {
                assert_eq!(ended.knows(Mode::Full, comment), known.contains(&comment), "{line}");
            }
        }
    }
}
