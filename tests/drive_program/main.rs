//! The program as a user calls it, with a container engine, against each drive (faked, by the vendors' rules) and real
//! servers of S3, WebDAV and SFTP: run, publish, verify, download, a second commit, prune; and killed wherever it hurts.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::process::Command;

mod dumps;
#[path = "../drives/fake/mod.rs"]
mod fake;
#[path = "../fixture_run/mod.rs"]
mod fixture_run;
mod held;
mod killed;
mod pruned;
#[path = "../stores/servers.rs"]
mod servers;
#[path = "../end_to_end/support.rs"]
#[expect(dead_code, reason = "written for another program, which uses all of it")]
mod support;
mod verbs;
#[path = "../stores/way.rs"]
mod way;
mod whole;

/// What servers need done before they start.
fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A storage as the command line names it, and the variables that lead there.
struct Place {
    storage: String,
    set: Vec<(String, String)>,
}

impl Place {
    /// What a CI job would be given for a drive.
    fn on(fake: &fake::Fake, drive: fake::Drive) -> Self {
        let name = format!("SOOPERVISOR_{}", drive.prefix().to_uppercase());
        let set = vec![
            (format!("{name}_BASE_URL"), fake.base(drive)),
            (format!("{name}_ACCESS_TOKEN"), fake.tokens(drive).access),
        ];
        Self { storage: drive.prefix().to_owned(), set }
    }

    /// The program with these words, in this user's place.
    fn program(&self, user: &support::User, words: &[&str]) -> Command {
        let mut command = user.program(words);
        command.args(["--storage", &self.storage]).envs(self.set.iter().cloned());
        command
    }

    /// Runs it to its end, while the fake goes on serving.
    fn say(&self, user: &support::User, words: &[&str]) -> support::Said {
        tokio::task::block_in_place(|| self.program(user, words).output().unwrap()).into()
    }
}
