//! What Ploomber refuses where one file has to be held against another: clients, hooks, grids, what sources ask for.

use super::*;

/// Functions of all kinds.
const FNS: &str = "def get(product):\n    pass\n\ndef bare():\n    pass\n\ndef fit(product, y=0):\n    pass\n\ndef hook(nope):\n    pass\n\n\
                   def report(dag, report):\n    pass\n\ndef own(task, client, product, params):\n    pass\n\ndef all(**kwargs):\n    pass\n\n\
                   @wrapped\ndef other(nope):\n    pass\n\ndef late(y):\n    pass\nlate = partial(late, y=1)\n\n\
                   class Get:\n    def __init__(self, product):\n        pass\n\nclass Bare:\n    pass\n\nclass Based(Get):\n    pass\n";

/// A project whose pipeline.yaml is this.
fn with(pipeline: &str) -> MemoryTree {
    project().with("env.yaml", "{}\n").with("pipeline.yaml", pipeline).with("fns.py", FNS)
}

/// A project with this one task, and what stands at its top.
fn task(top: &str, task: &str) -> MemoryTree {
    with(&format!("{top}tasks:\n  - {{{task}}}\n"))
        .with("q.sql", "CREATE TABLE {{product}} AS SELECT 1\n")
        .with("s.sh", "touch {{product}}\n")
}

/// What is told, one line a finding: its kind, line and column, code, message.
fn told(tree: &MemoryTree) -> Vec<String> {
    let kind = |found: &Diagnostic| if found.severity == Severity::Error { "" } else { "! " };
    let line = |found: &Diagnostic| {
        let (line, column) = found.line_column().unwrap_or_default();
        assert!(found.help.is_some(), "{found:?}");
        format!("{}{line}:{column} {}: {}", kind(found), found.code, found.message)
    };
    run(tree).diagnostics.iter().map(line).collect()
}

#[test]
fn a_table_in_a_database_needs_a_client_of_its_own() {
    let sql = |top: &str, more: &str| task(top, &format!("source: q.sql, product: [t, table]{more}"));
    let lacks =
        |class: &str| format!("pipeline/clients: a product of class `{class}` needs a client, and there is none");
    for (top, more) in [
        ("", ", product_class: SQLiteRelation"),
        ("clients: {SQLScript: fns.bare}\n", ", product_class: SQLiteRelation"),
        ("clients: {SQLiteRelation: null}\n", ", product_class: SQLiteRelation"),
        ("", ", product_class: SQLiteRelation, client: fns.bare"),
        ("meta: {product_default_class: {SQLScript: SQLiteRelation}}\n", ""),
    ] {
        let found = told(&sql(top, more));
        assert!(found.len() == 1 && found[0].ends_with(&lacks("SQLiteRelation")), "{top}{more}: {found:?}");
    }
    assert_eq!(told(&sql("", ", product_class: SQLiteRelation")), [format!("2:57 {}", lacks("SQLiteRelation"))]);
    let generic = task("", "source: fns.get, product: {a: x, b: y}, product_class: GenericProduct");
    assert_eq!(told(&generic), [format!("2:61 {}", lacks("GenericProduct"))]);
    for (top, more) in [
        ("", ""),
        ("clients: {SQLiteRelation: fns.bare}\n", ", product_class: SQLiteRelation"),
        ("", ", product_class: SQLiteRelation, product_client: fns.bare"),
        ("", ", product_class: SQLRelation"),
    ] {
        assert_eq!(told(&sql(top, more)), [""; 0], "{top}{more}");
    }
    assert_eq!(
        told(&sql("", ", on_finish: fns.bare")),
        ["2:42 pipeline/clients: `on_finish` of a task of class `SQLScript` gets its client, and there is none"]
    );
    assert_eq!(told(&sql("clients: {SQLScript: fns.bare}\n", ", on_finish: fns.own")), [""; 0]);
    // A slip in a key is told once.
    for top in ["clients: {SQLiteRelaton: fns.bare}\n", "cleints: {SQLiteRelation: fns.bare}\n"] {
        let found = told(&sql(top, ", product_class: SQLiteRelation"));
        assert!(found.len() == 1 && found[0].starts_with("1:"), "{found:?}");
    }
}

