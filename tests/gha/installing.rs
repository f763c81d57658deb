//! install/install.sh: what is put on the runner, and what is refused.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

use crate::scene::Scene;

/// A copy of the installer with one release in its table, and a folder that is the release page.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn with(program: &[u8], listed: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("install/install.sh");
        for folder in ["install", "releases/v9", "tools"] {
            std::fs::create_dir_all(at.join(folder)).unwrap();
        }
        std::fs::copy(from, at.join("install/install.sh")).unwrap();
        let name = "soopervisor-v9-x86_64-unknown-linux-musl";
        std::fs::write(at.join("releases/v9").join(name), program).unwrap();
        let place = Self { dir };
        place.list(&format!("{}  {name}\n", digest(listed)));
        place
    }

    /// Writes the table anew.
    fn list(&self, lines: &str) {
        std::fs::write(self.dir.path().join("install/checksums.txt"), format!("# x\n{lines}")).unwrap();
    }

    fn run(&self, env: &[(&str, &str)]) -> (Output, String) {
        let at = self.dir.path();
        let output = at.join("output");
        std::fs::write(&output, "").unwrap();
        let mut command = Command::new("bash");
        command
            .arg(at.join("install/install.sh"))
            .env("GITHUB_OUTPUT", &output)
            .env("RUNNER_OS", "Linux")
            .env("RUNNER_ARCH", "X64");
        command.env("RUNNER_TOOL_CACHE", at.join("tools")).env("GITHUB_WORKSPACE", at);
        command.env("SOOPERVISOR_RELEASES", format!("file://{}", at.join("releases").display()));
        let ended = command.envs(env.iter().copied()).output().unwrap();
        (ended, std::fs::read_to_string(output).unwrap())
    }
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A release page on this machine: paths it has, and those it was asked for.
struct Page {
    /// The host's.
    server: String,
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Page {
    fn of(files: &[(String, Vec<u8>)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let address = format!("{server}/OWNER/soopervisor-action/releases/download");
        let (asked, files): (Arc<Mutex<Vec<String>>>, _) = (Arc::default(), files.to_vec());
        let noted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut line = String::new();
                BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
                let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
                let found = files.iter().find(|(name, _)| path.ends_with(&format!("/releases/download/{name}")));
                let (status, body) = found.map_or(("404 Not Found", &[][..]), |(_, body)| ("200 OK", &body[..]));
                noted.lock().unwrap().push(path);
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                // curl may have gone.
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
            }
        });
        Self { server, address, asked }
    }
}

