//! Events as the database keeps them, and back: one place that knows both forms.

use crate::server::event::{Event, FinishedRun, Kind, Source};
use crate::store::database::{self, Database, DatabaseError, NewEvent, Repo};

/// Why an event is not had from the database.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The database says no, or has no event of this number.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Its row holds no event.
    #[error("event {0} cannot be read")]
    Content(i64, #[source] serde_json::Error),
    /// It is of a repository that was never watched.
    #[error("event {0} is of no repository")]
    Nowhere(i64),
}

/// The event that the database has under a number, with what is known of its repository now.
///
/// # Errors
/// When there is none, or it cannot be read.
pub async fn recorded(database: &Database, id: i64) -> Result<Event, LedgerError> {
    let row = database.event(id).await?;
    let repo = database.repo_of(row.new.repo.ok_or(LedgerError::Nowhere(id))?).await?;
    event_of(&row, &repo.ok_or(LedgerError::Nowhere(id))?).map_err(|error| LedgerError::Content(id, error))
}

/// The row of an event. Its key is the event's own.
///
/// # Errors
/// When the event has no JSON form, which none of ours lacks.
pub fn row(event: &Event, repo: Option<i64>) -> Result<NewEvent, serde_json::Error> {
    Ok(NewEvent {
        key: event.key(),
        repo,
        kind: event.kind.name().to_owned(),
        source: event.source.name().to_owned(),
        reference: event.reference.clone(),
        old_sha: event.before.as_ref().map(ToString::to_string),
        new_sha: event.after.as_ref().map(ToString::to_string),
        payload: serde_json::to_value(event)?,
        doubt: None,
    })
}

/// The key of an event's row. That of a finished run is the database's own: a repository may have another name since.
pub fn key(event: &Event) -> String {
    match (&event.run, event.kind) {
        (Some(run), Kind::RunFinished) => database::key_of_end(&run.id),
        _ => event.key(),
    }
}

/// The event of a row, with what is known of its repository.
///
/// # Errors
/// When the row holds no event.
pub fn event_of(row: &database::Event, repo: &Repo) -> Result<Event, serde_json::Error> {
    let mut event = event(row, &repo.name)?;
    if event.default_branch.is_none() {
        let head = repo.head.as_deref().and_then(|head| head.strip_prefix("refs/heads/"));
        event.default_branch = head.map(str::to_owned);
    }
    Ok(event)
}

/// The event of a row. That of a finished run, which the database writes itself, is filled in from the row.
///
/// # Errors
/// When the row holds no event.
pub fn event(row: &database::Event, repo: &str) -> Result<Event, serde_json::Error> {
    if row.new.kind != Kind::RunFinished.name() {
        return serde_json::from_value(row.new.payload.clone());
    }
    let at = jiff::Timestamp::from_millisecond(row.created_at).unwrap_or_default();
    let mut event = Event::new(Kind::RunFinished, repo, at, Source::Server);
    event.reference.clone_from(&row.new.reference);
    event.after = row.new.new_sha.as_deref().and_then(|sha| sha.parse().ok());
    let word = |name: &str| row.new.payload.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
    let took = row.new.payload.get("took_ms").and_then(serde_json::Value::as_i64);
    event.run = Some(FinishedRun {
        id: row.new.payload.get("run").map(ToString::to_string).unwrap_or_default(),
        status: word("state").unwrap_or_default(),
        mode: word("mode"),
        url: None,
        seconds: took.map(|took| jiff::SignedDuration::from_millis(took).as_secs_f64()),
        previous: word("previous"),
    });
    let chain = row.new.payload.get("chain").cloned();
    event.chain = chain.map(serde_json::from_value).transpose()?.unwrap_or_default();
    Ok(event)
}
