//! What every forge's API has in common: one account's token, reading and writing each at a pace of their own, lists in
//! pages. Knows no forge.
//!
//! Every request goes through the `web` room, with its proxies, certificates and patience. The token goes to the API's own
//! host and nowhere else: what a server says of further pages is read as a number, or as a path below our own base.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use reqwest::RequestBuilder;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::secret::Secret;
use crate::web::{Answer, Bearer, Endpoint, Fault, Judge, Pace, Pacer, Reach, Web, client};

/// What is asked for one account, well below the 900 points a minute of GitHub, and the 2,000 requests of GitLab.
const READING: Pace = Pace { start: 10.0, least: 0.5, most: 15.0, burst: 30.0 };
/// GitHub asks for a second between changes, and counts what people are told of (80 a minute); comments are counted in minutes
/// on GitLab too.
const WRITING: Pace = Pace { start: 1.0, least: 0.1, most: 1.0, burst: 5.0 };
/// Statuses and checks tell nobody by themselves. GitHub counts such a change as 5 of 900 points a minute, so that 180 of them
/// are the limit: after a pause these are 170 in the first minute, and 150 in each that follows.
const TELLING: Pace = Pace { start: 2.5, least: 0.1, most: 2.5, burst: 20.0 };
/// A forge counts by the hour, and nobody looks on: who waits is a handler, or a job.
const TURNS: Duration = Duration::from_hours(2);
/// More pages than this are somebody's mistake.
const PAGES: usize = 300;
/// So many pages in a row without an entry are the end of a list whose pages may be empty in its middle.
const NOTHING: usize = 3;

/// Requests without an account, at the pace of one.
pub(super) fn plain(judge: Arc<dyn Judge>, reach: &Reach) -> Result<Web, Fault> {
    Ok(Web::new(client(reach)?, None, Arc::new(Pacer::new(READING)), judge).waiting_for_turns(TURNS))
}

/// What goes on every request.
type Dress = fn(RequestBuilder) -> RequestBuilder;

/// A forge's API, for one account.
#[derive(Clone)]
pub(super) struct Rest {
    pub(super) api: Endpoint,
    pub(super) reading: Web,
    pub(super) writing: Web,
    /// For statuses and checks: they wait for no comment, and no comment for them.
    telling: Web,
    dress: Dress,
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.api, f)
    }
}

impl Rest {
    /// The API at `api`. Asks nothing yet. `bearer` gets requests without an account, for logins that need some.
    pub(super) fn open(
        api: &str,
        judge: Arc<dyn Judge>,
        dress: Dress,
        reach: &Reach,
        bearer: impl FnOnce(&Endpoint, &Web) -> Arc<dyn Bearer>,
    ) -> Result<Self, Fault> {
        let api: Endpoint = api.parse()?;
        let plain = plain(judge, reach)?;
        let reading = plain.with_bearer(bearer(&api, &plain));
        let writing = reading.at_pace(Arc::new(Pacer::new(WRITING)));
        let telling = reading.at_pace(Arc::new(Pacer::new(TELLING)));
        Ok(Self { api, reading, writing, telling, dress })
    }

    /// The same at the paces of everybody who goes by this name: who is counted together. It holds no credentials.
    pub(super) fn sharing(self, name: &str) -> Self {
        let pacer = |what: &str, pace| Pacer::shared(&format!("{name} {what}"), pace);
        let reading = self.reading.at_pace(pacer("reading", READING));
        let writing = self.writing.at_pace(pacer("writing", WRITING));
        let telling = self.telling.at_pace(pacer("telling", TELLING));
        Self { reading, writing, telling, ..self }
    }

    pub(super) fn at(&self, path: &str) -> String {
        self.api.at(path)
    }

    pub(super) async fn get(&self, path: &str) -> Result<Answer, Fault> {
        let url = self.at(path);
        here(self.reading.send(|client| (self.dress)(client.get(&url))).await?)
    }

    /// When the service answered, by its own clock.
    pub(super) async fn time(&self, path: &str) -> Result<Timestamp, Fault> {
        time_of(&self.get(path).await?)
    }

    /// The answer, unless it is still the one that had this tag.
    pub(super) async fn get_unless(&self, path: &str, tag: Option<&str>) -> Result<Option<Answer>, Fault> {
        let url = self.at(path);
        let make = |client: &reqwest::Client| {
            let request = (self.dress)(client.get(&url));
            // A tag that is no header's value is not ours.
            match tag.filter(|tag| tag.is_ascii()) {
                Some(tag) => request.header("if-none-match", tag),
                None => request,
            }
        };
        let answer = self.reading.send(make).await?;
        if answer.status == 304 { Ok(None) } else { here(answer).map(Some) }
    }

