//! From a request and a checkout to a decided run: specs read and checked, everything resolved, the script rendered.
//!
//! Touches neither the engine nor the storage; `--dry-run`, `script` and every real run share it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::declare::{declared, environment_entries};
use super::ending::Ending;
use super::host::Host;
use super::request::RunRequest;
use super::stop::Stop;
use super::{again, hosted};
use crate::diag::{self, Diagnostic};
use crate::environment::{Config, EnvironmentError, Inputs, Problem, RawEnvironment};
use crate::logs::file::GUESTS_CAP;
use crate::plan::{self, Facts, Mode, RunPlan};
use crate::repo::Checkout;
use crate::script;
use crate::secret::{SecretError, SecretSet, SecretSpec};
use crate::spec::{SecretReference, SecretSource, Spanned};
use crate::storage::Location;
use crate::validate::{self, Project};

/// Everything that is known before anything is started.
pub struct Decided {
    /// The commit.
    pub checkout: Arc<Checkout>,
    /// The plan.
    pub plan: Arc<RunPlan>,
    /// The script.
    pub script: String,
    /// environment.yml, taken apart.
    pub environment: RawEnvironment,
    /// Where secrets are.
    pub secrets: Vec<SecretSpec>,
    /// Where outputs go.
    pub location: Location,
    /// What the files declare.
    pub project: Arc<Project>,
    /// How they were read, for reading those of another commit in the same way.
    pub options: validate::Options,
}

/// Decides a run. The findings hold warnings and notes also where it can go on.
///
/// # Errors
/// When the user's files, or what was asked for, cannot run; every finding is in the stop.
pub fn decide(
    checkout: &Arc<Checkout>,
    request: &RunRequest,
    host: &Host,
    findings: &mut Vec<Diagnostic>,
) -> Result<Decided, Stop> {
    let tree = checkout.tree();
    let sample = request.mode == Some(Mode::Sample);
    let options = validate::Options {
        sample,
        pipeline: request.pipeline.clone(),
        environment: request.environment.clone(),
        settings: request.settings.clone(),
        typed: again::command(request).map(|_| request.path.display().to_string()),
    };
    let outcome = validate::check(&tree, &checkout.pipeline_dir, &options);
    findings.extend(outcome.diagnostics);
    let project = match outcome.project {
        Some(project) if !diag::has_errors(findings) => project,
        _ => return Err(refused(findings)),
    };
    let secrets = secrets(request, &project, host, findings)?;
    let asked = asked(request, host, &secrets)?;
    let mut declared = declared(&project);
    if request.no_secrets {
        declared.settings.secret_names.clear();
    }
    if request.hosted {
        let given = request.project.as_ref().unwrap_or(&checkout.project).as_str();
        findings.extend(hosted::project(request, &project.settings, given));
        declared.settings.project = None;
    }
    // config.yaml is the farthest from the user: it fills what neither the command line nor the project says.
    let configured = |value: &Option<Spanned<String>>| value.as_ref().map(|value| value.value.clone());
    declared.settings.image = declared.settings.image.or_else(|| configured(&host.config.image));
    declared.settings.storage = declared.settings.storage.or_else(|| configured(&host.config.storage));
    let facts = Facts {
        revision: checkout.revision.clone(),
        pipeline_dir: checkout.pipeline_dir.clone(),
        project_hint: checkout.project.to_string(),
    };
    let (mut plan, notes) = plan::resolve(&asked, &facts, &declared).map_err(|more| refuse_with(findings, more))?;
    findings.extend(notes);
    // A sample, a part and the full result of one commit are different results.
    plan.revision.sample = plan.sample_flag;
    plan.revision.partial = plan.leaves_tasks_out();
    plan.limits.log_bytes = log_bytes(request, plan.limits.log_bytes);
    let script = script::render(&plan)?;
    let location = location(request, &project, checkout, host, &plan)?;
    let environment = RawEnvironment::of(&project.environment, project.pip.clone());
    let (checkout, plan, project) = (Arc::clone(checkout), Arc::new(plan), Arc::new(project));
    Ok(Decided { checkout, plan, script, environment, secrets, location, project, options })
}

