//! Box and Dropbox as services, against fakes that keep the vendors' rules and misbehave on request: nothing is lost,
//! nothing is there twice, nothing of others is touched.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "drive_clients/bench.rs"]
mod bench;
#[path = "drive_clients/contract.rs"]
mod contract;
#[path = "drives/fake/mod.rs"]
mod fake;
#[path = "drive_clients/faults.rs"]
mod faults;
mod fixture_run;
#[path = "drive_clients/parts.rs"]
mod parts;
#[path = "drive_clients/pauses.rs"]
mod pauses;
