//! Signals that ask this process to stop. They are heard on a thread of their own from the beginning on, so that none is
//! lost between two things that it does: whoever looks later finds what was asked before.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::Exit;
use super::failure::Failure;
use crate::run::cancel::{self, Cancel, CancelReason, Canceller, Urgency};

/// Hears from now on to the end of the process. The first signal asks, the second kills; further ones change nothing: the
/// end is on its way. With `patience`, who was asked once is asked again after that time: a runner's second signal would
/// come too late to clean up.
///
/// # Errors
/// When there is no thread to hear with.
pub(super) fn hear(patience: Option<Duration>) -> Result<Cancel, Failure> {
    let wrong = |error: std::io::Error| Failure::of(Exit::Internal, &error);
    let (canceller, cancel) = cancel::pair();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(wrong)?;
    let ears = {
        // Before anything else is done: from here on no signal ends the process by itself.
        let _inside = runtime.enter();
        Ears::open()
    };
    let hearing = move || runtime.block_on(listen(ears, canceller, patience));
    std::thread::Builder::new().name("signals".to_owned()).spawn(hearing).map_err(wrong)?;
    Ok(cancel)
}

/// Does what takes long, on a runtime of its own, unless the process was asked to stop, or is meanwhile. What it leaves
/// behind, a git that still fetches, holds up nothing.
///
/// # Errors
/// What the work came to; with [`Exit::Cancelled`] and the words `stopped` where it was given up.
pub(super) fn unless<T>(
    cancel: &Cancel,
    stopped: &str,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::of(Exit::Internal, &error))?;
    let mut cancel = cancel.clone();
    let done = runtime.block_on(async {
        tokio::select! {
            biased;
            _ = cancel.reached(Urgency::Ask) => Err(Failure::new(Exit::Cancelled, stopped)),
            done = work => done,
        }
    });
    runtime.shutdown_background();
    done
}

/// What is listened for. Who started us with a signal ignored (`nohup`) wants it ignored.
struct Ears {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    hangup: Option<Signal>,
}

impl Ears {
    fn open() -> Self {
        let ignored = ignored();
        let heard = |kind: SignalKind| {
            let bit = 1_u64 << (kind.as_raw_value() - 1);
            (ignored & bit == 0).then(|| signal(kind).ok()).flatten()
        };
        let (interrupt, terminate) = (heard(SignalKind::interrupt()), heard(SignalKind::terminate()));
        Self { interrupt, terminate, hangup: heard(SignalKind::hangup()) }
    }
}

async fn listen(mut ears: Ears, canceller: Canceller, patience: Option<Duration>) {
    loop {
        tokio::select! {
            () = next(&mut ears.interrupt) => {}
            () = next(&mut ears.terminate) => {}
            () = next(&mut ears.hangup) => {}
        }
        canceller.request(CancelReason::Signal);
        if let Some(patience) = patience {
            let canceller = canceller.clone();
            tokio::spawn(async move {
                tokio::time::sleep(patience).await;
                canceller.request(CancelReason::Signal);
            });
        }
    }
}

async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// The signals that this process was started to ignore, a bit each.
fn ignored() -> u64 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_asked_before_it_began_does_not_begin_and_who_is_asked_meanwhile_does_not_go_on() {
        let (canceller, cancel) = cancel::pair();
        assert_eq!(unless(&cancel, "stopped", async { Ok(7) }), Ok(7));
        let asking = canceller.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            asking.request(CancelReason::Signal);
        });
        let stuck = async { tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_mins(1))).await };
        let given_up = unless(&cancel, "stopped in its middle", async { Ok(stuck.await.is_ok()) }).unwrap_err();
        assert_eq!((given_up.exit, given_up.what.as_str()), (Exit::Cancelled, "stopped in its middle"));
        assert_eq!(unless(&cancel, "stopped", async { Ok(7) }).unwrap_err().exit, Exit::Cancelled);
    }
}
