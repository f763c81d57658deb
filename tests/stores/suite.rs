//! What every service promises, written once.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use sha2::{Digest as _, Sha256};
use soopervisor::storage::backend::{Checksum, Created, Fault, Keeper, Sessions, Shared, Source};

/// Names that some service has trouble with, as `storage::key` hands them over.
const NAMES: [&str; 10] = [
    "été.txt",
    "with space.txt",
    "%20x",
    "a+b&c=d#e;f,g",
    "日本.txt",
    "q'(1)[2]{3}!$@~.txt",
    "%3a%2fx%25",
    ".hidden",
    "UPPER and lower",
    "trailing%20",
];

/// All of it; `many` objects in one folder.
pub(crate) async fn all(service: &Shared, many: usize) {
    small(service).await;
    large_files_come_back(service).await;
    of_two_who_create_one_succeeds(service).await;
    many_objects_are_listed_and_removed(service, many).await;
}

/// What needs neither parts nor patience.
pub(crate) async fn small(service: &Shared) {
    service.space().await.unwrap();
    let folders = ["p", "p/c", "p/c/deep", "p/c2", "other"].map(str::to_owned);
    service.make_folders(&folders).await.unwrap();
    service.make_folders(&folders).await.unwrap();
    what_is_created_is_there_and_stays(service).await;
    what_is_not_there_is_told_as_such(service).await;
    names_come_back(service).await;
    copies_and_small_objects(service).await;
    a_file_that_changes_while_it_is_sent_is_not_there(service).await;
    a_folder_goes_and_its_neighbours_stay(service).await;
}

/// For a server that knows no conditions, and so cannot tell a key that is taken.
pub(crate) async fn without_conditions(service: &Shared) {
    service.space().await.unwrap();
    ours(service, "p/c/a.txt", b"0123456789").await;
    assert_eq!(read(service, "p/c/a.txt", 3).await.unwrap(), b"3456789");
    ours(service, "p/c/empty", b"").await;
    ours(service, "p/c/new/er/x", b"x").await;
    what_is_not_there_is_told_as_such(service).await;
    names_come_back(service).await;
    a_file_that_changes_while_it_is_sent_is_not_there(service).await;
    a_folder_goes_and_its_neighbours_stay(service).await;
}

pub(crate) fn source(service: &Shared, bytes: &[u8]) -> Source {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    Source::new(file, bytes.len() as u64, service.traits().hash, false, |_| Ok(()))
}

/// On services that tell no checksums in listings, too: or nobody could say later whether what lies there is what was sent.
pub(crate) async fn what_was_made_is_known_again_until_somebody_writes_to_it(service: &Shared) {
    for (key, bytes) in [("known/again/a.csv", b"1,2".to_vec()), ("known/again/big.bin", vec![7; 12 << 20])] {
        service.make_folders(&["known".to_owned(), "known/again".to_owned()]).await.unwrap();
        let Created::Ours(receipt) = create(service, key, &bytes).await else { panic!("{}: {key}", service.place()) };
        let told = async || {
            let listed = service.list("known/again", true).await.unwrap();
            let meta = listed.into_iter().find(|meta| meta.key == key).unwrap();
            (meta.checksum, meta.tag)
        };
        let as_made = |(checksum, tag): &(Option<Checksum>, Option<String>)| match (&receipt.checksum, checksum) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => receipt.tag.is_some() && receipt.tag == *tag,
        };
        let listed = told().await;
        assert!(as_made(&listed), "{}: {key}: {receipt:?}, {listed:?}", service.place());
        service.replace(key, Bytes::from_static(b"of somebody else")).await.unwrap();
        let listed = told().await;
        assert!(!as_made(&listed), "{}: {key}: {receipt:?}, {listed:?}", service.place());
    }
}

