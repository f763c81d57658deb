//! One request, until it is answered: paced, with a fresh token, repeated where that can help.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Client, Method, Request, RequestBuilder, Response};
use tokio::time::Instant;
use url::Url;

use super::answer::{WORDS, cut_short, is_answer, read, read_whole, silent};
use super::client::STILL;
use super::{Answer, Detours, Endpoint, Fault, Pacer, Reason, Waiting, Waits};
use crate::secret::Secret;

/// Tries of a request whose way broke or whose service failed.
const TRIES: u32 = 7;
/// How long one request is repeated in all, waiting when told to and for a turn included.
const PATIENCE: Duration = Duration::from_mins(15);
/// Bytes a second that a request gets through at the least; many share a line.
const SLOWEST: u64 = 8 * 1024;
/// Why nothing comes from an address that holds its own permission.
const ENDED: &str = "it does not take the address that it handed out for this, nor a second one; try again later";

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

    /// What to say where a service does not take a token that was just renewed: with what to type, where that is known.
    fn refused(&self, fault: Fault) -> Fault {
        fault
    }

    /// What renewing waits for at present; `None` where nothing, or where that is not told.
    fn waiting(&self) -> Option<Waiting> {
        None
    }
}

/// What an answer that is no success means.
pub trait Judge: fmt::Debug + Send + Sync {
    /// The fault that an answer stands for. [`Fault::is_passing`] decides whether the request is repeated.
    fn judge(&self, answer: &Answer) -> Fault;

    /// Whether a fresh token may be taken where this one was not. What a login was never allowed is refused by 401 too,
    /// and another token of the same login changes nothing about that.
    fn is_stale(&self, answer: &Answer) -> bool {
        answer.status == 401 && answer.header("www-authenticate").is_none_or(|why| !why.contains("insufficient_scope"))
    }
}

/// Whether a request may be sent again when nobody knows whether the first one was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    Always,
    /// Only when it was surely not carried out.
    Refused,
}

/// How many more requests a service lets an account make for now, as it said last; clones share it.
#[derive(Debug, Clone, Default)]
struct Allowance(Arc<Mutex<Option<u64>>>);

impl Allowance {
    fn told(&self) -> Option<u64> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, headers: &HeaderMap) {
        // Who counts several kinds of requests names those that are none of the usual ones.
        if headers.get("x-ratelimit-resource").is_some_and(|kind| kind != "core") {
            return;
        }
        let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
        if let Some(left) = number("x-ratelimit-remaining").or_else(|| number("ratelimit-remaining")) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(left);
        }
    }
}

/// A service, for one account.
#[derive(Debug, Clone)]
pub struct Web {
    client: Client,
    bearer: Option<Arc<dyn Bearer>>,
    pacer: Arc<Pacer>,
    judge: Arc<dyn Judge>,
    allowance: Allowance,
    detours: Arc<Detours>,
    waits: Waits,
    /// How long a turn is waited for, where that is longer than all else together.
    turns: Option<Duration>,
    /// How long a request is repeated in all.
    patience: Duration,
    /// How long an answer may take once all is sent.
    still: Duration,
    /// Whether whoever answers in anything but JSON is not the service.
    only_json: bool,
}

impl Web {
    /// Requests through `client` at the pace of `pacer`, with tokens of `bearer`.
    pub fn new(client: Client, bearer: Option<Arc<dyn Bearer>>, pacer: Arc<Pacer>, judge: Arc<dyn Judge>) -> Self {
        let (allowance, detours, waits) = (Allowance::default(), Arc::default(), Waits::default());
        let (turns, patience, still) = (None, PATIENCE, STILL);
        Self { client, bearer, pacer, judge, allowance, detours, waits, turns, patience, still, only_json: false }
    }

    /// The same service, of which addresses are asked elsewhere.
    #[must_use]
    pub fn with_detours(self, detours: Detours) -> Self {
        Self { detours: Arc::new(detours), ..self }
    }

    /// Where an address is asked that the service handed out.
    pub fn led(&self, url: &str) -> String {
        let led = Url::parse(url).ok().and_then(|url| self.detours.of(&url));
        led.map_or_else(|| url.to_owned(), String::from)
    }

    /// The same service, whose requests wait so long for a turn, for those who have nobody in front of them who waits too.
    #[must_use]
    pub fn waiting_for_turns(self, turns: Duration) -> Self {
        Self { turns: Some(turns), ..self }
    }