#[test]
fn clients_are_for_classes_that_there_are() {
    let clients = |clients: &str| told(&task(&format!("clients: {clients}\n"), "source: fns.get, product: x"));
    for class in ["File", "Product", "Task", "SQLDump", "EmptyProduct"] {
        assert_eq!(clients(&format!("{{{class}: fns.bare}}")), [""; 0], "{class}");
    }
    assert_eq!(clients("{Nope: null}"), [""; 0]);
    for class in ["Nope", "sqlscript", "TaskGroup", "MetaProduct", "DBAPIClient", "5"] {
        let expected =
            format!("1:11 pipeline/clients: no client can be for `{class}`, which is no class of tasks or products");
        assert_eq!(clients(&format!("{{{class}: fns.bare}}")), [expected]);
    }
    assert_eq!(
        clients("{File: {dotted_path: fns.bare, z: 1}}"),
        ["1:41 pipeline/dotted-path: the function `bare` takes no `z`"]
    );
}

#[test]
fn hooks_need_only_what_ploomber_passes() {
    let of_task = |hook: &str| told(&task("", &format!("source: fns.get, product: x, {hook}")));
    let of_all = |hook: &str| told(&task(&format!("{hook}\n"), "source: fns.get, product: x"));
    for hook in ["own", "bare", "other", "fit", "late", "Get", "Bare", "Based"] {
        assert_eq!(of_task(&format!("on_finish: fns.{hook}")), [""; 0], "{hook}");
    }
    for (hook, lacking) in [("hook", "nope"), ("all", "kwargs"), ("report", "dag")] {
        for key in ["on_finish", "on_render", "on_failure"] {
            let found = of_task(&format!("{key}: fns.{hook}"));
            let column = 37 + key.len();
            let expected = format!(
                "2:{column} pipeline/hook: the function `{hook}` needs `{lacking}`, which no `{key}` of a task gets"
            );
            assert_eq!(found.first(), Some(&expected), "{found:?}");
        }
    }
    assert_eq!(of_all("on_finish: fns.report"), [""; 0]);
    let needs =
        |key: &str| format!("pipeline/hook: the function `hook` needs `nope`, which no `{key}` of the pipeline gets");
    assert_eq!(of_all("on_render: fns.hook"), [format!("1:12 {}", needs("on_render"))]);
    assert_eq!(of_all("on_finish: fns.hook"), [format!("1:12 {}", needs("on_finish"))]);
    // Only a run that has failed already calls it.
    assert_eq!(of_all("on_failure: fns.hook"), [format!("! 1:13 {}", needs("on_failure"))]);
    assert_eq!(of_task("on_render: {dotted_path: fns.hook, nope: 1}"), [""; 0]);
    let takes = "pipeline/hook: the function `bare` takes no `nope`";
    assert_eq!(of_task("on_render: {dotted_path: fns.bare, nope: 1}"), [format!("2:70 {takes}")]);
    assert_eq!(of_task("on_failure: {dotted_path: fns.bare, nope: 1}"), [format!("! 2:71 {takes}")]);
    assert_eq!(
        of_task("on_finish: {dotted_path: fns.own, 5: 1}"),
        ["2:69 pipeline/dotted-path: a key beside `dotted_path` must be a text, but this is a number"]
    );
}

#[test]
fn a_serializer_writes_what_a_function_returns() {
    let by = |top: &str, function: &str, more: &str| {
        let tree = task(top, &format!("source: fns.{function}, product: x{more}"));
        told(&tree.with("serial.py", "def save(obj, product):\n    pass\n"))
    };
    let (top, own) = ("serializer: serial.save\n", ", serializer: serial.save");
    assert_eq!((by(top, "bare", ""), by("", "bare", own)), (Vec::new(), Vec::new()));
    let takes = |function: &str| {
        format!("source/function: the function `{function}` takes `product`, but a serializer writes what it returns")
    };
    assert_eq!(by(top, "get", ""), [format!("3:14 {}", takes("get"))]);
    assert_eq!(by("", "get", own), [format!("2:14 {}", takes("get"))]);
    assert_eq!(
        by("", "get", ", serializer: null"),
        ["2:47 pipeline/dotted-path: `serializer` must be a dotted path, but is nothing"]
    );
}

