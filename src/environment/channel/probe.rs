//! Asks whether a conda channel answers from this machine.

use std::time::Duration;

/// The channel that environments use when they name none.
pub const CONDA_FORGE: &str = "https://conda.anaconda.org/conda-forge";

/// How long [`answers`] waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether the channel at `url` can be used: its package list is there and starts arriving within five seconds.
///
/// Proxies and extra certificates of the environment are honoured; no answer, an error page and a name that does not
/// resolve are all `false`.
pub async fn answers(url: &str) -> bool {
    let Ok(client) = reqwest::Client::builder().timeout(PATIENCE).connect_timeout(PATIENCE).build() else {
        return false;
    };
    let list = format!("{}/noarch/repodata.json.zst", url.trim_end_matches('/'));
    matches!(client.head(list).send().await, Ok(response) if response.status().is_success())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn server(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 1024];
            let length = stream.read(&mut buffer).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        });
        (format!("http://{address}/conda-forge/"), asked)
    }

    #[tokio::test]
    async fn a_channel_that_has_its_list_answers() {
        let (url, asked) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        assert!(answers(&url).await);
        assert!(asked.await.unwrap().starts_with("HEAD /conda-forge/noarch/repodata.json.zst "));
    }

    #[tokio::test]
    async fn an_error_page_and_a_closed_port_do_not() {
        let (url, asked) = server("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
        assert!(!answers(&url).await);
        asked.await.unwrap();
        assert!(!answers("http://127.0.0.1:9").await);
    }
}
