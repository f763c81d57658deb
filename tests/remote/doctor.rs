//! What `doctor` writes to a storage, which is gone afterwards, whatever happened.

use std::sync::atomic::{AtomicUsize, Ordering};

use soopervisor::storage::{Progress, Storage as _, StorageError};

use crate::shelf;
use crate::{Keys as _, remote};

const WORDS: &str = "written by `soopervisor doctor`";

/// Wants to stop once it was asked for the second time.
#[derive(Debug, Default)]
struct Soon(AtomicUsize);

impl Progress for Soon {
    fn cancelled(&self) -> bool {
        self.0.fetch_add(1, Ordering::SeqCst) > 0
    }
}

/// The name of a file of the doctor's.
fn of_the_doctor(digit: char) -> String {
    format!("soopervisor-doctor-{}", digit.to_string().repeat(32))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_doctor_left_goes_with_the_next_one_and_nothing_else_does() {
    let shelf = shelf::plain();
    let lies = |key: String, text: &str, hours: i64| {
        let written = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(hours);
        shelf.times.lock().expect("times").insert(key.clone(), written);
        shelf.objects.lock().expect("objects").insert(key, text.to_owned().into());
    };
    lies(of_the_doctor('a'), WORDS, 2);
    // One that is at it now, one that says something else, one whose name is somebody's own, one in somebody's folder.
    let theirs = ["soopervisor-doctor-says".to_owned(), format!("x/{}", of_the_doctor('d'))];
    let [says, inside] = &theirs;
    let stay = [of_the_doctor('b'), of_the_doctor('c'), says.clone(), inside.clone()];
    lies(stay[0].clone(), WORDS, 0);
    lies(stay[1].clone(), &WORDS.replace("written", "Written"), 2);
    lies(stay[2].clone(), WORDS, 2);
    lies(stay[3].clone(), WORDS, 2);
    remote(&shelf, None).try_writing(&()).await.expect("it takes a file");
    let mut expected = stay.to_vec();
    expected.sort();
    assert_eq!(shelf.keys(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_that_the_doctor_writes_goes_whatever_happens_meanwhile() {
    let shelf = shelf::plain();
    let stopped = remote(&shelf, None).try_writing(&Soon::default()).await;
    assert!(matches!(stopped, Err(StorageError::Cancelled)), "{stopped:?}");
    assert_eq!(shelf.keys(), [""; 0]);
    assert!(shelf.requests.load(Ordering::SeqCst) > 1, "it was written, and removed");
    // It is written, and the answer is lost.
    shelf.lies_once.store(true, Ordering::SeqCst);
    remote(&shelf, None).try_writing(&()).await.expect_err("nobody knows");
    assert_eq!(shelf.keys(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_is_told_of_the_file_that_may_arrive_after_all_and_of_none_that_never_went_out() {
    let stopped = [true, false].map(|heard| async move {
        let shelf = shelf::plain();
        shelf.holds_trial.store(true, Ordering::SeqCst);
        shelf.heard_before.store(heard, Ordering::SeqCst);
        remote(&shelf, None).try_writing(&Soon::default()).await.expect_err("stopped")
    });
    let stopped = futures::future::join_all(stopped).await;
    let [StorageError::TrialLeft { key, place }, StorageError::Cancelled] = &*stopped else { panic!("{stopped:?}") };
    assert!(key.starts_with("soopervisor-doctor-") && key.len() == of_the_doctor('a').len(), "{key}");
    assert_eq!(place, "shelf:");
}
