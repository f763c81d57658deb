//! The examples of a deployment: each fits what the others, and the server, say.

use std::path::Path;
use std::process::Command;

use soopervisor::server::hook::LARGEST;

fn text(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn the_proxy_takes_what_the_server_takes_and_holds_no_log_back() {
    let proxy = text("examples/server/nginx.conf");
    let place = |name: &str| {
        let rest = proxy.split_once(&format!("location {name} {{")).unwrap_or_else(|| panic!("{name}")).1;
        rest.split_once('}').unwrap().0.to_owned()
    };
    assert!(place("/hooks/").contains(&format!("client_max_body_size {}m;", LARGEST >> 20)));
    assert!(place("~ ^/api/runs/[0-9]+/log$").contains("proxy_buffering off;"));
    for name in ["/", "/hooks/", "~ ^/api/runs/[0-9]+/log$"] {
        assert!(place(name).contains("proxy_pass http://127.0.0.1:8080;"), "{name}");
    }
}

#[test]
fn the_container_sees_a_file_that_was_written_anew_and_the_unit_leaves_runs_alone() {
    let (compose, image) = (text("examples/server/compose.yaml"), text("images/server/Dockerfile"));
    let file = image.split('"').find(|word| word.ends_with("/server.yaml")).unwrap();
    let folder = file.strip_suffix("/server.yaml").unwrap();
    assert!(compose.contains(&format!("- ./:{folder}:ro\n")), "the folder of {file} is mounted");
    assert!(!compose.lines().any(|line| line.trim_start().starts_with("- ./server.yaml")), "never the file alone");
    let unit = text("examples/server/soopervisor.service");
    assert!(unit.lines().any(|line| line == "KillMode=process"), "drivers outlive the server");
    assert!(unit.contains(&format!("serve --config {file}\n")));
}

/// What `systemd-analyze verify` says of a unit. Its program need not be on this machine.
fn verified(unit: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("soopervisor.service");
    std::fs::write(&path, unit.replace("/usr/local/bin/soopervisor", "/bin/true")).unwrap();
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output();
    let output = output.expect("systemd-analyze is installed: `make test` installs it (scripts/judges.sh)");
    // What is wrong with other units of this machine is told, too, and not ours to mend.
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    said.lines().filter(|line| line.contains("soopervisor.service")).collect::<Vec<_>>().join("\n")
}

#[test]
fn systemd_understands_every_line_of_the_unit() {
    let unit = text("examples/server/soopervisor.service");
    assert_eq!(verified(&unit), "");
    for (right, wrong) in [("ProtectClock=", "ProtectClocks="), ("@system-service", "@system-services")] {
        assert!(unit.contains(right), "{right}");
        assert!(verified(&unit.replace(right, wrong)).contains(wrong.trim_end_matches('=')), "{wrong}");
    }
}

#[test]
fn folders_are_the_servers_users_and_are_never_made_by_the_engine() {
    let (compose, image) = (text("examples/server/compose.yaml"), text("images/server/Dockerfile"));
    let user = image.lines().find_map(|line| line.strip_prefix("USER ")).unwrap();
    let (uid, gid) = user.split_once(':').unwrap();
    assert!(uid.parse::<u32>().unwrap() > 0, "by number, and not root");
    assert!(
        image.contains(&format!("--gid {gid} soopervisor")) && image.contains(&format!("--uid {uid} --gid {gid} "))
    );
    for folder in ["/var/lib/soopervisor", "/srv/results"] {
        let mount = format!("source: {folder}, target: {folder}, bind: {{create_host_path: false}}");
        assert!(compose.contains(&mount), "{folder} has the same path outside and inside, and has to be there");
    }
    assert_eq!(compose.matches(&format!("install -d -o {uid} -g {gid} ")).count(), 2, "says how to make both");
}
