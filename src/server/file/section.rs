//! The sections of the server's file as values, with their defaults.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::forge::Kind;
use crate::repo::project_of;
use crate::secret::{EnvVar, SecretFile, Source};
use crate::server::glob::Glob;

/// Where a secret's value is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reference {
    /// The variable of this name in the server's environment.
    Env(String),
    /// A file on the server's machine.
    File(PathBuf),
}

impl Reference {
    /// What reads the value.
    pub fn source(&self) -> Box<dyn Source> {
        match self {
            Self::Env(name) => Box::new(EnvVar(name.clone())),
            Self::File(path) => Box::new(SecretFile(path.clone())),
        }
    }
}

/// As it is written.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// How long history is kept; none for as long as is usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Keep {
    /// Logs of runs that went well; those of others twice as long.
    pub logs: Option<Duration>,
    /// Bytes of all logs together.
    pub log_size: Option<u64>,
}

/// How the server itself runs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Server {
    /// Where it listens.
    pub bind: SocketAddr,
    /// Where the address of a Postgres database is; none for SQLite.
    pub database: Option<Reference>,
    /// Runs at once in this process.
    pub workers: usize,
    /// Runs at once on all workers together.
    pub concurrency: Option<i64>,
    /// How long a worker may be silent.
    pub lease: Option<Duration>,
    /// Readings of repositories a second, of one host with one credential.
    pub poll_rate: Option<u32>,
    /// How long history is kept.
    pub keep: Keep,
    /// How it is reached from outside, without a slash at the end.
    pub public_url: Option<String>,
}

impl Default for Server {
    fn default() -> Self {
        let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
        Self {
            bind,
            database: None,
            workers: 2,
            concurrency: None,
            lease: None,
            poll_rate: None,
            keep: Keep::default(),
            public_url: None,
        }
    }
}

/// How repositories and forges are reached.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Credential {
    /// A token.
    pub token: Option<Reference>,
    /// What starts pipelines of a GitLab project.
    pub trigger_token: Option<Reference>,
    /// The user that goes with it.
    pub user: Option<String>,
    /// A private key for SSH.
    pub ssh_key: Option<Reference>,
    /// A GitHub App's id.
    pub app_id: Option<u64>,
    /// Its private key.
    pub private_key: Option<Reference>,
    /// Its installation.
    pub installation: Option<u64>,
    /// The forge's API.
    pub api: Option<String>,
    /// Which program hosts the repositories.
    pub forge: Option<Kind>,
    pub(super) pointer: String,
}

/// Who may deliver webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Webhook {
    /// Secrets that sign deliveries; each is good.
    pub secrets: Vec<Reference>,
}

/// How often a repository is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(untagged)]
pub enum Poll {
    /// As often as seems right: the server slows down for what is quiet.
    #[default]
    #[serde(skip)]
    Usual,
    /// This often.
    Every(Duration),
    /// Never.
    Off(Off),
}

/// The word `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Off {
    /// `off`
    #[serde(rename = "off")]
    Off,
}

/// What is an event when several commits came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Commits {
    /// The last.
    #[default]
    Latest,
    /// Each push.
    EachPush,
    /// Each commit of the first-parent history.
    EachCommit,
}

/// What happens when a repository is seen first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FirstSight {
    /// Its refs are noted, nothing is run.
    #[default]
    Record,
    /// Its default branch is run.
    RunDefaultBranch,
}

/// Repositories that a change rebuilds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dependents {
    /// All others.
    All,
    /// Those whose names fit.
    Named(Vec<Glob>),
}

impl Default for Dependents {
    fn default() -> Self {
        Self::Named(Vec::new())
    }
}

impl Dependents {
    /// Whether a repository of this name is one.
    pub fn takes(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(globs) => globs.iter().any(|glob| glob.matches(name)),
        }
    }
}

impl<'de> Deserialize<'de> for Dependents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            List(Vec<Glob>),
            All(All),
        }
        #[derive(Deserialize)]
        enum All {
            #[serde(rename = "all")]
            All,
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::List(globs) => Self::Named(globs),
            Written::All(All::All) => Self::All,
        })
    }
}

