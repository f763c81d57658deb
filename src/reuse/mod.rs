//! Which tasks of a run need not be executed, because an earlier commit's published products are what they would make.
//!
//! Correct first: a task is taken over only where nothing that could matter to it differs between two commits; what
//! cannot be proved to be harmless means that it is executed, with the reason said. Ploomber has the last word: it
//! looks at the restored products and their metadata like at those of a run before, and executes what it finds out of
//! date. Nothing here starts a container or prints.
//!
//! # From which commit
//! The nearest ancestor that is published whole in the same form (sample or full), by the same soopervisor layout, in
//! the same environment (every package of the lock), image and network, with the same variables, secrets (their names)
//! and arguments (`ancestor`). Dirty trees, parts of a pipeline and `--force` take nothing over.
//!
//! # What differs
//! `decide` compares both commits' trees, path by path:
//!
//! | changed | executed |
//! |---|---|
//! | pipeline.yaml, env.yaml | what their values say, not their bytes: a task whose entry differs; everything where `meta`, clients, a hook of the whole or env.yaml differ |
//! | the script or notebook of a task that nothing else mentions | that task |
//! | the body of a function that is a task, in a module that no other file imports and nothing else calls | that task |
//! | documentation, tests, settings of editors and services that no code mentions | nothing |
//! | environment.yml, soopervisor.yaml | nothing by themselves: what they mean is compared as environment and settings |
//! | anything else: modules, data, templates, packages, submodules, links | everything |
//!
//! With a task, everything below it is executed, and so is every task that names one of its products without needing
//! it, that lists folders, or whose code cannot be found.
//!
//! # What is taken over
//! All of a task's files, or none: products and metadata are fetched, checked against the sha256 of the manifest and
//! written into the snapshot before the container starts (`restore`). After the run, files that are still those count
//! as taken over (`kept`); a task whose metadata changed was executed, whatever was planned.
//!
//! A part of the tasks is only taken over from a run whose tasks share declared products and nothing else: no file that
//! no task declares, no product that was changed after its task had ended, no code that speaks of `/tmp`.

mod ancestor;
mod corpus;
mod decide;
mod frame;
mod graph;
mod kept;
mod module;
mod naming;
mod offer;
mod restore;
#[cfg(test)]
mod tests;
mod words;

pub use ancestor::{Candidate, Now, candidates, misfit, packages};
pub use decide::{Case, Decision, Side, decide};
pub use kept::{Fate, Laid, kept};
pub use offer::{Offer, Piece, offers};
pub use restore::{Restoration, Source, remove, restore};

/// Raised when what is compared, or what a manifest says about it, gets another meaning: older folders are then left.
pub const LAYOUT: u32 = 1;
