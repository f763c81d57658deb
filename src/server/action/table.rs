//! Every action: its word, its arguments and its result, in one table.

use std::str::FromStr;

use crate::server::event::schema::{Field, Shape};
use crate::server::file::form::{Form, Key, Table, may, must};

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Run the pipeline for a commit.
    Run,
    /// Run scripts in a container.
    Shell,
    /// Write a comment on the pull request, or bring the one written before up to date.
    Comment,
    /// Set a commit status.
    Status,
    /// Report a check run.
    Check,
    /// Add labels to the pull request.
    Label,
    /// Do what a comment asks for: `/soopervisor run`, `cancel`, `help`.
    Command,
    /// Start a workflow of a forge repository, once for a commit.
    Dispatch,
    /// Make an HTTP request.
    Http,
    /// Send a mail.
    Mail,
    /// Write to a chat.
    Chat,
    /// Tell named targets, by mail or chat.
    Notify,
    /// Rebuild other repositories.
    Trigger,
    /// Write a line to the server's log.
    Log,
}

const MODE: Form = Form::Choice(&["sample", "full"]);
const TEXTS: Form = Form::List(&Form::Template);

const RUN: &[Key] = &[
    may("mode", MODE, "with a sample of the data, or with all of it (the default)"),
    may("ref", Form::Template, "what is run, instead of the event's commit: a branch, a tag, a commit"),
    may("args", TEXTS, "arguments for `ploomber build`"),
    may("project", Form::Template, "first folder in the storage, instead of the repository's"),
    may("storage", Form::Template, "where outputs go, instead of the repository's"),
    may("priority", Form::Count(0, 100), "higher ones go first [default: 50, and 60 where a person asks]"),
    may("timeout", Form::Duration, "how long it may take"),
    may("supersede", Form::Flag, "cancel runs of the same branch that still wait (default true)"),
    may("wait", Form::Flag, "go on when it has ended (the default), or as soon as it is queued"),
];

/// By repository, then by branch; `*` is for all others.
const SCRIPTS: Form = Form::Map(&Form::Map(&Form::List(&Form::Script)));

const SHELL: &[Key] = &[
    may("script", Form::Script, "bash text; values reach it as variables"),
    may("scripts", SCRIPTS, "bash texts by repository and branch, in order; the first that fails ends it"),
    may("image", Form::Text, "the container's image [default: the runner image]"),
    may("env", Form::Map(&Form::Template), "variables of the script"),
    may("args", TEXTS, "arguments of the script: $1, $2, …"),
    may("secrets", Form::List(&Form::Name), "names of `secrets` that the script gets as variables"),
    may(
        "workspace",
        Form::Choice(&["commit", "merge", "none"]),
        "what is checked out: the commit, the pull request merged into its base, nothing",
    ),
    may("submodules", Form::Flag, "fetch submodules that are on the same host too [default: the repository's]"),
    may("network", Form::Choice(&["bridge", "none"]), "whether the container reaches the network"),
    may("timeout", Form::Duration, "how long it may take [default: 1h]"),
    may("memory", Form::Size, "memory at most"),
    may("retry", Form::Flag, "start again after the server was interrupted; without it such a step has failed"),
];

const COMMENT: &[Key] = &[
    must("body", Form::Markdown, "Markdown; values in it are shown as they are and never obeyed, but for `| raw`"),
    may("pull", Form::Template, "another pull request than the event's, by its number"),
    may(
        "key",
        Form::Template,
        "comments of one key are one comment, which is brought up to date [default: the handler's name]",
    ),
    may("append", Form::Flag, "write a new comment each time"),
];

const STATES: Form = Form::Template;

const STATUS: &[Key] = &[
    must("state", STATES, "pending, success, failure, error"),
    may("context", Form::Template, "whose status it is [default: soopervisor]"),
    may("description", Form::Template, "one line, at most 140 characters"),
    may(
        "url",
        Form::Address,
        "where more stands; values in it are percent-encoded, but for one that it begins with, and for `| raw`",
    ),
    may("commit", Form::Template, "another commit than the event's"),
];

