//! How the server stands: the file that counts, with the handlers that came over the API, what is wrong with what was written
//! last, and which parts are down. Read by whoever answers requests; settings are changed by `reload` only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::Notify;

use super::file::File;
use super::forges::Forges;
use super::parts::Parts;
use crate::diag::Diagnostic;

/// Something that is wrong with settings, which therefore do not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// `server.yaml:3:5`, or the name of a handler.
    pub place: String,
    /// What kind of thing it is: `server/value`.
    pub code: String,
    /// What is wrong.
    pub message: String,
}

impl Trouble {
    /// A finding, with the file, line and column that it has.
    pub fn of(finding: &Diagnostic, file: &str) -> Self {
        let place = finding.line_column().map(|(line, column)| format!("{file}:{line}:{column}"));
        Self {
            place: place.unwrap_or_else(|| file.to_owned()),
            code: finding.code.to_owned(),
            message: finding.message.clone(),
        }
    }

    /// In one line.
    pub fn line(&self) -> String {
        format!("{}: {}", self.place, self.message)
    }
}

#[derive(Debug, Default)]
struct Inner {
    /// With the handlers of the API.
    file: Option<Arc<File>>,
    /// As it was written.
    written: Option<Arc<File>>,
    trouble: Vec<Trouble>,
}

/// The settings; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    inner: Arc<Mutex<Inner>>,
    /// The file that settings are read from, whether it is there or not; none where the command line has them.
    source: Option<PathBuf>,
    /// Who is told by the file that counts.
    forges: Arc<Mutex<Option<Forges>>>,
    /// The parts of the server that are down.
    pub(super) parts: Parts,
    /// Rings when handlers were written over the API.
    pub(super) written: Arc<Notify>,
}

impl Standing {
    /// One in which this file counts.
    pub fn with(file: Option<Arc<File>>) -> Self {
        let this = Self::default();
        this.set(file.clone(), file, Vec::new());
        this
    }

    /// The same, of a server whose settings come from this file.
    #[must_use]
    pub fn reading(self, source: Option<&Path>) -> Self {
        Self { source: source.map(Path::to_owned), ..self }
    }

    /// From now on, these forges are told.
    pub(super) fn tells(&self, forges: Option<Forges>) {
        *self.forges.lock().unwrap_or_else(PoisonError::into_inner) = forges;
    }

    /// As [`Forges::allowances`], of the forges that are told now.
    pub fn allowances(&self) -> BTreeMap<(String, String), u64> {
        let forges = self.forges.lock().unwrap_or_else(PoisonError::into_inner);
        forges.as_ref().map(Forges::allowances).unwrap_or_default()
    }

    /// What to do where nothing is watched; nothing where no file is read.
    pub fn unwatched(&self) -> Option<String> {
        self.source.as_deref().map(unwatched)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file that counts; none where the server has no file.
    pub fn file(&self) -> Option<Arc<File>> {
        self.lock().file.clone()
    }

    /// The same without the handlers of the API.
    pub fn file_alone(&self) -> Option<Arc<File>> {
        self.lock().written.clone()
    }

    /// What is wrong with what was written last.
    pub fn trouble(&self) -> Vec<Trouble> {
        self.lock().trouble.clone()
    }

    pub(super) fn set(&self, file: Option<Arc<File>>, written: Option<Arc<File>>, trouble: Vec<Trouble>) {
        *self.lock() = Inner { file, written, trouble };
    }
}

/// What to do where nothing is watched, in one line: the file that is read, what may stand in it, the next command.
pub fn unwatched(file: &Path) -> String {
    let file = file.display();
    format!(
        "no repositories are watched: write {file}, for example `repos: [{{url: \"https://github.com/acme/churn.git\", storage: \
         \"local:/srv/results\"}}]`; it is read within seconds, and `soopervisor handlers check {file}` says what is wrong with it"
    )
}
