//! A storage of each kind, a run to publish to it, and ways to damage what it holds.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use soopervisor::id::RelPath;
use soopervisor::plan::OnConflict;
use soopervisor::storage::backend::Shared;
use soopervisor::storage::download::{Request, download};
use soopervisor::storage::local::Local;
use soopervisor::storage::remote::Remote;
use soopervisor::storage::stores::ObjectStore;
use soopervisor::storage::{Folder, Published, Same, SameFile, Storage, StorageError, key};

use crate::drives::OnDrive;
use crate::fake::Drive;
use crate::fixture_run::{Run, SHA, folder, project};
use crate::served::Served;
use crate::shelf;

/// A storage, and a way to damage what it holds.
pub(crate) struct Bench {
    pub(crate) run: Run,
    pub(crate) storage: Arc<dyn Storage>,
    /// What the storage stands on; a folder of this machine stands on nothing.
    pub(crate) service: Option<Shared>,
    pub(crate) drive: Option<OnDrive>,
    served: Option<Served>,
}

pub(crate) fn path(text: &str) -> RelPath {
    text.parse().expect("a path")
}

impl Bench {
    #[expect(clippy::unused_async, reason = "one form for all benches")]
    pub(crate) async fn local() -> Self {
        let run = Run::new();
        Self {
            storage: Arc::new(Local::new(run.store()).durable(false)),
            service: None,
            drive: None,
            served: None,
            run,
        }
    }

    fn remote(service: Shared) -> Self {
        let storage = Arc::new(Remote::new(Arc::clone(&service), None));
        Self { run: Run::new(), storage, service: Some(service), drive: None, served: None }
    }

    /// A server, opened as the program opens it.
    fn at(served: Served) -> Self {
        let run = Run::new();
        let (storage, service) = (served.storage(&run.path("state")), served.service(&run.path("state")));
        Self { run, storage, service: Some(service), drive: None, served: Some(served) }
    }

    #[expect(clippy::unused_async, reason = "one form for all benches")]
    pub(crate) async fn memory() -> Self {
        Self::remote(Arc::new(ObjectStore::memory().expect("a store")))
    }

    pub(crate) async fn on_s3() -> Self {
        Self::at(Served::s3().await)
    }

    #[expect(clippy::unused_async, reason = "one form for all benches")]
    pub(crate) async fn on_azure() -> Self {
        Self::at(Served::azure())
    }

    pub(crate) async fn on_gcs() -> Self {
        Self::at(Served::gcs().await)
    }

    #[expect(clippy::unused_async, reason = "one form for all benches")]
    pub(crate) async fn on_webdav() -> Self {
        Self::at(Served::webdav())
    }

    #[expect(clippy::unused_async, reason = "one form for all benches")]
    pub(crate) async fn on_webdav_of_any_case() -> Self {
        Self::at(Served::webdav_of_any_case())
    }

    #[expect(clippy::unused_async, reason = "one form for all benches")]
    pub(crate) async fn on_sftp() -> Self {
        Self::at(Served::sftp())
    }

    /// A drive, opened as the program opens it, against the fake that its vendor's own clients accept.
    pub(crate) async fn on(drive: Drive) -> Self {
        let (drive, run) = (OnDrive::open(drive).await, Run::new());
        let storage = drive.storage(&run.path("state"));
        Self { storage, service: Some(drive.service(&run.path("state"))), drive: Some(drive), served: None, run }
    }

    /// Tells no checksums and copies nothing.
    #[expect(clippy::unused_async, reason = "one form for all benches")]
    pub(crate) async fn plain() -> Self {
        Self::remote(shelf::plain())
    }

    /// Tells checksums, copies, and makes files visible in batches.
    #[expect(clippy::unused_async, reason = "one form for all benches")]
    pub(crate) async fn batching() -> Self {
        Self::remote(shelf::drive())
    }

    pub(crate) async fn on_box() -> Self {
        Self::on(Drive::Box).await
    }

    /// A Box that looks at files alone when it is asked whether a name is free.
    pub(crate) async fn on_box_of_files() -> Self {
        let bench = Self::on(Drive::Box).await;
        bench.drive.as_ref().expect("a drive").fake.preflight_sees_files_only();
        bench
    }

    pub(crate) async fn on_dropbox() -> Self {
        Self::on(Drive::Dropbox).await
    }

    pub(crate) async fn on_onedrive() -> Self {
        Self::on(Drive::OneDrive).await
    }

    pub(crate) async fn on_gdrive() -> Self {
        Self::on(Drive::GDrive).await
    }