#[test]
fn a_class_is_called_as_its_own_init_says() {
    let source = |source: &str| told(&task("", &format!("source: fns.{source}, product: x")));
    for name in ["Get", "Based", "late", "other"] {
        assert_eq!(source(name), [""; 0], "{name}");
    }
    assert_eq!(source("Bare"), ["2:14 source/function: the function `Bare` takes no `product`"]);
}

#[test]
fn a_grid_makes_no_two_tasks_of_one_name_or_product() {
    let grid = |name: &str, grid: &str, more: &str| {
        let fit = format!("{{source: fns.fit, product: o.txt, name: '{name}', grid: {grid}}}");
        told(&with(&format!("tasks:\n  - {fit}\n{more}")))
    };
    for (name, values) in
        [("g-", "{y: [1, 1]}"), ("g-[[y]]", "{y: [1, 2]}"), ("g-[[a]]", "{y: 1}"), ("g-[[y]]", "{y: 'v::all'}")]
    {
        let found = grid(name, values, "");
        assert!(!found.iter().any(|found| found.contains("task/duplicate-name")), "{name} {values}: {found:?}");
    }
    let twice = |name: &str| format!("2:45 task/duplicate-name: the grid makes two tasks that are called `{name}`");
    assert_eq!(grid("g-[[a]]", "{y: [1, 2]}", ""), [twice("g-")]);
    assert_eq!(grid("g-[[y]]", "{y: [1, '1']}", ""), [twice("g-1")]);
    assert_eq!(grid("g-[[y]]", "[{y: [1, 2]}, {y: [2, 3]}]", ""), [twice("g-2")]);
    assert_eq!(
        grid("g-", "{y: [1, 2]}", "  - {source: fns.get, product: z, name: g-1}\n"),
        ["3:41 task/duplicate-name: a second task is called `g-1`"]
    );
    assert_eq!(
        grid("g-", "{y: [1, 2]}", "  - {source: fns.get, product: o-1.txt}\n"),
        ["3:32 product/clash: the task `g-` makes `o-1.txt` too"]
    );
    assert_eq!(grid("g-", "{y: [1, 2]}", "  - {source: fns.get, product: o-2.txt}\n"), [""; 0]);
    let client =
        told(&task("", "source: s.sh, product: x, name: g-, grid: {}, client: fns.bare, product_client: fns.bare"));
    assert_eq!(
        client,
        [
            "2:52 task/grid: Ploomber does not call the function of `client` for a task with `grid`",
            "2:70 task/grid: a task with `grid` takes no `product_client`"
        ]
    );
}

#[test]
fn what_a_template_asks_for_and_there_is_not_is_told() {
    let shell =
        |product: &str, text: &str| told(&task("", &format!("source: s.sh, product: {product}")).with("s.sh", text));
    let line = "2:14 source/template: ";
    assert_eq!(
        shell("{a: x, b: y}", "touch {{product['a']}}\ntouch {{product['z']}}\n"),
        [format!("{line}the product has no key `z`, which line 2 of the source asks for")]
    );
    for text in ["touch {{product['a']}} {{product.b}} {{product['exists']}}", "{% if 1 %}{{product['z']}}{% endif %}"]
    {
        assert_eq!(shell("{a: x, b: y}", text), [""; 0], "{text}");
    }
    assert_eq!(
        shell("x", "touch {{product|uper}} | cat\n"),
        [format!("{line}Jinja has no filter `uper`, which line 1 of the source uses")]
    );
    assert_eq!(
        shell("x", "touch {{product}}\n{% include 'more.sh' %}\n"),
        [format!("{line}line 2 of the source includes `more.sh`, and Ploomber has no folder to look in")]
    );
    let loaded = |text: &str| {
        let tree = task("meta: {source_loader: {path: src}}\n", "source: s.sh, product: x");
        told(&tree.with("src/s.sh", text).with("src/more.sh", ""))
    };
    assert_eq!(loaded("touch {{product}}\n{% include 'more.sh' %}{% include 'gone' ignore missing %}"), [""; 0]);
    assert_eq!(
        loaded("touch {{product}}\n{% include 'gone.sh' %}"),
        ["3:14 source/template: no folder of `source_loader` has `gone.sh`, which line 2 of the source includes"]
    );
}

