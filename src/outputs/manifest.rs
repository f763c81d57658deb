//! `manifest.json`: what a published folder holds, where it came from, and how to tell that nothing changed since.
//!
//! It is written last and trusted alone: a folder without one is not published. Reading treats it as hostile: paths
//! that climb, claim each other or a name of ours are refused, and the digest over the whole is computed anew. It is
//! JSON of one stable form, a line for every file.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::pattern::Pattern;
use super::{MissingProduct, Moved, Output, OutputKind, Refused};
use crate::id::{CommitSha, Digest, ProjectName, RelPath, Revision, RunId};
use crate::plan::Mode;

/// The version this build writes, and the newest it reads.
pub const SCHEMA: u32 = 1;

/// Whether a first path part is one of our own names in a published folder.
pub fn is_reserved(first: &[u8]) -> bool {
    first == b"manifest.json" || first.starts_with(b".soopervisor")
}

/// Everything about a run but its files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The version of soopervisor that wrote it.
    pub soopervisor: String,
    /// First folder in the storage.
    pub project: ProjectName,
    /// What was run: the commit, or the commit and the digest of the changes on top of it.
    pub revision: Revision,
    /// The commit.
    pub commit: CommitSha,
    /// Whether there were changes on top of it.
    pub dirty: bool,
    /// Where the repository is fetched from, without credentials.
    pub repo: Option<String>,
    /// The branch that was checked out.
    pub branch: Option<String>,
    /// The run.
    pub run: RunId,
    /// Sample or full.
    pub mode: Mode,
    /// When the run began.
    pub started: Timestamp,
    /// When its outputs were collected.
    pub ended: Timestamp,
    /// How long each step took.
    pub steps: Vec<Timing>,
    /// The conda environment it ran in.
    pub environment: Option<EnvironmentNote>,
    /// The image it ran in.
    pub image: ImageNote,
    /// The version of Ploomber.
    pub ploomber: String,
    /// sha256 of the script that ran.
    pub script_sha256: Digest,
    /// The pipeline's tasks.
    pub tasks: Vec<TaskNote>,
    /// What a later run has to know before it takes tasks over from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuse: Option<ReuseNote>,
}

/// What decides, besides commit, environment and image, whether a later run may take tasks over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReuseNote {
    /// The version of these words.
    pub layout: u32,
    /// Digests of arguments, variables, names of secrets, mode, network and script.
    pub setting: BTreeMap<String, Digest>,
    /// Files that the run left or changed and no task declares; the first ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strays: Vec<String>,
    /// Tasks whose products were changed after they had ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsettled: Vec<String>,
}

/// How long something took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// The step.
    pub name: String,
    /// In milliseconds.
    pub elapsed_ms: u64,
}

/// The environment of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentNote {
    /// Digest of its normalised inputs.
    pub key: Digest,
    /// Exact packages.
    pub lock: serde_json::Value,
}

/// The image of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageNote {
    /// As asked for.
    pub reference: String,
    /// The engine's id.
    pub id: String,
    /// The registry's digest, where it came from one.
    pub digest: Option<String>,
}

/// How one pipeline task went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskNote {
    /// Ploomber's name for it.
    pub name: String,
    /// The name in pipeline.yaml where that is another one: of the grid that made it. Files have that as their task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<String>,
    /// `executed` or `reused`.
    pub outcome: String,
    /// In milliseconds, where it was seen.
    pub elapsed_ms: Option<u64>,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The commit whose products were taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<CommitSha>,
}

/// One file, empty folder or link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its path in the published folder.
    pub path: RelPath,
    /// What it is.
    pub kind: OutputKind,
    /// In bytes; 0 for folders and links.
    pub size: u64,
    /// Of the bytes; files only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// Of what it means without the times written in it; only where that differs from its bytes ([`super::meaning`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meaning: Option<Digest>,
    /// Unix permission bits, in octal: `"0644"`.
    #[serde(with = "octal")]
    pub mode: u32,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Where a link points: a path in the published folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_target: Option<RelPath>,
    /// The task that declares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Its name in the folder as the storage has it, where that is not its path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<String>,
    /// The storage's own id of it, where a name may be of several files (Google Drive): this one is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl Entry {
    /// An output with the digests that were computed while its bytes were read.
    pub fn new(output: &Output, sha256: Option<Digest>, meaning: Option<Digest>) -> Self {
        Self {
            path: output.path.clone(),
            kind: output.kind,
            size: output.size,
            sha256,
            meaning,
            mode: output.mode,
            mtime_ns: i64::try_from(output.mtime_ns).unwrap_or_default(),
            link_target: output.link_target.clone(),
            task: output.task.clone(),
            stored: None,
            id: None,
        }
    }

    /// What must be equal for two runs to have come to the same: not times, not permissions beyond "can be executed".
    pub fn same_content(&self, other: &Self) -> bool {
        self.essence() == other.essence()
    }

    fn essence(&self) -> (u8, bool, Option<&Digest>, Option<&RelPath>) {
        let kind = match self.kind {
            OutputKind::File => b'f',
            OutputKind::Folder => b'd',
            OutputKind::Link => b'l',
        };
        let executable = self.kind == OutputKind::File && self.mode & 0o111 != 0;
        (kind, executable, self.meaning.as_ref().or(self.sha256.as_ref()), self.link_target.as_ref())
    }
}

