//! A mirror that is a folder: requests below a channel's canonical URL are answered from files.
//!
//! Answering here, instead of replacing the channel's URL, keeps the canonical name in records, locks and
//! `channel::package` specs. Nothing outside of the folder is ever read. Where a channel has several mirrors in the
//! network, a request that one of them fails goes to the next one.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use reqwest::header::{CONTENT_LENGTH, ETAG, IF_NONE_MATCH};
use reqwest::{Body, Method, Request, Response, StatusCode};
use reqwest_middleware::{Error, Middleware, Next};
use tokio::fs::File;
use tokio_util::io::ReaderStream;
use url::Url;

/// Channel URLs and the folders that stand for them.
pub(super) struct FolderMirror {
    folders: Vec<(Url, PathBuf)>,
}

impl FolderMirror {
    pub(super) fn new(mut folders: Vec<(Url, PathBuf)>) -> Self {
        // The longest URL first: a label's channel is more special than its owner's.
        folders.sort_by_key(|(url, _)| std::cmp::Reverse(url.as_str().len()));
        Self { folders }
    }

    /// The file that stands for `url`; `None` when no folder covers it.
    fn file(&self, url: &Url) -> Option<PathBuf> {
        let mut plain = url.clone();
        let _ = plain.set_username("");
        let _ = plain.set_password(None);
        plain.set_query(None);
        self.folders.iter().find_map(|(base, folder)| {
            let rest = plain.as_str().strip_prefix(base.as_str())?;
            let rest = percent_decoded(rest)?;
            let inside = Path::new(&rest).components().all(|part| matches!(part, Component::Normal(_)));
            inside.then(|| folder.join(rest))
        })
    }
}

#[async_trait]
impl Middleware for FolderMirror {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut http::Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        match self.file(request.url()) {
            Some(file) => answer(&request, &file).await.map_err(Error::middleware),
            None => next.run(request, extensions).await,
        }
    }
}

/// Channels with several mirrors, and how many: stands in front of what chooses among them, which takes the one that has
/// failed least.
pub(super) struct NextMirror {
    channels: Vec<(Url, usize)>,
}

impl NextMirror {
    pub(super) fn new(channels: Vec<(Url, usize)>) -> Self {
        Self { channels }
    }

    fn mirrors(&self, url: &Url) -> usize {
        let found = self.channels.iter().filter(|(channel, _)| url.as_str().starts_with(channel.as_str()));
        found.map(|(_, mirrors)| *mirrors).max().unwrap_or(1)
    }
}

#[async_trait]
impl Middleware for NextMirror {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut http::Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        for _ in 1..self.mirrors(request.url()) {
            let Some(copy) = request.try_clone() else { break };
            match next.clone().run(copy, extensions).await {
                Ok(answer) if !answer.status().is_server_error() => return Ok(answer),
                Ok(answer) => tracing::debug!(status = %answer.status(), "a mirror failed; the next one is asked"),
                Err(error) => tracing::debug!(%error, "a mirror failed; the next one is asked"),
            }
        }
        next.run(request, extensions).await
    }
}

async fn answer(request: &Request, path: &Path) -> io::Result<Response> {
    let file = match File::open(path).await {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(empty(StatusCode::NOT_FOUND)),
        Err(error) => return Err(error),
    };
    let meta = file.metadata().await?;
    if !meta.is_file() {
        return Ok(empty(StatusCode::NOT_FOUND));
    }
    let stamp = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let tag = format!("\"{stamp:x}-{:x}\"", meta.len());
    if request.headers().get(IF_NONE_MATCH).is_some_and(|asked| asked.as_bytes() == tag.as_bytes()) {
        return Ok(empty(StatusCode::NOT_MODIFIED));
    }
    let body = if request.method() == Method::HEAD {
        Body::default()
    } else {
        Body::wrap_stream(ReaderStream::with_capacity(file, 256 * 1024))
    };
    let response = http::Response::builder().header(ETAG, tag).header(CONTENT_LENGTH, meta.len()).body(body);
    response.map(Response::from).map_err(io::Error::other)
}

fn empty(status: StatusCode) -> Response {
    let mut response = http::Response::new(Body::default());
    *response.status_mut() = status;
    Response::from(response)
}

pub(super) fn percent_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let pair = [bytes.next()?, bytes.next()?];
            out.push(u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}
