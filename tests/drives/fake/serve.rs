//! The server: finds the drive that a request is for, applies the script, writes answers out. It knows no vendor's rules.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::ask::{Answer, Ask, Body, Content, Refusal, Reply, Way, cut};
use super::fault::Fault;
use super::{Drive, Shared, boxcom, control, dropbox, gdrive, onedrive};

type Out = BoxBody<Bytes, io::Error>;

const PIECE: u64 = 128 * 1024;
/// What is read of a refused body, so that the client sees the answer and not a broken pipe.
const DRAINED: u64 = 1 << 30;

pub async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        let _ = stream.set_nodelay(true);
        connections.spawn(connection(stream, Arc::clone(&shared)));
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(move |request| respond(request, Arc::clone(&shared)));
    let _ = hyper::server::conn::http1::Builder::new()
        .max_buf_size(1 << 20)
        // As vendors do; Box's SDK looks for `Retry-After` in exactly this case.
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn respond(request: Request<Incoming>, shared: Arc<Shared>) -> io::Result<Response<Out>> {
    let Some((drive, path, way)) = find_drive(&request) else { return Ok(other(request, &shared).await) };
    let method = request.method().to_string();
    let line = request.uri().query().map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
    note(&shared, drive, &method, &path, &line);
    let way = if shared.account(drive).vendors_addresses { Way::Host(String::new()) } else { way };
    let faults = shared.script.lock().unwrap().meet(drive, &method, &line);
    let (head, incoming) = request.into_parts();
    let query = url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let received = Arc::clone(&shared.received[drive as usize]);
    let body = Body { incoming, cut_after: None, taken: 0, received };
    let mut ask = Ask {
        drive,
        method: head.method,
        path,
        query,
        headers: head.headers,
        way,
        body,
        stale: None,
        quota_full: false,
        twice: false,
    };
    let answer = with_faults(&shared, &mut ask, faults).await;
    let (reply, limit) = match answer {
        (Err(Refusal::Cut), _) => return Err(cut()),
        (Ok(reply) | Err(Refusal::Say(reply)), limit) => (reply, limit),
    };
    let bare = ask.method == http::Method::HEAD;
    while ask.body.cut_after.is_none() && ask.body.taken < DRAINED && matches!(ask.body.next().await, Ok(Some(_))) {}
    Ok(write(reply, limit, bare))
}

/// Does what is asked, and what goes wrong with it; also after how many bytes the answer ends.
async fn with_faults(shared: &Arc<Shared>, ask: &mut Ask, faults: Vec<(Fault, u64)>) -> (Answer, Option<u64>) {
    let mut afterwards = None;
    let (mut limit, mut short) = (None, None);
    for (fault, clock) in faults {
        match fault {
            Fault::Slow(time) => tokio::time::sleep(time).await,
            Fault::CutRequest(bytes) => ask.body.cut_after = Some(bytes),
            Fault::CutAnswer(bytes) => limit = Some(bytes),
            Fault::ShortAnswer(bytes) => short = Some(bytes),
            Fault::NoAnswer => afterwards = Some(Err(Refusal::Cut)),
            Fault::ErrorAfter => afterwards = Some(Ok(trouble(ask.drive, 500))),
            Fault::Stale => ask.stale = Some(clock),
            Fault::QuotaFull => ask.quota_full = true,
            Fault::Twice => ask.twice = true,
            Fault::TooMany(after) => return (Ok(throttle(ask.drive, 429, after)), None),
            Fault::Unavailable(after) => return (Ok(throttle(ask.drive, 503, after)), None),
            Fault::ErrorBefore => return (Ok(trouble(ask.drive, 500)), None),
            Fault::NotFound => return (Ok(trouble(ask.drive, 404)), None),
            Fault::Status(status) => return (Ok(trouble(ask.drive, status)), None),
            Fault::Code(status, code) => return (Ok(coded(ask.drive, status, code)), None),
            Fault::Expired => shared.account(ask.drive).tokens.expire(),
        }
    }
    let answer = match ask.drive {
        Drive::Box => boxcom::answer(shared, ask).await,
        Drive::Dropbox => dropbox::answer(shared, ask).await,
        Drive::OneDrive => onedrive::answer(shared, ask).await,
        Drive::GDrive => gdrive::answer(shared, ask).await,
    };
    match (answer, afterwards) {
        (Ok(_), Some(instead)) => (instead, limit),
        (Ok(reply), None) => match short {
            Some(bytes) => (Ok(reply.shortened(bytes)), limit),
            None => (Ok(reply), limit),
        },
        (answer, _) => (answer, limit),
    }
}

/// An error in the vendor's own form.
fn trouble(drive: Drive, status: u16) -> Reply {
    let message = "the script says so";
    match (drive, status) {
        (Drive::Box, _) => boxcom::error(status, if status == 404 { "not_found" } else { "internal_server_error" }),
        (Drive::Dropbox, 404) => dropbox::tagged(409, &json!({".tag": "not_found"})),
        (Drive::Dropbox, _) => Reply::text(status, message),
        (Drive::OneDrive, _) => {
            onedrive::error(status, if status == 404 { "itemNotFound" } else { "generalException" })
        }
        (Drive::GDrive, _) => gdrive::error(status, if status == 404 { "notFound" } else { "backendError" }, message),
    }
}

fn coded(drive: Drive, status: u16, code: &str) -> Reply {
    match drive {
        Drive::Box => boxcom::error(status, code),
        Drive::Dropbox => dropbox::tagged(status, &json!({".tag": code})),
        Drive::OneDrive => onedrive::error(status, code),
        Drive::GDrive => gdrive::error(status, code, "the script says so"),
    }
}

