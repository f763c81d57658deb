//! Dropbox's rules.

use serde_json::json;

use crate::fake::Drive;
use crate::kit::{Kit, told};

#[tokio::test]
async fn the_argument_in_the_header_is_ascii() {
    let kit = Kit::new(Drive::Dropbox).await;
    let raw = |arg: &str| {
        let value = http::HeaderValue::from_bytes(arg.as_bytes()).unwrap();
        let ask = kit.ask("POST", "/2/files/upload").header("Dropbox-API-Arg", value);
        ask.header("Content-Type", "application/octet-stream").body("x")
    };
    assert_eq!(told(raw(r#"{"path": "/été"}"#)).await.0, 400);
    let (status, stored) = told(raw(r#"{"path": "/\u00e9t\u00e9"}"#)).await;
    assert_eq!((status, &stored["name"]), (200, &json!("été")));
    assert_eq!(kit.fake.read(Drive::Dropbox, "été").unwrap(), b"x");
    // The answer's header as well.
    let read = kit.content("files/download", &json!({"path": stored["id"]}), Vec::new()).header("Range", "bytes=0-0");
    let answer = read.send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 206);
    assert!(answer.headers()["dropbox-api-result"].to_str().unwrap().contains(r"\u00e9t\u00e9"));
}

#[tokio::test]
async fn names_that_dropbox_refuses_are_refused() {
    let kit = Kit::new(Drive::Dropbox).await;
    for (path, tag) in [
        ("/a/desktop.ini", "disallowed_name"),
        ("/.DS_Store", "disallowed_name"),
        ("/trailing ", "malformed_path"),
        ("/back\\slash", "malformed_path"),
        ("no-slash", "malformed_path"),
    ] {
        let (status, error) = told(kit.content("files/upload", &json!({"path": path}), vec![1])).await;
        assert_eq!((status, &error["error"]["reason"][".tag"]), (409, &json!(tag)), "{path}");
    }
    assert_eq!(kit.call("files/list_folder", &json!({"path": "/"})).await.0, 400);
}

#[tokio::test]
async fn a_batch_takes_closed_sessions_and_says_each_failure() {
    let kit = Kit::new(Drive::Dropbox).await;
    let mut entries = Vec::new();
    for (number, close) in [(1, true), (2, false)] {
        let (_, begun) = told(kit.content("files/upload_session/start", &json!({"close": close}), vec![7; 10])).await;
        let cursor = json!({"session_id": begun["session_id"], "offset": 10});
        entries.push(json!({"cursor": cursor, "commit": {"path": format!("/{number}")}}));
    }
    entries.push(json!({"cursor": {"session_id": "none", "offset": 0}, "commit": {"path": "/3"}}));
    let (_, done) = kit.call("files/upload_session/finish_batch_v2", &json!({"entries": entries})).await;
    assert_eq!(done["entries"][0][".tag"], "success");
    assert_eq!(done["entries"][1]["failure"]["lookup_failed"][".tag"], "not_closed");
    assert_eq!(done["entries"][2]["failure"]["lookup_failed"][".tag"], "not_found");
    assert_eq!(kit.fake.files(Drive::Dropbox).len(), 1);
    let many = vec![entries[0].clone(); 1001];
    assert_eq!(kit.call("files/upload_session/finish_batch_v2", &json!({"entries": many})).await.0, 400);
}

#[tokio::test]
async fn a_full_account_and_a_wrong_hash_are_told() {
    let kit = Kit::new(Drive::Dropbox).await;
    kit.fake.set_quota(Drive::Dropbox, 10);
    let (status, error) = told(kit.content("files/upload", &json!({"path": "/a"}), vec![0; 11])).await;
    assert_eq!((status, &error["error"]["reason"][".tag"]), (409, &json!("insufficient_space")));
    let wrong = json!({"path": "/a", "content_hash": "0".repeat(64)});
    let (status, error) = told(kit.content("files/upload", &wrong, vec![0])).await;
    assert_eq!((status, &error["error"][".tag"]), (409, &json!("content_hash_mismatch")));
    let (_, space) = kit.call("users/get_space_usage", &serde_json::Value::Null).await;
    assert_eq!((&space["used"], &space["allocation"]["allocated"]), (&json!(0), &json!(10)));
}
