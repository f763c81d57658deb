//! What the runner is told to hide before a run says anything.

use crate::fake_github::{Account, key};
use crate::payloads::pull;
use crate::scene::{REPO, SETTINGS, Scene, machine_with};

#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_files_name_and_the_token_that_an_app_is_given_are_masked_before_the_run_speaks() {
    let mut scene = Scene::of_a_colleague().await;
    scene.main_goes_on(&[(
        "soopervisor.yaml",
        &format!("{SETTINGS}secrets: [DB_PASSWORD, {{name: WHO, env: DB_USER}}]\n"),
    )]);
    let (pem, public) = key();
    scene.fake.state().apps.push(("soop-app".to_owned(), "4711".to_owned(), public));
    let machine = tempfile::tempdir().unwrap();
    machine_with(machine.path(), "secrets: [MACHINE_SECRET]\n");
    let event = pull(REPO, REPO, 7, "synchronize", &scene.head, &scene.base);
    let job = scene.job().input("app-id", "4711").input("app-private-key", &pem).event("pull_request", &event);
    let job = job.env("XDG_CONFIG_HOME", machine.path().to_str().unwrap()).env("DB_USER", "the user of it");
    let job = job.env("DB_PASSWORD", "correct horse battery").env("MACHINE_SECRET", "secret-of-config-yaml");
    let done = job.env("STOLEN", "staple-of-the-machine").run().await;
    assert_eq!(done.code, 0, "{}", done.log.text());
    assert!(scene.ours_of("soop-app")[0].last().unwrap().contains("succeeded"));
    let masked = |value: &str| done.log.masks.iter().any(|mask| mask == value);
    for secret in ["correct horse battery", "secret-of-config-yaml", "the user of it"] {
        assert!(masked(secret), "{secret} is not");
    }
    let given = Account::App("soop-app".to_owned());
    let tokens = scene.fake.state().tokens.clone();
    let tokens: Vec<&String> = tokens.iter().filter(|(_, of)| **of == given).map(|(token, _)| token).collect();
    assert!(!tokens.is_empty() && tokens.iter().all(|token| masked(token)), "the App's token is not");
    assert!(!masked("staple-of-the-machine"), "the pull request's own file names it, and does not count");
}
