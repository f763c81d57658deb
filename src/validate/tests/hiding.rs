//! Files with many faults: each is told, whatever else is wrong, and none that only follows from another.

use super::*;

const PACKAGES: &str = "channels: [conda-forge]\ndependencies: [python=3.11]\n";

/// A project whose pipeline.yaml is this.
fn with(pipeline: &str) -> MemoryTree {
    project().with("env.yaml", "{}\n").with("pipeline.yaml", pipeline)
}

/// What is told, one line a finding: line, code, message.
fn told(tree: &MemoryTree) -> Vec<String> {
    let line = |found: &Diagnostic| found.line_column().map_or(0, |(line, _)| line);
    run(tree).diagnostics.iter().map(|found| format!("{} {}: {}", line(found), found.code, found.message)).collect()
}

/// The codes, in the order told.
fn told_codes(tree: &MemoryTree) -> Vec<&'static str> {
    codes(&run(tree))
}

#[test]
fn a_source_loader_that_says_nothing_hides_no_source_that_is_nowhere() {
    let tree = with(
        "meta: {source_loader: 5}\ntasks:\n  - {source: nope.py, product: a.ipynb}\n  - {source: deep/b.py, product: b.ipynb}\n",
    );
    let found = told(&tree.with("src/deep/b.py", NOTEBOOK));
    assert_eq!(
        found,
        [
            "1 pipeline/meta: `source_loader` must be a mapping, but is a number",
            "3 source/file: there is no file `nope.py`"
        ]
    );
}

#[test]
fn a_source_loader_finds_sources_in_its_folders_or_beside_its_module_and_nowhere_else() {
    let tasks = "tasks:\n  - {source: a.py, product: a.ipynb}\n  - {source: t.py, product: t.ipynb}\n";
    let tree = |loader: &str| {
        with(&format!("meta: {{source_loader: {loader}}}\n{tasks}"))
            .with("src/t.py", NOTEBOOK)
            .with("pkg/__init__.py", "")
            .with("pkg/sub/t.py", NOTEBOOK)
    };
    assert_eq!(told(&tree("{path: src}")), ["3 source/file: there is no file `src/a.py`"]);
    assert_eq!(told(&tree("{path: [more, src]}")), ["3 source/file: there is no file `src/a.py`"]);
    assert_eq!(told(&tree("{module: pkg, path: sub}")), ["3 source/file: there is no file `pkg/sub/a.py`"]);
    assert_eq!(
        told(&tree("{module: pkg}")),
        ["3 source/file: there is no file `pkg/a.py`", "4 source/file: there is no file `pkg/t.py`"]
    );
    // Whose sources are nowhere to be seen is told of once.
    assert_eq!(told(&tree("{module: elsewhere}")), ["1 pipeline/meta: nothing provides the module `elsewhere`"]);
    let cell = tree("{path: src}").with("src/a.py", "x = 1\n");
    assert_eq!(told(&cell), ["3 source/file: `src/a.py` has no cell tagged `parameters`"]);
    assert!(has_errors(&run(&cell).diagnostics), "Ploomber mends no file that a loader found");
}

#[test]
fn a_class_that_there_is_not_hides_nothing_else_of_its_task() {
    let tree = with(
        "tasks:\n  - {source: nope.py, product: x.xyz, class: NotebookRuner, prams: {a: 1}, static_analysis: foo}\n",
    );
    assert_eq!(
        told_codes(&tree),
        ["source/file", "product/notebook", "task/class", "task/unknown-key", "task/value"],
        "{:?}",
        told(&tree)
    );
    // Of a class that nobody can guess, only what holds for every class is told.
    let tree = with("tasks:\n  - {source: nope.py, product: 5, class: Quite, prams: {a: 1}, chunksize: 1}\n");
    assert_eq!(
        told(&tree),
        [
            "2 source/file: there is no file `nope.py`",
            "2 product/form: a product must be a path, but this is a number",
            "2 task/class: there is no task class `Quite`",
            "2 task/unknown-key: no task takes a key `prams`",
        ]
    );
}