impl<'de> Deserialize<'de> for Glob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A repository that is watched.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Repo {
    /// Its address.
    pub url: String,
    /// Its name here.
    #[serde(default)]
    pub name: String,
    /// Branches that are watched; empty for all.
    #[serde(default)]
    pub branches: Vec<Glob>,
    /// Tags that are watched; empty for none.
    #[serde(default)]
    pub tags: Vec<Glob>,
    /// How often it is asked.
    #[serde(default)]
    pub poll: Poll,
    /// A name of the credentials.
    #[serde(default)]
    pub credential: Option<String>,
    /// First folder in the storage.
    #[serde(default)]
    pub project: Option<String>,
    /// Where outputs go.
    #[serde(default)]
    pub storage: Option<String>,
    /// Names of the file's secrets that its pipelines get.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Runs at once.
    #[serde(default = "one")]
    pub concurrency: usize,
    /// What is an event when several commits came.
    #[serde(default)]
    pub commits: Commits,
    /// What happens when it is seen first.
    #[serde(default)]
    pub on_first_seen: FirstSight,
    /// What a change rebuilds.
    #[serde(default)]
    pub dependents: Dependents,
    /// Fetch submodules.
    #[serde(default)]
    pub submodules: bool,
    #[serde(default)]
    pub(super) pointer: String,
}

/// A project of strangers' code has this behind its name, so that nobody takes its outputs for the project's own.
const FORKS: &str = "-forks";

/// The project of strangers' code beside this one.
pub fn of_forks(project: &str) -> String {
    let name: String = project.chars().take(100 - FORKS.len()).collect();
    format!("{name}{FORKS}")
}

const fn one() -> usize {
    1
}

impl Repo {
    /// Whether a branch is watched.
    pub fn watches_branch(&self, branch: &str) -> bool {
        self.branches.is_empty() || self.branches.iter().any(|glob| glob.matches(branch))
    }

    /// Whether a tag is watched.
    pub fn watches_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|glob| glob.matches(tag))
    }

    /// Whether the two are the same, wherever they stand in their files.
    pub(in crate::server) fn is_like(&self, other: &Self) -> bool {
        let bare = |repo: &Self| Self { pointer: String::new(), ..repo.clone() };
        bare(self) == bare(other)
    }

    /// The first folder in the storage, as written, else by the address; never a commit's choice.
    pub fn folder(&self) -> String {
        self.project.clone().unwrap_or_else(|| project_of(&self.url).to_string())
    }

    /// Whether outputs of the two would lie in one folder. Some storages know no case.
    pub(super) fn shares_a_folder(&self, other: &Self) -> bool {
        // Where only one names a storage, the other's may be the same by this machine's settings.
        let apart = matches!((&self.storage, &other.storage), (Some(one), Some(two)) if one != two);
        !apart && folders_meet(&self.folder(), &other.folder())
    }
}

/// Whether two projects, or what strangers may fill of them, are one folder of a storage that knows no case.
pub fn folders_meet(one: &str, other: &str) -> bool {
    let folders = |own: &str| [own.to_owned(), of_forks(own)];
    let theirs = folders(other);
    folders(one).iter().any(|one| theirs.iter().any(|two| one.eq_ignore_ascii_case(two)))
}

/// The last two parts of an address's path: `acme/churn`.
pub(super) fn name_of(url: &str) -> String {
    let text = url.trim_end_matches('/').trim_end_matches(".git");
    // `scheme://host:port/path`, `user@host:path`, or a path.
    let path = match text.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or(rest, |(_, path)| path),
        None => text.split_once(':').map_or(text, |(_, path)| path),
    };
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    parts[parts.len().saturating_sub(2)..].join("/")
}

/// Somebody to tell.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Target {
    /// Addresses.
    pub mail: Vec<String>,
    /// Chats: the service, and where the webhook's address is.
    #[serde(flatten)]
    pub chats: BTreeMap<String, Reference>,
}

/// How the connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// It becomes protected before anything is sent.
    #[default]
    Starttls,
    /// It is from the first byte on.
    Implicit,
    /// It is not.
    None,
}

/// How mails are sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MailServer {
    /// The SMTP server.
    pub host: String,
    /// Its port; none for the usual one.
    pub port: Option<u16>,
    /// The sender's address.
    pub from: String,
    /// How the connection is protected.
    #[serde(default)]
    pub tls: MailTls,
    /// The user to log in as.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Reference>,
    /// A file of certificates to trust.
    pub ca: Option<PathBuf>,
    /// How long sending may take.
    pub timeout: Option<Duration>,
}

/// What HTTP actions may reach.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct HttpRules {
    /// Hosts, addresses or networks that are not public and may be reached all the same.
    pub allow: Vec<String>,
    /// Those that may not be reached.
    pub deny: Vec<String>,
    /// Bytes of an answer.
    pub max_size: Option<u64>,
}
