//! Who may use a drive: logging in, keeping tokens, renewing them.
//!
//! Values are secrets from the moment they arrive: they go into requests and into one file of the user's own, never into
//! words. What a drive stores and how is [`crate::storage`]'s.

mod provider;

pub use provider::{Endpoints, Provider, variable};
