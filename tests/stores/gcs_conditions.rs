//! Google Cloud Storage's answer to who creates what is there already. The emulator of this suite ignores conditions, so
//! a server of a few lines takes its place: where the condition is sent, it answers 412, as the documents say
//! (`ifGenerationMatch=0` of the JSON API, `x-goog-if-generation-match: 0` of uploads in parts); where it is not, it
//! takes the object.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use soopervisor::storage::backend::Created;

use crate::{opened, suite};

/// Requests by their method and address, and those that stored something.
#[derive(Default)]
struct Seen {
    lines: Vec<String>,
    stored: Vec<String>,
}

fn answer(request: &Request<Incoming>, seen: &Mutex<Seen>) -> Response<Full<Bytes>> {
    let (method, uri) = (request.method(), request.uri().to_string());
    let mut seen = seen.lock().unwrap();
    seen.lines.push(format!("{method} {uri}"));
    let query = request.uri().query().unwrap_or_default();
    let header = request.headers().get("x-goog-if-generation-match").is_some_and(|value| value == "0");
    let reply = |status: u16, body: &str| {
        Response::builder().status(status).body(Full::new(Bytes::from(body.to_owned()))).unwrap()
    };
    let exclusive = query.split('&').any(|pair| pair == "ifGenerationMatch=0") || header;
    match (method, query) {
        (&Method::POST, query) if query == "uploads" || query.starts_with("uploads=") => {
            reply(200, "<InitiateMultipartUploadResult><UploadId>one</UploadId></InitiateMultipartUploadResult>")
        }
        (&Method::PUT, query) if query.contains("partNumber=") => {
            let mut part = reply(200, "");
            part.headers_mut().insert("etag", "\"part\"".parse().unwrap());
            part
        }
        (&Method::POST, _) if exclusive => reply(412, "{\"error\": {\"code\": 412, \"message\": \"conditionNotMet\"}}"),
        (&Method::POST, _) => {
            seen.stored.push(uri);
            reply(200, "{}")
        }
        (&Method::DELETE, query) if query.contains("uploadId=") => reply(204, ""),
        _ => reply(404, "{\"error\": {\"code\": 404}}"),
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

#[tokio::test(flavor = "multi_thread")]
async fn what_is_created_in_google_cloud_storage_is_created_once_whatever_its_size() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Seen::default()));
    tokio::spawn(serve(listener, Arc::clone(&seen)));
    let set = vec![
        ("SOOPERVISOR_GCS_ENDPOINT", format!("http://{address}")),
        ("SOOPERVISOR_GCS_TOKEN", "no token at all".to_owned()),
    ];
    let service = opened("gs://conformance/place", set);
    for (key, size) in [("p/empty", 0), ("p/small", 10), ("p/of parts", 40 << 20)] {
        let mut source = suite::source(&service, &vec![7; size]);
        let created = service.create(key, &mut source, &()).await.unwrap();
        assert!(matches!(created, Created::Taken(None)), "{key}: {created:?}");
    }
    assert!(!service.put("p/manifest.json", Bytes::from_static(b"{}")).await.unwrap());
    let seen = seen.lock().unwrap();
    assert_eq!(seen.stored, [""; 0], "{:?}", seen.lines);
    assert_eq!(seen.lines.iter().filter(|line| line.contains("partNumber=")).count(), 5, "{:?}", seen.lines);
    assert!(seen.lines.iter().any(|line| line.starts_with("DELETE") && line.contains("uploadId=one")), "given up");
}
