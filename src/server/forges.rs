//! Clients of the forges that the server's file names: one an account, opened when it is first needed.
//!
//! A token goes to the API that `file::site` found for it. One that a forge no longer takes is forgotten, so that the
//! next use reads it anew.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;
use url::Url;

use super::action::EffectFault;
use super::file::File;
use super::file::site::{Lack, Site};
use super::line::Line;
use super::poll::reading::Password;
use super::secrets::Secrets;
use crate::forge::gitea::Gitea;
use crate::forge::github::{App, GitHub, Installation, Login};
use crate::forge::gitlab::GitLab;
use crate::forge::{Forge, Kind, Me, RepoId};
use crate::secret::Secret;
use crate::web::{Bearer, Fault, Reach};

/// A repository, and who tells its forge something.
#[derive(Debug, Clone)]
pub struct Place {
    /// Which program is there.
    pub kind: Kind,
    /// The client.
    pub forge: Arc<dyn Forge>,
    /// The repository as its forge calls it.
    pub repo: RepoId,
    account: Account,
    key: String,
    all: Arc<Mutex<BTreeMap<String, Account>>>,
}

/// A client, and who it is.
#[derive(Debug, Clone)]
struct Account {
    /// The API's host, and what the credential is called.
    of: (String, String),
    forge: Arc<dyn Forge>,
    me: Arc<OnceCell<Me>>,
    line: Line,
}

/// All of them; clones share everything.
#[derive(Debug, Clone)]
pub struct Forges {
    file: Arc<File>,
    secrets: Secrets,
    reach: Reach,
    open: Arc<Mutex<BTreeMap<String, Account>>>,
    /// Those of accounts that are counted together are one.
    lines: Arc<Mutex<BTreeMap<String, Line>>>,
}

impl Forges {
    /// Those of this file, reached so.
    pub fn of(file: Arc<File>, reach: Reach) -> Self {
        let secrets = Secrets::of(Arc::clone(&file));
        Self { file, secrets, reach, open: Arc::default(), lines: Arc::default() }
    }

    /// A repository of the file.
    ///
    /// # Errors
    /// What is missing to tell its forge something.
    pub fn place(&self, repo: &str) -> Result<Place, EffectFault> {
        self.at(&self.file.site(repo).map_err(|lack| lacking(&lack))?)
    }

    /// Any repository, with a credential of that name, else its own where the file has it, else that of `from`.
    ///
    /// # Errors
    /// What is missing to tell its forge something.
    pub fn elsewhere(&self, repo: &str, credential: Option<&str>, from: &str) -> Result<Place, EffectFault> {
        let site = match credential {
            Some(credential) => self.file.site_of(repo, credential),
            None if self.file.repo(repo).is_some_and(|repo| repo.credential.is_some()) => self.file.site(repo),
            // On the same forge as the event's repository.
            None => self.file.site(from).and_then(|site| {
                let id = site.kind.repo(repo).map_err(|_| Lack::Address(repo.to_owned()))?;
                Ok(Site { repo: id, ..site })
            }),
        };
        self.at(&site.map_err(|lack| lacking(&lack))?)
    }

    /// How many more requests each forge lets a credential make for now, by the API's host and the credential's name; of
    /// those that were told.
    pub fn allowances(&self) -> BTreeMap<(String, String), u64> {
        let mut found: BTreeMap<(String, String), u64> = BTreeMap::new();
        for account in self.open.lock().unwrap_or_else(PoisonError::into_inner).values() {
            let Some(left) = account.forge.allowance() else { continue };
            // An App has a client for each repository, and all of them have one allowance.
            found.entry(account.of.clone()).and_modify(|known| *known = left.min(*known)).or_insert(left);
        }
        found
    }

