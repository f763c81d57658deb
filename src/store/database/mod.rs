//! The server's memory: repositories and their refs, deliveries, events, the queue of runs, the outbox, tokens, audit.
//!
//! One text of SQL for SQLite (WAL, one writer) and Postgres; both are held to one suite (`tests/ledger`). Time is the
//! database's own. What a worker writes carries its lease's epoch, and what comes too late is refused
//! ([`DatabaseError::Fenced`]). Never holds a secret in clear, and decides nothing about what should run.

mod artifacts;
mod audit;
mod builds;
mod cursors;
mod deliveries;
mod error;
mod events;
mod handlers;
mod journal;
mod link;
mod migrations;
mod outbox;
mod policy;
mod queue;
mod refs;
mod repos;
mod row;
mod runs;
mod schedules;
mod statuses;
mod sweep;
mod tokens;

pub use artifacts::{Artifact, Artifacts};
pub use audit::Entry as AuditEntry;
pub use deliveries::{Delivery, NewDelivery, Receipt, apart};
pub use error::{DatabaseError, busy};
pub use events::{Event, NewEvent, Settlement};
pub use handlers::HandlerVersion;
pub use journal::{StepKnown, StepNoted};
pub use link::Database;
pub use outbox::{NewAction, OutboxAction, Resolution};
pub use policy::Policy;
pub use queue::{Beat, Claim, Ended, Limits as QueueLimits, Retry, StepRow, key_of_end};
pub use refs::{Applied, Asked, KnownRef, RefChange};
pub use repos::{NewRepo, Repo};
pub use runs::{Attempt, Enqueued, NewRun, Run, RunFilter, RunState};
pub use schedules::Schedule;
pub use statuses::{LeftStatus, StatusKey};
pub use sweep::{Retention, Swept};
pub use tokens::{NewToken, Token};
