//! Replicas: what they make readable, what they leave, and that no position moves.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::diag::SourceText;
use crate::spec::yaml::{MAX_BYTES, Node, Value, parse};

fn read(text: &str) -> (Option<Node>, Vec<crate::diag::Diagnostic>) {
    parse(&Arc::new(SourceText { name: "x.yaml".to_owned(), text: text.to_owned() }))
}

fn tree(text: &str) -> Node {
    let (node, found) = read(text);
    node.unwrap_or_else(|| panic!("{text:?}: {found:?}"))
}

/// The text at `a`, or at the first place of the list there.
fn text_at_a(text: &str) -> String {
    let node = tree(text);
    let value = node.get("a").unwrap();
    let value = value.as_seq().map_or(value, |items| &items[0]);
    value.as_str().unwrap_or_else(|| panic!("{text:?}: {value:?}")).to_owned()
}

fn error(text: &str) -> (&'static str, Option<(usize, usize)>) {
    let (node, found) = read(text);
    assert!(node.is_none(), "{text:?} was read");
    let last = found.last().unwrap();
    (last.code, last.line_column())
}

#[test]
fn a_comment_may_stand_right_behind_a_quote_or_a_bracket() {
    for text in [
        "a: \"x\"#c\n",
        "a: 'x'#c",
        "a: [x]#c\n",
        "a: [\"x\"#c\n]\n",
        "a: [#c\n x]\n",
        "a: [x,#é\n y]#\n",
        "b: {c: []#c\n}#c\na: x\n",
        "b: |\n  it's \"\na: \"x\"#c\n",
        "b: it's\na: 'x'#'\n",
        "a: \"x\"#c\r\nb: 1\r\n",
    ] {
        assert_eq!(text_at_a(text), "x", "{text:?}");
    }
    let node = tree("date: \"2021-12-30\"# Stop day\nnext: 1\n");
    assert_eq!(node.get("next").unwrap().value, Value::Int(1));
    for text in ["a: \"x\"#c\n  b", "a: |#c\n  x\n", "x: &x 1\na: [*x#c\n]\n", "a: !!str#c\n"] {
        assert!(read(text).0.is_none(), "{text:?} was read");
    }
}

#[test]
fn what_looks_like_a_comment_inside_of_a_text_stays_there() {
    for (text, expected) in [
        ("b: 'x'#c\na: '\"#\"#'\n", "\"#\"#"),
        ("b: 'x'#c\na: |\n  \"x\"#c\n", "\"x\"#c\n"),
        ("b: 'x'#c\na: x\"#c\n", "x\"#c"),
        ("- 'x'#c\n- a: >-\n   'y'#d\n   z\n", "'y'#d z"),
    ] {
        let node = tree(text);
        let node = node.as_seq().map_or(&node, |items| &items[1]);
        assert_eq!(node.get("a").unwrap().as_str(), Some(expected), "{text:?}");
    }
}

#[test]
fn a_text_in_quotes_goes_on_in_any_column() {
    for (text, expected) in [
        ("a: \"out\n/x\"\n", "out /x"),
        ("a: 'it''s\nhere'\nb: 1\n", "it's here"),
        ("a: \"x  \n\t y\"\n", "x y"),
        ("a: \"x\n\n\ny\"\n", "x\n\ny"),
        ("a: \"x\\\ny\"\n", "xy"),
        ("a: \"x\\\n\n y\"\n", "x\ny"),
        ("a: \"\\x41\\u00e9\\U0001F600\\t\\\"\\\\\n\\N\"\n", "Aé\u{1F600}\t\"\\ \u{85}"),
        ("a: \"x\r\ny\"\r\n", "x y"),
        ("a: \"x\n---y\"\n", "x ---y"),
        ("a: [\n\"x\ny\", z]\n", "x y"),
        ("a:\n- \"select *\nfrom t\"#c\n", "select * from t"),
        ("a: \"x\u{2028}y\"\n", "x\u{2028}y"),
        ("a: \"x\u{85}y\"\n", "x y"),
    ] {
        assert_eq!(text_at_a(text), expected, "{text:?}");
    }
    for text in ["a: \"x\n---\n\"\n", "a: \"x\n... y\"\n", "a: \"x\n", "a: \"x\\q\ny\"\n", "a: \"x\ny\"z\n"] {
        assert!(read(text).0.is_none(), "{text:?} was read");
    }
}

