//! The names that criteria and templates may use of an event, their types, and the kinds of events that have them.

use super::Kind;

/// What a value may be. Everything but [`Shape::Bool`] may be null where it is not known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// True or false.
    Bool,
    /// A number.
    Number,
    /// A text.
    Text,
    /// A list of texts.
    Texts,
    /// Changed paths: a list of texts, of which nothing may be known.
    Paths,
    /// Anything, with anything in it: a payload.
    Any,
    /// Known names.
    Object(&'static [Field]),
}

/// One name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field {
    /// The name.
    pub name: &'static str,
    /// What it is.
    pub shape: Shape,
    /// The kinds of events that have it; empty for all. Elsewhere it is null.
    pub kinds: &'static [Kind],
    /// One line for people.
    pub about: &'static str,
}

impl Field {
    /// Whether an event of one of these kinds may have it.
    pub fn is_of(&self, kinds: &[Kind]) -> bool {
        self.kinds.is_empty() || kinds.is_empty() || self.kinds.iter().any(|kind| kinds.contains(kind))
    }
}

const REFS: &[Kind] = &[
    Kind::Push,
    Kind::BranchCreated,
    Kind::BranchDeleted,
    Kind::TagCreated,
    Kind::TagMoved,
    Kind::TagDeleted,
    Kind::Schedule,
    Kind::Manual,
    Kind::RunFinished,
    Kind::Artifact,
];
const CHANGES: &[Kind] = &[Kind::Push, Kind::BranchCreated, Kind::TagCreated, Kind::TagMoved, Kind::PullRequest];
const PULLS: &[Kind] = &[Kind::PullRequest, Kind::Comment, Kind::CommitStatus];
const TAGS: &[Kind] = &[Kind::TagCreated, Kind::TagMoved, Kind::TagDeleted, Kind::Manual];

const fn field(name: &'static str, shape: Shape, about: &'static str) -> Field {
    Field { name, shape, kinds: &[], about }
}

const fn of(kinds: &'static [Kind], name: &'static str, shape: Shape, about: &'static str) -> Field {
    Field { name, shape, kinds, about }
}

const PULL: &[Field] = &[
    field("number", Shape::Number, "its number"),
    field("action", Shape::Text, "what happened: opened, synchronize, closed, labeled, …"),
    field("title", Shape::Text, "its title; a stranger's text"),
    field("author", Shape::Text, "who opened it"),
    field("head", Shape::Text, "the commit at its head"),
    field("head_branch", Shape::Text, "the branch at its head"),
    field("head_repo", Shape::Text, "the repository of its head"),
    field("base_branch", Shape::Text, "the branch that it goes to"),
    field("fork", Shape::Bool, "its head is in another repository"),
    field("draft", Shape::Bool, "not yet ready"),
    field("merged", Shape::Bool, "closed by merging"),
    field("labels", Shape::Texts, "names of its labels"),
    field("updated", Shape::Text, "when the forge last changed it"),
];

const COMMENT: &[Field] = &[
    field("id", Shape::Number, "the forge's id"),
    field("body", Shape::Text, "what was written; a stranger's text"),
    field("author", Shape::Text, "who wrote it"),
    field("permission", Shape::Text, "what the author may do: admin, write, read, none"),
    field("command", Shape::Text, "the command in it, null when there is none"),
    field("arguments", Shape::Texts, "what follows the command"),
    field("created", Shape::Text, "when it was written, RFC 3339 in UTC"),
    field("refused", Shape::Text, "why what it asks for is refused; null when it may, or asks for nothing"),
    field("unanswered", Shape::Bool, "nobody is told why"),
    field("vouched", Shape::Bool, "its author vouches for a fork's commit"),
];

const SCHEDULE: &[Field] =
    &[field("name", Shape::Text, "the handler's name"), field("cron", Shape::Text, "the cron line")];

const RUN: &[Field] = &[
    field("id", Shape::Text, "its id"),
    field("status", Shape::Text, "succeeded, failed, cancelled, lost"),
    field("mode", Shape::Text, "sample or full"),
    field("url", Shape::Text, "where it can be looked at"),
    field("seconds", Shape::Number, "how long it took"),
    field("previous", Shape::Text, "how the run before it on the same branch ended"),
];

const ARTIFACT: &[Field] = &[
    field("id", Shape::Number, "the forge's id"),
    field("name", Shape::Text, "its name"),
    field("workflow_run", Shape::Number, "the workflow run that left it"),
    field("attempt", Shape::Number, "which attempt of that run"),
    field("size", Shape::Number, "bytes"),
    field("digest", Shape::Text, "sha256:…"),
];

