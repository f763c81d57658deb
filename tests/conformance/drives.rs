//! The four drives, as the program opens them, with the fake in place of the vendor.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use soopervisor::storage::backend::Shared;
use soopervisor::storage::open::service;
use soopervisor::storage::{Access, Location, Remotes, Storage};
use soopervisor::web::Reach;

use crate::fake::{Drive, Fake};
use crate::front::Front;
use crate::front::rclone::Rclone;

/// One drive and the fake behind it.
pub(crate) struct OnDrive {
    pub(crate) fake: Fake,
    pub(crate) drive: Drive,
}

impl OnDrive {
    pub(crate) async fn open(drive: Drive) -> Self {
        Self { fake: Fake::start().await, drive }
    }

    /// What a CI job would be given.
    fn access(&self, state: &Path) -> Access {
        let name = self.drive.prefix().to_uppercase();
        let token = self.fake.tokens(self.drive).access;
        let set: BTreeMap<String, String> = [
            (format!("SOOPERVISOR_{name}_BASE_URL"), self.fake.base(self.drive)),
            (format!("SOOPERVISOR_{name}_ACCESS_TOKEN"), token),
        ]
        .into();
        let remotes = Remotes::new(Vec::new(), Arc::new(move |name: &str| set.get(name).cloned()));
        Access { reach: Reach::default(), remotes, state: state.to_owned() }
    }

    fn location(&self, access: &Access) -> Location {
        Location::parse(self.drive.prefix(), Path::new("/"), &access.remotes).expect("a location")
    }

    pub(crate) fn storage(&self, state: &Path) -> Arc<dyn Storage> {
        let access = self.access(state);
        self.location(&access).open(&access).expect("a storage")
    }

    pub(crate) fn service(&self, state: &Path) -> Shared {
        let access = self.access(state);
        service(&self.location(&access), &access).expect("a service")
    }

    pub(crate) async fn read_by_rclone(&self, local: &Path, path: &str) {
        let front = Front::start(self.fake.address()).await;
        Rclone::new(&self.fake, &front).check(local, self.drive, path).await;
    }
}
