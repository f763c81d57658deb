//! Box's rules.

use reqwest::multipart::{Form, Part};
use serde_json::json;

use crate::fake::Drive;
use crate::kit::{Kit, told};

fn attributes(name: &str) -> String {
    json!({"name": name, "parent": {"id": "0"}}).to_string()
}

fn file(bytes: &'static [u8]) -> Part {
    Part::bytes(bytes).file_name("file")
}

#[tokio::test]
async fn attributes_come_before_the_file() {
    let kit = Kit::new(Drive::Box).await;
    let backwards = Form::new().part("file", file(b"x")).text("attributes", attributes("a"));
    let (status, error) = told(kit.ask("POST", "/api/2.0/files/content").multipart(backwards)).await;
    assert_eq!((status, &error["code"]), (400, &json!("metadata_after_file_contents")));
    let right = Form::new().text("attributes", attributes("a")).part("file", file(b"x"));
    let (status, stored) = told(kit.ask("POST", "/api/2.0/files/content").multipart(right)).await;
    assert_eq!((status, &stored["entries"][0]["size"]), (201, &json!(1)));
    // An empty file is no session's business.
    let empty = Form::new().text("attributes", attributes("empty")).part("file", file(b""));
    assert_eq!(told(kit.ask("POST", "/api/2.0/files/content").multipart(empty)).await.0, 201);
    assert_eq!(kit.fake.read(Drive::Box, "empty").unwrap(), b"");
    // The API's host takes no uploads.
    let right = Form::new().text("attributes", attributes("b")).part("file", file(b"x"));
    assert_eq!(told(kit.ask("POST", "/2.0/files/content").multipart(right)).await.0, 404);
}

#[tokio::test]
async fn a_version_is_named_by_its_etag() {
    let kit = Kit::new(Drive::Box).await;
    kit.fake.put(Drive::Box, "a", b"1").await;
    let id = kit.fake.files(Drive::Box)["a"].id.clone();
    let form = || Form::new().text("attributes", attributes("a")).part("file", file(b"22"));
    let path = format!("/api/2.0/files/{id}/content");
    let wrong = kit.ask("POST", &path).header("If-Match", "nothing").multipart(form());
    assert_eq!(told(wrong).await.0, 412);
    let (_, known) = told(kit.ask("GET", &format!("/2.0/files/{id}"))).await;
    let right = kit.ask("POST", &path).header("If-Match", known["etag"].as_str().unwrap()).multipart(form());
    assert_eq!(told(right).await.0, 201);
    assert_eq!(kit.fake.read(Drive::Box, "a").unwrap(), b"22");
}

#[tokio::test]
async fn more_uploads_than_allowed_in_a_second_are_throttled() {
    let kit = Kit::new(Drive::Box).await;
    kit.fake.limit_uploads(Drive::Box, 2);
    for (name, wanted) in [("a", 201), ("b", 201), ("c", 429)] {
        let form = Form::new().text("attributes", attributes(name)).part("file", file(b"x"));
        assert_eq!(told(kit.ask("POST", "/api/2.0/files/content").multipart(form)).await.0, wanted, "{name}");
    }
}

#[tokio::test]
async fn a_refresh_token_works_once_even_for_two_at_once() {
    let kit = Kit::new(Drive::Box).await;
    let pair = kit.fake.tokens(Drive::Box);
    let renew = || {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", "id"),
            ("client_secret", "secret"),
            ("refresh_token", &pair.refresh),
        ];
        told(kit.client.post(format!("{}/oauth2/token", kit.fake.base(Drive::Box))).form(&form))
    };
    let (one, other) = tokio::join!(renew(), renew());
    let mut both = [one.0, other.0];
    both.sort_unstable();
    assert_eq!(both, [200, 400]);
    assert!(one.1["error"] == "invalid_grant" || other.1["error"] == "invalid_grant");
}

#[tokio::test]
async fn a_commit_needs_all_parts_and_the_right_digest() {
    let kit = Kit::new(Drive::Box).await;
    let size = 20_000_000_usize;
    let begin = json!({"folder_id": "0", "file_name": "a", "file_size": size});
    let (_, session) = told(kit.ask("POST", "/api/2.0/files/upload_sessions").json(&begin)).await;
    let endpoint = |name: &str| session["session_endpoints"][name].as_str().unwrap().to_owned();
    assert!(endpoint("commit").starts_with(&kit.fake.base(Drive::Box)));
    let commit = |digest: &'static str, parts: &serde_json::Value| {
        let ask = kit.client.post(endpoint("commit")).bearer_auth(&kit.token).header("Digest", digest);
        told(ask.json(&json!({"parts": parts})))
    };
    let (status, error) = commit("sha=AAAAAAAAAAAAAAAAAAAAAAAAAAA=", &json!([])).await;
    assert_eq!((status, &error["code"]), (400, &json!("parts_mismatch")));
    let bytes = vec![0_u8; 8 << 20];
    let part = |from: usize, to: usize, digest: &'static str| {
        let ask = kit.client.put(endpoint("upload_part")).bearer_auth(&kit.token).header("Digest", digest);
        let ask = ask.header("Content-Range", format!("bytes {from}-{}/{size}", to - 1));
        told(ask.body(bytes[..to - from].to_vec()))
    };
    // SHA-1 of 8 MiB and of what remains, all zero.
    let (full, rest) = ("sha=X9jVZKrI/GRnpKFWGTzpXXnv8IA=", "sha=xxxxxxxxxxxxxxxxxxxxxxxxxxw=");
    assert_eq!(part(1, 100, full).await.0, 416);
    assert_eq!(part(16 << 20, size, rest).await.0, 412);
    assert_eq!(kit.fake.open_sessions(Drive::Box), 1);
}