#[test]
fn what_a_template_asks_upstream_for_and_there_is_not_is_told() {
    let shell = |upstream: &str, text: &str| {
        let tasks = "  - {source: a.py, product: {nb: a.ipynb, b: b.csv}}\n  - {source: s.sh, product: x";
        let meta = if upstream.is_empty() { "" } else { "meta: {extract_upstream: false}\n" };
        told(&with(&format!("{meta}tasks:\n{tasks}{upstream}}}\n")).with("s.sh", format!("{text} {{{{product}}}}\n")))
    };
    let declared = ", upstream: [a]";
    assert_eq!(
        shell(declared, "cp {{upstream['a']['b']}} {{upstream['nope']}}"),
        ["4:14 source/template: the task does not declare `nope`, which line 1 of the source asks for"]
    );
    assert_eq!(
        shell("", "cp {{upstream.a.z}}"),
        ["3:14 source/template: the product of `a` has no key `z`, which line 1 of the source asks for"]
    );
    // One that is read from the source is looked up among the tasks.
    assert_eq!(
        shell("", "cp {{upstream['nope']}}"),
        ["3:14 task/upstream: the task `s` needs `nope`, which is no task"]
    );
    let none = "source/template: the placeholder `{{upstream}}` of the source has no value";
    assert_eq!(shell("", "cp {{upstream}}"), [format!("3:14 {none}")]);
    assert_eq!(shell(", name: s", "cp {{upstream['a']}}"), [format!("4:14 {none}")]);
    for text in [
        "{{upstream['a']['b']}} {{upstream.a.exists}} {{upstream.first}} {{upstream['a']}}",
        "{% if 0 %}{{upstream['nope']}}{% endif %}{{upstream.keys()}}",
        "{{upstream['nope'] | default('x')}}",
    ] {
        assert_eq!(shell(declared, text), [""; 0], "{text}");
    }
}

#[test]
fn a_notebook_is_held_to_the_values_of_its_keys() {
    let notebook = |more: &str| told(&task("", &format!("source: a.py, product: a.ipynb, {more}")));
    for more in [
        "nbconvert_exporter_name: html",
        "nbconvert_exporter_name: some.where.Exporter",
        "kernelspec_name: python3",
        "kernelspec_name: nope, check_if_kernel_installed: false",
    ] {
        assert_eq!(notebook(more), [""; 0], "{more}");
    }
    let value = |message: &str| vec![format!("2:63 task/value: {message}")];
    assert_eq!(notebook("nbconvert_exporter_name: quite"), value("there is no exporter `quite`"));
    assert_eq!(
        notebook("nbconvert_exporter_name: 5"),
        value("`nbconvert_exporter_name` must be a text, but is a number")
    );
    assert_eq!(
        notebook("nbconvert_exporter_name: {nb: html}"),
        value("a mapping of exporters needs a list in `nb_product_key`")
    );
    assert_eq!(
        notebook("kernelspec_name: nope"),
        ["! 2:55 task/value: `nope` is neither the kernel of ipykernel nor that of R"]
    );
    // A package that is not known may bring an exporter.
    let tree = task("", "source: a.py, product: a.ipynb, nbconvert_exporter_name: quite");
    let tree = tree.with("environment.yml", "channels: [conda-forge]\ndependencies: [python, our-own-thing]\n");
    assert_eq!(told(&tree), ["! 2:63 task/value: nbconvert itself has no exporter `quite`"]);
}

