//! Where a service is: `https`, or plain `http` on this machine alone.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

use super::Fault;

/// The beginning of every address of a service, without a closing `/`.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(String);

impl Endpoint {
    /// The address of `path`, which begins with `/` and is escaped already.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// Whether an address that a server handed out may be asked: `https`, or `http` on this machine.
    pub fn is_safe(url: &Url) -> bool {
        url.scheme() == "https" && url.host().is_some() || url.scheme() == "http" && is_loopback(url)
    }

    /// Whether an address leads to this very server, whatever its path: the names of this machine are one.
    pub fn is_of(&self, url: &Url) -> bool {
        let Ok(here) = Url::parse(&self.0) else { return false };
        let same = here.host() == url.host() || is_loopback(&here) && is_loopback(url);
        same && here.scheme() == url.scheme() && here.port_or_known_default() == url.port_or_known_default()
    }

    /// Whether it is on this machine.
    pub fn is_here(&self) -> bool {
        Url::parse(&self.0).is_ok_and(|url| is_loopback(&url))
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl FromStr for Endpoint {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let url: Url = text.trim().parse().map_err(|_| Fault::Setting("a base URL is no URL".to_owned()))?;
        if !Self::is_safe(&url) {
            return Err(Fault::Setting(
                "a base URL must begin with https:// (http:// on this machine only)".to_owned(),
            ));
        }
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
            return Err(Fault::Setting("a base URL holds a host and a path, and nothing else".to_owned()));
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
