//! Where packages come from and where environments are kept, as this machine is set up.
//!
//! Nothing of this is part of an environment's key, except the platform and the channels that stand for `defaults`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::condarc::{self, Verify};
use super::credentials::Credential;
use super::pip_conf::{self, Settings};
use super::virtuals;

/// The version of ploomber that is added where a repository names none.
pub const PLOOMBER_PIN: &str = "0.23.3";

/// The channel server that plain names belong to.
const CHANNEL_ALIAS: &str = "https://conda.anaconda.org";

/// Variables that are handed to builders and runs as the host has them.
const PASSED: &[&str] = &[
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_NO_INDEX",
    "UV_FIND_LINKS",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_INSECURE_HOST",
    "UV_HTTP_TIMEOUT",
];

/// Variables of which any names the CA bundle, first one first. `NODE_EXTRA_CA_CERTS` is not among them: it is for what
/// node alone shall trust.
const BUNDLES: &[&str] =
    &["SOOPERVISOR_CA_BUNDLE", "SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"];

/// How this machine gets packages.
#[derive(Clone)]
pub struct Config {
    /// The store's folder on the host.
    pub root: PathBuf,
    /// Canonical channel (URL, or name below the alias) → mirrors: `https://…`, `file:///…` or an absolute path.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// What `defaults` means, and a file without channels unless `no_channels` says otherwise.
    pub default_channels: Vec<String>,
    /// What `.condarc` has for files without channels; `defaults` may be among them.
    pub no_channels: Vec<String>,
    /// The server that plain channel names belong to.
    pub channel_alias: String,
    /// Channel names that lie on another server than the alias: name → the server's address.
    pub custom_channels: BTreeMap<String, String>,
    /// What is assumed of the machine besides conda's baseline: `cuda` → `12.4`, `glibc` → `2.31`.
    pub virtual_packages: BTreeMap<String, String>,
    /// What channel servers and mirrors ask for.
    pub credentials: Vec<Credential>,
    /// netrc, where user names and passwords of servers stand.
    pub netrc: Option<PathBuf>,
    /// rattler's own file of credentials.
    pub auth_file: Option<PathBuf>,
    /// Whether the certificates of channel servers are checked; `ssl_verify: false` of `.condarc` says no.
    pub verify_channels: bool,
    /// The CA bundle for everything that speaks TLS, besides what the system trusts.
    pub ca_bundle: Option<PathBuf>,
    /// Proxy, index and timeout variables of the host.
    pub host_env: BTreeMap<String, String>,
    /// conda's name for the platform of the engine: `linux-64`, `linux-aarch64`.
    pub platform: String,
    /// User and group of builder containers.
    pub container_user: (u32, u32),
    /// A uv program to use instead of the pinned one.
    pub uv: Option<PathBuf>,
    /// The engine's own name, where it does not see this machine's files: environments are kept in its volumes then.
    pub far: Option<String>,
    /// Whether what is built is strangers' code, which runs in builders as it likes: they get no password of this machine,
    /// and what its files name is asked without any login.
    pub strangers: bool,
    /// Whether packages of the `pip:` section are installed from wheels only: nothing of theirs is executed then.
    pub wheels_only: bool,
    /// Settings of the host that cannot be followed, for the user.
    pub notes: Vec<String>,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // `host_env` and `mirrors` may hold passwords.
        f.debug_struct("Config")
            .field("root", &self.root)
            .field("platform", &self.platform)
            .field("container_user", &self.container_user)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// Plain settings: conda-forge, the public index, this machine's platform.
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            mirrors: BTreeMap::new(),
            default_channels: vec!["conda-forge".to_owned()],
            no_channels: Vec::new(),
            channel_alias: CHANNEL_ALIAS.to_owned(),
            custom_channels: BTreeMap::new(),
            virtual_packages: BTreeMap::new(),
            credentials: Vec::new(),
            netrc: None,
            auth_file: None,
            verify_channels: true,
            ca_bundle: None,
            host_env: BTreeMap::new(),
            platform: platform_of(std::env::consts::ARCH).unwrap_or("linux-64").to_owned(),
            container_user: container_user(),
            uv: None,
            far: None,
            strangers: false,
            wheels_only: false,
            notes: Vec::new(),
        }
    }

    /// Whether pip is told to ask no index, only the places of `find-links`.
    pub(super) fn asks_no_index(&self) -> bool {
        let said = self.host_env.get("PIP_NO_INDEX").map(|value| value.trim().to_lowercase());
        said.is_some_and(|word| ["1", "true", "yes", "on", "y", "t"].contains(&word.as_str()))
    }

    /// What the host itself is set to. `env` looks up a variable; `SOOPERVISOR_CONDA_MIRRORS` is
    /// `channel=mirror` pairs, separated by white space.
    pub fn from_host(root: PathBuf, env: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| env(name).filter(|value| !value.trim().is_empty());
        let mut config = Self::new(root);
        config.ca_bundle = BUNDLES.iter().find_map(|name| get(name)).map(PathBuf::from).filter(|path| path.is_file());
        for name in PASSED {
            if let Some(value) = get(name) {
                config.host_env.insert((*name).to_owned(), value);
            }
        }
        config.follow_pip(&pip_conf::settings(&get), &get);
        config.follow_conda(condarc::settings(&get));
        let home = get("HOME").map(PathBuf::from);
        config.netrc = get("NETRC").map(PathBuf::from).or_else(|| home.map(|home| home.join(".netrc")));
        config.auth_file = get("RATTLER_AUTH_FILE").map(PathBuf::from);
        for name in virtuals::NAMES {
            if let Some(version) = get(&format!("CONDA_OVERRIDE_{}", name.to_uppercase())) {
                config.virtual_packages.insert((*name).to_owned(), version);
            }
        }
        if let Some(alias) = get("CONDA_CHANNEL_ALIAS") {
            alias.trim_end_matches('/').clone_into(&mut config.channel_alias);
        }
        if let Some(pairs) = get("SOOPERVISOR_CONDA_MIRRORS") {
            for (channel, mirror) in pairs.split_whitespace().filter_map(|pair| pair.split_once('=')) {
                config.mirrors.entry(channel.to_owned()).or_default().push(mirror.to_owned());
            }
        }
        config.uv = get("SOOPERVISOR_UV").map(PathBuf::from);
        config
    }

    /// Takes over what conda is set to; variables and config.yaml are laid over it afterwards.
    fn follow_conda(&mut self, conda: condarc::Settings) {
        if let Some(alias) = conda.channel_alias {
            alias.trim_end_matches('/').clone_into(&mut self.channel_alias);
        }
        if !conda.default_channels.is_empty() {
            self.default_channels = conda.default_channels;
        }
        self.no_channels = conda.channels;
        self.custom_channels = conda.custom_channels;
        self.notes.extend(conda.notes);
        match conda.verify {
            Verify::Usual => {}
            Verify::Never => {
                self.verify_channels = false;
                self.notes.push(
                    "`ssl_verify: false` of .condarc is followed: nobody checks who answers for a conda channel; \
                     `ca-bundle` in config.yaml is the safe way"
                        .to_owned(),
                );
            }
            Verify::Bundle(path) if path.is_file() => self.ca_bundle = self.ca_bundle.take().or(Some(path)),
            Verify::Bundle(path) => {
                self.notes.push(format!("`ssl_verify` of .condarc names `{}`, which is no file", path.display()));
            }
        }
    }

    /// Takes over what pip is set to, where no variable says otherwise.
    fn follow_pip(&mut self, pip: &Settings, get: &dyn Fn(&str) -> Option<String>) {
        let of_pip = |name: &str| pip.get(name).cloned();
        self.ca_bundle = self.ca_bundle.take().or_else(|| of_pip("cert").map(PathBuf::from).filter(|p| p.is_file()));
        for (name, variable) in [
            ("index-url", "PIP_INDEX_URL"),
            ("extra-index-url", "PIP_EXTRA_INDEX_URL"),
            ("trusted-host", "PIP_TRUSTED_HOST"),
            ("timeout", "PIP_DEFAULT_TIMEOUT"),
            ("no-index", "PIP_NO_INDEX"),
        ] {
            if let Some(value) = of_pip(name) {
                self.host_env.entry(variable.to_owned()).or_insert(value);
            }
        }
        let proxies = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
        if let Some(proxy) = get("PIP_PROXY").or_else(|| of_pip("proxy"))
            && !proxies.iter().any(|name| self.host_env.contains_key(*name))
        {
            let address = if proxy.contains("://") { proxy } else { format!("http://{proxy}") };
            for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
                self.host_env.insert(name.to_owned(), address.clone());
            }
        }
        let Some(links) = get("PIP_FIND_LINKS").or_else(|| of_pip("find-links")) else { return };
        let is_remote = |word: &&str| word.contains("://") && !word.starts_with("file:");
        let (remote, local): (Vec<&str>, Vec<&str>) = links.split_whitespace().partition(is_remote);
        if !remote.is_empty() {
            self.host_env.insert("PIP_FIND_LINKS".to_owned(), remote.join(" "));
        }
        self.notes.extend(local.iter().map(|folder| {
            format!("pip's `find-links` names `{folder}`, which builders in containers do not see: it is left out")
        }));
    }

    /// The index that packages and uv come from.
    pub fn index_url(&self) -> &str {
        ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"]
            .iter()
            .find_map(|name| self.host_env.get(*name))
            .map_or("https://pypi.org/simple", String::as_str)
    }
}

