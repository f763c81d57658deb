//! A way to an HTTP server of this machine on which things go wrong as a test says, and on which who creates takes turns.
//!
//! Requests go on as they came. `Host` too, which S3 signs and which WebDAV compares with where a file is moved to: it
//! names this way, and no server of these minds.

#![allow(clippy::allow_attributes, dead_code, reason = "each test program uses a part of it")]

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::header::{CONNECTION, CONTENT_LENGTH, RETRY_AFTER, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Response, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

type Out = BoxBody<Bytes, io::Error>;

/// Which requests: all that fit, from the `nth` (1 is the first) on, `times` of them.
#[derive(Clone, Debug)]
pub(crate) struct When {
    method: &'static str,
    /// A part of path and query, as they came.
    path: &'static str,
    nth: usize,
    times: usize,
}

impl When {
    /// The first request by that method whose address holds `path`.
    pub(crate) fn asked(method: &'static str, path: &'static str) -> Self {
        Self { method, path, nth: 1, times: 1 }
    }

    pub(crate) fn nth(self, nth: usize) -> Self {
        Self { nth, ..self }
    }

    pub(crate) fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }
}

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    /// The connection ends after so many bytes of the request's body; the server has those, and no more.
    CutRequest(usize),
    /// It is done; the connection ends after so many bytes of the answer's body.
    CutAnswer(usize),
    /// It is done; the connection ends without an answer.
    NoAnswer,
    /// It is done; of the answer's body come so many bytes, as if that were all.
    ShortAnswer(usize),
    /// Nothing is done: that status, and for how long to wait where that is told.
    Refused(u16, Option<u64>),
    /// It is done, and 500 is answered.
    ErrorAfter,
    /// It takes so long.
    Slow(Duration),
}

struct Line {
    when: When,
    trouble: Trouble,
    met: usize,
}

struct Shared {
    server: u16,
    lines: Mutex<Vec<Line>>,
    /// Each request: its method, path and query.
    seen: Mutex<Vec<String>>,
    /// Held by who creates what must not be there, one at a time.
    turn: tokio::sync::Mutex<()>,
}

impl Shared {
    /// What goes wrong with this request.
    fn meet(&self, method: &str, path: &str) -> Vec<Trouble> {
        self.seen.lock().expect("no test panicked").push(format!("{method} {path}"));
        let mut met = Vec::new();
        for line in self.lines.lock().expect("no test panicked").iter_mut() {
            if line.when.method != method || !path.contains(line.when.path) {
                continue;
            }
            line.met += 1;
            if line.met >= line.when.nth && line.met - line.when.nth < line.when.times {
                met.push(line.trouble);
            }
        }
        met
    }
}

/// The way.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// A way to the server on that port, for as long as the current runtime lives.
    pub(crate) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (lines, seen, turn) = (Mutex::default(), Mutex::default(), tokio::sync::Mutex::new(()));
        let shared = Arc::new(Shared { server, lines, seen, turn });
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                tokio::spawn(async move {
                    let service = service_fn(move |request| respond(request, Arc::clone(&shared)));
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { port, shared }
    }

    /// From now on this goes wrong.
    pub(crate) fn fails(&self, when: When, trouble: Trouble) {
        self.shared.lines.lock().expect("no test panicked").push(Line { when, trouble, met: 0 });
    }

    /// From now on nothing goes wrong.
    pub(crate) fn calm(&self) {
        self.shared.lines.lock().expect("no test panicked").clear();
    }

    /// What was to go wrong and was never met, or not as often.
    pub(crate) fn left(&self) -> Vec<String> {
        let lines = self.shared.lines.lock().expect("no test panicked");
        let left = lines.iter().filter(|line| line.met + 1 < line.when.nth.saturating_add(line.when.times));
        left.map(|line| format!("{:?}: {:?}", line.when, line.trouble)).collect()
    }

    /// Requests by that method whose address holds `path`.
    pub(crate) fn count(&self, method: &str, path: &str) -> usize {
        let seen = self.shared.seen.lock().expect("no test panicked");
        seen.iter().filter(|line| line.starts_with(&format!("{method} ")) && line.contains(path)).count()
    }
}

fn cut() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

