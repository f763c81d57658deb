//! A download that goes on where its connection broke.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use reqwest::{Client, RequestBuilder, Response, StatusCode};

use crate::storage::backend::Stream;
use crate::web::{self, Fault, Web};

/// Connections that break one after the other without a byte.
const BREAKS: u32 = 6;
/// Answers that a file is not there yet: Box says so of what was just sent.
const NOT_YET: u32 = 30;
/// Between them, where the service names no time.
const PAUSE: Duration = Duration::from_secs(1);

/// What is asked for: everything.
type Make = Box<dyn Fn(&Client) -> RequestBuilder + Send + Sync>;

struct Download {
    web: Web,
    make: Make,
    at: u64,
    response: Option<Response>,
    breaks: u32,
}

/// The bytes of what `make` asks for, from `offset` on.
///
/// # Errors
/// When it cannot be opened; later faults are in the stream.
pub(super) async fn download(
    web: Web,
    offset: u64,
    make: impl Fn(&Client) -> RequestBuilder + Send + Sync + 'static,
) -> Result<Stream, Fault> {
    let mut download = Download { web, make: Box::new(make), at: offset, response: None, breaks: 0 };
    download.open().await?;
    let stream = futures::stream::try_unfold(download, |mut download| async {
        Ok(download.next().await?.map(|bytes| (bytes, download)))
    });
    Ok(stream.boxed())
}

fn told_to_wait(response: &Response) -> Duration {
    let told = response.headers().get(reqwest::header::RETRY_AFTER).and_then(|told| told.to_str().ok()?.parse().ok());
    told.filter(|seconds| *seconds < 60).map_or(PAUSE, Duration::from_secs)
}

impl Download {
    async fn open(&mut self) -> Result<(), Fault> {
        let (make, at) = (&self.make, self.at);
        let ranged = |client: &Client| match at {
            0 => make(client),
            at => make(client).header("range", format!("bytes={at}-")),
        };
        let mut opened = self.web.open(&ranged).await;
        for _ in 0..NOT_YET {
            let Ok(response) = &opened else { break };
            if response.status() != StatusCode::ACCEPTED {
                break;
            }
            tokio::time::sleep(told_to_wait(response)).await;
            opened = self.web.open(&ranged).await;
        }
        self.response = match opened {
            Ok(response) if response.status() == StatusCode::ACCEPTED => {
                return Err(Fault::Broken("the service has the file, and does not give it out yet".to_owned()));
            }
            Ok(response) if at > 0 && response.status() != StatusCode::PARTIAL_CONTENT => {
                return Err(Fault::Form("a part was asked for and everything came".to_owned()));
            }
            Ok(response) => Some(response),
            // From its end on there is nothing, which is no failure.
            Err(Fault::Refused { status: 416, .. }) => None,
            Err(fault) => return Err(fault),
        };
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        while let Some(response) = &mut self.response {
            match web::chunk(response).await {
                Ok(Some(bytes)) => {
                    self.at += bytes.len() as u64;
                    self.breaks = 0;
                    return Ok(Some(bytes));
                }
                Ok(None) => return Ok(None),
                Err(fault) => {
                    self.breaks += 1;
                    if self.breaks > BREAKS {
                        return Err(fault);
                    }
                    tracing::debug!(%fault, at = self.at, "the download goes on");
                    self.open().await?;
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::Arc;

    use futures::TryStreamExt as _;

    use super::*;
    use crate::web::{Answer, Judge, Pace, Pacer, Reach};

    #[derive(Debug)]
    struct Plain;

    impl Judge for Plain {
        fn judge(&self, answer: &Answer) -> Fault {
            answer.plain_fault("")
        }
    }

    #[tokio::test]
    async fn a_file_that_is_not_ready_yet_is_waited_for_and_is_not_empty() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for answer in [
                "HTTP/1.1 202 Accepted\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nbytes",
            ] {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 4096]).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let pacer = Arc::new(Pacer::new(Pace::steady(1000.0, 100.0)));
        let client = web::client_for_files(&Reach::default()).unwrap();
        let web = Web::new(client, None, pacer, Arc::new(Plain));
        let stream = download(web, 0, move |client| client.get(&url)).await.unwrap();
        let bytes: Vec<Bytes> = stream.try_collect().await.unwrap();
        assert_eq!(bytes.concat(), b"bytes");
    }
}
