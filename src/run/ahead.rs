//! A container that is started before its script is wanted: while the snapshot is written and earlier outputs are laid
//! into it, or sooner still, on a [`super::guess`]. It waits for its script, and ends when nobody gives it one.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::laying::Folders;
use crate::engine::{Engine, EngineError, Session, SessionSpec};

/// A container on its way. Dropped, it is removed in the background.
pub struct Ahead(Option<Starting>);

type Starting = JoinHandle<Result<Box<dyn Session>, EngineError>>;

/// The engine, as soon as it has answered.
pub(super) type Answering = oneshot::Receiver<Arc<dyn Engine>>;

fn interrupted() -> EngineError {
    EngineError::Gone { reason: "the start was interrupted".to_owned() }
}

impl Ahead {
    /// Begins to start it.
    pub(super) fn start(engine: Arc<dyn Engine>, spec: SessionSpec) -> Self {
        Self(Some(tokio::spawn(async move { engine.start(spec).await })))
    }

    /// Starts it as soon as the engine has answered.
    fn start_with(answering: Answering, spec: SessionSpec) -> Self {
        Self(Some(tokio::spawn(async move { answering.await.map_err(|_| interrupted())?.start(spec).await })))
    }

    /// Waits until it is there.
    ///
    /// # Errors
    /// When the engine cannot start it.
    pub(super) async fn ready(mut self) -> Result<Box<dyn Session>, EngineError> {
        match self.0.take() {
            Some(starting) => starting.await.unwrap_or_else(|_| Err(interrupted())),
            None => Err(interrupted()),
        }
    }

    /// Removes it in the background.
    fn give_up(mut self) -> Option<JoinHandle<()>> {
        self.0.take().map(|starting| tokio::spawn(clear_away(starting)))
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
pub struct Early(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    ahead: Option<Ahead>,
    /// What it was started as, where that was a guess that nobody has confirmed.
    guess: Option<SessionSpec>,
    /// The run's folders, which had to be there for a guess, and whose they are.
    folders: Option<(Folders, Option<(u32, u32)>)>,
    /// Containers that nobody wants, on their way out.
    leaving: Vec<JoinHandle<()>>,
}

impl Kept {
    fn give_up(&mut self) {
        self.guess = None;
        self.leaving.extend(self.ahead.take().and_then(Ahead::give_up));
    }

    /// Whether what was started is what is wanted; what is not goes.
    fn settle(&mut self, wanted: &SessionSpec) {
        if self.guess.take().is_some_and(|guess| guess != *wanted) {
            tracing::debug!("another container was guessed; it goes");
            self.give_up();
        }
    }
}

impl Early {
    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts what is guessed as soon as the engine answers, over the run's folders.
    pub(super) fn guess(&self, spec: SessionSpec, folders: (Folders, Option<(u32, u32)>), answering: Answering) {
        let mut kept = self.kept();
        kept.ahead = Some(Ahead::start_with(answering, spec.clone()));
        (kept.guess, kept.folders) = (Some(spec), Some(folders));
    }

    /// The run's folders, where they were made for a guess, and whose they are.
    pub(super) fn folders(&self) -> Option<(Folders, Option<(u32, u32)>)> {
        self.kept().folders.take()
    }

    /// Starts what is wanted, unless it was guessed.
    pub(super) fn want(&self, engine: &Arc<dyn Engine>, spec: SessionSpec) {
        let mut kept = self.kept();
        kept.settle(&spec);
        if kept.ahead.is_none() {
            kept.ahead = Some(Ahead::start(Arc::clone(engine), spec));
        }
    }

    /// Drops what was guessed: this run's container is of another kind, or comes later.
    pub(super) fn give_up(&self) {
        self.kept().give_up();
    }

    /// The container, if there is one as it is wanted.
    pub(super) fn take(&self, wanted: &SessionSpec) -> Option<Ahead> {
        let mut kept = self.kept();
        kept.settle(wanted);
        kept.ahead.take()
    }

    /// Removes what is not wanted any more, and waits until it is gone.
    pub(super) async fn discard(&self) {
        self.give_up();
        let leaving = std::mem::take(&mut self.kept().leaving);
        for one in leaving {
            let _ = one.await;
        }
    }
}

#[cfg(test)]
mod tests;
