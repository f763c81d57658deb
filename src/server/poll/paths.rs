//! What changed in pushes of which no webhook says it: asked of the commits, where a handler wants to know. What cannot be
//! known stays unknown and holds up nothing: criteria over it hold then, and the event says why.

use std::collections::BTreeMap;

use super::answer::Refs;
use super::state::{Paths, Step, Told, kind, step};
use super::{Poller, Watch, locked};
use crate::id::CommitSha;
use crate::server::event::Kind;
use crate::server::room;
use crate::server::work::changed::{Since, changed};
use crate::server::work::checkout::CheckoutError;
use crate::store::database::{KnownRef, RefChange};

/// Changes of refs of which it can be known: before a new tag there was nothing.
const KINDS: [Kind; 3] = [Kind::Push, Kind::BranchCreated, Kind::TagMoved];

impl Poller {
    /// What changed in each step of a reading, as far as a handler wants to know and no webhook says.
    pub(super) async fn paths(&self, watch: &Watch, told: Told<'_>, known: &[KnownRef], seen: &Refs) -> Paths {
        let (mut found, mut refs) = (Paths::new(), BTreeMap::<String, Vec<(Step, (Since, CommitSha))>>::new());
        let kinds = self.kinds_with_paths(&watch.name);
        let Some(folder) = self.copies.as_ref().filter(|_| !kinds.is_empty()) else { return found };
        for change in told.unlisted(known, seen) {
            let (Some(kind), Some(step)) = (kind(&change), step(&change)) else { continue };
            let to = step.2.parse::<CommitSha>();
            match (since(&change, seen), to) {
                (Ok(Some(since)), Ok(to)) if kinds.contains(&kind) => {
                    refs.entry(change.name).or_default().push((step, (since, to)));
                }
                (Err(why), Ok(_)) if kinds.contains(&kind) => drop(found.insert(step, Err(why.to_owned()))),
                _ => {}
            }
        }
        // Where the repository cannot be had for one ref, it is not asked for another.
        let mut lost: Option<String> = None;
        for (name, steps) in refs {
            let Some(Ok(tip)) = seen.heads.get(&name).map(|tip| tip.parse::<CommitSha>()) else { continue };
            let (steps, ways): (Vec<Step>, Vec<(Since, CommitSha)>) = steps.into_iter().unzip();
            let listed = match lost.clone() {
                Some(why) => Err(why),
                None => changed(folder, &watch.address, &name, &tip, &ways).await.map_err(|error| {
                    let why = room::words(&error);
                    if !matches!(error, CheckoutError::Missing(_)) {
                        lost = Some(why.clone());
                    }
                    why
                }),
            };
            let listed: Vec<Result<Vec<String>, String>> = match listed {
                Ok(all) => all.into_iter().map(|one| one.map_err(|error| room::words(&error))).collect(),
                Err(why) => vec![Err(why); steps.len()],
            };
            found.extend(steps.into_iter().zip(listed));
        }
        for ((reference, ..), why) in found.iter().filter_map(|(step, paths)| Some((step, paths.as_ref().err()?))) {
            tracing::warn!(repo = watch.name, reference, why, "which paths changed is not known");
        }
        found
    }

    /// The kinds of changes of this repository of which a handler wants to know what changed.
    fn kinds_with_paths(&self, repo: &str) -> Vec<Kind> {
        let Some(file) = locked(&self.file).clone() else { return Vec::new() };
        let asks =
            |kind: Kind| file.handlers.iter().any(|handler| handler.is_for(repo, &[kind]) && handler.reads("paths"));
        KINDS.into_iter().filter(|kind| asks(*kind)).collect()
    }
}

/// What a change is compared with: what was there before or, for a new branch, where it left the default branch. Nothing
/// for the default branch itself, when it is new.
fn since(change: &RefChange, seen: &Refs) -> Result<Option<Since>, &'static str> {
    if let Some(before) = change.before.as_ref().filter(|before| !before.deleted) {
        return Ok(before.sha.parse().ok().map(Since::Commit));
    }
    let default = seen.head.as_ref().ok_or("nobody says which branch is the default one")?;
    if *default == change.name {
        return Ok(None);
    }
    let tip = seen.heads.get(default).ok_or("the branch is new, and the default branch is not watched")?;
    Ok(tip.parse().ok().map(|tip| Since::Left(default.clone(), tip)))
}
