//! SQL and shell sources: which `{{placeholders}}` they use. Templates are parsed, never rendered.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use minijinja::Environment as Jinja;
use regex::Regex;

use crate::diag::{SourceText, Span};

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
    /// The class that it makes its `product` of, as in `{% set product = SQLiteRelation(…) %}`: a SQL script is given it.
    pub product_class: Option<String>,
    /// The lines of `[[ … ]]` that are no placeholders: Ploomber reads them as such, bash as tests.
    pub brackets: Vec<usize>,
    /// Why it is no template.
    pub broken: Option<Broken>,
    /// Keys of `product` that are certain to be asked for, with the line.
    pub keys: Vec<(String, usize)>,
    /// Filters that Jinja does not have, with the line.
    pub filters: Vec<(String, usize)>,
    /// Tasks that `upstream` is certain to be asked for.
    pub asked: Vec<Asked>,
    /// Files that are certain to be included, with the line: the name where it is a text, and whether it may be missing.
    pub includes: Vec<Include>,
}

/// Where a template cannot be read.
#[derive(Debug, Clone)]
pub(crate) struct Broken {
    /// The text.
    pub source: Arc<SourceText>,
    /// The place in it.
    pub span: Span,
    /// What is wrong.
    pub why: Why,
}

/// Why a template cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Why {
    /// `{#` starts a comment that nothing ends.
    Comment,
    /// What Jinja says.
    Said(String),
}

/// `{{upstream['task']}}`, or `{{upstream['task']['key']}}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The task.
    pub task: String,
    /// The key of its product, where one is asked for.
    pub key: Option<String>,
    /// Where it is asked for.
    pub line: usize,
}

/// A file that a template asks for.
#[derive(Debug, Clone)]
pub(crate) struct Include {
    /// Its name, where that is a text.
    pub name: Option<String>,
    /// Whether the template does without it.
    pub may_lack: bool,
    /// Where it is asked for.
    pub line: usize,
}

#[expect(clippy::expect_used, reason = "the patterns are constants of this file and used by its tests")]
fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a valid pattern")
}

