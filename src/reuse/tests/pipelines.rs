//! Pipelines whose true dependencies are known: random ones, edits of them, and what every task would make.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::files;
use crate::id::RelPath;
use crate::repo::MemoryTree;

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
pub(super) struct TaskModel {
    name: usize,
    function: bool,
    upstream: Vec<usize>,
    looks: Vec<Look>,
    version: u32,
    param: u32,
}

#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) tasks: Vec<TaskModel>,
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
pub(super) enum Edit {
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
    pub(super) fn apply(&mut self, edit: &Edit) {
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

    pub(super) fn tree(&self) -> MemoryTree {
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
    pub(super) fn makes(&self, name: usize) -> String {
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
pub(super) fn model() -> impl Strategy<Value = Model> {
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

pub(super) fn edit() -> impl Strategy<Value = Edit> {
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

/// Three scripts in a row, a fourth beside them, and two functions.
pub(super) fn plain() -> Model {
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
