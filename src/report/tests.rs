//! The same two runs through every reporter, against goldens.

use super::samples::{Shared, at, failure, success};
use super::*;

fn told(make: impl Fn(Out, Clock) -> Box<dyn Reporter>, events: &[RunEvent]) -> String {
    let sink = Shared::default();
    let clock: Clock = Box::new(|| at("2026-11-21T09:30:00Z"));
    let mut reporter = make(Out::new(Box::new(sink.clone())), clock);
    for event in events {
        reporter.event(event);
    }
    reporter.finish();
    sink.text()
}

#[test]
fn plain_lines_tell_the_whole_run() {
    let plain = |out, clock| -> Box<dyn Reporter> { Box::new(Plain::new(out, Style::default(), clock)) };
    insta::assert_snapshot!("plain_success", told(plain, &success()));
    insta::assert_snapshot!("plain_failure", told(plain, &failure()));
}

#[test]
fn quiet_keeps_the_card_and_the_last_line() {
    let style = Style { verbosity: Verbosity::Quiet, ..Style::default() };
    let plain = |out, clock| -> Box<dyn Reporter> { Box::new(Plain::new(out, style.clone(), clock)) };
    assert_eq!(told(plain, &success()), "2026-11-21T09:30:00Z done\n");
    let text = told(plain, &failure());
    assert!(text.contains("failed in step execute, task `fit`") && !text.contains("==>"), "{text}");
}

#[test]
fn json_is_one_object_a_line_with_a_schema() {
    let json = |out, clock| -> Box<dyn Reporter> { Box::new(Json::new(out, clock)) };
    let text = told(json, &success());
    for line in text.lines() {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((&object["schema"], &object["time"]), (&1.into(), &"2026-11-21T09:30:00Z".into()), "{line}");
        assert!(object["event"].is_string(), "{line}");
    }
    insta::assert_snapshot!("json_success", text);
    insta::assert_snapshot!("json_failure", told(json, &failure()));
}

#[test]
fn github_groups_steps_and_annotates_the_failure() {
    let github = |out, clock| -> Box<dyn Reporter> { Box::new(GitHub::new(out, Style::default(), clock, "t0k3n")) };
    insta::assert_snapshot!("github_success", told(github, &success()));
    insta::assert_snapshot!("github_failure", told(github, &failure()));
}

#[test]
fn a_warning_is_a_line_of_its_own_in_every_form_and_is_said_to_who_wants_to_hear_little() {
    let events = [RunEvent::Warned { step: crate::run::event::Step::Execute, text: "nothing was printed".to_owned() }];
    let style = Style { verbosity: Verbosity::Quiet, ..Style::default() };
    let plain = |out, clock| -> Box<dyn Reporter> { Box::new(Plain::new(out, style.clone(), clock)) };
    assert_eq!(told(plain, &events), "2026-11-21T09:30:00Z warning    nothing was printed\n");
    let json = |out, clock| -> Box<dyn Reporter> { Box::new(Json::new(out, clock)) };
    let object: serde_json::Value = serde_json::from_str(&told(json, &events)).unwrap();
    let said = (&object["event"], &object["step"], &object["text"]);
    assert_eq!(said, (&"step-warning".into(), &"execute".into(), &"nothing was printed".into()));
    let github = |out, clock| -> Box<dyn Reporter> { Box::new(GitHub::new(out, style.clone(), clock, "t0k3n")) };
    assert_eq!(told(github, &events), "::warning title=step execute::nothing was printed\n");
}

#[test]
fn the_format_follows_the_place() {
    let place = |vars: &'static [(&str, &str)]| {
        Format::detect(|name| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    };
    assert_eq!(place(&[("GITHUB_ACTIONS", "true"), ("CI", "true")]), Format::GitHub);
    assert_eq!(place(&[("CI", "true"), ("TERM", "xterm")]), Format::Plain);
    assert_eq!(place(&[("TERM", "dumb")]), Format::Plain);
    assert_eq!(place(&[]), Format::Plain);
}

#[test]
fn colour_is_never_in_lines_without_it() {
    let plain = |out, clock| -> Box<dyn Reporter> { Box::new(Plain::new(out, Style::default(), clock)) };
    assert!(!told(plain, &failure()).contains('\u{1b}'));
    let style = Style { color: true, ..Style::default() };
    let plain = |out, clock| -> Box<dyn Reporter> { Box::new(Plain::new(out, style.clone(), clock)) };
    let text = told(plain, &failure());
    assert!(text.contains("\u{1b}[1;31m") && !text.contains("evil"), "{text}");
}
