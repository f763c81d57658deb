//! What the pipelines of others have shown: sources that name their product, loaders of modules that nobody has, pipelines
//! that a function makes, scripts that are no templates, modules of other editors, slips.

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

/// A project whose one task is the function `a` of this module.
fn module(text: &str) -> MemoryTree {
    with("tasks:\n  - {source: fns.a, product: a.csv}\n").with("fns.py", text)
}

#[test]
fn a_module_may_begin_with_a_mark_of_its_encoding_or_a_form_feed() {
    for text in [
        "\u{feff}def a(product):\n    pass\n",
        "\u{c}def a(product):\n    pass\n",
        "x = 1\n  \u{c}def a(product):\n    pass\n",
        "\u{feff}# words\ndef a(product):\n    pass\n",
    ] {
        assert_eq!(told(&module(text)), [""; 0], "{text:?}");
    }
    let indented = module("if x:\n    \u{c}  def a(product):\n        pass\n");
    assert_eq!(codes(&run(&indented)), ["source/function"]);
}

#[test]
fn a_text_with_code_may_hold_its_own_quotes() {
    for body in ["x = f\"{y[\"(\"]}\"", "x = f'{', ('.join(y)}'", "x = f\"{f\"{\")\"}\"}\""] {
        let text = format!("def a(product):\n    {body}\n\ndef b(product, upstream):\n    upstream['a']\n");
        let tasks = "tasks:\n  - {source: fns.a, product: a.csv}\n  - {source: fns.b, product: b.csv}\n";
        let outcome = run(&with(tasks).with("fns.py", text));
        assert_eq!(codes(&outcome), [""; 0], "{body}: {:?}", outcome.diagnostics);
        let pipeline = outcome.project.unwrap().pipeline;
        let needs: Vec<usize> = pipeline.tasks.iter().map(|task| task.upstream.len()).collect();
        assert_eq!(needs, [0, 1], "{body}");
    }
}

#[test]
fn a_block_without_a_colon_is_told_where_it_begins() {
    for (text, line) in [
        ("def a(product)\n    pass\n", 1),
        ("def a(product) -> dict[str, {1: 2}]\n    pass\n", 1),
        ("async def a(product)\n    pass\n", 1),
        ("def a(product):\n    if x \\\n        and y\n        pass\n", 2),
        ("def a(product):\n    for x in y[1:2]  # words:\n        pass\n", 2),
        ("def a(product):\n    try:\n        pass\n    finally\n        pass\n", 4),
        ("def a(product):\n    if x:\n        pass\n    else\n        pass\n", 4),
        ("def a(product):\n    with open('x:') as y\n        pass\n", 2),
        ("class B\n    pass\ndef a(product):\n    pass\n", 1),
    ] {
        let wrong = format!("fns.py:{line} source/function: Python cannot read `fns.py`: this line has no `:`");
        assert_eq!(told(&module(text)), [wrong], "{text}");
    }
    for body in [
        "x = 1 \\\n    if y else 2",
        "x = [\n    z\n    for z in y\n    if z\n    ]",
        "if x: y\n    else: z",
        "if (x and\n    y): z",
        "match = x\n    case = type = 1",
        "if x \\\r\n        and y: z",
        "x = f\"{y[\"a\"]}\"",
        "'''\n    if x\n    '''",
        "# if x\n    while x: pass",
        "iffy = format(else_=1)",
    ] {
        assert_eq!(told(&module(&format!("def a(product):\n    {body}\n"))), [""; 0], "{body}");
    }
}

#[test]
fn the_file_of_imported_tasks_is_held_to_what_the_pipeline_is() {
    let tree = |tasks: &str| {
        let pipeline = "meta: {import_tasks_from: p.yaml}\ntasks:\n  - {source: a.py, product: a.ipynb}\n";
        with(pipeline).with("env.yaml", "o: x\n").with("p.yaml", tasks).with("b.py", NOTEBOOK).with("c.py", NOTEBOOK)
    };
    assert_eq!(told(&tree("- {source: b.py, product: '{{o}}/b.ipynb'}\n")), [""; 0]);
    let unused = tree("- {source: b.py, product: b.ipynb}\n");
    assert_eq!(told(&unused), ["env.yaml:1 env/unused: nothing uses `o`"]);
    let twice = tree("- {source: b.py, product: &p '{{o}}/b.ipynb'}\n- {source: c.py, product: &p '{{o}}/c.ipynb'}\n");
    assert_eq!(told(&twice), ["p.yaml:2 yaml/alias: an anchor above has this name: Ploomber refuses the file"]);
}

