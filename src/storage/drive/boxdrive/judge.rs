//! What Box's refusals mean.

use serde_json::Value;

use crate::web::{Answer, Fault, Judge};

/// Box's own codes, by which it says more than by statuses.
#[derive(Debug)]
pub(super) struct BoxJudge;

/// The code of a refusal.
pub(super) fn code(answer: &Answer) -> String {
    answer.value()["code"].as_str().unwrap_or_default().to_owned()
}

/// Code and message, as far as there are any.
fn words(value: &Value) -> String {
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    match (text("code"), text("message")) {
        // Tokens are refused in another form.
        (code, message) if code.is_empty() && message.is_empty() => text("error_description"),
        (code, message) => format!("{code}: {message}"),
    }
}

impl Judge for BoxJudge {
    fn judge(&self, answer: &Answer) -> Fault {
        let value = answer.value();
        let words = words(&value);
        match (answer.status, value["code"].as_str().unwrap_or_default()) {
            (_, "storage_limit_exceeded") => Fault::Full,
            (_, "file_size_limit_exceeded") => Fault::TooLarge(None),
            (_, "rate_limit_exceeded") => Fault::Throttled(answer.retry_after()),
            (_, "item_name_in_use") => Fault::Exists,
            (_, "bad_digest") => Fault::Damaged(words),
            // Another request of ours reserved the name, or a folder is being moved or removed: soon over.
            (_, "name_temporarily_reserved" | "operation_blocked_temporary") => Fault::Broken(words),
            (400, "item_name_invalid" | "item_name_too_long") => {
                Fault::refused(400, &format!("{words} (Box does not take this name: rename the output)"))
            }
            // Nothing of ours is conditional: a part did not arrive as it was sent.
            (412, _) => Fault::Broken(format!("a part did not arrive whole: {words}")),
            _ => answer.plain_fault(&words),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use reqwest::header::HeaderMap;

    use super::*;

    fn judged(status: u16, code: &str) -> Fault {
        let body = Bytes::from(format!(r#"{{"type":"error","status":{status},"code":"{code}","message":"m"}}"#));
        BoxJudge.judge(&Answer { status, headers: HeaderMap::new(), body })
    }

    #[test]
    fn codes_say_more_than_statuses() {
        assert_eq!(judged(403, "storage_limit_exceeded"), Fault::Full);
        assert_eq!(
            judged(403, "access_denied_insufficient_permissions").to_string().split(':').next(),
            Some("not allowed")
        );
        assert_eq!(judged(413, "file_size_limit_exceeded"), Fault::TooLarge(None));
        assert_eq!(judged(409, "item_name_in_use"), Fault::Exists);
        assert_eq!(judged(404, "not_found"), Fault::NotFound);
        assert!(judged(409, "name_temporarily_reserved").is_passing());
        assert!(judged(412, "precondition_failed").is_passing());
        assert!(judged(503, "unavailable").is_passing());
        assert!(!judged(400, "item_name_invalid").is_passing());
        assert!(matches!(judged(401, "unauthorized"), Fault::Login(_)));
        assert!(matches!(judged(400, "bad_digest"), Fault::Damaged(_)));
    }
}
