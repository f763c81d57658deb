//! How this server starts git: without anybody's hooks, filters, helpers and questions, and with a way to no more than the
//! call needs.
//!
//! Credentials reach git by its environment, never by an argument or a file.

use std::path::Path;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::process::Command;

use super::poll::Address;
use super::poll::reading::Password;
use crate::secret::{withhold, withhold_clouds};

/// Given with every call. What a repository, or a user of this machine, has set starts no program and reaches nobody.
const OPTIONS: [&str; 17] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.askPass=",
    "credential.helper=",
    "filter.lfs.clean=",
    "filter.lfs.smudge=",
    "filter.lfs.process=",
    "filter.lfs.required=false",
    "commit.gpgSign=false",
    "fetch.recurseSubmodules=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "user.name=soopervisor",
    "user.email=soopervisor@localhost",
    "protocol.allow=never",
];

/// Variables that say nothing of what git shall do: every other `GIT_*` could send it elsewhere.
const KEPT: [&str; 2] = ["GIT_EXEC_PATH", "GIT_SSL_CAINFO"];

/// What a call may reach.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way<'a> {
    /// The repository that it is started in.
    Here,
    /// Others on this machine, too.
    Folders,
    /// A repository that is watched, with its credential, by whatever proxies the server's own user has set for git.
    Watched(&'a Address),
    /// What files of a repository name, by this protocol and no other; with the credential of an address, or with nobody's.
    Named(&'a str, Option<&'a Address>),
}

/// Git in a folder, with no more than that.
pub(super) fn git(folder: &Path, way: Way<'_>) -> Command {
    let mut git = Command::new("git");
    match way {
        Way::Here | Way::Folders => withhold_clouds(git.as_std_mut()),
        // Through helpers and tunnels of the server's own user.
        Way::Watched(_) | Way::Named(..) => withhold(git.as_std_mut()),
    }
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let kept = KEPT.contains(&&*text) || (matches!(way, Way::Watched(_)) && text == "GIT_CONFIG_GLOBAL");
        if (text.starts_with("GIT_") && !kept) || text == "SSH_ASKPASS" {
            git.env_remove(&name);
        }
    }
    git.env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C").env("GIT_NO_LAZY_FETCH", "1");
    git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_ATTR_NOSYSTEM", "1");
    if let Some(bundle) = super::trust::all() {
        git.env("GIT_SSL_CAINFO", bundle);
    }
    if !matches!(way, Way::Watched(_)) {
        git.env("GIT_CONFIG_GLOBAL", "/dev/null");
    }
    for option in OPTIONS {
        git.args(["-c", option]);
    }
    for protocol in protocols(way) {
        git.args(["-c", &format!("protocol.{protocol}.allow=always")]);
    }
    match way {
        Way::Here | Way::Folders => {}
        Way::Watched(address) => show(&mut git, address),
        Way::Named(_, login) => {
            // The host of a stranger's submodule leads to no other.
            git.args(["-c", "http.followRedirects=false"]);
            match login {
                Some(address) => show(&mut git, address),
                // A password in `~/.netrc` is one of this server, too.
                None => drop(git.env("HOME", "/nonexistent")),
            }
        }
    }
    git.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    git
}

/// What git calls the protocols of a way.
fn protocols(way: Way<'_>) -> Vec<&str> {
    match way {
        Way::Here => Vec::new(),
        Way::Folders => vec!["file"],
        Way::Named(protocol, _) => vec![protocol],
        Way::Watched(Address::Http(..)) => vec!["http", "https"],
        Way::Watched(Address::Git(text, _)) => vec![match text.split_once("://") {
            Some(("git+ssh" | "ssh+git", _)) => "ssh",
            Some((scheme, _)) => scheme,
            // `git@host:path`, and not a folder with a colon further in.
            None if text.split('/').next().is_some_and(|first| first.contains(':')) => "ssh",
            None => "file",
        }],
    }
}