#[test]
fn a_line_for_pip_that_cannot_be_used_hides_no_other() {
    let environment = "channels: [x]\ndependencies:\n  - python\n  - pip\n  - pip:\n      - -r missing.txt\n      - pandas=1.0\n      \
                       - git+htps://h/x\n      - -r r.txt\n      - https://x y\n      - ./nope\n";
    let tree = with("tasks: []\n").with("environment.yml", environment).with("r.txt", "scipy=1\n--bar\n-r gone.txt\n");
    assert_eq!(
        told(&tree),
        [
            "6 environment/pip-line: `missing.txt`, named by `-r missing.txt`, cannot be read: there is no such file",
            "7 environment/pip-line: `=1.0` in `pandas=1.0` is not a version range",
            "8 environment/pip-line: pip knows no addresses that begin with `git+htps://`",
            "9 environment/pip-line: `--bar` is not supported in a `pip:` list: this option is not known here; remove it",
            "9 environment/pip-line: `gone.txt`, named by `-r gone.txt`, cannot be read: there is no such file",
            "9 environment/pip-line: `=1` in `scipy=1` is not a version range",
            "10 environment/pip-line: there is a blank in the address of `https://x y`",
            "11 environment/pip-line: `./nope` installs `nope`, and there is no such file or folder",
        ]
    );
    assert!(run(&tree).diagnostics.iter().all(|found| found.help.is_some()));
}

#[test]
fn a_misspelt_key_is_read_as_the_one_that_was_meant() {
    // Of `meta`: the tasks are not held to what its default would ask of them.
    let tree = with("meta: {extract_upstrem: false}\ntasks:\n  - {source: a.py, product: a.ipynb, upstream: [b]}\n");
    assert_eq!(told_codes(&tree), ["pipeline/meta", "task/upstream"], "{:?}", told(&tree));
    // Of a task: what it makes and reads is looked at, and others may need it.
    let tree = with(
        "meta: {extract_upstream: false}\ntasks:\n  - {sorce: nope.py, prodct: x.xyz}\n  - {source: a.py, product: a.ipynb, upstream: [nope]}\n",
    );
    assert_eq!(
        told_codes(&tree),
        ["pipeline/shape", "source/file", "pipeline/shape", "product/notebook"],
        "{:?}",
        told(&tree)
    );
}

#[test]
fn a_misspelt_or_missing_list_of_tasks_hides_no_other_key() {
    let tree = with("taks:\n  - {source: nope.py, product: x.ipynb}\nmeta: {foo: 1}\n");
    assert_eq!(told_codes(&tree), ["pipeline/shape", "source/file", "pipeline/meta"], "{:?}", told(&tree));
    let tree = with("tasks:\nmeta: {foo: 1}\nexecutor: paralel\n");
    assert_eq!(told_codes(&tree), ["pipeline/shape", "pipeline/meta", "pipeline/executor"], "{:?}", told(&tree));
}

#[test]
fn a_name_of_a_wrong_kind_hides_nothing_of_its_task() {
    let tree = with("tasks:\n  - {source: nope.py, product: x.xyz, name: [a], bogus: 1}\n");
    assert_eq!(
        told_codes(&tree),
        ["source/file", "product/notebook", "task/duplicate-name", "task/unknown-key"],
        "{:?}",
        told(&tree)
    );
}

#[test]
fn every_placeholder_without_a_value_is_told() {
    let tree = with("tasks:\n  - {source: a.py, product: '{{x}}/{{root}}/{{y}}.ipynb'}\n");
    assert_eq!(
        told(&tree),
        [
            "2 env/undefined: the placeholder `{{x}}` has no value",
            "2 env/undefined: the placeholder `{{y}}` has no value"
        ]
    );
}

#[test]
fn every_fault_of_a_source_is_told() {
    let tree = with("tasks:\n  - {source: a.py, product: a.ipynb}\n  - {source: s.sh, product: s.txt}\n")
        .with("a.py", "# + tags=[\"parameters\"]\nproduct = None\n")
        .with("s.sh", "[[ -f x ]]\necho {{product}}\n[[ -f y ]]\n");
    assert_eq!(
        told(&tree),
        [
            "2 source/file: `a.py` cannot be run: the parameters cell is the last one, so there is nothing to run",
            "2 source/file: the parameters cell of `a.py` does not say `upstream`",
            "3 source/template: Ploomber reads the `[[` in lines 1 and 3 of the source as a placeholder",
        ]
    );
}

#[test]
fn values_are_checked_where_there_is_no_pipeline() {
    let tree = MemoryTree::new().with("environment.yml", PACKAGES).with("env.yaml", "a__b: 1\n");
    assert_eq!(told_codes(&tree), ["layout/pipeline", "env/key"]);
}

