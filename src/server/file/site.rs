//! Which API of which forge a repository of the server's file belongs to, by its address and its credential. Pure.

use super::{Credential, File};
use crate::forge::{Kind, RepoId, github, gitlab};
use crate::server::action::Verb;
use crate::server::glob::Glob;

/// Where a repository can be told something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site<'a> {
    /// Which program is there.
    pub kind: Kind,
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
    /// Apps are GitHub's.
    #[error("the credential `{credential}` has no `token`, and {} has no Apps", .kind.name())]
    NoApps {
        /// The credential.
        credential: String,
        /// The forge.
        kind: Kind,
    },
    /// The forge has nothing of the kind.
    #[error("`{repo}` is on {}, which has no {what}", .kind.name())]
    Absent {
        /// The repository.
        repo: String,
        /// The forge.
        kind: Kind,
        /// What it has not.
        what: &'static str,
        /// What to write in its place.
        instead: &'static str,
    },
    /// Nobody says what kind of forge it is.
    #[error("nobody says on which forge `{host}` is: the credential `{credential}` names no `forge` and no `api`")]
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
            Self::NoApps { .. } => "give it a `token`",
            Self::Absent { instead, .. } => instead,
            Self::Api { .. } => {
                "add `forge: github`, `gitlab` or `gitea` (Forgejo too) to it; where its API is elsewhere, `api: https://…` as well"
            }
            Self::Address(_) => "write it as `https://HOST/OWNER/NAME.git` or `git@HOST:OWNER/NAME.git`",
        }
    }
}

/// What an action asks of a forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// The action.
    pub verb: Verb,
    /// A dispatch by the name of an event, and not of a workflow.
    pub by_event: bool,
}

impl Need {
    /// What a forge has not.
    fn lack(self, site: &Site<'_>) -> Option<Lack> {
        let absent = |what, instead| Some(Lack::Absent { repo: site.repo.to_string(), kind: site.kind, what, instead });
        match (self.verb, site.kind) {
            (Verb::Check, Kind::GitHub) if !site.credential.is_app() => Some(Lack::App(site.name.to_owned())),
            (Verb::Check, Kind::GitLab | Kind::Gitea) => absent("check runs", "write `status` instead of `check`"),
            (Verb::Dispatch, Kind::GitLab) if !self.by_event => absent(
                "workflows that are started by their file",
                "write `event_type: NAME`: a pipeline is started, with NAME in `SOOPERVISOR_EVENT` and `inputs` as variables",
            ),
            (Verb::Dispatch, Kind::Gitea) if self.by_event => {
                absent("events for workflows", "write `workflow: FILE`, for workflows `on: workflow_dispatch`")
            }
            _ => None,
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
        let address = Address::of(&repo.url).ok_or_else(|| Lack::Address(repo.url.clone()))?;
        self.with(credential, &address, name)
    }

    /// Whether a repository's forge lists artifacts of workflows, and can be asked.
    pub fn lists_artifacts(&self, name: &str) -> bool {
        self.site(name).is_ok_and(|site| site.kind == Kind::GitHub)
    }

    /// The same, for a repository that is not watched: on the host that the credential is for, which is that of the
    /// repositories that have it, else github.com, unless the credential says that it is for another forge.
    ///
    /// # Errors
    /// What is missing for that.
    pub fn site_of(&self, repo: &str, credential: &str) -> Result<Site<'_>, Lack> {
        let with_it = self.repos.iter().find(|repo| repo.credential.as_deref() == Some(credential));
        let theirs = with_it.and_then(|repo| Address::of(&repo.url));
        let known = self.credentials.get(credential);
        // A token is shown to no host that nobody named.
        if theirs.is_none() && known.is_some_and(|known| known.forge.is_some() && known.api.is_none()) {
            return Err(Lack::Api { host: repo.to_owned(), credential: credential.to_owned() });
        }
        let (scheme, host) = theirs.map_or(("https", "github.com".to_owned()), |theirs| (theirs.scheme, theirs.host));
        self.with(credential, &Address { scheme, host, path: repo.to_owned() }, repo)
    }

