//! `soopervisor driver`: one run of a server, in a process of its own. Started by workers, not by people.

use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::exit::Exit;
use super::failure::Failure;
use super::seam;
use crate::run::cancel::{CancelReason, Canceller};
use crate::server::work::driver::drive;
use crate::store::Home;

/// Arguments of `driver`.
#[derive(Debug, Clone, Args)]
pub struct Driver {
    /// The folder in which the worker has put what is to be run
    pub folder: PathBuf,
}

pub(super) fn execute(args: &Driver) -> Result<Exit, Failure> {
    let host = seam::host(&Home::from_env()?)?;
    seam::block_on(async {
        let asked = |canceller| drop(tokio::spawn(listen(canceller)));
        drive(&args.folder, &host, asked).await.map_err(|error| Failure::of(Exit::Internal, &error))
    })?;
    Ok(Exit::Ok)
}

/// The first signal asks the run to stop, later ones kill it.
async fn listen(canceller: Canceller) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        canceller.request(CancelReason::Signal);
    }
}
