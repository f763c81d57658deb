//! The publish protocol over a service that breaks off wherever it hurts.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fixture_run::{Run, folder, project};
use soopervisor::id::RelPath;
use soopervisor::plan::OnConflict;
use soopervisor::storage::Storage as _;
use soopervisor::storage::remote::{Bounds, Remote};
use soopervisor::storage::verify::verify;

use shelf::Shelf;

mod doctor;
#[path = "../fixture_run/mod.rs"]
mod fixture_run;
mod garbled;
mod others;
mod pruning;
mod sending;
#[path = "../conformance/shelf.rs"]
mod shelf;
mod sweeping;
mod withheld;

fn remote(shelf: &Arc<Shelf>, journals: Option<PathBuf>) -> Remote {
    Remote::new(Arc::clone(shelf) as Arc<_>, journals)
}

/// What lies on the shelf.
trait Keys {
    fn keys(&self) -> Vec<String>;

    /// As if all of it had been written so many days earlier.
    fn age(&self, days: i64);
}

impl Keys for Shelf {
    fn keys(&self) -> Vec<String> {
        self.objects.lock().expect("objects").keys().cloned().collect()
    }

    fn age(&self, days: i64) {
        for at in self.times.lock().expect("times").values_mut() {
            *at -= jiff::SignedDuration::from_hours(24 * days);
        }
    }
}

fn path(text: &str) -> RelPath {
    text.parse().expect("a path")
}

fn filled(files: usize) -> Run {
    let run = Run::new();
    for at in 0..files {
        run.product(format!("f{at}.csv"), format!("content {at}"));
    }
    run.product("big.bin", vec![7; 3 << 20]);
    run
}

async fn is_sound(remote: &Remote) -> bool {
    verify(remote, &project(), &folder(), &()).await.expect("a report").is_sound()
}

const DEAD: Duration = Duration::from_millis(60);

/// With the program's own bounds, but what is waited for.
fn quick(shelf: &Arc<Shelf>) -> Remote {
    let pause = Duration::from_millis(1);
    remote(shelf, None).bounded(Bounds { dead: DEAD, pause, ..Bounds::default() })
}

/// What a publish of `run` leaves that broke off, days ago.
async fn leave(shelf: &Arc<Shelf>, run: &Run, days: i64) {
    // While files are sent, or while those that were sent are made visible.
    shelf.breaks_after.store(if shelf.batches { 20 } else { 10 }, Ordering::SeqCst);
    quick(shelf).publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect_err("broken off");
    shelf.breaks_after.store(-1, Ordering::SeqCst);
    assert!(!shelf.keys().is_empty(), "something was left");
    shelf.age(days);
}

fn small(files: usize) -> Run {
    let run = Run::new();
    for at in 0..files {
        run.product(format!("d{}/f{at}.csv", at % 2), format!("content {at}"));
    }
    run
}
