//! The one command that repeats a run's script on this machine: a small bash file in the run's folder.
//!
//! It uses the folder as the run left it, so that tasks which are up to date are not executed again. Secrets are
//! named, never written: they come from the environment of whoever repeats it.

use std::path::Path;

use super::decide::Decided;
use super::layers::Layered;
use super::prepare::Prepared;
use crate::engine::docker::owned_by_shell;
use crate::engine::volume::Overlay;
use crate::id::RunId;
use crate::plan::Network;
use crate::script::{guest, quote};
use crate::store::Folder;

/// Its name in the run's folder.
pub(super) const FILE: &str = "reproduce.sh";

/// What a person types.
pub(super) fn command(file: &Path) -> String {
    format!("bash {}", word(&file.display().to_string()))
}

/// The file's text.
pub(super) fn script(run: &RunId, folder: &Folder, decided: &Decided, prepared: &Prepared) -> String {
    if let Some(volume) = &prepared.environment.volume {
        return far_script(run, folder, decided, prepared, volume);
    }
    let environment = &prepared.environment;
    let mount = |host: &Path, inside: &str, more: &str| {
        format!("  --mount {}", word(&format!("type=bind,source={},target={inside}{more}", host.display())))
    };
    let (uid, gid) = prepared.user;
    let mut lines = vec![
        "#!/usr/bin/env bash".to_owned(),
        "# Repeats the script of this run, in the same image and environment, with the run's own files.".to_owned(),
        format!("docker run --rm -i --init --user {uid}:{gid} --cap-drop ALL --security-opt no-new-privileges"),
        match &prepared.layered {
            None => mount(&folder.work(), guest::WORK, ""),
            Some(_) => format!("  --mount type=volume,source=\"$volume\",target={}", guest::WORK),
        },
        mount(&folder.output(), guest::OUTPUT, ""),
        mount(&folder.home(), guest::HOME, ""),
        mount(&environment.host_prefix, &environment.guest_prefix, ",readonly"),
        mount(&environment.activation, guest::ACTIVATE, ",readonly"),
        mount(&folder.script(), "/soopervisor/run.sh", ",readonly"),
        format!("  --env HOME={} --workdir {}", guest::HOME, guest::WORK),
    ];
    let wheels = prepared.wheels.iter();
    lines.extend(wheels.map(|(number, host)| mount(host, &format!("{}/{number}", guest::WHEELS), ",readonly")));
    lines.extend(limits(decided));
    lines.push(format!("  {} bash /soopervisor/run.sh", word(&prepared.image.id)));
    let head = lines.drain(..2).collect::<Vec<_>>().join("\n");
    let volume = prepared.layered.as_ref().map(|layered| layered_volume(run, folder, layered)).unwrap_or_default();
    format!("{head}\n{volume}{}\n", lines.join(" \\\n"))
}

/// The volume of a run whose folder lies over a kept snapshot; it goes with the command, or with the next run where the
/// command was killed.
fn layered_volume(run: &RunId, folder: &Folder, layered: &Layered) -> String {
    let (before, labels) = owned_by_shell(run);
    let Overlay { lower, upper, scratch } = layered.overlay(folder.work());
    let options =
        format!("o=lowerdir={},upperdir={},workdir={},userxattr", lower.display(), upper.display(), scratch.display());
    let gone = "the kept snapshot is gone: run the commit again";
    format!(
        "[ -d {} ] || {{ echo {} >&2; exit 1; }}\n\
         rm -rf {} # says that the folder was used in haste; nothing else was, since the run\n\
         {before}\n\
         volume=$(docker volume create {labels} --opt type=overlay --opt device=overlay --opt {})\n\
         trap 'docker volume rm \"$volume\" >/dev/null' EXIT\n",
        word(&lower.display().to_string()),
        word(gone),
        word(&scratch.join("work/incompat").display().to_string()),
        word(&options)
    )
}

fn limits(decided: &Decided) -> Vec<String> {
    let plan = &decided.plan;
    let memory = plan.limits.memory_bytes.map(|bytes| format!("  --memory {bytes} --memory-swap {bytes}"));
    let network = (plan.network == Network::None).then(|| "  --network none".to_owned());
    let secrets = plan.secret_names.iter().map(|name| format!("  --env {}", word(name)));
    memory.into_iter().chain(network).chain(secrets).collect()
}

/// For an engine that does not see the run's files: they are copied into the container.
fn far_script(run: &RunId, folder: &Folder, decided: &Decided, prepared: &Prepared, volume: &str) -> String {
    let (before, labels) = owned_by_shell(run);
    let environment = &prepared.environment;
    let (uid, gid) = prepared.user;
    let mut lines = vec![
        format!(
            "id=$(docker create {labels} -i --init --user {uid}:{gid} --cap-drop ALL --security-opt no-new-privileges"
        ),
        format!("  --mount type=volume,source={volume},target={},readonly", environment.guest_prefix),
        format!("  --env HOME={} --workdir {}", guest::HOME, guest::WORK),
    ];
    lines.extend(limits(decided));
    lines.push(format!("  {} bash /soopervisor/run.sh)", word(&prepared.image.id)));
    let copied = |host: &Path, inside: &str| {
        let (above, name) = (host.parent().unwrap_or(host), host.file_name().unwrap_or_default());
        let place = inside.trim_start_matches('/');
        let name = name.to_string_lossy();
        // The name in front of every path is replaced; what links lead to stays.
        format!(
            "tar -C {} --owner={uid} --group={gid} --transform={} -c {} | docker cp - \"$id:/\"\n",
            word(&above.display().to_string()),
            word(&format!("flags=rSH;s,^{name},{place},")),
            word(&name)
        )
    };
    let copies = [
        copied(&folder.work(), guest::WORK),
        copied(&folder.output(), guest::OUTPUT),
        copied(&folder.home(), guest::HOME),
        copied(&environment.activation, guest::ACTIVATE),
        copied(&folder.script(), "/soopervisor/run.sh"),
    ];
    format!(
        "#!/usr/bin/env bash\n\
         # Repeats the script of this run, in the same image and environment, with copies of the run's own files: the\n\
         # engine does not see this machine's.\n\
         set -euo pipefail\n{before}\n{}\ntrap 'docker rm -f \"$id\" >/dev/null' EXIT\n{}docker start -ai \"$id\"\n",
        lines.join(" \\\n"),
        copies.concat()
    )
}

fn word(text: &str) -> String {
    quote::word(text.as_bytes()).unwrap_or_default()
}
