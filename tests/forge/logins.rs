//! Tokens, and Apps with their hourly ones, on hosts that are not github.com.

use soopervisor::forge::github::{App, GitHub, Login};
use soopervisor::forge::{Forge, Me};
use soopervisor::secret::Secret;
use soopervisor::web::{Fault, Reach};

use crate::fake_github::{Account, key};
use crate::{REPO, Scene, at, repo};

fn app(scene: &Scene, id: &str) -> GitHub {
    let (pem, public) = key();
    scene.fake.state().apps.push(("soop-app".to_owned(), "4711".to_owned(), public));
    let app = App { id: id.to_owned(), key: Secret::new("key", pem.into_bytes()), repo: repo(), installation: None };
    GitHub::open(&scene.fake.enterprise_api(), Login::App(app), &Reach::default()).unwrap()
}

/// Clients that add the token only where the address has no host, or GitHub's own, fail here: the next page's address is
/// absolute, and this is another host.
#[tokio::test]
async fn every_page_is_asked_with_the_apps_token_also_on_a_host_of_ones_own() {
    let scene = Scene::open().await;
    scene.fake.state().private.push(REPO.to_owned());
    scene.fake.state().page = 1;
    for _ in 0..3 {
        scene.fake.state().comment(REPO, 7, Account::User("ann".into()), "x", at("2026-11-03T10:00:00Z"));
    }
    let comments = app(&scene, "4711").comments(&repo(), 7).await.unwrap();
    assert_eq!(comments.len(), 3, "a page without a token is not found in a private repository");
    assert_eq!(scene.fake.asked("/issues/7/comments").len(), 3);
}

#[tokio::test]
async fn an_app_has_one_token_for_many_requests_and_writes_in_its_own_name() {
    let scene = Scene::open().await;
    let forge = app(&scene, "4711");
    let comment = forge.add_comment(&repo(), 7, "hello").await.unwrap();
    forge.edit_comment(&repo(), 7, comment.id, "again").await.unwrap();
    assert_eq!(scene.fake.asked("access_tokens").len(), 1);
    let me = forge.me().await.unwrap();
    assert_eq!(me, Me::App("soop-app".to_owned(), None));
    assert!(me.wrote(&comment.author));
}

#[tokio::test]
async fn a_token_that_ends_between_two_pages_is_renewed() {
    let scene = Scene::open().await;
    scene.fake.state().page = 1;
    for _ in 0..2 {
        scene.fake.state().comment(REPO, 7, Account::User("ann".into()), "x", at("2026-11-03T10:00:00Z"));
    }
    let forge = app(&scene, "4711");
    forge.pull(&repo(), 7).await.unwrap();
    // Revoked: nobody has it any more.
    scene.fake.state().tokens.retain(|token, _| !token.starts_with("ghs_1"));
    assert_eq!(forge.comments(&repo(), 7).await.unwrap().len(), 2);
    assert_eq!(scene.fake.asked("access_tokens").len(), 2);
    // About to end: not used any more.
    scene.fake.state().token_lasts = 60;
    scene.fake.state().tokens.retain(|token, _| !token.starts_with("ghs_1"));
    forge.pull(&repo(), 7).await.unwrap();
    forge.pull(&repo(), 7).await.unwrap();
    assert_eq!(scene.fake.asked("access_tokens").len(), 4);
}

#[tokio::test]
async fn who_is_not_known_is_told_what_to_do() {
    let scene = Scene::open().await;
    let fault = app(&scene, "4712").pull(&repo(), 7).await.unwrap_err();
    assert!(matches!(&fault, Fault::Login(words) if words.contains("4712")), "{fault:?}");
    let fault = scene.as_user("token-of-nobody").pull(&repo(), 7).await.unwrap_err();
    assert!(matches!(&fault, Fault::Login(words) if words.contains("expired")), "{fault:?}");
    let elsewhere =
        App { id: "4711".into(), key: Secret::new("key", b"no key".to_vec()), repo: repo(), installation: None };
    let forge = GitHub::open(&scene.fake.api(), Login::App(elsewhere), &Reach::default()).unwrap();
    assert!(matches!(forge.me().await, Err(Fault::Setting(words)) if words.contains("PEM")));
    assert!(matches!(scene.as_user("token-of-ann").me().await.unwrap(), Me::User(author) if author.login == "ann"));
}
