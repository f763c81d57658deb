//! Values that stay told apart from the text around them, for messages whose form is known only when they are sent: each chat
//! has its own way to show a stranger's text and not to obey it, and a mail needs none.
//!
//! The marks are two of Unicode's noncharacters, which are for a program's own use and in no text that is exchanged. A value
//! that holds one loses it. What the writer of a template trusts is filled in with `| raw` and has no marks.

use serde_json::Value;

const BEGIN: char = '\u{fdd0}';
const END: char = '\u{fdd1}';

/// A value that is nothing, between marks.
pub(super) const NOTHING: &str = "\u{fdd0}\u{fdd1}";

fn is_mark(c: char) -> bool {
    matches!(c, BEGIN | END)
}

/// A stranger's text between marks.
pub fn mark(text: &str) -> String {
    format!("{BEGIN}{}{END}", plain(text))
}

/// The text without marks.
pub fn plain(text: &str) -> String {
    text.chars().filter(|c| !is_mark(*c)).collect()
}

/// All texts of a document without marks.
pub fn plain_document(document: Value) -> Value {
    match document {
        Value::String(text) => Value::String(plain(&text)),
        Value::Array(items) => Value::Array(items.into_iter().map(plain_document).collect()),
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(name, value)| (name, plain_document(value))).collect())
        }
        other => other,
    }
}

/// The text by pieces, and whether each is a stranger's; a value that is empty is one, too.
pub(super) fn pieces(text: &str) -> Vec<(&str, bool)> {
    let mut found = Vec::new();
    let (mut strange, mut rest) = (false, text);
    while let Some((at, mark)) = rest.char_indices().find(|(_, c)| is_mark(*c)) {
        if strange || at > 0 {
            found.push((&rest[..at], strange));
        }
        strange = mark == BEGIN;
        rest = &rest[at + mark.len_utf8()..];
    }
    if strange || !rest.is_empty() {
        found.push((rest, strange));
    }
    found
}

/// Each character, and whether it is a stranger's.
pub fn told_apart(text: &str) -> impl Iterator<Item = (char, bool)> {
    let mut strange = false;
    text.chars().filter_map(move |c| {
        if is_mark(c) {
            strange = c == BEGIN;
            return None;
        }
        Some((c, strange))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Manner, Template};
    use super::*;
    use crate::server::action::Verb;
    use crate::server::criterion::Scope;
    use crate::server::event::Kind;

    fn strange(text: &str) -> String {
        told_apart(text).filter(|(_, strange)| *strange).map(|(c, _)| c).collect()
    }

    #[test]
    fn what_others_wrote_is_told_apart_from_the_template_and_from_our_own_addresses() {
        let scope = Scope::of(&[Kind::Push]).with("run", Verb::Run.result());
        let names = json!({
            "event": {"branch": "a\u{fdd1}<b>", "message": "fine"},
            "run": {"url": "https://ci.example/runs/7", "status": "failed", "seconds": 3, "error": null},
        });
        let filled = |text: &str| Template::parse(text, &scope, Manner::Marked).unwrap().render(&names).unwrap();
        let text = filled(
            "<!here> {{ event.branch|upper }} {{ run.url }} {{ run.seconds }}{{ run.error }}{{ event.message|raw }}",
        );
        assert_eq!(plain(&text), "<!here> A<B> https://ci.example/runs/7 3fine");
        assert_eq!(strange(&text), "A<B>");
        assert_eq!(strange(&filled("{% if run.status == 'failed' %}{{ '<' ~ event.branch }}{% endif %}")), "<a<b>");
        let several = format!("a{}{}b", mark(""), mark("c"));
        assert_eq!(pieces(&several), [("a", false), ("", true), ("c", true), ("b", false)]);
        assert_eq!(plain_document(json!({"a": [mark("x"), 1]})), json!({"a": ["x", 1]}));
    }
}
