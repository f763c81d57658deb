//! Artifacts of workflows: asked for now and then where a handler waits for them, because GitHub sends no webhook for one.
//!
//! Each is one event, by its number. What was there before a repository was seen first is not looked at, what has expired is
//! gone, and what a fork's code made is a stranger's and not told. Nothing is downloaded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::event::{self, Event, Kind, Source};
use super::file::{File, Poll, Repo};
use super::forges::{Forges, Place};
use super::ledger;
use super::rounds::{ListError, USUAL};
use crate::forge::{self, Artifact};
use crate::store::database::{Database, DatabaseError, KnownRef};
use crate::web::Fault;

/// An artifact may be listed so much later than it says that it was made, behind others. Events are remembered far longer.
const SLACK: SignedDuration = SignedDuration::from_hours(24);

/// How far a repository's artifacts were read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    /// When it was seen first, by the forge's clock.
    begin: Timestamp,
    /// When the newest was made.
    since: Timestamp,
    /// The forge's tag of its first page.
    #[serde(default)]
    tag: Option<String>,
}

impl Cursor {
    /// What was made before is not looked at any more.
    fn after(&self) -> Timestamp {
        self.since.saturating_sub(SLACK).unwrap_or(self.begin).max(self.begin)
    }
}

/// Asks for artifacts; clones share everything.
#[derive(Debug, Clone)]
pub struct Artifacts {
    database: Database,
    file: Arc<File>,
    forges: Forges,
    /// Is rung when an event was written.
    told: Arc<Notify>,
}

impl Artifacts {
    /// Those of this file's repositories.
    pub fn of(database: Database, file: Arc<File>, forges: Forges, told: Arc<Notify>) -> Self {
        Self { database, file, forges, told }
    }

    /// The repositories whose artifacts somebody waits for, and whose forge can be asked.
    pub fn repos(&self) -> impl Iterator<Item = &Repo> {
        let waits = move |name: &str| {
            self.file.handlers.iter().any(|handler| {
                let here = handler.repos.is_empty() || handler.repos.iter().any(|glob| glob.matches(name));
                handler.enabled && here && handler.on.contains(&Kind::Artifact)
            })
        };
        let asked = self.file.repos.iter().filter(|repo| !matches!(repo.poll, Poll::Off(_)));
        asked.filter(move |repo| self.file.lists_artifacts(&repo.name) && waits(&repo.name))
    }

    /// The API of a repository's forge.
    pub(super) fn api(&self, repo: &Repo) -> Option<String> {
        self.file.site(&repo.name).ok().map(|site| site.api)
    }

    /// Reads one repository; how long it may rest then.
    pub(super) async fn turn(&self, name: &str) -> Result<Duration, ListError> {
        self.read(name).await?;
        Ok(match self.file.repo(name).map(|repo| repo.poll) {
            Some(Poll::Every(every)) => every,
            _ => USUAL,
        })
    }

    /// Reads what is new in one repository; how many events that made. The first time, nothing is.
    ///
    /// # Errors
    /// Why it could not be read; it is read from there another time.
    pub async fn read(&self, name: &str) -> Result<usize, ListError> {
        let key = format!("artifacts {name}");
        let known = self.database.cursor(&key).await?.and_then(|kept| serde_json::from_value::<Cursor>(kept).ok());
        let place = self.forges.place(name).map_err(|lack| ListError::Forge(lack.message))?;
        let said = |fault: Fault| ListError::Forge(place.said(&fault).message);
        let Some(cursor) = known else {
            let begin = place.forge.now(&place.repo).await.map_err(said)?;
            self.keep(&key, &Cursor { begin, since: begin, tag: None }).await?;
            return Ok(0);
        };
        let after = cursor.after();
        let asked = place.forge.new_artifacts(&place.repo, after, cursor.tag.as_deref()).await.map_err(said)?;
        let Some(forge::NewArtifacts { artifacts, tag }) = asked else { return Ok(0) };
        let made = self.tell(name, &place, artifacts.iter().filter(|one| !one.fork && one.created >= after)).await?;
        let newest = artifacts.iter().map(|artifact| artifact.created).max().unwrap_or(cursor.since);
        let next = Cursor { begin: cursor.begin, since: newest.max(cursor.since), tag };
        if next != cursor {
            self.keep(&key, &next).await?;
        }
        if made > 0 {
            self.told.notify_one();
        }
        Ok(made)
    }

