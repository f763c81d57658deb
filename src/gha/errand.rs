//! One start of the Action: from what the runner says to a request.
//!
//! Speaks with GitHub and git; runs nothing itself. Where nothing is run, `answering` says so.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::decide::{Base, Decision, Order, Trust, decide};
use super::event::Event;
use super::facts::{Call, Us, gather};
use super::inputs::{Context, Inputs};
use super::place::{Fetch, commit_here, fetch, line};
use super::post::Post;
use super::progress::Progress;
use super::{Facts, GhaError};
use crate::comment::{Link, Marker, Report, Status};
use crate::forge::Forge;
use crate::forge::github::GitHub;
use crate::id::{CommitSha, ProjectName, RelPath};
use crate::run::request::RunRequest;
use crate::secret::Secret;
use crate::web::{Fault, Reach};

/// A project of strangers' code has this behind its name, so that nobody takes its outputs for the project's own.
const FORKS: &str = "-forks";

/// A run does not wait longer to learn what else is secret.
const PATIENCE: Duration = Duration::from_secs(10);

/// What happened, and who can be asked about it.
#[derive(Debug)]
pub struct Errand {
    /// What the runner says.
    pub context: Context,
    /// What the workflow says.
    pub inputs: Inputs,
    /// What happened.
    pub event: Event,
    pub(super) forge: Option<Arc<dyn Forge>>,
    reach: Reach,
}

impl Errand {
    /// Reads everything the runner says.
    ///
    /// # Errors
    /// When something is missing or cannot be.
    pub fn read(variable: &dyn Fn(&str) -> Option<String>, reach: Reach) -> Result<Self, GhaError> {
        let mut context = Context::read(variable)?;
        let inputs = Inputs::read(variable, &context.repo)?;
        context.hosted = inputs.ephemeral.unwrap_or(context.hosted);
        let path = context.event_path.display().to_string();
        let payload = fs_err::read(&context.event_path)?;
        let event = Event::read(&context.event, &payload, &path)?;
        let forge = match &inputs.login {
            Some(login) => {
                let forge: Arc<dyn Forge> = Arc::new(GitHub::open(&context.api, login.clone(), &reach)?);
                Some(forge)
            }
            None => None,
        };
        Ok(Self { context, inputs, event, forge, reach })
    }

    /// Decides, with GitHub's help where that is needed.
    ///
    /// # Errors
    /// When GitHub must be asked and does not answer.
    pub async fn decide(&self) -> Result<Decision, GhaError> {
        let facts = self.facts().await?;
        Ok(decide(&self.event, &self.context.sha, self.inputs.sample, facts.as_ref()))
    }

    async fn facts(&self) -> Result<Option<Facts>, GhaError> {
        let Event::Comment(comment) = &self.event else { return Ok(None) };
        let Ok(call) = Call::of(comment) else { return Ok(None) };
        let us = self.us(comment.number);
        Ok(Some(gather(&**self.asked()?, &self.context.repo, comment, &call, Some(&us)).await?))
    }

    pub(super) fn us(&self, number: u64) -> Us {
        Us { marker: self.marker(number), workflow_run: self.context.run, repeated: self.context.attempt > 1 }
    }

    pub(super) fn asked(&self) -> Result<&Arc<dyn Forge>, GhaError> {
        self.forge.as_ref().ok_or_else(|| GhaError::Input {
            name: "github-token",
            why: "pull requests are looked up with it; `${{ github.token }}` will do".to_owned(),
        })
    }

    /// A secret that GitHub gave us and nobody here was told of. Where there is none, what else is asked of GitHub says why.
    pub async fn minted(&self) -> Option<Secret> {
        let asked = self.forge.as_ref()?.minted();
        tokio::time::timeout(PATIENCE, asked).await.ok()?.ok().flatten()
    }

    /// Tells projects of one repository apart.
    pub fn key(&self) -> String {
        if self.inputs.path == RelPath::root() { ".".to_owned() } else { self.inputs.path.to_string() }
    }

    /// The line by which our comment is found again.
    pub(super) fn marker(&self, number: u64) -> Marker {
        Marker { repo: self.context.repo_id, pr: number, key: self.key() }
    }

    /// What is told before anything happened.
    ///
    /// # Errors
    /// When the repository's name can be no project's; the input `project` gives another.
    pub fn progress(&self, order: &Order) -> Result<Progress, GhaError> {
        let name = self.inputs.project.clone().map_or_else(|| self.context.repo.name().parse(), Ok);
        let project: ProjectName =
            name.map_err(|error: crate::id::IdError| GhaError::Input { name: "project", why: error.to_string() })?;
        let mut report = Report::new(project, order.commit.clone(), order.mode);
        report.status = Status::Running;
        report.policy = self.policy(order);
        if let Some(address) = self.context.run_url.clone() {
            report.links.push(Link { text: "log of the workflow".to_owned(), address });
        }
        Ok(Progress::new(report))
    }

    /// What is special about a fork's run.
    fn policy(&self, order: &Order) -> Option<String> {
        match (order.trust, &self.event) {
            (Trust::Fork, _) => Some(
                "The code is a fork's: it gets no secrets, and its outputs are kept apart from the project's own."
                    .to_owned(),
            ),
            (Trust::Vouched, Event::Comment(comment)) => Some(format!(
                "The code is a fork's, and {} vouched for this commit: it runs as the project's own.",
                comment.author
            )),
            _ => None,
        }
    }

