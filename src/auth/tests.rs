//! The issuer against answers that are written here, assertions against their key.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::assertion::Assertion;
use super::issuer::Refusals;
use super::*;
use crate::secret::Secret;
use crate::web::{Answer, Fault, Judge as _, Reach, client};

fn issuer(provider: Provider, base: &str) -> Issuer {
    let base = base.to_owned();
    let endpoints = Endpoints::of(provider, "it", |name| (name == "SOOPERVISOR_IT_BASE_URL").then(|| base.clone()));
    let app = App { id: "id".to_owned(), secret: Some(Secret::new("secret", b"s3cr3t-value".to_vec())) };
    Issuer::new(provider, "it", endpoints.unwrap(), client(&Reach::default()).unwrap(), app, |_| None)
}

/// Answers one connection each; gives back what was asked.
fn serve(answers: Vec<(u16, Value)>) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        let one = |(status, body): (u16, Value)| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = vec![0; 64 * 1024];
            let read = stream.read(&mut buffer).unwrap();
            let body = body.to_string();
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).unwrap();
            String::from_utf8_lossy(&buffer[..read]).into_owned()
        };
        answers.into_iter().map(one).collect()
    });
    (url, served)
}

#[tokio::test]
async fn a_pause_that_is_asked_for_where_tokens_come_from_is_kept_by_the_next_process_too() {
    let body = json!({"error": {"reason": {".tag": "too_many_requests"}, "retry_after": 600}});
    let (url, served) = serve(vec![(429, body)]);
    let folder = tempfile::tempdir().unwrap();
    let asked = async || {
        let mut issuer = issuer(Provider::Dropbox, &url);
        issuer.pace_in(folder.path());
        issuer.hurry = Some(Duration::from_secs(5));
        issuer.refresh(&Secret::new("refresh", b"r".to_vec())).await.unwrap_err()
    };
    let first = asked().await;
    served.join().unwrap();
    // Nothing here remembers it by now, and nobody is there who could be asked.
    for fault in [first, asked().await] {
        assert!(matches!(&fault, Fault::Throttled(Some(left)) if *left > Duration::from_mins(9)), "{fault:?}");
    }
}

#[tokio::test]
async fn slow_down_makes_the_pauses_longer_and_a_code_that_ended_says_so() {
    let begun = json!({"device_code": "d-code", "user_code": "U", "verification_url": "https://x", "expires_in": 900,
        "interval": 1});
    let granted = json!({"access_token": "a", "refresh_token": "r", "expires_in": 3600});
    let answers = vec![(200, begun.clone()), (403, json!({"error": "slow_down"})), (200, granted)];
    let (url, served) = serve(answers);
    let google = issuer(Provider::GoogleDrive, &url);
    let device = google.begin_device().await.unwrap();
    let from = Instant::now();
    assert!(google.wait_for_device(&device).await.unwrap().refresh.is_some());
    assert!(from.elapsed() >= Duration::from_secs(7), "{:?}", from.elapsed());
    assert!(served.join().unwrap()[0].contains("drive.file"));
    let (url, _) = serve(vec![(200, begun), (400, json!({"error": "expired_token"}))]);
    let microsoft = issuer(Provider::OneDrive, &url);
    let device = microsoft.begin_device().await.unwrap();
    let fault = microsoft.wait_for_device(&device).await.unwrap_err();
    assert!(matches!(&fault, Fault::Login(words) if words.contains("in time") && words.contains("auth login it")));
}

#[tokio::test]
async fn answers_may_name_the_page_twice_and_write_numbers_as_text() {
    let both = json!({"device_code": "d", "user_code": "U", "verification_uri": "https://a", "verification_url":
        "https://b", "expires_in": "900", "interval": "1"});
    let old = json!({"device_code": "d", "user_code": "U", "verification_url": "https://b"});
    let granted = json!({"access_token": "a", "refresh_token": "r", "expires_in": "3600",
        "refresh_token_expires_in": 60.0});
    let (url, _) = serve(vec![(200, both), (200, granted), (200, old), (200, json!({"device_code": "d"}))]);
    let google = issuer(Provider::GoogleDrive, &url);
    let device = google.begin_device().await.unwrap();
    assert_eq!((&*device.url, device.lasts), ("https://a", Duration::from_mins(15)));
    let grant = google.wait_for_device(&device).await.unwrap();
    assert_eq!((grant.expires_in, grant.refresh_expires_in), (Some(3600), Some(60)));
    let device = google.begin_device().await.unwrap();
    assert_eq!((&*device.url, device.lasts), ("https://b", Duration::from_mins(15)));
    assert!(matches!(google.begin_device().await, Err(Fault::Form(_))));
}

