//! Whole small projects in memory, one finding at a time.

use std::fmt::Write as _;

use super::*;
use crate::diag::Severity;
use crate::repo::MemoryTree;
use crate::spec::ProductKind;

mod hiding;
mod public;
mod refused;

const NOTEBOOK: &str = "# + tags=[\"parameters\"]\nupstream = None\nproduct = None\n\n# +\nx = 1\n";

fn project() -> MemoryTree {
    MemoryTree::new()
        .with("environment.yml", "channels: [conda-forge]\ndependencies: [python=3.11]\n")
        .with("pipeline.yaml", "tasks:\n  - source: a.py\n    product: '{{out}}/a.ipynb'\n")
        .with("a.py", NOTEBOOK)
        .with("env.yaml", "sample: false\nout: output\n")
}

fn run(tree: &MemoryTree) -> Outcome {
    check(tree, &RelPath::root(), &Options::default())
}

fn codes(outcome: &Outcome) -> Vec<&'static str> {
    outcome.diagnostics.iter().map(|found| found.code).collect()
}

#[test]
fn gives_tasks_with_products_and_upstream_for_planning() {
    let tree = project()
        .with("pipeline.yaml", "tasks:\n  - source: a.py\n    product: {nb: '{{out}}/a.ipynb', data: '{{root}}/d.csv'}\n  - source: b.py\n    product: 'x/{{now}}/b.html'\n")
        .with("b.py", NOTEBOOK.replace("None\nproduct", "['a']\nproduct"));
    let outcome = run(&tree);
    assert_eq!(codes(&outcome), [] as [&str; 0], "{:?}", outcome.diagnostics);
    let project = outcome.project.unwrap();
    let [a, b] = &project.pipeline.tasks[..] else { panic!() };
    let path = |task, product| project.pipeline.product_path(task, product).map(|path| path.to_string());
    assert_eq!(a.products.iter().map(|p| p.key.as_deref()).collect::<Vec<_>>(), [Some("nb"), Some("data")]);
    assert_eq!(path(a, &a.products[0]).as_deref(), Some("output/a.ipynb"));
    assert_eq!(path(a, &a.products[1]).as_deref(), Some("d.csv"));
    assert_eq!(b.upstream.iter().map(crate::spec::Spanned::as_str).collect::<Vec<_>>(), ["a"]);
    assert_eq!((b.products[0].kind, b.products[0].known), (ProductKind::File, false));
    assert_eq!(path(b, &b.products[0]), None);
    assert!(project.env.unwrap().declares("sample"));
}

#[test]
fn products_of_a_project_in_a_folder_lie_in_that_folder() {
    let tree = MemoryTree::new()
        .with("sub/environment.yml", "channels: [x]\ndependencies: [python]\n")
        .with("sub/pipeline.yaml", "tasks:\n  - source: a.py\n    product: ../shared/a.ipynb\n")
        .with("sub/a.py", NOTEBOOK);
    let outcome = check(&tree, &RelPath::normalise("sub").unwrap(), &Options::default());
    assert_eq!(codes(&outcome), [] as [&str; 0], "{:?}", outcome.diagnostics);
    let pipeline = outcome.project.unwrap().pipeline;
    let path = pipeline.product_path(&pipeline.tasks[0], &pipeline.tasks[0].products[0]);
    assert_eq!(path.unwrap().to_string(), "shared/a.ipynb");
}

#[test]
fn a_sample_run_sees_sample_as_true() {
    let tree = project()
        .with("pipeline.yaml", "tasks:\n  - source: a.py\n    product: \"{{'s' if sample else 'f'}}/a.ipynb\"\n");
    let product = |sample| {
        let outcome = check(&tree, &RelPath::root(), &Options { sample, ..Options::default() });
        outcome.project.unwrap().pipeline.tasks[0].products[0].text.value.clone()
    };
    assert_eq!((product(false), product(true)), ("f/a.ipynb".to_owned(), "s/a.ipynb".to_owned()));
}

