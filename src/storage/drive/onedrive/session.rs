//! Large files: fragments of one upload session, strictly one after the other, gone on with where they broke off.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use url::Url;

use super::OneDrive;
use super::item::Item;
use super::upload::Sent;
use crate::storage::backend::{Fault, Sessions, Source};
use crate::storage::drive::patience::Patience;
use crate::storage::drive::pieces::Pieces;
use crate::web::{Answer, Endpoint};

/// What the service demands multiples of.
const UNIT: u64 = 320 * 1024;
/// To begin with.
const FRAGMENT: u64 = 10 * 1024 * 1024;
/// What the service takes at once is less than 60 MiB.
const MOST: u64 = 191 * UNIT;
/// Who sends a fragment in this time sends larger ones: should one be lost, it is soon sent again.
const QUICK: Duration = Duration::from_secs(10);
/// Bytes that all files' fragments may have together beyond those to begin with.
pub(super) const GROWTH: u64 = 80 * 1024 * 1024;
/// Sessions of one file that are begun before it is given up.
const SESSIONS: u32 = 3;
/// A session that ends sooner is not gone on with.
const MARGIN: i64 = 60;
/// Looks after the first one at what may have arrived, before a whole file is sent again.
const LOOKS: u32 = 4;

/// What is remembered of a session, and what the service says when it begins one. The address is a credential.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    upload_url: String,
    expiration_date_time: Option<String>,
}

/// What the service says of one that is under way.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Under {
    #[serde(default)]
    next_expected_ranges: Option<Vec<String>>,
}

/// What came of the session that an earlier try began.
enum Recalled {
    /// It wants the file from there on.
    Half(Kept, u64),
    /// It is over, and this stands at its key.
    There(Item),
    Nothing,
}

enum Pushed {
    Done(Item),
    /// There is no such session, or no longer.
    Gone,
}

impl OneDrive {
    pub(super) async fn through_session(
        &self,
        key: &str,
        source: &mut Source,
        sessions: &dyn Sessions,
    ) -> Result<Sent, Fault> {
        let mut half = match self.recalled(key, source.size(), sessions).await? {
            Recalled::Half(kept, at) => Some((kept, at)),
            Recalled::There(item) => return Ok(Sent::Taken(Some(item))),
            Recalled::Nothing => None,
        };
        let mut pieces = Pieces::new(source, sessions, FRAGMENT);
        for _ in 0..SESSIONS {
            let (kept, at) = match half.take() {
                Some(half) => half,
                None => match self.begin(key).await {
                    Ok(kept) => {
                        sessions.remember(key, &serde_json::to_string(&kept).unwrap_or_default());
                        (kept, 0)
                    }
                    Err(Fault::Exists) => {
                        return Ok(self.ours_or_taken(key, &mut pieces).await?.unwrap_or(Sent::Taken(None)));
                    }
                    Err(fault) => return Err(fault),
                },
            };
            pieces.arrived(at);
            match self.push(&kept.upload_url, at, &mut pieces).await {
                Ok(Pushed::Done(item)) => {
                    sessions.forget(key);
                    return Ok(Sent::Made(item));
                }
                Err(Fault::Exists) => {
                    sessions.forget(key);
                    self.abandon(&kept.upload_url).await;
                    return Ok(self.ours_or_taken(key, &mut pieces).await?.unwrap_or(Sent::Taken(None)));
                }
                Ok(Pushed::Gone) => {
                    sessions.forget(key);
                    // It may be over because the last fragment arrived, and only its answer did not.
                    if let Some(sent) = self.ours_or_taken(key, &mut pieces).await? {
                        return Ok(sent);
                    }
                    pieces.arrived(0);
                }
                Err(fault) => {
                    // After what is no refusal it stays remembered: the next try goes on.
                    if matches!(fault, Fault::Refused { .. } | Fault::Form(_)) {
                        sessions.forget(key);
                    }
                    return Err(fault);
                }
            }
        }
        Err(Fault::Broken("upload sessions end before the file is sent".to_owned()))
    }

