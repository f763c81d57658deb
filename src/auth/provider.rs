//! The four drives by name, and where they are.

use std::fmt;

use crate::web::{Endpoint, Fault};

/// A drive that people have an account with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Provider {
    /// box.com.
    Box,
    /// dropbox.com.
    Dropbox,
    /// Microsoft OneDrive.
    OneDrive,
    /// Google Drive.
    GoogleDrive,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Box, Self::Dropbox, Self::OneDrive, Self::GoogleDrive];

    /// As written after `--storage` and in variables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Box => "box",
            Self::Dropbox => "dropbox",
            Self::OneDrive => "onedrive",
            Self::GoogleDrive => "gdrive",
        }
    }

    /// As its makers write it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Box => "Box",
            Self::Dropbox => "Dropbox",
            Self::OneDrive => "OneDrive",
            Self::GoogleDrive => "Google Drive",
        }
    }

    /// The drive of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.name() == name)
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a drive is asked: the vendor's hosts, or what `SOOPERVISOR_<REMOTE>_…_BASE_URL` puts in their place. The
/// vendor's own paths follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// Folders and files.
    pub api: Endpoint,
    /// Contents.
    pub upload: Endpoint,
    /// Tokens and device codes.
    pub auth: Endpoint,
    /// The page on which a person agrees.
    pub authorize: Endpoint,
}

impl Endpoints {
    /// The vendor's, each replaced by `SOOPERVISOR_<REMOTE>_{API,UPLOAD,AUTH,AUTHORIZE}_BASE_URL`, or all of them by
    /// `SOOPERVISOR_<REMOTE>_BASE_URL`; `set` looks a variable up.
    ///
    /// # Errors
    /// When one is neither https nor on this machine.
    pub fn of(provider: Provider, remote: &str, set: impl Fn(&str) -> Option<String>) -> Result<Self, Fault> {
        let vendor = match provider {
            Provider::Box => {
                ["https://api.box.com", "https://upload.box.com", "https://api.box.com", "https://account.box.com"]
            }
            Provider::Dropbox => [
                "https://api.dropboxapi.com",
                "https://content.dropboxapi.com",
                "https://api.dropboxapi.com",
                "https://www.dropbox.com",
            ],
            Provider::OneDrive => [
                "https://graph.microsoft.com",
                "https://graph.microsoft.com",
                "https://login.microsoftonline.com",
                "https://login.microsoftonline.com",
            ],
            Provider::GoogleDrive => [
                "https://www.googleapis.com",
                "https://www.googleapis.com",
                "https://oauth2.googleapis.com",
                "https://accounts.google.com",
            ],
        };
        let prefix = variable(remote);
        let one = |kind: &str, vendor: &str| {
            let name = format!("{prefix}_{kind}BASE_URL");
            let text = set(&name).or_else(|| set(&format!("{prefix}_BASE_URL")));
            text.as_deref().unwrap_or(vendor).parse().map_err(|fault| match fault {
                Fault::Setting(words) => Fault::Setting(format!("{name}: {words}")),
                fault => fault,
            })
        };
        Ok(Self {
            api: one("API_", vendor[0])?,
            upload: one("UPLOAD_", vendor[1])?,
            auth: one("AUTH_", vendor[2])?,
            authorize: one("AUTHORIZE_", vendor[3])?,
        })
    }
}

/// The beginning of a remote's variables: `team-box` gives `SOOPERVISOR_TEAM_BOX`.
pub fn variable(remote: &str) -> String {
    let name: String =
        remote.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    format!("SOOPERVISOR_{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_replaced_one_by_one_or_all_at_once() {
        let none = Endpoints::of(Provider::Box, "box", |_| None).unwrap();
        assert_eq!(none.upload.at("/api/2.0/x"), "https://upload.box.com/api/2.0/x");
        let set = |name: &str| match name {
            "SOOPERVISOR_TEAM_BOX_BASE_URL" => Some("http://127.0.0.1:1/box/".to_owned()),
            "SOOPERVISOR_TEAM_BOX_UPLOAD_BASE_URL" => Some("http://127.0.0.1:2".to_owned()),
            _ => None,
        };
        let both = Endpoints::of(Provider::Box, "team-box", set).unwrap();
        assert_eq!(
            (both.api.at("/2.0"), both.upload.at("/x")),
            ("http://127.0.0.1:1/box/2.0".into(), "http://127.0.0.1:2/x".into())
        );
        let away = |_: &str| Some("http://example.com".to_owned());
        let fault = Endpoints::of(Provider::Box, "box", away).unwrap_err().to_string();
        assert!(fault.starts_with("SOOPERVISOR_BOX_API_BASE_URL: "), "{fault}");
    }
}
