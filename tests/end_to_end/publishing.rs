//! A repository goes in, a verified folder comes out.

use std::os::unix::fs::PermissionsExt;

use crate::support::User;

/// Two functions, no notebook: the quickest real pipeline there is.
pub(crate) const PIPELINE: &str = "tasks:\n  - source: tasks.first\n    product: output/first.txt\n  - source: tasks.second\n    product: products/second.txt\n";
/// Its functions.
pub(crate) const TASKS: &str = "from pathlib import Path\n\ndef first(product):\n    print('writing the first')\n    Path(product).write_text('one\\n')\n\ndef second(product, upstream):\n    Path(product).write_text(Path(upstream['first']).read_text() + 'two\\n')\n";

/// A user with that pipeline.
pub(crate) fn user() -> User {
    User::with(&[("pipeline.yaml", PIPELINE), ("tasks.py", TASKS)])
}

#[test]
fn publishes_products_and_their_metadata_under_the_full_commit() {
    let user = user();
    let sha = user.git(&["rev-parse", "HEAD"]);
    user.run(&["--project", "tiny"]).exits(0).says("published").says("writing the first");
    let folder = user.published();
    assert!(folder.ends_with(format!("tiny/{sha}")), "{folder:?}");
    assert_eq!(std::fs::read_to_string(folder.join("products/second.txt")).unwrap(), "one\ntwo\n");
    assert!(folder.join("output/.first.txt.metadata").is_file());
    let manifest = user.manifest();
    assert_eq!(manifest["commit"], sha.as_str());
    assert_eq!(manifest["schema"], 1);
    let files = manifest["files"].as_array().unwrap();
    let second = files.iter().find(|file| file["path"] == "products/second.txt").unwrap();
    assert_eq!(second["task"], "second");
    assert_eq!(
        second["sha256"], "c3f9c8c283a2b1f2f1896f27a01cbe3cddc0c9d93f752e4639035a0f5b36f6e8",
        "of `one\\ntwo\\n`"
    );
    let pip = manifest["environment"]["lock"]["pip"].as_array().unwrap();
    assert!(pip.iter().any(|package| package["name"] == "ploomber"), "the lock names ploomber");
    user.say(&["verify", &sha[..10], "--storage", "local:artifacts", "--project", "tiny"]).exits(0);
    assert_eq!(user.containers(), [""; 0]);
}

#[test]
fn a_product_that_is_a_link_is_published_as_what_it_leads_to() {
    let tasks = "import os\nfrom pathlib import Path\n\ndef first(product):\n    Path('data').mkdir()\n    Path('data/v1.csv').write_text('x')\n    os.symlink('data/v1.csv', 'latest.csv')\n";
    let pipeline = "tasks:\n  - source: tasks.first\n    product: latest.csv\n";
    let user = User::with(&[("pipeline.yaml", pipeline), ("tasks.py", tasks)]);
    user.run(&[]).exits(0);
    let latest = user.published().join("latest.csv");
    assert!(std::fs::symlink_metadata(&latest).unwrap().is_file());
    assert_eq!(std::fs::read_to_string(latest).unwrap(), "x");
}

#[test]
fn leaves_the_users_tree_as_it_was() {
    let user = User::with(&[
        ("pipeline.yaml", "tasks:\n  - source: plot.py\n    product: output/plot.ipynb\n"),
        // Ploomber adds a parameters cell to such a file: it must do so in the snapshot only.
        ("plot.py", "# %% tags=[\"parameters\"]\nupstream = None\nproduct = None\n\n# %%\nprint(1 + 1)\n"),
    ]);
    user.run(&[]).exits(0);
    assert_eq!(user.git(&["status", "--porcelain", "--ignored"]), "");
    assert!(user.published().join("output/plot.ipynb").is_file());
}

#[test]
fn the_same_commit_again_is_no_second_folder() {
    let user = user();
    user.run(&[]).exits(0);
    let before = std::fs::metadata(user.published().join("manifest.json")).unwrap().modified().unwrap();
    user.run(&[]).exits(0);
    let after = std::fs::metadata(user.published().join("manifest.json")).unwrap().modified().unwrap();
    assert_eq!(before, after, "what was published stays as it is");
}

#[test]
fn what_was_damaged_since_is_not_taken_for_the_same() {
    let user = user();
    user.run(&["--no-reuse"]).exits(0);
    user.run(&["--no-reuse"]).exits(0).says("identical content was there already");
    let folder = user.published_folders().remove(0);
    std::fs::write(folder.join("output/first.txt"), "ONE\n").unwrap();
    user.run(&["--no-reuse"]).exits(7).says("`output/first.txt`").says("remove it, and run");
    std::fs::remove_dir_all(&folder).unwrap();
    user.run(&["--no-reuse"]).exits(0);
    assert_eq!(std::fs::read_to_string(folder.join("output/first.txt")).unwrap(), "one\n");
}

