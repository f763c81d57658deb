//! SQL and shell sources: which `{{placeholders}}` they use. Templates are parsed, never rendered.

use std::collections::HashSet;
use std::sync::LazyLock;

use minijinja::Environment as Jinja;
use regex::Regex;

/// What a template says about itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Template {
    /// Names it needs from outside.
    pub names: Vec<String>,
    /// The tasks it asks `upstream` for.
    pub upstream: Vec<String>,
    /// Whether `names` are all there are; some statements are not understood here.
    pub judged: bool,
    /// Whether it says itself what `product` is.
    pub sets_product: bool,
    /// The lines of `[[ … ]]` that are no placeholders: Ploomber reads them as such, bash as tests.
    pub brackets: Vec<usize>,
    /// Why it is no template, with the line.
    pub broken: Option<(String, usize)>,
}

#[expect(clippy::expect_used, reason = "the patterns are constants of this file and used by its tests")]
fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a valid pattern")
}

static BRACKETS: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?s)\[\[(.*?)\]\]"));
static BLOCK: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?s)\{#.*?#\}|\{\{.*?\}\}|\{%.*?%\}"));
static UPSTREAM: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"\bupstream\s*(?:\[\s*(?:'([^']*)'|"([^"]*)")\s*\]|\.\s*([A-Za-z_]\w*))"#));
static SETS_PRODUCT: LazyLock<Regex> = LazyLock::new(|| pattern(r"\{%-?\s*set\s+product\b"));
/// Names that Jinja itself provides.
const GLOBALS: [&str; 7] = ["range", "dict", "lipsum", "cycler", "joiner", "namespace", "raise"];
/// Statements of Jinja that the parser here does not have; a file that uses them is not judged.
static BEYOND: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\{%-?\s*(?:import|from|include|extends|macro|call|do|block|raw)\b"));

/// Reads a template.
pub(super) fn read(text: &str) -> Template {
    let mut template = Template { judged: true, sets_product: SETS_PRODUCT.is_match(text), ..Template::default() };
    for block in BLOCK.find_iter(text).filter(|block| !block.as_str().starts_with("{#")) {
        for found in UPSTREAM.captures_iter(block.as_str()) {
            template.upstream.extend(found.iter().skip(1).flatten().map(|name| name.as_str().to_owned()));
        }
    }
    template.upstream.sort();
    template.upstream.dedup();
    if BEYOND.is_match(text) {
        template.judged = false;
        return template;
    }
    let jinja = Jinja::new();
    let outside = |names: HashSet<String>| names.into_iter().filter(|name| !GLOBALS.contains(&name.as_str()));
    for found in BRACKETS.captures_iter(text) {
        match jinja.template_from_str(&format!("{{{{{}}}}}", &found[1])) {
            Ok(parsed) => template.names.extend(outside(parsed.undeclared_variables(false))),
            Err(_) => template.brackets.push(text[..found.get_match().start()].matches('\n').count() + 1),
        }
    }
    match jinja.template_from_str(text) {
        Ok(parsed) => template.names.extend(outside(parsed.undeclared_variables(false))),
        Err(error) => {
            let message = error.detail().unwrap_or("the placeholders cannot be read").to_owned();
            template.broken = Some((message, error.line().unwrap_or(1)));
        }
    }
    template.names.sort();
    template.names.dedup();
    template
}
