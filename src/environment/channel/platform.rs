//! The one platform that packages are made for: the one this program runs on.

use super::Error;

/// Conda's name for it.
pub(super) const SUBDIR: &str = if cfg!(target_arch = "aarch64") { "linux-aarch64" } else { "linux-64" };

/// Refuses machines on which nothing can be packaged.
pub(super) fn check() -> Result<(), Error> {
    let known =
        cfg!(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")));
    if known {
        return Ok(());
    }
    Err(Error::Platform { found: format!("{} on {}", std::env::consts::OS, std::env::consts::ARCH) })
}
