//! A server's file, an event, and effects that note what they are asked.

use std::sync::Mutex;

use async_trait::async_trait;
use serde_json::{Value, json};
use soopervisor::server::action::arguments::{
    Chat, Check, Command, Comment, Dispatch, Http, Label, Log, Mail, Run, Shell, Status, Trigger,
};
use soopervisor::server::action::{Answer, Call, EffectFault, Effects, scripts};
use soopervisor::server::event::{Event, Kind, Source};
use soopervisor::server::file::{File, parse};
use soopervisor::server::handler::{Memory, Report, decide, execute};

/// Reads a server's file that has to be right.
pub(crate) fn file(text: &str) -> File {
    let (file, found) = parse("server.yaml", text.as_bytes());
    let style = soopervisor::diag::render::Style { color: false, unicode: true, width: 100 };
    file.unwrap_or_else(|| panic!("{}", soopervisor::diag::render::human(&found, style)))
}

/// An event with a commit.
pub(crate) fn event(kind: Kind, repo: &str, reference: &str) -> Event {
    let mut event = Event::new(kind, repo, "2026-11-28T12:00:00Z".parse().unwrap(), Source::Webhook);
    event.reference = Some(reference.to_owned());
    event.before = Some("a".repeat(40).parse().unwrap());
    event.after = Some("b".repeat(40).parse().unwrap());
    event.default_branch = Some("main".to_owned());
    event
}

/// Effects that note what they are asked; what a test names breaks.
#[derive(Default)]
pub(crate) struct Noting {
    done: Mutex<Vec<String>>,
    /// A word; what holds it breaks.
    pub(crate) broken: Option<&'static str>,
}

impl Noting {
    pub(crate) fn done(&self) -> Vec<String> {
        self.done.lock().unwrap().clone()
    }

    fn note(&self, what: String, result: Value) -> Answer {
        let breaks = self.broken.is_some_and(|word| what.contains(word));
        self.done.lock().unwrap().push(what);
        if breaks { Err(EffectFault::with("it broke", result)) } else { Ok(result) }
    }
}

#[async_trait]
impl Effects for Noting {
    async fn run(&self, call: &Call<'_>, wanted: Run) -> Answer {
        let what = format!("run {} {}", call.event.repo, wanted.mode.unwrap_or_else(|| "full".to_owned()));
        self.note(what, json!({"url": "https://ci/runs/1", "duration": "2s", "seconds": 2.0}))
    }
    async fn shell(&self, call: &Call<'_>, wanted: Shell) -> Answer {
        let picked = match &wanted.script {
            Some(script) => std::slice::from_ref(script),
            None => scripts::pick(&wanted.scripts, &call.event.repo, call.event.branch())?,
        };
        let workspace = wanted.workspace.unwrap_or_else(|| "commit".to_owned());
        let result = json!({"code": 1, "output": "make: no rule\nstopped", "lines": ["make: no rule", "stopped"]});
        self.note(format!("shell {picked:?} {:?} {workspace}", wanted.env), result)
    }
    async fn comment(&self, _call: &Call<'_>, wanted: Comment) -> Answer {
        self.note(format!("comment {}", wanted.body), Value::Null)
    }
    async fn status(&self, _call: &Call<'_>, wanted: Status) -> Answer {
        self.note(format!("status {} {:?}", wanted.state, wanted.context), Value::Null)
    }
    async fn check(&self, _call: &Call<'_>, wanted: Check) -> Answer {
        self.note(format!("check {}", wanted.conclusion), Value::Null)
    }
    async fn label(&self, _call: &Call<'_>, wanted: Label) -> Answer {
        self.note(format!("label {:?}", wanted.add), Value::Null)
    }
    async fn command(&self, _call: &Call<'_>, _wanted: Command) -> Answer {
        self.note("command".to_owned(), json!({"command": "run"}))
    }
    async fn dispatch(&self, _call: &Call<'_>, wanted: Dispatch) -> Answer {
        self.note(
            format!("dispatch {} {:?} {:?}", wanted.repo, wanted.event_type, wanted.inputs),
            json!({"triggered": true}),
        )
    }
    async fn http(&self, _call: &Call<'_>, wanted: Http) -> Answer {
        self.note(format!("http {} {}", wanted.method.unwrap_or_default(), wanted.url), Value::Null)
    }
    async fn mail(&self, _call: &Call<'_>, wanted: Mail) -> Answer {
        self.note(format!("mail {:?}: {}", wanted.to, wanted.subject), Value::Null)
    }
    async fn chat(&self, _call: &Call<'_>, wanted: Chat) -> Answer {
        self.note(format!("chat {}", wanted.service), Value::Null)
    }
    async fn trigger(&self, call: &Call<'_>, wanted: Trigger) -> Answer {
        self.note(format!("trigger {:?} from {}", wanted.repos, call.event.repo), Value::Null)
    }
    async fn log(&self, _call: &Call<'_>, wanted: Log) -> Answer {
        self.note(format!("log {}", wanted.text), Value::Null)
    }
}

/// Everything that a file does for an event, and what was asked of the effects.
pub(crate) async fn play(file: &File, event: &Event, broken: Option<&'static str>) -> (Vec<Report>, Vec<String>) {
    let effects = Noting { broken, ..Noting::default() };
    let mut reports = Vec::new();
    for plan in decide(&file.handlers, event) {
        reports.push(execute(&plan, &file.notify, &effects, &Memory::default()).await.unwrap());
    }
    (reports, effects.done())
}