    fn with(&self, name: &str, address: &Address, repo: &str) -> Result<Site<'_>, Lack> {
        let found = self.credentials.get_key_value(name).ok_or_else(|| Lack::Credential(repo.to_owned()))?;
        let (name, credential) = (found.0.as_str(), found.1);
        if credential.token.is_none() && !credential.is_app() {
            return Err(Lack::Token(name.to_owned()));
        }
        let (kind, api) = credential
            .place(address)
            .ok_or_else(|| Lack::Api { host: address.host.clone(), credential: name.to_owned() })?;
        if kind != Kind::GitHub && credential.token.is_none() {
            return Err(Lack::NoApps { credential: name.to_owned(), kind });
        }
        let path = address.below(&api);
        let repo = kind.repo(path).map_err(|_| Lack::Address(format!("{}/{}", address.host, address.path)))?;
        Ok(Site { kind, api, repo, name, credential })
    }

    /// What keeps an action that speaks with the forge from being done for repositories that these globs fit.
    pub fn lacks(&self, globs: &[Glob], need: Need) -> Vec<Lack> {
        let fits = |name: &str| globs.is_empty() || globs.iter().any(|glob| glob.matches(name));
        let mut found: Vec<Lack> = Vec::new();
        for repo in self.repos.iter().filter(|repo| fits(&repo.name)) {
            let lack = match self.site(&repo.name) {
                Err(lack) => lack,
                Ok(site) => match need.lack(&site) {
                    Some(lack) => lack,
                    None => continue,
                },
            };
            if !found.contains(&lack) {
                found.push(lack);
            }
        }
        found
    }

    /// What keeps a workflow from being started in this one repository, as far as that is known before.
    pub fn lack_elsewhere(&self, repo: &str, credential: Option<&str>, need: Need) -> Option<Lack> {
        let site = match credential {
            Some(credential) => self.site_of(repo, credential),
            None => self.site(repo),
        };
        match site {
            Ok(site) => need.lack(&site),
            Err(lack) => Some(lack),
        }
    }
}

impl Credential {
    /// Whether it is an App.
    pub fn is_app(&self) -> bool {
        self.app_id.is_some() && self.private_key.is_some()
    }

    /// Which forge a host is, and where its API: as the credential says, else as is known of public hosts. A token goes to
    /// no other.
    fn place(&self, address: &Address) -> Option<(Kind, String)> {
        let known = match address.host.as_str() {
            "github.com" => Some(Kind::GitHub),
            "gitlab.com" => Some(Kind::GitLab),
            "codeberg.org" | "gitea.com" => Some(Kind::Gitea),
            _ => None,
        };
        if let Some(api) = &self.api {
            let api = api.trim_end_matches('/').to_owned();
            let by_end = [("/api/v4", Kind::GitLab), ("/api/v1", Kind::Gitea)];
            let told = by_end.iter().find(|(end, _)| api.ends_with(end)).map_or(Kind::GitHub, |(_, kind)| *kind);
            return Some((self.forge.unwrap_or(told), api));
        }
        let kind = self.forge.or(known)?;
        let server = format!("{}://{}", address.scheme, address.host);
        let api = match kind {
            Kind::GitHub if address.host == "github.com" => github::PUBLIC_API.to_owned(),
            Kind::GitLab if address.host == "gitlab.com" => gitlab::PUBLIC_API.to_owned(),
            Kind::GitHub => format!("{server}/api/v3"),
            Kind::GitLab => format!("{server}/api/v4"),
            Kind::Gitea => format!("{server}/api/v1"),
        };
        Some((kind, api))
    }
}

/// A repository's address in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Address {
    /// Of its host's web server.
    scheme: &'static str,
    /// With the port of its web server, where that is no usual one.
    host: String,
    /// `OWNER/NAME`.
    path: String,
}

