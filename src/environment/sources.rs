//! Channels: from what people write to canonical URLs, and from those to where the bytes really come from.

use std::path::{Path, PathBuf};

use rattler_conda_types::{Channel, ChannelConfig, ChannelUrl, MatchSpec};
use url::Url;

use super::error::Problem;
use super::network::{passwords, without_credentials};
use super::{Config, strangers};

/// One channel of an environment.
#[derive(Clone)]
pub(super) struct Source {
    /// Without credentials, without a slash at the end; what keys and locks hold.
    pub(super) canonical: String,
    /// Without credentials too: this is what records, caches and prefixes get to see.
    pub(super) channel: Channel,
    /// The address with the credentials it was written with, where it has any.
    pub(super) written: Option<Url>,
}

impl Source {
    /// Password or token in the URL as written.
    pub(super) fn secrets(&self) -> Vec<String> {
        self.written.as_ref().map(secrets_of).unwrap_or_default()
    }

    /// Whether its packages are reviewed by somebody else than the author of the repository.
    pub(super) fn is_curated(&self, config: &Config) -> bool {
        curated(config).contains(&self.canonical)
    }
}

/// Channels whose packages somebody reviews who is not the author of the repository.
pub(super) fn curated(config: &Config) -> Vec<String> {
    let set = config.default_channels.iter().chain(&config.no_channels);
    let named = set.map(String::as_str).chain(["conda-forge", "bioconda"]);
    named.filter_map(|name| absolute(name, config)).map(|url| canonical(&url)).collect()
}

/// Resolves the channel list; channels that only a `channel::package` names are added at the end.
pub(super) fn resolve(
    written: Option<&[String]>,
    specs: &mut [MatchSpec],
    config: &Config,
    variable: &dyn Fn(&str) -> Option<String>,
    (notes, problems): (&mut Vec<String>, &mut Vec<Problem>),
) -> Vec<Source> {
    // As written, for people, and as meant: what a variable held is never shown.
    let mut names: Vec<(String, String)> = Vec::new();
    let standing = || config.default_channels.iter().map(|name| (without_credentials(name), name.clone()));
    let defaults = standing().map(|(shown, _)| shown).collect::<Vec<_>>().join(", ");
    for name in written.unwrap_or_default() {
        match expand(name.trim(), variable) {
            Err(unset) => problems.push(Problem {
                entry: without_credentials(name),
                message: format!("the variable `{unset}` is not given to soopervisor"),
                help: Some(format!("write the channel's URL out, or hand the variable over: `--secret {unset}`")),
            }),
            Ok(meant) => match meant.as_str() {
                "nodefaults" | "" => {}
                "defaults" => {
                    notes.push(format!("channel `defaults` was read as {defaults}"));
                    names.extend(standing());
                }
                _ if !strangers::may_name(&meant, config) => problems.push(strangers::refused(name)),
                _ => names.push((without_credentials(name), meant)),
            },
        }
    }
    if names.is_empty() {
        names = unnamed(config, standing().collect());
        let taken = names.iter().map(|(shown, _)| shown.as_str()).collect::<Vec<_>>().join(", ");
        notes.push(format!("environment.yml names no channel to use: {taken} was taken"));
    }
    let mut sources: Vec<Source> = Vec::new();
    for (written, name) in names {
        match absolute(&name, config) {
            Some(url) => push(&mut sources, &url),
            None => problems.push(Problem {
                entry: written,
                message: "is not a channel".to_owned(),
                help: Some("write a name such as `conda-forge`, or an https:// or file:/// URL".to_owned()),
            }),
        }
    }
    for spec in specs {
        of_spec(spec, &mut sources, config, problems);
    }
    sources
}

/// The channels of a file that names none, for people and as meant: what conda is set to, else what `defaults` means.
fn unnamed(config: &Config, standing: Vec<(String, String)>) -> Vec<(String, String)> {
    let set = config.no_channels.iter().filter(|name| *name != "nodefaults");
    let names: Vec<(String, String)> = set
        .flat_map(|name| match name.as_str() {
            "defaults" => standing.clone(),
            name => vec![(without_credentials(name), name.to_owned())],
        })
        .collect();
    if names.is_empty() { standing } else { names }
}

