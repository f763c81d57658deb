//! What Ploomber, Python and shells print, and what it looks like.

use super::hint::PACKAGES;
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
    let found = diagnose([frame, "pyppeteer is required to use webpdf, install it with:", "pip install x"]).unwrap();
    assert_eq!(found.kind, Kind::MissingModule);
    assert!(found.message.starts_with("pyppeteer"), "{}", found.message);
}

#[test]
fn a_module_that_is_not_there_is_named_with_the_package_that_has_it() {
    let frame = "Error: Failed to determine task class for source 'a.b.load': An error occured when trying to import dotted path 'a.b.load': ";
    let found = diagnose([format!("{frame}No module named 'sklearn.svm'").as_str()]).unwrap();
    assert_eq!(found.message, "No module named 'sklearn.svm', imported by a.b.load");
    assert!(found.hint.contains("add `- scikit-learn` to the dependencies in environment.yml"), "{}", found.hint);
    let words = format!("{frame}cannot import name 'x' from 'y' (/opt/y.py) (loaded 'a' from '/workspace/a/b.py').");
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
    assert_eq!((found.kind, found.message.as_str()), (Kind::Network, "curl: (6) Could not resolve host: a.example"));
}

#[test]
fn a_shell_script_that_ends_with_a_code_is_told_as_one() {
    let lines = ["RuntimeError: Error executing code.", "Returned stdout: ", "stderr: no such table", "exit status 3"];
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

#[test]
fn no_room_for_another_process_is_told_from_a_lock_that_is_taken() {
    let busy = "BlockingIOError: [Errno 11] Resource temporarily unavailable";
    for lines in [
        &["    self.pid = _fork_exec(", busy][..],
        &["RuntimeError: can't start new thread"],
        &["run.sh: fork: retry: Resource temporarily unavailable", "run.sh: fork: Resource temporarily unavailable"],
        &["sh: 1: Cannot fork", "FileNotFoundError: [Errno 2] No such file or directory: 'x'"],
    ] {
        let found = diagnose(lines.iter().copied()).unwrap();
        assert_eq!(found.kind, Kind::TooManyProcesses, "{lines:?}");
        assert!(found.hint.contains("`--pids`"), "{}", found.hint);
    }
    let lock = diagnose(["    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)", busy]).unwrap();
    assert_eq!((lock.kind, lock.is_bare()), (Kind::Exception, true));
}
