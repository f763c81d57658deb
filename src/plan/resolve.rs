//! Deciding: the command line over soopervisor.yaml over defaults, with everything that cannot be said at once.

use std::collections::BTreeMap;

use super::image;
use super::{Declared, Facts, Limits, Mode, Packages, Request, RunPlan};
use crate::diag::{self, Diagnostic};
use crate::id::ProjectName;

/// Variables that bash will not have changed, or that would change how it reads the script.
const RESERVED: &[&str] = &[
    "BASH",
    "BASHOPTS",
    "BASHPID",
    "BASH_ENV",
    "BASH_VERSINFO",
    "BASH_XTRACEFD",
    "ENV",
    "EUID",
    "FUNCNAME",
    "IFS",
    "POSIXLY_CORRECT",
    "PPID",
    "PS4",
    "SHELLOPTS",
    "UID",
];

/// Names that the script keeps for itself.
const OWN_PREFIX: &str = "sv_";

/// The plan, with notes; or every reason why there is none.
///
/// # Errors
/// When a value cannot be used: all diagnostics, errors and notes, in one list.
pub fn resolve(
    request: &Request,
    facts: &Facts,
    declared: &Declared,
) -> Result<(RunPlan, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut said = Vec::new();
    let settings = &declared.settings;
    let project = project(request, facts, settings, &mut said);
    let mode = request.mode.or(settings.mode).unwrap_or(Mode::Full);
    note_sample(mode, declared, &mut said);
    let env = variables(request, settings, &mut said);
    let secret_names = secrets(request, settings, &env, &mut said);
    let build_args = [&settings.build_args[..], &request.build_args].concat();
    check_text(&build_args, declared, &mut said);
    check_entry_point(&build_args, &mut said);
    let tasks = declared.tasks.iter().map(|task| task.planned(&facts.pipeline_dir)).collect();
    let limits = limits(request, settings, &mut said);
    let packages = packages(request, &mut said);
    let storage = request.storage.clone().or_else(|| settings.storage.clone());
    if storage.as_deref().is_none_or(|text| text.trim().is_empty()) {
        said.push(
            Diagnostic::error("plan/no-storage", "no storage is given, so results would have nowhere to go")
                .help("add `--storage local:./artifacts`, or `storage: local:./artifacts` in soopervisor.yaml"),
        );
    }
    let named = request.image.clone().or_else(|| settings.image.clone());
    if let Some(image) = named.as_deref().filter(|named| !image::is_reference(named)) {
        said.push(
            Diagnostic::error("plan/image", format!("`{}` is no name of a container image", image.escape_debug()))
                .help("such as `debian:bookworm-slim`, `registry.example.org:5000/team/image@sha256:…`; in lower case"),
        );
    }
    let (Some(project), false) = (project, diag::has_errors(&said)) else { return Err(said) };
    let plan = RunPlan {
        project,
        revision: facts.revision.clone(),
        mode,
        pipeline_dir: facts.pipeline_dir.clone(),
        entry_point: declared.entry_point.clone(),
        sample_flag: mode == Mode::Sample && declared.declares_sample,
        build_args,
        local_installs: declared.local_installs.clone(),
        packages,
        image: named,
        limits,
        network: request.network.or(settings.network).unwrap_or_default(),
        env,
        secret_names,
        tasks,
        factory: declared.factory.clone(),
        outputs: declared.outputs.clone(),
        storage: storage.unwrap_or_default(),
        on_conflict: request.on_conflict.or(settings.on_conflict).unwrap_or_default(),
        split_streams: request.split_streams || settings.split_streams,
        reuse: !request.no_reuse && !settings.no_reuse,
    };
    Ok((plan, said))
}

fn project(request: &Request, facts: &Facts, settings: &Request, said: &mut Vec<Diagnostic>) -> Option<ProjectName> {
    let name = request.project.as_ref().or(settings.project.as_ref()).unwrap_or(&facts.project_hint);
    let refuse = |e: crate::id::IdError| {
        Diagnostic::error("plan/project-name", e.to_string()).help("say another with `--project NAME`")
    };
    name.parse().map_err(|e| said.push(refuse(e))).ok()
}

fn packages(request: &Request, said: &mut Vec<Diagnostic>) -> Packages {
    match (&request.frozen_as, request.refresh) {
        (None, false) => Packages::AsKept,
        (None, true) => Packages::Anew,
        (Some(commit), refresh) => {
            if refresh {
                let message =
                    "`--refresh` and `--frozen-as` contradict each other: packages are solved anew, or as they were";
                said.push(Diagnostic::error("plan/refresh-and-frozen", message).help("leave one of them out"));
            }
            if commit.trim().is_empty() {
                let message = "`--frozen-as` names no commit";
                said.push(
                    Diagnostic::error("plan/frozen-as", message)
                        .help("name a published one: a sha, a folder's name, a branch, or `latest`"),
                );
            }
            Packages::AsOf(commit.trim().to_owned())
        }
    }
}

