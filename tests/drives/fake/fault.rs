//! The script of misbehaviour: which request, and what goes wrong with it.

use std::time::Duration;

use serde_json::Value;

use super::Drive;

/// Which requests: all that fit, from the `nth` (1 is the first) on, `times` of them.
#[derive(Clone, Debug)]
pub struct When {
    pub method: Option<String>,
    /// A part of path and query, as they came.
    pub path: String,
    pub nth: usize,
    pub times: usize,
}

impl When {
    /// The first request whose path holds this.
    pub fn path(path: &str) -> Self {
        Self { method: None, path: path.into(), nth: 1, times: 1 }
    }

    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.into());
        self
    }

    pub fn nth(mut self, nth: usize) -> Self {
        self.nth = nth;
        self
    }

    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }
}

#[derive(Clone, Debug)]
pub enum Fault {
    /// The connection ends after that many bytes of the request's body; nothing is done.
    CutRequest(u64),
    /// It is done; the connection ends after that many bytes of the answer's body.
    CutAnswer(u64),
    /// It is done; the answer ends after that many bytes of its body, as if these were all.
    ShortAnswer(u64),
    /// It is done; the connection ends without an answer.
    NoAnswer,
    /// 429, nothing is done.
    TooMany(Option<u64>),
    /// 503, nothing is done.
    Unavailable(Option<u64>),
    /// 500, nothing is done.
    ErrorBefore,
    /// 500, but it is done.
    ErrorAfter,
    /// 401, as for a token that has just ended; all access tokens end.
    Expired,
    QuotaFull,
    /// Listings show nothing that was made after this fault was set.
    Stale,
    /// 404, as a fresh session shows sometimes.
    NotFound,
    /// A create is done twice.
    Twice,
    Slow(Duration),
    /// Any other status, with an empty object.
    Status(u16),
    /// That status and that code, in the vendor's form; nothing is done.
    Code(u16, &'static str),
}

impl Fault {
    /// `{"fault": "cut-request", "value": 10}`.
    pub fn parse(value: &Value) -> Option<Self> {
        let number = value["value"].as_u64();
        Some(match value["fault"].as_str()? {
            "cut-request" => Self::CutRequest(number?),
            "cut-answer" => Self::CutAnswer(number?),
            "short-answer" => Self::ShortAnswer(number?),
            "no-answer" => Self::NoAnswer,
            "too-many" => Self::TooMany(number),
            "unavailable" => Self::Unavailable(number),
            "error-before" => Self::ErrorBefore,
            "error-after" => Self::ErrorAfter,
            "expired" => Self::Expired,
            "quota-full" => Self::QuotaFull,
            "stale" => Self::Stale,
            "not-found" => Self::NotFound,
            "twice" => Self::Twice,
            "slow" => Self::Slow(Duration::from_millis(number?)),
            "status" => Self::Status(u16::try_from(number?).ok()?),
            _ => return None,
        })
    }
}

struct Line {
    drive: Drive,
    when: When,
    fault: Fault,
    /// The tree's clock when it was set.
    clock: u64,
    matched: usize,
}

#[derive(Default)]
pub struct Script {
    lines: Vec<Line>,
}

impl Script {
    pub fn add(&mut self, drive: Drive, when: When, fault: Fault, clock: u64) {
        self.lines.push(Line { drive, when, fault, clock, matched: 0 });
    }

    pub fn clear(&mut self) {
        self.lines.clear();
    }

    pub fn left(&self) -> usize {
        self.lines.iter().filter(|line| line.matched + 1 < line.when.nth + line.when.times).count()
    }

    /// What goes wrong with this request; each fault with the clock of when it was set.
    pub fn meet(&mut self, drive: Drive, method: &str, path: &str) -> Vec<(Fault, u64)> {
        let mut met = Vec::new();
        for line in self.lines.iter_mut().filter(|line| line.drive == drive) {
            let fits = line.when.method.as_deref().is_none_or(|wanted| wanted == method);
            if !fits || !path.contains(&line.when.path) {
                continue;
            }
            line.matched += 1;
            if line.matched >= line.when.nth && line.matched < line.when.nth + line.when.times {
                met.push((line.fault.clone(), line.clock));
            }
        }
        met
    }
}
