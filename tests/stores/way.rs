//! A way to a server of this machine that counts what goes over it, and may end somewhere.

#![allow(clippy::allow_attributes, dead_code, reason = "each test program uses a part of it")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The way, and how much each connection brought over it to the server.
pub(crate) struct Way {
    pub(crate) port: u16,
    sent: Arc<Mutex<Vec<u64>>>,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// By itself.
    Well,
    /// After so many bytes to the server it is as if the line was dead.
    Dead(u64),
    /// It is cut when so many bytes have come to the server, which may still do what they say.
    Cut(u64),
    /// It is cut when so many bytes have come from the server.
    CutAnswers(u64),
}

impl Way {
    /// A way to that port; over its first connection go no more than `most` bytes, and then it is as if the line was dead.
    pub(crate) async fn to(server: u16, most: u64) -> Self {
        Self::ending(server, vec![End::Dead(most)]).await
    }

    /// A way to that port whose connections end so, one after the other; those that come later end by themselves.
    pub(crate) async fn ending(server: u16, ends: Vec<End>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let sent = Arc::<Mutex<Vec<u64>>>::default();
        let counts = Arc::clone(&sent);
        tokio::spawn(async move {
            while let Ok((ours, _)) = listener.accept().await {
                let number = counts.lock().unwrap().len();
                counts.lock().unwrap().push(0);
                let end = ends.get(number).copied().unwrap_or(End::Well);
                tokio::spawn(carry(ours, server, end, Arc::clone(&counts), number));
            }
        });
        Self { port, sent }
    }

    /// Connections that there were.
    pub(crate) fn connections(&self) -> usize {
        self.sent.lock().unwrap().len()
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

/// Carries bytes both ways until the connection ends, by itself or as it was told to.
async fn carry(ours: TcpStream, server: u16, end: End, counts: Arc<Mutex<Vec<u64>>>, number: usize) {
    let (mut from, mut back) = ours.into_split();
    let (answers, mut to) = TcpStream::connect(("127.0.0.1", server)).await.unwrap().into_split();
    let most = if let End::CutAnswers(most) = end { most } else { u64::MAX };
    let answering = async move { tokio::io::copy(&mut answers.take(most), &mut back).await };
    let asking = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let sent = counts.lock().unwrap()[number];
            match end {
                End::Dead(most) if sent >= most => {
                    // Whoever waits for an answer waits for long.
                    tokio::time::sleep(Duration::from_mins(10)).await;
                }
                End::Cut(most) if sent + count as u64 >= most => {
                    let last = usize::try_from(most.saturating_sub(sent)).unwrap();
                    let _ = to.write_all(&buffer[..last]).await;
                    counts.lock().unwrap()[number] = sent.max(most);
                    return;
                }
                _ => {}
            }
            counts.lock().unwrap()[number] = sent + count as u64;
            if to.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    // Whichever ends first, both are over.
    tokio::select! {
        _ = answering => {}
        () = asking => {}
    }
}
