//! Looks into the sources that the tasks name, without running them: what is there, what it needs, what it makes.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::diag::{SourceText, Span};
use crate::id::RelPath;
use crate::repo::{EntryKind, ReadError, Tree};
use crate::spec::class;
use crate::spec::yaml::{Node, Value};
use crate::spec::{Pipeline, Spanned, Task};

mod braces;
mod loader;
pub(crate) mod module;
mod notebook;
pub(super) mod outline;
mod python;
mod template;
mod undefined;
mod value;

use module::{Binding, Module};
pub(crate) use template::{Broken, FILTERS, Template, Why};
pub(crate) use undefined::{Slip, Undefined};

/// Bytes of one source that are read.
const LIMIT: u64 = 32 * 1024 * 1024;

/// What was found at a task's source.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing can be said: no source, no class, where nobody knows where to look, or known only to the run.
    Unknown,
    /// No file.
    Missing(RelPath),
    /// A folder.
    Folder(RelPath),
    /// A path that leads out of the repository.
    Outside,
    /// A file that cannot be read.
    Unreadable(String),
    /// A script or a notebook.
    Notebook {
        /// Whether there is a parameters cell.
        parameters: bool,
        /// Why it is no notebook.
        broken: Option<String>,
        /// What is wrong with `upstream = …`.
        trouble: Option<UpstreamTrouble>,
        /// Whether what it says of its `product` can be read without running it.
        product_known: bool,
        /// The names that its parameters cell gives a value, where all that it does is to give names values.
        declared: Option<Vec<String>>,
        /// The names of its code that have no value, where Ploomber asks.
        unknown: Option<Box<Unknown>>,
        /// Where it lies.
        path: RelPath,
    },
    /// A file with placeholders.
    Template(Box<Template>),
    /// A function, or why there is none.
    Function(Callable),
}

/// What is wrong with the code of a notebook, and the text it stands in.
#[derive(Debug)]
pub(crate) struct Unknown {
    /// The text.
    pub source: Arc<SourceText>,
    /// Names without a value.
    pub names: Vec<Undefined>,
    /// What else is wrong, and where.
    pub slip: Option<(usize, Slip)>,
}

/// What is wrong with the `upstream` variable of a parameters cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UpstreamTrouble {
    /// Not assigned.
    Missing,
    /// A text, a number, ….
    WrongKind(&'static str),
    /// Only running could tell.
    NotLiteral,
    /// In R, something else than `list(…)` and `NULL`.
    RList,
}

/// What is known about a dotted path to something that is called.
#[derive(Debug, Clone)]
pub(crate) enum Callable {
    /// A function of this repository.
    Here(module::Function),
    /// Below an `if` or a `try`, where Ploomber cannot read it.
    Indented(RelPath),
    /// A number, a text, …: nothing that can be called.
    Value(RelPath),
    /// Bound to something else there, or possibly provided by a star import.
    Unclear,
    /// The module is here, the name is not in it; with the names of its functions.
    NoName { module: RelPath, functions: Vec<String> },
    /// The package is here, the module is not.
    NoModule(String),
    /// Nothing here is called so; it may be an installed package. With the modules that are here.
    Elsewhere(Vec<String>),
    /// The module cannot be read by Python: this bracket of its text has no partner, or the line here no colon.
    Broken(Arc<SourceText>, Span),
    /// Fewer than two parts, or an empty one.
    Malformed,
}

/// Looks at every task; fills in upstream and products where the pipeline reads them from the sources.
pub(crate) fn load(tree: &dyn Tree, pipeline: &mut Pipeline, roots: &[RelPath]) -> Vec<Found> {
    let mut tasks = std::mem::take(&mut pipeline.tasks);
    let mut modules = Modules::default();
    let found = tasks.iter_mut().map(|task| look(tree, pipeline, task, roots, &mut modules)).collect();
    pipeline.tasks = tasks;
    found
}

