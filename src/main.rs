//! The `soopervisor` program: hands its arguments to [`soopervisor::cli`] and returns its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    soopervisor::cli::main()
}
