//! A repository on GitHub in small, with people, a pull request, and a pipeline that takes a second.

use std::path::Path;

use jiff::Timestamp;

use crate::fake_github::{Account, FakeGitHub, Pull, git};
use crate::runner::Job;

pub(crate) const REPO: &str = "octo-org/churn";
/// Its number, which stays when it is renamed.
pub(crate) const REPO_ID: u64 = 1_296_269;
pub(crate) const FORK: &str = "eve/churn";
/// The job's own token.
pub(crate) const TOKEN: &str = "ghs_token_of_the_job";

/// The same environment as every other test's, so that it is built once.
pub(crate) const ENVIRONMENT: &str = "name: tiny\nchannels:\n  - conda-forge\ndependencies:\n  - python=3.11\n  - pip\n  - pip:\n      - ploomber\n      - jsonschema<4.25\n      - sqlalchemy\n      - pandas\n";
/// What the base branch sets.
pub(crate) const SETTINGS: &str = "project: of-the-base-branch\nenv: {WHOSE_SETTINGS: of the base branch}\n";
pub(crate) const PIPELINE: &str = "tasks:\n  - source: tasks.first\n    params:\n      sample: '{{sample}}'\n    product: output/first.txt\n  - source: tasks.second\n    product: output/second.txt\n";
pub(crate) const TASKS: &str = "import os\nfrom pathlib import Path\n\ndef first(product, sample):\n    print('writing the first', flush=True)\n    print('::error::this is not a command')\n    print('the password is', os.environ.get('DB_PASSWORD', 'not here'))\n    Path(product).write_text(f'sample={sample}\\n')\n\ndef second(product, upstream):\n    Path(product).write_text(Path(upstream['first']).read_text() + 'two\\n')\n";

pub(crate) struct Scene {
    pub(crate) fake: FakeGitHub,
    /// The main branch, as `actions/checkout` leaves it.
    pub(crate) workspace: tempfile::TempDir,
    /// The storage.
    storage: tempfile::TempDir,
    /// Where the pull request's author works.
    pub(crate) author: tempfile::TempDir,
    /// Tip of main.
    pub(crate) base: String,
    /// Tip of the pull request.
    pub(crate) head: String,
}

pub(crate) fn ago(seconds: i64) -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second() - seconds).unwrap()
}

