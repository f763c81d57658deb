//! Packages that are known already: a lock document read again, its packages fetched, and nothing solved.
//!
//! A document may come from a manifest in somebody's storage, so all of it is checked before any of it is used: every
//! package has a digest, comes from a channel that the project or this machine names, and is what its name says.

use std::collections::BTreeSet;
use std::path::Path;

use futures::{StreamExt, TryStreamExt};
use rattler_conda_types::package::{DistArchiveIdentifier, IndexJson, PackageFile};
use rattler_conda_types::{Matches as _, PackageRecord, RepoDataRecord, Subdir};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::drift::{Change, differences};
use super::error::chain;
use super::inputs::LAYOUT;
use super::network::without_credentials;
use super::solve::Conda;
use super::{Config, EnvironmentError, Inputs, sources};
use crate::id::Digest;
use crate::spec::pip::{name_of, normalise};

/// Packages fetched at once.
const LANES: usize = 16;

/// The exact packages of an environment.
#[derive(Debug, Clone, PartialEq)]
pub struct Lock {
    document: Value,
    conda: Vec<Row>,
    /// Lines for uv, with hashes.
    pip: Vec<String>,
    /// Distributions that were built from source.
    built: BTreeSet<String>,
}

/// One conda package.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    /// Name, version, build and digest; the rest stands in the package itself.
    record: PackageRecord,
    identifier: DistArchiveIdentifier,
    url: Url,
}

#[derive(Deserialize)]
struct Document {
    schema: u32,
    conda: Vec<CondaRow>,
    #[serde(default)]
    pip: Vec<PipRow>,
}

#[derive(Deserialize)]
struct CondaRow {
    name: String,
    version: String,
    build: String,
    url: String,
    sha256: Option<String>,
}

#[derive(Deserialize)]
struct PipRow {
    name: String,
    version: String,
    #[serde(default)]
    hashes: Vec<String>,
    url: Option<String>,
    commit: Option<String>,
    #[serde(default)]
    source: bool,
}

impl Lock {
    /// Reads a lock document, which may be hostile.
    ///
    /// # Errors
    /// [`EnvironmentError::Lock`] when it is none, or holds what no build would have written.
    pub fn parse(document: &Value) -> Result<Self, EnvironmentError> {
        let read: Document = serde_json::from_value(document.clone())
            .map_err(|error| unusable(format!("it is not a lock of an environment: {error}")))?;
        if read.schema != 1 {
            return Err(unusable(format!("it has schema {}, and this soopervisor reads schema 1", read.schema)));
        }
        let conda = read.conda.iter().map(conda_row).collect::<Result<Vec<_>, _>>().map_err(unusable)?;
        let pip = read.pip.iter().map(pip_line).collect::<Result<Vec<_>, _>>().map_err(unusable)?;
        let built = read.pip.iter().filter(|row| row.source).map(|row| normalise(&row.name)).collect();
        Ok(Self { document: document.clone(), conda, pip, built })
    }

    /// The document.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Names of the distributions that were built from source.
    pub(super) fn built(&self) -> &BTreeSet<String> {
        &self.built
    }

    /// How many conda packages it names.
    pub(super) fn packages(&self) -> usize {
        self.conda.len()
    }

    /// The lines for uv, with the credentials that the project's own lines hold for the same addresses.
    pub(super) fn lines(&self, inputs: &Inputs) -> Vec<String> {
        let known: Vec<(String, String)> = inputs.pip.iter().filter_map(|line| address(line)).collect();
        self.pip.iter().map(|line| with_credentials(line, &known)).collect()
    }

    /// Every package that is another in an environment with this lock document.
    pub fn differences(&self, document: &Value) -> Vec<Change> {
        differences(&self.document, document)
    }

    /// Whether an environment with this lock document has the same packages.
    pub(super) fn is_of(&self, document: &Value) -> bool {
        differences(&self.document, document).is_empty()
    }

    /// The key of an environment with exactly these packages.
    pub(super) fn key(&self, inputs: &Inputs, config: &Config) -> Digest {
        let conda: Vec<Value> =
            self.conda.iter().map(|row| json!([row.url.as_str(), row.record.sha256.map(hex::encode)])).collect();
        let material = json!({
            "layout": LAYOUT, "platform": config.platform, "exactly": conda, "pip": self.pip,
            "variables": inputs.variables,
        });
        Digest(Sha256::digest(material.to_string()).into())
    }

    /// Whether every conda package is reviewed by somebody else than the author of the repository.
    pub(super) fn is_curated(&self, config: &Config) -> bool {
        let curated = sources::curated(config);
        self.conda.iter().all(|row| curated.iter().any(|channel| is_below(&row.url, channel)))
    }

