//! The `pip:` section: resolved to a lock with hashes and installed from it, by uv, inside a builder container.
//!
//! First with wheels only and the shared cache: nothing from an index is executed then. Where a source distribution has
//! to be built, in a bench of its own that holds this one prefix and a private cache, so that its code can change nothing
//! that another environment uses.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::bench::{Bench, GUEST_ROOT};
use super::builder::{Builder, Finished, Job};
use super::link::Script;
use super::mishap::mishap;
use super::volume::Far;
use super::{Config, EnvironmentError, Inputs, lock, network, volume};
use crate::engine::{Carried, GuestPath, HostPath, Mount};
use crate::secret::Secret;

/// Where the uv program is inside a builder.
const GUEST_UV: &str = "/opt/uv";
/// Exit codes of the script's own steps, so that a failing uv is told from a failing shell.
const RESOLVE_FAILED: i64 = 41;
const INSTALL_FAILED: i64 = 42;

/// What is installed.
pub(super) struct What<'a> {
    pub(super) inputs: &'a Inputs,
    /// The lines of a lock, which are installed instead of resolving anything.
    pub(super) locked: Option<&'a [String]>,
    /// The uv program; it may be missing where there is nothing to install.
    pub(super) uv: Option<&'a Path>,
    /// How much of it.
    pub(super) part: Part,
    /// Whether nothing is built, even where nobody else would be harmed.
    pub(super) wheels_only: bool,
    /// Whether what indexes said before does not count.
    pub(super) anew: bool,
    /// Whether only the places of `find-links` are asked.
    pub(super) no_index: bool,
}

/// How much of it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Versions are worked out, where they are not known, and installed.
    All,
    /// Versions are worked out.
    Resolve,
    /// Files are copied out of the cache: foreign code will run beside them later.
    Copies,
}

/// Whether any line can only be built from source: a version control system, a source archive, `--no-binary`.
pub(super) fn needs_source(lines: &[String], options: &[String]) -> bool {
    let built = |line: &String| {
        let vcs = ["git+", "hg+", "svn+", "bzr+"].iter().any(|scheme| line.contains(scheme));
        let address = line.split([' ', ';', '#']).find(|word| word.contains("://"));
        vcs || address.is_some_and(|url| Path::new(url).extension().is_none_or(|end| end != "whl"))
    };
    lines.iter().any(built) || options.iter().any(|option| option.starts_with("--no-binary"))
}