    /// The same service for who wants to know soon: a request that would have to wait longer than this in all comes to nothing
    /// instead, with the time that the service asked for.
    #[must_use]
    pub fn hurried(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The same service, which answers in JSON and never with a page: one that comes all the same is of something on the way.
    #[must_use]
    pub fn speaking_json(self) -> Self {
        Self { only_json: true, ..self }
    }

    /// The same service, whose requests are seen in `waits` while they wait.
    #[must_use]
    pub fn seen_in(self, waits: Waits) -> Self {
        Self { waits, ..self }
    }

    /// What a request to this service waits for at present, at whatever pace and with whatever token; of several the one
    /// that takes longest.
    pub fn waiting(&self) -> Option<Waiting> {
        let renewing = self.bearer.as_ref().and_then(|bearer| bearer.waiting());
        self.waits.longest().into_iter().chain(renewing).max_by_key(|waiting| waiting.until)
    }

    /// How many requests to this service have gone out, at whatever pace and with whatever token; those for a token are none
    /// of them.
    pub fn sent(&self) -> u64 {
        self.waits.sent()
    }

    /// How many requests that may have changed something there were carried out, or may have been for all that anybody
    /// knows: none that was refused.
    pub fn undenied(&self) -> u64 {
        self.waits.undenied()
    }

    /// How many more requests the service lets this account make for now, as it said last; none where it does not say.
    pub fn allowance(&self) -> Option<u64> {
        self.allowance.told()
    }

    /// The same account at another pace, for requests that are counted apart.
    #[must_use]
    pub fn at_pace(&self, pacer: Arc<Pacer>) -> Self {
        Self { pacer, ..self.clone() }
    }

    /// The same service with tokens of `bearer`.
    #[must_use]
    pub fn with_bearer(&self, bearer: Arc<dyn Bearer>) -> Self {
        Self { bearer: Some(bearer), allowance: Allowance::default(), ..self.clone() }
    }

    /// The same service without a token, for addresses that are credentials themselves.
    #[must_use]
    pub fn without_token(&self) -> Self {
        Self { bearer: None, allowance: Allowance::default(), ..self.clone() }
    }

    /// The same service, whose answers may take so long.
    #[cfg(test)]
    pub(super) fn answering_within(self, still: Duration) -> Self {
        Self { still, ..self }
    }

    /// Sends what `make` makes, anew for each try, until it is answered well. What is sent may be carried out twice.
    ///
    /// # Errors
    /// The judged fault of the last try.
    pub async fn send(&self, make: impl Fn(&Client) -> RequestBuilder + Send + Sync) -> Result<Answer, Fault> {
        self.attempt(&make, Again::Always, |_| None, |response| read_whole(response, self.only_json)).await
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
        self.attempt(&make, Again::Always, pick, |response| read_whole(response, self.only_json)).await
    }

    /// As [`Self::send`]; a request is repeated only when the service said that it did not carry it out. Who calls this
    /// looks afterwards what became of it when the fault [is passing](Fault::is_passing).
    ///
    /// # Errors
    /// The judged fault of the last try.
    pub async fn send_once(&self, make: impl Fn(&Client) -> RequestBuilder + Send + Sync) -> Result<Answer, Fault> {
        self.attempt(&make, Again::Refused, |_| None, |response| read_whole(response, self.only_json)).await
    }

    /// As [`Self::send`], with the body still to come; redirects are followed, without the token where they lead
    /// elsewhere. An address that a redirect led to and that is refused may have ended meanwhile: another one is asked
    /// for, once.
    ///
    /// # Errors
    /// The judged fault of the last try.
    pub async fn open(&self, make: impl Fn(&Client) -> RequestBuilder + Send + Sync) -> Result<Response, Fault> {
        let mut anew = true;
        loop {
            let response = self.attempt(&make, Again::Always, |_| None, |response| async { Ok(response) }).await?;
            match self.followed(&make, response).await {
                Err(fault @ (Fault::Login(_) | Fault::Forbidden(_) | Fault::NotFound)) if anew => {
                    tracing::debug!(%fault, "an address that was handed out is asked for anew");
                    anew = false;
                }
                // No token was sent there: a login would not mend it.
                Err(Fault::Login(_)) => return Err(Fault::refused(401, ENDED)),
                opened => return opened,
            }
        }
    }

    /// Where an answer leads to.
    async fn followed(
        &self,
        make: &(impl Fn(&Client) -> RequestBuilder + Send + Sync),
        mut response: Response,
    ) -> Result<Response, Fault> {
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
        let by = Instant::now() + self.patience;
        let mut token = match &self.bearer {
            Some(bearer) => Some(bearer.token().await?),
            None => None,
        };
        let (mut failures, mut renewed) = (0, false);
        loop {
            let turn_by = self.turns.map_or(by, |turns| Instant::now() + turns);
            self.pacer.turn(turn_by, &self.waits).await.map_err(|wait| Fault::Throttled(Some(wait)))?;
            let request = authorised(make(&self.client), token.as_ref())?;
            let (fault, surely_not_done) = match self.answered(request).await {
                Ok(response) if is_answer(response.status()) => match finish(response).await {
                    Ok(done) => {
                        self.pacer.went_well();
                        return Ok(done);
                    }
                    Err(fault) => (fault, false),
                },
                Ok(response) => {
                    let answer = read(response, WORDS).await.unwrap_or_else(|cut| cut_short(&cut));
                    if let (false, Some(bearer), Some(stale)) = (renewed, &self.bearer, &token)
                        && self.judge.is_stale(&answer)
                    {
                        token = Some(bearer.renew(stale).await?);
                        renewed = true;
                        continue;
                    }
                    if let Some(picked) = pick(&answer) {
                        self.pacer.went_well();
                        return Ok(picked);
                    }
                    let fault = self.judged(&answer, renewed);
                    let refused = matches!(fault, Fault::Throttled(_));
                    (fault, refused)
                }
                Err(failed) => failed,
            };
            if again == Again::Refused && !surely_not_done {
                return Err(fault);
            }
            failures += 1;
            let wait = self.wait(&fault, failures).ok_or_else(|| fault.clone())?;
            if wait > by.saturating_duration_since(Instant::now()) {
                return Err(fault);
            }
            tracing::debug!(%fault, ?wait, failures, "once more");
            let reason = if matches!(fault, Fault::Throttled(_)) { Reason::Throttled } else { Reason::Failed };
            self.waits.wait(reason, wait).await;
        }
    }

    /// What a refusal means; that of a token which was just renewed is its source's to explain.
    fn judged(&self, answer: &Answer, renewed: bool) -> Fault {
        let fault = self.judge.judge(answer);
        match &self.bearer {
            Some(bearer) if renewed && self.judge.is_stale(answer) => bearer.refused(fault),
            _ => fault,
        }
    }

    /// The beginning of an answer; or why there is none, and whether the request surely was not heard. What is sent may
    /// take its time: that an answer takes long is told from the time that sending takes.
    async fn answered(&self, request: RequestBuilder) -> Result<Response, (Fault, bool)> {
        let mut request = request.build().map_err(|error| (Fault::network(error), true))?;
        if let Some(there) = self.detours.of(request.url()) {
            *request.url_mut() = there;
        }
        tell_of_nothing(&mut request);
        let within = self.still + Duration::from_secs(length(&request) / SLOWEST);
        let changes = changes(request.method());
        self.waits.goes_out();
        let answered = tokio::time::timeout(within, self.client.execute(request)).await;
        let denied = match &answered {
            Ok(Ok(response)) => response.status().is_client_error(),
            Ok(Err(error)) => error.is_connect(),
            Err(_) => false,
        };
        if changes && !denied {
            self.waits.is_not_denied();
        }
        match answered {
            Ok(Ok(response)) => {
                self.allowance.hear(response.headers());
                Ok(response)
            }
            Ok(Err(error)) => {
                let unheard = error.is_connect();
                Err((Fault::network(error), unheard))
            }
            Err(_) => Err((silent(), false)),
        }
    }

    /// How long to wait before the next try; `None` where there is none.
    fn wait(&self, fault: &Fault, failures: u32) -> Option<Duration> {
        match fault {
            Fault::Throttled(after) => {
                self.pacer.throttled(*after);
                // Where no time is told, or none at all, the bucket alone would ask again at once.
                let told = after.filter(|after| !after.is_zero());
                (failures < 4 * TRIES).then(|| told.unwrap_or_else(|| backoff(failures)))
            }
            Fault::Broken(_) if failures < TRIES => Some(backoff(failures)),
            _ => None,
        }
    }
}

/// Whether a request of this method may put something there.
fn changes(method: &Method) -> bool {
    matches!(method.as_str(), "POST" | "PUT" | "PATCH" | "MOVE" | "COPY")
}

fn authorised(request: RequestBuilder, token: Option<&Secret>) -> Result<RequestBuilder, Fault> {
    let Some(token) = token else { return Ok(request) };
    let text = [b"Bearer ", token.expose()].concat();
    let mut value = HeaderValue::from_bytes(&text)
        .map_err(|_| Fault::Login("the token holds characters that no token has".to_owned()))?;
    value.set_sensitive(true);
    Ok(request.header(reqwest::header::AUTHORIZATION, value))
}

/// Bytes of a request's body, as far as that is known.
fn length(request: &Request) -> u64 {
    let held = request.body().and_then(reqwest::Body::as_bytes).map(|bytes| bytes.len() as u64);
    let told = || request.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
    held.or_else(told).unwrap_or_default()
}

/// Says of an empty body that it is empty. The client does not by itself, and some services refuse what does not tell its
/// length.
fn tell_of_nothing(request: &mut Request) {
    let is_empty = request.body().is_none_or(|body| body.as_bytes().is_some_and(<[u8]>::is_empty));
    if is_empty && matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH) {
        request.headers_mut().entry(CONTENT_LENGTH).or_insert(HeaderValue::from_static("0"));
    }
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
