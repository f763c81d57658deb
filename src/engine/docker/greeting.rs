//! What an engine says of itself when it is greeted: who it is and which protocol it speaks.
//!
//! A ping tells it in its headers, in a tenth of the time of the version request, for which Docker starts programs. The
//! client library throws these headers away, so they are read here; only over a unix socket. Whoever does not say enough
//! is asked for its version.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// Longer headers are no engine's.
const LONGEST: u64 = 16 * 1024;

/// Who answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Greeting {
    /// `docker 20.10.24`, `podman 4.3.1`.
    pub(super) name: String,
    /// `1.41`.
    pub(super) protocol: String,
}

/// Greets; `None` where the answer does not say both, or there is none.
pub(super) async fn greet(mut socket: UnixStream) -> Option<Greeting> {
    socket.write_all(b"GET /_ping HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n").await.ok()?;
    let mut answer = Vec::new();
    let mut reading = socket.take(LONGEST);
    let end = loop {
        if let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if reading.read_buf(&mut answer).await.ok()? == 0 {
            return None;
        }
    };
    read(std::str::from_utf8(answer.get(..end)?).ok()?)
}

fn read(head: &str) -> Option<Greeting> {
    let mut lines = head.split("\r\n");
    let (version, status) = lines.next()?.split_once(' ')?;
    if !version.starts_with("HTTP/1.") || !status.starts_with("200") {
        return None;
    }
    let fields: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).collect();
    let field =
        |name: &str| fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
    // `Docker/20.10.24+dfsg1 (linux)`, `Libpod/4.3.1 (linux)`.
    let (program, version) = field("Server")?.split_whitespace().next()?.split_once('/')?;
    let program = match program {
        "Docker" => "docker",
        "Libpod" => "podman",
        _ => return None,
    };
    Some(Greeting { name: format!("{program} {version}"), protocol: field("Api-Version")?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(head: &str) -> Option<(String, String)> {
        read(&head.replace('\n', "\r\n")).map(|greeting| (greeting.name, greeting.protocol))
    }

    #[test]
    fn both_engines_are_known_by_their_headers() {
        let docker = "HTTP/1.1 200 OK\napi-version: 1.41\nServer: Docker/20.10.24+dfsg1 (linux)\nOstype: linux";
        assert_eq!(said(docker), Some(("docker 20.10.24+dfsg1".into(), "1.41".into())));
        let podman = "HTTP/1.1 200 OK\nApi-Version: 1.41\nLibpod-Api-Version: 4.3.1\nServer: Libpod/4.3.1 (linux)";
        assert_eq!(said(podman), Some(("podman 4.3.1".into(), "1.41".into())));
    }

    #[test]
    fn whoever_says_less_or_something_else_is_asked_in_another_way() {
        for head in [
            "",
            "HTTP/1.1 200 OK\nServer: Docker/27.0 (linux)",
            "HTTP/1.1 200 OK\nApi-Version: 1.41",
            "HTTP/1.1 200 OK\nApi-Version: 1.41\nServer: nginx/1.22",
            "HTTP/1.1 403 Forbidden\nApi-Version: 1.41\nServer: Docker/20.10.24 (linux)",
            "SSH-2.0-OpenSSH_9.2",
        ] {
            assert_eq!(said(head), None, "{head}");
        }
    }

    #[tokio::test]
    async fn an_answer_in_pieces_is_read_and_an_endless_one_is_given_up() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let speaking = tokio::spawn(async move {
            for piece in ["HTTP/1.1 200 OK\r\nApi-Ver", "sion: 1.41\r\nServer: Docker/26.1.3 (linux)\r", "\n\r\nOK"] {
                theirs.write_all(piece.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(greet(ours).await.map(|greeting| greeting.protocol).as_deref(), Some("1.41"));
        speaking.await.unwrap();

        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let endless = tokio::spawn(async move { while theirs.write_all(&[b'x'; 4096]).await.is_ok() {} });
        assert_eq!(greet(ours).await, None);
        endless.await.unwrap();
    }
}