    /// Refuses packages of channels that neither the project nor this machine names: a document alone must not decide
    /// what is asked for.
    pub(super) fn check(&self, inputs: &Inputs, config: &Config) -> Result<(), EnvironmentError> {
        let mut known = sources::curated(config);
        known.extend(inputs.sources.iter().map(|source| source.canonical.clone()));
        let named = |url: &Url| inputs.specs.iter().any(|spec| spec.url.as_ref() == Some(url));
        match self.conda.iter().find(|row| !known.iter().any(|channel| is_below(&row.url, channel)) && !named(&row.url))
        {
            None => Ok(()),
            Some(row) => Err(unusable(format!(
                "`{}` comes from {}, a channel that environment.yml does not name: add it to `channels:`",
                row.record.name.as_normalized(),
                without_credentials(row.url.as_str())
            ))),
        }
    }

    /// [`Lock::check`], and refuses one that is not what environment.yml may come to: whoever can write to a storage must
    /// not choose packages for a run that did not ask for them by `--frozen-as`.
    pub(super) fn suits(&self, inputs: &Inputs, config: &Config) -> Result<(), EnvironmentError> {
        self.check(inputs, config)?;
        let has = |spec: &&rattler_conda_types::MatchSpec| self.conda.iter().any(|row| spec.matches(&row.record));
        if let Some(spec) = inputs.specs.iter().find(|spec| !has(spec)) {
            let spec = without_credentials(&spec.to_string());
            return Err(unusable(format!("none of its packages is what `{spec}` asks for")));
        }
        let conda = self.conda.iter().map(|row| row.record.name.as_normalized().to_owned());
        let names: Vec<String> = self.pip.iter().filter_map(|line| name_of(line)).chain(conda).collect();
        // A bare address does not say what is in it, and a marker may mean nothing here.
        let plain = inputs.pip.iter().filter(|line| !line.contains(['/', ';']));
        match plain.filter_map(|line| name_of(line)).find(|name| !names.contains(name)) {
            Some(name) => Err(unusable(format!("it has no distribution `{name}`"))),
            None => Ok(()),
        }
    }
}

impl Conda {
    /// The records of a lock's packages, each of which is in the cache afterwards; those that were there already cost
    /// no network.
    pub(super) async fn fetch(&self, lock: &Lock, root: &Path) -> Result<Vec<RepoDataRecord>, EnvironmentError> {
        let fetched = futures::stream::iter(&lock.conda).map(|row| self.record(row, root)).buffered(LANES);
        fetched.try_collect().await
    }

    async fn record(&self, row: &Row, root: &Path) -> Result<RepoDataRecord, EnvironmentError> {
        let url = row.url.clone();
        let fetched = match url.to_file_path() {
            Ok(path) if url.scheme() == "file" => {
                self.packages.get_or_fetch_from_path(&path, Some(&row.record), None).await
            }
            _ => self.packages.get_or_fetch_from_url(&row.record, url, self.client.clone(), None, None).await,
        };
        let name = row.identifier.to_string();
        let cached =
            fetched.map_err(|error| match EnvironmentError::library(&error, root, "fetching conda packages") {
                full @ EnvironmentError::NoSpace { .. } => full,
                _ => unusable(format!("{name} cannot be had any more: {}", without_credentials(&chain(&error)))),
            })?;
        let index = IndexJson::from_package_directory(cached.path())
            .map_err(|error| unusable(format!("{name} says nothing about itself: {error}")))?;
        let mut record = PackageRecord::from_index_json(index, None, row.record.sha256, None)
            .map_err(|error| unusable(format!("{name} is for no known system: {error}")))?;
        let same =
            record.name == row.record.name && record.version == row.record.version && record.build == row.record.build;
        if !same {
            return Err(unusable(format!("{name} is another package inside than its name says")));
        }
        let parts: Vec<&str> = row.url.path_segments().into_iter().flatten().collect();
        // Where it lies in the channel is what its conda record would say.
        if let Some(subdir) = parts.iter().rev().nth(1).filter(|part| part.parse::<Subdir>().is_ok()) {
            (*subdir).clone_into(&mut record.subdir);
        }
        let channel = row.url.join("../").ok().map(|url| url.as_str().to_owned());
        Ok(RepoDataRecord { package_record: record, identifier: row.identifier.clone(), url: row.url.clone(), channel })
    }
}

pub(super) fn unusable(reason: impl Into<String>) -> EnvironmentError {
    EnvironmentError::Lock { reason: reason.into() }
}

