//! What the forge is told: comments, checks, labels. Each is found again, so that telling it twice shows it once. Statuses are
//! in `statuses.rs`.

use crate::forge::{CheckConclusion, CheckRun, CheckState, Comment as Written, ListedPull};
use crate::id::CommitSha;
use crate::server::action::arguments::{Check, Comment, Label};
use crate::server::action::{Answer, Call, EffectFault, digest};
use crate::server::forges::Place;
use crate::server::handler::OWN_MARK;
use crate::server::line::Rank;
use crate::web::Fault;

use super::doing::Doing;
use serde_json::{Value, json};

/// Characters of a comment; GitHub takes 65,536.
const LONGEST: usize = 65_000;
/// How often something is tried of which nobody knows whether it was done; it is looked for in between.
const TRIES: usize = 3;
pub(super) const USUAL: &str = "soopervisor";

impl Doing {
    /// Writes our comment of a key, or brings it up to date; on each pull request that is meant. What comes of it is the
    /// first one.
    pub(super) async fn write_comment(&self, call: &Call<'_>, wanted: &Comment) -> Answer {
        let place = self.forges.place(&call.event.repo)?;
        let mut first = None;
        for number in pulls(call, &place, wanted.pull.as_deref()).await? {
            let written = self.write_on(call, wanted, &place, number).await?;
            first.get_or_insert(written);
        }
        let written = first.ok_or_else(|| EffectFault::new("no pull request is meant"))?;
        Ok(json!({"id": written.id.to_string(), "url": written.url}))
    }

    async fn write_on(
        &self,
        call: &Call<'_>,
        wanted: &Comment,
        place: &Place,
        number: u64,
    ) -> Result<Written, EffectFault> {
        let key = given(wanted.key.as_deref()).unwrap_or(&call.key.handler);
        // A new one each time is still one a step, also after an interruption.
        let about = if wanted.append { call.key.to_string() } else { format!("{} {number} {key}", place.repo) };
        let mark = format!("{OWN_MARK} {} -->", digest(&about));
        let text: String = wanted.body.chars().take(LONGEST).collect();
        let body = format!("{mark}\n{text}");
        let _turn = self.turns.of(&format!("comment {} {number} {mark}", place.repo)).await;
        put(place, number, &mark, &body).await.map_err(|fault| place.said(&fault))
    }

    /// Reports a check run; one of this name on the commit that is ours is changed.
    pub(super) async fn report_check(&self, call: &Call<'_>, wanted: &Check) -> Answer {
        let place = self.forges.place(&call.event.repo)?;
        let commit = commit(call, wanted.commit.as_deref())?;
        let check = CheckRun {
            name: given(wanted.name.as_deref()).unwrap_or(USUAL).to_owned(),
            state: check_state(wanted.conclusion.trim())?,
            title: one_line(&wanted.title),
            summary: wanted.summary.clone(),
            details_url: given(wanted.url.as_deref()).map(str::to_owned),
        };
        let rank = if matches!(check.state, CheckState::Completed(_)) { Rank::End } else { Rank::Beginning };
        let _place = place.line().turn(rank).await;
        let _turn = self.turns.of(&format!("check {} {commit} {}", place.repo, check.name)).await;
        let id = put_check(&place, &commit, &check).await.map_err(|fault| place.said(&fault))?;
        Ok(json!({"id": id.to_string(), "url": check.details_url}))
    }

    /// Adds labels, and takes labels away.
    pub(super) async fn change_labels(&self, call: &Call<'_>, wanted: &Label) -> Answer {
        let place = self.forges.place(&call.event.repo)?;
        let lines = |labels: &[String]| -> Vec<String> {
            labels.iter().map(|label| one_line(label)).filter(|one| !one.is_empty()).collect()
        };
        let (add, remove) = (lines(&wanted.add), lines(&wanted.remove));
        if add.is_empty() && remove.is_empty() {
            return Err(EffectFault::new("no label is left to add or to take away"));
        }
        for number in pulls(call, &place, wanted.pull.as_deref()).await? {
            if !add.is_empty() {
                place.forge.add_labels(&place.repo, number, &add).await.map_err(|fault| place.said(&fault))?;
            }
            if !remove.is_empty() {
                place.forge.remove_labels(&place.repo, number, &remove).await.map_err(|fault| place.said(&fault))?;
            }
        }
        Ok(Value::Null)
    }
}

