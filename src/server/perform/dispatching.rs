//! Builds elsewhere: a workflow of a forge repository is started once for a commit, one at a time, and remembered.
//!
//! What is about to be asked for is written before it is; whoever finds it written and not answered looks among the
//! workflow's runs before it asks again. How a build went is asked of the forge when the next one is wanted.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::doing::{Doing, fault};
use super::reporting::given;
use crate::forge::WorkflowRun;
use crate::id::CommitSha;
use crate::server::action::arguments::Dispatch;
use crate::server::action::dispatch::{Asked, Builds, COOLDOWN, is_workflow};
use crate::server::action::{Answer, Call, EffectFault};
use crate::server::forges::Place;
use crate::web::Fault;

/// How long a started run may take to be in the forge's list.
const SHOWN: Duration = Duration::from_secs(8);

/// What is started, and what is remembered about it.
struct Errand<'a> {
    doing: &'a Doing,
    place: Place,
    wanted: &'a Dispatch,
    commit: CommitSha,
    name: String,
    step: String,
}

impl Doing {
    /// Starts a workflow, unless the commit was built, is being built, or failed before.
    pub(super) async fn start_workflow(&self, call: &Call<'_>, wanted: &Dispatch) -> Answer {
        let target = wanted.repo.trim();
        let place = self.forges.elsewhere(target, given(wanted.credential.as_deref()), &call.event.repo)?;
        let what = wanted.event_type.as_deref().or(wanted.workflow.as_deref()).unwrap_or_default().trim();
        // One that was filled in is known only now.
        if wanted.event_type.is_none() && !is_workflow(what) {
            let words = "is no workflow: neither a file's name without its folder nor a number";
            return Err(EffectFault::new(format!("`{}` {words}", what.escape_debug())));
        }
        let name = format!("{} {} {what}", call.event.repo, place.repo);
        let commit = self.source_commit(call, wanted).await?;
        let _turn = self.turns.of(&format!("dispatch {name}")).await;
        let errand = Errand { doing: self, place, wanted, commit, name, step: call.key.to_string() };
        errand.run().await
    }

    /// The commit that is to be built: what is named, the event's, else the tip of the default branch, so that a
    /// schedule catches up with what was pushed while a build was under way.
    async fn source_commit(&self, call: &Call<'_>, wanted: &Dispatch) -> Result<CommitSha, EffectFault> {
        let named = super::reporting::commit(call, wanted.commit.as_deref());
        if named.is_ok() || given(wanted.commit.as_deref()).is_some() {
            return named;
        }
        let repo = self.database.repo(&call.event.repo).await.map_err(fault)?;
        let Some(head) = repo.head.as_deref() else { return named };
        let refs = self.database.refs(repo.id).await.map_err(fault)?;
        let tip = refs.iter().find(|known| !known.deleted && known.name == head);
        tip.and_then(|tip| tip.sha.parse().ok()).map_or(named, Ok)
    }
}

