//! One request, until it is answered: paced, with a fresh token, repeated where that can help.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use tokio::time::Instant;
use url::Url;

use super::{Endpoint, Fault, Pacer};
use crate::secret::Secret;

/// Tries of a request whose way broke or whose service failed.
const TRIES: u32 = 7;
/// How long one request is repeated in all, waiting when told to included.
const PATIENCE: Duration = Duration::from_mins(15);
/// Of a refusal, more is not read.
const WORDS: usize = 64 * 1024;
/// Of an answer that is no file, more is not read.
const ANSWER: usize = 64 * 1024 * 1024;

/// Where tokens come from.
#[async_trait]
pub trait Bearer: fmt::Debug + Send + Sync {
    /// A token that should be good.
    ///
    /// # Errors
    /// When there is none and none can be had: [`Fault::Login`] with what to type.
    async fn token(&self) -> Result<Secret, Fault>;

    /// Another token than `stale`, which a service did not take.
    ///
    /// # Errors
    /// As [`Self::token`].
    async fn renew(&self, stale: &Secret) -> Result<Secret, Fault>;
}

/// What an answer that is no success means.
pub trait Judge: fmt::Debug + Send + Sync {
    /// The fault that an answer stands for. [`Fault::is_passing`] decides whether the request is repeated.
    fn judge(&self, answer: &Answer) -> Fault;
}

/// An answer that was read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, cut where it is long.
    pub body: Bytes,
}

impl Answer {
    /// How long the service asks to wait; at most an hour.
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds: f64 = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        (0.0..3600.0).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
    }

    /// One header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// [`Fault::Form`] when it is none or of another shape.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_slice(&self.body).map_err(|error| Fault::Form(error.to_string()))
    }

    /// The body as JSON of any shape; `null` where it is none.
    pub fn value(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// What every service means by a status, where it has nothing better to say.
    pub fn plain_fault(&self, words: &str) -> Fault {
        match self.status {
            401 => Fault::Login(format!("the service no longer takes the token: {words}")),
            403 => Fault::Forbidden(words.to_owned()),
            404 | 410 => Fault::NotFound,
            409 | 412 => Fault::Exists,
            413 => Fault::TooLarge(None),
            429 => Fault::Throttled(self.retry_after()),
            503 if self.retry_after().is_some() => Fault::Throttled(self.retry_after()),
            507 => Fault::Full,
            408 | 500..=599 => Fault::Broken(format!("the service answered {}", self.status)),
            status => Fault::refused(status, words),
        }
    }
}

/// Whether a request may be sent again when nobody knows whether the first one was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    Always,
    /// Only when it was surely not carried out.
    Refused,
}

/// A service, for one account.
#[derive(Debug, Clone)]
pub struct Web {
    client: Client,
    bearer: Option<Arc<dyn Bearer>>,
    pacer: Arc<Pacer>,
    judge: Arc<dyn Judge>,
}

impl Web {
    /// Requests through `client` at the pace of `pacer`, with tokens of `bearer`.
    pub fn new(client: Client, bearer: Option<Arc<dyn Bearer>>, pacer: Arc<Pacer>, judge: Arc<dyn Judge>) -> Self {
        Self { client, bearer, pacer, judge }
    }

    /// The same account at another pace, for requests that are counted apart.
    #[must_use]
    pub fn at_pace(&self, pacer: Arc<Pacer>) -> Self {
        Self { pacer, ..self.clone() }
    }

    /// The same service with tokens of `bearer`.
    #[must_use]
    pub fn with_bearer(&self, bearer: Arc<dyn Bearer>) -> Self {
        Self { bearer: Some(bearer), ..self.clone() }
    }

    /// The same service without a token, for addresses that are credentials themselves.
    #[must_use]
    pub fn without_token(&self) -> Self {
        Self { bearer: None, ..self.clone() }
    }

    /// Sends what `make` makes, anew for each try, until it is answered well. What is sent may be carried out twice.
    ///
    /// # Errors
    /// The judged fault of the last try.
    pub async fn send(&self, make: impl Fn(&Client) -> RequestBuilder + Send + Sync) -> Result<Answer, Fault> {
        self.attempt(&make, Again::Always, |_| None, |response| read(response, ANSWER)).await
    }

    /// As [`Self::send`]; a refusal that `wanted` picks is handed out as it is: it says more than a fault can.
    ///
    /// # Errors
    /// The judged fault of the last try.
    pub async fn send_for(
        &self,
        wanted: impl Fn(&Answer) -> bool + Send + Sync,
        make: impl Fn(&Client) -> RequestBuilder + Send + Sync,
    ) -> Result<Answer, Fault> {
        let pick = |answer: &Answer| wanted(answer).then(|| answer.clone());
        self.attempt(&make, Again::Always, pick, |response| read(response, ANSWER)).await
    }

    /// As [`Self::send`]; a request is repeated only when the service said that it did not carry it out. Who calls this
    /// looks afterwards what became of it when the fault [is passing](Fault::is_passing).
    ///
    /// # Errors
    /// The judged fault of the last try.
    pub async fn send_once(&self, make: impl Fn(&Client) -> RequestBuilder + Send + Sync) -> Result<Answer, Fault> {
        self.attempt(&make, Again::Refused, |_| None, |response| read(response, ANSWER)).await
    }

