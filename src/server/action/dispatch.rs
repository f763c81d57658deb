//! Whether a build elsewhere is to be started: compared with what was built last, one at a time, remembered.
//!
//! A poller without this memory starts a slow build again at every poll, and a broken one for ever.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::CommitSha;

/// How long a build that was asked for is waited for when nothing else is said.
pub const COOLDOWN: Duration = Duration::from_hours(6);

/// Whether a text names a workflow as forges' APIs take it: its file without the folder, or its number.
pub fn is_workflow(text: &str) -> bool {
    let file = text.strip_suffix(".yml").or_else(|| text.strip_suffix(".yaml"));
    let file = file.is_some_and(|name| !name.is_empty() && text.len() <= 250);
    let number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (file && !text.contains(['/', '\\']) && !text.chars().any(char::is_control))
        || (number && text.parse::<u64>().is_ok_and(|number| number > 0))
}

/// What is remembered for a source and the repository that builds it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Builds {
    /// The source's commit that was built well last.
    pub built: Option<CommitSha>,
    /// The source's commits whose build failed, newest last; they are not built again by themselves.
    #[serde(default)]
    pub failed: Vec<CommitSha>,
    /// The build that was asked for and has not been seen to end.
    pub asked: Option<Asked>,
}

/// A build that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The source's commit.
    pub commit: CommitSha,
    /// When.
    pub at: Timestamp,
    /// The step that asked, so that it knows itself again after an interruption.
    #[serde(default)]
    pub step: String,
    /// Whether the forge said that it will.
    #[serde(default)]
    pub heard: bool,
    /// The newest run of a workflow before it was asked for: what it started has a higher number.
    #[serde(default)]
    pub after: Option<u64>,
    /// The run that it started, once it is known.
    #[serde(default)]
    pub run: Option<u64>,
}

/// Commits whose builds failed that are remembered.
const FAILED: usize = 100;

impl Builds {
    /// Why a build of this commit is not to be started now; none when it is.
    pub fn refusal(&self, commit: &CommitSha, now: Timestamp, cooldown: Duration) -> Option<String> {
        if self.built.as_ref() == Some(commit) {
            return Some(format!("{} was built already", commit.short()));
        }
        if self.failed.contains(commit) {
            return Some(format!("the build of {} failed before; `again: true` repeats it", commit.short()));
        }
        let asked = self.asked.as_ref()?;
        let waited = now.duration_since(asked.at);
        // A clock that was set back makes nothing due.
        let waits = waited.unsigned_abs() < cooldown || waited.is_negative();
        waits.then(|| format!("the build of {} is under way", asked.commit.short()))
    }

    /// Notes that a build is about to be asked for by a step, `after` being the newest run before.
    pub fn ask(&mut self, commit: CommitSha, now: Timestamp, step: &str, after: Option<u64>) {
        self.failed.retain(|failed| *failed != commit);
        self.asked = Some(Asked { commit, at: now, step: step.to_owned(), heard: false, after, run: None });
    }

    /// Notes how a build ended. What is told of a commit that nobody asked for counts as well: somebody pressed a button.
    pub fn end(&mut self, commit: CommitSha, well: bool) {
        self.asked.take_if(|asked| asked.commit == commit);
        self.failed.retain(|failed| *failed != commit);
        if well {
            self.built = Some(commit);
            return;
        }
        self.failed.push(commit);
        if self.failed.len() > FAILED {
            self.failed.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(digit: char) -> CommitSha {
        digit.to_string().repeat(40).parse().unwrap()
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_764_000_000 + minute * 60).unwrap()
    }

    #[test]
    fn a_workflow_is_a_file_without_its_folder_or_a_number() {
        for good in ["build.yml", "nightly build.yaml", "161335", "é.yml"] {
            assert!(is_workflow(good), "{good}");
        }
        for bad in [
            "",
            "build",
            ".yml",
            "0",
            "99999999999999999999",
            "../build.yml",
            ".github/workflows/build.yml",
            "a\n.yml",
            "7.5",
        ] {
            assert!(!is_workflow(bad), "{bad}");
        }
    }

    #[test]
    fn one_build_at_a_time_and_none_of_what_is_built() {
        let mut builds = Builds::default();
        let due = |builds: &Builds, digit, minute| builds.refusal(&commit(digit), at(minute), COOLDOWN).is_none();
        assert!(due(&builds, 'a', 0));
        builds.ask(commit('a'), at(0), "s", None);
        // Every later poll sees the same commit, or newer ones, while the build goes on.
        assert!(!due(&builds, 'a', 1) && !due(&builds, 'b', 2));
        builds.end(commit('a'), true);
        assert!(!due(&builds, 'a', 3) && due(&builds, 'b', 3));
        builds.ask(commit('b'), at(4), "s", None);
        builds.end(commit('b'), false);
        assert!(!due(&builds, 'b', 5), "a broken build is not repeated for ever");
        assert!(due(&builds, 'c', 5));
    }

    #[test]
    fn a_build_that_never_ends_is_waited_for_only_so_long() {
        let mut builds = Builds::default();
        builds.ask(commit('a'), at(0), "s", None);
        assert!(builds.refusal(&commit('b'), at(359), COOLDOWN).is_some());
        assert!(builds.refusal(&commit('b'), at(361), COOLDOWN).is_none());
        assert!(builds.refusal(&commit('b'), at(-1000), COOLDOWN).is_some());
    }

    #[test]
    fn a_commit_that_is_gone_from_the_history_is_one_more_commit() {
        let mut builds = Builds::default();
        builds.ask(commit('a'), at(0), "s", None);
        builds.end(commit('a'), true);
        // Force pushed: nothing is looked for in a history, so it is built once.
        assert!(builds.refusal(&commit('f'), at(1), COOLDOWN).is_none());
        builds.ask(commit('f'), at(1), "s", None);
        assert!(builds.refusal(&commit('f'), at(2), COOLDOWN).is_some());
    }
}
