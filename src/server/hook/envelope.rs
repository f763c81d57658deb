//! The outside of a delivery: which forge, which event, which id. Says nothing of what is inside. Pure.

use sha2::{Digest, Sha256};
use thiserror::Error;

/// Who sends webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forge {
    /// github.com and GitHub Enterprise Server.
    GitHub,
    /// Gitea and Forgejo.
    Gitea,
    /// GitLab.
    GitLab,
}

impl Forge {
    /// The word in the database and in addresses.
    pub fn word(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::Gitea => "gitea",
            Self::GitLab => "gitlab",
        }
    }

    /// The forge of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::GitHub, Self::Gitea, Self::GitLab].into_iter().find(|forge| forge.word() == word)
    }
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// JSON.
    Json,
    /// A form with JSON in its field `payload`.
    Form,
}

impl Shape {
    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Form => "application/x-www-form-urlencoded",
        }
    }

    /// The shape of a media type.
    pub fn of(content_type: &str) -> Option<Self> {
        let bare = content_type.split(';').next().unwrap_or_default().trim();
        [Self::Json, Self::Form].into_iter().find(|shape| bare.eq_ignore_ascii_case(shape.media_type()))
    }
}

/// The outside of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Who sent it.
    pub forge: Forge,
    /// The event's name, as the forge says it.
    pub event: String,
    /// The forge's id of it; the body's digest where it has none.
    pub delivery: String,
    /// How the body is written.
    pub shape: Shape,
    /// The signature, or what stands for one.
    pub proof: Option<String>,
}

/// Why a request is no delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EnvelopeError {
    /// A header that every delivery has is not there, or is none.
    #[error("the header `{0}` is missing or not understood")]
    Header(&'static str),
    /// Neither JSON nor a form.
    #[error("the content type is neither JSON nor a form")]
    ContentType,
}

/// Headers of one forge: event, delivery, proof; the first that is there counts.
struct Names {
    event: &'static [&'static str],
    delivery: &'static [&'static str],
    proof: &'static [&'static str],
}

const GITHUB: Names =
    Names { event: &["X-GitHub-Event"], delivery: &["X-GitHub-Delivery"], proof: &["X-Hub-Signature-256"] };
const GITEA: Names = Names {
    event: &["X-Forgejo-Event", "X-Gitea-Event"],
    delivery: &["X-Forgejo-Delivery", "X-Gitea-Delivery"],
    proof: &["X-Forgejo-Signature", "X-Gitea-Signature"],
};
const GITLAB: Names = Names {
    event: &["X-Gitlab-Event"],
    delivery: &["Idempotency-Key", "X-Gitlab-Event-UUID"],
    proof: &["X-Gitlab-Token"],
};

/// Reads the headers of a delivery to a forge's address.
///
/// # Errors
/// When it is none.
pub fn open<'a>(
    forge: Forge,
    header: impl Fn(&str) -> Option<&'a str>,
    body: &[u8],
) -> Result<Envelope, EnvelopeError> {
    let names = match forge {
        Forge::GitHub => GITHUB,
        Forge::Gitea => GITEA,
        Forge::GitLab => GITLAB,
    };
    let first = |names: &[&str]| names.iter().find_map(|name| header(name)).map(str::to_owned);
    let last = |names: &[&'static str]| names.last().copied().unwrap_or_default();
    let plain = |text: &String| {
        !text.is_empty() && text.len() <= 100 && text.chars().all(|c| c.is_ascii_alphanumeric() || "_- .".contains(c))
    };
    let event = first(names.event).filter(plain).ok_or(EnvelopeError::Header(last(names.event)))?;
    let delivery = match first(names.delivery) {
        Some(id) if plain(&id) => id,
        Some(_) => return Err(EnvelopeError::Header(last(names.delivery))),
        None => hex::encode(Sha256::digest(body)),
    };
    let shape = Shape::of(header("Content-Type").unwrap_or_default()).ok_or(EnvelopeError::ContentType)?;
    Ok(Envelope { forge, event, delivery, shape, proof: first(names.proof) })
}

/// The JSON text of a body.
///
/// # Errors
/// When a form has no field `payload`.
pub fn json_text(shape: Shape, body: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    match shape {
        Shape::Json => Ok(body.to_vec()),
        Shape::Form => {
            let payload = url::form_urlencoded::parse(body).find(|(name, _)| name == "payload");
            payload.map(|(_, text)| text.into_owned().into_bytes()).ok_or(EnvelopeError::ContentType)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(forge: Forge, headers: &[(&str, &'static str)]) -> Result<Envelope, EnvelopeError> {
        let find = |name: &str| headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, v)| *v);
        open(forge, find, b"{}")
    }

    #[test]
    fn each_forge_has_headers_of_its_own() {
        let json = ("content-type", "application/json; charset=utf-8");
        let github =
            opened(Forge::GitHub, &[("x-github-event", "push"), ("x-github-delivery", "72d3-1"), json]).unwrap();
        assert_eq!((github.event.as_str(), github.delivery.as_str(), github.shape), ("push", "72d3-1", Shape::Json));
        let forgejo = [("X-Gitea-Event", "push"), ("X-Forgejo-Event", "push"), ("X-Gitea-Signature", "ab"), json];
        assert_eq!(opened(Forge::Gitea, &forgejo).unwrap().proof.as_deref(), Some("ab"));
        let gitlab = [("X-Gitlab-Event", "Merge Request Hook"), ("X-Gitlab-Token", "t"), json];
        let gitlab = opened(Forge::GitLab, &gitlab).unwrap();
        assert_eq!((gitlab.event.as_str(), gitlab.delivery.len()), ("Merge Request Hook", 64));
    }

    #[test]
    fn what_is_no_delivery_is_refused_by_its_outside() {
        let json = ("Content-Type", "application/json");
        for (headers, error) in [
            (vec![json], EnvelopeError::Header("X-GitHub-Event")),
            (vec![json, ("X-GitHub-Event", "a\nb")], EnvelopeError::Header("X-GitHub-Event")),
            (
                vec![json, ("X-GitHub-Event", "push"), ("X-GitHub-Delivery", "<b>")],
                EnvelopeError::Header("X-GitHub-Delivery"),
            ),
            (vec![("Content-Type", "text/plain"), ("X-GitHub-Event", "push")], EnvelopeError::ContentType),
        ] {
            assert_eq!(opened(Forge::GitHub, &headers), Err(error));
        }
    }

    #[test]
    fn a_form_holds_json_in_its_payload() {
        assert_eq!(json_text(Shape::Form, b"a=1&payload=%7B%22a%22%3A%22b+c%22%7D").unwrap(), br#"{"a":"b c"}"#);
        assert_eq!(json_text(Shape::Form, b"{\"a\": 1}"), Err(EnvelopeError::ContentType));
    }
}
