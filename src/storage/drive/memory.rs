//! How much of files may be in memory at once, however many are sent: a bound that lanes and parts share.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::web::Fault;

/// What the bound is counted in.
const UNIT: u64 = 64 * 1024;

/// The bound.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    units: Arc<Semaphore>,
    all: u32,
}

impl Memory {
    /// So many bytes at most; one thing that is larger has it all to itself.
    pub(super) fn new(bytes: u64) -> Self {
        let all = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX).max(1);
        Self { units: Arc::new(Semaphore::new(all as usize)), all }
    }

    /// Waits for room for `bytes`, which is given back on drop. Who holds some and waits for more must let what it holds
    /// go on without it.
    pub(super) async fn room(&self, bytes: u64) -> Result<OwnedSemaphorePermit, Fault> {
        let units = self.units_of(bytes);
        let held = Arc::clone(&self.units).acquire_many_owned(units).await;
        held.map_err(|_| Fault::Broken("sending has ended".to_owned()))
    }

    /// Room for `bytes`, if there is some now.
    pub(super) fn room_now(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.units).try_acquire_many_owned(self.units_of(bytes)).ok()
    }

    fn units_of(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, self.all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_does_not_fit_waits_and_what_is_too_large_goes_alone() {
        let memory = Memory::new(10 * UNIT);
        let most = memory.room(9 * UNIT).await.unwrap();
        let soon = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, memory.room(2 * UNIT)).await.is_err());
        let little = memory.room(0).await.unwrap();
        assert!(tokio::time::timeout(soon, memory.room(u64::MAX)).await.is_err());
        assert!(memory.room_now(UNIT).is_none());
        drop((most, little));
        assert!(memory.room_now(10 * UNIT).is_some());
        drop(memory.room(u64::MAX).await.unwrap());
    }
}
