//! The task and product classes of Ploomber 0.23.3, and which keys each of them takes.

use super::suggest;
use super::yaml::Node;

/// A task class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskClass {
    /// As written under `class:`.
    pub name: &'static str,
    /// Keys that only some classes take.
    pub keys: &'static [&'static str],
    /// The product class where none is given.
    pub product: Option<&'static str>,
}

const NOTEBOOK: TaskClass = TaskClass {
    name: "NotebookRunner",
    keys: &[
        "params",
        "executor",
        "executor_params",
        "papermill_params",
        "kernelspec_name",
        "nbconvert_exporter_name",
        "ext_in",
        "nb_product_key",
        "static_analysis",
        "nbconvert_export_kwargs",
        "local_execution",
        "check_if_kernel_installed",
        "debug_mode",
    ],
    product: Some("File"),
};

/// Every class that can be named.
pub const TASKS: [TaskClass; 16] = [
    NOTEBOOK,
    TaskClass {
        name: "ScriptRunner",
        keys: &["params", "ext_in", "static_analysis", "local_execution"],
        product: Some("File"),
    },
    TaskClass {
        name: "PythonCallable",
        keys: &["params", "serializer", "unserializer", "debug_mode"],
        product: Some("File"),
    },
    TaskClass { name: "ShellScript", keys: &["params", "client"], product: Some("File") },
    TaskClass { name: "SQLScript", keys: &["params", "client"], product: Some("SQLRelation") },
    TaskClass { name: "SQLDump", keys: &["params", "client", "chunksize", "io_handler"], product: Some("File") },
    TaskClass { name: "SQLTransfer", keys: &["params", "client", "chunksize"], product: None },
    TaskClass {
        name: "SQLUpload",
        keys: &["params", "client", "chunksize", "io_handler", "to_sql_kwargs"],
        product: None,
    },
    TaskClass { name: "PostgresCopyFrom", keys: &["params", "client", "columns"], product: None },
    TaskClass { name: "DownloadFromURL", keys: &["params"], product: None },
    TaskClass { name: "Link", keys: &[], product: None },
    TaskClass { name: "Input", keys: &[], product: None },
    TaskClass {
        name: "UploadToS3",
        keys: &["params", "bucket", "client", "client_kwargs", "upload_file_kwargs"],
        product: None,
    },
    TaskClass { name: "TaskFactory", keys: &[], product: None },
    TaskClass { name: "TaskGroup", keys: &[], product: None },
    TaskClass { name: "Task", keys: &[], product: None },
];

/// Keys that every task takes.
pub const TASK_KEYS: [&str; 10] = [
    "source",
    "product",
    "name",
    "class",
    "product_class",
    "product_client",
    "upstream",
    "on_finish",
    "on_render",
    "on_failure",
];

/// Product classes.
pub const PRODUCTS: [&str; 9] = [
    "File",
    "MetaProduct",
    "Product",
    "SQLiteRelation",
    "PostgresRelation",
    "GenericProduct",
    "GenericSQLRelation",
    "SQLRelation",
    "EmptyProduct",
];

/// Endings of files that are tasks, and their class.
pub const SUFFIXES: [(&str, &str); 7] = [
    (".py", "NotebookRunner"),
    (".R", "NotebookRunner"),
    (".Rmd", "NotebookRunner"),
    (".r", "NotebookRunner"),
    (".ipynb", "NotebookRunner"),
    (".sql", "SQLScript"),
    (".sh", "ShellScript"),
];

/// The key of a task that was meant to be `wanted`, which it lacks: `prodct`.
pub fn misspelt<'a>(task: &'a Node, wanted: &str) -> Option<&'a Node> {
    if task.get(wanted).is_some() {
        return None;
    }
    let all = || TASK_KEYS.into_iter().chain(TASKS.iter().flat_map(|class| class.keys).copied()).chain(["grid"]);
    task.as_map()?.iter().map(|(key, _)| key).find(|key| {
        let name = key.scalar_text().unwrap_or_default();
        !all().any(|known| known == name) && suggest::closest(&name, all()) == Some(wanted)
    })
}

/// The class with this very name.
pub fn task(name: &str) -> Option<&'static TaskClass> {
    TASKS.iter().find(|class| class.name == name)
}

/// The ending of a file name as `pathlib` sees it: `.py` of `a.b.py`, nothing of `.py`.
pub fn suffix(path: &str) -> &str {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    match name.rfind('.') {
        Some(at) if at > 0 && at + 1 < name.len() && !name[..at].chars().all(|c| c == '.') => &name[at..],
        _ => "",
    }
}

/// The class a source has by how it looks, `product` deciding between the two SQL classes.
pub fn by_source(source: &str, product: Option<&str>) -> Option<&'static TaskClass> {
    let ending = suffix(source);
    if ending == ".sql" && product.is_some_and(|p| matches!(suffix(p), ".csv" | ".parquet")) {
        return task("SQLDump");
    }
    match SUFFIXES.iter().find(|(known, _)| *known == ending) {
        Some((_, class)) => task(class),
        None if !source.contains('/') && source.contains('.') => task("PythonCallable"),
        None => None,
    }
}
