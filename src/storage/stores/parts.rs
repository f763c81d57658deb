//! Files beside their key: written whole, then linked to it, which never replaces what stands there.

use std::path::Path;

use super::Fault;

/// Gives a finished file its name; `false` when the name is taken. The other name goes away in either case.
pub(super) async fn link(root: &Path, part: &str, key: &str) -> Result<bool, Fault> {
    let linked = tokio::fs::hard_link(root.join(part), root.join(key)).await;
    remove(root, part).await;
    match linked {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(Fault::Broken(error.to_string())),
    }
}

/// Puts a finished file in the place of what stands there.
pub(super) async fn rename(root: &Path, part: &str, key: &str) -> Result<(), Fault> {
    let renamed = tokio::fs::rename(root.join(part), root.join(key)).await;
    renamed.map_err(|error| Fault::Broken(error.to_string()))
}

/// Takes an unfinished file away; one that stays is seen by nobody and goes with its folder.
pub(super) async fn remove(root: &Path, part: &str) {
    if let Err(error) = tokio::fs::remove_file(root.join(part)).await {
        tracing::debug!(%error, "an unfinished file stays");
    }
}
