//! The client of HTTP actions. A host has the addresses that were judged for the request, and no others: names are resolved
//! nowhere else. One client serves all requests, because each new one reads every certificate that the system trusts.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, ClientBuilder};

use crate::server::trust;
use crate::web;

/// Addresses of hosts that requests are under way to, and of how many.
#[derive(Debug, Clone, Default)]
struct Judged(Arc<Mutex<Hosts>>);

type Hosts = HashMap<String, (Vec<SocketAddr>, usize)>;

static JUDGED: LazyLock<Judged> = LazyLock::new(Judged::default);
/// Its connections are not kept: a later request is judged anew.
static SHARED: LazyLock<Option<Client>> =
    LazyLock::new(|| plain().dns_resolver(JUDGED.clone()).pool_max_idle_per_host(0).build().ok());

impl Judged {
    fn lock(&self) -> MutexGuard<'_, Hosts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resolve for Judged {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.lock().get(name.as_str()).map(|(addresses, _)| addresses.clone());
        Box::pin(async move {
            let found = found.ok_or_else(|| std::io::Error::other("its addresses were not judged"))?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// A client for one request.
pub(super) struct Connect {
    pub(super) client: Client,
    host: Option<String>,
}

impl Connect {
    /// One that reaches this host at these addresses only.
    ///
    /// # Errors
    /// When the system's certificates cannot be read.
    pub(super) fn to(host: &str, addresses: &[SocketAddr]) -> Result<Self, reqwest::Error> {
        // As the client asks for it.
        let name = host.to_ascii_lowercase();
        if let Some(client) = &*SHARED {
            let mut judged = JUDGED.lock();
            let (known, count) = judged.entry(name.clone()).or_insert_with(|| (addresses.to_vec(), 0));
            if known == addresses {
                *count += 1;
                return Ok(Self { client: client.clone(), host: Some(name) });
            }
        }
        // Another request to this host was judged by other addresses: each keeps its own.
        Ok(Self { client: plain().resolve_to_addrs(host, addresses).build()?, host: None })
    }
}

impl Drop for Connect {
    fn drop(&mut self) {
        let Some(host) = &self.host else { return };
        let mut judged = JUDGED.lock();
        if let Some((_, count)) = judged.get_mut(host) {
            *count -= 1;
            if *count == 0 {
                judged.remove(host);
            }
        }
    }
}

fn plain() -> ClientBuilder {
    let builder = || Client::builder().user_agent(concat!("soopervisor/", env!("CARGO_PKG_VERSION")));
    // A proxy would resolve the name again.
    let builder = || builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
    let Some(bundle) = trust::named() else { return builder() };
    web::trusting(builder(), bundle).unwrap_or_else(|error| {
        tracing::warn!(%error, "requests of handlers trust the system's authorities only");
        builder()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_has_the_addresses_of_requests_that_are_under_way_and_no_others() {
        let one: Vec<SocketAddr> = vec!["127.0.0.1:1".parse().unwrap()];
        let other: Vec<SocketAddr> = vec!["127.0.0.2:1".parse().unwrap()];
        let of = async |host: &str| {
            let found = JUDGED.resolve(host.parse().unwrap()).await;
            found.map(Iterator::collect::<Vec<_>>).map_err(|error| error.to_string())
        };
        let first = Connect::to("One.example", &one).unwrap();
        let second = Connect::to("one.example", &one).unwrap();
        let apart = Connect::to("one.example", &other).unwrap();
        assert!(first.host.is_some() && second.host.is_some() && apart.host.is_none());
        drop(first);
        assert_eq!(of("one.example").await, Ok(one.clone()));
        drop((second, apart));
        assert!(of("one.example").await.unwrap_err().contains("not judged"));
        let request = Connect::to("one.example", &other).unwrap().client.get("http://two.example/").send().await;
        assert!(request.unwrap_err().is_connect(), "a name is resolved nowhere else");
    }
}
