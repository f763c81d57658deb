//! The masked log of a run: what there is of it, or as a stream of events until the run ends.
//!
//! An event's id is where in the file it ends, so a reader that comes back says where it was. A slow reader keeps nothing
//! in memory: the file is read as fast as it takes. A worker on another machine keeps its logs there, and that is said.

use std::convert::Infallible;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path as FilePath;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use serde::Deserialize;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::Server;
use super::gate::Looks;
use super::problem::Problem;
use super::repos::query;
use super::runs::number;
use crate::id::RunId;
use crate::store::database::Run;

/// What is read at a time.
const CHUNK: u64 = 64 << 10;
/// Who follow logs at a time, in all: each asks the database what became of its run.
static FOLLOWERS: Semaphore = Semaphore::const_new(256);
const EVERY: Duration = Duration::from_millis(250);

#[derive(Deserialize)]
pub(super) struct How {
    follow: Option<bool>,
}

pub(super) async fn log(
    _: Looks,
    State(server): State<Server>,
    id: Result<Path<i64>, PathRejection>,
    how: Result<Query<How>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = number(id)?;
    let Query(how) = how.map_err(query)?;
    let run = server.database.run(id).await?;
    let asked = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if how.follow.unwrap_or(false) || asked.contains("text/event-stream") {
        let last = headers.get("Last-Event-ID").and_then(|value| value.to_str().ok());
        let from = last.and_then(Place::parse).unwrap_or_default();
        let many = |_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many follow logs now", "leave `follow` out");
        let follower = FOLLOWERS.try_acquire().map_err(many)?;
        let stream = follow(Reader { server, run: id, place: from, said: false, ended: false, _follower: follower });
        let stream = Sse::new(stream).keep_alive(KeepAlive::default());
        return Ok(([("X-Accel-Buffering", "no")], stream).into_response());
    }
    match found(&server, run.clone(), 0).await.map_err(|_| Problem::internal())? {
        Found::Text(first) => Ok(whole(server, run, first)),
        Found::Absent(why) => Err(Problem::new(StatusCode::NOT_FOUND, why, "`soopervisor logs` reads it where it is")),
    }
}

/// All that there is, in pieces: a log may be longer than there is memory for.
fn whole(server: Server, run: Run, first: Vec<u8>) -> Response {
    let begun = (server, run, first, 0);
    let pieces = futures::stream::unfold(begun, |(server, run, piece, offset)| async move {
        if piece.is_empty() {
            return None;
        }
        let offset = offset + piece.len() as u64;
        let next = match found(&server, run.clone(), offset).await {
            Ok(Found::Text(next)) => next,
            // It is removed meanwhile, or cannot be read on: what there was is told.
            Ok(Found::Absent(_)) | Err(_) => Vec::new(),
        };
        Some((Ok::<_, Infallible>(piece), (server, run, next, offset)))
    });
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(pieces)).into_response()
}

/// What there is of a log.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// Nothing yet, or the part that was asked for.
    Text(Vec<u8>),
    /// It is not here, and why.
    Absent(String),
}

/// The next piece of the log of a run.
async fn found(server: &Server, run: Run, offset: u64) -> io::Result<Found> {
    let (runs, own) = (server.runs.clone(), server.worker.clone());
    let looked = tokio::task::spawn_blocking(move || {
        let Some(id) = local(&run) else { return Ok(Found::Text(Vec::new())) };
        match absent(&runs, &own, &run) {
            Some(why) => Ok(Found::Absent(why)),
            None => read(&runs.join(id.as_str()).join("log"), offset).map(Found::Text),
        }
    });
    looked.await.map_err(io::Error::other)?
}

/// Why the log of a run is not here, where it is not.
pub(super) async fn elsewhere(server: &Server, run: &Run) -> Option<String> {
    let (runs, own, run) = (server.runs.clone(), server.worker.clone(), run.clone());
    tokio::task::spawn_blocking(move || absent(&runs, &own, &run)).await.ok().flatten()
}

/// The run in the history of its worker, once that has begun it.
fn local(run: &Run) -> Option<RunId> {
    // Our own word from the database, and still no path is made of anything but the form of an id.
    run.local_run.as_deref()?.parse().ok()
}

