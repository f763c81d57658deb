//! The HTTP client for channels and indexes: proxies, the CA bundle, credentials, mirrors.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use rattler_networking::mirror_middleware::Mirror;
use rattler_networking::{AuthenticationMiddleware, LazyClient, MirrorMiddleware};
use reqwest_middleware::ClientBuilder;
use url::Url;

use super::credentials::{self, AsWritten};
use super::mirror::{FolderMirror, NextMirror};
use super::{Config, sources};
use crate::web;

/// A plain client: what index pages and the uv wheel are fetched with.
pub(super) fn plain(config: &Config) -> Result<reqwest::Client, String> {
    builder(config)?.build().map_err(|error| super::error::chain(&error))
}

fn builder(config: &Config) -> Result<reqwest::ClientBuilder, String> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("soopervisor/", env!("CARGO_PKG_VERSION")))
        // It would repeat the address, and with it a channel's token, to wherever a server redirects.
        .referer(false)
        .connect_timeout(Duration::from_secs(20))
        .read_timeout(Duration::from_mins(1));
    if let Some(bundle) = &config.ca_bundle {
        builder = web::trusting(builder, bundle).map_err(|fault| fault.to_string())?;
    }
    for (scheme, names) in [("http", ["HTTP_PROXY", "http_proxy"]), ("https", ["HTTPS_PROXY", "https_proxy"])] {
        let Some(address) = names.iter().find_map(|name| config.host_env.get(*name)) else { continue };
        let proxy = if scheme == "http" { reqwest::Proxy::http(address) } else { reqwest::Proxy::https(address) };
        let except = ["NO_PROXY", "no_proxy"].iter().find_map(|name| config.host_env.get(*name));
        let except = except.and_then(|list| reqwest::NoProxy::from_string(list));
        builder = builder.proxy(proxy.map_err(|error| format!("{scheme} proxy: {error}"))?.no_proxy(except));
    }
    Ok(builder)
}

/// The client for channels, some of which are asked with the credentials that `written` holds.
pub(super) fn channels(config: &Config, written: Vec<(String, Url)>) -> Result<LazyClient, String> {
    let client = builder(config)?.tls_danger_accept_invalid_certs(!config.verify_channels).build();
    let client = client.map_err(|error| super::error::chain(&error))?;
    let mut remote: HashMap<Url, Vec<Mirror>> = HashMap::new();
    for (channel, url) in sources::remote_mirrors(config) {
        let mirror = Mirror { url, no_zstd: false, no_bz2: false, max_failures: None };
        remote.entry(channel).or_default().push(mirror);
    }
    let folders: Vec<(Url, PathBuf)> = sources::local_mirrors(config);
    let mut builder = ClientBuilder::new(client);
    if !folders.is_empty() {
        builder = builder.with(FolderMirror::new(folders));
    }
    if !remote.is_empty() {
        let several = remote.iter().map(|(channel, mirrors)| (channel.clone(), mirrors.len()));
        builder = builder.with(NextMirror::new(several.collect()));
        builder = builder.with(MirrorMiddleware::from_map(remote));
    }
    // Behind the mirrors, so that what is added belongs to the server that is really asked.
    let builder = builder
        .with(AsWritten::new(written))
        .with(AuthenticationMiddleware::from_auth_storage(credentials::storage(config)));
    Ok(LazyClient::from(builder.build()))
}
