//! Of several who want one name exactly one gets it, also where no single request of a server promises that.
//!
//! Tried with eight at once: Apache lets several move to one name "without overwriting", put with `If-None-Match: *` and
//! even lock it, but makes a folder once; rclone makes a folder that is there already, and moves once. So whoever wants a
//! name makes a folder beside it first, its claim, and gives the name then, without overwriting. A claim is never taken
//! from anybody: that of somebody who died is passed by after a while, to one of the next number, which again one gets.
//! What this cannot do: decide between two on a server on which neither is exclusive.

use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::Fault;
use crate::storage::key;

/// How long who has a claim may take, from before it was asked for: to give the name, everything else is done before.
pub(in crate::storage) const TURN: Duration = Duration::from_mins(1);
/// When a claim is taken for that of somebody who died.
const PATIENCE: Duration = Duration::from_secs(90);
/// For a server that gets round to the last request of a turn after its end.
const LATE: Duration = Duration::from_secs(20);
// Two who have turns at the same time may both get the name.
const _: () = assert!(TURN.as_millis() + LATE.as_millis() <= PATIENCE.as_millis());
/// So many may have died at one name.
const MOST: u32 = 8;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(250);

/// A server on which names are claimed.
#[async_trait]
pub(in crate::storage) trait Claims: Sync {
    /// Makes a folder in one that is there; `false` when something stands there.
    async fn make_new(&self, folder: &str) -> Result<bool, Fault>;

    /// Removes an empty folder.
    async fn drop_claim(&self, folder: &str) -> Result<(), Fault>;

    /// Whether something stands there.
    async fn is_taken(&self, key: &str) -> Result<bool, Fault>;
}

/// Has `key` given by `land`, which does not overwrite, unless it is or becomes another's; whether it is ours.
pub(in crate::storage) async fn exclusively<F: Future<Output = Result<bool, Fault>> + Send>(
    server: &dyn Claims,
    key: &str,
    land: impl FnOnce() -> F + Send,
) -> Result<bool, Fault> {
    in_turn(server, key, TURN, PATIENCE, land).await
}

async fn in_turn<F: Future<Output = Result<bool, Fault>> + Send>(
    server: &dyn Claims,
    key: &str,
    turn: Duration,
    patience: Duration,
    land: impl FnOnce() -> F + Send,
) -> Result<bool, Fault> {
    for number in 1..=MOST {
        let begun = Instant::now();
        loop {
            // Others may see the claim long before we hear of it.
            let asked = Instant::now();
            if server.make_new(&key::claim(key, number)).await? {
                let left = turn.saturating_sub(asked.elapsed());
                if !left.is_zero() {
                    return claimed(server, key, number, left, land).await;
                }
                // It was long in coming, so that it may count as that of somebody who died.
                server.drop_claim(&key::claim(key, number)).await?;
            }
            if server.is_taken(key).await? {
                return Ok(false);
            }
            if begun.elapsed() >= patience {
                break;
            }
            tokio::time::sleep(PAUSE.min(patience)).await;
        }
    }
    Err(Fault::Broken("others claim it, and do not come to an end".to_owned()))
}

