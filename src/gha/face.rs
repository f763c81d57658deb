//! The face that a command gets under its comment, in the Action and on the server alike.

use crate::forge::Reaction;

/// It was heard, and something is run for it.
pub const HEARD: Reaction = Reaction::Eyes;
/// It was answered, or what ran was asked to stop.
pub const DONE: Reaction = Reaction::PlusOne;
/// What was run for it succeeded.
pub const SUCCEEDED: Reaction = Reaction::Rocket;
/// What was run for it did not succeed, or there was nothing to stop.
pub const FAILED: Reaction = Reaction::Confused;
/// Nothing is run for it, and nothing will be.
pub const REFUSED: Reaction = Reaction::MinusOne;
