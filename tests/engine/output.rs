//! The script arrives whole, its output arrives whole, and its exit code is its own.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use soopervisor::engine::{Engine as _, ExecSpec, OutputSink, Stream};

use crate::kit::{
    Heard, close, docker, docker_says, exists, in_time, mount, open_folder, run, run_script, script, script_with, spec,
};

#[tokio::test]
async fn tells_every_exit_code() {
    let docker = docker().await;
    for (text, code) in [
        ("true", 0),
        ("exit 1", 1),
        ("no-such-command-at-all", 127),
        ("/etc/passwd", 126),
        ("kill -KILL $$", 137),
        ("kill -TERM $$", 143),
        ("exit 255", 255),
    ] {
        let (exit, heard) = run_script(&docker, text).await;
        assert_eq!((exit.code, exit.oom_killed), (code, false), "{text}: {}", heard.stderr());
    }
}

#[tokio::test]
async fn a_script_whose_child_reads_stdin_still_runs_to_its_end() {
    let docker = docker().await;
    let (exit, heard) = run_script(&docker, "echo 1\ncat >/dev/null\nread x; echo 2\nexit 7\n").await;
    assert_eq!((exit.code, heard.stdout()), (7, "1\n2\n"));
}

#[tokio::test]
async fn a_script_of_ten_megabytes_arrives_whole() {
    let docker = docker().await;
    let mut text = String::with_capacity(10 << 20);
    while text.len() < 10 << 20 {
        text.push_str("# é a line that only takes room, and one ' and one \" and one $( that must not matter\n");
    }
    text.push_str("wc -c <\"$0\"\nexit 3\n");
    let (exit, heard) = run_script(&docker, text.clone()).await;
    assert_eq!((exit.code, heard.stdout().trim()), (3, text.len().to_string().as_str()), "{}", heard.stderr());
}

#[tokio::test]
async fn a_script_finds_a_place_where_shared_memory_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut sealed = spec();
    sealed.mounts = vec![mount(folder.path(), "/dev/shm", false)];
    let (exit, heard) = run(&docker().await, sealed, script("echo \"$0\"; exit 3")).await;
    assert_eq!((exit.unwrap().code, heard.stdout(), heard.stderr()), (3, "/tmp/soopervisor.sh\n", ""));
}

#[tokio::test]
async fn an_empty_script_succeeds() {
    let (exit, heard) = run_script(&docker().await, "").await;
    assert_eq!((exit.code, heard.out.len(), heard.err.len()), (0, 0, 0));
}

#[tokio::test]
async fn keeps_the_streams_apart_and_each_in_order() {
    let (exit, heard) = run_script(&docker().await, "for i in {1..500}; do echo o$i; echo e$i >&2; done").await;
    let expected = |c: &str| (1..=500).fold(String::new(), |all, i| all + c + &i.to_string() + "\n");
    assert_eq!(exit.code, 0);
    assert_eq!(heard.stdout(), expected("o"));
    assert_eq!(heard.stderr(), expected("e"));
}

#[tokio::test]
async fn output_is_bytes_not_text() {
    let (_, heard) = run_script(&docker().await, r"printf '\000\001\002\003\377\r\n\033[0m'").await;
    assert_eq!(heard.out, b"\x00\x01\x02\x03\xff\r\n\x1b[0m");
}

#[tokio::test]
async fn nothing_of_a_script_writes_any_more_once_its_success_is_told() {
    let docker = docker().await;
    for left in ["&", "& disown; exec >/dev/null 2>&1"] {
        let folder = open_folder();
        let mut asked = spec();
        asked.mounts = vec![mount(folder.path(), "/shared", true)];
        let mut session = docker.start(asked).await.unwrap();
        let mut heard = Heard::default();
        // A daemon, deaf to what ends its parent, which writes as fast as it can.
        let text = format!(
            "bash -c 'trap \"\" TERM HUP INT; while :; do echo x >>/shared/log; done' >/dev/null 2>&1 {left}\n\
             until [ -s /shared/log ]; do sleep 0.05; done; exit 0"
        );
        let exit = in_time(session.exec(script(text), &mut heard)).await.unwrap();
        let length = || fs_err::metadata(folder.path().join("log")).unwrap().len();
        let told = length();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!((exit.code, heard.stderr(), length()), (0, "", told), "{left}");
        assert!(told > 0);
        close(session).await;
    }
}