/// A program of this name that is found before all others; the variable says so.
fn first_found(at: &Path, name: &str, text: &str) -> String {
    let bin = at.join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::write(bin.join(name), text).unwrap();
    std::fs::set_permissions(bin.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
}

const PROGRAM: &[u8] = b"#!/bin/sh\necho soopervisor 9\n";

#[test]
fn a_release_is_taken_only_as_the_table_says_and_kept_for_the_next_job() {
    let place = Place::with(PROGRAM, PROGRAM);
    let (ended, output) = place.run(&[("INPUT_VERSION", "v9")]);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
    let program = output.trim().strip_prefix("program=").unwrap();
    assert_eq!(std::fs::read(program).unwrap(), PROGRAM);
    // What is kept is not fetched again, unless somebody changed it.
    std::fs::remove_dir_all(place.dir.path().join("releases")).unwrap();
    assert!(place.run(&[("INPUT_VERSION", "v9")]).0.status.success());
    std::fs::write(program, "#!/bin/sh\necho evil\n").unwrap();
    assert!(!place.run(&[("INPUT_VERSION", "v9")]).0.status.success());
}

#[test]
fn what_is_not_in_the_table_or_not_what_it_says_is_refused() {
    let place = Place::with(b"#!/bin/sh\necho evil\n", PROGRAM);
    for (env, words) in [
        (vec![("INPUT_VERSION", "v9")], "is not what install/checksums.txt says"),
        (vec![("INPUT_VERSION", "v10")], "has no checksum"),
        (vec![("INPUT_VERSION", "v9"), ("RUNNER_ARCH", "ARM64")], "no checksum for aarch64"),
        (vec![("INPUT_VERSION", "v9"), ("RUNNER_ARCH", "ARM")], "no program for runners with ARM"),
        (vec![("INPUT_VERSION", "v9"), ("RUNNER_OS", "Windows")], "no Linux containers"),
        (vec![("INPUT_VERSION", "../../x")], "is none"),
        (vec![("INPUT_BINARY_PATH", "no/such")], "is no program"),
        (vec![("INPUT_VERSION", "source")], "needs the whole repository"),
    ] {
        let (ended, output) = place.run(&env);
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert!(!ended.status.success() && output.is_empty() && said.contains(words), "{env:?}: {said}");
        assert!(said.lines().last().unwrap().starts_with("::error title=soopervisor::"));
    }
}

#[test]
fn building_from_source_takes_no_settings_from_the_workspace() {
    let place = Place::with(PROGRAM, PROGRAM);
    let at = place.dir.path();
    std::fs::write(at.join("Cargo.toml"), "").unwrap();
    // A cargo that says where it was started, and builds.
    let cargo = "#!/bin/sh\npwd >\"$WHERE\"\nfor last; do :; done\nmkdir -p \"$last/release\"\ncp \"$PROGRAM\" \"$last/release/soopervisor\"\n";
    std::fs::write(at.join("program"), PROGRAM).unwrap();
    std::fs::set_permissions(at.join("program"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = first_found(at, "cargo", cargo);
    let (place_of, program) = (at.join("where").display().to_string(), at.join("program").display().to_string());
    let env = [
        ("INPUT_VERSION", "source"),
        ("PATH", path.as_str()),
        ("WHERE", place_of.as_str()),
        ("PROGRAM", program.as_str()),
    ];
    let (ended, output) = place.run(&env);
    assert!(ended.status.success() && output.ends_with("/release/soopervisor\n"), "{output}");
    let began = std::fs::read_to_string(at.join("where")).unwrap();
    assert_eq!(
        Path::new(began.trim()).canonicalize().unwrap(),
        at.canonicalize().unwrap(),
        "the workspace may be a pull request's"
    );
}

#[test]
fn a_program_on_the_runner_is_taken_as_it_is() {
    let place = Place::with(PROGRAM, PROGRAM);
    let own = place.dir.path().join("own");
    std::fs::write(&own, PROGRAM).unwrap();
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o755)).unwrap();
    for path in ["own", own.to_str().unwrap()] {
        let (ended, output) = place.run(&[("INPUT_BINARY_PATH", path), ("RUNNER_ARCH", "ARM64")]);
        assert!(ended.status.success() && output.trim() == format!("program={}", own.display()), "{output}");
    }
}

#[test]
fn each_architecture_gets_its_own_program_from_the_release_page() {
    let name = |arch: &str| format!("v9/soopervisor-v9-{arch}-unknown-linux-musl");
    let program = |arch: &str| format!("#!/bin/sh\necho soopervisor 9 for {arch}\n").into_bytes();
    for (runner, arch) in [("X64", "x86_64"), ("ARM64", "aarch64")] {
        let all = ["x86_64", "aarch64"];
        let page = Page::of(&all.map(|arch| (name(arch), program(arch))));
        let place = Place::with(PROGRAM, PROGRAM);
        let listed = |of: &dyn Fn(&str) -> Vec<u8>| {
            let line = |arch: &str| format!("{}  {}\n", digest(&of(arch)), name(arch).replace("v9/", ""));
            all.map(line).concat()
        };
        let env = [
            ("INPUT_VERSION", "v9"),
            ("RUNNER_ARCH", runner),
            ("SOOPERVISOR_RELEASES", page.address.as_str()),
            ("no_proxy", "127.0.0.1"),
        ];
        // The other architecture's checksum does not do.
        let other = |wanted: &str| if wanted == arch { b"something else".to_vec() } else { program(wanted) };
        place.list(&listed(&other));
        let (ended, output) = place.run(&env);
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert!(!ended.status.success() && output.is_empty(), "{said}");
        assert!(said.contains(&format!("soopervisor-v9-{arch}")) && said.contains("is not what"), "{said}");
        place.list(&listed(&program));
        let (ended, output) = place.run(&env);
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert!(ended.status.success() && said.contains(&format!("soopervisor 9 for {arch}")), "{said}");
        let kept = output.trim().strip_prefix("program=").unwrap();
        assert!(kept.contains(&format!("/v9/{arch}/")) && std::fs::read(kept).unwrap() == program(arch), "{kept}");
        let asked = page.asked.lock().unwrap().clone();
        assert_eq!(asked, vec![format!("/OWNER/soopervisor-action/releases/download/{}", name(arch)); 2]);
    }
}

#[test]
fn certificates_of_a_companys_own_are_trusted_where_the_release_is_fetched_from() {
    let place = Place::with(PROGRAM, PROGRAM);
    let at = place.dir.path();
    let curl = "#!/bin/sh\n: >\"$SAID\"\nwhile [ $# -gt 0 ]; do\n[ \"$1\" != --cacert ] || cat \"$2\" >\"$SAID\"\nshift\ndone\nexit 22\n";
    let path = first_found(at, "curl", curl);
    let (said, bundle) = (at.join("said"), at.join("company's ca.pem"));
    std::fs::write(&bundle, "a certificate").unwrap();
    let bundle = bundle.to_str().unwrap();
    let usual = usual();
    assert!(include_str!("../../install/install.sh").contains(&format!(" in {}; do", usual.join(" "))), "{usual:?}");
    let system = usual.iter().find_map(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
    let both = format!("{system}\na certificate");
    let given = |set: &[(&str, &str)]| {
        // What the machine of the test has set is none of it.
        let mut env: Vec<(&str, &str)> = bundles().into_iter().map(|name| (name, "")).collect();
        env.extend([("INPUT_VERSION", "v9"), ("PATH", path.as_str()), ("SAID", said.to_str().unwrap())]);
        env.extend(set);
        let (ended, _) = place.run(&env);
        assert!(!ended.status.success(), "nothing was fetched");
        let left = std::fs::read_dir(at.join("tools/soopervisor/v9/x86_64")).unwrap().count();
        assert_eq!(left, 0, "a file of certificates stays behind");
        Some(std::fs::read_to_string(&said).unwrap()).filter(|trusted| !trusted.is_empty())
    };
    assert_eq!(given(&[]), None);
    let names = bundles();
    for (place, name) in names.iter().enumerate() {
        assert!(given(&[(name, bundle)]).as_ref() == Some(&both), "{name}");
        let earlier = names[..place].first().map(|first| (*first, "/no/such/file"));
        assert!(earlier.is_none_or(|earlier| given(&[earlier, (name, bundle)]).is_none()), "{name} is not the first");
    }
}

/// Variables that the program takes certificates from.
fn bundles() -> Vec<&'static str> {
    let names = listed(include_str!("../../src/environment/config.rs"), "const BUNDLES: &[&str] =");
    assert!(names.len() > 3 && names[0] == "SOOPERVISOR_CA_BUNDLE", "{names:?}");
    names
}

/// Files that the program takes the system's certificates from.
fn usual() -> Vec<&'static str> {
    let files = listed(include_str!("../../src/web/roots.rs"), "const USUAL: [&str; 4] =");
    assert!(files.len() == 4 && files.iter().all(|file| file.starts_with("/etc/")), "{files:?}");
    files
}

