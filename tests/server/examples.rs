//! The examples of a deployment: each fits what the others, and the server, say.

use std::path::Path;

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
