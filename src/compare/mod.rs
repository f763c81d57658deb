//! What changed from one published folder to another, from their manifests and as few of their files as can be.
//!
//! What is the same is known from the manifests alone and never fetched. Of what changed, small JSON documents and tables
//! are read for their numbers, and pictures where somebody wants to see them; each is checked against its sha256. What is
//! too large, damaged or not understood is said, never left out in silence. Files are hostile: everything that is kept of
//! them is bounded, and whoever shows a text escapes it. Nothing is written, and files come through [`Files`] only.
//!
//! # As JSON
//! `soopervisor diff --format json` prints a [`Comparison`]: `schema` (1), `project`, `before` and `after` (folder, commit, branch,
//! run, mode, ended, files, bytes), `files` (one object a change: `path`, `what` = `added`, `removed`, `changed`, `renamed`
//! with `from`; `before` and `after` with `kind`, `size`, `sha256`; `task`; `metadata`; `note`; `content`), `identical`
//! (paths), `environment` (`known`, `packages`, `rest`) and `tasks`. `content.kind` is `none`, `values` (JSON), `table`
//! (CSV, TSV), `picture`, or `not-compared` with `why` and `damaged`. Keys may be added; none is taken away or given
//! another meaning under the same `schema`. `NaN` and infinities are strings.

use futures::StreamExt;
use jiff::Timestamp;
use serde::Serialize;

use crate::id::{CommitSha, Digest, ProjectName, RelPath, RunId};
use crate::outputs::OutputKind;
use crate::outputs::manifest::{Entry, Manifest};
use crate::plan::Mode;
use crate::storage::StorageError;

mod content;
mod facts;
mod number;
mod page;
mod pair;
mod picture;
mod source;
mod table;
mod text;
mod values;
mod words;

pub use facts::{Environment, TaskChange, TaskSide};
pub use number::{Move, Number, short};
pub use picture::{Picture, PictureKind, Pictures};
pub use source::{Files, Limits, Read, Stored, When};
pub use table::{CellChange, ColumnChange, TableChange};
pub use text::shown;
pub use values::{Empty, Leaf, ValueChange, Values};
pub use words::{Phrase, Word, phrases};

/// The version of the form.
pub const SCHEMA: u32 = 1;

/// Pairs of files that are fetched ahead.
const AHEAD: usize = 3;

/// Everything that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The version of this form.
    pub schema: u32,
    /// The project of what is compared with the base; most often of both.
    pub project: ProjectName,
    /// The base.
    pub before: Origin,
    /// What is compared with it.
    pub after: Origin,
    /// What is not the same, sorted by path.
    pub files: Vec<FileChange>,
    /// Paths of what is: the same bytes, or the same but for times that mean nothing.
    pub identical: Vec<RelPath>,
    /// What the runs ran in.
    pub environment: Environment,
    /// Their tasks.
    pub tasks: Vec<TaskChange>,
}

/// One of the two folders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// Its name in the project.
    pub folder: String,
    /// The commit.
    pub commit: CommitSha,
    /// The branch that was checked out.
    pub branch: Option<String>,
    /// The run.
    pub run: RunId,
    /// Sample or full.
    pub mode: Mode,
    /// When its outputs were collected.
    pub ended: Timestamp,
    /// Files, links and empty folders.
    pub files: usize,
    /// Bytes of them.
    pub bytes: u64,
}

/// One entry that is not the same.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileChange {
    /// Its path; of what was removed, the old one.
    pub path: RelPath,
    /// What became of it.
    #[serde(flatten)]
    pub what: What,
    /// Before.
    pub before: Option<Side>,
    /// After.
    pub after: Option<Side>,
    /// The task that declares it.
    pub task: Option<String>,
    /// Whether it is Ploomber's own note about a product.
    pub metadata: bool,
    /// What differs besides the bytes.
    pub note: Option<String>,
    /// What changed in it.
    pub content: Content,
}

/// What became of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "lowercase")]
pub enum What {
    /// It was not there before.
    Added,
    /// It is gone.
    Removed,
    /// It is something else.
    Changed,
    /// The same bytes had another name.
    Renamed {
        /// The old one.
        from: RelPath,
    },
}

/// An entry as one of the manifests has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Side {
    /// What it is.
    pub kind: OutputKind,
    /// In bytes.
    pub size: u64,
    /// Of the bytes; files only.
    pub sha256: Option<Digest>,
}

/// What changed in a file.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Content {
    /// Nothing is known, as for most kinds of files.
    None,
    /// Values of a JSON document.
    Values(Values),
    /// Rows, columns and cells.
    Table(TableChange),
    /// A picture.
    Picture(Pictures),
    /// It is of a kind that is compared, and was not.
    NotCompared {
        /// Why.
        why: String,
        /// Whether the storage has something else than the manifest says.
        damaged: bool,
    },
}

