//! Upstream tasks exist, and there is no way round in a circle.

use std::collections::{HashMap, HashSet};

use super::{Facts, Rule, at, source};
use crate::diag::Diagnostic;
use crate::spec::{Spanned, Task, class, suggest};
use crate::validate::source::{Callable, Found};

pub(super) const RULE: Rule = Rule {
    code: "task/upstream",
    about: "every upstream is a task of the pipeline, and no task needs itself, directly or through others",
    check: |facts, out| {
        let tasks = &facts.pipeline.tasks;
        // A grid makes tasks of its own names; only their prefix is known.
        let grids: Vec<&str> = tasks
            .iter()
            .filter(|task| task.node.get("grid").is_some())
            .map(|task| task.name.value.split("[[").next().unwrap_or_default())
            .collect();
        let names: HashMap<&str, usize> = tasks
            .iter()
            .enumerate()
            .filter(|(_, task)| task.node.get("grid").is_none())
            .map(|(index, task)| (task.name.as_str(), index))
            .collect();
        // Where the class is not known, neither is what a source without a name of its own makes of itself.
        let nameless = tasks.iter().filter(|task| task.class.is_none() && task.node.get("name").is_none());
        let nameless: Vec<&str> = nameless.filter_map(|task| task.source.as_ref()).map(Spanned::as_str).collect();
        let is_part = |source: &&str, name: &str| source.split(['/', '.']).any(|part| part == name);
        // What a misspelt function or file is told to be gets that name when it is corrected.
        let meant: Vec<String> = facts.tasks().filter_map(|(task, found)| meant(facts, task, found)).collect();
        let may_be = |name: &str| {
            let is_meant = || meant.iter().any(|meant| meant == name);
            !facts.complete || is_meant() || nameless.iter().any(|source| is_part(source, name))
        };
        let mut edges: Vec<Vec<usize>> = vec![Vec::new(); tasks.len()];
        for (index, task) in tasks.iter().enumerate() {
            for wanted in &task.upstream {
                let name = wanted.as_str();
                if name.contains('*') {
                    let matching = names.iter().filter(|(known, _)| matches(name, known)).map(|(_, at)| *at);
                    edges[index].extend(matching);
                } else if let Some(at) = names.get(name) {
                    edges[index].push(*at);
                } else if !may_be(name) && !grids.iter().any(|grid| name.starts_with(grid) && name.len() > grid.len()) {
                    let help = suggest::help(name, names.keys().copied());
                    out.push(at(
                        RULE.code,
                        format!("the task `{}` needs `{name}`, which is no task", task.name.value),
                        &task.file,
                        wanted.span,
                        help,
                    ));
                }
            }
        }
        cycles(facts, &edges, out);
    },
};

/// What a task would be called if the function that its source names were written as it is in its module, or the file as it
/// is in its folder.
fn meant(facts: &Facts<'_>, task: &Task, found: &Found) -> Option<String> {
    let written = task.source.as_ref().filter(|_| task.node.get("name").is_none())?;
    let near = match found {
        Found::Function(callable) => match (source::misspelt(facts, written.as_str(), callable), callable) {
            (Some(near), _) => near,
            (None, Callable::NoName { functions, .. }) => {
                let wanted = written.as_str().rsplit('.').next()?;
                return suggest::closest(wanted, functions.iter().map(String::as_str)).map(str::to_owned);
            }
            _ => return None,
        },
        Found::Missing(path) => source::meant(facts.tree, path)?,
        _ => return None,
    };
    let file = std::str::from_utf8(near.file_name()).ok()?;
    file.strip_suffix(class::suffix(file)).map(str::to_owned)
}

/// `fnmatch` with `*` only.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    for (index, part) in parts.iter().enumerate() {
        if index + 1 == parts.len() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty()
}

/// Says every circle once, at its first task.
fn cycles(facts: &Facts<'_>, edges: &[Vec<usize>], out: &mut Vec<Diagnostic>) {
    let mut done: HashSet<usize> = HashSet::new();
    for start in 0..edges.len() {
        let mut path = vec![(start, 0)];
        let mut on_path: HashSet<usize> = [start].into();
        if done.contains(&start) {
            continue;
        }
        while let Some((node, next)) = path.last_mut() {
            let node = *node;
            let Some(&to) = edges[node].get(*next) else {
                done.insert(node);
                on_path.remove(&node);
                path.pop();
                continue;
            };
            *next += 1;
            if on_path.contains(&to) {
                let from = path.iter().position(|(at, _)| *at == to).unwrap_or(0);
                let round: Vec<&str> =
                    path[from..].iter().map(|(at, _)| facts.pipeline.tasks[*at].name.as_str()).collect();
                let task = &facts.pipeline.tasks[to];
                let message = format!(
                    "the task `{}` needs itself: `{}` -> `{}`",
                    task.name.value,
                    round.join("` needs `"),
                    task.name.value
                );
                let message = message.replace("` -> `", "` needs `");
                out.push(at(RULE.code, message, &task.file, task.span(), "remove one of these from an `upstream`"));
            } else if !done.contains(&to) {
                on_path.insert(to);
                path.push((to, 0));
            }
        }
    }
}
