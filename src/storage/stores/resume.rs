//! Uploads that are gone on with after a crash, on services whose own clients tell nobody the name of an upload.
//!
//! opendal asks for an upload, sends its parts and puts them together, with all that it knows of credentials, regions and
//! addresses. Between it and the network stands [`Resuming`], one for each upload: it notes what the upload is called and
//! which parts have arrived, and what is known to have arrived it answers itself, as the service did. What is put together
//! in the end names each part as the service knows it.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderName, LOCATION, RANGE};
use http::{Request, Response, StatusCode, Uri};
use opendal::raw::ServiceOperation;
use opendal::{Buffer, ErrorKind, HttpBody, HttpTransport, HttpTransporter, OperationContext, Operator};

use super::crc64::crc64;
use super::half::{Chunk, Half, Part, Upload};
use super::{Fault, Kind, ObjectStore};
use crate::storage::backend::Sessions;

/// What Azure computed of the bytes of a request.
const SUM: &str = "x-ms-content-crc64";

pub(super) type Answer = opendal::Result<Response<HttpBody>>;

/// One upload of which it is remembered how far it is.
pub(super) struct Resume<'a> {
    upload: Arc<Upload>,
    key: &'a str,
    sessions: &'a dyn Sessions,
}

impl<'a> Resume<'a> {
    /// Of so many bytes, from where an earlier process left it.
    pub(super) fn new(key: &'a str, size: u64, sessions: &'a dyn Sessions) -> Self {
        let recalled = sessions.recall(key).and_then(|text| Half::parse(&text));
        let upload = Upload::new(size, recalled).kept_by(sessions.keeper(key));
        Self { upload: Arc::new(upload), key, sessions }
    }

    /// The store, for this upload.
    pub(super) fn operator(&self, store: &ObjectStore) -> Operator {
        let transport = Resuming { inner: store.transport.clone(), upload: Arc::clone(&self.upload) };
        through(&store.operator, transport)
    }

    /// The key is there; whether it has to be read to know that it is what was sent.
    pub(super) fn done(&self) -> bool {
        self.upload.over();
        self.sessions.forget(self.key);
        self.upload.is_doubtful()
    }

    /// It broke off, and the service was asked to give it up: nothing of it is remembered unless there still is something.
    /// Whether that was because the service did not know it any more.
    pub(super) fn broke_off(&self, kind: Kind, fault: &Fault, given_up: &Result<(), Fault>) -> bool {
        self.upload.over();
        let is_gone = self.upload.is_gone();
        if !self.upload.is_begun() {
            return is_gone;
        }
        let nothing_left = match kind {
            // Nobody can give blocks up: they go by themselves after a week.
            Kind::Azblob => !fault.is_passing(),
            _ => matches!(given_up, Ok(()) | Err(Fault::NotFound)),
        };
        if is_gone || nothing_left {
            self.sessions.forget(self.key);
        } else if let Some(text) = self.upload.to_remember(true) {
            self.sessions.remember(self.key, &text);
        }
        is_gone
    }
}

/// A part that is still on its way when nobody waits for it any more has nothing to say.
impl Drop for Resume<'_> {
    fn drop(&mut self) {
        self.upload.over();
    }
}

/// The same store, its requests over another transport; its credentials are kept.
pub(super) fn through(operator: &Operator, transport: impl HttpTransport) -> Operator {
    let context = OperationContext::new().with_http_transport(HttpTransporter::new(transport));
    operator.clone().with_context(context)
}

/// Sends the requests of one upload, but for what is known to have arrived.
pub(super) struct Resuming<T> {
    inner: T,
    upload: Arc<Upload>,
}

impl<T: HttpTransport> HttpTransport for Resuming<T> {
    async fn fetch(&self, request: Request<Buffer>) -> Answer {
        match step(&request) {
            "CreateMultipartUpload" => self.create(request).await,
            "UploadPart" => self.part(request).await,
            "CompleteMultipartUpload" => self.complete(request).await,
            "InitiateResumableUpload" => self.session(request).await,
            "UploadResumableChunk" => self.chunk(request).await,
            "PutBlock" => self.block(request).await,
            "PutBlockList" => self.list(request).await,
            _ => self.inner.fetch(request).await,
        }
    }
}

/// Amazon S3: parts have numbers, and are known by the tags that were answered.
impl<T: HttpTransport> Resuming<T> {
    async fn create(&self, request: Request<Buffer>) -> Answer {
        match self.upload.open(&address(request.uri())) {
            Some(id) => created(&id),
            None => self.begun(self.inner.fetch(request).await?).await,
        }
    }

