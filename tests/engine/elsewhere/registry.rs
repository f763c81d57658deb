//! A registry on this machine: an image that is not here is pulled by its digest.

use super::keeper::{Keeper, free_port, needs};
use super::support::{Said, User};
use super::{docker, one_at_a_time};
use crate::kit::image;

const REGISTRY: &str = r#"
port=$1
printf 'version: 0.1\nlog: {level: warn}\nstorage: {filesystem: {rootdirectory: "%s/data"}}\nhttp: {addr: "127.0.0.1:%s"}\n' \
    "$scratch" "$port" >"$scratch/config.yml"
docker-registry serve "$scratch/config.yml" </dev/null &
registry=$!
read -r _ || true
kill "$registry" 2>/dev/null || true
wait "$registry" 2>/dev/null || true
rm -rf "$scratch"
"#;

#[test]
fn an_image_that_is_not_here_is_pulled_by_its_digest_and_the_manifest_names_it() {
    let _turn = one_at_a_time();
    needs(&["docker-registry"]);
    let port = free_port();
    let mut registry = Keeper::start(REGISTRY, &[&port.to_string()]);
    registry.wait("the registry", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    // Not the runner image itself: what an engine has, it need not pull.
    let named = format!("127.0.0.1:{port}/soopervisor-test:one");
    let changed = format!("soopervisor-test-{port}");
    docker(&["create", "--name", &changed, &image(), "true"]);
    docker(&["commit", "--message", "for a registry", &changed, &named]);
    docker(&["rm", &changed]);
    docker(&["push", "-q", &named]);
    let digest = docker(&["inspect", "-f", "{{index .RepoDigests 0}}", &named]).trim().to_owned();
    docker(&["rmi", "-f", &named]);

    let user = User::with(&[
        ("pipeline.yaml", "tasks:\n  - source: tasks.first\n    product: output/first.txt\n"),
        ("tasks.py", "from pathlib import Path\n\ndef first(product):\n    Path(str(product)).write_text('one')\n"),
    ]);
    let ran = Said::from(user.run_command(&["-v", "--image", &digest]).output().unwrap());
    ran.exits(0).says(&format!("pulling {digest}"));
    let told = user.manifest()["image"].clone();
    docker(&["rmi", "-f", &digest]);
    assert_eq!((told["reference"].as_str(), told["digest"].as_str()), (Some(digest.as_str()), Some(digest.as_str())));

    let gone = format!("127.0.0.1:{port}/soopervisor-test@sha256:{}", "0".repeat(64));
    Said::from(user.run_command(&["--image", &gone]).output().unwrap()).exits(5).says("could not be pulled");
}
