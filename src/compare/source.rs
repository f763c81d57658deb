//! Where files come from when a comparison asks for what is in them: whole, checked, and never too many.

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt;

use crate::id::{Digest, ProjectName};
use crate::outputs::manifest::Entry;
use crate::storage::{Folder, Storage, StorageError};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The base.
    Before,
    /// What is compared with it.
    After,
}

/// Gives files.
#[async_trait]
pub trait Files: Send + Sync {
    /// The whole file of an entry.
    ///
    /// # Errors
    /// When nothing can be read any more; a file that is not there or not right is an answer.
    async fn read(&self, when: When, entry: &Entry) -> Result<Read, StorageError>;

    /// The folder they are in, where they are in one. A manifest does not say whether it is that of the commit or, after
    /// `--on-conflict new-run`, one beside it.
    fn folder(&self, _when: When) -> Option<&Folder> {
        None
    }
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// Its bytes, as the manifest has their digest.
    Bytes(Vec<u8>),
    /// It is not what the manifest says, and what it is.
    Damaged(&'static str),
}

/// Files of two published folders.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    /// Where they are.
    pub storage: &'a dyn Storage,
    /// The project of the base.
    pub former: &'a ProjectName,
    /// The project of what is compared with it: most often the same.
    pub project: &'a ProjectName,
    /// The base.
    pub before: &'a Folder,
    /// What is compared with it.
    pub after: &'a Folder,
}

impl Stored<'_> {
    fn of(&self, when: When) -> (&ProjectName, &Folder) {
        match when {
            When::Before => (self.former, self.before),
            When::After => (self.project, self.after),
        }
    }
}

#[async_trait]
impl Files for Stored<'_> {
    fn folder(&self, when: When) -> Option<&Folder> {
        Some(self.of(when).1)
    }

    async fn read(&self, when: When, entry: &Entry) -> Result<Read, StorageError> {
        let (project, folder) = self.of(when);
        let reader = match self.storage.open(project, folder, entry, 0).await {
            Ok(reader) => reader,
            Err(StorageError::Missing { .. }) => return Ok(Read::Damaged("it is not there")),
            Err(StorageError::Replaced { .. }) => return Ok(Read::Damaged("something else stands in its place")),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        // One byte more than there should be tells a file that is longer, whatever its length is.
        let read = reader.take(entry.size.saturating_add(1)).read_to_end(&mut bytes).await;
        read.map_err(|source| StorageError::Io { action: "read", path: entry.path.as_path().to_owned(), source })?;
        let right = entry.sha256 == Some(Digest(Sha256::digest(&bytes).into()));
        Ok(if right { Read::Bytes(bytes) } else { Read::Damaged("it is not what its manifest says") })
    }
}

/// How much is fetched and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a JSON document.
    pub document: u64,
    /// Bytes of a table.
    pub table: u64,
    /// Bytes of a picture; 0 fetches none.
    pub picture: u64,
    /// Bytes of all pictures.
    pub pictures: u64,
    /// Bytes of all files together.
    pub total: u64,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self { document: 4 * MIB, table: 16 * MIB, picture: 0, pictures: 0, total: 256 * MIB }
    }
}

impl Limits {
    /// With pictures, for a page that shows them.
    #[must_use]
    pub fn with_pictures(self) -> Self {
        const MIB: u64 = 1024 * 1024;
        Self { picture: 4 * MIB, pictures: 24 * MIB, ..self }
    }
}