#[test]
fn strict_analysis_holds_the_parameters_cell_to_what_is_passed() {
    let strict = |cell: &str, more: &str| {
        let tree = task("", &format!("source: b.py, product: b.ipynb, static_analysis: strict{more}"));
        told(&tree.with("b.py", format!("# + tags=[\"parameters\"]\nupstream = None\n{cell}\n\n# +\n1\n")))
    };
    assert_eq!(strict("z = 1", ", params: {z: 2}"), [""; 0]);
    assert_eq!(strict("z = 1", ""), ["2:14 source/strict: the parameters cell sets `z`, which the task does not pass"]);
    assert_eq!(
        strict("", ", params: {z: 2}"),
        ["2:14 source/strict: the task passes `z`, which the parameters cell does not set"]
    );
    // What else a cell does is not followed.
    assert_eq!(strict("import os\nz = os", ""), [""; 0]);
}

#[test]
fn names_without_a_value_are_told_where_ploomber_asks_for_them() {
    let notebook = |more: &str, code: &str| {
        let tree = task("", &format!("source: b.py, product: b.ipynb{more}"));
        told(&tree.with("b.py", format!("# + tags=[\"parameters\"]\nupstream = None\n\n# +\n{code}\n")))
    };
    let (strict, regular) = ("Ploomber refuses the pipeline", "Ploomber does not run the notebook");
    let nope = |more: &str| notebook(more, "print(product, nope)");
    assert_eq!(nope(""), [format!("5:16 source/code: `nope` has no value here: {regular}")]);
    assert_eq!(nope(", static_analysis: strict"), [format!("5:16 source/code: `nope` has no value here: {strict}")]);
    assert_eq!(notebook("", "x = (1"), [format!("5:5 source/code: this bracket has no partner: {regular}")]);
    assert_eq!(notebook("", "x = 'a"), [format!("5:5 source/code: this text has no end: {regular}")]);
    assert_eq!(notebook("", "x = !ls"), [format!("5:5 source/code: Python has no `!` here: {regular}")]);
    assert_eq!(notebook("", "break"), [format!("5:1 source/code: `break` stands in no loop: {regular}")]);
    let twice = format!("5:15 source/code: a parameter before this one has the same name: {regular}");
    assert_eq!(notebook("", "x = lambda a, a: 1"), [twice]);
    assert_eq!(notebook("", "x = await 1"), [format!("5:5 source/code: `await` stands in no function: {regular}")]);
    for more in [", static_analysis: disable", ", params: {nope: 1}"] {
        assert_eq!(nope(more), [""; 0], "{more}");
    }
    assert_eq!(notebook("", "%%bash\necho nope"), [""; 0]);
    let cell = "# + tags=[\"parameters\"]\nupstream = names\n\n# +\nnope\n";
    let both = told(&task("", "source: b.py, product: b.ipynb").with("b.py", cell));
    assert!(both.len() == 2 && both[1].contains("`nope`") && !both[0].contains("source/code"), "{both:?}");
}

