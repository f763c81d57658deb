//! The conda part: what the channels hold, and the set of packages that fulfils the specs.
//!
//! Nothing is linked here.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::time::Duration;

use rattler::package_cache::PackageCache;
use rattler_conda_types::{Channel, MatchSpec, PackageName, ParseMatchSpecOptions, RepoDataRecord, Subdir, Version};
use rattler_networking::LazyClient;
use rattler_repodata_gateway::fetch::CacheAction;
use rattler_repodata_gateway::{ChannelConfig, Gateway, SourceConfig};
use rattler_solve::{ChannelPriority, SolveError, SolverImpl, SolverTask, resolvo};

use super::blamed::Blamed;
use super::error::{ANY_FILE, chain};
use super::inputs::name_of;
use super::network::without_credentials;
use super::sources::local_mirrors;
use super::{Config, EnvironmentError, Inputs};

/// Packages that only Windows or macOS have: `conda env export` writes them, Linux cannot solve them.
const ELSEWHERE: &[(&str, &str)] = &[
    ("pywin32", "Windows"),
    ("pywinpty", "Windows"),
    ("pypiwin32", "Windows"),
    ("vc", "Windows"),
    ("vc14_runtime", "Windows"),
    ("vs2015_runtime", "Windows"),
    ("ucrt", "Windows"),
    ("wincertstore", "Windows"),
    ("win_inet_pton", "Windows"),
    ("menuinst", "Windows"),
    ("winpty", "Windows"),
    ("m2w64-gcc-libs", "Windows"),
    ("msys2-conda-epoch", "Windows"),
    ("icc_rt", "Windows"),
    ("appnope", "macOS"),
    ("python.app", "macOS"),
    ("libcxx", "macOS"),
    ("llvm-openmp", "macOS"),
];

/// How long an explanation may take to be looked up.
const ANSWER: Duration = Duration::from_secs(20);

/// The tools of one build's conda part.
pub(super) struct Conda {
    gateway: Gateway,
    pub(super) client: LazyClient,
    pub(super) packages: PackageCache,
    pub(super) platform: Subdir,
}

impl Conda {
    /// `anew`: what channels said before does not count, however long they said that it would.
    pub(super) fn new(inputs: &Inputs, config: &Config, anew: bool) -> Result<Self, EnvironmentError> {
        let cache_action = if anew { CacheAction::NoCache } else { CacheAction::default() };
        let asked = SourceConfig { cache_action, ..SourceConfig::default() };
        let written = super::sources::written(&inputs.sources);
        let client = super::client::channels(config, written).map_err(|reason| EnvironmentError::Install { reason })?;
        let packages = PackageCache::new(config.root.join("pkgs"));
        let gateway = Gateway::builder()
            .with_cache_dir(config.root.join("repodata"))
            .with_package_cache(packages.clone())
            .with_client(client.clone())
            .with_channel_config(ChannelConfig { default: asked, ..ChannelConfig::default() })
            .with_max_concurrent_requests(50)
            .finish();
        let platform = config.platform.parse().map_err(|_| EnvironmentError::Install {
            reason: format!("`{}` is not a conda platform", config.platform),
        })?;
        Ok(Self { gateway, client, packages, platform })
    }

    /// Asks the channels and solves.
    pub(super) async fn solve(
        &self,
        inputs: &Inputs,
        config: &Config,
    ) -> Result<Vec<RepoDataRecord>, EnvironmentError> {
        let channels: Vec<Channel> = inputs.sources.iter().map(|source| source.channel.clone()).collect();
        let query = self.gateway.query(channels, [self.platform, Subdir::NoArch], inputs.specs.clone()).recursive(true);
        let found = query.execute().await.map_err(|error| unreachable_channel(&error, inputs, &config.root))?;
        let present: BTreeSet<String> = found
            .repodata
            .iter()
            .flat_map(rattler_repodata_gateway::RepoData::iter)
            .map(|r| r.package_record.name.as_normalized().to_owned())
            .collect();
        let specs = inputs.specs.clone();
        let virtuals = inputs.virtual_packages.clone();
        let solved = tokio::task::spawn_blocking(move || {
            let task = SolverTask {
                specs,
                virtual_packages: virtuals,
                channel_priority: ChannelPriority::Strict,
                ..found.repodata.iter().collect()
            };
            resolvo::Solver.solve(task)
        });
        match solved.await {
            Ok(Ok(result)) => Ok(result.records),
            Ok(Err(error)) => Err(self.unsolvable(error, inputs, config, &present).await),
            Err(_) => Err(EnvironmentError::Cancelled),
        }
    }

