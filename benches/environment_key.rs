//! What a warm run pays for its environment: the key, from the text of environment.yml on, and the look into the store.
//!
//! `cargo bench --bench environment_key`

use std::time::{Duration, Instant};

use soopervisor::environment::{Config, Inputs, RawEnvironment, Store};
use soopervisor::spec::pip;
use stage::say;

mod stage;

const ROUNDS: usize = 301;

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config::new(folder.path().to_owned());
    let store = Store::open(folder.path()).expect("a store");
    say(&format!("load {}, {ROUNDS} rounds\n\n| what | median | least | bar |\n|---|---|---|---|", stage::load()));
    for (packages, lines) in [(3, 6), (60, 40), (400, 150)] {
        let text = file(packages, lines);
        let what = format!("key, {packages} packages and {lines} `pip:` lines");
        row(&what, || drop(store.find(&inputs(&text, &config).key(&config), &config)));
    }
}

fn inputs(text: &str, config: &Config) -> Inputs {
    let (environment, found) = soopervisor::spec::environment::parse("environment.yml", text.as_bytes());
    let environment = environment.filter(|_| found.is_empty()).expect("an environment");
    let lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("      - ")).collect();
    let pip = pip::split(&lines, "", &mut |_| Err("none".to_owned())).lines;
    Inputs::new(&RawEnvironment::of(&environment, pip), config, &|_| None).expect("inputs")
}

fn file(packages: usize, lines: usize) -> String {
    let mut text = "channels: [conda-forge]\ndependencies:\n  - python=3.11\n  - pip\n".to_owned();
    text.extend((0..packages).map(|n| format!("  - package-{n}>=1.{n},<3\n")));
    text += "  - pip:\n";
    text.extend((0..lines).map(|n| format!("      - distribution-{n}=={n}.1\n")));
    text
}

fn row(what: &str, mut act: impl FnMut()) {
    act();
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            act();
            start.elapsed()
        })
        .collect();
    times.sort();
    let [median, least] = [times[ROUNDS / 2], times[0]].map(|time| time.as_secs_f64() * 1000.0);
    say(&format!("| {what} | {median:.2} ms | {least:.2} ms | ≤ 2 ms |"));
}
