//! Reports as Markdown, judged by a Markdown parser: whatever users' names and messages hold, they change nothing of how a
//! report is built, and it fits.

#[path = "comment/sample.rs"]
mod sample;

use proptest::prelude::*;
use pulldown_cmark::{Event, Options, Parser, Tag};
use sample::{failed, filled, running, succeeded};
use soopervisor::comment::{Limit, Link, Marker, Preview, Report, Status, render};

/// What a name or message may hold to be obeyed.
const HOSTILE: [&str; 44] = [
    "@evil",
    "@evil/team",
    "a@evil.org",
    "#12",
    "evil/repo#7",
    "GH-12",
    "gh-7",
    "<b>",
    "</b>",
    "<img src=x>",
    "<script>",
    "</details>",
    "</summary>",
    "<!--",
    "-->",
    "```",
    "````",
    "`",
    "``",
    "~~~",
    "|",
    "\\|",
    "\\",
    "\n",
    "\n\n",
    "\r",
    "![x](https://evil.org/p.png)",
    "[x](https://evil.org)",
    "[x]: https://evil.org",
    "https://evil.org/x",
    "www.evil.org",
    "ftp://evil.org",
    "mailto:a@evil.org",
    "&lt;",
    "&#64;evil",
    "*a*",
    "__a__",
    "~~a~~",
    "$$",
    "\u{202e}",
    "\u{0}",
    "- ",
    "1. ",
    "# ",
];

fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => proptest::sample::select(&HOSTILE[..]).prop_map(str::to_owned),
        2 => "[a-z0-9 ./_-]{0,8}",
        1 => "\\PC{0,4}",
        1 => any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

fn options() -> Options {
    Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_GFM
        | Options::ENABLE_MATH
}

/// What a reader sees of the structure: everything but words.
fn skeleton(markdown: &str) -> Vec<String> {
    let mut seen = Vec::new();
    let mut push = |text: String| {
        if seen.last() != Some(&text) || !text.starts_with("text in") {
            seen.push(text);
        }
    };
    let mut fenced = false;
    for event in Parser::new_ext(markdown, options()) {
        match event {
            Event::Text(_) | Event::Code(_) | Event::SoftBreak if fenced => push("text in a block".to_owned()),
            Event::Text(_) | Event::Code(_) | Event::SoftBreak => {}
            Event::InlineHtml(html) if matches!(&*html, "<code>" | "</code>") => {}
            Event::Start(Tag::CodeBlock(kind)) => {
                fenced = true;
                push(format!("block {kind:?}"));
            }
            Event::End(pulldown_cmark::TagEnd::CodeBlock) => {
                fenced = false;
                push("end of block".to_owned());
            }
            Event::Start(Tag::Link { dest_url, .. }) => push(format!("link to {dest_url}")),
            Event::Start(Tag::Image { dest_url, .. }) => push(format!("picture of {dest_url}")),
            other => push(format!("{other:?}")),
        }
    }
    seen
}

/// What GitHub's filters would look at: text that is not code.
fn said(markdown: &str) -> String {
    let (mut text, mut code) = (String::new(), 0);
    for event in Parser::new_ext(markdown, options()) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => code += 1,
            Event::End(pulldown_cmark::TagEnd::CodeBlock) => code -= 1,
            Event::InlineHtml(html) if &*html == "<code>" => code += 1,
            Event::InlineHtml(html) if &*html == "</code>" => code -= 1,
            Event::Text(said) if code == 0 => text.push_str(&said),
            Event::Start(_) | Event::End(_) | Event::SoftBreak | Event::HardBreak => text.push('\n'),
            _ => {}
        }
    }
    text
}

/// Whether GitHub would make something of it: a mention, a reference, a link.
fn acts(text: &str) -> Option<String> {
    let letter = |c: char| c.is_ascii_alphanumeric();
    for (at, c) in text.char_indices() {
        let (before, after) = (&text[..at], &text[at + c.len_utf8()..]);
        let next = after.chars().next().is_some_and(letter);
        let ends = |word: &str| {
            before.len() >= word.len()
                && before.is_char_boundary(before.len() - word.len())
                && before[before.len() - word.len()..].eq_ignore_ascii_case(word)
        };
        let found = match c {
            '@' | '#' => next,
            ':' => after.starts_with("//"),
            '.' => ends("www") && next,
            '-' => ends("gh") && next,
            _ => false,
        };
        if found {
            return Some(text.chars().skip(before.chars().count().saturating_sub(10)).take(30).collect());
        }
    }
    None
}

fn marker() -> Marker {
    Marker { repo: 4711, pr: 12, key: "penguins".to_owned() }
}

