//! pipeline.yaml with its placeholders expanded: tasks with source, class, products and upstream.
//!
//! Reading is lenient: what has the wrong shape is left out here and named by a rule of `validate`, which looks at
//! the same nodes. A name that is misspelt is taken for the one that was meant, so that the rules see what stands there.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::class::{self, TaskClass};
use super::env::SNAPSHOT;
use super::yaml::{Node, Value};
use super::{Spanned, suggest};
use crate::diag::{SourceText, Span};
use crate::id::RelPath;

/// A pipeline as written, after expansion.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// The whole document: a mapping (a top-level list was wrapped into `tasks`).
    pub document: Node,
    /// `meta:`.
    pub meta: Meta,
    /// Tasks in the order written, imported ones last.
    pub tasks: Vec<Task>,
    /// A dotted path to a function that makes the pipeline, instead of tasks.
    pub location: Option<Spanned<String>>,
    /// The folder that sources and products are relative to, from the snapshot's root.
    pub root: RelPath,
    /// The file.
    pub source: Arc<SourceText>,
}

/// What `meta:` switches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Upstream is read from the sources.
    pub extract_upstream: bool,
    /// Products are read from the sources.
    pub extract_product: bool,
    /// Products are relative to the source's folder.
    pub product_relative_to_source: bool,
    /// Product classes by task class.
    pub product_default_class: BTreeMap<String, String>,
    /// A file with more tasks.
    pub import_tasks_from: Option<Spanned<String>>,
    /// Where sources come from, if not from the project's folder.
    pub source_loader: Option<SourceLoader>,
}

/// Keys of `meta:`.
pub const META_KEYS: [&str; 8] = [
    "extract_upstream",
    "extract_product",
    "product_default_class",
    "product_relative_to_source",
    "jupyter_hot_reload",
    "source_loader",
    "jupyter_functions_as_notebooks",
    "import_tasks_from",
];

/// Where Ploomber looks for sources in place of the project's folder; nowhere, if it says neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceLoader {
    /// In these folders, relative to the one that is run, or to the module's.
    pub folders: Vec<String>,
    /// Beside the file of this module.
    pub module: Option<String>,
}

/// One task.
#[derive(Debug, Clone)]
pub struct Task {
    /// Its mapping.
    pub node: Node,
    /// The file it stands in.
    pub file: Arc<SourceText>,
    /// Ploomber's name for it.
    pub name: Spanned<String>,
    /// A file, or a dotted path to a function.
    pub source: Option<Spanned<String>>,
    /// What runs it; `None` when that cannot be told.
    pub class: Option<&'static TaskClass>,
    /// What it makes.
    pub products: Vec<Product>,
    /// Tasks it needs: as declared, or as its source says; patterns as written.
    pub upstream: Vec<Spanned<String>>,
    /// Whether these are all; `false` where the source computes them in ways that only Python can follow.
    pub upstream_known: bool,
}

/// What kind of thing a product is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProductKind {
    /// A file or a folder.
    File,
    /// A table, a view, or something else that is not a file.
    Relation,
}

/// One product of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// The key in a product mapping.
    pub key: Option<String>,
    /// After expansion; a relation's parts are joined by `.`.
    pub text: Spanned<String>,
    /// A file, or not.
    pub kind: ProductKind,
    /// Whether the text is what the run will see; `false` when it holds a placeholder that only the run can fill.
    pub known: bool,
}

impl Pipeline {
    /// Reads an expanded document; its sources and products are relative to `root`.
    pub fn read(document: Node, root: RelPath, source: &Arc<SourceText>) -> Self {
        let document = match document.value {
            Value::Seq(_) => {
                let span = Span { start: document.span.start, len: 0 };
                let key = Node { value: Value::Str("tasks".to_owned()), span, plain: true };
                Node { span: document.span, plain: true, value: Value::Map(vec![(key, document)]) }
            }
            _ => document,
        };
        let meta = Meta::read(document.get("meta"));
        let location = document.get("location").and_then(text);
        let mut pipeline = Self { meta, tasks: Vec::new(), location, root, source: Arc::clone(source), document };
        let tasks: Vec<Node> = pipeline.document.get("tasks").and_then(Node::as_seq).unwrap_or_default().to_vec();
        pipeline.add(&tasks, source);
        pipeline
    }

