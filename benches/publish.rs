//! Publishing to a folder against `cp -r` plus one sha256 pass over the copy, in the same run.
//!
//! `cargo bench --bench publish -- [small|large|sparse] [DIR]`. The bar is 1.2× for 10,000 small files and for one
//! file of 2 GB. Neither side waits for the disk in the compared figures (`cp` never does); what waiting for it costs
//! us is printed beside them.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fixture_run::Run;
use soopervisor::plan::OnConflict;
use soopervisor::storage::Storage;
use soopervisor::storage::local::Local;

#[path = "../tests/fixture_run/mod.rs"]
mod fixture_run;

const ROUNDS: usize = 3;

fn main() {
    let mut args = std::env::args().skip(1).filter(|arg| !arg.starts_with("--"));
    let which = args.next().unwrap_or_default();
    let dir = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    for (name, fill) in [("small", small as fn(&Run)), ("large", large), ("sparse", sparse)] {
        if which.is_empty() || which == name {
            let kept = tempfile::tempdir_in(&dir).expect("a folder");
            let run = Run::at(kept.path());
            fill(&run);
            measure(name, &run);
        }
    }
}

fn small(run: &Run) {
    let block: Vec<u8> = (0..10 * 1024_u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
    for at in 0..10_000 {
        run.product(format!("data/{:02}/file-{at}.bin", at % 100), &block);
    }
}

fn large(run: &Run) {
    let mut file = File::create(run.path("work/large.bin")).expect("a file");
    let mut state = 88_172_645_463_325_252_u64;
    for _ in 0..2048 {
        let block: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        })
        .take(128 * 1024)
        .flatten()
        .collect();
        file.write_all(&block).expect("written");
    }
}

fn sparse(run: &Run) {
    File::create(run.path("work/sparse.bin")).expect("a file").set_len(5 << 30).expect("a length");
}

/// Both ways in turn, so that whatever else the machine does hits both; the median of each.
fn measure(name: &str, run: &Run) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let [mut ours, mut synced, mut theirs] = [const { Vec::new() }; 3];
    for round in 0..=ROUNDS {
        for (durable, times) in [(false, &mut ours), (true, &mut synced)] {
            clear(&run.store());
            let publication = run.publication("bench", OnConflict::Fail);
            let storage = Local::new(run.store()).durable(durable);
            let start = Instant::now();
            runtime.block_on(storage.publish(publication, Arc::new(()))).expect("published");
            times.push(start.elapsed());
        }
        clear(&run.store());
        theirs.push(copy_and_hash(&run.path("work"), &run.store().join("copy")));
        if round == 0 {
            // The first round warms the page cache for all.
            for times in [&mut ours, &mut synced, &mut theirs] {
                times.clear();
            }
        }
    }
    let [ours, synced, theirs] = [ours, synced, theirs].map(median);
    println!(
        "{name}: publish {ours:.2?}, cp -r + sha256 {theirs:.2?}, ratio {:.2} (bar 1.20); publish and sync {synced:.2?}",
        ours.as_secs_f64() / theirs.as_secs_f64(),
    );
}

fn copy_and_hash(from: &Path, to: &Path) -> Duration {
    let start = Instant::now();
    assert!(Command::new("cp").arg("-r").arg(from).arg(to).status().expect("cp").success());
    let script = "find \"$1\" -type f -print0 | xargs -0 sha256sum >/dev/null";
    assert!(Command::new("sh").args(["-c", script, "sh"]).arg(to).status().expect("sha256sum").success());
    start.elapsed()
}

fn clear(store: &Path) {
    fs_err::remove_dir_all(store).expect("removed");
    fs_err::create_dir_all(store).expect("made");
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
