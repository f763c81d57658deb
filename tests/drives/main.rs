//! The fake drives are held to the vendors' own clients and to the rules that bite; what misbehaves on request is tried.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod box_rules;
mod dropbox_rules;
mod fake;
mod faults;
mod front;
mod gdrive_rules;
mod judges;
mod kit;
mod onedrive_rules;
mod signing_in;
mod through_rclone;
