//! `soopervisor auth export`: the variables that CI needs, handed over without being seen.

use std::io::IsTerminal;

use super::super::args;
use super::super::console::Console;
use super::super::exit::Exit;
use super::super::failure::Failure;
use super::{Remote, failed, tokens};
use crate::auth::{App, Entry, Provider, variable};
use crate::secret::Secret;
use crate::store::Home;

/// A variable, and its value where this machine has it.
struct Wanted {
    name: String,
    value: Option<Secret>,
    about: &'static str,
}

pub(super) fn execute(args: &args::AuthExport, home: &Home) -> Result<Exit, Failure> {
    let remote = Remote::named(&args.remote, home)?;
    let what = format!("nothing of `{}` can be exported", remote.name);
    let entry = tokens(home).read().map_err(|fault| failed(what.clone(), &fault))?.remove(&remote.name);
    if entry.is_none() && remote.provider != Provider::Box {
        return Err(Failure::new(Exit::StorageFailed, what)
            .why(format!("nobody is logged in to {} as `{}`", remote.provider.title(), remote.name))
            .help(format!("soopervisor auth login {}", remote.name)));
    }
    let wanted = wanted(&remote, entry.as_ref());
    if let Some(name) = &args.value {
        return one(&wanted, name, args.reveal);
    }
    let notes: Vec<String> = caution(remote.provider).lines().map(|line| format!("# {line}\n")).collect();
    let notes = notes.concat();
    let lines: String = wanted.iter().map(|wanted| line(&remote.name, wanted, args)).collect();
    Console::answer(&format!("{notes}{lines}"));
    if !args.reveal && !args.github {
        Console::note(&format!(
            "values are not shown: --github prints commands that hand them over, `--value NAME` gives one to a pipe, \
             --reveal shows them ({})\n",
            remote.name
        ));
    }
    Ok(Exit::Ok)
}

fn wanted(remote: &Remote, entry: Option<&Entry>) -> Vec<Wanted> {
    let prefix = variable(&remote.name);
    let app = entry.map(Entry::app).or_else(|| App::of(remote.provider, &remote.name, remote.set()).ok());
    let one = |part: &str, value: Option<Secret>, about| Wanted { name: format!("{prefix}_{part}"), value, about };
    let id = app.as_ref().map(|app| Secret::new("id", app.id.clone().into_bytes()));
    let secret = app.and_then(|app| app.secret);
    let mut wanted = vec![one("CLIENT_ID", id, "the app's client id")];
    if secret.is_some() || remote.provider.needs_secret() {
        wanted.push(one("CLIENT_SECRET", secret, "the app's client secret"));
    }
    if remote.provider == Provider::Box {
        let fixed = |name: &str| {
            remote.set()(&format!("{prefix}_{name}")).map(|value| Secret::new("subject", value.into_bytes()))
        };
        wanted.push(one("SUBJECT_TYPE", fixed("SUBJECT_TYPE"), "`enterprise`, or `user` for one user's own files"));
        wanted.push(one("SUBJECT_ID", fixed("SUBJECT_ID"), "the enterprise's or the user's id, from the app's page"));
    } else {
        wanted.push(one("REFRESH_TOKEN", entry.and_then(|entry| entry.refresh.clone()), "the login"));
    }
    wanted
}

/// What a person has to know before a token is put somewhere else.
fn caution(provider: Provider) -> &'static str {
    match provider {
        Provider::Box => {
            "Box takes each refresh token once, and ends it after 60 days: one that stands in CI dies at its second run.\n\
             CI uses the app itself: client credentials (below), or a JWT (SOOPERVISOR_<REMOTE>_JWT_CONFIG, the app's JSON\n\
             file). Either needs an app with server authentication that an administrator has authorised."
        }
        Provider::OneDrive => {
            "Microsoft ends this login 90 days from now: CI cannot keep the newer ones that it is given, and personal\n\
             accounts have no client credentials. Export again before that, or let one machine that keeps its files\n\
             publish. (CCG and JWT, which do not end, are Box's.)"
        }
        Provider::GoogleDrive => {
            "Google ends this login after 7 days while the app is in Testing mode: publish it first. CI and this machine\n\
             must use the same app, or they do not see each other's files."
        }
        Provider::Dropbox => "This login lasts until somebody takes it back: soopervisor auth logout dropbox.",
    }
}

fn line(remote: &str, wanted: &Wanted, args: &args::AuthExport) -> String {
    let (name, about) = (&wanted.name, wanted.about);
    match &wanted.value {
        Some(_) if args.github => {
            format!("soopervisor auth export {remote} --value {name} | gh secret set {name}\n")
        }
        None if args.github => format!("gh secret set {name}  # asks for it: {about}\n"),
        Some(value) if args.reveal => {
            let text = String::from_utf8_lossy(value.expose()).replace('\'', r"'\''");
            format!("{name}='{text}'\n")
        }
        Some(_) => format!("{name}  # {about}\n"),
        None => format!("{name}  # {about}; not known here\n"),
    }
}

/// One value, for a pipe. A terminal is seen, and what CI prints is kept: both have to be asked for.
fn one(wanted: &[Wanted], name: &str, reveal: bool) -> Result<Exit, Failure> {
    let found = wanted.iter().find(|wanted| wanted.name == name);
    let Some(value) = found.and_then(|wanted| wanted.value.as_ref()) else {
        let names: Vec<&str> = wanted.iter().filter(|one| one.value.is_some()).map(|one| one.name.as_str()).collect();
        return Err(Failure::new(Exit::Usage, "this machine has no value of that name")
            .help(format!("it has {}", names.join(", "))));
    };
    let in_ci = std::env::var("CI").ok().is_some_and(|value| !value.is_empty() && value != "false");
    if !reveal && (std::io::stdout().is_terminal() || in_ci) {
        return Err(Failure::new(Exit::Usage, format!("{name} would be seen"))
            .why("stdout is a terminal, or this is a CI job, whose output is kept")
            .help(format!("pipe it: … --value {name} | gh secret set {name}; or add --reveal")));
    }
    Console::answer(&String::from_utf8_lossy(value.expose()));
    Ok(Exit::Ok)
}
