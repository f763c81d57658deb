//! A way to the fake that changes one byte of what is sent over it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use soopervisor::storage::backend::Created;
use soopervisor::web::Fault;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::bench::{Bench, bytes, open, ours, send};
use super::fake::Drive;

/// The address of a way on which, once, the byte is changed that is the `nth` of a connection.
async fn way(bench: &Bench, nth: usize) -> (String, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/{}", listener.local_addr().unwrap(), bench.drive.prefix());
    let (there, done) = (bench.fake.address(), Arc::new(AtomicBool::new(false)));
    let once = Arc::clone(&done);
    tokio::spawn(async move {
        while let Ok((ours, _)) = listener.accept().await {
            let once = Arc::clone(&once);
            tokio::spawn(async move {
                let (mut from, mut back) = ours.into_split();
                let (mut answers, mut to) = TcpStream::connect(there).await.unwrap().into_split();
                tokio::spawn(async move { tokio::io::copy(&mut answers, &mut back).await });
                let (mut seen, mut buffer) = (0, vec![0; 16 * 1024]);
                while let Ok(count @ 1..) = from.read(&mut buffer).await {
                    if seen <= nth && nth < seen + count && !once.swap(true, Ordering::SeqCst) {
                        buffer[nth - seen] ^= 1;
                    }
                    seen += count;
                    if to.write_all(&buffer[..count]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (base, done)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_byte_that_changes_on_the_way_to_box_is_found_and_sent_again() {
    for length in [1_000_000, 30_000_000] {
        let bench = Bench::new(Drive::Box).await;
        let (base, changed) = way(&bench, 700_000).await;
        let service = open(&bench.fake, Drive::Box, &base);
        let content = bytes(length, 4);
        ours(send(&*service, "p/a", &content, &()).await, &content, bench.kind());
        assert!(changed.load(Ordering::SeqCst), "it happened");
        assert!(bench.held("p/a").unwrap() == content);
        assert_eq!(bench.fake.files(Drive::Box).len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_byte_that_changes_on_the_way_to_dropbox_never_stays_there() {
    let bench = Bench::new(Drive::Dropbox).await;
    let (base, changed) = way(&bench, 700_000).await;
    let service = open(&bench.fake, Drive::Dropbox, &base);
    let content = bytes(1_000_000, 4);
    match send(&*service, "p/a", &content, &()).await {
        Ok(Created::Ours(_)) => assert!(bench.held("p/a").unwrap() == content),
        Err(Fault::Damaged(_)) => assert!(bench.held("p/a").is_none(), "what is damaged is removed"),
        other => panic!("{other:?}"),
    }
    assert!(changed.load(Ordering::SeqCst), "it happened");
    ours(send(&*service, "p/a", &content, &()).await, &content, bench.kind());
}
