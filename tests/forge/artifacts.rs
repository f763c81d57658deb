//! Artifacts are fetched from elsewhere, without a token, no further than they may be, and whole or not at all.

use std::path::PathBuf;

use soopervisor::forge::{Artifact, Forge};
use soopervisor::web::Fault;

use crate::fake_github::Fault as Trouble;
use crate::{REPO, Scene, repo};

struct Place {
    _dir: tempfile::TempDir,
    to: PathBuf,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    Place { to: dir.path().join("a.zip"), _dir: dir }
}

async fn only(scene: &Scene) -> Artifact {
    scene.as_workflow().artifacts(&repo(), Some(5)).await.unwrap().remove(0)
}

#[tokio::test]
async fn an_artifact_is_fetched_without_the_token_and_its_digest_compared() {
    let scene = Scene::open().await;
    scene.fake.artifact(REPO, 5, "wheel", b"PK zip");
    scene.fake.artifact(REPO, 6, "other", b"PK other");
    scene.fake.state().page = 1;
    let forge = scene.as_workflow();
    assert_eq!(forge.artifacts(&repo(), None).await.unwrap().len(), 2);
    let (artifact, place) = (only(&scene).await, place());
    let done = forge.download(&repo(), &artifact, &place.to, 100).await.unwrap();
    assert_eq!((done.bytes, std::fs::read(&place.to).unwrap().as_slice()), (6, &b"PK zip"[..]));
    assert_eq!(Some(done.sha256), artifact.digest);
    // What is there is not overwritten.
    assert!(matches!(forge.download(&repo(), &artifact, &place.to, 100).await, Err(Fault::Local(_))));
    assert_eq!(std::fs::read(&place.to).unwrap(), b"PK zip");
}

#[tokio::test]
async fn too_much_another_content_and_what_expired_leave_nothing_behind() {
    let scene = Scene::open().await;
    let id = scene.fake.artifact(REPO, 5, "wheel", b"PK zip");
    let (forge, place) = (scene.as_workflow(), place());
    let artifact = only(&scene).await;
    assert_eq!(forge.download(&repo(), &artifact, &place.to, 5).await, Err(Fault::TooLarge(Some(5))));
    assert!(!place.to.exists());
    scene.fake.state().artifacts[0].zip = b"PK zap".to_vec();
    assert!(matches!(forge.download(&repo(), &artifact, &place.to, 100).await, Err(Fault::Damaged(_))));
    assert!(!place.to.exists());
    scene.fake.state().artifacts[0].expired = true;
    assert_eq!(forge.download(&repo(), &artifact, &place.to, 100).await, Err(Fault::NotFound));
    assert!(!place.to.exists());
    assert!(scene.fake.asked(&format!("blob GET /zip/{id}")).len() >= 2);
}

#[tokio::test]
async fn a_download_that_breaks_off_begins_anew_with_a_fresh_address() {
    let scene = Scene::open().await;
    scene.fake.artifact(REPO, 5, "wheel", &vec![7; 4_000_000]);
    let (artifact, place) = (only(&scene).await, place());
    scene.fake.trouble("blob GET", 1, Trouble::Truncate);
    let done = scene.as_workflow().download(&repo(), &artifact, &place.to, 1 << 23).await.unwrap();
    assert_eq!(done.bytes, 4_000_000);
    assert_eq!(scene.fake.asked("/zip").len() - scene.fake.asked("blob").len(), 2);
    scene.fake.trouble("blob GET", 9, Trouble::Truncate);
    let again = place.to.with_extension("again");
    assert!(scene.as_workflow().download(&repo(), &artifact, &again, 1 << 23).await.unwrap_err().is_passing());
    assert!(!again.exists());
}
