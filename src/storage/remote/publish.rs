//! The steps of publishing, in the order that makes a crash between any two of them harmless.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;

use super::journal::Journal;
use super::lanes::send_all;
use super::marks::{Hold, Marks, Standing};
use super::proof::Before;
use super::rivals::Rivals;
use super::send::Sender;
use super::tally::{Tally, unless_cancelled};
use super::tidy::{LeftOver, give_up, name_of, tidy};
use super::{Remote, leftovers, pointer};
use crate::outputs::manifest::{Entry, Manifest, ManifestError};
use crate::outputs::{Output, OutputKind};
use crate::plan::OnConflict;
use crate::storage::backend::{Fault, Meta};
use crate::storage::patience::{in_passing, while_it_goes};
use crate::storage::{
    Differences, Folder, Progress, Publication, PublishOutcome, Published, Storage as _, StorageError, describe, key,
};

/// How long a server may take between looking whether a key is free and giving it.
const SETTLING: Duration = Duration::from_millis(1500);

pub(super) async fn publish(
    remote: &Remote,
    publication: &Publication,
    progress: &Arc<dyn Progress>,
) -> Result<Published, StorageError> {
    let project = &publication.about.project;
    // It was asked before the pipeline ran, and that may be long ago.
    unless_cancelled(&**progress, remote.tell_apart(project)).await?;
    let mut folder = Folder::of(&publication.about.revision);
    let finish = |folder: Folder, outcome, manifest, others| {
        let place = format!("{}/{project}/{folder}", remote.service.place());
        Published { folder, place, outcome, manifest, others }
    };
    loop {
        let Some(there) = unless_cancelled(&**progress, remote.published(project, &folder)).await? else {
            match create(remote, publication, &folder, progress).await? {
                Some((ours, others)) => return Ok(finish(folder, PublishOutcome::Created, ours, others)),
                // Another publisher's manifest was first: compare with it. Or what it relied on was removed: anew.
                None => continue,
            }
        };
        if publication.on_conflict == OnConflict::Keep {
            let others = tidied(remote, publication, &folder, &there, progress).await;
            return Ok(finish(folder, PublishOutcome::Kept, there, others));
        }
        let ours = describe::describe(publication, progress).await?;
        let differences = Differences::between(&there, &ours);
        if differences.is_empty() {
            // Who wrote the manifest may have been killed before it removed what broken-off publishes left, and pointed to it.
            let others = tidied(remote, publication, &folder, &there, progress).await;
            let mending = Box::pin(pointer::mend(&*remote.service, project, &folder, &there));
            in_passing(&**progress, mending).await;
            return Ok(finish(folder, PublishOutcome::Identical, there, others));
        }
        if publication.on_conflict != OnConflict::NewRun || folder.run.is_some() {
            return Err(StorageError::Conflict { folder, differences });
        }
        folder = folder.beside(&publication.about.run);
    }
}

/// Tidies up in a folder that was published before, as far as there is time; what stays and may be somebody's.
async fn tidied(
    remote: &Remote,
    publication: &Publication,
    folder: &Folder,
    stands: &Manifest,
    progress: &Arc<dyn Progress>,
) -> Vec<String> {
    let others: OnceLock<Vec<String>> = OnceLock::new();
    let tidying = Box::pin(async {
        let _ = others.set(tidy(remote, publication, folder, stands, None).await);
    });
    in_passing(&**progress, tidying).await;
    others.into_inner().unwrap_or_default()
}

/// Sends everything and the manifest, and tells which files in the folder may be somebody's; `None` when another publisher's
/// manifest was first, or somebody removed what lay there.
async fn create(
    remote: &Remote,
    publication: &Publication,
    folder: &Folder,
    progress: &Arc<dyn Progress>,
) -> Result<Option<(Manifest, Vec<String>)>, StorageError> {
    let marks = Marks::default();
    let (place, prefix) = (remote.service.place(), key::object_folder(&publication.about.project, folder));
    let journal = Journal::open(remote.journals.as_deref(), &place, remote.service.halves_stay(), &prefix);
    let looked = async {
        leftovers::of_others(remote, publication, folder, &journal).await;
        Ok(())
    };
    unless_cancelled(&**progress, looked).await?;
    let created = create_held(remote, publication, folder, &journal, &marks, progress).await;
    if created.as_ref().is_err_and(leftovers::is_final) {
        leftovers::of_all(remote, &journal).await;
    }
    marks.clear(remote).await;
    created
}

