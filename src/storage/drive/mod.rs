//! The drives that people have: each a [`Backend`](super::backend::Backend) of its own over [`crate::web`].
//!
//! They know their vendor's API and rules, and nothing of commits. Addresses for uploads that a vendor hands out are
//! credentials and are told to nobody.

mod boxdrive;
mod download;
mod dropbox;
mod escape;
mod fresh;
mod gdrive;
mod memory;
pub(super) mod names;
mod onedrive;
mod outgoing;
mod patience;
mod pieces;

use std::path::PathBuf;
use std::sync::Arc;

use crate::auth::Endpoints;
use crate::web::Bearer;

pub use boxdrive::BoxDrive;
pub use dropbox::Dropbox;
pub use gdrive::GoogleDrive;
pub use onedrive::OneDrive;

/// What every drive is opened with.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The client of this machine.
    pub client: reqwest::Client,
    /// Who we are.
    pub bearer: Arc<dyn Bearer>,
    /// Tells accounts apart, so that all that use one share its pace; no credential.
    pub account: String,
    /// Where the drive is.
    pub endpoints: Endpoints,
    /// The folder in the drive below which everything lies, parts separated by `/`; empty for its root. Made if need be.
    pub root: String,
    /// For people: `box:reports`.
    pub place: String,
    /// A folder of the user's own by which processes that use one account share its pace; `None` where only this process
    /// counts.
    pub shared: Option<PathBuf>,
}

/// The latest of the times that a vendor tells of one thing, of which some may be missing.
fn latest<const N: usize>(told: [Option<&str>; N]) -> Option<jiff::Timestamp> {
    told.into_iter().flatten().filter_map(|text| text.parse().ok()).max()
}