/// What a list in a source holds.
fn listed<'a>(text: &'a str, list: &str) -> Vec<&'a str> {
    let (_, list) = text.split_once(list).unwrap();
    let (list, _) = list.split_once(';').unwrap();
    list.split('"').skip(1).step_by(2).collect()
}

#[test]
fn a_server_that_wants_a_login_first_is_told_from_a_file_that_is_not_whole() {
    let page = b"\n<!DOCTYPE html>\n<title>Sign in to your account</title>\n";
    for (sent, login) in
        [(&page[..], true), (&PROGRAM[..PROGRAM.len() - 3], false), (b"\x7fELF\0<html>", false), (b"", false)]
    {
        let place = Place::with(sent, PROGRAM);
        let (ended, output) = place.run(&[("INPUT_VERSION", "v9")]);
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert!(!ended.status.success() && output.is_empty(), "{said}");
        assert_eq!(said.contains("wants a login first"), login, "{said}");
        assert_eq!(said.contains("SOOPERVISOR_RELEASES") && said.contains("binary-path"), login, "{said}");
        assert_ne!(said.contains("is not what install/checksums.txt says"), login, "{said}");
        let left = std::fs::read_dir(place.dir.path().join("tools/soopervisor/v9/x86_64")).unwrap().count();
        assert_eq!(left, 0, "nothing of it is kept");
    }
}

