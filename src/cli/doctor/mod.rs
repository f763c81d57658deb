//! `soopervisor doctor`: is everything here that a run needs, and if not, what to type.

use serde::Serialize;
use serde_json::json;

use super::args;
use super::console::Console;
use super::exit::Exit;
use super::failure::Failure;
use super::seam;
use crate::report::Verbosity;
use crate::run::host::RUNNER_IMAGE;
use crate::store::Home;

mod machine;
mod network;
mod storage;

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    /// Was not tried; says why.
    Skipped,
    Warn,
    Fail,
}

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Check {
    name: &'static str,
    level: Level,
    found: String,
    mend: Option<String>,
    /// What was looked at: told where all is to be said.
    #[serde(skip)]
    looked_at: Vec<String>,
    /// The exit code that a run would end with for this reason.
    #[serde(skip)]
    exit: Exit,
}

impl Check {
    fn new(name: &'static str, level: Level, found: impl Into<String>) -> Self {
        Self { name, level, found: found.into(), mend: None, looked_at: Vec::new(), exit: Exit::Internal }
    }

    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Level::Ok, found)
    }

    fn warn(name: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { mend: Some(mend.into()), ..Self::new(name, Level::Warn, found) }
    }

    fn fail(name: &'static str, exit: Exit, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { mend: Some(mend.into()), exit, ..Self::new(name, Level::Fail, found) }
    }

    /// The same check with one thing more that was looked at.
    fn looking_at(mut self, what: impl Into<String>) -> Self {
        self.looked_at.push(what.into());
        self
    }
}

pub(super) fn execute(args: &args::Doctor, console: Console) -> Result<Exit, Failure> {
    let home = Home::from_env()?;
    let mut checks = vec![machine::git()];
    let settings = settings(&home);
    // They say which engine, storage and packages: what cannot be looked at is not called broken.
    let understood = settings.level == Level::Ok;
    checks.extend(if understood { engine(&home) } else { vec![untold("container engine")] });
    checks.extend([
        machine::state(&home),
        machine::disk("disk for the cache", home.cache(), 5 << 30),
        machine::disk("disk for runs", home.state(), 1 << 30),
        settings,
    ]);
    let network = match seam::packages(&home) {
        Ok(config) if !args.offline => network::all(&config),
        // What is wrong with the settings was said above.
        Ok(_) | Err(_) => network::skipped(if args.offline { "offline" } else { UNTOLD }),
    };
    let written = args.storage.written();
    // Last of all that takes time: from then on signals end nothing by themselves.
    let storage = if understood { storage::check(written.as_deref(), args.offline)? } else { untold(storage::NAME) };
    checks.push(storage);
    checks.extend(network);
    if args.json {
        let worst = checks.iter().map(|check| check.level).max();
        Console::answer(&format!("{}\n", json!({"schema": 1, "level": worst, "checks": checks})));
    } else {
        Console::answer(&draw(&checks, console.stdout().color, console.verbosity()));
    }
    let failed = checks.iter().find(|check| check.level == Level::Fail);
    Ok(failed.map_or(Exit::Ok, |check| check.exit))
}

const UNTOLD: &str = "the settings are not understood";

/// Cannot be tried before the settings can be read.
fn untold(name: &'static str) -> Check {
    Check::new(name, Level::Skipped, UNTOLD)
}

fn engine(home: &Home) -> Vec<Check> {
    const MEND: &str = "install Docker Engine and start it (sudo systemctl start docker), or set DOCKER_HOST";
    let facts = match seam::engine(home) {
        Ok(facts) => facts,
        Err(failure) => {
            let found = std::iter::once(failure.what).chain(failure.why).collect::<Vec<_>>().join(": ");
            // That one says itself how the permission is got.
            let forbidden = found.starts_with("no permission");
            let mend = if forbidden { "do that, or use an engine that you may: DOCKER_HOST" } else { MEND };
            return vec![Check::fail("container engine", failure.exit, found, mend).looking_at(docker_host())];
        }
    };
    let info = facts.info;
    let rootless = if info.rootless { ", rootless" } else { "" };
    let disk = disk_limits(&info.storage);
    let found = format!("{}, {}, {}{rootless}{disk}, {}", info.name, info.architecture, info.cgroup, info.address);
    let engine = Check::ok("container engine", found).looking_at(docker_host());
    let shared = shared_files(facts.shares_files);
    let shown = format!("a file below {} was shown to a container", home.environments().display());
    let shared = if shared.level == Level::Skipped { shared } else { shared.looking_at(shown) };
    vec![engine, image(&facts.image), shared]
}

/// Who says which engine it is.
fn docker_host() -> &'static str {
    if std::env::var_os("DOCKER_HOST").is_some_and(|value| !value.is_empty()) {
        "DOCKER_HOST is set, and names it"
    } else {
        "DOCKER_HOST is not set: Docker's context, or the usual sockets"
    }
}

/// The driver, and whether `--disk` is held by it; of those that may, the file system's mount options decide.
fn disk_limits(storage: &str) -> String {
    match storage {
        "" => String::new(),
        driver if driver.contains("overlay") && !driver.contains("xfs") => {
            format!(", {driver} (cannot limit the disk: `--disk` is looked after every second)")
        }
        driver => format!(", {driver}"),
    }
}

fn image((reference, here): &(String, bool)) -> Check {
    const NAME: &str = "image";
    if *here {
        return Check::ok(NAME, reference);
    }
    let found = format!("{reference} is not here");
    if reference == RUNNER_IMAGE {
        let mend =
            "`make image` or `soopervisor image` builds it; without it, a plain Debian is fetched from a registry";
        Check::warn(NAME, found, mend)
    } else {
        Check::warn(NAME, found, format!("docker pull {reference}; the first run does it, too"))
    }
}

