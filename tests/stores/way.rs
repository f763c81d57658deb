//! A way to a server of this machine that counts what goes over it, and may end somewhere or at some time.

#![allow(clippy::allow_attributes, dead_code, reason = "each test program uses a part of it")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The way, and how much each connection brought over it to the server.
pub(crate) struct Way {
    pub(crate) port: u16,
    sent: Arc<Mutex<Vec<u64>>>,
    /// So many bytes go over all connections together.
    most: Arc<AtomicU64>,
}

impl Way {
    /// A way to that port; over its first connection go no more than `most` bytes, and then it is as if the line was dead.
    pub(crate) async fn to(server: u16, most: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let sent = Arc::<Mutex<Vec<u64>>>::default();
        let (counts, all) = (Arc::clone(&sent), Arc::new(AtomicU64::new(u64::MAX)));
        let ends = Arc::clone(&all);
        tokio::spawn(async move {
            while let Ok((ours, _)) = listener.accept().await {
                let number = counts.lock().unwrap().len();
                counts.lock().unwrap().push(0);
                let most = if number == 0 { most } else { u64::MAX };
                let bounds = Bounds { most, all: Arc::clone(&ends) };
                tokio::spawn(carry(ours, server, bounds, Arc::clone(&counts), number));
            }
        });
        Self { port, sent, most: all }
    }

    /// Once so many bytes have gone over all connections, it is as if every line was dead.
    pub(crate) fn ends_after(&self, most: u64) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// What connects from now on comes through; lines that are dead stay dead.
    pub(crate) fn goes_on(&self) {
        self.ends_after(u64::MAX);
    }

    /// Bytes that came over the connection of that number.
    pub(crate) fn sent(&self, connection: usize) -> u64 {
        self.sent.lock().unwrap().get(connection).copied().unwrap_or_default()
    }

    /// Bytes that came over all connections.
    pub(crate) fn all(&self) -> u64 {
        self.sent.lock().unwrap().iter().sum()
    }
}

/// Where the way ends.
struct Bounds {
    /// For one connection.
    most: u64,
    /// For all of them.
    all: Arc<AtomicU64>,
}

async fn carry(ours: TcpStream, server: u16, bounds: Bounds, counts: Arc<Mutex<Vec<u64>>>, number: usize) {
    let (mut from, mut back) = ours.into_split();
    let (mut answers, mut to) = TcpStream::connect(("127.0.0.1", server)).await.unwrap().into_split();
    tokio::spawn(async move { tokio::io::copy(&mut answers, &mut back).await });
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let (sent, all) = {
            let counts = counts.lock().unwrap();
            (counts[number], counts.iter().sum::<u64>())
        };
        if sent >= bounds.most || all >= bounds.all.load(Ordering::Relaxed) {
            // Whoever waits for an answer waits for long.
            tokio::time::sleep(Duration::from_mins(10)).await;
        }
        counts.lock().unwrap()[number] = sent + count as u64;
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
