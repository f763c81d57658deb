//! Values in Markdown: a branch called `@team`, a title with a link, a line of output with HTML are shown and never obeyed.
//!
//! Escaped is whatever a template fills in, wherever it comes from. What is meant as Markdown says so: `| raw` for text that
//! the writer of the template trusts, `| code` for a name, `| block` for lines of output. Addresses of our own results, and of
//! commit statuses, stay links.

use minijinja::value::ValueKind;
use minijinja::{Environment, Value as Jinja};
use serde_json::Value;

use super::jinja;
use crate::comment::escape;

/// Characters of a line or a name; of a comment there is not room for more.
const LONGEST: usize = 10_000;

/// Adds the escape and the filters that do without it.
pub(super) fn teach(environment: &mut Environment<'static>) {
    super::guarded(environment, escaped, "");
    environment.add_filter("code", |value: Jinja| Jinja::from_safe_string(escape::code(&value.to_string(), LONGEST)));
    environment.add_filter("block", |value: Jinja| {
        let lines: Vec<String> = match value.kind() {
            ValueKind::Seq | ValueKind::Iterable => {
                value.try_iter().map(|lines| lines.map(|line| line.to_string()).collect()).unwrap_or_default()
            }
            _ => value.to_string().lines().map(str::to_owned).collect(),
        };
        Jinja::from_safe_string(escape::block(&lines, "", LONGEST))
    });
}

/// A sentence of ours has names between backticks, which become code; all else is text.
fn escaped(text: &str) -> String {
    if text.contains('`') { escape::prose(text, usize::MAX) } else { escape::text(text, usize::MAX) }
}

/// The names, with the addresses of our own results as what they are.
pub(super) fn values(names: &Value) -> Jinja {
    let Value::Object(names) = names else { return jinja(names) };
    Jinja::from_pairs(names.iter().map(|(name, value)| {
        let value = match (name.as_str(), value) {
            ("event", Value::Object(event)) => {
                Jinja::from_pairs(event.iter().map(|(name, value)| match name.as_str() {
                    "run" => (name.as_str(), with_link(value, "url")),
                    // Only who may push sets one.
                    "status" => (name.as_str(), with_link(value, "target_url")),
                    _ => (name.as_str(), jinja(value)),
                }))
            }
            ("event" | "handler" | "failure", value) => jinja(value),
            (_, value) => with_link(value, "url"),
        };
        (name.as_str(), value)
    }))
}

/// What came of a step, or of a run, with the address in it as what it is, where it is one.
fn with_link(value: &Value, key: &str) -> Jinja {
    let Value::Object(members) = value else { return jinja(value) };
    Jinja::from_pairs(members.iter().map(|(name, value)| {
        let link = value.as_str().filter(|_| name == key).and_then(escape::address);
        (name.as_str(), link.map_or_else(|| jinja(value), Jinja::from_safe_string))
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Manner, Template};
    use super::*;
    use crate::server::action::Verb;
    use crate::server::criterion::Scope;
    use crate::server::event::Kind;

    fn render(text: &str, event: &Value, run: &Value) -> String {
        let scope = Scope::of(&[Kind::Push]).with("run", Verb::Run.result()).with("shell", Verb::Shell.result());
        let template = Template::parse(text, &scope, Manner::Markdown).unwrap();
        let names = json!({
            "event": event, "run": run, "shell": {"output": "a\n```\n@team", "lines": ["@team", "````"]},
        });
        template.render(&names).unwrap()
    }

    #[test]
    fn nothing_that_somebody_else_wrote_is_obeyed() {
        let run = json!({"status": "succeeded"});
        for (hostile, gone) in [
            ("@acme/team", "@acme"),
            ("fixes #12", "#12"),
            ("GH-12", "GH-12"),
            ("<img src=x onerror=alert(1)>", "<img"),
            ("</details><!-- x", "<"),
            ("[click](https://evil.example)", "[click]"),
            ("![x](https://evil.example/p.png)", "!["),
            ("https://evil.example/", "https://"),
            ("www.evil.example", "www.evil"),
            ("a\n\n# Heading\n- [x] done", "\n"),
            ("**bold** _it_ ~~gone~~", "**"),
            ("| a | b |", "|"),
            ("&lt;b&gt;", "&lt;"),
            ("`@team` and `", "@team"),
        ] {
            for text in [
                "{{ event.branch }}",
                "on **{{ event.branch }}**",
                "{{ event.branch|upper|lower }}",
                "{{ event.paths|join(', ') }}",
                "{{ event.branch|e }}",
                "{{ event.branch|escape }}",
                "{% set x %}{{ event.branch }}{% endset %}{{ x }}",
            ] {
                let written = render(text, &json!({"branch": hostile, "paths": [hostile]}), &run);
                let own = written.trim_start_matches("on **").trim_end_matches("**");
                assert!(!own.to_lowercase().contains(&gone.to_lowercase()), "{text}: {hostile} became {written}");
            }
        }
        let object = render("{{ event.payload }}", &json!({"payload": {"title": "<b>@team</b>"}}), &run);
        assert!(!object.contains('<') && !object.contains("@team"), "{object}");
    }

    #[test]
    fn what_is_meant_as_markdown_says_so() {
        let event = json!({"branch": "feature/a_b", "payload": {"n": 3, "note": "**fine** @ann"}});
        let run = json!({"status": "succeeded", "url": "https://ci.example/runs/7", "error": null, "seconds": 3});
        for (text, wanted) in [
            ("{{ run.status }} in {{ run.seconds }} s: {{ run.url }}", "succeeded in 3 s: https://ci.example/runs/7"),
            ("[the run]({{ run.url }}){{ run.error }}", "[the run](https://ci.example/runs/7)"),
            ("{{ event.payload.note | raw }}", "**fine** @ann"),
            ("{{ event.branch | code }}", "`feature/a_b`"),
            ("{{ shell.output | block }}", "````\na\n```\n@team\n````"),
            ("{{ shell.lines | block }}", "`````\n@team\n````\n`````"),
            ("{{ event.payload.n }} {{ event.payload.n == 3 }}", "3 true"),
        ] {
            assert_eq!(render(text, &event, &run), wanted, "{text}");
        }
        let once = render("{{ event.branch }}", &event, &run);
        for text in ["{% set x %}{{ event.branch }}{% endset %}{{ x }}", "{{ event.branch | e }}"] {
            assert_eq!(render(text, &event, &run), once, "{text} is escaped once");
        }
        // Only an address is a link.
        let odd = json!({"url": "javascript:alert(1)"});
        assert!(!render("{{ run.url }}", &event, &odd).contains("(1)<"));
        let hostile = json!({"url": "https://ci.example/) @team <b>"});
        let written = render("{{ run.url }}", &event, &hostile);
        assert!(!written.contains('<') && !written.contains(" @team") && !written.contains(')'), "{written}");
    }

    #[test]
    fn an_unknown_name_and_a_filter_of_markdown_in_plain_text_are_still_refused() {
        let scope = Scope::of(&[Kind::Push]);
        assert!(Template::parse("{{ event.brnch }}", &scope, Manner::Markdown).is_err());
        assert!(Template::parse("{{ event.branch | raw }}", &scope, Manner::Plain).is_err());
        for filter in ["safe", "tojson"] {
            let text = format!("{{{{ event.branch | {filter} }}}}");
            assert!(Template::parse(&text, &scope, Manner::Markdown).is_err(), "{filter} is no way around the escape");
        }
        let template = Template::parse("{{ event.payload.nothing }}", &scope, Manner::Markdown).unwrap();
        assert!(template.render(&json!({"event": {"payload": {}}})).is_err());
    }
}
