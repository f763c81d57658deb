//! Requests to web services: one client, paced, retried, with typed faults that hold no credentials.
//!
//! Knows HTTP and nothing of any service: what an answer means is the caller's to say ([`Judge`]). Addresses that
//! a server hands out may be credentials themselves, so no address and no header is ever part of a fault.

mod answer;
mod client;
mod detour;
mod endpoint;
mod fault;
mod number;
mod pace;
mod roots;
mod send;
mod shared;
#[cfg(test)]
mod tests;
mod waits;

pub use answer::{Answer, LONGEST_WAIT, chunk};
pub use client::{Reach, client, client_for_files, trusting};
pub use detour::Detours;
pub use endpoint::Endpoint;
pub use fault::Fault;
pub use number::{number, number_if_any};
pub use pace::{Pace, Pacer};
pub use roots::{authorities, keep_authorities};
pub use send::{Bearer, Judge, Web};
pub use shared::open as open_shared;
pub use waits::{Reason, Waiting, Waits, spoken};
