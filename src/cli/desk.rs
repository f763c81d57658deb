//! Between a run and who reads of it: events wait in a queue, and a thread of its own writes them. A reader that takes
//! nothing holds up neither the run nor its end.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::report::Reporter;
use crate::run::cancel::Cancel;
use crate::run::event::RunEvent;
use crate::run::telling::{Backlog, Listener};

/// How often somebody who waits for the reader looks whether that was given up.
const LOOK: Duration = Duration::from_millis(50);

/// The writing thread and what it has to do.
pub(super) struct Desk {
    backlog: Arc<Backlog>,
    done: Arc<(Mutex<bool>, Condvar)>,
    writer: JoinHandle<()>,
}

/// Starts to write; the listener is to be told, and dropped at the end.
pub(super) fn open(reporter: Box<dyn Reporter>) -> (Desk, Listener) {
    let (sender, events) = channel::<RunEvent>();
    let (backlog, done) = (Arc::new(Backlog::default()), Arc::new((Mutex::new(false), Condvar::new())));
    let (taken, over) = (Arc::clone(&backlog), Arc::clone(&done));
    let writer = std::thread::spawn(move || {
        let mut reporter = reporter;
        for event in events {
            let size = size(&event);
            reporter.event(&event);
            taken.take(size);
        }
        reporter.finish();
        *lock(&over.0) = true;
        over.1.notify_all();
    });
    let listener = listener(sender, Arc::clone(&backlog));
    (Desk { backlog, done, writer }, listener)
}

fn listener(sender: Sender<RunEvent>, backlog: Arc<Backlog>) -> Listener {
    Box::new(move |event| {
        backlog.put(size(event));
        // The writer is gone only where it panicked: then there is nobody to tell.
        let _ = sender.send(event.clone());
    })
}

/// What an event takes in memory besides its output: a pipeline that writes byte by byte makes one of each.
const OVERHEAD: usize = 256;

/// What an event takes in memory while it waits.
fn size(event: &RunEvent) -> usize {
    let output = match event {
        RunEvent::Output { bytes, .. } => bytes.as_bytes().len(),
        _ => 0,
    };
    output + OVERHEAD
}

fn lock(done: &Mutex<bool>) -> MutexGuard<'_, bool> {
    done.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    /// What waits to be written, for those who make more of it.
    pub(super) fn backlog(&self) -> Arc<Backlog> {
        Arc::clone(&self.backlog)
    }

    /// Waits until all is written. Whoever asked the run to stop does not wait for a reader that takes nothing.
    pub(super) fn close(self, cancel: &Cancel) {
        let (mutex, changed) = &*self.done;
        let mut done = lock(mutex);
        let (mut seen, mut idle) = (self.backlog.taken(), Duration::ZERO);
        while !*done && !self.writer.is_finished() {
            done = changed.wait_timeout(done, LOOK).unwrap_or_else(PoisonError::into_inner).0;
            let now = self.backlog.taken();
            idle = if now == seen { idle + LOOK } else { Duration::ZERO };
            seen = now;
            if cancel.requested().is_some() && idle > Duration::from_secs(2) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Receiver;
    use std::time::Instant;

    use super::*;
    use crate::run::cancel::{self, CancelReason};

    /// Stands still at its first event until it is let go.
    struct Stuck(Receiver<()>);

    impl Reporter for Stuck {
        fn event(&mut self, _: &RunEvent) {
            let _ = self.0.recv();
        }

        fn finish(&mut self) {}
    }

    fn ended() -> RunEvent {
        RunEvent::Ended { exit_code: 0, summary: "done".to_owned() }
    }

    #[test]
    fn a_reader_that_stands_still_holds_up_neither_the_run_nor_whoever_asked_it_to_stop() {
        let (_let_go, stuck) = channel();
        let (desk, mut listener) = open(Box::new(Stuck(stuck)));
        let (canceller, cancel) = cancel::pair();
        for _ in 0..100 {
            listener(&ended());
        }
        drop(listener);
        canceller.request(CancelReason::Signal);
        let since = Instant::now();
        desk.close(&cancel);
        assert!(since.elapsed() < Duration::from_secs(30), "it waited for the reader");
    }

    #[test]
    fn events_without_a_byte_fill_the_backlog_too() {
        let (_let_go, stuck) = channel();
        let (desk, mut listener) = open(Box::new(Stuck(stuck)));
        let backlog = desk.backlog();
        let told = (0..1_000_000).take_while(|_| {
            listener(&ended());
            backlog.has_room()
        });
        let told = told.count();
        assert!((1000..100_000).contains(&told), "{told} events wait in memory");
    }

    #[test]
    fn a_slow_reader_gets_everything_before_the_program_ends() {
        struct Slow(Arc<Mutex<usize>>);
        impl Reporter for Slow {
            fn event(&mut self, _: &RunEvent) {
                std::thread::sleep(Duration::from_millis(5));
                *self.0.lock().unwrap() += 1;
            }

            fn finish(&mut self) {}
        }
        let seen = Arc::new(Mutex::new(0));
        let (desk, mut listener) = open(Box::new(Slow(Arc::clone(&seen))));
        for _ in 0..50 {
            listener(&ended());
        }
        drop(listener);
        let (_canceller, cancel) = cancel::pair();
        desk.close(&cancel);
        assert_eq!(*seen.lock().unwrap(), 50);
    }
}
