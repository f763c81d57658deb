//! How a container ends: its exit code, and whether the kernel killed a process of it for memory.
//!
//! Containers remove themselves, so that nothing stays behind when we die; afterwards there is nothing left to inspect.
//! The code therefore comes from a wait that is registered before the start, the memory kill from the engine's events.

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::EventMessage;
use bollard::query_parameters::{EventsOptionsBuilder, WaitContainerOptionsBuilder};
use futures::StreamExt as _;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::fault::deepest;

/// Events of one container come in order, so a memory kill is known once its death is; this long we wait for that.
const DEATH_NOTICE: Duration = Duration::from_secs(2);

/// The kernel tells the engine of a memory kill on another way than of the death that follows: on a busy machine the
/// death may be told first. A container that died by KILL is listened to for so long afterwards.
const AFTERWORD: Duration = Duration::from_secs(1);
/// 128 + KILL.
const KILLED: i64 = 137;

/// What is known so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fate {
    /// The exit code.
    pub(super) code: Option<i64>,
    /// Some process was killed for memory.
    pub(super) oom_killed: bool,
    /// Nothing more will be learnt; with no `code`, the engine went away.
    pub(super) settled: bool,
    /// Why nothing more will be learnt.
    pub(super) lost: Option<String>,
}

/// Follows one container in the background until it has ended or the engine is lost.
pub(super) struct Watch {
    fate: watch::Sender<Fate>,
    task: AbortHandle,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    /// Begins to follow; must be called before the container is started.
    pub(super) fn begin(client: bollard::Docker, id: String) -> Self {
        Self::follow(client, id, watch::Sender::default())
    }

    /// Begins anew after the engine was away; those who asked to be told go on listening.
    pub(super) fn resume(self, client: bollard::Docker, id: String) -> Self {
        self.task.abort();
        let fate = self.fate.clone();
        // What was seen stays seen; that nothing more would come has turned out to be wrong.
        fate.send_modify(|fate| (fate.settled, fate.lost) = (false, None));
        Self::follow(client, id, fate)
    }

    fn follow(client: bollard::Docker, id: String, fate: watch::Sender<Fate>) -> Self {
        let known = fate.clone();
        let task = tokio::spawn(async move {
            follow(&client, &id, &known).await;
            known.send_modify(|fate| fate.settled = true);
        });
        Self { fate, task: task.abort_handle() }
    }

    /// For what the container itself tells.
    pub(super) fn known(&self) -> watch::Sender<Fate> {
        self.fate.clone()
    }

    /// For a stop from elsewhere.
    pub(super) fn subscribe(&self) -> watch::Receiver<Fate> {
        self.fate.subscribe()
    }

    /// Waits until all is known.
    pub(super) async fn settled(&mut self) -> Fate {
        match self.fate.subscribe().wait_for(|fate| fate.settled).await {
            Ok(fate) => fate.clone(),
            // The task went without a word: the runtime is shutting down.
            Err(_) => Fate { settled: true, lost: Some("the watch on it ended".into()), ..Fate::default() },
        }
    }
}

async fn follow(client: &bollard::Docker, id: &str, known: &watch::Sender<Fate>) {
    // A start in the past: the engine replays what happened between our request and its own reading of it.
    let filters = HashMap::from([("container", vec![id]), ("event", vec!["oom", "die", "died"])]);
    let events = EventsOptionsBuilder::default().since("1").filters(&filters).build();
    let mut events = pin!(client.events(Some(events)).fuse());
    let waiting = WaitContainerOptionsBuilder::default().condition("next-exit").build();
    let mut waiting = pin!(client.wait_container(id, Some(waiting)).fuse());
    let (mut exited, mut dead, mut blind, mut deaf) = (false, false, false, false);
    let mut lost = String::from("its answers ended");

    while !(blind && deaf) {
        tokio::select! {
            event = events.next(), if !deaf => match event {
                Some(Ok(event)) => {
                    dead |= learn(&event, known);
                    let killed = known.borrow().code == Some(KILLED) && !known.borrow().oom_killed;
                    if dead && !killed {
                        return;
                    }
                }
                Some(Err(error)) => { lost = deepest(&error); deaf = true; }
                None => deaf = true,
            },
            ended = waiting.next(), if !blind => {
                blind = true;
                match ended {
                    Some(Ok(answer)) => exited = tell(known, answer.status_code),
                    // bollard calls every code but 0 an error.
                    Some(Err(Error::DockerContainerWaitError { code, .. })) => exited = tell(known, code),
                    Some(Err(error)) => lost = deepest(&error),
                    None => {}
                }
            }
            () = tokio::time::sleep(if dead { AFTERWORD } else { DEATH_NOTICE }), if exited || dead => return,
        }
    }
    if !exited {
        known.send_modify(|fate| fate.lost = Some(lost));
    }
}

fn tell(known: &watch::Sender<Fate>, code: i64) -> bool {
    known.send_modify(|fate| fate.code = Some(code));
    true
}

/// Whether the container has died, with its code known.
fn learn(event: &EventMessage, known: &watch::Sender<Fate>) -> bool {
    match event.action.as_deref() {
        Some("oom") => known.send_modify(|fate| fate.oom_killed = true),
        Some("die" | "died") => {
            let attributes = event.actor.as_ref().and_then(|actor| actor.attributes.as_ref());
            let code = ["exitCode", "containerExitCode"].iter().find_map(|key| attributes?.get(*key)?.parse().ok());
            known.send_modify(|fate| fate.code = fate.code.or(code));
            return known.borrow().code.is_some();
        }
        _ => {}
    }
    false
}
