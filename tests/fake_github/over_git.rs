//! Git over HTTP: git's own server program, spoken to as a CGI script.

use std::path::PathBuf;
use std::process::Stdio;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::Shared;
use super::serve::{Ask, Reply};

impl Shared {
    pub fn bare(&self, repo: &str) -> PathBuf {
        self.folder.path().join(format!("{repo}.git"))
    }

    /// What git prints in a bare repository; `None` when it fails.
    pub async fn git(&self, repo: &str, args: &[&str]) -> Option<Vec<u8>> {
        let output = Command::new("git").args(args).current_dir(self.bare(repo)).output().await.ok()?;
        output.status.success().then_some(output.stdout)
    }

    pub async fn sha(&self, repo: &str, revision: &str) -> Option<String> {
        let wanted = format!("{revision}^{{commit}}");
        let found = self.git(repo, &["rev-parse", "--verify", "-q", "--end-of-options", &wanted]).await?;
        Some(String::from_utf8(found).ok()?.trim().to_owned())
    }
}

/// `/owner/name.git/…` or `/owner/name/info/refs`, as git asks.
pub fn is_git(path: &str) -> bool {
    ["/info/refs", "/git-upload-pack", "/git-receive-pack"].iter().any(|end| path.ends_with(end))
}

pub async fn answer(shared: &Shared, ask: &Ask) -> Reply {
    let trimmed = ask.path.trim_start_matches('/');
    let mut parts = trimmed.splitn(3, '/');
    let (owner, name, rest) = (parts.next().unwrap(), parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let repo = format!("{owner}/{}", name.trim_end_matches(".git"));
    let private = shared.state().private.contains(&repo);
    if (private || rest.contains("receive")) && ask.account.is_none() {
        return Reply::text(401, "Authentication required").with("www-authenticate", "Basic realm=\"GitHub\"");
    }
    let mut command = Command::new("git");
    command.arg("http-backend").env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("GIT_PROJECT_ROOT", shared.folder.path()).env("GIT_HTTP_EXPORT_ALL", "1");
    command.env("PATH_INFO", format!("/{repo}.git/{rest}")).env("REQUEST_METHOD", &ask.method);
    command.env("QUERY_STRING", &ask.query).env("REMOTE_ADDR", "127.0.0.1").env("HOME", shared.folder.path());
    command.env("CONTENT_TYPE", ask.header("content-type")).env("GIT_PROTOCOL", ask.header("git-protocol"));
    command.env("HTTP_CONTENT_ENCODING", ask.header("content-encoding"));
    command.env("CONTENT_LENGTH", ask.body.len().to_string()).env("REMOTE_USER", "somebody");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let body = ask.body.clone();
    let writing = tokio::spawn(async move {
        let _ = stdin.write_all(&body).await;
    });
    let output = child.wait_with_output().await.unwrap().stdout;
    let _ = writing.await;
    let end = output.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(output.len().saturating_sub(4));
    let mut reply = Reply { status: 200, headers: Vec::new(), body: Bytes::copy_from_slice(&output[end + 4..]) };
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let Some((name, value)) = line.split_once(": ") else { continue };
        match name {
            "Status" => reply.status = value.split(' ').next().and_then(|code| code.parse().ok()).unwrap_or(500),
            _ => reply.headers.push((name.to_ascii_lowercase(), value.to_owned())),
        }
    }
    reply
}
