//! What a container needs to reach the network as the host does: proxies, indexes, the CA bundle.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use url::Url;

use super::{Config, Inputs};
use crate::engine::{GuestPath, HostPath, Mount};
use crate::secret::Secret;
use crate::web;

/// Where every program of a Debian-like image looks; Docker makes the folder where an image lacks it.
const GUEST_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// One name a program: uv, Python and Go; pip; requests; curl; git; node.
const BUNDLE_VARIABLES: &[&str] =
    &["SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS"];

/// Copies of bundles, in the store, with what the system trusts besides.
pub(super) const BUNDLES: &str = "ca";

/// The pieces for a container.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// Plain variables.
    pub env: BTreeMap<String, String>,
    /// Variables that hold a password: for [`crate::engine::ExecSpec::secrets`], never for `inspect`.
    pub secret_env: Vec<Secret>,
    /// The passwords themselves, to be masked.
    pub mask: Vec<Secret>,
    /// The CA bundle, with the system's authorities.
    pub mounts: Vec<Mount>,
}

impl Network {
    /// Lays what the `pip:` section says of indexes over what this machine is set to, as variables of pip's own: a run that
    /// installs the project asks where its environment was asked for. An address that holds a password, or what a
    /// variable stands for, becomes a secret.
    pub fn follow(&mut self, inputs: &Inputs) {
        for option in &inputs.pip_options {
            let Some((option, value)) = option.split_once(' ') else { continue };
            // pip takes one index, and any number of the others.
            let (name, adds) = match option {
                "--index-url" => ("PIP_INDEX_URL", false),
                "--extra-index-url" => ("PIP_EXTRA_INDEX_URL", true),
                "--find-links" => ("PIP_FIND_LINKS", true),
                "--trusted-host" => ("PIP_TRUSTED_HOST", true),
                _ => continue,
            };
            let text = |secret: &Secret| String::from_utf8_lossy(secret.expose()).into_owned();
            let filled = inputs.pip_variables.iter().fold(value.trim().to_owned(), |value, secret| {
                value.replace(&format!("${{{}}}", secret.name()), &text(secret))
            });
            let is_secret = filled != value.trim();
            let at = self.secret_env.iter().position(|secret| secret.name() == name);
            let hidden = at.map(|at| self.secret_env.remove(at));
            let before = self.env.remove(name).or_else(|| hidden.as_ref().map(text)).filter(|_| adds);
            let value = before.map_or_else(|| filled.clone(), |before| format!("{before} {filled}"));
            let found = passwords(&value);
            if is_secret || hidden.is_some() && adds || !found.is_empty() {
                self.mask.extend(found.into_iter().map(|word| Secret::new(name, word.into_bytes())));
                self.secret_env.push(Secret::new(name, value.into_bytes()));
            } else {
                self.env.insert(name.to_owned(), value);
            }
        }
    }
}

/// Network set-up of the host, for a builder or a run.
pub fn network_env(config: &Config) -> Network {
    let mut network = Network::default();
    for (name, value) in &config.host_env {
        let passwords = passwords(value);
        if passwords.is_empty() {
            network.env.insert(name.clone(), value.clone());
        } else {
            if !config.strangers {
                network.secret_env.push(Secret::new(name.clone(), value.clone().into_bytes()));
            }
            network.mask.extend(passwords.into_iter().map(|word| Secret::new(name.clone(), word.into_bytes())));
        }
    }
    let channels = super::sources::secrets(config).into_iter();
    network.mask.extend(channels.map(|word| Secret::new("channels", word.into_bytes())));
    network.mask.extend(config.credentials.iter().map(|credential| credential.secret().clone()));
    if let Some(bundle) = &config.ca_bundle {
        network.mounts.push(Mount {
            host: HostPath(
                kept(bundle, &config.root).or_else(|_| bundle.canonicalize()).unwrap_or_else(|_| bundle.clone()),
            ),
            guest: GuestPath(GUEST_BUNDLE.to_owned()),
            writable: false,
        });
        for name in BUNDLE_VARIABLES {
            network.env.insert((*name).to_owned(), GUEST_BUNDLE.to_owned());
        }
    }
    network
}

/// The bundle and the system's authorities as one file, which takes the place of the image's own. It is in the store, the
/// folder that an engine outside of our own container is shown; also, an update of the bundle that replaces the file does
/// not reach who has it mounted.
fn kept(bundle: &Path, store: &Path) -> io::Result<PathBuf> {
    web::keep_authorities(bundle, &store.join(BUNDLES))
}