#[test]
fn a_notebook_without_a_kernel_is_refused_where_ploomber_finds_none() {
    let notebook = |code: &str, metadata: &str, more: &str| {
        let first = r#"{"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "upstream = None"}"#;
        let second = format!(r#"{{"cell_type": "code", "metadata": {{}}, "source": "{code}"}}"#);
        let file = format!(r#"{{"cells": [{first}, {second}], "metadata": {metadata}}}"#);
        told(&task("", &format!("source: n.ipynb, product: b.ipynb{more}")).with("n.ipynb", file))
    };
    let told = "2:14 source/file: `n.ipynb` cannot be run: the file names no kernel, and not every cell is Python";
    assert_eq!(notebook("%matplotlib inline", "{}", ""), [told]);
    assert_eq!(notebook("%matplotlib inline", "{}", ", kernelspec_name: python3"), [""; 0]);
    assert_eq!(notebook("%matplotlib inline", r#"{"kernelspec": {"name": "python3"}}"#, ""), [""; 0]);
    assert_eq!(notebook("x = 1", "{}", ""), [""; 0]);
}

#[test]
fn two_anchors_of_one_name_are_refused_where_ploomber_reads() {
    let twice = with("tasks:\n  - {source: fns.fit, product: x, params: {y: [&a 1, &a 2]}}\n");
    let told = told(&twice);
    assert_eq!(told, ["2:54 yaml/alias: an anchor above has this name: Ploomber refuses the file"]);
    let values = task("", "source: fns.get, product: x").with("env.yaml", "a: &a 1\nb: &a 2\n");
    assert!(codes(&run(&values)).contains(&"yaml/alias"));
    let environment = "name: &a x\nchannels: [conda-forge]\ndependencies: [&a python, pip, {pip: [ploomber]}]\n";
    let conda = task("", "source: fns.get, product: x").with("environment.yml", environment);
    assert!(!codes(&run(&conda)).contains(&"yaml/alias"));
}

#[test]
fn an_executor_is_made_of_what_it_takes() {
    let executor = |executor: &str| told(&task(&format!("executor: {{{executor}}}\n"), "source: fns.get, product: x"));
    for one in [
        "dotted_path: ploomber.executors.Parallel, processes: 2, start_method: spawn",
        "dotted_path: ploomber.executors.Serial, build_in_subprocess: false",
        "dotted_path: fns.bare",
    ] {
        assert_eq!(executor(one), [""; 0], "{one}");
    }
    assert_eq!(
        executor("dotted_path: ploomber.executors.Parallel, proceses: 2"),
        ["1:54 pipeline/executor: the executor `Parallel` takes no `proceses`"]
    );
    assert_eq!(
        executor("dotted_path: ploomber.executors.Parallel, start_method: thread"),
        ["1:68 pipeline/executor: processes cannot be started by `thread`"]
    );
    assert_eq!(
        executor("dotted_path: ploomber.executors.ParallelDill"),
        ["1:25 pipeline/executor: the executor `ParallelDill` needs the package `multiprocess`, which nothing brings"]
    );
    assert_eq!(
        executor("dotted_path: fns.hook"),
        ["1:25 pipeline/dotted-path: the function `hook` needs `nope`, and an executor is made without it"]
    );
}

#[test]
fn the_upstream_of_a_notebook_may_be_computed() {
    let upstream = |value: &str| {
        let tree = with("tasks:\n  - {source: a.py, product: a.ipynb}\n  - {source: b.py, product: b.ipynb}\n");
        run(&tree.with("b.py", NOTEBOOK.replace("upstream = None", &format!("upstream = {value}"))))
    };
    for value in ["['a'] + []", "list(['a'])"] {
        let outcome = upstream(value);
        assert_eq!(codes(&outcome), [] as [&str; 0], "{value}");
        let project = outcome.project.unwrap();
        let task = &project.pipeline.tasks[1];
        assert_eq!((task.upstream[0].as_str(), task.upstream_known), ("a", true), "{value}");
    }
    let outcome = upstream("[name for name in ['a']]");
    assert_eq!(codes(&outcome), [] as [&str; 0]);
    assert!(!outcome.project.unwrap().pipeline.tasks[1].upstream_known);
    for value in ["names", "['a'] + names", "['nope'] + []"] {
        assert!(has_errors(&upstream(value).diagnostics), "{value}");
    }
}

#[test]
fn the_upstream_of_a_notebook_in_r_is_written_in_r() {
    let upstream = |more: &str, code: &str, metadata: &str| {
        let task = format!("{{source: b.ipynb, product: o/b.ipynb{more}}}");
        let pipeline = format!("tasks:\n  - {{source: a.py, product: a.ipynb}}\n  - {task}\n");
        let code = serde_json::Value::from(code);
        let cell = format!(r#"{{"cell_type": "code", "metadata": {{"tags": ["parameters"]}}, "source": {code}}}"#);
        let cells = format!(r#"{cell}, {{"cell_type": "code", "metadata": {{}}, "source": "x <- 1"}}"#);
        let file = format!(r#"{{"cells": [{cells}], "metadata": {metadata}}}"#);
        run(&with(&pipeline).with("b.ipynb", file))
    };
    let said = |outcome: &Outcome| outcome.diagnostics.iter().any(|found| found.message.contains("`upstream`"));
    let (by_name, by_language) = (r#"{"kernelspec": {"name": "ir"}}"#, r#"{"kernelspec": {"language": "R"}}"#);
    let by_info = r#"{"language_info": {"name": "R"}}"#;
    for (more, metadata) in [("", by_name), (", kernelspec_name: ir", "{}")] {
        for code in ["upstream = NULL", "upstream <- NULL", "x <- 1"] {
            let outcome = upstream(more, code, metadata);
            assert!(!said(&outcome), "{metadata} {code}: {outcome:?}");
        }
        let outcome = upstream(more, "upstream <- list(\"a\")", metadata);
        assert!(!said(&outcome), "{metadata}: {outcome:?}");
        let project = outcome.project.unwrap();
        assert_eq!(project.pipeline.tasks[1].upstream[0].as_str(), "a", "{metadata}");
        let wrong = upstream(more, "upstream <- c(\"a\")", metadata).diagnostics;
        assert!(wrong.iter().any(|found| found.message.contains("neither a list nor NULL")), "{metadata}: {wrong:?}");
    }
    // That alone tells Ploomber no kernel; what else is said holds for R.
    for metadata in [by_language, by_info] {
        let outcome = upstream("", "upstream = NULL", metadata);
        let lacks = outcome.diagnostics.iter().any(|found| found.message.contains("the file names no kernel"));
        assert!(lacks && !said(&outcome), "{metadata}: {outcome:?}");
    }
    for (more, metadata) in [("", r#"{"kernelspec": {"name": "python3"}}"#), (", kernelspec_name: python3", by_name)] {
        assert!(said(&upstream(more, "upstream = NULL", metadata)), "{metadata}");
    }
}

#[test]
fn the_module_of_env_yaml_is_a_folder_or_a_module() {
    let module = |value: &str| {
        told(
            &task("", "source: fns.get, product: x")
                .with("env.yaml", format!("_module: {value}\n"))
                .with("pkg/x.txt", ""),
        )
    };
    for value in ["'{{here}}'", "pkg", "fns", "json", "null", "."] {
        assert_eq!(module(value), [""; 0], "{value}");
    }
    for (value, message) in [
        ("nope", "nothing provides the module `nope`"),
        ("fns.py", "`fns.py` is a file, and `_module` names a folder or a module"),
        ("5", "`_module` must be a text, but is a number"),
        ("'{{root}}'", "`{{root}}` is neither a folder nor a module"),
        ("./gone", "there is no folder `./gone`"),
    ] {
        assert_eq!(module(value), [format!("1:10 env/module: {message}")], "{value}");
    }
}

#[test]
fn products_of_classes_that_no_pipeline_can_use_are_told() {
    let product = |product: &str| told(&task("", &format!("source: fns.get, product: {product}")));
    assert_eq!(
        product("x, product_class: EmptyProduct"),
        ["2:50 product/class: a product cannot be of class `EmptyProduct` in a pipeline.yaml"]
    );
    let generic = product("[a, table], product_class: GenericProduct, product_client: fns.bare");
    assert_eq!(generic, ["2:32 product/class: a product of class `GenericProduct` must be a text, but is a list"]);
    assert_eq!(product("''"), ["! 2:32 product/form: the product has no path, so it is the project's own folder"]);
}

#[test]
fn requirement_files_are_found_in_folders_of_any_name() {
    for folder in ["new\nline", "a\ttab", "q'uo\"te`$()"] {
        let environment = "channels: [x]\ndependencies: [python, pip, {pip: [-r req.txt]}]\n";
        let tree = MemoryTree::new()
            .with(&format!("{folder}/environment.yml"), environment)
            .with(&format!("{folder}/pipeline.yaml"), "tasks:\n  - {source: a.py, product: a.ipynb}\n")
            .with(&format!("{folder}/a.py"), NOTEBOOK);
        let root = RelPath::normalise(folder).unwrap();
        let lacking = check(&tree, &root, &Options::default()).diagnostics;
        assert_eq!(lacking.len(), 1, "{lacking:?}");
        assert!(!lacking[0].message.contains(['\n', '\t']), "{lacking:?}");
        let tree = tree.with(&format!("{folder}/req.txt"), "pandas\n");
        assert_eq!(check(&tree, &root, &Options::default()).diagnostics, [], "{folder:?}");
    }
}
