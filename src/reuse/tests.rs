//! The decision against an oracle: random pipelines whose true dependencies are known, random edits, and what every
//! task would make in a full run of both commits.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{Case, Decision, Side, decide};
use crate::id::RelPath;
use crate::repo::{MemoryTree, Tree};
use crate::validate::{self, Project};

/// What a task looks at besides its upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Look {
    /// `import help0`.
    Helper,
    /// `importlib.import_module('help' + '0')`.
    Dynamic,
    /// A committed table.
    Data,
    /// Everything in the repository.
    Listing,
    /// README.md.
    Readme,
    /// The product of an earlier task, by its path.
    Behind(usize),
    /// The script of another task, imported.
    Import(usize),
    /// Another function of the module, called.
    Call(usize),
}

#[derive(Debug, Clone)]
struct TaskModel {
    name: usize,
    function: bool,
    upstream: Vec<usize>,
    looks: Vec<Look>,
    version: u32,
    param: u32,
}

#[derive(Debug, Clone)]
struct Model {
    tasks: Vec<TaskModel>,
    helper: u32,
    data: u32,
    more_data: bool,
    readme: u32,
    license: u32,
    tests: u32,
    constant: u32,
    env: u32,
    comment: u32,
    setting: u32,
}

#[derive(Debug, Clone)]
enum Edit {
    Code(usize),
    Param(usize),
    Helper,
    Data,
    MoreData,
    Readme,
    License,
    Tests,
    Constant,
    Env,
    Comment,
    Setting,
    Remove(usize),
    Add,
    Upstream(usize),
}

impl Model {
    fn apply(&mut self, edit: &Edit) {
        let count = self.tasks.len();
        match edit {
            Edit::Code(at) => self.tasks[at % count].version += 1,
            Edit::Param(at) => self.tasks[at % count].param += 1,
            Edit::Helper => self.helper += 1,
            Edit::Data => self.data += 1,
            Edit::MoreData => self.more_data = !self.more_data,
            Edit::Readme => self.readme += 1,
            Edit::License => self.license += 1,
            Edit::Tests => self.tests += 1,
            Edit::Constant => self.constant += 1,
            Edit::Env => self.env += 1,
            Edit::Comment => self.comment += 1,
            Edit::Setting => self.setting += 1,
            // Only what nobody refers to can go without breaking the pipeline.
            Edit::Remove(at) => {
                let name = self.tasks[at % count].name;
                let used = self.tasks.iter().any(|task| {
                    task.upstream.contains(&name)
                        || task
                            .looks
                            .iter()
                            .any(|look| matches!(look, Look::Import(to) | Look::Call(to) if *to == name))
                });
                if !used && count > 1 {
                    self.tasks.remove(at % count);
                }
            }
            Edit::Add => {
                let name = self.tasks.iter().map(|task| task.name).max().unwrap_or(0) + 1;
                let upstream = vec![self.tasks[0].name];
                self.tasks.push(TaskModel { name, function: false, upstream, looks: vec![], version: 0, param: 0 });
            }
            Edit::Upstream(at) => drop(self.tasks[at % count].upstream.pop()),
        }
    }

    fn task(&self, name: usize) -> Option<&TaskModel> {
        self.tasks.iter().find(|task| task.name == name)
    }

    fn tree(&self) -> MemoryTree {
        let mut tree = MemoryTree::new()
            .with("environment.yml", "name: x\ndependencies: [python=3.11, pip]\n")
            .with("soopervisor.yaml", format!("limits: {{cpus: {}}}\n", self.setting + 1))
            .with("env.yaml", format!("level: {}\n", self.env))
            .with("help0.py", format!("H = {}\n", self.helper))
            .with("data/d.csv", format!("{}\n", self.data))
            .with("README.md", format!("words {}\n", self.readme))
            .with("LICENSE", format!("words {}\n", self.license))
            .with("tests/test_x.py", format!("import tasks\nX = {}\n", self.tests));
        if self.more_data {
            tree = tree.with("data/e.csv", "1\n");
        }
        let mut pipeline = format!("# {}\ntasks:\n", self.comment);
        let mut module = format!("from pathlib import Path\nC = {}\n", self.constant);
        for task in &self.tasks {
            let name = task.name;
            let source = if task.function { format!("tasks.t{name}") } else { format!("scripts/t{name}.py") };
            let kind = if task.function { "txt" } else { "ipynb" };
            pipeline += &format!("  - source: {source}\n    name: t{name}\n    product: output/p{name}.{kind}\n");
            pipeline += &format!("    params: {{level: '{{{{level}}}}', n: {}}}\n", task.param);
            if task.function {
                let upstream = if task.upstream.is_empty() { "" } else { ", upstream" };
                module += &format!("\ndef t{name}(product{upstream}, level, n):\n{}", indented(&self.code(task)));
            } else {
                let upstream: Vec<String> = task.upstream.iter().map(|to| format!("'t{to}'")).collect();
                let upstream =
                    if upstream.is_empty() { "None".to_owned() } else { format!("[{}]", upstream.join(", ")) };
                let head =
                    format!("# %% tags=[\"parameters\"]\nupstream = {upstream}\nproduct = None\nlevel = n = None\n");
                tree = tree.with(&format!("scripts/t{name}.py"), format!("{head}\n# %%\n{}", self.code(task)));
            }
        }
        tree.with("pipeline.yaml", pipeline).with("tasks.py", module)
    }

