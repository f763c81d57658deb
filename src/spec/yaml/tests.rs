//! The YAML door against PyYAML's habits and against hostile documents.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn source(text: &str) -> Arc<SourceText> {
    Arc::new(SourceText { name: "x.yaml".to_owned(), text: text.to_owned() })
}

fn tree(text: &str) -> Node {
    let (node, found) = parse(&source(text));
    node.unwrap_or_else(|| panic!("{text:?}: {found:?}"))
}

fn value(text: &str) -> Value {
    tree(text).value
}

/// The one error, with its line and column.
fn error(text: &str) -> (&'static str, usize, usize) {
    let (node, found) = parse(&source(text));
    assert!(node.is_none(), "{text:?} was read");
    let errors: Vec<_> = found.iter().filter(|d| d.severity == crate::diag::Severity::Error).collect();
    assert_eq!(errors.len(), 1, "{found:?}");
    let (line, column) = errors[0].line_column().unwrap();
    (errors[0].code, line, column)
}

#[test]
fn reads_words_as_yaml_1_1_does() {
    for (text, expected) in [
        ("yes", Value::Bool(true)),
        ("Off", Value::Bool(false)),
        ("y", Value::Str("y".to_owned())),
        ("~", Value::Null),
        ("", Value::Null),
        ("NULL", Value::Null),
        ("none", Value::Str("none".to_owned())),
        ("010", Value::Int(8)),
        ("08", Value::Str("08".to_owned())),
        ("0o10", Value::Str("0o10".to_owned())),
        ("0x1F", Value::Int(31)),
        ("0b101", Value::Int(5)),
        ("1_000", Value::Int(1000)),
        ("-17", Value::Int(-17)),
        ("1:30", Value::Int(90)),
        ("190:20:30", Value::Int(685_230)),
        ("1.5", Value::Float(1.5)),
        ("1e5", Value::Str("1e5".to_owned())),
        ("1.0e+5", Value::Float(100_000.0)),
        ("3.10", Value::Float(3.1)),
        ("-.inf", Value::Float(f64::NEG_INFINITY)),
        ("2024-02-29", Value::Time("2024-02-29".to_owned())),
        ("'yes'", Value::Str("yes".to_owned())),
        ("!!str 3", Value::Str("3".to_owned())),
        ("! 3", Value::Str("3".to_owned())),
        ("!!int ' 1'", Value::Int(1)),
        ("!!bool yEs", Value::Bool(true)),
        ("!!float 1", Value::Float(1.0)),
        ("!!float '-1_0'", Value::Float(-10.0)),
        ("!!float '1:30'", Value::Float(90.0)),
        ("!!float 1e5", Value::Float(100_000.0)),
        ("!!float inf", Value::Float(f64::INFINITY)),
        ("!!timestamp '2024-02-29'", Value::Time("2024-02-29".to_owned())),
        ("2001-12-14 21:59:43 -5", Value::Time("2001-12-14 21:59:43 -5".to_owned())),
    ] {
        assert_eq!(value(text), expected, "{text:?}");
    }
}

#[test]
fn refuses_what_safe_load_refuses() {
    assert_eq!(error("a: 2023-02-29").0, "yaml/value");
    for value in ["=", "<<", "[=]", "[<<]", "0b_", "-0x_", "!!float x", "!!float ''", "!!bool y", "!!timestamp x"] {
        assert_eq!(error(&format!("a: {value}")).0, "yaml/value", "{value}");
    }
    for time in ["25:00:00", "21:61:00", "21:59:60", "21:59:43 +24:00", "21:59:43.5-99"] {
        assert_eq!(error(&format!("a: 2001-12-14 {time}")).0, "yaml/value", "{time}");
    }
    assert_eq!(error("a: !!python/object:os.system x").0, "yaml/value");
    assert_eq!(error("? [a]\n: 1").0, "yaml/key");
    assert_eq!(error("a: {{b}}"), ("yaml/key", 1, 5));
    assert_eq!(error("a: *b").0, "yaml/syntax");
}

