//! The machine a run happens on, as far as a run needs to know it: folders, variables, the user, the engine, the clock.
//!
//! Everything a run takes from outside comes through here, so that tests can hold it still.

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::engine::docker::Docker;
use crate::engine::{Engine, EngineError};
use crate::environment::{self, Config, Credential, Keep, Login};
use crate::secret::{Origin, SecretSpec, withhold_too};
use crate::spec::{self, SecretSource, Spanned};
use crate::storage::{Access, Remotes};
use crate::store::Home;
use crate::web::Reach;

use super::ending::Ending;
use super::stop::Stop;

/// The image that `make image` builds, named after the content of `images/runner/`.
pub const RUNNER_IMAGE: &str = concat!("soopervisor-runner:", include_str!("../../images/runner/TAG")).trim_ascii();

/// What is pulled, by digest, where the runner image was not built and a registry answers.
pub const FALLBACK_IMAGE: &str =
    "debian:bookworm-slim@sha256:d5d3f9c23164ea16f31852f95bd5959aad1c5e854332fe00f7b3a20fcc9f635c";

/// Who runs pipelines when soopervisor itself is run by root: nobody's user, so that root stays outside.
const UNPRIVILEGED: (u32, u32) = (10_001, 10_001);

/// Looks up an environment variable.
pub type Variables = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Connects to the container engine.
pub type Connect = Arc<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn Engine>, EngineError>> + Send + Sync>;

/// One machine, one user.
#[derive(Clone)]
pub struct Host {
    /// Where soopervisor keeps its own files.
    pub home: Home,
    /// The user's config.yaml.
    pub config: spec::Config,
    /// The environment of soopervisor itself.
    pub variables: Variables,
    /// What relative folders are meant from.
    pub current_dir: PathBuf,
    /// The user and group of this process.
    pub user: (u32, u32),
    /// Connects to the engine; called at the start of a run, and by nothing that needs no container.
    pub connect: Connect,
    /// The time.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Host {
    /// This machine and the user of this process. Programs that are started from here on do not get what its settings name
    /// as secrets of storages.
    pub fn this(home: Home, config: spec::Config, current_dir: PathBuf) -> Self {
        let secrets = config.remotes.iter().flat_map(|remote| remote.secrets.values());
        withhold_too(secrets.filter_map(|source| match source {
            SecretSource::Env(name) => Some(name.clone()),
            SecretSource::File(_) => None,
        }));
        let user = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let variables: Variables = Arc::new(|name| std::env::var(name).ok());
        let connect: Connect = {
            let (variables, memory) = (Arc::clone(&variables), home.cache().to_owned());
            Arc::new(move || {
                let (connecting, memory) = (Docker::connect(variables.as_ref()), memory.clone());
                Box::pin(async move { Ok(Arc::new(connecting.await?.remembering(&memory)) as Arc<dyn Engine>) })
            })
        };
        Self { home, config, variables, current_dir, user, connect, clock: Arc::new(Timestamp::now) }
    }

    /// Every storage that has a name here.
    pub fn remotes(&self) -> Remotes {
        Remotes::new(self.config.remotes.clone(), Arc::clone(&self.variables))
    }

    /// What opening a storage needs of this machine.
    ///
    /// # Errors
    /// As [`environment_config`].
    pub fn access(&self) -> Result<Access, Stop> {
        let config = environment_config(self)?;
        let proxies = config.host_env.into_iter().filter(|(name, _)| name.to_ascii_uppercase().ends_with("_PROXY"));
        let reach = Reach { ca_bundle: config.ca_bundle, proxies: proxies.collect() };
        Ok(Access { reach, remotes: self.remotes(), state: self.home.state().to_owned() })
    }

    /// The user that processes get inside a container.
    pub fn container_user(&self, rootless: bool) -> (u32, u32) {
        match (rootless, self.user.0) {
            // Root inside a rootless engine is the user outside.
            (true, _) => (0, 0),
            (false, 0) => UNPRIVILEGED,
            (false, _) => self.user,
        }
    }
}

/// What this machine keeps of built environments.
pub fn keep(host: &Host) -> Keep {
    let (asked, usual) = (&host.config.environments, Keep::default());
    Keep { bytes: asked.max_size.unwrap_or(usual.bytes), unused: asked.max_age.unwrap_or(usual.unused) }
}

