//! Packages into a prefix: fetched into the cache, linked, their paths set to where the prefix will be mounted.
//!
//! Link scripts are never run on the host; [`post_link_scripts`] only finds them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rattler::install::{Installer, LinkOptions, Reporter, Transaction};
use rattler_conda_types::{PackageRecord, PrefixRecord, RepoDataRecord};

use super::EnvironmentError;
use super::solve::Conda;

/// Where and how a prefix is linked.
pub(super) struct Link<'a> {
    /// Its folder on the host.
    pub(super) host: &'a Path,
    /// Its path in the container.
    pub(super) guest: &'a str,
    /// Whether files may be shared with the package cache. Not where foreign code will run beside them: a write in
    /// place would change every environment.
    pub(super) shared: bool,
}

/// Fetches what is missing and links all records.
pub(super) async fn link(
    conda: &Conda,
    records: &[RepoDataRecord],
    link: &Link<'_>,
    root: &Path,
    progress: &mut (dyn FnMut(String) + Send),
) -> Result<(), EnvironmentError> {
    let counter = Arc::new(Counter::default());
    let options = LinkOptions { allow_hard_links: Some(link.shared), ..LinkOptions::default() };
    let install = Installer::new()
        .with_package_cache(conda.packages.clone())
        .with_target_platform(conda.platform)
        .with_download_client(conda.client.clone())
        .with_alternative_target_prefix(link.guest)
        .with_execute_link_scripts(false)
        .with_max_concurrent_requests(16)
        .with_link_options(options)
        .with_reporter(Shared(Arc::clone(&counter)))
        .install(link.host, records.to_vec());
    tokio::pin!(install);
    let mut tick = tokio::time::interval(Duration::from_secs(5));
    tick.tick().await;
    loop {
        tokio::select! {
            done = &mut install => {
                return done.map(drop).map_err(|error| EnvironmentError::library(&error, root, "linking conda packages"));
            }
            _ = tick.tick() => progress(format!(
                "conda: {} fetched, {} of {} linked",
                counter.fetched.load(Ordering::Relaxed),
                counter.linked.load(Ordering::Relaxed),
                records.len(),
            )),
        }
    }
}

/// What a package wants to have run once it is linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Script {
    /// Its name below `bin/`.
    pub(super) file: String,
    /// The package's name.
    pub(super) package: String,
    /// Empty where no record is of that package.
    pub(super) version: String,
    pub(super) build_number: String,
}

/// Post-link scripts of the packages in a prefix, what a package needs before itself.
pub(super) fn post_link_scripts(prefix: &Path, records: &[RepoDataRecord]) -> Vec<Script> {
    let entries = std::fs::read_dir(prefix.join("bin")).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let package = |name: &str| Some(name.strip_prefix('.')?.strip_suffix("-post-link.sh")?.to_owned());
    let mut found: BTreeMap<String, String> = names.filter_map(|name| Some((package(&name)?, name))).collect();
    if found.is_empty() {
        return Vec::new();
    }
    let mut scripts = Vec::new();
    for record in PackageRecord::sort_topologically(records.iter().collect::<Vec<_>>()) {
        let record = &record.package_record;
        let Some(file) = found.remove(record.name.as_normalized()) else { continue };
        scripts.push(Script {
            file,
            package: record.name.as_normalized().to_owned(),
            version: record.version.to_string(),
            build_number: record.build_number.to_string(),
        });
    }
    let nobodys = |(package, file)| Script { file, package, version: String::new(), build_number: String::new() };
    scripts.extend(found.into_iter().map(nobodys));
    scripts
}

#[derive(Default)]
struct Counter {
    fetched: AtomicUsize,
    linked: AtomicUsize,
}

/// rattler's own reporter trait, of which only two moments matter.
struct Shared(Arc<Counter>);

impl Reporter for Shared {
    fn on_transaction_start(&self, _: &Transaction<PrefixRecord, RepoDataRecord>) {}
    fn on_transaction_operation_start(&self, _: usize) {}
    fn on_populate_cache_start(&self, operation: usize, _: &RepoDataRecord) -> usize {
        operation
    }
    fn on_validate_start(&self, entry: usize) -> usize {
        entry
    }
    fn on_validate_complete(&self, _: usize) {}
    fn on_download_start(&self, entry: usize) -> usize {
        entry
    }
    fn on_download_progress(&self, _: usize, _: u64, _: Option<u64>) {}
    fn on_download_completed(&self, _: usize) {
        self.0.fetched.fetch_add(1, Ordering::Relaxed);
    }
    fn on_populate_cache_complete(&self, _: usize) {}
    fn on_unlink_start(&self, operation: usize, _: &PrefixRecord) -> usize {
        operation
    }
    fn on_unlink_complete(&self, _: usize) {}
    fn on_link_start(&self, operation: usize, _: &RepoDataRecord) -> usize {
        operation
    }
    fn on_link_complete(&self, _: usize) {
        self.0.linked.fetch_add(1, Ordering::Relaxed);
    }
    fn on_transaction_operation_complete(&self, _: usize) {}
    fn on_transaction_complete(&self) {}
    fn on_post_link_start(&self, _: &str, _: &str) -> usize {
        0
    }
    fn on_post_link_complete(&self, _: usize, _: bool) {}
    fn on_pre_unlink_start(&self, _: &str, _: &str) -> usize {
        0
    }
    fn on_pre_unlink_complete(&self, _: usize, _: bool) {}
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(name: &str, depends: &[&str]) -> RepoDataRecord {
        serde_json::from_value(json!({
            "name": name, "version": "1.2", "build": "0", "build_number": 3, "depends": depends, "subdir": "noarch",
            "fn": format!("{name}-1.2-0.conda"), "url": format!("https://h/noarch/{name}-1.2-0.conda"), "channel": "h",
        }))
        .unwrap()
    }

    #[test]
    fn scripts_come_in_the_order_in_which_packages_need_each_other() {
        let prefix = tempfile::tempdir().unwrap();
        std::fs::create_dir(prefix.path().join("bin")).unwrap();
        assert_eq!(post_link_scripts(prefix.path(), &[]), []);
        for name in ["a", "m", "z", "stray"] {
            std::fs::write(prefix.path().join(format!("bin/.{name}-post-link.sh")), "").unwrap();
        }
        std::fs::write(prefix.path().join("bin/.a-pre-unlink.sh"), "").unwrap();
        let records = [record("a", &["m"]), record("m", &["z >=1"]), record("z", &[]), record("plain", &[])];
        let scripts = post_link_scripts(prefix.path(), &records);
        let order: Vec<(&str, &str, &str)> =
            scripts.iter().map(|s| (s.package.as_str(), s.version.as_str(), s.build_number.as_str())).collect();
        assert_eq!(order, [("z", "1.2", "3"), ("m", "1.2", "3"), ("a", "1.2", "3"), ("stray", "", "")]);
        assert_eq!(scripts[0].file, ".z-post-link.sh");
    }
}
