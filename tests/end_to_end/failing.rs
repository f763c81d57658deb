//! What goes wrong is told apart, loses nothing, and says what to do.

use std::os::unix::fs::PermissionsExt;

use crate::publishing::{PIPELINE, TASKS, user};
use crate::support::User;

fn user_whose_second_task(does: &str) -> User {
    let tasks = TASKS.replace(
        "    Path(product).write_text(Path(upstream['first'])",
        &format!("    {does}\n    Path(product).write_text(Path(upstream['first'])"),
    );
    assert_ne!(tasks, TASKS);
    User::with(&[("pipeline.yaml", PIPELINE), ("tasks.py", &tasks)])
}

#[test]
fn a_failing_task_ends_with_its_card_and_publishes_nothing() {
    let user = user_whose_second_task("raise ValueError('the data is odd')");
    user.run(&[]).exits(4).says("second").says("the data is odd").says("soopervisor");
    assert_eq!(user.published_folders(), Vec::<std::path::PathBuf>::new());
    assert_eq!(user.containers(), [""; 0]);
    let said = user.say(&["show", "latest"]).exits(0).says("failed").says("in second: ValueError: the data is odd");
    // The user's own line, and nothing of Ploomber's.
    said.says("at         tasks.py:").says("raise ValueError('the data is odd')").hides("site-packages");
    let run = std::fs::read_dir(user.runs()).unwrap().next().unwrap().unwrap().path();
    assert!(run.join("work/output/first.txt").is_file(), "partial outputs are kept, apart from published ones");
    assert!(std::fs::read_to_string(run.join("log")).unwrap().contains("the data is odd"));
    user.say(&["show", "latest"]).exits(0).says("what was made is in work/ and output/ of");
}

