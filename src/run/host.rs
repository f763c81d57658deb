//! The machine a run happens on, as far as a run needs to know it: folders, variables, the user, the engine, the clock.
//!
//! Everything a run takes from outside comes through here, so that tests can hold it still.

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::engine::docker::Docker;
use crate::engine::{Engine, EngineError};
use crate::environment::{Config, Keep};
use crate::spec;
use crate::store::Home;

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
    /// This machine and the user of this process.
    pub fn this(home: Home, config: spec::Config, current_dir: PathBuf) -> Self {
        let user = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let variables: Variables = Arc::new(|name| std::env::var(name).ok());
        let connect: Connect = {
            let variables = Arc::clone(&variables);
            Arc::new(move || {
                let connecting = Docker::connect(variables.as_ref());
                Box::pin(async move { Ok(Arc::new(connecting.await?) as Arc<dyn Engine>) })
            })
        };
        Self { home, config, variables, current_dir, user, connect, clock: Arc::new(Timestamp::now) }
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
pub fn environment_config(host: &Host) -> Config {
    let mut config = Config::from_host(host.home.environments(), |name| (host.variables)(name));
    let user = &host.config;
    let text = |value: &Option<spec::Spanned<String>>| value.as_ref().map(|value| value.value.clone());
    config.mirrors.extend(user.mirrors.clone());
    if !user.default_channels.is_empty() {
        config.default_channels = user.default_channels.iter().map(|channel| channel.value.clone()).collect();
    }
    if let Some(alias) = text(&user.channel_alias) {
        config.channel_alias = alias;
    }
    if let Some(bundle) = text(&user.ca_bundle) {
        config.ca_bundle = Some(bundle.into());
    }
    let extra: Vec<&str> = user.extra_index_urls.iter().map(|url| url.value.as_str()).collect();
    let variables = [
        (text(&user.index_url), &["PIP_INDEX_URL"][..]),
        ((!extra.is_empty()).then(|| extra.join(" ")), &["PIP_EXTRA_INDEX_URL"]),
        (text(&user.proxy), &["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"]),
    ];
    for (value, names) in variables {
        for name in names.iter().filter(|_| value.is_some()) {
            config.host_env.insert((*name).to_owned(), value.clone().unwrap_or_default());
        }
    }
    config
}
