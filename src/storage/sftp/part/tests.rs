//! A file written to a server of a few lines, which answers late and notes what it was asked for.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use openssh_sftp_client::{Sftp as Client, SftpOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use super::*;
use crate::storage::sftp::told;
use crate::web::Fault;

/// What the server saw.
#[derive(Default)]
struct Seen {
    stored: Vec<u8>,
    /// Writes that are not answered, and the most bytes that there ever were of them.
    open: usize,
    most: usize,
    longest: usize,
    closed: bool,
}

/// How it is.
#[derive(Clone, Copy)]
struct Kind {
    /// Bytes that it takes at once, as it says itself; without it says nothing of it.
    limit: Option<u64>,
    full: bool,
}

fn text(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    [&length.to_be_bytes()[..], bytes].concat()
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

fn status(id: &[u8], code: u32, words: &str) -> Vec<u8> {
    [&[101][..], id, &code.to_be_bytes(), &text(words.as_bytes()), &text(b"en")].concat()
}

async fn packet(from: &mut ReadHalf<DuplexStream>) -> Option<Vec<u8>> {
    let length = from.read_u32().await.ok()?;
    let mut packet = vec![0; length.try_into().unwrap()];
    from.read_exact(&mut packet).await.ok()?;
    Some(packet)
}

/// Answers in order, each a moment late.
async fn answer(
    mut to: WriteHalf<DuplexStream>,
    mut answers: mpsc::UnboundedReceiver<(Vec<u8>, usize)>,
    seen: Arc<Mutex<Seen>>,
) {
    while let Some((answer, written)) = answers.recv().await {
        tokio::time::sleep(Duration::from_millis(1)).await;
        seen.lock().unwrap().open -= written;
        to.write_all(&text(&answer)).await.unwrap();
    }
}

async fn serve(server: DuplexStream, kind: Kind, seen: Arc<Mutex<Seen>>) {
    let (mut from, to) = tokio::io::split(server);
    let (answers, waiting) = mpsc::unbounded_channel();
    tokio::spawn(answer(to, waiting, Arc::clone(&seen)));
    while let Some(packet) = packet(&mut from).await {
        let (id, rest) = packet[1..].split_at(4);
        let (reply, written) = match packet[0] {
            1 => {
                let told = kind.limit.map(|_| [text(b"limits@openssh.com"), text(b"1")].concat());
                ([&[2][..], &3_u32.to_be_bytes(), &told.unwrap_or_default()].concat(), 0)
            }
            200 => {
                let limit = kind.limit.unwrap().to_be_bytes();
                let limits = [(1_u64 << 20).to_be_bytes(), limit, limit, 0_u64.to_be_bytes()];
                ([&[201][..], id, &limits.concat()].concat(), 0)
            }
            3 => ([&[102][..], id, &text(b"h")].concat(), 0),
            6 => {
                let (offset, data) = (number(&rest[5..13]), &rest[17..]);
                let mut seen = seen.lock().unwrap();
                assert_eq!(offset, seen.stored.len(), "in order, and none twice");
                assert!(!seen.closed, "nothing is written to a closed file");
                seen.stored.extend_from_slice(data);
                seen.open += data.len();
                seen.most = seen.most.max(seen.open);
                seen.longest = seen.longest.max(data.len());
                (status(id, 0, ""), data.len())
            }
            4 => {
                seen.lock().unwrap().closed = true;
                let code = if kind.full { 4 } else { 0 };
                (status(id, code, "no space left on device"), 0)
            }
            other => panic!("{other}"),
        };
        answers.send((reply, written)).unwrap();
    }
}

/// What it came to to write so many bytes, and what the server saw of it.
async fn written(kind: Kind, size: usize) -> (Result<(), Error>, Vec<u8>, Arc<Mutex<Seen>>) {
    let (ours, theirs) = tokio::io::duplex(8 * 1024 * 1024);
    let seen = Arc::<Mutex<Seen>>::default();
    tokio::spawn(serve(theirs, kind, Arc::clone(&seen)));
    let (from, to) = tokio::io::split(ours);
    let client = Client::new(to, from, SftpOptions::new()).await.unwrap();
    let file = client.options().write(true).create_new(true).open("part").await.unwrap();
    let bytes: Vec<u8> = (0..size).map(|at| ((at * 31) >> 5).to_le_bytes()[0]).collect();
    let (mut part, mut rest) = (Part::new(file), Bytes::from(bytes.clone()));
    while !rest.is_empty() {
        let chunk = usize::try_from(part.chunk()).unwrap().min(rest.len());
        part.write(rest.split_to(chunk)).await.unwrap();
    }
    (part.close().await, bytes, seen)
}

#[tokio::test]
async fn bytes_arrive_in_order_several_requests_at_a_time_and_the_file_is_closed_in_the_end() {
    // Then the client sends what every server takes.
    let said_nothing = Kind { limit: None, full: false };
    let openssh = Kind { limit: Some(261_120), full: false };
    for (kind, step) in [(said_nothing, 20 * 1024), (openssh, 261_120)] {
        let (ended, bytes, seen) = written(kind, 9_000_001).await;
        ended.unwrap();
        let seen = seen.lock().unwrap();
        assert!(seen.stored == bytes && seen.closed, "{step}");
        assert_eq!(seen.longest, step, "as long as the server takes them");
        assert!(seen.most > step && seen.most <= FLIGHT, "{step}: {}", seen.most);
    }
}

#[tokio::test]
async fn small_files_and_empty_ones_are_closed_too() {
    for size in [0, 1, 32 * 1024, 32 * 1024 + 1] {
        let (ended, bytes, seen) = written(Kind { limit: None, full: false }, size).await;
        ended.unwrap();
        let seen = seen.lock().unwrap();
        assert!(seen.stored == bytes && seen.closed, "{size}");
    }
}

#[tokio::test]
async fn what_the_server_says_while_it_closes_counts() {
    let (ended, _, seen) = written(Kind { limit: None, full: true }, 100_000).await;
    assert_eq!(told(ended.unwrap_err()), Fault::Full);
    assert!(seen.lock().unwrap().closed);
}