    pub(super) async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fault> {
        self.get(path).await?.json()
    }

    /// All pages of a list: `take` finds the list in a page.
    ///
    /// The next page's address is the server's word; it is asked as a path below our own base, so that the token goes
    /// with it on every host, and never to another one.
    pub(super) async fn pages<T>(
        &self,
        path: &str,
        take: impl Fn(&Answer) -> Result<Vec<T>, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let mut all = Vec::new();
        let mut next = Some(path.to_owned());
        for _ in 0..PAGES {
            let Some(path) = next else { return Ok(all) };
            let answer = self.get(&path).await?;
            all.extend(take(&answer)?);
            next = match answer.header("link").and_then(next_of) {
                Some(address) => Some(self.below(&address)?),
                None => None,
            };
        }
        Err(too_long())
    }

    /// The pages of a list from one on that was asked for, until `take` says that no more are wanted.
    pub(super) async fn pages_while<T>(
        &self,
        mut answer: Answer,
        mut take: impl FnMut(&Answer) -> Result<(Vec<T>, bool), Fault>,
    ) -> Result<Vec<T>, Fault> {
        let mut all = Vec::new();
        for _ in 0..PAGES {
            let (entries, more) = take(&answer)?;
            all.extend(entries);
            let Some(next) = answer.header("link").and_then(next_of).filter(|_| more) else { return Ok(all) };
            answer = self.get(&self.below(&next)?).await?;
        }
        Err(too_long())
    }

    /// All pages of a list of a server that is often reached by another name than it thinks: pages are counted here, and
    /// nothing that it says is followed. Servers that do not say how many entries there are end with an empty page.
    pub(super) async fn counted_pages<W: DeserializeOwned>(&self, path: &str) -> Result<Vec<W>, Fault> {
        let mut all: Vec<W> = Vec::new();
        for page in 1..=PAGES {
            let (answer, entries) = self.numbered(path, page).await?;
            let ended = entries.is_empty();
            all.extend(entries);
            let total = ["x-total-count", "x-total"].iter().find_map(|name| answer.header(name)?.parse::<usize>().ok());
            let last = answer.header("x-next-page").is_some_and(str::is_empty);
            if ended || last || total.is_some_and(|total| all.len() >= total) {
                return Ok(all);
            }
        }
        Err(too_long())
    }

    /// All pages of a list of which the server takes entries away after it has cut it into pages, and counts what is left
    /// of each: a short page is not the last one, and neither is an empty one.
    pub(super) async fn thinned_pages<W: DeserializeOwned>(&self, path: &str) -> Result<Vec<W>, Fault> {
        let (mut all, mut empty) = (Vec::new(), 0);
        for page in 1..=PAGES {
            let (_, entries) = self.numbered::<W>(path, page).await?;
            empty = if entries.is_empty() { empty + 1 } else { 0 };
            if empty == NOTHING {
                return Ok(all);
            }
            all.extend(entries);
        }
        Err(too_long())
    }

    /// One page of a list; some servers write `null` for an empty one.
    async fn numbered<W: DeserializeOwned>(&self, path: &str, page: usize) -> Result<(Answer, Vec<W>), Fault> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let answer = self.get(&format!("{path}{joint}page={page}")).await?;
        let entries: Option<Vec<W>> = answer.json()?;
        Ok((answer, entries.unwrap_or_default()))
    }

    /// An address of the server as a path below our base.
    pub(super) fn below(&self, address: &str) -> Result<String, Fault> {
        let elsewhere = || Fault::Form("the next page of a list is on another host".to_owned());
        let base: Url = self.at("/").parse().map_err(|_| elsewhere())?;
        let url = base.join(address).map_err(|_| elsewhere())?;
        let path = url.path().strip_prefix(base.path().trim_end_matches('/')).filter(|path| path.starts_with('/'));
        match path {
            Some(path) if url.origin() == base.origin() => {
                Ok(url.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}")))
            }
            _ => Err(elsewhere()),
        }
    }

    /// Changes something; `once` where a second time would be a second thing.
    pub(super) async fn change(&self, method: Method, path: &str, body: &Value, once: bool) -> Result<Answer, Fault> {
        self.changed(&self.writing, method, path, body, once).await
    }

    /// The same for a status or a check, which has a pace of its own.
    pub(super) async fn tell(&self, method: Method, path: &str, body: &Value, once: bool) -> Result<Answer, Fault> {
        self.changed(&self.telling, method, path, body, once).await
    }

    async fn changed(&self, web: &Web, method: Method, path: &str, body: &Value, once: bool) -> Result<Answer, Fault> {
        let url = self.at(path);
        let make = |client: &reqwest::Client| (self.dress)(client.request(method.clone(), &url)).json(body);
        here(if once { web.send_once(make).await? } else { web.send(make).await? })
    }

    /// Makes something, once, without the account's token: what the body holds says that we may.
    pub(super) async fn make_by_body(&self, path: &str, body: &Value) -> Result<Answer, Fault> {
        let url = self.at(path);
        let make = |client: &reqwest::Client| (self.dress)(client.post(&url)).json(body);
        here(self.writing.without_token().send_once(make).await?)
    }

    /// Removes something; what is not there is removed.
    pub(super) async fn remove(&self, path: &str) -> Result<(), Fault> {
        let url = self.at(path);
        match self.writing.send(|client| (self.dress)(client.delete(&url))).await {
            Err(Fault::NotFound) => Ok(()),
            answer => here(answer?).map(drop),
        }
    }
}