/// Letters in place of everything but white space: the same report from somebody harmless.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_whitespace() { c } else { 'x' }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn whatever_users_write_changes_nothing_of_how_a_report_is_built(
        words in proptest::collection::vec(hostile(), 40),
        rows in 1_usize..4,
    ) {
        let all = |change: fn(&str) -> String| {
            let mut at = 0;
            let mut next = || { at += 1; change(&words[(at - 1) % words.len()]) };
            render(&filled(&mut next, rows, marker()), Limit::COMMENT)
        };
        let (drawn, twin) = (all(str::to_owned), all(harmless));
        prop_assert!(drawn.starts_with("<!-- soopervisor:v1 repo=4711 pr=12 key=penguins -->\n### "), "{}", drawn);
        prop_assert_eq!(skeleton(&drawn), skeleton(&twin), "{}", drawn);
        let said = said(&drawn);
        prop_assert_eq!(acts(&said), None, "{}", drawn);
        let controls = drawn.chars().find(|c| *c != '\n' && soopervisor::id::is_unsightly(*c));
        // The one that stands after a warning sign is ours.
        prop_assert!(controls.is_none_or(|c| c == '\u{fe0f}'), "{controls:?} in {drawn}");
    }

}

proptest! {
    // Each case draws tens of megabytes.
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn whatever_is_long_fits_and_keeps_its_marker_and_its_links(
        words in proptest::collection::vec(hostile(), 20),
        rows in 0_usize..60,
        repeat in 1_usize..40,
    ) {
        let mut at = 0;
        let mut next = || { at += 1; words[at % words.len()].repeat(repeat) };
        let report = filled(&mut next, rows, marker());
        for (limit, most) in [(Limit::COMMENT, 60_000), (Limit::bytes(0), 20_000), (Limit::SUMMARY, 900_000)] {
            let drawn = render(&report, limit);
            prop_assert!(drawn.len() <= most, "{} bytes", drawn.len());
            prop_assert!(drawn.starts_with("<!-- soopervisor:v1 repo=4711 pr=12 key=penguins -->\n### "));
            prop_assert!(drawn.contains("](https://storage.example/outputs)"), "{}", drawn);
            let built = skeleton(&drawn);
            let count = |word: &str| built.iter().filter(|part| part.contains(word)).count();
            prop_assert_eq!(count("<details"), count("</details>"), "{}", drawn);
        }
    }

}

proptest! {
    #[test]
    fn a_marker_is_one_comment_whatever_its_key(key in "(-|>|<|!|\\PC){0,30}") {
        let line = Marker { repo: 1, pr: 2, key }.line();
        let inside = line.strip_prefix("<!--").and_then(|line| line.strip_suffix("-->")).expect("a comment");
        prop_assert!(!inside.contains("--") && !inside.contains('>') && !inside.contains('\n'), "{}", line);
        prop_assert!(inside.starts_with(" soopervisor:v1 repo=1 pr=2 key=") && inside.ends_with(' '));
    }
}

#[test]
fn a_run_that_goes_on_shows_what_it_does() {
    insta::assert_snapshot!("running", render(&running(), Limit::COMMENT));
}

#[test]
fn a_success_shows_metrics_plots_and_what_changed() {
    insta::assert_snapshot!("succeeded", render(&succeeded(), Limit::COMMENT));
}

#[test]
fn a_failure_shows_its_card_first() {
    insta::assert_snapshot!("failed", render(&failed(), Limit::COMMENT));
}

#[test]
fn a_fork_says_what_it_did_not_get() {
    let mut report = succeeded();
    report.policy = Some("from a fork: no secrets, nothing written to caches, outputs below `pr/12`".to_owned());
    (report.comparison, report.no_base) = (None, Some("`main` has no published outputs".to_owned()));
    report.previews.clear();
    insta::assert_snapshot!("fork", render(&report, Limit::COMMENT));
}

#[test]
fn a_base_that_is_not_the_very_one_is_named() {
    let mut report = succeeded();
    report.compared = Some("3 commits before the base `abc1234`; @everyone".to_owned());
    let drawn = render(&report, Limit::COMMENT);
    let said = "compared with `81aa02c3de` (`main`), 3 commits before the base `abc1234`; &#64;&#8203;everyone ·";
    assert!(drawn.contains(said), "{drawn}");
}

