//! What is remembered of a run's container, and of which.

use super::*;
use crate::engine::{GuestPath, HostPath, Mount, fake};
use crate::spec::Config;
use crate::store::{Home, Runs};

struct Machine {
    host: Host,
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(&folder.path().join("home"));
        home.ensure().unwrap();
        let host = Host::this(home, Config::default(), folder.path().to_owned());
        Self { host, folder }
    }

    fn run(&self) -> LiveRun {
        let commit = "4f1c2d9a00000000000000000000000000000000".parse().unwrap();
        Runs::of(&self.host.home).create((self.host.clock)(), &commit).unwrap()
    }

    /// A container of that run, which is shown one folder of the run's and one that stays.
    fn spec(&self, live: &LiveRun) -> SessionSpec {
        let mount = |host: PathBuf, guest: &str| Mount {
            host: HostPath(host),
            guest: GuestPath(guest.to_owned()),
            writable: true,
        };
        let stays = self.folder.path().join("environment");
        std::fs::create_dir_all(&stays).unwrap();
        let mounts = vec![mount(live.folder().work(), "/workspace"), mount(stays, "/opt/e")];
        SessionSpec { run: live.id().clone(), mounts, ..fake::spec("guess-tests") }
    }
}

fn request(path: &str) -> RunRequest {
    RunRequest { path: path.into(), ..RunRequest::default() }
}

#[test]
fn the_next_run_of_the_same_request_gets_the_same_over_its_own_folders() {
    let machine = Machine::new();
    let (first, second) = (machine.run(), machine.run());
    let asked = request("repo");
    assert_eq!(recall(&asked, &machine.host, &first), None);
    remember(&asked, &machine.host, &first, &machine.spec(&first));
    assert_eq!(recall(&asked, &machine.host, &second), Some(machine.spec(&second)));
    let elsewhere = RunRequest { storage: Some("local:/elsewhere".to_owned()), no_reuse: true, ..request("repo") };
    assert_eq!(
        recall(&elsewhere, &machine.host, &second),
        Some(machine.spec(&second)),
        "where outputs go is the same to it"
    );
    assert_eq!(recall(&request("another"), &machine.host, &second), None);
}

#[test]
fn what_is_not_there_any_more_is_not_guessed() {
    let machine = Machine::new();
    let run = machine.run();
    remember(&request("repo"), &machine.host, &run, &machine.spec(&run));
    std::fs::remove_dir(machine.folder.path().join("environment")).unwrap();
    assert_eq!(recall(&request("repo"), &machine.host, &run), None);
}

#[test]
fn strangers_servers_and_packages_that_are_asked_for_get_none() {
    let machine = Machine::new();
    let run = machine.run();
    for asked in [
        RunRequest { no_secrets: true, ..request("repo") },
        RunRequest { hosted: true, ..request("repo") },
        RunRequest { refresh: true, ..request("repo") },
        RunRequest { allow_dirty: true, ..request("repo") },
        RunRequest { frozen_as: Some("4f1c2d9a".to_owned()), ..request("repo") },
    ] {
        remember(&asked, &machine.host, &run, &machine.spec(&run));
        assert_eq!(recall(&asked, &machine.host, &run), None, "{asked:?}");
    }
    assert!(!machine.host.home.cache().join("guesses").exists());
}

#[test]
fn only_so_many_are_kept_and_a_damaged_one_is_none() {
    let machine = Machine::new();
    let run = machine.run();
    for number in 0..KEPT + 5 {
        remember(&request(&number.to_string()), &machine.host, &run, &machine.spec(&run));
    }
    let folder = machine.host.home.cache().join("guesses");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), KEPT);
    for file in std::fs::read_dir(&folder).unwrap() {
        std::fs::write(file.unwrap().path(), "{").unwrap();
    }
    let last = request(&(KEPT + 4).to_string());
    assert_eq!(recall(&last, &machine.host, &run), None);
    remember(&last, &machine.host, &run, &machine.spec(&run));
    assert!(recall(&last, &machine.host, &run).is_some());
}
