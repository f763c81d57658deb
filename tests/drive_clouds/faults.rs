//! What goes wrong loses nothing and makes nothing twice.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::try_join_all;
use soopervisor::storage::backend::{Created, Fault as Told};

use crate::bench::{BOTH, MIB, Memory, create, create_with, fragment, made, noise, open, read, source, uploads, whole};
use crate::fake::{Drive, Fake, Fault, When};

#[tokio::test(flavor = "multi_thread")]
async fn a_half_sent_file_is_gone_on_with_by_another_process() {
    let bytes = Arc::new(noise(60_000_000, 5));
    // OneDrive's grow while they are quick, and begin small again. Google is asked with PUT too.
    for (drive, in_all) in [(Drive::OneDrive, 3 + 2), (Drive::GDrive, 4 + 1 + 1)] {
        let fake = Fake::start().await;
        let memory = Arc::new(Memory::default());
        fake.fault(drive, When::path(fragment(drive)).method("PUT").nth(3), Fault::Slow(Duration::from_mins(1)));
        let first = open(&fake, drive, "");
        let (service, kept, all) = (Arc::clone(&first.service), Arc::clone(&memory), Arc::clone(&bytes));
        let dying = tokio::spawn(async move { create_with(&*service, "p/large", &all, &*kept).await.map(drop) });
        while uploads(&fake, drive) < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        dying.abort();
        let _ = dying.await;
        assert!(fake.files(drive).is_empty());
        assert_eq!(memory.kept.lock().unwrap().len(), 1);
        memory.sent.store(0, Ordering::SeqCst);
        let second = open(&fake, drive, "");
        let created = create_with(&*second, "p/large", &bytes, &*memory).await.unwrap();
        assert!(matches!(created, Created::Ours(_)), "{created:?}");
        assert!(fake.read(drive, "p/large").unwrap() == *bytes);
        assert_eq!(uploads(&fake, drive), in_all, "{drive:?}: what had arrived was not sent again");
        assert_eq!(memory.sent.load(Ordering::SeqCst), 60_000_000);
        assert!(memory.kept.lock().unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_makes_neither_a_failure_nor_a_second_file() {
    for drive in BOTH {
        let fake = Fake::start().await;
        let service = open(&fake, drive, "");
        let (method, path) = whole(drive);
        for (number, fault) in [Fault::NoAnswer, Fault::ErrorAfter, Fault::CutAnswer(9)].into_iter().enumerate() {
            fake.fault(drive, When::path(path).method(method), fault.clone());
            made(&*service, &format!("p/{number}"), &noise(1000, 1)).await;
            // The last of two fragments.
            fake.fault(drive, When::path(fragment(drive)).method("PUT").nth(2), fault.clone());
            made(&*service, &format!("p/large-{number}"), &noise(19 * MIB, 2)).await;
            // The only fragment.
            fake.fault(drive, When::path(fragment(drive)).method("PUT"), fault);
            made(&*service, &format!("p/one-{number}"), &noise(6 * MIB, 2)).await;
        }
        fake.fault(drive, When::path(path).method(method), Fault::NoAnswer);
        assert!(service.put("p/manifest.json", bytes::Bytes::from_static(b"{}")).await.unwrap());
        assert_eq!(fake.faults_left(), 0);
        assert_eq!(fake.files(drive).len(), 10, "{drive:?}");
        assert_eq!(fake.folders(drive).iter().filter(|path| path.starts_with('p')).count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_makes_no_second_folder() {
    for drive in BOTH {
        let fake = Fake::start().await;
        let service = open(&fake, drive, "root");
        let path = if drive == Drive::OneDrive { "/children" } else { "/drive/v3/files?" };
        fake.fault(drive, When::path(path).method("POST").times(2), Fault::NoAnswer);
        service.make_folders(&["a/b".to_owned(), "a/c".to_owned()]).await.unwrap();
        let made: Vec<String> = fake.folders(drive).into_iter().filter(|path| !path.starts_with("Apps")).collect();
        assert_eq!(made, ["root", "root/a", "root/a/b", "root/a/c"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_break_are_no_failure() {
    let bytes = noise(36 * MIB, 6);
    for drive in BOTH {
        let fake = Fake::start().await;
        let service = open(&fake, drive, "");
        let (method, path) = whole(drive);
        fake.fault(drive, When::path(path).method(method), Fault::CutRequest(100));
        made(&*service, "p/small", &noise(10_000, 1)).await;
        fake.fault(drive, When::path(fragment(drive)).method("PUT").nth(1), Fault::CutRequest(3_000_000));
        fake.fault(drive, When::path(fragment(drive)).method("PUT").nth(3), Fault::CutRequest(0));
        fake.fault(drive, When::path(fragment(drive)).method("PUT").nth(4), Fault::NoAnswer);
        fake.fault(drive, When::path(fragment(drive)).method("PUT").nth(5), Fault::ErrorBefore);
        let memory = Memory::default();
        create_with(&*service, "p/large", &bytes, &memory).await.unwrap();
        assert!(fake.read(drive, "p/large").unwrap() == bytes, "{drive:?}");
        assert_eq!(memory.sent.load(Ordering::SeqCst), 36 * 1024 * 1024);
        assert_eq!((fake.files(drive).len(), fake.faults_left()), (2, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_to_wait_waits_and_goes_on() {
    for drive in BOTH {
        let fake = Fake::start().await;
        let service = open(&fake, drive, "");
        let (method, path) = whole(drive);
        let slow =
            [Fault::TooMany(Some(1)), Fault::TooMany(None), Fault::Unavailable(Some(1)), Fault::Unavailable(None)];
        for (number, fault) in slow.into_iter().enumerate() {
            let begun = std::time::Instant::now();
            let told = matches!(fault, Fault::TooMany(Some(_)) | Fault::Unavailable(Some(_)));
            fake.fault(drive, When::path(path).method(method), fault.clone());
            made(&*service, &format!("p/{number}"), &noise(1000, 1)).await;
            assert!(!told || begun.elapsed() >= Duration::from_secs(1));
            fake.fault(drive, When::path(fragment(drive)).method("PUT"), fault);
            made(&*service, &format!("p/large-{number}"), &noise(6 * MIB, 2)).await;
        }
        assert_eq!((fake.files(drive).len(), fake.faults_left()), (8, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_in_the_middle_is_renewed() {
    for drive in BOTH {
        let fake = Fake::start().await;
        let service = open(&fake, drive, "");
        fake.fault(drive, When::path(fragment(drive)).method("PUT"), Fault::Expired);
        made(&*service, "p/large", &noise(20 * MIB, 2)).await;
        made(&*service, "p/small", b"x").await;
        assert_eq!(service.login.renewed.load(Ordering::SeqCst), 1);
        fake.revoke_tokens(drive);
        made(&*service, "p/more", b"x").await;
        assert_eq!(fake.files(drive).len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_fills_up_in_the_middle_keeps_what_was_sent_for_later() {
    for drive in BOTH {
        let fake = Fake::start().await;
        let service = open(&fake, drive, "");
        let (bytes, memory) = (noise(36 * MIB, 6), Memory::default());
        // However large OneDrive's grow, the second one is not the last. Google is asked with PUT too.
        let refused = if drive == Drive::OneDrive { 2 } else { 3 };
        fake.fault(drive, When::path(fragment(drive)).method("PUT").nth(refused), Fault::QuotaFull);
        let fault = create_with(&*service, "p/large", &bytes, &memory).await.unwrap_err();
        assert_eq!(fault, Told::Full, "{drive:?}");
        assert!(fake.files(drive).is_empty());
        let before = fake.received(drive);
        create_with(&*open(&fake, drive, ""), "p/large", &bytes, &memory).await.unwrap();
        assert!(fake.read(drive, "p/large").unwrap() == bytes);
        let again = fake.received(drive) - before;
        assert!(again + 10 * MIB as u64 <= bytes.len() as u64, "{drive:?}: only the rest was sent, not {again} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_breaks_off_goes_on_where_it_was() {
    let bytes = noise(9 * MIB, 8);
    for (drive, path) in [(Drive::OneDrive, "/dl/"), (Drive::GDrive, "alt=media")] {
        let fake = Fake::start().await;
        fake.put(drive, "p/large", &bytes).await;
        let service = open(&fake, drive, "");
        fake.fault(drive, When::path(path).nth(1), Fault::CutAnswer(4_000_000));
        fake.fault(drive, When::path(path).nth(2), Fault::CutAnswer(300_000));
        assert!(read(&*service, "p/large", 0).await.unwrap() == bytes, "{drive:?}");
        assert_eq!(fake.faults_left(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_create_one_manifest_exactly_one_succeeds() {
    for drive in BOTH {
        let fake = Fake::start().await;
        let (one, two) = (open(&fake, drive, ""), open(&fake, drive, ""));
        for round in 0..4 {
            let key = format!("p/{round}/manifest.json");
            let put = |service: Arc<dyn soopervisor::storage::backend::Backend>, text: &'static [u8]| {
                let key = key.clone();
                async move { service.put(&key, bytes::Bytes::from_static(text)).await }
            };
            let won = try_join_all([put(one.service.clone(), b"one"), put(two.service.clone(), b"two")]).await.unwrap();
            assert_eq!(won.iter().filter(|won| **won).count(), 1, "{drive:?} {round}: {won:?}");
            let winner: &[u8] = if won[0] { b"one" } else { b"two" };
            for service in [&one, &two, &open(&fake, drive, "")] {
                assert_eq!(read(&**service, &key, 0).await.unwrap(), winner);
            }
        }
        assert_eq!(fake.files(drive).len(), 4, "{drive:?}: {:?}", fake.files(drive).keys());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_while_it_is_sent_is_never_created() {
    use std::io::Write as _;
    for drive in BOTH {
        let fake = Fake::start().await;
        let service = open(&fake, drive, "");
        for size in [1000, 12 * MIB] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&noise(size, 1)).unwrap();
            let changed = |_: &std::fs::File| Err(Told::Local("changed".to_owned()));
            let hash = service.traits().hash;
            let mut changing = soopervisor::storage::backend::Source::new(file, size as u64, hash, false, changed);
            changing.rewind().unwrap();
            let fault = service.create("p/file", &mut changing, &()).await.unwrap_err();
            assert!(matches!(fault, Told::Local(_)), "{fault:?}");
        }
        assert!(fake.files(drive).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_of_uploads_are_told_to_nobody() {
    for drive in BOTH {
        let fake = Fake::start().await;
        let service = open(&fake, drive, "");
        let memory = Memory::default();
        fake.fault(drive, When::path(fragment(drive)).method("PUT").times(99), Fault::Status(418));
        let fault = create_with(&*service, "p/large", &noise(12 * MIB, 1), &memory).await.unwrap_err();
        let told = format!("{fault} {fault:?} {:?}", service.service);
        assert!(!told.contains("fake-session") && !told.contains("upload_id") && !told.contains("-access-"), "{told}");
        assert!(create(&*service, "p/small", b"x").await.is_ok());
    }
}

/// Bytes that this process had at most, as Linux counts them.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded_however_large_files_are() {
    // Other tests would be counted too: in a process of its own.
    const ALONE: &str = "SOOPERVISOR_TEST_ALONE";
    let name = "faults::memory_is_bounded_however_large_files_are";
    if std::env::var_os(ALONE).is_none() {
        let program = std::env::current_exe().unwrap();
        let alone = std::process::Command::new(program).args([name, "--exact"]).env(ALONE, "1").output().unwrap();
        assert!(alone.status.success(), "{}", String::from_utf8_lossy(&alone.stdout));
        return;
    }
    for drive in BOTH {
        let fake = Fake::start().await;
        let service = open(&fake, drive, "");
        made(&*service, "p/first", &noise(6 * MIB, 1)).await;
        let before = peak();
        let lanes = (0..service.traits().lanes).map(|lane| {
            let file = tempfile::tempfile().unwrap();
            file.set_len(80 * 1024 * 1024).unwrap();
            let (service, hash) = (Arc::clone(&service.service), service.traits().hash);
            async move {
                let size = 80 * 1024 * 1024;
                let mut source = soopervisor::storage::backend::Source::new(file, size, hash, false, |_| Ok(()));
                service.create(&format!("p/{lane}"), &mut source, &()).await
            }
        });
        for created in try_join_all(lanes).await.unwrap() {
            assert!(matches!(created, Created::Ours(_)));
        }
        let grown = peak() - before;
        assert!(grown < 130 * 1024 * 1024, "{drive:?}: {grown} bytes");
        drop(source(&*service, b""));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_seen_from_outside_and_one_of_hours_is_an_error_at_once() {
    for drive in BOTH {
        let fake = Fake::start().await;
        fake.fault(drive, When::path("").times(1000), Fault::TooMany(Some(60)));
        let service = Arc::clone(&open(&fake, drive, "").service);
        let waits = Arc::clone(&service);
        let asking = tokio::spawn(async move { service.space().await });
        let begun = std::time::Instant::now();
        while waits.waiting().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{drive:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        asking.abort();
        asking.await.unwrap_err();
        assert_eq!(waits.waiting(), None, "{drive:?}");
        // Another account.
        let fake = Fake::start().await;
        fake.fault(drive, When::path("").times(1000), Fault::TooMany(Some(7200)));
        let service = open(&fake, drive, "");
        for _ in 0..2 {
            let fault = service.space().await.unwrap_err();
            assert!(matches!(fault, Told::Throttled(Some(after)) if after > Duration::from_hours(1)), "{fault:?}");
        }
        assert_eq!(fake.requests().len(), 1, "{drive:?}: {:?}", fake.requests());
    }
}
