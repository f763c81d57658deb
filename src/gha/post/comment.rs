//! The one comment of a pull request. Runs of both modes write to it, so it is read before each edit, and what it says of the
//! other mode stays.

use super::{HASTE, Post, Report, Told};
use crate::comment::Marker;
use crate::gha::body::{Asked, Found, Trace, Traces, body, find_marker, replaced};
use crate::gha::progress::State;
use crate::web::Fault;

impl Post {
    pub(super) async fn comment(&self, report: &Report, told: &mut Told) -> Result<(), Fault> {
        let (Some(number), Some(marker)) = (self.pull, &self.marker) else { return Ok(()) };
        let found = self.as_it_stands(number, marker, told).await?;
        let id = found.as_ref().map(|found| found.id);
        let before = found.map(|found| found.traces).unwrap_or_default();
        let (state, failed_before) = (report.state, before.owe_a_success());
        // An edit tells nobody; who saw it fail wants to know.
        let good_news = state == State::Succeeded && failed_before;
        let traces = self.traced(report, if good_news { before.settled() } else { before }, failed_before);
        let text = body(&report.report, marker, &traces);
        match id {
            None => drop(self.new_comment(number, &text, traces, told).await?),
            Some(id) if good_news => {
                let address = self.new_comment(number, &text, traces, told).await?;
                self.forge.edit_comment(&self.repo, number, id, &replaced(&address)).await?;
            }
            Some(id) => match self.forge.edit_comment(&self.repo, number, id, &text).await {
                // Somebody removed it.
                Err(Fault::NotFound) => drop(self.new_comment(number, &text, traces, told).await?),
                edited => {
                    edited?;
                    told.comment = Some(Found { id, traces });
                }
            },
        }
        told.unsure = true;
        Ok(())
    }

    /// Our comment. A run of the other mode may have written to it since, or taken its place.
    async fn as_it_stands(&self, number: u64, marker: &Marker, told: &mut Told) -> Result<Option<Found>, Fault> {
        if told.hasty && told.comment.is_some() {
            let looked = tokio::time::timeout(HASTE / 2, self.look(number, marker, told)).await;
            return Ok(looked.ok().and_then(Result::ok).flatten().or_else(|| told.comment.clone()));
        }
        // Should a list not have yet what we wrote a moment ago, it is there all the same.
        Ok(self.look(number, marker, told).await?.or_else(|| told.comment.clone()))
    }

    async fn look(&self, number: u64, marker: &Marker, told: &mut Told) -> Result<Option<Found>, Fault> {
        if told.me.is_none() {
            told.me = Some(self.forge.me().await?);
        }
        let comments = self.forge.comments(&self.repo, number).await?;
        Ok(told.me.as_ref().and_then(|me| find_marker(&comments, me, marker)))
    }

    /// What the comment says of itself once this was told.
    fn traced(&self, report: &Report, before: Traces, failed_before: bool) -> Traces {
        let Some(run) = self.workflow_run else { return before };
        let commit = &report.report.commit;
        let asked = self.trigger.map(|(_, comment)| Asked { comment, commit: commit.clone() });
        before.with(Trace { run, mode: report.report.mode, state: report.state, failed_before, asked })
    }

    /// Whether a run of the other mode that read our comment before we wrote to it has written its own over ours. Then it
    /// is told once more: what goes on must be found there by whoever is asked for a second one of the kind.
    pub(super) async fn was_overwritten(&self, report: &Report, told: &mut Told) -> bool {
        told.unsure = false;
        let (Some(number), Some(marker), Some(run)) = (self.pull, &self.marker, self.workflow_run) else {
            return false;
        };
        // What cannot be read now was written all the same.
        let Ok(Some(found)) = self.look(number, marker, told).await else { return false };
        // A later run of our own mode that got in all the same is left what is its own.
        let stands = found.traces.of(report.report.mode).is_some_and(|trace| trace.run >= run);
        if !stands {
            told.text.clear();
        }
        !stands
    }

    /// Where people read it.
    async fn new_comment(&self, number: u64, text: &str, traces: Traces, told: &mut Told) -> Result<String, Fault> {
        // Should this be cut off, nobody knows whether it is there: it is looked for again.
        told.comment = None;
        let comment = self.forge.add_comment(&self.repo, number, text).await?;
        told.comment = Some(Found { id: comment.id, traces });
        Ok(comment.url)
    }
}
