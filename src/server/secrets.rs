//! Values of the secrets that the server's file names: the one place that reads them, and what hides them afterwards.
//!
//! They are read when they are used, so that a file whose content is replaced counts at once. Nothing is kept, and a
//! value leaves as a [`Secret`] only; what came of an action goes through [`Secrets::hide`] before anybody else sees it.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::action::{Answer, EffectFault, Verb};
use super::file::{File, Reference};
use super::handler::Handler;
use crate::logs::Masker;
use crate::secret::{Secret, SecretError, SecretSet, resolve};

/// What chats of targets are asked for by: `notify:team`.
pub const TARGET: &str = "notify:";

/// The secrets of one server's file.
#[derive(Debug, Clone)]
pub struct Secrets {
    file: Arc<File>,
}

impl Secrets {
    /// Those that this file names.
    pub fn of(file: Arc<File>) -> Self {
        Self { file }
    }

    /// One of `secrets`.
    ///
    /// # Errors
    /// When it is not named, or has no value.
    pub fn named(&self, name: &str) -> Result<Secret, EffectFault> {
        let unknown = || EffectFault::new(format!("there is no secret `{name}` any more"));
        read(name, self.file.secrets.get(name).ok_or_else(unknown)?)
    }

    /// The address of a chat's webhook: one of `secrets`, or that of a target by `notify:NAME`.
    ///
    /// # Errors
    /// When it is not named, or has no value.
    pub fn chat(&self, service: &str, name: &str) -> Result<Secret, EffectFault> {
        let Some(target) = name.strip_prefix(TARGET) else { return self.named(name) };
        let chats = self.file.notify.get(target).map(|target| &target.chats);
        let unknown = || EffectFault::new(format!("the target `{target}` has no `{service}` any more"));
        read(name, chats.and_then(|chats| chats.get(service)).ok_or_else(unknown)?)
    }

    /// The password of the mail server, where it wants one.
    ///
    /// # Errors
    /// When it has no value.
    pub fn mail(&self) -> Result<Option<Secret>, EffectFault> {
        let password = self.file.mail.as_ref().and_then(|mail| mail.password.as_ref());
        password.map(|reference| read("mail.password", reference)).transpose()
    }

    /// The value of any reference of the file, told by this name.
    ///
    /// # Errors
    /// When it has no value.
    pub fn read(&self, name: &str, reference: &Reference) -> Result<Secret, EffectFault> {
        read(name, reference)
    }

    /// What hides every value that can be read now.
    pub fn masker(&self) -> Masker {
        let mut set = SecretSet::default();
        for (name, reference) in self.all() {
            // One that cannot be read cannot be told either.
            if let Ok(secret) = resolve(&name, &*reference.source()) {
                set.mask_only.push(secret);
            }
        }
        Masker::new(&set)
    }

    /// The same, without any of the values. What steps behind it use keeps the addresses that somebody else signed.
    ///
    /// # Errors
    /// The fault that it was, without any of the values.
    pub fn hide(&self, answer: Answer) -> Answer {
        let masker = self.masker();
        let named = masker.named_only();
        match answer {
            Ok(result) => Ok(hidden(&named, result)),
            Err(fault) => {
                let (message, result) = (masker.text(&fault.message), hidden(&named, fault.result));
                Err(EffectFault { message, result, ..fault })
            }
        }
    }

    /// What the server, its handlers or the runs that it begins need and what has no value now, all at once; asked before
    /// a server starts, so that nobody waits for a mail that cannot be sent, or for a delivery that an empty secret signs.
    pub fn missing(&self) -> Vec<String> {
        let enabled = self.file.handlers.iter().filter(|handler| handler.enabled);
        let verbs: Vec<Verb> = enabled.flat_map(Handler::verbs).collect();
        let asks = |verbs_of: &[Verb]| verbs.iter().any(|verb| verbs_of.contains(verb));
        let needed = |name: &str| match name.split_once(['.', ':']) {
            Some(("mail", _)) => asks(&[Verb::Mail, Verb::Notify]),
            Some(("notify", _)) => asks(&[Verb::Notify]),
            // Read at the start.
            Some(("webhooks" | "server", _)) => true,
            Some(("credentials", name)) => self.file.repos.iter().any(|repo| repo.credential.as_deref() == Some(name)),
            Some(_) => false,
            // Where all runs are begun by workers, those have the values.
            None => {
                asks(&[Verb::Shell, Verb::Http, Verb::Chat]) || (self.file.server.workers > 0 && self.is_for_runs(name))
            }
        };
        self.lacking(needed)
    }