#[test]
fn signs_that_are_words_of_yaml_are_keys_and_with_a_tag_or_quotes_values() {
    let number = |text: &str, key: &str| tree(text).get(key).unwrap().value.clone();
    assert_eq!(number("=: 1", "="), Value::Int(1));
    assert_eq!(number("'<<': 1", "<<"), Value::Int(1));
    assert_eq!(number("!!str <<: 1", "<<"), Value::Int(1));
    assert_eq!(number("a: !!str =", "a"), Value::Str("=".to_owned()));
    assert_eq!(number("a: '<<'", "a"), Value::Str("<<".to_owned()));
}

#[test]
fn in_brackets_a_question_mark_ends_a_text_and_a_colon_starts_none() {
    for value in ["[x?y]", "[x?]", "[ x ? y ]", "{x?: 1}", "[http://x/y?z=1]", "[[b], {c: d?}]", "[:b]", "{::1}"] {
        assert_eq!(error(&format!("a: {value}")).0, "yaml/syntax", "{value}");
    }
    assert_eq!(error("a: 1\nb: [c, x?y]\n"), ("yaml/syntax", 2, 8));
    for value in ["x?y", ":b", "http://x/y?z=1", "[\"x?y\"]", "{b: 'c?'}", "[? x]", "[?x]", "[x:y]"] {
        tree(&format!("a: {value}"));
    }
    let after = tree("a: [b, {c: d}]\ne: f?\n");
    assert_eq!(after.get("e").unwrap().as_str(), Some("f?"));
}

#[test]
fn names_of_anchors_are_letters_digits_dashes_and_underscores() {
    for name in ["a.b", "é", "x#c"] {
        assert_eq!(error(&format!("a: &{name} 1")), ("yaml/syntax", 1, 4), "{name}");
    }
    assert_eq!(tree("a: &x-1_B 1\nb: *x-1_B").get("b").unwrap().value, Value::Int(1));
}

#[test]
fn a_key_ends_in_the_line_that_it_starts_in_but_for_one_behind_a_question_mark() {
    for text in ["{\"a\n b\": 1}", "{'a\nb' : 1}", "{a\n b: 1}", "\"a\n b\": 1", "'a\u{2028}b': 1"] {
        assert_eq!(error(text).0, "yaml/syntax", "{text:?}");
    }
    for text in ["{? \"a\nb\" : 1}", "? \"a\n  b\"\n: 1", "? |\n  a\n  b\n: 1", "? a\n  b\n: 1"] {
        assert_eq!(tree(text).as_map().unwrap().len(), 1, "{text:?}");
    }
}

#[test]
fn the_last_of_two_equal_keys_wins_with_a_warning_at_the_second() {
    let (node, found) = parse(&source("a: 1\nb: 2\na: 3\n"));
    assert_eq!(node.unwrap().get("a").unwrap().value, Value::Int(3));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].code, found[0].line_column()), ("yaml/duplicate-key", Some((3, 1))));
}

#[test]
fn merges_mappings_with_the_own_key_and_the_first_source_winning() {
    let text = "a: &a {x: 1, y: 1}\nb: &b {x: 2, z: 2}\nc:\n  <<: [*a, *b]\n  y: 3\n";
    let (node, found) = parse(&source(text));
    assert_eq!(found, []);
    let node = node.unwrap();
    let c = node.get("c").unwrap();
    let number = |key: &str| c.get(key).unwrap().value.clone();
    assert_eq!((number("x"), number("y"), number("z")), (Value::Int(1), Value::Int(3), Value::Int(2)));
}

