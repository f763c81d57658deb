//! What soopervisor adds to its container: whole warm runs against the bare container sequence (create, attach, start,
//! read to the end, wait, remove) with the same image, mounts, hardening and script, in turn.
//!
//! `cargo bench --bench overhead -- [ROUNDS]`. Needs an engine and `make setup`.

use std::process::Stdio;
use std::time::{Duration, Instant};

use stage::{Stage, bare, forced, say};

mod stage;

fn main() {
    let rounds: usize = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(15);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    say(&format!("load {}, {rounds} rounds, medians (least)\n", stage::load()));
    say("| pipeline | whole run | bare container | ratio (bar 1.15) | own share (bar 60 ms) |");
    say("|---|---|---|---|---|");
    for (name, real, rounds) in [("a shell script", false, rounds), ("one task in Ploomber", true, rounds.div_ceil(3))]
    {
        let stage = Stage::new();
        let like = stage.warm_up(real);
        let client = runtime.block_on(bare::engine());
        let [mut ours, mut theirs] = [const { Vec::new() }; 2];
        for _ in 0..rounds {
            theirs.push(runtime.block_on(bare::sequence(&client, &like, 0)).took);
            ours.push(whole(&stage, real));
        }
        let (ours, theirs) = (sorted(ours), sorted(theirs));
        let middle = |times: &[Duration]| times[times.len() / 2];
        let cell = |times: &[Duration]| format!("{} ms ({})", middle(times).as_millis(), times[0].as_millis());
        let ratio = middle(&ours).as_secs_f64() / middle(&theirs).as_secs_f64();
        let share = |ours: Duration, theirs: Duration| (ours.as_secs_f64() - theirs.as_secs_f64()) * 1000.0;
        say(&format!(
            "| {name} | {} | {} | {ratio:.2} | {:.0} ms ({:.0}) |",
            cell(&ours),
            cell(&theirs),
            share(middle(&ours), middle(&theirs)),
            share(ours[0], theirs[0]),
        ));
    }
    say(&format!("\nload {}", stage::load()));
}

fn whole(stage: &Stage, real: bool) -> Duration {
    let mut command = stage.run(real);
    command.args(forced(real)).stdout(Stdio::null());
    let start = Instant::now();
    let status = command.status().expect("soopervisor");
    let took = start.elapsed();
    assert!(status.success(), "a run failed: {status}");
    took
}

fn sorted(mut times: Vec<Duration>) -> Vec<Duration> {
    times.sort();
    times
}
