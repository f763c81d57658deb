//! Requests to web services: one client, paced, retried, with typed faults that hold no credentials.
//!
//! Knows HTTP and nothing of any service: what an answer means is the caller's to say ([`Judge`]). Addresses that
//! a server hands out may be credentials themselves, so no address and no header is ever part of a fault.

mod client;
mod endpoint;
mod fault;
mod pace;
mod send;
#[cfg(test)]
mod tests;

pub use client::{Reach, client, client_for_files};
pub use endpoint::Endpoint;
pub use fault::Fault;
pub use pace::{Pace, Pacer};
pub use send::{Answer, Bearer, Judge, Web, chunk};
