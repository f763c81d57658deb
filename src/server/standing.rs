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

    /// Whether it is a handler that came over the API, and not the file.
    fn is_of_a_handler(&self) -> bool {
        self.place.starts_with(OF_HANDLER)
    }
}

/// What is wrong with a handler that came over the API is said at this, and its name.
pub(super) const OF_HANDLER: &str = "handler ";
/// So much of what is wrong is said in one line.
const TOLD: usize = 3;

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

    /// What is wrong with the file as it was written last, and what to do; nothing where it counts.
    pub fn mistaken(&self) -> Option<String> {
        let file = self.source.as_deref()?.display();
        let trouble = self.trouble();
        let lines: Vec<String> = trouble.iter().filter(|one| !one.is_of_a_handler()).map(Trouble::line).collect();
        let told = lines.iter().take(TOLD).map(String::as_str).collect::<Vec<_>>().join("; ");
        let more = match lines.len().saturating_sub(TOLD) {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        (!lines.is_empty()).then(|| {
            format!(
                "{file} does not count as it is now: {told}{more}; mend it, it is read again within seconds; \
                 `soopervisor handlers check {file}` says all that is wrong"
            )
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(place: &str, message: &str) -> Trouble {
        Trouble { place: place.to_owned(), code: "server/value".to_owned(), message: message.to_owned() }
    }

    #[test]
    fn what_is_wrong_with_the_file_is_said_with_what_to_type_and_a_handler_of_the_api_is_no_part_of_it() {
        let standing = Standing::default().reading(Some(Path::new("/etc/server.yaml")));
        assert_eq!(standing.mistaken(), None);
        standing.set(None, None, vec![wrong("handler x:1:1", "no")]);
        assert_eq!(standing.mistaken(), None);
        let lines = (1..=5).map(|line| wrong(&format!("/etc/server.yaml:{line}:1"), "what"));
        standing.set(None, None, lines.chain([wrong("handler x", "no")]).collect());
        let said = standing.mistaken().unwrap();
        assert!(said.contains("/etc/server.yaml:1:1: what; /etc/server.yaml:2:1: what"), "{said}");
        assert!(said.contains("(and 2 more)") && !said.contains("handler x"), "{said}");
        assert!(said.contains("`soopervisor handlers check /etc/server.yaml`"), "{said}");
        assert_eq!(Standing::default().mistaken(), None, "no file is read");
    }
}