fn look(tree: &dyn Tree, pipeline: &Pipeline, task: &mut Task, roots: &[RelPath], modules: &mut Modules) -> Found {
    let Some(source) = task.source.clone() else { return Found::Unknown };
    let Some(class) = task.class else {
        // Of whatever class it was meant to be: a file with such an ending has to be there.
        let is_file = class::is_file(source.as_str()) && !source.as_str().contains("://");
        let found = is_file.then(|| place(tree, pipeline, source.as_str(), roots).err()).flatten();
        return found.unwrap_or(Found::Unknown);
    };
    if task.is_function() {
        let callable = resolve(tree, roots, source.as_str(), modules);
        if let (Callable::Here(function), true) = (&callable, pipeline.meta.extract_upstream) {
            task.upstream = spanned(&function.upstream, &source);
        }
        return Found::Function(callable);
    }
    let by_file = matches!(
        class.name,
        "NotebookRunner" | "ScriptRunner" | "ShellScript" | "SQLScript" | "SQLDump" | "SQLTransfer"
    );
    if !by_file {
        return Found::Unknown;
    }
    let path = match place(tree, pipeline, source.as_str(), roots) {
        Ok(path) => path,
        Err(found) => return found,
    };
    let notebook = matches!(class.name, "NotebookRunner" | "ScriptRunner");
    if notebook && matches!(class::suffix(source.as_str()), ".sh" | ".sql") {
        // That it is no notebook is told; what it would lack as one is not.
        return Found::Unknown;
    }
    let text = match tree.read(&path, LIMIT) {
        Ok(None) => return Found::Missing(path),
        Err(ReadError::TooLong { .. }) => return Found::Unknown,
        Err(error) => return Found::Unreadable(error.to_string()),
        Ok(Some(bytes)) => match String::from_utf8(bytes.to_vec()) {
            Ok(text) => text,
            Err(error) => return Found::Unreadable(format!("byte {} is not UTF-8", error.utf8_error().valid_up_to())),
        },
    };
    if !notebook {
        let mut template = template::read(&path.to_string(), &text);
        if let Some(loader) = pipeline.meta.source_loader.as_ref().filter(|_| !source.as_str().starts_with('/')) {
            template.includes.retain(|include| {
                let name = include.name.as_deref().filter(|_| !include.may_lack);
                name.is_some_and(|name| loader::lacks(tree, pipeline, loader, name, roots))
            });
        }
        if pipeline.meta.extract_upstream {
            task.upstream = spanned(&template.upstream, &source);
        }
        return Found::Template(Box::new(template));
    }
    script(pipeline, task, &source, &text, path)
}

/// Where the file of a source lies, or what is to be said in place of that.
fn place(tree: &dyn Tree, pipeline: &Pipeline, source: &str, roots: &[RelPath]) -> Result<RelPath, Found> {
    if source.contains("{{") {
        return Err(Found::Unknown);
    }
    let path = match &pipeline.meta.source_loader {
        Some(loader) => loader::find(tree, pipeline, loader, source, roots)?,
        None => pipeline.inside(source).ok_or(Found::Outside)?,
    };
    match tree.entry(&path) {
        Some(EntryKind::Folder | EntryKind::Submodule) => Err(Found::Folder(path)),
        // What lies behind a link to a folder has no entry of its own.
        None if matches!(tree.read(&path, LIMIT), Ok(None)) => Err(Found::Missing(path)),
        _ => Ok(path),
    }
}

