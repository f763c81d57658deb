//! What no table can say of a step's arguments: what they need, what they exclude, what they refer to elsewhere in the
//! server's file, and what the forges that it is for cannot do.

use super::named;
use super::walk::Walk;
use crate::diag::Span;
use crate::server::action::dispatch::is_workflow;
use crate::server::action::{Argument, Verb};
use crate::server::event::Kind;
use crate::server::file::read::nearest;
use crate::server::file::site::{Lack, Need};
use crate::server::template::is_template;
use crate::spec::yaml::Node;

impl Walk<'_, '_, '_> {
    /// What no table can say: arguments that need or exclude one another, and names of other sections.
    pub(super) fn arguments(&mut self, verb: Verb, node: &Node, key: Span, arguments: &[(String, Argument)]) {
        let has = |name: &str| arguments.iter().any(|(key, _)| key == name);
        let given = |name: &str| node.get(name).is_some();
        let (problem, help) = match verb {
            Verb::Shell if given("script") == given("scripts") => (
                "`shell` needs a `script`, or `scripts` by repository and branch",
                "write `script: |` and the text below it",
            ),
            Verb::Label if !given("add") && !given("remove") => {
                ("`label` needs labels to `add` or to `remove`", "write `add: [tested]`")
            }
            Verb::Command if !self.on.contains(&Kind::Comment) => {
                ("`command` does what a comment asks for, and this handler is for no comments", "write `on: comment`")
            }
            Verb::Dispatch if given("event_type") == given("workflow") => {
                ("`dispatch` needs an `event_type` or a `workflow`", "write `event_type: trigger-action`")
            }
            Verb::Http if given("json") && given("body") => {
                ("`http` has `json` or `body`, not both", "remove one of the two")
            }
            Verb::Notify if !given("to") && !given("mail") => {
                ("`notify` tells nobody", "write `to: [NAME]` or `mail: ADDRESS`")
            }
            _ => ("", ""),
        };
        if !problem.is_empty() {
            self.reader.error("server/value", problem, key, help);
        } else if verb == Verb::Http {
            self.request(node);
        } else if verb == Verb::Trigger && self.reader.get(node, "repos").is_some_and(|(_, v)| !self.is_word(v)) {
            named(self.reader, node, "repos", self.file);
        }
        let mails = verb == Verb::Mail || (verb == Verb::Notify && has("mail"));
        if mails && self.file.mail.is_none() {
            let help = "add `mail: {host: …, from: …}` at the top of the server's file";
            self.reader.error("server/reference", "mails cannot be sent: there is no mail server", key, help);
        }
        self.storage(verb, key, given("storage"));
        self.workflow(verb, node);
        self.references(verb, node);
        self.forges(verb, node, key);
    }

    /// Runs without a place to publish to fail, but for those of a commit that names one itself. Said once, when nothing else is
    /// wrong.
    fn storage(&mut self, verb: Verb, key: Span, given: bool) {
        if given || self.reader.count() > 0 || !matches!(verb, Verb::Run | Verb::Command) {
            return;
        }
        let fits = |name: &str| self.repos.is_empty() || self.repos.iter().any(|glob| glob.matches(name));
        let lacks = self.file.repos.iter().find(|repo| repo.storage.is_none() && fits(&repo.name));
        let Some(name) = lacks.map(|repo| repo.name.clone()) else { return };
        let message = format!("`{name}` has no `storage`: runs of a commit fail whose soopervisor.yaml names none");
        let help = format!("write `storage: local:/srv/results` at `{name}`, or at this step");
        self.reader.warning("server/storage", message, key, help);
    }

    /// Whether it is the word for all dependents, which is no name.
    fn is_word(&self, node: &Node) -> bool {
        self.reader.raw(node).as_deref() == Some("dependents")
    }

    /// Requests that nobody could send. What is filled in later is not known now.
    fn request(&mut self, node: &Node) {
        if let Some((_, value)) = self.reader.get(node, "url")
            && let Some(text) = self.reader.raw(value).filter(|text| !is_template(text))
            && !url::Url::parse(&text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
        {
            let help = "write it as `https://host/path`";
            self.reader.error("server/value", "`url` is no address of HTTP", value.span, help);
        }
        let Some((_, headers)) = self.reader.get(node, "headers") else { return };
        for (key, value) in headers.as_map().unwrap_or_default() {
            let name = self.reader.raw(key).unwrap_or_default();
            if ::http::HeaderName::from_bytes(name.as_bytes()).is_err() {
                let help = "use letters, digits and `-`";
                self.reader.error("server/value", "no header can be called so", key.span, help);
            }
            let text = self.reader.raw(value).filter(|text| !is_template(text));
            if text.is_some_and(|text| ::http::HeaderValue::from_str(&text).is_err()) {
                let message = format!("`{name}` holds what no header can");
                self.reader.error("server/value", message, value.span, "write it in one line");
            }
        }
    }

    /// What no forge can have as a workflow, unless it is filled in later.
    fn workflow(&mut self, verb: Verb, node: &Node) {
        let Some((_, value)) = self.reader.get(node, "workflow").filter(|_| verb == Verb::Dispatch) else { return };
        let Some(name) = self.reader.raw(value).filter(|name| !is_template(name) && !is_workflow(name.trim())) else {
            return;
        };
        let message = format!("`{name}` is no workflow: neither a file's name nor a number");
        let help = "write the file's name without its folder: `workflow: build.yml`";
        self.reader.error("server/value", message, value.span, help);
    }

    /// Whether the forge can be told by this action, wherever the handler is for.
    fn forges(&mut self, verb: Verb, node: &Node, key: Span) {
        let speaks = [Verb::Comment, Verb::Status, Verb::Check, Verb::Label, Verb::Dispatch, Verb::Command];
        if !speaks.contains(&verb) {
            return;
        }
        let need = Need { verb, by_event: node.get("event_type").is_some() };
        let credential = self.reader.get(node, "credential");
        if let Some((_, value)) = credential {
            let name = self.reader.raw(value).unwrap_or_default();
            match self.file.credentials.get(&name) {
                Some(login) if login.token.is_some() || login.is_app() => {}
                Some(_) => {
                    let lack = Lack::Token(name);
                    self.reader.error("server/no-token", lack.to_string(), value.span, lack.help());
                    return;
                }
                // What is wrong with a credential is said there.
                None if self.reader.knows(&format!("/credentials/{name}")) => return,
                None => {
                    let message = format!("there is no credential `{name}`");
                    let known = self.file.credentials.keys().map(String::as_str);
                    self.reader.error("server/reference", message, value.span, nearest("credentials", &name, known));
                    return;
                }
            }
        }
        let credential = credential.and_then(|(_, value)| self.reader.raw(value));
        // A name that is filled in later is not known now.
        let target = self.reader.get(node, "repo").and_then(|(_, repo)| self.reader.raw(repo));
        let target = target.filter(|target| verb == Verb::Dispatch && !is_template(target));
        let own = |name: &str| self.file.repo(name).is_some_and(|repo| repo.credential.is_some());
        let lacks = match (target, credential) {
            (Some(target), Some(name)) => Vec::from_iter(self.file.lack_elsewhere(&target, Some(&name), need)),
            (None, Some(_)) => Vec::new(),
            (Some(target), None) if own(&target) => Vec::from_iter(self.file.lack_elsewhere(&target, None, need)),
            _ => self.file.lacks(self.repos, need),
        };
        for lack in lacks {
            let message = format!("`{}` cannot be done: {lack}", verb.name());
            let code = if matches!(lack, Lack::Absent { .. }) { "server/not-there" } else { "server/no-token" };
            self.reader.error(code, message, key, lack.help());
        }
    }

    fn references(&mut self, verb: Verb, node: &Node) {
        let secrets: Vec<&str> = self.file.secrets.keys().map(String::as_str).collect();
        let targets: Vec<&str> = self.file.notify.keys().map(String::as_str).collect();
        let (keys, what, known): (&[&str], &str, Vec<&str>) = match verb {
            Verb::Shell => (&["secrets"], "secret", secrets),
            Verb::Http => (&["bearer"], "secret", secrets),
            Verb::Chat => (&["secret"], "secret", secrets),
            Verb::Notify => (&["to"], "target", targets),
            _ => return,
        };
        for key in keys {
            let Some((_, value)) = self.reader.get(node, key) else { continue };
            for item in value.as_seq().unwrap_or(std::slice::from_ref(value)) {
                let name = self.reader.raw(item).unwrap_or_default();
                if !known.contains(&name.as_str()) {
                    let message = format!("there is no {what} `{name}`");
                    let section = if what == "target" { "notify" } else { "secrets" };
                    let help = nearest(section, &name, known.iter().copied());
                    self.reader.error("server/reference", message, item.span, help);
                }
            }
        }
        self.mail_targets(verb, node);
    }

    fn mail_targets(&mut self, verb: Verb, node: &Node) {
        if verb != Verb::Notify || self.file.mail.is_some() {
            return;
        }
        let Some((_, value)) = self.reader.get(node, "to") else { return };
        for item in value.as_seq().unwrap_or(std::slice::from_ref(value)) {
            let name = self.reader.raw(item).unwrap_or_default();
            let mails = self.file.notify.get(&name).is_some_and(|target| !target.mail.is_empty());
            if mails {
                let help = "add `mail: {host: …, from: …}` at the top of the server's file";
                let message = format!("`{name}` wants mails, and there is no mail server");
                self.reader.error("server/reference", message, item.span, help);
            }
        }
    }
}