    /// Reads what the upload is called, so that it is remembered before anything is sent to it. Where that is not
    /// understood, it stands in the address of the first part.
    async fn begun(&self, told: Response<HttpBody>) -> Answer {
        if !told.status().is_success() {
            return Ok(told);
        }
        let (head, mut body) = told.into_parts();
        let text = body.to_buffer().await?;
        if let Some(id) = called(&text.to_bytes()) {
            self.upload.called(&id);
        }
        Ok(Response::from_parts(head, held(text)))
    }

    async fn part(&self, request: Request<Buffer>) -> Answer {
        let number = asked(request.uri(), "partNumber");
        let Some((number, id)) = number.zip(asked(request.uri(), "uploadId")) else {
            return self.inner.fetch(request).await;
        };
        let part = Part::of(request.body());
        self.upload.called(&id);
        if let Some(tag) = self.upload.tag_of(&number, &part) {
            return answer(StatusCode::OK, Some((ETAG, tag.as_str())), Buffer::new());
        }
        let told = self.inner.fetch(request).await?;
        if told.status() == StatusCode::NOT_FOUND {
            self.upload.lost();
        }
        if let Some(tag) = header(&told, ETAG).filter(|_| told.status().is_success()) {
            self.upload.keep(number, part.tagged(&tag));
        }
        Ok(told)
    }

    async fn complete(&self, request: Request<Buffer>) -> Answer {
        let told = self.inner.fetch(request).await?;
        match told.status() {
            StatusCode::NOT_FOUND => self.upload.lost(),
            // A part that is not there, or is another one by now.
            StatusCode::BAD_REQUEST => self.upload.refused(),
            _ => {}
        }
        Ok(told)
    }
}

/// Google Cloud Storage: bytes come in order, and the session tells how many it has.
impl<T: HttpTransport> Resuming<T> {
    async fn session(&self, request: Request<Buffer>) -> Answer {
        let address = address(request.uri());
        if let Some(session) = self.upload.open(&address).filter(|session| is_at(session, &address)) {
            let told = self.inner.fetch(self.question(&session)?).await?;
            match told.status().as_u16() {
                308 => {
                    let last = header(&told, RANGE).and_then(|range| range.rsplit_once('-')?.1.parse::<u64>().ok());
                    self.upload.has(last.map_or(0, |last| last + 1));
                    return answer(StatusCode::OK, Some((LOCATION, session.as_str())), Buffer::new());
                }
                429 | 500.. => return Ok(told),
                // It is over, one way or the other: whether the key is free is for a new one to find out.
                _ => {}
            }
        }
        self.upload.begin_anew();
        let told = self.inner.fetch(request).await?;
        if let Some(session) = header(&told, LOCATION).filter(|_| told.status().is_success()) {
            self.upload.called(&session);
        }
        Ok(told)
    }

    /// How much a session has.
    fn question(&self, session: &str) -> opendal::Result<Request<Buffer>> {
        let question = Request::put(session).header(CONTENT_LENGTH, 0);
        let question = question.header(CONTENT_RANGE, format!("bytes */{}", self.upload.size));
        question.body(Buffer::new()).map_err(unexpected)
    }

    async fn chunk(&self, request: Request<Buffer>) -> Answer {
        let range = request.headers().get(CONTENT_RANGE).and_then(|range| from(range.to_str().ok()?));
        let Some((offset, is_last)) = range else { return self.inner.fetch(request).await };
        let end = offset + request.body().len() as u64;
        match self.upload.chunk(offset, Part::of(request.body()), is_last) {
            Chunk::There => {
                let range = format!("bytes=0-{}", end.saturating_sub(1));
                return answer(StatusCode::PERMANENT_REDIRECT, Some((RANGE, range.as_str())), Buffer::new());
            }
            Chunk::Other => {
                self.upload.lost();
                let words = "what has arrived of it is of other bytes";
                return Err(opendal::Error::new(ErrorKind::NotFound, words));
            }
            Chunk::Send => {}
        }
        let told = self.inner.fetch(request).await?;
        if matches!(told.status(), StatusCode::NOT_FOUND | StatusCode::GONE) {
            self.upload.lost();
        }
        Ok(told)
    }
}