#[test]
fn what_only_follows_from_another_fault_stays_unsaid() {
    // Tasks and values that are in a file which is not there.
    let tree = with(
        "meta: {extract_upstream: false, import_tasks_from: gone.yaml}\ntasks:\n  - {source: a.py, product: a.ipynb, upstream: [b]}\n",
    );
    assert_eq!(told_codes(&tree), ["pipeline/import"]);
    let tree = with("tasks:\n  - {source: a.py, product: '{{x}}/{{base}}.ipynb'}\n")
        .with("env.yaml", "meta: {import_from: gone.yaml}\nx: '{{base}}'\n");
    assert_eq!(told_codes(&tree), ["env/meta"]);
    let tree = MemoryTree::new()
        .with("environment.yml", PACKAGES)
        .with("pipeline.yaml", "tasks:\n  - {source: a.py, product: '{{out}}/a.ipynb'}\n")
        .with("a.py", NOTEBOOK)
        .with("env.yml", "out: output\n");
    assert_eq!(told_codes(&tree), ["env/name"]);
    // What a `meta` that cannot be read may have switched.
    let tree = with(
        "meta: [extract_upstream]\ntasks:\n  - {source: a.py, product: a.ipynb}\n  - {source: b.py, product: b.ipynb, upstream: [a]}\n",
    );
    assert_eq!(told_codes(&tree.with("b.py", NOTEBOOK)), ["pipeline/meta"]);
    // What a query would lack as a notebook, or as one that fills a table.
    let tree = with(
        "tasks:\n  - {source: q.sql, product: a.ipynb, class: NotebookRunner}\n  - {source: q.sql, name: r, product: a.cvs}\n",
    );
    assert_eq!(told_codes(&tree.with("q.sql", "SELECT 1\n")), ["task/class", "task/class"]);
    let tree = with("tasks: []\n").with("environment.yml", "channels: 5\ndependencies: [python]\n");
    assert_eq!(told_codes(&tree), ["environment/channels"]);
}

#[test]
fn findings_come_file_by_file_and_line_by_line() {
    let tree = with("meta: {foo: 1}\ntasks:\n  - {source: nope.py, product: x.ipynb}\nbogus: 1\n")
        .with("environment.yml", "channels: [x]\ndependencies:\n  - python=>3.9\n  - numpy>=\n")
        .with("env.yaml", "a__b: '{{nope}}'\n")
        .with("soopervisor.yaml", "network: brige\nprojct: x\n");
    let place = |found: &Diagnostic| {
        let (source, span) = found.place.clone().unwrap();
        (source.name.clone(), span.start)
    };
    let places: Vec<(String, usize)> = run(&tree).diagnostics.iter().map(place).collect();
    let mut files: Vec<&str> = places.iter().map(|(file, _)| file.as_str()).collect();
    files.dedup();
    assert_eq!(files, ["environment.yml", "pipeline.yaml", "env.yaml", "soopervisor.yaml"]);
    assert!(places.windows(2).all(|pair| pair[0].0 != pair[1].0 || pair[0].1 <= pair[1].1), "{places:?}");
}

#[test]
fn a_module_that_nothing_can_provide_is_an_error_and_a_doubt_is_a_warning() {
    let client = |module: &str| {
        with(&format!("tasks:\n  - {{source: a.py, product: a.ipynb}}\nclients: {{File: {module}.get}}\n"))
    };
    let said = |tree: &MemoryTree| {
        run(tree).diagnostics.iter().map(|found| (found.severity, found.message.clone())).collect::<Vec<_>>()
    };
    let error = (Severity::Error, "nothing provides the module `nowhere_at_all`".to_owned());
    let warning = (Severity::Warning, "the module `nowhere_at_all` is not in this repository".to_owned());
    let nowhere = client("nowhere_at_all");
    assert_eq!(said(&nowhere), [error]);
    for doubt in [
        nowhere.clone().with("environment.yml", PACKAGES.replace("python", "our-own-thing, python")),
        nowhere.clone().with("soopervisor.yaml", "env: {PYTHONPATH: /srv/code}\n"),
        nowhere.clone().with("setup.py", ""),
        nowhere.clone().with("deep/down/nowhere_at_all.py", ""),
    ] {
        assert_eq!(said(&doubt), std::slice::from_ref(&warning));
    }
    assert!(said(&client("functools")).is_empty(), "Python has it");
    let named = client("our_own_thing").with("environment.yml", PACKAGES.replace("python", "our-own-thing, python"));
    assert!(said(&named).is_empty(), "a package of that name is installed");
}
