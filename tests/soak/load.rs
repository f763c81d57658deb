//! What happens in a round: pushes, pull requests, comments, statuses, runs asked for by hand; and how a forge, which doubles,
//! delays and forgets, tells of it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use aws_lc_rs::hmac;
use serde_json::{Value, json};
use soopervisor::secret::Secret;

use super::forge::Forge;

const SECRET: &str = "a secret of the soak test";

pub(crate) fn secret() -> Secret {
    Secret::new("hook", SECRET.as_bytes().to_vec())
}

/// The same numbers in every run.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below this one.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % limit
    }
}

/// Something that is done to the world.
pub(crate) enum Act {
    /// A branch moves, is made, or goes away.
    Move { repo: usize, reference: String, to: Option<String> },
    /// A webhook arrives: event, delivery, body.
    Deliver(String, String, Vec<u8>),
    /// Somebody asks for a run of `main`.
    Ask(usize),
}

/// A round's acts in their order, and what has to come of them besides moved refs.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) acts: VecDeque<Act>,
    /// Names of what happened, as handlers repeat them.
    pub(crate) expected: BTreeSet<String>,
    /// How many things happened.
    pub(crate) happened: usize,
}

impl Plan {
    pub(crate) fn of(round: usize, count: usize, forge: &Forge) -> Self {
        let heads = forge.repos().clone();
        let urls = (0..heads.len()).map(|repo| forge.url(repo)).collect();
        let dice = Dice::new(round as u64 + 7);
        let mut writer = Writer { plan: Self::default(), dice, placed: Vec::new(), heads, urls };
        for number in 0..count {
            writer.one(number, round * count + number);
        }
        writer.placed.sort_by_key(|(place, _)| *place);
        let Writer { mut plan, placed, .. } = writer;
        plan.acts = placed.into_iter().map(|(_, act)| act).collect();
        plan.happened = count;
        plan
    }
}

struct Writer {
    plan: Plan,
    dice: Dice,
    /// Acts by their place in the order.
    placed: Vec<(usize, Act)>,
    heads: Vec<std::collections::BTreeMap<String, String>>,
    urls: Vec<String>,
}

impl Writer {
    fn one(&mut self, place: usize, id: usize) {
        let repo = self.dice.below(self.urls.len());
        match self.dice.below(100) {
            0..40 => self.push(place, id, repo),
            40..65 => {
                let comment = json!({"id": id, "body": "hello", "user": {"login": "ada"}});
                let issue = json!({"number": 7, "pull_request": {}});
                self.hook(
                    place,
                    id,
                    repo,
                    "issue_comment",
                    json!({"action": "created", "issue": issue, "comment": comment}),
                );
                self.plan.expected.insert(format!("acme/r{repo} comment {id}"));
            }
            65..85 => {
                let pull = json!({"number": id, "updated_at": "t"});
                self.hook(place, id, repo, "pull_request", json!({"action": "opened", "pull_request": pull}));
                self.plan.expected.insert(format!("acme/r{repo} pull {id}"));
            }
            85..90 => {
                let status = json!({"id": id, "sha": format!("{id:040x}"), "state": "success", "context": "ci"});
                self.hook(place, id, repo, "status", status);
                self.plan.expected.insert(format!("acme/r{repo} status {id}"));
            }
            _ => self.placed.push((place, Act::Ask(repo))),
        }
    }

    fn push(&mut self, place: usize, id: usize, repo: usize) {
        let reference = format!("refs/heads/{}", ["main", "topic", "other"][self.dice.below(3)]);
        let before = self.heads[repo].get(&reference).cloned();
        let goes = before.is_some() && !reference.ends_with("main") && self.dice.below(10) == 0;
        let to = (!goes).then(|| format!("{:040x}", 0xF000_0000 + id));
        match &to {
            Some(to) => self.heads[repo].insert(reference.clone(), to.clone()),
            None => self.heads[repo].remove(&reference),
        };
        let zeros = "0".repeat(40);
        let body = json!({"ref": reference, "before": before.as_ref().unwrap_or(&zeros), "after": to.as_ref().unwrap_or(&zeros)});
        self.placed.push((place, Act::Move { repo, reference, to }));
        // Of one in ten nobody hears but who asks git.
        if self.dice.below(10) > 0 {
            self.hook(place, id, repo, "push", body);
        }
    }

    /// Under one id or two, once or twice each, now or after what happens later.
    fn hook(&mut self, place: usize, id: usize, repo: usize, event: &str, mut body: Value) {
        body["repository"] = json!({"clone_url": self.urls[repo], "default_branch": "main"});
        body["sender"] = json!({"login": "ada"});
        let hooks = 1 + usize::from(self.dice.below(5) == 0);
        for hook in 0..hooks {
            for _ in 0..=usize::from(self.dice.below(5) == 0) {
                let late = self.dice.below(64);
                let act = Act::Deliver(event.to_owned(), format!("{id}-{hook}"), body.to_string().into_bytes());
                self.placed.push((place + late, act));
            }
        }
    }
}

/// Where the server is at this moment.
pub(crate) type Base = Arc<RwLock<String>>;

/// Does what a plan says until nothing is left of it.
#[derive(Clone)]
pub(crate) struct Sender {
    pub(crate) base: Base,
    pub(crate) forge: Forge,
    pub(crate) client: reqwest::Client,
    pub(crate) acts: Arc<Mutex<VecDeque<Act>>>,
    /// Requests by hand that were accepted, and those of which nobody knows.
    pub(crate) asked: Arc<Mutex<(usize, usize)>>,
}

impl Sender {
    pub(crate) async fn run(self) {
        loop {
            let Some(act) = self.acts.lock().unwrap().pop_front() else { return };
            match act {
                Act::Move { repo, reference, to } => {
                    let mut repos = self.forge.repos();
                    match to {
                        Some(to) => repos[repo].insert(reference, to),
                        None => repos[repo].remove(&reference),
                    };
                }
                Act::Deliver(event, delivery, body) => self.deliver(&event, &delivery, body).await,
                Act::Ask(repo) => self.ask(repo).await,
            }
        }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base.read().unwrap())
    }

    /// Until the server says that it has it: what nobody answered for is nobody's loss.
    async fn deliver(&self, event: &str, delivery: &str, body: Vec<u8>) {
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        let proof = format!("sha256={}", hex::encode(hmac::sign(&key, &body)));
        loop {
            let request = self.client.post(self.at("/hooks/github")).header("X-GitHub-Event", event);
            let request = request.header("X-GitHub-Delivery", delivery).header("X-Hub-Signature-256", &proof);
            let sent = request.header("Content-Type", "application/json").body(body.clone()).send().await;
            match sent.map(|response| response.status().as_u16()) {
                Ok(200 | 202) => return,
                // It is being stopped, or is not there.
                Ok(503) | Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                Ok(other) => panic!("{event} {delivery}: {other}"),
            }
        }
    }

    async fn ask(&self, repo: usize) {
        loop {
            let ask = json!({"repo": format!("acme/r{repo}"), "ref": "main", "mode": "sample"});
            let sent = self.client.post(self.at("/api/trigger")).json(&ask).send().await;
            match sent.map(|response| response.status().as_u16()) {
                Ok(202) => {
                    self.asked.lock().unwrap().0 += 1;
                    return;
                }
                Err(error) if error.is_connect() => {}
                // It ends, and says that nothing was written.
                Ok(503) => {}
                // It was being stopped: it may have been written, or not.
                Ok(500 | 502) | Err(_) => self.asked.lock().unwrap().1 += 1,
                Ok(other) => panic!("{other}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
