//! Real servers of this machine, opened as the program opens them: moto (S3), Azurite (Azure), rclone (WebDAV), OpenSSH
//! (SFTP); and Google Cloud Storage in small, by Google's rules.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use soopervisor::storage::backend::Shared;
use soopervisor::storage::{Access, Location, Remotes, Storage, open};
use soopervisor::web::Reach;

use crate::fake_gcs::{BUCKET, Gcs};
use crate::proxy::Proxy;
use crate::servers::{self, Server, folder_of_servers, free_port};
use crate::way::{End, Way};

/// A place on a server, and what is set to get there.
pub(crate) struct Served {
    text: String,
    set: BTreeMap<&'static str, String>,
    /// How many publishers and pruners at once it is good for.
    pub(crate) races: u32,
    /// The server's own port.
    port: u16,
    _server: Option<Server>,
    place: Option<tempfile::TempDir>,
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
        // Who creates takes turns on the way there: moto looks whether a key is free and gives it in two steps.
        let endpoint = format!("http://127.0.0.1:{}", Proxy::to(*port).await.port);
        let bucket = format!("bucket-{}", BUCKETS.fetch_add(1, Ordering::Relaxed));
        let made = reqwest::Client::new().put(format!("{endpoint}/{bucket}")).send().await.expect("an answer");
        assert!(made.status().is_success(), "{}", made.status());
        let set = [
            ("SOOPERVISOR_S3_ENDPOINT", endpoint),
            ("SOOPERVISOR_S3_ACCESS_KEY_ID", "testing".to_owned()),
            ("SOOPERVISOR_S3_SECRET_ACCESS_KEY", "testing-secret".to_owned()),
        ];
        let text = format!("s3://{bucket}/a place/é");
        Self { text, set: set.into(), races: 8, port: *port, _server: None, place: None }
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
        let text = format!("az://{name}/a place/é");
        Self { text, set: set.into(), races: 8, port: *port, _server: None, place: None }
    }

    /// A server of its own that keeps everything on the disk. It knows no conditions.
    pub(crate) fn s3_on_the_disk() -> Self {
        let (port, place) = (free_port(), tempfile::tempdir().expect("a folder"));
        let server = servers::s3rver(place.path(), port, "large");
        let set = [
            ("SOOPERVISOR_S3_ENDPOINT", format!("http://127.0.0.1:{port}")),
            ("SOOPERVISOR_S3_ACCESS_KEY_ID", "S3RVER".to_owned()),
            ("SOOPERVISOR_S3_SECRET_ACCESS_KEY", "S3RVER".to_owned()),
        ];
        let text = "s3://large/place".to_owned();
        Self { text, set: set.into(), races: 1, port, _server: Some(server), place: Some(place) }
    }

    /// A server of its own that keeps everything on the disk.
    pub(crate) fn azure_on_the_disk() -> Self {
        let (port, place) = (free_port(), tempfile::tempdir().expect("a folder"));
        let server = servers::azurite_on_the_disk(place.path(), port);
        let set = servers::container(port, "large");
        let text = "az://large/place".to_owned();
        Self { text, set: set.into(), races: 1, port, _server: Some(server), place: Some(place) }
    }

    /// One of its own, for as long as the test's runtime lives.
    pub(crate) async fn gcs() -> Self {
        let fake = Gcs::start().await;
        let set = [("SOOPERVISOR_GCS_ENDPOINT", fake.url()), ("SOOPERVISOR_GCS_TOKEN", "no token at all".to_owned())];
        let text = format!("gs://{BUCKET}/a place/é");
        Self { text, set: set.into(), races: 8, port: fake.port, _server: None, place: None }
    }

    /// The server's own port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The same over a way on which things go wrong as its test says.
    pub(crate) async fn over_troubles(&self) -> (Self, Proxy) {
        let proxy = Proxy::to(self.port).await;
        let (there, here) = (format!("127.0.0.1:{}", self.port), format!("127.0.0.1:{}", proxy.port));
        let text = self.text.replace(&there, &here);
        let mut set = self.set.clone();
        for value in set.values_mut() {
            *value = value.replace(&there, &here);
        }
        // That of S3 leads over a way already, which is not taken here.
        if let Some(endpoint) = set.get_mut("SOOPERVISOR_S3_ENDPOINT") {
            *endpoint = format!("http://{here}");
        }
        (Self { text, set, races: self.races, port: proxy.port, _server: None, place: None }, proxy)
    }

    /// The same SSH server over a way whose connections end so, one after the other.
    pub(crate) async fn over_ends(&self, ends: Vec<End>) -> (Self, Way) {
        let way = Way::ending(self.port, ends).await;
        let place = self.place.as_ref().expect("a place").path();
        let host = fs_err::read_to_string(place.join("host.pub")).expect("a key");
        let known = place.join(format!("known_hosts-{}", way.port));
        fs_err::write(&known, format!("[127.0.0.1]:{} {host}", way.port)).expect("written");
        let text = self.text.replace(&format!(":{}/", self.port), &format!(":{}/", way.port));
        let mut set = self.set.clone();
        set.insert("SOOPERVISOR_SFTP_KNOWN_HOSTS", known.to_str().expect("text").to_owned());
        (Self { text, set, races: self.races, port: way.port, _server: None, place: None }, way)
    }

    /// Unfinished files that lie on a file server.
    pub(crate) fn unfinished(&self) -> Vec<PathBuf> {
        let mut waiting: Vec<PathBuf> = self.place.iter().map(|place| place.path().to_owned()).collect();
        let mut found = Vec::new();
        while let Some(folder) = waiting.pop() {
            for entry in fs_err::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
                if entry.file_name().to_string_lossy().contains("soopervisor-part") {
                    found.push(entry.path());
                } else if entry.file_type().expect("a kind").is_dir() {
                    waiting.push(entry.path());
                }
            }
        }
        found
    }

    /// An object store over another port.
    pub(crate) fn over(mut self, port: u16) -> Self {
        let (there, here) = (format!("127.0.0.1:{}", self.port), format!("127.0.0.1:{port}"));
        for value in self.set.values_mut() {
            *value = value.replace(&there, &here);
        }
        // It leads over a way already, which is not taken here.
        if let Some(endpoint) = self.set.get_mut("SOOPERVISOR_S3_ENDPOINT") {
            *endpoint = format!("http://{here}");
        }
        self
    }

    pub(crate) fn webdav() -> Self {
        Self::webdav_with(&[])
    }

    /// As on a disk of Windows or macOS: names that differ only in case are one.
    pub(crate) fn webdav_of_any_case() -> Self {
        Self::webdav_with(&["--vfs-case-insensitive"])
    }

    fn webdav_with(more: &[&str]) -> Self {
        let (port, place) = (free_port(), tempfile::tempdir().expect("a folder"));
        let (address, root) = (format!("127.0.0.1:{port}"), place.path().to_str().expect("text"));
        let mut arguments = vec!["serve", "webdav", root, "--addr", &address, "--config", "/dev/null"];
        arguments.extend_from_slice(more);
        let server = Server::start("rclone", Path::new("rclone"), &arguments, port);
        let text = format!("webdav://{address}/a place/é");
        Self { text, set: BTreeMap::new(), races: 8, port, _server: Some(server), place: Some(place) }
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
        Self { text, set: set.into(), races: 4, port, _server: Some(server), place: Some(place) }
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

    /// Another folder of the same SSH server.
    pub(crate) fn at(mut self, folder: &Path) -> Self {
        self.text = format!("sftp://127.0.0.1:{}{}", self.port, folder.to_str().expect("text"));
        self
    }

    /// What a server of its own keeps on the disk.
    pub(crate) fn folder(&self) -> &Path {
        self.place.as_ref().expect("a place").path()
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
