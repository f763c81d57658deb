//! Which command goes on, of several of a kind that come at once.
//!
//! Each puts our eyes under its own comment, then looks under which others they stand. Reactions have numbers that grow, and
//! everybody looks after having put theirs: of two, the later one sees the earlier one, and the lower number goes on. A
//! command is out of the way once our comment knows of its run, or an answer of ours says that it lost. Projects of one
//! repository share the eyes, which takes nothing away: what is compared are two comments.

use jiff::{SignedDuration, Timestamp};

use super::body::{Traces, find_marker, lost};
use super::command::Command;
use super::decide::Reason;
use super::errand::Errand;
use super::event::{CommentEvent, Event};
use super::face;
use super::facts::{Us, still_running};
use crate::forge::{Comment, Forge, Me, Permission, Reacted, RepoId};
use crate::plan::Mode;
use crate::web::Fault;

/// A command that our comment does not know so long after our eyes is one whose job was killed.
const PATIENCE: SignedDuration = SignedDuration::from_mins(15);
/// Commands that are asked about, the last ones, and people who gave some.
const MOST: usize = 20;

/// Whether a command goes on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claim {
    /// Why it does not.
    pub lost: Option<Reason>,
    /// What GitHub could not be told or asked.
    pub faults: Vec<String>,
}

impl Errand {
    /// Says that a command was heard, and finds out whether it goes on. `again` where it was carried out before. Where no
    /// comment is written, nobody could know when another one ended, and every command goes on.
    pub async fn claim(&self, mode: Mode, again: bool) -> Claim {
        let Event::Comment(comment) = &self.event else { return Claim::default() };
        if !self.inputs.comment {
            return Claim { lost: None, faults: self.heard().await };
        }
        let again = again || self.context.attempt > 1;
        let us = self.us(comment.number);
        let way = match self.asked() {
            Ok(forge) => in_the_way(&**forge, &self.context.repo, comment, mode, &us, again).await,
            Err(_) => return Claim::default(),
        };
        match way {
            Ok(lost) => Claim { lost, faults: Vec::new() },
            // Two runs are better than none.
            Err(fault) => {
                Claim { lost: None, faults: vec![format!("whether another command came first is not known: {fault}")] }
            }
        }
    }
}

/// Puts our eyes under a command, and finds what keeps it from being carried out.
async fn in_the_way(
    forge: &dyn Forge,
    repo: &RepoId,
    comment: &CommentEvent,
    mode: Mode,
    us: &Us,
    again: bool,
) -> Result<Option<Reason>, Fault> {
    let own = forge.put_reaction(repo, comment.number, comment.id, face::HEARD).await?;
    let me = forge.me().await?;
    let comments = forge.comments(repo, comment.number).await?;
    let traces = find_marker(&comments, &me, &us.marker).map(|found| found.traces).unwrap_or_default();
    if let Some(running) = still_running(forge, repo, &traces, mode, us).await? {
        return Ok(Some(Reason::Busy(running)));
    }
    let waiting = comments.iter().rev().filter(|other| other.id != comment.id && asks_for(other, mode));
    let waiting = waiting.filter(|other| !is_over(other, &comments, &me, us, &traces, mode));
    let (mut people, mut looked) = (vec![(comment.author.clone(), true)], 0);
    for other in waiting {
        // However many strangers write, nobody's command is hidden behind theirs.
        if looked == MOST || !may_push(forge, repo, &other.author.login, &mut people).await? {
            continue;
        }
        looked += 1;
        let faces = forge.reactions(repo, other.number, other.id).await?;
        let eyes = faces.iter().find(|face| face.reaction == Some(face::HEARD) && me.wrote(&face.author));
        // The eyes under what is repeated are old, and say nothing of who came first.
        if eyes.is_some_and(|eyes| is_alive(eyes) && (again || eyes.id < own.id)) {
            return Ok(Some(Reason::Overtaken { address: other.url.clone() }));
        }
    }
    Ok(None)
}

/// Whether somebody may push; asked once for each.
async fn may_push(
    forge: &dyn Forge,
    repo: &RepoId,
    login: &str,
    people: &mut Vec<(String, bool)>,
) -> Result<bool, Fault> {
    if let Some((_, may)) = people.iter().find(|(known, _)| known == login) {
        return Ok(*may);
    }
    let may = people.len() <= MOST && forge.permission(repo, login).await? >= Permission::Write;
    people.push((login.to_owned(), may));
    Ok(may)
}

fn asks_for(comment: &Comment, wanted: Mode) -> bool {
    matches!(Command::of(&comment.body), Some(Ok(Command::Run { mode, .. })) if mode == wanted)
}

/// Whether a command had its run, as far as that still goes on it was found already, or lost.
fn is_over(other: &Comment, all: &[Comment], me: &Me, us: &Us, traces: &Traces, mode: Mode) -> bool {
    let line = lost(&us.marker, other.id);
    traces.knows(mode, other.id)
        || all.iter().any(|answer| me.wrote(&answer.author) && answer.body.lines().next() == Some(line.as_str()))
}

fn is_alive(eyes: &Reacted) -> bool {
    Timestamp::now().duration_since(eyes.created) <= PATIENCE
}

#[cfg(test)]
mod tests;