    /// What the runs of repositories need and what has no value now, on the machine that begins them.
    pub fn missing_for_runs(&self) -> Vec<String> {
        self.lacking(|name| self.is_for_runs(name))
    }

    fn is_for_runs(&self, name: &str) -> bool {
        self.file.secrets.contains_key(name)
            && self.file.repos.iter().any(|repo| repo.secrets.iter().any(|needed| needed == name))
    }

    /// Which of those that are needed have no value, and why.
    fn lacking(&self, needed: impl Fn(&str) -> bool) -> Vec<String> {
        let needed = self.all().into_iter().filter(|(name, _)| needed(name));
        needed.filter_map(|(name, reference)| Some(lacking(&resolve(&name, &*reference.source()).err()?))).collect()
    }

    /// Every reference of the file, under the name by which it is told.
    fn all(&self) -> Vec<(String, &Reference)> {
        let file = &self.file;
        let mut all: Vec<_> = file.secrets.iter().map(|(name, reference)| (name.clone(), reference)).collect();
        all.extend(file.mail.iter().filter_map(|mail| Some(("mail.password".to_owned(), mail.password.as_ref()?))));
        for (name, target) in &file.notify {
            all.extend(target.chats.iter().map(|(service, at)| (format!("{TARGET}{name}.{service}"), at)));
        }
        for (name, login) in &file.credentials {
            let parts = [&login.token, &login.private_key, &login.trigger_token];
            all.extend(parts.into_iter().flatten().map(|part| (format!("credentials.{name}"), part)));
        }
        let hooks = file.webhooks.iter().flat_map(|(name, hook)| hook.secrets.iter().map(move |at| (name, at)));
        all.extend(hooks.map(|(name, at)| (format!("webhooks.{name}"), at)));
        all.extend(file.server.database.iter().map(|at| ("server.database".to_owned(), at)));
        all
    }
}

fn read(name: &str, reference: &Reference) -> Result<Secret, EffectFault> {
    resolve(name, &*reference.source()).map_err(|error| EffectFault::new(said(&error)))
}

/// In the words of the server's file, which are others than those of the command line.
fn lacking(error: &SecretError) -> String {
    match error {
        SecretError::Missing { name, variable } => {
            format!(
                "`{name}`: the variable `{variable}` is not set; set it, or write `file:PATH` in place of `env:{variable}`"
            )
        }
        _ => said(error),
    }
}

