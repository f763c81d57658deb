//! Handlers as they are read: what is refused, and what is warned of, where it is written.

use super::file;
use crate::server::event::Kind;
use crate::server::file::{File, parse};
use crate::server::handler::{self, Handler};

#[test]
fn a_handler_that_hears_of_the_ends_of_its_own_runs_is_told_so_when_it_is_read() {
    let said = |handler: &str| {
        let text =
            format!("repos: {{url: 'https://h/a/b', storage: 'local:/x'}}\nhandlers:\n  - {{name: h, {handler}}}\n");
        let (file, found) = parse("server.yaml", text.as_bytes());
        assert!(file.is_some(), "it is a warning: {found:?}");
        found.iter().map(|one| (one.code, one.line_column().unwrap())).collect::<Vec<_>>()
    };
    for (handler, column) in [
        ("on: run_finished, do: {run: {}}", 19),
        ("on: [push, run_finished], do: {log: {text: x}}, on_failure: {trigger: {}}", 19),
        ("on: run_finished, when: event.branch == 'main', do: {run: {}}", 19),
    ] {
        assert_eq!(said(handler), [("server/circle", (3, column))], "{handler}");
    }
    for handler in [
        "on: run_finished, do: {log: {text: x}}",
        "on: push, do: {run: {}}",
        "on: run_finished, when: event.run.mode == 'sample' and event.run.status == 'succeeded', do: {run: {mode: full}}",
        "on: run_finished, when: event.repo == 'a/b', do: {trigger: {}}",
    ] {
        assert!(said(handler).is_empty(), "{handler}");
    }
}

#[test]
fn a_workflow_that_no_forge_can_have_is_refused_where_it_is_written() {
    let found = |workflow: &str| {
        let text = format!("{{name: x, on: push, do: {{dispatch: {{repo: a/b, workflow: {workflow}}}}}}}");
        handler::parse("handler", text.as_bytes(), &File::default()).1
    };
    for good in ["build.yml", "161335", "'{{ event.branch }}.yml'"] {
        assert!(found(good).is_empty(), "{good}: {:?}", found(good));
    }
    for bad in [".github/workflows/build.yml", "build"] {
        let found = found(bad);
        assert!(found.len() == 1 && found[0].message.contains("is no workflow"), "{bad}: {found:?}");
        let (source, span) = found[0].place.as_ref().unwrap();
        assert_eq!(&source.text[span.start..span.start + span.len], bad);
    }
}

#[test]
fn a_message_that_nobody_tells_of_is_warned_of_where_it_is_named() {
    let handlers = "handlers: [{name: h, on: push, do: {log: {text: '{{ event.message }}'}}}]\n";
    let (file, found) = parse("server.yaml", handlers.as_bytes());
    assert!(file.is_some() && found.len() == 1, "{found:#?}");
    assert_eq!((found[0].code, found[0].line_column()), ("server/message-of-poll", Some((1, 53))));
    let told = format!("webhooks: {{github: {{secrets: ['env:S']}}}}\n{handlers}");
    assert!(parse("server.yaml", told.as_bytes()).1.is_empty());
}

#[test]
fn one_handler_alone_is_read_as_the_api_takes_it() {
    let file = file("    do: [{run: {}}]\n");
    let json = r#"{"name": "x", "on": "push", "do": [{"notify": {"to": ["team"]}}]}"#;
    let (read, found) = handler::parse("handler.json", json.as_bytes(), &file);
    let read: Handler = read.unwrap_or_else(|| panic!("{found:?}"));
    assert_eq!((read.name.as_str(), read.on.as_slice()), ("x", &[Kind::Push][..]));
    let (none, found) = handler::parse("handler.json", json.replace("team", "nobody").as_bytes(), &file);
    assert!(none.is_none() && found[0].code == "server/reference", "{found:?}");
}