    fn at(&self, site: &Site<'_>) -> Result<Place, EffectFault> {
        // An App has a token for each repository; a person's pace is one, whatever it is spent on.
        let of = if site.credential.is_app() { site.repo.to_string() } else { String::new() };
        let key = format!("{} {} {of}", site.api, site.name);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let account = if let Some(known) = open.get(&key) {
            known.clone()
        } else {
            let host = Url::parse(&site.api).ok().and_then(|api| api.host_str().map(str::to_owned));
            let of = (host.unwrap_or_default(), site.name.to_owned());
            let account = Account { of, forge: self.client(site)?, me: Arc::default(), line: self.line(site) };
            open.insert(key.clone(), account.clone());
            account
        };
        drop(open);
        let forge = Arc::clone(&account.forge);
        Ok(Place { kind: site.kind, forge, repo: site.repo.clone(), account, key, all: Arc::clone(&self.open) })
    }

    /// The line of a site's account; of an App, that of all repositories of one owner.
    fn line(&self, site: &Site<'_>) -> Line {
        let owner = if site.credential.is_app() { site.repo.owner() } else { "" };
        let name = format!("{} {} {owner}", site.api, site.name);
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default().clone()
    }

    fn client(&self, site: &Site<'_>) -> Result<Arc<dyn Forge>, EffectFault> {
        let opened: Result<Arc<dyn Forge>, Fault> =
            match site.kind {
                Kind::GitHub => GitHub::open(&site.api, self.login(site)?, &self.reach)
                    .map(|client| Arc::new(client) as Arc<dyn Forge>),
                Kind::GitLab => {
                    let trigger = self.trigger(site)?;
                    GitLab::open(&site.api, self.token(site)?, &self.reach)
                        .map(|client| Arc::new(client.triggering(trigger)) as Arc<dyn Forge>)
                }
                Kind::Gitea => Gitea::open(&site.api, self.token(site)?, &self.reach)
                    .map(|client| Arc::new(client) as Arc<dyn Forge>),
            };
        opened.map_err(|fault| EffectFault::new(format!("`{}`: {fault}", site.api)))
    }

    fn token(&self, site: &Site<'_>) -> Result<Secret, EffectFault> {
        let token = site.credential.token.as_ref().ok_or_else(|| lacking(&Lack::Token(site.name.to_owned())))?;
        self.secrets.read(&format!("credentials.{}.token", site.name), token)
    }

    fn trigger(&self, site: &Site<'_>) -> Result<Option<Secret>, EffectFault> {
        let read = |token| self.secrets.read(&format!("credentials.{}.trigger_token", site.name), token);
        site.credential.trigger_token.as_ref().map(read).transpose()
    }

    fn login(&self, site: &Site<'_>) -> Result<Login, EffectFault> {
        Ok(match (site.credential.app_id, &site.credential.private_key) {
            (Some(id), Some(key)) => Login::App(App {
                id: id.to_string(),
                key: self.secrets.read(&format!("credentials.{}.private_key", site.name), key)?,
                repo: site.repo.clone(),
                installation: site.credential.installation,
            }),
            _ => Login::Token(self.token(site)?),
        })
    }
}

impl Place {
    /// Who we are there.
    ///
    /// # Errors
    /// When the forge does not say.
    pub async fn me(&self) -> Result<&Me, Fault> {
        self.account.me.get_or_try_init(|| self.forge.me()).await
    }

    /// Where those stand who tell statuses and checks by this account.
    pub fn line(&self) -> &Line {
        &self.account.line
    }

    /// A fault in words for people. A login that is no longer taken is forgotten.
    pub fn said(&self, fault: &Fault) -> EffectFault {
        if matches!(fault, Fault::Login(_)) {
            self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        }
        EffectFault::new(format!("`{}`: {fault}", self.repo))
    }
}

fn lacking(lack: &Lack) -> EffectFault {
    EffectFault::new(format!("{lack}; {}", lack.help()))
}

/// How git reads the repositories of Apps: by the token of an installation, which is issued for an hour. One that was opened
/// is kept, with its token, for as long as nothing of it changes; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Logins(Arc<Mutex<BTreeMap<String, Arc<dyn Bearer>>>>);

