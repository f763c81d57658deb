//! Whose turn it is: an account takes one batch at a time, of all processes of the user.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::MutexGuard;
use tokio::time::Instant;

use crate::web::open_shared;

/// Between two looks whether another process is done.
const PAUSE: Duration = Duration::from_millis(100);
/// Longer than a batch takes. Then it is tried all the same: Dropbox says itself when it is too much.
const PATIENCE: Duration = Duration::from_mins(10);

type Here = tokio::sync::Mutex<()>;

static TURNS: LazyLock<Mutex<HashMap<String, Weak<Here>>>> = LazyLock::new(Mutex::default);

/// The turns of one account.
#[derive(Debug)]
pub(super) struct Turn {
    /// Of this process.
    here: Arc<Here>,
    /// Where other processes see it, and under which name.
    shared: Option<(PathBuf, String)>,
}

/// A turn, over when it is dropped, or this process ends.
pub(super) struct Held<'a> {
    _here: MutexGuard<'a, ()>,
    _file: Option<File>,
}

impl Turn {
    /// The turns of an account; `shared` is where processes share what counts for it.
    pub(super) fn of(account: &str, shared: Option<&Path>) -> Self {
        let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        let known = turns.get(account).and_then(Weak::upgrade);
        let here = known.unwrap_or_else(|| {
            let here = Arc::<Here>::default();
            turns.insert(account.to_owned(), Arc::downgrade(&here));
            here
        });
        Self { here, shared: shared.map(|folder| (folder.to_owned(), format!("dropbox turn:{account}"))) }
    }

    /// Waits until it is ours.
    pub(super) async fn take(&self) -> Held<'_> {
        let here = self.here.lock().await;
        let file = self.shared.as_ref().and_then(|(folder, name)| open_shared(folder, name).ok());
        let begun = Instant::now();
        if let Some(file) = &file {
            while matches!(file.try_lock(), Err(TryLockError::WouldBlock)) && begun.elapsed() < PATIENCE {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Held { _here: here, _file: file }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_process_at_a_time_has_its_turn() {
        let folder = tempfile::tempdir().unwrap();
        // As another process would have it: what is of this process is told apart by the account alone.
        let process = || Turn { here: Arc::default(), ..Turn::of("me", Some(folder.path())) };
        let (one, other, elsewhere) = (process(), process(), Turn { here: Arc::default(), ..Turn::of("you", None) });
        let soon = Duration::from_millis(250);
        let held = one.take().await;
        assert!(tokio::time::timeout(soon, other.take()).await.is_err());
        assert!(tokio::time::timeout(soon, elsewhere.take()).await.is_ok());
        drop(held);
        assert!(tokio::time::timeout(soon, other.take()).await.is_ok());
    }
}
