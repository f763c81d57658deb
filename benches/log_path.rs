//! How fast output goes from the container through masking and the log to the plain reporter, in whole runs.
//!
//! `cargo bench --bench log_path -- [MIB]` (1,024 unless said otherwise; 10240 is the run of 10 GB). A run that prints
//! nothing is subtracted. The first row is the engine alone: the same container, its bytes read and thrown away. The readers are `/dev/null` and a pipe that takes 20 MB/s; of the latter every byte is
//! counted. Memory is the process's own high-water mark.

use std::io::Read;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use stage::{BLOCK_MIB, Stage, bare, say};

mod stage;

fn main() {
    let mib: usize = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(1024);
    let stage = Stage::new();
    let like = stage.warm_up(false);
    say(&format!("load {}\n\n| reader | MB | seconds | MB/s (bar 200) | memory of soopervisor |", stage::load()));
    say("|---|---|---|---|---|");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let client = runtime.block_on(bare::engine());
    let nothing = (0..3).map(|_| runtime.block_on(bare::sequence(&client, &like, 0)).took).min().expect("three");
    let alone = runtime.block_on(bare::sequence(&client, &like, mib / BLOCK_MIB));
    assert!(alone.bytes >= mib << 20, "the engine lost output: {} bytes", alone.bytes);
    row("the engine alone", mib, &Measured { took: alone.took, ..Measured::default() }, nothing);
    let silent = (0..3).map(|_| run(&stage, 0, false).took).min().expect("three runs");
    let fast = run(&stage, mib, false);
    row("/dev/null", mib, &fast, silent);
    let slow_mib = mib.min(256);
    let slow = run(&stage, slow_mib, true);
    row("pipe at 20 MB/s", slow_mib, &slow, silent);
    let expected = (slow_mib / BLOCK_MIB) as u64 * lines_of_a_block();
    say(&format!("\nlines behind the slow pipe: {} of {expected}, tokens seen: {}", slow.lines, slow.tokens));
    say(&format!("load {}", stage::load()));
}

#[derive(Default)]
struct Measured {
    took: Duration,
    peak_kib: u64,
    lines: u64,
    tokens: u64,
}

fn row(reader: &str, mib: usize, measured: &Measured, silent: Duration) {
    #[expect(clippy::cast_precision_loss, reason = "a few gigabytes at most")]
    let megabytes = (mib << 20) as f64 / 1e6;
    let seconds = measured.took.saturating_sub(silent).as_secs_f64();
    let memory = measured.peak_kib / 1024;
    say(&format!("| {reader} | {megabytes:.0} | {seconds:.1} | {:.0} | {memory} MiB |", megabytes / seconds));
}

fn run(stage: &Stage, mib: usize, slow: bool) -> Measured {
    let mut command = stage.run(false);
    command.args(["--env", &format!("BENCH_BLOCKS={}", mib / BLOCK_MIB)]);
    command.stdout(if slow { Stdio::piped() } else { Stdio::null() });
    let start = Instant::now();
    let mut child = command.spawn().expect("soopervisor");
    let reader = child.stdout.take().map(|pipe| std::thread::spawn(move || read_slowly(pipe)));
    let peak_kib = watch(&mut child);
    let took = start.elapsed();
    let (lines, tokens) = reader.map(|reader| reader.join().expect("the reader")).unwrap_or_default();
    Measured { took, peak_kib, lines, tokens }
}

/// Waits for the end; the mark only rises, so the last look is the highest.
fn watch(child: &mut Child) -> u64 {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak = mark.unwrap_or(peak);
        if let Some(status) = child.try_wait().expect("a child") {
            assert!(status.success(), "a run failed: {status}");
            return peak;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A megabyte, then a pause: counts the lines of output, and tokens that should not be there.
fn read_slowly(mut pipe: impl Read) -> (u64, u64) {
    let (mut lines, mut tokens) = (0, 0);
    let mut buffer = vec![0; 1_000_000];
    let mut kept: Vec<u8> = Vec::new();
    loop {
        let mut filled = 0;
        while filled < buffer.len() {
            match pipe.read(&mut buffer[filled..]).expect("a pipe") {
                0 => break,
                count => filled += count,
            }
        }
        if filled == 0 {
            return (lines, tokens);
        }
        kept.extend_from_slice(&buffer[..filled]);
        let whole = memchr::memrchr(b'\n', &kept).map_or(0, |at| at + 1);
        for line in kept[..whole].split(|byte| *byte == b'\n') {
            lines += u64::from(line.get(20..25) == Some(b"   | ".as_slice()));
            tokens += u64::from(memchr::memmem::find(line, stage::TOKEN.as_bytes()).is_some());
        }
        kept.drain(..whole);
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn lines_of_a_block() -> u64 {
    memchr::memchr_iter(b'\n', &stage::block()).count() as u64
}
