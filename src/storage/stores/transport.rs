//! Requests of opendal through this machine's client, waiting as long as a service asks to.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opendal::{Buffer, Error, ErrorKind, HttpBody, HttpTransport};
use opendal_http_transport_reqwest::ReqwestTransport;
use tokio::time::Instant;

use crate::web::{LONGEST_WAIT, Reason, Waits};

/// Times that one request is told to wait before that is a failure.
const TIMES: u32 = 8;
/// A service that asks for more is not waited for.
const LONGEST: Duration = Duration::from_mins(5);
/// How the error of such a service begins; seconds follow.
const TOO_LONG: &str = "the service asks to be left alone, in seconds: ";

/// Waits where it is told how long, with all requests; everything else is the retries' to decide.
#[derive(Debug, Clone)]
pub(super) struct Patient {
    inner: ReqwestTransport,
    /// Nobody asks before.
    closed: Arc<Mutex<Option<Instant>>>,
    waits: Waits,
}

impl Patient {
    /// Who waits is seen in `waits`.
    pub(super) fn new(client: reqwest::Client, waits: Waits) -> Self {
        Self { inner: ReqwestTransport::new(client), closed: Arc::default(), waits }
    }

    fn closed<T>(&self, act: impl FnOnce(&mut Option<Instant>) -> T) -> T {
        act(&mut self.closed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until it may be asked again. Fails at once, and in a way that is not tried again, where that takes too long.
    async fn pause(&self) -> opendal::Result<()> {
        let until = self.closed(|closed| *closed);
        let left = until.map(|until| until.saturating_duration_since(Instant::now())).unwrap_or_default();
        if left > LONGEST {
            let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
            return Err(Error::new(ErrorKind::RateLimited, format!("{TOO_LONG}{seconds}")));
        }
        if !left.is_zero() {
            tracing::debug!(?left, "told to wait");
            self.waits.wait(Reason::Throttled, left).await;
        }
        Ok(())
    }

    async fn ask(&self, request: http::Request<Buffer>) -> opendal::Result<http::Response<HttpBody>> {
        let changes = matches!(request.method().as_str(), "POST" | "PUT");
        self.waits.goes_out();
        let answered = self.inner.fetch(request).await;
        let denied = answered.as_ref().is_ok_and(|response| response.status().is_client_error());
        if changes && !denied {
            self.waits.is_not_denied();
        }
        answered
    }
}

impl HttpTransport for Patient {
    async fn fetch(&self, request: http::Request<Buffer>) -> opendal::Result<http::Response<HttpBody>> {
        for _ in 0..TIMES {
            self.pause().await?;
            // The body is counted, not copied.
            let response = self.ask(request.clone()).await?;
            let Some(wait) = told_to_wait(&response) else { return Ok(response) };
            drop(response);
            let until = Some(Instant::now() + wait);
            self.closed(|closed| *closed = (*closed).max(until));
        }
        self.pause().await?;
        self.ask(request).await
    }
}

fn told_to_wait<B>(response: &http::Response<B>) -> Option<Duration> {
    if !matches!(response.status().as_u16(), 429 | 503) {
        return None;
    }
    let seconds: u64 = response.headers().get(http::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    // Who asks for no time at all is not asked again at once.
    Some(Duration::from_secs(seconds.max(1)).min(LONGEST_WAIT))
}

/// How long a service wants to be left alone, where that is what an error is about.
pub(super) fn told_too_long(error: &Error) -> Option<Duration> {
    error.message().strip_prefix(TOO_LONG)?.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;
    use crate::storage::stores::fault::fault;
    use crate::web::{Fault, Reach, client};

    /// Answers one connection after the other; gives back how many there were.
    fn serve(answers: Vec<&'static str>) -> (String, std::thread::JoinHandle<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let served = std::thread::spawn(move || {
            for answer in &answers {
                let (mut stream, _) = listener.accept().unwrap();
                assert!(stream.read(&mut [0; 8192]).unwrap() > 0);
                stream.write_all(answer.as_bytes()).unwrap();
            }
            answers.len()
        });
        (url, served)
    }

    fn patient(waits: &Waits) -> Patient {
        Patient::new(client(&Reach::default()).unwrap(), waits.clone())
    }

    async fn status(patient: &Patient, url: &str) -> opendal::Result<u16> {
        let request = http::Request::get(url).body(Buffer::new()).unwrap();
        patient.fetch(request).await.map(|response| response.status().as_u16())
    }

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

    #[tokio::test]
    async fn a_pause_is_waited_for_by_all_requests_and_seen_from_outside() {
        let busy = "HTTP/1.1 503 Slow\r\nretry-after: 2\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let (url, served) = serve(vec![busy, OK, OK]);
        let waits = Waits::default();
        let patient = patient(&waits);
        let begun = Instant::now();
        let seen = async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            let seen = waits.longest().map(|waiting| waiting.reason);
            (seen, status(&patient, &url).await.unwrap())
        };
        let (first, (seen, second)) = tokio::join!(status(&patient, &url), seen);
        assert_eq!((first.unwrap(), second, seen), (200, 200, Some(Reason::Throttled)));
        assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
        assert_eq!((waits.longest(), served.join().unwrap()), (None, 3));
    }

    #[tokio::test]
    async fn a_pause_that_nobody_waits_for_is_an_error_with_its_time_and_nobody_asks_again() {
        let busy = "HTTP/1.1 503 Slow\r\nretry-after: 1200\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let (url, served) = serve(vec![busy]);
        let patient = patient(&Waits::default());
        for _ in 0..2 {
            let error = status(&patient, &url).await.unwrap_err();
            assert!(!error.is_temporary(), "{error}");
            assert_eq!(fault(&error).to_string(), "the service asks for fewer requests for 20 min");
        }
        assert_eq!(served.join().unwrap(), 1);
        assert_eq!(fault(&Error::new(ErrorKind::RateLimited, "SlowDown")), Fault::Throttled(None));
    }
}
