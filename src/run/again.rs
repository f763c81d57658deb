//! The command that asks for the same run once more, for whoever has to publish again.
//!
//! Pure: a request in, a command line out. Secrets are named in it as they were; no value is part of a request.

use super::request::{EnvAsk, RunRequest};
use crate::plan::{Mode, Network, OnConflict};
use crate::script::quote;
use crate::spec::amount::show_duration;

/// What a person types; `None` for a run that no command line asks for, as a server's or a workflow's.
pub fn command(request: &RunRequest) -> Option<String> {
    if request.hosted || request.no_secrets || request.settings.is_some() {
        return None;
    }
    let path = request.path.display().to_string();
    let mut line = Line(vec!["soopervisor".to_owned(), "run".to_owned(), word(&path)]);
    line.option("--storage", request.storage.as_deref());
    line.option("--pipeline", request.pipeline.as_deref());
    line.option("--environment", request.environment.as_deref());
    line.option("--project", request.project.as_ref().map(ToString::to_string).as_deref());
    line.flag("--sample", request.mode == Some(Mode::Sample));
    line.flag("--full", request.mode == Some(Mode::Full));
    line.option("--image", request.image.as_deref());
    for EnvAsk { name, value } in &request.env {
        let asked = value.as_ref().map_or_else(|| name.clone(), |value| format!("{name}={value}"));
        line.option("--env", Some(&asked));
    }
    for secret in &request.secrets {
        line.option("--secret", Some(secret));
    }
    limits(request, &mut line);
    line.option("--network", request.network.map(network_word));
    line.option("--on-conflict", request.on_conflict.map(conflict_word));
    line.flag("--allow-dirty", request.allow_dirty);
    line.flag("--split-streams", request.split_streams);
    line.flag("--refresh", request.refresh);
    line.option("--frozen-as", request.frozen_as.as_deref());
    line.flag("--no-reuse", request.no_reuse);
    line.flag("--keep-work", request.keep_work);
    if !request.build_args.is_empty() {
        line.0.push("--".to_owned());
        line.0.extend(request.build_args.iter().map(|arg| word(arg)));
    }
    Some(line.0.join(" "))
}

/// Words, quoted.
struct Line(Vec<String>);

impl Line {
    fn option(&mut self, name: &str, value: Option<&str>) {
        self.0.extend(value.map(|value| format!("{name} {}", word(value))));
    }

    fn flag(&mut self, name: &str, set: bool) {
        self.0.extend(set.then(|| name.to_owned()));
    }
}

fn limits(request: &RunRequest, line: &mut Line) {
    let limits = &request.limits;
    line.option("--timeout", limits.timeout.map(show_duration).as_deref());
    line.option("--idle-timeout", limits.idle_timeout.map(show_duration).as_deref());
    line.option("--memory", limits.memory_bytes.map(size).as_deref());
    line.option("--cpus", limits.cpus.map(|cpus| cpus.to_string()).as_deref());
    line.option("--pids", limits.pids.map(|pids| pids.to_string()).as_deref());
    line.option("--disk", limits.disk_bytes.map(size).as_deref());
    line.option("--log-limit", limits.log_bytes.map(size).as_deref());
}

/// The largest unit that says it exactly.
fn size(bytes: u64) -> String {
    let units = [("g", 1_u64 << 30), ("m", 1 << 20), ("k", 1 << 10)];
    let exact = units.into_iter().find(|(_, unit)| bytes.is_multiple_of(*unit));
    exact.map_or_else(|| bytes.to_string(), |(name, unit)| format!("{}{name}", bytes / unit))
}

fn network_word(network: Network) -> &'static str {
    match network {
        Network::None => "none",
        Network::Bridge => "bridge",
    }
}

fn conflict_word(on_conflict: OnConflict) -> &'static str {
    match on_conflict {
        OnConflict::Fail => "fail",
        OnConflict::Keep => "keep",
        OnConflict::NewRun => "new-run",
    }
}

fn word(text: &str) -> String {
    // Only a NUL cannot be quoted, and no argument has one.
    quote::word(text.as_bytes()).unwrap_or_default()
}
