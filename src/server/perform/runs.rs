//! Runs of pipelines: one that an action asks for, those of dependents, and what came of them.

use std::time::Duration;

use serde_json::{Value, json};

use super::chain;
use super::doing::{Doing, fault};
use crate::id::CommitSha;
use crate::server::action::arguments::{Run, Trigger, Which};
use crate::server::action::{Answer, Call, EffectFault};
use crate::server::event::{Event, Kind, Source};
use crate::server::file::{Repo, of_forks};
use crate::server::glance::Unread;
use crate::server::glob::Glob;
use crate::server::trigger::{self, Ask, TriggerError};
use crate::server::{ledger, queue};
use crate::store::database::{self, RunState};

/// How often a run that is waited for is looked at.
const EVERY: Duration = Duration::from_millis(500);
/// How often a repository is tried whose ref a handler names.
const TRIES: i64 = 4;

impl Doing {
    pub(super) async fn ended(&self, id: i64) -> Result<database::Run, EffectFault> {
        loop {
            let run = self.database.run(id).await.map_err(fault)?;
            if run.state.has_ended() {
                return Ok(run);
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    pub(super) fn url(&self, id: i64) -> Option<String> {
        self.file.server.public_url.as_ref().map(|base| format!("{base}/runs/{id}"))
    }

    /// The run that a call asks for; the same call asks for the same one.
    pub(super) async fn wanted(&self, call: &Call<'_>, wanted: &Run) -> Result<database::NewRun, EffectFault> {
        let repo = self.database.repo(&call.event.repo).await.map_err(fault)?;
        let mut event = call.event.clone();
        let (strangers, unread) = match &wanted.reference {
            Some(reference) => self.turn_to(&mut event, &repo, reference).await?,
            None => (self.strangers(&event).await?, None),
        };
        let sample = strangers && !may_ask_for_all(&event);
        let mode = if sample { "sample" } else { wanted.mode.as_deref().unwrap_or("full") };
        // Of all that an event has, only its number in the database makes a run belong to it.
        let row = self.database.event_by_key(&ledger::key(call.event)).await.map_err(fault)?;
        event.chain = chain::of_run(call.event, &call.key.handler, &repo.name).map_err(|why| refused(call, why))?;
        let priority = wanted.priority.map_or_else(|| queue::usual_priority(call.event), i64::from);
        let run = queue::new_run(&event, &repo, row, mode, priority);
        let mut run = run.ok_or_else(|| EffectFault::new(no_commit(&event)))?;
        run.key = call.key.to_string();
        run.supersede = wanted.supersede.unwrap_or(run.supersede);
        if let Value::Object(request) = &mut run.request {
            let texts = [("storage", &wanted.storage), ("project", &wanted.project)];
            for (name, value) in texts {
                if let Some(value) = value {
                    request.insert(name.to_owned(), value.as_str().into());
                }
            }
            if let Some(timeout) = wanted.timeout {
                request.insert("timeout".to_owned(), timeout.as_secs().into());
            }
            if !wanted.args.is_empty() {
                request.insert("args".to_owned(), json!(wanted.args));
            }
            if let Some(why) = unread {
                request.insert("unread".to_owned(), why.into());
            }
        }
        if strangers || event.pull.is_some() {
            self.distrust(&event, strangers, &mut run.request).await?;
        }
        Ok(run)
    }

    /// Makes an event one of the ref or commit that a handler names. Whether its code is a stranger's then, and why the ref is
    /// as it was last seen, where the repository could not be read.
    async fn turn_to(
        &self,
        event: &mut Event,
        repo: &database::Repo,
        reference: &str,
    ) -> Result<(bool, Option<String>), EffectFault> {
        let unread = self.look(repo, reference).await?;
        let own_strangers = self.strangers(event).await?;
        let refs = self.database.refs(repo.id).await.map_err(fault)?;
        let names = [reference.to_owned(), format!("refs/heads/{reference}"), format!("refs/tags/{reference}")];
        let found = names.iter().find_map(|name| refs.iter().find(|known| !known.deleted && known.name == *name));
        let sha = found.map_or(reference, |found| found.sha.as_str()).parse();
        let why = unread.as_ref().map(|why| format!(", as far as is known: {why}")).unwrap_or_default();
        let unknown = |_| EffectFault::new(format!("`{}` has no branch, tag or commit `{reference}`{why}", repo.name));
        let sha: CommitSha = sha.map_err(unknown)?;
        let own = event.commit() == Some(&sha);
        event.after = Some(sha);
        event.reference = found.map(|found| found.name.clone());
        let strangers = match found {
            // A branch of the repository holds what somebody pushed who may.
            Some(_) => false,
            None if own => own_strangers,
            // Nothing that is known of the event's own commit says anything of another.
            None => self.strangers(&bare(event)).await?,
        };
        Ok((strangers, unread))
    }

    /// Reads a repository before one of its refs is looked up; a commit is what it is. Why that could not be done comes back
    /// once a few tries have failed.
    async fn look(&self, repo: &database::Repo, reference: &str) -> Result<Option<String>, EffectFault> {
        let Some(glance) = self.glance.as_ref().filter(|_| reference.parse::<CommitSha>().is_err()) else {
            return Ok(None);
        };
        let _waits = self.waits();
        let mut tries = 1;
        loop {
            match glance.at(repo.id).await {
                Ok(()) => return Ok(None),
                Err(Unread::Database(error)) => return Err(fault(error)),
                Err(why) if why.is_final() || tries >= TRIES => {
                    let (repo, why) = (&repo.name, why.to_string());
                    tracing::warn!(repo, reference, why, "a ref is taken as it was last seen");
                    return Ok(Some(why));
                }
                Err(why) => tokio::time::sleep(why.pause(tries)).await,
            }
            tries += 1;
        }
    }

    /// Whether the code of an event is a stranger's. The tip of a branch is not, whoever speaks of it, and neither is a commit
    /// that somebody who may push vouches for by its full id.
    pub(super) async fn strangers(&self, event: &Event) -> Result<bool, EffectFault> {
        if !may_be_strangers(event) || event.comment.as_ref().is_some_and(|comment| comment.vouched) {
            return Ok(false);
        }
        let Some(commit) = event.commit() else { return Ok(true) };
        let repo = self.database.repo(&event.repo).await.map_err(fault)?;
        let refs = self.database.refs(repo.id).await.map_err(fault)?;
        Ok(!refs.iter().any(|known| !known.deleted && known.sha == commit.as_str()))
    }

    /// The settings of a pull request are its base's; a stranger's code gets no secret and a place of its own.
    async fn distrust(&self, event: &Event, strangers: bool, request: &mut Value) -> Result<(), EffectFault> {
        let settings =
            match (event.pull.as_ref().and_then(|pull| pull.base_branch.as_deref()), self.forges.place(&event.repo)) {
                (Some(base), Ok(place)) => {
                    let found = place.forge.contents(&place.repo, "soopervisor.yaml", base).await;
                    let found = found.map_err(|fault| place.said(&fault))?.unwrap_or_default();
                    let text = String::from_utf8(found);
                    Some(text.map_err(|_| EffectFault::new("`soopervisor.yaml` of the base branch is no text"))?)
                }
                // Nobody can be asked: then there are none to go by.
                _ => strangers.then(String::new),
            };
        let Value::Object(request) = request else { return Ok(()) };
        if let Some(settings) = settings {
            request.insert("settings".to_owned(), settings.into());
        }
        if strangers {
            let named = request.get("project").and_then(Value::as_str).map(str::to_owned);
            let own = || self.file.repo(&event.repo).map(Repo::folder).unwrap_or_default();
            request.insert("project".to_owned(), of_forks(&named.unwrap_or_else(own)).into());
            request.insert("fork".to_owned(), true.into());
        }
        Ok(())
    }

    pub(super) async fn result(&self, run: &database::Run) -> Result<Value, EffectFault> {
        let previous = self.database.previous_end(run).await.map_err(fault)?;
        let seconds = run.started_at.zip(run.ended_at).map(|(start, end)| (end - start) / 1_000);
        Ok(json!({
            "status": run.state.word(),
            "error": (run.state != RunState::Succeeded).then(|| why(run)),
            "url": self.url(run.id),
            "id": run.id.to_string(),
            "mode": run.new.mode,
            "commit": run.new.sha,
            "seconds": seconds,
            "duration": seconds.map(duration),
            "storage": run.new.request.get("storage"),
            "previous": previous.map(RunState::word),
            "unread": run.new.request.get("unread"),
        }))
    }

    /// The run that a call asks for, in line. One that was queued before an interruption is that one, wherever its ref is now.
    async fn in_line(&self, call: &Call<'_>, wanted: &Run) -> Result<database::Run, EffectFault> {
        if let Some(known) = self.database.run_by_key(&call.key.to_string()).await.map_err(fault)? {
            return Ok(known);
        }
        let run = self.wanted(call, wanted).await?;
        let queued = self.database.enqueue(&run).await.map_err(fault)?;
        self.queued.notify_one();
        self.database.run(queued.id).await.map_err(fault)
    }

    /// Queues a run, and waits for its end where that is asked for.
    pub(super) async fn run_pipeline(&self, call: &Call<'_>, wanted: Run) -> Answer {
        let run = self.in_line(call, &wanted).await?;
        if wanted.wait == Some(false) {
            return Ok(json!({
                "status": "queued", "error": null, "url": self.url(run.id), "id": run.id.to_string(),
                "mode": run.new.mode, "commit": run.new.sha, "seconds": null, "duration": null,
                "storage": run.new.request.get("storage"), "previous": null,
                "unread": run.new.request.get("unread"),
            }));
        }
        let waits = self.waits();
        let ended = self.ended(run.id).await?;
        drop(waits);
        let result = self.result(&ended).await?;
        match ended.state {
            RunState::Succeeded => Ok(result),
            _ => Err(unwell(&ended, result)),
        }
    }

    /// Asks for runs of other repositories.
    pub(super) async fn rebuild(&self, call: &Call<'_>, wanted: Trigger) -> Answer {
        let names: Vec<&str> = match &wanted.repos {
            None | Some(Which::Dependents(_)) => {
                self.file.dependents(&call.event.repo).into_iter().map(|repo| repo.name.as_str()).collect()
            }
            Some(Which::Named(globs)) => {
                let globs: Vec<Glob> = globs.iter().filter_map(|glob| Glob::parse(glob).ok()).collect();
                let others = self.file.repos.iter().filter(|repo| repo.name != call.event.repo);
                let fits = others.filter(|repo| globs.iter().any(|glob| glob.matches(&repo.name)));
                fits.map(|repo| repo.name.as_str()).collect()
            }
        };
        let (mut asked, mut failed, mut circles) = (Vec::new(), Vec::new(), Vec::new());
        for name in &names {
            let chain = match chain::next(call.event, &call.key.handler, name) {
                Ok(chain) => chain,
                Err(why) => {
                    circles.push(why);
                    continue;
                }
            };
            asked.push(*name);
            let id = format!("{} {name}", call.key);
            let ask = Ask {
                repo: name,
                reference: wanted.reference.as_deref(),
                mode: wanted.mode.as_deref(),
                actor: &call.key.handler,
                source: Source::Server,
                id: &id,
            };
            // One that was asked for before an interruption is there already. Its ref is read before it is run.
            match trigger::ask(&self.database, &ask, &chain).await {
                Ok(_) | Err(TriggerError::Again) => {}
                Err(error) => failed.push(error.to_string()),
            }
        }
        self.asked.notify_one();
        let result = json!({"status": "succeeded", "error": null, "repos": asked});
        if asked.is_empty() && !circles.is_empty() {
            return Err(refused(call, circles.join("; ")));
        }
        if failed.is_empty() { Ok(result) } else { Err(EffectFault::with(failed.join("; "), result)) }
    }
}

/// What a run that did not succeed is to its handler. One that was cancelled, or whose place another took, is no failure:
/// nothing is known of its commit. No later step may say that it is good, and none that it is not.
pub(super) fn unwell(run: &database::Run, result: Value) -> EffectFault {
    match run.state {
        RunState::Cancelled | RunState::Superseded => EffectFault::called_off(why(run), result),
        _ => EffectFault::with(why(run), result),
    }
}

/// What would go on for ever is not begun; nothing failed by it.
fn refused(call: &Call<'_>, why: String) -> EffectFault {
    tracing::warn!(handler = call.key.handler, why, "no run is begun");
    EffectFault::called_off(why, Value::Null)
}

/// Why a run did not succeed.
pub(super) fn why(run: &database::Run) -> String {
    match (run.state, run.superseded_by) {
        (RunState::Superseded, Some(other)) => format!("superseded by run {other}"),
        (RunState::Cancelled | RunState::Lost, _) if run.summary.is_none() => {
            format!("the run was {}", run.state.word())
        }
        (state, _) => run.summary.clone().unwrap_or_else(|| format!("the run {}", state.word())),
    }
}

/// The event without what somebody says of its commit.
fn bare(event: &Event) -> Event {
    let mut bare = event.clone();
    bare.pull = None;
    if let Some(comment) = &mut bare.comment {
        comment.vouched = false;
    }
    bare
}

/// Whether all data is for a stranger's code: where somebody who may push asked for it.
fn may_ask_for_all(event: &Event) -> bool {
    match event.kind {
        Kind::Manual => true,
        Kind::Comment => {
            let permission = event.comment.as_ref().and_then(|comment| comment.permission.as_deref());
            matches!(permission, Some("write" | "admin"))
        }
        _ => false,
    }
}

/// Whether the code of an event may be of somebody who may not push: of a fork, or of no branch or tag.
fn may_be_strangers(event: &Event) -> bool {
    let reference = event.reference.as_deref();
    let named = reference.is_some_and(|name| name.starts_with("refs/heads/") || name.starts_with("refs/tags/"));
    match &event.pull {
        Some(pull) => pull.fork || reference.is_none(),
        // Whoever asks a forge for a check again says which branch it is of; that is looked at.
        None => !named || (event.kind == Kind::Manual && event.source == Source::Webhook),
    }
}

/// Why there is nothing to run.
pub(super) fn no_commit(event: &Event) -> &'static str {
    match event.kind {
        Kind::Comment => {
            "nothing is run for this comment: its author may not push, or the head came after it, or its time cannot be told; \
             look at the head and name it in full: `/soopervisor run SHA`"
        }
        _ => "the event is about no commit; `run` takes one by `ref`",
    }
}

fn duration(seconds: i64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        _ => format!("{}h {}m", seconds / 3_600, seconds % 3_600 / 60),
    }
}
