//! Where a remote's tokens come from: variables first, then the token file.

use super::assertion::Assertion;
use super::{App, Entry, Provider, blob, variable};
use crate::secret::Secret;
use crate::web::Fault;

/// Where tokens come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// `_ACCESS_TOKEN`: as it is, until it ends.
    Access(Secret),
    /// `_REFRESH_TOKEN`, or `SOOPERVISOR_TOKEN_<REMOTE>`.
    Refresh {
        /// The variable.
        variable: String,
        /// As it stands there.
        entry: Box<Entry>,
    },
    /// `_SUBJECT_TYPE` and `_SUBJECT_ID` (or `_BOX_SUBJECT_…`) with a client's id and secret.
    ClientCredentials {
        /// The app.
        app: App,
        /// `enterprise` or `user`, and its id.
        subject: (String, String),
    },
    /// `_JWT_CONFIG`: an app with a key.
    Assertion(Box<Assertion>),
    /// The token file.
    File,
}

impl Source {
    /// The first that is set.
    ///
    /// # Errors
    /// When one is set that cannot be used, or lacks what belongs to it.
    pub fn find(provider: Provider, remote: &str, set: impl Fn(&str) -> Option<String>) -> Result<Self, Fault> {
        let set = |name: &str| set(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let prefix = variable(remote);
        let named = |part: &str| {
            let name = format!("{prefix}_{part}");
            set(&name).map(|value| Secret::new(name, value.into_bytes()))
        };
        if let Some(access) = named("ACCESS_TOKEN") {
            return Ok(Self::Access(access));
        }
        if let Some(refresh) = named("REFRESH_TOKEN") {
            let app = App::of(provider, remote, set)?;
            let entry = Box::new(blob::of_refresh(provider, &app, refresh.clone()));
            return Ok(Self::Refresh { variable: refresh.name().to_owned(), entry });
        }
        if provider == Provider::Box {
            let subject = subject(&prefix, set)?;
            let config = format!("{prefix}_JWT_CONFIG");
            if let Some(value) = set(&config) {
                return Assertion::read(&config, &value, subject).map(|one| Self::Assertion(Box::new(one)));
            }
            if let Some(subject) = subject {
                return Ok(Self::ClientCredentials { app: App::of(provider, remote, set)?, subject });
            }
        }
        let packed = packed_name(remote);
        if let Some(value) = set(&packed) {
            let entry = blob::unpack(provider, &value).map_err(|fault| Fault::Setting(format!("{packed}: {fault}")))?;
            return Ok(Self::Refresh { variable: packed, entry: Box::new(entry) });
        }
        Ok(Self::File)
    }

    /// For people.
    pub fn describe(&self) -> String {
        match self {
            Self::Access(token) => token.name().to_owned(),
            Self::Refresh { variable, .. } => variable.clone(),
            Self::ClientCredentials { subject, .. } => format!("client credentials, {} {}", subject.0, subject.1),
            Self::Assertion(assertion) => format!("JWT, {} {}", assertion.subject.0, assertion.subject.1),
            Self::File => "tokens.json".to_owned(),
        }
    }
}

/// The variable that `auth login --on-desktop` prints.
pub(super) fn packed_name(remote: &str) -> String {
    variable(remote).replacen("SOOPERVISOR_", "SOOPERVISOR_TOKEN_", 1)
}

fn subject(prefix: &str, set: impl Fn(&str) -> Option<String>) -> Result<Option<(String, String)>, Fault> {
    let named = |part: &str| set(&format!("{prefix}_BOX_{part}")).or_else(|| set(&format!("{prefix}_{part}")));
    let (kind, id) = (named("SUBJECT_TYPE"), named("SUBJECT_ID"));
    match (kind, id) {
        (None, None) => Ok(None),
        (Some(kind), Some(id)) if kind == "enterprise" || kind == "user" => Ok(Some((kind, id))),
        _ => Err(Fault::Setting(format!(
            "{prefix}_SUBJECT_TYPE must be `enterprise` or `user`, and {prefix}_SUBJECT_ID its id"
        ))),
    }
}
