//! Removes what dead processes of this host left behind: containers, and the volumes of their runs.
//!
//! Never touches what belongs to another host or a living process, an errand within its time, what has an owner that
//! cannot be told for certain, nor a volume that is kept for later runs: those are for whoever keeps them to judge.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use bollard::errors::Error;
use bollard::models::{ContainerSummary, Volume};
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder, RemoveVolumeOptions,
};

use super::container::label;
use super::fault::{PATIENCE, deepest, fault, status, within};
use crate::engine::owner::Owner;
use crate::engine::{EngineError, Swept};

pub(super) async fn sweep(client: &bollard::Docker, owner: &Owner) -> Result<Vec<Swept>, EngineError> {
    // Every state counts: a crash between create and start leaves a container that never ran.
    let (containers, volumes) = tokio::try_join!(list(client, of_host(owner), true), volumes(client, owner))?;
    let mut swept = sweep_containers(client, owner, containers).await;
    // A volume cannot go before the container that uses it.
    swept.extend(sweep_volumes(client, owner, volumes).await);
    Ok(swept)
}

/// Containers with certain labels. Podman also tells of states that Docker has no word for (a container that was
/// attached to and not yet started, one that ended a moment ago), and bollard refuses the whole answer for one of them:
/// then only those in states that both know are asked for.
pub(super) async fn list(
    client: &bollard::Docker,
    mut filters: HashMap<&'static str, Vec<String>>,
    all: bool,
) -> Result<Vec<ContainerSummary>, EngineError> {
    // For Podman what has ended a moment ago has exited, too, until it is asked for its state; so that goes last.
    const KNOWN: [&str; 5] = ["created", "running", "paused", "removing", "exited"];
    const ACTION: &str = "list containers";
    for attempt in 0.. {
        let options = ListContainersOptionsBuilder::default().all(all).filters(&filters).build();
        match tokio::time::timeout(PATIENCE, client.list_containers(Some(options))).await {
            Ok(Ok(found)) => return Ok(found),
            // A state may change between Podman's look at it and its answer: so again, and at last without those.
            Ok(Err(Error::JsonDataError { .. })) if attempt < 10 => {
                let known = match (all, attempt) {
                    (false, _) => &["running"][..],
                    (true, 0..6) => &KNOWN[..],
                    (true, _) => &KNOWN[..4],
                };
                filters.insert("status", known.iter().map(|state| (*state).to_owned()).collect());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(Err(error)) => return Err(fault(ACTION, &error)),
            Err(_) => break,
        }
    }
    Err(EngineError::Gone { reason: format!("no answer when asked to {ACTION}") })
}

fn of_host(owner: &Owner) -> HashMap<&'static str, Vec<String>> {
    HashMap::from([("label", vec![format!("{}={}", label::HOST, owner.host)])])
}

/// All volumes that processes of this host made.
pub(super) async fn volumes(client: &bollard::Docker, owner: &Owner) -> Result<Vec<Volume>, EngineError> {
    let options = ListVolumesOptionsBuilder::default().filters(&of_host(owner)).build();
    Ok(within("list volumes", client.list_volumes(Some(options))).await?.volumes.unwrap_or_default())
}

async fn sweep_containers(client: &bollard::Docker, owner: &Owner, found: Vec<ContainerSummary>) -> Vec<Swept> {
    let mut swept = Vec::new();
    for container in found {
        let labels = container.labels.unwrap_or_default();
        let (Some(id), true) = (container.id, is_orphan(owner, &labels)) else { continue };
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match client.remove_container(&id, Some(options)).await {
            Ok(()) => {}
            // Another sweep, or the container itself, is at it or was faster.
            Err(error) if matches!(status(&error), Some(404 | 409)) => continue,
            Err(error) => {
                // One that cannot be removed must not keep the others, nor today's run.
                tracing::warn!(container = %id, error = %deepest(&error), "a leftover container could not be removed");
                continue;
            }
        }
        let name = container.names.unwrap_or_default().into_iter().next().unwrap_or(id);
        swept.push(Swept {
            name: name.trim_start_matches('/').to_owned(),
            run: labels.get(label::RUN).cloned().unwrap_or_default(),
        });
    }
    swept
}