    /// Where a path of the pipeline lies in the snapshot; `None` when it is outside of it, or known to the run only.
    pub fn inside(&self, path: &str) -> Option<RelPath> {
        if path.contains("{{") {
            return None;
        }
        match path.strip_prefix(SNAPSHOT) {
            Some("") => Some(RelPath::root()),
            Some(rest) if rest.starts_with('/') => RelPath::normalise(rest.trim_start_matches('/')).ok(),
            _ if path.starts_with('/') => None,
            _ => RelPath::normalise(format!("{}/{path}", self.root.as_str()?).trim_start_matches('/')).ok(),
        }
    }

    /// Where a file product lies in the snapshot; `None` when it is no file, outside, or known to the run only.
    pub fn product_path(&self, task: &Task, product: &Product) -> Option<RelPath> {
        let text = product.text.as_str();
        if product.kind != ProductKind::File || !product.known {
            return None;
        }
        if self.meta.product_relative_to_source && !text.starts_with('/') {
            return self.inside(format!("{}/{text}", task.source_folder()).trim_start_matches('/'));
        }
        self.inside(text)
    }

    /// Adds tasks of another file.
    pub fn add(&mut self, tasks: &[Node], file: &Arc<SourceText>) {
        self.tasks.extend(tasks.iter().filter_map(|node| Task::read(node, &self.meta, file)));
    }
}

impl Meta {
    fn read(node: Option<&Node>) -> Self {
        let value = |key: &str| node.and_then(|node| node.get(key).or_else(|| misspelt(node, key)));
        let flag = |key: &str, default: bool| value(key).map_or(default, |v| !v.is_falsy());
        let classes = value("product_default_class").and_then(Node::as_map).unwrap_or_default();
        // Where `meta` cannot be read, nothing that it may say is held against the tasks.
        let is_legible = node.is_none_or(|node| node.is_null() || node.as_map().is_some());
        Self {
            extract_upstream: flag("extract_upstream", is_legible),
            extract_product: flag("extract_product", false),
            product_relative_to_source: flag("product_relative_to_source", false),
            product_default_class: classes
                .iter()
                .filter_map(|(k, v)| Some((k.as_str()?.to_owned(), v.as_str()?.to_owned())))
                .collect(),
            import_tasks_from: value("import_tasks_from").and_then(text),
            source_loader: value("source_loader").map(SourceLoader::read),
        }
    }
}

/// The value of a key of `meta` that was meant to be `wanted`.
fn misspelt<'a>(meta: &'a Node, wanted: &str) -> Option<&'a Node> {
    let is_meant = |key: &Node| {
        let name = key.scalar_text().unwrap_or_default();
        !META_KEYS.contains(&name.as_str()) && suggest::closest(&name, META_KEYS) == Some(wanted)
    };
    meta.as_map()?.iter().find(|(key, _)| is_meant(key)).map(|(_, value)| value)
}

impl SourceLoader {
    fn read(node: &Node) -> Self {
        let folders = node.get("path").map(|path| path.as_seq().unwrap_or(std::slice::from_ref(path)));
        let folders = folders.unwrap_or_default().iter().filter_map(Node::as_str).map(str::to_owned).collect();
        Self { folders, module: node.get("module").and_then(Node::as_str).map(str::to_owned) }
    }
}

impl Task {
    fn read(node: &Node, meta: &Meta, file: &Arc<SourceText>) -> Option<Self> {
        let node = match &node.value {
            Value::Map(_) => mended(node, meta),
            Value::Str(_) => {
                let key = Node { value: Value::Str("source".to_owned()), ..node.clone() };
                Node { value: Value::Map(vec![(key, node.clone())]), span: node.span, plain: node.plain }
            }
            _ => return None,
        };
        let source = node.get("source").and_then(text);
        let product = node.get("product");
        let by_look = source.as_ref().and_then(|s| class::by_source(s.as_str(), product.and_then(Node::as_str)));
        let class = match node.get("class").filter(|class| !class.is_falsy()) {
            Some(name) => name.as_str().and_then(|name| class::task(name).or_else(|| class::meant(name, by_look))),
            None => by_look,
        };
        let name = name_of(&node, source.as_ref(), class);
        let (products, upstream, file) = (Vec::new(), Vec::new(), Arc::clone(file));
        let mut task = Self { name, source, class, products, upstream, upstream_known: true, file, node };
        task.set_products(task.node.get("product").cloned().as_ref(), meta);
        task.upstream = match task.node.get("upstream") {
            Some(one) if one.as_seq().is_none() => text(one).into_iter().collect(),
            Some(many) => many.as_seq().unwrap_or_default().iter().filter_map(text).collect(),
            None => Vec::new(),
        };
        Some(task)
    }

