//! pipeline.yaml with its placeholders expanded: tasks with source, class, products and upstream.
//!
//! Reading is lenient: what has the wrong shape is left out here and named by a rule of `validate`, which looks at
//! the same nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Spanned;
use super::class::{self, TaskClass};
use super::env::SNAPSHOT;
use super::yaml::{Node, Value};
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
    /// Sources come from somewhere else than the project's folder.
    pub source_loader: bool,
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
        let flag = |key: &str, default: bool| node.and_then(|n| n.get(key)).map_or(default, |v| !v.is_falsy());
        let classes = node.and_then(|n| n.get("product_default_class")).and_then(Node::as_map).unwrap_or_default();
        Self {
            extract_upstream: flag("extract_upstream", true),
            extract_product: flag("extract_product", false),
            product_relative_to_source: flag("product_relative_to_source", false),
            product_default_class: classes
                .iter()
                .filter_map(|(k, v)| Some((k.as_str()?.to_owned(), v.as_str()?.to_owned())))
                .collect(),
            import_tasks_from: node.and_then(|n| n.get("import_tasks_from")).and_then(text),
            source_loader: node.and_then(|n| n.get("source_loader")).is_some(),
        }
    }
}

impl Task {
    fn read(node: &Node, meta: &Meta, file: &Arc<SourceText>) -> Option<Self> {
        let node = match &node.value {
            Value::Map(_) => node.clone(),
            Value::Str(_) => {
                let key = Node { value: Value::Str("source".to_owned()), ..node.clone() };
                Node { value: Value::Map(vec![(key, node.clone())]), span: node.span, plain: node.plain }
            }
            _ => return None,
        };
        let source = node.get("source").and_then(text);
        let product = node.get("product");
        let class = match node.get("class").filter(|class| !class.is_falsy()) {
            Some(class) => class.as_str().and_then(class::task),
            None => source.as_ref().and_then(|s| class::by_source(s.as_str(), product.and_then(Node::as_str))),
        };
        let name = name_of(&node, source.as_ref(), class)?;
        let mut task =
            Self { name, source, class, products: Vec::new(), upstream: Vec::new(), file: Arc::clone(file), node };
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
    pub fn product_class<'a>(&'a self, meta: &'a Meta) -> Option<&'a str> {
        let own = self.node.get("product_class").and_then(Node::as_str);
        let class = self.class?;
        own.or_else(|| meta.product_default_class.get(class.name).map(String::as_str)).or(class.product)
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

fn name_of(node: &Node, source: Option<&Spanned<String>>, class: Option<&TaskClass>) -> Option<Spanned<String>> {
    if let Some(name) = node.get("name").filter(|name| !name.is_null()) {
        return Some(Spanned::new(name.scalar_text()?, name.span));
    }
    let Some(source) = source else { return Some(Spanned::new(String::new(), node.span)) };
    let last = source.as_str().rsplit('/').next().unwrap_or_default();
    let name = if class.is_some_and(|c| c.name == "PythonCallable") {
        last.rsplit('.').next().unwrap_or_default()
    } else {
        last.strip_suffix(class::suffix(last)).unwrap_or(last)
    };
    Some(Spanned::new(name.to_owned(), source.span))
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
