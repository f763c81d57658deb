//! Which folders of a drive can be a place at all, by the vendors' rules for names. Pure: nothing is asked.
//!
//! Names of outputs are [escaped](crate::storage::key); those of the place and of the project's folder are as the user
//! writes them, and a name that no folder can have is better refused before a pipeline runs than after it.

use super::escape::parts;
use super::gdrive::{BY_ID, is_id};
use crate::auth::Provider;

/// Characters that a name may have, everywhere but on Google Drive.
const LONGEST: usize = 255;
/// Names that Dropbox keeps for its own program, or never takes.
const DROPBOX: [&str; 6] = ["desktop.ini", "thumbs.db", ".ds_store", "icon\r", ".dropbox", ".dropbox.attr"];
/// Names that Microsoft keeps for its systems.
const ONEDRIVE: [&str; 2] = [".lock", "desktop.ini"];
/// Its devices, besides `COM0` to `LPT9`: refused with any ending, too (`aux.d` as `aux`).
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// The first part of a root that can be no folder there, and why.
pub(in crate::storage) fn unfit(provider: Provider, root: &str) -> Option<(&str, &'static str)> {
    let wrong = |name: &str| match provider {
        Provider::GoogleDrive => None,
        _ if name.chars().count() > LONGEST => Some("a name has at most 255 characters"),
        Provider::Box => boxdrive(name),
        Provider::Dropbox => dropbox(name),
        Provider::OneDrive => onedrive(name),
    };
    let first = parts(root).next();
    if let (Provider::GoogleDrive, Some(first)) = (provider, first)
        && first.strip_prefix(BY_ID).is_some_and(|id| !is_id(id))
    {
        return Some((first, "what follows `id:` has to be the id of a folder, as its address in a browser has it"));
    }
    parts(root).find_map(|name| Some((name, wrong(name)?)))
}

fn boxdrive(name: &str) -> Option<&'static str> {
    if name.contains('\\') || name.chars().any(char::is_control) {
        return Some("no name has a `\\` or a control character");
    }
    (name != name.trim_matches(' ')).then_some("no name begins or ends with a blank")
}

fn dropbox(name: &str) -> Option<&'static str> {
    if name.contains(['\\', '\u{7f}', '\0']) {
        return Some("no name has a `\\` or a control character");
    }
    if name.ends_with(' ') {
        return Some("no name ends with a blank");
    }
    let low = name.to_ascii_lowercase();
    DROPBOX.contains(&&*low).then_some("Dropbox keeps this name for itself, or ignores it")
}

fn onedrive(name: &str) -> Option<&'static str> {
    if name.contains(['"', '*', ':', '<', '>', '?', '\\', '|']) || name.chars().any(char::is_control) {
        return Some("no name has one of `\" * : < > ? \\ |` or a control character");
    }
    if name.starts_with([' ', '~']) || name.ends_with([' ', '.']) {
        return Some("no name begins with a blank or `~`, or ends with a blank or `.`");
    }
    let low = name.to_ascii_lowercase();
    let stem = low.split('.').next().unwrap_or_default();
    let numbered = |start: &str| stem.strip_prefix(start).is_some_and(|rest| matches!(rest.as_bytes(), [b'0'..=b'9']));
    if DEVICES.contains(&stem) || numbered("com") || numbered("lpt") {
        return Some("Microsoft keeps this name for its systems, with any ending");
    }
    (ONEDRIVE.contains(&&*low) || low.contains("_vti_")).then_some("Microsoft keeps this name for its systems")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_folder_can_be_called_is_told_from_what_one_can() {
        use Provider::{Box, Dropbox, GoogleDrive, OneDrive};
        for (provider, root, name) in [
            (OneDrive, "CON", "CON"),
            (OneDrive, "reports/Lpt7", "Lpt7"),
            (OneDrive, "com1.txt", "com1.txt"),
            (OneDrive, "runs/Aux.tar.gz", "Aux.tar.gz"),
            (OneDrive, "~$x.docx", "~$x.docx"),
            (OneDrive, ".LOCK", ".LOCK"),
            (OneDrive, "a/b_VTI_c/d", "b_VTI_c"),
            (OneDrive, "~x", "~x"),
            (OneDrive, "a./b", "a."),
            (OneDrive, "a:b", "a:b"),
            (Box, r"a\b", r"a\b"),
            (Box, "a/ b", " b"),
            (Dropbox, r"a\b", r"a\b"),
            (Dropbox, "x/Desktop.ini", "Desktop.ini"),
            (Dropbox, "x ", "x "),
            (GoogleDrive, "id:", "id:"),
            (GoogleDrive, "id:a b/c", "id:a b"),
        ] {
            assert_eq!(unfit(provider, root).map(|(name, _)| name), Some(name), "{provider:?} {root}");
        }
        let long = "x".repeat(256);
        assert!(unfit(Box, &long).is_some() && unfit(GoogleDrive, &long).is_none());
        for (provider, root) in [
            (OneDrive, "approot/console/com10/.hidden"),
            (OneDrive, "console.txt/a.con/lpt.1/my.lock"),
            (OneDrive, "été & co/100%"),
            (Box, "a:b/~x/CON"),
            (Dropbox, "~a/.b/CON/a:b"),
            (GoogleDrive, r"a\b/x:y/CON"),
            (GoogleDrive, "id:1A-b_9/reports/id:x"),
            (OneDrive, ""),
        ] {
            assert_eq!(unfit(provider, root), None, "{provider:?} {root}");
        }
    }

    #[test]
    fn an_output_is_stored_under_a_name_that_a_place_could_have_too() {
        for name in ["com1.txt", "Aux.tar.gz", "NUL", "~$x.docx", ".lock", "a_vti_b", "desktop.ini", "x.", " x", "a:b"]
        {
            assert!(unfit(Provider::OneDrive, name).is_some(), "{name}");
            let stored = crate::storage::key::stored_name(&name.parse().unwrap());
            assert_eq!(unfit(Provider::OneDrive, &stored), None, "{name} as {stored}");
        }
    }
}
