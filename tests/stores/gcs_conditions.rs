//! Google Cloud Storage's answer to who creates what is there already. The emulator of this suite ignores conditions, so
//! a server of a few lines takes its place. With `ifGenerationMatch=0` an upload is refused by 412: when it is begun, if
//! the object is there by then, or with its last bytes, if somebody was faster meanwhile. Without the condition the
//! object is taken.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use soopervisor::storage::backend::Created;

use crate::servers::folder_of_servers;
use crate::{opened, suite};

/// Requests by their method and address, and those that stored something.
#[derive(Default)]
struct Seen {
    lines: Vec<String>,
    stored: Vec<String>,
}

/// Objects with this in their names are made by somebody else while we upload.
const RACE: &str = "race";

fn answer(request: &Request<Incoming>, seen: &Mutex<Seen>) -> Response<Full<Bytes>> {
    let (method, uri) = (request.method(), request.uri().to_string());
    let mut seen = seen.lock().unwrap();
    let range = request.headers().get("content-range").and_then(|value| value.to_str().ok()).unwrap_or_default();
    seen.lines.push(format!("{method} {uri} {range}"));
    let reply = |status: u16| Response::builder().status(status);
    let refused = || reply(412).body("{\"error\": {\"code\": 412, \"message\": \"conditionNotMet\"}}".into()).unwrap();
    let query = request.uri().query().unwrap_or_default();
    let exclusive = query.split('&').any(|pair| pair == "ifGenerationMatch=0");
    match (method, query) {
        (&Method::POST, query) if query.contains("uploadType=resumable") && exclusive => {
            if !query.contains(RACE) {
                return refused();
            }
            let host = request.headers()["host"].to_str().unwrap();
            reply(200).header("location", format!("http://{host}/session")).body(Full::default()).unwrap()
        }
        (&Method::POST, _) if exclusive => refused(),
        (&Method::PUT, _) if uri.ends_with("/session") => match range.split_once('/') {
            Some((bytes, "*")) => {
                let last = bytes.rsplit_once('-').unwrap().1;
                reply(308).header("range", format!("bytes=0-{last}")).body(Full::default()).unwrap()
            }
            _ => refused(),
        },
        (&Method::POST | &Method::PUT, _) => {
            seen.stored.push(uri);
            reply(200).body("{}".into()).unwrap()
        }
        (&Method::DELETE, _) if uri.ends_with("/session") => reply(499).body(Full::default()).unwrap(),
        _ => reply(404).body("{\"error\": {\"code\": 404}}".into()).unwrap(),
    }
}

async fn serve(listener: tokio::net::TcpListener, seen: Arc<Mutex<Seen>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let seen = Arc::clone(&seen);
                async move {
                    let answer = answer(&request, &seen);
                    // The body goes first, so that the client hears the answer.
                    let _ = request.into_body().collect().await;
                    Ok::<_, Infallible>(answer)
                }
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// The address of a server that answers so, and what it has seen.
async fn started() -> (String, Arc<Mutex<Seen>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Seen::default()));
    tokio::spawn(serve(listener, Arc::clone(&seen)));
    (address, seen)
}

/// Google's own client understands each of these answers as the refusal that it is.
#[tokio::test(flavor = "multi_thread")]
async fn googles_own_client_is_refused_in_the_same_way() {
    let (address, seen) = started().await;
    let judges = std::env::var_os("SOOPERVISOR_JUDGES").map(PathBuf::from);
    let judges = judges.unwrap_or_else(|| folder_of_servers().with_file_name("judges"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores/judge_google.py");
    let mut command = tokio::process::Command::new(judges.join("venv/bin/python"));
    command.arg(script).arg(address).env_remove("HTTPS_PROXY").env("NO_PROXY", "*").env("PYTHONDONTWRITEBYTECODE", "1");
    let output = command.kill_on_drop(true).output().await.unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(told, "small 412\nrace small 412\nrace of parts 412\n", "{}", String::from_utf8_lossy(&output.stderr));
    let seen = seen.lock().unwrap();
    assert_eq!(seen.stored, [""; 0], "{:?}", seen.lines);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_created_in_google_cloud_storage_is_created_once_whatever_its_size() {
    let (address, seen) = started().await;
    let set = vec![("SOOPERVISOR_GCS_ENDPOINT", address), ("SOOPERVISOR_GCS_TOKEN", "no token at all".to_owned())];
    let service = opened("gs://conformance/place", set);
    let keys = [("p/empty", 0), ("p/small", 10), ("p/of parts", 40 << 20)];
    let races = [("p/race small", 10), ("p/race of parts", 40 << 20)];
    for (key, size) in keys.into_iter().chain(races) {
        let mut source = suite::source(&service, &vec![7; size]);
        let created = service.create(key, &mut source, &()).await.unwrap();
        assert!(matches!(created, Created::Taken(None)), "{key}: {created:?}");
    }
    assert!(!service.put("p/manifest.json", Bytes::from_static(b"{}")).await.unwrap());
    assert!(!service.put("p/race.json", Bytes::from_static(b"{}")).await.unwrap());
    let seen = seen.lock().unwrap();
    assert_eq!(seen.stored, [""; 0], "{:?}", seen.lines);
    let count = |words: &str| seen.lines.iter().filter(|line| line.contains(words)).count();
    assert!(count("/* ") == 0 && count("/*") >= 4, "the large one went in pieces: {:?}", seen.lines);
    assert_eq!(count("DELETE"), 2, "what was begun is given up: {:?}", seen.lines);
}
