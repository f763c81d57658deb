//! One start of the Action: from what the runner says to a request, or to an answer where nothing is run.
//!
//! Speaks with GitHub and git; runs nothing itself.

use std::path::PathBuf;
use std::sync::Arc;

use super::body::find_marker;
use super::decide::{Decision, Order, Reason, Trust, decide};
use super::event::Event;
use super::facts::{Call, Us, gather};
use super::inputs::{Context, Inputs};
use super::place::{Fetch, commit_here, fetch};
use super::post::Post;
use super::progress::Progress;
use super::{Facts, GhaError};
use crate::comment::{Link, Marker, Report, Status};
use crate::forge::github::GitHub;
use crate::forge::{Forge, Reaction};
use crate::id::{CommitSha, ProjectName, RelPath};
use crate::run::request::RunRequest;
use crate::web::{Fault, Reach};

/// What `/soopervisor help` is answered with.
pub const HELP: &str = "\
`/soopervisor run` runs the whole pipeline for the head of this pull request, if it was pushed before the comment.
`/soopervisor run sample` takes a sample of the data.
`/soopervisor run SHA` and `run sample SHA` run the commit with that full id.
`/soopervisor run trust=SHA` runs that commit of a fork with this repository's secrets and storage: read it first.
`/soopervisor cancel` stops what runs for this pull request.

The command is the first line of a new comment, by somebody who may push here.";

/// A project of strangers' code has this behind its name, so that nobody takes its outputs for the project's own.
const FORKS: &str = "-forks";

/// What happened, and who can be asked about it.
#[derive(Debug)]
pub struct Errand {
    /// What the runner says.
    pub context: Context,
    /// What the workflow says.
    pub inputs: Inputs,
    /// What happened.
    pub event: Event,
    forge: Option<Arc<dyn Forge>>,
    reach: Reach,
}

/// What came of an event for which nothing is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// For the log.
    pub text: String,
    /// `refused`, `ignored`, `cancelled` or `answered`.
    pub status: &'static str,
    /// What GitHub could not be told.
    pub faults: Vec<String>,
}

impl Errand {
    /// Reads everything the runner says.
    ///
    /// # Errors
    /// When something is missing or cannot be.
    pub fn read(variable: &dyn Fn(&str) -> Option<String>, reach: Reach) -> Result<Self, GhaError> {
        let context = Context::read(variable)?;
        let inputs = Inputs::read(variable, &context.repo)?;
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
        let us = Us { marker: self.marker(comment.number), workflow_run: self.context.run };
        Ok(Some(gather(&**self.asked()?, &self.context.repo, comment, &call, Some(&us)).await?))
    }

    fn asked(&self) -> Result<&Arc<dyn Forge>, GhaError> {
        self.forge.as_ref().ok_or_else(|| GhaError::Input {
            name: "github-token",
            why: "pull requests are looked up with it; `${{ github.token }}` will do".to_owned(),
        })
    }

    /// Answers where nothing is run. Only a stranger gets no words: a thumb is enough.
    pub async fn answer(&self, decision: &Decision) -> Answer {
        let mut faults = Vec::new();
        let (text, status) = match decision {
            Decision::Run(order) => (format!("{} is run", order.commit), "answered"),
            Decision::Ignore(reason) => (reason.to_string(), "ignored"),
            Decision::Refuse(reason) => {
                self.react(Reaction::MinusOne, &mut faults).await;
                if !matches!(reason, Reason::NotAllowed { .. } | Reason::Target | Reason::TooMany { first: false, .. })
                {
                    self.say(&format!("Nothing was run: {reason}."), &mut faults).await;
                }
                (reason.to_string(), "refused")
            }
            Decision::Help { .. } => {
                self.react(Reaction::PlusOne, &mut faults).await;
                self.say(HELP, &mut faults).await;
                ("help was given".to_owned(), "answered")
            }
            Decision::Cancel { number } => match self.cancel(*number).await {
                Ok(Some(run)) => {
                    self.react(Reaction::PlusOne, &mut faults).await;
                    (format!("the workflow's run {run} was asked to stop"), "cancelled")
                }
                Ok(None) => {
                    self.react(Reaction::Confused, &mut faults).await;
                    ("there is nothing to cancel".to_owned(), "answered")
                }
                Err(error) => {
                    self.react(Reaction::Confused, &mut faults).await;
                    (format!("nothing was cancelled: {error}"), "answered")
                }
            },
        };
        Answer { text, status, faults }
    }

    /// The run of the workflow that our comment last spoke for is asked to stop.
    async fn cancel(&self, number: u64) -> Result<Option<u64>, GhaError> {
        let forge = self.asked()?;
        let me = forge.me().await?;
        let comments = forge.comments(&self.context.repo, number).await?;
        let found = find_marker(&comments, &me, &self.marker(number));
        let Some(run) = found.and_then(|found| found.trace).map(|trace| trace.run) else { return Ok(None) };
        forge.cancel_run(&self.context.repo, run).await?;
        Ok(Some(run))
    }

    async fn react(&self, reaction: Reaction, faults: &mut Vec<String>) {
        let (Some(forge), Event::Comment(comment)) = (&self.forge, &self.event) else { return };
        if let Err(fault) = forge.react(&self.context.repo, comment.number, comment.id, reaction).await {
            faults.push(format!("the comment got no reaction: {fault}"));
        }
    }

    async fn say(&self, text: &str, faults: &mut Vec<String>) {
        let (Some(forge), Event::Comment(comment)) = (&self.forge, &self.event) else { return };
        if let Err(fault) = forge.add_comment(&self.context.repo, comment.number, text).await {
            faults.push(format!("no answer was written: {fault}"));
        }
    }

    /// Tells projects of one repository apart.
    pub fn key(&self) -> String {
        if self.inputs.path == RelPath::root() { ".".to_owned() } else { self.inputs.path.to_string() }
    }

    /// The line by which our comment is found again.
    fn marker(&self, number: u64) -> Marker {
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
        })
    }

    /// Says that a command was heard.
    pub async fn heard(&self) -> Vec<String> {
        let mut faults = Vec::new();
        self.react(Reaction::Eyes, &mut faults).await;
        faults
    }

    /// Brings the commit here and fills `asked` (what the workflow's variables say) with what the order says.
    ///
    /// # Errors
    /// When the commit or the settings of its base cannot be had.
    pub async fn request(&self, order: &Order, asked: RunRequest) -> Result<RunRequest, GhaError> {
        let folder = self.place(order).await?;
        let settings = match &order.base {
            Some(base) => Some(self.settings(&base.commit).await?),
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

    /// soopervisor.yaml of the base branch; empty when it has none.
    async fn settings(&self, base: &CommitSha) -> Result<String, GhaError> {
        let path = self.inputs.path.join(&RelPath::from_bytes(b"soopervisor.yaml").unwrap_or_default()).to_string();
        let found = self.asked()?.contents(&self.context.repo, &path, base.as_str()).await?;
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
        let wanted = Fetch {
            server: self.context.server.clone(),
            repo: self.context.repo.clone(),
            commit: order.commit.clone(),
            token: self.inputs.git_token.clone(),
            ca_bundle: self.reach.ca_bundle.clone(),
        };
        let to = folder.clone();
        // Who asks us to stop does not wait for git.
        let fetched = tokio::task::spawn_blocking(move || fetch(&wanted, &to)).await;
        fetched.map_err(std::io::Error::other)??;
        Ok(folder)
    }

    /// Where strangers' code keeps nothing that anybody else uses.
    pub fn fork_home(&self) -> PathBuf {
        self.context.temp.join("soopervisor-forks")
    }
}
