//! Which process drives a run, told apart from a later one with the same number.
//!
//! The lock file is the first witness of a live run; this mark is the second, for file systems without locks.

use serde::{Deserialize, Serialize};

/// A process of one boot of one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessMark {
    /// Its number.
    pub pid: u32,
    /// The kernel's boot id, where there is one.
    pub boot: Option<String>,
    /// When it started, in clock ticks since boot, where the kernel tells.
    pub started: Option<u64>,
    /// Which processes its number tells it from, where the kernel tells: each container has numbers of its own.
    #[serde(default)]
    pub space: Option<String>,
}

impl ProcessMark {
    /// This process.
    pub fn current() -> Self {
        let pid = std::process::id();
        Self { pid, boot: boot_id(), started: start_ticks(pid), space: space() }
    }

    /// Whether that very process still runs here. Without a boot id, and of another space, nothing is known, and the answer is
    /// no. Marks of before tell no space.
    pub fn is_alive(&self) -> bool {
        let same_space = self.space.is_none() || self.space == space();
        let same_boot = self.boot.is_some() && self.boot == boot_id();
        same_space && same_boot && self.started.is_some() && self.started == start_ticks(self.pid)
    }
}

/// The process id space: `pid:[4026531836]`.
fn space() -> Option<String> {
    Some(fs_err::read_link("/proc/self/ns/pid").ok()?.display().to_string())
}

fn boot_id() -> Option<String> {
    let text = fs_err::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

fn start_ticks(pid: u32) -> Option<u64> {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold spaces and parentheses itself; the start
    // time is field 22, so the 20th after it.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_its_look_alikes_are_not() {
        let mark = ProcessMark::current();
        assert!(mark.is_alive());
        assert!(!ProcessMark { started: mark.started.map(|ticks| ticks + 1), ..mark.clone() }.is_alive());
        assert!(!ProcessMark { boot: Some("another boot".to_owned()), ..mark.clone() }.is_alive());
        assert!(!ProcessMark { boot: None, ..mark.clone() }.is_alive());
        // One of another container that has our number and was started in the same moment.
        assert!(!ProcessMark { space: Some("pid:[1]".to_owned()), ..mark.clone() }.is_alive());
        assert!(ProcessMark { space: None, ..mark }.is_alive(), "as it was written before");
    }

    #[test]
    fn a_process_that_ended_is_dead() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mark = ProcessMark { pid: child.id(), boot: boot_id(), started: start_ticks(child.id()), space: space() };
        assert!(mark.is_alive());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!mark.is_alive());
    }
}
