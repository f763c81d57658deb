//! What a login was never allowed to do: no other token of the same login may either.

use crate::web::{Answer, Fault};

/// What Dropbox means by a 401 that is about permissions of the app and not about the token; `None` for all else.
pub fn lacking(answer: &Answer) -> Option<Fault> {
    if answer.status != 401 {
        return None;
    }
    let body = answer.value();
    let error = &body["error"];
    let summary = body["error_summary"].as_str().unwrap_or_default();
    if error[".tag"].as_str() != Some("missing_scope") && !summary.contains("missing_scope") {
        return None;
    }
    let scope = error["required_scope"].as_str().unwrap_or("another scope");
    Some(Fault::Forbidden(format!(
        "the app lacks `{scope}`: allow it in Dropbox's app console (Permissions), then log in again or take a new token; \
         those that were issued before go without it"
    )))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;
    use crate::auth::issuer::Refusals;
    use crate::web::Judge as _;

    fn answer(status: u16, body: &'static str) -> Answer {
        Answer { status, headers: HeaderMap::new(), body: body.into() }
    }

    #[test]
    fn a_permission_that_is_missing_is_no_token_that_has_ended() {
        let refusals = Refusals { hide: Vec::new() };
        let lacks = r#"{"error_summary": "missing_scope/.", "error": {".tag": "missing_scope",
                        "required_scope": "account_info.read"}}"#;
        let told = refusals.judge(&answer(401, lacks));
        assert!(matches!(&told, Fault::Forbidden(words) if words.contains("account_info.read")), "{told}");
        assert!(!refusals.is_stale(&answer(401, lacks)), "nothing is renewed for it");
        let ended = r#"{"error_summary": "expired_access_token/..", "error": {".tag": "expired_access_token"}}"#;
        assert!(refusals.is_stale(&answer(401, ended)) && lacking(&answer(401, ended)).is_none());
        assert_eq!((lacking(&answer(401, "")), lacking(&answer(409, lacks))), (None, None));
    }
}
