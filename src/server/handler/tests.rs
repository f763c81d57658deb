//! Plans step by step: order, results, callbacks, groups.

use std::sync::Mutex;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::rehearse::rehearse;
use super::{Memory, Report, State, decide, execute};
use crate::server::action::arguments::{
    Chat, Check, Command, Comment, Dispatch, Http, Label, Log, Mail, Run, Shell, Status, Trigger,
};
use crate::server::action::{Answer, Call, EffectFault, Effects};
use crate::server::event::{Event, Kind, Source};
use crate::server::file::{File, parse};

mod interrupted;
mod reading;

/// Effects that note what they were asked, and fail, are called off or panic where the text says so.
#[derive(Default)]
pub(in crate::server) struct Noting(Mutex<Vec<String>>);

impl Noting {
    fn done(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn note(&self, call: &Call<'_>, what: &str, result: Value) -> Answer {
        self.0.lock().unwrap().push(format!("{} {what}", call.key.index));
        assert!(!what.contains("a fault of our own"), "as wanted");
        match what {
            what if what.contains("fail") => Err(EffectFault::with("it broke", result)),
            what if what.contains("nowhere") => Err(EffectFault::needless("there is no such place")),
            what if what.contains("called off") => Err(EffectFault::called_off("superseded by run 7", result)),
            _ => Ok(result),
        }
    }
}

#[async_trait]
impl Effects for Noting {
    async fn run(&self, call: &Call<'_>, wanted: Run) -> Answer {
        let result = json!({"url": "https://ci/runs/1", "duration": "2s", "seconds": 2, "previous": "failed"});
        self.note(call, &format!("run {:?} {:?}", wanted.mode, wanted.reference), result)
    }
    async fn shell(&self, call: &Call<'_>, wanted: Shell) -> Answer {
        let result = json!({"code": 0, "output": "line one\nline two", "lines": ["line one", "line two"]});
        self.note(call, &format!("shell {:?} {:?}", wanted.script.unwrap_or_default(), wanted.env), result)
    }
    async fn comment(&self, call: &Call<'_>, wanted: Comment) -> Answer {
        self.note(call, &format!("comment {}", wanted.body), json!({"id": "9"}))
    }
    async fn status(&self, call: &Call<'_>, wanted: Status) -> Answer {
        self.note(call, &format!("status {}", wanted.state), Value::Null)
    }
    async fn check(&self, call: &Call<'_>, wanted: Check) -> Answer {
        self.note(call, &format!("check {}", wanted.conclusion), Value::Null)
    }
    async fn label(&self, call: &Call<'_>, wanted: Label) -> Answer {
        self.note(call, &format!("label {:?}", wanted.add), Value::Null)
    }
    async fn command(&self, call: &Call<'_>, _wanted: Command) -> Answer {
        self.note(call, "command", json!({"command": "run"}))
    }
    async fn dispatch(&self, call: &Call<'_>, wanted: Dispatch) -> Answer {
        self.note(call, &format!("dispatch {}", wanted.repo), json!({"triggered": true}))
    }
    async fn http(&self, call: &Call<'_>, wanted: Http) -> Answer {
        self.note(call, &format!("http {}", wanted.url), json!({"code": 200, "json": {"version": 3}}))
    }
    async fn mail(&self, call: &Call<'_>, wanted: Mail) -> Answer {
        self.note(call, &format!("mail {:?} {} | {}", wanted.to, wanted.subject, wanted.text), Value::Null)
    }
    async fn chat(&self, call: &Call<'_>, wanted: Chat) -> Answer {
        self.note(call, &format!("chat {} {}", wanted.service, wanted.secret), Value::Null)
    }
    async fn trigger(&self, call: &Call<'_>, _wanted: Trigger) -> Answer {
        self.note(call, "trigger", json!({"repos": ["acme/report"]}))
    }
    async fn log(&self, call: &Call<'_>, wanted: Log) -> Answer {
        self.note(call, &format!("log {}", wanted.text), Value::Null)
    }
}

const HEAD: &str =
    "mail: {host: h, from: a@b}\nnotify:\n  team: {mail: [t@x, u@x], slack: env:S}\n  ops: {discord: env:D}\n";

fn file(handler: &str) -> File {
    let text = format!("{HEAD}handlers:\n  - name: h\n    on: [push, comment]\n{handler}");
    let (file, found) = parse("server.yaml", text.as_bytes());
    file.unwrap_or_else(|| panic!("{text}\n{found:#?}"))
}

fn event() -> Event {
    let mut event = Event::new(Kind::Push, "acme/churn", "2026-11-28T12:00:00Z".parse().unwrap(), Source::Poll);
    event.reference = Some("refs/heads/main".to_owned());
    event.after = Some("b".repeat(40).parse().unwrap());
    event.message = Some("Fix it".to_owned());
    event
}

async fn run(handler: &str) -> (Report, Vec<String>) {
    let (file, event, effects, journal) = (file(handler), event(), Noting::default(), Memory::default());
    let plans = decide(&file.handlers, &event);
    let report = execute(&plans[0], &file.notify, &effects, &journal).await.unwrap();
    (report, effects.done())
}

fn states(report: &Report) -> Vec<(String, State)> {
    report.steps.iter().map(|step| (step.index.clone(), step.state)).collect()
}

#[tokio::test]
async fn results_are_there_for_later_steps_by_name() {
    let (report, done) = run("    do:
      - shell: {script: make}
        name: build
      - run: {mode: sample}
      - comment: {body: '{{ run.status }} in {{ run.duration }}: {{ run.url }}; {{ build.lines|last }}'}
      - http: {url: 'https://x/{{ event.branch }}'}
      - log: {text: '{{ http.json.version }} {{ http.code }}'}\n")
    .await;
    assert_eq!(report.state, State::Succeeded);
    assert_eq!(
        done[2..],
        ["2 comment succeeded in 2s: https://ci/runs/1; line two", "3 http https://x/main", "4 log 3 200"]
    );
}

#[tokio::test]
async fn who_names_a_branch_does_not_choose_the_path_of_a_request() {
    let text = "    do: [{http: {url: 'https://x/deploy/{{ event.branch }}/preview?n={{ event.branch }}'}}]\n";
    let mut event = event();
    let encoded = "0 http https://x/deploy/q%2F%252e%2Fadmin%23/preview?n=q%2F%252e%2Fadmin%23";
    for (branch, wanted) in [("q/%2e/admin#", Ok(encoded)), ("..", Err("leads to another folder"))] {
        event.reference = Some(format!("refs/heads/{branch}"));
        let (file, effects) = (file(text), Noting::default());
        let plans = decide(&file.handlers, &event);
        let report = execute(&plans[0], &file.notify, &effects, &Memory::default()).await.unwrap();
        match wanted {
            Ok(done) => assert_eq!(effects.done(), [done]),
            Err(why) => assert!(report.error.unwrap().contains(why) && effects.done().is_empty()),
        }
    }
}

#[test]
fn a_rehearsal_fills_in_what_an_answer_may_hold_and_shows_addresses_as_they_will_be() {
    let file = file(
        "    do:
      - {http: {url: 'https://x/'}, name: p1}
      - http: {url: 'https://x/{{ p1.json.deep }}/{{ event.message }}'}
      - log: {text: '{{ p1.json.list[0].n }}{% for one in p1.json.list %} {{ one.n }}{% endfor %}'}\n",
    );
    let rehearsed = rehearse(&file.handlers, &event());
    let steps = &rehearsed[0].steps;
    assert!(steps.iter().all(|step| step.error.is_none()), "{steps:?}");
    assert_eq!(steps[1].arguments["url"], "https://x/‹p1.json.deep›/Fix%20it");
    assert_eq!(steps[2].arguments["text"], "‹p1.json.list[0].n› ‹p1.json.list[0].n›");
}

#[tokio::test]
async fn a_chain_stops_at_the_first_failure_unless_the_step_lets_it_go_on() {
    let (report, done) = run("    do:
      - log: {text: fail softly}
        continue: true
      - log: {text: 'soft: {{ log.error }}'}
      - log: {text: fail hard}
      - log: {text: never}
    on_success: [{log: {text: wrong}}]
    on_failure:
      - log: {text: '{{ failure.step }} {{ failure.action }}: {{ failure.error }}'}
      - log: {text: fail too}
      - log: {text: all the same}
    always: [{log: {text: 'end, {{ log_3.status }}'}}]\n")
    .await;
    assert_eq!((report.state, report.error.as_deref()), (State::Failed, Some("it broke")));
    assert_eq!(
        done,
        [
            "0 log fail softly",
            "1 log soft: it broke",
            "2 log fail hard",
            "on_failure.0 log log_3 log: it broke",
            "on_failure.1 log fail too",
            "on_failure.2 log all the same",
            "always.0 log end, failed",
        ]
    );
}

#[tokio::test]
async fn steps_have_callbacks_of_their_own() {
    let (report, done) = run("    do:
      - log: {text: work}
        before: [{log: {text: pre}}]
        on_success: [{log: {text: 'post {{ log.status }}'}}]
        on_failure: [{log: {text: wrong}}]
        always: [{log: {text: last}}]
      - log: {text: fail}
        name: second
        continue: true
        on_success: [{log: {text: wrong}}]
        on_failure: [{log: {text: 'error {{ failure.step }}'}}]
      - log: {text: not reached}
        name: third
        continue: true
        before: [{log: {text: fail first}}, {log: {text: wrong}}]\n")
    .await;
    assert_eq!(report.state, State::Succeeded);
    assert_eq!(
        done,
        [
            "0/before.0 log pre",
            "0 log work",
            "0/on_success.0 log post succeeded",
            "0/always.0 log last",
            "1 log fail",
            "1/on_failure.0 log error second",
            "2/before.0 log fail first",
        ]
    );
    assert_eq!(states(&report).last(), Some(&("2".to_owned(), State::Failed)));
}

#[tokio::test]
async fn conditions_of_steps_see_what_came_before() {
    let (report, done) = run("    do:
      - run: {}
      - log: {text: recovered}
        when: run.previous == \"failed\" and run.status == \"succeeded\"
      - log: {text: wrong}
        when: run.seconds > 100
        name: slow
      - log: {text: '{{ slow.status }}'}\n")
    .await;
    assert_eq!(done[1..], ["1 log recovered", "3 log skipped"]);
    assert_eq!(report.steps[2].state, State::Skipped);
}

#[tokio::test]
async fn members_of_a_group_are_done_at_once_and_all_of_them() {
    let (report, done) = run("    do:
      - parallel:
          - log: {text: fail}
            name: a
          - log: {text: two}
            name: b
            always: [{log: {text: inner}}]
      - log: {text: never}
    on_failure: [{log: {text: '{{ a.status }} {{ b.status }}'}}]\n")
    .await;
    assert_eq!(report.state, State::Failed);
    assert_eq!(done.last().unwrap(), "on_failure.0 log failed succeeded");
    assert!(
        done.contains(&"0.1 log two".to_owned()) && done.contains(&"0.1/always.0 log inner".to_owned()),
        "{done:?}"
    );
}

#[tokio::test]
async fn what_is_called_off_ends_the_chain_and_neither_went_well_nor_failed() {
    let (report, done) = run("    do:
      - log: {text: called off}
        on_success: [{log: {text: wrong}}]
        on_failure: [{log: {text: wrong}}]
        always: [{log: {text: 'inner {{ log.status }}, {{ log.error }}, {{ failure.error }}'}}]
      - log: {text: never}
    on_success: [{log: {text: wrong}}]
    on_failure: [{log: {text: wrong}}]
    always: [{notify: {mail: me@x}}]\n")
    .await;
    assert_eq!((report.state, report.error.as_deref()), (State::Cancelled, Some("superseded by run 7")));
    assert_eq!(done[..2], ["0 log called off", "0/always.0 log inner cancelled, superseded by run 7, "]);
    assert!(done.len() == 3 && done[2].contains("h: called off for acme/churn (main)"), "{done:?}");
    let (report, done) = run("    do:
      - log: {text: called off}
        continue: true
      - log: {text: 'then {{ log.status }}'}\n")
    .await;
    assert_eq!((report.state, done.len()), (State::Succeeded, 2));
    // Of two at once, that one failed is what people have to know.
    let (report, done) = run("    do: [{parallel: [{log: {text: called off}}, {log: {text: fail}}]}]
    on_failure: [{log: {text: '{{ failure.step }}'}}]\n")
    .await;
    assert_eq!((report.state, report.error.as_deref()), (State::Failed, Some("it broke")));
    assert_eq!(done[2], "on_failure.0 log log_2");
}

#[tokio::test]
async fn what_has_nothing_to_be_done_to_is_skipped_says_why_and_the_chain_goes_on() {
    let (report, done) = run("    do:
      - log: {text: nowhere}
        when: event.branch == 'main'
        on_success: [{log: {text: wrong}}]
        on_failure: [{log: {text: wrong}}]
        always: [{log: {text: 'inner {{ log.status }}, {{ failure.error }}'}}]
      - log: {text: '{{ log.status }}: {{ log.error }}'}
    on_success: [{log: {text: well}}]\n")
    .await;
    assert_eq!((report.state, report.steps[0].state), (State::Succeeded, State::Skipped));
    assert_eq!(report.steps[0].error.as_deref(), Some("there is no such place"));
    assert_eq!(
        done,
        [
            "0 log nowhere",
            "0/always.0 log inner skipped, ",
            "1 log skipped: there is no such place",
            "on_success.0 log well"
        ]
    );
}

#[test]
fn a_handler_for_pushes_hears_of_new_branches_and_one_for_new_branches_of_no_push() {
    let text =
        "handlers: [{name: p, on: push, do: {log: {text: x}}}, {name: n, on: branch_created, do: {log: {text: x}}}]";
    let file = parse("server.yaml", text.as_bytes()).0.unwrap();
    let done = |kind| {
        let event = Event { kind, ..event() };
        decide(&file.handlers, &event).into_iter().map(|plan| plan.handler.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(done(Kind::Push), ["p"]);
    assert_eq!(done(Kind::BranchCreated), ["p", "n"]);
    assert!(done(Kind::BranchDeleted).is_empty() && done(Kind::TagCreated).is_empty());
}

#[tokio::test]
async fn everybody_is_told_once_and_one_who_cannot_be_told_does_not_silence_the_others() {
    let (report, done) =
        run("    do:\n      - notify: {to: [team, ops], mail: me@x, subject: \"S\\r\\nBcc: e@x\", text: T}\n").await;
    assert_eq!(report.state, State::Succeeded);
    assert_eq!(
        done,
        [
            r#"0/mail mail ["me@x"] S  Bcc: e@x | T"#,
            r#"0/team mail ["t@x", "u@x"] S  Bcc: e@x | T"#,
            "0/team.slack chat slack notify:team",
            "0/ops.discord chat discord notify:ops",
        ]
    );
    let (report, done) = run("    do: [{notify: {mail: fail@x, to: ops}}]\n").await;
    assert_eq!(report.error.as_deref(), Some("mail: it broke"));
    assert_eq!(done.len(), 2);
}

#[tokio::test]
async fn a_message_that_nobody_wrote_says_what_happened() {
    let (_, done) = run("    do: [{run: {ref: fail}}]\n    on_failure: [{notify: {mail: me@x}}]\n").await;
    assert_eq!(
        done[1],
        "on_failure.0/mail mail [\"me@x\"] h: failed for acme/churn (main) | h: failed for acme/churn (main)\n\
         `run`: it broke\nbbbbbbbbbb Fix it\nhttps://ci/runs/1"
    );
}

#[tokio::test]
async fn what_cannot_be_filled_in_fails_the_step_and_nothing_is_done() {
    let (report, done) = run("    do: [{log: {text: '{{ event.payload.no.such }}'}}]\n").await;
    assert!(report.error.unwrap().contains("could not be filled in"));
    assert!(done.is_empty());
}

#[test]
fn a_handler_is_for_its_kinds_repositories_and_criterion_and_never_for_our_own_comments() {
    let matches = |handler: &str, event: &Event| !decide(&file(handler).handlers, event).is_empty();
    let push = event();
    assert!(matches("    do: [{run: {}}]\n", &push));
    assert!(!matches("    enabled: false\n    do: [{run: {}}]\n", &push));
    assert!(matches("    repos: acme/*\n    do: [{run: {}}]\n", &push));
    assert!(!matches("    repos: [other/*]\n    do: [{run: {}}]\n", &push));
    assert!(!matches("    when: event.branch == 'x'\n    do: [{run: {}}]\n", &push));
    let mut tag = push.clone();
    tag.kind = Kind::TagCreated;
    assert!(!matches("    do: [{run: {}}]\n", &tag));
    let mut comment = push;
    comment.kind = Kind::Comment;
    comment.comment = Some(crate::server::event::Comment { body: "hello".to_owned(), ..Default::default() });
    assert!(matches("    do: [{run: {}}]\n", &comment));
    comment.comment =
        Some(crate::server::event::Comment { body: format!("{} h -->\nhello", super::OWN_MARK), ..Default::default() });
    assert!(!matches("    do: [{run: {}}]\n", &comment));
}