#[test]
fn spans_cover_what_was_written() {
    let text = "tasks:\n  - source: 'a.py'\n    product: é.ipynb\n";
    let node = tree(text);
    let task = &node.get("tasks").unwrap().as_seq().unwrap()[0];
    let slice = |node: &Node| &text[node.span.start..node.span.start + node.span.len];
    assert_eq!(slice(task.get("source").unwrap()), "'a.py'");
    assert_eq!(slice(task.get("product").unwrap()), "é.ipynb");
    assert_eq!(slice(task), "source: 'a.py'\n    product: é.ipynb");
    assert_eq!(slice(node.entry("tasks").unwrap().0), "tasks");
}

#[test]
fn says_where_a_tab_or_a_second_document_or_an_open_bracket_is() {
    assert_eq!(error("a:\n\t- b\n").0, "yaml/tab");
    assert_eq!(error("a:\n\t- b\n").1, 2);
    assert_eq!(error("a:\n  - b: c\n\td: e\n"), ("yaml/tab", 3, 1));
    assert_eq!(error("a:\n  - b: c\n    x: y\n  \td: e\n"), ("yaml/tab", 4, 3));
    assert_eq!(error("a: 1\n---\nb: 2\n"), ("yaml/many-documents", 2, 1));
    assert_eq!(error("a: [1,\n").0, "yaml/syntax");
}

