//! Why a run stops before its end: what the user reads, what to type next, and the exit code behind it.

use std::error::Error;

use super::ending::Ending;
use super::event::Step;
use crate::diag::{Diagnostic, Severity};
use crate::engine::EngineError;
use crate::environment::EnvironmentError;
use crate::logs::diagnose;
use crate::logs::diagnose::Kind;
use crate::outputs::OutputsError;
use crate::repo::RepoError;
use crate::script::ScriptError;
use crate::secret::SecretError;
use crate::storage::StorageError;
use crate::store::StoreError;

/// A run that cannot go on.
#[derive(Debug, Clone, PartialEq)]
pub struct Stop {
    /// What it means.
    pub ending: Ending,
    /// What is wrong, lower case, no full stop.
    pub message: String,
    /// What lies behind it, the outermost first.
    pub causes: Vec<String>,
    /// What to do about it.
    pub help: Option<String>,
    /// Findings in the user's files; told already, kept for those who only see the result.
    pub diagnostics: Vec<Diagnostic>,
    /// The commit's place in the storage is taken, and `--on-conflict new-run` leads past it.
    pub taken: bool,
    /// The closing line's words, where those of the ending say something else.
    pub closing: Option<&'static str>,
}

impl Stop {
    /// A stop with a message of its own.
    pub fn new(ending: Ending, message: impl Into<String>) -> Self {
        Self {
            ending,
            message: message.into(),
            causes: Vec::new(),
            help: None,
            diagnostics: Vec::new(),
            taken: false,
            closing: None,
        }
    }

    /// A stop for an error with everything that lies behind it. A full disk behind it is told as one.
    pub fn of(ending: Ending, error: &dyn Error) -> Self {
        let chain: Vec<&(dyn Error + 'static)> =
            std::iter::successors(error.source(), |cause| <dyn Error>::source(*cause)).collect();
        let mut causes = chain.iter().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
        let full = causes.any(|cause| Ending::of_io(cause) == Ending::DiskFull);
        let ending = if full { Ending::DiskFull } else { ending };
        let causes = chain.iter().map(ToString::to_string).collect();
        Self { causes, ..Self::new(ending, error.to_string()) }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, text: impl Into<Option<String>>) -> Self {
        self.help = text.into().or(self.help);
        self
    }

    /// What it means for the closing line: a run that never began was not started, and is told what for.
    pub fn words(&self, step: Option<Step>, has_run: bool) -> String {
        let asked = |finding: &&Diagnostic| {
            finding.severity == Severity::Error && ["plan/", "run/"].iter().any(|room| finding.code.starts_with(room))
        };
        let in_files = self.diagnostics.iter().any(|finding| finding.severity == Severity::Error && !asked(&finding));
        if let Some(closing) = self.closing {
            return closing.to_owned();
        }
        let first = |text: &str| text.lines().next().unwrap_or_default().trim_end_matches(':').to_owned();
        match self.ending {
            Ending::StorageFailed if !has_run => "not started: the storage cannot be used".to_owned(),
            Ending::InvalidSpec if step == Some(Step::Prepare) => format!("not started: {}", self.of_environment()),
            Ending::InvalidSpec if !in_files => {
                let asked = self.diagnostics.iter().find(asked).map(|finding| &finding.message);
                format!("not started: {}", first(asked.unwrap_or(&self.message)))
            }
            other => other.words().to_owned(),
        }
    }

    fn of_environment(&self) -> &'static str {
        if self.message.starts_with("the `pip:` section") {
            "the `pip:` section of environment.yml cannot be installed"
        } else {
            "its environment cannot be made"
        }
    }

    /// [`Stop::line`] with the first findings: for those who see nothing else of the run.
    pub fn with_findings(&self) -> String {
        let line = self.line();
        match super::findings::in_short(&self.diagnostics) {
            none if none.is_empty() => line,
            found => format!("{line}: {found}"),
        }
    }

    /// The message and everything behind it, in one line.
    pub fn line(&self) -> String {
        std::iter::once(&self.message).chain(&self.causes).map(String::as_str).collect::<Vec<_>>().join(": ")
    }
}

impl From<RepoError> for Stop {
    fn from(error: RepoError) -> Self {
        // These are seen while the commit is written out, beside the environment.
        let closing = match &error {
            RepoError::LfsMissing { .. } | RepoError::LfsDamaged { .. } => {
                Some("not started: the content of its files in Git LFS is not here")
            }
            RepoError::ObjectsMissing { .. } => Some("not started: the repository lacks objects of the commit"),
            _ => None,
        };
        Self { closing, ..Self::of(Ending::InvalidSpec, &error) }.help(error.help())
    }
}

impl From<ScriptError> for Stop {
    fn from(error: ScriptError) -> Self {
        Self::of(Ending::InvalidSpec, &error)
    }
}

impl From<SecretError> for Stop {
    fn from(error: SecretError) -> Self {
        Self::of(Ending::InvalidSpec, &error)
    }
}