/// As [`create`]; of the marks that it puts, those that it failed or was stopped with are left to the caller.
async fn create_held(
    remote: &Remote,
    publication: &Publication,
    folder: &Folder,
    journal: &Journal,
    marks: &Marks,
    progress: &Arc<dyn Progress>,
) -> Result<Option<(Manifest, Vec<String>)>, StorageError> {
    let outputs = &publication.collection.outputs;
    let tally = Tally::new(progress, outputs.len() as u64, outputs.iter().map(|output| output.size).sum());
    let prepared = tally.unless_cancelled(prepare(remote, publication, folder, journal, marks, &**progress));
    let Found { there, before, earlier, own, hold } = prepared.await?;
    let left_over = !there.is_empty();
    let sender = Sender { remote, publication, folder, there, earlier, own, journal, tally: &tally };
    let sent = tally.unless_cancelled(send_all(&sender)).await?;
    let made: Vec<Entry> = sent.iter().filter(|sent| sent.made).map(|sent| sent.entry.clone()).collect();
    let collection = &publication.collection;
    let entries = sent.into_iter().map(|sent| sent.entry).collect();
    let ours = Manifest::new(publication.about.clone(), entries).noting(
        collection.missing.clone(),
        collection.refused.clone(),
        collection.moved.clone(),
    );
    drop(sender);
    let Some(hold) = tally.unless_cancelled(confirm(remote, folder, &ours, hold, marks, &**progress)).await? else {
        journal.disown();
        in_passing(&**progress, Box::pin(give_up(remote, publication, folder, &made))).await;
        return Ok(None);
    };
    let mut rivals = Rivals::of(remote, folder, &ours, &before, &hold);
    let mut won = match decide(remote, folder, &ours, &mut rivals, &**progress).await {
        Ok(won) => won,
        Err(Unsealed { error, refused }) => {
            // Should the manifest be there after all, or come yet, what it names must be there too.
            if !refused {
                marks.leave();
            }
            return Err(*error);
        }
    };
    let others: OnceLock<Vec<String>> = OnceLock::new();
    let afterwards = Box::pin(async {
        leftovers::of_all(remote, journal).await;
        journal.close();
        hold.release(remote, marks).await;
        if won && left_over {
            let _ = others.set(tidy(remote, publication, folder, &ours, Some(&before)).await);
        }
        if won && rivals.were_first().await {
            won = false;
            rivals.take_back().await;
        }
        if !won {
            give_up(remote, publication, folder, &made).await;
            return;
        }
        pointer::point(&*remote.service, &publication.about.project, folder, &ours).await;
    });
    in_passing(&**progress, afterwards).await;
    Ok(won.then(|| (ours, others.into_inner().unwrap_or_default())))
}

/// The hold, or a new one, when everything that the manifest names is still there; `None` when that is not sure.
async fn confirm(
    remote: &Remote,
    folder: &Folder,
    ours: &Manifest,
    hold: Hold,
    marks: &Marks,
    progress: &dyn Progress,
) -> Result<Option<Hold>, StorageError> {
    match hold.standing(remote).await? {
        Standing::Firm => return Ok(Some(hold)),
        Standing::Lost => return Ok(None),
        Standing::Aged => {}
    }
    let (contents, new) = Hold::take(remote, &ours.about.project, folder, true, marks, progress).await?;
    hold.release(remote, marks).await;
    let there: HashMap<&str, u64> = contents.iter().map(|meta| (&*meta.key, meta.size)).collect();
    let mut files = ours.files.iter().filter_map(|entry| Some((name_of(entry)?, entry.size)));
    let whole = !new.met && files.all(|(name, size)| there.get(&*name) == Some(&size));
    if !whole {
        new.release(remote, marks).await;
        return Ok(None);
    }
    Ok(Some(new))
}