const CHECK: &[Key] = &[
    may("name", Form::Template, "the check's name [default: soopervisor]"),
    must(
        "conclusion",
        STATES,
        "success, failure, neutral, cancelled, skipped, timed_out, action_required, or in_progress",
    ),
    must("title", Form::Template, "one line"),
    must("summary", Form::Markdown, "Markdown; values in it are shown as they are and never obeyed, but for `| raw`"),
    may(
        "url",
        Form::Address,
        "where more stands; values in it are percent-encoded, but for one that it begins with, and for `| raw`",
    ),
    may("commit", Form::Template, "another commit than the event's"),
];

const LABEL: &[Key] = &[
    may("add", TEXTS, "labels to add"),
    may("remove", TEXTS, "labels to take away"),
    may("pull", Form::Template, "another pull request than the event's, by its number"),
];

const COMMAND: &[Key] = &[
    may("args", TEXTS, "arguments for `ploomber build`"),
    may("project", Form::Template, "first folder in the storage, instead of the repository's"),
    may("storage", Form::Template, "where outputs go, instead of the repository's"),
    may("priority", Form::Count(0, 100), "higher ones go first [default: 60]"),
    may("timeout", Form::Duration, "how long it may take"),
];

const DISPATCH: &[Key] = &[
    must("repo", Form::Template, "the repository whose workflow is started: acme/builds"),
    may("credential", Form::Name, "a name of `credentials` [default: that of the repository, or of the event's]"),
    may(
        "event_type",
        Form::Template,
        "for workflows `on: repository_dispatch`; on GitLab, a pipeline's `SOOPERVISOR_EVENT`",
    ),
    may(
        "workflow",
        Form::Template,
        "a workflow's file without its folder, or its number on GitHub, for workflows `on: workflow_dispatch`",
    ),
    may("ref", Form::Template, "the branch whose workflow it is [default: the default branch]"),
    may(
        "inputs",
        Form::Map(&Form::Template),
        "inputs of the workflow, the payload of the event, or a pipeline's variables",
    ),
    may("commit", Form::Template, "the source's commit that is to be built [default: the event's]"),
    may("again", Form::Flag, "also when this commit was dispatched or built before"),
    may(
        "cooldown",
        Form::Duration,
        "how long to wait for a dispatched build before another one is in order [default: 6h]",
    ),
];