#[test]
fn a_placeholder_without_quotes_is_told_to_be_quoted() {
    for text in ["a: {{b}}\n", "a: {{b}}/c\n", "- {{b}}/c\n"] {
        let (_, found) = parse(&source(text));
        assert!(found[0].help.as_ref().unwrap().contains("quotes"), "{text}: {found:?}");
    }
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_place() {
    let refused = |bytes: &[u8]| {
        let error = decode("x.yaml", bytes).unwrap_err();
        (error.code, error.line_column().unwrap())
    };
    assert_eq!(refused(b"a: 1\nb: caf\xE9\n"), ("yaml/encoding", (2, 7)));
    assert_eq!(refused(b"a: 1\nb: \0\n"), ("yaml/control-character", (2, 4)));
    assert_eq!(refused(b"a: \x1b[0m\n"), ("yaml/control-character", (1, 4)));
    assert_eq!(refused(b"\xFF\xFEa\0").0, "yaml/encoding");
    assert_eq!(decode("x", b"\xEF\xBB\xBFa: 1\r\n").unwrap().text, "a: 1\r\n");
}

#[test]
fn depth_of_ten_thousand_is_refused_in_every_style() {
    let block: String = (0..2_000).fold(String::new(), |mut text, level| {
        let _ = writeln!(text, "{}a:", " ".repeat(level));
        text
    });
    for text in ["[".repeat(10_000), "{a: ".repeat(10_000), "- ".repeat(10_000), block] {
        let started = Instant::now();
        assert_eq!(error(&text).0, "yaml/too-deep");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn bombs_of_aliases_are_refused_quickly() {
    let mut laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (from, to) in ('a'..='y').zip('b'..='z') {
        let _ = writeln!(laughs, "{to}: &{to} [{}]", vec![format!("*{from}"); 9].join(", "));
    }
    // Few nodes, but a long text many times over.
    let mut long = format!("a: &a '{}'\n", "x".repeat(1_000_000));
    (0..1_000).for_each(|i| writeln!(long, "k{i}: *a").unwrap());
    // A chain in which every link is a little deeper.
    let mut chain = "a0: &a0 [x]\n".to_owned();
    (1..5_000).for_each(|i| writeln!(chain, "a{i}: &a{i} [*a{}]", i - 1).unwrap());
    for (text, code) in [(laughs, "yaml/too-many-values"), (long, "yaml/too-many-values"), (chain, "yaml/too-deep")] {
        let started = Instant::now();
        assert_eq!(error(&text).0, code);
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn an_anchor_cannot_contain_its_own_alias() {
    assert_eq!(error("a: &a [*a]").0, "yaml/alias");
}

#[test]
fn the_second_anchor_of_one_name_is_found_where_it_stands() {
    let second = |text: &str| repeated_anchor(&source(text)).map(|span| span.start);
    assert_eq!(second("a: &x 1\nb: &x 2\n"), Some(11));
    assert_eq!(second("a: [&x 1, &y 2, *x]\nb: &z {c: &y 3}\n"), Some(30));
    for text in ["a: &x 1\nb: *x\n", "a: &x 1\nb: '&x'\n", "a: &x 1 # &x\n", "a: x & y & x\n"] {
        assert_eq!(second(text), None, "{text}");
    }
}

#[test]
fn ten_megabytes_are_read_or_refused_within_seconds() {
    let started = Instant::now();
    let line = "- some text that is long enough to make few nodes of many bytes, as data in a wrong place would be\n";
    let text = line.repeat(MAX_BYTES / line.len());
    assert_eq!(tree(&text).as_seq().unwrap().len(), MAX_BYTES / line.len());
    assert_eq!(decode("x", &vec![b'a'; MAX_BYTES + 1]).unwrap_err().code, "yaml/too-large");
    assert_eq!(error(&"- a\n".repeat(MAX_NODES + 1)).0, "yaml/too-many-values");
    assert!(started.elapsed() < Duration::from_mins(1), "{:?}", started.elapsed());
}

proptest! {
    #[test]
    fn never_panics_on_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(source) = decode("x", &bytes) {
            let _ = parse(&source);
        }
    }

    #[test]
    fn never_panics_on_yaml_like_text(text in "([\\[\\]{}:,&*!|>'\"#%@`?<\\-] ?|[ab1é\\n\\t~=.\\x{85}\\x{2028}\\x{FEFF}]| ){0,80}") {
        let source = source(&text);
        let (node, found) = parse(&source);
        prop_assert_eq!(node.is_none(), crate::diag::has_errors(&found));
        for diagnostic in &found {
            prop_assert!(diagnostic.line_column().is_some());
        }
    }

    #[test]
    fn every_span_lies_within_the_text(text in "(a|b: |- |\\n  |\\[x, |\\]|'q'|é| |'é\\né'|\"é\"#é\\n|\\x{2028}){0,40}") {
        fn inside(node: &Node, text: &str) -> bool {
            let children = match &node.value {
                Value::Seq(items) => items.iter().all(|item| inside(item, text)),
                Value::Map(pairs) => pairs.iter().all(|(k, v)| inside(k, text) && inside(v, text)),
                _ => true,
            };
            children && text.get(node.span.start..node.span.start + node.span.len).is_some()
        }
        if let (Some(node), _) = parse(&source(&text)) {
            prop_assert!(inside(&node, &text));
        }
    }
}

#[test]
fn a_merge_conflict_is_told_as_one() {
    for text in [
        "tasks:\n<<<<<<< HEAD\n  - source: a.py\n=======\n  - source: b.py\n>>>>>>> other\n",
        "<<<<<<< HEAD\r\na: 1\r\n=======\r\na: 2\r\n>>>>>>> other\r\n",
        "a: [1,\n<<<<<<< HEAD\n2: {\n=======\n3\n>>>>>>> x\n]",
    ] {
        let source = decode("a.yaml", text.as_bytes()).unwrap();
        let (node, found) = parse(&source);
        assert!(node.is_none(), "{text}");
        let last = found.last().unwrap();
        assert_eq!(last.code, "yaml/conflict", "{text}: {found:?}");
        let (_, span) = last.place.as_ref().unwrap();
        assert_eq!(&text[span.start..span.start + span.len], "<<<<<<< HEAD");
    }
    let shown = decode("a.yaml", b"a: |\n  x\n  =======\n  y\nb: '\n <<<<<<< HEAD'\n").unwrap();
    assert!(parse(&shown).0.is_some());
    let broken = decode("a.yaml", b"a: [1\n=======\n").unwrap();
    assert_ne!(parse(&broken).1[0].code, "yaml/conflict");
}
