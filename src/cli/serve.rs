//! `soopervisor serve`: watches repositories until a signal ends it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::console::Console;
use super::exit::Exit;
use super::failure::Failure;
use super::{parse, seam, trigger};
use crate::repo::project_of;
use crate::run::Host;
use crate::secret::{Secret, resolve};
use crate::server::file::{self, Commits, File, FirstSight, Poll, Reference};
use crate::server::forges::Logins;
use crate::server::glob::Glob;
use crate::server::hook::genuine::HookSecrets;
use crate::server::http::{ADDRESS, Auth};
use crate::server::poll::reading::Credential;
use crate::server::poll::state::FirstSeen;
use crate::server::reload::{Loaded, Mark, Source};
use crate::server::secrets::Secrets;
use crate::server::serve::{Greeting, RepoAsk, ServeError, Serving, serve};
use crate::server::standing::{self, Trouble};
use crate::server::{poll, work};
use crate::store::Home;
use crate::store::database::Policy;

/// The server's file of this machine, where none is named and the user has none.
const SYSTEM: &str = "/etc/soopervisor/server.yaml";
/// The user that goes with a token, where nobody says another.
const TOKEN_USER: &str = "x-access-token";

/// Arguments of `serve`.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// The server's file: repositories, handlers, credentials (examples/server/server.yaml) [default: server.yaml beside
    /// config.yaml, else /etc/soopervisor/server.yaml]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["repos", "storage", "poll"])]
    pub config: Option<PathBuf>,
    /// Without a file: a repository to watch, over HTTPS or SSH, or a folder (repeatable)
    #[arg(long = "repo", value_name = "URL")]
    pub repos: Vec<String>,
    /// Where outputs of its runs go
    #[arg(long, value_name = "STORAGE", requires = "repos")]
    pub storage: Option<String>,
    /// How often repositories are read: `60s`, `5m` [default: by how much happens in them]
    #[arg(long, value_name = "DURATION", value_parser = parse::duration, requires = "repos")]
    pub poll: Option<Duration>,
    /// Where to listen [default: what the file says, else 127.0.0.1:8080]
    #[arg(long, env = "SOOPERVISOR_LISTEN", hide_env_values = true, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// The database: sqlite:PATH or postgres://… [default: a file in the data folder]
    // Checked by the server: clap repeats a value that it refuses, and this one may hold a password.
    #[arg(long, env = "SOOPERVISOR_DATABASE", hide_env_values = true, value_name = "ADDRESS")]
    pub database: Option<String>,
    /// Ask nobody for a token; only on an address that this machine alone reaches
    #[arg(long)]
    pub no_auth: bool,
    /// Runs at a time [default: what the file says, else 2]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..))]
    pub workers: Option<u8>,
}

pub(super) fn execute(args: &Serve) -> Result<Exit, Failure> {
    let home = Home::from_env()?;
    let serving = serving(args, &home)?;
    let next = next_step(&serving);
    seam::block_on(async move {
        let stop = CancellationToken::new();
        let listening = tokio::spawn(listen(stop.clone()));
        let greet = move |greeting: Greeting| Console::note(&(words(&greeting) + &next));
        let served = serve(serving, greet, stop).await;
        listening.abort();
        served.map(|()| Exit::Ok).map_err(|error| failed(&error))
    })
}

fn serving(args: &Serve, home: &Home) -> Result<Serving, Failure> {
    let mut serving = match &args.config {
        Some(path) => of_file(path, home, &Logins::default())?,
        None if args.repos.is_empty() => of_places(&home.server_file(), Path::new(SYSTEM), home)?,
        None => of_words(args, home)?,
    };
    serving.auth = if args.no_auth { Auth::Nobody } else { Auth::Everybody };
    serving.listen = args.listen.unwrap_or(serving.listen);
    if let Some(workers) = args.workers {
        serving.work.limits.here = workers.into();
    }
    serving.database = trigger::given(args.database.as_deref())?.or(serving.database);
    Ok(serving)
}

/// All repositories of the command line have one storage, and whoever may push to one would publish as another that has the
/// same folder.
fn refuse_what_meets(urls: &[String]) -> Result<(), Failure> {
    for (place, url) in urls.iter().enumerate() {
        let own = project_of(url).to_string();
        let of = |other: &String| file::folders_meet(&project_of(other).to_string(), &own);
        let Some(earlier) = urls[..place].iter().position(of) else { continue };
        let (place, earlier) = (place + 1, earlier + 1);
        let what = if urls[earlier - 1] == *url {
            format!("`--repo` number {place} is number {earlier} again")
        } else {
            // An address may hold a password.
            let (name, other) = (name(url), name(&urls[earlier - 1]));
            format!(
                "outputs of `--repo` number {place} (`{name}`) would go to the folder `{own}`, as those of number {earlier} \
                 (`{other}`)"
            )
        };
        let help =
            "leave it out, or give each a `project` of its own in a server's file: soopervisor serve --config FILE";
        return Err(Failure::new(Exit::Usage, what).help(help));
    }
    Ok(())
}

