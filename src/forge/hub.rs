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
use crate::web::{Answer, Fault};

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
    put_reaction(rest, at, comment, reaction).await.map(drop)
}

/// The answer says what stands there.
pub(super) async fn put_reaction(rest: &Rest, at: &str, comment: u64, reaction: Reaction) -> Result<Answer, Fault> {
    let path = format!("{at}/issues/comments/{comment}/reactions");
    rest.change(Method::POST, &path, &json!({ "content": content(reaction) }), false).await
}

fn content(reaction: Reaction) -> &'static str {
    match reaction {
        Reaction::Eyes => "eyes",
        Reaction::Rocket => "rocket",
        Reaction::PlusOne => "+1",
        Reaction::MinusOne => "-1",
        Reaction::Confused => "confused",
    }
}

/// The face that is called so, if it is one of those that we give.
pub(super) fn reaction(content: &str) -> Option<Reaction> {
    let all = [Reaction::Eyes, Reaction::Rocket, Reaction::PlusOne, Reaction::MinusOne, Reaction::Confused];
    all.into_iter().find(|reaction| self::content(*reaction) == content)
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
    rest.tell(Method::POST, &format!("{at}/statuses/{commit}"), &body, false).await.map(drop)
}