#[test]
fn a_package_that_nobody_has_is_shown_where_it_is_written_with_what_was_meant() {
    let user = user();
    let head = "name: env\nchannels: [conda-forge]\ndependencies:\n  - python\n  - pip\n";
    user.write("environment.yml", &format!("{head}  - pythno\n"));
    user.commit("another");
    user.run(&[]).exits(3).says("no channel has `pythno`").says("environment.yml:6:5").says("did you mean `python`?");
    user.write("environment.yml", &format!("{head}  - pip:\n      - pandsa\n"));
    user.commit("another");
    user.run(&[])
        .exits(3)
        .says("no package index has `pandsa`")
        .says("environment.yml:7:9")
        .says("did you mean `pandas`?");
    assert_eq!(user.published_folders(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_run_of_which_nothing_is_left_did_not_succeed() {
    let pipeline = "tasks:\n  - source: tasks.a\n    product: /tmp/a.txt\n";
    let module = "def a(product):\n    open(product, 'w').write('gone')\n";
    let user = User::with(&[("pipeline.yaml", pipeline.replace("tasks.a", "lib.a").as_str()), ("lib.py", module)]);
    user.run(&[]).exits(6).says("nothing that it made can be published").says("what was made is in");
    assert_eq!(user.published_folders(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn an_import_whose_failure_ploomber_swallows_is_told_with_the_package_and_can_be_looked_at() {
    // `a` is a known ending of files, so that Ploomber takes `tasks.a` for a wrong one.
    let pipeline = "tasks:\n  - source: tasks.a\n    product: output/a.txt\n";
    let module = "import sklearn\n\ndef a(product):\n    open(product, 'w').close()\n";
    let user = User::with(&[("pipeline.yaml", pipeline), ("tasks.py", module)]);
    let said = user.run(&[]).exits(4).says("No module named 'sklearn', imported by tasks.py").says("- scikit-learn");
    drop(said);
    let run = std::fs::read_dir(user.runs()).unwrap().next().unwrap().unwrap().path();
    let mut again = std::process::Command::new("bash");
    again.arg(run.join("reproduce.sh")).args(["python", "-c", "import tasks"]);
    let output = again.output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(text.contains("ModuleNotFoundError: No module named 'sklearn'") && !text.contains("Loading"), "{text}");
}

#[test]
fn a_run_that_never_began_says_what_for_and_a_dirty_one_that_it_was() {
    let user = user();
    user.run(&["--memory", "200"]).exits(3).says("not started: no container starts with less than 6 MiB");
    user.run(&["--env", "NOT_SET_ANYWHERE"]).exits(3).says("not started: the variable `NOT_SET_ANYWHERE` is not set");
    user.write("tasks.py", &TASKS.replace("'one\\n'", "'ONE\\n'"));
    user.run(&["--allow-dirty", "--project", "other"]).exits(0).says(": other at ").says("-dirty succeeded");
}

#[test]
fn memory_time_and_silence_are_told_apart() {
    let hungry = user_whose_second_task("hold = [bytearray(2**26) for _ in range(64)]");
    hungry.run(&["--memory", "400m"]).exits(9).says("memory");
    let slow = user_whose_second_task("import time; [(time.sleep(0.2), print('.', flush=True)) for _ in range(600)]");
    slow.run(&["--timeout", "20s"]).exits(8).says("--timeout");
    let silent = user_whose_second_task("import time; time.sleep(120)");
    silent.run(&["--idle-timeout", "15s"]).exits(8).says("--idle-timeout").says("execute, task `second`: ");
    silent.say(&["runs"]).exits(0).says("timed out");
    hungry.say(&["runs"]).exits(0).says("out of memory");
    for user in [hungry, slow, silent] {
        assert_eq!(user.published_folders().len(), 0);
        assert_eq!(user.containers(), [""; 0]);
    }
}

#[test]
fn a_full_disk_inside_is_named() {
    let user = user_whose_second_task("raise OSError(28, 'No space left on device')");
    user.run(&[]).exits(10).says("disk");
}

#[test]
fn a_pipeline_that_starts_more_processes_than_it_may_is_told_how_many_those_are() {
    let user = user_whose_second_task("import subprocess; [subprocess.Popen(['sleep', '60']) for _ in range(400)]");
    user.run(&["--pids", "200"]).exits(4).says("200 processes and threads may run at once").says("`--pids`");
    assert_eq!(user.containers(), [""; 0]);
}

#[test]
fn who_writes_more_than_the_disk_limit_is_ended_also_where_the_engine_cannot_limit_it() {
    let writes =
        "import time; open('/tmp/big', 'wb').write(bytes(100 << 20)); print('written', flush=True); time.sleep(120)";
    let user = user_whose_second_task(writes);
    user.run(&["--disk", "40m"]).exits(10).says("disk");
    assert_eq!(user.published_folders().len(), 0);
    assert_eq!(user.containers(), [""; 0]);
    user.say(&["run", "my repo", "--storage", "local:artifacts", "--disk", "40m", "--dry-run"])
        .exits(0)
        .says("disk 40 MiB (looked at every second where the engine cannot limit it)");
}

#[test]
fn a_missing_product_is_named_with_its_task() {
    // Ploomber is content when the file is there at the end of the task; a later task takes it away.
    let user = user_whose_second_task("Path(upstream['first']).rename('gone'); upstream = {'first': 'gone'}");
    user.run(&[]).exits(6).says("output/first.txt").says("first");
    assert_eq!(user.published_folders().len(), 0);
}

#[test]
fn broken_specs_are_refused_before_anything_starts_with_all_findings() {
    let user = User::with(&[
        (
            "pipeline.yaml",
            "tasks:\n  - source: tasks.first\n    prodct: a.txt\n  - source: nowhere.py\n    product: b.ipynb\n",
        ),
        ("tasks.py", TASKS),
    ]);
    let said = user.run(&[]).exits(3).says("pipeline.yaml").says("prodct").says("nowhere.py");
    assert!(said.text.contains("did you mean") || said.text.contains("product"), "{}", said.text);
    assert_eq!(user.containers(), [""; 0]);
}

#[test]
fn uncommitted_changes_are_refused_with_both_ways_out_and_run_on_demand() {
    let user = user();
    user.write("tasks.py", &TASKS.replace("'one\\n'", "'ONE\\n'"));
    user.run(&[]).exits(3).says("tasks.py").says("commit").says("--allow-dirty");
    user.run(&["--allow-dirty"]).exits(0);
    let folder = user.published();
    assert!(folder.to_string_lossy().contains("-dirty-"), "{folder:?}");
    assert_eq!(std::fs::read_to_string(folder.join("output/first.txt")).unwrap(), "ONE\n");
}

#[test]
fn no_engine_and_no_image_are_exit_code_5() {
    let user = user();
    let mut command = user.run_command(&[]);
    let output = command.env("DOCKER_HOST", "unix:///nowhere/docker.sock").output().unwrap();
    crate::support::Said::from(output).exits(5).says("nowhere").says("doctor");
    user.run(&["--image", "localhost:1/none:latest"]).exits(5).says("localhost:1/none:latest");
}

#[test]
fn a_storage_that_cannot_be_written_is_found_before_the_run() {
    let user = user();
    std::fs::write(user.storage(), "a file, not a folder").unwrap();
    user.run(&[]).exits(7).says("artifacts").hides("writing the first");
}

#[test]
fn an_environment_that_cannot_be_solved_names_the_package() {
    let user = user();
    user.write(
        "environment.yml",
        "name: x\nchannels:\n  - conda-forge\ndependencies:\n  - python=3.11\n  - nosuchpackage-at-all\n",
    );
    user.commit("odd environment");
    user.run(&[]).exits(3).says("nosuchpackage-at-all");
}

#[test]
fn a_failing_import_gets_a_diagnosis() {
    let user = user_whose_second_task("import torch_of_somebody_else");
    user.run(&[]).exits(4).says("torch_of_somebody_else").says("environment.yml");
    let user = crate::publishing::user();
    user.write("tasks.py", &format!("import sklearn_of_somebody_else\n{TASKS}"));
    user.commit("an import at the top");
    let said =
        user.run(&[]).exits(4).says("looks like No module named 'sklearn_of_somebody_else', imported by tasks.py");
    said.says("environment.yml");
}

#[test]
fn without_a_network_the_pipeline_reaches_nothing() {
    let probe = "import socket; socket.setdefaulttimeout(5); socket.create_connection(('1.1.1.1', 53))";
    let user = user_whose_second_task(probe);
    user.run(&["--network", "none"]).exits(4).says("unreachable");
}

#[test]
fn the_container_is_hardened() {
    let probe = "import os; status = open('/proc/self/status').read(); print(status); assert os.getuid() != 0; assert 'CapEff:\\t0000000000000000' in status; assert 'NoNewPrivs:\\t1' in status; assert not os.path.exists('/var/run/docker.sock')";
    let user = user_whose_second_task(probe);
    user.run(&[]).exits(0);
    let owner =
        std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(user.published().join("output/first.txt")).unwrap());
    let me = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(user.repo()).unwrap());
    assert_eq!(owner, me, "what is published belongs to the user");
    assert_eq!(std::fs::metadata(user.runs()).unwrap().permissions().mode() & 0o077, 0, "runs are private");
}

#[test]
fn what_the_machine_cannot_give_is_the_users_to_change() {
    let user = User::with(&[("pipeline.yaml", PIPELINE), ("tasks.py", TASKS)]);
    user.run(&["--cpus", "1000"]).exits(3).says("Range of CPUs").says("`--cpus`");
    user.run(&["--image", "Not::an image"]).exits(3).says("no name of a container image");
    user.run(&["--image", "Not::an image", "--dry-run"]).exits(3);
    assert_eq!(user.published_folders(), Vec::<std::path::PathBuf>::new());
}
