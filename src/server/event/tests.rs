//! Keys, views and the schema hold together.

use serde_json::Value;

use super::schema::{self, Shape};
use super::{Comment, Event, Kind, Pull, Source};

fn push(before: Option<char>, after: Option<char>) -> Event {
    let commit = |digit: char| digit.to_string().repeat(40).parse().unwrap();
    let mut event = Event::new(Kind::Push, "acme/churn", "2026-11-28T12:00:00Z".parse().unwrap(), Source::Poll);
    event.reference = Some("refs/heads/feat/x".to_owned());
    (event.before, event.after) = (before.map(commit), after.map(commit));
    event
}

#[test]
fn a_poll_and_a_webhook_that_saw_one_change_have_one_key() {
    let polled = push(Some('a'), Some('b'));
    let mut told = polled.clone();
    told.source = Source::Webhook;
    told.delivery = Some("72d3162e".to_owned());
    told.at = "2026-11-28T12:00:09Z".parse().unwrap();
    told.payload = serde_json::json!({"after": "b"});
    assert_eq!(polled.key(), told.key());
    assert_ne!(polled.key(), push(Some('b'), Some('c')).key());
    assert_ne!(polled.key(), push(None, Some('b')).key());
    assert_ne!(polled.key(), push(Some('a'), None).key());
}

#[test]
fn the_same_move_made_again_later_is_another_event() {
    let (mut first, mut again) = (push(Some('a'), Some('b')), push(Some('a'), Some('b')));
    (first.change, again.change) = (Some(1), Some(3));
    assert_ne!(first.key(), again.key());
}

#[test]
fn parts_of_a_key_cannot_run_into_one_another() {
    let status = |context: &str, state: &str| {
        let mut event = push(None, Some('a'));
        event.kind = Kind::CommitStatus;
        let (context, state) = (context.to_owned(), state.to_owned());
        event.status = Some(super::Status { context, state, ..super::Status::default() });
        event.key()
    };
    assert_ne!(status("a b", "c"), status("a", "b c"));
    assert_ne!(status("a%20b", "c"), status("a b", "c"));
    assert_ne!(status("", "c"), status("c", ""));
}

#[test]
fn two_actions_on_one_pull_request_are_two_events() {
    let pull = |action: &str, updated: &str| {
        let mut event = push(None, None);
        event.kind = Kind::PullRequest;
        let (action, updated) = (action.to_owned(), Some(updated.to_owned()));
        event.pull = Some(Pull { number: 7, action, updated, ..Pull::default() });
        event.key()
    };
    assert_eq!(pull("labeled", "T1"), pull("labeled", "T1"));
    assert_ne!(pull("labeled", "T1"), pull("labeled", "T2"));
    assert_ne!(pull("labeled", "T1"), pull("opened", "T1"));
}

/// Every name of the view is declared, every declared name is in the view.
fn agree(value: &Value, shape: &Shape, path: &str) {
    match (value, shape) {
        (Value::Object(map), Shape::Object(_)) => {
            for name in map.keys() {
                assert!(shape.field(name).is_some(), "{path}.{name} is not declared");
            }
            for name in shape.names() {
                agree(&map[name], &shape.field(name).unwrap().shape, &format!("{path}.{name}"));
            }
        }
        (Value::Null, _)
        | (_, Shape::Any)
        | (Value::Bool(_), Shape::Bool)
        | (Value::Number(_), Shape::Number)
        | (Value::String(_), Shape::Text) => {}
        (Value::Array(items), Shape::Texts | Shape::Paths) => assert!(items.iter().all(Value::is_string), "{path}"),
        (value, shape) => panic!("{path} is {value} where {} is declared", shape.kind()),
    }
}

#[test]
fn the_view_has_the_declared_names_and_no_others() {
    let mut full = push(Some('a'), Some('b'));
    full.pull = Some(Pull { number: 1, labels: vec!["big".to_owned()], ..Pull::default() });
    full.comment = Some(Comment::default());
    full.schedule = Some(super::Schedule::default());
    full.run = Some(super::FinishedRun { seconds: Some(1.5), ..super::FinishedRun::default() });
    full.artifact = Some(super::Artifact::default());
    full.status = Some(super::Status::default());
    full.paths = Some(vec!["src/a.py".to_owned()]);
    agree(&full.view(), schema::event(), "event");
    agree(&push(None, None).view(), schema::event(), "event");
    let view = full.view();
    assert_eq!((&view["branch"], &view["tag"], &view["repo_name"]), (&"feat/x".into(), &Value::Null, &"churn".into()));
}

#[test]
fn an_event_survives_being_stored() {
    let mut event = push(Some('a'), Some('b'));
    event.payload = serde_json::json!({"forced": false, "commits": []});
    let text = serde_json::to_string(&event).unwrap();
    assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    let least = r#"{"kind":"manual","repo":"r","at":"2026-11-28T12:00:00Z","source":"person"}"#;
    assert_eq!(serde_json::from_str::<Event>(least).unwrap().key(), "manual r 2026-11-28T12:00:00Z");
}

#[test]
fn names_in_files_and_in_json_are_the_same() {
    for kind in Kind::ALL {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        assert_eq!(kind.name().parse(), Ok(*kind));
    }
    for source in Source::ALL {
        assert_eq!(serde_json::to_value(source).unwrap(), source.name());
    }
}
