//! What a journal remembers over the death of its process, and what it costs.

use super::*;
use crate::storage::Progress;
use crate::storage::backend::{Checksum, HashKind};

const PLACE: &str = "s3://bucket/place";

/// Leaves a journal with one half-sent file of ten bytes.
fn leave(journals: &Path, place: &str, stays: bool, folder: &str) -> PathBuf {
    let progress: std::sync::Arc<dyn Progress> = std::sync::Arc::new(());
    let (tally, journal) = (Tally::new(&progress, 1, 10), Journal::open(Some(journals), place, stays, folder));
    journal.own();
    journal.of(10, &tally).remember("p/f/a.bin", "session");
    files(journals, place, folder).0
}

fn grow_old(path: &Path, days: u64) {
    let then = SystemTime::now() - Duration::from_hours(24 * days);
    File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
}

#[test]
fn what_is_not_wanted_any_more_is_told_with_what_was_remembered_of_it() {
    let place = tempfile::tempdir().unwrap();
    leave(place.path(), PLACE, true, "p/f/");
    let journal = Journal::open(Some(place.path()), PLACE, true, "p/f/");
    assert!(journal.owns());
    assert!(journal.left(|key, size| (key, size) == ("p/f/a.bin", 10)).is_empty());
    let left = vec![("p/f/a.bin".to_owned(), "session".to_owned())];
    assert_eq!(journal.left(|_, size| size == 11), left);
    journal.disown();
    assert!(!journal.owns());
    assert_eq!(journal.left(|_, _| false), left, "no folder holds it");
    journal.forget("p/f/a.bin");
    assert!(journal.left(|_, _| false).is_empty());
}

#[test]
fn what_a_keeper_is_told_is_in_the_file_at_once() {
    let place = tempfile::tempdir().unwrap();
    let progress: std::sync::Arc<dyn Progress> = std::sync::Arc::new(());
    let tally = Tally::new(&progress, 1, 10);
    let journal = Journal::open(Some(place.path()), PLACE, true, "p/f/");
    let keeper = journal.of(10, &tally).keeper("p/f/a.bin").unwrap();
    let written = || Kept::read(&files(place.path(), PLACE, "p/f/").0).unwrap().halves;
    for session in ["its name", "its name and a part"] {
        keeper(session);
        let expected = Half { session: session.to_owned(), size: 10 };
        assert_eq!(written().get("p/f/a.bin"), Some(&expected));
    }
    assert_eq!(journal.of(10, &tally).recall("p/f/a.bin").as_deref(), Some("its name and a part"));
}

#[test]
fn a_file_that_is_whole_is_proven_in_the_next_process_until_it_is_sent_anew_or_the_folder_is_somebodys() {
    let place = tempfile::tempdir().unwrap();
    let progress: std::sync::Arc<dyn Progress> = std::sync::Arc::new(());
    let tally = Tally::new(&progress, 2, 20);
    let open = || Journal::open(Some(place.path()), PLACE, true, "p/f/");
    let checksum = Checksum { kind: HashKind::Md5, bytes: vec![7] };
    let told = Receipt { checksum: Some(checksum), id: Some("id".to_owned()), tag: None };
    let journal = open();
    for key in ["p/f/a.bin", "p/f/b.bin", "p/f/c.bin"] {
        journal.of(10, &tally).remember(key, "session");
        journal.finish(key, &told);
    }
    journal.finish("p/f/d.bin", &Receipt { checksum: None, ..told.clone() });
    journal.of(10, &tally).remember("p/f/b.bin", "another session");
    drop(journal);
    let journal = open();
    let keys: Vec<String> = journal.finished().into_keys().collect();
    assert_eq!(keys, ["p/f/a.bin", "p/f/c.bin"], "one is sent anew, of one nothing is told");
    assert_eq!(journal.finished().get("p/f/a.bin"), Proof::of(&told).as_ref());
    let left = journal.left(|_, _| false);
    assert_eq!(left, [("p/f/b.bin".to_owned(), "another session".to_owned())], "what is whole is not half sent");
    journal.disown();
    drop(journal);
    assert!(open().finished().is_empty());
}

#[test]
fn a_second_process_goes_without_what_the_first_one_remembers() {
    let place = tempfile::tempdir().unwrap();
    leave(place.path(), PLACE, true, "p/f/");
    let first = Journal::open(Some(place.path()), PLACE, true, "p/f/");
    let second = Journal::open(Some(place.path()), PLACE, true, "p/f/");
    assert_eq!((first.left(|_, _| false).len(), second.left(|_, _| false).len()), (1, 0));
}

#[test]
fn an_old_journal_stays_where_something_of_it_is_still_to_be_given_up() {
    let place = tempfile::tempdir().unwrap();
    let ours = leave(place.path(), PLACE, true, "p/f/");
    let others = leave(place.path(), "s3://other", true, "p/f/");
    let drive = leave(place.path(), "box:", false, "p/f/");
    let young = leave(place.path(), PLACE, true, "p/g/");
    for path in [&ours, &others, &drive] {
        grow_old(path, 8);
    }
    sweep(place.path());
    assert_eq!([&ours, &others, &drive, &young].map(|path| path.exists()), [true, true, false, true]);
    let forgotten = Journal::forgotten(Some(place.path()), PLACE);
    assert_eq!(forgotten.len(), 1, "of this place, and not of those that may be gone on with");
    assert_eq!(forgotten[0].left(|_, _| false).len(), 1);
    assert!(Journal::forgotten(Some(place.path()), PLACE).is_empty(), "somebody is at it");
    forgotten[0].close();
    drop(forgotten);
    grow_old(&others, 91);
    sweep(place.path());
    assert_eq!([&ours, &others, &young].map(|path| path.exists()), [false, false, true]);
}