    /// What stands at the key: ours if all was sent and it is that.
    async fn ours_or_taken(&self, key: &str, pieces: &mut Pieces<'_>) -> Result<Option<Sent>, Fault> {
        let Some(item) = self.sought(key).await? else { return Ok(None) };
        let ours = pieces.is_read() && item.holds(pieces.size(), pieces.source().checksum().as_ref());
        if !ours {
            return Ok(Some(Sent::Taken(Some(item))));
        }
        pieces.arrived(pieces.size());
        Ok(Some(Sent::Made(item)))
    }

    /// The item of a key that is likely to have one. A file is made a moment after its last byte has arrived, and is not seen
    /// everywhere at once: to look a few times more takes moments, and to send a large file again minutes.
    async fn sought(&self, key: &str) -> Result<Option<Item>, Fault> {
        let mut patience = Patience::of(LOOKS);
        loop {
            match self.item(key).await? {
                None if patience.again().await => {}
                found => return Ok(found),
            }
        }
    }

    async fn begin(&self, key: &str) -> Result<Kept, Fault> {
        let url = self.address.of(key, "createUploadSession");
        let body = json!({"item": {"@microsoft.graph.conflictBehavior": "fail"}});
        let mut late = self.late_parent(key);
        let kept: Kept = loop {
            match self.web.send(|client| client.post(&url).json(&body)).await {
                Err(Fault::NotFound) if late.again().await => {}
                begun => break begun?.json()?,
            }
        };
        if !is_safe(&kept.upload_url) {
            return Err(Fault::Form("an upload session without a safe address".to_owned()));
        }
        Ok(kept)
    }

    /// What came of the session that an earlier try began.
    async fn recalled(&self, key: &str, size: u64, sessions: &dyn Sessions) -> Result<Recalled, Fault> {
        let Some(text) = sessions.recall(key) else { return Ok(Recalled::Nothing) };
        let kept: Option<Kept> = serde_json::from_str(&text).ok();
        let mut there = None;
        if let Some(kept) = kept.filter(|kept| is_safe(&kept.upload_url) && !is_over(kept)) {
            match self.ask(&kept.upload_url, size).await {
                Ok(at) => return Ok(Recalled::Half(kept, at)),
                Err(fault) if fault.is_passing() => return Err(fault),
                Err(fault) => {
                    tracing::debug!(%fault, "an upload session is not gone on with");
                    // It may be over because the last fragment arrived, and who sent that was killed before it was told.
                    there = self.sought(key).await?;
                }
            }
        }
        sessions.forget(key);
        Ok(there.map_or(Recalled::Nothing, Recalled::There))
    }

    /// From where the service wants the file.
    async fn ask(&self, url: &str, size: u64) -> Result<u64, Fault> {
        let answer = self.bare.send(|client| client.get(url)).await?;
        next(&answer, size)
    }

    /// A session that nobody will go on with.
    async fn abandon(&self, url: &str) {
        let abandoned = self.bare.send_once(|client| client.delete(url)).await;
        tracing::debug!(done = abandoned.is_ok(), "an upload session is abandoned");
    }

