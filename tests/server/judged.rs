//! The API of the built program, asked by schemathesis what its own description allows and what it does not: nothing is a
//! fault of the server, every answer is one that is described, what is described is taken and what is not is refused.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::json;
use soopervisor::store::database::NewRun;

use super::git::Forge;
use super::process::{Running, ask, ledger, program};

/// A handler is a text in YAML; which ones are right is told by another schema than the API's.
const SETTINGS: &str =
    "[[operations]]\ninclude-operation-id = \"putHandler\"\nchecks.positive_data_acceptance.enabled = false\n";

/// Where `scripts/judges.sh` put it.
fn judge() -> PathBuf {
    let cache = || {
        let set = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        set.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"))
    };
    let told = std::env::var_os("SOOPERVISOR_API_JUDGE").map(PathBuf::from);
    let judge = told.unwrap_or_else(|| cache().join("soopervisor/judge-api")).join("venv/bin/schemathesis");
    assert!(judge.exists(), "{} is missing: `make test` installs it (scripts/judges.sh)", judge.display());
    judge
}

/// A server with a repository and two runs that wait: there is something to look at and to stop.
async fn serving(home: &Path, forge: &Forge) -> Running {
    let file = home.join("server.yaml");
    let text = format!(
        "server: {{workers: 0}}\nrepos:\n  - {{url: '{}', name: acme/churn}}\nhandlers:\n  - {{name: noted, on: push, do: {{log: \
         {{text: x}}}}}}\n",
        forge.url()
    );
    std::fs::write(&file, text).unwrap();
    std::fs::write(home.join("schemathesis.toml"), SETTINGS).unwrap();
    let mut command = program(home);
    command.args(["serve", "--config"]).arg(&file);
    let server = Running::guarded(command);
    let database = ledger(home).await;
    let repo = database.repo("acme/churn").await.unwrap().id;
    for lane in ["one", "two"] {
        let run = NewRun {
            key: lane.into(),
            repo,
            event: None,
            lane: lane.into(),
            reference: None,
            sha: "0".repeat(40),
            mode: "sample".into(),
            request: json!({}),
            priority: 0,
            supersede: false,
        };
        database.enqueue(&run).await.unwrap();
    }
    server
}

/// What the judge says of every operation.
fn judged(home: &Path, base: &str, words: &[&str]) -> Output {
    let mut judge = Command::new(judge());
    judge.current_dir(home).args(["run", "--no-color", "--generation-deterministic"]).args(words);
    judge.arg(format!("{base}/api/openapi.json")).output().unwrap()
}

fn agrees(output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    // It asked at all: every operation but the description's own, each in more than one way.
    assert!(said.contains("Tested: 20"), "{said}");
    let cases = said.lines().find_map(|line| line.trim().split_once(" generated")?.0.parse::<usize>().ok());
    assert!(cases.is_some_and(|cases| cases > 100), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing_with_the_token_of_an_admin() {
    let (home, forge) = (tempfile::tempdir().unwrap(), Forge::start().await);
    let server = serving(home.path(), &forge).await;
    // It takes back the first ones, and asks with the last.
    let mut token = String::new();
    for _ in 0..24 {
        let (code, made) = ask(home.path(), &["token", "create", "judge", "--scope", "admin"]);
        assert_eq!(code, 0, "{made}");
        made.trim().clone_into(&mut token);
    }
    let header = format!("--header=Authorization: Bearer {token}");
    agrees(&judged(home.path(), &server.base, &["--max-examples", "10", &header]));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(format!("{}/api/tokens", server.base)).bearer_auth(&token).send().await.unwrap();
    assert_eq!(answer.status(), 200, "it could ask to the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing_without_a_token_and_comes_nowhere() {
    let (home, forge) = (tempfile::tempdir().unwrap(), Forge::start().await);
    let server = serving(home.path(), &forge).await;
    agrees(&judged(home.path(), &server.base, &["--phases", "coverage"]));
    let database = ledger(home.path()).await;
    assert!(database.tokens().await.unwrap().is_empty());
    assert!(database.handlers().await.unwrap().is_empty());
    let runs = database.count_runs().await.unwrap();
    assert_eq!(runs.iter().map(|(state, count)| (state.word(), *count)).collect::<Vec<_>>(), [("queued", 2)]);
}
