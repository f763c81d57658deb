//! Asking for a run by hand: what the command line, the API and a button do. It ends in an event like any other.
//!
//! Who asks means what is there now. Who can read refs reads them first ([`trigger`]); who cannot leaves that to the server
//! ([`ask`], [`super::asked`]).

use jiff::Timestamp;
use serde_json::json;
use thiserror::Error;

use super::event::{Event, Kind, Link, Source};
use super::ledger;
use crate::id::CommitSha;
use crate::spec::suggest;
use crate::store::database::{self, Database, DatabaseError, KnownRef, NewEvent, Repo};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask<'a> {
    /// The repository, by name or address.
    pub repo: &'a str,
    /// A branch, a tag, or the whole name of a ref; the default branch when it is none.
    pub reference: Option<&'a str>,
    /// `sample` or `full`; what the handlers decide when it is none.
    pub mode: Option<&'a str>,
    /// Who asks.
    pub actor: &'a str,
    /// How.
    pub source: Source,
    /// Makes it the same as another asking.
    pub id: &'a str,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Triggered {
    /// The event.
    pub event: i64,
    /// The commit that the ref pointed to when it was last read.
    pub sha: String,
}

/// Why nothing was.
#[derive(Debug, Error)]
pub enum TriggerError {
    /// The database says no, or does not know the repository.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// No such repository.
    #[error("there is no repository `{name}`; {help}")]
    Repository {
        /// As asked for.
        name: String,
        /// Which there are.
        help: String,
    },
    /// No such ref.
    #[error("`{repo}` has no branch or tag `{reference}` as far as it was read")]
    Reference {
        /// The repository.
        repo: String,
        /// As asked for.
        reference: String,
    },
    /// Nobody knows what the default branch is.
    #[error("`{0}` was not read yet, or says no default branch: name one")]
    NoDefault(String),
    /// It was asked for before, under the same id.
    #[error("this was asked for before")]
    Again,
    /// A mode that there is not.
    #[error("there is no mode `{0}`: write `sample` or `full`")]
    Mode(String),
}

/// The repository of a name or an address.
///
/// # Errors
/// When there is none, with those that there are.
pub async fn repo(database: &Database, name: &str) -> Result<Repo, TriggerError> {
    match database.repo(name).await {
        Err(DatabaseError::Missing { name, .. }) => {
            let known = database.repos().await?;
            let help = match &known[..] {
                [] => "none is watched yet".to_owned(),
                known => suggest::help(&name, known.iter().map(|repo| repo.name.as_str())),
            };
            Err(TriggerError::Repository { name, help })
        }
        found => Ok(found?),
    }
}

/// Writes the event, and in the audit log who asks. Where the ref points is what the last reading saw.
///
/// # Errors
/// When repository, ref or mode are not known.
pub async fn trigger(database: &Database, ask: &Ask<'_>) -> Result<Triggered, TriggerError> {
    let (repo, mut event) = asked(database, ask).await?;
    let refs = database.refs(repo.id).await?;
    let sha = point(&mut event, &repo, &refs)?;
    let written = database.tell_by(&row(&event, &repo)?, ask.actor, &repo.name).await?;
    Ok(Triggered { event: written.ok_or(TriggerError::Again)?, sha })
}

/// Writes that a run is asked for, after the runs that led to it; its number comes back. The server reads the ref before
/// it decides anything. The audit log has who asks, but for handlers, whose journal says it.
///
/// # Errors
/// When repository or mode are not known.
pub async fn ask(database: &Database, ask: &Ask<'_>, chain: &[Link]) -> Result<i64, TriggerError> {
    let (repo, mut event) = asked(database, ask).await?;
    event.chain = chain.to_vec();
    let event = row(&event, &repo)?;
    let written = if ask.source == Source::Server {
        database.ask(&event).await?
    } else {
        database.ask_by(&event, ask.actor, &repo.name).await?
    };
    written.ok_or(TriggerError::Again)
}

