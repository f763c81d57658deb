//! A container that is started before its script is wanted: while the snapshot is written and earlier outputs are laid
//! into it. It waits for its script, and ends when nobody gives it one.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinHandle;

use crate::engine::{Engine, EngineError, Session, SessionSpec};

/// A container on its way. Dropped, it is removed in the background.
pub struct Ahead(Option<Starting>);

type Starting = JoinHandle<Result<Box<dyn Session>, EngineError>>;

impl Ahead {
    /// Begins to start it.
    pub(super) fn start(engine: Arc<dyn Engine>, spec: SessionSpec) -> Self {
        Self(Some(tokio::spawn(async move { engine.start(spec).await })))
    }

    /// Waits until it is there.
    ///
    /// # Errors
    /// When the engine cannot start it.
    pub(super) async fn ready(mut self) -> Result<Box<dyn Session>, EngineError> {
        let lost = || EngineError::Gone { reason: "the start was interrupted".to_owned() };
        match self.0.take() {
            Some(starting) => starting.await.unwrap_or_else(|_| Err(lost())),
            None => Err(lost()),
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        let Some(starting) = self.0.take() else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(clear_away(starting));
        }
    }
}

async fn clear_away(starting: Starting) {
    let Ok(Ok(session)) = starting.await else { return };
    if let Err(error) = session.close().await {
        tracing::warn!(%error, "a container that got no script could not be removed; the next run tries again");
    }
}

/// The place where a run keeps a container that was started early, until its script is given to it.
#[derive(Default)]
pub struct Early(Mutex<Option<Ahead>>);

impl Early {
    pub(super) fn put(&self, ahead: Ahead) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(ahead);
    }

    pub(super) fn take(&self) -> Option<Ahead> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Removes a container that is not wanted any more, and waits until it is gone.
    pub(super) async fn discard(&self) {
        let starting = self.take().and_then(|mut ahead| ahead.0.take());
        if let Some(starting) = starting {
            clear_away(starting).await;
        }
    }
}

#[cfg(test)]
mod tests;
