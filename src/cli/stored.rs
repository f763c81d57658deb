//! `soopervisor download` and `soopervisor verify`: what the storage holds for a commit.

use super::args;
use super::console::Console;
use super::exit::Exit;
use super::failure::Failure;
use super::seam::{self, Wanted};
use crate::report::bytes;
use crate::run::figures::count;

impl args::Stored {
    fn wanted(&self) -> Result<Wanted, Failure> {
        let storage = self.storage.required()?;
        Ok(Wanted { storage, project: self.project.clone(), commit: self.commit.clone() })
    }
}

pub(super) fn download(args: &args::Download) -> Result<Exit, Failure> {
    let fetched = seam::download(&args.stored.wanted()?, &args.globs, args.to.as_deref(), args.force)?;
    let kept = if fetched.kept > 0 { format!(", {} there already", fetched.kept) } else { String::new() };
    let (files, size, to) = (count(fetched.files, "file"), bytes(fetched.bytes), fetched.to.display());
    Console::answer(&format!("{}: {files}, {size}{kept}: {to}\n", fetched.of));
    Ok(Exit::Ok)
}

pub(super) fn verify(args: &args::Verify) -> Result<Exit, Failure> {
    let verified = seam::verify(&args.stored.wanted()?)?;
    let (of, files, size) = (verified.of, count(verified.sound, "file"), bytes(verified.bytes));
    if verified.problems.is_empty() {
        Console::answer(&format!("{of}: {files}, {size}: as the manifest says\n"));
        return Ok(Exit::Ok);
    }
    let wrong = count(verified.problems.len() as u64, "file");
    let what = format!("{of}: not as the manifest says: {wrong}; as it says: {}", verified.sound);
    let help = "a published folder is never written to again: remove it, and run the commit once more";
    let failure = Failure::new(Exit::StorageFailed, what).help(help);
    Err(verified.problems.into_iter().fold(failure, Failure::why))
}
