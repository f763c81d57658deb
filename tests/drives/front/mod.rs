//! A proxy that lets clients which know only the vendors' https addresses reach the fake: it takes `CONNECT`, shows a
//! certificate of its own authority, and passes plain HTTP on. It reaches the fake and nothing else.
//!
//! Needs `crate::fake` beside it, and `openssl`.

#![allow(
    clippy::enum_variant_names,
    dead_code,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    unreachable_pub
)]

pub mod rclone;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Whose hosts it stands for.
const HOSTS: &str = "DNS:*.box.com,DNS:*.boxcloud.com,DNS:*.dropboxapi.com,DNS:*.dropbox.com,DNS:graph.microsoft.com,\
                     DNS:login.microsoftonline.com,DNS:*.onedrive.com,DNS:*.files.onedrive.com,DNS:*.googleapis.com,\
                     DNS:accounts.google.com";
const LONGEST_HEAD: usize = 8192;

pub struct Front {
    address: SocketAddr,
    folder: tempfile::TempDir,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Front {
    /// Leads to the fake at this address.
    pub async fn start(fake: SocketAddr) -> Self {
        let folder = tempfile::Builder::new().prefix("front-").tempdir().unwrap();
        make_certificates(folder.path());
        let chain = CertificateDer::pem_file_iter(folder.path().join("leaf.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(folder.path().join("leaf.key")).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain.map(Result::unwrap).collect(), key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                while connections.try_join_next().is_some() {}
                connections.spawn(lead(stream, acceptor.clone(), fake));
            }
        });
        Self { address, folder, task }
    }

    /// For `HTTPS_PROXY`.
    pub fn proxy(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The certificate of the authority that clients have to trust.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
}

fn openssl(folder: &Path, words: &str) {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(words.split_whitespace());
    let output = command.output().expect("openssl is needed: `make test` installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn make_certificates(folder: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    openssl(folder, &format!("req -x509 {key} -subj /CN=lab -keyout ca.key -out ca.pem"));
    let leaf = "-subj /CN=front -addext basicConstraints=critical,CA:FALSE -addext extendedKeyUsage=serverAuth";
    openssl(
        folder,
        &format!(
            "req -x509 -CA ca.pem -CAkey ca.key {key} {leaf} -addext subjectAltName={HOSTS} -keyout leaf.key -out leaf.pem"
        ),
    );
}

/// One connection: the head of `CONNECT`, then TLS, then bytes both ways.
async fn lead(mut stream: TcpStream, acceptor: TlsAcceptor, fake: SocketAddr) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
        if head.len() > LONGEST_HEAD {
            return None;
        }
    }
    if !head.starts_with(b"CONNECT ") {
        stream.write_all(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n").await.ok()?;
        return None;
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
    let mut inner = acceptor.accept(stream).await.ok()?;
    let mut outer = TcpStream::connect(fake).await.ok()?;
    tokio::io::copy_bidirectional_with_sizes(&mut inner, &mut outer, 1 << 17, 1 << 17).await.ok()?;
    Some(())
}