async fn create(service: &Shared, key: &str, bytes: &[u8]) -> Created {
    let mut source = source(service, bytes);
    let created = service.create(key, &mut source, &()).await;
    let created = created.unwrap_or_else(|fault| panic!("{}: {key}: {fault}", service.place()));
    if let Created::Ours(receipt) = &created {
        source.drain().await.unwrap();
        source.compare(receipt.checksum.as_ref()).unwrap();
    }
    created
}

async fn ours(service: &Shared, key: &str, bytes: &[u8]) {
    let created = create(service, key, bytes).await;
    assert!(matches!(created, Created::Ours(_)), "{}: {key}: {created:?}", service.place());
}

async fn read(service: &Shared, key: &str, offset: u64) -> Result<Vec<u8>, Fault> {
    let mut stream = service.read(key, offset).await?;
    let mut whole = Vec::new();
    while let Some(bytes) = stream.try_next().await? {
        whole.extend_from_slice(&bytes);
    }
    Ok(whole)
}

async fn keys(service: &Shared, folder: &str, deep: bool) -> BTreeSet<String> {
    let listed = service.list(folder, deep).await.unwrap();
    listed.into_iter().filter(|meta| !meta.folder).map(|meta| meta.key).collect()
}

async fn what_is_created_is_there_and_stays(service: &Shared) {
    ours(service, "p/c/a.txt", b"0123456789").await;
    for (offset, rest) in [(0, "0123456789"), (3, "3456789"), (9, "9"), (10, "")] {
        assert_eq!(read(service, "p/c/a.txt", offset).await.unwrap(), rest.as_bytes(), "from {offset}");
    }
    let meta = service.stat("p/c/a.txt").await.unwrap().unwrap();
    assert_eq!((meta.key.as_str(), meta.size, meta.folder), ("p/c/a.txt", 10, false));
    for again in [&b"0123456789"[..], b"something else"] {
        match create(service, "p/c/a.txt", again).await {
            Created::Taken(Some(meta)) => assert_eq!(meta.size, 10),
            other => panic!("{}: {other:?}", service.place()),
        }
        assert_eq!(read(service, "p/c/a.txt", 0).await.unwrap(), b"0123456789");
    }
    ours(service, "p/c/empty", b"").await;
    assert_eq!(read(service, "p/c/empty", 0).await.unwrap(), b"");
    assert!(matches!(create(service, "p/c/empty", b"").await, Created::Taken(_)));
    // In folders that nobody made.
    ours(service, "p/c/new/er/x", b"x").await;
    ours(service, "p/c/deep/x", b"y").await;
}

async fn what_is_not_there_is_told_as_such(service: &Shared) {
    assert_eq!(service.stat("p/c/absent").await.unwrap(), None);
    assert_eq!(service.stat("absent/too").await.unwrap(), None);
    let absent = read(service, "p/c/absent", 0).await.unwrap_err();
    assert!(matches!(absent, Fault::NotFound), "{absent:?}");
    assert_eq!(service.list("absent/folder", true).await.unwrap(), []);
    service.remove("p/c/absent").await.unwrap();
    service.remove_folder("absent/folder").await.unwrap();
    assert!(service.remove_folder("").await.is_err(), "never everything");
}

async fn names_come_back(service: &Shared) {
    for (at, name) in NAMES.iter().enumerate() {
        let key = format!("p/c/names/{name}");
        ours(service, &key, format!("{at}").as_bytes()).await;
        assert_eq!(read(service, &key, 0).await.unwrap(), format!("{at}").as_bytes(), "{key}");
    }
    let expected: BTreeSet<String> = NAMES.iter().map(|name| format!("p/c/names/{name}")).collect();
    assert_eq!(keys(service, "p/c/names", false).await, expected);
    let listed = service.list("p", true).await.unwrap();
    assert!(listed.iter().all(|meta| meta.key.starts_with("p/") && !meta.key.ends_with('/')), "{listed:?}");
    let deep = keys(service, "p", true).await;
    assert!(expected.is_subset(&deep) && deep.contains("p/c/new/er/x"), "{deep:?}");
    let sizes: Vec<u64> = listed.iter().filter(|meta| meta.key == "p/c/a.txt").map(|meta| meta.size).collect();
    assert_eq!(sizes, [10]);
    let shallow = service.list("p", false).await.unwrap();
    let folders: BTreeSet<&str> = shallow.iter().filter(|meta| meta.folder).map(|meta| meta.key.as_str()).collect();
    assert!(folders.contains("p/c"), "{shallow:?}");
    assert!(shallow.iter().all(|meta| meta.folder), "{shallow:?}");
}