    fn code(&self, task: &TaskModel) -> String {
        let mut code = format!("v = {}\n", task.version);
        if task.function {
            for to in &task.upstream {
                code += &format!("upstream['t{to}']\n");
            }
        }
        for look in &task.looks {
            code += &match look {
                Look::Helper => "import help0\n".to_owned(),
                Look::Dynamic => "import importlib\nimportlib.import_module('help' + '0')\n".to_owned(),
                Look::Data => "open('data/d.csv')\n".to_owned(),
                Look::Listing => "from pathlib import Path\nlist(Path('.').rglob('*'))\n".to_owned(),
                Look::Readme => "open('README.md')\n".to_owned(),
                Look::Behind(to) => format!("open('output/p{to}.{}')\n", self.kind(*to)),
                Look::Import(to) => format!("from scripts import t{to}\n"),
                Look::Call(to) => format!("t{to}(None)\n"),
            };
        }
        code
    }

    fn kind(&self, name: usize) -> &'static str {
        if self.task(name).is_some_and(|task| task.function) { "txt" } else { "ipynb" }
    }

    /// Everything that decides what a task makes, in words; the oracle.
    fn makes(&self, name: usize) -> String {
        let Some(task) = self.task(name) else { return "nothing".to_owned() };
        let mut all = format!("t{name} {} {} {} ", self.code(task), task.param, self.env);
        if task.function {
            all += &format!("C={} ", self.constant);
        }
        for to in &task.upstream {
            all += &format!("({})", self.makes(*to));
        }
        for look in &task.looks {
            all += &match look {
                Look::Helper | Look::Dynamic => format!("H={}", self.helper),
                Look::Data => format!("D={}", self.data),
                Look::Listing => {
                    let mut all = BTreeMap::new();
                    files(&self.tree(), &RelPath::root(), &mut all);
                    format!("{all:?}")
                }
                Look::Readme => format!("R={}", self.readme),
                Look::Behind(to) => format!("B({})", self.makes(*to)),
                Look::Import(to) | Look::Call(to) => match self.task(*to) {
                    Some(other) => format!("I({}{})", self.code(other), self.constant),
                    None => "I()".to_owned(),
                },
            };
        }
        all
    }
}

fn indented(code: &str) -> String {
    code.lines().flat_map(|line| ["    ", line, "\n"]).collect()
}

fn looks(at: usize, function: bool) -> impl Strategy<Value = Vec<Look>> {
    let before = 0..at.max(1);
    let other = before.clone().prop_map(move |to| if at == 0 { Look::Data } else { Look::Behind(to) });
    let own = before.prop_map(move |to| match (at, function) {
        (0, _) => Look::Data,
        (_, true) => Look::Call(to),
        (_, false) => Look::Import(to),
    });
    let one = prop_oneof![
        2 => Just(Look::Helper),
        1 => Just(Look::Dynamic),
        3 => Just(Look::Data),
        1 => Just(Look::Listing),
        1 => Just(Look::Readme),
        2 => other,
        4 => own,
    ];
    prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(one, 1..3)]
}

fn task(name: usize) -> impl Strategy<Value = TaskModel> {
    let upstream = prop::collection::btree_set(0..name.max(1), 0..3);
    any::<bool>()
        .prop_flat_map(move |function| looks(name, function).prop_map(move |looks| (function, looks)))
        .prop_flat_map(move |(function, looks)| {
            upstream.clone().prop_map(move |upstream| TaskModel {
                name,
                function,
                upstream: if name == 0 { Vec::new() } else { upstream.into_iter().collect() },
                looks: looks.clone(),
                version: 0,
                param: 0,
            })
        })
}

