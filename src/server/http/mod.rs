//! The server's door: the API, webhooks, metrics, a plain status page. Listens on this machine only unless it is told
//! otherwise, and then only with tokens.
//!
//! Nothing is decided here: requests become calls of the rooms above, answers become JSON or pages.

mod admin;
mod connections;
mod door;
mod events;
mod gate;
mod hooks;
mod log;
pub mod openapi;
mod page;
mod problem;
mod ready;
mod repos;
mod runs;
pub mod table;
pub mod token;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::{delete, get, post, put};
use futures::StreamExt as _;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use self::connections::Limits;
use self::problem::Problem;
use self::ready::Probe;
use super::hook::Receiver;
use super::metrics::Metrics;
use super::poll::{Poller, Watch};
use super::standing::Standing;
use crate::run::host::Connect;
use crate::store::database::{self, Database, RunState};

/// Where the server listens when nobody says otherwise.
pub const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);
/// How long requests may go on when the server is to stop.
const PATIENCE: Duration = Duration::from_secs(5);
/// No request of the API is longer.
const LONGEST: usize = 256 << 10;
/// How long the body of a request may take to come.
const COMING: Duration = Duration::from_secs(10);

/// Who is asked for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Everybody.
    Everybody,
    /// Nobody: only where nobody else can reach the server.
    Nobody,
}

/// Why the server does not listen.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Others could reach it, and nobody would be asked for a token.
    #[error("{0} can be reached by others: a server that asks for no token listens on 127.0.0.1 or ::1 only")]
    Public(SocketAddr),
    /// The system says no.
    #[error("cannot listen on {address}")]
    Io {
        /// Where.
        address: SocketAddr,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
}

/// What every request may use; clones share it.
#[derive(Clone)]
pub struct Server {
    /// The database.
    pub database: Database,
    /// Reads repositories when somebody asks.
    pub poller: Poller,
    /// What is watched.
    pub watches: watch::Receiver<Vec<Arc<Watch>>>,
    /// Takes webhooks.
    pub receiver: Receiver,
    /// Counters.
    pub metrics: Metrics,
    /// Rung when an event was written.
    pub told: Arc<Notify>,
    /// Who is asked for a token.
    pub auth: Auth,
    /// What the one-time set-up token hashes to, until it is used.
    pub set_up: Arc<Mutex<Option<String>>>,
    /// The folder with one folder a run, where logs are.
    pub runs: PathBuf,
    /// The worker that keeps them there.
    pub worker: String,
    /// The settings that count, and what is wrong with others.
    pub standing: Standing,
    /// Connects to the container engine, where runs are begun in this process.
    pub engine: Option<Connect>,
    /// Cancelled when the server is to stop: nothing new is asked for, and what is delivered is kept for the next one.
    pub stopping: CancellationToken,
}

/// Binds the address.
///
/// # Errors
/// When others could reach it unasked, or the system says no.
pub async fn bind(address: SocketAddr, auth: Auth) -> Result<TcpListener, ListenError> {
    if auth == Auth::Nobody && !address.ip().is_loopback() {
        return Err(ListenError::Public(address));
    }
    TcpListener::bind(address).await.map_err(|source| ListenError::Io { address, source })
}

/// Answers requests until it is told to stop; those under way are answered first, but nobody who follows a log is waited
/// for long.
///
/// # Errors
/// When the system takes the socket away.
pub async fn serve(listener: TcpListener, server: Server, stop: CancellationToken) -> std::io::Result<()> {
    let answering = connections::answer(listener, router(server), Limits::of_process(), &stop);
    let patience = async {
        stop.cancelled().await;
        tokio::time::sleep(PATIENCE).await;
    };
    tokio::select! {
        () = answering => {}
        () = patience => {}
    }
    Ok(())
}

