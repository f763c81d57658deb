//! A host of real bare repositories, in a process of its own so that its work is not counted as ours: `git http-backend`
//! answers below `/live/`, and below `/kept/` what it answered first is given again.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

/// Branches and tags of each repository.
pub(crate) const REFS: (usize, usize) = (32, 30);

/// The word that makes this program a host.
pub(crate) const WORD: &str = "host";

/// A host that runs; it ends with this value.
pub(crate) struct Host {
    child: Child,
    /// `http://127.0.0.1:…`
    pub(crate) base: String,
}

impl Host {
    pub(crate) fn start(root: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.arg(WORD).arg(root).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("this program");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("an address");
        Self { child, base: format!("http://{}", line.trim()) }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// So many bare repositories, `r0.git` and so on: one is made by git, the others are copies of it.
pub(crate) fn repositories(root: &Path, count: usize) {
    let git = |folder: &Path, words: &[&str]| {
        let identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "init.defaultBranch=main"];
        let done = Command::new("git").current_dir(folder).args(identity).args(words).stdout(Stdio::null()).status();
        assert!(done.expect("git").success(), "git {words:?}");
    };
    let first = root.join("r0.git");
    fs_err::create_dir_all(&first).expect("a folder");
    git(&first, &["init", "-q", "--bare", "--template=", "."]);
    git(root, &["clone", "-q", "r0.git", "work"]);
    let work = root.join("work");
    for number in 0..REFS.0 {
        let branch = if number == 0 { "main".to_owned() } else { format!("feature/branch-number-{number}") };
        git(&work, &["checkout", "-q", "-B", &branch]);
        git(&work, &["commit", "-q", "--allow-empty", "-m", &branch]);
        if number < REFS.1 {
            git(&work, &["tag", "-a", "-m", "release", &format!("v1.{number}")]);
        }
    }
    git(&work, &["push", "-q", "--all", "origin"]);
    git(&work, &["push", "-q", "--tags", "origin"]);
    git(&first, &["gc", "-q"]);
    fs_err::remove_dir_all(&work).expect("a folder");
    for number in 1..count {
        let copy = root.join(format!("r{number}.git"));
        let done = Command::new("cp").arg("-a").arg(&first).arg(copy).status().expect("cp");
        assert!(done.success());
    }
}

/// What was answered, by repository and question.
type Kept = Arc<Mutex<HashMap<(String, Bytes), Bytes>>>;

/// Connections and requests.
#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    requests: AtomicU64,
}

/// Answers until it is killed.
pub(crate) fn be(root: &Path) {
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    threads.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        super::say(&listener.local_addr().expect("an address").to_string());
        let (kept, counts) = (Kept::default(), Arc::<Counts>::default());
        while let Ok((socket, _)) = listener.accept().await {
            let _ = socket.set_nodelay(true);
            counts.connections.fetch_add(1, Ordering::Relaxed);
            let (root, kept, counts) = (root.to_owned(), Arc::clone(&kept), Arc::clone(&counts));
            tokio::spawn(async move {
                let answer =
                    service_fn(move |request| answer(root.clone(), Arc::clone(&kept), Arc::clone(&counts), request));
                let server = hyper::server::conn::http1::Builder::new();
                let _ = server.serve_connection(TokioIo::new(socket), answer).await;
            });
        }
    });
}

async fn answer(
    root: PathBuf,
    kept: Kept,
    counts: Arc<Counts>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    if path == "/counts" {
        let (connections, requests) = (&counts.connections, &counts.requests);
        let text = format!("{} {}", connections.swap(0, Ordering::Relaxed), requests.swap(0, Ordering::Relaxed));
        return Ok(Response::new(Full::new(text.into())));
    }
    counts.requests.fetch_add(1, Ordering::Relaxed);
    let query = request.uri().query().unwrap_or_default().to_owned();
    let method = request.method().to_string();
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    // `/kept/7/r12.git/…`: the number only makes one repository many.
    let mut parts = path.splitn(4, '/').skip(1);
    let (way, _, below) = (parts.next().unwrap_or(""), parts.next(), parts.next().unwrap_or("").to_owned());
    let key = (format!("{below}?{query}"), body);
    let known = if way == "kept" { kept.lock().expect("no panic").get(&key).cloned() } else { None };
    let bytes = if let Some(bytes) = known {
        bytes
    } else {
        let bytes = backend(&root, &method, &below, &query, &key.1).await;
        kept.lock().expect("no panic").insert(key, bytes.clone());
        bytes
    };
    let kind = if method == "GET" { "advertisement" } else { "result" };
    let response = Response::builder().header("content-type", format!("application/x-git-upload-pack-{kind}"));
    Ok(response.body(Full::new(bytes)).expect("headers are fine"))
}

/// Git's own CGI program, in protocol 2.
async fn backend(root: &Path, method: &str, path: &str, query: &str, body: &Bytes) -> Bytes {
    let mut git = tokio::process::Command::new("git");
    git.arg("http-backend").env("GIT_PROJECT_ROOT", root).env("GIT_HTTP_EXPORT_ALL", "1");
    git.env("PATH_INFO", format!("/{path}")).env("REQUEST_METHOD", method).env("QUERY_STRING", query);
    git.env("CONTENT_LENGTH", body.len().to_string()).env("CONTENT_TYPE", "application/x-git-upload-pack-request");
    git.env("GIT_PROTOCOL", "version=2").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = git.spawn().expect("git");
    let mut stdin = child.stdin.take().expect("a pipe");
    let _ = stdin.write_all(body).await;
    drop(stdin);
    let output = child.wait_with_output().await.expect("git").stdout;
    let end = output.windows(4).position(|four| four == b"\r\n\r\n").map_or(output.len(), |end| end + 4);
    Bytes::copy_from_slice(&output[end..])
}
