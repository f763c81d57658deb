//! Keeps the memory of this process, which holds tokens, out of core dumps and away from debuggers of the same user.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// From here on; called by what holds tokens. A machine that refuses is left as it is.
pub fn keep_from_dumps() {
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }) {
        tracing::debug!(%error, "core dumps stay possible");
    }
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::debug!(%error, "this process stays open to debuggers");
    }
}
