//! A host of many small repositories, all in memory: it answers `ls-refs` of git's protocol 2, and nothing else.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Ids by the names of refs.
type Refs = BTreeMap<String, String>;

/// The host; clones share it.
#[derive(Clone)]
pub(crate) struct Forge {
    repos: Arc<Mutex<Vec<Refs>>>,
    address: SocketAddr,
}

impl Forge {
    /// So many repositories, each with one commit on `main`.
    pub(crate) async fn start(count: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let one = |repo: usize| Refs::from([("refs/heads/main".to_owned(), format!("{repo:040x}"))]);
        let this = Self { repos: Arc::new(Mutex::new((1..=count).map(one).collect())), address };
        let served = this.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let forge = served.clone();
                tokio::spawn(async move {
                    let answer = service_fn(move |request| answer(forge.clone(), request));
                    let server = hyper::server::conn::http1::Builder::new();
                    let _ = server.serve_connection(TokioIo::new(socket), answer).await;
                });
            }
        });
        this
    }

    /// The address of a repository.
    pub(crate) fn url(&self, repo: usize) -> String {
        format!("http://{}/acme/r{repo}.git", self.address)
    }

    /// The refs of all repositories.
    pub(crate) fn repos(&self) -> MutexGuard<'_, Vec<Refs>> {
        self.repos.lock().unwrap()
    }
}

async fn answer(forge: Forge, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    // The question is always the same one; it is read, so that the connection can be used again.
    let _ = request.into_body().collect().await;
    let repo = path.strip_prefix("/acme/r").and_then(|rest| rest.strip_suffix(".git/git-upload-pack"));
    let refs = repo.and_then(|number| forge.repos().get(number.parse::<usize>().ok()?).cloned());
    let response = Response::builder();
    Ok(match refs {
        Some(refs) => response.body(Full::new(listed(&refs).into())).unwrap(),
        None => response.status(404).body(Full::default()).unwrap(),
    })
}

fn listed(refs: &Refs) -> Vec<u8> {
    let mut text = Vec::new();
    let mut line = |line: String| text.extend(format!("{:04x}{line}", line.len() + 4).into_bytes());
    if let Some(main) = refs.get("refs/heads/main") {
        line(format!("{main} HEAD symref-target:refs/heads/main\n"));
    }
    for (name, id) in refs {
        line(format!("{id} {name}\n"));
    }
    text.extend_from_slice(b"0000");
    text
}
