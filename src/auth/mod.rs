//! Who may use a drive: logging in, keeping tokens, renewing them.
//!
//! Values are secrets from the moment they arrive: they go into requests and into one file of the user's own, never into
//! words. What a drive stores and how is [`crate::storage`]'s.

mod app;
mod assertion;
mod blob;
mod consent;
mod device;
mod dumps;
mod file;
mod issuer;
mod keyring;
mod login;
mod loopback;
mod provider;
mod scope;
mod sign_in;
mod source;
#[cfg(test)]
mod tests;
mod vendor;
mod who;

pub use app::App;
pub use blob::{pack, unpack};
pub use consent::Consent;
pub use device::Device;
pub use dumps::keep_from_dumps;
pub use file::{Entry, Guard, TokenFile};
pub use issuer::{Grant, Issuer};
pub use keyring::VARIABLE as HELPER;
pub use login::Login;
pub use loopback::Loopback;
pub use provider::{Endpoints, Provider, variable};
pub use scope::lacking;
pub use sign_in::{SignIn, forget};
pub use source::Source;
pub use vendor::Way;
pub use who::Account;
