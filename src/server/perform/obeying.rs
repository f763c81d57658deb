//! What a comment asks for: `/soopervisor run`, `cancel`, `help`. The grammar, the rules and the words are those of the Action
//! (`gha`); which commit it is about and why it is refused was written with the event, when it came.
//!
//! What is told of it (reactions, a status, a comment) never changes how a run ends. Everything is found again or keyed, so
//! that a command whose server was killed is done once.

use serde_json::json;

use super::doing::{Doing, fault};
use super::reporting::{pull, put};
use super::runs::{unwell, why};
use crate::comment::escape;
use crate::forge::{CommitStatus, Reaction, StatusState};
use crate::gha::{self, HELP, face};
use crate::id::CommitSha;
use crate::plan::Mode;
use crate::server::action::arguments::{Command, Run};
use crate::server::action::{Answer, Call, EffectFault, digest};
use crate::server::event::Comment;
use crate::server::forges::Place;
use crate::server::handler::OWN_MARK;
use crate::server::queue::lane;
use crate::store::database::{self, RunState};
use crate::web::Fault;

/// A comment that was heard.
struct Heard<'a> {
    doing: &'a Doing,
    call: &'a Call<'a>,
    comment: &'a Comment,
    place: Place,
    number: u64,
}

impl Doing {
    /// Does what a comment asks for, where its author may.
    pub(super) async fn obey(&self, call: &Call<'_>, wanted: Command) -> Answer {
        let none = || EffectFault::new("the event is no comment");
        let comment = call.event.comment.as_ref().ok_or_else(none)?;
        let Some(asked) = gha::Command::of(&comment.body) else { return Ok(json!({"command": null})) };
        let place = self.forges.place(&call.event.repo)?;
        let number = pull(call).ok_or_else(|| EffectFault::new("the event is about no pull request"))?;
        let heard = Heard { doing: self, call, comment, place, number };
        let may = matches!(comment.permission.as_deref(), Some("write" | "admin"));
        match asked {
            _ if comment.refused.is_some() => heard.refuse(comment.refused.as_deref().unwrap_or_default()).await,
            // Nobody could be asked what the author may do.
            _ if !may => Ok(json!({"command": null, "refused": "what the author may do is not known"})),
            Err(why) => heard.refuse(&why.to_string()).await,
            Ok(gha::Command::Help) => heard.help().await,
            Ok(gha::Command::Cancel) => heard.cancel().await,
            Ok(gha::Command::Run { mode, .. }) => heard.run(mode, wanted).await,
        }
    }
}