fn is_below(url: &Url, channel: &str) -> bool {
    url.as_str().strip_prefix(channel).is_some_and(|rest| rest.starts_with('/'))
}

fn conda_row(row: &CondaRow) -> Result<Row, String> {
    let url = Url::parse(&row.url).map_err(|_| format!("the package `{}` has no address", row.name))?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if !plain || !matches!(url.scheme(), "https" | "http" | "file") || row.url.contains("..") {
        return Err(format!("the address of the package `{}` is not one of a channel", row.name));
    }
    let identifier = DistArchiveIdentifier::try_from_url(&url)
        .ok_or_else(|| format!("the address of the package `{}` names no package", row.name))?;
    let inside = &identifier.identifier;
    if (&inside.name, &inside.version, &inside.build_string) != (&row.name, &row.version, &row.build) {
        return Err(format!("the address of the package `{}` names another one", row.name));
    }
    let Some(sha256) = &row.sha256 else { return Err(format!("the package `{}` has no sha256", row.name)) };
    // The crate reads all parts of a record from JSON; what stands in the package itself is filled in later.
    let record = json!({
        "name": row.name, "version": row.version, "build": row.build, "sha256": sha256,
        "build_number": 0, "depends": [], "subdir": "noarch",
    });
    let record = serde_json::from_value(record).map_err(|error| format!("the package `{}`: {error}", row.name))?;
    Ok(Row { record, identifier, url })
}

/// One requirement as uv reads it. Nothing in it may be taken for an option or a second line.
fn pip_line(row: &PipRow) -> Result<String, String> {
    let strange = |what: &str| format!("the distribution `{}` has a strange {what}", row.name.escape_debug());
    let plain = |text: &str, more: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    if !plain(&row.name, "-_.") {
        return Err(strange("name"));
    }
    if !plain(&row.version, "-_.+!") {
        return Err(strange("version"));
    }
    let mut line = match &row.url {
        None => format!("{}=={}", row.name, row.version),
        Some(url) => {
            let url = pinned(url, row.commit.as_deref()).ok_or_else(|| strange("address"))?;
            format!("{} @ {url}", row.name)
        }
    };
    for hash in &row.hashes {
        if !plain(hash, ":") {
            return Err(strange("hash"));
        }
        line.push_str(" --hash=");
        line.push_str(hash);
    }
    Ok(line)
}

/// An address that always means the same: a file, or a repository at a commit.
fn pinned(address: &str, commit: Option<&str>) -> Option<String> {
    let sane = !address.contains(|c: char| c.is_whitespace() || c.is_control() || "\\'\"`;${}".contains(c));
    let (scheme, _) = address.split_once("://").filter(|_| sane)?;
    match scheme {
        "https" | "http" => Some(address.to_owned()),
        "git+https" | "git+http" | "git+ssh" | "git+git" => {
            let (body, fragment) = address.split_once('#').map_or((address, None), |(body, rest)| (body, Some(rest)));
            let start = body.find("://")? + 3;
            let path = start + body[start..].find('/')?;
            let (repository, asked) = match body[path..].rsplit_once('@') {
                Some((_, asked)) => (&body[..body.len() - asked.len() - 1], Some(asked)),
                None => (body, None),
            };
            let is_commit = |word: &&str| word.len() == 40 && word.bytes().all(|b| b.is_ascii_hexdigit());
            let commit = commit.filter(is_commit).or(asked.filter(is_commit))?;
            let fragment = fragment.map(|rest| format!("#{rest}")).unwrap_or_default();
            Some(format!("{repository}@{commit}{fragment}"))
        }
        _ => None,
    }
}

/// The address in a line that holds credentials, up to where a revision or a fragment begins: without and with them.
fn address(line: &str) -> Option<(String, String)> {
    let word = line.split([' ', ';', '#', '?']).find(|word| word.contains("://"))?;
    let start = word.find("://")? + 3;
    let host = start + word[start..].split('/').next()?.rfind('@')? + 1;
    let end = word[host..].find('@').map_or(word.len(), |at| host + at);
    let whole = &word[..end];
    Some((without_credentials(whole), whole.to_owned())).filter(|(clean, whole)| clean != whole)
}

fn with_credentials(line: &str, known: &[(String, String)]) -> String {
    for (clean, whole) in known {
        let at = line.find(" @ ").and_then(|at| line[at + 3..].strip_prefix(clean.as_str()).map(|rest| (at + 3, rest)));
        if let Some((at, rest)) = at
            && (rest.is_empty() || rest.starts_with(['@', '#', '?', ' ']))
        {
            return format!("{}{whole}{rest}", &line[..at]);
        }
    }
    line.to_owned()
}

#[cfg(test)]
mod tests;
