//! What is decided without a server.

use super::super::rest::{next_of, part, parts};
use super::*;
use crate::secret::Secret;

fn github(api: &str) -> GitHub {
    let token = Login::Token(Secret::new("token", b"ghp_token".to_vec()));
    GitHub::open(api, token, &Reach::default()).unwrap()
}

fn answer(status: u16, headers: &[(&'static str, &str)], body: &'static str) -> Answer {
    let headers = headers.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
    Answer { status, headers: headers.collect(), body: bytes::Bytes::from_static(body.as_bytes()) }
}

#[test]
fn the_next_page_is_asked_below_our_own_base_or_not_at_all() {
    for (api, next, path) in [
        ("https://api.github.com", "https://api.github.com/x?page=2", Some("/x?page=2")),
        ("https://ghe.example.org/api/v3", "https://ghe.example.org/api/v3/x?page=2", Some("/x?page=2")),
        ("https://ghe.example.org/api/v3", "https://ghe.example.org/x?page=2", None),
        ("https://ghe.example.org/api/v3", "https://ghe.example.org/api/v33/x", None),
        ("https://ghe.example.org/api/v3", "http://ghe.example.org/api/v3/x", None),
        ("https://ghe.example.org/api/v3", "https://evil.example.org/api/v3/x", None),
        ("https://ghe.example.org/api/v3", "//evil.example.org/api/v3/x", None),
        ("https://ghe.example.org/api/v3", "https://ghe.example.org/api/v3/../../y", None),
    ] {
        assert_eq!(github(api).rest.below(next).ok().as_deref(), path, "{next} below {api}");
    }
}

#[test]
fn links_name_the_next_page() {
    let link =
        "<https://h/a?page=1>; rel=\"prev\", <https://h/a?page=3>; rel=\"next\", <https://h/a?page=9>; rel=\"last\"";
    assert_eq!(next_of(link).as_deref(), Some("https://h/a?page=3"));
    assert_eq!(next_of("<https://h/a?page=1>; rel=\"first\""), None);
    assert_eq!(next_of("nonsense, <x"), None);
}

#[test]
fn limits_are_told_from_refusals() {
    let judge = |answer: Answer| Words.judge(&answer);
    let spent = [
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "1000000090"),
        ("date", "Sun, 09 Sep 2001 01:46:40 GMT"),
    ];
    assert_eq!(judge(answer(403, &spent, "{}")), Fault::Throttled(Some(Duration::from_secs(90))));
    let secondary = r#"{"message": "You have exceeded a secondary rate limit."}"#;
    assert_eq!(judge(answer(403, &[], secondary)), Fault::Throttled(Some(Duration::from_mins(1))));
    assert_eq!(judge(answer(403, &[("retry-after", "7")], "{}")), Fault::Throttled(Some(Duration::from_secs(7))));
    assert_eq!(judge(answer(429, &[("retry-after", "7")], "{}")), Fault::Throttled(Some(Duration::from_secs(7))));
    let not_ours = r#"{"message": "Resource not accessible by integration"}"#;
    assert_eq!(
        judge(answer(403, &[], not_ours)),
        Fault::Forbidden("Resource not accessible by integration".to_owned())
    );
    let invalid = r#"{"message": "Validation Failed", "errors": [{"code": "custom", "message": "body is too long"}]}"#;
    assert!(judge(answer(422, &[], invalid)).to_string().contains("Validation Failed: body is too long"));
}

#[test]
fn graphql_is_beside_the_api() {
    for (api, graphql) in [
        ("https://api.github.com", "https://api.github.com/graphql"),
        ("https://ghe.example.org/api/v3", "https://ghe.example.org/api/graphql"),
        ("https://api.octo.ghe.com", "https://api.octo.ghe.com/graphql"),
    ] {
        assert_eq!(github(api).graphql(), graphql);
    }
}

#[test]
fn parts_of_paths_are_escaped() {
    assert_eq!(parts("feature/ü x?#"), "feature/%C3%BC%20x%3F%23");
    assert_eq!(part("refs/heads/a"), "refs%2Fheads%2Fa");
}

#[test]
fn nothing_prints_a_token() {
    assert!(
        !format!("{:?} {:?}", github(PUBLIC_API), Login::Token(Secret::new("t", b"ghp_token".to_vec())))
            .contains("ghp_")
    );
}
