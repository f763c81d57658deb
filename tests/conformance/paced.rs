//! Processes that publish to one account at once go no faster together than one alone may.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use soopervisor::plan::OnConflict;
use soopervisor::storage::{Access, Location, Remotes};
use soopervisor::web::Reach;

use crate::fake::{Drive, Fake};
use crate::fixture_run::Run;

const FILES: usize = 8;
const STATE: &str = "SOOPERVISOR_TEST_STATE";
const PROJECT: &str = "SOOPERVISOR_TEST_PROJECT";

/// Run by [`two_processes_of_one_account_keep_one_pace`], with the variables that it sets.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by two_processes_of_one_account_keep_one_pace"]
async fn publishes_as_another_process() {
    let set = |name: &str| std::env::var(name).ok();
    let run = Run::new();
    for at in 0..FILES {
        run.product(format!("f{at}.csv"), format!("{at}"));
    }
    let remotes = Remotes::new(Vec::new(), Arc::new(set));
    let location = Location::parse("box", Path::new("/"), &remotes).expect("a location");
    let state = PathBuf::from(set(STATE).expect("a folder"));
    let storage = location.open(&Access { reach: Reach::default(), remotes, state }).expect("a storage");
    let mut publication = run.publication("r", OnConflict::Fail);
    publication.about.project = set(PROJECT).expect("a project").parse().expect("a project");
    storage.publish(publication, Arc::new(())).await.expect("published");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_of_one_account_keep_one_pace() {
    let (fake, state) = (Fake::start().await, tempfile::tempdir().expect("a folder"));
    // One may send two at once and then four a second; two that do not know of each other send twelve in the first.
    fake.limit_uploads(Drive::Box, 8);
    let token = fake.token(Drive::Box);
    let start = |project: &str| {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--ignored", "--exact", "paced::publishes_as_another_process", "--nocapture"]);
        command.env("SOOPERVISOR_BOX_BASE_URL", fake.base(Drive::Box)).env("SOOPERVISOR_BOX_ACCESS_TOKEN", &token);
        command.env(STATE, state.path()).env(PROJECT, project);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    let children = [start("one"), start("two")];
    tokio::task::block_in_place(|| {
        for child in children {
            let output = child.wait_with_output().expect("it ends");
            let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && told.contains("1 passed"), "{told}");
        }
    });
    let manifests = fake.names(Drive::Box).into_iter().filter(|name| name.ends_with("manifest.json")).count();
    assert_eq!((manifests, fake.account(Drive::Box).refused_uploads), (2, 0), "nobody had to be told to wait");
}