impl Decided {
    /// What the environment is built from.
    ///
    /// # Errors
    /// When entries of environment.yml cannot be used; each is a finding in the stop, at its place.
    pub fn inputs(&self, config: &Config, secrets: &SecretSet) -> Result<Inputs, Stop> {
        // The file decides where these are sent, so it gets only what the user handed to this run.
        let secret = |name: &str| {
            let found = secrets.env.iter().find(|secret| secret.name() == name)?;
            String::from_utf8(found.expose().to_vec()).ok()
        };
        let variable = |name: &str| self.plan.env.get(name).cloned().or_else(|| secret(name));
        Inputs::new(&self.environment, config, &variable).map_err(|error| match error {
            EnvironmentError::Inputs(problems) => {
                refused(&problems.into_iter().map(|problem| self.locate(problem)).collect::<Vec<_>>())
            }
            other => other.into(),
        })
    }

    /// Where environment.yml is, as a word of a command line.
    pub(super) fn environment_file(&self) -> String {
        let file = self.checkout.root.join(&self.project.environment.source.name);
        script::quote::word(file.display().to_string().as_bytes()).unwrap_or_default()
    }

    fn locate(&self, problem: Problem) -> Diagnostic {
        let mut finding = Diagnostic::error("environment/entry", format!("`{}` {}", problem.entry, problem.message));
        if let Some((_, span)) = environment_entries(&self.project.environment).find(|(text, _)| *text == problem.entry)
        {
            finding = finding.at(&self.project.environment.source, span);
        }
        finding.help = problem.help;
        finding
    }
}

fn refused(findings: &[Diagnostic]) -> Stop {
    let errors = findings.iter().filter(|finding| finding.severity == diag::Severity::Error).count();
    let words = if errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") };
    let stop = Stop::new(Ending::InvalidSpec, format!("the project cannot run: {words}"));
    Stop { diagnostics: findings.to_vec(), ..stop }
}

fn refuse_with(findings: &mut Vec<Diagnostic>, more: Vec<Diagnostic>) -> Stop {
    findings.extend(more);
    refused(findings)
}

/// Secrets of the command line, of soopervisor.yaml and of config.yaml; the nearer to the user wins.
fn secrets(
    request: &RunRequest,
    project: &Project,
    host: &Host,
    findings: &mut Vec<Diagnostic>,
) -> Result<Vec<SecretSpec>, Stop> {
    if request.no_secrets {
        return hosted::checked(request, &project.settings, Vec::new())
            .map_err(|refused| refuse_with(findings, refused));
    }
    let mut specs = request.secrets.iter().map(|text| text.parse()).collect::<Result<Vec<SecretSpec>, _>>()?;
    let mut named: Vec<&SecretReference> = host.config.secrets.iter().collect();
    if !request.hosted {
        named.splice(0..0, &project.settings.secrets);
        findings.extend(hosted::reaching(request, &project.settings));
    }
    for reference in named {
        let spec: SecretSpec = as_typed(reference).parse()?;
        if !specs.iter().any(|known| known.name == spec.name) {
            specs.push(spec);
        }
    }
    hosted::checked(request, &project.settings, specs).map_err(|refused| refuse_with(findings, refused))
}

/// What is to be said of secrets before anything starts: the ones that no run can use, else those that hide too much.
pub fn judge_secrets(specs: &[SecretSpec]) -> Vec<Diagnostic> {
    let refused = |error: &SecretError| {
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Diagnostic::error("run/secret", format!("{error}{cause}"))
    };
    let each: Vec<Diagnostic> = specs.iter().filter_map(|spec| spec.resolve().err()).map(|e| refused(&e)).collect();
    if !each.is_empty() {
        return each;
    }
    match SecretSet::resolve(specs) {
        Ok(secrets) => secrets.short().into_iter().map(short_secret).collect(),
        Err(error) => vec![refused(&error)],
    }
}

/// Said of a secret that is found in innocent text as well.
pub(super) fn short_secret(name: &str) -> Diagnostic {
    Diagnostic::warning("run/short-secret", format!("the secret `{name}` is short: hiding it hides other text too"))
        .help("use a value of eight bytes or more, where you can choose it")
}

fn as_typed(reference: &SecretReference) -> String {
    let name = &reference.name.value;
    match &reference.source {
        SecretSource::Env(variable) => format!("{name}=env:{variable}"),
        SecretSource::File(path) => format!("{name}=file:{path}"),
    }
}

