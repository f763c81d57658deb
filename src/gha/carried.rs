//! Environments that a workflow's cache carries from one runner to the next: looked at once they came, sealed before they go.
//!
//! Only on runners that are made for one job, as GitHub's are and others that the workflow says it of: elsewhere others may use them, and they stay where they are anyway. Code
//! of forks has none of them. What somebody vouched for may use them; what such a run leaves is no good for others.

use std::path::PathBuf;
use std::time::Duration;

use super::{Context, GhaError, Trust};
use crate::environment::{self, Arrival};

/// Bytecode that is still being compiled when the run ends may take so long; then it is left out.
const PATIENCE: Duration = Duration::from_secs(45);
/// In the job's own folder: a later step of the job has what an earlier one left, and that is newer than its seal.
const MARK: &str = "soopervisor-environments-are-here";

/// Environments of a runner that ends with its job.
#[derive(Debug, Clone)]
pub struct Carried {
    root: PathBuf,
    mark: PathBuf,
    /// Whether others may use what this run leaves.
    own: bool,
}

impl Carried {
    /// Those below `root`; `None` on a runner that stays, and for code of forks.
    pub fn of(context: &Context, root: PathBuf, trust: Trust) -> Option<Self> {
        let may = context.hosted && trust != Trust::Fork;
        may.then(|| Self { root, mark: context.temp.join(MARK), own: trust == Trust::Own })
    }

    /// Looks at what the cache brought, once in a job. What is to be said about it.
    ///
    /// # Errors
    /// When it can be neither read nor removed: nothing may be run with it.
    pub fn arrive(&self) -> Result<Option<&'static str>, GhaError> {
        if self.mark.exists() {
            return Ok(None);
        }
        let arrival = environment::arrive(&self.root)?;
        if !self.own {
            environment::unseal(&self.root)?;
        }
        fs_err::write(&self.mark, "")?;
        Ok(match arrival {
            Arrival::Nothing | Arrival::Whole(_) => None,
            Arrival::Removed => {
                Some("the environments that the workflow's cache brought were not whole: what is needed is built anew")
            }
        })
    }

    /// Makes them ready to be saved, where they may be; whatever else a workflow saves counts as broken where it arrives.
    ///
    /// # Errors
    /// When that cannot be; where they are restored, they count as broken.
    pub fn send(&self) -> Result<(), GhaError> {
        if !self.own {
            return Ok(());
        }
        Ok(environment::seal(&self.root, PATIENCE)?)
    }
}