#[test]
fn a_slip_is_told_once_and_with_the_whole_name_that_was_meant() {
    let nested = with("tasks:\n  - {source: a.py, product: '{{path.outt}}/a.ipynb'}\n");
    let near = nested.with("env.yaml", "path: {out: out, other: x}\n");
    assert_eq!(help(&near), "did you mean `{{path.out}}`?");
    assert_eq!(help(&near.with("env.yaml", "path: {b: x, a: y}\n")), "known here: `a`, `b`");
    let tasks = |wanted: &str| {
        let needs = format!("def a(product, upstream):\n    upstream['{wanted}']\n");
        with("tasks:\n  - {source: fns.feature, product: f.csv}\n  - {source: fns.a, product: a.csv}\n")
            .with("fns.py", format!("def features(product):\n    pass\n\n{needs}"))
    };
    let slip = "pipeline.yaml:2 source/function: `fns.py` defines no `feature`";
    assert_eq!(told(&tasks("features")), [slip]);
    let other = "pipeline.yaml:3 task/upstream: the task `a` needs `other`, which is no task";
    assert_eq!(told(&tasks("other")), [slip, other]);
}

#[test]
fn a_misspelt_file_is_told_once_also_where_others_need_its_task() {
    let tree = |source: &str, wanted: &str| {
        let tasks =
            format!("tasks:\n  - {{source: {source}, product: l.ipynb}}\n  - {{source: b.py, product: b.ipynb}}\n");
        let needs = NOTEBOOK.replace("upstream = None", &format!("upstream = ['{wanted}']"));
        with(&tasks).with("src/load.py", NOTEBOOK).with("b.py", needs)
    };
    let slip = |path: &str| format!("pipeline.yaml:2 source/file: there is no file `{path}`");
    let misspelt = tree("src/laod.py", "load");
    assert_eq!(told(&misspelt), [slip("src/laod.py")]);
    assert_eq!(help(&misspelt), "did you mean `src/load.py`?");
    let needs = |name: &str| format!("pipeline.yaml:3 task/upstream: the task `b` needs `{name}`, which is no task");
    assert_eq!(told(&tree("src/laod.py", "other")), [slip("src/laod.py"), needs("other")]);
    assert_eq!(told(&tree("src/nowhere.py", "load")), [slip("src/nowhere.py"), needs("load")]);
    // Their endings make functions of these.
    for (source, there) in [("load.ipnyb", "load.ipynb"), ("load.pyy", "load.py"), ("load.PY", "load.py")] {
        let tree = tree(source, "load").with(there, NOTEBOOK);
        assert_eq!(told(&tree), [format!("pipeline.yaml:2 source/function: there is no file `{source}`")]);
        assert_eq!(help(&tree), format!("did you mean `{there}`?"));
    }
    let named = "tasks:\n  - {source: load.pyy, product: l.csv}\n";
    let near = with(named).with("load.py", "def pyyy(product):\n    pass\n");
    assert_eq!(told(&near), ["pipeline.yaml:2 source/function: `load.py` defines no `pyy`"]);
}

#[test]
fn a_plus_in_a_script_of_nbconvert_is_told_to_begin_no_cell() {
    let script = "# In[1]:\n# + tags=[\"parameters\"]\nupstream = None\n# In[2]:\nprint(1)\n";
    let tree = with("tasks:\n  - {source: b.py, product: b.ipynb}\n").with("b.py", script);
    assert_eq!(told(&tree), ["pipeline.yaml:2 source/file: `b.py` has no cell tagged `parameters`"]);
    assert!(help(&tree).contains("add `# %% tags=[\"parameters\"]`"), "{}", help(&tree));
    assert!(!has_errors(&run(&tree).diagnostics));
}

#[test]
fn strict_analysis_holds_a_notebook_to_its_params_too() {
    let tree = |cell: &str| {
        let cells = format!(
            r#"{{"cell_type": "code", "metadata": {{"tags": ["parameters"]}}, "source": "{cell}", "outputs": []}},
            {{"cell_type": "code", "metadata": {{}}, "source": "print(1)", "outputs": [{{"data": {{"y": NaN}}}}]}}"#
        );
        let metadata = r#"{"kernelspec": {"name": "python3"}}"#;
        let text = format!(r#"{{"cells": [{cells}], "metadata": {metadata}, "nbformat": 4, "nbformat_minor": 4}}"#);
        with("tasks:\n  - {source: b.ipynb, product: o.ipynb, static_analysis: strict, params: {n: 1}}\n")
            .with("b.ipynb", text)
    };
    assert_eq!(told(&tree(r"upstream = None\nn = None")), [""; 0]);
    let lacks = "pipeline.yaml:2 source/strict: the task passes `n`, which the parameters cell does not set";
    assert_eq!(told(&tree("upstream = None")), [lacks]);
}