/// pip's variables under the names that uv reads. A variable of uv's own wins.
pub(super) fn for_uv(network: &mut Network) {
    let names = [
        ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
        ("UV_INDEX_URL", "UV_DEFAULT_INDEX"),
        ("PIP_EXTRA_INDEX_URL", "UV_INDEX"),
        ("UV_EXTRA_INDEX_URL", "UV_INDEX"),
        ("PIP_TRUSTED_HOST", "UV_INSECURE_HOST"),
        ("PIP_FIND_LINKS", "UV_FIND_LINKS"),
        ("PIP_DEFAULT_TIMEOUT", "UV_HTTP_TIMEOUT"),
    ];
    for (pip, uv) in names {
        if network.env.contains_key(uv) || network.secret_env.iter().any(|secret| secret.name() == uv) {
            continue;
        }
        // Lists are separated by spaces in both, except this one.
        let separator = if uv == "UV_FIND_LINKS" { b',' } else { b' ' };
        let spelt = |value: &[u8]| value.iter().map(|b| if *b == b' ' { separator } else { *b }).collect::<Vec<u8>>();
        if let Some(value) = network.env.get(pip) {
            let value = String::from_utf8_lossy(&spelt(value.as_bytes())).into_owned();
            network.env.insert(uv.to_owned(), value);
        } else if let Some(secret) = network.secret_env.iter().find(|secret| secret.name() == pip) {
            let copy = Secret::new(uv, spelt(secret.expose()));
            network.secret_env.push(copy);
        }
    }
    // uv warns about its own old names beside the new ones.
    network.env.retain(|name, _| name != "UV_INDEX_URL" && name != "UV_EXTRA_INDEX_URL");
    network.secret_env.retain(|secret| secret.name() != "UV_INDEX_URL" && secret.name() != "UV_EXTRA_INDEX_URL");
}

/// User names (alone they are tokens) and passwords of the URLs in a value, as written and decoded.
pub(super) fn passwords(value: &str) -> Vec<String> {
    let mut found = Vec::new();
    for word in value.split([' ', ',', ';']).filter(|word| word.contains("://")) {
        let address = word.find("://").map_or("", |at| &word[at + 3..]);
        let authority = address.split(['/', '?', '#']).next().unwrap_or_default();
        let Some((user_info, _)) = authority.rsplit_once('@') else { continue };
        let ssh = word.contains("ssh://");
        match user_info.split_once(':') {
            Some((_, password)) if !password.is_empty() => found.push(password.to_owned()),
            None if !ssh && !user_info.is_empty() => found.push(user_info.to_owned()),
            _ => {}
        }
    }
    found.retain(|word| !word.starts_with("${"));
    found
}

/// Text with the credentials of every URL in it removed: `user:password@` and conda's `/t/TOKEN/`.
pub(super) fn without_credentials(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(['/', '?', '#', ' ', '"', '\'', '\n', ',']).unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        let host = match authority.rsplit_once('@') {
            // `git@` of an ssh address is a name that everybody uses.
            Some((user, _)) if before.ends_with("ssh://") && !user.contains(':') => authority,
            Some((_, host)) => host,
            None => authority,
        };
        out.push_str(host);
        rest = match tail.strip_prefix("/t/").and_then(|t| t.split_once('/')) {
            Some((_, after_token)) => {
                out.push('/');
                after_token
            }
            None => tail,
        };
    }
    out.push_str(rest);
    out
}