impl Comparison {
    /// Compares two published folders.
    ///
    /// # Errors
    /// When the storage cannot be read any more.
    pub async fn of(
        before: &Manifest,
        after: &Manifest,
        files: &dyn Files,
        limits: Limits,
    ) -> Result<Self, StorageError> {
        let mut comparison = Self::of_manifests(before, after);
        for (origin, when) in [(&mut comparison.before, When::Before), (&mut comparison.after, When::After)] {
            if let Some(folder) = files.folder(when) {
                origin.folder = folder.to_string();
            }
        }
        let wanted = content::wanted(&comparison.files, before, after, limits);
        let contents: Vec<(usize, Content)> = futures::stream::iter(wanted.into_iter().map(|want| want.fetch(files)))
            .buffered(AHEAD)
            .map(|fetched| fetched.map(content::Fetched::compare))
            .collect::<Vec<Result<_, _>>>()
            .await
            .into_iter()
            .collect::<Result<_, _>>()?;
        for (at, content) in contents {
            comparison.files[at].content = content;
        }
        Ok(comparison)
    }

    /// What the manifests alone tell.
    pub fn of_manifests(before: &Manifest, after: &Manifest) -> Self {
        let pair::Pairing { changes, identical } = pair::pair(&before.files, &after.files);
        Self {
            schema: SCHEMA,
            project: after.about.project.clone(),
            before: Origin::of(before),
            after: Origin::of(after),
            files: changes,
            identical,
            environment: facts::environment(&before.about, &after.about),
            tasks: facts::tasks(&before.about.tasks, &after.about.tasks),
        }
    }

    /// Whether both folders hold the same files.
    pub fn is_same(&self) -> bool {
        self.files.is_empty()
    }

    /// Files that the storage does not have as the manifest says.
    pub fn damaged(&self) -> impl Iterator<Item = &FileChange> {
        self.files.iter().filter(|file| matches!(file.content, Content::NotCompared { damaged: true, .. }))
    }

    /// Documents of metrics, with what changed in them.
    pub fn metrics(&self) -> impl Iterator<Item = (&RelPath, &Values)> {
        self.files.iter().filter_map(|file| match &file.content {
            Content::Values(values) if values.metrics => Some((&file.path, values)),
            _ => None,
        })
    }

    /// How many there are of each kind of change.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { identical: self.identical.len(), ..Counts::default() };
        for file in &self.files {
            *match file.what {
                What::Added => &mut counts.added,
                What::Removed => &mut counts.removed,
                What::Changed => &mut counts.changed,
                What::Renamed { .. } => &mut counts.renamed,
            } += 1;
        }
        counts
    }
}

/// How many entries there are of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// New ones.
    pub added: usize,
    /// Those that are gone.
    pub removed: usize,
    /// Those that are something else.
    pub changed: usize,
    /// Those that have another name.
    pub renamed: usize,
    /// Those that are the same.
    pub identical: usize,
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = [
            (self.changed, "changed"),
            (self.added, "added"),
            (self.removed, "removed"),
            (self.renamed, "renamed"),
            (self.identical, "identical"),
        ];
        let words: Vec<String> =
            all.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
        f.write_str(if words.is_empty() { "none" } else { "" })?;
        f.write_str(&words.join(", "))
    }
}

impl Origin {
    fn of(manifest: &Manifest) -> Self {
        let about = &manifest.about;
        Self {
            folder: about.revision.folder(),
            commit: about.commit.clone(),
            branch: about.branch.clone(),
            run: about.run.clone(),
            mode: about.mode,
            ended: about.ended,
            files: manifest.files.len(),
            bytes: manifest.total_bytes,
        }
    }
}

/// A mode, in a word.
pub fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Sample => "sample",
        Mode::Full => "full",
    }
}

/// A path in one line, whole, as text that nothing obeys and nothing reorders.
pub fn named(path: &RelPath) -> String {
    shown(&path.to_string(), usize::MAX)
}

/// The end of a file's name, in small letters; empty where it has none.
fn ending(path: &RelPath) -> String {
    let name = path.file_name();
    let dot = name.iter().rposition(|b| *b == b'.').filter(|at| *at > 0);
    dot.map(|at| String::from_utf8_lossy(&name[at + 1..]).to_ascii_lowercase()).unwrap_or_default()
}

/// The entry of a change on one side.
fn entry<'m>(manifest: &'m Manifest, path: &RelPath, side: Option<&Side>) -> Option<&'m Entry> {
    side.filter(|side| side.kind == OutputKind::File).and_then(|_| manifest.entry(path))
}