const HTTP: &[Key] = &[
    must(
        "url",
        Form::Address,
        "where to; values in it are percent-encoded, but for one that it begins with, and for `| raw`",
    ),
    may(
        "method",
        Form::Choice(&["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]),
        "how [default: GET, or POST with a body]",
    ),
    may("headers", Form::Map(&Form::Template), "headers"),
    may("json", Form::Json, "a body in JSON"),
    may("body", Form::Template, "a body as it is"),
    may("bearer", Form::Name, "a name of `secrets`, sent as a bearer token"),
    may("expect", Form::List(&Form::Count(100, 599)), "statuses that are a success [default: 200 to 299]"),
    may("timeout", Form::Duration, "how long it may take [default: 30s]"),
    may(
        "retry",
        Form::Flag,
        "send a POST or PATCH again after the server was interrupted; its receiver tells the two by `Idempotency-Key`",
    ),
];

const MAIL: &[Key] = &[
    must("to", TEXTS, "addresses"),
    must("subject", Form::Template, "one line"),
    must("text", Form::Template, "the text"),
];

/// Services that take chat messages by webhook.
pub const CHATS: &[&str] = &["slack", "mattermost", "teams", "discord"];

const CHAT: &[Key] = &[
    must("service", Form::Choice(CHATS), "whose form of message"),
    must("secret", Form::Name, "the name of `secrets` that holds the webhook's address"),
    must("text", Form::Message, "the message; values in it are shown as they are and never obeyed, but for `| raw`"),
];

const NOTIFY: &[Key] = &[
    may("to", Form::List(&Form::Name), "names of `notify`"),
    may("mail", TEXTS, "addresses"),
    may("subject", Form::Template, "one line, for mails"),
    may(
        "text",
        Form::Message,
        "the message; values in it are shown as they are and never obeyed, but for `| raw` [default: what happened, in two lines]",
    ),
];

const TRIGGER: &[Key] = &[
    may(
        "repos",
        Form::WordOr("dependents", &Form::List(&Form::Glob)),
        "`dependents` (the default), or globs over the names of repositories",
    ),
    may("ref", Form::Template, "what is run there [default: the default branch]"),
    may("mode", MODE, "with a sample of the data, or with all of it"),
];

const LOG: &[Key] = &[must("text", Form::Template, "the line")];

const fn field(name: &'static str, shape: Shape, about: &'static str) -> Field {
    Field { name, shape, kinds: &[], about }
}

const ENDING: Field =
    field("status", Shape::Text, "succeeded, failed or skipped; of a run also cancelled or superseded");
const ERROR: Field = field("error", Shape::Text, "why it failed, was called off, or had nothing to be done to");
const URL: Field = field("url", Shape::Text, "where it can be looked at");

const RUN_RESULT: Shape = Shape::Object(&[
    ENDING,
    ERROR,
    URL,
    field("id", Shape::Text, "the run's id"),
    field("mode", Shape::Text, "sample or full"),
    field("commit", Shape::Text, "what was run"),
    field("seconds", Shape::Number, "how long it took"),
    field("duration", Shape::Text, "the same for people: 1m 20s"),
    field("storage", Shape::Text, "where the outputs are"),
    field("previous", Shape::Text, "how the run before it on the same branch ended"),
    field("unread", Shape::Text, "why `ref` is as it was last seen, where the repository could not be read"),
]);
const COMMAND_RESULT: Shape = Shape::Object(&[
    ENDING,
    ERROR,
    URL,
    field("command", Shape::Text, "run, cancel or help; null when the comment asks for nothing, or may not"),
    field("refused", Shape::Text, "why it was refused"),
    field("id", Shape::Text, "the run's id"),
    field("mode", Shape::Text, "sample or full"),
    field("commit", Shape::Text, "what was run"),
    field("seconds", Shape::Number, "how long it took"),
    field("duration", Shape::Text, "the same for people: 1m 20s"),
    field("storage", Shape::Text, "where the outputs are"),
    field("previous", Shape::Text, "how the run before it ended"),
]);
const SHELL_RESULT: Shape = Shape::Object(&[
    ENDING,
    ERROR,
    field("code", Shape::Number, "the exit code"),
    field("output", Shape::Text, "the end of what it printed, secrets hidden"),
    field("lines", Shape::Texts, "the same, by line"),
    field("seconds", Shape::Number, "how long it took"),
]);
const LINK_RESULT: Shape = Shape::Object(&[ENDING, ERROR, URL, field("id", Shape::Text, "the forge's id")]);
const PLAIN_RESULT: Shape = Shape::Object(&[ENDING, ERROR]);
const DISPATCH_RESULT: Shape = Shape::Object(&[
    ENDING,
    ERROR,
    field("triggered", Shape::Bool, "false when this commit was built or is being built"),
    field("reason", Shape::Text, "why not"),
]);
const HTTP_RESULT: Shape = Shape::Object(&[
    ENDING,
    ERROR,
    field("code", Shape::Number, "the status of the answer"),
    field("body", Shape::Text, "the answer's text"),
    field("json", Shape::Any, "the answer, where it is JSON"),
]);
const SENT_RESULT: Shape = Shape::Object(&[ENDING, ERROR, field("sent", Shape::Texts, "who was told")]);
const TRIGGER_RESULT: Shape = Shape::Object(&[ENDING, ERROR, field("repos", Shape::Texts, "what is rebuilt")]);

const RUN_TABLE: Table = Table { what: "`run`", keys: RUN };
const SHELL_TABLE: Table = Table { what: "`shell`", keys: SHELL };
const COMMENT_TABLE: Table = Table { what: "`comment`", keys: COMMENT };
const STATUS_TABLE: Table = Table { what: "`status`", keys: STATUS };
const CHECK_TABLE: Table = Table { what: "`check`", keys: CHECK };
const LABEL_TABLE: Table = Table { what: "`label`", keys: LABEL };
const COMMAND_TABLE: Table = Table { what: "`command`", keys: COMMAND };
const DISPATCH_TABLE: Table = Table { what: "`dispatch`", keys: DISPATCH };
const HTTP_TABLE: Table = Table { what: "`http`", keys: HTTP };
const MAIL_TABLE: Table = Table { what: "`mail`", keys: MAIL };
const CHAT_TABLE: Table = Table { what: "`chat`", keys: CHAT };
const NOTIFY_TABLE: Table = Table { what: "`notify`", keys: NOTIFY };
const TRIGGER_TABLE: Table = Table { what: "`trigger`", keys: TRIGGER };
const LOG_TABLE: Table = Table { what: "`log`", keys: LOG };

impl Verb {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Run,
        Self::Shell,
        Self::Comment,
        Self::Status,
        Self::Check,
        Self::Label,
        Self::Command,
        Self::Dispatch,
        Self::Http,
        Self::Mail,
        Self::Chat,
        Self::Notify,
        Self::Trigger,
        Self::Log,
    ];

    /// As written.
    pub const fn name(self) -> &'static str {
        self.parts().0
    }

    /// Its arguments.
    pub const fn arguments(self) -> &'static Table {
        self.parts().1
    }

    /// What later steps see of it.
    pub const fn result(self) -> Shape {
        self.parts().2
    }

    const fn parts(self) -> (&'static str, &'static Table, Shape) {
        match self {
            Self::Run => ("run", &RUN_TABLE, RUN_RESULT),
            Self::Shell => ("shell", &SHELL_TABLE, SHELL_RESULT),
            Self::Comment => ("comment", &COMMENT_TABLE, LINK_RESULT),
            Self::Status => ("status", &STATUS_TABLE, PLAIN_RESULT),
            Self::Check => ("check", &CHECK_TABLE, LINK_RESULT),
            Self::Label => ("label", &LABEL_TABLE, PLAIN_RESULT),
            Self::Command => ("command", &COMMAND_TABLE, COMMAND_RESULT),
            Self::Dispatch => ("dispatch", &DISPATCH_TABLE, DISPATCH_RESULT),
            Self::Http => ("http", &HTTP_TABLE, HTTP_RESULT),
            Self::Mail => ("mail", &MAIL_TABLE, SENT_RESULT),
            Self::Chat => ("chat", &CHAT_TABLE, SENT_RESULT),
            Self::Notify => ("notify", &NOTIFY_TABLE, SENT_RESULT),
            Self::Trigger => ("trigger", &TRIGGER_TABLE, TRIGGER_RESULT),
            Self::Log => ("log", &LOG_TABLE, PLAIN_RESULT),
        }
    }

    /// Whether doing it twice is the same as doing it once: then it is done again when nobody knows whether it was.
    /// Runs and rebuilds are queued under a key, comments, checks and started workflows are found again, states are set,
    /// and who was told twice is better off than who was never told. Scripts, and requests that HTTP does not call idempotent, are done
    /// again where the file says so.
    pub fn is_repeatable(self, arguments: &serde_json::Value) -> bool {
        match self {
            Self::Shell => arguments["retry"] == true,
            Self::Http => {
                let has_body = !arguments["json"].is_null() || !arguments["body"].is_null();
                let method = arguments["method"].as_str().unwrap_or(if has_body { "POST" } else { "GET" });
                arguments["retry"] == true || !matches!(method, "POST" | "PATCH")
            }
            _ => true,
        }
    }
}

impl FromStr for Verb {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|verb| verb.name() == text).ok_or(())
    }
}
