//! OneDrive and Google Drive as services, against the fake that their vendors' own clients accept.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "drive_clouds/bench.rs"]
mod bench;
#[path = "drive_clouds/both.rs"]
mod both;
#[path = "drives/fake/mod.rs"]
mod fake;
#[path = "drive_clouds/faults.rs"]
mod faults;
#[path = "drive_clouds/gdrive.rs"]
mod gdrive;
#[path = "drive_clouds/onedrive.rs"]
mod onedrive;
