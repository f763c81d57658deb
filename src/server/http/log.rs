//! The masked log of a run: what there is of it, or as a stream of events until the run ends.
//!
//! An event's id is where in the file it ends, so a reader that comes back says where it was. A slow reader keeps nothing
//! in memory: the file is read as fast as it takes.

use std::convert::Infallible;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use serde::Deserialize;

use super::Server;
use super::gate::Looks;
use super::problem::Problem;
use super::repos::query;
use super::runs::number;
use crate::store::database::Run;

/// What is read at a time.
const CHUNK: u64 = 64 << 10;
/// The longest answer that is no stream; a longer log is followed.
const LONGEST: u64 = 256 << 20;
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
        let stream = follow(server, id, from);
        let stream = Sse::new(stream).keep_alive(KeepAlive::default());
        return Ok(([("X-Accel-Buffering", "no")], stream).into_response());
    }
    let Some(path) = path(&server, &run) else { return Ok(plain(Vec::new())) };
    let read = tokio::task::spawn_blocking(move || read(&path, 0, LONGEST)).await;
    Ok(plain(read.map_err(|_| Problem::internal())?.map_err(|_| Problem::internal())?))
}

fn plain(bytes: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], bytes).into_response()
}

/// Where the log of a run is, once a worker of this machine has begun it.
fn path(server: &Server, run: &Run) -> Option<PathBuf> {
    // Our own word from the database, and still no path is made of anything but the form of an id.
    let id: crate::id::RunId = run.local_run.as_deref()?.parse().ok()?;
    Some(server.runs.join(id.as_str()).join("log"))
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

/// The log from a place on. A new attempt begins with an event of its own; the end is one too, so that no browser comes
/// back for ever.
fn follow(server: Server, run: i64, from: Place) -> impl Stream<Item = Result<Event, Infallible>> {
    let begun = (server, from, false);
    futures::stream::unfold(begun, move |(server, mut place, ended)| async move {
        if ended {
            return None;
        }
        loop {
            // Asked before reading: what was written before the end is then read in this round.
            let Ok(found) = server.database.run(run).await else { return None };
            if found.epoch != place.epoch {
                place = Place { epoch: found.epoch, offset: 0 };
                let event = Event::default().event("attempt").id(place.id()).data(place.epoch.to_string());
                return Some((Ok(event), (server, place, false)));
            }
            let bytes = match path(&server, &found) {
                Some(path) => {
                    let offset = place.offset;
                    let read = tokio::task::spawn_blocking(move || read(&path, offset, CHUNK)).await;
                    read.ok().and_then(Result::ok).unwrap_or_default()
                }
                None => Vec::new(),
            };
            let whole = whole_lines(&bytes, found.state.has_ended());
            if !whole.is_empty() {
                place.offset += whole.len() as u64;
                // Each line is its own `data:`; a carriage return would end one early.
                let text = String::from_utf8_lossy(whole).replace("\r\n", "\n").replace('\r', "\n");
                let text = text.strip_suffix('\n').unwrap_or(&text).to_owned();
                return Some((Ok(Event::default().id(place.id()).data(text)), (server, place, false)));
            }
            if found.state.has_ended() {
                let event = Event::default().event("end").id(place.id()).data(found.state.word());
                return Some((Ok(event), (server, place, true)));
            }
            tokio::time::sleep(EVERY).await;
        }
    })
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

fn read(path: &std::path::Path, offset: u64, most: u64) -> io::Result<Vec<u8>> {
    let mut file = match fs_err::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
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
