//! Names that a repository suggests: its origin without credentials, and a project name.

use std::path::Path;

use crate::id::{ProjectName, RelPath};

/// The origin's address as it may be shown and stored: no user, no password, no token in the query.
pub(super) fn public_origin(address: &str) -> Option<String> {
    let address = address.trim();
    if address.is_empty() || address.chars().any(char::is_control) {
        return None;
    }
    if !address.contains("://") {
        return Some(address.to_owned()); // a path, or `git@host:path`, where ssh takes no password
    }
    let mut url = url::Url::parse(address).ok()?;
    // What has no host (`file:///srv/r.git`) has nobody to log in.
    if url.password().is_some() {
        url.set_password(None).ok()?;
    }
    // With ssh the user is part of the address (`ssh://git@host/…`); elsewhere it may be the token itself.
    if url.scheme() != "ssh" && !url.username().is_empty() {
        url.set_username("").ok()?;
    }
    url.set_query(None);
    url.set_fragment(None);
    Some(url.into())
}

/// The project of a repository whose pipeline is at its root, by its address alone.
pub fn project_of(address: &str) -> ProjectName {
    project(public_origin(address).as_deref(), Path::new(""), &RelPath::root())
}

/// The repository's name (from its origin, else its folder), then the pipeline's folder: `examples-penguins`.
pub(super) fn project(origin: Option<&str>, root: &Path, pipeline_dir: &RelPath) -> ProjectName {
    let origin = origin.and_then(|address| {
        let last = address.trim_end_matches('/').rsplit(['/', ':']).next()?;
        Some(last.strip_suffix(".git").unwrap_or(last).to_owned()).filter(|name| !name.is_empty())
    });
    let mut name = origin.unwrap_or_else(|| root.file_name().unwrap_or_default().to_string_lossy().into_owned());
    if !pipeline_dir.is_root() {
        name = format!("{name}-{}", String::from_utf8_lossy(pipeline_dir.as_bytes()));
    }
    valid(&name)
}

fn valid(name: &str) -> ProjectName {
    let mut plain = String::new();
    for c in name.chars() {
        match c {
            c if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') => plain.push(c),
            _ if plain.is_empty() || plain.ends_with('-') => {}
            _ => plain.push('-'),
        }
    }
    let plain = plain.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let short = &plain[..plain.len().min(100)];
    let fallback = || "project".parse().expect("a plain word is a project name");
    short.trim_end_matches('-').parse().unwrap_or_else(|_| fallback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_shown_without_credentials() {
        let shown = |address| public_origin(address).unwrap_or_default();
        assert_eq!(shown("https://user:ghp_x@github.com/o/r.git"), "https://github.com/o/r.git");
        assert_eq!(shown("https://ghp_x@github.com/o/r.git?private_token=y#z"), "https://github.com/o/r.git");
        assert_eq!(shown("ssh://git:pw@host:22/o/r"), "ssh://git@host:22/o/r");
        assert_eq!(shown("git@github.com:o/r.git"), "git@github.com:o/r.git");
        assert_eq!(shown("/srv/git/r.git"), "/srv/git/r.git");
        assert_eq!(shown("file:///srv/git/r.git"), "file:///srv/git/r.git");
        assert_eq!(shown("https://user:pass word@[broken/"), "");
    }

    #[test]
    fn a_project_is_named_after_repository_and_folder() {
        let named = |origin, root: &str, folder: &str| {
            project(origin, Path::new(root), &folder.parse().unwrap()).as_str().to_owned()
        };
        assert_eq!(named(Some("git@github.com:o/My.Repo.git"), "/x/clone", ""), "My.Repo");
        assert_eq!(named(None, "/x/my clone", "examples/pen guins"), "my-clone-examples-pen-guins");
        assert_eq!(named(None, "/x/.dot", ""), "dot");
        assert_eq!(named(None, "/x/été", ""), "t");
        assert_eq!(named(None, "/", ""), "project");
        assert_eq!(named(None, "/日本", ""), "project");
        assert_eq!(named(Some("/x/.git"), "/y", &"a".repeat(200)).len(), 100);
        assert_eq!(project_of("https://ghp_x@github.com/o/My.Repo.git?token=y").as_str(), "My.Repo");
        assert_eq!(project_of("ssh://git@host:2222/o/r.git/").as_str(), "r");
    }
}
