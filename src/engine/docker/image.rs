//! Images: is it here, and if not, pull it.
//!
//! Never builds and never logs in: private images are pulled by the user's own client beforehand.

use bollard::query_parameters::CreateImageOptionsBuilder;
use futures::StreamExt as _;

use super::fault::{deepest, fault, status};
use crate::engine::{EngineError, Image};

/// The image, pulled where it was missing.
pub(super) async fn ensure(
    client: &bollard::Docker,
    reference: &str,
    progress: &mut (dyn FnMut(String) + Send),
) -> Result<Image, EngineError> {
    if let Some(image) = present(client, reference).await? {
        return Ok(image);
    }
    progress(format!("pulling {reference}"));
    let options = CreateImageOptionsBuilder::default().from_image(&with_tag(reference)).build();
    let mut pulling = std::pin::pin!(client.create_image(Some(options), None, None));
    let missing = |reason: String| EngineError::Image { reference: reference.to_owned(), reason };
    while let Some(step) = pulling.next().await {
        let step = step.map_err(|error| missing(said(&error)))?;
        if let Some(error) = step.error_detail {
            return Err(missing(error.message.unwrap_or_default()));
        }
        // Byte counts come many times a second for every layer; states are what people can use.
        let moving = step.progress_detail.is_some_and(|detail| detail.total.is_some() || detail.current.is_some());
        if let (Some(status), false) = (step.status, moving) {
            progress(match step.id {
                Some(id) => format!("{id}: {status}"),
                None => status,
            });
        }
    }
    present(client, reference).await?.ok_or_else(|| missing("the pull brought no such image".into()))
}

/// The image, where it is here.
pub(super) async fn present(client: &bollard::Docker, reference: &str) -> Result<Option<Image>, EngineError> {
    if reference.is_empty() || reference.contains(|c: char| c.is_whitespace() || c.is_control() || "?#%".contains(c)) {
        return Err(EngineError::Image { reference: reference.to_owned(), reason: "not an image reference".into() });
    }
    match client.inspect_image(reference).await {
        Ok(found) => Ok(Some(Image {
            id: found.id.unwrap_or_else(|| reference.to_owned()),
            digest: digest_of(reference, found.repo_digests.unwrap_or_default()),
            reference: reference.to_owned(),
        })),
        Err(error) if status(&error) == Some(404) => Ok(None),
        Err(error) => Err(fault("look for an image", &error)),
    }
}

/// An image may carry digests of several repositories; the one of the repository asked for comes first.
fn digest_of(reference: &str, mut digests: Vec<String>) -> Option<String> {
    let repository = |text: &str| text.split('@').next().unwrap_or_default().to_owned();
    let asked = without_tag(&repository(reference)).to_owned();
    let at = digests.iter().position(|digest| repository(digest) == asked).unwrap_or(0);
    (at < digests.len()).then(|| digests.swap_remove(at))
}

fn without_tag(name: &str) -> &str {
    match name.rsplit_once(':') {
        // A colon before a slash belongs to a registry's port.
        Some((head, tail)) if !tail.contains('/') => head,
        _ => name,
    }
}

/// Without a tag the engine would pull every tag of the repository.
fn with_tag(reference: &str) -> String {
    let named = reference.contains('@') || without_tag(reference) != reference;
    if named { reference.to_owned() } else { format!("{reference}:latest") }
}

fn said(error: &bollard::errors::Error) -> String {
    match error {
        bollard::errors::Error::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        bollard::errors::Error::DockerStreamError { error } => error.trim().to_owned(),
        other => deepest(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_for_one_tag_only() {
        assert_eq!(with_tag("debian"), "debian:latest");
        assert_eq!(with_tag("host:5000/debian"), "host:5000/debian:latest");
        assert_eq!(with_tag("host:5000/debian:12"), "host:5000/debian:12");
        assert_eq!(with_tag("debian@sha256:00"), "debian@sha256:00");
    }

    #[test]
    fn reports_the_digest_of_the_repository_that_was_asked_for() {
        let all = || vec!["mirror/debian@sha256:1".to_owned(), "debian@sha256:1".to_owned()];
        assert_eq!(digest_of("debian:12", all()).as_deref(), Some("debian@sha256:1"));
        assert_eq!(digest_of("debian@sha256:1", all()).as_deref(), Some("debian@sha256:1"));
        assert_eq!(digest_of("other", all()).as_deref(), Some("mirror/debian@sha256:1"));
        assert_eq!(digest_of("local", Vec::new()), None);
    }
}
