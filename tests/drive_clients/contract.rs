//! What every drive has to do when nothing goes wrong.

use bytes::Bytes;
use soopervisor::storage::backend::{Created, Hasher, Source};
use soopervisor::web::Fault;

use super::bench::{BOTH, Bench, ROOT, bytes, ours, send, taken};
use super::fake::Drive;

#[tokio::test]
async fn files_of_any_length_arrive_and_are_told_with_their_checksums() {
    for drive in BOTH {
        let bench = Bench::new(drive).await;
        for length in [0, 1, 70_000, 4 * 1024 * 1024 + 1] {
            let (key, content) = (format!("p/c/{length}.bin"), bytes(length, 7));
            ours(bench.send(&key, &content).await, &content, bench.kind());
            assert_eq!(bench.held(&key).unwrap(), content, "{drive:?} {length}");
            let meta = bench.service.stat(&key).await.unwrap().unwrap();
            assert_eq!((meta.size, meta.folder, &meta.key), (length as u64, false, &key));
            assert_eq!(meta.checksum, Some(Hasher::of(bench.kind(), &content)));
            assert_eq!(bench.read(&key, 0).await.unwrap(), content);
        }
        assert_eq!(bench.keys("p").await.len(), 4);
    }
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_sent_is_never_created() {
    for drive in BOTH {
        let bench = Bench::new(drive).await;
        // In one request, and in parts.
        for size in [1000, 50 << 20] {
            let file = tempfile::tempfile().unwrap();
            file.set_len(size).unwrap();
            let mut changing = Source::new(file, size, Some(bench.kind()), false, |_| Err(Fault::Changed));
            let fault = bench.service.create("p/c/changing", &mut changing, &()).await.unwrap_err();
            assert!(matches!(fault, Fault::Changed), "{drive:?} {size}: {fault:?}");
        }
        assert!(bench.fake.files(drive).is_empty(), "{drive:?}");
    }
}

#[tokio::test]
async fn names_come_back_as_they_were_given() {
    let names =
        ["été 𝄞 日本.txt", "a'b&c=d+e#f.txt", "100%25%3f.txt", "{\"x\": [1]};.json", "Ärger (2).TXT", "-", "..a"];
    for drive in BOTH {
        let bench = Bench::new(drive).await;
        for name in names {
            let key = format!("Pröj/Ünter ordner/{name}");
            ours(bench.send(&key, name.as_bytes()).await, name.as_bytes(), bench.kind());
            assert_eq!(bench.read(&key, 0).await.unwrap(), name.as_bytes(), "{drive:?} {name}");
        }
        let mut wanted: Vec<String> = names.iter().map(|name| format!("Pröj/Ünter ordner/{name}")).collect();
        wanted.sort();
        assert_eq!(bench.keys("").await, wanted, "{drive:?}");
        assert_eq!(bench.keys("Pröj/Ünter ordner").await, wanted, "{drive:?}");
    }
}

#[tokio::test]
async fn listings_of_many_pages_are_whole_and_hold_whole_keys() {
    for drive in BOTH {
        let bench = Bench::new(drive).await;
        bench.fake.set_page(drive, 150);
        let mut wanted = Vec::new();
        for number in 0..1040 {
            let key = format!("p/Deep/{:02}/f{number}", number % 3);
            bench.fake.put(drive, &format!("{ROOT}/{key}"), b"x").await;
            wanted.push(key);
        }
        bench.fake.put(drive, &format!("{ROOT}/pq/other"), b"x").await;
        bench.fake.put(drive, "outside", b"x").await;
        wanted.sort();
        assert_eq!(bench.keys("p").await, wanted, "{drive:?}");
        let mut here: Vec<(String, bool)> = bench
            .service
            .list("p/Deep", false)
            .await
            .unwrap()
            .into_iter()
            .map(|meta| (meta.key, meta.folder))
            .collect();
        here.sort();
        let folder = |name: &str| (format!("p/Deep/{name}"), true);
        assert_eq!(here, [folder("00"), folder("01"), folder("02")], "{drive:?}");
        assert!(bench.service.list("none/such", true).await.unwrap().is_empty());
        assert!(bench.service.stat("none/such").await.unwrap().is_none());
        assert_eq!(bench.read("none/such", 0).await.unwrap_err(), Fault::NotFound);
    }
}

#[tokio::test]
async fn a_name_that_is_taken_is_told_with_what_takes_it_and_left_alone() {
    for drive in BOTH {
        let bench = Bench::new(drive).await;
        bench.fake.put(drive, &format!("{ROOT}/p/a"), b"theirs, longer").await;
        let meta = taken(bench.send("p/a", b"ours").await);
        assert_eq!((meta.size, meta.checksum), (14, Some(Hasher::of(bench.kind(), b"theirs, longer"))));
        assert_eq!(bench.held("p/a").unwrap(), b"theirs, longer", "{drive:?}");
        // The same content is no damage, whoever brought it.
        match bench.send("p/a", b"theirs, longer").await.unwrap() {
            Created::Ours(receipt) => assert_eq!(receipt.checksum, Some(Hasher::of(bench.kind(), b"theirs, longer"))),
            Created::Taken(Some(meta)) => assert_eq!((meta.size, meta.checksum.is_some()), (14, true)),
            other => panic!("{other:?}"),
        }
        assert_eq!(bench.fake.files(drive).len(), 1, "{drive:?}: no second one beside it");
        // Asked again for what is known to be taken, nothing is sent.
        taken(bench.send("p/a", b"ours").await);
        taken(bench.send("p/a", b"ours").await);
    }
}

#[tokio::test]
async fn of_two_manifests_one_is_put_and_pointers_are_replaced() {
    for drive in BOTH {
        let bench = Bench::new(drive).await;
        assert!(bench.service.put("p/c/manifest.json", Bytes::from_static(b"first")).await.unwrap());
        assert!(!bench.service.put("p/c/manifest.json", Bytes::from_static(b"second")).await.unwrap());
        assert!(!bench.other().put("p/c/manifest.json", Bytes::from_static(b"first")).await.unwrap(), "{drive:?}");
        assert_eq!(bench.held("p/c/manifest.json").unwrap(), b"first");
        for text in ["one", "another", ""] {
            bench.service.replace("p/latest.json", Bytes::from(text)).await.unwrap();
            assert_eq!(bench.held("p/latest.json").unwrap(), text.as_bytes(), "{drive:?}");
        }
        assert_eq!(bench.fake.files(drive).len(), 2);
        let (one, other) = (bench.other(), bench.other());
        let (one, other) =
            tokio::join!(one.put("q/m", Bytes::from_static(b"one")), other.put("q/m", Bytes::from_static(b"other")));
        assert!(one.unwrap() ^ other.unwrap(), "{drive:?}: exactly one wins");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_of_the_vendors_own_hosts_are_asked_where_the_vendor_was_put() {
    let bench = Bench::new(Drive::Box).await;
    bench.fake.hand_out_vendors_addresses(Drive::Box);
    let content = bytes(21_000_000, 8);
    ours(bench.send("p/large", &content).await, &content, bench.kind());
    assert!(bench.read("p/large", 5).await.unwrap() == content[5..], "through an address on a third host");
}

#[tokio::test]
async fn folders_are_found_where_only_files_are_looked_at_before_an_upload() {
    let bench = Bench::new(Drive::Box).await;
    bench.fake.preflight_sees_files_only();
    bench.send("p/deep/a", b"x").await.unwrap();
    let other = Bench { fake: bench.fake.clone(), drive: Drive::Box, service: bench.other() };
    assert_eq!(other.keys("p").await, ["p/deep/a"]);
    assert_eq!(other.read("p/deep/a", 0).await.unwrap(), b"x");
    assert!(other.service.stat("p/deep").await.unwrap().unwrap().folder);
    assert!(other.service.remove_folder("p/deep").await.unwrap().freed);
    assert!(bench.fake.files(Drive::Box).is_empty(), "what is said to be removed is removed");
}

#[tokio::test]
async fn an_empty_file_of_dropbox_needs_no_session() {
    let bench = Bench::new(Drive::Dropbox).await;
    ours(bench.send("p/empty", b"").await, b"", bench.kind());
    assert_eq!(bench.fake.count(Drive::Dropbox, "", "upload_session"), 0, "{:?}", bench.fake.counts());
    let meta = taken(bench.send("p/empty", b"").await);
    assert_eq!((meta.size, bench.fake.files(Drive::Dropbox).len()), (0, 1));
    bench.send("p/full", b"x").await.unwrap();
    taken(bench.send("p/full", b"").await);
    assert_eq!(bench.held("p/full").unwrap(), b"x");
    let fault = bench.send("p/full/below", b"").await.unwrap_err();
    assert!(fault.to_string().contains("a folder"), "{fault}");
}

#[tokio::test]
async fn reading_begins_where_it_is_asked_to() {
    for drive in BOTH {
        let bench = Bench::new(drive).await;
        let content = bytes(300_000, 1);
        bench.send("p/a", &content).await.unwrap();
        for offset in [1, 299_999, 300_000] {
            assert_eq!(bench.read("p/a", offset as u64).await.unwrap(), content[offset..], "{drive:?} {offset}");
        }
    }
}

#[tokio::test]
async fn a_copy_is_made_by_the_drive_and_never_over_anything() {
    for drive in BOTH {
        let bench = Bench::new(drive).await;
        bench.send("p/old/Daten.csv", b"data").await.unwrap();
        let copied = bench.service.copy("p/old/Daten.csv", "p/new/deep/Daten 2.csv").await.map(Option::unwrap);
        ours(copied, b"data", bench.kind());
        assert_eq!(bench.held("p/new/deep/Daten 2.csv").unwrap(), b"data");
        bench.send("p/other", b"other").await.unwrap();
        let meta = taken(bench.service.copy("p/old/Daten.csv", "p/other").await.map(Option::unwrap));
        assert_eq!((meta.size, bench.held("p/other").unwrap()), (5, b"other".to_vec()), "{drive:?}");
        assert_eq!(bench.service.copy("p/none", "p/b").await.unwrap_err(), Fault::NotFound);
    }
}

#[tokio::test]
async fn only_what_is_named_is_removed() {
    for drive in BOTH {
        let bench = Bench::new(drive).await;
        for key in ["proj/abc/a.txt", "proj/abc/deep/b.txt", "proj/abcd/a.txt", "proj/a.txt", "a.txt", "abc/a.txt"] {
            bench.send(key, b"x").await.unwrap();
        }
        bench.fake.put(drive, "a.txt", b"of others").await;
        bench.fake.put(drive, "proj/abc/a.txt", b"of others").await;
        let removed = bench.service.remove_folder("proj/abc").await.unwrap();
        assert!(removed.freed, "{drive:?}: the fake allows purging");
        assert_eq!(bench.keys("").await, ["a.txt", "abc/a.txt", "proj/a.txt", "proj/abcd/a.txt"], "{drive:?}");
        assert_eq!(bench.fake.files(drive).len(), 6);
        bench.service.remove_folder("proj/abc").await.unwrap();
        bench.service.remove("proj/a.txt").await.unwrap();
        bench.service.remove("proj/a.txt").await.unwrap();
        assert_eq!(bench.keys("proj").await, ["proj/abcd/a.txt"]);
        for place in ["", "/"] {
            assert!(bench.service.remove_folder(place).await.is_err(), "{drive:?}: never the place itself");
        }
        // The name is free again.
        ours(bench.send("proj/abc/a.txt", b"anew").await, b"anew", bench.kind());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_more_files_than_one_call_removes_is_removed() {
    let bench = Bench::new(Drive::Dropbox).await;
    for number in 0..10_050 {
        bench.fake.put(Drive::Dropbox, &format!("{ROOT}/p/big/{}/{number}", number % 7), b"").await;
    }
    bench.fake.put(Drive::Dropbox, &format!("{ROOT}/p/kept"), b"").await;
    bench.service.remove_folder("p/big").await.unwrap();
    assert_eq!(bench.keys("").await, ["p/kept"]);
    assert!(bench.fake.count(Drive::Dropbox, "POST", "delete_batch") >= 11);
}

#[tokio::test]
async fn room_is_told() {
    for drive in BOTH {
        let bench = Bench::new(drive).await;
        bench.fake.set_quota(drive, 1_000_000);
        bench.fake.set_max_file(drive, 250_000);
        bench.send("p/a", &bytes(1000, 0)).await.unwrap();
        let space = bench.service.space().await.unwrap();
        assert_eq!(space.free, Some(999_000), "{drive:?}");
        assert_eq!(space.largest, Some(if drive == Drive::Box { 250_000 } else { (2 << 40) - (4 << 20) }));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_are_made_once_however_many_need_them() {
    let bench = Bench::new(Drive::Box).await;
    let folders: Vec<String> = (0..6).map(|number| format!("p/c/d{}/e{}", number % 2, number % 3)).collect();
    let (one, other) = (bench.other(), bench.other());
    let (one, other) = tokio::join!(one.make_folders(&folders), other.make_folders(&folders));
    one.unwrap();
    other.unwrap();
    let made: Vec<String> = bench.fake.folders(Drive::Box).into_iter().collect();
    assert_eq!(made.len(), 2 + 2 + 2 + 6, "{made:?}");
    assert_eq!(bench.fake.count(Drive::Box, "POST", "/2.0/folders"), 2 * made.len(), "each asks once for each");
}

#[tokio::test]
async fn a_folder_that_somebody_removed_is_made_again() {
    let bench = Bench::new(Drive::Box).await;
    bench.send("p/c/a", b"one").await.unwrap();
    bench.other().remove_folder("p").await.unwrap();
    ours(bench.send("p/c/b", b"two").await, b"two", bench.kind());
    bench.other().remove_folder("p").await.unwrap();
    assert!(bench.service.put("p/c/manifest.json", Bytes::from_static(b"{}")).await.unwrap());
    assert_eq!(bench.keys("").await, ["p/c/manifest.json"]);
}

#[tokio::test]
async fn many_files_become_visible_in_few_batches_one_at_a_time() {
    let bench = Bench::new(Drive::Dropbox).await;
    let service = &bench.service;
    let mut pending = Vec::new();
    for number in 0..1003 {
        let content = format!("content {number}");
        let mut source = super::bench::source(content.as_bytes(), bench.kind());
        match service.create(&format!("p/c/{number}"), &mut source, &()).await.unwrap() {
            Created::Pending(one) => pending.push(one),
            other => panic!("{other:?}"),
        }
    }
    assert!(bench.fake.files(Drive::Dropbox).is_empty(), "nothing can be seen yet");
    let second = pending.split_off(500);
    let (first, second) = tokio::join!(service.settle(pending), service.settle(second));
    assert!(first.iter().chain(&second).all(|settled| matches!(settled, Ok(Created::Ours(_)))));
    assert_eq!(bench.fake.count(Drive::Dropbox, "POST", "finish_batch_v2"), 2, "no batch was refused");
    assert_eq!(bench.fake.files(Drive::Dropbox).len(), 1003);
}

#[tokio::test]
async fn who_comes_second_is_told_and_can_go_on_with_another_name() {
    let bench = Bench::new(Drive::Dropbox).await;
    let mut source = super::bench::source(b"ours", bench.kind());
    let Created::Pending(pending) = bench.service.create("p/a", &mut source, &()).await.unwrap() else { panic!() };
    send(&*bench.other(), "p/a", b"theirs", &()).await.unwrap();
    let meta = taken(bench.service.settle(vec![pending]).await.remove(0));
    assert_eq!(meta.checksum, Some(Hasher::of(bench.kind(), b"theirs")));
    let mut source = super::bench::source(b"ours", bench.kind());
    taken(bench.service.create("p/a", &mut source, &()).await);
    ours(bench.send("p/a~2", b"ours").await, b"ours", bench.kind());
}

#[tokio::test]
async fn people_look_at_a_folder_on_the_drives_own_page() {
    for drive in BOTH {
        let bench = Bench::new(drive).await;
        if drive == Drive::Box {
            assert_eq!(bench.service.web_address("p/a b").await, Ok(None), "nothing is there");
        }
        ours(bench.send("p/a b/1.txt", b"x").await, b"x", bench.kind());
        let page = bench.other().web_address("p/a b").await.unwrap().unwrap();
        if drive == Drive::Box {
            let id = page.strip_prefix("https://app.box.com/folder/").unwrap();
            assert!(!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()), "{page}");
        } else {
            assert!(page.starts_with("https://www.dropbox.com/home/") && page.ends_with("/p/a%20b"), "{page}");
        }
    }
}

#[tokio::test]
async fn a_file_in_the_place_of_a_folder_is_told_before_anything_is_sent() {
    for drive in BOTH {
        for (path, fits) in
            [("Apps/Other", true), ("Apps/Our Things/p", true), ("Apps/Our Things", false), ("Apps", false)]
        {
            let bench = Bench::new(drive).await;
            bench.fake.put(drive, path, b"x").await;
            let folders = bench.fake.folders(drive);
            let looked = bench.service.look_at_place().await;
            assert_eq!(looked.is_ok(), fits, "{drive:?} {path}: {looked:?}");
            let told = looked.err().map(|fault| fault.to_string()).unwrap_or_default();
            assert!(fits || told.contains(&format!("`{path}` is a file")), "{drive:?}: {told}");
            assert_eq!(bench.fake.folders(drive), folders, "{drive:?}: looking makes nothing");
        }
    }
}

#[tokio::test]
async fn in_a_folder_of_somebody_else_the_room_of_this_account_of_box_does_not_count() {
    let bench = Bench::new(Drive::Box).await;
    bench.fake.put(Drive::Box, "mine", &bytes(1000, 1)).await;
    bench.fake.set_quota(Drive::Box, 1000);
    bench.service.look_at_place().await.unwrap();
    assert_eq!(bench.service.space().await.unwrap().free, Some(0), "where nothing is there yet, it will be ours");
    bench.fake.give_away(Drive::Box, "Apps", false);
    let other = Bench { fake: bench.fake.clone(), drive: Drive::Box, service: bench.other() };
    other.service.look_at_place().await.unwrap();
    assert_eq!(other.service.space().await.unwrap().free, None);
    other.send("p/a", b"theirs").await.unwrap();
    assert_eq!(other.held("p/a").unwrap(), b"theirs");
    other.fake.give_away(Drive::Box, "Apps", true);
    assert!(matches!(other.service.look_at_place().await, Err(Fault::Forbidden(_))));
}
