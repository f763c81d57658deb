//! What only makes sense together: names that refer to other sections, and keys that exclude one another.

use std::path::Path;
use std::time::Duration;

use super::read::{Reader, nearest};
use super::section::{Credential, Dependents, MailServer, Poll, Repo};
use super::{File, MailTls};
use crate::id::ProjectName;
use crate::secret::SecretSpec;
use crate::server::action::reach;
use crate::storage::{Location, Remotes, StorageError};

/// Between two readings of a repository, at least: what is shorter would do nothing but read.
const SHORTEST_POLL: Duration = Duration::from_secs(1);

pub(super) fn check(reader: &mut Reader<'_>, file: &File) {
    repos(reader, file);
    for (name, credential) in &file.credentials {
        self::credential(reader, name, credential);
    }
    if let Some(mail) = &file.mail {
        self::mail(reader, mail);
    }
    for (list, rules) in [("allow", &file.http.allow), ("deny", &file.http.deny)] {
        for (place, rule) in rules.iter().enumerate().filter(|(_, rule)| !reach::is_rule(rule)) {
            let span = reader.span(&format!("/http/{list}/{place}"));
            let message = format!("`{rule}` is no host, address or network");
            reader.error("server/value", message, span, "write `intern.example.com`, `10.1.2.3` or `10.0.0.0/8`");
        }
    }
    if !file.server.bind.ip().is_loopback() && file.server.public_url.is_none() {
        let span = reader.span("/server/bind");
        let help = "add `public_url: https://…`, where people and webhooks reach it";
        reader.warning("server/no-public-url", "the server is reached from outside and does not know how", span, help);
    }
}

fn repos(reader: &mut Reader<'_>, file: &File) {
    for (place, repo) in file.repos.iter().enumerate() {
        let at = |key: &str| format!("{}/{key}", repo.pointer);
        if file.repos[..place].iter().any(|earlier| earlier.name == repo.name) {
            let span = [reader.span(&at("name")), reader.span(&at("url"))];
            let span = if span[0].len > 0 { span[0] } else { span[1] };
            let message = format!("there is a repository `{}` already", repo.name);
            reader.error("server/duplicate", message, span, "give this one another `name`");
        } else if let Some(earlier) = file.repos[..place].iter().find(|earlier| earlier.url == repo.url) {
            // What is known of a repository is known by its address.
            let message = format!("this address is watched already, as `{}`", earlier.name);
            reader.error("server/duplicate", message, reader.span(&at("url")), "write it once");
        } else {
            project(reader, &file.repos[..place], repo);
        }
        secrets(reader, file, repo);
        storage(reader, repo);
        if matches!(repo.poll, Poll::Every(every) if every < SHORTEST_POLL) {
            let help = "write `poll: 1s` or more, `poll: off`, or nothing for 60s";
            let span = reader.span(&at("poll"));
            reader.error("server/value", "`poll` is shorter than a second", span, help);
        }
        if let Dependents::Named(globs) = &repo.dependents {
            for (place, glob) in globs.iter().enumerate() {
                let span = reader.span(&at(&format!("dependents/{place}")));
                reader.repository(file, glob.text(), span);
            }
        }
        let Some(name) = &repo.credential else { continue };
        let span = reader.span(&at("credential"));
        match file.credentials.get(name) {
            // What is wrong with a credential is said there.
            None if reader.knows(&format!("/credentials/{name}")) => {}
            None => {
                let message = format!("there is no credential `{name}`");
                let known = file.credentials.keys().map(String::as_str);
                reader.error("server/reference", message, span, nearest("credentials", name, known));
            }
            Some(credential) if repo.url.starts_with("http") && credential.is_ssh_only() => {
                let message = format!("the credential `{name}` is an SSH key, and the address is none of SSH");
                reader.error("server/credential", message, span, "write the address as `git@host:owner/name.git`");
            }
            Some(_) => {}
        }
    }
}

