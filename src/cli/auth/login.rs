//! `soopervisor auth login`: a person agrees on the service's own page, and the login is kept here or handed on.

use std::io::{BufRead, IsTerminal};
use std::path::Path;
use std::process::{Command, Stdio};

use super::super::args;
use super::super::console::Console;
use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::seam;
use super::{Remote, client, failed, tokens};
use crate::auth::{App, Grant, Issuer, Login, Loopback, Provider, SignIn, Source, Way, pack, unpack, variable};
use crate::report::bytes;
use crate::secret::{Secret, withhold};
use crate::store::Home;
use crate::web::Fault;

pub(super) fn execute(args: &args::AuthLogin, home: &Home) -> Result<Exit, Failure> {
    let remote = Remote::named(&args.remote, home)?;
    let what = format!("nobody was logged in to {}", remote.provider.title());
    let wrong = |fault: Fault| failed(what.clone(), &fault);
    if args.token_stdin {
        return take(&remote, home, wrong);
    }
    let app = App::of(remote.provider, &remote.name, remote.set()).map_err(wrong)?;
    let client = client(home)?;
    seam::block_on(async {
        let issuer = Issuer::new(remote.provider, &remote.name, remote.endpoints.clone(), client, app, remote.set());
        let grant = match remote.provider.way() {
            Way::Device if !args.browser => device(&issuer).await,
            Way::LoopbackOrPaste if !args.browser && (args.no_browser || !has_browser()) => paste(&issuer).await,
            Way::Device | Way::Loopback | Way::LoopbackOrPaste => loopback(&issuer, !args.no_browser).await,
        };
        let done = SignIn::of(&issuer, grant.map_err(wrong)?).await.map_err(wrong)?;
        if args.on_desktop {
            return hand_on(&remote, &done).map_err(wrong);
        }
        done.keep(&issuer, &tokens(home)).await.map_err(wrong)?;
        let room = room(done.account.used, done.account.total);
        Console::answer(&format!("logged in to {} as {}{room}\n", remote.provider.title(), done.account.name));
        remind(&remote);
        Ok(Exit::Ok)
    })
}

/// What goes before a login, and when it ends.
fn remind(remote: &Remote) {
    if let Ok(source) = Source::find(remote.provider, &remote.name, remote.set())
        && !matches!(source, Source::File)
    {
        Console::note(&format!("note: what variables say goes before this login: {}\n", source.describe()));
    }
    if remote.provider == Provider::GoogleDrive {
        Console::note("note: while the app is in Testing mode, Google ends its logins after 7 days\n");
    }
}

fn room(used: Option<u64>, total: Option<u64>) -> String {
    match (used, total) {
        (Some(used), Some(total)) => format!("; {} of {} are in use", bytes(used), bytes(total)),
        (Some(used), None) => format!("; {} are in use", bytes(used)),
        _ => String::new(),
    }
}

async fn device(issuer: &Issuer) -> Result<Grant, Fault> {
    let device = issuer.begin_device().await.map_err(|fault| match fault {
        Fault::Refused { words, .. } if words.starts_with("invalid_scope") => Fault::Setting(format!(
            "{} lets nobody who types a code have what {}_SCOPE asks for ({words}): add --browser, or unset it",
            issuer.provider.title(),
            variable(&issuer.remote)
        )),
        Fault::Refused { words, .. } => {
            let id = format!("{}_CLIENT_ID", variable(&issuer.remote));
            Fault::Setting(format!("{} gives no code to the app that {id} names: {words}", issuer.provider.title()))
        }
        fault => fault,
    })?;
    let minutes = device.lasts.as_secs() / 60;
    Console::note(&format!(
        "open {} on any machine and enter the code {} within {minutes} minutes\n",
        device.url, device.user_code
    ));
    issuer.wait_for_device(&device).await
}

