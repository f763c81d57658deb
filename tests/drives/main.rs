//! The fake drives are held to the vendors' own clients and to the rules that bite; what misbehaves on request is tried.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod fake;
mod judges;