fn script(pipeline: &Pipeline, task: &mut Task, source: &Spanned<String>, text: &str, path: RelPath) -> Found {
    let ending = class::suffix(source.as_str());
    let without_cell = |broken: Option<String>, path: RelPath| Found::Notebook {
        parameters: false,
        broken,
        trouble: None,
        product_known: true,
        declared: None,
        unknown: None,
        path,
    };
    if text.trim().is_empty() {
        return without_cell(Some("the file is empty".to_owned()), path);
    }
    let asks_file = ending == ".ipynb" && task.node.get("kernelspec_name").is_none_or(Node::is_null);
    let no_kernel = if asks_file { notebook::without_kernel(text).map(str::to_owned) } else { None };
    let (cell, broken) = match notebook::parameters(text, ending) {
        notebook::Cell::Found(cell, true) => {
            (cell, Some("the parameters cell is the last one, so there is nothing to run".to_owned()))
        }
        notebook::Cell::Found(cell, false) => (cell, no_kernel),
        notebook::Cell::Missing => return without_cell(no_kernel, path),
        notebook::Cell::Broken(why) => return without_cell(Some(why), path),
    };
    let r = is_r(task, ending, text);
    let cell = if r { r_as_python(&cell) } else { cell };
    let tokens = python::tokens(&cell);
    let mut trouble = None;
    if pipeline.meta.extract_upstream {
        match python::assigned(&tokens, "upstream") {
            // An R script without the variable has no upstream; a Python one must say so.
            python::Assigned::Missing => trouble = (!r).then_some(UpstreamTrouble::Missing),
            python::Assigned::Other | python::Assigned::Unclear if r => trouble = Some(UpstreamTrouble::RList),
            python::Assigned::Other => trouble = Some(UpstreamTrouble::NotLiteral),
            // Ploomber evaluates it; what it comes to is known to the run.
            python::Assigned::Unclear => task.upstream_known = false,
            python::Assigned::Literal(node) => match names(&node) {
                Some(names) => task.upstream = spanned(&names, source),
                None => trouble = (!r).then_some(UpstreamTrouble::WrongKind(node.kind())),
            },
        }
    }
    let mut product_known = true;
    if pipeline.meta.extract_product {
        let assigned = python::assigned(&tokens, "product");
        product_known = !matches!(assigned, python::Assigned::Unclear);
        let node = match assigned {
            python::Assigned::Literal(node) => Some(at(node, source)),
            _ => None,
        };
        task.set_products(node.as_ref(), &pipeline.meta);
    }
    // Of a notebook, only its kernel knows the language.
    let says_python = || ending == ".py" || (ending == ".ipynb" && undefined::ipynb(text).is_some());
    let is_python = task.node.get("kernelspec_name").is_none() && says_python();
    let declared = is_python.then(|| value::declared(&tokens)).flatten();
    // What the cell is blamed for is not said of its names again.
    let held = if trouble.is_some() { cell.as_str() } else { "" };
    let unknown = unknown(task, text, (ending, &path), held);
    Found::Notebook { parameters: true, broken, trouble, product_known, declared, unknown, path }
}

/// Whether nothing but `# %%`, or what nbconvert writes, begins a cell of the script at `path`.
pub(crate) fn is_in_percent(tree: &dyn Tree, path: &RelPath) -> bool {
    let is_r = class::suffix(std::str::from_utf8(path.file_name()).unwrap_or_default()) != ".py";
    let bytes = tree.read(path, LIMIT).ok().flatten();
    bytes.is_some_and(|bytes| notebook::is_in_percent(&String::from_utf8_lossy(&bytes), is_r))
}

/// Whether the source of a task is written in R.
fn is_r(task: &Task, ending: &str, text: &str) -> bool {
    match (ending, task.node.get("kernelspec_name")) {
        (".R" | ".r" | ".Rmd", _) => true,
        // What the pipeline says of the kernel goes before what the notebook says.
        (".ipynb", Some(kernel)) => kernel.as_str() == Some("ir"),
        (".ipynb", None) => notebook::is_r(text),
        _ => false,
    }
}

/// What the code of a notebook in Python looks up and nothing gives a value, where Ploomber asks; but for words of `held`.
fn unknown(task: &Task, text: &str, file: (&str, &RelPath), held: &str) -> Option<Box<Unknown>> {
    let (ending, path) = file;
    let analysis = task.node.get("static_analysis");
    let is_asked = analysis.is_none_or(|value| matches!(value.as_str(), Some("regular" | "strict")));
    if !is_asked || task.node.get("kernelspec_name").is_some() {
        return None;
    }
    let code = match ending {
        ".py" => undefined::script(text)?,
        ".ipynb" => undefined::ipynb(text)?,
        _ => return None,
    };
    let mut given = vec!["product".to_owned(), "upstream".to_owned()];
    for node in ["params", "grid"].iter().filter_map(|key| task.node.get(key)) {
        for part in node.as_seq().unwrap_or(std::slice::from_ref(node)) {
            given.extend(part.as_map()?.iter().filter_map(|(key, _)| key.scalar_text()));
        }
    }
    given.extend(undefined::injected(text));
    let undefined::Wrong { mut names, mut slip } = undefined::look(&code, &given);
    names.retain(|name| !outline::has_word(held, &name.name));
    if names.is_empty() && slip.is_none() {
        return None;
    }
    if ending == ".ipynb" {
        for at in names.iter_mut().map(|name| &mut name.at).chain(slip.iter_mut().map(|(at, _)| at)) {
            *at = undefined::place(text, &code, *at);
        }
    }
    let source = Arc::new(SourceText { name: path.to_string(), text: text.to_owned() });
    Some(Box::new(Unknown { source, names, slip }))
}

