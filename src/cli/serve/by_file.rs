//! What `serve` does by a server's file: read, with everything that it names, at the start and whenever it changes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::program;
use crate::cli::console::Console;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::seam;
use crate::run::Host;
use crate::secret::{Secret, resolve};
use crate::server::file::{self, File, FirstSight, Poll, Reference};
use crate::server::forges::Logins;
use crate::server::glob::Glob;
use crate::server::hook::genuine::HookSecrets;
use crate::server::http::Auth;
use crate::server::poll::reading::Credential;
use crate::server::poll::state::FirstSeen;
use crate::server::reload::{Loaded, Mark, Source};
use crate::server::secrets::Secrets;
use crate::server::serve::{RepoAsk, Serving};
use crate::server::standing::Trouble;
use crate::server::{poll, work};
use crate::store::Home;
use crate::store::database::Policy;

/// The user that goes with a token, where nobody says another.
const TOKEN_USER: &str = "x-access-token";

/// The server's file, read. Everything that is wrong with it is said at once.
fn parsed(path: &Path) -> Result<File, Failure> {
    let shown = path.display().to_string();
    let bytes = fs_err::read(path).map_err(|error| Failure::of(Exit::Usage, &error))?;
    let (file, findings) = file::parse(&shown, &bytes);
    if file.is_some() {
        for finding in &findings {
            Console::note(&format!("{shown}: {}\n", seam::line_of(finding)));
        }
    }
    file.ok_or_else(|| {
        let failure = Failure::new(Exit::InvalidSpec, format!("`{shown}` has errors"));
        let failure = findings.iter().map(seam::line_of).fold(failure, Failure::why);
        failure.help(format!("soopervisor handlers check {shown}"))
    })
}

/// What a worker needs of the file: repositories with their credentials, and the database.
pub(in crate::cli) fn for_worker(path: &Path, home: &Home) -> Result<(Vec<RepoAsk>, Option<String>), Failure> {
    let (file, host, logins) = (Arc::new(parsed(path)?), seam::host(home)?, Logins::default());
    // Other runs can be begun all the same.
    for missing in Secrets::of(Arc::clone(&file)).missing_for_runs() {
        Console::note(&format!("runs that need it will fail: {missing}\n"));
    }
    let repos = file.repos.iter().map(|repo| watched(&file, repo, &host, &logins)).collect::<Result<_, _>>()?;
    Ok((repos, file.server.database.as_ref().map(text_of).transpose()?))
}

/// What a server does by its file; logins that were opened before are the same ones again.
pub(super) fn of_file(path: &Path, home: &Home, logins: &Logins) -> Result<Serving, Failure> {
    let mark = Mark::of(path);
    let (file, shown) = (parsed(path)?, path.display().to_string());
    let file = Arc::new(file);
    refuse_what_is_missing(&file, &shown)?;
    let mut work = work::Effort::default();
    work.limits.here = i64::try_from(file.server.workers).unwrap_or(i64::MAX);
    let lease_ms = file.server.lease.map(|lease| i64::try_from(lease.as_millis()).unwrap_or(i64::MAX).max(1_000));
    work.limits.lease_ms = lease_ms.unwrap_or(work.limits.lease_ms);
    let keep = file.server.keep;
    let policy = Policy {
        concurrency: file.server.concurrency,
        lease_ms,
        logs_ms: keep.logs.map(|logs| i64::try_from(logs.as_millis()).unwrap_or(i64::MAX)),
        log_bytes: keep.log_size.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
    };
    let (usual, host) = (poll::Effort::default(), seam::host(home)?);
    Ok(Serving {
        program: program()?,
        database: file.server.database.as_ref().map(text_of).transpose()?,
        listen: file.server.bind,
        auth: Auth::Everybody,
        repos: file.repos.iter().map(|repo| watched(&file, repo, &host, logins)).collect::<Result<_, _>>()?,
        host,
        secrets: HookSecrets {
            github: hook_secrets(&file, "github")?,
            gitea: hook_secrets(&file, "gitea")?,
            gitlab: hook_secrets(&file, "gitlab")?,
        },
        poll: poll::Effort { rate: file.server.poll_rate.map_or(usual.rate, f64::from), ..usual },
        file: Some(file),
        source: Some(source(path, home, mark, logins)),
        work,
        policy,
    })
}

/// Reads the file again, for a server that goes on with what it has when something is wrong with it.
pub(super) fn source(path: &Path, home: &Home, mark: Mark, logins: &Logins) -> Source {
    let (file, home, logins) = (path.to_owned(), home.clone(), logins.clone());
    let read = move || {
        let shown = file.display().to_string();
        let trouble = |message: String| vec![Trouble { place: shown.clone(), code: "server/file".to_owned(), message }];
        let bytes = fs_err::read(&file).map_err(|error| trouble(error.to_string()))?;
        let (parsed, findings) = file::parse(&shown, &bytes);
        if parsed.is_none() {
            return Err(findings.iter().map(|finding| Trouble::of(finding, &shown)).collect());
        }
        let failed = |failure: Failure| {
            let lines = if failure.why.is_empty() { vec![failure.what] } else { failure.why };
            lines.into_iter().flat_map(trouble).collect::<Vec<_>>()
        };
        let Serving { file, repos, secrets, policy, .. } = of_file(&file, &home, &logins).map_err(failed)?;
        let file = file.ok_or_else(|| trouble("there is no file".to_owned()))?;
        Ok(Loaded { file, repos, secrets, policy })
    };
    Source { path: path.to_owned(), read: Arc::new(read), mark }
}

