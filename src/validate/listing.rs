//! Everything that lies in a tree, as far as somebody would look through it.

use crate::id::RelPath;
use crate::repo::{EntryKind, Tree};

/// Entries that are looked at; a folder on disk may hold anything.
const MOST: usize = 20_000;

/// Every path with what stands there, folders whose name begins with a dot left out; `None` where there are too many.
pub(super) fn all(tree: &dyn Tree) -> Option<Vec<(RelPath, EntryKind)>> {
    let mut found = Vec::new();
    let mut folders = vec![RelPath::root()];
    while let Some(folder) = folders.pop() {
        for name in tree.list(&folder) {
            let path = folder.join(&name);
            let Some(kind) = tree.entry(&path) else { continue };
            if kind == EntryKind::Folder && !name.as_bytes().starts_with(b".") {
                folders.push(path.clone());
            }
            found.push((path, kind));
        }
        if found.len() > MOST {
            return None;
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::MemoryTree;

    #[test]
    fn everything_is_listed_but_what_lies_in_hidden_folders_and_too_much_is_nothing() {
        let tree = MemoryTree::new().with("a/b/c.py", "").with(".venv/lib/d.py", "").with("e", "");
        let mut all: Vec<String> = all(&tree).unwrap().iter().map(|(path, _)| path.to_string()).collect();
        all.sort();
        assert_eq!(all, [".venv", "a", "a/b", "a/b/c.py", "e"]);
    }
}