/// Shows git the credential of an address, which has to be [at hand](Address::at_hand).
fn show(git: &mut Command, address: &Address) {
    match address {
        Address::Http(url, Some(who)) => {
            let Password::Kept(password) = &who.password else { return };
            let pair = [who.user.as_bytes(), b":", password.expose()].concat();
            git.env("GIT_CONFIG_COUNT", "1");
            git.env("GIT_CONFIG_KEY_0", format!("http.{}.extraHeader", url.origin().ascii_serialization()));
            git.env("GIT_CONFIG_VALUE_0", format!("Authorization: Basic {}", STANDARD.encode(pair)));
        }
        Address::Http(_, None) => {}
        Address::Git(_, key) => {
            let key = key.as_ref().and_then(|key| quoted(key));
            let key = key.map(|key| format!(" -o IdentitiesOnly=yes -i {key}")).unwrap_or_default();
            git.env("GIT_SSH_COMMAND", format!("ssh -o BatchMode=yes -o ConnectTimeout=20{key}"));
        }
    }
}

/// The path of a key as the shell that starts ssh reads it; none for one that cannot be handed to it.
pub(super) fn quoted(key: &Path) -> Option<String> {
    key.to_str().filter(|key| !key.contains(['\'', '\n'])).map(|key| format!("'{key}'"))
}

/// What git says below the words of ssh, whatever they were.
const BELOW_SSH: [&str; 3] = [
    "fatal: Could not read from remote repository.",
    "Please make sure you have the correct access rights",
    "and the repository exists.",
];
const UNKNOWN_HOST: &str = "the host's SSH key is not known: compare it with the one that the host publishes, and add it as the \
                            server's user with `ssh-keyscan -p PORT HOST >>~/.ssh/known_hosts`";
const OTHER_HOST: &str = "the host shows another SSH key than the known one: if it has a new one, take the old out with \
                          `ssh-keygen -R HOST` and add the new with `ssh-keyscan -p PORT HOST >>~/.ssh/known_hosts`";

/// What is to be done where ssh does not trust a host.
pub(super) fn of_host_key(said: &str) -> Option<&'static str> {
    match said {
        said if said.contains("REMOTE HOST IDENTIFICATION HAS CHANGED") => Some(OTHER_HOST),
        said if said.contains("Host key verification failed") => Some(UNKNOWN_HOST),
        _ => None,
    }
}

/// The last line that says what was the matter.
pub(super) fn telling(said: &str) -> &str {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let last = lines().rfind(|line| !BELOW_SSH.contains(line));
    last.or_else(|| lines().next_back()).unwrap_or("git said nothing")
}