impl Heard<'_> {
    /// No, and its author is told why, unless that would tell a stranger something.
    async fn refuse(&self, why: &str) -> Answer {
        self.react(face::REFUSED).await;
        if !self.comment.unanswered {
            self.answer(&format!("Nothing was run: {why}.")).await?;
        }
        Ok(json!({"command": null, "refused": why}))
    }

    async fn help(&self) -> Answer {
        self.react(face::DONE).await;
        self.answer(HELP).await?;
        Ok(json!({"command": "help"}))
    }

    /// Asks what waits or runs for the pull request to stop.
    async fn cancel(&self) -> Answer {
        let repo = self.doing.database.repo(&self.call.event.repo).await.map_err(fault)?;
        let reference = self.call.event.reference.as_deref().unwrap_or_default();
        let mut stopped = Vec::new();
        for mode in ["sample", "full"] {
            for run in self.doing.database.active_runs(&lane(repo.id, reference, mode)).await.map_err(fault)? {
                self.doing.database.cancel(run.id).await.map_err(fault)?;
                stopped.push(self.name(run.id));
            }
        }
        if stopped.is_empty() {
            self.react(face::FAILED).await;
            self.answer("There is nothing to cancel.").await?;
        } else {
            self.react(face::DONE).await;
            self.answer(&format!("Asked to stop: {}.", stopped.join(", "))).await?;
        }
        Ok(json!({"command": "cancel"}))
    }

    async fn run(&self, mode: Mode, wanted: Command) -> Answer {
        self.react(face::HEARD).await;
        let word = if mode == Mode::Sample { "sample" } else { "full" };
        let Command { args, project, storage, priority, timeout } = wanted;
        let run = Run { mode: Some(word.to_owned()), args, project, storage, priority, timeout, ..Run::default() };
        let new = self.doing.wanted(self.call, &run).await?;
        let commit: CommitSha = new.sha.parse().map_err(|_| EffectFault::new(format!("`{}` is no commit", new.sha)))?;
        let queued = {
            // Two commands that come at once do not both find nothing that runs.
            let _turn = self.doing.turns.of(&format!("command {}", new.lane)).await;
            let own = self.doing.database.run_by_key(&new.key).await.map_err(fault)?;
            if let Some(own) = own {
                // Asked for before an interruption; what came after it is no reason to say that nothing was run.
                own.id
            } else {
                let active = self.doing.database.active_runs(&new.lane).await.map_err(fault)?;
                if let Some(other) = active.first() {
                    return self.refuse(&self.busy(other, mode)).await;
                }
                self.doing.database.enqueue(&new).await.map_err(fault)?.id
            }
        };
        self.doing.queued.notify_one();
        let told = Told { heard: self, commit, word, run: queued };
        told.tell(StatusState::Pending, "queued").await;
        let ended = self.doing.ended(queued).await?;
        let mut result = self.doing.result(&ended).await?;
        result["command"] = json!("run");
        let took = result["duration"].as_str().map(|took| format!(" in {took}")).unwrap_or_default();
        let (state, reaction) = match ended.state {
            RunState::Succeeded => (StatusState::Success, face::SUCCEEDED),
            RunState::Failed => (StatusState::Failure, face::FAILED),
            _ => (StatusState::Error, face::FAILED),
        };
        let summary = ended.summary.as_deref().filter(|_| ended.state != RunState::Succeeded);
        let summary = summary.map(|words| format!(": {}", escape::prose(words, 500))).unwrap_or_default();
        let words = match ended.state {
            RunState::Superseded => why(&ended),
            state => format!("{}{took}{summary}", state.word()),
        };
        told.tell(state, &words).await;
        self.react(reaction).await;
        match ended.state {
            RunState::Succeeded => Ok(result),
            _ => Err(unwell(&ended, result)),
        }
    }

    fn busy(&self, other: &database::Run, mode: Mode) -> String {
        match self.doing.url(other.id) {
            Some(address) => {
                let run = u64::try_from(other.id).unwrap_or_default();
                gha::Reason::Busy(gha::Running { run, mode, address }).to_string()
            }
            None => format!("run {} for this pull request goes on; `/soopervisor cancel` stops it", other.id),
        }
    }

    /// A run as people may look at it.
    fn name(&self, run: i64) -> String {
        let link = self.doing.url(run).and_then(|address| escape::address(&address));
        link.map_or_else(|| format!("run {run}"), |address| format!("[run {run}]({address})"))
    }

    /// One comment for each command, also after an interruption.
    async fn answer(&self, text: &str) -> Result<(), EffectFault> {
        self.write(&format!("{} answer", self.call.key), text).await.map_err(|fault| self.place.said(&fault))
    }

    async fn write(&self, about: &str, text: &str) -> Result<(), Fault> {
        let mark = format!("{OWN_MARK} {} -->", digest(about));
        let _turn = self.doing.turns.of(&format!("comment {} {} {mark}", self.place.repo, self.number)).await;
        put(&self.place, self.number, &mark, &format!("{mark}\n{text}")).await.map(drop)
    }

    async fn react(&self, reaction: Reaction) {
        let (repo, id) = (&self.place.repo, self.comment.id);
        if let Err(fault) = self.place.forge.react(repo, self.number, id, reaction).await {
            tracing::warn!(%repo, comment = id, %fault, "a comment got no reaction");
        }
    }
}

/// Where a run is told.
struct Told<'a> {
    heard: &'a Heard<'a>,
    commit: CommitSha,
    word: &'static str,
    run: i64,
}

impl Told<'_> {
    /// The status of the commit, and one comment for the pull request; that these are not written is no fault of the run.
    async fn tell(&self, state: StatusState, words: &str) {
        let heard = self.heard;
        let (place, url) = (&heard.place, heard.doing.url(self.run));
        let plain: String = words.chars().take_while(|c| *c != ':').collect();
        let status =
            CommitStatus { state, context: format!("soopervisor/{}", self.word), description: plain, target_url: url };
        let told = heard.doing.put_status(heard.call, place, self.commit.clone(), status).await;
        let asked = escape::code(&heard.comment.author, 100);
        let (name, mode, commit) = (heard.name(self.run), self.word, &self.commit);
        let text = format!("The {mode} {name} of {commit}, which {asked} asked for: {words}.");
        let written = heard.write(&format!("{} {} command", place.repo, heard.number), &text).await;
        let faults = [told.err().map(|fault| fault.message), written.err().map(|fault| fault.to_string())];
        for fault in faults.into_iter().flatten() {
            tracing::warn!(repo = %place.repo, fault, "how a run goes was not told");
        }
    }
}
