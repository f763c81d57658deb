//! Google Drive's rules.

use serde_json::{Value, json};

use crate::fake::{Drive, Fault, When};
use crate::kit::{Kit, told};

const STEP: usize = 256 * 1024;

async fn session(kit: &Kit, body: &Value) -> String {
    let answer = kit.ask("POST", "/upload/drive/v3/files?uploadType=resumable").json(body).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    answer.headers()["location"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_broken_upload_tells_how_far_it_came_and_goes_on() {
    let kit = Kit::new(Drive::GDrive).await;
    let bytes: Vec<u8> = (0..STEP * 3 + 7).map(|number| u8::try_from(number % 251).unwrap()).collect();
    kit.fake.fault(Drive::GDrive, When::path("upload_id").method("PUT"), Fault::CutRequest(STEP as u64 * 2 + 100));
    let url = session(&kit, &json!({"name": "large"})).await;
    assert!(kit.client.put(&url).body(bytes.clone()).send().await.is_err());
    let total = bytes.len();
    let state = kit.client.put(&url).header("Content-Range", format!("bytes */{total}")).send().await.unwrap();
    assert_eq!(state.status().as_u16(), 308);
    assert_eq!(state.headers()["range"], format!("bytes=0-{}", STEP * 2 - 1));
    let range = format!("bytes {}-{}/{total}", STEP * 2, total - 1);
    let rest = kit.client.put(&url).header("Content-Range", range).body(bytes[STEP * 2..].to_vec());
    let (status, file) = told(rest).await;
    assert_eq!((status, &file["size"]), (200, &json!(total.to_string())));
    assert_eq!(kit.fake.read(Drive::GDrive, "large").unwrap(), bytes);
    // Whoever lost the answer asks again.
    let asked = kit.client.put(&url).header("Content-Range", format!("bytes */{total}"));
    assert_eq!(told(asked).await.1["id"], file["id"]);
}

#[tokio::test]
async fn a_session_wants_no_token_and_takes_none_that_is_not_good() {
    let kit = Kit::new(Drive::GDrive).await;
    let url = session(&kit, &json!({"name": "large"})).await;
    let ask = || kit.client.put(&url).header("Content-Range", "bytes */9");
    assert_eq!(ask().send().await.unwrap().status().as_u16(), 308);
    assert_eq!(ask().bearer_auth(kit.fake.token(Drive::GDrive)).send().await.unwrap().status().as_u16(), 308);
    assert_eq!(ask().bearer_auth("ended").send().await.unwrap().status().as_u16(), 401);
}

#[tokio::test]
async fn a_create_that_is_done_twice_makes_two_unless_the_id_was_chosen() {
    let kit = Kit::new(Drive::GDrive).await;
    let folder = json!({"name": "f", "mimeType": "application/vnd.google-apps.folder"});
    kit.fake.fault(Drive::GDrive, When::path("/drive/v3/files").method("POST"), Fault::Twice);
    told(kit.ask("POST", "/drive/v3/files").json(&folder)).await;
    let search = "/drive/v3/files?q=name%20%3D%20'f'%20and%20'root'%20in%20parents";
    assert_eq!(told(kit.ask("GET", search)).await.1["files"].as_array().unwrap().len(), 2);
    let (_, ids) = told(kit.ask("GET", "/drive/v3/files/generateIds?count=1")).await;
    let chosen = json!({"name": "g", "id": ids["ids"][0]});
    assert_eq!(told(kit.ask("POST", "/drive/v3/files").json(&chosen)).await.0, 200);
    assert_eq!(told(kit.ask("POST", "/drive/v3/files").json(&chosen)).await.0, 409);
    assert_eq!(told(kit.ask("POST", "/drive/v3/files").json(&json!({"name": "h", "id": "mine"}))).await.0, 400);
}

#[tokio::test]
async fn a_listing_may_lag_while_ids_work() {
    let kit = Kit::new(Drive::GDrive).await;
    kit.fake.put(Drive::GDrive, "old", b"1").await;
    kit.fake.fault(Drive::GDrive, When::path("/drive/v3/files?").times(2), Fault::Stale);
    let (_, made) = told(kit.ask("POST", "/drive/v3/files").json(&json!({"name": "new"}))).await;
    for wanted in [1, 1, 2] {
        let (_, page) = told(kit.ask("GET", "/drive/v3/files?q=trashed%3Dfalse")).await;
        assert_eq!(page["files"].as_array().unwrap().len(), wanted);
        let by_id = format!("/drive/v3/files/{}", made["id"].as_str().unwrap());
        assert_eq!(told(kit.ask("GET", &by_id)).await.0, 200);
    }
}

#[tokio::test]
async fn queries_are_understood_or_refused() {
    let kit = Kit::new(Drive::GDrive).await;
    kit.fake.put(Drive::GDrive, "d/it's", b"1").await;
    kit.fake.put(Drive::GDrive, "d/back\\slash", b"1").await;
    for (query, wanted) in [
        (r"name = 'it\'s'", 1),
        (r"name = 'back\\slash' and trashed = false", 1),
        ("mimeType = 'application/vnd.google-apps.folder'", 1),
        ("mimeType != 'application/vnd.google-apps.folder' and (name contains 'it' or name contains 'back')", 2),
        ("not trashed = true and 'root' in parents", 1),
    ] {
        let (_, page) = told(kit.ask("GET", "/drive/v3/files").query(&[("q", query)])).await;
        assert_eq!(page["files"].as_array().map(Vec::len), Some(wanted), "{query}: {page}");
    }
    assert_eq!(told(kit.ask("GET", "/drive/v3/files").query(&[("q", "name = 'open")])).await.0, 400);
}