#[test]
fn without_a_release_it_is_said_what_else_there_is() {
    let place = Place::with(PROGRAM, PROGRAM);
    let said = |env: &[(&str, &str)]| {
        let (ended, output) = place.run(env);
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert!(!ended.status.success() && output.is_empty(), "{said}");
        said
    };
    let missing = said(&[("INPUT_VERSION", "v10")]);
    assert!(missing.contains("for x86_64 it has: v9"), "{missing}");
    let missing = said(&[("INPUT_VERSION", "v9"), ("RUNNER_ARCH", "ARM64")]);
    assert!(missing.contains("for aarch64 it has: nothing"), "{missing}");
    place.list("");
    for arch in ["X64", "ARM64"] {
        let missing = said(&[("INPUT_VERSION", "v9"), ("RUNNER_ARCH", arch)]);
        assert!(
            missing.contains("knows no release; leave version out") && missing.contains("binary-path"),
            "{missing}"
        );
        assert_eq!(missing.lines().count(), 1, "{missing}");
    }
    // A release that is listed and not there.
    let page = Page::of(&[]);
    place.list(&format!("{}  soopervisor-v9-x86_64-unknown-linux-musl\n", digest(PROGRAM)));
    let gone = said(&[("INPUT_VERSION", "v9"), ("SOOPERVISOR_RELEASES", &page.address), ("no_proxy", "127.0.0.1")]);
    assert!(gone.contains("cannot be fetched"), "{gone}");
}

#[test]
fn the_table_that_is_shipped_names_programs_of_both_architectures_or_none() {
    let table = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("install/checksums.txt")).unwrap();
    let names: Vec<&str> = table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (sum, name) = line.split_once("  ").unwrap();
            assert!(sum.len() == 64 && hex::decode(sum).is_ok(), "{line}");
            name
        })
        .collect();
    for name in &names {
        let other = if name.contains("x86_64") { ("x86_64", "aarch64") } else { ("aarch64", "x86_64") };
        assert!(names.contains(&name.replace(other.0, other.1).as_str()), "{name} has no twin");
    }
}

/// The repository as far as the action is made from it, with these lines in the table.
fn repository(at: &Path, lines: &str) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["scripts", "install"] {
        std::fs::create_dir_all(at.join(folder)).unwrap();
    }
    for file in ["scripts/action.sh", "action.yml", "install/install.sh", "LICENSE"] {
        std::fs::copy(from.join(file), at.join(file)).unwrap();
    }
    std::fs::write(at.join("install/checksums.txt"), format!("# x\n{lines}")).unwrap();
}

/// Makes the action's own repository; what was said, and whether it was made.
fn packed(repository: &Path, version: &str, to: &Path) -> (bool, String) {
    let script = repository.join("scripts/action.sh");
    let ended = Command::new("bash").arg(script).arg(version).arg(to).output().unwrap();
    (ended.status.success(), String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned())
}

fn lines_of(version: &str, program: &[u8]) -> String {
    let line = |arch| format!("{}  soopervisor-{version}-{arch}-unknown-linux-musl\n", digest(program));
    ["x86_64", "aarch64"].map(line).concat()
}

#[test]
fn the_actions_own_repository_is_made_for_a_release_of_both_architectures_and_over_nothing_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let (of, to) = (dir.path().join("repository"), dir.path().join("action"));
    let lines = lines_of("v9", PROGRAM);
    repository(&of, lines.lines().next().unwrap());
    for (version, words) in [
        ("v9", "has no line for soopervisor-v9-aarch64"),
        ("v10", "v10-x86_64"),
        ("../x", "is no version"),
        ("source", "is no version"),
    ] {
        let (made, said) = packed(&of, version, &to);
        assert!(!made && said.contains(words) && !to.exists(), "{version}: {said}");
    }
    repository(&of, &lines);
    std::fs::create_dir(&to).unwrap();
    std::fs::write(to.join("thesis.txt"), "x").unwrap();
    let (made, said) = packed(&of, "v9", &to);
    assert!(!made && said.contains("no copy of the action"), "{said}");
    std::fs::remove_file(to.join("thesis.txt")).unwrap();
    // Again, over what it made itself and somebody committed.
    for _ in 0..2 {
        let (made, said) = packed(&of, "v9", &to);
        assert!(made, "{said}");
        std::fs::create_dir_all(to.join(".git")).unwrap();
    }
    let mut names: Vec<_> = std::fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [".git", "LICENSE", "README.md", "action.yml", "install"], "no workflows are among it");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_actions_own_repository_fetches_its_release_and_answers_by_itself() {
    let scene = Scene::of_a_colleague().await;
    let dir = tempfile::tempdir().unwrap();
    let releases = dir.path().join("releases");
    let (to, program) = released(dir.path());
    std::fs::create_dir_all(releases.join("v9")).unwrap();
    for arch in ["x86_64", "aarch64"] {
        let name = format!("v9/soopervisor-v9-{arch}-unknown-linux-musl");
        std::fs::write(releases.join(name), &program).unwrap();
    }
    let id = scene.comment("ann", "/soopervisor help");
    let event = scene.commented(id, "ann", "/soopervisor help");
    let mut job = scene.job().event("issue_comment", &event);
    job.inputs.remove("binary-path");
    job.action = to;
    let tools = dir.path().join("tools").display().to_string();
    let from = format!("file://{}", releases.display());
    let done = job.env("RUNNER_TOOL_CACHE", &tools).env("SOOPERVISOR_RELEASES", &from).run().await;
    assert_eq!((done.code, done.outputs["status"].as_str()), (0, "answered"), "{}", done.log.text());
    assert_eq!(scene.reactions(id), ["+1"]);
}