/// Settings of a machine in this folder: how this one gets packages, whatever that is, and more.
pub(crate) fn machine_with(config: &Path, more: &str) {
    let own = std::env::var_os("XDG_CONFIG_HOME").map(std::path::PathBuf::from);
    let own = own.unwrap_or_else(|| std::path::PathBuf::from(std::env::var_os("HOME").unwrap()).join(".config"));
    let text = std::fs::read_to_string(own.join("soopervisor/config.yaml")).unwrap_or_default();
    assert!(!text.contains("secrets:"), "tests need a config.yaml without secrets");
    std::fs::create_dir_all(config.join("soopervisor")).unwrap();
    write(&config.join("soopervisor"), "config.yaml", &format!("{text}{more}"));
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

impl Scene {
    /// With a pull request of `head_repo` whose tasks are these.
    pub(crate) async fn open(head_repo: &str, tasks: &str) -> Self {
        Self::open_with(head_repo, &[("tasks.py", tasks)]).await
    }

    /// With a pull request of `head_repo` that brings these files.
    pub(crate) async fn open_with(head_repo: &str, files: &[(&str, &str)]) -> Self {
        Self::on_main(ENVIRONMENT, head_repo, files).await
    }

    /// With this environment.yml.
    pub(crate) async fn with_environment(environment: &str) -> Self {
        Self::on_main(environment, REPO, &[("tasks.py", TASKS)]).await
    }

    async fn on_main(environment: &str, head_repo: &str, files: &[(&str, &str)]) -> Self {
        let fake = FakeGitHub::start().await;
        fake.repository(REPO);
        fake.state().private.push(REPO.to_owned());
        if head_repo != REPO {
            fake.repository(head_repo);
        }
        for (login, role) in [("ann", "write"), ("tim", "triage"), ("eve", "read")] {
            fake.user(login, &format!("token-of-{login}"));
            fake.permit(REPO, login, role);
        }
        fake.state().tokens.insert(TOKEN.to_owned(), Account::App("github-actions".to_owned()));
        let workspace = tempfile::Builder::new().prefix("churn").tempdir().unwrap();
        let at = workspace.path();
        git(at, &["init", "-q", "-b", "main"]);
        for (name, text) in [("environment.yml", environment), ("pipeline.yaml", PIPELINE), ("tasks.py", TASKS)] {
            write(at, name, text);
        }
        write(at, "env.yaml", "sample: false\n");
        write(at, "soopervisor.yaml", SETTINGS);
        git(at, &["add", "."]);
        git(at, &["commit", "-q", "-m", "first"]);
        let base = fake.push(at, REPO, "main", ago(7200));
        let author = tempfile::tempdir().unwrap();
        git(author.path(), &["clone", "-q", &fake.bare(REPO).display().to_string(), "."]);
        // The settings of a pull request are not followed.
        write(
            author.path(),
            "soopervisor.yaml",
            "project: of-the-pull-request\nstorage: local:/tmp/elsewhere\nsecrets: [STOLEN]\nnetwork: bridge\nenv: {WHOSE_SETTINGS: of the pull request}\n",
        );
        for (name, text) in files {
            write(author.path(), name, text);
        }
        git(author.path(), &["add", "."]);
        git(author.path(), &["commit", "-q", "-m", "change"]);
        let head = fake.push(author.path(), head_repo, "topic", ago(3600));
        let (head_repo, head_branch) = (head_repo.to_owned(), "topic".to_owned());
        fake.open_pull(REPO, Pull { number: 7, head_repo, head_branch, base_branch: "main".to_owned(), open: true });
        Self { fake, workspace, storage: tempfile::tempdir().unwrap(), author, base, head }
    }

    /// The main branch goes on by a commit that changes these files.
    pub(crate) fn main_goes_on(&mut self, files: &[(&str, &str)]) {
        let at = self.workspace.path();
        for (name, text) in files {
            write(at, name, text);
        }
        git(at, &["commit", "-q", "-a", "--allow-empty", "-m", "more"]);
        self.base = self.fake.push(at, REPO, "main", ago(60));
    }

    pub(crate) async fn of_a_colleague() -> Self {
        Self::open(REPO, &TASKS.replace("two", "deux")).await
    }

    /// A pipeline that says when it runs and would go on for minutes; `deaf` to being asked to end.
    pub(crate) async fn that_takes_long(deaf: bool) -> Self {
        let ignore = if deaf { "    import signal\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" } else { "" };
        let long = format!("{ignore}    print('writing the first', flush=True)\n    import time; time.sleep(300)");
        Self::open(REPO, &TASKS.replace("    print('writing the first', flush=True)", &long)).await
    }

    /// A job of this repository on a server of one's own.
    pub(crate) fn job(&self) -> Job {
        let job = Job::new(self.workspace.path(), REPO, &self.base, &self.fake.server(), &self.fake.enterprise_api());
        let storage = format!("local:{}", self.artifacts().display());
        job.input("storage", &storage).env("TOKEN_OF_THE_JOB", TOKEN)
    }

    /// The storage's folder.
    pub(crate) fn artifacts(&self) -> std::path::PathBuf {
        self.storage.path().join("artifacts")
    }

    /// Somebody comments now; the comment's id.
    pub(crate) fn comment(&self, login: &str, body: &str) -> u64 {
        self.fake.state().comment(REPO, 7, Account::User(login.to_owned()), body, ago(0))
    }

    /// What the runner writes for a comment.
    pub(crate) fn commented(&self, id: u64, login: &str, body: &str) -> serde_json::Value {
        let created = self.fake.state().comments.iter().find(|comment| comment.id == id).unwrap().created.to_string();
        let mut payload = crate::payloads::comment_on_pull(REPO, 7, login, body, &created);
        payload["comment"]["id"] = serde_json::json!(id);
        payload
    }

    /// The comments that the Action wrote, with all the texts they had.
    pub(crate) fn ours(&self) -> Vec<Vec<String>> {
        self.ours_of("github-actions")
    }

    /// As [`Self::ours`], where it speaks as this App.
    pub(crate) fn ours_of(&self, app: &str) -> Vec<Vec<String>> {
        let ours = Account::App(app.to_owned());
        self.fake
            .state()
            .comments
            .iter()
            .filter(|comment| comment.author == ours)
            .map(|comment| comment.history.clone())
            .collect()
    }

    /// Reactions under a comment, in order.
    pub(crate) fn reactions(&self, id: u64) -> Vec<String> {
        let state = self.fake.state();
        let comment = state.comments.iter().find(|comment| comment.id == id).unwrap();
        comment.reactions.iter().map(|(_, reaction)| reaction.clone()).collect()
    }

    /// (sha, context, state) of each status, in order.
    pub(crate) fn statuses(&self) -> Vec<(String, String, String)> {
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let state = self.fake.state();
        state
            .statuses
            .iter()
            .map(|(_, sha, body)| (sha.clone(), text(&body["context"]), text(&body["state"])))
            .collect()
    }
}
