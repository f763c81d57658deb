//! Which API of a forge a repository of the server's file belongs to, by its address and its credential. Pure.

use super::{Credential, File};
use crate::forge::RepoId;
use crate::forge::github::PUBLIC_API;
use crate::server::glob::Glob;

/// Where a repository can be told something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site<'a> {
    /// The API's address.
    pub api: String,
    /// The repository as its forge calls it.
    pub repo: RepoId,
    /// The name of the credential.
    pub name: &'a str,
    /// Who tells it.
    pub credential: &'a Credential,
}

/// What is missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lack {
    /// The repository.
    #[error("there is no repository `{0}` in the server's file")]
    Repo(String),
    /// It names no credential.
    #[error("`{0}` has no `credential`")]
    Credential(String),
    /// The credential is for git only.
    #[error("the credential `{0}` has no `token` and is no App")]
    Token(String),
    /// An App is needed.
    #[error("the credential `{0}` is a token, and checks are for Apps")]
    App(String),
    /// Nobody says what kind of forge it is.
    #[error("`{host}` is not github.com, and the credential `{credential}` names no `api`")]
    Api {
        /// The repository's host.
        host: String,
        /// The credential.
        credential: String,
    },
    /// The address is not `HOST/OWNER/NAME`.
    #[error("`{0}` is no address of a forge's repository")]
    Address(String),
}

impl Lack {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Repo(_) => "add it to `repos`",
            Self::Credential(_) => {
                "add `credential: NAME` to the repository, and `credentials: {NAME: {token: env:…}}` to the file"
            }
            Self::Token(_) => "give it a `token`, or `app_id` and `private_key`",
            Self::App(_) => "give it `app_id` and `private_key`, or write `status` instead of `check`",
            Self::Api { .. } => {
                "for a GitHub Enterprise Server, add `api: https://HOST/api/v3` to it; others cannot be told yet"
            }
            Self::Address(_) => "write it as `https://HOST/OWNER/NAME.git` or `git@HOST:OWNER/NAME.git`",
        }
    }
}

impl File {
    /// Where a repository can be told something.
    ///
    /// # Errors
    /// What is missing for that.
    pub fn site(&self, name: &str) -> Result<Site<'_>, Lack> {
        let repo = self.repo(name).ok_or_else(|| Lack::Repo(name.to_owned()))?;
        let credential = repo.credential.as_deref().ok_or_else(|| Lack::Credential(name.to_owned()))?;
        let (host, repo_id) = of_address(&repo.url).ok_or_else(|| Lack::Address(repo.url.clone()))?;
        self.with(credential, &host, repo_id)
    }

    /// The same, for a repository that is not watched: of github.com, or of the credential's own API.
    ///
    /// # Errors
    /// What is missing for that.
    pub fn site_of(&self, repo: &RepoId, credential: &str) -> Result<Site<'_>, Lack> {
        self.with(credential, "github.com", repo.clone())
    }

    fn with(&self, name: &str, host: &str, repo: RepoId) -> Result<Site<'_>, Lack> {
        let found = self.credentials.get_key_value(name).ok_or_else(|| Lack::Credential(repo.to_string()))?;
        let (name, credential) = (found.0.as_str(), found.1);
        if credential.token.is_none() && !credential.is_app() {
            return Err(Lack::Token(name.to_owned()));
        }
        let api = match &credential.api {
            Some(api) => api.trim_end_matches('/').to_owned(),
            None if host == "github.com" => PUBLIC_API.to_owned(),
            None => return Err(Lack::Api { host: host.to_owned(), credential: name.to_owned() }),
        };
        Ok(Site { api, repo, name, credential })
    }

    /// What keeps an action that speaks with the forge from being done for repositories that these globs fit.
    pub fn lacks(&self, globs: &[Glob], needs_app: bool) -> Vec<Lack> {
        let fits = |name: &str| globs.is_empty() || globs.iter().any(|glob| glob.matches(name));
        let mut found: Vec<Lack> = Vec::new();
        for repo in self.repos.iter().filter(|repo| fits(&repo.name)) {
            let lack = match self.site(&repo.name) {
                Err(lack) => lack,
                Ok(site) if needs_app && !site.credential.is_app() => Lack::App(site.name.to_owned()),
                Ok(_) => continue,
            };
            if !found.contains(&lack) {
                found.push(lack);
            }
        }
        found
    }
}

impl Credential {
    /// Whether it is an App.
    pub fn is_app(&self) -> bool {
        self.app_id.is_some() && self.private_key.is_some()
    }
}

/// Host and repository of `https://HOST/OWNER/NAME.git`, `ssh://git@HOST/…` or `git@HOST:OWNER/NAME.git`.
fn of_address(address: &str) -> Option<(String, RepoId)> {
    let (place, path) = match address.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?,
        None => address.split_once(':').filter(|(place, _)| place.contains('@'))?,
    };
    let host = place.rsplit('@').next()?.to_ascii_lowercase();
    // GitHub's SSH has a name for networks that let 443 through only.
    let host = if host == "ssh.github.com:443" || host == "www.github.com" { "github.com".to_owned() } else { host };
    let path = path.trim_matches('/');
    let repo = path.strip_suffix(".git").unwrap_or(path).parse().ok()?;
    Some((host, repo))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        let (file, found) = crate::server::file::parse("server.yaml", text.as_bytes());
        file.unwrap_or_else(|| panic!("{found:?}"))
    }

    #[test]
    fn a_repository_is_told_where_its_address_says() {
        for address in [
            "https://github.com/acme/churn.git",
            "https://GitHub.com/acme/churn/",
            "git@github.com:acme/churn.git",
            "ssh://git@ssh.github.com:443/acme/churn.git",
        ] {
            let (host, repo) = of_address(address).unwrap();
            assert_eq!((host.as_str(), repo.to_string().as_str()), ("github.com", "acme/churn"), "{address}");
        }
        for address in ["/srv/git/acme/churn", "https://github.com/churn", "https://host/a/b/c", "acme:churn"] {
            assert_eq!(of_address(address), None, "{address}");
        }
    }

    #[test]
    fn what_is_missing_is_told_and_a_token_goes_to_no_host_that_nobody_named() {
        let file = file(
            "credentials: {hub: {token: env:T}, key: {ssh_key: file:/k}, ghes: {token: env:T, api: 'https://git.acme.example/api/v3/'}}\n\
             repos:\n  - {url: 'https://github.com/a/one', credential: hub}\n  - {url: 'https://github.com/a/two'}\n  \
             - {url: 'git@github.com:a/three.git', credential: key}\n  - {url: 'https://evil.example/a/four', credential: hub}\n  \
             - {url: 'https://git.acme.example/a/five.git', credential: ghes}\n  - {url: 'file:///srv/git/a/six', credential: hub}\n",
        );
        let site = file.site("a/one").unwrap();
        assert_eq!((site.api.as_str(), site.name), (PUBLIC_API, "hub"));
        assert_eq!(file.site("a/five").unwrap().api, "https://git.acme.example/api/v3");
        assert_eq!(file.site("a/two"), Err(Lack::Credential("a/two".to_owned())));
        assert_eq!(file.site("a/three"), Err(Lack::Token("key".to_owned())));
        assert!(matches!(file.site("a/four"), Err(Lack::Api { .. })));
        assert!(matches!(file.site("a/six"), Err(Lack::Address(_))));
        assert!(matches!(file.site("a/seven"), Err(Lack::Repo(_))));
        assert_eq!(file.lacks(&[], false).len(), 4);
        assert_eq!(file.lacks(&[Glob::parse("a/one").unwrap()], true), [Lack::App("hub".to_owned())]);
    }
}
