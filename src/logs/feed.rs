//! The way from the pipeline to whoever shows it: a queue of bounded memory that never loses a byte.
//!
//! Bytes that do not fit stay on disk: the queue keeps where they are in the log, and a slow reader catches up from
//! there. Only where the log itself has reached its limit does the producer wait.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::mask::MaskedBytes;
use crate::engine::Stream;

/// What an entry costs beside its bytes: its place in the queue, and two small pieces of memory.
const OVERHEAD: usize = 128;
/// How much is read back at a time.
const PIECE: u64 = 64 * 1024;

/// What comes out, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry<E> {
    /// Output. What was read back from the log has no colours, and the stream of its first byte.
    Output {
        /// Which stream.
        stream: Stream,
        /// The bytes; shared, because they wait in more than one queue.
        bytes: Arc<MaskedBytes>,
    },
    /// Something that happened between two bytes.
    Event(E),
}

#[derive(Debug)]
enum Item<E> {
    Bytes(Stream, Arc<MaskedBytes>),
    OnDisk(Stream, Range<u64>),
    Event(E),
}

#[derive(Debug)]
struct Queue<E> {
    items: VecDeque<Item<E>>,
    memory: usize,
    closed: bool,
    abandoned: bool,
}

#[derive(Debug)]
struct Shared<E> {
    queue: Mutex<Queue<E>>,
    filled: Notify,
    drained: Notify,
    budget: usize,
}

impl<E> Shared<E> {
    fn lock(&self) -> MutexGuard<'_, Queue<E>> {
        // A panic elsewhere leaves the queue whole: no invariant spans a panicking call.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The producer's end.
#[derive(Debug)]
pub(super) struct Sender<E> {
    shared: Arc<Shared<E>>,
}

/// The consumer's end. Dropping it lets the producer go on alone.
#[derive(Debug)]
pub struct Feed<E> {
    shared: Arc<Shared<E>>,
    log: File,
}

/// A queue that holds about `budget` bytes in memory and the rest in `log`.
pub(super) fn channel<E>(budget: usize, log: File) -> (Sender<E>, Feed<E>) {
    let queue = Queue { items: VecDeque::new(), memory: 0, closed: false, abandoned: false };
    let shared = Arc::new(Shared { queue: Mutex::new(queue), filled: Notify::new(), drained: Notify::new(), budget });
    (Sender { shared: Arc::clone(&shared) }, Feed { shared, log })
}

impl<E> Sender<E> {
    /// Adds bytes; `on_disk` says where the log has them.
    pub(super) async fn output(&self, stream: Stream, mut bytes: Arc<MaskedBytes>, on_disk: Option<Range<u64>>) {
        loop {
            let drained = self.shared.drained.notified();
            match self.offer(stream, bytes, on_disk.as_ref()) {
                None => break,
                Some(refused) => bytes = refused,
            }
            drained.await;
        }
        self.shared.filled.notify_one();
    }

    /// Adds an event; there are few of them, so they always fit.
    pub(super) fn event(&self, event: E) {
        self.shared.lock().items.push_back(Item::Event(event));
        self.shared.filled.notify_one();
    }

    /// Gives the bytes back where there is neither room nor a place on disk.
    fn offer(&self, stream: Stream, bytes: Arc<MaskedBytes>, on_disk: Option<&Range<u64>>) -> Option<Arc<MaskedBytes>> {
        let mut queue = self.shared.lock();
        let cost = bytes.len() + OVERHEAD;
        if queue.abandoned {
            return None;
        }
        if queue.items.is_empty() || queue.memory + cost <= self.shared.budget {
            queue.memory += cost;
            queue.items.push_back(Item::Bytes(stream, bytes));
            return None;
        }
        let Some(range) = on_disk else { return Some(bytes) };
        match queue.items.back_mut() {
            Some(Item::OnDisk(_, before)) if before.end == range.start => before.end = range.end,
            _ => queue.items.push_back(Item::OnDisk(stream, range.clone())),
        }
        None
    }
}

impl<E> Drop for Sender<E> {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.filled.notify_one();
    }
}

