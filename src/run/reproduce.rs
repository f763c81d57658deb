//! The one command that repeats a run's script on this machine: a small bash file in the run's folder.
//!
//! It uses the folder as the run left it, so that tasks which are up to date are not executed again. Secrets are
//! named, never written: they come from the environment of whoever repeats it.

use std::path::Path;

use super::decide::Decided;
use super::prepare::Prepared;
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
pub(super) fn script(folder: &Folder, decided: &Decided, prepared: &Prepared) -> String {
    let environment = &prepared.environment;
    let mount = |host: &Path, inside: &str, more: &str| {
        format!("  --mount {}", word(&format!("type=bind,source={},target={inside}{more}", host.display())))
    };
    let (uid, gid) = prepared.user;
    let mut lines = vec![
        "#!/usr/bin/env bash".to_owned(),
        "# Repeats the script of this run, in the same image and environment, with the run's own files.".to_owned(),
        format!("exec docker run --rm -i --init --user {uid}:{gid} --cap-drop ALL --security-opt no-new-privileges"),
        mount(&folder.work(), guest::WORK, ""),
        mount(&folder.output(), guest::OUTPUT, ""),
        mount(&folder.home(), guest::HOME, ""),
        mount(&environment.host_prefix, &environment.guest_prefix, ",readonly"),
        mount(&environment.activation, guest::ACTIVATE, ",readonly"),
        mount(&folder.script(), "/soopervisor/run.sh", ",readonly"),
        format!("  --env HOME={} --workdir {}", guest::HOME, guest::WORK),
    ];
    let wheels = prepared.wheels.iter();
    lines.extend(wheels.map(|(number, host)| mount(host, &format!("{}/{number}", guest::WHEELS), ",readonly")));
    let limits = &decided.plan.limits;
    lines.extend(limits.memory_bytes.map(|bytes| format!("  --memory {bytes} --memory-swap {bytes}")));
    lines.extend((decided.plan.network == Network::None).then(|| "  --network none".to_owned()));
    lines.extend(decided.plan.secret_names.iter().map(|name| format!("  --env {}", word(name))));
    lines.push(format!("  {} bash /soopervisor/run.sh", word(&prepared.image.id)));
    let head = lines.drain(..2).collect::<Vec<_>>().join("\n");
    format!("{head}\n{}\n", lines.join(" \\\n"))
}

fn word(text: &str) -> String {
    quote::word(text.as_bytes()).unwrap_or_default()
}