/// Resolves and installs into the bench's prefix. Returns the lock's text.
pub(super) async fn install(
    builder: &Builder<'_>,
    bench: &Bench,
    what: &What<'_>,
    config: &Config,
    progress: &mut (dyn FnMut(String) + Send),
) -> Result<String, EnvironmentError> {
    write_requests(bench, what).map_err(|error| EnvironmentError::io(&bench.scratch, "writing requirements", error))?;
    let mut network = network::network_env(config);
    network::for_uv(&mut network);
    let mut mounts = network.mounts;
    mounts.extend(what.uv.map(|uv| mount(uv, GUEST_UV, false)));
    let mut carried = Carried::default();
    if let Some(far) = &bench.far {
        far.send_requests(builder, bench).await?;
        carried = far.carried(bench, std::mem::take(&mut mounts));
    } else {
        bench.hand_over(config.container_user)?;
        if what.locked.unwrap_or(&what.inputs.pip).is_empty() {
            // Nothing that a container would be needed for.
            return Ok(String::new());
        }
        mounts.push(mount(&bench.root, GUEST_ROOT, true));
    }
    let mut secrets = network.secret_env;
    secrets.extend(what.inputs.pip_variables.iter().cloned());
    let job = Job { mounts, carried, env: network.env, secrets, script: script(bench, what), network: true };
    let mut held = Held::default();
    let finished = builder.run(job, &mut |line| held.take(line, &mut *progress)).await?;
    // The error says them.
    outcome(&finished, near(bench, config))?;
    for line in held.lines {
        progress(line);
    }
    if let Some(far) = &bench.far {
        far.fetch(builder, bench).await?;
        if what.locked.unwrap_or(&what.inputs.pip).is_empty() {
            return Ok(String::new());
        }
    }
    let lock = bench.scratch.join("lock.txt");
    match std::fs::read_to_string(&lock) {
        Ok(text) => Ok(named(&text, &what.inputs.pip_variables)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && what.uv.is_none() => Ok(String::new()),
        Err(error) => Err(EnvironmentError::io(&lock, "reading the lock", error)),
    }
}

/// What uv says of its failure, until it is known whether it is one: the error has the same words.
#[derive(Default)]
struct Held {
    lines: Vec<String>,
}

impl Held {
    fn take(&mut self, line: String, progress: &mut (dyn FnMut(String) + Send)) {
        let begins = ["error: ", "× "].iter().any(|mark| line.trim_start().starts_with(mark));
        if begins || !self.lines.is_empty() {
            self.lines.push(line);
        } else if !line.trim_start().starts_with("+ ") {
            // One line a package says nothing that the lock does not.
            progress(line);
        }
    }
}

/// The lock with names in place of what variables stand for: it is kept, and published with every run.
fn named(lock: &str, variables: &[Secret]) -> String {
    let values =
        variables.iter().filter_map(|secret| Some((secret.name(), std::str::from_utf8(secret.expose()).ok()?)));
    // uv keeps the names itself; a short value would be found where it does not stand for one.
    values
        .filter(|(_, value)| value.len() >= 8)
        .fold(lock.to_owned(), |text, (name, value)| text.replace(value, &format!("${{{name}}}")))
}

/// Runs the packages' post-link scripts, with nothing but the prefix in reach.
pub(super) async fn post_link(
    builder: &Builder<'_>,
    bench: &Bench,
    scripts: &[Script],
    config: &Config,
    progress: &mut (dyn FnMut(String) + Send),
) -> Result<(), EnvironmentError> {
    let prefix = &bench.guest_prefix;
    let script = post_link_text(prefix, scripts);
    let network = network::network_env(config);
    let mut mounts = network.mounts;
    let mut carried = Carried::default();
    if let Some(far) = &bench.far {
        carried = far.carried_prefix(bench, std::mem::take(&mut mounts));
    } else {
        bench.hand_over(config.container_user)?;
        mounts.push(mount(&bench.prefix, prefix, true));
    }
    let job =
        Job { mounts, carried, env: network.env, secrets: network.secret_env, script, network: !config.strangers };
    let finished = builder.run(job, progress).await?;
    if finished.exit.code == 0 {
        return Ok(());
    }
    let step = "the post-link scripts of conda packages";
    let mishap = mishap(&finished, near(bench, config), step);
    Err(mishap.unwrap_or(EnvironmentError::Builder { step, tail: finished.tail }))
}

/// The folder of this machine that a builder writes to; none for an engine that has its own.
fn near<'a>(bench: &Bench, config: &'a Config) -> Option<&'a Path> {
    bench.far.is_none().then_some(config.root.as_path())
}

/// What conda gives such a script: whose it is, and where. Messages for people are said, and are no part of the prefix.
fn post_link_text(prefix: &str, scripts: &[Script]) -> String {
    let mut text = format!(
        "export PREFIX={prefix} CONDA_PREFIX={prefix} ROOT_PREFIX={prefix} PATH=\"{prefix}/bin:$PATH\" HOME=/tmp\n\
         umask 022\ncd /tmp\n"
    );
    for Script { file, package, version, build_number } in scripts {
        let file = quoted(&format!("{prefix}/bin/{file}"));
        let failed = quoted(&format!("the post-link script of {package} {version} failed"));
        let _ = writeln!(
            text,
            "PKG_NAME={} PKG_VERSION={} PKG_BUILDNUM={} bash {file} || {{ echo {failed}; exit 43; }}\n\
             [ ! -s {prefix}/.messages.txt ] || cat {prefix}/.messages.txt\nrm -f {prefix}/.messages.txt",
            quoted(package),
            quoted(version),
            quoted(build_number)
        );
    }
    text
}

pub(super) fn mount(host: &Path, guest: &str, writable: bool) -> Mount {
    Mount { host: HostPath(host.to_owned()), guest: GuestPath(guest.to_owned()), writable }
}