async fn copies_and_small_objects(service: &Shared) {
    match service.copy("p/c/a.txt", "p/c/copy").await.unwrap() {
        Some(Created::Ours(_)) => {
            assert_eq!(read(service, "p/c/copy", 0).await.unwrap(), b"0123456789");
            let again = service.copy("p/c/empty", "p/c/copy").await.unwrap();
            assert!(matches!(again, Some(Created::Taken(_))), "{again:?}");
            assert_eq!(read(service, "p/c/copy", 0).await.unwrap(), b"0123456789");
        }
        None => {}
        other => panic!("{}: {other:?}", service.place()),
    }
    assert!(service.put("p/c/small", Bytes::from_static(b"one")).await.unwrap());
    assert!(!service.put("p/c/small", Bytes::from_static(b"two")).await.unwrap());
    assert_eq!(read(service, "p/c/small", 0).await.unwrap(), b"one");
    for text in ["three", "fo"] {
        service.replace("p/c/small", Bytes::from_static(text.as_bytes())).await.unwrap();
        assert_eq!(read(service, "p/c/small", 0).await.unwrap(), text.as_bytes());
    }
    service.replace("p/pointers/latest.json", Bytes::from_static(b"{}")).await.unwrap();
    service.remove("p/c/small").await.unwrap();
    assert_eq!(service.stat("p/c/small").await.unwrap(), None);
}

async fn a_file_that_changes_while_it_is_sent_is_not_there(service: &Shared) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[7; 100]).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let mut changed = Source::new(file, 100, service.traits().hash, false, |_| Err(Fault::Changed));
    let fault = service.create("p/c/changed", &mut changed, &()).await.unwrap_err();
    assert!(matches!(fault, Fault::Changed), "{}: {fault:?}", service.place());
    assert_eq!(service.stat("p/c/changed").await.unwrap(), None, "{}", service.place());
}

async fn a_folder_goes_and_its_neighbours_stay(service: &Shared) {
    for key in ["p/c2/x", "p/cx", "other/c/a.txt"] {
        ours(service, key, b"neighbour").await;
    }
    service.remove_folder("p/c").await.unwrap();
    assert_eq!(keys(service, "p/c", true).await, BTreeSet::new());
    assert_eq!(service.stat("p/c/a.txt").await.unwrap(), None);
    for key in ["p/c2/x", "p/cx", "other/c/a.txt"] {
        assert_eq!(read(service, key, 0).await.unwrap(), b"neighbour", "{key}");
    }
    ours(service, "p/c/a.txt", b"anew").await;
}

/// What was remembered of one file.
#[derive(Default)]
pub(crate) struct Remembered(pub(crate) Arc<Mutex<Option<String>>>);

impl Sessions for Remembered {
    fn recall(&self, _: &str) -> Option<String> {
        self.0.lock().unwrap().clone()
    }
    fn remember(&self, _: &str, session: &str) {
        *self.0.lock().unwrap() = Some(session.to_owned());
    }
    fn keeper(&self, _: &str) -> Option<Keeper> {
        let held = Arc::clone(&self.0);
        Some(Box::new(move |session| *held.lock().unwrap() = Some(session.to_owned())))
    }
    fn forget(&self, _: &str) {
        *self.0.lock().unwrap() = None;
    }
    fn sent(&self, _: u64) {}
    fn unsent(&self, _: u64) {}
}

