//! HTTP requests of actions, through the guard of `reach`: resolved once, sent to what was judged, never redirected.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::arguments::Http;
use super::connect::Connect;
use super::reach;
use super::{Answer, EffectFault};
use crate::secret::Secret;
use crate::server::file::HttpRules;

/// How long a request may take when nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long one may take at most.
const LONGEST: Duration = Duration::from_mins(10);
/// Bytes of an answer when nothing else is said.
const LARGEST: u64 = 1024 * 1024;

/// Who knows the addresses of hosts. Asked once a request.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// The addresses of a host.
    ///
    /// # Errors
    /// When it has none, or nobody answers.
    async fn addresses(&self, host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>>;
}

/// The resolver of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

#[async_trait]
impl Resolve for System {
    async fn addresses(&self, host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// Sends a request; a bearer token goes with it where one is given.
///
/// # Errors
/// When it may not be sent, could not be, or the answer's status is not one that was expected. No fault names more of the
/// address than its host: the rest may be a secret.
pub async fn send(wanted: &Http, bearer: Option<&Secret>, rules: &HttpRules, resolver: &dyn Resolve) -> Answer {
    let url = address(&wanted.url)?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    let addresses = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => resolver
            .addresses(&host, port)
            .await
            .map_err(|error| EffectFault::new(format!("`{host}` has no address: {error}")))?,
    };
    let ips: Vec<IpAddr> = addresses.iter().map(SocketAddr::ip).collect();
    reach::judge(&host, &ips, rules).map_err(|refused| EffectFault::new(refused.to_string()))?;
    let timeout = wanted.timeout.unwrap_or(TIMEOUT).min(LONGEST);
    let connect = Connect::to(&host, &addresses)
        .map_err(|error| EffectFault::new(format!("no request can be made: {}", error.without_url())))?;
    let request = connect.client.request(method(wanted)?, url).timeout(timeout);
    let request = request.headers(headers(&wanted.headers, bearer)?);
    let request = match (&wanted.json, &wanted.body) {
        (Some(document), _) => request.header(CONTENT_TYPE, "application/json").body(document.to_string()),
        (None, Some(body)) => request.body(body.clone()),
        (None, None) => request,
    };
    let failed = |error: reqwest::Error| EffectFault::new(format!("`{host}` did not answer: {}", said(error)));
    let answer = request.send().await.map_err(failed)?;
    let status = answer.status();
    let body = body(answer, rules.max_size.unwrap_or(LARGEST), &host).await?;
    judged(wanted, status, &host, &body)
}

fn address(text: &str) -> Result<Url, EffectFault> {
    let url = text.parse::<Url>().map_err(|_| EffectFault::new("the address of a request is none"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(EffectFault::new(format!("requests go to http and https, not to `{}`", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(EffectFault::new("the address of a request holds a password; use `bearer`"));
    }
    Ok(url)
}

fn method(wanted: &Http) -> Result<Method, EffectFault> {
    let usual = if wanted.json.is_some() || wanted.body.is_some() { "POST" } else { "GET" };
    let word = wanted.method.as_deref().unwrap_or(usual);
    Method::from_bytes(word.as_bytes()).map_err(|_| EffectFault::new(format!("`{word}` is no method")))
}

fn headers(wanted: &BTreeMap<String, String>, bearer: Option<&Secret>) -> Result<HeaderMap, EffectFault> {
    let mut headers = HeaderMap::new();
    for (name, value) in wanted {
        let wrong = || EffectFault::new(format!("the header `{}` cannot be sent", name.escape_debug()));
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        // These decide where a request ends and who gets it.
        if matches!(key.as_str(), "host" | "content-length" | "transfer-encoding" | "connection") {
            return Err(wrong());
        }
        headers.insert(key, HeaderValue::from_str(value).map_err(|_| wrong())?);
    }
    if let Some(secret) = bearer {
        let value = [b"Bearer ", secret.expose()].concat();
        let wrong = |_| EffectFault::new(format!("the secret `{}` is no token", secret.name()));
        let mut value = HeaderValue::from_bytes(&value).map_err(wrong)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

/// The innermost cause says most; addresses are left out.
fn said(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "it took too long".to_owned();
    }
    let error = error.without_url();
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |cause| cause.source());
    causes.last().map_or_else(String::new, ToString::to_string)
}

async fn body(mut answer: reqwest::Response, most: u64, host: &str) -> Result<Vec<u8>, EffectFault> {
    let mut body = Vec::new();
    loop {
        let chunk = answer.chunk().await;
        let Some(chunk) = chunk.map_err(|error| EffectFault::new(format!("`{host}` broke off: {}", said(error))))?
        else {
            return Ok(body);
        };
        if body.len() as u64 + chunk.len() as u64 > most {
            return Err(EffectFault::new(format!("the answer of `{host}` is larger than {most} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
}

fn judged(wanted: &Http, status: reqwest::StatusCode, host: &str, body: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(body);
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let result = json!({"code": status.as_u16(), "body": text, "json": document});
    let fits = if wanted.expect.is_empty() { status.is_success() } else { wanted.expect.contains(&status.as_u16()) };
    if fits {
        return Ok(result);
    }
    let why = if status.is_redirection() { "; redirects are not followed" } else { "" };
    Err(EffectFault::with(format!("`{host}` answered {status}{why}"), result))
}
