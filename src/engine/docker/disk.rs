//! Looks after how much a container has written to its own layer, because few storage drivers hold a limit.
//!
//! What is shown to the container from outside is no part of it.

use std::time::Duration;

use bollard::query_parameters::InspectContainerOptionsBuilder;
use tokio::time::Instant;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// The engine adds up every file: the pause after a look is so many times as long as the look.
const RARELY: u32 = 20;

/// Returns once the container's own layer is larger than `limit`. Never where the engine does not tell how large it is,
/// or does not know the container any more.
pub(super) async fn outgrown(client: &bollard::Docker, id: &str, limit: u64) {
    let mut pause = PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        let since = Instant::now();
        let options = InspectContainerOptionsBuilder::default().size(true).build();
        match client.inspect_container(id, Some(options)).await {
            Ok(found) if is_more(found.size_rw, limit) => return,
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "how much a container has written is not known"),
        }
        pause = PAUSE.max(since.elapsed() * RARELY);
    }
}

/// A size that could not be found out is -1, or nothing.
fn is_more(size: Option<i64>, limit: u64) -> bool {
    size.and_then(|size| u64::try_from(size).ok()).is_some_and(|size| size > limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_what_may_be_written_and_an_unknown_size_is_none() {
        let more = [Some(101), Some(100), Some(0), Some(-1), None].map(|size| is_more(size, 100));
        assert_eq!(more, [true, false, false, false, false]);
    }
}