/// Why the log of a run that was begun is not in this folder of runs.
fn absent(runs: &FilePath, own: &str, run: &Run) -> Option<String> {
    let id = local(run)?;
    if runs.join(id.as_str()).is_dir() {
        return None;
    }
    let worker = run.worker.as_deref().unwrap_or_default();
    // Other workers of our data folder have our name and one of their own.
    let ours = worker.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
    Some(if ours {
        format!("the log of run {} is no longer kept: `keep` in the server's file says how long logs are", run.id)
    } else {
        format!("the log of run {} is with the worker `{worker}`: `soopervisor logs {id}` shows it there", run.id)
    })
}

/// The attempt and how far its log was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Place {
    epoch: i64,
    offset: u64,
}

impl Place {
    fn parse(id: &str) -> Option<Self> {
        let (epoch, offset) = id.split_once('-')?;
        Some(Self { epoch: epoch.parse().ok()?, offset: offset.parse().ok()? })
    }

    fn id(self) -> String {
        format!("{}-{}", self.epoch, self.offset)
    }
}

/// Whoever follows a log.
struct Reader {
    server: Server,
    run: i64,
    place: Place,
    /// Whether it was told that this attempt's log is not here.
    said: bool,
    ended: bool,
    _follower: SemaphorePermit<'static>,
}

/// The log from a place on. A new attempt begins with an event of its own; the end is one too, so that no browser comes
/// back for ever.
fn follow(reader: Reader) -> impl Stream<Item = Result<Event, Infallible>> {
    futures::stream::unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        Some((Ok(event), reader))
    })
}

impl Reader {
    async fn next(&mut self) -> Option<Event> {
        while !self.ended {
            // Asked before reading: what was written before the end is then read in this round.
            let run = self.server.database.run(self.run).await.ok()?;
            let state = run.state;
            if run.epoch != self.place.epoch {
                (self.place, self.said) = (Place { epoch: run.epoch, offset: 0 }, false);
                let event = Event::default().event("attempt").id(self.place.id());
                return Some(event.data(self.place.epoch.to_string()));
            }
            let bytes = match found(&self.server, run, self.place.offset).await {
                Ok(Found::Absent(why)) if !self.said => {
                    self.said = true;
                    return Some(Event::default().event("elsewhere").id(self.place.id()).data(why));
                }
                Ok(Found::Text(bytes)) => bytes,
                Ok(Found::Absent(_)) | Err(_) => Vec::new(),
            };
            let whole = whole_lines(&bytes, state.has_ended());
            if !whole.is_empty() {
                self.place.offset += whole.len() as u64;
                // Each line is its own `data:`; a carriage return would end one early.
                let text = String::from_utf8_lossy(whole).replace("\r\n", "\n").replace('\r', "\n");
                let text = text.strip_suffix('\n').unwrap_or(&text).to_owned();
                return Some(Event::default().id(self.place.id()).data(text));
            }
            if state.has_ended() {
                self.ended = true;
                return Some(Event::default().event("end").id(self.place.id()).data(state.word()));
            }
            tokio::time::sleep(EVERY).await;
        }
        None
    }
}

/// As many whole lines as there are; all of it when more will not come, or when a line is longer than what is read.
fn whole_lines(bytes: &[u8], all: bool) -> &[u8] {
    let full = bytes.len() as u64 >= CHUNK;
    match memchr::memrchr(b'\n', bytes) {
        Some(end) => &bytes[..=end],
        None if all || full => bytes,
        None => &[],
    }
}

fn read(path: &FilePath, offset: u64) -> io::Result<Vec<u8>> {
    let mut file = match fs_err::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(CHUNK).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_sent_whole_unless_no_more_comes() {
        assert_eq!(whole_lines(b"one\ntwo", false), b"one\n");
        assert_eq!(whole_lines(b"two", false), b"");
        assert_eq!(whole_lines(b"two", true), b"two");
        let long = vec![b'x'; usize::try_from(CHUNK).unwrap()];
        assert_eq!(whole_lines(&long, false).len(), long.len());
    }

    #[test]
    fn a_place_comes_back_as_it_was_told() {
        let place = Place { epoch: 3, offset: 70_000 };
        assert_eq!(Place::parse(&place.id()), Some(place));
        assert_eq!(Place::parse("7"), None);
        assert_eq!(Place::parse("a-b"), None);
    }
}