    /// Opens what the storage stands on as another process would.
    pub(crate) fn opener(&self) -> Option<impl Fn() -> Shared + Sync> {
        let (service, state) = (self.service.clone()?, self.run.path("state"));
        let (drive, served) = (self.drive.as_ref(), self.served.as_ref());
        Some(move || match (drive, served) {
            (Some(drive), _) => drive.service(&state),
            (None, Some(served)) => served.service(&state),
            (None, None) => Arc::clone(&service),
        })
    }

    /// How many publishers and pruners it takes at once: an SSH server turns some away before anybody is let in.
    pub(crate) fn races(&self) -> u32 {
        self.served.as_ref().map_or(12, |served| served.races)
    }

    /// Publishes another commit, of which `files` are said to be what the first one has.
    pub(crate) async fn publish_same(&self, other: &str, files: &[&str]) -> Result<Published, StorageError> {
        let manifest = self.storage.manifest(&project(), &folder()).await?;
        let known = |name: &&str| {
            let entry = manifest.entry(&path(name)).expect("an entry");
            let sha256 = entry.sha256.expect("a digest");
            (path(name), SameFile { path: path(name), sha256, meaning: entry.meaning })
        };
        let mut publication = self.run.publication("later", OnConflict::Fail);
        publication.about.revision = other.parse().expect("a revision");
        publication.about.commit = publication.about.revision.commit.clone();
        publication.same = Some(Same { folder: folder(), files: files.iter().map(known).collect() });
        self.storage.publish(publication, Arc::new(())).await
    }

    pub(crate) async fn bytes(&self, folder: &Folder, file: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let manifest = self.storage.manifest(&project(), folder).await.expect("a manifest");
        let entry = manifest.entry(&path(file)).expect("an entry");
        let mut reader = self.storage.open(&project(), folder, entry, 0).await.expect("a file");
        tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut bytes).await.expect("its bytes");
        bytes
    }

    pub(crate) async fn publish(&self, id: &str, on_conflict: OnConflict) -> Result<Published, StorageError> {
        self.storage.publish(self.run.publication(id, on_conflict), Arc::new(())).await
    }

    pub(crate) async fn overwrite(&self, file: &str, bytes: &'static str) {
        match &self.service {
            None => fs_err::write(self.place(file), bytes).expect("written"),
            Some(service) => {
                let key = key::object(&project(), &folder(), &path(file));
                service.remove(&key).await.expect("removed");
                assert!(service.put(&key, bytes.into()).await.expect("written"));
            }
        }
    }

    pub(crate) async fn remove(&self, file: &str) {
        match &self.service {
            None => fs_err::remove_file(self.place(file)).expect("removed"),
            Some(service) => {
                service.remove(&key::object(&project(), &folder(), &path(file))).await.expect("removed");
            }
        }
    }

    pub(crate) fn place(&self, file: &str) -> PathBuf {
        self.run.store().join("demo").join(SHA).join(file)
    }

    pub(crate) fn nasty(&self) {
        for (name, bytes) in [
            (&b"plain.csv"[..], &b"a,b\n1,2\n"[..]),
            (b"zero", b""),
            (b"deep/er/file", b"1"),
            (b" lead", b"2"),
            (b"trail ", b"3"),
            (b"dot.", b"4"),
            ("été ?*.txt".as_bytes(), b"5"),
            (b"Data.csv", b"upper"),
            (b"data.csv", b"lower"),
            ("é.png".as_bytes(), b"composed"),
            ("e\u{301}.png".as_bytes(), b"taken apart"),
            (b"CON", b"of a console"),
            (b"thumbs.db", b"of a viewer"),
            (b"deep/.DS_Store", b"of another one"),
            (b"desktop.ini", b"of a desktop"),
            (b"~x", b"of an editor"),
            (b"new\nline", b"6"),
            (b"\xff\xfe", b"7"),
            (b"per%20cent", b"8"),
            (b"back\\slash", b"9"),
            (b"manifest.json", b"of the pipeline"),
            (b".x.metadata", b"{\"timestamp\": 1.5, \"params\": {}}"),
        ] {
            self.run.product(name, bytes);
        }
        self.run.product("big.bin", vec![42; 20 << 20]);
        fs_err::create_dir(self.run.path("work/empty")).expect("a folder");
        std::os::unix::fs::symlink("deep/er", self.run.path("work/link")).expect("a link");
    }

    pub(crate) async fn fetch(
        &self,
        to: &Path,
        globs: &[&str],
        force: bool,
    ) -> Result<soopervisor::storage::download::Report, StorageError> {
        let globs: Vec<String> = globs.iter().map(|glob| (*glob).to_owned()).collect();
        let request = Request { project: &project(), folder: &folder(), globs: &globs, to, force };
        download(&*self.storage, &request, &()).await
    }
}
