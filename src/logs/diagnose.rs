//! What probably went wrong, read from the last lines of a failed run.
//!
//! A guess for the failure card, from masked lines only; it never changes how a run ends.

use super::tasks::failed_task;

/// What kind of failure it looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// A process used more memory than it may.
    OutOfMemory,
    /// The disk is full.
    DiskFull,
    /// Programs of the environment do not start in this image: its C library is another one.
    ForeignLibc,
    /// A Python module is not in the environment.
    MissingModule,
    /// Something has to be compiled, and there is no compiler.
    MissingCompiler,
    /// A program is not in the environment.
    MissingProgram,
    /// The network, or a name in it, cannot be reached.
    Network,
    /// A task did not make what it declares.
    MissingProduct,
    /// A file is not there.
    MissingFile,
    /// A file may not be read or written.
    Permission,
    /// The process of a notebook died.
    KernelDied,
    /// A module of tasks could not be imported, and Ploomber keeps the cause to itself.
    Unimported,
    /// Any other exception.
    Exception,
}

/// A probable cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// What it looks like.
    pub kind: Kind,
    /// The task, where Ploomber names one.
    pub task: Option<String>,
    /// The line that says it.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// The module that could not be imported, where nothing in the lines says why.
    pub unimported: Option<String>,
}

impl Diagnosis {
    /// This failure, once it is known which module is not there and which file of the user's imports it.
    #[must_use]
    pub fn lacking(self, module: &str, file: &str) -> Self {
        let message = format!("No module named '{module}', imported by {file}");
        Self { kind: Kind::MissingModule, hint: hint(Kind::MissingModule, &message), message, ..self }
    }
}

/// Reads the last lines of a failed run, oldest first; `None` where nothing in them says why.
pub fn diagnose<'a>(lines: impl IntoIterator<Item = &'a str>) -> Option<Diagnosis> {
    let lines: Vec<&str> = lines.into_iter().collect();
    let task = lines.iter().find_map(|line| failed_task(line)).map(str::to_owned);
    let unimported = unimported(&lines);
    let of_line = |line: &str| match kind(line)? {
        Kind::Exception if unimported.is_some() && line.contains(NO_CLASS) => Some(Kind::Unimported),
        other => Some(other),
    };
    let causes = lines.iter().filter_map(|line| Some((of_line(line)?, *line)));
    // The first line of the most telling kind: later ones are the same failure on its way up.
    let (kind, line) = causes.min_by_key(|(kind, _)| *kind)?;
    if let Some((module, name)) = unimported.filter(|_| kind == Kind::Unimported) {
        let message = format!("`{module}` cannot be imported, or has no `{name}`: Ploomber does not say which");
        let hint = format!("`python -c 'import {module}'` in the run's environment shows why");
        return Some(Diagnosis { kind, task, message, hint, unimported: Some(module.to_owned()) });
    }
    let line = line.trim();
    // Ploomber's own class in front of a message tells a user nothing.
    let message = line.split_once("TaskBuildError: ").map_or(line, |(_, rest)| rest);
    let message = shell_exit(message, &lines)
        .or_else(|| unframed(message))
        .unwrap_or_else(|| downloader(message).unwrap_or(message).to_owned());
    Some(Diagnosis { kind, task, hint: hint(kind, &message), message, unimported: None })
}

/// How a shell script ended, for which Ploomber raises an error of its own.
fn shell_exit(message: &str, lines: &[&str]) -> Option<String> {
    message.strip_suffix("RuntimeError: Error executing code.")?;
    let code = lines.iter().rev().find_map(|line| line.trim().strip_prefix("exit status "))?;
    code.parse::<u8>().ok().map(|code| format!("{SHELL_EXIT}{code}"))
}

const SHELL_EXIT: &str = "the task's shell script ended with code ";

/// How Ploomber begins when it cannot tell what a task's source is.
const NO_CLASS: &str = "Failed to determine task class for source '";