fn never(error: Infallible) -> io::Error {
    match error {}
}

fn full(bytes: Bytes) -> Out {
    Full::new(bytes).map_err(never).boxed()
}

/// Those bytes, behind which the connection ends.
fn broken(bytes: Bytes) -> Out {
    let ending = futures::stream::iter([()]).then(|()| async {
        // The bytes before go out first.
        tokio::time::sleep(Duration::from_millis(30)).await;
        Err(cut())
    });
    let pieces = futures::stream::iter([Ok(Frame::data(bytes))]);
    BodyExt::boxed(StreamBody::new(pieces.chain(ending)))
}

/// The first bytes of a body.
async fn taken(mut body: Incoming, most: usize) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    while bytes.len() < most {
        match body.frame().await {
            Some(Ok(frame)) => bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Some(Err(error)) => return Err(io::Error::other(error)),
            None => break,
        }
    }
    bytes.truncate(most);
    Ok(bytes.into())
}

/// What the server answers, to the last byte.
async fn ask(server: u16, head: http::request::Parts, body: Out) -> io::Result<(http::response::Parts, Bytes)> {
    let stream = TcpStream::connect(("127.0.0.1", server)).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let bare = head.method == http::Method::HEAD;
    let answer = sender.send_request(Request::from_parts(head, body)).await.map_err(io::Error::other)?;
    let (mut head, body) = answer.into_parts();
    let bytes = taken(body, usize::MAX).await?;
    head.version = Version::HTTP_11;
    head.headers.remove(CONNECTION);
    // The whole is here, however it came.
    if head.headers.remove(TRANSFER_ENCODING).is_some() && !bare {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    }
    Ok((head, bytes))
}

async fn respond(request: Request<Incoming>, shared: Arc<Shared>) -> io::Result<Response<Out>> {
    let (head, body) = request.into_parts();
    let line = head.uri.path_and_query().map_or("", |line| line.as_str());
    let (mut shape, mut instead): (Option<Trouble>, Option<Response<Out>>) = (None, None);
    for trouble in shared.meet(head.method.as_str(), line) {
        match trouble {
            Trouble::Slow(time) => tokio::time::sleep(time).await,
            Trouble::Refused(status, after) => instead = Some(refusal(status, after)),
            trouble => shape = Some(trouble),
        }
    }
    if let Some(Trouble::CutRequest(most)) = shape {
        let bytes = taken(body, most).await?;
        if !bytes.is_empty() {
            let _ = ask(shared.server, head, broken(bytes)).await;
        }
        return Err(cut());
    }
    let bytes = taken(body, usize::MAX).await?;
    if let Some(refused) = instead {
        return Ok(refused);
    }
    // Between looking whether a key is free and giving it, a server may let somebody else through (moto); S3 does not.
    let creates = head.headers.get("if-none-match").is_some_and(|value| value == "*");
    let turn = if creates { Some(shared.turn.lock().await) } else { None };
    let answered = ask(shared.server, head, full(bytes)).await;
    drop(turn);
    let (head, bytes) = answered?;
    shaped(head, bytes, shape)
}

/// An answer, and what goes wrong with it.
fn shaped(mut head: http::response::Parts, bytes: Bytes, trouble: Option<Trouble>) -> io::Result<Response<Out>> {
    let body = match trouble {
        Some(Trouble::NoAnswer) => return Err(cut()),
        Some(Trouble::ErrorAfter) if head.status.is_success() => return Ok(refusal(500, None)),
        Some(Trouble::CutAnswer(_)) if bytes.is_empty() => return Err(cut()),
        Some(Trouble::CutAnswer(most)) => broken(bytes.slice(..most.min(bytes.len() - 1))),
        Some(Trouble::ShortAnswer(most)) => {
            let short = bytes.slice(..most.min(bytes.len()));
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(short.len()));
            full(short)
        }
        _ => full(bytes),
    };
    Ok(Response::from_parts(head, body))
}

fn refusal(status: u16, after: Option<u64>) -> Response<Out> {
    let mut answer = Response::builder().status(status);
    if let Some(seconds) = after {
        answer = answer.header(RETRY_AFTER, seconds);
    }
    answer.body(full(Bytes::from_static(b"the script says so"))).expect("an answer")
}
