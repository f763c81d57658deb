//! How a server or a worker is told to end: in order, and when it is told once more, without waiting for its runs.

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What it is told; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Stopping {
    soon: CancellationToken,
    now: CancellationToken,
}

impl Stopping {
    /// Tells it to end; from the second time on, at once.
    pub fn ask(&self) {
        if self.soon.is_cancelled() {
            self.now.cancel();
        }
        self.soon.cancel();
    }

    /// Cancelled when nothing new is to be begun.
    pub fn soon(&self) -> &CancellationToken {
        &self.soon
    }

    /// Cancelled when nothing is to be waited for.
    pub fn now(&self) -> &CancellationToken {
        &self.now
    }
}

/// Answers until all others have ended, and then tells whoever answers to end. Whatever ends the answering ends the others,
/// too; what they write is written when this comes back.
pub(super) async fn answer_last<T>(
    answering: impl Future<Output = T>,
    mut works: JoinSet<()>,
    stop: &CancellationToken,
    closed: &CancellationToken,
) -> T {
    let answering = async {
        let answered = answering.await;
        stop.cancel();
        answered
    };
    let working = async {
        stop.cancelled().await;
        while works.join_next().await.is_some() {}
        closed.cancel();
    };
    tokio::join!(answering, working).0
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;

    /// Works that end a while after they are told to, and whether they have.
    fn works(stop: &CancellationToken) -> (JoinSet<()>, Arc<AtomicBool>) {
        let (stop, ended, mut works) = (stop.clone(), Arc::<AtomicBool>::default(), JoinSet::new());
        let end = Arc::clone(&ended);
        works.spawn(async move {
            stop.cancelled().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            end.store(true, Ordering::SeqCst);
        });
        (works, ended)
    }

    #[tokio::test]
    async fn whoever_asks_is_answered_until_all_others_have_ended() {
        let (stop, closed) = (CancellationToken::new(), CancellationToken::new());
        let (works, ended) = works(&stop);
        let answering = async {
            stop.cancel();
            closed.cancelled().await;
            ended.load(Ordering::SeqCst)
        };
        assert!(answer_last(answering, works, &stop, &closed).await, "it answered to the end");
    }

    #[tokio::test]
    async fn a_listener_that_is_gone_ends_the_others_in_order() {
        let (stop, closed) = (CancellationToken::new(), CancellationToken::new());
        let (works, ended) = works(&stop);
        assert_eq!(answer_last(async { "gone" }, works, &stop, &closed).await, "gone");
        assert!(ended.load(Ordering::SeqCst) && closed.is_cancelled());
    }

    #[test]
    fn who_is_told_twice_is_to_hurry() {
        let stopping = Stopping::default();
        let seen = |stopping: &Stopping| (stopping.soon().is_cancelled(), stopping.now().is_cancelled());
        assert_eq!(seen(&stopping), (false, false));
        stopping.clone().ask();
        assert_eq!(seen(&stopping), (true, false));
        stopping.ask();
        assert_eq!(seen(&stopping), (true, true));
    }
}