impl From<EngineError> for Stop {
    fn from(error: EngineError) -> Self {
        // Only the engine knows how many processors there are; that it refuses more is no fault of it.
        if let EngineError::Refused { reason, .. } = &error
            && reason.contains("Range of CPUs")
        {
            return Self::of(Ending::InvalidSpec, &error)
                .help("ask for fewer with `--cpus`, or leave it out".to_owned());
        }
        if let EngineError::Refused { reason, .. } = &error
            && reason.contains("no space left on device")
        {
            return Self::of(Ending::DiskFull, &error).help(ENGINE_FULL.to_owned());
        }
        Self::of(Ending::EngineUnavailable, &error).help("`soopervisor doctor` looks closer".to_owned())
    }
}

const ENGINE_FULL: &str = "`docker system df` shows what takes the room on the engine's disk, `docker system prune` removes \
                           what is not used";

impl From<EnvironmentError> for Stop {
    fn from(error: EnvironmentError) -> Self {
        match error {
            EnvironmentError::Cancelled => Self::new(Ending::Cancelled, "stopped while the environment was prepared"),
            EnvironmentError::Engine(error) => error.into(),
            EnvironmentError::NoSpace { .. } => Self::of(Ending::DiskFull, &error).help(
                "`soopervisor env prune` removes what is not used, `env prune --all` everything that is not in use now; \
                 SOOPERVISOR_HOME=DIR keeps environments on another disk"
                    .to_owned(),
            ),
            EnvironmentError::EngineFull { .. } => Self::of(Ending::DiskFull, &error).help(ENGINE_FULL.to_owned()),
            EnvironmentError::Pip { ref tail, .. } => {
                let looks = diagnose(tail.lines()).filter(|looks| looks.kind == Kind::MissingCompiler);
                Self::of(Ending::InvalidSpec, &error).help(looks.map(|looks| looks.hint))
            }
            EnvironmentError::Lock { .. } => Self::of(Ending::EngineUnavailable, &error).help(
                "leave `--frozen-as` out to take the packages that environment.yml comes to here, or solve them anew with \
                 `--refresh`"
                    .to_owned(),
            ),
            error if error.is_user_fault() => Self::of(Ending::InvalidSpec, &error),
            error => {
                let closing = matches!(error, EnvironmentError::ChannelUnreachable { .. } | EnvironmentError::Uv { .. });
                let stop = Self::of(Ending::EngineUnavailable, &error);
                Self { closing: closing.then_some("not started: what it needs cannot be fetched"), ..stop }
            }
        }
    }
}

impl From<OutputsError> for Stop {
    fn from(error: OutputsError) -> Self {
        let stop = Self::of(Ending::OutputsMissing, &error).help(error.help().map(str::to_owned));
        // A full disk behind it has words of its own.
        let closing = (stop.ending == Ending::OutputsMissing).then(|| error.words());
        Self { closing, ..stop }
    }
}

impl From<StorageError> for Stop {
    fn from(error: StorageError) -> Self {
        if matches!(
            error,
            StorageError::Cancelled | StorageError::TrialLeft { .. } | StorageError::Undecided { fault: None, .. }
        ) {
            return Self::of(Ending::Cancelled, &error).help(error.help());
        }
        let taken = matches!(
            error,
            StorageError::Conflict { .. } | StorageError::Foreign { .. } | StorageError::Unfinished { .. }
        );
        // Where the storage is full, it is the storage that failed.
        Self { ending: Ending::StorageFailed, taken, ..Self::of(Ending::StorageFailed, &error) }.help(error.help())
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::of(Ending::Internal, &error)
            .help("SOOPERVISOR_HOME=DIR keeps soopervisor's own files elsewhere".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_that_nobody_knows_of_is_a_failure_of_the_storage_unless_somebody_stopped_the_run() {
        let ending = |fault| {
            let (project, folder) = ("demo".parse().unwrap(), Box::new("a".repeat(40).parse().unwrap()));
            Stop::from(StorageError::Undecided { project, folder, place: "box:".to_owned(), fault }).ending
        };
        assert_eq!(ending(None), Ending::Cancelled);
        assert_eq!(ending(Some(crate::web::Fault::Login("it has ended".to_owned()))), Ending::StorageFailed);
    }

    #[test]
    fn the_closing_line_says_what_a_run_was_not_started_for() {
        let found = |code| Stop {
            diagnostics: vec![Diagnostic::error(code, "no storage is given")],
            ..Stop::new(Ending::InvalidSpec, "the project cannot run: 1 error")
        };
        let validate = Some(Step::Validate);
        let words = |stop: Stop| stop.words(validate, false);
        assert_eq!(words(found("task/unknown-key")), "not started: the specs have errors");
        assert_eq!(words(found("plan/no-storage")), "not started: no storage is given");
        let unset = Stop::new(Ending::InvalidSpec, "the variable `X` is not set here");
        assert_eq!(words(unset), "not started: the variable `X` is not set here");
        let pip = Stop::new(Ending::InvalidSpec, "the `pip:` section cannot be installed (resolve):\nerror: no");
        let said = pip.words(Some(Step::Prepare), false);
        assert_eq!(said, "not started: the `pip:` section of environment.yml cannot be installed");
        let lfs = Stop::from(RepoError::LfsMissing { files: Vec::new(), total: 1 });
        let said = lfs.words(Some(Step::Prepare), false);
        assert_eq!(said, "not started: the content of its files in Git LFS is not here");
        let storage = Stop::new(Ending::StorageFailed, "x");
        assert_eq!(storage.words(validate, false), "not started: the storage cannot be used");
        assert_eq!(storage.words(Some(Step::Publish), true), "could not be published");
    }
}