/// An answer that is one. A repository that was renamed or given away answers with a redirect, of changes too: nothing was
/// done then, and to follow it would be to act on a repository that nobody named.
fn here(answer: Answer) -> Result<Answer, Fault> {
    if (300..400).contains(&answer.status) {
        let to = answer.header("location").map(|to| format!(", to {}", cut(to, 200))).unwrap_or_default();
        return Err(Fault::Setting(format!("the repository has moved{to}: write its new address")));
    }
    Ok(answer)
}

fn too_long() -> Fault {
    Fault::Form(format!("a list has more than {PAGES} pages"))
}

fn time_of(answer: &Answer) -> Result<Timestamp, Fault> {
    let date = answer.header("date").and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    date.map(|date| date.timestamp()).ok_or_else(|| Fault::Form("an answer without a time".to_owned()))
}

/// The entries of a list in our words.
pub(super) fn words<W: DeserializeOwned, T: From<W>>(answer: &Answer) -> Result<Vec<T>, Fault> {
    Ok(answer.json::<Vec<W>>()?.into_iter().map(T::from).collect())
}

/// One part of a path, escaped.
pub(super) fn part(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// A path or a branch, escaped between its slashes.
pub(super) fn parts(text: &str) -> String {
    text.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// At most so many characters, the last of them `…` where some are missing.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// The address of `rel="next"`.
pub(super) fn next_of(link: &str) -> Option<String> {
    link.split(',').find_map(|entry| {
        let (address, rest) = entry.trim().strip_prefix('<')?.split_once('>')?;
        let next = rest.split(';').any(|word| matches!(word.trim(), "rel=\"next\"" | "rel=next"));
        next.then(|| address.to_owned())
    })
}

/// A token that does not change, and whose service it is for.
#[derive(Debug)]
pub(super) struct Fixed(pub(super) Secret, pub(super) &'static str);

#[async_trait::async_trait]
impl Bearer for Fixed {
    async fn token(&self) -> Result<Secret, Fault> {
        Ok(self.0.clone())
    }

    async fn renew(&self, _: &Secret) -> Result<Secret, Fault> {
        let name = self.1;
        Err(Fault::Login(format!("{name} does not take the token: it expired, or was revoked; give another one")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_its_services_time() {
        let answer = |name: &str, value: &str| {
            let headers = [(name.parse().unwrap(), value.parse().unwrap())].into_iter().collect();
            Answer { status: 200, headers, body: "{}".into() }
        };
        let at = time_of(&answer("date", "Sun, 29 Nov 2026 10:34:41 GMT"));
        assert_eq!(at, Ok("2026-11-29T10:34:41Z".parse().unwrap()));
        for (name, value) in [("date", "yesterday"), ("etag", "x")] {
            assert!(matches!(time_of(&answer(name, value)), Err(Fault::Form(_))), "{value}");
        }
    }

    #[test]
    fn a_repository_that_has_moved_is_a_fault_and_no_success() {
        let answer = |status| {
            let headers = [("location", "https://api.github.com/repositories/1")];
            let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            Answer { status, headers: headers.into_iter().collect(), body: "{}".into() }
        };
        for moved in [301, 302, 307, 308] {
            let fault = here(answer(moved)).unwrap_err();
            assert!(
                matches!(&fault, Fault::Setting(words) if words.contains("has moved, to https://api")),
                "{fault:?}"
            );
        }
        assert!(here(answer(201)).is_ok());
    }
}