/// `request.in`, `options.in`, `limits.in`, and what conda installed as the versions to prefer.
fn write_requests(bench: &Bench, what: &What<'_>) -> std::io::Result<()> {
    let inputs = what.inputs;
    let lines = |lines: &[String]| lines.iter().fold(String::new(), |text, line| text + line + "\n");
    let in_file: Vec<String> = inputs.pip_options.iter().filter(|line| !is_flag(line)).cloned().collect();
    std::fs::create_dir_all(&bench.scratch)?;
    // They may hold passwords; the builder's user owns them.
    let private = |name: &str, text: String| {
        let path = bench.scratch.join(name);
        let mut file = File::options().create(true).truncate(true).write(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())
    };
    private("request.in", lines(&in_file) + &lines(&inputs.pip))?;
    private("options.in", lines(&in_file))?;
    private("limits.in", lines(&inputs.pip_constraints))?;
    if let Some(locked) = what.locked {
        return private("lock.txt", lines(locked));
    }
    let installed = lock::distributions(&bench.prefix)?;
    let preferred: Vec<String> = installed.iter().map(|dist| format!("{}=={}", dist.name, dist.version)).collect();
    std::fs::write(bench.scratch.join("lock.txt"), lines(&preferred))
}

/// Options that uv takes on its command line instead of in a file.
fn is_flag(option: &str) -> bool {
    option == "--pre" || option.starts_with("--trusted-host")
}

fn script(bench: &Bench, what: &What<'_>) -> String {
    let scratch = &bench.guest_scratch;
    let mut script = format!(
        "set -eu\numask 022\nexport HOME={scratch}/home TMPDIR={scratch}/tmp\nmkdir -p \"$HOME\" \"$TMPDIR\"\ncd {scratch}\n"
    );
    let wanted = what.locked.unwrap_or(&what.inputs.pip);
    if what.uv.is_some() && !wanted.is_empty() {
        let link = if what.part == Part::Copies { "copy" } else { "hardlink" };
        let near = || (format!("{GUEST_ROOT}/uv"), link);
        let (cache, link) = bench.far.as_ref().map_or_else(near, Far::uv_cache);
        let _ = writeln!(
            script,
            "export UV_CACHE_DIR={cache} UV_LINK_MODE={link} UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1"
        );
        script.push_str(&uv_steps(bench, what));
    }
    if bench.far.is_some() {
        script.push_str(&volume::compile(&bench.guest_prefix));
        script.push_str(&volume::describe(&bench.guest_prefix, scratch));
    }
    script
}

/// Resolving to a lock and installing from it; with a lock, installing alone.
fn uv_steps(bench: &Bench, what: &What<'_>) -> String {
    let inputs = what.inputs;
    let mut flags = format!("--python {}/bin/python --no-config", bench.guest_prefix);
    if bench.shared || what.wheels_only {
        flags.push_str(" --only-binary :all:");
    }
    for option in inputs.pip_options.iter().filter(|line| is_flag(line)) {
        match option.strip_prefix("--trusted-host ") {
            Some(host) => {
                let _ = write!(flags, " --allow-insecure-host {}", quoted(host));
            }
            None => flags.push_str(" --prerelease allow"),
        }
    }
    if what.no_index {
        flags.push_str(" --no-index");
    }
    // pip looks at all indexes; uv would stop at the first one that knows a name.
    flags.push_str(" --index-strategy unsafe-best-match");
    let limits = if inputs.pip_constraints.is_empty() { "" } else { " -c limits.in" };
    let options = if inputs.pip_options.iter().all(|line| is_flag(line)) { "" } else { " -r options.in" };
    let online = format!("{GUEST_UV} pip install {flags} --break-system-packages --no-deps{options} -r lock.txt");
    // What is in the cache needs no index, which may be away, may have changed, and would be asked about each package.
    let install = format!(
        "{{ {online} --offline >offline.log 2>&1 && cat offline.log && echo 'pip: nothing had to be fetched'; }} \
         || {online} || exit {INSTALL_FAILED}\n"
    );
    if what.locked.is_some() {
        let what = if what.part == Part::Copies { "what has a wheel" } else { "from the lock" };
        return format!("echo 'pip: installing {what}'\n{install}");
    }
    let install = if what.part == Part::Resolve { String::new() } else { format!("echo 'pip: installing'\n{install}") };
    let refresh = if what.anew { " --refresh" } else { "" };
    let asked = match inputs.pip.len() {
        1 => "1 requirement".to_owned(),
        count => format!("{count} requirements"),
    };
    format!(
        "echo 'pip: resolving {asked} and what they need'\n\
         {GUEST_UV} pip compile {flags}{refresh} --generate-hashes --no-header --no-annotate{limits} -o lock.txt \
         request.in >/dev/null || exit {RESOLVE_FAILED}\n\
         {install}"
    )
}

