//! Whole jobs: the action's own steps, the built program, real containers.

use serde_json::json;

use soopervisor::gha::{State, Trace, Traces};
use soopervisor::plan::Mode;

use crate::fake_github::{Account, Fault, Trouble, git};
use crate::payloads::{pull, push_to_branch, sample};
use crate::runner::Done;
use crate::scene::{PIPELINE, REPO, REPO_ID, Scene, TASKS, TOKEN, ago};

fn published(done: &Done) -> std::path::PathBuf {
    std::path::PathBuf::from(&done.outputs["artifact-url"])
}

fn containers_of(done: &Done) -> Vec<String> {
    let output = std::process::Command::new("docker").args(["ps", "-a", "--format", "{{.Names}}"]).output().unwrap();
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    let run = &done.outputs["run-id"];
    names.lines().filter(|name| !run.is_empty() && name.contains(run.as_str())).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_runs_a_sample_of_what_was_checked_out_and_hands_on_where_it_is() {
    let scene = Scene::of_a_colleague().await;
    let event = push_to_branch(REPO, "main", &"0".repeat(40), &scene.base);
    let job =
        scene.job().event("push", &event).input("secrets", "DB_PASSWORD").env("DB_PASSWORD", "correct horse battery");
    let done = job.run().await;
    assert_eq!(done.code, 0, "{}", done.log.text());
    let folder = published(&done);
    assert!(folder.ends_with(format!("of-the-base-branch/{}-sample", scene.base)), "{folder:?}");
    assert_eq!(std::fs::read_to_string(folder.join("output/second.txt")).unwrap(), "sample=True\ntwo\n");
    let output = |name: &str| done.outputs[name].as_str();
    assert_eq!((output("commit"), output("mode"), output("status")), (scene.base.as_str(), "sample", "succeeded"));
    assert!(std::path::Path::new(output("manifest-path")).is_file());
    let log = done.log.text();
    // What the pipeline prints is no command, and its secret is hidden, by us and by the runner.
    assert!(
        log.contains("::error::this is not a command") && done.log.annotations.is_empty(),
        "{:?}\n{log}",
        done.log.annotations
    );
    assert!(!log.contains("correct horse") && done.log.masks.iter().any(|mask| mask == "correct horse battery"));
    assert!(!log.contains(TOKEN) && done.log.masks.iter().any(|mask| mask == TOKEN));
    for step in ["checkout", "execute", "publish"] {
        assert!(done.log.groups.iter().any(|group| group.starts_with(step)), "{:?}", done.log.groups);
    }
    assert!(
        done.summary.contains("succeeded")
            && done.summary.contains("| execute |")
            && done.summary.contains("2 executed"),
        "{}",
        done.summary
    );
    let states: Vec<_> = scene.statuses();
    assert_eq!(states.first().unwrap().2, "pending");
    assert_eq!(*states.last().unwrap(), (scene.base.clone(), "soopervisor/sample".to_owned(), "success".to_owned()));
    assert_eq!(scene.ours().len(), 0, "a push has no pull request");
    assert_eq!(scene.fake.state().checks.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_maintainers_comment_runs_everything_by_the_settings_of_the_base_and_one_comment_tells_it() {
    let scene = Scene::of_a_colleague().await;
    // Somebody ran the base commit before, so that there is something to compare with.
    let done = scene.job().event("workflow_dispatch", &sample("workflow_dispatch")).run().await;
    assert_eq!((done.code, done.outputs["mode"].as_str()), (0, "full"), "{}", done.log.text());
    let id = scene.comment("ann", "/soopervisor run");
    let event = scene.commented(id, "ann", "/soopervisor run");
    let begun = std::time::Instant::now();
    let done = scene.job().event("issue_comment", &event).env("STOLEN", "not for you").run().await;
    let took = begun.elapsed();
    assert_eq!(done.code, 0, "{}", done.log.text());
    let folder = published(&done);
    assert!(folder.ends_with(format!("of-the-base-branch/{}", scene.head)), "{folder:?}");
    assert_eq!(std::fs::read_to_string(folder.join("output/second.txt")).unwrap(), "sample=False\ndeux\n");
    assert_eq!((done.outputs["mode"].as_str(), done.outputs["commit"].as_str()), ("full", scene.head.as_str()));
    assert_eq!(scene.reactions(id), ["eyes", "rocket"]);
    let ours = scene.ours();
    assert_eq!(ours.len(), 1, "{ours:?}");
    assert!(
        ours[0].first().unwrap().contains("is running") && ours[0].last().unwrap().contains("succeeded"),
        "{ours:?}"
    );
    let last = ours[0].last().unwrap();
    assert!(last.contains("#### Outputs:") && last.contains("output/second.txt"), "{last}");
    let most = 3 + took.as_secs() / 10;
    assert!(ours[0].len() as u64 <= most, "edited {} times in {took:?}", ours[0].len());
    let last = scene.statuses().pop().unwrap();
    assert_eq!(last, (scene.head.clone(), "soopervisor/full".to_owned(), "success".to_owned()));
    let check = scene.fake.state().checks.values().next().unwrap().last().unwrap().clone();
    assert_eq!((&check["conclusion"], &check["name"]), (&json!("success"), &json!("soopervisor/full")));
    // A second command edits the same comment.
    let again = scene.comment("ann", "/soopervisor run sample");
    let event = scene.commented(again, "ann", "/soopervisor run sample");
    assert_eq!(scene.job().event("issue_comment", &event).run().await.code, 0);
    assert_eq!(scene.ours().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_after_a_failure_is_a_new_comment_and_the_old_one_leads_there() {
    let scene = Scene::of_a_colleague().await;
    let marker = soopervisor::comment::Marker { repo: REPO_ID, pr: 7, key: ".".to_owned() };
    let failed = Trace { run: 4141, mode: Mode::Sample, state: State::Failed, failed_before: false, asked: None };
    let old = soopervisor::gha::marked(&marker, &Traces::default().with(failed), "failed");
    scene.fake.state().comment(REPO, 7, Account::App("github-actions".to_owned()), &old, ago(50));
    let event = pull(REPO, REPO, 7, "synchronize", &scene.head, &scene.base);
    for success in [1, 2] {
        let done = scene.job().event("pull_request", &event).run().await;
        assert_eq!(done.code, 0, "{}", done.log.text());
        let ours = scene.ours();
        assert_eq!(ours.len(), 2, "success {success} is told in the comment that is there: {ours:?}");
        assert!(ours[0][1].contains("is running") && ours[0][1].contains("after=failed"), "{ours:?}");
        let last = ours[0].last().unwrap();
        assert!(last.contains("/pull/7#issuecomment-") && !last.contains("<!--"), "{last}");
        assert!(ours[1].last().unwrap().contains("succeeded") && ours[1].last().unwrap().contains("state=succeeded"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_command_runs_once_unless_a_person_wants_the_job_repeated_or_its_outputs_are_gone() {
    let scene = Scene::of_a_colleague().await;
    let id = scene.comment("ann", "/soopervisor run");
    let event = scene.commented(id, "ann", "/soopervisor run");
    let job = |run: &str, attempt: &str| {
        let job = scene.job().event("issue_comment", &event);
        job.env("GITHUB_RUN_ID", run).env("GITHUB_RUN_ATTEMPT", attempt)
    };
    let first = job("4242", "1").run().await;
    assert_eq!((first.code, first.outputs["status"].as_str()), (0, "succeeded"), "{}", first.log.text());
    let told = (scene.statuses().len(), scene.ours());
    // Delivered once more, it is answered with what is there.
    let again = job("4243", "1").run().await;
    assert_eq!((again.code, &again.outputs), (0, &first.outputs), "{}", again.log.text());
    assert!(again.log.annotations.iter().any(|(kind, _, text)| kind == "notice" && text.contains("nothing is run")));
    assert_eq!((scene.statuses().len(), scene.ours()), told, "nothing is told anew");
    assert_eq!(scene.reactions(id), ["eyes", "rocket"]);
    // A person wants it once more.
    let repeated = job("4242", "2").run().await;
    assert_eq!((repeated.code, repeated.outputs["status"].as_str()), (0, "succeeded"), "{}", repeated.log.text());
    assert!(scene.statuses().len() > told.0, "it ran: {:?}", scene.statuses());
    // What was published is gone, so that it is no answer any more.
    std::fs::remove_dir_all(published(&first)).unwrap();
    let told = scene.statuses().len();
    let anew = job("4244", "1").run().await;
    assert_eq!((anew.code, anew.outputs["status"].as_str()), (0, "succeeded"), "{}", anew.log.text());
    assert!(scene.statuses().len() > told && published(&anew).join("manifest.json").is_file());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_leaves_no_container_and_says_that_it_was_cancelled_within_the_runners_patience() {
    for deaf in [false, true] {
        let scene = Scene::that_takes_long(deaf).await;
        let event = pull(REPO, REPO, 7, "synchronize", &scene.head, &scene.base);
        let job = scene.job().event("pull_request", &event);
        let done = job.run_until(|line| line.contains("writing the first")).await;
        assert_eq!(done.code, 130, "{}", done.log.text());
        assert_eq!(done.outputs["status"], "cancelled");
        assert_eq!(containers_of(&done), [""; 0]);
        let last = scene.statuses().pop().unwrap();
        assert_eq!((last.0, last.2.as_str()), (scene.head.clone(), "error"));
        assert!(scene.ours()[0].last().unwrap().contains("was cancelled"));
        assert!(done.summary.contains("was cancelled"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_cancelled_while_its_outputs_are_compared_tells_what_its_run_came_to() {
    let scene = Scene::of_a_colleague().await;
    let event = pull(REPO, REPO, 7, "synchronize", &scene.head, &scene.base);
    let shared = std::sync::Arc::clone(&scene.fake.shared);
    let job = scene.job().event("pull_request", &event);
    let done = job.run_until(move |line| {
        if line.contains("writing the first") {
            // What is asked for after the run, the base's history, is not answered any more.
            let fault = Fault::Slow(std::time::Duration::from_mins(2));
            shared.state().troubles.push(Trouble { line: "upload-pack".to_owned(), times: 100, fault });
        }
        line.contains(" succeeded")
    });
    let done = done.await;
    assert_eq!((done.code, done.outputs["status"].as_str()), (0, "succeeded"), "{}", done.log.text());
    assert!(published(&done).join("manifest.json").is_file());
    assert_eq!(scene.statuses().last().unwrap().2, "success");
    for told in [scene.ours()[0].last().unwrap(), &done.summary] {
        assert!(told.contains("succeeded") && told.contains("not compared: the job was cancelled while"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_compared_with_what_lies_nearest_before_the_base_and_plots_are_shown_where_they_are_served() {
    let pipeline = format!("{PIPELINE}  - source: tasks.plot\n    product: output/roc.png\n");
    let tasks = format!("{TASKS}\ndef plot(product):\n    Path(product).write_bytes(b'\\x89PNG of the plot')\n");
    let scene = Scene::open_with(REPO, &[("pipeline.yaml", &pipeline), ("tasks.py", &tasks)]).await;
    let old = scene.base.clone();
    let done = scene.job().event("workflow_dispatch", &sample("workflow_dispatch")).run().await;
    assert_eq!((done.code, done.outputs["commit"].as_str()), (0, old.as_str()), "{}", done.log.text());
    // The main branch went on, and nobody ran that.
    for title in ["second", "third"] {
        git(scene.workspace.path(), &["commit", "-q", "--allow-empty", "-m", title]);
    }
    let base = scene.fake.push(scene.workspace.path(), REPO, "main", ago(60));
    let served = "https://files.example.org/runs";
    let id = scene.comment("ann", "/soopervisor run");
    let event = scene.commented(id, "ann", "/soopervisor run");
    let done = scene.job().event("issue_comment", &event).input("preview-url", served).run().await;
    assert_eq!(done.code, 0, "{}", done.log.text());
    let told = scene.ours()[0].last().unwrap().clone();
    let (short, before) = (&base[..10], format!("compared with `{}`", &old[..10]));
    assert!(told.contains(&before) && told.contains(&format!("2 commits before the base `{short}`")), "{told}");
    let at = format!("{served}/of-the-base-branch/{}", scene.head);
    assert!(told.contains(&format!("[outputs]({at}/)")), "{told}");
    assert!(told.contains(&format!("[![output/roc.png, after]({at}/output/roc.png)]({at}/output/roc.png)")), "{told}");
    // Of a sample there is none: all data is better than nothing, and is said to be.
    let event = pull(REPO, REPO, 7, "synchronize", &scene.head, &base);
    let done = scene.job().event("pull_request", &event).run().await;
    assert_eq!(done.code, 0, "{}", done.log.text());
    let told = scene.ours()[0].last().unwrap().clone();
    assert!(
        told.contains(&before) && told.contains("that was a run of all data, and this one is of a sample"),
        "{told}"
    );
    assert!(!told.contains("[![") && told.contains("`output/roc.png`"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finding_is_an_annotation_at_its_line_and_a_deaf_github_changes_nothing() {
    let scene = Scene::of_a_colleague().await;
    std::fs::write(
        scene.author.path().join("pipeline.yaml"),
        "tasks:\n  - source: tasks.first\n    produkt: output/first.txt\n",
    )
    .unwrap();
    git(scene.author.path(), &["add", "."]);
    git(scene.author.path(), &["commit", "-q", "-m", "broken"]);
    let head = scene.fake.push(scene.author.path(), REPO, "topic", ago(100));
    // Every report is refused; what the run comes to is the same.
    scene.fake.trouble("/statuses/", 100, Fault::Status(422));
    scene.fake.trouble("/issues/7/comments", 100, Fault::Status(422));
    scene.fake.trouble("/check-runs", 100, Fault::Status(422));
    let event = pull(REPO, REPO, 7, "opened", &head, &scene.base);
    let done = scene.job().event("pull_request", &event).run().await;
    assert_eq!((done.code, done.outputs["status"].as_str()), (3, "failed"), "{}", done.log.text());
    let errors: Vec<_> = done.log.annotations.iter().filter(|(kind, ..)| kind == "error").collect();
    assert!(errors.iter().any(|(_, place, _)| place.contains("file=pipeline.yaml,line=")), "{errors:?}");
    let warnings: Vec<_> = done.log.annotations.iter().filter(|(kind, ..)| kind == "warning").collect();
    assert!(warnings.iter().any(|(_, _, text)| text.contains("the comment was not written")), "{warnings:?}");
    assert!(done.summary.contains("failed") && done.outputs["artifact-url"].is_empty(), "{}", done.summary);
}
