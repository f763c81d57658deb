//! What forges and we talk about. Data only; nothing here reaches a network.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use crate::id::CommitSha;

/// Which program hosts a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// github.com and GitHub Enterprise Server.
    GitHub,
    /// gitlab.com and GitLab servers.
    GitLab,
    /// Gitea and Forgejo.
    Gitea,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::GitHub, Self::GitLab, Self::Gitea];

    /// As written in files.
    pub const fn word(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Gitea => "gitea",
        }
    }

    /// As people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::GitHub => "GitHub",
            Self::GitLab => "GitLab",
            Self::Gitea => "Gitea",
        }
    }

    /// A repository there. GitLab's groups may be in groups.
    ///
    /// # Errors
    /// When it is no name of one.
    pub fn repo(self, text: &str) -> Result<RepoId, NoRepo> {
        match self {
            Self::GitLab => RepoId::nested(text),
            Self::GitHub | Self::Gitea => text.parse(),
        }
    }
}

/// A repository by name: `owner/name`; on GitLab the owner may be a group of a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepoId {
    owner: String,
    name: String,
}

impl RepoId {
    /// The user or organisation.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The name below it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `group/group/name`, of two parts or more.
    fn nested(text: &str) -> Result<Self, NoRepo> {
        match text.rsplit_once('/') {
            Some((owner, name)) if owner.split('/').all(is_plain) && is_plain(name) && text.len() <= 1000 => {
                Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
            }
            _ => Err(NoRepo(text.chars().take(200).collect())),
        }
    }
}

impl fmt::Display for RepoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// Not `owner/name`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no repository: write OWNER/NAME", .0.escape_debug())]
pub struct NoRepo(String);

impl FromStr for RepoId {
    type Err = NoRepo;

    fn from_str(text: &str) -> Result<Self, NoRepo> {
        match text.split_once('/') {
            Some((owner, name)) if is_plain(owner) && is_plain(name) => {
                Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
            }
            _ => Err(NoRepo(text.chars().take(200).collect())),
        }
    }
}

/// Whether a part of a name is one on every forge.
fn is_plain(part: &str) -> bool {
    let known = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    known && !part.is_empty() && part.len() <= 100 && part != "." && part != ".."
}

/// A repository as its forge knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Stays the same when it is renamed.
    pub id: u64,
    /// Its name now.
    pub name: RepoId,
    /// `main`, most often.
    pub default_branch: String,
    /// Whether strangers cannot see it.
    pub private: bool,
    /// Whether it is a copy of another one.
    pub fork: bool,
}

/// Who wrote something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// Stays the same when the account is renamed.
    pub id: u64,
    /// The account's name.
    pub login: String,
    /// Whether it is no person.
    pub bot: bool,
}

/// Who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Me {
    /// An account.
    User(Author),
    /// An App by its short name, and the number of the account that it writes as, where that is known. The account is
    /// called `NAME[bot]`, which no person can be.
    App(String, Option<u64>),
}

impl Me {
    /// Whether we are the App of this short name.
    pub fn is_app(&self, slug: &str) -> bool {
        matches!(self, Self::App(own, _) if own == slug)
    }

    /// Whether we wrote it.
    pub fn wrote(&self, author: &Author) -> bool {
        match self {
            Self::User(me) => me.id == author.id,
            Self::App(_, Some(account)) => author.bot && author.id == *account,
            Self::App(slug, None) => author.bot && author.login.strip_suffix("[bot]") == Some(slug),
        }
    }
}

/// A pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number.
    pub number: u64,
    /// Whether it is neither merged nor closed.
    pub open: bool,
    /// What is offered.
    pub head: PullHead,
    /// The branch it is offered to, and its tip when the forge last looked.
    pub base: PullHead,
}

/// One end of a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullHead {
    /// The repository; `None` when a fork was deleted.
    pub repo: Option<RepoId>,
    /// The branch, without `refs/heads/`.
    pub branch: String,
    /// Its tip.
    pub commit: CommitSha,
}

impl PullRequest {
    /// Whether what is offered comes from another repository, or from one that is gone.
    pub fn is_fork(&self) -> bool {
        self.head.repo.is_none() || self.head.repo != self.base.repo
    }
}

/// A pull request as a list has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPull {
    /// Its number.
    pub number: u64,
    /// Whether it is neither merged nor closed.
    pub open: bool,
    /// The branch that is offered, without `refs/heads/`.
    pub branch: String,
    /// Its tip, where the forge tells.
    pub head: Option<CommitSha>,
    /// Whether what is offered comes from another repository, or from one that is gone.
    pub fork: bool,
}

/// A change of a branch, by the forge's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// The tip before; `None` when the branch was created.
    pub before: Option<CommitSha>,
    /// The tip after; `None` when it was deleted.
    pub after: Option<CommitSha>,
    /// When.
    pub at: Timestamp,
    /// Whether history was replaced.
    pub forced: bool,
    /// Who, where that is known.
    pub actor: Option<String>,
}

/// What a user may do in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Nothing.
    None,
    /// Look.
    Read,
    /// Push.
    Write,
    /// Everything.
    Admin,
}

/// A comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// Its number in the whole forge.
    pub id: u64,
    /// The issue or pull request.
    pub number: u64,
    /// Who wrote it.
    pub author: Author,
    /// The text; anybody's.
    pub body: String,
    /// When it was written.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// Where people read it.
    pub url: String,
}

impl Comment {
    /// Whether it is on a pull request and not on an issue: forges number both alike, and say which in the address.
    pub fn is_on_pull(&self) -> bool {
        self.family().is_some()
    }

    /// Whether that is a merge request of GitLab's.
    pub fn is_on_merge_request(&self) -> bool {
        self.family() == Some("merge_requests")
    }