#[test]
fn a_lonely_dash_in_brackets_and_a_mark_are_text() {
    for (text, expected) in [
        ("a: [-]\n", "-"),
        ("a: [-, b]\n", "-"),
        ("a: \u{FEFF}x y\n", "\u{FEFF}x y"),
        ("a: [\u{FEFF}]\n", "\u{FEFF}"),
        ("a: \u{FEFF}\n", "\u{FEFF}"),
    ] {
        assert_eq!(text_at_a(text), expected, "{text:?}");
    }
    assert!(tree("{-}").get("-").unwrap().is_null());
    assert!(read("a: [- x]\n").0.is_none());
}

#[test]
fn a_line_ends_where_pyyaml_ends_it() {
    for text in ["a: x\u{2028}b: 1\n", "a: x\u{85}b: 1\n", "# c\u{2029}b: 1\na: x\n", "a: x\n\u{2028}\nb: 1\n"] {
        let node = tree(text);
        assert_eq!(node.get("a").unwrap().as_str(), Some("x"), "{text:?}");
        assert_eq!(node.get("b").unwrap().value, Value::Int(1), "{text:?}");
    }
    for start in ODD_BREAKS {
        assert_eq!(error(&format!("a: {start}x\n")).0, "yaml/syntax", "{start:?}");
        assert_eq!(error(&format!("# c{start} y\na: 1\n")).0, "yaml/syntax", "{start:?}");
        assert_eq!(text_at_a(&format!("a: {start}  x\n")), "x", "{start:?}");
        assert_eq!(text_at_a(&format!("a: x{start}\n")), "x", "{start:?}");
    }
}

#[test]
fn positions_behind_what_was_written_otherwise_are_those_of_the_text() {
    let text = "é: \"ü\ny\"#é\nb: 1\nb: 2\n";
    let (node, found) = read(text);
    assert_eq!((found[0].code, found[0].line_column()), ("yaml/duplicate-key", Some((4, 1))));
    let node = node.unwrap();
    let span = node.get("é").unwrap().span;
    assert_eq!(&text[span.start..span.start + span.len], "\"ü\ny\"");
    assert_eq!(error("a: \"x\ny\"#é\n---\nb: 2\n"), ("yaml/many-documents", Some((3, 1))));
    assert_eq!(error("a: 'x'#é\nb: [c, d?]\n"), ("yaml/syntax", Some((2, 8))));
    assert_eq!(error("a: x\u{2028}b: =\n"), ("yaml/value", Some((1, 9))));
}

#[test]
fn what_the_parser_takes_as_it_is_has_no_replica() {
    for text in ["", "a: 'x' # c\n", "a: [x, -y] #c\n", "# c\na: x#y\nb: |\n  'z'#\n", "a: it's\n\n- b\n", "a: \"x"] {
        assert!(Replica::of(text).is_none(), "{text:?}");
    }
}

#[test]
fn megabytes_with_a_replica_are_read_or_refused_within_seconds() {
    let (started, size) = (Instant::now(), MAX_BYTES / 4);
    let mut long = String::new();
    let filler = "é ".repeat(60);
    while long.len() < size {
        let _ = writeln!(long, "- \"{filler}\n{filler}\"#c");
    }
    assert!(tree(&long).as_seq().unwrap().len() > 5_000);
    let pieces =
        ["\"x\"#c\n", "- \"x\n\"#\n", "\"x\n", "[-,", "- ", "- - - |\n", "'\u{2028}", "#\n", "\u{FEFF} ", "'' "];
    for piece in pieces {
        let text = format!("a: \"b\"#c\n{}", piece.repeat(size / piece.len()));
        let _ = read(&text);
    }
    assert!(started.elapsed() < Duration::from_mins(1), "{:?}", started.elapsed());
}

proptest! {
    #[test]
    fn a_replica_is_as_long_as_its_text_and_differs_in_whole_characters(
        text in "(a|b: |- |\\n  |\\n|\\[|\\]|, |'q'|'|\"|#|é|\\||-|\\x{2028}|\\x{85}|\\x{FEFF}){0,40}"
    ) {
        if let Some(replica) = Replica::of(&text) {
            prop_assert_eq!(replica.text.len(), text.len());
            prop_assert_ne!(&replica.text, &text);
            for (at, c) in text.char_indices() {
                prop_assert!(replica.text.is_char_boundary(at));
                let now = &replica.text[at..at + c.len_utf8()];
                prop_assert!(now.is_ascii() || now.starts_with(c));
            }
        }
    }
}