impl Logins {
    /// What is shown for an App's site. Asks nothing yet.
    ///
    /// # Errors
    /// When its key has no value, or the API's address is none.
    pub fn of_app(&self, file: &Arc<File>, site: &Site<'_>, reach: &Reach) -> Result<Password, EffectFault> {
        let credential = site.credential;
        let (Some(id), Some(key)) = (credential.app_id, &credential.private_key) else {
            return Err(lacking(&Lack::Token(site.name.to_owned())));
        };
        let key = Secrets::of(Arc::clone(file)).read(&format!("credentials.{}.private_key", site.name), key)?;
        let digest = hex::encode(Sha256::digest(key.expose()));
        let known = format!("{} {id} {:?} {} {digest}", site.api, credential.installation, site.repo);
        let app = App { id: id.to_string(), key, repo: site.repo.clone(), installation: credential.installation };
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bearer = if let Some(bearer) = open.get(&known) {
            Arc::clone(bearer)
        } else {
            let opened = Installation::open(&site.api, app, reach);
            let opened = opened.map_err(|fault| EffectFault::new(format!("`{}`: {fault}", site.api)))?;
            let bearer: Arc<dyn Bearer> = Arc::new(opened);
            open.insert(known, Arc::clone(&bearer));
            bearer
        };
        Ok(Password::Issued(format!("credentials.{}", site.name), bearer))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::time::Duration;

    use super::*;
    use crate::server::file;
    use crate::server::line::Rank;

    #[tokio::test]
    async fn repositories_of_one_app_and_owner_stand_in_one_line_and_all_others_in_lines_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "hunter2").unwrap();
        let mut text = format!(
            "credentials: {{app: {{app_id: 7, private_key: 'file:{0}'}}, hub: {{token: 'file:{0}'}}}}\nrepos:\n",
            secret.display()
        );
        let repos = [("acme/churn", "app"), ("acme/report", "app"), ("other/sales", "app"), ("acme/docs", "hub")];
        for (repo, by) in repos {
            text += &format!("  - {{url: 'https://github.com/{repo}', credential: {by}}}\n");
        }
        let (file, found) = file::parse("server.yaml", text.as_bytes());
        let forges = Forges::of(Arc::new(file.unwrap_or_else(|| panic!("{found:?}"))), Reach::default());
        let line = |repo: &str| forges.place(repo).unwrap().line().clone();
        let (churn, patience) = (line("acme/churn"), Duration::from_millis(50));
        let mut all = Vec::new();
        while let Ok(turn) = tokio::time::timeout(patience, churn.turn(Rank::End)).await {
            all.push(turn);
        }
        for (repo, free) in [("acme/report", false), ("other/sales", true), ("acme/docs", true)] {
            let other = line(repo);
            let turn = tokio::time::timeout(patience, other.turn(Rank::End)).await;
            assert_eq!(turn.is_ok(), free, "{repo}");
        }
        assert!(!all.is_empty());
    }

    #[tokio::test]
    async fn what_a_forge_leaves_a_credential_is_told_by_the_credentials_name() {
        let (folder, listener) = (tempfile::tempdir().unwrap(), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let (token, api) = (folder.path().join("token"), format!("http://{}", listener.local_addr().unwrap()));
        std::fs::write(&token, "hunter2").unwrap();
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let read = stream.read(&mut [0; 4096]).unwrap();
            let body = r#"{"login": "me", "id": 1, "type": "User"}"#;
            let head =
                "HTTP/1.1 200 OK\r\nx-ratelimit-resource: core\r\nx-ratelimit-remaining: 4321\r\nconnection: close";
            write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
            read
        });
        let text = format!(
            "credentials: {{hub: {{token: 'file:{}', forge: github, api: '{api}'}}}}\nrepos: [{{url: 'https://git.example/acme/churn', \
             credential: hub}}]\n",
            token.display()
        );
        let file = Arc::new(file::parse("server.yaml", text.as_bytes()).0.unwrap());
        let forges = Forges::of(file, Reach::default());
        assert!(forges.allowances().is_empty(), "nobody was asked");
        forges.place("acme/churn").unwrap().me().await.unwrap();
        assert!(answering.join().unwrap() > 0);
        let told: Vec<_> = forges.allowances().into_iter().collect();
        assert_eq!(told, [(("127.0.0.1".to_owned(), "hub".to_owned()), 4321)]);
    }
}
