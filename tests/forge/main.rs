//! The forge against GitHub in small (`tests/fake_github`): every call, on both kinds of hosts, also while it misbehaves.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "../fake_forges/mod.rs"]
mod fake_forges;
#[path = "../fake_github/mod.rs"]
mod fake_github;

mod calls;
mod judges;
mod logins;
mod others;
mod reach;

use fake_github::{Account, FakeGitHub, Pull};
use jiff::Timestamp;
use soopervisor::forge::RepoId;
use soopervisor::forge::github::{GitHub, Login};
use soopervisor::secret::Secret;
use soopervisor::web::Reach;

/// A repository with one commit on `main`, one more on `topic`, a pull request of it, and people.
struct Scene {
    fake: FakeGitHub,
    work: tempfile::TempDir,
    first: String,
    second: String,
}

const REPO: &str = "octo-org/churn";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn repo() -> RepoId {
    REPO.parse().unwrap()
}

impl Scene {
    async fn open() -> Self {
        let fake = FakeGitHub::start().await;
        fake.repository(REPO);
        for (login, role) in [("ann", "admin"), ("mia", "write"), ("max", "maintain"), ("tim", "triage")] {
            fake.user(login, &format!("token-of-{login}"));
            fake.permit(REPO, login, role);
        }
        fake.user("eve", "token-of-eve");
        fake.state().tokens.insert("ghs_workflow".to_owned(), Account::App("github-actions".to_owned()));
        let work = tempfile::tempdir().unwrap();
        let git = |args: &[&str]| fake_github::git(work.path(), args);
        git(&["init", "-q", "-b", "main"]);
        std::fs::write(work.path().join("soopervisor.yaml"), "sample: true\n").unwrap();
        git(&["add", "."]);
        git(&["commit", "-q", "-m", "first"]);
        let first = fake.push(work.path(), REPO, "main", at("2026-11-01T10:00:00Z"));
        git(&["commit", "-q", "--allow-empty", "-m", "second"]);
        let second = fake.push(work.path(), REPO, "feature/ü", at("2026-11-02T10:00:00Z"));
        let pull = Pull {
            number: 7,
            head_repo: REPO.into(),
            head_branch: "feature/ü".into(),
            base_branch: "main".into(),
            open: true,
        };
        fake.open_pull(REPO, pull);
        Self { fake, work, first, second }
    }

    fn as_user(&self, token: &str) -> GitHub {
        GitHub::open(&self.fake.api(), Login::Token(Secret::new("token", token.into())), &Reach::default()).unwrap()
    }

    fn as_workflow(&self) -> GitHub {
        let token = Login::Workflow(Secret::new("token", b"ghs_workflow".to_vec()));
        GitHub::open(&self.fake.enterprise_api(), token, &Reach::default()).unwrap()
    }
}
