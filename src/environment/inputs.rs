//! What an environment is made from, normalised, and the key that it gives; offline and without any clock.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rattler_conda_types::{GenericVirtualPackage, MatchSpec, ParseMatchSpecOptions};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::config::PLOOMBER_PIN;
use super::error::Problem;
use super::network::{passwords, without_credentials};
use super::sources::{self, Source};
use super::{Config, EnvironmentError, virtuals};
use crate::id::Digest;
use crate::secret::Secret;
use crate::spec::pip::{self, PipLines};
use crate::spec::{Dependency, Environment};

#[cfg(test)]
mod tests;

/// Raised whenever the same inputs would be built differently: a new layout, a new uv, other added packages.
pub(super) const LAYOUT: u32 = 1;

/// Older than 3.12: that release removed modules which projects of ploomber's age still import.
const PYTHON_WHEN_MISSING: &str = "python >=3.8,<3.12";

/// environment.yml as it was written.
#[derive(Debug, Clone, Default)]
pub struct RawEnvironment {
    /// `channels:`; `None` when the file has none.
    pub channels: Option<Vec<String>>,
    /// Entries of `dependencies:` that are text.
    pub conda: Vec<String>,
    /// The `pip:` lists, split.
    pub pip: PipLines,
    /// `variables:`.
    pub variables: BTreeMap<String, String>,
}

impl RawEnvironment {
    /// The file as it was read, with its `pip:` lines split.
    pub fn of(file: &Environment, pip: PipLines) -> Self {
        let conda = file.dependencies.iter().filter_map(|dependency| match dependency {
            Dependency::Conda(entry) => Some(entry.value.clone()),
            Dependency::Pip(_) => None,
        });
        let channels = file.channels.as_ref().map(|list| list.iter().map(|entry| entry.value.clone()).collect());
        Self { channels, conda: conda.collect(), pip, variables: file.variables.clone() }
    }
}

/// What is built, decided.
#[derive(Clone)]
pub struct Inputs {
    pub(super) sources: Vec<Source>,
    pub(super) specs: Vec<MatchSpec>,
    /// Requirement, option and constraint lines with whatever credentials they hold.
    pub(super) pip: Vec<String>,
    pub(super) pip_options: Vec<String>,
    pub(super) pip_constraints: Vec<String>,
    /// What `${NAME}` in those lines stands for: given to the builder, where uv fills it in.
    pub(super) pip_variables: Vec<Secret>,
    pub(super) virtual_packages: Vec<GenericVirtualPackage>,
    pub(super) variables: BTreeMap<String, String>,
    notes: Vec<String>,
}

impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inputs")
            .field("channels", &self.sources.iter().map(|source| &source.canonical).collect::<Vec<_>>())
            .field("specs", &self.specs.iter().map(ToString::to_string).collect::<Vec<_>>())
            .field("pip", &self.pip.iter().map(|line| without_credentials(line)).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// What is hashed, and kept in the key file for people. Never a credential, a mirror or a path of this machine.
#[derive(Serialize)]
struct KeyMaterial<'a> {
    layout: u32,
    platform: &'a str,
    virtual_packages: Vec<String>,
    channels: Vec<&'a str>,
    specs: BTreeSet<String>,
    pip: BTreeSet<String>,
    pip_options: Vec<String>,
    pip_constraints: BTreeSet<String>,
    variables: &'a BTreeMap<String, String>,
}

