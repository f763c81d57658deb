//! What `serve` does without a file: the repositories of the command line, all of them with one storage.

use serde_json::json;

use super::{Serve, bare};
use crate::cli::console::Console;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::repo::project_of;
use crate::secret::Secret;
use crate::server::file::{self, Commits};
use crate::server::hook::genuine::HookSecrets;
use crate::server::poll::state::FirstSeen;
use crate::server::serve::{RepoAsk, Serving};
use crate::store::Home;

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

pub(super) fn of_words(args: &Serve, home: &Home) -> Result<Serving, Failure> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_repository_is_called_as_its_host_calls_it() {
        assert_eq!(name("https://github.com/acme/churn.git"), "acme/churn");
        assert_eq!(name("git@host:acme/churn.git"), "acme/churn");
        assert_eq!(name("/srv/git/acme/churn/"), "acme/churn");
        assert_eq!(name("https://host/solo"), "solo");
    }
}