fn outcome(finished: &Finished, store: Option<&Path>) -> Result<(), EnvironmentError> {
    if let Some(mishap) = mishap(finished, store, "installing the `pip:` section") {
        return Err(mishap);
    }
    let tail = finished.tail.clone();
    match finished.exit.code {
        0 => Ok(()),
        RESOLVE_FAILED | INSTALL_FAILED if is_foreign_libc(&tail) => {
            let tail = format!("{tail}\n  {FOREIGN_LIBC}");
            Err(EnvironmentError::Builder { step: "starting the environment's Python", tail })
        }
        RESOLVE_FAILED | INSTALL_FAILED if is_network(&tail) => {
            Err(EnvironmentError::Builder { step: "fetching packages for the `pip:` section", tail })
        }
        RESOLVE_FAILED => Err(EnvironmentError::Pip { step: "resolve", hint: missing_tool(&tail), tail }),
        INSTALL_FAILED => Err(EnvironmentError::Pip { step: "install", hint: missing_tool(&tail), tail }),
        _ => Err(EnvironmentError::Builder { step: "installing the `pip:` section", tail }),
    }
}

/// Whether the environment's own Python did not start: its libc is not the image's.
fn is_foreign_libc(tail: &str) -> bool {
    let too_old = |line: &str| line.contains("version `GLIBC_") && line.contains("not found");
    // Without the loader that a program names, the kernel says that the program is not there.
    let says_absent = |text: &str| text.contains("No such file or directory") || text.contains(": not found");
    let absent = |line: &str| line.contains("/bin/python: ") && says_absent(line);
    let uv = ["Failed to inspect Python interpreter", "Querying Python at", "Failed to query Python interpreter"];
    let unseen = uv.iter().any(|words| tail.contains(words)) && says_absent(tail);
    unseen || tail.lines().any(|line| too_old(line) || absent(line))
}

const FOREIGN_LIBC: &str = "the environment's Python does not start in this image: its C library is older than the one that \
    the packages were made for, or musl's. Take an image with a newer glibc (`--image debian:stable-slim`), or have \
    packages for an older one solved: `CONDA_OVERRIDE_GLIBC=2.17`";

/// Whether uv failed for want of a wheel: then source builds may help, and otherwise they cannot.
pub(super) fn wants_source(tail: &str) -> bool {
    ["usable wheels", "building from source", "source distribution", "--no-build", "compatible wheel", "only-binary"]
        .iter()
        .any(|words| tail.contains(words))
}

/// What to do where a source build wanted a tool that images of this kind do not have.
fn missing_tool(tail: &str) -> Option<&'static str> {
    let lower = tail.to_lowercase();
    if lower.contains("git executable not found") || lower.contains("git: not found") {
        return Some(
            "a line that begins with `git+` is fetched by git, which the image does not have: use an image with git, \
             `--image IMAGE`, or name an archive instead, `https://…/archive/COMMIT.zip`",
        );
    }
    let says = |words: &[&str]| words.iter().any(|words| lower.contains(words));
    let absent = says(&["no such file or directory", "not found", "failed", "unable to", "can't find", "cannot find"]);
    let compiler = says(&["gcc", "g++", "'cc'", "`cc`", "c++'", "clang", "gfortran"]) && absent
        || says(&[
            "unknown compiler(s)",
            "could not find any c compiler",
            "no cmake_c_compiler",
            "no cmake_cxx_compiler",
        ]);
    let rust = says(&["can't find rust compiler", "requires rust", "cargo: not found", "`cargo`", "'cargo'"]);
    let tool = says(&["cmake must be installed", "cmake: not found", "'cmake'", "pkg-config: not found"])
        || says(&["pg_config executable not found", "mysql_config: not found"]);
    (compiler || rust || tool).then_some(
        "a package has no wheel for this Python and is built from source, which needs a compiler or a tool that the image \
         does not have: take the package from conda (move its name from `pip:` to `dependencies:`), pin a version that has \
         a wheel, or use an image with a compiler: `--image IMAGE`",
    )
}

