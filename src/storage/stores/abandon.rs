//! Uploads that nobody goes on with, given up, so that what has arrived of them costs no room.

use bytes::Bytes;
use http::header::ETAG;
use http::{Request, StatusCode};
use opendal::{Buffer, ErrorKind, HttpTransport, HttpTransporter};

use super::half::Half;
use super::resume::{Answer, address, answer, created, step, through};
use super::{Fault, Kind, ObjectStore, fault};

/// S3 takes no smaller part, so that opendal sends none.
const LEAST: usize = 5 * 1024 * 1024;

/// Gives up what was remembered of a key; what the service does not know any more is no failure. Google and Azure drop what
/// has become nothing after a week, and take no room for it.
pub(super) async fn abandon(store: &ObjectStore, key: &str, session: &str) -> Result<bool, Fault> {
    if store.kind != Kind::S3 {
        return Ok(false);
    }
    let Some(half) = Half::parse(session).filter(|half| !half.id.is_empty()) else { return Ok(true) };
    match multipart(store, key, half).await {
        Ok(()) | Err(Fault::NotFound) => Ok(true),
        Err(fault) => Err(fault),
    }
}

/// opendal gives up only what it has begun: so it begins, is told that this is the upload which it asked for, and that the
/// part which it sends has arrived. Of all this, nothing but its giving up goes out.
async fn multipart(store: &ObjectStore, key: &str, half: Half) -> Result<(), Fault> {
    let operator = through(&store.operator, Abandoning { inner: store.transport.clone(), half });
    let nothing = Bytes::from(vec![0_u8; LEAST]);
    let given_up = async {
        let mut writer = operator.writer_with(key).await?;
        // The second one is why there have to be parts.
        writer.write(nothing.clone()).await?;
        writer.write(nothing).await?;
        writer.abort().await
    };
    given_up.await.map_err(|error| fault(&error))
}

/// Lets nothing out but what gives an upload up, and what that needs.
struct Abandoning {
    inner: HttpTransporter,
    half: Half,
}

impl HttpTransport for Abandoning {
    async fn fetch(&self, request: Request<Buffer>) -> Answer {
        match step(&request) {
            "CreateMultipartUpload" if address(request.uri()) == self.half.address => created(&self.half.id),
            // At another service, which has never heard of it.
            "CreateMultipartUpload" => Err(opendal::Error::new(ErrorKind::NotFound, "it was begun elsewhere")),
            "UploadPart" => answer(StatusCode::OK, Some((ETAG, "\"-\"")), Buffer::new()),
            _ => self.inner.fetch(request).await,
        }
    }
}
