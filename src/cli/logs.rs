//! `soopervisor logs`: the masked log of a run, as far as it goes, or until the run ends.

use std::io::{self, IsTerminal, Read, Write};
use std::time::Duration;

use super::args;
use super::exit::Exit;
use super::failure::Failure;
use crate::report::{Cleaner, Style};
use crate::store::{Entry, Home, Runs};

/// How often a live run's log is looked at.
const EVERY: Duration = Duration::from_millis(100);

pub(super) fn execute(args: &args::Logs, style: &Style) -> Result<Exit, Failure> {
    let runs = Runs::of(&Home::from_env()?);
    let entry = runs.get(&args.run)?;
    // Bytes go out as they are, but not to a terminal that would obey them.
    let cleaner = io::stdout().is_terminal().then(|| Cleaner::new(style.color));
    let live = || runs.get(entry.id.as_str()).is_ok_and(|entry| entry.live);
    match copy(&entry, args.follow, live, &mut io::stdout(), cleaner) {
        Ok(()) => Ok(Exit::Ok),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Ok),
        Err(error) => Err(Failure::of(Exit::Internal, &error)),
    }
}

fn copy(
    entry: &Entry,
    follow: bool,
    live: impl Fn() -> bool,
    out: &mut impl Write,
    mut cleaner: Option<Cleaner>,
) -> io::Result<()> {
    let mut log: Option<fs_err::File> = None;
    let mut buffer = vec![0; 64 * 1024];
    let mut clean = Vec::new();
    loop {
        // Asked before reading: what a run wrote before it ended is then read in this round.
        let goes_on = follow && live();
        if log.is_none() {
            log = match fs_err::File::open(entry.folder.log()) {
                Ok(file) => Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
        }
        while let Some(file) = &mut log {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            let bytes = match &mut cleaner {
                Some(cleaner) => {
                    clean.clear();
                    cleaner.push(&buffer[..count], &mut clean);
                    &clean[..]
                }
                None => &buffer[..count],
            };
            out.write_all(bytes)?;
        }
        out.flush()?;
        if !goes_on {
            return Ok(());
        }
        std::thread::sleep(EVERY);
    }
}
