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
}

impl ProcessMark {
    /// This process.
    pub fn current() -> Self {
        let pid = std::process::id();
        Self { pid, boot: boot_id(), started: start_ticks(pid) }
    }

    /// Whether that very process still runs here. Without a boot id nothing is known, and the answer is no.
    pub fn is_alive(&self) -> bool {
        self.boot.is_some() && self.boot == boot_id() && self.started.is_some() && self.started == start_ticks(self.pid)
    }
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
        assert!(!ProcessMark { boot: None, ..mark }.is_alive());
    }

    #[test]
    fn a_process_that_ended_is_dead() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mark = ProcessMark { pid: child.id(), boot: boot_id(), started: start_ticks(child.id()) };
        assert!(mark.is_alive());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!mark.is_alive());
    }
}