fn throttle(drive: Drive, status: u16, after: Option<u64>) -> Reply {
    let reply = match (drive, status) {
        (Drive::Box, 429) => boxcom::error(429, "rate_limit_exceeded"),
        (Drive::Box, _) => boxcom::error(503, "unavailable"),
        (Drive::Dropbox, 429) => {
            let error = json!({"reason": {".tag": "too_many_requests"}, "retry_after": after.unwrap_or(1)});
            Reply::json(429, &json!({"error": error, "error_summary": "too_many_requests/..."}))
        }
        (Drive::Dropbox, _) => Reply::text(503, "Service Unavailable"),
        (Drive::OneDrive, 429) => onedrive::error(429, "activityLimitReached"),
        (Drive::OneDrive, _) => onedrive::error(503, "serviceNotAvailable"),
        (Drive::GDrive, 429) => gdrive::error(429, "rateLimitExceeded", "Rate Limit Exceeded"),
        (Drive::GDrive, _) => gdrive::error(503, "backendError", "Backend Error"),
    };
    match after {
        Some(seconds) => reply.with("retry-after", seconds.to_string()),
        None => reply,
    }
}

/// The drive, the vendor's path, and how the request came.
fn find_drive(request: &Request<Incoming>) -> Option<(Drive, String, Way)> {
    let host = request.headers().get("host")?.to_str().ok()?;
    // For clients that cannot say another `Host` than the address they connect to.
    let told = request.headers().get("x-fake-host").and_then(|value| value.to_str().ok());
    let name = told.unwrap_or(host).split(':').next().unwrap_or_default();
    let path = request.uri().path();
    if let Some(drive) = vendor(name) {
        return Some((drive, path.to_owned(), Way::Host(name.to_owned())));
    }
    let rest = path.strip_prefix('/')?;
    let (prefix, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let drive = Drive::named(prefix)?;
    Some((drive, rest.to_owned(), Way::Prefix(format!("http://{host}/{prefix}"))))
}

fn vendor(host: &str) -> Option<Drive> {
    let ends = |domain: &str| host == domain || host.ends_with(&format!(".{domain}"));
    let table = [
        ("box.com", Drive::Box),
        ("boxcloud.com", Drive::Box),
        ("dropboxapi.com", Drive::Dropbox),
        ("dropbox.com", Drive::Dropbox),
        ("microsoft.com", Drive::OneDrive),
        ("microsoftonline.com", Drive::OneDrive),
        ("onedrive.com", Drive::OneDrive),
        ("googleapis.com", Drive::GDrive),
        ("google.com", Drive::GDrive),
    ];
    table.into_iter().find(|(domain, _)| ends(domain)).map(|(_, drive)| drive)
}

fn note(shared: &Shared, drive: Drive, method: &str, path: &str, line: &str) {
    let is_id = |part: &&str| part.len() > 20 || part.bytes().any(|byte| byte.is_ascii_digit()) && part.len() > 4;
    let route: Vec<&str> = path.split('/').map(|part| if is_id(&part) { "{}" } else { part }).collect();
    let route = format!("{} {method} {}", drive.prefix(), route.join("/"));
    *shared.counts.lock().unwrap().entry(route).or_default() += 1;
    shared.seen.lock().unwrap().push(format!("{} {method} {line}", drive.prefix()));
}

/// What is for no drive.
async fn other(request: Request<Incoming>, shared: &Arc<Shared>) -> Response<Out> {
    let (head, mut body) = request.into_parts();
    let mut bytes = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
    }
    let reply = match head.uri.path().strip_prefix("/_fake/") {
        Some(path) => control::answer(shared, path, &bytes).await,
        None => Reply::text(404, "no drive is there"),
    };
    write(reply, None, false)
}

/// `limit`: after how many bytes the connection ends.
fn write(reply: Reply, limit: Option<u64>, bare: bool) -> Response<Out> {
    let size = match &reply.content {
        Content::Bytes(bytes) => bytes.len() as u64,
        Content::Part(_, _, size) => *size,
    };
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(*name, value);
    }
    if reply.status != 204 {
        response = response.header("content-length", size);
    }
    let body = match reply.content {
        _ if bare => Full::new(Bytes::new()).map_err(never).boxed(),
        Content::Bytes(bytes) if limit.is_none() => Full::new(bytes).map_err(never).boxed(),
        content => pieces(content, size, limit),
    };
    response.body(body).unwrap()
}

fn never(error: Infallible) -> io::Error {
    match error {}
}

fn pieces(content: Content, size: u64, limit: Option<u64>) -> Out {
    let end = limit.map_or(size, |limit| limit.min(size));
    let cut_short = limit.is_some_and(|limit| limit < size);
    let starts = (0..end).step_by(usize::try_from(PIECE).unwrap());
    let read = move |at: u64| {
        let want = usize::try_from((end - at).min(PIECE)).unwrap();
        let bytes = match &content {
            Content::Bytes(bytes) => bytes.slice(usize::try_from(at).unwrap()..usize::try_from(at).unwrap() + want),
            Content::Part(blob, from, _) => Bytes::from(blob.read(from + at, want)),
        };
        Ok(Frame::data(bytes))
    };
    let ending = futures::stream::iter(cut_short.then_some(())).then(|()| async {
        // The bytes before go out first.
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        Err(cut())
    });
    BodyExt::boxed(StreamBody::new(futures::stream::iter(starts).map(read).chain(ending)))
}
