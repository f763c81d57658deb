//! Channels: from what people write to canonical URLs, and from those to where the bytes really come from.

use std::path::{Path, PathBuf};

use rattler_conda_types::{Channel, ChannelConfig, ChannelUrl, MatchSpec};
use url::Url;

use super::Config;
use super::error::Problem;
use super::network::{passwords, without_credentials};

/// One channel of an environment.
#[derive(Clone)]
pub(super) struct Source {
    /// Without credentials, without a slash at the end; what keys and locks hold.
    pub(super) canonical: String,
    /// With whatever credentials it was written with.
    pub(super) channel: Channel,
}

impl Source {
    /// Password or token in the URL as written.
    pub(super) fn secrets(&self) -> Vec<String> {
        let url = self.channel.base_url.as_str();
        let mut words = passwords(url);
        if let Some((_, rest)) = url.split_once("/t/") {
            words.extend(rest.split('/').next().filter(|token| !token.is_empty()).map(str::to_owned));
        }
        words
    }

    /// Whether its packages are reviewed by somebody else than the author of the repository.
    pub(super) fn is_curated(&self, config: &Config) -> bool {
        let named = config.default_channels.iter().map(String::as_str).chain(["conda-forge", "bioconda"]);
        named.filter_map(|name| absolute(name, config)).any(|url| canonical(&url) == self.canonical)
    }
}

/// Resolves the channel list; channels that only a `channel::package` names are added at the end.
pub(super) fn resolve(
    written: Option<&[String]>,
    specs: &mut [MatchSpec],
    config: &Config,
    variable: &dyn Fn(&str) -> Option<String>,
    (notes, problems): (&mut Vec<String>, &mut Vec<Problem>),
) -> Vec<Source> {
    let mut names: Vec<String> = Vec::new();
    let defaults = config.default_channels.join(", ");
    for name in written.unwrap_or_default() {
        match expand(name.trim(), variable) {
            Err(unset) => problems.push(Problem {
                entry: name.clone(),
                message: format!("the variable `{unset}` is not given to soopervisor"),
                help: Some(format!("write the channel's URL out, or hand the variable over: `--secret {unset}`")),
            }),
            Ok(name) => match name.as_str() {
                "nodefaults" | "" => {}
                "defaults" => {
                    notes.push(format!("channel `defaults` was read as {defaults}"));
                    names.extend(config.default_channels.iter().cloned());
                }
                _ => names.push(name),
            },
        }
    }
    if names.is_empty() {
        notes.push(format!("environment.yml names no channel to use: {defaults} was taken"));
        names.clone_from(&config.default_channels);
    }
    let mut sources: Vec<Source> = Vec::new();
    for name in names {
        match absolute(&name, config) {
            Some(url) => push(&mut sources, url),
            None => problems.push(Problem {
                entry: without_credentials(&name),
                message: "is not a channel".to_owned(),
                help: Some("write a name such as `conda-forge`, or an https:// or file:/// URL".to_owned()),
            }),
        }
    }
    for spec in specs {
        let Some(channel) = spec.channel.take() else { continue };
        // The parser resolves names against its own alias; ours may be another.
        let name = channel.name.clone().unwrap_or_else(|| channel.base_url.as_str().to_owned());
        let known = sources.iter().find(|s| s.canonical == canonical(channel.base_url.url())).cloned();
        let url = known.map(|s| s.channel.base_url.url().clone().into()).or_else(|| match name.as_str() {
            "defaults" => config.default_channels.first().and_then(|first| absolute(first, config)),
            name => absolute(name, config),
        });
        if let Some(url) = url {
            push(&mut sources, url.clone());
            spec.channel = Some(channel_of(url).into());
        }
    }
    sources
}

/// Where a channel's packages come from on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder here.
    Folder(PathBuf),
    /// An address, asked over the network; it may hold a password.
    Address(Url),
}

/// Where the packages of `channel` come from: its mirrors, or itself where it has none. Empty when it names nothing.
pub fn places(channel: &str, config: &Config) -> Vec<Place> {
    let Some(itself) = absolute(channel, config) else { return Vec::new() };
    let place = |mirror: &String| match mirror_folder(mirror) {
        Some(folder) => Some(Place::Folder(folder)),
        None => Url::parse(mirror).ok().map(with_slash).map(Place::Address),
    };
    let own = mirrors(config).into_iter().filter(|(url, _)| *url == itself);
    let places: Vec<Place> = own.filter_map(|(_, mirror)| place(&mirror)).collect();
    if places.is_empty() { vec![Place::Address(itself)] } else { places }
}

/// The folder that stands for this channel, when a mirror names one.
pub(super) fn local_mirrors(config: &Config) -> Vec<(Url, PathBuf)> {
    mirrors(config).into_iter().filter_map(|(url, mirror)| Some((url, mirror_folder(&mirror)?))).collect()
}

/// Mirrors that are asked over the network.
pub(super) fn remote_mirrors(config: &Config) -> Vec<(Url, Url)> {
    mirrors(config)
        .into_iter()
        .filter(|(_, mirror)| mirror_folder(mirror).is_none())
        .filter_map(|(url, mirror)| Some((url, with_slash(Url::parse(&mirror).ok()?))))
        .collect()
}

fn mirrors(config: &Config) -> Vec<(Url, String)> {
    let mut pairs = Vec::new();
    for (channel, mirrors) in &config.mirrors {
        if let Some(url) = absolute(channel, config) {
            pairs.extend(mirrors.iter().map(|mirror| (url.clone(), mirror.clone())));
        }
    }
    pairs
}

fn mirror_folder(mirror: &str) -> Option<PathBuf> {
    if mirror.starts_with("file:") {
        return Url::parse(mirror).ok()?.to_file_path().ok();
    }
    Path::new(mirror).is_absolute().then(|| PathBuf::from(mirror))
}

fn push(sources: &mut Vec<Source>, url: Url) {
    let canonical = canonical(&url);
    if !sources.iter().any(|source| source.canonical == canonical) {
        sources.push(Source { canonical, channel: channel_of(url) });
    }
}

fn channel_of(url: Url) -> Channel {
    Channel::from_url(ChannelUrl::from(url))
}

/// The URL of a channel name, an address or an absolute path; relative paths mean nothing for a commit.
fn absolute(name: &str, config: &Config) -> Option<Url> {
    if Path::new(name).is_absolute() {
        return Url::from_directory_path(name).ok();
    }
    if name.contains("://") || name.starts_with("file:") {
        return Url::parse(name).ok().filter(|url| url.has_host() || url.scheme() == "file").map(with_slash);
    }
    if name.starts_with('.') || name.starts_with('~') || name.contains(['\\', ' ']) {
        return None;
    }
    let channel_config = ChannelConfig {
        channel_alias: with_slash(Url::parse(&config.channel_alias).ok()?),
        root_dir: PathBuf::from("/"),
    };
    Channel::from_str(name, &channel_config).ok().map(|channel| with_slash(channel.base_url.into()))
}

fn canonical(url: &Url) -> String {
    without_credentials(url.as_str()).trim_end_matches('/').to_owned()
}

fn with_slash(mut url: Url) -> Url {
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    url
}

/// `${NAME}` and `$NAME` as conda expands them in channel URLs.
fn expand(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let braced = rest.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (name, after) = braced.unwrap_or_else(|| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            rest.split_at(end)
        });
        if name.is_empty() {
            out.push('$');
        } else {
            out.push_str(&variable(name).ok_or_else(|| name.to_owned())?);
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}
