//! The comment's text: what `comment` draws, between two hidden lines by which a later run finds it and how it stood.

use crate::comment::{Limit, Marker, Report, render};
use crate::forge::{Comment, Me};
use crate::plan::Mode;

use super::progress::State;

/// How the hidden last line begins.
const TRACE: &str = "<!-- soopervisor:run=";

/// What the hidden last line says: which run of the workflow the comment speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// The workflow's run.
    pub run: u64,
    /// Sample or full.
    pub mode: Mode,
    /// How that stood.
    pub state: State,
    /// Whether what had ended before it had failed, and nobody was told of a success since.
    pub failed_before: bool,
}

/// Our comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The comment.
    pub id: u64,
    /// What it says of itself.
    pub trace: Option<Trace>,
}

impl Trace {
    /// Whether readers know of a failure, and would like to hear that it is over.
    pub fn owes_a_success(self) -> bool {
        match self.state {
            State::Failed | State::Broken => true,
            State::Running | State::Cancelled => self.failed_before,
            State::Succeeded => false,
        }
    }

    fn line(self) -> String {
        let mode = if self.mode == Mode::Sample { "sample" } else { "full" };
        let after = if self.failed_before { " after=failed" } else { "" };
        format!("{TRACE}{} mode={mode} state={}{after} -->", self.run, self.state.word())
    }

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
        Some(Self { run, mode, state, failed_before: words.next() == Some("after=failed") })
    }
}

/// The whole text of a comment.
pub fn body(report: &Report, marker: &Marker, trace: Option<Trace>) -> String {
    marked(marker, trace, &render(report, Limit::COMMENT))
}

/// Any text between the hidden lines.
pub fn marked(marker: &Marker, trace: Option<Trace>, text: &str) -> String {
    let last = trace.map(|trace| format!("\n{}\n", trace.line())).unwrap_or_default();
    format!("{}\n{}\n{last}", marker.line(), text.trim())
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
    let last = comment.body.trim_end().lines().last().unwrap_or_default();
    Some(Found { id: comment.id, trace: Trace::parse(last) })
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
        Trace { run: 99, mode: Mode::Full, state, failed_before }
    }

    #[test]
    fn our_comment_is_found_by_its_author_and_a_planted_one_is_not() {
        let me = Me::App("github-actions".to_owned());
        let marker = |pr, key: &str| Marker { repo: 5, pr, key: key.to_owned() };
        let said = trace(State::Running, true);
        let text = marked(&marker(7, "ml/churn"), Some(said), "hello");
        let ours = comment(3, true, &text);
        let planted = comment(4, false, &text);
        let found = |comments: &[Comment], pr, key| find_marker(comments, &me, &marker(pr, key));
        let expected = Some(Found { id: 3, trace: Some(said) });
        assert_eq!(found(&[ours.clone(), planted.clone()], 7, "ml/churn"), expected);
        assert_eq!(found(&[planted], 7, "ml/churn"), None);
        assert_eq!(found(std::slice::from_ref(&ours), 7, "ml"), None);
        assert_eq!(found(&[ours], 8, "ml/churn"), None);
        let quoting = comment(5, true, &format!("as above:\n{text}"));
        assert_eq!(found(&[quoting], 7, "ml/churn"), None);
        let cut = comment(6, true, &text.replace("99", "x"));
        assert_eq!(found(&[cut], 7, "ml/churn"), Some(Found { id: 6, trace: None }));
    }

    #[test]
    fn the_hidden_line_is_read_back_as_it_was_written() {
        for state in [State::Running, State::Succeeded, State::Failed, State::Cancelled] {
            for failed_before in [false, true] {
                for mode in [Mode::Sample, Mode::Full] {
                    let said = Trace { run: 4242, mode, state, failed_before };
                    assert_eq!(Trace::parse(&said.line()), Some(said), "{}", said.line());
                }
            }
        }
        for wrong in ["", "<!-- soopervisor:run=1 -->", "<!-- soopervisor:run=1 mode=full state=fine -->", "run=1"] {
            assert_eq!(Trace::parse(wrong), None, "{wrong}");
        }
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
            assert_eq!(trace(state, failed_before).owes_a_success(), owes, "{state:?} {failed_before}");
        }
    }

    #[test]
    fn a_comment_with_its_hidden_lines_fits_github_whatever_its_folder_is_called() {
        let marker = Marker { repo: u64::MAX, pr: u64::MAX, key: "-/ü".repeat(1000) };
        let last = Trace { run: u64::MAX, ..trace(State::Succeeded, true) };
        let text = marked(&marker, Some(last), &"x".repeat(60_000));
        assert!(text.len() <= 65_536, "{}", text.len());
    }
}
