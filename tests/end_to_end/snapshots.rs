//! Snapshots of a special kind: with a repository for pipelines that ask git, and large ones that are not copied.

use crate::support::User;

#[test]
fn a_pipeline_that_asks_git_gets_branch_and_commit_and_the_repository_is_not_published() {
    let pipeline = "tasks:\n  - source: tasks.first\n    product: 'out/{{ git }}/{{git_hash}}/first.txt'\n    params:\n      where: '{{where}}'\n";
    let tasks = "from pathlib import Path\n\ndef first(product, where):\n    Path(product).write_text(where)\n";
    let user =
        User::with(&[("pipeline.yaml", pipeline), ("tasks.py", tasks), ("env.yaml", "where: 'at {{git_hash}}'\n")]);
    let hash = user.git(&["describe", "--tags", "--always"]);
    user.run(&[]).exits(0);
    let folder = user.published();
    assert_eq!(
        std::fs::read_to_string(folder.join(format!("out/main/{hash}/first.txt"))).unwrap(),
        format!("at {hash}")
    );
    assert!(!folder.join(".git").exists());
    assert!(!std::fs::read_to_string(folder.join("manifest.json")).unwrap().contains(".git/"));

    user.git(&["tag", "v1.0"]);
    user.git(&["checkout", "-q", "--detach"]);
    user.run(&["--on-conflict", "new-run"]).exits(0);
    let folders = user.published_folders();
    assert!(folders.iter().any(|folder| folder.join("out/v1.0/v1.0/first.txt").is_file()), "{folders:?}");
}

/// More files than are exported as fast as they are copied.
fn large() -> User {
    let pipeline = "tasks:\n  - source: tasks.first\n    product: flow/out/first.txt\n  - source: tasks.second\n    product: {data: data/kept.csv, link: result}\n";
    let tasks = "import os, shutil\nfrom pathlib import Path\n\ndef first(product):\n    assert len(list(Path('many').iterdir())) == 600\n    Path(product).parent.mkdir(parents=True, exist_ok=True)\n    Path(product).write_text(Path('many/7').read_text())\n    Path('many/7').write_text('changed')\n    os.remove('many/8')\n    shutil.rmtree('replaced')\n    Path('replaced').mkdir()\n    Path('replaced/new.txt').write_text('new')\n\ndef second(product, upstream):\n    assert Path(upstream['first']).exists()\n    assert not Path('many/8').exists() and os.listdir('replaced') == ['new.txt']\n    os.symlink('data/kept.csv', product['link'])\n";
    let user = User::with(&[
        ("pipeline.yaml", pipeline),
        ("tasks.py", tasks),
        ("soopervisor.yaml", "outputs: ['many/*', 'replaced']\n"),
        ("data/kept.csv", "committed\n"),
        ("replaced/old.txt", "old"),
    ]);
    for n in 0..600 {
        user.write(&format!("many/{n}"), &format!("{n}\n"));
    }
    user.commit("many");
    user
}

#[test]
fn a_large_commit_runs_again_and_again_from_what_is_kept_and_gives_the_same() {
    let user = large();
    for run in 0..2 {
        user.run(&["-v", "--on-conflict", "fail"]).exits(0).says("snapshot: 606 files");
        let folder = user.published();
        let read =
            |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_else(|_| panic!("run {run}: {name}"));
        assert_eq!(read("flow/out/first.txt"), "7\n", "run {run} began with the commit's own files");
        assert_eq!(read("data/kept.csv"), "committed\n", "a declared product that the commit holds");
        assert_eq!(read("many/7"), "changed");
        assert_eq!(read("replaced/new.txt"), "new");
        assert_eq!(std::fs::read_link(folder.join("result")).unwrap(), std::path::Path::new("data/kept.csv"));
        let many = std::fs::read_dir(folder.join("many")).unwrap().count();
        assert_eq!(many, 1, "what the commit held and the run left alone is no output");
        assert!(!folder.join("replaced/old.txt").exists());
    }
    assert_eq!(volumes(&user), Vec::<String>::new());
    assert_eq!(user.containers(), Vec::<String>::new());
}

#[test]
fn a_large_commit_whose_run_fails_can_be_repeated_and_leaves_no_volume() {
    let user = large();
    user.write("tasks.py", "def first(product):\n    raise ValueError(len(__import__('os').listdir('many')))\n\ndef second(product, upstream):\n    print(upstream['first'])\n");
    user.commit("broken");
    user.run(&[]).exits(4).says("600");
    assert_eq!(volumes(&user), Vec::<String>::new());
    let run = std::fs::read_dir(user.runs()).unwrap().next().unwrap().unwrap().path();
    let again = std::process::Command::new("bash").arg(run.join("reproduce.sh")).output().unwrap();
    let text = String::from_utf8_lossy(&[again.stdout, again.stderr].concat()).into_owned();
    assert!(text.contains("ValueError: 600"), "{text}");
}

