//! Two mirrors of one channel: where the first one fails, the second one is asked.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use soopervisor::environment::Wish;

use crate::engines::{Builder, Play};
use crate::store::Fixture;

/// A web server at an address of this machine, with the files of a folder or with nothing but `503`; and how often it was
/// asked.
pub(crate) fn serve(host: &str, folder: Option<PathBuf>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((host, 0)).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked: Arc<AtomicUsize> = Arc::default();
    let counter = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            counter.fetch_add(1, Ordering::SeqCst);
            let folder = folder.clone();
            std::thread::spawn(move || answer(stream, folder.as_deref()));
        }
    });
    (address, asked)
}

fn answer(mut stream: TcpStream, folder: Option<&Path>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    while lines.next().is_some_and(|line| !line.is_empty()) {}
    let target = first.split([' ', '?']).nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let (status, body) = match folder.map(|folder| fs::read(folder.join(target))) {
        None => ("503 Service Unavailable", Vec::new()),
        Some(Ok(bytes)) => ("200 OK", bytes),
        Some(Err(_)) => ("404 Not Found", Vec::new()),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes());
    if !first.starts_with("HEAD") {
        let _ = stream.write_all(&body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_first_mirror_fails_the_second_one_is_asked() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for first in [None, Some(format!("http://{nobody}"))] {
        let mut fixture = Fixture::new();
        let (failing, asked) = serve("127.0.0.1", None);
        let (whole, _) = serve("127.0.0.1", Some(fixture.folder.path().join("channel")));
        let gone = first.clone();
        fixture.config.mirrors.insert("conda-forge".to_owned(), vec![first.unwrap_or(failing), whole]);
        let inputs = fixture.inputs(&["python"], &["ploomber"]);
        let (built, told) = fixture.wish(&inputs, &Builder::new(Play::Install), Wish::AsKept).await;
        let built = built.unwrap_or_else(|error| panic!("{error}\n{told}"));
        assert!(built.host_prefix.join("bin/pip").is_file());
        let url = built.lock["conda"][0]["url"].as_str().unwrap();
        assert!(url.starts_with("https://conda.anaconda.org/conda-forge/"), "{url}");
        assert!(gone.is_some() || asked.load(Ordering::SeqCst) > 0, "the first one is tried first");
    }
}
