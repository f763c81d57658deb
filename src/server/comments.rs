//! Comments of repositories whose webhooks do not reach this server: asked for now and then, and told as a webhook would.
//!
//! Only where a handler waits for comments. How far they were read is in the database; one that a webhook told of as well is
//! one event, by its number. What was written before a repository was seen first is not looked at, and neither is what was
//! edited since: old comments would become new commands.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::{self, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::event::{Event, Kind, Pull, Source};
use super::file::{File, Poll, Repo};
use super::forges::Forges;
use super::handler::OWN_MARK;
use super::hook::Asking;
use super::hook::meaning::said;
use super::ledger;
use crate::forge::{self, Comment};
use crate::store::database::{Database, DatabaseError};
use crate::web::Fault;

/// How often a repository's comments are asked for when nothing else is said.
const USUAL: Duration = Duration::from_mins(1);
/// The same where webhooks arrive: one may be lost.
const HOOKED: Duration = Duration::from_mins(15);
/// Webhooks arrive where the last one is no older.
const LATELY: SignedDuration = SignedDuration::from_hours(24);
/// Longest wait after faults.
const LONGEST: Duration = Duration::from_mins(15);
/// How often is looked what is due.
const TICK: Duration = Duration::from_secs(1);
/// Repositories that are asked about at a time, and those of one API among them: one that is slow holds up no other.
const AT_ONCE: usize = 32;
const OF_ONE: usize = 4;
/// An edit is later than this; forges write the two times of a new comment one after the other.
const EDITED: SignedDuration = SignedDuration::from_secs(2);

/// How far a repository's comments were read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    since: Timestamp,
    /// The forge's tag of what it answered to just that.
    #[serde(default)]
    tag: Option<String>,
}

/// Asks for comments; clones share everything.
#[derive(Debug, Clone)]
pub struct Comments {
    database: Database,
    file: Arc<File>,
    forges: Forges,
    asking: Asking,
    /// Is rung when an event was written.
    told: Arc<Notify>,
}

/// Whose turn it is.
#[derive(Debug, Default)]
struct Round {
    /// When each repository is asked about next.
    due: BTreeMap<String, Instant>,
    /// Those that are being asked about.
    going: HashMap<task::Id, String>,
    failures: BTreeMap<String, u32>,
    /// The API of each.
    apis: BTreeMap<String, String>,
}

impl Round {
    /// Those who are asked about now, no longer due.
    fn ready(&mut self, now: Instant) -> Vec<String> {
        let mut busy: BTreeMap<Option<&String>, usize> = BTreeMap::new();
        for name in self.going.values() {
            *busy.entry(self.apis.get(name)).or_default() += 1;
        }
        let mut ready = Vec::new();
        for (name, _) in self.due.iter().filter(|(_, at)| **at <= now) {
            let of_it = busy.entry(self.apis.get(name)).or_default();
            if *of_it < OF_ONE && ready.len() + self.going.len() < AT_ONCE {
                *of_it += 1;
                ready.push(name.clone());
            }
        }
        self.due.retain(|name, _| !ready.contains(name));
        ready
    }

    /// One was asked about: how long it may rest, unless that failed.
    fn ended(&mut self, work: task::Id, rest: Result<Duration, ()>) {
        let Some(name) = self.going.remove(&work) else { return };
        let count = self.failures.entry(name.clone()).or_default();
        *count = if rest.is_ok() { 0 } else { count.saturating_add(1) };
        let later = USUAL * 2_u32.saturating_pow((*count).min(8));
        self.due.insert(name, Instant::now() + rest.unwrap_or(later.min(LONGEST)));
    }
}

/// Why comments were not read.
#[derive(Debug, thiserror::Error)]
pub enum CommentsError {
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The forge, or what is missing to ask it.
    #[error("{0}")]
    Forge(String),
}

impl Comments {
    /// Those of this file's repositories.
    pub fn of(database: Database, file: Arc<File>, forges: Forges, told: Arc<Notify>) -> Self {
        let asking = Asking::of(Arc::clone(&file), forges.clone());
        Self { database, file, forges, asking, told }
    }

    /// The repositories whose comments somebody waits for, and whose forge can be asked.
    pub fn repos(&self) -> impl Iterator<Item = &Repo> {
        let asked = self.file.repos.iter().filter(|repo| !matches!(repo.poll, Poll::Off(_)));
        asked.filter(|repo| self.asking.waits_for_comments(&repo.name) && self.file.site(&repo.name).is_ok())
    }