/// The action's own repository with one release of the program.
fn released(dir: &Path) -> (std::path::PathBuf, Vec<u8>) {
    let (of, to) = (dir.join("repository"), dir.join("action"));
    // What is released is the program, or what starts it.
    let program = format!("#!/bin/sh\nexec '{}' \"$@\"\n", env!("CARGO_BIN_EXE_soopervisor")).into_bytes();
    repository(&of, &lines_of("v9", &program));
    assert!(packed(&of, "v9", &to).0);
    std::fs::remove_dir_all(&of).unwrap();
    (to, program)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_fetched_from_the_repository_that_the_workflow_names_the_action_by() {
    let scene = Scene::of_a_colleague().await;
    let dir = tempfile::tempdir().unwrap();
    let (action, program) = released(dir.path());
    let name = |arch: &str| format!("v9/soopervisor-v9-{arch}-unknown-linux-musl");
    let page = Page::of(&["x86_64", "aarch64"].map(|arch| (name(arch), program.clone())));
    let id = scene.comment("ann", "/soopervisor help");
    let event = scene.commented(id, "ann", "/soopervisor help");
    let mut job = scene.job().event("issue_comment", &event);
    job.inputs.remove("binary-path");
    job.action = action;
    let tools = dir.path().join("tools").display().to_string();
    let job = job.env("RUNNER_TOOL_CACHE", &tools).env("no_proxy", "127.0.0.1");
    let done = job.env("GITHUB_SERVER_URL", &page.server).env("REPOSITORY_OF_THE_ACTION", "octo/soop").run().await;
    assert_eq!((done.code, done.outputs["status"].as_str()), (0, "answered"), "{}", done.log.text());
    let arch = if cfg!(target_arch = "aarch64") { "aarch64" } else { "x86_64" };
    assert_eq!(*page.asked.lock().unwrap(), [format!("/octo/soop/releases/download/{}", name(arch))]);
}

/// Whether a process is at work; one that nobody has asked how it ended is not.
fn works(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_cancelled_while_the_program_is_built_ends_the_build_and_all_it_started() {
    let scene = Scene::of_a_colleague().await;
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    repository(at, "");
    std::fs::write(at.join("Cargo.toml"), "").unwrap();
    let path =
        first_found(at, "cargo", "#!/bin/sh\nsleep 300 &\necho $! >\"$WHERE\"\necho a compiler is at work\nwait\n");
    let id = scene.comment("ann", "/soopervisor help");
    let event = scene.commented(id, "ann", "/soopervisor help");
    let mut job = scene.job().event("issue_comment", &event).input("version", "source");
    job.inputs.remove("binary-path");
    job.action = at.to_owned();
    let pid = at.join("pid");
    let tools = at.join("tools").display().to_string();
    let job = job.env("PATH", &path).env("WHERE", pid.to_str().unwrap()).env("RUNNER_TOOL_CACHE", &tools);
    let begun = std::time::Instant::now();
    let done = job.run_until(|line| line.contains("a compiler is at work")).await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(7), "SIGINT is enough: {:?}", begun.elapsed());
    assert_eq!((done.code, done.outputs["status"].as_str()), (130, ""), "{}", done.log.text());
    assert!(scene.reactions(id).is_empty(), "the next step did not begin");
    let compiler = std::fs::read_to_string(pid).unwrap();
    for _ in 0..50 {
        if works(compiler.trim()) {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
    assert!(!works(compiler.trim()), "what cargo started goes on");
}
