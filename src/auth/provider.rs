//! The four drives by name, and where they are.

use std::fmt;

use crate::web::{Detours, Endpoint, Fault};

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

    /// The vendor's hosts: folders and files, contents, tokens, the page on which a person agrees.
    const fn hosts(self) -> [&'static str; 4] {
        match self {
            Self::Box => ["api.box.com", "upload.box.com", "api.box.com", "account.box.com"],
            Self::Dropbox => ["api.dropboxapi.com", "content.dropboxapi.com", "api.dropboxapi.com", "www.dropbox.com"],
            Self::OneDrive => {
                ["graph.microsoft.com", "graph.microsoft.com", "login.microsoftonline.com", "login.microsoftonline.com"]
            }
            Self::GoogleDrive => {
                ["www.googleapis.com", "www.googleapis.com", "oauth2.googleapis.com", "accounts.google.com"]
            }
        }
    }

    /// Domains below which the vendor hands out addresses of contents.
    const fn domains(self) -> &'static [&'static str] {
        match self {
            Self::Box => &["box.com", "boxcloud.com"],
            Self::Dropbox => &["dropboxapi.com", "dropbox.com", "dropboxusercontent.com"],
            Self::OneDrive => {
                &["graph.microsoft.com", "1drv.com", "onedrive.com", "sharepoint.com", "microsoftpersonalcontent.com"]
            }
            Self::GoogleDrive => &["googleapis.com", "googleusercontent.com"],
        }
    }

    /// How paths of folders and files begin, where contents are on the same host.
    const fn api_path(self) -> &'static str {
        match self {
            Self::Box => "/2.0/",
            Self::Dropbox => "/2/",
            Self::OneDrive => "/v1.0/",
            Self::GoogleDrive => "/drive/",
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
    provider: Provider,
}

impl Endpoints {
    /// The vendor's, each replaced by `SOOPERVISOR_<REMOTE>_{API,UPLOAD,AUTH,AUTHORIZE}_BASE_URL`, or all of them by
    /// `SOOPERVISOR_<REMOTE>_BASE_URL`; `set` looks a variable up.
    ///
    /// # Errors
    /// When one is neither https nor on this machine.
    pub fn of(provider: Provider, remote: &str, set: impl Fn(&str) -> Option<String>) -> Result<Self, Fault> {
        let vendor = provider.hosts();
        let prefix = variable(remote);
        let one = |kind: &str, vendor: &str| {
            let name = format!("{prefix}_{kind}BASE_URL");
            let text = set(&name).or_else(|| set(&format!("{prefix}_BASE_URL")));
            text.unwrap_or_else(|| format!("https://{vendor}")).parse().map_err(|fault| match fault {
                Fault::Setting(words) => Fault::Setting(format!("{name}: {words}")),
                fault => fault,
            })
        };
        Ok(Self {
            api: one("API_", vendor[0])?,
            upload: one("UPLOAD_", vendor[1])?,
            auth: one("AUTH_", vendor[2])?,
            authorize: one("AUTHORIZE_", vendor[3])?,
            provider,
        })
    }

    /// How addresses that the vendor hands out (of upload sessions, pages, downloads) are led to what was put in its
    /// place; none where nothing was.
    pub fn detours(&self) -> Detours {
        let mut detours = Detours::default();
        let [api, upload, ..] = self.provider.hosts();
        let is_vendors = |endpoint: &Endpoint, host: &str| endpoint.to_string() == format!("https://{host}");
        if is_vendors(&self.api, api) && is_vendors(&self.upload, upload) {
            return detours;
        }
        if api == upload {
            detours.lead(api, self.provider.api_path(), &self.api);
        } else {
            detours.lead(api, "/", &self.api);
        }
        detours.lead(upload, "/", &self.upload);
        // What stands on this machine stands for all of the vendor's hosts, however many it has.
        if self.upload.is_here() {
            for domain in self.provider.domains() {
                detours.lead_all(domain, &self.upload);
            }
        }
        detours
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
        assert!(none.detours().of(&"https://upload.box.com/x".parse().unwrap()).is_none());
        let led = |url: &str| both.detours().of(&url.parse().unwrap()).map(String::from);
        assert_eq!(led("https://upload.box.com/api/2.0/x?y=1").unwrap(), "http://127.0.0.1:2/api/2.0/x?y=1");
        assert_eq!(led("https://api.box.com/2.0/x").unwrap(), "http://127.0.0.1:1/box/2.0/x");
        assert_eq!(led("https://dl.boxcloud.com/dl/1").unwrap(), "http://127.0.0.1:2/dl/1");
        assert_eq!(led("https://example.com/dl/1"), None);
        let away = |_: &str| Some("http://example.com".to_owned());
        let fault = Endpoints::of(Provider::Box, "box", away).unwrap_err().to_string();
        assert!(fault.starts_with("SOOPERVISOR_BOX_API_BASE_URL: "), "{fault}");
    }

    #[test]
    fn of_one_host_what_is_no_folder_and_no_file_is_content_and_a_gateway_stands_for_the_named_hosts_alone() {
        let set = |name: &str| match name {
            "SOOPERVISOR_X_API_BASE_URL" => Some("https://api.gateway.example/m".to_owned()),
            "SOOPERVISOR_X_UPLOAD_BASE_URL" => Some("https://up.gateway.example".to_owned()),
            _ => None,
        };
        let led = |provider, url: &str| {
            let detours = Endpoints::of(provider, "x", set).unwrap().detours();
            detours.of(&url.parse().unwrap()).map(String::from)
        };
        for (provider, url, wanted) in [
            (
                Provider::OneDrive,
                "https://graph.microsoft.com/v1.0/me?x=1",
                "https://api.gateway.example/m/v1.0/me?x=1",
            ),
            (Provider::OneDrive, "https://graph.microsoft.com/up/1", "https://up.gateway.example/up/1"),
            (
                Provider::GoogleDrive,
                "https://www.googleapis.com/upload/x?u=1",
                "https://up.gateway.example/upload/x?u=1",
            ),
            (Provider::GoogleDrive, "https://www.googleapis.com/drive/v3", "https://api.gateway.example/m/drive/v3"),
        ] {
            assert_eq!(led(provider, url).as_deref(), Some(wanted), "{url}");
        }
        // What is asked without us is asked where it is.
        assert_eq!(led(Provider::OneDrive, "https://sn3302.up.1drv.com/up/1"), None);
    }
}
