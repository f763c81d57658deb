//! Others about the fake GitHub: a validator of others about ours, and an independent GitHub in small about the flows that
//! both have.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use soopervisor::forge::github::{App, GitHub, Login};
use soopervisor::forge::{CheckConclusion, CheckRun, CheckState, Forge, RepoId};
use soopervisor::secret::Secret;
use soopervisor::web::Reach;

use crate::at;
use crate::fake_github::judges::{judges, node, python_tool};
use crate::fake_github::key;
use crate::fake_github::{FakeGitHub, Pull, Schema, fixture, git};

/// Each example of GitHub's, and the same with one member left out or of another kind.
fn pairs(document: &Value) -> Vec<(Value, Value)> {
    let mut pairs = Vec::new();
    for (_, methods) in document["paths"].as_object().unwrap() {
        for (_, operation) in methods.as_object().unwrap() {
            for (_, answer) in operation["responses"].as_object().unwrap() {
                let (schema, example) = (&answer["schema"], &answer["example"]);
                if schema.is_null() || example.is_null() {
                    continue;
                }
                pairs.push((schema.clone(), example.clone()));
                for change in changes(example) {
                    pairs.push((schema.clone(), change));
                }
            }
        }
    }
    pairs
}

fn changes(value: &Value) -> Vec<Value> {
    let Some(members) = value.as_object() else { return Vec::new() };
    let mut all = Vec::new();
    for (name, member) in members {
        let mut without = value.clone();
        without.as_object_mut().unwrap().remove(name);
        all.push(without);
        for other in [Value::Null, Value::from(7), Value::from("x")] {
            let mut changed = value.clone();
            changed[name] = other;
            all.push(changed);
        }
        for inner in changes(member).into_iter().take(4) {
            let mut changed = value.clone();
            changed[name] = inner;
            all.push(changed);
        }
    }
    all
}

#[test]
fn our_judge_of_schemas_says_what_another_one_says() {
    let document = fixture("openapi.json");
    let ours = Schema { components: &document["components"] };
    // The other one does not look at formats; those are left out on both sides.
    let plain = without_formats(&document);
    let pairs = pairs(&plain);
    assert!(pairs.len() > 1000, "{} pairs", pairs.len());
    let script = "tests/fake_github/judges/verdicts.py";
    let mut child = python_tool("python").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut text = format!("{}\n", plain["components"]);
    for (schema, value) in &pairs {
        text += &format!("{}\n", serde_json::json!([schema, value]));
    }
    let writing = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    let theirs: Vec<bool> = serde_json::from_slice(&output.stdout).unwrap();
    let plain_ours = Schema { components: &plain["components"] };
    let mut fitting = 0;
    for ((schema, value), theirs) in pairs.iter().zip(&theirs) {
        let wrong = plain_ours.judge(schema, value, "");
        fitting += u32::from(*theirs);
        assert_eq!(
            wrong.is_empty(),
            *theirs,
            "{wrong:?}\n{schema}\n{}",
            value.to_string().chars().take(600).collect::<String>()
        );
    }
    assert!(fitting > 200 && theirs.len() == pairs.len() && theirs.iter().any(|fits| !fits));
    let date = serde_json::json!({"type": "string", "format": "date-time"});
    assert!(!ours.judge(&date, &Value::from("yesterday"), "").is_empty());
}

fn without_formats(value: &Value) -> Value {
    match value {
        Value::Array(entries) => entries.iter().map(without_formats).collect(),
        Value::Object(members) => {
            let kept = members.iter().filter(|(name, value)| *name != "format" || !value.is_string());
            Value::Object(kept.map(|(name, value)| (name.clone(), without_formats(value))).collect())
        }
        other => other.clone(),
    }
}

struct Emulator(Child);

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Its address and the key of its App.
fn emulator() -> (Emulator, String, String) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(node());
    command.arg("tests/fake_github/judges/emulate.mjs").arg(judges()).arg(port.to_string());
    command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = Emulator(command.spawn().unwrap());
    let stdout = BufReader::new(child.0.stdout.take().unwrap());
    let line = stdout.lines().map(Result::unwrap).find(|line| line.starts_with('{')).expect("it says where it is");
    let said: Value = serde_json::from_str(&line).unwrap();
    let text = |name: &str| said[name].as_str().unwrap().to_owned();
    (child, text("url"), text("key"))
}

