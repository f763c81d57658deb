//! Samples how much memory a container uses: best effort, for people, never for decisions.
//!
//! The kernel's own high-water mark counts the page cache, which reaches the limit in any run that reads files; so the
//! cache that could be dropped is subtracted from samples, as `docker stats` does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bollard::models::ContainerMemoryStats;
use bollard::query_parameters::StatsOptionsBuilder;
use futures::StreamExt as _;
use tokio::task::AbortHandle;

/// The first look comes soon, for short scripts; later ones rarely, to cost the daemon nothing.
const FIRST: Duration = Duration::from_millis(200);
const RAREST: Duration = Duration::from_secs(2);

/// Looks from time to time until dropped.
pub(super) struct Gauge {
    highest: Arc<AtomicU64>,
    task: AbortHandle,
}

impl Drop for Gauge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gauge {
    pub(super) fn begin(client: bollard::Docker, id: String) -> Self {
        let highest = Arc::new(AtomicU64::new(0));
        let shared = Arc::clone(&highest);
        let task = tokio::spawn(async move {
            let mut pause = FIRST;
            loop {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RAREST);
                let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
                match client.stats(&id, Some(options)).next().await {
                    Some(Ok(stats)) => {
                        let used = stats.memory_stats.as_ref().and_then(in_use).unwrap_or(0);
                        shared.fetch_max(used, Ordering::Relaxed);
                    }
                    Some(Err(_)) | None => return,
                }
            }
        });
        Self { highest, task: task.abort_handle() }
    }

    /// The highest sample; `None` where the container was too quick for one or the engine tells none.
    pub(super) fn highest(&self) -> Option<u64> {
        Some(self.highest.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
    }
}

fn in_use(stats: &ContainerMemoryStats) -> Option<u64> {
    let detail = |key: &str| stats.stats.as_ref()?.get(key).copied();
    // cgroup v1 has the first, v2 the second.
    let cache = detail("total_inactive_file").or_else(|| detail("inactive_file")).unwrap_or(0);
    Some(stats.usage?.saturating_sub(cache))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtracts_the_cache_that_could_be_dropped_on_both_cgroup_versions() {
        for key in ["total_inactive_file", "inactive_file"] {
            let stats = ContainerMemoryStats {
                usage: Some(100),
                stats: Some([(key.to_owned(), 30)].into()),
                ..ContainerMemoryStats::default()
            };
            assert_eq!(in_use(&stats), Some(70));
        }
        assert_eq!(in_use(&ContainerMemoryStats::default()), None);
    }
}