/// The request in the plan's words.
fn asked(request: &RunRequest, host: &Host, secrets: &[SecretSpec]) -> Result<plan::Request, Stop> {
    let mut env = BTreeMap::new();
    for ask in &request.env {
        let value = ask.value.clone().or_else(|| (host.variables)(&ask.name)).ok_or_else(|| {
            Stop::new(Ending::InvalidSpec, format!("the variable `{}` is not set here", ask.name))
                .help(format!("set it, or give its value: `--env {}=VALUE`", ask.name))
        })?;
        env.insert(ask.name.clone(), value);
    }
    let limits = &request.limits;
    Ok(plan::Request {
        mode: request.mode,
        project: request.project.as_ref().map(ToString::to_string),
        image: request.image.clone(),
        env,
        secret_names: secrets.iter().map(|secret| secret.name.clone()).collect(),
        memory_bytes: limits.memory_bytes,
        cpus: limits.cpus,
        pids: limits.pids,
        timeout: limits.timeout,
        idle_timeout: limits.idle_timeout,
        disk_bytes: limits.disk_bytes,
        log_bytes: limits.log_bytes,
        network: request.network,
        build_args: request.build_args.clone(),
        storage: request.storage.clone(),
        on_conflict: request.on_conflict,
        split_streams: request.split_streams,
        refresh: request.refresh,
        frozen_as: request.frozen_as.clone(),
        no_reuse: request.no_reuse,
    })
}

/// What a log may grow to. A commit that runs on a server, or without the secrets that its project names, does not say
/// how much of that machine's disk it may have; who asks for the run does.
fn log_bytes(request: &RunRequest, decided: Option<u64>) -> Option<u64> {
    let guest = (request.hosted || request.no_secrets) && request.limits.log_bytes.is_none();
    if guest { Some(decided.map_or(GUESTS_CAP, |bytes| bytes.min(GUESTS_CAP))) } else { decided }
}

/// Where outputs go: a relative folder is meant from where it was written.
fn location(
    request: &RunRequest,
    project: &Project,
    checkout: &Checkout,
    host: &Host,
    plan: &RunPlan,
) -> Result<Location, Stop> {
    let written_in_repo = request.storage.is_none() && project.settings.storage.is_some();
    let base: PathBuf =
        if written_in_repo { checkout.root.join(checkout.pipeline_dir.as_path()) } else { host.current_dir.clone() };
    let location = Location::parse(&plan.storage, &base, &host.remotes())?;
    location.takes(&plan.project)?;
    Ok(location)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_has_a_gibibyte_of_log_unless_who_asks_for_the_run_says_more() {
        let own = RunRequest::default();
        assert_eq!((log_bytes(&own, None), log_bytes(&own, Some(5 << 30))), (None, Some(5 << 30)));
        let guests =
            [RunRequest { hosted: true, ..RunRequest::default() }, RunRequest { no_secrets: true, ..own.clone() }];
        for mut guest in guests {
            let said = [None, Some(5 << 30), Some(1000)].map(|bytes| log_bytes(&guest, bytes));
            assert_eq!(said, [Some(GUESTS_CAP), Some(GUESTS_CAP), Some(1000)]);
            guest.limits.log_bytes = Some(5 << 30);
            assert_eq!(log_bytes(&guest, Some(5 << 30)), Some(5 << 30));
        }
    }

    #[test]
    fn secrets_that_no_run_can_use_are_all_told_in_the_words_of_a_run() {
        let folder = tempfile::tempdir().unwrap();
        let written = |name: &str, value: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, value).unwrap();
            format!("{name}=file:{}", path.display()).parse::<SecretSpec>().unwrap()
        };
        let unset: SecretSpec = "UNSET=env:SOOPERVISOR_NOT_SET_ANYWHERE".parse().unwrap();
        let (tiny, short, good) = (written("TINY", "abc"), written("SHORT", "abcde"), written("GOOD", "correct horse"));
        let said = judge_secrets(&[unset.clone(), good.clone(), tiny.clone(), short.clone()]);
        let words: Vec<String> = said.iter().map(|found| found.message.clone()).collect();
        assert_eq!(words, [unset.resolve().unwrap_err().to_string(), tiny.resolve().unwrap_err().to_string()]);
        assert!(diag::has_errors(&said));
        let said = judge_secrets(&[short, good.clone()]);
        assert!(said.len() == 1 && said[0].message.contains("`SHORT`") && !diag::has_errors(&said), "{said:?}");
        assert!(judge_secrets(std::slice::from_ref(&good)).is_empty());
        assert!(judge_secrets(&[good.clone(), good])[0].message.contains("twice"));
    }
}