    /// As [`Self::send`], with the body still to come; redirects are followed, without the token where they lead
    /// elsewhere.
    ///
    /// # Errors
    /// The judged fault of the last try.
    pub async fn open(&self, make: impl Fn(&Client) -> RequestBuilder + Send + Sync) -> Result<Response, Fault> {
        let mut response = self.attempt(&make, Again::Always, |_| None, |response| async { Ok(response) }).await?;
        for _ in 0..5 {
            if !response.status().is_redirection() {
                return Ok(response);
            }
            let range = make(&self.client).build().ok().and_then(|request| request.headers().get("range").cloned());
            let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            let to = to.and_then(|to| response.url().join(to).ok()).filter(Endpoint::is_safe);
            let to: Url = to.ok_or_else(|| Fault::Form("a redirect leads nowhere".to_owned()))?;
            let next = |client: &Client| match &range {
                Some(range) => client.get(to.clone()).header("range", range.clone()),
                None => client.get(to.clone()),
            };
            let elsewhere = self.without_token();
            response = elsewhere.attempt(&next, Again::Always, |_| None, |response| async { Ok(response) }).await?;
        }
        Err(Fault::Form("too many redirects".to_owned()))
    }

    /// Tries until `finish` has made something of an answer, or `pick` something of a refusal.
    async fn attempt<T, F: Future<Output = Result<T, Fault>> + Send>(
        &self,
        make: &(impl Fn(&Client) -> RequestBuilder + Send + Sync),
        again: Again,
        pick: impl Fn(&Answer) -> Option<T> + Send + Sync,
        finish: impl Fn(Response) -> F + Send + Sync,
    ) -> Result<T, Fault> {
        let begun = Instant::now();
        let mut token = match &self.bearer {
            Some(bearer) => Some(bearer.token().await?),
            None => None,
        };
        let (mut failures, mut renewed) = (0, false);
        loop {
            self.pacer.turn().await;
            let request = authorised(make(&self.client), token.as_ref())?;
            let (fault, surely_not_done) = match request.send().await {
                Ok(response) if is_answer(response.status()) => match finish(response).await {
                    Ok(done) => {
                        self.pacer.went_well();
                        return Ok(done);
                    }
                    Err(fault) => (fault, false),
                },
                Ok(response) => {
                    let answer = read(response, WORDS).await.unwrap_or_else(|cut| cut_short(&cut));
                    if let (401, false, Some(bearer), Some(stale)) = (answer.status, renewed, &self.bearer, &token) {
                        token = Some(bearer.renew(stale).await?);
                        renewed = true;
                        continue;
                    }
                    if let Some(picked) = pick(&answer) {
                        self.pacer.went_well();
                        return Ok(picked);
                    }
                    let fault = self.judge.judge(&answer);
                    let refused = matches!(fault, Fault::Throttled(_));
                    (fault, refused)
                }
                Err(error) => {
                    let unheard = error.is_connect();
                    (Fault::network(error), unheard)
                }
            };
            if again == Again::Refused && !surely_not_done {
                return Err(fault);
            }
            failures += 1;
            let wait = self.wait(&fault, failures).ok_or_else(|| fault.clone())?;
            if begun.elapsed() + wait > PATIENCE {
                return Err(fault);
            }
            tracing::debug!(%fault, ?wait, failures, "once more");
            tokio::time::sleep(wait).await;
        }
    }

    /// How long to wait before the next try; `None` where there is none.
    fn wait(&self, fault: &Fault, failures: u32) -> Option<Duration> {
        match fault {
            Fault::Throttled(after) => {
                self.pacer.throttled(*after);
                // Where no time is told, the bucket alone would ask again at once.
                (failures < 4 * TRIES).then(|| after.unwrap_or_else(|| backoff(failures)))
            }
            Fault::Broken(_) if failures < TRIES => Some(backoff(failures)),
            _ => None,
        }
    }
}

/// A refusal of which the words did not arrive; the service failed while it refused.
fn cut_short(_: &Fault) -> Answer {
    Answer { status: 500, headers: HeaderMap::new(), body: Bytes::new() }
}

/// Success, a redirect that somebody follows, or the 308 of a resumable upload.
fn is_answer(status: StatusCode) -> bool {
    status.is_success() || status.is_redirection()
}

fn authorised(request: RequestBuilder, token: Option<&Secret>) -> Result<RequestBuilder, Fault> {
    let Some(token) = token else { return Ok(request) };
    let text = [b"Bearer ", token.expose()].concat();
    let mut value = reqwest::header::HeaderValue::from_bytes(&text)
        .map_err(|_| Fault::Login("the token holds characters that no token has".to_owned()))?;
    value.set_sensitive(true);
    Ok(request.header(reqwest::header::AUTHORIZATION, value))
}

async fn read(mut response: Response, most: usize) -> Result<Answer, Fault> {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Fault::network)? {
        body.extend_from_slice(&chunk);
        if body.len() > most {
            if status < 400 {
                return Err(Fault::Form("it is too long".to_owned()));
            }
            break;
        }
    }
    Ok(Answer { status, headers, body: body.into() })
}

/// 0.2 s, doubled each time up to 30 s, of which a random half.
fn backoff(failures: u32) -> Duration {
    let full = Duration::from_millis(200).saturating_mul(1 << failures.min(8)).min(Duration::from_secs(30));
    let mut random = [0_u8; 2];
    // Without randomness all that fails together comes back together; no reason to fail.
    let _ = fill(&mut random);
    full / 2 + full.mul_f64(f64::from(u16::from_le_bytes(random)) / f64::from(u16::MAX) / 2.0)
}

fn fill(bytes: &mut [u8]) -> std::io::Result<()> {
    use std::io::Read;
    fs_err::File::open("/dev/urandom")?.read_exact(bytes)
}
