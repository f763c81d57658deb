//! Opens a connection to the first engine that answers and agrees on a protocol version with it.
//!
//! Tells "nothing listens" from "you may not"; never sends anything but a ping and a version request.

use std::error::Error as _;
use std::io;
use std::path::Path;
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, ClientVersion};

use super::address::Address;
use super::greeting::{self, Greeting};
use super::wire;
use crate::engine::EngineError;

/// bollard's own limit runs until response headers and includes uploads, so it must never be what ends a call.
pub(super) const NEVER: u64 = 7 * 24 * 3600;

/// An answer that takes longer is none. Podman starts programs for its own while others wait; a first ssh handshake may be
/// slow.
const ANSWER: Duration = Duration::from_secs(15);
const ANSWER_SSH: Duration = Duration::from_secs(30);

/// Why one place did not do.
enum Miss {
    Forbidden,
    Other(String),
}

/// A client that has been answered.
pub(super) struct Connected {
    pub(super) client: bollard::Docker,
    pub(super) address: String,
    /// `docker 20.10.24`, `podman 4.3`.
    pub(super) name: String,
}

/// The first of `addresses` that answers.
pub(super) async fn first_answering(addresses: Vec<Address>) -> Result<Connected, EngineError> {
    let mut misses = Vec::new();
    for address in addresses {
        match knock(&address).await {
            Ok(connected) => return Ok(connected),
            Err(miss) => misses.push((address, miss)),
        }
    }
    Err(verdict(misses))
}

/// An engine that is there and shut explains more than the places where there is none.
fn verdict(misses: Vec<(Address, Miss)>) -> EngineError {
    let mut tried = Vec::new();
    for (address, miss) in misses {
        match miss {
            Miss::Forbidden => return EngineError::Forbidden { address: address.url },
            Miss::Other(reason) if address.source.is_empty() => tried.push(format!("{}: {reason}", address.url)),
            Miss::Other(reason) => tried.push(format!("{} (from {}): {reason}", address.url, address.source)),
        }
    }
    EngineError::Unavailable { tried: tried.join("; ") }
}

async fn knock(address: &Address) -> Result<Connected, Miss> {
    let limit = if address.url.starts_with("ssh://") { ANSWER_SSH } else { ANSWER };
    let late = |_| Miss::Other(format!("no answer in {} s", limit.as_secs()));
    let mut greeting = None;
    if let Some(path) = address.socket() {
        // The kernel's own words: bollard reports a socket that it may not see as one that is not there.
        let socket = tokio::net::UnixStream::connect(path).await.map_err(|error| shut(&error))?;
        greeting = tokio::time::timeout(limit, greeting::greet(socket)).await.map_err(late)?;
    }
    let client = open(address, API_DEFAULT_VERSION)?;
    let Greeting { name, protocol: spoken } = match greeting {
        Some(greeting) => greeting,
        None => tokio::time::timeout(limit, version(&client)).await.map_err(late)??,
    };
    let spoken = protocol(&spoken).ok_or_else(|| Miss::Other("it does not tell which protocol it speaks".into()))?;
    let client = if spoken < *API_DEFAULT_VERSION { open(address, &spoken)? } else { client };
    Ok(Connected { client, address: address.url.clone(), name })
}

/// What an engine tells that did not say it when it was greeted. bollard's own way to agree on a version throws the answer
/// away; Docker starts programs for each, so ask once.
async fn version(client: &bollard::Docker) -> Result<Greeting, Miss> {
    let version = client.version().await.map_err(|error| miss(&error))?;
    let podman = version.components.iter().flatten().any(|part| part.name.contains("Podman"));
    let name = format!("{} {}", if podman { "podman" } else { "docker" }, version.version.unwrap_or_default());
    Ok(Greeting { name: name.trim_end().to_owned(), protocol: version.api_version.unwrap_or_default() })
}

/// `1.41`.
fn protocol(text: &str) -> Option<ClientVersion> {
    let (major, minor) = text.split_once('.')?;
    Some(ClientVersion { major_version: major.parse().ok()?, minor_version: minor.parse().ok()? })
}

fn shut(error: &io::Error) -> Miss {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Miss::Forbidden,
        io::ErrorKind::NotFound => Miss::Other("no such socket".into()),
        io::ErrorKind::ConnectionRefused => Miss::Other("nothing listens on the socket".into()),
        _ => Miss::Other(error.to_string()),
    }
}

fn miss(error: &bollard::errors::Error) -> Miss {
    let denied = |e: &io::Error| e.kind() == io::ErrorKind::PermissionDenied;
    // This variant is transparent: it is no source of itself.
    if matches!(error, bollard::errors::Error::IOError { err } if denied(err)) {
        return Miss::Forbidden;
    }
    let mut source = error.source();
    let mut words = error.to_string();
    while let Some(inner) = source {
        if inner.downcast_ref::<io::Error>().is_some_and(denied) {
            return Miss::Forbidden;
        }
        words = inner.to_string();
        source = inner.source();
    }
    Miss::Other(words)
}

fn open(address: &Address, version: &ClientVersion) -> Result<bollard::Docker, Miss> {
    let url = address.url.as_str();
    let opened = match url.split_once("://").map_or("", |(scheme, _)| scheme) {
        "unix" => wire::unix(address.socket().unwrap_or_else(|| Path::new("")), version),
        #[cfg(feature = "remote-engine")]
        "tcp" | "https" if address.tls.is_some() => {
            let Some(tls) = &address.tls else { return Err(Miss::Other("no TLS files".into())) };
            for file in [&tls.ca, &tls.cert, &tls.key] {
                if let Err(error) = fs_err::File::open(file) {
                    return Err(Miss::Other(error.to_string()));
                }
            }
            bollard::Docker::connect_with_ssl(url, &tls.key, &tls.cert, &tls.ca, NEVER, version)
        }
        #[cfg(not(feature = "remote-engine"))]
        "tcp" | "https" if address.tls.is_some() => {
            return Err(Miss::Other("this build of soopervisor leaves TLS out (feature `remote-engine`)".into()));
        }
        "tcp" | "http" => bollard::Docker::connect_with_http(url, NEVER, version),
        "ssh" => match wire::Host::parse(url) {
            Some(host) => wire::ssh(host, version),
            None => return Err(Miss::Other("an ssh address has the form ssh://[USER@]HOST[:PORT]".into())),
        },
        _ => return Err(Miss::Other("not an address of the form unix://, tcp:// or ssh://".into())),
    };
    opened.map_err(|error| miss(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> Address {
        Address { url: url.into(), tls: None, source: String::new() }
    }

    #[test]
    fn an_engine_that_is_shut_is_not_one_that_is_absent() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let absent = io::Error::from(io::ErrorKind::NotFound);
        let misses = vec![(at("unix:///a"), shut(&absent)), (at("unix:///b"), shut(&denied))];
        let error = verdict(misses);
        assert!(matches!(&error, EngineError::Forbidden { address } if address == "unix:///b"), "{error:?}");
        let deep = bollard::errors::Error::IOError { err: io::Error::from(io::ErrorKind::PermissionDenied) };
        assert!(matches!(miss(&deep), Miss::Forbidden));
    }

    #[test]
    fn every_place_that_was_tried_is_listed_with_its_reason() {
        let absent = io::Error::from(io::ErrorKind::NotFound);
        let idle = io::Error::from(io::ErrorKind::ConnectionRefused);
        let error = verdict(vec![(at("unix:///a"), shut(&absent)), (at("unix:///b"), shut(&idle))]).to_string();
        assert!(error.contains("unix:///a: no such socket; unix:///b: nothing listens"), "{error}");
    }
}
