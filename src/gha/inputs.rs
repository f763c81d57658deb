//! What the runner and the workflow's author say: `INPUT_*` and `GITHUB_*` variables. Nobody else can write these.

use std::path::{Path, PathBuf};

use super::{GhaError, Previews};
use crate::forge::RepoId;
use crate::forge::github::{App, Login};
use crate::id::{CommitSha, ProjectName, RelPath};
use crate::plan::{Mode, Network};
use crate::secret::Secret;

/// How much data a run takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SampleInput {
    /// A sample for pushes and pull requests, all of it when somebody asks.
    #[default]
    Auto,
    /// Always a sample.
    Yes,
    /// Always all.
    No,
}

impl SampleInput {
    /// The mode, where the input leaves it open.
    pub fn or(self, usual: Mode) -> Mode {
        match self {
            Self::Auto => usual,
            Self::Yes => Mode::Sample,
            Self::No => Mode::Full,
        }
    }
}

/// Inputs of the action.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// How GitHub is asked.
    pub login: Option<Login>,
    /// What git shows the server; an App's key is not for git.
    pub git_token: Option<Secret>,
    /// Whether the login is an App's, which has check runs.
    pub checks: bool,
    /// The storage, as `--storage` takes it.
    pub storage: Option<String>,
    /// First folder in the storage.
    pub project: Option<ProjectName>,
    /// The folder in the repository that holds pipeline.yaml.
    pub path: RelPath,
    /// How much data.
    pub sample: SampleInput,
    /// Secrets for the pipeline, as `--secret` takes them.
    pub secrets: Vec<String>,
    /// Whether a comment is written.
    pub comment: bool,
    /// The network of a fork's pipeline.
    pub fork_network: Network,
    /// Whether code of a fork's packages may run while its environment is built.
    pub fork_builds: bool,
    /// Whether the runner ends with its job, where the workflow says so.
    pub ephemeral: Option<bool>,
    /// Where readers of the pull request see pictures.
    pub previews: Previews,
}

/// Where the runner put things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The repository.
    pub repo: RepoId,
    /// Its number, which stays when it is renamed; 0 where the runner does not say.
    pub repo_id: u64,
    /// `push`, `issue_comment`, …
    pub event: String,
    /// Its payload.
    pub event_path: PathBuf,
    /// The commit that the workflow is of.
    pub sha: CommitSha,
    /// The checked-out repository.
    pub workspace: PathBuf,
    /// Thrown away with the job.
    pub temp: PathBuf,
    /// `https://github.com`, or a server of one's own.
    pub server: String,
    /// Its API.
    pub api: String,
    /// This run of the workflow.
    pub run: Option<u64>,
    /// How often that was started: more than once where a person asked for it.
    pub attempt: u64,
    /// Where its log is.
    pub run_url: Option<String>,
    /// The workflow's file: `.github/workflows/soopervisor-comment.yml`; where an older runner does not say, `None`.
    pub workflow: Option<String>,
    /// Whether the runner was made for this one job, as GitHub's are.
    pub hosted: bool,
}

