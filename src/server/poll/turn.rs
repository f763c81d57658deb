//! Whose turn it is: the loop that reads every repository at its time, as many at once as the effort allows.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::fault::Fault;
use super::memory::Times;
use super::pace::{Habit, Host, jittered, phase, rest};
use super::{PollError, Poller, Watch, locked};
use crate::store::database::Applied;

/// How often the database is told of readings that brought nothing new, where they are few.
const NOTING: Duration = Duration::from_secs(5);
/// Of more than so many at once it is told every [`SELDOM_NOTED`]th time: their rows lie all over its file, and many of a
/// page at once cost hardly more than one.
const FEW: usize = 100;
const SELDOM_NOTED: u32 = 6;
/// Readings that are due within so long begin together: a machine that sleeps between them pays most for waking up.
const TOGETHER: Duration = Duration::from_millis(100);
/// Repositories that are read this seldom are read once within a minute of the start.
const SELDOM: Duration = Duration::from_hours(1);
/// How long somebody who wants a reading now waits for the host's budget.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a repository rests whose reading ended by a fault of our own.
const AFTER_FAULT: Duration = Duration::from_mins(5);

/// What the loop knows of one repository.
struct Seat {
    watch: Arc<Watch>,
    turn: u64,
    /// The only entry of the queue that counts.
    due: Instant,
    /// Woken while it was being read: reads once more at once.
    again: bool,
}

/// All of them.
#[derive(Default)]
struct Round {
    seats: HashMap<i64, Seat>,
    queue: BinaryHeap<Reverse<(Instant, i64)>>,
    busy: HashSet<i64>,
}

impl Round {
    /// Takes the list of repositories; those that are known keep their turn, unless they are read in another way now.
    fn seat(&mut self, watches: &[Arc<Watch>], now: Instant) {
        let listed: HashSet<i64> = watches.iter().map(|watch| watch.repo).collect();
        self.seats.retain(|repo, _| listed.contains(repo));
        for watch in watches {
            let (repo, watch) = (watch.repo, Arc::clone(watch));
            if let Some(seat) = self.seats.get_mut(&repo) {
                let same = seat.watch.reads_like(&watch);
                seat.watch = watch;
                // What was corrected is tried now, however long it was to rest.
                if !same {
                    self.wake(repo, now);
                }
                continue;
            }
            // Who is hardly ever read is read once: what a webhook tells of it then is not taken for what was always there.
            let interval = watch.every.filter(|every| *every < SELDOM).unwrap_or(Duration::from_mins(1));
            let first = phase(&watch.name, interval);
            self.seats.insert(repo, Seat { watch, turn: 0, due: now, again: false });
            self.put(repo, now + first);
        }
    }

    fn put(&mut self, repo: i64, due: Instant) {
        if let Some(seat) = self.seats.get_mut(&repo) {
            seat.due = due;
            self.queue.push(Reverse((due, repo)));
        }
    }

    fn wake(&mut self, repo: i64, now: Instant) {
        match self.seats.get_mut(&repo) {
            Some(seat) if self.busy.contains(&repo) => seat.again = true,
            Some(_) => self.put(repo, now),
            None => {}
        }
    }

    /// When the next one is due.
    fn next(&mut self) -> Option<Instant> {
        while let Some(Reverse((due, repo))) = self.queue.peek().copied() {
            let counts = self.seats.get(&repo).is_some_and(|seat| seat.due == due) && !self.busy.contains(&repo);
            if counts {
                return Some(due);
            }
            self.queue.pop();
        }
        None
    }

    /// Takes the next one that is due.
    fn take(&mut self, now: Instant) -> Option<(Instant, Arc<Watch>)> {
        let due = self.next().filter(|due| *due <= now)?;
        let Reverse((_, repo)) = self.queue.pop()?;
        Some((due, Arc::clone(&self.seats.get(&repo)?.watch)))
    }
}

/// When the database is told.
struct Noting {
    clock: tokio::time::Interval,
    put_off: u32,
    tasks: JoinSet<()>,
}

impl Noting {
    fn new() -> Self {
        let mut clock = tokio::time::interval(NOTING);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        Self { clock, put_off: 0, tasks: JoinSet::new() }
    }