/// What a repository's runs need; the folder is never a commit's choice.
fn run_of(url: &str, storage: Option<&String>) -> serde_json::Value {
    let mut run = json!({"project": project_of(url).to_string()});
    if let Some(storage) = storage {
        run["storage"] = json!(storage);
    }
    run
}

fn of_words(args: &Serve, home: &Home) -> Result<Serving, Failure> {
    refuse_what_meets(&args.repos)?;
    if args.storage.is_none() {
        Console::note("no `--storage` is given: runs of a commit fail whose soopervisor.yaml names no `storage`\n");
    }
    let repos = args.repos.iter().map(|url| RepoAsk {
        name: name(url),
        url: url.clone(),
        prefixes: vec!["refs/heads/".to_owned(), "refs/tags/".to_owned()],
        every: args.poll,
        first_seen: FirstSeen::Record,
        commits: Commits::Latest,
        credential: None,
        key: None,
        concurrency: 1,
        run: run_of(url, args.storage.as_ref()),
    });
    Ok(Serving { repos: repos.collect(), secrets: secrets()?, ..bare(home)? })
}

/// One that watches nothing, on this machine only.
fn bare(home: &Home) -> Result<Serving, Failure> {
    Ok(Serving {
        host: seam::host(home)?,
        program: program()?,
        database: None,
        listen: ADDRESS,
        auth: Auth::Everybody,
        repos: Vec::new(),
        secrets: HookSecrets::default(),
        file: None,
        source: None,
        poll: poll::Effort::default(),
        work: work::Effort::default(),
        policy: Policy::default(),
    })
}

/// The file of this user, else that of the machine. Where neither is there, nothing is watched until the first of them is.
fn of_places(own: &Path, system: &Path, home: &Home) -> Result<Serving, Failure> {
    if let Some(path) = usual_file(own, system) {
        Console::note(&format!("the server's file is {}\n", path.display()));
        return of_file(path, home, &Logins::default());
    }
    let source = source(own, home, Mark::of(own), &Logins::default());
    Ok(Serving { source: Some(source), ..bare(home)? })
}

/// Which of two files is there. One that cannot be looked for is: whoever reads it is told why.
fn usual_file<'a>(own: &'a Path, system: &'a Path) -> Option<&'a Path> {
    [own, system].into_iter().find(|path| path.try_exists().unwrap_or(true))
}

/// What to do next, where nothing is watched.
fn next_step(serving: &Serving) -> String {
    let source = serving.source.as_ref().filter(|_| serving.repos.is_empty());
    source.map(|source| standing::unwatched(&source.path) + "\n").unwrap_or_default()
}

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
pub(super) fn for_worker(path: &Path, home: &Home) -> Result<(Vec<RepoAsk>, Option<String>), Failure> {
    let (file, host, logins) = (Arc::new(parsed(path)?), seam::host(home)?, Logins::default());
    let repos = file.repos.iter().map(|repo| watched(&file, repo, &host, &logins)).collect::<Result<_, _>>()?;
    Ok((repos, file.server.database.as_ref().map(text_of).transpose()?))
}

