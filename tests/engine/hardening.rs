//! What a container may not do, and how its limits show.

use std::time::Duration;

use soopervisor::engine::Engine as _;

use crate::kit::{Heard, close, docker, docker_says, in_time, mount, open_folder, run, run_script, script, spec};

#[tokio::test]
async fn runs_without_root_capabilities_or_new_privileges() {
    let text = "id -u; id -g; grep -E '^(CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status";
    let (_, heard) = run_script(&docker().await, text).await;
    let none = "0000000000000000";
    let expected = format!(
        "10001\n10001\nCapInh:\t{none}\nCapPrm:\t{none}\nCapEff:\t{none}\nCapBnd:\t{none}\nCapAmb:\t{none}\n\
         NoNewPrivs:\t1\nSeccomp:\t2\n"
    );
    assert_eq!(heard.stdout(), expected);
}

#[tokio::test]
async fn without_a_network_there_is_no_way_out() {
    let text =
        "tail -n +2 /proc/net/route; ls /sys/class/net; (exec 3<>/dev/tcp/192.0.2.1/80) 2>/dev/null && echo open";
    let (_, heard) = run_script(&docker().await, text).await;
    assert_eq!(heard.stdout(), "lo\n");
}

#[tokio::test]
async fn with_a_network_there_is_a_route() {
    let mut open = spec();
    open.network = true;
    let (_, heard) = run(&docker().await, open, script("tail -n +2 /proc/net/route | wc -l")).await;
    assert!(heard.stdout().trim().parse::<u32>().unwrap() > 0, "{}", heard.stdout());
}

#[tokio::test]
async fn a_fork_bomb_meets_the_process_limit() {
    let mut few = spec();
    few.pids = 24;
    let text = "for i in {1..100}; do sleep 20 & done; echo survived";
    let (exit, heard) = run(&docker().await, few, script(text)).await;
    assert_ne!(exit.unwrap().code, 0);
    assert!(heard.stderr().contains("fork"), "{}", heard.stderr());
}

#[tokio::test]
async fn processors_are_limited_to_what_was_said() {
    let mut half = spec();
    half.cpus = Some(0.5);
    let groups = "for file in /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu/cpu.cfs_{quota,period}_us; do \
                  [ ! -e \"$file\" ] || tr '\\n' ' ' <\"$file\"; done";
    let docker = docker().await;
    let (exit, heard) = run(&docker, half, script(groups)).await;
    if docker.info().await.unwrap().rootless {
        // Groups of processes are handed to an engine without root on few machines: elsewhere it runs without the limit.
        return assert_eq!(exit.unwrap().code, 0, "{}", heard.stderr());
    }
    let numbers: Vec<f64> = heard.stdout().split_whitespace().map(|word| word.parse().unwrap()).collect();
    assert_eq!((exit.unwrap().code, numbers.len()), (0, 2), "{} {}", heard.stdout(), heard.stderr());
    assert!((numbers[0] / numbers[1] - 0.5).abs() < 0.001, "{numbers:?}");
}

#[tokio::test]
async fn mounts_keep_strange_names_and_read_only_refuses() {
    let docker = docker().await;
    let folder = open_folder();
    // Podman cannot be told of all of them at once.
    let podman = docker.info().await.unwrap().name.starts_with("podman");
    let strange = folder.path().join(if podman { "a b:c'd\\e é" } else { "a b:c,d'e\"f\\g é\nh" });
    fs_err::create_dir(&strange).unwrap();
    fs_err::write(strange.join("in"), "kept").unwrap();
    let writable = open_folder();
    let mut mounted = spec();
    mounted.mounts = vec![mount(&strange, "/in", false), mount(writable.path(), "/out", true)];
    let text = "cat /in/in; touch /in/new 2>&1 | grep -o 'Read-only'; cp /in/in '/out/a b'; exit 0";
    let (exit, heard) = run(&docker, mounted, script(text)).await;
    assert_eq!((exit.unwrap().code, heard.stdout()), (0, "keptRead-only\n"), "{}", heard.stderr());
    assert_eq!(fs_err::read_to_string(writable.path().join("a b")).unwrap(), "kept");
}

#[tokio::test]
async fn a_mount_that_the_daemon_does_not_see_is_refused_not_made_up() {
    let mut absent = spec();
    absent.mounts = vec![mount("/no/such/folder/here".as_ref(), "/in", false)];
    let error = docker().await.start(absent).await.err().unwrap().to_string();
    // The words by which the probe for shared files knows a daemon on another machine.
    assert!(error.contains("bind source path does not exist: /no/such/folder/here"), "{error}");
    assert!(!std::path::Path::new("/no/such").exists());
}

#[tokio::test]
async fn variables_reach_the_script_as_they_are() {
    let mut set = spec();
    set.env = [("PLAIN".into(), "a b=c\nd $HOME".into()), ("HOME".into(), "/tmp".into())].into();
    set.workdir = "/usr".into();
    let (_, heard) = run(&docker().await, set, script("echo \"$PLAIN\" $HOME $PWD")).await;
    assert_eq!(heard.stdout(), "a b=c\nd $HOME /tmp /usr\n");
}

#[tokio::test]
async fn a_variable_that_is_none_is_refused_before_a_container_exists() {
    let mut bad = spec();
    bad.env = [("A=B".into(), String::new())].into();
    let error = docker().await.start(bad).await.err().unwrap().to_string();
    assert!(error.contains("A=B"), "{error}");
}

/// Memory that one process fills. The limit is small, so that it does not take long.
const GREEDY: &str = "head -c 400000000 /dev/zero | tail";

