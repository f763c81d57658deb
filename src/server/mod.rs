//! The server: it watches repositories, turns what happens into events, and events into actions.
//!
//! This room never runs a pipeline by itself: every action ends in one `RunRequest`, or in one effect of its own.

pub mod action;
pub mod artifacts;
pub mod asked;
mod clock;
pub mod comments;
pub mod criterion;
pub mod event;
pub mod file;
pub mod forges;
mod git;
pub mod glance;
pub mod glob;
pub mod handler;
pub mod hook;
pub mod http;
pub mod ledger;
pub mod line;
pub mod metrics;
mod parts;
pub mod perform;
pub mod poll;
pub mod queue;
pub mod reload;
pub mod room;
pub mod rounds;
pub mod secrets;
pub mod serve;
pub mod standing;
pub mod stopping;
mod sweep;
pub mod template;
pub mod trigger;
mod trust;
pub mod work;
