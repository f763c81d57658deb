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

impl TaskClass {
    /// Whether no task of a pipeline.yaml can be of this class: others are made of it, or it takes no product.
    pub fn is_abstract(&self) -> bool {
        matches!(self.name, "Task" | "TaskFactory" | "TaskGroup" | "Link" | "Input")
    }
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

/// Endings of files that a query is written to.
const DATA: [&str; 2] = [".csv", ".parquet"];

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

/// The class that was meant by a name that is none: the nearest, unless the look of the source speaks for another.
pub fn meant(name: &str, by_look: Option<&'static TaskClass>) -> Option<&'static TaskClass> {
    let near = suggest::closest(name, TASKS.iter().map(|class| class.name)).and_then(task)?;
    let fits = match by_look.map(|look| look.name) {
        _ if near.is_abstract() => false,
        look if near.name == "PythonCallable" => look == Some(near.name),
        None | Some("PythonCallable") => true,
        Some("NotebookRunner") => matches!(near.name, "NotebookRunner" | "ScriptRunner"),
        Some(look) => near.name == look || (look.starts_with("SQL") && near.name.starts_with("SQL")),
    };
    fits.then_some(near)
}

/// The product class with this name, or the one that was meant by it.
pub fn product(name: &str) -> Option<&'static str> {
    PRODUCTS.into_iter().find(|known| *known == name).or_else(|| suggest::closest(name, PRODUCTS))
}

/// Whether the ending is one of files that are tasks.
pub fn is_file(source: &str) -> bool {
    let ending = suffix(source);
    SUFFIXES.iter().any(|(known, _)| *known == ending)
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

/// The ending of a data file that was meant by one which nearly is it: `.cvs`. Python's `get_close_matches` at its default
/// cut-off, for words as short as endings.
pub fn near_data(ending: &str) -> Option<&'static str> {
    let is_near = |known: &str| strsim::osa_distance(ending, known) <= (known.len() / 3).max(1);
    DATA.into_iter().find(|known| ending.len() > 1 && *known != ending && is_near(known))
}

/// The class a source has by how it looks, `product` deciding between the two SQL classes.
pub fn by_source(source: &str, product: Option<&str>) -> Option<&'static TaskClass> {
    let ending = suffix(source);
    let is_data = |ending: &str| DATA.contains(&ending) || near_data(ending).is_some();
    if ending == ".sql" && product.is_some_and(|p| is_data(suffix(p))) {
        return task("SQLDump");
    }
    match SUFFIXES.iter().find(|(known, _)| *known == ending) {
        Some((_, class)) => task(class),
        None if !source.contains('/') && source.contains('.') => task("PythonCallable"),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_class_is_the_nearest_one_unless_the_source_says_otherwise() {
        let meant = |name: &str, source: &str| meant(name, by_source(source, None)).map(|class| class.name);
        assert_eq!(meant("NotebookRuner", "a.py"), Some("NotebookRunner"));
        assert_eq!(meant("scriptrunner", "a.py"), Some("ScriptRunner"));
        assert_eq!(meant("SQLDmp", "a.sql"), Some("SQLDump"));
        assert_eq!(meant("SQLUplod", "data.csv"), Some("SQLUpload"));
        assert_eq!(meant("PythonCalable", "fns.get"), Some("PythonCallable"));
        // A file is no function, and a query no notebook.
        assert_eq!(meant("PythonCalable", "a.py"), None);
        assert_eq!(meant("NotebookRuner", "a.sql"), None);
        assert_eq!(meant("Taks", "a.py"), None);
        assert_eq!(meant("Quite", "a.py"), None);
    }
}
