//! Webhooks: a delivery is found genuine, kept raw, answered; then, in its own time, turned into events.
//!
//! Nothing is lost between the two: what was answered with 202 is in the database, and a delivery whose reader died is
//! read again. What a push says about refs is only a hint: git is asked.

mod asking;
mod dispatch;
pub mod envelope;
pub mod genuine;
mod lanes;
pub mod meaning;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use tokio::sync::Notify;

pub use self::asking::Asking;
pub use self::dispatch::Dispatcher;
use self::envelope::{Envelope, EnvelopeError, Forge};
use self::genuine::{HookSecrets, is_genuine};
use crate::server::metrics::Metrics;
use crate::server::room;
use crate::store::database::{Database, NewDelivery, Receipt, apart};

/// The largest body that is read: GitHub sends at most 25 MB.
pub const LARGEST: usize = 26 << 20;

/// What the sender is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// One word for the sender and for metrics.
    pub word: &'static str,
}

/// Takes deliveries; clones share everything.
#[derive(Clone)]
pub struct Receiver {
    database: Database,
    secrets: Arc<RwLock<HookSecrets>>,
    metrics: Metrics,
    bell: Arc<Notify>,
}

impl Receiver {
    /// One that rings `bell` whenever a delivery was kept.
    pub fn new(database: Database, secrets: HookSecrets, metrics: Metrics, bell: Arc<Notify>) -> Self {
        Self { database, secrets: Arc::new(RwLock::new(secrets)), metrics, bell }
    }

    /// From now on these sign deliveries, for all clones.
    pub(super) fn replace_secrets(&self, secrets: HookSecrets) {
        *self.secrets.write().unwrap_or_else(PoisonError::into_inner) = secrets;
    }

    /// Takes one delivery. Whatever is wrong with it, no part of it is repeated to the sender.
    pub async fn receive<'a>(&self, forge: Forge, header: impl Fn(&str) -> Option<&'a str>, body: &[u8]) -> Reply {
        let began = Instant::now();
        let reply = self.keep(forge, header, body).await;
        self.metrics.add("soop_webhook_total", &[("forge", forge.word()), ("result", reply.word)], 1.0);
        self.metrics.observe("soop_webhook_ack_seconds", began.elapsed().as_secs_f64());
        reply
    }

    /// What is wrong with a delivery by its headers alone: whoever signs nothing is not listened to.
    pub fn refuse<'a>(&self, forge: Forge, header: impl Fn(&str) -> Option<&'a str>) -> Option<Reply> {
        let reply = self.outside(forge, header, &[]).err()?;
        self.metrics.add("soop_webhook_total", &[("forge", forge.word()), ("result", reply.word)], 1.0);
        Some(reply)
    }

    /// The headers, with what proves them, where there is anything to prove it by.
    fn outside<'a>(
        &self,
        forge: Forge,
        header: impl Fn(&str) -> Option<&'a str>,
        body: &[u8],
    ) -> Result<(Envelope, String), Reply> {
        let reply = |status, word| Reply { status, word };
        let envelope = envelope::open(forge, header, body).map_err(|error| match error {
            EnvelopeError::ContentType => reply(415, "content-type"),
            EnvelopeError::Header(_) => reply(400, "no-delivery"),
        })?;
        let proof = envelope.proof.clone().ok_or_else(|| reply(401, "unsigned"))?;
        let secrets = self.secrets.read().unwrap_or_else(PoisonError::into_inner);
        if secrets.of(forge).is_empty() { Err(reply(401, "not-genuine")) } else { Ok((envelope, proof)) }
    }

    async fn keep<'a>(&self, forge: Forge, header: impl Fn(&str) -> Option<&'a str>, body: &[u8]) -> Reply {
        let reply = |status, word| Reply { status, word };
        let (envelope, proof) = match self.outside(forge, header, body) {
            Ok(opened) => opened,
            Err(reply) => return reply,
        };
        let secrets = self.secrets.read().unwrap_or_else(PoisonError::into_inner).clone();
        if !apart(body.len(), || is_genuine(forge, &proof, body, secrets.of(forge))) {
            return reply(401, "not-genuine");
        }
        let new = NewDelivery {
            forge: forge.word(),
            delivery: &envelope.delivery,
            event: &envelope.event,
            content_type: envelope.shape.media_type(),
            body,
        };
        match self.database.receive(&new).await {
            Ok(Receipt::New(_)) => {
                self.bell.notify_one();
                reply(202, "kept")
            }
            Ok(Receipt::Again(_)) => {
                self.bell.notify_one();
                reply(202, "kept-again")
            }
            Ok(Receipt::Known(_)) => reply(200, "known"),
            Err(error) => {
                tracing::error!(error = room::words(&error), "a delivery was not kept");
                reply(503, "not-kept")
            }
        }
    }
}