/// The module and the name of a function that could not be imported. Where the function's name is also a file's ending
/// that is known anywhere (`tasks.a`, `tasks.c`), Ploomber calls it an invalid extension and swallows what Python said.
fn unimported<'a>(lines: &[&'a str]) -> Option<(&'a str, &'a str)> {
    lines.iter().find(|line| line.trim() == "If you meant to import a function, please rename it.")?;
    let line = lines.iter().find(|line| line.contains(NO_CLASS) && line.contains("(invalid extension "))?;
    let (source, _) = line.split_once(NO_CLASS)?.1.split_once('\'')?;
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
    source.rsplit_once('.').filter(|(module, name)| !module.is_empty() && module.chars().chain(name.chars()).all(plain))
}

/// What Ploomber could not import, without its words about looking for a task's class: `No module named 'x', imported
/// by tasks.py`.
fn unframed(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("trying to import dotted path '")?;
    let (dotted, rest) = rest.split_once("': ")?;
    let (cause, module) = match rest.rsplit_once(" (loaded '") {
        Some((cause, loaded)) => (cause, loaded.split_once("' from '").map(|(_, path)| path)),
        None => (rest, None),
    };
    let cause = cause.trim_end_matches('.');
    let by = match module.and_then(|path| path.split('\'').next()) {
        Some(file) => file.strip_prefix("/workspace/").unwrap_or(file),
        // The path itself leads nowhere: nothing imports it but pipeline.yaml.
        None if cause.contains(&format!("'{}'", dotted.split('.').next().unwrap_or(dotted))) => "pipeline.yaml",
        None => dotted,
    };
    Some(format!("{cause}, imported by {by}"))
}

