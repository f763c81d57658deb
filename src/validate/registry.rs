//! Every code that can be said, with one sentence about it.

use super::rule;

/// A code and what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleInfo {
    /// Stable name, `room/kebab-name`.
    pub code: &'static str,
    /// One sentence.
    pub about: &'static str,
}

/// Codes that are said while files are read.
const READING: [(&str, &str); 37] = [
    ("yaml/too-large", "a file has at most 10 MiB"),
    ("yaml/encoding", "files are UTF-8"),
    ("yaml/control-character", "files hold no control characters"),
    ("yaml/unreadable", "files can be read"),
    ("yaml/many-documents", "a file holds one document"),
    ("yaml/value", "values are what their form promises: no thirteenth month, no lonely `=`"),
    ("yaml/tag", "there are no tags but those of plain YAML"),
    ("yaml/too-deep", "lists and mappings are nested at most 100 deep"),
    ("yaml/too-many-values", "a file has at most 500,000 values, aliases included"),
    ("yaml/tab", "lines are indented with spaces"),
    ("yaml/syntax", "files are YAML"),
    ("yaml/conflict", "files hold no marks of a merge conflict"),
    ("yaml/alias", "no anchor contains its own alias, and no two in the pipeline's files have one name"),
    ("yaml/key", "keys are no lists and no mappings"),
    ("yaml/merge", "`<<` merges mappings"),
    ("yaml/duplicate-key", "no key stands twice in a mapping"),
    ("layout/pipeline", "there is exactly one pipeline.yaml, at the top or in a package"),
    ("env/name", "env.yaml does not end in `.yml`"),
    ("env/shape", "env.yaml is a mapping"),
    ("env/key", "keys of env.yaml are texts without a double or a leading underscore"),
    ("env/meta", "`meta` of env.yaml holds `import_from` and nothing else"),
    ("env/undefined", "every placeholder has a value"),
    ("env/placeholder", "placeholders can be read"),
    ("pipeline/import", "`import_tasks_from` names a file with a list of tasks"),
    ("environment/missing", "there is an environment.yml"),
    ("environment/shape", "environment.yml is a mapping"),
    ("environment/unknown-key", "environment.yml has keys that conda knows"),
    ("environment/name", "the environment's name is one that conda takes"),
    ("environment/channels", "channels are a list of names or URLs"),
    ("environment/dependencies", "there is a list of dependencies"),
    ("environment/dependency", "dependencies are what conda can read"),
    ("environment/section", "`pip:` is the only section"),
    ("environment/pip", "the `pip:` section is a list of texts"),
    ("environment/no-pip", "`pip` is a dependency where there is a `pip:` section"),
    ("environment/pip-line", "lines of the `pip:` section, and the requirement files they name, can be used"),
    ("environment/variables", "variables are texts"),
    ("settings/value", "soopervisor.yaml has known keys and values of the right kind"),
];

/// Every rule, by code.
pub fn rules() -> Vec<RuleInfo> {
    let reading = READING.iter().map(|(code, about)| RuleInfo { code, about });
    let more = [
        RuleInfo { code: "settings/legacy", about: "soopervisor.yaml has no keys of soopervisor 0.3" },
        RuleInfo { code: "config/value", about: "config.yaml has known keys and values of the right kind" },
    ];
    let checks = rule::ALL.iter().chain(&rule::QUIET).map(|rule| RuleInfo { code: rule.code, about: rule.about });
    let mut all: Vec<RuleInfo> = reading.chain(more).chain(checks).collect();
    all.sort_by_key(|rule| rule.code);
    all
}