#[test]
fn what_a_killed_repetition_of_a_large_commit_leaves_goes_with_the_next_run() {
    let user = large();
    user.write("tasks.py", "import time\nfrom pathlib import Path\n\ndef first(product):\n    again = Path.home() / 'again'\n    if again.exists():\n        time.sleep(300)\n    again.touch()\n    raise ValueError('once more')\n\ndef second(product, upstream):\n    print(upstream['first'])\n");
    user.commit("broken");
    user.run(&[]).exits(4).says("once more");
    let run = std::fs::read_dir(user.runs()).unwrap().next().unwrap().unwrap().path();
    let of_run = format!("label=soopervisor.run={}", run.file_name().unwrap().to_str().unwrap());
    let docker = |args: &[&str]| {
        let output = std::process::Command::new("docker").args(args).output().unwrap();
        String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let left = || docker(&["volume", "ls", "-q", "--filter", &of_run]);
    let mut again = std::process::Command::new("bash").arg(run.join("reproduce.sh")).spawn().unwrap();
    let containers = || match &left()[..] {
        [volume] => docker(&["ps", "-q", "--filter", &format!("volume={volume}")]),
        _ => Vec::new(),
    };
    crate::support::eventually(60, "it is repeated", || !containers().is_empty());
    again.kill().unwrap();
    again.wait().unwrap();
    for container in containers() {
        docker(&["rm", "-f", &container]);
    }
    assert_eq!(left().len(), 1, "killed, it could not clear up");
    user.write("tasks.py", "def first(product):\n    raise ValueError('other')\n\ndef second(product, upstream):\n    print(upstream['first'])\n");
    user.commit("other");
    user.run(&[]).exits(4);
    assert_eq!(left(), Vec::<String>::new());
}

/// Volumes of this user's runs.
fn volumes(user: &User) -> Vec<String> {
    let output = std::process::Command::new("docker").args(["volume", "ls", "-q"]).output().unwrap();
    let all = String::from_utf8(output.stdout).unwrap();
    let runs: Vec<String> =
        std::fs::read_dir(user.runs()).unwrap().map(|run| run.unwrap().file_name().into_string().unwrap()).collect();
    all.lines().filter(|name| runs.iter().any(|run| name.contains(run))).map(str::to_owned).collect()
}

#[test]
fn over_a_large_commit_tasks_are_taken_over_and_the_commits_own_files_are_no_strays() {
    let pipeline = "tasks:\n  - source: tasks.first\n    product: output/first.txt\n  - source: tasks.second\n    product: output/second.txt\n";
    let tasks = "from pathlib import Path\n\ndef first(product):\n    Path(str(product)).write_text('one')\n\ndef second(product, upstream):\n    Path(str(product)).write_text(Path(str(upstream['first'])).read_text() + ' two')\n";
    let user = User::with(&[("pipeline.yaml", pipeline), ("tasks.py", tasks)]);
    for n in 0..600 {
        user.write(&format!("docs/many/{n}.md"), &format!("{n}\n"));
    }
    user.commit("many");
    user.run(&["-v"]).exits(0).says("snapshot: 60");
    user.write("docs/many/7.md", "other words\n");
    let second = user.commit("words");
    user.run(&["-v"]).exits(0).says("2 of 2 tasks taken over");
    let folder = user.published_folders().into_iter().find(|folder| folder.ends_with(&second)).unwrap();
    assert_eq!(std::fs::read_to_string(folder.join("output/second.txt")).unwrap(), "one two");
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["reuse"]["strays"].as_array().map_or(0, Vec::len), 0, "{}", manifest["reuse"]);

    // What lies in the commit itself stands in the way, also where it only shows through.
    user.write("output/first.txt", "of the commit");
    user.git(&["add", "-f", "output/first.txt"]);
    user.commit("a product in the commit");
    user.run(&["-v"]).exits(0).hides("2 of 2 tasks taken over");
    assert_eq!(volumes(&user), Vec::<String>::new());
}

#[test]
fn what_asks_git_is_never_taken_over_from_another_commit() {
    let pipeline =
        "tasks:\n  - source: tasks.first\n    product: output/first.txt\n    params:\n      at: 'sha-{{git_hash}}'\n";
    let tasks = "from pathlib import Path\n\ndef first(product, at):\n    Path(str(product)).write_text(at)\n";
    let user = User::with(&[("pipeline.yaml", pipeline), ("tasks.py", tasks), ("README.md", "words\n")]);
    user.run(&[]).exits(0);
    user.write("README.md", "other words\n");
    let mut second = user.commit("words");
    // Ploomber makes a number of a hash that looks like one: `1234567`, `6757e46`.
    while second[..7].chars().all(|c| c.is_ascii_digit() || c == 'e') {
        second = user.commit("words again");
    }
    user.run(&[]).exits(0).says("every task is executed").says("git_hash");
    let folder = user.published_folders().into_iter().find(|folder| folder.ends_with(&second)).unwrap();
    let at = std::fs::read_to_string(folder.join("output/first.txt")).unwrap();
    assert!(second.starts_with(at.strip_prefix("sha-").unwrap()), "{at}");
}