#[test]
fn another_result_for_the_same_commit_is_refused_and_kept_apart_on_demand() {
    let random = TASKS.replace("'one\\n'", "__import__('uuid').uuid4().hex");
    let user = User::with(&[("pipeline.yaml", PIPELINE), ("tasks.py", &random)]);
    user.run(&[]).exits(0);
    let first = std::fs::read(user.published().join("output/first.txt")).unwrap();
    let refused = user.run(&[]).exits(7).says("output/first.txt").says("--on-conflict");
    // It can be typed anywhere, and so can what `show` says of the storage.
    let [repo, storage] = [user.repo(), user.storage()].map(|folder| std::fs::canonicalize(folder).unwrap());
    let storage = format!("local:{}", storage.display());
    let again = format!("again      soopervisor run '{}' --storage '{storage}' --on-conflict new-run", repo.display());
    refused.says("what was made is in work/ and output/ of ").says(&again);
    user.say(&["show", "latest"]).exits(0).says(&format!("storage      {storage}"));
    assert_eq!(std::fs::read(user.published().join("output/first.txt")).unwrap(), first);
    user.run(&["--on-conflict", "keep"]).exits(0);
    assert_eq!(user.published_folders().len(), 1);
    user.run(&["--on-conflict", "new-run"]).exits(0);
    assert_eq!(user.published_folders().len(), 2);
}

#[test]
fn sample_and_full_runs_of_one_commit_stand_side_by_side() {
    let user = User::with_example("sales-sql");
    user.run(&["--sample", "--project", "sales"]).exits(0);
    let sample = user.published();
    assert!(sample.to_string_lossy().ends_with("-sample"), "{sample:?}");
    let lines =
        |folder: &std::path::Path| std::fs::read_to_string(folder.join("output/best.csv")).unwrap().lines().count();
    assert_eq!(lines(&sample), 2, "a header and one month");
    user.run(&["--project", "sales"]).exits(0);
    let folders = user.published_folders();
    assert_eq!(folders.len(), 2);
    assert_eq!(lines(&folders[0]), 25, "a header and two years");
    assert!(folders[0].join("output/sales.db").is_file());
    user.say(&["verify", "latest", "--storage", "local:artifacts", "--project", "sales"]).exits(0);
}

#[test]
fn a_part_of_a_pipeline_is_published_apart_and_never_taken_for_the_whole() {
    let user = user();
    user.run(&["--", "--partially", "first"]).exits(0);
    let part = user.published();
    assert!(part.to_string_lossy().ends_with("-partial"), "{part:?}");
    assert!(part.join("output/first.txt").is_file() && !part.join("products/second.txt").exists());
    user.run(&[]).exits(0);
    assert!(user.published_folders()[0].join("products/second.txt").is_file());
}

#[test]
fn sample_says_so_where_env_yaml_does_not_declare_it() {
    let user = user();
    user.run(&["--sample"]).exits(0).says("sample");
    assert!(!user.published().to_string_lossy().ends_with("-sample"), "everything was used");
}

#[test]
fn a_package_is_installed_into_its_run_only() {
    let user = User::with_example("churn-package");
    user.run(&["--sample", "--project", "churn"]).exits(0);
    let report = std::fs::read_to_string(user.published().join("products/report.json")).unwrap();
    assert!(report.contains("\"customers\": 200"), "{report}");
}

#[test]
fn scripts_as_notebooks_with_plots_come_out_whole() {
    let user = User::with_example("penguins");
    user.run(&["--sample", "--project", "penguins"]).exits(0).says("fit");
    let folder = user.published();
    assert!(std::fs::read(folder.join("output/bill-by-species.png")).unwrap().starts_with(b"\x89PNG"));
    assert!(std::fs::metadata(folder.join("output/fit.html")).unwrap().len() > 10_000);
}

#[test]
fn args_after_two_dashes_reach_ploomber_and_what_is_left_in_output_is_published() {
    let script = "cat {{upstream['first']}} > {{product}}\nprintf 'extra' > '/output/näme with spaces'\nprintf '' > /output/empty\nchmod 755 /output/empty\nln -s /etc/passwd /output/leak\n";
    let pipeline = "tasks:\n  - source: tasks.first\n    product: output/first.txt\n  - source: copy.sh\n    product: output/copy.txt\n";
    let user = User::with(&[("pipeline.yaml", pipeline), ("tasks.py", TASKS), ("copy.sh", script)]);
    user.run(&["--", "--log", "info"]).exits(0);
    let folder = user.published();
    assert_eq!(std::fs::read_to_string(folder.join("output/näme with spaces")).unwrap(), "extra");
    let empty = std::fs::metadata(folder.join("output/empty")).unwrap();
    assert_eq!((empty.len(), empty.permissions().mode() & 0o777), (0, 0o755));
    assert!(!folder.join("output/leak").exists(), "a link that leads outside is not published");
    assert!(user.manifest()["refused"].to_string().contains("leak"));
}

#[test]
fn two_runs_at_once_do_not_disturb_each_other() {
    let users = [user(), user()];
    let children = users.each_ref().map(|user| user.start(&[]));
    for (user, child) in users.iter().zip(children) {
        crate::support::Said::from(child.wait_with_output().unwrap()).exits(0);
        assert!(user.published().join("products/second.txt").is_file());
    }
}

#[test]
fn two_publishers_of_one_commit_come_to_one_folder() {
    let user = user();
    let children = [user.start(&[]), user.start(&[])];
    for child in children {
        crate::support::Said::from(child.wait_with_output().unwrap()).exits(0);
    }
    assert_eq!(user.published_folders().len(), 1);
}