/// Modules whose package has another name on conda-forge.
const PACKAGES: [(&str, &str); 24] = [
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

/// Whether a program wants a newer glibc than there is, or one at all: without the loader that it names, the kernel says
/// that the program itself is not there.
fn is_foreign_libc(line: &str) -> bool {
    let absent = ["cannot execute: required file not found", "bad interpreter: No such file or directory"];
    let too_old = line.contains("version `GLIBC_") && line.contains("not found");
    // Below the folder that environments are shown in; elsewhere it may be any program that the image lacks.
    too_old || (line.contains("/opt/sv/e/") && absent.iter().any(|words| line.contains(words)))
}

fn kind(line: &str) -> Option<Kind> {
    let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
    if is_foreign_libc(line) {
        return Some(Kind::ForeignLibc);
    }
    if COMPILER.iter().any(|words| line.contains(words)) {
        return Some(Kind::MissingCompiler);
    }
    if line.contains("the task ran successfully but the product") {
        return Some(Kind::MissingProduct);
    }
    if line.trim_start().starts_with("No such kernel named ") {
        return Some(Kind::MissingProgram);
    }
    // Ploomber's words for an optional dependency: `pyppeteer is required to use webpdf, install it with:`.
    if line.contains(" required to use ") && line.contains("nstall it with") {
        return Some(Kind::MissingModule);
    }
    if line.starts_with("Error: Failed to initialize '") && line.contains("does not exist") {
        return Some(Kind::MissingFile);
    }
    if downloader(line).is_some() {
        return Some(Kind::Network);
    }
    // As every program of a shell script says it: `dd: error writing 'big': No space left on device`.
    if line.trim_end().ends_with(": No space left on device") {
        return Some(Kind::DiskFull);
    }
    if line.starts_with("bash: ") || line.contains(": line ") {
        return shell_kind(line);
    }
    let named = exception(line).or_else(|| line.strip_prefix("Error: ").map(|_| "Error"))?;
    let short = named.rsplit('.').next().unwrap_or(named);
    Some(match short {
        "MemoryError" | "ArrayMemoryError" | "OutOfMemoryError" => Kind::OutOfMemory,
        "DeadKernelError" => Kind::KernelDied,
        _ if has(&["No module named "]) => Kind::MissingModule,
        _ if has(&["No space left on device", "database or disk is full", "Disk quota exceeded"]) => Kind::DiskFull,
        _ if short == "gaierror" || has(&NETWORK) => Kind::Network,
        "FileNotFoundError" => Kind::MissingFile,
        "PermissionError" => Kind::Permission,
        "TaskBuildError" | "DAGBuildError" | "DAGBuildEarlyStop" => return None,
        _ => Kind::Exception,
    })
}

/// What setuptools, meson, CMake and maturin say where there is no compiler.
const COMPILER: [&str; 9] = [
    "No such file or directory: 'gcc'",
    "No such file or directory: 'cc'",
    "No such file or directory: 'g++'",
    "error: command 'gcc' failed: No such file",
    "error: command 'cc' failed: No such file",
    "unable to execute 'gcc'",
    "ERROR: Unknown compiler(s):",
    "No CMAKE_C_COMPILER could be found",
    "can't find Rust compiler",
];

const NETWORK: [&str; 8] = [
    "Name or service not known",
    "Temporary failure in name resolution",
    "Network is unreachable",
    "No route to host",
    "Connection refused",
    "Connection timed out",
    "Failed to establish a new connection",
    "Could not resolve host",
];

/// What curl and wget say where they reach nobody; curl says it behind its progress, in the same line.
fn downloader(line: &str) -> Option<&str> {
    ["curl: (5)", "curl: (6)", "curl: (7)", "curl: (28)", "wget: unable to resolve"]
        .iter()
        .find_map(|words| line.find(words).map(|at| &line[at..]))
}

/// What bash says about a program that it could not start, or that was killed.
fn shell_kind(line: &str) -> Option<Kind> {
    if line.ends_with("command not found") {
        Some(Kind::MissingProgram)
    } else if line.ends_with(": No such file or directory") {
        Some(Kind::MissingFile)
    } else if line.ends_with(": Permission denied") {
        Some(Kind::Permission)
    } else if line.split_whitespace().any(|word| word == "Killed") {
        Some(Kind::OutOfMemory)
    } else {
        None
    }
}

/// The class of an exception that a traceback ends with: `pkg.SomeError: words` at the start of a line.
fn exception(line: &str) -> Option<&str> {
    let class = line.split_once(": ").map_or(line, |(class, _)| class).trim_end_matches(':');
    let dotted = !class.is_empty() && class.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'));
    let last = class.rsplit('.').next().unwrap_or(class);
    let named = ["Error", "Exception", "Interrupt", "gaierror", "herror", "Timeout"];
    (dotted && named.iter().any(|end| last.ends_with(end)) && last != "Error").then_some(class)
}

fn hint(kind: Kind, message: &str) -> String {
    let quoted = || message.split('\'').nth(1).filter(|name| !name.is_empty());
    match kind {
        Kind::OutOfMemory => {
            "give the run more memory with `--memory`, or make the task hold less at a time".to_owned()
        }
        Kind::DiskFull => {
            "free some disk space (`docker system prune`; `soopervisor doctor` shows what there is), then run again"
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
        Kind::Unimported | Kind::Exception => "the lines above the failure show where it was raised".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> Diagnosis {
        let path = format!("{}/tests/fixtures/ploomber-output/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        let text = fs_err::read_to_string(path).unwrap();
        diagnose(text.split(['\n', '\r'])).unwrap()
    }

    #[test]
    fn what_ploomber_printed_about_each_failure_is_understood() {
        for (name, kind, task, message) in [
            ("exception", Kind::Exception, Some("load"), "ValueError: column \"price\" is empty"),
            ("parallel-exception", Kind::Exception, Some("load"), "ValueError: column \"price\" is empty"),
            ("notebook", Kind::Exception, Some("nb"), "ZeroDivisionError: division by zero"),
            ("import-notebook", Kind::MissingModule, Some("nb"), "ModuleNotFoundError: No module named 'pandaz'"),
            ("memory", Kind::OutOfMemory, Some("load"), "MemoryError"),
            ("disk", Kind::DiskFull, Some("load"), "OSError: [Errno 28] No space left on device"),
            ("network", Kind::Network, Some("load"), "socket.gaierror: [Errno -2] Name or service not known"),
            ("kernel-killed", Kind::KernelDied, Some("nb"), "nbclient.exceptions.DeadKernelError: Kernel died"),
            (
                "missing-file",
                Kind::MissingFile,
                Some("load"),
                "FileNotFoundError: [Errno 2] No such file or directory: 'data/raw.csv'",
            ),
            (
                "missing-source",
                Kind::MissingFile,
                None,
                "Error: Failed to initialize '/workspace/nope.py'. File does not exist.",
            ),
        ] {
            let found = of(name);
            assert_eq!((found.kind, found.task.as_deref(), found.message.as_str()), (kind, task, message), "{name}");
        }
        assert_eq!(of("import-source").kind, Kind::MissingModule);
        assert_eq!(of("import-source").message, "No module named 'pandaz', imported by tasks.py");
        assert!(of("import-source").hint.contains("`pandaz`"));
        assert_eq!(of("missing-product").kind, Kind::MissingProduct);
        assert!(of("missing-product").message.contains("File('out/data.csv') is missing"));
        assert!(of("missing-file").hint.contains("commit `data/raw.csv`"));
    }

    #[test]
    fn what_ploomber_says_about_kernels_and_optional_packages_comes_before_its_own_frame() {
        let frame = "Error: Failed to initialize NotebookRunner task with source 'a.R'.";
        let found = diagnose([frame, "No such kernel named ir"]).unwrap();
        assert_eq!((found.kind, found.message.as_str()), (Kind::MissingProgram, "No such kernel named ir"));
        assert!(found.hint.contains("r-irkernel"), "{}", found.hint);
        let found =
            diagnose([frame, "pyppeteer is required to use webpdf, install it with:", "pip install x"]).unwrap();
        assert_eq!(found.kind, Kind::MissingModule);
        assert!(found.message.starts_with("pyppeteer"), "{}", found.message);
    }

    #[test]
    fn a_module_that_is_not_there_is_named_with_the_package_that_has_it() {
        let frame = "Error: Failed to determine task class for source 'a.b.load': An error occured when trying to import dotted path 'a.b.load': ";
        let found = diagnose([format!("{frame}No module named 'sklearn.svm'").as_str()]).unwrap();
        assert_eq!(found.message, "No module named 'sklearn.svm', imported by a.b.load");
        assert!(found.hint.contains("add `- scikit-learn` to the dependencies in environment.yml"), "{}", found.hint);
        let words =
            format!("{frame}cannot import name 'x' from 'y' (/opt/y.py) (loaded 'a' from '/workspace/a/b.py').");
        let found = diagnose([words.as_str()]).unwrap();
        assert_eq!(found.message, "cannot import name 'x' from 'y' (/opt/y.py), imported by a/b.py");
        let client =
            "ModuleNotFoundError: An error occured when trying to import dotted path 'db.get': No module named 'db'";
        assert_eq!(diagnose([client]).unwrap().message, "No module named 'db', imported by pipeline.yaml");
        let found = diagnose(["ModuleNotFoundError: No module named 'mine'"]).unwrap();
        assert!(found.hint.contains("often `- mine`") && found.hint.contains("-e ."), "{}", found.hint);
        let names: Vec<&str> = PACKAGES.iter().map(|(module, _)| *module).collect();
        assert!(names.is_sorted(), "{names:?}");
    }

    #[test]
    fn an_import_whose_failure_ploomber_swallows_is_told_from_a_wrong_extension() {
        let lines = [
            "Loading pipeline...",
            "Error: Failed to determine task class for source 'lib.tasks.a' (invalid extension '.a'). Valid extensions are: '.R', '.Rmd', '.ipynb', '.py', '.r', '.sh', and '.sql'",
            "If you meant to import a function, please rename it.",
        ];
        let found = diagnose(lines).unwrap();
        assert_eq!((found.kind, found.unimported.as_deref()), (Kind::Unimported, Some("lib.tasks")));
        assert_eq!(found.message, "`lib.tasks` cannot be imported, or has no `a`: Ploomber does not say which");
        assert!(found.hint.contains("python -c 'import lib.tasks'"), "{}", found.hint);
        let lacking = found.lacking("sklearn", "lib/tasks.py");
        assert_eq!(lacking.message, "No module named 'sklearn', imported by lib/tasks.py");
        assert!(lacking.hint.contains("add `- scikit-learn`"), "{}", lacking.hint);
        // A path with a wrong extension gets no such second line.
        assert_eq!(diagnose([lines[1]]).unwrap().kind, Kind::Exception);
        // What would not be one word of a command is no module.
        let odd = lines[1].replace("lib.tasks.a", "lib;tasks.a");
        assert_eq!(diagnose([odd.as_str(), lines[2]]).unwrap().unimported, None);
    }

    #[test]
    fn a_download_by_a_program_that_reaches_nobody_is_about_the_network() {
        let lines = [
            "RuntimeError: Error executing code.",
            "  0     0    0     0    0     0      0      0 --:--:-- --:--:-- --:--:--     0curl: (6) Could not resolve host: a.example",
            "exit status 6",
        ];
        let found = diagnose(lines).unwrap();
        assert_eq!(
            (found.kind, found.message.as_str()),
            (Kind::Network, "curl: (6) Could not resolve host: a.example")
        );
    }

    #[test]
    fn a_shell_script_that_ends_with_a_code_is_told_as_one() {
        let lines =
            ["RuntimeError: Error executing code.", "Returned stdout: ", "stderr: no such table", "exit status 3"];
        let found = diagnose(lines).unwrap();
        assert_eq!(found.message, "the task's shell script ended with code 3");
        assert!(found.hint.contains("set -ex"), "{}", found.hint);
    }

    #[test]
    fn credentials_that_are_not_there_are_handed_to_the_run() {
        for class in ["google.auth.exceptions.DefaultCredentialsError", "botocore.exceptions.NoCredentialsError"] {
            let found = diagnose([format!("{class}: not found").as_str()]).unwrap();
            assert!(found.hint.contains("`--secret NAME`"), "{}", found.hint);
        }
    }

    #[test]
    fn an_image_with_another_c_library_is_told() {
        for line in [
            "/opt/sv/e/x/bin/python: /lib/x86_64-linux-gnu/libm.so.6: version `GLIBC_2.38' not found (required by x)",
            "/tmp/script: line 9: /opt/sv/e/x/bin/ploomber: cannot execute: required file not found",
            "bash: /opt/sv/e/x/bin/ploomber: /opt/sv/e/x/bin/python: bad interpreter: No such file or directory",
        ] {
            let found = diagnose([line, "ModuleNotFoundError: No module named 'x'"]).unwrap();
            assert_eq!(found.kind, Kind::ForeignLibc, "{line}");
            assert!(found.hint.contains("glibc") && found.hint.contains("--image"), "{}", found.hint);
        }
        let own = diagnose([
            "./run.sh: /usr/bin/perl: bad interpreter: No such file or directory",
            "ModuleNotFoundError: No module named 'x'",
        ])
        .unwrap();
        assert_eq!(own.kind, Kind::MissingModule);
    }

    #[test]
    fn a_build_without_a_compiler_is_told() {
        let lines = [
            "      building 'ext' extension",
            "      error: [Errno 2] No such file or directory: 'gcc'",
            "  ERROR: Failed building wheel for ext",
            "error: failed-wheel-build-for-install",
        ];
        let found = diagnose(lines).unwrap();
        assert_eq!(found.kind, Kind::MissingCompiler);
        assert!(found.hint.contains("no compiler"), "{}", found.hint);
    }

    #[test]
    fn a_kernel_that_starts_too_slowly_is_told_from_an_error_of_the_pipeline() {
        let found = diagnose(["RuntimeError: Kernel didn't respond in 60 seconds"]).unwrap();
        assert!(found.hint.contains("too busy"), "{}", found.hint);
    }

    #[test]
    fn what_bash_says_is_understood() {
        for (line, kind) in [
            ("/tmp/script: line 12: jq: command not found", Kind::MissingProgram),
            ("/tmp/script: line 40:    17 Killed                  ploomber build", Kind::OutOfMemory),
            ("bash: ./run.sh: Permission denied", Kind::Permission),
            ("stderr: dd: error writing 'out/big': No space left on device", Kind::DiskFull),
            ("/tmp/script: line 1: echo: write error: No space left on device", Kind::DiskFull),
        ] {
            assert_eq!(diagnose([line]).unwrap().kind, kind, "{line}");
        }
    }

    #[test]
    fn a_build_that_went_well_gives_no_cause() {
        let path = format!("{}/tests/fixtures/ploomber-output/success.txt", env!("CARGO_MANIFEST_DIR"));
        let text = fs_err::read_to_string(path).unwrap();
        assert_eq!(diagnose(text.split(['\n', '\r'])), None);
        assert_eq!(diagnose(["Error handling is on", "  ValueError: quoted inside", "done"]), None);
    }
}