/// Hashes, and is slow for a while: back-pressure must reach the container, not memory.
pub(crate) struct Slow {
    hash: Sha256,
    bytes: u64,
    naps: u32,
}

impl Slow {
    pub(crate) fn napping(naps: u32) -> Self {
        Self { hash: Sha256::new(), bytes: 0, naps }
    }

    /// Whether it got a line again and again, cut to so many bytes.
    pub(crate) fn is(self, line: &[u8], bytes: usize) -> bool {
        let whole = line.repeat(bytes / line.len() + 1);
        self.bytes == bytes as u64 && self.hash.finalize() == Sha256::digest(&whole[..bytes])
    }
}

#[async_trait]
impl OutputSink for Slow {
    async fn output(&mut self, _: Stream, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        if self.naps > 0 {
            self.naps -= 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn gap(&mut self) {
        panic!("no output may be lost");
    }
}

#[tokio::test]
async fn a_slow_reader_gets_a_hundred_megabytes_to_the_byte() {
    let docker = docker().await;
    let mut slow = Slow::napping(100);
    let mut session = docker.start(spec()).await.unwrap();
    let text = "yes 'all work and no play makes a long log' | head -c 100000000";
    let exit = in_time(session.exec(script(text), &mut slow)).await.unwrap();
    close(session).await;
    assert_eq!((exit.code, slow.is(b"all work and no play makes a long log\n", 100_000_000)), (0, true));
}

#[tokio::test]
async fn the_last_bytes_before_a_sudden_exit_arrive() {
    let docker = docker().await;
    for _ in 0..5 {
        let (exit, heard) = run_script(&docker, "head -c 1000000 /dev/zero; kill -KILL $$").await;
        assert_eq!((exit.code, heard.out.len()), (137, 1_000_000));
    }
}

#[tokio::test]
async fn background_children_do_not_keep_the_container_or_a_bare_wait() {
    let since = Instant::now();
    let (exit, heard) = run_script(&docker().await, "sleep 1000 & disown\nwait\necho waited\n").await;
    assert_eq!((exit.code, heard.stdout()), (0, "waited\n"));
    assert!(since.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn secrets_of_any_bytes_reach_the_script_and_nothing_else() {
    let docker = docker().await;
    let value: Vec<u8> = (1..=255).collect();
    let secrets: [(&str, &[u8]); 4] = [("ODD", &value), ("LINES", b"a\nb\n"), ("EMPTY", b""), ("LC_ALL", b"C.UTF-8")];
    let text = r#"printf '%s' "$ODD" >&2; printf '[%s][%s][%s]' "$LINES" "${EMPTY-unset}" "$LC_ALL"; cat "$0""#;
    let mut session = docker.start(spec()).await.unwrap();
    let name = session.name().to_owned();
    let mut heard = Heard::default();
    let mut exec = script_with(text, &secrets);
    exec.nonce = "abc123".into();
    exec.script.push_str("\nIFS= read -r -u 3 nonce; echo \"<$nonce>\"; exec 3<&-; env | grep -c abc123");
    exec.script.push_str("\nsleep 2");
    let inspect = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_secs(1));
        docker_says(&["inspect", &name]) + &docker_says(&["top", &name, "-ww", "-o", "pid,args"])
    });
    let exit = in_time(session.exec(exec, &mut heard)).await.unwrap();
    let inspected = inspect.await.unwrap();
    close(session).await;
    assert_eq!(exit.code, 0, "{}", String::from_utf8_lossy(&heard.err));
    assert_eq!(heard.err, value);
    let out = heard.stdout();
    assert!(out.starts_with("[a\nb\n][][C.UTF-8]"), "{out}");
    assert!(out.ends_with("<abc123>\n0\n"), "the nonce comes on descriptor 3 and in no variable: {out}");
    assert!(inspected.contains("\"Running\": true") && inspected.contains("sleep 2"), "{inspected}");
    assert!(!inspected.contains("LINES=") && !inspected.contains("abc123"), "secrets must not show: {inspected}");
}

#[tokio::test]
async fn the_script_finds_the_environment_that_the_container_was_given() {
    let docker = docker().await;
    // Process 1 still has it as it was; bash itself sets PWD, SHLVL and `_`.
    let text = "comm -3 <(tr '\\0' '\\n' </proc/1/environ | sort) <(env | sort) | grep -vE '^\\s*(PWD|SHLVL|_)='";
    for locale in [None, Some("POSIX"), Some("")] {
        let mut given = spec();
        given.env = [("PLAIN".to_owned(), "1".to_owned())].into();
        given.env.extend(locale.map(|locale| ("LC_ALL".to_owned(), locale.to_owned())));
        let (_, heard) = run(&docker, given, script(text)).await;
        // Not set for Podman.
        assert!(["TINI_KILL_PROCESS_GROUP=1\n", ""].contains(&heard.stdout()), "{locale:?}: {}", heard.stdout());
    }
}

#[tokio::test]
async fn a_secret_that_bash_keeps_for_itself_is_refused_by_name() {
    let (exit, heard) = run(&docker().await, spec(), script_with("echo ran", &[("UID", b"hunter2")])).await;
    assert_eq!(exit.unwrap().code, 97);
    assert!(heard.stderr().contains("UID") && !heard.stderr().contains("hunter2"), "{}", heard.stderr());
    assert_eq!(heard.stdout(), "");
}

#[tokio::test]
async fn a_script_full_of_traps_for_quoting_is_taken_as_it_is() {
    let text = "printf '%s\\n' '$HOME `x` \\ \"' \"it's\"\n\techo \ttab; # no newline at the end: exit 4";
    let (exit, heard) = run_script(&docker().await, text).await;
    assert_eq!((exit.code, heard.stdout()), (0, "$HOME `x` \\ \"\nit's\ntab\n"));
}

#[tokio::test]
async fn two_sessions_at_once_do_not_mix() {
    let docker = docker().await;
    let one = run_script(&docker, "for i in {1..200}; do echo one; sleep 0.001; done; exit 1");
    let two = run_script(&docker, "for i in {1..200}; do echo two; sleep 0.001; done; exit 2");
    let ((first, heard_one), (second, heard_two)) = tokio::join!(one, two);
    assert_eq!((first.code, second.code), (1, 2));
    assert_eq!(heard_one.stdout(), "one\n".repeat(200));
    assert_eq!(heard_two.stdout(), "two\n".repeat(200));
}

#[tokio::test]
async fn a_closed_session_leaves_no_container_even_unused_or_running() {
    let docker = docker().await;
    let unused = docker.start(spec()).await.unwrap();
    let name = unused.name().to_owned();
    assert!(exists(&name));
    close(unused).await;
    assert!(!exists(&name));

    let mut busy = docker.start(spec()).await.unwrap();
    let name = busy.name().to_owned();
    let mut heard = Heard::default();
    let cut = tokio::time::timeout(Duration::from_secs(2), busy.exec(script("sleep 1000"), &mut heard)).await;
    assert!(cut.is_err(), "it sleeps");
    close(busy).await;
    assert!(!exists(&name));
}

#[tokio::test]
async fn an_image_that_is_missing_is_named_with_a_way_out() {
    let docker = docker().await;
    let reference = "soopervisor-no-such-image:1";
    let error = docker.ensure_image(reference, &mut |_| ()).await.unwrap_err().to_string();
    assert!(error.contains(reference) && error.contains("docker pull"), "{error}");
    let mut missing = spec();
    missing.image = reference.into();
    let error = docker.start(missing).await.err().unwrap().to_string();
    assert!(error.contains(reference), "{error}");
}

#[tokio::test]
async fn an_image_that_is_here_is_told_by_its_id() {
    let docker = docker().await;
    let image = docker.ensure_image(&crate::kit::image(), &mut |line| panic!("no pull: {line}")).await.unwrap();
    assert!(image.id.starts_with("sha256:"), "{image:?}");
    let mut by_id = spec();
    by_id.image = image.id;
    let (exit, _) =
        run(&docker, by_id, ExecSpec { script: "exit 9".into(), secrets: vec![], nonce: String::new() }).await;
    assert_eq!(exit.unwrap().code, 9);
}
