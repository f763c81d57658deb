//! Two versions of a module whose functions are tasks: which of them differ, and whether that is all that differs.

use std::collections::{BTreeMap, BTreeSet};

use crate::validate::{Block, outline, refers};

/// The functions among `tasks` that differ in body or signature, where nothing else of the module does.
///
/// # Errors
/// Why more than these may be affected.
pub(super) fn differing(before: &str, after: &str, tasks: &BTreeSet<String>) -> Result<BTreeSet<String>, String> {
    let cut = |text: &str| outline(text).ok_or_else(|| "it cannot be taken apart".to_owned());
    let (before, after) = (cut(before)?, cut(after)?);
    let (old, new) = (functions(&before, tasks)?, functions(&after, tasks)?);
    let rest =
        |blocks: &[Block]| -> Vec<String> { blocks.iter().filter(|block| !is_task(block, tasks)).map(whole).collect() };
    if rest(&before) != rest(&after) {
        return Err("more of it changed than functions that are tasks".to_owned());
    }
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differs = |name: &&&String| match (old.get(**name), new.get(**name)) {
        // Blank lines behind a function belong to nothing.
        (Some(a), Some(b)) => whole(a) != whole(b),
        _ => true,
    };
    let differing: BTreeSet<String> = names.iter().filter(differs).map(|name| (**name).clone()).collect();
    for name in &differing {
        let heads = [&old, &new].map(|side| side.get(name).map(|block| block.head.as_str()).unwrap_or_default());
        if heads[0] != heads[1] && heads.iter().any(|head| runs_something(head)) {
            return Err(format!("the decorators or defaults of `{name}` changed"));
        }
        let own = |block: &&Block| block.name.as_ref() != Some(name);
        if before.iter().chain(&after).filter(own).any(|block| refers(&whole(block), name)) {
            return Err(format!("other code in it uses `{name}`"));
        }
    }
    Ok(differing)
}

fn whole(block: &Block) -> String {
    format!("{}{}", block.head, block.body).trim_end().to_owned()
}

fn is_task(block: &Block, tasks: &BTreeSet<String>) -> bool {
    block.name.as_ref().is_some_and(|name| tasks.contains(name))
}

fn functions<'a>(blocks: &'a [Block], tasks: &BTreeSet<String>) -> Result<BTreeMap<String, &'a Block>, String> {
    let mut found = BTreeMap::new();
    for block in blocks.iter().filter(|block| is_task(block, tasks)) {
        let name = block.name.clone().unwrap_or_default();
        if found.insert(name.clone(), block).is_some() {
            return Err(format!("`{name}` is defined twice"));
        }
    }
    Ok(found)
}

/// A decorator, or a call among the defaults, runs when the module is imported, for every task in it.
fn runs_something(head: &str) -> bool {
    head.trim_start().starts_with('@') || head.matches('(').count() > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &str = "import os\nX = 1\n\ndef helper(): return X\n\ndef one(product):\n    open(product, 'w').write('1')\n\ndef two(product, upstream):\n    open(upstream['one'])\n    helper()\n";

    fn compare(after: &str) -> Result<Vec<String>, String> {
        let tasks = ["one".to_owned(), "two".to_owned(), "three".to_owned()].into();
        differing(MODULE, after, &tasks).map(|found| found.into_iter().collect())
    }

    #[test]
    fn a_changed_body_a_new_function_and_a_lost_one_are_alone() {
        assert_eq!(compare(MODULE), Ok(vec![]));
        assert_eq!(compare(&MODULE.replace("'1'", "'2'")), Ok(vec!["one".to_owned()]));
        assert_eq!(
            compare(&MODULE.replace("product, upstream", "product, upstream, ratio=0.5")),
            Ok(vec!["two".to_owned()])
        );
        assert_eq!(compare(&format!("{MODULE}\ndef three(product):\n    pass\n")), Ok(vec!["three".to_owned()]));
        let lost = MODULE.split("def two").next().unwrap();
        assert_eq!(compare(lost), Ok(vec!["two".to_owned()]));
    }

    #[test]
    fn anything_else_may_matter_to_all() {
        for (from, to, why) in [
            ("X = 1", "X = 2", "more of it"),
            ("return X", "return 7", "more of it"),
            ("import os", "import sys", "more of it"),
            ("def one", "@cache\ndef one", "decorators"),
            ("def one(product)", "def one(product, x=f())", "decorators"),
            ("def two", "def one(product): pass\ndef two", "twice"),
            ("helper()\n", "helper()\n    one(1)\n", "uses `one`"),
            ("X = 1", "X = (1", "taken apart"),
        ] {
            // `one` differs too, so that a call of it counts.
            let after = MODULE.replacen(from, to, 1).replacen("'1'", "'2'", 1);
            let error = compare(&after).unwrap_err();
            assert!(error.contains(why), "{from} -> {to}: {error}");
        }
    }
}
