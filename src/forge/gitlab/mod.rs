//! gitlab.com and GitLab servers.
//!
//! A pull request is a merge request here, a comment a note, a workflow's run a pipeline. There are no check runs and no
//! workflows that are started by their file's name; what stands in their place is said in `does`.

use std::fmt;
use std::sync::Arc;

use reqwest::RequestBuilder;
use serde_json::Value;

use super::RepoId;
use super::rest::{Fixed, Rest, part};
use crate::secret::Secret;
use crate::web::{Answer, Fault, Judge, Reach};

mod does;
mod wire;

pub use wire::is_bot;

/// gitlab.com's.
pub const PUBLIC_API: &str = "https://gitlab.com/api/v4";

/// GitLab, for one account.
#[derive(Clone)]
pub struct GitLab {
    rest: Rest,
    /// What starts pipelines of a project, in place of the account.
    trigger: Option<Secret>,
}

impl fmt::Debug for GitLab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GitLab({})", self.rest.api)
    }
}

impl GitLab {
    /// Opens the API at `api` (`https://HOST/api/v4`). Asks nothing yet.
    ///
    /// # Errors
    /// When the address is none, or the network is set up in a way that cannot be.
    pub fn open(api: &str, token: Secret, reach: &Reach) -> Result<Self, Fault> {
        let fixed = Arc::new(Fixed(token, "GitLab"));
        Ok(Self { rest: Rest::open(api, Arc::new(Words), dressed, reach, |_, _| fixed)?, trigger: None })
    }

    /// The same, which starts pipelines by a project's trigger token where there is one: the account need not be allowed to.
    #[must_use]
    pub fn triggering(self, trigger: Option<Secret>) -> Self {
        Self { trigger, ..self }
    }

    /// Where people read a note.
    fn note_url(&self, repo: &RepoId, number: u64, note: u64) -> String {
        let api = self.rest.at("");
        let server = api.strip_suffix("/api/v4").unwrap_or(&api);
        format!("{server}/{repo}/-/merge_requests/{number}#note_{note}")
    }
}

fn dressed(request: RequestBuilder) -> RequestBuilder {
    request.header("accept", "application/json")
}

/// A project by its path, which is one part of an address.
fn project(repo: &RepoId) -> String {
    format!("/projects/{}", part(&repo.to_string()))
}

fn merge_request(repo: &RepoId, number: u64) -> String {
    format!("{}/merge_requests/{number}", project(repo))
}

/// What GitLab means by a refusal.
#[derive(Debug)]
struct Words;

impl Judge for Words {
    fn judge(&self, answer: &Answer) -> Fault {
        let value = answer.value();
        let words = match (&value["message"], &value["error_description"], &value["error"]) {
            (Value::String(words), _, _)
            | (Value::Null, Value::String(words), _)
            | (Value::Null, Value::Null, Value::String(words)) => words.clone(),
            // By member: {"body": ["is too long"]}.
            (Value::Null, _, _) => String::new(),
            (members, _, _) => members.to_string(),
        };
        match answer.status {
            // Of an emoji that is there already, GitLab says that it was not found.
            404 if words.contains("has already been taken") => Fault::Exists,
            409 => Fault::refused(409, &words),
            _ => answer.plain_fault(&words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, body: &'static str) -> Fault {
        let body = bytes::Bytes::from_static(body.as_bytes());
        Words.judge(&Answer { status, headers: http::HeaderMap::new(), body })
    }

    #[test]
    fn refusals_are_told_from_one_another() {
        let taken = r#"{"message": "404 Award Emoji Name has already been taken Not Found"}"#;
        assert_eq!(judged(404, taken), Fault::Exists);
        assert_eq!(judged(404, r#"{"message": "404 Project Not Found"}"#), Fault::NotFound);
        let long = judged(400, r#"{"message": {"note": ["is too long"]}}"#);
        assert!(long.to_string().contains("is too long"), "{long}");
        let scope =
            r#"{"error": "insufficient_scope", "error_description": "The request requires higher privileges."}"#;
        assert_eq!(judged(403, scope), Fault::Forbidden("The request requires higher privileges.".to_owned()));
        assert_eq!(judged(429, "Retry later\n"), Fault::Throttled(None));
    }

    #[test]
    fn nothing_prints_a_token_and_projects_are_one_part_of_an_address() {
        let token = Secret::new("t", b"glpat-token".to_vec());
        let gitlab = GitLab::open("https://git.acme.example/api/v4", token, &Reach::default()).unwrap();
        assert_eq!(format!("{gitlab:?}"), "GitLab(https://git.acme.example/api/v4)");
        let repo = super::super::Kind::GitLab.repo("acme/data/churn").unwrap();
        assert_eq!(project(&repo), "/projects/acme%2Fdata%2Fchurn");
        let url = "https://git.acme.example/acme/data/churn/-/merge_requests/7#note_9";
        assert_eq!(gitlab.note_url(&repo, 7, 9), url);
        for wrong in ["churn", "a//b", "../a/b", "a/b/..", "a/b c"] {
            assert!(super::super::Kind::GitLab.repo(wrong).is_err(), "{wrong}");
        }
        assert!(super::super::Kind::Gitea.repo("acme/data/churn").is_err());
    }
}