static BRACKETS: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?s)\[\[(.*?)\]\]"));
static BLOCK: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?s)\{#.*?#\}|\{\{.*?\}\}|\{%.*?%\}"));
static UPSTREAM: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"\bupstream\s*(?:\[\s*(?:'([^']*)'|"([^"]*)")\s*\]|\.\s*([A-Za-z_]\w*))"#));
static PRODUCT_CLASS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\{%[-+]?\s*set\s+product\s*=\s*([A-Za-z_]\w*)\s*\("));
static SETS_PRODUCT: LazyLock<Regex> = LazyLock::new(|| pattern(r"\{%-?\s*set\s+product\b"));
/// Names that Jinja itself provides, and Ploomber.
const GLOBALS: [&str; 8] = ["range", "dict", "lipsum", "cycler", "joiner", "namespace", "raise", "get_key"];
/// The filters of Jinja 3.1.
pub(crate) const FILTERS: [&str; 54] = [
    "abs",
    "attr",
    "batch",
    "capitalize",
    "center",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "filesizeformat",
    "first",
    "float",
    "forceescape",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "random",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "string",
    "striptags",
    "sum",
    "title",
    "tojson",
    "trim",
    "truncate",
    "unique",
    "upper",
    "urlencode",
    "urlize",
    "wordcount",
    "wordwrap",
    "xmlattr",
];
/// Texts inside a placeholder or a statement.
static QUOTED: LazyLock<Regex> = LazyLock::new(|| pattern(r#"'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*""#));
static FILTER: LazyLock<Regex> = LazyLock::new(|| pattern(r"\|\s*([A-Za-z_][\w.]*)"));
/// A placeholder that is a key of `product` and nothing else.
static KEY: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"^product\s*(?:\[\s*(?:'([^'\\]*)'|"([^"\\]*)")\s*\]|\.\s*([A-Za-z_]\w*))$"#));
/// A placeholder that is a task of `upstream`, or a key of its product, and nothing else.
static ASKED: LazyLock<Regex> = LazyLock::new(|| {
    let key = r#"(?:\s*(?:\[\s*(?:'([^'\\]*)'|"([^"\\]*)")\s*\]|\.\s*([A-Za-z_]\w*)))"#;
    pattern(&format!("^upstream{key}{key}?$"))
});
static SETS_UPSTREAM: LazyLock<Regex> = LazyLock::new(|| pattern(r"\{%-?\s*set\s+upstream\b"));
static INCLUDE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"(?s)^(?:include|import|extends|from)\b\s*(?:'([^'\\]*)'|"([^"\\]*)")?(.*)$"#));
/// Statements of Jinja that the parser here does not have; a file that uses them is not judged.
static BEYOND: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\{%-?\s*(?:import|from|include|extends|macro|call|do|block|raw)\b"));

fn line(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Takes in what is rendered whatever the params are: what stands in no `{% if %}`, `{% for %}` or the like.
fn certain(text: &str, template: &mut Template) {
    let (mut depth, mut raw) = (0_usize, false);
    for block in BLOCK.find_iter(text).filter(|block| !block.as_str().starts_with("{#")) {
        let at = line(text, block.start());
        let inner = block.as_str();
        let inner = inner[2..inner.len() - 2].trim_matches(['-', '+']).trim();
        if block.as_str().starts_with("{{") {
            if depth == 0 && !raw {
                placeholder(inner, at, template);
            }
            continue;
        }
        let word = inner.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        match word {
            "endraw" => raw = false,
            _ if raw => {}
            "raw" => raw = true,
            "if" | "for" | "macro" | "call" | "filter" | "block" | "with" | "autoescape" => depth += 1,
            "set" if !inner.contains('=') => depth += 1,
            _ if word.starts_with("end") => depth = depth.saturating_sub(1),
            "include" | "import" | "extends" | "from" if depth == 0 => template.includes.extend(include(inner, at)),
            "set" if depth == 0 => filters(inner, at, template),
            _ => {}
        }
    }
}

fn include(inner: &str, line: usize) -> Option<Include> {
    let found = INCLUDE.captures(inner)?;
    let name = found.get(1).or(found.get(2)).map(|name| name.as_str().to_owned());
    let may_lack = found.get(3).is_some_and(|rest| rest.as_str().contains("ignore"));
    Some(Include { name, may_lack, line })
}

fn placeholder(inner: &str, line: usize, template: &mut Template) {
    if let Some(found) = KEY.captures(inner) {
        let key = found.iter().skip(1).flatten().map(|key| (key.as_str().to_owned(), line));
        template.keys.extend(key);
    }
    if let Some(found) = ASKED.captures(inner) {
        let text = |groups: [usize; 3]| {
            groups.into_iter().find_map(|group| found.get(group)).map(|text| text.as_str().to_owned())
        };
        let asked = text([1, 2, 3]).map(|task| Asked { task, key: text([4, 5, 6]), line });
        template.asked.extend(asked);
    }
    filters(inner, line, template);
}

/// Jinja looks filters up when it reads a template, but for those of an `if`.
fn filters(inner: &str, line: usize, template: &mut Template) {
    let plain = QUOTED.replace_all(inner, "''");
    let is_read = plain.matches(['\'', '"']).count() == 2 * plain.matches("''").count();
    if !is_read || plain.split_whitespace().any(|word| word == "if") {
        return;
    }
    let names = FILTER.captures_iter(&plain).map(|found| found[1].to_owned());
    template.filters.extend(names.filter(|name| !FILTERS.contains(&name.as_str())).map(|name| (name, line)));
}

/// The place that Jinja stops at, which tells a line only.
fn broken(name: &str, text: &str, error: &minijinja::Error) -> Broken {
    let source = Arc::new(SourceText { name: name.to_owned(), text: text.to_owned() });
    let said = error.detail().unwrap_or("the placeholders cannot be read");
    if let Some(start) = open_comment(text).filter(|_| said.contains("end of comment")) {
        return Broken { source, span: Span { start, len: 2 }, why: Why::Comment };
    }
    let above = error.line().unwrap_or(1).saturating_sub(1);
    let line = text.split_inclusive('\n').nth(above).unwrap_or_default();
    let start = text.split_inclusive('\n').take(above).map(str::len).sum::<usize>().min(text.len());
    let indent = line.len() - line.trim_start().len();
    let span = Span { start: start + indent, len: line.trim().len() };
    Broken { source, span, why: Why::Said(said.to_owned()) }
}

/// The first `{#` that starts a comment which nothing ends.
fn open_comment(text: &str) -> Option<usize> {
    let mut from = 0;
    let ends = BLOCK.find_iter(text).map(|block| (block.start(), block.end()));
    for (start, end) in ends.chain([(text.len(), text.len())]) {
        if let Some(at) = text[from..start].find("{#") {
            return Some(from + at);
        }
        from = end;
    }
    None
}

/// The first `{% do … %}`: Jinja has it only where that is asked for, and Ploomber does not.
fn doing(text: &str) -> Option<Span> {
    let mut raw = false;
    let found = BLOCK.find_iter(text).find(|block| {
        let inner = block.as_str().strip_prefix("{%").map(|inner| inner.trim_start_matches(['-', '+']).trim_start());
        match inner.unwrap_or_default().split(|c: char| !c.is_alphanumeric()).next() {
            Some("raw") => raw = true,
            Some("endraw") => raw = false,
            Some("do") => return !raw,
            _ => {}
        }
        false
    });
    found.map(|block| Span { start: block.start(), len: block.len() })
}

/// Reads a template; `name` is where it lies.
pub(super) fn read(name: &str, text: &str) -> Template {
    let mut template = Template { judged: true, sets_product: SETS_PRODUCT.is_match(text), ..Template::default() };
    template.product_class = PRODUCT_CLASS.captures_iter(text).last().map(|found| found[1].to_owned());
    for block in BLOCK.find_iter(text).filter(|block| !block.as_str().starts_with("{#")) {
        for found in UPSTREAM.captures_iter(block.as_str()) {
            template.upstream.extend(found.iter().skip(1).flatten().map(|name| name.as_str().to_owned()));
        }
    }
    template.upstream.sort();
    template.upstream.dedup();
    certain(text, &mut template);
    if SETS_UPSTREAM.is_match(text) {
        template.asked.clear();
    }
    if let Some(span) = doing(text) {
        let source = Arc::new(SourceText { name: name.to_owned(), text: text.to_owned() });
        template.broken = Some(Broken { source, span, why: Why::Said("unknown statement do".to_owned()) });
        template.judged = false;
        return template;
    }
    if BEYOND.is_match(text) {
        template.judged = false;
        return template;
    }
    let jinja = Jinja::new();
    let outside = |names: HashSet<String>| names.into_iter().filter(|name| !GLOBALS.contains(&name.as_str()));
    for found in BRACKETS.captures_iter(text) {
        // A bracket that closes one inside may stand before those that close the placeholder.
        let behind = &text[found.get_match().end()..];
        let more = behind.bytes().take_while(|byte| *byte == b']').count().min(3);
        let names_of = |more: usize| {
            let inside = format!("{{{{{}{}}}}}", &found[1], "]".repeat(more));
            let parsed = jinja.template_from_str(&inside).ok()?;
            let names: HashSet<String> = parsed.undeclared_variables(false);
            Some(names)
        };
        let parsed = (0..=more).find_map(names_of);
        match parsed {
            Some(names) => template.names.extend(outside(names)),
            None => template.brackets.push(line(text, found.get_match().start())),
        }
    }
    match jinja.template_from_str(text) {
        Ok(parsed) => template.names.extend(outside(parsed.undeclared_variables(false))),
        Err(error) => template.broken = Some(broken(name, text, &error)),
    }
    template.names.sort();
    template.names.dedup();
    template
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Template {
        super::read("s.sh", text)
    }

    #[test]
    fn keys_of_the_product_are_told_where_they_are_certain_to_be_asked_for() {
        let keys =
            |text: &str| read(text).keys.into_iter().map(|(key, line)| format!("{key} {line}")).collect::<Vec<_>>();
        assert_eq!(keys("{{product['a']}}\n{{- product.b }} {{ product[\"c\"] -}}"), ["a 1", "b 2", "c 2"]);
        for text in [
            "{{product}}",
            "{{product['a'] | default('x')}}",
            "{% if x %}{{product['a']}}{% endif %}",
            "{% raw %}{% endif %}{{product['a']}}{% endraw %}",
            "{# {{product['a']}} #}",
            "{{product['a'] if x else 1}}",
            "{% set product = 1 %}{% if product['a'] is defined %}{% endif %}",
            "[[product['a']]]",
        ] {
            assert_eq!(keys(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn tasks_and_keys_that_upstream_is_certain_to_be_asked_for_are_told() {
        let asked = |text: &str| {
            let one = |asked: Asked| format!("{} {:?} {}", asked.task, asked.key, asked.line);
            read(text).asked.into_iter().map(one).collect::<Vec<_>>()
        };
        assert_eq!(
            asked("{{upstream['a']}}\n{{- upstream.b['c'] }} {{ upstream[\"d\"] . e }}"),
            ["a None 1", "b Some(\"c\") 2", "d Some(\"e\") 2"]
        );
        for text in [
            "{{upstream}}",
            "{{upstream['a'] | default('x')}}",
            "{{upstream[x]}}",
            "{{upstream['a'].b.c}}",
            "{% if x %}{{upstream['a']}}{% endif %}",
            "{% set upstream = x %}{{upstream['a']}}",
            "[[upstream['a']]]",
        ] {
            assert_eq!(asked(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn filters_that_jinja_does_not_have_are_told_and_pipes_of_a_shell_are_none() {
        let filters = |text: &str| read(text).filters.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(
            filters("{{ product|nope }} {{ 'a' | upper|other('|x') }}{% set x = y|third %}"),
            ["nope", "other", "third"]
        );
        for text in [
            "{{product|upper}} | nope",
            "{{ 'a|nope' }}",
            "{% if x %}{{ y|nope }}{% endif %}",
            "{{ x|nope if y else z }}",
        ] {
            assert_eq!(filters(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn files_that_are_asked_for_are_told_with_what_they_are_called() {
        let includes = |text: &str| {
            let told = read(text).includes.into_iter();
            told.map(|one| (one.name.unwrap_or_else(|| "?".to_owned()), one.may_lack, one.line)).collect::<Vec<_>>()
        };
        let text = "{% include 'a.sh' %}\n{%- import \"m\" as m -%}\n{% include x %}{% include 'b' ignore missing %}";
        let told = [("a.sh", false, 1), ("m", false, 2), ("?", false, 3), ("b", true, 3)];
        assert_eq!(includes(text), told.map(|(name, may_lack, line)| (name.to_owned(), may_lack, line)));
        assert!(includes("{% if x %}{% include 'a' %}{% endif %}").is_empty());
    }

    #[test]
    fn a_bracket_inside_brackets_is_read_as_ploomber_reads_it() {
        let template = read("touch {{product}} [[product['z']]] [[ -f x ]]\n");
        assert_eq!((template.names, template.brackets), (vec!["product".to_owned()], vec![1]));
        assert_eq!(read("{{ get_key('a.json', 'b') }}").names, [""; 0]);
    }

    #[test]
    fn a_comment_that_nothing_ends_is_told_where_it_starts() {
        let broken = |text: &str| {
            let broken = read(text).broken.unwrap();
            let shown = broken.source.text[broken.span.start..broken.span.start + broken.span.len].to_owned();
            (broken.source.name.clone(), broken.span.start, shown, broken.why)
        };
        let text = "touch {{product}} {# fine #}\necho ${#A[@]} {{product}} ${#B}\n";
        assert_eq!(broken(text), ("s.sh".to_owned(), 35, "{#".to_owned(), Why::Comment));
        let (_, start, shown, why) = broken("touch {{product}}\n  echo {{ x\n");
        assert_eq!((start, shown.as_str()), (20, "echo {{ x"));
        assert!(matches!(why, Why::Said(_)), "{why:?}");
        assert!(read("{% raw %}${#A}{% endraw %} {{product}}").broken.is_none());
    }

    #[test]
    fn a_statement_that_ploomber_does_not_ask_jinja_for_is_refused() {
        let broken = |text: &str| read(text).broken.map(|broken| (broken.span.start, broken.span.len));
        assert_eq!(broken("{{product}}\n{%- do [].append(1) %}\n"), Some((12, 22)));
        for text in ["{% raw %}{% do x %}{% endraw %}", "{# {% do x %} #}{{product}}", "{% set do = 1 %}"] {
            assert_eq!(broken(text), None, "{text}");
        }
    }

    #[test]
    fn the_class_that_a_source_makes_its_product_of_is_known() {
        let class = |text: &str| read(text).product_class;
        let text = "{% set product = SQLiteRelation(['a', 'table']) %}\nCREATE TABLE {{product}} AS SELECT 1\n";
        assert_eq!(class(text), Some("SQLiteRelation".to_owned()));
        assert_eq!(class("{%- set product=File('x') -%}"), Some("File".to_owned()));
        assert_eq!(class("{% set product = 'x' %}{% set other = File('x') %}"), None);
    }
}
