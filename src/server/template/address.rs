//! Values in addresses: who names a branch does not choose the path of a request, nor its query.
//!
//! Each value is one part of a path, or one value of a query: whatever is neither a letter nor a digit nor one of `-._~` is
//! percent-encoded, slashes included. Parsers of addresses take an encoded dot for a dot, so a value that makes a whole part
//! of the path `.` or `..` is refused.
//!
//! As it is written is taken what says `| raw`, and the value of a name that stands alone (`{{ run.url }}`) where nothing but
//! blanks stands before it: an address that an earlier step gave works as it is, and what follows it is encoded. What an
//! expression puts together (`'https://h/' ~ event.branch`) is no such value, since parts of it were never encoded.

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Value as Jinja};

use super::marked;

/// Values are encoded where they are filled in, and marked, so that the whole address can be judged.
pub(super) fn teach(environment: &mut Environment<'static>) {
    super::guarded(environment, guard, marked::NOTHING);
    environment.add_filter("urlencode", encoded_once);
}

fn guard(text: &str) -> String {
    marked::mark(&encoded(&marked::plain(text)))
}

/// The filter, for everywhere else: a text as one part of an address.
pub(super) fn urlencode(value: &Jinja) -> Result<String, Error> {
    let text = match value.kind() {
        ValueKind::Undefined => return Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::None => String::new(),
        ValueKind::Bool => if value.is_true() { "true" } else { "false" }.to_owned(),
        _ => marked::plain(&value.to_string()),
    };
    if is_step(&text) {
        return Err(Error::new(ErrorKind::InvalidOperation, format!("`{text}` is no part of an address")));
    }
    Ok(encoded(&text))
}

/// The filter in an address, where every value is encoded anyway.
fn encoded_once(value: &Jinja) -> Result<Jinja, Error> {
    urlencode(value).map(Jinja::from_safe_string)
}

fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// What [`encoded`] was given.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        rest = if let (b'%', [high, low, after @ ..]) = (first, more) {
            bytes.extend(hex::decode([*high, *low]).unwrap_or_default());
            after
        } else {
            bytes.push(*first);
            more
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether what a template may begin with are values of names, or text of its own.
pub(super) fn begins_with_a_name(template: &str) -> bool {
    let template = template.trim_start();
    let is_name = |rest: &str| {
        let Some((inside, _)) = rest.split_once("}}") else { return false };
        let name = inside.trim_matches(['-', '+']).trim();
        !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '[' | ']'))
    };
    if let Some(rest) = template.strip_prefix("{{") {
        return is_name(rest);
    }
    let chooses = |rest: &str| {
        let word = rest.trim_start_matches(['-', '+']).split_whitespace().next().unwrap_or_default();
        matches!(word, "if" | "elif" | "else" | "endif")
    };
    template.starts_with("{%") && template.split("{%").skip(1).all(chooses) && template.split("{{").skip(1).all(is_name)
}

/// The address of a template that was filled in, without marks. `as_it_is` says whether a value may be its beginning.
///
/// # Errors
/// When a value would lead to another folder, or is the beginning and may not be.
pub(super) fn filled(text: &str, as_it_is: bool) -> Result<String, String> {
    let mut begun = false;
    let mut address = String::with_capacity(text.len());
    for (piece, strange) in marked::pieces(text) {
        if strange && begun {
            address.push_str(&marked::mark(piece));
        } else if strange && as_it_is {
            address.push_str(&decoded(piece));
        } else if strange && !piece.is_empty() {
            return Err("what an address begins with is put together from values; write a name alone, as in \
                        `{{ run.url }}`, or `| raw` behind what you trust"
                .to_owned());
        } else {
            address.push_str(piece);
        }
        begun |= strange || !piece.trim().is_empty();
    }
    let path = address.split(['?', '#']).next().unwrap_or_default();
    // Parsers take the one slash for the other.
    if let Some(part) = path.trim().split(['/', '\\']).find_map(walks) {
        return Err(format!(
            "a value makes `{part}` a part of the address, which leads to another folder of its host; \
             what you trust is filled in as it is by `| raw`"
        ));
    }
    Ok(marked::plain(&address))
}

/// The part of a path in which a value stands, where it leads to another folder.
fn walks(part: &str) -> Option<String> {
    let own = marked::plain(part);
    // Parsers pass over ends of lines.
    let bare: String = own.chars().filter(|c| !matches!(c, '\t' | '\n' | '\r')).collect();
    let bare = bare.to_ascii_lowercase().replace("%2e", ".");
    (own.len() < part.len() && is_step(&bare)).then_some(bare)
}

