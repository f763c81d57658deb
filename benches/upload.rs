//! Publishing to a service against `rclone copy` of the same files to the same server, in turn, in the same run.
//!
//! `cargo bench --bench upload -- [webdav|sftp|s3] [small|large]`. The bar: not slower than rclone with its own settings,
//! and at most 256 MiB of memory. What rclone does not do (a sha256 of every file, a manifest, pointers) is in our time.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on panics")]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fixture_run::Run;
use servers::{Server, folder_of_servers, free_port};
use soopervisor::plan::OnConflict;
use soopervisor::storage::{Access, Location, Remotes, Storage};
use soopervisor::web::Reach;

#[path = "../tests/fixture_run/mod.rs"]
mod fixture_run;
#[path = "../tests/stores/servers.rs"]
mod servers;

const ROUNDS: usize = 3;
const PASSWORD: &str = "let-me-in";

/// What servers need done before they start.
fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A server, how it is named for us, and how for rclone.
struct Place {
    written: String,
    set: Vec<(&'static str, String)>,
    rclone: (String, Vec<String>),
    _server: Server,
    _dir: tempfile::TempDir,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let wanted = |name: &str, all: &[&str]| {
        let named: Vec<_> = args.iter().filter(|arg| all.contains(&arg.as_str())).collect();
        named.is_empty() || named.iter().any(|arg| *arg == name)
    };
    for (name, start) in [("webdav", webdav as fn() -> Place), ("sftp", sftp), ("s3", s3)] {
        for (what, fill) in [("small", small as fn(&Run)), ("large", large)] {
            if wanted(name, &["webdav", "sftp", "s3"]) && wanted(what, &["small", "large"]) {
                let run = Run::new();
                fill(&run);
                measure(name, what, &start(), &run);
            }
        }
    }
}

fn small(run: &Run) {
    let mut noise = noise();
    for at in 0..1000 {
        run.product(format!("data/{:02}/file-{at}.bin", at % 20), &noise()[..10 * 1024]);
    }
}

fn large(run: &Run) {
    let (mut file, mut noise) = (File::create(run.path("work/large.bin")).unwrap(), noise());
    for _ in 0..1024 {
        file.write_all(&noise()).unwrap();
    }
}

/// A mebibyte that is like no other.
fn noise() -> impl FnMut() -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    move || {
        let word = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        std::iter::repeat_with(word).take(128 * 1024).flatten().collect()
    }
}

fn webdav() -> Place {
    let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
    let (address, root) = (format!("127.0.0.1:{port}"), dir.path().to_str().unwrap());
    let args =
        ["serve", "webdav", root, "--addr", &address, "--user", "me", "--pass", PASSWORD, "--config", "/dev/null"];
    let server = Server::start("rclone", Path::new("rclone"), &args, port);
    let obscured = Command::new("rclone").args(["obscure", PASSWORD]).output().unwrap();
    let obscured = String::from_utf8(obscured.stdout).unwrap();
    let flags =
        [&format!("--webdav-url=http://{address}/"), "--webdav-user=me", &format!("--webdav-pass={}", obscured.trim())];
    Place {
        written: format!("webdav://{address}/ours"),
        set: vec![("SOOPERVISOR_WEBDAV_USER", "me".to_owned()), ("SOOPERVISOR_WEBDAV_PASSWORD", PASSWORD.to_owned())],
        rclone: (":webdav:theirs".to_owned(), flags.map(str::to_owned).to_vec()),
        _server: server,
        _dir: dir,
    }
}

fn sftp() -> Place {
    let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
    let server = servers::sshd(dir.path(), port);
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let user = Command::new("id").arg("-un").output().unwrap();
    let user = String::from_utf8(user.stdout).unwrap();
    let flags = [
        "--sftp-host=127.0.0.1".to_owned(),
        format!("--sftp-port={port}"),
        format!("--sftp-user={}", user.trim()),
        format!("--sftp-key-file={}", file("user")),
    ];
    Place {
        written: format!("sftp://127.0.0.1:{port}{}", file("ours")),
        set: vec![
            ("SOOPERVISOR_SFTP_KEY", file("user")),
            ("SOOPERVISOR_SFTP_KNOWN_HOSTS", file("known_hosts")),
            ("SOOPERVISOR_SFTP_SSH_CONFIG", "/dev/null".to_owned()),
        ],
        rclone: (format!(":sftp:{}", file("theirs")), flags.to_vec()),
        _server: server,
        _dir: dir,
    }
}

fn s3() -> Place {
    let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
    let program = folder_of_servers().join("venv/bin/moto_server");
    let server = Server::start("moto", &program, &["-p", &port.to_string()], port);
    let endpoint = format!("http://127.0.0.1:{port}");
    run("curl", &["-sf", "-X", "PUT", &format!("{endpoint}/bench")]);
    let flags = [
        "--s3-provider=Other",
        &format!("--s3-endpoint={endpoint}"),
        "--s3-access-key-id=testing",
        "--s3-secret-access-key=testing-secret",
    ];
    Place {
        written: "s3://bench/ours".to_owned(),
        set: vec![
            ("SOOPERVISOR_S3_ENDPOINT", endpoint.clone()),
            ("SOOPERVISOR_S3_ACCESS_KEY_ID", "testing".to_owned()),
            ("SOOPERVISOR_S3_SECRET_ACCESS_KEY", "testing-secret".to_owned()),
        ],
        rclone: (":s3:bench/theirs".to_owned(), flags.map(str::to_owned).to_vec()),
        _server: server,
        _dir: dir,
    }
}

/// Both ways in turn, so that whatever else the machine does hits both; the median of each.
fn measure(name: &str, what: &str, place: &Place, run: &Run) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    forget_peak();
    for round in 0..ROUNDS {
        let storage = open(place, run, round);
        let publication = run.publication("bench", OnConflict::Fail);
        let start = Instant::now();
        runtime.block_on(storage.publish(publication, Arc::new(()))).unwrap();
        ours.push(start.elapsed());
        let (to, flags) = &place.rclone;
        let start = Instant::now();
        let mut rclone = Command::new("rclone");
        // Its S3 client refuses a bundle here, and the server speaks plain HTTP.
        rclone.env_remove("AWS_CA_BUNDLE");
        rclone.args(["copy", "--config", "/dev/null"]).args(flags).arg(run.path("work")).arg(format!("{to}-{round}"));
        let output = rclone.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        theirs.push(start.elapsed());
    }
    let spread = |times: &[Duration]| times.iter().map(|time| format!("{time:.1?}")).collect::<Vec<_>>().join(" ");
    let spreads = (spread(&ours), spread(&theirs));
    let [ours, theirs] = [ours, theirs].map(median);
    println!(
        "{name} {what}: publish {ours:.2?} ({}), rclone copy {theirs:.2?} ({}), ratio {:.2} (bar 1.00); {} MiB (bar 256)",
        spreads.0,
        spreads.1,
        ours.as_secs_f64() / theirs.as_secs_f64(),
        peak(),
    );
}

fn open(place: &Place, run: &Run, round: usize) -> Arc<dyn Storage> {
    let set = place.set.clone();
    let lookup = move |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    let remotes = Remotes::new(Vec::new(), Arc::new(lookup));
    let location = Location::parse(&format!("{}-{round}", place.written), Path::new("/"), &remotes).unwrap();
    location.open(&Access { reach: Reach::default(), remotes, state: run.path("state") }).unwrap()
}

/// The most memory that this process had, in MiB, since it was told to forget.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