/// Azure: blocks have names that opendal gives anew each time, so they are known by their bytes, and the list of them is
/// written anew. A signature is over its length, which stays. What Azure computes of a block it tells with its answer; a
/// header by which it would refuse others is part of the signature, and opendal knows none.
impl<T: HttpTransport> Resuming<T> {
    async fn block(&self, request: Request<Buffer>) -> Answer {
        let Some(name) = asked(request.uri(), "blockid") else { return self.inner.fetch(request).await };
        self.upload.open(&address(request.uri()));
        let part = Part::of(request.body());
        if self.upload.claim(&name, &part) {
            return answer(StatusCode::CREATED, None, Buffer::new());
        }
        let mut told = self.inner.fetch(request.clone()).await?;
        if is_other(&told, request.body()) && !self.upload.is_doubtful() {
            tracing::debug!(name, "a block did not arrive as it was sent; once more");
            told = self.inner.fetch(request.clone()).await?;
        }
        if is_other(&told, request.body()) {
            self.upload.doubt();
        } else if told.status().is_success() {
            self.upload.keep_block(name, part);
        }
        Ok(told)
    }

    async fn list(&self, request: Request<Buffer>) -> Answer {
        let (parts, body) = request.into_parts();
        let list = String::from_utf8(body.to_vec()).map_err(unexpected)?;
        let renamed = self.upload.renamed(&list);
        if renamed.len() != list.len() {
            return Err(opendal::Error::new(ErrorKind::Unexpected, "a block's name has another length"));
        }
        let list = Buffer::from(renamed);
        let told = self.inner.fetch(Request::from_parts(parts, list.clone())).await?;
        if is_other(&told, &list) {
            self.upload.doubt();
        }
        if told.status() == StatusCode::BAD_REQUEST {
            self.upload.refused();
        }
        Ok(told)
    }
}

/// Whether Azure says that what it took is not what was sent. That it does not say so is no proof: not all that speaks like
/// it computes anything.
fn is_other(told: &Response<HttpBody>, sent: &Buffer) -> bool {
    told.status().is_success() && header(told, HeaderName::from_static(SUM)).is_some_and(|sum| sum != crc64(sent))
}

/// What a request is for, as opendal calls it.
pub(super) fn step(request: &Request<Buffer>) -> &'static str {
    request.extensions().get::<ServiceOperation>().map_or("", |operation| operation.0)
}

/// An address without what follows `?`, where signatures stand.
pub(super) fn address(uri: &Uri) -> String {
    let host = uri.authority().map_or("", http::uri::Authority::as_str);
    format!("{}://{host}{}", uri.scheme_str().unwrap_or_default(), uri.path())
}

/// What stands under that name behind `?`.
fn asked(uri: &Uri, name: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(uri.query()?.as_bytes());
    pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

/// Whether a session is at the same host.
fn is_at(session: &str, address: &str) -> bool {
    let host = |text: &str| {
        let uri: Uri = text.parse().ok()?;
        Some((uri.scheme_str()?.to_owned(), uri.authority()?.as_str().to_owned()))
    };
    host(session).is_some_and(|session| host(address) == Some(session))
}

/// Where a chunk begins, and whether it is the last one: only then is the whole length told.
fn from(range: &str) -> Option<(u64, bool)> {
    let (range, whole) = range.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.parse().ok()?, whole != "*"))
}

fn header(told: &Response<HttpBody>, name: HeaderName) -> Option<String> {
    told.headers().get(name)?.to_str().ok().map(str::to_owned)
}

fn unexpected(error: impl std::fmt::Display) -> opendal::Error {
    opendal::Error::new(ErrorKind::Unexpected, error.to_string())
}

/// S3's answer to who asked for an upload.
pub(super) fn created(id: &str) -> Answer {
    let id = id.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let text = format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>");
    answer(StatusCode::OK, None, Buffer::from(text))
}

/// What S3 calls an upload, as it answers who asked for it.
fn called(text: &[u8]) -> Option<String> {
    let (_, rest) = std::str::from_utf8(text).ok()?.split_once("<UploadId>")?;
    let (id, _) = rest.split_once("</UploadId>")?;
    let id = id.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
    Some(id).filter(|id| !id.is_empty())
}

/// A body that is here already.
fn held(body: Buffer) -> HttpBody {
    let size = body.len() as u64;
    let pieces: Vec<opendal::Result<Buffer>> = if body.is_empty() { Vec::new() } else { vec![Ok(body)] };
    HttpBody::new(futures::stream::iter(pieces), Some(size))
}

/// What a service would say.
pub(super) fn answer(status: StatusCode, header: Option<(HeaderName, &str)>, body: Buffer) -> Answer {
    let mut told = Response::builder().status(status);
    if let Some((name, value)) = header {
        told = told.header(name, value);
    }
    told.body(held(body)).map_err(unexpected)
}

#[cfg(test)]
#[cfg(all(feature = "s3", feature = "gcs", feature = "azblob"))]
mod tests;
