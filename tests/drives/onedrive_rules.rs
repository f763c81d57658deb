//! OneDrive's rules.

use serde_json::{Value, json};

use crate::fake::{Drive, Fault, When};
use crate::kit::{Kit, told};

const STEP: usize = 320 * 1024;

async fn session(kit: &Kit, path: &str) -> String {
    let (status, begun) =
        told(kit.ask("POST", &format!("/v1.0/me/drive/{path}:/createUploadSession")).json(&json!({}))).await;
    assert_eq!(status, 200, "{begun}");
    assert_eq!(begun["nextExpectedRanges"], json!(["0-"]));
    begun["uploadUrl"].as_str().unwrap().to_owned()
}

async fn fragment(kit: &Kit, url: &str, from: usize, to: usize, total: usize) -> (u16, Value) {
    let range = format!("bytes {from}-{}/{total}", to - 1);
    told(kit.client.put(url).header("Content-Range", range).body(vec![1; to - from])).await
}

#[tokio::test]
async fn fragments_come_in_order_in_steps_and_without_a_token() {
    let kit = Kit::new(Drive::OneDrive).await;
    let url = session(&kit, "special/approot:/a/b").await;
    let total = STEP * 2 + 5;
    let with_token = kit.client.put(&url).bearer_auth(&kit.token).header("Content-Range", "bytes 0-4/5").body("12345");
    assert_eq!(told(with_token).await.0, 401);
    assert_eq!(fragment(&kit, &url, 0, 1000, total).await.0, 400);
    assert_eq!(fragment(&kit, &url, STEP, STEP * 2, total).await.0, 416);
    let (status, state) = fragment(&kit, &url, 0, STEP, total).await;
    assert_eq!((status, &state["nextExpectedRanges"]), (202, &json!([format!("{STEP}-")])));
    // What has arrived is not sent again.
    assert_eq!(fragment(&kit, &url, 0, STEP, total).await.0, 416);
    let (status, state) = told(kit.client.get(&url)).await;
    assert_eq!((status, &state["nextExpectedRanges"]), (200, &json!([format!("{STEP}-")])));
    let (status, item) = fragment(&kit, &url, STEP, total, total).await;
    assert_eq!((status, &item["size"]), (201, &json!(total)));
    assert!(item["file"]["hashes"]["quickXorHash"].is_string());
    assert_eq!(told(kit.client.get(&url)).await.0, 404);
    assert_eq!(kit.fake.read(Drive::OneDrive, "Apps/soopervisor/a/b").unwrap().len(), total);
    // Replaced: 200.
    let again = session(&kit, "special/approot:/a/b").await;
    assert_eq!(fragment(&kit, &again, 0, 5, 5).await.0, 200);
}

#[tokio::test]
async fn an_empty_file_has_no_session() {
    let kit = Kit::new(Drive::OneDrive).await;
    let url = session(&kit, "root:/empty").await;
    assert_eq!(told(kit.client.put(&url).header("Content-Range", "bytes 0--1/0")).await.0, 400);
    let (status, item) = told(kit.ask("PUT", "/v1.0/me/drive/root:/empty:/content").body("")).await;
    assert_eq!((status, &item["size"]), (201, &json!(0)));
}

#[tokio::test]
async fn a_fresh_session_may_be_unknown_for_a_while() {
    let kit = Kit::new(Drive::OneDrive).await;
    kit.fake.fault(Drive::OneDrive, When::path("/up/"), Fault::NotFound);
    let url = session(&kit, "root:/late").await;
    assert_eq!(fragment(&kit, &url, 0, 5, 5).await.0, 404);
    assert_eq!(fragment(&kit, &url, 0, 5, 5).await.0, 201);
}

#[tokio::test]
async fn names_that_onedrive_refuses_are_refused() {
    let kit = Kit::new(Drive::OneDrive).await;
    for name in ["a%3Ab", "q%3F", "COM1.txt", "end.", "~tilde", "x_vti_y", "desktop.ini", "%20lead"] {
        let (status, _) = told(kit.ask("PUT", &format!("/v1.0/me/drive/root:/{name}:/content")).body("x")).await;
        assert_eq!(status, 400, "{name}");
    }
    assert!(kit.fake.files(Drive::OneDrive).is_empty());
}
