//! The tasks that a grid makes, as far as they can be told without running anything. No rule.

use std::collections::BTreeMap;

use super::params;
use crate::spec::Task;
use crate::spec::yaml::{Node, Value};

/// Grids that make more tasks are not looked at closely.
const MOST: usize = 10_000;

/// Names that have a value in every template.
const GLOBALS: [&str; 6] = ["range", "dict", "lipsum", "cycler", "joiner", "namespace"];

/// The params of one task, as a template shows them; `None` for what only the run knows.
type Cell = BTreeMap<String, Option<String>>;

/// What each task of a grid gets, in order; `None` where there is no grid, or where its values are made in the run.
fn cells(task: &Task) -> Option<Vec<Cell>> {
    let grid = task.node.get("grid")?;
    let mut fixed = Cell::new();
    for (key, value) in task.node.get("params").and_then(Node::as_map).unwrap_or_default() {
        fixed.insert(key.scalar_text()?, text(value));
    }
    let mut cells = Vec::new();
    for part in grid.as_seq().unwrap_or(std::slice::from_ref(grid)) {
        let mut made = vec![fixed.clone()];
        for (key, value) in part.as_map()? {
            let (key, values) = (key.scalar_text()?, values(value)?);
            if made.len().saturating_mul(values.len()) > MOST {
                return None;
            }
            let with = |cell: &Cell| {
                let one = |value: &Option<String>| {
                    let mut cell = cell.clone();
                    cell.insert(key.clone(), value.clone());
                    cell
                };
                values.iter().map(one).collect::<Vec<Cell>>()
            };
            made = made.iter().flat_map(with).collect();
        }
        cells.append(&mut made);
        if cells.len() > MOST {
            return None;
        }
    }
    Some(cells)
}

/// What a key of a grid goes through: the items of a list, the keys of a mapping, or the one value.
fn values(node: &Node) -> Option<Vec<Option<String>>> {
    match &node.value {
        Value::Seq(items) => Some(items.iter().map(text).collect()),
        Value::Map(_) if node.get("dotted_path").is_some() => None,
        Value::Map(pairs) => Some(pairs.iter().map(|(key, _)| text(key)).collect()),
        // Ploomber calls it, or something fills it in.
        Value::Str(one) if params::called(one).is_some() || one.contains('{') => None,
        _ => Some(vec![text(node)]),
    }
}

/// A value as a template shows it.
fn text(node: &Node) -> Option<String> {
    node.scalar_text().filter(|text| !text.contains('{') && params::called(text).is_none())
}

/// The names of the tasks that a grid makes, in order.
pub(super) fn names(task: &Task) -> Option<Vec<String>> {
    let name = task.node.get("name")?.as_str()?;
    let cells = cells(task)?;
    if name.contains("[[") && name.contains("]]") {
        return cells.iter().map(|cell| render(name, cell)).collect();
    }
    Some((0..cells.len()).map(|index| format!("{name}{index}")).collect())
}

/// Where the tasks that a grid makes write a file, whose path is `path` where nothing is added to it.
pub(super) fn files(task: &Task, path: &str) -> Option<Vec<String>> {
    let cells = cells(task)?;
    cells.iter().enumerate().map(|(index, cell)| render(&indexed(path, index), cell)).collect()
}

/// The path with the task's number before the endings of its name.
fn indexed(path: &str, index: usize) -> String {
    let at = path.rfind('/').map_or(0, |at| at + 1);
    let (folder, name) = path.split_at(at);
    let start = name.len() - name.trim_start_matches('.').len();
    let ending = match name[start..].find('.') {
        Some(at) if !name.ends_with('.') => &name[start + at..],
        _ => "",
    };
    let stem = if ending.is_empty() { name.to_owned() } else { name.replace(ending, "") };
    format!("{folder}{stem}-{index}{ending}")
}

/// Fills in `[[name]]`; a name without a value is nothing, as it is to Ploomber. `None` where there is more to it.
fn render(template: &str, cell: &Cell) -> Option<String> {
    if ["{%", "{{", "{#"].iter().any(|mark| template.contains(mark)) {
        return None;
    }
    let (mut out, mut rest) = (String::new(), template);
    while let Some(start) = rest.find("[[") {
        let Some(len) = rest[start..].find("]]") else { break };
        let name = rest[start + 2..start + len].trim();
        let is_name =
            name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_numeric());
        if name.is_empty() || !is_name || GLOBALS.contains(&name) {
            return None;
        }
        out.push_str(&rest[..start]);
        if let Some(value) = cell.get(name) {
            out.push_str(value.as_ref()?);
        }
        rest = &rest[start + len + 2..];
    }
    out.push_str(rest);
    Some(out)
}

/// Names in `[[…]]` that no task of the grid has a value for.
pub(super) fn unknown(task: &Task) -> Vec<String> {
    let Some((name, cells)) = task.node.get("name").and_then(Node::as_str).zip(cells(task)) else { return Vec::new() };
    let asked =
        name.split("[[").skip(1).filter_map(|part| part.split_once("]]")).map(|(name, _)| name.trim().to_owned());
    asked.filter(|name| !cells.iter().any(|cell| cell.contains_key(name))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::diag::SourceText;
    use crate::id::RelPath;
    use crate::spec::{Pipeline, yaml};

    fn task(text: &str) -> Task {
        let source = Arc::new(SourceText { name: "pipeline.yaml".to_owned(), text: format!("tasks: [{text}]\n") });
        let (node, found) = yaml::parse(&source);
        assert_eq!(found, [], "{text}");
        Pipeline::read(node.unwrap(), RelPath::root(), &source).tasks.remove(0)
    }

    fn named(name: &str, grid: &str) -> Option<Vec<String>> {
        names(&task(&format!("{{source: f.get, product: o, name: '{name}', params: {{z: 9}}, grid: {grid}}}")))
    }

    #[test]
    fn names_are_made_of_numbers_or_of_values_in_the_order_of_the_grid() {
        let list = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(named("g-", "{a: [1, 2], b: [x, y]}"), list(&["g-0", "g-1", "g-2", "g-3"]));
        assert_eq!(named("g-[[a]][[ b ]]", "{a: [1, 2], b: [x, y]}"), list(&["g-1x", "g-1y", "g-2x", "g-2y"]));
        assert_eq!(named("g-[[a]]", "[{a: 1}, {a: {k: 1, l: 2}}]"), list(&["g-1", "g-k", "g-l"]));
        assert_eq!(named("g-[[nope]][[z]]", "{a: [true, null]}"), list(&["g-9", "g-9"]));
        assert_eq!(named("g-[[a]]", "{a: [yes, null, 0.5]}"), list(&["g-True", "g-None", "g-0.5"]));
        assert_eq!(named("g-", "{a: []}"), list(&[]));
        for (name, grid) in [
            ("g-", "{a: 'v::all'}"),
            ("g-[[a]]", "{a: [[1], [2]]}"),
            ("g-[[a|lower]]", "{a: [1]}"),
            ("g-[[a]]", "{a: ['{{now}}']}"),
            ("g-", "5"),
        ] {
            assert_eq!(named(name, grid), None, "{name} {grid}");
        }
    }

    #[test]
    fn a_number_stands_before_all_endings_of_a_file() {
        for (path, told) in [
            ("o/a.txt", "o/a-3.txt"),
            ("a.tar.gz", "a-3.tar.gz"),
            ("o.d/a", "o.d/a-3"),
            (".a", ".a-3"),
            (".a.b", ".a-3.b"),
            ("a.", "a.-3"),
        ] {
            assert_eq!(indexed(path, 3), told);
        }
    }
}