    fn note(&mut self, poller: &Poller) {
        self.put_off += 1;
        if self.put_off == SELDOM_NOTED || poller.memory.unwritten_count() <= FEW {
            self.put_off = 0;
            let poller = poller.clone();
            self.tasks.spawn(async move { poller.note().await });
        }
        while self.tasks.try_join_next().is_some() {}
    }
}

impl Poller {
    /// Reads every repository of the list at its time until it is told to stop; readings that are under way are ended
    /// first.
    pub async fn run(&self, mut watches: watch::Receiver<Vec<Arc<Watch>>>, stop: CancellationToken) {
        let mut woken = self.woken.lock().await;
        let mut round = Round::default();
        let mut readings: JoinSet<(i64, Duration)> = JoinSet::new();
        let mut noting = Noting::new();
        round.seat(&watches.borrow_and_update().clone(), Instant::now());
        let mut gate = Instant::now();
        loop {
            let now = Instant::now();
            while now >= gate && readings.len() < self.effort.at_once {
                let Some((due, watch)) = round.take(now) else { break };
                if let Err(wait) = self.leave(&watch, now) {
                    round.put(watch.repo, now + wait);
                    continue;
                }
                self.metrics.observe("soop_poll_lag_seconds", now.saturating_duration_since(due).as_secs_f64());
                round.busy.insert(watch.repo);
                let turn = round.seats.get(&watch.repo).map_or(0, |seat| seat.turn);
                let poller = self.clone();
                readings.spawn(async move { (watch.repo, poller.guarded_turn(&watch, turn).await) });
            }
            let full = readings.len() >= self.effort.at_once;
            if now >= gate && !full && !readings.is_empty() {
                gate = now + TOGETHER;
            }
            let next = if full { None } else { round.next() };
            let until_next = async {
                match next {
                    Some(due) => tokio::time::sleep_until(due.max(gate).into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = until_next => {}
                Some(ended) = readings.join_next() => if let Ok((repo, wait)) = ended { self.ended(&mut round, repo, wait) },
                _ = noting.clock.tick() => noting.note(self),
                Some(repo) = woken.recv() => {
                    gate = Instant::now();
                    round.wake(repo, gate);
                }
                changed = watches.changed() => match changed {
                    Ok(()) => round.seat(&watches.borrow_and_update().clone(), Instant::now()),
                    Err(_) => break,
                },
            }
        }
        while readings.join_next().await.is_some() {}
        while noting.tasks.join_next().await.is_some() {}
        self.note().await;
    }

    fn ended(&self, round: &mut Round, repo: i64, wait: Duration) {
        round.busy.remove(&repo);
        let Some(seat) = round.seats.get_mut(&repo) else { return };
        seat.turn += 1;
        let wait = if std::mem::take(&mut seat.again) { Duration::ZERO } else { wait };
        round.put(repo, Instant::now() + wait);
        let now = Instant::now();
        let resting = locked(&self.hosts).values().filter(|host| host.rests(now)).count();
        self.metrics.set("soop_poll_hosts_resting", &[], f64::from(u32::try_from(resting).unwrap_or(u32::MAX)));
    }

    /// Asks the host's budget.
    fn leave(&self, watch: &Watch, now: Instant) -> Result<(), Duration> {
        self.with_host(watch, now, |host| host.take(now))
    }

    /// The same as [`Self::turn`]; a fault of our own ends this reading, and not all that were to come.
    async fn guarded_turn(&self, watch: &Watch, turn: u64) -> Duration {
        let ended = AssertUnwindSafe(self.turn(watch, turn)).catch_unwind().await;
        ended.unwrap_or_else(|_| {
            tracing::error!(repo = watch.name, "a reading ended by a fault of this program's own");
            AFTER_FAULT
        })
    }

    /// A reading besides those that are due, once the host's budget allows it.
    ///
    /// # Errors
    /// As [`Self::read`]; and when the host is left alone for longer than somebody waits.
    pub async fn read_now(&self, watch: &Watch) -> Result<Applied, PollError> {
        while let Err(wait) = self.leave(watch, Instant::now()) {
            if wait > PATIENCE {
                return Err(Fault::Throttled(Some(wait)).into());
            }
            tokio::time::sleep(wait).await;
        }
        self.counted(watch).await
    }

    /// One reading, which says something of the host.
    async fn counted(&self, watch: &Watch) -> Result<Applied, PollError> {
        let result = self.read(watch, None).await;
        let now = Instant::now();
        match &result {
            Ok(_) => self.with_host(watch, now, Host::went_well),
            Err(PollError::Fault(fault)) => self.with_host(watch, now, |host| host.failed(fault, now)),
            Err(PollError::Database(_)) => {}
        }
        result
    }

    /// One reading, and how long to wait until the next.
    async fn turn(&self, watch: &Watch, turn: u64) -> Duration {
        let result = self.counted(watch).await;
        let interval = self.interval(watch).await;
        match result {
            Ok(_) => jittered(&watch.name, turn, interval),
            Err(PollError::Fault(fault)) => {
                tracing::warn!(repo = watch.name, %fault, "not read");
                let repo = self.database.repo(&watch.name).await;
                let failures = repo.map_or(1, |repo| u32::try_from(repo.failures).unwrap_or(u32::MAX));
                jittered(&watch.name, turn, rest(&fault, failures, interval))
            }
            Err(PollError::Database(error)) => {
                tracing::warn!(repo = watch.name, %error, "a reading was not written");
                Duration::from_secs(5)
            }
        }
    }

    fn with_host<T>(&self, watch: &Watch, now: Instant, act: impl FnOnce(&mut Host) -> T) -> T {
        let mut hosts = locked(&self.hosts);
        act(hosts.entry(watch.address.budget()).or_insert_with(|| Host::new(self.effort.rate, now)))
    }

    async fn interval(&self, watch: &Watch) -> Duration {
        let now = jiff::Timestamp::now().as_millisecond();
        let since = |at: Option<i64>| at.map(|at| Duration::from_millis(now.saturating_sub(at).max(0).unsigned_abs()));
        let times = match self.memory.times(watch.repo) {
            Some(times) => times,
            None => match self.database.repo(&watch.name).await {
                Ok(repo) => Times::of(&repo),
                Err(_) => return Duration::from_mins(1),
            },
        };
        let quiet = since(times.changed).unwrap_or_default();
        Habit { pinned: watch.every, quiet, hooked: since(times.hooked) }.interval()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Address;
    use super::super::reading::Credential;
    use super::*;
    use crate::secret::Secret;
    use crate::server::file::Commits;
    use crate::server::poll::state::FirstSeen;

    const HOUR: Duration = Duration::from_hours(1);

    fn watch(password: &str) -> Watch {
        let password = Secret::new("hub", password.as_bytes().to_vec()).into();
        let who = Credential { user: "x-access-token".to_owned(), password };
        Watch {
            repo: 7,
            name: "acme/churn".to_owned(),
            address: Address::Http("https://h.example/acme/churn.git".parse().unwrap(), Some(who)),
            prefixes: vec!["refs/heads/".to_owned()],
            every: Some(HOUR),
            first_seen: FirstSeen::Record,
            commits: Commits::Latest,
        }
    }

    #[test]
    fn what_is_read_in_another_way_is_due_at_once_and_what_is_not_keeps_its_turn() {
        let first = watch("wrong");
        let moved: Address = Address::Http("https://h.example/acme/other.git".parse().unwrap(), None);
        let others = [
            (Watch { commits: Commits::EachPush, ..first.clone() }, false),
            (watch("wrong"), false),
            (watch("right"), true),
            (Watch { address: moved, ..first.clone() }, true),
            (Watch { every: Some(Duration::from_mins(1)), ..first.clone() }, true),
            (Watch { every: None, ..first.clone() }, true),
            (Watch { prefixes: vec!["refs/".to_owned()], ..first.clone() }, true),
        ];
        for (other, at_once) in others {
            let (mut round, now) = (Round::default(), Instant::now());
            round.seat(&[Arc::new(first.clone())], now);
            // It was read, and is to rest.
            round.put(7, now + 24 * HOUR);
            let other = Arc::new(other);
            round.seat(&[Arc::clone(&other)], now + HOUR);
            let due = if at_once { now + HOUR } else { now + 24 * HOUR };
            assert_eq!(round.next(), Some(due), "{other:?}");
            assert!(round.take(due).is_some_and(|(_, taken)| Arc::ptr_eq(&taken, &other)));
            // While it is read, nothing is due; then it is read once more.
            round.busy.insert(7);
            round.seat(&[Arc::new(watch("another"))], now + 2 * HOUR);
            assert_eq!(round.next(), None);
            assert!(round.seats[&7].again);
        }
    }
}
