//! What is done to many files at once: sessions become files, folders that are too large for one call are removed. An
//! account takes one batch at a time; a second would be refused.

use std::time::Duration;

use serde_json::{Value, json};

use super::Dropbox;
use super::api::{Entry, is};
use super::judge::{meaning, tags};
use super::listing;
use crate::storage::backend::{Created, Pending, Receipt};
use crate::storage::key::is_marks;
use crate::web::{Answer, Fault};

/// Entries of one batch.
const MOST: usize = 1000;
/// How often entries are tried that Dropbox had no time for.
const ROUNDS: u32 = 12;
/// How long one batch may take.
const PATIENCE: Duration = Duration::from_mins(30);

/// What one entry of a batch came to.
enum Ended {
    Well(Result<Created, Fault>),
    /// Dropbox had no time for it.
    Again,
}

impl Dropbox {
    /// See [`crate::storage::backend::Backend::settle`].
    pub(super) async fn finish(&self, pending: &[Pending]) -> Vec<Result<Created, Fault>> {
        let mut all = Vec::with_capacity(pending.len());
        for some in pending.chunks(MOST) {
            let _turn = self.turn.take().await;
            all.extend(self.finish_some(some).await);
        }
        all
    }

    async fn finish_some(&self, pending: &[Pending]) -> Vec<Result<Created, Fault>> {
        let mut ended: Vec<Option<Result<Created, Fault>>> = pending.iter().map(|_| None).collect();
        let mut waiting: Vec<usize> = (0..pending.len()).collect();
        for round in 1..=ROUNDS {
            let entries: Vec<Value> = waiting.iter().map(|at| self.entry(&pending[*at])).collect();
            let argument = json!({"entries": entries});
            let check = "files/upload_session/finish_batch/check";
            let results = match self.batch("files/upload_session/finish_batch_v2", check, &argument).await {
                Ok(results) if results.len() == waiting.len() => results,
                Ok(_) => return refused(ended, &Fault::Form("not every file was answered for".to_owned())),
                Err(fault) => return refused(ended, &fault),
            };
            let mut again = Vec::new();
            for (at, result) in waiting.into_iter().zip(&results) {
                match self.ended(&pending[at], result).await {
                    Ended::Well(result) => ended[at] = Some(result),
                    Ended::Again => again.push(at),
                }
            }
            waiting = again;
            if waiting.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(500) * round).await;
        }
        refused(ended, &Fault::Throttled(None))
    }

    fn entry(&self, pending: &Pending) -> Value {
        json!({
            "cursor": {"session_id": pending.session, "offset": pending.size},
            // The same content in its place is no conflict: what was answered to nobody can be asked for again.
            "commit": {
                "path": self.path(&pending.key), "mode": "add", "autorename": false, "mute": true,
                "strict_conflict": false,
            },
        })
    }

    /// Begins a batch and waits for its end.
    async fn batch(&self, route: &str, check: &str, argument: &Value) -> Result<Vec<Value>, Fault> {
        let mut answer = self.api.call(route, argument).await?.value();
        let job = answer["async_job_id"].as_str().map(|id| json!({"async_job_id": id}));
        let begun = tokio::time::Instant::now();
        let mut wait = Duration::from_millis(100);
        while let Some(job) = job.as_ref().filter(|_| !answer["entries"].is_array()) {
            if answer[".tag"] == "failed" || begun.elapsed() > PATIENCE {
                return Err(meaning(409, &answer["failed"]));
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(5));
            answer = self.api.call(check, job).await?.value();
        }
        match answer["entries"].take() {
            Value::Array(entries) => Ok(entries),
            _ => Err(Fault::Form("a batch without results".to_owned())),
        }
    }

    async fn ended(&self, pending: &Pending, result: &Value) -> Ended {
        if result[".tag"] == "success" {
            return Ended::Well(self.stored(pending, result).await);
        }
        let error = &result["failure"];
        let tags = tags(error);
        let says = |tag: &str| tags.iter().any(|at| at == tag);
        match meaning(409, error) {
            Fault::Throttled(_) | Fault::Broken(_) => Ended::Again,
            // Something stands there, or the session was used up by a try that was not answered.
            fault @ (Fault::Exists | Fault::NotFound) => Ended::Well(self.standing(pending, fault).await),
            _ if says("closed") => Ended::Well(self.standing(pending, Fault::NotFound).await),
            _ if says("incorrect_offset") || says("not_closed") => Ended::Well(Err(lost(&pending.key))),
            fault => Ended::Well(Err(fault)),
        }
    }

    /// Compares what has appeared with what was sent.
    async fn stored(&self, pending: &Pending, result: &Value) -> Result<Created, Fault> {
        let entry: Entry = serde_json::from_value(result.clone()).map_err(|error| Fault::Form(error.to_string()))?;
        match entry.checksum() {
            Some(there) if there != pending.checksum => {
                self.api.delete(&self.path(&pending.key)).await?;
                Err(Fault::Damaged(format!("sent {}, stored {}", pending.checksum.hex(), there.hex())))
            }
            there => Ok(Created::Ours(Receipt { checksum: there, id: entry.id, ..Receipt::default() })),
        }
    }

    async fn standing(&self, pending: &Pending, fault: Fault) -> Result<Created, Fault> {
        match self.api.look(&self.path(&pending.key)).await? {
            Some(entry) if entry.checksum().as_ref() == Some(&pending.checksum) => {
                Ok(Created::Ours(Receipt { checksum: entry.checksum(), id: entry.id, ..Receipt::default() }))
            }
            Some(entry) => {
                self.note_taken(&pending.key);
                Ok(Created::Taken(Some(listing::meta(&pending.key, &entry))))
            }
            None if fault == Fault::Exists => Err(super::no_folder(&pending.key)),
            // Of a session that an earlier process began it may not have been asked whether it is still there.
            None => Err(lost(&pending.key)),
        }
    }

    /// Removes a folder in one call, or, where it holds too much for that, file by file and then itself.
    pub(super) async fn remove_tree(&self, folder: &str) -> Result<(), Fault> {
        let path = self.path(folder);
        let argument = json!({"path": path});
        let make = |client: &reqwest::Client| self.api.request(client, "files/delete_v2", &argument);
        let told = |answer: &Answer| is(answer, "too_many_files");
        match self.api.web.send_for(told, make).await {
            Ok(answer) if answer.status == 409 => {}
            Ok(_) | Err(Fault::NotFound) => return Ok(()),
            Err(fault) => return Err(fault),
        }
        let files = listing::list(&self.api, &path, folder, true).await?;
        // Marks go with the folder, when nothing else is left in it.
        let files = files.iter().filter(|meta| !meta.folder && !is_marks(&meta.key));
        let paths: Vec<Value> = files.map(|meta| json!({"path": self.path(&meta.key)})).collect();
        for some in paths.chunks(MOST) {
            let _turn = self.turn.take().await;
            let argument = json!({"entries": some});
            let results = self.batch("files/delete_batch", "files/delete_batch/check", &argument).await?;
            let failed = results.iter().filter(|result| result[".tag"] == "failure");
            let fault = failed.map(|result| meaning(409, &result["failure"]));
            // What is left is removed with the folder, or told when that fails.
            fault
                .filter(|fault| *fault != Fault::NotFound)
                .for_each(|fault| tracing::debug!(%fault, "not removed yet"));
        }
        self.api.delete(&path).await
    }
}

/// Not all that was sent of a key is there: it has to be sent again.
fn lost(key: &str) -> Fault {
    Fault::Damaged(format!("`{key}` did not arrive whole: publish again"))
}

/// The results, with a fault in place of those that are missing.
fn refused(ended: Vec<Option<Result<Created, Fault>>>, fault: &Fault) -> Vec<Result<Created, Fault>> {
    ended.into_iter().map(|result| result.unwrap_or_else(|| Err(fault.clone()))).collect()
}