async fn sweep_volumes(client: &bollard::Docker, owner: &Owner, found: Vec<Volume>) -> Vec<Swept> {
    let mut swept = Vec::new();
    for Volume { name, labels, .. } in found {
        if labels.contains_key(label::KEPT) || !is_orphan(owner, &labels) {
            continue;
        }
        match client.remove_volume(&name, None::<RemoveVolumeOptions>).await {
            Ok(()) => swept.push(Swept { name, run: labels.get(label::RUN).cloned().unwrap_or_default() }),
            // Gone already, or a container still has it: then the next sweep finds both.
            Err(error) if matches!(status(&error), Some(404 | 409)) => {}
            Err(error) => {
                tracing::warn!(volume = %name, error = %deepest(&error), "a leftover volume could not be removed");
            }
        }
    }
    swept
}

pub(super) fn is_orphan(owner: &Owner, labels: &HashMap<String, String>) -> bool {
    let read = |name: &str| labels.get(name).map(String::as_str);
    if let Some(until) = read(label::UNTIL) {
        let until =
            until.parse().ok().and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
        let over = until.is_some_and(|until| until < SystemTime::now());
        return read(label::HOST) == Some(&owner.host) && over;
    }
    let (Some(host), Some(boot), Some(pid), Some(started)) =
        (read(label::HOST), read(label::BOOT), read(label::PID), read(label::PID_START))
    else {
        return false;
    };
    let Ok(pid) = pid.parse() else { return false };
    host == owner.host && owner.surely_gone(boot, pid, started)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(host: &str, boot: &str, pid: &str, started: &str) -> HashMap<String, String> {
        [(label::HOST, host), (label::BOOT, boot), (label::PID, pid), (label::PID_START, started)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn spares_the_living_other_hosts_and_whatever_is_not_told() {
        let me = Owner::current();
        let pid = me.pid.to_string();
        assert!(!is_orphan(&me, &labels(&me.host, &me.boot, &pid, &me.started)), "this process lives");
        assert!(!is_orphan(&me, &labels("elsewhere", "older", "1", "1")), "another host");
        assert!(!is_orphan(&me, &labels(&me.host, &me.boot, "x", "1")), "no process id");
        assert!(!is_orphan(&me, &labels(&me.host, "", &pid, "1")), "no boot");
        assert!(!is_orphan(&me, &HashMap::new()), "no labels");
    }

    #[test]
    fn an_errand_is_taken_once_its_time_is_over_and_lives_on_without_its_process() {
        let me = Owner::current();
        let errand = |host: &str, until: &str| {
            HashMap::from([(label::HOST.to_owned(), host.to_owned()), (label::UNTIL.to_owned(), until.to_owned())])
        };
        assert!(is_orphan(&me, &errand(&me.host, "1")));
        for until in ["99999999999", "soon", "99999999999999999999999"] {
            assert!(!is_orphan(&me, &errand(&me.host, until)), "{until}");
        }
        assert!(!is_orphan(&me, &errand("elsewhere", "1")), "another host");
    }

    #[test]
    fn what_a_script_makes_is_taken_once_its_shell_is_gone() {
        use std::io::BufRead;
        let run = "20261121-093000-4f1c2d9a-x7k2".parse().unwrap();
        let (before, options) = super::super::owned_by_shell(&run);
        let script = format!("{before}\nprintf '%s\\n' {options}\nexec sleep 100\n");
        let mut shell = std::process::Command::new("bash")
            .args(["-c", &script])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let lines = std::io::BufReader::new(shell.stdout.take().unwrap()).lines();
        let labels: HashMap<String, String> = lines
            .map(Result::unwrap)
            .filter(|line| line != "--label")
            .take(5)
            .map(|line| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap())
            .collect();
        let me = Owner::current();
        let alive = is_orphan(&me, &labels);
        shell.kill().unwrap();
        shell.wait().unwrap();
        assert_eq!(labels[label::PID], shell.id().to_string());
        assert!(!alive && is_orphan(&me, &labels), "{labels:?}");
    }

    #[test]
    fn takes_earlier_boots_and_reused_process_ids() {
        let me = Owner::current();
        let pid = me.pid.to_string();
        assert!(is_orphan(&me, &labels(&me.host, "older", &pid, &me.started)));
        assert!(is_orphan(&me, &labels(&me.host, &me.boot, &pid, "1")));
    }
}