impl Errand<'_> {
    async fn run(&self) -> Answer {
        let kept = self.doing.database.builds(&self.name).await.map_err(fault)?;
        let mut builds: Builds = kept.and_then(|kept| serde_json::from_value(kept).ok()).unwrap_or_default();
        match builds.asked.take() {
            // This very step was interrupted.
            Some(asked) if asked.step == self.step => {
                let begun = asked.heard || asked.run.is_some() || self.found_after_a_while(&asked).await.is_some();
                builds.asked = Some(Asked { heard: true, ..asked });
                if begun {
                    self.keep(&builds).await?;
                    return Ok(triggered());
                }
            }
            Some(asked) => {
                let state = self.state(&asked).await;
                builds.asked = Some(asked.clone());
                if let Some(well) = state {
                    builds.end(asked.commit, well);
                }
                let cooldown = self.wanted.cooldown.unwrap_or(COOLDOWN);
                if let Some(why) = self.refusal(&builds, cooldown) {
                    self.keep(&builds).await?;
                    return Ok(json!({"triggered": false, "reason": why}));
                }
            }
            None => {
                if let Some(why) = self.refusal(&builds, COOLDOWN) {
                    return Ok(json!({"triggered": false, "reason": why}));
                }
            }
        }
        self.ask(builds).await
    }

    fn refusal(&self, builds: &Builds, cooldown: Duration) -> Option<String> {
        if self.wanted.again {
            return None;
        }
        builds.refusal(&self.commit, Timestamp::now(), cooldown)
    }

    /// Writes it down, asks, and writes down that it was heard.
    async fn ask(&self, mut builds: Builds) -> Answer {
        // Where runs may not be listed, an interrupted asking is repeated.
        let newest = self.runs().await.ok().map(|runs| runs.first().map_or(0, |run| run.id));
        builds.ask(self.commit.clone(), Timestamp::now(), &self.step, newest);
        self.keep(&builds).await?;
        let asked = match self.send().await {
            Ok(run) => builds.asked.take().map(|asked| Asked { heard: true, run, ..asked }),
            // It may have been heard all the same.
            Err(cut) if cut.is_passing() => match builds.asked.take() {
                Some(asked) => match self.found_after_a_while(&asked).await {
                    Some(run) => Some(Asked { heard: true, run: Some(run.id), ..asked }),
                    None => return self.failed(builds, &cut).await,
                },
                None => None,
            },
            Err(refused) => return self.failed(builds, &refused).await,
        };
        builds.asked = asked;
        self.keep(&builds).await?;
        Ok(triggered())
    }

    async fn failed(&self, mut builds: Builds, why: &Fault) -> Answer {
        builds.asked = None;
        self.keep(&builds).await?;
        Err(self.place.said(why))
    }

    async fn send(&self) -> Result<Option<u64>, Fault> {
        let (forge, repo, wanted) = (&self.place.forge, &self.place.repo, self.wanted);
        if let Some(kind) = &wanted.event_type {
            let payload: Value = wanted.inputs.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            let reference = given(wanted.reference.as_deref());
            return forge.dispatch_event(repo, kind.trim(), reference, &payload).await;
        }
        let reference = match given(wanted.reference.as_deref()) {
            Some(reference) => reference.to_owned(),
            None => forge.repository(repo).await?.default_branch,
        };
        let workflow = wanted.workflow.as_deref().unwrap_or_default().trim();
        forge.dispatch_workflow(repo, workflow, &reference, &wanted.inputs).await
    }

    /// Runs that this kind of asking started, newest first.
    async fn runs(&self) -> Result<Vec<WorkflowRun>, Fault> {
        let (event, file) = match (&self.wanted.event_type, &self.wanted.workflow) {
            (None, Some(workflow)) => ("workflow_dispatch", Some(workflow.trim())),
            _ => ("repository_dispatch", None),
        };
        let mut runs = self.place.forge.workflow_runs(&self.place.repo, event).await?;
        if let Some(workflow) = file {
            runs.retain(|run| is_of(run, workflow));
        }
        Ok(runs)
    }

    /// The run that an asking started: the oldest since, of that event's name where one has it.
    async fn found(&self, asked: &Asked) -> Option<WorkflowRun> {
        if let Some(run) = asked.run {
            return self.place.forge.workflow_run(&self.place.repo, run).await.ok();
        }
        // Of what was before nothing may be known: then any run might be an older one.
        let after = asked.after?;
        let mut later = self.runs().await.ok()?;
        later.retain(|run| run.id > after);
        let word = self.wanted.event_type.as_deref().map(str::trim);
        let named = later.iter().rposition(|run| Some(run.title.as_str()) == word);
        match named {
            Some(place) => Some(later.swap_remove(place)),
            None => later.pop(),
        }
    }

    async fn found_after_a_while(&self, asked: &Asked) -> Option<WorkflowRun> {
        for _ in 0..4 {
            if let Some(run) = self.found(asked).await {
                return Some(run);
            }
            tokio::time::sleep(SHOWN / 4).await;
        }
        None
    }

    /// How an earlier build went; none while it goes on, or where nobody can tell.
    async fn state(&self, asked: &Asked) -> Option<bool> {
        self.found(asked).await?.ended
    }

    async fn keep(&self, builds: &Builds) -> Result<(), EffectFault> {
        let document = serde_json::to_value(builds).map_err(|error| EffectFault::new(error.to_string()))?;
        self.doing.database.remember_builds(&self.name, &document).await.map_err(fault)
    }
}

/// Whether a run is one of this workflow, which is named by its file or by its number. Where a forge does not number them,
/// every run may be.
fn is_of(run: &WorkflowRun, workflow: &str) -> bool {
    match workflow.parse::<u64>() {
        Ok(number) => run.workflow.is_none_or(|own| own == number),
        Err(_) => run.path.rsplit('/').next() == Some(workflow),
    }
}

fn triggered() -> Value {
    json!({"triggered": true, "reason": null})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_another_workflow_is_never_taken_for_the_one_that_was_started() {
        let run = |workflow| WorkflowRun {
            id: 9,
            path: ".github/workflows/build.yml".to_owned(),
            workflow,
            title: "Build".to_owned(),
            url: String::new(),
            ended: None,
            attempt: None,
            pulls: Vec::new(),
        };
        assert!(is_of(&run(Some(161_335)), "161335") && !is_of(&run(Some(7)), "161335"));
        assert!(is_of(&run(None), "161335"), "a forge that numbers none");
        assert!(is_of(&run(Some(7)), "build.yml") && !is_of(&run(Some(7)), "test.yml"));
    }
}
