//! What programs that we start are not given: git, ssh and their like need no secret of ours, and start programs of others.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Ours begin so.
const PREFIX: &[u8] = b"SOOPERVISOR_";
/// A variable of ours holds a secret where its name has one of these words.
const WORDS: [&str; 9] =
    ["CREDENTIALS", "DATABASE", "JWT", "KEY", "PASSPHRASE", "PASSWORD", "SECRET", "SECRETS", "TOKEN"];

/// Keys of a vendor's storage, which open nothing else: who reads none needs none.
const STORAGES: [&str; 4] =
    ["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN"];
/// Credentials of a whole cloud. Programs of the user's may need them that git and ssh start: CodeCommit's helpers, a filter
/// that decrypts with a key of theirs, an ssh that goes through a tunnel of theirs.
const CLOUDS: [&str; 6] = [
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_CLIENT_SECRET",
    "CLOUDSDK_AUTH_ACCESS_TOKEN",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_OAUTH_ACCESS_TOKEN",
];

/// What settings name as a storage's secret (`env:BOX_SECRET`).
static NAMED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// From now on variables of these names are withheld like ours, since settings say that they hold a storage's secret. A
/// cloud's own stays what it is to other programs, whoever names it.
pub fn withhold_too(names: impl IntoIterator<Item = String>) {
    let names = names.into_iter().filter(|name| !CLOUDS.contains(&name.as_str()));
    NAMED.lock().unwrap_or_else(PoisonError::into_inner).extend(names);
}

/// Keeps variables that may hold secrets of ours, or of a storage, from a program that needs none. What a user gives a
/// program by other names stays: `SSH_AUTH_SOCK`, and what a `ProxyCommand` of theirs reads.
pub fn withhold(command: &mut Command) {
    let named = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
    withhold_of(command, all(), |name| holds_secret(name, &named));
}

/// As [`withhold`], from a program that starts none of the user's: it gets no credentials of their clouds either.
pub fn withhold_clouds(command: &mut Command) {
    withhold(command);
    withhold_of(command, all(), |name| CLOUDS.iter().any(|cloud| name == *cloud));
}

fn all() -> impl Iterator<Item = OsString> {
    std::env::vars_os().map(|(name, _)| name)
}

fn withhold_of(command: &mut Command, names: impl Iterator<Item = OsString>, kept_back: impl Fn(&OsStr) -> bool) {
    for name in names.filter(|name| kept_back(name)) {
        command.env_remove(name);
    }
}

fn holds_secret(name: &OsStr, named: &BTreeSet<String>) -> bool {
    if STORAGES.iter().any(|storage| name == *storage) || name.to_str().is_some_and(|name| named.contains(name)) {
        return true;
    }
    let Some(rest) = name.as_bytes().strip_prefix(PREFIX) else { return false };
    rest.split(|byte| *byte == b'_').any(|word| WORDS.iter().any(|secret| secret.as_bytes() == word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_hold_a_secret_is_kept_back_and_nothing_else() {
        let named = BTreeSet::from(["BOX_SECRET".to_owned()]);
        for name in [
            "SOOPERVISOR_BOX_ACCESS_TOKEN",
            "SOOPERVISOR_DROPBOX_REFRESH_TOKEN",
            "SOOPERVISOR_TEAM_BOX_CLIENT_SECRET",
            "SOOPERVISOR_TOKEN_BOX",
            "SOOPERVISOR_BOX_JWT_CONFIG",
            "SOOPERVISOR_LAB_SECRET_ACCESS_KEY",
            "SOOPERVISOR_LAB_SESSION_TOKEN",
            "SOOPERVISOR_AZBLOB_ACCOUNT_KEY",
            "SOOPERVISOR_AZBLOB_SAS_TOKEN",
            "SOOPERVISOR_GCS_CREDENTIALS",
            "SOOPERVISOR_WEBDAV_PASSWORD",
            "SOOPERVISOR_GITHUB_HOOK_SECRET",
            "SOOPERVISOR_DATABASE",
            "AZURE_STORAGE_KEY",
            "BOX_SECRET",
        ] {
            assert!(holds_secret(OsStr::new(name), &named), "{name}");
        }
        for name in [
            "PATH",
            "SSH_AUTH_SOCK",
            "GITHUB_TOKEN",
            "SOOPERVISOR_HOME",
            "SOOPERVISOR_BOX_BASE_URL",
            "TOKEN",
            "BOX_SECRETS",
            "AWS_SECRET_ACCESS_KEY",
            "GOOGLE_APPLICATION_CREDENTIALS",
        ] {
            assert!(!holds_secret(OsStr::new(name), &named), "{name}");
        }
    }

    #[test]
    fn a_program_does_not_see_what_is_kept_back() {
        let names = ["SOOPERVISOR_BOX_ACCESS_TOKEN", "SOOPERVISOR_HOME"];
        let mut command = Command::new("env");
        command.env_clear().envs(names.map(|name| (name, "canary")));
        withhold_of(&mut command, names.into_iter().map(OsString::from), |name| holds_secret(name, &BTreeSet::new()));
        let seen = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&seen.stdout), "SOOPERVISOR_HOME=canary\n");
    }

    #[test]
    fn what_settings_name_is_kept_back_but_for_a_clouds_own() {
        withhold_too(["OF_THE_TEAMS_BOX", "AWS_SECRET_ACCESS_KEY"].map(str::to_owned));
        let named = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(holds_secret(OsStr::new("OF_THE_TEAMS_BOX"), &named));
        assert!(!holds_secret(OsStr::new("AWS_SECRET_ACCESS_KEY"), &named), "CodeCommit's helper reads it");
    }
}