const STATUS: &[Field] = &[
    field("id", Shape::Number, "the forge's id"),
    field("context", Shape::Text, "whose status it is"),
    field("state", Shape::Text, "pending, success, failure, error"),
    field("target_url", Shape::Text, "where more stands"),
    field("description", Shape::Text, "one line"),
];

const EVENT: Shape = Shape::Object(&[
    field("kind", Shape::Text, "push, branch_created, pull_request, …"),
    field("source", Shape::Text, "who told: poll, webhook, schedule, person, api, server"),
    field("repo", Shape::Text, "the repository: acme/churn"),
    field("repo_owner", Shape::Text, "acme"),
    field("repo_name", Shape::Text, "churn"),
    field("at", Shape::Text, "when, RFC 3339 in UTC"),
    field("delivery", Shape::Text, "the id of the webhook delivery"),
    field("actor", Shape::Text, "the account behind it"),
    field("default_branch", Shape::Text, "the repository's default branch"),
    of(REFS, "ref", Shape::Text, "refs/heads/main"),
    of(REFS, "branch", Shape::Text, "main; null for tags"),
    of(TAGS, "tag", Shape::Text, "v1.0; null for branches"),
    of(REFS, "before", Shape::Text, "the commit before"),
    field("after", Shape::Text, "the commit now; null when the ref is gone"),
    field("commit", Shape::Text, "the commit that a run would be about"),
    of(REFS, "forced", Shape::Bool, "the commit now does not descend from the one before"),
    of(REFS, "created", Shape::Bool, "the ref is new"),
    of(REFS, "deleted", Shape::Bool, "the ref is gone"),
    field(
        "message",
        Shape::Text,
        "the first line of the commit's message, where a webhook told of it; a poll does not",
    ),
    of(
        CHANGES,
        "paths",
        Shape::Paths,
        "what changed, of a new branch since it left the default one; not known of pull requests, new tags, and where \
         `fault` says so; any() and all() of unknown paths hold",
    ),
    of(PULLS, "pull", Shape::Object(PULL), "the pull request"),
    of(&[Kind::Comment], "comment", Shape::Object(COMMENT), "the comment"),
    of(&[Kind::Schedule], "schedule", Shape::Object(SCHEDULE), "the schedule"),
    of(&[Kind::RunFinished], "run", Shape::Object(RUN), "the run that ended"),
    of(&[Kind::Artifact], "artifact", Shape::Object(ARTIFACT), "the artifact"),
    of(&[Kind::CommitStatus], "status", Shape::Object(STATUS), "the status"),
    field("payload", Shape::Any, "what the webhook delivered, as it came"),
]);

/// All names below `event`.
pub fn event() -> &'static Shape {
    &EVENT
}

/// The one key of what stands in for a value of which nothing is known: one of Unicode's noncharacters, which are for a
/// program's own use and in no text that is exchanged. Its value is the name.
pub const UNKNOWN: &str = "\u{fdd2}";

impl Shape {
    /// The field of this name, where the shape has names.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        match self {
            Self::Object(fields) => fields.iter().find(|field| field.name == name),
            _ => None,
        }
    }

    /// A value that stands for one that is not known yet: texts and numbers are their own name in angle quotes, what may be
    /// anything is an object of [`UNKNOWN`], which templates take for whatever they ask it for.
    pub fn stand_in(&self, name: &str) -> serde_json::Value {
        use serde_json::Value;
        match self {
            Self::Bool => Value::Bool(true),
            Self::Number | Self::Text => Value::String(format!("‹{name}›")),
            Self::Any => {
                let known = (UNKNOWN.to_owned(), Value::String(name.to_owned()));
                Value::Object(std::iter::once(known).collect())
            }
            Self::Texts | Self::Paths => Value::Array(vec![Value::String(format!("‹{name}›"))]),
            Self::Object(fields) => {
                let inner =
                    fields.iter().map(|field| (field.name, field.shape.stand_in(&format!("{name}.{}", field.name))));
                Value::Object(inner.map(|(name, value)| (name.to_owned(), value)).collect())
            }
        }
    }

    /// All names of it.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + Clone + use<> {
        let fields: &'static [Field] = match self {
            Self::Object(fields) => fields,
            _ => &[],
        };
        fields.iter().map(|field| field.name)
    }

    /// A word for people: `a text`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Texts => "a list of texts",
            Self::Paths => "a list of paths",
            Self::Any => "anything",
            Self::Object(_) => "a group of names",
        }
    }
}
