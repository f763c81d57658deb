//! Handlers: for which events something is done, and what, in which order.
//!
//! Deciding is pure: [`decide`] takes handlers and an event and says which of them match. Doing is [`execute`], which
//! walks a plan and calls an `Effects` for every action; what came of each step is told to a [`Journal`] that the
//! caller keeps, so that a plan which was interrupted goes on after its last finished step.

use crate::server::action::{Action, Verb};
use crate::server::criterion::Criterion;
use crate::server::event::Kind;
use crate::server::file::cron::Cron;
use crate::server::glob::Glob;

mod decide;
mod engine;
mod journal;
mod message;
mod names;
pub(in crate::server) mod read;
pub mod rehearse;
pub mod table;
#[cfg(test)]
pub(in crate::server) mod tests;

pub use decide::{Plan, Verdict, decide, judge};
pub use engine::{Report, StepReport, execute};
pub use journal::{Journal, JournalError, Key, Memory, Outcome, Recall, State};
pub use message::OWN_MARK;
pub use read::parse;

/// What is done when something happens.
#[derive(Debug, Clone, PartialEq)]
pub struct Handler {
    /// Its name.
    pub name: String,
    /// The kinds of events that it is for.
    pub on: Vec<Kind>,
    /// When it strikes, for schedules.
    pub cron: Option<Cron>,
    /// The time zone of that; none for UTC.
    pub zone: Option<String>,
    /// The repositories that it is for; empty for all.
    pub repos: Vec<Glob>,
    /// The criterion; none for always.
    pub when: Option<Criterion>,
    /// False keeps it and never runs it.
    pub enabled: bool,
    /// What is done.
    pub steps: Vec<Step>,
    /// What is done when all went well.
    pub on_success: Vec<Single>,
    /// What is done when something failed.
    pub on_failure: Vec<Single>,
    /// What is done at the end in any case.
    pub always: Vec<Single>,
}

impl Handler {
    /// Whether it is for events of this kind. The first push of a branch is a push, too.
    pub fn hears(&self, kind: Kind) -> bool {
        self.on.contains(&kind) || (kind == Kind::BranchCreated && self.on.contains(&Kind::Push))
    }

    /// Whether it is turned on, and for events of one of these kinds in this repository.
    pub fn is_for(&self, repo: &str, kinds: &[Kind]) -> bool {
        let fits = self.repos.is_empty() || self.repos.iter().any(|glob| glob.matches(repo));
        self.enabled && fits && kinds.iter().any(|kind| self.hears(*kind))
    }

    /// Whether a criterion or a template of it may look at this name of the event: it holds the name, or takes the event
    /// as a whole.
    pub fn reads(&self, name: &str) -> bool {
        let steps = self.steps.iter().flat_map(Step::singles);
        let callbacks = [&self.on_success, &self.on_failure, &self.always].into_iter().flatten();
        mentions(self.when.as_ref(), name) || steps.chain(callbacks).any(|single| single.reads(name))
    }

    /// What its steps and callbacks do, in the order in which they are written; one that is done twice comes twice.
    pub fn verbs(&self) -> Vec<Verb> {
        let steps = self.steps.iter().flat_map(Step::singles);
        let callbacks = [&self.on_success, &self.on_failure, &self.always].into_iter().flatten();
        steps.chain(callbacks).flat_map(Single::verbs).collect()
    }
}

/// A step.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// One action.
    One(Box<Single>),
    /// Several at once.
    Parallel(Vec<Single>),
}

impl Step {
    /// The single steps of it.
    pub fn singles(&self) -> &[Single] {
        match self {
            Self::One(single) => std::slice::from_ref(single),
            Self::Parallel(singles) => singles,
        }
    }
}

/// One action and what goes with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Single {
    /// The name of its result.
    pub name: String,
    /// The criterion; none for always.
    pub when: Option<Criterion>,
    /// Go on when it fails.
    pub goes_on: bool,
    /// What is done.
    pub action: Action,
    /// What is done before it.
    pub before: Vec<Self>,
    /// What is done when it went well.
    pub on_success: Vec<Self>,
    /// What is done when it failed.
    pub on_failure: Vec<Self>,
    /// What is done after it in any case.
    pub always: Vec<Self>,
}

fn mentions(criterion: Option<&Criterion>, name: &str) -> bool {
    criterion.is_some_and(|criterion| criterion.text().contains(name))
}

impl Single {
    fn reads(&self, name: &str) -> bool {
        let mut around = [&self.before, &self.on_success, &self.on_failure, &self.always].into_iter().flatten();
        let mut templates = self.action.arguments.iter().flat_map(|(_, argument)| argument.templates());
        let filled = templates
            .any(|template| template.text().contains(name) || template.names().iter().any(|whole| whole == "event"));
        filled || mentions(self.when.as_ref(), name) || around.any(|single| single.reads(name))
    }

    fn verbs(&self) -> Vec<Verb> {
        let around = [&self.before, &self.on_success, &self.on_failure, &self.always].into_iter().flatten();
        std::iter::once(self.action.verb).chain(around.flat_map(Self::verbs)).collect()
    }
}
