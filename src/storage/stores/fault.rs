//! What an error of opendal means, without its addresses and headers: they may hold signatures.

use std::error::Error as _;

use opendal::ErrorKind;

use super::transport::told_too_long;
use crate::web::Fault;

/// The fault that an error stands for.
pub(super) fn fault(error: &opendal::Error) -> Fault {
    let words = words(error);
    let says = |codes: &[&str]| codes.iter().any(|code| words.contains(code));
    if says(&["NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist"]) {
        return Fault::Setting("there is no such bucket or container; make it first".to_owned());
    }
    // The words of these have the name in them of what was asked for, which may be anything.
    match error.kind() {
        ErrorKind::NotFound => return Fault::NotFound,
        ErrorKind::AlreadyExists | ErrorKind::ConditionNotMatch | ErrorKind::Conflict => return Fault::Exists,
        ErrorKind::RateLimited => return Fault::Throttled(told_too_long(error)),
        _ => {}
    }
    if says(&[
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "InvalidToken",
        "AuthenticationFailed",
        "InvalidAuthenticationInfo",
        "no valid credential",
        "failed to load",
        "credential",
    ]) {
        return Fault::Login(format!("the service does not know who is asking: {words}"));
    }
    if says(&["QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "No space left"]) {
        return Fault::Full;
    }
    if says(&["EntityTooLarge"]) {
        return Fault::TooLarge(None);
    }
    if says(&["BadDigest", "InvalidDigest", "Md5Mismatch"]) {
        return Fault::Damaged(words);
    }
    match error.kind() {
        ErrorKind::PermissionDenied if status(error) == Some(401) => Fault::Login(words),
        ErrorKind::PermissionDenied => Fault::Forbidden(words),
        ErrorKind::ConfigInvalid | ErrorKind::Unsupported => Fault::Setting(words),
        _ if error.is_temporary() || error.is_persistent() || status(error).is_none_or(|status| status >= 500) => {
            Fault::Broken(words)
        }
        _ => Fault::refused(status(error).unwrap_or_default(), &words),
    }
}

/// The answer's status, which opendal tells in words only.
fn status(error: &opendal::Error) -> Option<u16> {
    let text = format!("{error:?}");
    let (_, rest) = text.split_once("status: ")?;
    rest.get(..3)?.parse().ok()
}

/// The service's own words and what caused them, cut; what looks like an address is left out.
fn words(error: &opendal::Error) -> String {
    let mut all = vec![error.message().to_owned()];
    let mut cause = error.source();
    while let Some(at) = cause {
        all.push(at.to_string());
        cause = at.source();
    }
    let text = all.join(": ");
    let clean = text.split_whitespace().map(|word| if word.contains("://") { "(address)" } else { word });
    clean.collect::<Vec<_>>().join(" ").chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_become_faults_and_addresses_are_left_out() {
        let of = |kind, message: &str| fault(&opendal::Error::new(kind, message));
        assert_eq!(of(ErrorKind::NotFound, "x"), Fault::NotFound);
        assert!(matches!(of(ErrorKind::NotFound, "S3Error { code: \"NoSuchBucket\" }"), Fault::Setting(_)));
        assert_eq!(of(ErrorKind::ConditionNotMatch, "x"), Fault::Exists);
        assert_eq!(of(ErrorKind::RateLimited, "SlowDown"), Fault::Throttled(None));
        assert!(matches!(of(ErrorKind::PermissionDenied, "code: SignatureDoesNotMatch"), Fault::Login(_)));
        assert!(matches!(of(ErrorKind::PermissionDenied, "code: AccessDenied"), Fault::Forbidden(_)));
        let told = of(ErrorKind::Unexpected, "send https://h/b?sig=s3cret failed").to_string();
        assert_eq!(told, "send (address) failed");
    }
}