/// On a file server, whose folder is `root` here: of a large file that was being sent when we were killed.
pub(crate) async fn what_an_earlier_try_left_goes_with_the_next(service: &Shared, root: &Path) {
    service.make_folders(&["p", "p/left"].map(str::to_owned)).await.unwrap();
    let (left, other) = ("p/left/.soopervisor-part-0", "p/left/.soopervisor-part-1");
    for name in [left, other] {
        std::fs::write(root.join(name), "half").unwrap();
    }
    let sessions = Remembered(Arc::new(Mutex::new(Some(left.to_owned()))));
    let mut source = source(service, &vec![7; 9 << 20]);
    let created = service.create("p/left/nine", &mut source, &sessions).await.unwrap();
    assert!(matches!(created, Created::Ours(_)), "{created:?}");
    let names: BTreeSet<_> =
        std::fs::read_dir(root.join("p/left")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let expected = BTreeSet::from([".soopervisor-part-1", "nine"].map(std::ffi::OsString::from));
    assert_eq!(names, expected, "what is of others stays");
    assert_eq!(sessions.recall("p/left/nine"), None);
    service.remove_folder("p/left").await.unwrap();
}

/// Also those that go in many pieces.
pub(crate) async fn large_files_come_back(service: &Shared) {
    // No part is like another, and the last one is short.
    let bytes: Vec<u8> = (0..10_000_003_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    ours(service, "p/large/forty", &bytes).await;
    let meta = service.stat("p/large/forty").await.unwrap().unwrap();
    assert_eq!(meta.size, bytes.len() as u64);
    let back = read(service, "p/large/forty", 0).await.unwrap();
    assert_eq!(Sha256::digest(&back), Sha256::digest(&bytes));
    let rest = read(service, "p/large/forty", 20_000_001).await.unwrap();
    assert!(rest == bytes[20_000_001..], "from the middle on");
    assert!(matches!(create(service, "p/large/forty", &bytes).await, Created::Taken(Some(_))));
    service.remove_folder("p/large").await.unwrap();
}

async fn of_two_who_create_one_succeeds(service: &Shared) {
    for round in 0..6 {
        let key = format!("p/race/{round}");
        let create = async |text: &'static str| create(service, &key, text.as_bytes()).await;
        let (one, other) = futures::join!(create("one"), create("other"));
        let won = [matches!(one, Created::Ours(_)), matches!(other, Created::Ours(_))];
        let there = read(service, &key, 0).await.unwrap();
        assert!(there == b"one" || there == b"other", "no mixture: {there:?}");
        if service.traits().create_only {
            assert_eq!(won.iter().filter(|won| **won).count(), 1, "{}: {won:?}", service.place());
            assert_eq!(there == b"one", won[0], "{}: the winner's bytes", service.place());
        }
        let put = |text: &'static [u8]| service.put("p/race/put", Bytes::from_static(text));
        let (one, other) = futures::join!(put(b"one"), put(b"other"));
        let (one, other) = (one.unwrap(), other.unwrap());
        if service.traits().create_only {
            assert!(one != other, "{}: {one} {other}", service.place());
        }
        service.remove("p/race/put").await.unwrap();
    }
}

async fn many_objects_are_listed_and_removed(service: &Shared, many: usize) {
    service.make_folders(&["p/many".to_owned()]).await.unwrap();
    let service = Arc::clone(service);
    let puts = futures::stream::iter(0..many).map(|at| {
        let service = Arc::clone(&service);
        async move { service.put(&format!("p/many/{at:05}"), Bytes::from_static(b"x")).await.unwrap() }
    });
    assert!(puts.buffer_unordered(16).all(|made| async move { made }).await);
    assert_eq!(keys(&service, "p/many", true).await.len(), many);
    service.remove_folder("p/many").await.unwrap();
    assert_eq!(service.list("p/many", true).await.unwrap(), []);
}
