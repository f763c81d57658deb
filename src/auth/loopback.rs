//! The other end of a redirect: a server on this machine that waits for one browser with the right `state`.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use url::Url;

use super::{Consent, Grant, Issuer, Provider};
use crate::secret::Secret;
use crate::web::Fault;

/// How long a person has to agree.
const PATIENCE: Duration = Duration::from_mins(5);
/// A browser that connects and says nothing is not waited for longer.
const SILENCE: Duration = Duration::from_secs(10);
const LONGEST: usize = 16 * 1024;

/// A server that waits for one answer.
#[derive(Debug)]
pub struct Loopback {
    listener: TcpListener,
    /// `localhost` may be this one, too.
    second: Option<TcpListener>,
    redirect: String,
}

/// What a browser brought.
enum Brought {
    Code(Secret),
    Refused(String),
}

impl Loopback {
    /// Listens on this machine only: on `port`, or on the one that apps of this vendor are registered with.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn open(provider: Provider, port: Option<u16>) -> Result<Self, Fault> {
        let port = port.unwrap_or(provider.port());
        let taken = |host: &str, port: u16, error: std::io::Error| {
            Fault::Local(format!("{host}:{port} cannot be listened on ({error}); is another login waiting?"))
        };
        let first = TcpListener::bind(("127.0.0.1", port)).await;
        let listener = first.map_err(|error| taken("127.0.0.1", port, error))?;
        let port = listener.local_addr().map_err(|error| taken("127.0.0.1", port, error))?.port();
        let redirect = provider.redirect(port);
        let second = if redirect.starts_with("http://localhost:") {
            // Browsers try it first; what somebody else listened on there would get the answer.
            match TcpListener::bind(("::1", port)).await {
                Ok(listener) => Some(listener),
                Err(error) if error.kind() == ErrorKind::AddrInUse => return Err(taken("[::1]", port, error)),
                // There is no IPv6 here.
                Err(_) => None,
            }
        } else {
            None
        };
        Ok(Self { listener, second, redirect })
    }

    /// Where a browser is to be sent.
    pub fn redirect(&self) -> String {
        self.redirect.clone()
    }

    /// The next browser that connects.
    async fn next(&self) -> std::io::Result<TcpStream> {
        let second = async {
            match &self.second {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        let accepted = tokio::select! {
            accepted = self.listener.accept() => accepted,
            accepted = second => accepted,
        };
        accepted.map(|(stream, _)| stream)
    }

    /// Waits for the answer to `consent`, and takes the tokens for it at once: a code may live 30 seconds.
    ///
    /// # Errors
    /// [`Fault::Login`] when the person declined or did nothing.
    pub async fn wait(self, issuer: &Issuer, consent: &Consent) -> Result<Grant, Fault> {
        let again = |what: &str| Fault::Login(format!("{what}; once more: `{}`", issuer.login_by_browser()));
        let (tell, mut told) = mpsc::channel(1);
        let accept = async {
            loop {
                // One broken connection says nothing about the next.
                let Ok(stream) = self.next().await else { continue };
                let (tell, state) = (tell.clone(), consent.state.clone());
                tokio::spawn(async move {
                    if let Ok(Some(brought)) = tokio::time::timeout(SILENCE, hear(stream, &state)).await {
                        let _ = tell.send(brought).await;
                    }
                });
            }
        };
        let brought = tokio::select! {
            brought = told.recv() => brought,
            () = accept => None,
            () = tokio::time::sleep(PATIENCE) => return Err(again("nobody agreed within five minutes")),
        };
        match brought {
            Some(Brought::Code(code)) => issuer.agreed(consent, &code).await,
            Some(Brought::Refused(why)) => Err(again(&format!("the login was declined ({why})"))),
            None => Err(again("the login broke off")),
        }
    }
}

/// Reads one request and answers it; what is not for us gets an answer and changes nothing.
async fn hear(mut stream: TcpStream, state: &str) -> Option<Brought> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < LONGEST {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => head.extend_from_slice(&buffer[..read]),
        }
    }
    let line = String::from_utf8_lossy(&head);
    let mut words = line.lines().next().unwrap_or_default().split(' ');
    let target = words.next().filter(|method| *method == "GET").and_then(|_| words.next());
    let url = target.and_then(|target| Url::parse("http://127.0.0.1").ok()?.join(target).ok());
    let Some(url) = url.filter(|url| url.path() == "/") else {
        answer(&mut stream, "404 Not Found", "There is nothing here.").await;
        return None;
    };
    let value = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    if value("state").as_deref() != Some(state) {
        let words = "This is not the answer to the login that soopervisor waits for.";
        answer(&mut stream, "400 Bad Request", words).await;
        return None;
    }
    match (value("code"), value("error")) {
        (Some(code), None) if !code.is_empty() => {
            answer(&mut stream, "200 OK", "soopervisor has what it needs. You can close this window.").await;
            Some(Brought::Code(Secret::new("code", code.into_bytes())))
        }
        (_, Some(error)) => {
            answer(&mut stream, "200 OK", "The login was declined. You can close this window.").await;
            Some(Brought::Refused(error.chars().filter(char::is_ascii_graphic).take(60).collect()))
        }
        _ => {
            answer(&mut stream, "400 Bad Request", "There is no code in this answer.").await;
            None
        }
    }
}

async fn answer(stream: &mut TcpStream, status: &str, words: &str) {
    let text = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         referrer-policy: no-referrer\r\nconnection: close\r\n\r\n{words}",
        words.len()
    );
    // A browser that is gone has seen enough.
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}
