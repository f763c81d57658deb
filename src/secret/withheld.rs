//! What programs that we start are not given: git, ssh and their like need no secret of ours, and start programs of others.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;

/// Ours begin so.
const PREFIX: &[u8] = b"SOOPERVISOR_";
/// A variable of ours holds a secret where its name has one of these words.
const WORDS: [&str; 9] =
    ["CREDENTIALS", "DATABASE", "JWT", "KEY", "PASSPHRASE", "PASSWORD", "SECRET", "SECRETS", "TOKEN"];

/// Keeps variables of ours that may hold secrets from a program that needs none. What a user gives a program by other names
/// stays: `SSH_AUTH_SOCK`, and what a `ProxyCommand` of theirs reads.
pub fn withhold(command: &mut Command) {
    withhold_of(command, std::env::vars_os().map(|(name, _)| name));
}

fn withhold_of(command: &mut Command, names: impl Iterator<Item = OsString>) {
    for name in names.filter(|name| holds_secret(name)) {
        command.env_remove(name);
    }
}

fn holds_secret(name: &OsStr) -> bool {
    let Some(rest) = name.as_bytes().strip_prefix(PREFIX) else { return false };
    rest.split(|byte| *byte == b'_').any(|word| WORDS.iter().any(|secret| secret.as_bytes() == word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_hold_a_secret_is_kept_back_and_nothing_else() {
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
        ] {
            assert!(holds_secret(OsStr::new(name)), "{name}");
        }
        for name in ["PATH", "SSH_AUTH_SOCK", "GITHUB_TOKEN", "SOOPERVISOR_HOME", "SOOPERVISOR_BOX_BASE_URL", "TOKEN"] {
            assert!(!holds_secret(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn a_program_does_not_see_what_is_kept_back() {
        let names = ["SOOPERVISOR_BOX_ACCESS_TOKEN", "SOOPERVISOR_HOME"];
        let mut command = Command::new("env");
        command.env_clear().envs(names.map(|name| (name, "canary")));
        withhold_of(&mut command, names.into_iter().map(OsString::from));
        let seen = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&seen.stdout), "SOOPERVISOR_HOME=canary\n");
    }
}
