//! What each vendor's tokens are like: paths, scopes, lifetimes, and the way in which a person agrees.

use super::Provider;

/// How a person agrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A short code is typed into a page on any machine; who asks for it gets what [`Self::Loopback`] is instead.
    Device,
    /// A page on this machine sends the browser back to us.
    Loopback,
    /// As [`Self::Loopback`], or the page shows a code that is typed here.
    LoopbackOrPaste,
}

impl Provider {
    /// The way that works with this vendor.
    pub const fn way(self) -> Way {
        match self {
            Self::Box => Way::Loopback,
            Self::Dropbox => Way::LoopbackOrPaste,
            Self::OneDrive | Self::GoogleDrive => Way::Device,
        }
    }

    /// Where a browser is sent that brings a code to `port` of this machine. It stands so with the vendor: Microsoft
    /// compares all but the port with `http://localhost`, Google takes any path.
    pub(super) fn redirect(self, port: u16) -> String {
        match self {
            Self::OneDrive => format!("http://localhost:{port}"),
            Self::Box | Self::Dropbox | Self::GoogleDrive => format!("http://127.0.0.1:{port}/"),
        }
    }

    /// The port that apps are registered with; 0, any that is free, where the vendor does not look at it.
    pub(super) const fn port(self) -> u16 {
        match self {
            Self::Box | Self::Dropbox => 53682,
            Self::OneDrive | Self::GoogleDrive => 0,
        }
    }

    /// Whether an app needs its secret; Dropbox has PKCE, Microsoft public clients.
    pub const fn needs_secret(self) -> bool {
        matches!(self, Self::Box | Self::GoogleDrive)
    }

    /// Whether a refresh token works once.
    pub const fn is_single_use(self) -> bool {
        matches!(self, Self::Box)
    }

    /// Seconds that a refresh token lasts without being used; `None` where it has no end.
    pub const fn refresh_life(self) -> Option<i64> {
        const DAY: i64 = 24 * 60 * 60;
        match self {
            Self::Box => Some(60 * DAY),
            Self::OneDrive => Some(90 * DAY),
            Self::Dropbox | Self::GoogleDrive => None,
        }
    }

    /// What is asked for, unless `SOOPERVISOR_<REMOTE>_SCOPE` says otherwise; `None` leaves it to the app.
    pub(super) const fn scope(self) -> Option<&'static str> {
        match self {
            Self::Box => None,
            Self::Dropbox => Some("account_info.read files.content.read files.content.write files.metadata.read"),
            Self::OneDrive => Some("Files.ReadWrite offline_access"),
            // Sees only what soopervisor made; the only one that devices may have. A browser may agree to more.
            Self::GoogleDrive => Some("https://www.googleapis.com/auth/drive.file"),
        }
    }

    pub(super) fn token_path(self, tenant: &str) -> String {
        match self {
            Self::Box | Self::Dropbox => "/oauth2/token".to_owned(),
            Self::OneDrive => format!("/{tenant}/oauth2/v2.0/token"),
            Self::GoogleDrive => "/token".to_owned(),
        }
    }

    pub(super) fn device_path(self, tenant: &str) -> String {
        match self {
            Self::OneDrive => format!("/{tenant}/oauth2/v2.0/devicecode"),
            _ => "/device/code".to_owned(),
        }
    }

    pub(super) fn consent_path(self, tenant: &str) -> String {
        match self {
            Self::Box => "/api/oauth2/authorize".to_owned(),
            Self::Dropbox => "/oauth2/authorize".to_owned(),
            Self::OneDrive => format!("/{tenant}/oauth2/v2.0/authorize"),
            Self::GoogleDrive => "/o/oauth2/v2/auth".to_owned(),
        }
    }
}
