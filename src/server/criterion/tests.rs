//! The language: what it says, what it refuses, and that no text can hurt it.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::ast::{Comparison, Expr, Form, Place};
use super::{Criterion, MAX_DEPTH, Scope, parse};
use crate::server::event::{Event, Kind, Source};

fn names(paths: Option<Vec<&str>>) -> Value {
    let mut event = Event::new(Kind::Push, "acme/churn", "2026-11-28T12:00:00Z".parse().unwrap(), Source::Webhook);
    event.reference = Some("refs/heads/feat/new-model".to_owned());
    event.after = Some("b".repeat(40).parse().unwrap());
    event.paths = paths.map(|paths| paths.into_iter().map(str::to_owned).collect());
    event.payload = json!({"size": 3, "commits": [{"message": "Fix: it"}], "head commit": {"n": 1.0}, "ok": true});
    json!({"event": event.view()})
}

fn compile(text: &str) -> Result<Criterion, Vec<super::Fault>> {
    Criterion::compile(text, &Scope::of(&[Kind::Push]))
}

fn holds(text: &str) -> bool {
    let criterion = compile(text).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
    criterion.holds(&names(Some(vec!["src/model.py", "README.md"])))
}

#[test]
fn expressions_mean_what_they_say() {
    for (text, wanted) in [
        (r#"event.branch.startswith("feat/")"#, true),
        ("event.branch.startswith('main')", false),
        (r#"event.branch.endswith("model") and event.repo == "acme/churn""#, true),
        (r#"event.branch == "main" or event.branch.glob("feat/*")"#, true),
        (r#"not event.branch.glob("feat/*")"#, false),
        ("not event.forced and not event.deleted", true),
        (r#"event.branch.matches("^feat/[a-z-]+$")"#, true),
        (r#"event.branch.matches("\d")"#, false),
        (r#"event.branch in ["main", "feat/new-model"]"#, true),
        (r#"event.branch not in ["main"]"#, true),
        (r#"event.branch.upper().contains("NEW")"#, true),
        ("event.branch.length() == 14", true),
        (r#"event.paths.any("src/**")"#, true),
        (r#"event.paths.all("src/**")"#, false),
        (r#"event.paths.all("src/**", "*.md")"#, true),
        (r#"event.paths.contains("README.md") and event.paths.known()"#, true),
        ("event.payload.size >= 3 and event.payload.size < 4", true),
        (r#"event.payload.commits[0].message.startswith("Fix")"#, true),
        (r#"event.payload["head commit"].n == 1"#, true),
        ("event.payload.ok", true),
        ("event.payload.size", false),
        (r#"event.payload.size == "3""#, false),
        ("(event.forced or event.branch != null) and event.delivery == null", true),
    ] {
        assert_eq!(holds(text), wanted, "{text}");
    }
}

#[test]
fn null_says_false_and_unknown_paths_match() {
    for (text, wanted) in [
        (r#"event.tag.startswith("v")"#, false),
        (r#"not event.tag.startswith("v")"#, true),
        ("event.tag.length() == 0", true),
        (r#"event.tag.lower() == "x""#, false),
        ("event.payload.nothing.at.all > 1", false),
        ("event.payload.nothing == null", true),
        (r#"event.tag in ["v1"]"#, false),
        (r#"event.paths.any("src/**")"#, true),
        (r#"event.paths.all("docs/**")"#, true),
        ("event.paths.known()", false),
    ] {
        let scope = Scope::of(&[]);
        assert_eq!(Criterion::compile(text, &scope).unwrap().holds(&names(None)), wanted, "{text}");
    }
}

/// The text with the first fault marked, the message and the help.
fn refused(text: &str) -> String {
    let faults = compile(text).expect_err(text);
    let one = &faults[0];
    let (before, rest) = text.split_at(one.start);
    let (place, after) = rest.split_at(one.len.min(rest.len()));
    format!("{before}»{place}«{after}\n  {}\n  {}", one.message, one.help.as_deref().unwrap_or("-"))
}

#[test]
fn what_is_wrong_is_said_at_its_place() {
    let wrong = [
        r#"event.brnch == "main""#,
        r#"branch == "main""#,
        r#"evnt.branch == "main""#,
        r#"event.branch.startsWith("x")"#,
        r#"event.branch.any("x")"#,
        "event.branch",
        "event.branch == 3",
        "event.branch < 3",
        r#"event.branch.matches("(")"#,
        r#"event.branch.matches("(a{1000}){1000}")"#,
        r#"event.branch.glob("[a")"#,
        "event.branch.startswith(event.actor)",
        "event.branch.startswith()",
        "event.pull.number == 1",
        r#"event.branch in "main""#,
        "event.branch in [1, 2]",
        r#"event.branch in ["a", 2]"#,
        "event.branch = 'main'",
        "event.forced && event.created",
        "!event.forced",
        "event.actor is null",
        "event.actor == None",
        r#""{{ event.branch }}" == "main" and {{ x }}"#,
        "event.",
        "(event.forced",
        "event.forced event.created",
        "glob(event.branch)",
        r#"event.branch == "main"#,
        "1 < 2 < 3",
        "event.branch.length",
        "event == event.payload[event]",
        "",
    ];
    let said: Vec<String> = wrong.iter().map(|text| refused(text)).collect();
    insta::assert_snapshot!("criterion_faults", said.join("\n\n"));
}

#[test]
fn all_faults_are_said_at_once() {
    let faults = compile(r#"event.brnch == "x" and event.branch.startswith(1) or evnt.forced"#).unwrap_err();
    assert_eq!(faults.len(), 3, "{faults:?}");
}

#[test]
fn depth_and_length_are_bounded() {
    let deep = |count: usize| format!("{}event.forced{}", "(".repeat(count), ")".repeat(count));
    assert!(parse(&deep(MAX_DEPTH)).is_ok() && parse(&deep(MAX_DEPTH + 1)).is_err());
    assert!(parse(&format!("{}true", "not ".repeat(1000))).is_err());
    assert!(parse(&format!("{}1{}", "[".repeat(1000), "]".repeat(1000))).is_err());
    assert!(parse(&format!("event{}", ".a".repeat(1000))).is_err());
    assert!(parse(&format!("event == \"{}\"", "x".repeat(5000))).is_err());
    // A long chain is one flat list.
    assert!(parse(&vec!["event.forced"; 200].join(" and ")).is_ok());
}

#[test]
fn the_part_that_decided_is_shown_with_what_it_saw() {
    let criterion = compile(r#"event.branch.startswith("feat/") and (event.forced or event.repo == "x/y")"#).unwrap();
    let reasons = criterion.explain(&names(None));
    assert_eq!(reasons.len(), 2);
    assert_eq!((reasons[0].expression.as_str(), reasons[0].holds), ("event.forced", false));
    assert_eq!(reasons[1].values, [("event.repo".to_owned(), json!("acme/churn"))]);
    let criterion = compile(r#"not event.branch.glob("feat/*")"#).unwrap();
    assert_eq!(criterion.explain(&names(None))[0].values, [("event.branch".to_owned(), json!("feat/new-model"))]);
}

fn expr() -> impl Strategy<Value = Expr> {
    let at = |form| Expr { form, place: Place::default() };
    let literal = prop_oneof![
        Just(Form::Null),
        any::<bool>().prop_map(Form::Bool),
        prop_oneof![Just(0.0), -1e15..1e15_f64, Just(1e300)].prop_map(Form::Number),
        "\\PC{0,8}|[\n\t\r\"'\\\\]{0,4}".prop_map(Form::Text),
    ]
    .prop_map(at);
    let list = prop::collection::vec(literal.clone(), 0..3).prop_map(move |items| at(Form::List(items)));
    let name = "[a-z_][a-z0-9_]{0,6}"
        .prop_filter("a word of the language", |name| !super::parser::RESERVED.contains(&name.as_str()));
    let leaf = prop_oneof![name.clone().prop_map(move |name| at(Form::Name(name))), literal.clone(), list];
    leaf.prop_recursive(4, 24, 3, move |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        let name = "[a-z]{1,6}";
        let signs = prop::sample::select(vec![
            Comparison::Equal,
            Comparison::Different,
            Comparison::Less,
            Comparison::AtMost,
            Comparison::More,
            Comparison::AtLeast,
            Comparison::In,
            Comparison::NotIn,
        ]);
        // `[…]` after a literal would be a second literal, and no word of the language begins so.
        let base = name.prop_map(move |name| Box::new(at(Form::Name(format!("x{name}")))));
        prop_oneof![
            (boxed.clone(), name).prop_map(|(of, name)| Form::Field(of, name)),
            (base, literal.clone()).prop_map(|(of, key)| Form::Item(of, Box::new(key))),
            (boxed.clone(), name, prop::collection::vec(literal.clone(), 0..3))
                .prop_map(|(of, method, arguments)| Form::Call { of, method, name: Place::default(), arguments }),
            boxed.clone().prop_map(Form::Not),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Form::And),
            prop::collection::vec(inner, 2..4).prop_map(Form::Or),
            (signs, boxed.clone(), boxed).prop_map(|(how, left, right)| Form::Compare(how, left, right)),
        ]
        .prop_map(at)
    })
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,200}") {
        let _ = compile(&text);
    }

    #[test]
    fn no_soup_of_words_makes_it_panic_and_what_compiles_evaluates(words in prop::collection::vec(prop::sample::select(vec![
        "event", ".", "branch", "paths", "payload", "any", "glob", "matches", "(", ")", "[", "]", "\"feat/*\"", "1", "-", ",",
        "and", "or", "not", "in", "==", "<", "null", "true", "forced", "'", "\\", "is",
    ]), 0..24)) {
        for text in [words.join(""), words.join(" ")] {
            if let Ok(criterion) = compile(&text) {
                let _ = criterion.holds(&names(None));
                let _ = criterion.explain(&names(None));
            }
        }
    }

    #[test]
    fn printing_and_reading_again_is_identity(expr in expr()) {
        let text = expr.to_string();
        prop_assume!(text.len() < super::MAX_BYTES);
        let again = parse(&text).map_err(|fault| TestCaseError::fail(format!("{text}: {fault:?}")))?;
        prop_assert_eq!(&again, &expr, "{}", text);
        prop_assert_eq!(again.to_string(), text);
    }
}
