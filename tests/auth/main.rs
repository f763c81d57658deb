//! Logins, with the built program and the fake drives: every flow, what renews, what is refused, and that no token is
//! ever seen.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod browser;
#[path = "../drives/fake/mod.rs"]
mod fake;
mod flows;
mod handing_on;
mod keyring;
mod place;
mod renewing;
mod sources;
