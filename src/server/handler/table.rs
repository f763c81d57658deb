//! The keys of handlers and steps.

use crate::server::file::form::{Form, Table, may, must};

/// A handler.
pub const HANDLER: Table = Table {
    what: "a handler",
    keys: &[
        must("name", Form::Text, "its name; no two are called alike"),
        must(
            "on",
            Form::Json,
            "the kinds of events that it is for: push (the first of a branch, too), pull_request, schedule, …",
        ),
        may("cron", Form::Cron, "when it strikes, for `on: schedule`: `30 2 * * mon-fri`"),
        may("zone", Form::Zone, "the time zone of `cron` [default: UTC]"),
        may("repos", Form::List(&Form::Glob), "the repositories that it is for [default: all]"),
        may("when", Form::Text, "a criterion: `event.branch.startswith(\"feat/\")`"),
        may("enabled", Form::Flag, "false keeps it, and never runs it"),
        must("do", Form::Json, "what is done, in this order; the first that fails ends it"),
        may("on_success", Form::Json, "what is done when all went well"),
        may(
            "on_failure",
            Form::Json,
            "what is done when something failed; a run that was cancelled, or whose place another took, has not",
        ),
        may("always", Form::Json, "what is done at the end in any case"),
    ],
};

/// What goes with a step besides its action.
pub const STEP: Table = Table {
    what: "a step",
    keys: &[
        may("name", Form::Text, "the name of its result [default: the action's word]"),
        may("when", Form::Text, "a criterion; without it, always"),
        may("continue", Form::Flag, "go on when it fails"),
        may("parallel", Form::Json, "steps that are done at once"),
        may("before", Form::Json, "what is done before it; when that fails, it has failed"),
        may("on_success", Form::Json, "what is done when it went well"),
        may(
            "on_failure",
            Form::Json,
            "what is done when it failed; a run that was cancelled, or whose place another took, has not",
        ),
        may("always", Form::Json, "what is done after it in any case"),
    ],
};