    /// Whom to tell about a run.
    pub fn post(&self, order: &Order) -> Option<Post> {
        let forge = Arc::clone(self.forge.as_ref()?);
        let trigger = match &self.event {
            Event::Comment(comment) => Some((comment.number, comment.id)),
            _ => None,
        };
        Some(Post {
            forge,
            repo: self.context.repo.clone(),
            pull: order.pull.filter(|_| self.inputs.comment),
            key: self.key(),
            marker: order.pull.map(|number| self.marker(number)),
            workflow_run: self.context.run,
            log_url: self.context.run_url.clone(),
            checks: self.inputs.checks,
            trigger,
            spacing: Post::SPACING,
            fork: order.trust == Trust::Fork,
        })
    }

    /// Brings the commit here and fills `asked` (what the workflow's variables say) with what the order says.
    ///
    /// # Errors
    /// When the commit or the settings of its base cannot be had.
    pub async fn request(&self, order: &Order, asked: RunRequest) -> Result<RunRequest, GhaError> {
        let folder = self.place(order).await?;
        let settings = match &order.base {
            Some(base) => Some(self.settings(base).await?),
            None => None,
        };
        let mut request = RunRequest {
            path: folder.join(self.inputs.path.as_path()),
            mode: Some(order.mode),
            settings,
            storage: self.inputs.storage.clone().or(asked.storage.clone()),
            project: self.inputs.project.clone().or(asked.project.clone()),
            secrets: self.inputs.secrets.clone(),
            ..asked
        };
        if order.trust == Trust::Fork {
            request.secrets = Vec::new();
            request.no_secrets = true;
            request.wheels_only = !self.inputs.fork_builds;
            request.no_reuse = true;
            request.network = Some(self.inputs.fork_network);
            request.project = Some(self.forks_project(request.project.as_ref())?);
            request.env.retain(|ask| ask.value.is_some());
        }
        Ok(request)
    }

    fn forks_project(&self, project: Option<&ProjectName>) -> Result<ProjectName, GhaError> {
        let name = project.map_or_else(|| self.context.repo.name(), ProjectName::as_str);
        let name: String = name.chars().take(100 - FORKS.len()).collect();
        format!("{name}{FORKS}")
            .parse()
            .map_err(|error: crate::id::IdError| GhaError::Input { name: "project", why: error.to_string() })
    }

    /// soopervisor.yaml of the base branch as it is now; empty when it has none. The commit that GitHub names is that of
    /// the pull request's last change, and what it allows may have been taken back since.
    async fn settings(&self, base: &Base) -> Result<String, GhaError> {
        let path = self.inputs.path.join(&RelPath::from_bytes(b"soopervisor.yaml").unwrap_or_default()).to_string();
        let found = self.asked()?.contents(&self.context.repo, &path, &format!("refs/heads/{}", base.branch)).await?;
        let text = String::from_utf8(found.unwrap_or_default());
        text.map_err(|_| Fault::Form(format!("`{path}` of the base branch is no text")).into())
    }

    /// The checked-out repository where it is at the commit, else a copy of our own.
    async fn place(&self, order: &Order) -> Result<PathBuf, GhaError> {
        // What a workflow checked out for strangers' code may have been changed by other steps with secrets.
        let own = order.trust == Trust::Own && order.base.is_none();
        if own && commit_here(&self.context.workspace).as_ref() == Some(&order.commit) {
            return Ok(self.context.workspace.clone());
        }
        let folder = tempfile::Builder::new().prefix("soopervisor-").tempdir_in(&self.context.temp)?.keep();
        let folder = folder.join(self.context.repo.name());
        let wanted = self.fetching(&order.commit, order.trust == Trust::Fork);
        let to = folder.clone();
        // Who asks us to stop does not wait for git.
        let fetched = tokio::task::spawn_blocking(move || fetch(&wanted, &to)).await;
        fetched.map_err(std::io::Error::other)??;
        Ok(folder)
    }

    fn fetching(&self, commit: &CommitSha, strangers: bool) -> Fetch {
        Fetch {
            server: self.context.server.clone(),
            repo: self.context.repo.clone(),
            commit: commit.clone(),
            token: self.inputs.git_token.clone(),
            reach: self.reach.clone(),
            strangers,
        }
    }

    /// The base commit and those before it, in the order in which they stand in its branch; `folder` is where the run was.
    ///
    /// # Errors
    /// When its history cannot be had.
    pub async fn ancestry(&self, base: &Base, folder: &Path) -> Result<Vec<CommitSha>, GhaError> {
        let (wanted, at) = (self.fetching(&base.commit, false), folder.to_owned());
        let listed = tokio::task::spawn_blocking(move || line(&wanted, &at)).await;
        Ok(listed.map_err(std::io::Error::other)??)
    }

    /// Where strangers' code keeps nothing that anybody else uses.
    pub fn fork_home(&self) -> PathBuf {
        self.context.temp.join("soopervisor-forks")
    }
}
