//! Secret values: where they come from, and a type that cannot print them.
//!
//! This room never masks (that is `logs::mask`) and never decides which secrets a run gets.

use std::fmt;

use secrecy::{ExposeSecret, SecretSlice};

mod error;
mod source;
mod spec;
#[cfg(test)]
mod tests;
mod url;
mod withheld;

pub use error::SecretError;
pub use source::{EnvVar, SecretFile, Source};
pub use spec::{Origin, SecretSpec, resolve};
pub(crate) use url::is_telling;
pub use withheld::{withhold, withhold_clouds, withhold_too};

/// Hiding less would shred the log.
const SHORTEST: usize = 4;
/// Shorter ones are hidden, and will hide innocent text too.
const COMFORTABLE: usize = 8;

/// A name and a value that only a few places may look at.
#[derive(Clone)]
pub struct Secret {
    name: String,
    value: SecretSlice<u8>,
}

impl Secret {
    /// Takes a value; the name is shown to people, the value never.
    pub fn new(name: impl Into<String>, value: Vec<u8>) -> Self {
        Self { name: name.into(), value: value.into() }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value: for `logs::mask`, the engine at exec time, and client credentials only.
    pub fn expose(&self) -> &[u8] {
        self.value.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.name)
    }
}

/// Every secret of one run. `env` ones reach the pipeline's environment; `mask_only` ones are hidden, not handed over.
#[derive(Debug, Clone, Default)]
pub struct SecretSet {
    /// Given to the pipeline as environment variables, and masked.
    pub env: Vec<Secret>,
    /// Only masked: storage credentials, tokens in URLs, proxy passwords.
    pub mask_only: Vec<Secret>,
}

impl SecretSet {
    /// Reads every secret that was asked for; one name only once.
    ///
    /// # Errors
    /// The first that is missing, unreadable, empty, too short, or given twice.
    pub fn resolve(specs: &[SecretSpec]) -> Result<Self, SecretError> {
        let mut set = Self::default();
        for spec in specs {
            if set.env.iter().any(|known| known.name() == spec.name) {
                return Err(SecretError::Twice { name: spec.name.clone() });
            }
            set.env.push(spec.resolve()?);
        }
        Ok(set)
    }

    /// Names of secrets so short (4 to 7 bytes) that hiding them will hide other text too: worth a warning.
    pub fn short(&self) -> Vec<&str> {
        self.env.iter().filter(|secret| secret.expose().len() < COMFORTABLE).map(Secret::name).collect()
    }

    /// Hides a value that the pipeline does not get. Left out where it is known already, too short, or a plain word
    /// or number that every log holds.
    pub fn hide(&mut self, name: impl Into<String>, value: &[u8]) {
        let known = self.env.iter().chain(&self.mask_only).any(|secret| secret.expose() == value);
        if !known && is_tellable(value) {
            self.mask_only.push(Secret::new(name, value.to_vec()));
        }
    }

    /// Hides the passwords and tokens of all addresses in `text`: a remote, a proxy, a package index.
    pub fn hide_in_urls(&mut self, name: &str, text: &str) {
        for value in url::credentials(text) {
            self.hide(name, &value);
        }
    }
}

/// Whether hiding it implicitly hides a secret rather than the log.
fn is_tellable(value: &[u8]) -> bool {
    const WORDS: [&[u8]; 8] = [b"true", b"false", b"none", b"null", b"undefined", b"token", b"password", b"git"];
    let value = value.trim_ascii();
    let number = value.len() < 6 && value.iter().all(u8::is_ascii_digit);
    value.len() >= SHORTEST && !number && !WORDS.contains(&&value.to_ascii_lowercase()[..])
}