#[test]
fn says_everything_at_once_over_all_files() {
    let tree = project()
        .with("environment.yml", "dependencies: [python=>3.9, 'dask[complete]']\n")
        .with(
            "pipeline.yaml",
            "taks: 1\ntasks:\n  - source: nope.py\n    product: x\n    prams: {}\n  - source: a.py\n",
        )
        .with("soopervisor.yaml", "projct: x\n");
    let outcome = run(&tree);
    for code in [
        "environment/dependency",
        "pipeline/unknown-key",
        "pipeline/shape",
        "product/notebook",
        "source/file",
        "task/unknown-key",
        "settings/value",
    ] {
        assert!(codes(&outcome).contains(&code), "{code} is missing in {:?}", codes(&outcome));
    }
}

#[test]
fn products_outside_of_the_repository_are_warned_about_except_below_output() {
    let product = |path: &str| {
        let tree = project()
            .with("pipeline.yaml", format!("tasks:\n  - source: a.py\n    product: {path}\n"))
            .with("env.yaml", "sample: 1\n");
        run(&tree).diagnostics.into_iter().map(|d| (d.code, d.severity)).collect::<Vec<_>>()
    };
    assert_eq!(product("/tmp/a.ipynb"), [("product/outside", Severity::Warning)]);
    assert_eq!(product("../a.ipynb"), [("product/outside", Severity::Warning)]);
    assert_eq!(product("/output/a.ipynb"), []);
}

#[test]
fn a_thousand_tasks_are_checked_without_a_finding() {
    let mut pipeline = "tasks:\n".to_owned();
    let mut tree = project();
    for index in 0..1_000 {
        writeln!(pipeline, "  - source: scripts/t{index}.py\n    name: task-{index}\n    product:\n      nb: '{{{{out}}}}/{index}.ipynb'\n      data: output/{index}.csv\n    params:\n      n: {index}").unwrap();
        let upstream = if index == 0 { "None".to_owned() } else { format!("['task-{}']", index - 1) };
        tree = tree
            .with(&format!("scripts/t{index}.py"), NOTEBOOK.replace("None\nproduct", &format!("{upstream}\nproduct")));
    }
    let tree = tree.with("pipeline.yaml", pipeline);
    let outcome = run(&tree);
    assert!(!has_errors(&outcome.diagnostics), "{:?}", outcome.diagnostics.first());
    assert_eq!(outcome.project.unwrap().pipeline.tasks.len(), 1_000);
}

#[test]
fn upstream_in_a_comment_or_a_docstring_is_none() {
    let tree = project()
        .with("pipeline.yaml", "tasks:\n  - source: fns.get\n    product: a.csv\n")
        .with("fns.py", "def get(product):\n    \"\"\"uses upstream['x']\"\"\"\n    # upstream['y']\n    return \"upstream['z']\"\n")
        .with("env.yaml", "sample: 1\n");
    assert_eq!(codes(&run(&tree)), [] as [&str; 0]);
}

#[test]
fn links_and_folders_in_place_of_files_are_said_not_followed_into() {
    let tree = project().with("env.yaml/x", "a folder");
    assert!(!codes(&run(&tree)).contains(&"yaml/unreadable"));
    let tree = MemoryTree::new().with("environment.yml/x", "");
    assert_eq!(codes(&run(&tree)), ["environment/missing", "layout/pipeline"]);
}

