//! The one command that repeats a run's script on this machine: a small bash file in the run's folder.
//!
//! It uses the folder as the run left it, so that tasks which are up to date are not executed again. Secrets are
//! named, never written: they come from the environment of whoever repeats it.

use std::path::Path;

use super::container::Shape;
use super::decide::Decided;
use super::layers::Layered;
use super::prepare::Prepared;
use crate::engine::docker::owned_by_shell;
use crate::engine::volume::Overlay;
use crate::engine::{Mount, SessionSpec};
use crate::environment::Network;
use crate::id::RunId;
use crate::script::{guest, quote};
use crate::secret::Secret;
use crate::store::{Folder, LiveRun};

/// Its name in the run's folder.
pub(super) const FILE: &str = "reproduce.sh";
/// Where the run's script is seen.
const SCRIPT: &str = "/soopervisor/run.sh";

/// What a person types.
pub(super) fn command(file: &Path) -> String {
    format!("bash {}", word(&file.display().to_string()))
}

/// The file's text.
pub(super) fn script(live: &LiveRun, decided: &Decided, prepared: &Prepared, network: &Network) -> String {
    let (run, folder) = (live.id(), live.folder());
    let session = Shape {
        plan: &decided.plan,
        run,
        folder,
        image: &prepared.image.id,
        user: prepared.user,
        environment: &prepared.environment,
        uv: &prepared.uv,
        wheels: &prepared.wheels,
        network,
        has_git: folder.work().join(".git").is_dir(),
    }
    .session();
    let options = options(&session, &decided.plan.secret_names, &network.secret_env);
    if let Some(volume) = &prepared.environment.volume {
        let prefix = &prepared.environment.guest_prefix;
        return far_script((run, folder), &session, (volume, prefix), (options, passwords(&network.secret_env)));
    }
    let (uid, gid) = session.user;
    let show = |mount: &Mount| match &prepared.layered {
        Some(_) if mount.guest.0 == guest::WORK => {
            format!("  --mount type=volume,source=\"$volume\",target={}", guest::WORK)
        }
        _ => bind(&mount.host.0, &mount.guest.0, mount.writable),
    };
    let head = format!("docker run --rm -i --init --user {uid}:{gid} --cap-drop ALL --security-opt no-new-privileges");
    let mut lines = vec![head];
    lines.extend(session.mounts.iter().map(show));
    lines.push(bind(&folder.script(), SCRIPT, false));
    lines.extend(options);
    lines.push(format!("  {} \"${{program[@]}}\"", word(&session.image)));
    let volume = prepared.layered.as_ref().map(|layered| layered_volume(run, folder, layered)).unwrap_or_default();
    format!(
        "#!/usr/bin/env bash\n\
         # Repeats the script of this run, in the same image and environment, with the run's own files.\n\
         {}{}{volume}{}\n",
        program(),
        passwords(&network.secret_env),
        lines.join(" \\\n")
    )
}

/// What is executed: the script, or a command in its place.
fn program() -> String {
    format!(
        "# A command behind it is executed in the place of the pipeline, as `python -c 'import tasks'`.\n\
         program=(bash {SCRIPT})\n\
         if [ $# -gt 0 ]; then\n  \
         program=(bash -c 'source <(sed \"/^begin build$/,\\$d\" {SCRIPT}); run \"$@\"' bash \"$@\")\n\
         fi\n"
    )
}

/// Variables that hold a password are never written: they are whose environment it is.
fn passwords(secrets: &[Secret]) -> String {
    if secrets.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = secrets.iter().map(Secret::name).collect();
    format!(
        "# The run had these with a password in them. They are not written here, but taken from your environment.\n\
         for name in {}; do\n  \
         [[ -v $name ]] || echo \"$name is not set here; the run had it, with a password in it\" >&2\n\
         done\n",
        names.join(" ")
    )
}

fn bind(host: &Path, inside: &str, writable: bool) -> String {
    let more = if writable { "" } else { ",readonly" };
    format!("  --mount {}", word(&format!("type=bind,source={},target={inside}{more}", host.display())))
}

