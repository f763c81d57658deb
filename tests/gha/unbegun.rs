//! Jobs in which nothing is run because something is wrong before: later steps and people learn what. No container is
//! started here.

use std::time::{Duration, Instant};

use crate::payloads::push_to_branch;
use crate::runner::{Done, Job};
use crate::scene::{REPO, Scene, TOKEN};

/// An annotation, the job's page and the outputs all say it.
fn tells(done: &Done, reason: &str) {
    let log = &done.log;
    let error = log.annotations.iter().find(|(kind, _, text)| kind == "error" && text.contains(reason));
    assert!(done.code != 0 && error.is_some(), "{reason}: {:?}\n{}", log.annotations, log.text());
    assert_eq!(done.outputs["status"], "failed", "{reason}");
    // Names are code there.
    let shown = done.summary.replace("<code>", "`").replace("</code>", "`");
    assert!(shown.contains('❌') && shown.contains(reason), "{reason}: {}", done.summary);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_job_from_beginning_is_an_annotation_a_summary_and_an_output() {
    let scene = Scene::of_a_colleague().await;
    let event = push_to_branch(REPO, "main", &"0".repeat(40), &scene.base);
    for (name, value, reason) in
        [("sample", "yes", "write"), ("project", "a/b", "project"), ("app-id", "4", "is given without it")]
    {
        tells(&scene.job().event("push", &event).input(name, value).run().await, reason);
    }
    let torn = scene.job().event("push", &serde_json::json!("torn")).run().await;
    tells(&torn, "is not understood");
    let nowhere = scene.job().event("push", &event).input("path", "nofolder").run().await;
    tells(&nowhere, "nofolder");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_error_quotes_gives_the_runner_no_commands() {
    let scene = Scene::of_a_colleague().await;
    let event = push_to_branch(REPO, "main", &"0".repeat(40), &scene.base);
    let nowhere = "/no\n::add-mask::annotations\n::stop-commands::for-ever\n";
    let done = scene.job().event("push", &event).env("GITHUB_EVENT_PATH", nowhere).run().await;
    tells(&done, "add-mask::annotations");
    let log = done.log.text();
    assert!(!done.log.masks.iter().any(|mask| mask == "annotations") && !log.contains("for-ever"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_github_that_cannot_be_reached_is_not_waited_for_again_and_again() {
    let scene = Scene::of_a_colleague().await;
    // Nobody listens there, and the commit is not what was checked out.
    let (server, api) = ("http://127.0.0.1:9", "http://127.0.0.1:9/api/v3");
    let job = Job::new(scene.workspace.path(), REPO, &scene.head, server, api).env("TOKEN_OF_THE_JOB", TOKEN);
    let event = push_to_branch(REPO, "main", &"0".repeat(40), &scene.head);
    let begun = Instant::now();
    let done = job.input("storage", "local:/nowhere").event("push", &event).run().await;
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}: {}", begun.elapsed(), done.log.text());
    tells(&done, "git could not fetch");
    let warned = done.log.annotations.iter().any(|(kind, ..)| kind == "warning");
    assert!(warned, "that nobody was told: {:?}", done.log.annotations);
}