type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A variable that is set to something.
fn set(variable: Variable<'_>, name: &str) -> Option<String> {
    variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// An input; composite actions map them to variables with `_`, the runner itself keeps `-`.
fn input(variable: Variable<'_>, name: &str) -> Option<String> {
    let upper = name.to_ascii_uppercase();
    set(variable, &format!("INPUT_{}", upper.replace('-', "_"))).or_else(|| set(variable, &format!("INPUT_{upper}")))
}

impl Context {
    /// Reads what the runner set.
    ///
    /// # Errors
    /// When one is missing or cannot be.
    pub fn read(variable: Variable<'_>) -> Result<Self, GhaError> {
        let need = |name: &'static str| set(variable, name).ok_or(GhaError::NoRunner(name));
        let wrong = |name, why: String| GhaError::Input { name, why };
        let repo: RepoId =
            need("GITHUB_REPOSITORY")?.parse().map_err(|error| wrong("GITHUB_REPOSITORY", format!("{error}")))?;
        let sha = need("GITHUB_SHA")?.parse().map_err(|error| wrong("GITHUB_SHA", format!("{error}")))?;
        let server = set(variable, "GITHUB_SERVER_URL").unwrap_or_else(|| "https://github.com".to_owned());
        let server = server.trim_end_matches('/').to_owned();
        let api = set(variable, "GITHUB_API_URL").unwrap_or_else(|| api_of(&server));
        // `octo-org/churn/.github/workflows/soopervisor.yml@refs/heads/main`
        let workflow = set(variable, "GITHUB_WORKFLOW_REF").and_then(|text| {
            let (path, _) = text.split_once('@')?;
            Some(path.splitn(3, '/').nth(2)?.to_owned())
        });
        let run = set(variable, "GITHUB_RUN_ID").and_then(|text| text.parse().ok());
        Ok(Self {
            run_url: run.map(|run: u64| format!("{server}/{repo}/actions/runs/{run}")),
            repo,
            repo_id: set(variable, "GITHUB_REPOSITORY_ID").and_then(|text| text.parse().ok()).unwrap_or(0),
            event: need("GITHUB_EVENT_NAME")?,
            event_path: need("GITHUB_EVENT_PATH")?.into(),
            sha,
            workspace: need("GITHUB_WORKSPACE")?.into(),
            temp: set(variable, "RUNNER_TEMP").map_or_else(std::env::temp_dir, PathBuf::from),
            server,
            api,
            run,
            attempt: set(variable, "GITHUB_RUN_ATTEMPT").and_then(|text| text.parse().ok()).unwrap_or(1),
            workflow,
            hosted: set(variable, "RUNNER_ENVIRONMENT").is_some_and(|kind| kind == "github-hosted"),
        })
    }
}

/// Where a server's API is, when the runner does not say.
fn api_of(server: &str) -> String {
    match server {
        "https://github.com" => crate::forge::github::PUBLIC_API.to_owned(),
        server => format!("{server}/api/v3"),
    }
}

impl Inputs {
    /// Reads the action's inputs.
    ///
    /// # Errors
    /// When one cannot be; it is said what would be taken.
    pub fn read(variable: Variable<'_>, repo: &RepoId) -> Result<Self, GhaError> {
        let wrong = |name, why: String| GhaError::Input { name, why };
        let path = input(variable, "path").unwrap_or_default();
        let path = RelPath::normalise(Path::new(&path).to_string_lossy().trim_start_matches("./"))
            .map_err(|error| wrong("path", format!("{error}: name a folder of the repository")))?;
        let sample = match input(variable, "sample").as_deref() {
            None | Some("auto") => SampleInput::Auto,
            Some("true") => SampleInput::Yes,
            Some("false") => SampleInput::No,
            Some(_) => return Err(wrong("sample", "write `auto`, `true` or `false`".to_owned())),
        };
        let comment = match input(variable, "comment").as_deref() {
            None | Some("auto" | "true") => true,
            Some("never" | "false") => false,
            Some(_) => return Err(wrong("comment", "write `auto` or `never`".to_owned())),
        };
        let fork_network = match input(variable, "fork-network").as_deref() {
            None | Some("none") => Network::None,
            Some("bridge") => Network::Bridge,
            Some(_) => return Err(wrong("fork-network", "write `none` or `bridge`".to_owned())),
        };
        let switch = |name: &'static str| match input(variable, name).as_deref() {
            None | Some("auto") => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(wrong(name, "write `true` or `false`".to_owned())),
        };
        let previews = Previews::read(input(variable, "preview-url"), input(variable, "preview-days").as_deref());
        let project = input(variable, "project").map(|name| name.parse()).transpose();
        let secrets = input(variable, "secrets").unwrap_or_default();
        let login = login(variable, repo)?;
        let token = input(variable, "github-token").or_else(|| set(variable, "GITHUB_TOKEN"));
        Ok(Self {
            checks: matches!(login, Some(Login::App(_) | Login::Workflow(_))),
            login,
            git_token: token.map(|token| Secret::new("github-token", token.into_bytes())),
            storage: input(variable, "storage"),
            project: project.map_err(|error: crate::id::IdError| wrong("project", error.to_string()))?,
            path,
            sample,
            secrets: secrets
                .split([',', '\n', ' '])
                .map(str::trim)
                .filter(|s| !s.is_empty())
                .map(str::to_owned)
                .collect(),
            comment,
            fork_network,
            fork_builds: switch("fork-builds")?.unwrap_or(false),
            ephemeral: switch("ephemeral-runner")?,
            previews: previews.map_err(|(name, why)| wrong(name, why))?,
        })
    }

    /// What must never be seen in a log, as far as the Action itself knows it.
    pub fn hidden(&self) -> Vec<&Secret> {
        let key = match &self.login {
            Some(Login::App(app)) => Some(&app.key),
            _ => None,
        };
        self.git_token.iter().chain(key).collect()
    }
}