    async fn unsolvable(
        &self,
        error: SolveError,
        inputs: &Inputs,
        config: &Config,
        present: &BTreeSet<String>,
    ) -> EnvironmentError {
        let reason = match error {
            SolveError::Unsolvable(reasons) => reasons.join("\n"),
            other => other.to_string(),
        };
        let missing: Vec<&MatchSpec> =
            inputs.specs.iter().filter(|spec| name_of(spec).is_some_and(|name| !present.contains(name))).collect();
        let known = if missing.is_empty() { Vec::new() } else { self.known_names(inputs).await };
        let mirrors = local_mirrors(config);
        let stand_in = mirrors.iter().find(|(_, folder)| super::channel::is_ours(folder));
        let mut blamed = Vec::new();
        for (spec, name) in missing.iter().filter_map(|spec| Some((*spec, name_of(spec)?))) {
            // The channels were asked for what fits: a package that is there in other versions looks missing too.
            let versions = self.versions(name, inputs).await;
            let (message, help) = if versions.is_empty() {
                unknown(name, &known, stand_in.is_some())
            } else {
                other_versions(spec, name, &versions)
            };
            blamed.push(Blamed { package: name.to_owned(), message, help: Some(help) });
        }
        let mut hints: Vec<String> = blamed.iter().map(Blamed::sentence).collect();
        if let Some((url, folder)) = stand_in.filter(|_| !missing.is_empty()) {
            // First: it is why most of them are missing.
            let hint = format!(
                "{} stands in for {url} and holds a few packages only: `soopervisor channel add {ANY_FILE}` \
                 adds what PyPI has of this file",
                folder.display()
            );
            hints.insert(0, hint);
        }
        EnvironmentError::Unsolvable { reason: without_credentials(reason.trim()), hints, blamed }
    }

    /// Versions of a package that the channels have, the newest first; none when they do not answer in time.
    async fn versions(&self, name: &str, inputs: &Inputs) -> Vec<Version> {
        let channels: Vec<Channel> = inputs.sources.iter().map(|source| source.channel.clone()).collect();
        let Ok(any) = MatchSpec::from_str(name, ParseMatchSpecOptions::lenient()) else { return Vec::new() };
        let query = self.gateway.query(channels, [self.platform, Subdir::NoArch], [any]).recursive(false).execute();
        let Ok(Ok(found)) = tokio::time::timeout(ANSWER, query).await else { return Vec::new() };
        let records = found.repodata.iter().flat_map(rattler_repodata_gateway::RepoData::iter);
        let versions: BTreeSet<Version> = records.map(|r| r.package_record.version.version().clone()).collect();
        versions.into_iter().rev().collect()
    }

    /// Every name in the channels, for a did-you-mean; nothing when they do not answer in time.
    async fn known_names(&self, inputs: &Inputs) -> Vec<PackageName> {
        let channels: Vec<Channel> = inputs.sources.iter().map(|source| source.channel.clone()).collect();
        let names = self.gateway.names(channels, [self.platform, Subdir::NoArch]).execute();
        match tokio::time::timeout(ANSWER, names).await {
            Ok(Ok(output)) => output.names,
            _ => Vec::new(),
        }
    }
}

/// What is wrong, and what there is instead, with a package that the channels have in other versions only.
fn other_versions(spec: &MatchSpec, name: &str, versions: &[Version]) -> (String, String) {
    const SHOWN: usize = 8;
    let mut shown: Vec<String> = Vec::new();
    for version in versions {
        // People choose a series of Python: one of each is enough.
        let series = version.as_major_minor().map(|(major, minor)| format!("{major}.{minor}"));
        let text = if name == "python" { series.unwrap_or_else(|| version.to_string()) } else { version.to_string() };
        if !shown.contains(&text) {
            shown.push(text);
        }
    }
    let more = if shown.len() > SHOWN { format!(" and {} older", shown.len() - SHOWN) } else { String::new() };
    shown.truncate(SHOWN);
    let spec = without_credentials(&spec.to_string());
    (format!("no channel has a `{name}` that fits `{spec}`"), format!("available: {}{more}", shown.join(", ")))
}

