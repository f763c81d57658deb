//! The page on which a person agrees: its address, and what proves afterwards that it was us who asked (PKCE, state).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use url::Url;

use super::{Grant, Issuer, Provider};
use crate::secret::Secret;
use crate::web::Fault;

/// One question to a person.
#[derive(Debug, Clone)]
pub struct Consent {
    /// What to open; holds no credential.
    pub url: String,
    /// What the answer has to repeat.
    pub(super) state: String,
    verifier: Option<Secret>,
    redirect: Option<String>,
}

impl Issuer {
    /// A page that sends the browser to `redirect`, or shows a code where there is none.
    ///
    /// # Errors
    /// When this machine has no randomness.
    pub fn consent(&self, redirect: Option<String>) -> Result<Consent, Fault> {
        let state = random()?;
        // Box has no PKCE; there the secret proves who asked.
        let verifier = (self.provider != Provider::Box).then(random).transpose()?;
        let address = self.endpoints.authorize.at(&self.provider.consent_path(&self.tenant));
        let mut url: Url = address.parse().map_err(|_| Fault::Setting("the consent page has no address".to_owned()))?;
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("response_type", "code").append_pair("client_id", &self.app.id);
            if let Some(redirect) = &redirect {
                query.append_pair("redirect_uri", redirect).append_pair("state", &state);
            }
            if let Some(verifier) = &verifier {
                let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
                query.append_pair("code_challenge", &challenge).append_pair("code_challenge_method", "S256");
            }
            if let Some(scope) = &self.scope {
                query.append_pair("scope", scope);
            }
            match self.provider {
                Provider::Dropbox => drop(query.append_pair("token_access_type", "offline")),
                Provider::GoogleDrive => drop(query.append_pair("access_type", "offline")),
                Provider::Box | Provider::OneDrive => {}
            }
        }
        let verifier = verifier.map(|text| Secret::new("verifier", text.into_bytes()));
        Ok(Consent { url: url.into(), state, verifier, redirect })
    }

    /// The tokens for the code that came of it.
    ///
    /// # Errors
    /// As the endpoint refuses.
    pub async fn agreed(&self, consent: &Consent, code: &Secret) -> Result<Grant, Fault> {
        let granted = self.exchange(code, consent.verifier.as_ref(), consent.redirect.as_deref()).await;
        granted.map_err(|fault| self.refused_at(fault, &self.login_by_browser()))
    }
}

/// 43 characters that nobody guesses.
pub(super) fn random() -> Result<String, Fault> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Fault::Local("this machine has no randomness".to_owned()))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
