//! Asking a run to stop: the first request asks, the second kills. Timeouts take the same path as signals.

use tokio::sync::watch;

/// Why a run was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CancelReason {
    /// Ctrl-C, TERM or HUP.
    Signal,
    /// `--timeout` ran out.
    Timeout,
    /// `--idle-timeout` ran out: the pipeline was silent for too long.
    Idle,
    /// A process was killed for memory, and what was left of the pipeline fell silent.
    OutOfMemory,
    /// The container had written more than `--disk` allows.
    OutOfDisk,
}

/// How urgent it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Ends by itself within the grace period.
    Ask,
    /// Ends now.
    Kill,
}

type State = Option<(CancelReason, Urgency)>;

/// The side that asks. Cloned freely; the first reason given is the one that is told.
#[derive(Debug, Clone)]
pub struct Canceller(watch::Sender<State>);

/// The side that listens.
#[derive(Debug, Clone)]
pub struct Cancel(watch::Receiver<State>);

/// A connected pair.
pub fn pair() -> (Canceller, Cancel) {
    let (sender, receiver) = watch::channel(None);
    (Canceller(sender), Cancel(receiver))
}

impl Canceller {
    /// Asks once more: the first call asks, any later one kills.
    pub fn request(&self, reason: CancelReason) {
        self.0.send_modify(|state| {
            *state = match *state {
                None => Some((reason, Urgency::Ask)),
                Some((first, _)) => Some((first, Urgency::Kill)),
            };
        });
    }
}

impl Cancel {
    /// What was asked so far.
    pub fn requested(&self) -> Option<(CancelReason, Urgency)> {
        *self.0.borrow()
    }

    /// Waits until at least `urgency` is asked for; for ever when nobody is left to ask.
    pub async fn reached(&mut self, urgency: Urgency) -> CancelReason {
        let asked = |state: &State| state.is_some_and(|(_, asked)| asked >= urgency);
        let reason = self.0.wait_for(asked).await.ok().and_then(|state| state.map(|(reason, _)| reason));
        match reason {
            Some(reason) => reason,
            // Nobody is left who could ask.
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_second_request_kills_and_keeps_the_first_reason() {
        let (canceller, mut cancel) = pair();
        assert_eq!(cancel.requested(), None);
        canceller.request(CancelReason::Timeout);
        assert_eq!(cancel.reached(Urgency::Ask).await, CancelReason::Timeout);
        canceller.request(CancelReason::Signal);
        assert_eq!(cancel.reached(Urgency::Kill).await, CancelReason::Timeout);
    }
}
