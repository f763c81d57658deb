//! Taking a published folder away: it loses its name at once, and its files afterwards.

use std::path::Path;

use super::system;
use crate::storage::{Folder, StorageError, key};

/// Removes the published folder below `project`. A crash in between leaves a staging folder, which the next publish
/// removes.
pub(super) fn remove(project: &Path, folder: &Folder) -> Result<(), StorageError> {
    let from = project.join(folder.to_string());
    let to = project.join(key::removal(folder));
    fs_err::rename(&from, &to).map_err(|error| system::explain("remove", &from, error))?;
    fs_err::remove_dir_all(&to).map_err(|error| system::explain("remove", &to, error))
}
