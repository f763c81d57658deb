//! What makes two events the same one: told twice, they have one key.

use super::{Event, Kind};
use crate::id::CommitSha;

impl Event {
    /// The key that is unique in the store. A poll and a webhook, or three webhooks, that saw one change give one key;
    /// the delivery's id is in it only for what a person asked for, where asking twice means twice.
    ///
    /// Parts are joined by a space, which no ref, repository name or id can hold.
    pub fn key(&self) -> String {
        let parts: Vec<String> = match self.kind {
            Kind::Push
            | Kind::BranchCreated
            | Kind::BranchDeleted
            | Kind::TagCreated
            | Kind::TagMoved
            | Kind::TagDeleted => self.ref_parts(),
            Kind::PullRequest => self.pull_parts(),
            Kind::Comment => vec![number(self.comment.as_ref().map(|comment| comment.id))],
            Kind::Schedule => {
                let name = self.schedule.as_ref().map_or("-", |schedule| &schedule.name);
                vec![squeezed(name), self.at.to_string()]
            }
            Kind::Manual => vec![self.delivery.as_deref().map_or_else(|| self.at.to_string(), squeezed)],
            Kind::RunFinished => vec![self.run.as_ref().map_or_else(dash, |run| squeezed(&run.id))],
            Kind::Artifact => vec![number(self.artifact.as_ref().map(|artifact| artifact.id))],
            Kind::CommitStatus => self.status_parts(),
        };
        format!("{} {} {}", self.word(), self.repo, parts.join(" "))
    }

    /// Kinds of one ref share a word: who saw it may call the same change a push or a new branch.
    fn word(&self) -> &'static str {
        match self.kind {
            Kind::Push
            | Kind::BranchCreated
            | Kind::BranchDeleted
            | Kind::TagCreated
            | Kind::TagMoved
            | Kind::TagDeleted => "ref",
            other => other.name(),
        }
    }

    fn ref_parts(&self) -> Vec<String> {
        let mut parts = vec![
            self.reference.clone().unwrap_or_else(dash),
            commit(self.before.as_ref()),
            commit(self.after.as_ref()),
        ];
        parts.extend(self.change.map(|change| change.to_string()));
        parts
    }

    fn pull_parts(&self) -> Vec<String> {
        let Some(pull) = &self.pull else { return vec![dash()] };
        vec![
            pull.number.to_string(),
            squeezed(&pull.action),
            commit(pull.head.as_ref()),
            pull.updated.as_deref().map_or_else(dash, squeezed),
        ]
    }

    fn status_parts(&self) -> Vec<String> {
        let Some(status) = &self.status else { return vec![dash()] };
        let words = [&status.context, &status.state].map(|word| squeezed(word));
        [vec![commit(self.after.as_ref()), status.id.to_string()], words.to_vec()].concat()
    }
}

fn dash() -> String {
    "-".to_owned()
}

fn commit(commit: Option<&CommitSha>) -> String {
    commit.map_or_else(dash, ToString::to_string)
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(dash, |number| number.to_string())
}

/// Without the spaces that separate parts, and never empty. `%` is written too, so that two texts stay two.
fn squeezed(text: &str) -> String {
    if text.is_empty() {
        return dash();
    }
    let text = text.replace('%', "%25").replace(char::is_whitespace, "%20");
    // Postgres keeps no text with a NUL in it.
    text.replace(char::is_control, "%00")
}