/// conda's platform for a machine's architecture, as the kernel or Docker name it.
pub fn platform_of(architecture: &str) -> Option<&'static str> {
    match architecture {
        "x86_64" | "amd64" => Some("linux-64"),
        "aarch64" | "arm64" => Some("linux-aarch64"),
        "ppc64le" | "powerpc64le" => Some("linux-ppc64le"),
        "s390x" => Some("linux-s390x"),
        _ => None,
    }
}

/// Our own user, or an unprivileged one when that is root.
fn container_user() -> (u32, u32) {
    match (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw()) {
        (0, _) => (10_001, 10_001),
        user => user,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str, variables: &[(&str, &str)]) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pip.conf");
        std::fs::write(&file, text).unwrap();
        Config::from_host("/nowhere".into(), |name| match name {
            "PIP_CONFIG_FILE" => Some(file.display().to_string()),
            name => variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()),
        })
    }

    #[test]
    fn a_configured_pip_is_followed_and_variables_win() {
        let text = "[global]\nindex-url = https://me:hunter2@pypi.example.com/simple\nproxy = proxy.example.com:3128\n\
                    trusted-host = pypi.example.com\n";
        let config = with(text, &[]);
        assert_eq!(config.index_url(), "https://me:hunter2@pypi.example.com/simple");
        assert_eq!(config.host_env["HTTPS_PROXY"], "http://proxy.example.com:3128");
        assert_eq!(config.host_env["PIP_TRUSTED_HOST"], "pypi.example.com");
        let network = crate::environment::network_env(&config);
        assert!(!format!("{:?}", network.env).contains("hunter2"));
        assert!(network.mask.iter().any(|secret| secret.expose() == b"hunter2"));
        let config =
            with(text, &[("PIP_INDEX_URL", "https://other.example.com/simple"), ("https_proxy", "http://q:1")]);
        assert_eq!(config.index_url(), "https://other.example.com/simple");
        assert!(!config.host_env.contains_key("HTTPS_PROXY"), "one proxy is set: pip's own is for pip alone");
    }

    #[test]
    fn a_configured_conda_is_followed_and_variables_win() {
        let folder = tempfile::tempdir().unwrap();
        let text = "channel_alias: https://conda.example.com/\ndefault_channels: [main]\nssl_verify: false\n\
                    custom_channels: {team: 'https://me:hunter2@team.example.com'}\n";
        std::fs::write(folder.path().join(".condarc"), text).unwrap();
        let home = folder.path().display().to_string();
        let with = |more: &'static [(&str, &str)]| {
            Config::from_host("/nowhere".into(), |name| match name {
                "HOME" => Some(home.clone()),
                "PIP_CONFIG_FILE" => Some("/dev/null".to_owned()),
                name => more.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()),
            })
        };
        let config = with(&[("CONDA_OVERRIDE_CUDA", "12.4"), ("CONDA_OVERRIDE_GLIBC", " ")]);
        assert_eq!(config.channel_alias, "https://conda.example.com");
        assert_eq!(config.default_channels, ["main"]);
        assert!(!config.verify_channels && config.notes.iter().any(|note| note.contains("ssl_verify")));
        assert_eq!(config.virtual_packages, [("cuda".to_owned(), "12.4".to_owned())].into());
        assert_eq!(config.netrc, Some(folder.path().join(".netrc")));
        let network = crate::environment::network_env(&config);
        assert!(network.mask.iter().any(|secret| secret.expose() == b"hunter2"), "it must not be shown");
        let config = with(&[("CONDA_CHANNEL_ALIAS", "https://other.example.com"), ("NETRC", "/srv/netrc")]);
        assert_eq!(config.channel_alias, "https://other.example.com");
        assert_eq!(config.netrc, Some("/srv/netrc".into()));
    }

    #[test]
    fn folders_with_wheels_are_left_out_with_a_note_and_addresses_are_kept() {
        let config = with("[install]\nfind-links =\n  /srv/wheels\n  https://wheels.example.com/a\n", &[]);
        assert_eq!(config.host_env["PIP_FIND_LINKS"], "https://wheels.example.com/a");
        assert!(config.notes.len() == 1 && config.notes[0].contains("`/srv/wheels`"), "{:?}", config.notes);
        let config = with("", &[("PIP_FIND_LINKS", "file:///srv/w ./here")]);
        assert!(!config.host_env.contains_key("PIP_FIND_LINKS"));
        assert_eq!(config.notes.len(), 2);
    }
}