/// The same repository in our fake.
async fn ours() -> (FakeGitHub, String) {
    let fake = FakeGitHub::start().await;
    fake.repository("ann/churn");
    fake.user("ann", "token-of-ann");
    fake.permit("ann/churn", "ann", "admin");
    let work = tempfile::tempdir().unwrap();
    git(work.path(), &["init", "-q", "-b", "main"]);
    std::fs::write(work.path().join("README.md"), "# churn\n").unwrap();
    git(work.path(), &["add", "."]);
    git(work.path(), &["commit", "-q", "-m", "first"]);
    fake.push(work.path(), "ann/churn", "main", at("2026-11-01T10:00:00Z"));
    std::fs::write(work.path().join("notes.txt"), "notes\n").unwrap();
    git(work.path(), &["add", "."]);
    git(work.path(), &["commit", "-q", "-m", "notes"]);
    fake.push(work.path(), "ann/churn", "topic", at("2026-11-02T10:00:00Z"));
    let (head_repo, head_branch, base_branch) = ("ann/churn".to_owned(), "topic".to_owned(), "main".to_owned());
    fake.open_pull("ann/churn", Pull { number: 1, head_repo, head_branch, base_branch, open: true });
    let (pem, public) = key();
    fake.state().apps.push(("soop-app".to_owned(), "4711".to_owned(), public));
    (fake, pem)
}

/// Everything that both can do, told without what differs by nature.
async fn told(api: &str, pem: &str) -> Vec<String> {
    let repo: RepoId = "ann/churn".parse().unwrap();
    let app = App {
        id: "4711".to_owned(),
        key: Secret::new("key", pem.as_bytes().to_vec()),
        repo: repo.clone(),
        installation: None,
    };
    let forge = GitHub::open(api, Login::App(app), &Reach::default()).unwrap();
    let me = forge.me().await.unwrap();
    let mut told = vec![format!("{me:?}")];
    let repository = forge.repository(&repo).await.unwrap();
    told.push(format!("{} {} {}", repository.name, repository.default_branch, repository.private));
    told.push(format!("{:?}", forge.permission(&repo, "ann").await));
    let pull = forge.pull(&repo, 1).await.unwrap();
    let ends = (&pull.head.branch, &pull.base.branch, &pull.head.repo);
    told.push(format!("{} {} {} {ends:?}", pull.number, pull.open, pull.is_fork()));
    told.push(format!("{:?}", forge.pull(&repo, 99).await));
    told.push(format!("{}", forge.commit(&repo, "topic").await.unwrap() == pull.head.commit));
    let compared = forge.compare(&repo, "main", "topic").await.unwrap();
    told.push(format!("{} {}", compared.ahead, compared.behind));
    for (path, reference) in [("notes.txt", "topic"), ("notes.txt", "main"), ("no such", "main")] {
        told.push(format!("{path} {reference} {:?}", forge.contents(&repo, path, reference).await));
    }
    let first = forge.add_comment(&repo, 1, "first").await.unwrap();
    forge.add_comment(&repo, 1, "second").await.unwrap();
    let edited = forge.edit_comment(&repo, 1, first.id, "edited").await.unwrap();
    told.push(format!("{} {} {:?}", edited.body, edited.number, edited.id == first.id));
    told.push(format!("{:?}", forge.edit_comment(&repo, 1, 999_999, "x").await));
    for comment in forge.comments(&repo, 1).await.unwrap() {
        told.push(format!("{} {} {}", comment.body, comment.author.login, me.wrote(&comment.author)));
    }
    forge.add_labels(&repo, 1, &["bug".to_owned()]).await.unwrap();
    let check = |state| CheckRun {
        name: "soop".to_owned(),
        state,
        title: "t".to_owned(),
        summary: "s".to_owned(),
        details_url: None,
    };
    let id = forge.create_check(&repo, &pull.head.commit, &check(CheckState::InProgress)).await.unwrap();
    let done = check(CheckState::Completed(CheckConclusion::Success));
    told.push(format!("{:?}", forge.update_check(&repo, id, &done).await));
    told
}

#[tokio::test]
async fn an_independent_github_in_small_answers_as_ours_does() {
    let (fake, pem) = ours().await;
    let expected = told(&fake.api(), &pem).await;
    let (_emulator, url, key) = emulator();
    assert_eq!(told(&url, &key).await, expected);
}
