//! What changed from one text of the server's file to the next, in words for the log. Never a value of a secret: references and
//! names only.

use super::File;

/// What is new, gone or different.
pub(super) fn changes(old: &File, new: &File) -> String {
    let mut told = Vec::new();
    let repos = |file: &File| file.repos.iter().map(|repo| repo.name.clone()).collect::<Vec<_>>();
    let handlers = |file: &File| file.handlers.iter().map(|handler| handler.name.clone()).collect::<Vec<_>>();
    let same_repo = |name: &str| match (old.repo(name), new.repo(name)) {
        (Some(before), Some(after)) => before.is_like(after),
        _ => true,
    };
    let handler = |file: &File, name: &str| file.handlers.iter().position(|handler| handler.name == name);
    let same_handler = |name: &str| match (handler(old, name), handler(new, name)) {
        (Some(before), Some(after)) => old.handlers[before] == new.handlers[after],
        _ => true,
    };
    tell(&mut told, "repositories", &repos(old), &repos(new), same_repo);
    tell(&mut told, "handlers", &handlers(old), &handlers(new), same_handler);
    let sections = [
        ("secrets", old.secrets == new.secrets),
        ("credentials", old.credentials == new.credentials),
        ("webhooks", old.webhooks == new.webhooks),
        ("notify", old.notify == new.notify),
        ("mail", old.mail == new.mail),
        ("http", old.http == new.http),
        ("keep", old.server.keep == new.server.keep),
    ];
    let other: Vec<&str> = sections.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect();
    if !other.is_empty() {
        told.push(format!("changed: {}", other.join(", ")));
    }
    let later = at_the_next_start(old, new);
    if !later.is_empty() {
        told.push(format!("counts at the next start: {}", later.join(", ")));
    }
    if told.is_empty() { "nothing in it changed".to_owned() } else { told.join("; ") }
}

fn tell(told: &mut Vec<String>, what: &str, old: &[String], new: &[String], same: impl Fn(&str) -> bool) {
    let listed = |names: Vec<&String>| names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let added = listed(new.iter().filter(|name| !old.contains(name)).collect());
    let removed = listed(old.iter().filter(|name| !new.contains(name)).collect());
    let changed = listed(new.iter().filter(|name| !same(name)).collect());
    for (word, names) in [("added", added), ("removed", removed), ("changed", changed)] {
        if !names.is_empty() {
            told.push(format!("{what} {word}: {names}"));
        }
    }
}

/// What the server was built with.
fn at_the_next_start(old: &File, new: &File) -> Vec<&'static str> {
    let (old, new) = (&old.server, &new.server);
    let keys = [
        ("bind", old.bind == new.bind),
        ("database", old.database == new.database),
        ("workers", old.workers == new.workers),
        ("lease", old.lease == new.lease),
        ("poll_rate", old.poll_rate == new.poll_rate),
    ];
    keys.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        crate::server::file::parse("server.yaml", text.as_bytes()).0.unwrap()
    }

    #[test]
    fn what_changed_in_a_file_is_told_by_name() {
        let step = "on: push, do: [{log: {text: x}}]";
        let old = file(&format!(
            "repos: [{{url: 'https://h/a/one'}}, {{url: 'https://h/a/two'}}]\n\
             handlers: [{{name: first, {step}}}, {{name: second, {step}}}]\n"
        ));
        let new = file(&format!(
            "server: {{bind: '127.0.0.1:1', workers: 3, keep: {{logs: 30d}}}}\nsecrets: {{A: env:B}}\n\
             repos: [{{url: 'https://h/a/two', poll: 90s}}, {{url: 'https://h/a/three'}}]\n\
             handlers: [{{name: second, {step}}}]\n"
        ));
        assert_eq!(
            changes(&old, &new),
            "repositories added: a/three; repositories removed: a/one; repositories changed: a/two; \
             handlers removed: first; changed: secrets, keep; counts at the next start: bind, workers"
        );
        assert_eq!(changes(&new, &new), "nothing in it changed");
        let moved = file("repos: [{url: 'https://h/a/two'}, {url: 'https://h/a/one'}]");
        let here = file("repos: [{url: 'https://h/a/one'}, {url: 'https://h/a/two'}]");
        assert_eq!(changes(&here, &moved), "nothing in it changed", "only moved");
    }
}