/// The whole manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this form.
    pub schema: u32,
    /// Where it came from.
    #[serde(flatten)]
    pub about: About,
    /// Digest over what every entry is, without times: equal for two runs that came to the same.
    pub content: Digest,
    /// Bytes of all files.
    pub total_bytes: u64,
    /// Declared products that did not come out.
    #[serde(default)]
    pub missing: Vec<MissingProduct>,
    /// What came out and was not published.
    #[serde(default)]
    pub refused: Vec<Refused>,
    /// Outputs that are stored under another name.
    #[serde(default)]
    pub moved: Vec<Moved>,
    /// Groups of paths that differ only in case, which other storages cannot hold side by side.
    #[serde(default)]
    pub case_clashes: Vec<Vec<RelPath>>,
    /// Everything that is published, sorted by path.
    pub files: Vec<Entry>,
}

/// Why a manifest is not believed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Written by a later version.
    #[error("it has schema {found}, this soopervisor reads up to {SCHEMA}")]
    Newer {
        /// Its schema.
        found: u32,
    },
    /// Not JSON, or not a manifest.
    #[error("it cannot be read: {0}")]
    Form(serde_json::Error),
    /// It contradicts itself.
    #[error("it is not sound: {0}")]
    Unsound(String),
    /// A sound one that lies where that of another commit or project has to be.
    #[error("it is that of `{}` of project `{}`", .0.revision, .0.project)]
    Other(Box<Owner>),
}

/// Whose a manifest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its project.
    pub project: ProjectName,
    /// What was run for it.
    pub revision: Revision,
}

impl From<serde_json::Error> for ManifestError {
    fn from(error: serde_json::Error) -> Self {
        Self::Form(error)
    }
}

impl Manifest {
    /// A manifest over these entries.
    pub fn new(about: About, mut files: Vec<Entry>) -> Self {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self {
            schema: SCHEMA,
            about,
            content: content(&files),
            total_bytes: files.iter().map(|entry| entry.size).sum(),
            missing: Vec::new(),
            refused: Vec::new(),
            moved: Vec::new(),
            case_clashes: case_clashes(&files),
            files,
        }
    }

    /// Adds what was not published, and why.
    #[must_use]
    pub fn noting(mut self, missing: Vec<MissingProduct>, refused: Vec<Refused>, moved: Vec<Moved>) -> Self {
        (self.missing, self.refused, self.moved) = (missing, refused, moved);
        self
    }

    /// The manifest, if it is of this project and revision.
    ///
    /// # Errors
    /// [`ManifestError::Other`], with whose it is.
    pub fn of(self, project: &ProjectName, revision: &Revision) -> Result<Self, ManifestError> {
        if self.about.project == *project && self.about.revision == *revision {
            return Ok(self);
        }
        let About { project, revision, .. } = self.about;
        Err(ManifestError::Other(Box::new(Owner { project, revision })))
    }

    /// The entry at `path`.
    pub fn entry(&self, path: &RelPath) -> Option<&Entry> {
        self.files.binary_search_by(|entry| entry.path.cmp(path)).ok().map(|at| &self.files[at])
    }

    /// Leaves only what one of the patterns fits, and its bytes; all of it where there are none. What is left is for a look
    /// at it and no manifest to be written: `content` stays that of the whole.
    pub fn narrow(&mut self, globs: &[Pattern]) {
        self.files.retain(|entry| globs.is_empty() || globs.iter().any(|glob| glob.matches(&entry.path)));
        self.total_bytes = self.files.iter().map(|entry| entry.size).sum();
    }