/// How this machine gets packages: what the host itself is set to, then what config.yaml says.
///
/// # Errors
/// When config.yaml names a variable or a file that is not there.
pub fn environment_config(host: &Host) -> Result<Config, Stop> {
    let mut config = Config::from_host(host.home.environments(), |name| (host.variables)(name));
    let user = &host.config;
    // Whoever writes config.yaml owns this machine's variables: each may stand in an address.
    let filled = |text: &str| {
        environment::expand(text, &|name| (host.variables)(name)).map_err(|name| {
            Stop::new(Ending::InvalidSpec, format!("config.yaml names the variable `{name}`, which is not set"))
                .help(format!("export {name}=…, or write the address out in {}", host.home.config().display()))
        })
    };
    let all = |list: Vec<&str>| list.into_iter().map(filled).collect::<Result<Vec<_>, _>>();
    let texts = |list: &[Spanned<String>]| all(list.iter().map(Spanned::as_str).collect());
    for (channel, mirrors) in &user.mirrors {
        config.mirrors.insert(channel.clone(), all(mirrors.iter().map(String::as_str).collect())?);
    }
    if !user.default_channels.is_empty() {
        config.default_channels = texts(&user.default_channels)?;
        config.no_channels.clear();
    }
    if let Some(alias) = &user.channel_alias {
        config.channel_alias = filled(alias.as_str())?;
    }
    if let Some(bundle) = &user.ca_bundle {
        config.ca_bundle = Some(bundle.as_str().into());
    }
    for (name, version) in &user.virtual_packages {
        config.virtual_packages.entry(name.clone()).or_insert_with(|| version.clone());
    }
    config.credentials = user.credentials.iter().map(credential).collect::<Result<_, _>>()?;
    let extra = texts(&user.extra_index_urls)?.join(" ");
    let one = |value: &Option<Spanned<String>>| value.as_ref().map(|value| filled(value.as_str())).transpose();
    let variables = [
        (one(&user.index_url)?, &["PIP_INDEX_URL"][..]),
        (Some(extra).filter(|extra| !extra.is_empty()), &["PIP_EXTRA_INDEX_URL"]),
        (one(&user.proxy)?, &["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"]),
    ];
    for (value, names) in variables {
        let Some(value) = value else { continue };
        config.host_env.extend(names.iter().map(|name| ((*name).to_owned(), value.clone())));
    }
    Ok(config)
}

/// A credential with its value read.
fn credential(written: &spec::config::Credential) -> Result<Credential, Stop> {
    let host = written.host.value.clone();
    let read = |source: &SecretSource| {
        let origin = match source {
            SecretSource::Env(variable) => Origin::Env(variable.clone()),
            SecretSource::File(path) => Origin::File(path.into()),
        };
        SecretSpec { name: host.clone(), origin }.resolve()
    };
    let login = match &written.login {
        spec::config::Login::Token(source) => Login::Bearer(read(source)?),
        spec::config::Login::CondaToken(source) => Login::CondaToken(read(source)?),
        spec::config::Login::Password { user, password } => {
            Login::Basic { user: user.clone(), password: read(password)? }
        }
    };
    Ok(Credential { host, login })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(config: &str, folder: &std::path::Path) -> Host {
        let (config, problems) = spec::config::parse("config.yaml", config.as_bytes());
        assert_eq!(problems, []);
        let mut host = Host::this(Home::at(folder), config, folder.to_owned());
        host.variables = Arc::new(|name| match name {
            "MIRROR_TOKEN" => Some("s3cret-token".to_owned()),
            "CONDA_OVERRIDE_CUDA" => Some("11.8".to_owned()),
            "PIP_CONFIG_FILE" => Some("/dev/null".to_owned()),
            _ => None,
        });
        host
    }

    #[test]
    fn variables_stand_for_what_no_file_should_hold() {
        let folder = tempfile::tempdir().unwrap();
        let password = folder.path().join("password");
        std::fs::write(&password, "from-a-file\n").unwrap();
        let text = format!(
            "mirrors:\n  conda-forge: 'https://mirror.example.com/t/${{MIRROR_TOKEN}}/forge'\nindex-url: \
             https://me:${{MIRROR_TOKEN}}@pypi.example.com/simple\nvirtual-packages: {{cuda: '12.4', glibc: '2.31'}}\n\
             credentials: {{c.example.com: {{user: me, password: 'file:{}'}}}}\n",
            password.display()
        );
        let config = environment_config(&host(&text, folder.path())).unwrap();
        assert_eq!(config.mirrors["conda-forge"], ["https://mirror.example.com/t/s3cret-token/forge"]);
        assert_eq!(config.index_url(), "https://me:s3cret-token@pypi.example.com/simple");
        assert_eq!((&config.virtual_packages["cuda"][..], &config.virtual_packages["glibc"][..]), ("11.8", "2.31"));
        let network = environment::network_env(&config);
        assert!(!format!("{config:?}{:?}", network.env).contains("s3cret"));
        for secret in [&b"s3cret-token"[..], b"from-a-file"] {
            assert!(network.mask.iter().any(|known| known.expose() == secret), "{}", String::from_utf8_lossy(secret));
        }
    }

    #[test]
    fn what_is_not_set_stops_a_run_before_anything_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        for text in [
            "mirrors: {conda-forge: 'https://h/${NOT_SET_ANYWHERE}/x'}",
            "credentials: {h: {token: env:SOOPERVISOR_NOT_SET_ANYWHERE}}",
        ] {
            let stop = environment_config(&host(text, folder.path())).unwrap_err();
            assert!(stop.line().contains("NOT_SET_ANYWHERE"), "{stop:?}");
            assert_eq!(stop.ending, Ending::InvalidSpec);
        }
    }
}
