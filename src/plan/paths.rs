//! Where declared products lie in the snapshot.

use crate::id::RelPath;
use crate::spec::env::SNAPSHOT;

/// The snapshot path of a product that is written relative to `from`, itself relative to the pipeline's folder.
///
/// `None` when it lies outside the snapshot (absolute, too many `../`) or still holds a placeholder.
pub(super) fn in_snapshot(pipeline_dir: &RelPath, from: &str, declared: &str) -> Option<RelPath> {
    let unknown = has_placeholder(declared) || declared.starts_with('~');
    if let Some(inside) = declared.strip_prefix(SNAPSHOT).and_then(|rest| rest.strip_prefix('/')).filter(|_| !unknown) {
        return RelPath::normalise(inside).ok().filter(|path| !path.is_root());
    }
    if unknown || declared.is_empty() || declared.starts_with('/') || from.starts_with('/') {
        return None;
    }
    let below = format!("{from}/{declared}");
    // A folder whose name is no text has no `..` in it, so only what lies below it has to be worked out.
    let Some(folder) = pipeline_dir.as_str() else {
        return RelPath::normalise(below.trim_start_matches('/')).ok().map(|path| pipeline_dir.join(&path));
    };
    let whole = format!("{folder}/{below}");
    RelPath::normalise(whole.trim_start_matches('/')).ok().filter(|path| !path.is_root())
}

fn has_placeholder(declared: &str) -> bool {
    declared.contains("{{") || declared.contains("[[")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_found_from_the_pipelines_folder() {
        let place = |dir: &str, from: &str, declared: &str| {
            in_snapshot(&dir.parse().unwrap(), from, declared).map(|path| path.to_string())
        };
        assert_eq!(place("", ".", "output/a.csv").as_deref(), Some("output/a.csv"));
        assert_eq!(place("p/q", ".", "./output//a.csv").as_deref(), Some("p/q/output/a.csv"));
        assert_eq!(place("p/q", "", "../shared/a b").as_deref(), Some("p/shared/a b"));
        assert_eq!(place("p", "src/tasks", "../a").as_deref(), Some("p/src/a"));
        for outside in ["/tmp/x", "../../x", "~/x", "out/{{ name }}", "out/[[ grid ]]", "", "../"] {
            assert_eq!(place("p", ".", outside), None, "{outside}");
        }
    }

    #[test]
    fn absolute_paths_into_the_snapshot_are_inside() {
        let dir: RelPath = "p".parse().unwrap();
        assert_eq!(in_snapshot(&dir, ".", "/workspace/p/out/a").unwrap().to_string(), "p/out/a");
        assert_eq!(in_snapshot(&dir, ".", "/workspace/shared/a").unwrap().to_string(), "shared/a");
        for outside in ["/workspace", "/workspace/../etc", "/workshop/a"] {
            assert_eq!(in_snapshot(&dir, ".", outside), None, "{outside}");
        }
    }

    #[test]
    fn a_folder_whose_name_is_no_text_keeps_its_products() {
        let dir = RelPath::from_bytes(b"caf\xe9").unwrap();
        assert_eq!(in_snapshot(&dir, ".", "out/x").unwrap().as_bytes(), b"caf\xe9/out/x");
        assert_eq!(in_snapshot(&dir, ".", "../x"), None);
    }
}
