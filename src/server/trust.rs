//! Whom this process trusts besides the system's authorities: the bundle that `ca-bundle` of config.yaml, or a variable,
//! names. Git, the requests and the mails of handlers all follow it.
//!
//! One for a process: who names a company's root means every server that the process talks to.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::web;

struct Trusted {
    /// The bundle as it was named.
    named: PathBuf,
    /// It and the system's authorities in one file.
    all: PathBuf,
}

static TRUSTED: OnceLock<Trusted> = OnceLock::new();

/// From now on this bundle is trusted, as the server's own client does; the first one that is set stays. Where it does not
/// hold the system's authorities already, both are kept as one file in the folder for state.
pub(super) fn trust(bundle: &Path, state: &Path) {
    TRUSTED.get_or_init(|| {
        // What is wrong with a bundle is said by whoever uses it.
        let is_all = std::fs::read(bundle).ok() == web::authorities(bundle).ok();
        let kept = if is_all { None } else { web::keep_authorities(bundle, &state.join("ca")).ok() };
        Trusted { named: bundle.to_owned(), all: kept.unwrap_or_else(|| bundle.to_owned()) }
    });
}

/// The bundle as it was named, for programs that add it to the system's.
pub(super) fn named() -> Option<&'static Path> {
    TRUSTED.get().map(|trusted| trusted.named.as_path())
}

/// Everything that is trusted, for programs that take one file in place of the system's.
pub(super) fn all() -> Option<&'static Path> {
    TRUSTED.get().map(|trusted| trusted.all.as_path())
}