#[test]
fn what_is_too_long_gives_up_pictures_then_identical_files_then_rows_then_lines() {
    let mut report = failed();
    report.comparison = succeeded().comparison;
    let address = format!("https://storage.example/{}", "p".repeat(1500));
    let picture = |at| Preview { name: format!("p{at}.png"), size: 10, before: None, after: Some(address.clone()) };
    report.previews = (0..12).map(picture).collect();
    let whole = render(&report, Limit::COMMENT);
    let pictures = whole.matches("[![").count();
    assert_eq!((pictures, whole.contains("Identical files")), (12, true));
    let card = report.card.as_mut().expect("a card");
    card.last_lines = (0..40).map(|at| format!("line {at} {}", "x".repeat(200))).collect();
    let comparison = report.comparison.as_mut().expect("a comparison");
    let path = |at: usize| format!("data/{at}-{}.bin", "f".repeat(180)).parse().expect("a path");
    comparison.identical = (0..100).map(path).collect();
    let smaller = render(&report, Limit::COMMENT);
    let shown = smaller.matches("[![").count();
    assert!(shown < 12 && smaller.contains("`p3.png`") && smaller.contains("data/99"), "{shown} are shown");
    let mut steps = Vec::new();
    for bytes in (20_000..60_000).rev().step_by(500) {
        let drawn = render(&report, Limit::bytes(bytes));
        assert!(drawn.len() <= bytes);
        let has = |text: &str| drawn.contains(text);
        let now = (has("`p3.png`"), has("Identical files"), has("line 39"), has("line 5 "));
        if steps.last() != Some(&now) {
            steps.push(now);
        }
    }
    // Who has fewer pictures has their names. Pictures' names go before identical files, and both before lines of the log.
    assert_eq!(steps.first(), Some(&(true, true, true, true)));
    assert!(steps.windows(2).all(|pair| pair[0].0 >= pair[1].0 && pair[0].1 >= pair[1].1), "{steps:?}");
    assert!(steps.iter().all(|step| step.0 <= step.1 && step.1 <= step.2), "{steps:?}");
    assert_eq!(steps.last().map(|step| (step.0, step.1, step.2)), Some((false, false, true)), "{steps:?}");
}

#[test]
fn the_users_own_line_stands_before_what_it_looks_like_and_harms_nobody() {
    let mut report = failed();
    let card = report.card.as_mut().expect("a card");
    card.place = Some("tasks.py:6 in clean: KeyError: 'age'".to_owned());
    let drawn = render(&report, Limit::COMMENT);
    assert!(drawn.contains("\n- at: `tasks.py:6 in clean: KeyError: 'age'`\n- looks like: "), "{drawn}");
    let card = report.card.as_mut().expect("a card");
    card.place = Some("x.py:1: E: </code>@ann\n# heading".to_owned());
    let drawn = render(&report, Limit::COMMENT);
    assert!(drawn.contains("\n- at: <code>x") && !drawn.contains("</code>@ann\n# heading"), "{drawn}");
}

#[test]
fn where_pictures_have_no_address_it_is_said_how_to_see_them() {
    let mut report = succeeded();
    let (before, after) = ("81aa02c3de81aa02c3de81aa02c3de81aa02c3de", "4f1c2d9a4f1c2d9a4f1c2d9a4f1c2d9a4f1c2d9a");
    let diff = format!("To see them: `soopervisor diff {before} {after} --storage … --html page.html`");
    assert!(render(&report, Limit::COMMENT).contains(&diff));
    assert!(render(&report, Limit::bytes(0)).contains(&diff), "also where they are counted only");
    // Nothing to compare with.
    (report.comparison, report.no_base) = (None, Some("the base has no run".to_owned()));
    let download = format!("To see them: `soopervisor download {after} --storage …`");
    assert!(render(&report, Limit::COMMENT).contains(&download));
    let published = report.published.as_mut().expect("it was published");
    published.location = format!("s3://bucket/penguins/{after}-sample");
    let download = format!("To see them: `soopervisor download {after}-sample --storage …`");
    assert!(render(&report, Limit::COMMENT).contains(&download));
    // All of them can be seen.
    report.previews.truncate(1);
    assert!(!render(&report, Limit::COMMENT).contains("To see them"));
    report.previews.clear();
    assert!(!render(&report, Limit::COMMENT).contains("To see them"));
}

#[test]
fn links_that_are_none_of_the_web_are_text() {
    let mut report = Report::new(
        "demo".parse().expect("a project"),
        "0123456789abcdef0123456789abcdef01234567".parse().expect("a commit"),
        soopervisor::plan::Mode::Full,
    );
    report.status = Status::Succeeded;
    let bad = ["javascript:alert(1)", "https://ann:pw@h/x", "data:text/html,x"];
    report.links = bad.map(|address| Link { text: "outputs".to_owned(), address: address.to_owned() }).to_vec();
    let drawn = render(&report, Limit::COMMENT);
    assert!(!skeleton(&drawn).iter().any(|part| part.starts_with("link")), "{drawn}");
}