/// A URL for people and records.
pub(super) fn shown(url: &Url) -> String {
    without_credentials(url.as_str())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keeps_passwords_out_of_what_inspect_shows() {
        let mut config = Config::new("/nowhere".into());
        let values = [
            ("HTTPS_PROXY", "http://proxy.example.com:3128"),
            ("PIP_INDEX_URL", "https://me:hunter2@pypi.example.com/simple"),
            ("PIP_EXTRA_INDEX_URL", "https://tok3n@extra.example.com/simple https://open.example.com/simple"),
        ];
        config.host_env = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut network = network_env(&config);
        for_uv(&mut network);
        let plain = format!("{:?}", network.env);
        assert!(plain.contains("proxy.example.com") && !plain.contains("hunter2") && !plain.contains("tok3n"));
        let secret: Vec<&str> = network.secret_env.iter().map(Secret::name).collect();
        assert!(secret.contains(&"UV_DEFAULT_INDEX") && secret.contains(&"UV_INDEX"), "{secret:?}");
        let masked: Vec<&[u8]> = network.mask.iter().map(Secret::expose).collect();
        assert_eq!(masked, [b"tok3n".as_slice(), b"hunter2"]);
    }

    #[test]
    fn builders_of_strangers_code_get_no_password_and_it_is_masked_all_the_same() {
        let mut config = Config::new("/nowhere".into());
        let values = [
            ("HTTPS_PROXY", "http://me:swordfish@proxy.example.com:3128"),
            ("PIP_INDEX_URL", "https://me:hunter2@pypi.example.com/simple"),
            ("PIP_TRUSTED_HOST", "pypi.example.com"),
        ];
        config.host_env = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        config.strangers = true;
        let mut network = network_env(&config);
        for_uv(&mut network);
        assert!(network.secret_env.is_empty());
        let names: Vec<&str> = network.env.keys().map(String::as_str).collect();
        assert_eq!(names, ["PIP_TRUSTED_HOST", "UV_INSECURE_HOST"]);
        let masked: Vec<&[u8]> = network.mask.iter().map(Secret::expose).collect();
        assert_eq!(masked, [b"swordfish".as_slice(), b"hunter2"]);
    }

    #[test]
    fn indexes_of_the_pip_section_reach_an_install_inside_a_run_and_their_passwords_do_not_show() {
        let mut config = Config::new("/nowhere".into());
        let values = [
            ("PIP_INDEX_URL", "https://pypi.example.com/simple"),
            ("PIP_EXTRA_INDEX_URL", "https://mirror.example.com/simple"),
        ];
        config.host_env = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let lines = [
            "--index-url https://${TOKEN}@own.example.com/simple",
            "--extra-index-url https://other.example.com/simple",
            "-f https://wheels.example.com/${TOKEN}/",
            "--trusted-host own.example.com",
            "--pre",
            "shop",
        ];
        let raw = crate::environment::RawEnvironment {
            pip: crate::spec::pip::split(&lines, "", &mut |_| Err("none".to_owned())).lines,
            ..Default::default()
        };
        let variable = |name: &str| (name == "TOKEN").then(|| "s3cret-token".to_owned());
        let inputs = Inputs::new(&raw, &config, &variable).unwrap();
        let mut network = network_env(&config);
        network.follow(&inputs);
        assert_eq!(
            network.env["PIP_EXTRA_INDEX_URL"],
            "https://mirror.example.com/simple https://other.example.com/simple"
        );
        assert_eq!(network.env["PIP_TRUSTED_HOST"], "own.example.com");
        assert!(!format!("{:?}", network.env).contains("s3cret") && !network.env.contains_key("PIP_INDEX_URL"));
        let secret = |name: &str| network.secret_env.iter().find(|secret| secret.name() == name).unwrap().expose();
        assert_eq!(secret("PIP_INDEX_URL"), b"https://s3cret-token@own.example.com/simple");
        assert_eq!(secret("PIP_FIND_LINKS"), b"https://wheels.example.com/s3cret-token/");
        assert!(network.mask.iter().any(|secret| secret.expose() == b"s3cret-token"));
    }

    #[test]
    fn one_bundle_serves_every_program() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let name = file.path().to_str().unwrap().to_owned();
        let config = Config::from_host("/dev/null/store".into(), |variable| match variable {
            "REQUESTS_CA_BUNDLE" => Some(name.clone()),
            "NODE_EXTRA_CA_CERTS" => Some("/only/an/addition.pem".to_owned()),
            "http_proxy" => Some("http://p:1".to_owned()),
            _ => None,
        });
        let network = network_env(&config);
        assert_eq!(network.mounts.len(), 1);
        assert!(!network.mounts[0].writable && network.mounts[0].guest.0 == GUEST_BUNDLE);
        assert!(BUNDLE_VARIABLES.iter().all(|name| network.env[*name] == GUEST_BUNDLE));
        assert_eq!(network.env["http_proxy"], "http://p:1");
    }

    #[test]
    fn a_container_is_given_the_bundle_and_the_systems_authorities_out_of_the_store() {
        let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        // The first run of a machine asks before there is a store.
        let store = home.path().join("env");
        let bundle = other.path().join("company.pem");
        std::fs::write(&bundle, "first").unwrap();
        let name = bundle.to_str().unwrap().to_owned();
        let config = Config::from_host(store.clone(), |variable| (variable == "PIP_CERT").then(|| name.clone()));
        let host = || network_env(&config).mounts.remove(0).host.0;
        let first = host();
        assert!(first.starts_with(store.canonicalize().unwrap()), "{}", first.display());
        assert_eq!(first.metadata().unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(std::fs::read(&first).unwrap(), web::authorities(&bundle).unwrap());
        std::fs::write(&bundle, "second").unwrap();
        assert_eq!(std::fs::read(host()).unwrap(), web::authorities(&bundle).unwrap());
        assert!(std::fs::read(&first).unwrap().starts_with(b"first"));
        assert_ne!(first, host());
        // Where there is no store to keep it in, it is given as it is.
        let config = Config { root: "/dev/null/store".into(), ..config };
        assert_eq!(network_env(&config).mounts[0].host.0, bundle.canonicalize().unwrap());
    }

    #[test]
    fn removes_credentials_wherever_they_stand() {
        for (text, clean) in [
            ("https://u:p@h/x", "https://h/x"),
            ("https://token@h/x?a=b@c", "https://h/x?a=b@c"),
            ("a https://u:p@h, b http://v:q@i/", "a https://h, b http://i/"),
            ("git+ssh://git@github.com/a/b", "git+ssh://git@github.com/a/b"),
            ("https://h/t/tk-123/chan/linux-64", "https://h/chan/linux-64"),
            ("no address at all: a@b", "no address at all: a@b"),
        ] {
            assert_eq!(without_credentials(text), clean);
        }
    }
}