/// What a server does by its file; logins that were opened before are the same ones again.
fn of_file(path: &Path, home: &Home, logins: &Logins) -> Result<Serving, Failure> {
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
fn source(path: &Path, home: &Home, mark: Mark, logins: &Logins) -> Source {
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
pub(super) fn text_of(reference: &Reference) -> Result<String, Failure> {
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

/// The last two parts of an address: `acme/churn`.
fn name(url: &str) -> String {
    let bare = url.trim_end_matches('/').trim_end_matches(".git");
    let bare = bare.split_once("://").map_or(bare, |(_, rest)| rest.split_once('/').map_or(rest, |(_, path)| path));
    let mut parts: Vec<&str> = bare.rsplit(['/', ':']).filter(|part| !part.is_empty()).take(2).collect();
    parts.reverse();
    parts.join("/")
}

/// Webhook secrets, from variables; two while one is being replaced, separated by a space. One that is set and empty is no
/// secret: whoever set it would wait for deliveries that are all refused.
fn secrets() -> Result<HookSecrets, Failure> {
    let of = |variable: &str| -> Result<Vec<Secret>, Failure> {
        let Some(values) = std::env::var_os(variable) else { return Ok(Vec::new()) };
        let values = values.to_string_lossy();
        let found: Vec<Secret> =
            values.split_whitespace().map(|value| Secret::new(variable, value.as_bytes().to_vec())).collect();
        if found.is_empty() {
            let failure = Failure::new(Exit::Usage, format!("`{variable}` is set and empty"));
            return Err(failure.help("set it to what webhooks are signed with, or do not set it"));
        }
        Ok(found)
    };
    Ok(HookSecrets {
        github: of("SOOPERVISOR_GITHUB_HOOK_SECRET")?,
        gitea: of("SOOPERVISOR_GITEA_HOOK_SECRET")?,
        gitlab: of("SOOPERVISOR_GITLAB_HOOK_SECRET")?,
    })
}

/// This program, as long as it is where it was started from.
pub(super) fn program() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|error| Failure::of(Exit::Internal, &error))
}

/// What became of the runs of an earlier process.
pub(super) fn of_before(adopted: usize, queued: usize) -> String {
    let mut text = String::new();
    if adopted > 0 {
        text.push_str(&format!("{adopted} run(s) of a process that ended without a word go on\n"));
    }
    if queued > 0 {
        text.push_str(&format!("{queued} run(s) of a process that ended without a word are queued again\n"));
    }
    text
}

fn words(greeting: &Greeting) -> String {
    let mut text = format!("serving on http://{}\n", greeting.address);
    text.push_str(&of_before(greeting.adopted, greeting.queued));
    if let Some(token) = &greeting.set_up {
        let token = String::from_utf8_lossy(token.expose());
        text.push_str(&format!(
            "there is no admin yet; once, within this start: curl -X POST http://{}/api/setup -H 'Content-Type: \
             application/json' -d '{{\"token\": \"{token}\"}}'\n",
            greeting.address
        ));
    }
    text
}

/// The first signal ends the server in order.
pub(super) async fn listen(stop: CancellationToken) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    stop.cancel();
}

pub(super) fn failed(error: &ServeError) -> Failure {
    let exit = match error {
        ServeError::Listen(_) | ServeError::Repo(_) | ServeError::Password(_) | ServeError::Taken(_) => Exit::Usage,
        _ => return trigger::unwritten(error),
    };
    Failure::of(exit, error)
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn repositories_whose_outputs_would_meet_are_refused_by_the_option_that_brings_them_together() {
        let said = |urls: &[&str]| {
            let urls: Vec<String> = urls.iter().map(ToString::to_string).collect();
            refuse_what_meets(&urls).err().map(|failure| (failure.exit, failure.what))
        };
        assert_eq!(said(&["https://h/acme/churn.git", "https://h/acme/report", "/srv/git/penguins"]), None);
        for (second, told) in [
            (
                "git@other:team/Churn.git",
                "number 3 (`team/Churn`) would go to the folder `Churn`, as those of number 1",
            ),
            ("https://h/acme/churn-forks", "the folder `churn-forks`, as those of number 1 (`acme/churn`)"),
            ("https://me:hunter2@h/acme/churn.git", "number 1 (`acme/churn`)"),
            ("https://h/acme/churn.git", "`--repo` number 3 is number 1 again"),
        ] {
            let (exit, what) = said(&["https://h/acme/churn.git", "https://h/acme/report", second]).unwrap();
            assert!(exit == Exit::Usage && what.contains(told) && !what.contains("hunter2"), "{what}");
        }
        assert_eq!(run_of("https://h/acme/churn.git", None), json!({"project": "churn"}));
    }

    #[test]
    fn without_a_name_the_file_of_the_user_is_read_else_that_of_the_machine_and_else_the_next_step_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        let (own, system) = (home.server_file(), folder.path().join("system.yaml"));
        let serving = |own: &Path| of_places(own, &system, &home).map_err(|failure| failure.what).unwrap();
        let none = serving(&own);
        assert!(none.repos.is_empty() && none.file.is_none());
        assert_eq!(none.source.as_ref().unwrap().path, own, "it is read once it is there");
        let said = next_step(&none);
        assert!(
            said.contains(&format!("write {}", own.display())) && said.ends_with("what is wrong with it\n"),
            "{said}"
        );
        std::fs::write(&system, "repos: [{url: 'https://h/acme/churn', name: machine}]").unwrap();
        let of_machine = serving(&own);
        assert_eq!((of_machine.repos[0].name.as_str(), next_step(&of_machine).as_str()), ("machine", ""));
        std::fs::write(&own, "repos: [{url: 'https://h/acme/churn', name: own}]").unwrap();
        assert_eq!(serving(&own).repos[0].name, "own");
    }

    #[test]
    fn a_repository_is_called_as_its_host_calls_it() {
        assert_eq!(name("https://github.com/acme/churn.git"), "acme/churn");
        assert_eq!(name("git@host:acme/churn.git"), "acme/churn");
        assert_eq!(name("/srv/git/acme/churn/"), "acme/churn");
        assert_eq!(name("https://host/solo"), "solo");
    }
}
