//! All outputs of a folder on their way, several at once; those that wait to become visible do so in batches, one at a
//! time, while others are still sent.

use std::collections::HashSet;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

use super::publish::names;
use super::send::{Sender, Sent};
use crate::outputs::Output;
use crate::storage::StorageError;
use crate::storage::backend::{Created, Fault, Pending};

/// Files that are made visible by one request.
const BATCH: usize = 500;
/// Files from this size on go first: the longest way decides when all are there.
const LARGE: u64 = 8 * 1024 * 1024;

/// One output, by its place among all, and how it ended.
type Ended = (usize, Sent);

/// What was sent and cannot be seen yet.
#[derive(Default)]
struct Waiting {
    files: Vec<Ended>,
    bytes: u64,
}

impl Waiting {
    fn push(&mut self, ended: Ended) {
        self.bytes += ended.1.pending.as_ref().map_or(0, |pending| pending.size);
        self.files.push(ended);
    }

    /// Whether it is worth a batch; `most` bytes are.
    fn is_full(&self, most: u64) -> bool {
        self.files.len() >= BATCH || self.bytes >= most
    }

    fn take(&mut self) -> Vec<Ended> {
        self.bytes = 0;
        std::mem::take(&mut self.files)
    }
}

/// Sends every output, and makes those visible that wait for it.
pub(super) async fn send_all(sender: &Sender<'_>) -> Result<Vec<Sent>, StorageError> {
    let outputs = &sender.publication.collection.outputs;
    let names = names(sender.remote, sender.publication, sender.folder);
    let lanes = sender.remote.service.traits().lanes.max(1);
    let mut on_their_way = futures::stream::iter(order(outputs))
        .map(|at| {
            let (output, name) = (&outputs[at], &names[at]);
            async move { (at, sender.send(output, name).await) }
        })
        .buffer_unordered(lanes);
    let mut done: Vec<Option<Sent>> = outputs.iter().map(|_| None).collect();
    let mut waiting = Waiting::default();
    // One batch at a time: an account takes no second one.
    let mut settling = FuturesUnordered::new();
    let mut all_sent = false;
    loop {
        let full = waiting.is_full(sender.remote.bounds.unseen);
        if settling.is_empty() && (full || all_sent && !waiting.files.is_empty()) {
            settling.push(settle(sender, waiting.take()));
        }
        if all_sent && settling.is_empty() {
            break;
        }
        tokio::select! {
            sent = on_their_way.next(), if !all_sent => match sent {
                None => all_sent = true,
                Some((at, sent)) => {
                    let sent = sent?;
                    if sent.pending.is_some() {
                        waiting.push((at, sent));
                    } else {
                        done[at] = Some(sent);
                    }
                }
            },
            Some(settled) = settling.next(), if !settling.is_empty() => {
                for (at, sent) in settled? {
                    done[at] = Some(sent);
                }
            }
        }
    }
    Ok(done.into_iter().flatten().collect())
}

/// Large files first and small ones among them: the former keep the line busy, the latter the service.
fn order(outputs: &[Output]) -> Vec<usize> {
    let (mut large, small): (Vec<usize>, Vec<usize>) = (0..outputs.len()).partition(|at| outputs[*at].size >= LARGE);
    large.sort_by_key(|at| std::cmp::Reverse(outputs[*at].size));
    let mut order = Vec::with_capacity(outputs.len());
    let mut small = small.into_iter();
    for one in large {
        order.push(one);
        order.extend(small.by_ref().take(4));
    }
    order.extend(small);
    order
}

/// Makes visible what was sent; what turns out to be taken is compared, or gets another name, and what is not what was
/// sent is sent once more.
async fn settle(sender: &Sender<'_>, mut waiting: Vec<Ended>) -> Result<Vec<Ended>, StorageError> {
    let outputs = &sender.publication.collection.outputs;
    let mut ended = Vec::with_capacity(waiting.len());
    let mut sent_again: HashSet<usize> = HashSet::new();
    while !waiting.is_empty() {
        let pending: Vec<Pending> = waiting.iter_mut().filter_map(|(_, sent)| sent.pending.take()).collect();
        let settled = sender.remote.service.settle(pending.clone()).await;
        if settled.len() != waiting.len() || pending.len() != waiting.len() {
            let fault = Fault::Form("not every file was answered for".to_owned());
            return Err(sender.remote.fault("publish", "", fault));
        }
        let mut damaged = Vec::new();
        for (((at, mut sent), created), pending) in std::mem::take(&mut waiting).into_iter().zip(settled).zip(pending) {
            let output = &outputs[at];
            if matches!(created, Err(Fault::Damaged(_))) {
                sender.forget(output, &sent.name);
                if sent_again.insert(at) {
                    damaged.push((at, sent.name));
                    continue;
                }
            }
            match created.map_err(|fault| sender.wrong(output, &sent.name, fault))? {
                Created::Ours(receipt) => sender.visible(output, &sent.name, &receipt, &pending.checksum),
                Created::Pending(pending) => sent.pending = Some(pending),
                Created::Taken(meta) => {
                    let name = sent.name.clone();
                    match sender.make_way(output, &name, &sent, &pending.checksum, meta).await? {
                        None => {
                            sent.made = false;
                            sender.counted(output);
                        }
                        Some(other) => sent = other,
                    }
                }
            }
            if sent.pending.is_some() {
                waiting.push((at, sent));
            } else {
                ended.push((at, sent));
            }
        }
        if !damaged.is_empty() {
            // One line for all: when a service has lost its sessions, it is every file of the batch.
            tracing::warn!(files = damaged.len(), "files did not arrive as they were sent; once more");
        }
        for (at, sent) in send_again(sender, damaged).await? {
            if sent.pending.is_some() {
                waiting.push((at, sent));
            } else {
                ended.push((at, sent));
            }
        }
    }
    Ok(ended)
}

/// Sends outputs from their first byte, as many at once as ever: all of a batch may have to go again, where what an
/// earlier process sent is there no longer.
async fn send_again(sender: &Sender<'_>, damaged: Vec<(usize, String)>) -> Result<Vec<Ended>, StorageError> {
    let outputs = &sender.publication.collection.outputs;
    let lanes = sender.remote.service.traits().lanes.max(1);
    let mut sending = futures::stream::iter(damaged)
        .map(|(at, name)| async move {
            tracing::debug!(name, "did not arrive as it was sent; once more");
            (at, sender.once_more(&outputs[at], &name).await)
        })
        .buffer_unordered(lanes);
    let mut ended = Vec::new();
    while let Some((at, sent)) = sending.next().await {
        ended.push((at, sent?));
    }
    Ok(ended)
}