/// Variables, place and limits as the run has them; secrets by their names.
fn options(session: &SessionSpec, secret_names: &[String], secret_env: &[Secret]) -> Vec<String> {
    let env = session.env.iter().map(|(name, value)| format!("  --env {}", word(&format!("{name}={value}"))));
    let secrets = secret_env.iter().map(Secret::name).chain(secret_names.iter().map(String::as_str));
    let secrets = secrets.map(|name| format!("  --env {}", word(name)));
    let memory = session.memory_bytes.map(|bytes| format!("  --memory {bytes} --memory-swap {bytes}"));
    let network = (!session.network).then(|| "  --network none".to_owned());
    let place = format!("  --workdir {}", session.workdir);
    env.chain(secrets).chain([place]).chain(memory).chain(network).collect()
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

/// For an engine that does not see the run's files: they are copied into the container.
fn far_script(
    (run, folder): (&RunId, &Folder),
    session: &SessionSpec,
    (volume, guest_prefix): (&str, &str),
    (options, passwords): (Vec<String>, String),
) -> String {
    let (before, labels) = owned_by_shell(run);
    let (uid, gid) = session.user;
    let mut lines = vec![
        format!(
            "id=$(docker create {labels} -i --init --user {uid}:{gid} --cap-drop ALL --security-opt no-new-privileges"
        ),
        format!("  --mount type=volume,source={volume},target={guest_prefix},readonly"),
    ];
    lines.extend(options);
    lines.push(format!("  {} \"${{program[@]}}\")", word(&session.image)));
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
    let folders = [
        copied(&folder.work(), guest::WORK),
        copied(&folder.output(), guest::OUTPUT),
        copied(&folder.home(), guest::HOME),
        copied(&folder.script(), SCRIPT),
    ];
    // As the run has them: the environment's own pip serves installs, uv stays here.
    let files = session.mounts.iter().filter(|mount| mount.host.0.is_file() && mount.guest.0 != guest::UV);
    let files: String = files.map(|mount| copied(&mount.host.0, &mount.guest.0)).collect();
    format!(
        "#!/usr/bin/env bash\n\
         # Repeats the script of this run, in the same image and environment, with copies of the run's own files: the\n\
         # engine does not see this machine's.\n\
         set -euo pipefail\n{}{passwords}{before}\n{}\ntrap 'docker rm -f \"$id\" >/dev/null' EXIT\n{}{files}docker start -ai \"$id\"\n",
        program(),
        lines.join(" \\\n"),
        folders.concat()
    )
}

fn word(text: &str) -> String {
    quote::word(text.as_bytes()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fake;

    #[test]
    fn what_the_network_needs_is_handed_on_and_passwords_are_only_named() {
        let mut session = fake::spec("20260101-000000-0123abcd-abcd");
        session.env.insert("PIP_CERT".to_owned(), "/etc/ssl/certs/ca-certificates.crt".to_owned());
        session.env.insert("http_proxy".to_owned(), "http://proxy:1 a".to_owned());
        session.memory_bytes = Some(1024);
        let secrets = [Secret::new("PIP_INDEX_URL", "https://me:hunter2@pypi.example.com".into())];
        let lines = options(&session, &["TOKEN".to_owned()], &secrets);
        let expected = [
            "  --env 'PIP_CERT=/etc/ssl/certs/ca-certificates.crt'",
            "  --env 'http_proxy=http://proxy:1 a'",
            "  --env PIP_INDEX_URL",
            "  --env TOKEN",
            "  --workdir /",
            "  --memory 1024 --memory-swap 1024",
            "  --network none",
        ];
        assert_eq!(lines, expected);
        let said = passwords(&secrets);
        assert!(said.contains("for name in PIP_INDEX_URL; do") && !said.contains("hunter2"), "{said}");
        assert_eq!(passwords(&[]), "");
    }

    #[test]
    fn a_command_takes_the_place_of_the_pipeline_after_all_that_comes_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("run.sh");
        let text = "set -euo pipefail\nrun() { \"$@\"; }\nexport GIVEN=7\nbegin build\nfalse\n";
        std::fs::write(&script, text).unwrap();
        let program = program().replace(SCRIPT, &script.display().to_string());
        let again = format!("{program}\"${{program[@]}}\"\n");
        let words = ["-c", &again, "bash", "sh", "-c", "echo \"$1 $GIVEN\"; exit 3", "sh", "a  b"];
        let output = std::process::Command::new("bash").args(words).output().unwrap();
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(3), &b"a  b 7\n"[..]), "{output:?}");
    }
}
