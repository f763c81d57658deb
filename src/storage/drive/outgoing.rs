//! The bytes of one request, told of while they go out: whoever looks on sees a large one move, and what went out of a try
//! that is repeated is taken back.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::Body;

/// How much is handed to the line at once.
const PIECE: usize = 128 * 1024;
/// How often it is told how much has gone out.
const TICK: Duration = Duration::from_millis(100);

/// A request's body, for as many tries as it takes.
#[derive(Debug)]
pub(super) struct Outgoing {
    bytes: Bytes,
    /// What went out of the try that is under way; one that broke off may still count its own.
    gone: Mutex<Arc<AtomicU64>>,
}

impl Outgoing {
    /// Of which nothing has gone out.
    pub(super) fn new(bytes: Bytes) -> Self {
        Self { bytes, gone: Mutex::default() }
    }

    /// Bytes of the whole.
    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The body of one more try.
    pub(super) fn body(&self) -> Body {
        Body::wrap_stream(futures::stream::iter(self.pieces()))
    }

    /// The whole in pieces, each of which counts when it is taken.
    fn pieces(&self) -> impl Iterator<Item = Result<Bytes, Infallible>> + Send + use<> {
        let (bytes, gone) = (self.bytes.clone(), Arc::<AtomicU64>::default());
        *self.gone.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&gone);
        (0..bytes.len()).step_by(PIECE).map(move |at| {
            let piece = bytes.slice(at..bytes.len().min(at + PIECE));
            gone.fetch_add(piece.len() as u64, Ordering::Relaxed);
            Ok(piece)
        })
    }

    /// How much has gone out of the try that is under way.
    fn gone(&self) -> u64 {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).load(Ordering::Relaxed)
    }

    /// Waits for a request with this body, and tells now and then how much has gone out; less than before where it is tried
    /// once more.
    pub(super) async fn watched<T>(&self, request: impl Future<Output = T>, mut tell: impl FnMut(u64)) -> T {
        let mut request = pin!(request);
        loop {
            if let Ok(done) = tokio::time::timeout(TICK, &mut request).await {
                return done;
            }
            tell(self.gone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_goes_out_is_told_and_taken_back_when_it_is_tried_once_more() {
        let whole: Vec<u8> = (0..=255).cycle().take(3 * PIECE + 7).collect();
        let out = Outgoing::new(whole.clone().into());
        let mut told = Vec::new();
        let request = async {
            let mut first = out.pieces();
            let _ = (first.next(), first.next());
            tokio::time::sleep(2 * TICK).await;
            let second = out.pieces();
            // What is left of a try that broke off counts no longer.
            let _ = first.next();
            tokio::time::sleep(2 * TICK).await;
            second.map(Result::unwrap_or_default).collect::<Vec<_>>().concat()
        };
        assert!(out.watched(request, |gone| told.push(gone)).await == whole);
        told.dedup();
        assert_eq!((told, out.gone(), out.len()), (vec![2 * PIECE as u64, 0], out.len(), whole.len() as u64));
    }
}
