//! Whom handlers tell: it counts how often it heard each thing.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// The listener; clones share it.
#[derive(Clone)]
pub(crate) struct Ear {
    heard: Arc<Mutex<BTreeMap<String, usize>>>,
    pub(crate) address: SocketAddr,
}

impl Ear {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let this = Self { heard: Arc::default(), address };
        let served = this.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let ear = served.clone();
                tokio::spawn(async move {
                    let hear = service_fn(move |request| hear(ear.clone(), request));
                    let server = hyper::server::conn::http1::Builder::new();
                    let _ = server.serve_connection(TokioIo::new(socket), hear).await;
                });
            }
        });
        this
    }

    /// What was heard since this was last asked, and how often.
    pub(crate) fn take(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }
}

async fn hear(ear: Ear, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if let Ok(body) = request.into_body().collect().await {
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        *ear.heard.lock().unwrap().entry(text).or_default() += 1;
    }
    Ok(Response::new(Full::default()))
}
