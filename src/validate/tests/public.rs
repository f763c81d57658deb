//! What the pipelines of others have shown: sources that name their product, loaders of modules that nobody has, pipelines
//! that a function makes, scripts that are no templates.

use super::*;

/// A project with this pipeline.yaml, and an environment.yml of which all modules are known.
fn with(pipeline: &str) -> MemoryTree {
    project().with("env.yaml", "{}\n").with("pipeline.yaml", pipeline)
}

/// What is told, one line a finding: file, line, code and message.
fn told(tree: &MemoryTree) -> Vec<String> {
    let line = |found: &Diagnostic| {
        let (source, _) = found.place.as_ref().unwrap();
        let (line, _) = found.line_column().unwrap_or_default();
        assert!(found.help.is_some(), "{found:?}");
        format!("{}:{line} {}: {}", source.name, found.code, found.message)
    };
    run(tree).diagnostics.iter().map(line).collect()
}

fn help(tree: &MemoryTree) -> String {
    run(tree).diagnostics.into_iter().next().unwrap().help.unwrap()
}

#[test]
fn a_sql_script_may_say_itself_what_it_makes() {
    let sql = |class: &str, text: &str| {
        let top =
            "meta: {extract_product: true}\nclients: {SQLScript: db.get, SQLDump: db.get, SQLiteRelation: db.get}\n";
        let tree = with(&format!("{top}tasks:\n  - {{source: q.sql, name: q, class: {class}}}\n"));
        told(&tree.with("q.sql", text).with("db.py", "def get():\n    return None\n"))
    };
    let text = "{% set product = SQLiteRelation(['load', 'table']) %}\nCREATE TABLE {{product}} AS SELECT 1\n";
    assert_eq!(sql("SQLScript", text), [""; 0]);
    let no_value = |name: &str| {
        format!("pipeline.yaml:4 source/template: the placeholder `{{{{{name}}}}}` of the source has no value")
    };
    // Ploomber gives it to no other class, and knows its own products only.
    assert!(sql("SQLDump", text).contains(&no_value("SQLiteRelation")), "{:?}", sql("SQLDump", text));
    assert_eq!(sql("SQLScript", &text.replace("SQLiteRelation", "Relation")), [no_value("Relation")]);
    let other = "{% set product = SQLiteRelation(['load', 'table']) %}\nCREATE TABLE {{product}} AS SELECT {{File}}\n";
    assert_eq!(sql("SQLScript", other), [no_value("File")]);
}

#[test]
fn the_module_of_a_source_loader_has_to_be_there() {
    let loader = |module: &str| {
        let top = format!("meta: {{source_loader: {{module: {module}}}}}\n");
        with(&format!("{top}tasks:\n  - {{source: s.sh, product: x}}\n"))
            .with("pkg/__init__.py", "")
            .with("pkg/s.sh", "touch {{product}}\n")
            .with("bare/s.sh", "touch {{product}}\n")
    };
    assert_eq!(told(&loader("pkg")), [""; 0]);
    let line = "pipeline.yaml:1 pipeline/meta: ";
    assert_eq!(told(&loader("nowhere_pkg")), [format!("{line}nothing provides the module `nowhere_pkg`")]);
    assert_eq!(told(&loader("pkg.gone")), [format!("{line}there is no module `pkg.gone` in this repository")]);
    assert_eq!(
        told(&loader("bare")),
        [format!("{line}`bare` is a folder without `__init__.py`, beside which Ploomber finds no sources")]
    );
    // A package that may have it is none to be refused for.
    let open = loader("nowhere_pkg").with("environment.yml", "channels: [a]\ndependencies: [python, our-own]\n");
    let outcome = run(&open);
    assert!(!has_errors(&outcome.diagnostics), "{:?}", outcome.diagnostics);
    assert_eq!(codes(&outcome), ["pipeline/meta"]);
    let named = loader("our_own").with("environment.yml", "channels: [a]\ndependencies: [python, our-own]\n");
    assert_eq!(told(&named), [""; 0]);
}

#[test]
fn webpdf_needs_the_package_that_ploomber_looks_for() {
    let tree = |dependencies: &str| {
        with("tasks:\n  - {source: a.py, product: a.pdf, nbconvert_exporter_name: WebPDF}\n")
            .with("environment.yml", format!("channels: [a]\ndependencies: [{dependencies}]\n"))
    };
    assert_eq!(
        told(&tree("python")),
        ["pipeline.yaml:2 task/value: `webpdf` needs the package `pyppeteer`, which nothing provides"]
    );
    for dependencies in ["python, pyppeteer", "python, pip, {pip: [pyppeteer]}"] {
        assert_eq!(told(&tree(dependencies)), [""; 0], "{dependencies}");
    }
    let open = run(&tree("python, our-own"));
    assert_eq!((codes(&open), open.diagnostics[0].severity), (vec!["task/value"], Severity::Warning));
}

#[test]
fn keys_of_env_yaml_that_a_program_reads_are_not_called_unused() {
    let env = "out: x\nsample_frac: 1\n";
    let made = with("location: flow.make\n").with("flow.py", "def make():\n    return None\n").with("env.yaml", env);
    assert_eq!(told(&made), [""; 0]);
    let tasks = "tasks:\n  - {source: a.py, product: '{{out}}/a.ipynb'}\n";
    let plain = with(tasks).with("env.yaml", env);
    assert_eq!(told(&plain), ["env.yaml:2 env/unused: nothing uses `sample_frac`"]);
    let read = plain.with("lib/util.py", "from ploomber import with_env\n");
    assert_eq!(told(&read), [""; 0]);
}

#[test]
fn a_comment_of_jinja_that_nothing_ends_is_told_in_the_script() {
    let shell = |text: &str| with("tasks:\n  - {source: s.sh, product: x}\n").with("s.sh", text);
    let length = shell("touch {{product}}\necho ${#A[@]}\n");
    assert_eq!(
        told(&length),
        ["s.sh:2 source/template: Jinja reads this `{#` as the start of a comment, which nothing ends"]
    );
    assert!(help(&length).contains("{% raw %}"), "{}", help(&length));
    assert_eq!(told(&shell("touch {{product}}\n{% raw %}echo ${#A[@]}{% endraw %}\n")), [""; 0]);
    for (text, word) in [("touch {{product\n", "`}}`"), ("touch {{product}}\n{% if x\n", "`%}`")] {
        let tree = shell(text);
        assert!(told(&tree)[0].starts_with("s.sh:"), "{:?}", told(&tree));
        assert!(help(&tree).contains(word), "{}", help(&tree));
    }
}

#[test]
fn a_path_that_was_written_on_windows_is_told_with_the_one_that_is_there() {
    let tree = with("tasks:\n  - {source: \"tasks\\\\filter_data.py\", product: a.ipynb}\n")
        .with("tasks/filter_data.py", NOTEBOOK);
    assert_eq!(run(&tree).diagnostics[0].code, "source/file");
    assert_eq!(help(&tree), "write `tasks/filter_data.py`: `/` stands between folders");
    let gone = with("tasks:\n  - {source: \"tasks\\\\gone.py\", product: a.ipynb}\n");
    assert!(help(&gone).starts_with("write `tasks/gone.py`"), "{}", help(&gone));
}