    /// The bytes of `manifest.json`: the head indented for people, then one line a file.
    ///
    /// # Errors
    /// When the environment's lock holds what JSON cannot.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let head = Self {
            schema: self.schema,
            about: self.about.clone(),
            content: self.content,
            total_bytes: self.total_bytes,
            missing: self.missing.clone(),
            refused: self.refused.clone(),
            moved: self.moved.clone(),
            case_clashes: self.case_clashes.clone(),
            files: Vec::new(),
        };
        let mut bytes = serde_json::to_vec_pretty(&head)?;
        // The head ends in `[]\n}`, `files` being the last field.
        bytes.truncate(bytes.len() - "]\n}".len());
        for (at, entry) in self.files.iter().enumerate() {
            bytes.extend_from_slice(if at == 0 { b"\n    " } else { b",\n    " });
            serde_json::to_writer(&mut bytes, entry)?;
        }
        bytes.extend_from_slice(if self.files.is_empty() { b"]\n}\n" } else { b"\n  ]\n}\n" });
        Ok(bytes)
    }

    /// Reads and checks a manifest; the bytes may be hostile.
    ///
    /// # Errors
    /// When it is newer than this build, malformed, or contradicts itself.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Schema {
            schema: u32,
        }
        let Schema { schema: found } = serde_json::from_slice(bytes)?;
        if found > SCHEMA {
            return Err(ManifestError::Newer { found });
        }
        let manifest: Self = serde_json::from_slice(bytes)?;
        manifest.check().map_err(ManifestError::Unsound)?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        let About { commit, revision, .. } = &self.about;
        if *commit != revision.commit {
            return Err(format!("its commit is `{commit}`, and its revision is one of `{}`", revision.commit));
        }
        for pair in self.files.windows(2) {
            if pair[0].path >= pair[1].path {
                return Err(format!("`{}` is not in order or stands there twice", pair[1].path));
            }
        }
        for entry in &self.files {
            self.check_entry(entry)?;
        }
        if content(&self.files) != self.content {
            return Err("its content digest does not fit its files".to_owned());
        }
        let total = self.files.iter().try_fold(0_u64, |sum, entry| sum.checked_add(entry.size));
        if total != Some(self.total_bytes) {
            return Err("its total does not fit its files".to_owned());
        }
        Ok(())
    }

    fn check_entry(&self, entry: &Entry) -> Result<(), String> {
        let path = &entry.path;
        let first = path.as_bytes().split(|b| *b == b'/').next().unwrap_or_default();
        if path.is_root() || is_reserved(first) {
            return Err(format!("`{path}` is not a path for a file"));
        }
        let file = entry.kind == OutputKind::File;
        if file != entry.sha256.is_some() || (entry.kind == OutputKind::Link) != entry.link_target.is_some() {
            return Err(format!("`{path}` lacks its digest or its target"));
        }
        if !file && entry.size != 0 || entry.mode > 0o777 {
            return Err(format!("`{path}` has a size or a mode that it cannot have"));
        }
        let mut above = path.parent();
        while let Some(folder) = above.filter(|folder| !folder.is_root()) {
            if self.entry(&folder).is_some() {
                return Err(format!("`{path}` lies below `{folder}`, which is not a folder"));
            }
            above = folder.parent();
        }
        Ok(())
    }
}

/// The digest over what every entry is; entries are sorted by path.
fn content(files: &[Entry]) -> Digest {
    let mut hash = Sha256::new();
    // Lengths go first, so that no two lists of entries give the same bytes.
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    for entry in files {
        let (kind, executable, digest, target) = entry.essence();
        part(entry.path.as_bytes());
        part(&[kind, u8::from(executable)]);
        part(digest.map_or(&[][..], |digest| &digest.0));
        part(target.map_or(&[][..], RelPath::as_bytes));
    }
    Digest(hash.finalize().into())
}

fn case_clashes(files: &[Entry]) -> Vec<Vec<RelPath>> {
    let mut groups: BTreeMap<String, Vec<RelPath>> = BTreeMap::new();
    for entry in files.iter().filter(|entry| entry.path.as_str().is_some()) {
        groups.entry(entry.path.as_str().unwrap_or_default().to_lowercase()).or_default().push(entry.path.clone());
    }
    groups.into_values().filter(|group| group.len() > 1).collect()
}

mod octal {
    //! Permission bits as people read them.

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    pub(super) fn serialize<S: Serializer>(mode: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{mode:04o}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        let text = String::deserialize(deserializer)?;
        u32::from_str_radix(&text, 8).map_err(|_| D::Error::custom(format!("`{text}` is not a file mode")))
    }
}