async fn loopback(issuer: &Issuer, browser: bool) -> Result<Grant, Fault> {
    let port = std::env::var(format!("{}_REDIRECT_PORT", variable(&issuer.remote))).ok();
    let port = port.map(|port| port.trim().parse::<u16>()).transpose();
    let port = port.map_err(|_| Fault::Setting(format!("{}_REDIRECT_PORT is no port", variable(&issuer.remote))))?;
    let server = Loopback::open(issuer.provider, port).await?;
    let redirect = server.redirect();
    let consent = issuer.consent(Some(redirect.clone()))?;
    Console::note(&format!("open this page in a browser on this machine, within five minutes:\n{}\n", consent.url));
    if !(browser && has_browser() && open(&consent.url)) {
        let port = redirect.trim_end_matches('/').rsplit(':').next().unwrap_or_default();
        let remote = &issuer.remote;
        let other = match issuer.provider.way() {
            Way::Device => format!("type a code on any machine: soopervisor auth login {remote}"),
            Way::Loopback | Way::LoopbackOrPaste => {
                format!("log in there: soopervisor auth login {remote} --on-desktop")
            }
        };
        Console::note(&format!(
            "no browser here? `ssh -L {port}:127.0.0.1:{port}` brings the answer from your machine to this one, or {other}\n"
        ));
    }
    server.wait(issuer, &consent).await
}

async fn paste(issuer: &Issuer) -> Result<Grant, Fault> {
    let consent = issuer.consent(None)?;
    Console::note(&format!("open this page in any browser, agree, and paste the code here:\n{}\n", consent.url));
    let code = line()?;
    issuer.agreed(&consent, &code).await
}

/// One line of stdin.
fn line() -> Result<Secret, Fault> {
    let mut text = String::new();
    let read = std::io::stdin().lock().read_line(&mut text);
    read.map_err(|error| Fault::Local(format!("stdin cannot be read: {error}")))?;
    let text = text.trim();
    if text.is_empty() {
        return Err(Fault::Login("nothing was pasted".to_owned()));
    }
    Ok(Secret::new("pasted", text.as_bytes().to_vec()))
}

/// Prints the one line that the other machine needs.
fn hand_on(remote: &Remote, done: &SignIn) -> Result<Exit, Fault> {
    let packed = pack(&remote.name, &done.entry)?;
    Console::note(&format!(
        "this is a login of {}, as {}; whoever has it has the files. On the other machine: soopervisor auth login {} \
         --token-stdin, or the variable itself\n",
        remote.provider.title(),
        done.account.name,
        remote.name
    ));
    Console::answer(&format!("{}\n", String::from_utf8_lossy(packed.expose())));
    Ok(Exit::Ok)
}

/// Keeps what another machine handed on.
fn take(remote: &Remote, home: &Home, wrong: impl Fn(Fault) -> Failure) -> Result<Exit, Failure> {
    let text = line().map_err(&wrong)?;
    let text = String::from_utf8_lossy(text.expose()).into_owned();
    let entry = unpack(remote.provider, &text).map_err(&wrong)?;
    let client = client(home)?;
    seam::block_on(async {
        let tokens = tokens(home);
        tokens.lock().await.and_then(|guard| guard.keep(&remote.name, &entry)).map_err(&wrong)?;
        // Nothing that would go before the file.
        let only = |name: &str| remote.set()(name).filter(|_| name.ends_with("_TENANT"));
        let folder = home.state().to_path_buf();
        let login = Login::open(&remote.name, remote.provider, remote.endpoints.clone(), client, only, folder);
        let account = login.map_err(&wrong)?.who().await.map_err(&wrong)?;
        let room = room(account.used, account.total);
        Console::answer(&format!("logged in to {} as {}{room}\n", remote.provider.title(), account.name));
        remind(remote);
        Ok(Exit::Ok)
    })
}

/// Somebody is looking, on this machine, and there is something to open pages with.
fn has_browser() -> bool {
    let here = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let screen = (here("DISPLAY") || here("WAYLAND_DISPLAY")) && !here("SSH_CONNECTION");
    let opener = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).filter(|folder| folder.is_absolute()).any(|folder| folder.join(OPENER).is_file())
    });
    std::io::stderr().is_terminal() && screen && opener
}

const OPENER: &str = "xdg-open";

/// The page's address holds no credential, so it may stand in the list of processes.
fn open(url: &str) -> bool {
    let mut command = Command::new(OPENER);
    withhold(&mut command);
    command.arg(url).current_dir(Path::new("/")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().is_ok()
}