#[test]
fn a_missing_pipeline_names_the_ones_that_are_there() {
    let tree = MemoryTree::new()
        .with("environment.yml", "channels: [x]\ndependencies: [python]\n")
        .with("basic/pipeline.yaml", "tasks: []\n")
        .with("deep/er/pipeline.serve.yaml", "tasks: []\n")
        .with(".hidden/pipeline.yaml", "tasks: []\n")
        .with("pipeline.md", "");
    let help = |tree: &MemoryTree| run(tree).diagnostics.into_iter().find_map(|found| found.help).unwrap();
    assert_eq!(
        help(&tree),
        "there are `basic/pipeline.yaml`, `deep/er/pipeline.serve.yaml`: choose one with `--pipeline basic/pipeline.yaml`"
    );
    let tree = MemoryTree::new()
        .with("environment.yml", "channels: [x]\ndependencies: [python]\n")
        .with("pipeline.git.yaml", "tasks: []\n");
    assert_eq!(help(&tree), "there is `pipeline.git.yaml`: run it with `--pipeline pipeline.git.yaml`");
    let tree = MemoryTree::new()
        .with("environment.yml", "channels: [x]\ndependencies: [python]\n")
        .with("simple.yaml", "meta: {}\ntasks:\n  - source: a.py\n    product: a.ipynb\n")
        .with("other.yaml", "params:\n  tasks: 1\n")
        .with("deep/simple.yaml", "tasks: []\n");
    assert_eq!(help(&tree), "there is `simple.yaml`: run it with `--pipeline simple.yaml`");
}

#[test]
fn a_missing_environment_is_looked_for_in_the_folders_above() {
    let tree = MemoryTree::new()
        .with("a/environment.yml", "channels: [x]\ndependencies: [python]\n")
        .with("a/b/pipeline.yaml", "tasks:\n  - source: t.py\n    product: t.ipynb\n")
        .with("a/b/t.py", NOTEBOOK);
    let outcome = check(&tree, &RelPath::normalise("a/b").unwrap(), &Options::default());
    assert_eq!(codes(&outcome), ["environment/missing"]);
    let help = outcome.diagnostics[0].help.as_deref().unwrap();
    assert_eq!(help, "there is one in `a`: run that folder with `--pipeline b/pipeline.yaml`");
}

#[test]
fn a_pipeline_inside_a_package_is_found_on_disk_as_in_memory() {
    let files = [
        ("environment.yml", "channels: [x]\ndependencies: [python]\n"),
        ("setup.py", "from setuptools import setup\nsetup()\n"),
        ("src/pkg/pipeline.yaml", "tasks:\n  - source: pkg.tasks.get\n    product: out/a.csv\n"),
        ("src/pkg/__init__.py", ""),
        ("src/pkg/tasks.py", "def get(product):\n    pass\n"),
    ];
    let memory = files.iter().fold(MemoryTree::new(), |tree, (path, text)| tree.with(path, text));
    let disk = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = disk.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let disk = crate::repo::Folder::open(disk.path()).unwrap();
    for tree in [&memory as &dyn Tree, &disk] {
        let outcome = check(tree, &RelPath::root(), &Options::default());
        assert_eq!(codes(&outcome), [] as [&str; 0], "{:?}", outcome.diagnostics);
        assert_eq!(outcome.project.unwrap().entry_point, "src/pkg/pipeline.yaml");
    }
}

#[test]
fn products_below_the_working_folder_of_a_package_lie_where_ploomber_runs() {
    let tree = MemoryTree::new()
        .with("p/environment.yml", "channels: [x]\ndependencies: [python]\n")
        .with("p/setup.py", "from setuptools import setup\nsetup()\n")
        .with("p/src/pkg/env.yaml", "out: '{{cwd}}'\nbeside: '{{here}}'\n")
        .with(
            "p/src/pkg/pipeline.yaml",
            "tasks:\n  - source: nb/fit.py\n    product: {nb: '{{out}}/a.ipynb', x: '{{beside}}/x', r: out/r.csv}\n",
        )
        .with("p/nb/fit.py", NOTEBOOK);
    let outcome = check(&tree, &RelPath::normalise("p").unwrap(), &Options::default());
    let pipeline = outcome.project.unwrap_or_else(|| panic!("{:?}", outcome.diagnostics)).pipeline;
    let task = &pipeline.tasks[0];
    let paths = task.products.iter().map(|product| pipeline.product_path(task, product).unwrap().to_string());
    assert_eq!(paths.collect::<Vec<_>>(), ["p/a.ipynb", "p/src/pkg/x", "p/out/r.csv"]);
}

