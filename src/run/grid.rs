//! Which declared grid a task that ran belongs to: Ploomber numbers a grid's tasks (`fit-` becomes `fit-0`, `fit-1`), or
//! fills the `[[…]]` of its name.
//!
//! Names only: nothing is read, and where two grids fit a name, none is said.

/// The grid of `tasks` (names, and whether each is a grid) that made the task `seen`; `None` where it was declared under
/// that name itself, or it cannot be told.
pub(super) fn declared_as<'a>(seen: &str, tasks: impl Iterator<Item = (&'a str, bool)>) -> Option<&'a str> {
    let mut fitting = None;
    for (name, grid) in tasks {
        if !grid && name == seen {
            return None;
        }
        if grid && made(name, seen) && fitting.replace(name).is_some() {
            return None;
        }
    }
    fitting
}

/// Whether a pipeline of `tasks` (as for [`declared_as`]) can have one of the name `seen`.
pub(super) fn is_one<'a>(seen: &str, mut tasks: impl Iterator<Item = (&'a str, bool)>) -> bool {
    tasks.any(|(name, grid)| if grid { made(name, seen) } else { name == seen })
}

/// Whether a grid of this name has a task of that one.
fn made(grid: &str, task: &str) -> bool {
    let filled = grid.split_once("[[").and_then(|(start, rest)| Some((start, rest.rsplit_once("]]")?.1)));
    match filled {
        Some((start, end)) => task.len() >= start.len() + end.len() && task.starts_with(start) && task.ends_with(end),
        None => task
            .strip_prefix(grid)
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_of_the_one_grid_whose_name_ploomber_can_make_its_name_of() {
        let tasks = [
            ("get", false),
            ("fit-", true),
            ("fit-x", false),
            ("by-[[ model ]]", true),
            ("[[a]]-of-[[b]]-end", true),
            ("n", true),
            ("n1", true),
        ];
        let of = |seen| declared_as(seen, tasks.into_iter());
        for (seen, grid) in [
            ("fit-0", Some("fit-")),
            ("fit-12", Some("fit-")),
            ("fit-", None),
            ("fit-x", None),
            ("fit-1x", None),
            ("get", None),
            ("by-trees", Some("by-[[ model ]]")),
            ("1-of-2-end", Some("[[a]]-of-[[b]]-end")),
            ("n2", Some("n")),
            // The eleventh of the one or the first of the other.
            ("n10", None),
            ("elsewhere", None),
        ] {
            assert_eq!(of(seen), grid, "{seen}");
        }
        let is_one = |seen| is_one(seen, tasks.into_iter());
        assert!(is_one("get") && is_one("fit-x") && is_one("fit-12") && is_one("n10"));
        assert!(!is_one("fit-") && !is_one("elsewhere") && !is_one("get-0"));
    }
}