/// Nobody shall wait for a mail that cannot be sent: what is needed and has no value is told at the start.
fn refuse_what_is_missing(file: &Arc<File>, shown: &str) -> Result<(), Failure> {
    let missing = Secrets::of(Arc::clone(file)).missing();
    if missing.is_empty() {
        return Ok(());
    }
    let failure = Failure::new(Exit::Usage, format!("`{shown}` needs secrets that have no value"));
    let failure = missing.into_iter().fold(failure, Failure::why);
    Err(failure.help("set them; what only a handler needs can wait with it, by `enabled: false`"))
}

fn read(name: &str, reference: &Reference) -> Result<Secret, Failure> {
    let value = reference.source().read(name).map_err(|error| Failure::of(Exit::Usage, &error))?;
    Ok(Secret::new(name, value))
}

/// The address that a reference of the file stands for.
pub(in crate::cli) fn text_of(reference: &Reference) -> Result<String, Failure> {
    Ok(String::from_utf8_lossy(read("database", reference)?.expose()).trim().to_owned())
}

fn hook_secrets(file: &File, forge: &str) -> Result<Vec<Secret>, Failure> {
    let Some(hook) = file.webhooks.get(forge) else { return Ok(Vec::new()) };
    // What is empty signs nothing: anybody could.
    let read = |reference: &Reference| {
        resolve(&format!("webhooks.{forge}"), &*reference.source()).map_err(|error| Failure::of(Exit::Usage, &error))
    };
    hook.secrets.iter().map(read).collect()
}

/// Who reads a repository over HTTP: whoever has the token, else the App's installation.
fn credential(
    file: &Arc<File>,
    repo: &file::Repo,
    host: &Host,
    logins: &Logins,
) -> Result<Option<Credential>, Failure> {
    let named = repo.credential.as_ref().and_then(|name| Some((name, file.credentials.get(name)?)));
    let Some((name, login)) = named else { return Ok(None) };
    let user = login.user.clone().unwrap_or_else(|| TOKEN_USER.to_owned());
    if let Some(token) = &login.token {
        return Ok(Some(Credential { user, password: read(name, token)?.into() }));
    }
    if !login.is_app() || !repo.url.starts_with("http") {
        return Ok(None);
    }
    let unread = || Failure::new(Exit::Usage, format!("`{}` cannot be read as the App of `{name}`", repo.name));
    let site = file.site(&repo.name).map_err(|lack| unread().why(lack.to_string()).help(lack.help()))?;
    let reach = host.access()?.reach;
    let password = logins.of_app(file, &site, &reach).map_err(|fault| unread().why(fault.to_string()))?;
    // GitHub takes an installation's token from no other.
    Ok(Some(Credential { user: TOKEN_USER.to_owned(), password }))
}

fn watched(file: &Arc<File>, repo: &file::Repo, host: &Host, logins: &Logins) -> Result<RepoAsk, Failure> {
    let login = repo.credential.as_ref().and_then(|name| file.credentials.get(name));
    let credential = credential(file, repo, host, logins)?;
    let key = match login.and_then(|login| login.ssh_key.as_ref()) {
        Some(Reference::File(path)) => Some(path.clone()),
        Some(Reference::Env(_)) => {
            let failure = Failure::new(Exit::Usage, format!("the SSH key of `{}` is in a variable", repo.name));
            return Err(failure.help("write it to a file that only the server reads: ssh_key: file:PATH"));
        }
        None => None,
    };
    let mut run = serde_json::Map::new();
    if let Some(storage) = &repo.storage {
        run.insert("storage".to_owned(), storage.as_str().into());
    }
    run.insert("project".to_owned(), repo.folder().into());
    // Where they are, never what they are: whoever drives the run reads them.
    let secrets = repo.secrets.iter().filter_map(|name| Some(format!("{name}={}", file.secrets.get(name)?)));
    run.insert("secrets".to_owned(), secrets.collect());
    let every = match repo.poll {
        Poll::Every(every) => Some(every),
        // Hardly ever: webhooks and people ask for it.
        Poll::Off(_) => Some(Duration::from_hours(24)),
        Poll::Usual => None,
    };
    Ok(RepoAsk {
        name: repo.name.clone(),
        url: repo.url.clone(),
        prefixes: prefixes(repo),
        every,
        first_seen: match repo.on_first_seen {
            FirstSight::Record => FirstSeen::Record,
            FirstSight::RunDefaultBranch => FirstSeen::TellDefaultBranch,
        },
        commits: repo.commits,
        credential,
        key,
        concurrency: repo.concurrency,
        run: run.into(),
    })
}

/// What to ask the host for: as little as the globs allow. What fits a beginning and no glob is not handled.
fn prefixes(repo: &file::Repo) -> Vec<String> {
    let beginning = |glob: &Glob| glob.text().split(['*', '?', '[', '{', '\\']).next().unwrap_or_default().to_owned();
    let mut asked: Vec<String> = repo.branches.iter().map(|glob| format!("refs/heads/{}", beginning(glob))).collect();
    if asked.is_empty() {
        asked.push("refs/heads/".to_owned());
    }
    asked.extend(repo.tags.iter().map(|glob| format!("refs/tags/{}", beginning(glob))));
    asked
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::spec::Config;

    #[test]
    fn the_project_of_a_repository_is_said_by_the_file_and_else_by_its_address() {
        let text = "repos: [{url: 'https://h/acme/churn.git', name: x}, {url: 'https://h/acme/y', project: other}]";
        let file = Arc::new(file::parse("server.yaml", text.as_bytes()).0.unwrap());
        let host = Host::this(Home::at(Path::new("/nowhere")), Config::default(), PathBuf::from("/"));
        let project = |repo| {
            watched(&file, repo, &host, &Logins::default()).map_err(|failure| failure.what).unwrap().run["project"]
                .clone()
        };
        assert_eq!(file.repos.iter().map(project).collect::<Vec<_>>(), ["churn", "other"]);
    }
}