/// Packages that are nobody's in Python, by their names: R's, compilers, programs and libraries of the system.
fn is_no_python(name: &str) -> bool {
    const PYTHON: [&str; 6] = ["libclang", "libcst", "libpysal", "librosa", "libsass", "libtmux"];
    const NAMES: [&str; 21] = [
        "binutils",
        "bzip2",
        "c-compiler",
        "clang",
        "clangxx",
        "compilers",
        "curl",
        "cxx-compiler",
        "fortran-compiler",
        "gcc",
        "gfortran",
        "git",
        "gxx",
        "imagemagick",
        "make",
        "openjdk",
        "p7zip",
        "perl",
        "unzip",
        "xz",
        "zip",
    ];
    let starts = ["r-", "bioconductor-", "perl-", "_", "lib", "xorg-"].iter().any(|start| name.starts_with(start));
    !PYTHON.contains(&name) && (starts || name.ends_with("-64") || NAMES.contains(&name))
}

/// What is wrong, and what may have been meant, with a package that no channel has; `in_part` where the channel is one of
/// ours, which holds a few packages only.
fn unknown(name: &str, known: &[PackageName], in_part: bool) -> (String, String) {
    if let Some((_, system)) = ELSEWHERE.iter().find(|(other, _)| *other == name) {
        let message = format!("`{name}` exists for {system} only, and the pipeline runs on Linux");
        return (message, "remove it from environment.yml".to_owned());
    }
    let close = known.iter().map(PackageName::as_normalized).filter(|other| *other != name);
    let best = close.map(|other| (strsim::jaro_winkler(name, other), other)).max_by(|a, b| a.0.total_cmp(&b.0));
    let help = match best {
        Some((score, other)) if score > 0.9 => format!("did you mean `{other}`?"),
        _ => {
            let few =
                if in_part { "the channel here stands in for another and holds a few packages only; " } else { "" };
            let way = match (is_no_python(name), in_part) {
                (true, true) => "this one is to be had where the other channel answers",
                (true, false) => "correct the name, or add the channel that has it to `channels:`",
                (false, _) => "if it comes from PyPI, move it under `- pip:`",
            };
            format!("{few}{way}")
        }
    };
    (format!("no channel has `{name}`"), help)
}

fn unreachable_channel(error: &(dyn Error + 'static), inputs: &Inputs, root: &Path) -> EnvironmentError {
    let full = EnvironmentError::library(error, root, "reading the conda channels");
    if matches!(full, EnvironmentError::NoSpace { .. }) {
        return full;
    }
    let reason = without_credentials(&chain(error));
    let named = inputs.sources.iter().find(|source| reason.contains(&source.canonical));
    let url = named.or(inputs.sources.first()).map(|source| source.canonical.clone()).unwrap_or_default();
    EnvironmentError::ChannelUnreachable {
        url,
        reason,
        hint: "behind a proxy set HTTPS_PROXY; in a company set a mirror (`mirrors:` in config.yaml or \
               SOOPERVISOR_CONDA_MIRRORS); without any channel run `make channel`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explains_packages_of_other_systems_and_typing_errors() {
        let known: Vec<PackageName> =
            ["pandas", "scikit-learn"].iter().map(|name| PackageName::new_unchecked(*name)).collect();
        assert!(unknown("pywin32", &known, false).0.contains("Windows only"));
        assert!(unknown("pandsa", &known, false).1.contains("did you mean `pandas`"));
        assert!(unknown("ploomber-cloud-thing", &known, false).1.contains("- pip:"));
    }

    #[test]
    fn pip_is_no_way_to_what_is_no_package_of_python_and_a_channel_of_a_few_packages_is_told_first() {
        for name in ["r-base", "p7zip", "gxx_linux-64", "libgdal", "compilers"] {
            let help = unknown(name, &[], false).1;
            assert!(!help.contains("pip") && help.contains("`channels:`"), "{name}: {help}");
            let help = unknown(name, &[], true).1;
            assert!(help.starts_with("the channel here stands in for another") && !help.contains("pip"), "{help}");
        }
        let help = unknown("ploomber-cloud-thing", &[], true).1;
        assert!(help.starts_with("the channel here stands in") && help.ends_with("`- pip:`"), "{help}");
        for name in ["requests", "rich", "gitpython", "pandas", "librosa"] {
            assert!(unknown(name, &[], false).1.contains("- pip:"), "{name}");
        }
    }

    #[test]
    fn names_the_series_of_python_that_there_are() {
        let versions: Vec<Version> =
            ["3.12.1", "3.11.9", "3.11.7", "3.9.0"].iter().map(|v| v.parse().unwrap()).collect();
        let spec = MatchSpec::from_str("python=3.13", ParseMatchSpecOptions::lenient()).unwrap();
        let (message, help) = other_versions(&spec, "python", &versions);
        assert!(message.contains("3.13") && help == "available: 3.12, 3.11, 3.9", "{message} {help}");
    }
}
