//! Who owns a container: this process, named so that a later process can tell whether it still lives.
//!
//! Never removes anything. What cannot be told for certain counts as alive.

use std::fs;

use sha2::{Digest as _, Sha256};

/// One process of one boot of one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    /// The machine and its process id space, hashed.
    pub(super) host: String,
    /// The boot.
    pub(super) boot: String,
    /// The process id.
    pub(super) pid: u32,
    /// When the process started, in clock ticks since boot: tells it from a later one with the same id.
    pub(super) started: String,
}

impl Owner {
    /// This process.
    pub(super) fn current() -> Self {
        let pid = std::process::id();
        Self { host: host(), boot: boot(), pid, started: process_start(pid).unwrap_or_default() }
    }

    /// Whether the process `pid` of `boot`, which once ran in the same process id space as this one, is surely gone.
    pub(super) fn surely_gone(&self, boot: &str, pid: u32, started: &str) -> bool {
        if self.boot.is_empty() || boot.is_empty() || started.is_empty() {
            return false;
        }
        boot != self.boot || process_start(pid).is_none_or(|now| now != started)
    }
}

/// The process id namespace that every machine has under the same number.
const FIRST: &str = "pid:[4026531836]";

/// Machine id plus process id namespace: two containers that share an image share a machine id, and must not judge
/// each other's processes.
fn host() -> String {
    let read = |path: &str| fs::read_to_string(path).ok().map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
    let machine = read("/etc/machine-id").or_else(|| read("/var/lib/dbus/machine-id"));
    let machine = machine.or_else(|| read("/proc/sys/kernel/hostname")).or_else(|| read("/etc/hostname"));
    let space = fs::read_link("/proc/self/ns/pid").map(|p| p.display().to_string()).unwrap_or_default();
    named(&machine.unwrap_or_default(), &space, &boot())
}

/// The number of a container's namespace is counted anew by every machine and after every boot, so that it says nothing
/// there: two of one image on two machines would share it, and each take the other's processes for those of an earlier boot.
/// Within a boot it is given again only when the namespace that had it is gone, with all of its processes.
fn named(machine: &str, space: &str, boot: &str) -> String {
    let counted = if space.is_empty() || space == FIRST { "" } else { boot };
    let digest = Sha256::digest(format!("soopervisor\0{machine}\0{space}{counted}"));
    hex::encode(&digest[..8])
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|t| t.trim().to_owned()).unwrap_or_default()
}

/// Field 22 of `/proc/PID/stat`; `None` where there is no such process or only its zombie.
fn process_start(pid: u32) -> Option<String> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The command's name stands in brackets and may hold spaces and brackets itself.
    let end = stat.iter().rposition(|b| *b == b')')?;
    let rest = String::from_utf8_lossy(&stat[end + 1..]).into_owned();
    let mut fields = rest.split_ascii_whitespace();
    match fields.next()? {
        "Z" | "X" | "x" => None,
        _ => fields.nth(18).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives() {
        let me = Owner::current();
        assert!(!me.started.is_empty() && !me.boot.is_empty());
        assert!(!me.surely_gone(&me.boot, me.pid, &me.started));
    }

    #[test]
    fn a_process_is_judged_in_its_own_namespace_only_and_a_containers_in_its_own_boot_only() {
        let (own, other) = ("pid:[4026532200]", "pid:[4026532201]");
        assert_eq!(
            named("m", FIRST, "boot 1"),
            named("m", FIRST, "boot 2"),
            "a machine knows what was before its boot"
        );
        assert_ne!(named("m", FIRST, "boot 1"), named("other", FIRST, "boot 1"));
        assert_ne!(named("m", own, "boot 1"), named("m", other, "boot 1"));
        assert_ne!(named("m", own, "boot 1"), named("m", own, "boot 2"), "that of another machine, or of before");
        assert_eq!(named("m", own, "boot 1"), named("m", own, "boot 1"));
    }

    #[test]
    fn a_reused_process_id_is_another_process() {
        let me = Owner::current();
        assert!(me.surely_gone(&me.boot, me.pid, "1"));
        assert!(me.surely_gone("another boot", me.pid, &me.started));
    }

    #[test]
    fn a_zombie_is_gone() {
        let me = Owner::current();
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let started = process_start(child.id()).unwrap();
        assert!(!me.surely_gone(&me.boot, child.id(), &started));
        child.kill().unwrap();
        let zombie_by = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !me.surely_gone(&me.boot, child.id(), &started) {
            assert!(std::time::Instant::now() < zombie_by, "a killed process counts as alive");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        child.wait().unwrap();
    }

    #[test]
    fn what_cannot_be_told_counts_as_alive() {
        let me = Owner::current();
        assert!(!me.surely_gone("", 1, "1"));
        assert!(!me.surely_gone("another boot", 1, ""));
        let blind = Owner { boot: String::new(), ..me };
        assert!(!blind.surely_gone("another boot", 1, "1"));
    }
}