    async fn push(&self, url: &str, mut at: u64, pieces: &mut Pieces<'_>) -> Result<Pushed, Fault> {
        let size = pieces.size();
        pieces.cut_at(FRAGMENT);
        let mut grown = None;
        let (mut patience, mut unknown) = (Patience::new(), Patience::of(if at == 0 { 3 } else { 0 }));
        loop {
            let bytes = pieces.at(at).await?;
            if bytes.is_empty() {
                return Ok(Pushed::Gone);
            }
            let range = format!("bytes {at}-{}/{size}", at + bytes.len() as u64 - 1);
            let begun = Instant::now();
            let put = self.bare.send_once(|client| client.put(url).header("content-range", &range).body(bytes.clone()));
            let fault = match put.await {
                Ok(answer) if answer.status != 202 => {
                    // An answer that does not tell of the item is as good as one that was lost.
                    let Ok(item) = answer.json() else { return Ok(Pushed::Gone) };
                    pieces.arrived(size);
                    return Ok(Pushed::Done(item));
                }
                Ok(answer) => {
                    let wanted = next(&answer, size)?;
                    if wanted > at {
                        self.grow(pieces, &mut grown, begun.elapsed());
                        (patience, unknown) = (Patience::new(), Patience::of(0));
                    } else if !patience.again().await {
                        return Err(Fault::Broken("the service takes no more of the file".to_owned()));
                    }
                    pieces.arrived(wanted);
                    at = wanted;
                    continue;
                }
                // A fresh session is not known everywhere at once.
                Err(Fault::NotFound) if unknown.again().await => continue,
                // No token was sent: it is the address that is good no longer.
                Err(Fault::NotFound | Fault::Login(_)) => return Ok(Pushed::Gone),
                Err(fault) => fault,
            };
            grown = None;
            pieces.cut_at(FRAGMENT);
            let may_have_arrived = matches!(fault, Fault::Broken(_) | Fault::Refused { status: 416, .. });
            if !may_have_arrived || !patience.again().await {
                return Err(fault);
            }
            match self.ask(url, size).await {
                Ok(wanted) => at = wanted,
                Err(Fault::NotFound) if unknown.again().await => continue,
                Err(Fault::NotFound | Fault::Login(_)) => return Ok(Pushed::Gone),
                Err(fault) => return Err(fault),
            }
            pieces.arrived(at);
        }
    }
}

impl OneDrive {
    /// Larger fragments after one that was quick, as long as there is room for them.
    fn grow(&self, pieces: &mut Pieces<'_>, grown: &mut Option<OwnedSemaphorePermit>, took: Duration) {
        let more = (pieces.most() * 2).min(MOST);
        if took > QUICK || more == pieces.most() {
            return;
        }
        drop(grown.take());
        *grown = self.growth.room_now(more);
        pieces.cut_at(if grown.is_some() { more } else { FRAGMENT });
    }
}

/// From where a session wants the file: the lowest of its ranges; its end where it wants nothing.
fn next(answer: &Answer, size: u64) -> Result<u64, Fault> {
    let under: Under = answer.json()?;
    lowest(&under.next_expected_ranges.unwrap_or_default(), size)
}

fn lowest(ranges: &[String], size: u64) -> Result<u64, Fault> {
    let mut least = size;
    for range in ranges {
        let start = range.split('-').next().and_then(|start| start.trim().parse().ok());
        let start: u64 = start.ok_or_else(|| Fault::Form("an upload session wants a range that is none".to_owned()))?;
        least = least.min(start);
    }
    Ok(least)
}

fn is_safe(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| Endpoint::is_safe(&url))
}

fn is_over(kept: &Kept) -> bool {
    let end: Option<jiff::Timestamp> = kept.expiration_date_time.as_deref().and_then(|text| text.parse().ok());
    end.is_some_and(|end| end.as_second() < jiff::Timestamp::now().as_second() + MARGIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_wanted_range_counts() {
        let of = |ranges: &[&str]| lowest(&ranges.iter().map(|&range| range.to_owned()).collect::<Vec<_>>(), 100);
        assert_eq!(of(&["26-"]).unwrap(), 26);
        assert_eq!(of(&["50-60", "0-25", "80-"]).unwrap(), 0);
        assert_eq!(of(&[]).unwrap(), 100);
        assert!(of(&["all"]).is_err());
    }

    #[test]
    fn fragments_are_of_the_size_that_the_service_demands() {
        assert!(FRAGMENT.is_multiple_of(UNIT) && MOST.is_multiple_of(UNIT) && (FRAGMENT * 4).is_multiple_of(UNIT));
        const { assert!(MOST < 60 * 1024 * 1024 && MOST + UNIT >= 60 * 1024 * 1024) };
    }

    #[test]
    fn a_session_that_is_over_is_not_gone_on_with() {
        let kept = |end: Option<&str>| Kept { upload_url: String::new(), expiration_date_time: end.map(str::to_owned) };
        assert!(is_over(&kept(Some("2020-01-01T00:00:00Z"))));
        assert!(!is_over(&kept(Some("2999-01-01T00:00:00.000Z"))));
        assert!(!is_over(&kept(None)));
        assert!(!is_safe("http://example.com/up") && is_safe("https://api.onedrive.com/up"));
    }
}
