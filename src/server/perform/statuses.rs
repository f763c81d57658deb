//! Statuses of commits, told by an account whose pace is bounded: how a run ended comes before that others begin, and what a
//! newer status of the same name has overtaken is not told at all.
//!
//! Which was asked for last is in the database, written before anything is told. One that says that something begins holds up
//! nobody: where many wait it is left there, told when there is room, and taken out by whatever comes after it.

use std::time::Duration;

use serde_json::{Value, json};

use super::doing::{Doing, fault};
use super::reporting::{USUAL, commit, given, one_line, wrong};
use crate::forge::{CommitStatus, StatusState};
use crate::id::CommitSha;
use crate::server::action::arguments::Status;
use crate::server::action::{Answer, Call, EffectFault};
use crate::server::forges::Place;
use crate::server::ledger;
use crate::server::line::Rank;
use crate::server::room;
use crate::store::database::{DatabaseError, LeftStatus, StatusKey};

/// How long a handler waits until it can be told that something begins.
const SOON: Duration = Duration::from_secs(1);

/// A status that was asked for.
struct Asked {
    key: StatusKey,
    generation: i64,
    commit: CommitSha,
    status: CommitStatus,
}

impl Doing {
    /// Sets a commit's status.
    pub(super) async fn set_status(&self, call: &Call<'_>, wanted: &Status) -> Answer {
        let place = self.forges.place(&call.event.repo)?;
        let status = CommitStatus {
            state: state(wanted.state.trim())?,
            context: given(wanted.context.as_deref()).unwrap_or(USUAL).to_owned(),
            description: one_line(wanted.description.as_deref().unwrap_or_default()),
            target_url: given(wanted.url.as_deref()).map(str::to_owned),
        };
        self.put_status(call, &place, commit(call, wanted.commit.as_deref())?, status).await
    }

    /// Tells a status, or leaves it to be told, unless it is overtaken.
    pub(super) async fn put_status(
        &self,
        call: &Call<'_>,
        place: &Place,
        commit: CommitSha,
        status: CommitStatus,
    ) -> Answer {
        let (repo, sha) = (call.event.repo.clone(), commit.to_string());
        // GitHub does not tell capital letters of a name from small ones.
        let key = StatusKey { repo, sha, context: status.context.to_lowercase() };
        let begins = status.state == StatusState::Pending;
        let noted = self.database.note_status(&key, self.number(call).await?, !begins).await.map_err(fault)?;
        let Some(generation) = noted else {
            tracing::info!(handler = call.key.handler, event = call.key.event, "a status is overtaken, and not told");
            return Ok(Value::Null);
        };
        let asked = Asked { key, generation, commit, status };
        if !begins {
            let _turn = place.line().turn(Rank::End).await;
            return self.tell_status(place, &asked).await;
        }
        match tokio::time::timeout(SOON, place.line().turn(Rank::Beginning)).await {
            Ok(_turn) => self.tell_status(place, &asked).await,
            Err(_) => self.leave_status(asked).await,
        }
    }

    /// The number of the event; 0 where the database does not have it.
    async fn number(&self, call: &Call<'_>) -> Result<i64, EffectFault> {
        match self.database.event_by_key(&ledger::key(call.event)).await {
            Ok(number) => Ok(number),
            Err(DatabaseError::Missing { .. }) => Ok(0),
            Err(error) => Err(fault(error)),
        }
    }

    async fn tell_status(&self, place: &Place, asked: &Asked) -> Answer {
        // An older one that is on its way is waited for: it could arrive after this one.
        let _turn = self.turns.of(&turn(&asked.key)).await;
        if self.database.status_stands(&asked.key, asked.generation).await.map_err(fault)? {
            let told = place.forge.set_status(&place.repo, &asked.commit, &asked.status).await;
            told.map_err(|fault| place.said(&fault))?;
        }
        Ok(Value::Null)
    }