/// An App's key before a token: who gives both means the App.
fn login(variable: Variable<'_>, repo: &RepoId) -> Result<Option<Login>, GhaError> {
    if let Some(id) = input(variable, "app-id") {
        let key = input(variable, "app-private-key").ok_or_else(|| GhaError::Input {
            name: "app-private-key",
            why: "`app-id` is given without it".to_owned(),
        })?;
        let key = Secret::new("app-private-key", key.into_bytes());
        return Ok(Some(Login::App(App { id, key, repo: repo.clone(), installation: None })));
    }
    let token = input(variable, "github-token").or_else(|| set(variable, "GITHUB_TOKEN"));
    Ok(token.map(|token| {
        // Tokens of installations, `GITHUB_TOKEN` among them, begin like this; older servers' have no prefix.
        let person = ["ghp_", "github_pat_", "gho_", "ghu_"].iter().any(|prefix| token.starts_with(prefix));
        let secret = Secret::new("github-token", token.into_bytes());
        if person { Login::Token(secret) } else { Login::Workflow(secret) }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(pairs: &[(&str, &str)]) -> Result<Inputs, GhaError> {
        let find = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Inputs::read(&find, &"a/b".parse().unwrap())
    }

    #[test]
    fn inputs_are_read_in_both_spellings_and_checked() {
        let read = inputs(&[
            ("INPUT_STORAGE", "box"),
            ("INPUT_PATH", "./ml/churn"),
            ("INPUT_SAMPLE", "true"),
            ("INPUT_SECRETS", "DB_PASSWORD, TOKEN=env:X\nKEY"),
            ("INPUT_GITHUB-TOKEN", "ghs_x"),
            ("INPUT_FORK_NETWORK", "bridge"),
        ])
        .unwrap();
        assert_eq!(read.storage.as_deref(), Some("box"));
        assert_eq!(read.path.to_string(), "ml/churn");
        assert_eq!((read.sample, read.fork_network), (SampleInput::Yes, Network::Bridge));
        assert_eq!(read.secrets, ["DB_PASSWORD", "TOKEN=env:X", "KEY"]);
        assert!(read.checks && matches!(read.login, Some(Login::Workflow(_))));
        assert!(!format!("{read:?}").contains("ghs_x"));
        for (name, value) in [
            ("INPUT_SAMPLE", "yes"),
            ("INPUT_PATH", "../x"),
            ("INPUT_COMMENT", "x"),
            ("INPUT_PROJECT", "a/b"),
            ("INPUT_FORK_NETWORK", "host"),
            ("INPUT_APP_ID", "4"),
            ("INPUT_PREVIEW_URL", "example.org"),
            ("INPUT_PREVIEW_DAYS", "8"),
            ("INPUT_FORK_BUILDS", "yes"),
            ("INPUT_EPHEMERAL_RUNNER", "1"),
        ] {
            assert!(matches!(inputs(&[(name, value)]), Err(GhaError::Input { .. })), "{name}");
        }
        assert!(matches!(inputs(&[("GITHUB_TOKEN", "ghp_x")]).unwrap().login, Some(Login::Token(_))));
    }

    #[test]
    fn a_server_of_ones_own_has_its_api_below_it() {
        assert_eq!(api_of("https://github.com"), "https://api.github.com");
        assert_eq!(api_of("https://ghe.example.org"), "https://ghe.example.org/api/v3");
    }

    #[test]
    fn without_a_runner_it_is_said_what_starts_this() {
        let error = Context::read(&|_| None).unwrap_err().to_string();
        assert!(error.contains("GITHUB_REPOSITORY") && error.contains("init --github"), "{error}");
    }
}
