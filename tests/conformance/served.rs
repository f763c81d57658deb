//! Real servers of this machine, opened as the program opens them: moto (S3), Azurite (Azure), rclone (WebDAV), OpenSSH (SFTP).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use soopervisor::storage::backend::Shared;
use soopervisor::storage::{Access, Location, Remotes, Storage, open};
use soopervisor::web::Reach;

use crate::servers::{self, Server, folder_of_servers, free_port};

/// A place on a server, and what is set to get there.
pub(crate) struct Served {
    text: String,
    set: BTreeMap<&'static str, String>,
    /// How many publishers and pruners at once it is good for.
    pub(crate) races: u32,
    _server: Option<Server>,
    _place: Option<tempfile::TempDir>,
}

impl Served {
    /// A bucket of its own. The server takes seconds to start, so there is one for all.
    pub(crate) async fn s3() -> Self {
        static MOTO: OnceLock<(u16, Server)> = OnceLock::new();
        static BUCKETS: AtomicU32 = AtomicU32::new(0);
        let (port, _) = MOTO.get_or_init(|| {
            let (port, program) = (free_port(), folder_of_servers().join("venv/bin/moto_server"));
            (port, Server::for_all("moto", &program, &["-p", &port.to_string()], port))
        });
        let endpoint = format!("http://127.0.0.1:{port}");
        let bucket = format!("bucket-{}", BUCKETS.fetch_add(1, Ordering::Relaxed));
        let made = reqwest::Client::new().put(format!("{endpoint}/{bucket}")).send().await.expect("an answer");
        assert!(made.status().is_success(), "{}", made.status());
        let set = [
            ("SOOPERVISOR_S3_ENDPOINT", endpoint),
            ("SOOPERVISOR_S3_ACCESS_KEY_ID", "testing".to_owned()),
            ("SOOPERVISOR_S3_SECRET_ACCESS_KEY", "testing-secret".to_owned()),
        ];
        Self { text: format!("s3://{bucket}/a place/é"), set: set.into(), races: 8, _server: None, _place: None }
    }

    /// A container of its own, of one server for all.
    pub(crate) fn azure() -> Self {
        static AZURITE: OnceLock<(u16, Server)> = OnceLock::new();
        static CONTAINERS: AtomicU32 = AtomicU32::new(0);
        let (port, _) = AZURITE.get_or_init(|| {
            let port = free_port();
            (port, servers::azurite(Server::for_all, port))
        });
        let name = format!("container-{}", CONTAINERS.fetch_add(1, Ordering::Relaxed));
        let set = servers::container(*port, &name);
        Self { text: format!("az://{name}/a place/é"), set: set.into(), races: 8, _server: None, _place: None }
    }

    /// Where the server of S3 is.
    pub(crate) fn port(&self) -> u16 {
        self.set["SOOPERVISOR_S3_ENDPOINT"].rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
    }

    /// The same over another port.
    pub(crate) fn over(mut self, port: u16) -> Self {
        self.set.insert("SOOPERVISOR_S3_ENDPOINT", format!("http://127.0.0.1:{port}"));
        self
    }

    pub(crate) fn webdav() -> Self {
        let (port, place) = (free_port(), tempfile::tempdir().expect("a folder"));
        let (address, root) = (format!("127.0.0.1:{port}"), place.path().to_str().expect("text"));
        let arguments = ["serve", "webdav", root, "--addr", &address, "--config", "/dev/null"];
        let server = Server::start("rclone", Path::new("rclone"), &arguments, port);
        let text = format!("webdav://{address}/a place/é");
        Self { text, set: BTreeMap::new(), races: 8, _server: Some(server), _place: Some(place) }
    }

    pub(crate) fn sftp() -> Self {
        let (port, place) = (free_port(), tempfile::tempdir().expect("a folder"));
        let server = servers::sshd(place.path(), port);
        let file = |name: &str| place.path().join(name).to_str().expect("text").to_owned();
        let set = [
            ("SOOPERVISOR_SFTP_KEY", file("user")),
            ("SOOPERVISOR_SFTP_KNOWN_HOSTS", file("known_hosts")),
            ("SOOPERVISOR_SFTP_SSH_CONFIG", "/dev/null".to_owned()),
        ];
        let text = format!("sftp://127.0.0.1:{port}{}", file("a place"));
        Self { text, set: set.into(), races: 4, _server: Some(server), _place: Some(place) }
    }

    fn opened(&self, state: &Path) -> (Location, Access) {
        let set = self.set.clone();
        let remotes = Remotes::new(Vec::new(), Arc::new(move |name: &str| set.get(name).cloned()));
        let location = Location::parse(&self.text, Path::new("/"), &remotes).expect("a location");
        (location, Access { reach: Reach::default(), remotes, state: state.to_owned() })
    }

    pub(crate) fn storage(&self, state: &Path) -> Arc<dyn Storage> {
        let (location, access) = self.opened(state);
        location.open(&access).expect("a storage")
    }

    pub(crate) fn service(&self, state: &Path) -> Shared {
        let (location, access) = self.opened(state);
        open::service(&location, &access).expect("a service")
    }

    /// As a command line names it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// What is set to get there.
    pub(crate) fn variables(&self) -> &BTreeMap<&'static str, String> {
        &self.set
    }
}