    async fn leave_status(&self, asked: Asked) -> Answer {
        let left = LeftStatus { key: asked.key, generation: asked.generation, document: document(&asked.status) };
        if self.database.leave_status(&left).await.map_err(fault)? {
            self.tell_later(left);
        }
        Ok(Value::Null)
    }

    /// Goes on with all that was left when a server died, or was replaced.
    pub(super) async fn tell_what_was_left(&self) {
        match self.database.left_statuses().await {
            Ok(all) => {
                for left in all {
                    self.tell_later(left);
                }
            }
            Err(error) => tracing::warn!(error = room::words(&error), "statuses that were left are not told"),
        }
    }

    fn tell_later(&self, left: LeftStatus) {
        let this = self.clone();
        tokio::spawn(async move {
            let Err(why) = this.reported("status", this.tell_left(&left).await) else { return };
            tracing::warn!(repo = left.key.repo, commit = left.key.sha, why = why.message, "a status is not told");
            // Nobody waits for it, and the next one says more.
            if let Err(error) = this.database.settle_left(&left).await {
                tracing::warn!(error = room::words(&error), "a status is not given up");
            }
        });
    }

    async fn tell_left(&self, left: &LeftStatus) -> Answer {
        let place = self.forges.place(&left.key.repo)?;
        let status = of_document(left)?;
        let commit: CommitSha = left.key.sha.parse().map_err(|_| unreadable(left))?;
        let _place = place.line().turn(Rank::Left).await;
        let _turn = self.turns.of(&turn(&left.key)).await;
        if self.database.is_left(left).await.map_err(fault)? {
            let told = place.forge.set_status(&place.repo, &commit, &status).await;
            told.map_err(|fault| place.said(&fault))?;
            self.database.settle_left(left).await.map_err(fault)?;
        }
        Ok(Value::Null)
    }
}

/// Those of one name on one commit are told one after the other.
fn turn(key: &StatusKey) -> String {
    format!("status {} {} {}", key.repo, key.sha, key.context)
}

const STATES: [(&str, StatusState); 4] = [
    ("pending", StatusState::Pending),
    ("success", StatusState::Success),
    ("failure", StatusState::Failure),
    ("error", StatusState::Error),
];

fn state(word: &str) -> Result<StatusState, EffectFault> {
    let found = STATES.iter().find(|(known, _)| *known == word).map(|(_, state)| *state);
    found.ok_or_else(|| wrong("state", word, "pending, success, failure, error"))
}

fn document(status: &CommitStatus) -> Value {
    let word = STATES.iter().find(|(_, state)| *state == status.state).map(|(word, _)| *word);
    let CommitStatus { context, description, target_url, .. } = status;
    json!({"state": word, "context": context, "description": description, "url": target_url})
}

fn of_document(left: &LeftStatus) -> Result<CommitStatus, EffectFault> {
    let text = |name: &str| left.document.get(name).and_then(Value::as_str);
    Ok(CommitStatus {
        state: state(text("state").ok_or_else(|| unreadable(left))?)?,
        context: text("context").ok_or_else(|| unreadable(left))?.to_owned(),
        description: text("description").unwrap_or_default().to_owned(),
        target_url: text("url").map(str::to_owned),
    })
}

fn unreadable(left: &LeftStatus) -> EffectFault {
    EffectFault::new(format!("the status `{}` of `{}` cannot be read", left.key.context, left.key.sha))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_for_later_says_the_same_then() {
        for (_, state) in STATES {
            let status = CommitStatus {
                state,
                context: "CI".to_owned(),
                description: "it runs".to_owned(),
                target_url: (state == StatusState::Error).then(|| "https://h.example/runs/1".to_owned()),
            };
            let key = StatusKey { repo: "acme/churn".to_owned(), sha: "a".repeat(40), context: "ci".to_owned() };
            let left = LeftStatus { key, generation: 1, document: document(&status) };
            assert_eq!(of_document(&left), Ok(status));
        }
        assert!(state("done").is_err());
    }
}
