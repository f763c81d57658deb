//! Comments of repositories whose webhooks do not reach this server: asked for now and then, and told as a webhook would.
//!
//! Only where a handler waits for comments. How far they were read is in the database; one that a webhook told of as well is
//! one event, by its number. What was written before a repository was seen first is not looked at, and neither is what was
//! edited since: old comments would become new commands.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::event::{Event, Kind, Pull, Source};
use super::file::{File, Poll, Repo};
use super::forges::Forges;
use super::handler::OWN_MARK;
use super::hook::Asking;
use super::hook::meaning::said;
use super::ledger;
use super::rounds::{ListError, USUAL};
use crate::forge::{self, Comment};
use crate::store::database::{Database, DatabaseError};
use crate::web::Fault;

/// How often a repository's comments are asked for where webhooks arrive: one may be lost.
const HOOKED: Duration = Duration::from_mins(15);
/// Webhooks arrive where the last one is no older.
const LATELY: SignedDuration = SignedDuration::from_hours(24);
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

    /// The API of a repository's forge.
    pub(super) fn api(&self, repo: &Repo) -> Option<String> {
        self.file.site(&repo.name).ok().map(|site| site.api)
    }

    /// Reads one repository; how long it may rest then.
    pub(super) async fn turn(&self, name: &str) -> Result<Duration, ListError> {
        let hooked = self.is_hooked(name).await;
        self.read(name).await?;
        Ok(self.pause(name, hooked))
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
    pub async fn read(&self, name: &str) -> Result<usize, ListError> {
        let key = format!("comments {name}");
        let known = self.database.cursor(&key).await?.and_then(|kept| serde_json::from_value::<Cursor>(kept).ok());
        let place = self.forges.place(name).map_err(|lack| ListError::Forge(lack.message))?;
        let Some(cursor) = known else {
            // Comments have the forge's times, and ours may be ahead of it.
            let since = place.forge.now(&place.repo).await;
            let since = since.map_err(|fault: Fault| ListError::Forge(place.said(&fault).message))?;
            self.keep(&key, &Cursor { since, tag: None }).await?;
            return Ok(0);
        };
        let asked = place.forge.new_comments(&place.repo, cursor.since, cursor.tag.as_deref()).await;
        let asked = asked.map_err(|fault: Fault| ListError::Forge(place.said(&fault).message))?;
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
            self.asking.fill(&mut event).await.map_err(ListError::Forge)?;
            let row = ledger::row(&event, Some(repo.id)).map_err(|error| ListError::Forge(error.to_string()))?;
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

    async fn keep(&self, key: &str, cursor: &Cursor) -> Result<(), ListError> {
        let document = serde_json::to_value(cursor).map_err(|error| ListError::Forge(error.to_string()))?;
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
