//! Wheels of the project: built once for the same files and environment, verified before each use.

use std::fs;
use std::sync::atomic::Ordering;

use soopervisor::engine::Engine;
use soopervisor::environment::{Inputs, Prepared, Project, Request, Wheel, Wish};
use soopervisor::id::{Digest, RunId};
use tokio_util::sync::CancellationToken;

use crate::engines::{Builder, Play, Untouchable};
use crate::store::Fixture;

const PROJECT: &str = "[build-system]\nrequires = [\"setuptools\"]\nbuild-backend = \"setuptools.build_meta\"\n";

async fn wheel(
    fixture: &Fixture,
    (inputs, prepared): (&Inputs, &Prepared),
    engine: &dyn Engine,
    project: &Project,
) -> Option<Wheel> {
    let run: RunId = "20260101-000000-aaaaaaaa-test".parse().unwrap();
    let request = Request { inputs, config: &fixture.config, engine, image: "image", run: &run, wish: Wish::AsKept };
    let cancel = CancellationToken::new();
    fixture.store().wheel(&request, prepared, project, &mut |_| {}, &cancel).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wheel_is_built_once_without_network_and_a_changed_one_is_never_used() {
    let fixture = Fixture::new();
    let inputs = fixture.inputs(&["python"], &["ploomber"]);
    let prepared = fixture.ensure(&inputs, &Builder::new(Play::Install)).await.unwrap();
    let both = (&inputs, &prepared);
    let source = fixture.folder.path().join("shop");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("pyproject.toml"), PROJECT).unwrap();
    let project = Project { source: source.clone(), digest: Digest([1; 32]) };
    let engine = Builder::new(Play::Install);
    let built = wheel(&fixture, both, &engine, &project).await.unwrap();
    let file = built.folder.join("shop-0.1.0-py3-none-any.whl");
    assert_eq!(fs::read_to_string(&file).unwrap(), "a wheel");
    assert_eq!((engine.started.load(Ordering::SeqCst), engine.networked.load(Ordering::SeqCst)), (1, 0));
    let writable = engine.writable.lock().unwrap().clone();
    assert!(writable[0].len() == 1 && writable[0][0].1 == "/out", "{writable:?}");
    assert!(!built.folder.starts_with(&writable[0][0].0), "what is kept was never in the builder's reach");
    assert_eq!(wheel(&fixture, both, &Untouchable, &project).await, Some(built.clone()));

    fs::write(&file, "another wheel").unwrap();
    let engine = Builder::new(Play::Install);
    assert_eq!(wheel(&fixture, both, &engine, &project).await, Some(built.clone()));
    assert_eq!(fs::read_to_string(&file).unwrap(), "a wheel");
    fs::write(built.folder.join("second.whl"), "x").unwrap();
    assert!(wheel(&fixture, both, &engine, &project).await.is_some() && !built.folder.join("second.whl").exists());

    let other = Project { digest: Digest([2; 32]), ..project.clone() };
    assert_ne!(wheel(&fixture, both, &engine, &other).await.unwrap(), built, "other files, another wheel");
    fs::write(source.join("setup.py"), "import os\n").unwrap();
    assert_eq!(wheel(&fixture, both, &Untouchable, &project).await, None, "its build runs code of its own");
}
