//! Handlers as users write them: what the systems they replace did, requests and mails on real servers, the verbs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod doing;
mod kit;
mod mail;
mod requests;
mod seeds;
mod verbs;
