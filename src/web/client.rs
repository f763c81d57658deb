//! How this machine reaches the network: proxies, the CA bundle, time limits.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::Fault;

/// What a machine is set to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Certificates to trust in place of the system's.
    pub ca_bundle: Option<PathBuf>,
    /// `HTTPS_PROXY`, `NO_PROXY` and their like, in both spellings.
    pub proxies: BTreeMap<String, String>,
}

/// How long an answer may be silent.
pub(super) const STILL: Duration = Duration::from_mins(2);

/// A client for everything that this machine talks to.
///
/// # Errors
/// When the CA bundle cannot be read or a proxy's address is none.
pub fn client(reach: &Reach) -> Result<reqwest::Client, Fault> {
    built(reach, reqwest::Client::builder().read_timeout(STILL))
}

/// A client for files, which take as long as the line needs: the limit of [`client`] counts from the first byte that is
/// sent, so that whatever takes longer to send would never be answered. Who uses it bounds by itself how long it waits
/// ([`super::Web`] does, and [`super::chunk`]); that the line is dead the system notices.
///
/// # Errors
/// As [`client`].
pub fn client_for_files(reach: &Reach) -> Result<reqwest::Client, Fault> {
    let builder = reqwest::Client::builder();
    // A server may be busy with what it got before it takes more.
    #[cfg(target_os = "linux")]
    let builder = builder.tcp_user_timeout(STILL);
    built(reach, builder)
}

fn built(reach: &Reach, builder: reqwest::ClientBuilder) -> Result<reqwest::Client, Fault> {
    let mut builder = builder
        .user_agent(concat!("soopervisor/", env!("CARGO_PKG_VERSION")))
        .referer(false)
        // Drives answer some uploads with 308, which is no redirect there; downloads that are redirected must not take
        // the token along, so every redirect is followed by hand.
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(20))
        .no_proxy();
    if let Some(bundle) = &reach.ca_bundle {
        let wrong = |error: &dyn std::fmt::Display| Fault::Setting(format!("`{}`: {error}", bundle.display()));
        let pem = std::fs::read(bundle).map_err(|error| wrong(&error))?;
        let roots = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| wrong(&error))?;
        builder = builder.tls_certs_only(roots);
    }
    for (scheme, names) in [("http", ["HTTP_PROXY", "http_proxy"]), ("https", ["HTTPS_PROXY", "https_proxy"])] {
        let set = |names: [&str; 2]| names.iter().find_map(|name| reach.proxies.get(*name).filter(|v| !v.is_empty()));
        let Some(address) = set(names).or_else(|| set(["ALL_PROXY", "all_proxy"])) else { continue };
        let proxy = if scheme == "http" { reqwest::Proxy::http(address) } else { reqwest::Proxy::https(address) };
        let except = set(["NO_PROXY", "no_proxy"]).and_then(|list| reqwest::NoProxy::from_string(list.as_str()));
        // The address may hold a password, which reqwest's words would repeat.
        let proxy = proxy.map_err(|_| Fault::Setting(format!("the {scheme} proxy's address is none")))?;
        builder = builder.proxy(proxy.no_proxy(except));
    }
    builder.build().map_err(Fault::network)
}