/// With the system's words, where there are any.
fn said(error: &SecretError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn hidden(masker: &Masker, value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(masker.text(&text)),
        Value::Array(items) => Value::Array(items.into_iter().map(|item| hidden(masker, item)).collect()),
        Value::Object(map) => {
            let pairs = map.into_iter().map(|(name, value)| (masker.text(&name), hidden(masker, value)));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A file whose secrets are in files of this folder.
    fn secrets(folder: &std::path::Path) -> Secrets {
        let at = folder.display();
        let text = format!(
            "secrets: {{DEPLOY: 'file:{at}/deploy', GONE: 'file:{at}/gone'}}\nmail: {{host: h, from: a@b.example, user: u, \
             password: 'file:{at}/mail'}}\nnotify: {{team: {{slack: 'file:{at}/slack'}}}}\nhandlers:\n  - {{name: x, on: push, \
             do: {{http: {{url: 'https://h.example', bearer: DEPLOY}}}}}}\n"
        );
        let (file, found) = crate::server::file::parse("server.yaml", text.as_bytes());
        Secrets::of(Arc::new(file.unwrap_or_else(|| panic!("{found:?}"))))
    }

    #[test]
    fn values_are_read_when_they_are_used_and_hidden_in_what_came_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = secrets(folder.path());
        std::fs::write(folder.path().join("deploy"), "first-value\n").unwrap();
        std::fs::write(folder.path().join("slack"), "https://hooks.example/T0/deadbeef").unwrap();
        assert_eq!(secrets.named("DEPLOY").unwrap().expose(), b"first-value");
        std::fs::write(folder.path().join("deploy"), "second-value\n").unwrap();
        assert_eq!(secrets.named("DEPLOY").unwrap().expose(), b"second-value");
        assert!(secrets.chat("slack", "notify:team").is_ok() && secrets.chat("teams", "notify:team").is_err());
        assert!(secrets.named("notify:team").is_err() && secrets.named("OTHER").is_err());
        let echoed = json!({"body": "you sent second-value", "json": {"second-value": ["c2Vjb25kLXZhbHVl"]}});
        let answer = secrets.hide(Ok(echoed)).unwrap().to_string();
        assert!(!answer.contains("second-value") && !answer.contains("c2Vjb25k"), "{answer}");
        let fault = secrets.hide(Err(EffectFault::new("no host hooks.example/T0/deadbeef: second-value"))).unwrap_err();
        assert!(!fault.message.contains("second-value"), "{fault}");
        let signed = json!({"upload": "https://s3.example/k?X-Amz-Signature=0af1"});
        assert_eq!(secrets.hide(Ok(signed.clone())).unwrap(), signed, "the next step uses it");
        let fault = secrets.hide(Err(EffectFault::new("no answer from https://me:pw@h/?sig=0af1"))).unwrap_err();
        assert_eq!(fault.message, "no answer from https://me:***@h/?sig=***");
    }

    #[test]
    fn what_handlers_need_and_what_is_not_there_is_told_by_name_only() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = secrets(folder.path());
        std::fs::write(folder.path().join("deploy"), "first-value\n").unwrap();
        let missing = secrets.missing();
        // No handler sends mails or tells targets.
        assert_eq!(missing.len(), 1, "{missing:?}");
        assert!(missing[0].contains("`GONE`") && missing[0].contains("gone"), "{missing:?}");
        assert!(secrets.mail().unwrap_err().message.contains("mail.password"));
    }

    #[test]
    fn what_runs_get_and_what_is_not_there_is_told_where_runs_are_begun() {
        let secrets = |server: &str| {
            let text = format!(
                "{server}\nsecrets: {{RUN: env:SOOP_NOWHERE_A, REST: env:SOOP_NOWHERE_B}}\nrepos: [{{url: 'https://h.example/a/b', \
                 secrets: [RUN]}}]\n"
            );
            let (file, found) = crate::server::file::parse("server.yaml", text.as_bytes());
            Secrets::of(Arc::new(file.unwrap_or_else(|| panic!("{found:?}"))))
        };
        let (here, elsewhere) = (secrets("server: {workers: 1}"), secrets("server: {workers: 0}"));
        let told = here.missing();
        assert!(told.len() == 1 && told[0].contains("`RUN`") && told[0].contains("SOOP_NOWHERE_A"), "{told:?}");
        assert!(elsewhere.missing().is_empty(), "its workers have the values");
        assert_eq!(elsewhere.missing_for_runs(), told);
    }

    #[test]
    fn everything_that_has_no_value_is_told_at_once_in_the_words_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        std::fs::write(folder.path().join("empty"), "").unwrap();
        let text = format!(
            "credentials: {{hub: {{token: env:SOOP_NOWHERE_A}}, unused: {{token: env:SOOP_NOWHERE_B}}}}\nwebhooks: {{github: {{secrets: [env:SOOP_NOWHERE_C, 'file:{at}/empty']}}}}\nrepos: [{{url: 'https://h.example/a/b', credential: hub}}]\n"
        );
        let file = crate::server::file::parse("server.yaml", text.as_bytes()).0.unwrap();
        let missing = Secrets::of(Arc::new(file)).missing();
        assert_eq!(missing.len(), 3, "{missing:?}");
        assert_eq!(
            missing[0],
            "`credentials.hub`: the variable `SOOP_NOWHERE_A` is not set; set it, or write `file:PATH` in place of \
             `env:SOOP_NOWHERE_A`"
        );
        assert!(
            missing[1].contains("SOOP_NOWHERE_C") && missing[2].contains("`webhooks.github` is empty"),
            "{missing:?}"
        );
    }
}
