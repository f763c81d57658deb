//! A server that watches a repository of Forgejo; the scene is that of `gitlab`.

use soopervisor::server::handler::State;

use super::fake_forges::Dialect;
use super::gitlab::{Scene, told};

#[tokio::test(flavor = "multi_thread")]
async fn a_forgejo_is_told_by_comments_statuses_and_labels_and_a_planted_comment_is_left_alone() {
    told(Dialect::Forgejo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_forgejos_that_is_lost_makes_no_second_comment() {
    let scene = Scene::open(Dialect::Forgejo).await;
    scene.fake.state().troubles.push(("POST /repos".to_owned(), 0));
    let one = "  - {name: report, on: pull_request, do: {comment: {body: once}}}\n";
    assert_eq!(scene.play(one, &Scene::offered()).await.state, State::Succeeded);
    assert_eq!(scene.fake.state().said_by("robo").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_is_started_once_for_a_commit() {
    let scene = Scene::open(Dialect::Forgejo).await;
    let handlers = "  - name: build\n    on: pull_request\n    do:\n      - dispatch: {repo: acme/churn, workflow: build.yml, inputs: \
                    {commit: \"{{ event.commit }}\"}}\n";
    for _ in 0..2 {
        assert_eq!(scene.play(handlers, &Scene::offered()).await.state, State::Succeeded);
    }
    let started = scene.fake.state().started.clone();
    assert_eq!((started.len(), started[0].reference.as_str()), (1, "main"), "{started:?}");
}