/// The event that was asked for, with the commit that its ref points to as the last reading saw it.
///
/// # Errors
/// When there is no such ref.
pub async fn resolve(database: &Database, repo: &Repo, asked: &database::Event) -> Result<NewEvent, TriggerError> {
    let mut event = ledger::event(asked, &repo.name).map_err(|error| DatabaseError::Content(error.to_string()))?;
    let refs = database.refs(repo.id).await?;
    point(&mut event, repo, &refs)?;
    Ok(row(&event, repo)?)
}

/// The event of a repository that cannot be read: its commit is the one that was last seen at its ref, and none where none
/// was.
///
/// # Errors
/// When the database says no.
pub async fn last_seen(database: &Database, repo: &Repo, asked: &database::Event) -> Result<NewEvent, DatabaseError> {
    let mut event = ledger::event(asked, &repo.name).map_err(|error| DatabaseError::Content(error.to_string()))?;
    if point(&mut event, repo, &database.refs(repo.id).await?).is_err() {
        event.reference = event.reference.or_else(|| repo.head.clone());
        event.default_branch = default_branch(repo);
    }
    row(&event, repo)
}

/// What is asked for, of a commit that is not known yet. The ref is as it was written.
async fn asked(database: &Database, ask: &Ask<'_>) -> Result<(Repo, Event), TriggerError> {
    if let Some(mode) = ask.mode.filter(|mode| !matches!(*mode, "sample" | "full")) {
        return Err(TriggerError::Mode(mode.to_owned()));
    }
    let repo = repo(database, ask.repo).await?;
    let mut event = Event::new(Kind::Manual, &repo.name, Timestamp::now(), ask.source);
    event.delivery = Some(ask.id.to_owned());
    event.actor = Some(ask.actor.to_owned());
    event.reference = ask.reference.map(str::to_owned);
    event.payload = json!({"mode": ask.mode});
    Ok((repo, event))
}

/// Gives an event the whole name of its ref, or the default branch, and the commit there.
fn point(event: &mut Event, repo: &Repo, refs: &[KnownRef]) -> Result<String, TriggerError> {
    let wanted = match &event.reference {
        Some(reference) => reference.clone(),
        None => repo.head.clone().ok_or_else(|| TriggerError::NoDefault(repo.name.clone()))?,
    };
    let names = [wanted.clone(), format!("refs/heads/{wanted}"), format!("refs/tags/{wanted}")];
    let found = names.iter().find_map(|name| refs.iter().find(|known| !known.deleted && known.name == *name));
    let unknown = || TriggerError::Reference { repo: repo.name.clone(), reference: wanted.clone() };
    let found = found.ok_or_else(unknown)?;
    event.reference = Some(found.name.clone());
    event.after = found.sha.parse::<CommitSha>().ok();
    event.default_branch = default_branch(repo);
    Ok(found.sha.clone())
}

fn default_branch(repo: &Repo) -> Option<String> {
    repo.head.as_deref().and_then(|head| head.strip_prefix("refs/heads/")).map(str::to_owned)
}

fn row(event: &Event, repo: &Repo) -> Result<NewEvent, DatabaseError> {
    ledger::row(event, Some(repo.id)).map_err(|error| DatabaseError::Content(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::database::NewRepo;

    #[tokio::test]
    async fn a_repository_that_is_not_there_is_told_with_those_that_are() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&format!("sqlite:{}", folder.path().join("it.db").display())).await.unwrap();
        let ask = Ask { repo: "acme/chrn", reference: None, mode: None, actor: "ann", source: Source::Person, id: "1" };
        let said = async |ask: &Ask<'_>| trigger(&database, ask).await.unwrap_err().to_string();
        assert_eq!(said(&ask).await, "there is no repository `acme/chrn`; none is watched yet");
        let repos = ["acme/churn", "acme/report"].map(|name| NewRepo {
            url: format!("https://h.example/{name}"),
            name: name.to_owned(),
            settings: json!({}),
        });
        database.watch(&repos).await.unwrap();
        assert_eq!(said(&ask).await, "there is no repository `acme/chrn`; did you mean `acme/churn`?");
        let other = Ask { repo: "nowhere", ..ask };
        assert_eq!(said(&other).await, "there is no repository `nowhere`; known here: `acme/churn`, `acme/report`");
    }
}