fn is_step(part: &str) -> bool {
    matches!(part, "." | "..")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Manner, RenderError, Template};
    use crate::server::action::Verb;
    use crate::server::criterion::Scope;
    use crate::server::event::Kind;

    fn render(text: &str, branch: &str) -> Result<String, RenderError> {
        let scope = Scope::of(&[Kind::Push]).with("run", Verb::Run.result());
        let names = json!({
            "event": {"branch": branch, "delivery": null, "paths": [branch, "b"], "payload": {"n": 7}},
            "run": {"url": "https://ci.example/runs/7?a=b&c=%2F", "seconds": 3},
        });
        Template::parse(text, &scope, Manner::Address).unwrap().render(&names)
    }

    #[test]
    fn a_value_is_one_part_of_the_path_or_one_value_of_the_query_whatever_it_holds() {
        let hostile = "q/%2e%2e/../admin#x?a=b&c=d\\e;f@g:h i\u{fdd1}\n\u{fc}";
        let wanted = "q%2F%252e%252e%2F..%2Fadmin%23x%3Fa%3Db%26c%3Dd%5Ce%3Bf%40g%3Ah%20i%0A%C3%BC";
        for (text, begin, end) in [
            ("https://h/deploy/{{ event.branch }}/preview", "https://h/deploy/", "/preview"),
            ("https://h/x?env=test&n={{ event.branch }}", "https://h/x?env=test&n=", ""),
            ("https://h/{{ event.branch | urlencode }}", "https://h/", ""),
            ("https://h/{{ event.branch | e }}", "https://h/", ""),
            ("https://h/{% set x %}{{ event.branch }}{% endset %}{{ x }}", "https://h/", ""),
            ("https://{{ event.branch }}/", "https://", "/"),
            ("{{ run.url }}{{ event.branch }}", "https://ci.example/runs/7?a=b&c=%2F", ""),
            // The first value is nothing, and the second is not the first.
            ("{{ event.delivery }}{{ event.branch }}", "", ""),
        ] {
            assert_eq!(render(text, hostile), Ok(format!("{begin}{wanted}{end}")), "{text}");
        }
        let url: url::Url = render("https://h/a/{{ event.branch }}/p?n=1", hostile).unwrap().parse().unwrap();
        assert_eq!((url.path_segments().unwrap().count(), url.query(), url.fragment()), (3, Some("n=1"), None));
        assert_eq!(render("https://h/{{ event.paths | join('/') }}", "a").as_deref(), Ok("https://h/a%2Fb"));
        assert_eq!(render("https://h/{{ event.payload.n }}/{{ 1 == 1 }}", "a").as_deref(), Ok("https://h/7/true"));
    }

    #[test]
    fn what_begins_an_address_and_what_is_trusted_is_taken_as_it_is() {
        for (text, wanted) in [
            ("{{ run.url }}", "https://ci.example/runs/7?a=b&c=%2F"),
            (" {{ run.url }}&b={{ event.branch }}", " https://ci.example/runs/7?a=b&c=%2F&b=a%2Fb"),
            ("https://h/{{ event.branch | raw }}/x", "https://h/a/b/x"),
            ("https://h/?u={{ run.url }}", "https://h/?u=https%3A%2F%2Fci.example%2Fruns%2F7%3Fa%3Db%26c%3D%252F"),
            ("{{ event.branch }}/{{ event.branch }}", "a/b/a%2Fb"),
            ("{{- event.paths[0] -}}", "a/b"),
            ("{% if run.url %}{{ run.url }}{% else %}https://h/{% endif %}", "https://ci.example/runs/7?a=b&c=%2F"),
            ("{{ 'https://h/' | raw }}{{ event.branch }}", "https://h/a%2Fb"),
        ] {
            assert_eq!(render(text, "a/b").as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_put_together_from_values_is_no_beginning() {
        for text in [
            "{{ 'https://h/' ~ event.branch }}",
            "{{ run.url | lower }}",
            "{% set x = 'https://h/' ~ event.branch %}{{ x }}",
            "{% if run.url %}{{ 'https://h/' ~ event.branch }}{% endif %}",
            "{% for x in event.paths %}{{ x }}{% endfor %}",
        ] {
            assert!(render(text, "a/b").unwrap_err().0.contains("put together"), "{text}");
        }
        let text = "https://h/{{ 'x/' ~ event.branch }}";
        assert_eq!(render(text, "a/b").as_deref(), Ok("https://h/x%2Fa%2Fb"));
    }

    #[test]
    fn a_value_that_leads_to_another_folder_is_refused() {
        for (text, branch) in [
            ("https://h/a/{{ event.branch }}/b", ".."),
            ("https://h/a/{{ event.branch }}", "."),
            ("https://h/a/{{ event.branch }}{{ event.branch }}?x", "."),
            ("https://h/a/.{{ event.branch }}", "."),
            ("https://h/a/.{{ event.branch }}./b", ""),
            ("https://h/a\\%2E\n{{ event.branch }}\\b", "."),
            ("{{ run.url | replace('?', '/') | raw }}/{{ event.branch }} ", ".."),
            ("https://h/a/{{ event.branch | urlencode }}", ".."),
        ] {
            let said = render(text, branch).unwrap_err().0;
            assert!(said.contains("of the address") || said.contains("of an address"), "{text}: {said}");
        }
        for (text, branch, wanted) in [
            ("https://h/a/../{{ event.branch }}", "b", "https://h/a/../b"),
            ("https://h/a?b={{ event.branch }}", "..", "https://h/a?b=.."),
            ("https://h/v{{ event.branch }}", "..", "https://h/v.."),
            ("https://h/a/{{ event.branch }}", "...", "https://h/a/..."),
            ("https://h/a/{{ event.branch | raw }}", "..", "https://h/a/.."),
        ] {
            assert_eq!(render(text, branch).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_encoded_for_other_places_is_encoded_once_and_walks_nowhere() {
        let names = |branch: &str| json!({"event": {"branch": branch, "delivery": null}});
        for manner in [Manner::Plain, Manner::Markdown] {
            let template = |text: &str| Template::parse(text, &Scope::of(&[Kind::Push]), manner).unwrap();
            let text = "https://h/{{ event.branch | urlencode }}{{ event.delivery | urlencode }}";
            assert_eq!(template(text).render(&names("a/b c")).as_deref(), Ok("https://h/a%2Fb%20c"));
            assert!(template(text).render(&names("..")).unwrap_err().0.contains("`..` is no part of an address"));
        }
    }
}
