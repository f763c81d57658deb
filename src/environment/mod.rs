//! `environment.yml` in, an immutable, activated conda prefix out: solved and linked by rattler, `pip:` lines by uv.
//!
//! Nothing here runs a pipeline. Prefixes are built in fresh folders, published by renaming a key file, and never
//! changed afterwards, except that bytecode is added; caches are never writable from a run.

pub mod channel;

use std::path::PathBuf;

use crate::id::Digest;

mod activate;
mod bench;
mod blamed;
mod build;
mod builder;
mod bytecode;
mod census;
mod client;
mod condarc;
mod config;
mod credentials;
mod drift;
mod error;
mod exact;
mod inputs;
mod kept;
mod lease;
mod link;
mod listing;
mod lock;
mod mirror;
mod mishap;
mod network;
mod pip;
mod pip_conf;
mod prune;
mod seal;
mod shared;
mod solve;
mod sources;
mod space;
mod store;
mod strangers;
mod sweep;
mod trash;
mod uv;
mod virtuals;
mod volume;
mod wheel;
mod why;

pub use blamed::Blamed;
pub use bytecode::Chore;
pub use config::{Config, PLOOMBER_PIN, platform_of};
pub use credentials::{Credential, Login};
pub use drift::{Change, differences, told_apart};
pub use error::{EnvironmentError, Problem};
pub use exact::Lock;
pub use inputs::{Inputs, RawEnvironment};
pub use listing::{Listed, Listing};
pub use network::{Network, network_env};
pub use prune::{Gone, Keep, Pruned, Room};
pub use seal::{Arrival, arrive, seal, unseal};
pub use sources::{Place, expand, places};
pub use space::Full;
pub use store::{Request, Store, Wish};
pub use sweep::Unreadable;
pub use wheel::{Project, Wheel};
pub use why::{Difference, Verdict, rows};

/// An environment that is ready to be mounted.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Digest of the normalised inputs.
    pub key: Digest,
    /// The prefix on the host; for an engine that does not see it, only a description of it.
    pub host_prefix: PathBuf,
    /// The volume that holds the prefix, for an engine that does not see this machine's files.
    pub volume: Option<String>,
    /// The same prefix inside the container: the path it was built for.
    pub guest_prefix: String,
    /// A bash file on the host that activates it; mounted at `script::guest::ACTIVATE`.
    pub activation: PathBuf,
    /// Exact packages, as JSON: `{"schema":1,"python":"3.11.7","conda":[{name,version,build,url,sha256}],"pip":[{name,version,hashes,content,…}]}`;
    /// `hashes` are of all files of a release, `content` is of what was installed.
    pub lock: serde_json::Value,
    /// Whether nothing had to be built.
    pub reused: bool,
    /// Version of ploomber in it.
    pub ploomber: String,
    /// What a user should know: ploomber was added, a channel was replaced, ….
    pub notes: Vec<String>,
    /// How it differs from what the same environment.yml was before it had to be solved anew.
    pub changes: Vec<Change>,
    // Held, never read: nobody removes the prefix before this and all its clones are gone.
    _lease: lease::Lease,
}

impl Prepared {
    /// Whether all bytecode is in it that ever will be; in a volume nothing is changed after its build.
    pub fn is_compiled(&self) -> bool {
        self.volume.is_some() || bytecode::State::of(&self.host_prefix).is_some_and(bytecode::State::is_settled)
    }

    /// Whether processes had better keep bytecode in a folder of their own: hardly any is in it yet.
    pub fn lacks_bytecode(&self) -> bool {
        bytecode::State::of(&self.host_prefix).is_some_and(bytecode::State::is_mostly_missing)
    }

    /// The environment's exact versions as pip constraints, so that installing a project changes none of them.
    pub fn constraints(&self) -> PathBuf {
        self.host_prefix.join(activate::CONSTRAINTS)
    }
}

/// The uv program that builds environments, for installing a project into its run; it may not be there.
pub fn uv_program(config: &Config) -> PathBuf {
    config.uv.clone().unwrap_or_else(|| uv::path(config))
}