#[test]
fn requirement_files_are_read_beside_the_environment_file() {
    let with = |environment: &str| project().with("environment.yml", environment);
    let lines = "channels: [x]\ndependencies: [python, pip, {pip: [-r requirements.txt]}]\n";
    let tree =
        with(lines).with("requirements.txt", "ploomber\n-r more/dev.txt\n").with("more/dev.txt", "-e .\npandas\n");
    let outcome = run(&tree);
    assert_eq!(codes(&outcome), [] as [&str; 0], "{:?}", outcome.diagnostics);
    let pip = outcome.project.unwrap().pip;
    assert_eq!((pip.remote.concat(), pip.local.concat()), ("ploomberpandas".to_owned(), "-e .".to_owned()));
    let outcome = run(&with(lines));
    assert_eq!(codes(&outcome), ["environment/pip-line"]);
    // Whether it is a commit that lacks it, or a folder, is not known here.
    let told = "`requirements.txt`, named by `-r requirements.txt`, cannot be read: there is no such file";
    assert_eq!(outcome.diagnostics[0].message, told);
    assert!(outcome.diagnostics[0].help.is_some());
}

#[test]
fn what_pip_installs_from_the_repository_has_to_be_there() {
    let with = |line: &str| {
        let text = format!("channels: [x]\ndependencies: [python, pip, {{pip: ['{line}']}}]\n");
        project()
            .with("environment.yml", text)
            .with("more.txt", "-e ./nope\n")
            .with("lib/setup.py", "")
            .with("wheels/a-1.0-py3-none-any.whl", "")
    };
    for line in [".", "-e .", "-e ./lib[dev]", "lib/", "./wheels/a-1.0-py3-none-any.whl", "/srv/a", "pandas==1.0"] {
        assert_eq!(codes(&run(&with(line))), [] as [&str; 0], "{line}");
    }
    for (line, told) in [
        ("-e ./nope", "`-e ./nope` installs `nope`, and there is no such file or folder"),
        ("./nope.whl", "`./nope.whl` installs `nope.whl`, and there is no such file"),
        ("../elsewhere", "`../elsewhere` installs something outside of the repository"),
        ("-r more.txt", "`-e ./nope` installs `nope`, and there is no such file or folder"),
        ("pandas ==1.0 ==", "`pandas ==1.0 ==` ends where the version should stand"),
    ] {
        let outcome = run(&with(line));
        assert_eq!(codes(&outcome), ["environment/pip-line"], "{line}");
        let found = &outcome.diagnostics[0];
        assert_eq!((found.message.as_str(), found.line_column()), (told, Some((2, 36))), "{line}");
        assert!(found.help.is_some(), "{line}");
    }
    let near = run(&with("-e ./libs"));
    assert_eq!(near.diagnostics[0].help.as_deref(), Some("did you mean `lib`?"));
    let below = MemoryTree::new()
        .with("p/environment.yml", "channels: [x]\ndependencies: [python, pip, {pip: [-e ../lib, -e ./nope]}]\n")
        .with("p/pipeline.yaml", "tasks:\n  - source: a.py\n    product: a.ipynb\n")
        .with("p/a.py", NOTEBOOK)
        .with("lib/setup.py", "");
    let outcome = check(&below, &RelPath::normalise("p").unwrap(), &Options::default());
    let told: Vec<&str> = outcome.diagnostics.iter().map(|found| found.message.as_str()).collect();
    assert_eq!(told, ["`-e ./nope` installs `p/nope`, and there is no such file or folder"]);
}

