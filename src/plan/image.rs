//! What a container image may be called.

/// Whether a text can name an image: `[registry[:port]/]path[:tag][@digest]`, or an image's id.
pub(super) fn is_reference(text: &str) -> bool {
    if text.strip_prefix("sha256:").is_some_and(|id| is_hex(id) && id.len() == 64) {
        return true;
    }
    let (named, digest) = text.split_once('@').map_or((text, None), |(named, digest)| (named, Some(digest)));
    let digest_fits = digest.is_none_or(|digest| {
        digest.split_once(':').is_some_and(|(kind, hex)| !kind.is_empty() && hex.len() >= 32 && is_hex(hex))
    });
    let (name, tag) = match named.rsplit_once(':') {
        // A colon before a slash belongs to a registry's port.
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (named, None),
    };
    let (registry, path) = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (Some(first), rest),
        _ => (None, name),
    };
    digest_fits && tag.is_none_or(is_tag) && registry.is_none_or(is_registry) && path.split('/').all(is_part)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_tag(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with(['.', '-'])
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    !host.is_empty()
        && host.bytes().all(fits)
        && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Lower-case letters and digits, with separators between them only.
fn is_part(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = text.bytes().next().is_some_and(plain) && text.bytes().next_back().is_some_and(plain);
    ends && text.bytes().all(|byte| plain(byte) || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tags_digests_ports_and_ids_are_taken() {
        let digest = "d".repeat(64);
        for text in [
            "debian",
            "debian:bookworm-slim",
            "library/debian",
            "localhost/soopervisor-runner:80dbea9abf83",
            "127.0.0.1:5000/a/b_c:1.0",
            "[::1]:5000/a",
            &format!("debian@sha256:{digest}"),
            &format!("r.example.org:5000/x:1@sha256:{digest}"),
            &format!("sha256:{digest}"),
        ] {
            assert!(is_reference(text), "{text}");
        }
    }

    #[test]
    fn what_no_engine_would_take_is_known_before_one_is_asked() {
        for text in [
            "",
            ":",
            "a b",
            "UPPER",
            "a:",
            "a:b:c",
            "a@",
            "a@sha256:short",
            "/a",
            "a/",
            "a//b",
            "-a",
            "a?",
            "ghcr.io/Team/x",
        ] {
            assert!(!is_reference(text), "{text}");
        }
    }
}
