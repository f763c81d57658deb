//! Whether the server can go on. It writes a few bytes where it will have to write: what is full still reads well. It does so in
//! a transaction, as most that it writes: where none can be begun, nothing is. Where runs are begun in this process it greets
//! the container engine, too, which has gone only when it is silent for a while. Whoever asks is told where it fails, the
//! log why; never the other way round.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::sync::Mutex;

use super::Server;
use crate::server::room;
use crate::server::standing::Trouble;

/// Anybody may ask: what was found counts for a while.
const FRESH: Duration = Duration::from_secs(2);
/// An engine that answered is greeted again after this: where it is reached by ssh, each greeting starts a program.
const GREETED: Duration = Duration::from_secs(5);
/// One that answered before and is silent for less is being started anew.
const SILENCE: Duration = Duration::from_secs(10);
/// What takes longer is not there.
const LONGEST: Duration = Duration::from_secs(5);
/// The row of the database that is written.
const ROW: &str = "readyz";

/// What was found last; clones share it.
#[derive(Clone, Default)]
pub(super) struct Probe(Arc<Mutex<Found>>);

/// Why something is not there; none where it is.
#[derive(Clone, Default)]
struct Found {
    at: Option<Instant>,
    database: Option<String>,
    disk: Option<String>,
    engine: Greeted,
}

/// What is known of the engine.
#[derive(Debug, Clone, Default)]
struct Greeted {
    at: Option<Instant>,
    /// Since when it is silent.
    silent: Option<Instant>,
    /// Whether it ever answered.
    answered: bool,
    /// Why it is not there.
    gone: Option<String>,
}

impl Greeted {
    /// Whether it is time to greet it.
    fn is_due(&self, now: Instant) -> bool {
        let rest = if self.silent.is_some() { FRESH } else { GREETED };
        self.at.is_none_or(|at| now.saturating_duration_since(at) >= rest)
    }

    /// What is known after another greeting.
    fn after(self, said: Result<(), String>, now: Instant) -> Self {
        let Err(why) = said else { return Self { at: Some(now), silent: None, answered: true, gone: None } };
        let silent = self.silent.unwrap_or(now);
        let is_gone = !self.answered || self.gone.is_some() || now.saturating_duration_since(silent) >= SILENCE;
        Self { at: Some(now), silent: Some(silent), gone: is_gone.then_some(why), ..self }
    }
}

impl Probe {
    /// What was found a moment ago, or is found now.
    async fn look(&self, server: &Server) -> Found {
        // Others wait for whoever looks.
        let mut known = self.0.lock().await;
        if known.at.is_none_or(|at| at.elapsed() >= FRESH) {
            let greeted = known.engine.clone();
            let (database, disk, engine) = tokio::join!(database(server), disk(server), engine(server, greeted));
            let found = Found { at: Some(Instant::now()), database, disk, engine };
            for (place, before, now) in [
                ("database", &known.database, &found.database),
                ("disk", &known.disk, &found.disk),
                ("engine", &known.engine.gone, &found.engine.gone),
            ] {
                match now {
                    Some(error) if before != now => tracing::error!(place, error, "not ready"),
                    None if before.is_some() => tracing::info!(place, "ready again"),
                    _ => {}
                }
            }
            *known = found;
        }
        known.clone()
    }
}

/// What is known of the engine by now; nothing new where no run is begun here.
async fn engine(server: &Server, known: Greeted) -> Greeted {
    let Some(connect) = server.engine.as_ref().filter(|_| known.is_due(Instant::now())) else { return known };
    // To connect is to greet it, wherever it is by now: so does each run.
    let said = match tokio::time::timeout(LONGEST, connect()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(room::words(&error)),
        Err(_) => Err("it does not answer".to_owned()),
    };
    known.after(said, Instant::now())
}

async fn database(server: &Server) -> Option<String> {
    let who = json!(server.worker);
    match tokio::time::timeout(LONGEST, server.database.try_writing(ROW, &who)).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(room::words(&error)),
        Err(_) => Some("it does not answer".to_owned()),
    }
}

async fn disk(server: &Server) -> Option<String> {
    let runs = server.runs.clone();
    let tried = tokio::task::spawn_blocking(move || room::try_writing(&runs));
    match tokio::time::timeout(LONGEST, tried).await {
        Ok(Ok(Ok(()))) => None,
        Ok(Ok(Err(error))) => Some(room::words(&error)),
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("it does not answer".to_owned()),
    }
}

/// What is well, and what is not.
pub(super) async fn ready(server: &Server, probe: &Probe) -> Response {
    let found = probe.look(server).await;
    let (database, disk) = (found.database.is_none(), found.disk.is_none());
    // Said only where runs are begun here.
    let engine = server.engine.is_some().then_some(found.engine.gone.is_none());
    // Nobody is to be sent to whom nothing new is asked of.
    let stopping = server.stopping.is_cancelled();
    let is_well = database && disk && engine != Some(false) && !stopping;
    let status = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // Whoever may look has the words; anybody may know where.
    let place = |trouble: Trouble| format!("{} {}", trouble.place, trouble.code);
    let wrong: Vec<String> = server.standing.trouble().into_iter().map(place).collect();
    // Those that are down are begun anew; deliveries are kept meanwhile, so nobody else need be asked.
    let down = server.standing.parts.down();
    let told = json!({
        "database": database, "disk": disk, "engine": engine, "settings": wrong, "down": down, "stopping": stopping,
    });
    (status, Json(told)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_is_started_anew_is_not_gone_and_one_that_never_answered_is() {
        let (begun, second) = (Instant::now(), Duration::from_secs(1));
        let silent = || Err("no such socket".to_owned());
        let never = Greeted::default().after(silent(), begun);
        assert_eq!(never.gone.as_deref(), Some("no such socket"));
        let there = never.after(Ok(()), begun);
        assert_eq!(there.gone, None);
        assert!(!there.is_due(begun + 4 * second) && there.is_due(begun + GREETED));
        let quiet = there.after(silent(), begun + 10 * second);
        assert_eq!(quiet.gone, None, "it may be started anew");
        assert!(!quiet.is_due(begun + 11 * second) && quiet.is_due(begun + 12 * second), "it is looked for more often");
        assert_eq!(quiet.clone().after(Ok(()), begun + 12 * second).gone, None);
        let gone = quiet.after(silent(), begun + 15 * second).after(silent(), begun + 20 * second);
        assert!(gone.gone.is_some());
        assert!(gone.clone().after(silent(), begun + 22 * second).gone.is_some(), "and stays so");
        assert_eq!(gone.after(Ok(()), begun + 24 * second).gone, None);
    }
}
