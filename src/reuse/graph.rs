//! Which task needs which, and what follows when one of them is executed.

use std::collections::BTreeSet;

use crate::spec::Task;

/// For each task the tasks that it needs directly; `None` where it asks for one that cannot be found, or only the run knows
/// for which.
pub(super) fn needs(tasks: &[Task]) -> Vec<Option<BTreeSet<usize>>> {
    tasks
        .iter()
        .map(|task| {
            if !task.upstream_known {
                return None;
            }
            task.upstream.iter().try_fold(BTreeSet::new(), |mut found, wanted| {
                let fitting: Vec<usize> = (0..tasks.len()).filter(|at| fits(&tasks[*at], wanted.as_str())).collect();
                // A pattern may fit nothing; a name must be somebody's.
                if fitting.is_empty() && !wanted.as_str().contains('*') {
                    return None;
                }
                found.extend(fitting);
                Some(found)
            })
        })
        .collect()
}

/// Whether `wanted`, a name or a pattern, means this task. Of a grid's tasks only the beginning of the name is known.
fn fits(task: &Task, wanted: &str) -> bool {
    let name = task.name.as_str();
    if task.node.get("grid").is_some() {
        let known = name.split("[[").next().unwrap_or_default();
        return wanted.starts_with(known) || wanted.contains('*');
    }
    if !wanted.contains(['*', '?', '[']) {
        return name == wanted;
    }
    // Of `fnmatch`, only `*` is looked at closely; anything else fits too often rather than too seldom.
    let mut parts = wanted.split(['*', '?', '[', ']']).filter(|part| !part.is_empty());
    let mut rest = name;
    parts.all(|part| match rest.find(part) {
        Some(at) if !wanted.contains(['?', '[']) => {
            rest = &rest[at + part.len()..];
            true
        }
        _ => wanted.contains(['?', '[']),
    })
}

/// Everything that certainly needs `of`, directly or through others.
pub(super) fn below(needs: &[Option<BTreeSet<usize>>], of: usize) -> BTreeSet<usize> {
    let (mut found, mut waiting) = (BTreeSet::new(), vec![of]);
    while let Some(one) = waiting.pop() {
        for (at, needed) in needs.iter().enumerate() {
            if needed.as_ref().is_some_and(|needed| needed.contains(&one)) && at != of && found.insert(at) {
                waiting.push(at);
            }
        }
    }
    found
}
