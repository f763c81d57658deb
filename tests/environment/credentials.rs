//! Channels and mirrors that ask who is there: the right credential goes to the right server and is written nowhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use soopervisor::environment::{Credential, Inputs, Login, RawEnvironment, Wish};
use soopervisor::secret::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::engines::{Builder, Play};
use crate::store::Fixture;

const PASSWORD: &str = "hunter2-of-the-mirror";

/// A web server with a channel below `/team/`, which answers 401 to whoever lacks the header or the path.
struct Server {
    address: String,
    refused: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// `header` is the value of `Authorization` that it wants; a `path` stands in front of `/team/`.
    async fn of(channel: PathBuf, header: Option<String>, path: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let refused: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&refused);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (channel, header, noted) = (channel.clone(), header.clone(), Arc::clone(&noted));
                tokio::spawn(async move { answer(stream, &channel, header.as_deref(), path, &noted).await });
            }
        });
        Self { address, refused }
    }
}

async fn answer(mut stream: TcpStream, channel: &Path, header: Option<&str>, path: &str, refused: &Mutex<Vec<String>>) {
    let mut asked = Vec::new();
    while !asked.ends_with(b"\r\n\r\n") {
        let mut byte = [0; 1];
        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
            return;
        }
        asked.push(byte[0]);
    }
    let asked = String::from_utf8(asked).unwrap();
    let target = asked.split(' ').nth(1).unwrap_or_default().to_owned();
    let given = asked.lines().find_map(|line| line.to_lowercase().starts_with("authorization: ").then(|| &line[15..]));
    let inside = target.strip_prefix(path).and_then(|rest| rest.strip_prefix("/team/"));
    let (status, body) = match inside {
        Some(file) if given == header => match fs::read(channel.join(file)) {
            Ok(bytes) => ("200 OK", bytes),
            Err(_) => ("404 Not Found", Vec::new()),
        },
        _ => {
            refused.lock().unwrap().push(target);
            ("401 Unauthorized", Vec::new())
        }
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).await;
    if !asked.starts_with("HEAD") {
        let _ = stream.write_all(&body).await;
    }
    let _ = stream.shutdown().await;
}

fn basic(user: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{PASSWORD}")))
}

fn inputs(fixture: &Fixture, channel: &str) -> Inputs {
    let raw = RawEnvironment {
        channels: Some(vec![channel.to_owned()]),
        conda: vec!["python".to_owned(), "pip".to_owned()],
        ..RawEnvironment::default()
    };
    let secret = |name: &str| (name == "TOKEN").then(|| PASSWORD.to_owned());
    Inputs::new(&raw, &fixture.config, &secret).unwrap()
}

