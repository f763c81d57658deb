//! What GitHub and those that took over its API (Gitea, Forgejo) ask for with the same paths and words: comments,
//! reactions, statuses.
//!
//! `at` is the repository's own path everywhere, without a slash at its end.

use http::Method;
use serde_json::json;

use super::github::wire::Written;
use super::rest::{Rest, cut};
use super::{Comment, CommitStatus, Reaction, StatusState};
use crate::id::CommitSha;
use crate::web::Fault;

pub(super) async fn add_comment(rest: &Rest, at: &str, number: u64, body: &str) -> Result<Comment, Fault> {
    let path = format!("{at}/issues/{number}/comments");
    let answer = rest.change(Method::POST, &path, &json!({ "body": body }), true).await?;
    Ok(answer.json::<Written>()?.into())
}

pub(super) async fn edit_comment(rest: &Rest, at: &str, comment: u64, body: &str) -> Result<Comment, Fault> {
    let path = format!("{at}/issues/comments/{comment}");
    let answer = rest.change(Method::PATCH, &path, &json!({ "body": body }), false).await?;
    Ok(answer.json::<Written>()?.into())
}

pub(super) async fn react(rest: &Rest, at: &str, comment: u64, reaction: Reaction) -> Result<(), Fault> {
    let content = match reaction {
        Reaction::Eyes => "eyes",
        Reaction::Rocket => "rocket",
        Reaction::PlusOne => "+1",
        Reaction::MinusOne => "-1",
        Reaction::Confused => "confused",
    };
    let path = format!("{at}/issues/comments/{comment}/reactions");
    rest.change(Method::POST, &path, &json!({ "content": content }), false).await.map(drop)
}

/// The description is cut to `longest` characters.
pub(super) async fn set_status(
    rest: &Rest,
    at: &str,
    commit: &CommitSha,
    status: &CommitStatus,
    longest: usize,
) -> Result<(), Fault> {
    let state = match status.state {
        StatusState::Pending => "pending",
        StatusState::Success => "success",
        StatusState::Failure => "failure",
        StatusState::Error => "error",
    };
    let mut body = json!({
        "state": state, "context": status.context, "description": cut(&status.description, longest),
    });
    if let Some(url) = &status.target_url {
        body["target_url"] = json!(url);
    }
    rest.change(Method::POST, &format!("{at}/statuses/{commit}"), &body, false).await.map(drop)
}