    /// What stands before the number at the end of the address; a repository may be called so, too.
    fn family(&self) -> Option<&'static str> {
        let page = self.url.split(['#', '?']).next()?;
        let (before, number) = page.rsplit_once('/')?;
        let word = before.rsplit('/').next()?;
        ["pull", "pulls", "merge_requests"]
            .into_iter()
            .find(|known| *known == word && number == self.number.to_string())
    }
}

/// Comments since a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewComments {
    /// Oldest change first.
    pub comments: Vec<Comment>,
    /// What to show next time, when the same is asked for.
    pub tag: Option<String>,
}

/// A face under a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// Seen, and begun.
    Eyes,
    /// Done.
    Rocket,
    /// Yes.
    PlusOne,
    /// Refused.
    MinusOne,
    /// Did not work.
    Confused,
}

/// A face under a comment, as it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reacted {
    /// Its number; a later one has a higher one.
    pub id: u64,
    /// Whose it is.
    pub author: Author,
    /// Which one, if it is one of those that we give.
    pub reaction: Option<Reaction>,
    /// Since when.
    pub created: Timestamp,
}

/// How a commit is doing, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusState {
    /// Not known yet.
    Pending,
    /// Well.
    Success,
    /// The user's pipeline failed.
    Failure,
    /// Something around it failed.
    Error,
}

/// How a commit is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitStatus {
    /// In one word.
    pub state: StatusState,
    /// Which of several: `soopervisor/sample`.
    pub context: String,
    /// A few words; cut at 140 characters.
    pub description: String,
    /// Where more is.
    pub target_url: Option<String>,
}

/// How a check run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckState {
    /// Waits.
    Queued,
    /// Runs.
    InProgress,
    /// Is over.
    Completed(CheckConclusion),
}

/// How a check run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckConclusion {
    /// Well.
    Success,
    /// Not well.
    Failure,
    /// Somebody stopped it.
    Cancelled,
    /// It took too long.
    TimedOut,
    /// Nothing had to be done, or it may not be done.
    Neutral,
    /// It was not begun.
    Skipped,
    /// Somebody has to do something first.
    ActionRequired,
}

/// A check run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRun {
    /// Its name among the checks of a commit.
    pub name: String,
    /// How it is doing.
    pub state: CheckState,
    /// One line.
    pub title: String,
    /// Markdown; cut at 65,535 characters.
    pub summary: String,
    /// Where more is.
    pub details_url: Option<String>,
}

/// A check run that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownCheck {
    /// Its number.
    pub id: u64,
    /// The short name of the App that made it.
    pub app: String,
}

/// A run of a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowRun {
    /// Its number; later runs have higher ones.
    pub id: u64,
    /// The workflow's file: `.github/workflows/build.yml`.
    pub path: String,
    /// The workflow's number, where the forge numbers them.
    pub workflow: Option<u64>,
    /// What the forge calls it: for a `repository_dispatch` the event's type, unless the workflow says otherwise.
    pub title: String,
    /// Where people see it.
    pub url: String,
    /// Whether it went well; `None` while it goes on.
    pub ended: Option<bool>,
    /// How often it was tried, this time included, where the forge tells.
    pub attempt: Option<u64>,
    /// Pull requests of the repository itself whose head it is of, where the forge tells.
    pub pulls: Vec<u64>,
}

/// What a run of a workflow left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Its number in the whole forge.
    pub id: u64,
    /// Its name; one run may leave several of one name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// `sha256:…`, where the forge tells.
    pub digest: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// The run.
    pub run: u64,
    /// The branch that the run was of, or the tag.
    pub branch: Option<String>,
    /// The commit that the run was of.
    pub commit: Option<CommitSha>,
    /// The code that made it is another repository's, or nobody says whose.
    pub fork: bool,
}

/// Artifacts since a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewArtifacts {
    /// In no order; older ones may be among them.
    pub artifacts: Vec<Artifact>,
    /// What to show next time, when the same is asked for.
    pub tag: Option<String>,
}

/// How two commits stand to each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Commits of the second that the first lacks.
    pub ahead: u64,
    /// Commits of the first that the second lacks.
    pub behind: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_two_plain_parts() {
        let repo: RepoId = "octo-org/My.repo_1".parse().unwrap();
        assert_eq!(
            (repo.owner(), repo.name(), repo.to_string().as_str()),
            ("octo-org", "My.repo_1", "octo-org/My.repo_1")
        );
        for bad in ["", "a", "a/", "/b", "a/b/c", "a/..", "./b", "a b/c", "a/b?x", "é/b", "a/b\n"] {
            assert!(bad.parse::<RepoId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_an_app_wrote_is_told_from_what_a_person_with_its_name_wrote() {
        let author = |id, login: &str, bot| Author { id, login: login.to_owned(), bot };
        let me = Me::App("github-actions".to_owned(), None);
        assert!(me.wrote(&author(1, "github-actions[bot]", true)));
        for other in
            [author(1, "github-actions", false), author(1, "github-actions[bot]", false), author(1, "x[bot]", true)]
        {
            assert!(!me.wrote(&other), "{other:?}");
        }
        // An App that was renamed is still the same, and one that has its old name now is another.
        let me = Me::App("github-actions".to_owned(), Some(41));
        assert!(me.wrote(&author(41, "renamed[bot]", true)));
        assert!(!me.wrote(&author(42, "github-actions[bot]", true)) && !me.wrote(&author(41, "ann", false)));
        let me = Me::User(author(7, "ann", false));
        assert!(me.wrote(&author(7, "renamed", false)) && !me.wrote(&author(8, "ann", false)));
    }
}