#[test]
fn a_project_in_a_folder_below_is_named_with_the_command_that_runs_it() {
    let below = |tree: MemoryTree| {
        tree.with("ml pipe/environment.yml", "channels: [x]\ndependencies: [python]\n")
            .with("ml pipe/pipeline.yaml", "tasks: []\n")
            .with("ml pipe/pipeline.train.yaml", "tasks: []\n")
    };
    let helps = |tree: &MemoryTree, typed: Option<&str>| -> Vec<String> {
        let options = Options { typed: typed.map(str::to_owned), ..Options::default() };
        let found = check(tree, &RelPath::root(), &options).diagnostics;
        found.into_iter().filter_map(|found| found.help).collect()
    };
    let tree = below(MemoryTree::new());
    for (typed, command) in [
        (Some("r2"), "run `soopervisor 'r2/ml pipe'`"),
        (Some("./r2/"), "run `soopervisor './r2/ml pipe'`"),
        (Some("."), "run `soopervisor 'ml pipe'`"),
        (None, "run the folder `ml pipe` in its place"),
    ] {
        let told = helps(&tree, typed);
        let expected = format!("there are `ml pipe/pipeline.train.yaml`, `ml pipe/pipeline.yaml`: {command}");
        assert_eq!((told.len(), &told[1]), (2, &expected), "{told:?}");
        assert!(told[0].ends_with(command), "{told:?}");
    }
    let one = MemoryTree::new().with("it's/pipeline.fit.yaml", "tasks: []\n").with("it's/environment.yaml", "");
    assert!(helps(&one, Some("r"))[1].ends_with(r"run `soopervisor 'r/it'\''s' --pipeline pipeline.fit.yaml`"));
    // With an environment.yml of its own, the folder that was named is what is run.
    let own = below(MemoryTree::new().with("environment.yml", "channels: [x]\ndependencies: [python]\n"));
    let told = helps(&own, Some("r2"));
    assert!(told[0].ends_with("choose one with `--pipeline 'ml pipe/pipeline.train.yaml'`"), "{told:?}");
}

#[test]
fn a_folder_named_like_the_pipeline_is_called_one() {
    let tree = MemoryTree::new()
        .with("environment.yml", "channels: [x]\ndependencies: [python]\n")
        .with("pipeline.yaml/a.txt", "");
    let outcome = run(&tree);
    assert_eq!(codes(&outcome), ["layout/pipeline"]);
    assert_eq!(outcome.diagnostics[0].message, "`pipeline.yaml` is a folder");
}

#[test]
fn a_misspelt_key_is_told_once() {
    for (task, wanted) in [
        ("{source: a.py, prodct: a.ipynb}", "product"),
        ("{source: a.py, products: a.ipynb}", "product"),
        ("{sorce: a.py, product: a.ipynb}", "source"),
        ("{class: NotebookRunner, sorce: a.py, product: a.ipynb}", "source"),
    ] {
        let outcome = run(&project().with("pipeline.yaml", format!("tasks: [{task}]\n")).with("env.yaml", "{}"));
        let found: Vec<_> = outcome.diagnostics.iter().filter(|one| one.severity == Severity::Error).collect();
        let [only] = found[..] else { panic!("{task}: {found:?}") };
        assert_eq!(only.help.as_deref(), Some(&*format!("did you mean `{wanted}`?")), "{task}");
        assert!(only.message.starts_with(&format!("this task has no `{wanted}`, but a key `")), "{task}: {only:?}");
    }
    // A key of another name is unknown, and the missing one is missing.
    let other = run(&project().with("pipeline.yaml", "tasks: [{source: a.py, prams: {}}]\n").with("env.yaml", "{}"));
    assert_eq!(codes(&other), ["pipeline/shape", "task/unknown-key"]);
    // Where the sources say what they make, nothing lacks a product.
    let text = "meta: {extract_product: true}\ntasks: [{source: a.py, prodct: x}]\n";
    assert!(codes(&run(&project().with("pipeline.yaml", text).with("env.yaml", "{}"))).contains(&"task/unknown-key"));
}

