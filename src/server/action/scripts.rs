//! Which scripts of a `shell` step are for a repository and a branch: the repository first, then the branch.
//!
//! Among the names that fit, one without a pattern wins, then the longest, then `*`. Nothing that fits is an error: a build
//! that silently does nothing looks like one that went well.

use std::collections::BTreeMap;

use super::EffectFault;
use crate::server::glob::Glob;

/// The scripts for a branch of a repository, in order. Without a branch (a tag, a commit), only `*` fits.
///
/// # Errors
/// When there are none.
pub fn pick<'a>(
    scripts: &'a BTreeMap<String, BTreeMap<String, Vec<String>>>,
    repo: &str,
    branch: Option<&str>,
) -> Result<&'a [String], EffectFault> {
    let short = repo.rsplit('/').next().unwrap_or(repo);
    let branches = best(scripts, &[repo, short])
        .ok_or_else(|| EffectFault::new(format!("there are no scripts for the repository `{repo}`")))?;
    let names: Vec<&str> = branch.into_iter().collect();
    let found = best(branches, &names).ok_or_else(|| {
        let branch = branch.map_or("events without a branch".to_owned(), |branch| format!("the branch `{branch}`"));
        EffectFault::new(format!("there are no scripts of `{repo}` for {branch}"))
    })?;
    Ok(found)
}

fn best<'a, T>(map: &'a BTreeMap<String, T>, names: &[&str]) -> Option<&'a T> {
    if let Some(exact) = names.iter().find_map(|name| map.get(*name)) {
        return Some(exact);
    }
    let fits = map.iter().filter(|(pattern, _)| {
        let glob = Glob::parse(pattern).ok();
        pattern.as_str() == "*" || glob.is_some_and(|glob| names.iter().any(|name| glob.matches(name)))
    });
    // `*` is for all others, so it is the weakest whatever its length.
    fits.max_by_key(|(pattern, _)| if pattern.as_str() == "*" { 0 } else { pattern.len() }).map(|(_, found)| found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scripts() -> BTreeMap<String, BTreeMap<String, Vec<String>>> {
        let text = r#"{
            "acme/amp_bootstrap": {"main": ["bootstrap"], "*": ["other"]},
            "acme/amp_*": {"main": ["build", "distribute"], "feature/*": ["build"]},
            "liger": {"*": ["short name"]},
            "*": {"main": ["fallback"]}
        }"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_repository_decides_first_then_the_branch_then_the_star() {
        for (repo, branch, wanted) in [
            ("acme/amp_bootstrap", Some("main"), &["bootstrap"][..]),
            ("acme/amp_bootstrap", Some("x"), &["other"]),
            ("acme/amp_bootstrap", None, &["other"]),
            ("acme/amp_ui", Some("main"), &["build", "distribute"]),
            ("acme/amp_ui", Some("feature/x"), &["build"]),
            ("acme/liger", Some("any/thing"), &["short name"]),
            ("other/repo", Some("main"), &["fallback"]),
        ] {
            assert_eq!(pick(&scripts(), repo, branch).unwrap(), wanted, "{repo} {branch:?}");
        }
    }

    #[test]
    fn nothing_that_fits_is_an_error_and_no_silent_success() {
        let none = pick(&scripts(), "acme/amp_ui", Some("dev")).unwrap_err();
        assert_eq!(none.message, "there are no scripts of `acme/amp_ui` for the branch `dev`");
        assert!(pick(&scripts(), "other/repo", Some("dev")).is_err());
        assert!(pick(&BTreeMap::new(), "a/b", Some("main")).unwrap_err().message.contains("repository"));
    }
}
