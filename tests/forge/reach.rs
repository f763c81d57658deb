//! Closed networks: a proxy on the way, and a server whose certificate a company signed itself.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::{Arc, Mutex};

use soopervisor::forge::Forge;
use soopervisor::forge::github::{GitHub, Login};
use soopervisor::gha::{Fetch, fetch};
use soopervisor::secret::Secret;
use soopervisor::web::Reach;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use crate::{REPO, Scene, repo};

fn login() -> Login {
    Login::Token(Secret::new("token", b"token-of-ann".to_vec()))
}

#[tokio::test]
async fn a_server_behind_a_proxy_is_reached_through_it_with_the_proxys_password() {
    let scene = Scene::open().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://me:sesame@{}", listener.local_addr().unwrap());
    let to = scene.fake.server().replace("http://", "");
    let seen = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = vec![0; 64 * 1024];
        let read = stream.read(&mut buffer).unwrap();
        let asked = String::from_utf8_lossy(&buffer[..read]).into_owned();
        let mut there = std::net::TcpStream::connect(to).unwrap();
        there.write_all(asked.replace("HTTP/1.1\r\n", "HTTP/1.1\r\nconnection: close\r\n").as_bytes()).unwrap();
        let mut answer = Vec::new();
        there.read_to_end(&mut answer).unwrap();
        stream.write_all(&answer).unwrap();
        asked
    });
    let reach = Reach { ca_bundle: None, proxies: BTreeMap::from([("HTTP_PROXY".to_owned(), proxy)]) };
    let forge = GitHub::open(&scene.fake.enterprise_api(), login(), &reach).unwrap();
    assert_eq!(forge.pull(&repo(), 7).await.unwrap().number, 7);
    let asked = seen.join().unwrap().to_lowercase();
    assert!(asked.starts_with("get http://127.0.0.1:") && asked.contains("proxy-authorization: basic"), "{asked}");
}

/// A front that speaks TLS with a certificate of its own, for `localhost`.
async fn front(to: String, dir: &std::path::Path) -> u16 {
    let file = |name: &str| dir.join(name).display().to_string();
    let words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"];
    let more = [
        "-addext",
        "subjectAltName=DNS:localhost",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-keyout",
        &file("key.pem"),
        "-out",
        &file("ca.pem"),
    ];
    let made = Command::new("openssl").args(words).args(more).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let pem = |name: &str, label: &str| {
        let text = std::fs::read_to_string(dir.join(name)).unwrap();
        let body: String = text.lines().filter(|line| !line.contains("-----")).collect();
        assert!(text.contains(label));
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, body).unwrap()
    };
    let certificate = CertificateDer::from(pem("ca.pem", "CERTIFICATE"));
    let key = PrivatePkcs8KeyDer::from(pem("key.pem", "PRIVATE KEY")).into();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, to) = (acceptor.clone(), to.clone());
            tokio::spawn(async move {
                let Ok(tls) = acceptor.accept(stream).await else { return };
                let there = tokio::net::TcpStream::connect(to).await.unwrap();
                let ((mut read, mut write), (mut from, mut into)) = (tokio::io::split(tls), tokio::io::split(there));
                tokio::spawn(async move { pipe(&mut read, &mut into).await });
                pipe(&mut from, &mut write).await;
            });
        }
    });
    port
}

async fn pipe(from: &mut (impl AsyncReadExt + Unpin), to: &mut (impl AsyncWriteExt + Unpin)) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..read]).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
}

/// A proxy that lets through what it is asked for by CONNECT with a password: where it is, and what it was asked.
async fn tunnel() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, asked) = (listener.local_addr().unwrap().to_string(), Arc::<Mutex<Vec<String>>>::default());
    let noted = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let noted = Arc::clone(&noted);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let to = head.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap().to_owned();
                let known = head.to_lowercase().contains("\r\nproxy-authorization: basic bwu6c2vzyw1l\r\n");
                noted.lock().unwrap().push(head);
                if !known {
                    let refusal = b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                    return stream.write_all(refusal).await.unwrap();
                }
                let there = tokio::net::TcpStream::connect(to).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                let ((mut read, mut write), (mut from, mut into)) = (tokio::io::split(stream), tokio::io::split(there));
                tokio::spawn(async move { pipe(&mut read, &mut into).await });
                pipe(&mut from, &mut write).await;
            });
        }
    });
    (at, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn git_brings_a_commit_through_a_proxy_from_a_server_whose_certificate_a_company_signed() {
    let scene = Scene::open().await;
    scene.fake.state().private.push(REPO.to_owned());
    let dir = tempfile::tempdir().unwrap();
    let port = front(scene.fake.server().replace("http://", ""), dir.path()).await;
    let (proxy, asked) = tunnel().await;
    let bring = async |bundle: Option<&str>, to: &str| {
        // Whatever this machine excepts from its proxies.
        let proxies = [("HTTPS_PROXY", format!("http://me:sesame@{proxy}")), ("NO_PROXY", String::new())];
        let wanted = Fetch {
            server: format!("https://localhost:{port}"),
            repo: repo(),
            commit: scene.second.parse().unwrap(),
            token: Some(Secret::new("token", b"token-of-ann".to_vec())),
            reach: Reach {
                ca_bundle: bundle.map(|name| dir.path().join(name)),
                proxies: proxies.map(|(name, value)| (name.to_owned(), value)).into(),
            },
            strangers: false,
        };
        let to = dir.path().join(to);
        tokio::task::spawn_blocking(move || fetch(&wanted, &to)).await.unwrap()
    };
    bring(Some("ca.pem"), "here").await.unwrap();
    assert!(dir.path().join("here/soopervisor.yaml").is_file());
    let heads = std::mem::take(&mut *asked.lock().unwrap());
    assert!(!heads.is_empty(), "it was not asked by way of the proxy");
    for head in heads {
        assert!(head.starts_with(&format!("CONNECT localhost:{port} ")), "{head}");
        assert!(!head.to_lowercase().contains("\r\nauthorization"), "the token is for the server only: {head}");
    }
    let refused = bring(None, "elsewhere").await.unwrap_err().to_string();
    assert!(refused.contains("certificate"), "{refused}");
}

#[tokio::test]
async fn a_certificate_that_a_company_signed_is_trusted_when_its_bundle_is_named_and_not_before() {
    let scene = Scene::open().await;
    let dir = tempfile::tempdir().unwrap();
    let port = front(scene.fake.server().replace("http://", ""), dir.path()).await;
    let api = format!("https://localhost:{port}/api/v3");
    let named = Reach { ca_bundle: Some(dir.path().join("ca.pem")), proxies: BTreeMap::new() };
    let forge = GitHub::open(&api, login(), &named).unwrap();
    assert_eq!(forge.pull(&repo(), 7).await.unwrap().number, 7);
    let elsewhere = tempfile::tempdir().unwrap();
    let port = front(scene.fake.server().replace("http://", ""), elsewhere.path()).await;
    let another = format!("https://localhost:{port}/api/v3");
    for (api, reach) in [(&api, &Reach::default()), (&another, &named)] {
        let forge = GitHub::open(api, login(), reach).unwrap();
        // One change, which is not repeated: reading would be patient with a way that breaks.
        let fault = forge.add_comment(&repo(), 7, "x").await.unwrap_err();
        assert!(fault.to_string().contains("certificate"), "{fault}");
    }
    assert_eq!(scene.fake.state().comments.len(), 0);
}
