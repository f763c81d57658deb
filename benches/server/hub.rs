//! A repository on GitHub in small, with a pull request, and the file of a server that may write there.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use soopervisor::store::database::Database;

use super::fake_github::{Account, FakeGitHub, Pull};
use super::served::{Place, Served, git};
use super::{all_are_read, deliver, payload};

const REPO: &str = "octo-org/churn";
const PULL: u64 = 7;
const TOKEN: &str = "token-of-robo";

/// GitHub, and somebody's clone of the repository.
pub(crate) struct Hub {
    pub(crate) fake: FakeGitHub,
    folder: tempfile::TempDir,
    /// When everything was pushed that is there at first.
    before: Timestamp,
}

impl Hub {
    pub(crate) async fn open() -> Self {
        let (fake, folder) = (FakeGitHub::start().await, tempfile::tempdir().expect("a folder"));
        fake.repository(REPO);
        fake.user("robo", TOKEN);
        fake.permit(REPO, "robo", "write");
        fs_err::write(folder.path().join("token"), TOKEN).expect("a file");
        let (work, before) = (folder.path().join("work"), Timestamp::now() - SignedDuration::from_hours(2));
        fs_err::create_dir_all(&work).expect("a folder");
        git(&work, &["init", "-q"]);
        fs_err::write(work.join("soopervisor.yaml"), "sample: true\n").expect("a file");
        git(&work, &["add", "."]);
        let hub = Self { fake, folder, before };
        hub.push("main");
        hub.push("topic");
        let (head_repo, head_branch, base_branch) = (REPO.into(), "topic".into(), "main".into());
        hub.fake.open_pull(REPO, Pull { number: PULL, head_repo, head_branch, base_branch, open: true });
        hub
    }

    fn url(&self) -> String {
        format!("{}/{REPO}.git", self.fake.server())
    }

    /// A server with these handlers, which has read the repository once.
    pub(crate) async fn serve(&self, handlers: &str) -> (Place, Served, Database) {
        let place = Place::of(&format!(
            "server: {{workers: 2}}\nwebhooks:\n  github: {{secrets: [env:BENCH_HOOK]}}\ncredentials:\n  hub: {{token: 'file:{}', \
             api: '{}'}}\nrepos:\n  - {{url: '{}', credential: hub, poll: off, storage: 'local:/nowhere'}}\nhandlers:\n{handlers}",
            self.folder.path().join("token").display(),
            self.fake.api(),
            self.url()
        ));
        let (server, database) = (place.serve(), place.database().await);
        let head = git(&self.folder.path().join("work"), &["rev-parse", "HEAD"]);
        deliver(&server, "first", &self.pushed("topic", &head)).await;
        all_are_read(&database, 1).await;
        (place, server, database)
    }

    /// A commit on a branch; what was pushed before stays where it is.
    pub(crate) fn push(&self, branch: &str) -> String {
        let work = self.folder.path().join("work");
        git(&work, &["commit", "-q", "--allow-empty", "-m", branch]);
        self.fake.push(&work, REPO, branch, self.before)
    }

    /// A push, as GitHub tells of it.
    pub(crate) fn pushed(&self, branch: &str, after: &str) -> Value {
        let reference = format!("refs/heads/{branch}");
        payload(&self.url(), json!({"ref": reference, "before": "0".repeat(40), "after": after}))
    }

    /// Somebody who may push writes a comment: its number, and how GitHub tells of it.
    pub(crate) fn says(&self, login: &str, body: &str) -> (u64, Value) {
        self.fake.user(login, &format!("token-of-{login}"));
        self.fake.permit(REPO, login, "write");
        let mut state = self.fake.state();
        let now = state.now();
        let id = state.comment(REPO, PULL, Account::User(login.to_owned()), body, now);
        let rest = json!({
            "action": "created", "sender": {"login": login},
            "issue": {"number": PULL, "state": "open", "title": "t", "user": {"login": login}, "pull_request": {"url": "x"}},
            "comment": {"id": id, "body": body, "user": {"login": login, "type": "User"}, "created_at": now.to_string()},
        });
        (id, payload(&self.url(), rest))
    }

    /// The faces under a comment, in the order in which they came.
    pub(crate) fn faces(&self, comment: u64) -> Vec<String> {
        let state = self.fake.state();
        state.faces.iter().filter(|face| face.comment == comment).map(|face| face.content.clone()).collect()
    }
}
