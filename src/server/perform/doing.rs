//! What this server does for a handler, one method an action; each is in the file of its kind beside this one.
//!
//! Whatever an action came to is rid of secrets here, before the journal, a later step or a log sees it.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::{Notify, watch};

use crate::server::action::arguments::{
    Chat, Check, Command, Comment, Dispatch, Http, Label, Log, Mail, Run, Shell, Status, Trigger,
};
use crate::server::action::{Answer, Call, EffectFault, Effects};
use crate::server::file::File;
use crate::server::forges::Forges;
use crate::server::glance::Glance;
use crate::server::metrics::Metrics;
use crate::server::secrets::Secrets;
use crate::store::database::{Database, DatabaseError};

use super::shell::Yard;
use super::turns::Turns;

/// Does it; clones share everything.
#[derive(Clone)]
pub struct Doing {
    pub(super) database: Database,
    /// The repositories, who depends on whom, whom to tell.
    pub(super) file: Arc<File>,
    pub(super) secrets: Secrets,
    pub(super) forges: Forges,
    pub(super) turns: Turns,
    metrics: Metrics,
    /// Reads repositories whose refs are named; where there is none, what is known of them counts.
    pub(super) glance: Option<Glance>,
    /// Where scripts run; none where they do not.
    pub(super) yard: Option<Yard>,
    /// How many things are under way that may not be done twice.
    under_way: watch::Sender<usize>,
    /// How many wait for the end of a run, or for a forge.
    waiting: watch::Sender<usize>,
    /// Is rung when a run was queued.
    pub(super) queued: Arc<Notify>,
    /// Is rung when runs of other repositories were asked for.
    pub(super) asked: Arc<Notify>,
}

impl Doing {
    /// One that rings `queued` when a run was queued, and `asked` when runs of other repositories were asked for.
    pub fn new(database: Database, file: Arc<File>, forges: Forges, queued: Arc<Notify>, asked: Arc<Notify>) -> Self {
        let secrets = Secrets::of(Arc::clone(&file));
        let (under_way, waiting, turns) = (watch::Sender::new(0), watch::Sender::new(0), Turns::default());
        let metrics = Metrics::default();
        let (glance, yard) = (None, None);
        Self { database, file, secrets, forges, turns, metrics, glance, yard, under_way, waiting, queued, asked }
    }

    /// The same, which reads a repository before it runs what one of its refs points to.
    #[must_use]
    pub fn reading(self, glance: Glance) -> Self {
        Self { glance: Some(glance), ..self }
    }

    /// The same, which counts there what could not be told.
    #[must_use]
    pub fn counting(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// What a forge was told, rid of secrets; that it could not be told is counted.
    pub(super) fn reported(&self, kind: &'static str, answer: Answer) -> Answer {
        if let Err(fault) = &answer
            && !fault.called_off
            && !fault.needless
        {
            self.metrics.add("soop_report_failures_total", &[("kind", kind)], 1.0);
        }
        self.secrets.hide(answer)
    }

    /// The same, which takes turns with everybody who has these: with those of an earlier file, too, who still end what
    /// they began.
    #[must_use]
    pub fn taking(self, turns: Turns) -> Self {
        Self { turns, ..self }
    }

    /// The same, which runs scripts there.
    #[must_use]
    pub fn with_scripts(self, yard: Yard) -> Self {
        Self { yard: Some(yard), ..self }
    }

    /// While what is given back lives, something is under way that may not be done twice.
    pub(super) fn busy(&self) -> Counted {
        Counted::among(&self.under_way)
    }

    /// While what is given back lives, somebody waits for the end of a run, or for a forge that may be slow: neither holds up
    /// what others do.
    pub(super) fn waits(&self) -> Counted {
        Counted::among(&self.waiting)
    }
}

/// One of those that are counted.
pub(super) struct Counted(watch::Sender<usize>);

impl Counted {
    fn among(all: &watch::Sender<usize>) -> Self {
        all.send_modify(|count| *count += 1);
        Self(all.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands it over")]
pub(super) fn fault(error: DatabaseError) -> EffectFault {
    EffectFault::new(error.to_string())
}

#[async_trait]
impl Effects for Doing {
    async fn run(&self, call: &Call<'_>, wanted: Run) -> Answer {
        self.run_pipeline(call, wanted).await
    }

    async fn shell(&self, call: &Call<'_>, wanted: Shell) -> Answer {
        self.secrets.hide(self.run_scripts(call, wanted).await)
    }

    async fn comment(&self, call: &Call<'_>, wanted: Comment) -> Answer {
        let _waits = self.waits();
        self.reported("comment", self.write_comment(call, &wanted).await)
    }

    async fn status(&self, call: &Call<'_>, wanted: Status) -> Answer {
        let _waits = self.waits();
        self.reported("status", self.set_status(call, &wanted).await)
    }

    async fn check(&self, call: &Call<'_>, wanted: Check) -> Answer {
        let _waits = self.waits();
        self.reported("check", self.report_check(call, &wanted).await)
    }

    async fn label(&self, call: &Call<'_>, wanted: Label) -> Answer {
        let _waits = self.waits();
        self.reported("label", self.change_labels(call, &wanted).await)
    }

    async fn command(&self, call: &Call<'_>, wanted: Command) -> Answer {
        let _waits = self.waits();
        self.secrets.hide(self.obey(call, wanted).await)
    }

    async fn dispatch(&self, call: &Call<'_>, wanted: Dispatch) -> Answer {
        let _waits = self.waits();
        self.reported("dispatch", self.start_workflow(call, &wanted).await)
    }

    async fn http(&self, call: &Call<'_>, wanted: Http) -> Answer {
        let _busy = self.busy();
        self.secrets.hide(self.request(call, wanted).await)
    }

    async fn mail(&self, call: &Call<'_>, wanted: Mail) -> Answer {
        self.secrets.hide(self.send_mail(call, &wanted).await)
    }

    async fn chat(&self, _: &Call<'_>, wanted: Chat) -> Answer {
        self.secrets.hide(self.write_chat(&wanted).await)
    }

    async fn trigger(&self, call: &Call<'_>, wanted: Trigger) -> Answer {
        self.rebuild(call, wanted).await
    }

    async fn log(&self, call: &Call<'_>, wanted: Log) -> Answer {
        let text: String = wanted.text.chars().filter(|c| !c.is_control()).collect();
        tracing::info!(handler = call.key.handler, event = call.key.event, text);
        Ok(json!({"status": "succeeded", "error": null}))
    }

    async fn resume(&self) {
        self.tell_what_was_left().await;
    }

    async fn quiet(&self) {
        // The sender is ours: it is never gone before.
        let _ = self.under_way.subscribe().wait_for(|count| *count == 0).await;
    }

    fn waiting(&self) -> usize {
        *self.waiting.borrow()
    }
}