impl Address {
    /// Of `https://HOST/OWNER/NAME.git`, `ssh://git@HOST/…` or `git@HOST:OWNER/NAME.git`.
    fn of(address: &str) -> Option<Self> {
        let (scheme, place, path) = if let Some((scheme, rest)) = address.split_once("://") {
            let (place, path) = rest.split_once('/')?;
            (scheme, place, path)
        } else {
            let (place, path) = address.split_once(':').filter(|(place, _)| place.contains('@'))?;
            ("ssh", place, path)
        };
        let host = place.rsplit('@').next()?.to_ascii_lowercase();
        // The port of SSH says nothing of the web server's.
        let host = match host.split_once(':') {
            Some((name, _)) if scheme == "ssh" => name.to_owned(),
            _ => host,
        };
        // GitHub's SSH has a name for networks that let 443 through only.
        let host = match host.as_str() {
            "ssh.github.com" | "www.github.com" => "github.com".to_owned(),
            "altssh.gitlab.com" | "www.gitlab.com" => "gitlab.com".to_owned(),
            _ => host,
        };
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path).to_owned();
        let scheme = if scheme == "http" { "http" } else { "https" };
        let whole = !host.is_empty() && path.contains('/');
        whole.then_some(Self { scheme, host, path })
    }

    /// The path without the one below which all of the API's server is.
    fn below(&self, api: &str) -> &str {
        let rest = api.split_once("://").map_or(api, |(_, rest)| rest);
        let Some((host, base)) = rest.split_once('/') else { return &self.path };
        let base = base.split("api/v").next().unwrap_or_default();
        let inside = self.path.strip_prefix(base).filter(|_| !base.is_empty() && host.eq_ignore_ascii_case(&self.host));
        inside.unwrap_or(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forge::github::PUBLIC_API;

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
            let found = Address::of(address).unwrap();
            assert_eq!((found.host.as_str(), found.path.as_str()), ("github.com", "acme/churn"), "{address}");
        }
        for address in ["/srv/git/acme/churn", "https://github.com/churn", "acme:churn"] {
            assert_eq!(Address::of(address), None, "{address}");
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
        let need = |verb| Need { verb, by_event: false };
        assert_eq!(file.lacks(&[], need(Verb::Comment)).len(), 4);
        assert_eq!(file.lacks(&[Glob::parse("a/one").unwrap()], need(Verb::Check)), [Lack::App("hub".to_owned())]);
    }

    #[test]
    fn each_forge_is_told_by_its_host_its_api_or_by_name() {
        let file = file(
            "credentials: {t: {token: env:T}, lab: {token: env:T, forge: gitlab}, tea: {token: env:T, forge: gitea}, \
             lone: {token: env:T, forge: gitea}, hub: {token: env:T}, far: {token: env:T, api: 'https://acme.example/lab/api/v4'}, app: {app_id: 1, private_key: env:K, forge: gitlab}}\n\
             repos:\n  - {url: 'https://gitlab.com/acme/data/churn.git', name: one, credential: t}\n  \
             - {url: 'https://codeberg.org/acme/churn', name: two, project: two, credential: t}\n  \
             - {url: 'ssh://git@git.acme.example:2222/acme/data/churn.git', name: three, project: three, credential: lab}\n  \
             - {url: 'http://127.0.0.1:3000/acme/churn.git', name: four, project: four, credential: tea}\n  \
             - {url: 'https://acme.example/lab/acme/data/churn.git', name: five, project: five, credential: far}\n  \
             - {url: 'https://git.acme.example/a/b', name: six, credential: app}\n  \
             - {url: 'https://codeberg.org/acme/data/churn', name: seven, project: seven, credential: t}\n",
        );
        for (name, kind, api, repo) in [
            ("one", Kind::GitLab, "https://gitlab.com/api/v4", "acme/data/churn"),
            ("two", Kind::Gitea, "https://codeberg.org/api/v1", "acme/churn"),
            ("three", Kind::GitLab, "https://git.acme.example/api/v4", "acme/data/churn"),
            ("four", Kind::Gitea, "http://127.0.0.1:3000/api/v1", "acme/churn"),
            ("five", Kind::GitLab, "https://acme.example/lab/api/v4", "acme/data/churn"),
        ] {
            let site = file.site(name).unwrap();
            assert_eq!((site.kind, site.api.as_str(), site.repo.to_string().as_str()), (kind, api, repo), "{name}");
        }
        // Of others that are not watched: on the host that the credential is for, and on no other.
        assert_eq!(file.site_of("x/y/z", "lab").unwrap().api, "https://git.acme.example/api/v4");
        assert_eq!(file.site_of("x/y", "tea").unwrap().api, "http://127.0.0.1:3000/api/v1");
        assert_eq!(file.site_of("x/y", "far").unwrap().api, "https://acme.example/lab/api/v4");
        assert!(matches!(file.site_of("x/y", "lone"), Err(Lack::Api { .. })));
        assert_eq!(file.site_of("x/y", "hub").unwrap().api, PUBLIC_API);
        assert!(matches!(file.site("six"), Err(Lack::NoApps { .. })));
        assert!(matches!(file.site("seven"), Err(Lack::Address(_))), "only GitLab has groups in groups");
    }
}