/// What was there when a publish began.
struct Found {
    /// In the folder, by its key relative to it.
    there: HashMap<String, Meta>,
    /// What of it a publish left that broke off.
    before: Before,
    /// The project's newest other commit.
    earlier: Option<(Folder, Manifest)>,
    /// Whether nobody else creates files under their plain names in it.
    own: bool,
    /// Keeps others from removing it.
    hold: Hold,
}

/// Asks for room and for what is there, and makes the folders.
async fn prepare(
    remote: &Remote,
    publication: &Publication,
    folder: &Folder,
    journal: &Journal,
    marks: &Marks,
    progress: &dyn Progress,
) -> Result<Found, StorageError> {
    let project = &publication.about.project;
    let outputs = &publication.collection.outputs;
    let earlier = earlier(remote, publication, folder).await;
    let copies_look_old = earlier.is_some() && remote.service.copies_look_old();
    let mut left = LeftOver::of(outputs, journal, &key::object_folder(project, folder));
    let (contents, hold) = Hold::take(remote, project, folder, copies_look_old, marks, progress).await?;
    if hold.met {
        journal.disown();
        left.done.clear();
    }
    let before = left.before(&contents, remote.service.traits().duplicates);
    let mut there: HashMap<String, Meta> = HashMap::new();
    for meta in contents {
        there.entry(meta.key.clone()).or_insert(meta);
    }
    room(remote, outputs, there.values().map(|meta| meta.size).sum()).await?;
    let names = names(remote, publication, folder);
    let mut folders: BTreeSet<String> = BTreeSet::new();
    let prefix = key::object_folder(project, folder);
    let whole = prefix.trim_end_matches('/').to_owned();
    let files = outputs.iter().zip(&names).filter(|(output, _)| output.kind == OutputKind::File);
    for name in files.map(|(_, name)| format!("{prefix}{name}")) {
        let above = name.match_indices('/').map(|(at, _)| name[..at].to_owned());
        folders.extend(above);
    }
    let wrong = |fault| remote.fault("make the folder", &prefix, fault);
    let own = match remote.service.own_folder(&whole).await.map_err(wrong)? {
        Some(true) => journal.own(),
        Some(false) if hold.made => journal.own(),
        Some(false) => journal.owns(),
        None => true,
    };
    folders.extend([project.to_string(), whole]);
    let folders: Vec<String> = folders.into_iter().collect();
    remote.service.make_folders(&folders).await.map_err(wrong)?;
    Ok(Found { there, before, earlier, own, hold })
}

/// The commit whose files may be copied: the one that tasks were taken over from, else the newest.
async fn earlier(remote: &Remote, publication: &Publication, folder: &Folder) -> Option<(Folder, Manifest)> {
    let project = &publication.about.project;
    let known = publication.same.as_ref().map(|same| same.folder.clone());
    let known = match known {
        Some(known) => known,
        None => pointer::latest(&*remote.service, project).await?,
    };
    if known == *folder {
        return None;
    }
    let manifest = remote.published(project, &known).await.ok().flatten()?;
    Some((known, manifest))
}

/// Whether everything fits, before anything is sent.
async fn room(remote: &Remote, outputs: &[Output], there: u64) -> Result<(), StorageError> {
    let space = remote.service.space().await.map_err(|fault| remote.unreached(fault))?;
    if let Some(most) = space.largest
        && let Some(output) = outputs.iter().find(|output| output.size > most)
    {
        return Err(StorageError::FileTooLarge { path: output.path.clone() });
    }
    let whole: u64 = outputs.iter().map(|output| output.size).sum();
    let needed = whole.saturating_sub(there);
    match space.free {
        Some(free) if free < needed => Err(StorageError::Full { place: remote.service.place(), needed, free }),
        _ => Ok(()),
    }
}

pub(super) fn names(remote: &Remote, publication: &Publication, folder: &Folder) -> Vec<String> {
    let prefix = key::object_folder(&publication.about.project, folder).chars().count();
    let longest = remote.service.traits().longest_key.saturating_sub(prefix).max(60);
    key::stored_names(publication.collection.outputs.iter().map(|output| &output.path), longest)
}

