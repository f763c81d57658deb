//! The ways to a token, each with what it refuses.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::fake::Drive;
use crate::kit::{Kit, told};

async fn post(kit: &Kit, path: &str, fields: &[(&str, &str)]) -> (u16, Value) {
    told(kit.client.post(format!("{}{path}", kit.fake.base(kit.drive))).form(fields)).await
}

#[tokio::test]
async fn a_code_is_bound_to_its_verifier_and_works_once() {
    let kit = Kit::new(Drive::Dropbox).await;
    let verifier = "v".repeat(43);
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
    let consent = format!(
        "/oauth2/authorize?response_type=code&client_id=id&code_challenge={challenge}&code_challenge_method=S256"
    );
    let wrong = told(kit.ask("GET", &consent)).await.1.as_str().unwrap().to_owned();
    let code = told(kit.ask("GET", &consent)).await.1.as_str().unwrap().to_owned();
    let fields = |code: &str, verifier: &str| {
        [("grant_type", "authorization_code"), ("client_id", "id"), ("code", code), ("code_verifier", verifier)]
            .map(|(name, value)| (name, value.to_owned()))
    };
    let send = |fields: [(&'static str, String); 4]| {
        told(kit.client.post(format!("{}/oauth2/token", kit.fake.base(Drive::Dropbox))).form(&fields))
    };
    assert_eq!(send(fields(&wrong, &"w".repeat(43))).await.0, 400);
    let (status, granted) = send(fields(&code, &verifier)).await;
    assert_eq!(status, 200, "{granted}");
    assert!(granted["refresh_token"].is_string());
    assert_eq!(send(fields(&code, &verifier)).await.0, 400);
}

#[tokio::test]
async fn a_browser_is_sent_back_with_code_and_state() {
    let kit = Kit::new(Drive::Box).await;
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let query = "response_type=code&client_id=id&state=s&redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2F";
    let answer =
        client.get(format!("{}/api/oauth2/authorize?{query}", kit.fake.base(Drive::Box))).send().await.unwrap();
    let back = url::Url::parse(answer.headers()["location"].to_str().unwrap()).unwrap();
    let code = back.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    assert!(back.query().unwrap().ends_with("state=s"));
    let mut fields = vec![("grant_type", "authorization_code"), ("client_id", "id"), ("code", code.as_str())];
    fields.push(("redirect_uri", "http://127.0.0.1:1/"));
    assert_eq!(post(&kit, "/oauth2/token", &fields).await.0, 401);
    fields.push(("client_secret", "secret"));
    assert_eq!(post(&kit, "/oauth2/token", &fields).await.0, 200);
}

#[tokio::test]
async fn a_browser_is_sent_to_registered_addresses_of_this_machine_only_and_a_refusal_comes_with_its_state() {
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest("v".repeat(43)));
    for (drive, page, scope, good, bad) in [
        (
            Drive::OneDrive,
            "/common/oauth2/v2.0/authorize",
            "Files.ReadWrite%20offline_access",
            &["http://localhost:1", "http://localhost:65535"][..],
            &["http://127.0.0.1:1", "http://localhost:1/here", "https://localhost:1", "http://example.com"][..],
        ),
        (
            Drive::GDrive,
            "/o/oauth2/v2/auth",
            "https://www.googleapis.com/auth/drive.file",
            &["http://127.0.0.1:1/", "http://[::1]:2", "http://localhost:3/"],
            &["https://127.0.0.1:1/", "http://example.com/", "urn:ietf:wg:oauth:2.0:oob"],
        ),
    ] {
        let kit = Kit::new(drive).await;
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let base = format!(
            "{}{page}?response_type=code&client_id=id&state=s&scope={scope}&code_challenge={challenge}&\
             code_challenge_method=S256",
            kit.fake.base(drive)
        );
        let open = |redirect: &str| client.get(format!("{base}&redirect_uri={redirect}")).send();
        for redirect in good {
            assert_eq!(open(redirect).await.unwrap().status(), 302, "{redirect}");
        }
        for redirect in bad {
            assert_eq!(open(redirect).await.unwrap().status(), 400, "{redirect}");
        }
        assert_eq!(client.get(&base).send().await.unwrap().status(), 400, "there is no code to paste");
        kit.fake.refuse_consent(drive);
        let refused = open(good[0]).await.unwrap();
        let back = url::Url::parse(refused.headers()["location"].to_str().unwrap()).unwrap();
        let query: Vec<(String, String)> = back.query_pairs().into_owned().collect();
        let has = |name: &str, value: &str| query.iter().any(|(key, told)| key == name && told == value);
        assert!(has("error", "access_denied") && has("state", "s") && !query.iter().any(|(key, _)| key == "code"));
    }
}

async fn device(kit: &Kit, begin: &str, token: &str, scope: &str, pending: u16) {
    let (status, begun) = post(kit, begin, &[("client_id", "id"), ("scope", scope)]).await;
    assert_eq!(status, 200, "{begun}");
    let code = begun["device_code"].as_str().unwrap();
    let grant = "urn:ietf:params:oauth:grant-type:device_code";
    let fields = [("grant_type", grant), ("client_id", "id"), ("client_secret", "s"), ("device_code", code)];
    let (status, told) = post(kit, token, &fields).await;
    assert_eq!((status, &told["error"]), (pending, &json!("authorization_pending")));
    assert_eq!(post(kit, token, &fields).await.1["error"], "slow_down");
    kit.fake.approve_devices(kit.drive);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let (status, granted) = post(kit, token, &fields).await;
    assert_eq!(status, 200, "{granted}");
    assert!(granted["refresh_token"].is_string());
}

#[tokio::test]
async fn a_device_waits_for_its_user() {
    let kit = Kit::new(Drive::OneDrive).await;
    let scope = "Files.ReadWrite.AppFolder offline_access";
    device(&kit, "/consumers/oauth2/v2.0/devicecode", "/consumers/oauth2/v2.0/token", scope, 400).await;
    let kit = Kit::new(Drive::GDrive).await;
    device(&kit, "/device/code", "/token", "https://www.googleapis.com/auth/drive.file", 428).await;
    let whole = [("client_id", "id"), ("scope", "https://www.googleapis.com/auth/drive")];
    assert_eq!(post(&kit, "/device/code", &whole).await.1["error"], "invalid_scope");
}

#[tokio::test]
async fn an_assertion_ends_within_a_minute_and_works_once() {
    let kit = Kit::new(Drive::Box).await;
    let text = |seconds: i64, jti: &str| {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({
            "iss": "id", "sub": "1", "box_sub_type": "enterprise", "aud": "https://api.box.com/oauth2/token",
            "jti": jti, "exp": jiff::Timestamp::now().as_second() + seconds,
        });
        let signature = URL_SAFE_NO_PAD.encode([1; 256]);
        format!("{}.{}.{signature}", part(json!({"alg": "RS512", "kid": "k", "typ": "JWT"})), part(claims))
    };
    let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    for (seconds, jti, wanted) in [
        (45, "0123456789abcdef-1", 200),
        (45, "0123456789abcdef-1", 400),
        (90, "0123456789abcdef-2", 400),
        (-1, "0123456789abcdef-3", 400),
    ] {
        let assertion = text(seconds, jti);
        let fields = [("grant_type", grant), ("client_id", "id"), ("client_secret", "s"), ("assertion", &assertion)];
        assert_eq!(post(&kit, "/oauth2/token", &fields).await.0, wanted, "{seconds} {jti}");
    }
}