#[tokio::test]
async fn out_of_memory_is_told_every_time_although_the_container_removes_itself() {
    let docker = docker().await;
    for round in 0..8 {
        let mut small = spec();
        small.memory_bytes = Some(48 << 20);
        let (exit, heard) = run(&docker, small, script(format!("set -o pipefail; {GREEDY}"))).await;
        let exit = exit.unwrap();
        assert_eq!((exit.code, exit.oom_killed), (137, true), "round {round}: {}", heard.stderr());
    }
}

#[tokio::test]
async fn out_of_memory_is_told_when_the_script_handles_it() {
    let docker = docker().await;
    // A kernel that is slow to take back what the greedy one held kills the next one too, and that is the shell.
    for round in 0.. {
        let mut small = spec();
        small.memory_bytes = Some(48 << 20);
        let (exit, heard) = run(&docker, small, script(format!("{GREEDY} || echo handled; exit 3"))).await;
        let exit = exit.unwrap();
        let told = (exit.code, exit.oom_killed, heard.stdout());
        if told == (3, true, "handled\n") {
            break;
        }
        assert_eq!(told, (137, true, ""), "round {round}");
        assert!(round < 4, "the shell was killed every time");
    }
}

#[tokio::test]
async fn out_of_memory_is_told_while_the_rest_goes_on() {
    let mut small = spec();
    small.memory_bytes = Some(48 << 20);
    let docker = docker().await;
    let mut session = docker.start(small).await.unwrap();
    let control = session.control();
    let text = "(x=$(head -c 200000000 /dev/zero | tr '\\0' x)) ; sleep 1000";
    let mut heard = Heard::default();
    let told = async {
        control.out_of_memory().await;
        control.kill().await.unwrap();
    };
    let (exit, ()) = in_time(async { tokio::join!(session.exec(script(text), &mut heard), told) }).await;
    close(session).await;
    assert!(exit.unwrap().oom_killed);
}

#[tokio::test]
async fn nothing_is_told_of_memory_where_nothing_was_killed_for_it() {
    let docker = docker().await;
    let mut session = docker.start(spec()).await.unwrap();
    let control = session.control();
    let mut heard = Heard::default();
    let (exit, told) = tokio::join!(
        in_time(session.exec(script("exit 3"), &mut heard)),
        tokio::time::timeout(Duration::from_secs(4), control.out_of_memory()),
    );
    close(session).await;
    assert_eq!((exit.unwrap().code, told.is_err()), (3, true));
}

#[tokio::test]
async fn tells_how_much_memory_was_used_at_most() {
    let text = "x=$(head -c 30000000 /dev/zero | tr '\\0' a); sleep 1.5; echo ${#x}";
    let (exit, heard) = run_script(&docker().await, text).await;
    let peak = exit.peak_memory_bytes.expect("a script that sleeps is sampled");
    assert_eq!(heard.stdout(), "30000000\n");
    assert!((30_000_000..256 << 20).contains(&peak), "{peak}");
}

#[tokio::test]
async fn labels_tell_the_owner_and_cannot_be_forged_by_the_caller() {
    let mut labelled = spec();
    labelled.labels = [("team".into(), "blue".into()), ("soopervisor.pid".into(), "1".into())].into();
    let session = docker().await.start(labelled).await.unwrap();
    let format = "{{index .Config.Labels \"soopervisor.pid\"}} {{index .Config.Labels \"team\"}} \
                  {{index .Config.Labels \"soopervisor.run\"}} {{.HostConfig.LogConfig.Type}} \
                  {{.HostConfig.AutoRemove}} {{.HostConfig.Init}} {{.HostConfig.MemorySwap}}";
    let said = docker_says(&["inspect", "-f", format, session.name()]);
    close(session).await;
    let expected = format!("{} blue engine-tests none true true {}\n", std::process::id(), 256 << 20);
    assert_eq!(said, expected);
}

#[tokio::test]
async fn a_disk_limit_is_used_or_known_to_be_ignored() {
    let docker = docker().await;
    assert_eq!(docker.limits_disk(), None);
    let mut limited = spec();
    limited.disk_bytes = Some(1 << 30);
    let (exit, _) = run(&docker, limited, script("exit 0")).await;
    assert_eq!(exit.unwrap().code, 0);
    assert!(docker.limits_disk().is_some());
}

#[tokio::test]
async fn a_term_trap_runs_at_once_although_a_child_is_busy() {
    let docker = docker().await;
    let mut session = docker.start(spec()).await.unwrap();
    let control = session.control();
    let mut heard = Heard::default();
    let text = "trap 'echo bye; exit 5' TERM\nsleep 1000\necho not reached\n";
    let stop = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        control.stop(Duration::from_mins(1)).await.unwrap();
    };
    let (exit, ()) = in_time(async { tokio::join!(session.exec(script(text), &mut heard), stop) }).await;
    close(session).await;
    assert_eq!((exit.unwrap().code, heard.stdout()), (5, "bye\n"));
}

#[tokio::test]
async fn a_stop_right_after_the_start_is_heard() {
    let docker = docker().await;
    for wait in [0, 3, 10, 30, 60, 100] {
        let mut session = docker.start(spec()).await.unwrap();
        let control = session.control();
        let mut heard = Heard::default();
        let since = std::time::Instant::now();
        let stop = async {
            tokio::time::sleep(Duration::from_millis(wait)).await;
            control.stop(Duration::from_mins(1)).await.unwrap();
        };
        let (exit, ()) = in_time(async { tokio::join!(session.exec(script("sleep 1000"), &mut heard), stop) }).await;
        close(session).await;
        assert_eq!(exit.unwrap().code, 143, "after {wait} ms");
        assert!(since.elapsed() < Duration::from_secs(30), "the grace is not used up after {wait} ms");
    }
}