    /// Reads the products from a node: of the file, or of the source where products are extracted.
    pub fn set_products(&mut self, node: Option<&Node>, meta: &Meta) {
        let kind = if self.product_class(meta).is_none_or(|c| c == "File") {
            ProductKind::File
        } else {
            ProductKind::Relation
        };
        self.products = match node.map(|n| (n, &n.value)) {
            Some((_, Value::Map(pairs))) => {
                pairs.iter().filter_map(|(k, v)| product(k.scalar_text(), v, kind)).collect()
            }
            Some((node, _)) => product(None, node, kind).into_iter().collect(),
            None => Vec::new(),
        };
    }

    /// The product class: the task's own, the pipeline's default, or Ploomber's.
    pub fn product_class(&self, meta: &Meta) -> Option<&'static str> {
        let own = self.node.get("product_class").and_then(Node::as_str);
        let class = self.class?;
        let written = own.or_else(|| meta.product_default_class.get(class.name).map(String::as_str));
        written.map_or(class.product, |name| class::product(name).or(class.product))
    }

    /// Where to point when the task as a whole is meant.
    pub fn span(&self) -> Span {
        self.node.get("source").map_or(self.node.span, |source| source.span)
    }

    /// The folder part of the source.
    pub fn source_folder(&self) -> &str {
        self.source.as_ref().and_then(|s| s.as_str().rsplit_once('/')).map_or("", |(folder, _)| folder)
    }

    /// Whether the source is a function.
    pub fn is_function(&self) -> bool {
        self.class.is_some_and(|class| class.name == "PythonCallable")
    }
}

fn text(node: &Node) -> Option<Spanned<String>> {
    node.as_str().map(|text| Spanned::new(text.to_owned(), node.span))
}

/// The task with the keys that were meant: a slip in a key says nothing about its value.
fn mended(node: &Node, meta: &Meta) -> Node {
    let mut mended = node.clone();
    let Value::Map(pairs) = &mut mended.value else { return mended };
    // Where the sources say what they make, no `product` was meant.
    for wanted in ["source", "product"].into_iter().take(if meta.extract_product { 1 } else { 2 }) {
        let Some(slip) = class::misspelt(node, wanted) else { continue };
        if let Some((key, _)) = pairs.iter_mut().find(|(key, _)| key == slip) {
            key.value = Value::Str(wanted.to_owned());
        }
    }
    mended
}

/// A name of another kind than text is as good as none.
fn name_of(node: &Node, source: Option<&Spanned<String>>, class: Option<&TaskClass>) -> Spanned<String> {
    let written = node.get("name").filter(|name| !name.is_null());
    if let Some((text, name)) = written.and_then(|name| Some((name.scalar_text()?, name))) {
        return Spanned::new(text, name.span);
    }
    let Some(source) = source else { return Spanned::new(String::new(), node.span) };
    let last = source.as_str().rsplit('/').next().unwrap_or_default();
    let name = if class.is_some_and(|c| c.name == "PythonCallable") {
        last.rsplit('.').next().unwrap_or_default()
    } else {
        last.strip_suffix(class::suffix(last)).unwrap_or(last)
    };
    Spanned::new(name.to_owned(), source.span)
}

fn product(key: Option<String>, node: &Node, kind: ProductKind) -> Option<Product> {
    let text = match &node.value {
        Value::Seq(parts) if kind == ProductKind::Relation => {
            let parts: Option<Vec<String>> = parts.iter().map(Node::scalar_text).collect();
            parts?.join(".")
        }
        Value::Str(text) => text.clone(),
        _ => return None,
    };
    Some(Product { key, known: !text.contains("{{"), text: Spanned::new(text, node.span), kind })
}