fn note_sample(mode: Mode, declared: &Declared, said: &mut Vec<Diagnostic>) {
    if mode == Mode::Sample && !declared.declares_sample {
        said.push(
            Diagnostic::note(
                "plan/sample-not-declared",
                "env.yaml has no key `sample`, so the sample run uses all data",
            )
            .help("add `sample: false` to env.yaml and use `{{sample}}` in pipeline.yaml, for instance in `params`"),
        );
    }
}

fn variables(request: &Request, settings: &Request, said: &mut Vec<Diagnostic>) -> BTreeMap<String, String> {
    let mut env = settings.env.clone();
    env.extend(request.env.clone());
    for (name, value) in &env {
        check_name(name, "variable", said);
        if value.contains('\0') {
            said.push(Diagnostic::error(
                "plan/nul-byte",
                format!("the value of the variable `{name}` holds a NUL byte"),
            ));
        }
    }
    env
}

/// In the order they were named, each once.
fn secrets(
    request: &Request,
    settings: &Request,
    env: &BTreeMap<String, String>,
    said: &mut Vec<Diagnostic>,
) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in settings.secret_names.iter().chain(&request.secret_names) {
        if names.contains(name) {
            continue;
        }
        check_name(name, "secret", said);
        if env.contains_key(name) {
            said.push(
                Diagnostic::error(
                    "plan/secret-and-variable",
                    format!("`{name}` is both a secret and a plain variable"),
                )
                .help("a plain variable is shown in the script and the logs: keep the secret, remove the variable"),
            );
        }
        names.push(name.clone());
    }
    names
}

fn check_name(name: &str, what: &str, said: &mut Vec<Diagnostic>) {
    let starts = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if !starts || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        let message = format!("`{}` cannot be the name of a {what}", name.escape_debug());
        said.push(
            Diagnostic::error("plan/variable-name", message)
                .help("use letters, digits and `_`, not starting with a digit"),
        );
    } else if RESERVED.contains(&name) || name.starts_with(OWN_PREFIX) || name.starts_with("BASH_FUNC_") {
        let message = format!("`{name}` belongs to the shell that runs the script and cannot be a {what}");
        said.push(Diagnostic::error("plan/reserved-variable", message).help("use another name"));
    }
}

/// What was checked and collected is what must run.
fn check_entry_point(build_args: &[String], said: &mut Vec<Diagnostic>) {
    let entry = |arg: &&String| {
        let name = arg.split('=').next().unwrap_or_default();
        (arg.starts_with("-e") && !arg.starts_with("--")) || (name.len() > 4 && "--entry-point".starts_with(name))
    };
    if let Some(arg) = build_args.iter().find(entry) {
        said.push(
            Diagnostic::error(
                "plan/entry-point-argument",
                format!("`{arg}` after `--` would run another pipeline than the one that was checked"),
            )
            .help("name the pipeline with `--pipeline FILE`"),
        );
    }
}

/// No program can be given a NUL, wherever it was written.
fn check_text(build_args: &[String], declared: &Declared, said: &mut Vec<Diagnostic>) {
    let args = build_args.iter().map(|text| ("an argument for `ploomber build`", text));
    let lines = declared.local_installs.iter().map(|text| ("a `pip:` line", text));
    for (what, text) in args.chain(lines).chain([("the entry point", &declared.entry_point)]) {
        if text.contains('\0') {
            said.push(Diagnostic::error(
                "plan/nul-byte",
                format!("{what} holds a NUL byte: `{}`", text.escape_debug()),
            ));
        }
    }
}

fn limits(request: &Request, settings: &Request, said: &mut Vec<Diagnostic>) -> Limits {
    let limits = Limits {
        memory_bytes: request.memory_bytes.or(settings.memory_bytes),
        cpus: request.cpus.or(settings.cpus),
        pids: request.pids.or(settings.pids).unwrap_or(Limits::default().pids),
        timeout: request.timeout.or(settings.timeout),
        idle_timeout: request.idle_timeout.or(settings.idle_timeout),
        disk_bytes: request.disk_bytes.or(settings.disk_bytes),
        log_bytes: request.log_bytes.or(settings.log_bytes),
    };
    let least = 6 << 20; // what the Docker Engine asks for
    if limits.memory_bytes.is_some_and(|bytes| bytes < least) {
        said.push(
            Diagnostic::error("plan/memory-too-small", "no container starts with less than 6 MiB of memory")
                .help("use `--memory 2g`"),
        );
    }
    if limits.pids == 0 {
        said.push(
            Diagnostic::error("plan/no-processes", "`--pids 0` would allow no process at all")
                .help("leave it out for 4096"),
        );
    }
    if limits.cpus.is_some_and(|cpus| !cpus.is_finite() || cpus <= 0.0) {
        said.push(
            Diagnostic::error("plan/no-processors", "a number of processors must be above 0").help("use `--cpus 2`"),
        );
    }
    limits
}
