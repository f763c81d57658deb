//! Goldens and hostile text for every form of rendering.

use std::sync::Arc;

use super::*;
use crate::diag::{SourceText, Span};

const PLAIN: Style = Style { color: false, unicode: true, width: 80 };

fn source(text: &str) -> Arc<SourceText> {
    Arc::new(SourceText { name: "pipeline.yaml".to_owned(), text: text.to_owned() })
}

fn typo() -> Diagnostic {
    let text = "meta:\n  extract_upstream: true\ntaks:\n  - source: a.py\n";
    Diagnostic::error("pipeline/unknown-key", "the pipeline has no key `taks`")
        .at(&source(text), Span { start: text.find("taks").unwrap(), len: 4 })
        .label("this one")
        .help("did you mean `tasks`?")
}

#[test]
fn draws_source_underline_label_and_help() {
    insta::assert_snapshot!(human(&[Diagnostic::warning("x/y", "careful"), typo()], PLAIN), @r"
    x/y

      ⚠ careful

    pipeline/unknown-key

      × the pipeline has no key `taks`
       ╭─[pipeline.yaml:3:1]
     2 │   extract_upstream: true
     3 │ taks:
       · ──┬─
       ·   ╰── this one
     4 │   - source: a.py
       ╰────
      help: did you mean `tasks`?

    1 error, 1 warning
    ");
}

#[test]
fn every_form_keeps_the_order_it_is_given() {
    let found = [typo(), Diagnostic::warning("x/y", "careful"), typo(), Diagnostic::note("x/z", "by the way")];
    let human = human(&found, PLAIN);
    let places = |text: &str| ["taks", "careful", "by the way"].map(|part| text.find(part).unwrap());
    for text in [human, github(&found), json(&found).to_string()] {
        assert!(places(&text).is_sorted(), "{text}");
    }
}

#[test]
fn draws_plain_ascii_for_terminals_without_unicode() {
    let text = human(&[typo()], Style { unicode: false, ..PLAIN });
    assert!(text.is_ascii(), "{text}");
    assert!(text.contains("[pipeline.yaml:3:1]"), "{text}");
}

#[test]
fn colours_only_when_asked() {
    assert!(human(&[typo()], Style { color: true, ..PLAIN }).contains("\u{1b}["));
    assert!(!human(&[typo()], PLAIN).contains('\u{1b}'));
}

#[test]
fn lets_no_control_character_of_the_user_through() {
    let text = "a: \u{1b}[31mred\u{7}\u{9b}2J\u{202e}x\nb: 1\n";
    let hostile = Diagnostic::error("x/y", "bad `\u{1b}]0;title\u{7}`")
        .at(&source(text), Span { start: 3, len: 5 })
        .label("\u{1b}[2J")
        .help("try \u{8}\u{8}");
    for text in [human(std::slice::from_ref(&hostile), PLAIN), github(&[hostile])] {
        let bad: Vec<char> = text.chars().filter(|c| is_unsightly(*c) && *c != '\n').collect();
        assert!(bad.is_empty(), "{bad:?} in {text}");
    }
}

#[test]
fn clips_a_file_of_one_line_of_a_megabyte() {
    let text = format!("{{tasks: [{}]}}", "x, ".repeat(350_000));
    for start in [0, 500_000, text.len() - 1, text.len()] {
        let found = Diagnostic::error("x/y", "here").at(&source(&text), Span { start, len: 700_000 });
        let drawn = human(&[found], PLAIN);
        assert!(drawn.len() < 3_000, "{} bytes at {start}", drawn.len());
        assert!(drawn.contains(&format!("pipeline.yaml:1:{}", start + 1)), "{drawn}");
    }
}

#[test]
fn an_excerpt_is_no_wider_than_the_terminal_and_its_underline_is_under_the_place() {
    let width =
        |line: &str| line.chars().map(|c| unicode_width::UnicodeWidthChar::width(c).unwrap_or(0)).sum::<usize>();
    let label = "this one counts, the earlier one is ignored";
    for filler in ["long ", "長い行 ", "a\u{301}\tb", "\u{7}"] {
        for (before, after) in [(0, 0), (0, 90), (90, 0), (90, 90), (9, 90), (90, 9), (7, 0)] {
            let line = format!("{}PLACE{}", filler.repeat(before), filler.repeat(after));
            let text = format!("{line}\n{line}\n{line}\n").repeat(40);
            let start = text.match_indices("PLACE").nth(100).unwrap().0;
            for len in [5, 0, 300] {
                let place = Span { start, len: if len == 300 { line.len() - filler.len() * before } else { len } };
                let found = Diagnostic::error("x/y", "here").at(&source(&text), place);
                for found in [found.clone(), found.label(label)] {
                    for columns in [40, 60, 80, 120, 200] {
                        let shown = human(std::slice::from_ref(&found), Style { width: columns, ..PLAIN });
                        let at = format!("{filler:?} {before} {after} {len} {columns}\n{shown}");
                        assert!(shown.lines().all(|line| width(line) <= columns), "{at}");
                        let lines: Vec<&str> = shown.lines().collect();
                        let marks = lines.iter().position(|line| line.trim_start().starts_with('·')).unwrap();
                        let under = width(lines[marks].split(['─', '┬', '▲']).next().unwrap());
                        let over = width(lines[marks - 1].split("PLACE").next().unwrap());
                        assert!(len == 0 || under == over, "{at}");
                        assert!(lines[marks - 1].contains("PLACE") || len == 0, "{at}");
                    }
                }
            }
        }
    }
}

#[test]
fn survives_places_outside_of_the_text_and_inside_of_characters() {
    for (start, len) in [(1, 1), (2, 900), (3, 0), (900, 5), (usize::MAX / 2, 1)] {
        let found = Diagnostic::error("x/y", "here").at(&source("é\u{1F600}\n"), Span { start, len });
        assert!(human(&[found], PLAIN).contains("here"));
    }
}

#[test]
fn names_the_file_when_it_has_no_text() {
    let found = Diagnostic::error("x/y", "there is no file").at(&source(""), Span::default());
    assert!(human(std::slice::from_ref(&found), PLAIN).contains("pipeline.yaml: there is no file"));
    assert_eq!(github(&[found]), "::error file=pipeline.yaml,title=x/y::there is no file\n");
}

#[test]
fn counts_what_it_has_told() {
    let text = human(&[typo(), Diagnostic::warning("x/y", "careful"), typo()], PLAIN);
    assert!(text.ends_with("2 errors, 1 warning\n"), "{text}");
    assert_eq!(human(&[], PLAIN), "no errors\n");
}

#[test]
fn json_has_places_from_one_and_ends() {
    let value = json(&[typo()]);
    assert_eq!(value["schema"], 1);
    assert_eq!(value["errors"], 1);
    let first = &value["diagnostics"][0];
    assert_eq!((first["line"].as_u64(), first["column"].as_u64()), (Some(3), Some(1)));
    assert_eq!((first["end_line"].as_u64(), first["end_column"].as_u64()), (Some(3), Some(5)));
    assert_eq!(first["severity"], "error");
    assert_eq!(first["help"], "did you mean `tasks`?");
}

#[test]
fn github_commands_cannot_be_broken_out_of() {
    let nasty = Arc::new(SourceText { name: "a,b:c%\n::error::x".to_owned(), text: "x".to_owned() });
    let found = Diagnostic::error("x/y", "100%\n::set-output name=a::b\r").at(&nasty, Span::default());
    let text = github(&[found]);
    assert_eq!(text.lines().count(), 1, "{text}");
    let expected =
        "::error file=a%2Cb%3Ac%25%0A%3A%3Aerror%3A%3Ax,line=1,col=1,title=x/y::100%25%0A::set-output name=a::b%0D\n";
    assert_eq!(text, expected);
}
