//! How a server or a worker is told to end: in order, and when it is told once more, without waiting for its runs.

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

#[cfg(test)]
mod tests {
    use super::Stopping;

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
