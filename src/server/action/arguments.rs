//! Arguments of actions, filled in. Made from what [`super::Action::render`] gives.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

/// `run`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Run {
    /// `sample` or `full`.
    pub mode: Option<String>,
    /// A branch, a tag, a commit.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// For `ploomber build`.
    pub args: Vec<String>,
    /// First folder in the storage.
    pub project: Option<String>,
    /// Where outputs go.
    pub storage: Option<String>,
    /// Higher goes first.
    pub priority: Option<u8>,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Cancel waiting runs of the same branch.
    pub supersede: Option<bool>,
    /// Go on when it has ended.
    pub wait: Option<bool>,
}

/// `shell`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shell {
    /// Bash text.
    pub script: Option<String>,
    /// Bash texts by repository and branch.
    pub scripts: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    /// The container's image.
    pub image: Option<String>,
    /// Variables.
    pub env: BTreeMap<String, String>,
    /// `$1`, `$2`, ….
    pub args: Vec<String>,
    /// Names of secrets.
    pub secrets: Vec<String>,
    /// `commit`, `merge` or `none`.
    pub workspace: Option<String>,
    /// Check submodules out.
    pub submodules: Option<bool>,
    /// `bridge` or `none`.
    pub network: Option<String>,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Bytes.
    pub memory: Option<u64>,
    /// Start again after an interruption.
    pub retry: bool,
}

/// `comment`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comment {
    /// Markdown.
    pub body: String,
    /// The pull request's number.
    #[serde(default)]
    pub pull: Option<String>,
    /// Comments of one key are one.
    #[serde(default)]
    pub key: Option<String>,
    /// Always a new one.
    #[serde(default)]
    pub append: bool,
}

/// `status`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// `pending`, `success`, `failure`, `error`.
    pub state: String,
    /// Whose.
    #[serde(default)]
    pub context: Option<String>,
    /// One line.
    #[serde(default)]
    pub description: Option<String>,
    /// Where more stands.
    #[serde(default)]
    pub url: Option<String>,
    /// The commit.
    #[serde(default)]
    pub commit: Option<String>,
}

/// `check`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// How it ended, or `in_progress`.
    pub conclusion: String,
    /// One line.
    pub title: String,
    /// Markdown.
    pub summary: String,
    /// Where more stands.
    #[serde(default)]
    pub url: Option<String>,
    /// The commit.
    #[serde(default)]
    pub commit: Option<String>,
}

/// `label`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Label {
    /// To add.
    pub add: Vec<String>,
    /// To take away.
    pub remove: Vec<String>,
    /// The pull request's number.
    pub pull: Option<String>,
}

/// `command`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Command {
    /// For `ploomber build`.
    pub args: Vec<String>,
    /// First folder in the storage.
    pub project: Option<String>,
    /// Where outputs go.
    pub storage: Option<String>,
    /// Higher goes first.
    pub priority: Option<u8>,
    /// How long it may take.
    pub timeout: Option<Duration>,
}

/// `dispatch`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dispatch {
    /// Whose workflow.
    pub repo: String,
    /// A name of the credentials.
    #[serde(default)]
    pub credential: Option<String>,
    /// For `on: repository_dispatch`.
    #[serde(default)]
    pub event_type: Option<String>,
    /// For `on: workflow_dispatch`.
    #[serde(default)]
    pub workflow: Option<String>,
    /// The branch whose workflow it is.
    #[serde(default, rename = "ref")]
    pub reference: Option<String>,
    /// Inputs or payload.
    #[serde(default)]
    pub inputs: BTreeMap<String, String>,
    /// What is to be built.
    #[serde(default)]
    pub commit: Option<String>,
    /// Whatever was before.
    #[serde(default)]
    pub again: bool,
    /// How long a dispatched build is waited for.
    #[serde(default)]
    pub cooldown: Option<Duration>,
}

/// `http`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Where to.
    pub url: String,
    /// How.
    #[serde(default)]
    pub method: Option<String>,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// A body in JSON.
    #[serde(default)]
    pub json: Option<Value>,
    /// A body as it is.
    #[serde(default)]
    pub body: Option<String>,
    /// A secret's name.
    #[serde(default)]
    pub bearer: Option<String>,
    /// Statuses that are a success.
    #[serde(default)]
    pub expect: Vec<u16>,
    /// How long it may take.
    #[serde(default)]
    pub timeout: Option<Duration>,
    /// Send it again after an interruption.
    #[serde(default)]
    pub retry: bool,
}

/// `mail`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// Addresses.
    pub to: Vec<String>,
    /// One line.
    pub subject: String,
    /// The text.
    pub text: String,
}

/// `chat`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chat {
    /// Whose form of message.
    pub service: String,
    /// The name of the secret that holds the address.
    pub secret: String,
    /// The message.
    pub text: String,
}

/// `notify`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Notify {
    /// Names of targets.
    pub to: Vec<String>,
    /// Addresses.
    pub mail: Vec<String>,
    /// One line.
    pub subject: Option<String>,
    /// The message.
    pub text: Option<String>,
}

/// Which repositories.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Which {
    /// `dependents`.
    Dependents(String),
    /// Globs over names.
    Named(Vec<String>),
}

/// `trigger`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Trigger {
    /// Which repositories.
    pub repos: Option<Which>,
    /// What is run there.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// `sample` or `full`.
    pub mode: Option<String>,
}

/// `log`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The line.
    pub text: String,
}
