//! An environment of which a part is built from source: wheels come from the shared cache, as copies, into a prefix that
//! nothing foreign ever ran beside; then the prefix moves to a bench of its own, where the rest is built.
//!
//! Working out versions may run foreign code as well. That is done on the bench of its own, in a prefix that is thrown
//! away, and of what comes out only plain lines with versions and hashes reach the shared bench.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::super::bench::Bench;
use super::super::error::chain;
use super::super::pip::{self, Part};
use super::super::{EnvironmentError, bytecode, trash};
use super::{Build, Built, Progress};
use crate::spec::pip::normalise;

/// The lines of a lock, by where they are installed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rows {
    /// Nothing but a name, a version and hashes, of what has a wheel.
    wheels: Vec<String>,
    rest: Vec<String>,
}

impl Rows {
    /// `source` holds what is known to have no wheel.
    fn split(lock: &str, source: &BTreeSet<String>) -> Self {
        let mut rows = Self::default();
        for line in lock.replace("\\\n", " ").lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match plain(line).filter(|name| !source.contains(name)) {
                Some(_) => rows.wheels.push(line.split_whitespace().collect::<Vec<_>>().join(" ")),
                None => rows.rest.push(line.to_owned()),
            }
        }
        rows
    }
}

/// The name in a line that is `NAME==VERSION --hash=sha256:…` and nothing else.
fn plain(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let (name, version) = words.next()?.split_once("==")?;
    let only = |text: &str, more: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    let hashes = words.all(|word| word.strip_prefix("--hash=").is_some_and(|hash| only(hash, ":")));
    (only(name, "-_.") && only(version, "-_.+!") && hashes).then(|| normalise(name))
}

/// What uv found a source archive for in a cache of its own and no wheel: `sdists-v9/pypi/NAME`, `…/index/DIGEST/NAME`.
/// Under another layout nothing is found, and everything is built apart.
pub(super) fn from_source(cache: &Path) -> BTreeSet<String> {
    let folders = |path: PathBuf| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
    };
    let name = |path: &PathBuf| path.file_name().map(|name| normalise(&name.to_string_lossy()));
    let buckets = folders(cache.to_owned()).into_iter();
    let buckets = buckets.filter(|path| name(path).is_some_and(|name| name.starts_with("sdists-v")));
    let packages = buckets.flat_map(|bucket| {
        let indexes = folders(bucket.join("index"));
        indexes.into_iter().chain([bucket.join("pypi")]).flat_map(folders).collect::<Vec<_>>()
    });
    packages.filter_map(|path| name(&path)).collect()
}

impl Build<'_> {
    /// Builds so; `None` where that is not possible and everything has to be built apart.
    pub(super) async fn apart(&self, progress: Progress<'_>) -> Result<Option<Built>, EnvironmentError> {
        let (shared, own) =
            (Bench::new(&self.store.root, self.id, true)?, Bench::new(&self.store.root, self.id, false)?);
        let done = self.in_two(&shared, &own, progress).await;
        shared.discard();
        match done {
            Ok(Some((activation, lock, ploomber))) => {
                Ok(Some(Built { bench: own, activation, lock, ploomber, volume_bytes: None }))
            }
            other => {
                own.discard();
                other.map(|_| None)
            }
        }
    }

    async fn in_two(
        &self,
        shared: &Bench,
        own: &Bench,
        progress: Progress<'_>,
    ) -> Result<Option<super::Described>, EnvironmentError> {
        let config = self.request.config;
        let (text, source) = if let (Some(lines), Some(lock)) = (&self.lines, self.lock) {
            (lines.join("\n") + "\n", lock.built().clone())
        } else {
            self.link_all(own, false, progress).await?;
            let text = pip::install(&self.builder(), own, &self.what(Part::Resolve), config, progress).await?;
            (text, from_source(&own.root.join("uv")))
        };
        let rows = Rows::split(&text, &source);
        if rows.wheels.is_empty() {
            return Ok(None);
        }
        self.link_all(shared, false, progress).await?;
        let what = pip::What { locked: Some(&rows.wheels), ..self.what(Part::Copies) };
        match pip::install(&self.builder(), shared, &what, config, progress).await {
            Err(error @ EnvironmentError::Pip { .. }) => {
                tracing::debug!(error = %chain(&error), "wheels alone are not enough");
                return Ok(None);
            }
            done => done.map(drop)?,
        }
        trash::discard(&own.prefix)
            .and_then(|()| std::fs::rename(&shared.prefix, &own.prefix))
            .map_err(|error| EnvironmentError::io(&own.prefix, "moving a prefix to a bench of its own", error))?;
        if !rows.rest.is_empty() {
            let what = pip::What { locked: Some(&rows.rest), ..self.what(Part::All) };
            pip::install(&self.builder(), own, &what, config, progress).await?;
        }
        let described = self.describe(own, &text)?;
        bytecode::link_known(&self.store.root, own, self.id)?;
        Ok(Some(described))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_lines_of_what_has_a_wheel_reach_the_shared_cache() {
        let lock = "click==8.1.7 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\nDoc_Opt==0.6.2 --hash=sha256:cc\n# end\n\
                    p @ git+https://h/p@0123\nsix==1 ; python_version < '4'\n--index-url https://elsewhere\n\
                    tiny==1 --find-links=/opt/sv\nevil==1 -e .\n";
        let rows = Rows::split(lock, &BTreeSet::from(["doc-opt".to_owned()]));
        assert_eq!(rows.wheels, ["click==8.1.7 --hash=sha256:aa --hash=sha256:bb"]);
        assert_eq!(rows.rest.len(), 6, "{rows:?}");
    }

    #[test]
    fn source_archives_are_found_in_the_cache_of_a_build() {
        let cache = tempfile::tempdir().unwrap();
        assert!(from_source(cache.path()).is_empty());
        for folder in ["sdists-v9/pypi/docopt/0.6.2", "sdists-v9/index/0a1b/My_Own/1", "wheels-v5/pypi/click"] {
            std::fs::create_dir_all(cache.path().join(folder)).unwrap();
        }
        std::fs::write(cache.path().join("sdists-v9/pypi/.lock"), "").unwrap();
        let found = from_source(cache.path());
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["docopt", "my-own"]);
    }
}
