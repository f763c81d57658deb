//! Ten thousand events through a whole server that is cut off and stopped again and again: none is lost, none is handled
//! twice, no action is repeated, and nothing grows.
//!
//! The server is the real one, with its file, its database and its sockets; the repositories, who hears its handlers, and the
//! worker that ends runs at once are fakes. A program of its own, because it counts this process's memory and files.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod ear;
mod forge;
mod judge;
mod life;
mod load;

use std::sync::{Arc, Mutex, RwLock};
use std::time::Instant;

use soopervisor::store::database::Retention;

use self::ear::Ear;
use self::forge::Forge;
use self::judge::{Judge, Size};
use self::life::{End, Life};
use self::load::{Plan, Sender};

const REPOS: usize = 20;
const ROUNDS: usize = 4;
const EVENTS_A_ROUND: usize = 2_500;
/// Requests of forges and people at a time.
const SENDERS: usize = 8;

/// Counts what this process holds.
#[global_allocator]
static HEAP: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

/// Everything that is handled is old.
const SWEEP: Retention = Retention {
    deliveries_ms: 0,
    events_ms: 0,
    tombstones_ms: 0,
    audit_ms: 0,
    builds_ms: 0,
    // What keeps a run from being asked for twice stays.
    keys_ms: 400 * 86_400_000,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_events_and_eight_ends_of_the_server_lose_nothing_repeat_nothing_and_nothing_grows() {
    let began = Instant::now();
    let home = tempfile::tempdir().unwrap();
    let (forge, ear) = (Forge::start(REPOS).await, Ear::start().await);
    let text = life::file(&forge, ear.address);
    let mut life = Life::begin(home.path(), &text);
    let database = life.database(home.path()).await;
    let judge = Judge { database: database.clone(), forge: forge.clone(), ear };
    judge.all_is_read().await;
    let (base, client) =
        (Arc::new(RwLock::new(life.base.clone())), reqwest::Client::builder().no_proxy().build().unwrap());
    let mut sizes = Vec::new();
    for round in 0..ROUNDS {
        let plan = Plan::of(round, EVENTS_A_ROUND, &forge);
        let (all, acts) = (plan.acts.len(), Arc::new(Mutex::new(plan.acts)));
        let asked = Arc::default();
        let (base, forge, client) = (Arc::clone(&base), forge.clone(), client.clone());
        let sender =
            Sender { base: Arc::clone(&base), forge, client, acts: Arc::clone(&acts), asked: Arc::clone(&asked) };
        let senders: Vec<_> = (0..SENDERS).map(|_| tokio::spawn(sender.clone().run())).collect();
        for (left, end) in [(all * 2 / 3, End::CutOff), (all / 3, End::InOrder)] {
            while acts.lock().unwrap().len() > left {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            life = life.end(end).await;
            life = life.again(home.path(), &text);
            base.write().unwrap().clone_from(&life.base);
        }
        for sender in senders {
            sender.await.unwrap();
        }
        let sent = began.elapsed();
        let asked = *asked.lock().unwrap();
        judge.round(&plan.expected, asked, plan.happened).await;
        database.sweep(SWEEP).await.unwrap();
        sizes.push(Size::now(home.path()));
        println!("round {round}: sent {sent:.1?}, done {:.1?}, {}", began.elapsed(), sizes[round]);
    }
    life.end(End::InOrder).await;
    for size in &sizes[1..] {
        size.is_no_larger_than(&sizes[0]);
    }
    println!("{:.1?} in all", began.elapsed());
}