async fn claimed<F: Future<Output = Result<bool, Fault>> + Send>(
    server: &dyn Claims,
    key: &str,
    number: u32,
    left: Duration,
    land: impl FnOnce() -> F + Send,
) -> Result<bool, Fault> {
    let landing = async {
        if server.is_taken(key).await? {
            return Ok(false);
        }
        land().await
    };
    // Nobody knows whether the last request was carried out.
    let late = || Fault::Broken("no answer in time".to_owned());
    let ours = tokio::time::timeout(left, landing).await.unwrap_or_else(|_| Err(late()));
    // Once the name is somebody's, nobody needs a claim; while nobody knows, those of others stay.
    let first = if ours.is_ok() { 1 } else { number };
    for number in first..=number {
        let dropped = server.drop_claim(&key::claim(key, number)).await;
        tracing::debug!(key, number, dropped = dropped.is_ok(), "a claim is not needed any more");
    }
    ours
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    use super::*;

    /// What is there, on a server of which one or the other request is exclusive.
    struct Server {
        names: Mutex<BTreeSet<String>>,
        folders_are: bool,
        moves_are: bool,
    }

    impl Server {
        fn new(folders_are: bool, moves_are: bool) -> Self {
            Self { names: Mutex::default(), folders_are, moves_are }
        }

        fn has(&self, name: &str) -> bool {
            self.names.lock().unwrap().contains(name)
        }

        /// Whether it was free, looked at before everybody else had a turn where that is not one step.
        async fn take(&self, name: &str, in_one_step: bool) -> bool {
            if in_one_step {
                return self.names.lock().unwrap().insert(name.to_owned());
            }
            let free = !self.has(name);
            tokio::time::sleep(Duration::from_millis(5)).await;
            self.names.lock().unwrap().insert(name.to_owned());
            free
        }
    }

    #[async_trait]
    impl Claims for Server {
        async fn make_new(&self, folder: &str) -> Result<bool, Fault> {
            // One that does not care whether it is there says that it was made.
            Ok(self.take(folder, self.folders_are).await || !self.folders_are)
        }

        async fn drop_claim(&self, folder: &str) -> Result<(), Fault> {
            self.names.lock().unwrap().remove(folder);
            Ok(())
        }

        async fn is_taken(&self, key: &str) -> Result<bool, Fault> {
            Ok(self.has(key))
        }
    }

    async fn race(server: &Server, patience: Duration) -> Vec<bool> {
        let wanting = (0..8).map(|_| {
            let land = || async { Ok(server.take("p/c/name", server.moves_are).await) };
            in_turn(server, "p/c/name", TURN, patience, land)
        });
        futures::future::try_join_all(wanting).await.unwrap()
    }

    #[tokio::test]
    async fn of_eight_at_once_one_gets_the_name_where_either_request_is_exclusive() {
        for (folders_are, moves_are) in [(true, false), (false, true), (true, true)] {
            for _ in 0..4 {
                let server = Server::new(folders_are, moves_are);
                let won = race(&server, PATIENCE).await;
                assert_eq!(won.iter().filter(|won| **won).count(), 1, "{folders_are} {moves_are}: {won:?}");
                assert_eq!(*server.names.lock().unwrap(), ["p/c/name".to_owned()].into(), "no claim is left");
            }
        }
        let won = race(&Server::new(false, false), PATIENCE).await;
        assert!(won.iter().filter(|won| **won).count() > 1, "the server of this test does let several through");
    }

    #[tokio::test]
    async fn the_claims_of_the_dead_are_passed_by_and_one_gets_the_name() {
        let server = Server::new(true, false);
        for number in [1, 2] {
            server.make_new(&key::claim("p/c/name", number)).await.unwrap();
        }
        let won = race(&server, Duration::from_millis(60)).await;
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
        assert_eq!(*server.names.lock().unwrap(), ["p/c/name".to_owned()].into());
        // Where all are claimed, and nothing comes of it, that is said.
        let server = Server::new(true, true);
        for number in 1..=MOST {
            server.make_new(&key::claim("p/c/name", number)).await.unwrap();
        }
        let never = in_turn(&server, "p/c/name", TURN, Duration::ZERO, || async { Ok(true) }).await;
        assert!(matches!(never, Err(Fault::Broken(_))), "{never:?}");
    }

    #[tokio::test]
    async fn whose_turn_is_over_gets_no_name_when_others_may_think_it_dead() {
        let server = &Server::new(true, false);
        let (turn, patience) = (Duration::from_millis(100), Duration::from_millis(300));
        let want = |slow: u64| {
            let land = move || async move {
                tokio::time::sleep(Duration::from_millis(slow)).await;
                Ok(server.take("p/c/name", server.moves_are).await)
            };
            in_turn(server, "p/c/name", turn, patience, land)
        };
        let (slow, quick) = tokio::join!(want(600), want(0));
        assert!(matches!(slow, Err(Fault::Broken(_))), "{slow:?}");
        assert!(quick.unwrap());
        assert_eq!(*server.names.lock().unwrap(), ["p/c/name".to_owned()].into(), "no claim is left");
    }
}