#[test]
fn a_module_that_python_cannot_read_is_told_once_where_it_breaks() {
    let task = |at| format!("  - {{source: fns.f{at}, product: o/{at}.csv, on_finish: fns.done}}\n");
    let tasks = [0, 1, 2].map(task).concat();
    let tree = project()
        .with("env.yaml", "{}")
        .with("pipeline.yaml", format!("tasks:\n{tasks}"))
        .with("fns.py", "def f0(product):\n    print((product)\n");
    let found = run(&tree).diagnostics;
    let [only] = &found[..] else { panic!("{found:?}") };
    assert_eq!((only.place.as_ref().unwrap().0.name.as_str(), only.line_column()), ("fns.py", Some((2, 10))));
    assert_eq!(only.message, "Python cannot read `fns.py`: this bracket has no partner");
}

#[test]
fn how_a_cell_is_tagged_is_said_for_the_kind_of_file() {
    let notebook = r#"{"cells": [{"cell_type": "code", "metadata": {}, "source": ["x = 1"], "outputs": []}],
        "metadata": {"kernelspec": {"name": "python3"}}, "nbformat": 4, "nbformat_minor": 4}"#;
    for (name, text, told, never) in [
        ("a.ipynb", notebook, "Cell Tags", "# +"),
        ("a.py", "x = 1\n", "# + tags=[\"parameters\"]", "Jupyter"),
        ("a.Rmd", "text\n", "```{r, tags", "# +"),
    ] {
        let pipeline = format!("tasks: [{{source: {name}, product: o.ipynb}}]\n");
        let tree = project().with("env.yaml", "{}").with("pipeline.yaml", pipeline).with(name, text);
        let outcome = run(&tree);
        let help = outcome.diagnostics.iter().find(|found| found.message.contains("has no cell tagged"));
        let help = help.and_then(|found| found.help.clone()).unwrap_or_else(|| panic!("{:?}", outcome.diagnostics));
        assert!(help.contains(told) && !help.contains(never), "{name}: {help}");
    }
    let empty =
        r#"{"cells": [{"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": ["upstream = None"]}]}"#;
    let pipeline = "tasks: [{source: a.ipynb, product: o.ipynb}]\n";
    let outcome = run(&project().with("env.yaml", "{}").with("pipeline.yaml", pipeline).with("a.ipynb", empty));
    assert!(outcome.diagnostics[0].help.as_deref().is_some_and(|help| help.contains("Jupyter")), "{outcome:?}");
}

#[test]
fn a_mapping_is_not_told_to_be_quoted() {
    let help = |name: &str, text: &str| {
        let outcome = run(&project().with(name, text));
        outcome.diagnostics.iter().filter_map(|found| found.help.clone()).collect::<Vec<_>>().join("\n")
    };
    for (name, text) in [
        ("soopervisor.yaml", "args: {a: 1}\n"),
        ("soopervisor.yaml", "project: [a]\n"),
        ("environment.yml", "channels: [x]\ndependencies: [python]\nvariables: {A: {b: 1}}\n"),
        ("environment.yml", "channels: [x]\ndependencies: [python, pip, {pip: [{a: 1}]}]\n"),
    ] {
        let told = help(name, text);
        assert!(!told.is_empty() && !told.contains("quotes"), "{text}: {told}");
    }
    assert!(help("soopervisor.yaml", "args: [1]\n").contains("put it in quotes"));
}

