//! Each fault does what it says, and no more often.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::fake::{Drive, Fault, When};
use crate::kit::{Kit, told};

const UPLOAD: &str = "/files/upload";

async fn upload(kit: &Kit, path: &str) -> Option<u16> {
    let ask = kit.content("files/upload", &json!({"path": path}), vec![3; 100_000]);
    Some(ask.send().await.ok()?.status().as_u16())
}

#[tokio::test]
async fn a_cut_connection_does_nothing_or_everything_as_told() {
    let kit = Kit::new(Drive::Dropbox).await;
    kit.fake.fault(Drive::Dropbox, When::path(UPLOAD), Fault::CutRequest(50_000));
    assert_eq!(upload(&kit, "/a").await, None);
    assert!(kit.fake.files(Drive::Dropbox).is_empty());
    kit.fake.fault(Drive::Dropbox, When::path(UPLOAD), Fault::NoAnswer);
    assert_eq!(upload(&kit, "/a").await, None);
    assert_eq!(kit.fake.files(Drive::Dropbox)["a"].size, 100_000);
    kit.fake.fault(Drive::Dropbox, When::path("/download"), Fault::CutAnswer(10));
    let answer = kit.content("files/download", &json!({"path": "/a"}), Vec::new()).send().await.unwrap();
    assert_eq!(answer.content_length(), Some(100_000));
    assert!(answer.bytes().await.is_err());
    kit.fake.fault(Drive::Dropbox, When::path("/download"), Fault::ShortAnswer(10));
    let answer = kit.content("files/download", &json!({"path": "/a"}), Vec::new()).send().await.unwrap();
    assert_eq!(answer.content_length(), Some(10));
    assert_eq!(answer.bytes().await.unwrap().len(), 10);
    assert_eq!(kit.fake.faults_left(), 0);
}

#[tokio::test]
async fn an_error_comes_before_or_after_the_deed() {
    let kit = Kit::new(Drive::Dropbox).await;
    kit.fake.fault(Drive::Dropbox, When::path(UPLOAD), Fault::ErrorBefore);
    assert_eq!(upload(&kit, "/a").await, Some(500));
    assert!(kit.fake.files(Drive::Dropbox).is_empty());
    kit.fake.fault(Drive::Dropbox, When::path(UPLOAD), Fault::ErrorAfter);
    assert_eq!(upload(&kit, "/a").await, Some(500));
    assert_eq!(kit.fake.files(Drive::Dropbox).len(), 1);
    // The same again is no conflict.
    assert_eq!(upload(&kit, "/a").await, Some(200));
}

#[tokio::test]
async fn throttling_says_how_long_or_not() {
    for drive in Drive::ALL {
        let kit = Kit::new(drive).await;
        kit.fake.fault(drive, When::path("/x"), Fault::TooMany(Some(7)));
        kit.fake.fault(drive, When::path("/x").nth(2), Fault::Unavailable(None));
        let first = kit.ask("POST", "/x").send().await.unwrap();
        assert_eq!((first.status().as_u16(), first.headers()["retry-after"].to_str().unwrap()), (429, "7"));
        let second = kit.ask("POST", "/x").send().await.unwrap();
        assert_eq!((second.status().as_u16(), second.headers().get("retry-after")), (503, None));
        assert_eq!(kit.ask("POST", "/x").send().await.unwrap().status().as_u16(), 404);
        assert_eq!(kit.fake.count(drive, "POST", "/x"), 3);
    }
}

#[tokio::test]
async fn a_token_ends_in_the_middle_and_a_quota_is_full() {
    let kit = Kit::new(Drive::Dropbox).await;
    kit.fake.fault(Drive::Dropbox, When::path(UPLOAD).nth(2), Fault::QuotaFull);
    kit.fake.fault(Drive::Dropbox, When::path(UPLOAD).nth(3), Fault::Expired);
    assert_eq!(upload(&kit, "/a").await, Some(200));
    assert_eq!(upload(&kit, "/b").await, Some(409));
    assert_eq!(upload(&kit, "/c").await, Some(401));
    assert_eq!(upload(&kit, "/c").await, Some(401));
}

#[tokio::test]
async fn a_child_sets_faults_over_http() {
    let kit = Kit::new(Drive::GDrive).await;
    let asked = json!({"drive": "gdrive", "method": "GET", "path": "about", "fault": "slow", "value": 300});
    assert_eq!(told(kit.client.post(format!("{}/_fake/fault", kit.fake.url())).json(&asked)).await.0, 200);
    let begun = Instant::now();
    assert_eq!(told(kit.ask("GET", "/drive/v3/about?fields=*")).await.0, 200);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    kit.fake.put(Drive::GDrive, "a/b", b"bytes").await;
    let (_, files) = told(kit.client.get(format!("{}/_fake/files/gdrive", kit.fake.url()))).await;
    assert_eq!(files["a/b"]["size"], 5);
}