/// `list('a', "b")` and `NULL` in words that the literal reader knows.
fn r_as_python(cell: &str) -> String {
    cell.replace("<-", "=")
        .replace("NULL", "None")
        .replace("list(", "set(")
        .replace("set(", "(")
        .lines()
        .map(|line| match line.strip_suffix(')') {
            Some(open) if open.contains('(') && !open.ends_with(',') && !open.ends_with('(') => format!("{open},)\n"),
            _ => format!("{line}\n"),
        })
        .collect()
}

fn names(node: &Node) -> Option<Vec<String>> {
    match &node.value {
        Value::Null => Some(Vec::new()),
        Value::Seq(items) => Some(items.iter().filter_map(Node::scalar_text).collect()),
        Value::Map(pairs) => Some(pairs.iter().filter_map(|(key, _)| key.scalar_text()).collect()),
        _ => None,
    }
}

fn spanned(names: &[String], source: &Spanned<String>) -> Vec<Spanned<String>> {
    names.iter().map(|name| Spanned::new(name.clone(), source.span)).collect()
}

/// Moves every part of a node read from a source to where the pipeline names that source.
fn at(node: Node, source: &Spanned<String>) -> Node {
    let value = match node.value {
        Value::Seq(items) => Value::Seq(items.into_iter().map(|item| at(item, source)).collect()),
        Value::Map(pairs) => Value::Map(pairs.into_iter().map(|(k, v)| (at(k, source), at(v, source))).collect()),
        other => other,
    };
    Node { value, span: source.span, plain: node.plain }
}

/// Modules that were read already: many tasks are functions of one.
#[derive(Default)]
pub(crate) struct Modules(BTreeMap<RelPath, Option<Rc<Module>>>);

impl Modules {
    fn read(&mut self, tree: &dyn Tree, path: &RelPath) -> Option<Rc<Module>> {
        let read = || {
            let bytes = tree.read(path, LIMIT).ok().flatten()?;
            Some(Rc::new(Module::new(&path.to_string(), &String::from_utf8_lossy(&bytes))))
        };
        self.0.entry(path.clone()).or_insert_with(read).clone()
    }
}

/// Follows `package.module.function` through the folders that will be importable.
pub(crate) fn resolve(tree: &dyn Tree, roots: &[RelPath], dotted: &str, known: &mut Modules) -> Callable {
    let parts: Vec<&str> = dotted.split('.').collect();
    if parts.len() < 2 || parts.iter().any(|part| part.is_empty()) {
        return Callable::Malformed;
    }
    let (name, modules) = (parts[parts.len() - 1], &parts[..parts.len() - 1]);
    let file = |root: &RelPath, modules: &[&str], ending: &str| {
        let path = RelPath::normalise(&format!("{}{ending}", modules.join("/"))).ok().map(|path| root.join(&path))?;
        tree.entry(&path).map(|kind| (path, kind))
    };
    let here = |root: &&RelPath| file(root, &modules[..1], ".py").is_some() || file(root, &modules[..1], "").is_some();
    let Some(root) = roots.iter().find(here) else { return Callable::Elsewhere(local_modules(tree, roots)) };
    let Some((path, _)) = file(root, modules, "/__init__.py").or_else(|| file(root, modules, ".py")) else {
        return if file(root, modules, "").is_some() {
            Callable::Unclear
        } else {
            Callable::NoModule(modules.join("."))
        };
    };
    let Some(module) = known.read(tree, &path) else { return Callable::Unclear };
    if let Some((source, span)) = &module.broken {
        return Callable::Broken(Arc::clone(source), *span);
    }
    match module.binding(name) {
        Binding::Function(function) => Callable::Here(function),
        Binding::Indented => Callable::Indented(path),
        Binding::Literal => Callable::Value(path),
        Binding::Other | Binding::Missing(true) => Callable::Unclear,
        Binding::Missing(false) => Callable::NoName { module: path, functions: module.functions() },
    }
}

fn local_modules(tree: &dyn Tree, roots: &[RelPath]) -> Vec<String> {
    let mut names: Vec<String> = roots
        .iter()
        .flat_map(|root| tree.list(root).into_iter().map(move |name| root.join(&name)))
        .filter_map(|path| {
            let name = std::str::from_utf8(path.file_name()).ok()?.to_owned();
            match tree.entry(&path)? {
                EntryKind::File { .. } => name.strip_suffix(".py").map(str::to_owned),
                _ => Some(name),
            }
        })
        .filter(|name| !name.starts_with('.') && !matches!(name.as_str(), "setup" | "src"))
        .collect();
    names.sort();
    names.dedup();
    names
}