/// Looks for our comment before each try: of one that was cut off nobody knows whether it is there.
pub(super) async fn put(place: &Place, number: u64, mark: &str, body: &str) -> Result<Written, Fault> {
    let me = place.me().await?;
    let mut last = Fault::NotFound;
    for _ in 0..TRIES {
        let comments = place.forge.comments(&place.repo, number).await?;
        // Anybody can write the mark; what counts is who did.
        let ours = |comment: &&Written| me.wrote(&comment.author) && comment.body.lines().next() == Some(mark);
        let tried = match comments.iter().find(ours) {
            Some(comment) if comment.body == body => return Ok(comment.clone()),
            Some(comment) => place.forge.edit_comment(&place.repo, number, comment.id, body).await,
            None => place.forge.add_comment(&place.repo, number, body).await,
        };
        match tried {
            Ok(written) => return Ok(written),
            // Somebody removed it meanwhile, or it may have been written.
            Err(fault) if fault == Fault::NotFound || fault.is_passing() => last = fault,
            Err(fault) => return Err(fault),
        }
    }
    Err(last)
}

async fn put_check(place: &Place, commit: &CommitSha, check: &CheckRun) -> Result<u64, Fault> {
    let me = place.me().await?;
    let mut last = Fault::NotFound;
    for _ in 0..TRIES {
        let known = place.forge.checks(&place.repo, commit, &check.name).await?;
        let tried = match known.iter().find(|known| me.is_app(&known.app)) {
            Some(known) => place.forge.update_check(&place.repo, known.id, check).await.map(|()| known.id),
            None => place.forge.create_check(&place.repo, commit, check).await,
        };
        match tried {
            Ok(id) => return Ok(id),
            Err(fault) if fault.is_passing() => last = fault,
            Err(fault) => return Err(fault),
        }
    }
    Err(last)
}

/// The pull request that an event is about.
pub(super) fn pull(call: &Call<'_>) -> Option<u64> {
    call.event.pull.as_ref().map(|pull| pull.number).filter(|number| *number > 0)
}

/// The pull requests that are meant: the one that is named, else the event's, else those that are open and offer what the event
/// is about: its branch, or its commit. Without one nothing is to be done.
async fn pulls(call: &Call<'_>, place: &Place, asked: Option<&str>) -> Result<Vec<u64>, EffectFault> {
    let event = call.event;
    if let Some(asked) = given(asked) {
        let number = asked.trim_start_matches('#').parse();
        let number = number.map_err(|_| EffectFault::new(format!("`{asked}` is no number of a pull request")))?;
        return Ok(vec![number]);
    }
    if let Some(number) = pull(call) {
        return Ok(vec![number]);
    }
    let nothing = || EffectFault::new("the event is about no pull request and no commit; name one with `pull`");
    let commit = event.commit().ok_or_else(nothing)?;
    let listed = place.forge.pulls_of(&place.repo, commit).await.map_err(|fault| place.said(&fault))?;
    // One that is offered from a branch on top of this one has the commit, too.
    let offers = |pull: &ListedPull| match event.branch() {
        Some(branch) if !pull.fork && pull.branch == branch => true,
        _ => pull.head.as_ref() == Some(commit),
    };
    let found: Vec<u64> = listed.iter().filter(|pull| pull.open && offers(pull)).map(|pull| pull.number).collect();
    if found.is_empty() {
        let why = format!("no pull request that is open offers `{}`", event.branch().unwrap_or(commit.as_str()));
        tracing::info!(handler = call.key.handler, event = call.key.event, why, "a step is skipped");
        return Err(EffectFault::needless(why));
    }
    Ok(found)
}

/// The commit that is meant.
pub(super) fn commit(call: &Call<'_>, asked: Option<&str>) -> Result<CommitSha, EffectFault> {
    let Some(asked) = given(asked) else {
        let none = || EffectFault::new("the event is about no commit; name one with `commit`");
        return call.event.commit().cloned().ok_or_else(none);
    };
    asked.parse().map_err(|_| EffectFault::new(format!("`{}` is no full id of a commit", asked.escape_debug())))
}

fn check_state(word: &str) -> Result<CheckState, EffectFault> {
    Ok(CheckState::Completed(match word {
        "in_progress" => return Ok(CheckState::InProgress),
        "success" => CheckConclusion::Success,
        "failure" => CheckConclusion::Failure,
        "neutral" => CheckConclusion::Neutral,
        "cancelled" => CheckConclusion::Cancelled,
        "skipped" => CheckConclusion::Skipped,
        "timed_out" => CheckConclusion::TimedOut,
        "action_required" => CheckConclusion::ActionRequired,
        other => {
            let known = "success, failure, neutral, cancelled, skipped, timed_out, action_required, in_progress";
            return Err(wrong("conclusion", other, known));
        }
    }))
}

pub(super) fn wrong(what: &str, word: &str, known: &str) -> EffectFault {
    EffectFault::new(format!("`{}` is no {what}: write one of {known}", word.escape_debug()))
}

/// A text that a template filled in, unless it filled in nothing.
pub(super) fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}
