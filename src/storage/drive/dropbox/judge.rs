//! What Dropbox's refusals mean: a chain of tags, of which the summary is the short form.

use std::time::Duration;

use crate::auth::lacking;
use crate::web::{Answer, Fault, Judge, LONGEST_WAIT};

/// Dropbox's tags, by which it says more than by statuses.
#[derive(Debug)]
pub(super) struct DropboxJudge;

/// The tags of an error, outermost first: `["path", "conflict", "file"]`.
pub(super) fn tags(error: &serde_json::Value) -> Vec<String> {
    let mut tags = Vec::new();
    let mut at = error;
    while let Some(tag) = at[".tag"].as_str().or_else(|| at.as_str()) {
        tags.push(tag.to_owned());
        // What an error is about stands under its tag; an upload's calls it `reason`.
        at = match (&at[tag], &at["reason"]) {
            (inner, _) if !inner.is_null() => inner,
            (_, reason) => reason,
        };
    }
    tags
}

/// The fault of an error, by its innermost tag that means something.
pub(super) fn meaning(status: u16, error: &serde_json::Value) -> Fault {
    let tags = tags(error);
    let words = tags.join("/");
    for tag in tags.iter().rev() {
        return match tag.as_str() {
            "not_found" => Fault::NotFound,
            "conflict" => Fault::Exists,
            "insufficient_space" | "insufficient_quota" => Fault::Full,
            "payload_too_large" | "too_large" => Fault::TooLarge(None),
            "too_many_write_operations" | "too_many_requests" => Fault::Throttled(None),
            "no_write_permission" | "team_folder" | "missing_scope" | "access_denied" => Fault::Forbidden(words),
            "content_hash_mismatch" => Fault::Broken("what arrived is not what was sent".to_owned()),
            "internal_error" => Fault::Broken(words),
            "disallowed_name" | "malformed_path" => {
                Fault::refused(status, &format!("{words} (Dropbox does not take this name: rename the output)"))
            }
            _ => continue,
        };
    }
    Fault::refused(status, &words)
}

impl Judge for DropboxJudge {
    fn judge(&self, answer: &Answer) -> Fault {
        let value = answer.value();
        let (error, summary) = (&value["error"], value["error_summary"].as_str().unwrap_or_default());
        // What is no JSON is a sentence: which argument was wrong.
        let plain = String::from_utf8_lossy(&answer.body);
        let words = if summary.is_empty() { &*plain } else { summary };
        if let Some(fault) = lacking(answer) {
            return fault;
        }
        match answer.status {
            409 => meaning(409, error),
            429 => {
                let told = error["retry_after"].as_u64().map(|told| Duration::from_secs(told).min(LONGEST_WAIT));
                Fault::Throttled(answer.retry_after().or(told))
            }
            _ => answer.plain_fault(words),
        }
    }

    fn is_stale(&self, answer: &Answer) -> bool {
        answer.status == 401 && lacking(answer).is_none()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use reqwest::header::HeaderMap;
    use serde_json::{Value, json};

    use super::*;

    fn judged(status: u16, body: &Value) -> Fault {
        DropboxJudge.judge(&Answer { status, headers: HeaderMap::new(), body: Bytes::from(body.to_string()) })
    }

    #[test]
    fn the_innermost_tag_that_means_something_decides() {
        let of = |error: Value| judged(409, &json!({"error_summary": "…", "error": error}));
        let write = |tag: &str| json!({".tag": "path", "reason": {".tag": tag}});
        let conflict = json!({".tag": "path", "reason": {".tag": "conflict", "conflict": {".tag": "file"}}});
        assert_eq!(of(conflict), Fault::Exists);
        assert_eq!(of(json!({".tag": "path", "path": {".tag": "not_found"}})), Fault::NotFound);
        assert_eq!(of(json!({".tag": "to", "to": {".tag": "insufficient_space"}})), Fault::Full);
        assert_eq!(of(write("insufficient_space")), Fault::Full);
        assert_eq!(of(write("too_many_write_operations")), Fault::Throttled(None));
        assert!(of(write("disallowed_name")).to_string().contains("path/disallowed_name"));
        assert!(matches!(of(write("no_write_permission")), Fault::Forbidden(_)));
    }

    #[test]
    fn throttling_names_the_time_in_a_header_or_in_words() {
        let body = json!({"error": {"reason": {".tag": "too_many_requests"}, "retry_after": 300}});
        assert_eq!(judged(429, &body), Fault::Throttled(Some(Duration::from_mins(5))));
        assert_eq!(judged(429, &json!({})), Fault::Throttled(None));
        let hours = json!({"error": {"reason": {".tag": "too_many_requests"}, "retry_after": 7200}});
        assert_eq!(judged(429, &hours), Fault::Throttled(Some(Duration::from_hours(2))));
        assert!(judged(503, &Value::Null).is_passing());
        let scope = json!({"error_summary": "missing_scope/.", "error": {".tag": "missing_scope", "required_scope": "files.content.write"}});
        assert!(judged(401, &scope).to_string().contains("files.content.write"));
        let is_stale = |body: &Value| {
            let body = Bytes::from(body.to_string());
            DropboxJudge.is_stale(&Answer { status: 401, headers: HeaderMap::new(), body })
        };
        assert!(!is_stale(&scope), "another token of the same app lacks it too");
        assert!(is_stale(&json!({"error_summary": "expired_access_token/."})));
    }
}
