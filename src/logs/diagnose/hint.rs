//! What to do about a probable cause.

use super::{Kind, SHELL_EXIT};

/// What is said where nothing better is known.
pub(super) const ABOVE: &str = "the lines above the failure show where it was raised";

/// Modules whose package has another name on conda-forge.
pub(super) const PACKAGES: [(&str, &str); 24] = [
    ("Crypto", "pycryptodome"),
    ("IPython", "ipython"),
    ("MySQLdb", "mysqlclient"),
    ("PIL", "pillow"),
    ("attr", "attrs"),
    ("bs4", "beautifulsoup4"),
    ("cv2", "opencv"),
    ("dateutil", "python-dateutil"),
    ("docx", "python-docx"),
    ("dotenv", "python-dotenv"),
    ("fitz", "pymupdf"),
    ("git", "gitpython"),
    ("igraph", "python-igraph"),
    ("jwt", "pyjwt"),
    ("osgeo", "gdal"),
    ("pptx", "python-pptx"),
    ("serial", "pyserial"),
    ("skimage", "scikit-image"),
    ("sklearn", "scikit-learn"),
    ("skopt", "scikit-optimize"),
    ("tables", "pytables"),
    ("umap", "umap-learn"),
    ("yaml", "pyyaml"),
    ("zmq", "pyzmq"),
];

/// What to add for a module that is not there.
fn package_hint(module: &str) -> String {
    let top = module.split('.').next().unwrap_or(module);
    match PACKAGES.iter().find(|(module, _)| *module == top) {
        Some((_, package)) => {
            format!("`{top}` is in the package `{package}`: add `- {package}` to the dependencies in environment.yml")
        }
        None => format!(
            "add the package that provides `{top}`, often `- {top}`, to the dependencies in environment.yml; code of your own is committed, or installed with `-e .` in its `pip:` section"
        ),
    }
}

/// What to do about a failure of this kind, of which this line told.
pub(super) fn hint(kind: Kind, message: &str) -> String {
    let quoted = || message.split('\'').nth(1).filter(|name| !name.is_empty());
    match kind {
        Kind::OutOfMemory => {
            "give the run more memory with `--memory`, or make the task hold less at a time".to_owned()
        }
        Kind::DiskFull => {
            "free some disk space (`docker system prune`; `soopervisor doctor` shows what there is), then run again"
                .to_owned()
        }
        Kind::TooManyProcesses => {
            "the run's limit of processes and threads was reached, most likely: give it more with `--pids`, or let it start fewer at once"
                .to_owned()
        }
        Kind::ForeignLibc => {
            "the image's C library is older than the one that the environment was made for, or musl's: take an `--image` with a newer glibc, such as debian:stable-slim, or have packages for an older one solved: CONDA_OVERRIDE_GLIBC=2.17"
                .to_owned()
        }
        Kind::MissingModule => match message.split("No module named '").nth(1).and_then(|rest| rest.split('\'').next())
        {
            Some(module) => package_hint(module),
            None => "add the package that provides the module to environment.yml".to_owned(),
        },
        Kind::MissingCompiler => {
            "the image has no compiler: add `compilers` (conda-forge) or the package itself to the conda dependencies in environment.yml, choose a version with a wheel, or take an `--image` with a compiler"
                .to_owned()
        }
        Kind::MissingProgram if message.contains("No such kernel named ir") => {
            "R notebooks need `r-base` and `r-irkernel` in the conda dependencies of environment.yml".to_owned()
        }
        Kind::MissingProgram => "add the package that provides the program to environment.yml".to_owned(),
        Kind::Network => {
            "check that the address is right and that the run has a network (`--network`, `soopervisor doctor`)"
                .to_owned()
        }
        Kind::MissingProduct => "make the task write the file that pipeline.yaml declares as its product".to_owned(),
        Kind::MissingFile => match quoted() {
            Some(path) => format!(
                "commit `{path}` or make a task produce it: only files of the commit exist in the run, and paths count from the pipeline's folder"
            ),
            None => "commit the file or make a task produce it: only files of the commit exist in the run".to_owned(),
        },
        Kind::Permission => {
            "write below the project's folder or /output: the rest of the container is read-only".to_owned()
        }
        Kind::KernelDied => "its process was killed, mostly for memory: give the run more with `--memory`".to_owned(),
        Kind::Exception if message.contains("Kernel didn't respond in") => {
            "the machine was too busy to start the notebook in time: give the run more `--cpus`, or run fewer tasks at once (`executor: parallel` starts a kernel for each)"
                .to_owned()
        }
        Kind::Exception if message.starts_with(SHELL_EXIT) => {
            "what it said is above; `set -ex` in its first line shows the command that failed".to_owned()
        }
        Kind::Exception if message.contains("CredentialsError") => {
            "a run has none of this machine's logins: hand it what it needs with `--secret NAME` or `--secret NAME=file:PATH`"
                .to_owned()
        }
        Kind::Unimported | Kind::Exception => ABOVE.to_owned(),
    }
}