/// Git's last telling line, as far as it may be shown.
pub(super) fn last_line(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let last = of_host_key(&said).unwrap_or_else(|| telling(&said));
    last.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::secret::Secret;
    use crate::server::poll::reading::Credential;
    use crate::server::trust;
    use crate::web;

    fn words(git: &Command) -> Vec<String> {
        git.as_std().get_args().map(|word| word.to_string_lossy().into_owned()).collect()
    }

    fn variable(git: &Command, name: &str) -> Option<String> {
        let found = git.as_std().get_envs().find(|(known, _)| *known == OsStr::new(name))?;
        found.1.map(|value| value.to_string_lossy().into_owned())
    }

    fn folder(text: &str) -> Address {
        Address::Git(text.to_owned(), None)
    }

    #[test]
    fn every_call_has_all_options_and_the_protocols_of_its_way_alone() {
        let https = Address::Http("https://git.example/a.git".parse().unwrap(), None);
        let addresses =
            ["git@h:a/b.git", "ssh://git@h/a", "git+ssh://h/a", "/srv/a:b.git", "file:///srv/a"].map(folder);
        for (way, allowed) in [
            (Way::Here, &[][..]),
            (Way::Folders, &["file"]),
            (Way::Watched(&https), &["http", "https"]),
            (Way::Watched(&addresses[0]), &["ssh"]),
            (Way::Watched(&addresses[1]), &["ssh"]),
            (Way::Watched(&addresses[2]), &["ssh"]),
            (Way::Watched(&addresses[3]), &["file"]),
            (Way::Watched(&addresses[4]), &["file"]),
            (Way::Named("https", None), &["https"]),
        ] {
            let words = words(&git(Path::new("/"), way));
            assert!(OPTIONS.iter().all(|option| words.iter().any(|word| word == option)), "{way:?}: {words:?}");
            let found: Vec<&str> =
                words.iter().filter_map(|word| word.strip_prefix("protocol.")?.strip_suffix(".allow=always")).collect();
            assert_eq!(found, allowed, "{way:?}");
        }
    }

    #[test]
    fn git_trusts_the_bundle_of_the_server_and_the_systems_authorities() {
        // Here no other test names one.
        let dir = tempfile::tempdir().unwrap();
        let bundle = dir.path().join("company.pem");
        std::fs::write(&bundle, "a certificate").unwrap();
        trust::trust(&bundle, dir.path());
        trust::trust(Path::new("/srv/another.pem"), dir.path());
        let found = variable(&git(Path::new("/"), Way::Named("https", None)), "GIT_SSL_CAINFO").unwrap();
        assert_eq!(std::fs::read(found).unwrap(), web::authorities(&bundle).unwrap());
    }

    #[test]
    fn of_what_ssh_says_its_own_words_are_told_and_what_to_do_about_a_host() {
        let below = BELOW_SSH.join("\n").replacen('\n', "\n\n", 1);
        for (said, told) in [
            (format!("ssh: connect to host h port 22: Connection refused\r\n{below}\n"), "Connection refused"),
            (format!("Host key verification failed.\r\n{below}\n"), "is not known: compare it"),
            (
                format!("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.\n{below}"),
                "another SSH key",
            ),
            (below.clone(), "and the repository exists."),
            ("remote: no\nfatal: not here\n\n".to_owned(), "fatal: not here"),
            (String::new(), "git said nothing"),
        ] {
            let last = last_line(said.as_bytes());
            assert!(last.contains(told) && !last.contains('\r'), "{said}: {last}");
        }
        assert!([UNKNOWN_HOST, OTHER_HOST].iter().all(|words| words.len() < 300 && words.ends_with("known_hosts`")));
    }

    #[test]
    fn a_credential_is_in_the_environment_and_a_stranger_gets_none_of_this_machine() {
        let password = Secret::new("hub", b"hunter2".to_vec()).into();
        let who = Credential { user: "x".to_owned(), password };
        let address = Address::Http("https://git.example:8443/a.git".parse().unwrap(), Some(who));
        for way in [Way::Watched(&address), Way::Named("https", Some(&address))] {
            let git = git(Path::new("/"), way);
            let key = variable(&git, "GIT_CONFIG_KEY_0");
            assert_eq!(key.as_deref(), Some("http.https://git.example:8443.extraHeader"), "{way:?}");
            let value = format!("Authorization: Basic {}", STANDARD.encode("x:hunter2"));
            assert_eq!(variable(&git, "GIT_CONFIG_VALUE_0"), Some(value), "{way:?}");
            assert!(!words(&git).concat().contains("hunter2"));
        }
        let nobody = git(Path::new("/"), Way::Named("https", None));
        assert_eq!(variable(&nobody, "HOME").as_deref(), Some("/nonexistent"));
        assert_eq!(variable(&nobody, "GIT_CONFIG_COUNT"), None);
        for way in [Way::Here, Way::Folders, Way::Named("https", Some(&address))] {
            assert_eq!(variable(&git(Path::new("/"), way), "GIT_CONFIG_GLOBAL").as_deref(), Some("/dev/null"));
        }
        let by_key = Address::Git("git@h:a".to_owned(), Some("/keys/a b".into()));
        let ssh = variable(&git(Path::new("/"), Way::Watched(&by_key)), "GIT_SSH_COMMAND").unwrap();
        assert!(ssh.ends_with("-o IdentitiesOnly=yes -i '/keys/a b'") && ssh.contains("BatchMode=yes"), "{ssh}");
        assert_eq!(quoted(Path::new("/a'b")), None);
    }
}