#[test]
fn what_proves_whose_a_whole_file_is_outlives_the_sessions_of_those_that_are_not() {
    let place = tempfile::tempdir().unwrap();
    let checksum = Checksum { kind: HashKind::Md5, bytes: vec![7] };
    for (at, stays) in [("box:", false), (PLACE, true)] {
        let path = leave(place.path(), at, stays, "p/f/");
        let open = || Journal::open(Some(place.path()), at, stays, "p/f/");
        open().finish("p/f/whole.bin", &Receipt { checksum: Some(checksum.clone()), ..Receipt::default() });
        grow_old(&path, 8);
        sweep(place.path());
        let proven: Vec<String> = sent_whole(Some(place.path()), at, "p/f/").into_keys().collect();
        assert_eq!(proven, ["p/f/whole.bin"], "{at}");
        let journal = open();
        let left = (journal.left(|_, _| false).len(), journal.finished().len());
        assert_eq!(left, (usize::from(stays), 1), "{at}");
    }
    assert!(sent_whole(Some(place.path()), PLACE, "p/g/").is_empty());
    // Given up, it is as old as before, so that no prune takes it for that of a publish.
    let forgotten = Journal::forgotten(Some(place.path()), PLACE);
    forgotten[0].forget("p/f/a.bin");
    forgotten[0].rest();
    drop(forgotten);
    let week = Duration::from_hours(24 * 7);
    assert!(!is_in_use(Some(place.path()), PLACE, "p/f/", week));
    assert_eq!(sent_whole(Some(place.path()), PLACE, "p/f/").len(), 1);
}

#[test]
fn one_more_file_costs_a_line_however_many_there_are_and_the_file_does_not_grow_without_end() {
    use std::os::unix::fs::MetadataExt as _;
    const FILES: u64 = 5000;
    let place = tempfile::tempdir().unwrap();
    let progress: std::sync::Arc<dyn Progress> = std::sync::Arc::new(());
    let tally = Tally::new(&progress, FILES, FILES);
    let journal = Journal::open(Some(place.path()), PLACE, false, "p/f/");
    let path = files(place.path(), PLACE, "p/f/").0;
    let (mut last, mut anew) = (0, 0);
    for number in 0..FILES {
        journal.of(1, &tally).remember(&format!("p/f/{number:05}.bin"), &"s".repeat(150));
        let file = fs_err::metadata(&path).unwrap().ino();
        anew += u32::from(file != last);
        last = file;
    }
    assert!(anew < 30, "all of it was written {anew} times");
    // The same one again and again: only the newest counts.
    for part in 0..20_000 {
        journal.of(1, &tally).remember("p/f/00000.bin", &format!("session {part}"));
    }
    let length = fs_err::metadata(&path).unwrap().len();
    assert!(length < 3 * FILES * 250, "{length} bytes");
    journal.forget("p/f/00001.bin");
    drop(journal);
    let again = Journal::open(Some(place.path()), PLACE, false, "p/f/");
    assert_eq!(again.left(|_, _| false).len() as u64, FILES - 1);
    assert_eq!(again.of(1, &tally).recall("p/f/00000.bin").as_deref(), Some("session 19999"));
    assert_eq!(again.of(1, &tally).recall("p/f/00001.bin"), None);
}

#[test]
fn a_line_that_breaks_off_loses_itself_and_nothing_else() {
    let place = tempfile::tempdir().unwrap();
    let progress: std::sync::Arc<dyn Progress> = std::sync::Arc::new(());
    let tally = Tally::new(&progress, 1, 10);
    let path = leave(place.path(), PLACE, false, "p/f/");
    let journal = Journal::open(Some(place.path()), PLACE, false, "p/f/");
    for key in ["p/f/b.bin", "p/f/c.bin", "p/f/d.bin"] {
        journal.of(10, &tally).remember(key, "session");
    }
    drop(journal);
    let text = fs_err::read(&path).unwrap();
    fs_err::write(&path, &text[..text.len() - 20]).unwrap();
    let journal = Journal::open(Some(place.path()), PLACE, false, "p/f/");
    let keys = |journal: &Journal| journal.left(|_, _| false).into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    assert_eq!(keys(&journal), ["p/f/a.bin", "p/f/b.bin", "p/f/c.bin"]);
    // What is remembered after that is not added to the broken line.
    journal.of(10, &tally).remember("p/f/e.bin", "session");
    drop(journal);
    let journal = Journal::open(Some(place.path()), PLACE, false, "p/f/");
    assert_eq!(keys(&journal), ["p/f/a.bin", "p/f/b.bin", "p/f/c.bin", "p/f/e.bin"]);
    assert!(journal.owns());
}

#[test]
fn a_journal_of_one_line_without_an_end_is_read_too() {
    let place = tempfile::tempdir().unwrap();
    let path = files(place.path(), PLACE, "p/f/").0;
    let text = r#"{"place":"s3://bucket/place","stays":true,"halves":{"p/f/a.bin":{"session":"s","size":10}}}"#;
    fs_err::write(path, text).unwrap();
    let journal = Journal::open(Some(place.path()), PLACE, true, "p/f/");
    assert_eq!(journal.left(|_, _| false), [("p/f/a.bin".to_owned(), "s".to_owned())]);
}