fn shared_files(shared: Result<Result<bool, String>, &'static str>) -> Check {
    const NAME: &str = "shared files";
    let mend = "restart the engine, or use another one: DOCKER_HOST";
    match shared {
        Ok(Ok(true)) => Check::ok(NAME, "containers see this machine's files"),
        // Not a fault: it costs time for what is copied, and nothing else.
        Ok(Ok(false)) => {
            Check::ok(NAME, "containers do not see this machine's files: they are copied to and from volumes")
        }
        Ok(Err(why)) => Check::fail(NAME, Exit::EngineUnavailable, why, mend),
        Err(first) => Check::new(NAME, Level::Skipped, format!("cannot be tried before {first}")),
    }
}

fn settings(home: &Home) -> Check {
    match seam::settings(home) {
        Ok(Some(path)) => Check::ok("settings", path),
        Ok(None) => Check::ok("settings", "none, defaults are used")
            .looking_at(format!("looked for at {}", home.config().display())),
        Err(failure) => {
            let mend = format!("mend or remove {}", home.config().display());
            let found = std::iter::once(failure.what).chain(failure.why).collect::<Vec<_>>().join(": ");
            Check::fail("settings", failure.exit, found, mend)
        }
    }
}

/// One line a check, and whether a run may begin. Where little is to be said, only of what is to be looked at; where all
/// is, with what each check looked at.
fn draw(checks: &[Check], color: bool, verbosity: Verbosity) -> String {
    let mut text = String::new();
    for check in checks.iter().filter(|check| verbosity > Verbosity::Quiet || check.level >= Level::Warn) {
        let (word, code) = match check.level {
            Level::Ok => ("ok", "32"),
            Level::Skipped => ("skipped", "2"),
            Level::Warn => ("warn", "33"),
            Level::Fail => ("fail", "1;31"),
        };
        let word = format!("{word:<7}");
        let word = if color { format!("\x1b[{code}m{word}\x1b[0m") } else { word };
        text += &format!("{word} {:<20} {}\n", check.name, check.found.replace('\n', " "));
        for what in check.looked_at.iter().filter(|_| verbosity == Verbosity::Verbose) {
            text += &format!("{:<28} {what}\n", "");
        }
        if let Some(mend) = &check.mend {
            text += &format!("{:<28} help: {mend}\n", "");
        }
    }
    let count = |level| checks.iter().filter(|check| check.level == level).count();
    let (fail, warn, skipped) = (count(Level::Fail), count(Level::Warn), count(Level::Skipped));
    text += &match (fail, warn) {
        (0, 0) => "ready to run".to_owned(),
        (0, warn) => format!("ready to run, {warn} to look at"),
        (fail, warn) => format!("not ready: {fail} failed, {warn} to look at"),
    };
    text += &if skipped > 0 { format!(", {skipped} not checked\n") } else { "\n".to_owned() };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_image_names_the_command_that_makes_it_and_leaves_shared_files_untried() {
        let missing = image(&(RUNNER_IMAGE.to_owned(), false));
        assert_eq!(missing.level, Level::Warn);
        assert!(missing.mend.unwrap().contains("make image"));
        assert_eq!(image(&(RUNNER_IMAGE.to_owned(), true)).level, Level::Ok);
        assert!(image(&("mine:1".to_owned(), false)).mend.unwrap().starts_with("docker pull mine:1"));
        assert_eq!(shared_files(Err("the image is here")).level, Level::Skipped);
        let far = shared_files(Ok(Ok(false)));
        assert_eq!((far.level, far.mend), (Level::Ok, None));
        assert!(far.found.contains("volumes"));
        assert_eq!(shared_files(Ok(Err("x".to_owned()))).found, "x");
        let unwritable = shared_files(Err("its folder can be written"));
        assert_eq!((unwritable.level, unwritable.mend), (Level::Skipped, None), "the engine is not to blame");
    }

    #[test]
    fn a_driver_that_cannot_limit_the_disk_is_told() {
        assert_eq!(disk_limits(""), "");
        assert_eq!(disk_limits("overlay2 on xfs"), ", overlay2 on xfs");
        assert!(disk_limits("overlay2 on extfs").contains("`--disk` is looked after"));
    }

    #[test]
    fn the_answer_says_how_to_mend_and_never_calls_a_skipped_check_fine() {
        let checks = [
            Check::ok("git", "git 2.39.5"),
            Check::fail("container engine", Exit::EngineUnavailable, "no answer", "start it"),
            Check::warn("disk", "1.0 GB free", "make room"),
            Check::new("clock", Level::Skipped, "offline"),
        ];
        let usual = |checks: &[Check]| draw(checks, false, Verbosity::Normal);
        insta::assert_snapshot!("doctor_answer", usual(&checks));
        assert!(usual(&checks[..1]).ends_with("ready to run\n"));
        assert!(usual(&[checks[0].clone(), checks[3].clone()]).ends_with("ready to run, 1 not checked\n"));
        assert_eq!(draw(&checks[..1], false, Verbosity::Quiet), "ready to run\n");
        let git = [checks[0].clone().looking_at("at /usr/bin/git")];
        assert_eq!(usual(&git), usual(&checks[..1]));
        let more = draw(&git, false, Verbosity::Verbose);
        assert_eq!(more.lines().nth(1).map(str::trim), Some("at /usr/bin/git"), "{more}");
        let quiet = draw(&checks, false, Verbosity::Quiet);
        assert!(quiet.starts_with("fail    container engine") && !quiet.contains("git 2.39.5"), "{quiet}");
    }
}