#[tokio::test]
async fn a_refusal_that_repeats_what_was_sent_does_not_tell_it() {
    let why = "the token once-only-token of s3cr3t-value is no good";
    let (url, _) = serve(vec![(400, json!({"error": "invalid_grant", "error_description": why}))]);
    let token = Secret::new("token", b"once-only-token".to_vec());
    let fault = issuer(Provider::Box, &url).refresh(&token).await.unwrap_err();
    assert!(super::issuer::is_over(&fault));
    let told = format!("{fault} {fault:?}");
    assert!(told.contains("*** of ***") && !told.contains("once-only") && !told.contains("s3cr3t"), "{told}");
}

#[test]
fn an_assertion_says_whom_it_speaks_for_and_is_signed_by_the_key() {
    use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA512, RsaKeyPair, UnparsedPublicKey};
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let der = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    let base = STANDARD.encode(der.as_ref());
    let lines: Vec<&str> = (0..base.len()).step_by(64).map(|at| &base[at..(at + 64).min(base.len())]).collect();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
    let config = json!({"boxAppSettings": {"clientID": "app", "clientSecret": "s", "appAuth": {"publicKeyID": "kid",
        "privateKey": pem, "passphrase": ""}}, "enterpriseID": "9"});
    let subject = Some(("user".to_owned(), "42".to_owned()));
    let assertion = Assertion::read("X", &config.to_string(), subject).unwrap();
    assert!(!format!("{assertion:?}").contains(&lines[1][..20]));
    let text = String::from_utf8(assertion.sign().unwrap().expose().to_vec()).unwrap();
    let (signed, signature) = text.rsplit_once('.').unwrap();
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA512, pair.public_key().as_ref());
    key.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let part = |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
    let (head, claims) = signed.split_once('.').unwrap();
    assert_eq!(part(head), json!({"alg": "RS512", "typ": "JWT", "kid": "kid"}));
    let claims = part(claims);
    assert_eq!(
        (&claims["sub"], &claims["box_sub_type"], &claims["iss"]),
        (&json!("42"), &json!("user"), &json!("app"))
    );
    let left = claims["exp"].as_i64().unwrap() - file::now();
    assert!((1..=60).contains(&left) && claims["jti"].as_str().unwrap().len() >= 16);
}

#[test]
fn what_a_vendor_does_not_repeat_stays_and_ends_are_warned_of() {
    let app = App { id: "id".to_owned(), secret: None };
    let grant = |refresh: Option<&str>| Grant {
        access: Secret::new("a", b"access".to_vec()),
        expires_in: Some(3600),
        refresh: refresh.map(|text| Secret::new("r", text.as_bytes().to_vec())),
        refresh_expires_in: None,
        scope: Some("s".to_owned()),
        account_id: None,
    };
    let first = Entry::new(Provider::Dropbox, &app, grant(Some("keep me")));
    let next = first.renewed(Provider::Dropbox, Grant { scope: None, ..grant(None) });
    assert_eq!(next.refresh.as_ref().unwrap().expose(), b"keep me");
    assert_eq!((next.scope.as_deref(), next.refresh_expires_at), (Some("s"), None));
    let of_box = Entry::new(Provider::Box, &app, grant(Some("old"))).renewed(Provider::Box, grant(Some("new")));
    assert_eq!(of_box.refresh.as_ref().unwrap().expose(), b"new");
    assert!(of_box.refresh_expires_at.unwrap() > file::now() + 59 * 24 * 3600);
    let packed = pack("box", &of_box).unwrap();
    let text = String::from_utf8_lossy(packed.expose()).into_owned();
    assert!(text.starts_with("SOOPERVISOR_TOKEN_BOX="));
    assert_eq!(unpack(Provider::Box, &text).unwrap().refresh.unwrap().expose(), b"new");
    for wrong in ["", "x", "SOOPERVISOR_TOKEN_BOX=hunter2"] {
        assert!(!unpack(Provider::Box, wrong).unwrap_err().to_string().contains("hunter2"));
    }
}

#[test]
fn an_api_that_asks_for_a_pause_is_understood_however_it_says_so() {
    let judged = |status, body: Value| {
        let headers = reqwest::header::HeaderMap::new();
        Refusals { hide: Vec::new() }.judge(&Answer { status, headers, body: body.to_string().into() })
    };
    let google = |reason| json!({"error": {"code": 403, "message": "m", "errors": [{"reason": reason}]}});
    for reason in ["userRateLimitExceeded", "rateLimitExceeded"] {
        assert_eq!(judged(403, google(reason)), Fault::Throttled(None), "{reason}");
    }
    let other = judged(403, google("accessNotConfigured"));
    assert_eq!(other, Fault::Forbidden("accessNotConfigured: m".to_owned()));
    let dropbox = json!({"error_summary": "too_many_requests/", "error": {"retry_after": 600}});
    assert_eq!(judged(429, dropbox), Fault::Throttled(Some(Duration::from_mins(10))));
    let ended = judged(401, json!({"error": {"code": "InvalidAuthenticationToken", "message": "over"}}));
    assert!(matches!(&ended, Fault::Login(words) if words.ends_with("InvalidAuthenticationToken: over")), "{ended}");
    assert_eq!(judged(403, json!({})), Fault::Forbidden("it gives no reason".to_owned()));
}
