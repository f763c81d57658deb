//! What Google means by an answer that is no success: a 403 may be about rates, room or permission.

use serde_json::Value;

use crate::web::{Answer, Fault, Judge};

const RATES: [&str; 3] = ["userRateLimitExceeded", "rateLimitExceeded", "sharingRateLimitExceeded"];
/// Counted by the day: asking again in a minute changes nothing.
const DAYS: [&str; 3] = ["dailyLimitExceeded", "dailyLimitExceededUnreg", "uploadLimitExceeded"];
const ROOM: [&str; 3] = ["storageQuotaExceeded", "quotaExceeded", "teamDriveFileLimitExceeded"];

/// Google's words for faults.
#[derive(Debug)]
pub(super) struct Words;

impl Judge for Words {
    fn judge(&self, answer: &Answer) -> Fault {
        let body = answer.value();
        let reason = reason(&body);
        let words = format!("{reason}: {}", body["error"]["message"].as_str().unwrap_or_default());
        match answer.status {
            403 | 429 if RATES.contains(&reason) => Fault::Throttled(answer.retry_after()),
            403 | 429 if DAYS.contains(&reason) => Fault::Spent(words),
            403 | 429 if ROOM.contains(&reason) => Fault::Full,
            400 | 403 | 413 if reason == "uploadTooLarge" => Fault::TooLarge(None),
            _ => answer.plain_fault(&words),
        }
    }
}

fn reason(body: &Value) -> &str {
    body["error"]["errors"][0]["reason"].as_str().or_else(|| body["error"]["status"].as_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, reason: &str) -> Fault {
        let body = serde_json::json!({"error": {"code": status, "message": "m", "errors": [{"reason": reason}]}});
        let headers = reqwest::header::HeaderMap::new();
        Words.judge(&Answer { status, headers, body: body.to_string().into() })
    }

    #[test]
    fn a_403_is_what_its_reason_says() {
        assert_eq!(judged(403, "userRateLimitExceeded"), Fault::Throttled(None));
        assert_eq!(judged(403, "rateLimitExceeded"), Fault::Throttled(None));
        for day in DAYS {
            assert!(matches!(judged(403, day), Fault::Spent(words) if words.starts_with(day)), "{day}");
        }
        assert_eq!(judged(403, "storageQuotaExceeded"), Fault::Full);
        assert_eq!(judged(403, "uploadTooLarge"), Fault::TooLarge(None));
        assert!(
            matches!(judged(403, "insufficientFilePermissions"), Fault::Forbidden(words) if words.contains("insuff"))
        );
    }

    #[test]
    fn other_statuses_mean_what_they_always_do() {
        assert_eq!(judged(404, "notFound"), Fault::NotFound);
        assert_eq!(judged(409, "fileIdInUse"), Fault::Exists);
        assert_eq!(judged(429, "rateLimitExceeded"), Fault::Throttled(None));
        assert!(matches!(judged(503, "backendError"), Fault::Broken(_)));
        assert!(matches!(judged(401, "authError"), Fault::Login(_)));
    }
}
