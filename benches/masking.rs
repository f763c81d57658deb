//! How fast the masker is: GB/s of this thread, for 1, 10, 50 and about 1,600 needles, for the worst text and for
//! addresses, with `memcpy` and the aho-corasick crate (whose per-chunk replacing leaks at cuts) in the same run.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::hint::black_box;
use std::time::Instant;

use aho_corasick::{AhoCorasick, MatchKind};
use soopervisor::logs::mask::Masker;
use soopervisor::secret::{Secret, SecretSet};

const CHUNK: usize = 16 * 1024;
const SIZE: usize = 64 * 1024 * 1024;

/// What a client prints that is talkative.
const ADDRESSES: &str = "2026-11-21 09:12:33,120 INFO client: GET https://user:pa55word@data.example.org/parts/7.parquet?page=2\
                         &token=0123456789abcdef&sig=zz%3D 200 mail to ops@example.org\n";

/// The bars: secrets, and what the masker must do at least.
const BARS: [(usize, f64); 4] = [(1, 2.0), (10, 1.0), (50, 1.0), (200, 0.15)];

fn main() {
    println!("16 KiB chunks, 64 MiB of log lines with a secret every 2,000 lines; best of 5, GB/s\n");
    println!("| secrets | with encodings | masker | 120-byte chunks | aho-corasick per chunk (leaks) | memcpy | bar |");
    println!("|---|---|---|---|---|---|---|");
    let mut missed = false;
    for (count, bar) in BARS {
        let secrets = secrets(count);
        let text = log(&secrets);
        let masker = masker(&secrets);
        let speed = best(&text, |text| mask(&masker, text, CHUNK));
        let small = best(&text, |text| mask(&masker, text, 120));
        let needles: Vec<String> = secrets.iter().flat_map(|s| encodings(s)).collect();
        let peer = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&needles).expect("it builds");
        let masks = vec!["***"; needles.len()];
        let peer = best(&text, |text| {
            text.chunks(CHUNK).map(|chunk| black_box(peer.replace_all_bytes(chunk, &masks)).len()).sum()
        });
        let copy = best(&text, |text| text.chunks(CHUNK).map(|chunk| black_box(chunk.to_vec()).len()).sum());
        missed |= speed < bar;
        println!("| {count} | {} | {speed:.2} | {small:.2} | {peer:.2} | {copy:.1} | ≥ {bar} |", needles.len());
    }
    println!("\n| worst text | masker |\n|---|---|");
    for (name, secrets, unit) in [
        ("`a…` with the secret `a`×40 `b`", vec!["a".repeat(40) + "b"], "a"),
        ("`abab…` with `ab`×20 `c`", vec!["ab".repeat(20) + "c"], "ab"),
        ("one secret again and again", vec!["correct-horse-battery".to_owned()], "correct-horse-battery"),
        ("a secret of 4 bytes, log text", vec!["zq7x".to_owned()], ""),
        ("addresses with credentials in each line", vec!["correct-horse-battery".to_owned()], ADDRESSES),
        ("`://` again and again", vec!["correct-horse-battery".to_owned()], "://"),
        ("`@` again and again", vec!["correct-horse-battery".to_owned()], "@"),
        ("`?` again and again", vec!["correct-horse-battery".to_owned()], "?"),
    ] {
        let masker = masker(&secrets);
        let text = if unit.is_empty() { log(&secrets) } else { unit.repeat(SIZE / unit.len()).into_bytes() };
        println!("| {name} | {:.2} |", best(&text, |text| mask(&masker, text, CHUNK)));
    }
    let many = secrets(200);
    let start = Instant::now();
    black_box(masker(&many));
    println!("\nbuilding the masker of 200 secrets: {:.0} ms", start.elapsed().as_secs_f64() * 1000.0);
    println!("{}", if missed { "a bar was missed" } else { "every bar was met" });
}

fn masker(secrets: &[String]) -> Masker {
    let env = secrets.iter().enumerate().map(|(n, s)| Secret::new(format!("S{n}"), s.clone().into_bytes())).collect();
    Masker::new(&SecretSet { env, mask_only: Vec::new() })
}

fn mask(masker: &Masker, text: &[u8], chunk: usize) -> usize {
    let mut stream = masker.stream();
    let shown: usize = text.chunks(chunk).map(|chunk| black_box(stream.push(chunk)).len()).sum();
    shown + stream.finish().len()
}

fn best(text: &[u8], mut run: impl FnMut(&[u8]) -> usize) -> f64 {
    let once = |run: &mut dyn FnMut(&[u8]) -> usize| {
        let start = cpu_seconds();
        black_box(run(text));
        cpu_seconds() - start
    };
    let fastest = (0..5).map(|_| once(&mut run)).fold(f64::INFINITY, f64::min);
    #[expect(clippy::cast_precision_loss, reason = "a length of a few megabytes is exact in a float")]
    let bytes = text.len() as f64;
    bytes / fastest / 1e9
}

/// Processor time of this thread: neighbours on the machine do not move it.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells it");
    let nanos: f64 = stat.split(' ').next().and_then(|n| n.parse().ok()).expect("its first word is a number");
    nanos / 1e9
}

struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }
}

/// Tokens of 32 letters and digits, as services hand them out.
fn secrets(count: usize) -> Vec<String> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut random = Random(0x5eed);
    let mut letter = || {
        let at = random.next(LETTERS.len() as u64);
        char::from(LETTERS[usize::try_from(at).unwrap_or_default()])
    };
    (0..count).map(|_| (0..32).map(|_| letter()).collect()).collect()
}

/// Eight forms a secret: what the comparison has to find at least.
fn encodings(secret: &str) -> Vec<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    let mut all =
        vec![secret.to_owned(), hex::encode(secret), hex::encode_upper(secret), STANDARD_NO_PAD.encode(secret)];
    for before in ["x", "xx"] {
        all.push(STANDARD_NO_PAD.encode(format!("{before}{secret}"))[4..40].to_owned());
    }
    all.push(STANDARD_NO_PAD.encode(format!("{secret}\n")));
    all.push(format!("\"{secret}\""));
    all
}

/// Lines as data pipelines print them.
fn log(secrets: &[String]) -> Vec<u8> {
    let mut random = Random(0xda7a);
    let mut text = String::with_capacity(SIZE + 200);
    let mut line = 0_usize;
    while text.len() < SIZE {
        line += 1;
        let (a, b, c) = (random.next(1_000_000), random.next(100), random.next(60));
        text += &match line % 4 {
            0 => format!("2026-11-21 09:{c:02}:{b:02},{:03} INFO pipeline.clean: kept {a} of 1000000 rows\n", a % 1000),
            1 => format!("epoch {b:3}/100  loss={}.{a:06}  val_accuracy=0.{a:06}  lr=1e-{c}\n", b % 7),
            2 => format!("Downloading https://data.example.org/parts/part-{a:06}.parquet ({b}.{c} MB)\n"),
            _ => format!("  File \"/srv/env/lib/python3.11/site-packages/pandas/core/frame.py\", line {a}, in f\n"),
        };
        if line.is_multiple_of(2000) {
            text += &format!("export TOKEN={}\n", secrets[line / 2000 % secrets.len()]);
        }
    }
    text.into_bytes()
}
