//! Gitea and Forgejo.
//!
//! Their API is GitHub's in many places, and its JSON is read by the same types there. There are no check runs and no events
//! for workflows (`repository_dispatch`). What a user may do is told to administrators of the repository only.

use std::fmt;
use std::sync::Arc;

use reqwest::RequestBuilder;

use super::RepoId;
use super::rest::{Fixed, Rest};
use crate::secret::Secret;
use crate::web::{Answer, Fault, Judge, Reach};

mod does;
mod wire;

/// Gitea or Forgejo, for one account.
#[derive(Clone)]
pub struct Gitea {
    rest: Rest,
}

impl fmt::Debug for Gitea {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gitea({})", self.rest.api)
    }
}

impl Gitea {
    /// Opens the API at `api` (`https://HOST/api/v1`). Asks nothing yet.
    ///
    /// # Errors
    /// When the address is none, or the network is set up in a way that cannot be.
    pub fn open(api: &str, token: Secret, reach: &Reach) -> Result<Self, Fault> {
        let fixed = Arc::new(Fixed(token, "Gitea"));
        Ok(Self { rest: Rest::open(api, Arc::new(Words), dressed, reach, |_, _| fixed)? })
    }
}

fn dressed(request: RequestBuilder) -> RequestBuilder {
    request.header("accept", "application/json")
}

fn repo(repo: &RepoId) -> String {
    format!("/repos/{repo}")
}

/// What Gitea means by a refusal.
#[derive(Debug)]
struct Words;

impl Judge for Words {
    fn judge(&self, answer: &Answer) -> Fault {
        let value = answer.value();
        let words = value["message"].as_str().unwrap_or_default();
        match answer.status {
            409 | 412 => Fault::refused(answer.status, words),
            _ => answer.plain_fault(words),
        }
    }
}
