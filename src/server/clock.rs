//! Schedules of handlers: each strikes for every repository that its handler is for, and is told once, whoever looks. The
//! repository is read before anything is done ([`super::asked`]), so that what is there then is meant.
//!
//! A time that passed while no server was there strikes once, at the next start, however often it passed.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::event::{self, Event, Kind, Source};
use super::file::File;
use super::handler::Handler;
use super::ledger;
use super::room;
use crate::store::database::{Database, DatabaseError, Schedule};

#[cfg(test)]
mod tests;

/// How often is looked what is due.
const EVERY: Duration = Duration::from_secs(5);

/// Tells what is due until it is told to stop; rings `asked` then.
pub(super) async fn run(database: Database, file: Arc<File>, asked: Arc<Notify>, stop: CancellationToken) {
    let clock = Clock { database, file, asked };
    if let Err(error) = clock.set().await {
        tracing::warn!(error = room::words(&error), "schedules are not set");
    }
    while !stop.is_cancelled() {
        if let Err(error) = clock.strike().await {
            tracing::warn!(error = room::words(&error), "schedules are not read");
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

struct Clock {
    database: Database,
    file: Arc<File>,
    /// Is rung when the commit of an event is to be found.
    asked: Arc<Notify>,
}

impl Clock {
    /// Every schedule of the file with its handler and repository.
    fn all(&self) -> impl Iterator<Item = (String, &Handler, &str)> {
        let handlers = self.file.handlers.iter().filter(|handler| handler.enabled && handler.cron.is_some());
        handlers.flat_map(|handler| {
            let fits = |name: &str| handler.repos.is_empty() || handler.repos.iter().any(|glob| glob.matches(name));
            let repos = self.file.repos.iter().map(|repo| repo.name.as_str()).filter(move |name| fits(name));
            // A name of a repository holds no space.
            repos.map(move |repo| (format!("{repo} {}", handler.name), handler, repo))
        })
    }

    async fn set(&self) -> Result<(), DatabaseError> {
        let all: Vec<_> = self.all().collect();
        for (name, handler, _) in &all {
            let Some(next_at) = next(handler, Timestamp::now()) else { continue };
            let cron = handler.cron.as_ref().map(|cron| cron.text().to_owned()).unwrap_or_default();
            let spec = format!("{cron} {}", handler.zone.as_deref().unwrap_or("UTC"));
            self.database.schedule(&Schedule { name: name.clone(), spec, next_at }).await?;
        }
        let names: Vec<&str> = all.iter().map(|(name, ..)| name.as_str()).collect();
        self.database.keep_schedules(&names).await
    }

    async fn strike(&self) -> Result<(), DatabaseError> {
        let (now, due) = self.database.due().await?;
        let now = Timestamp::from_millisecond(now).unwrap_or_default();
        for schedule in due {
            let Some((_, handler, repo)) = self.all().find(|(name, ..)| *name == schedule.name) else { continue };
            let Some(next_at) = next(handler, now) else { continue };
            let known = self.database.repo(repo).await?;
            let mut event = Event::new(Kind::Schedule, repo, at(&schedule), Source::Schedule);
            let cron = handler.cron.as_ref().map(|cron| cron.text().to_owned()).unwrap_or_default();
            event.schedule = Some(event::Schedule { name: handler.name.clone(), cron });
            let row = ledger::row(&event, Some(known.id));
            let row = row.map_err(|error| DatabaseError::Content(error.to_string()))?;
            if self.database.tick(&schedule, next_at, &row).await? {
                self.asked.notify_one();
            }
        }
        Ok(())
    }
}

fn at(schedule: &Schedule) -> Timestamp {
    Timestamp::from_millisecond(schedule.next_at).unwrap_or_default()
}

/// When it next strikes, in milliseconds since 1970.
fn next(handler: &Handler, now: Timestamp) -> Option<i64> {
    let zone = handler.zone.as_deref().map_or(Some(TimeZone::UTC), |name| TimeZone::get(name).ok())?;
    Some(handler.cron.as_ref()?.after(now, &zone)?.as_millisecond())
}
