//! One run as history keeps it: `run.json`.
//!
//! Written whole each time; unknown fields of later versions are ignored when read. Holds names of secrets and how
//! often each was hidden, never a value.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ProcessMark, StoreError};
use crate::id::{Digest, ProjectName, Revision, RunId};
use crate::plan::Mode;

/// The newest form of `run.json` that this program writes and reads.
pub const SCHEMA: u32 = 1;

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Goes on, or its process died before it could say otherwise.
    Running,
    /// Published.
    Succeeded,
    /// Did not.
    Failed,
    /// Was asked to stop.
    Cancelled,
    /// Its process died. Never written: readers find out.
    Interrupted,
}

impl Status {
    /// The word for people and for JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A part of a run that ended: a step or a pipeline task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// `execute`, or the task's name.
    pub name: String,
    /// `done`, `reused`, `failed`, `cancelled`.
    pub outcome: String,
    /// How long it took.
    pub elapsed_ms: u64,
    /// A few words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Something about the user's files that makes a run fail, or go on otherwise than meant. All of it is one line of text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `error` or `warning`.
    pub severity: String,
    /// Its name: `pipeline/unknown-key`.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// The file that it is in.
    #[serde(default)]
    pub file: Option<String>,
    /// The line, from 1.
    #[serde(default)]
    pub line: Option<usize>,
    /// The column, from 1.
    #[serde(default)]
    pub column: Option<usize>,
    /// What to do about it.
    #[serde(default)]
    pub help: Option<String>,
}

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// The folder in the storage.
    pub location: String,
    /// Files, links included.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The run.
    pub id: RunId,
    /// First folder in the storage.
    pub project: ProjectName,
    /// What was run.
    pub revision: Revision,
    /// The folder it was run from.
    pub path: String,
    /// The repository's remote address, credentials removed.
    #[serde(default)]
    pub origin: Option<String>,
    /// Sample or full.
    pub mode: Mode,
    /// Whether a server had it run: its history is kept by other limits than that of people's own runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hosted: bool,
    /// The storage, credentials removed.
    pub storage: String,
    /// How it stands.
    pub status: Status,
    /// The program's exit code, once it ended.
    #[serde(default)]
    pub exit_code: Option<u8>,
    /// One line for people, once it ended.
    #[serde(default)]
    pub summary: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(default)]
    pub ended_at: Option<Timestamp>,
    /// Steps that ended, in order.
    #[serde(default)]
    pub steps: Vec<Part>,
    /// Pipeline tasks that ended, in order.
    #[serde(default)]
    pub tasks: Vec<Part>,
    /// What was found in the user's files, the first of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Findings beyond those that are kept.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_findings: u64,
    /// What was published.
    #[serde(default)]
    pub published: Option<Publication>,
    /// The environment's key.
    #[serde(default)]
    pub environment: Option<Digest>,
    /// The image's id or digest.
    #[serde(default)]
    pub image: Option<String>,
    /// Bytes of the log.
    #[serde(default)]
    pub log_bytes: u64,
    /// How often each secret was hidden, by name.
    #[serde(default)]
    pub masked: BTreeMap<String, u64>,
    /// The failure card, in the form that `run` gives it.
    #[serde(default)]
    pub card: Option<serde_json::Value>,
    /// The program that wrote this.
    pub version: String,
    /// The process that drives it.
    pub process: ProcessMark,
}

impl Record {
    /// A run that begins now, in this process.
    pub fn begin(id: RunId, project: ProjectName, revision: Revision, mode: Mode, started_at: Timestamp) -> Self {
        Self {
            schema: SCHEMA,
            id,
            project,
            revision,
            path: String::new(),
            origin: None,
            mode,
            hosted: false,
            storage: String::new(),
            status: Status::Running,
            exit_code: None,
            summary: None,
            started_at,
            ended_at: None,
            steps: Vec::new(),
            tasks: Vec::new(),
            findings: Vec::new(),
            more_findings: 0,
            published: None,
            environment: None,
            image: None,
            log_bytes: 0,
            masked: BTreeMap::new(),
            card: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            process: ProcessMark::current(),
        }
    }

    /// Reads a record; `path` is named in errors.
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, StoreError> {
        #[derive(Deserialize)]
        struct Head {
            schema: u32,
        }
        let broken = |source| StoreError::Record { path: path.to_owned(), source };
        let head: Head = serde_json::from_slice(bytes).map_err(broken)?;
        if head.schema > SCHEMA {
            return Err(StoreError::Schema { path: path.to_owned(), found: head.schema, known: SCHEMA });
        }
        serde_json::from_slice(bytes).map_err(broken)
    }

    /// The record as the file at `path` holds it.
    pub(super) fn to_bytes(&self, path: &Path) -> Result<Vec<u8>, StoreError> {
        let broken = |source| StoreError::Record { path: path.to_owned(), source };
        let mut text = serde_json::to_vec_pretty(self).map_err(broken)?;
        text.push(b'\n');
        Ok(text)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::store) fn record(id: &str) -> Record {
        let revision = "4f1c2d9a4f1c2d9a4f1c2d9a4f1c2d9a4f1c2d9a".parse().unwrap();
        let at = "2026-11-21T09:30:00Z".parse().unwrap();
        Record::begin(id.parse().unwrap(), "penguins".parse().unwrap(), revision, Mode::Full, at)
    }

    #[test]
    fn a_record_survives_the_file() {
        let mut written = record("20261121-093000-4f1c2d9a-x7k2");
        written.status = Status::Failed;
        written.steps.push(Part {
            name: "checkout".into(),
            outcome: "done".into(),
            elapsed_ms: 12,
            detail: String::new(),
        });
        written.masked.insert("TOKEN".into(), 3);
        written.card = Some(serde_json::json!({"step": "execute"}));
        assert_eq!(
            Record::parse(Path::new("run.json"), &written.to_bytes(Path::new("run.json")).unwrap()).unwrap(),
            written
        );
    }

    #[test]
    fn fields_of_later_versions_are_ignored_and_later_schemas_refused() {
        let mut value = serde_json::to_value(record("a")).unwrap();
        value["flux"] = 1.into();
        assert!(Record::parse(Path::new("r"), value.to_string().as_bytes()).is_ok());
        value["schema"] = 2.into();
        let error = Record::parse(Path::new("r"), value.to_string().as_bytes()).unwrap_err();
        assert!(matches!(error, StoreError::Schema { found: 2, known: 1, .. }));
    }

    #[test]
    fn a_torn_record_names_its_file() {
        let error = Record::parse(Path::new("/state/run.json"), b"{\"schema\": 1, \"id\"").unwrap_err();
        assert_eq!(error.to_string(), "the record `/state/run.json` cannot be read");
    }
}