/// A place that no run could publish to. What this machine's settings name besides is not known here.
fn storage(reader: &mut Reader<'_>, repo: &Repo) {
    let Some(text) = &repo.storage else { return };
    let span = reader.span(&format!("{}/storage", repo.pointer));
    match Location::parse(text, Path::new("/"), &Remotes::none()) {
        Err(error @ StorageError::Credentials { .. }) => {
            // The value is not shown.
            reader.hide(span);
            reader.error("server/secret", error.to_string(), span, error.help().unwrap_or_default());
        }
        Err(
            error @ (StorageError::NoLocation
            | StorageError::NotBuilt(_)
            | StorageError::Tilde(_)
            | StorageError::Name { .. }),
        ) => {
            reader.error("server/storage", error.to_string(), span, error.help().unwrap_or_default());
        }
        Err(error @ StorageError::UnknownBackend { .. }) => {
            let message = format!("{error}, unless this machine's settings name one");
            reader.warning("server/storage", message, span, error.help().unwrap_or_default());
        }
        _ => {}
    }
}

/// Whoever may push to one repository would publish as another that has the same folder; where that is meant, both say so.
fn project(reader: &mut Reader<'_>, earlier: &[Repo], repo: &Repo) {
    let span = [reader.span(&format!("{}/project", repo.pointer)), reader.span(&format!("{}/url", repo.pointer))];
    if let Some(Err(error)) = repo.project.as_ref().map(|name| name.parse::<ProjectName>()) {
        reader.error("server/value", error.to_string(), span[0], "use letters, digits, `.`, `_` and `-`");
        return;
    }
    let meant = |other: &Repo| other.project.is_some() && other.project == repo.project;
    let Some(other) = earlier.iter().find(|other| repo.shares_a_folder(other) && !meant(other)) else { return };
    let span = if span[0].len > 0 { span[0] } else { span[1] };
    let message =
        format!("outputs of `{}` would go to the folder `{}`, as those of `{}`", repo.name, repo.folder(), other.name);
    let help = "give this one a `project` of its own; where one folder is meant, write the same `project` for both";
    reader.error("server/duplicate", message, span, help);
}

/// A pipeline gets a secret as a variable of the same name.
fn secrets(reader: &mut Reader<'_>, file: &File, repo: &Repo) {
    for (place, name) in repo.secrets.iter().enumerate() {
        let span = reader.span(&format!("{}/secrets/{place}", repo.pointer));
        match file.secrets.get(name) {
            None if reader.knows(&format!("/secrets/{name}")) => {}
            None => {
                let message = format!("there is no secret `{name}`");
                let known = file.secrets.keys().map(String::as_str);
                reader.error("server/reference", message, span, nearest("secrets", name, known));
            }
            Some(_) => {
                if let Err(error) = name.parse::<SecretSpec>() {
                    let help = "give it a name that a variable can have, in `secrets` and here";
                    reader.error("server/value", error.to_string(), span, help);
                }
            }
        }
    }
}

fn credential(reader: &mut Reader<'_>, name: &str, credential: &Credential) {
    let span = reader.span(&credential.pointer);
    let app = (credential.app_id.is_some(), credential.private_key.is_some());
    if app.0 != app.1 {
        let message = format!("the credential `{name}` is half of an App");
        reader.error("server/credential", message, span, "an App needs `app_id` and `private_key`");
    } else if credential.token.is_none() && credential.ssh_key.is_none() && !app.0 {
        let message = format!("the credential `{name}` holds nothing");
        reader.error(
            "server/credential",
            message,
            span,
            "give it a `token`, an `ssh_key`, or `app_id` and `private_key`",
        );
    }
}

fn mail(reader: &mut Reader<'_>, mail: &MailServer) {
    let span = reader.span("/mail/user");
    if mail.user.is_some() != mail.password.is_some() {
        let span = if mail.user.is_some() { span } else { reader.span("/mail/password") };
        reader.error("server/value", "a login needs `user` and `password`", span, "write both, or none of them");
    }
    if mail.user.is_some() && mail.tls == MailTls::None {
        let help = "write `tls: starttls` or `tls: implicit`";
        reader.error("server/value", "a password is not sent over an unprotected connection", span, help);
    }
}

impl Credential {
    /// Whether it lets nobody in over HTTPS.
    fn is_ssh_only(&self) -> bool {
        self.ssh_key.is_some() && self.token.is_none() && self.app_id.is_none()
    }
}
