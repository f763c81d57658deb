//! Requests of opendal through this machine's client, waiting as long as a service asks to.

use std::time::Duration;

use opendal::{Buffer, HttpBody, HttpTransport};
use opendal_http_transport_reqwest::ReqwestTransport;

/// Times that one request is told to wait before that is a failure.
const TIMES: u32 = 8;
/// A service that asks for more is not waited for.
const LONGEST: Duration = Duration::from_mins(5);

/// Waits where it is told how long; everything else is the retries' to decide.
#[derive(Debug, Clone)]
pub(super) struct Patient {
    inner: ReqwestTransport,
}

impl Patient {
    pub(super) fn new(client: reqwest::Client) -> Self {
        Self { inner: ReqwestTransport::new(client) }
    }
}

impl HttpTransport for Patient {
    async fn fetch(&self, request: http::Request<Buffer>) -> opendal::Result<http::Response<HttpBody>> {
        for _ in 0..TIMES {
            // The body is counted, not copied.
            let response = self.inner.fetch(request.clone()).await?;
            let Some(wait) = told_to_wait(&response) else { return Ok(response) };
            tracing::debug!(?wait, "told to wait");
            drop(response);
            tokio::time::sleep(wait).await;
        }
        self.inner.fetch(request).await
    }
}

fn told_to_wait<B>(response: &http::Response<B>) -> Option<Duration> {
    if !matches!(response.status().as_u16(), 429 | 503) {
        return None;
    }
    let seconds: u64 = response.headers().get(http::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds)).filter(|wait| *wait <= LONGEST)
}