/// Why there is no manifest, as far as we know.
struct Unsealed {
    error: Box<StorageError>,
    /// Whether it is sure that there is none of ours, now and later.
    refused: bool,
}

/// Writes the manifest; `false` when another one is there. From here on nobody can stop it, unless the service lets nothing
/// through: half a decision is none.
async fn decide(
    remote: &Remote,
    folder: &Folder,
    ours: &Manifest,
    rivals: &mut Rivals<'_>,
    progress: &dyn Progress,
) -> Result<bool, Unsealed> {
    let form = |error| StorageError::Manifest { folder: folder.clone(), source: ManifestError::Form(error) };
    let bytes = ours.to_bytes().map_err(|error| Unsealed { error: Box::new(form(error)), refused: true })?;
    let bytes = Bytes::from(bytes);
    let (waiting, before) = (|| remote.service.waiting(), OnceLock::new());
    let sealing = async {
        let sealed = seal(remote, folder, ours, &bytes, &before).await?;
        if !sealed || !remote.service.traits().duplicates {
            return Ok(sealed);
        }
        // Ours lies there, and whether it stands is not known.
        let unsure = |error: StorageError| {
            let fault = if let StorageError::Service { fault, .. } = error { Some(fault) } else { None };
            Unsealed { error: Box::new(undecided(remote, folder, ours, fault)), refused: false }
        };
        rivals.outlasted(bytes.clone(), progress).await.map_err(unsure)
    };
    let sealed = while_it_goes(&waiting, progress, Box::pin(sealing)).await;
    sealed.unwrap_or_else(|| {
        let may_have_gone_out = match before.get() {
            None => false,
            Some(None) => true,
            Some(before) => remote.service.asked() != *before,
        };
        let error = if may_have_gone_out { undecided(remote, folder, ours, None) } else { StorageError::Cancelled };
        Err(Unsealed { error: Box::new(error), refused: !may_have_gone_out })
    })
}

fn undecided(remote: &Remote, folder: &Folder, ours: &Manifest, fault: Option<Fault>) -> StorageError {
    let (project, folder) = (ours.about.project.clone(), Box::new(folder.clone()));
    StorageError::Undecided { project, folder, place: remote.service.place(), fault }
}

/// Writes the manifest; `false` when another one is there. Notes in `before` how many requests had gone out when that was to
/// be asked for.
async fn seal(
    remote: &Remote,
    folder: &Folder,
    ours: &Manifest,
    bytes: &Bytes,
    before: &OnceLock<Option<u64>>,
) -> Result<bool, Unsealed> {
    let key = key::object_manifest(&ours.about.project, folder);
    let unsealed = |error, refused| Unsealed { error: Box::new(error), refused };
    let traits = remote.service.traits();
    let wrong = |fault| unsealed(remote.fault("write", &key, fault), true);
    if !traits.create_only && !traits.duplicates {
        let there = remote.service.stat(&key).await;
        if there.map_err(wrong)?.is_some() {
            return Ok(false);
        }
    }
    before.get_or_init(|| remote.service.asked());
    let undenied = remote.service.undenied();
    // The service may have taken it, or nobody knows, and what failed came after that.
    let unsure = |fault| unsealed(undecided(remote, folder, ours, Some(fault)), false);
    let made = match remote.service.put(&key, bytes.clone()).await {
        // It surely did not arrive.
        Err(fault) if undenied.is_some() && remote.service.undenied() == undenied => return Err(wrong(fault)),
        // Nobody knows whether it arrived: what lies there tells.
        Err(fault) if fault.is_passing() => false,
        Err(fault) if undenied.is_some() => return Err(unsure(fault)),
        made => made.map_err(wrong)?,
    };
    if made && traits.create_only {
        return Ok(true);
    }
    // Who cannot create exclusively looks whose manifest lies there now: the last one to write it. Somebody who found the
    // key free as we did has written by then.
    if !traits.duplicates {
        tokio::time::sleep(SETTLING).await;
    }
    match pointer::read_small(&*remote.service, &key).await {
        Ok(there) => Ok(there == *bytes),
        Err(fault) => Err(unsure(fault)),
    }
}
