//! Deliveries over the socket: read as far as there is room for them, then given to the receiver.
//!
//! Anybody may send one, and whether it is genuine is known only when all of it is there. So room is parted by how long a
//! delivery says that it is: those that promise much and send nothing hold up none of the usual ones, which are short.

use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use axum::response::{IntoResponse, Response};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::Server;
use super::problem::Problem;
use crate::server::hook::envelope::Forge;
use crate::server::hook::{LARGEST, Reply};

/// How room is counted. What is no longer takes none: all connections together hold no more than that often as much.
const UNIT: usize = 64 << 10;
/// What most deliveries of a large push have.
const MIDDLING: usize = 1 << 20;
/// Bytes that are in memory at a time of those that are no longer, and of others.
static FOR_MIDDLING: Semaphore = Semaphore::const_new((64 << 20) / UNIT);
static FOR_LARGE: Semaphore = Semaphore::const_new((192 << 20) / UNIT);
/// How long a delivery waits for room, and how long it may take to come; forges wait no longer themselves.
const WAIT: Duration = Duration::from_secs(8);
const COMING: Duration = Duration::from_secs(30);

pub(super) async fn hook(
    State(server): State<Server>,
    Path(forge): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let forge =
        Forge::of_word(&forge).ok_or_else(|| Problem::missing("hooks are at /hooks/github, gitea and gitlab"))?;
    let (head, body) = request.into_parts();
    let headers = head.headers;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let answer = |reply: Reply| {
        let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, format!("{}\n", reply.word)).into_response()
    };
    if let Some(reply) = server.receiver.refuse(forge, header) {
        return Ok(answer(reply));
    }
    let too_long = || Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the delivery is too long", "26 MiB are taken");
    let told = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let size = told.unwrap_or(LARGEST);
    if size > LARGEST {
        return Err(too_long());
    }
    let _room = room(size).await?;
    let late = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "the delivery did not come to its end", "send it again");
    let body = tokio::time::timeout(COMING, to_bytes(body, size)).await.map_err(late)?.map_err(|_| too_long())?;
    Ok(answer(server.receiver.receive(forge, header, &body).await))
}

/// Waits for room for so many bytes; nothing where none is needed.
async fn room(size: usize) -> Result<Option<SemaphorePermit<'static>>, Problem> {
    let lane = match size {
        0..=UNIT => return Ok(None),
        _ if size <= MIDDLING => &FOR_MIDDLING,
        _ => &FOR_LARGE,
    };
    let units = u32::try_from(size.div_ceil(UNIT)).unwrap_or(u32::MAX);
    let busy = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too much is delivered at once", "send it again");
    let taken = tokio::time::timeout(WAIT, lane.acquire_many(units)).await;
    Ok(Some(taken.map_err(|_| busy())?.map_err(|_| busy())?))
}