/// Tasks in which what is called and imported is of the right kind.
fn model() -> impl Strategy<Value = Model> {
    let tasks = (1..7_usize).prop_flat_map(|count| (0..count).map(|name| task(name).boxed()).collect::<Vec<_>>());
    tasks.prop_map(|mut tasks| {
        let functions: Vec<bool> = tasks.iter().map(|task| task.function).collect();
        for task in &mut tasks {
            task.looks.retain(|look| match look {
                Look::Call(to) => functions[*to],
                Look::Import(to) => !functions[*to],
                _ => true,
            });
        }
        Model {
            tasks,
            helper: 0,
            data: 0,
            more_data: false,
            readme: 0,
            license: 0,
            tests: 0,
            constant: 0,
            env: 0,
            comment: 0,
            setting: 0,
        }
    })
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        8 => (0..7_usize).prop_map(Edit::Code),
        3 => (0..7_usize).prop_map(Edit::Param),
        1 => Just(Edit::Helper),
        1 => Just(Edit::Data),
        1 => Just(Edit::MoreData),
        2 => Just(Edit::Readme),
        2 => Just(Edit::License),
        2 => Just(Edit::Tests),
        1 => Just(Edit::Constant),
        1 => Just(Edit::Env),
        2 => Just(Edit::Comment),
        2 => Just(Edit::Setting),
        2 => (0..7_usize).prop_map(Edit::Remove),
        2 => Just(Edit::Add),
        2 => (0..7_usize).prop_map(Edit::Upstream),
    ]
}