/// Resolves the channel that a `channel::package` names.
fn of_spec(spec: &mut MatchSpec, sources: &mut Vec<Source>, config: &Config, problems: &mut Vec<Problem>) {
    let Some(channel) = spec.channel.take() else { return };
    if !strangers::may_name(channel.base_url.as_str(), config) {
        problems.push(strangers::refused(channel.base_url.as_str()));
        return;
    }
    // The parser resolves names against its own alias; ours may be another.
    let name = channel.name.clone().unwrap_or_else(|| channel.base_url.as_str().to_owned());
    let known = sources.iter().find(|s| s.canonical == canonical(channel.base_url.url()));
    let url = known.map(|s| s.channel.base_url.url().clone().into()).or_else(|| match name.as_str() {
        "defaults" => config.default_channels.first().and_then(|first| absolute(first, config)),
        name => absolute(name, config),
    });
    match url {
        Some(url) => {
            push(sources, &url);
            spec.channel = Some(channel_of(clean(&url)).into());
        }
        None => problems.push(Problem {
            entry: without_credentials(&format!(
                "{name}::{}",
                spec.name.as_exact().map_or("", |name| name.as_normalized())
            )),
            message: "names a channel that does not exist anywhere".to_owned(),
            help: Some("write a name such as `conda-forge::package`, or an https:// URL".to_owned()),
        }),
    }
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
    let own = mirrors(config).into_iter().filter(|(url, _)| *url == clean(&itself));
    let places: Vec<Place> = own.filter_map(|(_, mirror)| place(&mirror)).collect();
    if places.is_empty() { vec![Place::Address(itself)] } else { places }
}

/// Addresses that were written with credentials: the clean one, with a slash, and the whole one.
pub(super) fn written(sources: &[Source]) -> Vec<(String, Url)> {
    sources.iter().filter_map(|s| Some((s.channel.base_url.as_str().to_owned(), s.written.clone()?))).collect()
}

/// Credentials in the addresses that this machine is set to.
pub(super) fn secrets(config: &Config) -> Vec<String> {
    let addresses = config.mirrors.values().flatten().chain(&config.default_channels).chain(&config.no_channels);
    let addresses = addresses.chain(config.custom_channels.values()).chain([&config.channel_alias]);
    addresses.filter_map(|address| Url::parse(address).ok()).flat_map(|url| secrets_of(&url)).collect()
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
            pairs.extend(mirrors.iter().map(|mirror| (clean(&url), mirror.clone())));
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

fn push(sources: &mut Vec<Source>, url: &Url) {
    let canonical = canonical(url);
    if !sources.iter().any(|source| source.canonical == canonical) {
        let channel = clean(url);
        let written = (channel != *url).then(|| url.clone());
        sources.push(Source { canonical, channel: channel_of(channel), written });
    }
}

/// Passwords and tokens of a channel's address.
pub(super) fn secrets_of(url: &Url) -> Vec<String> {
    let mut words = passwords(url.as_str());
    words.extend(token_at(url).and_then(|at| url.path_segments()?.nth(at + 1).map(str::to_owned)));
    words
}

/// conda's token stands behind a path part `t`; the number of that part.
fn token_at(url: &Url) -> Option<usize> {
    let parts: Vec<&str> = url.path_segments()?.collect();
    let token = |pair: &[&str]| pair[0] == "t" && !pair[1].is_empty();
    // What follows the token is the channel: where nothing follows, `t` is a name like any other.
    parts.windows(2).position(token).filter(|at| parts[at + 2..].iter().any(|part| !part.is_empty()))
}

/// The address without user, password and token.
fn clean(url: &Url) -> Url {
    let mut plain = url.clone();
    if !matches!(url.scheme(), "file") {
        let _ = plain.set_username("");
        let _ = plain.set_password(None);
    }
    if let Some(at) = token_at(url) {
        let parts = url.path_segments().into_iter().flatten().enumerate();
        let kept: Vec<&str> =
            parts.filter(|(place, _)| *place != at && *place != at + 1).map(|(_, part)| part).collect();
        plain.set_path(&kept.join("/"));
    }
    plain
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
    let custom = config.custom_channels.iter().filter(|(known, _)| {
        name.strip_prefix(known.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    if let Some((_, base)) = custom.max_by_key(|(known, _)| known.len()) {
        return Url::parse(&format!("{}/{name}", base.trim_end_matches('/'))).ok().map(with_slash);
    }
    let channel_config = ChannelConfig {
        channel_alias: with_slash(Url::parse(&config.channel_alias).ok()?),
        root_dir: PathBuf::from("/"),
    };
    Channel::from_str(name, &channel_config).ok().map(|channel| with_slash(channel.base_url.into()))
}

fn canonical(url: &Url) -> String {
    clean(url).as_str().trim_end_matches('/').to_owned()
}

fn with_slash(mut url: Url) -> Url {
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    url
}

/// `${NAME}` and `$NAME` as conda expands them in channel URLs.
///
/// # Errors
/// With the name that nobody gave a value.
pub fn expand(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
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
