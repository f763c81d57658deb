//! The app that a person agrees to: a client id, and a secret where the vendor wants one.
//!
//! There is no published app of soopervisor yet, so everybody brings one; where none is named, the fault says what to
//! register and which variables to set.

use super::{Provider, variable};
use crate::secret::Secret;
use crate::web::Fault;

/// An app as a vendor knows it.
#[derive(Debug, Clone)]
pub struct App {
    /// Its public name.
    pub id: String,
    /// What proves it, where it has one.
    pub secret: Option<Secret>,
}

/// The id of soopervisor's own app. A placeholder: none is registered with any vendor.
const fn built_in(_: Provider) -> Option<&'static str> {
    None
}

impl App {
    /// The app of a remote: `SOOPERVISOR_<REMOTE>_CLIENT_ID` and `_CLIENT_SECRET`, or what `set` has under these names.
    ///
    /// # Errors
    /// [`Fault::Setting`] that says what to register.
    pub fn of(provider: Provider, remote: &str, set: impl Fn(&str) -> Option<String>) -> Result<Self, Fault> {
        let named = |part: &str| {
            let name = format!("{}_{part}", variable(remote));
            set(&name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()).map(|value| (name, value))
        };
        let secret = named("CLIENT_SECRET").map(|(name, value)| Secret::new(name, value.into_bytes()));
        let id = named("CLIENT_ID").map(|(_, id)| id).or_else(|| built_in(provider).map(str::to_owned));
        match id {
            Some(id) if secret.is_some() || !provider.needs_secret() => Ok(Self { id, secret }),
            _ => Err(Fault::Setting(missing(provider, remote))),
        }
    }
}

fn missing(provider: Provider, remote: &str) -> String {
    let register = match provider {
        Provider::Box => {
            "at https://app.box.com/developers/console a Custom App with User Authentication (OAuth 2.0), the redirect \
             URI http://127.0.0.1:53682/ and the scope \"Read and write all files and folders\""
        }
        Provider::Dropbox => {
            "at https://www.dropbox.com/developers/apps an app with scoped access to an App folder, the permissions \
             files.content.read, files.content.write, files.metadata.read and account_info.read, and the redirect URI \
             http://127.0.0.1:53682/"
        }
        Provider::OneDrive => {
            "at https://entra.microsoft.com (App registrations) an app for personal and work accounts that allows public \
             client flows and, for `--browser`, has the redirect URI http://localhost of the platform \"Mobile and desktop \
             applications\""
        }
        Provider::GoogleDrive => {
            "at https://console.cloud.google.com a project with the Google Drive API and an OAuth client of the type \
             \"TVs and Limited Input devices\" (for `--browser`: \"Desktop app\"), published (in Testing mode, logins end \
             after 7 days)"
        }
    };
    let prefix = variable(remote);
    let set = if provider.needs_secret() {
        format!("{prefix}_CLIENT_ID and {prefix}_CLIENT_SECRET")
    } else {
        format!("{prefix}_CLIENT_ID")
    };
    format!(
        "no app for {} is named, and soopervisor has no published one yet: register {register}; then set {set} to what \
         is shown there",
        provider.title()
    )
}
