//! Which handlers an event is for. Pure: the same handlers and event give the same plans.

use serde_json::{Value, json};

use super::message::OWN_MARK;
use super::{Handler, Step};
use crate::server::criterion::Reason;
use crate::server::event::{Event, Kind};

/// A handler that is to be done for an event.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// The handler.
    pub handler: &'a Handler,
    /// The event.
    pub event: &'a Event,
}

impl Plan<'_> {
    /// How many steps of `do` there are, those of groups counted each.
    pub fn steps(&self) -> usize {
        self.handler.steps.iter().map(|step: &Step| step.singles().len()).sum()
    }
}

/// Whether a handler is for an event, and why not.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It is.
    Matches {
        /// The parts of the criterion that decided; none without a criterion.
        because: Vec<Reason>,
    },
    /// It is turned off.
    Disabled,
    /// The event is of another kind.
    OtherKind,
    /// The event is of another repository.
    OtherRepo,
    /// The event is the schedule of another handler.
    OtherSchedule,
    /// The event is a comment that soopervisor wrote itself.
    OwnComment,
    /// The criterion does not hold.
    Criterion {
        /// The parts of it that decided.
        because: Vec<Reason>,
    },
}

impl Verdict {
    /// Whether something is to be done.
    pub const fn matches(&self) -> bool {
        matches!(self, Self::Matches { .. })
    }
}

/// The names that criteria of handlers may use.
pub(super) fn names(handler: &Handler, event: &Event) -> Value {
    json!({"event": event.view(), "handler": {"name": handler.name}})
}

/// Whether a handler is for an event.
pub fn judge(handler: &Handler, event: &Event) -> Verdict {
    if !handler.enabled {
        return Verdict::Disabled;
    }
    if !handler.hears(event.kind) {
        return Verdict::OtherKind;
    }
    if !handler.repos.is_empty() && !handler.repos.iter().any(|glob| glob.matches(&event.repo)) {
        return Verdict::OtherRepo;
    }
    if event.kind == Kind::Schedule && event.schedule.as_ref().is_none_or(|schedule| schedule.name != handler.name) {
        return Verdict::OtherSchedule;
    }
    // Without this, a handler that answers comments would answer itself for ever.
    if event.comment.as_ref().is_some_and(|comment| comment.body.trim_start().starts_with(OWN_MARK)) {
        return Verdict::OwnComment;
    }
    let Some(when) = &handler.when else { return Verdict::Matches { because: Vec::new() } };
    let names = names(handler, event);
    let because = when.explain(&names);
    if when.holds(&names) { Verdict::Matches { because } } else { Verdict::Criterion { because } }
}

/// The handlers that an event is for, in their order.
pub fn decide<'a>(handlers: &'a [Handler], event: &'a Event) -> Vec<Plan<'a>> {
    let fits = handlers.iter().filter(|handler| judge(handler, event).matches());
    fits.map(|handler| Plan { handler, event }).collect()
}