/// Builds from the server, and looks for the password in everything that is left.
async fn builds(fixture: &Fixture, inputs: &Inputs, server: &Server) {
    let (built, told) = fixture.wish(inputs, &Builder::new(Play::Install), Wish::AsKept).await;
    let built = built.unwrap_or_else(|error| panic!("{error}; refused: {:?}", server.refused.lock().unwrap()));
    assert!(built.host_prefix.join("bin/pip").is_file());
    assert_eq!(*server.refused.lock().unwrap(), [""; 0], "nothing is asked without the credential");
    assert!(!told.contains(PASSWORD) && !format!("{:?}", built.lock).contains(PASSWORD));
    let needle = PASSWORD.as_bytes();
    let mut open = vec![fixture.config.root.clone()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                open.push(path);
            } else if let Ok(bytes) = fs::read(&path) {
                assert!(!bytes.windows(needle.len()).any(|window| window == needle), "{}", path.display());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_with_a_password_in_its_address_is_asked_with_it() {
    let mut fixture = Fixture::new();
    let server = Server::of(fixture.folder.path().join("channel"), Some(basic("me")), "").await;
    let address = format!("http://me:{PASSWORD}@{}/team", server.address);
    fixture.config.mirrors.insert("conda-forge".to_owned(), vec![address]);
    let inputs = inputs(&fixture, "conda-forge");
    builds(&fixture, &inputs, &server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_finds_its_password_in_netrc() {
    let mut fixture = Fixture::new();
    let server = Server::of(fixture.folder.path().join("channel"), Some(basic("me")), "").await;
    let netrc = fixture.folder.path().join("netrc");
    fs::write(&netrc, format!("machine 127.0.0.1 login me password {PASSWORD}\n")).unwrap();
    fixture.config.netrc = Some(netrc);
    fixture.config.mirrors.insert("conda-forge".to_owned(), vec![format!("http://{}/team", server.address)]);
    let inputs = inputs(&fixture, "conda-forge");
    builds(&fixture, &inputs, &server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_config_yaml_reaches_its_server() {
    let mut fixture = Fixture::new();
    let header = Some(format!("Bearer {PASSWORD}"));
    let server = Server::of(fixture.folder.path().join("channel"), header, "").await;
    let login = Login::Bearer(Secret::new("mirror", PASSWORD.as_bytes().to_vec()));
    fixture.config.credentials = vec![Credential { host: "127.0.0.1".to_owned(), login }];
    fixture.config.mirrors.insert("conda-forge".to_owned(), vec![format!("http://{}/team", server.address)]);
    let inputs = inputs(&fixture, "conda-forge");
    builds(&fixture, &inputs, &server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_s_own_token_and_password_stay_out_of_prefix_lock_and_key() {
    let fixture = Fixture::new();
    let path = "/t/hunter2-of-the-mirror";
    let server = Server::of(fixture.folder.path().join("channel"), None, path).await;
    let team = inputs(&fixture, &format!("http://{}/t/${{TOKEN}}/team", server.address));
    builds(&fixture, &team, &server).await;
    let fixture = Fixture::new();
    let server = Server::of(fixture.folder.path().join("channel"), Some(basic("me")), "").await;
    let team = inputs(&fixture, &format!("http://me:${{TOKEN}}@{}/team", server.address));
    builds(&fixture, &team, &server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_name_is_asked_without_this_machines_logins() {
    let mut fixture = Fixture::new();
    let server = Server::of(fixture.folder.path().join("channel"), Some(basic("me")), "").await;
    let netrc = fixture.folder.path().join("netrc");
    fs::write(&netrc, format!("machine 127.0.0.1 login me password {PASSWORD}\n")).unwrap();
    fixture.config.netrc = Some(netrc);
    let login = Login::Basic { user: "me".to_owned(), password: Secret::new("server", PASSWORD.into()) };
    fixture.config.credentials = vec![Credential { host: "127.0.0.1".to_owned(), login }];
    let inputs = inputs(&fixture, &format!("http://{}/team", server.address));
    fixture.config.strangers = true;
    let (result, _) = fixture.wish(&inputs, &Builder::new(Play::Install), Wish::AsKept).await;
    assert!(result.unwrap_err().to_string().contains("401"));
    assert!(!server.refused.lock().unwrap().is_empty());
    // The same channel, for this machine's own projects.
    fixture.config.strangers = false;
    server.refused.lock().unwrap().clear();
    builds(&fixture, &inputs, &server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_without_repeating_it() {
    let mut fixture = Fixture::new();
    let server = Server::of(fixture.folder.path().join("channel"), Some(basic("me")), "").await;
    let address = format!("http://you:{PASSWORD}@{}/team", server.address);
    fixture.config.mirrors.insert("conda-forge".to_owned(), vec![address]);
    let inputs = inputs(&fixture, "conda-forge");
    let (result, told) = fixture.wish(&inputs, &Builder::new(Play::Install), Wish::AsKept).await;
    let error = result.unwrap_err().to_string();
    assert!(error.contains("conda-forge") && error.contains("401"), "{error}");
    assert!(!error.contains(PASSWORD) && !told.contains(PASSWORD), "{error}");
}
