//! What is told of a run that succeeded, besides the run: where its outputs are, its pictures, and what the pull request
//! changes in them. A job that is cancelled meanwhile has succeeded all the same; what was not told is said.

use std::time::Duration;

use super::{Job, variables};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::{seam, signals};
use crate::comment::{Link, Report};
use crate::gha::{ANCESTORS, Base, Event, Order, Trust};
use crate::id::{ProjectName, RunId};
use crate::run::request::RunRequest;
use crate::store::Home;

/// Longer, nobody waits to be told that a run succeeded.
const PATIENCE: Duration = Duration::from_mins(10);

/// Adds to the report what can be had of it. What went wrong on the way and is not said there is handed back.
pub(super) fn look(job: &Job<'_>, order: &Order, request: &RunRequest, report: &mut Report) -> Vec<String> {
    let Some(run) = report.run.clone() else { return Vec::new() };
    let mut faults = Vec::new();
    let looked = signals::unless(&job.cancel, "the job was cancelled while its outputs were compared", async {
        let looking = looked(job, order, request, &run, report, &mut faults);
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
    request: &RunRequest,
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
        // Somebody who may push asked, in a workflow that has the project's storage.
        (Some(base), Trust::Fork) if matches!(job.errand.event, Event::Comment(_)) => {
            let left = left.against(ours(job, request).await?).await?;
            compare(job, base, request, &left, report).await?;
        }
        (_, Trust::Fork) => {
            report.no_base = Some("a fork's own job reaches nothing that was published of the project".to_owned());
        }
        (Some(base), _) => compare(job, base, request, &left, report).await?,
        (None, _) => {}
    }
    Ok(())
}

/// The project that this run would be of, were it no fork's.
async fn ours(job: &Job<'_>, request: &RunRequest) -> Result<ProjectName, Failure> {
    let project = job.errand.inputs.project.clone().or(variables()?.project);
    let (request, home) = (RunRequest { project, ..request.clone() }, job.home.clone());
    let project = tokio::task::spawn_blocking(move || seam::project(&request, &home)).await;
    project.map_err(|error| Failure::of(Exit::Internal, &error))?
}

/// With the base commit's outputs, or with those nearest to it in its history.
async fn compare(
    job: &Job<'_>,
    base: &Base,
    request: &RunRequest,
    left: &seam::Left,
    report: &mut Report,
) -> Result<(), Failure> {
    let short = base.commit.short();
    let nearest = match left.nearest(std::slice::from_ref(&base.commit)) {
        Some(exact) if exact.is_alike => Ok(exact),
        // The history is fetched only where something in it may be nearer.
        other => match (job.errand.ancestry(base, &request.path).await, other) {
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
