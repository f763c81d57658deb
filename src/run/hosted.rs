//! What a commit may not decide where the machine belongs to somebody else than its author: on a server, everybody who
//! may push to one repository would otherwise read the server's variables and files, and write where it can.
//!
//! Pure: it looks at what was declared and says what is refused.

use super::request::RunRequest;
use crate::diag::Diagnostic;
use crate::secret::SecretSpec;
use crate::spec::{SecretReference, SecretSource, Settings};

/// The secrets that the run gets, where soopervisor.yaml reaches for nothing else outside of the commit.
pub(super) fn checked(
    request: &RunRequest,
    settings: &Settings,
    granted: Vec<SecretSpec>,
) -> Result<Vec<SecretSpec>, Vec<Diagnostic>> {
    let mut refused = Vec::new();
    if request.hosted && !request.no_secrets {
        let missing =
            settings.secrets.iter().filter(|asked| !granted.iter().any(|given| given.name == asked.name.value));
        refused.extend(missing.map(secret));
    }
    if let (true, None, Some(storage)) = (request.hosted, &request.storage, &settings.storage) {
        let message = format!(
            "soopervisor.yaml wants its outputs in `{}`; a server's storages are not a commit's to choose",
            storage.value
        );
        refused.push(
            Diagnostic::error("run/storage-of-commit", message)
                .help("name it for this repository in the server's file: `storage: …`"),
        );
    }
    if refused.is_empty() { Ok(granted) } else { Err(refused) }
}

/// What is said of a project that a commit wants for its outputs and does not get: `given` is where they go.
pub(super) fn project(request: &RunRequest, settings: &Settings, given: &str) -> Option<Diagnostic> {
    let wanted = settings.project.as_ref().filter(|wanted| request.hosted && wanted.value != given)?;
    let message = format!(
        "soopervisor.yaml wants its outputs in the project `{}`; a server's projects are not a commit's to choose, \
         so they go to `{given}`",
        wanted.value
    );
    Some(
        Diagnostic::warning("run/project-of-commit", message)
            .help("name it for this repository in the server's file: `project: …`"),
    )
}

/// On one's own machine: files of it, outside of the repository, that soopervisor.yaml hands to the pipeline.
pub(super) fn reaching(request: &RunRequest, settings: &Settings) -> Vec<Diagnostic> {
    let typed = |name: &str| request.secrets.iter().any(|typed| typed.split('=').next() == Some(name));
    let file = |asked: &SecretReference| match &asked.source {
        SecretSource::File(path) if !typed(&asked.name.value) => Some((asked.name.value.clone(), path.clone())),
        _ => None,
    };
    let outside = |path: &str| path.starts_with(['/', '~']) || path.split('/').any(|part| part == "..");
    let files = settings.secrets.iter().filter_map(file).filter(|(_, path)| outside(path));
    files
        .map(|(name, path)| {
            let message = format!("soopervisor.yaml hands the file `{path}` of this machine to the pipeline, as the secret `{name}`");
            Diagnostic::warning("run/secret-file", message).help(format!(
                "if this is not your own project, look at what its tasks do with it; `--secret {name}=file:PATH` says that you mean it"
            ))
        })
        .collect()
}

fn secret(asked: &SecretReference) -> Diagnostic {
    let name = &asked.name.value;
    let from = match &asked.source {
        SecretSource::Env(variable) => format!("the variable `{variable}`"),
        SecretSource::File(_) => "a file".to_owned(),
    };
    let message = format!(
        "soopervisor.yaml takes the secret `{name}` from {from}; a server's variables and files are not a commit's to name"
    );
    Diagnostic::error("run/secret-of-commit", message).help(format!(
        "in the server's file, say where it is under `secrets`, and give it to the repository: `secrets: [{name}]`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Severity, Span};
    use crate::spec::Spanned;

    fn asks() -> Settings {
        let reference =
            |name: &str, source| SecretReference { name: Spanned::new(name.to_owned(), Span::default()), source };
        Settings {
            secrets: vec![
                reference("TOKEN", SecretSource::Env("TOKEN".to_owned())),
                reference("DATABASE", SecretSource::Env("SOOPERVISOR_DATABASE".to_owned())),
                reference("KEY", SecretSource::File("/root/.ssh/id_rsa".to_owned())),
            ],
            storage: Some(Spanned::new("local:/etc".to_owned(), Span::default())),
            project: Some(Spanned::new("theirs".to_owned(), Span::default())),
            ..Settings::default()
        }
    }

    fn codes(request: &RunRequest, granted: &[&str]) -> Vec<String> {
        let granted: Vec<SecretSpec> = granted.iter().map(|name| name.parse().unwrap()).collect();
        let said = checked(request, &asks(), granted).err().unwrap_or_default();
        said.iter().map(|finding| format!("{} {}", finding.code, finding.message)).collect()
    }

    #[test]
    fn a_commit_names_no_variable_no_file_and_no_storage_of_a_server() {
        let request = RunRequest { hosted: true, ..RunRequest::default() };
        let said = codes(&request, &["TOKEN"]);
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(said[0].contains("`DATABASE`") && said[1].contains("`KEY`"), "{said:?}");
        assert!(!said[1].contains("id_rsa") && said[2].contains("`local:/etc`"), "{said:?}");
    }

    #[test]
    fn a_commit_chooses_no_project_on_a_server_and_hears_where_its_outputs_go_instead() {
        let hosted = RunRequest { hosted: true, ..RunRequest::default() };
        let said = project(&hosted, &asks(), "own").unwrap();
        assert_eq!((said.severity, said.code), (Severity::Warning, "run/project-of-commit"));
        assert!(said.message.contains("`theirs`") && said.message.contains("`own`"), "{}", said.message);
        assert!(project(&hosted, &asks(), "theirs").is_none());
        assert!(project(&RunRequest::default(), &asks(), "own").is_none(), "one's own machine");
    }

    #[test]
    fn what_the_server_gives_is_given_and_on_ones_own_machine_everything_is_ones_own() {
        let storage = Some("box".to_owned());
        let request = RunRequest { hosted: true, storage, ..RunRequest::default() };
        assert!(codes(&request, &["TOKEN", "DATABASE", "KEY"]).is_empty());
        assert!(codes(&RunRequest::default(), &[]).is_empty());
    }

    #[test]
    fn a_file_of_this_machine_that_a_project_asks_for_is_said_unless_the_user_names_it() {
        let said = |secrets: &[&str]| {
            let secrets = secrets.iter().map(|&text| text.to_owned()).collect();
            reaching(&RunRequest { secrets, ..RunRequest::default() }, &asks()).len()
        };
        assert_eq!((said(&[]), said(&["KEY=file:/root/.ssh/id_rsa"]), said(&["TOKEN"])), (1, 0, 1));
    }

    #[test]
    fn a_stranger_gets_no_secret_and_chooses_no_storage_either() {
        let request = RunRequest { hosted: true, no_secrets: true, ..RunRequest::default() };
        let said = codes(&request, &[]);
        assert!(said.len() == 1 && said[0].starts_with("run/storage-of-commit"), "{said:?}");
    }
}
