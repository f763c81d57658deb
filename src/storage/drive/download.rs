//! A download that goes on where its connection broke.

use bytes::Bytes;
use futures::StreamExt as _;
use reqwest::{Client, RequestBuilder, Response, StatusCode};

use crate::storage::backend::Stream;
use crate::web::{self, Fault, Web};

/// Connections that break one after the other without a byte.
const BREAKS: u32 = 6;

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

impl Download {
    async fn open(&mut self) -> Result<(), Fault> {
        let (make, at) = (&self.make, self.at);
        let ranged = |client: &Client| match at {
            0 => make(client),
            at => make(client).header("range", format!("bytes={at}-")),
        };
        self.response = match self.web.open(ranged).await {
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
                    let fault = Fault::network(error);
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