impl<E> Feed<E> {
    /// The next entry; `None` when everything was taken and no more will come.
    ///
    /// # Errors
    /// When the log cannot be read back.
    pub async fn next(&mut self) -> io::Result<Option<Entry<E>>> {
        loop {
            let filled = self.shared.filled.notified();
            if let Some(item) = self.take() {
                return item.map(Some);
            }
            if self.shared.lock().closed {
                // Closed means that nothing is added after this look.
                return self.take().transpose();
            }
            filled.await;
        }
    }

    fn take(&self) -> Option<io::Result<Entry<E>>> {
        let mut queue = self.shared.lock();
        let entry = match queue.items.pop_front()? {
            Item::Event(event) => Ok(Entry::Event(event)),
            Item::Bytes(stream, bytes) => {
                queue.memory -= bytes.len() + OVERHEAD;
                Ok(Entry::Output { stream, bytes })
            }
            Item::OnDisk(stream, range) => {
                let piece = range.start..range.end.min(range.start + PIECE);
                if piece.end < range.end {
                    queue.items.push_front(Item::OnDisk(stream, piece.end..range.end));
                }
                drop(queue);
                let len = usize::try_from(piece.end - piece.start).unwrap_or_default();
                let back = MaskedBytes::read_back(&self.log, piece.start, len);
                back.map(|bytes| Entry::Output { stream, bytes: Arc::new(bytes) })
            }
        };
        self.shared.drained.notify_one();
        Some(entry)
    }
}

impl<E> Drop for Feed<E> {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.abandoned = true;
        queue.items.clear();
        queue.memory = 0;
        drop(queue);
        self.shared.drained.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::logs::file::LogFile;
    use crate::logs::mask::Masker;

    fn bytes(text: &str) -> MaskedBytes {
        Masker::none().stream().push(text.as_bytes())
    }

    async fn drain(feed: &mut Feed<u32>) -> (String, Vec<u32>) {
        let (mut text, mut events) = (String::new(), Vec::new());
        while let Some(entry) = feed.next().await.unwrap() {
            match entry {
                Entry::Output { bytes, .. } => text += &bytes.to_text(),
                Entry::Event(event) => {
                    text.extend(["<", &event.to_string(), ">"]);
                    events.push(event);
                }
            }
        }
        (text, events)
    }

    #[tokio::test]
    async fn a_reader_that_never_came_costs_no_memory_and_loses_no_byte() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(&folder.path().join("log"), u64::MAX).unwrap();
        let (sender, mut feed) = channel(1000, log.reader().unwrap());
        let mut expected = String::new();
        for n in 0..20_000_u32 {
            let line = format!("line {n}\n");
            let range = log.write(&bytes(&line)).unwrap();
            let stream = if n % 2 == 0 { Stream::Stdout } else { Stream::Stderr };
            sender.output(stream, Arc::new(bytes(&line)), range).await;
            expected += &line;
            if n % 5000 == 0 {
                sender.event(n);
                expected.extend(["<", &n.to_string(), ">"]);
            }
            let queue = sender.shared.lock();
            assert!(queue.memory <= 1000 && queue.items.len() < 40, "{} items", queue.items.len());
        }
        drop(sender);
        assert_eq!(drain(&mut feed).await, (expected, vec![0, 5000, 10_000, 15_000]));
    }

    #[tokio::test]
    async fn where_the_log_is_full_the_producer_waits_for_the_reader() {
        let folder = tempfile::tempdir().unwrap();
        let log = LogFile::open(&folder.path().join("log"), 0).unwrap();
        let (sender, mut feed) = channel::<u32>(200, log.reader().unwrap());
        let producer = tokio::spawn(async move {
            for n in 0..1000 {
                sender.output(Stream::Stdout, Arc::new(bytes(&format!("{n},"))), None).await;
            }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!producer.is_finished());
        let expected = (0..1000).map(|n| format!("{n},")).collect::<Vec<_>>().concat();
        assert_eq!(drain(&mut feed).await.0, expected);
        producer.await.unwrap();
    }

    #[tokio::test]
    async fn a_reader_that_left_stops_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let log = LogFile::open(&folder.path().join("log"), 0).unwrap();
        let (sender, feed) = channel::<u32>(10, log.reader().unwrap());
        let producer = tokio::spawn(async move {
            for _ in 0..100 {
                sender.output(Stream::Stdout, Arc::new(bytes("0123456789")), None).await;
            }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(feed);
        tokio::time::timeout(Duration::from_secs(5), producer).await.unwrap().unwrap();
    }
}
