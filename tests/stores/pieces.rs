//! A large file on its way to a server that takes files in pieces, as Nextcloud and ownCloud do, when we were killed.

use std::sync::Arc;
use std::time::Duration;

use soopervisor::storage::backend::{Created, Sessions as _, Shared};

use crate::careless::Careless;
use crate::opened;
use crate::suite::{Remembered, source};

const MIB: usize = 1024 * 1024;
/// Three pieces and the beginning of one.
const SIZE: usize = 48 * MIB + 5;
const KEY: &str = "p/large";
const PLACE: &str = "remote.php/dav/files/me/a place";
const UPLOADS: &str = "remote.php/dav/uploads/me";

/// Bytes of which no megabyte is like another.
fn bytes() -> Vec<u8> {
    let eights = u64::try_from(SIZE / 8 + 1).unwrap();
    let mut all: Vec<u8> = (0..eights).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect();
    all.truncate(SIZE);
    all
}

/// A server, with or without a place for pieces, and how it is opened.
async fn server(takes_pieces: bool) -> (Careless, impl Fn() -> Shared) {
    let (server, address) = Careless::start().await;
    server.has(&["remote.php", "remote.php/dav", "remote.php/dav/files", "remote.php/dav/files/me"]);
    if takes_pieces {
        server.has(&["remote.php/dav/uploads", UPLOADS]);
    }
    (server, move || opened(&format!("webdav://{address}/{PLACE}"), Vec::new()))
}

/// What lies at the key.
fn there(server: &Careless) -> Vec<u8> {
    let files = server.files();
    let found: Vec<_> = files.iter().filter(|(name, _)| name.ends_with(KEY)).collect();
    assert_eq!((found.len(), files.len()), (1, 1), "{:?}", files.keys());
    found[0].1.to_vec()
}

/// Sends until the server has so many pieces and is silent, and dies then.
async fn killed_after(pieces: usize, server: &Careless, service: Shared, content: &[u8], known: &Arc<Remembered>) {
    server.silent_after(Some(pieces));
    let (all, kept) = (content.to_vec(), Arc::clone(known));
    let dying = tokio::spawn(async move {
        service.make_folders(&["p".to_owned()]).await.unwrap();
        let mut source = source(&service, &all);
        service.create(KEY, &mut source, &*kept).await.map(drop)
    });
    let sent = async {
        while server.sent().len() < pieces {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // What has arrived is told.
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    tokio::time::timeout(Duration::from_mins(1), sent).await.unwrap();
    dying.abort();
    assert!(dying.await.is_err(), "it was under way");
    server.silent_after(None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_had_arrived_when_we_were_killed_is_not_sent_again() {
    let (server, open) = server(true).await;
    let (content, known) = (bytes(), Arc::new(Remembered::default()));
    killed_after(2, &server, open(), &content, &known).await;
    assert!(known.recall(KEY).is_some());
    let service = open();
    let created = service.create(KEY, &mut source(&service, &content), &*known).await.unwrap();
    assert!(matches!(created, Created::Ours(_)), "{created:?}");
    assert!(there(&server) == content);
    let sent: Vec<usize> = server.sent().iter().map(|(_, length)| *length).collect();
    assert_eq!(sent, [16 * MIB, 16 * MIB, 16 * MIB, 5]);
    assert_eq!((known.recall(KEY), server.folders_below(UPLOADS)), (None, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_another_file_no_piece_is_taken_as_sent_that_is_not_its_own() {
    let (server, open) = server(true).await;
    let (mut content, known) = (bytes(), Arc::new(Remembered::default()));
    killed_after(2, &server, open(), &content, &known).await;
    content[17 * MIB] ^= 1;
    let service = open();
    let created = service.create(KEY, &mut source(&service, &content), &*known).await.unwrap();
    assert!(matches!(created, Created::Ours(_)), "{created:?}");
    assert!(there(&server) == content);
    assert_eq!(server.sent().len(), 2 + 3, "the first one counts");
    assert_eq!(server.folders_below(UPLOADS), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_that_the_server_has_removed_are_sent_anew() {
    let (server, open) = server(true).await;
    let (content, known) = (bytes(), Arc::new(Remembered::default()));
    killed_after(2, &server, open(), &content, &known).await;
    server.forget(UPLOADS);
    let service = open();
    let created = service.create(KEY, &mut source(&service, &content), &*known).await.unwrap();
    assert!(matches!(created, Created::Ours(_)), "{created:?}");
    assert!(there(&server) == content);
    assert_eq!((server.sent().len(), known.recall(KEY)), (2 + 4, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_pieces_gets_the_file_as_one() {
    let (server, open) = server(false).await;
    let (content, known, service) = (bytes(), Remembered::default(), open());
    service.make_folders(&["p".to_owned()]).await.unwrap();
    let created = service.create(KEY, &mut source(&service, &content), &known).await.unwrap();
    assert!(matches!(created, Created::Ours(_)), "{created:?}");
    assert!(there(&server) == content);
    assert_eq!((server.sent().len(), known.recall(KEY)), (1, None));
}
