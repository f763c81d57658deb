//! Whether a delivery comes from whom it says: checked over the raw body, before a byte of it is understood.

use aws_lc_rs::{constant_time, digest, hmac};

use super::envelope::Forge;
use crate::secret::Secret;

/// Secrets that deliveries may be signed with; several while one is being replaced.
#[derive(Debug, Clone, Default)]
pub struct HookSecrets {
    /// GitHub's.
    pub github: Vec<Secret>,
    /// Gitea's and Forgejo's.
    pub gitea: Vec<Secret>,
    /// GitLab's.
    pub gitlab: Vec<Secret>,
}

impl HookSecrets {
    /// Those of a forge.
    pub fn of(&self, forge: Forge) -> &[Secret] {
        match forge {
            Forge::GitHub => &self.github,
            Forge::Gitea => &self.gitea,
            Forge::GitLab => &self.gitlab,
        }
    }
}

/// Whether one of the secrets made this proof: a signature of the body, or the secret itself where the forge sends that.
pub fn is_genuine(forge: Forge, proof: &str, body: &[u8], secrets: &[Secret]) -> bool {
    match forge {
        Forge::GitLab => secrets.iter().any(|secret| is_same(secret.expose(), proof.as_bytes())),
        Forge::GitHub | Forge::Gitea => {
            let signature = match forge {
                // `sha1=` is of another header, and too weak.
                Forge::GitHub => proof.strip_prefix("sha256="),
                _ => Some(proof),
            };
            let Some(Ok(signature)) = signature.map(hex::decode) else { return false };
            // Anybody can sign with an empty secret.
            secrets.iter().filter(|secret| !secret.expose().is_empty()).any(|secret| {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
                hmac::verify(&key, body, &signature).is_ok()
            })
        }
    }
}

/// Compares digests, so that neither the length nor the place of a difference can be told from the time it takes.
fn is_same(secret: &[u8], proof: &[u8]) -> bool {
    let hashed = |bytes| digest::digest(&digest::SHA256, bytes);
    !secret.is_empty()
        && constant_time::verify_slices_are_equal(hashed(secret).as_ref(), hashed(proof).as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(values: &[&str]) -> Vec<Secret> {
        values.iter().map(|value| Secret::new("hook", value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn github_signs_as_its_documentation_shows() {
        // The example of docs.github.com, "Validating webhook deliveries".
        let proof = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let good = secrets(&["an older one", "It's a Secret to Everybody"]);
        assert!(is_genuine(Forge::GitHub, proof, b"Hello, World!", &good));
        assert!(is_genuine(Forge::Gitea, &proof[7..], b"Hello, World!", &good));
        for (proof, body, secrets) in [
            (proof, &b"Hello, World?"[..], &good[..]),
            (proof, b"Hello, World!", &good[..1]),
            (proof, b"Hello, World!", &[]),
            (&proof[7..], b"Hello, World!", &good),
            (&proof[..40], b"Hello, World!", &good),
            ("sha256=", b"Hello, World!", &good),
            ("sha256=zz", b"Hello, World!", &good),
            ("sha1=757107ea0eb2509fc211221cce984b8a37570b6d", b"Hello, World!", &good),
            ("", b"Hello, World!", &good),
        ] {
            assert!(!is_genuine(Forge::GitHub, proof, body, secrets), "{proof}");
        }
    }

    #[test]
    fn an_empty_secret_signs_nothing() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"");
        let proof = hex::encode(hmac::sign(&key, b"{}"));
        assert!(!is_genuine(Forge::GitHub, &format!("sha256={proof}"), b"{}", &secrets(&[""])));
        assert!(!is_genuine(Forge::Gitea, &proof, b"{}", &secrets(&[""])));
    }

    #[test]
    fn gitlab_sends_the_secret_itself() {
        let good = secrets(&["old", "new"]);
        assert!(is_genuine(Forge::GitLab, "new", b"{}", &good));
        assert!(!is_genuine(Forge::GitLab, "newer", b"{}", &good));
        assert!(!is_genuine(Forge::GitLab, "", b"{}", &secrets(&[""])), "an empty secret protects nothing");
    }
}
