//! What Graph means by an answer that is no success.

use serde_json::Value;

use crate::web::{Answer, Fault, Judge};

/// Graph's words for faults.
#[derive(Debug)]
pub(super) struct Words;

impl Judge for Words {
    fn judge(&self, answer: &Answer) -> Fault {
        let body = answer.value();
        let (codes, message) = codes(&body);
        let has = |wanted: &[&str]| codes.iter().any(|code| wanted.iter().any(|one| one.eq_ignore_ascii_case(code)));
        let words = format!("{}: {message}", codes.first().copied().unwrap_or_default());
        if has(&["quotaLimitReached", "insufficientStorage"]) {
            return Fault::Full;
        }
        if has(&["nameAlreadyExists"]) {
            return Fault::Exists;
        }
        if has(&["activityLimitReached", "tooManyRequests", "TooManyRequests"]) || answer.status == 509 {
            return Fault::Throttled(answer.retry_after());
        }
        if has(&["maxFileSizeExceeded", "fileTooLarge"]) {
            return Fault::TooLarge(None);
        }
        match answer.status {
            // Somebody has it open; that passes.
            423 => Fault::Broken(format!("the service answered 423: {words}")),
            404 | 410 => Fault::NotFound,
            // A conflict that is not about the name passes.
            409 if !codes.is_empty() => Fault::Broken(format!("the service answered 409: {words}")),
            _ => answer.plain_fault(&words),
        }
    }
}

/// The code, those that explain it further, and the message.
fn codes(body: &Value) -> (Vec<&str>, &str) {
    let mut codes = Vec::new();
    let mut at = &body["error"];
    let message = at["message"].as_str().unwrap_or_default();
    while let (Some(code), true) = (at["code"].as_str(), codes.len() < 8) {
        codes.push(code);
        at = at.get("innererror").or_else(|| at.get("innerError")).unwrap_or(&Value::Null);
    }
    (codes, message)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn judged(status: u16, body: &str, after: Option<&str>) -> Fault {
        let mut headers = reqwest::header::HeaderMap::new();
        if let Some(after) = after {
            headers.insert("retry-after", after.parse().unwrap());
        }
        Words.judge(&Answer { status, headers, body: bytes::Bytes::copy_from_slice(body.as_bytes()) })
    }

    #[test]
    fn codes_say_more_than_the_status() {
        let error = |code: &str| format!(r#"{{"error": {{"code": "{code}", "message": "m"}}}}"#);
        assert_eq!(judged(507, &error("quotaLimitReached"), None), Fault::Full);
        assert_eq!(judged(403, &error("quotaLimitReached"), None), Fault::Full);
        assert_eq!(judged(507, "", None), Fault::Full);
        assert_eq!(judged(409, &error("nameAlreadyExists"), None), Fault::Exists);
        assert!(judged(409, &error("resourceModified"), None).is_passing());
        assert_eq!(judged(404, &error("itemNotFound"), None), Fault::NotFound);
        let three = Some(Duration::from_secs(3));
        assert_eq!(judged(403, &error("activityLimitReached"), Some("3")), Fault::Throttled(three));
        assert_eq!(judged(503, &error("serviceNotAvailable"), Some("3")), Fault::Throttled(three));
        assert!(matches!(judged(503, &error("serviceNotAvailable"), None), Fault::Broken(_)));
        assert!(
            matches!(judged(403, &error("accessDenied"), None), Fault::Forbidden(words) if words.contains("accessDenied"))
        );
        assert!(matches!(judged(401, &error("InvalidAuthenticationToken"), None), Fault::Login(_)));
        assert!(matches!(judged(416, &error("invalidRange"), None), Fault::Refused { status: 416, .. }));
    }

    #[test]
    fn the_inner_code_counts_too() {
        let body =
            r#"{"error": {"code": "accessDenied", "message": "m", "innererror": {"code": "quotaLimitReached"}}}"#;
        assert_eq!(judged(403, body, None), Fault::Full);
    }
}
