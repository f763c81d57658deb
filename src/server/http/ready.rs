//! Whether the server can go on. It writes a few bytes where it will have to write: what is full still reads well. Whoever asks
//! is told where it fails, the log why; never the other way round.

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
/// What takes longer is not there.
const LONGEST: Duration = Duration::from_secs(5);
/// The row of the database that is written.
const ROW: &str = "readyz";

/// What was found last; clones share it.
#[derive(Clone, Default)]
pub(super) struct Probe(Arc<Mutex<Found>>);

/// Why something is not written; none where it is.
#[derive(Clone, Default)]
struct Found {
    at: Option<Instant>,
    database: Option<String>,
    disk: Option<String>,
}

impl Probe {
    /// What was found a moment ago, or is found now.
    async fn look(&self, server: &Server) -> Found {
        // Others wait for whoever looks.
        let mut known = self.0.lock().await;
        if known.at.is_none_or(|at| at.elapsed() >= FRESH) {
            let found = Found { at: Some(Instant::now()), database: database(server).await, disk: disk(server).await };
            for (place, before, now) in
                [("database", &known.database, &found.database), ("disk", &known.disk, &found.disk)]
            {
                match now {
                    Some(error) if before != now => tracing::error!(place, error, "not ready: nothing is written"),
                    None if before.is_some() => tracing::info!(place, "ready again"),
                    _ => {}
                }
            }
            *known = found;
        }
        known.clone()
    }
}

async fn database(server: &Server) -> Option<String> {
    let who = json!(server.worker);
    match tokio::time::timeout(LONGEST, server.database.move_cursor(ROW, &who)).await {
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
    let status = if database && disk { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // Whoever may look has the words; anybody may know where.
    let place = |trouble: Trouble| format!("{} {}", trouble.place, trouble.code);
    let wrong: Vec<String> = server.standing.trouble().into_iter().map(place).collect();
    // Those that are down are begun anew; deliveries are kept meanwhile, so nobody else need be asked.
    let down = server.standing.parts.down();
    (status, Json(json!({"database": database, "disk": disk, "settings": wrong, "down": down}))).into_response()
}
