//! Connections: no more of them than the process has files for, and none that takes for ever to say what it wants. Never looks
//! into a request.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::server::room;

/// How long the system rests that has no file for a connection.
const REST: Duration = Duration::from_secs(1);

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// At a time; who comes later waits.
    pub(super) most: usize,
    /// For the head of a request, also of the next one on the same connection.
    pub(super) head: Duration,
}

impl Limits {
    /// Those of this process. Its database and its runs need files, too: half of them are left.
    pub(super) fn of_process() -> Self {
        let files = getrlimit(Resource::Nofile).current.and_then(|files| usize::try_from(files).ok());
        let most = files.map_or(usize::MAX, |files| files / 2).clamp(8, 512);
        Self { most, head: Duration::from_secs(20) }
    }
}

/// Answers until it is told to stop; then those under way are answered, and no other.
pub(super) async fn answer(listener: TcpListener, router: Router, limits: Limits, stop: &CancellationToken) {
    let places = Arc::new(Semaphore::new(limits.most));
    let mut talks = JoinSet::new();
    while let Some((stream, place)) = next(&listener, &places, stop).await {
        let (router, stop) = (router.clone(), stop.clone());
        talks.spawn(async move {
            talk(stream, router, limits.head, &stop).await;
            drop(place);
        });
        while talks.try_join_next().is_some() {}
    }
    drop(listener);
    while talks.join_next().await.is_some() {}
}

/// The next connection, with its place.
async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    loop {
        let taken = async {
            // Nobody closes it.
            let place = Arc::clone(places).acquire_owned().await.ok()?;
            Some((listener.accept().await, place))
        };
        let taken = tokio::select! {
            () = stop.cancelled() => return None,
            taken = taken => taken?,
        };
        match taken {
            (Ok((stream, _)), place) => return Some((stream, place)),
            (Err(error), _) if is_theirs(&error) => {}
            (Err(error), _) => {
                tracing::error!(error = room::words(&error), "connections are not taken");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// Whether only that one connection is at fault.
fn is_theirs(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn talk(stream: TcpStream, router: Router, head: Duration, stop: &CancellationToken) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(head);
    let mut talk = pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    let ended = tokio::select! {
        ended = talk.as_mut() => Some(ended),
        () = stop.cancelled() => None,
    };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        talk.as_mut().graceful_shutdown();
        talk.await
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "a connection ended");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn half_a_request_does_not_hold_its_place() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(async || "here"));
        let (limits, stop) = (Limits { most: 2, head: Duration::from_millis(300) }, CancellationToken::new());
        let stopping = stop.clone();
        let answering = tokio::spawn(async move { answer(listener, router, limits, &stopping).await });
        let mut halves = Vec::new();
        for _ in 0..4 {
            let mut half = TcpStream::connect(address).await.unwrap();
            half.write_all(b"GET / HTTP/1.1\r\nHost: ").await.unwrap();
            halves.push(half);
        }
        let mut whole = TcpStream::connect(address).await.unwrap();
        whole.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answered = String::new();
        let read = tokio::time::timeout(Duration::from_secs(30), whole.read_to_string(&mut answered)).await;
        read.expect("halves gave their places back").unwrap();
        assert!(answered.starts_with("HTTP/1.1 200") && answered.ends_with("here"), "{answered}");
        stop.cancel();
        answering.await.unwrap();
        drop(halves);
    }
}
