//! The connection below each request to an engine of this machine, or of one that ssh reaches.
//!
//! Made here and not by bollard, for two reasons: its readers take eight kilobytes at a time, which a pipeline that prints
//! much pays for by the call; and its ssh leaves a process behind when a connection is given up while it is made. Knows
//! nothing of what is asked.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};
use std::time::Duration;

use bollard::errors::Error;
use bollard::{BollardRequest, ClientVersion};
use http::Response;
use http::header::{HOST, HeaderValue};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, BufReader, Join, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use super::connect::NEVER;
use crate::secret::withhold;

/// What is read at a time, as far as it is there.
const READ_AHEAD: usize = 128 * 1024;

/// How much of ssh's complaint is told.
const WORDS: u64 = 2048;
/// How long ssh's complaint is waited for once its connection has broken off.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A client for the engine behind a unix socket.
pub(super) fn unix(socket: &Path, version: &ClientVersion) -> Result<bollard::Docker, Error> {
    let socket = socket.to_owned();
    let ask = move |request| over_unix(socket.clone(), request);
    bollard::Docker::connect_with_custom_transport(ask, Some("unix://engine"), NEVER, version)
}

/// A client for the engine that `docker system dial-stdio` reaches on a host that ssh knows.
pub(super) fn ssh(host: Host, version: &ClientVersion) -> Result<bollard::Docker, Error> {
    let ask = move |request| over_ssh(host.clone(), request);
    bollard::Docker::connect_with_custom_transport(ask, Some("ssh://engine"), NEVER, version)
}

async fn over_unix(socket: PathBuf, request: BollardRequest) -> Result<Response<Incoming>, Error> {
    send(tokio::net::UnixStream::connect(socket).await?, request).await
}

/// One request on a connection of its own. An answer's body, or what the connection is upgraded to, keeps it open.
async fn send<Io>(io: Io, request: BollardRequest) -> Result<Response<Incoming>, Error>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(BufReader::with_capacity(READ_AHEAD, io));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to the engine ended");
        }
    });
    Ok(sender.send_request(origin_form(request)?).await?)
}

/// As a server that is no proxy wants it: the path alone in the first line, and a `Host`.
fn origin_form(mut request: BollardRequest) -> Result<BollardRequest, Error> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse::<http::Uri>().map_err(http::Error::from)?;
    request.headers_mut().insert(HOST, HeaderValue::from_static("engine"));
    Ok(request)
}

/// Whom ssh is told to reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    user: Option<String>,
    name: String,
    port: Option<u16>,
}

impl Host {
    /// Of `ssh://[USER@]HOST[:PORT]`; `None` for anything else.
    pub(super) fn parse(url: &str) -> Option<Self> {
        let uri: http::Uri = url.strip_suffix('/').unwrap_or(url).parse().ok()?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("ssh"))?;
        // A path would name another socket there, which `dial-stdio` cannot be told.
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return None;
        }
        let (user, place) = match authority.as_str().rsplit_once('@') {
            // A password has no place on a command line.
            Some((user, place)) if !user.is_empty() && !user.contains(':') => (Some(user.to_owned()), place),
            Some(_) => return None,
            None => (None, authority.as_str()),
        };
        let port = authority.port().map(|port| port.as_u16());
        let name = port.map_or(place, |_| place.rsplit_once(':').map_or(place, |(name, _)| name));
        let name = name.trim_start_matches('[').trim_end_matches(']');
        (!name.is_empty()).then(|| Self { user, name: name.to_owned(), port })
    }

    /// The call, as Docker's own client makes it; nobody is there to be asked for a password.
    fn command(&self) -> Command {
        let mut command = Command::new("ssh");
        withhold(command.as_std_mut());
        command.args(["-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=30"]);
        if let Some(user) = &self.user {
            command.args(["-l", user]);
        }
        if let Some(port) = self.port {
            command.args(["-p", &port.to_string()]);
        }
        // What follows is no option, whatever it begins with.
        command.args(["--", &self.name, "docker", "system", "dial-stdio"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}

async fn over_ssh(host: Host, request: BollardRequest) -> Result<Response<Incoming>, Error> {
    let mut child = host.command().spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::other("the `ssh` program is not installed"),
        _ => error,
    })?;
    let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
    };
    let words = tokio::spawn(listen(stderr));
    let broken = match send(Through { pipes: tokio::io::join(stdout, stdin), _child: child }, request).await {
        Ok(answer) => return Ok(answer),
        Err(error) => error,
    };
    match tokio::time::timeout(LAST_WORDS, words).await {
        Ok(Ok(words)) if !words.is_empty() => Err(io::Error::other(words).into()),
        _ => Err(broken),
    }
}

/// What ssh says beside the connection, its beginning; the rest is taken too, because nobody else reads it.
async fn listen(mut stderr: ChildStderr) -> String {
    let mut words = Vec::new();
    let _ = (&mut stderr).take(WORDS).read_to_end(&mut words).await;
    let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&words).trim().replace(['\r', '\n'], "; ").replace("; ; ", "; ")
}

/// The two pipes of an ssh process, which ends with them.
struct Through {
    pipes: Join<ChildStdout, ChildStdin>,
    _child: Child,
}

impl AsyncRead for Through {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipes).poll_read(cx, buf)
    }
}

impl AsyncWrite for Through {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.pipes).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipes).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipes).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_read_as_docker_reads_it() {
        let host = |user: Option<&str>, name: &str, port| {
            Some(Host { user: user.map(str::to_owned), name: name.to_owned(), port })
        };
        assert_eq!(Host::parse("ssh://far"), host(None, "far", None));
        assert_eq!(Host::parse("ssh://me@far:2222/"), host(Some("me"), "far", Some(2222)));
        assert_eq!(Host::parse("ssh://me@[fe80::1]:22"), host(Some("me"), "fe80::1", Some(22)));
        for refused in ["ssh://", "ssh://@far", "ssh://me:secret@far", "ssh://far/var/run/x.sock", "far", "tcp://far"] {
            assert_eq!(Host::parse(refused), None, "{refused}");
        }
    }

    #[test]
    fn a_host_that_looks_like_an_option_is_none() {
        let host = Host { user: Some("me".to_owned()), name: "-oProxyCommand=touch x".to_owned(), port: Some(2222) };
        let command = host.command();
        let args: Vec<_> = command.as_std().get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
        let at = args.iter().position(|arg| arg == "--").unwrap();
        assert_eq!(args[at + 1..], ["-oProxyCommand=touch x", "docker", "system", "dial-stdio"]);
        assert_eq!(args[at - 4..at], ["-l", "me", "-p", "2222"]);
    }
}