impl Inputs {
    /// Normalises what the file says; adds what a run needs and says so in the notes. `variable` answers for `${NAME}`
    /// in channel URLs and `pip:` lines: only with what the user chose to hand over, as the file decides where it is sent.
    ///
    /// # Errors
    /// [`EnvironmentError::Inputs`] with every entry that cannot be used.
    pub fn new(
        raw: &RawEnvironment,
        config: &Config,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, EnvironmentError> {
        let mut problems = Vec::new();
        // They repeat lines as written, and are stored and shown.
        let mut notes: Vec<String> = raw.pip.notes.iter().map(|note| without_credentials(note)).collect();
        let mut specs = conda_specs(&raw.conda, &mut problems);
        let report = (&mut notes, &mut problems);
        let sources = sources::resolve(raw.channels.as_deref(), &mut specs, config, variable, report);
        let virtual_packages = virtuals::assumed(config, &mut problems);
        let pip_variables = pip_variables(&raw.pip, variable, &mut problems);
        let mut pip = raw.pip.remote.clone();
        complete(&mut specs, &mut pip, &raw.pip, &mut notes);
        for name in raw.variables.keys() {
            if !is_variable_name(name) {
                problems.push(Problem {
                    entry: name.clone(),
                    message: "is not the name of an environment variable".to_owned(),
                    help: Some("use letters, digits and `_`".to_owned()),
                });
            }
        }
        if !problems.is_empty() {
            return Err(EnvironmentError::Inputs(problems));
        }
        Ok(Self {
            sources,
            specs,
            pip,
            pip_options: raw.pip.options.clone(),
            pip_constraints: raw.pip.constraints.clone(),
            pip_variables,
            virtual_packages,
            variables: raw.variables.clone(),
            notes,
        })
    }

    /// The digest of everything that decides what is built.
    pub fn key(&self, config: &Config) -> Digest {
        Digest(Sha256::digest(self.material(config).to_string()).into())
    }

    /// What was added or replaced, for the user.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Passwords and tokens in channel and requirement URLs, to be masked before the first line is shown.
    pub fn secrets(&self) -> Vec<Secret> {
        let lines = self.pip.iter().chain(&self.pip_options).chain(&self.pip_constraints);
        let in_lines = lines.flat_map(|line| passwords(line)).map(|word| Secret::new("pip", word.into_bytes()));
        let in_channels =
            self.sources.iter().flat_map(Source::secrets).map(|word| Secret::new("channels", word.into_bytes()));
        in_lines.chain(in_channels).chain(self.pip_variables.iter().cloned()).collect()
    }

    /// The hashed text as JSON; also kept beside the built environment.
    pub(super) fn material(&self, config: &Config) -> serde_json::Value {
        let clean = |lines: &[String]| lines.iter().map(|line| without_credentials(line)).collect::<Vec<_>>();
        let material = KeyMaterial {
            layout: LAYOUT,
            platform: &config.platform,
            virtual_packages: self.virtual_packages.iter().map(ToString::to_string).collect(),
            channels: self.sources.iter().map(|source| source.canonical.as_str()).collect(),
            specs: self.specs.iter().map(|spec| without_credentials(&spec.to_string())).collect(),
            pip: clean(&self.pip).into_iter().collect(),
            pip_options: clean(&self.pip_options),
            pip_constraints: clean(&self.pip_constraints).into_iter().collect(),
            variables: &self.variables,
        };
        serde_json::to_value(material).unwrap_or_default()
    }
}

/// Every `${NAME}` of the lines with its value, as pip knows them: capital letters, digits and `_`.
fn pip_variables(
    lines: &PipLines,
    variable: &dyn Fn(&str) -> Option<String>,
    problems: &mut Vec<Problem>,
) -> Vec<Secret> {
    let mut found: Vec<Secret> = Vec::new();
    for line in lines.remote.iter().chain(&lines.options).chain(&lines.constraints) {
        for part in line.split("${").skip(1) {
            let Some((name, _)) = part.split_once('}') else { continue };
            let known = name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
            if !known || !is_variable_name(name) || found.iter().any(|secret| secret.name() == name) {
                continue;
            }
            match variable(name) {
                Some(value) => found.push(Secret::new(name, value.into_bytes())),
                None => problems.push(Problem {
                    entry: without_credentials(line),
                    message: format!("names the variable `{name}`, which is not given to soopervisor"),
                    help: Some(format!("hand it over: `--secret {name}`")),
                }),
            }
        }
    }
    found
}

/// Adds python, pip, ploomber and, where the repository installs itself, its build tools.
fn complete(specs: &mut Vec<MatchSpec>, pip: &mut Vec<String>, lines: &PipLines, notes: &mut Vec<String>) {
    let has = |specs: &[MatchSpec], name: &str| specs.iter().any(|spec| name_of(spec) == Some(name));
    let add = |specs: &mut Vec<MatchSpec>, text: &str| {
        // The text is a constant of this file.
        specs.extend(MatchSpec::from_str(text, ParseMatchSpecOptions::lenient()));
    };
    if !has(specs, "python") {
        add(specs, PYTHON_WHEN_MISSING);
        notes.push(format!("`{PYTHON_WHEN_MISSING}` was added: environment.yml names no python"));
    }
    if !has(specs, "pip") {
        add(specs, "pip");
        notes.push("`pip` was added: environment.yml does not list it under `dependencies:`".to_owned());
    }
    if !lines.local.is_empty() {
        for name in ["setuptools", "wheel"] {
            if !has(specs, name) {
                add(specs, name);
            }
        }
    }
    let named = has(specs, "ploomber") || pip.iter().any(|line| pip::name_of(line).as_deref() == Some("ploomber"));
    if !named {
        pip.push(format!("ploomber=={PLOOMBER_PIN}"));
        notes.push(format!("`ploomber=={PLOOMBER_PIN}` was added: environment.yml does not name ploomber"));
    }
}

pub(super) fn name_of(spec: &MatchSpec) -> Option<&str> {
    spec.name.as_exact().map(rattler_conda_types::PackageName::as_normalized)
}

fn conda_specs(entries: &[String], problems: &mut Vec<Problem>) -> Vec<MatchSpec> {
    let mut specs: Vec<MatchSpec> = Vec::new();
    for entry in entries {
        match MatchSpec::from_str(entry.trim(), ParseMatchSpecOptions::lenient()) {
            Ok(spec) if spec.name.as_exact().is_none() => problems.push(Problem {
                entry: without_credentials(entry),
                message: "names no single package".to_owned(),
                help: Some("write the full name of each package".to_owned()),
            }),
            Ok(spec) => {
                if !specs.contains(&spec) {
                    specs.push(spec);
                }
            }
            Err(error) => problems.push(Problem {
                entry: without_credentials(entry),
                message: if passwords(entry).is_empty() {
                    format!("is not a conda package specification: {error}")
                } else {
                    // The parser's words repeat parts of the entry.
                    "is not a conda package specification".to_owned()
                },
                help: suggestion(entry),
            }),
        }
    }
    specs
}

/// What people mean by the mistakes that real files hold.
fn suggestion(entry: &str) -> Option<String> {
    let entry = entry.trim();
    let start = entry.split([' ', '=', '<', '>', '!', '[']).next().unwrap_or(entry);
    if entry.starts_with("-e") || entry.starts_with("-r") || entry.contains("git+") {
        return Some("this is a pip line; put it under `- pip:`".to_owned());
    }
    if entry.contains("=>") || entry.contains("=<") {
        return Some(format!("write `{}`", entry.replace("=>", ">=").replace("=<", "<=")));
    }
    if let Some(trimmed) = entry.strip_suffix([';', ',']) {
        return Some(format!("write `{}`", trimmed.trim_end()));
    }
    if entry.contains('[') && !entry.contains('=') {
        return Some(format!("extras exist for pip only: move it under `- pip:`, or write `{start}`"));
    }
    if start.contains('*') {
        return Some("write the full name of each package".to_owned());
    }
    if entry.contains("~=") {
        return Some(format!("write `{}`", entry.replace("~=", "=")));
    }
    None
}

fn is_variable_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}
