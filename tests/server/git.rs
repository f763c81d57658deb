//! Bare repositories, and a front that serves them over HTTP as a forge does: `git http-backend`, or plain files, with the
//! faults that a test asks for.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

/// How the front behaves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manner {
    /// `Authorization` that is asked for.
    pub(crate) password: Option<String>,
    /// Protocol 2 is not understood.
    pub(crate) old: bool,
    /// Files are served, nothing else.
    pub(crate) dumb: bool,
    /// The answer to everything: status, and when to come back.
    pub(crate) refuses: Option<(u16, Option<u64>)>,
    /// Where everything is now: everything is answered with 301.
    pub(crate) moved: Option<String>,
    /// Bytes after which the connection is cut.
    pub(crate) cut: Option<usize>,
    /// The list of refs is empty, whatever there is.
    pub(crate) forgetful: bool,
}

/// What was asked: method and path, and the authorization.
type Seen = Arc<Mutex<Vec<(String, Option<String>)>>>;

/// One repository and its front.
pub(crate) struct Forge {
    root: tempfile::TempDir,
    address: String,
    manner: Arc<Mutex<Manner>>,
    seen: Seen,
}

fn run(folder: &Path, words: &[&str]) -> String {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main"]).args(words);
    let output = git.current_dir(folder).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Forge {
    /// With one commit on `main`.
    pub(crate) async fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("acme/churn.git")).unwrap();
        run(&root.path().join("acme/churn.git"), &["init", "-q", "--bare", "."]);
        run(root.path(), &["clone", "-q", "acme/churn.git", "work"]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (manner, seen) = (Arc::<Mutex<Manner>>::default(), Arc::<Mutex<Vec<_>>>::default());
        let served = (root.path().to_owned(), Arc::clone(&manner), Arc::clone(&seen));
        tokio::spawn(async move {
            loop {
                let Ok((socket, _)) = listener.accept().await else { return };
                let (root, manner, seen) = served.clone();
                tokio::spawn(async move {
                    let answer = service_fn(move |request| answer(root.clone(), manner.clone(), seen.clone(), request));
                    let _ =
                        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), answer).await;
                });
            }
        });
        let forge = Self { root, address, manner, seen };
        forge.commit("main", "first");
        forge
    }

    pub(crate) fn url(&self) -> url::Url {
        format!("{}/acme/churn.git", self.address).parse().unwrap()
    }

    pub(crate) fn bare(&self) -> PathBuf {
        self.root.path().join("acme/churn.git")
    }

    /// What was asked: method and path, and the authorization.
    pub(crate) fn seen(&self) -> Vec<(String, Option<String>)> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    pub(crate) fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    pub(crate) fn git(&self, words: &[&str]) -> String {
        run(&self.work(), words)
    }

    /// Commits to a branch and pushes it; the commit comes back.
    pub(crate) fn commit(&self, branch: &str, text: &str) -> String {
        self.git(&["checkout", "-q", "-B", branch]);
        std::fs::write(self.work().join("file"), text).unwrap();
        self.git(&["add", "."]);
        self.git(&["commit", "-q", "-m", text]);
        self.git(&["push", "-q", "-f", "origin", branch]);
        self.git(&["rev-parse", "HEAD"])
    }
}

async fn answer(
    root: PathBuf,
    manner: Arc<Mutex<Manner>>,
    seen: Seen,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let manner = manner.lock().unwrap().clone();
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (who, protocol, kind) = (header("authorization"), header("git-protocol"), header("content-type"));
    let (method, uri) = (request.method().to_string(), request.uri().clone());
    seen.lock().unwrap().push((format!("{method} {uri}"), who.clone()));
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let plain = |status: u16| Response::builder().status(status);
    let empty = || Full::new(Bytes::new());
    if let Some((status, after)) = manner.refuses {
        let response = plain(status);
        let response = after.iter().fold(response, |response, after| response.header("retry-after", *after));
        return Ok(response.body(empty()).unwrap());
    }
    if manner.password.is_some() && who != manner.password {
        return Ok(plain(401).header("www-authenticate", "Basic realm=x").body(empty()).unwrap());
    }
    if let Some(moved) = &manner.moved {
        return Ok(plain(301).header("location", format!("{moved}{uri}")).body(empty()).unwrap());
    }
    if manner.dumb {
        let file = root.join(uri.path().trim_start_matches('/'));
        return Ok(match (method.as_str(), std::fs::read(file)) {
            ("GET", Ok(bytes)) => {
                plain(200).header("content-type", "text/plain").body(Full::new(bytes.into())).unwrap()
            }
            ("GET", Err(_)) => plain(404).body(empty()).unwrap(),
            _ => plain(405).body(empty()).unwrap(),
        });
    }
    if manner.forgetful {
        let (status, body) = if method == "POST" { (200, "0000") } else { (404, "") };
        return Ok(plain(status).body(Full::new(body.into())).unwrap());
    }
    let protocol = protocol.filter(|_| !manner.old);
    let (status, kind, mut bytes) = backend(&root, &method, &uri, kind, protocol, &body).await;
    if let Some(cut) = manner.cut {
        bytes.truncate(cut);
    }
    Ok(plain(status).header("content-type", kind).body(Full::new(bytes.into())).unwrap())
}

/// Git's own CGI program.
async fn backend(
    root: &Path,
    method: &str,
    uri: &hyper::Uri,
    kind: Option<String>,
    protocol: Option<String>,
    body: &[u8],
) -> (u16, String, Vec<u8>) {
    let mut git = tokio::process::Command::new("git");
    git.arg("http-backend").env("GIT_PROJECT_ROOT", root).env("GIT_HTTP_EXPORT_ALL", "1").env("PATH_INFO", uri.path());
    git.env("REQUEST_METHOD", method).env("QUERY_STRING", uri.query().unwrap_or_default());
    git.env("CONTENT_LENGTH", body.len().to_string()).env("CONTENT_TYPE", kind.unwrap_or_default());
    if let Some(protocol) = protocol {
        git.env("GIT_PROTOCOL", protocol);
    }
    git.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = git.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(body).await;
    drop(stdin);
    let output = child.wait_with_output().await.unwrap().stdout;
    let end = output.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(0);
    let head = String::from_utf8_lossy(&output[..end]).into_owned();
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned());
    let status = field("Status:").and_then(|status| status[..3].parse().ok()).unwrap_or(200);
    (status, field("Content-Type:").unwrap_or_default(), output[(end + 4).min(output.len())..].to_vec())
}