/// Whether uv's words tell of the network rather than of the requirements.
fn is_network(tail: &str) -> bool {
    ["error sending request", "dns error", "tcp connect error", "Connection refused", "certificate", "timed out"]
        .iter()
        .any(|words| tail.contains(words))
}

/// POSIX single quotes.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::{Held, Script, is_foreign_libc, missing_tool, post_link_text};

    #[test]
    fn a_python_that_does_not_start_is_told_from_other_failures() {
        for tail in [
            "error: Querying Python at `/opt/sv/e/a-1/bin/python` failed with exit status exit status: 1\n\
             /opt/sv/e/a-1/bin/python: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found",
            "error: Failed to inspect Python interpreter from provided path at `/opt/sv/e/a-1/bin/python`\n  \
             Caused by: No such file or directory (os error 2)",
            "bash: /opt/sv/e/a-1/bin/python: No such file or directory",
        ] {
            assert!(is_foreign_libc(tail), "{tail}");
        }
        for tail in [
            "error: command 'gcc' failed: No such file or directory",
            "Because nosuch was not found in the package registry, your requirements are unsatisfiable.",
            "error: Git executable not found. Ensure that Git is installed and available.",
        ] {
            assert!(!is_foreign_libc(tail), "{tail}");
        }
        let git = missing_tool("error: Git executable not found. Ensure that Git is installed and available.");
        assert!(git.is_some_and(|hint| hint.contains("git+") && hint.contains("--image")));
    }

    #[test]
    fn a_post_link_script_is_told_whose_it_is() {
        let part = |text: &str| text.to_owned();
        let script = Script {
            file: part(".posts-post-link.sh"),
            package: part("posts"),
            version: part("1.2"),
            build_number: part("3"),
        };
        let text = post_link_text("/opt/sv/e/a-1", &[script]);
        assert!(text.contains("CONDA_PREFIX=/opt/sv/e/a-1 "), "{text}");
        let line = "PKG_NAME='posts' PKG_VERSION='1.2' PKG_BUILDNUM='3' bash '/opt/sv/e/a-1/bin/.posts-post-link.sh'";
        assert!(text.contains(line) && text.contains("'the post-link script of posts 1.2 failed'"), "{text}");
    }

    #[test]
    fn what_a_failing_uv_says_is_held_back_and_packages_are_not_listed() {
        let (mut held, mut told) = (Held::default(), Vec::new());
        for line in ["pip: resolving", " + six==1", "  × No solution found", "  ╰─▶ Because a was not found"] {
            held.take(line.to_owned(), &mut |line| told.push(line));
        }
        assert_eq!(told, ["pip: resolving"]);
        assert_eq!(held.lines, ["  × No solution found", "  ╰─▶ Because a was not found"]);
    }

    #[test]
    fn a_compiler_that_is_missing_is_told_from_other_failures() {
        for tail in [
            "error: command 'gcc' failed: No such file or directory",
            "error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory",
            "  unable to execute 'gcc': No such file or directory",
            "../meson.build:1:0: ERROR: Unknown compiler(s): [['cc'], ['gcc'], ['clang']]",
            "CMake Error: CMAKE_C_COMPILER not set\nNo CMAKE_C_COMPILER could be found.",
            "error: can't find Rust compiler",
            "Error: pg_config executable not found.",
        ] {
            assert!(missing_tool(tail).is_some_and(|hint| hint.contains("--image")), "{tail}");
        }
        for tail in [
            "Because nosuch was not found in the package registry, your requirements are unsatisfiable.",
            "ModuleNotFoundError: No module named 'numpy'",
            "error: Git operation failed: repository not found",
        ] {
            assert_eq!(missing_tool(tail), None, "{tail}");
        }
    }
}
