//! What this server itself can do for a handler: run pipelines, rebuild other repositories, write to its log. What needs a
//! forge, a container or the world outside is refused with those words, before anything is done.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::server::action::arguments::{
    Chat, Check, Comment, Dispatch, Http, Label, Log, Mail, Run, Shell, Status, Trigger, Which,
};
use crate::server::action::{Answer, Call, EffectFault, Effects, Verb};
use crate::server::event::Source;
use crate::server::file::File;
use crate::server::glob::Glob;
use crate::server::queue;
use crate::server::trigger::{Ask, trigger};
use crate::store::database::{self, Database, RunState};

/// How often a run that is waited for is looked at.
const EVERY: Duration = Duration::from_millis(500);

/// What it does; a file that asks for more is refused before anything starts.
pub const DOES: [Verb; 3] = [Verb::Run, Verb::Trigger, Verb::Log];

/// Does it.
#[derive(Clone)]
pub struct Doing {
    /// The database.
    pub database: Database,
    /// The repositories, and who depends on whom.
    pub file: Arc<File>,
    /// Is rung when a run was queued.
    pub queued: Arc<Notify>,
    /// Is rung when an event was written.
    pub told: Arc<Notify>,
}

impl Doing {
    async fn ended(&self, id: i64) -> Result<database::Run, EffectFault> {
        loop {
            let run = self.database.run(id).await.map_err(fault)?;
            if run.state.has_ended() {
                return Ok(run);
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    fn url(&self, id: i64) -> Option<String> {
        self.file.server.public_url.as_ref().map(|base| format!("{base}/runs/{id}"))
    }

    /// The run that a call asks for; the same call asks for the same one.
    async fn wanted(&self, call: &Call<'_>, wanted: &Run) -> Result<database::NewRun, EffectFault> {
        let repo = self.database.repo(&call.event.repo).await.map_err(fault)?;
        let mode = wanted.mode.as_deref().unwrap_or("full");
        let mut event = call.event.clone();
        if let Some(reference) = &wanted.reference {
            let refs = self.database.refs(repo.id).await.map_err(fault)?;
            let names = [reference.clone(), format!("refs/heads/{reference}"), format!("refs/tags/{reference}")];
            let found = names.iter().find_map(|name| refs.iter().find(|known| !known.deleted && known.name == *name));
            let sha = found.map_or(reference.as_str(), |found| found.sha.as_str()).parse();
            let unknown = |_| EffectFault::new(format!("`{}` has no branch, tag or commit `{reference}`", repo.name));
            event.after = Some(sha.map_err(unknown)?);
            event.reference = found.map(|found| found.name.clone());
        }
        // Of all that an event has, only its number in the database makes a run belong to it.
        let row = self.database.event_by_key(&call.key.event).await.map_err(fault)?;
        let run = queue::new_run(&event, &repo, row, mode, wanted.priority.map_or(50, i64::from));
        let mut run = run.ok_or_else(|| EffectFault::new("the event is about no commit; name one with `ref`"))?;
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
        }
        Ok(run)
    }

    async fn result(&self, run: &database::Run) -> Result<Value, EffectFault> {
        let previous = self.database.previous_end(run).await.map_err(fault)?;
        let seconds = run.started_at.zip(run.ended_at).map(|(start, end)| (end - start) / 1_000);
        Ok(json!({
            "status": run.state.word(),
            "error": (run.state != RunState::Succeeded).then_some(run.summary.as_deref()),
            "url": self.url(run.id),
            "id": run.id.to_string(),
            "mode": run.new.mode,
            "commit": run.new.sha,
            "seconds": seconds,
            "duration": seconds.map(duration),
            "storage": run.new.request.get("storage"),
            "previous": previous.map(RunState::word),
        }))
    }
}

fn duration(seconds: i64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        _ => format!("{}h {}m", seconds / 3_600, seconds % 3_600 / 60),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands it over")]
fn fault(error: database::DatabaseError) -> EffectFault {
    EffectFault::new(error.to_string())
}

fn refused(word: &str) -> Answer {
    Err(EffectFault::new(format!("this server does not do `{word}`")))
}

#[async_trait]
impl Effects for Doing {
    async fn run(&self, call: &Call<'_>, wanted: Run) -> Answer {
        let run = self.wanted(call, &wanted).await?;
        let queued = self.database.enqueue(&run).await.map_err(fault)?;
        self.queued.notify_one();
        if wanted.wait == Some(false) {
            return Ok(json!({
                "status": "queued", "error": null, "url": self.url(queued.id), "id": queued.id.to_string(),
                "mode": run.mode, "commit": run.sha, "seconds": null, "duration": null,
                "storage": run.request.get("storage"), "previous": null,
            }));
        }
        let ended = self.ended(queued.id).await?;
        let result = self.result(&ended).await?;
        match ended.state {
            // A run that was superseded: another does what it was to do.
            RunState::Succeeded | RunState::Superseded => Ok(result),
            state => {
                let message = ended.summary.unwrap_or_else(|| format!("the run {}", state.word()));
                Err(EffectFault { message, result })
            }
        }
    }

    async fn trigger(&self, call: &Call<'_>, wanted: Trigger) -> Answer {
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
        let mut failed = Vec::new();
        for name in &names {
            let id = format!("{} {name}", call.key);
            let ask = Ask {
                repo: name,
                reference: wanted.reference.as_deref(),
                mode: wanted.mode.as_deref(),
                actor: &call.key.handler,
                source: Source::Server,
                id: &id,
            };
            // One that was asked for before an interruption is there already.
            match trigger(&self.database, &ask).await {
                Ok(_) | Err(crate::server::trigger::TriggerError::Again) => {}
                Err(error) => failed.push(error.to_string()),
            }
        }
        self.told.notify_one();
        let result = json!({"status": "succeeded", "error": null, "repos": names});
        if failed.is_empty() { Ok(result) } else { Err(EffectFault { message: failed.join("; "), result }) }
    }

    async fn log(&self, call: &Call<'_>, wanted: Log) -> Answer {
        let text: String = wanted.text.chars().filter(|c| !c.is_control()).collect();
        tracing::info!(handler = call.key.handler, event = call.key.event, text);
        Ok(json!({"status": "succeeded", "error": null}))
    }

    async fn shell(&self, _: &Call<'_>, _: Shell) -> Answer {
        refused("shell")
    }

    async fn comment(&self, _: &Call<'_>, _: Comment) -> Answer {
        refused("comment")
    }

    async fn status(&self, _: &Call<'_>, _: Status) -> Answer {
        refused("status")
    }

    async fn check(&self, _: &Call<'_>, _: Check) -> Answer {
        refused("check")
    }

    async fn label(&self, _: &Call<'_>, _: Label) -> Answer {
        refused("label")
    }

    async fn dispatch(&self, _: &Call<'_>, _: Dispatch) -> Answer {
        refused("dispatch")
    }

    async fn http(&self, _: &Call<'_>, _: Http) -> Answer {
        refused("http")
    }

    async fn mail(&self, _: &Call<'_>, _: Mail) -> Answer {
        refused("mail")
    }

    async fn chat(&self, _: &Call<'_>, _: Chat) -> Answer {
        refused("chat")
    }
}
