//! The plan as one bash file, from `templates/script/*.sh` through askama with an escaper that quotes by default.
//!
//! Pure: no I/O, no clock. No secret is ever part of a script; names only.

mod error;
pub mod quote;
mod render;

pub use error::ScriptError;
pub use render::render;

/// Where things are inside the container. The script, the engine mounts and the collector agree on these.
pub mod guest {
    /// The snapshot, writable, one per run.
    pub const WORK: &str = "/workspace";
    /// Extra outputs: everything left here is published.
    pub const OUTPUT: &str = "/output";
    /// The activation text of the environment, read-only.
    pub const ACTIVATE: &str = "/soopervisor/activate.sh";
    /// HOME, on the run's own disk.
    pub const HOME: &str = "/home/runner";
    /// Bytecode that a run keeps for itself, where its environment has none yet.
    pub const BYTECODE: &str = "/home/runner/.soopervisor/bytecode";
    /// The `uv` program, read-only, where the engine can share it; without it the script uses pip.
    pub const UV: &str = "/soopervisor/bin/uv";
    /// Below it, a folder for each line that a kept wheel fulfils, called by the line's number; read-only.
    pub const WHEELS: &str = "/soopervisor/wheels";
    /// The environment's exact versions as pip constraints, read-only, so that installing the project changes none.
    pub const CONSTRAINTS: &str = "/soopervisor/constraints.txt";
}
