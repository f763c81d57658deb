//! The one address of this machine that containers on the engine's bridge reach.

use std::process::Command;

/// The engine's own address on its bridge. One that has just made the bridge tells the network alone; its address there is
/// the first one.
pub(crate) fn address() -> String {
    let format = "{{with index .IPAM.Config 0}}{{.Subnet}} {{.Gateway}}{{end}}";
    let asked = Command::new("docker").args(["network", "inspect", "bridge", "--format", format]).output().unwrap();
    let told = String::from_utf8(asked.stdout).unwrap();
    let (subnet, gateway) = told.trim_end_matches('\n').split_once(' ').expect("the engine's bridge");
    let first = || subnet.split_once(".0/").map(|(network, _)| format!("{network}.1"));
    if gateway.is_empty() { first().expect("a network of the bridge") } else { gateway.to_owned() }
}
