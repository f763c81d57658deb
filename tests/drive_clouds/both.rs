//! What both have to do when nothing goes wrong.

use std::sync::atomic::Ordering;

use soopervisor::storage::backend::{Created, Fault};

use crate::bench::{BOTH, MIB, Memory, create, create_with, keys, made, noise, open, read, source, uploads};
use crate::fake::{Drive, Fake};

#[tokio::test(flavor = "multi_thread")]
async fn files_of_every_size_arrive_as_they_are_and_come_back_from_any_place() {
    for drive in BOTH {
        let fake = Fake::start().await;
        let service = open(&fake, drive, "reports/été");
        service.make_folders(&["p/sub".to_owned(), "p/sub".to_owned(), "p".to_owned()]).await.unwrap();
        let sizes = [0, 1, 4 * MIB, 4 * MIB + 1, 5_000_000, 5_000_001];
        for size in sizes {
            let (key, bytes) = (format!("p/sub/{size}.bin"), noise(size, 7));
            let memory = Memory::default();
            assert!(matches!(create_with(&*service, &key, &bytes, &memory).await.unwrap(), Created::Ours(_)));
            assert_eq!(memory.sent.load(Ordering::SeqCst), i64::try_from(size).unwrap());
            assert!(memory.kept.lock().unwrap().is_empty());
            assert_eq!(fake.read(drive, &format!("reports/été/{key}")).unwrap(), bytes, "{drive:?} {size}");
            assert!(read(&*service, &key, 0).await.unwrap() == bytes);
            let half = size / 2;
            assert!(read(&*service, &key, half as u64).await.unwrap() == bytes[half..]);
            assert!(read(&*service, &key, size as u64).await.unwrap().is_empty());
            let meta = service.stat(&key).await.unwrap().unwrap();
            assert_eq!((meta.size, meta.folder), (size as u64, false));
            let mut again = source(&*service, &bytes);
            again.drain().await.unwrap();
            assert_eq!(meta.checksum, again.checksum());
        }
        assert_eq!(fake.files(drive).len(), sizes.len());
        assert_eq!(fake.folders(drive).iter().filter(|path| path.contains("reports")).count(), 4);
        assert!(service.stat("p/none").await.unwrap().is_none());
        assert_eq!(read(&*service, "p/none", 0).await.unwrap_err(), Fault::NotFound);
        assert!(service.stat("p").await.unwrap().unwrap().folder);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_goes_in_fragments_one_after_the_other() {
    let bytes = noise(60_000_000, 1);
    // OneDrive's grow while they are quick.
    for (drive, fragments) in [(Drive::OneDrive, 3), (Drive::GDrive, 4)] {
        let fake = Fake::start().await;
        let service = open(&fake, drive, "");
        made(&*service, "p/large.bin", &bytes).await;
        assert_eq!(uploads(&fake, drive), fragments);
        assert!(fake.read(drive, "p/large.bin").unwrap() == bytes);
        assert_eq!(fake.open_sessions(drive), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_of_the_vendors_own_hosts_are_asked_where_the_vendor_was_put() {
    for drive in BOTH {
        let fake = Fake::start().await;
        fake.hand_out_vendors_addresses(drive);
        fake.set_page(drive, 3);
        let service = open(&fake, drive, "");
        let bytes = noise(12 * MIB, 5);
        made(&*service, "p/large.bin", &bytes).await;
        for number in 0..7 {
            fake.put(drive, &format!("p/many/{number}"), b"x").await;
        }
        let other = open(&fake, drive, "");
        assert!(read(&*other, "p/large.bin", 5).await.unwrap() == bytes[5..], "{drive:?}");
        assert_eq!(keys(&*other, "p/many", true).await.len(), 7, "{drive:?}: page by page");
        let copied = other.copy("p/large.bin", "p/copy.bin").await.unwrap();
        assert!(matches!(copied, Some(Created::Ours(_))), "{drive:?}: {copied:?}");
        assert_eq!(service.login.renewed.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_any_kind_are_stored_as_they_are() {
    let names = ["p/été ü 文件 🙂.txt", "p/a%3ab #1 +&=.txt", "p/it's a 'name'.txt", "p/x%20%2f/y.txt", "p/100%.txt"];
    for drive in BOTH {
        let fake = Fake::start().await;
        let service = open(&fake, drive, "");
        for (seed, name) in (1..).zip(names) {
            made(&*service, name, &noise(100, seed)).await;
        }
        if drive == Drive::GDrive {
            made(&*service, r"p/back\slash.txt", b"x").await;
            made(&*service, "p/100%.TXT", b"upper").await;
            assert_eq!(read(&*open(&fake, drive, ""), "p/100%.TXT", 0).await.unwrap(), b"upper");
            assert_eq!(read(&*open(&fake, drive, ""), r"p/back\slash.txt", 0).await.unwrap(), b"x");
        }
        let other = open(&fake, drive, "");
        for (seed, name) in (1..).zip(names) {
            assert_eq!(fake.read(drive, name).unwrap(), noise(100, seed), "{name}");
            assert_eq!(read(&*other, name, 0).await.unwrap(), noise(100, seed), "{name}");
            assert!(keys(&*other, "p", true).await.contains(&name.to_owned()), "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_name_stays_as_it_is_whatever_is_sent() {
    for drive in BOTH {
        let fake = Fake::start().await;
        let large = noise(12 * MIB, 3);
        fake.put(drive, "p/small.txt", b"theirs").await;
        fake.put(drive, "p/large.bin", &large).await;
        let service = open(&fake, drive, "");
        for (key, theirs) in [("p/small.txt", &b"theirs"[..]), ("p/large.bin", &large)] {
            for ours in [theirs, b"others", &noise(11 * MIB, 4)] {
                let mut sent = source(&*service, ours);
                let created = service.create(key, &mut sent, &()).await.unwrap();
                let Created::Taken(Some(there)) = created else { panic!("{drive:?} {key}: {created:?}") };
                sent.drain().await.unwrap();
                assert_eq!(there.checksum == sent.checksum(), ours == theirs, "{drive:?} {key}");
            }
            assert!(fake.read(drive, key).unwrap() == theirs);
        }
        assert!(!service.put("p/small.txt", bytes::Bytes::from_static(b"ours")).await.unwrap());
        service.replace("p/small.txt", bytes::Bytes::from_static(b"newer")).await.unwrap();
        service.replace("p/new.txt", bytes::Bytes::from_static(b"new")).await.unwrap();
        assert_eq!(fake.read(drive, "p/small.txt").unwrap(), b"newer");
        assert_eq!(fake.read(drive, "p/new.txt").unwrap(), b"new");
        assert_eq!(fake.files(drive).len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_have_every_entry_however_many_there_are() {
    for drive in BOTH {
        let fake = Fake::start().await;
        for number in 0..1230 {
            fake.put(drive, &format!("root/p/many/{number}"), b"x").await;
        }
        for number in 0..60 {
            fake.put(drive, &format!("root/p/folders/{number}/file"), b"x").await;
        }
        fake.put(drive, "root/p-other", b"x").await;
        let service = open(&fake, drive, "root");
        let deep = keys(&*service, "p", true).await;
        assert_eq!(deep.len(), 1230 + 60 * 2 + 2, "{drive:?}");
        assert!(deep.contains(&"p/folders/59/file".to_owned()) && deep.contains(&"p/many/1229".to_owned()));
        assert_eq!(keys(&*service, "p", false).await, ["p/folders/", "p/many/"]);
        assert_eq!(keys(&*service, "", false).await, ["p-other", "p/"]);
        assert!(keys(&*service, "none", true).await.is_empty());
        assert!(fake.requests().len() < 90, "{drive:?}: {}", fake.requests().len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_removed_with_all_that_is_in_it_and_nothing_else() {
    for drive in BOTH {
        let fake = Fake::start().await;
        let files = ["p/abc/a", "p/abc/b/c/d", "p/abcd/a", "p/ab", "abc/a", "q/p/abc"];
        for file in files {
            fake.put(drive, file, b"x").await;
        }
        let service = open(&fake, drive, "");
        service.remove("p/abc/a").await.unwrap();
        service.remove("p/abc/a").await.unwrap();
        let removed = service.remove_folder("p/abc").await.unwrap();
        assert_eq!(removed.freed, drive == Drive::GDrive);
        let left: Vec<String> = fake.files(drive).into_keys().collect();
        assert_eq!(left, ["abc/a", "p/ab", "p/abcd/a", "q/p/abc"]);
        service.remove_folder("p/abc").await.unwrap();
        assert!(service.remove_folder("").await.is_err() && service.remove_folder("/").await.is_err());
        assert_eq!(fake.files(drive).len(), 4);
        // And it can be made again.
        made(&*service, "p/abc/a", b"new").await;
        assert_eq!(fake.read(drive, "p/abc/a").unwrap(), b"new");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_are_made_on_the_services_own_side_to_free_keys_only() {
    for drive in BOTH {
        let fake = Fake::start().await;
        let bytes = noise(3 * MIB, 9);
        fake.put(drive, "p/one/file", &bytes).await;
        fake.put(drive, "p/two/taken", b"theirs").await;
        let service = open(&fake, drive, "");
        let copied = service.copy("p/one/file", "p/two/new/file").await.unwrap();
        assert!(matches!(copied, Some(Created::Ours(_))), "{drive:?}: {copied:?}");
        assert!(fake.read(drive, "p/two/new/file").unwrap() == bytes);
        let taken = service.copy("p/one/file", "p/two/taken").await.unwrap();
        assert!(matches!(taken, Some(Created::Taken(Some(_)))), "{taken:?}");
        assert_eq!(fake.read(drive, "p/two/taken").unwrap(), b"theirs");
        assert!(service.copy("p/one/none", "p/two/none").await.unwrap().is_none());
        fake.fault(drive, crate::fake::When::path("/copy"), crate::fake::Fault::Status(400));
        assert!(service.copy("p/one/file", "p/two/other").await.unwrap().is_none());
        assert_eq!(fake.files(drive).len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn room_is_told_and_a_full_account_takes_nothing() {
    for drive in BOTH {
        let fake = Fake::start().await;
        fake.set_quota(drive, 10_000_000);
        fake.put(drive, "there", &noise(1_000_000, 1)).await;
        let service = open(&fake, drive, "");
        assert_eq!(service.space().await.unwrap().free, Some(9_000_000));
        for size in [9_000_001, 20 * MIB] {
            assert_eq!(create(&*service, "p/large", &noise(size, 2)).await.unwrap_err(), Fault::Full, "{drive:?}");
        }
        fake.set_quota(drive, 1_000_000);
        assert_eq!(create(&*service, "p/small", b"x").await.unwrap_err(), Fault::Full);
        assert_eq!(fake.files(drive).len(), 1);
        fake.set_quota(drive, 10_000_000);
        made(&*service, "p/small", b"x").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_look_at_a_folder_on_the_drives_own_page() {
    for drive in BOTH {
        let fake = Fake::start().await;
        let service = open(&fake, drive, "reports");
        assert_eq!(service.web_address("p/c").await, Ok(None), "nothing is there");
        made(&*service, "p/c/1.txt", b"x").await;
        let page = open(&fake, drive, "reports").web_address("p/c").await.unwrap().unwrap();
        if drive == Drive::OneDrive {
            assert_eq!(page, "https://example.invalid/item", "as it told");
        } else {
            let id = page.strip_prefix("https://drive.google.com/drive/folders/").unwrap();
            assert!(!id.is_empty() && !id.contains('/'), "{page}");
        }
    }
}
