//! What is told of a run that succeeded, besides the run: where its outputs are, its pictures, and what the pull request
//! changes in them. A job that is cancelled meanwhile has succeeded all the same; what was not told is said.

use std::path::Path;
use std::time::Duration;

use super::Job;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::{seam, signals};
use crate::comment::{Link, Report};
use crate::gha::{ANCESTORS, Base, Order, Trust};
use crate::id::RunId;
use crate::store::Home;

/// Longer, nobody waits to be told that a run succeeded.
const PATIENCE: Duration = Duration::from_mins(10);

/// Adds to the report what can be had of it. What went wrong on the way and is not said there is handed back.
pub(super) fn look(job: &Job<'_>, order: &Order, folder: &Path, report: &mut Report) -> Vec<String> {
    let Some(run) = report.run.clone() else { return Vec::new() };
    let mut faults = Vec::new();
    let looked = signals::unless(&job.cancel, "the job was cancelled while its outputs were compared", async {
        let looking = looked(job, order, folder, &run, report, &mut faults);
        let late = |_| Failure::new(Exit::StorageFailed, format!("that took longer than {PATIENCE:?}"));
        tokio::time::timeout(PATIENCE, looking).await.map_err(late)?
    });
    match looked {
        Err(failure) if order.base.is_none() => faults.push(failure.what),
        Err(failure) if report.comparison.is_none() => report.no_base = Some(failure.what),
        _ => {}
    }
    faults
}

async fn looked(
    job: &Job<'_>,
    order: &Order,
    folder: &Path,
    run: &RunId,
    report: &mut Report,
    faults: &mut Vec<String>,
) -> Result<(), Failure> {
    let apart = order.trust == Trust::Fork;
    let home = if apart { Home::at(&job.errand.fork_home()) } else { job.home.clone() };
    let left = seam::Left::of(&home, run).await?;
    let previews = &job.errand.inputs.previews;
    match left.address(previews).await {
        Ok(address) => {
            let link = address.map(|address| Link { text: "outputs".to_owned(), address });
            report.links.extend(link);
        }
        Err(failure) => faults.push(format!("the outputs' address is not known: {}", failure.what)),
    }
    let (pictures, fault) = left.pictures(previews).await;
    report.previews = pictures;
    faults.extend(fault);
    match (&order.base, order.trust) {
        (_, Trust::Fork) => {
            report.no_base = Some("a fork's outputs are in a place of their own and are not compared".to_owned());
        }
        (Some(base), _) => compare(job, base, folder, &left, report).await?,
        (None, _) => {}
    }
    Ok(())
}

/// With the base commit's outputs, or with those nearest to it in its history.
async fn compare(
    job: &Job<'_>,
    base: &Base,
    folder: &Path,
    left: &seam::Left,
    report: &mut Report,
) -> Result<(), Failure> {
    let short = base.commit.short();
    let nearest = match left.nearest(std::slice::from_ref(&base.commit)) {
        Some(exact) if exact.is_alike => Ok(exact),
        // The history is fetched only where something in it may be nearer.
        other => match (job.errand.ancestry(base, folder).await, other) {
            (Ok(line), _) => left.nearest(&line).ok_or_else(|| {
                format!("the storage has no run of the base commit {short}, nor of any of the {ANCESTORS} before it")
            }),
            (Err(_), Some(other)) => Ok(other),
            (Err(error), None) => Err(format!(
                "the storage has no run of the base commit {short}, and the commits before it are not known: {error}"
            )),
        },
    };
    let nearest = match nearest {
        Ok(nearest) => nearest,
        Err(why) => {
            report.no_base = Some(why);
            return Ok(());
        }
    };
    let (comparison, pictures) = left.compare(&nearest.folder, &job.errand.inputs.previews).await?;
    report.compared = nearest.words(short);
    report.comparison = Some(comparison);
    report.previews = pictures;
    Ok(())
}