fn project(tree: &MemoryTree) -> Project {
    let outcome = validate::check(tree, &RelPath::root(), &validate::Options::default());
    let errors: Vec<_> =
        outcome.diagnostics.iter().filter(|found| found.severity == crate::diag::Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    outcome.project.unwrap()
}

fn files(tree: &MemoryTree, folder: &RelPath, found: &mut BTreeMap<RelPath, Vec<u8>>) {
    for name in tree.list(folder) {
        let path = folder.join(&name);
        match tree.read(&path, u64::MAX) {
            Ok(Some(bytes)) => drop(found.insert(path, bytes.to_vec())),
            _ => files(tree, &path, found),
        }
    }
}

fn changed(before: &MemoryTree, after: &MemoryTree) -> Vec<RelPath> {
    let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
    files(before, &RelPath::root(), &mut old);
    files(after, &RelPath::root(), &mut new);
    let paths: BTreeSet<&RelPath> = old.keys().chain(new.keys()).collect();
    paths.into_iter().filter(|path| old.get(*path) != new.get(*path)).cloned().collect()
}

fn compare(before: &Model, after: &Model) -> Decision {
    trees(&before.tree(), &after.tree())
}

fn trees(before: &MemoryTree, after: &MemoryTree) -> Decision {
    let (old, new) = (project(before), project(after));
    decide(&Case {
        before: Side { tree: before, project: &old },
        after: Side { tree: after, project: &new },
        changed: &changed(before, after),
        unavailable: &BTreeMap::new(),
        entangled: None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    /// The promise of the whole room.
    #[test]
    fn what_is_taken_over_is_what_a_full_run_would_make(
        before in model(),
        edits in prop::collection::vec(edit(), 0..4),
    ) {
        let mut after = before.clone();
        for edit in &edits {
            after.apply(edit);
        }
        let decision = compare(&before, &after);
        for name in decision.reused() {
            let at: usize = name[1..].parse().unwrap();
            prop_assert_eq!(before.makes(at), after.makes(at), "{} was taken over: {:?}", name, decision);
        }
        if edits.is_empty() {
            prop_assert_eq!(decision.reused().count(), after.tasks.len(), "{:?}", decision);
        }
    }
}

/// Three scripts in a row, a fourth beside them, and two functions.
fn plain() -> Model {
    let script = |name, upstream: &[usize]| TaskModel {
        name,
        function: false,
        upstream: upstream.to_vec(),
        looks: Vec::new(),
        version: 0,
        param: 0,
    };
    let function = |name, upstream: &[usize]| TaskModel { function: true, ..script(name, upstream) };
    let tasks =
        vec![script(0, &[]), script(1, &[0]), script(2, &[1]), script(3, &[]), function(4, &[0]), function(5, &[4])];
    Model {
        tasks,
        helper: 0,
        data: 0,
        more_data: false,
        readme: 0,
        license: 0,
        tests: 0,
        constant: 0,
        env: 0,
        comment: 0,
        setting: 0,
    }
}

fn reused_after(edit: &Edit) -> Vec<String> {
    let mut after = plain();
    after.apply(edit);
    compare(&plain(), &after).reused().map(str::to_owned).collect()
}

#[test]
fn only_what_changed_and_what_needs_it_is_executed() {
    let all = ["t0", "t1", "t2", "t3", "t4", "t5"];
    for (edit, expected) in [
        (Edit::Code(1), &["t0", "t3", "t4", "t5"][..]),
        (Edit::Code(0), &["t3"]),
        (Edit::Code(3), &["t0", "t1", "t2", "t4", "t5"]),
        (Edit::Code(5), &["t0", "t1", "t2", "t3", "t4"]),
        (Edit::Code(4), &["t0", "t1", "t2", "t3"]),
        (Edit::Param(2), &["t0", "t1", "t3", "t4", "t5"]),
        (Edit::Add, &all),
        (Edit::Remove(2), &["t0", "t1", "t3", "t4", "t5"]),
        (Edit::Upstream(2), &["t0", "t1", "t3", "t4", "t5"]),
        (Edit::Readme, &all),
        (Edit::License, &all),
        (Edit::Tests, &all),
        (Edit::Comment, &all),
        (Edit::Setting, &all),
        (Edit::Data, &[]),
        (Edit::MoreData, &[]),
        (Edit::Helper, &[]),
        (Edit::Constant, &[]),
        (Edit::Env, &[]),
    ] {
        assert_eq!(reused_after(&edit), expected, "{edit:?}");
    }
}

fn reason(decision: &Decision, task: &str) -> String {
    decision.tasks.iter().find(|(name, _)| name == task).and_then(|(_, reason)| reason.clone()).unwrap_or_default()
}

#[test]
fn reasons_say_what_changed_and_where() {
    let mut after = plain();
    after.apply(&Edit::Code(1));
    let decision = compare(&plain(), &after);
    assert_eq!(reason(&decision, "t1"), "`scripts/t1.py` changed");
    assert_eq!(reason(&decision, "t2"), "`t1`, which it needs, is executed");
    let mut after = plain();
    after.apply(&Edit::Code(4));
    assert_eq!(reason(&compare(&plain(), &after), "t4"), "`t4` in `tasks.py` changed");
    after.apply(&Edit::Helper);
    assert_eq!(reason(&compare(&plain(), &after), "t0"), "`help0.py` changed, which any task may use");
}

/// The plain pipeline with one more file, before and after the script of `t3` changed.
fn with(path: &str, text: &str) -> Decision {
    let mut after = plain();
    after.apply(&Edit::Code(3));
    trees(&plain().tree().with(path, text), &after.tree().with(path, text))
}

#[test]
fn whoever_may_see_a_script_or_its_product_is_executed_too() {
    assert_eq!(with("other.txt", "nothing").reused().count(), 5);
    for (path, text) in [
        ("shared.py", "from scripts import t3"),
        ("shared.py", "PATH = 'output/p3.ipynb'"),
        ("shared.py", "NAME = 'p3.ipynb'"),
        ("shared.py", "for x in Path('output').iterdir(): pass"),
        ("shared.py", "open('/tmp/x')"),
        ("run.sh", "python scripts/t3.py"),
        ("book.ipynb", "{\"source\": \"import os\\nfrom scripts import t3\"}"),
    ] {
        let decision = with(path, text);
        assert_eq!(decision.reused().count(), 0, "{path}: {text}: {decision:?}");
    }
}

#[test]
fn what_has_no_place_or_a_database_is_never_taken_over() {
    let tree = plain().tree().with("hooks.py", "def hook():\n    return None\n");
    let text = |tree: &MemoryTree| {
        String::from_utf8(tree.read(&"pipeline.yaml".parse().unwrap(), 1 << 20).unwrap().unwrap().to_vec()).unwrap()
    };
    let again = |from: &str, to: &str| {
        let pipeline = text(&tree).replacen(from, to, 1);
        assert_ne!(pipeline, text(&tree), "{from}");
        let tree = tree.clone().with("pipeline.yaml", pipeline);
        trees(&tree, &tree).reused().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        again("output/p3.ipynb", "output/{{now}}.ipynb"),
        [""; 0],
        "its folder is named by all others' products"
    );
    assert_eq!(again("output/p3.ipynb", "/data/p3.ipynb"), ["t0", "t1", "t2", "t4", "t5"]);
    assert_eq!(again("name: t3\n", "name: t3\n    on_finish: hooks.hook\n").len(), 6);
    assert_eq!(again("tasks:\n", "clients: {File: hooks.hook}\ntasks:\n"), [""; 0]);
}

#[test]
fn products_that_are_not_to_be_had_and_entangled_runs_are_no_source() {
    let tree = plain().tree();
    let project = project(&tree);
    let side = Side { tree: &tree, project: &project };
    let gone = BTreeMap::from([("t1".to_owned(), "it is damaged there".to_owned())]);
    let case = Case { before: side, after: side, changed: &[], unavailable: &gone, entangled: None };
    let decision = decide(&case);
    assert_eq!(decision.reused().collect::<Vec<_>>(), ["t0", "t3", "t4", "t5"]);
    assert_eq!(reason(&decision, "t1"), "it is damaged there");
    let entangled = decide(&Case { entangled: Some("`x` was left there"), ..case });
    assert_eq!(entangled.reused().count(), 0);
    // All of it or nothing: what tasks handed each other does not matter where none is executed.
    let none = BTreeMap::new();
    assert_eq!(decide(&Case { unavailable: &none, entangled: Some("x"), ..case }).reused().count(), 6);
}