#[test]
fn a_serializer_of_a_grid_fails_in_every_build_and_is_refused() {
    let tree = |task: &str, top: &str| {
        let get = "{source: fns.get, product: o/get.txt}";
        let fit = format!("{{source: fns.fit, name: fit-, product: o/fit.txt, {task}}}");
        project()
            .with("env.yaml", "{}")
            .with("pipeline.yaml", format!("{top}tasks:\n  - {get}\n  - {fit}\n"))
            .with("fns.py", "def get(product):\n    pass\n\ndef fit(depth, upstream):\n    return upstream['get']\n")
            .with("serial.py", "def save(obj, product):\n    pass\n\ndef load(product):\n    pass\n")
    };
    for key in ["serializer: serial.save", "unserializer: serial.load"] {
        let outcome = run(&tree(&format!("grid: {{depth: [1, 2]}}, {key}"), ""));
        assert_eq!(codes(&outcome), ["task/grid"], "{:?}", outcome.diagnostics);
    }
    let alone = run(&tree("params: {depth: 1}, serializer: serial.save", ""));
    assert_eq!(codes(&alone), [] as [&str; 0], "{:?}", alone.diagnostics);
    let top = run(&tree("grid: {depth: [1, 2]}", "serializer: serial.save\n"));
    assert_eq!(codes(&top), ["source/function"], "`get` takes `product`: {:?}", top.diagnostics);
}

#[test]
fn a_client_is_made_of_what_stands_beside_its_path() {
    let told = |client: &str| {
        let fns = "def one(path):\n    pass\n\ndef all(*args, **kwargs):\n    pass\n\ndef named(*, path):\n    pass\n";
        let pipeline = format!("tasks: []\nclients: {{File: {client}}}\n");
        codes(&run(&project().with("env.yaml", "{}").with("pipeline.yaml", pipeline).with("fns.py", fns)))
    };
    for client in ["{dotted_path: fns.one, path: x}", "fns.all", "{dotted_path: fns.named, path: x}"] {
        assert_eq!(told(client), [] as [&str; 0], "{client}");
    }
    for client in ["fns.one", "fns.named", "{dotted_path: fns.one, pth: x}"] {
        assert_eq!(told(client), ["pipeline/dotted-path"], "{client}");
    }
}

#[test]
fn every_rule_is_listed_once_with_a_sentence() {
    let listed = rules();
    let mut codes: Vec<_> = listed.iter().map(|rule| rule.code).collect();
    codes.dedup();
    assert_eq!(codes.len(), listed.len());
    for rule in listed {
        assert!(rule.about.len() > 10 && !rule.about.ends_with('.'), "{}", rule.code);
    }
}

#[test]
fn an_environment_file_that_cannot_be_in_the_repository_is_told_where_it_is_named() {
    for named in ["/etc/passwd", "../environment.yml", "."] {
        let outcome = run(&project().with("soopervisor.yaml", format!("# ours\nenvironment: {named}\n")));
        assert_eq!(codes(&outcome), ["environment/missing"], "{named}");
        let found = &outcome.diagnostics[0];
        let (source, _) = found.place.as_ref().unwrap();
        assert_eq!((source.name.as_str(), found.line_column()), ("soopervisor.yaml", Some((2, 14))), "{named}");
        assert!(found.message.contains(&format!("`{named}`")) && found.help.is_some(), "{found:?}");
    }
    let options = Options { environment: Some("/etc/passwd".to_owned()), ..Options::default() };
    let outcome = check(&project(), &RelPath::root(), &options);
    assert!(outcome.diagnostics[0].message.contains("`/etc/passwd`"), "{:?}", outcome.diagnostics);
    assert_eq!(outcome.diagnostics[0].place, None);
}

#[test]
fn a_product_in_git_is_refused_and_one_in_the_output_folder_is_not_warned_of() {
    let tree =
        |product: &str| project().with("pipeline.yaml", format!("tasks:\n  - source: a.py\n    product: {product}\n"));
    for product in [".git/a.ipynb", "x/../.git/hooks/a.ipynb"] {
        let outcome = run(&tree(product));
        assert!(has_errors(&outcome.diagnostics) && codes(&outcome).contains(&"product/git"), "{product}");
    }
    for product in ["git/a.ipynb", ".gitignored/a.ipynb", "/output/a.ipynb"] {
        assert!(!codes(&run(&tree(product))).iter().any(|code| code.starts_with("product/")), "{product}");
    }
}
