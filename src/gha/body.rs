//! The comment's text: what `comment` draws, between two hidden lines by which a later run finds it.

use crate::comment::{Limit, Marker, Report, render};
use crate::forge::{Comment, Me};

/// The hidden last line: which run of the workflow the comment speaks for.
const RUN: &str = "<!-- soopervisor:run=";

/// The whole text of a comment.
pub fn body(report: &Report, marker: &Marker, run: Option<u64>) -> String {
    marked(marker, run, &render(report, Limit::COMMENT))
}

/// Any text between the hidden lines.
pub fn marked(marker: &Marker, run: Option<u64>, text: &str) -> String {
    let run = run.map(|run| format!("\n{RUN}{run} -->\n")).unwrap_or_default();
    format!("{}\n{}\n{run}", marker.line(), text.trim())
}

/// Our comment among all of them, and the workflow's run that it last spoke for. Only what we wrote is looked at: anybody
/// can write the hidden lines.
pub fn find_marker(comments: &[Comment], me: &Me, marker: &Marker) -> Option<(u64, Option<u64>)> {
    let line = marker.line();
    let ours = comments.iter().rev().filter(|comment| me.wrote(&comment.author));
    let comment = ours.into_iter().find(|comment| comment.body.lines().next() == Some(line.as_str()))?;
    let last = comment.body.trim_end().lines().last().unwrap_or_default();
    let run = last.strip_prefix(RUN).and_then(|rest| rest.strip_suffix(" -->")?.parse().ok());
    Some((comment.id, run))
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

    #[test]
    fn our_comment_is_found_by_its_author_and_a_planted_one_is_not() {
        let me = Me::App("github-actions".to_owned());
        let marker = |pr, key: &str| Marker { repo: 5, pr, key: key.to_owned() };
        let text = marked(&marker(7, "ml/churn"), Some(99), "hello");
        let ours = comment(3, true, &text);
        let planted = comment(4, false, &text);
        let found = |comments: &[Comment], pr, key| find_marker(comments, &me, &marker(pr, key));
        assert_eq!(found(&[ours.clone(), planted.clone()], 7, "ml/churn"), Some((3, Some(99))));
        assert_eq!(found(&[planted], 7, "ml/churn"), None);
        assert_eq!(found(std::slice::from_ref(&ours), 7, "ml"), None);
        assert_eq!(found(&[ours], 8, "ml/churn"), None);
        let quoting = comment(5, true, &format!("as above:\n{text}"));
        assert_eq!(found(&[quoting], 7, "ml/churn"), None);
        let cut = comment(6, true, &text.replace("99", "x"));
        assert_eq!(found(&[cut], 7, "ml/churn"), Some((6, None)));
    }
}