    /// Writes events of those that are not known; how many there were.
    async fn tell<'a>(
        &self,
        name: &str,
        place: &Place,
        artifacts: impl Iterator<Item = &'a Artifact>,
    ) -> Result<usize, ListError> {
        let repo = self.database.repo(name).await?;
        let mut refs: Option<Vec<KnownRef>> = None;
        let (mut made, mut attempts) = (0, BTreeMap::new());
        for artifact in artifacts {
            let mut event = event(name, artifact);
            match self.database.event_by_key(&event.key()).await {
                Ok(_) => continue,
                Err(DatabaseError::Missing { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            let known = match refs.take() {
                Some(known) => known,
                None => self.database.refs(repo.id).await?,
            };
            event.reference = artifact.branch.as_deref().map(|branch| reference(branch, &known));
            refs = Some(known);
            let attempt = match attempts.get(&artifact.run) {
                Some(attempt) => *attempt,
                None => attempt(place, artifact.run).await?,
            };
            attempts.insert(artifact.run, attempt);
            if let Some(told) = &mut event.artifact {
                told.attempt = attempt;
            }
            let row = ledger::row(&event, Some(repo.id)).map_err(|error| ListError::Forge(error.to_string()))?;
            made += usize::from(self.database.tell(&row).await?.is_some());
        }
        Ok(made)
    }

    async fn keep(&self, key: &str, cursor: &Cursor) -> Result<(), ListError> {
        let document = serde_json::to_value(cursor).map_err(|error| ListError::Forge(error.to_string()))?;
        Ok(self.database.move_cursor(key, &document).await?)
    }
}

/// How often a run was tried by now; nothing where somebody removed it meanwhile.
async fn attempt(place: &Place, run: u64) -> Result<u64, ListError> {
    match place.forge.workflow_run(&place.repo, run).await {
        Ok(run) => Ok(run.attempt.unwrap_or_default()),
        Err(Fault::NotFound) => Ok(0),
        Err(fault) => Err(ListError::Forge(place.said(&fault).message)),
    }
}

/// What GitHub calls the branch of a run is the tag's name where a tag started it.
fn reference(name: &str, known: &[KnownRef]) -> String {
    let (branch, tag) = (format!("refs/heads/{name}"), format!("refs/tags/{name}"));
    let is_known = |reference: &String| known.iter().any(|known| !known.deleted && known.name == *reference);
    if !is_known(&branch) && is_known(&tag) { tag } else { branch }
}

fn event(repo: &str, artifact: &Artifact) -> Event {
    let mut event = Event::new(Kind::Artifact, repo, artifact.created, Source::Poll);
    event.after.clone_from(&artifact.commit);
    event.artifact = Some(event::Artifact {
        id: artifact.id,
        name: artifact.name.clone(),
        workflow_run: artifact.run,
        attempt: 0,
        size: artifact.size,
        digest: artifact.digest.clone(),
    });
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_is_not_looked_at_and_what_is_listed_late_is() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let cursor = |since: &str| Cursor { begin: at("2026-11-20T00:00:00Z"), since: at(since), tag: None };
        assert_eq!(cursor("2026-11-20T10:00:00Z").after(), at("2026-11-20T00:00:00Z"));
        assert_eq!(cursor("2026-11-27T10:00:00Z").after(), at("2026-11-26T10:00:00Z"));
    }

    #[test]
    fn the_branch_of_a_run_that_a_tag_started_is_the_tag() {
        let known = |name: &str| KnownRef {
            name: name.to_owned(),
            sha: "a".repeat(40),
            generation: 1,
            serial: 1,
            deleted: false,
        };
        let refs = [known("refs/heads/main"), known("refs/tags/v1"), known("refs/tags/main")];
        assert_eq!(reference("main", &refs), "refs/heads/main");
        assert_eq!(reference("v1", &refs), "refs/tags/v1");
        assert_eq!(reference("unknown", &refs), "refs/heads/unknown");
    }
}