fn router(server: Server) -> Router {
    let probe = Probe::default();
    let ready = async move |State(server): State<Server>| ready::ready(&server, &probe).await;
    let hooks = Router::new().route("/hooks/{forge}", post(hooks::hook));
    let api = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/openapi.json", get(async || axum::Json(openapi::document())))
        .route("/api/setup", post(admin::set_up))
        .route("/api/repos", get(repos::list))
        .route("/api/trigger", post(repos::trigger))
        .route("/api/events", get(events::list))
        .route("/api/events/{id}", get(events::one))
        .route("/api/runs", get(runs::list))
        .route("/api/runs/{id}", get(runs::one))
        .route("/api/runs/{id}/log", get(log::log))
        .route("/api/runs/{id}/cancel", post(runs::cancel))
        .route("/api/tokens", get(admin::tokens).post(admin::create_token))
        .route("/api/tokens/{id}", delete(admin::revoke_token))
        .route("/api/audit", get(admin::audit))
        .route("/api/handlers", get(admin::handlers))
        .route("/api/handlers/{name}", put(admin::put_handler).delete(admin::delete_handler))
        .route("/api/handlers/{name}/versions", get(admin::handler_versions))
        .layer(DefaultBodyLimit::max(LONGEST))
        .layer(axum::middleware::from_fn(timely));
    let all = hooks.merge(api).merge(page::router());
    let all = all.fallback(async || Problem::missing("there is nothing here"));
    let all = all.method_not_allowed_fallback(async || {
        let help = "see the header `Allow`, and /api/openapi.json";
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this cannot be done here", help)
    });
    all.layer(axum::middleware::from_fn_with_state(server.clone(), door::guard))
        .layer(axum::middleware::map_response(harden))
        .layer(axum::middleware::from_fn_with_state(server.clone(), count))
        .with_state(server)
}

async fn count(State(server): State<Server>, request: Request, next: axum::middleware::Next) -> Response {
    let response = next.run(request).await;
    server.metrics.add("soop_http_requests_total", &[("status", response.status().as_str())], 1.0);
    response
}

/// Whoever sends less than it promised is not waited for: its body breaks off.
async fn timely(request: Request, next: axum::middleware::Next) -> Response {
    let by = tokio::time::Instant::now() + COMING;
    let in_time = request.map(|body| {
        let pieces = futures::stream::try_unfold(body.into_data_stream(), move |mut pieces| async move {
            match tokio::time::timeout_at(by, pieces.next()).await {
                Ok(Some(piece)) => Ok(Some((piece.map_err(std::io::Error::other)?, pieces))),
                Ok(None) => Ok(None),
                Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut)),
            }
        });
        Body::from_stream(pieces)
    });
    next.run(in_time).await
}

/// What every answer says to browsers.
async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let policy = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Under `no-referrer` a browser would not say that a form is ours.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn metrics(_: gate::Looks, State(server): State<Server>) -> Result<String, Problem> {
    let (events, deliveries) = server.database.waiting().await?;
    let number = |count: i64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    server.metrics.set("soop_events_waiting", &[], number(events));
    server.metrics.set("soop_deliveries_waiting", &[], number(deliveries));
    let waits = u64::try_from(server.database.oldest_action_ms().await?).unwrap_or_default();
    server.metrics.set("soop_outbox_oldest_seconds", &[], Duration::from_millis(waits).as_secs_f64());
    let down = server.standing.parts.down().contains(&"worker");
    server.metrics.clear("soop_worker_up");
    for worker in server.database.workers().await?.iter().filter(|worker| **worker != server.worker) {
        server.metrics.set("soop_worker_up", &[("worker", worker.as_str())], 1.0);
    }
    server.metrics.set("soop_worker_up", &[("worker", server.worker.as_str())], if down { 0.0 } else { 1.0 });
    server.metrics.clear("soop_ratelimit_remaining");
    for ((host, cred), left) in server.standing.allowances() {
        let left = number(i64::try_from(left).unwrap_or(i64::MAX));
        server.metrics.set("soop_ratelimit_remaining", &[("host", &host), ("cred", &cred)], left);
    }
    let counted = server.database.count_runs().await?;
    for state in RunState::ALL {
        let count = counted.iter().find(|(known, _)| *known == state).map_or(0, |(_, count)| *count);
        server.metrics.set("soop_runs", &[("state", state.word())], number(count));
        if state == RunState::Queued {
            server.metrics.set("soop_queue_depth", &[], number(count));
        }
    }
    let busy = i64::try_from(database::busy()).unwrap_or(i64::MAX);
    server.metrics.set("soop_db_busy_total", &[], number(busy));
    Ok(server.metrics.page())
}