    /// Asks as long as it is not told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut round = Round::default();
        // Not all at once.
        for (place, repo) in self.repos().enumerate() {
            let phase = Duration::from_millis(u64::try_from(place).unwrap_or_default() * 100);
            round.due.insert(repo.name.clone(), Instant::now() + phase.min(USUAL));
            round.apis.extend(self.file.site(&repo.name).map(|site| (repo.name.clone(), site.api)));
        }
        let mut works: JoinSet<Result<Duration, ()>> = JoinSet::new();
        while !round.due.is_empty() || !works.is_empty() {
            for name in round.ready(Instant::now()) {
                let (this, asked) = (self.clone(), name.clone());
                let work = works.spawn(async move { this.turn(&asked).await });
                round.going.insert(work.id(), name);
            }
            tokio::select! {
                () = stop.cancelled() => return,
                Some(ended) = works.join_next_with_id() => match ended {
                    Ok((work, rest)) => round.ended(work, rest),
                    Err(error) => {
                        tracing::error!(%error, "comments are not read");
                        round.ended(error.id(), Err(()));
                    }
                },
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// Reads one repository; how long it may rest then, unless it failed.
    async fn turn(&self, name: &str) -> Result<Duration, ()> {
        let hooked = self.is_hooked(name).await;
        match self.read(name).await {
            Ok(_) => Ok(self.pause(name, hooked)),
            Err(error) => {
                tracing::warn!(repo = name, %error, "comments are not read");
                Err(())
            }
        }
    }

    fn pause(&self, name: &str, hooked: bool) -> Duration {
        match self.file.repo(name).map(|repo| repo.poll) {
            Some(Poll::Every(every)) => every,
            _ if hooked => HOOKED,
            _ => USUAL,
        }
    }

    async fn is_hooked(&self, name: &str) -> bool {
        let Ok(repo) = self.database.repo(name).await else { return false };
        let at = repo.hook_at.and_then(|at| Timestamp::from_millisecond(at).ok());
        at.is_some_and(|at| Timestamp::now().duration_since(at) < LATELY)
    }

    /// Reads what is new in one repository; how many events that made. The first time, nothing is.
    ///
    /// # Errors
    /// Why it could not be read; it is read from there another time.
    pub async fn read(&self, name: &str) -> Result<usize, CommentsError> {
        let key = format!("comments {name}");
        let known = self.database.cursor(&key).await?.and_then(|kept| serde_json::from_value::<Cursor>(kept).ok());
        let place = self.forges.place(name).map_err(|lack| CommentsError::Forge(lack.message))?;
        let Some(cursor) = known else {
            // Comments have the forge's times, and ours may be ahead of it.
            let since = place.forge.now(&place.repo).await;
            let since = since.map_err(|fault: Fault| CommentsError::Forge(place.said(&fault).message))?;
            self.keep(&key, &Cursor { since, tag: None }).await?;
            return Ok(0);
        };
        let asked = place.forge.new_comments(&place.repo, cursor.since, cursor.tag.as_deref()).await;
        let asked = asked.map_err(|fault: Fault| CommentsError::Forge(place.said(&fault).message))?;
        let Some(forge::NewComments { comments, tag }) = asked else { return Ok(0) };
        let repo = self.database.repo(name).await?;
        let mut made = 0;
        let fresh = comments.iter().filter(|comment| is_fresh(comment, cursor.since));
        for comment in fresh {
            let mut event = event(name, comment);
            match self.database.event_by_key(&event.key()).await {
                // A webhook was faster, or an earlier reading.
                Ok(_) => continue,
                Err(DatabaseError::Missing { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            self.asking.fill(&mut event).await.map_err(CommentsError::Forge)?;
            let row = ledger::row(&event, Some(repo.id)).map_err(|error| CommentsError::Forge(error.to_string()))?;
            made += usize::from(self.database.tell(&row).await?.is_some());
        }
        let newest = comments.iter().map(|comment| comment.updated).max().filter(|newest| *newest > cursor.since);
        // A tag is of what was asked for, and that is another list now.
        let next = newest.map_or_else(|| Cursor { tag, ..cursor.clone() }, |since| Cursor { since, tag: None });
        if next != cursor {
            self.keep(&key, &next).await?;
        }
        if made > 0 {
            self.told.notify_one();
        }
        Ok(made)
    }

    async fn keep(&self, key: &str, cursor: &Cursor) -> Result<(), CommentsError> {
        let document = serde_json::to_value(cursor).map_err(|error| CommentsError::Forge(error.to_string()))?;
        Ok(self.database.move_cursor(key, &document).await?)
    }
}

/// Whether a comment is new, by a person and not by us, on a pull request.
fn is_fresh(comment: &Comment, since: Timestamp) -> bool {
    // Forges cut times to seconds, and the cursor may lie within one.
    let new = comment.created.duration_since(since) > SignedDuration::from_secs(-1);
    let edited = comment.updated.duration_since(comment.created) > EDITED;
    let ours = comment.body.trim_start().starts_with(OWN_MARK);
    new && !edited && !ours && !comment.author.bot && comment.is_on_pull() && comment.number > 0
}

/// What a webhook would have told of it.
fn event(repo: &str, comment: &Comment) -> Event {
    let mut event = Event::new(Kind::Comment, repo, comment.created, Source::Poll);
    event.actor = Some(comment.author.login.clone());
    let family = if comment.is_on_merge_request() { "merge-requests" } else { "pull" };
    event.reference = Some(format!("refs/{family}/{}/head", comment.number));
    event.pull = Some(Pull { number: comment.number, ..Pull::default() });
    event.comment = Some(said(comment.id, comment.body.clone(), event.actor.clone(), Some(comment.created)));
    event
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forge::Author;

    fn comment(created: &str, updated: &str, url: &str, bot: bool) -> Comment {
        let author = Author { id: 1, login: "ann".to_owned(), bot };
        let (created, updated) = (created.parse().unwrap(), updated.parse().unwrap());
        Comment { id: 9, number: 7, author, body: "/soopervisor run".to_owned(), created, updated, url: url.to_owned() }
    }

    #[test]
    fn only_new_comments_of_people_on_pull_requests_are_told() {
        let since = "2026-11-28T12:00:00.5Z".parse().unwrap();
        let (at, later, pull) = ("2026-11-28T12:00:00Z", "2026-11-28T12:05:00Z", "https://h/a/b/pull/7#issuecomment-9");
        for (comment, fresh) in [
            (comment(at, at, pull, false), true),
            (comment(later, later, pull, false), true),
            (comment(later, later, "https://h/a/b/-/merge_requests/7#note_9", false), true),
            (comment(later, later, "https://h/a/b/pulls/7#issuecomment-9", false), true),
            (comment("2026-11-28T11:00:00Z", later, pull, false), false),
            (comment(at, later, pull, false), false),
            (comment(later, later, pull, true), false),
            (comment(later, later, "https://h/a/b/issues/7#issuecomment-9", false), false),
            (comment(later, later, "https://h/a/pull/issues/7#issuecomment-9", false), false),
            (comment(later, later, "https://h/merge_requests/pull/pull/7#issuecomment-9", false), true),
        ] {
            assert_eq!(is_fresh(&comment, since), fresh, "{comment:?}");
        }
    }

    #[tokio::test]
    async fn repositories_of_an_api_that_is_slow_hold_up_none_of_another() {
        let (mut round, now) = (Round::default(), Instant::now());
        for (api, count) in [("slow", 40), ("quick", 2)] {
            for number in 0..count {
                let name = format!("{api}/{number:02}");
                round.due.insert(name.clone(), now);
                round.apis.insert(name, api.to_owned());
            }
        }
        let mut ready = round.ready(now);
        let quick = ready.iter().filter(|name| name.starts_with("quick")).count();
        assert_eq!((quick, ready.len()), (2, 2 + OF_ONE), "{ready:?}");
        let mut works = JoinSet::new();
        for name in ready.drain(..) {
            round.going.insert(works.spawn(async {}).id(), name);
        }
        assert!(round.ready(now).is_empty(), "none of it answers");
        let one = *round.going.iter().find(|(_, name)| name.starts_with("slow")).unwrap().0;
        round.ended(one, Err(()));
        assert_eq!(round.ready(now).len(), 1);
        assert_eq!(round.failures.values().sum::<u32>(), 1);
    }

    #[test]
    fn a_comment_that_a_webhook_tells_of_too_is_one_event() {
        let found = comment(
            "2026-11-28T12:00:00Z",
            "2026-11-28T12:00:00Z",
            "https://h/acme/churn/pull/7#issuecomment-9",
            false,
        );
        assert_eq!(event("acme/churn", &found).key(), "comment acme/churn 9");
        assert_eq!(event("acme/churn", &found).reference.as_deref(), Some("refs/pull/7/head"));
        let at = "2026-11-28T12:00:00Z";
        let named_so = comment(at, at, "https://h/acme/merge_requests/pull/7#issuecomment-9", false);
        assert_eq!(event("acme/x", &named_so).reference.as_deref(), Some("refs/pull/7/head"));
    }
}
